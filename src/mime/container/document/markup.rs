//! XML as far as documents need it: one tag after the other, without a tree.

use std::borrow::Cow;

use crate::mime::charset;

/// A tag, and the text behind it.
#[derive(Debug, Clone)]
pub(super) struct Tag<'a> {
    /// In lower case, without the prefix of its namespace; `/` stands before that of an end tag.
    pub(super) name: String,
    attributes: &'a str,
    pub(super) text: &'a str,
}

/// The text of a file, whichever of Unicode's forms it is in.
pub(super) fn text_of(octets: &[u8]) -> Cow<'_, str> {
    match octets {
        [0xff, 0xfe, rest @ ..] => charset::decode(rest, Some("utf-16le")).0,
        [0xfe, 0xff, rest @ ..] => charset::decode(rest, Some("utf-16be")).0,
        [b'<', 0, ..] => charset::decode(octets, Some("utf-16le")).0,
        [0, b'<', ..] => charset::decode(octets, Some("utf-16be")).0,
        _ => charset::guess(octets),
    }
}

/// The tags of a text in their order; comments are left out.
pub(super) fn tags(text: &str) -> impl Iterator<Item = Tag<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let at = rest.find('<')?;
            rest = rest.get(at + 1..)?;
            if let Some(comment) = rest.strip_prefix("!--") {
                rest = comment.find("-->").and_then(|end| comment.get(end + 3..)).unwrap_or("");
                continue;
            }
            let end = tag_end(rest);
            let inside = rest.get(..end)?;
            rest = rest.get(end + 1..).unwrap_or("");
            let behind = rest.find('<').unwrap_or(rest.len());
            let (name, attributes) = inside
                .find(|sign: char| sign.is_whitespace())
                .and_then(|at| inside.split_at_checked(at))
                .unwrap_or((inside, ""));
            let slash = if name.starts_with('/') { "/" } else { "" };
            let name = name.trim_matches('/');
            let name = name.rsplit(':').next().unwrap_or(name).to_ascii_lowercase();
            let text = rest.get(..behind).unwrap_or("");
            return Some(Tag { name: format!("{slash}{name}"), attributes, text });
        }
    })
}

/// Where the tag ends; quotes may hold its sign.
fn tag_end(text: &str) -> usize {
    let mut quote = None;
    for (at, octet) in text.bytes().enumerate() {
        match (quote, octet) {
            (None, b'>') => return at,
            (None, b'"' | b'\'') => quote = Some(octet),
            (Some(open), _) if open == octet => quote = None,
            _ => {}
        }
    }
    text.len()
}

impl Tag<'_> {
    /// The value of an attribute by its name in lower case, without the prefix of its namespace.
    pub(super) fn attribute(&self, wanted: &str) -> Option<String> {
        let mut rest = self.attributes;
        while let Some(at) = rest.find('=') {
            let (name, value) = rest.split_at_checked(at)?;
            let name = name.trim();
            let name = name.rsplit([':', ' ', '\n', '\t', '\r']).next().unwrap_or(name);
            let value = value.get(1..)?.trim_start();
            let quote = value.chars().next().filter(|sign| matches!(sign, '"' | '\''))?;
            let value = value.get(1..)?;
            let (value, after) = value.split_once(quote).unwrap_or((value, ""));
            if name.eq_ignore_ascii_case(wanted) {
                return Some(plain(value));
            }
            rest = after;
        }
        None
    }
}

/// A text with its entities replaced.
pub(super) fn plain(text: &str) -> String {
    const ENTITY_BYTES_MAX: usize = 12;
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        let (before, entity) = rest.split_at_checked(at).unwrap_or((rest, ""));
        out.push_str(before);
        let end = entity.bytes().take(ENTITY_BYTES_MAX).position(|octet| octet == b';');
        let sign = end.and_then(|end| entity.get(1..end)).and_then(sign);
        match (sign, end) {
            (Some(sign), Some(end)) => {
                out.push(sign);
                rest = entity.get(end + 1..).unwrap_or("");
            }
            _ => {
                out.push('&');
                rest = entity.get(1..).unwrap_or("");
            }
        }
    }
    out.push_str(rest);
    out
}

fn sign(entity: &str) -> Option<char> {
    let number =
        |digits: &str, radix| u32::from_str_radix(digits, radix).ok().and_then(char::from_u32);
    match entity {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => match entity.strip_prefix('#')? {
            digits if digits.starts_with(['x', 'X']) => number(digits.get(1..)?, 16),
            digits => number(digits, 10),
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tags_and_attributes_are_read() {
        let text = "<?xml?><!-- <x> --><a:B c:Id = 'x>y' Target=\"p&amp;&#x41;&#66;&z\">text</a:B>";
        let found: Vec<_> = tags(text).collect();
        let names: Vec<_> = found.iter().map(|tag| tag.name.as_str()).collect();
        assert_eq!(names, ["?xml?", "b", "/b"]);
        assert_eq!(found[1].attribute("id").unwrap(), "x>y");
        assert_eq!(found[1].attribute("target").unwrap(), "p&AB&z");
        assert_eq!(found[1].attribute("none"), None);
        assert_eq!(found[1].text, "text");
    }

    #[test]
    fn utf_16_is_read() {
        let wide: Vec<u8> = "<é/>".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(text_of(&wide), "<é/>");
        assert_eq!(text_of(&[&[0xff, 0xfe], &wide[..]].concat()), "<é/>");
        assert_eq!(text_of("<é/>".as_bytes()), "<é/>");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fail(text in "[<>='\"&;#!a/ é-]{0,40}") {
            for tag in tags(&text) {
                tag.attribute("a");
            }
            plain(&text);
        }
    }
}
