//! The writer: a thread that learns while mail flows. Nobody waits for it, and what it cannot take is dropped and counted.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};

use super::{Sent, Trouble, now, people, schema, words};
use crate::filters::spam::bayes::{Class, Owner, Token};
use crate::filters::standing::Whose;

/// Notes that may wait.
const WAITING_MAX: usize = 1_024;
/// Whole mails that may wait to be cut into words: each holds its message in memory.
const MAILS_WAITING_MAX: usize = 16;
/// Notes in one transaction.
const GROUP_MAX: usize = 64;
/// Another process, most likely `tamis learn`, may hold the write lock for one of its batches.
const WAITS: Duration = Duration::from_secs(10);
/// What is too old is looked for after so many transactions.
const EXPIRY_EVERY: u32 = 5_000;

/// Makes the words of a mail.
pub(super) type Cut = Box<dyn FnOnce() -> Vec<Token> + Send>;

/// What is to be written.
pub(super) enum Note {
    /// A mail is learned.
    Learn { message: String, class: Class, cut: Cut },
    /// Words were of use; the owner's name, empty for the site.
    Touch { user: String, tokens: Vec<Token> },
    /// A mail of ours.
    Sent(Sent),
    /// A verdict for reputations.
    Judged { whose: Vec<Whose>, class: Class },
    /// Tells when everything before it is written.
    Flush(SyncSender<()>),
}

/// The way to the thread, which is started by the first note.
#[derive(Debug)]
pub(super) struct Writer {
    file: PathBuf,
    words_max: u64,
    thread: Mutex<Option<(SyncSender<Note>, JoinHandle<()>)>>,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    lost: AtomicU64,
    mails_waiting: AtomicUsize,
}

impl Writer {
    pub fn new(file: &Path, words_max: u64) -> Self {
        let file = file.to_path_buf();
        Self { file, words_max, thread: Mutex::default(), counters: Arc::default() }
    }

    /// Notes that were dropped or could not be written, since the start.
    pub fn lost(&self) -> u64 {
        self.counters.lost.load(Ordering::Relaxed)
    }

    /// Takes a note, or drops and counts it. Never waits.
    pub fn note(&self, note: Note) {
        let mail = matches!(note, Note::Learn { .. });
        let waiting = &self.counters.mails_waiting;
        if mail && waiting.fetch_add(1, Ordering::Relaxed) >= MAILS_WAITING_MAX {
            waiting.fetch_sub(1, Ordering::Relaxed);
            self.counters.lose(1, "too many mails wait to be learned");
            return;
        }
        if !self.send(note) {
            if mail {
                waiting.fetch_sub(1, Ordering::Relaxed);
            }
            self.counters.lose(1, "the writer is too slow, or has stopped");
        }
    }

    fn send(&self, note: Note) -> bool {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.is_none() {
            *thread = self.start();
        }
        match thread.as_ref().map(|(notes, _)| notes.try_send(note)) {
            Some(Ok(())) => true,
            Some(Err(TrySendError::Full(_) | TrySendError::Disconnected(_))) | None => false,
        }
    }

    fn start(&self) -> Option<(SyncSender<Note>, JoinHandle<()>)> {
        let (notes, receiver) = sync_channel(WAITING_MAX);
        let mut work = Work {
            file: self.file.clone(),
            words_max: self.words_max,
            connection: None,
            counters: Arc::clone(&self.counters),
            until_expiry: 0,
        };
        let started = std::thread::Builder::new().name("learned".to_owned()).spawn(move || {
            // A bug in one note must not end all learning.
            while catch_unwind(AssertUnwindSafe(|| work.run(&receiver))).is_err() {
                tracing::error!("a note of the learner was broken off; this is a bug of Tamis");
                work.connection = None;
            }
        });
        match started {
            Ok(thread) => Some((notes, thread)),
            Err(error) => {
                tracing::warn!(%error, "cannot start the learner");
                None
            }
        }
    }

    /// Waits until everything noted so far is written or lost.
    pub fn flush(&self) {
        let (done, wait) = sync_channel(1);
        let notes = {
            let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
            thread.as_ref().map(|(notes, _)| notes.clone())
        };
        if notes.is_some_and(|notes| notes.send(Note::Flush(done)).is_ok()) {
            let _ = wait.recv();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((notes, thread)) = thread {
            drop(notes);
            // A mail that waits to be learned holds the site, and with the last one we may be dropped by the thread
            // itself.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

impl Counters {
    fn lose(&self, count: u64, why: &str) {
        let before = self.lost.fetch_add(count, Ordering::Relaxed);
        let lost = before.saturating_add(count);
        // Told at 1, 2, 4, 8, …, so that a broken disk does not fill the log.
        if before.checked_ilog2() != lost.checked_ilog2() {
            tracing::warn!(lost, why, "notes of the learner are lost");
        }
    }
}

/// A note with its words cut.
enum Ready {
    Learn { message: String, class: Class, tokens: Vec<Token> },
    Other(Note),
}

struct Work {
    file: PathBuf,
    words_max: u64,
    connection: Option<Connection>,
    counters: Arc<Counters>,
    until_expiry: u32,
}

impl Work {
    fn run(&mut self, notes: &Receiver<Note>) {
        while let Ok(first) = notes.recv() {
            let mut group = Vec::new();
            let mut askers = Vec::new();
            let mut next = Some(first);
            while let Some(note) = next {
                match note {
                    Note::Flush(asker) => askers.push(asker),
                    // Words are cut before the transaction begins: others want the lock, too.
                    Note::Learn { message, class, cut } => {
                        self.counters.mails_waiting.fetch_sub(1, Ordering::Relaxed);
                        group.push(Ready::Learn { message, class, tokens: cut() });
                    }
                    other @ (Note::Touch { .. } | Note::Sent(_) | Note::Judged { .. }) => {
                        group.push(Ready::Other(other));
                    }
                }
                next = if group.len() < GROUP_MAX { notes.try_recv().ok() } else { None };
            }
            if let Err(trouble) = self.write(&group) {
                self.connection = None;
                self.counters.lose(group.len() as u64, &trouble.to_string());
            }
            for asker in askers {
                // Whoever asked may have stopped waiting.
                let _ = asker.send(());
            }
        }
    }

    fn write(&mut self, group: &[Ready]) -> Result<(), Trouble> {
        if group.is_empty() {
            return Ok(());
        }
        let connection = match &mut self.connection {
            Some(connection) => connection,
            slot => slot.insert(schema::connect(&self.file, WAITS)?),
        };
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for ready in group {
            one(&transaction, ready)?;
        }
        transaction.commit()?;
        self.until_expiry = match self.until_expiry.checked_sub(1) {
            Some(left) => left,
            None => {
                expire(connection, self.words_max)?;
                EXPIRY_EVERY
            }
        };
        Ok(())
    }
}

fn one(connection: &Connection, ready: &Ready) -> Result<(), Trouble> {
    let now = now();
    let today = now.div_euclid(86_400);
    match ready {
        Ready::Learn { message, class, tokens } => {
            words::learn(connection, Owner::Site, message, *class, tokens, today).map(drop)
        }
        Ready::Other(Note::Touch { user, tokens }) => {
            let owner = if user.is_empty() { Owner::Site } else { Owner::User(user) };
            words::touch(connection, owner, tokens, today)
        }
        Ready::Other(Note::Sent(sent)) => people::sent(connection, sent),
        Ready::Other(Note::Judged { whose, class }) => {
            people::judged(connection, whose, *class, now)
        }
        Ready::Other(Note::Learn { .. } | Note::Flush(_)) => Ok(()),
    }
}

/// Drops what is too old or too much, in pieces, so that nobody waits long for the lock.
pub(super) fn expire(connection: &mut Connection, words_max: u64) -> Result<(), Trouble> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    people::expire(&transaction, now(), people::REPUTATIONS_MAX)?;
    transaction.commit()?;
    let mut surplus = None;
    loop {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let more = words::expire(&transaction, words_max, &mut surplus)?;
        transaction.commit()?;
        if !more {
            return Ok(());
        }
    }
}
