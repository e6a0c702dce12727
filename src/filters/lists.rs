//! Allow and deny lists of senders.
//!
//! A line is `pattern [scope=pattern] [until=2027-01-31] [# note]`. Patterns, case does not matter:
//!
//! - `user@example.org`: this address,
//! - `example.org` or `@example.org`: every address of this domain,
//! - `.example.org`: the same, and of all domains below it,
//! - with `*` (anything) or `?` (one character): held against the whole address.
//!
//! `scope` names the recipients for whom the line holds; from the day after `until` on, it does not hold any more.
//! SpamAssassin's lines (`whitelist_from a b`, `blocklist_from …`) may stand in the same files; what they say counts,
//! whichever file they stand in. An address is only what the mail claims: anybody can write any sender's name.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::civil::Date;

use super::spam::{Glob, senders};
use super::{ListHit, Mail, Mistake, RuleFile, Severity, Source};

/// All entries of all list files. Immutable; threads share it.
#[derive(Debug, Default)]
pub struct Lists {
    entries: Vec<Entry>,
    /// Entries for one address or one domain, by it in lower case.
    exact: HashMap<String, Vec<usize>>,
    /// All others.
    globs: Vec<usize>,
}

#[derive(Debug)]
struct Entry {
    deny: bool,
    written: Arc<str>,
    pattern: Pattern,
    scope: Option<(Arc<str>, Pattern)>,
    source: Source,
}

/// A pattern for addresses; the head of the file says how it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// One address.
    Address(String),
    /// All addresses of a domain.
    Domain(String),
    /// All addresses of a domain and of those below it.
    Below(String),
    /// Whatever fits.
    Glob(AddressGlob),
}

/// A pattern with `*` and `?`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressGlob(Glob);

impl Pattern {
    /// Reads a pattern.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        if text.contains(['*', '?']) {
            return Self::Glob(AddressGlob(Glob::new(&text)));
        }
        if let Some(domain) = text.strip_prefix('.') {
            return Self::Below(domain.to_owned());
        }
        match text.strip_prefix('@') {
            Some(domain) => Self::Domain(domain.to_owned()),
            None if text.contains('@') => Self::Address(text),
            None => Self::Domain(text),
        }
    }

    /// True if the address fits.
    #[must_use]
    pub fn fits(&self, address: &str) -> bool {
        let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
        match self {
            Self::Address(wanted) => wanted.eq_ignore_ascii_case(address),
            Self::Domain(wanted) => wanted.eq_ignore_ascii_case(domain),
            Self::Below(wanted) => {
                let domain = domain.to_ascii_lowercase();
                domain
                    .strip_suffix(wanted.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
            Self::Glob(glob) => glob.0.fits(address),
        }
    }
}

impl Lists {
    /// Reads the files. An entry whose day has passed on `today` is told and not used; so is what cannot be read.
    #[must_use]
    pub fn load(allow: &[RuleFile], deny: &[RuleFile], today: Date) -> (Self, Vec<Mistake>) {
        let mut reader = Reader { lists: Self::default(), mistakes: Vec::new(), today };
        for (files, deny) in [(allow, false), (deny, true)] {
            for file in files {
                for (index, line) in String::from_utf8_lossy(&file.text).lines().enumerate() {
                    let line_number = u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1);
                    let source = Source { file: Arc::clone(&file.name), line: line_number };
                    reader.line(line, deny, &source);
                }
            }
        }
        reader.lists.index();
        (reader.lists, reader.mistakes)
    }

    /// How many entries are in use.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries that fit the envelope's sender or a sender of the header, and hold for a recipient of this mail; in
    /// the order of the files, each once.
    #[must_use]
    pub fn find(&self, mail: &Mail<'_>) -> Vec<ListHit> {
        if self.entries.is_empty() {
            return Vec::new();
        }
        let mut found: Vec<(usize, String)> = Vec::new();
        for address in senders(mail) {
            let lower = address.to_ascii_lowercase();
            let domain = lower.rsplit_once('@').map_or("", |(_, domain)| domain);
            let keys = [lower.as_str(), domain];
            let exact = keys.iter().filter_map(|key| self.exact.get(*key)).flatten();
            for place in exact.chain(&self.globs) {
                let Some(entry) = self.entries.get(*place) else { continue };
                if entry.pattern.fits(&address) && entry.holds_for_one(mail) {
                    found.push((*place, address.clone()));
                }
            }
        }
        found.sort();
        found.dedup_by_key(|(place, _)| *place);
        found.into_iter().filter_map(|(place, address)| self.hit(place, address)).collect()
    }

    fn hit(&self, place: usize, address: String) -> Option<ListHit> {
        let entry = self.entries.get(place)?;
        Some(ListHit {
            deny: entry.deny,
            pattern: Arc::clone(&entry.written),
            address: address.chars().filter(|letter| !letter.is_control()).take(320).collect(),
            scope: entry.scope.as_ref().map(|(written, _)| Arc::clone(written)),
            source: entry.source.clone(),
        })
    }

    fn index(&mut self) {
        for (place, entry) in self.entries.iter().enumerate() {
            match &entry.pattern {
                Pattern::Address(key) | Pattern::Domain(key) => {
                    self.exact.entry(key.clone()).or_default().push(place);
                }
                Pattern::Below(_) | Pattern::Glob(_) => self.globs.push(place),
            }
        }
    }
}

impl Entry {
    fn holds_for_one(&self, mail: &Mail<'_>) -> bool {
        let Some((_, scope)) = &self.scope else { return true };
        mail.envelope.recipients.iter().any(|recipient| scope.fits(recipient.address()))
    }
}

struct Reader {
    lists: Lists,
    mistakes: Vec<Mistake>,
    today: Date,
}

impl Reader {
    fn line(&mut self, line: &str, deny: bool, source: &Source) {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let Some(first) = words.next() else { return };
        match first.to_ascii_lowercase().as_str() {
            "whitelist_from" | "welcomelist_from" => {
                words.for_each(|word| self.add(word, false, None, source));
            }
            "blacklist_from" | "blocklist_from" => {
                words.for_each(|word| self.add(word, true, None, source));
            }
            "unwhitelist_from" | "unwelcomelist_from" => {
                words.for_each(|word| self.remove(word, false))
            }
            "unblacklist_from" | "unblocklist_from" => {
                words.for_each(|word| self.remove(word, true))
            }
            // No domain has an underscore and no dot: this is a directive of SpamAssassin's.
            key if key.contains('_') && !key.contains(['@', '.', '*', '?']) => {
                let what = format!("`{first}` is not built yet; the line is not used");
                self.tell(
                    source,
                    1,
                    what,
                    "write: pattern [scope=pattern] [until=date]",
                    Severity::Warning,
                );
            }
            _ => self.own_line(line, first, words, deny, source),
        }
    }

    fn own_line<'l>(
        &mut self,
        line: &str,
        pattern: &str,
        words: impl Iterator<Item = &'l str>,
        deny: bool,
        source: &Source,
    ) {
        let mut scope = None;
        for word in words {
            let column = column(line, word);
            match word.split_once('=') {
                Some(("scope", text)) if !text.is_empty() => scope = Some(text),
                Some(("until", text)) => match text.parse::<Date>() {
                    Ok(until) if until < self.today => {
                        let what =
                            format!("the entry for {pattern} ended on {until}; it is not used");
                        let hint = "delete the line, or set a later day";
                        return self.tell(source, column, what, hint, Severity::Warning);
                    }
                    Ok(_) => {}
                    Err(_) => {
                        let what = format!("`{text}` is no day");
                        let hint = "write it as 2027-01-31";
                        return self.tell(source, column, what, hint, Severity::Error);
                    }
                },
                _ => {
                    let what = format!("`{word}` is not understood");
                    let hint = "write: pattern [scope=pattern] [until=2027-01-31] [# note]";
                    return self.tell(source, column, what, hint, Severity::Error);
                }
            }
        }
        self.add(pattern, deny, scope, source);
    }

    fn add(&mut self, pattern: &str, deny: bool, scope: Option<&str>, source: &Source) {
        self.lists.entries.push(Entry {
            deny,
            written: pattern.into(),
            pattern: Pattern::parse(pattern),
            scope: scope.map(|text| (text.into(), Pattern::parse(text))),
            source: source.clone(),
        });
    }

    fn remove(&mut self, pattern: &str, deny: bool) {
        let same =
            |entry: &Entry| entry.deny == deny && entry.written.eq_ignore_ascii_case(pattern);
        self.lists.entries.retain(|entry| !same(entry));
    }

    fn tell(&mut self, source: &Source, column: u32, what: String, hint: &str, severity: Severity) {
        self.mistakes.push(Mistake {
            file: Arc::clone(&source.file),
            line: source.line,
            column,
            what,
            hint: hint.to_owned(),
            severity,
        });
    }
}

/// Column of a word that was cut out of the line.
fn column(line: &str, word: &str) -> u32 {
    let offset = word.as_ptr().addr().saturating_sub(line.as_ptr().addr());
    let before = line.get(..offset).unwrap_or_default().chars().count();
    u32::try_from(before).unwrap_or(0).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mail::{Envelope, Message, Recipient};

    fn load(allow: &str, deny: &str) -> (Lists, Vec<Mistake>) {
        let file = |name, text: &str| vec![RuleFile::built_in(name, text.as_bytes())];
        let today = jiff::civil::date(2026, 5, 1);
        Lists::load(&file("allow.list", allow), &file("deny.list", deny), today)
    }

    fn found(lists: &Lists, sender: &str, recipient: &str) -> Vec<(bool, String)> {
        let mut envelope = Envelope::default();
        envelope.sender.address = sender.to_owned();
        let mut to = Recipient::default();
        to.path.address = recipient.to_owned();
        envelope.recipients.push(to);
        let message = Message::default();
        let mail = Mail::alone(&envelope, &message);
        lists.find(&mail).into_iter().map(|hit| (hit.deny, hit.pattern.to_string())).collect()
    }

    #[test]
    fn patterns_fit_what_they_say() {
        for (pattern, address, want) in [
            ("a@example.org", "A@Example.org", true),
            ("a@example.org", "b@example.org", false),
            ("example.org", "x@example.org", true),
            ("@example.org", "x@example.org", true),
            ("example.org", "x@sub.example.org", false),
            (".example.org", "x@sub.example.org", true),
            (".example.org", "x@example.org", true),
            (".example.org", "x@badexample.org", false),
            ("*@*.example.*", "x@a.example.net", true),
            ("example.org", "", false),
            ("", "", true),
        ] {
            assert_eq!(Pattern::parse(pattern).fits(address), want, "{pattern} {address}");
        }
    }

    #[test]
    fn entries_are_found_with_scope_and_day() {
        let (lists, mistakes) = load(
            "friend@example.org # a note\nexample.net scope=ann@home.example until=2026-05-01\n",
            "bad.example\nwhitelist_from *@*.friends.example x@y\nblocklist_from evil@*\n",
        );
        assert_eq!(mistakes, []);
        let check = |sender, recipient, want: &[(bool, &str)]| {
            let want: Vec<(bool, String)> =
                want.iter().map(|(deny, text)| (*deny, (*text).to_owned())).collect();
            assert_eq!(found(&lists, sender, recipient), want, "{sender}");
        };
        check("Friend@Example.ORG", "ann@home.example", &[(false, "friend@example.org")]);
        check("x@example.net", "ann@home.example", &[(false, "example.net")]);
        check("x@example.net", "bob@home.example", &[]);
        check("x@bad.example", "bob@home.example", &[(true, "bad.example")]);
        check("x@a.friends.example", "bob@home.example", &[(false, "*@*.friends.example")]);
        check("evil@anywhere", "bob@home.example", &[(true, "evil@*")]);
        check("", "bob@home.example", &[]);
    }

    #[test]
    fn what_cannot_be_used_is_told_with_its_place() {
        let (lists, mistakes) = load(
            "a@x until=2026-04-30\na@x until=soon\na@x sope=b@y\nwhitelist_from_rcvd a@x y\n",
            "",
        );
        assert!(lists.is_empty());
        let places: Vec<(u32, u32, Severity)> =
            mistakes.iter().map(|one| (one.line, one.column, one.severity)).collect();
        let (error, warning) = (Severity::Error, Severity::Warning);
        assert_eq!(places, [(1, 5, warning), (2, 5, error), (3, 5, error), (4, 1, warning)]);
    }

    #[test]
    fn a_line_can_be_taken_back() {
        let (lists, _) = load("whitelist_from a@x b@x\nunwhitelist_from A@x\n", "");
        assert_eq!(found(&lists, "a@x", ""), []);
        assert_eq!(found(&lists, "b@x", "").len(), 1);
    }

    proptest! {
        #[test]
        fn any_octets_are_read(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            let file = [RuleFile { name: "x".into(), text: text.into() }];
            let _ = Lists::load(&file, &file, jiff::civil::date(2026, 5, 1));
        }
    }
}
