//! Messages of Outlook ([MS-OXMSG]): attachments with all their names, and the texts. Messages in messages stand in the
//! same file, so that theirs are met as well.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use bytes::Bytes;

use super::compound::Compound;
use super::give_text;
use crate::mime::budget::Budget;
use crate::mime::charset;
use crate::mime::container::document::packed_rtf;
use crate::mime::container::{Member, Opened, name_text};

/// What the streams of properties begin with; the number and the type follow.
const PROPERTY: &str = "__substg1.0_";

/// Properties that name a file: long and short file name, path, display name.
const NAMES: [&str; 5] = ["3707", "3704", "370d", "3708", "3001"];

pub(super) fn is_of_message(lower: &str) -> bool {
    lower.starts_with(PROPERTY)
}

pub(super) fn open(file: &mut Compound<'_>, budget: &mut Budget, opened: &mut Opened) {
    let mut names: BTreeMap<Option<usize>, Vec<String>> = BTreeMap::new();
    for index in 0..file.entries.len() {
        let Some(entry) = file.entries.get(index) else { return };
        if let Some(code) = budget.late() {
            opened.note(code);
            return;
        }
        let lower = entry.name.to_ascii_lowercase();
        let Some(property) = lower.strip_prefix(PROPERTY).filter(|_| !entry.is_storage) else {
            continue;
        };
        let (number, kind) = property.split_at_checked(4).unwrap_or((property, ""));
        let parent = entry.parent;
        match (number, kind) {
            ("3701", "0102") => {
                let data = file.stream(index);
                let names = match names.entry(parent) {
                    Entry::Occupied(known) => known.get().clone(),
                    Entry::Vacant(place) => place.insert(names_in(file, parent)).clone(),
                };
                opened.stored(Member { names, data, ..Member::default() }, budget);
            }
            ("1000", "001e" | "001f") => {
                let data = text(&file.stream(index), kind);
                give_text("body.txt", data, budget, opened);
            }
            ("1013", "0102" | "001e" | "001f") => {
                let data = text(&file.stream(index), kind);
                give_text("body.html", data, budget, opened);
            }
            ("1009", "0102") => {
                let stream = file.stream(index);
                packed_rtf::give(&stream, budget, opened);
            }
            _ => {}
        }
    }
}

/// The text of a property as UTF-8, if it says that it is UTF-16.
fn text(stream: &Bytes, kind: &str) -> Bytes {
    match kind {
        "001f" => {
            Bytes::from(charset::decode(stream, Some("utf-16le")).0.into_owned().into_bytes())
        }
        _ => stream.clone(),
    }
}

fn names_in(file: &mut Compound<'_>, parent: Option<usize>) -> Vec<String> {
    /// Streams of one attachment that are looked at.
    const STREAMS_MAX: usize = 1_000;
    let Some(storage) = parent else { return Vec::new() };
    let children: Vec<(usize, String)> = file
        .children(storage)
        .into_iter()
        .take(STREAMS_MAX)
        .filter_map(|index| {
            file.entries.get(index).map(|entry| (index, entry.name.to_ascii_lowercase()))
        })
        .collect();
    let mut names = Vec::new();
    for number in NAMES {
        for kind in ["001f", "001e"] {
            let wanted = format!("{PROPERTY}{number}{kind}");
            let Some((index, _)) = children.iter().find(|(_, name)| *name == wanted) else {
                continue;
            };
            let stream = file.stream(*index);
            let name = match kind {
                "001f" => charset::decode(&stream, Some("utf-16le")).0.into_owned(),
                _ => name_text(&stream),
            };
            let name = name.trim_end_matches('\0').to_owned();
            if !name.is_empty() && !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}
