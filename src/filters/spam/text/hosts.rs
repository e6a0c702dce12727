//! The host that a field names, for rules that ask for `:host` or `:domain`.

use super::uri::{Boundaries, is_name, to_ascii};

/// Octets of a host's name before its last dot.
const FRONT_MAX: usize = 251;

/// The host of an address that was taken out of a field: all that stands behind the last `@`.
pub(super) fn of_address(address: &[u8]) -> Option<Vec<u8>> {
    let is_blank = |octet: &u8| octet.is_ascii_whitespace() || *octet == 0x0b;
    let signs = memchr::memrchr_iter(b'@', address);
    let mut hosts = signs.filter_map(|at| {
        let rest = address.get(at + 1..)?;
        let end = rest.iter().position(is_blank).unwrap_or(rest.len());
        rest.get(..end).filter(|host| !host.is_empty()).map(<[u8]>::to_vec)
    });
    hosts.next()
}

/// The first host in a text: behind the last `@` of a line if there is one, for the user's name before it may look like
/// a host; else the first word, or part of a word, that is a host's name.
pub(super) fn in_text(text: &[u8], boundaries: &Boundaries) -> Option<Vec<u8>> {
    let mut behind = text
        .split(|octet| *octet == b'\n')
        .filter_map(|line| words(line).rev().find_map(|word| behind_sign(word, boundaries)));
    if let Some(host) = behind.next()
        && is_host(host)
    {
        return Some(host.to_vec());
    }
    words(text).find_map(|word| in_word(word, boundaries).map(<[u8]>::to_vec))
}

fn words(text: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    let is_blank = |octet: &u8| octet.is_ascii_whitespace() || *octet == 0x0b;
    text.split(is_blank).filter(|word| !word.is_empty())
}

fn is_host(host: &[u8]) -> bool {
    is_name(&to_ascii(host).to_ascii_lowercase())
}

/// Places of a word behind which a host may end, each with the dot before the domain of the root.
fn ends(word: &[u8], boundaries: &Boundaries) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for dot in memchr::memchr_iter(b'.', word) {
        let rest = word.get(dot + 1..).unwrap_or_default();
        let is_label = |octet: &&u8| octet.is_ascii_alphanumeric() || **octet == b'-';
        let length = rest.iter().take(64).take_while(is_label).count();
        let ends = !matches!(
            rest.get(length),
            Some(b'.' | b'_' | b'-' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z')
        );
        let top = [b"x.".as_slice(), rest.get(..length).unwrap_or_default()].concat();
        if ends && length > 0 && boundaries.ends_well(&top.to_ascii_lowercase()) {
            found.push((dot, dot + 1 + length));
        }
    }
    found
}

/// What stands between the last `@` that has a host behind it, and the end of that host.
fn behind_sign<'w>(word: &'w [u8], boundaries: &Boundaries) -> Option<&'w [u8]> {
    memchr::memchr(b'@', word)?;
    let ends = ends(word, boundaries);
    memchr::memrchr_iter(b'@', word).find_map(|at| from(word, at + 1, &ends))
}

/// The longest host from there on.
fn from<'w>(word: &'w [u8], start: usize, ends: &[(usize, usize)]) -> Option<&'w [u8]> {
    let last = ends.partition_point(|(dot, _)| *dot <= start + FRONT_MAX);
    let (dot, end) = *ends.get(last.checked_sub(1)?)?;
    (dot > start).then(|| word.get(start..end))?
}

/// The first host of a word.
fn in_word<'w>(word: &'w [u8], boundaries: &Boundaries) -> Option<&'w [u8]> {
    let ends = ends(word, boundaries);
    let mut start = 0;
    for (dot, end) in &ends {
        if *end <= start {
            continue;
        }
        start = start.max(dot.saturating_sub(FRONT_MAX));
        let before = |place: usize| place.checked_sub(1).and_then(|place| word.get(place));
        while start < *dot && matches!(before(start), Some(b'.' | b'_' | b'-')) {
            start += 1;
        }
        let Some(host) = from(word, start, &ends) else { continue };
        if is_host(host) {
            return Some(host);
        }
        start += host.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn boundaries() -> Boundaries {
        let mut all = Boundaries::default();
        for top in ["test", "com", "uk"] {
            assert!(all.add(1, top));
        }
        all
    }

    #[test]
    fn the_host_of_a_text_is_found() {
        for (text, want) in [
            (" Ann <ann@Mail.Example.com>\n", Some("Mail.Example.com")),
            (" a.com@b.test\n", Some("b.test")),
            (" from mx.b.test (x.test [192.0.2.1])\n", Some("mx.b.test")),
            (" <https://www.b.test/x>, y.test\n", Some("y.test")),
            (" b.test.\n", None),
            (" b.test, c.com\n", Some("b.test")),
            (" b.test.nowhere\n", None),
            (" -b.test\n", None),
            (" a@(b.test) c.com\n", Some("c.com")),
            (" <1@x.y.test> <2@b.com>\n", Some("b.com")),
            (" words\n", None),
            ("", None),
        ] {
            let got = in_text(text.as_bytes(), &boundaries());
            assert_eq!(got.map(|host| String::from_utf8(host).unwrap()).as_deref(), want, "{text}");
        }
    }

    #[test]
    fn an_address_has_its_host_behind_the_last_sign() {
        for (address, want) in [
            ("a@b.test", Some("b.test")),
            ("a@b@local", Some("local")),
            ("a@", None),
            ("a@b@", Some("b@")),
            ("a", None),
        ] {
            let got = of_address(address.as_bytes());
            assert_eq!(
                got.map(|host| String::from_utf8(host).unwrap()).as_deref(),
                want,
                "{address}"
            );
        }
    }

    #[test]
    fn long_words_cost_no_more_than_their_length() {
        for text in ["a.test@", "a.", "@", "b.test,", ".test"] {
            let text = text.repeat(60_000);
            in_text(text.as_bytes(), &boundaries());
        }
    }

    proptest! {
        #[test]
        fn no_octets_make_it_fail(octets in proptest::collection::vec(any::<u8>(), 0..200),
            text in "([a-c.@<>,_ \n-]|test|com|é){0,60}") {
            for text in [octets.as_slice(), text.as_bytes()] {
                if let Some(host) = in_text(text, &boundaries()) {
                    prop_assert!(is_host(&host));
                }
                of_address(text);
            }
        }
    }
}
