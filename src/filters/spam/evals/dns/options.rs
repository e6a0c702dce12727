//! Options of rules over lists of digests, and the digests.

use std::collections::BTreeMap;

use md5::Md5;
use sha1::{Digest as _, Sha1};
use sha2::Sha256;

/// `md5/max=5/shuffle`.
#[derive(Debug, Clone, Default)]
pub(super) struct Options(BTreeMap<String, String>);

impl Options {
    pub(super) fn read(text: &str, default: &str) -> Self {
        let text = if text.trim().is_empty() { default } else { text };
        let words = text.split('/').map(|word| word.trim().to_lowercase());
        Self(
            words
                .map(|word| match word.split_once('=') {
                    Some((key, value)) => (key.to_owned(), value.to_owned()),
                    None => (word, String::new()),
                })
                .collect(),
        )
    }

    pub(super) fn has(&self, word: &str) -> bool {
        self.0.contains_key(word)
    }

    pub(super) fn number(&self, word: &str) -> Option<usize> {
        self.0.get(word)?.parse().ok()
    }

    /// What stands before the zone for a value. Without the name of a digest, the value itself.
    pub(super) fn digest(&self, value: &[u8]) -> String {
        let hex = |octets: &[u8]| octets.iter().map(|octet| format!("{octet:02x}")).collect();
        if self.has("sha256") {
            base32(&Sha256::digest(value))
        } else if self.has("sha1") {
            hex(&Sha1::digest(value))
        } else if self.has("md5") {
            hex(&Md5::digest(value))
        } else {
            String::from_utf8_lossy(value).into_owned()
        }
    }

    pub(super) fn cased(&self, value: String) -> String {
        if self.has("case") { value } else { value.to_lowercase() }
    }
}

/// Five bits a letter (RFC 4648 section 6), in lower case, nothing behind.
fn base32(octets: &[u8]) -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let (mut out, mut bits, mut count) = (String::new(), 0_u16, 0_u8);
    let letter =
        |bits: u16| LETTERS.get(usize::from(bits & 31)).map_or('a', |one| char::from(*one));
    for octet in octets {
        bits = (bits << 8) | u16::from(*octet);
        count += 8;
        while count >= 5 {
            count -= 5;
            out.push(letter(bits >> count));
            bits &= (1 << count) - 1;
        }
    }
    if count > 0 {
        out.push(letter(bits << (5 - count)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_written_as_the_options_say() {
        let digest =
            |options: &str, value: &str| Options::read(options, "sha1").digest(value.as_bytes());
        for (options, want) in [
            ("", "a9993e364706816aba3e25717850c26c9cd0d89d"),
            ("sha1/max=3", "a9993e364706816aba3e25717850c26c9cd0d89d"),
            ("md5", "900150983cd24fb0d6963f7d28e17f72"),
            ("sha256", "xj4bnp4pahh6uqkbidpf3lrceoyagyndsylxvhfucd7wd4qacwwq"),
            ("raw", "abc"),
        ] {
            assert_eq!(digest(options, "abc"), want, "{options}");
        }
        for (octets, want) in
            [("", ""), ("f", "my"), ("fo", "mzxq"), ("foob", "mzxw6yq"), ("foobar", "mzxw6ytboi")]
        {
            assert_eq!(base32(octets.as_bytes()), want, "{octets}");
        }
    }
}
