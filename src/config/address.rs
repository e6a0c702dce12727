//! Values that name a place in the network or on disk by a scheme: `smtp://…`, `unix:/…`, `sqlite:…`.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::file::Node;
use super::read::{Mistakes, listen_hint, path_of, refuse, text};
use super::{Address, LogTarget, NextHop};

/// What `listen` of a listener says; `None` inside is "off".
pub(super) fn listen(node: &Node, out: &mut Mistakes) -> Option<Option<Address>> {
    let written = text(node, out, "an address to listen on", "127.0.0.1:10024")?;
    if written == "off" {
        return Some(None);
    }
    if let Some(path) = written.strip_prefix("unix:") {
        return unix(node, out, path).map(Some);
    }
    if written.starts_with("systemd:") {
        out.push(node.origin.error("sockets from systemd are not built yet", "write an address"));
        return None;
    }
    match written.parse::<SocketAddr>() {
        Ok(address) => Some(Some(Address::Tcp(address.to_string()))),
        Err(_) => refuse(node, out, "an address to listen on", listen_hint(written)),
    }
}

/// `smtp://host:port`, `lmtp://host:port`, `smtp:unix:/path`, `lmtp:unix:/path`.
pub(super) fn next_hop(node: &Node, out: &mut Mistakes) -> Option<NextHop> {
    let example = "smtp://127.0.0.1:10026";
    let written = text(node, out, "a next hop", example)?;
    let (lmtp, rest) = match (written.strip_prefix("smtp:"), written.strip_prefix("lmtp:")) {
        (Some(rest), _) => (false, rest),
        (None, Some(rest)) => (true, rest),
        (None, None) => {
            let hint = if host_and_port(written).is_some() {
                format!("write \"smtp://{written}\" or \"lmtp://{written}\"")
            } else {
                format!("write for example \"{example}\" or \"lmtp:unix:/run/dovecot/lmtp\"")
            };
            return refuse(node, out, "a next hop", hint);
        }
    };
    if let Some(path) = rest.strip_prefix("unix:") {
        return unix(node, out, path).map(|address| NextHop { lmtp, address });
    }
    match rest.strip_prefix("//").and_then(host_and_port) {
        Some(host) => Some(NextHop { lmtp, address: Address::Tcp(host) }),
        None => refuse(
            node,
            out,
            "a next hop",
            format!("write host and port, for example \"{example}\""),
        ),
    }
}

/// Where clamd is: `auto`, `off` or an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ScannerAddress {
    Auto,
    Off,
    At(Address),
}

pub(super) fn scanner(node: &Node, out: &mut Mistakes) -> Option<ScannerAddress> {
    let written = text(node, out, "the address of a scanner", "unix:/run/clamav/clamd.ctl")?;
    match written {
        "auto" => return Some(ScannerAddress::Auto),
        "off" => return Some(ScannerAddress::Off),
        _ => {}
    }
    if let Some(path) = written.strip_prefix("unix:") {
        return unix(node, out, path).map(ScannerAddress::At);
    }
    match written.strip_prefix("tcp://").and_then(host_and_port) {
        Some(host) => Some(ScannerAddress::At(Address::Tcp(host))),
        None => {
            let hint = if written.starts_with('/') {
                format!("write \"unix:{written}\"")
            } else if host_and_port(written).is_some() {
                format!("write \"tcp://{written}\"")
            } else {
                "write \"auto\", \"off\", \"unix:/run/clamav/clamd.ctl\" or \"tcp://127.0.0.1:3310\"".into()
            };
            refuse(node, out, "the address of a scanner", hint)
        }
    }
}

/// `sqlite:/path`.
pub(super) fn database(node: &Node, out: &mut Mistakes) -> Option<PathBuf> {
    let example = "sqlite:/var/lib/tamis/tamis.db";
    let written = text(node, out, "the address of a database", example)?;
    if let Some(path) = written.strip_prefix("sqlite:") {
        return path_of(node, out, path.strip_prefix("//").unwrap_or(path));
    }
    if written.starts_with("postgresql:") || written.starts_with("postgres:") {
        let hint = format!("write for example \"{example}\"");
        out.push(node.origin.error("PostgreSQL is not built in this version", hint));
        return None;
    }
    refuse(node, out, "the address of a database", format!("write for example \"{example}\""))
}

/// A folder; object storage is kept for later.
pub(super) fn store(node: &Node, out: &mut Mistakes) -> Option<PathBuf> {
    let written = text(node, out, "a folder", "/var/lib/tamis/quarantine")?;
    if written.starts_with("s3:") {
        let hint = "write a folder, for example \"/var/lib/tamis/quarantine\"";
        out.push(node.origin.error("object storage is not built yet", hint));
        return None;
    }
    path_of(node, out, written)
}

/// `journal`, `stderr`, `syslog` or `file:/path`.
pub(super) fn log_target(node: &Node, out: &mut Mistakes) -> Option<LogTarget> {
    let hint = "write \"stderr\", \"journal\", \"syslog\" or \"file:/var/log/tamis/tamis.log\"";
    match text(node, out, "a target of the log", "stderr")? {
        // The journal reads the standard error of services; there is nothing else to open.
        "stderr" | "journal" => Some(LogTarget::Stderr),
        "syslog" => Some(LogTarget::Syslog),
        written => match written.strip_prefix("file:") {
            Some(path) => path_of(node, out, path).map(LogTarget::File),
            None => refuse(node, out, "a target of the log", hint),
        },
    }
}

/// Empty, or an address that a browser takes.
pub(super) fn public_url(node: &Node, out: &mut Mistakes) -> Option<String> {
    let example = "https://mail.example.org/quarantine";
    let written = text(node, out, "the address of a page", example)?;
    let host = written.strip_prefix("https://").or_else(|| written.strip_prefix("http://"));
    let fits = host.is_some_and(|host| !host.is_empty() && !host.contains(char::is_whitespace));
    if written.is_empty() || fits {
        return Some(written.to_owned());
    }
    refuse(
        node,
        out,
        "the address of a page",
        format!("write for example \"{example}\", or \"\" for none"),
    )
}

pub(super) fn unix(node: &Node, out: &mut Mistakes, path: &str) -> Option<Address> {
    path_of(node, out, path).map(Address::Unix)
}

/// `host:port` or `[::1]:port` as the caller wrote it, if it is one.
pub(super) fn host_and_port(text: &str) -> Option<String> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return (address.port() != 0).then(|| address.to_string());
    }
    let (host, port) = text.rsplit_once(':')?;
    let named = !host.is_empty()
        && host.len() <= 255
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
    let port: u16 = port.parse().ok()?;
    (named && port != 0).then(|| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::{Origin, Value};

    fn check<T: std::fmt::Debug>(
        written: &str,
        want: &str,
        read: impl Fn(&Node, &mut Mistakes) -> Option<T>,
    ) {
        let node = Node { value: Value::Text(written.to_owned()), origin: Origin::Default };
        let mut out = Vec::new();
        let got = match read(&node, &mut out) {
            Some(value) => format!("{value:?}"),
            None => {
                out.iter().map(|mistake| format!("{}; {}", mistake.what, mistake.hint)).collect()
            }
        };
        assert!(got.contains(want), "{written}: {got}");
    }

    #[test]
    fn a_listener_listens_on_addresses_not_on_names() {
        check("127.0.0.1:10024", "Tcp(\"127.0.0.1:10024\")", listen);
        check("[::1]:10024", "Tcp(\"[::1]:10024\")", listen);
        check("unix:/run/tamis/in.sock", "Unix(\"/run/tamis/in.sock\")", listen);
        check("off", "None", listen);
        check("localhost:10024", "write \"127.0.0.1:10024\"", listen);
        check("*:10024", "\"0.0.0.0:10024\"", listen);
        check("10025", "\"127.0.0.1:10025\"", listen);
        check("127.0.0.1:99999", "write address and port", listen);
        check("systemd:in", "not built yet", listen);
    }

    #[test]
    fn a_next_hop_says_its_protocol() {
        check("smtp://127.0.0.1:10026", "lmtp: false, address: Tcp(\"127.0.0.1:10026\")", next_hop);
        check("lmtp:unix:/run/dovecot/lmtp", "lmtp: true, address: Unix", next_hop);
        check("lmtp://mail.example.org:24", "Tcp(\"mail.example.org:24\")", next_hop);
        check("127.0.0.1:10026", "write \"smtp://127.0.0.1:10026\"", next_hop);
        check("smtp://127.0.0.1", "write host and port", next_hop);
        check("smtp://127.0.0.1:0", "write host and port", next_hop);
        check("http://x", "is not a next hop", next_hop);
    }

    #[test]
    fn a_scanner_is_looked_for_or_named() {
        check("auto", "Auto", scanner);
        check("unix:/run/clamav/clamd.ctl", "Unix", scanner);
        check("tcp://10.0.0.5:3310", "Tcp(\"10.0.0.5:3310\")", scanner);
        check("/run/clamav/clamd.ctl", "write \"unix:/run/clamav/clamd.ctl\"", scanner);
        check("10.0.0.5:3310", "write \"tcp://10.0.0.5:3310\"", scanner);
    }

    #[test]
    fn what_is_not_built_is_said_so() {
        check("postgresql://tamis@db/tamis", "not built in this version", database);
        check("sqlite:///x/y.db", "\"/x/y.db\"", database);
        check("s3://bucket", "not built yet", store);
        check("file:/var/log/tamis.log", "File(\"/var/log/tamis.log\")", log_target);
        check("example.org", "https://", public_url);
    }
}
