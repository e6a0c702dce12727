//! The program with an authority of our own: who vouches for a mail, which lists hold it, and a DNS that is dead.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::client::Client;
use crate::support::contains;
use crate::support::dns::{Reply, Stub};
use crate::support::mails;
use crate::support::sink::Sink;
use crate::support::tamis::{Setup, Tamis};

const OWN: &str = "filter.example.net";

fn tamis(stub: &Stub, sink: &Sink, dns: &str, more: &str) -> Tamis {
    let address = stub.address;
    let tables =
        format!("[dns]\nresolvers = [\"{address}\"]\ntimeout = \"300ms\"\n{dns}\n{more}\n");
    Setup::to(sink.port).more(&tables).start()
}

/// A mail of a stranger's, as Postfix hands it over.
fn hand_over(port: u16, client: &str, from: &str, mail: &[u8]) {
    let mut session = Client::greeted(port);
    session.says("EHLO postfix.example.net", "250");
    session.says(
        &format!("XFORWARD NAME=mx.stranger.test ADDR={client} HELO=mx.stranger.test"),
        "250",
    );
    let heard = session.mail(from, &["ann@lab.example"], mail);
    assert!(heard.is("250"), "{heard:?}");
}

fn delivered(sink: &Sink, mark: &str) -> Vec<u8> {
    let mut taken = sink.marked(mark);
    assert_eq!(taken.len(), 1, "{mark}");
    taken.remove(0).message
}

fn scan(tamis: &Tamis, client: &str, from: &str, mail: &[u8]) -> Value {
    let folder = crate::support::folder();
    let file = folder.path().join("mail.eml");
    std::fs::write(&file, mail).unwrap();
    let file = file.display().to_string();
    let run = tamis.run(&[
        "scan",
        "--json",
        "--client",
        client,
        "--helo",
        "mx.stranger.test",
        "--from",
        from,
        &file,
    ]);
    serde_json::from_slice(&run.stdout).unwrap_or_else(|_| panic!("{run:?}"))
}

fn not_run(facts: &Value) -> Vec<&str> {
    facts["not_run"].as_array().unwrap().iter().map(|one| one["check"].as_str().unwrap()).collect()
}

#[test]
fn results_are_written_and_those_that_claim_to_be_ours_go() {
    let (stub, sink) = (Stub::start(), Sink::start());
    stub.add("stranger.test", "TXT", &["v=spf1 ip4:192.0.2.1 -all"]);
    stub.add("_dmarc.stranger.test", "TXT", &["v=DMARC1; p=reject"]);
    let tamis = tamis(&stub, &sink, "", "");
    let forged = format!("Authentication-Results: (x) {OWN}; spf=fail\r\n");
    let other = "Authentication-Results: other.example; spf=fail\r\n";
    for (client, spf, dmarc) in [
        ("192.0.2.1", "spf=pass", "dmarc=pass (p=reject)"),
        ("192.0.2.2", "spf=fail", "dmarc=fail (p=reject)"),
    ] {
        let mark = mails::mark("results");
        let text =
            format!("{forged}{other}From: a@stranger.test\r\nSubject: {mark}\r\n\r\ntext\r\n");
        hand_over(tamis.after_queue(), client, "a@stranger.test", text.as_bytes());
        let got = String::from_utf8(delivered(&sink, &mark)).unwrap();
        let own = format!("Authentication-Results: {OWN};\r\n {spf}");
        assert!(got.starts_with(&own), "{got}");
        assert!(got.contains(dmarc) && got.contains("header.from=stranger.test"), "{got}");
        assert!(!got.contains(&forged) && got.contains(other), "{got}");
        assert_eq!(got.matches(&format!("{OWN};\r\n")).count(), 1, "{got}");
    }
    let mail = b"From: a@stranger.test\r\nSubject: x\r\n\r\ntext\r\n";
    let facts = scan(&tamis, "192.0.2.2", "a@stranger.test", mail);
    assert_eq!(facts["auth"]["spf"], "fail", "{}", facts["auth"]);
    assert_eq!(facts["auth"]["dkim"], "none");
    assert_eq!(facts["auth"]["detail"]["dmarc"]["policy"], "reject");
}

#[test]
fn the_policy_may_do_what_dmarc_asks_for() {
    let (stub, sink) = (Stub::start(), Sink::start());
    stub.add("_dmarc.stranger.test", "TXT", &["v=DMARC1; p=reject"]);
    let tamis = tamis(&stub, &sink, "", "[policy.inbound]\ndmarc = \"reject\"");
    let mail = b"From: a@stranger.test\r\nSubject: x\r\n\r\ntext\r\n";
    let facts = scan(&tamis, "192.0.2.2", "a@stranger.test", mail);
    assert_eq!(
        (&facts["verdict"], &facts["action"]),
        (&"denied".into(), &"quarantine".into()),
        "{facts}"
    );
    assert!(
        facts["reasons"][0].as_str().unwrap().contains("DMARC of stranger.test fails"),
        "{facts}"
    );
    let mut session = Client::greeted(tamis.pre_queue());
    session.says("EHLO postfix.example.net", "250");
    session.says("XFORWARD NAME=x.test ADDR=192.0.2.2 HELO=x.test", "250");
    let heard = session.mail("a@stranger.test", &["ann@lab.example"], mail);
    assert!(heard.is("550 5.7.1"), "{heard:?}");
}

#[test]
fn lists_of_the_site_give_points_and_refusals_do_not() {
    let (stub, sink) = (Stub::start(), Sink::start());
    for (name, reply) in [
        ("2.2.0.192.bl.test", "127.0.0.2"),
        ("2.2.0.192.refuses.test", "127.255.255.254"),
        ("2.2.0.192.dead.test", "127.0.0.2"),
        ("1.0.0.127.dead.test", "127.0.0.2"),
        ("shop.test.dbl.test", "127.0.1.2"),
    ] {
        stub.add(name, "A", &[reply]);
    }
    let lists = "blocklists = [\"refuses.test\", \"dead.test\", { zone = \"bl.test\", replies = { \"127.0.0.2\" = 2.5, \"127.0.0.3\" = 9 } }, { zone = \"dbl.test\", what = \"link-domain\", points = 1.25 }]";
    let tamis = tamis(&stub, &sink, lists, "[auth]\ncheck = \"off\"");
    let mail = b"From: a@stranger.test\r\nSubject: x\r\nContent-Type: text/plain\r\n\r\nhttp://shop.test/x\r\n";
    let facts = scan(&tamis, "192.0.2.2", "a@stranger.test", mail);
    let points = |name: &str| {
        let rules = facts["rules"].as_array().unwrap();
        rules.iter().find(|rule| rule["name"] == name).map(|rule| rule["score"].as_f64().unwrap())
    };
    assert_eq!(points("DNSBL_BL_TEST"), Some(2.5), "{facts}");
    assert_eq!(points("DNSBL_DBL_TEST"), Some(1.25), "{facts}");
    assert_eq!((points("DNSBL_REFUSES_TEST"), points("DNSBL_DEAD_TEST")), (None, None));
    let not_run = not_run(&facts);
    for check in ["dnsbl:dead.test", "dnsbl:refuses.test", "spf", "dkim", "dmarc", "arc"] {
        assert!(not_run.contains(&check), "{check}: {not_run:?}");
    }
    assert!(!stub.asked().iter().any(|(name, _)| name == "stranger.test"));
    let inside = scan(&tamis, "10.1.2.3", "a@stranger.test", mail);
    assert!(!inside["rules"].to_string().contains("DNSBL_BL_TEST"), "{inside}");
}

#[test]
fn a_silent_list_is_told_and_the_others_count() {
    let (stub, sink) = (Stub::start(), Sink::start());
    stub.add("2.2.0.192.bl.test", "A", &["127.0.0.2"]);
    stub.set("2.2.0.192.silent.test", "*", Reply::Silence);
    let lists = "blocklists = [\"silent.test\", \"bl.test\"]";
    let tamis = tamis(&stub, &sink, lists, "[auth]\ncheck = \"off\"");
    let mail = b"From: a@stranger.test\r\nSubject: x\r\n\r\ntext\r\n";
    let facts = scan(&tamis, "192.0.2.2", "a@stranger.test", mail);
    assert!(facts["rules"].to_string().contains("DNSBL_BL_TEST"), "{facts}");
    assert!(!facts["rules"].to_string().contains("DNSBL_SILENT_TEST"), "{facts}");
    assert!(not_run(&facts).contains(&"dnsbl:silent.test"), "{facts}");
    // Silence is a check that was wanted: the mail is judged without it.
    assert_eq!(facts["verdict"], "clean", "{facts}");
}

#[test]
fn lists_of_rule_files_are_asked_only_if_that_is_switched_on() {
    let (stub, sink) = (Stub::start(), Sink::start());
    stub.add("2.2.0.192.zen.test", "A", &["127.0.0.4"]);
    stub.add("stranger.test", "TXT", &["v=spf1 -all"]);
    // a@stranger.test, SHA-1; and the name server of stranger.test.
    stub.add("1f8bf6c55437bd9845a4ba3108862ce28cae1706.hash.test", "A", &["127.0.0.2"]);
    stub.add("1abc.text.test", "A", &["127.0.0.2"]);
    stub.add("stranger.test", "NS", &["dns.host.test"]);
    stub.add("dns.host.test.servers.test", "A", &["127.0.0.2"]);
    let folder = crate::support::folder();
    let rules = folder.path().join("net.cf");
    std::fs::write(
        &rules,
        "header X_ZEN eval:check_rbl('zen-lastexternal', 'zen.test.', '^127\\.0\\.0\\.[4567]$')\ntflags X_ZEN net\nscore X_ZEN 1.5\n\
         header X_MAIL eval:check_hashbl_emails('hash.test', 'sha1', 'From')\ntflags X_MAIL net\nscore X_MAIL 1.5\n\
         body X_TEXT eval:check_hashbl_bodyre('text.test', 'raw', '(1\\w+)')\ntflags X_TEXT net\nscore X_TEXT 1.5\n\
         header X_NS eval:check_rbl_ns_from('ns', 'servers.test.')\ntflags X_NS net\nscore X_NS 1.5\n\
         header X_SPF eval:check_for_spf_fail()\ntflags X_SPF net\nscore X_SPF 0.7\n",
    )
    .unwrap();
    let spam = format!("[spam]\nrules = [\"{}\"]", rules.display());
    let mail = b"From: a@stranger.test\r\nSubject: x\r\n\r\ntext 1abc\r\n";
    for (on, want) in
        [(true, &["X_ZEN", "X_MAIL", "X_TEXT", "X_NS", "X_SPF"][..]), (false, &["X_SPF"])]
    {
        let tamis = tamis(&stub, &sink, &format!("rule_lists = {on}"), &spam);
        let facts = scan(&tamis, "192.0.2.2", "a@stranger.test", mail);
        let rules = facts["rules"].as_array().unwrap();
        let names: Vec<&str> = rules
            .iter()
            .filter_map(|rule| rule["name"].as_str())
            .filter(|name| name.starts_with("X_"))
            .collect();
        assert_eq!(names, want, "{facts}");
    }
    let zen = stub.asked().iter().filter(|(name, _)| name == "2.2.0.192.zen.test").count();
    assert_eq!(zen, 1, "{:?}", stub.asked());
}

#[test]
fn a_dead_dns_scores_nothing_and_holds_no_mail_up() {
    let (stub, sink) = (Stub::start(), Sink::start());
    stub.die();
    let tamis = tamis(&stub, &sink, "blocklists = [\"bl.test\"]\nrule_lists = true", "");
    let mail = b"DKIM-Signature: v=1; a=rsa-sha256; d=stranger.test; s=s; h=from; bh=AAAA; b=AAAA\r\nFrom: a@stranger.test\r\nSubject: x\r\n\r\ntext\r\n";
    let began = Instant::now();
    let facts = scan(&tamis, "192.0.2.2", "a@stranger.test", mail);
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert!(!facts["rules"].to_string().contains("DNSBL"), "{facts}");
    let not_run = not_run(&facts);
    for check in ["dnsbl:bl.test", "spf", "dmarc"] {
        assert!(not_run.contains(&check), "{check}: {not_run:?}");
    }
    for number in 0..3 {
        let mark = mails::mark(&format!("dead{number}"));
        let text = format!("From: a@stranger.test\r\nSubject: {mark}\r\n\r\ntext\r\n");
        let began = Instant::now();
        hand_over(tamis.after_queue(), "192.0.2.2", "a@stranger.test", text.as_bytes());
        assert!(began.elapsed() < Duration::from_secs(5), "{number}: {:?}", began.elapsed());
        let got = delivered(&sink, &mark);
        assert!(contains(&got, b"spf=temperror"), "{}", String::from_utf8_lossy(&got));
    }
}

#[test]
fn nothing_is_asked_unless_it_is_switched_on() {
    let (stub, sink) = (Stub::start(), Sink::start());
    stub.set("stranger.test", "*", Reply::Failure);
    let tamis = tamis(&stub, &sink, "", "[auth]\ncheck = \"off\"");
    let mark = mails::mark("quiet");
    let text = format!("From: a@stranger.test\r\nSubject: {mark}\r\n\r\nhttp://shop.test/\r\n");
    hand_over(tamis.after_queue(), "192.0.2.2", "a@stranger.test", text.as_bytes());
    let got = delivered(&sink, &mark);
    assert!(!contains(&got, b"Authentication-Results"));
    assert_eq!(stub.asked(), []);
}

#[test]
fn a_domain_that_signed_spam_is_known_from_another_network_and_to_nobody_who_forges_it() {
    let (stub, sink) = (Stub::start(), Sink::start());
    let sender = crate::support::dkim::Sender::new();
    let (name, record) = sender.record();
    stub.add(&name, "TXT", &[&record]);
    let tamis = tamis(&stub, &sink, "", "[spam]\nreputation = true");
    for number in 0..4 {
        let mark = mails::mark(&format!("spam{number}"));
        let mail = sender.sign(&mails::plain(&mark, &mails::gtube()));
        hand_over(tamis.after_queue(), "192.0.2.2", "alice@sender.example", &mail);
    }
    let mail = mails::clean(&mails::mark("next"));
    let ask = |client: &str, mail: &[u8]| {
        let facts = scan(&tamis, client, "alice@sender.example", mail);
        facts["rules"].to_string()
    };
    let rules = crate::support::wait_for("the domain has a reputation", || {
        let rules = ask("203.0.113.9", &sender.sign(&mail));
        rules.contains("SIGNER_REPUTATION_POOR").then_some(rules)
    });
    assert!(rules.contains("the signing domain sender.example: 0."), "{rules}");
    assert!(!rules.contains("\"REPUTATION_POOR\""), "{rules}");
    // The network is known by itself, and a signature that does not hold names nobody.
    let broken = [sender.sign(&mail).as_slice(), b"x\r\n"].concat();
    let rules = ask("192.0.2.77", &broken);
    assert!(rules.contains("the client's network 192.0.2.0/24: 0."), "{rules}");
    assert!(!rules.contains("SIGNER_REPUTATION"), "{rules}");
}

#[test]
fn a_trusted_sealer_spares_a_mail_what_dmarc_asks_for() {
    let (stub, sink) = (Stub::start(), Sink::start());
    let list = crate::support::dkim::Sender::new();
    let (name, record) = list.record();
    stub.add(&name, "TXT", &[&record]);
    stub.add("_dmarc.stranger.test", "TXT", &["v=DMARC1; p=reject"]);
    let policy = |trusted: &str| {
        format!("[policy.inbound]\ndmarc = \"reject\"\n[auth]\ntrusted_sealers = [{trusted}]")
    };
    for (trusted, verdict, overridden) in [
        ("", "denied", None),
        ("\"sender.example\"", "clean", Some("arc=pass as[1].d=sender.example")),
    ] {
        let tamis = tamis(&stub, &sink, "", &policy(trusted));
        let mark = mails::mark("list");
        let mail = format!(
            "From: a@stranger.test\r\nTo: ann@lab.example\r\nSubject: {mark}\r\n\r\ntext\r\n"
        );
        let mail = list.seal(mail.as_bytes(), "dmarc=pass header.from=stranger.test");
        let facts = scan(&tamis, "192.0.2.2", "list@sender.example", &mail);
        assert_eq!(facts["verdict"], verdict, "{facts}");
        assert_eq!(facts["auth"]["dmarc"], "fail");
        assert_eq!(facts["auth"]["detail"]["dmarc"]["override"].as_str(), overridden);
        if let Some(by) = overridden {
            hand_over(tamis.after_queue(), "192.0.2.2", "list@sender.example", &mail);
            let got = String::from_utf8_lossy(&delivered(&sink, &mark)).into_owned();
            let want = format!(" dmarc=fail (p=reject dis=none, local policy: {by})");
            assert!(got.contains(&want), "{got}");
        }
    }
}
