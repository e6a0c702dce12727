//! gzip (RFC 1952): all members, their names, and whatever junk stands behind them.

use bytes::Bytes;

use super::inflate::inflate;
use super::{Ask, Member, Opened, name_text, u16_at};
use crate::mail::DefectCode;

/// Members that are also given one by one, not only joined.
const SINGLES_MAX: usize = 16;

pub(in crate::mime::container) fn open(ask: Ask<'_>, opened: &mut Opened) {
    let Ask { data, name, budget, .. } = ask;
    let mut rest: &[u8] = data;
    let mut whole = Member::default();
    let mut joined = Vec::new();
    let mut singles = Vec::new();
    whole.names.extend(name.map(name_inside));
    while let Some((start, stored)) = header(rest) {
        whole.names.extend(stored.filter(|stored| !whole.names.contains(stored)));
        let inflated = inflate(rest.get(start..).unwrap_or_default(), budget);
        if singles.len() < SINGLES_MAX {
            singles.push(Bytes::from(inflated.data.clone()));
        }
        joined.extend_from_slice(&inflated.data);
        whole.odd.extend(inflated.odd);
        if inflated.odd.is_some() {
            break;
        }
        // CRC and length follow the stream.
        rest = rest.get(start + inflated.consumed + 8..).unwrap_or_default();
    }
    if singles.is_empty() {
        opened.note(DefectCode::BadArchive);
        return;
    }
    if let Err(code) = budget.file() {
        opened.note(code);
        return;
    }
    whole.data = joined.into();
    let names = whole.names.clone();
    opened.members.push(whole);
    if singles.len() > 1 {
        for single in singles {
            if budget.file().is_err() {
                return;
            }
            opened.members.push(Member { names: names.clone(), data: single, ..Member::default() });
        }
    }
}

/// What tools call the content of a file of that name.
fn name_inside(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    for (ending, instead) in [(".tgz", ".tar"), (".gz", ""), (".svgz", ".svg"), (".z", "")] {
        if lower.ends_with(ending)
            && let Some(stem) = name.get(..name.len() - ending.len())
        {
            return format!("{stem}{instead}");
        }
    }
    name.to_owned()
}

/// The length of the header at the start, and the name it holds.
fn header(data: &[u8]) -> Option<(usize, Option<String>)> {
    let [0x1f, 0x8b, 8, flags, ..] = data else { return None };
    let mut at = 10;
    if flags & 4 != 0 {
        at += 2 + usize::from(u16_at(data, at)?);
    }
    let mut name = None;
    if flags & 8 != 0 {
        let end = at + memchr::memchr(0, data.get(at..)?)?;
        name = Some(name_text(data.get(at..end)?)).filter(|name| !name.is_empty());
        at = end + 1;
    }
    if flags & 16 != 0 {
        at += memchr::memchr(0, data.get(at..)?)? + 1;
    }
    if flags & 2 != 0 {
        at += 2;
    }
    (at <= data.len()).then_some((at, name))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, GzBuilder};
    use proptest::prelude::*;

    use super::*;
    use crate::mime::Limits;
    use crate::mime::container::{Container, try_open};

    fn pack(data: &[u8], name: &str) -> Vec<u8> {
        let mut writer = GzBuilder::new().filename(name).write(Vec::new(), Compression::default());
        writer.write_all(data).unwrap();
        writer.finish().unwrap()
    }

    fn opened(data: Vec<u8>, name: Option<&str>, limits: &Limits) -> Opened {
        try_open(Container::Gzip, data, name, limits)
    }

    #[test]
    fn all_members_and_names_are_seen() {
        let data = [pack(b"one", "a.exe"), pack(b"two", "b"), b"junk".to_vec()].concat();
        let opened = opened(data, Some("x.tgz"), &Limits::default());
        assert_eq!(opened.members[0].names, ["x.tar", "a.exe", "b"]);
        let got: Vec<_> = opened.members.iter().map(|member| &member.data[..]).collect();
        assert_eq!(got, [&b"onetwo"[..], b"one", b"two"]);
    }

    #[test]
    fn a_bomb_is_stopped() {
        let bomb = pack(&vec![0; 4 << 20], "x");
        let member = |limits: Limits| opened(bomb.clone(), None, &limits).members.remove(0);
        let flat = member(Limits::default());
        assert_eq!(flat.odd, [DefectCode::TooHighRatio]);
        assert!(flat.data.len() <= 64 << 10);
        let enough = Limits { archive_ratio_max: 10_000, ..Limits::default() };
        assert_eq!(member(enough).data.len(), 4 << 20);
        let exact = Limits {
            archive_ratio_max: 10_000,
            archive_expanded_bytes_max: 4 << 20,
            ..Limits::default()
        };
        assert_eq!(member(exact.clone()).odd, []);
        let below = Limits { archive_expanded_bytes_max: (4 << 20) - 1, ..exact };
        assert_eq!(member(below).odd, [DefectCode::TooManyOctets]);
    }

    proptest! {
        #[test]
        fn no_octets_make_it_fail(mut data: Vec<u8>, flags: u8) {
            data.splice(0..0, [0x1f, 0x8b, 8, flags]);
            opened(data, None, &Limits::default());
        }
    }
}
