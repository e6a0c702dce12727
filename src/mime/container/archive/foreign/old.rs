//! ace and zoo: names from their headers; stored members are given, and what zoo packs as LHA does.

use bytes::Bytes;

use super::lzh::{Method, unpack};
use super::{Ask, Cursor, Member, Opened, find_magic, mark_encrypted, mark_unscannable, name_text};
use crate::mail::{DefectCode, PartFlag};
use crate::mime::budget::Budget;

/// What stands in the first header of ace, and in that of zoo.
pub(super) const ACE: &[u8] = b"**ACE**";
pub(super) const ZOO: &[u8] = b"\xdc\xa7\xc4\xfd";

/// True if the first header of an ARC begins here: a mark, a method, and the name of a file as DOS had them.
pub(super) fn is_arc(data: &[u8]) -> bool {
    const NAME_BYTES: usize = 13;
    let Some([0x1a, 1..=9, name @ ..]) = data.get(..2 + NAME_BYTES) else { return false };
    let mut parts = name.splitn(2, |octet| *octet == 0);
    let name = parts.next().unwrap_or_default();
    parts.next().is_some() && !name.is_empty() && name.iter().all(u8::is_ascii_graphic)
}

pub(in crate::mime::container) fn open_ace(ask: Ask<'_>, opened: &mut Opened) {
    /// The mark stands behind sum, length, kind and flags of the first header.
    const MARK_AT: usize = 7;
    let Ask { data, passwords, budget, .. } = ask;
    let hit = find_magic(data, 0, ACE).and_then(|hit| hit.checked_sub(MARK_AT));
    let Some(mut at) = hit else {
        opened.note(DefectCode::BadArchive);
        opened.flag(PartFlag::Unscannable);
        return;
    };
    if !passwords.is_empty() {
        return;
    }
    while at < data.len() {
        let Some(next) = take_ace(data, at, budget, opened) else { return };
        at = next;
    }
}

/// Reads one header of ace, and gives where the next one is.
fn take_ace(data: &Bytes, at: usize, budget: &mut Budget, opened: &mut Opened) -> Option<usize> {
    const FILE: u8 = 1;
    const FOLLOWED: u16 = 1;
    const LARGE: u16 = 4;
    const SPLIT: u16 = 0x3000;
    const PASSWORD: u16 = 0x4000;
    let mut cursor = Cursor::starting(data, at);
    let header = (|| {
        cursor.u16()?;
        let length = usize::from(cursor.u16()?);
        let start = cursor.at();
        let (kind, flags) = (cursor.octet()?, cursor.u16()?);
        Some((kind, flags, start.checked_add(length.max(3))?))
    })();
    let Some((kind, flags, end)) = header.filter(|(_, _, end)| *end <= data.len()) else {
        opened.note(DefectCode::BadArchive);
        return None;
    };
    let mut packed = 0;
    if flags & FOLLOWED != 0 {
        packed = cursor.size()?;
        if flags & LARGE != 0 {
            cursor.u32()?;
        }
    }
    let next = end.saturating_add(packed);
    if kind != FILE {
        return Some(next);
    }
    let named = (|| {
        cursor.take(if flags & LARGE != 0 { 8 } else { 4 })?;
        let (_, attributes) = (cursor.u32()?, cursor.u32()?);
        let (crc, method) = (cursor.u32()?, cursor.octet()?);
        cursor.take(5)?;
        let length = usize::from(cursor.u16()?);
        Some((attributes, crc, method, cursor.take(length)?))
    })();
    let Some((attributes, crc, method, name)) = named else {
        opened.note(DefectCode::BadArchive);
        return Some(next);
    };
    const FOLDER: u32 = 0x10;
    if attributes & FOLDER != 0 && packed == 0 {
        return Some(next);
    }
    let mut member = Member { names: vec![name_text(name)], ..Member::default() };
    if flags & PASSWORD != 0 {
        mark_encrypted(&mut member, opened);
    } else if method == 0 && flags & SPLIT == 0 {
        // The checksum is that of everybody, but for the last step.
        give(
            data,
            end,
            next,
            |octets| crc32fast::hash(octets) == !crc,
            &mut member,
            budget,
            opened,
        );
    } else {
        mark_unscannable(&mut member, opened);
    }
    push(member, budget, opened).then_some(next)
}

/// A member whose octets stand there.
fn give(
    data: &Bytes,
    start: usize,
    end: usize,
    sums_up: impl Fn(&[u8]) -> bool,
    member: &mut Member,
    budget: &mut Budget,
    opened: &mut Opened,
) {
    let octets = data.slice(start.min(data.len())..end.clamp(start.min(data.len()), data.len()));
    if let Err(code) = budget.expand(octets.len(), 0, octets.len()) {
        member.odd.push(code);
        opened.flag(PartFlag::Unscannable);
        return;
    }
    if end > data.len() || !sums_up(&octets) {
        member.odd.push(DefectCode::BadArchive);
    }
    member.data = octets;
}

fn push(member: Member, budget: &mut Budget, opened: &mut Opened) -> bool {
    match budget.file() {
        Ok(()) => {
            opened.members.push(member);
            true
        }
        Err(code) => {
            opened.note(code);
            false
        }
    }
}

pub(in crate::mime::container) fn open_zoo(ask: Ask<'_>, opened: &mut Opened) {
    /// Behind twenty octets of text.
    const MARK_AT: usize = 20;
    let Ask { data, passwords, budget, .. } = ask;
    if !passwords.is_empty() {
        return;
    }
    let first = find_magic(data, 0, ZOO).and_then(|hit| hit.checked_sub(MARK_AT));
    let start = first.and_then(|first| Cursor::starting(data, first + MARK_AT + 4).size());
    let (Some(first), Some(start)) = (first, start) else {
        opened.note(DefectCode::BadArchive);
        opened.flag(PartFlag::Unscannable);
        return;
    };
    let mut at = start;
    loop {
        let entry = Zoo::read(data, first.saturating_add(at));
        let Some(entry) = entry else {
            opened.note(DefectCode::BadArchive);
            return;
        };
        // The last entry is empty and points nowhere; one that points back would never end.
        if entry.next == 0 {
            return;
        }
        if !push(entry.take(data, first, budget, opened), budget, opened) {
            return;
        }
        if entry.next <= at {
            opened.note(DefectCode::BadArchive);
            return;
        }
        at = entry.next;
    }
}

/// An entry of zoo's directory.
struct Zoo {
    method: u8,
    next: usize,
    start: usize,
    crc: u16,
    size: usize,
    packed: usize,
    names: Vec<String>,
}

impl Zoo {
    fn read(data: &[u8], at: usize) -> Option<Self> {
        const MARK: u32 = 0xfdc4_a7dc;
        const NAME_BYTES: usize = 13;
        let mut cursor = Cursor::starting(data, at);
        if cursor.u32()? != MARK {
            return None;
        }
        let (kind, method) = (cursor.octet()?, cursor.octet()?);
        let (next, start) = (cursor.size()?, cursor.size()?);
        cursor.u32()?;
        let crc = cursor.u16()?;
        let (size, packed) = (cursor.size()?, cursor.size()?);
        cursor.take(10)?;
        let short = cursor.take(NAME_BYTES)?;
        let short = short.split(|octet| *octet == 0).next().unwrap_or_default();
        let mut names = Vec::new();
        if kind == 2 {
            names.extend(Self::long_name(&mut cursor));
        }
        let short = name_text(short);
        if !names.contains(&short) {
            names.push(short);
        }
        Some(Self { method, next, start, crc, size, packed, names })
    }

    /// Length of what follows, zone, sum, lengths of name and folder, and these.
    fn long_name(cursor: &mut Cursor<'_>) -> Option<String> {
        if cursor.u16()? == 0 {
            return None;
        }
        cursor.take(3)?;
        let (name, folder) = (usize::from(cursor.octet()?), usize::from(cursor.octet()?));
        let (name, folder) = (cursor.take(name)?, cursor.take(folder)?);
        let text =
            |octets: &[u8]| name_text(octets.split(|octet| *octet == 0).next().unwrap_or_default());
        let name = Some(text(name)).filter(|name| !name.is_empty())?;
        Some(match text(folder) {
            folder if folder.is_empty() => name,
            folder => format!("{folder}/{name}"),
        })
    }

    fn take(&self, data: &Bytes, first: usize, budget: &mut Budget, opened: &mut Opened) -> Member {
        const STORED: u8 = 0;
        const LH5: u8 = 2;
        let mut member = Member { names: self.names.clone(), ..Member::default() };
        let start = first.saturating_add(self.start);
        let end = start.saturating_add(self.packed);
        match self.method {
            STORED => {
                let crc = self.crc;
                let fits = |octets: &[u8]| super::lha::crc16(octets) == crc;
                give(data, start, end, fits, &mut member, budget, opened);
            }
            LH5 => {
                let start = start.min(data.len());
                let packed = data.slice(start..end.clamp(start, data.len()));
                let method = Method::Blocks { distances: 14, bits: 4 };
                let unpacked = unpack(&packed, self.size, method, 0, budget);
                member.data = unpacked.data.into();
                let fits = super::lha::crc16(&member.data) == self.crc;
                member.odd.extend(unpacked.odd.or((!fits).then_some(DefectCode::BadArchive)));
            }
            _ => mark_unscannable(&mut member, opened),
        }
        member
    }
}
