//! TNEF (`winmail.dat`): the attachments and their names, short and long.

use super::{Ask, Member, Opened, name_text, u16_at, u32_at};
use crate::mail::DefectCode;
use crate::mime::budget::Budget;

/// Signature and key, before the first attribute.
const HEAD_BYTES: usize = 6;

/// Begins a new attachment.
const RENDER_DATA: u32 = 0x0006_9002;
const TITLE: u32 = 0x0001_8010;
const PROPERTIES: u32 = 0x0006_9005;
const DATA: u32 = 0x0006_800f;

/// MAPI properties that name a file: long, short and display name.
const NAMES: [u16; 3] = [0x3707, 0x3704, 0x3001];
const TEXT_8BIT: u16 = 0x001e;
const TEXT_UTF16: u16 = 0x001f;

pub(in crate::mime::container) fn open(ask: Ask<'_>, opened: &mut Opened) {
    let Ask { data, budget, .. } = ask;
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
            PROPERTIES => read_names(&content, &mut member),
            DATA => member.data = content,
            _ => {}
        }
        // A checksum of two octets follows.
        at = end.saturating_add(2);
    }
    finish(member, budget, opened);
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

/// Finds the names among the properties of an attachment. Properties have many shapes; instead of knowing them all,
/// each place is tried where the type and id of a name stand with a count of one and a length that fits.
fn read_names(content: &[u8], member: &mut Member) {
    for at in (0..content.len().saturating_sub(12)).step_by(4) {
        let (Some(kind), Some(id)) = (u16_at(content, at), u16_at(content, at + 2)) else { return };
        if !NAMES.contains(&id) || !matches!(kind, TEXT_8BIT | TEXT_UTF16) {
            continue;
        }
        let length = u32_at(content, at + 8).and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
        let value = at + 12;
        let Some(octets) = content.get(value..value.saturating_add(length)) else { continue };
        if u32_at(content, at + 4) != Some(1) {
            continue;
        }
        if kind == TEXT_8BIT {
            add_name(member, text(octets));
        } else {
            let wide = crate::mime::charset::decode(octets, Some("utf-16le")).0;
            add_name(member, wide.split('\0').next().unwrap_or_default().to_owned());
        }
    }
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

    proptest! {
        #[test]
        fn no_octets_make_it_fail(tail: Vec<u8>, cut in 0_usize..150) {
            let mut data = pack("a", "b", b"c");
            data.truncate(cut);
            data.extend(tail);
            opened(data);
        }
    }
}
