//! The list of members: every end record's directory, and local headers that no directory lists.

use std::collections::BTreeMap;
use std::ops::Range;

use memchr::memmem;

use super::header::{self, CENTRAL, LOCAL, Said, read_local};
use super::{u16_at, u32_at};

const END: &[u8] = b"PK\x05\x06";
const END64: &[u8] = b"PK\x06\x06";
const LOCATOR64: &[u8] = b"PK\x06\x07";

/// End records looked at: joined zips, and records in comments.
const ENDS_MAX: usize = 64;

/// Entries of the directory that are kept for one local header.
const CENTRAL_MAX: usize = 64;

/// A member, by the place of its local header.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// What directories say of it.
    pub(super) central: Vec<Said>,
    /// Found where no directory points, and hardly a header: only a right checksum makes it one.
    pub(super) doubtful: bool,
}

impl Entry {
    /// Packed octets, as directories say.
    pub(super) fn packed(&self) -> u64 {
        self.central.iter().map(|said| said.packed).max().unwrap_or(0)
    }
}

/// All members that were found.
#[derive(Debug, Default)]
pub(super) struct List {
    pub(super) entries: BTreeMap<usize, Entry>,
    /// A directory was found.
    pub(super) listed: bool,
    /// There are more than may be.
    pub(super) too_many: bool,
    /// Local headers outside of every directory.
    pub(super) unlisted: bool,
    /// Members that share octets.
    pub(super) overlapping: bool,
    files_max: usize,
}

impl List {
    pub(super) fn read(data: &[u8], files_max: usize) -> Self {
        let mut list = Self { files_max, ..Self::default() };
        // From the last one back, so that the records of a zip stored in this one are known for what they are.
        for end in memmem::rfind_iter(data, END).take(ENDS_MAX) {
            let inside = list.entries.range(..end).next_back().is_some_and(|(at, entry)| {
                read_local(data, *at).is_some_and(|local| {
                    after(local.start, entry.packed().max(local.said.packed)) > end
                })
            });
            if !inside {
                list.read_directories(data, end);
            }
        }
        list.find_between(data);
        list.overlapping |= list.overlaps(data);
        list
    }

    /// Reads each directory that the end record at `end` may point to.
    fn read_directories(&mut self, data: &[u8], end: usize) {
        let number = |at| u32_at(data, at).map(u64::from);
        let (Some(size), Some(offset)) =
            (number(end.saturating_add(12)), number(end.saturating_add(16)))
        else {
            return;
        };
        if size == 0 && u16_at(data, end.saturating_add(10)) == Some(0) {
            self.listed |= self.entries.is_empty() && end == 0;
            return;
        }
        // The directory ends where the end record begins; the offset tells how much stands before the zip. Readers go
        // by the one or the other, and with zip64 by either record.
        let mut claims = vec![(end, size, offset)];
        claims.extend(wide_end(data, end));
        let mut starts: Vec<(usize, u64)> = Vec::new();
        for (end, size, offset) in claims {
            let by_size = usize::try_from(size).ok().and_then(|size| end.checked_sub(size));
            let by_offset = usize::try_from(offset).ok();
            for start in by_size.into_iter().chain(by_offset) {
                let is_central = data.get(start..).is_some_and(|rest| rest.starts_with(CENTRAL));
                if is_central && !starts.contains(&(start, offset)) {
                    starts.push((start, offset));
                }
            }
        }
        if starts.is_empty() && self.entries.is_empty() {
            let before = data.get(..end).unwrap_or_default();
            starts.extend(memmem::find(before, CENTRAL).map(|start| (start, offset)));
        }
        for (start, offset) in starts {
            self.read_directory(data, start, offset);
        }
    }

    fn read_directory(&mut self, data: &[u8], start: usize, offset: u64) {
        let base = (start as u64).saturating_sub(offset);
        let mut at = start;
        let mut read = 0;
        while let Some(central) = header::read_central(data, at) {
            if self.entries.len() > self.files_max || read > self.files_max {
                self.too_many = true;
                return;
            }
            self.listed = true;
            read += 1;
            at = central.next;
            let is_local = |at: &usize| data.get(*at..).is_some_and(|rest| rest.starts_with(LOCAL));
            let shifted =
                usize::try_from(base.saturating_add(central.offset)).unwrap_or(usize::MAX);
            let plain = usize::try_from(central.offset).unwrap_or(usize::MAX);
            // What stands at the place that is not taken is found as any other local header.
            let place = Some(shifted).filter(is_local).or(Some(plain).filter(is_local));
            self.add(place.unwrap_or(shifted), central.said);
        }
    }

    fn add(&mut self, place: usize, said: Said) {
        let entry = self.entries.entry(place).or_default();
        let known = entry.central.iter().any(|known| {
            known.name == said.name
                && known.manner() == said.manner()
                && (known.packed, known.size, known.crc) == (said.packed, said.size, said.crc)
        });
        if known {
            return;
        }
        self.overlapping |= !entry.central.is_empty();
        if entry.central.len() < CENTRAL_MAX {
            entry.central.push(said);
        } else {
            self.too_many = true;
        }
    }

    /// Adds the local headers that no directory lists. Data of listed members is passed over: a zip stored in a zip has
    /// local headers of its own.
    fn find_between(&mut self, data: &[u8]) {
        let known: Vec<(usize, u64)> =
            self.entries.iter().map(|(at, entry)| (*at, entry.packed())).collect();
        let mut from = 0;
        for (at, packed) in known {
            let at = at.min(data.len());
            if from < at {
                self.find_in(data, from..at);
            }
            if let Some(local) = read_local(data, at) {
                from = from.max(after(local.start, packed.max(local.said.packed)));
            }
        }
        self.find_in(data, from..data.len());
    }

    /// Adds the local headers in that range.
    pub(super) fn find_in(&mut self, data: &[u8], range: Range<usize>) {
        let finder = memmem::Finder::new(LOCAL);
        let mut from = range.start;
        while let Some(hit) = data.get(from..range.end).and_then(|rest| finder.find(rest)) {
            let at = from + hit;
            from = at + LOCAL.len();
            let Some(local) = read_local(data, at) else { continue };
            if local.said.method > 99 {
                continue;
            }
            if self.entries.len() > self.files_max {
                self.too_many = true;
                return;
            }
            let doubtful = !local.said.is_likely();
            if !doubtful {
                from = after(local.start, local.said.packed).clamp(from, data.len());
            }
            self.unlisted |= self.listed && !doubtful;
            self.entries.entry(at).or_insert(Entry { central: Vec::new(), doubtful });
        }
    }

    /// True if listed members share octets. Then a small file could be made to unpack without end (Fifield 2019).
    fn overlaps(&self, data: &[u8]) -> bool {
        let mut end = 0;
        self.entries.iter().filter(|(_, entry)| !entry.central.is_empty()).any(|(at, entry)| {
            let before = end;
            if let Some(local) = read_local(data, *at) {
                end = end.max(after(local.start, entry.packed()));
            }
            *at < before
        })
    }
}

/// End of the zip64 end record that belongs to the end record at `end`, and size and offset of the directory in it.
fn wide_end(data: &[u8], end: usize) -> Vec<(usize, u64, u64)> {
    const LOCATOR_BYTES: usize = 20;
    const END64_BYTES: usize = 56;
    let Some(locator_at) = end.checked_sub(LOCATOR_BYTES) else { return Vec::new() };
    let locator = data.get(locator_at..).unwrap_or_default();
    if !locator.starts_with(LOCATOR64) {
        return Vec::new();
    }
    let offset = u64_at(locator, 8).and_then(|offset| usize::try_from(offset).ok());
    let mut places: Vec<usize> =
        offset.into_iter().chain(locator_at.checked_sub(END64_BYTES)).collect();
    places.dedup();
    let read = |at: usize| {
        let record = data.get(at..)?;
        record.starts_with(END64).then_some(())?;
        Some((at, u64_at(record, 40)?, u64_at(record, 48)?))
    };
    places.into_iter().filter_map(read).collect()
}

fn u64_at(data: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*data.get(at..)?.first_chunk()?))
}

/// The place so many octets behind `start`.
pub(super) fn after(start: usize, length: u64) -> usize {
    start.saturating_add(usize::try_from(length).unwrap_or(usize::MAX))
}
