//! The faults of the next hop: the client never hears 250 for a mail that was not taken, and each fault is told for what it is.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::client::{Client, Heard};
use crate::support::corpus::scripts;
use crate::support::sink::{Fault, Sink};
use crate::support::tamis::Setup;
use crate::support::{free_port, mails};

/// No reply may take longer than Postfix waits for a proxy (`smtpd_proxy_timeout`).
const PROXY_TIMEOUT: Duration = Duration::from_secs(100);
/// Short ones, so that the faults that hang do not take long.
const LIMITS: &str = "deadline = \"8s\"\nidle = \"20s\"";
/// How long a slow reply takes here; it must stay below the deadline.
const SLOW_MAX: Duration = Duration::from_secs(3);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Port {
    After,
    Before,
}

fn octets(text: &Value) -> Option<Vec<u8>> {
    let letters = text.as_str()?.chars();
    Some(letters.map(|letter| u8::try_from(u32::from(letter)).unwrap()).collect())
}

/// The action of a script as our next hop takes it.
fn fault(case: &Value) -> Fault {
    let action = &case["action"];
    let is = |name: &str| action[name] == true;
    let nth = action["reply_nth"].as_object();
    let repeat = action["reply_repeat"].as_array();
    let after = action["reply_after_bytes"].as_array();
    Fault {
        stage: case["stage"].as_str().unwrap().to_owned(),
        reply: octets(&action["reply"]),
        helo: octets(&action["helo"]),
        reply_nth: nth.map_or(Vec::new(), |nth| {
            nth.iter().map(|(at, reply)| (at.parse().unwrap(), octets(reply).unwrap())).collect()
        }),
        repeat: repeat.map(|repeat| {
            let times = repeat[1].as_u64().unwrap() as usize;
            (octets(&repeat[0]).unwrap(), times, octets(&repeat[2]).unwrap())
        }),
        after_bytes: after
            .map(|after| (after[0].as_u64().unwrap() as usize, octets(&after[1]).unwrap())),
        delay: Duration::from_millis(action["delay_ms"].as_u64().unwrap_or(0)).min(SLOW_MAX),
        store: is("store"),
        close: is("close"),
        hang: is("hang"),
    }
}

/// What a client lived through.
struct Told {
    /// The reply to the dot, or the first refusal before it (of RCPT only if nobody was left).
    outcome: Heard,
    /// The replies to RCPT.
    recipients: Vec<Heard>,
    /// All replies.
    all: Vec<Heard>,
    /// From the first octet to the outcome.
    took: Duration,
}

/// A session with four recipients and a mail of 3000 octets and more.
fn send(port: u16, mark: &str) -> Told {
    let start = Instant::now();
    let mut client = Client::connect(port);
    let mut told = Told {
        outcome: client.hear(),
        recipients: Vec::new(),
        all: Vec::new(),
        took: Duration::ZERO,
    };
    let mut lines =
        vec!["EHLO client.example.org".to_owned(), "MAIL FROM:<a@example.org>".to_owned()];
    lines.extend((1..=4).map(|number| format!("RCPT TO:<u{number}@example.net>")));
    lines.push("DATA".to_owned());
    let mut refused = told.outcome.code() != 220;
    for line in &lines {
        if refused {
            break;
        }
        let heard = client.ask(line);
        told.all.push(heard.clone());
        let is_rcpt = line.starts_with("RCPT");
        if is_rcpt {
            told.recipients.push(heard.clone());
        }
        refused = !(200..400).contains(&heard.code())
            && (!is_rcpt
                || told.recipients.len() == 4
                    && told.recipients.iter().all(|heard| heard.code() >= 400));
        told.outcome = heard;
    }
    if !refused {
        let text = "A line of fifty octets, give or take a few of them\r\n".repeat(60);
        client.send(&crate::support::client::stuffed(&mails::plain(mark, &text))).ok();
        told.outcome = client.hear_within(PROXY_TIMEOUT);
        told.all.push(told.outcome.clone());
    }
    told.took = start.elapsed();
    told
}

/// What `want` says, as a check; the words of the file choose it.
fn judge(case: &Value, port: Port, told: &Told, sink: Option<&Sink>) -> Vec<String> {
    let want = case["want"].as_str().unwrap();
    let stage = case["stage"].as_str().unwrap();
    let from_next_hop = matches!(stage, "mail" | "rcpt" | "data_end");
    let (code, text) = (told.outcome.code(), told.outcome.text());
    let temporary = (400..500).contains(&code);
    let stored = sink.map_or(0, Sink::count);
    let mut bad = Vec::new();
    let mut must = |holds: bool, what: &str| {
        if !holds {
            bad.push(format!("{what}; heard {:?}, {stored} stored", told.outcome));
        }
    };
    if want.starts_with("the client gets 4xx") {
        must(temporary, "wanted 4xx");
        must(!from_next_hop || text.contains("4.3.0"), "wanted the enhanced code 4.3.0 passed on");
    } else if want.contains("5xx passed on") {
        if from_next_hop {
            must(code == 554, "wanted 554 passed on");
            must(text.contains("5.7.1") && text.contains("refused"), "wanted the text passed on");
        } else {
            must(temporary, "wanted 4xx: a local fault");
        }
    } else if want.starts_with("per-recipient replies") {
        mixed(port, told, sink, &mut must);
    } else if want.starts_with("bounded memory") {
        must(code == 250 || temporary, "wanted success or 4xx");
        must(code != 250 || stored == 1, "said 250 for a mail that was not taken");
    } else if want.starts_with("waits") {
        must(code == 250, "wanted 250 after the wait");
        must(stored == 1, "wanted one mail");
        must(sink.is_none_or(|sink| sink.connections() <= 1), "tried on another connection");
    } else if want.starts_with("works without") || want.starts_with("falls back") {
        must(code == 250 && stored == 1, "wanted 250 and the mail");
    } else {
        // All others end in 4xx, at once or after a time-out.
        must(temporary, "wanted 4xx");
        must(!want.contains("stored it") || stored == 1, "the next hop should have taken it");
    }
    must(told.took < PROXY_TIMEOUT, "took longer than Postfix waits");
    let printable =
        |heard: &Heard| heard.text().chars().all(|c| c == '\n' || (' '..='~').contains(&c));
    must(told.all.iter().all(printable), "garbage was passed on raw");
    bad
}

fn mixed(port: Port, told: &Told, sink: Option<&Sink>, must: &mut impl FnMut(bool, &str)) {
    let codes: Vec<u16> = told.recipients.iter().map(Heard::code).collect();
    if port == Port::Before {
        must(
            codes == [250, 550, 451, 250],
            &format!("wanted each RCPT's own reply, not {codes:?}"),
        );
        must(told.outcome.code() == 250, "wanted 250 for the rest");
        let to = sink.and_then(|sink| sink.taken().pop());
        let to = to.as_ref().map_or(Vec::new(), |mail| mail.to());
        must(to == ["u1@example.net", "u4@example.net"], &format!("delivered to {to:?}"));
    } else {
        must(codes == [250; 4], &format!("wanted all RCPT taken, not {codes:?}"));
        must(
            (400..500).contains(&told.outcome.code()),
            "wanted 4xx, since one recipient must wait",
        );
    }
}

/// Plays the cases that are wanted, one after the other, on both ports.
fn run(wanted: impl Fn(&Value) -> bool) {
    let Some(scripts) = scripts("nexthop.json") else { return };
    let cases = scripts["cases"].as_array().unwrap();
    assert!(cases.len() > 40, "only {} cases were found", cases.len());
    let cases: Vec<&Value> = cases.iter().filter(|case| wanted(case)).collect();
    assert!(!cases.is_empty(), "no such case");
    // The faults that hang wait side by side.
    let bad = std::sync::Mutex::new(Vec::new());
    let lanes = 4.min(cases.len());
    std::thread::scope(|scope| {
        for lane in 0..lanes {
            let (cases, bad) = (&cases, &bad);
            scope.spawn(move || {
                for case in cases.iter().skip(lane).step_by(lanes) {
                    bad.lock().unwrap().extend(run_one(case));
                }
            });
        }
    });
    let bad = bad.into_inner().unwrap();
    assert!(bad.is_empty(), "{} faults:\n{}", bad.len(), bad.join("\n"));
}

fn run_one(case: &Value) -> Vec<String> {
    let refuses = case["action"]["refuse"] == true;
    let sink = (!refuses).then(|| Sink::faulty(fault(case)));
    let next_hop = sink.as_ref().map_or_else(free_port, |sink| sink.port);
    let tamis = Setup::to(next_hop).limits(LIMITS).start();
    let mut bad = Vec::new();
    for (number, port) in [(tamis.after_queue(), Port::After), (tamis.pre_queue(), Port::Before)] {
        if let Some(sink) = &sink {
            sink.forget();
        }
        let told = send(number, &mails::mark("next-hop"));
        let found = judge(case, port, &told, sink.as_ref());
        bad.extend(found.iter().map(|what| format!("{} ({port:?}): {what}", case["id"])));
    }
    // Whatever happened, the next mail is served once the next hop is well again.
    if let Some(sink) = &sink {
        sink.misbehave(Fault::default());
        for port in [tamis.after_queue(), tamis.pre_queue()] {
            let mark = mails::mark("well-again");
            let told = send(port, &mark);
            if told.outcome.code() != 250 || sink.marked(&mark).len() != 1 {
                bad.push(format!("{}: not well again: {:?}", case["id"], told.outcome));
            }
        }
    }
    bad
}

fn hangs(case: &Value) -> bool {
    case["action"]["hang"] == true
}

fn at(case: &Value, stages: &[&str]) -> bool {
    stages.contains(&case["stage"].as_str().unwrap())
}

#[test]
fn what_the_next_hop_says_before_the_dot_is_no_yes_to_it() {
    let sink = Sink::faulty(Fault {
        stage: "data".to_owned(),
        reply: Some(b"354 Go on\r\n250 2.0.0 Ok: queued as NOTHING".to_vec()),
        ..Fault::default()
    });
    let tamis = Setup::to(sink.port).limits(LIMITS).start();
    for port in [tamis.after_queue(), tamis.pre_queue()] {
        let told = send(port, &mails::mark("early"));
        assert_eq!((told.outcome.code() / 100, sink.count()), (4, 0), "{:?}", told.outcome);
    }
}

#[test]
fn a_reply_that_is_neither_yes_nor_no_is_trouble() {
    for stage in ["mail", "rcpt", "data_end"] {
        let sink = Sink::faulty(Fault {
            stage: stage.to_owned(),
            reply: Some(b"354 what".to_vec()),
            ..Fault::default()
        });
        let tamis = Setup::to(sink.port).limits(LIMITS).start();
        for port in [tamis.after_queue(), tamis.pre_queue()] {
            let told = send(port, &mails::mark("neither"));
            assert_eq!(told.outcome.code() / 100, 4, "{stage}: {:?}", told.outcome);
            assert!(told.recipients.iter().all(|heard| heard.code() / 100 != 3), "{stage}");
        }
    }
}

#[test]
fn what_was_told_of_one_client_does_not_hold_for_the_next_mail() {
    let sink = Sink::faulty(Fault {
        stage: "mail".to_owned(),
        reply: Some(b"550 5.7.1 not you".to_vec()),
        ..Fault::default()
    });
    let tamis = Setup::to(sink.port).start();
    let mut client = Client::greeted(tamis.pre_queue());
    client.says("XFORWARD NAME=bad.example ADDR=192.0.2.1", "250");
    client.says("MAIL FROM:<a@example.org>", "550");
    client.says("RSET", "250");
    sink.misbehave(Fault::default());
    client.says("MAIL FROM:<b@example.org>", "250");
    let lines = sink.lines();
    let at = |start: &[u8]| lines.iter().rposition(|line| line.starts_with(start));
    assert!(at(b"XFORWARD") < at(b"RSET") && at(b"RSET") < at(b"MAIL FROM:<b"), "{lines:?}");
}

/// A next hop that takes MAIL and RCPT, and closes before DATA the first time. It gives how many mails it took.
fn closes_once(listener: &std::net::TcpListener) -> usize {
    use std::io::{BufRead, BufReader, Write};
    let mut taken = 0;
    for nth in 0..2 {
        let (mut stream, _) = listener.accept().unwrap();
        let reader = BufReader::new(stream.try_clone().unwrap());
        stream.write_all(b"220 next ESMTP\r\n").unwrap();
        let mut content = false;
        for line in reader.lines().map_while(Result::ok) {
            let reply: &[u8] = match line.as_str() {
                "." if content => {
                    (content, taken) = (false, taken + 1);
                    b"250 2.0.0 Ok\r\n"
                }
                _ if content => continue,
                "QUIT" => break,
                "DATA" => {
                    content = true;
                    b"354 go on\r\n"
                }
                _ => b"250 2.0.0 Ok\r\n",
            };
            stream.write_all(reply).unwrap();
            if nth == 0 && line.starts_with("RCPT") {
                break;
            }
        }
        if taken > 0 {
            break;
        }
    }
    taken
}

#[test]
fn a_connection_that_ended_while_the_body_came_is_replaced() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let next_hop = std::thread::spawn(move || closes_once(&listener));
    let tamis = Setup::to(port).start();
    let heard = crate::support::client::deliver(
        tamis.pre_queue(),
        "a@example.org",
        &["b@lab.example"],
        &mails::clean(&mails::mark("slow-body")),
    );
    assert!(heard.is("250"), "{heard:?}");
    assert_eq!(next_hop.join().unwrap(), 1);
}

#[test]
fn a_next_hop_that_is_away_or_refuses_us_is_our_trouble() {
    run(|case| at(case, &["connect", "banner", "ehlo"]) && !hangs(case));
}

#[test]
fn what_the_next_hop_says_of_sender_and_recipients_is_passed_on() {
    run(|case| at(case, &["mail", "rcpt"]) && !hangs(case));
}

#[test]
fn what_the_next_hop_says_of_the_message_is_passed_on() {
    run(|case| at(case, &["data", "data_end"]) && !hangs(case));
}

#[test]
fn a_next_hop_that_hangs_is_given_up_in_time() {
    run(hangs);
}
