//! tar: ustar, the names of GNU and of pax.

use bytes::Bytes;

use super::{Ask, Member, Opened, name_text};
use crate::mail::DefectCode;

const BLOCK_BYTES: usize = 512;

/// True if the 512 octets are the header of a member: the sum they hold is their own.
pub(in crate::mime) fn checksum_fits(header: &[u8]) -> bool {
    let Some(want) = header.get(148..156).and_then(number) else { return false };
    let sum = |octets: &[u8]| octets.iter().map(|octet| usize::from(*octet)).sum::<usize>();
    let (Some(before), Some(after)) = (header.get(..148), header.get(156..BLOCK_BYTES)) else {
        return false;
    };
    want > 0 && sum(before) + sum(after) + 8 * usize::from(b' ') == want
}

/// A number in octal digits, or in binary where the first octet says so (GNU).
fn number(octets: &[u8]) -> Option<usize> {
    if octets.first()? & 0x80 != 0 {
        let tail = octets.get(octets.len().saturating_sub(8)..)?;
        return tail.iter().try_fold(0_usize, |value, octet| {
            value.checked_mul(256)?.checked_add(usize::from(*octet))
        });
    }
    let digits = octets.trim_ascii();
    let digits = digits.split(|octet| matches!(octet, 0 | b' ')).next()?;
    digits.iter().try_fold(0_usize, |value, octet| {
        let digit = char::from(*octet).to_digit(8)?;
        value.checked_mul(8)?.checked_add(usize::try_from(digit).ok()?)
    })
}

fn text_until_nul(octets: &[u8]) -> &[u8] {
    octets.split(|octet| *octet == 0).next().unwrap_or_default()
}

pub(in crate::mime::container) fn open(ask: Ask<'_>, opened: &mut Opened) {
    let Ask { data, budget, .. } = ask;
    let mut at = 0_usize;
    let mut long_names: Vec<String> = Vec::new();
    while let Some(header) = data.get(at..at.saturating_add(BLOCK_BYTES)) {
        if header.iter().all(|octet| *octet == 0) {
            // Two empty blocks end it; some write more archives behind them.
            at += BLOCK_BYTES;
            continue;
        }
        if !checksum_fits(header) {
            opened.note(DefectCode::BadArchive);
            return;
        }
        let size = header.get(124..136).and_then(number).unwrap_or(0);
        let start = at + BLOCK_BYTES;
        let end = start.saturating_add(size).min(data.len());
        let content = data.slice(start.min(end)..end);
        if size > content.len() {
            opened.note(DefectCode::BadArchive);
        }
        match header.get(156) {
            Some(b'L' | b'K') => long_names.push(name_text(text_until_nul(&content))),
            Some(b'x' | b'g') => long_names.extend(pax_path(&content)),
            Some(b'5') => {}
            _ => {
                let asked =
                    budget.file().and_then(|()| budget.expand(content.len(), 0, content.len()));
                if let Err(code) = asked {
                    opened.note(code);
                    return;
                }
                opened.members.extend(member(header, content, &mut long_names));
            }
        }
        at = match size.checked_next_multiple_of(BLOCK_BYTES) {
            Some(padded) => start.saturating_add(padded),
            None => return,
        };
    }
}

fn member(header: &[u8], data: Bytes, long_names: &mut Vec<String>) -> Option<Member> {
    let name = text_until_nul(header.get(..100)?);
    let prefix = match header.get(257..262) {
        Some(b"ustar") => text_until_nul(header.get(345..500)?),
        _ => b"",
    };
    let mut names = std::mem::take(long_names);
    let short = name_text(name);
    names.push(if prefix.is_empty() { short } else { format!("{}/{short}", name_text(prefix)) });
    Some(Member { names, data, ..Member::default() })
}

/// The value of `path` in a pax header: lines of `length key=value`.
fn pax_path(content: &[u8]) -> Option<String> {
    let at = memchr::memmem::find(content, b" path=")?;
    let value = content.get(at + 6..)?;
    let end = memchr::memchr(b'\n', value).unwrap_or(value.len());
    Some(name_text(value.get(..end)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mime::Limits;
    use crate::mime::container::{Container, try_open};

    fn block(name: &str, kind: u8, data: &[u8]) -> Vec<u8> {
        let mut header = vec![0; BLOCK_BYTES];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..135].copy_from_slice(format!("{:011o}", data.len()).as_bytes());
        header[156] = kind;
        header[148..156].fill(b' ');
        let sum: usize = header.iter().map(|octet| usize::from(*octet)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        header.extend_from_slice(data);
        header.resize(header.len().next_multiple_of(BLOCK_BYTES), 0);
        header
    }

    fn opened(data: Vec<u8>, limits: &Limits) -> Opened {
        try_open(Container::Tar, data, None, limits)
    }

    #[test]
    fn members_and_long_names_are_seen() {
        let data = [
            block("a.txt", b'0', b"one"),
            block("././@LongLink", b'L', b"long/name.exe\0"),
            block("long/na", b'0', b"two"),
            block("pax", b'x', b"17 path=p/q.exe\n"),
            block("q", b'0', b"three"),
            vec![0; 1024],
        ]
        .concat();
        let opened = opened(data, &Limits::default());
        let got: Vec<_> = opened.members.iter().map(|m| (m.names.clone(), &m.data[..])).collect();
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            got,
            [
                (names(&["a.txt"]), &b"one"[..]),
                (names(&["long/name.exe", "long/na"]), b"two"),
                (names(&["p/q.exe", "q"]), b"three"),
            ]
        );
        assert_eq!(opened.odd, []);
    }

    #[test]
    fn files_have_a_limit() {
        let data = [block("a", b'0', b"1"), block("b", b'0', b"2")].concat();
        let limits = |files| Limits { archive_files_max: files, ..Limits::default() };
        assert_eq!(opened(data.clone(), &limits(2)).odd, []);
        assert_eq!(opened(data, &limits(1)).odd, [DefectCode::TooManyFiles]);
    }

    proptest! {
        #[test]
        fn no_octets_make_it_fail(name in "[a-z]{1,9}", kind: u8, data: Vec<u8>, cut in 0_usize..1500) {
            let mut octets = block(&name, kind, &data);
            octets.truncate(cut);
            opened(octets, &Limits::default());
        }
    }
}
