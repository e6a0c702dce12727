//! cab: names from its headers; stored, MSZIP and LZX folders are unpacked.
//!
//! As Microsoft's cabinet format describes it ([MS-CAB]).

use bytes::Bytes;
use flate2::{Decompress, FlushDecompress, Status};

use super::lzx::Lzx;
use super::{Ask, Cursor, JOINED_MAX, Member, Opened, find_magic, mark_unscannable, name_text};
use crate::mail::{DefectCode, PartFlag};
use crate::mime::budget::{Budget, STEP_BYTES};
use crate::mime::container::unpack::Unpacked;

const MAGIC: &[u8] = b"MSCF";

const PREVIOUS: u16 = 1;
const NEXT: u16 = 2;
const RESERVED: u16 = 4;

/// What one block unpacks to at most.
const BLOCK_BYTES_MAX: usize = 32 << 10;

pub(in crate::mime::container) fn open(ask: Ask<'_>, opened: &mut Opened) {
    let Ask { data, passwords, budget, .. } = ask;
    if !passwords.is_empty() {
        return;
    }
    let (mut from, mut any) = (0, false);
    for _ in 0..JOINED_MAX {
        let Some((at, cabinet)) = find_first(data, from) else { break };
        any = true;
        from = at.saturating_add(cabinet.length.max(1));
        if !open_cabinet(&data.slice(at..), &cabinet, budget, opened) {
            return;
        }
    }
    if !any {
        // InstallShield's, or damaged.
        opened.flag(PartFlag::Unscannable);
        if data.starts_with(MAGIC) {
            opened.note(DefectCode::BadArchive);
        }
    }
}

/// The first cabinet from `from` on.
pub(super) fn find_first(data: &[u8], mut from: usize) -> Option<(usize, Cabinet)> {
    const HITS_MAX: usize = 1000;
    for _ in 0..HITS_MAX {
        let at = find_magic(data, from, MAGIC)?;
        if let Some(cabinet) = Cabinet::read(data.get(at..)?) {
            return Some((at, cabinet));
        }
        from = at + 1;
    }
    None
}

#[derive(Debug, Default)]
pub(super) struct Cabinet {
    length: usize,
    folders: Vec<Folder>,
    files: Vec<File>,
    /// Octets that each block has beside its own.
    reserved: usize,
    cut: bool,
}

#[derive(Debug)]
struct Folder {
    start: usize,
    blocks: u16,
    method: u16,
}

#[derive(Debug)]
struct File {
    name: Vec<u8>,
    folder: u16,
    start: usize,
    size: usize,
}

impl Cabinet {
    fn read(data: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::starting(data, 4);
        cursor.u32()?;
        let length = cursor.size()?;
        cursor.u32()?;
        let files_at = cursor.size()?;
        cursor.u32()?;
        let (_, major) = (cursor.octet()?, cursor.octet()?);
        if major != 1 || files_at < 36 {
            return None;
        }
        let (folders, files, flags) = (cursor.u16()?, cursor.u16()?, cursor.u16()?);
        cursor.u32()?;
        let mut cabinet = Self { length, ..Self::default() };
        let mut folder_reserved = 0;
        if flags & RESERVED != 0 {
            let header = usize::from(cursor.u16()?);
            folder_reserved = usize::from(cursor.octet()?);
            cabinet.reserved = usize::from(cursor.octet()?);
            cursor.take(header)?;
        }
        for flag in [PREVIOUS, NEXT] {
            if flags & flag != 0 {
                cursor.text()?;
                cursor.text()?;
            }
        }
        for _ in 0..folders {
            let (start, blocks, method) = (cursor.size()?, cursor.u16()?, cursor.u16()?);
            cursor.take(folder_reserved)?;
            cabinet.folders.push(Folder { start, blocks, method });
        }
        let mut cursor = Cursor::starting(data, files_at);
        for _ in 0..files {
            let Some(file) = read_file(&mut cursor) else {
                cabinet.cut = true;
                break;
            };
            cabinet.files.push(file);
        }
        cabinet.cut |= length > data.len();
        Some(cabinet)
    }
}

fn read_file(cursor: &mut Cursor<'_>) -> Option<File> {
    let (size, start, folder) = (cursor.size()?, cursor.size()?, cursor.u16()?);
    cursor.take(6)?;
    let name = cursor.text()?.to_vec();
    Some(File { name, folder, start, size })
}

/// Gives what the cabinet lists. False if there are too many files.
fn open_cabinet(data: &Bytes, cabinet: &Cabinet, budget: &mut Budget, opened: &mut Opened) -> bool {
    if cabinet.cut {
        opened.note(DefectCode::BadArchive);
    }
    let mut folders: Vec<Option<(Bytes, Option<DefectCode>)>> =
        cabinet.folders.iter().map(|_| None).collect();
    for file in &cabinet.files {
        if let Err(code) = budget.file() {
            opened.note(code);
            return false;
        }
        // Continued from the cabinet before, to the next one, or both.
        const FROM: u16 = 0xfffd;
        const TO: u16 = 0xfffe;
        const BOTH: u16 = 0xffff;
        let continued = matches!(file.folder, FROM | TO | BOTH);
        let index = match file.folder {
            FROM | BOTH => 0,
            TO => cabinet.folders.len().saturating_sub(1),
            folder => usize::from(folder),
        };
        let mut member = Member { names: vec![name_text(&file.name)], ..Member::default() };
        let unpacked = match (cabinet.folders.get(index), folders.get_mut(index)) {
            (Some(folder), Some(place)) => {
                let (made, odd) = place.get_or_insert_with(|| {
                    let unpacked = unpack(data, folder, cabinet.reserved, budget);
                    (unpacked.data.into(), unpacked.odd)
                });
                let end = file.start.saturating_add(file.size);
                if end > made.len() {
                    member.odd.push(odd.unwrap_or(DefectCode::BadArchive));
                }
                let start = file.start.min(made.len());
                member.data = made.slice(start..end.clamp(start, made.len()));
                *odd
            }
            _ => Some(DefectCode::BadArchive),
        };
        if let Some(code) = unpacked.filter(|code| *code != DefectCode::UnscannableMember) {
            opened.note(code);
        }
        if unpacked == Some(DefectCode::UnscannableMember) && member.data.is_empty() {
            member.odd.clear();
            mark_unscannable(&mut member, opened);
        } else if !member.odd.is_empty()
            || continued
            || unpacked.is_some() && member.data.is_empty()
        {
            let code = unpacked.unwrap_or(DefectCode::BadArchive);
            if !member.odd.contains(&code) {
                member.odd.push(code);
            }
            member.flags.push(PartFlag::Unscannable);
            opened.flag(PartFlag::Unscannable);
        }
        opened.members.push(member);
    }
    true
}

/// Unpacks a folder block by block, as far as that goes.
fn unpack(data: &[u8], folder: &Folder, reserved: usize, budget: &mut Budget) -> Unpacked {
    const METHOD: u16 = 15;
    let mut out = Unpacked::default();
    let mut decoder = match (folder.method & METHOD, folder.method >> 8 & 31) {
        (0, _) => Decoder::Stored,
        (1, _) => Decoder::MsZip(Box::new(Decompress::new(false))),
        (3, window @ 15..=21) => Decoder::Lzx(Box::new(Lzx::new(u32::from(window)))),
        _ => {
            out.odd = Some(DefectCode::UnscannableMember);
            return out;
        }
    };
    let mut cursor = Cursor::starting(data, folder.start);
    let (mut packed, mut paid) = (0_usize, 0);
    for _ in 0..folder.blocks {
        let Some((block, size)) = read_block(&mut cursor, reserved) else {
            out.odd = Some(DefectCode::BadArchive);
            break;
        };
        packed += block.len();
        if decoder.unpack(block, size, &mut out.data).is_none() {
            out.odd = Some(DefectCode::BadArchive);
            break;
        }
        if out.data.len() - paid >= STEP_BYTES
            && let Err(code) = budget.expand(out.data.len() - paid, paid, packed)
        {
            out.data.truncate(STEP_BYTES);
            out.odd = Some(code);
            return out;
        } else if out.data.len() - paid >= STEP_BYTES {
            paid = out.data.len();
        }
    }
    if let Err(code) = budget.expand(out.data.len() - paid, paid, packed) {
        out.data.truncate(STEP_BYTES);
        out.odd = Some(code);
    }
    if let Decoder::Lzx(lzx) = decoder {
        lzx.translate(&mut out.data);
    }
    out
}

fn read_block<'a>(cursor: &mut Cursor<'a>, reserved: usize) -> Option<(&'a [u8], usize)> {
    cursor.u32()?;
    let (packed, size) = (usize::from(cursor.u16()?), usize::from(cursor.u16()?));
    cursor.take(reserved)?;
    let block = cursor.take(packed)?;
    (size <= BLOCK_BYTES_MAX).then_some((block, size))
}

enum Decoder {
    Stored,
    MsZip(Box<Decompress>),
    Lzx(Box<Lzx>),
}

impl Decoder {
    /// Unpacks one block behind what was unpacked before.
    fn unpack(&mut self, block: &[u8], size: usize, made: &mut Vec<u8>) -> Option<()> {
        match self {
            Self::Stored => {
                made.extend_from_slice(block);
                Some(())
            }
            Self::MsZip(stream) => inflate_block(stream, block, size, made),
            Self::Lzx(lzx) => lzx.unpack(block, size, made),
        }
    }
}

/// Each block of MSZIP is a deflate stream of its own, but matches reach into the block before.
fn inflate_block(
    stream: &mut Decompress,
    block: &[u8],
    size: usize,
    made: &mut Vec<u8>,
) -> Option<()> {
    let packed = block.strip_prefix(b"CK")?;
    stream.reset(false);
    if !made.is_empty() {
        let window = made.get(made.len().saturating_sub(BLOCK_BYTES_MAX)..)?;
        stream.set_dictionary(window).ok()?;
    }
    let mut step = vec![0; BLOCK_BYTES_MAX];
    let status = stream.decompress(packed, &mut step, FlushDecompress::Finish);
    let fresh = usize::try_from(stream.total_out()).ok()?;
    made.extend_from_slice(step.get(..fresh)?);
    (matches!(status, Ok(Status::StreamEnd)) && fresh == size).then_some(())
}
