//! SPF records: the language of RFC 7208 sections 4.5, 4.6, 5 and 6.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::macros::Text;
use crate::filters::auth::AuthResult;

/// Octets of a record that are looked at.
const RECORD_BYTES_MAX: usize = 8_192;

/// A record, read without a mistake: one mistake anywhere makes the whole record void (section 4.6).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) directives: Vec<Directive>,
    pub(super) redirect: Option<Text>,
    pub(super) explanation: Option<Text>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Directive {
    pub(super) result: AuthResult,
    pub(super) mechanism: Mechanism,
    /// As written, for explanations.
    pub(super) written: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mechanism {
    All,
    Include(Text),
    /// `None` stands for the domain itself; bits for IPv4 and IPv6.
    A(Option<Text>, u8, u8),
    Mx(Option<Text>, u8, u8),
    Ptr(Option<Text>),
    Ip4(Ipv4Addr, u8),
    Ip6(Ipv6Addr, u8),
    Exists(Text),
}

/// True if a TXT record is an SPF record: `v=spf1`, then a blank or the end.
pub(super) fn is_spf(text: &[u8]) -> bool {
    let version = text.get(..6).is_some_and(|start| start.eq_ignore_ascii_case(b"v=spf1"));
    version && matches!(text.get(6), None | Some(b' '))
}

impl Record {
    /// Reads a record that [`is_spf`].
    ///
    /// # Errors
    /// What is wrong, for people.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        if text.len() > RECORD_BYTES_MAX {
            return Err(format!("the record is longer than {RECORD_BYTES_MAX} octets"));
        }
        let text = std::str::from_utf8(text)
            .ok()
            .filter(|text| text.bytes().all(|octet| (0x20..0x7f).contains(&octet)))
            .ok_or("the record is not plain ASCII")?;
        let mut record = Self::default();
        for term in text.split(' ').skip(1).filter(|term| !term.is_empty()) {
            record.term(term).ok_or_else(|| {
                format!("`{}` is not understood", term.chars().take(80).collect::<String>())
            })?;
        }
        Ok(record)
    }

    fn term(&mut self, term: &str) -> Option<()> {
        let name = term.find([':', '/', '=']).unwrap_or(term.len());
        let (name, rest) = term.split_at_checked(name)?;
        if let Some(value) = rest.strip_prefix('=') {
            return self.modifier(name, value);
        }
        let result = match name.bytes().next()? {
            b'+' => AuthResult::Pass,
            b'-' => AuthResult::Fail,
            b'~' => AuthResult::SoftFail,
            b'?' => AuthResult::Neutral,
            _ => {
                return self.directive(AuthResult::Pass, name, rest, term);
            }
        };
        self.directive(result, name.get(1..)?, rest, term)
    }

    fn modifier(&mut self, name: &str, value: &str) -> Option<()> {
        let mut letters = name.bytes();
        let good = letters.next().is_some_and(|first| first.is_ascii_alphabetic())
            && letters.all(|octet| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet));
        if !good {
            return None;
        }
        let slot = if name.eq_ignore_ascii_case("redirect") {
            &mut self.redirect
        } else if name.eq_ignore_ascii_case("exp") {
            &mut self.explanation
        } else {
            // What is not known is passed over, but must be well written.
            return Text::parse(value, true).map(drop);
        };
        slot.is_none().then_some(())?;
        *slot = Some(Text::domain(value)?);
        Some(())
    }

    fn directive(
        &mut self,
        result: AuthResult,
        name: &str,
        rest: &str,
        written: &str,
    ) -> Option<()> {
        let name = name.to_ascii_lowercase();
        let argument = rest.strip_prefix(':');
        let mechanism = match name.as_str() {
            "all" => rest.is_empty().then_some(Mechanism::All)?,
            "include" => Mechanism::Include(Text::domain(argument?)?),
            "exists" => Mechanism::Exists(Text::domain(argument?)?),
            "ptr" if rest.is_empty() => Mechanism::Ptr(None),
            "ptr" => Mechanism::Ptr(Some(Text::domain(argument?)?)),
            "a" | "mx" => {
                let (domain, four, six) = hosts(rest)?;
                match name.as_str() {
                    "a" => Mechanism::A(domain, four, six),
                    _ => Mechanism::Mx(domain, four, six),
                }
            }
            "ip4" => {
                let (address, bits) = network(argument?, 32)?;
                Mechanism::Ip4(address.parse().ok()?, bits)
            }
            "ip6" => {
                let (address, bits) = network(argument?, 128)?;
                Mechanism::Ip6(address.parse().ok()?, bits)
            }
            _ => return None,
        };
        let written = written.chars().take(80).collect();
        self.directives.push(Directive { result, mechanism, written });
        Some(())
    }
}

/// `[":" domain] ["/" bits] ["//" bits]`.
fn hosts(rest: &str) -> Option<(Option<Text>, u8, u8)> {
    let (rest, six) = match rest.rsplit_once("//") {
        Some((front, bits)) => (front, length(bits, 128)?),
        None => (rest, 128),
    };
    // A domain may hold a slash, though none that a resolver could find: what is behind the last one must be bits.
    let (rest, four) = match rest.rsplit_once('/') {
        Some((front, bits)) if bits.bytes().all(|octet| octet.is_ascii_digit()) => {
            (front, length(bits, 32)?)
        }
        _ => (rest, 32),
    };
    let domain = match rest {
        "" => None,
        _ => Some(Text::domain(rest.strip_prefix(':')?)?),
    };
    Some((domain, four, six))
}

fn network(text: &str, most: u8) -> Option<(&str, u8)> {
    match text.split_once('/') {
        Some((address, bits)) => Some((address, length(bits, most)?)),
        None => Some((text, most)),
    }
}

/// A number of bits, without zeros in front.
fn length(text: &str, most: u8) -> Option<u8> {
    let plain = text.bytes().all(|octet| octet.is_ascii_digit());
    let zeros = text.len() > 1 && text.starts_with('0');
    if !plain || zeros {
        return None;
    }
    text.parse().ok().filter(|bits| *bits <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_whole_or_not_at_all() {
        for (text, good) in [
            ("v=spf1", true),
            ("v=spf1 -all", true),
            ("v=spf1  a  mx/24 mx:b.test/24//64 a//64 -all", true),
            ("v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 ?all", true),
            ("v=spf1 exists:%{ir}.%{v}._spf.%{d2} redirect=_spf.b.test", true),
            ("v=spf1 moo.cow-far_out=man:dog/cat -all", true),
            ("v=spf1 ptr:b.test ptr", true),
            ("v=spf1 -all.", false),
            ("v=spf1 -all:x", false),
            ("v=spf1 a:", false),
            ("v=spf1 a:b", false),
            ("v=spf1 a:b.test:8080", false),
            ("v=spf1 a:b.test/33", false),
            ("v=spf1 a:b.test/032", false),
            ("v=spf1 ip4:192.0.2", false),
            ("v=spf1 ip4:192.0.2.1:8080", false),
            ("v=spf1 ip6:2001:db8::/129", false),
            ("v=spf1 include", false),
            ("v=spf1 redirect=a.test redirect=b.test", false),
            ("v=spf1 redirect:a.test", false),
            ("v=spf1 exists:%{x}.test", false),
            ("v=spf1 exists:%{c}.test", false),
            ("v=spf1 a:\u{fc}.test", false),
            ("v=spf1 moo", false),
            ("v=spf1 =x", false),
        ] {
            let read = Record::parse(text.as_bytes());
            assert_eq!(read.is_ok(), good, "{text}: {read:?}");
        }
    }

    #[test]
    fn the_version_ends_with_a_blank() {
        for (text, spf) in [
            ("v=spf1", true),
            ("V=SPF1 x", true),
            ("v=spf10", false),
            ("v=spf1\tx", false),
            ("", false),
        ] {
            assert_eq!(is_spf(text.as_bytes()), spf, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_octets_make_it_fail(text: Vec<u8>, terms in "[a-z0-9:/=%{}.+~?-]{0,60}") {
            let _ = Record::parse(&text);
            let _ = Record::parse(format!("v=spf1 {terms}").as_bytes());
        }
    }
}
