//! Addresses of hosts as Received fields and rules write them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

/// Octets of the longest address: an IPv6 address with an IPv4 address at its end, and the word `IPv6:` before it.
const LONGEST: usize = 50;

/// Reads an address; `IPv6:` may stand before it (RFC 5321 section 4.1.3). No zone, no brackets.
pub(in crate::filters::spam) fn parse(text: &[u8]) -> Option<IpAddr> {
    let text = text.get(..LONGEST).map_or(text, |_| b"");
    let text = std::str::from_utf8(text).ok()?;
    match text.get(..5).filter(|head| head.eq_ignore_ascii_case("ipv6:")) {
        Some(_) => text.get(5..)?.parse().ok().map(IpAddr::V6),
        None => text.parse().ok(),
    }
}

/// An IPv4 address that was written as an IPv6 one is that IPv4 address.
pub(in crate::filters::spam) fn plain(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(six) => six.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// Networks that no host on the Internet has: of a house (RFC 1918), of the host itself, of the link, of a provider's
/// translator (RFC 6598). Unique local addresses of IPv6 are not among them, as rules expect.
pub(in crate::filters::spam) fn is_private(address: IpAddr) -> bool {
    match plain(address) {
        IpAddr::V4(four) => {
            let [first, second, ..] = four.octets();
            four.is_private()
                || four.is_link_local()
                || first == 127
                || (first == 100 && (64..128).contains(&second))
        }
        IpAddr::V6(six) => six == Ipv6Addr::LOCALHOST || is_link_local(six),
    }
}

fn is_link_local(six: Ipv6Addr) -> bool {
    six.segments().first().is_some_and(|first| first & 0xffc0 == 0xfe80)
}

/// The first address in a text, standing free: no letter, digit or colon beside it.
pub(in crate::filters::spam) fn find(text: &[u8]) -> Option<Range<usize>> {
    find_from(text, 0)
}

/// The first address at this place or behind it.
pub(in crate::filters::spam) fn find_from(text: &[u8], from: usize) -> Option<Range<usize>> {
    let mut start = from;
    while let Some(octet) = text.get(start) {
        if (octet.is_ascii_hexdigit() || *octet == b':')
            && let Some(length) = length_at(text, start)
        {
            return Some(start..start + length);
        }
        start += 1;
    }
    None
}

/// How many octets at this place are an address.
fn length_at(text: &[u8], start: usize) -> Option<usize> {
    let before = start.checked_sub(1).and_then(|place| text.get(place)).copied();
    let rest = text.get(start..)?;
    if !before.is_some_and(|octet| is_word(octet) || octet == b':')
        && let Some(length) = four_length(rest)
    {
        return Some(length);
    }
    if before.is_some_and(|octet| octet.is_ascii_hexdigit() || octet == b':') {
        return None;
    }
    let colons = rest.iter().take_while(|octet| octet.is_ascii_hexdigit() || **octet == b':');
    let length = colons.take(LONGEST).count();
    let head = rest.get(..length)?;
    if !head.contains(&b':') {
        return None;
    }
    // The IPv4 address at the end.
    if rest.get(length) == Some(&b'.')
        && let Some(tail) = head.iter().rposition(|octet| *octet == b':').map(|place| place + 1)
        && let Some(four) = rest.get(tail..).and_then(four_length)
        && is_six(rest.get(..tail + four)?)
    {
        return Some(tail + four);
    }
    is_six(head).then_some(length)
}

fn is_six(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
}

/// How many octets from the start are an IPv4 address that ends at the border of a word.
fn four_length(text: &[u8]) -> Option<usize> {
    let window = text.get(..16).unwrap_or(text);
    let mut length = 0;
    for part in 0..4 {
        if part > 0 {
            if window.get(length) != Some(&b'.') {
                return None;
            }
            length += 1;
        }
        length += window.get(length..)?.iter().take(3).take_while(|o| o.is_ascii_digit()).count();
    }
    let address = std::str::from_utf8(window.get(..length)?).ok()?;
    let free = !text.get(length).copied().is_some_and(is_word);
    (free && address.parse::<Ipv4Addr>().is_ok()).then_some(length)
}

fn is_word(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || octet == b'_'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_are_found_where_they_stand_free() {
        for (text, want) in [
            ("from 192.0.2.1 by", Some("192.0.2.1")),
            ("[192.0.2.1]", Some("192.0.2.1")),
            ("a192.0.2.1 198.51.100.7", Some("198.51.100.7")),
            ("192.0.2.256 is none", None),
            ("1.2.3.4.5", Some("1.2.3.4")),
            ("::ffff:192.0.2.1 x", Some("::ffff:192.0.2.1")),
            ("x 2001:db8::1, y", Some("2001:db8::1")),
            ("12:30:45", None),
            ("nothing", None),
        ] {
            let got = find(text.as_bytes()).and_then(|range| text.get(range));
            assert_eq!(got, want, "{text}");
        }
    }

    #[test]
    fn private_networks_are_known() {
        for (text, want) in [
            ("10.1.2.3", true),
            ("127.0.0.1", true),
            ("172.16.0.1", true),
            ("172.32.0.1", false),
            ("100.64.0.1", true),
            ("100.128.0.1", false),
            ("169.254.1.1", true),
            ("192.0.2.1", false),
            ("::1", true),
            ("fe80::1", true),
            ("IPv6:::ffff:10.0.0.1", true),
            ("2001:db8::1", false),
            ("fd00::1", false),
        ] {
            assert_eq!(parse(text.as_bytes()).map(is_private), Some(want), "{text}");
        }
        assert_eq!(parse(b"[192.0.2.1]"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_searched(text in "[0-9a-f:. x]{0,80}") {
            if let Some(range) = find(text.as_bytes()) {
                prop_assert!(parse(text.get(range).unwrap().as_bytes()).is_some());
            }
        }
    }
}
