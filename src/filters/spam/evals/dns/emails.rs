//! Mail addresses in running text, as lists of addresses look for them.

use crate::filters::spam::text::Boundaries;

/// Octets of the user's name (RFC 5321 section 4.5.3.1.1).
const USER_MAX: usize = 64;
/// Octets of a label of the host.
const LABEL_MAX: usize = 61;
/// Labels of the host before the last one.
const LABELS_MAX: usize = 4;
/// Octets around an address that tell what it stands in.
const NEAR_MAX: usize = 300;
/// Addresses of one text.
const FOUND_MAX: usize = 200;

/// Which addresses do not count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Without {
    /// Those in links (`nouri`).
    pub(super) links: bool,
    /// Those that a quotation has: in angle brackets, or before a word with a colon, `wrote:` (`noquote`).
    pub(super) quotes: bool,
}

/// The addresses of a text, in the order in which they stand.
pub(super) fn find(text: &[u8], without: Without, boundaries: &Boundaries) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut from = 0;
    for at in memchr::memchr_iter(b'@', text) {
        if found.len() >= FOUND_MAX {
            break;
        }
        let Some(start) = user_before(text, at, from) else { continue };
        let Some(end) = host_behind(text, at + 1, boundaries) else { continue };
        from = end;
        if (without.links && is_in_link(text, start, end))
            || (without.quotes && is_quoted(text, start, end))
        {
            continue;
        }
        let address = String::from_utf8_lossy(text.get(start..end).unwrap_or_default());
        if !found.iter().any(|known| *known == address) {
            found.push(address.into_owned());
        }
    }
    found
}

fn is_atom(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"!#$%&'*+/=?^_`{|}~-".contains(&octet)
}

/// Where the user's name begins: words with single dots between them, from the start of a word on.
fn user_before(text: &[u8], at: usize, from: usize) -> Option<usize> {
    let lowest = at.saturating_sub(USER_MAX).max(from);
    let before = |place: usize| place.checked_sub(1).and_then(|place| text.get(place)).copied();
    let mut start = at;
    while start > lowest
        && let Some(octet) = before(start)
        && (is_atom(octet) || (octet == b'.' && text.get(start) != Some(&b'.') && start < at))
    {
        start -= 1;
    }
    // A name that is too long counts from a dot on, as one that begins with a dot does.
    if text.get(start) != Some(&b'.') && before(start).is_some_and(is_atom) && start > from {
        start += text.get(start..at)?.iter().position(|octet| *octet == b'.')?;
    }
    if text.get(start) == Some(&b'.') {
        start += 1;
    }
    (start < at).then_some(start)
}

/// Where the host ends, if it ends in a domain of the root.
fn host_behind(text: &[u8], from: usize, boundaries: &Boundaries) -> Option<usize> {
    let (mut at, mut labels) = (from, 0);
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let is_label = |octet: &u8| octet.is_ascii_alphanumeric() || *octet == b'-';
        let length = rest.iter().take(LABEL_MAX + 1).take_while(|octet| is_label(octet)).count();
        let label = rest.get(..length).unwrap_or_default();
        if length == 0 || length > LABEL_MAX || label.starts_with(b"-") || label.ends_with(b"-") {
            return None;
        }
        (at, labels) = (at + length, labels + 1);
        let behind = text.get(at..).unwrap_or_default();
        let goes_on = matches!(behind, [b'.', next, ..] if next.is_ascii_alphanumeric());
        if !goes_on {
            break;
        }
        if labels > LABELS_MAX {
            return None;
        }
        at += 1;
    }
    let host = text.get(from..at).unwrap_or_default();
    boundaries.ends_well(&host.to_ascii_lowercase()).then_some(at)
}

/// True if it stands in a word that begins with a scheme.
fn is_in_link(text: &[u8], start: usize, end: usize) -> bool {
    let near = text.get(start.saturating_sub(NEAR_MAX)..end).unwrap_or_default();
    let word = near.rsplit(u8::is_ascii_whitespace).next().unwrap_or_default();
    let word = word.to_ascii_lowercase();
    [b"http://".as_slice(), b"https://"]
        .iter()
        .any(|scheme| memchr::memmem::find(&word, scheme).is_some())
}

/// True for `<a@b.test>`, which is no `mailto:`, and for `a@b.test wrote:`, but not for `a@b.test tel:`.
fn is_quoted(text: &[u8], start: usize, end: usize) -> bool {
    let front = text.get(start.saturating_sub(7)..start).unwrap_or_default();
    if front.eq_ignore_ascii_case(b"mailto:") {
        return false;
    }
    let behind = text.get(end..).unwrap_or_default();
    let behind = behind.get(..NEAR_MAX).unwrap_or(behind);
    if behind.first() == Some(&b'>') {
        return true;
    }
    let blanks = behind.iter().take_while(|octet| octet.is_ascii_whitespace()).count();
    let word = behind.get(blanks..).unwrap_or_default();
    let letters = word.iter().take_while(|octet| octet.is_ascii_alphabetic()).count();
    let (word, rest) = word.split_at_checked(letters).unwrap_or_default();
    let word = word.to_ascii_lowercase();
    let kinds = ["fax", "facsi", "tel", "phone", "email", "mail"];
    let is_kind = kinds.iter().any(|kind| word.starts_with(kind.as_bytes()));
    (1..=10).contains(&blanks)
        && (2..=11).contains(&letters)
        && rest.first() == Some(&b':')
        && !is_kind
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(text: &str, without: Without) -> Vec<String> {
        let mut boundaries = Boundaries::default();
        for top in ["test", "com", "uk"] {
            assert!(boundaries.add(1, top));
        }
        find(text.as_bytes(), without, &boundaries)
    }

    #[test]
    fn addresses_are_found_in_running_text() {
        let long = "x".repeat(70);
        for (text, want) in [
            ("write to a.b@c.test, or not", &["a.b@c.test"][..]),
            ("A@B.TEST a@b.test A@B.TEST", &["A@B.TEST", "a@b.test"]),
            ("(a@b.co.uk)", &["a@b.co.uk"]),
            ("a@b.test.", &["a@b.test"]),
            ("a..b@c.test .d@c.test e.@c.test", &["b@c.test", "d@c.test"]),
            ("a@b a@b.nowhere a@-b.test a@b-.test @b.test a@", &[]),
            ("a@b.test.nowhere a@b.test.-", &["a@b.test"]),
            ("a@1.2.3.4.test a@0.1.2.3.4.test", &["a@1.2.3.4.test"]),
            ("a@b.test@c.test", &["a@b.test"]),
            ("é+tag@b.test", &["+tag@b.test"]),
            (&format!("{long}@b.test"), &[]),
            (&format!("{long}.y@b.test"), &["y@b.test"]),
            ("", &[]),
        ] {
            assert_eq!(found(text, Without::default()), want, "{text}");
        }
    }

    #[test]
    fn links_and_quotations_can_be_left_out() {
        let links = Without { links: true, quotes: false };
        assert_eq!(found("https://x.test/?m=a@b.test c@d.test", links), ["c@d.test"]);
        assert_eq!(found("x.test/?m=a@b.test", links), ["x.test/?m=a@b.test"]);
        let quotes = Without { links: false, quotes: true };
        for (text, want) in [
            ("Jo <a@b.test> wrote", &[][..]),
            ("a@b.test wrote:", &[]),
            ("a@b.test\n schrieb:", &[]),
            ("a@b.test tel: 1", &["a@b.test"]),
            ("a@b.test e-mail: x", &["a@b.test"]),
            ("<mailto:a@b.test>", &["a@b.test"]),
            ("a@b.test and more: words", &["a@b.test"]),
        ] {
            assert_eq!(found(text, quotes), want, "{text}");
        }
    }

    #[test]
    fn a_text_of_nothing_but_signs_costs_no_more_than_its_length() {
        assert_eq!(found(&"@".repeat(500_000), Without::default()), [""; 0]);
        assert_eq!(found(&"a.".repeat(300_000), Without::default()), [""; 0]);
        assert_eq!(found(&"a@b.".repeat(200_000), Without::default()), [""; 0]);
        let many: String = (0..1_000).map(|number| format!("a{number}@b.test ")).collect();
        assert_eq!(found(&many, Without::default()).len(), FOUND_MAX);
    }

    proptest! {
        #[test]
        fn no_octets_make_it_fail(octets in proptest::collection::vec(any::<u8>(), 0..200),
            text in "([a-c.@<>:+ \n-]|test|http://|mailto:|é){0,60}") {
            for text in [String::from_utf8_lossy(&octets).into_owned(), text] {
                for links in [false, true] {
                    for one in found(&text, Without { links, quotes: !links }) {
                        let (user, host) = one.split_once('@').unwrap();
                        prop_assert!(!user.is_empty() && user.len() <= USER_MAX && host.contains('.'));
                    }
                }
            }
        }
    }
}
