//! Where a registry ends and a registered domain begins, and which host names are names at all.

use std::borrow::Cow;
use std::collections::HashSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};

/// Octets of a host name (RFC 1035 section 2.3.4, without the octets of lengths).
const NAME_MAX: usize = 253;
/// Octets of one label.
const LABEL_MAX: usize = 63;
/// Octets of what is looked at as a host name at all.
const HOST_MAX: usize = 1_024;

/// States below which the registry of `us` delegates by town.
const US_STATES: [&str; 54] = [
    "ak", "al", "ar", "az", "ca", "co", "ct", "dc", "de", "fl", "ga", "gu", "hi", "ia", "id", "il",
    "in", "ks", "ky", "la", "ma", "md", "me", "mi", "mn", "mo", "ms", "mt", "nc", "nd", "ne", "nh",
    "nj", "nm", "nv", "ny", "oh", "ok", "or", "pa", "pr", "ri", "sc", "sd", "tn", "tx", "ut", "va",
    "vi", "vt", "wa", "wi", "wv", "wy",
];

/// Suffixes below which anybody can register a name, by the number of their labels, in ASCII.
#[derive(Debug, Clone, Default)]
pub(in crate::filters::spam) struct Boundaries {
    one: HashSet<Box<str>>,
    two: HashSet<Box<str>>,
    three: HashSet<Box<str>>,
}

impl Boundaries {
    /// Adds one suffix; false if it has not that many labels.
    pub(in crate::filters::spam) fn add(&mut self, labels: usize, suffix: &str) -> bool {
        let pieces: Vec<&str> = suffix.split('.').collect();
        if pieces.len() != labels || pieces.iter().any(|piece| piece.is_empty()) {
            return false;
        }
        let set = match labels {
            1 => &mut self.one,
            2 => &mut self.two,
            _ => &mut self.three,
        };
        set.insert(text(&to_ascii(suffix.as_bytes())).into());
        true
    }

    pub(in crate::filters::spam) fn clear(&mut self) {
        *self = Self::default();
    }

    /// True if the octets are a top-level domain, in any case.
    pub(super) fn is_top(&self, label: &[u8]) -> bool {
        if label.is_empty() || label.len() > LABEL_MAX {
            return false;
        }
        let mut lower = [0_u8; LABEL_MAX];
        let Some(lower) = lower.get_mut(..label.len()) else { return false };
        lower.copy_from_slice(label);
        lower.make_ascii_lowercase();
        std::str::from_utf8(lower).is_ok_and(|label| self.one.contains(label))
    }

    /// The same for a name behind a scheme or an `@`. Without any list, every word of letters counts.
    fn may_be_top(&self, label: &[u8]) -> bool {
        if !self.one.is_empty() {
            return self.is_top(label);
        }
        (2..=LABEL_MAX).contains(&label.len())
            && (label.iter().all(u8::is_ascii_alphabetic) || label.starts_with(b"xn--"))
    }

    /// True if the name, in ASCII, ends in a top-level domain and has another label before.
    pub(in crate::filters::spam) fn ends_well(&self, host: &[u8]) -> bool {
        if host.iter().any(|octet| is_space(*octet)) {
            return false;
        }
        let Some(dot) = memchr::memrchr(b'.', host) else { return false };
        self.may_be_top(host.get(dot + 1..).unwrap_or_default())
    }

    /// The registered domain of a host name in ASCII and lower case: what stands before the registry's suffix is cut
    /// down to one label.
    pub(in crate::filters::spam) fn registered(&self, host: &str) -> String {
        if host.split('.').any(str::is_empty) {
            let labels: Vec<&str> = host.split('.').filter(|label| !label.is_empty()).collect();
            return if labels.is_empty() {
                String::new()
            } else {
                self.registered(&labels.join("."))
            };
        }
        let (mut before, mut name) = (host, host);
        while let Some((_, shorter)) = name.split_once('.') {
            if self.is_suffix(name) {
                break;
            }
            (before, name) = (name, shorter);
        }
        before.to_owned()
    }

    fn is_suffix(&self, name: &str) -> bool {
        let state = |label: &str| US_STATES.contains(&label);
        let mut pieces = name.splitn(5, '.');
        match [(); 5].map(|()| pieces.next()) {
            [Some(_), Some(_), None, ..] => self.two.contains(name),
            [Some(_), Some(middle), Some("us"), None, _] => state(middle),
            [Some(_), Some(_), Some(_), None, _] => self.three.contains(name),
            [Some("pvt"), Some("k12"), Some(below), Some("us"), None]
            | [Some("ci" | "co"), Some(_), Some(below), Some("us"), None] => state(below),
            _ => false,
        }
    }

    /// Host and registered domain of a link. `None`: it has no host that could exist.
    pub(in crate::filters::spam) fn of_link(&self, link: &[u8]) -> Option<(String, String)> {
        let lower: Cow<'_, [u8]> = match link.iter().any(u8::is_ascii_uppercase) {
            true => link.to_ascii_lowercase().into(),
            false => link.into(),
        };
        let link = &*lower;
        if [b"javascript:".as_slice(), b"cid:", b"file:"].iter().any(|no| link.starts_with(no)) {
            return None;
        }
        let host = match link.strip_prefix(b"mailto:") {
            Some(mail) => {
                let mail = before(mail, |octet| octet == b'?');
                let sign = memchr::memchr(b'@', mail)?;
                let host = mail.get(sign + 1..).unwrap_or_default();
                if host.contains(&b'@') {
                    return None;
                }
                host
            }
            None => host_of(link),
        };
        if host.len() > HOST_MAX || has_wrong_escape(host) {
            return None;
        }
        let host = to_ascii(host);
        let name = text(&host).into_owned();
        if is_address(&name) {
            return Some((name.clone(), name));
        }
        if !is_name(&host) || !self.ends_well(&host) {
            return None;
        }
        let domain = self.registered(&name);
        Some((name, domain))
    }
}

/// The host of a link that is no mail address, with a port cut off.
fn host_of(link: &[u8]) -> &[u8] {
    let letters = link.iter().take_while(|octet| octet.is_ascii_lowercase()).count();
    let mut rest = link;
    if letters > 0 && link.get(letters) == Some(&b':') {
        rest = link.get(letters + 1..).unwrap_or_default();
        for _ in 0..2 {
            rest = rest.strip_prefix(b"/").unwrap_or(rest);
        }
    }
    let rest = before(rest, |octet| matches!(octet, b'/' | b'?' | b'#'));
    let host = match memchr::memrchr(b'@', rest) {
        Some(at) => rest.get(at + 1..).unwrap_or_default(),
        None => rest,
    };
    without_port(host)
}

fn without_port(host: &[u8]) -> &[u8] {
    let digits = host.iter().rev().take_while(|octet| octet.is_ascii_digit()).count();
    let end = host.len() - digits;
    match host.get(..end) {
        Some([before @ .., b':']) => before,
        _ => host,
    }
}

/// True if a character is written by its number that has no need of it; the link's decoded form is looked at instead.
fn has_wrong_escape(host: &[u8]) -> bool {
    memchr::memchr_iter(b'%', host).any(|place| {
        let high = host.get(place + 1).copied().unwrap_or(0);
        let low = host.get(place + 2).copied().unwrap_or(0);
        let digit = matches!(low, b'0'..=b'9' | b'a'..=b'f');
        match high {
            b'2' => digit && low != b'0',
            b'3'..=b'6' => digit,
            b'7' => digit && low != b'f',
            _ => false,
        }
    })
}

/// True for an IPv4 or IPv6 address. IPv4 addresses have four plain numbers.
pub(in crate::filters::spam) fn is_address(host: &str) -> bool {
    let plain = host.strip_prefix("ipv6:").unwrap_or(host);
    host.parse::<Ipv4Addr>().is_ok() || plain.parse::<Ipv6Addr>().is_ok()
}

/// True if the octets, in lower case, are a host name of two labels or more. Underscores are allowed from the third
/// label on.
pub(in crate::filters::spam) fn is_name(host: &[u8]) -> bool {
    let dots = host.iter().rev().take_while(|octet| **octet == b'.').count();
    let host = host.get(..host.len() - dots).unwrap_or_default();
    if host.len() > NAME_MAX {
        return false;
    }
    let count = host.split(|octet| *octet == b'.').count();
    count > 1
        && host.split(|octet| *octet == b'.').enumerate().all(|(place, label)| {
            let inner = |octet: u8| {
                octet.is_ascii_lowercase() || octet.is_ascii_digit() || matches!(octet, b'_' | b'-')
            };
            !label.is_empty()
                && label.len() <= LABEL_MAX
                && label.iter().all(|octet| inner(*octet))
                && label.first() != Some(&b'-')
                && label.last() != Some(&b'-')
                && (count - place > 2 || !label.contains(&b'_'))
        })
}

/// A host name in ASCII (RFC 3490): labels of other scripts become `xn--…`, ASCII ones lower case. What is no such
/// name comes back as it was.
pub(in crate::filters::spam) fn to_ascii(host: &[u8]) -> Cow<'_, [u8]> {
    let plain = |octet: &u8| {
        octet.is_ascii_alphanumeric() || matches!(octet, b'_' | b'.' | b':' | b'[' | b']' | b'-')
    };
    if host.iter().all(plain) {
        if host.iter().any(u8::is_ascii_uppercase) {
            return Cow::Owned(host.to_ascii_lowercase());
        }
        return Cow::Borrowed(host);
    }
    if host.len() > HOST_MAX {
        return Cow::Borrowed(host);
    }
    let name = match std::str::from_utf8(host) {
        Ok(host) => host.replace(['\u{3002}', '\u{ff0e}', '\u{ff61}'], "."),
        // Latin letters of ISO 8859-1.
        Err(_)
            if host.iter().all(|octet| {
                octet.is_ascii_alphanumeric()
                    || matches!(octet, b'_' | b'.' | b'-')
                    || (*octet >= 0xc0 && !matches!(octet, 0xd7 | 0xdf | 0xf7 | 0xff))
            }) =>
        {
            host.iter().map(|octet| char::from(*octet)).collect()
        }
        Err(_) => return Cow::Owned(host.to_ascii_lowercase()),
    };
    if name.is_ascii() {
        return Cow::Owned(name.into_bytes());
    }
    // As IDNA of 2003 has it: sharp s is ss, the final sigma a sigma, joiners are nothing.
    let folded = name.replace(['\u{200c}', '\u{200d}'], "");
    let folded = folded.replace(['ß', 'ẞ'], "ss").replace('ς', "σ");
    let whole = name.trim_end_matches('.').split('.').all(|label| !label.is_empty());
    let ascii = Uts46::new().to_ascii(
        folded.as_bytes(),
        AsciiDenyList::EMPTY,
        Hyphens::Allow,
        DnsLength::Ignore,
    );
    match ascii {
        Ok(ascii) if whole && ascii.split('.').all(|label| label.len() <= LABEL_MAX) => {
            Cow::Owned(ascii.into_owned().into_bytes())
        }
        _ => Cow::Owned(name.into_bytes()),
    }
}

pub(super) fn text(octets: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(octets)
}

/// What stands before the first octet that ends it.
pub(super) fn before(octets: &[u8], ends: impl Fn(u8) -> bool) -> &[u8] {
    let end = octets.iter().position(|octet| ends(*octet)).unwrap_or(octets.len());
    octets.get(..end).unwrap_or_default()
}

/// White space as patterns know it.
pub(super) fn is_space(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn boundaries() -> Boundaries {
        let mut all = Boundaries::default();
        for top in ["com", "org", "uk", "us", "de", "xn--p1ai"] {
            assert!(all.add(1, top));
        }
        assert!(all.add(2, "co.uk") && all.add(3, "a.co.uk") && all.add(2, "shop.рф"));
        assert!(!all.add(2, "uk") && !all.add(1, "co.uk") && !all.add(2, "co."));
        all
    }

    #[test]
    fn a_domain_is_cut_where_the_registry_ends() {
        let all = boundaries();
        for (host, want) in [
            ("www.example.org", "example.org"),
            ("www.example.co.uk", "example.co.uk"),
            ("x.b.a.co.uk", "b.a.co.uk"),
            ("co.uk", "co.uk"),
            ("a..b.example.com.", "example.com"),
            ("x.town.ca.us", "x.town.ca.us"),
            ("y.x.town.ca.us", "x.town.ca.us"),
            ("z.fire.ci.town.ca.us", "fire.ci.town.ca.us"),
            ("org", "org"),
            ("", ""),
        ] {
            assert_eq!(all.registered(host), want, "{host}");
        }
    }

    #[test]
    fn the_host_of_a_link_must_be_able_to_exist() {
        let all = boundaries();
        let of = |link: &str| all.of_link(link.as_bytes());
        let found = |host: &str, domain: &str| Some((host.to_owned(), domain.to_owned()));
        for (link, want) in [
            ("http://www.Example.org/x?y@z", found("www.example.org", "example.org")),
            ("http://me:pw@example.org:8080", found("example.org", "example.org")),
            ("example.org:", found("example.org", "example.org")),
            ("mailto:me@mail.example.com?subject=a@b", found("mail.example.com", "example.com")),
            ("mailto:a@b@example.com", None),
            ("mailto:example.com", None),
            ("http://192.0.2.1/", found("192.0.2.1", "192.0.2.1")),
            ("http://example.nowhere/", None),
            ("http://exa%6dple.org/", None),
            ("javascript:example.org", None),
            ("cid:a@example.org", None),
            ("http://-a.example.org/", None),
            ("http://a_b.example.org/", found("a_b.example.org", "example.org")),
            ("http://a_b.org/", None),
            ("http://bücher.example.de/", found("xn--bcher-kva.example.de", "example.de")),
            ("http://x.y.shop.рф/", found("x.y.shop.xn--p1ai", "y.shop.xn--p1ai")),
        ] {
            assert_eq!(of(link), want, "{link}");
        }
    }

    #[test]
    fn without_lists_any_word_is_a_top_level_domain() {
        let none = Boundaries::default();
        assert!(
            none.ends_well(b"a.example") && !none.ends_well(b"a.b1") && !none.ends_well(b"a.b")
        );
        assert!(!none.is_top(b"example"));
    }

    #[test]
    fn names_of_all_scripts_become_ascii() {
        for (host, want) in [
            ("EXAMPLE.org", "example.org"),
            ("a。b", "a.b"),
            ("straße.de", "strasse.de"),
            ("a%2eb", "a%2eb"),
        ] {
            assert_eq!(text(&to_ascii(host.as_bytes())), want, "{host}");
        }
        assert_eq!(text(&to_ascii(b"caf\xe9.de")), "xn--caf-dma.de");
    }

    proptest! {
        #[test]
        fn no_octets_make_it_fail(host in proptest::collection::vec(any::<u8>(), 0..80)) {
            let all = boundaries();
            let _ = all.of_link(&host);
            let _ = all.ends_well(&to_ascii(&host));
            let _ = is_name(&host);
        }
    }
}
