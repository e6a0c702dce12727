//! Archives in formats of other systems: 7z, rar, cab, arj, lha, ace, zoo.
//!
//! Names are listed wherever the headers can be read, also if the content is encrypted or packed by a method that
//! nobody here knows. An archive may stand behind something else: a program that unpacks it, or junk.

mod aes_cbc;
mod arj;
mod bits;
mod cab;
mod cursor;
mod lha;
mod lzh;
mod lzx;
mod old;
mod rar;
mod seven_zip;

use memchr::memmem;

use super::{Ask, Container, Member, Opened, name_text};
use crate::mail::{DefectCode, PartFlag};
use cursor::Cursor;

/// How far into a file the first archive is searched for: programs that unpack themselves have that much code.
const SEARCH_BYTES: usize = 2 << 20;

/// Archives that are opened of one file, one behind the other.
const JOINED_MAX: usize = 8;

pub(in crate::mime::container) fn open(container: Container, ask: Ask<'_>, opened: &mut Opened) {
    match container {
        Container::SevenZip => seven_zip::open(ask, opened),
        Container::Rar => rar::open(ask, opened),
        Container::Cab => cab::open(ask, opened),
        Container::Arj => arj::open(ask, opened),
        Container::Lha => lha::open(ask, opened),
        Container::Ace => old::open_ace(ask, opened),
        Container::Zoo => old::open_zoo(ask, opened),
        _ => opened.flag(PartFlag::Unscannable),
    }
}

/// The next place from `from` on where `magic` stands, at most [`SEARCH_BYTES`] further.
fn find_magic(data: &[u8], from: usize, magic: &[u8]) -> Option<usize> {
    let end = from.saturating_add(SEARCH_BYTES).min(data.len());
    memmem::find(data.get(from..end)?, magic).map(|hit| from + hit)
}

/// Flags a member that needs a password, and its container.
fn mark_encrypted(member: &mut Member, opened: &mut Opened) {
    member.flags.push(PartFlag::Encrypted);
    member.odd.push(DefectCode::Encrypted);
    opened.flag(PartFlag::Encrypted);
}

/// Flags a member that cannot be unpacked here, and its container.
fn mark_unscannable(member: &mut Member, opened: &mut Opened) {
    member.flags.push(PartFlag::Unscannable);
    member.odd.push(DefectCode::UnscannableMember);
    opened.flag(PartFlag::Unscannable);
}
