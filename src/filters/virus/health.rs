//! What is known of a scanner between two mails.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::session::Trouble;
use crate::config::Address;

/// Whether a scanner answered, and when.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<Snapshot>);

/// A copy of it.
#[derive(Debug, Default, Clone)]
pub(super) struct Snapshot {
    /// `None`: nobody asked it so far.
    pub(super) is_up: Option<bool>,
    pub(super) version: Option<String>,
    pub(super) last_error: Option<String>,
    pub(super) last_ok: Option<SystemTime>,
}

impl Health {
    pub(super) fn up(&self, version: Option<String>) {
        let mut health = lock(&self.0);
        health.is_up = Some(true);
        health.last_ok = Some(SystemTime::now());
        if version.is_some() {
            health.version = version;
        }
    }

    pub(super) fn down(&self, error: String) {
        let mut health = lock(&self.0);
        health.is_up = Some(false);
        health.last_error = Some(error);
    }

    /// True once it answered.
    pub(super) fn was_seen(&self) -> bool {
        lock(&self.0).last_ok.is_some()
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        lock(&self.0).clone()
    }
}

/// After a failed connection the next mails fail at once instead of each waiting for its own failure. After the
/// pause one mail at a time may try.
#[derive(Debug, Default)]
pub(super) struct Circuit(Mutex<Option<Open>>);

#[derive(Debug)]
struct Open {
    until: Instant,
    why: String,
}

impl Circuit {
    /// # Errors
    /// [`Trouble::Resting`] while connections are not even tried.
    pub(super) fn check(&self, address: Option<&Address>) -> Result<(), Trouble> {
        match &*lock(&self.0) {
            Some(open) if Instant::now() < open.until => Err(Trouble::Resting {
                address: address.map_or_else(String::new, Address::to_string),
                error: open.why.clone(),
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// As [`Circuit::check`]; the caller who may pass after a pause keeps the others out for another one.
    pub(super) fn enter(&self, address: &Address) -> Result<(), Trouble> {
        let mut circuit = lock(&self.0);
        let Some(open) = circuit.as_mut() else { return Ok(()) };
        let now = Instant::now();
        if now < open.until {
            let (address, error) = (address.to_string(), open.why.clone());
            return Err(Trouble::Resting { address, error });
        }
        open.until = now + PAUSE;
        Ok(())
    }

    pub(super) fn open(&self, why: String) {
        *lock(&self.0) = Some(Open { until: Instant::now() + PAUSE, why });
    }

    pub(super) fn close(&self) {
        *lock(&self.0) = None;
    }
}

/// Nothing behind these locks is left half-done by a panic.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const PAUSE: Duration = Duration::from_secs(1);
