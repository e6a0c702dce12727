//! Report to decision, for one recipient.

use std::sync::Arc;

use crate::config::{ListenerMode, Policy};
use crate::filters::auth::DmarcPolicy;
use crate::filters::lists::Pattern;
use crate::filters::{ListHit, Score, TableAction, Weight};
use crate::mail::PartFlag;
use crate::report::Report;
use crate::smtp::Reply;
use crate::verdict::{Action, Verdict};

/// What a mail is for one recipient, what is done, and why.
#[derive(Debug, Clone)]
pub struct Decision {
    /// The policy that was asked.
    pub policy: Arc<Policy>,
    /// The worst verdict among those that ask for the action.
    pub verdict: Verdict,
    /// The strongest action of all verdicts that hold.
    pub action: Action,
    /// A copy goes to the quarantine, whatever the action.
    pub copy: bool,
    /// Everything that spoke against the mail, the decisive reason first.
    pub reasons: Vec<Reason>,
    /// The score is at or over the tag threshold, and no list lifts it.
    pub spammy: bool,
    /// The entry of an allow list that lifted the spam verdict, if it mattered.
    pub allowed: Option<ListHit>,
    /// The refusal, in the words of the rule that asked for it.
    pub reply: Option<OwnReply>,
}

/// One verdict that holds.
#[derive(Debug, Clone)]
pub struct Reason {
    /// What the mail is by it.
    pub verdict: Verdict,
    /// What it asks for.
    pub action: Action,
    /// Why, for people.
    pub text: String,
    /// The words of its own refusal.
    pub reply: Option<OwnReply>,
    /// A copy is kept, whatever the action.
    pub copy: bool,
}

/// A refusal in a rule's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnReply {
    /// Of a Postfix table: it goes out word for word.
    Table(Reply),
    /// Of an attachment rule: the mail's id is added.
    Rule(Reply),
}

/// Judges for one recipient.
#[must_use]
pub fn judge(
    report: &Report,
    policy: &Arc<Policy>,
    mode: ListenerMode,
    recipient: &str,
) -> Decision {
    let mut reasons = Vec::new();
    viruses(report, policy, mode, &mut reasons);
    attachments(report, policy, mode, &mut reasons);
    tables(report, policy, mode, &mut reasons);
    defects(report, policy, &mut reasons);
    missing(report, policy, &mut reasons);
    size(report, policy, &mut reasons);
    let in_scope = |hit: &&ListHit| {
        hit.scope.as_ref().is_none_or(|scope| Pattern::parse(scope).fits(recipient))
    };
    for hit in report.lists.iter().filter(|hit| hit.deny).filter(in_scope) {
        let text = format!("{} fits {} ({})", hit.address, hit.pattern, hit.source);
        reasons.push(reason(Verdict::Denied, policy.denied, text));
    }
    dmarc(report, policy, mode, &mut reasons);
    let allowed = report.lists.iter().filter(|hit| !hit.deny).find(in_scope);
    let spammy = spam(report, policy, mode, allowed.is_some(), &mut reasons);
    reasons.sort_by_key(|reason| (std::cmp::Reverse(strength(reason.action)), reason.verdict));
    let first = reasons.first();
    Decision {
        policy: Arc::clone(policy),
        verdict: first.map_or(Verdict::Clean, |reason| reason.verdict),
        action: first.map_or(Action::Pass, |reason| reason.action),
        copy: reasons.iter().any(|reason| reason.copy || reason.action == Action::Quarantine),
        spammy,
        allowed: allowed.cloned(),
        reply: first.and_then(|reason| reason.reply.clone()),
        reasons,
    }
}

/// Waiting outranks delivering, but nothing that keeps the mail from the recipient anyway needs to wait.
fn strength(action: Action) -> u8 {
    match action {
        Action::Pass => 0,
        Action::Tag => 1,
        Action::Defer => 2,
        Action::Discard => 3,
        Action::Quarantine => 4,
        Action::Bounce => 5,
        Action::Reject => 6,
    }
}

fn reason(verdict: Verdict, action: Action, text: String) -> Reason {
    Reason { verdict, action, text, reply: None, copy: false }
}

/// Before the queue the sender is still there: what would be quarantined for its content is refused instead, and the
/// copy is kept all the same.
fn refused_with_copy(mut reason: Reason, mode: ListenerMode) -> Reason {
    if mode == ListenerMode::PreQueue && reason.action == Action::Quarantine {
        reason.action = Action::Reject;
        reason.copy = true;
    }
    reason
}

fn viruses(report: &Report, policy: &Policy, mode: ListenerMode, reasons: &mut Vec<Reason>) {
    for hit in &report.viruses {
        let part = if hit.part.is_empty() { "the message" } else { &hit.part };
        let text = format!("{} in {part}, found by {}", hit.name, hit.scanner);
        reasons.push(refused_with_copy(reason(Verdict::Virus, policy.virus, text), mode));
    }
}

fn attachments(report: &Report, policy: &Policy, mode: ListenerMode, reasons: &mut Vec<Reason>) {
    let own = format!("policy.{}", policy.name);
    let ours = |set: &str| set == own || policy.attachments.iter().any(|name| **name == *set);
    for hit in report.banned.iter().filter(|hit| ours(&hit.set)) {
        let text = format!("{} ({}: {}, {})", hit.reason, hit.rule, hit.name, hit.source);
        let action = hit.action.unwrap_or(policy.banned);
        let mut reason = refused_with_copy(reason(Verdict::Banned, action, text), mode);
        let own = |text: &String| OwnReply::Rule(Reply::new(554, format!("5.7.0 {text}")));
        reason.reply = hit.reply.as_ref().map(own);
        reasons.push(reason);
    }
}

fn tables(report: &Report, policy: &Policy, mode: ListenerMode, reasons: &mut Vec<Reason>) {
    for hit in &report.headers {
        let text = |what: &str| format!("{} {what} by {}: {}", hit.table, hit.source, hit.text);
        match &hit.action {
            TableAction::Reject { code, enhanced, text: words } => {
                // After the queue a refusal becomes a bounce to whoever is named as the sender.
                let action =
                    if mode == ListenerMode::PreQueue { Action::Reject } else { policy.banned };
                let mut reason = reason(Verdict::Banned, action, text("refused"));
                let own = Reply::new(*code, format!("{enhanced} {words}"));
                reason.reply = Some(OwnReply::Table(own));
                reason.copy = action != Action::Reject || policy.banned == Action::Quarantine;
                reasons.push(reason);
            }
            TableAction::Discard(_) => {
                let mut reason = reason(Verdict::Banned, Action::Discard, text("discarded"));
                reason.copy = true;
                reasons.push(reason);
            }
            TableAction::Hold(_) => {
                reasons.push(reason(Verdict::Banned, Action::Quarantine, text("held")));
            }
            TableAction::Bcc(_)
            | TableAction::Filter(_)
            | TableAction::Ignore
            | TableAction::Strip(_)
            | TableAction::Info(_)
            | TableAction::Warn(_)
            | TableAction::Pass
            | TableAction::Prepend(_)
            | TableAction::Replace(_)
            | TableAction::Redirect(_) => {}
        }
    }
}

fn defects(report: &Report, policy: &Policy, reasons: &mut Vec<Reason>) {
    for hit in &report.defects {
        let action = hit.action.unwrap_or_else(|| defect_action(policy, hit.verdict));
        reasons.push(reason(hit.verdict, action, format!("{} ({})", hit.defect, hit.source)));
    }
    for part in report.message.parts.iter().filter(|part| part.is(PartFlag::Encrypted)) {
        let text = format!("part {} needs a password", part.path);
        reasons.push(reason(Verdict::Encrypted, policy.encrypted, text));
    }
    // Nobody could look into it, as with what needs a password: it is never clean, and the same action holds.
    for part in report.message.parts.iter().filter(|part| part.is(PartFlag::Unscannable)) {
        let kind = part.types.first().map_or("container", |kind| kind.short);
        let text = format!("part {} is a {kind} that could not be opened", part.path);
        reasons.push(reason(Verdict::OverLimits, policy.encrypted, text));
    }
}

/// What the policy does about a verdict that a defect may have.
fn defect_action(policy: &Policy, verdict: Verdict) -> Action {
    match verdict {
        Verdict::Ambiguous => policy.ambiguous,
        Verdict::Encrypted => policy.encrypted,
        Verdict::OverLimits => policy.over_limits,
        Verdict::Malformed
        | Verdict::Virus
        | Verdict::Banned
        | Verdict::Incomplete
        | Verdict::Denied
        | Verdict::Spam
        | Verdict::Spammy
        | Verdict::Clean => policy.malformed,
    }
}

fn size(report: &Report, policy: &Policy, reasons: &mut Vec<Reason>) {
    let octets = u64::try_from(report.message.raw.len()).unwrap_or(u64::MAX);
    let limit = policy.message_bytes_max;
    if octets > limit {
        let text = format!("{octets} octets, policy {} takes {limit}", policy.name);
        let mut reason = reason(Verdict::OverLimits, Action::Reject, text);
        reason.reply = Some(OwnReply::Rule(Reply::too_large(octets)));
        reasons.push(reason);
    }
}

fn missing(report: &Report, policy: &Policy, reasons: &mut Vec<Reason>) {
    for missing in &report.not_run {
        let text = format!("{}: {}", missing.check, missing.why);
        match missing.weight {
            Weight::Off | Weight::Wanted => {}
            Weight::Required => reasons.push(reason(Verdict::Incomplete, Action::Defer, text)),
            Weight::TooLarge => reasons.push(reason(Verdict::OverLimits, policy.over_limits, text)),
        }
    }
    if let Some(why) = &report.failed {
        reasons.push(reason(Verdict::Incomplete, policy.incomplete, why.clone()));
    }
}

/// What the author's domain asks for, as far as the policy follows it. After the queue nothing is refused: a bounce would
/// go to whoever is named as the sender.
fn dmarc(report: &Report, policy: &Policy, mode: ListenerMode, reasons: &mut Vec<Reason>) {
    let Some(dmarc) = report.auth.as_ref().and_then(|auth| auth.dmarc.as_ref()) else { return };
    let asked = match dmarc.policy {
        DmarcPolicy::None => return,
        DmarcPolicy::Quarantine => Action::Quarantine,
        DmarcPolicy::Reject => Action::Reject,
    };
    if !dmarc.fails() || policy.dmarc == Action::Pass {
        return;
    }
    let action = if strength(asked) < strength(policy.dmarc) { asked } else { policy.dmarc };
    let action = match (action, mode) {
        (Action::Reject, ListenerMode::AfterQueue) => Action::Quarantine,
        (action, _) => action,
    };
    let text = format!(
        "DMARC of {} fails ({}), and the domain asks for {}",
        dmarc.domain,
        dmarc.why,
        dmarc.policy.as_str()
    );
    let mut reason = reason(Verdict::Denied, action, text);
    if action == Action::Reject {
        let text = format!("5.7.1 the DMARC policy of {} does not allow this mail", dmarc.domain);
        reason.reply = Some(OwnReply::Rule(Reply::new(550, text)));
        reason.copy = true;
    }
    reasons.push(reason);
}

fn spam(
    report: &Report,
    policy: &Policy,
    mode: ListenerMode,
    allowed: bool,
    reasons: &mut Vec<Reason>,
) -> bool {
    let Some(score) = report.score else { return false };
    if allowed {
        return false;
    }
    let reached = |threshold: Option<Score>| threshold.filter(|threshold| score >= *threshold);
    let pre_queue = mode == ListenerMode::PreQueue;
    if let Some(at) = reached(policy.spam.reject_at).filter(|_| pre_queue) {
        let mut reason =
            reason(Verdict::Spam, Action::Reject, format!("score {score} ≥ {at} (reject_at)"));
        reason.copy = true;
        reasons.push(reason);
    } else if let Some(at) = reached(policy.spam.quarantine_at) {
        let text = format!("score {score} ≥ {at} (quarantine_at)");
        reasons.push(reason(Verdict::Spam, Action::Quarantine, text));
    } else if let Some(at) = reached(policy.spam.tag_at) {
        reasons.push(reason(
            Verdict::Spammy,
            Action::Tag,
            format!("score {score} ≥ {at} (tag_at)"),
        ));
    }
    reached(policy.spam.tag_at).is_some()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::Thresholds;
    use crate::filters::defects::DefectHit;
    use crate::filters::{HeaderHit, NotRun, Source, VirusHit};
    use crate::mail::{Defect, DefectCode};

    /// The shipped policy, in short.
    pub(crate) fn policy() -> Policy {
        Policy {
            name: "inbound".into(),
            recipients: vec![],
            message_bytes_max: u64::MAX,
            virus: Action::Quarantine,
            banned: Action::Quarantine,
            ambiguous: Action::Quarantine,
            incomplete: Action::Quarantine,
            encrypted: Action::Tag,
            over_limits: Action::Quarantine,
            malformed: Action::Tag,
            denied: Action::Quarantine,
            dmarc: Action::Pass,
            spam: Thresholds {
                tag_at: Some(Score(5000)),
                quarantine_at: Some(Score(8000)),
                reject_at: Some(Score(20_000)),
            },
            subject_prefix: String::new(),
            attachments: vec!["default".into()],
            attachment_rules: vec![],
        }
    }

    fn check(report: &Report, mode: ListenerMode, verdict: Verdict, action: Action, copy: bool) {
        let decision = judge(report, &Arc::new(policy()), mode, "b@example.org");
        assert_eq!(
            (decision.verdict, decision.action, decision.copy),
            (verdict, action, copy),
            "{decision:?}"
        );
    }

    fn scored(score: i32) -> Report {
        Report { score: Some(Score(score)), ..Report::default() }
    }

    #[test]
    fn a_threshold_is_reached_at_its_own_value() {
        use ListenerMode::{AfterQueue, PreQueue};
        check(&scored(4999), AfterQueue, Verdict::Clean, Action::Pass, false);
        check(&scored(5000), AfterQueue, Verdict::Spammy, Action::Tag, false);
        check(&scored(8000), PreQueue, Verdict::Spam, Action::Quarantine, true);
        check(&scored(20_000), AfterQueue, Verdict::Spam, Action::Quarantine, true);
        check(&scored(20_000), PreQueue, Verdict::Spam, Action::Reject, true);
    }

    fn virus() -> VirusHit {
        VirusHit { scanner: "clamav".into(), name: "Eicar".into(), part: "2".into() }
    }

    #[test]
    fn a_virus_is_refused_before_the_queue_and_kept_in_both_modes() {
        let report = Report { viruses: vec![virus()], ..scored(0) };
        check(&report, ListenerMode::AfterQueue, Verdict::Virus, Action::Quarantine, true);
        check(&report, ListenerMode::PreQueue, Verdict::Virus, Action::Reject, true);
    }

    #[test]
    fn dmarc_goes_no_further_than_the_domain_and_the_policy_ask() {
        use crate::filters::auth::{Auth, AuthResult, Dmarc};
        use Action::{Pass, Quarantine, Reject, Tag};
        use ListenerMode::{AfterQueue, PreQueue};
        for (asked, result, ours, mode, want) in [
            (DmarcPolicy::Reject, AuthResult::Fail, Pass, PreQueue, Pass),
            (DmarcPolicy::Reject, AuthResult::Fail, Tag, PreQueue, Tag),
            (DmarcPolicy::Reject, AuthResult::Fail, Reject, PreQueue, Reject),
            (DmarcPolicy::Reject, AuthResult::Fail, Reject, AfterQueue, Quarantine),
            (DmarcPolicy::Quarantine, AuthResult::Fail, Reject, PreQueue, Quarantine),
            (DmarcPolicy::None, AuthResult::Fail, Reject, PreQueue, Pass),
            (DmarcPolicy::Reject, AuthResult::Pass, Reject, PreQueue, Pass),
            (DmarcPolicy::Reject, AuthResult::TempError, Reject, PreQueue, Pass),
        ] {
            let dmarc =
                Dmarc { result, policy: asked, domain: "a.test".into(), ..Dmarc::default() };
            let auth = Auth { dmarc: Some(dmarc), ..Auth::default() };
            let report = Report { auth: Some(Arc::new(auth)), ..scored(0) };
            let policy = Arc::new(Policy { dmarc: ours, ..policy() });
            let decision = judge(&report, &policy, mode, "b@example.org");
            assert_eq!(decision.action, want, "{asked:?} {result} {ours:?} {mode:?}");
        }
        // A sealer whom the site trusts saw it pass.
        let dmarc = Dmarc {
            result: AuthResult::Fail,
            policy: DmarcPolicy::Reject,
            domain: "a.test".into(),
            overridden: "arc=pass as[1].d=list.test".into(),
            ..Dmarc::default()
        };
        let auth = Auth { dmarc: Some(dmarc), ..Auth::default() };
        let report = Report { auth: Some(Arc::new(auth)), ..scored(0) };
        let policy = Arc::new(Policy { dmarc: Reject, ..policy() });
        assert_eq!(judge(&report, &policy, PreQueue, "b@example.org").action, Pass);
    }

    fn down() -> NotRun {
        NotRun { check: "virus:clamav".into(), why: "down".into(), weight: Weight::Required }
    }

    #[test]
    fn a_required_check_without_answer_makes_the_mail_wait() {
        let report = Report { not_run: vec![down()], ..scored(6000) };
        check(&report, ListenerMode::AfterQueue, Verdict::Incomplete, Action::Defer, false);
        let found = Report { viruses: vec![virus()], not_run: vec![down()], ..scored(0) };
        check(&found, ListenerMode::AfterQueue, Verdict::Virus, Action::Quarantine, true);
    }

    #[test]
    fn a_mild_verdict_does_not_shield_from_a_strong_one() {
        let report = Report { defects: vec![nul(None)], ..scored(9000) };
        check(&report, ListenerMode::AfterQueue, Verdict::Spam, Action::Quarantine, true);
        let report = Report { score: Some(Score(0)), ..report };
        check(&report, ListenerMode::AfterQueue, Verdict::Malformed, Action::Tag, false);
    }

    #[test]
    fn a_policy_may_take_less_than_the_program() {
        let raw = bytes::Bytes::from_static(b"Subject: x\r\n\r\n0123456789");
        let message = Arc::new(crate::mail::Message { raw, ..Default::default() });
        let report = Report { message, ..scored(0) };
        let judged = |max| {
            let policy = Arc::new(Policy { message_bytes_max: max, ..policy() });
            judge(&report, &policy, ListenerMode::AfterQueue, "a@b")
        };
        assert_eq!(judged(24).action, Action::Pass);
        let refused = judged(23);
        assert_eq!((refused.verdict, refused.action), (Verdict::OverLimits, Action::Reject));
        assert!(matches!(&refused.reply, Some(OwnReply::Rule(reply)) if reply.code == 552));
    }

    fn nul(action: Option<Action>) -> DefectHit {
        let defect = Defect { code: DefectCode::Nul, part: String::new(), detail: String::new() };
        let source = Source { file: "x".into(), line: 1 };
        DefectHit { defect, verdict: Verdict::Malformed, action, source }
    }

    #[test]
    fn a_defect_may_ask_for_an_action_of_its_own() {
        let report = Report { defects: vec![nul(Some(Action::Quarantine))], ..scored(0) };
        check(&report, ListenerMode::AfterQueue, Verdict::Malformed, Action::Quarantine, true);
    }

    #[test]
    fn a_table_refuses_in_its_own_words_and_never_bounces() {
        let hit = HeaderHit {
            table: "header_checks",
            source: Source { file: "x".into(), line: 1 },
            action: TableAction::Reject { code: 550, enhanced: "5.7.1".into(), text: "no".into() },
            text: "Subject: x".into(),
            range: None,
        };
        let report = Report { headers: vec![hit], ..scored(0) };
        check(&report, ListenerMode::PreQueue, Verdict::Banned, Action::Reject, true);
        check(&report, ListenerMode::AfterQueue, Verdict::Banned, Action::Quarantine, true);
    }

    #[test]
    fn an_allowed_sender_is_spared_the_spam_verdict_and_nothing_else() {
        let allow = ListHit {
            deny: false,
            pattern: "a@b".into(),
            address: "a@b".into(),
            scope: Some("example.org".into()),
            source: Source { file: "x".into(), line: 1 },
        };
        let report = Report { lists: vec![allow.clone()], ..scored(9000) };
        check(&report, ListenerMode::AfterQueue, Verdict::Clean, Action::Pass, false);
        let other = ListHit { scope: Some("other.test".into()), ..allow.clone() };
        let report = Report { lists: vec![other], ..scored(9000) };
        check(&report, ListenerMode::AfterQueue, Verdict::Spam, Action::Quarantine, true);
        let report = Report { lists: vec![allow], viruses: vec![virus()], ..scored(0) };
        check(&report, ListenerMode::AfterQueue, Verdict::Virus, Action::Quarantine, true);
    }
}
