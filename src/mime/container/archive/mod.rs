//! Archives: files with names, packed together.

mod foreign;
pub(super) mod tar;
pub(super) mod tnef;
pub(super) mod zip;

pub(super) use foreign::open as open_foreign;
pub(in crate::mime) use foreign::{embedded, short_signature};
pub(in crate::mime) use tar::checksum_fits as tar_checksum_fits;

use super::{Ask, Container, Member, Opened, name_text, u16_at, u32_at};
use crate::mail::PartFlag;

/// Archives that pack nothing: cpio, ar, rpm, disk images.
pub(super) fn open_plain(_container: Container, _ask: Ask<'_>, opened: &mut Opened) {
    opened.flag(PartFlag::Unscannable);
}
