//! The program dies at random times under load, again and again: what was answered 250 is never lost.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::client::{Heard, deliver};
use crate::support::sink::Sink;
use crate::support::tamis::Setup;
use crate::support::{mails, random, wait_for};

const ROUNDS: u32 = 50;
const CLIENTS: usize = 6;
const TIME_MAX: Duration = Duration::from_secs(90);
const FROM: &str = "alice@sender.example";
const BOB: &str = "bob@lab.example";

/// A mail that was sent, and whether 250 was heard.
struct Sent {
    mail: Vec<u8>,
    bad: bool,
    accepted: bool,
}

/// Sends mails until told to stop: every third is infected, and the ports take turns.
fn load(ports: [u16; 2], stop: &AtomicBool) -> BTreeMap<String, Sent> {
    let mut sent = BTreeMap::new();
    while !stop.load(Ordering::SeqCst) {
        let mark = mails::mark("kill");
        let kind = random();
        let bad = kind.is_multiple_of(3);
        let mail = if bad {
            mails::with_file(&mark, "eicar.dat", &mails::eicar())
        } else {
            mails::plain(&mark, &"A line among many lines.\r\n".repeat((kind % 400) as usize))
        };
        let heard = deliver(ports[usize::from(kind & 8 == 0)], FROM, &[BOB], &mail);
        if heard == Heard::Close {
            // Nobody is there, or no longer: the next try need not be at once.
            std::thread::sleep(Duration::from_millis(2));
        }
        sent.insert(mark, Sent { mail, bad, accepted: heard.code() == 250 });
    }
    sent
}

#[test]
fn what_was_answered_250_survives_kill_nine() {
    let sink = Sink::start();
    let mut tamis = Setup::to(sink.port).start();
    let ports = [tamis.after_queue(), tamis.pre_queue()];
    let stop = AtomicBool::new(false);
    let start = Instant::now();
    let mut rounds = 0;
    let sent = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(|| load(ports, &stop))).collect();
        // Whatever goes wrong here, the clients must be told to stop.
        let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            while rounds < ROUNDS && start.elapsed() < TIME_MAX {
                // The time of death is the fault that is tried here; nothing is waited for.
                std::thread::sleep(Duration::from_millis(20 + random() % 400));
                tamis.kill();
                tamis.launch();
                rounds += 1;
            }
        }));
        stop.store(true, Ordering::SeqCst);
        let sent: Vec<_> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        run.unwrap();
        sent
    });
    sink.settle();
    let accepted = sent.iter().filter(|(_, sent)| sent.accepted).count();
    println!(
        "{rounds} deaths, {} mails sent, {accepted} accepted, in {:?}",
        sent.len(),
        start.elapsed()
    );
    assert!(rounds >= 20, "only {rounds} rounds in {TIME_MAX:?}");
    assert!(accepted > rounds as usize, "only {accepted} mails got through: no load");
    // What the last death left behind is mended beside the work, after the start. An empty file has nothing of a mail;
    // it goes when it is old enough to be nobody's.
    let is_half = |path: &Path, octets: &[u8]| is_temporary(path) && !octets.is_empty();
    wait_for("the start has removed what was half written", || {
        tamis.quarantined().iter().all(|(path, octets)| !is_half(path, octets)).then_some(())
    });
    let (arrived, kept) = (sink.taken(), tamis.quarantined());
    let arrived = by_mark(arrived.iter().map(|taken| taken.message.as_slice()));
    let in_store = by_mark(kept.iter().map(|(_, octets)| octets.as_slice()));
    let none = Vec::new();
    for (mark, sent) in &sent {
        let whole = |copies: &[&[u8]], where_from: &str| {
            for copy in copies {
                assert!(copy.ends_with(&sent.mail), "{mark}: changed or cut off {where_from}");
            }
            copies.len()
        };
        let at_sink = whole(arrived.get(mark).unwrap_or(&none), "on its way");
        let stored = whole(in_store.get(mark).unwrap_or(&none), "in the quarantine");
        let found = if sent.bad { stored } else { at_sink };
        assert!(!sent.accepted || found > 0, "{mark} (bad: {}) got 250 and is LOST", sent.bad);
        assert!(!sent.bad || at_sink == 0, "{mark}: an infected mail passed");
    }
    for (path, octets) in &kept {
        if is_temporary(path) && octets.is_empty() {
            continue;
        }
        let known = mark_of(octets).is_some_and(|mark| sent.iter().any(|(sent, _)| *sent == mark));
        assert!(known, "{} is left over, {} octets", path.display(), octets.len());
    }
}

/// True for a file that a store was about to write.
fn is_temporary(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".tmp-"))
}

/// Copies of mails by their marks; what bears no mark is left out.
fn by_mark<'a>(copies: impl Iterator<Item = &'a [u8]>) -> HashMap<String, Vec<&'a [u8]>> {
    let mut found: HashMap<String, Vec<&[u8]>> = HashMap::new();
    for copy in copies {
        if let Some(mark) = mark_of(copy) {
            found.entry(mark).or_default().push(copy);
        }
    }
    found
}

/// The mark in a mail's Message-ID.
fn mark_of(mail: &[u8]) -> Option<String> {
    let start = memchr::memmem::find(mail, b"<kill-")? + 1;
    let rest = mail.get(start..)?;
    let end = memchr::memchr(b'@', rest)?;
    String::from_utf8(rest.get(..end)?.to_vec()).ok()
}
