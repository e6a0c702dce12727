//! What is asked of the DNS about a mail before the rules run: who vouches for it, and which lists hold it.
//!
//! Everything is asked side by side within one budget, and nothing unless it was switched on.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::RuntimeFlavor;

use crate::auth::{Authenticator, Sender};
use crate::config::{AuthCheck, Config};
use crate::dns::{Asked, Dns};
use crate::filters::dns::{Answers, Wanted};
use crate::filters::spam::Engine;
use crate::filters::{Known, Mail, Mistake, NotRun, Severity, Weight};
use crate::mail::{Envelope, Message};

/// Questions that follow from answers: name servers of a link, their addresses, the list.
const ROUNDS_MAX: usize = 4;
/// Larger mails are searched for links where that holds nobody up.
const HERE_BYTES_MAX: usize = 64 << 10;
/// So many times the limit of one question may the DNS take of a mail, if half of its time is not less.
const QUESTIONS_IN_A_ROW: u32 = 5;

/// Who is asked.
#[derive(Debug, Default)]
pub struct Outside {
    dns: Option<Arc<Dns>>,
    authenticator: Option<Authenticator>,
    /// The site's own lists or those of rule files are asked.
    own_lists: bool,
    rule_lists: bool,
    /// What is never asked, with the reason.
    off: Arc<[NotRun]>,
    results: bool,
}

/// What was found out about a mail.
#[derive(Debug, Default)]
pub struct Found {
    /// For the rules.
    pub known: Known,
    /// Checks without answer.
    pub not_run: Vec<NotRun>,
    /// How long it took.
    pub took: Duration,
}

impl Outside {
    /// True if SPF, DKIM, ARC and DMARC are to be checked.
    #[must_use]
    pub fn authenticates(config: &Config) -> bool {
        match config.auth.check {
            AuthCheck::On => true,
            AuthCheck::Off => false,
            AuthCheck::Auto => !config.dns.resolvers.is_empty(),
        }
    }

    /// By the configuration; `previous` hands over what the resolver remembers if its settings are the same.
    #[must_use]
    pub fn new(config: &Config, previous: Option<(&Self, &Config)>) -> (Self, Vec<Mistake>) {
        let own_lists = !config.dns.blocklists.is_empty();
        let rule_lists = config.dns.rule_lists;
        let auth = Self::authenticates(config);
        let mut mistakes = Vec::new();
        let mut why = "switched off (auth.check)".to_owned();
        let mut no_lists = "no list is configured (dns.blocklists)".to_owned();
        let mut dns = None;
        if auth || own_lists || rule_lists {
            match resolver(config, previous) {
                Ok(found) => dns = Some(found),
                Err(trouble) => {
                    mistakes.push(Mistake {
                        file: "dns.resolvers".into(),
                        line: 0,
                        column: 0,
                        what: format!("nothing can be asked of the DNS: {trouble}"),
                        hint: "name a resolver, for example [\"127.0.0.1:53\"]".to_owned(),
                        severity: Severity::Warning,
                    });
                    (why, no_lists) = (trouble.clone(), trouble);
                }
            }
        }
        let authenticator = dns
            .as_ref()
            .filter(|_| auth)
            .map(|dns| Authenticator::new(Arc::clone(dns), &config.hostname))
            .map(|authenticator| authenticator.trusting(&config.auth.trusted_sealers));
        let off = |check: &str, why: &str| NotRun {
            check: check.to_owned(),
            why: why.to_owned(),
            weight: Weight::Off,
        };
        let mut all = Vec::new();
        if authenticator.is_none() {
            all.extend(["spf", "dkim", "dmarc", "arc"].map(|check| off(check, &why)));
        }
        if dns.is_none() || !(own_lists || rule_lists) {
            all.push(off("dnsbl", &no_lists));
        }
        if !config.spam.bayes {
            all.push(off("bayes", "switched off (spam.bayes)"));
        }
        let outside = Self {
            dns,
            authenticator,
            own_lists,
            rule_lists,
            off: all.into(),
            results: config.auth.results,
        };
        (outside, mistakes)
    }

    /// True if a mail has to wait for anybody.
    #[must_use]
    pub fn asks(&self) -> bool {
        self.dns.is_some()
    }

    /// True if our own Authentication-Results field is written.
    #[must_use]
    pub fn writes_results(&self) -> bool {
        self.results && self.authenticator.is_some()
    }

    /// What is never asked, with the reason.
    #[must_use]
    pub fn off(&self) -> Arc<[NotRun]> {
        Arc::clone(&self.off)
    }

    /// Lists that are not believed or do not answer, with the reason.
    #[must_use]
    pub fn troubles(&self) -> Vec<(Arc<str>, Arc<str>)> {
        self.dns.as_ref().map(|dns| dns.troubles()).unwrap_or_default()
    }

    /// Asks all that is switched on about a mail; `deadline` is the mail's.
    pub async fn ask(&self, question: &Question<'_>, deadline: Instant) -> Found {
        let Some(dns) = &self.dns else { return Found::default() };
        let began = Instant::now();
        let half = deadline.saturating_duration_since(began) / 2;
        let budget = question.config.dns.timeout.saturating_mul(QUESTIONS_IN_A_ROW).min(half);
        let until = began.checked_add(budget).unwrap_or(deadline);
        let (auth, first) = tokio::join!(self.authenticate(question, until), async {
            let wanted = self.wanted(question, Known::NOTHING, &Answers::default());
            dns.ask_all(wanted, until).await
        });
        let mut found = Found::default();
        if let Some((auth, not_run)) = auth {
            found.known.auth = Some(Arc::new(auth));
            found.not_run = not_run;
        }
        let Asked { mut answers, not_run } = first;
        found.not_run.extend(not_run);
        for _ in 1..ROUNDS_MAX {
            let wanted = self.wanted(question, &found.known, &answers);
            if wanted.is_empty() {
                break;
            }
            let more = dns.ask_all(wanted, until).await;
            answers.extend(more.answers);
            for missing in more.not_run {
                if !found.not_run.iter().any(|known| known.check == missing.check) {
                    found.not_run.push(missing);
                }
            }
        }
        found.known.dns = Some(Arc::new(answers));
        found.took = began.elapsed();
        found
    }

    /// What is not answered yet. A panic stays in this mail: its lists are not asked.
    fn wanted(&self, question: &Question<'_>, known: &Known, answers: &Answers) -> Vec<Wanted> {
        let work = AssertUnwindSafe(|| self.questions(question, known, answers));
        let large = question.message.raw.len() > HERE_BYTES_MAX;
        let flavor = tokio::runtime::Handle::current().runtime_flavor();
        let found = if large && flavor == RuntimeFlavor::MultiThread {
            // To find all links of a large mail takes a while, which must not hold up the sessions of others.
            tokio::task::block_in_place(|| std::panic::catch_unwind(work))
        } else {
            std::panic::catch_unwind(work)
        };
        found.unwrap_or_else(|_| {
            tracing::error!(
                "the questions of a mail to the DNS were not found; this is a bug of Tamis"
            );
            Vec::new()
        })
    }

    fn questions(&self, question: &Question<'_>, known: &Known, answers: &Answers) -> Vec<Wanted> {
        let mail = question.mail(known);
        let mut wanted = Vec::new();
        if self.own_lists {
            wanted.extend(question.config.dns.blocklists.questions(&mail));
        }
        if self.rule_lists {
            wanted.extend(question.engine.questions(&mail, answers));
        }
        wanted.retain(|one| answers.get(&one.question).is_none());
        wanted
    }

    async fn authenticate(
        &self,
        question: &Question<'_>,
        until: Instant,
    ) -> Option<(crate::filters::auth::Auth, Vec<NotRun>)> {
        let authenticator = self.authenticator.as_ref()?;
        let envelope = question.envelope;
        let helo = match envelope.forwarded {
            true => envelope.client.helo.clone().unwrap_or_default(),
            false => envelope.client.helo.clone().unwrap_or_else(|| envelope.helo.clone()),
        };
        let sender = Sender {
            client: envelope.client.address,
            internal: question.internal,
            helo,
            address: envelope.sender.address.clone(),
        };
        let message = question.message;
        Some(authenticator.check(&message.raw, message.body_start, &sender, until).await)
    }
}

/// A mail that is asked about.
#[derive(Debug, Clone, Copy)]
pub struct Question<'q> {
    /// The configuration of the site.
    pub config: &'q Config,
    /// Its rules.
    pub engine: &'q Engine,
    /// Who and to whom.
    pub envelope: &'q Envelope,
    /// The message.
    pub message: &'q Message,
    /// The original client is one of ours.
    pub internal: bool,
}

impl<'q> Question<'q> {
    fn mail<'m>(&self, known: &'m Known) -> Mail<'m>
    where
        'q: 'm,
    {
        Mail {
            envelope: self.envelope,
            message: self.message,
            internal: self.internal,
            received: jiff::Timestamp::now(),
            known,
        }
    }
}

fn resolver(config: &Config, previous: Option<(&Outside, &Config)>) -> Result<Arc<Dns>, String> {
    if let Some((outside, before)) = previous
        && let Some(dns) = &outside.dns
        && (&before.dns.resolvers, before.dns.timeout) == (&config.dns.resolvers, config.dns.timeout)
        // The system's may have changed.
        && !config.dns.resolvers.is_empty()
    {
        return Ok(Arc::clone(dns));
    }
    Dns::new(&config.dns.resolvers, config.dns.timeout).map(Arc::new)
}
