//! The filters observe and return findings; they never change a mail and never decide.

use std::fmt;
use std::net::IpAddr;
use std::ops::{Add, AddAssign, Range};
use std::path::Path;
use std::sync::Arc;

use crate::mail::{Envelope, Message};
use crate::verdict::Action;

pub use known::{Known, Learned};

pub mod attachments;
pub mod auth;
pub mod defects;
pub mod dns;
pub mod dnsbl;
pub mod headers;
mod known;
pub mod lists;
pub mod spam;
pub mod standing;
pub mod virus;

/// Points, in thousandths: sums and thresholds are exact, and rule files use at most three decimals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Score(pub i32);

impl Score {
    /// Reads `5`, `5.0`, `-0.001`; more than three decimals are rounded.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let value: f64 = text.trim().parse().ok()?;
        Self::from_f64(value)
    }

    /// The nearest score; `None` for what is no number or beyond ±1,000,000.
    #[must_use]
    pub fn from_f64(value: f64) -> Option<Self> {
        if !value.is_finite() || value.abs() > 1_000_000.0 {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "the range is checked above")]
        Some(Self((value * 1000.0).round() as i32))
    }

    /// For JSON and histograms.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / 1000.0
    }
}

impl Add for Score {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Score {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl std::iter::Sum for Score {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self(0), Add::add)
    }
}

/// As amavis writes scores: three decimals at most, no trailing zeros: `5`, `5.1`, `-0.001`.
impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{:.3}", self.as_f64());
        let text = text.trim_end_matches('0').trim_end_matches('.');
        f.write_str(if text == "-0" { "0" } else { text })
    }
}

/// Where a rule or a table line stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Source {
    /// The file as it was named at load; `filters/…` for what is built into the program.
    pub file: Arc<str>,
    /// Line, from 1; 0 if the file as a whole, or a setting, is meant.
    pub line: u32,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.file),
            line => write!(f, "{}:{line}", self.file),
        }
    }
}

/// A mistake in a file that a person wrote: shown as `file:line:column: what` with a hint what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mistake {
    /// The file.
    pub file: Arc<str>,
    /// Line, from 1; 0 if the file as a whole is meant.
    pub line: u32,
    /// Column in characters, from 1; 0 if the line as a whole is meant.
    pub column: u32,
    /// What is wrong.
    pub what: String,
    /// What to write instead; may be empty.
    pub hint: String,
    /// An error stops the load; anything else is only shown.
    pub severity: Severity,
}

/// How bad a [`Mistake`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// It can be used, but not as the writer may think.
    Warning,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
            if self.column > 0 {
                write!(f, ":{}", self.column)?;
            }
        }
        let word = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, ": {word}: {}", self.what)?;
        if !self.hint.is_empty() {
            write!(f, "; {}", self.hint)?;
        }
        Ok(())
    }
}

/// A rule file as read: its name for people, and its text.
#[derive(Debug, Clone)]
pub struct RuleFile {
    /// As shown in explanations.
    pub name: Arc<str>,
    /// Its octets; rule files need not be UTF-8.
    pub text: Arc<[u8]>,
}

impl RuleFile {
    /// A file of the shipped rules, built into the program.
    #[must_use]
    pub fn built_in(name: &str, text: &[u8]) -> Self {
        Self { name: name.into(), text: text.into() }
    }

    /// Reads a file of the site.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn read(path: &Path) -> std::io::Result<Self> {
        Ok(Self {
            name: path.display().to_string().into(),
            text: crate::plain_file::read(path)?.into(),
        })
    }
}

/// What a filter may look at.
#[derive(Debug, Clone, Copy)]
pub struct Mail<'a> {
    /// Who and to whom.
    pub envelope: &'a Envelope,
    /// The decoded message.
    pub message: &'a Message,
    /// Networks of our own, for rules that ask whether the client is one of us.
    pub internal: bool,
    /// When it came to us.
    pub received: jiff::Timestamp,
    /// What was found out elsewhere.
    pub known: &'a Known,
}

#[cfg(test)]
impl<'a> Mail<'a> {
    /// A mail of which nothing is known but itself, come at the beginning of time.
    pub(crate) const fn alone(envelope: &'a Envelope, message: &'a Message) -> Self {
        let received = jiff::Timestamp::UNIX_EPOCH;
        Self { envelope, message, internal: false, received, known: Known::NOTHING }
    }
}

impl Mail<'_> {
    /// The original client's address.
    #[must_use]
    pub fn client_address(&self) -> Option<IpAddr> {
        self.envelope.client.address
    }
}

/// A rule of the spam engine that hit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleHit {
    /// `SUBJECT_SHOUTS`.
    pub name: Arc<str>,
    /// Its points.
    pub score: Score,
    /// What it means, for people.
    pub describe: Arc<str>,
    /// What it hit, at most 200 characters, control characters replaced.
    pub evidence: String,
    /// Where in the mail that stands: `body, paragraph 2, octet 17`; empty if it stands nowhere.
    pub place: String,
    /// Where the rule stands.
    pub source: Source,
}

/// A virus found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VirusHit {
    /// Name of the scanner: its table in the configuration, or `builtin`.
    pub scanner: String,
    /// Name of the virus.
    pub name: String,
    /// Path of the part; empty for the message as a whole.
    pub part: String,
}

/// A part of a kind that a rule names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BannedHit {
    /// The rule set it belongs to; policies name the sets they use.
    pub set: Arc<str>,
    /// Path of the part.
    pub part: String,
    /// The name or type that matched, control characters replaced.
    pub name: String,
    /// The rule.
    pub rule: Arc<str>,
    /// Why, for people.
    pub reason: String,
    /// The text for the SMTP reply, if the rule has one of its own.
    pub reply: Option<String>,
    /// What the rule asks for; `None`: the policy's action for `banned`.
    pub action: Option<Action>,
    /// Where the rule stands.
    pub source: Source,
}

/// A line of a Postfix table that fired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderHit {
    /// `header_checks`, `mime_header_checks`, `nested_header_checks` or `body_checks`.
    pub table: &'static str,
    /// Where the rule stands.
    pub source: Source,
    /// What it asks for.
    pub action: TableAction,
    /// The header field or body line it matched, unfolded, at most 200 characters, control characters replaced.
    pub text: String,
    /// Where that field or line stands in [`Message::raw`], with its line end; `None` if it does not stand there as it
    /// was matched (decoded text).
    pub range: Option<Range<usize>>,
}

/// Actions of header_checks(5), with `$1` filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableAction {
    /// BCC user@domain.
    Bcc(String),
    /// DISCARD text: claim success and drop the mail.
    Discard(String),
    /// FILTER transport:destination.
    Filter(String),
    /// HOLD text.
    Hold(String),
    /// IGNORE: delete the line.
    Ignore,
    /// STRIP text: delete the line and log it.
    Strip(String),
    /// INFO text: log it.
    Info(String),
    /// WARN text: log it.
    Warn(String),
    /// PASS: no further header and body checks.
    Pass,
    /// PREPEND text: put a line before this one.
    Prepend(String),
    /// REPLACE text: put another line in its place.
    Replace(String),
    /// REDIRECT user@domain.
    Redirect(String),
    /// REJECT: code, enhanced code and text, ready for the reply: `550`, `5.7.1`, `message content rejected`.
    Reject {
        /// 4xx or 5xx, by the enhanced code.
        code: u16,
        /// `5.7.1`.
        enhanced: String,
        /// The text.
        text: String,
    },
}

/// An entry of an allow or deny list that fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListHit {
    /// True for the deny list.
    pub deny: bool,
    /// The pattern as written.
    pub pattern: Arc<str>,
    /// The address that fitted.
    pub address: String,
    /// The recipients it holds for, by the same kind of pattern; `None`: all.
    pub scope: Option<Arc<str>>,
    /// Where the entry stands.
    pub source: Source,
}

/// A check that gave no answer, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotRun {
    /// The check: `virus:clamav`, `spam:RULE_NAME`, …
    pub check: String,
    /// Why, for people.
    pub why: String,
    /// What follows for the mail.
    pub weight: Weight,
}

/// What a missing answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Switched off or absent: shown, nothing more.
    Off,
    /// It was wanted, but the site lets mail pass without it: shown and counted.
    Wanted,
    /// Required, and a later try may succeed: the mail must wait (4xx).
    Required,
    /// Required, and a retry cannot help, because of what the mail is: the verdict `over-limits`.
    TooLarge,
}
