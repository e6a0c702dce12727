//! Mails of which a part was done: what is remembered of them must not be taken for another mail.

use crate::support::client::deliver;
use crate::support::sink::{Fault, Sink};
use crate::support::tamis::Setup;
use crate::support::{contains, mails};

const FROM: &str = "alerts@sender.example";
const ANN: &str = "ann@lab.example";
const BOB: &str = "bob@lab.example";
const CAROL: &str = "carol@lab.example";

/// A next hop that refuses the second recipient of each mail.
fn refuses_the_second() -> Sink {
    Sink::faulty(Fault {
        stage: "rcpt".to_owned(),
        reply_nth: vec![(2, b"550 5.1.1 unknown".to_vec())],
        ..Fault::default()
    })
}

fn alert(subject: &str) -> Vec<u8> {
    format!("From: <{FROM}>\r\nSubject: {subject}\r\n\r\nSee the dashboard.\r\n").into_bytes()
}

#[test]
fn another_mail_of_the_same_words_is_not_taken_for_done() {
    let sink = refuses_the_second();
    let tamis = Setup::to(sink.port).start();
    deliver(tamis.after_queue(), FROM, &[ANN, BOB], &alert("one is down"));
    assert_eq!(sink.count(), 1);
    sink.misbehave(Fault::default());
    let heard = deliver(tamis.after_queue(), FROM, &[ANN], &alert("two is down"));
    assert!(heard.is("250"), "{heard:?}");
    assert_eq!(sink.marked("two is down").len(), 1, "250 was said, so it must be there");
}

#[test]
fn the_copy_of_each_recipient_is_kept_although_another_ones_was() {
    let sink = Sink::faulty(Fault {
        stage: "data_end".to_owned(),
        reply: Some(b"451 4.3.0 try later".to_vec()),
        ..Fault::default()
    });
    let lover = format!("[policy.lover]\nrecipients = [\"{ANN}\"]\nvirus = \"pass\"\n");
    let tamis = Setup::to(sink.port).more(&lover).start();
    let mut mail = mails::plain(&mails::mark("copy"), "");
    mail.extend_from_slice(&mails::eicar());
    mail.extend_from_slice(b"\r\n");
    // Postfix sends a mail of many recipients in several transactions.
    let heard = deliver(tamis.after_queue(), FROM, &[ANN, BOB], &mail);
    assert!(heard.is("451"), "{heard:?}");
    let heard = deliver(tamis.after_queue(), FROM, &[CAROL], &mail);
    assert!(heard.is("250"), "{heard:?}");
    let kept = tamis.quarantined();
    let of_carol = kept.iter().filter(|(_, octets)| contains(octets, CAROL.as_bytes())).count();
    assert_eq!(of_carol, 1, "{} entries, none for {CAROL}", kept.len());
    // A try of the first again keeps no second copy.
    let heard = deliver(tamis.after_queue(), FROM, &[ANN, BOB], &mail);
    assert!(heard.is("451"), "{heard:?}");
    assert_eq!(tamis.quarantined().len(), 2);
}
