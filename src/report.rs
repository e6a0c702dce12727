//! What the filters saw, and what they could not see: the input of policy, and of every explanation.

use std::sync::Arc;
use std::time::Duration;

use crate::filters::auth::Auth;
use crate::filters::defects::DefectHit;
use crate::filters::spam::bayes::autolearn::Points;
use crate::filters::{BannedHit, HeaderHit, ListHit, NotRun, RuleHit, Score, VirusHit};
use crate::mail::Message;

/// Findings of all filters about one mail.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The decoded message.
    pub message: Arc<Message>,
    /// Viruses.
    pub viruses: Vec<VirusHit>,
    /// What scanners find suspicious, but not a virus: heuristics, unwanted programs.
    pub suspicious: Vec<VirusHit>,
    /// Attachments of banned kinds, for every rule set that a policy of this mail's recipients uses.
    pub banned: Vec<BannedHit>,
    /// Oddities of the message from which a verdict follows.
    pub defects: Vec<DefectHit>,
    /// Lines of Postfix tables that fired, in order.
    pub headers: Vec<HeaderHit>,
    /// Entries of allow and deny lists that fit.
    pub lists: Vec<ListHit>,
    /// Rules of the spam engine that hit.
    pub rules: Vec<RuleHit>,
    /// Sum of the rules' points; `None` if the engine did not run.
    pub score: Option<Score>,
    /// The points as far as they may teach.
    pub learning: Points,
    /// Who vouches for the mail; `None`: nobody was asked.
    pub auth: Option<Arc<Auth>>,
    /// Our own Authentication-Results field is written, and those that claim to be ours go.
    pub writes_results: bool,
    /// The client is a stranger: fields that only we may write are not his.
    pub outside: bool,
    /// So many days ago the recipients last wrote to the author; `None`: they never did, or it is not known.
    pub correspondent_days: Option<u32>,
    /// Checks without answer.
    pub not_run: Vec<NotRun>,
    /// Checks that this site does not make, with the reason.
    pub off: Arc<[NotRun]>,
    /// Each scanner and what it said: `clean`, `infected`, `not scanned: …`.
    pub scans: Vec<Scan>,
    /// What other spam engines said.
    pub opinions: Vec<Opinion>,
    /// Why this mail cannot be judged at all: it made us fail time after time.
    pub failed: Option<String>,
    /// How long each stage took, in the order of the stages.
    pub timing: Vec<(&'static str, Duration)>,
}

/// What one scanner said about a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// The scanner.
    pub scanner: String,
    /// `clean`, `infected`, or `not scanned: why`.
    pub answer: String,
    /// How long it took.
    pub took: Duration,
}

/// What another spam engine said about a mail, in its own points.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Opinion {
    /// The engine: its table in the configuration.
    pub engine: String,
    /// Its score, before our factor.
    pub score: Score,
    /// What makes a mail spam there; `None` if it does not say.
    pub required: Option<Score>,
    /// `spam` or `ham`; of rspamd the action: `no action`, `add header`, `reject` …
    pub verdict: String,
    /// How long it took.
    pub took: Duration,
    /// The rules that hit there.
    pub symbols: Vec<Symbol>,
}

/// A rule that hit in another engine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Symbol {
    /// `BAYES_99`.
    pub name: String,
    /// Its points there.
    pub score: Score,
    /// What it means, for people; may be empty.
    pub describe: String,
    /// What it hit, if the engine says.
    pub options: Vec<String>,
}

impl Report {
    /// The same message without any finding, for a plan that changes nothing.
    #[must_use]
    pub fn only(report: &Self) -> Self {
        Self {
            message: Arc::clone(&report.message),
            scans: report.scans.clone(),
            auth: report.auth.clone(),
            ..Self::default()
        }
    }

    /// True if a scanner other than the built-in one has looked at the mail and answered.
    #[must_use]
    pub fn is_virus_scanned(&self) -> bool {
        self.scans
            .iter()
            .any(|scan| scan.scanner != BUILTIN && !scan.answer.starts_with("not scanned"))
    }
}

/// The name of the built-in scanner: it knows a handful of signatures, so that its "clean" is no virus scan.
pub const BUILTIN: &str = "builtin";
