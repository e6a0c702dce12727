//! Zips as they come, made by hand and by tools.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use proptest::prelude::*;

use super::header::LOCAL;
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
        &b"PK\x05\x06"[..],
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

/// Puts octets over those at a place of the first entry of the directory, or of the first local header.
fn patched(mut data: Vec<u8>, mark: &[u8], at: usize, octets: &[u8]) -> Vec<u8> {
    let place = memmem::find(&data, mark).unwrap() + at;
    data[place..place + octets.len()].copy_from_slice(octets);
    data
}

fn contents(opened: &Opened) -> Vec<String> {
    opened.members.iter().map(|m| String::from_utf8_lossy(&m.data).into_owned()).collect()
}

#[test]
fn where_the_headers_disagree_every_reading_is_unpacked() {
    let deflated = || pack(&[File { method: 8, ..file("a", b"hello hello hello") }]);
    let as_is = opened(patched(deflated(), CENTRAL, 10, &[0, 0]), &Limits::default());
    // Stored, it has two lengths.
    assert_eq!(contents(&as_is).len(), 3);
    assert!(contents(&as_is).contains(&"hello hello hello".to_owned()));
    assert_eq!(as_is.odd, [DefectCode::ArchiveNamesDisagree]);
    // Encrypted, says one of them.
    for mark in [CENTRAL, LOCAL] {
        let at = if mark == CENTRAL { 8 } else { 6 };
        let secret = opened(patched(deflated(), mark, at, &[1, 0]), &Limits::default());
        assert!(contents(&secret).contains(&"hello hello hello".to_owned()), "{mark:?}");
        assert!(secret.members.iter().any(|member| member.odd == [DefectCode::Encrypted]));
        assert!(secret.odd.contains(&DefectCode::ArchiveNamesDisagree));
    }
    // Two lengths of what is stored.
    let short = patched(pack(&[file("a", b"0123456789")]), CENTRAL, 20, &[4, 0, 0, 0]);
    let short = opened(short, &Limits::default());
    assert_eq!(contents(&short), ["0123456789", "0123"]);
    assert_eq!(short.odd, [DefectCode::ArchiveNamesDisagree]);
}

#[test]
fn a_lie_about_its_size_hides_no_member() {
    let deflated = |name| File { method: 8, ..file(name, b"hello hello hello") };
    let one = pack(&[deflated("a")]);
    let two = pack(&[deflated("b")]);
    let zip = [one, two].concat();
    let cut = zip.len() - 70;
    // A stored one, without a checksum.
    let stored = pack(&[file("c", b"hello")]);
    let stored = patched(stored[..36].to_vec(), LOCAL, 18, &[0xff, 0xff, 0, 0]);
    let got = opened([&stored[..], &zip[..cut]].concat(), &Limits::default());
    assert!(got.members.iter().any(|member| member.names == ["b"]), "{:?}", got.members);
    // No directory, and a first member that claims all the rest.
    let data = patched(zip[..cut].to_vec(), LOCAL, 18, &[0xff, 0xff, 0, 0]);
    let got = opened(data, &Limits::default());
    assert_eq!(got.members.iter().flat_map(|m| m.names.clone()).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn names_that_lead_elsewhere_or_end_early_are_said() {
    for (name, want) in [
        ("../a.txt", DefectCode::UnsafePath),
        ("/a.txt", DefectCode::UnsafePath),
        ("c:\\a.txt", DefectCode::UnsafePath),
    ] {
        let got = opened(pack(&[file(name, b"x")]), &Limits::default());
        assert_eq!((&got.members[0].odd[..], &got.odd[..]), (&[want][..], &[][..]), "{name}");
    }
    check(pack(&[file("a\\b.txt", b"x")]), &[(&["a\\b.txt"], "x")], &[]);
    let nul = opened(pack(&[file("a.exe\0.txt", b"x")]), &Limits::default());
    assert_eq!(nul.odd, [DefectCode::ArchiveNamesDisagree]);
}

#[test]
fn a_name_outside_of_ascii_is_read_in_both_code_pages() {
    let mut data = pack(&[file("?.exe", b"x")]);
    for at in memmem::find_iter(&data.clone(), b"?.exe") {
        data[at] = 0x84;
    }
    check(data, &[(&["„.exe", "ä.exe"], "x")], &[]);
}

#[test]
fn a_wrong_checksum_is_said_and_the_content_given() {
    let data = patched(pack(&[file("a", b"x")]), LOCAL, 14, &[1, 2, 3, 4]);
    let got = opened(data, &Limits::default());
    assert_eq!(contents(&got), ["x"]);
    assert_eq!(got.members[0].odd, [DefectCode::BadArchive]);
}

#[test]
fn a_folder_or_a_nameless_member_with_content_is_given() {
    let mut crc = Crc::new();
    crc.update(b"x");
    let crc = crc.sum().to_le_bytes();
    check(pack(&[file("d/", b"")]), &[], &[]);
    check(pack(&[file("d/", b"x")]), &[(&["d/"], "x")], &[]);
    let nameless = patched(pack(&[file("", b"x")]), LOCAL, 14, &crc);
    let at = memmem::find(&nameless, CENTRAL).unwrap();
    check(nameless[..at].to_vec(), &[(&[], "x")], &[DefectCode::BadArchive]);
    // Its size only stands behind it.
    let header = [LOCAL, &[20, 0, 8, 0], &[0; 18], &[2, 0, 0, 0], b"d/x"].concat();
    let behind = [DESCRIPTOR, &crc, &long(1), &long(1)].concat();
    check([header, behind].concat(), &[(&["d/"], "x")], &[DefectCode::BadArchive]);
}

#[test]
fn what_only_looks_like_a_header_is_none() {
    let stub = [LOCAL, &[0xff; 22], &[4, 0, 0, 0], b"\x01\x02\x03\x04"].concat();
    let data = [stub, pack(&[file("a", b"x")])].concat();
    check(data, &[(&["a"], "x")], &[]);
}

#[test]
fn a_stored_member_without_directory_ends_where_its_size_stands() {
    let header = |name: &str| {
        [LOCAL, &[20, 0, 8, 0], &[0; 18], &short(name.len()), &[0; 2], name.as_bytes()].concat()
    };
    let sizes = [&[9; 4][..], &long(5), &long(5)].concat();
    let marked = [DESCRIPTOR, &sizes].concat();
    for behind in [marked, sizes] {
        let one = [&header("a")[..], b"hello", &behind].concat();
        let data = [&one[..], &header("b"), b"world", &behind].concat();
        let got = opened(data, &Limits::default());
        assert_eq!(contents(&got), ["hello", "world"]);
    }
}

/// Members each of which holds all that follow (Fifield 2019).
fn quoted(count: usize, kernel: usize) -> Vec<u8> {
    let header = 30 + 4;
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for number in 0..count {
        let size = (count - number - 1) * header + kernel;
        let name = format!("{number:04}");
        let common = [&short(20)[..], &[0; 4], &[0; 4], &[7; 4], &long(size), &long(size)].concat();
        directory.extend(
            [CENTRAL, &[20, 0], &common, &short(4), &[0; 12], &long(out.len()), name.as_bytes()]
                .concat(),
        );
        out.extend([LOCAL, &common, &short(4), &[0; 2], name.as_bytes()].concat());
    }
    out.extend(vec![b'k'; kernel]);
    let end = [&b"PK\x05\x06"[..], &[0; 4], &short(count), &short(count)].concat();
    let end = [end, long(directory.len()).to_vec(), long(out.len()).to_vec(), vec![0; 2]].concat();
    [out, directory, end].concat()
}

#[test]
fn members_that_share_octets_are_said_and_not_gone_through_again_and_again() {
    let limits = Limits { archive_expanded_bytes_max: u64::MAX, ..Limits::default() };
    let got = opened(quoted(1000, 1 << 20), &limits);
    assert_eq!(got.members.len(), 1000);
    assert!(got.odd.contains(&DefectCode::OverlappingMembers), "{:?}", got.odd);
    let given: usize = got.members.iter().map(|member| member.data.len()).sum();
    assert!(given < 8 << 20, "{given}");
    assert!(got.members[999].flags.contains(&PartFlag::Unscannable));
    // The same header under two names.
    let data = pack(&[file("a", b"1"), file("b", b"2")]);
    let second = memmem::rfind(&data, CENTRAL).unwrap();
    let mut same = data.clone();
    same[second + 42..second + 46].copy_from_slice(&[0; 4]);
    let same = opened(same, &Limits::default());
    assert!(same.members.iter().any(|member| member.names.contains(&"b".to_owned())));
    assert!(same.odd.contains(&DefectCode::OverlappingMembers));
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
