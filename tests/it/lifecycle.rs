//! Reload and end under load: no session is cut off, and a broken configuration changes nothing.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::client::{Client, deliver, stuffed};
use crate::support::sink::Sink;
use crate::support::tamis::{Setup, Tamis};
use crate::support::{listens, mails, wait_for};

const FROM: &str = "alice@sender.example";
const BOB: &str = "bob@lab.example";
const RELOADS: usize = 10;

/// True if an infected mail passes, as it does in `observe` mode only.
fn passes_infected(tamis: &Tamis) -> bool {
    let (_, mark, mail) = mails::infected().remove(1);
    let heard = deliver(tamis.pre_queue(), FROM, &[BOB], &mail);
    assert!(matches!(heard.code(), 250 | 554), "{mark}: {heard:?}");
    heard.code() == 250
}

#[test]
fn a_reload_under_load_fails_no_session() {
    let sink = Sink::start();
    let tamis = Setup::to(sink.port).start();
    let (stop, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for port in [tamis.after_queue(), tamis.pre_queue()].repeat(2) {
            let (stop, sent, failures) = (&stop, &sent, &failures);
            scope.spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    let heard = deliver(port, FROM, &[BOB], &mails::clean(&mails::mark("load")));
                    sent.fetch_add(1, Ordering::SeqCst);
                    if heard.code() != 250 {
                        failures.lock().unwrap().push(heard);
                    }
                }
            });
        }
        let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let enforce = tamis.configuration();
            let observe = format!("mode = \"observe\"\n{enforce}");
            for round in 0..RELOADS {
                let observing = round % 2 == 0;
                tamis.write(if observing { &observe } else { &enforce });
                tamis.signal(Signal::HUP);
                wait_for("the new configuration holds", || {
                    (passes_infected(&tamis) == observing).then_some(())
                });
            }
        }));
        stop.store(true, Ordering::SeqCst);
        run.unwrap();
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "of {sent:?} sessions failed: {failures:?}");
    assert!(sent.into_inner() > RELOADS, "there was no load");
}

#[test]
fn a_broken_configuration_leaves_the_old_one_in_place() {
    let sink = Sink::start();
    let tamis = Setup::to(sink.port).start();
    assert!(!passes_infected(&tamis));
    tamis.write(&format!("mode = \"observe\"\nno_such_key = 1\n{}", tamis.configuration()));
    tamis.signal(Signal::HUP);
    tamis.wait_log("no_such_key");
    assert!(!passes_infected(&tamis), "the broken file was taken");
    let heard = deliver(tamis.after_queue(), FROM, &[BOB], &mails::clean(&mails::mark("still")));
    assert_eq!(heard.code(), 250, "{heard:?}");
}

#[test]
fn a_broken_configuration_starts_nothing() {
    let sink = Sink::start();
    let tamis = Setup::to(sink.port).prepare();
    tamis.write(&format!("no_such_key = 1\n{}", tamis.configuration()));
    let output = tamis.run(&["serve"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no_such_key"), "{output:?}");
}

#[test]
fn sigterm_in_the_middle_of_a_mail_loses_nothing() {
    for after in [true, false] {
        let sink = Sink::start();
        let mut tamis = Setup::to(sink.port).start();
        let port = if after { tamis.after_queue() } else { tamis.pre_queue() };
        let mut client = Client::greeted(port);
        client.says(&format!("MAIL FROM:<{FROM}>"), "250");
        client.says(&format!("RCPT TO:<{BOB}>"), "250");
        client.says("DATA", "354");
        let mark = mails::mark("drain");
        let mail = mails::clean(&mark);
        let wire = stuffed(&mail);
        let (first, rest) = wire.split_at(wire.len() / 2);
        client.send(first).unwrap();
        let start = Instant::now();
        tamis.signal(Signal::TERM);
        wait_for("no new sessions are taken", || (!listens(port)).then_some(()));
        client.send(rest).ok();
        let heard = client.hear();
        let status = tamis.wait_end();
        assert!(start.elapsed() < Duration::from_secs(30), "the end took {:?}", start.elapsed());
        assert_eq!(status.code(), Some(0), "{}", tamis.log());
        let arrived = sink.marked(&mark);
        match heard.code() {
            250 => assert_eq!(arrived.len(), 1, "250, but not delivered"),
            421 | 451 => assert!(arrived.is_empty(), "refused, but delivered"),
            _ => panic!("after queue {after}: {heard:?}\n{}", tamis.log()),
        }
        assert!(arrived.iter().all(|taken| taken.is_below_a_block(&mail)));
    }
}

#[test]
fn an_idle_session_does_not_hold_up_the_end() {
    let sink = Sink::start();
    let mut tamis = Setup::to(sink.port).start();
    let mut idle = Client::greeted(tamis.after_queue());
    let start = Instant::now();
    tamis.signal(Signal::TERM);
    assert!(idle.hear().is("421"));
    assert_eq!(tamis.wait_end().code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(30), "the end took {:?}", start.elapsed());
}
