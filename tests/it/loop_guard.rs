//! A mail that comes back to us again and again ends, and takes nothing with it.

use std::time::{Duration, Instant};

use crate::support::client::deliver;
use crate::support::sink::Sink;
use crate::support::tamis::Setup;
use crate::support::{mails, wait_at_most};

const FROM: &str = "alice@sender.example";
const BOB: &str = "bob@lab.example";

#[test]
fn a_mail_with_more_than_a_hundred_hops_is_refused() {
    let sink = Sink::start();
    let tamis = Setup::to(sink.port).start();
    let hop =
        "Received: from a.example by b.example with SMTP; Mon, 16 Nov 2026 10:00:00 +0000\r\n";
    let mut mail = hop.repeat(111).into_bytes();
    mail.extend_from_slice(&mails::clean(&mails::mark("hops")));
    for port in [tamis.after_queue(), tamis.pre_queue()] {
        let heard = deliver(port, FROM, &[BOB], &mail);
        assert!(heard.is("554 5.4.6"), "{heard:?}");
    }
    assert_eq!(sink.count(), 0);
}

#[test]
fn a_listener_that_is_its_own_next_hop_ends_the_loop() {
    let unused = Sink::start();
    let mut tamis = Setup::to(unused.port).prepare();
    let own = format!("next_hop = \"smtp://127.0.0.1:{}\"", tamis.after_queue());
    let other = format!("next_hop = \"smtp://127.0.0.1:{}\"", unused.port);
    tamis.write(&tamis.configuration().replace(&other, &own));
    // Such a configuration may also be refused as the mistake it is.
    if tamis.run(&["check"]).status.code() == Some(78) {
        return;
    }
    tamis.launch();
    let start = Instant::now();
    let heard = deliver(tamis.after_queue(), FROM, &[BOB], &mails::clean(&mails::mark("loop")));
    assert!(heard.is("554 5.4.6"), "{heard:?}");
    assert!(start.elapsed() < Duration::from_secs(30), "took {:?}", start.elapsed());
    let alive =
        wait_at_most(Duration::from_secs(10), || (tamis.get("/livez").0 == 200).then_some(()));
    assert!(alive.is_some(), "it lives on");
}

/// The fault of a missing `content_filter=`: what takes the mail back hands it to the filter again. The second filter
/// stands for it here: it adds a Received field, as Postfix does, and its next hop is the first filter.
#[test]
fn a_mail_that_comes_back_over_another_server_is_refused_with_the_reason() {
    let other = Setup::to(crate::support::free_port()).prepare();
    let first = Setup::to(other.after_queue()).start();
    let mut other = other;
    let unused = format!("next_hop = \"smtp://127.0.0.1:{}\"", other_next_hop(&other));
    let back = format!("next_hop = \"smtp://127.0.0.1:{}\"", first.after_queue());
    other.write(&other.configuration().replace(&unused, &back));
    other.launch();
    let heard = deliver(first.after_queue(), FROM, &[BOB], &mails::clean(&mails::mark("back")));
    assert!(heard.is("554 5.4.6"), "{heard:?}");
    assert!(
        format!("{heard:?}").contains("content_filter="),
        "the reply names the fault: {heard:?}"
    );
}

/// The next hop as the configuration has it.
fn other_next_hop(tamis: &crate::support::tamis::Tamis) -> String {
    let text = tamis.configuration();
    let (_, rest) = text.split_once("next_hop = \"smtp://127.0.0.1:").expect("a next hop");
    rest.split('"').next().expect("its end").to_owned()
}

#[test]
fn two_filters_in_a_row_are_no_loop() {
    let sink = Sink::start();
    let second = Setup::to(sink.port).start();
    let first = Setup::to(second.after_queue()).start();
    let heard = deliver(first.after_queue(), FROM, &[BOB], &mails::clean(&mails::mark("row")));
    assert!(heard.is("250"), "{heard:?}");
    assert_eq!(sink.count(), 1);
}
