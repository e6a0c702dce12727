//! Links in plain text.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

/// Links found in one text, at most.
pub(super) const LINKS_MAX: usize = 5_000;

/// A longer one is cut.
const LINK_BYTES_MAX: usize = 4_096;

/// Octets of a host with user and port; no longer one can be reached (RFC 1035 section 2.3.4).
const HOST_BYTES_MAX: usize = 512;

/// Octets of a scheme: no known one is half as long.
const SCHEME_BYTES_MAX: usize = 64;

/// Octets that the folder of a page's base may add to its links, all together.
const FOLDERS_BYTES_MAX: usize = 1 << 20;

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

/// What relative addresses of a page are relative to (RFC 3986 section 5, without the dots).
#[derive(Debug)]
pub(super) struct Base {
    scheme: String,
    host: String,
    /// The path as far as its last slash.
    folder: String,
    /// Octets of folders that may still be put before links.
    room: usize,
}

impl Base {
    /// `None`: nothing can be relative to it.
    pub(super) fn read(address: &str) -> Option<Self> {
        let (scheme, rest) = address.split_once("://")?;
        let host_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (host, path) = rest.split_at(host_end);
        if host.len() > HOST_BYTES_MAX || scheme.len() > SCHEME_BYTES_MAX {
            return None;
        }
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        Some(Self {
            scheme: scheme.to_owned(),
            host: host.to_owned(),
            folder: folder.to_owned(),
            room: FOLDERS_BYTES_MAX,
        })
    }

    /// The address made whole. One that is whole stays as it is. Where a long folder was put before many links already,
    /// it is left out: the host is what counts.
    pub(super) fn resolve(&mut self, link: String) -> String {
        let named = link.split_once(':').is_some_and(|(name, _)| {
            !name.is_empty()
                && name.bytes().all(|o| o.is_ascii_alphanumeric() || b"+-.".contains(&o))
        });
        if named || link.is_empty() || link.starts_with('#') {
            return link;
        }
        let Self { scheme, host, .. } = self;
        if link.starts_with("//") {
            return format!("{scheme}:{link}");
        }
        if link.starts_with('/') {
            return format!("{scheme}://{host}{link}");
        }
        let folder = match self.room.checked_sub(self.folder.len()) {
            Some(left) => {
                self.room = left;
                self.folder.as_str()
            }
            None => "",
        };
        format!("{scheme}://{host}{folder}/{link}")
    }
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

    #[test]
    fn relative_addresses_are_made_whole() {
        for (base, link, want) in [
            ("http://a.b/c/d?e", "f", "http://a.b/c/f"),
            ("http://a.b", "f?g", "http://a.b/f?g"),
            ("https://a.b/c/", "/f", "https://a.b/f"),
            ("https://a.b/c/", "//f/g", "https://f/g"),
            ("https://a.b/c/", "mailto:x@y", "mailto:x@y"),
            ("https://a.b/c/", "#top", "#top"),
            ("https://u@a.b:1?c/d", "f", "https://u@a.b:1/f"),
        ] {
            let mut base = Base::read(base).unwrap();
            assert_eq!(base.resolve(link.to_owned()), want, "{base:?} {link}");
        }
        let (host, scheme) = ("a".repeat(600), "a".repeat(65));
        let long = [format!("http://{host}/x"), format!("{scheme}://a.b/x")];
        for nothing in ["nonsense", "/c/d", "", &long[0], &long[1]] {
            assert!(Base::read(nothing).is_none(), "{nothing}");
        }
    }

    #[test]
    fn a_long_folder_is_not_put_before_every_link() {
        let mut base = Base::read(&format!("http://a.b/{}/", "c".repeat(3_000))).unwrap();
        let all: Vec<String> = (0..5_000).map(|number| base.resolve(number.to_string())).collect();
        assert!(all.iter().all(|link| link.starts_with("http://a.b/")));
        assert!(all.iter().enumerate().all(|(at, link)| link.ends_with(&format!("/{at}"))));
        let octets: usize = all.iter().map(String::len).sum();
        assert!((500_000..FOLDERS_BYTES_MAX + 100_000).contains(&octets), "{octets}");
    }
}
