//! ar, with the long names of System V and of BSD; Debian packages are such archives.

use memchr::memmem;

use super::{Ask, Member, Opened, keep, name_text};
use crate::mail::DefectCode;

const MARK: &[u8] = b"!<arch>\n";
const HEADER_BYTES: usize = 60;

/// What a header ends with.
const END: &[u8] = b"`\n";

/// Where in a header its end stands.
const END_AT: usize = 58;

pub(in crate::mime::container) fn open(ask: Ask<'_>, opened: &mut Opened) {
    let Ask { data, budget, .. } = ask;
    let mut long_names: &[u8] = b"";
    let mut at = MARK.len();
    while at < data.len() {
        let Some(start) = next_header(data, at) else {
            if data.get(at..).unwrap_or_default().iter().any(|octet| !matches!(octet, 0 | b'\n')) {
                opened.note(DefectCode::BadArchive);
            }
            return;
        };
        if start > at.saturating_add(1) {
            opened.note(DefectCode::BadArchive);
        }
        let header = data.get(start..).unwrap_or_default();
        let size = header.get(48..END_AT).and_then(number).unwrap_or(0);
        let from = start.saturating_add(HEADER_BYTES).min(data.len());
        let to = from.saturating_add(size).min(data.len());
        let content = data.get(from..to).unwrap_or_default();
        if content.len() < size {
            opened.note(DefectCode::BadArchive);
        }
        at = to.saturating_add(size % 2);
        let short = header.get(..16).unwrap_or_default().trim_ascii_end();
        if short == b"//" {
            long_names = content;
            continue;
        }
        if matches!(short, b"/" | b"/SYM64/") {
            continue;
        }
        let (names, skip) = names(short, content, long_names);
        let member = Member { names, data: data.slice(from + skip..to), ..Member::default() };
        if !keep(member, budget, opened) {
            return;
        }
    }
}

/// Where the next header stands, at `at` or behind.
fn next_header(data: &[u8], at: usize) -> Option<usize> {
    let is_header = |start: &usize| {
        data.get(*start..start.saturating_add(HEADER_BYTES)).is_some_and(|header| {
            header.ends_with(END) && header.get(48..END_AT).and_then(number).is_some()
        })
    };
    if is_header(&at) {
        return Some(at);
    }
    let rest = data.get(at..)?;
    memmem::find_iter(rest, END)
        .filter_map(|hit| (at + hit).checked_sub(END_AT).filter(|start| *start >= at))
        .find(is_header)
}

fn number(octets: &[u8]) -> Option<usize> {
    std::str::from_utf8(octets).ok()?.trim().parse().ok()
}

/// The names of a member, and how many octets of its content are its name.
fn names(short: &[u8], content: &[u8], long_names: &[u8]) -> (Vec<String>, usize) {
    let plain = |octets: &[u8]| name_text(octets.strip_suffix(b"/").unwrap_or(octets));
    if let Some(length) = short.strip_prefix(b"#1/").and_then(number)
        && let Some(name) = content.get(..length)
    {
        let name = name.split(|octet| *octet == 0).next().unwrap_or_default();
        return (vec![name_text(name)], length);
    }
    if let Some(offset) = short.strip_prefix(b"/").and_then(number)
        && let Some(name) = long_names.get(offset..)
    {
        let name = name.split(|octet| matches!(octet, b'\n' | 0)).next().unwrap_or_default();
        return (vec![plain(name)], 0);
    }
    (vec![plain(short)], 0)
}
