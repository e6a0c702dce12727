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
#[cfg(test)]
mod samples;
mod seven_zip;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod written;

use memchr::memmem;

use super::{Ask, Container, Member, Opened, name_text};
use crate::mail::{DefectCode, PartFlag};
use crate::mime::budget::Budget;
use cursor::Cursor;

/// How far into a file the first archive is searched for: programs that unpack themselves have that much code.
const SEARCH_BYTES: usize = 2 << 20;

/// Archives that are opened of one file, one behind the other.
const JOINED_MAX: usize = 8;

pub(in crate::mime::container) fn open(container: Container, ask: Ask<'_>, opened: &mut Opened) {
    #[expect(clippy::wildcard_enum_match_arm, reason = "only these come here")]
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

/// Short names of the archives that stand somewhere in `data`, not only at its start. In programs all are searched that
/// programs unpack themselves from; in other files those that unpackers find behind any junk.
pub(in crate::mime) fn embedded(data: &[u8], is_program: bool) -> Vec<&'static str> {
    let mut found = Vec::new();
    let mut add = |is: bool, short| {
        if is {
            found.push(short);
        }
    };
    add(seven_zip::find_first(data).is_some(), "7z");
    add(rar::find_first(data).is_some(), "rar");
    if is_program {
        add(cab::find_first(data, 0).is_some(), "cab");
        add(arj::find_first(data).is_some(), "arj");
        add(lha::find_first(data).is_some(), "lha");
        add(find_magic(data, 0, old::ACE).is_some(), "ace");
        add(find_magic(data, 0, old::ZOO).is_some(), "zoo");
    }
    found
}

/// True if an LHA, ARJ or ARC header stands at the start: their signatures alone are too short.
pub(in crate::mime) fn short_signature(data: &[u8]) -> Option<&'static str> {
    if lha::is_header(data) {
        Some("lha")
    } else if arj::is_header(data) {
        Some("arj")
    } else if old::is_arc(data) {
        Some("arc")
    } else {
        None
    }
}

/// The places where `magic` stands, that `fits` agrees with; only so many are looked at.
fn find_where(data: &[u8], magic: &[u8], fits: impl Fn(usize) -> bool) -> Option<usize> {
    const HITS_MAX: usize = 1000;
    let head = data.get(..data.len().min(SEARCH_BYTES))?;
    memmem::find_iter(head, magic).take(HITS_MAX).find(|at| fits(*at))
}

/// The next place from `from` on where `magic` stands, at most [`SEARCH_BYTES`] further.
fn find_magic(data: &[u8], from: usize, magic: &[u8]) -> Option<usize> {
    let end = from.saturating_add(SEARCH_BYTES).min(data.len());
    memmem::find(data.get(from..end)?, magic).map(|hit| from + hit)
}

/// Asks for the memory of a model, all of which is touched before the first octet comes out: a part of it counts as
/// unpacked, so that thousands of small members cannot ask for it again and again.
fn ask_for_model(bytes: u32, budget: &mut Budget) -> Result<(), DefectCode> {
    const PART: usize = 16;
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    budget.expand(bytes / PART, 0, bytes)
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
