//! Encoded words of headers (RFC 2047), to UTF-8 octets.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use encoding_rs::{Encoding, WINDOWS_1252};

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Decodes the encoded words of an unfolded value. White space between two of them is dropped, neighbours of one
/// charset are joined before they are read, and octets that are no UTF-8 are taken for Windows-1252.
pub(crate) fn decode(value: &[u8]) -> Vec<u8> {
    if memchr::memmem::find(value, b"=?").is_none() {
        return to_utf8(value, None);
    }
    let mut out = Vec::with_capacity(value.len());
    let mut pending: Option<(String, Vec<u8>)> = None;
    let mut rest = value;
    while let Some(start) = memchr::memmem::find(rest, b"=?") {
        let (before, from) = rest.split_at_checked(start).unwrap_or((rest, &[]));
        let Some(word) = Word::read(from) else {
            flush(&mut pending, &mut out);
            let (plain, behind) = rest.split_at_checked(start + 2).unwrap_or((rest, &[]));
            out.extend(to_utf8(plain, None));
            rest = behind;
            continue;
        };
        if pending.is_none() || !before.trim_ascii().is_empty() {
            flush(&mut pending, &mut out);
            out.extend(to_utf8(before, None));
        }
        match &mut pending {
            Some((charset, octets)) if *charset == word.charset => octets.extend(word.octets),
            _ => {
                flush(&mut pending, &mut out);
                pending = Some((word.charset, word.octets));
            }
        }
        rest = from.get(word.length..).unwrap_or_default();
    }
    flush(&mut pending, &mut out);
    out.extend(to_utf8(rest, None));
    out
}

fn flush(pending: &mut Option<(String, Vec<u8>)>, out: &mut Vec<u8>) {
    if let Some((charset, octets)) = pending.take() {
        out.extend(to_utf8(&octets, Some(&charset)));
    }
}

/// UTF-8 if it is UTF-8, else by the charset, else Windows-1252.
fn to_utf8(octets: &[u8], charset: Option<&str>) -> Vec<u8> {
    let declared = charset.and_then(|label| Encoding::for_label(label.as_bytes()));
    let shifting = declared.is_some_and(|encoding| !encoding.is_ascii_compatible());
    if !shifting && std::str::from_utf8(octets).is_ok() {
        return octets.to_vec();
    }
    let encoding = declared.unwrap_or(WINDOWS_1252);
    encoding.decode_without_bom_handling(octets).0.into_owned().into_bytes()
}

struct Word {
    charset: String,
    octets: Vec<u8>,
    /// Octets of the whole word as it was written.
    length: usize,
}

impl Word {
    /// Reads `=?charset?B?…?=` at the start of the text.
    fn read(text: &[u8]) -> Option<Self> {
        let body = text.strip_prefix(b"=?")?;
        let charset_end = memchr::memchr(b'?', body.get(..body.len().min(80))?)?;
        let charset = body.get(..charset_end)?;
        if charset.is_empty() || !charset.iter().all(u8::is_ascii_graphic) {
            return None;
        }
        let coding = body.get(charset_end + 1)?.to_ascii_uppercase();
        let data = body.get(charset_end + 2..)?.strip_prefix(b"?")?;
        let data_end = memchr::memchr(b'?', data)?;
        if data.get(data_end + 1) != Some(&b'=') {
            return None;
        }
        let data = data.get(..data_end)?;
        let octets = match coding {
            b'B' => base64(data),
            b'Q' => quoted(data),
            _ => return None,
        };
        // RFC 2231 section 5 puts a language behind the charset: `utf-8*en`.
        let charset = charset.split(|octet| *octet == b'*').next().unwrap_or(charset);
        Some(Self {
            charset: String::from_utf8_lossy(charset).to_ascii_lowercase(),
            octets,
            length: 2 + charset_end_to_data(charset_end) + data_end + 2,
        })
    }
}

/// Octets between the end of `=?` and the first octet of the data.
fn charset_end_to_data(charset_end: usize) -> usize {
    charset_end + 3
}

fn base64(data: &[u8]) -> Vec<u8> {
    let mut clean: Vec<u8> = data
        .iter()
        .copied()
        .filter(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'/'))
        .collect();
    if clean.len() % 4 == 1 {
        clean.pop();
    }
    LENIENT.decode(clean).unwrap_or_default()
}

fn quoted(data: &[u8]) -> Vec<u8> {
    let digit = |octet: Option<&u8>| octet.and_then(|octet| char::from(*octet).to_digit(16));
    let mut out = Vec::with_capacity(data.len());
    let mut at = 0;
    while let Some(octet) = data.get(at) {
        at += 1;
        match octet {
            b'_' => out.push(b' '),
            b'=' => match (digit(data.get(at)), digit(data.get(at + 1))) {
                (Some(high), Some(low)) => {
                    out.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                    at += 2;
                }
                _ => out.push(b'='),
            },
            _ => out.push(*octet),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_are_decoded_and_the_rest_stays() {
        for (value, want) in [
            ("plain", "plain"),
            ("=?utf-8?Q?a_b=3D?= c", "a b= c"),
            ("=?utf-8?B?w6k=?=", "é"),
            ("=?utf-8?B?w6k?=", "é"),
            ("=?utf-8?Q?a?=  =?utf-8?Q?b?= c", "ab c"),
            // A character cut in two by neighbouring words.
            ("=?utf-8?Q?=C3?= =?utf-8?Q?=A9?=", "é"),
            ("=?iso-8859-1?Q?=E9?=", "é"),
            ("=?utf-8*en?Q?x?=", "x"),
            ("=?broken", "=?broken"),
            ("=?utf-8?X?a?=", "=?utf-8?X?a?="),
            ("a =?utf-8?Q?b?=c", "a bc"),
        ] {
            assert_eq!(String::from_utf8(decode(value.as_bytes())).unwrap(), want, "{value}");
        }
        assert_eq!(decode(b"caf\xe9"), "café".as_bytes());
    }

    proptest! {
        #[test]
        fn any_octets_become_utf8(value in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(String::from_utf8(decode(&value)).is_ok());
        }
    }
}
