//! Octets in some charset to text.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};
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
    if let Some(encoding) = Encoding::for_label_no_replacement(label.as_bytes()) {
        let (text, _, bad) = encoding.decode(octets);
        return (text, bad.then_some(DefectCode::BadCharset));
    }
    match charset_decoder(label.as_bytes()) {
        Some(decoder) if label.len() <= 45 => (Cow::Owned(decoder(octets)), None),
        _ => (guess(octets), Some(DefectCode::UnknownCharset)),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

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
            (b"+AGE-", Some("utf-7"), "a", None),
            (b"\xe9", Some("utf-8"), "\u{fffd}", Some(DefectCode::BadCharset)),
            (b"abc", Some("x-no-such"), "abc", Some(DefectCode::UnknownCharset)),
        ];
        for (octets, charset, want, defect) in table {
            let (text, odd) = decode(octets, *charset);
            assert_eq!((&*text, odd), (*want, *defect), "{octets:?} {charset:?}");
        }
    }
}
