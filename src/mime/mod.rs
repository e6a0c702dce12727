//! Octets to [`Message`], once.
//!
//! The walk has an explicit stack, never recursion; each body is searched once for each of its boundaries, by an index
//! where there are many; depth, parts, fields, parameters, members and unpacked octets have limits ([`Limits`]), and so
//! has time. Where readers of mail differ (two boundaries, two transfer encodings, …) every plausible reading is
//! decoded: the first one as the part itself, the others as further children whose path ends in `readingN`.

mod budget;
mod charset;
mod container;
mod delimiters;
mod facts;
mod field;
#[doc(hidden)]
pub mod fuzzing;
mod header;
pub mod html;
pub mod kind;
mod limits;
mod links;
mod multipart;
pub mod names;
mod passwords;
mod room;
mod transfer;
mod walk;
pub mod words;

pub(crate) use charset::of_page as page_text;
pub(crate) use html::lower;
pub use limits::Limits;
pub use room::{Room, Share};

use bytes::Bytes;

use crate::mail::Message;

/// Decodes a message. It cannot fail: what is odd becomes a [`Defect`](crate::mail::Defect) in it.
///
/// Line ends may be CRLF, LF, or CR alone. Where nothing had to be decoded, the data of parts are slices of `raw`.
#[must_use]
pub fn decode(raw: Bytes, limits: &Limits) -> Message {
    walk::Walk::new(raw, limits).run()
}

#[cfg(test)]
mod tests;
