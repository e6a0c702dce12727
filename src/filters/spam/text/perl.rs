//! Strings as Perl has them, for texts must be cut and matched exactly as SpamAssassin does it.
//!
//! A Perl string is *wide* once a character set was decoded for it or a character over 255 got into it. Only then
//! white space and letters over ASCII count as such, and only then it is written as UTF-8: what is not wide is
//! written one octet a character.

use std::borrow::Cow;

/// A Perl string. If it is not wide, all its characters are under 256.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::filters::spam) struct Text {
    pub(in crate::filters::spam) text: String,
    pub(in crate::filters::spam) wide: bool,
}

impl Text {
    pub(in crate::filters::spam) fn wide(text: String) -> Self {
        Self { text, wide: true }
    }

    /// One character for each octet.
    pub(in crate::filters::spam) fn narrow(octets: &[u8]) -> Self {
        let text = match std::str::from_utf8(octets) {
            Ok(text) if text.is_ascii() => text.to_owned(),
            _ => octets.iter().map(|octet| char::from(*octet)).collect(),
        };
        Self { text, wide: false }
    }

    /// The octets that rules look at.
    pub(in crate::filters::spam) fn octets(&self) -> Vec<u8> {
        if self.wide || self.text.is_ascii() {
            return self.text.as_bytes().to_vec();
        }
        self.text.chars().map(|letter| u8::try_from(letter).unwrap_or(b'?')).collect()
    }

    /// True if all its white space is ASCII, so that octets can be asked instead of characters.
    pub(in crate::filters::spam) fn has_plain_space(&self) -> bool {
        !self.wide || self.text.is_ascii()
    }

    /// White space: outside ASCII only in wide strings.
    pub(in crate::filters::spam) fn is_space(&self, letter: char) -> bool {
        if self.wide { letter.is_whitespace() } else { letter.is_ascii() && letter.is_whitespace() }
    }
}

/// A piece of a Perl string: as long as nothing in it is read otherwise than it was written, it lies in that string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::filters::spam) struct Piece<'p> {
    pub(in crate::filters::spam) text: Cow<'p, str>,
    pub(in crate::filters::spam) wide: bool,
}

/// White space among octets.
pub(in crate::filters::spam) fn is_space(octet: u8) -> bool {
    matches!(octet, b'\t'..=b'\r' | b' ')
}

/// Where white space begins that is not one blank alone; the length if there is none.
pub(in crate::filters::spam) fn uneven_space(octets: &[u8]) -> usize {
    let uneven = |pair: &[u8]| match pair {
        [b' ', next] => is_space(*next),
        [octet, ..] => is_space(*octet),
        [] => false,
    };
    let last = octets.last().filter(|octet| **octet != b' ' && is_space(**octet));
    let end = octets.len() - usize::from(last.is_some());
    octets.windows(2).position(uneven).unwrap_or(end)
}

/// The octets without white space at both ends.
pub(in crate::filters::spam) fn trim(octets: &[u8]) -> &[u8] {
    let start = octets.iter().position(|octet| !is_space(*octet)).unwrap_or(octets.len());
    let end = octets.iter().rposition(|octet| !is_space(*octet)).map_or(start, |at| at + 1);
    octets.get(start..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_that_is_not_one_blank_is_found() {
        for (text, want) in [
            ("", 0),
            ("a b ", 4),
            ("a  b", 1),
            ("a b\n", 3),
            ("\n", 0),
            ("a\tb", 1),
            ("a \n", 1),
            (" a\x0b", 2),
        ] {
            assert_eq!(uneven_space(text.as_bytes()), want, "{text:?}");
        }
    }

    #[test]
    fn what_is_not_wide_is_one_octet_a_character() {
        let narrow = Text::narrow(b"caf\xe9\xa0");
        assert_eq!(narrow.octets(), b"caf\xe9\xa0");
        assert!(!narrow.is_space('\u{a0}') && narrow.is_space('\u{b}'));
        let both = Text::wide(format!("{}\u{2014}", narrow.text));
        assert_eq!(both.octets(), "café\u{a0}\u{2014}".as_bytes());
        assert!(both.is_space('\u{a0}'));
        assert_eq!(trim(b" \x0b a \n"), b"a");
        assert_eq!(trim(b"  "), b"");
    }
}
