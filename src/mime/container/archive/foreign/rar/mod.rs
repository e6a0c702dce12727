//! rar: names from the headers of all versions since 1.5; stored members, and what RAR 2.9 to 7 pack, are unpacked.

mod filters;
mod five;
mod keys;
mod new;
mod old;
mod three;

use bytes::Bytes;

use super::{
    Ask, JOINED_MAX, Member, Opened, find_magic, find_where, mark_encrypted, mark_unscannable,
    name_text,
};
use crate::mail::{DefectCode, PartFlag};
use crate::mime::budget::Budget;
use crate::mime::container::unpack::Unpacked;
use keys::{Cipher, Keys, decrypt};

const MAGIC: &[u8] = b"Rar!\x1a\x07";

/// How a member is packed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Method {
    Stored,
    /// As since RAR 2.9.
    Three,
    /// As since RAR 5; with longer distances since 7.
    Five {
        long: bool,
    },
    #[default]
    Unknown,
}

/// A file by its header.
#[derive(Debug, Default)]
struct Entry {
    names: Vec<String>,
    start: usize,
    end: usize,
    packed: usize,
    size: Option<u64>,
    crc: Option<u32>,
    method: Method,
    is_folder: bool,
    split_before: bool,
    split_after: bool,
    solid: bool,
    encrypted: bool,
    cipher: Option<Cipher>,
    /// The archive ends before it does.
    cut: bool,
}

/// What the headers list.
#[derive(Debug, Default)]
struct Listing {
    entries: Vec<Entry>,
    end: usize,
    volume: bool,
    headers_encrypted: bool,
    damaged: bool,
}

pub(in crate::mime::container) fn open(ask: Ask<'_>, opened: &mut Opened) {
    let Ask { data, passwords, budget, .. } = ask;
    let mut from = 0;
    let mut any = false;
    for _ in 0..JOINED_MAX {
        let Some(at) = find_magic(data, from, MAGIC) else {
            if !any {
                // As before RAR 1.5, or damaged.
                opened.note(DefectCode::BadArchive);
                opened.flag(PartFlag::Unscannable);
            }
            break;
        };
        let start = at + MAGIC.len();
        let mut keys = Keys::new(passwords);
        let files_max = budget.limits.archive_files_max;
        let list = match data.get(start..) {
            Some([0, ..]) => old::list(data, start + 1, &mut keys, budget, files_max),
            Some([1, 0, ..]) => new::list(data, start + 2, &mut keys, budget, files_max),
            _ => Listing { end: start, damaged: true, ..Listing::default() },
        };
        from = list.end.max(start);
        if list.entries.is_empty() && !list.headers_encrypted && any {
            // The signature alone, somewhere in the rest.
            continue;
        }
        any = true;
        if list.damaged && !list.headers_encrypted {
            opened.note(DefectCode::BadArchive);
        }
        if list.headers_encrypted {
            opened.flag(PartFlag::Encrypted);
            opened.note(DefectCode::Encrypted);
        }
        if list.entries.is_empty() && list.damaged && !list.headers_encrypted {
            opened.flag(PartFlag::Unscannable);
        }
        // Headers that were encrypted and are read now: every file is wanted.
        let all = keys.source().is_some();
        let mut archive = Archive {
            data,
            all,
            solid: list.entries.iter().any(|entry| entry.solid),
            keys,
            budget,
            opened,
            three: three::Decoder::default(),
            five: five::Decoder::default(),
            chain: true,
        };
        for entry in &list.entries {
            if !archive.take(entry) {
                return;
            }
        }
    }
}

/// The first signature that a first header follows.
pub(super) fn find_first(data: &[u8]) -> Option<usize> {
    find_where(data, MAGIC, |at| {
        let rest = data.get(at + MAGIC.len()..).unwrap_or_default();
        match rest {
            [0, _, _, kind, ..] => (0x72..=0x7b).contains(kind),
            // Sum, length in one to three octets, kind.
            [1, 0, _, _, _, _, length @ ..] => {
                let kind = length.iter().take(3).position(|octet| *octet < 0x80);
                kind.and_then(|at| length.get(at + 1)).is_some_and(|kind| matches!(kind, 1 | 4))
            }
            _ => false,
        }
    })
}

struct Archive<'a, 'b> {
    data: &'a Bytes,
    /// All files are wanted, not only the encrypted ones.
    all: bool,
    /// Some file needs what was unpacked before it.
    solid: bool,
    keys: Keys<'b>,
    budget: &'a mut Budget,
    opened: &'a mut Opened,
    three: three::Decoder,
    five: five::Decoder,
    /// The decoders are where the next solid file needs them.
    chain: bool,
}

impl Archive<'_, '_> {
    /// Takes one member. False if there are too many.
    fn take(&mut self, entry: &Entry) -> bool {
        if entry.is_folder && entry.start >= entry.end {
            return true;
        }
        let second = !self.keys.is_empty();
        let wanted = !second || self.all || entry.encrypted;
        if !wanted && !self.solid {
            return true;
        }
        let mut member = Member { names: entry.names.clone(), ..Member::default() };
        let packed = self.data.slice(entry.start.min(entry.end)..entry.end);
        match (&entry.cipher, entry.encrypted) {
            (None, false) => self.unpack(entry, packed, &mut member),
            (Some(cipher), true) if second => {
                self.unpack_encrypted(entry, cipher, &packed, &mut member)
            }
            _ => {
                self.chain = false;
                mark_encrypted(&mut member, self.opened);
            }
        }
        if entry.split_before || entry.split_after || entry.cut {
            // The rest is in another volume, or nowhere.
            for code in [DefectCode::BadArchive, DefectCode::UnscannableMember] {
                if !member.odd.contains(&code) {
                    member.odd.push(code);
                }
            }
            if !member.flags.contains(&PartFlag::Unscannable) {
                member.flags.push(PartFlag::Unscannable);
            }
            self.opened.flag(PartFlag::Unscannable);
        }
        if !wanted {
            return true;
        }
        if let (Some(source), false) =
            (self.keys.source(), member.flags.contains(&PartFlag::Encrypted))
        {
            member.flags.push(PartFlag::Decrypted(source));
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

    fn unpack_encrypted(
        &mut self,
        entry: &Entry,
        cipher: &Cipher,
        packed: &Bytes,
        member: &mut Member,
    ) {
        let trusted = cipher.check.is_some();
        let (three, five, chain) = (&mut self.three, &mut self.five, (self.chain, self.solid));
        let found = self.keys.find(cipher, self.budget, |aes, start, budget| {
            let plain = Bytes::from(decrypt(packed, aes(), start));
            let unpacked = decode(entry, &plain, three, five, chain, budget)?;
            let fits = unpacked.odd.is_none() && sums_up(entry, &unpacked.data);
            (trusted || fits).then_some(unpacked)
        });
        match found {
            Some(unpacked) => self.keep(entry, unpacked, member),
            None if matches!(entry.method, Method::Unknown) => {
                mark_unscannable(member, self.opened);
            }
            None => {
                self.chain = false;
                mark_encrypted(member, self.opened);
            }
        }
    }

    fn unpack(&mut self, entry: &Entry, packed: Bytes, member: &mut Member) {
        if entry.method == Method::Stored {
            match self.budget.expand(packed.len(), 0, packed.len()) {
                Ok(()) if !sums_up(entry, &packed) && !entry.cut => {
                    member.odd.push(DefectCode::BadArchive);
                }
                Ok(()) => {}
                Err(code) => {
                    member.odd.push(code);
                    return;
                }
            }
            member.data = packed;
            return;
        }
        let decoded = decode(
            entry,
            &packed,
            &mut self.three,
            &mut self.five,
            (self.chain, self.solid),
            self.budget,
        );
        match decoded {
            Some(unpacked) => self.keep(entry, unpacked, member),
            None => {
                self.chain = false;
                mark_unscannable(member, self.opened);
            }
        }
    }

    fn keep(&mut self, entry: &Entry, unpacked: Unpacked, member: &mut Member) {
        let mut odd = unpacked.odd;
        let whole = !(entry.cut || entry.split_before || entry.split_after);
        if odd.is_none() && whole && !sums_up(entry, &unpacked.data) {
            odd = Some(DefectCode::BadArchive);
        }
        self.chain = unpacked.odd.is_none();
        member.odd.extend(odd);
        member.data = unpacked.data.into();
        if odd.is_some() {
            member.flags.push(PartFlag::Unscannable);
            self.opened.flag(PartFlag::Unscannable);
        }
    }
}

/// True if the checksum fits, or there is none that could be asked.
fn sums_up(entry: &Entry, data: &[u8]) -> bool {
    let keyed = entry.cipher.as_ref().is_some_and(|cipher| cipher.keyed_sums);
    keyed || entry.crc.is_none_or(|crc| crc == crc32fast::hash(data))
}

/// Unpacks what is not encrypted (any more). `None` if nothing here can.
fn decode(
    entry: &Entry,
    packed: &Bytes,
    three: &mut three::Decoder,
    five: &mut five::Decoder,
    (chain, keep): (bool, bool),
    budget: &mut Budget,
) -> Option<Unpacked> {
    let size = entry.size.map_or(usize::MAX, |size| usize::try_from(size).unwrap_or(usize::MAX));
    if entry.method != Method::Stored && (entry.solid && !chain || entry.split_before) {
        return None;
    }
    let solid = (entry.solid, keep);
    match entry.method {
        Method::Stored => {
            let mut data = packed.to_vec();
            data.truncate(size);
            let odd = budget.expand(data.len(), 0, packed.len()).err();
            Some(Unpacked { data, odd })
        }
        Method::Three => Some(three.unpack(packed, size, solid, budget)),
        Method::Five { long } => Some(five.unpack(packed, size, solid, long, budget)),
        Method::Unknown => None,
    }
}
