//! Addresses and Message-IDs out of header values, as far as memory needs them.

use crate::mail::Message;

/// Octets of a value that are looked at.
const VALUE_BYTES_MAX: usize = 64 << 10;
/// Addresses of a field.
const ADDRESSES_MAX: usize = 200;
/// Message-IDs of a mail: the nearest of the thread stand last.
const REFERENCES_MAX: usize = 20;

/// The addresses in the fields of that name, in lower case.
#[must_use]
pub fn addresses(message: &Message, name: &str) -> Vec<String> {
    let values = message.fields(name).map(|field| message.octets(&field.value));
    values.flat_map(in_value).take(ADDRESSES_MAX).collect()
}

/// Addresses are words with an `@`, outside of quotes and comments; where angle brackets are, what is in them.
fn in_value(value: &[u8]) -> Vec<String> {
    let value = value.get(..VALUE_BYTES_MAX).unwrap_or(value);
    let text = String::from_utf8_lossy(value);
    let mut found = Vec::new();
    let (mut quoted, mut depth, mut angle) = (false, 0_usize, false);
    let mut word = String::new();
    let mut end = |word: &mut String| {
        let address = word.trim_matches(['.', '\'']).to_lowercase();
        if address.split_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty())
        {
            found.push(address);
        }
        word.clear();
    };
    for letter in text.chars() {
        match letter {
            '"' if depth == 0 => quoted = !quoted,
            _ if quoted => {}
            '(' if !angle => depth += 1,
            ')' if depth > 0 => depth -= 1,
            _ if depth > 0 => {}
            '<' => {
                // What stood before was a name, even if it looks like an address.
                word.clear();
                angle = true;
            }
            '>' => {
                angle = false;
                end(&mut word);
            }
            ',' | ';' | ':' => end(&mut word),
            _ if letter.is_whitespace() => {
                if !angle && !word.contains('@') {
                    word.clear();
                }
            }
            _ => word.push(letter),
        }
    }
    end(&mut word);
    found
}

/// The Message-IDs that a mail answers, the nearest first.
#[must_use]
pub fn references(message: &Message) -> Vec<String> {
    let mut all = Vec::new();
    for name in ["References", "In-Reply-To"] {
        let value = message.value(name).unwrap_or_default();
        let value = value.get(value.len().saturating_sub(VALUE_BYTES_MAX)..).unwrap_or_default();
        let text = String::from_utf8_lossy(value).into_owned();
        let ids = text.split(['<', '>', ' ', '\t', '\r', '\n', ',']);
        all.extend(ids.filter(|id| id.contains('@')).map(str::to_owned));
    }
    all.reverse();
    all.truncate(REFERENCES_MAX);
    all
}

/// The Message-ID of the mail that a report about mail gives back, with its header or as a whole.
#[must_use]
pub fn returned(message: &Message) -> Option<String> {
    message.parts.iter().skip(1).find_map(|part| {
        let octets = if part.declared_type == "text/rfc822-headers" {
            &part.data
        } else {
            &part.header_octets
        };
        let octets = octets.get(..VALUE_BYTES_MAX).unwrap_or(octets);
        octets.split(|octet| *octet == b'\n').find_map(|line| {
            let (name, value) = line.split_at_checked(11)?;
            let value = String::from_utf8_lossy(value).trim().to_owned();
            (name.eq_ignore_ascii_case(b"Message-ID:") && value.contains('@')).then_some(value)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_all_their_forms() {
        for (value, want) in [
            ("Jo Doe <Jo@Example.org>, x@example.net", &["jo@example.org", "x@example.net"][..]),
            ("\"x@false.example, y\" <jo@example.org>", &["jo@example.org"]),
            ("x@false.example <jo@example.org>", &["jo@example.org"]),
            ("jo@example.org (Jo @ home)", &["jo@example.org"]),
            ("friends: a@example.org, b@example.org;", &["a@example.org", "b@example.org"]),
            ("undisclosed-recipients:;", &[]),
            ("<>", &[]),
            ("\"unclosed <a@example.org>", &[]),
        ] {
            assert_eq!(in_value(value.as_bytes()), want, "{value}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_octets_make_it_fail(octets in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            in_value(&octets);
        }
    }
}
