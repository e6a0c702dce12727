//! The program with other spam engines beside it: their points count, and their faults do not stop mail.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::client::deliver;
use crate::support::contains;
use crate::support::free_port;
use crate::support::mails;
use crate::support::sink::Sink;
use crate::support::tamis::{Setup, Tamis};

const FROM: &str = "alice@sender.example";
const BOB: &str = "bob@lab.example";

/// What a false engine says; `None`: nothing, ever.
type Says = Arc<Mutex<Option<Vec<u8>>>>;

/// A false engine, on a port of its own; its thread ends with the test program.
struct FalseEngine {
    port: u16,
    says: Says,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl FalseEngine {
    fn start(says: Option<Vec<u8>>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", free_port())).unwrap();
        let port = listener.local_addr().unwrap().port();
        let engine = Self { port, says: Arc::new(Mutex::new(says)), heard: Arc::default() };
        let (says, heard) = (Arc::clone(&engine.says), Arc::clone(&engine.heard));
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let (says, heard) = (Arc::clone(&says), Arc::clone(&heard));
                std::thread::spawn(move || {
                    let request = request(&mut stream);
                    let pong = pong(&request).filter(|_| says.lock().unwrap().is_some());
                    if let Some(pong) = pong {
                        return stream.write_all(pong).unwrap_or_default();
                    }
                    *heard.lock().unwrap() = request;
                    let reply = says.lock().unwrap().clone();
                    match reply {
                        Some(reply) => stream.write_all(&reply).unwrap_or_default(),
                        None => std::thread::sleep(Duration::from_secs(60)),
                    }
                });
            }
        });
        engine
    }

    fn behave(&self, says: Option<Vec<u8>>) {
        *self.says.lock().unwrap() = says;
    }
}

/// The answer to who only asks whether somebody is there.
fn pong(request: &[u8]) -> Option<&'static [u8]> {
    match request {
        [b'P', b'I', b'N', b'G', ..] => Some(b"SPAMD/1.5 0 PONG\r\n"),
        [b'G', b'E', b'T', ..] => Some(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npong\r\n"),
        _ => None,
    }
}

/// Head and message, by the length that the head tells.
fn request(stream: &mut std::net::TcpStream) -> Vec<u8> {
    let (mut seen, mut piece) = (Vec::new(), [0; 8192]);
    loop {
        let Ok(count @ 1..) = stream.read(&mut piece) else { return seen };
        seen.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&seen).to_ascii_lowercase();
        let Some((head, _)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length = length.map_or(0, |length| length.parse::<usize>().unwrap());
        let total = head.len() + 4 + length;
        if seen.len() >= total {
            return seen;
        }
    }
}

fn of_spamd(score: &str, table: &str) -> Option<Vec<u8>> {
    let body = format!("---- ---------------------- -----\n{table}");
    let verdict = if score.parse::<f64>().unwrap() >= 5.0 { "True" } else { "False" };
    let head = format!("SPAMD/1.1 0 EX_OK\r\nContent-length: {}\r\n", body.len());
    Some(format!("{head}Spam: {verdict} ; {score} / 5.0\r\n\r\n{body}").into_bytes())
}

fn of_rspamd(json: &str) -> Option<Vec<u8>> {
    Some(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{json}", json.len()).into_bytes())
}

fn scan(tamis: &Tamis, mail: &[u8], arguments: &[&str]) -> Vec<u8> {
    let folder = crate::support::folder();
    let file = folder.path().join("mail.eml").display().to_string();
    std::fs::write(&file, mail).unwrap();
    let more = ["--client", "192.0.2.9", "--helo", "mx.stranger.test", "--from", FROM, &file];
    tamis.run(&[&["scan"], arguments, &more].concat()).stdout
}

#[test]
fn what_both_engines_say_stands_beside_ours_and_counts() {
    let spamd = FalseEngine::start(of_spamd("6.2", " 6.2 BUY_NOW   BODY: Wants you to buy\n"));
    let rspamd = FalseEngine::start(of_rspamd(
        r#"{"score":15,"required_score":15,"action":"reject","symbols":{"BAD":{"score":15.0,"options":["x"]}}}"#,
    ));
    let sink = Sink::start();
    let tables = format!(
        "[engine.spamassassin]\naddress = \"tcp://127.0.0.1:{}\"\nuser = \"bob\"\n\
         [engine.rspamd]\naddress = \"http://127.0.0.1:{}\"\nfactor = 0.42067\n",
        spamd.port, rspamd.port
    );
    let tamis = Setup::to(sink.port).more(&tables).start();
    let mail = mails::clean(&mails::mark("engines"));
    let alone: Value = serde_json::from_slice(&{
        let without = Setup::to(sink.port).prepare();
        scan(&without, &mail, &["--json"])
    })
    .unwrap();
    let facts: Value = serde_json::from_slice(&scan(&tamis, &mail, &["--json"])).unwrap();
    assert_eq!(alone["engines"], serde_json::json!([]));
    let more = facts["score"].as_f64().unwrap() - alone["score"].as_f64().unwrap();
    assert!((more - 12.51).abs() < 0.0001, "{more}: {facts}");
    let told: Vec<String> = facts["engines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            format!("{} {} {} {}", one["name"], one["score"], one["required"], one["verdict"])
        })
        .collect();
    assert_eq!(told, [r#""rspamd" 15.0 15.0 "reject""#, r#""spamassassin" 6.2 5.0 "spam""#]);
    let heard = rspamd.heard.lock().unwrap().clone();
    for field in ["From: alice@sender.example", "IP: 192.0.2.9", "Helo: mx.stranger.test"] {
        assert!(contains(&heard, field.as_bytes()), "{field}");
    }
    assert!(heard.ends_with(&mail), "the mail goes to it as it came");
    let heard = spamd.heard.lock().unwrap().clone();
    assert!(contains(&heard, b"User: bob\r\n") && heard.ends_with(&mail));

    let text = String::from_utf8(scan(&tamis, &mail, &[])).unwrap();
    assert!(text.contains("engine rspamd: reject  score 15 of 15"), "{text}");
    assert!(text.contains("spamassassin:BUY_NOW  BODY: Wants you to buy"), "{text}");

    let mark = mails::mark("counts");
    let heard = deliver(tamis.pre_queue(), FROM, &[BOB], &mails::clean(&mark));
    assert!(heard.text().contains("spam"), "{heard:?}");
    sink.settle();
    assert_eq!(sink.count(), 0);
    spamd.behave(of_spamd("-2.0", "-2.0 NICE      Nice\n"));
    rspamd.behave(of_rspamd(r#"{"score":0,"action":"no action"}"#));
    let heard = deliver(tamis.pre_queue(), FROM, &[BOB], &mails::clean(&mark));
    assert_eq!(heard.code(), 250, "{heard:?}");
}

#[test]
fn an_engine_that_is_slow_broken_or_away_does_not_stop_mail_and_is_told() {
    let engine = FalseEngine::start(None);
    let sink = Sink::start();
    let tables = format!(
        "[engine.spamassassin]\naddress = \"tcp://127.0.0.1:{}\"\ntimeout = \"500ms\"\n\
         [engine.rspamd]\naddress = \"http://127.0.0.1:{}\"\n",
        engine.port,
        free_port()
    );
    let tamis = Setup::to(sink.port).more(&tables).start();
    for says in
        [None, Some(vec![b'A'; 3_000_000]), Some(b"\xff\xfe\r\n\r\n".to_vec()), of_rspamd("{}")]
    {
        engine.behave(says);
        for port in [tamis.after_queue(), tamis.pre_queue()] {
            let (mark, began) = (mails::mark("fault"), Instant::now());
            let heard = deliver(port, FROM, &[BOB], &mails::clean(&mark));
            assert_eq!(heard.code(), 250, "{heard:?}");
            assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
            sink.wait_marked(&mark);
        }
    }
    tamis.wait_log("engine:rspamd");
    tamis.wait_log("engine:spamassassin");
}

#[test]
fn the_mail_waits_for_an_engine_that_is_required() {
    let engine = FalseEngine::start(None);
    let sink = Sink::start();
    let tables = format!(
        "[engine.spamassassin]\naddress = \"tcp://127.0.0.1:{}\"\ntimeout = \"500ms\"\nrequired = true\n",
        engine.port
    );
    let tamis = Setup::to(sink.port).more(&tables).start();
    let mail = mails::clean(&mails::mark("required"));
    for port in [tamis.after_queue(), tamis.pre_queue()] {
        for _ in 0..4 {
            // It is silent for all, which is not this mail's fault.
            let heard = deliver(port, FROM, &[BOB], &mail);
            assert!(heard.is("451"), "{heard:?}");
        }
    }
    sink.settle();
    assert_eq!(sink.count(), 0);
}

#[test]
fn status_readiness_and_metrics_name_the_engines() {
    let (spamd, rspamd) = (FalseEngine::start(of_spamd("1.0", "")), FalseEngine::start(None));
    let sink = Sink::start();
    let tables = |required: bool| {
        format!(
            "[engine.spamassassin]\naddress = \"tcp://127.0.0.1:{}\"\n\
             [engine.rspamd]\naddress = \"http://127.0.0.1:{}\"\ntimeout = \"500ms\"\nrequired = {required}\n",
            spamd.port, rspamd.port
        )
    };
    let tamis = Setup::to(sink.port).more(&tables(false)).start();
    let states = |tamis: &Tamis| {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let (code, body) = tamis.get("/readyz");
            if body.contains("engine rspamd: down") && body.contains("engine spamassassin: up") {
                return code;
            }
            assert!(Instant::now() < until, "{body}");
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    assert_eq!(states(&tamis), 200);
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let (_, metrics) = tamis.get("/metrics");
        let has = |line: &str| metrics.lines().any(|other| other == line);
        if has("tamis_engine_up{engine=\"spamassassin\"} 1")
            && has("tamis_engine_up{engine=\"rspamd\"} 0")
        {
            break;
        }
        assert!(Instant::now() < until, "{metrics}");
        std::thread::sleep(Duration::from_millis(200));
    }
    let output = tamis.run(&["status", "--json"]);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["engines"][0]["state"], "down", "{told}");
    assert_eq!(told["engines"][0]["last_error"], "no answer within 500ms");
    assert_eq!(told["engines"][1]["state"], "up", "{told}");
    assert_eq!(output.status.code(), Some(0), "{told}");
    let text = String::from_utf8(tamis.run(&["status"]).stdout).unwrap();
    assert!(
        text.contains(&format!("engine spamassassin: 127.0.0.1:{} up\n", spamd.port)),
        "{text}"
    );

    // Mail would have to wait.
    let tamis = Setup::to(sink.port).more(&tables(true)).start();
    assert_eq!(states(&tamis), 503);
    assert_eq!(tamis.run(&["status"]).status.code(), Some(1));
}
