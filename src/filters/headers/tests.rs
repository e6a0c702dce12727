use bytes::Bytes;

use super::*;
use crate::filters::{Known, Severity, TableAction};
use crate::mail::{Envelope, HeaderField, Message, Part, PartKind};

fn file(name: &str, text: &str) -> RuleFile {
    RuleFile::built_in(name, text.as_bytes())
}

fn table(name: &str, text: &str) -> Table {
    let (table, mistakes) = Table::load(&file(name, text), TableKind::Header);
    assert!(mistakes.iter().all(|m| m.severity == Severity::Warning), "{mistakes:?}");
    table
}

/// Compares with what `postmap -q` prints; `None`: nothing.
fn check(name: &str, text: &str, line: &str, want: Option<&str>) {
    let got = table(name, text).query_text(line.as_bytes()).map(|(text, _)| text);
    assert_eq!(got.as_deref(), want, "{text:?} on {line:?}");
}

fn mistake(text: &str) -> Mistake {
    let (_, mistakes) = Table::load(&file("t.pcre", text), TableKind::Header);
    assert_eq!(mistakes.len(), 1, "{text}: {mistakes:?}");
    mistakes.into_iter().next().unwrap()
}

#[test]
fn the_first_rule_that_fits_decides() {
    let text = "/^a/ WARN one\n!/b/ WARN two\n/./ WARN three\n";
    check("t.pcre", text, "abc", Some("WARN one"));
    check("t.pcre", text, "xyz", Some("WARN two"));
    check("t.pcre", text, "b", Some("WARN three"));
    check("t.pcre", text, "", None);
}

#[test]
fn conditions_nest() {
    let text =
        "if /a/\nif !/b/\n/./ WARN a without b\nendif\n/c/ WARN a and c\nENDIF\n/b/ WARN b\n";
    check("t.pcre", text, "a", Some("WARN a without b"));
    check("t.pcre", text, "abc", Some("WARN a and c"));
    check("t.pcre", text, "ab", Some("WARN b"));
    check("t.pcre", text, "c", None);
}

#[test]
fn any_delimiter_will_do() {
    check("t.pcre", "!!,a/b, OK $$1", "a/b", Some("OK $1"));
    check("t.pcre", "|a\\|b|i WARN", "a|b", Some("WARN"));
    check("t.pcre", "if/a/\n/a/OK\nendif", "a", None);
}

#[test]
fn groups_are_filled_in() {
    let text = "/^(user-agent|x-mailer): (.*)$/ WARN 0xfeed $2 by ${1}$(1)\n";
    check("t.pcre", text, "X-Mailer: Foo 1", Some("WARN 0xfeed Foo 1 by X-MailerX-Mailer"));
    check("t.pcre", "/a(x)?b/ WARN [$1]", "ab", Some("WARN []"));
}

#[test]
fn patterns_may_span_lines_of_the_field() {
    let text = "/^Content-.*name=\"(.*)\\.(exe|com)\"$/\n  REJECT Unwanted attachment $1.$2\n";
    check(
        "t.pcre",
        text,
        "Content-Type: application/x-thing;\n\tname=\"a'b.exe\"",
        Some("REJECT Unwanted attachment a'b.exe"),
    );
}

#[test]
fn posix_tables_are_told_by_their_name() {
    check("regexp:t", "/a\\d/ WARN", "ad", Some("WARN"));
    check("t.regexp", "/a\\d/ WARN", "a1", None);
    check("t", "/a\\d/ WARN", "a1", Some("WARN"));
    check("regexp:t.pcre", "/[\\d]x/ WARN", "\\x", Some("WARN"));
    check("t.regexp", "/[:alpha:]<!--/ WARN", "p<!--", Some("WARN"));
    check("t.regexp", "/\\(a\\)\\{2\\}/x WARN", "aa", Some("WARN"));
    check("t.regexp", "/a*+b/x WARN", "aab", None);
    check("t.regexp", "/a*+b/x WARN", "aa+b", Some("WARN"));
    check("t.regexp", "/^a*+b$/ WARN", "aab", Some("WARN"));
}

#[test]
fn what_needs_backtracking_is_an_error_with_its_place() {
    for (text, column) in [
        ("/a(?=b)/ OK", 3),
        ("/a(?!b)/ OK", 3),
        ("/(?<=a)b/ OK", 2),
        ("/(a)\\1/ OK", 5),
        ("/(?R)/ OK", 2),
        ("/a(b/ OK", 2),
    ] {
        let mistake = mistake(text);
        assert_eq!((mistake.line, mistake.column), (1, column), "{mistake}");
        assert_eq!(mistake.severity, Severity::Error, "{mistake}");
    }
}

#[test]
fn what_postfix_skips_is_a_warning() {
    for text in [
        "/a/ REJCT x",
        "/a/",
        "/a REJECT x",
        "/a/q REJECT",
        "/a/ WARN $1",
        "!/(a)/ WARN $1",
        "/a/ WARN $x",
        "/a/ PREPEND no label",
        "/a/ REPLACE x y: z",
        "/a/ FILTER x",
        "endif",
        "if /a/",
        "hello",
        "  /a/ OK",
        "/a/ $$1 x",
    ] {
        let mistake = mistake(text);
        assert_eq!(mistake.severity, Severity::Warning, "{mistake}");
        assert_eq!(mistake.line, 1);
    }
}

#[test]
fn the_shipped_tables_prove_themselves() {
    let shipped = shipped();
    let (checks, mistakes) = Checks::load(
        std::slice::from_ref(&shipped.header),
        Some(std::slice::from_ref(&shipped.mime)),
        Some(std::slice::from_ref(&shipped.nested)),
        std::slice::from_ref(&shipped.body),
    );
    assert_eq!(mistakes, []);
    assert_eq!(checks.run_examples(), []);
    for tables in [&checks.header, &checks.mime, &checks.nested, &checks.body] {
        assert!(!tables[0].examples.is_empty());
    }
}

#[test]
fn an_example_that_does_not_hold_is_named_with_its_line() {
    let table = table("t.pcre", "/a/ REJECT\n#= b => REJECT\n#= a => REJECT\n#= b => DUNNO\n");
    let mistakes = table.run_examples();
    assert_eq!((mistakes.len(), mistakes[0].line), (1, 2), "{mistakes:?}");
}

/// Fields of a header section by a plain reading; enough for mails that are not odd.
fn fields(octets: &[u8]) -> Vec<HeaderField> {
    let mut found: Vec<HeaderField> = Vec::new();
    let mut at = 0;
    for line in octets.split_inclusive(|octet| *octet == b'\n') {
        let end = at + line.len();
        match (line.first(), found.last_mut()) {
            (Some(b' ' | b'\t'), Some(last)) => {
                last.field.end = end;
                last.value.end = end - 2;
            }
            _ => {
                let colon = at + line.iter().position(|octet| *octet == b':').unwrap_or(0);
                found.push(HeaderField {
                    field: at..end,
                    name: at..colon,
                    value: colon + 1..end - 2,
                });
            }
        }
        at = end;
    }
    found
}

/// A message with a part header after each `\n\n`-separated marker: parts are given as (parent, kind, header).
fn message(text: &str, parts: &[(usize, PartKind, &str)]) -> Message {
    let raw = Bytes::from(text.replace('\n', "\r\n"));
    let find = |needle: &str, from: usize| {
        from + raw[from..]
            .windows(needle.len())
            .position(|window| window == needle.as_bytes())
            .unwrap()
    };
    let header_end = find("\r\n\r\n", 0) + 2;
    let root = Part {
        path: "0".into(),
        parent: None,
        depth: 0,
        kind: PartKind::Multipart,
        header_octets: raw.slice(..header_end),
        headers: fields(&raw[..header_end]),
        declared_type: String::new(),
        charset: None,
        disposition: None,
        names: Vec::new(),
        data: Bytes::new(),
        text: None,
        wide: false,
        types: Vec::new(),
        flags: Vec::new(),
        sha256: [0; 32],
    };
    let mut message = Message {
        headers: root.headers.clone(),
        body_start: header_end + 2,
        parts: vec![root.clone()],
        raw: raw.clone(),
        ..Message::default()
    };
    for (parent, kind, header) in parts {
        let header = header.replace('\n', "\r\n");
        let start = find(&header, header_end);
        let octets = raw.slice(start..start + header.len());
        message.parts.push(Part {
            parent: Some(*parent),
            kind: *kind,
            headers: fields(&octets),
            header_octets: octets,
            ..root.clone()
        });
    }
    message
}

fn hits(checks: &Checks, message: &Message) -> Vec<(&'static str, String)> {
    let envelope = Envelope::default();
    let mail = Mail {
        envelope: &envelope,
        message,
        internal: false,
        received: jiff::Timestamp::UNIX_EPOCH,
        known: Known::NOTHING,
    };
    checks.inspect(&mail).into_iter().map(|hit| (hit.table, hit.text)).collect()
}

fn load(header: &str, mime: Option<&str>, nested: Option<&str>, body: &str) -> Checks {
    let one = |text: &str| [file("t.pcre", text)];
    let (checks, mistakes) = Checks::load(
        &one(header),
        mime.map(one).as_ref().map(<[RuleFile; 1]>::as_slice),
        nested.map(one).as_ref().map(<[RuleFile; 1]>::as_slice),
        &one(body),
    );
    assert_eq!(mistakes, []);
    checks
}

const NESTED_MAIL: &str = "Subject: outer\nContent-Type: multipart/mixed; boundary=b\n\npreamble\n--b\n\
    Content-Type: text/plain\nX-Part: y\n\nline one\n--b\nContent-Type: message/rfc822\n\n\
    Subject: inner\nContent-Type: text/html\n\nline two\n--b--\nepilogue\n";

fn nested_mail() -> Message {
    message(
        NESTED_MAIL,
        &[
            (0, PartKind::Leaf, "Content-Type: text/plain\nX-Part: y\n"),
            (0, PartKind::Message, "Content-Type: message/rfc822\n"),
            (2, PartKind::Leaf, "Subject: inner\nContent-Type: text/html\n"),
        ],
    )
}

#[test]
fn each_line_is_seen_by_its_own_table_and_in_order() {
    let checks = load("/./ WARN h", Some("/./ WARN m"), Some("/./ WARN n"), "/./ WARN b");
    let want = [
        ("header_checks", "Subject: outer"),
        ("mime_header_checks", "Content-Type: multipart/mixed; boundary=b"),
        ("body_checks", "preamble"),
        ("body_checks", "--b"),
        ("mime_header_checks", "Content-Type: text/plain"),
        ("mime_header_checks", "X-Part: y"),
        ("body_checks", "line one"),
        ("body_checks", "--b"),
        ("mime_header_checks", "Content-Type: message/rfc822"),
        ("nested_header_checks", "Subject: inner"),
        ("mime_header_checks", "Content-Type: text/html"),
        ("body_checks", "line two"),
        ("body_checks", "--b--"),
        ("body_checks", "epilogue"),
    ];
    let got = hits(&checks, &nested_mail());
    let got: Vec<_> = got.iter().map(|(table, text)| (*table, text.as_str())).collect();
    assert_eq!(got, want);
}

#[test]
fn a_hit_knows_where_its_line_stands() {
    let checks = load("/./ IGNORE", None, None, "/./ STRIP");
    let message = nested_mail();
    let envelope = Envelope::default();
    for hit in checks.inspect(&Mail::alone(&envelope, &message)) {
        let octets = &message.raw[hit.range.unwrap()];
        assert_eq!(octets, format!("{}\r\n", hit.text).as_bytes());
    }
}

#[test]
fn mime_and_nested_tables_default_to_the_header_table() {
    let checks = load("/^(Subject|Content-Type): (inner|text.html)/ WARN", None, None, "");
    assert_eq!(
        hits(&checks, &nested_mail()),
        [
            ("nested_header_checks", "Subject: inner".to_owned()),
            ("mime_header_checks", "Content-Type: text/html".to_owned())
        ]
    );
    let checks = load("/inner/ WARN", None, Some(""), "");
    assert_eq!(hits(&checks, &nested_mail()), []);
}

#[test]
fn reject_discard_and_pass_end_the_search() {
    for action in ["REJECT", "DISCARD", "PASS"] {
        let checks = load(&format!("/^Subject/ {action}\n/./ WARN"), None, None, "/./ WARN");
        assert_eq!(hits(&checks, &nested_mail()).len(), 1, "{action}");
    }
    let checks = load("/./ HOLD", None, None, "/./ HOLD");
    assert_eq!(hits(&checks, &nested_mail()).len(), 1);
}

#[test]
fn of_each_body_segment_only_the_beginning_is_seen() {
    let filler = "x".repeat(99);
    let long = format!("{filler}\n").repeat(600);
    let text = format!(
        "Subject: a\n\nearly one\n{long}late one\n--b\nContent-Type: text/plain\n\nearly two\n{long}late two\n--b--\nearly three\n"
    );
    let message = message(&text, &[(0, PartKind::Leaf, "Content-Type: text/plain\n")]);
    let checks = load("", None, None, "/^(early|late) / WARN");
    let got: Vec<_> = hits(&checks, &message).into_iter().map(|(_, text)| text).collect();
    assert_eq!(got, ["early one", "early two", "early three"]);
}

#[test]
fn decoded_text_is_seen_where_it_is_asked_for() {
    let mut message = message(
        "Subject: a\n\n--b\nContent-Transfer-Encoding: base64\n\nU1BBTQ==\n--b--\n",
        &[(0, PartKind::Leaf, "Content-Transfer-Encoding: base64\n")],
    );
    message.parts[1].text = Some("one\r\nSPAM\r\n".into());
    message.parts[1].data = Bytes::from_static(b"one\r\nSPAM\r\n");
    let checks = load("", None, None, "/^spam$/ WARN");
    assert_eq!(hits(&checks, &message), []);
    let checks = checks.with_decoded_text();
    assert_eq!(hits(&checks, &message), [("body_checks", "SPAM".to_owned())]);
}

#[test]
fn tables_of_other_types_are_refused() {
    for name in ["hash:/etc/postfix/x", "cidr:/x", "lmdb:x"] {
        let (_, mistakes) = Table::load(&file(name, "/a/ REJECT"), TableKind::Header);
        assert_eq!(mistakes.len(), 1, "{name}");
        assert_eq!(mistakes[0].severity, Severity::Error);
    }
}

#[test]
fn long_body_lines_are_seen_in_pieces() {
    let text = format!("Subject: a\n\n{}needle{}\n", "x".repeat(2045), "y".repeat(3000));
    let checks = load("", None, None, "/needle/ WARN cut\n/^dle/ WARN piece");
    assert_eq!(hits(&checks, &message(&text, &[])).len(), 1);
}

#[test]
fn a_long_field_is_cut_at_the_limit() {
    let text = format!("X-A: {}\n END\nSubject: s\n\n", "x".repeat(102_400));
    let checks = load("/END/ WARN", None, None, "");
    assert_eq!(hits(&checks, &message(&text, &[])), []);
}

#[test]
fn earlier_files_decide_before_later_ones() {
    let (checks, _) = Checks::load(
        &[file("site.pcre", "/^Subject: outer/ DUNNO"), file("shipped.pcre", "/^Subject/ REJECT")],
        Some(&[]),
        Some(&[]),
        &[],
    );
    assert_eq!(hits(&checks, &nested_mail()), []);
}

#[test]
fn a_reject_is_ready_for_the_reply() {
    let table = table("t.pcre", "/(x.*)$/ REJECT 4.7.1 no $1");
    let (action, line) = table.query(b"Subject: x\n\ty").unwrap();
    let want = TableAction::Reject { code: 451, enhanced: "4.7.1".into(), text: "no x y".into() };
    assert_eq!((action, line), (want, 1));
}

proptest::proptest! {
    #[test]
    fn no_table_and_no_line_can_make_it_panic(text in "(/[^/\n]{0,12}/[imsxAEUX]{0,2} [A-Z]{0,7} ?[$(){}0-9a-z]{0,6}\n|[^\n]{0,30}\n){0,6}", line: Vec<u8>) {
        for name in ["t.pcre", "t.regexp"] {
            let (table, _) = Table::load(&file(name, &text), TableKind::Header);
            let _ = table.query(&line);
            let _ = table.run_examples();
        }
    }

    #[test]
    fn any_octets_are_read_as_a_table(text: Vec<u8>, line: Vec<u8>) {
        let file = RuleFile::built_in("t.pcre", &text);
        let (table, _) = Table::load(&file, TableKind::Body);
        let _ = table.query_text(&line);
    }
}
