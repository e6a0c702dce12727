//! Archives: files with names, packed together.

mod ar;
mod cpio;
mod foreign;
mod iso;
mod rpm;
mod sparse;
pub(super) mod tar;
pub(super) mod tnef;
pub(super) mod zip;

pub(in crate::mime) use cpio::begins as is_cpio;
pub(super) use foreign::open as open_foreign;
pub(in crate::mime) use foreign::{embedded, short_signature};
pub(in crate::mime) use iso::begins as is_iso;
pub(in crate::mime) use tar::checksum_fits as tar_checksum_fits;

use super::{Ask, Budget, Container, Member, Opened, name_text, u16_at, u32_at};

/// Archives that pack nothing: cpio, ar, rpm, disk images.
pub(super) fn open_plain(container: Container, ask: Ask<'_>, opened: &mut Opened) {
    if container == Container::Cpio {
        cpio::open(ask, opened);
    } else if container == Container::Ar {
        ar::open(ask, opened);
    } else if container == Container::Rpm {
        rpm::open(ask, opened);
    } else {
        iso::open(ask, opened);
    }
}

/// Takes a member whose octets stood there. False if a limit was reached: then no more need be looked for.
fn keep(member: Member, budget: &mut Budget, opened: &mut Opened) -> bool {
    let before = opened.members.len();
    opened.stored(member, budget);
    opened.members.len() > before
}
