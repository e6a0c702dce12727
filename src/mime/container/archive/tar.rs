//! tar: v7, ustar, the names, sizes and sparse files of GNU and of pax.
//!
//! Where two readers would go on at different places, the content reaches to the farther one, and headers are looked for
//! from the nearer one on. Behind damage the next header is looked for.

use std::ops::Range;

use bytes::Bytes;

use super::sparse::{self, Map};
use super::{Ask, Budget, Member, Opened, keep, name_text};
use crate::mail::DefectCode;

const BLOCK_BYTES: usize = 512;

/// Names that wait for the header that they are the name of.
const NAMES_MAX: usize = 16;

/// Octets of one such name.
const NAME_BYTES_MAX: usize = 64 << 10;

/// Empty blocks that end an archive.
const END_BLOCKS: usize = 2;

/// True if the 512 octets are the header of a member: the sum they hold is their own, of octets with or without sign.
pub(in crate::mime) fn checksum_fits(header: &[u8]) -> bool {
    let Some(want) = header.get(148..156).and_then(number) else { return false };
    let (Some(before), Some(after)) = (header.get(..148), header.get(156..BLOCK_BYTES)) else {
        return false;
    };
    let octets = || before.iter().chain(after);
    let sum = octets().map(|octet| usize::from(*octet)).sum::<usize>() + 8 * usize::from(b' ');
    let signed = 256 * octets().filter(|octet| **octet >= 0x80).count();
    want > 0 && (sum == want || sum.checked_sub(signed) == Some(want))
}

/// A number in octal digits, or in binary where the first octet says so (GNU).
pub(super) fn number(octets: &[u8]) -> Option<usize> {
    if octets.first()? & 0x80 != 0 {
        let tail = octets.get(octets.len().saturating_sub(8)..)?;
        return tail.iter().try_fold(0_usize, |value, octet| {
            value.checked_mul(256)?.checked_add(usize::from(*octet))
        });
    }
    // Readers stop at what is no digit.
    let digits = octets.trim_ascii_start().iter().take_while(|octet| matches!(octet, b'0'..=b'7'));
    digits.copied().try_fold(0_usize, |value, octet| {
        value.checked_mul(8)?.checked_add(usize::from(octet.saturating_sub(b'0')))
    })
}

fn text_until_nul(octets: &[u8]) -> &[u8] {
    octets.split(|octet| *octet == 0).next().unwrap_or_default()
}

/// What headers before say of the next member.
#[derive(Default)]
struct Said {
    names: Vec<String>,
    size: Option<usize>,
    sparse: sparse::Pax,
}

impl Said {
    fn name(&mut self, octets: &[u8]) {
        let octets = octets.get(..NAME_BYTES_MAX).unwrap_or(octets);
        let name = name_text(text_until_nul(octets));
        if self.names.len() < NAMES_MAX && !name.is_empty() && !self.names.contains(&name) {
            self.names.push(name);
        }
    }

    /// The records of a pax header: `length key=value` and a line end; the length counts all of it.
    fn pax(&mut self, mut content: &[u8]) {
        while let Some((key, value, length)) = record(content) {
            match key {
                b"path" | b"GNU.sparse.name" => self.name(value),
                b"size" => self.size = decimal(value),
                _ => self.sparse.take(key, value),
            }
            content = content.get(length..).unwrap_or_default();
        }
        // Records whose lengths lie: a reader that only looks for lines still finds its name.
        for line in content.split(|octet| *octet == b'\n') {
            if let Some(at) = memchr::memmem::find(line, b" path=") {
                self.name(line.get(at + 6..).unwrap_or_default());
            }
        }
    }
}

pub(super) fn decimal(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.trim().parse().ok()
}

/// Key, value and length of the record at the start.
fn record(content: &[u8]) -> Option<(&[u8], &[u8], usize)> {
    const DIGITS_MAX: usize = 10;
    let blank = content.iter().take(DIGITS_MAX).position(|octet| *octet == b' ')?;
    let length = decimal(content.get(..blank)?)?;
    let line = content.get(blank + 1..length)?.strip_suffix(b"\n")?;
    let equals = memchr::memchr(b'=', line)?;
    Some((line.get(..equals)?, line.get(equals + 1..)?, length))
}

pub(in crate::mime::container) fn open(ask: Ask<'_>, opened: &mut Opened) {
    let Ask { data, budget, .. } = ask;
    let mut at = 0_usize;
    let mut said = Said::default();
    let mut empty_blocks = 0;
    while let Some(header) = data.get(at..at.saturating_add(BLOCK_BYTES)) {
        let start = at + BLOCK_BYTES;
        if header.iter().all(|octet| *octet == 0) {
            // Two empty blocks end it; some write more archives behind them.
            empty_blocks += 1;
            at = start;
            continue;
        }
        if !checksum_fits(header) {
            if empty_blocks < END_BLOCKS {
                opened.note(DefectCode::BadArchive);
            }
            at = start;
            continue;
        }
        empty_blocks = 0;
        let kind = header.get(156).copied().unwrap_or(0);
        // What is said of the next member does not count for headers that say more of it.
        let pax = said.size.filter(|_| !matches!(kind, b'L' | b'K' | b'x' | b'X' | b'g'));
        let sizes = sizes(data, start, header, kind, pax, opened);
        let end = start.saturating_add(sizes.end).min(data.len());
        let content = data.slice(start.min(end)..end);
        let mut next = sizes.start;
        match kind {
            b'L' => said.name(&content),
            b'x' | b'X' | b'g' => said.pax(&content),
            // The target of a link, and folders.
            b'K' => {}
            b'5' if content.is_empty() => said = Said::default(),
            _ => {
                let said = std::mem::take(&mut said);
                if kind == b'S' {
                    next = next.saturating_add(sparse::map_bytes(header, data, start));
                }
                let packed = Packed { data, header, start, size: sizes.end, content };
                let member = packed.member(said, kind, budget, opened);
                if !keep(member, budget, opened) {
                    return;
                }
            }
        }
        at = match next.checked_next_multiple_of(BLOCK_BYTES) {
            Some(padded) => start.saturating_add(padded),
            None => return,
        };
    }
    if at < data.len() && empty_blocks < END_BLOCKS {
        opened.note(DefectCode::BadArchive);
    }
}

/// The least and the largest size that readers would give the content that begins at `start`.
fn sizes(
    data: &[u8],
    start: usize,
    header: &[u8],
    kind: u8,
    pax: Option<usize>,
    opened: &mut Opened,
) -> Range<usize> {
    let own = header.get(124..136).and_then(number).unwrap_or(0);
    let size = pax.unwrap_or(own);
    let (mut least, most) = (size.min(own), size.max(own));
    if least < most {
        // Only sizes over 8 GiB need the other place.
        opened.note(DefectCode::BadArchive);
    }
    // Links, devices and folders have no content for some readers, whatever their size says.
    let is_next = |at: usize| {
        data.get(at..at.saturating_add(BLOCK_BYTES))
            .is_none_or(|block| checksum_fits(block) || block.iter().all(|octet| *octet == 0))
    };
    if matches!(kind, b'1'..=b'6') && is_next(start) {
        least = 0;
    }
    if most > data.len().saturating_sub(start) {
        opened.note(DefectCode::BadArchive);
    }
    least..most
}

/// A member as it stands in the archive.
struct Packed<'a> {
    data: &'a Bytes,
    header: &'a [u8],
    start: usize,
    size: usize,
    content: Bytes,
}

impl Packed<'_> {
    fn member(self, said: Said, kind: u8, budget: &mut Budget, opened: &mut Opened) -> Member {
        let mut names = said.names;
        for name in self.own_names() {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let map = if kind == b'S' {
            let skip = sparse::map_bytes(self.header, self.data, self.start);
            let from = self.start.saturating_add(skip).min(self.data.len());
            let to = from.saturating_add(self.size).min(self.data.len());
            Some((sparse::old_map(self.header, self.data, self.start), self.data.slice(from..to)))
        } else {
            said.sparse.map(&self.content)
        };
        let mut member = Member { names, ..Member::default() };
        member.data = match map {
            Some((map, packed)) => expand(&map, packed, budget, opened),
            None => self.content,
        };
        member
    }

    /// The name in the header; ustar has its first folders elsewhere.
    fn own_names(&self) -> Vec<String> {
        let text = |range: Range<usize>| {
            name_text(text_until_nul(self.header.get(range).unwrap_or_default()))
        };
        let (short, prefix) = (text(0..100), text(345..500));
        match self.header.get(257..263) {
            Some(b"ustar\0") if !prefix.is_empty() => vec![format!("{prefix}/{short}")],
            // GNU has times where the prefix would be.
            Some([b'u', b's', b't', b'a', b'r', ..]) if !prefix.is_empty() => {
                vec![short.clone(), format!("{prefix}/{short}")]
            }
            _ => vec![short],
        }
    }
}

/// The file with its holes, if the limits allow them; else what is there of it.
fn expand(map: &Map, packed: Bytes, budget: &mut Budget, opened: &mut Opened) -> Bytes {
    let holes = map.bytes().saturating_sub(packed.len());
    // They are asked for here; what is packed, with the member.
    if let Err(code) = budget.expand(holes, packed.len(), packed.len()) {
        opened.note(code);
        return packed;
    }
    match map.expand(&packed) {
        Some(whole) => whole,
        None => {
            opened.note(DefectCode::BadArchive);
            packed
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mime::Limits;
    use crate::mime::container::{Container, try_open};

    fn block(name: &str, kind: u8, data: &[u8]) -> Vec<u8> {
        let mut header = vec![0; BLOCK_BYTES];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..135].copy_from_slice(format!("{:011o}", data.len()).as_bytes());
        header[156] = kind;
        header[148..156].fill(b' ');
        let sum: usize = header.iter().map(|octet| usize::from(*octet)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        header.extend_from_slice(data);
        header.resize(header.len().next_multiple_of(BLOCK_BYTES), 0);
        header
    }

    fn opened(data: Vec<u8>, limits: &Limits) -> Opened {
        try_open(Container::Tar, data, None, limits)
    }

    #[test]
    fn members_and_long_names_are_seen() {
        let data = [
            block("a.txt", b'0', b"one"),
            block("././@LongLink", b'L', b"long/name.exe\0"),
            block("long/na", b'0', b"two"),
            block("pax", b'x', b"17 path=p/q.exe\n"),
            block("q", b'0', b"three"),
            vec![0; 1024],
        ]
        .concat();
        let opened = opened(data, &Limits::default());
        let got: Vec<_> = opened.members.iter().map(|m| (m.names.clone(), &m.data[..])).collect();
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            got,
            [
                (names(&["a.txt"]), &b"one"[..]),
                (names(&["long/name.exe", "long/na"]), b"two"),
                (names(&["p/q.exe", "q"]), b"three"),
            ]
        );
        assert_eq!(opened.odd, []);
    }

    fn contents(opened: &Opened) -> Vec<(&str, &[u8])> {
        opened.members.iter().map(|m| (m.names[0].as_str(), &m.data[..])).collect()
    }

    /// Changes a header, and makes its sum fit again.
    fn alter(mut octets: Vec<u8>, at: usize, with: &[u8]) -> Vec<u8> {
        octets[at..at + with.len()].copy_from_slice(with);
        octets[148..156].fill(b' ');
        let sum: usize = octets[..BLOCK_BYTES].iter().map(|octet| usize::from(*octet)).sum();
        octets[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        octets
    }

    #[test]
    fn behind_a_damaged_header_the_next_one_is_found() {
        let mut data = [block("a", b'0', b"one"), block("b", b'0', b"two")].concat();
        data[3] = b'?';
        let damaged = opened(data, &Limits::default());
        assert_eq!(contents(&damaged), [("b", &b"two"[..])]);
        assert_eq!(damaged.odd, [DefectCode::BadArchive]);
        let cut = opened(block("a", b'0', b"one two")[..515].to_vec(), &Limits::default());
        assert_eq!((contents(&cut), cut.odd.len()), (vec![("a", &b"one"[..])], 1));
    }

    #[test]
    fn sums_of_signed_octets_and_binary_sizes_are_understood() {
        let mut signed = block("\u{e9}\u{e9}", b'0', b"one");
        let field = String::from_utf8(signed[148..154].to_vec()).unwrap();
        let sum = usize::from_str_radix(&field, 8).unwrap() - 4 * 256;
        signed[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
        assert_eq!(opened(signed, &Limits::default()).members.len(), 1);
        let wide = alter(block("a", b'0', b"one"), 124, b"\x80\0\0\0\0\0\0\0\0\0\0\x03");
        assert_eq!(contents(&opened(wide, &Limits::default())), [("a", &b"one"[..])]);
        let sloppy = alter(block("a", b'0', b"one"), 124, b"  3x\0\0\0\0\0\0\0\0");
        assert_eq!(contents(&opened(sloppy, &Limits::default())), [("a", &b"one"[..])]);
    }

    #[test]
    fn of_two_sizes_both_ways_to_go_on_are_taken() {
        let hidden = block("hidden.exe", b'0', b"two");
        let size = hidden.len();
        let long = format!("{} size={size}\n", 9 + size.to_string().len());
        let data = [
            block("pax", b'x', long.as_bytes()),
            block("a", b'0', b""),
            hidden.clone(),
            // Some readers pass over what a link seems to hold.
            alter(block("link", b'1', b""), 124, format!("{size:011o}").as_bytes()),
            hidden.clone(),
        ];
        let opened = opened(data.concat(), &Limits::default());
        let got: Vec<_> =
            contents(&opened).into_iter().map(|(name, data)| (name, data.len())).collect();
        assert_eq!(got, [("a", size), ("hidden.exe", 3), ("link", size), ("hidden.exe", 3)]);
        assert_eq!(opened.odd, [DefectCode::BadArchive]);
    }

    #[test]
    fn pax_records_are_read_by_their_length() {
        let records = b"27 comment=x\n17 path=a.txt\n14 path=b.exe\n";
        let data = [block("pax", b'x', records), block("c", b'0', b"1")].concat();
        assert_eq!(opened(data, &Limits::default()).members[0].names, ["b.exe", "c"]);
        let lying = [block("pax", b'x', b"99 path=d.exe\n"), block("c", b'0', b"1")].concat();
        assert_eq!(opened(lying, &Limits::default()).members[0].names, ["d.exe", "c"]);
    }

    #[test]
    fn sparse_files_are_put_together() {
        let whole = b"MZ\0\0\0\0end";
        let piece = |offset: usize, length: usize| format!("{offset:011o}\0{length:011o}\0");
        let map = [piece(0, 2), piece(6, 3)].concat();
        let old = alter(block("old", b'S', b"MZend"), 386, map.as_bytes());
        let old = alter(old, 483, b"00000000011\0");
        let one = b"22 GNU.sparse.major=1\n";
        let mut in_content = b"2\n0\n2\n6\n3\n".to_vec();
        in_content.resize(BLOCK_BYTES, 0);
        in_content.extend(b"MZend");
        let listed = b"26 GNU.sparse.map=0,2,6,3\n";
        let data = [
            old,
            block("pax", b'x', one),
            block("one", b'0', &in_content),
            block("pax", b'x', listed),
            block("listed", b'0', b"MZend"),
        ];
        let opened = opened(data.concat(), &Limits::default());
        assert_eq!(contents(&opened), [("old", &whole[..]), ("one", whole), ("listed", whole)]);
        assert_eq!(opened.odd, []);
    }

    #[test]
    fn a_hole_has_a_limit() {
        let piece = format!("{:011o}\0{:011o}\0", 0o7_777_777_777_usize, 3);
        let data = alter(block("a", b'S', b"one"), 386, piece.as_bytes());
        let opened = opened(data, &Limits::default());
        assert_eq!(contents(&opened), [("a", &b"one"[..])]);
        assert_eq!(opened.odd, [DefectCode::TooManyOctets]);
    }

    #[test]
    fn files_have_a_limit() {
        let data = [block("a", b'0', b"1"), block("b", b'0', b"2")].concat();
        let limits = |files| Limits { archive_files_max: files, ..Limits::default() };
        assert_eq!(opened(data.clone(), &limits(2)).odd, []);
        assert_eq!(opened(data, &limits(1)).odd, [DefectCode::TooManyFiles]);
    }

    proptest! {
        #[test]
        fn no_octets_make_it_fail(name in "[a-z]{1,9}", kind: u8, data: Vec<u8>, cut in 0_usize..1500) {
            let mut octets = [block(&name, kind, &data), block(&name, b'0', &data)].concat();
            octets.truncate(cut);
            opened(octets, &Limits::default());
        }
    }
}
