//! Transfer decoding the way SpamAssassin does it: malformed input gives what its two decoders make of it.

use crate::filters::spam::text::perl;

/// Quoted-printable: blanks before line ends fall away, soft line ends are joined, what is no escape stays.
pub(super) fn quoted_printable(octets: &[u8]) -> Vec<u8> {
    let trimmed = without_trailing_blanks(octets);
    let digit = |octet: Option<&u8>| octet.and_then(|octet| char::from(*octet).to_digit(16));
    let mut out = Vec::with_capacity(trimmed.len());
    let mut rest = trimmed.as_slice();
    while let Some(place) = memchr::memchr(b'=', rest) {
        let (before, from) = rest.split_at_checked(place).unwrap_or((rest, &[]));
        out.extend_from_slice(before);
        let after = from.get(1..).unwrap_or_default();
        let soft = after.strip_prefix(b"\n").or_else(|| after.strip_prefix(b"\r\n"));
        rest = match (soft, digit(after.first()), digit(after.get(1))) {
            (Some(behind), ..) => behind,
            (None, Some(high), Some(low)) => {
                out.push(u8::try_from(high << 4 | low).unwrap_or(b'?'));
                after.get(2..).unwrap_or_default()
            }
            _ => {
                out.push(b'=');
                after
            }
        };
    }
    out.extend_from_slice(rest);
    out
}

fn without_trailing_blanks(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len());
    for line in octets.split_inclusive(|octet| *octet == b'\n') {
        let Some(body) = line.strip_suffix(b"\n") else {
            out.extend_from_slice(line);
            break;
        };
        let (body, end): (&[u8], &[u8]) = match body.strip_suffix(b"\r") {
            Some(body) => (body, b"\r\n"),
            None => (body, b"\n"),
        };
        let kept = body.iter().rposition(|octet| !matches!(octet, b' ' | b'\t'));
        out.extend_from_slice(body.get(..kept.map_or(0, |at| at + 1)).unwrap_or_default());
        out.extend_from_slice(end);
    }
    out
}

/// Base64. What is clean is read as such; of the rest only the alphabet counts, and a stray `=` is read as `/`, which
/// is what the way through uuencode does there.
pub(super) fn base64(octets: &[u8]) -> Vec<u8> {
    let mut text: Vec<u8> =
        octets.iter().copied().filter(|octet| !perl::is_space(*octet)).collect();
    let known = |octet: &u8| *octet == b'=' || value(*octet).is_some();
    let clean = text.len() >= 2 && text.len().is_multiple_of(4) && text.iter().all(known);
    let stray = if clean { 0 } else { 63 };
    if !clean {
        text.retain(known);
    }
    let end = text.iter().rposition(|octet| *octet != b'=').map_or(0, |at| at + 1);
    text.truncate(end);
    if !clean && text.len() % 4 == 1 {
        text.pop();
    }
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 3);
    for group in text.chunks(4) {
        let mut bits = 0_u32;
        for place in 0..4 {
            let six = group.get(place).map_or(0, |octet| value(*octet).unwrap_or(stray));
            bits = bits << 6 | u32::from(six);
        }
        let [_, first, second, third] = bits.to_be_bytes();
        let count = (group.len() * 3) / 4;
        out.extend([first, second, third].iter().take(count));
    }
    out
}

fn value(octet: u8) -> Option<u8> {
    match octet {
        b'A'..=b'Z' => Some(octet - b'A'),
        b'a'..=b'z' => Some(octet - b'a' + 26),
        b'0'..=b'9' => Some(octet - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quoted_printable_is_read_forgivingly() {
        for (text, want) in [
            ("a=3Db", "a=b"),
            ("a=3db", "a=b"),
            ("a=\nb=\r\nc", "abc"),
            ("a  \nb\t\r\nc ", "a\nb\r\nc "),
            ("a= \nb", "ab"),
            ("=zz=", "=zz="),
        ] {
            assert_eq!(quoted_printable(text.as_bytes()), want.as_bytes(), "{text:?}");
        }
    }

    #[test]
    fn base64_is_read_clean_or_not() {
        for (text, want) in [
            ("YWJj", b"abc".as_slice()),
            ("YW\nJj", b"abc"),
            ("YWI=", b"ab"),
            ("YWI", b"ab"),
            ("YQ==", b"a"),
            ("YWJjY", b"abc"),
            ("YQ==YWJj", b"a\0\0abc"),
            ("Y!W?J-j", b"abc"),
            ("", b""),
        ] {
            assert_eq!(base64(text.as_bytes()), want, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_octets_make_it_fail(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(base64(&octets).len() <= octets.len());
            prop_assert!(quoted_printable(&octets).len() <= octets.len());
        }
    }
}
