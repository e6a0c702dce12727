//! The main log line in amavis' form, so that log tools go on working.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{Entry, clean, queued_as};
use crate::explain;
use crate::policy::{Decision, summary};
use crate::verdict::{Action, Verdict};

/// One line for the recipients who got the mail, one for the others.
pub fn lines(entry: &Entry<'_>, address: impl Fn(&str) -> String) -> Vec<String> {
    let count = entry.envelope.recipients.len();
    let passed = |index: &usize| {
        let decision = entry.examined.decisions.get(*index);
        let reply = entry.outcome.replies.get(*index);
        decision.is_some_and(|decision| {
            decision.action.delivers() || entry.mode == crate::config::Mode::Observe
        }) && reply.is_some_and(crate::smtp::Reply::is_positive)
    };
    let (delivered, blocked): (Vec<usize>, Vec<usize>) = (0..count).partition(passed);
    [(true, delivered), (false, blocked)]
        .into_iter()
        .filter(|(_, who)| !who.is_empty())
        .map(|(passed, who)| line(entry, passed, &who, &address))
        .collect()
}

fn line(
    entry: &Entry<'_>,
    passed: bool,
    who: &[usize],
    address: &impl Fn(&str) -> String,
) -> String {
    let (examined, envelope) = (entry.examined, entry.envelope);
    let decision = who.first().and_then(|&index| examined.decisions.get(index));
    let mut out = format!("({}) ", examined.id.as_str());
    out.push_str(if passed { "Passed " } else { "Blocked " });
    out.push_str(
        &decision.map_or_else(|| "CLEAN".to_owned(), |decision| category(entry, decision, passed)),
    );
    let _ = write!(out, " {{{}}},", actions(entry, who));
    if entry.internal {
        out.push_str(" LOCAL");
    }
    let client = envelope.client.address.unwrap_or(entry.peer);
    let port = envelope.client.port.map(|port| format!(":{port}")).unwrap_or_default();
    let to: Vec<String> = who
        .iter()
        .filter_map(|&index| envelope.recipients.get(index))
        .map(|recipient| format!("<{}>", address(recipient.address())))
        .collect();
    let _ = write!(
        out,
        " [{client}]{port} <{}> -> {}",
        address(&envelope.sender.address),
        to.join(",")
    );
    if let Some(stored) = &entry.outcome.quarantined {
        let _ = write!(out, ", quarantine: {}", stored.file);
    }
    if let Some(ident) = &envelope.client.ident {
        let _ = write!(out, ", Queue-ID: {ident}");
    }
    let message_id = explain::header_text(&examined.report.message, "Message-ID");
    if !message_id.is_empty() {
        let _ = write!(out, ", Message-ID: {message_id}");
    }
    let hits = examined.report.score.map_or_else(|| "-".to_owned(), |score| score.to_string());
    let _ = write!(
        out,
        ", mail_id: {}, Hits: {hits}, size: {}",
        examined.id.as_str(),
        examined.report.message.raw.len()
    );
    if passed {
        let ids: Vec<&str> =
            entry.outcome.accepted.iter().filter_map(|text| queued_as(text)).collect();
        if !ids.is_empty() {
            let _ = write!(out, ", queued_as: {}", ids.join("/"));
        }
    }
    let _ = write!(out, ", {} ms", entry.took.as_millis());
    clean(&out)
}

fn category(entry: &Entry<'_>, decision: &Decision, passed: bool) -> String {
    let report = &entry.examined.report;
    let names = || {
        summary(report, decision)
            .split_once(": ")
            .map_or(String::new(), |(_, names)| names.to_owned())
    };
    let decided = matches!(decision.action, Action::Pass | Action::Tag);
    if !passed && decided {
        return "MTA-BLOCKED".to_owned();
    }
    match decision.verdict {
        Verdict::Virus => format!("INFECTED ({})", names()),
        Verdict::Banned => format!("BANNED ({})", names()),
        Verdict::Encrypted => "UNCHECKED-ENCRYPTED".to_owned(),
        Verdict::Ambiguous | Verdict::OverLimits | Verdict::Incomplete => "UNCHECKED".to_owned(),
        Verdict::Malformed => "BAD-HEADER-0".to_owned(),
        Verdict::Denied | Verdict::Spam => "SPAM".to_owned(),
        Verdict::Spammy => "SPAMMY".to_owned(),
        Verdict::Clean => "CLEAN".to_owned(),
    }
}

fn actions(entry: &Entry<'_>, who: &[usize]) -> String {
    let mut words = BTreeSet::new();
    for &index in who {
        let Some(decision) = entry.examined.decisions.get(index) else { continue };
        let reply = entry.outcome.replies.get(index);
        let failed = reply.is_some_and(crate::smtp::Reply::is_temporary);
        let refused = reply.is_some_and(crate::smtp::Reply::is_permanent);
        let what = match decision.action {
            _ if failed => "TempFailed",
            _ if refused => "Rejected",
            Action::Pass => "Relayed",
            Action::Tag => "RelayedTagged",
            Action::Quarantine
            | Action::Discard
            | Action::Reject
            | Action::Bounce
            | Action::Defer => "Discarded",
        };
        let local = entry.local.get(index).copied().unwrap_or(true);
        let direction = match (entry.internal, local) {
            (true, true) => "Internal",
            (true, false) => "Outbound",
            (false, true) => "Inbound",
            (false, false) => "OpenRelay",
        };
        words.insert(format!("{what}{direction}"));
    }
    let mut words: Vec<String> = words.into_iter().collect();
    if entry.outcome.quarantined.is_some() {
        words.push("Quarantined".to_owned());
    }
    words.join(",")
}
