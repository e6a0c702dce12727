//! Lists of relays, senders and addresses: `check_rbl('set', 'zone', 'test')` and its kin.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::filters::dns::{Answers, ListKind, Question, RecordKind, reversed};
use crate::filters::dnsbl::is_public;
use crate::filters::spam::evals::{Arguments, fields};
use crate::filters::spam::view::View;

use super::inputs::{self, Hops, Which};
use super::test::Test;

/// Relays that a list is asked about (`num_check_received`).
const RELAYS_MAX: usize = 9;
/// Fields that `check_rbl_headers` looks at if it names none.
const FIELDS: &str =
    "EnvelopeFrom,Reply-To,Disposition-Notification-To,X-WebmailclientIP,X-Source-IP";
/// Name servers of a sender's domain that are looked up.
const SERVERS_MAX: usize = 4;

/// A rule that asks a list.
#[derive(Debug)]
pub(super) struct RelayRule {
    pub(super) set: String,
    pub(super) zone: String,
    pub(super) test: Test,
    kind: RecordKind,
    about: About,
    which: Which,
    /// It speaks for a mail: only such rules look at relays that we trust.
    nice: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum About {
    Relays,
    EnvelopeSender,
    /// The hosts of all that names a sender.
    SenderHosts,
    /// Their registered domains.
    SenderDomains,
    Fields(Vec<String>),
    /// The oldest relay that nobody vouches for: its address, its names, and who took the mail from it.
    OldestRelay,
    /// Name servers of the envelope sender's domain.
    SenderServers,
    /// Relays, if the mail names this service as one that vouches for it.
    Accredited(String),
}

impl RelayRule {
    /// Reads a call; `None`: it asks nothing by itself.
    pub(super) fn read(
        function: &str,
        arguments: &Arguments,
        flags: &str,
    ) -> Result<Option<Self>, String> {
        let list = |text: &str| text.split([',', '/']).map(|one| one.trim().to_owned()).collect();
        let plain = |about| (arguments.text(0), arguments.text(1), arguments.text(2), about);
        let (set, zone, test, about) = match function {
            "check_rbl" | "check_rbl_txt" => plain(About::Relays),
            "check_rbl_envfrom" => plain(About::EnvelopeSender),
            "check_rbl_from_host" => plain(About::SenderHosts),
            "check_rbl_from_domain" => plain(About::SenderDomains),
            "check_rbl_headers" => match arguments.text(3) {
                "" => plain(About::Fields(list(FIELDS))),
                fields => plain(About::Fields(list(fields))),
            },
            "check_rbl_rcvd" => plain(About::OldestRelay),
            "check_rbl_ns_from" => plain(About::SenderServers),
            "check_rbl_accreditor" => match arguments.text(3) {
                "" => return Err("the name of the service that vouches is missing".to_owned()),
                service => plain(About::Accredited(service.to_lowercase())),
            },
            _ => return Ok(None),
        };
        let zone = zone.trim_matches('.').to_lowercase();
        if zone.is_empty() {
            return Err("the zone is missing".to_owned());
        }
        let kind = if function == "check_rbl_txt" { RecordKind::Txt } else { RecordKind::A };
        let flag = |wanted: &str| flags.split(' ').any(|flag| flag == wanted);
        let which = Which { only_names: flag("domains_only"), only_addresses: flag("ips_only") };
        let nice = flag("nice");
        let (set, test) = (set.to_owned(), Test::read(test)?);
        Ok(Some(Self { set, zone, test, kind, about, which, nice }))
    }

    pub(super) fn list_kind(&self) -> ListKind {
        match self.about {
            About::Relays | About::Accredited(_) => super::kind_of(true),
            About::EnvelopeSender
            | About::OldestRelay
            | About::SenderServers
            | About::SenderHosts
            | About::SenderDomains
            | About::Fields(_) => super::kind_of(false),
        }
    }

    /// What it asks about a mail, each with what it is about; into `before` goes what must be known for it and is not.
    pub(super) fn questions(
        &self,
        view: &View<'_>,
        answers: &Answers,
        before: &mut Vec<Question>,
    ) -> Vec<(String, Question)> {
        let addresses = |name: &str| inputs::addresses(view, name);
        let fronts: Vec<(String, String)> = match &self.about {
            About::Accredited(service) if !is_accredited(view, service) => Vec::new(),
            About::Relays | About::Accredited(_) => {
                let trusts = |address| view.engine.tables.networks.trusts(address);
                let relays = selected(&self.set, self.nice, &inputs::hops(view), trusts);
                let relay = |address: IpAddr| (address.to_string(), reversed(address));
                relays.into_iter().map(relay).collect()
            }
            About::EnvelopeSender => {
                let sender = addresses("EnvelopeFrom");
                inputs::hosts_of(view, &sender, self.which).into_iter().collect()
            }
            About::SenderHosts => {
                inputs::hosts_of(view, &addresses("ALLFROM"), self.which).into_iter().collect()
            }
            About::SenderDomains => {
                inputs::domains_of(view, &addresses("ALLFROM"), self.which).into_iter().collect()
            }
            About::Fields(fields) => {
                let of = |field: &String| match addresses(field).get(..1) {
                    Some(first) => inputs::hosts_of(view, first, self.which),
                    None => inputs::hosts_in(view, field, self.which),
                };
                fields.iter().flat_map(of).collect::<BTreeSet<_>>().into_iter().collect()
            }
            About::OldestRelay => inputs::names_of_oldest(view, self.which).into_iter().collect(),
            About::SenderServers => servers(view, answers, before),
        };
        let question = |(about, front)| {
            let name = format!("{front}.{}", self.zone);
            (about, Question::new(&name, self.kind))
        };
        fronts.into_iter().map(question).collect()
    }
}

/// Name servers of the envelope sender's domain. SpamAssassin takes one of the SOA record that comes with an answer
/// "no such record" alone; here it is all of them, as its documentation has it.
fn servers(
    view: &View<'_>,
    answers: &Answers,
    before: &mut Vec<Question>,
) -> Vec<(String, String)> {
    let sender = inputs::addresses(view, "EnvelopeFrom");
    let hosts = inputs::domains_of(view, sender.get(..1).unwrap_or_default(), Which::default());
    let Some((domain, front)) = hosts.into_iter().next().filter(|(domain, front)| domain == front)
    else {
        return Vec::new();
    };
    let question = Question::new(&front, RecordKind::Ns);
    let Some(found) = answers.get(&question) else {
        before.push(question);
        return Vec::new();
    };
    let servers = found.names().filter(|name| crate::filters::dnsbl::is_host(name));
    servers.take(SERVERS_MAX).map(|server| (domain.clone(), server.to_owned())).collect()
}

/// True if the mail names a service that vouches for its sender: `x@a--service.example.org` as the envelope's sender, or a
/// field `Accreditor: service, parameters; other`.
fn is_accredited(view: &View<'_>, service: &str) -> bool {
    let sender = String::from_utf8_lossy(&fields::address(view, "EnvelopeFrom")).to_lowercase();
    let mut marks = sender.match_indices("a--").filter(|(place, _)| {
        place.checked_sub(1).is_some_and(|place| {
            sender.as_bytes().get(place).is_some_and(|octet| matches!(octet, b'@' | b'.'))
        })
    });
    let of_sender = marks.find_map(|(place, mark)| {
        let (name, _) = sender.get(place + mark.len()..)?.split_once('.')?;
        let plain = name.len() >= 3 && name.bytes().all(|octet| octet.is_ascii_alphanumeric());
        plain.then(|| name.to_owned())
    });
    let field = String::from_utf8_lossy(&fields::value(view, "Accreditor")).to_lowercase();
    let mut named = field.split(',').filter_map(|one| one.split_whitespace().next());
    of_sender.as_deref() == Some(service) || named.any(|name| name == service)
}

/// The relays that a set looks at, by the end of its name: all that nobody vouches for, but the last that came to us
/// (`-lastexternal`), the first of them (`-firsttrusted`), all others (`-untrusted`), all but the oldest
/// (`-notfirsthop`). Without such an end the oldest comes first. Where a user of web mail came from counts as the oldest
/// of all. If nobody but relays of trust brought the mail, no list is asked, not even by the last two.
///
/// `nice`: the rule speaks for a mail. Others do not look at relays of trust that stand before all strangers.
pub(super) fn selected(
    set: &str,
    nice: bool,
    hops: &Hops,
    trusts: impl Fn(IpAddr) -> bool,
) -> Vec<IpAddr> {
    let public = |list: &mut dyn Iterator<Item = IpAddr>| {
        let mut seen = BTreeSet::new();
        let once = list.filter(|address| seen.insert(*address));
        once.filter(|address| is_public(*address)).collect::<Vec<_>>()
    };
    let untrusted = public(&mut hops.untrusted.iter().copied());
    if untrusted.is_empty() && hops.originating.is_empty() {
        return Vec::new();
    }
    let external = || public(&mut hops.external.iter().copied());
    let strangers = || {
        let origins = hops.originating.iter().copied().filter(|address| !trusts(*address));
        public(&mut untrusted.iter().copied().chain(origins))
    };
    let mut relays: Vec<IpAddr> = if set.ends_with("-lastexternal") {
        external().into_iter().take(1).collect()
    } else if set.ends_with("-notfirsthop") {
        let mut all = external();
        if all.len() > 1 {
            all.pop();
        }
        all
    } else if set.ends_with("-firsttrusted") {
        strangers().into_iter().take(1).collect()
    } else if set.ends_with("-untrusted") {
        strangers().into_iter().skip(1).collect()
    } else {
        let mut all = strangers();
        all.reverse();
        all
    };
    relays.truncate(RELAYS_MAX);
    if nice {
        return relays;
    }
    relays.into_iter().skip_while(|address| trusts(*address)).collect()
}
