//! Patterns that are ready to run, and which of them are worth running on a text.

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use regex::bytes::{Regex, RegexBuilder};

use crate::filters::spam::text::{Segments, Target};

use super::literals;
use super::perl::{self, Refusal};

/// Memory of one compiled pattern, in octets.
const COMPILED_MAX: usize = 32 << 20;
/// Groups within groups.
const NESTING_MAX: u32 = 200;
/// With fewer patterns on a text, running them one by one is faster.
const PREFILTER_FROM: usize = 4;
/// Literals of so many octets together become a full table of transitions, the fastest form: a state for each octet at
/// most, and some 256 octets of memory for each state. More literals are left to the crate, which saves memory.
const TABLE_OCTETS_MAX: usize = 40_000;

/// A pattern.
#[derive(Debug)]
pub(in crate::filters::spam) struct Pattern {
    pub(in crate::filters::spam) regex: Regex,
    /// See [`literals::required`].
    literals: Option<Vec<Vec<u8>>>,
}

impl Pattern {
    /// Translates and compiles a pattern of a rule file.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub(in crate::filters::spam) fn compile(pattern: &[u8], flags: &str) -> Result<Self, Refusal> {
        let text = perl::translate(pattern, flags)?;
        let hir = regex_syntax::ParserBuilder::new()
            .unicode(false)
            .utf8(false)
            .nest_limit(NESTING_MAX)
            .build()
            .parse(&text)
            .map_err(|error| Refusal::Wrong(last_line(&error.to_string())))?;
        let regex = RegexBuilder::new(&text)
            .unicode(false)
            .nest_limit(NESTING_MAX)
            .size_limit(COMPILED_MAX)
            .build()
            .map_err(|error| {
                if matches!(error, regex::Error::CompiledTooBig(_)) {
                    return Refusal::NotBuilt("needs more memory than a pattern may");
                }
                Refusal::Wrong(last_line(&error.to_string()))
            })?;
        Ok(Self { regex, literals: literals::required(&hir) })
    }

    /// Whether it matches.
    pub(in crate::filters::spam) fn is_match(&self, text: &[u8]) -> bool {
        self.regex.is_match(text)
    }
}

/// The crate draws the place over several lines; the last one says what is wrong.
fn last_line(text: &str) -> String {
    let line = text.lines().last().unwrap_or(text);
    line.trim_start_matches("error: ").to_owned()
}

/// The rules that look at one text.
#[derive(Debug)]
pub(in crate::filters::spam) struct TextRules {
    pub(in crate::filters::spam) target: Target,
    /// How many patterns have their literals in the prefilter.
    sifted: usize,
    prefilter: Option<AhoCorasick>,
    /// For each literal, the slot of its pattern.
    slots: Vec<u32>,
}

/// For each slot, the pieces of the text in which its pattern may match.
pub(in crate::filters::spam) type Candidates = Vec<Vec<u32>>;

impl TextRules {
    pub(in crate::filters::spam) fn new(target: Target) -> Self {
        Self { target, sifted: 0, prefilter: None, slots: Vec::new() }
    }

    /// Builds the prefilter. `patterns` are those of this text for which "no literal, no match" tells the answer; gives
    /// each one's slot back, or `None` if it must always be run.
    pub(in crate::filters::spam) fn sift(&mut self, patterns: &[&Pattern]) -> Vec<Option<u32>> {
        let none = vec![None; patterns.len()];
        if patterns.len() < PREFILTER_FROM {
            return none;
        }
        let mut slots = Vec::new();
        let mut all: Vec<&[u8]> = Vec::new();
        let mut places = Vec::with_capacity(patterns.len());
        let mut sifted = 0_u32;
        for pattern in patterns {
            let Some(literals) = &pattern.literals else {
                places.push(None);
                continue;
            };
            for literal in literals {
                all.push(literal);
                slots.push(sifted);
            }
            places.push(Some(sifted));
            sifted += 1;
        }
        // A prefilter that cannot be built only costs time.
        let octets: usize = all.iter().map(|literal| literal.len()).sum();
        let kind = (octets <= TABLE_OCTETS_MAX).then_some(AhoCorasickKind::DFA);
        let Ok(prefilter) =
            AhoCorasick::builder().kind(kind).ascii_case_insensitive(true).build(&all)
        else {
            return none;
        };
        self.prefilter = Some(prefilter);
        self.slots = slots;
        self.sifted = sifted as usize;
        places
    }

    /// One pass over the text.
    pub(in crate::filters::spam) fn candidates(&self, text: &Segments) -> Candidates {
        let mut found: Candidates = vec![Vec::new(); self.sifted];
        let Some(prefilter) = &self.prefilter else { return found };
        let mut piece = 0;
        for hit in prefilter.find_overlapping_iter(text.buffer()) {
            piece = text.at(hit.end(), piece);
            let Some(slot) = self.slots.get(hit.pattern().as_usize()) else { continue };
            let Some(pieces) = found.get_mut(*slot as usize) else { continue };
            let number = u32::try_from(piece).unwrap_or(u32::MAX);
            if pieces.last() != Some(&number) {
                pieces.push(number);
            }
        }
        found
    }
}
