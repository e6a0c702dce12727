//! Compound files ([MS-CFB]): sectors in chains, and a directory of storages and streams.
//!
//! Office opens files that are broken in many places, so nothing here has to fit but what is used: a chain ends where
//! it leaves the file or comes back to itself, directory entries that no tree holds are still listed, and a directory
//! that cannot be found from the header is searched for.

use bytes::Bytes;

use crate::mime::container::{u16_at, u32_at};

pub(in crate::mime::container) const MAGIC: &[u8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1";

/// Streams shorter than this stand in the mini stream.
const MINI_BYTES_MAX: usize = 4096;
const MINI_SECTOR_BYTES: usize = 64;
const ENTRY_BYTES: usize = 128;

/// Directory entries that are read.
const ENTRIES_MAX: usize = 65_536;

/// Sector numbers from here on are no sectors: end of chain, free, …
const SPECIAL: u32 = 0xffff_fffa;
const NONE: u32 = 0xffff_ffff;

/// A storage or a stream.
#[derive(Debug, Clone)]
pub(in crate::mime::container) struct Entry {
    pub(in crate::mime::container) name: String,
    /// The storage it stands in; `None` for the root, and for what no tree holds.
    pub(in crate::mime::container) parent: Option<usize>,
    pub(in crate::mime::container) is_storage: bool,
    pub(in crate::mime::container) class_id: [u8; 16],
    start: u32,
    size: usize,
    left: u32,
    right: u32,
    child: u32,
}

/// A compound file.
pub(in crate::mime::container) struct Compound<'a> {
    data: &'a [u8],
    sector_bytes: usize,
    fat: Vec<u32>,
    mini_fat: Vec<u32>,
    mini_stream: Bytes,
    /// The root first, if there is one.
    pub(in crate::mime::container) entries: Vec<Entry>,
    /// Octets that may still be read: many entries may name one chain.
    octets_left: usize,
    /// Something that was asked for is not there.
    pub(in crate::mime::container) is_damaged: bool,
}

impl<'a> Compound<'a> {
    pub(in crate::mime::container) fn read(data: &'a [u8]) -> Self {
        const AGAIN_TIMES: usize = 4;
        let sector_bytes = if u16_at(data, 30) == Some(12) { 4096 } else { 512 };
        let mut file = Self {
            data,
            sector_bytes,
            fat: Vec::new(),
            mini_fat: Vec::new(),
            mini_stream: Bytes::new(),
            entries: Vec::new(),
            octets_left: data.len().saturating_mul(AGAIN_TIMES).saturating_add(1 << 20),
            is_damaged: false,
        };
        file.read_fat();
        let directory = file.chain(u32_at(data, 48).unwrap_or(NONE), usize::MAX);
        file.entries = directory.chunks_exact(ENTRY_BYTES).take(ENTRIES_MAX).map(entry).collect();
        if !file.entries.iter().any(|entry| entry.is_storage || !entry.name.is_empty()) {
            file.is_damaged = true;
            file.find_entries();
        }
        file.build_tree();
        let mini_fat = file.chain(u32_at(data, 60).unwrap_or(NONE), usize::MAX);
        file.mini_fat = numbers(&mini_fat).collect();
        if let Some(root) = file.entries.first() {
            let (start, size) = (root.start, root.size);
            file.mini_stream = file.chain(start, size);
        }
        file
    }

    /// The content of a stream, as far as it is there.
    pub(in crate::mime::container) fn stream(&mut self, index: usize) -> Bytes {
        let Some(entry) = self.entries.get(index) else { return Bytes::new() };
        let (start, size, is_storage) = (entry.start, entry.size, entry.is_storage);
        if is_storage || size == 0 {
            return Bytes::new();
        }
        if size < MINI_BYTES_MAX {
            let found = self.mini_chain(start, size);
            if !found.is_empty() {
                return found;
            }
        }
        let found = self.chain(start, size);
        self.is_damaged |= found.is_empty();
        found
    }

    pub(in crate::mime::container) fn size(&self) -> usize {
        self.data.len()
    }

    /// The whole file with other octets in a stream, as many as it has room for.
    pub(in crate::mime::container) fn with_stream(&self, index: usize, octets: &[u8]) -> Vec<u8> {
        let mut out = self.data.to_vec();
        let Some(entry) = self.entries.get(index) else { return out };
        let start_of = |number: u32| {
            let number = usize::try_from(number).ok()?;
            number.checked_add(1)?.checked_mul(self.sector_bytes)
        };
        let is_mini = entry.size < MINI_BYTES_MAX;
        let (table, step) = if is_mini {
            (&self.mini_fat, MINI_SECTOR_BYTES)
        } else {
            (&self.fat, self.sector_bytes)
        };
        // The sectors in which the mini stream stands.
        let root = self.entries.first().map_or(NONE, |root| root.start);
        let below = follow(&self.fat, root, self.sector_count());
        let place = |number: u32| {
            if !is_mini {
                return start_of(number);
            }
            let at = usize::try_from(number).ok()?.checked_mul(MINI_SECTOR_BYTES)?;
            start_of(*below.get(at / self.sector_bytes)?)?.checked_add(at % self.sector_bytes)
        };
        let sectors = follow(table, entry.start, octets.len().div_ceil(step));
        for (number, part) in sectors.into_iter().zip(octets.chunks(step)) {
            let Some(start) = place(number) else { continue };
            let end = start.saturating_add(part.len()).min(out.len());
            if let Some(cells) = out.get_mut(start..end) {
                cells.iter_mut().zip(part).for_each(|(cell, octet)| *cell = *octet);
            }
        }
        out
    }

    /// The stream or storage of that name (case does not matter) in that storage.
    pub(in crate::mime::container) fn find(
        &self,
        parent: Option<usize>,
        name: &str,
    ) -> Option<usize> {
        self.entries.iter().position(|entry| {
            entry.parent == parent
                && !entry.name.is_empty()
                && entry.name.eq_ignore_ascii_case(name)
        })
    }

    /// What stands in that storage.
    pub(in crate::mime::container) fn children(&self, parent: usize) -> Vec<usize> {
        let inside =
            |(index, entry): (usize, &Entry)| (entry.parent == Some(parent)).then_some(index);
        self.entries.iter().enumerate().filter_map(inside).collect()
    }

    fn sector_count(&self) -> usize {
        self.data.len().div_ceil(self.sector_bytes)
    }

    /// The sector of that number; the last one may be cut.
    fn sector(&self, number: u32) -> Option<&'a [u8]> {
        let start = usize::try_from(number).ok()?.checked_add(1)?.checked_mul(self.sector_bytes)?;
        let end = start.saturating_add(self.sector_bytes).min(self.data.len());
        self.data.get(start..end).filter(|sector| !sector.is_empty())
    }

    /// The table of sectors, from the list in the header and its continuation.
    fn read_fat(&mut self) {
        let count = self.sector_count();
        let head = self.data.get(76..512.min(self.data.len())).unwrap_or_default();
        let mut tables: Vec<u32> = numbers(head).collect();
        let mut next = u32_at(self.data, 68).unwrap_or(NONE);
        for _ in 0..count {
            let Some(sector) = self.sector(next).filter(|_| next < SPECIAL) else { break };
            let mut listed: Vec<u32> = numbers(sector).collect();
            next = listed.pop().unwrap_or(NONE);
            tables.extend(listed);
            if tables.len() > count {
                break;
            }
        }
        for table in tables {
            if table >= SPECIAL || self.fat.len() >= count {
                continue;
            }
            match self.sector(table) {
                Some(sector) => self.fat.extend(numbers(sector)),
                None => self.fat.resize(self.fat.len() + self.sector_bytes / 4, NONE),
            }
        }
        self.fat.truncate(count);
    }

    /// Follows a chain for `size` octets, `usize::MAX` for all of it.
    fn chain(&mut self, start: u32, size: usize) -> Bytes {
        let size_max = size.min(self.data.len()).min(self.octets_left);
        let sectors = follow(&self.fat, start, size_max.div_ceil(self.sector_bytes));
        let (Some(first), Some(last)) = (sectors.first(), sectors.last()) else {
            return Bytes::new();
        };
        let place = |number: u32| {
            let number = usize::try_from(number).unwrap_or(usize::MAX).saturating_add(1);
            number.saturating_mul(self.sector_bytes).min(self.data.len())
        };
        let in_order = sectors.windows(2).all(|two| match two {
            [one, other] => one.checked_add(1) == Some(*other),
            _ => true,
        });
        let mut found = Vec::new();
        if in_order {
            let end = place(last.saturating_add(1)).min(place(*first).saturating_add(size_max));
            found.extend_from_slice(self.data.get(place(*first)..end).unwrap_or_default());
        } else {
            for number in &sectors {
                found.extend_from_slice(self.sector(*number).unwrap_or_default());
            }
            found.truncate(size_max);
        }
        self.octets_left = self.octets_left.saturating_sub(found.len());
        found.into()
    }

    fn mini_chain(&mut self, start: u32, size: usize) -> Bytes {
        let size = size.min(self.octets_left);
        let mut out = Vec::new();
        for number in follow(&self.mini_fat, start, size.div_ceil(MINI_SECTOR_BYTES)) {
            let at =
                usize::try_from(number).unwrap_or(usize::MAX).saturating_mul(MINI_SECTOR_BYTES);
            let end = at.saturating_add(MINI_SECTOR_BYTES).min(self.mini_stream.len());
            out.extend_from_slice(self.mini_stream.get(at..end).unwrap_or_default());
        }
        out.truncate(size);
        self.octets_left = self.octets_left.saturating_sub(out.len());
        out.into()
    }

    /// Gives each entry the storage it stands in: siblings hang in a tree below the child of the storage.
    fn build_tree(&mut self) {
        let mut seen = vec![false; self.entries.len()];
        for storage in 0..self.entries.len() {
            let Some(top) = self.entries.get(storage).filter(|entry| entry.is_storage) else {
                continue;
            };
            let mut left = vec![top.child];
            while let Some(number) = left.pop() {
                let Ok(index) = usize::try_from(number) else { continue };
                // The root stands in nothing.
                if index == 0 || index == storage || seen.get(index) != Some(&false) {
                    continue;
                }
                let Some(entry) = self.entries.get_mut(index) else { continue };
                entry.parent = Some(storage);
                left.extend([entry.left, entry.right]);
                if let Some(mark) = seen.get_mut(index) {
                    *mark = true;
                }
            }
        }
    }

    /// Searches all sectors for what looks like directory entries.
    fn find_entries(&mut self) {
        let looks_real = |octets: &[u8]| {
            let length = u16_at(octets, 64).unwrap_or(0);
            let shape = octets.get(66..68).unwrap_or_default();
            (4..=64).contains(&length)
                && length.is_multiple_of(2)
                && matches!(shape, [1 | 2 | 5, 0 | 1])
                && octets.first().is_some_and(|octet| *octet != 0)
                && octets.get(usize::from(length) - 2..usize::from(length)) == Some(&[0, 0])
        };
        self.entries.clear();
        let data = self.data;
        for sector in data.chunks_exact(self.sector_bytes).skip(1) {
            if sector.get(..ENTRY_BYTES).is_some_and(looks_real) {
                self.entries.extend(sector.chunks_exact(ENTRY_BYTES).map(entry));
            }
            if self.entries.len() >= ENTRIES_MAX {
                break;
            }
        }
    }
}

/// The sectors of a chain: until it ends, leaves the table, comes back to itself, or is long enough.
fn follow(table: &[u32], start: u32, count_max: usize) -> Vec<u32> {
    let mut chain = Vec::new();
    let mut number = start;
    // A loop is met again at the latest when the mark has been passed on often enough (Brent).
    let (mut mark, mut steps, mut limit) = (NONE, 0_usize, 2_usize);
    while chain.len() < count_max && number < SPECIAL && number != mark {
        let Some(next) = usize::try_from(number).ok().and_then(|at| table.get(at)) else { break };
        chain.push(number);
        steps += 1;
        if steps == limit {
            (mark, steps, limit) = (number, 0, limit.saturating_mul(2));
        }
        number = *next;
    }
    chain
}

fn numbers(octets: &[u8]) -> impl Iterator<Item = u32> + '_ {
    octets.chunks_exact(4).filter_map(|four| u32_at(four, 0))
}

fn entry(octets: &[u8]) -> Entry {
    let number = |at| u32_at(octets, at).unwrap_or(NONE);
    let kind = octets.get(66).copied().unwrap_or(0);
    let length = usize::from(u16_at(octets, 64).unwrap_or(0)).clamp(2, 64) - 2;
    let wide = octets.get(..length).unwrap_or_default();
    let units: Vec<u16> = wide.chunks_exact(2).filter_map(|two| u16_at(two, 0)).collect();
    let is_used = kind != 0;
    Entry {
        name: if is_used { String::from_utf16_lossy(&units) } else { String::new() },
        parent: None,
        is_storage: matches!(kind, 1 | 5),
        class_id: octets.get(80..96).and_then(|id| id.try_into().ok()).unwrap_or_default(),
        start: number(116),
        size: if is_used { usize::try_from(number(120)).unwrap_or(usize::MAX) } else { 0 },
        left: number(68),
        right: number(72),
        child: number(76),
    }
}

/// A small writer of compound files, for tests.
#[cfg(test)]
pub(in crate::mime::container) mod writer {
    /// Path (storages parted by `/`) and content of each stream, and the class of the root.
    pub(in crate::mime::container) fn pack(
        streams: &[(&str, &[u8])],
        class_id: [u8; 16],
    ) -> Vec<u8> {
        // Entry: name, kind, child, right, start, size.
        let mut entries: Vec<(String, u8, u32, u32, u32, u32)> =
            vec![("Root Entry".to_owned(), 5, u32::MAX, u32::MAX, u32::MAX, 0)];
        let mut parents = vec![String::new()];
        let mut body: Vec<u8> = Vec::new();
        let mut mini: Vec<u8> = Vec::new();
        let (mut fat, mut mini_fat) = (Vec::new(), Vec::new());
        let mut starts = Vec::new();
        for (path, data) in streams {
            let size = u32::try_from(data.len()).unwrap();
            let start = if data.len() < 4096 {
                append(&mut mini, &mut mini_fat, data, 64)
            } else {
                append(&mut body, &mut fat, data, 512)
            };
            starts.push((*path, start, size));
        }
        let mini_start = append(&mut body, &mut fat, &mini, 512);
        let mini_fat_octets: Vec<u8> =
            mini_fat.iter().flat_map(|n: &u32| n.to_le_bytes()).collect();
        let mini_fat_start = append(&mut body, &mut fat, &mini_fat_octets, 512);
        entries[0].4 = mini_start;
        entries[0].5 = u32::try_from(mini.len()).unwrap();
        for (path, start, size) in starts {
            let mut above = String::new();
            let mut parent = 0;
            let names: Vec<&str> = path.split('/').collect();
            for (depth, name) in names.iter().enumerate() {
                let own = format!("{above}/{name}");
                let is_last = depth + 1 == names.len();
                let found = parents.iter().position(|known| *known == own);
                let index = found.unwrap_or_else(|| {
                    let index = entries.len();
                    let number = u32::try_from(index).unwrap();
                    let sibling = std::mem::replace(&mut entries[parent].2, number);
                    let kind = if is_last { 2 } else { 1 };
                    entries.push(((*name).to_owned(), kind, u32::MAX, sibling, 0, 0));
                    parents.push(own.clone());
                    index
                });
                if is_last {
                    entries[index].4 = start;
                    entries[index].5 = size;
                }
                (above, parent) = (own, index);
            }
        }
        let directory = listed(&entries, class_id);
        let directory_start = append(&mut body, &mut fat, &directory, 512);
        let fat_start = u32::try_from(fat.len()).unwrap();
        let tables = (fat.len() + 1).div_ceil(127);
        fat.extend((0..tables).map(|_| 0xffff_fffd));
        let mut table: Vec<u8> = fat.iter().flat_map(|n| n.to_le_bytes()).collect();
        table.resize(tables * 512, 0xff);
        body.extend(table);
        let mut head = [super::MAGIC, &[0; 16], &[0x3e, 0, 3, 0, 0xfe, 0xff, 9, 0, 6, 0]].concat();
        head.resize(44, 0);
        let count = u32::try_from(tables).unwrap();
        let end = 0xffff_fffe;
        for number in [count, directory_start, 0, 4096, mini_fat_start, 1, end, 0] {
            head.extend(number.to_le_bytes());
        }
        head.extend((0..count).flat_map(|index| (fat_start + index).to_le_bytes()));
        head.resize(512, 0xff);
        [head, body].concat()
    }

    fn listed(entries: &[(String, u8, u32, u32, u32, u32)], class_id: [u8; 16]) -> Vec<u8> {
        let mut directory = Vec::new();
        for (index, (name, kind, child, right, start, size)) in entries.iter().enumerate() {
            let mut octets: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
            let length = u16::try_from(octets.len() + 2).unwrap();
            octets.resize(64, 0);
            octets.extend(length.to_le_bytes());
            octets.extend([*kind, 1]);
            octets.extend([u32::MAX, *right, *child].iter().flat_map(|n| n.to_le_bytes()));
            octets.extend(if index == 0 { class_id } else { [0; 16] });
            octets.extend([0; 20]);
            octets.extend([*start, *size, 0].iter().flat_map(|n| n.to_le_bytes()));
            directory.extend(octets);
        }
        directory
    }

    fn append(body: &mut Vec<u8>, table: &mut Vec<u32>, data: &[u8], sector: usize) -> u32 {
        let start = u32::try_from(table.len()).unwrap();
        let count = u32::try_from(data.len().div_ceil(sector)).unwrap();
        if count == 0 {
            return 0xffff_fffe;
        }
        table.extend((1..count).map(|index| start + index));
        table.push(0xffff_fffe);
        body.extend_from_slice(data);
        body.resize(body.len().next_multiple_of(sector), 0);
        start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(data: Vec<u8>) -> Vec<(String, Vec<u8>)> {
        let data: Vec<u8> = data;
        let mut file = Compound::read(&data);
        (0..file.entries.len())
            .filter(|index| {
                file.entries.get(*index).is_some_and(|e| !e.is_storage && !e.name.is_empty())
            })
            .collect::<Vec<_>>()
            .into_iter()
            .map(|index| (file.entries[index].name.clone(), file.stream(index).to_vec()))
            .collect()
    }

    fn sample() -> (Vec<u8>, Vec<(String, Vec<u8>)>) {
        let long: Vec<u8> = (0..9_000_u32).flat_map(u32::to_le_bytes).collect();
        let streams: &[(&str, &[u8])] = &[("a", b"one"), ("s/b", b"two"), ("s/t/long", &long)];
        let want = [("a", &b"one"[..]), ("b", b"two"), ("long", &long)];
        let want = want.iter().map(|(name, data)| ((*name).to_owned(), data.to_vec())).collect();
        (writer::pack(streams, [0; 16]), want)
    }

    #[test]
    fn streams_are_read_short_and_long() {
        let (data, want) = sample();
        assert_eq!(listed(data.clone()), want);
        let data: Vec<u8> = data;
        let file = Compound::read(&data);
        assert!(!file.is_damaged);
        let storage = file.find(Some(0), "S").unwrap();
        assert_eq!(file.children(storage).len(), 2);
        assert!(file.find(Some(storage), "B").is_some());
        assert!(file.find(Some(0), "b").is_none());
    }

    #[test]
    fn a_stream_can_be_replaced() {
        let (data, _) = sample();
        let data: Vec<u8> = data;
        let file = Compound::read(&data);
        for (name, octets) in [("a", b"new".to_vec()), ("long", vec![7; 36_000])] {
            let index = file.entries.iter().position(|entry| entry.name == name).unwrap();
            let changed = listed(file.with_stream(index, &octets));
            assert!(changed.contains(&(name.to_owned(), octets)));
            assert_eq!(changed.len(), 3);
        }
    }

    #[test]
    fn a_lost_directory_is_found_again() {
        let (mut data, want) = sample();
        data[48..52].copy_from_slice(&[0xff; 4]);
        assert_eq!(listed(data), want);
    }

    #[test]
    fn entries_that_no_tree_holds_are_still_listed() {
        let (mut data, want) = sample();
        let root = memchr::memmem::find(&data, b"R\0o\0o\0t\0").unwrap();
        data[root + 76..root + 80].copy_from_slice(&[0xff; 4]);
        assert_eq!(listed(data), want);
    }

    #[test]
    fn loops_and_lies_end() {
        let table = [1, 2, 0];
        assert!(follow(&table, 0, usize::MAX).len() < 16);
        assert!(follow(&table, 9, usize::MAX).is_empty());
        assert_eq!(follow(&[0], 0, 1000).len(), 2);
        let (mut data, _) = sample();
        let end = data.len();
        data[end - 512..].fill(0);
        listed(data);
    }
}
