//! Documents that carry files, links, or programs that run when they are opened.

mod active_mime;
mod cms;
mod field;
mod flat_xml;
pub(super) mod kinds;
mod markup;
mod ole;
mod onenote;
pub(super) mod ooxml;
pub(super) mod packed_rtf;
mod page;
mod pdf;
mod rtf;
mod shortcut;

pub(in crate::mime) use cms::is_cms;

use super::{Ask, Container, Member, Opened};

/// True if it begins as OLE files do.
pub(super) fn is_ole(data: &[u8]) -> bool {
    data.starts_with(ole::compound::MAGIC)
}

pub(super) fn open(container: Container, ask: Ask<'_>, opened: &mut Opened) {
    if container == Container::Page {
        page::open(ask, opened);
    } else if container == Container::Pdf {
        pdf::open(ask, opened);
    } else if container == Container::Cms {
        cms::open(ask, opened);
    } else if container == Container::Ole {
        ole::open(ask, opened);
    } else if container == Container::Rtf {
        rtf::open(ask, opened);
    } else if container == Container::OneNote {
        onenote::open(ask, opened);
    } else if container == Container::FlatXml {
        flat_xml::open(ask, opened);
    } else if container == Container::ActiveMime {
        active_mime::open(ask, opened);
    } else if container == Container::Shortcut {
        shortcut::open(ask, opened);
    }
}

#[cfg(test)]
pub(super) fn sample_project(source: &[u8]) -> Vec<u8> {
    use ole::{compound::writer, vba};
    let streams = [("VBA/dir", vba::writer::dir("x", 0)), ("VBA/x", vba::writer::pack(source))];
    writer::pack(&streams.each_ref().map(|(name, data)| (*name, &data[..])), [0; 16])
}
