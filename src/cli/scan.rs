//! `tamis scan`: decides as if a message came in, and explains.

use std::fmt::Write as _;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use serde_json::Value;
use tokio::sync::Semaphore;

use super::{Answer, Failure, Options, exit, load, print, runtime, shown};
use crate::config::Listener;
use crate::delivery::Memory;
use crate::examine::{Question, examine};
use crate::filters::{Known, Mail};
use crate::mail::{Client, Envelope, Message, Path, Recipient};
use crate::plain_file;
use crate::site::Site;
use crate::smtp::body;

/// Options of `scan`.
#[derive(Debug, Args)]
pub struct ScanOptions {
    /// Address of the client
    #[arg(long, value_name = "IP")]
    client: Option<IpAddr>,
    /// What the client says in HELO
    #[arg(long, value_name = "NAME")]
    helo: Option<String>,
    /// Envelope sender; "" for a bounce. If not given, rules guess it from the header
    #[arg(long, value_name = "ADDRESS")]
    from: Option<String>,
    /// Envelope recipient; may be given several times
    #[arg(long, value_name = "ADDRESS")]
    rcpt: Vec<String>,
    /// The listener to decide as; the first one if not given
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// Exit status 1 if a message would not be delivered
    #[arg(long)]
    exit_code: bool,
    /// Shows the tree of parts
    #[arg(long)]
    parts: bool,
    /// Lists every rule that hits in `sub_rules`, those without points too (only with --json)
    #[arg(long)]
    sub_rules: bool,
    /// Messages; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Decides about each file in turn.
pub fn run(options: &Options, scan: &ScanOptions) -> Answer {
    let site = Arc::new(load::site_in_brief(options)?);
    let listener = listener(&site, scan.listener.as_deref())?;
    let runtime = runtime()?;
    let memory = Memory::default();
    let slots = Semaphore::new(1);
    let mut negative = false;
    let mut missing = None;
    runtime.block_on(site.scanners.probe());
    for file in &scan.files {
        let octets = match read(file) {
            Ok(octets) => octets,
            Err(failure) => {
                // The others are still looked at.
                eprintln_line(&failure.message);
                missing = Some(failure.status);
                continue;
            }
        };
        let envelope = Arc::new(envelope(scan));
        let question = Question {
            listener: &listener,
            envelope: Arc::clone(&envelope),
            body: body::from_file(&octets),
            peer: IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
            received: Instant::now(),
            slots: &slots,
            memory: &memory,
        };
        let began = Instant::now();
        let examined = runtime.block_on(examine(&site, question)).map_err(|reply| {
            Failure::new(exit::TEMPORARY, format!("{}: {reply}", file.display()))
        })?;
        let mut facts = examined.facts;
        if let Some(object) = facts.as_object_mut() {
            object.insert("file".to_owned(), file.display().to_string().into());
            if let Some(timing) = object.get_mut("timing_ms").and_then(Value::as_object_mut) {
                let total = (began.elapsed().as_secs_f64() * 1e6).round() / 1000.0;
                timing.insert("total".to_owned(), total.into());
            }
        }
        if let Some(object) = facts.as_object_mut().filter(|_| scan.sub_rules) {
            let every = sub_rules(&site, &envelope, &examined.report.message);
            object.insert("sub_rules".to_owned(), every);
        }
        let action = facts.get("action").and_then(Value::as_str).unwrap_or_default();
        negative |= !matches!(action, "pass" | "tag");
        if options.json {
            print(&format!("{facts}\n"))?;
        } else {
            let mut out = text(&facts, &file.display().to_string());
            if scan.parts {
                out.push_str(&tree(&facts));
            }
            print(&out)?;
        }
    }
    match missing {
        Some(status) => Err(Failure::new(status, "")),
        None if scan.exit_code && negative => Err(Failure::new(exit::NEGATIVE, "")),
        None => Ok(()),
    }
}

/// Every rule that hits, with the number of its hits.
fn sub_rules(site: &Site, envelope: &Envelope, message: &Message) -> Value {
    let mail = Mail {
        envelope,
        message,
        internal: false,
        received: jiff::Timestamp::now(),
        known: Known::NOTHING,
    };
    let hits = site.engine.every_hit(&mail).into_iter();
    Value::Object(hits.map(|(name, count)| (name.to_string(), count.into())).collect())
}

fn eprintln_line(text: &str) {
    let mut err = std::io::stderr().lock();
    let _ = std::io::Write::write_all(&mut err, format!("{text}\n").as_bytes());
}

fn listener(site: &Site, name: Option<&str>) -> Result<Listener, Failure> {
    let listeners = &site.config.listeners;
    let found = match name {
        Some(name) => listeners.iter().find(|listener| *listener.name == *name),
        None => listeners.first(),
    };
    found.cloned().ok_or_else(|| {
        let known: Vec<&str> = listeners.iter().map(|listener| &*listener.name).collect();
        Failure::new(exit::USAGE, format!("no such listener; there are: {}", known.join(", ")))
    })
}

fn read(file: &std::path::Path) -> Result<Vec<u8>, Failure> {
    let mut octets = Vec::new();
    let read = if file.as_os_str() == "-" {
        std::io::stdin().lock().read_to_end(&mut octets).map(|_| ())
    } else {
        plain_file::read(file).map(|read| octets = read)
    };
    match read {
        Ok(()) => Ok(octets),
        Err(error) => {
            let not_found = error.kind() == std::io::ErrorKind::NotFound;
            let status = if not_found { exit::NOT_FOUND } else { exit::IO };
            let hint = plain_file::hint(&error);
            Err(Failure::new(status, format!("{}: {error}{hint}", file.display())))
        }
    }
}

fn envelope(scan: &ScanOptions) -> Envelope {
    let path = |address: &str| Path {
        argument: format!("<{address}>").into_bytes(),
        address: address.to_owned(),
    };
    let recipients =
        if scan.rcpt.is_empty() { vec!["postmaster".to_owned()] } else { scan.rcpt.clone() };
    Envelope {
        client: Client {
            address: scan.client.map(|one| one.to_canonical()),
            helo: scan.helo.clone(),
            ..Client::default()
        },
        helo: scan.helo.clone().unwrap_or_default(),
        sender: scan.from.as_deref().map(path).unwrap_or_default(),
        recipients: recipients.iter().map(|address| Recipient { path: path(address) }).collect(),
        ..Envelope::default()
    }
}

/// `SPF pass (a.test) · DKIM none · …` on a line of its own; empty if nothing was checked.
fn authentication(facts: &Value) -> String {
    let word = |path: &str| facts.pointer(&format!("/auth/{path}")).and_then(Value::as_str);
    let methods = [
        ("spf", "SPF", "detail/spf/domain"),
        ("dkim", "DKIM", ""),
        ("dmarc", "DMARC", "detail/dmarc/domain"),
        ("arc", "ARC", "detail/arc/sealer"),
    ];
    let found: Vec<String> = methods
        .iter()
        .filter_map(|(method, name, about)| {
            let result = word(method)?;
            let about = word(about).filter(|about| !about.is_empty());
            Some(match about {
                Some(about) => format!("{name} {result} ({})", shown(about)),
                None => format!("{name} {result}"),
            })
        })
        .collect();
    let overridden = word("detail/dmarc/override").map_or_else(String::new, |by| {
        format!(" · that DMARC fails does not count ({})", shown(by))
    });
    if found.is_empty() { String::new() } else { format!("  {}{overridden}\n", found.join(" · ")) }
}

/// A line for each other engine, in its own points, to be held against ours.
fn engines(facts: &Value) -> String {
    let mut out = String::new();
    for engine in list(facts, "engines") {
        let word = |key: &str| shown(engine.get(key).and_then(Value::as_str).unwrap_or_default());
        let number = |value: &Value, key: &str| value.get(key).and_then(Value::as_f64);
        let score = number(engine, "score").unwrap_or_default();
        let _ = write!(out, "  engine {}: {}  score {score}", word("name"), word("verdict"));
        if let Some(required) = number(engine, "required") {
            let _ = write!(out, " of {required}");
        }
        let took = number(engine, "took_ms").unwrap_or_default();
        let _ = write!(out, "  {took} ms ");
        let mut silent = 0_usize;
        for symbol in list(engine, "symbols") {
            let name = symbol.get("name").and_then(Value::as_str).unwrap_or_default();
            match number(symbol, "score").unwrap_or_default() {
                0.0 => silent = silent.saturating_add(1),
                points => drop(write!(out, " {}={points}", shown(name))),
            }
        }
        if silent > 0 {
            let _ = write!(out, " and {silent} without points");
        }
        out.push('\n');
    }
    out
}

/// The explanation for people.
#[must_use]
pub fn text(facts: &Value, name: &str) -> String {
    let string = |key: &str| facts.get(key).and_then(Value::as_str).unwrap_or_default();
    let number = |value: Option<&Value>| value.and_then(Value::as_f64);
    let mut out = format!("{}: {}", shown(name), string("action").to_uppercase());
    let _ = write!(out, "  verdict {}", string("verdict"));
    if let Some(score) = number(facts.get("score")) {
        let _ = write!(out, "  score {score}");
    }
    for (key, word) in [("tag_at", "tag"), ("quarantine_at", "quarantine"), ("reject_at", "reject")]
    {
        if let Some(at) = number(facts.pointer(&format!("/thresholds/{key}"))) {
            let _ = write!(out, "   {word} ≥ {at}");
        }
    }
    out.push('\n');
    for reason in list(facts, "reasons") {
        let _ = writeln!(out, "  {}", shown(reason.as_str().unwrap_or_default()));
    }
    for rule in list(facts, "rules") {
        let word = |key: &str| shown(rule.get(key).and_then(Value::as_str).unwrap_or_default());
        let points = number(rule.get("score")).unwrap_or_default();
        let _ = writeln!(
            out,
            "  {points:+.3} {}  {}  \"{}\"  {}",
            word("name"),
            word("describe"),
            word("evidence"),
            word("source")
        );
    }
    out.push_str(&authentication(facts));
    for scan in list(facts, "scanners") {
        let word = |key: &str| scan.get(key).and_then(Value::as_str).unwrap_or_default();
        let _ = writeln!(out, "  virus scanner {}: {}", word("scanner"), shown(word("answer")));
    }
    out.push_str(&engines(facts));
    let missing: Vec<String> = list(facts, "not_run")
        .iter()
        .map(|missing| {
            let word = |key: &str| missing.get(key).and_then(Value::as_str).unwrap_or_default();
            format!("{} ({})", word("check"), shown(word("why")))
        })
        .collect();
    if !missing.is_empty() {
        let _ = writeln!(out, "  not run: {}", missing.join(", "));
    }
    let _ = writeln!(out, "  reply: {}", shown(string("reply")));
    out
}

/// The parts, each below the one it is in: what it is called, is said to be and is, and what is known of it.
#[must_use]
pub fn tree(facts: &Value) -> String {
    let mut out = String::new();
    let parts = list(facts, "parts");
    for part in parts {
        let word = |key: &str| shown(part.get(key).and_then(Value::as_str).unwrap_or_default());
        let words = |key: &str| {
            let all = list(part, key).iter().filter_map(Value::as_str).map(shown);
            all.collect::<Vec<_>>().join(" ")
        };
        let depth = part.get("depth").and_then(Value::as_u64).unwrap_or_default();
        let size = part.get("size").and_then(Value::as_u64).unwrap_or_default();
        let indent = usize::try_from(depth.min(60)).unwrap_or_default() * 2;
        let _ = write!(out, "  {:indent$}{}", "", word("path"));
        let declared = word("declared_type");
        let real = words("types");
        if !declared.is_empty() {
            let _ = write!(out, "  {declared}");
        }
        if !declared.starts_with("multipart/") {
            let real = if real.is_empty() { "unknown" } else { &real };
            let _ = write!(out, "  is: {real}  {size} octets");
        }
        for name in list(part, "names").iter().filter_map(Value::as_str) {
            let _ = write!(out, "  \"{}\"", shown(name));
        }
        let flags = words("flags");
        if !flags.is_empty() {
            let _ = write!(out, "  [{flags}]");
        }
        out.push('\n');
    }
    if let Some(more) = facts.pointer("/left_off/parts").and_then(Value::as_u64) {
        let _ = writeln!(out, "  … and {more} parts more");
    }
    for defect in list(facts, "defects") {
        let _ = writeln!(out, "  defect {}", shown(defect.as_str().unwrap_or_default()));
    }
    out
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_tree_shows_each_part_below_the_one_it_is_in() {
        let facts = json!({
            "parts": [
                {"path": "0", "depth": 0, "declared_type": "multipart/mixed"},
                {"path": "1", "depth": 1, "declared_type": "text/plain", "types": ["txt"], "size": 5},
                {"path": "1/a.zip", "depth": 2, "types": ["zip"], "names": ["a.zip", "b\u{1b}"],
                 "size": 9, "flags": ["embedded", "encrypted"]},
            ],
            "defects": ["nul in part 1"],
            "left_off": {"parts": 7},
        });
        let want = "  0  multipart/mixed\n    1  text/plain  is: txt  5 octets\n      \
                    1/a.zip  is: zip  9 octets  \"a.zip\"  \"b?\"  [embedded encrypted]\n  \
                    … and 7 parts more\n  defect nul in part 1\n";
        assert_eq!(tree(&facts), want);
    }
}
