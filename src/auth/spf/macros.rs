//! Macros in SPF records (RFC 7208 section 7).

use std::net::IpAddr;

use crate::filters::dns::reversed;

/// Octets that a text may become; a name has at most 253.
const EXPANDED_BYTES_MAX: usize = 4_096;
const PARTS_MAX: usize = 400;

/// A text with macros.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Plain(String),
    Macro { letter: u8, escape: bool, parts: Option<usize>, reverse: bool, delimiters: String },
}

/// What the letters stand for.
#[derive(Debug, Clone)]
pub(super) struct Values<'v> {
    pub(super) sender: &'v str,
    pub(super) helo: &'v str,
    pub(super) client: IpAddr,
    pub(super) receiver: &'v str,
    /// Seconds since 1970.
    pub(super) now: u64,
}

impl Text {
    /// Reads a macro-string; `free`: also of the letters that only an explanation may use.
    pub(super) fn parse(text: &str, free: bool) -> Option<Self> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some((front, behind)) = rest.split_once('%') {
            plain.push_str(front);
            let mut letters = behind.chars();
            match letters.next()? {
                '%' => plain.push('%'),
                '_' => plain.push(' '),
                '-' => plain.push_str("%20"),
                '{' => {
                    let (inside, _) = letters.as_str().split_once('}')?;
                    if !plain.is_empty() {
                        pieces.push(Piece::Plain(std::mem::take(&mut plain)));
                    }
                    pieces.push(piece(inside, free)?);
                    rest = letters.as_str().split_once('}')?.1;
                    continue;
                }
                _ => return None,
            }
            rest = letters.as_str();
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Plain(plain));
        }
        (pieces.len() <= PARTS_MAX).then_some(Self(pieces))
    }

    /// Reads a domain-spec: a macro-string that ends in a macro or in a label that a top domain may have.
    pub(super) fn domain(text: &str) -> Option<Self> {
        let read = Self::parse(text, false)?;
        // A blank can only come of `%_`.
        if ["%%", "%_", "%-"].iter().any(|end| text.ends_with(end)) {
            return Some(read);
        }
        match read.0.last()? {
            Piece::Macro { .. } => Some(read),
            Piece::Plain(plain) => {
                let plain = plain.strip_suffix('.').unwrap_or(plain);
                let (_, top) = plain.rsplit_once('.')?;
                is_top_label(top).then_some(read)
            }
        }
    }

    /// True if it needs the validated name of the client.
    pub(super) fn needs_name(&self) -> bool {
        let name = |piece: &Piece| matches!(piece, Piece::Macro { letter: b'p', .. });
        self.0.iter().any(name)
    }

    /// The text with all macros filled in; `name`: the validated name of the client.
    pub(super) fn expand(&self, values: &Values<'_>, domain: &str, name: &str) -> String {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Plain(text) => out.push_str(text),
                Piece::Macro { letter, escape, parts, reverse, delimiters } => {
                    let value = value(*letter, values, domain, name);
                    let text = transformed(&value, *parts, *reverse, delimiters);
                    match escape {
                        true => out.extend(text.bytes().map(escaped)),
                        false => out.push_str(&text),
                    }
                }
            }
            if out.len() > EXPANDED_BYTES_MAX {
                break;
            }
        }
        out
    }

    /// The name that it becomes: of one that is too long, labels on the left are dropped (section 7.3).
    pub(super) fn name(&self, values: &Values<'_>, domain: &str, name: &str) -> String {
        let text = self.expand(values, domain, name);
        let mut rest = text.strip_suffix('.').unwrap_or(&text);
        while rest.len() > 253 {
            match rest.split_once('.') {
                Some((_, behind)) => rest = behind,
                None => break,
            }
        }
        rest.to_owned()
    }
}

fn is_top_label(label: &str) -> bool {
    let letters = label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-');
    letters
        && !label.is_empty()
        && !label.starts_with('-')
        && !label.ends_with('-')
        && !label.bytes().all(|octet| octet.is_ascii_digit())
}

/// What stands between `%{` and `}`.
fn piece(inside: &str, free: bool) -> Option<Piece> {
    let letter = *inside.as_bytes().first()?;
    let known: &[u8] = if free { b"slodiphvcrt" } else { b"slodiphv" };
    if !known.contains(&letter.to_ascii_lowercase()) {
        return None;
    }
    let rest = inside.get(1..)?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = rest.split_at_checked(digits)?;
    let parts = match digits {
        "" => None,
        _ => Some(digits.parse().unwrap_or(usize::MAX)),
    };
    if parts == Some(0) {
        return None;
    }
    let (reverse, rest) = match rest.strip_prefix(['r', 'R']) {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    if !rest.bytes().all(|octet| b".-+,/_=".contains(&octet)) {
        return None;
    }
    Some(Piece::Macro {
        letter: letter.to_ascii_lowercase(),
        escape: letter.is_ascii_uppercase(),
        parts,
        reverse,
        delimiters: rest.to_owned(),
    })
}

fn value(letter: u8, values: &Values<'_>, domain: &str, name: &str) -> String {
    let (local, sender_domain) =
        values.sender.rsplit_once('@').unwrap_or(("postmaster", values.sender));
    match letter {
        b's' => values.sender.to_owned(),
        b'l' => local.to_owned(),
        b'o' => sender_domain.to_owned(),
        b'd' => domain.to_owned(),
        b'h' => values.helo.to_owned(),
        b'i' => match values.client {
            IpAddr::V4(address) => address.to_string(),
            // In upper case, as the test suite wants it; for names it is the same.
            IpAddr::V6(_) => reversed(values.client).to_uppercase().chars().rev().collect(),
        },
        b'c' => values.client.to_string(),
        b'p' => name.to_owned(),
        b'v' if values.client.is_ipv4() => "in-addr".to_owned(),
        b'v' => "ip6".to_owned(),
        b'r' => values.receiver.to_owned(),
        b't' => values.now.to_string(),
        _ => String::new(),
    }
}

fn transformed(value: &str, parts: Option<usize>, reverse: bool, delimiters: &str) -> String {
    if parts.is_none() && !reverse && delimiters.is_empty() {
        return value.to_owned();
    }
    let delimiters = if delimiters.is_empty() { "." } else { delimiters };
    let mut pieces: Vec<&str> = value.split(|letter| delimiters.contains(letter)).collect();
    if reverse {
        pieces.reverse();
    }
    let skip = parts.map_or(0, |parts| pieces.len().saturating_sub(parts));
    pieces.get(skip..).unwrap_or_default().join(".")
}

/// As in a URL (RFC 3986 section 2).
fn escaped(octet: u8) -> String {
    match octet {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(octet).to_string()
        }
        _ => format!("%{octet:02X}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(text: &str, client: &str) -> Option<String> {
        let values = Values {
            sender: "strong-bad@email.example.com",
            helo: "mx.example.org",
            client: client.parse().unwrap(),
            receiver: "us.test",
            now: 7,
        };
        Some(Text::parse(text, true)?.expand(&values, "email.example.com", "unknown"))
    }

    /// The examples of RFC 7208 section 7.4.
    #[test]
    fn the_examples_of_the_standard_come_out() {
        for (text, want) in [
            ("%{s}", "strong-bad@email.example.com"),
            ("%{o}", "email.example.com"),
            ("%{d4}", "email.example.com"),
            ("%{d2}", "example.com"),
            ("%{d1}", "com"),
            ("%{dr}", "com.example.email"),
            ("%{d2r}", "example.email"),
            ("%{l}", "strong-bad"),
            ("%{l-}", "strong.bad"),
            ("%{lr}", "strong-bad"),
            ("%{lr-}", "bad.strong"),
            ("%{l1r-}", "strong"),
            ("%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"),
            ("%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"),
            ("%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net"),
            ("a%%b%_c%-d", "a%b c%20d"),
            ("%{S}", "strong-bad%40email.example.com"),
        ] {
            assert_eq!(expand(text, "192.0.2.3").as_deref(), Some(want), "{text}");
        }
        assert_eq!(
            expand("%{ir}.%{v}._spf.%{d2}", "2001:db8::cb01").unwrap(),
            "1.0.B.C.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.B.D.0.1.0.0.2.ip6._spf.example.com"
        );
        for text in ["%", "%x", "%{", "%{}", "%{s", "%{q}", "%{d0}", "%{d2x}", "100%"] {
            assert_eq!(expand(text, "192.0.2.3"), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_fail(text in ".{0,60}", macros in "[%{}a-zA-Z0-9.+/=-]{0,60}") {
            let _ = expand(&text, "192.0.2.3");
            let _ = expand(&macros, "::1");
        }
    }
}
