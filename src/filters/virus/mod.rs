//! Virus scanners: clamd, and the built-in one.

#![warn(missing_docs)]

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::config::{Config, ScannerKind};
use crate::filters::{Mistake, NotRun, RuleFile, Weight};
use crate::mail::Message;

mod builtin;
mod cache;
mod clamd;
mod connect;
mod health;
mod outcome;
mod reply;
mod requests;
mod session;
mod signatures;

#[cfg(test)]
mod fake;

pub use builtin::Builtin;
pub use outcome::{Outcome, ScanResult, ScanStatus, ScannerState, ScannerStatus};
pub use reply::is_heuristic;

use clamd::Clamd;
use reply::Answer;
use session::Trouble;

/// The shipped signatures, built into the program.
#[must_use]
pub fn shipped() -> Vec<RuleFile> {
    vec![RuleFile::built_in(
        "filters/virus/eicar.sig",
        include_bytes!("../../../filters/virus/eicar.sig"),
    )]
}

/// Reads what a scanner daemon said; for fuzzing.
pub(crate) fn read_reply(octets: &[u8]) {
    if let Ok(reply) = reply::parse(octets)
        && let Answer::Found(name) = reply.answer
    {
        let _ = is_heuristic(&name);
    }
}

/// The scanners of one configuration.
pub struct Scanners {
    clamds: Vec<Arc<Clamd>>,
    builtin: Option<Arc<Builtin>>,
}

impl Scanners {
    /// The scanners as configured. What is known of a clamd (its connections, whether it was ever seen) is kept from
    /// `previous` if its configuration did not change.
    #[must_use]
    pub fn build(
        config: &Config,
        signatures: &[RuleFile],
        previous: Option<&Self>,
    ) -> (Self, Vec<Mistake>) {
        let mut mistakes = Vec::new();
        let mut scanners = Self { clamds: Vec::new(), builtin: None };
        for scanner in &config.scanners {
            match &scanner.kind {
                ScannerKind::Clamd(address) => {
                    let known = previous.into_iter().flat_map(|p| p.clamds.iter().cloned());
                    scanners.clamds.push(clamd::keep_or_new(scanner, address.as_ref(), known));
                }
                ScannerKind::Builtin => {
                    let (builtin, found) = Builtin::build(&scanner.name, signatures);
                    scanners.builtin = Some(Arc::new(builtin));
                    mistakes.extend(found);
                }
            }
        }
        (scanners, mistakes)
    }

    /// The built-in scanner, unless it is off. It needs the processor and no waiting: it is not part of
    /// [`Scanners::inspect`], but run where the other work of that kind is done; [`Outcome::merge`] joins the two.
    #[must_use]
    pub fn builtin(&self) -> Option<&Arc<Builtin>> {
        self.builtin.as_ref()
    }

    /// True if there are scanners outside this program.
    #[must_use]
    pub fn has_outside(&self) -> bool {
        !self.clamds.is_empty()
    }

    /// Asks every scanner outside this program, side by side, about the whole message and each decoded part.
    ///
    /// Cannot fail: a scanner without an answer is in [`Outcome::not_run`].
    pub async fn inspect(&self, mail: &Arc<Message>, deadline: Instant) -> Outcome {
        let mut outcome = Outcome::default();
        match self.clamds.as_slice() {
            [] if self.builtin.is_none() => outcome.not_run.push(NotRun {
                check: "virus".to_owned(),
                why: "no scanner is configured".to_owned(),
                weight: Weight::Off,
            }),
            [] => {}
            [only] => outcome = ask(only, mail, deadline).await,
            several => {
                let mut tasks = JoinSet::new();
                for (at, clamd) in several.iter().enumerate() {
                    let (clamd, mail) = (Arc::clone(clamd), Arc::clone(mail));
                    tasks.spawn(async move { (at, ask(&clamd, &mail, deadline).await) });
                }
                let mut outcomes: Vec<Option<Outcome>> = several.iter().map(|_| None).collect();
                while let Some(joined) = tasks.join_next().await {
                    let Ok((at, one)) = joined else { continue };
                    if let Some(place) = outcomes.get_mut(at) {
                        *place = Some(one);
                    }
                }
                // A task that panicked left its place empty: no answer is no "clean".
                for (clamd, one) in several.iter().zip(outcomes) {
                    outcome.merge(one.unwrap_or_else(|| failed(clamd)));
                }
            }
        }
        outcome
    }

    /// How the scanners are, by what the last mails and probes showed.
    #[must_use]
    pub fn status(&self) -> Vec<ScannerStatus> {
        let builtin = self.builtin.iter().map(|builtin| builtin.status());
        self.clamds.iter().map(|clamd| status_of(clamd)).chain(builtin).collect()
    }

    /// Asks every scanner outside this program for its version; to be called once in a while.
    pub async fn probe(&self) {
        let mut tasks = JoinSet::new();
        for clamd in &self.clamds {
            let clamd = Arc::clone(clamd);
            tasks.spawn(async move { clamd.probe(PROBE_TIMEOUT).await });
        }
        while tasks.join_next().await.is_some() {}
    }
}

async fn ask(clamd: &Clamd, mail: &Message, deadline: Instant) -> Outcome {
    let began = Instant::now();
    let mut jobs = requests::choose(mail);
    let size_max = clamd.scanner.max_size_bytes;
    for job in &mut jobs {
        if job.digest.is_some_and(|digest| clamd.cache.is_clean(&digest, began)) {
            job.answer = Some(Answer::Clean);
            continue;
        }
        if u64::try_from(job.data.len()).unwrap_or(u64::MAX) > size_max {
            let why = format!("larger than {size_max} octets, not sent");
            job.answer = Some(Answer::TooLarge(why));
        }
    }
    let generation = clamd.cache.generation();
    let result = clamd.scan(&mut jobs, deadline).await;
    let found_clean = jobs.iter().filter(|job| job.answer == Some(Answer::Clean));
    for digest in found_clean.filter_map(|job| job.digest) {
        clamd.cache.add(digest, generation, began);
    }
    Outcome::of(&clamd.scanner, jobs, result, began.elapsed())
}

fn failed(clamd: &Clamd) -> Outcome {
    let trouble = Trouble::Garbage("the scan was broken off".to_owned());
    Outcome::of(&clamd.scanner, Vec::new(), Err(trouble), Duration::ZERO)
}

fn status_of(clamd: &Clamd) -> ScannerStatus {
    let health = clamd.health.snapshot();
    let state = match health.is_up {
        Some(true) => ScannerState::Up,
        _ if clamd.is_absent() => ScannerState::NeverSeen,
        Some(false) => ScannerState::Down,
        None => ScannerState::NeverSeen,
    };
    ScannerStatus {
        name: clamd.scanner.name.to_string(),
        place: clamd.address().map_or_else(String::new, ToString::to_string),
        state,
        version: health.version,
        last_error: health.last_error,
        last_ok: health.last_ok,
    }
}

/// For the answer of one scanner to a probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
