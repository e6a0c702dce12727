//! Files that were dropped into a document: the packager's form of an object ([MS-OLEDS] calls it OLENativeStream and
//! leaves its content open; what is in it was seen in documents).

use bytes::Bytes;

use crate::mail::PartFlag;
use crate::mime::budget::Budget;
use crate::mime::charset;
use crate::mime::container::document::field;
use crate::mime::container::{Member, Opened, name_text, u16_at, u32_at};

/// Takes the file out of a stream: its size, then the package.
pub(in crate::mime::container) fn open(stream: &Bytes, budget: &mut Budget, opened: &mut Opened) {
    if stream.len() < 4 {
        return;
    }
    package(&stream.slice(4..), budget, opened);
}

/// Takes the file out of a package; what is none is given as it stands.
pub(in crate::mime::container) fn package(data: &Bytes, budget: &mut Budget, opened: &mut Opened) {
    if let Some(path) = linked(data) {
        opened.flag(PartFlag::Launch);
        field::remote(&path, opened);
        return;
    }
    let member = read(data).unwrap_or_else(|| Member { data: data.clone(), ..Member::default() });
    opened.stored(member, budget);
}

/// The path of a file that is not in the package: it only points there.
fn linked(data: &Bytes) -> Option<String> {
    const LINK: u16 = 1;
    let (_, at) = text(data, 2).filter(|_| u16_at(data, 0) == Some(2))?;
    let (source, at) = text(data, at)?;
    (u16_at(data, at.checked_add(2)?) == Some(LINK)).then_some(source)
}

fn read(data: &Bytes) -> Option<Member> {
    if u16_at(data, 0)? != 2 {
        return None;
    }
    let (label, at) = text(data, 2)?;
    let (source, at) = text(data, at)?;
    // Two numbers of two octets; then the path of the temporary file, with its length.
    let path_at = at.checked_add(8)?;
    let path_length = usize::try_from(u32_at(data, at.checked_add(4)?)?).ok()?;
    let (path, after) = text(data, path_at)?;
    let by_length = path_at.checked_add(path_length)?;
    let size_at = if by_length.checked_add(4)? <= data.len() { by_length } else { after };
    let size = usize::try_from(u32_at(data, size_at)?).ok()?;
    let start = size_at.checked_add(4)?;
    let end = start.saturating_add(size).min(data.len());
    let mut names = Vec::new();
    let wide = wide_texts(data, end);
    for name in [label, source, path].into_iter().chain(wide) {
        if !name.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    }
    Some(Member { names, data: data.slice(start.min(end)..end), ..Member::default() })
}

/// A text that a NUL ends, and where the next thing begins.
fn text(data: &[u8], at: usize) -> Option<(String, usize)> {
    const TEXT_BYTES_MAX: usize = 4_096;
    let rest = data.get(at..)?;
    let end = memchr::memchr(0, rest.get(..TEXT_BYTES_MAX.min(rest.len()))?)?;
    Some((name_text(rest.get(..end)?), at + end + 1))
}

/// The same names in Unicode, behind the data.
fn wide_texts(data: &[u8], mut at: usize) -> Vec<String> {
    let mut found = Vec::new();
    for _ in 0..3 {
        let count = u32_at(data, at).and_then(|count| usize::try_from(count).ok());
        let Some(length) = count.and_then(|count| count.checked_mul(2)) else { break };
        let start = at + 4;
        let Some(octets) = data.get(start..start.saturating_add(length)) else { break };
        let text = charset::decode(octets, Some("utf-16le")).0;
        found.push(text.trim_end_matches('\0').to_owned());
        at = start + length;
    }
    found
}

/// A small writer of packages, for tests.
#[cfg(test)]
pub(in crate::mime::container) fn pack(label: &str, path: &str, data: &[u8]) -> Vec<u8> {
    let length = |octets: &[u8]| u32::try_from(octets.len()).unwrap().to_le_bytes();
    let temporary = format!("C:\\Temp\\{label}\0");
    [
        &[2, 0][..],
        label.as_bytes(),
        b"\0",
        path.as_bytes(),
        b"\0",
        &[0, 0, 3, 0],
        &length(temporary.as_bytes()),
        temporary.as_bytes(),
        &length(data),
        data,
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mime::Limits;

    fn opened(data: Vec<u8>) -> Opened {
        let mut opened = Opened::default();
        package(&data.into(), &mut Budget::new(&Limits::default()), &mut opened);
        opened
    }

    #[test]
    fn a_package_has_all_its_names() {
        let wide: Vec<u8> = "b.exe".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let data = [pack("a.exe", "C:\\x\\a.exe", b"MZ"), vec![5, 0, 0, 0], wide].concat();
        let member = opened(data).members.remove(0);
        assert_eq!(member.names, ["a.exe", "C:\\x\\a.exe", "C:\\Temp\\a.exe", "b.exe"]);
        assert_eq!(&member.data[..], b"MZ");
    }

    #[test]
    fn a_package_may_only_point_to_a_file() {
        let opened =
            opened(b"\x02\0calc.exe\0\\\\a.b\\calc.exe\0\0\0\x01\0\x01\0C:\\calc.exe\0".to_vec());
        assert_eq!(opened.flags, [PartFlag::Launch, PartFlag::Remote]);
        assert_eq!((opened.members.len(), opened.links.len()), (0, 1));
    }

    #[test]
    fn what_is_no_package_is_given_as_it_stands() {
        assert_eq!(&opened(b"MZ\x90".to_vec()).members[0].data[..], b"MZ\x90");
        let mut cut = pack("a", "b", b"content");
        cut.truncate(cut.len() - 3);
        assert_eq!(&opened(cut).members[0].data[..], b"cont");
    }

    proptest! {
        #[test]
        fn no_octets_make_it_fail(tail: Vec<u8>, cut in 0_usize..60) {
            let mut data = pack("a", "b", b"c");
            data.truncate(cut);
            data.extend(tail);
            opened(data);
        }
    }
}
