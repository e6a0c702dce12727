//! Which kind of document it is, told by the names in it: OLE files and zips are used for many.

use memchr::memmem;

use super::ole::compound::{Compound, MAGIC};
use super::ole::installer;
use crate::mail::FileType;
use crate::mime::container::{u16_at, u32_at};

const fn document(short: &'static str, mime: &'static str) -> FileType {
    FileType { short, class: "document", mime }
}

const INSTALLER: FileType =
    FileType { short: "msi", class: "executable", mime: "application/x-msi" };

/// Streams that only one kind of document has.
static STREAMS: [(&str, FileType); 7] = [
    ("workbook", document("xls", "application/vnd.ms-excel")),
    ("book", document("xls", "application/vnd.ms-excel")),
    ("powerpoint document", document("ppt", "application/vnd.ms-powerpoint")),
    ("__properties_version1.0", document("msg", "application/vnd.ms-outlook")),
    ("visiodocument", document("vsd", "application/vnd.visio")),
    ("quill", document("pub", "application/x-mspublisher")),
    ("encryptedpackage", document("ooxml", "application/x-ooxml-encrypted")),
];

/// Folders of documents in a zip.
static FOLDERS: [(&[u8], FileType); 4] = [
    (
        b"word/",
        document("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ),
    (b"xl/", document("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")),
    (
        b"ppt/",
        document(
            "pptx",
            "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        ),
    ),
    (b"visio/", document("vsdx", "application/vnd.ms-visio.drawing")),
];

/// What every document of that make has in it.
const TYPES: &[u8] = b"[Content_Types].xml";

/// The kind of an OLE file or a zip, if it is a document of a known kind.
pub(in crate::mime) fn kind_of(data: &[u8]) -> Option<FileType> {
    if data.starts_with(MAGIC) {
        return kind_of_ole(data);
    }
    data.starts_with(b"PK").then(|| kind_of_zip(data))?
}

fn kind_of_ole(data: &[u8]) -> Option<FileType> {
    let file = Compound::read(data);
    if installer::is_one(&file) {
        return Some(INSTALLER);
    }
    // What stands in the root counts; in storages there are objects.
    let is_in_root = |name: &str| file.find(Some(0), name).is_some();
    STREAMS.iter().find(|(name, _)| is_in_root(name)).map(|(_, kind)| *kind)
}

/// By the directory at the end, in which all names stand: what is stored in the zip may be a document, too.
fn kind_of_zip(data: &[u8]) -> Option<FileType> {
    const TAIL_BYTES: usize = 66_000;
    const NAMES_MAX: usize = 20_000;
    let tail_at = data.len().saturating_sub(TAIL_BYTES);
    let Some(end) = memmem::rfind(data.get(tail_at..)?, b"PK\x05\x06") else {
        // Cut short: Office mends it.
        memmem::find(data, TYPES)?;
        let is_there = |folder: &[u8]| memmem::find(data, folder).is_some();
        return FOLDERS.iter().find(|(folder, _)| is_there(folder)).map(|(_, kind)| *kind);
    };
    let end = tail_at + end;
    let size = usize::try_from(u32_at(data, end + 12)?).ok()?;
    let mut at = end.checked_sub(size)?;
    let (mut has_types, mut kind) = (false, None);
    for _ in 0..NAMES_MAX {
        if !data.get(at..).is_some_and(|rest| rest.starts_with(b"PK\x01\x02")) {
            break;
        }
        let length = |from: usize| u16_at(data, at + from).map(usize::from);
        let (name, extra, comment) = (length(28)?, length(30)?, length(32)?);
        let name_at = at + 46;
        let octets = data.get(name_at..name_at + name)?;
        has_types |= octets.eq_ignore_ascii_case(TYPES);
        kind = kind.or_else(|| {
            FOLDERS.iter().find(|(folder, _)| octets.starts_with(folder)).map(|(_, kind)| *kind)
        });
        at = name_at + name + extra + comment;
    }
    kind.filter(|_| has_types)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mime::container::document::ole::compound::writer;

    fn check(data: &[u8], want: Option<&str>) {
        assert_eq!(kind_of(data).map(|kind| kind.short), want);
    }

    #[test]
    fn ole_files_are_told_apart() {
        check(&writer::pack(&[("WordDocument", b"x")], [0; 16]), None);
        check(&writer::pack(&[("Workbook", b"x")], [0; 16]), Some("xls"));
        check(&writer::pack(&[("__properties_version1.0", b"x")], [0; 16]), Some("msg"));
        check(&writer::pack(&[("ObjectPool/_1/Workbook", b"x")], [0; 16]), None);
        let mut class = [0; 16];
        class[..4].copy_from_slice(&[0x84, 0x10, 0x0c, 0]);
        class[8..].copy_from_slice(&[0xc0, 0, 0, 0, 0, 0, 0, 0x46]);
        check(&writer::pack(&[("x", b"x")], class), Some("msi"));
    }

    #[test]
    fn zips_are_told_apart_by_their_directory() {
        let entry = |name: &str| {
            let length = u16::try_from(name.len()).unwrap().to_le_bytes();
            [b"PK\x01\x02", &[0; 24][..], &length, &[0; 16], name.as_bytes()].concat()
        };
        let pack = |names: &[&str], stored: &[u8]| {
            let directory: Vec<u8> = names.iter().flat_map(|name| entry(name)).collect();
            let size = u32::try_from(directory.len()).unwrap().to_le_bytes();
            [b"PK\x03\x04", stored, &directory, b"PK\x05\x06", &[0; 8], &size, &[0; 6]].concat()
        };
        check(&pack(&["[Content_Types].xml", "word/document.xml"], b""), Some("docx"));
        check(&pack(&["xl/workbook.xml", "[Content_Types].xml"], b""), Some("xlsx"));
        check(&pack(&["word/document.xml"], b""), None);
        let inner = pack(&["[Content_Types].xml", "word/document.xml"], b"");
        check(&pack(&["a.docx", "x.js"], &inner), None);
    }
}
