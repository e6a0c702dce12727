//! The objects of a PDF, wherever they stand: no table of places is believed, so that broken files, all revisions, and
//! objects that stand inside of streams are seen.

use std::borrow::Cow;
use std::collections::HashMap;

use bytes::Bytes;
use memchr::memmem;

use super::crypt::Key;
use super::filter::{self, Decoded};
use super::object::{Object, Reader, is_blank};
use crate::mail::DefectCode;
use crate::mime::budget::Budget;
use crate::mime::kind;

/// An object that may matter, with its stream.
#[derive(Debug)]
pub(super) struct Indirect {
    pub(super) number: u32,
    pub(super) generation: u32,
    pub(super) object: Object,
    pub(super) stream: Option<Bytes>,
    /// It stood in a stream of objects, which was decrypted as a whole.
    pub(super) packed: bool,
}

/// All objects that may matter.
#[derive(Debug, Default)]
pub(super) struct Objects {
    pub(super) all: Vec<Indirect>,
    /// Places in `all` by number; one object may have many revisions.
    places: HashMap<u32, Vec<usize>>,
    pub(super) odd: Vec<DefectCode>,
}

/// Objects that are kept.
const OBJECTS_MAX: usize = 100_000;

/// Revisions of one object.
const REVISIONS_MAX: usize = 100;

/// Streams of objects that are opened.
const PACKED_MAX: usize = 10_000;

/// Number of the trailers, which have none.
const TRAILER: u32 = u32::MAX;

/// Names by which an object may matter.
const TELLING: [&str; 30] = [
    // Events on which something runs.
    "O",
    "PO",
    "PV",
    // What stands alone may be said of a stream.
    "FlateDecode",
    "LZWDecode",
    "ASCIIHexDecode",
    "ASCII85Decode",
    "Predictor",
    "JS",
    "JavaScript",
    "OpenAction",
    "AA",
    "Launch",
    "EF",
    "EmbeddedFile",
    "EmbeddedFiles",
    "Filespec",
    "URI",
    "SubmitForm",
    "GoToR",
    "GoToE",
    "ImportData",
    "RichMedia",
    "XFA",
    "Encrypt",
    "ObjStm",
    "CF",
    "Win",
    "Rendition",
    "U",
];

impl Objects {
    /// Every revision of the object.
    pub(super) fn revisions(&self, number: u32) -> impl Iterator<Item = &Indirect> {
        let places = self.places.get(&number).map(Vec::as_slice).unwrap_or_default();
        places.iter().filter_map(|place| self.all.get(*place))
    }

    /// The dictionary of a stream, its filters looked up where they stand elsewhere.
    fn resolved<'a>(&'a self, dict: &'a Object) -> Cow<'a, Object> {
        const KEYS: [&[u8]; 4] = [b"Filter", b"F", b"DecodeParms", b"DP"];
        let Object::Dict(entries) = dict else { return Cow::Borrowed(dict) };
        let is_elsewhere = |value: &Object| {
            value.reference().is_some() || value.list().iter().any(|one| one.reference().is_some())
        };
        let known = |name: &Vec<u8>| KEYS.contains(&name.as_slice());
        if !entries.iter().any(|(name, value)| known(name) && is_elsewhere(value)) {
            return Cow::Borrowed(dict);
        }
        let look_up = |value: &Object| match value.reference() {
            Some(number) => {
                self.revisions(number).last().map_or(Object::Other, |one| one.object.clone())
            }
            None => value.clone(),
        };
        let entries = entries.iter().filter(|(name, _)| known(name)).map(|(name, value)| {
            let value = look_up(value);
            let value = match value.list() {
                [] => value,
                list => Object::List(list.iter().map(look_up).collect()),
            };
            (name.clone(), value)
        });
        Cow::Owned(Object::Dict(entries.collect()))
    }

    fn add(&mut self, indirect: Indirect) {
        if !(indirect.stream.is_some() || matters(&indirect.object)) {
            return;
        }
        if self.all.len() >= OBJECTS_MAX {
            self.note(DefectCode::TooManyFiles);
            return;
        }
        let places = self.places.entry(indirect.number).or_default();
        if places.len() >= REVISIONS_MAX && indirect.number != TRAILER {
            self.note(DefectCode::TooManyFiles);
            return;
        }
        places.push(self.all.len());
        self.all.push(indirect);
    }

    pub(super) fn note(&mut self, code: DefectCode) {
        if !self.odd.contains(&code) {
            self.odd.push(code);
        }
    }

    /// Objects in streams of objects. `key`: of an encrypted file.
    pub(super) fn unpack(&mut self, key: Option<&Key>, budget: &mut Budget) {
        let is_packed = |object: &Object| object.get("Type").is_some_and(|t| t.is_name("ObjStm"));
        let streams: Vec<usize> = (0..self.all.len())
            .filter(|place| self.all.get(*place).is_some_and(|one| is_packed(&one.object)))
            .take(PACKED_MAX)
            .collect();
        for place in streams {
            let Some(holder) = self.all.get(place) else { continue };
            let Some(decoded) = content(self, holder, key, budget) else { continue };
            let first = holder.object.get("First").and_then(Object::number).unwrap_or(0);
            let first = usize::try_from(first).unwrap_or(0);
            self.odd.extend(decoded.odd.filter(|odd| !self.odd.contains(odd)));
            self.packed_in(&decoded.data, first, budget);
        }
    }

    /// A stream of objects: pairs of number and place, then the objects.
    fn packed_in(&mut self, data: &[u8], first: usize, budget: &mut Budget) {
        let mut head = Reader::new(data, 0);
        // What is read twice because two places overlap is paid for.
        let mut left = data.len().saturating_mul(3).saturating_add(1 << 16);
        while head.at < first.min(data.len()) && !budget.is_late() {
            let (Some(Object::Number(number)), Some(Object::Number(at))) =
                (head.object(), head.object())
            else {
                break;
            };
            let (Ok(number), Ok(at)) = (u32::try_from(number), usize::try_from(at)) else { break };
            let start = first.saturating_add(at);
            let mut reader = Reader::new(data, start.min(data.len()));
            let Some(object) = reader.object() else { continue };
            match left.checked_sub(reader.at - start.min(data.len())) {
                Some(rest) => left = rest,
                None => {
                    self.note(DefectCode::BadArchive);
                    return;
                }
            }
            self.add(Indirect { number, generation: 0, object, stream: None, packed: true });
        }
    }
}

/// The content of a stream, decrypted if there is a key. What only makes sense as it stands was not encrypted: the
/// revision that says so need not be the one that counts.
pub(super) fn content(
    objects: &Objects,
    holder: &Indirect,
    key: Option<&Key>,
    budget: &mut Budget,
) -> Option<Decoded> {
    let raw = holder.stream.as_ref()?;
    let dict = objects.resolved(&holder.object);
    let plain = |budget: &mut Budget| filter::decode(&dict, raw, budget);
    let Some(key) = key else { return Some(plain(budget)) };
    let open = key.stream(holder.number, holder.generation, &dict, raw).into();
    let decoded = filter::decode(&dict, &open, budget);
    let known =
        |decoded: &Decoded| decoded.odd.is_none() && !kind::detect(&decoded.data).is_empty();
    if known(&decoded) {
        return Some(decoded);
    }
    let other = plain(budget);
    Some(if known(&other) { other } else { decoded })
}

/// True if one of the telling names stands in it, or it is nothing but a string, which may be a script.
fn matters(object: &Object) -> bool {
    let mut work = vec![object];
    while let Some(object) = work.pop() {
        let telling = |name: &[u8]| TELLING.iter().any(|known| known.as_bytes() == name);
        match object {
            Object::Name(name) if telling(name) => return true,
            Object::List(list) => work.extend(list),
            Object::Dict(entries) => {
                // A file by its number: the list of an indirect file specification.
                let is_file = |name: &[u8], value: &Object| {
                    matches!(name, b"F" | b"UF" | b"Unix" | b"DOS" | b"Mac")
                        && value.reference().is_some()
                };
                if entries.iter().any(|(name, value)| telling(name) || is_file(name, value)) {
                    return true;
                }
                work.extend(entries.iter().map(|(_, value)| value));
            }
            Object::Other
            | Object::Number(_)
            | Object::Name(_)
            | Object::Text(_)
            | Object::Ref(_) => {}
        }
    }
    matches!(object, Object::Text(_))
}

/// Finds the objects of a file.
pub(super) fn scan(data: &Bytes, budget: &mut Budget) -> Objects {
    let mut objects = Objects::default();
    let mut scanner = Scanner {
        data,
        ends: [Some(0), Some(0)],
        left: data.len().saturating_mul(4).saturating_add(1 << 20),
    };
    for at in memmem::find_iter(data, b"obj") {
        let Some((number, generation)) = numbers_before(data, at) else { continue };
        if let Some(code) = budget.late() {
            objects.note(code);
            return objects;
        }
        if let Some((object, stream)) = scanner.object(at + 3) {
            objects.add(Indirect { number, generation, object, stream, packed: false });
        }
    }
    for at in memmem::find_iter(data, b"trailer") {
        if let Some((object @ Object::Dict(_), _)) = scanner.object(at + 7) {
            objects.add(Indirect {
                number: TRAILER,
                generation: 0,
                object,
                stream: None,
                packed: false,
            });
        }
    }
    if scanner.left == 0 {
        objects.note(DefectCode::BadArchive);
    }
    objects
}

/// The two numbers that stand before `obj`.
fn numbers_before(data: &[u8], at: usize) -> Option<(u32, u32)> {
    const NEAR_BYTES: usize = 64;
    let near = data.get(at.saturating_sub(NEAR_BYTES)..at)?;
    let blanks = |octets: &[u8]| octets.iter().rev().take_while(|o| is_blank(**o)).count();
    let digits = |octets: &[u8]| octets.iter().rev().take_while(|o| o.is_ascii_digit()).count();
    let parse = |octets: &[u8]| std::str::from_utf8(octets).ok()?.parse::<u32>().ok();
    let (rest, _) = near.split_at_checked(near.len() - blanks(near))?;
    let (rest, generation) = rest.split_at_checked(rest.len() - digits(rest))?;
    let between = blanks(rest);
    let (rest, _) = rest.split_at_checked(rest.len() - between)?;
    let (_, number) = rest.split_at_checked(rest.len() - digits(rest))?;
    (between > 0).then_some(())?;
    Some((parse(number)?, parse(generation)?))
}

/// How far an object is read when too much was read again and again.
const POOR_BYTES: usize = 256;

struct Scanner<'a> {
    data: &'a Bytes,
    /// Where the next `endobj` and `endstream` stand; `None`: nowhere from here on.
    ends: [Option<usize>; 2],
    /// Octets that may still be read; objects that are never closed are read again and again.
    left: usize,
}

impl Scanner<'_> {
    /// The next `endobj` or `endstream`. Places are asked for in growing order, so that each octet is searched once.
    fn end(&mut self, which: usize, at: usize) -> Option<usize> {
        const WORDS: [&[u8]; 2] = [b"endobj", b"endstream"];
        let (slot, word) = (self.ends.get_mut(which)?, WORDS.get(which)?);
        let known = (*slot)?;
        if known < at || known == 0 {
            let found = memmem::find(self.data.get(at..)?, word).map(|hit| at + hit);
            // Trailers are asked for after all objects: then only what stands behind is known to be nowhere.
            *slot = found;
        }
        *slot
    }

    fn object(&mut self, start: usize) -> Option<(Object, Option<Bytes>)> {
        let end = self.end(0, start).filter(|end| *end >= start).unwrap_or(self.data.len());
        let end = if self.left == 0 { end.min(start + POOR_BYTES) } else { end };
        let mut reader = Reader::new(self.data.get(..end)?, start);
        let object = reader.object()?;
        self.left = self.left.saturating_sub(reader.at - start);
        let at = reader.at;
        let Object::Dict(_) = &object else { return Some((object, None)) };
        let mut reader = Reader::new(self.data, at);
        reader.skip_blanks();
        let at = reader.at;
        if !self.data.get(at..)?.starts_with(b"stream") {
            return Some((object, None));
        }
        let stream = self.stream(at + 6, &object);
        Some((object, Some(stream)))
    }

    /// The octets of a stream. A length that does not lead to its end is not believed.
    fn stream(&mut self, start: usize, object: &Object) -> Bytes {
        let start = match self.data.get(start..) {
            Some([b'\r', b'\n', ..]) => start + 2,
            Some([b'\r' | b'\n', ..]) => start + 1,
            _ => start,
        };
        let declared = object
            .get("Length")
            .and_then(Object::number)
            .and_then(|length| usize::try_from(length).ok())
            .and_then(|length| start.checked_add(length))
            .filter(|end| {
                let behind = self.data.get(*end..).unwrap_or_default();
                let blanks = behind.iter().take(4).take_while(|octet| is_blank(**octet)).count();
                behind.get(blanks..).is_some_and(|rest| rest.starts_with(b"endstream"))
            });
        let end = declared
            .or_else(|| self.end(1, start))
            .or_else(|| self.end(0, start))
            .filter(|end| *end >= start)
            .unwrap_or(self.data.len());
        self.data.slice(start.min(end)..end)
    }
}
