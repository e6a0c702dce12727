//! Containers and their members.
//!
//! A further container is one file with a function of the form `open(&Bytes, &mut Budget, &mut Opened)`, an entry in
//! [`Container`], and its arm in [`open`].

mod gzip;
mod inflate;
mod tar;
mod tnef;
mod zip;

use bytes::Bytes;

pub(super) use tar::checksum_fits as tar_checksum_fits;

use super::budget::Budget;
use crate::mail::{DefectCode, FileType, PartFlag};

/// Containers that can be opened here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Container {
    Zip,
    Gzip,
    Tar,
    Tnef,
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
                "tar" => Self::Tar,
                "tnef" => Self::Tnef,
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
}

/// Opens `data` as that container. `name` is that of the container itself, for members that have none.
pub(super) fn open(
    container: Container,
    data: &Bytes,
    name: Option<&str>,
    budget: &mut Budget,
) -> Opened {
    let mut opened = Opened::default();
    match container {
        Container::Zip => zip::open(data, budget, &mut opened),
        Container::Gzip => gzip::open(data, name, budget, &mut opened),
        Container::Tar => tar::open(data, budget, &mut opened),
        Container::Tnef => tnef::open(data, budget, &mut opened),
        Container::Unknown => opened.flag(PartFlag::Unscannable),
    }
    opened
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
