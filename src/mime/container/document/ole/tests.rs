//! Whole files, made by the writers beside the readers.

use proptest::prelude::*;

use super::*;
use crate::mime::Limits;
use crate::mime::container::{Container, try_open};

const SOURCE: &[u8] =
    b"Attribute VB_Name = \"Module1\"\r\nSub AutoOpen()\r\nX \"http://a.b/x.exe\"\r\n";

fn opened(streams: &[(&str, &[u8])]) -> Opened {
    opened_raw(compound::writer::pack(streams, [0; 16]))
}

fn opened_raw(data: Vec<u8>) -> Opened {
    try_open(Container::Ole, data, Some("a.doc"), &Limits::default())
}

fn names(opened: &Opened) -> Vec<&str> {
    opened.members.iter().flat_map(|member| &member.names).map(String::as_str).collect()
}

/// A project with one module, the compiled code before its source.
fn project(source: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let compiled = b"compiled";
    let module = [&compiled[..], &vba::writer::pack(source)].concat();
    (vba::writer::dir("Module1", u32::try_from(compiled.len()).unwrap()), module)
}

#[test]
fn modules_are_given_as_text() {
    let (dir, module) = project(SOURCE);
    let opened = opened(&[
        ("Macros/VBA/dir", &dir),
        ("Macros/VBA/Module1", &module),
        ("Macros/VBA/_VBA_PROJECT", b"\xcc\x61"),
        ("WordDocument", &[0xec; 5000]),
    ]);
    assert_eq!(opened.flags, [PartFlag::Macro, PartFlag::AutoRun]);
    assert_eq!(names(&opened), ["VBA/Module1.bas"]);
    assert_eq!(&opened.members[0].data[..], SOURCE);
    assert_eq!(opened.links, [("http://a.b/x.exe".to_owned(), None)]);
    assert_eq!(opened.odd, []);
}

#[test]
fn modules_are_found_without_their_directory() {
    let (_, module) = project(SOURCE);
    let (dir, _) = project(SOURCE);
    // A name that `dir` does not know, a `dir` that cannot be unpacked, and no directory at all.
    assert_eq!(names(&opened(&[("VBA/dir", &dir), ("VBA/Other", &module)])), ["VBA/Other.bas"]);
    assert_eq!(names(&opened(&[("VBA/dir", b"?"), ("VBA/Other", &module)])), ["VBA/Other.bas"]);
    let mut data = compound::writer::pack(&[("VBA/dir", &dir), ("VBA/Module1", &module)], [0; 16]);
    data[44..512].fill(0xff);
    let at = memmem::find(&data, b"R\0o\0o\0t\0").unwrap();
    data[at..at + 512].fill(0);
    let loose = opened_raw(data);
    assert_eq!(names(&loose), ["VBA/found1.bas"]);
    assert!(
        loose.flags.contains(&PartFlag::AutoRun) && loose.odd.contains(&DefectCode::BadArchive)
    );
}

#[test]
fn compiled_code_without_its_source_is_seen() {
    let (dir, mut module) = project(b"Attribute VB_Name = \"Module1\"\r\n");
    module.extend(b"\0\x09AutoOpen\0");
    let opened = opened(&[("VBA/dir", &dir), ("VBA/Module1", &module)]);
    assert!(opened.flags.contains(&PartFlag::AutoRun));
}

#[test]
fn dropped_files_are_taken_out() {
    let package = native::pack("a.exe", "C:\\a.exe", b"MZ");
    let size = u32::try_from(package.len()).unwrap().to_le_bytes();
    let stream = [&size[..], &package].concat();
    let opened = opened(&[
        ("ObjectPool/_1234/\u{1}Ole10Native", &stream),
        ("MBD0001/Package", b"PK\x03\x04..."),
        ("MBD0002/CONTENTS", b"%PDF-1.4"),
        ("Text", b"plain"),
    ]);
    assert_eq!(opened.flags, [PartFlag::Object]);
    assert_eq!(names(&opened), ["a.exe", "C:\\a.exe", "C:\\Temp\\a.exe"]);
    let data: Vec<&[u8]> = opened.members.iter().map(|member| &member.data[..]).collect();
    assert_eq!(data, [&b"MZ"[..], b"PK\x03\x04...", b"%PDF-1.4"]);
}

#[test]
fn a_link_to_elsewhere_is_seen() {
    let url: Vec<u8> = "http://a.b/x.hta\0".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let length = u32::try_from(url.len()).unwrap().to_le_bytes();
    let stream = [b"\x01\0\0\x02", URL_MONIKER, &length, &url].concat();
    let opened = opened(&[("\u{1}Ole", &stream)]);
    assert_eq!(opened.flags, [PartFlag::Remote]);
    assert_eq!(opened.links, [("http://a.b/x.hta".to_owned(), None)]);
}

#[test]
fn what_needs_a_password_is_said() {
    let encrypted = |streams| {
        let opened = opened(streams);
        assert_eq!(opened.flags, [PartFlag::Encrypted]);
        assert_eq!(opened.odd, [DefectCode::Encrypted]);
    };
    encrypted(&[("EncryptionInfo", b"x"), ("EncryptedPackage", b"y")]);
    encrypted(&[("WordDocument", b"\xec\xa5\xc1\0\0\0\0\0\0\0\0\x01")]);
    encrypted(&[("Current User", b"\0\0\xf6\x0f\x14\0\0\0\x14\0\0\0\xdf\xc4\xd1\xf3")]);
    let pass = b"\x09\x08\x04\0\0\x06\x05\0\x2f\0\x06\0\x01\0\x01\0\x01\0";
    encrypted(&[("Workbook", pass)]);
}

#[test]
fn fields_of_word_are_seen() {
    let field = b"\xec\xa5\xc1\0\0\0\0\0\0\0\0\0 \x13 DDEAUTO c:\\\\x.exe \x14 \x15";
    assert_eq!(opened(&[("WordDocument", field)]).flags, [PartFlag::Launch]);
    let wide: Vec<u8> =
        " HYPERLINK \"http://a.b/\" ".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let field = [b"\xec\xa5\x13\0", &wide[..], b"\x14\0"].concat();
    assert_eq!(opened(&[("WordDocument", &field)]).links.len(), 1);
}

#[test]
fn attachments_of_messages_have_their_names() {
    let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let opened = opened(&[
        ("__properties_version1.0", b"x"),
        ("__substg1.0_1000001F", &wide("see http://a.b/c")),
        ("__attach_version1.0_#00000000/__substg1.0_37010102", b"MZ"),
        ("__attach_version1.0_#00000000/__substg1.0_3707001F", &wide("setup.exe")),
        ("__attach_version1.0_#00000000/__substg1.0_3704001E", b"SETUP~1.EXE"),
        ("__attach_version1.0_#00000001/__substg1.0_3701000D/__substg1.0_1000001E", b"inner"),
    ]);
    let member = |name: &str| {
        let found = opened.members.iter().find(|member| member.names.iter().any(|n| n == name));
        found.unwrap()
    };
    assert_eq!(&member("setup.exe").data[..], b"MZ");
    assert_eq!(member("setup.exe").names, ["setup.exe", "SETUP~1.EXE"]);
    assert_eq!(&member("body.txt").data[..], b"see http://a.b/c");
    assert!(opened.members.iter().any(|member| &member.data[..] == b"inner"));
    assert_eq!(opened.links.len(), 1);
    assert_eq!(opened.flags, []);
}

#[test]
fn cabinets_of_installers_are_given() {
    let packed = installer::tests::packed_name("disk1.cab");
    let table = "\u{4840}x".to_owned();
    let opened = opened(&[(&packed, b"MSCF"), (&table, b"table")]);
    assert_eq!(names(&opened), ["disk1.cab"]);
    assert_eq!(opened.flags, []);
}

#[test]
fn members_have_a_limit() {
    let streams: Vec<(String, Vec<u8>)> =
        (0..10).map(|n| (format!("MBD{n}/Package"), b"PK\x03\x04".to_vec())).collect();
    let streams: Vec<(&str, &[u8])> = streams.iter().map(|(n, d)| (n.as_str(), &d[..])).collect();
    let data = compound::writer::pack(&streams, [0; 16]);
    let limits = |files| Limits { archive_files_max: files, ..Limits::default() };
    let count = |files| try_open(Container::Ole, data.clone(), None, &limits(files));
    assert_eq!((count(10).members.len(), count(10).odd), (10, vec![]));
    assert_eq!((count(9).members.len(), count(9).odd), (9, vec![DefectCode::TooManyFiles]));
}

proptest! {
    #[test]
    fn no_octets_make_it_fail(changes in proptest::collection::vec((0_usize..4000, any::<u8>()), 0..40), cut in 0_usize..6000) {
        let (dir, module) = project(SOURCE);
        let native = [&[9, 0, 0, 0][..], &native::pack("a", "b", b"c")].concat();
        let long = [7; 5000];
        let mut data = compound::writer::pack(&[
            ("VBA/dir", &dir),
            ("VBA/Module1", &module),
            ("\u{1}Ole10Native", &native),
            ("Workbook", b"\x09\x08\x04\0\0\x06\x05\0\x2f\0\x06\0\0\0\x01\0\x01\0"),
            ("EncryptionInfo", b"\x04\0\x04\0\x40\0\0\0<keyData/><encryptedKey/>"),
            ("EncryptedPackage", b"y"),
            ("PowerPoint Document", b"\0\0\x11\x10\x04\0\0\0abcd"),
            ("long", &long),
            ("__substg1.0_10090102", b"\0\0\0\0\0\0\0\0LZFu\0\0\0\0abc"),
        ], [0; 16]);
        for (at, octet) in changes {
            if let Some(place) = data.get_mut(at) {
                *place = octet;
            }
        }
        data.truncate(cut);
        opened_raw(data);
    }
}
