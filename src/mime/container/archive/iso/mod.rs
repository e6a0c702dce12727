//! Images of optical disks, which systems open with a click: ISO 9660 (ECMA-119) with the names of Joliet and Rock Ridge,
//! and UDF. An image may hold several trees of names; a file is given once, with every name it has in any of them.

mod files;
mod tree;
mod udf;

use self::files::Files;
use super::{Ask, Opened};
use crate::mail::{DefectCode, PartFlag};

/// Sectors are counted in this size up to the descriptors, which say the size of a block.
const SECTOR_BYTES: usize = 2048;

/// Where the descriptors begin, and how many are looked at, as in the Linux kernel.
const DESCRIPTORS: std::ops::Range<usize> = 16..116;

/// Marks of descriptors: ISO 9660, and the start, the content and the end of what UDF has beside it (ECMA-167 2/9.1).
const ISO_MARK: &[u8] = b"CD001";
const UDF_MARKS: [&[u8]; 2] = [b"NSR02", b"NSR03"];

/// The descriptors of volumes with that mark.
fn descriptors<'a>(data: &'a [u8], mark: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    DESCRIPTORS
        .map_while(|sector| data.get(sector * SECTOR_BYTES..))
        .map(|rest| rest.get(..SECTOR_BYTES).unwrap_or(rest))
        .filter(move |sector| sector.get(1..6) == Some(mark))
}

/// True if descriptors of ISO 9660 or UDF stand where they must.
pub(in crate::mime) fn begins(data: &[u8]) -> bool {
    let has = |mark| descriptors(data, mark).next().is_some();
    has(ISO_MARK) || UDF_MARKS.into_iter().any(has)
}

/// True if the image is one of a Macintosh as well: its system sees other files in it.
fn has_hfs(data: &[u8]) -> bool {
    const VOLUME_AT: usize = 1024;
    matches!(data.get(VOLUME_AT..VOLUME_AT + 2), Some(b"H+" | b"HX" | b"BD"))
}

pub(in crate::mime::container) fn open(ask: Ask<'_>, opened: &mut Opened) {
    let Ask { data, budget, .. } = ask;
    let mut files = Files::new(data.len());
    for descriptor in descriptors(data, ISO_MARK) {
        tree::read(data, descriptor, &mut files);
    }
    // Of an image that is both, some systems see only what is UDF.
    if UDF_MARKS.into_iter().any(|mark| descriptors(data, mark).next().is_some()) {
        udf::read(data, &mut files);
    }
    if has_hfs(data) {
        files.refused = true;
    }
    if files.bad || files.list.is_empty() {
        opened.note(DefectCode::BadArchive);
    }
    if files.refused || files.trees == 0 {
        opened.flag(PartFlag::Unscannable);
    }
    files.give(data, budget, opened);
}

#[cfg(test)]
mod tests;
