//! What fits each key, but not together.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::file::{Origin, Table, Value, find};
use super::policies::known;
use super::{Address, Config, Listener, ListenerMode, LogTarget, NextHop, Policy};
use crate::filters::Mistake;
use crate::plain_file;
use crate::verdict::Action;

/// Postfix' own limit before the queue, if main.cf does not say otherwise.
const PROXY_TIMEOUT: Duration = Duration::from_secs(100);

/// Says every clash.
pub(super) fn check(config: &Config, tree: &Table, found: &mut Vec<Mistake>) {
    addresses(config, tree, found);
    next_hops(config, tree, found);
    listeners(config, tree, found);
    recipients(config, tree, found);
    super::engines::check(config, tree, found);
    files(config, tree, found);
    for policy in config.policies.values() {
        thresholds(config, policy, tree, found);
        actions(policy, tree, found);
    }
    if config.local_domains.is_empty() {
        let origin = origin(tree, "local_domains");
        let hint = "write local_domains = [\"example.org\"]";
        found.push(origin.warning("local_domains is empty: every recipient counts as ours", hint));
    }
    found.sort_by_key(|mistake| (mistake.what.clone(), mistake.line));
    found.dedup();
}

/// Files that we write. To open a pipe or a device that stands there would stop the mail.
fn files(config: &Config, tree: &Table, found: &mut Vec<Mistake>) {
    let log = match &config.log.target {
        LogTarget::File(path) => Some(path),
        LogTarget::Stderr | LogTarget::Syslog => None,
    };
    let written = [
        ("log.target", log),
        ("database.url", Some(&config.database)),
        ("spam.learned", Some(&config.spam.learned)),
    ];
    for (key, path) in written {
        let Some(path) = path else { continue };
        let wrong = match plain_file::check(path) {
            Err(error) => error.to_string(),
            Ok(()) if path.is_dir() => "it is a folder, not a file".to_owned(),
            Ok(()) => continue,
        };
        let what = format!("{key} is {}, and {wrong}", path.display());
        found.push(origin(tree, key).error(what, "move it away, or name another file"));
    }
}

pub(super) fn origin(tree: &Table, path: &str) -> Origin {
    find(tree, path).map_or(Origin::Default, |node| node.origin.clone())
}

/// Of two places that clash, the one that somebody wrote.
fn written(tree: &Table, first: &str, second: &str) -> Origin {
    let place = origin(tree, first);
    if place == Origin::Default { origin(tree, second) } else { place }
}

/// Every address we listen on, with its key.
fn listening(config: &Config) -> Vec<(String, Address)> {
    let listeners = config.listeners.iter();
    let mut all: Vec<(String, Address)> = listeners
        .map(|listener| (format!("listener.{}.listen", listener.name), listener.listen.clone()))
        .collect();
    for (key, listen) in [("web.listen", config.web.listen), ("metrics.listen", config.metrics)] {
        all.extend(listen.map(|address| (key.to_owned(), Address::Tcp(address.to_string()))));
    }
    all
}

fn addresses(config: &Config, tree: &Table, found: &mut Vec<Mistake>) {
    let all = listening(config);
    for (at, (second, address)) in all.iter().enumerate() {
        for (first, other) in all.iter().take(at) {
            if meets(address, other) {
                let what = format!("{first} and {second} are the same address, {address}");
                let hint = format!("change one of them, or write {second} = \"off\"");
                found.push(written(tree, second, first).error(what, hint));
            }
        }
    }
}

/// Whether mail sent to `to` arrives at `listen`.
fn meets(to: &Address, listen: &Address) -> bool {
    let (to, listen) = match (to, listen) {
        (Address::Unix(to), Address::Unix(listen)) => return to == listen,
        (Address::Tcp(to), Address::Tcp(listen)) => (to, listen),
        (Address::Unix(_), Address::Tcp(_)) | (Address::Tcp(_), Address::Unix(_)) => return false,
    };
    let Ok(listen) = listen.parse::<SocketAddr>() else { return false };
    let Some((to, port)) = to.rsplit_once(':') else { return false };
    // Port 0 is another one each time.
    if port.parse() != Ok(listen.port()) || listen.port() == 0 {
        return false;
    }
    if to.eq_ignore_ascii_case("localhost") {
        return listen.ip().is_loopback() || listen.ip().is_unspecified();
    }
    let Ok(to) = to.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() else {
        return false;
    };
    let local = |ip: IpAddr| ip.is_loopback() || ip.is_unspecified();
    to == listen.ip()
        || (listen.ip().is_unspecified() && local(to))
        || (to.is_unspecified() && local(listen.ip()))
}

fn next_hops(config: &Config, tree: &Table, found: &mut Vec<Mistake>) {
    let of_listener = |listener: &Listener| {
        (format!("listener.{}.next_hop", listener.name), listener.next_hop.clone())
    };
    let mut all: Vec<(String, NextHop)> = config.listeners.iter().map(of_listener).collect();
    all.push(("quarantine.release_to".to_owned(), config.quarantine.release_to.clone()));
    for (key, hop) in all {
        for (listen, address) in listening(config) {
            if meets(&hop.address, &address) {
                let what = format!("{key} is {listen}, our own: mail would go round in a circle");
                let hint = format!("name Postfix' address, or write {listen} = \"off\"");
                found.push(written(tree, &key, &listen).error(what, hint));
            }
        }
    }
}

fn listeners(config: &Config, tree: &Table, found: &mut Vec<Mistake>) {
    if config.listeners.is_empty() {
        found.push(origin(tree, "listener.content_filter.listen").warning("no listener is on", ""));
    }
    for listener in &config.listeners {
        if !config.policies.contains_key(listener.policy.as_ref()) {
            let origin = origin(tree, &format!("listener.{}.policy", listener.name));
            let what = format!("there is no policy `{}`", listener.policy);
            found.push(origin.error(what, known(&listener.policy, config.policies.keys())));
        }
    }
    let waits = config.listeners.iter().find(|listener| listener.mode == ListenerMode::PreQueue);
    if let Some(listener) = waits
        && config.limits.deadline >= PROXY_TIMEOUT
    {
        let what = format!(
            "limits.deadline is not below Postfix' smtpd_proxy_timeout (100s), which listener {} must keep",
            listener.name
        );
        let hint = "write \"90s\", or raise smtpd_proxy_timeout in main.cf above it";
        found.push(origin(tree, "limits.deadline").warning(what, hint));
    }
}

fn recipients(config: &Config, tree: &Table, found: &mut Vec<Mistake>) {
    let mut claimed = std::collections::BTreeMap::new();
    for policy in config.policies.values() {
        for pattern in &policy.recipients {
            if let Some(other) = claimed.insert(pattern.as_str(), &policy.name)
                && *other != policy.name
            {
                let origin = origin(tree, &format!("policy.{}.recipients", policy.name));
                let what = format!("{} and {other} both claim \"{pattern}\"", policy.name);
                found.push(origin.error(what, "leave it to one of them"));
            }
        }
    }
}

fn thresholds(config: &Config, policy: &Policy, tree: &Table, found: &mut Vec<Mistake>) {
    let path = |key: &str| format!("policy.{}.spam.{key}", policy.name);
    if let (Some(tag), Some(quarantine)) = (policy.spam.tag_at, policy.spam.quarantine_at)
        && tag > quarantine
    {
        let what =
            format!("tag_at {tag} is above quarantine_at {quarantine}: nothing is ever tagged");
        let origin = written(tree, &path("tag_at"), &path("quarantine_at"));
        found.push(origin.warning(what, "write a lower tag_at, or \"never\""));
    }
    let origin = origin(tree, &path("reject_at"));
    let uses =
        |listener: &&Listener| !policy.recipients.is_empty() || listener.policy == policy.name;
    let mut listeners = config.listeners.iter().filter(uses).peekable();
    if policy.spam.reject_at.is_some()
        && origin != Origin::Default
        && listeners.peek().is_some()
        && listeners.all(|listener| listener.mode == ListenerMode::AfterQueue)
    {
        let what = "reject_at has no effect: only listeners after the queue use this policy";
        found.push(origin.warning(what, "refuse spam before the queue, or write \"never\""));
    }
}

fn actions(policy: &Policy, tree: &Table, found: &mut Vec<Mistake>) {
    let Some(Value::Table(keys)) =
        find(tree, &format!("policy.{}", policy.name)).map(|node| &node.value)
    else {
        return;
    };
    for (key, entry) in keys {
        if key != "incomplete"
            && matches!(&entry.node.value, Value::Text(word) if word == Action::Defer.as_str())
            && super::schema::exact(&format!("policy.*.{key}"))
                .is_some_and(|key| matches!(key.kind, super::schema::Kind::Action))
        {
            let what =
                format!("`{key}` = \"defer\": the mail is the same each time it is tried again");
            found.push(entry.node.origin.warning(what, "write \"quarantine\" or \"reject\""));
        }
    }
}
