//! The writer: one thread, one connection, and group commit.
//!
//! A commit costs one sync of the disk, however many jobs are in it. All jobs that wait when the writer is free go
//! into one transaction, and each is answered after the commit. History rows ride along, and otherwise wait up to a
//! second for company, because no mail waits for them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::oneshot;

use super::history::{self, HistoryRow};
use super::{Trouble, schema};

const GROUP_JOBS_MAX: usize = 512;
const HISTORY_GROUP_MAX: usize = 256;
const HISTORY_WAIT_MAX: Duration = Duration::from_secs(1);
/// Some 16 MiB at 4 kB a row, and as many again while they are written; they pile up only when the disk does not answer.
const HISTORY_WAITING_MAX: usize = 4096;

/// Tells the job's asker how the commit went.
type Answer = Box<dyn FnOnce(Result<(), &rusqlite::Error>) + Send>;
/// Does its work inside the transaction; a job that gets an error instead passes it on.
type Job = Box<dyn FnOnce(Result<&Connection, &rusqlite::Error>) -> Option<Answer> + Send>;

enum Task {
    Job(Job),
    /// History rows wait: the first, or enough of them for a group.
    History,
    Flush(oneshot::Sender<()>),
}

/// The way to the writer thread.
#[derive(Debug)]
pub(super) struct Writer {
    tasks: Option<Sender<Task>>,
    thread: Option<JoinHandle<()>>,
    history: Arc<History>,
}

/// Rows that wait for the writer. They do not go through its channel: to wake it for each row would cost more than to
/// write the row.
#[derive(Debug, Default)]
struct History {
    waiting: Mutex<Vec<HistoryRow>>,
    lost: AtomicU64,
}

impl History {
    fn waiting(&self) -> MutexGuard<'_, Vec<HistoryRow>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    pub fn start(path: &Path) -> Result<Self, Trouble> {
        let connection = schema::connect(path)?;
        let (tasks, receiver) = mpsc::channel();
        let history = Arc::new(History::default());
        let mut work = Work { connection, history: Arc::clone(&history) };
        let thread = std::thread::Builder::new()
            .name("quarantine-index".to_owned())
            .spawn(move || {
                // A bug in one job must not end the quarantine: the transaction is rolled back and the next one begins.
                while catch_unwind(AssertUnwindSafe(|| work.run(&receiver))).is_err() {
                    tracing::error!("a job of the quarantine index was broken off");
                }
            })
            .map_err(|e| Trouble::Index(format!("cannot start the writer: {e}")))?;
        Ok(Self { tasks: Some(tasks), thread: Some(thread), history })
    }

    /// Hands in a job; `deliver` gets its result once that is on the disk.
    pub fn submit<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Trouble> + Send + 'static,
        deliver: impl FnOnce(Result<T, Trouble>) + Send + 'static,
    ) {
        self.send(Task::Job(Box::new(move |connection| match connection {
            Err(error) => {
                deliver(Err(Trouble::index(error)));
                None
            }
            Ok(connection) => match in_savepoint(connection, work) {
                Ok(value) => Some(Box::new(move |commit: Result<(), &rusqlite::Error>| {
                    deliver(commit.map(|()| value).map_err(Trouble::index));
                })),
                Err(trouble) => {
                    deliver(Err(trouble));
                    None
                }
            },
        })));
    }

    /// Does a job and waits for the disk. The job is done even if the caller stops waiting.
    pub async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, Trouble> {
        let (sender, receiver) = oneshot::channel();
        self.submit(work, move |result| drop(sender.send(result)));
        receiver.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// The same for a thread that may block, and for the start of the program.
    pub fn write_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, Trouble> {
        let (sender, receiver) = mpsc::sync_channel(1);
        self.submit(work, move |result| drop(sender.send(result)));
        receiver.recv().unwrap_or_else(|_| Err(stopped()))
    }

    /// Takes a history row, or counts it as lost when too many wait already.
    pub fn record(&self, row: HistoryRow) {
        let waiting = {
            let mut waiting = self.history.waiting();
            if waiting.len() < HISTORY_WAITING_MAX {
                waiting.push(row);
                Some(waiting.len())
            } else {
                None
            }
        };
        match waiting {
            Some(1 | HISTORY_GROUP_MAX) => self.send(Task::History),
            Some(_) => {}
            None => {
                let lost = self.history.lost.fetch_add(1, Ordering::Relaxed) + 1;
                if lost.is_power_of_two() {
                    tracing::warn!(lost, "history rows lost: the database is too slow");
                }
            }
        }
    }

    /// History rows that had no place, since the start.
    pub fn history_lost(&self) -> u64 {
        self.history.lost.load(Ordering::Relaxed)
    }

    /// Waits until all rows recorded so far are written.
    pub async fn flush(&self) {
        let (sender, receiver) = oneshot::channel();
        self.send(Task::Flush(sender));
        let _ = receiver.await;
    }

    fn send(&self, task: Task) {
        // If the thread is gone the task is dropped here, and its asker hears that from the channel.
        if let Some(tasks) = &self.tasks {
            let _ = tasks.send(task);
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.tasks.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn stopped() -> Trouble {
    Trouble::Index("the writer has stopped".to_owned())
}

/// A job that fails leaves nothing behind, and the others of its group unharmed.
fn in_savepoint<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, Trouble>,
) -> Result<T, Trouble> {
    connection.execute_batch("SAVEPOINT job")?;
    match work(connection) {
        Ok(value) => {
            connection.execute_batch("RELEASE job")?;
            Ok(value)
        }
        Err(trouble) => {
            if connection.execute_batch("ROLLBACK TO job; RELEASE job").is_err() {
                // Half a job must not be committed with the others: none is.
                let _ = connection.execute_batch("ROLLBACK");
            }
            Err(trouble)
        }
    }
}

/// What the others of a group hear when one made the database give the transaction up.
fn lost() -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT_ROLLBACK);
    rusqlite::Error::SqliteFailure(code, None)
}

struct Work {
    connection: Connection,
    history: Arc<History>,
}

impl Work {
    fn run(&mut self, tasks: &Receiver<Task>) {
        // Rows wait already if a job has just been broken off.
        let mut history_due = self.history_due();
        loop {
            let first = match history_due {
                None => tasks.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(due) => tasks.recv_timeout(due.saturating_duration_since(Instant::now())),
            };
            let stop = matches!(first, Err(RecvTimeoutError::Disconnected));
            let (mut jobs, mut flushes) = (Vec::new(), Vec::new());
            let mut next = first.ok();
            while let Some(task) = next {
                match task {
                    Task::Job(job) => jobs.push(job),
                    Task::History => {}
                    Task::Flush(asker) => flushes.push(asker),
                }
                next = if jobs.len() < GROUP_JOBS_MAX { tasks.try_recv().ok() } else { None };
            }
            let due = history_due.is_some_and(|due| due <= Instant::now());
            let history_now = self.history.waiting().len() >= HISTORY_GROUP_MAX || due || stop;
            if !jobs.is_empty() || !flushes.is_empty() || history_now {
                self.commit(jobs);
                history_due = None;
            }
            for asker in flushes {
                // Whoever asked may have stopped waiting.
                let _ = asker.send(());
            }
            if stop {
                return;
            }
            history_due = history_due.or_else(|| self.history_due());
        }
    }

    /// Until when rows that wait now may wait for more of them.
    fn history_due(&self) -> Option<Instant> {
        (!self.history.waiting().is_empty()).then(|| Instant::now() + HISTORY_WAIT_MAX)
    }

    fn commit(&mut self, jobs: Vec<Job>) {
        let transaction =
            match self.connection.transaction_with_behavior(TransactionBehavior::Immediate) {
                Ok(transaction) => transaction,
                Err(error) => {
                    for job in jobs {
                        job(Err(&error));
                    }
                    tracing::error!(%error, "the quarantine index cannot be written");
                    return;
                }
            };
        let mut answers: Vec<Answer> = Vec::new();
        for job in jobs {
            // A full disk may have ended the transaction for all. A job done after that would be committed alone
            // and be told that it was not.
            let lost = lost();
            let ended = transaction.is_autocommit();
            answers.extend(job(if ended { Err(&lost) } else { Ok(&transaction) }));
        }
        let rows = std::mem::take(&mut *self.history.waiting());
        let recorded = in_savepoint(&transaction, |connection| {
            rows.iter().try_for_each(|row| history::insert(connection, row))
        });
        let committed = transaction.commit();
        for answer in answers {
            answer(match &committed {
                Ok(()) => Ok(()),
                Err(error) => Err(error),
            });
        }
        if recorded.is_err() || committed.is_err() {
            // They stay and are tried again; what comes when too many wait is counted as lost.
            tracing::error!(?recorded, ?committed, "history rows were not written");
            self.history.waiting().splice(0..0, rows);
        }
    }
}
