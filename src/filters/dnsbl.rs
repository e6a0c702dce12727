//! The site's own DNS lists (`[dns] blocklists`): which questions a mail needs, and what the replies are worth.
//!
//! Hosts of links are those of the decoded message, documents and every reading of it included. Rules ask about other
//! hosts (`spam::view::View::hosts`): those that SpamAssassin sees, without what `uridnsbl_skip_domain` names.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use sha1::{Digest as _, Sha1};

use super::dns::{Answers, ListKind, Mask, Question, RecordKind, Wanted, entries, reversed};
use super::{Mail, NotRun, RuleHit, Score, Source, Weight};
use crate::mail::Link;

/// Names of one mail that are put to one list.
const NAMES_MAX: usize = 20;

/// What is looked up in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The client's address.
    Client,
    /// The domains of the envelope sender and of the From field.
    SenderDomain,
    /// The hosts that links lead to.
    LinkDomain,
    /// SHA-1 digests of the addresses of the envelope sender, From and Reply-To, in lower case.
    Hash,
}

impl Subject {
    /// What the list holds.
    #[must_use]
    pub fn kind(self) -> ListKind {
        match self {
            Self::Client => ListKind::Address,
            Self::SenderDomain | Self::LinkDomain => ListKind::Name,
            Self::Hash => ListKind::Hash,
        }
    }
}

/// One list of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocklist {
    /// The zone, in lower case, without a dot at either end.
    pub zone: Arc<str>,
    /// What is looked up in it.
    pub subject: Subject,
    /// Replies and their points; `None`: any reply.
    pub replies: Vec<(Option<Mask>, Score)>,
    /// Where it stands in the configuration.
    pub source: Source,
}

impl Blocklist {
    /// `DNSBL_ZEN_SPAMHAUS_ORG`.
    #[must_use]
    pub fn name(&self) -> String {
        let letter = |letter: char| match letter {
            'a'..='z' => letter.to_ascii_uppercase(),
            '0'..='9' => letter,
            _ => '_',
        };
        format!("DNSBL_{}", self.zone.chars().map(letter).collect::<String>())
    }

    /// The questions a mail puts to it, each with what it is about.
    fn questions(&self, mail: &Mail<'_>) -> Vec<(String, Question)> {
        let fronts: Vec<(String, String)> = match self.subject {
            Subject::Client => {
                clients(mail).map(|address| (address.to_string(), reversed(address))).collect()
            }
            Subject::SenderDomain => same(sender_domains(mail)),
            Subject::LinkDomain => same(link_hosts(mail)),
            Subject::Hash => {
                let digest = |address: String| {
                    let digest = Sha1::digest(address.as_bytes());
                    let hex = digest.iter().map(|octet| format!("{octet:02x}")).collect();
                    (address, hex)
                };
                senders(mail).into_iter().map(digest).collect()
            }
        };
        let question = |(about, front): (String, String)| {
            let name = format!("{front}.{}", self.zone);
            (about, Question::new(&name, RecordKind::A))
        };
        fronts.into_iter().take(NAMES_MAX).map(question).collect()
    }
}

/// All lists of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Blocklists(pub Vec<Blocklist>);

impl Blocklists {
    /// True if there is nothing to ask.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What must be asked for a mail.
    #[must_use]
    pub fn questions(&self, mail: &Mail<'_>) -> Vec<Wanted> {
        let of = |list: &Blocklist| {
            let (zone, kind) = (Arc::clone(&list.zone), list.subject.kind());
            let questions = list.questions(mail).into_iter();
            let wanted = questions.map(move |(_, question)| Wanted {
                question,
                list: Some((Arc::clone(&zone), kind)),
            });
            wanted.collect::<Vec<_>>()
        };
        self.0.iter().flat_map(of).collect()
    }

    /// Says that a mail has more links than are asked about.
    #[must_use]
    pub fn left_out(&self, mail: &Mail<'_>) -> Option<NotRun> {
        let asks = self.0.iter().any(|list| list.subject == Subject::LinkDomain);
        (asks && link_hosts(mail).len() > NAMES_MAX).then(|| NotRun {
            check: "dnsbl".to_owned(),
            why: format!("links lead to more than {NAMES_MAX} hosts"),
            weight: Weight::Wanted,
        })
    }

    /// The lists that hold something of the mail. A list counts once for each kind of reply, however many names it holds.
    #[must_use]
    pub fn inspect(&self, mail: &Mail<'_>, answers: &Answers) -> Vec<RuleHit> {
        let mut hits: Vec<RuleHit> = Vec::new();
        for list in &self.0 {
            let found: Vec<(String, std::net::Ipv4Addr)> = list
                .questions(mail)
                .into_iter()
                .filter_map(|(about, question)| Some((about, answers.get(&question)?)))
                .flat_map(|(about, answer)| {
                    entries(answer).map(move |reply| (about.clone(), reply))
                })
                .collect();
            for (mask, score) in &list.replies {
                let fits = |(_, reply): &&(String, std::net::Ipv4Addr)| {
                    mask.is_none_or(|mask| mask.fits(*reply))
                };
                let Some((about, reply)) = found.iter().find(fits) else { continue };
                hits.push(RuleHit {
                    name: list.name().into(),
                    score: *score,
                    describe: format!("Listed in {}", list.zone).into(),
                    evidence: format!("{about}: {reply}"),
                    place: list.zone.to_string(),
                    source: list.source.clone(),
                });
            }
        }
        hits
    }
}

fn same(names: impl IntoIterator<Item = String>) -> Vec<(String, String)> {
    names.into_iter().map(|name| (name.clone(), name)).collect()
}

/// The client that first handed the mail to this site, unless it is one of ours or of no public network.
pub(super) fn clients(mail: &Mail<'_>) -> impl Iterator<Item = IpAddr> {
    let address = mail.client_address().map(|address| address.to_canonical());
    address.filter(|address| !mail.internal && is_public(*address)).into_iter()
}

/// False for networks that no public list can hold.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            !(address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || address.is_unspecified()
                || address.is_broadcast()
                || address.is_multicast())
        }
        IpAddr::V6(address) => {
            !(address.is_loopback()
                || address.is_unspecified()
                || address.is_unique_local()
                || address.is_unicast_link_local()
                || address.is_multicast())
        }
    }
}

/// A name that can be put in front of a zone.
pub(super) fn is_host(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(&octet))
    };
    name.len() <= 200 && name.contains('.') && name.split('.').all(label)
}

fn in_ascii(domain: &str) -> Option<String> {
    let domain = domain.trim_matches('.');
    let ascii = idna::domain_to_ascii(domain).ok().unwrap_or_else(|| domain.to_lowercase());
    is_host(&ascii).then_some(ascii)
}

/// The addresses of the envelope sender, From and Reply-To, in lower case.
fn senders(mail: &Mail<'_>) -> BTreeSet<String> {
    let mut senders = BTreeSet::new();
    senders.insert(mail.envelope.sender.address.to_lowercase());
    for name in ["From", "Reply-To"] {
        let Some(value) = mail.message.value(name) else { continue };
        let value = value.get(..value.len().min(8_192)).unwrap_or_default();
        let text = String::from_utf8_lossy(value);
        let words =
            text.split(|letter: char| letter.is_whitespace() || "<>(),;:\"".contains(letter));
        senders
            .extend(words.filter(|word| word.contains('@')).map(str::to_lowercase).take(NAMES_MAX));
    }
    senders
        .retain(|address| address.rsplit_once('@').is_some_and(|(_, domain)| !domain.is_empty()));
    senders
}

/// The domains of the senders.
pub(super) fn sender_domains(mail: &Mail<'_>) -> BTreeSet<String> {
    let senders = senders(mail);
    senders.iter().filter_map(|address| in_ascii(address.rsplit_once('@')?.1)).collect()
}

/// The hosts of links, in lower case, in ASCII, each once; those first that a reader is shown something to press for,
/// so that what nobody sees does not use the questions up. One more than is asked about.
fn link_hosts(mail: &Mail<'_>) -> Vec<String> {
    let shown = |link: &&Link| link.text.as_ref().is_some_and(|text| !text.trim().is_empty());
    let (shown, others): (Vec<&Link>, Vec<&Link>) = mail.message.links.iter().partition(shown);
    let hosts = shown.into_iter().chain(others).filter_map(|link| host(&link.url));
    let mut seen = BTreeSet::new();
    hosts.filter(|host| seen.insert(host.clone())).take(NAMES_MAX + 1).collect()
}

fn host(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#', '\\']).next()?;
    let host = authority.rsplit('@').next()?;
    let host = host.split(':').next()?;
    in_ascii(host).filter(|host| host.parse::<IpAddr>().is_err())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::dns::{Answer, Record};
    use crate::mail::{Envelope, Message};

    fn list(subject: Subject, replies: &[(Option<&str>, i32)]) -> Blocklist {
        let reply = |(mask, score): &(Option<&str>, i32)| {
            (mask.map(|mask| Mask::parse(mask).unwrap()), Score(*score))
        };
        Blocklist {
            zone: "list.test".into(),
            subject,
            replies: replies.iter().map(reply).collect(),
            source: Source { file: "x".into(), line: 1 },
        }
    }

    fn check(
        list: Blocklist,
        client: &str,
        want: &[&str],
        replies: &[(&str, &str)],
        points: &[i32],
    ) {
        let raw = b"From: \"A\" <Author@From.test>\r\nReply-To: r@reply.test\r\n\r\n";
        let mut message =
            crate::mime::decode(bytes::Bytes::from_static(raw), &crate::mime::Limits::default());
        let link = |url: &str| Link { url: url.into(), part: "1".into(), text: None };
        message.links = vec![
            link("http://User@Host.link.test:80/x"),
            link("mailto:x@y"),
            link("https://192.0.2.1/"),
        ];
        let mut envelope = Envelope::default();
        envelope.client.address = Some(client.parse().unwrap());
        envelope.sender.address = "Bounce@Envelope.test".into();
        let mail = Mail::alone(&envelope, &message);
        let lists = Blocklists(vec![list]);
        let names: Vec<String> =
            lists.questions(&mail).into_iter().map(|wanted| wanted.question.name).collect();
        assert_eq!(names, want);
        let mut answers = Answers::default();
        for (name, reply) in replies {
            let records = [Record::A(reply.parse().unwrap())];
            answers.insert(Question::new(name, RecordKind::A), Answer::Records(records.into()));
        }
        let got: Vec<i32> = lists.inspect(&mail, &answers).iter().map(|hit| hit.score.0).collect();
        assert_eq!(got, points);
        let _: &Message = &message;
    }

    #[test]
    fn a_client_is_asked_for_in_reverse() {
        let replies = &[(Some("127.0.0.2"), 3_000), (Some("127.0.0.4-127.0.0.7"), 2_000)];
        let names = &["7.2.0.192.list.test"];
        let listed = |reply| [("7.2.0.192.list.test", reply)];
        for (reply, points) in
            [("127.0.0.2", &[3_000][..]), ("127.0.0.6", &[2_000]), ("127.0.0.9", &[])]
        {
            check(list(Subject::Client, replies), "192.0.2.7", names, &listed(reply), points);
        }
        check(list(Subject::Client, &[(None, 1)]), "10.1.1.1", &[], &[], &[]);
        let refused = listed("127.255.255.254");
        check(list(Subject::Client, &[(None, 1)]), "192.0.2.7", names, &refused, &[]);
    }

    #[test]
    fn links_that_are_shown_are_asked_about_first() {
        let link = |host: &str, text: Option<&str>| Link {
            url: format!("http://{host}/"),
            part: "1".into(),
            text: text.map(str::to_owned),
        };
        let mut links: Vec<Link> =
            (0..50).map(|n| link(&format!("a{n}.test"), Some(" "))).collect();
        links.extend([link("z.test", Some("press")), link("z.test", None)]);
        let (envelope, message) = (Envelope::default(), Message { links, ..Message::default() });
        let hosts = link_hosts(&Mail::alone(&envelope, &message));
        assert_eq!((hosts.len(), hosts[0].as_str(), hosts[1].as_str()), (21, "z.test", "a0.test"));
        let mail = Mail::alone(&envelope, &message);
        let told = |subject| Blocklists(vec![list(subject, &[(None, 1)])]).left_out(&mail);
        assert!(told(Subject::LinkDomain).unwrap().why.ends_with("more than 20 hosts"));
        assert_eq!(told(Subject::Client), None);
        let questions = list(Subject::LinkDomain, &[(None, 1)]).questions(&mail);
        assert_eq!(questions.len(), 20);
    }

    #[test]
    fn names_and_digests_come_from_senders_and_links() {
        let any = &[(None, 1_000)];
        let names = ["envelope.test.list.test", "from.test.list.test", "reply.test.list.test"];
        let listed = [("from.test.list.test", "127.0.0.2"), ("reply.test.list.test", "127.0.0.2")];
        check(list(Subject::SenderDomain, any), "::1", &names, &listed, &[1_000]);
        check(list(Subject::LinkDomain, any), "::1", &["host.link.test.list.test"], &[], &[]);
        let digest = "a3d1c0e1bd0eb0b7f9dcfcaf4d9f5ca2bd0bde2b";
        let lists = list(Subject::Hash, any);
        assert_eq!((lists.subject.kind(), digest.len()), (ListKind::Hash, 40));
        assert_eq!(lists.name(), "DNSBL_LIST_TEST");
    }
}
