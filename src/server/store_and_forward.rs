//! The engine behind the queue: MAIL and RCPT are answered here, and the mail goes on in transactions of our own.

use tokio::time::Instant;

use crate::config::Listener;
use crate::delivery::{ByPool, Courier};
use crate::smtp::Reply;
use crate::smtp::command::{MailCommand, RcptCommand};
use crate::smtp::session::Session;

/// The reply to MAIL.
pub fn mail(mail: &MailCommand) -> Reply {
    Reply::new(250, format!("2.1.0 Sender <{}> OK", shown(&mail.path.address)))
}

/// The reply to RCPT: the next hop's refusal from an earlier try of the same mail, if there was one.
pub fn rcpt(courier: &Courier, session: &Session, rcpt: &RcptCommand) -> Reply {
    let refusal = session
        .envelope()
        .and_then(|envelope| courier.memory.refusal(envelope, &rcpt.path.address));
    refusal.unwrap_or_else(|| {
        Reply::new(250, format!("2.1.5 Recipient <{}> OK", shown(&rcpt.path.address)))
    })
}

/// An address in a reply of ours: a long one would make the line longer than a client must take.
fn shown(address: &str) -> String {
    address.chars().take(300).collect()
}

/// Deliveries over the pool.
pub fn sender<'a>(courier: &'a Courier, listener: &'a Listener, deadline: Instant) -> ByPool<'a> {
    ByPool { pool: &courier.pool, next_hop: &listener.next_hop, deadline }
}
