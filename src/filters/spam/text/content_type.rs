//! `Content-Type` as SpamAssassin reads it (its rules know what readers forgive, RFC 2045 section 5 does not).

use std::sync::LazyLock;

use regex::bytes::Regex;

use super::perl;

/// What it says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::filters::spam) struct ContentType {
    /// `text/html`, in lower case; any kind of text that is not known by name is `text/plain`. May be empty.
    pub(in crate::filters::spam) kind: String,
    pub(in crate::filters::spam) boundary: Option<Vec<u8>>,
    pub(in crate::filters::spam) charset: Option<String>,
    pub(in crate::filters::spam) name: Option<String>,
    /// It was not there, or says nothing.
    pub(in crate::filters::spam) missing: bool,
}

static BOUNDARY: LazyLock<Option<Regex>> =
    LazyLock::new(|| new(r#"\bboundary\s*=\s*(?:"([^"]+)|([^\s";]+)(?:[\s;]|\z))"#));
static CHARSET: LazyLock<Option<Regex>> =
    LazyLock::new(|| new(r#"\bcharset\s*=\s*["']?(.*?)["']?(?:;|\n?\z)"#));
static NAME: LazyLock<Option<Regex>> =
    LazyLock::new(|| new(r#"\b(?:file)?name\s*=\s*["']?(.*?)["']?(?:;|\n?\z)"#));
static PIECE: LazyLock<Option<Regex>> =
    LazyLock::new(|| new(r#"\b(?:file)?name\*([0-9]{1,3})\s*=\s*["']?(.*?)["']?(?:;|\n?\z)"#));
static DISPOSITION_NAME: LazyLock<Option<Regex>> = LazyLock::new(|| new(r#"name=\s*"?([^";]+)"#));

fn new(pattern: &str) -> Option<Regex> {
    Regex::new(&format!("(?i-u){pattern}")).ok()
}

fn first(regex: &LazyLock<Option<Regex>>, value: &[u8]) -> Option<String> {
    let found = regex.as_ref()?.captures(value)?;
    Some(String::from_utf8_lossy(found.get(1)?.as_bytes()).into_owned())
}

impl ContentType {
    /// Reads a decoded value; `None`: there is no such field. Of several the last one is meant.
    pub(in crate::filters::spam) fn read(value: Option<&[u8]>) -> Self {
        let value = value.filter(|value| !value.is_empty() && *value != b"0");
        let text = value.unwrap_or(b"text/plain; charset=us-ascii");
        let boundary = BOUNDARY.as_ref().and_then(|regex| regex.captures(text));
        let boundary = boundary.and_then(|found| found.get(1).or_else(|| found.get(2)));
        let boundary = boundary.map(|found| found.as_bytes().to_vec());
        let name = first(&NAME, text);
        let name = match name {
            Some(name) if !name.is_empty() && name != "0" => Some(name),
            other => pieces(text).or(other),
        };
        let mut out = Self {
            kind: kind(text),
            boundary,
            charset: first(&CHARSET, text),
            name,
            missing: value.is_none(),
        };
        if out.kind.is_empty() {
            out.missing = true;
        }
        let known = ["text/x-vcard", "text/calendar", "text/html"];
        let behind = out.kind.strip_prefix("text").map(|rest| rest.as_bytes().first().copied());
        let is_text = behind.is_some_and(|next| {
            !next.is_some_and(|octet| octet.is_ascii_alphanumeric() || octet == b'_')
        });
        if out.kind.is_empty() || (is_text && !known.contains(&out.kind.as_str())) {
            out.kind = "text/plain".to_owned();
        }
        out.kind.retain(|letter| {
            matches!(letter, '!'..='~')
                && !matches!(letter, '"' | '(' | ')' | ',' | ':'..='@' | '['..=']')
        });
        out
    }
}

/// A name in pieces: `name*0=a; name*1=b` (RFC 2231 section 3).
fn pieces(text: &[u8]) -> Option<String> {
    let mut all: Vec<(u16, String)> = Vec::new();
    for found in PIECE.as_ref()?.captures_iter(text) {
        let place = std::str::from_utf8(found.get(1)?.as_bytes()).ok()?.parse().ok()?;
        all.push((place, String::from_utf8_lossy(found.get(2)?.as_bytes()).into_owned()));
    }
    // The same place again replaces what stood there.
    all.sort_by_key(|(place, _)| *place);
    all.reverse();
    all.dedup_by_key(|(place, _)| *place);
    all.reverse();
    all.first().filter(|(place, _)| *place == 0)?;
    Some(all.into_iter().map(|(_, piece)| piece).collect())
}

/// The part before the first `;`, at most two words with a slash between.
fn kind(text: &[u8]) -> String {
    let start = text.iter().position(|octet| !perl::is_space(*octet)).unwrap_or(text.len());
    let text = text.get(start..).unwrap_or_default();
    let text = text.split(|octet| *octet == b';').next().unwrap_or_default();
    let end = match memchr::memchr(b'/', text) {
        Some(0) | None => text.len(),
        Some(slash) => {
            let sub = text.get(slash + 1..).unwrap_or_default();
            let length = sub.iter().position(|octet| perl::is_space(*octet));
            slash + 1 + length.unwrap_or(sub.len())
        }
    };
    String::from_utf8_lossy(text.get(..end).unwrap_or_default()).to_ascii_lowercase()
}

/// The name that a decoded `Content-Disposition` gives.
pub(super) fn disposition_name(value: &[u8]) -> Option<String> {
    first(&DISPOSITION_NAME, value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_senders_write_is_understood() {
        let read = |text: &str| ContentType::read(Some(text.as_bytes()));
        for (text, kind) in [
            ("text/html; charset=x", "text/html"),
            ("TEXT/HTML charset=x", "text/html"),
            ("text/enriched", "text/plain"),
            ("text", "text/plain"),
            ("textual/x", "textual/x"),
            ("text/calendar", "text/calendar"),
            ("; charset=x", "text/plain"),
            ("image/(x)gif", "image/xgif"),
        ] {
            assert_eq!(read(text).kind, kind, "{text}");
        }
        for (text, boundary) in [
            ("multipart/mixed; boundary=abc", Some("abc")),
            ("multipart/mixed; boundary = \"a b;c\"", Some("a b;c")),
            ("multipart/mixed; boundary=\"abc", Some("abc")),
            ("multipart/mixed; boundary=ab;x=y", Some("ab")),
            ("multipart/mixed; boundary=", None),
        ] {
            assert_eq!(read(text).boundary.as_deref(), boundary.map(str::as_bytes), "{text}");
        }
        assert_eq!(read("text/plain; charset=\"utf-8\"").charset.as_deref(), Some("utf-8"));
        assert_eq!(read("text/plain; charset='utf-8' ; x").charset.as_deref(), Some("utf-8' "));
        assert_eq!(read("a/b; name=\"x.htm\"").name.as_deref(), Some("x.htm"));
        assert_eq!(read("a/b; name*0=\"x.\"; name*1=htm").name.as_deref(), Some("x.htm"));
        assert!(ContentType::read(None).missing);
        assert_eq!(disposition_name(b"attachment; filename=\"a b\"").as_deref(), Some("a b"));
    }

    proptest! {
        #[test]
        fn no_octets_make_it_fail(value in proptest::collection::vec(any::<u8>(), 0..200)) {
            let read = ContentType::read(Some(&value));
            prop_assert!(read.kind.is_ascii());
        }
    }
}
