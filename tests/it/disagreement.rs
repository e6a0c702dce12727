//! Recipients that fare differently, where there is one reply for all.

use crate::support::client::{Client, deliver};
use crate::support::mails;
use crate::support::sink::{Fault, Sink};
use crate::support::tamis::Setup;

const FROM: &str = "alice@sender.example";
const BOTH: [&str; 2] = ["bob@lab.example", "nobody@lab.example"];

fn refuses_the_second() -> Fault {
    let reply_nth = vec![(2, b"550 5.1.1 unknown".to_vec())];
    Fault { stage: "rcpt".to_owned(), reply_nth, ..Fault::default() }
}

/// One try, as Postfix makes it; gives the codes of both RCPT, and the last reply's.
fn attempt(port: u16, ident: &str, mail: &[u8]) -> (Vec<u16>, u16) {
    let mut client = Client::greeted(port);
    client.says(&format!("XFORWARD IDENT={ident}"), "250");
    client.says(&format!("MAIL FROM:<{FROM}>"), "250");
    let codes = BOTH.map(|to| client.ask(&format!("RCPT TO:<{to}>")).code()).to_vec();
    client.says("DATA", "354");
    client.send(&crate::support::client::stuffed(mail)).unwrap();
    (codes, client.hear().code())
}

#[test]
fn after_the_queue_a_refused_recipient_is_answered_at_rcpt_in_the_next_try() {
    let sink = Sink::faulty(refuses_the_second());
    let tamis = Setup::to(sink.port).start();
    let mail = mails::clean(&mails::mark("refused"));
    assert_eq!(attempt(tamis.after_queue(), "ABC123", &mail), (vec![250, 250], 451));
    assert_eq!(sink.count(), 1, "the willing one got it");
    assert_eq!(attempt(tamis.after_queue(), "ABC123", &mail), (vec![250, 550], 250));
    assert_eq!(sink.count(), 1, "and did not get it twice");
    // Another mail to the same address is none of its business.
    let other = mails::clean(&mails::mark("other"));
    assert_eq!(attempt(tamis.after_queue(), "DEF456", &other).0, [250, 250]);
}

#[test]
fn where_no_mail_can_be_known_again_the_refused_copy_is_kept() {
    let sink = Sink::faulty(refuses_the_second());
    let tamis = Setup::to(sink.port).start();
    let mark = mails::mark("kept");
    let heard = deliver(tamis.after_queue(), FROM, &BOTH, &mails::clean(&mark));
    assert!(heard.is("250"), "{heard:?}");
    assert_eq!(sink.count(), 1);
    let (_, octets) = tamis.wait_quarantined(&mark);
    let text = String::from_utf8_lossy(&octets);
    assert!(text.contains("nobody@lab.example"), "{text}");
}

const POLICIES: &str = r#"
[policy.strict]
extends = "inbound"
recipients = ["bob@lab.example"]
spam = { reject_at = 5.0 }
[policy.keeping]
extends = "inbound"
recipients = ["nobody@lab.example"]
spam = { reject_at = "never" }
"#;

#[test]
fn before_the_queue_a_refusal_beside_a_kept_copy_is_kept_too() {
    let sink = Sink::start();
    let tamis = Setup::to(sink.port).more(POLICIES).start();
    let mark = mails::mark("spam");
    let mail = mails::plain(&mark, &mails::gtube());
    let heard = deliver(tamis.pre_queue(), FROM, &BOTH, &mail);
    assert!(heard.is("250"), "{heard:?}");
    assert_eq!(sink.count(), 0);
    let (_, octets) = tamis.wait_quarantined(&mark);
    let kept = String::from_utf8_lossy(&octets);
    assert!(BOTH.iter().all(|address| kept.contains(address)), "{kept}");
}

#[test]
fn an_lmtp_listener_forgets_each_mail() {
    let sink = Sink::start();
    let mut setup = Setup::to(sink.port);
    setup.listener = "protocol = \"lmtp\"".to_owned();
    let mut tamis = setup.prepare();
    let text = tamis.configuration();
    let (head, tail) = text.rsplit_once("protocol = \"lmtp\"").expect("two listeners");
    tamis.write(&format!("{head}{tail}"));
    tamis.launch();
    sink.misbehave(refuses_the_second());
    let mail = mails::clean(&mails::mark("lmtp-twice"));
    for (count, to) in [(1, &BOTH[..]), (2, &BOTH[..1])] {
        let mut client = Client::connect(tamis.after_queue());
        client.wants("220");
        client.says("LHLO x", "250");
        client.says(&format!("MAIL FROM:<{FROM}>"), "250");
        for address in to {
            client.says(&format!("RCPT TO:<{address}>"), "250");
        }
        client.says("DATA", "354");
        client.send(&crate::support::client::stuffed(&mail)).unwrap();
        client.wants("250 2.0.0");
        assert_eq!(sink.count(), count, "each mail that was taken has arrived");
    }
}
