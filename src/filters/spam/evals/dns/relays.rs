//! Lists of relays, senders and addresses: `check_rbl('set', 'zone', 'test')` and its kin.

use std::collections::BTreeSet;
use std::net::IpAddr;

use md5::Md5;
use sha1::{Digest as _, Sha1};

use crate::filters::dns::{ListKind, Question, RecordKind, reversed};
use crate::filters::dnsbl::is_public;
use crate::filters::spam::evals::Arguments;
use crate::filters::spam::view::View;

use super::inputs::{self, Hops};
use super::test::Test;

/// Relays that a list is asked about (`num_check_received`).
const RELAYS_MAX: usize = 9;
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
    only_names: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum About {
    Relays,
    EnvelopeSender,
    Authors,
    Fields(Vec<String>),
    /// MD5 or SHA-1 of addresses in these fields.
    Digests {
        fields: Vec<String>,
        md5: bool,
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
            "check_rbl_from_host" | "check_rbl_from_domain" => plain(About::Authors),
            "check_rbl_headers" => match arguments.text(3) {
                "" => plain(About::Fields(vec!["EnvelopeFrom".to_owned(), "From".to_owned()])),
                fields => plain(About::Fields(list(fields))),
            },
            "check_hashbl_emails" => {
                let fields = match arguments.text(3) {
                    "" | "ALLFROM/Reply-To" | "ALLFROM/Reply-To/body" => {
                        "EnvelopeFrom/From/Reply-To"
                    }
                    fields => fields,
                };
                let md5 = arguments.text(1).split('/').any(|option| option == "md5");
                let about = About::Digests { fields: list(fields), md5 };
                ("", arguments.text(0), arguments.text(2), about)
            }
            _ => return Ok(None),
        };
        let zone = zone.trim_matches('.').to_lowercase();
        if zone.is_empty() {
            return Err("the zone is missing".to_owned());
        }
        let kind = if function == "check_rbl_txt" { RecordKind::Txt } else { RecordKind::A };
        let only_names = flags.split(' ').any(|flag| flag == "domains_only");
        let (set, test) = (set.to_owned(), Test::read(test)?);
        Ok(Some(Self { set, zone, test, kind, about, only_names }))
    }

    pub(super) fn list_kind(&self) -> ListKind {
        match self.about {
            About::Digests { .. } => ListKind::Hash,
            About::Relays => super::kind_of(true),
            About::EnvelopeSender | About::Authors | About::Fields(_) => super::kind_of(false),
        }
    }

    /// What it asks about a mail, each with what it is about.
    pub(super) fn questions(&self, view: &View<'_>) -> Vec<(String, Question)> {
        let names = |names: Vec<String>| {
            names.into_iter().map(|name| (name.clone(), name)).collect::<Vec<_>>()
        };
        let fronts = match &self.about {
            About::Relays if self.only_names => Vec::new(),
            About::Relays => {
                let relays = selected(&self.set, &inputs::hops(view)).into_iter();
                relays.map(|address| (address.to_string(), reversed(address))).collect()
            }
            About::EnvelopeSender => names(inputs::envelope_domains(view)),
            About::Authors => names(inputs::author_domains(view)),
            About::Fields(fields) => {
                let domains = fields.iter().flat_map(|field| inputs::header_domains(view, field));
                names(domains.collect::<BTreeSet<_>>().into_iter().collect())
            }
            About::Digests { fields, md5 } => {
                let all = fields.iter().flat_map(|field| inputs::addresses(view, field));
                let all: BTreeSet<String> = all.filter(|one| one.contains('@')).collect();
                all.into_iter()
                    .take(DIGESTS_MAX)
                    .map(|one| (one.clone(), digest(&one, *md5)))
                    .collect()
            }
        };
        let question = |(about, front)| {
            let name = format!("{front}.{}", self.zone);
            (about, Question::new(&name, self.kind))
        };
        fronts.into_iter().map(question).collect()
    }
}

fn digest(text: &str, md5: bool) -> String {
    let hex = |octets: &[u8]| octets.iter().map(|octet| format!("{octet:02x}")).collect();
    if md5 { hex(&Md5::digest(text.as_bytes())) } else { hex(&Sha1::digest(text.as_bytes())) }
}

/// The relays that a set looks at, by the end of its name: all that nobody vouches for, but the last that came to us
/// (`-lastexternal`), the first of them (`-firsttrusted`), all others (`-untrusted`), all but the oldest
/// (`-notfirsthop`). Without such an end the oldest comes first.
pub(super) fn selected(set: &str, hops: &Hops) -> Vec<IpAddr> {
    let public = |list: &[IpAddr]| {
        let mut seen = BTreeSet::new();
        let once = list.iter().copied().filter(|address| seen.insert(*address));
        once.filter(|address| is_public(*address)).collect::<Vec<_>>()
    };
    let mut relays = if set.ends_with("-lastexternal") {
        public(&hops.external).into_iter().take(1).collect()
    } else if set.ends_with("-notfirsthop") {
        let mut all = public(&hops.external);
        if all.len() > 1 {
            all.pop();
        }
        all
    } else if set.ends_with("-firsttrusted") {
        public(&hops.untrusted).into_iter().take(1).collect()
    } else if set.ends_with("-untrusted") {
        public(&hops.untrusted).into_iter().skip(1).collect()
    } else {
        let mut all = public(&hops.untrusted);
        all.reverse();
        all
    };
    relays.truncate(RELAYS_MAX);
    relays
}
