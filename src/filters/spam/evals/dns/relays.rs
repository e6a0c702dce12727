//! Lists of relays, senders and addresses: `check_rbl('set', 'zone', 'test')` and its kin.

use std::collections::BTreeSet;
use std::net::IpAddr;

use md5::Md5;
use sha1::{Digest as _, Sha1};

use crate::filters::dns::{ListKind, Question, RecordKind, reversed};
use crate::filters::dnsbl::is_public;
use crate::filters::spam::evals::{Arguments, domain};
use crate::filters::spam::view::View;

use super::inputs::{self, Hops, Which};
use super::test::Test;

/// Relays that a list is asked about (`num_check_received`).
const RELAYS_MAX: usize = 9;
/// Fields that `check_rbl_headers` looks at if it names none.
const FIELDS: &str =
    "EnvelopeFrom,Reply-To,Disposition-Notification-To,X-WebmailclientIP,X-Source-IP";
/// Addresses of one mail whose digests are looked up.
const DIGESTS_MAX: usize = 10;

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
    /// MD5 or SHA-1 of addresses in these fields.
    Digests {
        fields: Vec<String>,
        md5: bool,
        /// `+tag` of the user's name does not count.
        no_tag: bool,
    },
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
            "check_hashbl_emails" => {
                let fields = match arguments.text(3) {
                    "" => "ALLFROM/Reply-To/body",
                    fields => fields,
                };
                let said = |wanted: &str| arguments.text(1).split('/').any(|one| one == wanted);
                let about = About::Digests {
                    fields: list(fields),
                    md5: said("md5"),
                    no_tag: said("notag") || arguments.text(1).is_empty(),
                };
                ("", arguments.text(0), arguments.text(2), about)
            }
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
            About::Digests { .. } => ListKind::Hash,
            About::Relays => super::kind_of(true),
            About::EnvelopeSender
            | About::SenderHosts
            | About::SenderDomains
            | About::Fields(_) => super::kind_of(false),
        }
    }

    /// What it asks about a mail, each with what it is about.
    pub(super) fn questions(&self, view: &View<'_>) -> Vec<(String, Question)> {
        let addresses = |name: &str| inputs::addresses(view, name);
        let fronts: Vec<(String, String)> = match &self.about {
            About::Relays => {
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
            About::Digests { fields, md5, no_tag } => {
                let all = fields.iter().flat_map(|field| addresses(field));
                let all = all.filter(|one| !is_spared(view, one));
                let all: BTreeSet<String> =
                    all.map(|one| if *no_tag { without_tag(&one) } else { one }).collect();
                let digests = all.into_iter().take(DIGESTS_MAX);
                digests.map(|one| (one.clone(), digest(&one, *md5))).collect()
            }
        };
        let question = |(about, front)| {
            let name = format!("{front}.{}", self.zone);
            (about, Question::new(&name, self.kind))
        };
        fronts.into_iter().map(question).collect()
    }
}

/// The domain of the address is one that no list is asked about.
fn is_spared(view: &View<'_>, address: &str) -> bool {
    let skip = &view.engine.tables.links.skip;
    let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
    skip.contains(domain) || skip.contains(&domain::owned(view, domain))
}

fn without_tag(address: &str) -> String {
    let Some((user, domain)) = address.rsplit_once('@') else { return address.to_owned() };
    let user = user.split_once('+').map_or(user, |(user, _)| user);
    format!("{user}@{domain}")
}

fn digest(text: &str, md5: bool) -> String {
    let hex = |octets: &[u8]| octets.iter().map(|octet| format!("{octet:02x}")).collect();
    if md5 { hex(&Md5::digest(text.as_bytes())) } else { hex(&Sha1::digest(text.as_bytes())) }
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
