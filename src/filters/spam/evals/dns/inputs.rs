//! What the rules over lists need of a mail: relays, senders, hosts of links.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::filters::dns::reversed;
use crate::filters::dnsbl;
use crate::filters::spam::evals::{domain, fields, lists};
use crate::filters::spam::relays::{self, Relay};
use crate::filters::spam::text::is_address;
use crate::filters::spam::view::View;

/// Octets of a field in which addresses are looked for, and how many are taken.
const FIELD_MAX: usize = 8_192;
const ADDRESSES_MAX: usize = 20;

/// Addresses of relays, the newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Hops {
    /// Those outside our own networks, trusted ones among them.
    pub(super) external: Vec<IpAddr>,
    /// Those that nobody vouches for.
    pub(super) untrusted: Vec<IpAddr>,
    /// Where users of web mail came from, as fields tell it (`originating_ip_headers`).
    pub(super) originating: Vec<IpAddr>,
}

/// The relays of a mail.
pub(super) fn hops(view: &View<'_>) -> Hops {
    let relays = view.relays();
    let addresses =
        |list: &[Relay]| list.iter().filter_map(|relay| relay.address).collect::<Vec<_>>();
    Hops {
        external: addresses(&relays.external),
        untrusted: addresses(&relays.untrusted),
        originating: originating(view),
    }
}

fn originating(view: &View<'_>) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for name in &view.engine.tables.networks.originating {
        let value = fields::value(view, name);
        let value = value.get(..FIELD_MAX).unwrap_or(&value);
        let mut from = 0;
        while found.len() < ADDRESSES_MAX
            && let Some(range) = relays::find_from(value, from)
        {
            from = range.end;
            found.extend(value.get(range).and_then(relays::parse));
        }
    }
    found
}

/// The last relay outside: the one that handed the mail to one of ours.
pub(super) fn last_external<'v>(view: &'v View<'_>) -> Option<&'v Relay> {
    view.relays().external.first()
}

/// A name that this relay gave, or that its address has.
pub(super) fn name_of(text: &[u8]) -> Option<String> {
    std::str::from_utf8(text).ok().filter(|name| dnsbl::is_host(name)).map(str::to_owned)
}

/// Which names a list is asked about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Which {
    /// `tflags … domains_only`: no addresses.
    pub(super) only_names: bool,
    /// `tflags … ips_only`: nothing else.
    pub(super) only_addresses: bool,
}

/// What tells of the oldest relay that nobody vouches for: its address, who took the mail from it, its names.
pub(super) fn names_of_oldest(view: &View<'_>, which: Which) -> BTreeSet<(String, String)> {
    let Some(relay) = view.relays().untrusted.last() else { return BTreeSet::new() };
    let all = [&relay.ip, &relay.by, &relay.helo, &relay.rdns];
    let texts = all.into_iter().filter_map(|one| std::str::from_utf8(one).ok());
    texts.filter_map(|text| front(view, text.trim(), which)).collect()
}

/// Addresses of a field, in lower case; `ALLFROM`: of all that names a sender.
pub(super) fn addresses(view: &View<'_>, name: &str) -> Vec<String> {
    let all = match name {
        "ALLFROM" => lists::senders(view),
        name => fields::addresses(view, name),
    };
    let text = |one: &Vec<u8>| String::from_utf8_lossy(one).to_lowercase();
    all.iter().take(ADDRESSES_MAX).map(text).filter(|one| one.contains('@')).collect()
}

/// The hosts of addresses as lists want them, each with what it is about.
pub(super) fn hosts_of(
    view: &View<'_>,
    addresses: &[String],
    which: Which,
) -> BTreeSet<(String, String)> {
    let host = |one: &String| front(view, one.rsplit_once('@')?.1, which);
    addresses.iter().filter_map(host).collect()
}

/// The registered domains of the same.
pub(super) fn domains_of(
    view: &View<'_>,
    addresses: &[String],
    which: Which,
) -> BTreeSet<(String, String)> {
    let domain = |one: &String| {
        let (_, host) = one.rsplit_once('@')?;
        let domain = domain::registered(view, host.as_bytes())?;
        front(view, &String::from_utf8(domain).ok()?, which)
    };
    addresses.iter().filter_map(domain).collect()
}

/// What a field holds if it is no address of mail: addresses of hosts, or names of them.
pub(super) fn hosts_in(view: &View<'_>, name: &str, which: Which) -> BTreeSet<(String, String)> {
    let value = fields::value(view, name);
    let lines = value.split(|octet| *octet == b'\n').take(ADDRESSES_MAX);
    let host = |line: &[u8]| front(view, std::str::from_utf8(line).ok()?.trim(), which);
    lines.filter_map(host).collect()
}

/// What stands before the zone; `None`: no such host can exist, or the rule does not want it.
fn front(view: &View<'_>, host: &str, which: Which) -> Option<(String, String)> {
    let host = host.trim_matches('.').to_lowercase();
    if is_address(&host) {
        let address: IpAddr = host.parse().ok().filter(|_| !which.only_names)?;
        return Some((host, reversed(address)));
    }
    let ascii = idna::domain_to_ascii(&host).unwrap_or(host);
    let exists = dnsbl::is_host(&ascii) && domain::ends_well(view, &ascii);
    (exists && !which.only_addresses).then(|| (ascii.clone(), ascii))
}

/// Domains of the addresses of a field, for names that are made of them.
pub(super) fn names_in(view: &View<'_>, name: &str) -> Vec<String> {
    let host = |one: &String| {
        let domain = one.rsplit_once('@')?.1.trim_matches('.');
        let ascii = idna::domain_to_ascii(domain).unwrap_or_else(|_| domain.to_owned());
        dnsbl::is_host(&ascii).then_some(ascii)
    };
    addresses(view, name).iter().filter_map(host).collect()
}
