//! What earlier tries of the same mail have reached.
//!
//! After the end of data there is one reply for all recipients. When some parts are done and others are not, the client
//! must come again with the whole mail; this memory keeps it from doing twice what was done, and lets RCPT answer for
//! recipients that the next hop will not take. It lives in this process: to lose it may cost a duplicate, never a mail.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::config::NextHop;
use crate::mail::{Envelope, Message};
use crate::smtp::Reply;

/// Postfix tries again within 4000 seconds at the latest.
const KEPT: Duration = Duration::from_secs(2 * 3600);
/// Mails remembered.
const ENTRIES_MAX: usize = 10_000;

type Timed<T> = HashMap<String, (Instant, T)>;

/// What earlier tries of a mail have reached. Both are by address: Postfix sends a mail of many recipients in several
/// transactions, and what was done for some of them says nothing of the others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reached {
    /// Recipients that need nothing more, and what was said of them.
    pub replies: HashMap<String, Reply>,
    /// Recipients whose copy is in the quarantine.
    pub quarantined: HashSet<String>,
}

/// The memory.
#[derive(Debug, Default)]
pub struct Memory {
    reached: Mutex<Timed<Reached>>,
    refused: Mutex<Timed<Reply>>,
    failed: Mutex<Timed<u32>>,
}

impl Memory {
    /// What was reached for a mail.
    #[must_use]
    pub fn recall(&self, envelope: &Envelope, message: &Message, next_hop: &NextHop) -> Reached {
        // An empty memory is the rule, and the digest is not free.
        if locked(&self.reached).is_empty() {
            return Reached::default();
        }
        let key = digest_of(envelope, message, next_hop);
        match locked(&self.reached).get(&key) {
            Some((since, reached)) if since.elapsed() < KEPT => reached.clone(),
            _ => Reached::default(),
        }
    }

    /// Notes what else was reached under a mail's digest.
    pub fn remember(&self, key: &str, more: Reached) {
        let mut reached = locked(&self.reached);
        make_room(&mut reached);
        let (since, known) =
            reached.entry(key.to_owned()).or_insert_with(|| (Instant::now(), Reached::default()));
        *since = Instant::now();
        known.replies.extend(more.replies);
        known.quarantined.extend(more.quarantined);
    }

    /// The mail is done for the recipients of this envelope.
    pub fn forget(&self, envelope: &Envelope, message: &Message, next_hop: &NextHop) {
        if locked(&self.reached).is_empty() {
            return;
        }
        let key = digest_of(envelope, message, next_hop);
        let mut reached = locked(&self.reached);
        let Some((_, known)) = reached.get_mut(&key) else { return };
        for recipient in &envelope.recipients {
            known.replies.remove(recipient.address());
            known.quarantined.remove(recipient.address());
        }
        if known.replies.is_empty() && known.quarantined.is_empty() {
            reached.remove(&key);
        }
    }

    /// Notes recipients that the next hop refused for good. Only the client's queue id tells at RCPT that it is this mail
    /// that comes again; without one nothing is noted, for another mail must not be refused in its place.
    pub fn refuse(&self, envelope: &Envelope, replies: &[Reply]) {
        let mut refused = locked(&self.refused);
        make_room(&mut refused);
        for (recipient, reply) in envelope.recipients.iter().zip(replies) {
            if reply.is_permanent() {
                if let Some(key) = pair(envelope, recipient.address()) {
                    refused.insert(key, (Instant::now(), reply.clone()));
                }
            }
        }
    }

    /// The refusal to give at RCPT, if this mail's earlier try was refused for this recipient.
    #[must_use]
    pub fn refusal(&self, envelope: &Envelope, address: &str) -> Option<Reply> {
        let refused = locked(&self.refused);
        if refused.is_empty() {
            return None;
        }
        let (since, reply) = refused.get(&pair(envelope, address)?)?;
        (since.elapsed() < KEPT).then(|| reply.clone())
    }

    /// Counts a failure of ours on this message; gives how often that happened.
    #[must_use]
    pub fn failure(&self, raw: &[u8]) -> u32 {
        let mut digest = Sha256::new();
        feed(&mut digest, raw);
        let key = hex(&digest.finalize());
        let mut failed = locked(&self.failed);
        make_room(&mut failed);
        let (since, count) = failed.entry(key).or_insert((Instant::now(), 0));
        *since = Instant::now();
        *count += 1;
        *count
    }
}

/// The digest under which [`Memory`] knows a mail: all of it but its Received fields, which differ from try to try.
///
/// To take another mail for this one would lose it, so that everything counts which a second try has unchanged: the
/// words alone do not do, since programs send the same ones with and without Message-ID.
#[must_use]
pub fn digest_of(envelope: &Envelope, message: &Message, next_hop: &NextHop) -> String {
    let mut digest = Sha256::new();
    let ident = envelope.client.ident.as_deref().unwrap_or_default();
    let next_hop = next_hop.to_string();
    for text in [next_hop.as_bytes(), ident.as_bytes(), &envelope.sender.argument] {
        digest.update((text.len() as u64).to_be_bytes());
        digest.update(text);
    }
    feed(&mut digest, &message.raw);
    hex(&digest.finalize())
}

/// Feeds a message without its Received fields.
fn feed(digest: &mut Sha256, raw: &[u8]) {
    let end = memchr::memmem::find(raw, b"\r\n\r\n").map_or(raw.len(), |at| at + 2);
    let (header, body) = raw.split_at_checked(end).unwrap_or((raw, &[]));
    let mut skipping = false;
    for line in header.split_inclusive(|&octet| octet == b'\n') {
        if !matches!(line.first(), Some(b' ' | b'\t')) {
            skipping = line.get(..9).is_some_and(|name| name.eq_ignore_ascii_case(b"Received:"));
        }
        if !skipping {
            digest.update(line);
        }
    }
    digest.update(body);
}

fn pair(envelope: &Envelope, address: &str) -> Option<String> {
    let ident = envelope.client.ident.as_deref().filter(|ident| !ident.is_empty())?;
    Some(format!("{ident}\0{}\0{address}", envelope.sender.address))
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn make_room<T>(entries: &mut Timed<T>) {
    if entries.len() < ENTRIES_MAX {
        return;
    }
    entries.retain(|_, (since, _)| since.elapsed() < KEPT);
    if entries.len() >= ENTRIES_MAX {
        let mut ages: Vec<Instant> = entries.values().map(|(since, _)| *since).collect();
        ages.sort();
        if let Some(&middle) = ages.get(ages.len() / 2) {
            entries.retain(|_, (since, _)| *since > middle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Path, Recipient};

    fn envelope(ident: &str) -> Envelope {
        let path = |address: &str| Path {
            argument: format!("<{address}>").into_bytes(),
            address: address.into(),
        };
        Envelope {
            client: crate::mail::Client { ident: Some(ident.into()), ..Default::default() },
            sender: path("s@x"),
            recipients: ["a@x", "b@x"].map(|address| Recipient { path: path(address) }).to_vec(),
            ..Envelope::default()
        }
    }

    fn message(raw: &str) -> Message {
        Message { raw: raw.to_owned().into(), ..Message::default() }
    }

    fn next_hop(port: u16) -> NextHop {
        let address = crate::config::Address::Tcp(format!("127.0.0.1:{port}"));
        NextHop { lmtp: false, address }
    }

    #[test]
    fn what_was_reached_is_known_until_the_mail_is_done() {
        let memory = Memory::default();
        let (mail, again) = (
            message("Received: by a\r\n\tat 1\r\nSubject: s\r\n\r\nb"),
            message("received: by a at 2\r\nSubject: s\r\n\r\nb"),
        );
        let mut reached = Reached::default();
        reached.replies.insert("a@x".to_owned(), Reply::new(250, "ok"));
        memory.remember(&digest_of(&envelope("q"), &mail, &next_hop(1)), reached.clone());
        assert_eq!(memory.recall(&envelope("q"), &again, &next_hop(1)), reached);
        memory.forget(&envelope("q"), &again, &next_hop(1));
        assert_eq!(memory.recall(&envelope("q"), &mail, &next_hop(1)), Reached::default());
    }

    #[test]
    fn another_mail_has_another_digest() {
        let digest = |ident: &str, raw: &str, port: u16| {
            digest_of(&envelope(ident), &message(raw), &next_hop(port))
        };
        let known = digest("q", "Subject: s\r\n\r\nb", 1);
        for (ident, raw, port) in [
            ("other", "Subject: s\r\n\r\nb", 1),
            ("q", "Subject: t\r\n\r\nb", 1),
            ("q", "Subject: s\r\nResent-To: c@x\r\n\r\nb", 1),
            ("q", "Subject: s\r\n\r\nReceived: b", 1),
            ("q", "Subject: s\r\n\r\nb", 2),
        ] {
            assert_ne!(digest(ident, raw, port), known, "{ident} {raw:?} {port}");
        }
    }

    #[test]
    fn a_refused_recipient_is_answered_at_rcpt_next_time() {
        let memory = Memory::default();
        memory.refuse(&envelope("q"), &[Reply::new(250, "ok"), Reply::new(550, "5.1.1 no")]);
        assert_eq!(memory.refusal(&envelope("q"), "b@x").map(|reply| reply.code), Some(550));
        assert!(memory.refusal(&envelope("q"), "a@x").is_none());
        assert!(memory.refusal(&envelope("r"), "b@x").is_none());
        memory.refuse(&envelope(""), &[Reply::new(250, "ok"), Reply::new(550, "5.1.1 no")]);
        assert!(memory.refusal(&envelope(""), "b@x").is_none());
    }

    #[test]
    fn failures_of_the_same_mail_are_counted_and_the_memory_is_bounded() {
        let memory = Memory::default();
        assert_eq!([memory.failure(b"x"), memory.failure(b"x"), memory.failure(b"y")], [1, 2, 1]);
        let tries = ["Received: 1\r\nA: b\r\n\r\nc", "Received: 2\r\nA: b\r\n\r\nc"];
        assert_eq!(tries.map(|raw| memory.failure(raw.as_bytes())), [1, 2], "it came again");
        for n in 0..2 * ENTRIES_MAX {
            let _ = memory.failure(&n.to_be_bytes());
        }
        assert!(locked(&memory.failed).len() <= ENTRIES_MAX + 1);
    }
}
