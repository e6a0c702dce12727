//! Mail addresses as headers write them, and the patterns of lists.

use crate::filters::Mail;

use super::header::unfold;
use super::words;

/// Mailboxes looked at in one header field.
const MAILBOXES_MAX: usize = 1_000;

/// One mailbox of an address list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Mailbox {
    /// The display name, decoded; a comment stands in for it if there is no phrase.
    pub(crate) name: String,
    /// The address, as it was written.
    pub(crate) address: String,
}

/// Reads an address list (RFC 5322 section 3.4), forgiving what real mail does wrong. `value` is unfolded, not decoded.
pub(crate) fn mailboxes(value: &str) -> Vec<Mailbox> {
    let mut scan = Scan::default();
    let mut quoted = false;
    let mut comment_depth = 0_usize;
    let mut angle = false;
    let mut escaped = false;
    for letter in value.chars() {
        if scan.done.len() >= MAILBOXES_MAX {
            break;
        }
        if escaped {
            escaped = false;
            scan.put(letter, angle, comment_depth);
            continue;
        }
        match letter {
            '\\' if quoted || comment_depth > 0 => escaped = true,
            '"' if comment_depth == 0 && !angle => {
                quoted = !quoted;
                scan.quotes = true;
            }
            _ if quoted => scan.put(letter, angle, comment_depth),
            '(' if !angle => comment_depth += 1,
            ')' if comment_depth > 0 => comment_depth -= 1,
            '<' if comment_depth == 0 => {
                angle = true;
                scan.angle.clear();
                scan.has_angle = true;
            }
            '>' if angle => angle = false,
            ',' | ';' if comment_depth == 0 && !angle => scan.finish(),
            ':' if comment_depth == 0 && !angle && !scan.phrase.contains('@') => {
                scan.phrase.clear()
            }
            _ => scan.put(letter, angle, comment_depth),
        }
    }
    scan.finish();
    scan.done
}

#[derive(Default)]
struct Scan {
    done: Vec<Mailbox>,
    phrase: String,
    angle: String,
    comment: String,
    has_angle: bool,
    quotes: bool,
}

impl Scan {
    fn put(&mut self, letter: char, angle: bool, comment_depth: usize) {
        if angle {
            self.angle.push(letter);
        } else if comment_depth > 0 {
            self.comment.push(letter);
        } else {
            self.phrase.push(letter);
        }
    }

    fn finish(&mut self) {
        let phrase = std::mem::take(&mut self.phrase);
        let angle = std::mem::take(&mut self.angle);
        let comment = std::mem::take(&mut self.comment);
        let (name, address) = if std::mem::take(&mut self.has_angle) {
            let name = if phrase.trim().is_empty() { comment } else { phrase };
            (name, angle)
        } else {
            (comment, phrase)
        };
        self.quotes = false;
        let address: String = address.split_whitespace().collect();
        let name = words::decode(name.trim().as_bytes());
        let name = String::from_utf8_lossy(&name).trim().to_owned();
        if !address.is_empty() || !name.is_empty() {
            self.done.push(Mailbox { name, address });
        }
    }
}

/// The addresses a mail claims to come from, as SpamAssassin's lists look at them: `Resent-From` if there is one, else
/// the other fields that name a sender; and the envelope's sender.
pub(crate) fn senders(mail: &Mail<'_>) -> Vec<String> {
    let message = mail.message;
    let of = |name: &str| -> Vec<String> {
        let values = message.fields(name).map(|field| message.octets(&field.value));
        let values = values.map(|value| String::from_utf8_lossy(&unfold(value)).into_owned());
        values.flat_map(|value| mailboxes(&value)).map(|mailbox| mailbox.address).collect()
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
        let check = |value: &str, want: &[(&str, &str)]| {
            let got = mailboxes(value);
            let got: Vec<(&str, &str)> =
                got.iter().map(|one| (one.name.as_str(), one.address.as_str())).collect();
            assert_eq!(got, want, "{value}");
        };
        check("a@example.org", &[("", "a@example.org")]);
        check("Ann <a@example.org>", &[("Ann", "a@example.org")]);
        check(r#""Doe, Ann" <a@example.org>, b@x"#, &[("Doe, Ann", "a@example.org"), ("", "b@x")]);
        check("a@example.org (Ann)", &[("Ann", "a@example.org")]);
        check("friends: a@x, b@y;", &[("", "a@x"), ("", "b@y")]);
        check("=?utf-8?Q?J=C3=B6rg?= <j@x>", &[("Jörg", "j@x")]);
        check("\"ceo@bank.example\" <x@y>", &[("ceo@bank.example", "x@y")]);
        check("", &[]);
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
        fn no_value_stops_the_reader(value in ".{0,200}") {
            let _ = mailboxes(&value);
        }
    }
}
