//! The language: SMTP (RFC 5321), LMTP (RFC 2033) and Postfix's XFORWARD.
//!
//! Everything here is pure, but for [`inbound`] and [`outbound`], which move the octets. [`body`] is the only reader
//! and the only writer of message bodies, and [`outbound`] the only client: relay and release both use it.

pub mod body;
pub mod command;
pub mod inbound;
pub mod outbound;
pub mod path;
pub mod reply;
pub mod session;
pub mod stream;
pub mod xforward;

pub use reply::Reply;
