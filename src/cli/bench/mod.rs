//! `tamis bench`: the running program beside a relay that does nothing, in one run.
//!
//! Absolute rates say as much about the machine as about us, so each round drives every peer in turn (A B A B), starts it
//! afresh, and gives the ratio to the empty relay of the same round. That relay is built of our own SMTP code: what is
//! left of the ratio is the price of filtering.

mod load;
mod mails;
mod process;
mod table;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::sink::{self, Sink};
use super::{Answer, Failure, Options, exit, print, runtime};
use crate::config::{Address, NextHop};
use load::{Load, greeted};
use mails::Mails;
use process::{Process, free_address};
use table::{Key, Run};

/// How long a filter may take until it listens.
const START_TIME: Duration = Duration::from_secs(20);
/// Share of the measured time that is driven first and not counted.
const WARM_UP: u32 = 5;

/// Options.
#[derive(Debug, clap::Args)]
pub struct BenchOptions {
    /// Seconds of each measurement
    #[arg(long, default_value_t = 3.0, value_name = "SECONDS")]
    secs: f64,
    /// Rounds; medians of them are shown
    #[arg(long, default_value_t = 3, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Connections at once
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10], value_name = "COUNTS")]
    connections: Vec<usize>,
    /// Octets of a mail: up to 10000 plain text, up to 150000 text and HTML, above with an attachment
    #[arg(long, value_delimiter = ',', default_values_t = [2_000, 50_000, 500_000], value_name = "OCTETS")]
    sizes: Vec<usize>,
    /// Adds a row with this clamd: unix:/run/clamav/clamd.ctl, tcp://host:port
    #[arg(long, value_name = "ADDRESS")]
    clamd: Option<String>,
    /// Runs the empty relay in the foreground
    #[arg(long, hide = true, num_args = 2, value_names = ["LISTEN", "NEXTHOP"])]
    relay: Option<Vec<String>>,
}

/// Runs it.
pub fn run(options: &Options, bench: &BenchOptions) -> Answer {
    match bench.relay.as_deref() {
        Some([listen, next_hop]) => runtime()?.block_on(relay(listen, next_hop)),
        _ => {
            let time = Duration::try_from_secs_f64(bench.secs)
                .map_err(|error| Failure::new(exit::USAGE, format!("--secs: {error}")))?;
            runtime()?.block_on(compare(options, bench, time))
        }
    }
}

/// The empty relay: takes mail in and hands it on as the engine behind the queue does, and looks at nothing.
async fn relay(listen: &str, next_hop: &str) -> Answer {
    let unavailable = |error: std::io::Error| Failure::new(exit::UNAVAILABLE, error.to_string());
    let listener = TcpListener::bind(listen).await.map_err(unavailable)?;
    let next_hop = NextHop { lmtp: false, address: Address::Tcp(next_hop.to_owned()) };
    let sink = Sink { next_hop: Some(next_hop), ..Sink::default() };
    sink::serve(listener, Arc::new(sink)).await;
    Ok(())
}

/// Who is driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Peer {
    name: &'static str,
    what: What,
    pipelined: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Relay,
    AfterQueue { clamd: bool },
    PreQueue,
}

/// The relays come first: the rows after them are measured by them.
const PEERS: &[Peer] = &[
    Peer { name: "empty relay", what: What::Relay, pipelined: true },
    Peer { name: "empty relay, in turn", what: What::Relay, pipelined: false },
    Peer { name: "after-queue", what: What::AfterQueue { clamd: false }, pipelined: true },
    Peer { name: "pre-queue, in turn", what: What::PreQueue, pipelined: false },
];
const WITH_CLAMD: Peer =
    Peer { name: "after-queue, clamd", what: What::AfterQueue { clamd: true }, pipelined: true };

/// What all measurements share.
struct Bench<'a> {
    options: &'a BenchOptions,
    time: Duration,
    folder: Folder,
    next_hop: SocketAddr,
    number: Arc<AtomicU64>,
}

/// A folder that is removed when it is dropped.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed lies in the temporary folder, where the system cleans up.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn compare(options: &Options, bench: &BenchOptions, time: Duration) -> Answer {
    let unavailable = |error: std::io::Error| Failure::new(exit::UNAVAILABLE, error.to_string());
    let path = std::env::temp_dir().join(format!("tamis-bench-{}", std::process::id()));
    std::fs::create_dir(&path)
        .map_err(|error| Failure::new(exit::CANNOT_CREATE, error.to_string()))?;
    let folder = Folder(path);
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(unavailable)?;
    let next_hop = listener.local_addr().map_err(unavailable)?;
    tokio::spawn(sink::serve(listener, Arc::new(Sink::default())));
    let bench =
        Bench { options: bench, time, folder, next_hop, number: Arc::new(AtomicU64::new(1)) };
    let mut terminate = signal(SignalKind::terminate()).map_err(unavailable)?;
    let runs = tokio::select! {
        runs = bench.all() => runs.map_err(unavailable)?,
        _ = tokio::signal::ctrl_c() => return Err(Failure::new(exit::TEMPORARY, "interrupted")),
        _ = terminate.recv() => return Err(Failure::new(exit::TEMPORARY, "terminated")),
    };
    if options.json {
        print(&format!("{:#}\n", table::json(&runs)))?;
    } else {
        print(&table::text(&runs))?;
    }
    if runs.iter().any(|run| run.latencies.is_empty()) {
        return Err(Failure::new(exit::UNAVAILABLE, "a filter took no mail at all"));
    }
    Ok(())
}

impl Bench<'_> {
    async fn all(&self) -> std::io::Result<Vec<Run>> {
        let mut peers = PEERS.to_vec();
        peers.extend(self.options.clamd.iter().map(|_| WITH_CLAMD));
        let mut runs = Vec::new();
        for _ in 0..self.options.rounds {
            for &size in &self.options.sizes {
                let mails = Arc::new(Mails::new(size));
                let mut round = Vec::new();
                for peer in &peers {
                    round.extend(self.peer(*peer, size, &mails).await?);
                }
                runs.extend(with_ratios(round));
            }
        }
        Ok(runs)
    }

    /// One peer from start to end, with each number of connections.
    async fn peer(&self, peer: Peer, size: usize, mails: &Arc<Mails>) -> std::io::Result<Vec<Run>> {
        let to = free_address()?;
        let mut process = self.start(peer.what, to)?;
        self.wait(peer.name, to, &mut process).await?;
        let mut runs = Vec::new();
        for &connections in &self.options.connections {
            let mut load = Load {
                to,
                connections: connections.max(1),
                pipelined: peer.pipelined,
                time: self.time / WARM_UP,
                mails: Arc::clone(mails),
                number: Arc::clone(&self.number),
            };
            load.run().await;
            load.time = self.time;
            let before = process.processor_time();
            let result = load.run().await;
            let used = process.processor_time().saturating_sub(before);
            let taken = result.latencies.len();
            #[expect(clippy::cast_precision_loss, reason = "no run has 2^53 mails")]
            let count = taken as f64;
            runs.push(Run {
                key: Key { size, connections, peer: peer.name },
                rate: count / result.elapsed.as_secs_f64().max(1e-9),
                ratio: 1.0,
                latencies: result.latencies,
                processor: used.as_secs_f64() * 1e3 / count.max(1.0),
                memory: process.peak_memory(),
                failed: result.failed,
                failure: result.failure,
            });
        }
        Ok(runs)
    }

    async fn wait(&self, name: &str, to: SocketAddr, process: &mut Process) -> std::io::Result<()> {
        let until = Instant::now() + START_TIME;
        while let Err(error) = greeted(to).await {
            let ended = process.has_ended();
            if ended || Instant::now() > until {
                let said = std::fs::read_to_string(self.log()).unwrap_or_default();
                let what = if ended { "has ended" } else { "does not answer" };
                return Err(std::io::Error::other(format!("{name} {what}: {error}\n{said}")));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    fn log(&self) -> PathBuf {
        self.folder.0.join("program.log")
    }

    fn start(&self, what: What, listen: SocketAddr) -> std::io::Result<Process> {
        let program = std::env::current_exe()?;
        let (listen, next_hop) = (listen.to_string(), self.next_hop.to_string());
        let clamd = match what {
            What::Relay => {
                let arguments = ["bench", "--relay", &listen, &next_hop];
                return Process::start(&program, &arguments, &self.log());
            }
            What::AfterQueue { clamd: true } => self.options.clamd.as_deref().unwrap_or("off"),
            What::AfterQueue { clamd: false } | What::PreQueue => "off",
        };
        let (after, before) =
            if what == What::PreQueue { ("off", &*listen) } else { (&*listen, "off") };
        let state = self.folder.0.join("state");
        std::fs::create_dir_all(&state)?;
        let file = self.folder.0.join("tamis.toml");
        std::fs::write(&file, configuration(&state, &next_hop, after, before, clamd))?;
        let file = file.to_string_lossy();
        Process::start(&program, &["serve", "-c", &file], &self.log())
    }
}

/// Everything at its default but what must be apart from a service that runs on this machine.
fn configuration(state: &Path, next_hop: &str, after: &str, before: &str, clamd: &str) -> String {
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let inside = |name: &str| quoted(&state.join(name).to_string_lossy());
    let (hop, clamd) = (quoted(&format!("smtp://{next_hop}")), quoted(clamd));
    let (after, before) = (quoted(after), quoted(before));
    format!(
        "state_dir = {}\nlocal_domains = [\"example.net\"]\n\
         [listener.content_filter]\nlisten = {after}\nnext_hop = {hop}\n\
         [listener.proxy_filter]\nlisten = {before}\nnext_hop = {hop}\n\
         [scanner.clamav]\naddress = {clamd}\n\
         [tables]\nsite_filters = {}\n\
         [quarantine]\nmin_free = \"0B\"\n\
         [metrics]\nlisten = \"off\"\n\
         [log]\ntarget = {}\n",
        quoted(&state.to_string_lossy()),
        inside("filters"),
        quoted(&format!("file:{}", state.join("tamis.log").display())),
    )
}

/// Each rate by that of the relay that was spoken to in the same way, with as many connections, in the same round.
fn with_ratios(mut round: Vec<Run>) -> Vec<Run> {
    let pipelined = |name: &str| {
        PEERS
            .iter()
            .chain([&WITH_CLAMD])
            .find(|peer| peer.name == name)
            .is_none_or(|peer| peer.pipelined)
    };
    let bases: Vec<(Key, f64)> = round
        .iter()
        .filter(|run| {
            PEERS.iter().any(|peer| peer.name == run.key.peer && peer.what == What::Relay)
        })
        .map(|run| (run.key.clone(), run.rate))
        .collect();
    for run in &mut round {
        let base = bases.iter().find(|(key, _)| {
            key.connections == run.key.connections && pipelined(key.peer) == pipelined(run.key.peer)
        });
        run.ratio = base.map_or(0.0, |(_, rate)| run.rate / rate.max(1e-9));
    }
    round
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_of_a_run_is_right() {
        let text =
            configuration(Path::new("/tmp/a \"b"), "127.0.0.1:2", "127.0.0.1:1", "off", "off");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tamis.toml");
        std::fs::write(&file, text).unwrap();
        let request = crate::config::Request::of_process(Some(file), Vec::new());
        let loaded =
            crate::config::load(&request).map_err(|mistakes| mistakes.to_string()).unwrap();
        assert_eq!(loaded.config.listeners.len(), 1);
    }
}
