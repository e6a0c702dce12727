//! Which lists can be believed: a list that is dead often answers "listed" for everything.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::breaker::Breaker;
use crate::filters::dns::{Answer, ListKind, Question, RecordKind, entries, is_refusal};

/// So often is a list tried by what it must not hold and must hold.
const TRIED_EVERY: Duration = Duration::from_secs(3_600);
/// A list that could not be tried is tried again so soon.
const TRIED_AGAIN: Duration = Duration::from_secs(30);
/// Lists that are remembered.
const LISTS_MAX: usize = 4_096;

/// How a list did when it was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It does not hold what it must not hold.
    Good,
    /// It cannot be believed, and this is why.
    Bad(Arc<str>),
    /// It gave no answer.
    Unknown(Arc<str>),
}

/// What is known of one list.
#[derive(Debug, Clone, Default)]
struct List {
    breaker: Breaker,
    health: Option<(Health, Instant)>,
}

/// All lists that were ever asked.
#[derive(Debug, Default)]
pub(super) struct Lists(Mutex<HashMap<Arc<str>, List>>);

impl Lists {
    fn lists(&self) -> MutexGuard<'_, HashMap<Arc<str>, List>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, zone: &Arc<str>, look: impl FnOnce(&mut List) -> T) -> T {
        let mut lists = self.lists();
        if lists.len() >= LISTS_MAX && !lists.contains_key(zone) {
            lists.clear();
        }
        look(lists.entry(Arc::clone(zone)).or_default())
    }

    pub(super) fn may_ask(&self, zone: &Arc<str>, now: Instant) -> bool {
        self.with(zone, |list| list.breaker.may_ask(now))
    }

    /// Notes whether a question to the list was answered.
    pub(super) fn note(&self, zone: &Arc<str>, answered: bool, now: Instant) {
        let opens = self.with(zone, |list| match answered {
            true => {
                list.breaker.answered();
                false
            }
            false => list.breaker.was_silent(now),
        });
        if opens {
            tracing::warn!(list = %zone, "the DNS list does not answer; it is left alone for a while");
        }
    }

    /// What its last trial said, if it is not too long ago.
    pub(super) fn health(&self, zone: &Arc<str>, now: Instant) -> Option<Health> {
        self.with(zone, |list| {
            list.health.as_ref().filter(|(_, until)| *until > now).map(|(health, _)| health.clone())
        })
    }

    pub(super) fn tried(&self, zone: &Arc<str>, health: &Health, now: Instant) {
        let keep = match health {
            Health::Good | Health::Bad(_) => TRIED_EVERY,
            Health::Unknown(_) => TRIED_AGAIN,
        };
        let Some(until) = now.checked_add(keep) else { return };
        let before = self.with(zone, |list| list.health.replace((health.clone(), until)));
        if let Health::Bad(why) = health
            && before.is_none_or(|(before, _)| before != *health)
        {
            tracing::error!(list = %zone, %why, "the DNS list is not believed; take it out of the configuration");
        }
    }

    /// Lists that are not believed or do not answer, with the reason.
    pub(super) fn troubles(&self) -> Vec<(Arc<str>, Arc<str>)> {
        let lists = self.lists();
        let mut troubles: Vec<(Arc<str>, Arc<str>)> = lists
            .iter()
            .filter_map(|(zone, list)| {
                let why = match &list.health {
                    Some((Health::Bad(why), _)) => Arc::clone(why),
                    _ if list.breaker.is_open() => Arc::from("it does not answer"),
                    _ => return None,
                };
                Some((Arc::clone(zone), why))
            })
            .collect();
        troubles.sort();
        troubles
    }
}

/// What a list must not hold (RFC 5782 section 5: 127.0.0.1, the name `invalid`).
pub(super) fn must_not_hold(zone: &str, kind: ListKind) -> Question {
    let front = match kind {
        ListKind::Address => "1.0.0.127",
        ListKind::Name => "invalid",
        ListKind::Hash => "0000000000000000000000000000000000000000",
    };
    Question::new(&format!("{front}.{zone}"), RecordKind::A)
}

/// What a list must hold (127.0.0.2, the name `test`); digests have no such entry.
pub(super) fn must_hold(zone: &str, kind: ListKind) -> Option<Question> {
    let front = match kind {
        ListKind::Address => "2.0.0.127",
        ListKind::Name => "test",
        ListKind::Hash => return None,
    };
    Some(Question::new(&format!("{front}.{zone}"), RecordKind::A))
}

/// The health that follows from both answers.
pub(super) fn health(absent: &Answer, present: Option<&Answer>) -> Health {
    if let Answer::Failed(why) = absent {
        return Health::Unknown(Arc::clone(why));
    }
    if let Some(refusal) = absent.addresses().find(|address| {
        // 127.0.0.1 for 127.0.0.1 is an entry, too, for a list that holds everything.
        is_refusal(*address) && !address.is_loopback_one()
    }) {
        return Health::Unknown(format!("the list refuses to answer ({refusal})").into());
    }
    if let Some(address) = absent.addresses().next() {
        let why = format!("it lists what no list may hold ({address}); it seems to be dead");
        return Health::Bad(why.into());
    }
    if let Some(present) = present
        && !matches!(present, Answer::Failed(_))
        && entries(present).next().is_none()
    {
        tracing::debug!("a DNS list lacks its test entry");
    }
    Health::Good
}

trait LoopbackOne {
    fn is_loopback_one(&self) -> bool;
}

impl LoopbackOne for std::net::Ipv4Addr {
    fn is_loopback_one(&self) -> bool {
        *self == Self::LOCALHOST
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::dns::Record;

    fn answer(address: &str) -> Answer {
        Answer::Records([Record::A(address.parse().unwrap())].into())
    }

    #[test]
    fn a_list_that_holds_everything_is_not_believed() {
        for (absent, good) in [
            (Answer::NoName, Some(true)),
            (Answer::NoData, Some(true)),
            (answer("127.0.0.2"), Some(false)),
            (answer("127.0.0.1"), Some(false)),
            (answer("192.0.2.80"), Some(false)),
            (answer("127.255.255.254"), None),
            (Answer::Failed("no".into()), None),
        ] {
            let got = match health(&absent, None) {
                Health::Good => Some(true),
                Health::Bad(_) => Some(false),
                Health::Unknown(_) => None,
            };
            assert_eq!(got, good, "{absent:?}");
        }
    }

    #[test]
    fn a_dead_list_is_named_until_it_is_tried_again() {
        let (lists, now) = (Lists::default(), Instant::now());
        let zone: Arc<str> = "dead.test".into();
        lists.tried(&zone, &Health::Bad("dead".into()), now);
        assert_eq!(lists.troubles(), [(Arc::clone(&zone), Arc::from("dead"))]);
        assert!(lists.health(&zone, now).is_some());
        assert!(lists.health(&zone, now + TRIED_EVERY).is_none());
    }
}
