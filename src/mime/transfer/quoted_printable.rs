//! Quoted-printable (RFC 2045 section 6.7), tolerant.

use bytes::Bytes;
use memchr::{memchr, memchr2};

use super::Decoded;
use crate::mail::DefectCode;

/// Decodes; what is no escape stays as it stands, and in another reading falls away. Blanks before line ends fall away.
pub(super) fn decode(octets: &Bytes) -> Decoded {
    if memchr(b'=', octets).is_none() && !has_trailing_blanks(octets) {
        return Decoded { data: octets.clone(), ..Decoded::default() };
    }
    let (data, bad) = decode_as(octets, true);
    if !bad {
        return Decoded { data: data.into(), ..Decoded::default() };
    }
    let (dropped, _) = decode_as(octets, false);
    Decoded {
        data: data.into(),
        others: vec![dropped.into()],
        odd: vec![DefectCode::BadQuotedPrintable],
        ..Decoded::default()
    }
}

/// The octets, and whether there was a `=` that is no escape. If it is not kept, it and the two octets that should be
/// digits are left out, up to the next `=` or the end of the line.
fn decode_as(octets: &[u8], keeps_bad: bool) -> (Vec<u8>, bool) {
    let mut data = Vec::with_capacity(octets.len());
    let mut bad = false;
    let mut rest = octets;
    // Blanks put out by an escape are meant; those behind this mark are not.
    let mut literal_from = 0;
    while let Some(at) = memchr2(b'=', b'\n', rest) {
        let (head, tail) = rest.split_at(at);
        data.extend_from_slice(head);
        match tail {
            [b'\n', behind @ ..] => {
                drop_blanks(&mut data, literal_from);
                data.push(b'\n');
                rest = behind;
            }
            [b'=', high, low, behind @ ..] if hex(*high).is_some() && hex(*low).is_some() => {
                data.push(hex(*high).unwrap_or(0) << 4 | hex(*low).unwrap_or(0));
                literal_from = data.len();
                rest = behind;
            }
            [b'=', behind @ ..] => match soft_break(behind) {
                Some(length) => rest = behind.get(length..).unwrap_or_default(),
                None => {
                    bad = true;
                    rest = behind;
                    if keeps_bad {
                        data.push(b'=');
                    } else {
                        let two = behind.iter().take(2);
                        let skip = two.take_while(|o| !matches!(o, b'=' | b'\r' | b'\n')).count();
                        rest = behind.get(skip..).unwrap_or_default();
                    }
                }
            },
            _ => break,
        }
    }
    data.extend_from_slice(rest);
    (data, bad)
}

fn has_trailing_blanks(octets: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', octets).any(|at| {
        let line = octets.get(..at).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        matches!(line.last(), Some(b' ' | b'\t'))
    })
}

/// Takes away the blanks before the line end that `data` ends with, CR or not.
fn drop_blanks(data: &mut Vec<u8>, literal_from: usize) {
    let cr = data.len() > literal_from && data.last() == Some(&b'\r');
    if cr {
        data.pop();
    }
    while data.len() > literal_from && matches!(data.last(), Some(b' ' | b'\t')) {
        data.pop();
    }
    if cr {
        data.push(b'\r');
    }
}

/// The length of blanks and line end behind a `=` that stands at the end of a line, or of the data.
fn soft_break(behind: &[u8]) -> Option<usize> {
    let blanks = behind.iter().take_while(|octet| matches!(octet, b' ' | b'\t')).count();
    match behind.get(blanks..).unwrap_or_default() {
        [] => Some(blanks),
        [b'\r', b'\n', ..] => Some(blanks + 2),
        [b'\n' | b'\r', ..] => Some(blanks + 1),
        _ => None,
    }
}

fn hex(octet: u8) -> Option<u8> {
    match octet {
        b'0'..=b'9' => Some(octet - b'0'),
        b'a'..=b'f' => Some(octet - b'a' + 10),
        b'A'..=b'F' => Some(octet - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(octets: &str, want: &str, bad: bool) {
        let got = decode(&Bytes::copy_from_slice(octets.as_bytes()));
        assert_eq!(String::from_utf8_lossy(&got.data), want, "{octets:?}");
        assert_eq!(!got.odd.is_empty(), bad, "{octets:?}");
    }

    #[test]
    fn quoted_printable_is_decoded_whatever_is_odd() {
        check("a=3Db", "a=b", false);
        check("a=3db", "a=b", false);
        check("a=\r\nb", "ab", false);
        check("a= \t\r\nb", "ab", false);
        check("a=\nb=\rc", "abc", false);
        check("a=", "a", false);
        check("=ZZ=41", "=ZZA", true);
        check("a  \r\nb \nc ", "a\r\nb\nc ", false);
        check("a=20\r\nb", "a \r\nb", false);
        check("=0D \n", "\r\n", false);
    }

    #[test]
    fn what_is_no_escape_falls_away_in_another_reading() {
        for octets in ["=0X=41", "=0=41", "=  =41", "=ZZ=41", "=G=\r\n=41"] {
            let got = decode(&Bytes::copy_from_slice(octets.as_bytes()));
            assert_eq!(got.others, ["A"], "{octets:?}");
        }
        assert!(decode(&"=41".into()).others.is_empty());
    }

    #[test]
    fn plain_text_is_not_copied() {
        let octets = Bytes::from_static(b"one\r\ntwo\r\n");
        assert_eq!(decode(&octets).data.as_ptr(), octets.as_ptr());
    }

    proptest! {
        #[test]
        fn what_was_encoded_comes_back(data: Vec<u8>) {
            let mut text = String::new();
            for (index, octet) in data.iter().enumerate() {
                text.push_str(&format!("={octet:02X}"));
                if index % 20 == 19 {
                    text.push_str("=\r\n");
                }
            }
            prop_assert_eq!(&decode(&text.into()).data[..], &data[..]);
        }

        #[test]
        fn no_octets_make_it_fail(data in proptest::collection::vec(
            prop_oneof![Just(b'='), Just(b' '), Just(b'\r'), Just(b'\n'), any::<u8>()], 0..200)) {
            prop_assert!(decode(&data.clone().into()).data.len() <= data.len());
        }
    }
}
