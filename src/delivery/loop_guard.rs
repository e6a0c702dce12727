//! Finds mail that comes back to the listener that has just passed it on.
//!
//! A list that sends a mail back to us, or a filter of a mailbox that forwards it, is no loop: sender or recipients differ.
//! So the mark in our Received field is a digest of listener, envelope and body, and it counts only near the top.

use sha2::{Digest, Sha256};

use crate::mail::{Envelope, Message};
use crate::policy::PASSED;
use crate::smtp::Reply;

/// Hops after which a mail is refused; as amavis counts them.
const HOPS_MAX: usize = 110;
/// Our own Received field must stand among the first ones: the reinjecting server and its neighbour come before it.
const NEAR: usize = 3;
/// So much of the body's head and tail goes into the mark.
const SAMPLE_BYTES: usize = 16 << 10;

/// The mark of this mail at this listener: 16 hex digits. `place` is the listener's name and address: two programs of
/// one host in a row are no loop.
#[must_use]
pub fn mark(hostname: &str, place: &str, envelope: &Envelope, message: &Message) -> String {
    let body = message.raw.get(message.body_start..).unwrap_or_default();
    let mut digest = Sha256::new();
    for text in [hostname, place, &envelope.sender.address] {
        digest.update((text.len() as u64).to_be_bytes());
        digest.update(text.as_bytes());
    }
    let mut recipients: Vec<String> =
        envelope.recipients.iter().map(|recipient| recipient.address().to_lowercase()).collect();
    recipients.sort();
    recipients.dedup();
    digest.update(recipients.join("\0"));
    digest.update((body.len() as u64).to_be_bytes());
    digest.update(body.get(..SAMPLE_BYTES).unwrap_or(body));
    digest.update(body.get(body.len().saturating_sub(SAMPLE_BYTES)..).unwrap_or_default());
    digest.finalize().iter().take(8).map(|octet| format!("{octet:02x}")).collect()
}

/// The refusal of a mail that runs in circles.
#[must_use]
pub fn refusal(message: &Message, listener: &str, mark: &str) -> Option<Reply> {
    let ours = format!("(Tamis, {listener}, {mark})");
    let is_ours = |field: &crate::mail::HeaderField| {
        memchr::memmem::find(message.octets(&field.value), ours.as_bytes()).is_some()
    };
    let mut near = message.fields("Received").take(NEAR).chain(message.fields(PASSED).take(NEAR));
    if near.any(is_ours) {
        return Some(Reply::new(
            554,
            format!(
                "5.4.6 Reject: mail loop, listener {listener} has passed this mail on already; the service that takes \
                 it back must be set to \"-o content_filter=\" in master.cf"
            ),
        ));
    }
    let hops = message.fields("Received").count();
    (hops > HOPS_MAX).then(|| {
        Reply::new(554, format!("5.4.6 Reject: Too many hops: {hops} 'Received:' header fields"))
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_site_without_received_fields_knows_its_loops_too() {
        let raw: &'static [u8] = b"X-Tamis-Passed: (Tamis, x, 0123)\r\nSubject: a\r\n\r\nb\r\n";
        let message = mime::decode(bytes::Bytes::from_static(raw), &mime::Limits::default());
        assert_eq!(refusal(&message, "x", "0123").map(|reply| reply.code), Some(554));
        assert_eq!(refusal(&message, "x", "4567"), None);
    }

    use super::*;
    use crate::mail::{Path, Recipient};
    use crate::mime;

    fn envelope(recipients: &[&str]) -> Envelope {
        let path = |address: &str| Path { argument: Vec::new(), address: address.to_owned() };
        Envelope {
            sender: path("s@x"),
            recipients: recipients
                .iter()
                .map(|address| Recipient { path: path(address) })
                .collect(),
            ..Envelope::default()
        }
    }

    fn came(above: &str, mark: &str) -> Message {
        let ours = format!("Received: from a by localhost (b) (Tamis, l, {mark})\r\n");
        let text = format!("{above}{ours}Subject: x\r\n\r\nbody\r\n");
        mime::decode(text.into(), &mime::Limits::default())
    }

    const HOP: &str = "Received: from a by b\r\n";

    #[test]
    fn the_same_mail_at_the_same_listener_is_a_loop() {
        let first = mark("h", "l on 1", &envelope(&["a@x", "b@x"]), &came("", ""));
        let back = came(HOP, &first);
        let again = mark("h", "l on 1", &envelope(&["B@x", "a@x"]), &back);
        assert_eq!(refusal(&back, "l", &again).map(|reply| reply.code), Some(554));
        assert!(refusal(&came(&HOP.repeat(3), &first), "l", &again).is_none());
    }

    #[test]
    fn a_forwarded_mail_is_no_loop() {
        let first = mark("h", "l on 1", &envelope(&["a@x"]), &came("", ""));
        let back = came(&HOP.repeat(2), &first);
        for (place, to) in [("l on 1", "elsewhere@y"), ("l on 2", "a@x")] {
            assert!(refusal(&back, "l", &mark("h", place, &envelope(&[to]), &back)).is_none());
        }
    }
}
