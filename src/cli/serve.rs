//! `tamis serve`.

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::{Answer, Failure, Options, exit, load, runtime};
use crate::config::Log;
use crate::journal::{Journal, Target};
use crate::quarantine::Quarantine;
use crate::server::{self, Server};

/// Runs in the foreground until SIGTERM or SIGINT.
pub fn run(options: &Options) -> Answer {
    let runtime = runtime()?;
    let _inside = runtime.enter();
    // Before anything else: a SIGHUP that nobody waits for yet would end the program.
    let signals =
        Signals::catch().map_err(|error| Failure::new(exit::BUG, format!("signals: {error}")))?;
    let site = load::site(options, None)?;
    let target = start_log(&site.config.log)?;
    runtime.block_on(serve(options, site, target, signals))
}

/// The signals we act on.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn catch() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn act(mut self, server: Arc<Server>, options: Options, target: Target) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => break,
                _ = self.interrupt.recv() => break,
                _ = self.hang_up.recv() => reload(&server, &options, &target).await,
            }
        }
        tracing::info!("stopping: mails under way are finished, no new session is taken");
        server.stop();
    }
}

fn start_log(log: &Log) -> Result<Target, Failure> {
    let target = Target::open(&log.target)
        .map_err(|error| Failure::new(exit::CANNOT_CREATE, format!("log.target: {error}")))?;
    let filter = EnvFilter::try_new(&log.level)
        .map_err(|error| Failure::new(exit::CONFIG, format!("log.level: {error}")))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(target.clone())
        .with_ansi(false);
    let started = match log.format {
        crate::config::LogFormat::Json => builder.json().try_init(),
        crate::config::LogFormat::Text | crate::config::LogFormat::Amavis => builder.try_init(),
    };
    started.map_err(|error| Failure::new(exit::BUG, format!("log: {error}")))?;
    Ok(target)
}

async fn serve(
    options: &Options,
    site: crate::site::Site,
    target: Target,
    signals: Signals,
) -> Answer {
    let config = Arc::clone(&site.config);
    let quarantine = load::quarantine(&config)?;
    let unavailable = |error: std::io::Error| Failure::new(exit::UNAVAILABLE, error.to_string());
    let listeners = server::bind(&config).await.map_err(unavailable)?;
    let metrics = match config.metrics {
        None => None,
        Some(address) => Some(TcpListener::bind(address).await.map_err(|error| {
            Failure::new(exit::UNAVAILABLE, format!("metrics.listen {address}: {error}"))
        })?),
    };
    recover(quarantine.clone());
    let journal = Journal::new(&config.log, target.clone());
    let server = Server::new(site, quarantine, journal);
    for listener in &listeners {
        tracing::info!(address = listener.address, "listening");
    }
    if let Some(metrics) = metrics {
        tokio::spawn(server::serve_metrics(Arc::clone(&server), metrics));
    }
    let signals = tokio::spawn(signals.act(Arc::clone(&server), options.clone(), target));
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "ready");
    server.run(listeners).await;
    signals.abort();
    tracing::info!("stopped");
    Ok(())
}

/// What a crash left behind is mended beside the work: no mail waits for it.
fn recover(quarantine: Quarantine) {
    tokio::task::spawn_blocking(move || match quarantine.recover() {
        Ok(recovery) => tracing::info!(?recovery, "quarantine checked"),
        Err(error) => tracing::error!(%error, "the quarantine could not be checked"),
    });
}

/// A whole new site is built, then swapped; on any mistake the old one stays.
async fn reload(server: &Arc<Server>, options: &Options, target: &Target) {
    let (shared, options) = (Arc::clone(server), options.clone());
    let loaded = tokio::task::spawn_blocking(move || {
        let old = shared.site.load_full();
        load::site(&options, Some(&old))
    })
    .await;
    match loaded {
        Ok(Ok(site)) => {
            let journal = Journal::new(&site.config.log, target.clone());
            let restart = server.reload(site, journal);
            if restart.is_empty() {
                tracing::info!("configuration reloaded");
            } else {
                tracing::warn!(
                    "configuration reloaded; a restart is needed for: {}",
                    restart.join("; ")
                );
            }
        }
        Ok(Err(failure)) => {
            server.metrics.reload_successful.set(0);
            tracing::error!(
                "the new configuration is wrong, the old one stays: {}",
                failure.message
            );
        }
        Err(error) => {
            server.metrics.reload_successful.set(0);
            tracing::error!(%error, "the reload failed, the old configuration stays");
        }
    }
}
