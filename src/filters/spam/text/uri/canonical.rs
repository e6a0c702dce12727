//! The forms of a link: as it was written, and as readers and browsers take it.

use std::borrow::Cow;

use super::domain::{Boundaries, before, is_space, text, to_ascii};
use super::host;
use super::redirect::{Effort, Redirectors};
use super::search::starts_with;

/// Links within links that are followed.
const REDIRECTS_MAX: usize = 32;
/// Octets of a link that are looked at.
pub(super) const LINK_MAX: usize = 8_192;
/// `<` signs of a mail link behind which an address is looked for.
const ANGLES_MAX: usize = 10;

/// Reads links.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'t> {
    pub(super) boundaries: &'t Boundaries,
    pub(super) redirectors: &'t Redirectors,
    pub(super) effort: &'t Effort,
    /// The links are characters in UTF-8, not octets.
    pub(super) wide: bool,
}

/// The forms of one link.
#[derive(Default)]
pub(super) struct Forms {
    /// The link, and those that were found in it; what is not looked at yet comes last.
    links: Vec<Vec<u8>>,
    /// Other ways to write these.
    others: Vec<Vec<u8>>,
}

impl Reader<'_> {
    /// All forms of a link, each once.
    pub(super) fn forms(&self, link: &[u8]) -> Vec<Vec<u8>> {
        let mut forms = Forms { links: vec![link.to_vec()], others: Vec::new() };
        let mut at = 0;
        while let Some(link) = forms.links.get_mut(at).map(|link| tidy(std::mem::take(link))) {
            let local = matches!(link.as_slice(), [b'#' | b'?' | b'&', ..])
                || (link.first() == Some(&b'/') && link.get(1) != Some(&b'/'));
            if link.len() > 1 && !local {
                if is_mail(&link) {
                    mail_forms(&link, &mut forms.others);
                } else {
                    self.web_forms(&link, &mut forms);
                }
            }
            if let Some(slot) = forms.links.get_mut(at) {
                *slot = link;
            }
            at += 1;
        }
        let Forms { links: mut all, others } = forms;
        let mut kept = 0;
        while kept < all.len() {
            if all.iter().take(kept).any(|known| all.get(kept) == Some(known)) {
                all.remove(kept);
            } else {
                kept += 1;
            }
        }
        for form in others {
            if !all.contains(&form) {
                all.push(form);
            }
        }
        all
    }

    fn web_forms(&self, link: &[u8], forms: &mut Forms) {
        let plain = plain(link, self.wide);
        if *plain != *link {
            forms.others.push(plain.to_vec());
        }
        let Some(mut pieces) = Pieces::of(&plain) else { return };
        let without_port = pieces.without_default_port();
        if let Some(rest) = without_port.filter(|rest| rest.len() < pieces.rest.len()) {
            forms.others.push(pieces.with_rest(rest));
        }
        let ascii = to_ascii(pieces.host);
        let same = ascii.len() == pieces.host.len()
            && ascii.iter().zip(pieces.host).all(|(own, host)| *own == host.to_ascii_lowercase());
        if !same {
            pieces.host = &ascii;
            forms.others.push(pieces.whole());
            if let Some(rest) = without_port.filter(|rest| !matches!(*rest, [] | b"0")) {
                forms.others.push(pieces.with_rest(rest));
            }
        }
        let shown: Vec<u8>;
        if pieces.host.iter().any(|octet| *octet <= 0x20) {
            shown = pieces.host.iter().copied().filter(|octet| *octet > 0x20).collect();
            pieces.replace_host(&shown, &mut forms.others);
        }
        if forms.links.len() < REDIRECTS_MAX {
            let whole = if pieces.is_all_of(&plain) {
                (&*plain).into()
            } else {
                Cow::Owned(pieces.whole())
            };
            let target = self.redirectors.target(&whole, self.effort);
            forms.links.extend(target.or_else(|| link_within(pieces.rest)).map(<[u8]>::to_vec));
        }
        if let Some(at) = memchr::memchr(b'@', pieces.host).filter(|at| *at > 0) {
            let behind = pieces.host.get(at + 1..).unwrap_or_default();
            pieces.replace_host(behind, &mut forms.others);
        }
        let end = pieces.host.iter().rposition(u8::is_ascii_alphanumeric).map_or(0, |at| at + 1);
        let shorter = pieces.host.get(..end).unwrap_or_default();
        pieces.replace_host(shorter, &mut forms.others);
        self.numeric_forms(&pieces, &ascii, &mut forms.others);
    }

    /// Hosts that are numbers, and single words, which browsers look for in `com`.
    fn numeric_forms(&self, pieces: &Pieces<'_>, ascii: &[u8], others: &mut Vec<Vec<u8>>) {
        if let Some(host) = host::address_of_number(pieces.host) {
            others.push(pieces.with_host(&host));
            return;
        }
        let word = ascii.strip_prefix(b"www.").filter(|word| is_one_label(word));
        let word = word.or_else(|| is_one_label(ascii).then_some(ascii));
        if let Some(word) = word
            && pieces.scheme == b"http://"
            && !pieces.with_user
            && ascii != b"localhost"
            && matches!(pieces.port, None | Some(b"" | b"80"))
            && !self.boundaries.ends_well(&to_ascii(ascii))
        {
            others.push(pieces.with_host(&[b"www.", word, b".com"].concat()));
        }
    }
}

fn is_one_label(host: &[u8]) -> bool {
    !host.is_empty() && !host.contains(&b'.')
}

/// A web link in pieces.
struct Pieces<'l> {
    scheme: &'l [u8],
    with_user: bool,
    host: &'l [u8],
    /// What follows the host, with the port.
    rest: &'l [u8],
    /// Digits of the port; `None`: no colon.
    port: Option<&'l [u8]>,
}

impl<'l> Pieces<'l> {
    fn of(link: &'l [u8]) -> Option<Self> {
        let scheme =
            [b"https://".as_slice(), b"http://"].iter().find(|one| starts_with(link, one))?.len();
        let (scheme, behind) = link.split_at_checked(scheme)?;
        let user = before(behind, |octet| matches!(octet, b'@' | b'/' | b'?' | b'#')).len();
        let host_end = |octet| matches!(octet, b'/' | b'?' | b'#' | b':');
        let user = (behind.get(user) == Some(&b'@'))
            .then(|| behind.get(user + 1..).unwrap_or_default())
            .filter(|behind| !before(behind, host_end).is_empty());
        let from = user.unwrap_or(behind);
        let host = before(from, host_end);
        if host.is_empty() {
            return None;
        }
        let rest = from.get(host.len()..)?;
        let port =
            rest.strip_prefix(b":").map(|port| before(port, |octet| !octet.is_ascii_digit()));
        Some(Self { scheme, with_user: user.is_some(), host, rest, port })
    }

    /// True if the link is made of these and nothing else.
    fn is_all_of(&self, link: &[u8]) -> bool {
        let behind = link.strip_prefix(self.scheme).and_then(|link| link.strip_prefix(self.host));
        behind == Some(self.rest)
    }

    fn whole(&self) -> Vec<u8> {
        [self.scheme, self.host, self.rest].concat()
    }

    fn with_rest(&self, rest: &[u8]) -> Vec<u8> {
        [self.scheme, self.host, rest].concat()
    }

    fn with_host(&self, host: &[u8]) -> Vec<u8> {
        [self.scheme, host, self.rest].concat()
    }

    /// Takes another host and notes the link with it, if it is another.
    fn replace_host(&mut self, host: &'l [u8], others: &mut Vec<Vec<u8>>) {
        if host != self.host {
            self.host = host;
            others.push(self.whole());
        }
    }

    /// What follows the host, without a port that its scheme has anyway; `None` if no port is named.
    fn without_default_port(&self) -> Option<&'l [u8]> {
        let port = self.port.filter(|port| !port.is_empty())?;
        let default: &[u8] = if self.scheme == b"http://" { b"80" } else { b"443" };
        let behind = self.rest.get(1 + port.len()..).unwrap_or_default();
        let word =
            behind.first().is_some_and(|octet| octet.is_ascii_alphabetic() || *octet == b'_');
        if port == default && !word {
            return Some(behind);
        }
        Some(self.rest)
    }
}

/// Without line ends, and white space at both ends.
fn tidy(link: Vec<u8>) -> Vec<u8> {
    let mut out = link;
    out.retain(|octet| *octet != b'\n');
    let end = out.iter().rposition(|octet| !is_space(*octet)).map_or(0, |at| at + 1);
    out.truncate(end);
    let start = out.iter().position(|octet| !is_space(*octet)).unwrap_or(0);
    out.drain(..start);
    out.retain(|octet| *octet != b'\r');
    out
}

fn is_mail(link: &[u8]) -> bool {
    let at = memchr::memchr(b'@', link);
    starts_with(link, b"mailto:")
        || at.is_some_and(|at| memchr::memchr(b':', link).is_none_or(|colon| at < colon))
}

/// Mail links without what follows the address, or hides it.
fn mail_forms(link: &[u8], others: &mut Vec<Vec<u8>>) {
    if let Some(at) = memchr::memchr(b'@', link).filter(|at| *at > 0) {
        let behind = link.get(at + 1..).unwrap_or_default();
        let mut cut_at = |end: Option<usize>| {
            if let Some(end) = end.filter(|end| *end > 0) {
                others.extend(link.get(..at + 1 + end).map(<[u8]>::to_vec));
            }
        };
        cut_at(memchr::memchr(b'?', behind));
        // Some readers end an address at `&` too.
        let end = memchr::memchr2(b'?', b'&', behind);
        cut_at(end.filter(|end| behind.get(*end) == Some(&b'&')));
        others.extend(without_blanks(link));
    }
    others.extend(in_angles(link));
}

/// `mailto:%20%20me@example.org%20`: the address alone.
fn without_blanks(link: &[u8]) -> Option<Vec<u8>> {
    memchr::memmem::find(link, b"%20")?;
    let mut rest = link.strip_prefix(b"mailto:").unwrap_or(link);
    while let Some(behind) = rest.strip_prefix(b"%20").filter(|behind| !behind.starts_with(b"@")) {
        rest = behind;
    }
    if rest.starts_with(b"@") {
        rest = link;
    }
    let at = memchr::memchr(b'@', rest).filter(|at| *at > 0)?;
    let behind = rest.get(at + 1..)?;
    let host = before(behind, |octet| matches!(octet, b'?' | b'&' | b'%'));
    let address = rest.get(..at + 1 + host.len()).filter(|_| !host.is_empty())?;
    Some([b"mailto:", address].concat())
}

/// `mailto:"Me" <me@example.org>`: what stands between the signs.
fn in_angles(link: &[u8]) -> Option<Vec<u8>> {
    let head = before(link, |octet| matches!(octet, b'?' | b'&'));
    for open in memchr::memrchr_iter(b'<', head).take(ANGLES_MAX) {
        let inside = link.get(open + 1..)?;
        let inside = inside.get(..memchr::memchr(b'>', inside).unwrap_or(0))?;
        let at = memchr::memchr(b'@', inside).unwrap_or(0);
        if at > 0 && at + 1 < inside.len() {
            return Some([b"mailto:", inside].concat());
        }
    }
    None
}

/// True if there is nothing that browsers would read otherwise than it is written; not all such links are known.
fn is_plain(link: &[u8]) -> bool {
    let Some(behind) = link.strip_prefix(b"https://").or_else(|| link.strip_prefix(b"http://"))
    else {
        return false;
    };
    let host = before(behind, |octet| matches!(octet, b'/' | b'?' | b'#')).len();
    memchr::memchr2(b'\\', b'%', link).is_none()
        && memchr::memmem::find(link, b"&#").is_none()
        && (host == 0 || matches!(behind.get(host), None | Some(b'/')))
}

/// A web link as browsers read it.
fn plain(link: &[u8], wide: bool) -> Cow<'_, [u8]> {
    if is_plain(link) { link.into() } else { read_plainly(link, wide).into() }
}

fn read_plainly(link: &[u8], wide: bool) -> Vec<u8> {
    let mut out: Vec<u8> =
        link.iter().map(|octet| if *octet == b'\\' { b'/' } else { *octet }).collect();
    for scheme in [b"https:".as_slice(), b"http:"] {
        if starts_with(&out, scheme) {
            let slashes = out.iter().skip(scheme.len()).take(2).take_while(|one| **one == b'/');
            let slashes = slashes.count();
            out.splice(scheme.len()..scheme.len() + slashes, *b"//");
            break;
        }
    }
    if has_escape(&out) {
        out = decode(&out, wide);
    }
    if !has_scheme(&out) {
        let scheme: &[u8] = if out.starts_with(b"ftp.") { b"ftp://" } else { b"http://" };
        out.splice(..0, scheme.iter().copied());
    }
    // A query or fragment needs a path before it.
    if let Some(scheme) =
        [b"https://".as_slice(), b"http://"].iter().find(|scheme| starts_with(&out, scheme))
    {
        let behind = out.get(scheme.len()..).unwrap_or_default();
        let host = before(behind, |octet| matches!(octet, b'/' | b'?' | b'#')).len();
        if host > 0 && matches!(behind.get(host), Some(b'?' | b'#')) {
            out.insert(scheme.len() + host, b'/');
        }
    }
    references(&references(&references(&out, decimal), hexadecimal), dot)
}

fn has_scheme(link: &[u8]) -> bool {
    let name =
        before(link, |octet| !(octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_')));
    !name.is_empty() && link.get(name.len()) == Some(&b':')
}

pub(super) fn has_escape(link: &[u8]) -> bool {
    memchr::memchr_iter(b'%', link).any(|place| escaped(link, place).is_some())
}

/// The octet that is written as `%41` there.
fn escaped(link: &[u8], place: usize) -> Option<u8> {
    let digit = |at: usize| char::from(*link.get(at)?).to_digit(16);
    u8::try_from(digit(place + 1)? * 16 + digit(place + 2)?).ok()
}

/// Decodes `%41` where it is a visible sign of ASCII, and encodes what must not stand in a link as it is. In `wide`
/// links, of other characters only those of ISO 8859-1 are encoded, by their number.
pub(super) fn decode(link: &[u8], wide: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(link.len() + 16);
    let mut rest = link;
    while let Some((octet, behind)) = rest.split_first() {
        let value = if *octet == b'%' { escaped(rest, 0) } else { None };
        if let Some(value) = value {
            let (sequence, behind) = rest.split_at_checked(3).unwrap_or((rest, &[]));
            if matches!(value, 0x21..=0x7e) {
                out.push(value);
            } else {
                out.extend_from_slice(sequence);
            }
            rest = behind;
            continue;
        }
        let character = if wide && !octet.is_ascii() { first_character(rest) } else { None };
        if let Some(character) = character {
            let (sequence, behind) =
                rest.split_at_checked(character.len_utf8()).unwrap_or((rest, &[]));
            match u8::try_from(character) {
                Ok(number) => escape(number, &mut out),
                Err(_) => out.extend_from_slice(sequence),
            }
            rest = behind;
            continue;
        }
        if matches!(octet, 0..=0x20 | 0x7f.. | b'"' | b'%' | b'<' | b'>') {
            escape(*octet, &mut out);
        } else {
            out.push(*octet);
        }
        rest = behind;
    }
    out
}

fn escape(octet: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.push(b'%');
    out.extend(DIGITS.get(usize::from(octet >> 4)));
    out.extend(DIGITS.get(usize::from(octet & 15)));
}

fn first_character(text: &[u8]) -> Option<char> {
    let near = text.get(..4).unwrap_or(text);
    near.utf8_chunks().next()?.valid().chars().next()
}

/// Replaces `&#…;` by the octet for which it stands.
fn references(link: &[u8], read: impl Fn(&[u8]) -> Option<u8>) -> Vec<u8> {
    /// Octets of a reference: zeros may stand before its digits.
    const REFERENCE_MAX: usize = 40;
    let mut out = Vec::with_capacity(link.len());
    let mut rest = link;
    while let Some(start) = memchr::memmem::find(rest, b"&#") {
        let (head, behind) = rest.split_at_checked(start + 2).unwrap_or((rest, &[]));
        let near = behind.get(..REFERENCE_MAX).unwrap_or(behind);
        let end = memchr::memchr(b';', near);
        let value = end.and_then(|end| read(near.get(..end)?));
        if let (Some(end), Some(value)) = (end, value) {
            out.extend_from_slice(head.get(..start).unwrap_or_default());
            out.push(value);
            rest = behind.get(end + 1..).unwrap_or_default();
        } else {
            out.extend_from_slice(head);
            rest = behind;
        }
    }
    out.extend_from_slice(rest);
    out
}

fn decimal(digits: &[u8]) -> Option<u8> {
    number(digits, 10).filter(|value| matches!(value, 33..=126))
}

fn hexadecimal(reference: &[u8]) -> Option<u8> {
    let value = number(reference.strip_prefix(b"x")?, 16)?;
    matches!(value, 0x21..=0x29 | 0x30..=0x6f | 0x70..=0x7e).then_some(value)
}

fn number(digits: &[u8], base: u32) -> Option<u8> {
    let good = !digits.is_empty() && digits.iter().all(|octet| char::from(*octet).is_digit(base));
    good.then(|| u8::from_str_radix(&text(digits), base).ok()).flatten()
}

/// The full stop, and those of other scripts.
fn dot(reference: &[u8]) -> Option<u8> {
    let name = reference.to_ascii_lowercase();
    let dots: [&[u8]; 7] = [b"x2e", b"12290", b"x3002", b"65294", b"xff0e", b"65377", b"xff61"];
    dots.contains(&name.as_slice()).then_some(b'.')
}

/// A link that stands in the path or query of another one.
fn link_within(rest: &[u8]) -> Option<&[u8]> {
    for colon in memchr::memchr_iter(b':', rest) {
        let head = rest.get(..colon)?;
        let scheme = [b"https".as_slice(), b"http"].into_iter().find(|scheme| {
            let start = head.len().checked_sub(scheme.len());
            start.is_some_and(|start| starts_with(head.get(start..).unwrap_or_default(), scheme))
        });
        let Some(scheme) = scheme else { continue };
        let link = rest.get(colon - scheme.len()..)?;
        let link = before(link, |octet| matches!(octet, b'&' | b'#'));
        if link.len() > scheme.len() + 1 {
            return link.contains(&b'.').then_some(link);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn forms(link: &str) -> Vec<String> {
        let mut boundaries = Boundaries::default();
        assert!(boundaries.add(1, "com") && boundaries.add(1, "org"));
        let redirectors = Redirectors::default();
        let effort = Effort::default();
        let reader = Reader {
            boundaries: &boundaries,
            redirectors: &redirectors,
            effort: &effort,
            wide: false,
        };
        let mut all: Vec<String> = reader
            .forms(link.as_bytes())
            .into_iter()
            .map(|form| String::from_utf8_lossy(&form).into_owned())
            .collect();
        all.sort();
        all
    }

    #[test]
    fn a_link_has_the_forms_that_readers_give_it() {
        let cases: [(&str, &[&str]); 26] = [
            ("http://a.org/x", &["http://a.org/x"]),
            (" http://a.o\nrg/x\r ", &["http://a.org/x"]),
            ("#top", &["#top"]),
            ("/x.gif", &["/x.gif"]),
            ("", &[""]),
            ("//a.org/x", &["//a.org/x", "http:////a.org/x"]),
            ("http:a.org", &["http://a.org", "http:a.org"]),
            ("http:\\\\a.org\\b", &["http://a.org/b", "http:\\\\a.org\\b"]),
            ("a.org/x", &["a.org/x", "http://a.org/x"]),
            ("ftp.a.org", &["ftp.a.org", "ftp://ftp.a.org"]),
            ("http://%61.org/%20%", &["http://%61.org/%20%", "http://a.org/%20%25"]),
            ("http://a.org?x", &["http://a.org/?x", "http://a.org?x"]),
            ("http://a.org/&#46;b", &["http://a.org/&#46;b", "http://a.org/.b"]),
            ("http://a.org/&#x3002;", &["http://a.org/&#x3002;", "http://a.org/."]),
            ("http://a.org:80/x", &["http://a.org/x", "http://a.org:80/x"]),
            ("http://a.org:8080/x", &["http://a.org:8080/x"]),
            ("http://b.org@a.org/", &["http://b.org@a.org/"]),
            ("http://b@c@a.org/", &["http://a.org/", "http://b@c@a.org/"]),
            ("http://a.org!!!", &["http://a.org", "http://a.org!!!"]),
            ("http://0x7f000001/", &["http://0x7f000001/", "http://127.0.0.1/"]),
            ("http://word/x", &["http://word/x", "http://www.word.com/x"]),
            ("http://a.org/?http://b.org/&c", &["http://a.org/?http://b.org/&c", "http://b.org/"]),
            ("http://é.org/", &["http://xn--9ca.org/", "http://é.org/"]),
            ("mailto:a@b.org?c&d", &["mailto:a@b.org", "mailto:a@b.org?c&d"]),
            ("mailto:%20a@b.org%20", &["mailto:%20a@b.org%20", "mailto:a@b.org"]),
            ("mailto:\"A\"<a@b.org>", &["mailto:\"A\"<a@b.org>", "mailto:a@b.org"]),
        ];
        for (link, want) in cases {
            let mut want = want.to_vec();
            want.sort_unstable();
            assert_eq!(forms(link), want, "{link}");
        }
    }

    #[test]
    fn links_within_links_come_to_an_end() {
        assert!(forms(&"http://a.org/".repeat(600)).len() <= 2 * REDIRECTS_MAX);
    }

    proptest! {
        #[test]
        fn no_octets_make_it_fail(link in "(http://|mailto:|https?:)?[a-c.@:/%&#;x0-9<>é?]{0,60}") {
            let _ = forms(&link);
        }

        #[test]
        fn a_plain_link_is_read_as_it_is_written(
            link in "https?://[a-c.@:/&#;x0-9<>é?]{0,20}",
            wide in any::<bool>(),
        ) {
            if is_plain(link.as_bytes()) {
                prop_assert_eq!(read_plainly(link.as_bytes(), wide), link.as_bytes());
            }
        }
    }
}
