//! What is looked up before the rules run, and what a verdict teaches once the mail is answered.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::{Question, Sent, addresses, identity, now};
use crate::filters::auth::Auth;
use crate::filters::spam::bayes::Class;
use crate::filters::spam::bayes::autolearn::Thresholds;
use crate::filters::standing::{Standing, Whose};
use crate::filters::{self, Known, Mail, NotRun, Score, Weight};
use crate::mail::{Envelope, Message};
use crate::policy::{Decision, is_local};
use crate::report::Report;
use crate::site::Site;

/// Larger messages are not learned by themselves.
const MESSAGE_BYTES_MAX: usize = 512 << 10;
/// A mail to more recipients makes none of them a correspondent.
const RECIPIENTS_MAX: usize = 100;
/// Recipients that are looked up.
const LOOKED_UP_MAX: usize = 20;
/// From so many points on a mail counts as spam for reputations, without those of learned mail, lists and reputation.
const BAD_FROM: Score = Score(7_000);
/// Below so many it counts as ham.
const GOOD_BELOW: Score = Score(1_000);

/// What was decided about a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// The client is one of ours.
    pub internal: bool,
    /// It was taken by the next hop.
    pub delivered: bool,
    /// Its score makes it spam for a recipient.
    pub spam: bool,
    /// Something else speaks against it.
    pub bad: bool,
}

impl Verdict {
    /// Of the decisions for each recipient; `accepted`: what next hops said of mails they took.
    #[must_use]
    pub fn new(internal: bool, accepted: &[String], decisions: &[Decision]) -> Self {
        use crate::verdict::Verdict::{Clean, Encrypted, Malformed, Spam, Spammy};
        let harmless = [Clean, Encrypted, Malformed, Spam, Spammy];
        Self {
            internal,
            delivered: !accepted.is_empty(),
            spam: decisions.iter().any(|decision| decision.spammy),
            bad: decisions.iter().any(|decision| !harmless.contains(&decision.verdict)),
        }
    }
}

/// What the site's memory has about a mail; and why it gave no answer, if it gave none.
#[must_use]
pub fn known(
    site: &Site,
    envelope: &Envelope,
    message: &Message,
    auth: Option<&Auth>,
    internal: bool,
) -> (Option<filters::Learned>, Standing, Option<NotRun>) {
    let config = &site.config.spam;
    let user = match envelope.recipients.as_slice() {
        [one] if config.bayes_per_user => Some(one.address().to_lowercase()),
        _ => None,
    };
    let learned =
        config.bayes.then(|| filters::Learned { tokens: Arc::new(site.learned.clone()), user });
    if internal || !(config.correspondents || config.reputation) {
        return (learned, Standing::NOTHING, None);
    }
    match site.learned.standing(&question(site, envelope, message, auth)) {
        Ok(standing) => (learned, standing, None),
        Err(trouble) => {
            let check = "spam:correspondents".to_owned();
            let missing = NotRun { check, why: trouble.to_string(), weight: Weight::Wanted };
            (learned, Standing::NOTHING, Some(missing))
        }
    }
}

fn question(site: &Site, envelope: &Envelope, message: &Message, auth: Option<&Auth>) -> Question {
    let config = &site.config;
    let mut question = Question::default();
    if config.spam.correspondents {
        question.from =
            addresses::addresses(message, "From").into_iter().next().unwrap_or_default();
        if envelope.recipients.len() <= LOOKED_UP_MAX {
            let to = envelope.recipients.iter().map(|one| one.address().to_owned());
            question.to = to.collect();
        }
        question.references = addresses::references(message);
        if envelope.sender.address.is_empty() {
            question.bounced = addresses::returned(message).map(|id| {
                let domain = id.rsplit_once('@').map_or("", |(_, domain)| domain);
                let domain = domain.trim_end_matches('>');
                let ours = domain.eq_ignore_ascii_case(&config.hostname)
                    || is_ours(&config.local_domains, &format!("x@{domain}"));
                (id, ours)
            });
        }
    }
    if config.spam.reputation {
        question.reputations = whose(envelope, message, auth);
    }
    question
}

/// True only if the site said which domains are its own.
fn is_ours(local_domains: &[String], address: &str) -> bool {
    !local_domains.is_empty() && is_local(local_domains, address)
}

/// Whose reputation a mail adds to: that of the client's network, /24 or /48, and, as far as they are proved, of the
/// domain that signed and of the author.
fn whose(envelope: &Envelope, message: &Message, auth: Option<&Auth>) -> Vec<Whose> {
    let network = envelope.client.address.and_then(|address| {
        let address = address.to_canonical();
        let length = match address {
            IpAddr::V4(_) => 24,
            IpAddr::V6(_) => 48,
        };
        IpNet::new(address, length).ok()
    });
    let network = network.map(|network| Whose::Network(network.trunc().to_string()));
    let signer = auth.and_then(Auth::answers).map(|domain| Whose::Signer(domain.to_owned()));
    let sender = auth.filter(|auth| auth.proves_author()).and_then(|_| {
        // Of several mailboxes none is the author for certain.
        match addresses::addresses(message, "From").as_slice() {
            [author] => Some(Whose::Sender(author.clone())),
            _ => None,
        }
    });
    network.into_iter().chain(signer).chain(sender).collect()
}

/// Lets a verdict teach. Never waits: what there is no time for is dropped and counted.
pub fn note(site: &Arc<Site>, envelope: &Arc<Envelope>, report: &Report, verdict: Verdict) {
    if verdict.internal {
        remember(site, envelope, report, verdict);
    } else if site.config.spam.reputation {
        judged(site, envelope, report, verdict);
    }
    autolearn(site, envelope, report, verdict);
}

fn remember(site: &Site, envelope: &Envelope, report: &Report, verdict: Verdict) {
    let config = &site.config;
    // Without XFORWARD every mail comes from Postfix on this host: that tells nothing of who sent it.
    let client = envelope.client.address;
    let told = envelope.forwarded || client.is_some_and(|address| !address.is_loopback());
    let sender = &envelope.sender.address;
    if !config.spam.correspondents
        || !verdict.delivered
        || verdict.spam
        || verdict.bad
        || !told
        || sender.is_empty()
        || !is_ours(&config.local_domains, sender)
    {
        return;
    }
    let few = envelope.recipients.len() <= RECIPIENTS_MAX;
    let to = envelope.recipients.iter().filter(|_| few).map(|one| one.address().to_owned());
    let id = report.message.value("Message-ID").unwrap_or_default();
    site.learned.remember_later(Sent {
        from: sender.clone(),
        to: to.collect(),
        message_id: String::from_utf8_lossy(id).into_owned(),
        day: now().div_euclid(86_400),
    });
}

fn judged(site: &Site, envelope: &Envelope, report: &Report, verdict: Verdict) {
    let points = report.learning.all;
    let class = if points >= BAD_FROM || !report.viruses.is_empty() {
        Class::Spam
    } else if points < GOOD_BELOW && !verdict.spam && !verdict.bad {
        Class::Ham
    } else {
        return;
    };
    let whose = whose(envelope, &report.message, report.auth.as_deref());
    if !whose.is_empty() {
        site.learned.judged_later(whose, class);
    }
}

fn autolearn(site: &Arc<Site>, envelope: &Arc<Envelope>, report: &Report, verdict: Verdict) {
    let config = &site.config.spam;
    let fits = report.message.raw.len() <= MESSAGE_BYTES_MAX
        && report.score.is_some()
        && report.not_run.iter().all(|missing| missing.weight < Weight::Required)
        && report.viruses.is_empty()
        // Who is on a list is not judged by what he writes.
        && report.lists.is_empty();
    if !config.bayes || !config.autolearn || !fits || verdict.bad {
        return;
    }
    let thresholds =
        Thresholds { ham_below: config.autolearn_ham_below, spam_from: config.autolearn_spam_from };
    let Some(class) = thresholds.decide(&report.learning, verdict.spam) else { return };
    let message = Arc::clone(&report.message);
    let id = identity(&message);
    let (engine, envelope) = (Arc::clone(site), Arc::clone(envelope));
    site.learned.learn_later(id, class, move || {
        let mail = Mail {
            envelope: &envelope,
            message: &message,
            internal: verdict.internal,
            received: jiff::Timestamp::now(),
            known: Known::NOTHING,
        };
        engine.engine.words(&mail).tokens()
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::auth::{AuthResult, Dkim};

    #[test]
    fn only_what_is_proved_has_a_reputation() {
        let signed = |domain: &str, result| Auth {
            dkim: vec![Dkim { result, domain: domain.to_owned(), ..Dkim::default() }],
            authors: vec!["a.test".to_owned()],
            ..Auth::default()
        };
        let whose = |from: &str, auth: Option<&Auth>| {
            let raw = format!("From: {from}\r\n\r\nx\r\n");
            let message = crate::mime::decode(raw.into(), &crate::mime::Limits::default());
            let mut envelope = Envelope::default();
            envelope.client.address = Some("::ffff:192.0.2.7".parse().unwrap());
            let all = whose(&envelope, &message, auth);
            all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        };
        let network = "the client's network 192.0.2.0/24";
        let signer = |domain: &str| format!("{network}, the signing domain {domain}");
        let own = signed("a.test", AuthResult::Pass);
        for (from, auth, want) in [
            ("Jo@A.test", None, network.to_owned()),
            ("Jo@A.test", Some(&signed("a.test", AuthResult::Fail)), network.to_owned()),
            ("Jo@A.test", Some(&signed("esp.test", AuthResult::Pass)), signer("esp.test")),
            ("Jo@A.test", Some(&own), format!("{}, the sender jo@a.test", signer("a.test"))),
            ("jo@a.test, x@a.test", Some(&own), signer("a.test")),
            ("", Some(&own), signer("a.test")),
        ] {
            assert_eq!(whose(from, auth), want, "{from} {auth:?}");
        }
    }
}
