//! A tree of ISO 9660: its own names, those of Joliet, those of Rock Ridge (SUSP 1.12, RRIP 1.12).

use std::collections::HashSet;
use std::ops::Range;

use super::SECTOR_BYTES;
use super::files::Files;
use crate::mime::container::{name_text, u16_at, u32_at};

/// Folders that wait to be read, and signs of a path.
const FOLDERS_MAX: usize = 20_000;
const PATH_BYTES_MAX: usize = 4096;

/// Areas that continue the fields of Rock Ridge in one record.
const AREAS_MAX: usize = 8;

const PRIMARY: u8 = 1;
const SUPPLEMENTARY: u8 = 2;

/// Escape sequences by which a supplementary tree says that its names are UCS-2.
const JOLIET: [&[u8]; 3] = [b"%/@", b"%/C", b"%/E"];

/// Bits in a record.
const FOLDER_BIT: u8 = 2;
const MORE_BIT: u8 = 0x80;

/// How the records of one tree are read.
struct Tree {
    block_bytes: usize,
    wide: bool,
    /// Octets before the fields of Rock Ridge.
    skip: usize,
}

/// One record of a folder.
struct Record {
    names: Vec<String>,
    extent: Range<usize>,
    flags: u8,
    interleaved: bool,
    itself: bool,
}

/// Reads the tree that the descriptor describes, if it describes one.
pub(super) fn read(data: &[u8], descriptor: &[u8], files: &mut Files) {
    let wide = match descriptor.first() {
        Some(&PRIMARY) => false,
        Some(&SUPPLEMENTARY) => {
            let escapes = descriptor.get(88..120).unwrap_or_default();
            JOLIET.iter().any(|escape| memchr::memmem::find(escapes, escape).is_some())
        }
        _ => return,
    };
    let block = u16_at(descriptor, 128).map(usize::from);
    let block_bytes = block.filter(|size| matches!(size, 512 | 1024 | 4096));
    let mut tree = Tree { block_bytes: block_bytes.unwrap_or(SECTOR_BYTES), wide, skip: 0 };
    let Some(root) = descriptor.get(156..190).and_then(|root| tree.record(data, root)) else {
        files.bad = true;
        return;
    };
    if root.extent.start >= data.len() {
        files.bad = true;
        return;
    }
    files.trees += 1;
    tree.skip = skip_of(data, &root.extent);
    let mut seen = HashSet::from([root.extent.start]);
    let mut waiting = vec![(root.extent, String::new())];
    while let Some((extent, path)) = waiting.pop() {
        let end = extent.end.min(data.len());
        if end < extent.end {
            files.bad = true;
        }
        if !files.may_read_folder(end.saturating_sub(extent.start)) {
            return;
        }
        for (extent, path) in tree.folder(data, extent.start..end, &path, files) {
            if waiting.len() >= FOLDERS_MAX || path.len() > PATH_BYTES_MAX {
                files.bad = true;
                files.refused = true;
            } else if seen.insert(extent.start) {
                waiting.push((extent, path));
            }
        }
    }
}

/// The first record of the root says how many octets stand before the fields of Rock Ridge.
fn skip_of(data: &[u8], root: &Range<usize>) -> usize {
    let record = data.get(root.start..).unwrap_or_default();
    match record.get(34..41) {
        Some([b'S', b'P', 7, _, 0xbe, 0xef, skip]) => usize::from(*skip),
        _ => 0,
    }
}

impl Tree {
    /// Takes the files of a folder; gives the folders in it.
    fn folder(
        &self,
        data: &[u8],
        extent: Range<usize>,
        path: &str,
        files: &mut Files,
    ) -> Vec<(Range<usize>, String)> {
        let mut folders = Vec::new();
        let mut extents = Vec::new();
        let mut at = extent.start;
        while at < extent.end {
            let length = data.get(at).map_or(0, |length| usize::from(*length));
            if length == 0 {
                // No record crosses the end of a sector.
                let inside = at - extent.start;
                at = extent.start.saturating_add((inside / SECTOR_BYTES + 1) * SECTOR_BYTES);
                continue;
            }
            let octets = data.get(at..at + length).unwrap_or_default();
            at += length;
            let Some(record) = self.record(data, octets) else {
                files.bad = true;
                continue;
            };
            if record.itself {
                continue;
            }
            let names: Vec<String> = record
                .names
                .iter()
                .map(|name| if path.is_empty() { name.clone() } else { format!("{path}/{name}") })
                .collect();
            if record.flags & FOLDER_BIT != 0 {
                let path = names.into_iter().next().unwrap_or_default();
                folders.push((record.extent, path));
                continue;
            }
            extents.push(record.extent);
            if record.flags & MORE_BIT == 0 {
                files.add(names, std::mem::take(&mut extents), record.interleaved);
            }
        }
        folders
    }

    fn record(&self, data: &[u8], octets: &[u8]) -> Option<Record> {
        let place = usize::try_from(u32_at(octets, 2)?).ok()?;
        // Attributes may stand before the content, in blocks.
        let place = place.checked_add(usize::from(*octets.get(1)?))?;
        let start = place.checked_mul(self.block_bytes)?;
        let size = usize::try_from(u32_at(octets, 10)?).ok()?;
        let [flags, unit, gap] = *octets.get(25..28)? else { return None };
        let length = usize::from(*octets.get(32)?);
        let name = octets.get(33..33_usize.checked_add(length)?)?;
        // The fields begin at an even octet.
        let fields = (33 + length).next_multiple_of(2).checked_add(self.skip)?;
        let mut names = Vec::new();
        names.extend(rock_ridge_name(
            data,
            octets.get(fields..).unwrap_or_default(),
            self.block_bytes,
        ));
        let own = self.own_name(name);
        if !names.contains(&own) {
            names.push(own);
        }
        let itself = matches!(name, [0 | 1]);
        let extent = start..start.checked_add(size)?;
        Some(Record { names, extent, flags, interleaved: unit != 0 || gap != 0, itself })
    }

    /// The name in the record, without version and without the dot before nothing.
    fn own_name(&self, octets: &[u8]) -> String {
        let name = if self.wide { wide_text(octets) } else { name_text(octets) };
        let name = match name.rsplit_once(';') {
            Some((name, version)) if version.bytes().all(|octet| octet.is_ascii_digit()) => name,
            _ => &name,
        };
        name.strip_suffix('.').unwrap_or(name).to_owned()
    }
}

/// UCS-2 with the big end first.
pub(super) fn wide_text(octets: &[u8]) -> String {
    let units =
        octets.chunks_exact(2).filter_map(|pair| pair.try_into().ok().map(u16::from_be_bytes));
    char::decode_utf16(units).map(|sign| sign.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

/// The name in the fields of Rock Ridge: sign, length, version, content.
fn rock_ridge_name<'a>(data: &'a [u8], mut fields: &'a [u8], block_bytes: usize) -> Option<String> {
    let mut name = Vec::new();
    for _ in 0..AREAS_MAX {
        let mut next = None;
        while let [one, two, length, _, ..] = *fields {
            let length = usize::from(length);
            let Some(field) = fields.get(..length).filter(|_| length >= 4) else { break };
            match [one, two] {
                // Bits 1 and 2 of the flags: the folder itself, the one above.
                [b'N', b'M'] if field.get(4).is_some_and(|flags| flags & 6 == 0) => {
                    name.extend_from_slice(field.get(5..).unwrap_or_default());
                }
                [b'C', b'E'] => next = continued(data, field, block_bytes),
                [b'S', b'T'] => break,
                _ => {}
            }
            fields = fields.get(length..).unwrap_or_default();
        }
        match next {
            Some(area) => fields = area,
            None => break,
        }
    }
    (!name.is_empty()).then(|| name_text(&name))
}

/// The area that a field points to: block, offset, length, each with both ends first.
fn continued<'a>(data: &'a [u8], field: &[u8], block_bytes: usize) -> Option<&'a [u8]> {
    let number = |at| usize::try_from(u32_at(field, at)?).ok();
    let start = number(4)?.checked_mul(block_bytes)?.checked_add(number(12)?)?;
    let length = number(20)?.min(SECTOR_BYTES);
    data.get(start..start.checked_add(length)?)
}
