//! cpio: the ASCII formats (newc, with or without checksum; odc) and the old binary one in either order of octets.

use std::ops::Range;

use super::{Ask, Member, Opened, keep, name_text};
use crate::mail::DefectCode;

/// Names of hard links that wait for the entry that has the content.
const LINKS_MAX: usize = 1_000;

/// The name of the entry that ends an archive; another may follow.
const TRAILER: &[u8] = b"TRAILER!!!";

/// What stands behind the last entry is looked at if it has so many octets.
const REST_BYTES_MIN: usize = 16;

const TYPE_BITS: usize = 0o170_000;
const FOLDER: usize = 0o040_000;

/// One entry, as its header has it.
struct Entry {
    name: Range<usize>,
    content: Range<usize>,
    /// Where the next header begins.
    next: usize,
    mode: usize,
    links: usize,
    /// Device and number: what hard links have in common.
    inode: Range<usize>,
}

/// True if a header stands there that makes sense; a mark of two octets alone is no sign of cpio.
pub(in crate::mime) fn begins(data: &[u8]) -> bool {
    const NAME_BYTES_MAX: usize = 4096;
    read_entry(data, 0).is_some_and(|entry| {
        let name = data.get(entry.name).unwrap_or_default();
        (2..NAME_BYTES_MAX).contains(&name.len())
            && name.last() == Some(&0)
            && name.first().is_some_and(|octet| *octet > b' ')
    })
}

pub(in crate::mime::container) fn open(ask: Ask<'_>, opened: &mut Opened) {
    let Ask { data, budget, .. } = ask;
    let mut links: Vec<(Range<usize>, String)> = Vec::new();
    let (mut at, mut behind) = (0, 0);
    while let Some(start) = next_header(data, at) {
        if !is_filler(data.get(at..start).unwrap_or_default()) {
            opened.note(DefectCode::BadArchive);
        }
        let Some(entry) = read_entry(data, start) else { return };
        at = entry.next.clamp(start.saturating_add(6), data.len().saturating_add(1));
        behind = at;
        let octets = data.get(entry.name.clone()).unwrap_or_default();
        let name = name_text(octets.split(|octet| *octet == 0).next().unwrap_or_default());
        if entry.mode & TYPE_BITS == FOLDER || name.as_bytes() == TRAILER {
            continue;
        }
        if entry.content.end > data.len() {
            opened.note(DefectCode::BadArchive);
        }
        let end = entry.content.end.min(data.len());
        let content = data.slice(entry.content.start.min(end)..end);
        let inode = data.get(entry.inode.clone()).unwrap_or_default();
        let mut names = vec![name];
        if entry.links > 1 {
            if content.is_empty() && links.len() < LINKS_MAX {
                links.extend(names.first().map(|name| (entry.inode.clone(), name.clone())));
            } else {
                let same = |range: &Range<usize>| data.get(range.clone()) == Some(inode);
                names.extend(links.iter().filter(|(of, _)| same(of)).map(|(_, n)| n.clone()));
                links.retain(|(of, _)| !same(of));
            }
        }
        if !keep(Member { names, data: content, ..Member::default() }, budget, opened) {
            return;
        }
    }
    let rest = data.get(behind..).unwrap_or_default();
    if behind == 0 || !is_filler(rest) {
        opened.note(DefectCode::BadArchive);
        let filler = rest.iter().take_while(|octet| **octet == 0).count();
        if rest.len() >= REST_BYTES_MIN.saturating_add(filler) && behind > 0 {
            let data = data.slice(behind.saturating_add(filler)..);
            let member = Member { data, ..Member::default() };
            opened.stored(member, budget);
        }
    }
}

fn is_filler(octets: &[u8]) -> bool {
    octets.iter().all(|octet| *octet == 0)
}

/// Where the next header stands, at `at` or behind.
fn next_header(data: &[u8], at: usize) -> Option<usize> {
    if read_entry(data, at).is_some() {
        return Some(at);
    }
    let rest = data.get(at..)?;
    let first = rest.iter().position(|octet| *octet != 0)?;
    if read_entry(data, at + first).is_some() {
        return Some(at + first);
    }
    memchr::memmem::find_iter(rest, b"07070")
        .map(|hit| at + hit)
        .find(|place| data.get(*place..).is_some_and(begins))
}

fn read_entry(data: &[u8], at: usize) -> Option<Entry> {
    let header = data.get(at..)?;
    match header.get(..6)? {
        b"070701" | b"070702" => read_new(header, at),
        b"070707" => read_odc(header, at),
        [0xc7, 0x71, ..] => read_binary(header, at, u16::from_le_bytes),
        [0x71, 0xc7, ..] => read_binary(header, at, u16::from_be_bytes),
        _ => None,
    }
}

fn digits(octets: &[u8], radix: u32) -> Option<usize> {
    octets.iter().try_fold(0_usize, |value, octet| {
        let digit = usize::try_from(char::from(*octet).to_digit(radix)?).ok()?;
        value.checked_mul(usize::try_from(radix).ok()?)?.checked_add(digit)
    })
}

/// Name and content behind a header, each filled up to a multiple of `unit` octets from the header's start.
fn lay_out(
    at: usize,
    header: usize,
    sizes: [usize; 2],
    unit: usize,
) -> Option<(Range<usize>, Range<usize>, usize)> {
    let [name, content] = sizes;
    let name_end = header.checked_add(name)?;
    let start = name_end.checked_next_multiple_of(unit)?;
    let end = start.checked_add(content)?;
    let next = end.checked_next_multiple_of(unit)?.checked_add(at)?;
    Some((at + header..at.checked_add(name_end)?, at + start..at.checked_add(end)?, next))
}

/// newc: eight hexadecimal digits a field.
fn read_new(header: &[u8], at: usize) -> Option<Entry> {
    let field = |number: usize| digits(header.get(6 + 8 * number..14 + 8 * number)?, 16);
    let (name, content, next) = lay_out(at, 110, [field(11)?, field(6)?], 4)?;
    let inode = at + 6..at + 14;
    Some(Entry { name, content, next, mode: field(1)?, links: field(4)?, inode })
}

/// odc: octal digits.
fn read_odc(header: &[u8], at: usize) -> Option<Entry> {
    let field = |from: usize, count: usize| digits(header.get(from..from + count)?, 8);
    let (name, content, next) = lay_out(at, 76, [field(59, 6)?, field(65, 11)?], 1)?;
    // Here each link has the content.
    Some(Entry { name, content, next, mode: field(18, 6)?, links: 1, inode: at..at })
}

/// The old format: numbers of 16 bits; longer ones have their high half first.
fn read_binary(header: &[u8], at: usize, number: fn([u8; 2]) -> u16) -> Option<Entry> {
    let field = |from: usize| {
        let octets = header.get(from..from + 2)?.try_into().ok()?;
        Some(usize::from(number(octets)))
    };
    let size = field(22)? << 16 | field(24)?;
    let (name, content, next) = lay_out(at, 26, [field(20)?, size], 2)?;
    Some(Entry { name, content, next, mode: field(6)?, links: 1, inode: at..at })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mime::container::{Container, try_open};
    use crate::mime::{Limits, kind};

    type Write = fn(&str, &[u8], usize) -> Vec<u8>;

    fn fill(mut octets: Vec<u8>, unit: usize) -> Vec<u8> {
        octets.resize(octets.len().next_multiple_of(unit), 0);
        octets
    }

    fn newc(name: &str, data: &[u8], links: usize) -> Vec<u8> {
        let (size, length) = (data.len(), name.len() + 1);
        let fields = [7, 0o100_644, 0, 0, links, 0, size, 0, 0, 0, 0, length, 0];
        let digits: String = fields.iter().map(|field| format!("{field:08X}")).collect();
        fill([fill(format!("070701{digits}{name}\0").into_bytes(), 4), data.to_vec()].concat(), 4)
    }

    fn odc(name: &str, data: &[u8], _: usize) -> Vec<u8> {
        let head = format!("070707000001000007{:06o}000000000000000001000000", 0o100_644);
        let sizes = format!("{:011o}{:06o}{:011o}", 0, name.len() + 1, data.len());
        [format!("{head}{sizes}{name}\0").as_bytes(), data].concat()
    }

    fn binary(name: &str, data: &[u8], turn: fn(u16) -> [u8; 2]) -> Vec<u8> {
        let length = u16::try_from(name.len() + 1).unwrap();
        let size = u16::try_from(data.len()).unwrap();
        let fields = [0o070_707, 1, 7, 0o100_644, 0, 0, 1, 0, 0, 0, length, 0, size];
        let head: Vec<u8> = fields.into_iter().flat_map(turn).collect();
        let name = [name.as_bytes(), b"\0"].concat();
        fill([fill([head, name].concat(), 2), data.to_vec()].concat(), 2)
    }

    const WRITERS: [Write; 4] = [
        newc,
        odc,
        |name, data, _| binary(name, data, u16::to_le_bytes),
        |name, data, _| binary(name, data, u16::to_be_bytes),
    ];

    fn opened(data: Vec<u8>) -> Opened {
        try_open(Container::Cpio, data, None, &Limits::default())
    }

    fn contents(opened: &Opened) -> Vec<(&str, &[u8])> {
        opened.members.iter().map(|m| (m.names.first().map_or("", |n| n), &m.data[..])).collect()
    }

    #[test]
    fn files_are_read_in_every_format() {
        for write in WRITERS {
            let end = write("TRAILER!!!", b"", 1);
            let data = [write("a.exe", b"one", 1), write("d/b", b"two22", 1), end].concat();
            assert_eq!(Container::among(&kind::detect(&data)), [Container::Cpio]);
            let opened = opened(data);
            assert_eq!(contents(&opened), [("a.exe", &b"one"[..]), ("d/b", b"two22")]);
            assert_eq!(opened.odd, []);
        }
    }

    #[test]
    fn a_hard_link_has_the_names_of_all() {
        let data = [newc("a", b"", 2), newc("b.exe", b"one", 2), newc("TRAILER!!!", b"", 1)];
        let opened = opened(data.concat());
        assert_eq!(opened.members[1].names, ["b.exe", "a"]);
    }

    #[test]
    fn what_stands_behind_the_end_is_seen() {
        let one = [newc("a", b"one", 1), newc("TRAILER!!!", b"", 1), vec![0; 512]].concat();
        let more = [one.clone(), newc("b", b"two", 1), newc("TRAILER!!!", b"", 1)].concat();
        assert_eq!(contents(&opened(more)), [("a", &b"one"[..]), ("b", b"two")]);
        let junk = [one, b"PK\x03\x04 something of another kind".to_vec()].concat();
        let opened = opened(junk);
        assert!(opened.members[1].data.starts_with(b"PK\x03\x04"));
        assert_eq!(opened.odd, [DefectCode::BadArchive]);
    }

    #[test]
    fn a_damaged_archive_still_gives_what_it_holds() {
        let mut data =
            [newc("a", b"one", 1), newc("b", b"two", 1), newc("c", b"three", 1)].concat();
        data[newc("a", b"one", 1).len() + 56] = b'?';
        let damaged = opened(data);
        assert_eq!(contents(&damaged), [("a", &b"one"[..]), ("c", b"three")]);
        assert_eq!(damaged.odd, [DefectCode::BadArchive]);
        let mut cut = newc("a", b"one two three", 1);
        cut.truncate(cut.len() - 9);
        let cut = opened(cut);
        assert_eq!(contents(&cut), [("a", &b"one two"[..])]);
        assert_eq!(cut.odd, [DefectCode::BadArchive]);
    }

    #[test]
    fn files_have_a_limit() {
        let data = [newc("a", b"1", 1), newc("b", b"2", 1)].concat();
        let limits = |files| Limits { archive_files_max: files, ..Limits::default() };
        let open = |files| try_open(Container::Cpio, data.clone(), None, &limits(files));
        assert_eq!(open(2).odd, []);
        assert_eq!(open(1).odd, [DefectCode::TooManyFiles]);
    }

    #[test]
    fn two_octets_alone_are_no_sign() {
        for data in ["q\u{c7} is how a text may begin", "\u{c7}q"] {
            let data: Vec<u8> = data.chars().map(|sign| u8::try_from(sign).unwrap()).collect();
            assert!(!begins(&data));
        }
    }

    proptest! {
        #[test]
        fn no_octets_make_it_fail(which in 0_usize..4, at in 0_usize..250, octets: Vec<u8>, cut in 0_usize..300) {
            let write = WRITERS[which];
            let mut data = [write("a.txt", b"one", 2), write("b", b"two", 2), write("TRAILER!!!", b"", 1)].concat();
            for (index, octet) in octets.iter().take(8).enumerate() {
                if let Some(place) = data.get_mut(at + index) {
                    *place = *octet;
                }
            }
            data.truncate(cut);
            opened(data);
        }
    }
}
