//! UDF (ECMA-167, OSTA UDF 1.02 to 2.60), as far as images for mail have it: partitions in one piece, with or without the
//! metadata file of UDF 2.50. What lies elsewhere is unscannable.

use std::collections::HashSet;
use std::ops::Range;

use super::SECTOR_BYTES;
use super::files::Files;
use super::tree::wide_text;
use crate::mime::container::{u16_at, u32_at};

/// Folders that wait to be read, and signs of a path.
const FOLDERS_MAX: usize = 20_000;
const PATH_BYTES_MAX: usize = 4096;

/// Descriptors of the volume, and extents of a file.
const DESCRIPTORS_MAX: usize = 64;
const EXTENTS_MAX: usize = 4096;

/// Tags of descriptors.
const ANCHOR: u16 = 2;
const PARTITION: u16 = 5;
const LOGICAL_VOLUME: u16 = 6;
const FILE_SET: u16 = 256;
const FILE_NAME: u16 = 257;
const FILE: u16 = 261;
const EXTENDED_FILE: u16 = 266;

/// Bits of a file's name in a folder.
const FOLDER_BIT: u8 = 2;
const DELETED_BIT: u8 = 4;
const PARENT_BIT: u8 = 8;

/// Where the blocks of a partition lie in the image.
#[derive(Debug, Clone)]
enum Map {
    /// From that octet on.
    Plain(usize),
    /// In the extents of a file.
    Metadata(Vec<Range<usize>>),
    Unknown,
}

#[derive(Debug)]
struct Volume<'a> {
    data: &'a [u8],
    block_bytes: usize,
    maps: Vec<Map>,
}

/// A file as its entry describes it.
struct Entry {
    extents: Vec<Range<usize>>,
    unreadable: bool,
}

/// A place: block, and number of the partition's map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Place {
    block: u32,
    map: u16,
}

/// Reads the tree of the image's first logical volume.
pub(super) fn read(data: &[u8], files: &mut Files) {
    let Some((volume, root)) = open_volume(data) else {
        files.bad = true;
        files.refused = true;
        return;
    };
    if volume.maps.iter().any(|map| matches!(map, Map::Unknown)) {
        files.refused = true;
    }
    files.trees += 1;
    let mut seen = HashSet::from([root]);
    let mut waiting = vec![(root, String::new())];
    while let Some((place, path)) = waiting.pop() {
        let Some(entry) = volume.entry(place).filter(|entry| !entry.unreadable) else {
            files.bad = true;
            files.refused = true;
            continue;
        };
        let length = entry.extents.iter().map(Range::len).fold(0, usize::saturating_add);
        if !files.may_read_folder(length) {
            return;
        }
        let mut octets = Vec::new();
        for extent in entry.extents {
            octets.extend_from_slice(data.get(extent).unwrap_or_default());
        }
        for (place, path) in folder(&octets, &path, &volume, files) {
            if waiting.len() >= FOLDERS_MAX || path.len() > PATH_BYTES_MAX {
                files.bad = true;
                files.refused = true;
            } else if seen.insert(place) {
                waiting.push((place, path));
            }
        }
    }
}

/// Takes the files of a folder; gives the folders in it.
fn folder(
    octets: &[u8],
    path: &str,
    volume: &Volume<'_>,
    files: &mut Files,
) -> Vec<(Place, String)> {
    let mut folders = Vec::new();
    let mut rest = octets;
    while u16_at(rest, 0) == Some(FILE_NAME) {
        let Some((bits, place, name, length)) = file_name(rest) else {
            files.bad = true;
            break;
        };
        rest = rest.get(length..).unwrap_or_default();
        if bits & (DELETED_BIT | PARENT_BIT) != 0 {
            continue;
        }
        let name = if path.is_empty() { name } else { format!("{path}/{name}") };
        if bits & FOLDER_BIT != 0 {
            folders.push((place, name));
            continue;
        }
        match volume.entry(place) {
            Some(entry) => files.add(vec![name], entry.extents, entry.unreadable),
            None => files.add(vec![name], Vec::new(), true),
        }
    }
    if rest.iter().any(|octet| *octet != 0) {
        files.bad = true;
    }
    folders
}

/// Bits, place, name, and length of the descriptor at the start.
fn file_name(octets: &[u8]) -> Option<(u8, Place, String, usize)> {
    let bits = *octets.get(18)?;
    let name_bytes = usize::from(*octets.get(19)?);
    let place = Place { block: u32_at(octets, 24)?, map: u16_at(octets, 28)? };
    let start = 38 + usize::from(u16_at(octets, 36)?);
    let name = octets.get(start..start + name_bytes)?;
    // The first octet says how many bits a sign has.
    let name = match name.split_first() {
        Some((16, wide)) => wide_text(wide),
        Some((_, narrow)) => narrow.iter().map(|octet| char::from(*octet)).collect(),
        None => String::new(),
    };
    Some((bits, place, name, (start + name_bytes).next_multiple_of(4)))
}

/// The first descriptors: where the partitions lie, and where the root is.
fn open_volume(data: &[u8]) -> Option<(Volume<'_>, Place)> {
    let sector = |number: usize| {
        let start = number.checked_mul(SECTOR_BYTES)?;
        data.get(start..).filter(|rest| !rest.is_empty())
    };
    let last = (data.len() / SECTOR_BYTES).checked_sub(1)?;
    let anchors = [256, last, last.saturating_sub(256), 512];
    let anchor =
        anchors.into_iter().filter_map(sector).find(|sector| u16_at(sector, 0) == Some(ANCHOR))?;
    let first = usize::try_from(u32_at(anchor, 20)?).ok()?;
    let count = usize::try_from(u32_at(anchor, 16)?).ok()? / SECTOR_BYTES;
    let mut partitions = Vec::new();
    let mut logical = None;
    for number in first..first.checked_add(count.min(DESCRIPTORS_MAX))? {
        let Some(descriptor) = sector(number) else { break };
        match u16_at(descriptor, 0) {
            Some(PARTITION) => {
                partitions.push((u16_at(descriptor, 22)?, u32_at(descriptor, 188)?));
            }
            Some(LOGICAL_VOLUME) => logical = Some(descriptor),
            _ => {}
        }
    }
    let logical = logical?;
    let block_bytes = usize::try_from(u32_at(logical, 212)?).ok()?;
    if !matches!(block_bytes, 512 | 1024 | 2048 | 4096) {
        return None;
    }
    let mut volume = Volume { data, block_bytes, maps: Vec::new() };
    volume.read_maps(logical, &partitions)?;
    let set = Place { block: u32_at(logical, 252)?, map: u16_at(logical, 256)? };
    let start = volume.range(set, 512)?.start;
    let set = data.get(start..).filter(|set| u16_at(set, 0) == Some(FILE_SET))?;
    let root = Place { block: u32_at(set, 404)?, map: u16_at(set, 408)? };
    Some((volume, root))
}

impl Volume<'_> {
    /// Reads the partition maps; a later one may lie in an earlier one.
    fn read_maps(&mut self, logical: &[u8], partitions: &[(u16, u32)]) -> Option<()> {
        let count = usize::try_from(u32_at(logical, 268)?).ok()?;
        let mut map = logical.get(440..)?;
        for _ in 0..count.min(DESCRIPTORS_MAX) {
            let [kind, length, ..] = *map else { break };
            let number = u16_at(map, if kind == 1 { 4 } else { 38 });
            let start = partitions.iter().find(|(own, _)| Some(*own) == number);
            let start = start
                .and_then(|(_, sector)| usize::try_from(*sector).ok())
                .and_then(|sector| sector.checked_mul(self.block_bytes));
            let found = match (kind, start) {
                (1, Some(start)) => Map::Plain(start),
                (2, Some(start)) if map.get(5..28) == Some(b"*UDF Metadata Partition") => {
                    // The file lies in the partition that the map names.
                    self.maps.push(Map::Plain(start));
                    let own = u16::try_from(self.maps.len() - 1).ok()?;
                    let entry = self.entry(Place { block: u32_at(map, 40)?, map: own });
                    self.maps.pop();
                    entry.map_or(Map::Unknown, |entry| Map::Metadata(entry.extents))
                }
                _ => Map::Unknown,
            };
            self.maps.push(found);
            map = map.get(usize::from(length).max(2)..)?;
        }
        Some(())
    }

    /// Where so many octets from the place on lie.
    fn range(&self, place: Place, length: usize) -> Option<Range<usize>> {
        let offset = usize::try_from(place.block).ok()?.checked_mul(self.block_bytes)?;
        let start = match self.maps.get(usize::from(place.map))? {
            Map::Plain(start) => start.checked_add(offset)?,
            Map::Metadata(extents) => {
                let mut left = offset;
                let extent = extents.iter().find(|extent| {
                    let inside = left < extent.len();
                    left -= if inside { 0 } else { extent.len() };
                    inside
                })?;
                extent.start.checked_add(left)?
            }
            Map::Unknown => return None,
        };
        Some(start..start.checked_add(length)?)
    }

    /// The file whose entry stands there.
    fn entry(&self, place: Place) -> Option<Entry> {
        let start = self.range(place, self.block_bytes)?.start;
        let block = self.data.get(start..)?;
        let block = block.get(..self.block_bytes).unwrap_or(block);
        let (attributes_at, list_at) = match u16_at(block, 0)? {
            FILE => (168, 172),
            EXTENDED_FILE => (208, 212),
            _ => return None,
        };
        let number = |at| usize::try_from(u32_at(block, at)?).ok();
        let from = (list_at + 4_usize).checked_add(number(attributes_at)?)?;
        let length = number(list_at)?;
        // The high half of the size is asked only whether it is there: no image is that large.
        let size = if u32_at(block, 60)? == 0 { number(56)? } else { usize::MAX };
        let manner = u16_at(block, 34)? & 7;
        if manner == 3 {
            let at = start.checked_add(from)?;
            let extent = at..at.checked_add(size.min(length))?;
            return Some(Entry { extents: vec![extent], unreadable: false });
        }
        let list = block.get(from..from.checked_add(length)?.min(block.len()))?;
        self.extents(list, manner, size, place.map)
    }

    /// Follows a list of allocation descriptors: short (0) or long (1) ones.
    fn extents(&self, list: &[u8], manner: u16, size: usize, map: u16) -> Option<Entry> {
        let width = match manner {
            0 => 8,
            1 => 16,
            _ => return Some(Entry { extents: Vec::new(), unreadable: true }),
        };
        let (mut extents, mut left, mut unreadable) = (Vec::new(), size, false);
        for one in list.chunks_exact(width) {
            let field = u32_at(one, 0)?;
            let length = usize::try_from(field & 0x3fff_ffff).ok()?.min(left);
            if length == 0 {
                break;
            }
            let map = if manner == 1 { u16_at(one, 8)? } else { map };
            match (field >> 30, self.range(Place { block: u32_at(one, 4)?, map }, length)) {
                (0, Some(range)) if extents.len() < EXTENTS_MAX => extents.push(range),
                // Holes, and lists that go on elsewhere.
                _ => unreadable = true,
            }
            left -= length;
        }
        unreadable |= left > 0 && left != usize::MAX;
        Some(Entry { extents, unreadable })
    }
}
