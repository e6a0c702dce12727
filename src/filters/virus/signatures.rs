//! Signature files (`filters/virus/*.sig`): lines to signatures. Pure.
//!
//! ```text
//! sha256 HEX NAME                    the digest of a decoded part
//! bytes [offset=N] HEXPATTERN NAME   octets anywhere, or at that offset of a part or of the message
//! text "…" NAME                      the same for text; \" \\ \r \n \t \xHH
//! ```

use std::sync::Arc;

use crate::filters::{Mistake, RuleFile, Severity};

/// One signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signature {
    pub(super) name: Arc<str>,
    pub(super) pattern: Pattern,
}

/// What it looks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pattern {
    /// A part with this digest.
    Digest([u8; 32]),
    /// These octets anywhere.
    Anywhere(Vec<u8>),
    /// These octets at this offset.
    At(usize, Vec<u8>),
}

/// Reads a file; lines with a mistake are left out.
pub(super) fn parse(file: &RuleFile, mistakes: &mut Vec<Mistake>) -> Vec<Signature> {
    let mut signatures = Vec::new();
    for (number, line) in (1u32..).zip(file.text.split(|octet| *octet == b'\n')) {
        let read = match std::str::from_utf8(line) {
            Ok(line) => parse_line(line),
            Err(error) => Err(Wrong {
                at: error.valid_up_to(),
                what: "not UTF-8".to_owned(),
                hint: "write other octets as hexadecimal digits with `bytes`",
            }),
        };
        match read {
            Ok(signature) => signatures.extend(signature),
            Err(Wrong { at, what, hint }) => mistakes.push(Mistake {
                file: Arc::clone(&file.name),
                line: number,
                column: column(line, at),
                what,
                hint: hint.to_owned(),
                severity: Severity::Error,
            }),
        }
    }
    signatures
}

/// What is wrong with a line, and at which octet of it.
struct Wrong {
    at: usize,
    what: String,
    hint: &'static str,
}

fn column(line: &[u8], at: usize) -> u32 {
    let front = line.get(..at).unwrap_or(line);
    u32::try_from(String::from_utf8_lossy(front).chars().count() + 1).unwrap_or(u32::MAX)
}

fn parse_line(line: &str) -> Result<Option<Signature>, Wrong> {
    let mut words = Words { line, at: 0 };
    let (at, kind) = words.next();
    let pattern = match kind {
        "" => return Ok(None),
        _ if kind.starts_with('#') => return Ok(None),
        "sha256" => {
            let (at, digits) = words.next();
            let digest = hex(digits).and_then(|octets| <[u8; 32]>::try_from(octets).ok());
            let what = "a SHA-256 digest has 64 hexadecimal digits".to_owned();
            Pattern::Digest(digest.ok_or(Wrong { at, what, hint: "see sha256sum(1)" })?)
        }
        "bytes" => bytes(&mut words)?,
        "text" => Pattern::Anywhere(long_enough(words.at, words.quoted()?)?),
        _ => {
            let what =
                format!("unknown kind of signature: {}", super::reply::printable(kind.as_bytes()));
            return Err(Wrong { at, what, hint: "write sha256, bytes or text" });
        }
    };
    let (at, name) = words.next();
    let is_name = |c: char| c.is_ascii_alphanumeric() || "._-:/+".contains(c);
    if name.is_empty() || !name.chars().all(is_name) {
        let what = "a name is missing, or has characters that names do not have".to_owned();
        return Err(Wrong { at, what, hint: "write letters, digits and . _ - : / + only" });
    }
    let (at, rest) = words.next();
    if !rest.is_empty() && !rest.starts_with('#') {
        let what = "something stands behind the name".to_owned();
        return Err(Wrong { at, what, hint: "put it behind a #" });
    }
    Ok(Some(Signature { name: name.into(), pattern }))
}

fn bytes(words: &mut Words<'_>) -> Result<Pattern, Wrong> {
    let (mut at, mut word) = words.next();
    let mut offset = None;
    if let Some(digits) = word.strip_prefix("offset=") {
        let what = "an offset is a number of octets".to_owned();
        offset = Some(digits.parse().map_err(|_| Wrong { at, what, hint: "write offset=0" })?);
        (at, word) = words.next();
    }
    let what = "a pattern is an even number of hexadecimal digits".to_owned();
    let octets = hex(word).ok_or(Wrong { at, what, hint: "write 4d5a9000" })?;
    let octets = long_enough(at, octets)?;
    Ok(offset.map_or_else(|| Pattern::Anywhere(octets.clone()), |o| Pattern::At(o, octets.clone())))
}

fn long_enough(at: usize, octets: Vec<u8>) -> Result<Vec<u8>, Wrong> {
    if octets.len() < PATTERN_BYTES_MIN {
        let what = format!("a pattern of less than {PATTERN_BYTES_MIN} octets hits good mail");
        return Err(Wrong { at, what, hint: "write a longer one" });
    }
    Ok(octets)
}

fn hex(digits: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    if !rest.is_empty() || pairs.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(nibble(*high)? << 4 | nibble(*low)?)).collect()
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// A line, read word by word.
struct Words<'a> {
    line: &'a str,
    at: usize,
}

impl<'a> Words<'a> {
    /// The next word and where it begins; empty at the end of the line.
    fn next(&mut self) -> (usize, &'a str) {
        let rest = self.rest();
        let begin = self.at + (rest.len() - rest.trim_start().len());
        let rest = rest.trim_start();
        let word = rest.split_whitespace().next().unwrap_or_default();
        self.at = begin + word.len();
        (begin, word)
    }

    fn rest(&self) -> &'a str {
        self.line.get(self.at..).unwrap_or_default()
    }

    fn quoted(&mut self) -> Result<Vec<u8>, Wrong> {
        let rest = self.rest();
        let begin = self.at + (rest.len() - rest.trim_start().len());
        let wrong = |at: usize, what: &str| Wrong {
            at,
            what: what.to_owned(),
            hint: r#"write "…", with \" \\ \r \n \t \xHH for what cannot stand there"#,
        };
        let Some(inner) = rest.trim_start().strip_prefix('"') else {
            return Err(wrong(begin, "the text does not begin with a quotation mark"));
        };
        let mut octets = Vec::new();
        let mut chars = inner.char_indices();
        while let Some((place, c)) = chars.next() {
            match c {
                '"' => {
                    self.at = begin + 1 + place + 1;
                    return Ok(octets);
                }
                '\\' => {
                    let mut digit = || chars.next().and_then(|(_, c)| c.to_digit(16));
                    let octet = match inner.as_bytes().get(place + 1) {
                        Some(b'x') => {
                            digit();
                            digit().zip(digit()).and_then(|(h, l)| u8::try_from(h << 4 | l).ok())
                        }
                        escaped => {
                            digit();
                            escaped.and_then(|escaped| unescape(*escaped))
                        }
                    };
                    let octet = octet.ok_or_else(|| wrong(begin + 1 + place, "unknown escape"))?;
                    octets.push(octet);
                }
                c => octets.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        Err(wrong(begin, "the text does not end with a quotation mark"))
    }
}

fn unescape(letter: u8) -> Option<u8> {
    Some(match letter {
        b'"' | b'\\' => letter,
        b'r' => b'\r',
        b'n' => b'\n',
        b't' => b'\t',
        _ => return None,
    })
}

/// Three octets and less stand in every mail.
const PATTERN_BYTES_MIN: usize = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &[u8]) -> (Vec<Signature>, Vec<String>) {
        let mut mistakes = Vec::new();
        let signatures = parse(&RuleFile::built_in("x.sig", text), &mut mistakes);
        (signatures, mistakes.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn every_kind_of_line_is_read() {
        let zeros = "00".repeat(32);
        let text = format!(
            "# a comment\n\n  sha256 {zeros} Zero.Digest # why\nbytes DEADbeef Beef\r\n\
             bytes offset=2 00112233 At.Two\ntext \"a\\\"\\\\\\r\\n\\t\\xffé b\" Text-1"
        );
        let (signatures, mistakes) = read(text.as_bytes());
        assert_eq!(mistakes, Vec::<String>::new());
        let patterns: Vec<_> = signatures.into_iter().map(|s| s.pattern).collect();
        assert_eq!(
            patterns,
            [
                Pattern::Digest([0; 32]),
                Pattern::Anywhere(vec![0xde, 0xad, 0xbe, 0xef]),
                Pattern::At(2, vec![0, 0x11, 0x22, 0x33]),
                Pattern::Anywhere(b"a\"\\\r\n\t\xff\xc3\xa9 b".to_vec()),
            ]
        );
    }

    #[test]
    fn a_mistake_names_its_place() {
        for (line, want) in [
            ("md5 00 X", "x.sig:1:1: error: unknown kind"),
            ("sha256 00 X", "x.sig:1:8: error: a SHA-256"),
            ("bytes 0011223 X", "x.sig:1:7: error: a pattern is"),
            ("bytes 001122 X", "x.sig:1:7: error: a pattern of less"),
            ("bytes offset=x 00112233 X", "x.sig:1:7: error: an offset"),
            ("bytes 00112233", "x.sig:1:15: error: a name"),
            ("bytes 00112233 Ä", "x.sig:1:16: error: a name"),
            ("bytes 00112233 X Y", "x.sig:1:18: error: something"),
            ("text abcd X", "x.sig:1:6: error: the text does not begin"),
            ("text \"abcd X", "x.sig:1:6: error: the text does not end"),
            ("text \"äbc\\q\" X", "x.sig:1:10: error: unknown escape"),
            ("text \"abc\\x1", "x.sig:1:10: error: unknown escape"),
            ("text \"abc\\", "x.sig:1:10: error: unknown escape"),
        ] {
            let (signatures, mistakes) = read(line.as_bytes());
            assert!(signatures.is_empty(), "{line}");
            assert!(mistakes.len() == 1 && mistakes[0].starts_with(want), "{line}: {mistakes:?}");
        }
        assert!(
            read(b"bytes \xff")
                .1
                .first()
                .is_some_and(|mistake| mistake.starts_with("x.sig:1:7: error: not UTF-8"))
        );
    }

    proptest! {
        #[test]
        fn any_octets_can_be_read(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            read(&text);
        }

        #[test]
        fn any_line_can_be_read(text in "(text|bytes|sha256|) ?(\"|offset=)?[\\\\x0-9a-fé\" ]{0,40}") {
            read(text.as_bytes());
        }
    }
}
