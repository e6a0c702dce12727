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
    let hops = Hops {
        external: addresses(&["192.0.2.1", "10.0.0.1", "192.0.2.2", "192.0.2.3"]),
        untrusted: addresses(&["192.0.2.2", "192.0.2.2", "192.0.2.3"]),
    };
    for (set, want) in [
        ("x", &["192.0.2.3", "192.0.2.2"][..]),
        ("x-lastexternal", &["192.0.2.1"]),
        ("x-firsttrusted", &["192.0.2.2"]),
        ("x-untrusted", &["192.0.2.3"]),
        ("x-notfirsthop", &["192.0.2.1", "192.0.2.2"]),
    ] {
        assert_eq!(selected(set, &hops), addresses(want), "{set}");
    }
}
