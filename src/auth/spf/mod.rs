//! SPF (RFC 7208): may this client send in the name of that domain?
//!
//! The library that checks signatures has an SPF check, too; it is not used, because it takes the first of several
//! records, follows AAAA for `exists`, ends at no number of void lookups and lets an included record's errors pass.

pub(super) mod fuzzing;
mod macros;
mod record;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use self::macros::{Text, Values};
use self::record::{Directive, Mechanism, Record};
use crate::dns::Dns;
use crate::filters::auth::{AuthResult, Spf};
use crate::filters::dns::{Answer, Question, RecordKind, reversed};

/// Terms that ask the DNS (section 4.6.4).
const LOOKUPS_MAX: u32 = 10;
/// Of them, those that find nothing.
const VOID_MAX: u32 = 2;
/// Names of one MX or PTR answer that are followed.
const NAMES_MAX: usize = 10;
/// Letters of an explanation.
const EXPLANATION_MAX: usize = 300;

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Query<'q> {
    /// The client.
    pub(crate) client: IpAddr,
    /// What it said in HELO.
    pub(crate) helo: &'q str,
    /// The envelope sender; `None`: HELO itself is checked.
    pub(crate) sender: Option<&'q str>,
    /// Our name.
    pub(crate) receiver: &'q str,
    /// Seconds since 1970.
    pub(crate) now: u64,
    /// When every answer must be there.
    pub(crate) until: Instant,
}

/// Checks one identity.
pub(crate) async fn check(dns: &Dns, query: &Query<'_>) -> Spf {
    let (local, domain) = match query.sender {
        Some(sender) => sender.rsplit_once('@').unwrap_or(("", sender)),
        None => ("", query.helo),
    };
    let domain = domain.strip_suffix('.').unwrap_or(domain).to_owned();
    let local = if local.is_empty() { "postmaster" } else { local };
    let sender = format!("{local}@{domain}");
    let client = query.client.to_canonical();
    let values = Values {
        sender: &sender,
        helo: query.helo,
        client,
        receiver: query.receiver,
        now: query.now,
    };
    if !is_domain(&domain) {
        let why = "no domain that could publish anything".to_owned();
        return Spf { domain, why, ..Spf::default() };
    }
    let mut check = Check { dns, values, until: query.until, lookups: 0, void: 0, pointers: None };
    let (result, why, explanation) = match check.run(&domain).await {
        Ok((result, why, explanation)) => (result, why, explanation),
        Err(End { result, why }) => (result, why, String::new()),
    };
    Spf { result, domain, why, explanation }
}

/// Names of at least two labels, none empty or too long (section 4.3).
fn is_domain(domain: &str) -> bool {
    let label = |label: &str| !label.is_empty() && label.len() <= 63;
    domain.len() <= 253
        && domain.contains('.')
        && domain.split('.').all(label)
        && !domain.starts_with('[')
        && !domain.bytes().any(|octet| octet.is_ascii_whitespace())
}

/// The check ends at once with this.
struct End {
    result: AuthResult,
    why: String,
}

fn end<T>(result: AuthResult, why: impl Into<String>) -> Result<T, End> {
    Err(End { result, why: why.into() })
}

/// A record that is being gone through.
struct Frame {
    record: Arc<Record>,
    domain: String,
    /// The next directive.
    at: usize,
    /// What follows for the record that includes this one if this one passes.
    outer: Option<Directive>,
}

struct Check<'c> {
    dns: &'c Dns,
    values: Values<'c>,
    until: Instant,
    lookups: u32,
    void: u32,
    /// Names of the client by reverse DNS whose addresses hold it.
    pointers: Option<Vec<String>>,
}

impl Check<'_> {
    /// Goes through the records; includes wait on a stack that the limit of lookups bounds.
    async fn run(&mut self, domain: &str) -> Result<(AuthResult, String, String), End> {
        let Some(record) = self.record(domain).await? else {
            return end(AuthResult::None, "no SPF record");
        };
        let mut frames = vec![Frame { record, domain: domain.to_owned(), at: 0, outer: None }];
        while let Some(frame) = frames.last_mut() {
            let decided = if let Some(directive) = frame.record.directives.get(frame.at).cloned() {
                frame.at += 1;
                let domain = frame.domain.clone();
                if let Mechanism::Include(text) = &directive.mechanism {
                    let included = self.follow(text, &domain).await?;
                    frames.push(Frame { outer: Some(directive), ..included });
                    continue;
                }
                if !self.fits(&directive.mechanism, &domain).await? {
                    continue;
                }
                (directive.result, directive.written)
            } else if let Some(text) = frame.record.redirect.clone() {
                let domain = frame.domain.clone();
                let target = self.follow(&text, &domain).await?;
                let outer = frame.outer.take();
                *frame = Frame { outer, ..target };
                continue;
            } else {
                (AuthResult::Neutral, "nothing in the record fits".to_owned())
            };
            if let Some(done) = self.unwind(&mut frames, decided).await {
                return Ok(done);
            }
        }
        end(AuthResult::PermError, "the record has no end")
    }

    /// What a decided record means for those that include it; `Some`: it was the first one.
    async fn unwind(
        &mut self,
        frames: &mut Vec<Frame>,
        decided: (AuthResult, String),
    ) -> Option<(AuthResult, String, String)> {
        let (mut result, mut why) = decided;
        while let Some(frame) = frames.pop() {
            match frame.outer {
                // Section 5.2: only a pass fits; what else was decided there is no match here.
                Some(_) if result != AuthResult::Pass => return None,
                Some(outer) => {
                    result = outer.result;
                    why = format!("{} ({why})", outer.written);
                }
                None => {
                    let explanation = match (&frame.record.explanation, result) {
                        (Some(text), AuthResult::Fail) => {
                            self.explanation(text, &frame.domain).await
                        }
                        _ => String::new(),
                    };
                    return Some((result, why, explanation));
                }
            }
        }
        None
    }

    /// The record of a domain; `None`: it publishes none.
    async fn record(&mut self, domain: &str) -> Result<Option<Arc<Record>>, End> {
        let answer = self.dns.ask(&Question::new(domain, RecordKind::Txt), self.until).await;
        if let Answer::Failed(why) = &answer {
            return end(AuthResult::TempError, format!("{domain}: {why}"));
        }
        let mut found = answer.texts().filter(|text| record::is_spf(text));
        let (first, second) = (found.next(), found.next());
        let Some(text) = first else { return Ok(None) };
        if second.is_some() {
            return end(AuthResult::PermError, format!("{domain} has more than one SPF record"));
        }
        match Record::parse(text) {
            Ok(record) => Ok(Some(Arc::new(record))),
            Err(why) => end(AuthResult::PermError, format!("{domain}: {why}")),
        }
    }

    /// The record that `include` or `redirect` names.
    async fn follow(&mut self, text: &Text, domain: &str) -> Result<Frame, End> {
        self.count()?;
        let domain = self.name(text, domain).await;
        match self.record(&domain).await? {
            Some(record) => Ok(Frame { record, domain, at: 0, outer: None }),
            None => end(AuthResult::PermError, format!("{domain} has no SPF record")),
        }
    }

    fn count(&mut self) -> Result<(), End> {
        self.lookups += 1;
        match self.lookups > LOOKUPS_MAX {
            true => end(AuthResult::PermError, format!("more than {LOOKUPS_MAX} lookups")),
            false => Ok(()),
        }
    }

    async fn name(&mut self, text: &Text, domain: &str) -> String {
        let name = match text.needs_name() {
            true => self.validated(domain).await,
            false => String::new(),
        };
        text.name(&self.values, domain, &name)
    }

    async fn target(&mut self, text: Option<&Text>, domain: &str) -> String {
        match text {
            Some(text) => self.name(text, domain).await,
            None => domain.to_owned(),
        }
    }

    async fn fits(&mut self, mechanism: &Mechanism, domain: &str) -> Result<bool, End> {
        match mechanism {
            Mechanism::All => Ok(true),
            Mechanism::Ip4(network, bits) => {
                Ok(within(self.values.client, (*network).into(), *bits))
            }
            Mechanism::Ip6(network, bits) => {
                Ok(within(self.values.client, (*network).into(), *bits))
            }
            Mechanism::A(text, four, six) => {
                self.count()?;
                let host = self.target(text.as_ref(), domain).await;
                let addresses = self.addresses(&host, true).await?;
                Ok(self.holds(&addresses, *four, *six))
            }
            Mechanism::Mx(text, four, six) => {
                self.count()?;
                let host = self.target(text.as_ref(), domain).await;
                let answer = self.ask(&host, RecordKind::Mx, true).await?;
                let hosts: Vec<&str> = answer.names().filter(|name| !name.is_empty()).collect();
                if hosts.len() > NAMES_MAX {
                    return end(
                        AuthResult::PermError,
                        format!("{host} has more than {NAMES_MAX} MX"),
                    );
                }
                for host in hosts {
                    let addresses = self.addresses(host, false).await?;
                    if self.holds(&addresses, *four, *six) {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Mechanism::Ptr(text) => {
                self.count()?;
                let host = self.target(text.as_ref(), domain).await.to_lowercase();
                let names = self.pointers().await;
                Ok(names.iter().any(|name| is_below(name, &host)))
            }
            Mechanism::Exists(text) => {
                self.count()?;
                let host = self.name(text, domain).await;
                // An A record, whatever the client's address is (section 5.7).
                Ok(self.ask(&host, RecordKind::A, true).await?.addresses().next().is_some())
            }
            // Followed where the stack is.
            Mechanism::Include(_) => Ok(false),
        }
    }

    /// A question of a mechanism; `counted`: finding nothing is held against the record.
    async fn ask(&mut self, name: &str, kind: RecordKind, counted: bool) -> Result<Answer, End> {
        let answer = self.dns.ask(&Question::new(name, kind), self.until).await;
        match &answer {
            Answer::Failed(why) => return end(AuthResult::TempError, format!("{name}: {why}")),
            Answer::NoName | Answer::NoData if counted => {
                self.void += 1;
                if self.void > VOID_MAX {
                    let why = format!("more than {VOID_MAX} lookups that find nothing");
                    return end(AuthResult::PermError, why);
                }
            }
            Answer::NoName | Answer::NoData | Answer::Records(_) => {}
        }
        Ok(answer)
    }

    async fn addresses(&mut self, host: &str, counted: bool) -> Result<Vec<IpAddr>, End> {
        let kind = if self.values.client.is_ipv4() { RecordKind::A } else { RecordKind::Aaaa };
        let answer = self.ask(host, kind, counted).await?;
        Ok(addresses(&answer))
    }

    fn holds(&self, addresses: &[IpAddr], four: u8, six: u8) -> bool {
        let bits = if self.values.client.is_ipv4() { four } else { six };
        addresses.iter().any(|address| within(self.values.client, *address, bits))
    }

    /// Names by reverse DNS that lead back to the client; what fails is passed over (section 5.5).
    async fn pointers(&mut self) -> Vec<String> {
        if let Some(known) = &self.pointers {
            return known.clone();
        }
        let client = self.values.client;
        let zone = if client.is_ipv4() { "in-addr.arpa" } else { "ip6.arpa" };
        let question = Question::new(&format!("{}.{zone}", reversed(client)), RecordKind::Ptr);
        let answer = self.dns.ask(&question, self.until).await;
        let kind = if client.is_ipv4() { RecordKind::A } else { RecordKind::Aaaa };
        let mut names = Vec::new();
        for name in answer.names().take(NAMES_MAX) {
            let forward = self.dns.ask(&Question::new(name, kind), self.until).await;
            if addresses(&forward).contains(&client) {
                names.push(name.to_owned());
            }
        }
        self.pointers = Some(names.clone());
        names
    }

    /// `%{p}`: the domain itself if it is among the client's names, else one below it, else any (section 7.3).
    async fn validated(&mut self, domain: &str) -> String {
        let names = self.pointers().await;
        let domain = domain.to_lowercase();
        let own = names.iter().find(|name| **name == domain);
        let below = names.iter().find(|name| is_below(name, &domain));
        own.or(below).or(names.first()).cloned().unwrap_or_else(|| "unknown".to_owned())
    }

    /// The words of the domain's owner; anything odd means none (section 6.2).
    async fn explanation(&mut self, text: &Text, domain: &str) -> String {
        let name = self.name(text, domain).await;
        let answer = self.dns.ask(&Question::new(&name, RecordKind::Txt), self.until).await;
        let mut texts = answer.texts();
        let (Some(words), None) = (texts.next(), texts.next()) else { return String::new() };
        let words = std::str::from_utf8(words).ok().filter(|words| words.is_ascii());
        let Some(text) = words.and_then(|words| Text::parse(words, true)) else {
            return String::new();
        };
        let name = match text.needs_name() {
            true => self.validated(domain).await,
            false => String::new(),
        };
        let words = text.expand(&self.values, domain, &name);
        let plain = |letter: char| if (' '..='~').contains(&letter) { letter } else { '?' };
        words.chars().map(plain).take(EXPLANATION_MAX).collect()
    }
}

fn addresses(answer: &Answer) -> Vec<IpAddr> {
    let address = |record: &crate::filters::dns::Record| match record {
        crate::filters::dns::Record::A(address) => Some(IpAddr::V4(*address)),
        crate::filters::dns::Record::Aaaa(address) => Some(IpAddr::V6(*address)),
        crate::filters::dns::Record::Txt(_) | crate::filters::dns::Record::Name(_) => None,
    };
    answer.records().iter().filter_map(address).collect()
}

/// True for the domain itself and what is below it.
fn is_below(name: &str, domain: &str) -> bool {
    name == domain || name.strip_suffix(domain).is_some_and(|front| front.ends_with('.'))
}

/// True if both are of one family and agree in their first `bits`.
fn within(client: IpAddr, network: IpAddr, bits: u8) -> bool {
    match (client, network) {
        (IpAddr::V4(client), IpAddr::V4(network)) => {
            let shift = 32_u32.saturating_sub(bits.into());
            let differs = client.to_bits() ^ network.to_bits();
            differs.checked_shr(shift).unwrap_or(0) == 0
        }
        (IpAddr::V6(client), IpAddr::V6(network)) => {
            let shift = 128_u32.saturating_sub(bits.into());
            let differs = client.to_bits() ^ network.to_bits();
            differs.checked_shr(shift).unwrap_or(0) == 0
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}
