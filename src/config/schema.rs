//! The one table of all keys: kind, default and reason. Checks, `explain`, `show` and `conf/tamis.toml` follow it.

use std::time::Duration;

use super::file::{Node, Value};
use super::read::{self, Mistakes};
use super::{address, rules};

/// A key of the configuration. `*` in a path stands for a name that the writer chooses.
#[derive(Debug)]
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
    Path,
    Paths,
    /// Paths, or the word `$header_checks`.
    PathsOrSame,
    Networks,
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
    /// A list that must be empty, because nothing that could stand in it is built yet.
    Nothing,
}

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const TEN_YEARS: Duration = Duration::from_secs(3_650 * 86_400);
const KEPT: Kind = Kind::Time(Duration::from_secs(60), TEN_YEARS);
const OCTETS: Kind = Kind::Size(1_000, 1 << 50);

const fn key(path: &'static str, kind: Kind, default: &'static str, about: &'static str) -> Key {
    Key { path, kind, default, about }
}

/// Every key, in the order of `conf/tamis.toml`; keys of one table stand together.
pub(super) const KEYS: &[Key] = &[
    key(
        "mode",
        Kind::Word(&["enforce", "observe"], &[]),
        r#""enforce""#,
        "\"observe\" only says in log and history what would be done, and every mail goes on as it came; for the first days.",
    ),
    key(
        "hostname",
        Kind::Line,
        r#""auto""#,
        "Our name in Received, replies and ids; auto = the name of this machine. Set it if that name is not the one to be seen in mail.",
    ),
    key(
        "state_dir",
        Kind::Path,
        r#""/var/lib/tamis""#,
        "Folder of quarantine and database; change it to move both to a larger disk.",
    ),
    key(
        "local_domains",
        Kind::Domains,
        "[]",
        "Domains whose recipients are ours (\".example.org\": with all below it); only their mail gets X-Spam headers and Subject tags. Empty: every recipient, with a warning.",
    ),
    key(
        "internal_networks",
        Kind::Networks,
        r#"["127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "::1", "fc00::/7", "fe80::/10"]"#,
        "Clients of our own; add your public networks, remove private ones that strangers use.",
    ),
    key(
        "limits.concurrency",
        Kind::Count(1, 10_000),
        "20",
        "Mails inspected at once; keep it equal to maxproc of the Postfix transport, and raise it with cores and scanners.",
    ),
    key(
        "limits.connections",
        Kind::Count(1, 100_000),
        "1000",
        "Sessions at once; more are answered 421. Raise it if Postfix' smtpd processes exceed it.",
    ),
    key(
        "limits.deadline",
        Kind::Time(SECOND, HOUR),
        r#""90s""#,
        "From the end of data to our reply, at most; stay below smtpd_proxy_timeout (100s) before the queue, and smtp_data_done_timeout (600s) after it.",
    ),
    key(
        "limits.idle",
        Kind::Time(SECOND, HOUR),
        r#""300s""#,
        "A client that says nothing for so long is answered 421; lower it if idle sessions use up connections.",
    ),
    key(
        "limits.message_size",
        OCTETS,
        r#""50MB""#,
        "Larger messages are refused with 552; not below Postfix' message_size_limit, or its mail bounces here.",
    ),
    key(
        "limits.recipients",
        Kind::Count(1, 1_000_000),
        "1100",
        "Recipients of one mail; more are answered 452. Not below Postfix' smtpd_recipient_limit (1000).",
    ),
    key(
        "limits.archive.depth",
        Kind::Count(1, 100),
        "12",
        "Archives within archives; deeper is over-limits, never clean.",
    ),
    key(
        "limits.archive.files",
        Kind::Count(1, 10_000_000),
        "5000",
        "Members of all archives of a mail; more is over-limits. Raise it if source trees are mailed.",
    ),
    key(
        "limits.archive.expanded",
        OCTETS,
        r#""500MB""#,
        "What all archives of a mail may unpack to; lower it on small machines.",
    ),
    key(
        "limits.archive.ratio",
        Kind::Count(1, 1_000_000),
        "200",
        "How many times its packed size a member over 1 MiB may unpack to: the mark of an archive bomb.",
    ),
    key(
        "listener.*.listen",
        Kind::Listen,
        "",
        "Address and port (no names), \"unix:/path\", or \"off\".",
    ),
    key(
        "listener.*.mode",
        Kind::Word(&["after-queue", "pre-queue"], &[]),
        "",
        "\"after-queue\" for content_filter (accept, decide, send on), \"pre-queue\" for smtpd_proxy_filter (answer while the sender waits).",
    ),
    key(
        "listener.*.protocol",
        Kind::Word(&["smtp", "lmtp"], &["milter", "policy"]),
        r#""smtp""#,
        "\"lmtp\" gives a reply for each recipient, for Postfix' lmtp transport.",
    ),
    key(
        "listener.*.policy",
        Kind::Line,
        r#""inbound""#,
        "The policy of recipients that no policy claims by its recipients; give outgoing mail another.",
    ),
    key(
        "listener.*.trust_xforward",
        Kind::Networks,
        r#"["127.0.0.0/8", "::1"]"#,
        "Peers that may name the original client by XFORWARD; add Postfix' address if it runs elsewhere.",
    ),
    key(
        "listener.*.allow",
        Kind::Networks,
        r#"["127.0.0.0/8", "::1"]"#,
        "Peers that may connect, others get 554; add Postfix' address if it runs elsewhere.",
    ),
    key(
        "listener.*.next_hop",
        Kind::NextHop,
        r#""smtp://127.0.0.1:10026""#,
        "Where mail goes on to; 250 is said only after it said 250. Also lmtp://host:port, smtp:unix:/path, lmtp:unix:/path.",
    ),
    key(
        "scanner.*.type",
        Kind::Word(&["clamd", "builtin"], &["command", "icap"]),
        "",
        "\"clamd\" speaks to ClamAV's daemon; \"builtin\" is the signatures in filters/virus/.",
    ),
    key(
        "scanner.*.address",
        Kind::ScannerAddress,
        r#""auto""#,
        "\"unix:/run/clamav/clamd.ctl\", \"tcp://10.0.0.5:3310\", \"off\"; auto = look for it, and handle mail without it, marked as not scanned, until it was seen.",
    ),
    key(
        "scanner.*.timeout",
        Kind::Time(Duration::from_millis(100), HOUR),
        r#""30s""#,
        "For one request; keep it below limits.deadline.",
    ),
    key(
        "scanner.*.max_size",
        OCTETS,
        r#""25MB""#,
        "Larger streams are not sent and count as not scanned; raise it together with StreamMaxLength in clamd.conf.",
    ),
    key(
        "scanner.*.on_error",
        Kind::Word(&["tempfail", "pass"], &[]),
        r#""tempfail""#,
        "When it gives no answer: the mail waits (451), or goes on marked as not scanned (\"pass\").",
    ),
    key(
        "policy.*.extends",
        Kind::Line,
        r#""""#,
        "Another policy; everything not said here comes from there, but for recipients.",
    ),
    key(
        "policy.*.recipients",
        Kind::Recipients,
        "[]",
        "\"user@example.org\", \"user@\", \"example.org\" or \".example.org\"; the most specific pattern of all policies wins. Empty: only where a listener names it.",
    ),
    key(
        "policy.*.virus",
        Kind::Action,
        r#""quarantine""#,
        "pass, tag, quarantine, reject, discard or defer. Before the queue a quarantine of it is a refusal with a copy.",
    ),
    key(
        "policy.*.banned",
        Kind::Action,
        r#""quarantine""#,
        "Attachments, headers and body lines that a rule refuses.",
    ),
    key(
        "policy.*.ambiguous",
        Kind::Action,
        r#""quarantine""#,
        "Two mail readers could see two different messages; the classic way past filters.",
    ),
    key(
        "policy.*.incomplete",
        Kind::Action,
        r#""quarantine""#,
        "A required check gave no answer, time after time.",
    ),
    key(
        "policy.*.encrypted",
        Kind::Action,
        r#""tag""#,
        "Something in it needs a password, so nobody could look; \"quarantine\" where nobody sends such.",
    ),
    key(
        "policy.*.over_limits",
        Kind::Action,
        r#""quarantine""#,
        "Larger, deeper or more than the limits allow to look at.",
    ),
    key(
        "policy.*.malformed",
        Kind::Action,
        r#""tag""#,
        "Broken, but readable in one way only; old programs send such.",
    ),
    key("policy.*.denied", Kind::Action, r#""quarantine""#, "The sender is on a deny list."),
    key(
        "policy.*.subject_prefix",
        Kind::Line,
        r#""""#,
        "Put before the Subject of tagged mail, for example \"[SPAM] \"; empty never touches it and keeps signatures valid.",
    ),
    key(
        "policy.*.spam.tag_at",
        Kind::Threshold(true),
        "5.0",
        "From so many points on, X-Spam headers say so; or \"never\".",
    ),
    key(
        "policy.*.spam.quarantine_at",
        Kind::Threshold(false),
        "8.0",
        "From so many points on, the mail is kept; or \"never\". Raise it if good mail is held.",
    ),
    key(
        "policy.*.spam.reject_at",
        Kind::Threshold(false),
        "20.0",
        "From so many points on, the mail is refused; or \"never\". Before the queue only: nobody is ever bounced.",
    ),
    key(
        "policy.*.attachments.rules",
        Kind::Rules,
        r#"["default"]"#,
        "Names of rule sets, and rules { match = \"name:*.iso\", action = \"quarantine\", reply = \"…\" }; the first that fits wins. Short: attachments = [\"default\"].",
    ),
    key(
        "spam.rules",
        Kind::Paths,
        "[]",
        "Files and folders of SpamAssassin rules, beside the shipped ones.",
    ),
    key("spam.bayes", Kind::Word(&["off"], &["on"]), r#""off""#, "Learned mail; not built yet."),
    key("spam.engines", Kind::Nothing, "[]", "Other spam engines; not built yet."),
    key(
        "spam.points.*",
        Kind::Points,
        "",
        "Points of a single rule in place of its own, for example SUBJECT_SHOUTS = 0.5; 0 switches it off.",
    ),
    key(
        "dns.resolvers",
        Kind::Resolvers,
        r#""system""#,
        "Or a list, [\"127.0.0.1:53\"]; blocklists refuse large public resolvers. No check uses DNS yet.",
    ),
    key(
        "dns.timeout",
        Kind::Time(Duration::from_millis(100), Duration::from_secs(60)),
        r#""2s""#,
        "For one question; an answer that comes later counts as not run.",
    ),
    key(
        "dns.blocklists",
        Kind::Domains,
        "[]",
        "Zones to ask about clients; check the list's terms first. Not asked yet.",
    ),
    key(
        "tables.header_checks",
        Kind::Paths,
        "[]",
        "Postfix header_checks(5) tables for the top header, read as they are.",
    ),
    key(
        "tables.mime_header_checks",
        Kind::PathsOrSame,
        r#""$header_checks""#,
        "For MIME headers; as header_checks unless said otherwise, as in Postfix.",
    ),
    key(
        "tables.nested_header_checks",
        Kind::PathsOrSame,
        r#""$header_checks""#,
        "For headers of attached messages; as header_checks unless said otherwise, as in Postfix.",
    ),
    key("tables.body_checks", Kind::Paths, "[]", "For body lines."),
    key(
        "tables.allow",
        Kind::Paths,
        "[]",
        "Lists of senders whose mail gets no spam verdict; lines: pattern [scope=…] [until=2027-01-31] [# note].",
    ),
    key(
        "tables.deny",
        Kind::Paths,
        "[]",
        "Lists of senders whose mail is denied; lines as in allow.",
    ),
    key(
        "tables.site_filters",
        Kind::Path,
        r#""/etc/tamis/filters""#,
        "Folder of this site's own filters, read if it exists: same file name adds, same rule name replaces.",
    ),
    key(
        "quarantine.store",
        Kind::Store,
        r#""STATE/quarantine""#,
        "Folder of kept mails; moves with state_dir unless set.",
    ),
    key(
        "quarantine.max_size",
        OCTETS,
        r#""2GB""#,
        "All kept messages together; beyond it the oldest go first.",
    ),
    key(
        "quarantine.min_free",
        Kind::Size(0, 1 << 50),
        r#""100MB""#,
        "With less space on the disk nothing is stored, and mail that needs it waits (452).",
    ),
    key(
        "quarantine.release_to",
        Kind::NextHop,
        r#""smtp://127.0.0.1:10026""#,
        "Where released mail goes; never a listener of ours, or it is filtered again.",
    ),
    key(
        "quarantine.keep.spam",
        KEPT,
        r#""14d""#,
        "How long spam is kept; long enough for holidays.",
    ),
    key("quarantine.keep.virus", KEPT, r#""30d""#, "How long mail with viruses is kept."),
    key("quarantine.keep.banned", KEPT, r#""30d""#, "How long mail with banned parts is kept."),
    key("quarantine.keep.other", KEPT, r#""30d""#, "How long everything else is kept."),
    key(
        "quarantine.keep.deleted",
        KEPT,
        r#""24h""#,
        "How long a deleted mail can be brought back.",
    ),
    key(
        "quarantine.keep.metadata",
        KEPT,
        r#""90d""#,
        "How long history without bodies is kept, for reports and explanations.",
    ),
    key(
        "database.url",
        Kind::Database,
        r#""sqlite:STATE/tamis.db""#,
        "The index; moves with state_dir unless set. PostgreSQL is not built in this version.",
    ),
    key(
        "web.listen",
        Kind::Socket,
        r#""127.0.0.1:8025""#,
        "The review page, or \"off\". Not built yet.",
    ),
    key(
        "web.public_url",
        Kind::PublicUrl,
        r#""""#,
        "Address of the page in mails, for example \"https://mail.example.org/quarantine\"; empty: no links.",
    ),
    key(
        "metrics.listen",
        Kind::Socket,
        r#""127.0.0.1:9825""#,
        "Where /metrics, /livez and /readyz answer, or \"off\".",
    ),
    key(
        "log.target",
        Kind::LogTarget,
        r#""stderr""#,
        "\"journal\" (the same under systemd), \"syslog\" (facility mail), or \"file:/var/log/tamis/tamis.log\".",
    ),
    key(
        "log.format",
        Kind::Word(&["text", "json", "amavis"], &[]),
        r#""text""#,
        "\"json\" for log collectors, \"amavis\" for programs that read amavis' lines.",
    ),
    key(
        "log.level",
        Kind::Word(&["error", "warn", "info", "debug", "trace"], &[]),
        r#""info""#,
        "\"debug\" while looking for a fault.",
    ),
    key(
        "log.addresses",
        Kind::Word(&["full", "domain", "hash"], &[]),
        r#""full""#,
        "\"domain\" or \"hash\" where privacy asks for it.",
    ),
    key("log.subject", Kind::Boolean, "false", "Whether subjects are logged; they are content."),
];

/// What the built-in listeners, scanners and policies say beyond the defaults of their kind.
pub(super) const NAMED: &[(&str, &str)] = &[
    ("listener.content_filter.listen", r#""127.0.0.1:10024""#),
    ("listener.content_filter.mode", r#""after-queue""#),
    ("listener.proxy_filter.listen", r#""127.0.0.1:10025""#),
    ("listener.proxy_filter.mode", r#""pre-queue""#),
    ("scanner.builtin.type", r#""builtin""#),
    ("scanner.clamav.type", r#""clamd""#),
    ("policy.inbound.extends", r#""""#),
];

/// Sections whose tables have names, and what such a table is called.
pub(super) const NAMED_SECTIONS: [&str; 3] = ["listener", "scanner", "policy"];

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
            Self::Path => drop(read::path(node, out)),
            Self::Paths => drop(read::list(node, out, read::path)),
            Self::PathsOrSame => drop(read::paths_or_same(node, out)),
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
            Self::Nothing => {
                if !matches!(&node.value, Value::List(items) if items.is_empty()) {
                    out.push(node.origin.error("this is not built yet", "leave it out"));
                }
            }
        }
    }

    /// Lists may be written with commas where TOML is a burden: in the environment and on the command line.
    pub fn is_list(self) -> bool {
        matches!(
            self,
            Self::Paths
                | Self::PathsOrSame
                | Self::Networks
                | Self::Domains
                | Self::Recipients
                | Self::Resolvers
                | Self::Rules
                | Self::Nothing
        )
    }

    /// Values that are no text in TOML.
    pub fn is_bare(self) -> bool {
        matches!(self, Self::Boolean | Self::Count(..) | Self::Threshold(_) | Self::Points)
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
            Self::Path | Self::Store => {
                "path; a relative one is taken from the folder of the file".into()
            }
            Self::Paths => "list of paths".into(),
            Self::PathsOrSame => "list of paths, or \"$header_checks\"".into(),
            Self::Networks => "list of networks".into(),
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
            Self::Nothing => "empty list".into(),
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
