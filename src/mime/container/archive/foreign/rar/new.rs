//! The headers of RAR 5 and later, as RARLAB's technical note describes them.

use super::super::Cursor;
use super::keys::{Cipher, Keys};
use super::{Entry, Listing, Method};
use crate::mime::budget::Budget;

/// Octets of one header: the note allows 2 MiB.
const HEADER_BYTES_MAX: usize = 2 << 20;

const MAIN: u64 = 1;
const FILE: u64 = 2;
const ENCRYPTION: u64 = 4;
const END: u64 = 5;

/// Header flags.
const HAS_EXTRA: u64 = 1;
const HAS_DATA: u64 = 2;
const SPLIT_BEFORE: u64 = 8;
const SPLIT_AFTER: u64 = 16;

/// Lists what follows the signature. Stops where headers are encrypted and no key is given.
pub(super) fn list(
    data: &[u8],
    start: usize,
    keys: &mut Keys<'_>,
    budget: &mut Budget,
    entries_max: usize,
) -> Listing {
    let mut listing = Listing { end: start, damaged: true, ..Listing::default() };
    let mut cipher: Option<Cipher> = None;
    let mut broken = false;
    while listing.entries.len() <= entries_max {
        let at = listing.end;
        if at >= data.len() {
            // The end mark is missing.
            return listing;
        }
        let mut plain = data.get(at..).unwrap_or_default();
        let decrypted;
        let mut used = 0;
        if let Some(cipher) = &cipher {
            let Some(iv) = plain.get(..16).and_then(|iv| iv.try_into().ok()) else {
                return listing;
            };
            let packed = plain.get(16..).unwrap_or_default();
            let mut cipher = cipher.clone();
            cipher.start = iv;
            let fits = |plain: &[u8]| read_block(plain).is_some_and(|block| block.sums_up);
            let Some(octets) = keys.header(&cipher, packed, length, fits, budget) else {
                listing.headers_encrypted = true;
                return listing;
            };
            decrypted = octets;
            plain = &decrypted;
            used = 16;
        }
        let Some(block) = read_block(plain) else { return listing };
        // Some unpackers do not mind a wrong checksum.
        broken |= !block.sums_up;
        let header_end =
            if cipher.is_some() { used + block.end.next_multiple_of(16) } else { block.end };
        let content = at.saturating_add(header_end);
        listing.end = content.saturating_add(block.data);
        match block.kind {
            MAIN => {
                let mut cursor = Cursor::new(block.fields);
                listing.volume = number(&mut cursor).unwrap_or(0) & 1 != 0;
            }
            FILE => {
                if let Some(mut entry) = read_file(&block) {
                    entry.start = content.min(data.len());
                    entry.end = listing.end.min(data.len());
                    entry.cut = listing.end > data.len();
                    listing.entries.push(entry);
                }
            }
            ENCRYPTION => cipher = read_encryption(block.fields),
            END => {
                listing.damaged = broken || listing.entries.iter().any(|entry| entry.cut);
                let mut cursor = Cursor::new(block.fields);
                listing.volume |= number(&mut cursor).unwrap_or(0) & 1 != 0;
                return listing;
            }
            _ => {}
        }
    }
    // More files than the limits allow, which is said by who counts them.
    listing.damaged = broken;
    listing
}

struct Block<'a> {
    kind: u64,
    flags: u64,
    extra: usize,
    data: usize,
    fields: &'a [u8],
    /// Octets of the header altogether.
    end: usize,
    sums_up: bool,
}

/// A number of seven bits an octet, the lowest first.
fn number(cursor: &mut Cursor<'_>) -> Option<u64> {
    let mut value = 0;
    for place in 0..10 {
        let octet = u64::from(cursor.octet()?);
        value |= (octet & 0x7f).checked_shl(7 * place).unwrap_or(0);
        if octet < 0x80 {
            return Some(value);
        }
    }
    None
}

fn size(cursor: &mut Cursor<'_>) -> Option<usize> {
    usize::try_from(number(cursor)?).ok()
}

/// Octets of the header that begins so.
fn length(plain: &[u8]) -> Option<usize> {
    let mut cursor = Cursor::starting(plain, 4);
    let length = size(&mut cursor).filter(|size| *size <= HEADER_BYTES_MAX)?;
    cursor.at().checked_add(length)
}

fn read_block(data: &[u8]) -> Option<Block<'_>> {
    let mut cursor = Cursor::new(data);
    let sum = cursor.u32()?;
    let length = size(&mut cursor).filter(|size| *size > 0 && *size <= HEADER_BYTES_MAX)?;
    let summed_to = cursor.at().checked_add(length)?;
    let sums_up = data.get(4..summed_to).is_some_and(|octets| crc32fast::hash(octets) == sum);
    let header = cursor.take(length)?;
    let mut fields = Cursor::new(header);
    let (kind, flags) = (number(&mut fields)?, number(&mut fields)?);
    let extra = if flags & HAS_EXTRA != 0 { size(&mut fields)? } else { 0 };
    let data = if flags & HAS_DATA != 0 { size(&mut fields)? } else { 0 };
    let fields = header.get(fields.at()..)?;
    let is_known = (MAIN..=END).contains(&kind);
    is_known.then_some(Block { kind, flags, extra, data, fields, end: summed_to, sums_up })
}

fn read_file(block: &Block<'_>) -> Option<Entry> {
    let mut cursor = Cursor::new(block.fields);
    let flags = number(&mut cursor)?;
    let size = number(&mut cursor)?;
    number(&mut cursor)?;
    if flags & 2 != 0 {
        cursor.take(4)?;
    }
    let crc = if flags & 4 != 0 { Some(cursor.u32()?) } else { None };
    let packing = number(&mut cursor)?;
    number(&mut cursor)?;
    let length = self::size(&mut cursor)?;
    let name = cursor.take(length)?;
    let mut entry = Entry {
        names: vec![super::name_text(name)],
        size: Some(size).filter(|_| flags & 8 == 0),
        crc,
        is_folder: flags & 1 != 0,
        split_before: block.flags & SPLIT_BEFORE != 0,
        split_after: block.flags & SPLIT_AFTER != 0,
        solid: packing & 0x40 != 0,
        ..Entry::default()
    };
    entry.method = match (packing & 0x3f, packing >> 7 & 7) {
        (_, 0) => Method::Stored,
        (0, 1..=5) => Method::Five { long: false },
        (1, 1..=5) => Method::Five { long: packing >> 20 & 1 == 0 },
        _ => Method::Unknown,
    };
    let extra = block.fields.get(block.fields.len().checked_sub(block.extra)?..)?;
    read_extra(extra, &mut entry);
    Some(entry)
}

/// Reads the records behind the name.
fn read_extra(extra: &[u8], entry: &mut Entry) -> Option<()> {
    const CRYPT: u64 = 1;
    let mut cursor = Cursor::new(extra);
    while cursor.left() > 0 {
        let length = size(&mut cursor)?;
        let mut record = Cursor::new(cursor.take(length)?);
        if number(&mut record)? == CRYPT {
            entry.encrypted = true;
            entry.cipher = read_crypt(&mut record, true);
        }
    }
    Some(())
}

fn read_encryption(fields: &[u8]) -> Option<Cipher> {
    read_crypt(&mut Cursor::new(fields), false)
}

fn read_crypt(cursor: &mut Cursor<'_>, with_start: bool) -> Option<Cipher> {
    const HAS_CHECK: u64 = 1;
    number(cursor)?;
    let flags = number(cursor)?;
    let rounds = cursor.octet()?;
    let salt = cursor.take(16)?.to_vec();
    let mut start = [0; 16];
    if with_start {
        start = cursor.take(16)?.try_into().ok()?;
    }
    let check = if flags & HAS_CHECK != 0 { cursor.take(8) } else { None };
    let check = check.and_then(|check| check.try_into().ok());
    let keyed_sums = flags & 2 != 0;
    Some(Cipher { is_five: true, rounds, salt, start, check, keyed_sums })
}
