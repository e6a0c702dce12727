//! Files in codings of their own that keep a Macintosh's two forks, or that go through text: BinHex, yEnc, MacBinary,
//! AppleSingle and AppleDouble.

use super::{Ask, Member, Opened, name_text};
use crate::mail::{DefectCode, PartFlag};
use crate::mime::budget::Budget;
use crate::mime::transfer::{self, Block};

/// Files taken out of one text.
const BLOCKS_MAX: usize = 100;

/// BinHex and yEnc as a whole part; in the midst of a text the walk finds them.
pub(super) fn open_text(ask: Ask<'_>, opened: &mut Opened) {
    let Ask { data, name, budget, .. } = ask;
    let (mut blocks, more) = transfer::find_yenc(data, BLOCKS_MAX);
    let (found, odd) = transfer::find_binhex(data, BLOCKS_MAX, budget);
    blocks.extend(found);
    if more {
        opened.note(DefectCode::TooManyFiles);
    }
    if let Some(code) = odd {
        opened.note(code);
    } else if blocks.is_empty() {
        opened.note(DefectCode::BadArchive);
        opened.flag(PartFlag::Unscannable);
    }
    let outer = name.map(|name| {
        let stem = name.rsplit_once('.').filter(|(_, end)| end.eq_ignore_ascii_case("hqx"));
        stem.map_or(name, |(stem, _)| stem).to_owned()
    });
    for block in blocks {
        let mut member = Member::default();
        let Block { name, data, complete } = block;
        add_name(&mut member, name_text(&name));
        if let Some(outer) = &outer {
            add_name(&mut member, outer.clone());
        }
        if !complete {
            member.odd.push(DefectCode::BadUuencode);
        }
        member.data = data.into();
        opened.stored(member, budget);
    }
}

fn add_name(member: &mut Member, name: String) {
    if !name.is_empty() && !member.names.contains(&name) {
        member.names.push(name);
    }
}

/// A number of four octets, big end first.
fn size_at(data: &[u8], at: usize) -> Option<usize> {
    let four = <[u8; 4]>::try_from(data.get(at..at.checked_add(4)?)?).ok()?;
    usize::try_from(u32::from_be_bytes(four)).ok()
}

/// Octets of the header of MacBinary, and what forks are padded to.
const MAC_BYTES: usize = 128;

/// True if a header of MacBinary (version 1 to 3) stands at the start, and its forks fit.
pub(in crate::mime) fn is_mac_binary(data: &[u8]) -> bool {
    let (Some(data_size), Some(rest_size)) = (size_at(data, 83), size_at(data, 87)) else {
        return false;
    };
    let Some((header, rest)) = data.split_at_checked(MAC_BYTES) else { return false };
    let zero = |at: usize| header.get(at) == Some(&0);
    let name = header.get(1).map_or(0, |length| usize::from(*length));
    let named = (1..=63).contains(&name)
        && header.get(2..2 + name).is_some_and(|name| !name.iter().any(u8::is_ascii_control));
    let forks = padded(data_size).saturating_add(padded(rest_size));
    zero(0)
        && zero(74)
        && zero(82)
        && named
        && data_size.saturating_add(rest_size) > 0
        && data_size <= rest.len()
        && rest.len() <= forks.saturating_add(4 * MAC_BYTES)
}

fn padded(size: usize) -> usize {
    size.div_ceil(MAC_BYTES).saturating_mul(MAC_BYTES)
}

pub(super) fn open_mac_binary(ask: Ask<'_>, opened: &mut Opened) {
    let Ask { data, name, budget, .. } = ask;
    let length = data.get(1).map_or(0, |length| usize::from(*length));
    let inner = name_text(data.get(2..2 + length).unwrap_or_default());
    let (Some(size), Some(rest_size)) = (size_at(data, 83), size_at(data, 87)) else {
        opened.note(DefectCode::BadArchive);
        return;
    };
    let second = MAC_BYTES.saturating_add(padded(size));
    fork(&ask_names(&inner, name), data, MAC_BYTES, size, false, budget, opened);
    fork(&ask_names(&inner, name), data, second, rest_size, true, budget, opened);
}

fn ask_names(inner: &str, outer: Option<&str>) -> Vec<String> {
    let mut member = Member::default();
    add_name(&mut member, inner.to_owned());
    if let Some(outer) = outer {
        add_name(&mut member, outer.to_owned());
    }
    member.names
}

fn fork(
    names: &[String],
    data: &bytes::Bytes,
    start: usize,
    size: usize,
    is_resource: bool,
    budget: &mut Budget,
    opened: &mut Opened,
) {
    if size == 0 {
        return;
    }
    let end = start.saturating_add(size);
    if end > data.len() {
        opened.note(DefectCode::BadArchive);
    }
    let start = start.min(data.len());
    let data = data.slice(start..end.clamp(start, data.len()));
    let ending = if is_resource { ".rsrc" } else { "" };
    let names = names.iter().map(|name| format!("{name}{ending}")).collect();
    opened.stored(Member { names, data, ..Member::default() }, budget);
}

/// AppleSingle and AppleDouble (RFC 1740): entries of a number, a place and a size.
pub(super) fn open_apple(ask: Ask<'_>, opened: &mut Opened) {
    const ENTRIES_MAX: usize = 64;
    const DATA_FORK: usize = 1;
    const RESOURCE_FORK: usize = 2;
    const REAL_NAME: usize = 3;
    let Ask { data, name, budget, .. } = ask;
    let count = match data.get(24..26) {
        Some([high, low]) => usize::from(u16::from_be_bytes([*high, *low])),
        _ => 0,
    };
    let entries: Vec<(usize, usize, usize)> = (0..count.min(ENTRIES_MAX))
        .map_while(|index| {
            let at = 26 + index * 12;
            Some((size_at(data, at)?, size_at(data, at + 4)?, size_at(data, at + 8)?))
        })
        .collect();
    let inner = entries.iter().find(|(id, ..)| *id == REAL_NAME).map(|(_, start, size)| {
        let end = start.saturating_add(*size);
        name_text(data.get(*start..end).unwrap_or_default())
    });
    let names = ask_names(&inner.unwrap_or_default(), name);
    for (id, start, size) in entries {
        if id == DATA_FORK || id == RESOURCE_FORK {
            fork(&names, data, start, size, id == RESOURCE_FORK, budget, opened);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mime::Limits;
    use crate::mime::container::{Container, try_open};

    fn opened(container: Container, data: Vec<u8>, name: Option<&str>) -> Vec<(String, Vec<u8>)> {
        let opened = try_open(container, data, name, &Limits::default());
        opened.members.into_iter().map(|m| (m.names.join("|"), m.data.to_vec())).collect()
    }

    fn mac_binary() -> Vec<u8> {
        let mut data = vec![0; 128];
        data[1] = 5;
        data[2..7].copy_from_slice(b"a.exe");
        data[86] = 3;
        data[90] = 2;
        data.extend(b"abc");
        data.resize(256, 0);
        data.extend(b"xy");
        data.resize(384, 0);
        data
    }

    fn apple() -> Vec<u8> {
        let mut data = b"\0\x05\x16\0\0\x02\0\0".to_vec();
        data.resize(24, 0);
        data.extend([0, 3]);
        for (id, start, size) in [(3_u32, 62_u32, 5_u32), (1, 67, 3), (2, 70, 2)] {
            data.extend([id.to_be_bytes(), start.to_be_bytes(), size.to_be_bytes()].concat());
        }
        data.extend(b"a.exeabcxy");
        data
    }

    #[test]
    fn forks_are_members() {
        assert!(is_mac_binary(&mac_binary()));
        assert!(!is_mac_binary(&[0; 384]));
        let want = |name: &str| {
            [
                (name.to_owned(), b"abc".to_vec()),
                (name.replace('|', ".rsrc|") + ".rsrc", b"xy".to_vec()),
            ]
        };
        assert_eq!(opened(Container::MacBinary, mac_binary(), None), want("a.exe"));
        assert_eq!(opened(Container::Apple, apple(), Some("b")), want("a.exe|b"));
    }

    #[test]
    fn a_part_of_nothing_but_coded_text_is_opened() {
        let yenc = b"=ybegin line=128 size=3 name=a.exe\r\n\x8b\x8c\x8d\r\n=yend size=3\r\n";
        let got = opened(Container::Coded, yenc.to_vec(), Some("x.hqx"));
        assert_eq!(got, [("a.exe|x".to_owned(), b"abc".to_vec())]);
        let none = try_open(Container::Coded, b"nothing".to_vec(), None, &Limits::default());
        assert_eq!(none.flags, [PartFlag::Unscannable]);
    }

    proptest! {
        #[test]
        fn no_octets_make_it_fail(at: usize, octet: u8, cut in 0_usize..384) {
            for (container, mut data) in
                [(Container::MacBinary, mac_binary()), (Container::Apple, apple())]
            {
                let at = at % data.len();
                data[at] = octet;
                data.truncate(cut);
                opened(container, data, None);
            }
        }
    }
}
