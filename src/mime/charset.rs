//! Octets in some charset to text.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};
use mail_parser::decoders::charsets::map::charset_decoder;

use crate::mail::DefectCode;

/// Decodes `octets`. Malformed octets become U+FFFD; an unknown charset is read as UTF-8 if it is that, else as
/// windows-1252.
pub(super) fn decode<'a>(
    octets: &'a [u8],
    charset: Option<&str>,
) -> (Cow<'a, str>, Option<DefectCode>) {
    let label = charset.unwrap_or("us-ascii").trim();
    if is_undeclared(label) {
        return (guess(octets), None);
    }
    if is_utf_16(label)
        && let Some(encoding) = byte_order(octets)
    {
        let (text, _, bad) = encoding.decode(octets);
        return (text, bad.then_some(DefectCode::BadCharset));
    }
    if let Some(encoding) = Encoding::for_label_no_replacement(label.as_bytes()) {
        let (text, _, bad) = encoding.decode(octets);
        return (text, bad.then_some(DefectCode::BadCharset));
    }
    // Of these the decoders here make nothing at all, but readers show at least what is ASCII in them.
    let shown_by_others = Encoding::for_label(label.as_bytes()) == Some(encoding_rs::REPLACEMENT);
    match charset_decoder(label.as_bytes()) {
        Some(decoder) if label.len() <= 45 && !shown_by_others => {
            (Cow::Owned(decoder(octets)), None)
        }
        _ => (guess(octets), Some(DefectCode::UnknownCharset)),
    }
}

/// Labels of UTF-16 that leave the order of octets open (RFC 2781 section 3.3).
fn is_utf_16(label: &str) -> bool {
    ["utf-16", "utf16", "ucs-2", "iso-10646-ucs-2", "csunicode", "unicode"]
        .iter()
        .any(|known| label.eq_ignore_ascii_case(known))
}

/// True for charsets in which the letters of ASCII are not its octets: who looks for them in the octets finds nothing.
pub(super) fn is_wide(label: &str) -> bool {
    let label = label.trim().to_ascii_lowercase();
    is_utf_16(&label)
        || ["utf-16", "utf-32", "utf-7", "ucs-", "unicode-1-1", "csucs"]
            .iter()
            .any(|start| label.starts_with(start))
}

/// Labels that say nothing about octets over 127.
fn is_undeclared(label: &str) -> bool {
    ["us-ascii", "ascii", "", "unknown-8bit", "x-unknown", "default", "8bit", "7bit", "binary"]
        .iter()
        .any(|known| label.eq_ignore_ascii_case(known))
}

/// UTF-8 if it is that, else windows-1252.
pub(super) fn guess(octets: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(octets) {
        Ok(text) => Cow::Borrowed(text.strip_prefix('\u{feff}').unwrap_or(text)),
        Err(_) => UTF_8
            .decode_without_bom_handling_and_without_replacement(octets)
            .unwrap_or_else(|| WINDOWS_1252.decode_without_bom_handling(octets).0),
    }
}

/// Octets of a page whose charset nobody declared: UTF-16 by its mark or by where its NULs stand; single NULs are
/// left out, as readers do.
pub(crate) fn of_page(octets: &[u8]) -> Cow<'_, str> {
    match byte_order(octets) {
        Some(encoding) => encoding.decode(octets).0,
        None => without_nuls(guess(octets)),
    }
}

/// The kind of UTF-16 by its mark, or by where its NULs stand.
fn byte_order(octets: &[u8]) -> Option<&'static Encoding> {
    const SAMPLE_BYTES: usize = 4096;
    let head = octets.get(..octets.len().min(SAMPLE_BYTES)).unwrap_or_default();
    let nuls = |odd: usize| {
        head.iter().skip(odd).step_by(2).filter(|octet| **octet == 0).count().saturating_mul(5)
    };
    let (even, odd) = (nuls(0), nuls(1));
    match octets {
        [0xff, 0xfe, ..] => Some(UTF_16LE),
        [0xfe, 0xff, ..] => Some(UTF_16BE),
        _ if odd > head.len() && odd > even.saturating_mul(4) => Some(UTF_16LE),
        _ if even > head.len() && even > odd.saturating_mul(4) => Some(UTF_16BE),
        _ => None,
    }
}

/// The text without its NULs.
pub(super) fn without_nuls(text: Cow<'_, str>) -> Cow<'_, str> {
    match memchr::memchr(0, text.as_bytes()) {
        Some(_) => Cow::Owned(text.replace('\0', "")),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charsets_whose_letters_are_not_octets_are_known() {
        for label in ["UTF-16LE", "utf-16", "utf-7", "UTF-32BE", "ucs-2", "unicode-1-1-utf-7"] {
            assert!(is_wide(label), "{label}");
        }
        for label in ["utf-8", "us-ascii", "windows-1252", "koi8-u", "iso-8859-1"] {
            assert!(!is_wide(label), "{label}");
        }
    }

    #[test]
    fn text_is_read_in_its_charset() {
        type Row = (&'static [u8], Option<&'static str>, &'static str, Option<DefectCode>);
        let table: &[Row] = &[
            (b"abc", None, "abc", None),
            ("é".as_bytes(), None, "é", None),
            (b"\xe9", None, "é", None),
            (b"\xc1", Some("koi8-r"), "а", None),
            (b"a\0b\0", Some("utf-16le"), "ab", None),
            (b"\xff\xfea\0b\0", Some("utf-16"), "ab", None),
            (b"\0a\0b", Some("utf-16"), "ab", None),
            (b"a\0b\0", Some("UTF-16"), "ab", None),
            (b"+AGE-", Some("utf-7"), "a", None),
            (b"\xe9", Some("utf-8"), "\u{fffd}", Some(DefectCode::BadCharset)),
            (b"abc", Some("hz-gb-2312"), "abc", Some(DefectCode::UnknownCharset)),
            (b"abc", Some("ISO-2022-KR"), "abc", Some(DefectCode::UnknownCharset)),
            (b"abc", Some("x-no-such"), "abc", Some(DefectCode::UnknownCharset)),
        ];
        for (octets, charset, want, defect) in table {
            let (text, odd) = decode(octets, *charset);
            assert_eq!((&*text, odd), (*want, *defect), "{octets:?} {charset:?}");
        }
    }

    #[test]
    fn a_page_is_read_without_a_declared_charset() {
        let wide = |text: &str, big: bool| -> Vec<u8> {
            let octets = |unit: u16| if big { unit.to_be_bytes() } else { unit.to_le_bytes() };
            text.encode_utf16().flat_map(octets).collect()
        };
        let page = "<html><a href=x>é</a>";
        for octets in [
            page.as_bytes().to_vec(),
            wide(page, false),
            wide(page, true),
            [b"\xff\xfe".to_vec(), wide(page, false)].concat(),
            page.replace('h', "\0h").into_bytes(),
        ] {
            assert_eq!(of_page(&octets), page, "{octets:?}");
        }
    }
}
