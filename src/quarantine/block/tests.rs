use proptest::prelude::*;

use super::*;
use crate::filters::Score;
use crate::mail::Path;
use crate::quarantine::tests::{entry, path};
use crate::quarantine::{Class, NewEntry};

fn file(entry: &NewEntry) -> Vec<u8> {
    let ends = LineEnds::of(&entry.raw);
    let mut file = write(entry, 1_700_000_000_000, ends);
    match ends {
        LineEnds::AsIs => file.extend_from_slice(&entry.raw),
        LineEnds::Lf => file.extend(entry.raw.iter().filter(|b| **b != b'\r')),
    }
    file
}

const AMAVIS: &str = "\
Return-Path: <bounce@example.com>
Delivered-To: spam-quarantine
X-Envelope-From: <bounce@example.com>
X-Envelope-To: <a@example.org>,
    <\"b>, c\"@example.org>
X-Envelope-To-Blocked: <a@example.org>
X-Quarantine-ID: <7vykgLjHGVrk>
X-Spam-Flag: YES
X-Spam-Score: 16.685
X-Spam-Status: Yes, score=16.685 tag=2 tag2=6.31 kill=6.31
\ttests=[A=1, B=15.685] autolearn=no
Received: from mx.example.org ([127.0.0.1])
\tby localhost (mx.example.org [127.0.0.1]) (amavisd-new, port 10024)
\twith ESMTP id 7vykgLjHGVrk for <a@example.org>; Thu, 9 Nov 2017 15:59:52 +0100
From: x@example.com
Subject: hello

body
";

#[test]
fn a_file_of_amavis_is_taken_apart_behind_the_fields_known_by_name() {
    let parts = read(AMAVIS.as_bytes());
    assert_eq!(parts.fields.id.as_deref(), Some("7vykgLjHGVrk"));
    assert_eq!(parts.fields.sender, path("bounce@example.com"));
    let want = vec![path("a@example.org"), path("\"b>, c\"@example.org")];
    assert_eq!(parts.fields.all_recipients, want);
    assert_eq!(parts.fields.held, vec![path("a@example.org")]);
    assert_eq!(parts.fields.score.as_deref(), Some("16.685"));
    assert!(parts.fields.stored.is_none());
    let (_, original) = AMAVIS.split_at(AMAVIS.find("Received").unwrap());
    assert_eq!(parts.raw.as_ref(), original.replace('\n', "\r\n").as_bytes());
}

#[test]
fn the_block_looks_like_that_of_amavis() {
    let mut entry = entry(b"Subject: x\r\n\r\nbody\r\n");
    entry.class = Class::Spam;
    entry.all_recipients = vec![path("a@example.org"), path("b@example.org")];
    entry.recipients = vec![path("b@example.org")];
    entry.header_lines = vec!["X-Spam-Status: Yes, score=9\n\ttests=[A=9]".to_owned()];
    entry.score = Some(Score(8500));
    let text = String::from_utf8(file(&entry)).unwrap();
    let id = entry.id.as_str();
    let want = format!(
        "Return-Path: <from@example.com>\nDelivered-To: spam-quarantine\n\
         X-Envelope-From: <from@example.com>\nX-Envelope-To: <a@example.org>,\n <b@example.org>\n\
         X-Envelope-To-Blocked: <b@example.org>\nX-Quarantine-ID: <{id}>\n\
         X-Spam-Status: Yes, score=9\n tests=[A=9]\n\
         X-Tamis-Stored: {id} octets=20 time=1700000000000 class=spam verdict=spam score=8.5\n\
         Subject: x\n\nbody\n"
    );
    assert_eq!(text, want);
}

#[test]
fn a_message_that_brings_a_block_along_does_not_move_the_border() {
    let inner = file(&entry(b"Subject: inner\r\n\r\n"));
    let texts: [&[u8]; 8] = [
        b"",
        b"\r\n",
        b"\r\n\r\nbody",
        b" continuation first\r\nX-Spam-Flag: YES\r\n\r\n",
        b"X-Quarantine-ID: <aaaaaaaaaaaa>\r\nX-Tamis-Stored: aaaaaaaaaaaa octets=0\r\n\r\nbody\r\n",
        b"X-Envelope-To: <evil@example.com>\nbare LF\r\n",
        b"bare CR\rand\0NUL\xff",
        &inner,
    ];
    for raw in texts {
        let entry = entry(raw);
        let file = file(&entry);
        let parts = read(&file);
        assert_eq!(parts.raw.as_ref(), raw, "{:?}", String::from_utf8_lossy(raw));
        assert_eq!(parts.fields.id.as_deref(), Some(entry.id.as_str()));
        assert_eq!(parts.fields.held, entry.recipients);
    }
}

#[test]
fn a_stranger_cannot_add_a_line_or_end_the_header() {
    let mut entry = entry(b"Subject: x\r\n\r\n");
    entry.helo = Some("x\r\nX-Evil: 1\r\n\r\nbody".to_owned());
    entry.verdict = "spam score=-99".to_owned();
    entry.sender.address = "a\r\nX-Evil: 1\r\n\r\n@b".to_owned();
    entry.header_lines = vec![
        "X-Amavis-Alert: a\r\nX-Evil: 1\r\n\r\nbody\0".to_owned(),
        "X-Quarantine-ID: <aaaaaaaaaaaa>".to_owned(),
        "no field".to_owned(),
        "\r\nX-Evil: 1".to_owned(),
    ];
    let text = String::from_utf8(file(&entry)).unwrap();
    let (block, _) = text.split_at(text.find("Subject: x").unwrap());
    assert!(!block.contains("\n\n") && !block.contains('\0') && !block.contains('\r'), "{block}");
    assert!(!block.contains("\nX-Evil"), "{block}");
    assert_eq!(block.matches("X-Quarantine-ID").count(), 1);
    assert_eq!(read(text.as_bytes()).fields.word("verdict"), Some("spam score=-99"));
}

#[test]
fn line_ends_are_changed_only_where_they_can_be_restored() {
    let cases: [(&[u8], LineEnds); 9] = [
        (b"", LineEnds::Lf),
        (b"abc", LineEnds::Lf),
        (b"a\r\nb\r\n", LineEnds::Lf),
        (b"\r\n\r\n", LineEnds::Lf),
        (b"a\nb", LineEnds::AsIs),
        (b"a\rb\r\n", LineEnds::AsIs),
        (b"a\r", LineEnds::AsIs),
        (b"a\r\r\n", LineEnds::AsIs),
        (b"a\r\n\n", LineEnds::AsIs),
    ];
    for (raw, want) in cases {
        assert_eq!(LineEnds::of(raw), want, "{:?}", String::from_utf8_lossy(raw));
    }
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[\\x00-\\x7f]{0,40}",
        any::<String>(),
        "[a-z]{1,8}@[a-z]{1,8}\\.org",
        "X-Tamis-Stored: [a-z]{0,4}\r\n",
    ]
}

fn any_raw() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..400),
        "([ -~]{0,20}\r\n){0,20}".prop_map(String::into_bytes),
        "([ a:X\\-]|\r|\n|X-Spam-A: b|X-Tamis-Stored: ){0,30}".prop_map(String::into_bytes),
    ]
}

proptest! {
    #[test]
    fn what_is_stored_comes_back_octet_for_octet(
        raw in any_raw(),
        sender in any_text(),
        argument in proptest::collection::vec(any::<u8>(), 0..40),
        recipients in proptest::collection::vec(any_text(), 0..5),
        words in proptest::collection::vec(any_text(), 4),
    ) {
        let mut entry = entry(&raw);
        entry.sender = Path { argument, address: sender };
        entry.recipients = recipients.iter().map(|address| path(address)).collect();
        entry.header_lines = words.clone();
        entry.verdict = words[0].clone();
        entry.helo = Some(words[1].clone());
        let file = file(&entry);
        let parts = read(&file);
        prop_assert_eq!(parts.raw.as_ref(), raw.as_slice());
        prop_assert_eq!(parts.fields.id.as_deref(), Some(entry.id.as_str()));
        prop_assert_eq!(parts.fields.octets(), Some(raw.len()));
        prop_assert_eq!(parts.fields.word("verdict"), Some(entry.verdict.as_str()));
        prop_assert_eq!(parts.fields.word("helo"), entry.helo.as_deref());
    }

    #[test]
    fn parameters_of_real_paths_come_back(
        local in "[a-z\"<>, @%]{1,9}", parameters in "( [A-Z]{1,5}=[ -~]{0,9}){0,2}",
    ) {
        let mut entry = entry(b"x");
        let address = format!("\"{}\"@example.org", local.replace('"', "\\\""));
        let argument = format!("<{address}>{parameters}").into_bytes();
        entry.sender = Path { argument, address };
        entry.recipients = vec![path("first@example.org"), entry.sender.clone(), path("a@b")];
        let fields = read(&file(&entry)).fields;
        prop_assert_eq!(fields.held, entry.recipients);
        prop_assert_eq!(fields.sender, entry.sender);
    }

    #[test]
    fn any_octets_can_be_read(file in proptest::collection::vec(any::<u8>(), 0..600)) {
        let parts = read(&file);
        prop_assert!(parts.block.len() <= file.len());
    }

    #[test]
    fn encoding_is_undone(octets in proptest::collection::vec(any::<u8>(), 0..60)) {
        prop_assert_eq!(decode(&encode(&octets)), octets);
    }
}
