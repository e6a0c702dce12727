//! Whole messages, decoded.

use std::time::Instant;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::mail::{DefectCode, PartFlag, PartKind};

mod limits;
mod linear;
mod wrapped;

fn message(text: &str) -> Message {
    decode(Bytes::copy_from_slice(text.as_bytes()), &Limits::default())
}

fn paths(message: &Message) -> Vec<&str> {
    message.parts.iter().map(|part| part.path.as_str()).collect()
}

fn codes(message: &Message) -> Vec<DefectCode> {
    message.defects.iter().map(|defect| defect.code).collect()
}

fn contents(message: &Message) -> Vec<String> {
    let leaves = message.parts.iter().filter(|part| part.kind != PartKind::Multipart);
    leaves.map(|part| String::from_utf8_lossy(&part.data).into_owned()).collect()
}

const NESTED: &str = "Subject: x\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=o\n\n\
    --o\n\none\n--o\nContent-Type: message/rfc822\n\nA: b\nContent-Type: multipart/mixed; boundary=i\n\n\
    --i\n\ntwo\n--i\nContent-Type: text/html\n\n<a href=http://a.b>c</a>\n--i--\n\n--o--\n";

#[test]
fn parts_come_in_the_order_of_a_walk_with_their_paths() {
    for text in [NESTED.to_owned(), NESTED.replace('\n', "\r\n"), NESTED.replace('\n', "\r")] {
        let got = message(&text);
        assert_eq!(paths(&got), ["0", "1", "2", "2.0", "2.1", "2.2"], "{text:?}");
        assert_eq!(got.parts[4].text.as_deref(), Some("two"));
        assert_eq!(got.parts[3].parent, Some(2));
        assert_eq!(got.parts[5].depth, 3);
        assert_eq!(got.value("subject"), Some(&b" x"[..]));
        assert!(got.body_start > 0 && got.links[0].url == "http://a.b");
        assert_eq!(got.links[0].text.as_deref(), Some("c"));
    }
    assert_eq!(codes(&message(NESTED)), []);
}

#[test]
fn nothing_at_all_is_a_message_of_one_part() {
    for text in ["", "\r\n", "A: b", "just text\nand more\n", "\n\n\n"] {
        assert_eq!(paths(&message(text)), ["1"], "{text:?}");
    }
}

#[test]
fn a_message_that_is_attached_as_a_leaf_has_its_own_numbers() {
    let got = message("Content-Type: message/rfc822\n\nA: b\n\nhello");
    assert_eq!(paths(&got), ["1", "1.1"]);
    assert_eq!(got.parts[0].kind, PartKind::Message);
    assert_eq!(&got.parts[1].data[..], b"hello");
}

#[test]
fn what_needs_no_decoding_is_not_copied() {
    let raw = Bytes::from_static(b"A: b\r\n\r\nbody");
    let got = decode(raw.clone(), &Limits::default());
    assert_eq!(got.parts[0].data.as_ptr(), raw[8..].as_ptr());
}

#[test]
fn each_reading_of_what_is_ambiguous_is_decoded() {
    let got =
        message("Content-Transfer-Encoding: 7bit\nContent-Transfer-Encoding: base64\n\naGVsbG8=\n");
    assert_eq!(contents(&got), ["aGVsbG8=\n", "hello"]);
    assert_eq!(codes(&got), [DefectCode::DuplicateTransferEncoding]);

    let got = message(
        "Content-Type: multipart/mixed; boundary=a; boundary=b\n\n--a\n\n1\n--a--\n--b\n\n2\n--b--\n",
    );
    assert_eq!(contents(&got), ["1", "2"]);
    assert_eq!(codes(&got), [DefectCode::DuplicateBoundary]);

    let got = message(
        "Content-Type: text/plain\nContent-Type: multipart/mixed; boundary=a\n\n--a\n\n1\n--a--\n",
    );
    assert!(contents(&got).contains(&"1".to_owned()));
    assert_eq!(codes(&got), [DefectCode::DuplicateContentType]);
}

#[test]
fn every_name_is_a_candidate() {
    let table = [
        ("attachment; filename=\"a b.exe\"", "a b.exe"),
        ("attachment; filename=a b.exe", "a b.exe"),
        ("attachment; filename*=utf-8''x%2Eexe", "x.exe"),
        ("attachment; filename*0=\"a.\"; filename*1=\"exe\"", "a.exe"),
        ("attachment; filename=\"=?koi8-r?B?Zm90by5leGU=?=\"", "foto.exe"),
        ("attachment; filename=x.txt; filename=x.exe", "x.exe"),
    ];
    for (value, want) in table {
        let got = message(&format!("Content-Disposition: {value}\n\nx"));
        assert!(
            got.parts[0].names.iter().any(|name| name == want),
            "{value}: {:?}",
            got.parts[0].names
        );
        assert_eq!(got.parts[0].disposition.as_deref(), Some("attachment"));
    }
}

#[test]
fn files_in_a_text_become_parts() {
    let got = message("A: b\n\nhello\nbegin 644 x.bin\n#86)C\n`\nend\n");
    assert_eq!(paths(&got), ["1", "1/x.bin"]);
    assert_eq!(&got.parts[1].data[..], b"abc");
    assert!(got.parts[1].is(crate::mail::PartFlag::Embedded));
}

fn tower(levels: usize) -> String {
    (0..levels)
        .map(|n| format!("Content-Type: multipart/mixed; boundary=n{n}x\n\n--n{n}x\n"))
        .collect::<String>()
        + "\nx"
}

#[test]
fn depth_and_parts_have_limits_that_hold_exactly() {
    let deep = |levels| {
        let limits = Limits { depth_max: 3, ..Limits::default() };
        codes(&decode(tower(levels).into(), &limits)).contains(&DefectCode::TooDeep)
    };
    assert_eq!((deep(3), deep(4)), (false, true));
    let many = |parts_max| {
        let limits = Limits { parts_max, ..Limits::default() };
        let got = decode(NESTED.into(), &limits);
        (got.parts.len(), codes(&got).contains(&DefectCode::TooManyParts))
    };
    assert_eq!(many(6), (6, false));
    assert_eq!(many(5), (5, true));
}

#[test]
fn a_tower_of_50_000_multiparts_is_cut_at_the_limit() {
    let got = message(&tower(50_000));
    assert_eq!(got.parts.len(), 51);
    assert!(codes(&got).contains(&DefectCode::TooDeep));
}

#[test]
fn the_same_octets_under_another_name_are_opened_again() {
    let inner = "Content-Type: text/plain; name=inner.txt\n\nhello\n";
    let part = |name: &str| {
        format!("--b\nContent-Type: application/octet-stream; name={name}\n\n{inner}\n")
    };
    let mail = |names: &[&str]| {
        let parts: String = names.iter().map(|name| part(name)).collect();
        let got = message(&format!("Content-Type: multipart/mixed; boundary=b\n\n{parts}--b--\n"));
        got.parts.iter().filter(|part| part.names.iter().any(|name| name == "inner.txt")).count()
    };
    assert_eq!(mail(&["a.eml"]), 1);
    assert_eq!(mail(&["a.dat", "a.eml"]), mail(&["a.dat"]) + 1);
    assert_eq!(mail(&["a.eml", "a.eml"]), 1, "nothing new is in a copy");
}

#[test]
fn a_crowd_of_small_defects_hides_no_grave_one() {
    let junk = "--b\nContent-Type: a/b\nContent-Transfer-Encoding: base64\n\nQUJ!DR\n";
    let grave = "--b\nContent-Type: a/b\nContent-Type: c/d\n\nhi\n--b--\n";
    let head = "Content-Type: multipart/mixed; boundary=b\n\n";
    let got = message(&format!("{head}{}{grave}", junk.repeat(2_000)));
    assert!(codes(&got).contains(&DefectCode::DuplicateContentType));
    assert!(got.defects.len() < 1_100, "{}", got.defects.len());
}

#[test]
fn more_names_than_are_kept_are_a_limit() {
    let over = |count: usize| {
        let names: String = (0..count).map(|n| format!("; name=a{n}.txt")).collect();
        let got = message(&format!("Content-Type: a/b{names}\n\nhi\n"));
        codes(&got).contains(&DefectCode::TooManyParameters)
    };
    assert_eq!((over(64), over(65)), (false, true));
}

#[test]
fn a_multipart_without_any_delimiter_is_opened_as_the_file_it_is() {
    let zip =
        "PK\u{3}\u{4}\u{14}\0\0\0\0\0\0\0\0\0\0\0\0\0\u{2}\0\0\0\u{2}\0\0\0\u{5}\0\0\0a.exehi";
    let got = message(&format!("Content-Type: multipart/invalid; boundary=b\n\n{zip}"));
    assert!(got.parts.iter().any(|part| part.names == ["a.exe"]), "{:?}", paths(&got));
    let got = message("Content-Type: multipart/mixed\n\nbegin 644 b.exe\n#0V%T\n`\nend\n");
    assert!(got.parts.iter().any(|part| part.names == ["b.exe"]), "{:?}", paths(&got));
}

#[test]
fn what_is_packed_and_not_unpacked_here_is_said() {
    for data in [
        "(This file must be converted with BinHex 4.0)\n\n:#R*:",
        "=ybegin line=128 size=1\n",
        "xar!\0\u{1c}",
    ] {
        let got = message(&format!("Content-Type: application/octet-stream\n\n{data}"));
        assert!(got.parts[0].flags.contains(&crate::mail::PartFlag::Unscannable), "{data:?}");
    }
}

#[test]
fn what_stands_between_two_closing_delimiters_is_seen() {
    let got = message(
        "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nhi\n--b--\nContent-Type: a/b; name=x.exe\n\nhi\n--b--\n",
    );
    assert!(paths(&got).contains(&"0/epilogue/text"), "{:?}", paths(&got));
}

#[test]
fn prose_beside_a_pasted_header_is_no_broken_header() {
    let got =
        message("Subject: x\n\nyou wrote:\nContent-Type: text/plain\nno field at all\n\nhi\n");
    assert!(paths(&got).contains(&"1/text"), "{:?}", paths(&got));
    assert!(!codes(&got).contains(&DefectCode::HeaderLineWithoutColon));
    let got = message("Subject: x\nno field at all\nContent-Type: text/plain\n\nhi\n");
    assert!(codes(&got).contains(&DefectCode::HeaderLineWithoutColon));
}

#[test]
fn a_form_feed_behind_the_delimiter_hides_no_part() {
    let got = message(
        "Content-Type: multipart/mixed; boundary=b\n\n--b\x0c\nContent-Type: a/b; name=x.exe\n\nhi\n--b--\n",
    );
    assert!(got.parts.iter().any(|part| part.names == ["x.exe"]), "{:?}", paths(&got));
}

#[test]
fn more_uuencoded_files_than_are_taken_out_are_a_limit() {
    let file = "begin 644 a.txt\n#0V%T\n`\nend\n";
    let over = |count: usize| {
        codes(&message(&format!("\n{}", file.repeat(count)))).contains(&DefectCode::TooManyFiles)
    };
    assert_eq!((over(100), over(101)), (false, true));
}

#[test]
fn all_files_of_a_uuencoded_part_are_seen() {
    let file = |name: &str| format!("begin 644 {name}\n#0V%T\n`\nend\n");
    let got = message(&format!(
        "Content-Type: application/octet-stream\nContent-Transfer-Encoding: x-uuencode\n\n{}{}",
        file("a.txt"),
        file("b.exe")
    ));
    let names: Vec<_> = got.parts.iter().flat_map(|part| part.names.clone()).collect();
    assert_eq!(names, ["a.txt", "b.exe"]);
}

#[test]
fn readings_in_readings_end() {
    let body: String = (0..40)
        .map(|n| {
            format!(
                "Content-Type: multipart/mixed; boundary=a{n}; boundary=b{n}\n\n--a{n}\n--b{n}\n"
            )
        })
        .collect();
    assert!(message(&body).parts.len() <= Limits::default().parts_max);
}

#[test]
fn when_the_time_is_over_the_rest_is_left_and_said() {
    let limits = Limits { deadline: Some(Instant::now()), ..Limits::default() };
    let got = decode(NESTED.into(), &limits);
    assert_eq!(paths(&got), ["0"]);
    assert!(codes(&got).contains(&DefectCode::DeadlineOver));
    assert!(!DefectCode::DeadlineOver.is_limit());
}

#[test]
fn the_digest_is_that_of_the_data_even_of_none() {
    use sha2::{Digest as _, Sha256};
    for part in &message(NESTED).parts {
        assert_eq!(part.sha256, <[u8; 32]>::from(Sha256::digest(&part.data)), "{}", part.path);
    }
}

proptest! {
    #[test]
    fn no_octets_make_it_fail(raw: Vec<u8>) {
        prop_assert!(!decode(raw.into(), &Limits::default()).parts.is_empty());
    }

    #[test]
    fn no_message_makes_it_fail(
        text in "(Content-Type: |Content-Transfer-Encoding: |Content-Disposition: |multipart/mixed|\
            message/rfc822|text/html|; boundary=|; filename=|a|--a|--a--|base64|quoted-printable|\
            uue|\n|\r\n|\n\n|=|begin 644 x\n|<a href=|>|\\(|\"|PK\x03\x04|é| ){0,80}"
    ) {
        let got = message(&text);
        prop_assert!(!got.parts.is_empty());
        for (index, part) in got.parts.iter().enumerate() {
            prop_assert!(part.parent.is_none_or(|parent| parent < index));
            prop_assert!(part.headers.iter().all(|f| f.field.end <= part.header_octets.len()));
        }
    }
}

/// A zip whose members are stored.
fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    let long = |value: usize| u32::try_from(value).unwrap().to_le_bytes();
    for (name, data) in members {
        let length = u16::try_from(name.len()).unwrap().to_le_bytes();
        let common = [
            &[20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..],
            &long(data.len()),
            &long(data.len()),
            &length,
            &[0; 2],
        ]
        .concat();
        directory.extend(
            [b"PK\x01\x02\x14\0", &common[..], &[0; 10], &long(out.len()), name.as_bytes()]
                .concat(),
        );
        out.extend([b"PK\x03\x04", &common[..], name.as_bytes(), data].concat());
    }
    let count = u16::try_from(members.len()).unwrap().to_le_bytes();
    let end = [
        b"PK\x05\x06\0\0\0\0",
        &count[..],
        &count,
        &long(directory.len()),
        &long(out.len()),
        &[0; 2],
    ];
    [out, directory, end.concat()].concat()
}

#[test]
fn a_document_has_what_the_documents_in_it_have() {
    let project = container::sample_project(b"Attribute VB_Name = \"x\"\r\nSub AutoOpen()\r\n");
    let docm = zip(&[("[Content_Types].xml", b"<Types/>"), ("word/vbaProject.bin", &project)]);
    let packed = zip(&[("a.docm", &docm)]);
    let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, packed);
    let part = format!(
        "--o\nContent-Transfer-Encoding: base64\nContent-Type: application/zip; name=a.zip\n\n{base64}\n"
    );
    let text = format!(
        "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=o\n\n{part}{part}--o--\n"
    );
    let got = message(&text);
    let flags = |path: &str| {
        let mut flags = got.parts.iter().find(|part| part.path == path).unwrap().flags.clone();
        flags.sort_unstable();
        flags
    };
    let runs = [PartFlag::Macro, PartFlag::AutoRun];
    assert_eq!(flags("1/a.docm/word/vbaProject.bin"), runs);
    assert_eq!(flags("1/a.docm"), runs);
    assert_eq!(flags("1"), [], "an archive is no document");
    let members: Vec<&str> = paths(&got).into_iter().filter(|path| path.contains(".bas")).collect();
    assert_eq!(members, ["1/a.docm/word/vbaProject.bin/VBA/x.bas"]);
    let kinds: Vec<&str> = got.parts[2].types.iter().map(|kind| kind.short).collect();
    assert_eq!(kinds, ["docx", "zip"]);
}
