//! Patterns that are ready to run, and where in a text they are worth running.

use std::ops::Range;

use crate::filters::spam::text::{Segments, Target};

use super::compile;
use super::gate::{Gate, Search};
use super::machine::Machine;
use super::perl::{self, Parsed, Refusal};
use super::places::Candidates;
use super::program::{Point, Program, Step};
use super::set::OctetSet;
use super::sieve::Sieve;
use super::sift::Passes;
use super::tree::{Assertion, Greed, Lengths, Node};
use super::usual::Usual;
use super::window::{self, DEPTH, NEAR_MAX, Window};

/// With fewer patterns on a text, running them one by one is faster.
const SIEVE_FROM: usize = 4;
/// Steps for a search that nobody else limits.
const STEPS: u64 = 2_000_000;

/// A pattern.
#[derive(Debug)]
pub(in crate::filters::spam) struct Pattern {
    program: Program,
    start: Start,
    /// The shortest match.
    min: usize,
    /// Where windows can be, until they are made.
    points: Vec<Point>,
    window: Option<Window>,
    /// What must fit besides, somewhere in the same piece.
    needed: Option<Window>,
    /// If it is one thing several times: that thing, and how often at least.
    rounds: Option<(Node, u32)>,
    gate: Gate,
}

/// What is known of the start of a match.
#[derive(Debug)]
struct Start {
    /// It is the start of the text.
    text: bool,
    /// It is the start of a line.
    line: bool,
    /// It is a run without end of that set: should it fail, then so do all places in that run.
    run: Option<OctetSet>,
    /// For each octet, a bit for each of the first places where it may stand.
    heads: Box<[u8; 256]>,
    /// What may stand before the first one.
    before: OctetSet,
}

impl Start {
    fn of(program: &Program) -> Self {
        let mut heads = Box::new([0_u8; 256]);
        let row = window::row(program, 0);
        for (depth, set) in row.sets.iter().enumerate() {
            for octet in set.iter() {
                if let Some(bits) = heads.get_mut(usize::from(octet)) {
                    *bits |= 1 << depth;
                }
            }
        }
        let run = if let Step::Run(number) = program.step(0)
            && !program.remembers
        {
            let run = program.runs.get(number as usize);
            let endless = run.filter(|run| run.max == usize::MAX && run.min <= 1);
            endless.map(|run| *program.set(run.set))
        } else {
            None
        };
        let text = program.step(0) == Step::Assert(Assertion::TextStart);
        let line = program.step(0) == Step::Assert(Assertion::LineStart);
        Self { text, line, run, heads, before: row.before }
    }

    /// Octets with which no match begins.
    #[inline]
    fn skip(&self, text: &[u8], at: usize) -> usize {
        let near = text.get(at..).unwrap_or_default();
        let begins =
            |octet: &u8| self.heads.get(usize::from(*octet)).is_some_and(|bits| bits & 1 == 1);
        near.iter().position(begins).unwrap_or(near.len())
    }

    /// Whether a match may begin there.
    #[inline]
    fn fits(&self, text: &[u8], at: usize) -> bool {
        let near = text.get(at..).unwrap_or_default();
        let head = |octet: &u8| self.heads.get(usize::from(*octet)).copied().unwrap_or(0);
        near.first().is_none_or(|octet| head(octet) & 1 == 1)
            && self.before.has(before(text, at))
            && near
                .iter()
                .take(DEPTH)
                .enumerate()
                .all(|(depth, octet)| head(octet) >> depth & 1 == 1)
    }
}

/// The octet before that place; the start of the text counts as a line feed.
fn before(text: &[u8], at: usize) -> u8 {
    at.checked_sub(1).and_then(|before| text.get(before)).copied().unwrap_or(b'\n')
}

impl Pattern {
    /// Reads a pattern of a rule file and makes it ready.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub(in crate::filters::spam) fn compile(pattern: &[u8], flags: &str) -> Result<Self, Refusal> {
        Self::of_parsed(&perl::parse(pattern, flags)?)
    }

    /// The same, to be asked for what its first group held; see [`Pattern::first_group`]. Gives a text too that every
    /// match holds, in lower case, though matches may write it in any; it may be empty.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub(in crate::filters::spam) fn with_group(
        pattern: &[u8],
        flags: &str,
    ) -> Result<(Self, Vec<u8>), Refusal> {
        let mut parsed = perl::parse(pattern, flags)?;
        if parsed.groups == 0 {
            return Err(Refusal::Wrong("it has no group (…)".to_owned()));
        }
        parsed.names = vec![(String::new(), 1)];
        Ok((Self::of_parsed(&parsed)?, parsed.node.literal()))
    }

    fn of_parsed(parsed: &Parsed) -> Result<Self, Refusal> {
        let (program, points) = compile::compile(parsed)?;
        let start = Start::of(&program);
        let min = parsed.node.lengths().min;
        let rounds = if let Node::Repeat { node, min, greed, .. } = &parsed.node
            && *greed != Greed::Possessive
            && *min > 1
            && !program.remembers
            && program.names.is_empty()
        {
            Some((node.as_ref().clone(), *min))
        } else {
            None
        };
        let (window, needed, gate) = (None, None, Gate::default());
        Ok(Self { start, min, points, window, needed, rounds, program, gate })
    }

    /// Makes the windows by which [`TextRules::candidates`] finds it; this takes longer than all else of reading it.
    /// `usual`: what the texts hold in which it will be looked for.
    pub(in crate::filters::spam) fn make_windows(&mut self, usual: Usual) {
        let points = std::mem::take(&mut self.points);
        (self.window, self.needed) = window::best(&self.program, &points, usual);
    }

    /// The first match from that place on.
    pub(in crate::filters::spam) fn find(
        &self,
        text: &[u8],
        from: usize,
        machine: &mut Machine,
    ) -> Option<Range<usize>> {
        let last = text.len().checked_sub(self.min)?;
        machine.begin();
        machine.left = machine.left.saturating_sub(text.len().saturating_sub(from) as u64 / 16);
        let mut search = self.gate.search(&self.program, text, machine);
        if self.start.text {
            let end = if from == 0 { machine.match_at(&self.program, text, 0) } else { None };
            return end.map(|end| 0..end);
        }
        let mut at = from;
        let found = self.find_up_to(last, text, &mut at, &mut search, machine);
        if found.is_some() || machine.left > 0 {
            search.end(machine);
        }
        found
    }

    /// The first match that begins between that place, which moves on, and the last one.
    fn find_up_to(
        &self,
        last: usize,
        text: &[u8],
        at: &mut usize,
        search: &mut Search<'_>,
        machine: &mut Machine,
    ) -> Option<Range<usize>> {
        while *at <= last {
            if !self.start.line {
                *at += self.start.skip(text, *at);
            }
            let near = text.get(*at..).unwrap_or_default();
            if self.start.line && *at > 0 && text.get(*at - 1) != Some(&b'\n') {
                let end = memchr::memchr(b'\n', near).unwrap_or(near.len());
                machine.left = machine.left.saturating_sub(end as u64 / 64);
                *at += end + 1;
                continue;
            }
            if *at > last {
                return None;
            }
            if self.start.fits(text, *at) {
                if let Some(end) = search.match_at(*at, machine) {
                    return Some(*at..end);
                }
                if let Some(set) = &self.start.run {
                    *at += near.iter().position(|octet| !set.has(*octet)).unwrap_or(near.len());
                }
            }
            if machine.left == 0 {
                return None;
            }
            *at += 1;
        }
        None
    }

    /// The first match from that place on that goes with one of these places, which rise; see [`Pattern::distance`].
    pub(in crate::filters::spam) fn find_among(
        &self,
        text: &[u8],
        from: usize,
        places: impl Iterator<Item = usize>,
        distance: Lengths,
        machine: &mut Machine,
    ) -> Option<Range<usize>> {
        machine.begin();
        let mut search = self.gate.search(&self.program, text, machine);
        let Lengths { min, max } = distance;
        let few = max.and_then(|max| max.checked_sub(min)).is_some_and(|more| more <= NEAR_MAX);
        let mut at = from;
        for place in places {
            if machine.left == 0 {
                return None;
            }
            let Some(last) = place.checked_sub(min) else { continue };
            at = at.max(max.map_or(0, |max| place.saturating_sub(max)));
            if !few {
                let passed = last.saturating_sub(at);
                machine.left = machine.left.saturating_sub(passed as u64 / 16);
                if let Some(found) = self.find_up_to(last, text, &mut at, &mut search, machine) {
                    search.end(machine);
                    return Some(found);
                }
                continue;
            }
            while at <= last {
                // Where there is but one start, the place has told as much.
                if (min == max.unwrap_or(min) || self.start.fits(text, at))
                    && let Some(end) = search.match_at(at, machine)
                {
                    search.end(machine);
                    return Some(at..end);
                }
                at += 1;
            }
        }
        if machine.left > 0 {
            search.end(machine);
        }
        None
    }

    #[cfg(test)]
    pub(super) fn make_gate(&self) {
        self.gate.make(&self.program);
    }

    /// Whether it matches, for those who ask only once and set no limit of their own.
    pub(in crate::filters::spam) fn is_match(&self, text: &[u8]) -> bool {
        self.find(text, 0, &mut Machine::new(STEPS)).is_some()
    }

    /// What the first group of the first match held.
    pub(in crate::filters::spam) fn first_group(
        &self,
        text: &[u8],
        machine: &mut Machine,
    ) -> Option<Range<usize>> {
        self.find(text, 0, machine)?;
        self.named(machine).next().map(|(_, range)| range)
    }

    /// The names of groups, each with the text it held in the last match.
    pub(in crate::filters::spam) fn named<'p>(
        &'p self,
        machine: &'p Machine,
    ) -> impl Iterator<Item = (&'p str, Range<usize>)> {
        let names = self.program.names.iter();
        names.filter_map(|(name, slot)| Some((name.as_str(), machine.group(*slot)?)))
    }

    /// True if it is one thing several times.
    pub(in crate::filters::spam) fn repeats(&self) -> bool {
        self.rounds.is_some()
    }

    /// True if the other one is the same thing, less often: where this one matches, so does that.
    pub(in crate::filters::spam) fn holds(&self, other: &Self) -> bool {
        match (&self.rounds, &other.rounds) {
            (Some((own, often)), Some((thing, less))) => less < often && own == thing,
            _ => false,
        }
    }

    pub(in crate::filters::spam) fn has_names(&self) -> bool {
        !self.program.names.is_empty()
    }

    /// Octets between the start of a match and the place where [`TextRules::candidates`] finds it; `None`: it finds none,
    /// or the start is that of the text anyway.
    pub(in crate::filters::spam) fn distance(&self) -> Option<Lengths> {
        Some(self.window.as_ref()?.before).filter(|_| !self.start.text)
    }
}

/// The rules that look at one text.
#[derive(Debug)]
pub(in crate::filters::spam) struct TextRules {
    pub(in crate::filters::spam) target: Target,
    /// How explanations name it.
    pub(in crate::filters::spam) name: String,
    sieve: Sieve,
    /// Patterns' slots, each with the one of what its pattern needs besides.
    needed: Vec<(u32, u32)>,
}

impl TextRules {
    pub(in crate::filters::spam) fn new(target: Target, name: String) -> Self {
        Self { target, name, sieve: Sieve::default(), needed: Vec::new() }
    }

    /// What the text usually holds.
    pub(in crate::filters::spam) fn usual(&self) -> Usual {
        if self.target == Target::Uri { Usual::Links } else { Usual::Words }
    }

    /// Builds the prefilter, if the text has so many patterns in all that it pays. Gives each pattern's slot back, or
    /// `None` if it must be run everywhere.
    pub(in crate::filters::spam) fn sift(
        &mut self,
        patterns: &[&Pattern],
        in_all: usize,
    ) -> Vec<Option<u32>> {
        if in_all < SIEVE_FROM {
            return vec![None; patterns.len()];
        }
        let mut windows = Vec::new();
        let mut slot = |window| {
            windows.push(window);
            u32::try_from(windows.len() - 1).ok()
        };
        let mut slots = Vec::with_capacity(patterns.len());
        for pattern in patterns {
            let own = pattern.window.as_ref().and_then(&mut slot);
            let needed = pattern.needed.as_ref().and_then(&mut slot);
            slots.push(own);
            self.needed.extend(own.zip(needed));
        }
        self.sieve = Sieve::new(&windows);
        slots
    }

    /// One pass over the text.
    pub(in crate::filters::spam) fn candidates(
        &self,
        text: &Segments,
        passes: &mut Passes,
    ) -> Candidates {
        let mut found = self.sieve.scan(text.buffer(), passes);
        for (own, needed) in &self.needed {
            found.keep_beside(*own, *needed, text);
        }
        found
    }
}
