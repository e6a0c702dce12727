//! 7z: names from its header, also if the content is encrypted; all of what 7-Zip packs by itself is unpacked.

mod coders;
mod header;

use std::io::Read;

use bytes::Bytes;

use super::{
    Ask, Cursor, JOINED_MAX, Member, Opened, find_magic, find_where, mark_encrypted,
    mark_unscannable,
};
use crate::mail::{DefectCode, PartFlag};
use crate::mime::budget::{Budget, STEP_BYTES};
use crate::mime::container::Password;
use crate::mime::container::unpack::drain;
use coders::{AES, Salted, reader};
use header::{Content, File, Folder, Streams};

const MAGIC: &[u8] = b"7z\xbc\xaf\x27\x1c";

/// Octets of the first header.
const START_BYTES: usize = 32;

/// Headers may be packed, and packed again.
const HEADERS_MAX: usize = 4;

/// Octets of an unpacked header: a hundred for each file that the limits allow, and room for strange ones.
const HEADER_BYTES_MAX: u64 = 16 << 20;

/// Passwords tried on one archive; each costs a hundred milliseconds.
const PASSWORDS_MAX: usize = 8;

/// Keys made for one archive, whatever salts it has.
const KEYS_MAX: usize = 16;

pub(in crate::mime::container) fn open(ask: Ask<'_>, opened: &mut Opened) {
    let Ask { data, passwords, budget, .. } = ask;
    let (mut from, mut any) = (0, false);
    for _ in 0..JOINED_MAX {
        let Some(at) = find_magic(data, from, MAGIC) else { break };
        let archive = data.slice(at..);
        let Some(start) = Start::read(&archive, at == 0) else {
            from = at + 1;
            continue;
        };
        any = true;
        let end = start.at.saturating_add(start.size);
        let mut keys = Keys::new(passwords);
        Archive { data: archive, keys: &mut keys, budget, opened }.open(&start);
        from = at.saturating_add(end).max(at + 1);
    }
    if !any {
        opened.note(DefectCode::BadArchive);
        opened.flag(PartFlag::Unscannable);
    }
}

/// The first archive whose first header is whole.
pub(super) fn find_first(data: &[u8]) -> Option<usize> {
    find_where(data, MAGIC, |at| {
        data.get(at..).is_some_and(|archive| Start::read(archive, false).is_some())
    })
}

/// Where the header is that lists everything.
#[derive(Debug)]
struct Start {
    at: usize,
    size: usize,
    crc: Option<u32>,
}

impl Start {
    /// Reads the first header. Behind junk its checksum must fit.
    fn read(data: &[u8], is_first: bool) -> Option<Self> {
        let mut cursor = Cursor::new(data);
        cursor.take(8)?;
        let sum = cursor.u32()?;
        let fields = data.get(12..START_BYTES)?;
        if fields.iter().all(|octet| *octet == 0) && is_first {
            return Self::search(data);
        }
        if crc32fast::hash(fields) != sum && !is_first {
            return None;
        }
        let mut number = || cursor.u64().map(|value| usize::try_from(value).unwrap_or(usize::MAX));
        let (offset, size) = (number()?, number()?);
        Some(Self { at: START_BYTES.saturating_add(offset), size, crc: cursor.u32() })
    }

    /// An archive whose writing was broken off has no first header; 7-Zip finds the other one near the end.
    fn search(data: &[u8]) -> Option<Self> {
        const TAIL_BYTES: usize = 500;
        let from = data.len().saturating_sub(TAIL_BYTES).max(START_BYTES);
        let tail = data.get(from..)?;
        let is_header = |pair: &[u8]| matches!(pair, [1, 4] | [0x17, 6]);
        let at = from + tail.windows(2).rposition(is_header)?;
        Some(Self { at, size: data.len() - at, crc: None })
    }
}

/// The passwords, those that fitted once first, and the keys that were made of them.
struct Keys<'a> {
    passwords: Vec<&'a Password>,
    made: Vec<(Salted, usize, [u8; 32])>,
    /// Which password opened the header.
    header: Option<usize>,
    failures: usize,
}

impl<'a> Keys<'a> {
    fn new(passwords: &'a [Password]) -> Self {
        let passwords = passwords.iter().take(PASSWORDS_MAX).collect();
        Self { passwords, made: Vec::new(), header: None, failures: 0 }
    }

    /// The key of that password, made only once.
    fn key(&mut self, salted: &Salted, index: usize, budget: &mut Budget) -> Option<[u8; 32]> {
        let known = self.made.iter().find(|(is, of, _)| *of == index && is.same_key(salted));
        if let Some((_, _, key)) = known {
            return Some(*key);
        }
        if self.made.len() >= KEYS_MAX {
            return None;
        }
        let password = &self.passwords.get(index)?.octets;
        if !budget.work(salted.work(password)) {
            return None;
        }
        let key = salted.key(password)?;
        self.made.push((salted.clone(), index, key));
        Some(key)
    }

    /// The first password by which `fits` says yes, and its key.
    fn find(
        &mut self,
        salted: &Salted,
        budget: &mut Budget,
        mut fits: impl FnMut([u8; 32], &mut Budget) -> bool,
    ) -> Option<(usize, [u8; 32])> {
        let mut order: Vec<usize> = (0..self.passwords.len()).collect();
        if let Some(last) = self.header {
            order.sort_by_key(|index| *index != last);
        }
        for index in order {
            if self.failures >= PASSWORDS_MAX || budget.is_late() {
                return None;
            }
            let Some(key) = self.key(salted, index, budget) else { continue };
            if fits(key, budget) {
                self.header = Some(index);
                return Some((index, key));
            }
            self.failures += 1;
        }
        None
    }
}

const UNKNOWN: DefectCode = DefectCode::UnscannableMember;

struct Archive<'a, 'b> {
    data: Bytes,
    keys: &'a mut Keys<'b>,
    budget: &'a mut Budget,
    opened: &'a mut Opened,
}

impl Archive<'_, '_> {
    fn open(&mut self, start: &Start) {
        let header = self.data.get(start.at..).unwrap_or_default();
        if header.len() < start.size || start.size == 0 {
            self.opened.note(DefectCode::BadArchive);
        }
        let header = header.get(..start.size).unwrap_or(header);
        if start.crc.is_some_and(|crc| crc != crc32fast::hash(header)) {
            self.opened.note(DefectCode::BadArchive);
        }
        let mut header = self.data.slice_ref(header);
        let mut by_password = None;
        for _ in 0..HEADERS_MAX {
            match header.first() {
                Some(0x17) => match self.unpack_header(&header, &mut by_password) {
                    Some(unpacked) => header = unpacked,
                    None => return,
                },
                Some(1) => {
                    self.list(&header, by_password);
                    return;
                }
                _ => break,
            }
        }
        self.opened.note(DefectCode::BadArchive);
        self.opened.flag(PartFlag::Unscannable);
    }

    /// Unpacks a packed header. `None` if that cannot be, which is then said.
    fn unpack_header(&mut self, header: &[u8], by_password: &mut Option<usize>) -> Option<Bytes> {
        let streams = header::read_streams(&mut Cursor::starting(header, 1));
        let unpacked = streams.as_ref().and_then(|streams| {
            let folder = streams.folders.first()?;
            let packed = Place::of(streams).next(&self.data, streams, folder);
            let key = match Salted::of(folder) {
                None => None,
                Some(salted) => {
                    let found = self.keys.find(&salted, self.budget, |key, budget| {
                        opens(folder, &packed, key, budget)
                    });
                    let Some((index, key)) = found else {
                        self.opened.flag(PartFlag::Encrypted);
                        self.opened.note(DefectCode::Encrypted);
                        return None;
                    };
                    *by_password = Some(index);
                    Some(key)
                }
            };
            let decoder = reader(folder, &packed, key, self.budget).ok()?;
            let length = packed.iter().map(|octets| octets.len()).sum();
            let unpacked = drain(&mut decoder.take(HEADER_BYTES_MAX), length, self.budget);
            match unpacked.odd {
                Some(code) if code.is_limit() => self.opened.note(code),
                Some(_) => self.opened.note(DefectCode::BadArchive),
                None => {}
            }
            Some(Bytes::from(unpacked.data))
        });
        if unpacked.is_none() && !self.opened.flags.contains(&PartFlag::Encrypted) {
            self.opened.note(DefectCode::BadArchive);
            self.opened.flag(PartFlag::Unscannable);
        }
        unpacked
    }

    /// Lists the files of a readable header, and unpacks them.
    fn list(&mut self, header: &[u8], by_password: Option<usize>) {
        let (streams, files) = header::read(header);
        if files.is_none() {
            self.opened.note(DefectCode::BadArchive);
            self.opened.flag(PartFlag::Unscannable);
        }
        let (mut packed, mut empty) = (Vec::new(), Vec::new());
        for file in files.unwrap_or_default() {
            if file.has_stream {
                packed.push(file);
            } else if !file.is_folder {
                empty.push(file);
            }
        }
        if !self.is_second() || by_password.is_some() {
            for file in empty {
                if !self.push(Member { names: names(&file), ..Member::default() }, by_password) {
                    return;
                }
            }
        }
        let mut packed = packed.into_iter();
        let data = self.data.clone();
        let mut place = Place::of(&streams);
        for folder in &streams.folders {
            let octets = place.next(&data, &streams, folder);
            let files = folder.files.iter().map(|file| (*file, packed.next()));
            let files: Vec<_> = files.take(self.budget.limits.archive_files_max + 1).collect();
            if !self.unpack(folder, &octets, files, by_password) {
                return;
            }
        }
        for file in packed {
            let mut member = Member { names: names(&file), ..Member::default() };
            mark_unscannable(&mut member, self.opened);
            if !self.push(member, by_password) {
                return;
            }
        }
    }

    fn is_second(&self) -> bool {
        !self.keys.passwords.is_empty()
    }

    /// Takes a member, unless there are too many.
    fn push(&mut self, mut member: Member, by_password: Option<usize>) -> bool {
        let password = by_password.and_then(|index| self.keys.passwords.get(index));
        if let Some(password) = password
            && !member.flags.contains(&PartFlag::Encrypted)
        {
            member.flags.push(PartFlag::Decrypted(password.source));
        }
        match self.budget.file() {
            Ok(()) => self.opened.members.push(member),
            Err(code) => {
                self.opened.note(code);
                return false;
            }
        }
        true
    }

    /// Unpacks the files of one folder. False if there are too many.
    fn unpack(
        &mut self,
        folder: &Folder,
        packed: &[&[u8]],
        files: Vec<(Content, Option<File>)>,
        mut by_password: Option<usize>,
    ) -> bool {
        let needs_password = folder.coders.iter().any(|coder| coder.method == AES);
        if self.is_second() && !needs_password && by_password.is_none() {
            return true;
        }
        let mut key = None;
        if let Some(salted) = Salted::of(folder).filter(|_| needs_password) {
            let found = self
                .keys
                .find(&salted, self.budget, |key, budget| opens(folder, packed, key, budget));
            if let Some((index, found)) = found {
                (by_password, key) = (Some(index), Some(found));
            }
        }
        let mut decoder = if needs_password && key.is_none() {
            Err(DefectCode::Encrypted)
        } else {
            reader(folder, packed, key, self.budget)
        };
        let packed = packed.iter().map(|octets| octets.len()).sum();
        for ((size, crc), file) in files {
            let mut member = Member::default();
            member.names.extend(file.iter().flat_map(names));
            match &mut decoder {
                Ok(source) => {
                    let unpacked = drain(&mut source.take(size), packed, self.budget);
                    let whole = unpacked.data.len() as u64 == size;
                    let sums_up = crc.is_none_or(|crc| crc == crc32fast::hash(&unpacked.data));
                    let odd = unpacked.odd.or(if whole && sums_up {
                        None
                    } else {
                        Some(DefectCode::BadArchive)
                    });
                    member.data = unpacked.data.into();
                    member.odd.extend(odd);
                    if odd.is_some() && !whole {
                        // What comes behind in the same stream is out of reach.
                        member.flags.push(PartFlag::Unscannable);
                        self.opened.flag(PartFlag::Unscannable);
                        decoder = Err(UNKNOWN);
                    }
                }
                Err(DefectCode::Encrypted) => mark_encrypted(&mut member, self.opened),
                Err(code) => {
                    mark_unscannable(&mut member, self.opened);
                    member.odd.extend(Some(*code).filter(|code| *code != UNKNOWN));
                }
            }
            if !self.push(member, by_password) {
                return false;
            }
        }
        true
    }
}

fn names(file: &File) -> Vec<String> {
    file.name.iter().cloned().collect()
}

/// Where the octets of the next folder are.
struct Place {
    stream: usize,
    at: u64,
}

impl Place {
    fn of(streams: &Streams) -> Self {
        Self { stream: 0, at: (START_BYTES as u64).saturating_add(streams.start) }
    }

    /// The octets that a folder is fed with; what is cut off is missing.
    fn next<'d>(&mut self, data: &'d [u8], streams: &Streams, folder: &Folder) -> Vec<&'d [u8]> {
        let mut packed = Vec::new();
        for _ in &folder.packed {
            let size = streams.packed_sizes.get(self.stream).copied().unwrap_or(0);
            let end = self.at.saturating_add(size);
            let within = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(data.len());
            packed.push(data.get(within(self.at)..within(end)).unwrap_or_default());
            (self.stream, self.at) = (self.stream + 1, end);
        }
        packed
    }
}

/// True if the first file of the folder comes out right by that key.
fn opens(folder: &Folder, packed: &[&[u8]], key: [u8; 32], budget: &mut Budget) -> bool {
    let Ok(mut decoder) = reader(folder, packed, Some(key), budget) else { return false };
    let Some((size, crc)) = folder.files.first() else { return true };
    let mut digest = crc32fast::Hasher::new();
    let mut left = *size;
    let mut step = vec![0; STEP_BYTES];
    while left > 0 && !budget.is_late() {
        let want = usize::try_from(left).unwrap_or(STEP_BYTES).min(STEP_BYTES);
        let Some(room) = step.get_mut(..want) else { return false };
        let fresh = match decoder.read(room) {
            Ok(fresh) if fresh > 0 => fresh,
            Ok(_) | Err(_) => return false,
        };
        digest.update(room.get(..fresh).unwrap_or_default());
        left = left.saturating_sub(fresh as u64);
        if size.saturating_sub(left) > budget.limits.archive_expanded_bytes_max {
            return false;
        }
    }
    left == 0 && crc.is_none_or(|crc| crc == digest.finalize())
}
