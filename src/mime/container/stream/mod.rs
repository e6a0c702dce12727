//! Compressed streams: one file in each, nearly always without its name.

pub(super) mod gzip;
pub(super) mod inflate;

use super::{Ask, Container, Member, Opened, name_text, u16_at};
use crate::mail::PartFlag;

/// bzip2, xz, lzma, lzip, zstd, lz4, compress.
pub(super) fn open(_container: Container, _ask: Ask<'_>, opened: &mut Opened) {
    opened.flag(PartFlag::Unscannable);
}
