//! What is overlooked, by example.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use crate::filters::dns::{Answer, Answers, Record};
use crate::filters::spam::{Engine, Options, Outcome, READ_AS_SHOWN, shipped};
use crate::filters::{Known, Mail, RuleFile, Weight};
use crate::mail::{Envelope, Message};

const RULES: &[u8] = b"body B_PAY /wire the money/\nuri U_EVIL /evil\\.example/\nrawbody R_PAY /wire the <b>money/\n\
    header H_LURE Subject =~ /urgent/\n";
const PAGE: &str = "<html><body><p>Please wire the <b>money</b> by <a href=\"http://evil.example/x\">this form</a> \
    today, or the bank keeps it.</p></body></html>\n";

fn engine() -> Engine {
    let (engine, mistakes) = Engine::load(&[RuleFile::built_in("a.cf", RULES)], &BTreeMap::new());
    assert_eq!(mistakes, []);
    engine
}

fn shipped_engine() -> Engine {
    Engine::load(&shipped(), &BTreeMap::new()).0
}

fn decode(text: &[u8]) -> Message {
    let text = bytes::Bytes::copy_from_slice(text);
    crate::mime::decode(text, &crate::mime::Limits::default())
}

fn message(text: &str) -> Message {
    decode(text.replace('\n', "\r\n").as_bytes())
}

fn inspect(engine: &Engine, message: &Message) -> Outcome {
    let envelope = Envelope::default();
    engine.inspect(&Mail::alone(&envelope, message), None)
}

/// The hits, and what the first one tells if it is the note.
fn hits(outcome: &Outcome) -> (Vec<&str>, Option<&str>) {
    let mut names: Vec<&str> = outcome.hits.iter().map(|hit| &*hit.name).collect();
    let note = outcome.hits.first().filter(|hit| &*hit.name == READ_AS_SHOWN);
    if note.is_some() {
        names.remove(0);
    }
    (names, note.map(|hit| &*hit.evidence))
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(text);
    let lines: Vec<&[u8]> = text.as_bytes().chunks(76).collect();
    lines.iter().map(|line| format!("{}\n", String::from_utf8_lossy(line))).collect()
}

/// Ways to wrap a page so that SpamAssassin's reading overlooks it.
fn wrapped(page: &str) -> Vec<(&'static str, String)> {
    let simple = |fields: &str, body: &str| {
        format!("Subject: urgent\nMIME-Version: 1.0\n{fields}\n\n{body}")
    };
    let coded = |encoding: &str| {
        let fields = format!("Content-Type: text/html\nContent-Transfer-Encoding: {encoding}");
        simple(&fields, &base64(page))
    };
    let part = format!(
        "--b\nContent-Type: text/html\nContent-Transfer-Encoding: base64\n\n{}--b--\n",
        base64(page)
    );
    let multipart = |kind: &str, boundary: &str| {
        let part = part
            .replace("--b\n", &format!("--{boundary}\n"))
            .replace("--b--", &format!("--{boundary}--"));
        simple(&format!("Content-Type: {kind}"), &part)
    };
    let mut all = vec![
        ("type behind a comment", simple("Content-Type: (c) text/html", page)),
        ("comment behind the type", simple("Content-Type: text/html(c)", page)),
        ("no type", simple("Content-Type: foo", page)),
        ("brackets for a type", simple("Content-Type: ((", page)),
        ("XHTML", simple("Content-Type: application/xhtml+xml", page)),
        ("comment behind the encoding", coded("base64 (c)")),
        ("encoding in quotes", coded("\"base64\"")),
        ("semicolon behind the encoding", coded("base64;")),
        ("comment before a multipart", multipart("(c) multipart/mixed; boundary=b", "b")),
        ("boundary in pieces", multipart("multipart/mixed; boundary*0=b", "b")),
        ("comment behind the parameter", multipart("multipart/mixed; boundary (c) = b", "b")),
        ("quoted letter in a boundary", multipart("multipart/mixed; boundary=\"b\\c\"", "bc")),
    ];
    for (what, before) in [
        ("junk in an end tag", "<style></style x>"),
        ("slash in an end tag", "<style></style/>"),
        ("SVG", "<svg><style/></svg>"),
        ("comment that ends at once", "<!-->"),
        ("comment that ends at once, with a dash", "<!--->"),
        ("comment with an odd end", "<!-- x --!>"),
        ("marked section", "<![ignore[ >"),
        ("quote in an end tag", "</p \">"),
        ("quote in a doctype", "<!doctype html \">"),
        ("curved quote", "<img alt=\u{201c}>"),
        ("no tag", "<_a b=\""),
        ("frames of old", "<noframes><style></noframes>"),
    ] {
        let page = format!("{before}{page}--> ]]> \"> </style>");
        all.push((what, simple("Content-Type: text/html; charset=utf-8", &page)));
    }
    all
}

#[test]
fn what_is_wrapped_oddly_scores_as_the_plain_page_does() {
    let engine = engine();
    let plain = format!("Subject: urgent\nMIME-Version: 1.0\nContent-Type: text/html\n\n{PAGE}");
    let want = inspect(&engine, &message(&plain));
    assert_eq!(hits(&want), (vec!["B_PAY", "U_EVIL", "R_PAY", "H_LURE"], None));
    for (what, mail) in wrapped(PAGE) {
        let outcome = inspect(&engine, &message(&mail));
        let (names, note) = hits(&outcome);
        assert_eq!(names, ["B_PAY", "U_EVIL", "R_PAY", "H_LURE"], "{what}");
        assert_eq!(outcome.score, want.score, "{what}");
        let note = note.unwrap_or_else(|| panic!("{what}: no note"));
        assert!(note.ends_with(": part 1"), "{what}: {note}");
    }
}

/// A message within its signature (RFC 5652), without anything that signs it.
fn signed(message: &str) -> String {
    fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x82], length.as_slice(), &content].concat()
    }
    let number =
        |last: u8| [b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07".as_slice(), &[last]].concat();
    let content = tlv(0xa0, &[&tlv(4, &[message.replace('\n', "\r\n").as_bytes()])]);
    let inner = tlv(0x30, &[&number(1), &content]);
    let signed = tlv(0x30, &[&[2, 1, 1], &tlv(0x31, &[]), &inner, &tlv(0x31, &[])]);
    let block = tlv(0x30, &[&number(2), &tlv(0xa0, &[&signed])]);
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(block);
    text.as_bytes().chunks(76).map(|line| format!("{}\n", String::from_utf8_lossy(line))).collect()
}

#[test]
fn what_is_signed_as_a_block_is_read() {
    let engine = engine();
    let block = |name: &str, inside: &str| {
        format!(
            "Content-Type: application/pkcs7-mime; smime-type=signed-data; name={name}\n\
             Content-Transfer-Encoding: base64\nContent-Disposition: attachment; filename={name}\n\n{}",
            signed(inside)
        )
    };
    let page = format!("Content-Type: text/html\n\n{PAGE}");
    let both = format!(
        "Content-Type: multipart/alternative; boundary=b\n\n--b\n\nwire the money\n--b\n{page}\n--b--\n"
    );
    let root = |block: &str| format!("Subject: urgent\nMIME-Version: 1.0\n{block}");
    let mixed = |block: &str| {
        root(&format!(
            "Content-Type: multipart/mixed; boundary=a\n\n--a\n\nhello\n--a\n{block}\n--a--\n"
        ))
    };
    let in_two = block("smime.p7m", &page);
    let odd = format!(
        "X-Foo: b\nContent-Type: text/html\nContent-Transfer-Encoding: base64\n\n{}",
        base64(PAGE)
    );
    let attached = format!(
        "Content-Type: text/html\nContent-Disposition: attachment; filename=a.html\n\n{PAGE}"
    );
    let inline = |name: &str| block(name, PAGE).replace("attachment;", "inline;");
    for (what, mail, seen) in [
        ("the message", root(&block("smime.p7m", &page)), true),
        ("alternatives in it", root(&block("smime.p7m", &both)), true),
        ("a part", mixed(&block("smime.p7m", &page)), true),
        ("signed twice", root(&block("smime.p7m", &in_two)), true),
        ("an unknown field first", root(&block("smime.p7m", &odd)), true),
        ("a root that says it were attached", root(&block("smime.p7m", &attached)), true),
        ("the name of what is compressed", mixed(&block("smime.p7z", &page)), true),
        ("a signed message as a file", mixed(&block("invoice.xml.p7m", &page)), false),
        ("a signed file", mixed(&inline("invoice.html.p7m")), false),
    ] {
        let outcome = inspect(&engine, &message(&mail));
        let (names, note) = hits(&outcome);
        if !seen {
            assert_eq!((names, note), (vec!["H_LURE"], None), "{what}");
            continue;
        }
        assert_eq!(names, ["B_PAY", "U_EVIL", "R_PAY", "H_LURE"], "{what}");
        assert!(
            note.is_some_and(|note| note.starts_with("signed message not opened: part ")),
            "{what}: {note:?}"
        );
    }
    let outcome = inspect(&engine, &message(&root(&block("smime.p7m", "\nwire the money\n"))));
    assert_eq!(hits(&outcome).0, ["B_PAY", "H_LURE"], "without a header");
}

#[test]
fn links_of_pictures_are_read() {
    let page = "<p>hello</p><svg><a XLINK:href=\"http://evil.example/x\"><text>wire the money</text></a></svg>";
    let mail = format!("Subject: urgent\nMIME-Version: 1.0\nContent-Type: text/html\n\n{page}\n");
    let outcome = inspect(&engine(), &message(&mail));
    let (names, note) = hits(&outcome);
    assert_eq!(names, ["B_PAY", "U_EVIL", "H_LURE"]);
    assert_eq!(note, Some("cut elsewhere by browsers: part 1"));
}

#[test]
fn what_is_wrapped_oddly_is_spam_by_the_shipped_rules() {
    let engine = shipped_engine();
    let page = "<html><body><p>Dear beneficiary, I am a barrister and I write about the sum of $18,500,000 USD \
        that my late client, who died in a plane crash with his next of kin, left in a bank. Send me your full name, bank \
        account number and telephone so that the fund is transferred. This business is risk free and \
        strictly confidential.</p><a href=\"http://203.0.113.9/login\">Claim your fund</a></body></html>\n";
    let plain = format!("Subject: urgent\nMIME-Version: 1.0\nContent-Type: text/html\n\n{page}");
    let want = inspect(&engine, &message(&plain)).score.as_f64();
    assert!(want > 5.0, "{want}");
    for (what, mail) in wrapped(page) {
        let outcome = inspect(&engine, &message(&mail));
        assert!(outcome.score.as_f64() > want - 1.0, "{what}: {} of {want}", outcome.score);
    }
}

#[test]
fn a_decoy_that_nobody_sees_is_not_the_text() {
    let engine = engine();
    let page = PAGE.trim_end();
    let without_blanks: String = page.split_whitespace().collect();
    for decoy in [
        format!("Content-Type: text/html\n\n<!-- {page} -->"),
        format!("Content-Type: text/html\n\n<style>{page}</style>hello"),
        format!("Content-Type: text/html\nContent-Disposition: attachment\n\n<!-- {page} -->"),
        format!("Content-Type: text/plain\n\n{without_blanks}"),
    ] {
        let mail = message(&format!(
            "Subject: urgent\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n\
             --b\nContent-Type: (c) text/html\n\n{page}\n--b\n{decoy}\n--b--\n"
        ));
        let outcome = inspect(&engine, &mail);
        let (names, note) = hits(&outcome);
        assert!(names.contains(&"B_PAY") && names.contains(&"U_EVIL"), "{decoy}: {names:?}");
        assert!(note.is_some(), "{decoy}");
    }
}

#[test]
fn nuls_in_words_and_texts_of_two_octets_a_letter_are_read_as_readers_do() {
    let engine = engine();
    let wide: Vec<u8> = PAGE.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let marked = [b"\xff\xfe".as_slice(), &wide].concat();
    let nuls = PAGE.replace("wire the", "wi\0re t\0he");
    for (what, charset, octets) in [
        ("NULs", "us-ascii", nuls.as_bytes()),
        ("UTF-16", "utf-8", &wide),
        ("UTF-16 with a mark", "utf-8", &marked),
        ("UTF-16 with a mark", "iso-8859-1", &marked),
    ] {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(octets);
        let mail = message(&format!(
            "Subject: urgent\nMIME-Version: 1.0\nContent-Type: text/html; charset={charset}\n\
             Content-Transfer-Encoding: base64\n\n{text}\n"
        ));
        let outcome = inspect(&engine, &mail);
        let (names, _) = hits(&outcome);
        assert!(names.contains(&"B_PAY") && names.contains(&"U_EVIL"), "{what}: {names:?}");
    }
}

#[test]
fn a_disposition_counts_only_where_readers_ask_for_it() {
    let engine = engine();
    for header in [
        "Content-Type: (c) text/html\nContent-Disposition: attachment\n\n",
        "Content-Type: multipart/mixed; boundary=b\nContent-Disposition: attachment\n\n--b\nContent-Type: (c) text/html\n\n",
    ] {
        let mail = message(&format!("Subject: urgent\nMIME-Version: 1.0\n{header}{PAGE}"));
        let outcome = inspect(&engine, &mail);
        let (names, _) = hits(&outcome);
        assert!(names.contains(&"B_PAY"), "{header}: {names:?}");
    }
}

#[test]
fn rules_over_the_header_see_the_type_that_readers_see() {
    let rules = b"header T Content-Type =~ m{^text/html}\nheader R Content-Type:raw =~ /^ ?\\(c\\)/\nbody B /wire the money/\n";
    let (engine, mistakes) = Engine::load(&[RuleFile::built_in("a.cf", rules)], &BTreeMap::new());
    assert_eq!(mistakes, []);
    let mail = message(&format!("Subject: urgent\nContent-Type: (c) text/html\n\n{PAGE}"));
    let outcome = inspect(&engine, &mail);
    assert_eq!(hits(&outcome).0, ["T", "R", "B"]);
}

#[test]
fn a_text_in_utf_16_is_read_under_any_charset() {
    let engine = engine();
    for (label, mark) in [("(c)utf-16le", ""), ("utf-16", "\u{feff}"), ("UTF-16LE;x=y", "")] {
        let text = format!("{mark}Please wire the money by http://evil.example/x today.\r\n");
        let text: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mail = format!(
            "Subject: urgent\r\nContent-Type: text/plain; charset={label}\r\n\
            Content-Transfer-Encoding: base64\r\n\r\n{}\r\n",
            {
                use base64::Engine as _;
                base64::engine::general_purpose::STANDARD.encode(&text)
            }
        );
        let outcome = inspect(&engine, &decode(mail.as_bytes()));
        assert_eq!(hits(&outcome).0, ["B_PAY", "U_EVIL", "H_LURE"], "{label}");
    }
}

/// Mails that hold nothing that is overlooked.
fn ordinary() -> Vec<(&'static str, String)> {
    let mixed = |parts: &str| {
        format!(
            "Subject: x\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"b\"\n\nold readers\n{parts}--b--\n"
        )
    };
    let inner = "Subject: y\nContent-Type: multipart/alternative; boundary=c\n\n--c\nContent-Type: text/plain\n\n\
        words\n\n\n--c\nContent-Type: text/html\nContent-Transfer-Encoding: quoted-printable\n\n<p>w=6Frds</p>=\n\n--c--\n";
    let blank = "\n".repeat(60);
    vec![
        ("alternatives", inner.to_owned()),
        ("plain", "Subject: x\n\nwords\n".to_owned()),
        ("no body", "Subject: x\n\n".to_owned()),
        ("nothing", String::new()),
        ("base64", format!("Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: base64\n\n{}", base64("<p>é\r\n</p>"))),
        ("blank lines", format!("Subject: x\n\nwords\n{blank}words\n{blank}")),
        ("long lines", format!("Subject: x\n\n{}\n", "word ".repeat(2_000))),
        ("charset", "Content-Type: text/plain; charset=KOI8-R\n\nwords \u{442}\n".to_owned()),
        ("forwarded", mixed(&format!("--b\n\nsee below\n--b\nContent-Type: message/rfc822\n\n{inner}"))),
        ("forwarded and coded", mixed(&format!("--b\nContent-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n{}", base64(&inner.replace('\n', "\r\n"))))),
        ("report", mixed("--b\n\nnot delivered\n--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; a.b\n\n\
            Final-Recipient: rfc822; c@d\nAction: failed\n--b\nContent-Type: text/rfc822-headers\n\nSubject: y\n")),
        ("pasted", "Subject: x\n\nnot delivered:\n\nSubject: y\nContent-Type: text/html\n\n<p>words</p>\n".to_owned()),
        ("calendar", mixed("--b\nContent-Type: text/calendar; method=REQUEST\n\nBEGIN:VCALENDAR\nSUMMARY:words\nEND:VCALENDAR\n")),
        ("digest", mixed("--b\nContent-Type: multipart/digest; boundary=d\n\n--d\n\nSubject: one\n\nwords\n--d\n\nSubject: two\n\nmore\n--d--\n")),
        ("signed", mixed("--b\nContent-Type: text/plain\n\nwords\n--b\nContent-Type: application/pgp-signature; name=\"signature.asc\"\n\n\
            -----BEGIN PGP SIGNATURE-----\n\nabc\n-----END PGP SIGNATURE-----\n")),
        ("attached text", mixed("--b\n\nwords\n--b\nContent-Type: (c) text/plain\nContent-Disposition: attachment; filename=a.txt\n\nmore\n")),
        ("attached page", mixed("--b\n\nwords\n--b\nContent-Type: application/octet-stream; name=a.html\n\n<html><p>more</p>\n")),
        ("picture", mixed(&format!("--b\n\nwords\n--b\nContent-Type: image/svg+xml\nContent-Transfer-Encoding: base64\n\n{}", base64("<svg><text>x</text></svg>")))),
        ("conditional comments", "Content-Type: text/html\n\n<!DOCTYPE html PUBLIC \"-//W3C//DTD\"><style>a{b:c}</style>\
            <!--[if mso]><p>x</p><![endif]--><![if !mso]><br/>words “quoted”<![endif]><img alt='“q”'/>&nbsp;</p>\n".replace("text/html", "text/html; charset=utf-8")),
    ]
}

#[test]
fn names_of_characters_that_only_browsers_know_are_read() {
    let page = "Content-Type: text/html\n\n<p>wire&Tab;the&NewLine;money<a href=\"http&colon;&sol;&sol;evil&period;example\">x</a>\n";
    let outcome = inspect(&engine(), &message(page));
    assert_eq!(
        hits(&outcome),
        (vec!["B_PAY", "U_EVIL"], Some("cut elsewhere by browsers: part 1"))
    );
}

#[test]
fn ordinary_mail_is_read_once() {
    let engine = engine();
    let envelope = Envelope::default();
    for (what, mail) in ordinary() {
        let message = message(&mail);
        let mail = Mail::alone(&envelope, &message);
        let view = super::View::new(&engine, &mail);
        view.body();
        let found = super::Overlooked::of(&view);
        assert_eq!(found.map(|found| found.told()), None, "{what}");
    }
}

#[test]
fn what_only_looks_odd_changes_nothing() {
    let engine = engine();
    // A browser cuts these elsewhere, and shows the same.
    for page in [
        "<style>a{}</style ><p>wire the money",
        "<!-- a -- >wire the money",
        "<br/x>wire the money",
    ] {
        let outcome = inspect(&engine, &message(&format!("Content-Type: text/html\n\n{page}\n")));
        assert_eq!(hits(&outcome), (vec!["B_PAY"], None), "{page}");
    }
    // The text stands in another part as well.
    let twice = "Subject: x\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nwire the money\n--b\n\
        Content-Type: (c) text/plain\n\nwire  the\nmoney\n--b--\n";
    assert_eq!(hits(&inspect(&engine, &message(twice))), (vec!["B_PAY"], None));
}

#[test]
fn parts_of_a_multipart_that_was_not_taken_apart_are_all_there() {
    let mail = "Subject: x\nContent-Type: multipart/mixed; boundary*0=b\n\n--b\nContent-Type: text/plain\n\nwire\n--b\n\
        Content-Type: text/html\n\n<p>the <!-- -->mo<!-- -->ney\n--b\nContent-Type: (c) text/html\n\n<p>at once\n--b--\n";
    let rules = "body B_ONE /^wire/\nbody B_TWO /^the money/\nbody B_THREE /^at once/\nmimeheader M_HTML Content-Type =~ /^text.html$/\nscore M_HTML 0.1\n\
        tflags M_HTML multiple";
    let (engine, _) =
        Engine::load(&[RuleFile::built_in("a.cf", rules.as_bytes())], &BTreeMap::new());
    let outcome = inspect(&engine, &message(mail));
    let (names, note) = hits(&outcome);
    let want = "multipart not taken apart: part 2";
    assert_eq!((names, note), (vec!["B_ONE", "B_TWO", "B_THREE", "M_HTML"], Some(want)));
}

#[test]
fn words_of_what_is_overlooked_are_learned() {
    let engine = engine();
    let envelope = Envelope::default();
    let words = |text: &str| {
        let message = message(text);
        engine.words(&Mail::alone(&envelope, &message)).len()
    };
    let page = "Content-Type: text/html\n\n<p>Some words that nobody has seen before stand in this page.\n";
    assert_eq!(words(&page.replace("text/html", "(c) text/html")), words(page));
}

#[test]
fn lists_are_asked_about_links_that_only_mail_readers_show() {
    let rules = "urirhssub A bl.test. A 2\nbody A eval:check_uridnsbl('A')\ntflags A net\nutil_rb_tld com\n";
    let options = Options { network: true, ..Options::default() };
    let files = [RuleFile::built_in("a.cf", rules.as_bytes())];
    let (engine, _) = Engine::load_for(&files, &BTreeMap::new(), options);
    let message = message(
        "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nhttp://seen.com/\n--b\n\
        Content-Type: (c) text/html\n\n<a href=http://overlooked.com/>x</a><a href=http://seen.com/>y</a>\n--b--\n",
    );
    let envelope = Envelope::default();
    let mut answers = Answers::default();
    let wanted = engine.questions(&Mail::alone(&envelope, &message), &answers);
    let names: Vec<&str> = wanted.iter().map(|one| &*one.question.name).collect();
    assert_eq!(names, ["seen.com.bl.test", "overlooked.com.bl.test"]);
    for one in wanted {
        let listed = one.question.name.starts_with("overlooked");
        let record = Record::A([127, 0, 0, 2].into());
        answers.insert(
            one.question,
            if listed { Answer::Records([record].into()) } else { Answer::NoName },
        );
    }
    assert_eq!(engine.questions(&Mail::alone(&envelope, &message), &answers), []);
    let known = Known { dns: Some(Arc::new(answers)), ..Known::default() };
    let mail = Mail { known: &known, ..Mail::alone(&envelope, &message) };
    assert_eq!(
        hits(&engine.inspect(&mail, None)),
        (vec!["A"], Some("type not understood: part 2"))
    );
}

#[test]
fn the_time_that_is_over_is_told_of_the_second_reading_too() {
    let engine = engine();
    let message = message(&wrapped(PAGE)[0].1);
    let envelope = Envelope::default();
    let late = Instant::now().checked_sub(Duration::from_secs(1)).unwrap();
    let outcome = engine.inspect(&Mail::alone(&envelope, &message), Some(late));
    assert!(outcome.not_run.iter().all(|one| one.weight == Weight::Required));
    assert_eq!(outcome.not_run.len(), 4);
}

#[test]
fn one_content_in_more_parts_than_rules_look_at_is_seen() {
    let engine = engine();
    let part = format!("--b\nContent-Type: text/html\n\n{}\n", "<p>a word</p>".repeat(100));
    let text = part.repeat(1_200);
    let message = message(&format!("Content-Type: multipart/mixed; boundary=b\n\n{text}--b--\n"));
    let envelope = Envelope::default();
    let mail = Mail::alone(&envelope, &message);
    let view = super::View::new(&engine, &mail);
    view.body();
    assert!(super::Overlooked::of(&view).is_none());
    // Another one behind them is not.
    let other = format!("--b\nContent-Type: text/html\n\n{PAGE}");
    let message = self::message(&format!(
        "Content-Type: multipart/mixed; boundary=b\n\n{text}{other}--b--\n"
    ));
    assert!(hits(&inspect(&engine, &message)).0.contains(&"B_PAY"));
}

#[test]
fn thousands_of_overlooked_parts_end() {
    let engine = engine();
    let part = "--b\nContent-Type: (c) text/html\n\n<p>wire the <!-- -->money<style></style x>\n";
    let many = format!(
        "Subject: x\nContent-Type: multipart/mixed; boundary=b\n\n{}--b--\n",
        part.repeat(900)
    );
    assert_eq!(hits(&inspect(&engine, &message(&many))).0, ["B_PAY"]);
    let apart = many.replace("boundary=b", "boundary*0=b");
    let outcome = inspect(&engine, &message(&apart));
    assert_eq!(hits(&outcome).0, ["B_PAY"]);
    assert!(hits(&outcome).1.unwrap().ends_with(": part 1, part 2, part 3, 897 more"));
}

proptest! {
    #[test]
    fn a_second_reading_never_lowers_the_score(
        octets in proptest::collection::vec(any::<u8>(), 0..300),
        mail in "(Content-Type: |multipart/mixed; boundary=a|\\(c\\) |text/html|foo|text/plain; charset=|message/rfc822|\
            Content-Transfer-Encoding: |base64|quoted-printable|--a|--a--|\n|\n\n|<p>|YWJj|utf-16|wire the money|\
            <style>|</style x>|<!-->|-->|http://evil\\.example/|<svg>| |:|é){0,60}",
    ) {
        let engine = engine();
        let envelope = Envelope::default();
        for octets in [octets.as_slice(), mail.as_bytes()] {
            let message = decode(octets);
            let mail = Mail::alone(&envelope, &message);
            let first = crate::filters::spam::run::first_reading(&engine, &mail);
            let outcome = engine.inspect(&mail, None);
            prop_assert!(outcome.score >= first.score);
            if outcome.score == first.score {
                prop_assert_eq!(outcome.hits, first.hits);
            }
        }
    }

    #[test]
    fn contents_are_compared_but_for_white_space(one in "[ab \n]{0,40}", other in "[ab \r]{0,40}") {
        let bare = |text: &str| text.chars().filter(|letter| !letter.is_whitespace()).collect::<String>();
        prop_assert_eq!(super::is_same(one.as_bytes(), other.as_bytes()), bare(&one) == bare(&other));
        let spread = one.replace('\n', "\r\n \r\n");
        prop_assert!(super::is_same(one.as_bytes(), spread.as_bytes()));
    }
}
