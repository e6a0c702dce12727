//! Containers and their members: archives, compressed streams, and documents that carry files, links or programs.
//!
//! Every reader is one file with a function of the form `open(Ask, &mut Opened)`: octets in, members and facts out. It
//! cannot fail: what cannot be read is flagged. Limits are applied from outside, by [`Budget`], which each reader asks
//! before it makes a member or more octets; a size that a container declares is never believed. A further container is
//! one file, an entry in [`Container`], and its arm in [`open`].

mod archive;
mod coded;
mod document;
mod stream;
mod unpack;

use bytes::Bytes;

pub(super) use archive::{embedded, is_cpio, is_iso, short_signature, tar_checksum_fits};
pub(super) use coded::is_mac_binary;
pub(super) use document::is_cms;
pub(super) use document::kinds::kind_of as document_kind;
pub(super) use stream::{behind_skipped, is_bzip2, is_compress, is_lzma};

use super::budget::Budget;
use crate::mail::{DefectCode, FileType, PartFlag, PasswordSource};

/// Containers that can be opened here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Container {
    Zip,
    Gzip,
    Bzip2,
    Xz,
    Lzma,
    Lzip,
    Zstd,
    Lz4,
    Compress,
    Tar,
    Cpio,
    Ar,
    Rpm,
    Iso,
    SevenZip,
    Rar,
    Cab,
    Arj,
    Lha,
    Ace,
    Zoo,
    Tnef,
    Ole,
    Rtf,
    Pdf,
    OneNote,
    ActiveMime,
    FlatXml,
    Shortcut,
    /// HTML and SVG: scripts, data addresses, smuggled files.
    Page,
    /// BinHex and yEnc.
    Coded,
    MacBinary,
    /// AppleSingle and AppleDouble.
    Apple,
    /// S/MIME in one block.
    Cms,
    /// A container by its magic, for which there is no reader.
    Unknown,
}

impl Container {
    /// The containers that the types name, each once.
    pub(super) fn among(types: &[FileType]) -> Vec<Self> {
        let mut found = Vec::new();
        for kind in types {
            let container = match kind.short {
                "zip" => Self::Zip,
                "gz" => Self::Gzip,
                "bz2" => Self::Bzip2,
                "xz" => Self::Xz,
                "lzma" => Self::Lzma,
                "lz" => Self::Lzip,
                "zst" => Self::Zstd,
                "lz4" => Self::Lz4,
                "Z" => Self::Compress,
                "tar" => Self::Tar,
                "cpio" => Self::Cpio,
                "ar" => Self::Ar,
                "rpm" => Self::Rpm,
                "iso" => Self::Iso,
                "7z" => Self::SevenZip,
                "rar" => Self::Rar,
                "cab" => Self::Cab,
                "arj" => Self::Arj,
                "lha" => Self::Lha,
                "ace" => Self::Ace,
                "zoo" => Self::Zoo,
                "tnef" => Self::Tnef,
                "doc" => Self::Ole,
                "rtf" => Self::Rtf,
                "pdf" => Self::Pdf,
                "one" => Self::OneNote,
                "mso" => Self::ActiveMime,
                "flatxml" => Self::FlatXml,
                "lnk" | "url" => Self::Shortcut,
                "html" | "svg" | "hta" => Self::Page,
                "hqx" | "yenc" => Self::Coded,
                "macbin" => Self::MacBinary,
                "applefile" => Self::Apple,
                "p7m" => Self::Cms,
                _ if kind.class == "archive" => Self::Unknown,
                _ => continue,
            };
            if !found.contains(&container) {
                found.push(container);
            }
        }
        found
    }
}

/// A password to try, and where it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Password {
    pub(super) octets: Vec<u8>,
    pub(super) source: PasswordSource,
}

/// What a reader is asked to open.
pub(super) struct Ask<'a> {
    /// The container.
    pub(super) data: &'a Bytes,
    /// Its own name, for members that have none.
    pub(super) name: Option<&'a str>,
    /// Passwords to try, the likeliest first. If there are any, the container was opened before without them, and only
    /// the members that could not be opened then are wanted; those that open now carry [`PartFlag::Decrypted`].
    pub(super) passwords: &'a [Password],
    /// What is left of the limits.
    pub(super) budget: &'a mut Budget,
}

/// A member of a container.
#[derive(Debug, Default)]
pub(super) struct Member {
    /// Every name it is given; empty if it has none.
    pub(super) names: Vec<String>,
    /// The content as far as it could be unpacked.
    pub(super) data: Bytes,
    pub(super) flags: Vec<PartFlag>,
    pub(super) odd: Vec<DefectCode>,
}

/// What a container holds.
#[derive(Debug, Default)]
pub(super) struct Opened {
    pub(super) members: Vec<Member>,
    pub(super) flags: Vec<PartFlag>,
    pub(super) odd: Vec<DefectCode>,
    /// Addresses in it, with the text shown for them if that is another.
    pub(super) links: Vec<(String, Option<String>)>,
}

impl Opened {
    fn note(&mut self, code: DefectCode) {
        if !self.odd.contains(&code) {
            self.odd.push(code);
        }
    }

    fn flag(&mut self, flag: PartFlag) {
        if !self.flags.contains(&flag) {
            self.flags.push(flag);
        }
    }

    /// Takes a member whose octets were not unpacked but stood there, if the limits allow it.
    fn stored(&mut self, member: Member, budget: &mut Budget) {
        let size = member.data.len();
        match budget.file().and_then(|()| budget.expand(size, 0, size)) {
            Ok(()) => self.members.push(member),
            Err(code) => self.note(code),
        }
    }
}

/// Opens the data as that container.
pub(super) fn open(container: Container, ask: Ask<'_>) -> Opened {
    let mut opened = Opened::default();
    let out = &mut opened;
    match container {
        Container::Zip => {
            let Ask { data, name, passwords, budget } = ask;
            archive::zip::open(Ask { data, name, passwords, budget: &mut *budget }, out);
            document::ooxml::look(out, budget);
            if document::is_ole(data) {
                // Documents keep zips in their streams, cut into sectors: broken to who reads only zips, and not odd.
                forgive(out);
            }
        }
        Container::Tar => archive::tar::open(ask, out),
        Container::Tnef => archive::tnef::open(ask, out),
        Container::Gzip
        | Container::Bzip2
        | Container::Xz
        | Container::Lzma
        | Container::Lzip
        | Container::Zstd
        | Container::Lz4
        | Container::Compress => stream::open(container, ask, out),
        Container::Cpio | Container::Ar | Container::Rpm | Container::Iso => {
            archive::open_plain(container, ask, out);
        }
        Container::SevenZip
        | Container::Rar
        | Container::Cab
        | Container::Arj
        | Container::Lha
        | Container::Ace
        | Container::Zoo => archive::open_foreign(container, ask, out),
        Container::Ole
        | Container::Rtf
        | Container::Pdf
        | Container::OneNote
        | Container::ActiveMime
        | Container::FlatXml
        | Container::Shortcut
        | Container::Page
        | Container::Cms => document::open(container, ask, out),
        Container::Coded => coded::open_text(ask, out),
        Container::MacBinary => coded::open_mac_binary(ask, out),
        Container::Apple => coded::open_apple(ask, out),
        Container::Unknown => out.flag(PartFlag::Unscannable),
    }
    opened
}

/// Forgets that the container is broken.
fn forgive(opened: &mut Opened) {
    let members = opened.members.iter_mut().map(|member| &mut member.odd);
    for odd in members.chain([&mut opened.odd]) {
        odd.retain(|code| {
            !matches!(code, DefectCode::BadArchive | DefectCode::ArchiveNamesDisagree)
        });
    }
}

/// A name in an archive to text: UTF-8 if it is that, else the old DOS code page is not guessed but windows-1252.
fn name_text(octets: &[u8]) -> String {
    super::charset::guess(octets).into_owned()
}

/// A number of four octets, little end first.
fn u32_at(data: &[u8], at: usize) -> Option<u32> {
    let octets = data.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(octets.try_into().ok()?))
}

/// A number of two octets, little end first.
fn u16_at(data: &[u8], at: usize) -> Option<u16> {
    let octets = data.get(at..at.checked_add(2)?)?;
    Some(u16::from_le_bytes(octets.try_into().ok()?))
}

#[cfg(test)]
fn try_open(
    container: Container,
    data: Vec<u8>,
    name: Option<&str>,
    limits: &super::Limits,
) -> Opened {
    let mut budget = Budget::new(limits);
    open(container, Ask { data: &data.into(), name, passwords: &[], budget: &mut budget })
}

/// An OLE file with a project of one module, `x`.
#[cfg(test)]
pub(super) fn sample_project(source: &[u8]) -> Vec<u8> {
    document::sample_project(source)
}
