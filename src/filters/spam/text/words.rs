//! Encoded words of headers (RFC 2047), to UTF-8 octets, as SpamAssassin reads them.
//!
//! `crate::mime::words` does the same for people and attachment names, and cannot stand in here: it knows more
//! charset names, takes any token for one, joins words over a missing blank, and reads base64 and malformed octets
//! more kindly. Rules were tuned to what is left undecoded.

use super::{charset, transfer};

/// Decodes an unfolded value. `name` is the field's, in lower case: in some fields no encoded word may stand, so that
/// what looks like one is meant as it is written.
pub(crate) fn decode(value: &[u8], name: &[u8]) -> Vec<u8> {
    let mut value: Vec<u8> = without_line_ends(value);
    if !value.is_ascii() {
        value = charset::of_header(&value).into_owned();
    }
    if never_encoded(name) || memchr::memmem::find(&value, b"=?").is_none() {
        return value;
    }
    let mut out = Vec::with_capacity(value.len());
    // Neighbours of one charset are joined before they are read: senders cut characters in two.
    let mut pending: Option<(Vec<u8>, Vec<u8>)> = None;
    let mut rest = value.as_slice();
    while !rest.is_empty() {
        if let Some(word) = Word::read(rest) {
            let octets = word.octets();
            let charset = word.charset.to_ascii_lowercase();
            match &mut pending {
                Some((last, joined)) if *last == charset => joined.extend(octets),
                _ => {
                    flush(&mut pending, &mut out);
                    pending = Some((charset, octets));
                }
            }
            rest = rest.get(word.length..).unwrap_or_default();
            rest = without_blanks_before_a_word(rest);
            continue;
        }
        flush(&mut pending, &mut out);
        let skipped = memchr::memchr(b'=', rest.get(1..).unwrap_or_default());
        let length = skipped.map_or(rest.len(), |at| at + 1);
        let (plain, behind) = rest.split_at_checked(length).unwrap_or((rest, &[]));
        out.extend_from_slice(plain);
        rest = behind;
    }
    flush(&mut pending, &mut out);
    out
}

/// White space between two words falls away.
fn without_blanks_before_a_word(rest: &[u8]) -> &[u8] {
    let blanks = rest.iter().position(|octet| !super::perl::is_space(*octet)).unwrap_or(0);
    let behind = rest.get(blanks..).unwrap_or_default();
    if blanks > 0 && Word::read(behind).is_some() { behind } else { rest }
}

fn without_line_ends(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    for (place, octet) in value.iter().enumerate() {
        let next = value.get(place + 1);
        match octet {
            b'\n' => {}
            b'\r' if next == Some(&b'\n') => {}
            // A fold's tab becomes a blank.
            b'\t' if place > 0 && value.get(place - 1) == Some(&b'\n') => out.push(b' '),
            other => out.push(*other),
        }
    }
    out
}

fn flush(pending: &mut Option<(Vec<u8>, Vec<u8>)>, out: &mut Vec<u8>) {
    if let Some((charset, octets)) = pending.take() {
        // RFC 2231 section 5 puts a language behind the charset: `utf-8*en`.
        let charset = charset.split(|octet| *octet == b'*').next().unwrap_or_default();
        out.extend(charset::of_word(octets, &String::from_utf8_lossy(charset)));
    }
}

/// Fields in which encoded words are not decoded.
fn never_encoded(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 8] = [
        b"received",
        b"message-id",
        b"date",
        b"resent-message-id",
        b"resent-date",
        b"mime-version",
        b"references",
        b"in-reply-to",
    ];
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known))
        || name.get(..5).is_some_and(|head| head.eq_ignore_ascii_case(b"list-"))
}

struct Word<'w> {
    charset: &'w [u8],
    base64: bool,
    data: &'w [u8],
    /// Octets of the whole word as it was written.
    length: usize,
}

impl<'w> Word<'w> {
    /// Reads `=?charset?B?…?=` at the start of the text.
    fn read(text: &'w [u8]) -> Option<Self> {
        let body = text.strip_prefix(b"=?")?;
        let token =
            |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'*' | b'_' | b'-');
        let charset_length = body.iter().position(|octet| !token(octet))?;
        let charset = body.get(..charset_length).filter(|charset| !charset.is_empty())?;
        let [b'?', coding @ (b'b' | b'B' | b'q' | b'Q'), b'?', data @ ..] =
            body.get(charset_length..)?
        else {
            return None;
        };
        let data_length = memchr::memchr(b'?', data)?;
        if data.get(data_length + 1) != Some(&b'=') {
            return None;
        }
        Some(Self {
            charset,
            base64: matches!(coding, b'b' | b'B'),
            data: data.get(..data_length)?,
            length: 2 + charset_length + 3 + data_length + 2,
        })
    }

    fn octets(&self) -> Vec<u8> {
        if self.base64 {
            return transfer::base64(self.data);
        }
        let mut data = Vec::with_capacity(self.data.len());
        for octet in self.data {
            match octet {
                b'_' => data.extend(b"=20"),
                other => data.push(*other),
            }
        }
        transfer::quoted_printable(&data)
    }
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
            ("=?utf.8?Q?a?=", "=?utf.8?Q?a?="),
            ("a =?utf-8?Q?b?=c", "a bc"),
            ("a == =?utf-8?Q?b?=", "a == b"),
        ] {
            let got = decode(value.as_bytes(), b"subject");
            assert_eq!(String::from_utf8(got).unwrap(), want, "{value}");
        }
        assert_eq!(decode(b"caf\xe9", b"subject"), "café".as_bytes());
        assert_eq!(decode(b"=?utf-8?Q?a?=", b"list-id"), b"=?utf-8?Q?a?=");
    }

    proptest! {
        #[test]
        fn no_octets_make_it_fail(value in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&value, b"subject");
        }

        #[test]
        fn no_words_make_it_fail(value in "(=\\?|utf-8|\\?[bqB]\\?|\\?=|[a-f0-9=]| ){0,60}") {
            let _ = decode(value.as_bytes(), b"subject");
        }
    }
}
