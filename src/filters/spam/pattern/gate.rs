//! What is asked before a program runs: most places at which a pattern would be tried show at a glance that no match
//! begins there.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{OnceLock, RwLockReadGuard};

use super::automaton::{Automaton, BUDGET, Known, Look};
use super::machine::Machine;
use super::program::Program;

/// Steps of a program before it gets an automaton: nearly all of a rule file never take so many.
const STEPS_WITHOUT: u64 = 2_000;

/// The gate of one pattern.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// Steps that were taken without an automaton.
    spent: AtomicU64,
    automaton: OnceLock<Automaton>,
}

impl Gate {
    /// Begins a search.
    pub(super) fn search<'s>(
        &'s self,
        program: &'s Program,
        text: &'s [u8],
        machine: &Machine,
    ) -> Search<'s> {
        let automaton = self.automaton.get();
        let known = automaton.and_then(|automaton| Some((automaton, automaton.known()?)));
        Search { gate: self, program, text, known, unknown: None, left: machine.left }
    }

    /// Makes the automaton now, whatever was spent.
    #[cfg(test)]
    pub(super) fn make(&self, program: &Program) {
        self.automaton.get_or_init(|| Automaton::new(program));
    }
}

/// One search for a pattern in a text.
pub(super) struct Search<'s> {
    gate: &'s Gate,
    program: &'s Program,
    text: &'s [u8],
    known: Option<(&'s Automaton, RwLockReadGuard<'s, Known>)>,
    /// A place of which there is something to learn.
    unknown: Option<usize>,
    /// Steps that were left at the start.
    left: u64,
}

impl Search<'_> {
    /// The end of the match that begins at that place.
    #[inline]
    pub(super) fn match_at(&mut self, at: usize, machine: &mut Machine) -> Option<usize> {
        if let Some((automaton, known)) = &self.known {
            match automaton.look(known, self.text, at) {
                Look::Never(octets) => {
                    machine.left = machine.left.saturating_sub(1 + octets as u64 / 8);
                    return None;
                }
                Look::Maybe => {}
                Look::Unknown => self.unknown = Some(at),
            }
        }
        machine.match_at(self.program, self.text, at)
    }

    /// Ends the search; what it met that was new is learned, at the cost of its steps.
    pub(super) fn end(self, machine: &mut Machine) {
        let Some((automaton, known)) = self.known else {
            let spent = self.left.saturating_sub(machine.left);
            if self.gate.spent.fetch_add(spent, Ordering::Relaxed) > STEPS_WITHOUT {
                self.gate.automaton.get_or_init(|| Automaton::new(self.program));
            }
            return;
        };
        // Who reads must be done before anybody can write.
        drop(known);
        // No answer may be missing because something was learned: what a search has left must outlast that.
        if let Some(at) = self.unknown
            && machine.left > BUDGET as u64
        {
            let took = automaton.learn(self.program, self.text, at);
            machine.left = machine.left.saturating_sub(took as u64);
        }
    }
}
