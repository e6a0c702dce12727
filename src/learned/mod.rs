//! What this site learned: words of spam and ham, people it wrote to, reputations of senders.
//!
//! It lies in an SQLite file of its own: it may be lost without any mail being lost. Mail asks it through readers that
//! wait for nobody (WAL); what verdicts teach goes to one writer thread through a bounded queue. Nothing is created
//! before there is something to write, and a locked or damaged file is a check without an answer.

pub mod addresses;
mod after;
mod people;
mod schema;
mod trouble;
mod words;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};
use sha2::{Digest as _, Sha256};

use crate::filters::spam::bayes::{Class, Counts, Learnt, Owner, Token, Tokens, Totals};
use crate::filters::standing::{Standing, Whose};
use crate::mail::Message;

pub use after::{Verdict, known, note};
pub use people::{Question, Sent};
pub use trouble::Trouble;

use writer::{Note, Writer};

/// Readers kept open for the next question.
const READERS_MAX: usize = 4;
/// How long a command waits for the write lock.
const COMMAND_WAITS: Duration = Duration::from_secs(30);

/// What was learned. Clones share everything; several processes may have the file open.
#[derive(Clone)]
pub struct Learned {
    inner: Arc<Inner>,
}

struct Inner {
    file: PathBuf,
    words_max: u64,
    readers: Mutex<Vec<Connection>>,
    writer: Writer,
    /// For commands, which learn many mails in a row.
    batch: Mutex<Option<Connection>>,
}

impl fmt::Debug for Learned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Learned({})", self.inner.file.display())
    }
}

/// A mail to be learned.
#[derive(Debug, Clone)]
pub struct Lesson {
    /// [`identity`] of the mail.
    pub message: String,
    /// As what; `None`: it is forgotten.
    pub class: Option<Class>,
    /// Its words.
    pub tokens: Vec<Token>,
}

/// What became of a lesson.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taught {
    /// The mail was to be learned.
    Learnt(Learnt),
    /// The mail was to be forgotten; false if it was never learned.
    Forgotten(bool),
}

impl Learned {
    /// Touches no file yet. `words_max`: with more words than this, those go that were of no use for the longest time.
    #[must_use]
    pub fn new(file: &Path, words_max: u64) -> Self {
        Self {
            inner: Arc::new(Inner {
                file: file.to_path_buf(),
                words_max,
                readers: Mutex::default(),
                writer: Writer::new(file, words_max),
                batch: Mutex::default(),
            }),
        }
    }

    /// Where it lies.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.inner.file
    }

    /// Words that are kept.
    #[must_use]
    pub fn words_max(&self) -> u64 {
        self.inner.words_max
    }

    /// How many words there are. Blocks.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn word_count(&self) -> Result<u64, Trouble> {
        Ok(self.inner.read(words::count)?.unwrap_or(0))
    }

    /// What is known about a mail's sender. Waits for nobody.
    ///
    /// # Errors
    /// If the file cannot be read at once.
    pub fn standing(&self, question: &Question) -> Result<Standing, Trouble> {
        let found = self.inner.read(|connection| people::standing(connection, question, now()))?;
        Ok(found.unwrap_or_default())
    }

    /// Learns mails, all in one transaction: after an error none of them is learned. Blocks.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn teach(&self, owner: Owner<'_>, lessons: &[Lesson]) -> Result<Vec<Taught>, Trouble> {
        let today = now().div_euclid(86_400);
        self.inner.write(|connection| {
            let one = |lesson: &Lesson| match lesson.class {
                Some(class) => {
                    words::learn(connection, owner, &lesson.message, class, &lesson.tokens, today)
                        .map(Taught::Learnt)
                }
                None => words::forget(connection, owner, &lesson.message, &lesson.tokens)
                    .map(Taught::Forgotten),
            };
            lessons.iter().map(one).collect()
        })
    }

    /// Remembers mails of ours, all in one transaction. Blocks.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn remember(&self, mails: &[Sent]) -> Result<(), Trouble> {
        self.inner
            .write(|connection| mails.iter().try_for_each(|mail| people::sent(connection, mail)))
    }

    /// Drops what is too old or too much. Blocks.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn expire(&self) -> Result<(), Trouble> {
        if !self.inner.file.exists() {
            return Ok(());
        }
        let mut connection = schema::connect(&self.inner.file, COMMAND_WAITS)?;
        writer::expire(&mut connection, self.inner.words_max)
    }

    /// Learns a mail when there is time; see [`Learned::lost`].
    pub fn learn_later(
        &self,
        message: String,
        class: Class,
        cut: impl FnOnce() -> Vec<Token> + Send + 'static,
    ) {
        self.inner.writer.note(Note::Learn { message, class, cut: Box::new(cut) });
    }

    /// Remembers a mail of ours when there is time.
    pub fn remember_later(&self, sent: Sent) {
        self.inner.writer.note(Note::Sent(sent));
    }

    /// Moves reputations when there is time.
    pub fn judged_later(&self, whose: Vec<Whose>, class: Class) {
        self.inner.writer.note(Note::Judged { whose, class });
    }

    /// What should have been learned later and was not, since the start.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.inner.writer.lost()
    }

    /// Waits until everything noted so far is written. Blocks.
    pub fn flush(&self) {
        self.inner.writer.flush();
    }
}

impl Inner {
    /// Asks; `None` if nothing was ever learned.
    fn read<T>(
        &self,
        question: impl FnOnce(&Connection) -> Result<T, Trouble>,
    ) -> Result<Option<T>, Trouble> {
        let spare = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match spare {
            Some(connection) => connection,
            None => match schema::connect_reader(&self.file)? {
                Some(connection) => connection,
                None => return Ok(None),
            },
        };
        // After an error the connection is closed: the next question begins anew.
        let answer = question(&connection)?;
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() < READERS_MAX {
            readers.push(connection);
        }
        Ok(Some(answer))
    }

    fn write<T>(&self, work: impl FnOnce(&Connection) -> Result<T, Trouble>) -> Result<T, Trouble> {
        let mut batch = self.batch.lock().unwrap_or_else(PoisonError::into_inner);
        let mut connection = match batch.take() {
            Some(connection) => connection,
            None => schema::connect(&self.file, COMMAND_WAITS)?,
        };
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let answer = work(&transaction)?;
        transaction.commit()?;
        *batch = Some(connection);
        Ok(answer)
    }
}

impl Tokens for Learned {
    fn totals(&self, owner: Owner<'_>) -> Result<Totals, String> {
        let account = self.inner.read(|connection| words::account(connection, owner));
        let account = account.map_err(|trouble| trouble.to_string())?.flatten();
        Ok(account.map_or(Totals::default(), |account| account.totals))
    }

    fn look_up(&self, owner: Owner<'_>, tokens: &[Token]) -> Result<Vec<Counts>, String> {
        let today = now().div_euclid(86_400);
        let counts = self.inner.read(|connection| words::look_up(connection, owner, tokens, today));
        let counts = counts.map_err(|trouble| trouble.to_string())?;
        Ok(counts.unwrap_or_else(|| vec![Counts::default(); tokens.len()]))
    }

    fn touch(&self, owner: Owner<'_>, tokens: &[Token]) {
        let user = match owner {
            Owner::Site => String::new(),
            Owner::User(address) => address.to_owned(),
        };
        self.inner.writer.note(Note::Touch { user, tokens: tokens.to_vec() });
    }

    fn learn(
        &self,
        owner: Owner<'_>,
        message: &str,
        class: Class,
        tokens: &[Token],
    ) -> Result<Learnt, String> {
        let today = now().div_euclid(86_400);
        let learn = |connection: &Connection| {
            words::learn(connection, owner, message, class, tokens, today)
        };
        self.inner.write(learn).map_err(|trouble| trouble.to_string())
    }

    fn forget(&self, owner: Owner<'_>, message: &str, tokens: &[Token]) -> Result<bool, String> {
        let forget = |connection: &Connection| words::forget(connection, owner, message, tokens);
        self.inner.write(forget).map_err(|trouble| trouble.to_string())
    }
}

/// By what a mail is known again, in whatever mailbox it lies: its Message-ID and its body, line ends and blanks at the
/// end aside. The Message-ID alone would let a spammer hide behind a mail that was learned before.
#[must_use]
pub fn identity(message: &Message) -> String {
    const BODY_BYTES_MAX: usize = 256 << 10;
    let id = message.value("Message-ID").unwrap_or_default().trim_ascii();
    let body = message.raw.get(message.body_start..).unwrap_or_default();
    let body = body.get(..BODY_BYTES_MAX).unwrap_or(body).trim_ascii();
    let mut hash = Sha256::new();
    hash.update(id);
    hash.update([0]);
    for piece in body.split(|octet| *octet == b'\r') {
        hash.update(piece);
    }
    hash.finalize().iter().take(16).map(|octet| format!("{octet:02x}")).collect()
}

/// A digest of some texts.
fn digest(texts: &[&[u8]]) -> Vec<u8> {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update(text);
        hash.update([0]);
    }
    hash.finalize().iter().take(16).copied().collect()
}

/// Seconds since 1970.
fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

#[cfg(test)]
mod tests;
