//! What rules did not get to see of a mail: what was cut is told, so that nobody takes it for looked at.
//!
//! It is no reason to let a mail wait, for ordinary mail is long as well.

use crate::filters::{NotRun, Weight};

use super::evals::dns::leaves_hosts_out;
use super::text::{Cut, LeftOut, Links, Target, not_in_full};
use super::view::View;

/// Parts that are named one by one.
const NAMED_MAX: usize = 5;

/// Says it of every text that was asked for, after the rules have run.
pub(super) fn of(view: &View<'_>) -> Vec<NotRun> {
    let made = view.made();
    let mut out = Vec::new();
    let mut tell = |check: &str, why: String| {
        out.push(NotRun { check: format!("spam:{check}"), why, weight: Weight::Wanted });
    };
    if made.header.is_some_and(|header| header.truncated || header.is_too_long()) {
        tell("header", "fields are longer, or more, than rules look at".to_owned());
    }
    if made.parts.is_some_and(|parts| parts.cut) {
        tell("parts", "there are more parts, or deeper ones, than rules look at".to_owned());
    }
    if let Some(why) = made.body.and_then(why) {
        tell("text", why);
    }
    if let Some(why) = made.raw_body.and_then(why) {
        tell("rawbody", why);
    }
    if let Some(count) = made.links.map(|links| links.left_out).filter(|count| *count > 0) {
        tell("links", format!("{count} links more than rules look at"));
    }
    if let Some(count) = made.links.map(Links::unfinished).filter(|count| *count > 0) {
        tell("redirectors", format!("{count} links took more than their share of time"));
    }
    if leaves_hosts_out(view) {
        tell("hosts", "links lead to more hosts than lists are asked about".to_owned());
    }
    let octets = not_in_full(view.octets());
    if octets > 0 && view.engine.texts.iter().any(|text| text.target == Target::Full) {
        tell("full", format!("{octets} octets in the middle of the message"));
    }
    out
}

/// `part 1.2: 70000 characters, 500 hidden characters; 3 more parts`.
fn why(cut: &Cut) -> Option<String> {
    let mut told: Vec<String> = cut.left_out.iter().take(NAMED_MAX).map(of_part).collect();
    let more = cut.left_out.len().saturating_sub(NAMED_MAX) + cut.parts;
    if more > 0 {
        told.push(format!("{more} more parts"));
    }
    (!told.is_empty()).then(|| told.join("; "))
}

fn of_part(left: &LeftOut) -> String {
    let counts =
        [(left.seen, "characters"), (left.hidden, "hidden characters"), (left.octets, "octets")];
    let counts = counts.iter().filter(|(count, _)| *count > 0);
    let counts: Vec<String> = counts.map(|(count, what)| format!("{count} {what}")).collect();
    format!("part {}: {}", left.path, counts.join(", "))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::filters::spam::{Engine, Outcome};
    use crate::filters::{Mail, RuleFile};
    use crate::mail::Envelope;

    const RULES: &[u8] = b"body B_PAY /wire the money/\nuri U_EVIL /evil\\.example/\nrawbody R_PAY /wire the money/\n\
        full F_END /the very end/\nheader H_END X-Long =~ /the very end/\n";

    fn inspect(text: &str) -> Outcome {
        let files = [RuleFile::built_in("a.cf", RULES)];
        let (engine, mistakes) = Engine::load(&files, &BTreeMap::new());
        assert_eq!(mistakes, []);
        let limits = crate::mime::Limits::default();
        let message = crate::mime::decode(text.replace('\n', "\r\n").into(), &limits);
        let envelope = Envelope::default();
        let mail = Mail::alone(&envelope, &message);
        engine.inspect(&mail, None)
    }

    fn hits(outcome: &Outcome) -> Vec<&str> {
        outcome.hits.iter().map(|hit| &*hit.name).collect()
    }

    fn told(outcome: &Outcome) -> Vec<String> {
        assert!(outcome.not_run.iter().all(|one| one.weight == Weight::Wanted));
        outcome.not_run.iter().map(|one| format!("{} {}", one.check, one.why)).collect()
    }

    const PAY: &str = "<p>Please wire the money by http://evil.example/x today.</p>";

    fn page(before: &str) -> String {
        format!("Subject: x\nContent-Type: text/html\n\n<html><body>{before}{PAY}</body></html>\n")
    }

    #[test]
    fn what_is_hidden_pushes_nothing_aside_that_is_seen() {
        let hidden = "<div style=\"display:none\">nice words stand here</div>\n".repeat(4_000);
        let outcome = inspect(&page(&hidden));
        assert_eq!(hits(&outcome), ["B_PAY", "U_EVIL", "R_PAY"]);
        let [text] = told(&outcome).try_into().unwrap();
        assert!(
            text.starts_with("spam:text part 1: ") && text.ends_with(" hidden characters"),
            "{text}"
        );
        // Blanks, and letters without width, are hidden text as well.
        for filler in [" \n".repeat(90_000), "\u{200b}\u{200b} ".repeat(30_000)] {
            let text = format!(
                "Subject: x\nContent-Type: text/plain; charset=utf-8\n\nHello.\n{filler}\nwire the money\n"
            );
            assert_eq!(hits(&inspect(&text)), ["B_PAY", "R_PAY"]);
        }
    }

    #[test]
    fn what_is_seen_and_not_looked_at_is_told() {
        let words = "<p>These words are in plain sight.</p>\n".repeat(3_000);
        let outcome = inspect(&page(&words));
        assert_eq!(hits(&outcome), ["R_PAY"]);
        let [text] = told(&outcome).try_into().unwrap();
        assert!(text.starts_with("spam:text part 1: ") && text.ends_with(" characters"), "{text}");
        assert!(!text.contains("hidden"), "{text}");

        let two = format!(
            "Subject: x\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\nshort\n\
             --b\nContent-Type: message/rfc822\n\nSubject: y\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\
             Content-Type: text/plain\n\n{}\n--c--\n--b--\n",
            "in plain sight, all of it\n".repeat(40_000)
        );
        let checks = told(&inspect(&two));
        assert_eq!(checks.len(), 2, "{checks:?}");
        assert!(checks[0].starts_with("spam:text part 2.1: "), "{checks:?}");
        assert!(checks[1].starts_with("spam:rawbody part 2.1: "), "{checks:?}");
    }

    #[test]
    fn short_mails_have_nothing_to_tell() {
        assert_eq!(told(&inspect(&page(""))), [""; 0]);
        // What is as long as it may be, and blanks at its end.
        let blanks = " \n".repeat(60_000);
        assert_eq!(told(&inspect(&format!("Subject: x\n\nHello.\n{blanks}"))), [""; 0]);
    }

    #[test]
    fn long_headers_many_links_deep_parts_and_large_messages_are_told() {
        let long = format!("X-Long: {}the very end\nSubject: x\n\nHello.\n", "x".repeat(9_000));
        assert_eq!(
            told(&inspect(&long)),
            ["spam:header fields are longer, or more, than rules look at"]
        );
        let links: String =
            (0..5_000).map(|n| format!("<a href=http://h{n}.example/>x</a>\n")).collect();
        let told_of_links = told(&inspect(&page(&links)));
        assert!(
            told_of_links.iter().any(|one| one.starts_with("spam:links ")),
            "{told_of_links:?}"
        );
        let deep: String = (0..25)
            .map(|n| format!("Content-Type: multipart/mixed; boundary=b{n}-\n\n--b{n}-\n"))
            .collect();
        let deep = format!("Subject: x\n{deep}Content-Type: text/plain\n\nwire the money\n");
        let told_of_parts = told(&inspect(&deep));
        assert!(
            told_of_parts.iter().any(|one| one.starts_with("spam:parts ")),
            "{told_of_parts:?}"
        );
        let large = format!(
            "Subject: x\nContent-Type: application/x\n\n{}the very end\n",
            "0123456789\n".repeat(120_000)
        );
        let outcome = inspect(&large);
        assert_eq!(hits(&outcome), ["F_END"]);
        assert!(told(&outcome)[0].starts_with("spam:full "));
    }
}
