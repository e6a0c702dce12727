use proptest::prelude::*;

use super::*;
use crate::mime::container::{Container, try_open};
use crate::mime::{Limits, kind};

/// An image by genisoimage, with the names of ISO 9660, Joliet, Rock Ridge and UDF.
const IMAGE: &[u8] = include_bytes!("examples/joliet-rock-udf.iso.xz");

fn image() -> Vec<u8> {
    try_open(Container::Xz, IMAGE.to_vec(), None, &Limits::default())
        .members
        .remove(0)
        .data
        .to_vec()
}

fn opened(data: Vec<u8>) -> Opened {
    try_open(Container::Iso, data, None, &Limits::default())
}

/// Takes away what some readers look for.
fn hide(data: &mut [u8], sectors: std::ops::Range<usize>, mark: &[u8]) {
    for sector in sectors {
        let place = &mut data[sector * SECTOR_BYTES + 1..sector * SECTOR_BYTES + 6];
        if place == mark {
            place.fill(b'x');
        }
    }
}

fn check(data: Vec<u8>, want: &[(&[&str], &str)]) {
    let opened = opened(data);
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
    assert_eq!((opened.odd, opened.flags), (vec![], vec![]));
}

#[test]
fn a_file_is_given_once_with_its_names_in_all_trees() {
    assert_eq!(Container::among(&kind::detect(&image())), [Container::Iso]);
    check(
        image(),
        &[
            (&["A longer name.exe", "A_LONGER.EXE"], "one"),
            (&["Folder/deep/two.txt", "Folder/deep/TWO.TXT"], "two"),
        ],
    );
}

#[test]
fn each_kind_of_tree_is_read_alone() {
    let mut udf = image();
    hide(&mut udf, DESCRIPTORS, ISO_MARK);
    assert_eq!(Container::among(&kind::detect(&udf)), [Container::Iso]);
    check(udf.clone(), &[(&["A longer name.exe"], "one"), (&["Folder/deep/two.txt"], "two")]);
    // Only the supplementary descriptor, with what Joliet writes.
    let mut joliet = image();
    hide(&mut joliet, 16..17, ISO_MARK);
    hide(&mut joliet, DESCRIPTORS, b"NSR02");
    check(joliet, &[(&["A longer name.exe"], "one"), (&["Folder/deep/two.txt"], "two")]);
}

#[test]
fn a_cut_image_still_gives_its_names() {
    let mut data = image();
    let file = memchr::memmem::rfind(&data, b"two").unwrap();
    data.truncate(file);
    let opened = opened(data);
    assert_eq!(opened.members.len(), 2);
    assert!(opened.odd.contains(&DefectCode::BadArchive));
}

#[test]
fn a_folder_in_itself_ends() {
    let mut data = image();
    // Every folder's records point to the root.
    let root: [u8; 8] = data[16 * SECTOR_BYTES + 158..16 * SECTOR_BYTES + 166].try_into().unwrap();
    for at in 20 * SECTOR_BYTES..data.len() - 34 {
        if data[at] == 2 && data[at + 1..at + 8] == [0, 0, 1, 0, 0, 1, 1] {
            data[at - 23..at - 15].copy_from_slice(&root);
        }
    }
    opened(data);
}

#[test]
fn what_no_reader_here_knows_is_unscannable() {
    let mut data = image();
    data[1024..1026].copy_from_slice(b"H+");
    assert_eq!(opened(data).flags, [PartFlag::Unscannable]);
    let mut data = image();
    hide(&mut data, DESCRIPTORS, ISO_MARK);
    data[256 * SECTOR_BYTES..257 * SECTOR_BYTES].fill(0);
    let last = data.len() - SECTOR_BYTES;
    data[last..].fill(0);
    let opened = opened(data);
    assert_eq!(opened.flags, [PartFlag::Unscannable]);
    assert_eq!(opened.odd, [DefectCode::BadArchive]);
}

#[test]
fn files_have_a_limit() {
    let limits = |files| Limits { archive_files_max: files, ..Limits::default() };
    assert_eq!(try_open(Container::Iso, image(), None, &limits(2)).odd, []);
    let below = try_open(Container::Iso, image(), None, &limits(1));
    assert_eq!(below.odd, [DefectCode::TooManyFiles]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn no_octets_make_it_fail(places: Vec<(prop::sample::Index, u8)>, cut: prop::sample::Index) {
        let mut data = image();
        let used: Vec<usize> = (0..data.len()).filter(|at| data[*at] != 0).collect();
        for (place, octet) in places {
            data[used[place.index(used.len())]] = octet;
        }
        if cut.index(4) == 0 {
            data.truncate(cut.index(data.len()));
        }
        opened(data);
    }
}
