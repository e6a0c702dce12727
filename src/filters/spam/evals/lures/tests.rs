//! Mails against rules that call these functions.

use std::collections::BTreeMap;

use crate::filters::spam::Engine;
use crate::filters::{Mail, RuleFile};
use crate::mail::Envelope;
use crate::mime::{Limits, decode};

/// The functions that hit a mail, as written.
fn hits(raw: &str, calls: &[&str]) -> Vec<String> {
    let rules: String =
        calls.iter().enumerate().map(|(at, call)| format!("header R{at} eval:{call}\n")).collect();
    let files = [RuleFile::built_in("t/x.cf", rules.as_bytes())];
    let (engine, mistakes) = Engine::load(&files, &BTreeMap::new());
    assert_eq!(mistakes, []);
    let message = decode(raw.replace('\n', "\r\n").into_bytes().into(), &Limits::default());
    let envelope = Envelope::default();
    let mail = Mail::alone(&envelope, &message);
    let outcome = engine.inspect(&mail, None);
    let name = |hit: &crate::filters::RuleHit| hit.name.get(1..).unwrap().parse::<usize>().unwrap();
    outcome.hits.iter().map(|hit| calls[name(hit)].to_owned()).collect()
}

fn check(call: &str, cases: &[(&str, bool)]) {
    for (raw, want) in cases {
        assert_eq!(!hits(raw, &[call]).is_empty(), *want, "{call} {raw}");
    }
}

fn html(page: &str) -> String {
    format!(
        "From: a@b.example\nTo: ann@example.org\nContent-Type: text/html; charset=utf-8\n\n{page}\n"
    )
}

#[test]
fn a_firm_in_the_name_writes_from_its_own_domain() {
    check(
        "lure_brand_in_name()",
        &[
            ("From: PayPal <service@paypal.example>\n\nx", false),
            ("From: PayPal <service@shop.example>\n\nx", true),
            ("From: \"=?utf-8?Q?DHL_Paket?=\" <a@b.example>\n\nx", true),
            ("From: Microsoft Outlook <MicrosoftExchange329e@example.org>\n\nx", false),
            ("From: Ann <ann@example.org>\n\nx", false),
            ("Subject: no sender\n\nx", false),
        ],
    );
}

#[test]
fn a_domain_that_looks_like_a_firm_is_seen() {
    check(
        "lure_brand_in_domain('from')",
        &[
            ("From: a@paypa1.com\n\nx", true),
            ("From: a@mail.paypal-billing.example\n\nx", true),
            ("From: a@paypal.com\n\nx", false),
        ],
    );
    check(
        "lure_brand_in_domain('link')",
        &[
            ("From: a@b.example\n\nsee https://www.rnicrosoft.com/a", true),
            ("From: a@b.example\n\nsee https://www.microsoft.com/a", false),
        ],
    );
}

#[test]
fn a_sender_that_nothing_vouches_for_is_seen() {
    let by = "Received: from x.example by mx.example.org; Fri, 1 Aug 2025 10:00:00 +0000\n";
    for (head, want) in [
        ("From: a@dhl.example\n", true),
        ("From: a@news.x.example\n", false),
        ("From: a@dhl.example\nDKIM-Signature: v=1; d=dhl.example; s=a\n", false),
        ("From: a@dhl.example\nMessage-ID: <1@dhl.example>\n", false),
        ("From: a@gmail.com\nMessage-ID: <1@gmail.com>\n", true),
        ("From: a@gmail.com\nDKIM-Signature: v=1; d=gmail.com; s=a\n", false),
        ("From: nobody\n", false),
    ] {
        check("lure_sender_unvouched()", &[(&format!("{by}{head}\nx"), want)]);
    }
    check("lure_sender_unvouched()", &[("From: a@dhl.example\n\nx", false)]);
}

#[test]
fn a_recipient_named_by_address_is_seen() {
    let to = "From: a@b.example\nTo: Ann <ann@example.org>\n";
    for (call, head, body, want) in [
        ("subject", "Subject: ann@example.org, you have won", "x", true),
        ("subject", "Subject: Ann, you have won", "x", false),
        ("fragment", "", "https://x.example/a#ann%40example.org", true),
        ("fragment", "", "https://x.example/a?u=ann@example.org", false),
        ("greeting", "Content-Type: text/html", "<p>Dear <b>Ann@example.org</b>,", true),
        ("greeting", "Content-Type: text/html", "<p>This was sent to ann@example.org", false),
    ] {
        let head = if head.is_empty() { String::new() } else { format!("{head}\n") };
        let call = format!("lure_names_recipient('{call}')");
        check(&call, &[(&format!("{to}{head}\n{body}"), want)]);
    }
}

#[test]
fn a_link_that_shows_another_address_is_seen() {
    let link = |text: &str| html(&format!("<a href='https://track.esp.example/1'>{text}</a>"));
    check(
        "lure_link_shows_other('any')",
        &[
            (&link("https://www.bank.example/login"), true),
            (&link("https://click.esp.example/"), false),
            (&link("Our shop"), false),
        ],
    );
    check(
        "lure_link_shows_other('brand')",
        &[(&link("www.paypal.com"), true), (&link("https://www.bank.example/"), false)],
    );
    check(
        "lure_links_elsewhere()",
        &[
            (&html("<a href='https://c.example/'>x</a>"), true),
            (
                &html("<a href='https://c.example/'>x</a><a href='https://www.b.example/'>y</a>"),
                false,
            ),
            (&html("no link"), false),
        ],
    );
}

#[test]
fn text_that_nobody_sees_is_counted() {
    let page = |hidden: &str| html(&format!("<p>seen</p><div style='display:none'>{hidden}</div>"));
    let fill = "&#847; &zwnj; &nbsp; &#8199; &#65279; &shy;".repeat(150);
    check(
        "lure_hidden_text(4, 800)",
        &[
            (&page(&"chaff ".repeat(300)), true),
            (&page("A look into our spring offers, and a word on parking"), false),
            (&page(&fill), false),
        ],
    );
}

#[test]
fn a_mail_of_one_picture_is_seen() {
    let picture = "<a href='https://c.example/x'><img src='https://d.example/x.png'></a>";
    check(
        "lure_picture_only(60)",
        &[
            (&html(picture), true),
            (&html(&format!("{picture}<p>{}</p>", "Some words to read. ".repeat(10))), false),
            (&html("<p>short, and no picture <a href='https://c.example/'>x</a>"), false),
        ],
    );
}

#[test]
fn parts_that_say_different_things_are_seen() {
    let mail = |plain: &str, page: &str| {
        format!(
            "From: a@b.example\nContent-Type: multipart/alternative; boundary=b\n\n--b\n\n{plain}\n--b\n\
             Content-Type: text/html\n\n<p>{page}</p>\n--b--\n"
        )
    };
    let words =
        |letter: char| (0..30_u8).map(|at| format!("{letter}word{at} ")).collect::<String>();
    check(
        "lure_alternatives_differ()",
        &[
            (&mail(&words('a'), &words('b')), true),
            (&mail(&words('a'), &words('a')), false),
            (&mail("See the page", &words('b')), false),
        ],
    );
}

#[test]
fn a_page_that_comes_as_a_file_is_looked_into() {
    let mail = |name: &str, page: &str| {
        format!(
            "From: a@b.example\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nsee\n--b\n\
             Content-Type: application/octet-stream; name=\"{name}\"\n\
             Content-Disposition: attachment\n\n{page}\n--b--\n"
        )
    };
    let script = "<html><script>window.location='https://c.example'</script>";
    check(
        "lure_page('script')",
        &[
            (&mail("voice.html", script), true),
            (&mail("logo.SVG", "<svg onload=alert(1)>"), true),
            (&mail("notes.html", "<p>Only text"), false),
            (&mail("notes.txt", script), false),
        ],
    );
    check("lure_page('leads')", &[(&mail("a.htm", script), true), (&mail("a.htm", "x"), false)]);
    check("lure_page('form')", &[(&mail("a.htm", "<input type=\"password\">"), true)]);
}

#[test]
fn wrong_arguments_are_told() {
    for call in ["lure_page('x')", "lure_hidden_text(1)", "lure_picture_only(few)"] {
        let rules = format!("header R eval:{call}\n");
        let files = [RuleFile::built_in("t/x.cf", rules.as_bytes())];
        assert_eq!(Engine::load(&files, &BTreeMap::new()).1.len(), 1, "{call}");
    }
}
