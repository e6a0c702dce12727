//! Listeners, sessions, reload and orderly stop.

mod budget;
mod connection;
mod http;
mod pass_through;
mod store_and_forward;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::config::{Address, Config, Listener};
use crate::delivery::{Courier, Memory};
use crate::engines::EngineState;
use crate::filters::virus::ScannerState;
use crate::journal::Journal;
use crate::metrics::{EngineLabel, ListenerLabel, Metrics, ScannerLabel};
use crate::quarantine::Quarantine;
use crate::site::Site;
use crate::smtp::Reply;
use crate::smtp::outbound::Pool;
use crate::smtp::stream::Stream;

pub use budget::Budget;

/// Memory that bodies of all sessions together may hold.
const BODIES_BYTES_MAX: usize = 1 << 30;
/// How long mails under way may take after SIGTERM.
const DRAIN: Duration = Duration::from_secs(100);

/// The running service.
pub struct Server {
    /// Configuration and filters; swapped by a reload.
    pub site: ArcSwap<Site>,
    /// Carries mail out.
    pub courier: Courier,
    /// Mails inspected at once.
    pub slots: Semaphore,
    /// Sessions at once.
    pub sessions: Semaphore,
    /// Permits of `sessions` altogether; a reload does not change them.
    sessions_max: u32,
    /// Memory of bodies.
    pub budget: Arc<Budget>,
    /// Counters.
    pub metrics: Metrics,
    /// One line a mail.
    pub journal: ArcSwap<Journal>,
    /// True once we stop.
    pub stopping: watch::Sender<bool>,
}

/// A listener that is bound.
pub struct Bound {
    name: Arc<str>,
    socket: Socket,
    /// Where it listens, with the real port.
    pub address: String,
}

enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Binds all listeners of a configuration.
///
/// # Errors
/// With the listener's name, if one cannot be bound.
pub async fn bind(config: &Config) -> io::Result<Vec<Bound>> {
    let mut bound = Vec::new();
    for listener in &config.listeners {
        let named = |error: io::Error| {
            io::Error::new(
                error.kind(),
                format!("listener {} on {}: {error}", listener.name, listener.listen),
            )
        };
        let (socket, address) = match &listener.listen {
            Address::Tcp(address) => {
                let socket = TcpListener::bind(address.as_str()).await.map_err(named)?;
                let address = socket.local_addr().map_err(named)?.to_string();
                (Socket::Tcp(socket), address)
            }
            Address::Unix(path) => {
                // A socket left over by a crash stands in the way; one that answers is somebody's.
                if path.exists() && tokio::net::UnixStream::connect(path).await.is_err() {
                    std::fs::remove_file(path).map_err(named)?;
                }
                (
                    Socket::Unix(UnixListener::bind(path).map_err(named)?),
                    format!("unix:{}", path.display()),
                )
            }
        };
        bound.push(Bound { name: Arc::clone(&listener.name), socket, address });
    }
    Ok(bound)
}

impl Server {
    /// A service that is not listening yet.
    #[must_use]
    pub fn new(site: Site, quarantine: Quarantine, journal: Journal) -> Arc<Self> {
        let limits = site.config.limits.clone();
        let sessions_max = u32::try_from(limits.connections.max(1)).unwrap_or(u32::MAX);
        Arc::new(Self {
            courier: Courier {
                pool: Arc::new(Pool::default()),
                quarantine,
                memory: Arc::new(Memory::default()),
            },
            slots: Semaphore::new(limits.concurrency.max(1)),
            sessions: Semaphore::new(sessions_max as usize),
            sessions_max,
            budget: Arc::new(Budget::new(BODIES_BYTES_MAX)),
            metrics: Metrics::default(),
            journal: ArcSwap::from_pointee(journal),
            stopping: watch::Sender::new(false),
            site: ArcSwap::from_pointee(site),
        })
    }

    /// Serves until [`Server::stop`] is called and the mails under way are done.
    pub async fn run(self: &Arc<Self>, listeners: Vec<Bound>) {
        let mut accepting = JoinSet::new();
        for bound in listeners {
            accepting.spawn(Arc::clone(self).accept(bound));
        }
        let chores = tokio::spawn(Arc::clone(self).chores());
        while accepting.join_next().await.is_some() {}
        if tokio::time::timeout(DRAIN, self.sessions.acquire_many(self.sessions_max)).await.is_err()
        {
            tracing::warn!("sessions were still open at the end; their mail stays with the client");
        }
        chores.abort();
        self.courier.pool.drain().await;
        self.courier.quarantine.flush().await;
    }

    /// Stops accepting; sessions end after the mail they are at.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Puts a new site in place of the old one; mails under way finish with the old one. Gives what needs a restart.
    pub fn reload(&self, site: Site, journal: Journal) -> Vec<String> {
        let old = self.site.load();
        let mut restart = Vec::new();
        let listening = |config: &Config| -> Vec<(Arc<str>, Address)> {
            config.listeners.iter().map(|l| (Arc::clone(&l.name), l.listen.clone())).collect()
        };
        if listening(&old.config) != listening(&site.config) {
            restart.push("addresses of listeners".to_owned());
        }
        if old.config.limits.concurrency != site.config.limits.concurrency
            || old.config.limits.connections != site.config.limits.connections
        {
            restart.push("limits.concurrency and limits.connections".to_owned());
        }
        if old.config.quarantine.store != site.config.quarantine.store
            || old.config.database != site.config.database
        {
            restart.push("quarantine.store and database.url".to_owned());
        }
        let log = |config: &Config| (config.log.target.clone(), config.log.level.clone());
        if log(&old.config) != log(&site.config) {
            restart.push("log.target and log.level".to_owned());
        }
        if old.config.metrics != site.config.metrics {
            restart.push("metrics.listen".to_owned());
        }
        self.site.store(Arc::new(site));
        self.journal.store(Arc::new(journal));
        self.metrics.reload_successful.set(1);
        restart
    }

    async fn accept(self: Arc<Self>, bound: Bound) {
        let mut stopping = self.stopping.subscribe();
        loop {
            let accepted = tokio::select! {
                biased;
                _ = stopping.wait_for(|stop| *stop) => return,
                accepted = bound.socket.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, most likely: what is open must end first.
                    tracing::warn!(%error, listener = &*bound.name, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            tokio::spawn(Arc::clone(&self).session(Arc::clone(&bound.name), stream, peer));
        }
    }

    async fn session(self: Arc<Self>, name: Arc<str>, stream: Stream, peer: IpAddr) {
        let site = self.site.load_full();
        // A listener that a reload took away keeps its socket until the restart, but gets no mail.
        let Some(listener) = site.config.listeners.iter().find(|listener| listener.name == name)
        else {
            return;
        };
        let label = ListenerLabel { listener: name.to_string() };
        self.metrics.connections.get_or_create(&label).inc();
        let allowed = matches!(listener.listen, Address::Unix(_))
            || listener.allow.iter().any(|network| network.contains(&peer));
        let permit = self.sessions.try_acquire();
        let refusal = match (allowed, &permit) {
            (false, _) => Some(Reply::new(554, "5.7.1 Access denied")),
            (true, Err(_)) => Some(Reply::too_busy()),
            (true, Ok(_)) => None,
        };
        if let Some(reply) = refusal {
            self.journal.load().session(&name, peer, &reply);
            return connection::refuse(stream, &reply).await;
        }
        self.metrics.connections_active.get_or_create(&label).inc();
        let listener: Listener = listener.clone();
        drop(site);
        connection::serve(&self, listener, stream, peer).await;
        self.metrics.connections_active.get_or_create(&label).dec();
    }

    /// What is done now and then: asking scanners whether they live, ending idle connections, cleaning the quarantine.
    async fn chores(self: Arc<Self>) {
        let mut tick = tokio::time::interval(Duration::from_secs(5));
        let mut count: u64 = 0;
        loop {
            tick.tick().await;
            self.courier.pool.tidy().await;
            let site = self.site.load_full();
            if count.is_multiple_of(12) {
                tokio::join!(site.scanners.probe(), site.engines.probe());
            }
            // What was too young to be removed at the start, and what other processes left behind since.
            if count % 720 == 12 {
                self.mend_quarantine().await;
            }
            if count.is_multiple_of(720) {
                self.clean_quarantine(&site.config).await;
            }
            for status in site.scanners.status() {
                let up = i64::from(status.state == ScannerState::Up);
                if status.state != ScannerState::Off {
                    self.metrics
                        .scanner_up
                        .get_or_create(&ScannerLabel { scanner: status.name })
                        .set(up);
                }
            }
            for status in site.engines.status() {
                let up = i64::from(status.state == EngineState::Up);
                self.metrics.engine_up.get_or_create(&EngineLabel { engine: status.name }).set(up);
            }
            let lost = self.courier.quarantine.history_lost();
            self.metrics.history_lost.set(i64::try_from(lost).unwrap_or(i64::MAX));
            count += 1;
        }
    }

    async fn mend_quarantine(&self) {
        let quarantine = self.courier.quarantine.clone();
        match tokio::task::spawn_blocking(move || quarantine.recover()).await {
            Ok(Ok(recovery)) => tracing::debug!(?recovery, "quarantine checked"),
            Ok(Err(error)) => tracing::warn!(%error, "the quarantine could not be checked"),
            Err(error) => tracing::warn!(%error, "the quarantine could not be checked"),
        }
    }

    async fn clean_quarantine(&self, config: &Config) {
        let keep = &config.quarantine.keep;
        let now = jiff::Timestamp::now();
        match self.courier.quarantine.gc(keep, config.quarantine.max_bytes, now).await {
            Ok(summary) => tracing::debug!(?summary, "quarantine cleaned"),
            Err(error) => tracing::warn!(%error, "the quarantine could not be cleaned"),
        }
    }
}

impl Socket {
    async fn accept(&self) -> io::Result<(Stream, IpAddr)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Stream::tcp(stream), peer.ip().to_canonical()))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Stream::Unix(stream), IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)))
            }
        }
    }
}

pub use http::serve as serve_metrics;
