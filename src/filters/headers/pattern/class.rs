//! Sets of octets: what stands between brackets.

use std::fmt::Write as _;

/// Whether an octet is a member.
pub(super) type Holds = fn(u8) -> bool;

/// A set of octets, as written between `[` and `]`.
#[derive(Clone)]
pub(super) struct OctetSet {
    members: [bool; 256],
    /// True for `[^…]`. Kept apart from the members, because case is folded before the set is turned around.
    pub negated: bool,
}

impl OctetSet {
    pub fn new() -> Self {
        Self { members: [false; 256], negated: false }
    }

    pub fn add(&mut self, octet: u8) {
        self.add_range(octet, octet);
    }

    pub fn add_range(&mut self, from: u8, to: u8) {
        for octet in from..=to {
            if let Some(member) = self.members.get_mut(usize::from(octet)) {
                *member = true;
            }
        }
    }

    /// Adds every octet for which `holds` differs from `negated`.
    pub fn add_where(&mut self, negated: bool, holds: impl Fn(u8) -> bool) {
        for octet in 0..=u8::MAX {
            if holds(octet) != negated {
                self.add(octet);
            }
        }
    }

    /// Writes the set in the syntax of the regex crate. Only escapes are used, so that no octet can be an operator.
    pub fn write(&self, out: &mut String) {
        out.push('[');
        if self.negated {
            out.push('^');
        }
        let mut octet = 0u16;
        while octet < 256 {
            let start = octet;
            while self.members.get(usize::from(octet)).copied().unwrap_or(false) {
                octet += 1;
            }
            if octet > start {
                // Writing to a String cannot fail.
                let _ = write!(out, r"\x{start:02X}-\x{:02X}", octet - 1);
            }
            octet += 1;
        }
        if !self.members.contains(&true) {
            // An empty set: nothing fits, or, turned around, everything.
            out.push_str(r"\x00&&\x01");
        }
        out.push(']');
    }
}

/// Whether an octet is in a named class, `[:alpha:]` and so on, in the C locale; `None` for unknown names.
pub(super) fn named(name: &[u8]) -> Option<Holds> {
    Some(match name {
        b"alnum" => |c| c.is_ascii_alphanumeric(),
        b"alpha" => |c| c.is_ascii_alphabetic(),
        b"ascii" => |c| c.is_ascii(),
        b"blank" => |c| matches!(c, b' ' | b'\t'),
        b"cntrl" => |c| c.is_ascii_control(),
        b"digit" => |c| c.is_ascii_digit(),
        b"graph" => |c| c.is_ascii_graphic(),
        b"lower" => |c| c.is_ascii_lowercase(),
        b"print" => |c| c.is_ascii_graphic() || c == b' ',
        b"punct" => |c| c.is_ascii_punctuation(),
        b"space" => is_space,
        b"upper" => |c| c.is_ascii_uppercase(),
        b"word" => is_word,
        b"xdigit" => |c| c.is_ascii_hexdigit(),
        _ => return None,
    })
}

/// `\s`: the six blanks of the C locale, the vertical tab among them.
pub(super) fn is_space(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t'..=b'\r')
}

/// `\w`.
pub(super) fn is_word(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || octet == b'_'
}

/// The octets that `\d`, `\w`, `\s`, `\h` or `\v` stand for, and whether the set is turned around; PCRE's meaning.
pub(super) fn shorthand(letter: u8) -> Option<(Holds, bool)> {
    let holds: Holds = match letter.to_ascii_lowercase() {
        b'd' => |c| c.is_ascii_digit(),
        b'w' => is_word,
        b's' => is_space,
        b'h' => |c| matches!(c, b' ' | b'\t' | 0xa0),
        b'v' => |c| matches!(c, b'\n'..=b'\r' | 0x85),
        _ => return None,
    };
    Some((holds, letter.is_ascii_uppercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_written_as_escaped_ranges() {
        let mut set = OctetSet::new();
        set.add(b'a');
        set.add_range(b'0', b'9');
        set.add(0xff);
        let mut out = String::new();
        set.write(&mut out);
        assert_eq!(out, r"[\x30-\x39\x61-\x61\xFF-\xFF]");
    }

    #[test]
    fn an_empty_set_still_compiles() {
        for negated in [false, true] {
            let set = OctetSet { negated, ..OctetSet::new() };
            let mut out = String::new();
            set.write(&mut out);
            let regex = regex::bytes::RegexBuilder::new(&out).unicode(false).build().unwrap();
            assert_eq!(regex.is_match(b"\x00"), negated, "{out}");
            assert_eq!(regex.is_match(b"x"), negated, "{out}");
        }
    }
}
