//! Documents that carry files, links, or programs that run when they are opened.

mod field;
pub(super) mod kinds;
mod markup;
mod ole;
mod onenote;
pub(super) mod ooxml;
pub(super) mod packed_rtf;
mod rtf;
mod shortcut;

use super::{Ask, Container, Opened};

pub(super) fn open(container: Container, ask: Ask<'_>, opened: &mut Opened) {
    if container == Container::Ole {
        ole::open(ask, opened);
    } else if container == Container::Rtf {
        rtf::open(ask, opened);
    } else if container == Container::OneNote {
        onenote::open(ask, opened);
    } else if container == Container::Shortcut {
        shortcut::open(ask, opened);
    }
}
