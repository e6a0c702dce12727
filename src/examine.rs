//! The verdict core that both engines and `scan` share: a mail goes in, its verdicts and a plan come out.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Semaphore;

use crate::config::{Config, Listener, ListenerProtocol, Mode, Policy};
use crate::delivery::{Memory, loop_guard};
use crate::explain;
use crate::filters::{NotRun, Weight};
use crate::mail::Envelope;
use crate::pipeline::{self, Job};
use crate::policy::{Decision, Identity, Plan, judge, plan};
use crate::quarantine::MailId;
use crate::report::Report;
use crate::site::Site;
use crate::smtp::Reply;
use crate::smtp::body::Body;
use crate::verdict::{Action, Verdict};

/// Failures of ours on the same octets after which a mail gets the verdict `incomplete`.
const FAILURES_MAX: u32 = 3;

/// A mail that was looked at.
#[derive(Debug, Clone)]
pub struct Examined {
    /// Its id.
    pub id: MailId,
    /// What was seen.
    pub report: Report,
    /// One for each recipient, in order.
    pub decisions: Vec<Decision>,
    /// What is to be done.
    pub plan: Plan,
    /// It is refused before any verdict: a loop.
    pub refusal: Option<Reply>,
    /// The facts record.
    pub facts: serde_json::Value,
}

/// A mail to look at.
#[derive(Debug)]
pub struct Question<'a> {
    /// The listener it came to.
    pub listener: &'a Listener,
    /// Who and to whom.
    pub envelope: Arc<Envelope>,
    /// The message.
    pub body: Body,
    /// Who handed it to us.
    pub peer: IpAddr,
    /// When its last octet came.
    pub received: Instant,
    /// Mails inspected at once.
    pub slots: &'a Semaphore,
    /// Counts our failures.
    pub memory: &'a Memory,
}

/// Looks at a mail and judges it.
///
/// # Errors
/// The reply, if it must wait because of us before it could be looked at.
pub async fn examine(site: &Arc<Site>, question: Question<'_>) -> Result<Examined, Reply> {
    let id = MailId::new().map_err(|trouble| Reply::try_again(&trouble.to_string()))?;
    let config = &site.config;
    // A third of the time is left for the next hop.
    let deadline = question.received + config.limits.deadline * 2 / 3;
    let until = tokio::time::Instant::from_std(deadline);
    let slot = tokio::time::timeout_at(until, question.slots.acquire()).await;
    let Ok(Ok(_slot)) = slot else {
        return Err(Reply::try_again(&format!("id={}, too many mails at once", id.as_str())));
    };
    let envelope = &question.envelope;
    let policies: Vec<_> = envelope
        .recipients
        .iter()
        .map(|recipient| site.policy(recipient.address(), &question.listener.policy))
        .collect();
    let job = Job {
        envelope: Arc::clone(envelope),
        body: question.body,
        sets: attachment_sets(site, &policies),
        internal: is_internal(config, envelope),
        mode: question.listener.mode,
        deadline,
    };
    let mut report = pipeline::inspect(site, job).await;
    count_failures(site, question.memory, &mut report);
    let decisions: Vec<Decision> = envelope
        .recipients
        .iter()
        .zip(&policies)
        .map(|(recipient, policy)| {
            judge(&report, policy, question.listener.mode, recipient.address())
        })
        .collect();
    let name = &*question.listener.name;
    let place = format!("{name} on {}", question.listener.listen);
    let mark = loop_guard::mark(&config.hostname, &place, envelope, &report.message);
    let refusal = loop_guard::refusal(&report.message, name, &mark);
    let date = date();
    let identity = Identity {
        id: id.as_str(),
        hostname: &config.hostname,
        listener: name,
        peer: question.peer,
        date: &date,
        mark: &mark,
        local_domains: &config.local_domains,
        received: question.listener.received,
        own_replies: question.listener.protocol == ListenerProtocol::Lmtp,
    };
    let plan = match config.mode {
        Mode::Enforce => plan(&identity, envelope, &report, &decisions),
        Mode::Observe => plan(&identity, envelope, &Report::only(&report), &untouched(&decisions)),
    };
    let facts = explain::facts(
        id.as_str(),
        question.listener,
        envelope,
        &report,
        &decisions,
        refusal.as_ref(),
    );
    Ok(Examined { id, report, decisions, plan, refusal, facts })
}

/// The rule sets that these policies use, each once.
fn attachment_sets(site: &Site, policies: &[Arc<Policy>]) -> Vec<Arc<str>> {
    let mut sets: Vec<Arc<str>> = Vec::new();
    for policy in policies {
        let own: Arc<str> = format!("policy.{}", policy.name).into();
        let used = policy.attachments.iter().cloned().chain(std::iter::once(own));
        for set in used.filter(|set| site.attachments.has_set(set)) {
            if !sets.contains(&set) {
                sets.push(set);
            }
        }
    }
    sets
}

/// True if the original client is one of ours.
fn is_internal(config: &Config, envelope: &Envelope) -> bool {
    let address = envelope.client.address;
    address.is_some_and(|address| {
        config.internal_networks.iter().any(|network| network.contains(&address))
    })
}

/// Now, as in RFC 5322 section 3.3, in local time.
fn date() -> String {
    jiff::fmt::rfc2822::to_string(&jiff::Zoned::now()).unwrap_or_default()
}

/// A mail that makes us fail again and again must not wait for ever. A scanner or engine that is down for all is no
/// fault of the mail: its silence counts only if it has answered others since the last try.
fn count_failures(site: &Site, memory: &Memory, report: &mut Report) {
    let required = |missing: &&NotRun| missing.weight == Weight::Required;
    let Some(missing) = report.not_run.iter().find(required).cloned() else { return };
    let scanner = missing.check.strip_prefix("virus:").map(|scanner| {
        let statuses = site.scanners.status();
        statuses.into_iter().find(|status| status.name == scanner).and_then(|status| status.last_ok)
    });
    let engine = missing.check.strip_prefix("engine:");
    let answered = scanner.or_else(|| engine.map(|engine| site.engines.last_answer(engine)));
    let message = &report.message;
    let body = message.raw.get(message.body_start..).filter(|body| !body.is_empty());
    if memory.failure(body.unwrap_or(&message.raw), answered) < FAILURES_MAX {
        return;
    }
    report.failed = Some(format!("{}: {}, {FAILURES_MAX} times", missing.check, missing.why));
    for missing in report.not_run.iter_mut().filter(|missing| missing.weight == Weight::Required) {
        missing.weight = Weight::Wanted;
    }
}

/// Decisions that let everything pass as it came.
fn untouched(decisions: &[Decision]) -> Vec<Decision> {
    let pass = |decision: &Decision| Decision {
        verdict: Verdict::Clean,
        action: Action::Pass,
        copy: false,
        reasons: Vec::new(),
        spammy: false,
        reply: None,
        ..decision.clone()
    };
    decisions.iter().map(pass).collect()
}
