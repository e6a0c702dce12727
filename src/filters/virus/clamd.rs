//! One clamd as the mails see it: connections kept, streams counted, its health known.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex as AsyncMutex, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use super::cache::Cache;
use super::connect::{Capped, connect};
use super::health::{Circuit, Health, lock};
use super::reply::printable;
use super::session::{End, Job, Session, Trouble};
use crate::config::{Address, Scanner};

/// One clamd: its connections, its limits, its health.
pub(super) struct Clamd {
    pub(super) scanner: Scanner,
    pub(super) health: Health,
    /// True if it was configured by address: its silence counts from the start.
    is_named: bool,
    /// Where it may be; one place if it was configured.
    places: Vec<Address>,
    /// Index of the place where it was seen last.
    place: AtomicUsize,
    sessions: std::sync::Mutex<Vec<Session>>,
    streams: Semaphore,
    circuit: Circuit,
    pub(super) cache: Cache,
    last_look: AsyncMutex<Option<Instant>>,
}

impl Clamd {
    /// `address`: `None` looks at the usual places.
    pub(super) fn new(scanner: Scanner, address: Option<Address>) -> Self {
        let is_named = address.is_some();
        let places = address.map_or_else(usual_places, |address| vec![address]);
        Self::at(scanner, places, is_named)
    }

    pub(super) fn at(scanner: Scanner, places: Vec<Address>, is_named: bool) -> Self {
        Self {
            scanner,
            health: Health::default(),
            is_named,
            places,
            place: AtomicUsize::new(0),
            sessions: std::sync::Mutex::default(),
            streams: Semaphore::new(STREAMS_MAX),
            circuit: Circuit::default(),
            cache: Cache::default(),
            last_look: AsyncMutex::default(),
        }
    }

    /// Where it was seen last, or where it should be.
    pub(super) fn address(&self) -> Option<&Address> {
        self.places.get(self.place.load(Ordering::Relaxed))
    }

    /// Asks about the jobs; answers are in them afterwards, also when there was trouble.
    pub(super) async fn scan(&self, jobs: &mut [Job], deadline: Instant) -> Result<(), Trouble> {
        if !self.is_named && !self.health.was_seen() {
            self.look(deadline).await?;
        }
        self.circuit.check(self.address())?;
        let permit = timeout_at(deadline, self.streams.acquire()).await;
        let Ok(Ok(_permit)) = permit else { return Err(Trouble::Busy) };
        let result = self.converse(jobs, deadline).await;
        match &result {
            Ok(()) => self.health.up(None),
            // Neither is its fault.
            Err(
                Trouble::Deadline | Trouble::Busy | Trouble::NeverSeen | Trouble::Resting { .. },
            ) => {}
            Err(trouble) => self.down(trouble.to_string()),
        }
        result
    }

    /// One connection after the other until every job is answered. Each but the first must have brought an answer,
    /// so this ends. A kept connection that died before it brought any is replaced once.
    async fn converse(&self, jobs: &mut [Job], deadline: Instant) -> Result<(), Trouble> {
        let mut session = match self.kept_session().await {
            Some(session) => session,
            None => self.new_session(deadline).await?,
        };
        loop {
            let was_used = session.is_used();
            let before = answered(jobs);
            let end = session.run(jobs, self.scanner.timeout, deadline).await;
            let has_brought = answered(jobs) > before;
            match end {
                Ok(End::Idle) => {
                    self.keep(session);
                    return Ok(());
                }
                Ok(End::Spent) if is_decided(jobs) => return Ok(()),
                Ok(End::Spent) => {}
                Err(Trouble::HungUp | Trouble::Broken(_)) if has_brought => {}
                Err(Trouble::HungUp | Trouble::Broken(_) | Trouble::Garbage(_)) if was_used => {
                    // clamd was restarted: the other connections are dead as well.
                    lock(&self.sessions).clear();
                }
                Err(trouble) => return Err(trouble),
            }
            session = self.new_session(deadline).await?;
        }
    }

    async fn kept_session(&self) -> Option<Session> {
        loop {
            let mut session = lock(&self.sessions).pop()?;
            if session.is_fit().await {
                return Some(session);
            }
        }
    }

    fn keep(&self, session: Session) {
        let mut sessions = lock(&self.sessions);
        if sessions.len() < STREAMS_MAX {
            sessions.push(session);
        }
    }

    async fn new_session(&self, deadline: Instant) -> Result<Session, Trouble> {
        let Some(address) = self.address() else { return Err(Trouble::NeverSeen) };
        self.circuit.enter(address)?;
        let limit = Instant::now() + self.scanner.timeout.min(CONNECT_TIMEOUT);
        let error = match timeout_at(limit.min(deadline), connect(address)).await {
            Ok(Ok(stream)) => {
                self.circuit.close();
                return Ok(Session::new(stream));
            }
            Ok(Err(error)) => error,
            Err(_) if deadline < limit => return Err(Trouble::Deadline),
            Err(_) => io::ErrorKind::TimedOut.into(),
        };
        self.circuit.open(error.to_string());
        Err(Trouble::Connect { address: address.to_string(), error })
    }

    /// Looks for a clamd that was never seen, at most once in a while; others wait for the look under way.
    async fn look(&self, deadline: Instant) -> Result<(), Trouble> {
        let mut last_look = match timeout_at(deadline, self.last_look.lock()).await {
            Ok(last_look) => last_look,
            Err(_) => return Err(Trouble::Deadline),
        };
        let is_due = last_look.is_none_or(|then| then.elapsed() >= LOOK_PAUSE);
        if is_due && !self.health.was_seen() {
            *last_look = Some(Instant::now());
            self.probe(LOOK_TIMEOUT).await;
        }
        if self.health.was_seen() { Ok(()) } else { Err(Trouble::NeverSeen) }
    }

    /// Asks for its version at each place until one answers, and notes its health.
    pub(super) async fn probe(&self, patience: Duration) {
        let mut trouble = "no place to look at".to_owned();
        let last = self.place.load(Ordering::Relaxed);
        let order = std::iter::once(last).chain((0..self.places.len()).filter(|at| *at != last));
        for at in order {
            let Some(address) = self.places.get(at) else { continue };
            let question = clamav_client::tokio::get_version(Capped(address));
            match timeout(patience, question).await {
                Ok(Ok(reply)) if reply.starts_with(b"ClamAV") => {
                    if at != last {
                        // Kept connections lead to where it was.
                        lock(&self.sessions).clear();
                    }
                    self.place.store(at, Ordering::Relaxed);
                    self.circuit.close();
                    let version = printable(reply.strip_suffix(b"\0").unwrap_or(&reply));
                    self.cache.version(&version);
                    return self.health.up(Some(version));
                }
                Ok(Ok(reply)) => {
                    trouble = format!("{address}: not a clamd: {}", printable(&reply));
                }
                Ok(Err(error)) => trouble = format!("{address}: {error}"),
                Err(_) => {
                    trouble = format!("{address}: no answer within {} ms", patience.as_millis())
                }
            }
        }
        self.down(trouble);
    }

    /// Who was away may come back with other signatures.
    fn down(&self, why: String) {
        self.cache.forget();
        self.health.down(why);
    }

    /// True if it was looked for without success so far: then its absence is no trouble.
    pub(super) fn is_absent(&self) -> bool {
        !self.is_named && !self.health.was_seen()
    }
}

/// Keeps what is known of a scanner whose configuration did not change.
pub(super) fn keep_or_new(
    scanner: &Scanner,
    address: Option<&Address>,
    previous: impl IntoIterator<Item = Arc<Clamd>>,
) -> Arc<Clamd> {
    previous
        .into_iter()
        .find(|clamd| clamd.scanner == *scanner)
        .unwrap_or_else(|| Arc::new(Clamd::new(scanner.clone(), address.cloned())))
}

fn answered(jobs: &[Job]) -> usize {
    jobs.iter().filter(|job| job.answer.is_some()).count()
}

/// True if nothing is left to ask: all are answered, or one is infected, so that the mail's fate is known.
fn is_decided(jobs: &[Job]) -> bool {
    jobs.iter().any(Job::is_infected) || jobs.iter().all(|job| job.answer.is_some())
}

fn usual_places() -> Vec<Address> {
    vec![
        Address::Unix("/run/clamav/clamd.ctl".into()),
        Address::Unix("/var/run/clamav/clamd.ctl".into()),
        Address::Tcp("127.0.0.1:3310".to_owned()),
    ]
}

/// Mails that one clamd is asked about at once; it has ten threads by default (MaxThreads).
const STREAMS_MAX: usize = 8;

/// clamd is near: a connection that takes longer will not come.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Between two looks for a clamd that was never seen, and for one place of a look.
const LOOK_PAUSE: Duration = Duration::from_secs(5);
const LOOK_TIMEOUT: Duration = Duration::from_millis(500);
