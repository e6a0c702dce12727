//! The networks that rule files name: whom we trust, who is one of us, who takes mail from users who log in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::filters::spam::rules::{Setting, Settings};
use crate::filters::{Mistake, Severity};

use super::address;

/// The keys of rule files read here.
pub(in crate::filters::spam) const KEYS: &[&str] = &[
    "trusted_networks",
    "clear_trusted_networks",
    "internal_networks",
    "clear_internal_networks",
    "msa_networks",
    "clear_msa_networks",
    "originating_ip_headers",
    "clear_originating_ip_headers",
    "envelope_sender_header",
];

/// What rule files say about the way of mail.
#[derive(Debug, Default)]
pub(in crate::filters::spam) struct Networks {
    /// `None`: not set.
    pub(super) trusted: Option<NetworkSet>,
    /// `None`: not set.
    pub(super) internal: Option<NetworkSet>,
    pub(super) submission: NetworkSet,
    /// Fields that name the address a user of web mail came from.
    pub(in crate::filters::spam) originating: Vec<String>,
    /// The field that holds the envelope's sender.
    pub(super) sender_field: Option<String>,
}

impl Networks {
    pub(in crate::filters::spam) fn read(settings: &Settings, mistakes: &mut Vec<Mistake>) -> Self {
        let mut networks = Self::default();
        for line in settings.of(KEYS) {
            match line.key.as_str() {
                "trusted_networks" => {
                    networks.trusted.get_or_insert_with(NetworkSet::loopback).add(line, mistakes);
                }
                "internal_networks" => {
                    networks.internal.get_or_insert_with(NetworkSet::loopback).add(line, mistakes);
                }
                "msa_networks" => networks.submission.add(line, mistakes),
                "clear_trusted_networks" => networks.trusted = None,
                "clear_internal_networks" => networks.internal = None,
                "clear_msa_networks" => networks.submission = NetworkSet::default(),
                "clear_originating_ip_headers" => networks.originating.clear(),
                "originating_ip_headers" => {
                    for name in line.text.split_ascii_whitespace() {
                        if !networks.originating.iter().any(|old| old.eq_ignore_ascii_case(name)) {
                            networks.originating.push(name.to_owned());
                        }
                    }
                }
                _ => {
                    let name = line.text.trim_end_matches(':');
                    networks.sender_field = (!name.is_empty()).then(|| name.to_owned());
                }
            }
        }
        networks
    }

    /// True for what is named as `trusted_networks`.
    pub(in crate::filters::spam) fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.as_ref().is_some_and(|trusted| trusted.holds(Some(address)))
    }
}

/// Networks, each listed or excluded; the narrowest one that holds an address decides.
#[derive(Debug, Default, Clone)]
pub(super) struct NetworkSet(Vec<Network>);

#[derive(Debug, Clone, Copy)]
struct Network {
    base: u128,
    /// Bits, from 0 to 128.
    prefix: u32,
    listed: bool,
}

impl NetworkSet {
    fn loopback() -> Self {
        let listed = true;
        let four =
            Network { base: number(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0))), prefix: 104, listed };
        let six = Network { base: number(IpAddr::V6(Ipv6Addr::LOCALHOST)), prefix: 128, listed };
        Self(vec![four, six])
    }

    fn add(&mut self, line: &Setting, mistakes: &mut Vec<Mistake>) {
        let text = line.text.replace(',', " ");
        for word in text.split_ascii_whitespace() {
            match networks(word) {
                Some(networks) => self.0.extend(networks),
                None => mistakes.push(Mistake {
                    file: line.source.file.clone(),
                    line: line.source.line,
                    column: 0,
                    what: format!("{}: `{word}` is no network", line.key),
                    hint:
                        "write addresses like 192.0.2.1, 192.0.2.0/24, 2001:db8::/32; `!` excludes"
                            .to_owned(),
                    severity: Severity::Warning,
                }),
            }
        }
    }

    /// True if the address is in one of the networks and not excluded by a narrower one.
    pub(super) fn holds(&self, address: Option<IpAddr>) -> bool {
        let Some(address) = address.map(number) else { return false };
        let fits = |network: &&Network| mask(address, network.prefix) == network.base;
        let narrowest = self.0.iter().filter(fits).max_by_key(|network| network.prefix);
        narrowest.is_some_and(|network| network.listed)
    }
}

/// IPv4 addresses are seen as IPv6 ones (RFC 4291 section 2.5.5.2), so that one list holds both.
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(four) => four.to_ipv6_mapped().to_bits(),
        IpAddr::V6(six) => six.to_bits(),
    }
}

fn mask(number: u128, prefix: u32) -> u128 {
    number & 128_u32.checked_sub(prefix).and_then(|bits| u128::MAX.checked_shl(bits)).unwrap_or(0)
}

/// True if the network, as rule files write it, holds the address.
pub(in crate::filters::spam) fn network_holds(network: &str, address: IpAddr) -> bool {
    networks(network).is_some_and(|networks| NetworkSet(networks).holds(Some(address)))
}

/// `192.0.2.0/24`, `192.0.2.` (what is missing is any), `[2001:db8::]/32`, `10.0.0.0/255.0.0.0`,
/// `192.0.2.1-192.0.2.9`; `!` before it excludes.
fn networks(word: &str) -> Option<Vec<Network>> {
    let (listed, word) = match word.strip_prefix('!') {
        Some(rest) => (false, rest),
        None => (true, word),
    };
    if let Some((first, last)) = word.split_once('-') {
        return range(first.parse().ok()?, last.parse().ok()?, listed);
    }
    let (text, prefix) = match word.split_once('/') {
        Some((text, prefix)) => (text, Some(prefix)),
        None => (word, None),
    };
    let text = text.trim_start_matches('[').trim_end_matches(']');
    let text = text.split_once('%').map_or(text, |(text, _zone)| text);
    let (address, own) = match address::parse(text.as_bytes()) {
        Some(address @ IpAddr::V4(_)) => (address, 32),
        Some(address) => (address, 128),
        None => shortened(text)?,
    };
    let widest = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        Some(prefix) => length(prefix)?,
        None => own,
    };
    if prefix > widest {
        return None;
    }
    let prefix = prefix + 128 - widest;
    Some(vec![Network { base: mask(number(address), prefix), prefix, listed }])
}

/// A prefix length, or the mask that RFC 950 wrote.
fn length(text: &str) -> Option<u32> {
    if let Ok(length) = text.parse() {
        return Some(length);
    }
    let bits = text.parse::<Ipv4Addr>().ok()?.to_bits();
    (bits.leading_ones() + bits.trailing_zeros() == 32 || bits == 0).then(|| bits.leading_ones())
}

/// `192.0.2.`, `192.0`, `10`: the start of an IPv4 address.
fn shortened(text: &str) -> Option<(IpAddr, u32)> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let mut octets = [0; 4];
    let mut count = 0;
    for (slot, part) in octets.iter_mut().zip(text.split('.')) {
        *slot = part.parse().ok()?;
        count += 8;
    }
    let whole = text.split('.').count() <= 4;
    whole.then(|| (IpAddr::V4(Ipv4Addr::from(octets)), count))
}

/// All addresses from the first to the last, as networks.
fn range(first: IpAddr, last: IpAddr, listed: bool) -> Option<Vec<Network>> {
    let (mut next, last) = (number(first), number(last));
    let mut out = Vec::new();
    while next <= last {
        let mut prefix = 128 - next.trailing_zeros().min(128);
        while next | !mask(u128::MAX, prefix) > last {
            prefix += 1;
        }
        out.push(Network { base: next, prefix, listed });
        match (next | !mask(u128::MAX, prefix)).checked_add(1) {
            Some(behind) => next = behind,
            None => break,
        }
    }
    (!out.is_empty()).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::Source;

    fn set(text: &str) -> (NetworkSet, usize) {
        let source = Source { file: "a.cf".into(), line: 1 };
        let line = Setting { key: "trusted_networks".into(), text: text.into(), source };
        let mut mistakes = Vec::new();
        let mut set = NetworkSet::default();
        set.add(&line, &mut mistakes);
        (set, mistakes.len())
    }

    #[test]
    fn networks_hold_what_they_say() {
        for (networks, address, want) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.", "192.0.2.200", true),
            ("10", "10.200.3.4", true),
            ("10.0.0.0/8 !10.1.0.0/16", "10.1.2.3", false),
            ("!10.1.0.0/16 10.0.0.0/8", "10.2.2.3", true),
            ("10.0.0.0/255.0.0.0", "10.9.9.9", true),
            ("[2001:db8::]/32", "2001:db8:1::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("0/0", "203.0.113.9", true),
            ("0/0", "2001:db8::1", false),
            ("192.0.2.5-192.0.2.9", "192.0.2.9", true),
            ("192.0.2.5-192.0.2.9", "192.0.2.10", false),
            ("::ffff:192.0.2.1", "192.0.2.1", true),
        ] {
            let (set, mistakes) = set(networks);
            assert_eq!(mistakes, 0, "{networks}");
            assert_eq!(set.holds(address.parse().ok()), want, "{networks} {address}");
        }
    }

    #[test]
    fn what_is_no_network_is_told() {
        for text in ["house", "1.2.3.4.5", "10.0.0.0/33", "10.0.0.0/x", "9.0.0.2-9.0.0.1", "300.1"]
        {
            assert_eq!(set(text).1, 1, "{text}");
        }
    }
}
