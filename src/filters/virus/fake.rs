//! A clamd that misbehaves on demand, and what our side makes of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::Instant;

use super::clamd::Clamd;
use super::requests::tests::part;
use super::*;
use crate::config::{Address, OnError, Scanner};
use crate::filters::VirusHit;
use crate::mail::PartKind;

/// What the fake does on a connection.
#[derive(Debug, Clone, Copy)]
enum Manner {
    /// Looks for `VIRUS`, `PHISH` and `LARGE` in the streams.
    Proper,
    /// Accepts and says nothing.
    Mute,
    /// Reads the first stream and says nothing.
    MuteAfterStream,
    /// Reads all streams and says nothing.
    OnlyReads,
    /// Closes in the middle of the first stream.
    HangUpInStream,
    /// Closes after the first stream.
    HangUpAfterStream,
    /// Answers the first stream, then closes.
    OneAnswer,
    /// Answers with these octets.
    Says(&'static [u8]),
    /// Answers with so many octets without an end.
    Endless(usize),
    /// Reads a little, refuses for size and closes while we still write.
    TooLargeEarly,
}

struct Fake {
    folder: tempfile::TempDir,
    connections: Arc<AtomicUsize>,
    streams: Arc<AtomicUsize>,
    server: Option<tokio::task::JoinHandle<()>>,
}

impl Fake {
    /// The last manner holds for all further connections.
    fn start(manners: &[Manner]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut fake =
            Self { folder, connections: Arc::default(), streams: Arc::default(), server: None };
        fake.restart(manners);
        fake
    }

    fn restart(&mut self, manners: &[Manner]) {
        let path = self.folder.path().join("ctl");
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(path).unwrap();
        let manners = manners.to_vec();
        let (connections, streams) = (Arc::clone(&self.connections), Arc::clone(&self.streams));
        self.server = Some(tokio::spawn(async move {
            let mut tasks = JoinSet::new();
            for at in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                connections.fetch_add(1, Ordering::SeqCst);
                let manner = *manners.get(at).or(manners.last()).unwrap();
                let streams = Arc::clone(&streams);
                tasks.spawn(async move { serve(stream, manner, &streams).await });
            }
        }));
    }

    async fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.abort();
            let _ = server.await;
        }
    }

    fn address(&self) -> Address {
        Address::Unix(self.folder.path().join("ctl"))
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn serve(stream: UnixStream, manner: Manner, streams: &AtomicUsize) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let mut id = 0;
    loop {
        if matches!(manner, Manner::Mute) {
            std::future::pending::<()>().await;
        }
        let mut command = Vec::new();
        while command.last() != Some(&0) {
            command.push(stream.read_u8().await.ok()?);
        }
        match command.as_slice() {
            b"zIDSESSION\0" => continue,
            b"zVERSION\0" => {
                let version: &[u8] = if let Manner::Says(octets) = manner {
                    octets
                } else {
                    b"ClamAV 1.4.0/27000/today\0"
                };
                stream.write_all(version).await.ok()?;
                return None;
            }
            other => assert_eq!(other, b"zINSTREAM\0"),
        }
        id += 1;
        if matches!(manner, Manner::HangUpInStream) {
            stream.read_u8().await.ok()?;
            return None;
        }
        if matches!(manner, Manner::TooLargeEarly) {
            stream.read_u32().await.ok()?;
            let text = format!("{id}: INSTREAM size limit exceeded. ERROR\0");
            stream.write_all(text.as_bytes()).await.ok()?;
            return None;
        }
        let data = read_stream(&mut stream).await?;
        streams.fetch_add(1, Ordering::SeqCst);
        match manner {
            Manner::OnlyReads => {}
            Manner::MuteAfterStream => std::future::pending::<()>().await,
            Manner::HangUpAfterStream => return None,
            Manner::Says(octets) => stream.write_all(octets).await.ok()?,
            Manner::Endless(count) => stream.write_all(&vec![b'x'; count]).await.ok()?,
            Manner::Proper
            | Manner::Mute
            | Manner::HangUpInStream
            | Manner::OneAnswer
            | Manner::TooLargeEarly => {
                let verdict = verdict_on(&data);
                stream.write_all(format!("{id}: {verdict}\0").as_bytes()).await.ok()?;
                if matches!(manner, Manner::OneAnswer) || verdict.ends_with("ERROR") {
                    return None;
                }
            }
        }
    }
}

async fn read_stream(stream: &mut BufReader<UnixStream>) -> Option<Vec<u8>> {
    let mut data = Vec::new();
    loop {
        let length = stream.read_u32().await.ok()?;
        if length == 0 {
            return Some(data);
        }
        let begin = data.len();
        data.resize(begin + usize::try_from(length).ok()?, 0);
        stream.read_exact(data.get_mut(begin..)?).await.ok()?;
    }
}

fn verdict_on(data: &[u8]) -> &'static str {
    let has = |word: &[u8]| memchr::memmem::find(data, word).is_some();
    if has(b"VIRUS") {
        "stream: Test.Virus FOUND"
    } else if has(b"PHISH") {
        "stream: Heuristics.Phishing.Email FOUND"
    } else if has(b"LARGE") {
        "INSTREAM size limit exceeded. ERROR"
    } else {
        "stream: OK"
    }
}

fn scanner(on_error: OnError) -> Scanner {
    Scanner {
        name: "clamav".into(),
        kind: ScannerKind::Clamd(None),
        timeout: Duration::from_millis(300),
        max_size_bytes: 32_000_000,
        on_error,
    }
}

fn scanners(address: Address) -> Scanners {
    let clamd = Clamd::new(scanner(OnError::TempFail), Some(address));
    Scanners { clamds: vec![Arc::new(clamd)], builtin: None }
}

fn mail(raw: &str, parts: &[&str]) -> Arc<Message> {
    let parts = parts
        .iter()
        .enumerate()
        .map(|(at, data)| {
            let data = Bytes::copy_from_slice(data.as_bytes());
            part(&(at + 1).to_string(), PartKind::Leaf, data)
        })
        .collect();
    Arc::new(Message { raw: raw.to_owned().into(), parts, ..Message::default() })
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

/// The answer in one word, and the reason of the first check without one.
fn gist(outcome: &Outcome) -> (&'static str, String) {
    let why = outcome.not_run.first().map_or_else(String::new, |n| n.why.clone());
    let word = match (&outcome.status[0].result, outcome.not_run.first().map(|n| n.weight)) {
        (ScanResult::Clean, None) => "clean",
        (ScanResult::Infected, _) => "infected",
        (ScanResult::NotScanned(_), Some(Weight::Off)) => "off",
        (ScanResult::NotScanned(_), Some(Weight::Wanted)) => "wanted",
        (ScanResult::NotScanned(_), Some(Weight::Required)) => "required",
        (ScanResult::NotScanned(_), Some(Weight::TooLarge)) => "too large",
        (ScanResult::NotScanned(_), None) | (ScanResult::Clean, Some(_)) => "contradiction",
    };
    (word, why)
}

#[tokio::test]
async fn each_fault_of_clamd_is_never_clean() {
    let eager: &'static [u8] = b"1: stream: OK\x002: stream: OK\x003: stream: OK\0";
    for (manner, want, why) in [
        (Manner::Proper, "clean", ""),
        (Manner::Mute, "required", "no answer within"),
        (Manner::MuteAfterStream, "required", "no answer within"),
        (Manner::HangUpInStream, "required", "connection broke"),
        (Manner::HangUpAfterStream, "required", "hung up"),
        (Manner::Says(b"220 mail ESMTP\r\n\0"), "required", "not a word of clamd"),
        (Manner::Says(b"1: stream: OK"), "required", "no answer within"),
        (Manner::Says(b"7: stream: OK\0"), "required", "answer to no request"),
        (Manner::Says(eager), "required", "answer to no request"),
        (Manner::Says(b"stream: OK\0"), "required", "answer to no request"),
        (Manner::Says(b"1: Can't allocate memory ERROR\0"), "required", "whole message: Can't"),
        (Manner::Endless(10_000_000), "required", "endless reply"),
        (Manner::TooLargeEarly, "too large", "whole message: INSTREAM size limit exceeded."),
    ] {
        let fake = Fake::start(&[manner]);
        let outcome =
            scanners(fake.address()).inspect(&mail(&"a".repeat(900_000), &[]), soon()).await;
        let (word, text) = gist(&outcome);
        let is_why = text.contains(why) || text.contains("broke") && why == "hung up";
        assert!(word == want && is_why, "{manner:?}: {outcome:?}");
        assert_eq!(outcome.not_run.len(), usize::from(want != "clean"));
    }
}

#[tokio::test]
async fn a_whole_mail_takes_one_connection_and_the_next_mail_too() {
    let fake = Fake::start(&[Manner::Proper]);
    let scanners = scanners(fake.address());
    for _ in 0..3 {
        let mail = mail("raw", &["a", "b", "c", "d", "e", "f", "a", ""]);
        assert_eq!(gist(&scanners.inspect(&mail, soon()).await).0, "clean");
    }
    assert_eq!(fake.connections(), 1);
    assert_eq!(fake.streams.load(Ordering::SeqCst), 3 * 7);
}

#[tokio::test]
async fn hits_name_their_part_and_heuristics_are_kept_apart() {
    let fake = Fake::start(&[Manner::Proper]);
    let scanners = scanners(fake.address());
    let outcome = scanners.inspect(&mail("raw", &["PHISH", "a", "b", "VIRUS"]), soon()).await;
    assert_eq!(gist(&outcome).0, "infected");
    let hit = |name: &str, part: &str| VirusHit {
        scanner: "clamav".to_owned(),
        name: name.to_owned(),
        part: part.to_owned(),
    };
    assert_eq!(outcome.hits, [hit("Test.Virus", "4")]);
    assert_eq!(outcome.suspicious, [hit("Heuristics.Phishing.Email", "1")]);
    let outcome = scanners.inspect(&mail("PHISH", &[]), soon()).await;
    assert_eq!(gist(&outcome).0, "clean");
    assert_eq!(outcome.suspicious.len(), 1);
}

#[tokio::test]
async fn a_refusal_for_size_does_not_hide_a_virus_in_another_part() {
    let fake = Fake::start(&[Manner::Proper]);
    let scanners = scanners(fake.address());
    let outcome = scanners.inspect(&mail("LARGE", &["a", "b", "VIRUS"]), soon()).await;
    assert_eq!(gist(&outcome).0, "infected");
    let outcome = scanners.inspect(&mail("LARGE", &["a", "LARGE too", "b"]), soon()).await;
    let why = "whole message: INSTREAM size limit exceeded. (and 1 more)".to_owned();
    assert_eq!(gist(&outcome), ("too large", why));
}

#[tokio::test]
async fn what_is_larger_than_the_limit_is_not_sent_and_not_clean() {
    let fake = Fake::start(&[Manner::Proper]);
    let mut small = scanner(OnError::Pass);
    small.max_size_bytes = 10;
    let clamd = Clamd::new(small, Some(fake.address()));
    let scanners = Scanners { clamds: vec![Arc::new(clamd)], builtin: None };
    let outcome = scanners.inspect(&mail("more than ten", &["ten octets"]), soon()).await;
    assert_eq!(gist(&outcome).0, "too large");
    assert_eq!(fake.streams.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_restart_between_two_mails_or_within_one_goes_unseen() {
    let mut fake = Fake::start(&[Manner::Proper]);
    let scanners = scanners(fake.address());
    assert_eq!(gist(&scanners.inspect(&mail("raw", &[]), soon()).await).0, "clean");
    fake.stop().await;
    fake.restart(&[Manner::OneAnswer, Manner::Proper]);
    let outcome = scanners.inspect(&mail("raw", &["a", "b", "c"]), soon()).await;
    assert_eq!(gist(&outcome).0, "clean");
    assert_eq!(fake.connections(), 3);
}

#[tokio::test]
async fn a_kept_connection_that_dies_under_a_request_is_replaced_once() {
    // The fake closes each connection after one stream: the second mail finds the first one's connection dead only
    // if the close was seen; here the answer and the close race, and both orders must be clean.
    let fake = Fake::start(&[Manner::OneAnswer]);
    let scanners = scanners(fake.address());
    for _ in 0..20 {
        assert_eq!(gist(&scanners.inspect(&mail("raw", &[]), soon()).await).0, "clean");
    }
    assert_eq!(fake.connections(), 20);
}

#[tokio::test]
async fn a_clamd_that_is_down_costs_the_next_mails_no_time_and_is_found_again() {
    let mut fake = Fake::start(&[Manner::Proper]);
    let scanners = scanners(fake.address());
    fake.stop().await;
    let (word, why) = gist(&scanners.inspect(&mail("raw", &[]), soon()).await);
    assert!(word == "required" && why.starts_with("cannot connect to unix:"), "{word} {why}");
    let (word, why) = gist(&scanners.inspect(&mail("raw", &[]), soon()).await);
    assert!(word == "required" && why.contains("was down a moment ago"), "{word} {why}");
    assert_eq!(scanners.status()[0].state, ScannerState::Down);
    fake.restart(&[Manner::Proper]);
    scanners.probe().await;
    assert_eq!(gist(&scanners.inspect(&mail("raw", &[]), soon()).await).0, "clean");
    let status = &scanners.status()[0];
    assert_eq!(status.state, ScannerState::Up);
    assert_eq!(status.version.as_deref(), Some("ClamAV 1.4.0/27000/today"));
    assert!(status.last_error.as_ref().is_some_and(|e| e.contains("cannot connect")));
}

#[tokio::test]
async fn on_error_pass_lets_mail_through_marked() {
    let mut fake = Fake::start(&[Manner::Proper]);
    fake.stop().await;
    let clamd = Clamd::new(scanner(OnError::Pass), Some(fake.address()));
    let scanners = Scanners { clamds: vec![Arc::new(clamd)], builtin: None };
    assert_eq!(gist(&scanners.inspect(&mail("raw", &[]), soon()).await).0, "wanted");
}

#[tokio::test]
async fn auto_is_off_until_it_was_seen_and_then_required() {
    let mut fake = Fake::start(&[Manner::Proper]);
    fake.stop().await;
    let places = vec![Address::Unix("/nowhere/clamd.ctl".into()), fake.address()];
    let clamd = Arc::new(Clamd::at(scanner(OnError::TempFail), places, false));
    let scanners = Scanners { clamds: vec![clamd], builtin: None };
    let outcome = scanners.inspect(&mail("raw", &[]), soon()).await;
    assert_eq!(gist(&outcome), ("off", "no clamd found".to_owned()));
    assert_eq!(scanners.status()[0].state, ScannerState::NeverSeen);

    // Something else that listens there is no clamd.
    fake.restart(&[Manner::Says(b"SSH-2.0-OpenSSH\r\n")]);
    scanners.probe().await;
    assert_eq!(gist(&scanners.inspect(&mail("raw", &[]), soon()).await).0, "off");

    fake.stop().await;
    fake.restart(&[Manner::Proper]);
    scanners.probe().await;
    assert_eq!(gist(&scanners.inspect(&mail("VIRUS", &[]), soon()).await).0, "infected");
    fake.stop().await;
    assert_eq!(gist(&scanners.inspect(&mail("raw", &[]), soon()).await).0, "required");
}

#[tokio::test]
async fn the_deadline_of_the_mail_ends_the_wait_and_is_not_clamds_fault() {
    let fake = Fake::start(&[Manner::Mute]);
    let mut patient = scanner(OnError::TempFail);
    patient.timeout = Duration::from_secs(60);
    let clamd = Clamd::new(patient, Some(fake.address()));
    let scanners = Scanners { clamds: vec![Arc::new(clamd)], builtin: None };
    let deadline = Instant::now() + Duration::from_millis(100);
    // More mails than streams: those that wait for a stream end in time as well.
    let mail = mail("raw", &[]);
    let inspections = (0..12).map(|_| scanners.inspect(&mail, deadline));
    let outcomes = join_all(inspections).await;
    let is_cut =
        |(word, why): (&str, String)| word == "required" && why.contains("deadline of the mail");
    assert!(outcomes.len() == 12 && outcomes.iter().map(gist).all(is_cut));
    assert!(Instant::now() < deadline + Duration::from_secs(2));
    assert_eq!(scanners.status()[0].state, ScannerState::NeverSeen);
}

async fn join_all<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut pinned: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        let mut is_done = true;
        for (future, result) in &mut pinned {
            if result.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *result = Some(value),
                    std::task::Poll::Pending => is_done = false,
                }
            }
        }
        if is_done { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    pinned.into_iter().filter_map(|(_, result)| result).collect()
}

#[tokio::test]
async fn several_scanners_are_asked_side_by_side_and_both_are_named() {
    let (one, two) = (Fake::start(&[Manner::Proper]), Fake::start(&[Manner::Mute]));
    let clamds = [("one", &one), ("two", &two), ("three", &one)].map(|(name, fake)| {
        let scanner = Scanner { name: name.into(), ..scanner(OnError::TempFail) };
        Arc::new(Clamd::new(scanner, Some(fake.address())))
    });
    let scanners = Scanners { clamds: clamds.to_vec(), builtin: None };
    let outcome = scanners.inspect(&mail("VIRUS", &[]), soon()).await;
    let names: Vec<_> = outcome.hits.iter().map(|hit| hit.scanner.as_str()).collect();
    assert_eq!(names, ["one", "three"]);
    assert_eq!(outcome.not_run[0].check, "virus:two");
    assert_eq!(outcome.status.len(), 3);
}

#[tokio::test]
async fn a_reload_keeps_what_is_known_of_a_scanner_that_did_not_change() {
    let fake = Fake::start(&[Manner::Proper]);
    let known = Arc::new(Clamd::new(scanner(OnError::TempFail), Some(fake.address())));
    known.probe(Duration::from_secs(5)).await;
    let address = fake.address();
    let after =
        |scanner: &Scanner| clamd::keep_or_new(scanner, Some(&address), [Arc::clone(&known)]);
    assert!(Arc::ptr_eq(&known, &after(&scanner(OnError::TempFail))));
    assert!(!Arc::ptr_eq(&known, &after(&scanner(OnError::Pass))));
}

#[tokio::test]
async fn large_parts_are_asked_about_once_the_whole_message_is_answered() {
    let large = "x".repeat(40_000);
    // The answer to the first stream never comes, so no other may follow.
    let fake = Fake::start(&[Manner::OnlyReads]);
    let scanners = scanners(fake.address());
    let soon = Instant::now() + Duration::from_millis(300);
    assert_eq!(gist(&scanners.inspect(&mail("raw", &[&large, "b"]), soon).await).0, "required");
    assert_eq!(fake.streams.load(Ordering::SeqCst), 1);
    let soon = Instant::now() + Duration::from_millis(300);
    assert_eq!(gist(&scanners.inspect(&mail("raw", &["a", "b"]), soon).await).0, "required");
    assert_eq!(fake.streams.load(Ordering::SeqCst), 4, "small ones go side by side");
}

#[tokio::test]
async fn a_part_found_clean_is_not_asked_about_again_under_the_same_signatures() {
    let fake = Fake::start(&[Manner::Proper]);
    let scanners = scanners(fake.address());
    let asked = async || {
        let before = fake.streams.load(Ordering::SeqCst);
        assert_eq!(gist(&scanners.inspect(&mail("raw", &["logo"]), soon()).await).0, "clean");
        fake.streams.load(Ordering::SeqCst) - before
    };
    assert_eq!((asked().await, asked().await), (2, 2), "its version is not known");
    scanners.probe().await;
    assert_eq!((asked().await, asked().await), (2, 1));
    scanners.probe().await;
    assert_eq!(asked().await, 1);
    scanners.clamds[0].cache.version("ClamAV 1.4.0/27001/today");
    assert_eq!(asked().await, 2);
    let infected = scanners.inspect(&mail("raw", &["VIRUS"]), soon()).await;
    assert_eq!(gist(&infected).0, "infected");
    let again = scanners.inspect(&mail("raw", &["VIRUS"]), soon()).await;
    assert_eq!(gist(&again).0, "infected", "only clean parts are remembered");
}
