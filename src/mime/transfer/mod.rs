//! Transfer encodings: what a field asks for, and how it is undone (RFC 2045 section 6).

mod base64;
mod binhex;
mod quoted_printable;
mod uuencode;
mod yenc;

use bytes::Bytes;

pub(super) use base64::looks_like_base64;
pub(super) use binhex::find as find_binhex;
pub(super) use uuencode::{Block, find as find_uuencode};
pub(super) use yenc::find as find_yenc;

use crate::mail::DefectCode;

/// A transfer encoding that we can undo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// 7bit, 8bit, binary.
    Identity,
    Base64,
    QuotedPrintable,
    Uuencode,
    YEnc,
    /// The files in it are members, for it holds two forks.
    BinHex,
}

impl Encoding {
    /// The name, for paths of further readings.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Base64 => "base64",
            Self::QuotedPrintable => "quoted-printable",
            Self::Uuencode => "uuencode",
            Self::YEnc => "yenc",
            Self::BinHex => "binhex",
        }
    }
}

/// Every encoding that a value of `Content-Transfer-Encoding` may be taken for, the likeliest first, and whether the
/// value is one that the standard knows.
pub(super) fn encodings(value: &[u8]) -> (Vec<Encoding>, bool) {
    let mut found = Vec::new();
    let mut known = true;
    let clean = super::field::without_comments(value);
    let tokens = clean
        .split(|octet| !(octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_')))
        .filter(|token| !token.is_empty());
    for (index, token) in tokens.take(8).enumerate() {
        let token = token.to_ascii_lowercase();
        let encoding = match token.as_slice() {
            b"7bit" | b"8bit" | b"binary" => Some(Encoding::Identity),
            b"base64" => Some(Encoding::Base64),
            b"quoted-printable" => Some(Encoding::QuotedPrintable),
            b"uuencode" | b"x-uuencode" | b"uue" | b"x-uue" => Some(Encoding::Uuencode),
            b"7-bit" | b"8-bit" | b"none" | b"7bits" | b"8bits" => Some(Encoding::Identity),
            _ => {
                known &= index > 0;
                sloppy(&token)
            }
        };
        if let Some(encoding) = encoding
            && !found.contains(&encoding)
        {
            found.push(encoding);
        }
    }
    if !known && !found.contains(&Encoding::Identity) {
        found.push(Encoding::Identity);
    }
    (found, known)
}

/// What a reader that compares less than the whole token makes of it.
fn sloppy(token: &[u8]) -> Option<Encoding> {
    let has = |part: &[u8]| memchr::memmem::find(token, part).is_some();
    if has(b"base64") {
        Some(Encoding::Base64)
    } else if has(b"quoted") || has(b"printable") {
        Some(Encoding::QuotedPrintable)
    } else if has(b"uue") {
        Some(Encoding::Uuencode)
    } else if has(b"yenc") {
        Some(Encoding::YEnc)
    } else if has(b"binhex") {
        Some(Encoding::BinHex)
    } else {
        None
    }
}

/// Octets decoded, and what was odd about them.
#[derive(Debug, Default)]
pub(super) struct Decoded {
    /// The likeliest reading.
    pub(super) data: Bytes,
    /// Other readings of the same octets in the same encoding.
    pub(super) others: Vec<Bytes>,
    /// A name that stood in the encoding itself.
    pub(super) name: Option<Vec<u8>>,
    /// What is odd.
    pub(super) odd: Vec<DefectCode>,
}

/// Undoes the encoding. Never longer than what was given; a slice of it where nothing had to be decoded.
pub(super) fn decode(octets: &Bytes, encoding: Encoding) -> Decoded {
    match encoding {
        Encoding::Identity | Encoding::BinHex => {
            Decoded { data: octets.clone(), ..Decoded::default() }
        }
        Encoding::Base64 => base64::decode_all(octets),
        Encoding::QuotedPrintable => quoted_printable::decode(octets),
        Encoding::Uuencode => uuencoded(octets),
        Encoding::YEnc => match yenc::find(octets, 1).0.pop() {
            Some(block) => first_block(block),
            None => Decoded {
                data: octets.clone(),
                odd: vec![DefectCode::BadUuencode],
                ..Decoded::default()
            },
        },
    }
}

fn first_block(block: Block) -> Decoded {
    Decoded {
        data: block.data.into(),
        name: Some(block.name),
        odd: if block.complete { Vec::new() } else { vec![DefectCode::BadUuencode] },
        ..Decoded::default()
    }
}

fn uuencoded(octets: &Bytes) -> Decoded {
    match uuencode::find(octets, 1).0.pop() {
        Some(block) => first_block(block),
        // Some readers need no `begin` once the field has named the encoding.
        None => Decoded {
            data: uuencode::headless(octets).map_or_else(|| octets.clone(), Bytes::from),
            odd: vec![DefectCode::BadUuencode],
            ..Decoded::default()
        },
    }
}

/// base64 as in an encoded word: rubbish is skipped.
pub(super) fn base64_word(octets: &[u8]) -> Vec<u8> {
    base64::decode(octets).data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_in_every_way() {
        use Encoding::{Base64, BinHex, Identity, QuotedPrintable, Uuencode, YEnc};
        let table: &[(&str, &[Encoding], bool)] = &[
            ("base64", &[Base64], true),
            (" (x) BaSe64 (y)", &[Base64], true),
            ("\"base64\";", &[Base64], true),
            ("\u{a0}base64\0", &[Base64], true),
            ("base64 foo", &[Base64], true),
            ("7bit, base64", &[Identity, Base64], true),
            ("x-base64", &[Base64, Identity], false),
            ("base64ed", &[Base64, Identity], false),
            ("quoted_printable", &[QuotedPrintable, Identity], false),
            ("uue", &[Uuencode], true),
            ("x-yenc", &[YEnc, Identity], false),
            ("mac-binhex40", &[BinHex, Identity], false),
            ("x-binhex40-x", &[BinHex, Identity], false),
            ("nonsense", &[Identity], false),
            ("", &[], true),
        ];
        for (value, want, known) in table {
            assert_eq!(encodings(value.as_bytes()), (want.to_vec(), *known), "{value:?}");
        }
    }

    #[test]
    fn uuencode_needs_no_first_line_once_it_is_named() {
        let got =
            |text: &'static str| decode(&Bytes::from_static(text.as_bytes()), Encoding::Uuencode);
        assert_eq!(&got("#86)C\r\n").data[..], b"abc");
        assert_eq!(&got("hello, this is prose\r\n").data[..], b"hello, this is prose\r\n");
        assert_eq!(got("begin 644 x\n#86)C\nend\n").name.as_deref(), Some(&b"x"[..]));
    }

    #[test]
    fn identity_does_not_copy() {
        let octets = Bytes::from_static(b"abc");
        assert_eq!(decode(&octets, Encoding::Identity).data.as_ptr(), octets.as_ptr());
    }
}
