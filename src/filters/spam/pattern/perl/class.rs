//! Classes: `[…]`.

use crate::filters::spam::pattern::set::OctetSet;
use crate::filters::spam::pattern::tree::Node;

use super::escape::escaped_set;
use super::{Parser, Refusal, wrong};

/// What one item of a class stands for.
enum Item {
    Octet(u32),
    Set(OctetSet),
}

impl Parser<'_> {
    pub(super) fn class(&mut self) -> Result<Node, Refusal> {
        let inverted = self.peek() == Some(b'^');
        if inverted {
            self.at += 1;
        }
        let mut set = OctetSet::NONE;
        let mut first = true;
        loop {
            match self.peek() {
                None => return Err(wrong("a [ is not closed")),
                Some(b']') if !first => {
                    self.at += 1;
                    break;
                }
                Some(_) => {}
            }
            first = false;
            let start = self.class_item()?;
            let range = self.peek() == Some(b'-') && !matches!(self.ahead(1), Some(b']') | None);
            set = set.or(&match start {
                Item::Set(set) => set,
                Item::Octet(low) if range => {
                    self.at += 1;
                    self.class_range(low)?
                }
                Item::Octet(value) => octet(value),
            });
        }
        if self.modes.fold {
            set = set.folded();
        }
        Ok(Node::Set(if inverted { set.not() } else { set }))
    }

    fn class_range(&mut self, low: u32) -> Result<OctetSet, Refusal> {
        match self.class_item()? {
            Item::Octet(high) if high < low => Err(wrong("a range runs backwards")),
            Item::Octet(high) => Ok(match u8::try_from(low) {
                Ok(low) => OctetSet::range(low, u8::try_from(high).unwrap_or(u8::MAX)),
                Err(_) => OctetSet::NONE,
            }),
            // `[a-\d]` is no range: the dash is plain.
            Item::Set(set) => Ok(set.with(b'-').or(&octet(low))),
        }
    }

    fn class_item(&mut self) -> Result<Item, Refusal> {
        if self.rest().starts_with(b"[:")
            && let Some(end) = memchr::memmem::find(self.rest(), b":]")
            && let Some(name) = self.rest().get(2..end)
            && name.iter().all(|octet| octet.is_ascii_lowercase() || *octet == b'^')
        {
            let set = named(name)?;
            self.at += end + 2;
            return Ok(Item::Set(set));
        }
        let Some(octet) = self.next() else { return Err(wrong("a [ is not closed")) };
        if octet != b'\\' {
            return Ok(Item::Octet(u32::from(octet)));
        }
        let Some(letter) = self.next() else { return Err(wrong("a [ is not closed")) };
        if let Some(value) = self.escaped_octet(letter)? {
            return Ok(Item::Octet(value));
        }
        if let Some(set) = escaped_set(letter) {
            return Ok(Item::Set(set));
        }
        Ok(match letter {
            b'R' | b'p' | b'P' => return Err(Refusal::NotBuilt("needs a class inside a class")),
            b'b' => Item::Octet(8),
            b'1'..=b'7' => Item::Octet(self.octal(u32::from(letter - b'0'), 2) & 255),
            _ => Item::Octet(u32::from(letter)),
        })
    }
}

fn octet(value: u32) -> OctetSet {
    u8::try_from(value).map_or(OctetSet::NONE, OctetSet::one)
}

/// `[:alpha:]`, `[:^alpha:]`.
fn named(name: &[u8]) -> Result<OctetSet, Refusal> {
    let (name, inverted) = match name {
        [b'^', name @ ..] => (name, true),
        _ => (name, false),
    };
    let set = match name {
        b"alpha" => OctetSet::of(|octet| octet.is_ascii_alphabetic()),
        b"digit" => OctetSet::range(b'0', b'9'),
        b"alnum" => OctetSet::of(|octet| octet.is_ascii_alphanumeric()),
        b"upper" => OctetSet::range(b'A', b'Z'),
        b"lower" => OctetSet::range(b'a', b'z'),
        b"punct" => OctetSet::of(|octet| octet.is_ascii_punctuation()),
        b"graph" => OctetSet::range(b'!', b'~'),
        b"print" => OctetSet::range(b' ', b'~'),
        b"cntrl" => OctetSet::of(|octet| octet.is_ascii_control()),
        b"xdigit" => OctetSet::of(|octet| octet.is_ascii_hexdigit()),
        b"blank" => OctetSet::one(b' ').with(b'\t'),
        b"space" => OctetSet::range(b'\t', b'\r').with(b' '),
        b"word" => OctetSet::of(|octet| octet.is_ascii_alphanumeric() || octet == b'_'),
        b"ascii" => OctetSet::range(0, 127),
        _ => return Err(wrong("there is no such class of characters")),
    };
    Ok(if inverted { set.not() } else { set })
}
