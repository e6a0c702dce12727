//! Rules over lists, with answers that a test makes up.

use std::collections::BTreeMap;

use super::*;
use crate::filters::auth::{Auth, AuthResult, Dkim};
use crate::filters::dns::{Answer, Record, RecordKind};
use crate::filters::spam::Engine;
use crate::filters::{Known, Mail, RuleFile};
use crate::mail::Envelope;

const RAW: &[u8] = b"From: \"A\" <a@Author.test>\r\nReply-To: r@reply.test\r\nSubject: x\r\n\r\nhttp://www.shop.co.uk/x https://spared.test/ http://mail.link.test/\r\n";

/// The questions of rules about a mail, and the rules that hit with these replies.
fn run(rules: &str, replies: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
    let rules = format!("util_rb_tld test uk\nutil_rb_2tld co.uk\n{rules}");
    let file = RuleFile::built_in("t.cf", rules.as_bytes());
    let (engine, mistakes) = Engine::load(&[file], &BTreeMap::new());
    assert!(mistakes.iter().all(|one| one.severity == Severity::Warning), "{mistakes:?}");
    let message =
        crate::mime::decode(bytes::Bytes::from_static(RAW), &crate::mime::Limits::default());
    let mut envelope = Envelope::default();
    envelope.client.address = Some("192.0.2.7".parse().unwrap());
    envelope.client.helo = Some("mx.client.test".into());
    envelope.sender.address = "b@Envelope.test".into();
    let mut answers = Answers::default();
    for (name, reply) in replies {
        let (name, kind, record) = match (name.strip_prefix("NS "), name.strip_prefix("TXT ")) {
            (Some(name), _) => (name, RecordKind::Ns, Record::Name((*reply).to_owned())),
            (_, Some(name)) => (name, RecordKind::Txt, Record::Txt(reply.as_bytes().to_vec())),
            _ => (*name, RecordKind::A, Record::A(reply.parse().unwrap())),
        };
        answers.insert(Question::new(name, kind), Answer::Records([record].into()));
    }
    let dkim = Dkim { result: AuthResult::Pass, domain: "signer.test".into(), ..Dkim::default() };
    let auth = Auth { dkim: vec![dkim], ..Auth::default() };
    let known = Known { auth: Some(Arc::new(auth)), ..Known::default() };
    let (envelope, message) = (&envelope, &message);
    let mail = |known| Mail {
        envelope,
        message,
        internal: false,
        received: jiff::Timestamp::UNIX_EPOCH,
        known,
    };
    let asking = mail(&known);
    let view = View::new(&engine, &asking);
    let mut names: Vec<String> =
        questions(&view, &answers).into_iter().map(|one| one.question.name).collect();
    names.sort();
    names.dedup();
    let nobody = engine.inspect(&mail(&known), None);
    assert!(nobody.hits.is_empty(), "nothing was asked: {:?}", nobody.hits);
    let known = Known { dns: Some(Arc::new(answers)), ..known.clone() };
    let hits = engine.inspect(&mail(&known), None).hits;
    (names, hits.iter().map(|hit| hit.name.to_string()).collect())
}

fn check(rules: &str, replies: &[(&str, &str)], names: &[&str], hits: &[&str]) {
    let (got_names, got_hits) = run(rules, replies);
    assert_eq!(
        (got_names, got_hits),
        (
            names.iter().map(|one| (*one).to_owned()).collect(),
            hits.iter().map(|one| (*one).to_owned()).collect()
        ),
        "{rules}"
    );
}

#[test]
fn a_set_is_asked_once_and_its_parts_read_the_reply() {
    let rules = "header A eval:check_rbl('zen', 'zen.test.')\n\
        header B eval:check_rbl_sub('zen', '127.0.0.2')\n\
        header C eval:check_rbl_sub('zen', '^127\\.0\\.0\\.[34]$')\n\
        header D eval:check_rbl('zen-lastexternal', 'zen.test.', '^127\\.0\\.0\\.2$')\n\
        header E eval:check_rbl_sub('zen', '2')\n";
    let name = "7.2.0.192.zen.test";
    check(rules, &[(name, "127.0.0.2")], &[name], &["A", "B", "D", "E"]);
    check(rules, &[(name, "127.0.0.4")], &[name], &["A", "C"]);
    check(rules, &[(name, "127.255.255.254")], &[name], &[]);
    check(rules, &[(name, "127.0.0.1")], &[name], &[]);
    check(rules, &[(name, "192.0.2.1")], &[name], &[]);
    check(rules, &[], &[name], &[]);
}

#[test]
fn texts_senders_and_digests_are_asked() {
    check(
        "header A eval:check_rbl_txt('s', 'bl.test.', '(?i:SPAM)')\n",
        &[("TXT 7.2.0.192.bl.test", "it is spam")],
        &["7.2.0.192.bl.test"],
        &["A"],
    );
    check(
        "header A eval:check_rbl_envfrom('s', 'rhs.test.')\nheader B eval:check_rbl_from_domain('s', 'rhs.test.', '127.0.0.9')\n",
        &[("envelope.test.rhs.test", "127.0.0.2"), ("author.test.rhs.test", "127.0.0.2")],
        &["author.test.rhs.test", "envelope.test.rhs.test"],
        &["A"],
    );
    let (names, _) = run("header A eval:check_hashbl_emails('ebl.test', 'md5')\n", &[]);
    assert_eq!(names.len(), 3);
    assert!(names.iter().all(|name| name.len() == 32 + ".ebl.test".len()), "{names:?}");
}

#[test]
fn links_are_asked_by_domain_and_by_name_server() {
    let rules = "uridnsbl_skip_domain spared.test\n\
        urirhssub A dbl.test. A 127.0.1.2\nbody A eval:check_uridnsbl('A')\n\
        urirhssub B dbl.test. A 8\nbody B eval:check_uridnsbl('B')\n";
    let names = ["link.test.dbl.test", "shop.co.uk.dbl.test"];
    check(rules, &[("shop.co.uk.dbl.test", "127.0.1.2")], &names, &["A"]);
    check(rules, &[("link.test.dbl.test", "127.0.0.10")], &names, &["B"]);
    let rules = "uridnsbl_skip_domain spared.test shop.co.uk\n\
        uridnssub A sbl.test. A 127.0.0.2\nbody A eval:check_uridnsbl('A')\n";
    check(rules, &[], &["link.test"], &[]);
    check(rules, &[("NS link.test", "ns.host.test")], &["ns.host.test"], &[]);
    let found = [
        ("NS link.test", "ns.host.test"),
        ("ns.host.test", "192.0.2.53"),
        ("53.2.0.192.sbl.test", "127.0.0.2"),
    ];
    check(rules, &found, &["53.2.0.192.sbl.test"], &["A"]);
}

#[test]
fn names_are_made_of_facts() {
    let rules = "askdns A _DKIMDOMAIN_.wl.test A /^127\\.\\d+\\.3\\.\\d+$/\n\
        askdns B _SENDERDOMAIN_ TXT /^v=spf1 \\+all$/\n\
        askdns C _LASTEXTERNALHELO_ A /./\n\
        askdns D _NOSUCHTHING_.x.test A\n";
    check(
        rules,
        &[
            ("signer.test.wl.test", "127.9.3.1"),
            ("TXT envelope.test", "v=spf1 +all"),
            ("mx.client.test", "192.0.2.7"),
        ],
        &["envelope.test", "mx.client.test", "signer.test.wl.test"],
        &["A", "B", "C"],
    );
}

#[test]
fn sets_choose_relays_by_the_end_of_their_name() {
    use super::inputs::Hops;
    use super::relays::selected;
    let addresses = |list: &[&str]| list.iter().map(|one| one.parse().unwrap()).collect::<Vec<_>>();
    let trusts = |address: std::net::IpAddr| address == addresses(&["192.0.2.1"])[0];
    let hops = Hops {
        external: addresses(&["192.0.2.1", "10.0.0.1", "192.0.2.2", "192.0.2.3"]),
        untrusted: addresses(&["192.0.2.2", "192.0.2.2", "192.0.2.3"]),
        originating: addresses(&["192.0.2.1", "10.0.0.2", "192.0.2.9"]),
    };
    for (set, nice, want) in [
        ("x", false, &["192.0.2.9", "192.0.2.3", "192.0.2.2"][..]),
        // A relay of trust is nothing that points could be given for, but one that a mail may be praised for.
        ("x-lastexternal", false, &[]),
        ("x-lastexternal", true, &["192.0.2.1"]),
        ("x-firsttrusted", false, &["192.0.2.2"]),
        ("x-untrusted", false, &["192.0.2.3", "192.0.2.9"]),
        ("x-notfirsthop", false, &["192.0.2.2"]),
        ("x-notfirsthop", true, &["192.0.2.1", "192.0.2.2"]),
    ] {
        assert_eq!(selected(set, nice, &hops, trusts), addresses(want), "{set} {nice}");
    }
    let only_trusted = Hops { external: addresses(&["192.0.2.1"]), ..Hops::default() };
    assert_eq!(selected("x-lastexternal", true, &only_trusted, trusts), addresses(&[]));
    let many = Hops {
        untrusted: (1..=200).map(|last| [198, 51, 100, last].into()).collect(),
        ..Hops::default()
    };
    assert_eq!(selected("x", false, &many, trusts).len(), 9);
}

/// The names of questions about a mail with this header, brought by 192.0.2.7.
fn asked(rules: &str, header: &str) -> Vec<String> {
    let rules = format!("util_rb_tld test\n{rules}");
    let file = RuleFile::built_in("t.cf", rules.as_bytes());
    let (engine, mistakes) = Engine::load(&[file], &BTreeMap::new());
    assert!(mistakes.is_empty(), "{mistakes:?}");
    let raw = bytes::Bytes::from(header.replace('\n', "\r\n"));
    let message = crate::mime::decode(raw, &crate::mime::Limits::default());
    let mut envelope = Envelope::default();
    envelope.client.address = Some("192.0.2.7".parse().unwrap());
    let mail = Mail::alone(&envelope, &message);
    let view = View::new(&engine, &mail);
    let asked = questions(&view, &Answers::default()).into_iter();
    let mut names: Vec<String> = asked.map(|one| one.question.name).collect();
    names.sort();
    names
}

#[test]
fn relays_come_from_the_received_fields_and_trust_moves_the_border() {
    let header = "Received: from a.test (a.test [198.51.100.1]) by mx.test with ESMTP id 1; Mon, 1 Jan 2024 00:00:00 +0000\n\
        Received: from b.test (b.test [198.51.100.2]) by a.test with ESMTP id 2; Mon, 1 Jan 2024 00:00:00 +0000\n\
        X-Originating-IP: [198.51.100.3]\nSubject: x\n\nx\n";
    let rules = "header A eval:check_rbl('l-lastexternal', 'last.test.')\n\
        header B eval:check_rbl('n-notfirsthop', 'nfh.test.')\n\
        header C eval:check_rbl('f-firsttrusted', 'first.test.')\n";
    // The client is no hop that the fields tell of: it is the last one outside.
    let client = ["1.100.51.198.nfh.test", "7.2.0.192.first.test", "7.2.0.192.last.test"];
    let got = asked(rules, header);
    for name in client {
        assert!(got.contains(&name.to_owned()), "{name} is not in {got:?}");
    }
    assert!(!got.iter().any(|name| name.starts_with("2.100.51.198.nfh")), "{got:?}");
    // A relay that forwards to us, and is trusted: whom it tells of is the first stranger.
    let forwarded = format!("trusted_networks 192.0.2.7\ninternal_networks 192.0.2.7\n{rules}");
    let got = asked(&forwarded, header);
    for name in ["1.100.51.198.first.test", "1.100.51.198.last.test"] {
        assert!(got.contains(&name.to_owned()), "{name} is not in {got:?}");
    }
    assert!(!got.iter().any(|name| name.starts_with("7.2.0.192")), "{got:?}");
    // Fields that tell of a user of web mail.
    let origin =
        "originating_ip_headers X-Originating-IP\nheader A eval:check_rbl('l', 'all.test.')\n";
    assert!(asked(origin, header).contains(&"3.100.51.198.all.test".to_owned()));
    assert!(!asked(rules, header).iter().any(|name| name.starts_with("3.")));
}

#[test]
fn links_are_asked_as_the_flags_of_their_rule_say() {
    let header = "Subject: x\n\nhttp://a.b.test/ http://198.51.100.8/ http://10.0.0.1/ mailto:me@mail.test\n";
    let rule = |flags: &str| {
        format!("urirhssub A bl.test. A 2\nbody A eval:check_uridnsbl('A')\ntflags A net {flags}\n")
    };
    for (flags, want) in [
        ("", &["8.100.51.198.bl.test", "b.test.bl.test"][..]),
        ("notrim", &["8.100.51.198.bl.test", "a.b.test.bl.test"]),
        ("domains_only", &["b.test.bl.test"]),
        ("ips_only", &["8.100.51.198.bl.test"]),
    ] {
        assert_eq!(asked(&rule(flags), header), want, "{flags}");
    }
    let limited = format!("uridnsbl_max_domains 1\n{}", rule(""));
    assert_eq!(asked(&limited, header).len(), 1);
    let spared = format!("uridnsbl_skip_domain b.test 198.51.100.8\n{}", rule(""));
    assert_eq!(asked(&spared, header), [""; 0]);
    let off = format!("{}score A 0\n", rule(""));
    assert_eq!(asked(&off, header), [""; 0]);
    let address = "uridnssub A ip.test. A 2\nbody A eval:check_uridnsbl('A')\ntflags A net a\n";
    assert_eq!(asked(address, header), ["a.b.test"]);
}

#[test]
fn more_hosts_than_are_asked_about_are_told() {
    let rules = "urirhssub A bl.test. A 2\nbody A eval:check_uridnsbl('A')\ntflags A net\n";
    let told = |rules: &str, count: usize| {
        let rules = format!("util_rb_tld test\n{rules}");
        let file = RuleFile::built_in("t.cf", rules.as_bytes());
        let (engine, _) = Engine::load(&[file], &BTreeMap::new());
        let links: String = (0..count).map(|n| format!("http://h{n}.test/\n")).collect();
        let text = format!("Subject: x\n\n{links}");
        let message = crate::mime::decode(text.into(), &crate::mime::Limits::default());
        let envelope = Envelope::default();
        let mail = Mail::alone(&envelope, &message);
        let view = View::new(&engine, &mail);
        assert!(!leaves_hosts_out(&view), "nobody has asked yet");
        let _ = questions(&view, &Answers::default());
        leaves_hosts_out(&view)
    };
    assert!(!told(rules, 20) && told(rules, 21));
    assert!(told(&format!("uridnsbl_max_domains 2\n{rules}"), 3));
}

#[test]
fn digests_are_of_addresses_that_are_not_spared() {
    let header = "From: a+tag@a.test\nReply-To: b@b.test\nSubject: x\n\nwrite to c@c.test\n";
    let rule = "uridnsbl_skip_domain b.test\nheader A eval:check_hashbl_emails('ebl.test')\n";
    let sha1 = |text: &str| {
        use sha1::Digest as _;
        let octets = sha1::Sha1::digest(text.as_bytes());
        octets.iter().map(|octet| format!("{octet:02x}")).collect::<String>() + ".ebl.test"
    };
    let mut want = [sha1("a@a.test"), sha1("c@c.test")];
    want.sort();
    assert_eq!(asked(rule, header), want);
}

fn sha1(text: &str) -> String {
    use sha1::Digest as _;
    let octets = sha1::Sha1::digest(text.as_bytes());
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// The digests of these, before a zone, in order.
fn digests(zone: &str, texts: &[&str]) -> Vec<String> {
    let mut all: Vec<String> = texts.iter().map(|text| format!("{}.{zone}", sha1(text))).collect();
    all.sort();
    all
}

#[test]
fn addresses_of_a_text_are_taken_as_the_options_say() {
    let header = "From: A.B+c@Freemail.test\nX-Original-Sender: o@o.test\nDelivered-To: own@me.test\nSubject: x\n\n\
        write to own@me.test, info@a.test or Jo <d@d.test>, https://x.test/?e@e.test\n";
    for (arguments, want) in [
        ("", &["a.b@freemail.test", "//x.test/?e@e.test"][..]),
        ("'sha1/noquote/nouri'", &["a.b+c@freemail.test"]),
        ("'sha1/nodot/notag', 'From:addr'", &["ab@freemail.test"]),
        ("'sha1/case', 'From:addr'", &["A.B+c@Freemail.test"]),
        ("'sha1/user', 'X-Original-Sender'", &["o"]),
        ("'sha1/host', 'From'", &["freemail.test"]),
        ("'sha1/max=1', 'body'", &["d@d.test"]),
        ("'sha1', 'X-None'", &[]),
    ] {
        let comma = if arguments.is_empty() { "" } else { ", " };
        let rule = format!("header A eval:check_hashbl_emails('e.test'{comma}{arguments})\n");
        assert_eq!(asked(&rule, header), digests("e.test", want), "{arguments}");
    }
    let alias = "hashbl_email_domain_alias big.test freemail.test\nhashbl_ignore x@x.test\n\
        header A eval:check_hashbl_emails('e.test', 'sha1', 'From')\n";
    assert_eq!(
        asked(alias, header),
        digests("e.test", &["A.B+c@big.test".to_lowercase().as_str()])
    );
    let ignored = format!("hashbl_ignore A.B+c@BIG.test\n{alias}");
    assert_eq!(asked(&ignored, header), [""; 0]);
}

#[test]
fn links_texts_and_parts_are_asked_by_their_digests() {
    let header = "Subject: x\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\n\
        http://A.test/Path and http://spared.test/ pay 1abcX and 1abcX or 2defY today\n\
        --b\nContent-Type: application/x-y; name=\"a.bin\"\nContent-Transfer-Encoding: base64\n\nYWJj\n--b--\n";
    let uris = "uridnsbl_skip_domain spared.test\nheader A eval:check_hashbl_uris('u.test')\n";
    assert_eq!(asked(uris, header), digests("u.test", &["http://a.test/path"]));
    let text =
        |arguments: &str| format!("body A eval:check_hashbl_bodyre('b.test', {arguments})\n");
    let twice = digests("b.test", &["1abcx", "2defy"]);
    assert_eq!(asked(&text(r"'', '\b(\d[a-z]{3}[XY])\b'"), header), twice);
    assert_eq!(asked(&text(r"'raw/case', '\b(\d[a-z]{3}X)\b'"), header), ["1abcx.b.test"]);
    assert_eq!(asked(&text(r"'sha1/num', '\b(\d[a-z]{3}X)\b'"), header), digests("b.test", &["1"]));
    assert_eq!(asked(&text(r"'sha1/max=1', '\b(\d[a-z]{3}[XY])\b'"), header).len(), 1);
    let markup = "rawbody A eval:check_hashbl_bodyre('b.test', 'sha1', 'p(a)y')\n";
    assert_eq!(asked(markup, header), digests("b.test", &["a"]));
    let parts = "body A eval:check_hashbl_attachments('p.test')\n";
    let got = asked(parts, header);
    assert!(got.contains(&format!("{}.p.test", sha1("abc"))) && got.len() == 2, "{got:?}");
    let small = "body A eval:check_hashbl_attachments('p.test', 'sha1/maxsize=3')\n";
    assert_eq!(asked(small, header), digests("p.test", &["abc"]));
    for ignored in ["a.bin", "application/x-y", &sha1("abc")] {
        assert_eq!(asked(&format!("hashbl_ignore {ignored}\n{small}"), header), [""; 0]);
    }
}

#[test]
fn facts_of_a_mail_and_what_rules_caught_are_asked() {
    let header = "From: a@mail.author.test\nX-Id: 4711\nSubject: x\n\nx\n";
    let rule = |arguments: &str| {
        format!(
            "header __X X-Id =~ /^(?<SOMEID>\\d+)/\nheader A eval:check_hashbl_tag('t.test', {arguments})\n"
        )
    };
    for (arguments, want) in [
        ("'raw', 'SOMEID'", &["4711.t.test"][..]),
        ("'raw', '_someid_'", &["4711.t.test"]),
        ("'raw/tld', 'SOMEID'", &[]),
        ("'raw', 'AUTHORDOMAIN'", &["mail.author.test.t.test"]),
        ("'raw/trim', 'AUTHORDOMAIN'", &["author.test.t.test"]),
        ("'raw/ip', 'AUTHORDOMAIN'", &[]),
        ("'raw', 'LASTEXTERNALIP'", &["192.0.2.7.t.test"]),
        ("'raw/ip/revip', 'LASTEXTERNALIP'", &["7.2.0.192.t.test"]),
        ("'raw/ipv6', 'LASTEXTERNALIP'", &[]),
        ("'raw', 'NOBODY'", &[]),
    ] {
        assert_eq!(asked(&rule(arguments), header), want, "{arguments}");
    }
}

#[test]
fn digests_that_are_listed_hit_and_refusals_do_not() {
    let name = format!("{}.e.test", sha1("a@author.test"));
    let rules = "header A eval:check_hashbl_emails('e.test', 'sha1', 'From')\n\
        header B eval:check_hashbl_emails('e.test/A', 'sha1', 'From', '^127\\.0\\.0\\.9$')\n\
        header C eval:check_hashbl_emails('e.test/TXT', 'sha1', 'From', 'bad')\n";
    check(rules, &[(&name, "127.0.0.2")], &[&name], &["A"]);
    check(rules, &[(&name, "127.0.0.9")], &[&name], &["A", "B"]);
    check(rules, &[(&name, "127.255.255.254")], &[&name], &[]);
    check(rules, &[(&format!("TXT {name}"), "a bad one")], &[&name], &["C"]);
}

#[test]
fn wrong_calls_are_told_at_load() {
    for (call, why) in [
        ("header A eval:check_hashbl_uris('u.test', 'raw')", "raw"),
        ("header A eval:check_hashbl_emails('')", "zone"),
        ("header A eval:check_hashbl_emails('e.test/MX')", "mx"),
        ("header A eval:check_hashbl_emails('e.test', '', '', '', 'freemail')", "hashbl_acl_"),
        ("body A eval:check_hashbl_bodyre('b.test', 'raw', 'abc')", "group"),
        ("body A eval:check_hashbl_bodyre('b.test', 'raw', '(abc')", "cannot be read"),
        ("header A eval:check_hashbl_tag('t.test', 'raw')", "tag"),
        ("header A eval:check_rbl_accreditor('s', 'l.test.', '')", "vouches"),
        ("hashbl_email_domain_alias a@b.test c.test", "domain"),
        ("hashbl_email_welcomelist /(/", "cannot be read"),
    ] {
        let file = RuleFile::built_in("t.cf", call.as_bytes());
        let (_, mistakes) = Engine::load(&[file], &BTreeMap::new());
        assert!(mistakes.iter().any(|one| one.what.contains(why)), "{call}: {mistakes:?}");
    }
}

#[test]
fn the_oldest_relay_is_asked_by_all_its_names() {
    let header = "Received: from b.helo.test (b.rdns.test [198.51.100.2]) by a.taker.test with ESMTP id 2; Mon, 1 Jan 2024 00:00:00 +0000\n\
        Subject: x\n\nx\n";
    let rule = |flags: &str| {
        format!("header A eval:check_rbl_rcvd('r', 'r.test.')\ntflags A net {flags}\n")
    };
    let names = ["a.taker.test.r.test", "b.helo.test.r.test", "b.rdns.test.r.test"];
    let address = "2.100.51.198.r.test";
    let mut all = vec![address];
    all.extend(names);
    assert_eq!(asked(&rule(""), header), all);
    assert_eq!(asked(&rule("domains_only"), header), names);
    assert_eq!(asked(&rule("ips_only"), header), [address]);
}

#[test]
fn servers_of_the_sender_are_asked_once_they_are_known() {
    let rules = "header A eval:check_rbl_ns_from('n', 'ns.test.')\nheader B eval:check_rbl_sub('n', '127.0.0.3')\n";
    check(rules, &[], &["envelope.test"], &[]);
    check(rules, &[("NS envelope.test", "dns.host.test")], &["dns.host.test.ns.test"], &[]);
    let listed = [("NS envelope.test", "dns.host.test"), ("dns.host.test.ns.test", "127.0.0.3")];
    check(rules, &listed, &["dns.host.test.ns.test"], &["A", "B"]);
}

#[test]
fn a_list_of_the_good_is_asked_only_if_the_mail_names_it() {
    let rule = "header A eval:check_rbl_accreditor('a-lastexternal', 'acc.test.', '', 'trust')\ntflags A net nice\n";
    let field = |value: &str| format!("Accreditor: {value}\nSubject: x\n\nx\n");
    for (value, asks) in [
        ("trust", true),
        ("other, Trust parm=1", true),
        ("other", false),
        ("trusted", false),
        ("", false),
    ] {
        assert_eq!(asked(rule, &field(value)).len(), usize::from(asks), "{value}");
    }
    for (sender, asks) in [
        ("x@a--trust.mail.test", true),
        ("x@b.A--TRUST.mail.test", true),
        ("x@ba--trust.mail.test", false),
        ("a--trust@mail.test", false),
        ("x@a--trust", false),
    ] {
        let header = format!("Return-Path: <{sender}>\nSubject: x\n\nx\n");
        assert_eq!(asked(rule, &header).len(), usize::from(asks), "{sender}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_a_digest_fail(text in "(a@b\\.test|http://|mailto:|[<>(@.\\\\ -]|\\PC|é){0,40}", tag in "\\PC{0,20}") {
        let rules = "header A eval:check_hashbl_emails('e.test', 'raw', 'ALL/body')\nheader B eval:check_hashbl_uris('u.test')\n\
            body C eval:check_hashbl_bodyre('b.test', 'raw', '(.*)')\nheader __X X-Id =~ /(?<ID>.*)/\n\
            header D eval:check_hashbl_tag('t.test', 'raw', 'ID')\n";
        for name in asked(rules, &format!("From: {text}\nX-Id: {tag}\n\n{text}\n")) {
            proptest::prop_assert!(name.len() <= 253 && name.split('.').all(|label| (1..=63).contains(&label.len())), "{name}");
        }
    }

    #[test]
    fn no_header_makes_it_fail(lines in proptest::collection::vec("(From|Reply-To|X-Originating-IP|Received): \\PC{0,80}", 0..6)) {
        let rules = "originating_ip_headers X-Originating-IP\nheader A eval:check_rbl('l', 'l.test.')\n\
            header B eval:check_rbl_headers('h', 'h.test.')\nheader C eval:check_rbl_from_host('f', 'f.test.')\n\
            header D eval:check_hashbl_emails('e.test')\n";
        asked(rules, &format!("{}\n\nx\n", lines.join("\n")));
    }
}
