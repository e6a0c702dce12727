//! What earlier tries of the same mail have reached.
//!
//! After the end of data there is one reply for all recipients. When some parts are done and others are not, the client
//! must come again with the whole mail; this memory keeps it from doing twice what was done, and lets RCPT answer for
//! recipients that the next hop will not take. It lives in this process: to lose it may cost a duplicate, never a mail.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::mail::{Envelope, Message};
use crate::smtp::Reply;

/// Postfix tries again within 4000 seconds at the latest.
const KEPT: Duration = Duration::from_secs(2 * 3600);
/// Mails remembered.
const ENTRIES_MAX: usize = 10_000;

type Timed<T> = HashMap<String, (Instant, T)>;

/// The memory.
#[derive(Debug, Default)]
pub struct Memory {
    reached: Mutex<Timed<HashMap<String, Reply>>>,
    refused: Mutex<Timed<Reply>>,
    failed: Mutex<Timed<u32>>,
}

impl Memory {
    /// Under what a mail is known again: its sender, Message-ID and body; Received fields differ from try to try.
    #[must_use]
    pub fn key(&self, envelope: &Envelope, message: &Message) -> String {
        // An empty memory is the rule, and the digest is not free.
        if locked(&self.reached).is_empty() {
            return String::new();
        }
        digest_of(envelope, message)
    }

    /// What was reached for a mail, by address.
    #[must_use]
    pub fn recall(&self, key: &str) -> HashMap<String, Reply> {
        let reached = locked(&self.reached);
        match reached.get(key) {
            Some((since, replies)) if since.elapsed() < KEPT => replies.clone(),
            _ => HashMap::new(),
        }
    }

    /// Notes the recipients that are done.
    pub fn remember<'a>(
        &self,
        key: &str,
        replies: impl Iterator<Item = (&'a str, &'a Reply)>,
        quarantined: bool,
    ) {
        let mut reached = locked(&self.reached);
        make_room(&mut reached);
        let (since, known) =
            reached.entry(key.to_owned()).or_insert_with(|| (Instant::now(), HashMap::new()));
        *since = Instant::now();
        known.extend(
            replies
                .filter(|(_, reply)| reply.is_positive())
                .map(|(to, reply)| (to.to_owned(), reply.clone())),
        );
        if quarantined {
            known.insert(super::QUARANTINED.to_owned(), Reply::new(250, "2.7.0 Ok, quarantined"));
        }
    }

    /// The mail is done.
    pub fn forget(&self, key: &str) {
        if !key.is_empty() {
            locked(&self.reached).remove(key);
        }
    }

    /// Notes recipients that the next hop refused for good.
    pub fn refuse(&self, envelope: &Envelope, replies: &[Reply]) {
        let mut refused = locked(&self.refused);
        make_room(&mut refused);
        for (recipient, reply) in envelope.recipients.iter().zip(replies) {
            if reply.is_permanent() {
                let key = pair(envelope, recipient.address());
                refused.insert(key, (Instant::now(), reply.clone()));
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
        let (since, reply) = refused.get(&pair(envelope, address))?;
        (since.elapsed() < KEPT).then(|| reply.clone())
    }

    /// Counts a failure of ours on these octets; gives how often that happened.
    #[must_use]
    pub fn failure(&self, raw: &[u8]) -> u32 {
        let key = hex(&Sha256::digest(raw));
        let mut failed = locked(&self.failed);
        make_room(&mut failed);
        let (since, count) = failed.entry(key).or_insert((Instant::now(), 0));
        *since = Instant::now();
        *count += 1;
        *count
    }
}

/// The digest under which [`Memory`] knows a mail.
#[must_use]
pub fn digest_of(envelope: &Envelope, message: &Message) -> String {
    let mut digest = Sha256::new();
    digest.update(&envelope.sender.argument);
    digest.update([0]);
    digest.update(message.value("Message-ID").unwrap_or_default());
    digest.update([0]);
    digest.update(message.raw.get(message.body_start..).unwrap_or_default());
    hex(&digest.finalize())
}

fn pair(envelope: &Envelope, address: &str) -> String {
    let ident = envelope.client.ident.as_deref().unwrap_or_default();
    format!("{ident}\0{}\0{address}", envelope.sender.address)
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

    #[test]
    fn what_was_reached_is_known_until_the_mail_is_done() {
        let memory = Memory::default();
        let key = digest_of(&envelope("q"), &Message::default());
        let (ok, later) = (Reply::new(250, "ok"), Reply::new(451, "later"));
        memory.remember(&key, [("a@x", &ok), ("b@x", &later)].into_iter(), false);
        assert_eq!(memory.key(&envelope("other"), &Message::default()), key);
        let known = memory.recall(&key);
        assert_eq!((known.len(), known.get("a@x")), (1, Some(&ok)));
        memory.forget(&key);
        assert!(memory.recall(&key).is_empty());
    }

    #[test]
    fn a_refused_recipient_is_answered_at_rcpt_next_time() {
        let memory = Memory::default();
        memory.refuse(&envelope("q"), &[Reply::new(250, "ok"), Reply::new(550, "5.1.1 no")]);
        assert_eq!(memory.refusal(&envelope("q"), "b@x").map(|reply| reply.code), Some(550));
        assert!(memory.refusal(&envelope("q"), "a@x").is_none());
        assert!(memory.refusal(&envelope("r"), "b@x").is_none());
    }

    #[test]
    fn failures_of_the_same_octets_are_counted_and_the_memory_is_bounded() {
        let memory = Memory::default();
        assert_eq!([memory.failure(b"x"), memory.failure(b"x"), memory.failure(b"y")], [1, 2, 1]);
        for n in 0..2 * ENTRIES_MAX {
            let _ = memory.failure(&n.to_be_bytes());
        }
        assert!(locked(&memory.failed).len() <= ENTRIES_MAX + 1);
    }
}
