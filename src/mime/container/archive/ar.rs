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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mime::Limits;
    use crate::mime::container::{Container, try_open};

    fn member(name: &str, data: &[u8]) -> Vec<u8> {
        let fields = format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 644, data.len());
        let mut octets = [fields.as_bytes(), data].concat();
        if data.len() % 2 == 1 {
            octets.push(b'\n');
        }
        octets
    }

    fn archive(members: &[Vec<u8>]) -> Vec<u8> {
        [MARK.to_vec(), members.concat()].concat()
    }

    fn check(data: Vec<u8>, want: &[(&str, &str)], odd: &[DefectCode]) {
        let opened = try_open(Container::Ar, data, None, &Limits::default());
        let text = |data| String::from_utf8_lossy(data).into_owned();
        let got: Vec<_> =
            opened.members.iter().map(|m| (m.names[0].clone(), text(&m.data[..]))).collect();
        let want: Vec<_> =
            want.iter().map(|(name, data)| ((*name).to_owned(), (*data).to_owned())).collect();
        assert_eq!((got, &opened.odd[..]), (want, odd));
    }

    #[test]
    fn names_are_read_short_and_long() {
        let data = archive(&[
            member("/", b"symbols"),
            member("//", b"a name of many signs.exe/\nb.txt/\n"),
            member("/0", b"one"),
            member("/26", b"two"),
            member("c.txt/", b"three"),
            member("debian-binary", b"2.0\n"),
            member("#1/12", b"d-long.name\0four"),
        ]);
        let want = [
            ("a name of many signs.exe", "one"),
            ("b.txt", "two"),
            ("c.txt", "three"),
            ("debian-binary", "2.0\n"),
            ("d-long.name", "four"),
        ];
        check(data, &want, &[]);
    }

    #[test]
    fn a_damaged_archive_still_gives_what_it_holds() {
        let mut data = archive(&[member("a", b"one"), member("b", b"two"), member("c", b"three")]);
        data[MARK.len() + 64 + 50] = b'x';
        check(data, &[("a", "one"), ("c", "three")], &[DefectCode::BadArchive]);
        let mut cut = archive(&[member("a", b"one two")]);
        cut.truncate(MARK.len() + HEADER_BYTES + 3);
        check(cut, &[("a", "one")], &[DefectCode::BadArchive]);
    }

    proptest! {
        #[test]
        fn no_octets_make_it_fail(at in 0_usize..300, octets: Vec<u8>, cut in 0_usize..400) {
            let mut data = archive(&[member("//", b"long/\n"), member("/0", b"1"), member("#1/3", b"abc2")]);
            for (index, octet) in octets.iter().enumerate() {
                if let Some(place) = data.get_mut(at + index) {
                    *place = *octet;
                }
            }
            data.truncate(cut);
            try_open(Container::Ar, data, None, &Limits::default());
        }
    }
}
