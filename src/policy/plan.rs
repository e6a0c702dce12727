//! Decisions to deeds: who gets the mail with which edits, whose copy is kept, and what the client hears.

use std::net::IpAddr;

use super::block;
use super::choose::is_local;
use super::edit::Edit;
use super::judge::Decision;
use super::results;
use super::words::reply_for;
use crate::filters::TableAction;
use crate::mail::{Envelope, Path};
use crate::report::Report;
use crate::smtp::Reply;
use crate::verdict::Action;

/// Who we are, and what this mail is called.
#[derive(Debug, Clone)]
pub struct Identity<'a> {
    /// The mail's id.
    pub id: &'a str,
    /// Our name.
    pub hostname: &'a str,
    /// The listener's name.
    pub listener: &'a str,
    /// The peer that handed us the mail.
    pub peer: IpAddr,
    /// Now, as in RFC 5322 section 3.3.
    pub date: &'a str,
    /// By which we know this mail again; see [`crate::delivery::loop_guard`].
    pub mark: &'a str,
    /// See [`crate::config::Config::local_domains`].
    pub local_domains: &'a [String],
    /// A Received field is added.
    pub received: bool,
    /// Each recipient hears his own reply (LMTP), so that a refusal can be told beside a delivery.
    pub own_replies: bool,
}

/// What is to be done about a mail.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Transactions to the next hop.
    pub deliveries: Vec<Delivery>,
    /// Recipients (indices) whose copy is kept; empty: no quarantine entry.
    pub quarantine: Vec<usize>,
    /// The reply for each recipient that gets nothing, by index; `None` where a delivery's reply will stand.
    pub replies: Vec<Option<Reply>>,
    /// The mail must wait as a whole: this is said, and nothing is carried out.
    pub wait: Option<Reply>,
}

/// One transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The recipients it stands for, by index.
    pub recipients: Vec<usize>,
    /// Where it goes: the paths of those recipients, unless a table redirects it or adds a copy.
    pub paths: Vec<Path>,
    /// Header lines on top.
    pub block: String,
    /// Sorted edits of the original.
    pub edits: Vec<Edit>,
    /// A table sends it elsewhere: the first path stands for all recipients.
    pub redirected: bool,
}

/// Plans for all recipients; `decisions` stand in the order of the envelope's recipients.
#[must_use]
pub fn plan(
    identity: &Identity<'_>,
    envelope: &Envelope,
    report: &Report,
    decisions: &[Decision],
) -> Plan {
    let mut plan = Plan::default();
    if let Some(decision) = decisions.iter().find(|decision| decision.action == Action::Defer) {
        plan.wait = Some(reply_for(report, decision, identity.id));
        return plan;
    }
    // One reply for all: where others hear 2xx, nobody can hear of a refusal.
    let any_taken = !identity.own_replies
        && decisions
            .iter()
            .any(|decision| !matches!(decision.action, Action::Reject | Action::Bounce));
    let quarantined = decisions.iter().any(|decision| decision.copy || held(decision, any_taken));
    for (index, (decision, recipient)) in decisions.iter().zip(&envelope.recipients).enumerate() {
        let keep = decision.copy || held(decision, any_taken);
        if keep {
            plan.quarantine.push(index);
        }
        if !decision.action.delivers() {
            let refused = matches!(decision.action, Action::Reject | Action::Bounce);
            let reply = if refused && any_taken {
                Reply::new(250, format!("2.7.0 Ok, quarantined, id={}", identity.id))
            } else {
                reply_for(report, decision, identity.id)
            };
            plan.replies.push(Some(reply));
            continue;
        }
        plan.replies.push(None);
        let local = is_local(identity.local_domains, recipient.address());
        let block = block::block(identity, envelope, report, decision, local, quarantined && keep);
        let edits = edits(identity, report, decision, local);
        let same = |delivery: &&mut Delivery| delivery.block == block && delivery.edits == edits;
        match plan.deliveries.iter_mut().find(same) {
            Some(delivery) => {
                delivery.recipients.push(index);
                delivery.paths.push(recipient.path.clone());
            }
            None => plan.deliveries.push(Delivery {
                recipients: vec![index],
                paths: vec![recipient.path.clone()],
                block,
                edits,
                redirected: false,
            }),
        }
    }
    redirect(report, &mut plan);
    plan
}

/// A refused recipient whose mail goes on to others cannot be told: his copy is kept instead.
fn held(decision: &Decision, any_taken: bool) -> bool {
    matches!(decision.action, Action::Reject | Action::Bounce) && any_taken
}

fn edits(identity: &Identity<'_>, report: &Report, decision: &Decision, local: bool) -> Vec<Edit> {
    let message = &report.message;
    let mut edits = Vec::new();
    for hit in &report.headers {
        let Some(range) = &hit.range else { continue };
        let text = |text: &String| format!("{text}\r\n").into_bytes();
        match &hit.action {
            TableAction::Ignore | TableAction::Strip(_) => edits.push(Edit::delete(range)),
            TableAction::Prepend(line) => edits.push(Edit::insert(range.start, text(line))),
            TableAction::Replace(line) => edits.push(Edit::replace(range, text(line))),
            TableAction::Bcc(_)
            | TableAction::Discard(_)
            | TableAction::Filter(_)
            | TableAction::Hold(_)
            | TableAction::Info(_)
            | TableAction::Warn(_)
            | TableAction::Pass
            | TableAction::Redirect(_)
            | TableAction::Reject { .. } => {}
        }
    }
    if report.writes_results {
        edits.extend(results::forged(identity.hostname, report));
    }
    if report.outside && local {
        edits.extend(message.fields(block::KNOWN).map(|field| Edit::delete(&field.field)));
    }
    if decision.spammy && local {
        for name in block::SPAM_FIELDS {
            edits.extend(message.fields(name).map(|field| Edit::delete(&field.field)));
        }
    }
    let prefix = &decision.policy.subject_prefix;
    if decision.action == Action::Tag && decision.spammy && local && !prefix.is_empty() {
        edits.extend(subject(report, prefix));
    }
    edits.sort();
    edits.dedup();
    edits
}

/// Puts the prefix before the Subject's value, the original octets behind it. Never twice.
fn subject(report: &Report, prefix: &str) -> Option<Edit> {
    let message = &report.message;
    let Some(field) = message.fields("Subject").next() else {
        return Some(Edit::insert(0, format!("Subject: {}\r\n", encoded(prefix)).into_bytes()));
    };
    let value = message.octets(&field.value);
    let blanks = value.iter().take_while(|octet| octet.is_ascii_whitespace()).count();
    let text = value.get(blanks..).unwrap_or_default();
    let word = encoded(prefix);
    if text.starts_with(word.trim_end().as_bytes()) {
        return None;
    }
    let at = field.value.start + blanks;
    let lead = if blanks == 0 { " " } else { "" };
    Some(Edit::insert(at, format!("{lead}{word}").into_bytes()))
}

/// A prefix that is not ASCII becomes an encoded word of its own (RFC 2047).
fn encoded(prefix: &str) -> String {
    use base64::Engine as _;
    let clean: String = prefix.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if clean.is_ascii() {
        return clean;
    }
    let text = base64::engine::general_purpose::STANDARD.encode(clean.trim_end());
    format!("=?UTF-8?B?{text}?= ")
}

/// REDIRECT sends every delivery to one address instead; BCC adds one. The last REDIRECT wins, as in Postfix.
fn redirect(report: &Report, plan: &mut Plan) {
    let path = |address: &String, parameters: &str| Path {
        argument: format!("<{address}>{parameters}").into_bytes(),
        address: address.clone(),
    };
    let mut target = None;
    let mut copies: Vec<Path> = Vec::new();
    for hit in &report.headers {
        match &hit.action {
            TableAction::Redirect(address) => target = Some(path(address, "")),
            TableAction::Bcc(address) => copies.push(path(address, " NOTIFY=NEVER")),
            TableAction::Discard(_)
            | TableAction::Filter(_)
            | TableAction::Hold(_)
            | TableAction::Ignore
            | TableAction::Strip(_)
            | TableAction::Info(_)
            | TableAction::Warn(_)
            | TableAction::Pass
            | TableAction::Prepend(_)
            | TableAction::Replace(_)
            | TableAction::Reject { .. } => {}
        }
    }
    if let Some(target) = target {
        // One address gets one mail, whatever its copies would have been for those it was written to.
        let others: Vec<usize> =
            plan.deliveries.iter().skip(1).flat_map(|other| other.recipients.clone()).collect();
        plan.deliveries.truncate(1);
        for delivery in &mut plan.deliveries {
            delivery.paths = vec![target.clone()];
            delivery.recipients.extend(&others);
            delivery.redirected = true;
        }
    }
    if let Some(first) = plan.deliveries.first_mut() {
        for copy in copies {
            if !first.paths.iter().any(|known| known.address == copy.address) {
                first.paths.push(copy);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::{ListenerMode, Policy, Thresholds};
    use crate::filters::Score;
    use crate::mail::Recipient;
    use crate::policy::judge;
    use crate::verdict::Verdict;

    fn policy(quarantine_at: i32, prefix: &str) -> Arc<Policy> {
        let mut policy = crate::policy::judge::tests::policy();
        policy.spam.quarantine_at = Some(Score(quarantine_at));
        policy.subject_prefix = prefix.into();
        Arc::new(policy)
    }

    fn identity(local_domains: &[String]) -> Identity<'_> {
        Identity {
            id: "abcdefghijkl",
            hostname: "mx.example.org",
            listener: "content_filter",
            peer: "127.0.0.1".parse().unwrap(),
            date: "Mon, 23 Nov 2026 00:00:00 +0000",
            mark: "0123",
            local_domains,
            received: true,
            own_replies: false,
        }
    }

    fn envelope(addresses: &[&str]) -> Envelope {
        let recipient = |address: &&str| Recipient {
            path: Path {
                argument: format!("<{address}>").into_bytes(),
                address: (*address).to_owned(),
            },
        };
        Envelope { recipients: addresses.iter().map(recipient).collect(), ..Envelope::default() }
    }

    fn planned(
        report: &Report,
        recipients: &[(&str, Arc<Policy>)],
        mode: ListenerMode,
        local: &[String],
    ) -> Plan {
        let addresses: Vec<&str> = recipients.iter().map(|(address, _)| *address).collect();
        let decisions: Vec<Decision> = recipients
            .iter()
            .map(|(address, policy)| judge(report, policy, mode, address))
            .collect();
        plan(&identity(local), &envelope(&addresses), report, &decisions)
    }

    #[test]
    fn equal_edits_share_a_transaction() {
        let report = Report { score: Some(Score(6000)), ..Report::default() };
        let (tag, never) = (policy(8000, ""), policy(8000, "[SPAM] "));
        let recipients = [("a@x", tag.clone()), ("b@x", never), ("c@x", tag)];
        let plan = planned(&report, &recipients, ListenerMode::AfterQueue, &[]);
        let groups: Vec<_> =
            plan.deliveries.iter().map(|delivery| delivery.recipients.clone()).collect();
        assert_eq!(groups, [vec![0, 2], vec![1]]);
    }

    #[test]
    fn the_willing_get_the_mail_and_the_others_copy_is_kept() {
        let report = Report { score: Some(Score(21_000)), ..Report::default() };
        let strict = policy(8000, "");
        let mut lenient = (*strict).clone();
        lenient.spam =
            Thresholds { tag_at: Some(Score(5000)), quarantine_at: None, reject_at: None };
        let recipients = [("a@x", strict.clone()), ("b@x", Arc::new(lenient))];
        let plan = planned(&report, &recipients, ListenerMode::PreQueue, &[]);
        assert_eq!((plan.quarantine.as_slice(), plan.deliveries.len()), (&[0][..], 1));
        assert_eq!(plan.deliveries[0].recipients, [1]);
        assert!(plan.replies[0].as_ref().unwrap().is_positive());
        let alone = planned(&report, &[("a@x", strict)], ListenerMode::PreQueue, &[]);
        let reply = alone.replies[0].as_ref().unwrap();
        assert_eq!(reply.to_string(), "554 5.7.0 Reject, id=abcdefghijkl - spam");
        assert_eq!(alone.quarantine, [0]);
    }

    #[test]
    fn a_redirected_mail_goes_once_to_its_new_address() {
        let hit = |action| crate::filters::HeaderHit {
            table: "header_checks",
            source: crate::filters::Source { file: "x".into(), line: 1 },
            action,
            text: String::new(),
            range: None,
        };
        let report = Report {
            score: Some(Score(6000)),
            headers: vec![
                hit(TableAction::Redirect("new@x".into())),
                hit(TableAction::Bcc("copy@x".into())),
            ],
            ..Report::default()
        };
        let recipients = [("a@x", policy(8000, "")), ("b@x", policy(8000, "[SPAM] "))];
        let plan = planned(&report, &recipients, ListenerMode::AfterQueue, &[]);
        let [delivery] = plan.deliveries.as_slice() else { panic!("{:?}", plan.deliveries) };
        let paths: Vec<&str> = delivery.paths.iter().map(|path| path.address.as_str()).collect();
        assert_eq!((paths.as_slice(), delivery.redirected), (&["new@x", "copy@x"][..], true));
        assert_eq!(delivery.recipients, [0, 1]);
    }

    #[test]
    fn a_refusal_beside_a_quarantined_copy_is_kept_instead() {
        let report = Report { score: Some(Score(21_000)), ..Report::default() };
        let strict = policy(8000, "");
        let mut keeps = (*strict).clone();
        keeps.spam.reject_at = None;
        let recipients = [("a@x", strict), ("b@x", Arc::new(keeps))];
        let plan = planned(&report, &recipients, ListenerMode::PreQueue, &[]);
        assert!(plan.replies.iter().flatten().all(Reply::is_positive), "{:?}", plan.replies);
        assert_eq!(plan.quarantine, [0, 1]);
    }

    #[test]
    fn strangers_get_no_spam_headers() {
        let report = Report { score: Some(Score(6000)), ..Report::default() };
        let local = ["ours.test".to_owned()];
        let recipients = [("a@ours.test", policy(8000, "")), ("b@other.test", policy(8000, ""))];
        let plan = planned(&report, &recipients, ListenerMode::AfterQueue, &local);
        let spam: Vec<bool> =
            plan.deliveries.iter().map(|delivery| delivery.block.contains("X-Spam-")).collect();
        assert_eq!(spam, [true, false]);
    }

    #[test]
    fn only_our_own_word_tells_that_a_sender_is_known() {
        use crate::filters::auth::{Auth, Dmarc};
        let raw = b"x-tamis-known: 1 day\r\nSubject: a\r\nX-Tamis-Known : 2 days\r\n\r\nb\r\n";
        let message =
            crate::mime::decode(bytes::Bytes::from_static(raw), &crate::mime::Limits::default());
        let proved = Auth {
            dmarc: Some(Dmarc {
                result: crate::filters::auth::AuthResult::Pass,
                ..Dmarc::default()
            }),
            authors: vec!["a.test".into()],
            ..Auth::default()
        };
        let local = ["ours.test".to_owned()];
        let recipients = [("a@ours.test", policy(8000, "")), ("b@other.test", policy(8000, ""))];
        for (days, auth, outside, want, removed) in [
            (Some(3), None, true, Some("X-Tamis-Known: 3 days (sender not verified)"), 2),
            (Some(1), Some(proved), true, Some("X-Tamis-Known: 1 day\r\n"), 2),
            (None, None, true, None, 2),
            (None, None, false, None, 0),
        ] {
            let report = Report {
                message: Arc::new(message.clone()),
                score: Some(Score(0)),
                auth: auth.map(Arc::new),
                outside,
                correspondent_days: days,
                ..Report::default()
            };
            let plan = planned(&report, &recipients, ListenerMode::AfterQueue, &local);
            let ours = plan.deliveries.iter().find(|one| one.recipients.contains(&0)).unwrap();
            match want {
                Some(want) => assert!(ours.block.contains(want), "{}", ours.block),
                None => assert!(!ours.block.contains("Known"), "{}", ours.block),
            }
            assert_eq!(ours.edits.len(), removed, "{:?}", ours.edits);
            let theirs = plan.deliveries.iter().find(|one| one.recipients.contains(&1)).unwrap();
            if outside {
                assert!(!theirs.block.contains("Known") && theirs.edits.is_empty());
            }
        }
    }

    #[test]
    fn the_block_ends_in_our_received() {
        let report = Report { score: Some(Score(5500)), ..Report::default() };
        let plan = planned(&report, &[("a@x", policy(8000, ""))], ListenerMode::AfterQueue, &[]);
        let block = &plan.deliveries[0].block;
        assert!(
            block.contains("X-Spam-Flag: YES\r\nX-Spam-Score: 5.5\r\nX-Spam-Level: *****\r\n"),
            "{block}"
        );
        let (_, last) = block.split_once("Received:").unwrap();
        assert!(!last.contains("\r\nX-"), "{block}");
        assert!(last.contains("for <a@x>;"));
    }

    #[test]
    fn a_deferred_recipient_makes_all_wait() {
        let report =
            Report { failed: Some("x".into()), score: Some(Score(0)), ..Report::default() };
        let mut waiting = (*policy(8000, "")).clone();
        waiting.incomplete = Action::Defer;
        let recipients = [("a@x", policy(8000, "")), ("b@x", Arc::new(waiting))];
        let plan = planned(&report, &recipients, ListenerMode::AfterQueue, &[]);
        assert_eq!(plan.wait.unwrap().code, 451);
        assert!(plan.deliveries.is_empty() && plan.quarantine.is_empty());
        assert_eq!(Verdict::Incomplete.as_str(), "incomplete");
    }
}
