//! Header fields as functions of rules ask for them.

use std::cell::OnceCell;

use regex::bytes::{Regex, RegexBuilder};

use crate::filters::spam::text::Selector;
use crate::filters::spam::view::View;

use super::body::Difference;
use super::date::Times;
use super::forged::Hotmail;

/// What several functions ask of one mail, made once.
#[derive(Default)]
pub(in crate::filters::spam) struct Cells {
    pub(super) times: OnceCell<Times>,
    pub(super) hotmail: OnceCell<Hotmail>,
    pub(super) senders: OnceCell<Vec<Vec<u8>>>,
    /// Hosts of links that lists are asked about, with their registered domains.
    pub(super) linked_hosts: OnceCell<Vec<(String, String)>>,
    pub(super) difference: OnceCell<Difference>,
}

/// The text that a rule `header X NAME =~` sees; `None` if there is no such field.
pub(super) fn present(view: &View<'_>, name: &str) -> Option<Vec<u8>> {
    Selector::parse(name).ok()?.text(view)
}

/// The same; empty if there is no such field.
pub(super) fn value(view: &View<'_>, name: &str) -> Vec<u8> {
    present(view, name).unwrap_or_default()
}

/// The same, with every run of white space as one blank.
pub(super) fn one_line(view: &View<'_>, name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for octet in value(view, name) {
        if !is_blank(octet) {
            out.push(octet);
        } else if out.last() != Some(&b' ') {
            out.push(b' ');
        }
    }
    out
}

/// All addresses in the fields of that name.
pub(super) fn addresses(view: &View<'_>, name: &str) -> Vec<Vec<u8>> {
    let text = value(view, &format!("{name}:addr"));
    let lines = text.split(|octet| *octet == b'\n').filter(|line| !line.is_empty());
    lines.map(<[u8]>::to_vec).collect()
}

/// The first of them; empty if there is none.
pub(super) fn address(view: &View<'_>, name: &str) -> Vec<u8> {
    addresses(view, name).into_iter().next().unwrap_or_default()
}

/// White space as patterns of Perl see it.
pub(super) fn is_blank(octet: u8) -> bool {
    octet.is_ascii_whitespace() || octet == 0x0b
}

/// A part of a word as patterns of Perl see it.
pub(super) fn is_word(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || octet == b'_'
}

/// Where one text stands in another, whatever the case.
pub(super) fn find_any_case(text: &[u8], wanted: &[u8]) -> Vec<usize> {
    if wanted.is_empty() || wanted.len() > text.len() {
        return Vec::new();
    }
    let fits =
        |(place, window): (usize, &[u8])| window.eq_ignore_ascii_case(wanted).then_some(place);
    text.windows(wanted.len()).enumerate().filter_map(fits).collect()
}

/// True where a word begins or ends at this place.
pub(super) fn is_border(text: &[u8], place: usize) -> bool {
    let word = |place: Option<usize>| {
        place.and_then(|place| text.get(place)).copied().is_some_and(is_word)
    };
    word(place.checked_sub(1)) != word(Some(place))
}

/// A constant pattern over octets. A test beside each family compiles them all.
pub(super) fn constant(pattern: &str) -> Regex {
    let built = RegexBuilder::new(pattern).unicode(false).build();
    #[expect(clippy::expect_used, reason = "a constant, compiled by the tests")]
    built.expect("a constant pattern")
}

/// Evidence for people.
pub(super) fn shown(text: &[u8]) -> String {
    String::from_utf8_lossy(text).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_found_in_any_case() {
        assert_eq!(find_any_case(b"aBcabc", b"ABC"), [0, 3]);
        assert_eq!(find_any_case(b"a", b""), Vec::<usize>::new());
        assert!(is_border(b"a.b", 0) && is_border(b"a.b", 1) && !is_border(b"ab", 1));
        assert!(is_border(b"ab", 2) && !is_border(b"", 0));
    }
}
