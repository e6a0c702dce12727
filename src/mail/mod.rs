//! The nouns: what a mail is made of. Pure data, no I/O.
//!
//! A *mail* is an [`Envelope`] and a [`Message`]; a message is header fields and [`Part`]s.

mod defect;
mod envelope;
mod message;

pub use defect::{Defect, DefectCode};
pub use envelope::{Client, Envelope, Path, Protocol, Recipient};
pub use message::{FileType, HeaderField, Link, Message, Part, PartFlag, PartKind, PasswordSource};
