//! Objects as OLE 1 writes them ([MS-OLEDS] 2.2): a header with the class, then the data, or the path of a link.

use bytes::Bytes;
use memchr::memmem;

use crate::mail::PartFlag;
use crate::mime::budget::Budget;
use crate::mime::container::document::{field, ole};
use crate::mime::container::{Member, Opened, name_text, u32_at};

const LINKED: u32 = 1;
const EMBEDDED: u32 = 2;

/// An object, read.
struct Object {
    format: u32,
    class: String,
    topic: String,
    native: Bytes,
}

pub(super) fn open(data: &Bytes, budget: &mut Budget, opened: &mut Opened) {
    let magic = ole::compound::MAGIC;
    let storage = memmem::find(data, magic);
    let Some(object) = read(data) else {
        // Word finds a storage behind any header.
        let start = storage.unwrap_or(0);
        opened.stored(Member { data: data.slice(start..), ..Member::default() }, budget);
        return;
    };
    if object.format == LINKED {
        field::remote(&object.topic, opened);
        opened.flag(PartFlag::Object);
        return;
    }
    if object.class.eq_ignore_ascii_case("package") && !object.native.starts_with(magic) {
        ole::native::package(&object.native, budget, opened);
        return;
    }
    let member = match storage {
        Some(start) if !object.native.starts_with(magic) => data.slice(start..),
        _ if object.native.is_empty() => data.clone(),
        _ => object.native,
    };
    opened.stored(Member { data: member, ..Member::default() }, budget);
}

fn read(data: &Bytes) -> Option<Object> {
    let format = u32_at(data, 4)?;
    if format != LINKED && format != EMBEDDED {
        return None;
    }
    let (class, at) = text(data, 8)?;
    let (topic, at) = text(data, at)?;
    let (_, at) = text(data, at)?;
    let size = usize::try_from(u32_at(data, at).unwrap_or(0)).ok()?;
    let start = at.saturating_add(4).min(data.len());
    let end = start.saturating_add(size).min(data.len());
    Some(Object { format, class, topic, native: data.slice(start..end) })
}

/// A text behind its length, and where the next thing begins.
fn text(data: &[u8], at: usize) -> Option<(String, usize)> {
    const TEXT_BYTES_MAX: usize = 4_096;
    let length = usize::try_from(u32_at(data, at)?).ok()?;
    let start = at.checked_add(4)?;
    if length > TEXT_BYTES_MAX {
        return None;
    }
    let end = start.checked_add(length)?;
    let octets = data.get(start..end)?;
    let text = octets.split(|octet| *octet == 0).next().unwrap_or_default();
    Some((name_text(text), end))
}
