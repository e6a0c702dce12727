//! The virus scanner's faults: no mail passes unchecked by accident, and none is lost or stuck.

use std::time::{Duration, Instant};

use crate::support::clamd::{Clamd, FalseClamd, Manner};
use crate::support::client::deliver;
use crate::support::postfix::{self, Postfix};
use crate::support::sink::Sink;
use crate::support::tamis::{Setup, Tamis};
use crate::support::{contains, free_port, has, installed, mails, wiring};

const FROM: &str = "alice@sender.example";
const BOB: &str = "bob@lab.example";
/// Longer than the scanner's time in [`Setup::clamd`], shorter than Postfix waits for a proxy.
const LIMITS: &str = "deadline = \"30s\"";
const PROXY_TIMEOUT: Duration = Duration::from_secs(100);

fn ports(tamis: &Tamis) -> [(u16, &'static str); 2] {
    [(tamis.after_queue(), "after the queue"), (tamis.pre_queue(), "before the queue")]
}

/// Both ports answer 4xx and nothing reaches the next hop.
fn defers(sink: &Sink, tamis: &Tamis, what: &str) {
    for (port, name) in ports(tamis) {
        let start = Instant::now();
        let heard = deliver(port, FROM, &[BOB], &mails::clean(&mails::mark("unscanned")));
        assert!(heard.is("451"), "{what}, {name}: {heard:?}");
        assert!(start.elapsed() < PROXY_TIMEOUT, "{what}, {name}: took {:?}", start.elapsed());
    }
    sink.settle();
    assert_eq!(sink.count(), 0, "{what}: a mail passed unchecked");
}

/// With a scanner that misbehaves so, mail must wait; with a good one it passes again.
fn waits_while(manner: Manner) {
    let sink = Sink::start();
    let clamd = FalseClamd::start(Manner::Clean);
    let tamis = Setup::to(sink.port).limits(LIMITS).clamd(&clamd.address()).start();
    passes(&sink, &tamis);
    sink.forget();
    let what = format!("{manner:?}").chars().take(60).collect::<String>();
    clamd.behave(manner);
    defers(&sink, &tamis, &what);
    clamd.behave(Manner::Clean);
    passes(&sink, &tamis);
}

/// Mail passes on both ports, at the latest once the program looked at the scanner again.
fn passes(sink: &Sink, tamis: &Tamis) {
    for (port, name) in ports(tamis) {
        let mark = mails::mark("scanned");
        crate::support::wait_for(&format!("mail passes {name}"), || {
            (deliver(port, FROM, &[BOB], &mails::clean(&mark)).code() == 250).then_some(())
        });
        sink.wait_marked(&mark);
    }
}

#[test]
fn a_scanner_that_hangs_makes_mail_wait() {
    waits_while(Manner::Hangs);
}

#[test]
fn a_scanner_that_hangs_after_the_stream_makes_mail_wait() {
    waits_while(Manner::HangsAfterStream);
}

#[test]
fn a_scanner_that_closes_in_the_stream_makes_mail_wait() {
    waits_while(Manner::ClosesInStream);
}

#[test]
fn a_scanner_that_talks_garbage_makes_mail_wait() {
    waits_while(Manner::Says(b"\xff\xfe hello, OK?".to_vec()));
}

#[test]
fn a_scanner_that_never_stops_talking_makes_mail_wait() {
    waits_while(Manner::Says(vec![b'A'; 10_000_000]));
}

#[test]
fn a_configured_scanner_that_is_away_makes_mail_wait() {
    let sink = Sink::start();
    let address = format!("tcp://127.0.0.1:{}", free_port());
    let tamis = Setup::to(sink.port).limits(LIMITS).clamd(&address).start();
    defers(&sink, &tamis, "nobody listens");
}

#[test]
fn mail_passes_unscanned_and_marked_where_the_configuration_says_so() {
    let sink = Sink::start();
    let mut setup = Setup::to(sink.port).limits(LIMITS);
    setup.clamd = format!("address = \"tcp://127.0.0.1:{}\"\non_error = \"pass\"", free_port());
    let tamis = setup.start();
    for (port, name) in ports(&tamis) {
        let mark = mails::mark("marked");
        let heard = deliver(port, FROM, &[BOB], &mails::clean(&mark));
        assert_eq!(heard.code(), 250, "{name}: {heard:?}");
        let mail = sink.wait_marked(&mark);
        let header = mail.header().to_ascii_lowercase();
        assert!(
            contains(&header, b"x-virus-status: not scanned"),
            "{name}: {}",
            crate::support::show(&header)
        );
    }
}

#[test]
fn a_mail_too_large_for_the_scanner_is_no_reason_to_wait() {
    let sink = Sink::start();
    let clamd = FalseClamd::start(Manner::Says(b"INSTREAM size limit exceeded. ERROR".to_vec()));
    let tamis = Setup::to(sink.port).limits(LIMITS).clamd(&clamd.address()).start();
    for (port, name) in ports(&tamis) {
        let mark = mails::mark("too-large");
        let heard = deliver(port, FROM, &[BOB], &mails::clean(&mark));
        // It will be as large at the next try: any verdict but "later" will do, and "clean" is a lie.
        assert!(matches!(heard.code(), 250 | 500..), "{name}: {heard:?}");
        for mail in sink.marked(&mark) {
            let header = mail.header().to_ascii_lowercase();
            assert!(
                !contains(&header, b"x-virus-status: clean"),
                "{name}: {}",
                crate::support::show(&header)
            );
        }
    }
}

#[test]
fn mail_waits_in_the_queue_until_clamd_is_back() {
    let here = has("clamd", installed("clamd"));
    if !here || !postfix::can_run() {
        return;
    }
    let sink = Sink::start();
    let back = free_port();
    let mut clamd = Clamd::start();
    let tamis = Setup::to(back).limits(LIMITS).clamd(&clamd.address()).start();
    let postfix = Postfix::start(sink.port, &wiring::after_queue(), tamis.after_queue(), back);
    let (first, second) = (mails::mark("first"), mails::mark("second"));
    assert_eq!(deliver(postfix.port, FROM, &[BOB], &mails::clean(&first)).code(), 250);
    sink.wait_marked(&first);
    clamd.stop();
    let mail = mails::clean(&second);
    assert_eq!(deliver(postfix.port, FROM, &[BOB], &mail).code(), 250);
    postfix.wait_log("status=deferred");
    assert_eq!(sink.marked(&second).len(), 0);
    clamd.launch();
    crate::support::wait_for("the mail arrives", || {
        postfix.flush();
        sink.marked(&second).pop()
    });
    postfix.wait_empty();
    assert_eq!(sink.marked(&second).len(), 1, "once");
    assert!(sink.marked(&second)[0].is_below_a_block(&mail));
}

#[test]
fn clamd_finds_what_only_it_can_know() {
    if !has("clamd", installed("clamd")) {
        return;
    }
    let sink = Sink::start();
    let clamd = Clamd::start();
    let mut setup = Setup::to(sink.port).limits(LIMITS).clamd(&clamd.address());
    setup.more = "[scanner.builtin]\ntype = \"builtin\"\naddress = \"off\"\n".to_owned();
    let tamis = setup.start();
    for (what, mark, mail) in mails::infected() {
        let heard = deliver(tamis.pre_queue(), FROM, &[BOB], &mail);
        assert!(heard.is("554 5.7.0"), "{what}: {heard:?}");
        assert!(heard.text().contains("Eicar-Test-Signature"), "{what}: {heard:?}");
        assert!(tamis.wait_quarantined(&mark).1.ends_with(&mail), "{what}: not whole");
    }
    assert_eq!(sink.count(), 0);
}

#[test]
fn a_mail_that_only_its_own_scan_fails_on_does_not_wait_for_ever() {
    let sink = Sink::start();
    let clamd = FalseClamd::start(Manner::Clean);
    let tamis = Setup::to(sink.port).clamd(&clamd.address()).start();
    let poison = mails::clean(&mails::mark("poison"));
    for code in ["451", "451", "250 2.7.0"] {
        clamd.behave(Manner::Clean);
        let good = mails::clean(&mails::mark("good"));
        // After a failed try the scanner rests for a moment.
        let passed = crate::support::wait_at_most(std::time::Duration::from_secs(10), || {
            deliver(tamis.after_queue(), FROM, &[BOB], &good).is("250").then_some(())
        });
        assert!(passed.is_some(), "others pass");
        clamd.behave(Manner::ClosesInStream);
        let heard = deliver(tamis.after_queue(), FROM, &[BOB], &poison);
        assert!(heard.is(code), "wanted {code}, heard {heard:?}");
    }
}
