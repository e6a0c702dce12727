//! S/MIME messages that are one block (CMS, RFC 5652; compressed-data RFC 3274): what is signed or compressed is taken
//! out, what is enveloped needs a key.

use memchr::memmem;

use super::{Ask, Member, Opened};
use crate::mail::{DefectCode, PartFlag};
use crate::mime::container::stream::inflate::inflate;

/// 1.2.840.113549.1.7, without its last number: data, signed data, enveloped data, …
const PKCS7: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07";
/// 1.2.840.113549.1.9.16.1, without its last number.
const SMIME: &[u8] = b"\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01";

/// Data as it is, signed, with a digest: the content stands there in plain.
const PLAIN: [u8; 3] = [1, 2, 5];
const ENVELOPED: [u8; 3] = [3, 4, 6];
const COMPRESSED: u8 = 9;
const AUTH_ENVELOPED: u8 = 23;

/// Octets at the start in which the type is named.
const HEAD_BYTES: usize = 24;

/// What the block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Signed,
    Enveloped,
    Compressed,
}

fn kind(data: &[u8]) -> Option<Kind> {
    if data.first() != Some(&0x30) {
        return None;
    }
    let head = data.get(..data.len().min(HEAD_BYTES))?;
    let number = |prefix: &[u8]| {
        memmem::find(head, prefix).and_then(|at| head.get(at + prefix.len()).copied())
    };
    match (number(PKCS7), number(SMIME)) {
        (Some(number), _) if PLAIN.contains(&number) => Some(Kind::Signed),
        (Some(number), _) if ENVELOPED.contains(&number) => Some(Kind::Enveloped),
        (None, Some(COMPRESSED)) => Some(Kind::Compressed),
        (None, Some(AUTH_ENVELOPED)) => Some(Kind::Enveloped),
        _ => None,
    }
}

/// True for the block of such a message.
pub(in crate::mime) fn is_cms(data: &[u8]) -> bool {
    kind(data).is_some()
}

pub(super) fn open(ask: Ask<'_>, opened: &mut Opened) {
    let Ask { data, budget, .. } = ask;
    let kind = kind(data);
    if kind == Some(Kind::Enveloped) {
        opened.flag(PartFlag::Encrypted);
        opened.note(DefectCode::Encrypted);
        return;
    }
    let mut contents = contents(data, opened);
    if kind == Some(Kind::Compressed) {
        for content in &mut contents {
            let inflated = inflate(content.get(2..).unwrap_or_default(), budget);
            if let Some(code) = inflated.odd {
                opened.note(code);
            }
            *content = inflated.data;
        }
    }
    for content in contents {
        opened.stored(Member { data: content.into(), ..Member::default() }, budget);
    }
}

/// The contents of type `data`: an octet string behind the type's number. A signature of its own has none.
fn contents(data: &[u8], opened: &mut Opened) -> Vec<Vec<u8>> {
    const CONTENTS_MAX: usize = 8;
    let mut found = Vec::new();
    let mut from = 0;
    let finder = memmem::Finder::new(PKCS7);
    while let Some(hit) = finder.find(data.get(from..).unwrap_or_default()) {
        from += hit + PKCS7.len() + 1;
        // Explicitly tagged.
        let Some((0xa0, _, inner)) = element(data, from) else { continue };
        if !matches!(data.get(inner), Some(0x04 | 0x24)) {
            continue;
        }
        let (content, end) = octet_string(data, inner, opened);
        from = end.max(from);
        if !content.is_empty() && found.len() < CONTENTS_MAX {
            found.push(content);
        }
    }
    found
}

/// Tag, length (`None`: up to the mark of its end), and where the content begins.
fn element(data: &[u8], at: usize) -> Option<(u8, Option<usize>, usize)> {
    let tag = *data.get(at)?;
    let first = *data.get(at + 1)?;
    match first {
        0..0x80 => Some((tag, Some(usize::from(first)), at + 2)),
        0x80 => Some((tag, None, at + 2)),
        _ => {
            let count = usize::from(first & 0x7f);
            let octets = data.get(at + 2..at + 2 + count)?;
            let length = octets.iter().try_fold(0_usize, |length, octet| {
                length.checked_mul(256)?.checked_add(usize::from(*octet))
            });
            Some((tag, Some(length.unwrap_or(usize::MAX)), at + 2 + count))
        }
    }
}

/// An octet string, in one piece or in many; and where it ends.
fn octet_string(data: &[u8], start: usize, opened: &mut Opened) -> (Vec<u8>, usize) {
    let mut content = Vec::new();
    let mut at = start;
    // Pieces in pieces are pieces; how many without a length are open, and where those with one end.
    let mut open = 0_usize;
    let mut end = None;
    loop {
        match element(data, at) {
            Some((0x04, Some(length), inner)) => {
                let stop = inner.saturating_add(length);
                if stop > data.len() {
                    opened.note(DefectCode::BadArchive);
                }
                at = stop.min(data.len());
                content.extend_from_slice(data.get(inner..at).unwrap_or_default());
            }
            Some((0x24, length, inner)) => {
                match length {
                    Some(length) => end = end.or(Some(inner.saturating_add(length))),
                    None => open += 1,
                }
                at = inner;
            }
            Some((0, Some(0), inner)) if open > 0 => {
                open -= 1;
                at = inner;
            }
            _ => return (content, at),
        }
        if open == 0 && end.is_none_or(|end| at >= end) {
            return (content, at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;
    use crate::mime::Limits;
    use crate::mime::container::{Container, try_open};

    fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x82], &length[..], content].concat()
    }

    fn block(kind: &[u8], content: &[u8]) -> Vec<u8> {
        let data = [PKCS7, &[1]].concat();
        let inner = tlv(0x30, &[&data[..], &tlv(0xa0, content)].concat());
        let body = tlv(0x30, &[&[2, 1, 1], &tlv(0x31, b"")[..], &inner].concat());
        tlv(0x30, &[kind, &tlv(0xa0, &body)].concat())
    }

    fn signed(content: &[u8]) -> Vec<u8> {
        block(&[PKCS7, &[2]].concat(), content)
    }

    fn members(data: Vec<u8>) -> Vec<Vec<u8>> {
        assert!(is_cms(&data));
        let opened = try_open(Container::Cms, data, None, &Limits::default());
        opened.members.into_iter().map(|member| member.data.to_vec()).collect()
    }

    #[test]
    fn what_is_signed_is_taken_out_in_any_form() {
        let pieces = [tlv(4, b"Content-Type: "), tlv(4, b"text/plain\n")].concat();
        for content in [
            tlv(4, b"Content-Type: text/plain\n"),
            tlv(0x24, &pieces),
            [&[0x24, 0x80][..], &pieces, &[0, 0]].concat(),
            [&[0x24, 0x80, 0x24, 0x80][..], &pieces, &[0, 0, 0, 0]].concat(),
        ] {
            assert_eq!(members(signed(&content)), [b"Content-Type: text/plain\n"]);
        }
        assert!(members(signed(b"")).is_empty(), "a signature of its own");
        let cut = signed(&tlv(4, &[b'x'; 300]));
        assert_eq!(members(cut[..200].to_vec())[0].len(), 200 - (cut.len() - 300));
    }

    #[test]
    fn what_is_compressed_is_unpacked_and_what_is_enveloped_is_encrypted() {
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        zlib.write_all(b"hello").unwrap();
        let packed = block(&[SMIME, &[COMPRESSED]].concat(), &tlv(4, &zlib.finish().unwrap()));
        assert_eq!(members(packed), [b"hello"]);
        let data = block(&[PKCS7, &[3]].concat(), b"");
        let opened = try_open(Container::Cms, data, None, &Limits::default());
        assert_eq!(opened.flags, [PartFlag::Encrypted]);
    }

    proptest! {
        #[test]
        fn no_octets_make_it_fail(at: usize, octet: u8, cut: usize) {
            let mut data = signed(&[&[0x24, 0x80][..], &tlv(4, b"abc"), &[0, 0]].concat());
            let at = at % data.len();
            data[at] = octet;
            data.truncate(cut % (data.len() + 1));
            try_open(Container::Cms, data, None, &Limits::default());
        }
    }
}
