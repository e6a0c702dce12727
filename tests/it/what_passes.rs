//! What a client says of a mail reaches the next hop as it was said: addresses, parameters, and whom it speaks for.

use crate::support::client::{Client, stuffed};
use crate::support::mails;
use crate::support::sink::{Sink, Taken};
use crate::support::tamis::{Setup, Tamis};

const PORTS: [fn(&Tamis) -> u16; 2] = [Tamis::after_queue, Tamis::pre_queue];

/// Sends these lines and a clean mail; gives what arrived.
fn arrives(client: &mut Client, sink: &Sink, lines: &[&str]) -> Taken {
    let mark = mails::mark("passes");
    for line in lines {
        client.says(line, "250");
    }
    client.says("DATA", "354");
    client.send(&stuffed(&mails::clean(&mark))).unwrap();
    client.wants("250");
    sink.wait_marked(&mark)
}

fn xforward(mail: &Taken) -> Vec<String> {
    let lines =
        mail.commands.iter().map(|line| String::from_utf8_lossy(line).trim_end().to_owned());
    let attributes = lines
        .filter(|line| line.starts_with("XFORWARD "))
        .flat_map(|line| line.split(' ').skip(1).map(str::to_owned).collect::<Vec<_>>());
    let mut attributes: Vec<String> = attributes.collect();
    attributes.sort();
    attributes
}

#[test]
fn parameters_of_sender_and_recipients_arrive_as_they_were_given() {
    let sink = Sink::start();
    let tamis = Setup::to(sink.port).start();
    for port in PORTS {
        let mail = "MAIL FROM:<a@sender.example> RET=HDRS ENVID=QQ314159 BODY=8BITMIME";
        let rcpt = "RCPT TO:<b@lab.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;a+2Bb@c.example";
        let arrived = arrives(&mut Client::greeted(port(&tamis)), &sink, &[mail, rcpt]);
        let words = |line: &str| {
            let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            // Of the order, and of the size that a relay may add, nothing is promised.
            words.retain(|word| !word.starts_with("SIZE="));
            words.sort();
            words
        };
        assert_eq!(words(&arrived.mail), words(mail));
        assert_eq!(
            arrived.recipients.iter().map(|line| words(line)).collect::<Vec<_>>(),
            [words(rcpt)]
        );
    }
}

#[test]
fn odd_addresses_arrive_as_they_were_given() {
    let sink = Sink::start();
    let tamis = Setup::to(sink.port).start();
    for port in PORTS {
        let mut client = Client::greeted(port(&tamis));
        for (from, to) in [
            ("<>", "<b@lab.example>"),
            ("<\"a@b c\"@sender.example>", "<\"b d\"@lab.example>"),
            ("<a+tag=x/y@sender.example>", "<O'Hara#%&@lab.example>"),
        ] {
            let lines = [format!("MAIL FROM:{from}"), format!("RCPT TO:{to}")];
            let arrived = arrives(&mut client, &sink, &[&lines[0], &lines[1]]);
            assert!(arrived.mail.starts_with(&lines[0]), "{} for {}", arrived.mail, lines[0]);
            assert!(arrived.recipients[0].starts_with(&lines[1]), "{:?}", arrived.recipients);
        }
    }
}

#[test]
fn the_client_behind_postfix_is_told_on_and_forgotten_after_its_mail() {
    let sink = Sink::start();
    let tamis = Setup::to(sink.port).start();
    let envelope = ["MAIL FROM:<a@sender.example>", "RCPT TO:<b@lab.example>"];
    for port in PORTS {
        let mut client = Client::greeted(port(&tamis));
        let lines = [
            "XFORWARD NAME=mail+2Bx.sender.example ADDR=IPV6:2001:db8::1 PORT=4711",
            "XFORWARD PROTO=ESMTP HELO=helo.sender.example IDENT=5BC5 SOURCE=REMOTE",
            envelope[0],
            envelope[1],
        ];
        let told = xforward(&arrives(&mut client, &sink, &lines));
        for attribute in [
            "ADDR=IPV6:2001:db8::1",
            "HELO=helo.sender.example",
            "NAME=mail+2Bx.sender.example",
            "PORT=4711",
            "PROTO=ESMTP",
        ] {
            assert!(
                told.iter().any(|word| word.eq_ignore_ascii_case(attribute)),
                "{attribute} in {told:?}"
            );
        }
        let told = xforward(&arrives(&mut client, &sink, &envelope));
        assert!(!told.iter().any(|word| word.to_ascii_lowercase().contains("db8")), "{told:?}");
    }
}

#[test]
fn one_connection_serves_a_hundred_mails() {
    let sink = Sink::start();
    let tamis = Setup::to(sink.port).start();
    for port in PORTS {
        sink.forget();
        let mut client = Client::greeted(port(&tamis));
        for number in 0..100 {
            let from = format!("MAIL FROM:<n{number}@sender.example>");
            let arrived = arrives(&mut client, &sink, &[&from, "RCPT TO:<b@lab.example>"]);
            assert!(arrived.mail.starts_with(&from), "{}", arrived.mail);
        }
        assert_eq!(sink.count(), 100);
    }
}

#[test]
fn a_client_without_ehlo_is_served() {
    let sink = Sink::start();
    let tamis = Setup::to(sink.port).start();
    for port in PORTS {
        let mut client = Client::connect(port(&tamis));
        client.wants("220");
        client.says("HELO old.sender.example", "250");
        let arrived = arrives(
            &mut client,
            &sink,
            &["MAIL FROM:<a@sender.example>", "RCPT TO:<b@lab.example>"],
        );
        assert!(
            crate::support::contains(arrived.header(), b" with SMTP"),
            "Received names the protocol"
        );
    }
}

#[test]
fn what_cannot_be_carried_is_not_offered() {
    let sink = Sink::start();
    let tamis = Setup::to(sink.port).start();
    for port in PORTS {
        let mut client = Client::connect(port(&tamis));
        client.wants("220");
        let offers = client.says("EHLO client.example.org", "250").text().to_owned();
        for wanted in ["PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "DSN", "SIZE", "XFORWARD"] {
            assert!(offers.contains(wanted), "{wanted} in {offers:?}");
        }
        for unwanted in ["CHUNKING", "BINARYMIME", "STARTTLS", "AUTH", "XCLIENT"] {
            assert!(!offers.contains(unwanted), "{unwanted} in {offers:?}");
        }
        client.says("BDAT 5 LAST", "502");
        client.says("VRFY b@lab.example", "252");
        client.says("NOOP", "250");
        client.says("QUIT", "221");
    }
}

#[test]
fn a_stranger_is_sent_away() {
    let sink = Sink::start();
    let mut setup = Setup::to(sink.port);
    setup.listener = "allow = [\"192.0.2.0/24\"]".to_owned();
    let tamis = setup.start();
    for port in PORTS {
        let mut client = Client::connect(port(&tamis));
        let heard = client.hear();
        assert!(heard.is("554") || heard.is("421"), "{heard:?}");
    }
}

#[test]
fn a_listener_keeps_success_inside_and_adds_no_received_field() {
    let sink = Sink::start();
    let mut setup = Setup::to(sink.port);
    setup.listener =
        "terminate_success = true\nreceived = false\nhide = [\"8BITMIME\", \"VRFY\"]\n\
         strict_addresses = true"
            .to_owned();
    let tamis = setup.start();
    for port in PORTS {
        let mut client = Client::greeted(port(&tamis));
        client.says("VRFY x", "502");
        client.says("MAIL FROM: a@sender.example", "501");
        let rcpt = "RCPT TO:<b@lab.example> NOTIFY=SUCCESS,FAILURE";
        let arrived = arrives(&mut client, &sink, &["MAIL FROM:<a@sender.example>", rcpt]);
        assert_eq!(arrived.recipients, ["RCPT TO:<b@lab.example> NOTIFY=FAILURE"]);
        let text = String::from_utf8_lossy(&arrived.message).into_owned();
        let (block, _) = text.split_once("Subject:").expect("the mail has a subject");
        assert!(block.contains("X-Tamis-Passed: (Tamis, "), "{block}");
        assert_eq!(block.matches("Received:").count(), 1, "the mail brings one: {block}");
    }
}
