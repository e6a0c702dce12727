//! Presentations of PowerPoint up to 2003 ([MS-PPT]): their objects and their project are OLE files in the stream.

use bytes::Bytes;

use crate::mail::{DefectCode, PartFlag};
use crate::mime::budget::Budget;
use crate::mime::container::stream::inflate::inflate;
use crate::mime::container::{Member, Opened, u16_at, u32_at};

/// An OLE file, packed or not.
const STORAGE: u16 = 0x1011;

/// Kinds of records that hold objects, besides.
const OBJECT: u16 = 0x0fcc;

pub(super) fn open(stream: &Bytes, budget: &mut Budget, opened: &mut Opened) {
    const CONTAINER: u16 = 15;
    let mut at = 0;
    while let (Some(first), Some(kind), Some(length)) =
        (u16_at(stream, at), u16_at(stream, at + 2), u32_at(stream, at + 4))
    {
        let start = at + 8;
        // What holds records is stepped into, the rest stepped over.
        if first & 15 == CONTAINER {
            if kind == OBJECT {
                opened.flag(PartFlag::Object);
            }
            at = start;
            continue;
        }
        let end = start.saturating_add(usize::try_from(length).unwrap_or(usize::MAX));
        let content = stream.slice(start.min(stream.len())..end.min(stream.len()));
        if kind == STORAGE {
            take(&content, first >> 4 == 1, budget, opened);
        }
        at = end;
    }
}

fn take(content: &Bytes, is_packed: bool, budget: &mut Budget, opened: &mut Opened) {
    if !is_packed {
        opened.stored(Member { data: content.clone(), ..Member::default() }, budget);
        return;
    }
    // The size, then zlib with its two octets of header. PowerPoint leaves out the end of the stream.
    let mut unpacked = inflate(content.get(6..).unwrap_or_default(), budget);
    let size = u32_at(content, 0).and_then(|size| usize::try_from(size).ok());
    if unpacked.odd == Some(DefectCode::BadArchive) && size == Some(unpacked.data.len()) {
        unpacked.odd = None;
    }
    match budget.file() {
        Ok(()) => opened.members.push(Member {
            data: unpacked.data.into(),
            odd: unpacked.odd.into_iter().collect(),
            ..Member::default()
        }),
        Err(code) => opened.note(code),
    }
}
