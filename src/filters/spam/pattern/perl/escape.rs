//! Escapes: all that begins with a backslash.

use crate::filters::spam::pattern::set::OctetSet;
use crate::filters::spam::pattern::tree::{Assertion, Node};

use super::{Parser, Refusal, wrong};

/// The last character of Unicode.
const CODE_POINT_MAX: u32 = 0x10_FFFF;

impl Parser<'_> {
    pub(super) fn escape(&mut self) -> Result<Node, Refusal> {
        let Some(letter) = self.next() else { return Err(wrong("it ends in a backslash")) };
        if let Some(value) = self.escaped_octet(letter)? {
            return Ok(self.octet(value));
        }
        if let Some(set) = escaped_set(letter) {
            return Ok(Node::Set(set));
        }
        let assertion = |assertion| Ok(Node::Assertion(assertion));
        match letter {
            b'A' => assertion(Assertion::TextStart),
            b'z' => assertion(Assertion::TextEnd),
            b'Z' => assertion(Assertion::LastLineEnd),
            b'b' | b'B' if self.peek() == Some(b'{') => Err(Refusal::NotBuilt(r"needs \b{…}")),
            b'b' => assertion(Assertion::WordBorder),
            b'B' => assertion(Assertion::NoWordBorder),
            b'R' => {
                let pair = Node::Row(vec![one(b'\r'), one(b'\n')]);
                let single = Node::Set(vertical());
                Ok(Node::Atomic(Box::new(Node::Choice(vec![pair, single]))))
            }
            b'1'..=b'9' => self.number_or_octal(letter),
            b'g' => self.group_by_name(),
            b'k' => self.group_by_name(),
            b'G' | b'K' => Err(Refusal::NotBuilt(r"needs \G or \K")),
            b'p' | b'P' | b'X' => Err(Refusal::NotBuilt("needs Unicode properties")),
            _ => Ok(self.octet(u32::from(letter))),
        }
    }

    /// `\1`: a group, or an octal number if there are not that many groups.
    fn number_or_octal(&mut self, first: u8) -> Result<Node, Refusal> {
        let mut digits = vec![first];
        digits.extend(self.rest().iter().take(2).take_while(|octet| octet.is_ascii_digit()));
        let number = digits.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
        if number < 10 || number <= self.groups {
            self.at += digits.len() - 1;
            return self.same(number);
        }
        if first > b'7' {
            return Err(wrong("a group is named that is not there"));
        }
        let value = self.octal(u32::from(first - b'0'), 2);
        Ok(self.octet(value))
    }

    /// `\g1`, `\g{1}`, `\g{-1}`, `\k<name>`, `\k{name}`, `\k'name'`.
    fn group_by_name(&mut self) -> Result<Node, Refusal> {
        let closing = match self.peek() {
            Some(b'{') => b'}',
            Some(b'<') => b'>',
            Some(b'\'') => b'\'',
            Some(digit @ b'0'..=b'9') => {
                self.at += 1;
                return self.same(u32::from(digit - b'0'));
            }
            _ => return Err(wrong("the name of a group is missing")),
        };
        let rest = self.rest().get(1..).unwrap_or_default();
        let Some(end) = memchr::memchr(closing, rest) else {
            return Err(wrong("the name of a group is not closed"));
        };
        let name = String::from_utf8_lossy(rest.get(..end).unwrap_or_default()).trim().to_owned();
        self.at += end + 2;
        self.same_named(&name)
    }

    pub(super) fn same_named(&mut self, name: &str) -> Result<Node, Refusal> {
        if let Ok(number) = name.parse::<i64>() {
            let place = if number < 0 { i64::from(self.groups) + 1 + number } else { number };
            return self.same(u32::try_from(place).unwrap_or(0));
        }
        let group = self.names.iter().find(|(known, _)| known == name).map(|(_, group)| *group);
        self.same(group.unwrap_or(0))
    }

    fn same(&self, group: u32) -> Result<Node, Refusal> {
        if group == 0 || group > self.groups {
            return Err(wrong("a group is named that is not there"));
        }
        Ok(Node::Same { group, fold: self.modes.fold })
    }

    /// Escapes that mean one character, inside and outside of classes alike.
    pub(super) fn escaped_octet(&mut self, letter: u8) -> Result<Option<u32>, Refusal> {
        Ok(Some(match letter {
            b'n' => 10,
            b'r' => 13,
            b't' => 9,
            b'f' => 12,
            b'a' => 7,
            b'e' => 27,
            b'x' => self.hexadecimal()?,
            b'o' if self.peek() == Some(b'{') => self.braced(8)?,
            b'N' if self.rest().starts_with(b"{U+") => self.code_point()?,
            b'0' => self.octal(0, 2),
            b'c' => u32::from(self.next().unwrap_or(b'@').to_ascii_uppercase() ^ 64),
            _ => return Ok(None),
        }))
    }

    fn hexadecimal(&mut self) -> Result<u32, Refusal> {
        if self.peek() == Some(b'{') {
            return self.braced(16);
        }
        let mut value = 0;
        for _ in 0..2 {
            let Some(digit) = self.peek().and_then(|octet| char::from(octet).to_digit(16)) else {
                break;
            };
            value = value * 16 + digit;
            self.at += 1;
        }
        Ok(value)
    }

    fn braced(&mut self, radix: u32) -> Result<u32, Refusal> {
        let rest = self.rest();
        let Some(end) = memchr::memchr(b'}', rest) else {
            return Err(wrong("the } of a number is missing"));
        };
        let digits = String::from_utf8_lossy(rest.get(1..end).unwrap_or_default()).into_owned();
        self.at += end + 1;
        let value = u32::from_str_radix(digits.trim(), radix)
            .map_err(|_| wrong("there is no number in the braces"))?;
        if value > CODE_POINT_MAX {
            return Err(wrong("there is no character beyond U+10FFFF, so that it can never match"));
        }
        Ok(value)
    }

    /// `\N{U+E9}`.
    fn code_point(&mut self) -> Result<u32, Refusal> {
        self.at += 2;
        self.braced(16)
    }

    pub(super) fn octal(&mut self, first: u32, more: usize) -> u32 {
        let mut value = first;
        for _ in 0..more {
            let Some(digit) = self.peek().and_then(|octet| char::from(octet).to_digit(8)) else {
                break;
            };
            value = value * 8 + digit;
            self.at += 1;
        }
        value
    }
}

fn one(octet: u8) -> Node {
    Node::Set(OctetSet::one(octet))
}

fn vertical() -> OctetSet {
    OctetSet::range(0x0A, 0x0D).with(0x85)
}

/// Escapes that mean a set.
pub(super) fn escaped_set(letter: u8) -> Option<OctetSet> {
    let blank = |octet: u8| matches!(octet, b'\t'..=b'\r' | b' ');
    let set = match letter.to_ascii_lowercase() {
        b'd' => OctetSet::range(b'0', b'9'),
        b'w' => OctetSet::of(|octet| octet.is_ascii_alphanumeric() || octet == b'_'),
        b's' => OctetSet::of(blank),
        b'h' => OctetSet::one(b'\t').with(b' ').with(0xA0),
        b'v' => vertical(),
        b'n' if letter == b'N' => return Some(OctetSet::one(b'\n').not()),
        _ => return None,
    };
    Some(if letter.is_ascii_uppercase() { set.not() } else { set })
}
