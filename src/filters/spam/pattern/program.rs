//! A pattern as a program: short steps for the [`machine`](super::machine), which tries them one after the other.

use super::set::OctetSet;
use super::tree::{Assertion, Greed, Lengths, Node};

/// Steps that are looked at to learn what can follow a run.
const AHEAD_MAX: usize = 64;

/// What is done at one place of the program. Places are numbers of steps; what names none goes on to the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Octet(u8),
    /// One octet of that set.
    Set(u16),
    /// These octets of [`Program::texts`].
    Text {
        at: u32,
        length: u32,
    },
    /// The same, whatever the case of letters.
    Folded {
        at: u32,
        length: u32,
    },
    /// See [`Run`].
    Run(u32),
    /// Goes on; should that fail, at `other`.
    Fork {
        other: u32,
        memo: u32,
    },
    /// Goes on at `other`; should that fail, here.
    Late {
        other: u32,
        memo: u32,
    },
    /// Goes on if the next octet is in that set, else at `other`.
    Guard {
        set: u16,
        other: u32,
    },
    /// The branches that the next octet allows; see [`Table`].
    Choose {
        table: u32,
        memo: u32,
    },
    Jump(u32),
    Assert(Assertion),
    /// Notes the place in the text.
    Save(u16),
    /// Goes on if the text has moved on since that note, else at `other`: an empty round ends a loop.
    Moved {
        slot: u16,
        other: u32,
    },
    /// The text of a group once more.
    Same {
        group: u16,
        fold: bool,
    },
    /// What follows, up to [`Step::Done`], is tried aside; then it goes on at `end`.
    Look {
        end: u32,
        negative: bool,
    },
    /// The same before this place, by so many octets.
    Behind {
        end: u32,
        min: u8,
        max: u8,
        negative: bool,
    },
    /// The end of a look.
    Done,
    /// The end of a look behind: right only where the look began.
    DoneBehind,
    Atomic,
    AtomicEnd,
    Hit,
}

/// Octets of one set in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) set: u16,
    pub(super) min: usize,
    pub(super) max: usize,
    pub(super) greed: Greed,
    /// What must follow, if that is known.
    pub(super) after: Option<u16>,
    pub(super) memo: u32,
}

/// For each octet, and for the end of the text, the branches that can begin so, as distances from the step.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Table {
    pub(super) by_octet: Vec<u8>,
    pub(super) at_end: u8,
    pub(super) lists: Vec<Vec<u32>>,
    /// All branches.
    pub(super) starts: Vec<u32>,
}

impl Table {
    pub(super) fn branches(&self, octet: Option<u8>) -> &[u32] {
        let list = match octet {
            Some(octet) => self.by_octet.get(usize::from(octet)).copied().unwrap_or(0),
            None => self.at_end,
        };
        self.lists.get(usize::from(list)).map_or(&[], Vec::as_slice)
    }
}

/// A place of the program that every match passes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Point {
    pub(super) step: u32,
    /// Octets between the start of the match and this place.
    pub(super) before: Lengths,
}

#[derive(Debug, Default)]
pub(super) struct Program {
    pub(super) steps: Vec<Step>,
    pub(super) texts: Vec<u8>,
    pub(super) sets: Vec<OctetSet>,
    pub(super) runs: Vec<Run>,
    pub(super) tables: Vec<Table>,
    /// Notes of places: two for each remembered group, then those of loops.
    pub(super) slots: usize,
    /// Steps at which several ways may meet; where two have met, the second need not be walked again.
    pub(super) memos: u32,
    /// What a way does depends on what groups hold, so that ways that meet are not alike.
    pub(super) remembers: bool,
    /// Groups with names, and their first slots.
    pub(super) names: Vec<(String, u16)>,
}

impl Program {
    pub(super) fn step(&self, place: u32) -> Step {
        self.steps.get(place as usize).copied().unwrap_or(Step::Hit)
    }

    pub(super) fn set(&self, place: u16) -> &OctetSet {
        self.sets.get(usize::from(place)).unwrap_or(&OctetSet::ALL)
    }

    pub(super) fn text(&self, at: u32, length: u32) -> &[u8] {
        let start = at as usize;
        self.texts.get(start..start.saturating_add(length as usize)).unwrap_or_default()
    }

    /// The octets that can come next from this step on; `None` if the match may end before.
    fn ahead(&self, from: u32) -> Option<OctetSet> {
        let mut set = OctetSet::NONE;
        let mut seen = Vec::new();
        let mut open = vec![from];
        while let Some(place) = open.pop() {
            if seen.contains(&place) {
                continue;
            }
            if seen.len() >= AHEAD_MAX {
                return None;
            }
            seen.push(place);
            let next = place + 1;
            match self.step(place) {
                Step::Octet(octet) => set = set.with(octet),
                Step::Set(one) => set = set.or(self.set(one)),
                Step::Text { at, length } => set = set.with(*self.text(at, length).first()?),
                Step::Folded { at, length } => {
                    set = set.or(&OctetSet::one(*self.text(at, length).first()?).folded());
                }
                Step::Run(run) => {
                    let run = self.runs.get(run as usize)?;
                    set = set.or(self.set(run.set));
                    if run.min == 0 {
                        open.push(next);
                    }
                }
                Step::Fork { other, .. } | Step::Late { other, .. } | Step::Guard { other, .. } => {
                    open.extend([next, other]);
                }
                Step::Moved { other, .. } => open.extend([next, other]),
                Step::Choose { table, .. } => {
                    let table = self.tables.get(table as usize)?;
                    open.extend(table.starts.iter().map(|offset| place + offset));
                }
                Step::Jump(other) => open.push(other),
                Step::Assert(_) | Step::Save(_) | Step::Atomic => open.push(next),
                Step::Look { end, .. } | Step::Behind { end, .. } => open.push(end),
                // What an atomic group takes is settled before anything behind it is asked.
                Step::Same { .. } | Step::AtomicEnd | Step::Done | Step::DoneBehind | Step::Hit => {
                    return None;
                }
            }
        }
        Some(set)
    }

    /// Tells runs what follows them. Where no octet of the run can follow it, it never need give one back.
    pub(super) fn tell_runs(&mut self) {
        for place in 0..self.steps.len() {
            let Ok(next) = u32::try_from(place + 1) else { return };
            let Some(Step::Run(number)) = self.steps.get(place).copied() else { continue };
            let Some(run) = self.runs.get(number as usize) else { continue };
            if run.greed == Greed::Possessive {
                continue;
            }
            let Some(ahead) = self.ahead(next) else { continue };
            let alone = !ahead.meets(self.set(run.set));
            let after = intern(&mut self.sets, &ahead);
            if let Some(run) = self.runs.get_mut(number as usize) {
                run.after = after;
                if alone {
                    run.greed = Greed::Possessive;
                }
            }
        }
    }
}

/// The place of a set in the list; `None` if there are too many.
pub(super) fn intern(sets: &mut Vec<OctetSet>, set: &OctetSet) -> Option<u16> {
    if let Some(place) = sets.iter().position(|known| known == set) {
        return u16::try_from(place).ok();
    }
    let place = u16::try_from(sets.len()).ok()?;
    sets.push(*set);
    Some(place)
}

/// The octets a piece can begin with, and whether it can be empty.
pub(super) fn first(node: &Node) -> (OctetSet, bool) {
    match node {
        Node::Empty | Node::Assertion(_) | Node::Look { .. } => (OctetSet::NONE, true),
        Node::Set(set) => (*set, false),
        Node::Row(nodes) => {
            let mut set = OctetSet::NONE;
            for node in nodes {
                let (own, empty) = first(node);
                set = set.or(&own);
                if !empty {
                    return (set, false);
                }
            }
            (set, true)
        }
        Node::Choice(branches) => {
            branches.iter().fold((OctetSet::NONE, false), |(set, empty), branch| {
                let (own, own_empty) = first(branch);
                (set.or(&own), empty || own_empty)
            })
        }
        Node::Repeat { node, min, .. } => {
            let (set, empty) = first(node);
            (set, empty || *min == 0)
        }
        Node::Group(_, node) | Node::Atomic(node) => first(node),
        Node::Same { .. } => (OctetSet::ALL, true),
    }
}
