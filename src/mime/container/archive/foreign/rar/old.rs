//! The headers of RAR 1.5 to 4.

use super::super::Cursor;
use super::keys::{Cipher, Keys};
use super::{Entry, Listing, Method, name_text};
use crate::mime::budget::Budget;

const MAIN: u8 = 0x73;
const FILE: u8 = 0x74;
const END: u8 = 0x7b;

const SPLIT_BEFORE: u16 = 1;
const SPLIT_AFTER: u16 = 2;
const PASSWORD: u16 = 4;
const COMMENT: u16 = 8;
const SOLID: u16 = 0x10;
const FOLDER: u16 = 0xe0;
const LARGE: u16 = 0x100;
const UNICODE: u16 = 0x200;
const SALT: u16 = 0x400;
const HAS_DATA: u16 = 0x8000;
const HEADERS_ENCRYPTED: u16 = 0x80;

/// Lists what follows the signature. Stops where headers are encrypted and no key is given.
pub(super) fn list(
    data: &[u8],
    start: usize,
    keys: &mut Keys<'_>,
    budget: &mut Budget,
    entries_max: usize,
) -> Listing {
    let mut listing = Listing { end: start, damaged: true, ..Listing::default() };
    let mut encrypted = false;
    let mut broken = false;
    while listing.entries.len() <= entries_max {
        let at = listing.end;
        let mut plain = data.get(at..).unwrap_or_default();
        if plain.is_empty() {
            // Old archives have no end mark.
            let cut = listing.entries.iter().any(|entry| entry.cut) || at > data.len();
            listing.damaged = cut || broken;
            return listing;
        }
        let decrypted;
        if encrypted {
            let Some(salt) = plain.get(..8) else { return listing };
            let cipher = Cipher::old(Some(salt));
            let packed = plain.get(8..).unwrap_or_default();
            let length = |plain: &[u8]| {
                let mut cursor = Cursor::starting(plain, 5);
                cursor.u16().map(|length| usize::from(length).max(7))
            };
            let fits = |plain: &[u8]| Block::read(plain).is_some_and(|block| block.sums_up);
            let Some(octets) = keys.header(&cipher, packed, length, fits, budget) else {
                listing.headers_encrypted = true;
                return listing;
            };
            decrypted = octets;
            plain = &decrypted;
        }
        let Some(block) = Block::read(plain) else { return listing };
        // A comment in a header is not summed up; anything else is damage, which some unpackers do not mind.
        broken |= !block.sums_up && block.kind == FILE && block.flags & COMMENT == 0;
        let length = if encrypted {
            8 + block.header.len().next_multiple_of(16)
        } else {
            block.header.len()
        };
        let content = at.saturating_add(length);
        listing.end = content.saturating_add(block.data);
        match block.kind {
            MAIN => {
                listing.volume = block.flags & 1 != 0;
                encrypted = block.flags & HEADERS_ENCRYPTED != 0;
            }
            FILE => {
                if let Some(mut entry) = read_file(&block) {
                    listing.end = content.saturating_add(entry.packed);
                    entry.start = content.min(data.len());
                    entry.end = listing.end.min(data.len());
                    entry.cut = listing.end > data.len();
                    listing.entries.push(entry);
                }
            }
            END => {
                listing.damaged = broken || listing.entries.iter().any(|entry| entry.cut);
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
    kind: u8,
    flags: u16,
    data: usize,
    header: &'a [u8],
    sums_up: bool,
}

impl<'a> Block<'a> {
    fn read(data: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(data);
        let sum = cursor.u16()?;
        let (kind, flags, length) = (cursor.octet()?, cursor.u16()?, cursor.u16()?);
        let header = data.get(..usize::from(length).max(7))?;
        let content = if flags & HAS_DATA != 0 || kind == FILE { cursor.size()? } else { 0 };
        let sums_up = crc32fast::hash(header.get(2..)?) & 0xffff == u32::from(sum);
        let is_known = (0x72..=END).contains(&kind);
        is_known.then_some(Self { kind, flags, data: content, header, sums_up })
    }
}

fn read_file(block: &Block<'_>) -> Option<Entry> {
    let mut cursor = Cursor::starting(block.header, 7);
    let mut packed = u64::from(cursor.u32()?);
    let mut size = u64::from(cursor.u32()?);
    cursor.octet()?;
    let crc = cursor.u32()?;
    cursor.u32()?;
    let (version, method) = (cursor.octet()?, cursor.octet()?);
    let length = usize::from(cursor.u16()?);
    cursor.u32()?;
    if block.flags & LARGE != 0 {
        packed |= u64::from(cursor.u32()?) << 32;
        size |= u64::from(cursor.u32()?) << 32;
    }
    let name = cursor.take(length).filter(|name| !name.is_empty())?;
    let salt = if block.flags & SALT != 0 { cursor.take(8) } else { None };
    let encrypted = block.flags & PASSWORD != 0;
    let mut entry = Entry {
        packed: usize::try_from(packed).unwrap_or(usize::MAX),
        size: Some(size),
        crc: Some(crc),
        is_folder: block.flags & FOLDER == FOLDER,
        split_before: block.flags & SPLIT_BEFORE != 0,
        split_after: block.flags & SPLIT_AFTER != 0,
        solid: block.flags & SOLID != 0,
        encrypted,
        // Before 2.9 the ciphers were others, which nobody uses any more.
        cipher: (encrypted && version >= 29).then(|| Cipher::old(salt)),
        ..Entry::default()
    };
    entry.method = match (version, method) {
        (_, 0x30) => Method::Stored,
        (29..=36, 0x31..=0x35) => Method::Three,
        _ => Method::Unknown,
    };
    read_names(name, block.flags & UNICODE != 0, &mut entry.names);
    Some(entry)
}

/// A name may be followed by a NUL and the same in Unicode, told by what is different; or be UTF-8 alone.
fn read_names(name: &[u8], unicode: bool, names: &mut Vec<String>) {
    let nul = memchr::memchr(0, name).filter(|_| unicode);
    let (plain, wide) = match nul {
        Some(nul) => (name.get(..nul), name.get(nul + 1..)),
        None => (Some(name), None),
    };
    let plain = plain.unwrap_or_default();
    let wide = wide.and_then(|wide| unpack_name(plain, wide)).filter(|wide| !wide.is_empty());
    names.extend(wide);
    let plain = name_text(plain);
    if !names.contains(&plain) {
        names.push(plain);
    }
}

/// Each two bits tell how the next character is made: of the octet that follows, of that and the common high octet, of
/// two octets, or of a run of the plain name.
fn unpack_name(plain: &[u8], packed: &[u8]) -> Option<String> {
    let mut cursor = Cursor::new(packed);
    let high = u16::from(cursor.octet()?) << 8;
    let mut units: Vec<u16> = Vec::new();
    let (mut flags, mut bits) = (0, 0);
    let at = |place: usize| plain.get(place).map(|octet| u16::from(*octet));
    while cursor.left() > 0 {
        if bits == 0 {
            (flags, bits) = (cursor.octet()?, 8);
        }
        match flags >> 6 {
            0 => units.extend(cursor.octet().map(u16::from)),
            1 => units.extend(cursor.octet().map(|low| u16::from(low) | high)),
            2 => units.extend(cursor.u16()),
            _ => {
                let Some(count) = cursor.octet() else { break };
                let correction = if count & 0x80 != 0 { cursor.octet() } else { None };
                for _ in 0..usize::from(count & 0x7f) + 2 {
                    let Some(octet) = at(units.len()) else { break };
                    units.push(
                        correction
                            .map_or(octet, |by| octet.wrapping_add(u16::from(by)) & 0xff | high),
                    );
                }
            }
        }
        (flags, bits) = (flags << 2, bits - 2);
    }
    Some(String::from_utf16_lossy(&units))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_unicode_is_told_by_what_is_different() {
        assert_eq!(unpack_name(b"abc", b"\x04\x80ab").as_deref(), Some("\u{6261}"));
        assert_eq!(unpack_name(b"abc", b"\x04\x1041xy").as_deref(), Some("4\u{431}xy"));
        assert_eq!(unpack_name(b"abcd", b"\x04\xc0\x02").as_deref(), Some("abcd"));
        assert_eq!(unpack_name(b"ab", b"\x04\xc0\x80\x01").as_deref(), Some("\u{462}\u{463}"));
        assert_eq!(unpack_name(b"", b""), None);
    }
}
