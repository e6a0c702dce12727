//! Objects in every hiding place, fields, templates.

use proptest::prelude::*;

use super::*;
use crate::mime::Limits;
use crate::mime::container::document::ole::native;
use crate::mime::container::{Container, try_open};

fn opened(data: &[u8]) -> Opened {
    try_open(Container::Rtf, data.to_vec(), None, &Limits::default())
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// An object as OLE 1 writes it.
fn object(format: u32, class: &str, topic: &str, native: &[u8]) -> Vec<u8> {
    let text = |text: &str| match text {
        "" => vec![0; 4],
        _ => {
            let length = u32::try_from(text.len() + 1).unwrap().to_le_bytes();
            [&length[..], text.as_bytes(), &[0]].concat()
        }
    };
    [
        &[1, 5, 0, 0][..],
        &format.to_le_bytes(),
        &text(class),
        &text(topic),
        &text(""),
        &u32::try_from(native.len()).unwrap().to_le_bytes(),
        native,
    ]
    .concat()
}

fn check(rtf: &str, want: &[u8]) {
    let opened = opened(rtf.as_bytes());
    let found: Vec<&[u8]> = opened.members.iter().map(|member| &member.data[..]).collect();
    assert!(found.contains(&want), "{rtf} {found:?}");
    assert!(opened.flags.contains(&PartFlag::Object), "{rtf}");
}

#[test]
fn a_package_is_taken_out_with_its_names() {
    let data = object(2, "Package", "", &native::pack("a.exe", "C:\\a.exe", b"MZ"));
    let rtf = format!(
        "{{\\rtf1{{\\object\\objemb{{\\*\\objclass Package}}{{\\*\\objdata {}}}}}}}",
        hex(&data)
    );
    let opened = opened(rtf.as_bytes());
    assert_eq!(opened.flags, [PartFlag::Object]);
    assert_eq!(opened.members.len(), 1);
    assert_eq!(opened.members[0].names, ["a.exe", "C:\\a.exe", "C:\\Temp\\a.exe"]);
    assert_eq!(&opened.members[0].data[..], b"MZ");
}

#[test]
fn digits_are_found_whatever_stands_between_them() {
    let storage = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 and so on";
    let digits = hex(&object(2, "x", "", storage));
    let (first, rest) = digits.split_at(11);
    for between in [
        "",
        " \r\n\t",
        "\\par ",
        "{\\*\\foo 4142}",
        "{}",
        "{\\author 4142}",
        "\\u-4242 ?",
        "\\'41",
        "}{",
    ] {
        let rest = match between {
            // The half of an octet before it is dropped, so that the digit must come once more.
            "\\'41" => format!("\\'41{}{rest}", digits.get(10..11).unwrap()),
            "\\u-4242 ?" => format!("\\xx-4242 {rest}"),
            "}{" => continue,
            _ => format!("{between}{rest}"),
        };
        check(&format!("{{\\rt{{\\object\\objdata {first}{rest}}}"), storage);
    }
    let octets = object(2, "x", "", storage);
    let binary = format!("\\bin000{} ", octets.len());
    let rtf = [b"{\\rtf1{\\*\\objdata ", binary.as_bytes(), &octets, b"}}"].concat();
    assert_eq!(&opened(&rtf).members[0].data[..], storage);
}

#[test]
fn where_readers_differ_both_readings_are_given() {
    let rtf = "{\\rtf1{\\*\\objdata 4d5a{\\*\\foo 0102}0304}}";
    let found: Vec<Vec<u8>> =
        opened(rtf.as_bytes()).members.iter().map(|m| m.data.to_vec()).collect();
    assert_eq!(found, [b"MZ\x03\x04".to_vec(), b"MZ\x01\x02\x03\x04".to_vec()]);
}

#[test]
fn links_and_templates_are_seen() {
    let remote = |rtf: &str, url: &str| {
        let opened = opened(rtf.as_bytes());
        assert!(opened.flags.contains(&PartFlag::Remote), "{rtf}");
        assert_eq!(opened.links, [(url.to_owned(), None)], "{rtf}");
    };
    remote("{\\rtf1{\\*\\template http://a.b/x.dotm}}", "http://a.b/x.dotm");
    remote("{\\rtf1{\\*\\template http://a.\\u98 ?/x}}", "http://a.b/x");
    remote("{\\rtf1{\\*\\template \\'68ttp://a.b/x}}", "http://a.b/x");
    remote(
        "{\\rtf1{\\field{\\*\\fldinst{INCLUDEPICTURE \"http://a.b/c\" \\\\d}}}}",
        "http://a.b/c",
    );
    let link = hex(&object(1, "x", "http://a.b/x.hta", b""));
    remote(
        &format!("{{\\rtf1{{\\object\\objautlink{{\\*\\objdata {link}}}}}}}"),
        "http://a.b/x.hta",
    );
    let clicked = opened(b"{\\rtf1{\\field{\\*\\fldinst HYPERLINK \"http://a.b/\"}{\\fldrslt x}}}");
    assert_eq!((clicked.flags, clicked.links.len()), (vec![], 1));
    let dde = opened(b"{\\rtf1{\\field{\\*\\fldinst{DDE}{AUTO} c:\\\\\\\\x.exe}}}");
    assert_eq!(dde.flags, [PartFlag::Launch]);
}

#[test]
fn what_is_hung_on_is_given() {
    let tail = opened(b"{\\rtf1 text}\r\nMZ and then a program");
    assert_eq!(&tail.members[0].data[..], b"\r\nMZ and then a program");
    assert_eq!(opened(b"{\\rtf1 text}\r\n\0\0").members.len(), 0);
}

#[test]
fn a_deep_nest_ends() {
    let deep = [b"{\\rtf1".to_vec(), b"{".repeat(100_000), b"}".repeat(100_001)].concat();
    assert_eq!(opened(&deep).members.len(), 0);
}

proptest! {
    #[test]
    fn no_octets_make_it_fail(text in "[{}\\\\*'a-f0-9 ]{0,80}", tail: Vec<u8>) {
        opened(&[b"{\\rtf1{\\object{\\*\\objdata 0105000002000000", text.as_bytes(), &tail].concat());
        opened(&[b"{\\rtf1{\\*\\fldinst \\u-1 \\bin-9 \\bin99999999999999999999 ", text.as_bytes(), &tail].concat());
    }
}
