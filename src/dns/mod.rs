//! The one place that asks the DNS: for lists, for SPF, DKIM and DMARC.
//!
//! Every question has a time limit; what does not answer in time is "nobody knows" and counts for nothing. Answers are
//! kept (good ones by their time to live, bad ones for minutes). Resolvers and lists that stay silent are left alone
//! for a while, and a list is believed only after it was tried (RFC 5782 section 5).

pub(crate) mod breaker;
mod cache;
#[doc(hidden)]
pub mod fuzzing;
mod lists;
#[cfg(test)]
pub(crate) mod stub;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{TokioResolver, system_conf};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use self::breaker::Breaker;
use self::cache::Cache;
use self::lists::{Health, Lists};
use crate::filters::dns::{Answer, Answers, ListKind, Question, Record, RecordKind, Wanted};
use crate::filters::{NotRun, Weight};

/// Questions of all mails at once.
const AT_ONCE_MAX: usize = 256;
/// Questions of one mail.
const QUESTIONS_MAX: usize = 400;
/// Records of one answer that are looked at; SPF counts to ten.
const RECORDS_MAX: usize = 64;
/// Octets of all texts of one answer.
const TEXT_BYTES_MAX: usize = 16 << 10;
/// A good answer is kept for no longer, whatever its time to live.
const GOOD_MAX: Duration = Duration::from_secs(3_600);
/// The same for "there is no such name".
const BAD_MAX: Duration = Duration::from_secs(900);
/// "There is no such name" without a time to live.
const BAD_DEFAULT: Duration = Duration::from_secs(60);
/// A failure of others is kept for so long, so that one mail after the other need not wait for it.
const FAILURE: Duration = Duration::from_secs(15);

/// Asks, remembers, gives up.
pub struct Dns {
    resolver: TokioResolver,
    /// For one question.
    timeout: Duration,
    cache: Cache,
    lists: Lists,
    /// The resolvers as a whole.
    resolvers: Mutex<Breaker>,
    slots: Semaphore,
}

impl std::fmt::Debug for Dns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dns").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

/// The answers of a mail, and what nobody could say.
#[derive(Debug, Default)]
pub struct Asked {
    /// All answers.
    pub answers: Answers,
    /// Checks without answer, each list once.
    pub not_run: Vec<NotRun>,
}

impl Dns {
    /// A resolver that asks these servers; none: those of the system.
    ///
    /// # Errors
    /// Why there can be none, for people.
    pub fn new(resolvers: &[SocketAddr], timeout: Duration) -> Result<Self, String> {
        let system = || system_conf::read_system_conf().map(|(config, _)| config);
        let config = match resolvers {
            [] => system().map_err(|error| format!("the system names no resolver: {error}"))?,
            some => ResolverConfig::from_name_servers(some.iter().map(server).collect()),
        };
        // Names are always asked as they are: no search list of this host.
        let config = ResolverConfig::from_name_servers(config.name_servers().to_vec());
        if config.name_servers().is_empty() {
            return Err("the system names no resolver".to_owned());
        }
        let mut options = ResolverOpts::default();
        // Half the time for the first try, so that one lost packet costs no answer.
        options.timeout = timeout / 2;
        options.attempts = 1;
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        options.ndots = 0;
        let resolver = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            .with_options(options)
            .build()
            .map_err(|error| format!("the resolver cannot be used: {error}"))?;
        Ok(Self {
            resolver,
            timeout,
            cache: Cache::default(),
            lists: Lists::default(),
            resolvers: Mutex::default(),
            slots: Semaphore::new(AT_ONCE_MAX),
        })
    }

    /// What hickory makes of the same servers, for a library that needs one of its own.
    #[must_use]
    pub fn resolver(&self) -> TokioResolver {
        self.resolver.clone()
    }

    /// Lists that are not believed or do not answer, with the reason.
    #[must_use]
    pub fn troubles(&self) -> Vec<(Arc<str>, Arc<str>)> {
        self.lists.troubles()
    }

    /// One question.
    pub async fn ask(&self, question: &Question, until: Instant) -> Answer {
        let now = Instant::now();
        if let Some(answer) = self.cache.get(question, now) {
            return answer;
        }
        // A name that cannot be asked for does not exist (RFC 1035 section 2.3.4).
        let Some(name) = name(&question.name) else { return Answer::NoName };
        if !self.breaker().may_ask(now) {
            return Answer::Failed("the resolvers do not answer".into());
        }
        let until = until.min(now.checked_add(self.timeout).unwrap_or(until));
        let asked = async {
            let _slot = self.slots.acquire().await;
            self.resolver.lookup(name, record_type(question.kind)).await
        };
        let found = tokio::time::timeout_at(until.into(), asked).await;
        let (answer, keep) = match &found {
            Ok(Ok(lookup)) => {
                let left = lookup.valid_until().saturating_duration_since(Instant::now());
                (records(lookup.answers(), question.kind), left.min(GOOD_MAX))
            }
            Ok(Err(error)) => failure(error),
            Err(_) => (Answer::Failed("no answer in time".into()), Duration::ZERO),
        };
        let silent = matches!(found, Err(_) | Ok(Err(NetError::Timeout | NetError::NoConnections)))
            || matches!(found, Ok(Err(NetError::Io(_))));
        self.note(silent).await;
        if !keep.is_zero() {
            self.cache.insert(question, &answer, keep, Instant::now());
        }
        answer
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.resolvers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Silence may be that of a stranger's servers behind a resolver that is well: before the resolvers are blamed, they
    /// are asked what every resolver knows.
    async fn note(&self, silent: bool) {
        if !silent {
            self.breaker().answered();
            return;
        }
        if !self.breaker().was_silent(Instant::now()) {
            return;
        }
        let root = self.resolver.lookup(Name::root(), RecordType::NS);
        let lives = match tokio::time::timeout(self.timeout / 2, root).await {
            Ok(Ok(_)) => true,
            Ok(Err(error)) => matches!(error, NetError::Dns(_)),
            Err(_) => false,
        };
        if lives {
            self.breaker().answered();
        } else {
            tracing::warn!("the DNS resolvers do not answer; they are left alone for a while");
        }
    }

    /// All questions of a mail side by side. What has no answer when `until` comes is told in [`Asked::not_run`].
    pub async fn ask_all(self: &Arc<Self>, wanted: Vec<Wanted>, until: Instant) -> Asked {
        let mut asked = Asked::default();
        let mut wanted = wanted;
        wanted.sort();
        wanted.dedup();
        if wanted.len() > QUESTIONS_MAX {
            let why = format!("more than {QUESTIONS_MAX} questions to the DNS");
            asked.not_run.push(missing("dns", &why));
            wanted.truncate(QUESTIONS_MAX);
        }
        let mut tasks = JoinSet::new();
        for one in &wanted {
            let (dns, one) = (Arc::clone(self), one.clone());
            tasks.spawn(async move {
                let answer = match &one.list {
                    Some((zone, kind)) => dns.ask_list(zone, *kind, &one.question, until).await,
                    None => dns.ask(&one.question, until).await,
                };
                (one, answer)
            });
        }
        let mut found = std::collections::BTreeMap::new();
        // Each question ends by itself when its time is over; the margin is for the bookkeeping.
        let last = until.checked_add(Duration::from_millis(50)).unwrap_or(until);
        while let Ok(Some(done)) = tokio::time::timeout_at(last.into(), tasks.join_next()).await {
            if let Ok((one, answer)) = done {
                found.insert(one, answer);
            }
        }
        for one in wanted {
            let answer = found
                .remove(&one)
                .unwrap_or_else(|| Answer::Failed("the time for this mail is over".into()));
            let check = match &one.list {
                Some((zone, _)) => format!("dnsbl:{zone}"),
                None => format!("dns:{}", one.question.name),
            };
            let refused = answer.addresses().find(|one| crate::filters::dns::is_refusal(*one));
            let why = match (&answer, refused, &one.list) {
                (Answer::Failed(why), _, _) => Some(why.to_string()),
                (_, Some(refusal), Some(_)) => {
                    Some(format!("the list refuses to answer ({refusal})"))
                }
                _ => None,
            };
            if let Some(why) = why
                && !asked.not_run.iter().any(|known| known.check == check)
            {
                asked.not_run.push(missing(&check, &why));
            }
            asked.answers.insert(one.question, answer);
        }
        asked
    }

    /// A question to a list, which is tried before, if it was not for a while.
    async fn ask_list(
        &self,
        zone: &Arc<str>,
        kind: ListKind,
        question: &Question,
        until: Instant,
    ) -> Answer {
        let now = Instant::now();
        if let Some(Health::Bad(why)) = self.lists.health(zone, now) {
            return Answer::Failed(why);
        }
        if !self.lists.may_ask(zone, now) {
            return Answer::Failed("the list does not answer".into());
        }
        let (answer, health) =
            tokio::join!(self.ask(question, until), self.health(zone, kind, until));
        self.lists.note(zone, !matches!(answer, Answer::Failed(_)), Instant::now());
        match (&answer, health) {
            // "Not listed" needs no proof.
            (Answer::NoName | Answer::NoData | Answer::Failed(_), _) | (_, Health::Good) => answer,
            (Answer::Records(_), Health::Bad(why)) => Answer::Failed(why),
            (Answer::Records(_), Health::Unknown(why)) => {
                let refused = answer.addresses().any(crate::filters::dns::is_refusal);
                if refused {
                    answer
                } else {
                    Answer::Failed(format!("it could not be tried: {why}").into())
                }
            }
        }
    }

    async fn health(&self, zone: &Arc<str>, kind: ListKind, until: Instant) -> Health {
        if let Some(health) = self.lists.health(zone, Instant::now()) {
            return health;
        }
        let absent = lists::must_not_hold(zone, kind);
        let present = lists::must_hold(zone, kind);
        let (absent, present) = tokio::join!(self.ask(&absent, until), async {
            match &present {
                Some(present) => Some(self.ask(present, until).await),
                None => None,
            }
        });
        let health = lists::health(&absent, present.as_ref());
        self.lists.tried(zone, &health, Instant::now());
        health
    }
}

fn missing(check: &str, why: &str) -> NotRun {
    NotRun { check: check.to_owned(), why: why.to_owned(), weight: Weight::Wanted }
}

fn server(address: &SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.into())
}

/// A name as the DNS takes it; `None` if it is none: a label too long or empty, or more than 255 octets.
fn name(text: &str) -> Option<Name> {
    if text.is_empty() || text.len() > 253 {
        return None;
    }
    let labels = text.split('.').map(str::as_bytes);
    let mut name = Name::from_labels(labels).ok()?;
    name.set_fqdn(true);
    Some(name)
}

fn record_type(kind: RecordKind) -> RecordType {
    match kind {
        RecordKind::A => RecordType::A,
        RecordKind::Aaaa => RecordType::AAAA,
        RecordKind::Txt => RecordType::TXT,
        RecordKind::Mx => RecordType::MX,
        RecordKind::Ns => RecordType::NS,
        RecordKind::Ptr => RecordType::PTR,
    }
}

/// The records of the wanted kind; aliases on the way to them are left out.
fn records(found: &[hickory_resolver::proto::rr::Record], kind: RecordKind) -> Answer {
    // Octets as they are: the text form of a name would escape some.
    let plain = |name: &Name| {
        let labels = name.iter().map(|label| String::from_utf8_lossy(label).to_lowercase());
        Record::Name(labels.collect::<Vec<_>>().join("."))
    };
    let mut octets = 0_usize;
    let mut records: Vec<(u16, Record)> = Vec::new();
    for record in found.iter() {
        let wanted = match (&record.data, kind) {
            (RData::A(address), RecordKind::A) => (0, Record::A(address.0)),
            (RData::AAAA(address), RecordKind::Aaaa) => (0, Record::Aaaa(address.0)),
            (RData::TXT(text), RecordKind::Txt) => {
                let text: Vec<u8> =
                    text.txt_data.iter().flat_map(|part| part.iter().copied()).collect();
                octets = octets.saturating_add(text.len());
                (0, Record::Txt(text))
            }
            (RData::MX(mx), RecordKind::Mx) => (mx.preference, plain(&mx.exchange)),
            (RData::NS(ns), RecordKind::Ns) => (0, plain(&ns.0)),
            (RData::PTR(ptr), RecordKind::Ptr) => (0, plain(&ptr.0)),
            _ => continue,
        };
        if records.len() >= RECORDS_MAX || octets > TEXT_BYTES_MAX {
            break;
        }
        records.push(wanted);
    }
    if octets > TEXT_BYTES_MAX {
        return Answer::Failed(format!("more than {TEXT_BYTES_MAX} octets of text").into());
    }
    records.sort_by_key(|(preference, _)| *preference);
    match records.is_empty() {
        true => Answer::NoData,
        false => Answer::Records(records.into_iter().map(|(_, record)| record).collect()),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "every other code is a failure")]
fn failure(error: &NetError) -> (Answer, Duration) {
    let NetError::Dns(error) = error else {
        return (Answer::Failed(error.to_string().into()), Duration::ZERO);
    };
    if let DnsError::NoRecordsFound(none) = error {
        let keep = none.negative_ttl.map_or(BAD_DEFAULT, |ttl| Duration::from_secs(ttl.into()));
        let keep = keep.clamp(Duration::from_secs(1), BAD_MAX);
        match none.response_code {
            ResponseCode::NXDomain => return (Answer::NoName, keep),
            ResponseCode::NoError => return (Answer::NoData, keep),
            other => return (Answer::Failed(format!("the DNS says {other}").into()), FAILURE),
        }
    }
    let why = match error {
        DnsError::ResponseCode(code) => format!("the DNS says {code}"),
        other => other.to_string(),
    };
    (Answer::Failed(why.into()), FAILURE)
}
