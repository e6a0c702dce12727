//! The effective tree (defaults and `extends` worked in) and the configuration made of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::address::{self, ScannerAddress};
use super::cross;
use super::file::{Entry, Node, Origin, Table, Value, find, parse_value, set};
use super::read::{self, Mistakes};
use super::schema::{KEYS, NAMED, NAMED_SECTIONS, default_at};
use super::{
    Auth, AuthCheck, Config, Dns, Limits, Listener, ListenerMode, ListenerProtocol, Log,
    LogAddresses, LogFormat, Mode, OnError, Quarantine, Scanner, ScannerKind, Spam, Tables, Web,
    blocklists, engines, policies,
};
use crate::filters::Mistake;
use crate::filters::dnsbl::Blocklists;

/// Everything that can be said after the layers were merged. `readable`: no layer had an error; with one, a missing key
/// or a clash may only follow from it, and is not named.
pub(super) fn build(
    mut tree: Table,
    readable: bool,
    found: &mut Vec<Mistake>,
) -> (Table, Option<Config>) {
    policies::extend(&mut tree, found);
    complete(&mut tree);
    if !readable {
        return (tree, None);
    }
    missing(&tree, found);
    let config = config(&tree);
    if let Some(config) = &config {
        cross::check(config, &tree, found);
        let hostname = Value::Text(config.hostname.clone());
        if let Some(entry) = tree.get_mut("hostname") {
            entry.node.value = hostname;
        }
    } else if found.is_empty() {
        found.push(Origin::Default.error("the configuration cannot be read", ""));
    }
    (tree, config)
}

/// Fills in what nobody said.
fn complete(tree: &mut Table) {
    for (path, _) in NAMED {
        fill(tree, path);
    }
    for key in KEYS {
        match key.path.split_once(".*.") {
            Some((section, rest)) => {
                for name in names(tree, section) {
                    fill(tree, &format!("{section}.{name}.{rest}"));
                }
            }
            None => fill(tree, key.path),
        }
    }
}

fn fill(tree: &mut Table, path: &str) {
    if find(tree, path).is_some() {
        return;
    }
    let Some(default) = default_at(path) else { return };
    let state = find(tree, "state_dir").and_then(|node| read::path(node, &mut Vec::new()));
    let state = state.unwrap_or_else(|| PathBuf::from("/var/lib/tamis"));
    let Some(mut node) = parse_value(default, &Origin::Default) else { return };
    if let Value::Text(text) = &mut node.value
        && text.contains("STATE/")
    {
        *text = text.replace("STATE/", &format!("{}/", state.display()));
    }
    set(tree, &path.split('.').collect::<Vec<_>>(), node);
}

/// Names of the tables of a section.
pub(super) fn names(tree: &Table, section: &str) -> Vec<String> {
    match find(tree, section).map(|node| &node.value) {
        Some(Value::Table(table)) => table.keys().cloned().collect(),
        _ => Vec::new(),
    }
}

/// Keys without a default that a table of the writer's own must have.
fn missing(tree: &Table, found: &mut Vec<Mistake>) {
    for section in NAMED_SECTIONS {
        let Some(Value::Table(tables)) = find(tree, section).map(|node| &node.value) else {
            continue;
        };
        for (name, Entry { key, .. }) in tables {
            for (wanted, example) in match section {
                "listener" => &[("listen", "127.0.0.1:10027"), ("mode", "after-queue")][..],
                "scanner" => &[("type", "clamd")][..],
                "engine" => &[("type", "spamd"), ("address", "tcp://127.0.0.1:783")][..],
                _ => &[][..],
            } {
                if find(tree, &format!("{section}.{name}.{wanted}")).is_none() {
                    let what = format!("[{section}.{name}] has no `{wanted}`");
                    found.push(
                        key.error(what, format!("write for example {wanted} = \"{example}\"")),
                    );
                }
            }
        }
    }
}

/// The value at a path, if it is right; mistakes in it were named when its layer was checked.
pub(super) fn get<T>(
    tree: &Table,
    path: &str,
    read: impl Fn(&Node, &mut Mistakes) -> Option<T>,
) -> Option<T> {
    read(find(tree, path)?, &mut Vec::new())
}

pub(super) fn word<T: Copy>(tree: &Table, path: &str, words: &[(&str, T)]) -> Option<T> {
    let Value::Text(text) = &find(tree, path)?.value else { return None };
    words.iter().find(|(word, _)| word == text).map(|(_, value)| *value)
}

pub(super) fn time(tree: &Table, path: &str) -> Option<Duration> {
    get(tree, path, |node, out| read::duration(node, out, Duration::ZERO, Duration::MAX))
}

pub(super) fn size(tree: &Table, path: &str) -> Option<u64> {
    get(tree, path, |node, out| read::size(node, out, 0, u64::MAX))
}

fn count(tree: &Table, path: &str) -> Option<usize> {
    get(tree, path, |node, out| read::small_count(node, out, 0, u64::MAX))
}

pub(super) fn line(tree: &Table, path: &str) -> Option<String> {
    get(tree, path, read::line)
}

fn paths(tree: &Table, path: &str) -> Option<Vec<PathBuf>> {
    get(tree, path, |node, out| read::list(node, out, read::path))
}

const AUTH_CHECKS: [(&str, AuthCheck); 3] =
    [("auto", AuthCheck::Auto), ("on", AuthCheck::On), ("off", AuthCheck::Off)];

fn config(tree: &Table) -> Option<Config> {
    Some(Config {
        mode: word(tree, "mode", &[("enforce", Mode::Enforce), ("observe", Mode::Observe)])?,
        hostname: match line(tree, "hostname")?.as_str() {
            "auto" | "" => super::system_hostname(),
            name => name.to_owned(),
        },
        state_dir: get(tree, "state_dir", read::path)?,
        local_domains: get(tree, "local_domains", |n, out| read::list(n, out, read::domain))?,
        internal_networks: get(tree, "internal_networks", |n, out| {
            read::list(n, out, read::network)
        })?,
        limits: limits(tree)?,
        listeners: each(tree, "listener", listener)?,
        scanners: each(tree, "scanner", scanner)?,
        engines: each(tree, "engine", engines::engine)?,
        policies: policies::policies(tree)?,
        spam: spam(tree)?,
        dns: Dns {
            resolvers: get(tree, "dns.resolvers", read::resolvers)?,
            timeout: time(tree, "dns.timeout")?,
            blocklists: Blocklists(get(tree, "dns.blocklists", blocklists::blocklists)?),
            rule_lists: get(tree, "dns.rule_lists", read::boolean)?,
        },
        auth: Auth {
            check: word(tree, "auth.check", &AUTH_CHECKS)?,
            results: get(tree, "auth.results", read::boolean)?,
            trusted_sealers: get(tree, "auth.trusted_sealers", |n, out| {
                read::list(n, out, read::domain)
            })?,
        },
        tables: tables(tree)?,
        quarantine: quarantine(tree)?,
        database: get(tree, "database.url", address::database)?,
        web: Web {
            listen: get(tree, "web.listen", read::socket)?,
            public_url: get(tree, "web.public_url", address::public_url)?,
        },
        metrics: get(tree, "metrics.listen", read::socket)?,
        log: log(tree)?,
    })
}

/// What is on of a section, in the order of the names.
fn each<T>(
    tree: &Table,
    section: &str,
    one: impl Fn(&Table, &str) -> Option<Option<T>>,
) -> Option<Vec<T>> {
    let all: Option<Vec<Option<T>>> =
        names(tree, section).iter().map(|name| one(tree, name)).collect();
    Some(all?.into_iter().flatten().collect())
}

fn limits(tree: &Table) -> Option<Limits> {
    Some(Limits {
        concurrency: count(tree, "limits.concurrency")?,
        connections: count(tree, "limits.connections")?,
        deadline: time(tree, "limits.deadline")?,
        idle: time(tree, "limits.idle")?,
        message_bytes_max: size(tree, "limits.message_size")?,
        recipients_max: count(tree, "limits.recipients")?,
        archive_depth_max: count(tree, "limits.archive.depth")?,
        archive_files_max: count(tree, "limits.archive.files")?,
        archive_expanded_bytes_max: size(tree, "limits.archive.expanded")?,
        archive_ratio_max: get(tree, "limits.archive.ratio", |n, out| {
            read::count(n, out, 0, u64::MAX)
        })?,
        passwords: get(tree, "decode.passwords", |n, out| read::list(n, out, read::line))?.into(),
    })
}

fn listener(tree: &Table, name: &str) -> Option<Option<Listener>> {
    let path = |key: &str| format!("listener.{name}.{key}");
    let networks =
        |key: &str| get(tree, &path(key), |node, out| read::list(node, out, read::network));
    let Some(listen) = get(tree, &path("listen"), address::listen)? else { return Some(None) };
    let modes = [("after-queue", ListenerMode::AfterQueue), ("pre-queue", ListenerMode::PreQueue)];
    let protocols = [("smtp", ListenerProtocol::Smtp), ("lmtp", ListenerProtocol::Lmtp)];
    Some(Some(Listener {
        name: name.into(),
        listen,
        mode: word(tree, &path("mode"), &modes)?,
        protocol: word(tree, &path("protocol"), &protocols)?,
        policy: line(tree, &path("policy"))?.into(),
        trust_xforward: networks("trust_xforward")?,
        allow: networks("allow")?,
        next_hop: get(tree, &path("next_hop"), address::next_hop)?,
        hide: get(tree, &path("hide"), |node, out| read::list(node, out, read::keyword))?,
        strict_addresses: get(tree, &path("strict_addresses"), read::boolean)?,
        terminate_success: get(tree, &path("terminate_success"), read::boolean)?,
        received: get(tree, &path("received"), read::boolean)?,
    }))
}

fn scanner(tree: &Table, name: &str) -> Option<Option<Scanner>> {
    let path = |key: &str| format!("scanner.{name}.{key}");
    let clamd = word(tree, &path("type"), &[("clamd", true), ("builtin", false)])?;
    let kind = match get(tree, &path("address"), address::scanner)? {
        ScannerAddress::Off => return Some(None),
        _ if !clamd => ScannerKind::Builtin,
        ScannerAddress::Auto => ScannerKind::Clamd(None),
        ScannerAddress::At(address) => ScannerKind::Clamd(Some(address)),
    };
    let on_error = [("tempfail", OnError::TempFail), ("pass", OnError::Pass)];
    Some(Some(Scanner {
        name: Arc::from(name),
        kind,
        timeout: time(tree, &path("timeout"))?,
        max_size_bytes: size(tree, &path("max_size"))?,
        on_error: word(tree, &path("on_error"), &on_error)?,
    }))
}

fn spam(tree: &Table) -> Option<Spam> {
    let rules = paths(tree, "spam.rules")?;
    let points: Option<_> = names(tree, "spam.points")
        .into_iter()
        .map(|name| Some((name.clone(), get(tree, &format!("spam.points.{name}"), read::points)?)))
        .collect();
    let yes = |key: &str| get(tree, key, read::boolean);
    let score = |key: &str| get(tree, key, read::points);
    Some(Spam {
        shipped: yes("spam.shipped")?,
        captures: yes("spam.captures")?,
        rules,
        points: points?,
        bayes: word(tree, "spam.bayes", &[("on", true), ("off", false)])?,
        bayes_per_user: yes("spam.bayes_per_user")?,
        bayes_words_max: get(tree, "spam.bayes_words", |n, out| read::count(n, out, 0, u64::MAX))?,
        autolearn: yes("spam.autolearn")?,
        autolearn_ham_below: score("spam.autolearn_ham_below")?,
        autolearn_spam_from: score("spam.autolearn_spam_from")?,
        correspondents: yes("spam.correspondents")?,
        reputation: yes("spam.reputation")?,
        learned: get(tree, "spam.learned", read::path)?,
    })
}

fn tables(tree: &Table) -> Option<Tables> {
    Some(Tables {
        header_checks: paths(tree, "tables.header_checks")?,
        mime_header_checks: get(tree, "tables.mime_header_checks", read::paths_or_same)?,
        nested_header_checks: get(tree, "tables.nested_header_checks", read::paths_or_same)?,
        body_checks: paths(tree, "tables.body_checks")?,
        date_age_max: time(tree, "tables.date_max_age")?,
        date_ahead_max: time(tree, "tables.date_max_ahead")?,
        date_action: line(tree, "tables.date_action")?,
        allow: paths(tree, "tables.allow")?,
        deny: paths(tree, "tables.deny")?,
        site_filters: get(tree, "tables.site_filters", read::path)?,
    })
}

fn quarantine(tree: &Table) -> Option<Quarantine> {
    let keep: Option<_> = ["spam", "virus", "banned", "other", "deleted", "metadata"]
        .into_iter()
        .map(|class| Some((class.to_owned(), time(tree, &format!("quarantine.keep.{class}"))?)))
        .collect();
    Some(Quarantine {
        store: get(tree, "quarantine.store", address::store)?,
        keep: keep?,
        max_bytes: size(tree, "quarantine.max_size")?,
        min_free_bytes: size(tree, "quarantine.min_free")?,
        release_to: get(tree, "quarantine.release_to", address::next_hop)?,
    })
}

fn log(tree: &Table) -> Option<Log> {
    let formats =
        [("text", LogFormat::Text), ("json", LogFormat::Json), ("amavis", LogFormat::Amavis)];
    let addresses = [
        ("full", LogAddresses::Full),
        ("domain", LogAddresses::Domain),
        ("hash", LogAddresses::Hash),
    ];
    Some(Log {
        target: get(tree, "log.target", address::log_target)?,
        format: word(tree, "log.format", &formats)?,
        level: line(tree, "log.level")?,
        addresses: word(tree, "log.addresses", &addresses)?,
        subject: get(tree, "log.subject", read::boolean)?,
    })
}
