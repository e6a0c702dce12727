//! Encoded words in header fields (RFC 2047), as kindly read as any mail program does.
//!
//! Spam rules were tuned to what SpamAssassin leaves undecoded, and see the text of `filters::spam::text::words`.

use std::borrow::Cow;

use memchr::memmem;

use super::{charset, transfer};
use crate::mail::DefectCode;

/// The text of a field's value: folds taken out, encoded words decoded, other octets read as UTF-8 or windows-1252.
///
/// Blanks between adjacent encoded words fall away; octets of adjacent words of one charset are joined before they
/// are decoded, since senders cut characters in two.
#[must_use]
pub fn decode(value: &[u8]) -> String {
    decode_with_defect(value).0
}

/// As [`decode`], and what is wrong with the words.
pub(super) fn decode_with_defect(value: &[u8]) -> (String, Option<DefectCode>) {
    let flat = unfold(value);
    if memmem::find(&flat, b"=?").is_none() {
        return (charset::guess(&flat).into_owned(), None);
    }
    let mut out = Output::default();
    let mut rest: &[u8] = &flat;
    // Behind the last `?=` no word ends, so none is looked for: each would be read to the end of the field.
    let last_end = memmem::rfind(&flat, b"?=").map_or(0, |at| flat.len() - at);
    while let Some(at) = memmem::find(rest, b"=?") {
        let (before, word) = rest.split_at(at);
        if word.len() <= last_end || last_end == 0 {
            out.defect = out.defect.or(Some(DefectCode::BadEncodedWord));
            break;
        }
        match read_word(word) {
            Some((word, length)) => {
                out.plain(before);
                out.word(&word);
                rest = rest.get(at + length..).unwrap_or_default();
            }
            None => {
                out.plain(rest.get(..at + 2).unwrap_or_default());
                rest = rest.get(at + 2..).unwrap_or_default();
                out.defect = out.defect.or(Some(DefectCode::BadEncodedWord));
            }
        }
    }
    out.plain(rest);
    out.end_words();
    (out.text, out.defect)
}

/// The value with its folds taken out: line ends fall away, the blanks behind them stay; outer blanks fall away.
pub(super) fn unfold(value: &[u8]) -> Cow<'_, [u8]> {
    let value = value.trim_ascii();
    if memchr::memchr2(b'\r', b'\n', value).is_none() {
        return Cow::Borrowed(value);
    }
    Cow::Owned(value.iter().copied().filter(|octet| !matches!(octet, b'\r' | b'\n')).collect())
}

struct Word<'a> {
    charset: &'a [u8],
    octets: Vec<u8>,
}

/// Reads `=?charset?B?text?=` at the start of `at`, and its length.
fn read_word(at: &[u8]) -> Option<(Word<'_>, usize)> {
    const CHARSET_MAX: usize = 80;
    let inner = at.strip_prefix(b"=?")?;
    let head = inner.get(..CHARSET_MAX.min(inner.len()))?;
    let charset_end = memchr::memchr(b'?', head)?;
    let charset = inner.get(..charset_end)?;
    if charset.is_empty() || charset.iter().any(u8::is_ascii_whitespace) {
        return None;
    }
    // RFC 2231 section 5: a language may follow the charset.
    let charset = charset.split(|octet| *octet == b'*').next()?;
    let [encoding, b'?', text @ ..] = inner.get(charset_end + 1..)? else { return None };
    let end = memmem::find(text, b"?=")?;
    let text = text.get(..end)?;
    let octets = match encoding {
        b'b' | b'B' => transfer::base64_word(text),
        b'q' | b'Q' => q_word(text),
        _ => return None,
    };
    Some((Word { charset, octets }, 2 + charset_end + 3 + end + 2))
}

fn q_word(text: &[u8]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((octet, behind)) = rest.split_first() {
        rest = behind;
        octets.push(match octet {
            b'_' => b' ',
            b'=' => match hex_pair(behind) {
                Some(value) => {
                    rest = behind.get(2..).unwrap_or_default();
                    value
                }
                None => b'=',
            },
            other => *other,
        });
    }
    octets
}

/// Two hexadecimal digits at the start.
pub(super) fn hex_pair(at: &[u8]) -> Option<u8> {
    let [high, low, ..] = at else { return None };
    let high = char::from(*high).to_digit(16)?;
    let low = char::from(*low).to_digit(16)?;
    u8::try_from(high << 4 | low).ok()
}

/// Text as it grows, with the words that wait to be joined.
#[derive(Default)]
struct Output {
    text: String,
    charset: Vec<u8>,
    octets: Vec<u8>,
    in_words: bool,
    defect: Option<DefectCode>,
}

impl Output {
    fn plain(&mut self, octets: &[u8]) {
        if octets.is_empty() || (self.in_words && octets.trim_ascii().is_empty()) {
            return;
        }
        self.end_words();
        self.text.push_str(&charset::guess(octets));
    }

    fn word(&mut self, word: &Word<'_>) {
        if self.in_words && !self.charset.eq_ignore_ascii_case(word.charset) {
            self.end_words();
        }
        if !self.in_words {
            self.charset = word.charset.to_vec();
            self.in_words = true;
        }
        self.octets.extend_from_slice(&word.octets);
    }

    fn end_words(&mut self) {
        if !self.in_words {
            return;
        }
        let label = String::from_utf8_lossy(&self.charset).into_owned();
        let octets = std::mem::take(&mut self.octets);
        let (text, odd) = charset::decode(&octets, Some(&label));
        self.text.push_str(&text);
        self.defect = self.defect.or(odd);
        self.in_words = false;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn encoded_words_become_text() {
        let table = [
            ("plain", "plain"),
            ("=?utf-8?q?a_b=2Ec?=", "a b.c"),
            ("=?UTF-8?B?c2V0dXAuZXhl?=", "setup.exe"),
            ("=?utf-8?q?a?= =?utf-8?q?b?=", "ab"),
            ("=?utf-8?q?a?=\r\n =?utf-8?q?b?=", "ab"),
            ("=?utf-8?q?=C3?= =?utf-8?q?=A9?=", "é"),
            ("=?iso-8859-1?q?=E9?= x =?koi8-r?q?=C1?=", "é x а"),
            ("a=?utf-8?q?b?=c", "abc"),
            ("=?us-ascii*en?q?a?=", "a"),
            ("=?broken", "=?broken"),
            ("=?x?z?a?=", "=?x?z?a?="),
        ];
        for (value, want) in table {
            assert_eq!(decode(value.as_bytes()), want, "{value:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert_eq!(decode_with_defect(b"=?x").1, Some(DefectCode::BadEncodedWord));
        assert_eq!(decode_with_defect(b"=?x-no?q?a?=").1, Some(DefectCode::UnknownCharset));
        assert_eq!(decode_with_defect(b"=?utf-8?q?a?=").1, None);
    }

    proptest! {
        #[test]
        fn no_octets_make_it_fail(value in "(=\\?|utf-8|\\?[bqB]\\?|\\?=|[a-f0-9=]| ){0,60}") {
            prop_assert!(decode(value.as_bytes()).len() <= 3 * value.len());
        }
    }
}
