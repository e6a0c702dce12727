//! The records that signatures and policies need, fetched before: the library that checks them never asks the DNS.

use std::borrow::Borrow;
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Instant;

use base64::Engine as _;
use mail_auth::common::parse::TxtRecordParser;
use mail_auth::common::verify::{DomainKey, VerifySignature};
use mail_auth::dmarc::Dmarc;
use mail_auth::hickory_resolver::proto::op::ResponseCode;
use mail_auth::{
    AuthenticatedMessage, DnsError, Error, MX, Parameters, RecordSet, ResolverCache, Txt,
};

use crate::dns::Dns;
use crate::filters::dns::{Answer, Answers, Question, RecordKind, Wanted};

/// Names that one mail may ask for: all that policies and ten signatures need (163), and some seals.
const NAMES_MAX: usize = 170;
/// Author domains whose policy is asked for.
pub(super) const AUTHORS_MAX: usize = 8;
/// Mailboxes of From fields without any domain that are looked at.
const MAILBOXES_MAX: usize = 1_000;
/// Octets of an RSA key of 1024 bits, the shortest that counts (RFC 8301 section 3.2), as it is published.
const RSA_KEY_BYTES_MIN: usize = 140;

/// Records by name, as the library wants to find them in its cache.
#[derive(Default)]
pub(super) struct Keys {
    texts: HashMap<Box<str>, Txt>,
}

impl Keys {
    /// Fetches what the signatures and the policy of a mail need, side by side.
    pub(super) async fn fetch(
        dns: &Arc<Dns>,
        message: &AuthenticatedMessage<'_>,
        senders: &[&str],
        until: Instant,
    ) -> Self {
        let names = names(message, senders);
        let wanted = names
            .iter()
            .map(|name| Wanted { question: Question::new(name, RecordKind::Txt), list: None })
            .collect();
        let asked = dns.ask_all(wanted, until).await;
        Self::of(names, &asked.answers)
    }

    fn of(names: BTreeSet<String>, answers: &Answers) -> Self {
        let texts = names.into_iter().map(|name| {
            let answer = answers.get(&Question::new(&name, RecordKind::Txt));
            let text = text(&name, answer);
            (name.into_boxed_str(), text)
        });
        Self { texts: texts.collect() }
    }

    /// A question of the library, with these records.
    pub(super) fn with<P>(&self, params: P) -> With<'_, P> {
        Parameters {
            params,
            cache_txt: Some(self),
            cache_mx: None,
            cache_ptr: None,
            cache_ipv4: None,
            cache_ipv6: None,
        }
    }
}

pub(super) type With<'k, P> = Parameters<'k, P, Keys, Nothing, Nothing, Nothing, Nothing>;

/// Names of keys and policies, with a dot behind, as the library writes them. Policies come first, that nobody pushes
/// them aside with keys.
fn names(message: &AuthenticatedMessage<'_>, senders: &[&str]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut add = |name: String| {
        if names.len() < NAMES_MAX {
            names.insert(name);
        }
    };
    let plain = |key: String| key.to_lowercase();
    let authors = authors(message);
    for author in authors.iter().take(AUTHORS_MAX) {
        walk(author).for_each(&mut add);
    }
    // Another domain can only be aligned if it ends as the author's does.
    let signers = message.dkim_headers.iter().map(|header| header.header.d.as_str());
    let others: BTreeSet<String> = signers.chain(senders.iter().copied()).map(a_label).collect();
    let last = |domain: &str| domain.rsplit('.').next().map(str::to_owned);
    for other in others {
        if !authors.contains(&other) && authors.iter().any(|author| last(author) == last(&other)) {
            walk(&other).for_each(&mut add);
        }
    }
    for header in &message.dkim_headers {
        add(plain(header.header.domain_key()));
    }
    if let Some(last) = message.ams_headers.last() {
        add(plain(last.header.domain_key()));
    }
    for header in &message.as_headers {
        add(plain(header.header.domain_key()));
    }
    names
}

/// The domains of the From field, in lower case, in ASCII, in the order in which readers show them. Of more than
/// [`AUTHORS_MAX`] the first and one more.
pub(super) fn authors(message: &AuthenticatedMessage<'_>) -> Vec<String> {
    of_each_author(message).into_iter().map(|(domain, _)| domain).collect()
}

/// The first mailbox of each author's domain.
fn of_each_author<'m>(message: &'m AuthenticatedMessage<'_>) -> Vec<(String, &'m str)> {
    let mut authors: Vec<(String, &str)> = Vec::new();
    for from in &message.from {
        let Some((_, domain)) = from.rsplit_once('@') else { continue };
        let domain = a_label(domain);
        if !authors.iter().any(|(known, _)| *known == domain) {
            authors.push((domain, from));
        }
        if authors.len() > AUTHORS_MAX {
            break;
        }
    }
    authors
}

/// From fields of one author each, of those that [`authors`] names as many as are asked for; without any, those that are
/// there.
pub(super) fn one_of_each_author(message: &AuthenticatedMessage<'_>) -> Vec<Vec<String>> {
    let each = of_each_author(message);
    if each.is_empty() {
        return vec![message.from.iter().take(MAILBOXES_MAX).cloned().collect()];
    }
    each.into_iter().take(AUTHORS_MAX).map(|(_, from)| vec![from.to_owned()]).collect()
}

fn a_label(domain: &str) -> String {
    mail_auth::common::to_a_label(domain).to_lowercase()
}

/// Where a policy may stand: at the domain itself and above, eight names at most (RFC 9989 section 4.10).
fn walk(domain: &str) -> impl Iterator<Item = String> {
    let labels: Vec<&str> = domain.split('.').filter(|label| !label.is_empty()).collect();
    let count = labels.len();
    let depths: Vec<usize> = match count {
        0 | 1 => Vec::new(),
        2..=7 => (1..=count).rev().collect(),
        _ => std::iter::once(count).chain((1..=7).rev()).collect(),
    };
    depths.into_iter().filter_map(move |depth| {
        let name = labels.get(count - depth..)?.join(".");
        Some(format!("_dmarc.{name}."))
    })
}

/// Names that are asked for have a form and are few; for fuzzing.
pub(super) fn questions(message: &AuthenticatedMessage<'_>) {
    let names = names(message, &["other.test", "a.b.c.d.e.f.g.h.i.j.test", "."]);
    assert!(names.len() <= NAMES_MAX, "{} names", names.len());
    assert!(names.iter().all(|name| name.ends_with('.')), "{names:?}");
}

/// Octets as the records of a key and of a policy; for fuzzing.
pub(super) fn records(octets: &[u8]) {
    use crate::filters::dns::Record;
    let texts: Vec<Record> =
        octets.split(|octet| *octet == b'\n').map(|text| Record::Txt(text.to_vec())).collect();
    let answer = Answer::Records(texts.into());
    let key = text("a._domainkey.b.test.", Some(&answer));
    assert!(!matches!(key, Txt::Dmarc(_)), "a policy for a key");
    let policy = text("_dmarc.b.test.", Some(&answer));
    assert!(!matches!(policy, Txt::DomainKey(_)), "a key for a policy");
    let _ = is_short(octets);
}

fn text(name: &str, answer: Option<&Answer>) -> Txt {
    match answer {
        Some(Answer::Records(_)) => {}
        Some(Answer::NoData) => {
            return Txt::Error(Error::Dns(DnsError::RecordNotFound(ResponseCode::NoError)));
        }
        Some(Answer::NoName) => {
            return Txt::Error(Error::Dns(DnsError::RecordNotFound(ResponseCode::NXDomain)));
        }
        Some(Answer::Failed(why)) => {
            return Txt::Error(Error::Dns(DnsError::Resolver(why.to_string())));
        }
        None => return not_asked(),
    }
    let texts = answer.into_iter().flat_map(|answer| answer.texts());
    if name.starts_with("_dmarc.") {
        let mut policies = texts.filter_map(|text| Dmarc::parse(text).ok());
        return match (policies.next(), policies.next()) {
            (Some(policy), None) => policy.into(),
            // None, or more than one: there is no policy (RFC 9989 section 4.10).
            _ => Txt::Error(Error::Dns(DnsError::InvalidRecordType)),
        };
    }
    let mut result = Txt::Error(Error::Dns(DnsError::InvalidRecordType));
    for text in texts {
        if is_short(text) {
            result = Txt::Error(Error::Io("the key is shorter than 1024 bits".to_owned()));
            continue;
        }
        result = DomainKey::parse(text).into();
        if matches!(result, Txt::DomainKey(_)) {
            break;
        }
    }
    result
}

/// True for an RSA key that is too short to prove anything.
fn is_short(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    let tag = |name: &str| {
        let tags = text.split(';').filter_map(|tag| tag.split_once('='));
        tags.map(|(key, value)| (key.trim(), value)).find(|(key, _)| *key == name)
    };
    if tag("k").is_some_and(|(_, kind)| !kind.trim().eq_ignore_ascii_case("rsa")) {
        return false;
    }
    let Some((_, key)) = tag("p") else { return false };
    let key: String = key.chars().filter(|letter| !letter.is_whitespace()).collect();
    let key = base64::engine::general_purpose::STANDARD.decode(key);
    key.is_ok_and(|key| !key.is_empty() && key.len() < RSA_KEY_BYTES_MIN)
}

fn not_asked() -> Txt {
    Txt::Error(Error::Dns(DnsError::Resolver("it was not asked for".to_owned())))
}

impl ResolverCache<Box<str>, Txt> for Keys {
    /// Always finds something, so that nobody goes on to ask.
    fn get<Q>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        Some(self.texts.get(name).cloned().unwrap_or_else(not_asked))
    }

    fn remove<Q>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, _: Box<str>, _: Txt, _: Instant) {}
}

/// For kinds of records that are not fetched before.
pub(super) struct Nothing;

macro_rules! nothing {
    ($key:ty, $value:ty) => {
        impl ResolverCache<$key, $value> for Nothing {
            fn get<Q>(&self, _: &Q) -> Option<$value>
            where
                $key: Borrow<Q>,
                Q: Hash + Eq + ?Sized,
            {
                None
            }

            fn remove<Q>(&self, _: &Q) -> Option<$value>
            where
                $key: Borrow<Q>,
                Q: Hash + Eq + ?Sized,
            {
                None
            }

            fn insert(&self, _: $key, _: $value, _: Instant) {}
        }
    };
}

nothing!(Box<str>, RecordSet<MX>);
nothing!(Box<str>, RecordSet<Ipv4Addr>);
nothing!(Box<str>, RecordSet<Ipv6Addr>);
nothing!(IpAddr, RecordSet<Box<str>>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_looked_for_upwards_in_eight_names() {
        let names = |domain| walk(domain).collect::<Vec<_>>();
        assert_eq!(names("a.b.test"), ["_dmarc.a.b.test.", "_dmarc.b.test.", "_dmarc.test."]);
        let long = names("a.b.c.d.e.f.g.h.i.test");
        assert_eq!((long.len(), long[1].as_str()), (8, "_dmarc.d.e.f.g.h.i.test."));
        assert_eq!(names("test"), Vec::<String>::new());
    }

    #[test]
    fn no_signatures_or_seals_push_policies_aside() {
        let deep = |name: usize| format!("a.b.c.d.e.f.g.h.{name}.test");
        let from: Vec<String> = (0..7).map(|name| format!("x@{}", deep(name))).collect();
        let mut text = format!("From: {}, y@victim.test\r\n", from.join(", "));
        for number in 0..10 {
            let domain = deep(number + 100);
            text += &format!(
                "DKIM-Signature: v=1; a=rsa-sha256; d={domain}; s=s; h=from; bh=YQ==; b=YQ==\r\n"
            );
        }
        for number in 1..=50 {
            text += &format!(
                "ARC-Seal: i={number}; a=rsa-sha256; cv=none; d=s{number}.test; s=s; b=YQ==\r\n"
            );
        }
        let text = format!("{text}\r\n");
        let message = AuthenticatedMessage::parse(text.as_bytes()).unwrap();
        let names = names(&message, &["sender.test"]);
        assert_eq!((message.dkim_headers.len(), names.len()), (10, NAMES_MAX));
        for name in ["_dmarc.victim.test.", "_dmarc.a.b.c.d.e.f.g.h.6.test.", "_dmarc.sender.test."]
        {
            assert!(names.contains(name), "{name}: {names:?}");
        }
        let keys = names.iter().filter(|name| name.starts_with("s._domainkey.a.b.c."));
        assert_eq!(keys.count(), 10);
    }

    #[test]
    fn the_authors_that_readers_show_first_are_judged_however_many_follow() {
        let mut text = "From: a@z.test, b@Z.TEST, none, c@y.test".to_owned();
        (0..20_000).for_each(|number| text.push_str(&format!(",\r\n a@a{number}.test")));
        text.push_str("\r\n\r\n");
        let message = AuthenticatedMessage::parse(text.as_bytes()).unwrap();
        let authors = authors(&message);
        assert_eq!(
            (authors.len(), authors[0].as_str(), authors[1].as_str()),
            (9, "z.test", "y.test")
        );
        let each = one_of_each_author(&message);
        assert_eq!((each.len(), each[0].as_slice()), (8, ["a@z.test".to_owned()].as_slice()));
    }

    #[test]
    fn short_keys_prove_nothing() {
        let key = |octets: usize| {
            let key = base64::engine::general_purpose::STANDARD.encode(vec![7; octets]);
            format!("v=DKIM1; k=rsa; p={key}")
        };
        assert!(is_short(key(94).as_bytes()));
        assert!(!is_short(key(162).as_bytes()));
        assert!(!is_short(b"k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="));
        assert!(!is_short(b"v=DKIM1; p="));
    }
}
