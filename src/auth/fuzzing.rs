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
        // One more tells that there are too many.
        assert!(authors.len() <= keys::AUTHORS_MAX + 1, "{} authors", authors.len());
        let each = keys::one_of_each_author(&message);
        let asked = authors.len().min(keys::AUTHORS_MAX);
        assert!(authors.is_empty() || each.len() == asked, "an author is lost");
        keys::questions(&message);
    }
    keys::records(octets);
    super::sealed::read(octets);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn more_authors_than_are_asked_about_hold_as_well() {
        let authors: Vec<String> = (0..20).map(|number| format!("x@a{number}.test")).collect();
        auth(format!("From: {}\r\n\r\n", authors.join(", ")).as_bytes());
    }

    proptest! {
        #[test]
        fn no_octets_make_questions_that_do_not_hold(
            octets in proptest::collection::vec(any::<u8>(), 0..300),
            text in "(From: |DKIM-Signature: |ARC-Seal: |v=DKIM1|v=DMARC1|v=1|a=rsa-sha256|d=|s=|h=|b=|bh=|p=|k=rsa|\
                reject|i=1|cv=none|;| |:|@|\\.|,|a|b\\.test|AAAA|\r\n|\n|é){0,80}"
        ) {
            auth(&octets);
            auth(text.as_bytes());
        }

        #[test]
        fn no_octets_make_a_record_that_does_not_hold(
            octets in proptest::collection::vec(any::<u8>(), 0..100),
            text in "(a|mx|ptr|include|exists|ip4|ip6|all|redirect|exp|moo|:|=|/|//|24|0|::1|192\\.0\\.2\\.1|%\\{|\\}|\
                [slodiphcrtv]|[SLD]|r|2|\\.|-|\\+|~|\\?|%%|%_|%-|b\\.test| ){0,60}"
        ) {
            spf(&octets);
            spf(text.as_bytes());
        }
    }
}
