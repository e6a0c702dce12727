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
        if rest.len() >= REST_BYTES_MIN && behind > 0 {
            let member = Member { data: data.slice(behind..), ..Member::default() };
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
