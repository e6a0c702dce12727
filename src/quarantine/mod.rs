//! The quarantine: mails kept for the postmaster.
//!
//! One mail is one file in amavis' layout, and one row in an index (SQLite). The files are the truth, the index makes
//! them quick to find: from the files alone it can be made again (`recover`).
//!
//! Invariant: [`Quarantine::store`] returns `Ok` only when file, folder and index row are synced to the disk.
//! Invariant: a copy is sent to its recipient once, in any number of parallel tries and processes (`release`).

#![warn(missing_docs)]

mod block;
mod entry;
mod gc;
mod history;
mod id;
mod index;
mod recover;
mod release;
mod rows;
mod schema;
mod search;
mod store;
mod trouble;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use jiff::Timestamp;
use rusqlite::{Connection, params};

use crate::config;

pub use entry::{
    AuditRow, Class, CopyState, Item, ItemDetail, ItemRecipient, ItemState, NewEntry, Stored,
    StoredMail,
};
pub use gc::GcSummary;
pub use history::HistoryRow;
pub use id::MailId;
pub use recover::Recovery;
pub use release::{ReleaseError, ReleaseMail, ReleaseOutcome, ReleaseResult};
pub use search::{Search, SearchError};
pub use trouble::Trouble;

/// Readers kept open for the next question.
const READERS_MAX: usize = 4;

/// The quarantine of this host. Clones share everything; several processes may have it open.
#[derive(Debug, Clone)]
pub struct Quarantine {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    files: store::Files,
    writer: index::Writer,
    database: PathBuf,
    readers: Mutex<Vec<Connection>>,
}

impl Quarantine {
    /// Opens it as [`Quarantine::attach`] does, and mends what a crash left behind ([`Quarantine::recover`]).
    ///
    /// # Errors
    /// If folder or database cannot be created, read or brought to this program's version.
    pub fn open(config: &config::Quarantine, database: &Path) -> Result<Self, Trouble> {
        let quarantine = Self::attach(config, database)?;
        quarantine.recover()?;
        Ok(quarantine)
    }

    /// Creates folder and tables where they are missing, and reads no file: for commands beside a running service,
    /// and for a service that recovers once it listens.
    ///
    /// # Errors
    /// As [`Quarantine::open`].
    pub fn attach(config: &config::Quarantine, database: &Path) -> Result<Self, Trouble> {
        let files = store::Files::open(&config.store, config.min_free_bytes)?;
        schema::migrate(&mut schema::connect(database)?)?;
        let writer = index::Writer::start(database)?;
        let database = database.to_path_buf();
        let readers = Mutex::new(Vec::new());
        Ok(Self { inner: Arc::new(Inner { files, writer, database, readers }) })
    }

    /// Brings folder and index to agree. Blocks, and reads all names in the folder. It may run at any time.
    ///
    /// # Errors
    /// If folder or index cannot be read or written. Files that cannot be read are counted instead.
    pub fn recover(&self) -> Result<Recovery, Trouble> {
        recover::recover(&self.inner)
    }

    /// Keeps a mail. After `Ok` it survives a power cut; after an error nothing is left of it.
    ///
    /// It goes on to its end even if the caller stops waiting.
    ///
    /// # Errors
    /// Any [`Trouble`] means 4xx; see [`Trouble::is_no_space`] and [`Trouble::Taken`].
    pub async fn store(&self, entry: NewEntry) -> Result<Stored, Trouble> {
        let inner = Arc::clone(&self.inner);
        blocking(move || inner.store(entry)).await
    }

    /// The mails that match, newest first. Blocks.
    ///
    /// # Errors
    /// If the index cannot be read.
    pub fn list(&self, search: &Search, limit: usize) -> Result<Vec<Item>, Trouble> {
        self.inner.read(|connection| rows::list(connection, search, limit))
    }

    /// All that is known of one mail, by its id or the name of its file. Blocks.
    ///
    /// # Errors
    /// If the index cannot be read.
    pub fn show(&self, id: &str) -> Result<Option<ItemDetail>, Trouble> {
        self.inner.read(|connection| rows::show(connection, id::id_in(id)))
    }

    /// The message as it came, and the block that lies on top of it. Deleted mails too. Blocks.
    ///
    /// # Errors
    /// [`Trouble::NotFound`], [`Trouble::FileMissing`], [`Trouble::Damaged`], or the disk's.
    pub fn octets(&self, id: &str) -> Result<StoredMail, Trouble> {
        let id = id::id_in(id);
        let kept = self.inner.read(|connection| rows::kept(connection, id))?;
        self.inner.stored_mail(id, &kept.file)
    }

    /// True if `secret` gives the right to release this mail.
    #[must_use]
    pub fn is_proved(&self, id: &str, secret: &str) -> bool {
        MailId::proves(secret, id::id_in(id))
    }

    /// Sends held copies on: to these recipients, or to all whose copy is held. Each is sent once; `send` must have
    /// its own deadline and answer `Ok` only after the next hop's 250.
    ///
    /// `force` sends again what was released or may have arrived, and is needed for a virus.
    ///
    /// # Errors
    /// If nothing was sent; what happened to single recipients is in the results. If the index fails between two
    /// recipients, the index has what came of the first.
    pub async fn release<F, Fut>(
        &self,
        id: &str,
        recipients: Option<&[String]>,
        by: &str,
        force: bool,
        send: F,
    ) -> Result<Vec<ReleaseResult>, Trouble>
    where
        F: Fn(ReleaseMail) -> Fut,
        Fut: Future<Output = Result<String, ReleaseError>>,
    {
        release::release(&self.inner, id::id_in(id), recipients, by, force, send).await
    }

    /// Hides a mail; [`Quarantine::gc`] erases it later. False if it was deleted already.
    ///
    /// # Errors
    /// [`Trouble::NotFound`], or the index's.
    pub async fn delete(&self, id: &str, by: &str) -> Result<bool, Trouble> {
        self.change(id, by, &["stored", "missing"], "deleted", "delete").await
    }

    /// Brings a deleted mail back. False if it was not deleted.
    ///
    /// # Errors
    /// [`Trouble::NotFound`] if it was erased meanwhile, or the index's.
    pub async fn undelete(&self, id: &str, by: &str) -> Result<bool, Trouble> {
        self.change(id, by, &["deleted"], "stored", "undelete").await
    }

    async fn change(
        &self,
        id: &str,
        by: &str,
        from: &'static [&'static str],
        to: &'static str,
        act: &'static str,
    ) -> Result<bool, Trouble> {
        let (id, by) = (id::id_in(id).to_owned(), by.to_owned());
        self.inner
            .writer
            .write(move |connection| rows::change_state(connection, &id, from, to, act, &by))
            .await
    }

    /// Protects a mail from being erased by age or size, or ends that.
    ///
    /// # Errors
    /// [`Trouble::NotFound`], or the index's.
    pub async fn hold(&self, id: &str, hold: bool, by: &str) -> Result<(), Trouble> {
        let (id, by) = (id::id_in(id).to_owned(), by.to_owned());
        self.inner
            .writer
            .write(move |connection| {
                let kept = rows::kept(connection, &id)?;
                connection
                    .execute("UPDATE mails SET hold = ? WHERE row = ?", params![hold, kept.row])?;
                let act = if hold { "hold" } else { "unhold" };
                rows::audit(connection, &id, &by, act, "", "done")
            })
            .await
    }

    /// Erases what is older than `keep` says for its class, and the oldest beyond `max_bytes`. A class without an entry
    /// is kept.
    ///
    /// # Errors
    /// If a file or the index cannot be written; the next run goes on from there.
    pub async fn gc(
        &self,
        keep: &std::collections::BTreeMap<String, std::time::Duration>,
        max_bytes: u64,
        now: Timestamp,
    ) -> Result<GcSummary, Trouble> {
        let (inner, keep) = (Arc::clone(&self.inner), keep.clone());
        blocking(move || gc::run(&inner, &keep, max_bytes, now)).await
    }

    /// Notes a mail in the history. Never waits: the row is on the disk within some two seconds, or counted as lost.
    pub fn record(&self, row: HistoryRow) {
        self.inner.writer.record(row);
    }

    /// History rows that were lost because the database was too slow, since the start.
    #[must_use]
    pub fn history_lost(&self) -> u64 {
        self.inner.writer.history_lost()
    }

    /// Waits until all history rows recorded so far were written. The last handle does the same when it is dropped.
    pub async fn flush(&self) {
        self.inner.writer.flush().await;
    }

    /// The history of a mail by our id, Postfix' queue id or the Message-ID; newest first. Blocks.
    ///
    /// # Errors
    /// If the index cannot be read.
    pub fn history(&self, id: &str) -> Result<Vec<HistoryRow>, Trouble> {
        self.inner.read(|connection| history::find(connection, id))
    }
}

impl Inner {
    fn store(&self, mut entry: NewEntry) -> Result<Stored, Trouble> {
        if entry.all_recipients.is_empty() {
            entry.all_recipients.clone_from(&entry.recipients);
        }
        let time = Timestamp::now().as_millisecond();
        let ends = block::LineEnds::of(&entry.raw);
        let lines = block::write(&entry, time, ends);
        let id = entry.id.to_string();
        let written = self.files.write(entry.class, &id, &lines, &entry.raw, ends)?;
        let place = rows::Place { file: written.name.clone(), file_octets: written.octets };
        let indexed = self.writer.write_blocking(move |connection| {
            rows::insert(connection, &entry, &place, time, false)
        });
        if let Err(trouble) = indexed {
            // The client hears 4xx and comes again; its second try must not become a second mail here.
            if let Err(error) = self.files.remove(&written.name) {
                tracing::error!(%error, "a quarantine file without a row is left");
            }
            return Err(trouble);
        }
        Ok(Stored { id, file: written.name })
    }

    fn stored_mail(&self, id: &str, file: &str) -> Result<StoredMail, Trouble> {
        let octets = match self.files.read(file) {
            Ok(octets) => Bytes::from(octets),
            Err(Trouble::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                return Err(Trouble::FileMissing(id.to_owned()));
            }
            Err(trouble) => return Err(trouble),
        };
        let parts = block::read(&octets);
        if let Some(counted) = parts.fields.octets()
            && counted != parts.raw.len()
        {
            let why = format!("{} octets, and {counted} were stored", parts.raw.len());
            return Err(Trouble::Damaged { id: id.to_owned(), why });
        }
        let raw = match parts.raw {
            std::borrow::Cow::Borrowed(raw) => octets.slice_ref(raw),
            std::borrow::Cow::Owned(raw) => Bytes::from(raw),
        };
        Ok(StoredMail { block: octets.slice_ref(parts.block), raw })
    }

    fn read<T>(
        &self,
        question: impl FnOnce(&Connection) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        let spare = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match spare {
            Some(connection) => connection,
            None => schema::connect_reader(&self.database)?,
        };
        let answer = question(&connection)?;
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() < READERS_MAX {
            readers.push(connection);
        }
        Ok(answer)
    }
}

/// Work that waits for the disk, off the threads that serve sockets.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Trouble> + Send + 'static,
) -> Result<T, Trouble> {
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => answer,
        Err(error) => Err(Trouble::Index(format!("the work was broken off: {error}"))),
    }
}

#[cfg(test)]
mod tests;
