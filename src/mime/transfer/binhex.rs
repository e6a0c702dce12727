//! BinHex 4.0 (RFC 1741, appendix A): the two forks of a file in one text.

use memchr::memmem;

use super::Block;
use crate::mail::DefectCode;
use crate::mime::budget::{Budget, STEP_BYTES};

const ALPHABET: &[u8; 64] = b"!\"#$%&'()*+,-012345689@ABCDEFGHIJKLMNPQRSTUVXYZ[`abcdefhijklmpqr";

/// No six bits.
const NONE: u8 = 0xff;

static TABLE: [u8; 256] = table();

const fn table() -> [u8; 256] {
    let mut table = [NONE; 256];
    let mut value = 0_u8;
    while value < 64 {
        #[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
        {
            table[ALPHABET[value as usize] as usize] = value;
        }
        value += 1;
    }
    table
}

/// Repeats the octet before it.
const RUN: u8 = 0x90;

/// Octets between the line that names the coding and the colon that begins it.
const GAP_BYTES_MAX: usize = 1_000;

/// Finds the files in a text, each fork as one, and the limit that stopped it, if one did.
pub(in crate::mime) fn find(
    text: &[u8],
    blocks_max: usize,
    budget: &mut Budget,
) -> (Vec<Block>, Option<DefectCode>) {
    let mut blocks = Vec::new();
    let mut from = 0;
    let finder = memmem::Finder::new(b"with BinHex");
    while let Some(hit) = finder.find(text.get(from..).unwrap_or_default()) {
        from += hit + 11;
        let Some(start) = colon(text, from) else { continue };
        let rest = text.get(start..).unwrap_or_default();
        let (packed, length) = six_bits(rest);
        from = start + length;
        let (octets, odd) = runs(&packed, budget);
        if odd.is_some() {
            return (blocks, odd);
        }
        forks(&octets, &mut blocks);
        if blocks.len() >= blocks_max {
            return (blocks, Some(DefectCode::TooManyFiles));
        }
    }
    (blocks, None)
}

/// Behind the colon with which a line begins.
fn colon(text: &[u8], at: usize) -> Option<usize> {
    let near = text.get(at..text.len().min(at + GAP_BYTES_MAX))?;
    let at_line = |index: &usize| matches!(near.get(index.wrapping_sub(1)), Some(b'\n' | b'\r'));
    memchr::memchr_iter(b':', near).find(at_line).map(|index| at + index + 1)
}

/// Six bits a sign, up to the closing colon or what is no part of it; and the octets that were read.
fn six_bits(text: &[u8]) -> (Vec<u8>, usize) {
    let mut out = Vec::new();
    let (mut group, mut held) = (0_u32, 0_u32);
    let mut length = 0;
    for octet in text {
        length += 1;
        if octet.is_ascii_whitespace() {
            continue;
        }
        let six = TABLE.get(usize::from(*octet)).copied().unwrap_or(NONE);
        if six == NONE {
            break;
        }
        group = group << 6 | u32::from(six);
        held += 1;
        if held == 4 {
            let [_, a, b, c] = group.to_be_bytes();
            out.extend_from_slice(&[a, b, c]);
            (group, held) = (0, 0);
        }
    }
    if held > 1 {
        let [_, a, b, _] = (group << (6 * (4 - held))).to_be_bytes();
        out.extend([a, b].into_iter().take(if held == 2 { 1 } else { 2 }));
    }
    (out, length)
}

/// Undoes the runs.
fn runs(packed: &[u8], budget: &mut Budget) -> (Vec<u8>, Option<DefectCode>) {
    let mut out: Vec<u8> = Vec::new();
    let mut asked = 0;
    let mut octets = packed.iter();
    while let Some(octet) = octets.next() {
        if *octet == RUN {
            match octets.next() {
                Some(0) => out.push(RUN),
                Some(count) => {
                    let last = out.last().copied().unwrap_or(0);
                    out.resize(out.len() + usize::from(*count) - 1, last);
                }
                None => break,
            }
        } else {
            out.push(*octet);
        }
        if out.len() - asked >= STEP_BYTES {
            if let Err(code) = budget.expand(out.len() - asked, asked, packed.len()) {
                return (Vec::new(), Some(code));
            }
            asked = out.len();
        }
    }
    let odd = budget.expand(out.len() - asked, asked, packed.len()).err();
    (out, odd)
}

/// The name and the two forks.
fn forks(octets: &[u8], blocks: &mut Vec<Block>) {
    let Some((length, rest)) = octets.split_first() else { return };
    let Some((name, rest)) = rest.split_at_checked(usize::from(*length)) else { return };
    // Version, type, creator, flags, then the lengths and a checksum.
    let size = |at: usize| {
        let octets = rest.get(at..at + 4).and_then(|four| <[u8; 4]>::try_from(four).ok());
        octets.and_then(|four| usize::try_from(u32::from_be_bytes(four)).ok())
    };
    let (Some(data), Some(resource)) = (size(11), size(15)) else { return };
    let content = rest.get(21..).unwrap_or_default();
    let mut fork = |start: usize, size: usize, name: Vec<u8>| {
        let start = start.min(content.len());
        let end = start.saturating_add(size).min(content.len());
        let data = content.get(start..end).unwrap_or_default().to_vec();
        if !data.is_empty() {
            blocks.push(Block { name, complete: data.len() == size, data });
        }
    };
    fork(0, data, name.to_vec());
    fork(data.saturating_add(2), resource, [name, b".rsrc"].concat());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mime::Limits;

    fn encode(name: &str, data: &[u8], resource: &[u8]) -> String {
        let size = |octets: &[u8]| u32::try_from(octets.len()).unwrap().to_be_bytes();
        let mut octets = vec![u8::try_from(name.len()).unwrap()];
        octets.extend(name.as_bytes());
        octets.extend(b"\0TEXTttxt\0\0");
        octets.extend(size(data));
        octets.extend(size(resource));
        octets.extend([0, 0]);
        octets.extend([data, &[0, 0], resource, &[0, 0]].concat());
        let packed: Vec<u8> =
            octets.iter().flat_map(|o| if *o == RUN { vec![RUN, 0] } else { vec![*o] }).collect();
        text(&packed)
    }

    fn text(packed: &[u8]) -> String {
        let mut coded = String::new();
        for three in packed.chunks(3) {
            let at = |index: usize| three.get(index).copied().unwrap_or(0);
            let (a, b, c) = (at(0), at(1), at(2));
            for six in [a >> 2, (a << 4 | b >> 4) & 63, (b << 2 | c >> 6) & 63, c & 63] {
                coded.push(char::from(ALPHABET[usize::from(six)]));
            }
        }
        let rows: Vec<&str> =
            coded.as_bytes().chunks(64).map(|row| std::str::from_utf8(row).unwrap()).collect();
        format!("(This file must be converted with BinHex 4.0)\r\n\r\n:{}:\r\n", rows.join("\r\n"))
    }

    fn found(text: &str) -> (Vec<Block>, Option<DefectCode>) {
        find(text.as_bytes(), 9, &mut Budget::new(&Limits::default()))
    }

    #[test]
    fn both_forks_are_given() {
        let (blocks, odd) = found(&format!("Hello\n{}", encode("a b.exe", b"abc\x90", b"xyz")));
        assert_eq!((&blocks[0].name[..], &blocks[0].data[..]), (&b"a b.exe"[..], &b"abc\x90"[..]));
        assert_eq!((&blocks[1].name[..], &blocks[1].data[..]), (&b"a b.exe.rsrc"[..], &b"xyz"[..]));
        assert!(blocks[0].complete && odd.is_none());
        let cut: String = encode("a", &[7; 100], b"").chars().take(120).collect();
        assert!(!found(&cut).0[0].complete);
    }

    #[test]
    fn runs_are_undone_under_the_limits() {
        let run = [&b"\x01a\0TEXTttxt\0\0\0\0\0\xff\0\0\0\0\0\0"[..], &[7, RUN, 255]].concat();
        assert_eq!(found(&text(&run)).0[0].data, [7; 255]);
        let bomb = [&run[..], &[RUN, 255].repeat(1 << 20)].concat();
        let limits = Limits { archive_expanded_bytes_max: 1 << 20, ..Limits::default() };
        let (_, odd) = find(text(&bomb).as_bytes(), 9, &mut Budget::new(&limits));
        assert_eq!(odd, Some(DefectCode::TooManyOctets));
    }

    proptest! {
        #[test]
        fn what_was_encoded_comes_back(data in proptest::collection::vec(any::<u8>(), 1..500)) {
            let (blocks, _) = found(&encode("x", &data, b""));
            prop_assert_eq!(&blocks[0].data, &data);
        }

        #[test]
        fn no_octets_make_it_fail(at: usize, octet: u8) {
            let mut text = encode("x", b"abc", b"def").into_bytes();
            let at = at % text.len();
            text[at] = octet;
            find(&text, 9, &mut Budget::new(&Limits::default()));
        }
    }
}
