//! Engines that misbehave, on loopback and on a Unix socket.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::time::Instant;

use super::*;
use crate::config::Address;
use crate::mail::Path;

const RSPAMD: &str = "{\"score\":3.5,\"required_score\":15,\"action\":\"no action\",\
                      \"symbols\":{\"A\":{\"score\":3.5}},\"x\":[]}";

fn of_spamd() -> Vec<u8> {
    let body = "---- -----\n 6.0 SOME_RULE  Some rule, hit.\n";
    let head = format!("SPAMD/1.1 0 EX_OK\r\nContent-length: {}\r\n", body.len());
    format!("{head}Spam: True ; 6.0 / 5.0\r\n\r\n{body}").into_bytes()
}

fn of_rspamd() -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}", RSPAMD.len());
    format!("{head}\r\n\r\n{RSPAMD}and more").into_bytes()
}

/// How a false engine behaves.
#[derive(Debug, Clone)]
enum Manner {
    /// Reads until these octets came last, then says this and closes.
    Says(&'static str, Vec<u8>),
    /// Reads to the end, then says this and closes.
    ReadsAll(Vec<u8>),
    /// Says this at once, reading nothing, and stays.
    Early(Vec<u8>),
    /// Never says anything.
    Mute,
    /// Says this, one octet at a time.
    Drips(Vec<u8>),
    /// Never stops.
    Endless,
    /// Closes at once.
    Closes,
}

async fn behave(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin, manner: Manner) {
    match manner {
        Manner::Says(end, reply) => {
            let mut seen = Vec::new();
            while !seen.ends_with(end.as_bytes()) {
                if stream.read_buf(&mut seen).await.unwrap_or(0) == 0 {
                    return;
                }
            }
            // What is still on its way would turn the close into a reset.
            tokio::time::sleep(Duration::from_millis(if end == "xxx" { 300 } else { 0 })).await;
            while let Ok(Ok(1..)) =
                tokio::time::timeout(Duration::from_millis(10), stream.read_buf(&mut seen)).await
            {
            }
            let _ = stream.write_all(&reply).await;
        }
        Manner::ReadsAll(reply) => {
            let mut seen = Vec::new();
            while stream.read_buf(&mut seen).await.unwrap_or(0) > 0 {}
            let _ = stream.write_all(&reply).await;
        }
        Manner::Early(reply) => {
            let _ = stream.write_all(&reply).await;
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        Manner::Mute => tokio::time::sleep(Duration::from_secs(60)).await,
        Manner::Drips(reply) => {
            for octet in reply {
                let _ = stream.write_all(&[octet]).await;
                let _ = stream.flush().await;
            }
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        Manner::Endless => while stream.write_all(&[b'A'; 4096]).await.is_ok() {},
        Manner::Closes => {}
    }
}

async fn tcp(manner: Manner) -> Address {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::Tcp(listener.local_addr().unwrap().to_string());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(behave(stream, manner.clone()));
        }
    });
    address
}

fn unix(path: PathBuf, manner: Manner) -> Address {
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(behave(stream, manner.clone()));
        }
    });
    Address::Unix(path)
}

fn engine(kind: EngineKind, address: Address) -> Engine {
    Engine {
        name: "other".into(),
        kind,
        address,
        factor: 1.0,
        points_max: Score(20_000),
        timeout: Duration::from_millis(500),
        max_size_bytes: 10_000_000,
        required: false,
        user: String::new(),
        settings: String::new(),
    }
}

fn engines(all: impl IntoIterator<Item = Engine>) -> Engines {
    let config = Config { engines: all.into_iter().collect(), ..Config::default() };
    Engines::new(&config, None)
}

async fn ask(engines: &Engines, mail: &str) -> Report {
    let envelope = Envelope {
        sender: Path { argument: Vec::new(), address: "a@b.test".to_owned() },
        ..Envelope::default()
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    let octets = bytes::Bytes::copy_from_slice(mail.as_bytes());
    let mut report = Report { score: Some(Score(1000)), ..Report::default() };
    engines.ask(&Arc::new(envelope), &octets, deadline).await.add_to(&mut report);
    report
}

#[tokio::test]
async fn a_probe_tells_who_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let pong = |text: &str| Manner::Says("\r\n\r\n", text.as_bytes().to_vec());
    let spamd = engine(EngineKind::Spamd, tcp(pong("SPAMD/1.5 0 PONG\r\n")).await);
    let rspamd = engine(
        EngineKind::Rspamd,
        tcp(pong("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npong\r\n")).await,
    );
    let refuses = engine(EngineKind::Rspamd, tcp(pong("HTTP/1.1 403 Forbidden\r\n\r\n")).await);
    let mute = engine(EngineKind::Spamd, tcp(Manner::Mute).await);
    let gone = Engine {
        required: true,
        ..engine(EngineKind::Spamd, Address::Unix(folder.path().join("nobody")))
    };
    let all = engines([spamd, rspamd, refuses, mute, gone]);
    assert!(all.status().iter().all(|one| one.state == EngineState::NotAsked));
    all.probe().await;
    let status = all.status();
    let states: Vec<_> = status.iter().map(|one| one.state.as_str()).collect();
    assert_eq!(states, ["up", "up", "down", "down", "down"]);
    let errors: Vec<_> = status.iter().skip(2).filter_map(|one| one.last_error.clone()).collect();
    assert_eq!(errors[0], "it says \"HTTP/1.1 403 Forbidden\"");
    assert_eq!(errors[1], "no answer within 500ms");
    assert!(errors[2].starts_with("cannot connect to unix:"), "{errors:?}");
    let held: Vec<bool> = status.iter().map(EngineStatus::holds_mail).collect();
    assert_eq!(held, [false, false, false, false, true]);
}

#[tokio::test]
async fn what_a_mail_showed_is_told_of_the_engine() {
    let all = engines([engine(EngineKind::Spamd, tcp(Manner::ReadsAll(of_spamd())).await)]);
    ask(&all, "x").await;
    assert_eq!(all.status()[0].state, EngineState::Up);
    let all = engines([engine(EngineKind::Spamd, tcp(Manner::Closes).await)]);
    ask(&all, "x").await;
    assert_eq!(all.status()[0].state, EngineState::Down);
    // A mail that is not sent says nothing.
    let small =
        Engine { max_size_bytes: 0, ..engine(EngineKind::Spamd, tcp(Manner::Closes).await) };
    let all = engines([small]);
    ask(&all, "x").await;
    assert_eq!(all.status()[0].state, EngineState::NotAsked);
}

/// The reason why there is no answer.
async fn why(engine: Engine) -> String {
    let report = ask(&engines([engine]), &"x".repeat(2_000_000)).await;
    assert_eq!((report.score, report.opinions.len()), (Some(Score(1000)), 0));
    let [missing] = report.not_run.as_slice() else { panic!("{:?}", report.not_run) };
    assert_eq!((missing.check.as_str(), missing.weight), ("engine:other", Weight::Wanted));
    missing.why.clone()
}

#[tokio::test]
async fn both_kinds_are_asked_side_by_side_and_their_points_are_added() {
    let folder = tempfile::tempdir().unwrap();
    let proper = Manner::Says("\r\n\r\nReturn-Path: <a@b.test>\r\nthe mail", of_spamd());
    let address = unix(folder.path().join("spamd.sock"), proper);
    let spamd = Engine { name: "sa".into(), ..engine(EngineKind::Spamd, address) };
    let address = tcp(Manner::Says("From: a@b.test\r\n\r\nthe mail", of_rspamd())).await;
    let rspamd = Engine { factor: 2.0, ..engine(EngineKind::Rspamd, address) };
    let engines = engines([spamd, rspamd]);
    let report = ask(&engines, "the mail").await;
    assert_eq!(report.not_run, []);
    assert_eq!(report.score, Some(Score(14_000)));
    let rules: Vec<String> = report
        .rules
        .iter()
        .map(|hit| format!("{} {} {}", hit.name, hit.score, hit.source))
        .collect();
    assert_eq!(rules, ["sa:SOME_RULE 6 engine.sa", "other:A 7 engine.other"]);
    let opinions: Vec<String> = report
        .opinions
        .iter()
        .map(|one| format!("{} {} {}", one.engine, one.score, one.verdict))
        .collect();
    assert_eq!(opinions, ["sa 6 spam", "other 3.5 no action"]);
    assert!(engines.last_answer("sa").is_some() && engines.last_answer("nobody").is_none());
}

#[tokio::test]
async fn an_engine_that_misbehaves_costs_its_time_and_nothing_else() {
    let long = format!("SPAMD/1.1 0 EX_OK\r\nContent-length: {}\r\n\r\n", 1_099_511_627_776_u64);
    let mut cut = of_spamd();
    cut.truncate(80);
    let timeout = "SPAMD/1.0 79 Timeout: (30 second timeout while trying to REPORT)\r\n\r\n";
    // With an error it may say one line and no more.
    let refusal = "SPAMD/1.0 76 Bad header line: (no)\r\n";
    for (manner, want) in [
        (Manner::Mute, "no answer within 500ms"),
        (Manner::Closes, "hung up|broke"),
        (Manner::Endless, "longer than"),
        (Manner::Early(long.into_bytes()), "longer than"),
        (Manner::Says("xxx", timeout.as_bytes().to_vec()), "79 Timeout"),
        (Manner::Says("xxx", refusal.as_bytes().to_vec()), "76 Bad header|broke"),
        (Manner::Says("xxx", cut), "hung up"),
        (Manner::Says("xxx", b"garbage\r\n".to_vec()), "none of spamd"),
        (
            Manner::Drips([b"a\n".repeat(20_000).as_slice(), b"\n"].concat()),
            "longer than|no answer",
        ),
    ] {
        let told = why(engine(EngineKind::Spamd, tcp(manner.clone()).await)).await;
        let fits = want.split('|').any(|want| told.contains(want));
        assert!(fits, "{}: {told}", format!("{manner:?}").chars().take(60).collect::<String>());
    }
    let told = why(engine(EngineKind::Rspamd, tcp(Manner::Early(of_spamd())).await)).await;
    assert!(told.contains("no HTTP"), "{told}");
}

#[tokio::test]
async fn a_reply_that_drips_in_is_whole_in_the_end() {
    let address = tcp(Manner::Drips(of_spamd())).await;
    let slow = Engine { timeout: Duration::from_secs(10), ..engine(EngineKind::Spamd, address) };
    let report = ask(&engines([slow]), "the mail").await;
    assert_eq!(report.score, Some(Score(7000)), "{:?}", report.not_run);
}

#[tokio::test]
async fn spamd_which_reads_lines_is_not_kept_waiting_by_a_last_line_without_end() {
    let address = tcp(Manner::ReadsAll(of_spamd())).await;
    let report = ask(&engines([engine(EngineKind::Spamd, address)]), "no line end").await;
    assert_eq!(report.score, Some(Score(7000)), "{:?}", report.not_run);
}

#[tokio::test]
async fn the_mail_waits_for_a_required_engine_unless_it_is_too_large_for_it() {
    let nobody = Address::Unix("/nowhere/spamd.sock".into());
    let needed = Engine { required: true, ..engine(EngineKind::Spamd, nobody) };
    let report = ask(&engines([needed.clone()]), "the mail").await;
    let missing = &report.not_run[0];
    assert_eq!(missing.weight, Weight::Required);
    assert!(missing.why.starts_with("cannot connect to unix:/nowhere"), "{}", missing.why);
    let small = Engine { max_size_bytes: 5, ..needed };
    let report = ask(&engines([small]), "the mail").await;
    assert_eq!(report.not_run[0].weight, Weight::Wanted);
    assert!(report.not_run[0].why.contains("larger than 5 octets"));
}

#[tokio::test]
async fn an_engine_that_is_silent_again_and_again_is_left_alone_also_after_a_reload() {
    let quick = Engine {
        timeout: Duration::from_millis(50),
        ..engine(EngineKind::Rspamd, tcp(Manner::Mute).await)
    };
    let config = Config { engines: vec![quick], ..Config::default() };
    let first = Engines::new(&config, None);
    for _ in 0..5 {
        assert!(ask(&first, "m").await.not_run[0].why.starts_with("no answer within"));
    }
    let again = Engines::new(&config, Some(&first));
    let began = Instant::now();
    assert!(ask(&again, "m").await.not_run[0].why.contains("not asked for now"));
    assert!(began.elapsed() < Duration::from_millis(50));
    let mut other = config;
    other.engines[0].factor = 0.5;
    let fresh = Engines::new(&other, Some(&again));
    assert!(ask(&fresh, "m").await.not_run[0].why.starts_with("no answer within"));
}

#[tokio::test]
async fn the_mails_own_deadline_ends_the_wait() {
    let patient = Engine {
        timeout: Duration::from_secs(60),
        ..engine(EngineKind::Spamd, tcp(Manner::Mute).await)
    };
    let deadline = Instant::now() + Duration::from_millis(100);
    let asked =
        engines([patient]).ask(&Arc::default(), &bytes::Bytes::from_static(b"m"), deadline).await;
    assert_eq!(asked.not_run[0].why, "the time for this mail is over");
    assert!(Instant::now() < deadline + Duration::from_secs(2));
}
