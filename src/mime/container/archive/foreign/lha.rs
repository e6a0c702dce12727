//! LHA: headers of level 0 to 3; stored members, and the methods `-lh1-`, `-lh4-` to `-lh7-` are unpacked.

use bytes::Bytes;

use super::lzh::{Method, unpack};
use super::{Ask, Cursor, Member, Opened, find_where, mark_unscannable, name_text};
use crate::mail::{DefectCode, PartFlag};
use crate::mime::budget::Budget;

/// Octets of all headers of one member that are walked through.
const HEADER_BYTES_MAX: usize = 64 << 10;

pub(in crate::mime::container) fn open(ask: Ask<'_>, opened: &mut Opened) {
    let Ask { data, passwords, budget, .. } = ask;
    if !passwords.is_empty() {
        return;
    }
    let Some(mut at) = find_first(data) else {
        opened.note(DefectCode::BadArchive);
        opened.flag(PartFlag::Unscannable);
        return;
    };
    while let Some(header) = Header::read(data.get(at..).unwrap_or_default()) {
        let start = at.saturating_add(header.length);
        let end = start.saturating_add(header.packed);
        let packed = data.slice(start.min(data.len())..end.min(data.len()));
        if let Some(member) = take(&header, packed, end > data.len(), budget, opened) {
            if let Err(code) = budget.file() {
                opened.note(code);
                return;
            }
            opened.members.push(member);
        }
        at = end;
    }
    // A zero ends it; older ones just end.
    if at > data.len() || data.get(at).is_some_and(|octet| *octet != 0) {
        opened.note(DefectCode::BadArchive);
    }
}

/// The first header: at the start, or behind a program.
pub(super) fn find_first(data: &[u8]) -> Option<usize> {
    const METHOD_AT: usize = 2;
    let fits = |hit: usize| {
        let rest = hit.checked_sub(METHOD_AT).and_then(|at| data.get(at..));
        rest.is_some_and(|rest| Header::read(rest).is_some())
    };
    Some(find_where(data, b"-l", fits)? - METHOD_AT)
}

/// True if a header begins here, whole or not.
pub(super) fn is_header(data: &[u8]) -> bool {
    const LEVEL_AT: usize = 20;
    let method = data.get(2..7).unwrap_or_default();
    let is_method = matches!(method, [b'-', b'l' | b'p', b'h' | b'z' | b'm', _, b'-']);
    is_method && data.get(LEVEL_AT).is_some_and(|level| *level <= 3)
}

/// One member's header.
#[derive(Debug, Default)]
struct Header {
    method: [u8; 5],
    packed: usize,
    size: usize,
    crc: u16,
    names: Vec<Vec<u8>>,
    folder: Vec<u8>,
    wide: Option<String>,
    /// Octets of it, with all that is added.
    length: usize,
}

impl Header {
    fn read(data: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::starting(data, 2);
        let method: [u8; 5] = cursor.take(5)?.try_into().ok()?;
        if !matches!(method, [b'-', b'l' | b'p', b'h' | b'z' | b'm', _, b'-']) {
            return None;
        }
        let (packed, size) = (cursor.size()?, cursor.size()?);
        let level = *data.get(20)?;
        let mut header = Self { method, packed, size, ..Self::default() };
        match level {
            0 | 1 => header.read_short(data, level)?,
            2 => {
                let mut cursor = Cursor::new(data);
                header.length = usize::from(cursor.u16()?);
                let mut cursor = Cursor::starting(data, 21);
                header.crc = cursor.u16()?;
                cursor.octet()?;
                header.read_added(&mut cursor, 2)?;
            }
            3 => {
                let mut cursor = Cursor::starting(data, 21);
                header.crc = cursor.u16()?;
                cursor.octet()?;
                header.length = cursor.size()?;
                header.read_added(&mut cursor, 4)?;
            }
            _ => return None,
        }
        (header.length >= 21).then_some(header)
    }

    /// Level 0 and 1: a length of one octet, and a sum over what it covers.
    fn read_short(&mut self, data: &[u8], level: u8) -> Option<()> {
        let length = usize::from(*data.first()?);
        let covered = data.get(2..2 + length)?;
        let sum = covered.iter().fold(0_u8, |sum, octet| sum.wrapping_add(*octet));
        if Some(&sum) != data.get(1) {
            return None;
        }
        let mut cursor = Cursor::starting(data, 21);
        let name = usize::from(cursor.octet()?);
        self.names.push(cursor.take(name)?.to_vec());
        self.crc = cursor.u16()?;
        self.length = 2 + length;
        if level == 1 {
            let mut added = Cursor::starting(data, length);
            let before = added.at();
            self.read_added(&mut added, 2)?;
            // What is added counts as packed.
            let extra = added.at() - before - 2;
            self.length += extra;
            self.packed = self.packed.checked_sub(extra)?;
        }
        Some(())
    }

    /// Headers that are added: each begins with its length, in which that of the next one is counted.
    fn read_added(&mut self, cursor: &mut Cursor<'_>, width: usize) -> Option<()> {
        const NAME: u8 = 1;
        const FOLDER: u8 = 2;
        const WIDE_NAME: u8 = 0x44;
        let start = cursor.at();
        loop {
            let length = if width == 2 { usize::from(cursor.u16()?) } else { cursor.size()? };
            if length == 0 {
                return Some(());
            }
            let mut added = Cursor::new(cursor.take(length.checked_sub(width)?)?);
            if cursor.at() - start > HEADER_BYTES_MAX {
                return None;
            }
            let kind = added.octet()?;
            let content = added.take(added.left())?;
            match kind {
                NAME => self.names.insert(0, content.to_vec()),
                FOLDER => self.folder = content.to_vec(),
                WIDE_NAME => {
                    let pairs = content.chunks_exact(2);
                    let units: Vec<u16> = pairs
                        .filter_map(|pair| Some(u16::from_le_bytes(pair.try_into().ok()?)))
                        .collect();
                    self.wide = Some(String::from_utf16_lossy(&units));
                }
                _ => {}
            }
        }
    }

    /// Every name, with the folder before it, of which the parts are told apart by an octet that is no text.
    fn all_names(&self) -> Vec<String> {
        let folder: Vec<u8> =
            self.folder.iter().map(|octet| if *octet == 0xff { b'/' } else { *octet }).collect();
        let mut names: Vec<String> = self.wide.iter().cloned().collect();
        for name in self.names.iter().filter(|name| !name.is_empty()) {
            let name = name_text(&[&folder[..], name].concat());
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}

fn take(
    header: &Header,
    packed: Bytes,
    cut: bool,
    budget: &mut Budget,
    opened: &mut Opened,
) -> Option<Member> {
    let mut member = Member { names: header.all_names(), ..Member::default() };
    let blocks = |distances, bits| Method::Blocks { distances, bits };
    let method = match &header.method {
        b"-lhd-" if packed.is_empty() => return None,
        b"-lh0-" | b"-lz4-" | b"-pm0-" | b"-lhd-" => None,
        b"-lh1-" => Some(Method::Learning),
        b"-lh4-" | b"-lh5-" => Some(blocks(14, 4)),
        b"-lh6-" => Some(blocks(16, 5)),
        b"-lh7-" => Some(blocks(17, 5)),
        _ => {
            mark_unscannable(&mut member, opened);
            return Some(member);
        }
    };
    match method {
        None => match budget.expand(packed.len(), 0, packed.len()) {
            Ok(()) => member.data = packed,
            Err(code) => member.odd.push(code),
        },
        Some(method) => {
            let unpacked = unpack(&packed, header.size, method, b' ', budget);
            member.odd.extend(unpacked.odd);
            member.data = unpacked.data.into();
        }
    }
    if member.odd.is_empty() && (cut || crc16(&member.data) != header.crc) {
        member.odd.push(DefectCode::BadArchive);
    }
    if !member.odd.is_empty() {
        member.flags.push(PartFlag::Unscannable);
        opened.flag(PartFlag::Unscannable);
    }
    Some(member)
}

/// The checksum of LHA and zoo.
pub(super) fn crc16(data: &[u8]) -> u16 {
    const TABLE: [u16; 256] = {
        let mut table = [0; 256];
        let mut index = 0_u16;
        while index < 256 {
            let mut value = index;
            let mut bit = 0;
            while bit < 8 {
                value = if value & 1 != 0 { value >> 1 ^ 0xa001 } else { value >> 1 };
                bit += 1;
            }
            #[expect(clippy::indexing_slicing, reason = "checked when it is compiled")]
            {
                table[index as usize] = value;
            }
            index += 1;
        }
        table
    };
    data.iter().fold(0, |sum, octet| {
        let [low, _] = (sum ^ u16::from(*octet)).to_le_bytes();
        sum >> 8 ^ TABLE.get(usize::from(low)).copied().unwrap_or(0)
    })
}
