//! Links in plain text: what a mail reader would make a link of, and host names that stand alone.
//!
//! A link begins at the border of a word or behind one of a few signs. It is one of three kinds, tried in this order:
//! with a scheme or a first label that stands for one (`http://…`, `www.…`), a mail address, or a host name that ends
//! in a known top-level domain. Where it must end is known from the next octet that no link of its kind can hold.

use super::domain::{Boundaries, is_space};

/// Octets of a link behind its scheme, and of a path.
const LINK_MAX: usize = 2_048;
/// Octets before the `@`, behind it, and of a host name before its last dot but for the first octet.
const NAME_MAX: usize = 251;
/// Digits of a port.
const PORT_MAX: usize = 5;

/// What a link looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Scheme,
    Mail,
    /// A bare host name, with what may follow it.
    Host,
}

/// A link in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found<'t> {
    pub(super) text: &'t [u8],
    pub(super) kind: Kind,
    /// The host name of [`Kind::Host`].
    pub(super) host: Option<&'t [u8]>,
}

/// All links of a text.
pub(super) struct Search<'t> {
    text: &'t [u8],
    boundaries: &'t Boundaries,
    at: usize,
    /// End of the stretch without an [`ends`] octet in which we are; `at` if a new one must be found.
    stretch_end: usize,
    sign: Ahead,
    local_end: Ahead,
    mail_end: Ahead,
    name_end: Ahead,
}

impl<'t> Search<'t> {
    pub(super) fn new(text: &'t [u8], boundaries: &'t Boundaries) -> Self {
        Self {
            text,
            boundaries,
            at: 0,
            stretch_end: 0,
            sign: Ahead::default(),
            local_end: Ahead::default(),
            mail_end: Ahead::default(),
            name_end: Ahead::default(),
        }
    }

    fn octet(&self, place: usize) -> Option<u8> {
        self.text.get(place).copied()
    }

    fn from(&self, place: usize) -> &'t [u8] {
        self.text.get(place..).unwrap_or_default()
    }

    /// Goes to the next stretch that can hold a link.
    fn next_stretch(&mut self) -> bool {
        let Some(sign) = memchr::memchr3(b'.', b'@', b':', self.from(self.at)) else {
            return false;
        };
        let sign = self.at + sign;
        let before = self.text.get(self.at..sign).unwrap_or_default();
        if let Some(end) = before.iter().rposition(|octet| ends(*octet)) {
            self.at += end + 1;
        }
        let rest = self.from(sign);
        self.stretch_end = sign + rest.iter().position(|octet| ends(*octet)).unwrap_or(rest.len());
        true
    }

    /// True if a link may begin here.
    fn may_begin(&self, place: usize) -> bool {
        let before = place.checked_sub(1).and_then(|before| self.octet(before));
        let word = |octet: Option<u8>| octet.is_some_and(is_word);
        if word(before) != word(self.octet(place)) || before.is_some_and(starts) {
            return true;
        }
        // Behind the three octets with which ISO 2022 changes its set of characters.
        place
            .checked_sub(3)
            .and_then(|from| self.text.get(from..place))
            .is_some_and(|shift| shift.starts_with(b"\x1b(") && !shift.ends_with(b"\n"))
    }

    fn found(&self, from: usize, end: usize, kind: Kind) -> Option<(Found<'t>, usize)> {
        let text = self.text.get(from..end)?;
        Some((Found { text, kind, host: None }, end))
    }

    fn with_scheme(&self, from: usize) -> Option<(Found<'t>, usize)> {
        let rest = self.text.get(from..self.stretch_end)?;
        let prefix = scheme(rest)?;
        let length = rest.len().checked_sub(prefix)?;
        if !(1..=LINK_MAX).contains(&length) {
            return None;
        }
        self.found(from, self.stretch_end, Kind::Scheme)
    }

    fn mail(&mut self, from: usize) -> Option<(Found<'t>, usize)> {
        if starts_with(self.from(from), b"mailto:") {
            let body = from + 7;
            let end = self.mail_end.next(self.text, body, ends_mail);
            if (1..=LINK_MAX).contains(&end.saturating_sub(body)) {
                return self.found(from, end, Kind::Mail);
            }
        }
        let sign = self.sign.next(self.text, from, |octet| octet == b'@');
        let local_end = self.local_end.next(self.text, from, ends_mail);
        if sign >= self.text.len() || local_end < sign || !(1..=NAME_MAX).contains(&(sign - from)) {
            return None;
        }
        let end = self.mail_end.next(self.text, sign + 1, ends_mail);
        if !(1..=NAME_MAX).contains(&(end - sign - 1)) {
            return None;
        }
        self.found(from, end, Kind::Mail)
    }

    fn bare_host(&mut self, from: usize) -> Option<(Found<'t>, usize)> {
        let begins =
            from.checked_sub(1).is_none_or(|before| self.octet(before).is_some_and(starts_host));
        if !begins || !self.octet(from)?.is_ascii_alphanumeric() {
            return None;
        }
        let run_end = self.name_end.next(self.text, from, |octet| !is_name(octet));
        let dotted = self.octet(run_end.checked_sub(1)?) == Some(b'.');
        let host_end = if dotted { run_end - 1 } else { run_end };
        let host = self.text.get(from..host_end)?;
        let dot = memchr::memrchr(b'.', host)?;
        if !(1..=NAME_MAX + 1).contains(&dot) || !self.boundaries.is_top(host.get(dot + 1..)?) {
            return None;
        }
        let mut end = run_end;
        if self.octet(end) == Some(b':') {
            let digits = self.from(end + 1).iter().take(PORT_MAX);
            let digits = digits.take_while(|octet| octet.is_ascii_digit()).count();
            if digits == 0 {
                return None;
            }
            end += 1 + digits;
        }
        if self.octet(end) == Some(b'/') {
            if !(1..=LINK_MAX).contains(&self.stretch_end.saturating_sub(end + 1)) {
                return None;
            }
            end = self.stretch_end;
        }
        if self.octet(end).is_some_and(|octet| !ends(octet)) {
            return None;
        }
        let (found, end) = self.found(from, end, Kind::Host)?;
        Some((Found { host: Some(host), ..found }, end))
    }
}

impl<'t> Iterator for Search<'t> {
    type Item = Found<'t>;

    fn next(&mut self) -> Option<Found<'t>> {
        loop {
            if self.at >= self.stretch_end && !self.next_stretch() {
                return None;
            }
            while self.at < self.stretch_end {
                let from = self.at;
                if self.may_begin(from) {
                    let found = self.with_scheme(from);
                    let found = found.or_else(|| self.mail(from));
                    if let Some((found, end)) = found.or_else(|| self.bare_host(from)) {
                        self.at = end.max(from + 1);
                        return Some(found);
                    }
                }
                self.at += 1;
            }
        }
    }
}

/// The next octet of a kind, remembered, so that a text is walked once however often it is asked for.
#[derive(Default)]
struct Ahead {
    from: usize,
    found: Option<usize>,
}

impl Ahead {
    /// The place of the next octet of that kind, or the end of the text. Places must be asked for in order.
    fn next(&mut self, text: &[u8], from: usize, wanted: impl Fn(u8) -> bool) -> usize {
        if let Some(found) = self.found
            && (self.from..=found).contains(&from)
        {
            return found;
        }
        let rest = text.get(from..).unwrap_or_default();
        let found = from + rest.iter().position(|octet| wanted(*octet)).unwrap_or(rest.len());
        self.from = from;
        self.found = Some(found);
        found
    }
}

/// Octets of `https://`, `ftp.` or `www2.` at the start.
fn scheme(text: &[u8]) -> Option<usize> {
    for prefix in [b"https://".as_slice(), b"http://", b"ftp://", b"ftp."] {
        if starts_with(text, prefix) {
            return Some(prefix.len());
        }
    }
    if !starts_with(text, b"www") {
        return None;
    }
    let digits = text.iter().skip(3).take(2).take_while(|octet| octet.is_ascii_digit()).count();
    (text.get(3 + digits) == Some(&b'.')).then_some(4 + digits)
}

pub(super) fn starts_with(text: &[u8], prefix: &[u8]) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

fn is_word(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || octet == b'_'
}

fn is_name(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'_' | b'-')
}

/// Octets that end every link: brackets and quotes, white space, the start of a change of character set, and 0xA0,
/// which is a blank in ISO 8859 (and a part of some letters in UTF-8).
fn ends(octet: u8) -> bool {
    is_space(octet)
        || matches!(
            octet,
            b'>' | b'<' | b'"' | b'`' | b'}' | b']' | b'{' | b'[' | b'|' | 0x1b | 0xa0
        )
}

fn ends_mail(octet: u8) -> bool {
    ends(octet) || matches!(octet, b',' | b'(' | b'\'' | 0x80..)
}

/// Octets behind which any link may begin.
fn starts(octet: u8) -> bool {
    is_space(octet)
        || matches!(
            octet,
            b'>' | b'<' | b'"' | b'\'' | b'`' | b',' | b'{' | b'[' | b'(' | b'|' | 0x1b | 0xa0
        )
}

/// Octets behind which a bare host name may begin.
fn starts_host(octet: u8) -> bool {
    is_space(octet)
        || matches!(octet, 0x1b | 0xa0)
        || (octet.is_ascii_punctuation() && !matches!(octet, b'%' | b'-' | b'.' | b'_'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn boundaries() -> Boundaries {
        let mut all = Boundaries::default();
        assert!(all.add(1, "com") && all.add(1, "org") && all.add(1, "uk"));
        all
    }

    fn links(text: &str) -> Vec<String> {
        let all = boundaries();
        let found = Search::new(text.as_bytes(), &all);
        found.map(|found| String::from_utf8_lossy(found.text).into_owned()).collect()
    }

    #[test]
    fn links_are_found_where_readers_see_them() {
        let cases: [(&str, &[&str]); 22] = [
            ("see http://a.example/x?y=(z), now", &["http://a.example/x?y=(z),"]),
            ("see <HTTPS://a.b>and", &["HTTPS://a.b"]),
            ("www.a.b www12.c.d www123.e", &["www.a.b", "www12.c.d"]),
            ("ftp.a.b,ftp://c", &["ftp.a.b,ftp://c"]),
            ("me@a.example, you", &["me@a.example"]),
            ("(me@a.example)", &["me@a.example)"]),
            ("mailto:me@a?subject=b c", &["mailto:me@a?subject=b"]),
            ("to:me@a", &["to:me@a"]),
            ("é@a.b", &[]),
            ("x.é@a.b", &[]),
            ("go to example.org now", &["example.org"]),
            ("go to example.org. Now", &["example.org."]),
            ("go to example.org, now", &[]),
            ("go to example.org/ now", &[]),
            ("example.org/x,y [a.com:80/z]", &["example.org/x,y", "a.com:80/z"]),
            ("example.org:123456 a.com:", &[]),
            ("-example.org .example.org %example.org", &[]),
            ("=example.org", &["example.org"]),
            ("no.thing here.exe", &[]),
            ("a_.uk", &["a_.uk"]),
            ("\u{1b}(Bhttp://a.b", &["http://a.b"]),
            ("", &[]),
        ];
        for (text, want) in cases {
            assert_eq!(links(text), want, "{text}");
        }
    }

    #[test]
    fn what_is_too_long_is_no_link() {
        let long = |count: usize| "x".repeat(count);
        assert_eq!(links(&format!("http://{}", long(2_048))).len(), 1);
        assert_eq!(links(&format!("http://{}", long(2_049))).len(), 0);
        assert_eq!(links(&format!("{}@a.b", long(251))).len(), 1);
        assert_eq!(links(&format!("{}@a.b", long(252))).len(), 0);
        assert_eq!(links(&format!("a@{}", long(252))).len(), 0);
        // A shorter piece at the end of a long word is still found.
        assert_eq!(links(&format!("{}.me@a.b", long(300))), [".me@a.b"]);
    }

    proptest! {
        #[test]
        fn no_octets_make_it_fail(text in "[a-c.@:/wm ,(\\x1bé<>0-9-]{0,80}") {
            let all = boundaries();
            let mut last = 0;
            for found in Search::new(text.as_bytes(), &all) {
                let start = found.text.as_ptr().addr() - text.as_ptr().addr();
                prop_assert!(start >= last && !found.text.is_empty());
                last = start + found.text.len();
            }
        }
    }
}
