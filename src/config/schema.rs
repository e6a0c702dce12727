//! Kinds of keys, and questions to the table of all keys.

use std::time::Duration;

use super::file::Node;
pub(super) use super::keys::KEYS;
use super::read::{self, Mistakes};
use super::{address, blocklists, engines, rules};

/// A key of the configuration. `*` in a path stands for a name that the writer chooses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    pub path: &'static str,
    pub kind: Kind,
    /// As TOML; empty if there is none. `STATE` stands for `state_dir`.
    pub default: &'static str,
    /// What it is, and why one would change it.
    pub about: &'static str,
}

/// What kind of value a key takes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// One of the first words; the second ones are kept for later.
    Word(&'static [&'static str], &'static [&'static str]),
    Boolean,
    Count(u64, u64),
    Size(u64, u64),
    /// Seconds, or milliseconds below one second.
    Time(Duration, Duration),
    /// True: zero is possible.
    Threshold(bool),
    Points,
    Action,
    /// One line of text.
    Line,
    /// Lines of text.
    Lines,
    Path,
    Paths,
    /// Paths, or the word `$header_checks`.
    PathsOrSame,
    Networks,
    Keywords,
    Domains,
    Recipients,
    Socket,
    Resolvers,
    Listen,
    NextHop,
    ScannerAddress,
    Database,
    Store,
    LogTarget,
    PublicUrl,
    Rules,
    /// DNS lists.
    Blocklists,
    EngineAddress,
    /// What points are multiplied by.
    Factor,
}

/// What the built-in listeners, scanners, engines and policies say beyond the defaults of their kind.
pub(super) const NAMED: &[(&str, &str)] = &[
    ("listener.content_filter.listen", r#""127.0.0.1:10024""#),
    ("listener.content_filter.mode", r#""after-queue""#),
    ("listener.proxy_filter.listen", r#""127.0.0.1:10025""#),
    ("listener.proxy_filter.mode", r#""pre-queue""#),
    ("scanner.builtin.type", r#""builtin""#),
    ("scanner.clamav.type", r#""clamd""#),
    ("engine.spamassassin.type", r#""spamd""#),
    ("engine.spamassassin.address", r#""off""#),
    ("engine.rspamd.type", r#""rspamd""#),
    ("engine.rspamd.address", r#""off""#),
    ("policy.inbound.extends", r#""""#),
];

/// Sections whose tables have names, and what such a table is called.
pub(super) const NAMED_SECTIONS: [&str; 4] = ["listener", "scanner", "engine", "policy"];

/// Several tables of keys as one.
#[expect(clippy::indexing_slicing, reason = "done by the compiler, which would say so")]
pub(super) const fn joined<const N: usize>(tables: [&[Key]; 3]) -> [Key; N] {
    let mut all = [Key { path: "", kind: Kind::Line, default: "", about: "" }; N];
    let (mut table, mut at, mut next) = (0, 0, 0);
    while table < tables.len() {
        if at < tables[table].len() {
            all[next] = tables[table][at];
            (at, next) = (at + 1, next + 1);
        } else {
            (table, at) = (table + 1, 0);
        }
    }
    all
}

/// The key with exactly this path, `*` included.
pub(super) fn exact(pattern: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == pattern)
}

/// The pattern that a path of real names belongs to; `None` if there is no such key and no such section.
pub(super) fn pattern(path: &str) -> Option<String> {
    let mut pattern = String::new();
    for segment in path.split('.') {
        pattern = step(&pattern, segment)?;
    }
    Some(pattern)
}

/// One step down from a pattern.
pub(super) fn step(pattern: &str, segment: &str) -> Option<String> {
    [segment, "*"]
        .into_iter()
        .map(|last| join(pattern, last))
        .find(|path| exact(path).is_some() || is_section(path))
}

/// True if keys stand below it.
pub(super) fn is_section(pattern: &str) -> bool {
    KEYS.iter().any(|key| key.path.strip_prefix(pattern).is_some_and(|rest| rest.starts_with('.')))
}

/// The names that may follow a pattern, each once.
pub(super) fn children(pattern: &str) -> Vec<&'static str> {
    let mut names = Vec::new();
    for key in KEYS {
        let rest = if pattern.is_empty() {
            Some(key.path)
        } else {
            key.path.strip_prefix(pattern).and_then(|rest| rest.strip_prefix('.'))
        };
        if let Some(name) = rest.and_then(|rest| rest.split('.').next())
            && !names.contains(&name)
        {
            names.push(name);
        }
    }
    names
}

/// The default at a path of real names.
pub(super) fn default_at(path: &str) -> Option<&'static str> {
    if let Some((_, default)) = NAMED.iter().find(|(name, _)| *name == path) {
        return Some(default);
    }
    let key = exact(&pattern(path)?)?;
    (!key.default.is_empty()).then_some(key.default)
}

pub(super) fn join(path: &str, last: &str) -> String {
    if path.is_empty() { last.to_owned() } else { format!("{path}.{last}") }
}

impl Kind {
    /// Says every mistake of a value.
    pub fn check(self, node: &Node, out: &mut Mistakes) {
        match self {
            Self::Word(words, unbuilt) => drop(read::word(node, out, words, unbuilt)),
            Self::Boolean => drop(read::boolean(node, out)),
            Self::Count(min, max) => drop(read::count(node, out, min, max)),
            Self::Size(min, max) => drop(read::size(node, out, min, max)),
            Self::Time(min, max) => drop(read::duration(node, out, min, max)),
            Self::Threshold(zero) => drop(read::threshold(node, out, zero)),
            Self::Points => drop(read::points(node, out)),
            Self::Action => drop(read::action(node, out)),
            Self::Line => drop(read::line(node, out)),
            Self::Lines => drop(read::list(node, out, read::line)),
            Self::Path => drop(read::path(node, out)),
            Self::Paths => drop(read::list(node, out, read::path)),
            Self::PathsOrSame => drop(read::paths_or_same(node, out)),
            Self::Keywords => drop(read::list(node, out, read::keyword)),
            Self::Networks => drop(read::list(node, out, read::network)),
            Self::Domains => drop(read::list(node, out, read::domain)),
            Self::Recipients => drop(read::list(node, out, read::recipient)),
            Self::Socket => drop(read::socket(node, out)),
            Self::Resolvers => drop(read::resolvers(node, out)),
            Self::Listen => drop(address::listen(node, out)),
            Self::NextHop => drop(address::next_hop(node, out)),
            Self::ScannerAddress => drop(address::scanner(node, out)),
            Self::Database => drop(address::database(node, out)),
            Self::Store => drop(address::store(node, out)),
            Self::LogTarget => drop(address::log_target(node, out)),
            Self::PublicUrl => drop(address::public_url(node, out)),
            Self::Rules => drop(rules::rules(node, out)),
            Self::Blocklists => drop(blocklists::blocklists(node, out)),
            Self::EngineAddress => drop(engines::address(node, out)),
            Self::Factor => drop(engines::factor(node, out)),
        }
    }

    /// Lists may be written with commas where TOML is a burden: in the environment and on the command line.
    pub fn is_list(self) -> bool {
        matches!(
            self,
            Self::Paths
                | Self::Keywords
                | Self::Lines
                | Self::PathsOrSame
                | Self::Networks
                | Self::Domains
                | Self::Recipients
                | Self::Resolvers
                | Self::Rules
                | Self::Blocklists
        )
    }

    /// Values that are no text in TOML.
    pub fn is_bare(self) -> bool {
        matches!(
            self,
            Self::Boolean | Self::Count(..) | Self::Threshold(_) | Self::Points | Self::Factor
        )
    }

    /// The kind in words, for `explain`.
    pub fn describe(self) -> String {
        match self {
            Self::Word(words, _) => format!("one of \"{}\"", words.join("\", \"")),
            Self::Boolean => "true or false".into(),
            Self::Count(min, max) => format!("whole number, {min} to {max}"),
            Self::Size(..) => {
                "size with unit: B, KB, MB, GB, TB (thousands), KiB … TiB (1024s)".into()
            }
            Self::Time(..) => "time with unit: ms, s, m (minutes), h, d".into(),
            Self::Threshold(_) => "points, or \"never\"".into(),
            Self::Points => "points".into(),
            Self::Action => "one of pass, tag, quarantine, reject, discard, defer".into(),
            Self::Line => "text".into(),
            Self::Lines => "list of texts".into(),
            Self::Path | Self::Store => {
                "path; a relative one is taken from the folder of the file".into()
            }
            Self::Paths => "list of paths".into(),
            Self::PathsOrSame => "list of paths, or \"$header_checks\"".into(),
            Self::Networks => "list of networks".into(),
            Self::Keywords => "list of keywords of EHLO".into(),
            Self::Domains => "list of domains".into(),
            Self::Recipients => "list of recipient patterns".into(),
            Self::Socket => "address and port, or \"off\"".into(),
            Self::Resolvers => "\"system\", or list of addresses".into(),
            Self::Listen => "address and port, \"unix:/path\", or \"off\"".into(),
            Self::NextHop => {
                "smtp://host:port, lmtp://host:port, smtp:unix:/path, lmtp:unix:/path".into()
            }
            Self::ScannerAddress => "\"auto\", \"off\", \"unix:/path\", \"tcp://host:port\"".into(),
            Self::Database => "\"sqlite:/path\"".into(),
            Self::LogTarget => "\"stderr\", \"journal\", \"syslog\", \"file:/path\"".into(),
            Self::PublicUrl => "http:// or https:// address, or empty".into(),
            Self::Rules => "list of names of rule sets and of rules".into(),
            Self::Blocklists => "list of zones, and of tables with `zone`".into(),
            Self::EngineAddress => {
                "\"off\", \"unix:/path\", \"tcp://host:port\" (spamd), \"http://host:port\" (rspamd)".into()
            }
            Self::Factor => "number, 0 to 100".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::{Origin, parse_value};

    #[test]
    fn every_default_is_a_value_of_its_kind() {
        let named = NAMED.iter().map(|(path, default)| {
            let pattern = pattern(path).expect(path);
            (*path, exact(&pattern).expect(path).kind, *default)
        });
        let plain = KEYS.iter().filter(|key| !key.default.is_empty());
        for (path, kind, default) in plain.map(|key| (key.path, key.kind, key.default)).chain(named)
        {
            let node = parse_value(default, &Origin::Default).expect(path);
            let mut out = Vec::new();
            kind.check(&node, &mut out);
            assert!(out.is_empty(), "{path}: {out:?}");
        }
    }

    #[test]
    fn every_key_is_explained_in_whole_sentences_and_stands_once() {
        for (at, key) in KEYS.iter().enumerate() {
            assert!(key.about.ends_with('.'), "{}", key.path);
            assert!(!KEYS[..at].iter().any(|other| other.path == key.path), "{}", key.path);
        }
    }

    #[test]
    fn names_of_the_writer_are_found_by_their_pattern() {
        for (path, want) in [
            ("listener.mine.listen", Some("listener.*.listen")),
            ("policy.x.spam.tag_at", Some("policy.*.spam.tag_at")),
            ("policy.x", Some("policy.*")),
            ("limits.archive", Some("limits.archive")),
            ("limits.nothing", None),
            ("mode.x", None),
        ] {
            assert_eq!(pattern(path).as_deref(), want, "{path}");
        }
    }
}
