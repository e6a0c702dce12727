//! Other spam engines beside ours: spamd and rspamd, for sites that move slowly, and to compare.
//!
//! They are asked side by side with everything else, about the mail as it came. What they say are rules that hit, named
//! `ENGINE:SYMBOL`. An engine that is down, slow or broken costs its time and nothing else, unless it is `required`.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::config::{Config, Engine, EngineKind};
use crate::dns::breaker::Breaker;
use crate::filters::{NotRun, RuleHit, Score, Weight};
use crate::mail::Envelope;
use crate::report::{Opinion, Report};

mod frame;
#[doc(hidden)]
pub mod fuzzing;
mod rspamd;
mod spamd;
mod symbols;
mod talk;
#[cfg(test)]
mod tests;

/// For the answer of one engine to a probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// The engines of one configuration.
#[derive(Debug, Default)]
pub struct Engines {
    all: Vec<Arc<Known>>,
}

/// An engine and what is known of it.
#[derive(Debug)]
struct Known {
    engine: Engine,
    health: Mutex<Health>,
}

#[derive(Debug, Default)]
struct Health {
    breaker: Breaker,
    last_answer: Option<SystemTime>,
    /// What the last question showed; `None`: nobody has asked yet.
    is_up: Option<bool>,
    last_error: Option<String>,
}

/// How an engine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineStatus {
    /// Its name.
    pub name: String,
    /// Where it listens.
    pub place: String,
    /// By what the last mail or probe showed.
    pub state: EngineState,
    /// Without its answer mail waits.
    pub required: bool,
    /// Why it gave no answer, the last time.
    pub last_error: Option<String>,
}

/// By what the last mail or probe showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineState {
    /// It answered.
    Up,
    /// It did not.
    Down,
    /// It was not asked yet.
    NotAsked,
}

impl EngineState {
    /// For status, JSON and `/readyz`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::NotAsked => "not asked yet",
        }
    }
}

impl EngineStatus {
    /// Mail has to wait for it.
    #[must_use]
    pub fn holds_mail(&self) -> bool {
        self.required && self.state == EngineState::Down
    }
}

/// What the engines said about a mail.
#[derive(Debug, Default)]
pub struct Asked {
    opinions: Vec<Opinion>,
    hits: Vec<RuleHit>,
    /// What all engines count for.
    points: Score,
    not_run: Vec<NotRun>,
    took: Duration,
}

/// Why an engine gave no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Trouble {
    /// It takes no connection.
    Connect(String),
    /// Its own time is over.
    Silent(Duration),
    /// The time of the mail is over.
    Deadline,
    /// It was silent too often.
    Resting,
    /// The connection broke.
    Broken(String),
    /// It ended before its reply did.
    Cut,
    /// More octets than a reply has.
    TooLong,
    /// What it said is no answer.
    NoAnswer(String),
    /// The mail is larger than what is sent to it.
    TooLarge(u64),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(why) => write!(f, "cannot connect to {why}"),
            Self::Silent(limit) => write!(f, "no answer within {limit:?}"),
            Self::Deadline => f.write_str("the time for this mail is over"),
            Self::Resting => f.write_str("it was silent time after time and is not asked for now"),
            Self::Broken(why) => write!(f, "the connection broke: {why}"),
            Self::Cut => f.write_str("it hung up before its reply was whole"),
            Self::TooLong => {
                write!(f, "its reply is longer than {} octets", frame::REPLY_BYTES_MAX)
            }
            Self::NoAnswer(why) => f.write_str(why),
            Self::TooLarge(max) => write!(f, "the mail is larger than {max} octets, not sent"),
        }
    }
}

impl Engines {
    /// By the configuration. What is known of an engine is kept from `previous` if its table did not change.
    #[must_use]
    pub fn new(config: &Config, previous: Option<&Self>) -> Self {
        let known = |engine: &Engine| {
            let before = previous.into_iter().flat_map(|engines| &engines.all);
            before.into_iter().find(|known| known.engine == *engine).map(Arc::clone)
        };
        let new =
            |engine: &Engine| Arc::new(Known { engine: engine.clone(), health: Mutex::default() });
        let of = |engine| known(engine).unwrap_or_else(|| new(engine));
        Self { all: config.engines.iter().map(of).collect() }
    }

    /// True if nobody is asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// When an engine last answered.
    #[must_use]
    pub fn last_answer(&self, name: &str) -> Option<SystemTime> {
        let known = self.all.iter().find(|known| *known.engine.name == *name)?;
        known.health().last_answer
    }

    /// How the engines are, by what the last mails and probes showed.
    #[must_use]
    pub fn status(&self) -> Vec<EngineStatus> {
        self.all.iter().map(|known| known.status()).collect()
    }

    /// Asks every engine whether it is there; to be called once in a while.
    pub async fn probe(&self) {
        let mut tasks = JoinSet::new();
        for known in &self.all {
            let known = Arc::clone(known);
            tasks.spawn(async move {
                let answer = talk::ping(&known.engine, PROBE_TIMEOUT).await;
                known.health().note(&answer);
            });
        }
        while tasks.join_next().await.is_some() {}
    }

    /// Asks every engine, side by side. Cannot fail: who gave no answer is in `not_run` of what is returned.
    pub async fn ask(
        &self,
        envelope: &Arc<Envelope>,
        octets: &bytes::Bytes,
        deadline: Instant,
    ) -> Asked {
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        for (at, known) in self.all.iter().enumerate() {
            let (known, envelope, octets) =
                (Arc::clone(known), Arc::clone(envelope), octets.clone());
            tasks.spawn(async move { (at, known.ask(&envelope, &octets, deadline).await) });
        }
        let mut answers: Vec<_> = self.all.iter().map(|_| None).collect();
        while let Some(joined) = tasks.join_next().await {
            let Ok((at, answer)) = joined else { continue };
            if let Some(place) = answers.get_mut(at) {
                *place = Some(answer);
            }
        }
        let mut asked = Asked::default();
        for (known, answer) in self.all.iter().zip(answers) {
            let broken = || Err(Trouble::Broken("its task ended".to_owned()));
            asked.take(&known.engine, answer.unwrap_or_else(broken));
        }
        asked.took = began.elapsed();
        asked
    }
}

impl Health {
    /// Keeps what an answer, or none, shows of the engine.
    fn note<T>(&mut self, answer: &Result<T, Trouble>) {
        match answer {
            Ok(_) => {
                self.last_answer = Some(SystemTime::now());
                self.is_up = Some(true);
            }
            // These say nothing of it.
            Err(Trouble::Deadline | Trouble::Resting | Trouble::TooLarge(_)) => {}
            Err(
                trouble @ (Trouble::Connect(_)
                | Trouble::Silent(_)
                | Trouble::Broken(_)
                | Trouble::Cut
                | Trouble::TooLong
                | Trouble::NoAnswer(_)),
            ) => {
                self.is_up = Some(false);
                self.last_error = Some(trouble.to_string());
            }
        }
    }
}

impl Known {
    fn status(&self) -> EngineStatus {
        let health = self.health();
        EngineStatus {
            name: self.engine.name.to_string(),
            place: self.engine.address.to_string(),
            state: match health.is_up {
                Some(true) => EngineState::Up,
                Some(false) => EngineState::Down,
                None => EngineState::NotAsked,
            },
            required: self.engine.required,
            last_error: health.last_error.clone(),
        }
    }

    /// Nothing behind this lock is left half-done by a panic.
    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(
        &self,
        envelope: &Envelope,
        octets: &[u8],
        deadline: Instant,
    ) -> Result<Opinion, Trouble> {
        let engine = &self.engine;
        if u64::try_from(octets.len()).unwrap_or(u64::MAX) > engine.max_size_bytes {
            return Err(Trouble::TooLarge(engine.max_size_bytes));
        }
        let began = Instant::now();
        if !self.health().breaker.may_ask(began.into_std()) {
            return Err(Trouble::Resting);
        }
        let answer = talk::ask(engine, envelope, octets, deadline).await;
        let mut health = self.health();
        health.note(&answer);
        match &answer {
            Ok(_) => health.breaker.answered(),
            Err(Trouble::Connect(_) | Trouble::Silent(_)) => {
                if health.breaker.was_silent(Instant::now().into_std()) {
                    tracing::warn!(engine = &*engine.name, "a spam engine is silent and rests");
                }
            }
            // It speaks, or the mail's time was short.
            Err(
                Trouble::Deadline
                | Trouble::Resting
                | Trouble::Broken(_)
                | Trouble::Cut
                | Trouble::TooLong
                | Trouble::NoAnswer(_)
                | Trouble::TooLarge(_),
            ) => {}
        }
        drop(health);
        answer.map(|opinion| Opinion {
            engine: engine.name.to_string(),
            took: began.elapsed(),
            ..opinion
        })
    }
}

impl Asked {
    fn take(&mut self, engine: &Engine, answer: Result<Opinion, Trouble>) {
        match answer {
            Ok(opinion) => {
                let (hits, points) = symbols::hits(engine, &opinion);
                self.hits.extend(hits);
                self.points += points;
                self.opinions.push(opinion);
            }
            Err(trouble) => {
                // A mail that is too large will be so at every try.
                let may_wait = engine.required && !matches!(trouble, Trouble::TooLarge(_));
                self.not_run.push(NotRun {
                    check: format!("engine:{}", engine.name),
                    why: trouble.to_string(),
                    weight: if may_wait { Weight::Required } else { Weight::Wanted },
                });
            }
        }
    }

    /// Adds it to what our own filters saw.
    pub fn add_to(self, report: &mut Report) {
        if !self.hits.is_empty() {
            report.score = Some(report.score.unwrap_or_default() + self.points);
        }
        report.rules.extend(self.hits);
        report.opinions = self.opinions;
        report.not_run.extend(self.not_run);
        report.timing.push(("engines", self.took));
    }
}

/// The reader of an engine's replies.
fn reader(kind: EngineKind) -> fn(&[u8]) -> Result<Opinion, String> {
    match kind {
        EngineKind::Spamd => spamd::read,
        EngineKind::Rspamd => rspamd::read,
    }
}
