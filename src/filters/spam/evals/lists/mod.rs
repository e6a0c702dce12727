//! Lists of senders, recipients, hosts and subjects: `welcomelist_from` and all its relatives, with their older names.

mod addresses;
mod hosts;
mod subjects;

use std::collections::BTreeMap;

use crate::filters::spam::rules::{Setting, Settings};
use crate::filters::spam::text::Glob;
use crate::filters::spam::view::View;
use crate::filters::{Mistake, Severity};

use super::{Answer, Arguments, Call, Function, domain, fields};

pub(in crate::filters::spam) use addresses::{recipients, senders};

pub(super) const FUNCTIONS: &[&[Function]] =
    &[addresses::FUNCTIONS, hosts::FUNCTIONS, subjects::FUNCTIONS];

pub(super) const KEYS: &[&str] = &[
    "welcomelist_from",
    "unwelcomelist_from",
    "welcomelist_from_rcvd",
    "def_welcomelist_from_rcvd",
    "unwelcomelist_from_rcvd",
    "welcomelist_allows_relays",
    "blocklist_from",
    "unblocklist_from",
    "welcomelist_to",
    "blocklist_to",
    "more_spam_to",
    "all_spam_to",
    "welcomelist_auth",
    "def_welcomelist_auth",
    "unwelcomelist_auth",
    "welcomelist_from_spf",
    "def_welcomelist_from_spf",
    "unwelcomelist_from_spf",
    "welcomelist_from_dkim",
    "def_welcomelist_from_dkim",
    "unwelcomelist_from_dkim",
    "enlist_addrlist",
    "enlist_uri_host",
    "delist_uri_host",
    "blocklist_uri_host",
    "welcomelist_uri_host",
    "welcomelist_subject",
    "blocklist_subject",
    "whitelist_from",
    "unwhitelist_from",
    "whitelist_from_rcvd",
    "def_whitelist_from_rcvd",
    "unwhitelist_from_rcvd",
    "whitelist_allows_relays",
    "blacklist_from",
    "unblacklist_from",
    "whitelist_to",
    "blacklist_to",
    "whitelist_auth",
    "def_whitelist_auth",
    "unwhitelist_auth",
    "whitelist_from_spf",
    "def_whitelist_from_spf",
    "unwhitelist_from_spf",
    "whitelist_from_dkim",
    "def_whitelist_from_dkim",
    "unwhitelist_from_dkim",
    "blacklist_uri_host",
    "whitelist_uri_host",
    "whitelist_subject",
    "blacklist_subject",
];

/// An entry of a list of addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    written: String,
    glob: Glob,
    /// What else must fit: the host that brings the mail, or the domain that signs it.
    also: Vec<String>,
}

/// A list of addresses.
type Entries = Vec<Entry>;

/// The lists of the rule files.
#[derive(Debug, Default)]
pub(in crate::filters::spam) struct Lists {
    /// By the name of the key that adds to them (its newer name), or that `enlist_addrlist` gives.
    addresses: BTreeMap<String, Entries>,
    /// By name, then by host: `true` if it is listed, `false` if it is an exception.
    hosts: BTreeMap<String, BTreeMap<String, bool>>,
    welcome_subjects: Vec<Glob>,
    block_subjects: Vec<Glob>,
}

impl Lists {
    pub(super) fn read(settings: &Settings, mistakes: &mut Vec<Mistake>) -> Self {
        let mut lists = Self::default();
        for line in settings.of(KEYS) {
            let key =
                line.key.replace("whitelist", "welcomelist").replace("blacklist", "blocklist");
            if let Err((what, hint)) = lists.add(&key, line) {
                mistakes.push(Mistake {
                    file: line.source.file.clone(),
                    line: line.source.line,
                    column: 0,
                    what: format!("{}: {what}", line.key),
                    hint: hint.to_owned(),
                    severity: Severity::Warning,
                });
            }
        }
        lists
    }

    fn add(&mut self, key: &str, line: &Setting) -> Result<(), (String, &'static str)> {
        let text = line.text.trim();
        let mut words = text.split_ascii_whitespace();
        if text.is_empty() {
            return Err(("nothing is listed".to_owned(), "write it behind the key"));
        }
        match key {
            "welcomelist_subject" => self.welcome_subjects.push(subjects::glob(text)),
            "blocklist_subject" => self.block_subjects.push(subjects::glob(text)),
            "blocklist_uri_host" => self.enlist("BLOCK", words),
            "welcomelist_uri_host" => self.enlist("WELCOME", words),
            "enlist_uri_host" => {
                let (list, words) = named(text)?;
                self.enlist(list, words.split_ascii_whitespace());
            }
            "delist_uri_host" => self.delist(text),
            "enlist_addrlist" => {
                let (list, words) = named(text)?;
                for word in words.split_ascii_whitespace() {
                    self.put(list, word, None);
                }
            }
            "unwelcomelist_from_dkim" => {
                let address = words.next().unwrap_or_default();
                let signer = words.next();
                for list in ["welcomelist_from_dkim", "def_welcomelist_from_dkim"] {
                    self.unsign(list, address, signer);
                }
            }
            "welcomelist_from_rcvd" | "def_welcomelist_from_rcvd" => {
                let (Some(address), Some(host), None) = (words.next(), words.next(), words.next())
                else {
                    let what = "it wants an address and a host".to_owned();
                    return Err((what, "write: welcomelist_from_rcvd *@example.org example.org"));
                };
                self.put(key, address, Some(host));
            }
            "welcomelist_from_dkim" | "def_welcomelist_from_dkim" => {
                let address = words.next().unwrap_or_default();
                let signer = words.next();
                if words.next().is_some() {
                    let what = "it wants an address and at most one domain that signs".to_owned();
                    return Err((what, "write: welcomelist_from_dkim *@example.org example.org"));
                }
                // Without a domain it is the address's own.
                self.put(key, address, Some(signer.unwrap_or_default()));
            }
            _ => match key.strip_prefix("un") {
                Some(list) => {
                    for word in words {
                        self.take(list, word);
                        self.take(&format!("def_{list}"), word);
                    }
                }
                None => words.for_each(|word| self.put(key, word, None)),
            },
        }
        Ok(())
    }

    fn put(&mut self, list: &str, address: &str, also: Option<&str>) {
        let entries = self.addresses.entry(list.to_owned()).or_default();
        let written = address.to_ascii_lowercase();
        let also: Vec<String> = also.map(str::to_ascii_lowercase).into_iter().collect();
        // The lines of one address belong together where a second word stands; else the same again says nothing new.
        if !also.is_empty()
            && let Some(old) = entries.iter_mut().find(|old| old.written == written)
        {
            old.also.extend(also);
            return;
        }
        entries.push(Entry { glob: Glob::new(&written), written, also });
    }

    /// An entry goes only by the pattern it was written with.
    fn take(&mut self, list: &str, address: &str) {
        if let Some(entries) = self.addresses.get_mut(list) {
            entries.retain(|entry| !entry.written.eq_ignore_ascii_case(address));
        }
    }

    fn unsign(&mut self, list: &str, address: &str, signer: Option<&str>) {
        let Some(entries) = self.addresses.get_mut(list) else { return };
        let signer = signer.unwrap_or_default();
        for entry in entries.iter_mut().filter(|old| old.written.eq_ignore_ascii_case(address)) {
            entry.also.retain(|domain| !domain.eq_ignore_ascii_case(signer));
        }
        entries.retain(|entry| !entry.also.is_empty());
    }

    fn enlist<'w>(&mut self, list: &str, words: impl Iterator<Item = &'w str>) {
        let hosts = self.hosts.entry(list.to_owned()).or_default();
        for word in words {
            let word = word.to_ascii_lowercase();
            match word.strip_prefix('!') {
                Some(host) => hosts.insert(host.to_owned(), false),
                None => hosts.insert(word, true),
            };
        }
    }

    /// Without a name in parentheses from all lists.
    fn delist(&mut self, text: &str) {
        let (list, words) = match named(text) {
            Ok((list, words)) => (Some(list), words),
            Err(_) => (None, text),
        };
        for (name, hosts) in &mut self.hosts {
            if list.is_some_and(|list| list != name) {
                continue;
            }
            for word in words.split_ascii_whitespace() {
                let word = word.to_ascii_lowercase();
                hosts.remove(word.strip_prefix('!').unwrap_or(&word));
            }
        }
    }

    fn entries(&self, list: &str) -> &[Entry] {
        self.addresses.get(list).map_or(&[], Vec::as_slice)
    }

    /// True if the list holds this address.
    pub(super) fn holds(&self, list: &str, address: &[u8]) -> bool {
        let address = String::from_utf8_lossy(address);
        self.entries(list).iter().any(|entry| entry.glob.fits(&address))
    }
}

/// `(NAME) words`.
fn named(text: &str) -> Result<(&str, &str), (String, &'static str)> {
    let wrong = || ("the name of the list is missing".to_owned(), "write it first: (NAME) …");
    let (name, words) =
        text.strip_prefix('(').and_then(|rest| rest.split_once(')')).ok_or_else(wrong)?;
    if name.is_empty() || !words.starts_with([' ', '\t']) {
        return Err(wrong());
    }
    Ok((name, words.trim()))
}

fn lists<'v>(view: &'v View<'_>) -> &'v Lists {
    &view.engine.tables.lists
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::Source;

    fn read(lines: &[(&str, &str)]) -> (Lists, usize) {
        let mut settings = Settings::default();
        for (key, text) in lines {
            settings.add(key, (*text).to_owned(), Source { file: "a.cf".into(), line: 1 });
        }
        let mut mistakes = Vec::new();
        let lists = Lists::read(&settings, &mut mistakes);
        (lists, mistakes.len())
    }

    #[test]
    fn old_and_new_names_make_one_list() {
        let (lists, mistakes) = read(&[
            ("whitelist_from", "*@*.Example.org a@x"),
            ("unwelcomelist_from", "A@x"),
            ("enlist_addrlist", "(welcomelist_from) b@y"),
            ("enlist_addrlist", "b@y"),
        ]);
        assert_eq!(mistakes, 1);
        for (address, want) in
            [("q@m.example.ORG", true), ("a@x", false), ("b@y", true), ("b@yy", false)]
        {
            assert_eq!(lists.holds("welcomelist_from", address.as_bytes()), want, "{address}");
        }
    }

    #[test]
    fn hosts_are_listed_and_taken_back() {
        let (lists, mistakes) = read(&[
            ("enlist_uri_host", "(MINE) !a.example.org example.org example.net"),
            ("blacklist_uri_host", "bad.example"),
            ("delist_uri_host", "(MINE) example.net"),
            ("delist_uri_host", "!bad.example"),
        ]);
        assert_eq!(mistakes, 0);
        let mine = lists.hosts.get("MINE").unwrap();
        assert_eq!(mine.len(), 2);
        assert_eq!(mine.get("a.example.org"), Some(&false));
        assert!(lists.hosts.get("BLOCK").unwrap().is_empty());
    }

    #[test]
    fn a_second_word_is_kept_with_its_address() {
        let (lists, mistakes) = read(&[
            ("welcomelist_from_rcvd", "*@a.example a.example"),
            ("whitelist_from_rcvd", "*@A.example [192.0.2.0/24]"),
            ("whitelist_from_rcvd", "*@b.example"),
            ("welcomelist_from_dkim", "*@c.example"),
            ("welcomelist_from_dkim", "*@c.example d.example"),
            ("unwelcomelist_from_dkim", "*@c.example"),
        ]);
        assert_eq!(mistakes, 1);
        assert_eq!(lists.entries("welcomelist_from_rcvd")[0].also, ["a.example", "[192.0.2.0/24]"]);
        assert_eq!(lists.entries("welcomelist_from_dkim")[0].also, ["d.example"]);
    }
}
