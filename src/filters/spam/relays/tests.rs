//! Tests of the way of a mail.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::filters::spam::Engine;
use crate::filters::{Known, RuleFile};
use crate::mail::{Envelope, Message};

fn with<R>(
    rules: &str,
    text: &str,
    envelope: &Envelope,
    internal: bool,
    ask: impl FnOnce(&View<'_>) -> R,
) -> R {
    let (engine, mistakes) =
        Engine::load(&[RuleFile::built_in("a.cf", rules.as_bytes())], &BTreeMap::new());
    assert_eq!(mistakes, []);
    let message: Message =
        crate::mime::decode(text.to_owned().into(), &crate::mime::Limits::default());
    let received = jiff::Timestamp::UNIX_EPOCH;
    let mail = Mail { envelope, message: &message, internal, received, known: Known::NOTHING };
    ask(&View::new(&engine, &mail))
}

fn shown(octets: Vec<u8>) -> String {
    String::from_utf8(octets).unwrap()
}

/// The hops of a zone, by the givers' addresses.
fn hops(rules: &str, text: &str, zone: Zone) -> Vec<String> {
    with(rules, text, &Envelope::default(), false, |view| {
        let relays = view.relays();
        let list = match zone {
            Zone::Trusted => &relays.trusted,
            Zone::Untrusted => &relays.untrusted,
            Zone::Internal => &relays.internal,
            Zone::External => &relays.external,
        };
        list.iter().map(|relay| shown(relay.ip.clone())).collect()
    })
}

fn one(value: &str) -> String {
    match received::read(value.as_bytes()) {
        Line::Relay(relay) => shown(line(&relay)),
        Line::Ignored(_) => "ignored".to_owned(),
        Line::Fetched => "fetched".to_owned(),
        Line::Unknown => "unknown".to_owned(),
    }
}

#[test]
fn fields_of_known_servers_are_read() {
    let hop = |ip: &str, rdns: &str, helo: &str, by: &str, more: &str| {
        let mut text = format!(
            "[ ip={ip} rdns={rdns} helo={helo} by={by} ident= envfrom= intl=0 id= auth= msa=0 ]"
        );
        for word in more.split_ascii_whitespace() {
            let (name, value) = word.split_once('=').unwrap();
            text = text.replace(&format!(" {name}= "), &format!(" {name}={value} "));
        }
        text
    };
    let me = "mx.home.example";
    for (value, want) in [
        (
            "from a.example (b.example [192.0.2.7])\n\tby mx.home.example (Postfix) with ESMTPS id 4XYZ\n\tfor <me@home.example>; Mon, 2 Mar 2026 10:00:00 +0100 (CET)",
            hop("192.0.2.7", "b.example", "a.example", me, "id=4XYZ"),
        ),
        (
            "from a.example (unknown [IPv6:2001:db8::7]) by mx.home.example (Postfix) with ESMTPSA id 4XYZ; Mon, 2 Mar 2026 10:00:00 +0100",
            hop("2001:db8::7", "", "a.example", me, "id=4XYZ auth=ESMTPSA"),
        ),
        (
            "from [192.0.2.7] (helo=a.example ident=joe) by mx.home.example with esmtp (Exim 4.96) id 1abc-DEF; Mon, 2 Mar 2026 10:00:00 +0100",
            hop("192.0.2.7", "", "a.example", me, "id=1abc-DEF ident=joe"),
        ),
        (
            "from b.example ([192.0.2.7] helo=a.example) by mx.home.example with esmtps (Exim 4.96) (envelope-from <x@a.example>) id 1abc; Mon, 2 Mar 2026 10:00:00 +0100",
            hop("192.0.2.7", "b.example", "a.example", me, "id=1abc envfrom=x@a.example"),
        ),
        (
            "from a.example (IDENT:joe@b.example [192.0.2.7]) by mx.home.example (8.17/8.17) with ESMTP id xyz12",
            hop("192.0.2.7", "b.example", "a.example", me, "id=xyz12 ident=joe"),
        ),
        (
            "from b.example (HELO a.example) (joe@192.0.2.7) by mx.home.example with SMTP; 2 Mar 2026 10:00:00 -0000",
            hop("192.0.2.7", "b.example", "a.example", me, "ident=joe"),
        ),
        (
            "from EX.prod.outlook.example ([fe80::1]) by mx.home.example ([fe80::2%4]) with mapi id 15.20.1.2; Mon, 2 Mar 2026 10:00:00 +0000",
            hop("fe80::1", "", "EX.prod.outlook.example", me, ""),
        ),
        (
            "from a.example ([::ffff:192.0.2.7]) by mx.home.example with esmtp; Mon, 2 Mar 2026 10:00:00 +0000",
            hop("192.0.2.7", "", "a.example", me, ""),
        ),
        (
            "from a.example by mx.home.example with SMTP; Mon, 2 Mar 2026 10:00:00 +0000",
            "ignored".into(),
        ),
        ("by mx.home.example (Postfix, from userid 1000) id 4XYZ", "ignored".into()),
        (
            "from pop.example (192.0.2.9) by home with POP3; 2 Mar 2026 10:00:00 -0000",
            "fetched".into(),
        ),
        ("from a.example (::1) by", "ignored".into()),
        ("from nowhere in particular", "unknown".into()),
    ] {
        assert_eq!(one(value), want, "{value}");
    }
}

const WAY: &str = "X-Top: 1\nReceived: from in (in.home.example [10.0.0.1]) by mx (Postfix) with ESMTP id 111\n\
    X-Mine: 1\nReceived: from s (s.example [192.0.2.7]) by in (Postfix) with ESMTP id 222\n\
    X-Theirs: 1\nReceived: from t (t.example [198.51.100.7]) by s (Postfix) with ESMTP id 333\n\
    From: a@s.example\n\nhi\n";

#[test]
fn trust_reaches_to_the_first_stranger() {
    for (rules, zone, want) in [
        ("", Zone::Trusted, vec!["10.0.0.1"]),
        ("", Zone::Untrusted, vec!["192.0.2.7", "198.51.100.7"]),
        ("trusted_networks 192.0.2.0/24 10/8", Zone::Trusted, vec!["10.0.0.1", "192.0.2.7"]),
        ("trusted_networks 192.0.2.0/24", Zone::Trusted, vec![]),
        ("internal_networks 10/8", Zone::Trusted, vec!["10.0.0.1"]),
        (
            "trusted_networks 10/8 192.0.2/24\ninternal_networks 10/8",
            Zone::Internal,
            vec!["10.0.0.1"],
        ),
        (
            "trusted_networks 10/8\nmsa_networks 10.0.0.1",
            Zone::Trusted,
            vec!["10.0.0.1", "192.0.2.7", "198.51.100.7"],
        ),
        ("trusted_networks 9/8\nclear_trusted_networks", Zone::Trusted, vec!["10.0.0.1"]),
    ] {
        assert_eq!(hops(rules, WAY, zone), want, "{rules} {zone:?}");
    }
}

#[test]
fn fields_belong_to_who_wrote_them() {
    let names = |name: &str| {
        let text = with("", WAY, &Envelope::default(), false, |view| {
            Way::parse(name).unwrap().text(view, false).unwrap_or_default()
        });
        shown(text)
            .lines()
            .map(|line| line.split(':').next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names("ALL-TRUSTED"), ["X-Top", "Received", "X-Mine", "Received"]);
    assert_eq!(names("ALL-EXTERNAL"), ["Received", "X-Theirs", "Received", "From"]);
    assert!(Way::parse("ALL-OTHERS").is_none() && Way::parse("X-Spam-Relays").is_none());
}

#[test]
fn the_client_comes_first_until_the_site_has_written_of_it() {
    let mut envelope = Envelope::default();
    envelope.client.address = "203.0.113.9".parse().ok();
    envelope.client.name = Some("c.example".to_owned());
    envelope.client.helo = Some("helo.example".to_owned());
    envelope.sender.address = "x@c.example".to_owned();
    envelope.sender.argument = b"<x@c.example>".to_vec();
    with("", WAY, &envelope, false, |view| {
        let relays = view.relays();
        assert!(relays.client_first && relays.trusted.is_empty());
        assert_eq!(relays.sender.as_deref(), Some(b"x@c.example".as_slice()));
        let text = shown(relays.text(Zone::External));
        let first = "[ ip=203.0.113.9 rdns=c.example helo=helo.example by= ident= envfrom=x@c.example intl=0 id= auth= msa=0 ] [ ip=10.0.0.1 ";
        assert!(text.starts_with(first), "{text}");
        assert_eq!(Way::Fields(Zone::Trusted).text(view, false), None);
        let all = Way::Fields(Zone::External).text(view, false).unwrap();
        assert!(all.starts_with(b"X-Top: 1\n"));
    });
    // One of ours sent it.
    with("", WAY, &envelope, true, |view| {
        assert_eq!(view.relays().trusted.len(), 2);
        assert_eq!(view.relays().untrusted.len(), 2);
    });
    // The first stranger is the client, in a field that has the queue id of our Postfix.
    envelope.client.address = "192.0.2.7".parse().ok();
    envelope.client.ident = Some("222".to_owned());
    with("", WAY, &envelope, false, |view| {
        assert!(!view.relays().client_first);
        assert_eq!(view.relays().untrusted.len(), 2);
        assert_eq!(view.relays().untrusted[0].by, b"in");
    });
}

#[test]
fn a_field_that_the_client_wrote_of_himself_says_nothing_for_him() {
    let forged = "Received: from nice.example (nice.example [203.0.113.9]) by mx.home.example (Postfix)\n\
        \twith ESMTPSA id 4XYZ; Mon, 2 Mar 2026 10:00:00 +0100\n\
        Received: from t (t.example [198.51.100.7]) by s (Postfix) with ESMTP id 333\nFrom: a@s.example\n\nhi\n";
    let mut envelope = Envelope::default();
    envelope.client.address = "203.0.113.9".parse().ok();
    envelope.client.helo = Some("evil.example".to_owned());
    let client =
        "[ ip=203.0.113.9 rdns= helo=evil.example by= ident= envfrom= intl=0 id= auth= msa=0 ]";
    let other =
        "[ ip=198.51.100.7 rdns=t.example helo=t by=s ident= envfrom= intl=0 id=333 auth= msa=0 ]";
    for (rules, ident) in
        [("", None), ("", Some("5ABC")), ("internal_networks 10/8\nmsa_networks 10.0.0.1\n", None)]
    {
        envelope.client.ident = ident.map(str::to_owned);
        with(rules, forged, &envelope, false, |view| {
            let relays = view.relays();
            assert!(relays.trusted.is_empty() && relays.internal.is_empty());
            assert_eq!(shown(relays.text(Zone::External)), format!("{client} {other}"));
            assert_eq!(shown(relays.text(Zone::Untrusted)), format!("{client} {other}"));
            assert_eq!(Way::Fields(Zone::Trusted).text(view, false), None);
        });
    }
    // Below a field that pretends to be from within, too.
    let below = format!(
        "Received: from in (in.home.example [10.0.0.1]) by mx (Postfix) with ESMTP id 1\n{forged}"
    );
    envelope.client.ident = None;
    with("", &below, &envelope, false, |view| {
        assert!(view.relays().trusted.is_empty());
        assert!(shown(view.relays().text(Zone::External)).starts_with(client));
    });
    // It is Postfix' own: he logged in.
    envelope.client.ident = Some("4XYZ".to_owned());
    with("", forged, &envelope, false, |view| {
        assert_eq!(shown(view.relays().text(Zone::Trusted)).matches("auth=ESMTPSA").count(), 1);
    });
    // A client of ours may tell of himself.
    envelope.client.ident = None;
    with("", forged, &envelope, true, |view| assert!(!view.relays().client_first));
    // Without a client, as with a file, the fields are all there is.
    with("", forged, &Envelope::default(), false, |view| {
        assert_eq!(view.relays().trusted.len(), 1);
    });
}

#[test]
fn without_an_envelope_the_sender_is_guessed() {
    for (rules, text, want) in [
        ("", "Return-Path: <a@x.example>\nReceived: from s\n\n", Some("a@x.example")),
        ("", "Received: from s\nReturn-Path: <a@x.example>\n\n", None),
        ("", "X-Envelope-From: <b@x.example>\n\n", Some("b@x.example")),
        (
            "",
            "Received: from b.example ([192.0.2.7] helo=a) by c with esmtps (Exim 4.96) (envelope-from <e@x.example>) id 1abc\n\n",
            Some("e@x.example"),
        ),
        (
            "envelope_sender_header X-My-Sender\n",
            "X-My-Sender: c@x.example\n\n",
            Some("c@x.example"),
        ),
        ("envelope_sender_header X-My-Sender\n", "Return-Path: <a@x.example>\n\n", None),
    ] {
        let got =
            with(rules, text, &Envelope::default(), false, |view| view.relays().sender.clone());
        assert_eq!(got.map(shown).as_deref(), want, "{text}");
    }
}

#[test]
fn web_mail_names_the_address_of_its_user() {
    let text = "Received: from a (b.example [192.0.2.7]) by c (Postfix) with ESMTP id 12\n\
        X-Originating-IP: [198.51.100.3]\n\n";
    assert_eq!(
        hops("originating_ip_headers X-Originating-IP", text, Zone::Untrusted),
        ["192.0.2.7", "198.51.100.3"]
    );
}

#[test]
fn a_long_line_is_read_in_its_time() {
    let start = std::time::Instant::now();
    for piece in ["(a@[", "by x (", "from ", "helo=", " ([1.2.3.4]) by", "with SMTP "] {
        let line = format!("from a {}", piece.repeat(100_000));
        let _ = received::read(line.as_bytes());
    }
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

proptest! {
    #[test]
    fn no_octets_make_it_fail(value in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = received::read(&value);
    }

    #[test]
    fn no_words_make_it_fail(words in proptest::collection::vec(prop_oneof![
        Just("from"), Just("by"), Just("(a [192.0.2.1])"), Just("([::1])"), Just("helo=x"), Just("with"),
        Just("SMTP"), Just("(Exim 4)"), Just("id"), Just("<a@b>"), Just("for"), Just("[1.2.3]"), Just("x.y")], 0..14))
    {
        let _ = received::read(format!("from {}", words.join(" ")).as_bytes());
    }
}
