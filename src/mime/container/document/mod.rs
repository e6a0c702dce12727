//! Documents that carry files, links, or programs that run when they are opened.

mod cms;
mod page;
mod pdf;

use memchr::memmem;

pub(in crate::mime) use cms::is_cms;

use super::{Ask, Container, Member, Opened};
use crate::mail::PartFlag;

pub(super) fn open(container: Container, ask: Ask<'_>, opened: &mut Opened) {
    if container == Container::Page {
        page::open(ask, opened);
        return;
    }
    if container == Container::Pdf {
        pdf::open(ask, opened);
        return;
    }
    if container == Container::Cms {
        cms::open(ask, opened);
        return;
    }
    if container == Container::Ole {
        // What an OLE file tells without being opened: its directory names are UTF-16.
        let wide = |name: &str| name.bytes().flat_map(|octet| [octet, 0]).collect::<Vec<u8>>();
        if memmem::find(ask.data, &wide("_VBA_PROJECT")).is_some() {
            opened.flag(PartFlag::Macro);
        }
        if memmem::find(ask.data, &wide("EncryptedPackage")).is_some() {
            opened.flag(PartFlag::Encrypted);
        }
    }
}
