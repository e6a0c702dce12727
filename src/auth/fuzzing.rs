//! A door for fuzzing into what is read of signatures, and of the records they need.

use super::keys;
pub use super::spf::fuzzing::spf;
use super::{HEADER_FIELDS_MAX, SEALS_MAX, SIGNATURES_MAX, parse};

/// A mail, and the same octets as the records of keys and policies: questions are few, and names have a form.
pub fn auth(octets: &[u8]) {
    if let Some(message) = parse(octets) {
        assert!(message.dkim_headers.len() <= SIGNATURES_MAX);
        assert!(message.as_headers.len() <= SEALS_MAX);
        assert!(message.headers.len() <= HEADER_FIELDS_MAX || message.dkim_headers.is_empty());
        let authors = keys::authors(&message);
        assert!(authors.len() <= 8, "{} authors", authors.len());
        let each = keys::one_of_each_author(&message);
        assert!(authors.is_empty() || each.len() == authors.len(), "an author is lost");
        keys::questions(&message);
    }
    keys::records(octets);
}
