//! `tamis status`.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Answer, Failure, Options, exit, load, print, runtime};
use crate::config::{Address, Mode};
use crate::engines::EngineStatus;
use crate::filters::virus::ScannerState;
use crate::smtp::stream::Stream;

/// How long a peer may take to answer.
const WAIT: Duration = Duration::from_secs(3);

/// Prints what listens, what answers and what is off; exit status 1 if mail would have to wait.
pub fn run(options: &Options) -> Answer {
    let site = load::site_in_brief(options)?;
    let runtime = runtime()?;
    let config = &site.config;
    let mut healthy = true;
    let mut out = String::new();
    let mode = if config.mode == Mode::Enforce { "enforce" } else { "observe" };
    let _ = writeln!(out, "mode: {mode}   host: {}", config.hostname);
    let mut listeners = Vec::new();
    for listener in &config.listeners {
        let up = runtime.block_on(answers(&listener.listen));
        let next = runtime.block_on(answers(&listener.next_hop.address));
        healthy &= up && next;
        let word = |up: bool| if up { "answers" } else { "DOWN" };
        let _ = writeln!(
            out,
            "listener {}: {} {}   next hop {} {}",
            listener.name,
            listener.listen,
            word(up),
            listener.next_hop,
            word(next)
        );
        listeners.push(
            json!({ "name": &*listener.name, "listen": listener.listen.to_string(), "up": up,
            "next_hop": listener.next_hop.to_string(), "next_hop_up": next }),
        );
    }
    runtime.block_on(site.scanners.probe());
    let mut scanners = Vec::new();
    for status in site.scanners.status() {
        healthy &= status.state != ScannerState::Down;
        let state = match status.state {
            ScannerState::NeverSeen => "not found: mail is marked X-Virus-Status: not scanned",
            ScannerState::Up | ScannerState::Down | ScannerState::Off => status.state.as_str(),
        };
        let _ = write!(out, "scanner {}: {} {state}", status.name, status.place);
        for detail in [&status.version, &status.last_error].into_iter().flatten() {
            let _ = write!(out, " ({})", super::shown(detail));
        }
        out.push('\n');
        scanners.push(
            json!({ "name": status.name, "place": status.place, "state": status.state.as_str(),
            "version": status.version, "last_error": status.last_error }),
        );
    }
    runtime.block_on(site.engines.probe());
    let engines = site.engines.status();
    healthy &= !engines.iter().any(EngineStatus::holds_mail);
    out.push_str(&engines.iter().map(engine_line).collect::<String>());
    if config.dns.blocklists.is_empty() {
        out.push_str("off: DNS blocklists (dns.blocklists is empty)\n");
    }
    if !crate::outside::Outside::authenticates(config) {
        out.push_str("off: SPF, DKIM, DMARC, ARC (auth.check)\n");
    }
    if !config.spam.bayes {
        out.push_str("off: learned mail (spam.bayes)\n");
    }
    out.push_str("not part of this version: review page\n");
    let _ = writeln!(out, "storage: local, quarantine in {}", config.quarantine.store.display());
    if options.json {
        let value = json!({ "healthy": healthy, "mode": mode, "listeners": listeners, "scanners": scanners,
            "engines": engines.iter().map(engine).collect::<Vec<_>>(), "not_built": ["web"],
            "quarantine": config.quarantine.store });
        print(&format!("{value}\n"))?;
    } else {
        print(&out)?;
    }
    if healthy { Ok(()) } else { Err(Failure::new(exit::NEGATIVE, "")) }
}

fn engine_line(status: &EngineStatus) -> String {
    let required = if status.required { ", required" } else { "" };
    let error = status.last_error.as_deref().map(|error| format!(" ({})", super::shown(error)));
    let (name, place, state) = (&status.name, &status.place, status.state.as_str());
    format!("engine {name}: {place} {state}{required}{}\n", error.unwrap_or_default())
}

fn engine(status: &EngineStatus) -> Value {
    json!({ "name": status.name, "place": status.place, "state": status.state.as_str(),
        "required": status.required, "last_error": status.last_error })
}

async fn answers(address: &Address) -> bool {
    matches!(tokio::time::timeout(WAIT, Stream::connect(address)).await, Ok(Ok(_)))
}
