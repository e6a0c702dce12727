//! The files of an image, each with all its names.

use std::collections::HashMap;
use std::ops::Range;

use bytes::Bytes;

use super::super::{Opened, keep};
use crate::mail::DefectCode;
use crate::mail::PartFlag;
use crate::mime::budget::Budget;
use crate::mime::container::Member;

/// Files and names of one image.
const FILES_MAX: usize = 50_000;

/// Names of one file.
const NAMES_MAX: usize = 16;

#[derive(Debug)]
pub(super) struct File {
    names: Vec<String>,
    extents: Vec<Range<usize>>,
    /// Its octets do not stand in a row that can be followed.
    unreadable: bool,
}

/// What the trees of an image name.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) list: Vec<File>,
    by_place: HashMap<Vec<Range<usize>>, usize>,
    /// Octets of folders that may still be read: folders that lie over each other would take long.
    folder_bytes_left: usize,
    /// Trees whose root was found.
    pub(super) trees: usize,
    /// Something could not be read.
    pub(super) bad: bool,
    /// Something is there that is not understood.
    pub(super) refused: bool,
}

impl Files {
    pub(super) fn new(image_bytes: usize) -> Self {
        Self {
            list: Vec::new(),
            by_place: HashMap::new(),
            folder_bytes_left: image_bytes.saturating_mul(4),
            trees: 0,
            bad: false,
            refused: false,
        }
    }

    /// Asks for so many octets of folders.
    pub(super) fn may_read_folder(&mut self, octets: usize) -> bool {
        match self.folder_bytes_left.checked_sub(octets) {
            Some(left) => self.folder_bytes_left = left,
            None => {
                self.bad = true;
                self.refused = true;
                return false;
            }
        }
        true
    }

    /// Takes a file, or one more name of one that is known by its place.
    pub(super) fn add(&mut self, names: Vec<String>, extents: Vec<Range<usize>>, unreadable: bool) {
        let empty = extents.iter().all(Range::is_empty);
        let known = if empty { None } else { self.by_place.get(&extents) };
        if let Some(file) = known.and_then(|index| self.list.get_mut(*index)) {
            for name in names {
                if file.names.len() < NAMES_MAX && !file.names.contains(&name) {
                    file.names.push(name);
                }
            }
            return;
        }
        if self.list.len() >= FILES_MAX {
            self.bad = true;
            self.refused = true;
            return;
        }
        if empty && self.list.last().is_some_and(|last| last.names == names) {
            return;
        }
        if !empty {
            self.by_place.insert(extents.clone(), self.list.len());
        }
        self.list.push(File { names, extents, unreadable });
    }

    /// Gives the files as members.
    pub(super) fn give(self, data: &Bytes, budget: &mut Budget, opened: &mut Opened) {
        for file in self.list {
            let mut member = Member { names: file.names, ..Member::default() };
            if file.extents.iter().any(|extent| extent.end > data.len()) {
                opened.note(DefectCode::BadArchive);
                member.odd.push(DefectCode::BadArchive);
            }
            if file.unreadable {
                member.flags.push(PartFlag::Unscannable);
                member.odd.push(DefectCode::UnscannableMember);
                opened.flag(PartFlag::Unscannable);
            }
            member.data = content(data, &file.extents);
            if !keep(member, budget, opened) {
                return;
            }
        }
    }
}

/// The extents one behind the other, never more than the image holds.
fn content(data: &Bytes, extents: &[Range<usize>]) -> Bytes {
    let clip = |extent: &Range<usize>| {
        let end = extent.end.min(data.len());
        extent.start.min(end)..end
    };
    let joined = extents.windows(2).all(|pair| match pair {
        [one, two] => one.end == two.start,
        _ => false,
    });
    match (extents, joined) {
        ([], _) => Bytes::new(),
        ([first, ..], true) => {
            let end = extents.last().map_or(first.end, |last| last.end);
            data.slice(clip(&(first.start..end)))
        }
        (_, false) => {
            let mut octets = Vec::new();
            for extent in extents.iter().map(clip) {
                if octets.len().saturating_add(extent.len()) > data.len() {
                    break;
                }
                octets.extend_from_slice(data.get(extent).unwrap_or_default());
            }
            octets.into()
        }
    }
}
