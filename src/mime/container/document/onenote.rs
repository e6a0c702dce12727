//! Sections of OneNote ([MS-ONESTORE]): the files that were dropped into them.

use std::sync::LazyLock;

use memchr::memmem;
use regex::bytes::Regex;

use crate::mail::{DefectCode, PartFlag};
use crate::mime::container::{Ask, Member, Opened, u32_at};
use crate::mime::kind;

/// Begins a file (FileDataStoreObject, 2.6.13): {BDE316E7-2665-4511-A4C4-8D4D0B7A9EAC}.
const FILE: &[u8] = b"\xe7\x16\xe3\xbd\x65\x26\x11\x45\xa4\xc4\x8d\x4d\x0b\x7a\x9e\xac";

/// That identifier, a length of eight octets, and twelve octets without a meaning.
const HEAD_BYTES: usize = 36;

const NAMES_MAX: usize = 64;

/// A name with an extension, in UTF-16. The start of one in other letters is not needed: the end tells what it is.
static NAMES: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?-u)(?:[ !#-)+-.0-9;=@-{}~]\x00){1,200}\.\x00(?:[A-Za-z0-9]\x00){1,12}\x00\x00")
        .ok()
});

pub(in crate::mime::container) fn open(ask: Ask<'_>, opened: &mut Opened) {
    let Ask { data, budget, passwords, .. } = ask;
    if !passwords.is_empty() {
        return;
    }
    let names = names(data);
    let mut from = 0;
    let finder = memmem::Finder::new(FILE);
    while let Some(hit) = finder.find(data.get(from..).unwrap_or_default()) {
        let at = from + hit;
        let start = at.saturating_add(HEAD_BYTES).min(data.len());
        let length = u32_at(data, at + FILE.len()).and_then(|length| usize::try_from(length).ok());
        let wanted = start.saturating_add(length.unwrap_or(usize::MAX));
        if wanted > data.len() {
            opened.note(DefectCode::BadArchive);
        }
        let end = wanted.min(data.len());
        // A length that lies must not hide the files behind it.
        from = at + FILE.len();
        if end <= start {
            continue;
        }
        opened.flag(PartFlag::Object);
        let content = data.slice(start..end);
        let is_picture = kind::detect(content.get(..content.len().min(64)).unwrap_or_default())
            .first()
            .is_some_and(|kind| kind.class == "image");
        let names = if is_picture { Vec::new() } else { names.clone() };
        let count = opened.members.len();
        opened.stored(Member { names, data: content, ..Member::default() }, budget);
        if opened.members.len() == count {
            return;
        }
    }
}

/// All names of files: which file has which is told only by a graph of references.
fn names(data: &[u8]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let Some(finder) = NAMES.as_ref() else { return names };
    for found in finder.find_iter(data) {
        let name: String =
            found.as_bytes().iter().filter(|octet| **octet != 0).map(|o| char::from(*o)).collect();
        if !names.contains(&name) {
            names.push(name);
        }
        if names.len() >= NAMES_MAX {
            break;
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mime::Limits;
    use crate::mime::container::{Container, try_open};

    fn pack(name: &str, files: &[&[u8]]) -> Vec<u8> {
        let mut out = b"\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d\xae\xb1\x53\x78\xd0\x29\x96\xd3".to_vec();
        out.extend([0; 100]);
        out.extend(name.encode_utf16().flat_map(u16::to_le_bytes));
        out.extend([0; 7]);
        for file in files {
            out.extend(FILE);
            out.extend(u64::try_from(file.len()).unwrap().to_le_bytes());
            out.extend([0; 12]);
            out.extend(*file);
            out.extend([0; 8]);
        }
        out
    }

    fn opened(data: Vec<u8>) -> Opened {
        try_open(Container::OneNote, data, None, &Limits::default())
    }

    #[test]
    fn dropped_files_are_given_with_the_names_that_stand_there() {
        let opened = opened(pack("Invoice 7.hta", &[b"<hta:application>", b"\x89PNG\r\n\x1a\n"]));
        assert_eq!(opened.flags, [PartFlag::Object]);
        assert_eq!(opened.members[0].names, ["Invoice 7.hta"]);
        assert_eq!(&opened.members[0].data[..], b"<hta:application>");
        assert_eq!(opened.members[1].names, [""; 0]);
        assert_eq!(opened.odd, []);
    }

    #[test]
    fn a_length_that_lies_hides_nothing() {
        let mut data = pack("", &[b"one", b"two"]);
        let at = memmem::find(&data, FILE).unwrap() + FILE.len();
        data[at..at + 4].copy_from_slice(&[0xff; 4]);
        let opened = opened(data);
        assert_eq!(opened.odd, [DefectCode::BadArchive]);
        assert_eq!(opened.members.len(), 2);
        assert_eq!(&opened.members[1].data[..], b"two");
    }

    proptest! {
        #[test]
        fn no_octets_make_it_fail(tail: Vec<u8>, cut in 0_usize..250) {
            let mut data = pack("a.exe", &[b"MZ", b"x"]);
            data.truncate(cut);
            data.extend(tail);
            opened(data);
        }
    }
}
