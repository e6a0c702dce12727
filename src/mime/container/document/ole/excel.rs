//! Workbooks of Excel up to 2003 ([MS-XLS]): sheets of macros, names that run, links that start programs.

use std::sync::LazyLock;

use memchr::memmem;

use crate::mail::PartFlag;
use crate::mime::container::{Opened, u16_at};

const BOF: u16 = 0x0809;
const FILE_PASS: u16 = 0x2f;
const BOUND_SHEET: u16 = 0x85;
const NAME: u16 = 0x18;
const SUP_BOOK: u16 = 0x1ae;

/// One record: what it is, where its content begins and ends.
pub(super) struct Record {
    pub(super) id: u16,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// The records of a workbook, one after the other.
pub(super) fn records(stream: &[u8]) -> impl Iterator<Item = Record> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let (id, length) = (u16_at(stream, at)?, usize::from(u16_at(stream, at + 2)?));
        let start = at + 4;
        let end = (start + length).min(stream.len());
        at = start + length;
        Some(Record { id, start, end })
    })
}

/// Flags what the workbook does. That it needs a password was seen before.
pub(super) fn look(stream: &[u8], opened: &mut Opened) {
    for record in records(stream) {
        let content = stream.get(record.start..record.end).unwrap_or_default();
        match record.id {
            FILE_PASS if record.start < 4_096 => return,
            // 1: a sheet of macros, whatever else the second octet says of its being hidden.
            BOUND_SHEET if content.get(5) == Some(&1) => opened.flag(PartFlag::Macro),
            BOF if u16_at(content, 2) == Some(0x40) => opened.flag(PartFlag::Macro),
            NAME if runs_of_itself(content) => opened.flag(PartFlag::AutoRun),
            SUP_BOOK if starts_a_program(content) => opened.flag(PartFlag::Launch),
            _ => {}
        }
    }
}

/// Where the record is that says how the workbook is encrypted.
pub(super) fn file_pass(stream: &[u8]) -> Option<Record> {
    records(stream).take(50).find(|record| record.id == FILE_PASS)
}

/// A name that Excel calls when the workbook is opened or closed: by its number, or as text in either form.
fn runs_of_itself(content: &[u8]) -> bool {
    const BUILT_IN_BIT: u16 = 0x20;
    let flags = u16_at(content, 0).unwrap_or(0);
    let rest = content.get(14..).unwrap_or_default();
    if flags & BUILT_IN_BIT != 0 {
        let number = rest.iter().take(2).find(|octet| **octet != 0);
        return matches!(number, Some(1 | 2 | 10 | 11));
    }
    let plain: Vec<u8> =
        rest.iter().filter(|octet| **octet != 0).map(u8::to_ascii_lowercase).collect();
    static NAMES: LazyLock<[&[u8]; 4]> =
        LazyLock::new(|| [b"auto_open", b"auto_close", b"auto_activate", b"auto_deactivate"]);
    NAMES.iter().any(|name| {
        plain.get(..plain.len().min(24)).is_some_and(|head| memmem::find(head, name).is_some())
    })
}

/// A link to a program and a topic (DDE). Objects of other documents stand in the same record, but their servers have
/// names with a dot.
fn starts_a_program(content: &[u8]) -> bool {
    let rest = content.get(4..).unwrap_or_default();
    let plain: Vec<u8> = rest.iter().copied().filter(|octet| *octet > 1).collect();
    memchr::memchr(3, &plain).is_some_and(|at| {
        plain.get(..at).is_some_and(|server| !server.is_empty() && !server.contains(&b'.'))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(id: u16, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).unwrap();
        [&id.to_le_bytes()[..], &length.to_le_bytes(), content].concat()
    }

    fn flags(records: &[Vec<u8>]) -> Vec<PartFlag> {
        let mut opened = Opened::default();
        look(&[record(BOF, &[0, 6, 5, 0]), records.concat()].concat(), &mut opened);
        opened.flags
    }

    #[test]
    fn macro_sheets_and_names_that_run_are_seen() {
        let sheet = |hidden, kind| record(BOUND_SHEET, &[0, 0, 0, 0, hidden, kind, 1, 0, b'A']);
        assert_eq!(flags(&[sheet(0, 0)]), []);
        assert_eq!(flags(&[sheet(2, 1)]), [PartFlag::Macro]);
        let name = |bits: u8, text: &[u8]| record(NAME, &[&[bits][..], &[0; 13], text].concat());
        assert_eq!(
            flags(&[sheet(1, 1), name(0x21, &[0, 1])]),
            [PartFlag::Macro, PartFlag::AutoRun]
        );
        assert_eq!(flags(&[name(0, b"\0Auto_Open22")]), [PartFlag::AutoRun]);
        assert_eq!(flags(&[name(0, b"\x01a\0U\0T\0O\0_\0O\0p\0e\0n\0")]), [PartFlag::AutoRun]);
        assert_eq!(flags(&[name(0x20, &[0, 6])]), []);
        assert_eq!(flags(&[record(BOF, &[0, 6, 0x40, 0])]), [PartFlag::Macro]);
    }

    #[test]
    fn links_to_programs_are_seen() {
        let book = |text: &[u8]| record(SUP_BOOK, &[&[0, 0, 9, 0, 0][..], text].concat());
        assert_eq!(flags(&[book(b"cmd\x03/c calc")]), [PartFlag::Launch]);
        assert_eq!(flags(&[book(b"Word.Document.8\x03a.doc")]), []);
        assert_eq!(flags(&[book(b"other.xls")]), []);
    }

    proptest! {
        #[test]
        fn no_octets_make_it_fail(data: Vec<u8>) {
            look(&data, &mut Opened::default());
        }
    }
}
