//! The envelope's sender: as SMTP told us, or as the mail's fields let us guess.

use crate::filters::Mail;
use crate::filters::spam::text::Selector;
use crate::filters::spam::view::View;

use super::Relays;
use super::networks::Networks;

/// What MAIL said. `None`: the mail came without an envelope, as a file does.
pub(super) fn told(mail: &Mail<'_>) -> Option<Vec<u8>> {
    let sender = &mail.envelope.sender;
    let known = !sender.argument.is_empty() || !sender.address.is_empty();
    known.then(|| sender.address.clone().into_bytes())
}

/// The envelope's sender; empty for the null sender; `None`: not known.
///
/// Without an envelope it is guessed as SpamAssassin does: what the stranger's hop (or, without strangers, the oldest
/// hop) names, else the fields that delivery writes, as long as no Received field stands above them: below one, they
/// tell of another journey.
pub(super) fn sender(view: &View<'_>, networks: &Networks, relays: &Relays) -> Option<Vec<u8>> {
    if let Some(sender) = told(view.mail) {
        return Some(sender);
    }
    let usable = |sender: &[u8]| {
        sender.is_empty() || memchr::memchr(b'@', sender).is_some_and(|place| place > 0)
    };
    if let Some(name) = &networks.sender_field {
        return first_address(view, name).filter(|sender| usable(sender));
    }
    let hop = relays.untrusted.first().or(relays.trusted.last());
    if let Some(sender) = hop.and_then(|hop| hop.sender.as_deref()).filter(|sender| usable(sender))
    {
        return Some(sender.to_vec());
    }
    // List software names the sender it got in X-Sender, and fetchmail takes that for the envelope's.
    let fetched = || {
        let mut fields = view.header().all(b"Received");
        fields.any(|field| memchr::memmem::find(&field.decoded, b"(fetchmail").is_some())
    };
    if first_address(view, "X-Sender").is_some_and(|sender| sender.contains(&b'@')) && fetched() {
        return None;
    }
    for (name, last) in
        [("X-Envelope-From", true), ("Envelope-Sender", false), ("Return-Path", false)]
    {
        let Some(sender) = first_address(view, name) else { continue };
        if !below_received(view, name) {
            return Some(sender);
        }
        if last {
            return None;
        }
    }
    None
}

/// The first address of the first field of that name.
fn first_address(view: &View<'_>, name: &str) -> Option<Vec<u8>> {
    let text = Selector::parse(&format!("{name}:first:addr")).ok()?.text(view)?;
    Some(text.split(|octet| *octet == b'\n').next().unwrap_or_default().to_vec())
}

/// A field of that name stands somewhere below a Received field.
fn below_received(view: &View<'_>, name: &str) -> bool {
    let mut names = view.header().fields.iter().map(|field| field.name.as_slice());
    names.any(|name| name.eq_ignore_ascii_case(b"Received"))
        && names.any(|other| other.eq_ignore_ascii_case(name.as_bytes()))
}
