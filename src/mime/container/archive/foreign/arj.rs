//! ARJ: names from its headers; stored members, and all its methods, are unpacked. Its old cipher is opened, too.

use bytes::Bytes;

use super::lzh::{Method, unpack};
use super::{Ask, Cursor, Member, Opened, find_magic, mark_encrypted, mark_unscannable, name_text};
use crate::mail::{DefectCode, PartFlag};
use crate::mime::budget::Budget;
use crate::mime::container::Password;

const MAGIC: &[u8] = b"\x60\xea";

/// Octets of one header; ARJ itself takes no more.
const HEADER_BYTES_MAX: usize = 2600;

const GARBLED: u8 = 1;
const MORE_VOLUMES: u8 = 4;
const CONTINUED: u8 = 8;

/// Kinds of header.
const MAIN: u8 = 2;
const FOLDER: u8 = 3;

/// Passwords tried on one member.
const PASSWORDS_MAX: usize = 8;

pub(in crate::mime::container) fn open(ask: Ask<'_>, opened: &mut Opened) {
    let Ask { data, passwords, budget, .. } = ask;
    let Some((at, header)) = find_first(data) else {
        opened.note(DefectCode::BadArchive);
        opened.flag(PartFlag::Unscannable);
        return;
    };
    let at = if header.kind == MAIN {
        header.end
    } else {
        // The main header is cut off or broken; the files are there.
        opened.note(DefectCode::BadArchive);
        at
    };
    list(data, at, passwords, budget, opened);
}

/// The first header that is whole.
pub(super) fn find_first(data: &[u8]) -> Option<(usize, Header)> {
    const HITS_MAX: usize = 1000;
    let mut from = 0;
    for _ in 0..HITS_MAX {
        let at = find_magic(data, from, MAGIC)?;
        if let Read::File(header) = Header::read(data, at) {
            return Some((at, header));
        }
        from = at + 1;
    }
    None
}

/// True if a header begins here, whole or not.
pub(super) fn is_header(data: &[u8]) -> bool {
    const FIELDS_BYTES: u16 = 30;
    let mut cursor = Cursor::new(data);
    let magic = cursor.take(MAGIC.len()) == Some(MAGIC);
    let (length, fields) = (cursor.u16().unwrap_or(0), cursor.octet().map_or(0, u16::from));
    magic && usize::from(length) <= HEADER_BYTES_MAX && fields >= FIELDS_BYTES && fields < length
}

fn list(
    data: &Bytes,
    mut at: usize,
    passwords: &[Password],
    budget: &mut Budget,
    opened: &mut Opened,
) {
    loop {
        let header = match Header::read(data, at) {
            Read::File(header) => header,
            Read::End => return,
            Read::Nothing => {
                opened.note(DefectCode::BadArchive);
                return;
            }
        };
        let end = header.end.saturating_add(header.packed);
        let packed = data.slice(header.end.min(data.len())..end.min(data.len()));
        at = end;
        let garbled = header.flags & GARBLED != 0;
        if matches!(header.kind, MAIN | FOLDER) && packed.is_empty()
            || !passwords.is_empty() && !garbled
        {
            continue;
        }
        let mut member = Member { names: vec![name_text(&header.name)], ..Member::default() };
        if garbled {
            open_garbled(&header, &packed, passwords, budget, &mut member, opened);
        } else {
            take(&header, packed, budget, &mut member, opened);
        }
        if header.flags & (MORE_VOLUMES | CONTINUED) != 0 || end > data.len() {
            for code in [DefectCode::BadArchive, DefectCode::UnscannableMember] {
                if !member.odd.contains(&code) {
                    member.odd.push(code);
                }
            }
            opened.flag(PartFlag::Unscannable);
        }
        if let Err(code) = budget.file() {
            opened.note(code);
            return;
        }
        opened.members.push(member);
    }
}

/// What stands where a header should be.
enum Read {
    File(Header),
    End,
    Nothing,
}

#[derive(Debug)]
pub(super) struct Header {
    flags: u8,
    method: u8,
    kind: u8,
    modifier: u8,
    packed: usize,
    size: usize,
    crc: u32,
    name: Vec<u8>,
    /// Where the data begins.
    end: usize,
}

impl Header {
    fn read(data: &[u8], at: usize) -> Read {
        let mut cursor = Cursor::starting(data, at);
        if cursor.take(2) != Some(MAGIC) {
            return Read::Nothing;
        }
        match cursor.u16().map(usize::from) {
            Some(0) => Read::End,
            Some(length) if length <= HEADER_BYTES_MAX => {
                Self::read_fields(&mut cursor, length).map_or(Read::Nothing, Read::File)
            }
            _ => Read::Nothing,
        }
    }

    fn read_fields(cursor: &mut Cursor<'_>, length: usize) -> Option<Self> {
        let octets = cursor.take(length)?;
        if crc32fast::hash(octets) != cursor.u32()? {
            return None;
        }
        loop {
            match usize::from(cursor.u16()?) {
                0 => break,
                added => cursor.take(added + 4)?,
            };
        }
        let mut fields = Cursor::new(octets);
        let first = usize::from(fields.octet()?);
        fields.take(3)?;
        let (flags, method, kind) = (fields.octet()?, fields.octet()?, fields.octet()?);
        let modifier = fields.octet()?;
        fields.u32()?;
        let (packed, size, crc) = (fields.size()?, fields.size()?, fields.u32()?);
        let name = Cursor::starting(octets, first).text()?.to_vec();
        let packed = if kind == MAIN { 0 } else { packed };
        Some(Self { flags, method, kind, modifier, packed, size, crc, name, end: cursor.at() })
    }
}

fn take(
    header: &Header,
    packed: Bytes,
    budget: &mut Budget,
    member: &mut Member,
    opened: &mut Opened,
) {
    let method = match header.method {
        0 => None,
        1..=3 => Some(Method::Blocks { distances: 17, bits: 5 }),
        4 => Some(Method::Fixed),
        _ => {
            mark_unscannable(member, opened);
            return;
        }
    };
    match method {
        None => match budget.expand(packed.len(), 0, packed.len()) {
            Ok(()) => member.data = packed,
            Err(code) => member.odd.push(code),
        },
        Some(method) => {
            let unpacked = unpack(&packed, header.size, method, 0, budget);
            member.odd.extend(unpacked.odd);
            member.data = unpacked.data.into();
        }
    }
    if member.odd.is_empty() && crc32fast::hash(&member.data) != header.crc {
        member.odd.push(DefectCode::BadArchive);
    }
    if !member.odd.is_empty() {
        member.flags.push(PartFlag::Unscannable);
        opened.flag(PartFlag::Unscannable);
    }
}

/// Opens a member that was mixed with a password: octet by octet, over and over.
fn open_garbled(
    header: &Header,
    packed: &[u8],
    passwords: &[Password],
    budget: &mut Budget,
    member: &mut Member,
    opened: &mut Opened,
) {
    let passwords = passwords.iter().filter(|password| !password.octets.is_empty());
    for password in passwords.take(PASSWORDS_MAX) {
        let key = password.octets.iter().map(|octet| octet.wrapping_add(header.modifier)).cycle();
        let plain: Vec<u8> = packed.iter().zip(key).map(|(octet, key)| octet ^ key).collect();
        let mut trial = Member::default();
        take(header, plain.into(), budget, &mut trial, &mut Opened::default());
        if trial.odd.is_empty() {
            member.data = trial.data;
            member.flags.push(PartFlag::Decrypted(password.source));
            return;
        }
    }
    mark_encrypted(member, opened);
}
