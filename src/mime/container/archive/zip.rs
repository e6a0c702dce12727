//! zip: what the central directory lists and what local headers say, both.

use std::collections::BTreeMap;

use bytes::Bytes;
use memchr::memmem;

use super::{Ask, Member, Opened, name_text, u16_at, u32_at};
use crate::mail::{DefectCode, PartFlag};
use crate::mime::budget::Budget;
use crate::mime::container::stream::inflate::inflate;

const LOCAL: &[u8] = b"PK\x03\x04";
const CENTRAL: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";
const ENCRYPTED_BIT: u16 = 1;
const UNICODE_PATH: u16 = 0x7075;
const ZIP64: u16 = 1;

/// End records looked at: joined zips, and records in comments.
const ENDS_MAX: usize = 64;

/// A member by the place of its local header.
#[derive(Debug, Default)]
struct Entry {
    /// Names of the central directory.
    central: Vec<Vec<u8>>,
    /// Packed octets, as the central directory says.
    packed: usize,
    method: Option<u16>,
    flags: u16,
}

/// A local header, read.
struct Local {
    name: Vec<u8>,
    unicode: Option<Vec<u8>>,
    method: u16,
    flags: u16,
    packed: usize,
    size: usize,
    /// Where the data begins.
    start: usize,
}

pub(in crate::mime::container) fn open(ask: Ask<'_>, opened: &mut Opened) {
    let Ask { data, budget, .. } = ask;
    let files_max = budget.limits.archive_files_max;
    let mut entries: BTreeMap<usize, Entry> = BTreeMap::new();
    let mut listed = false;
    // From the last one back, so that the records of a zip stored in this one are known for what they are.
    for end in memmem::rfind_iter(data, END).take(ENDS_MAX) {
        let inside = entries.range(..end).next_back().is_some_and(|(at, entry)| {
            read_local(data, *at).is_some_and(|local| {
                local.start.saturating_add(entry.packed.max(local.packed)) > end
            })
        });
        listed |= !inside && read_directory(data, end, &mut entries, files_max);
    }
    if !listed {
        // Cut short, or no zip at all: repair tools go by the local headers.
        opened.note(DefectCode::BadArchive);
    }
    find_unlisted(data, &mut entries, listed, files_max, opened);
    if entries.len() > files_max {
        opened.note(DefectCode::TooManyFiles);
    }
    for (at, entry) in entries {
        if let Err(code) = budget.file() {
            opened.note(code);
            return;
        }
        let member = unpack(data, at, &entry, budget, opened);
        opened.members.extend(member);
    }
}

/// Reads the directory that the end record at `end` points to. True if it lists anything, or says that it is empty.
fn read_directory(
    data: &[u8],
    end: usize,
    entries: &mut BTreeMap<usize, Entry>,
    files_max: usize,
) -> bool {
    let number = |at| u32_at(data, at).and_then(|value| usize::try_from(value).ok());
    let (Some(size), Some(offset)) = (number(end + 12), number(end + 16)) else { return false };
    if size == 0 && u16_at(data, end + 10) == Some(0) {
        return entries.is_empty() && end == 0;
    }
    // The directory ends where the end record begins; the offset tells how much stands before the zip. With zip64 the
    // numbers are all ones and two more records stand between, so the directory is then searched for.
    let is_central = |at: usize| data.get(at..).is_some_and(|rest| rest.starts_with(CENTRAL));
    let by_size = end.checked_sub(size).filter(|at| is_central(*at));
    let start = by_size
        .or_else(|| Some(offset).filter(|at| is_central(*at)))
        .or_else(|| memmem::find(data.get(..end)?, CENTRAL));
    let Some(start) = start else { return false };
    let base = start.saturating_sub(offset);
    let mut at = start;
    while is_central(at) && entries.len() <= files_max {
        let Some(next) = read_central(data, at, base, entries) else { break };
        at = next;
    }
    at > start
}

/// Reads one entry of the directory and gives where the next one begins.
fn read_central(
    data: &[u8],
    at: usize,
    base: usize,
    entries: &mut BTreeMap<usize, Entry>,
) -> Option<usize> {
    let length = |at| u16_at(data, at).map(usize::from);
    let (name, extra, comment) = (length(at + 28)?, length(at + 30)?, length(at + 32)?);
    let name_at = at + 46;
    let octets = data.get(name_at..name_at + name)?;
    let extras = data.get(name_at + name..name_at + name + extra).unwrap_or_default();
    let mut offset = usize::try_from(u32_at(data, at + 42)?).ok()?;
    let mut packed = usize::try_from(u32_at(data, at + 20)?).ok()?;
    if let Some(wide) = extra_field(extras, ZIP64) {
        let all_ones = usize::try_from(u32::MAX).unwrap_or(usize::MAX);
        let sizes = [u32_at(data, at + 24) == Some(u32::MAX), packed == all_ones];
        let mut wide_at = if sizes.first() == Some(&true) { 8 } else { 0 };
        if packed == all_ones {
            packed = usize::try_from(u32_at(wide, wide_at).unwrap_or(0)).ok()?;
            wide_at += 8;
        }
        if offset == all_ones {
            offset = usize::try_from(u32_at(wide, wide_at).unwrap_or(0)).ok()?;
        }
    }
    let is_local = |at: &usize| data.get(*at..).is_some_and(|rest| rest.starts_with(LOCAL));
    let place = base.checked_add(offset)?;
    let place = Some(place).filter(is_local).or_else(|| Some(offset).filter(is_local));
    let entry = entries.entry(place.unwrap_or(base.saturating_add(offset))).or_default();
    const NAMES_MAX: usize = 16;
    if entry.central.len() < NAMES_MAX {
        entry.central.push(octets.to_vec());
        entry.central.extend(unicode_name(extras));
    }
    entry.packed = entry.packed.max(packed);
    entry.method = u16_at(data, at + 10);
    entry.flags |= u16_at(data, at + 8).unwrap_or(0);
    Some(name_at + name + extra + comment)
}

/// The content of the extra field with that id.
fn extra_field(mut extras: &[u8], want: u16) -> Option<&[u8]> {
    while let (Some(id), Some(length)) = (u16_at(extras, 0), u16_at(extras, 2)) {
        let length = usize::from(length);
        let content = extras.get(4..)?;
        if id == want {
            return Some(content.get(..length).unwrap_or(content));
        }
        extras = content.get(length..)?;
    }
    None
}

/// The name that Info-ZIP keeps beside: version, checksum of the other name, UTF-8.
fn unicode_name(extras: &[u8]) -> Option<Vec<u8>> {
    extra_field(extras, UNICODE_PATH)?.get(5..).map(<[u8]>::to_vec)
}

/// Adds the local headers that no directory lists. Data of listed members is passed over: a zip stored in a zip has
/// local headers of its own.
fn find_unlisted(
    data: &[u8],
    entries: &mut BTreeMap<usize, Entry>,
    listed: bool,
    files_max: usize,
    opened: &mut Opened,
) {
    let known: Vec<(usize, usize)> =
        entries.iter().map(|(at, entry)| (*at, entry.packed)).collect();
    let mut known = known.into_iter().peekable();
    let finder = memmem::Finder::new(LOCAL);
    let mut from = 0;
    while let Some(hit) = finder.find(data.get(from..).unwrap_or_default()) {
        let at = from + hit;
        from = at + LOCAL.len();
        while known.next_if(|(place, _)| *place < at).is_some() {}
        let packed = known.next_if(|(place, _)| *place == at).map(|(_, packed)| packed);
        let Some(local) = read_local(data, at) else { continue };
        let length = packed.unwrap_or(local.packed).max(local.packed);
        from = local.start.saturating_add(length).clamp(from, data.len());
        if packed.is_none() && entries.len() <= files_max {
            if local.name.is_empty() || local.method > 99 {
                continue;
            }
            if listed {
                opened.note(DefectCode::ArchiveNamesDisagree);
            }
            entries.insert(at, Entry::default());
        }
    }
}

fn read_local(data: &[u8], at: usize) -> Option<Local> {
    if !data.get(at..)?.starts_with(LOCAL) {
        return None;
    }
    let size = |at| u32_at(data, at).and_then(|value| usize::try_from(value).ok());
    let name = usize::from(u16_at(data, at + 26)?);
    let extra = usize::from(u16_at(data, at + 28)?);
    let name_at = at + 30;
    let extras = data.get(name_at + name..name_at + name + extra).unwrap_or_default();
    Some(Local {
        name: data.get(name_at..name_at + name)?.to_vec(),
        unicode: unicode_name(extras),
        method: u16_at(data, at + 8)?,
        flags: u16_at(data, at + 6)?,
        packed: size(at + 18)?,
        size: size(at + 22)?,
        start: name_at + name + extra,
    })
}

fn unpack(
    data: &Bytes,
    at: usize,
    entry: &Entry,
    budget: &mut Budget,
    opened: &mut Opened,
) -> Option<Member> {
    let mut member = Member::default();
    let local = read_local(data, at);
    let names = entry.central.iter().chain(local.iter().map(|local| &local.name));
    for name in names.chain(local.iter().filter_map(|local| local.unicode.as_ref())) {
        let name = name_text(name);
        if !member.names.contains(&name) {
            member.names.push(name);
        }
    }
    let Some(local) = local else {
        opened.note(DefectCode::BadArchive);
        return Some(member);
    };
    let slashes = |name: &[u8]| name.iter().map(|o| if *o == b'\\' { b'/' } else { *o }).collect();
    let disagree = entry.central.first().is_some_and(|central| {
        let (central, local): (Vec<u8>, Vec<u8>) = (slashes(central), slashes(&local.name));
        central != local
    });
    if disagree {
        opened.note(DefectCode::ArchiveNamesDisagree);
    }
    if local.name.ends_with(b"/") && local.packed == 0 && entry.packed == 0 {
        return None;
    }
    if (local.flags | entry.flags) & ENCRYPTED_BIT != 0 {
        member.flags.push(PartFlag::Encrypted);
        member.odd.push(DefectCode::Encrypted);
        opened.flag(PartFlag::Encrypted);
        return Some(member);
    }
    let methods = [Some(local.method), entry.method];
    unpack_data(data, &local, entry, methods, budget, &mut member);
    if member.flags.contains(&PartFlag::Unscannable) {
        opened.flag(PartFlag::Unscannable);
    }
    Some(member)
}

/// Unpacks by the local header's method, else by the directory's.
fn unpack_data(
    data: &Bytes,
    local: &Local,
    entry: &Entry,
    methods: [Option<u16>; 2],
    budget: &mut Budget,
    member: &mut Member,
) {
    let packed = data.get(local.start..).unwrap_or_default();
    if methods.contains(&Some(8)) {
        let inflated = inflate(packed, budget);
        member.odd.extend(inflated.odd);
        member.data = inflated.data.into();
    } else if methods.contains(&Some(0)) {
        // Of sizes that disagree the largest shows the most.
        let size =
            local.packed.max(entry.packed).max(if local.flags & 8 == 0 { local.size } else { 0 });
        let size = if size == u32::MAX as usize { packed.len() } else { size.min(packed.len()) };
        match budget.expand(size, 0, size) {
            Ok(()) => {
                let start = local.start.min(data.len());
                member.data = data.slice(start..start + size);
            }
            Err(code) => member.odd.push(code),
        }
    } else {
        member.flags.push(PartFlag::Unscannable);
        member.odd.push(DefectCode::UnscannableMember);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::DeflateEncoder;
    use proptest::prelude::*;

    use super::*;
    use crate::mime::Limits;
    use crate::mime::container::{Container, try_open};

    struct File<'a> {
        local: &'a str,
        central: &'a str,
        method: u16,
        flags: u16,
        data: &'a [u8],
    }

    fn file<'a>(name: &'a str, data: &'a [u8]) -> File<'a> {
        File { local: name, central: name, method: 0, flags: 0, data }
    }

    fn short(value: usize) -> [u8; 2] {
        u16::try_from(value).unwrap().to_le_bytes()
    }

    fn long(value: usize) -> [u8; 4] {
        u32::try_from(value).unwrap().to_le_bytes()
    }

    fn pack(files: &[File<'_>]) -> Vec<u8> {
        let (mut out, mut directory) = (Vec::new(), Vec::new());
        for file in files {
            let packed = if file.method == 8 {
                let mut writer = DeflateEncoder::new(Vec::new(), Compression::default());
                writer.write_all(file.data).unwrap();
                writer.finish().unwrap()
            } else {
                file.data.to_vec()
            };
            let common = [
                &short(20)[..],
                &file.flags.to_le_bytes(),
                &file.method.to_le_bytes(),
                &[0; 8],
                &long(packed.len()),
                &long(file.data.len()),
            ]
            .concat();
            let offset = out.len();
            out.extend(
                [LOCAL, &common, &short(file.local.len()), &[0; 2], file.local.as_bytes(), &packed]
                    .concat(),
            );
            directory.extend(
                [
                    CENTRAL,
                    &[20, 0],
                    &common,
                    &short(file.central.len()),
                    &[0; 12],
                    &long(offset),
                    file.central.as_bytes(),
                ]
                .concat(),
            );
        }
        let end = [
            END,
            &[0; 4],
            &short(files.len()),
            &short(files.len()),
            &long(directory.len()),
            &long(out.len()),
            &[0; 2],
        ]
        .concat();
        [out, directory, end].concat()
    }

    fn opened(data: Vec<u8>, limits: &Limits) -> Opened {
        try_open(Container::Zip, data, None, limits)
    }

    fn check(data: Vec<u8>, want: &[(&[&str], &str)], odd: &[DefectCode]) {
        let opened = opened(data, &Limits::default());
        let got: Vec<_> = opened
            .members
            .iter()
            .map(|m| (m.names.clone(), String::from_utf8_lossy(&m.data).into_owned()))
            .collect();
        let want: Vec<_> = want
            .iter()
            .map(|(names, data)| {
                (names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>(), (*data).to_owned())
            })
            .collect();
        assert_eq!(got, want);
        assert_eq!(opened.odd, odd);
    }

    #[test]
    fn members_are_read_stored_or_deflated_wherever_the_zip_begins() {
        let deflated = File { method: 8, ..file("b.txt", b"two two two two two") };
        let data = pack(&[file("a.txt", b"one"), deflated]);
        let want: &[(&[&str], &str)] = &[(&["a.txt"], "one"), (&["b.txt"], "two two two two two")];
        check(data.clone(), want, &[]);
        check([b"junk".to_vec(), data.clone()].concat(), want, &[]);
        check([data.clone(), b"junk".to_vec()].concat(), want, &[]);
        let cut = data.len() - 30;
        check(data[..cut].to_vec(), want, &[DefectCode::BadArchive]);
    }

    #[test]
    fn both_names_are_given_and_their_difference_is_said() {
        let two = File { local: "a.txt", central: "a.exe", ..file("", b"x") };
        check(pack(&[two]), &[(&["a.exe", "a.txt"], "x")], &[DefectCode::ArchiveNamesDisagree]);
    }

    #[test]
    fn joined_zips_are_both_read() {
        let data = [pack(&[file("a", b"one")]), pack(&[file("b", b"two")])].concat();
        check(data, &[(&["a"], "one"), (&["b"], "two")], &[]);
    }

    #[test]
    fn a_zip_in_a_zip_lends_no_names() {
        let inner = pack(&[file("inner", b"x")]);
        let opened = opened(pack(&[file("a.zip", &inner)]), &Limits::default());
        assert_eq!(opened.members.len(), 1);
    }

    #[test]
    fn what_cannot_be_unpacked_is_flagged_and_still_named() {
        let secret = File { flags: 1, ..file("a.exe", b"x") };
        let secret = opened(pack(&[secret]), &Limits::default());
        assert_eq!(secret.members[0].names, ["a.exe"]);
        assert_eq!(secret.flags, [PartFlag::Encrypted]);
        let unknown = File { method: 97, ..file("a", b"x") };
        let unknown = opened(pack(&[unknown]), &Limits::default());
        assert_eq!(unknown.members[0].odd, [DefectCode::UnscannableMember]);
        assert_eq!(unknown.flags, [PartFlag::Unscannable]);
    }

    #[test]
    fn files_have_a_limit() {
        let data = pack(&[file("a", b"1"), file("b", b"2")]);
        let limits = |files| Limits { archive_files_max: files, ..Limits::default() };
        assert_eq!(opened(data.clone(), &limits(2)).odd, []);
        assert_eq!(opened(data, &limits(1)).odd, [DefectCode::TooManyFiles]);
    }

    proptest! {
        #[test]
        fn no_octets_make_it_fail(at in 0_usize..200, octets: Vec<u8>, cut in 0_usize..300) {
            let mut data = pack(&[file("a.txt", b"one"), File { method: 8, ..file("b", b"two") }]);
            for (index, octet) in octets.iter().enumerate() {
                if let Some(place) = data.get_mut(at + index) {
                    *place = *octet;
                }
            }
            data.truncate(cut);
            opened(data, &Limits::default());
        }
    }
}
