//! Parts that a scanner found clean a moment ago: the same logo, letterhead or newsletter picture comes in many mails.
//!
//! Only parts are remembered, never a whole message, so each mail is asked about at least once. What is remembered
//! counts only under the signatures it was found clean with: it is forgotten when the scanner names another version,
//! when it was away, and after a while in any case.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::health::lock;

/// SHA-256 of the octets.
pub(super) type Digest = [u8; 32];

/// The memory of one scanner.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// The version that found them clean, signatures included.
    version: Option<String>,
    /// Counts the times that everything was forgotten.
    generation: u64,
    /// Since when.
    clean: HashMap<Digest, Instant>,
}

impl Cache {
    /// The scanner said that this is its version. Another one than before knows other signatures.
    pub(super) fn version(&self, version: &str) {
        let mut known = lock(&self.0);
        if known.version.as_deref() != Some(version) {
            known.forget();
            known.version = Some(version.to_owned());
        }
    }

    /// Forgets everything, the version too: nothing is remembered until it is told again.
    pub(super) fn forget(&self) {
        lock(&self.0).forget();
    }

    /// To be asked before the scanner is, for [`Cache::add`].
    pub(super) fn generation(&self) -> u64 {
        lock(&self.0).generation
    }

    /// True if these octets were found clean under the version that is known.
    pub(super) fn is_clean(&self, digest: &Digest, now: Instant) -> bool {
        lock(&self.0).clean.get(digest).is_some_and(|since| is_fresh(*since, now))
    }

    /// Remembers octets that were found clean by a scanner that was asked at that moment of that generation.
    pub(super) fn add(&self, digest: Digest, generation: u64, asked: Instant) {
        let mut known = lock(&self.0);
        if known.version.is_none() || known.generation != generation {
            return;
        }
        if known.clean.len() >= DIGESTS_MAX {
            known.clean.retain(|_, since| is_fresh(*since, asked));
            if known.clean.len() >= DIGESTS_MAX {
                known.clean.clear();
            }
        }
        known.clean.insert(digest, asked);
    }
}

impl Known {
    fn forget(&mut self) {
        self.version = None;
        self.clean.clear();
        self.generation += 1;
    }
}

fn is_fresh(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) < KEPT
}

/// The scanner is asked for its version more often than this; it is the bound if it cannot be.
const KEPT: Duration = Duration::from_secs(600);

/// 48 octets each.
const DIGESTS_MAX: usize = 20_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_clean_is_forgotten_with_its_signatures() {
        let cache = Cache::default();
        let now = Instant::now();
        let add = |cache: &Cache| cache.add([1; 32], cache.generation(), now);
        let known = |cache: &Cache| cache.is_clean(&[1; 32], now);
        add(&cache);
        assert!(!known(&cache), "nothing counts before the version is known");
        cache.version("ClamAV 1.4.3/27000");
        add(&cache);
        cache.version("ClamAV 1.4.3/27000");
        assert!(known(&cache) && !cache.is_clean(&[2; 32], now));
        let asked = cache.generation();
        cache.version("ClamAV 1.4.3/27001");
        assert!(!known(&cache));
        cache.add([1; 32], asked, now);
        assert!(!known(&cache), "asked under the old signatures");
        add(&cache);
        assert!(known(&cache));
        cache.forget();
        assert!(!known(&cache));
        add(&cache);
        assert!(!known(&cache), "who was away may come back with other signatures");
        cache.version("ClamAV 1.4.3/27001");
        add(&cache);
        let late = Duration::from_secs(1);
        assert!(cache.is_clean(&[1; 32], now + KEPT - late));
        assert!(!cache.is_clean(&[1; 32], now + KEPT));
    }

    #[test]
    fn no_more_is_remembered_than_the_limit() {
        let cache = Cache::default();
        cache.version("x");
        for number in 0..DIGESTS_MAX + 10 {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&number.to_le_bytes());
            cache.add(digest, cache.generation(), Instant::now());
        }
        assert!(lock(&cache.0).clean.len() <= DIGESTS_MAX);
    }
}
