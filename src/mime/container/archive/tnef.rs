//! TNEF (`winmail.dat`, [MS-OXTNEF]): the attachments with all their names, attached messages, and the texts.

use bytes::Bytes;

use super::{Ask, Member, Opened, name_text, u16_at, u32_at};
use crate::mail::DefectCode;
use crate::mime::budget::Budget;
use crate::mime::container::document::packed_rtf;
use crate::mime::{charset, links};

/// Signature and key, before the first attribute.
const HEAD_BYTES: usize = 6;

/// Begins a new attachment.
const RENDER_DATA: u32 = 0x0006_9002;
const TITLE: u32 = 0x0001_8010;
/// Properties of an attachment, and of the message.
const PROPERTIES: u32 = 0x0006_9005;
const MESSAGE_PROPERTIES: u32 = 0x0006_9003;
const DATA: u32 = 0x0006_800f;
const BODY: u32 = 0x0002_800c;

/// MAPI properties that name a file: long, short and display name, paths.
const NAMES: [u16; 5] = [0x3707, 0x3704, 0x370d, 0x3708, 0x3001];
const TEXT_8BIT: u16 = 0x001e;
const TEXT_UTF16: u16 = 0x001f;
const OBJECT: u16 = 0x000d;
const BINARY: u16 = 0x0102;

/// The data of an attachment, octets or an object; and the texts of a message.
const ATTACHED: u16 = 0x3701;
const PLAIN_BODY: u16 = 0x1000;
const RTF_BODY: u16 = 0x1009;
const HTML_BODY: u16 = 0x1013;

pub(in crate::mime::container) fn open(ask: Ask<'_>, opened: &mut Opened) {
    let Ask { data, budget, passwords, .. } = ask;
    if !passwords.is_empty() {
        return;
    }
    let mut at = HEAD_BYTES;
    let mut member = Member::default();
    while let Some(id) = u32_at(data, at + 1) {
        let Some(length) = u32_at(data, at + 5).and_then(|n| usize::try_from(n).ok()) else {
            break;
        };
        let start = at + 9;
        let end = start.saturating_add(length);
        let content = data.slice(start.min(data.len())..end.min(data.len()));
        if end > data.len() {
            opened.note(DefectCode::BadArchive);
        }
        match id {
            RENDER_DATA => finish(std::mem::take(&mut member), budget, opened),
            TITLE => add_name(&mut member, text(&content)),
            PROPERTIES => {
                read_names(&content, &mut member);
                take_object(&content, &mut member, budget, opened);
            }
            MESSAGE_PROPERTIES => take_texts(&content, budget, opened),
            BODY => give_text("body.txt", text(&content), budget, opened),
            DATA => member.data = content,
            _ => {}
        }
        // A checksum of two octets follows.
        at = end.saturating_add(2);
    }
    finish(member, budget, opened);
}

/// An attachment that is a message, or an OLE object: behind the identifier of its interface stands TNEF or OLE.
fn take_object(content: &Bytes, member: &mut Member, budget: &mut Budget, opened: &mut Opened) {
    for (id, kind, value) in properties(content) {
        if id != ATTACHED || !matches!(kind, OBJECT | BINARY) {
            continue;
        }
        let data = if kind == OBJECT { value.slice(16.min(value.len())..) } else { value };
        if !data.is_empty() {
            let names = std::mem::take(&mut member.names);
            opened.stored(Member { names, data, ..Member::default() }, budget);
        }
    }
}

fn take_texts(content: &Bytes, budget: &mut Budget, opened: &mut Opened) {
    for (id, kind, value) in properties(content) {
        let plain = match kind {
            TEXT_UTF16 => charset::decode(&value, Some("utf-16le")).0.into_owned(),
            _ => name_text(&value),
        };
        let plain = plain.trim_end_matches('\0').to_owned();
        match (id, kind) {
            (PLAIN_BODY, TEXT_8BIT | TEXT_UTF16) => give_text("body.txt", plain, budget, opened),
            (HTML_BODY, _) => give_text("body.html", plain, budget, opened),
            (RTF_BODY, BINARY) => packed_rtf::give(&value, budget, opened),
            _ => {}
        }
    }
}

fn give_text(name: &str, text: String, budget: &mut Budget, opened: &mut Opened) {
    if text.trim().is_empty() {
        return;
    }
    opened.links.extend(links::in_text(&text).into_iter().map(|url| (url, None)));
    let names = vec![name.to_owned()];
    opened.stored(Member { names, data: text.into(), ..Member::default() }, budget);
}

/// Properties (2.1.3.4) with their ids, types and values, as far as they can be read. Of several values of one
/// property each is given.
fn properties(content: &Bytes) -> Vec<(u16, u16, Bytes)> {
    const PROPERTIES_MAX: usize = 10_000;
    const MANY: u16 = 0x1000;
    let mut found = Vec::new();
    let mut at = 4;
    while let (Some(kind), Some(id)) = (u16_at(content, at), u16_at(content, at + 2)) {
        at += 4;
        let named = if id >= 0x8000 { name_bytes(content, at) } else { Some(0) };
        let Some(named) = named else { break };
        at += named;
        let base = kind & !MANY;
        let is_text = matches!(base, TEXT_8BIT | TEXT_UTF16 | OBJECT | BINARY);
        let mut count = 1;
        if is_text || kind & MANY != 0 {
            let Some(number) = u32_at(content, at) else { break };
            (count, at) = (number, at + 4);
        }
        for _ in 0..count {
            let length = match base {
                2 | 3 | 4 | 10 | 11 => 4,
                5 | 6 | 7 | 20 | 64 => 8,
                72 => 16,
                _ if is_text => {
                    let length = u32_at(content, at).and_then(|n| usize::try_from(n).ok());
                    at += 4;
                    length.unwrap_or(usize::MAX)
                }
                _ => return found,
            };
            let start = at.min(content.len());
            let end = start.saturating_add(length).min(content.len());
            at = start.saturating_add(length).checked_next_multiple_of(4).unwrap_or(usize::MAX);
            if is_text {
                found.push((id, base, content.slice(start..end)));
            }
            if at >= content.len() || found.len() >= PROPERTIES_MAX {
                return found;
            }
        }
    }
    found
}

/// The length of the name that a property of the second half has.
fn name_bytes(content: &[u8], at: usize) -> Option<usize> {
    const CLASS_BYTES: usize = 16;
    match u32_at(content, at.checked_add(CLASS_BYTES)?)? {
        0 => Some(CLASS_BYTES + 8),
        _ => {
            let length = usize::try_from(u32_at(content, at + CLASS_BYTES + 4)?).ok()?;
            length.checked_next_multiple_of(4)?.checked_add(CLASS_BYTES + 8)
        }
    }
}

fn finish(member: Member, budget: &mut Budget, opened: &mut Opened) {
    if member.names.is_empty() && member.data.is_empty() {
        return;
    }
    let size = member.data.len();
    match budget.file().and_then(|()| budget.expand(size, 0, size)) {
        Ok(()) => opened.members.push(member),
        Err(code) => opened.note(code),
    }
}

fn text(octets: &[u8]) -> String {
    name_text(octets.split(|octet| *octet == 0).next().unwrap_or_default())
}

fn add_name(member: &mut Member, name: String) {
    const NAMES_MAX: usize = 16;
    if !name.is_empty() && member.names.len() < NAMES_MAX && !member.names.contains(&name) {
        member.names.push(name);
    }
}

/// Finds the names among the properties of an attachment. Where these cannot be read, each place is tried where the type
/// and id of a name stand with a count of one and a length that fits.
fn read_names(content: &Bytes, member: &mut Member) {
    let read = properties(content);
    for (id, kind, value) in &read {
        if NAMES.contains(id) {
            add_name(member, name_of(*kind, value));
        }
    }
    if !read.is_empty() {
        return;
    }
    for at in (0..content.len().saturating_sub(12)).step_by(4) {
        let (Some(kind), Some(id)) = (u16_at(content, at), u16_at(content, at + 2)) else { return };
        if !NAMES.contains(&id) || !matches!(kind, TEXT_8BIT | TEXT_UTF16) {
            continue;
        }
        let length = u32_at(content, at + 8).and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
        let value = at + 12;
        let Some(octets) = content.get(value..value.saturating_add(length)) else { continue };
        if u32_at(content, at + 4) == Some(1) {
            add_name(member, name_of(kind, octets));
        }
    }
}

fn name_of(kind: u16, octets: &[u8]) -> String {
    if kind != TEXT_UTF16 {
        return text(octets);
    }
    let wide = charset::decode(octets, Some("utf-16le")).0;
    wide.split('\0').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mime::Limits;
    use crate::mime::container::{Container, try_open};

    fn attribute(id: u32, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).unwrap().to_le_bytes();
        [&[2][..], &id.to_le_bytes(), &length, content, &[0, 0]].concat()
    }

    fn pack(name: &str, long: &str, data: &[u8]) -> Vec<u8> {
        let mut properties =
            [&1_u32.to_le_bytes()[..], &[0x1e, 0, 0x07, 0x37, 1, 0, 0, 0]].concat();
        properties.extend(u32::try_from(long.len()).unwrap().to_le_bytes());
        properties.extend(long.as_bytes());
        [
            b"\x78\x9f\x3e\x22\x01\x00".to_vec(),
            attribute(RENDER_DATA, &[0; 14]),
            attribute(TITLE, name.as_bytes()),
            attribute(PROPERTIES, &properties),
            attribute(DATA, data),
        ]
        .concat()
    }

    fn opened(data: Vec<u8>) -> Opened {
        try_open(Container::Tnef, data, None, &Limits::default())
    }

    #[test]
    fn attachments_have_both_their_names() {
        let opened = opened(pack("SETUP~1.EXE\0", "setup.exe\0\0\0", b"data"));
        assert_eq!(opened.members.len(), 1);
        assert_eq!(opened.members[0].names, ["SETUP~1.EXE", "setup.exe"]);
        assert_eq!(&opened.members[0].data[..], b"data");
    }

    fn property(kind: u16, id: u16, value: &[u8]) -> Vec<u8> {
        let length = u32::try_from(value.len()).unwrap().to_le_bytes();
        let mut out =
            [&kind.to_le_bytes()[..], &id.to_le_bytes(), &1_u32.to_le_bytes(), &length].concat();
        out.extend(value);
        out.resize(out.len().next_multiple_of(4), 0);
        out
    }

    #[test]
    fn attached_messages_and_texts_are_given() {
        let inner = pack("a.exe", "a.exe", b"MZ");
        let named =
            [&[3, 0, 1, 0x80][..], &[7; 16], &[1, 0, 0, 0, 6, 0, 0, 0], b"a\0b\0\0\0\0\0", &[9; 4]]
                .concat();
        let fixed = [0x40, 0, 6, 0x30, 1, 2, 3, 4, 5, 6, 7, 8];
        let message = [
            &[4, 0, 0, 0][..],
            &named,
            &fixed,
            &property(TEXT_8BIT, PLAIN_BODY, b"see http://a.b/c\0"),
            &property(BINARY, RTF_BODY, b"\0\0\0\0\0\0\0\0MELA\0\0\0\0{\\rtf1}"),
        ]
        .concat();
        let object = [&[7; 16], &inner[..]].concat();
        let attachment = [&[1, 0, 0, 0][..], &property(OBJECT, ATTACHED, &object)].concat();
        let data = [
            b"\x78\x9f\x3e\x22\x01\x00".to_vec(),
            attribute(MESSAGE_PROPERTIES, &message),
            attribute(RENDER_DATA, &[0; 14]),
            attribute(PROPERTIES, &attachment),
        ]
        .concat();
        let opened = opened(data);
        let got: Vec<&[u8]> = opened.members.iter().map(|member| &member.data[..]).collect();
        assert_eq!(got, [&b"see http://a.b/c"[..], b"{\\rtf1}", &inner]);
        assert_eq!(opened.links, [("http://a.b/c".to_owned(), None)]);
        assert_eq!(opened.odd, []);
    }

    proptest! {
        #[test]
        fn no_octets_make_it_fail(tail: Vec<u8>, cut in 0_usize..150) {
            properties(&[&[1, 0, 0, 0, 0x1e, 0x10, 0, 0x80], &tail[..]].concat().into());
            let mut data = pack("a", "b", b"c");
            data.truncate(cut);
            data.extend(tail);
            opened(data);
        }
    }
}
