//! What the way of a mail gives away: names that do not fit, hosts without a name, ways that cannot be.

use std::sync::LazyLock;

use regex::bytes::Regex;

use crate::filters::spam::relays::{self, Relay, Zone};
use crate::filters::spam::view::View;

use super::{Answer, Arguments, Call, Function, fields};

pub(super) const FUNCTIONS: &[Function] = &[
    ("check_for_numeric_helo", numeric_helo),
    ("check_for_illegal_ip", |_| Ok(Call::new(|_| false))),
    ("check_all_trusted", |_| Ok(Call::new(all_trusted))),
    ("check_no_relays", |_| Ok(Call::new(no_relays))),
    ("check_relays_unparseable", |_| Ok(Call::new(|view| view.relays().unknown > 0))),
    ("check_for_sender_no_reverse", |_| Ok(Call::new(sender_without_name))),
    ("check_for_from_domain_in_received_headers", from_domain_in_received),
    ("check_for_forged_received_trail", |_| Ok(Call::new(|view| mismatches(view).names > 1))),
    ("check_for_forged_received_ip_helo", |_| Ok(Call::new(|view| mismatches(view).addresses > 0))),
    ("helo_ip_mismatch", |_| Ok(Call::new(helo_mismatch))),
    ("check_for_no_rdns_dotcom_helo", |_| Ok(Call::new(famous_helo_without_name))),
];

struct Patterns {
    numeric: Regex,
    famous: Regex,
    host: Regex,
    long_end: Regex,
}

static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| Patterns {
    numeric: fields::constant(r"(?i)\bhelo=((?:\d{1,3}\.){3}\d{1,3})(?:[\x00-\x20,;\[()<>]|\z)"),
    famous: fields::constant(
        r"(?i)(?:\.|^)(?:lycos\.com|lycos\.co\.uk|hotmail\.com|localhost\.com|excite\.com|caramail\.com|cs\.com|aol\.com|msn\.com|yahoo\.com|drizzle\.com)$",
    ),
    host: fields::constant(r"^\w+(?:[\w.-]+\.)+\w+$"),
    long_end: fields::constant(r"\S{3,}|ie|fr|de"),
});

/// A HELO that is an IPv4 address: the address.
fn four(text: &[u8]) -> Option<[u8; 4]> {
    let text = std::str::from_utf8(text).ok()?;
    text.parse::<std::net::Ipv4Addr>().ok().map(|four| four.octets())
}

fn is_private(four: [u8; 4]) -> bool {
    relays::is_private(std::net::IpAddr::from(four))
}

fn numeric_helo(_: &Arguments) -> Result<Call, String> {
    Ok(Call::new(|view| {
        let text = view.relays().text(Zone::Untrusted);
        let mut all = PATTERNS.numeric.captures_iter(&text);
        // Only the first one counts.
        let first = all.find_map(|found| four(found.get(1)?.as_bytes()));
        first.is_some_and(|helo| !is_private(helo))
    }))
}

fn helo_mismatch(view: &View<'_>) -> Option<String> {
    let mismatch = |relay: &&Relay| {
        let (Some(helo), Some(ip)) = (four(&relay.helo), four(&relay.ip)) else { return false };
        // Another address of the same small network is well.
        !is_private(helo) && !is_private(ip) && helo[..3] != ip[..3]
    };
    let relay = view.relays().untrusted.iter().find(mismatch)?;
    Some(format!("{} said {}", fields::shown(&relay.ip), fields::shown(&relay.helo)))
}

fn all_trusted(view: &View<'_>) -> bool {
    let relays = view.relays();
    !relays.trusted.is_empty() && relays.untrusted.is_empty() && relays.unknown == 0
}

fn no_relays(view: &View<'_>) -> bool {
    let relays = view.relays();
    relays.trusted.is_empty() && relays.untrusted.is_empty() && relays.unknown == 0
}

/// The name is odd, but so rules know it: the first hop has a name and no private address.
fn sender_without_name(view: &View<'_>) -> bool {
    let first = view.relays().untrusted.last();
    first.is_some_and(|relay| relay.rdns.contains(&b'.') && !relay.private)
}

/// `('domain', 'true')`: the sender is of that domain, and a host of it handed the mail to another one of it;
/// `('domain', 'false')`: it did not.
fn from_domain_in_received(arguments: &Arguments) -> Result<Call, String> {
    let domain = arguments.text(0).to_owned();
    let wanted = arguments.text(1) == "true";
    if domain.is_empty() {
        return Err("a domain is missing".to_owned());
    }
    let handed = format!(r" rdns=\S*\b{domain} [^\]]*by=\S*\b{domain} ");
    let handed = regex::bytes::RegexBuilder::new(&handed)
        .unicode(false)
        .build()
        .map_err(|_| format!("`{domain}` is no domain"))?;
    Ok(Call::new(move |view| {
        let from = fields::address(view, "From");
        let places = fields::find_any_case(&from, domain.as_bytes());
        if !places.into_iter().any(|place| fields::is_border(&from, place)) {
            return Answer::No;
        }
        let relays = view.relays();
        let text = [relays.text(Zone::Trusted), relays.text(Zone::Untrusted)].join(&b'\n');
        Answer::from(handed.is_match(&text) == wanted)
    }))
}

/// The last stranger with a public address and a HELO counts, as in SpamAssassin: each one before is forgotten.
fn famous_helo_without_name(view: &View<'_>) -> Option<String> {
    let public = view.relays().untrusted.iter().rfind(|relay| !relay.private)?;
    let hits = public.no_name && PATTERNS.famous.is_match(&public.helo);
    hits.then(|| fields::shown(&public.helo))
}

#[derive(Default)]
struct Mismatches {
    names: usize,
    addresses: usize,
}

/// Where the taker of one hop is not the giver of the next, and where a HELO names an address far away.
fn mismatches(view: &View<'_>) -> Mismatches {
    let mut out = Mismatches::default();
    let mut giver: Option<Vec<u8>> = None;
    for relay in &view.relays().untrusted {
        let by = domain(&relay.by);
        let name = domain(&relay.rdns);
        let previous = giver.take();
        if !PATTERNS.host.is_match(&by) {
            giver = Some(name);
            continue;
        }
        let within =
            (name == b"localhost" || name == b"localhost.localdomain") && relay.ip == b"127.0.0.1";
        giver = (!within).then_some(name);
        if let (Some(helo), Some(ip)) = (four(&domain(&relay.helo)), four(&relay.ip))
            && helo[..2] != ip[..2]
            && !is_private(helo)
        {
            out.addresses += 1;
        }
        if let Some(previous) = previous
            && PATTERNS.host.is_match(&previous)
            && by != previous
            && !(by == b"msn.com" && previous == b"hotmail.com")
        {
            out.names += 1;
        }
    }
    out
}

/// The domain of a host, by rules of thumb: two labels, or three if the last is short.
fn domain(host: &[u8]) -> Vec<u8> {
    let host = host.to_ascii_lowercase();
    if !host.iter().any(u8::is_ascii_alphabetic) {
        return host;
    }
    let mut parts: Vec<&[u8]> = host.split(|octet| *octet == b'.').collect();
    while parts.last().is_some_and(|part| part.is_empty()) {
        parts.pop();
    }
    let long = parts.last().is_some_and(|last| PATTERNS.long_end.is_match(last));
    let wanted = match parts.len() {
        2.. if long => 2,
        3.. => 3,
        _ => return host,
    };
    parts.get(parts.len() - wanted..).unwrap_or_default().join(&b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_guessed() {
        for (host, want) in [
            ("mx.Example.org", "example.org"),
            ("a.b.example.co.uk", "example.co.uk"),
            ("example.ie", "example.ie"),
            ("example.uk", "example.uk"),
            ("192.0.2.1", "192.0.2.1"),
            ("localhost", "localhost"),
            ("", ""),
        ] {
            assert_eq!(String::from_utf8(domain(host.as_bytes())).unwrap(), want, "{host}");
        }
    }

    #[test]
    fn patterns_compile() {
        assert!(PATTERNS.famous.is_match(b"mail.aol.com"));
    }
}
