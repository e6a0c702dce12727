//! Text strings of PDF: UTF-16 or UTF-8 by their mark, else PDFDocEncoding (ISO 32000-1, annex D).

use encoding_rs::{UTF_16BE, UTF_16LE};

/// PDFDocEncoding from 0x80 on, as far as it is not Latin-1.
const HIGH: [char; 33] = [
    '•', '†', '‡', '…', '—', '–', 'ƒ', '⁄', '‹', '›', '−', '‰', '„', '“', '”', '‘', '’', '‚', '™',
    'ﬁ', 'ﬂ', 'Ł', 'Œ', 'Š', 'Ÿ', 'Ž', 'ı', 'ł', 'œ', 'š', 'ž', '\u{fffd}', '€',
];

pub(super) fn text(octets: &[u8]) -> String {
    match octets {
        [0xfe, 0xff, wide @ ..] => UTF_16BE.decode_without_bom_handling(wide).0.into_owned(),
        [0xff, 0xfe, wide @ ..] => UTF_16LE.decode_without_bom_handling(wide).0.into_owned(),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        _ => match std::str::from_utf8(octets) {
            // Many writers put UTF-8 without a mark.
            Ok(text) => text.to_owned(),
            Err(_) => octets.iter().map(|octet| sign(*octet)).collect(),
        },
    }
}

fn sign(octet: u8) -> char {
    let high = octet.checked_sub(0x80).and_then(|index| HIGH.get(usize::from(index)));
    high.copied().unwrap_or(char::from(octet))
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn strings_are_read_in_their_charset() {
        for (octets, want) in [
            (&b"\xfe\xff\0a\0b"[..], "ab"),
            (b"\xff\xfea\0b\0", "ab"),
            (b"\xef\xbb\xbf\xc3\xa9", "é"),
            (b"a\x80\xa0\xe9", "a•€é"),
            (b"plain", "plain"),
        ] {
            assert_eq!(text(octets), want);
        }
    }
}
