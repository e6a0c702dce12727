//! Questions to the DNS and their answers, as filters see them: what is asked follows from the mail alone, and is asked
//! elsewhere.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// Kinds of records that are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RecordKind {
    /// IPv4 addresses; what lists answer with.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Texts.
    Txt,
    /// Hosts that take mail.
    Mx,
    /// Name servers.
    Ns,
    /// Names of an address.
    Ptr,
}

/// One question.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Question {
    /// The name, in lower case, without the last dot.
    pub name: String,
    /// What is wanted of it.
    pub kind: RecordKind,
}

impl Question {
    /// A question for a name in any case, with or without a dot behind it.
    #[must_use]
    pub fn new(name: &str, kind: RecordKind) -> Self {
        Self { name: name.strip_suffix('.').unwrap_or(name).to_lowercase(), kind }
    }
}

/// A record of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// Of an A record.
    A(Ipv4Addr),
    /// Of an AAAA record.
    Aaaa(Ipv6Addr),
    /// The strings of a TXT record, joined without anything between (RFC 7208 section 3.3).
    Txt(Vec<u8>),
    /// The name of an MX, NS or PTR record, in lower case, without the last dot.
    Name(String),
}

/// What the DNS says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// There are such records, in the order in which they came; MX by preference.
    Records(Arc<[Record]>),
    /// The name exists, but has no such record.
    NoData,
    /// There is no such name.
    NoName,
    /// Nobody knows, and this is why. It must never count for or against a mail.
    Failed(Arc<str>),
}

impl Answer {
    /// The records; none if there is no answer.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        match self {
            Self::Records(records) => records,
            Self::NoData | Self::NoName | Self::Failed(_) => &[],
        }
    }

    /// The IPv4 addresses among them.
    pub fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.records().iter().filter_map(|record| match record {
            Record::A(address) => Some(*address),
            Record::Aaaa(_) | Record::Txt(_) | Record::Name(_) => None,
        })
    }

    /// The names among them.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.records().iter().filter_map(|record| match record {
            Record::Name(name) => Some(name.as_str()),
            Record::A(_) | Record::Aaaa(_) | Record::Txt(_) => None,
        })
    }

    /// The texts among them.
    pub fn texts(&self) -> impl Iterator<Item = &[u8]> {
        self.records().iter().filter_map(|record| match record {
            Record::Txt(text) => Some(text.as_slice()),
            Record::A(_) | Record::Aaaa(_) | Record::Name(_) => None,
        })
    }
}

/// What a list holds: it decides how the list is tried before it is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ListKind {
    /// Addresses, reversed in front of the zone.
    Address,
    /// Names in front of the zone.
    Name,
    /// Digests in front of the zone.
    Hash,
}

/// A question that a mail needs an answer to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Wanted {
    /// The question.
    pub question: Question,
    /// The list it is put to; `None`: it is no list.
    pub list: Option<(Arc<str>, ListKind)>,
}

/// The answers that were found for a mail.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers {
    by_question: HashMap<Question, Answer>,
}

impl Answers {
    /// Keeps an answer.
    pub fn insert(&mut self, question: Question, answer: Answer) {
        self.by_question.insert(question, answer);
    }

    /// Keeps all answers of another round.
    pub fn extend(&mut self, more: Self) {
        self.by_question.extend(more.by_question);
    }

    /// The answer to a question; `None`: nobody asked.
    #[must_use]
    pub fn get(&self, question: &Question) -> Option<&Answer> {
        self.by_question.get(question)
    }

    /// True if nothing was asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_question.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_question.len()
    }
}

/// An address as lists want it: its octets, or the nibbles of IPv6, in reverse order (RFC 5782 sections 2.1 and 2.4).
#[must_use]
pub fn reversed(address: IpAddr) -> String {
    let dotted = |parts: Vec<String>| parts.join(".");
    match address.to_canonical() {
        IpAddr::V4(address) => dotted(address.octets().iter().rev().map(u8::to_string).collect()),
        IpAddr::V6(address) => {
            let octets = address.octets();
            let nibbles = octets.iter().rev().flat_map(|octet| [octet & 15, octet >> 4]);
            dotted(nibbles.map(|nibble| format!("{nibble:x}")).collect())
        }
    }
}

/// What lists say instead of "listed" when they will not answer: "you ask too much", "you ask through an open
/// resolver" (127.255.255.0/24), and 127.0.0.1, which no list may use for an entry (RFC 5782 section 2.1).
#[must_use]
pub fn is_refusal(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    (a, b, c) == (127, 255, 255) || address == Ipv4Addr::LOCALHOST
}

/// The addresses by which a list says that it has an entry: in 127.0.0.0/8, and no refusal.
pub fn entries(answer: &Answer) -> impl Iterator<Item = Ipv4Addr> {
    answer.addresses().filter(|address| address.is_loopback() && !is_refusal(*address))
}

/// Which replies of a list are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mask {
    /// From the first to the last of these.
    Range(u32, u32),
    /// Those that have this value in the bits of the second.
    Bits(u32, u32),
    /// Those that have one of these bits.
    Any(u32),
}

impl Mask {
    /// Reads `127.0.0.2`, `127.0.0.4-127.0.0.7`, `127.0.0.0/24`, `127.0.0.2/127.0.0.254` (value and bits) or `4` (one of
    /// these bits).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let quad = |text: &str| text.parse::<Ipv4Addr>().ok().map(u32::from);
        let number = |text: &str| match text.strip_prefix("0x") {
            Some(hex) => u32::from_str_radix(hex, 16).ok(),
            None => text.parse::<u32>().ok().filter(|_| text.len() <= 10),
        };
        if let Some((first, last)) = text.split_once('-') {
            let value = |text: &str| quad(text).or_else(|| number(text));
            return Some(Self::Range(value(first)?, value(last)?));
        }
        if let Some((value, bits)) = text.split_once('/') {
            let of = quad(value);
            if let (Some(value), Some(length @ 0..=32)) = (of, number(bits)) {
                let bits = u32::MAX.checked_shl(32 - length).unwrap_or(0);
                return Some(Self::Bits(value & bits, bits));
            }
            let bits = quad(bits).or_else(|| number(bits))?;
            return Some(Self::Bits(of.or_else(|| number(value))? & bits, bits));
        }
        quad(text).map(|value| Self::Range(value, value)).or_else(|| number(text).map(Self::Any))
    }

    /// True if the reply is meant.
    #[must_use]
    pub fn fits(self, reply: Ipv4Addr) -> bool {
        let reply = u32::from(reply);
        match self {
            Self::Range(first, last) => (first..=last).contains(&reply),
            Self::Bits(value, bits) => reply & bits == value,
            Self::Any(bits) => reply >> 24 == 127 && reply & bits != 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_reversed_for_lists() {
        for (address, want) in [
            ("192.0.2.99", "99.2.0.192"),
            ("::ffff:192.0.2.1", "1.2.0.192"),
            (
                "2001:db8:1:2:3:4:567:89ab",
                "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2",
            ),
        ] {
            assert_eq!(reversed(address.parse().unwrap()), want);
        }
    }

    #[test]
    fn masks_are_addresses_ranges_networks_and_bits() {
        for (mask, reply, fits) in [
            ("127.0.0.2", "127.0.0.2", true),
            ("127.0.0.2", "127.0.0.3", false),
            ("127.0.0.4-127.0.0.7", "127.0.0.7", true),
            ("127.0.0.4-127.0.0.7", "127.0.0.8", false),
            ("127.0.1.0/24", "127.0.1.99", true),
            ("127.0.1.0/24", "127.0.2.1", false),
            ("4", "127.0.0.6", true),
            ("4", "127.0.0.10", false),
            ("0x8", "127.0.0.10", true),
            ("1", "10.0.0.1", false),
            ("127.0.0.2/127.0.0.254", "127.0.0.2", true),
            ("0.0.0.0/0", "127.9.9.9", true),
        ] {
            let read = Mask::parse(mask).expect(mask);
            assert_eq!(read.fits(reply.parse().unwrap()), fits, "{mask} {reply}");
        }
        for mask in ["", "x", "127.0.0", "127.0.0.0/x", "-", "99999999999"] {
            assert_eq!(Mask::parse(mask), None, "{mask}");
        }
    }

    #[test]
    fn refusals_are_no_entries() {
        let records = ["127.0.0.2", "127.0.0.1", "127.255.255.254", "192.0.2.1"]
            .map(|address| Record::A(address.parse().unwrap()));
        let answer = Answer::Records(records.into());
        assert_eq!(entries(&answer).collect::<Vec<_>>(), [Ipv4Addr::new(127, 0, 0, 2)]);
    }

    proptest::proptest! {
        #[test]
        fn no_mask_makes_it_fail(text in ".{0,40}", reply: u32) {
            let _ = Mask::parse(&text).map(|mask| mask.fits(reply.into()));
        }
    }
}
