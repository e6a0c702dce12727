//! Patterns that are ready to run, and where in a text they are worth running.

use std::ops::Range;

use crate::filters::spam::text::{Segments, Target};

use super::compile;
use super::machine::Machine;
use super::perl::{self, Refusal};
use super::program::{Program, Step};
use super::set::OctetSet;
use super::sieve::{Places, Sieve};
use super::tree::Assertion;
use super::window::{self, DEPTH, Window};

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
    window: Option<Window>,
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
}

impl Start {
    fn of(program: &Program) -> Self {
        let mut heads = Box::new([0_u8; 256]);
        for (depth, set) in window::sets(program, 0).iter().enumerate().take(DEPTH) {
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
        Self { text, line, run, heads }
    }

    #[inline]
    fn fits(&self, near: &[u8]) -> bool {
        near.iter().take(DEPTH).enumerate().all(|(depth, octet)| {
            self.heads.get(usize::from(*octet)).is_some_and(|bits| bits >> depth & 1 == 1)
        })
    }
}

impl Pattern {
    /// Reads a pattern of a rule file and makes it ready.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub(in crate::filters::spam) fn compile(pattern: &[u8], flags: &str) -> Result<Self, Refusal> {
        let parsed = perl::parse(pattern, flags)?;
        let (program, points) = compile::compile(&parsed)?;
        let start = Start::of(&program);
        let window = if start.text { None } else { window::best(&program, &points) };
        Ok(Self { start, min: parsed.node.lengths().min, window, program })
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
        let mut at = from;
        if self.start.text {
            let end = if at == 0 { machine.match_at(&self.program, text, 0) } else { None };
            return end.map(|end| 0..end);
        }
        while at <= last {
            let near = text.get(at..).unwrap_or_default();
            if self.start.line && at > 0 && text.get(at - 1) != Some(&b'\n') {
                let end = memchr::memchr(b'\n', near).unwrap_or(near.len());
                machine.left = machine.left.saturating_sub(end as u64 / 64);
                at += end + 1;
                continue;
            }
            if self.start.fits(near) {
                if let Some(end) = machine.match_at(&self.program, text, at) {
                    return Some(at..end);
                }
                if let Some(set) = &self.start.run {
                    at += near.iter().position(|octet| !set.has(*octet)).unwrap_or(near.len());
                }
            }
            if machine.left == 0 {
                return None;
            }
            at += 1;
        }
        None
    }

    /// The first match that begins at one of these places.
    pub(in crate::filters::spam) fn find_among(
        &self,
        text: &[u8],
        places: impl Iterator<Item = usize>,
        machine: &mut Machine,
    ) -> Option<Range<usize>> {
        machine.begin();
        for at in places {
            if let Some(end) = machine.match_at(&self.program, text, at) {
                return Some(at..end);
            }
        }
        None
    }

    /// Whether it matches, for those who ask only once and set no limit of their own.
    pub(in crate::filters::spam) fn is_match(&self, text: &[u8]) -> bool {
        self.find(text, 0, &mut Machine::new(STEPS)).is_some()
    }

    /// The names of groups, each with the text it held in the last match.
    pub(in crate::filters::spam) fn named<'p>(
        &'p self,
        machine: &'p Machine,
    ) -> impl Iterator<Item = (&'p str, Range<usize>)> {
        let names = self.program.names.iter();
        names.filter_map(|(name, slot)| Some((name.as_str(), machine.group(*slot)?)))
    }

    pub(in crate::filters::spam) fn has_names(&self) -> bool {
        !self.program.names.is_empty()
    }

    /// Octets between the start of a match and the place where [`TextRules::candidates`] finds it, if that is known.
    pub(in crate::filters::spam) fn offset(&self) -> Option<usize> {
        self.window.as_ref()?.offset
    }
}

/// The rules that look at one text.
#[derive(Debug)]
pub(in crate::filters::spam) struct TextRules {
    pub(in crate::filters::spam) target: Target,
    /// How explanations name it.
    pub(in crate::filters::spam) name: String,
    sieve: Sieve,
}

/// For each slot, the places of the text in which its pattern may match.
pub(in crate::filters::spam) type Candidates = Vec<Places>;

impl TextRules {
    pub(in crate::filters::spam) fn new(target: Target, name: String) -> Self {
        Self { target, name, sieve: Sieve::default() }
    }

    /// Builds the prefilter. Gives each pattern's slot back, or `None` if it must be run everywhere.
    pub(in crate::filters::spam) fn sift(&mut self, patterns: &[&Pattern]) -> Vec<Option<u32>> {
        if patterns.len() < SIEVE_FROM {
            return vec![None; patterns.len()];
        }
        let mut windows = Vec::new();
        let mut slots = Vec::with_capacity(patterns.len());
        for pattern in patterns {
            slots.push(pattern.window.as_ref().and_then(|window| {
                windows.push(window);
                u32::try_from(windows.len() - 1).ok()
            }));
        }
        self.sieve = Sieve::new(&windows);
        slots
    }

    /// One pass over the text.
    pub(in crate::filters::spam) fn candidates(&self, text: &Segments) -> Candidates {
        self.sieve.scan(text.buffer())
    }
}
