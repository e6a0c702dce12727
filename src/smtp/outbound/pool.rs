//! Connections kept for the next mail.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{Connection, Trouble};
use crate::config::NextHop;

/// A connection idle for longer is not used again.
const IDLE_MAX: Duration = Duration::from_secs(8);
/// Idle connections of one next hop.
const KEPT_MAX: usize = 20;
/// Mails on one connection, so that a next hop which counts them is not overrun.
const MAILS_MAX: u32 = 100;

/// Idle connections by next hop.
#[derive(Debug, Default)]
pub struct Pool {
    idle: Mutex<HashMap<NextHop, Vec<(Instant, Connection)>>>,
}

impl Pool {
    /// An idle connection that still looks alive, else a new one.
    ///
    /// # Errors
    /// When a new one cannot be opened.
    pub async fn take(&self, next_hop: &NextHop, deadline: Instant) -> Result<Connection, Trouble> {
        while let Some(connection) = self.idle(next_hop) {
            if connection.is_quiet() {
                return Ok(connection);
            }
        }
        Connection::open(next_hop, deadline).await
    }

    fn idle(&self, next_hop: &NextHop) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle.get_mut(next_hop)?;
        let now = Instant::now();
        kept.retain(|(since, _)| now.duration_since(*since) < IDLE_MAX);
        kept.pop().map(|(_, connection)| connection)
    }

    /// Takes back a connection between two transactions.
    pub async fn give_back(&self, next_hop: &NextHop, mut connection: Connection) {
        connection.pooled = true;
        if connection.mails >= MAILS_MAX {
            return connection.quit().await;
        }
        let surplus = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            let kept = idle.entry(next_hop.clone()).or_default();
            if kept.len() < KEPT_MAX {
                kept.push((Instant::now(), connection));
                None
            } else {
                Some(connection)
            }
        };
        if let Some(connection) = surplus {
            connection.quit().await;
        }
    }

    /// Ends connections that have been idle for too long; to be called now and then.
    pub async fn tidy(&self) {
        let old: Vec<Connection> = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            idle.values_mut()
                .flat_map(|kept| {
                    kept.extract_if(.., |(since, _)| now.duration_since(*since) >= IDLE_MAX)
                })
                .map(|(_, connection)| connection)
                .collect()
        };
        for connection in old {
            connection.quit().await;
        }
    }

    /// Ends all idle connections.
    pub async fn drain(&self) {
        let all: Vec<Connection> = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.drain().flat_map(|(_, kept)| kept).map(|(_, connection)| connection).collect()
        };
        for connection in all {
            connection.quit().await;
        }
    }
}
