//! Projects of Visual Basic ([MS-OVBA]): their modules as text, and the procedures that run of themselves.

use std::sync::LazyLock;

use bytes::Bytes;
use memchr::memmem;
use regex::bytes::Regex;

use super::compound::Compound;
use crate::mail::{DefectCode, PartFlag};
use crate::mime::budget::Budget;
use crate::mime::container::{Member, Opened, name_text, u16_at, u32_at};
use crate::mime::{charset, links};

/// What a packed chunk holds when it is unpacked.
const CHUNK_BYTES: usize = 4096;

/// Modules of one project.
const MODULES_MAX: usize = 1_000;

/// Procedures that Office calls when a document is opened, closed or shown, and events of controls that come without
/// anybody doing anything.
const NAMES: &str = r"auto_?(?:exec|open|close|exit|new|activate|deactivate)\w*|document_?(?:open|close|beforeclose|change|new|contentcontrolonenter)|newdocument|workbook_?(?:open|close|beforeclose|activate|deactivate|windowactivate|addininstall|beforesave)|worksheet_?(?:activate|calculate)|app(?:lication)?_(?:documentopen|newworkbook|workbookopen|presentationopen|startup|itemsend|newmail\w*)|onslideshow\w+|presentation_open";
const EVENTS: &str = r"\w+_(?:layout|painted|painting|gotfocus|lostfocus|mousehover|mousemove|resize|beforenavigate2|beforescriptexecute|documentcomplete|downloadbegin|downloadcomplete|filedownload|navigatecomplete2|navigateerror|progresschange|propertychange|setsecurelockicon|statustextchange|titlechange|onconnecting|onconnected|ondisconnected|onauthenticationwarning|onfatalerror)";

/// Declared in source text; a declaration may go on in the next line.
static DECLARED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let gap = r"(?:[ \t]|[ \t]_[ \t]*\r?\n)+";
    Regex::new(&format!(r"(?i-u)\b(?:sub|function){gap}(?:{NAMES}|{EVENTS})\b")).ok()
});

/// Anywhere in what was compiled.
static COMPILED: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(&format!("(?i-u)(?:{NAMES})")).ok());

fn runs_when_declared(source: &[u8]) -> bool {
    DECLARED.as_ref().is_some_and(|names| names.is_match(source))
}

/// A module as the `dir` stream lists it.
#[derive(Debug, Default)]
struct Module {
    /// The names of its stream: in the code page of the project, and in Unicode.
    streams: Vec<String>,
    name: String,
    /// Where the packed source begins in its stream.
    source_at: usize,
    is_class: bool,
}

/// Looks into the project whose `dir` stream stands in that storage.
pub(super) fn open(
    file: &mut Compound<'_>,
    storage: usize,
    dir: usize,
    budget: &mut Budget,
    opened: &mut Opened,
) {
    let packed = file.stream(dir);
    let listed = match unpack(&packed, budget) {
        Ok(octets) => modules(&octets.unwrap_or_default()),
        Err(code) => {
            opened.note(code);
            return;
        }
    };
    for index in file.children(storage).into_iter().take(MODULES_MAX) {
        let Some(name) = file.entries.get(index).map(|entry| entry.name.clone()) else { continue };
        if index == dir || name.to_ascii_lowercase().starts_with("__srp_") {
            continue;
        }
        let stream = file.stream(index);
        // Compiled code runs without its source, and without what a source in its place says.
        if COMPILED.as_ref().is_some_and(|names| names.is_match(&stream)) {
            opened.flag(PartFlag::Macro);
            opened.flag(PartFlag::AutoRun);
        }
        let known = listed
            .iter()
            .find(|module| module.streams.iter().any(|own| own.eq_ignore_ascii_case(&name)));
        if let Err(code) = take(&stream, &name, known, budget, opened) {
            opened.note(code);
            return;
        }
    }
}

fn take(
    stream: &[u8],
    name: &str,
    known: Option<&Module>,
    budget: &mut Budget,
    opened: &mut Opened,
) -> Result<(), DefectCode> {
    let mut source = None;
    if let Some(module) = known {
        source = unpack(stream.get(module.source_at..).unwrap_or_default(), budget)?;
    }
    if source.as_ref().is_none_or(Vec::is_empty) {
        source = match source_start(stream, 0) {
            Some(at) => unpack(stream.get(at..).unwrap_or_default(), budget)?,
            None => None,
        };
    }
    let Some(source) = source.filter(|source| !source.is_empty()) else { return Ok(()) };
    let name = known.map(|module| module.name.as_str()).filter(|n| !n.is_empty()).unwrap_or(name);
    let ending = if known.is_some_and(|module| module.is_class) { "cls" } else { "bas" };
    give(format!("VBA/{name}.{ending}"), source, budget, opened)
}

/// Modules that stand somewhere in the octets, whatever the directory says: all packed sources begin alike.
pub(super) fn find_loose(data: &[u8], budget: &mut Budget, opened: &mut Opened) {
    let mut from = 0;
    for number in 1..=MODULES_MAX {
        let Some(at) = source_start(data, from) else { return };
        let found = unpack_counted(data.get(at..).unwrap_or_default(), budget);
        let given = found.and_then(|found| {
            let Some((source, consumed)) = found else { return Ok(()) };
            from = at.saturating_add(consumed);
            give(format!("VBA/found{number}.bas"), source, budget, opened)
        });
        from = from.max(at + 4);
        if let Err(code) = given {
            opened.note(code);
            return;
        }
    }
}

fn give(
    name: String,
    source: Vec<u8>,
    budget: &mut Budget,
    opened: &mut Opened,
) -> Result<(), DefectCode> {
    opened.flag(PartFlag::Macro);
    if runs_when_declared(&source) {
        opened.flag(PartFlag::AutoRun);
    }
    budget.file()?;
    let text = charset::guess(&source);
    opened.links.extend(links::in_text(&text).into_iter().map(|url| (url, None)));
    let data = Bytes::from(source);
    opened.members.push(Member { names: vec![name], data, ..Member::default() });
    Ok(())
}

/// Where a packed source begins: its first line is always an attribute.
fn source_start(data: &[u8], from: usize) -> Option<usize> {
    let rest = data.get(from..)?;
    memmem::find_iter(rest, b"\0Attribut").find_map(|at| {
        let start = (from + at).checked_sub(3)?;
        (data.get(start) == Some(&1)).then_some(start)
    })
}

/// Unpacks a container ([MS-OVBA] 2.4.1). `None`: it is none. What comes before a damage is kept.
fn unpack(packed: &[u8], budget: &mut Budget) -> Result<Option<Vec<u8>>, DefectCode> {
    Ok(unpack_counted(packed, budget)?.map(|(out, _)| out))
}

/// As [`unpack`], with the length of the container.
fn unpack_counted(
    packed: &[u8],
    budget: &mut Budget,
) -> Result<Option<(Vec<u8>, usize)>, DefectCode> {
    let Some(mut rest) = packed.strip_prefix(&[1]) else { return Ok(None) };
    let mut out = Vec::new();
    while let Some(header) = u16_at(rest, 0) {
        // Three bits are always the same; where they are not, the container has ended.
        if header >> 12 & 7 != 3 {
            break;
        }
        let size = usize::from(header & 0xfff) + 3;
        let body = rest.get(2..size.min(rest.len())).unwrap_or_default();
        rest = rest.get(size..).unwrap_or_default();
        let before = out.len();
        if header & 0x8000 == 0 {
            out.extend_from_slice(body.get(..CHUNK_BYTES.min(body.len())).unwrap_or_default());
        } else {
            unpack_chunk(body, &mut out);
        }
        budget.expand(out.len() - before, before, packed.len())?;
    }
    let consumed = packed.len() - rest.len();
    Ok(Some((out, consumed)))
}

fn unpack_chunk(body: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    let mut at = 0;
    while let Some(kinds) = body.get(at) {
        at += 1;
        for bit in 0..8 {
            let made = out.len() - start;
            if made >= CHUNK_BYTES {
                return;
            }
            if kinds >> bit & 1 == 0 {
                let Some(octet) = body.get(at) else { return };
                out.push(*octet);
                at += 1;
                continue;
            }
            let Some(token) = u16_at(body, at) else { return };
            at += 2;
            // How many bits the distance has grows with what is there to point at.
            let bits = made.next_power_of_two().trailing_zeros().clamp(4, 12);
            let length = usize::from(token & (0xffff >> bits)) + 3;
            let distance = usize::from(token >> (16 - bits)) + 1;
            let Some(mut from) = out.len().checked_sub(distance) else { return };
            for _ in 0..length.min(CHUNK_BYTES - made) {
                let Some(octet) = out.get(from).copied() else { return };
                out.push(octet);
                from += 1;
            }
        }
    }
}

/// The modules that an unpacked `dir` stream lists.
fn modules(dir: &[u8]) -> Vec<Module> {
    let mut modules = Vec::new();
    let mut current: Option<Module> = None;
    let mut at = 0;
    while let (Some(id), Some(size)) = (u16_at(dir, at), u32_at(dir, at + 2)) {
        // The version says four octets and has six.
        let size = if id == 9 { 6 } else { usize::try_from(size).unwrap_or(usize::MAX) };
        let start = at + 6;
        let end = start.saturating_add(size).min(dir.len());
        let value = dir.get(start..end).unwrap_or_default();
        if id == 0x19 {
            modules.extend(current.take());
            current = Some(Module { name: name_text(value), ..Module::default() });
        } else if let Some(module) = current.as_mut().filter(|module| module.streams.len() < 8) {
            match id {
                0x1a => module.streams.push(name_text(value)),
                0x32 => {
                    module.streams.push(charset::decode(value, Some("utf-16le")).0.into_owned())
                }
                0x31 => {
                    let place = u32_at(value, 0).and_then(|place| usize::try_from(place).ok());
                    module.source_at = place.unwrap_or(usize::MAX);
                }
                0x22 => module.is_class = true,
                _ => {}
            }
        }
        if modules.len() >= MODULES_MAX {
            break;
        }
        at = end;
    }
    modules.extend(current);
    modules
}

/// A small writer of projects, for tests.
#[cfg(test)]
pub(in crate::mime::container) mod writer {
    /// A container whose chunks have only literals.
    pub(in crate::mime::container) fn pack(data: &[u8]) -> Vec<u8> {
        let mut out = vec![1];
        for chunk in data.chunks(3_000) {
            let body: Vec<u8> =
                chunk.chunks(8).flat_map(|eight| [&[0][..], eight].concat()).collect();
            let header = 0xb000 | u16::try_from(body.len() - 1).unwrap();
            out.extend(header.to_le_bytes());
            out.extend(body);
        }
        out
    }

    /// The `dir` stream of a project with one module, whose source begins `source_at` octets into its stream.
    pub(in crate::mime::container) fn dir(name: &str, source_at: u32) -> Vec<u8> {
        let record = |id: u16, value: &[u8]| {
            let size = u32::try_from(value.len()).unwrap();
            [&id.to_le_bytes()[..], &size.to_le_bytes(), value].concat()
        };
        pack(
            &[
                record(1, &[1, 0, 0, 0]),
                vec![9, 0, 4, 0, 0, 0, 1, 2, 3, 4, 5, 6],
                record(0x0f, &[1, 0]),
                record(0x19, name.as_bytes()),
                record(0x1a, name.as_bytes()),
                record(0x31, &source_at.to_le_bytes()),
                record(0x21, b""),
                record(0x2b, b""),
            ]
            .concat(),
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mime::Limits;

    fn unpacked(packed: &[u8]) -> Option<Vec<u8>> {
        unpack(packed, &mut Budget::new(&Limits::default())).unwrap()
    }

    #[test]
    fn copies_are_unpacked() {
        // The example of [MS-OVBA] 3.2.3: one literal and copies of it.
        let packed = [1, 3, 0xb0, 2, 0x61, 0x45, 0];
        assert_eq!(unpacked(&packed), Some(b"a".repeat(73)));
        assert_eq!(unpacked(b"\0"), None);
        assert_eq!(unpacked(b"\x01\x00\x00"), Some(Vec::new()));
        let text = b"Attribute VB_Name\r\n".repeat(500);
        assert_eq!(unpacked(&writer::pack(&text)), Some(text));
    }

    #[test]
    fn a_bomb_of_chunks_is_stopped() {
        let chunk = [4, 0xb0, 2, 0x61, 0xff, 0x0f, 0];
        let bomb = [&[1][..], &chunk.repeat(10_000)].concat();
        let mut budget = Budget::new(&Limits::default());
        assert_eq!(unpack(&bomb, &mut budget), Err(DefectCode::TooHighRatio));
    }

    #[test]
    fn procedures_that_run_of_themselves_are_known() {
        for (source, want) in [
            ("Sub AutoOpen()", true),
            ("private sub  document_open()", true),
            ("Public Function _\r\n Workbook_BeforeClose()", true),
            ("Sub Auto_Open2()", true),
            ("Sub InkPicture1_Painted(x)", true),
            ("Private Sub Frame1_Layout()", true),
            ("Sub OpenAuto()", false),
            ("' AutoOpen is not declared here", false),
            ("Sub Button1_Click()", false),
        ] {
            assert_eq!(runs_when_declared(source.as_bytes()), want, "{source}");
        }
    }

    proptest! {
        #[test]
        fn no_octets_make_it_fail(mut data: Vec<u8>) {
            data.insert(0, 1);
            unpacked(&data);
            modules(&data);
        }
    }
}
