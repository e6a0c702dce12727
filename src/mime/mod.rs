//! Octets to [`Message`](crate::mail::Message), once.

pub mod html;
mod limits;
pub mod names;

pub use limits::Limits;
