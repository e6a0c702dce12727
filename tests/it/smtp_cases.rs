//! The byte scripts of clients: whatever a client sends, nothing is smuggled, injected, changed or lost.

use std::time::Duration;

use serde_json::Value;

use crate::support::corpus::scripts;
use crate::support::player::play;
use crate::support::sink::Sink;
use crate::support::tamis::Setup;

/// A client that says nothing for so long is sent away here.
const IDLE: &str = "idle = \"5s\"";
/// How long scripts wait at most: longer than [`IDLE`], with room for a busy machine.
const WAIT_MAX: Duration = Duration::from_secs(12);

fn cases() -> Option<Vec<Value>> {
    let cases = scripts("cases.json")?["cases"].as_array().unwrap().clone();
    assert!(cases.len() > 100, "only {} cases were found", cases.len());
    Some(cases)
}

fn class(case: &Value) -> &str {
    case["class"].as_str().unwrap()
}

/// Plays the cases that are wanted on both ports, side by side in as many lanes as there are listeners.
fn run(lanes: usize, wanted: impl Fn(&Value) -> bool) {
    let Some(cases) = cases() else { return };
    let cases: Vec<&Value> = cases.iter().filter(|case| wanted(case)).collect();
    assert!(!cases.is_empty(), "no such case");
    let sinks: Vec<Sink> = (0..lanes).map(|_| Sink::start()).collect();
    let mut setup = Setup::to(sinks[0].port).limits(IDLE);
    setup.next_hops = sinks.iter().map(|sink| sink.port).collect();
    let tamis = setup.start();
    let mut bad = Vec::new();
    std::thread::scope(|scope| {
        let workers: Vec<_> = sinks
            .iter()
            .zip(tamis.pairs())
            .enumerate()
            .map(|(lane, (sink, (after, before)))| {
                let mine: Vec<&Value> = cases.iter().skip(lane).step_by(lanes).copied().collect();
                scope.spawn(move || {
                    let mut bad = Vec::new();
                    for case in mine {
                        for (port, name) in [(after, "after"), (before, "before")] {
                            let found = play(case, *port, sink, WAIT_MAX);
                            let id = case["id"].as_str().unwrap();
                            bad.extend(
                                found.iter().map(|what| format!("{id} ({name} the queue): {what}")),
                            );
                        }
                    }
                    bad
                })
            })
            .collect();
        for worker in workers {
            bad.extend(worker.join().unwrap());
        }
    });
    assert!(bad.is_empty(), "{} faults:\n{}", bad.len(), bad.join("\n"));
}

#[test]
fn only_cr_lf_dot_cr_lf_ends_the_data() {
    run(4, |case| class(case) == "end-of-data");
}

#[test]
fn a_command_is_one_line_and_is_taken_or_refused_as_a_whole() {
    run(4, |case| matches!(class(case), "command-syntax" | "pipelining" | "bdat"));
}

#[test]
fn a_client_that_goes_away_leaves_no_mail_behind() {
    run(4, |case| class(case) == "disconnect");
}

#[test]
fn what_xforward_brings_is_data_and_never_runs() {
    run(4, |case| class(case) == "xforward" && case["needs"].is_null());
}

#[test]
fn limits_hold_and_8_bit_mail_passes_octet_for_octet() {
    run(4, |case| matches!(class(case), "limits" | "8bit") && case["needs"].is_null());
}

#[test]
fn a_slow_client_is_sent_away_in_time() {
    run(4, |case| class(case) == "slow");
}

#[test]
fn a_stranger_may_not_speak_for_others() {
    let Some(cases) = cases() else { return };
    let sink = Sink::start();
    let mut setup = Setup::to(sink.port);
    setup.listener = "trust_xforward = [\"192.0.2.0/24\"]".to_owned();
    let tamis = setup.start();
    let case = cases.iter().find(|case| case["id"] == "xforward-untrusted").unwrap();
    for port in [tamis.after_queue(), tamis.pre_queue()] {
        assert_eq!(play(case, port, &sink, WAIT_MAX), Vec::<String>::new());
    }
}

#[test]
fn eight_bit_mail_meets_a_seven_bit_next_hop() {
    let Some(cases) = cases() else { return };
    let sink = Sink::start();
    sink.offer("PIPELINING\nSIZE 104857600");
    let tamis = Setup::to(sink.port).start();
    let case = cases.iter().find(|case| case["id"] == "8bit-next-hop-7bit").unwrap();
    for port in [tamis.after_queue(), tamis.pre_queue()] {
        assert_eq!(play(case, port, &sink, WAIT_MAX), Vec::<String>::new());
        for mail in sink.taken() {
            assert!(!mail.mail.contains("BODY="), "{} to a next hop without 8BITMIME", mail.mail);
        }
    }
}
