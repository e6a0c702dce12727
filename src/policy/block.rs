//! Our block of header lines, in amavis' forms, our own Received last in it.

use std::fmt::Write as _;

use super::judge::Decision;
use super::plan::Identity;
use super::{results, words};
use crate::mail::Envelope;
use crate::report::Report;
use crate::verdict::{Action, Verdict};

/// Fields of a stranger that are dropped where we write our own of that name.
pub const SPAM_FIELDS: [&str; 8] = [
    "X-Spam-Flag",
    "X-Spam-Score",
    "X-Spam-Level",
    "X-Spam-Status",
    "X-Spam-Report",
    "X-Spam-Checker-Version",
    "X-Spam-Tests",
    "X-Spam",
];

/// Stands in the place of our Received field where none is wanted: it holds the loop mark and names no host.
pub const PASSED: &str = "X-Tamis-Passed";

/// Tells how long ago the recipient wrote to the author. Only ours is believed: those of strangers go.
pub const KNOWN: &str = "X-Tamis-Known";

/// Columns after which a field is folded, where it can be.
const FOLD_AT: usize = 78;
/// Characters of the level bar.
const LEVEL_MAX: usize = 64;

/// The block for recipients with that decision.
#[must_use]
pub fn block(
    identity: &Identity<'_>,
    envelope: &Envelope,
    report: &Report,
    decision: &Decision,
    local: bool,
    quarantined: bool,
) -> String {
    let mut out = String::with_capacity(512);
    if let Some(auth) = report.auth.as_ref().filter(|_| report.writes_results) {
        out.push_str(&results::field(identity.hostname, &envelope.sender.address, auth));
    }
    if quarantined && local {
        line(&mut out, &format!("X-Quarantine-ID: <{}>", identity.id));
    }
    line(&mut out, &format!("X-Virus-Scanned: Tamis at {}", identity.hostname));
    if !report.is_virus_scanned() {
        line(&mut out, "X-Virus-Status: not scanned");
    }
    if let Some(days) = report.correspondent_days.filter(|_| local) {
        line(&mut out, &format!("{KNOWN}: {}", known(days, report)));
    }
    if decision.action == Action::Tag {
        alerts(&mut out, report, decision);
    }
    if decision.spammy && local {
        spam(&mut out, report, decision);
    }
    if identity.received {
        out.push_str(&received(identity, envelope));
    } else {
        line(&mut out, &format!("{PASSED}: (Tamis, {}, {})", identity.listener, identity.mark));
    }
    out
}

/// How long ago, and whether that means anything: anybody can write anybody's name into From.
fn known(days: u32, report: &Report) -> String {
    let proved = report.auth.as_ref().is_some_and(|auth| auth.proves_author());
    let when = if days == 1 { "1 day".to_owned() } else { format!("{days} days") };
    if proved { when } else { format!("{when} (sender not verified)") }
}

fn line(out: &mut String, text: &str) {
    out.push_str(&fold(text));
    out.push_str("\r\n");
}

/// Folds at blanks; no line becomes longer than 78 where a blank allows it, or than 900 in any case.
fn fold(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut column = 0;
    for (index, word) in text.split(' ').enumerate() {
        let width = word.chars().count();
        if index > 0 {
            // A run of blanks has no place to fold at, so that only what fits a line is kept of it.
            if word.is_empty() && column >= FOLD_AT {
                continue;
            }
            if column + 1 + width > FOLD_AT && column > 0 && !word.is_empty() {
                out.push_str("\r\n");
                column = 0;
            }
            out.push(' ');
            column += 1;
        }
        for (at, c) in word.chars().enumerate() {
            // A word of a stranger may be endless: only what fits a line is kept.
            if at < 900 {
                out.push(if c.is_ascii() && !c.is_ascii_control() { c } else { '?' });
            }
        }
        column += width;
    }
    out
}

fn alerts(out: &mut String, report: &Report, decision: &Decision) {
    for reason in decision.reasons.iter().filter(|reason| reason.action == Action::Tag) {
        let text = match reason.verdict {
            Verdict::Virus => {
                format!("INFECTED, message contains virus: {}", words::viruses(report))
            }
            Verdict::Banned => format!("BANNED, message contains {}", words::banned(report)),
            Verdict::Malformed => format!("BAD HEADER SECTION, {}", reason.text),
            Verdict::Ambiguous | Verdict::Encrypted | Verdict::OverLimits | Verdict::Incomplete => {
                format!("UNCHECKED, {}: {}", reason.verdict, reason.text)
            }
            Verdict::Denied => format!("SENDER DENIED, {}", reason.text),
            Verdict::Spam | Verdict::Spammy | Verdict::Clean => continue,
        };
        line(out, &format!("X-Amavis-Alert: {text}"));
        return;
    }
}

/// The X-Spam fields, also for the quarantine copy.
pub fn spam(out: &mut String, report: &Report, decision: &Decision) {
    let Some(score) = report.score else { return };
    let yes = decision.spammy;
    let policy = &decision.policy.spam;
    line(out, if yes { "X-Spam-Flag: YES" } else { "X-Spam-Flag: NO" });
    line(out, &format!("X-Spam-Score: {score}"));
    let stars = usize::try_from(score.0 / 1000).unwrap_or(0).min(LEVEL_MAX);
    line(out, format!("X-Spam-Level: {}", "*".repeat(stars)).trim_end());
    let mut status = format!("X-Spam-Status: {}, score={score}", if yes { "Yes" } else { "No" });
    if let Some(required) = policy.tag_at {
        let _ = write!(status, " required={required}");
    }
    if decision.allowed.is_some() {
        status.push_str(" WHITELISTED");
    }
    let tests: Vec<String> =
        report.rules.iter().map(|hit| format!("{}={}", hit.name, hit.score)).collect();
    let _ = write!(status, " tests=[{}] autolearn=no", tests.join(", "));
    line(out, &status);
}

/// `Received: from HELO ([peer]) by localhost (HOST [127.0.0.1]) (Tamis, LISTENER, MARK) with ESMTP id ID for <…>; DATE`.
///
/// `for` is there only with exactly one recipient, so that none learns of another. The mark lets us know this mail
/// again, should it come back by a missing `content_filter=`.
fn received(identity: &Identity<'_>, envelope: &Envelope) -> String {
    let helo = comment_safe(&envelope.helo);
    let mut out = format!(
        "Received: from {helo} ([{}])\r\n by localhost ({} [127.0.0.1]) (Tamis, {}, {})\r\n with {} id {}",
        identity.peer,
        identity.hostname,
        identity.listener,
        identity.mark,
        envelope.protocol.as_str(),
        identity.id
    );
    if let [only] = envelope.recipients.as_slice() {
        let address = comment_safe(only.address());
        if address.len() < 200 {
            let _ = write!(out, " for <{address}>");
        }
    }
    let _ = write!(out, ";\r\n {}\r\n", identity.date);
    out
}

/// A stranger's word inside a Received field: printable ASCII without what could end a comment or a field.
fn comment_safe(text: &str) -> String {
    text.chars()
        .take(255)
        .map(|c| if c.is_ascii_graphic() && !"()\\;<>".contains(c) { c } else { '?' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_fields_are_folded_at_blanks() {
        let folded =
            fold(&format!("X-Spam-Status: Yes, tests=[{}]", vec!["SOME_RULE=1.5"; 20].join(", ")));
        assert!(folded.split("\r\n").all(|line| line.len() <= 78), "{folded}");
        assert!(
            folded.split("\r\n").skip(1).all(|line| line.starts_with(' ') && line.trim() != "")
        );
        assert_eq!(
            folded.replace("\r\n", ""),
            fold(&folded.replace("\r\n", "")).replace("\r\n", "")
        );
    }

    #[test]
    fn a_strangers_word_cannot_leave_its_place() {
        assert_eq!(comment_safe("x\r\nEvil: 1) (y"), "x??Evil:?1???y");
        assert!(!fold("X-Amavis-Alert: a\r\nEvil: 1\0").contains("\r\nEvil"));
        assert!(fold(&"a".repeat(5000)).len() <= 900);
        let blanks = fold(&format!("X-A: a{}b{}", " ".repeat(5000), " ".repeat(5000)));
        assert!(blanks.split("\r\n").all(|line| line.len() <= 998 && !line.trim().is_empty()));
    }
}
