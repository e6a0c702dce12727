//! Behind Postfix' queue (`content_filter`), wired as the recipes of the field do it.

use crate::support::client::{self, Heard};
use crate::support::dkim::Sender;
use crate::support::postfix::{self, Postfix};
use crate::support::sink::Sink;
use crate::support::tamis::{Setup, Tamis};
use crate::support::wiring::{self, Recipe};
use crate::support::{contains, free_port, mails};

const FROM: &str = "alice@sender.example";
const BOB: &str = "bob@lab.example";
/// For her, spam is only marked.
const ANN: &str = "ann@lab.example";

const LENIENT: &str = "[policy.lenient]\nrecipients = [\"ann@lab.example\"]\n\
                       spam = { tag_at = 5.0, quarantine_at = \"never\", reject_at = \"never\" }\n";

/// Postfix, the filter behind its queue, and where mail ends.
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
        let postfix = Postfix::start(sink.port, recipe, tamis.after_queue(), back);
        Self { sink, tamis, postfix }
    }

    /// Postfix takes every mail into its queue.
    fn send(&self, to: &[&str], mail: &[u8]) {
        let heard = client::deliver(self.postfix.port, FROM, to, mail);
        assert_eq!(heard.code(), 250, "{heard:?}");
        assert!(heard.text().contains("queued as"), "{heard:?}");
    }
}

/// The same mails through every recipe.
fn check(recipe: &Recipe) {
    if !postfix::can_run() {
        return;
    }
    println!("{}", recipe.name);
    let line = Line::start(recipe);
    clean_mail_arrives_as_it_was_signed(&line, recipe.carries_8_bit);
    for (what, mark, mail) in mails::infected().into_iter().chain(mails::banned()) {
        println!("{what}");
        line.send(&[BOB], &mail);
        let (path, stored) = line.tamis.wait_quarantined(&mark);
        assert!(stored.ends_with(&mail), "{what}: {} is not whole", path.display());
    }
    spam_is_judged_for_each_recipient(&line);
    // A last mail shows that all before it were dealt with, and that nobody got a bounce.
    let last = mails::mark("last");
    line.send(&[BOB], &mails::clean(&last));
    line.sink.wait_marked(&last);
    line.postfix.wait_empty();
    assert_eq!(line.sink.count(), 3, "only the clean ones and the marked one arrive");
    let log = line.postfix.log();
    for trouble in
        ["greeted me", "status=bounced", "status=deferred", "warning:", "fatal:", "error:"]
    {
        assert!(!log.contains(trouble), "Postfix logs {trouble:?}:\n{log}");
    }
}

fn clean_mail_arrives_as_it_was_signed(line: &Line, carries_8_bit: bool) {
    let sender = Sender::new();
    let mark = mails::mark("clean");
    let mail = if carries_8_bit { mails::clean(&mark) } else { mails::clean_7_bit(&mark) };
    let signed = sender.sign(&mail);
    line.send(&[BOB], &signed);
    let arrived = line.sink.wait_marked(&mark);
    assert!(arrived.is_below_a_block(&signed), "{}", crate::support::show(&arrived.message));
    sender.verify(&arrived.message);
    assert_eq!(arrived.to(), [BOB]);
    // The mail went through the queue twice: once before us and once behind.
    let ids = line.postfix.queue_ids();
    assert_eq!(ids.len(), 2, "{ids:?}");
    line.postfix.wait_log(&format!("queued as {}", ids[1]));
}

fn spam_is_judged_for_each_recipient(line: &Line) {
    let mark = mails::mark("gtube");
    let spam = mails::plain(&mark, &mails::gtube());
    line.send(&[BOB, ANN], &spam);
    let (_, stored) = line.tamis.wait_quarantined(&mark);
    assert!(stored.ends_with(&spam), "the stored mail is whole");
    let marked = line.sink.wait_marked(&mark);
    assert_eq!(marked.to(), [ANN], "only she wants spam");
    assert!(contains(marked.header(), b"X-Spam-Flag: YES"), "it is marked");
}

#[test]
fn mail_goes_through_the_filter_on_10025_and_back_on_10026() {
    check(&wiring::after_queue());
}

#[test]
fn the_shipped_wiring_behind_the_queue_works() {
    check(&wiring::shipped_after_queue());
}

#[test]
fn the_filter_takes_the_place_of_amavis_unnoticed() {
    check(&wiring::shipped_amavis());
}

#[test]
fn mail_waits_in_the_queue_while_the_filter_is_away() {
    if !postfix::can_run() {
        return;
    }
    let mut line = Line::start(&wiring::after_queue());
    line.tamis.kill();
    let mark = mails::mark("patient");
    let mail = mails::clean(&mark);
    line.send(&[BOB], &mail);
    line.postfix.wait_log("status=deferred");
    assert_eq!(line.sink.count(), 0);
    line.tamis.launch();
    line.postfix.flush();
    assert!(line.sink.wait_marked(&mark).is_below_a_block(&mail));
}

#[test]
fn a_refusal_behind_the_filter_reaches_the_log_of_postfix() {
    if !postfix::can_run() {
        return;
    }
    // Here the filter gives mail back to a next hop that knows nobody.
    let refusing = Sink::faulty(crate::support::sink::Fault {
        stage: "rcpt".to_owned(),
        reply: Some(b"550 5.1.1 nobody of that name".to_vec()),
        ..Default::default()
    });
    let sink = Sink::start();
    let tamis = Setup::to(refusing.port).start();
    let postfix =
        Postfix::start(sink.port, &wiring::after_queue(), tamis.after_queue(), free_port());
    let heard: Heard = client::deliver(postfix.port, FROM, &[BOB], &mails::clean("refused"));
    assert_eq!(heard.code(), 250, "{heard:?}");
    postfix.wait_log("nobody of that name");
    postfix.wait_log("status=bounced");
}
