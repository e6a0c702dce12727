//! The tree of a pattern becomes a program.

use std::collections::HashMap;

use super::perl::{Parsed, Refusal};
use super::program::{Point, Program, Run, Step, Table, first, intern};
use super::set::{OctetSet, other_case};
use super::tree::{Greed, Lengths, Node};

/// Steps of one program: 16 octets of memory each.
const STEPS_MAX: usize = 60_000;
/// Places that every match passes, of which the most telling becomes the window of the prefilter.
const POINTS_MAX: usize = 24;
/// Lengths that a look behind may try, as in Perl.
const BEHIND_MAX: usize = 255;

/// Makes the program of a pattern, and the places that every match passes.
///
/// # Errors
/// It needs too much memory, or what we have not built.
pub(super) fn compile(parsed: &Parsed) -> Result<(Program, Vec<Point>), Refusal> {
    let mut compiler = Compiler {
        program: Program::default(),
        slots_of: HashMap::new(),
        points: Vec::new(),
        before: Lengths::exactly(0),
        aside: 0,
    };
    let mut named = Vec::new();
    same(&parsed.node, &mut named);
    let remembers = !named.is_empty();
    named.extend(parsed.names.iter().map(|(_, group)| *group));
    named.sort_unstable();
    named.dedup();
    for group in named {
        let slot = compiler.slot();
        compiler.slot();
        compiler.slots_of.insert(group, slot);
    }
    compiler.node(&parsed.node, true)?;
    compiler.push(Step::Hit)?;
    let Compiler { mut program, slots_of, points, .. } = compiler;
    program.remembers = remembers;
    let slot = |group: &u32| slots_of.get(group).copied().unwrap_or(0);
    program.names = parsed.names.iter().map(|(name, group)| (name.clone(), slot(group))).collect();
    program.tell_runs();
    Ok((program, points))
}

/// The groups whose text is wanted once more.
fn same(node: &Node, out: &mut Vec<u32>) {
    match node {
        Node::Same { group, .. } => out.push(*group),
        Node::Row(nodes) | Node::Choice(nodes) => nodes.iter().for_each(|node| same(node, out)),
        Node::Repeat { node, .. }
        | Node::Group(_, node)
        | Node::Atomic(node)
        | Node::Look { node, .. } => same(node, out),
        Node::Empty | Node::Set(_) | Node::Assertion(_) => {}
    }
}

struct Compiler {
    program: Program,
    /// Of the groups that are remembered, the first slot.
    slots_of: HashMap<u32, u16>,
    points: Vec<Point>,
    /// Octets from the start of the match to here, as long as every match comes here.
    before: Lengths,
    /// Looks that are open: what happens in them says nothing of what follows, so that no ways meet in them.
    aside: u32,
}

const MEMORY: Refusal = Refusal::NotBuilt("needs more memory than a pattern may");

impl Compiler {
    fn here(&self) -> u32 {
        u32::try_from(self.program.steps.len()).unwrap_or(u32::MAX)
    }

    fn push(&mut self, step: Step) -> Result<u32, Refusal> {
        if self.program.steps.len() >= STEPS_MAX {
            return Err(MEMORY);
        }
        let place = self.here();
        self.program.steps.push(step);
        Ok(place)
    }

    /// Puts the step in the place kept for it.
    fn patch(&mut self, place: u32, step: Step) {
        if let Some(kept) = self.program.steps.get_mut(place as usize) {
            *kept = step;
        }
    }

    fn slot(&mut self) -> u16 {
        let slot = self.program.slots;
        self.program.slots += 1;
        u16::try_from(slot).unwrap_or(u16::MAX)
    }

    fn memo(&mut self) -> u32 {
        if self.aside > 0 {
            return u32::MAX;
        }
        let memo = self.program.memos;
        self.program.memos += 1;
        memo
    }

    fn set(&mut self, set: &OctetSet) -> Result<u16, Refusal> {
        intern(&mut self.program.sets, set).ok_or(MEMORY)
    }

    fn point(&mut self) {
        if self.points.len() < POINTS_MAX {
            self.points.push(Point { step: self.here(), before: self.before });
        }
    }

    /// `passed`: every match comes through here.
    fn node(&mut self, node: &Node, passed: bool) -> Result<(), Refusal> {
        match node {
            Node::Empty => Ok(()),
            Node::Set(_) => self.row(std::slice::from_ref(node), passed),
            Node::Row(nodes) => self.row(nodes, passed),
            Node::Choice(branches) => {
                if passed {
                    self.point();
                }
                self.choice(branches)?;
                self.pass(node, passed);
                Ok(())
            }
            Node::Repeat { node: inner, min, max, greed } => {
                self.repeat(inner, *min, *max, *greed, passed)
            }
            Node::Group(group, inner) => {
                let Some(slot) = self.slots_of.get(group).copied() else {
                    return self.node(inner, passed);
                };
                self.push(Step::Save(slot))?;
                self.node(inner, passed)?;
                self.push(Step::Save(slot + 1)).map(drop)
            }
            Node::Assertion(assertion) => self.push(Step::Assert(*assertion)).map(drop),
            Node::Look { behind, negative, node } => self.look(node, *behind, *negative),
            Node::Atomic(inner) => {
                self.push(Step::Atomic)?;
                self.node(inner, passed)?;
                self.push(Step::AtomicEnd).map(drop)
            }
            Node::Same { group, fold } => {
                let slot = self.slots_of.get(group).copied().unwrap_or(0);
                self.push(Step::Same { group: slot, fold: *fold })?;
                self.pass(node, passed);
                Ok(())
            }
        }
    }

    /// Counts the octets of a piece that is done.
    fn pass(&mut self, node: &Node, passed: bool) {
        if passed {
            self.before = self.before.plus(node.lengths());
        }
    }

    /// Octets in a row become a text.
    fn row(&mut self, nodes: &[Node], passed: bool) -> Result<(), Refusal> {
        let mut rest = nodes;
        while let Some((head, tail)) = rest.split_first() {
            let Node::Set(set) = head else {
                self.node(head, passed)?;
                rest = tail;
                continue;
            };
            if passed {
                self.point();
            }
            let plain = octets(rest, false, |set| set.len() == 1);
            let folded =
                octets(rest, true, |set| *set == OctetSet::one(set.first().unwrap_or(0)).folded());
            let taken = plain.len().max(folded.len()).max(1);
            if folded.len() > plain.len() && (folded.len() > 1 || set.len() > 1) {
                self.text(&folded, true)?;
            } else if plain.len() > 1 {
                self.text(&plain, false)?;
            } else if let Some(octet) = plain.first() {
                self.push(Step::Octet(*octet))?;
            } else {
                let set = self.set(set)?;
                self.push(Step::Set(set))?;
            }
            if passed {
                self.before = self.before.plus(Lengths::exactly(taken));
            }
            rest = rest.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    fn text(&mut self, octets: &[u8], fold: bool) -> Result<(), Refusal> {
        let number = |value: usize| u32::try_from(value).map_err(|_| MEMORY);
        let at = number(self.program.texts.len())?;
        let length = number(octets.len())?;
        self.program.texts.extend_from_slice(octets);
        self.push(if fold { Step::Folded { at, length } } else { Step::Text { at, length } })
            .map(drop)
    }

    fn choice(&mut self, branches: &[Node]) -> Result<(), Refusal> {
        let memo = self.memo();
        let choose = self.push(Step::Hit)?;
        let mut starts = Vec::with_capacity(branches.len());
        let mut jumps = Vec::with_capacity(branches.len());
        for branch in branches {
            starts.push(self.here() - choose);
            self.node(branch, false)?;
            jumps.push(self.push(Step::Hit)?);
        }
        let end = self.here();
        for jump in jumps {
            self.patch(jump, Step::Jump(end));
        }
        let table = table(branches, &starts)?;
        let tables = &mut self.program.tables;
        let place = tables.iter().position(|known| *known == table).unwrap_or(tables.len());
        if place == tables.len() {
            tables.push(table);
        }
        let table = u32::try_from(place).map_err(|_| MEMORY)?;
        self.patch(choose, Step::Choose { table, memo });
        Ok(())
    }

    fn repeat(
        &mut self,
        node: &Node,
        min: u32,
        max: Option<u32>,
        greed: Greed,
        passed: bool,
    ) -> Result<(), Refusal> {
        if let Node::Set(set) = node {
            if passed && min > 0 {
                self.point();
            }
            let set = self.set(set)?;
            let memo = self.memo();
            let max_length = max.map_or(usize::MAX, |max| max as usize);
            let run = Run { set, min: min as usize, max: max_length, greed, after: None, memo };
            let number = u32::try_from(self.program.runs.len()).map_err(|_| MEMORY)?;
            self.program.runs.push(run);
            self.push(Step::Run(number))?;
            if passed {
                let length = Lengths { min: min as usize, max: max.map(|max| max as usize) };
                self.before = self.before.plus(length);
            }
            return Ok(());
        }
        if greed == Greed::Possessive {
            self.push(Step::Atomic)?;
        }
        for _ in 0..min {
            self.node(node, passed)?;
        }
        match max {
            None => self.endless(node, greed)?,
            Some(max) => self.up_to(node, max.saturating_sub(min), greed)?,
        }
        if greed == Greed::Possessive {
            self.push(Step::AtomicEnd)?;
        }
        if passed {
            let rest = Node::Repeat {
                node: Box::new(node.clone()),
                min: 0,
                max: max.map(|max| max.saturating_sub(min)),
                greed,
            };
            self.pass(&rest, true);
        }
        Ok(())
    }

    fn fork(&mut self, place: u32, other: u32, greed: Greed, memo: u32) {
        let step = if greed == Greed::Least {
            Step::Late { other, memo }
        } else {
            Step::Fork { other, memo }
        };
        self.patch(place, step);
    }

    /// A step that skips the piece where it cannot begin; its place, if it can be made.
    fn guard(&mut self, node: &Node) -> Result<Option<(u32, u16)>, Refusal> {
        let (set, empty) = first(node);
        if empty {
            return Ok(None);
        }
        let set = self.set(&set)?;
        Ok(Some((self.push(Step::Hit)?, set)))
    }

    fn endless(&mut self, node: &Node, greed: Greed) -> Result<(), Refusal> {
        let start = self.here();
        let guard = self.guard(node)?;
        let memo = self.memo();
        let fork = self.push(Step::Hit)?;
        let mark = if node.lengths().min == 0 {
            let slot = self.slot();
            self.push(Step::Save(slot))?;
            Some(slot)
        } else {
            None
        };
        self.node(node, false)?;
        let moved = match mark {
            Some(_) => Some(self.push(Step::Hit)?),
            None => None,
        };
        self.push(Step::Jump(start))?;
        let end = self.here();
        self.fork(fork, end, greed, memo);
        if let Some((place, set)) = guard {
            self.patch(place, Step::Guard { set, other: end });
        }
        if let (Some(place), Some(slot)) = (moved, mark) {
            self.patch(place, Step::Moved { slot, other: end });
        }
        Ok(())
    }

    fn up_to(&mut self, node: &Node, count: u32, greed: Greed) -> Result<(), Refusal> {
        let mut open = Vec::new();
        for _ in 0..count {
            let guard = self.guard(node)?;
            let memo = self.memo();
            let fork = self.push(Step::Hit)?;
            open.push((guard, fork, memo));
            self.node(node, false)?;
        }
        let end = self.here();
        for (guard, fork, memo) in open {
            self.fork(fork, end, greed, memo);
            if let Some((place, set)) = guard {
                self.patch(place, Step::Guard { set, other: end });
            }
        }
        Ok(())
    }

    fn look(&mut self, node: &Node, behind: bool, negative: bool) -> Result<(), Refusal> {
        let lengths = node.lengths();
        let start = self.push(Step::Hit)?;
        self.aside += 1;
        self.node(node, false)?;
        self.aside -= 1;
        self.push(if behind { Step::DoneBehind } else { Step::Done })?;
        let end = self.here();
        let step = if behind {
            let max = lengths.max.filter(|max| *max <= BEHIND_MAX);
            let length = |length: usize| u8::try_from(length).ok();
            let (Some(min), Some(max)) = (length(lengths.min), max.and_then(length)) else {
                return Err(Refusal::Wrong("a look behind may be 255 octets long".to_owned()));
            };
            Step::Behind { end, min, max, negative }
        } else {
            Step::Look { end, negative }
        };
        self.patch(start, step);
        Ok(())
    }
}

/// The octets that begin a row, as long as their sets are of that kind; with `fold` the lower case of each.
fn octets(nodes: &[Node], fold: bool, fits: impl Fn(&OctetSet) -> bool) -> Vec<u8> {
    let sets = nodes.iter().map_while(|node| {
        let Node::Set(set) = node else { return None };
        (set.len() > 0 && fits(set)).then_some(set)
    });
    // The upper case of a letter comes first.
    sets.filter_map(|set| set.first())
        .map(|first| if fold { other_case(first).max(first) } else { first })
        .collect()
}

fn table(branches: &[Node], starts: &[u32]) -> Result<Table, Refusal> {
    // For each octet and the end, a bit for each branch.
    const END: usize = 256;
    let words = branches.len().div_ceil(64);
    let mut fits = vec![0_u64; (END + 1) * words];
    let mut allow = |octet: usize, branch: usize| {
        if let Some(word) = fits.get_mut(octet * words + branch / 64) {
            *word |= 1 << (branch % 64);
        }
    };
    for (branch, node) in branches.iter().enumerate() {
        let (set, empty) = first(node);
        if empty {
            (0..=END).for_each(|octet| allow(octet, branch));
        } else {
            set.iter().for_each(|octet| allow(usize::from(octet), branch));
        }
    }
    let by_octet = Vec::with_capacity(END);
    let mut table = Table { by_octet, at_end: 0, lists: Vec::new(), starts: starts.to_vec() };
    let mut known: Vec<&[u64]> = Vec::new();
    for own in fits.chunks(words.max(1)) {
        let place = known.iter().position(|other| *other == own).unwrap_or(known.len());
        if place == known.len() {
            known.push(own);
            let has = |branch: &usize| {
                own.get(branch / 64).is_some_and(|word| word >> (branch % 64) & 1 == 1)
            };
            let list =
                (0..branches.len()).filter(has).filter_map(|branch| starts.get(branch).copied());
            table.lists.push(list.collect());
        }
        table.by_octet.push(u8::try_from(place).map_err(|_| MEMORY)?);
    }
    table.at_end = table.by_octet.pop().unwrap_or(0);
    Ok(table)
}
