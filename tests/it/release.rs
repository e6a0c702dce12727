//! Release from the quarantine: to each recipient once, as it came, and only when the next hop took it.

use std::process::Stdio;

use crate::support::client::deliver;
use crate::support::sink::{Fault, Sink};
use crate::support::tamis::{Setup, Tamis};
use crate::support::{dkim::Sender, mails, wait_for};

const FROM: &str = "alice@sender.example";
const TO: [&str; 3] = ["bob@lab.example", "ann@lab.example", "cat@lab.example"];
const AT_ONCE: usize = 20;

/// Puts a signed mail for three that is surely spam into the quarantine; gives its octets and its id.
fn quarantined(tamis: &Tamis, sender: &Sender) -> (Vec<u8>, String) {
    let mark = mails::mark("release");
    let signed = sender.sign(&mails::plain(&mark, &mails::gtube()));
    let heard = deliver(tamis.after_queue(), FROM, &TO, &signed);
    assert_eq!(heard.code(), 250, "{heard:?}");
    let (_, stored) = tamis.wait_quarantined(&mark);
    assert!(stored.ends_with(&signed), "the stored mail is whole");
    let id = wait_for("the list names the mail", || {
        let list = tamis.json(&["quarantine", "list", "--json"]);
        list.iter().find_map(|entry| entry["id"].as_str().map(str::to_owned))
    });
    (signed, id)
}

#[test]
fn twenty_releases_at_once_deliver_exactly_once() {
    let sink = Sink::start();
    let tamis = Setup::to(sink.port).start();
    let sender = Sender::new();
    let (mail, id) = quarantined(&tamis, &sender);
    let children: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let mut command = tamis.command(&["quarantine", "release", &id]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let outputs: Vec<_> =
        children.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    // Each copy is released by one of them, not all by the same.
    let said = |output: &std::process::Output| {
        String::from_utf8_lossy(&output.stdout).matches("> released ").count()
    };
    assert_eq!(outputs.iter().map(said).sum::<usize>(), 3, "{outputs:?}");
    for output in &outputs {
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!stderr.contains("panicked") && output.status.code() != Some(70), "{stderr}");
    }
    sink.settle();
    let arrived = sink.taken();
    let mut to: Vec<&str> = arrived.iter().flat_map(|taken| taken.to()).collect();
    to.sort_unstable();
    assert_eq!(to, ["ann@lab.example", "bob@lab.example", "cat@lab.example"]);
    for taken in &arrived {
        assert!(taken.is_below_a_block(&mail), "{}", crate::support::show(&taken.message));
        assert!(taken.mail.contains(&format!("<{FROM}>")), "{}", taken.mail);
        sender.verify(&taken.message);
    }
}

#[test]
fn a_release_that_the_next_hop_refuses_is_no_release() {
    let sink = Sink::start();
    let tamis = Setup::to(sink.port).start();
    let (mail, id) = quarantined(&tamis, &Sender::new());
    sink.misbehave(Fault {
        stage: "data_end".to_owned(),
        reply: Some(b"451 4.3.0 not now".to_vec()),
        ..Fault::default()
    });
    let output = tamis.run(&["quarantine", "release", &id]);
    assert!(!output.status.success(), "{output:?}");
    let said = [output.stdout, output.stderr].concat();
    assert!(String::from_utf8_lossy(&said).contains("not now"), "the reply is shown");
    sink.misbehave(Fault::default());
    let output = tamis.run(&["quarantine", "release", &id]);
    assert!(output.status.success(), "{output:?}");
    assert!(sink.wait(1).iter().all(|taken| taken.is_below_a_block(&mail)));
}

#[test]
fn an_unknown_id_is_not_found() {
    let sink = Sink::start();
    let tamis = Setup::to(sink.port).start();
    let output = tamis.run(&["quarantine", "release", "AAAAAAAAAAAA"]);
    assert_eq!(output.status.code(), Some(66), "{output:?}");
}
