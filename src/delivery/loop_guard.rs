//! Finds mail that comes back to the listener that has just passed it on.
//!
//! A list that sends a mail back to us, or a user who forwards it, is no loop: sender and place in the trace differ. So
//! the mark in our Received field is a digest of listener, sender and body, and it counts only near the top.

use sha2::{Digest, Sha256};

use crate::mail::{Envelope, Message};
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
    if message.fields("Received").take(NEAR).any(is_ours) {
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
