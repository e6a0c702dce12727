//! Who does not answer is left alone for a while, so that the next mails do not wait for him.

use std::time::{Duration, Instant};

/// Silences in a row after which nobody asks.
const SILENCES_MAX: u32 = 5;
/// For so long; then one question tries it again.
const PAUSE: Duration = Duration::from_secs(30);

/// What is known of one server or list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Breaker {
    silences: u32,
    closed_until: Option<Instant>,
}

impl Breaker {
    /// True if it may be asked. When a pause is over, the first to come tries it; the others go on waiting.
    pub(crate) fn may_ask(&mut self, now: Instant) -> bool {
        match self.closed_until {
            Some(until) if now < until => false,
            Some(_) => {
                self.closed_until = now.checked_add(PAUSE);
                true
            }
            None => true,
        }
    }

    /// True if nobody asks it now.
    pub(crate) fn is_open(&self) -> bool {
        self.closed_until.is_some()
    }

    pub(crate) fn answered(&mut self) {
        *self = Self::default();
    }

    /// True if this silence was one too many.
    pub(crate) fn was_silent(&mut self, now: Instant) -> bool {
        self.silences = self.silences.saturating_add(1);
        let opens = self.silences >= SILENCES_MAX && self.closed_until.is_none();
        if self.silences >= SILENCES_MAX {
            self.closed_until = now.checked_add(PAUSE);
        }
        opens
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_silences_make_a_pause_and_one_question_ends_it() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        let silences: Vec<bool> = (0..5).map(|_| breaker.was_silent(now)).collect();
        assert_eq!(silences, [false, false, false, false, true]);
        assert!(!breaker.may_ask(now));
        let later = now + PAUSE;
        assert!(breaker.may_ask(later));
        assert!(!breaker.may_ask(later), "one at a time");
        breaker.answered();
        assert!(breaker.may_ask(later) && !breaker.is_open());
    }
}
