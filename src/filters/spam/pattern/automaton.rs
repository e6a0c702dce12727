//! How the matches of one pattern begin, octet by octet.
//!
//! An automaton lets through more than its pattern does, never less: looks and assertions are taken to hold, long counts
//! to be reached, and all that was not learned to match. What it knows it learns from the texts it sees, a place at a
//! time, so that it stays small; a full one learns no more, nor does any once all together hold [`HELD_MAX`]: then the
//! programs do what it would have done. Nobody waits for it: who cannot have it at once does without.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, RwLock, RwLockReadGuard};

use super::program::{Program, Step};
use super::set::OctetSet;
use super::window::{self, State};

/// Octets that are looked at.
const DEPTH: usize = 48;
/// States of the program that are gone through to make one, in all its life.
pub(super) const BUDGET: usize = 800_000;

/// Octets of memory that one automaton may take for what it learns.
const OWN_MAX: usize = 1 << 20;
/// The same for all of this process, whatever texts strangers write to make them learn.
const HELD_MAX: usize = 16 << 20;
/// What all of them take.
static HELD: AtomicUsize = AtomicUsize::new(0);

/// No match begins so.
const NEVER: u32 = u32::MAX;
/// One may.
const MAYBE: u32 = u32::MAX - 1;
/// Not learned yet.
const UNKNOWN: u32 = u32::MAX - 2;

/// The start of every match of one pattern.
#[derive(Debug)]
pub(super) struct Automaton {
    /// For each octet its class.
    classes: Box<[u8; 256]>,
    /// An octet of each class.
    firsts: Vec<u8>,
    known: RwLock<Known>,
}

/// What can be taken in a state, and where it leads.
type Taking = Vec<(OctetSet, State)>;

/// What was learned so far.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// For each state, for each class, where the row of the next state begins.
    next: Vec<u32>,
    numbers: HashMap<Arc<[State]>, u32>,
    /// For each state, those of the program.
    states: Vec<Arc<[State]>>,
    /// States of the program that may still be gone through.
    left: usize,
    seen: Vec<u64>,
    held: Held,
}

/// The octets of memory that one automaton takes; they are given back with it.
#[derive(Debug)]
struct Held {
    own: usize,
    all: &'static AtomicUsize,
}

impl Default for Held {
    fn default() -> Self {
        Self { own: 0, all: &HELD }
    }
}

impl Held {
    /// False if there is no room for so many more.
    fn take(&mut self, octets: usize) -> bool {
        if self.own + octets > OWN_MAX {
            return false;
        }
        if self.all.fetch_add(octets, Ordering::Relaxed) + octets > HELD_MAX {
            self.all.fetch_sub(octets, Ordering::Relaxed);
            return false;
        }
        self.own += octets;
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.fetch_sub(self.own, Ordering::Relaxed);
    }
}

/// What is known of a place of a text.
pub(super) enum Look {
    /// No match begins there; so many octets told it.
    Never(usize),
    Maybe,
    /// There is something to be learned.
    Unknown,
}

impl Automaton {
    pub(super) fn new(program: &Program) -> Self {
        let (classes, firsts) = classes(program);
        let mut known = Known { left: BUDGET, ..Known::default() };
        // Should a match be able to be empty, there is nothing to learn, and no first state.
        let _ = known.state(program, firsts.len(), vec![(0, 0)]);
        Self { classes, firsts, known: RwLock::new(known) }
    }

    /// What was learned so far, unless somebody is adding to it.
    pub(super) fn known(&self) -> Option<RwLockReadGuard<'_, Known>> {
        self.known.try_read().ok()
    }

    #[inline]
    pub(super) fn look(&self, known: &Known, text: &[u8], at: usize) -> Look {
        if known.next.is_empty() {
            return Look::Maybe;
        }
        let near = text.get(at..).unwrap_or_default();
        let mut state = 0;
        for (depth, octet) in near.iter().take(DEPTH).enumerate() {
            let class = self.classes.get(usize::from(*octet)).copied().unwrap_or(0);
            let next = state as usize + usize::from(class);
            state = known.next.get(next).copied().unwrap_or(MAYBE);
            if state >= UNKNOWN {
                return match state {
                    NEVER => Look::Never(depth),
                    UNKNOWN if known.left > 0 => Look::Unknown,
                    _ => Look::Maybe,
                };
            }
        }
        // In every state there is still something to come: what ends before has no match.
        if near.len() > DEPTH { Look::Maybe } else { Look::Never(near.len()) }
    }

    /// Learns what there is to know of that place. Gives the states of the program that it took.
    pub(super) fn learn(&self, program: &Program, text: &[u8], at: usize) -> usize {
        let Ok(mut known) = self.known.try_write() else { return 0 };
        let (known, width) = (&mut *known, self.firsts.len());
        let before = known.left;
        let mut state = 0;
        // What the state takes, if it was made just now.
        let mut fresh = None;
        for octet in text.iter().skip(at).take(DEPTH) {
            let class = self.classes.get(usize::from(*octet)).copied().unwrap_or(0);
            let place = state as usize + usize::from(class);
            let Some(mut next) = known.next.get(place).copied() else { break };
            if next == UNKNOWN {
                let first = self.firsts.get(usize::from(class)).copied().unwrap_or(*octet);
                let Some(taking) =
                    fresh.take().or_else(|| known.taking(program, state as usize / width))
                else {
                    break;
                };
                let fits = taking.into_iter().filter(|(set, _)| set.has(first));
                let states = fits.map(|(_, next)| next).collect();
                (next, fresh) = known.state(program, width, states);
                if let Some(slot) = known.next.get_mut(place) {
                    *slot = next;
                }
            }
            if next >= UNKNOWN {
                break;
            }
            state = next;
        }
        before - known.left
    }
}

impl Known {
    /// The number of that state; it is made if need be, and then what it can take is given too.
    fn state(
        &mut self,
        program: &Program,
        width: usize,
        mut states: Vec<State>,
    ) -> (u32, Option<Taking>) {
        if states.is_empty() {
            return (NEVER, None);
        }
        states.sort_unstable();
        states.dedup();
        if let Some(known) = self.numbers.get(states.as_slice()) {
            return (*known, None);
        }
        let number = u32::try_from(self.next.len()).ok().filter(|number| *number < UNKNOWN);
        let Some(number) = number.filter(|_| self.left > 0) else {
            self.left = 0;
            return (UNKNOWN, None);
        };
        self.left -= 1;
        let size = size_of_val(states.as_slice())
            + width * size_of::<u32>()
            + size_of::<(Arc<[State]>, u32)>()
            + 2 * size_of::<Arc<[State]>>();
        if !self.held.take(size) {
            self.left = 0;
            return (UNKNOWN, None);
        }
        let taking = window::taking(program, states.clone(), &mut self.seen, &mut self.left);
        let states: Arc<[State]> = states.into();
        let number = if taking.is_some() { number } else { MAYBE };
        if taking.is_some() {
            self.states.push(states.clone());
            self.next.resize(self.next.len() + width, UNKNOWN);
        }
        self.numbers.insert(states, number);
        (number, taking)
    }

    /// What a state that is known can take; `None`: no more may be gone through.
    fn taking(&mut self, program: &Program, number: usize) -> Option<Taking> {
        let states = self.states.get(number)?.to_vec();
        window::taking(program, states, &mut self.seen, &mut self.left)
    }
}

/// A number for each octet; those that no step of the program tells apart have the same one. Gives an octet of each too.
fn classes(program: &Program) -> (Box<[u8; 256]>, Vec<u8>) {
    let one = |octet: &u8| OctetSet::one(*octet);
    let mut sets = program.sets.clone();
    for step in &program.steps {
        if let Step::Octet(octet) = step {
            sets.push(one(octet));
        } else if let Step::Text { at, length } = step {
            sets.extend(program.text(*at, *length).iter().map(one));
        } else if let Step::Folded { at, length } = step {
            sets.extend(program.text(*at, *length).iter().map(|octet| one(octet).folded()));
        }
    }
    sets.sort_unstable();
    sets.dedup();
    let mut classes = Box::new([0_u8; 256]);
    let mut known: HashMap<Vec<u64>, u8> = HashMap::new();
    let mut firsts = Vec::new();
    for octet in 0..=u8::MAX {
        let chunks = sets
            .chunks(64)
            .map(|sets| sets.iter().fold(0_u64, |word, set| word << 1 | u64::from(set.has(octet))));
        let class = *known.entry(chunks.collect()).or_insert_with(|| {
            firsts.push(octet);
            u8::try_from(firsts.len() - 1).unwrap_or(u8::MAX)
        });
        if let Some(slot) = classes.get_mut(usize::from(octet)) {
            *slot = class;
        }
    }
    (classes, firsts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_hold_is_bounded_and_given_back() {
        static ALL: AtomicUsize = AtomicUsize::new(0);
        let many = HELD_MAX / OWN_MAX;
        let mut held: Vec<Held> = (0..=many).map(|_| Held { own: 0, all: &ALL }).collect();
        let full = held.iter_mut().map(|held| held.take(OWN_MAX)).filter(|full| *full).count();
        assert_eq!(full, many);
        assert!(held.iter_mut().all(|held| !held.take(1)));
        held.pop();
        held.pop();
        assert_eq!(ALL.load(Ordering::Relaxed), HELD_MAX - OWN_MAX);
        drop(held);
        assert_eq!(ALL.load(Ordering::Relaxed), 0);
    }
}
