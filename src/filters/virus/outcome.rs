//! What the scanners found out about a mail.

use std::time::{Duration, SystemTime};

use super::reply::{Answer, is_heuristic};
use super::session::{Job, Trouble};
use crate::config::{OnError, Scanner};
use crate::filters::{NotRun, VirusHit, Weight};

/// What the scanners found out about a mail.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// Viruses.
    pub hits: Vec<VirusHit>,
    /// Heuristic names (`Heuristics.Phishing.…`, `PUA.…`): a ground for points, not for the verdict `virus`.
    pub suspicious: Vec<VirusHit>,
    /// Questions without an answer. Each scanner without a full answer is here, unless it found a virus: then the rest
    /// of the mail does not matter any more.
    pub not_run: Vec<NotRun>,
    /// How long each scanner that was asked took.
    pub scanned_by: Vec<(String, Duration)>,
    /// One for each scanner.
    pub status: Vec<ScanStatus>,
}

/// What one scanner says about a mail, for the header `X-Virus-Status` and the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanStatus {
    /// Name of the scanner.
    pub name: String,
    /// What it says.
    pub result: ScanResult,
}

/// What one scanner says about a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScanResult {
    /// It looked at everything and found no virus.
    Clean,
    /// It found one.
    Infected,
    /// It did not look, or not at everything; why.
    NotScanned(String),
}

/// How a scanner is, for `tamis status`, metrics and readiness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScannerStatus {
    /// Its name.
    pub name: String,
    /// Where it is; `built in` for the built-in one.
    pub place: String,
    /// See [`ScannerState`].
    pub state: ScannerState,
    /// What it calls itself, with the version of its signatures.
    pub version: Option<String>,
    /// The last trouble, even if it is over.
    pub last_error: Option<String>,
    /// When it answered last.
    pub last_ok: Option<SystemTime>,
}

/// Whether a scanner answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScannerState {
    /// Its last answer was one.
    Up,
    /// It gave no answer when it was asked last.
    Down,
    /// It has not answered yet, and its absence counts as `off` (`auto`), or nobody asked so far.
    NeverSeen,
    /// It has nothing to look for.
    Off,
}

impl ScannerState {
    /// The name in JSON and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::NeverSeen => "never seen",
            Self::Off => "off",
        }
    }
}

impl Outcome {
    /// Adds what others found out about the same mail.
    pub fn merge(&mut self, other: Self) {
        self.hits.extend(other.hits);
        self.suspicious.extend(other.suspicious);
        self.not_run.extend(other.not_run);
        self.scanned_by.extend(other.scanned_by);
        self.status.extend(other.status);
    }

    /// What one scanner's answers mean.
    pub(super) fn of(
        scanner: &Scanner,
        jobs: Vec<Job>,
        result: Result<(), Trouble>,
        took: Duration,
    ) -> Self {
        let name = scanner.name.to_string();
        let is_absent = matches!(result, Err(Trouble::NeverSeen));
        let mut outcome = Self::default();
        let (mut too_large, mut errors) = (Vec::new(), Vec::new());
        for job in jobs {
            let Job { part, answer, .. } = job;
            match answer {
                Some(Answer::Found(virus)) => {
                    let list = if is_heuristic(&virus) {
                        &mut outcome.suspicious
                    } else {
                        &mut outcome.hits
                    };
                    list.push(VirusHit { scanner: name.clone(), name: virus, part });
                }
                Some(Answer::TooLarge(why)) => too_large.push(about(&part, &why)),
                Some(Answer::Error(why)) => errors.push(about(&part, &why)),
                Some(Answer::Clean) | None => {}
            }
        }
        if let Err(trouble) = result {
            errors.push(trouble.to_string());
        }
        if is_absent {
            // What nobody is there to look at cannot be too large for him.
            too_large.clear();
        }
        let result = if !outcome.hits.is_empty() {
            ScanResult::Infected
        } else {
            let silence = match scanner.on_error {
                _ if is_absent => Weight::Off,
                OnError::TempFail => Weight::Required,
                OnError::Pass => Weight::Wanted,
            };
            outcome.miss(&name, &errors, silence);
            outcome.miss(&name, &too_large, Weight::TooLarge);
            match outcome.not_run.first() {
                Some(not_run) => ScanResult::NotScanned(not_run.why.clone()),
                None => ScanResult::Clean,
            }
        };
        if !is_absent {
            outcome.scanned_by.push((name.clone(), took));
        }
        outcome.status.push(ScanStatus { name, result });
        outcome
    }

    fn miss(&mut self, scanner: &str, whys: &[String], weight: Weight) {
        let Some(first) = whys.first() else { return };
        let why = match whys.len() {
            1 => first.clone(),
            count => format!("{first} (and {} more)", count - 1),
        };
        self.not_run.push(NotRun { check: format!("virus:{scanner}"), why, weight });
    }
}

fn about(part: &str, why: &str) -> String {
    if part.is_empty() { format!("whole message: {why}") } else { format!("part {part}: {why}") }
}
