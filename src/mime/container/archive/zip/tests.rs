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
