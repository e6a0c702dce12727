//! Before Postfix' queue (`smtpd_proxy_filter`): the sender is still there and hears the verdict.

use crate::support::client::{self, Heard};
use crate::support::dkim::Sender;
use crate::support::postfix::{self, Postfix};
use crate::support::sink::Sink;
use crate::support::tamis::{Setup, Tamis};
use crate::support::wiring::{self, Recipe};
use crate::support::{free_port, mails};

const FROM: &str = "alice@sender.example";
const BOB: &str = "bob@lab.example";
/// For her, spam is only marked.
const ANN: &str = "ann@lab.example";

const LENIENT: &str = "[policy.lenient]\nrecipients = [\"ann@lab.example\"]\n\
                       spam = { tag_at = 5.0, quarantine_at = \"never\", reject_at = \"never\" }\n";

struct Line {
    sink: Sink,
    tamis: Tamis,
    postfix: Postfix,
}

impl Line {
    fn start(recipe: &Recipe) -> Self {
        let sink = Sink::start();
        let back = free_port();
        let tamis = Setup::to(back).more(LENIENT).start();
        let postfix = Postfix::start(sink.port, recipe, tamis.pre_queue(), back);
        Self { sink, tamis, postfix }
    }

    fn send(&self, to: &[&str], mail: &[u8]) -> Heard {
        client::deliver(self.postfix.port, FROM, to, mail)
    }
}

fn check(recipe: &Recipe) {
    if !postfix::can_run() {
        return;
    }
    println!("{}", recipe.name);
    let line = Line::start(recipe);
    let sender = Sender::new();
    let mark = mails::mark("clean");
    let signed = sender.sign(&mails::clean(&mark));
    let heard = line.send(&[BOB], &signed);
    assert!(heard.is("250 2.0.0") && heard.text().contains("queued as"), "{heard:?}");
    let arrived = line.sink.wait_marked(&mark);
    assert!(arrived.is_below_a_block(&signed), "{}", crate::support::show(&arrived.message));
    sender.verify(&arrived.message);
    bad_mail_is_refused_in_the_session(&line);
    spam_goes_to_those_who_want_it(&line);
    line.postfix.wait_empty();
    let log = line.postfix.log();
    for trouble in
        ["greeted me", "status=bounced", "status=deferred", "warning:", "fatal:", "error:"]
    {
        assert!(!log.contains(trouble), "Postfix logs {trouble:?}:\n{log}");
    }
}

fn bad_mail_is_refused_in_the_session(line: &Line) {
    let before = line.postfix.queue_ids();
    let gtube = mails::mark("gtube");
    let spam = ("spam", gtube.clone(), mails::plain(&gtube, &mails::gtube()));
    for (what, mark, mail) in mails::infected().into_iter().chain(mails::banned()).chain([spam]) {
        let heard = line.send(&[BOB], &mail);
        assert!(heard.is("554 5.7.0"), "{what}: {heard:?}");
        if what != "spam" {
            let (path, stored) = line.tamis.wait_quarantined(&mark);
            assert!(stored.ends_with(&mail), "{what}: {} is not whole", path.display());
        }
    }
    assert_eq!(line.postfix.queue_ids(), before, "no refused mail entered the queue");
    assert_eq!(line.sink.count(), 1, "only the clean mail arrived");
}

fn spam_goes_to_those_who_want_it(line: &Line) {
    let mark = mails::mark("for-ann");
    let spam = mails::plain(&mark, &mails::gtube());
    let heard = line.send(&[BOB, ANN], &spam);
    assert_eq!(heard.code(), 250, "no bounce is made, so the mail is taken: {heard:?}");
    assert_eq!(line.sink.wait_marked(&mark).to(), [ANN]);
    let (_, stored) = line.tamis.wait_quarantined(&mark);
    assert!(stored.ends_with(&spam), "his copy is kept whole");
}

#[test]
fn the_sender_hears_the_verdict() {
    check(&wiring::shipped_pre_queue());
}

#[test]
fn the_sender_hears_the_verdict_with_speed_adjust() {
    check(&wiring::shipped_pre_queue_with_speed_adjust());
}

#[test]
fn an_unknown_recipient_is_refused_at_once() {
    if !postfix::can_run() {
        return;
    }
    let refusing = Sink::faulty(crate::support::sink::Fault {
        stage: "rcpt".to_owned(),
        reply_nth: vec![(2, b"550 5.1.1 nobody of that name".to_vec())],
        ..Default::default()
    });
    let unused = Sink::start();
    let tamis = Setup::to(refusing.port).start();
    let postfix =
        Postfix::start(unused.port, &wiring::shipped_pre_queue(), tamis.pre_queue(), free_port());
    let mut client = client::Client::greeted(postfix.port);
    client.says(&format!("MAIL FROM:<{FROM}>"), "250");
    client.says(&format!("RCPT TO:<{BOB}>"), "250");
    let heard = client.says("RCPT TO:<nobody@lab.example>", "550");
    assert!(heard.text().contains("nobody of that name"), "{heard:?}");
    client.says("DATA", "354");
    let mail = mails::clean(&mails::mark("half"));
    client.send(&client::stuffed(&mail)).unwrap();
    client.wants("250");
    assert_eq!(refusing.wait(1)[0].to(), [BOB]);
}
