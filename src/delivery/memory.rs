//! What earlier tries of the same mail have reached.
//!
//! After the end of data there is one reply for all recipients. When some parts are done and others are not, the client
//! must come again with the whole mail; this memory keeps it from doing twice what was done, and lets RCPT answer for
//! recipients that the next hop will not take. It lives in this process: to lose it may cost a duplicate, never a mail.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use sha2::{Digest, Sha256};

use crate::mail::{Envelope, HeaderField, Message};
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
    failed: Mutex<Timed<(SystemTime, u32)>>,
}

impl Memory {
    /// What was reached for a mail in earlier tries, by address.
    #[must_use]
    pub fn recall(
        &self,
        listener: &str,
        envelope: &Envelope,
        message: &Message,
    ) -> HashMap<String, Reply> {
        // An empty memory is the rule, and the digest is not free.
        if locked(&self.reached).is_empty() {
            return HashMap::new();
        }
        let Some(key) = key(listener, envelope, message) else { return HashMap::new() };
        match locked(&self.reached).get(&key) {
            Some((since, replies)) if since.elapsed() < KEPT => replies.clone(),
            _ => HashMap::new(),
        }
    }

    /// Notes the recipients that are done, and those (indices) whose copy the quarantine has.
    pub fn remember(
        &self,
        listener: &str,
        envelope: &Envelope,
        message: &Message,
        replies: &[Reply],
        quarantined: &[usize],
    ) {
        let Some(key) = key(listener, envelope, message) else { return };
        let mut reached = locked(&self.reached);
        make_room(&mut reached);
        let (since, known) = reached.entry(key).or_insert_with(|| (Instant::now(), HashMap::new()));
        *since = Instant::now();
        for (recipient, reply) in envelope.recipients.iter().zip(replies) {
            if reply.is_positive() {
                known.insert(recipient.address().to_owned(), reply.clone());
            }
        }
        for recipient in quarantined.iter().filter_map(|&index| envelope.recipients.get(index)) {
            let reply = Reply::new(250, "2.7.0 Ok, quarantined");
            known.insert(super::quarantined(recipient.address()), reply);
        }
    }

    /// The mail is done for the recipients of this envelope. Postfix sends a mail of many in several transactions, so
    /// that others may still be under way.
    pub fn forget(&self, listener: &str, envelope: &Envelope, message: &Message) {
        if locked(&self.reached).is_empty() {
            return;
        }
        let Some(key) = key(listener, envelope, message) else { return };
        let mut reached = locked(&self.reached);
        let Some((_, known)) = reached.get_mut(&key) else { return };
        for recipient in &envelope.recipients {
            known.remove(recipient.address());
            known.remove(&super::quarantined(recipient.address()));
        }
        if known.is_empty() {
            reached.remove(&key);
        }
    }

    /// Notes recipients that the next hop refused for good, so that RCPT answers for them when the mail comes again.
    /// False if the mail cannot be known again at RCPT: only Postfix' queue id tells one mail from the next there.
    pub fn refuse(&self, envelope: &Envelope, replies: &[Reply]) -> bool {
        let mut refused = locked(&self.refused);
        make_room(&mut refused);
        for (recipient, reply) in envelope.recipients.iter().zip(replies) {
            let Some(key) = pair(envelope, recipient.address()) else { return false };
            if reply.is_permanent() {
                refused.insert(key, (Instant::now(), reply.clone()));
            }
        }
        true
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

    /// Counts a failure of ours on this body; gives how often that happened. Where a scanner gave no answer, the time
    /// at which it last answered anybody is handed in: only a scanner that has answered since the last failure makes
    /// this one the mail's fault. Header fields do not count, since each try before the queue has new ones.
    #[must_use]
    pub fn failure(&self, body: &[u8], answered: Option<Option<SystemTime>>) -> u32 {
        let now = SystemTime::now();
        let mut failed = locked(&self.failed);
        make_room(&mut failed);
        let (since, (last, count)) =
            failed.entry(hex(&Sha256::digest(body))).or_insert((Instant::now(), (now, 0)));
        *since = Instant::now();
        let counts =
            answered.is_none_or(|answered| answered.is_some_and(|answered| answered > *last));
        if *count == 0 || counts {
            (*last, *count) = (now, *count + 1);
        }
        *count
    }
}

/// Under what a mail is known again: listener, sender, and all octets but the Received fields, which differ from try to
/// try. `None` for a mail without Message-ID: two such mails may be alike without being one.
fn key(listener: &str, envelope: &Envelope, message: &Message) -> Option<String> {
    let id = message.value("Message-ID")?;
    if id.iter().all(u8::is_ascii_whitespace) {
        return None;
    }
    let mut digest = Sha256::new();
    for octets in [listener.as_bytes(), &envelope.sender.argument] {
        digest.update((octets.len() as u64).to_be_bytes());
        digest.update(octets);
    }
    let is_trace =
        |field: &&HeaderField| message.octets(&field.name).eq_ignore_ascii_case(b"Received");
    for field in message.headers.iter().filter(|field| !is_trace(field)) {
        digest.update(message.octets(&field.field));
    }
    digest.update(message.raw.get(message.body_start..).unwrap_or_default());
    Some(hex(&digest.finalize()))
}

fn pair(envelope: &Envelope, address: &str) -> Option<String> {
    let ident = envelope.client.ident.as_deref().filter(|_| envelope.forwarded)?;
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
    use crate::mime;

    fn envelope(ident: Option<&str>) -> Envelope {
        let path = |address: &str| Path {
            argument: format!("<{address}>").into_bytes(),
            address: address.into(),
        };
        Envelope {
            client: crate::mail::Client { ident: ident.map(str::to_owned), ..Default::default() },
            forwarded: true,
            sender: path("s@x"),
            recipients: ["a@x", "b@x"].map(|address| Recipient { path: path(address) }).to_vec(),
            ..Envelope::default()
        }
    }

    fn message(text: &'static str) -> Message {
        mime::decode(bytes::Bytes::from_static(text.as_bytes()), &mime::Limits::default())
    }

    fn replies() -> [Reply; 2] {
        [Reply::new(250, "ok"), Reply::new(451, "later")]
    }

    #[test]
    fn what_was_reached_is_known_until_the_mail_is_done() {
        let memory = Memory::default();
        let first = message("Received: one\r\nMessage-ID: <1@x>\r\nDate: d\r\n\r\nbody");
        let again = message("Received: two\r\nMessage-ID: <1@x>\r\nDate: d\r\n\r\nbody");
        memory.remember("l", &envelope(None), &first, &replies(), &[]);
        let known = memory.recall("l", &envelope(None), &again);
        assert_eq!((known.len(), known.get("a@x").map(|reply| reply.code)), (1, Some(250)));
        for other in [
            message("Message-ID: <2@x>\r\nDate: d\r\n\r\nbody"),
            message("Message-ID: <1@x>\r\nDate: e\r\n\r\nbody"),
            message("Message-ID: <1@x>\r\nDate: d\r\n\r\nbody 2"),
        ] {
            assert!(memory.recall("l", &envelope(None), &other).is_empty());
        }
        assert!(memory.recall("m", &envelope(None), &first).is_empty());
        memory.forget("l", &envelope(None), &again);
        assert!(memory.recall("l", &envelope(None), &first).is_empty());
    }

    #[test]
    fn mails_without_message_id_are_never_taken_for_one() {
        let memory = Memory::default();
        let mail = message("Subject: x\r\n\r\nbody");
        memory.remember("l", &envelope(None), &mail, &replies(), &[0]);
        memory.remember(
            "l",
            &envelope(None),
            &message("Message-ID: \r\n\r\nbody"),
            &replies(),
            &[0],
        );
        assert!(memory.recall("l", &envelope(None), &mail).is_empty());
    }

    #[test]
    fn a_refused_recipient_is_answered_at_rcpt_next_time() {
        let memory = Memory::default();
        let refused = [Reply::new(250, "ok"), Reply::new(550, "5.1.1 no")];
        assert!(memory.refuse(&envelope(Some("q")), &refused));
        let refusal =
            |ident, address| memory.refusal(&envelope(ident), address).map(|reply| reply.code);
        assert_eq!(refusal(Some("q"), "b@x"), Some(550));
        assert_eq!(refusal(Some("q"), "a@x"), None);
        assert_eq!(refusal(Some("r"), "b@x"), None);
        assert!(
            !memory.refuse(&envelope(None), &refused),
            "without a queue id no mail is known at RCPT"
        );
        assert_eq!(refusal(None, "b@x"), None);
    }

    #[test]
    fn a_scanner_that_answers_nobody_makes_no_mail_guilty() {
        let memory = Memory::default();
        let long_ago = SystemTime::UNIX_EPOCH;
        let later = SystemTime::now() + Duration::from_secs(3600);
        assert_eq!(memory.failure(b"x", Some(Some(long_ago))), 1);
        assert_eq!(memory.failure(b"x", Some(Some(long_ago))), 1);
        assert_eq!(memory.failure(b"x", Some(None)), 1);
        assert_eq!(memory.failure(b"x", Some(Some(later))), 2);
        assert_eq!(memory.failure(b"x", None), 3);
        assert_eq!(memory.failure(b"y", None), 1);
    }

    #[test]
    fn the_memory_is_bounded() {
        let memory = Memory::default();
        for n in 0..2 * ENTRIES_MAX {
            let _ = memory.failure(&n.to_be_bytes(), None);
        }
        assert!(locked(&memory.failed).len() <= ENTRIES_MAX + 1);
    }
}
