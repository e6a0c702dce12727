//! The words of a decision: replies as amavis gives them, so that log tools go on working.

use super::judge::{Decision, OwnReply};
use crate::report::Report;
use crate::smtp::Reply;
use crate::verdict::{Action, Verdict};

/// At most this much of names goes into a reply or header.
const NAMES_CHARS_MAX: usize = 160;

/// `INFECTED: NAME`, `BANNED: names`, `spam`, `UNCHECKED: encrypted`, …
#[must_use]
pub fn summary(report: &Report, decision: &Decision) -> String {
    match decision.verdict {
        Verdict::Virus => format!("INFECTED: {}", viruses(report)),
        Verdict::Banned => format!("BANNED: {}", banned(report)),
        Verdict::Ambiguous => "UNCHECKED: ambiguous content".to_owned(),
        Verdict::Encrypted => "UNCHECKED: encrypted".to_owned(),
        Verdict::OverLimits => "UNCHECKED: over limits".to_owned(),
        Verdict::Incomplete => format!("UNCHECKED: {}", first_reason(decision)),
        Verdict::Malformed => format!("BAD HEADER: {}", first_reason(decision)),
        Verdict::Denied => "sender denied".to_owned(),
        Verdict::Spam => "spam".to_owned(),
        Verdict::Spammy => "spammy".to_owned(),
        Verdict::Clean => "clean".to_owned(),
    }
}

fn first_reason(decision: &Decision) -> String {
    cut(decision.reasons.first().map_or("", |reason| reason.text.as_str()))
}

/// Names of the viruses found, without repetition.
#[must_use]
pub fn viruses(report: &Report) -> String {
    let mut names: Vec<&str> = report.viruses.iter().map(|hit| hit.name.as_str()).collect();
    names.dedup();
    cut(&names.join(", "))
}

/// Names of what was banned, without repetition.
#[must_use]
pub fn banned(report: &Report) -> String {
    let mut names: Vec<&str> = report.banned.iter().map(|hit| hit.name.as_str()).collect();
    if names.is_empty() {
        names = report.headers.iter().map(|hit| hit.table).collect();
    }
    names.dedup();
    cut(&names.join(","))
}

fn cut(text: &str) -> String {
    text.chars().take(NAMES_CHARS_MAX).collect()
}

/// What the client hears if nothing is delivered for this recipient.
#[must_use]
pub fn reply_for(report: &Report, decision: &Decision, id: &str) -> Reply {
    let what = summary(report, decision);
    match decision.action {
        Action::Reject | Action::Bounce => match &decision.reply {
            Some(OwnReply::Rule(own)) => Reply::new(own.code, format!("{} (id={id})", own.text())),
            Some(OwnReply::Table(own)) => own.clone(),
            None => {
                let enhanced =
                    if decision.verdict == Verdict::Malformed { "5.6.0" } else { "5.7.0" };
                Reply::new(554, format!("{enhanced} Reject, id={id} - {what}"))
            }
        },
        Action::Defer => Reply::new(
            451,
            format!("4.5.0 Error in processing, id={id}, {}", first_reason(decision)),
        ),
        Action::Quarantine | Action::Discard | Action::Pass | Action::Tag => {
            Reply::new(250, format!("2.7.0 Ok, discarded, id={id} - {what}"))
        }
    }
}
