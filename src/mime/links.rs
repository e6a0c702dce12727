//! Links in plain text.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

/// Links found in one text, at most.
pub(super) const LINKS_MAX: usize = 5_000;

/// A longer one is cut.
const LINK_BYTES_MAX: usize = 4_096;

const MARKS: [&str; 5] = ["http://", "https://", "ftp://", "www.", "mailto:"];

static FINDER: LazyLock<Option<AhoCorasick>> =
    LazyLock::new(|| AhoCorasick::builder().ascii_case_insensitive(true).build(MARKS).ok());

/// Addresses that stand in a text, as they stand there, without the punctuation of the sentence.
pub(super) fn in_text(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    let Some(finder) = FINDER.as_ref() else { return links };
    let mut from = 0;
    for hit in finder.find_iter(text) {
        let joined = text
            .get(..hit.start())
            .and_then(|before| before.chars().next_back())
            .is_some_and(char::is_alphanumeric);
        if hit.start() < from || joined {
            continue;
        }
        let rest = text.get(hit.start()..).unwrap_or_default();
        let end = rest.find(ends_link).unwrap_or(rest.len());
        let link = rest.get(..end).unwrap_or_default();
        from = hit.start() + end;
        let link = link.trim_end_matches(['.', ',', ';', ':', '!', '?', ')', ']', '\'', '*', '_']);
        if link.len() > hit.len() {
            links.push(clean(link));
            if links.len() >= LINKS_MAX {
                break;
            }
        }
    }
    links
}

fn ends_link(sign: char) -> bool {
    sign.is_whitespace()
        || sign.is_control()
        || matches!(sign, '"' | '<' | '>' | '`' | '|' | '{' | '}')
}

/// The address without blanks and control characters, as readers take it.
pub(super) fn clean(link: &str) -> String {
    let mut out = String::with_capacity(link.len().min(LINK_BYTES_MAX));
    for sign in link.trim().chars() {
        if out.len() >= LINK_BYTES_MAX {
            break;
        }
        if !sign.is_control() && !sign.is_whitespace() {
            out.push(sign);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_prose() {
        let table: &[(&str, &[&str])] = &[
            ("see http://a.b/c?d=e, and (https://x.y).", &["http://a.b/c?d=e", "https://x.y"]),
            ("<HTTP://A.B> www.c.d ftp://e", &["HTTP://A.B", "www.c.d", "ftp://e"]),
            ("mailto:a@b awww.x http://", &["mailto:a@b"]),
            ("http://a.b/?u=http://c.d", &["http://a.b/?u=http://c.d"]),
            ("", &[]),
        ];
        for (text, want) in table {
            assert_eq!(in_text(text), *want, "{text:?}");
        }
    }
}
