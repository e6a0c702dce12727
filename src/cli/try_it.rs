//! `tamis try`: the whole thing on built-in defaults, from a sample mail over real SMTP to a table of verdicts.

mod samples;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::sink::{self, Sink};
use super::{Answer, Failure, exit, print, runtime};
use crate::config::{Address, Config, Listener, NextHop};
use crate::journal::{Journal, Target};
use crate::mail::Path;
use crate::quarantine::Quarantine;
use crate::server::{self, Server};
use crate::site::Site;
use crate::smtp::outbound::{Pool, Transaction, deliver};

use samples::Sample;

/// Where the next hop listens by default.
const NEXT_HOP: &str = "127.0.0.1:10026";

/// Runs it.
pub fn run(once: bool) -> Answer {
    runtime()?.block_on(try_all(once))
}

async fn try_all(once: bool) -> Answer {
    let state = folder().map_err(|error| Failure::new(exit::CANNOT_CREATE, error.to_string()))?;
    let answer = tried(once, &state).await;
    // What was only tried leaves nothing behind; what cannot be removed lies in the temporary folder.
    let _ = std::fs::remove_dir_all(&state);
    answer
}

fn folder() -> std::io::Result<PathBuf> {
    let path = std::env::temp_dir().join(format!("tamis-try-{}", std::process::id()));
    std::fs::create_dir(&path)?;
    for name in ["tmp", "new", "cur"] {
        std::fs::create_dir_all(path.join("Maildir").join(name))?;
    }
    Ok(path)
}

async fn tried(once: bool, state: &FilePath) -> Answer {
    let unavailable = |error: std::io::Error| Failure::new(exit::UNAVAILABLE, error.to_string());
    let next_hop = listener(NEXT_HOP).await.map_err(unavailable)?;
    let config = configuration(state, next_hop.local_addr().map_err(unavailable)?)
        .await
        .map_err(unavailable)?;
    let (site, _) = Site::load(config, None).map_err(|mistakes| {
        let text: String = mistakes.iter().map(|mistake| format!("{mistake}\n")).collect();
        Failure::new(exit::BUG, text)
    })?;
    let config = Arc::clone(&site.config);
    let sink = Arc::new(Sink { maildir: Some(state.join("Maildir")), ..Sink::default() });
    tokio::spawn(sink::serve(next_hop, Arc::clone(&sink)));
    let quarantine = Quarantine::attach(&config.quarantine, &config.database)
        .map_err(|error| Failure::new(exit::CANNOT_CREATE, error.to_string()))?;
    let log = state.join("tamis.log");
    let target = Target::open(&crate::config::LogTarget::File(log.clone())).map_err(unavailable)?;
    let bound = server::bind(&config).await.map_err(unavailable)?;
    let journal = Journal::new(&config.log, target);
    let server = Server::new(site, quarantine.clone(), journal);
    server.site.load_full().scanners.probe().await;
    let running = {
        let server = Arc::clone(&server);
        tokio::spawn(async move { server.run(bound).await })
    };
    let (table, wrong) = table(&config, &quarantine).await;
    print(&table)?;
    let scanners: Vec<String> = server
        .site
        .load_full()
        .scanners
        .status()
        .iter()
        .map(|status| format!("{}: {}", status.name, status.state.as_str()))
        .collect();
    print(&format!("\nvirus scanners: {}\n", scanners.join(", ")))?;
    if !once {
        print(&left_running(&config, state))?;
        let _ = tokio::signal::ctrl_c().await;
    }
    server.stop();
    let _ = tokio::time::timeout(Duration::from_secs(5), running).await;
    if wrong > 0 {
        return Err(Failure::new(
            exit::NEGATIVE,
            format!("{wrong} verdict(s) are not as they should be"),
        ));
    }
    Ok(())
}

fn left_running(config: &Config, state: &FilePath) -> String {
    let mut out = String::from("\nLeft running; Ctrl-C ends it and removes what it made.\n");
    for listener in &config.listeners {
        let _ = writeln!(out, "  {:<15} {}", listener.name, listener.listen);
    }
    let _ = writeln!(out, "  delivered mail  {}", state.join("Maildir/new").display());
    let _ = writeln!(out, "  log             {}", state.join("tamis.log").display());
    let _ = writeln!(
        out,
        "  quarantine      tamis quarantine list --set state_dir={}",
        state.display()
    );
    out
}

/// The address asked for, or a free one if somebody has it.
async fn listener(address: &str) -> std::io::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind("127.0.0.1:0").await,
    }
}

/// The built-in defaults, in a folder of their own, on free ports where the usual ones are taken.
async fn configuration(state: &FilePath, next_hop: SocketAddr) -> std::io::Result<Config> {
    let mut config = Config {
        state_dir: state.to_path_buf(),
        database: state.join("tamis.db"),
        metrics: None,
        ..Config::default()
    };
    config.quarantine.store = state.join("quarantine");
    config.quarantine.min_free_bytes = 0;
    config.tables.site_filters = state.join("filters");
    let to = NextHop { lmtp: false, address: Address::Tcp(next_hop.to_string()) };
    config.quarantine.release_to = to.clone();
    for listener in &mut config.listeners {
        listener.next_hop = to.clone();
        if let Address::Tcp(address) = &listener.listen {
            let probe = self::listener(address).await?;
            listener.listen = Address::Tcp(probe.local_addr()?.to_string());
        }
    }
    Ok(config)
}

async fn table(config: &Config, quarantine: &Quarantine) -> (String, usize) {
    let pool = Pool::default();
    let mut out =
        format!("{:<15} {:<26} {:<10} {:<11} reply\n", "listener", "mail", "verdict", "action");
    let mut wrong = 0;
    for listener in &config.listeners {
        for sample in samples::all() {
            let line = one(&pool, listener, quarantine, &sample).await;
            wrong += usize::from(!line.right);
            let mark = if line.right { "" } else { "   <-- wrong" };
            let _ = writeln!(
                out,
                "{:<15} {:<26} {:<10} {:<11} {}{mark}",
                listener.name, sample.name, line.verdict, line.action, line.reply
            );
        }
    }
    pool.drain().await;
    (out, wrong)
}

struct Row {
    verdict: String,
    action: String,
    reply: String,
    right: bool,
}

async fn one(pool: &Pool, listener: &Listener, quarantine: &Quarantine, sample: &Sample) -> Row {
    let path = |address: &str| Path {
        argument: format!("<{address}>").into_bytes(),
        address: address.to_owned(),
    };
    let message_id = format!("<{}.{}@try.example>", sample.name.replace(' ', "-"), listener.name);
    let pieces = [Bytes::from(sample.message(&message_id))];
    let (sender, recipient) = (path("sender@try.example"), path("recipient@try.example"));
    let transaction = Transaction {
        client: None,
        sender: &sender,
        recipients: vec![&recipient],
        pieces: &pieces,
    };
    let to = NextHop { lmtp: false, address: listener.listen.clone() };
    let sent = deliver(pool, &to, &transaction, Instant::now() + Duration::from_secs(100)).await;
    let reply = match sent {
        Ok(replies) => replies.first().map(ToString::to_string).unwrap_or_default(),
        Err(trouble) => trouble.to_string(),
    };
    quarantine.flush().await;
    let mut row = Row { verdict: "-".to_owned(), action: "-".to_owned(), reply, right: false };
    // The journal is written after the reply, so the row may need a moment.
    for _ in 0..100 {
        quarantine.flush().await;
        if let Some(found) =
            quarantine.history(&message_id).ok().and_then(|rows| rows.into_iter().next())
        {
            row.right = found.verdict == sample.verdict.as_str()
                && row.reply.starts_with(sample.code(listener.mode));
            row.verdict = found.verdict;
            row.action = found.action;
            return row;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    row
}
