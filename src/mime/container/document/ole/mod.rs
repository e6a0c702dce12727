//! OLE files: documents of Office as they were up to 2003, messages of Outlook, packages of the Windows Installer, and
//! whatever is put into the newer documents. Of their streams those become members that hold a file or a program.

pub(in crate::mime::container) mod compound;
mod crypto;
mod excel;
mod excel_crypto;
pub(super) mod installer;
mod message;
pub(super) mod native;
mod ppt;
pub(in crate::mime::container) mod vba;

use bytes::Bytes;
use memchr::memmem;

use super::field;
use crate::mail::{DefectCode, PartFlag};
use crate::mime::budget::Budget;
use crate::mime::container::{Ask, Member, Opened, u16_at, u32_at};
use crate::mime::{charset, links};
use compound::Compound;

/// Streams whose first octets are one of these hold a file.
const FILES: &[&[u8]] = &[
    b"MZ",
    b"\x7fELF",
    b"PK\x03\x04",
    compound::MAGIC,
    b"%PDF-",
    b"{\\rt",
    b"Rar!\x1a\x07",
    b"7z\xbc\xaf\x27\x1c",
    b"MSCF\0\0\0\0",
    b"\x1f\x8b\x08",
    b"L\0\0\0\x01\x14\x02\0",
    b"\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d",
    b"\x78\x9f\x3e\x22",
    b"<?xml",
    b"<html",
    b"<script",
    b"#!",
];

/// Projects of one file: that of the document, and those of the objects in it.
const PROJECTS_MAX: usize = 16;

/// The class of addresses among monikers ([MS-OSHARED] 2.3.7.6).
const URL_MONIKER: &[u8] = b"\xe0\xc9\xea\x79\xf9\xba\xce\x11\x8c\x82\x00\xaa\x00\x4b\xa9\x0b";

pub(in crate::mime::container) fn open(ask: Ask<'_>, opened: &mut Opened) {
    let Ask { data, name, passwords, budget } = ask;
    let mut file = Compound::read(data);
    crypto::open(&mut file, name, passwords, budget, opened);
    excel_crypto::open(&mut file, name, passwords, budget, opened);
    if !passwords.is_empty() {
        // Word and PowerPoint encrypt in ways of their own, which are not undone here.
        look_for_passwords(&mut file, opened);
        return;
    }
    let is_installer = installer::is_one(&file);
    let before = opened.members.len();
    let mut projects_left = PROJECTS_MAX;
    for index in 0..file.entries.len() {
        let Some(entry) = file.entries.get(index) else { break };
        let lower = entry.name.to_ascii_lowercase();
        if entry.is_storage {
            look_at_storage(&lower, opened);
            continue;
        }
        if lower.is_empty() || message::is_of_message(&lower) {
            continue;
        }
        if lower == "dir" {
            if let Some(storage) = entry.parent.filter(|_| projects_left > 0) {
                projects_left -= 1;
                vba::open(&mut file, storage, index, budget, opened);
            }
            continue;
        }
        if let Some(code) = budget.late() {
            opened.note(code);
            return;
        }
        let (name, stream) = (entry.name.clone(), file.stream(index));
        if is_installer {
            installer::take(&name, stream, budget, opened);
        } else {
            look_at_stream(&lower, stream, budget, opened);
        }
    }
    message::open(&mut file, budget, opened);
    let has_module = opened
        .members
        .get(before..)
        .unwrap_or_default()
        .iter()
        .any(|member| member.names.iter().any(|name| name.starts_with("VBA/")));
    if !has_module {
        vba::find_loose(data, budget, opened);
    }
    if file.is_damaged {
        opened.note(DefectCode::BadArchive);
    }
    if file.entries.is_empty() {
        opened.flag(PartFlag::Unscannable);
    }
}

/// What still needs a password.
fn look_for_passwords(file: &mut Compound<'_>, opened: &mut Opened) {
    for index in 0..file.entries.len() {
        let lower = file.entries.get(index).map(|entry| entry.name.to_ascii_lowercase());
        match lower.as_deref() {
            Some("worddocument") if is_encrypted_word(&file.stream(index)) => {
                needs_password(opened)
            }
            Some("current user") if is_encrypted_show(&file.stream(index)) => {
                needs_password(opened)
            }
            _ => {}
        }
    }
}

fn is_encrypted_word(stream: &[u8]) -> bool {
    const ENCRYPTED_BIT: u16 = 0x100;
    matches!(u16_at(stream, 0), Some(0xa5ec | 0xa5dc))
        && u16_at(stream, 10).is_some_and(|flags| flags & ENCRYPTED_BIT != 0)
}

fn is_encrypted_show(stream: &[u8]) -> bool {
    u32_at(stream, 12) == Some(0xf3d1_c4df)
}

fn look_at_storage(lower: &str, opened: &mut Opened) {
    if matches!(lower, "vba" | "_vba_project_cur") {
        opened.flag(PartFlag::Macro);
    }
    // Excel calls the storage of an object by a number, Word puts them all in a pool.
    if lower.starts_with("mbd0") || lower.starts_with("_1") {
        opened.flag(PartFlag::Object);
    }
}

fn look_at_stream(lower: &str, stream: Bytes, budget: &mut Budget, opened: &mut Opened) {
    match lower {
        "\u{1}ole10native" => {
            opened.flag(PartFlag::Object);
            native::open(&stream, budget, opened);
        }
        "workbook" | "book" => excel::look(&stream, opened),
        "worddocument" => look_at_word(&stream, opened),
        "current user" => {
            if is_encrypted_show(&stream) {
                needs_password(opened);
            }
        }
        "powerpoint document" => ppt::open(&stream, budget, opened),
        "\u{9}drmcontent" => needs_password(opened),
        "_vba_project" => opened.flag(PartFlag::Macro),
        "equation native" => opened.flag(PartFlag::Object),
        "\u{1}ole" => look_at_link(&stream, opened),
        _ => {
            if matches!(lower, "package" | "contents") {
                opened.flag(PartFlag::Object);
            }
            let is_flash = |rest: &[u8]| {
                rest.get(1..4).is_some_and(|mark| mark.starts_with(b"WS"))
                    && matches!(rest, [b'F' | b'C' | b'Z', _, _, 1..=60, ..])
            };
            if FILES.iter().any(|magic| stream.starts_with(magic)) || is_flash(&stream) {
                opened.stored(Member { data: stream, ..Member::default() }, budget);
            } else if let Some(at) = memmem::find(&stream, b"WS").and_then(|at| at.checked_sub(1))
                && lower == "contents"
                && stream.get(at..).is_some_and(is_flash)
            {
                // A control that shows Flash keeps it behind a short header.
                opened.stored(Member { data: stream.slice(at..), ..Member::default() }, budget);
            }
        }
    }
}

/// The container as a whole needs a password.
fn needs_password(opened: &mut Opened) {
    opened.flag(PartFlag::Encrypted);
    opened.note(DefectCode::Encrypted);
}

/// Word up to 2003: the header ([MS-DOC] 2.5.2), and fields in the text.
fn look_at_word(stream: &[u8], opened: &mut Opened) {
    if is_encrypted_word(stream) {
        needs_password(opened);
        return;
    }
    const FIELDS_MAX: usize = 10_000;
    const FIELD_BYTES_MAX: usize = 2_000;
    for at in memchr::memchr_iter(0x13, stream).take(FIELDS_MAX) {
        let rest = stream.get(at + 1..).unwrap_or_default();
        let is_wide = rest.first() == Some(&0);
        let rest = rest.get(usize::from(is_wide)..FIELD_BYTES_MAX.min(rest.len()));
        let rest = rest.unwrap_or_default();
        let end = rest.iter().position(|octet| matches!(octet, 0x13..=0x15)).unwrap_or(0);
        let octets = rest.get(..end).unwrap_or_default();
        let text = if is_wide {
            charset::decode(octets, Some("utf-16le")).0
        } else {
            charset::guess(octets)
        };
        field::look(&text, opened);
    }
}

/// What an object is linked to.
fn look_at_link(stream: &[u8], opened: &mut Opened) {
    for at in memmem::find_iter(stream, URL_MONIKER).take(100) {
        let start = at + URL_MONIKER.len();
        let length = u32_at(stream, start).and_then(|length| usize::try_from(length).ok());
        let rest = stream.get(start + 4..).unwrap_or_default();
        let octets = rest.get(..length.unwrap_or(0).min(rest.len()) & !1).unwrap_or_default();
        let text = charset::decode(octets, Some("utf-16le")).0;
        field::remote(text.split('\0').next().unwrap_or_default(), opened);
        opened.flag(PartFlag::Remote);
    }
    // A path on another host, in a moniker of a file.
    let text = charset::guess(stream);
    for path in text.split('\0').filter(|path| path.starts_with("\\\\")).take(10) {
        field::remote(path, opened);
    }
}

/// Gives a text as a member, and the addresses in it.
fn give_text(name: &str, data: Bytes, budget: &mut Budget, opened: &mut Opened) {
    let text = charset::guess(&data);
    opened.links.extend(links::in_text(&text).into_iter().map(|url| (url, None)));
    let data = data.clone();
    opened.stored(Member { names: vec![name.to_owned()], data, ..Member::default() }, budget);
}

#[cfg(test)]
mod tests;
