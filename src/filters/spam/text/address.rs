//! Mail addresses as SpamAssassin reads them from header fields, and the patterns of lists.

use std::cell::Cell;

use crate::filters::Mail;

use super::header::unfold;
use super::perl::is_space;

/// Mailboxes looked at in one header field.
const MAILBOXES_MAX: usize = 1_000;
/// Places where an address in angles may end that are tried, of one and of all in a field.
const ENDS_MAX: usize = 64;
const ALL_ENDS_MAX: usize = 256;
/// Octets that may be read as words, however often the same ones.
const WORDS_MAX: usize = 256 * 1024;
/// Octets of a field that are looked at; rules see no more of it.
const VALUE_MAX: usize = 8_192;

/// One mailbox of an address list, nothing decoded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Mailbox {
    /// The display name without its quotes; a comment stands in for it if there is none.
    pub(crate) phrase: Option<Vec<u8>>,
    /// The address, if it looks like one.
    pub(crate) address: Option<Vec<u8>>,
}

/// Reads an address list (RFC 5322 section 3.4) in SpamAssassin's relaxed way. `value` may hold folds.
pub(crate) fn read(value: &[u8]) -> Vec<Mailbox> {
    let value = without_group(&without_escaped_escapes(trim_end(value)));
    let mut out = Vec::new();
    let mut rest = value.as_slice();
    let ahead = Ahead::default();
    while !rest.is_empty() && out.len() < MAILBOXES_MAX && ahead.words.get() < WORDS_MAX {
        let Some((found, behind)) = Found::read(rest, &ahead) else { break };
        out.push(found.mailbox());
        rest = behind;
    }
    // What is left may still hold addresses in angles.
    while let Some(open) = memchr::memchr(b'<', rest)
        && out.len() < MAILBOXES_MAX
    {
        rest = rest.get(open + 1..).unwrap_or_default();
        if let Some(length) = address_length(rest, &ahead)
            && rest.get(length) == Some(&b'>')
        {
            let address = rest.get(..length).filter(|address| is_plausible(address));
            let address = address.map(without_second_at);
            out.extend(address.map(|one| Mailbox { phrase: None, address: Some(one) }));
        }
    }
    out
}

/// What follows a second at sign is no part of an address.
fn without_second_at(address: &[u8]) -> Vec<u8> {
    let end = memchr::memchr_iter(b'@', address).nth(1).unwrap_or(address.len());
    address.get(..end).unwrap_or(address).to_vec()
}

fn trim_end(value: &[u8]) -> &[u8] {
    let end = value.iter().rposition(|octet| !is_space(*octet)).map_or(0, |at| at + 1);
    value.get(..end).unwrap_or_default()
}

fn trim_start(value: &[u8]) -> &[u8] {
    let start = value.iter().position(|octet| !is_space(*octet)).unwrap_or(value.len());
    value.get(start..).unwrap_or_default()
}

fn without_escaped_escapes(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((octet, behind)) = rest.split_first() {
        match behind.split_first() {
            Some((b'\\', next)) if *octet == b'\\' => rest = next,
            _ => {
                out.push(*octet);
                rest = behind;
            }
        }
    }
    out
}

/// A group's name falls away with its colon.
fn without_group(value: &[u8]) -> Vec<u8> {
    let stop = |octet: &u8| matches!(octet, b'"' | b'(' | b')' | b'<' | b'>');
    let head = value.get(..value.iter().position(stop).unwrap_or(value.len())).unwrap_or_default();
    match memchr::memrchr(b':', head) {
        Some(colon) if colon > 0 => {
            let behind = trim_start(value.get(colon + 1..).unwrap_or_default());
            if behind.first() == Some(&b';') { Vec::new() } else { behind.to_vec() }
        }
        _ => value.to_vec(),
    }
}

/// What is known of a value from some place on, so that nothing is looked for twice. Places are counted from its end.
#[derive(Default)]
struct Ahead {
    /// No quoted string that begins so near the end has an end.
    unclosed: Cell<usize>,
    /// From the first place on, the next white space stands at the second.
    space: Cell<(usize, usize)>,
    /// A comment that begins between these places ends at the second, or none begins there.
    comment: Cell<(usize, usize, bool)>,
    /// Ends of addresses in angles that were tried.
    tried: Cell<usize>,
    /// Octets that were read as words.
    words: Cell<usize>,
}

impl Ahead {
    /// The length of a quoted string at the start of the rest of the value.
    fn quoted(&self, rest: &[u8]) -> Option<usize> {
        if rest.first() != Some(&b'"') || rest.len() <= self.unclosed.get() {
            return None;
        }
        let length = quoted_length(rest);
        if length.is_none() {
            self.unclosed.set(rest.len());
        }
        length
    }

    /// A comment at the start of the rest of the value: its text, and what follows.
    fn comment<'v>(&self, rest: &'v [u8]) -> Option<(&'v [u8], &'v [u8])> {
        if rest.first() != Some(&b'(') {
            return None;
        }
        let (from, to, is_one) = self.comment.get();
        if rest.len() <= from && rest.len() > to {
            let (head, behind) = rest.split_at_checked(rest.len() - to)?;
            return is_one.then_some((head.get(1..)?, behind.get(1..)?));
        }
        let found = comment_at(rest);
        let (to, is_one) = match found {
            Ok((_, behind)) => (behind.len() + 1, true),
            Err(length) => (rest.len() - length, false),
        };
        self.comment.set((rest.len(), to, is_one));
        found.ok()
    }

    /// Octets before the next white space, or all of the rest of the value.
    fn space(&self, rest: &[u8]) -> usize {
        let (from, to) = self.space.get();
        if rest.len() <= from && to <= rest.len() {
            return rest.len() - to;
        }
        let length = rest.iter().position(|octet| is_space(*octet)).unwrap_or(rest.len());
        self.space.set((rest.len(), rest.len() - length));
        length
    }
}

/// One entry of a list as it was written.
#[derive(Default)]
struct Found<'v> {
    phrase: Option<&'v [u8]>,
    address: Option<&'v [u8]>,
    in_angles: bool,
    comment: Option<&'v [u8]>,
}

impl<'v> Found<'v> {
    /// Reads one entry and the comma or semicolon behind it; `None` if nothing of the kind stands there.
    fn read(text: &'v [u8], ahead: &Ahead) -> Option<(Self, &'v [u8])> {
        let text = trim_start(text);
        let phrase = phrase_length(text, ahead);
        ahead.words.set(ahead.words.get() + phrase);
        let (words, behind) = text.split_at_checked(phrase)?;
        if let Some(inside) = trim_start(behind).strip_prefix(b"<")
            && let Some((address, comment, rest)) = in_angles(inside, ahead)
        {
            let phrase = (phrase > 0).then_some(words);
            return Some((Self { phrase, address: Some(address), in_angles: true, comment }, rest));
        }
        if let Some(length) = address_length(text, ahead)
            && let Some((address, behind)) = text.split_at_checked(length)
            && let Some((comment, rest)) = end_of_entry(behind, ahead)
        {
            return Some((Self { address: Some(address), comment, ..Self::default() }, rest));
        }
        if phrase == 0 {
            return None;
        }
        let (comment, rest) = end_of_entry(behind, ahead)?;
        Some((Self { phrase: Some(words), comment, ..Self::default() }, rest))
    }

    fn mailbox(self) -> Mailbox {
        let mut address = self.address.map(<[u8]>::to_vec);
        if self.in_angles {
            address = address.map(|text| without_comments(&text));
            address = address.filter(|text| is_address(text));
        }
        address = address.filter(|text| is_plausible(text));
        let mut phrase = self.phrase.map(unquoted);
        if let Some(words) = &phrase {
            if address.is_none() && is_address(words) && is_plausible(words) && has_host(words) {
                address = phrase.take();
            } else if words.is_empty() || address.as_ref() == Some(words) {
                phrase = None;
            }
        }
        let phrase = phrase.or_else(|| self.comment.map(<[u8]>::to_vec));
        Mailbox { phrase, address: address.map(|text| without_second_at(&text)) }
    }
}

/// The length of a quoted string at the start.
fn quoted_length(text: &[u8]) -> Option<usize> {
    if text.first() != Some(&b'"') {
        return None;
    }
    let mut escaped = false;
    for (place, octet) in text.iter().enumerate().skip(1) {
        match octet {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(place + 1),
            _ => {}
        }
    }
    None
}

/// The length of words and quoted strings at the start.
fn phrase_length(text: &[u8], ahead: &Ahead) -> usize {
    let mut length = 0;
    loop {
        let rest = text.get(length..).unwrap_or_default();
        let stop = |octet: &u8| matches!(octet, b'"' | b',' | b';' | b'<');
        let plain = rest.iter().position(stop).unwrap_or(rest.len());
        let step = if plain > 0 { Some(plain) } else { ahead.quoted(rest) };
        match step {
            Some(step) => length += step,
            None => return length,
        }
    }
}

/// True for an address and nothing else.
fn is_address(text: &[u8]) -> bool {
    address_length(text, &Ahead::default()) == Some(text.len())
}

/// The length of an address at the start.
fn address_length(text: &[u8], ahead: &Ahead) -> Option<usize> {
    let special = |octet: u8| {
        is_space(octet)
            || matches!(octet, b'<' | b'>' | b'(' | b')' | b'[' | b']' | b',' | b':' | b';')
    };
    let local = |text: &[u8]| {
        let end = text.iter().position(|octet| special(*octet) || *octet == b'@');
        end.unwrap_or(text.len())
    };
    let quoted = ahead.quoted(text).filter(|length| text.get(*length) == Some(&b'@'));
    let user = quoted.unwrap_or_else(|| local(text));
    let host = text.get(user..)?.strip_prefix(b"@").filter(|_| user > 0)?;
    let length = match host.strip_prefix(b"[") {
        Some(literal) => {
            let inside =
                literal.iter().position(|octet| !matches!(octet, b'0'..=b'9' | b':' | b'.'))?;
            (inside > 0 && literal.get(inside) == Some(&b']')).then_some(inside + 2)?
        }
        None => {
            let end = host.iter().position(|octet| special(*octet) || *octet == b'"');
            end.unwrap_or(host.len())
        }
    };
    (length > 0).then_some(user + 1 + length)
}

/// An address, a comment, and what follows.
type InAngles<'v> = (&'v [u8], Option<&'v [u8]>, &'v [u8]);

/// An address in angles (behind the first one), what repeats it, a comment, and what follows.
fn in_angles<'v>(inside: &'v [u8], ahead: &Ahead) -> Option<InAngles<'v>> {
    let text = trim_start(inside);
    let first = text.iter().position(|octet| matches!(octet, b'>' | b'@')).unwrap_or(text.len());
    let run = text.get(first..).unwrap_or_default();
    let run = first + ahead.space(run);
    let try_end = |end: usize| {
        let (address, behind) = text.split_at_checked(end)?;
        let behind = trim_start(behind).strip_prefix(b">")?;
        let (comment, rest) = end_of_entry(without_repeats(behind, ahead), ahead)?;
        Some((address, comment, rest))
    };
    if run > first
        && let Some(found) = try_end(run)
    {
        return Some(found);
    }
    let window = text.get(first..run).unwrap_or_default();
    let ends = memchr::memrchr_iter(b'>', window).map(|at| first + at).filter(|end| *end > first);
    for end in ends.take(ENDS_MAX) {
        let tried = ahead.tried.get();
        if tried >= ALL_ENDS_MAX {
            break;
        }
        ahead.tried.set(tried + 1);
        if let Some(found) = try_end(end) {
            return Some(found);
        }
    }
    try_end(trim_end(text.get(..first).unwrap_or_default()).len())
}

/// Some programs write the same address twice.
fn without_repeats<'v>(text: &'v [u8], ahead: &Ahead) -> &'v [u8] {
    let mut rest = text;
    while let Some(inside) = trim_start(rest).strip_prefix(b"<") {
        let inside = trim_start(inside);
        let start = ahead.quoted(inside).unwrap_or(0);
        let run = inside.get(start..).unwrap_or_default();
        let run = ahead.space(run);
        let word = inside.get(start..start + run).unwrap_or_default();
        let behind = trim_start(inside.get(start + run..).unwrap_or_default());
        rest = match (behind.strip_prefix(b">"), memchr::memrchr(b'>', word)) {
            (Some(behind), _) => behind,
            (None, Some(end)) => inside.get(start + end + 1..).unwrap_or_default(),
            (None, None) => return rest,
        };
    }
    rest
}

/// A comment, and a comma, a semicolon or the end.
fn end_of_entry<'v>(text: &'v [u8], ahead: &Ahead) -> Option<(Option<&'v [u8]>, &'v [u8])> {
    if let Some((comment, behind)) = ahead.comment(trim_start(text))
        && let Some(rest) = separator(behind)
    {
        return Some((Some(comment), rest));
    }
    separator(text).map(|rest| (None, rest))
}

fn separator(text: &[u8]) -> Option<&[u8]> {
    match trim_start(text).split_first() {
        None => Some(&[]),
        Some((b',' | b';', rest)) => Some(rest),
        Some(_) => None,
    }
}

/// A comment that holds no other one: its text, and what follows.
///
/// # Errors
/// Octets before which no comment begins: at an escaped `(` among them one would end as this one does.
fn comment_at(text: &[u8]) -> Result<(&[u8], &[u8]), usize> {
    let inside = text.strip_prefix(b"(").ok_or(0_usize)?;
    let mut escaped = false;
    for (place, octet) in inside.iter().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'(' => return Err(place + 1),
            b')' => {
                let (comment, behind) = inside.split_at_checked(place).unwrap_or((inside, &[]));
                return Ok((comment, behind.get(1..).unwrap_or_default()));
            }
            _ => {}
        }
    }
    Err(text.len())
}

fn without_comments(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(place) = memchr::memchr(b'(', rest) {
        let (before, from) = rest.split_at_checked(place).unwrap_or((rest, &[]));
        out.extend_from_slice(before);
        rest = match comment_at(from) {
            Ok((_, behind)) => behind,
            Err(length) => {
                let (no_comment, behind) = from.split_at_checked(length).unwrap_or((from, &[]));
                out.extend_from_slice(no_comment);
                behind
            }
        };
    }
    out.extend_from_slice(rest);
    out
}

/// Quoted strings without quotes and escapes, the rest without comments.
fn unquoted(phrase: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(phrase.len());
    let mut rest = phrase;
    while !rest.is_empty() {
        if let Some(length) = quoted_length(rest) {
            let (quoted, behind) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            let inside = quoted.get(1..length - 1).unwrap_or_default();
            out.extend(inside.iter().filter(|octet| **octet != b'\\'));
            rest = behind;
            continue;
        }
        let rest_of = rest.strip_prefix(b"\"").unwrap_or(rest);
        let end = memchr::memchr(b'"', rest_of).unwrap_or(rest_of.len());
        let (plain, behind) = rest_of.split_at_checked(end).unwrap_or((rest_of, &[]));
        out.extend(without_comments(plain));
        rest = behind;
    }
    out
}

fn is_plausible(address: &[u8]) -> bool {
    !address.starts_with(b"\"\"@") && memchr::memchr_iter(b'"', address).count() != 1
}

/// True if the first host named in it can be one (by its form).
fn has_host(address: &[u8]) -> bool {
    let Some(host) = address.split(|octet| *octet == b'@').nth(1) else { return false };
    let host = String::from_utf8_lossy(host);
    let Ok(host) = idna::domain_to_ascii(&host) else { return false };
    let host = host.trim_end_matches('.');
    let labels: Vec<&str> = host.split('.').collect();
    let top = labels.len().saturating_sub(2);
    let good = |(place, label): (usize, &&str)| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|o| o.is_ascii_alphanumeric() || o == b'-' || o == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
            && (place < top || !label.contains('_'))
    };
    host.len() <= 253 && labels.len() >= 2 && labels.iter().enumerate().all(good)
}

/// The addresses a mail claims to come from, as SpamAssassin's lists look at them: `Resent-From` if there is one, else
/// the other fields that name a sender; and the envelope's sender.
pub(crate) fn senders(mail: &Mail<'_>) -> Vec<String> {
    let message = mail.message;
    let of = |name: &str| -> Vec<String> {
        let values = message.fields(name).map(|field| {
            let value = message.octets(&field.value);
            unfold(value.get(..VALUE_MAX).unwrap_or(value))
        });
        let addresses = values.flat_map(|value| read(&value)).filter_map(|one| one.address);
        addresses.map(|address| String::from_utf8_lossy(&address).into_owned()).collect()
    };
    let mut all = of("Resent-From");
    if all.is_empty() {
        for name in ["Envelope-Sender", "Resent-Sender", "X-Envelope-From", "From"] {
            all.extend(of(name));
        }
    }
    all.push(mail.envelope.sender.address.clone());
    all.retain(|address| !address.is_empty());
    all
}

/// A pattern with `*` (anything) and `?` (one character); case does not matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Glob(Vec<u8>);

impl Glob {
    pub(crate) fn new(pattern: &str) -> Self {
        let mut octets = pattern.to_ascii_lowercase().into_bytes();
        // `**` means what `*` means, and costs more.
        octets.dedup_by(|right, left| *right == b'*' && *left == b'*');
        Self(octets)
    }

    /// True if the whole text fits. Time: pattern times text, both short.
    pub(crate) fn fits(&self, text: &str) -> bool {
        let text = text.as_bytes();
        let (mut at, mut place) = (0, 0);
        let mut star: Option<(usize, usize)> = None;
        while let Some(octet) = text.get(place) {
            match self.0.get(at) {
                Some(b'*') => {
                    at += 1;
                    star = Some((at, place));
                }
                Some(want) if *want == b'?' || *want == octet.to_ascii_lowercase() => {
                    at += 1;
                    place += 1;
                }
                _ => {
                    let Some((after, from)) = star else { return false };
                    star = Some((after, from + 1));
                    at = after;
                    place = from + 1;
                }
            }
        }
        self.0.get(at..).is_some_and(|rest| rest.iter().all(|octet| *octet == b'*'))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn mailboxes_are_found_in_all_their_forms() {
        let text = |octets: Option<Vec<u8>>| octets.map(|text| String::from_utf8(text).unwrap());
        let check = |value: &str, want: &[(Option<&str>, Option<&str>)]| {
            let got: Vec<(Option<String>, Option<String>)> = read(value.as_bytes())
                .into_iter()
                .map(|one| (text(one.phrase), text(one.address)))
                .collect();
            let got: Vec<_> = got.iter().map(|(p, a)| (p.as_deref(), a.as_deref())).collect();
            assert_eq!(got, want, "{value}");
        };
        check("a@example.org", &[(None, Some("a@example.org"))]);
        check("Ann <a@example.org>", &[(Some("Ann "), Some("a@example.org"))]);
        check(
            r#""Doe, Ann" <a@example.org>, b@x"#,
            &[(Some("Doe, Ann "), Some("a@example.org")), (None, Some("b@x"))],
        );
        check("a@example.org (Ann)", &[(Some("Ann"), Some("a@example.org"))]);
        check("friends: a@x, b@y;", &[(None, Some("a@x")), (None, Some("b@y"))]);
        check("undisclosed-recipients:;", &[]);
        check("\"ceo@bank.example\" <x@y>", &[(Some("ceo@bank.example "), Some("x@y"))]);
        check("\"a@bank.example\"", &[(None, Some("a@bank.example"))]);
        check("Ann <>", &[(Some("Ann "), None)]);
        check("Ann (x) <a@b> <a@b>", &[(Some("Ann  "), Some("a@b"))]);
        check("<a@b>,<c@d>", &[(None, None)]);
        check("\"Ann <a@b>", &[(None, Some("a@b"))]);
        check("Ann,(<a@b>)", &[(Some("Ann"), None), (None, Some("a@b"))]);
        check("<a@b@c>", &[(None, Some("a@b"))]);
        check("", &[]);
    }

    /// Looked for anew at every escape, this would take minutes.
    #[test]
    fn a_comment_that_is_none_is_looked_for_once() {
        let head = [b"a ".as_slice(), &b"\\(".repeat(400_000), b"( )"].concat();
        let found = read(&[&head, b"<a@b.test>".as_slice()].concat());
        let [Mailbox { phrase: Some(phrase), address: Some(address) }] = found.as_slice() else {
            panic!("{} mailboxes", found.len());
        };
        // Only what stands in the last pair is a comment.
        assert_eq!(phrase.len(), head.len() - 3);
        assert_eq!(address, b"a@b.test");
    }

    /// Without memory each of these takes minutes.
    #[test]
    fn what_was_looked_for_is_not_looked_for_again() {
        let tail = "x".repeat(60_000);
        for (value, want) in [
            ("<a>,".repeat(1_000) + &"><".repeat(64) + &tail, 1_000),
            ("\\\"x@y;".repeat(10_000), 1_000),
            ("x@y\\(,".repeat(10_000) + ")x", 1_000),
            ("\\\"x@y,\"".repeat(10_000), 4),
        ] {
            assert_eq!(read(value.as_bytes()).len(), want, "{value:.20}");
        }
    }

    #[test]
    fn globs_fit_whole_texts_only() {
        for (pattern, text, want) in [
            ("*@*.example.org", "a@b.example.org", true),
            ("*@*.example.org", "a@example.org", false),
            ("A?@x", "ab@X", true),
            ("a?@x", "a@x", false),
            ("a*b*c", "aXbXbYc", true),
            ("a*b*c", "aXbXbYcd", false),
            ("", "", true),
            ("**", "anything", true),
        ] {
            assert_eq!(Glob::new(pattern).fits(text), want, "{pattern} {text}");
        }
    }

    proptest! {
        #[test]
        fn no_value_stops_the_reader(value in "([a-z@.]{1,4}|[<>()\",;: \\\\]|\n){0,60}") {
            let _ = read(value.as_bytes());
        }
    }
}
