//! Runs the programs of patterns.
//!
//! Ways are tried in Perl's order, one after the other. What keeps this from growing without limit: a way that meets
//! one already walked (same step, same place in the text) is given up, so that time is at most steps × text; only
//! patterns that want a group's text once more are without this. Above all stands [`Machine::left`].

use super::program::{Program, Run, Step};
use super::tree::{Assertion, Greed};

/// Steps of one search before ways that meet are noticed: most searches are over before that pays.
const MEMO_AFTER: u64 = 2_000;
/// Octets for noticing them.
const MEMO_MAX: usize = 4 << 20;
/// Ways that wait for their turn.
const FRAMES_MAX: usize = 1 << 20;

/// What is still to be tried, or to be undone.
#[derive(Debug, Clone, Copy)]
enum Frame {
    /// Go on at that step and place.
    Retry {
        step: u32,
        at: usize,
    },
    /// Go on at that step behind a run: from the far end of these places to the near one.
    Shorter {
        step: u32,
        low: usize,
        high: usize,
        run: u32,
    },
    /// The same from the near end to the far one.
    Longer {
        step: u32,
        at: usize,
        high: usize,
        run: u32,
    },
    /// Put a note back.
    Restore {
        slot: u16,
        value: usize,
    },
    /// A look began here.
    Look {
        end: u32,
        at: usize,
        negative: bool,
    },
    Atomic,
}

/// What is needed to run programs; to be used again and again.
#[derive(Debug, Default)]
pub(in crate::filters::spam) struct Machine {
    /// Steps that may still be taken; at 0 every search ends without an answer.
    pub(in crate::filters::spam) left: u64,
    frames: Vec<Frame>,
    slots: Vec<usize>,
    seen: Vec<u64>,
    noting: bool,
    /// Steps left at which noting begins.
    note_at: u64,
}

const UNSET: usize = usize::MAX;

enum Next {
    /// Go on there.
    To(u32, usize),
    Fail,
    Found(usize),
}

impl Machine {
    pub(in crate::filters::spam) fn new(left: u64) -> Self {
        Self { left, ..Self::default() }
    }

    /// Begins a search in a text.
    pub(super) fn begin(&mut self) {
        self.noting = false;
        self.note_at = self.left.saturating_sub(MEMO_AFTER);
    }

    /// The end of the match that begins at that place.
    pub(super) fn match_at(
        &mut self,
        program: &Program,
        text: &[u8],
        start: usize,
    ) -> Option<usize> {
        self.frames.clear();
        self.slots.clear();
        self.slots.resize(program.slots, UNSET);
        let (mut step, mut at) = (0, start);
        loop {
            if self.left == 0 {
                return None;
            }
            self.left -= 1;
            if self.left <= self.note_at && !self.noting {
                self.take_notes(program, text);
            }
            let next = match self.take(program, text, step, at) {
                Next::Fail => self.back(program, text),
                next @ (Next::To(..) | Next::Found(_)) => next,
            };
            match next {
                Next::To(to, place) => (step, at) = (to, place),
                Next::Found(end) => return Some(end),
                Next::Fail => return None,
            }
        }
    }

    /// Where a group of the last match lies.
    pub(super) fn group(&self, slot: u16) -> Option<std::ops::Range<usize>> {
        let get = |slot: usize| self.slots.get(slot).copied().filter(|place| *place != UNSET);
        let slot = usize::from(slot);
        Some(get(slot)?..get(slot + 1)?)
    }

    fn take_notes(&mut self, program: &Program, text: &[u8]) {
        self.note_at = 0;
        if program.remembers {
            return;
        }
        let bits = (program.memos as usize).saturating_mul(text.len() + 1);
        let words = bits.div_ceil(64);
        if words > MEMO_MAX / 8 {
            return;
        }
        self.seen.clear();
        self.seen.resize(words, 0);
        self.noting = true;
    }

    /// True if a way came here before.
    #[inline]
    fn met(&mut self, memo: u32, text: &[u8], at: usize) -> bool {
        if !self.noting || memo == u32::MAX {
            return false;
        }
        let bit = memo as usize * (text.len() + 1) + at;
        let Some(word) = self.seen.get_mut(bit / 64) else { return false };
        let mask = 1 << (bit % 64);
        let met = *word & mask != 0;
        *word |= mask;
        met
    }

    #[inline]
    fn later(&mut self, frame: Frame) {
        if self.frames.len() < FRAMES_MAX {
            self.frames.push(frame);
        } else {
            self.left = 0;
        }
    }

    #[inline]
    fn take(&mut self, program: &Program, text: &[u8], step: u32, at: usize) -> Next {
        let next = step + 1;
        let on = |holds: bool, length: usize| {
            if holds { Next::To(next, at + length) } else { Next::Fail }
        };
        match program.step(step) {
            Step::Octet(octet) => on(text.get(at) == Some(&octet), 1),
            Step::Set(set) => on(text.get(at).is_some_and(|octet| program.set(set).has(*octet)), 1),
            Step::Text { at: from, length } => {
                let want = program.text(from, length);
                on(text.get(at..).is_some_and(|rest| rest.starts_with(want)), want.len())
            }
            Step::Folded { at: from, length } => {
                let want = program.text(from, length);
                let have = text.get(at..at.saturating_add(want.len()));
                on(have.is_some_and(|have| alike(have, want)), want.len())
            }
            Step::Run(number) => match program.runs.get(number as usize) {
                Some(run) => self.run(program, text, (number, run), next, at),
                None => Next::Fail,
            },
            Step::Fork { other, memo } => {
                if self.met(memo, text, at) {
                    return Next::Fail;
                }
                self.later(Frame::Retry { step: other, at });
                Next::To(next, at)
            }
            Step::Late { other, memo } => {
                if self.met(memo, text, at) {
                    return Next::Fail;
                }
                self.later(Frame::Retry { step: next, at });
                Next::To(other, at)
            }
            Step::Guard { set, other } => {
                let fits = text.get(at).is_some_and(|octet| program.set(set).has(*octet));
                Next::To(if fits { next } else { other }, at)
            }
            Step::Choose { table, memo } => self.choose(program, text, (table, memo), step, at),
            Step::Jump(other) => Next::To(other, at),
            Step::Assert(assertion) => on(holds(assertion, text, at), 0),
            Step::Save(slot) => {
                self.save(slot, at);
                Next::To(next, at)
            }
            Step::Moved { slot, other } => {
                let moved = self.slots.get(usize::from(slot)) != Some(&at);
                Next::To(if moved { next } else { other }, at)
            }
            Step::Same { .. }
            | Step::Look { .. }
            | Step::Behind { .. }
            | Step::Done
            | Step::DoneBehind
            | Step::Atomic
            | Step::AtomicEnd
            | Step::Hit => self.take_rare(program, text, step, at),
        }
    }

    fn take_rare(&mut self, program: &Program, text: &[u8], step: u32, at: usize) -> Next {
        let next = step + 1;
        match program.step(step) {
            Step::Same { group, fold } => {
                let Some(range) = self.group(group) else { return Next::Fail };
                let want = text.get(range).unwrap_or_default();
                let Some(have) = text.get(at..at.saturating_add(want.len())) else {
                    return Next::Fail;
                };
                self.left = self.left.saturating_sub(want.len() as u64 / 16);
                let same = if fold { folds(have, want) } else { have == want };
                if same { Next::To(next, at + want.len()) } else { Next::Fail }
            }
            Step::Look { end, negative } => {
                self.later(Frame::Look { end, at, negative });
                Next::To(next, at)
            }
            Step::Behind { end, min, max, negative } => {
                self.later(Frame::Look { end, at, negative });
                let mut start = None;
                for length in (min..=max).rev() {
                    let Some(place) = at.checked_sub(usize::from(length)) else { continue };
                    if let Some(other) = start.replace(place) {
                        self.later(Frame::Retry { step: next, at: other });
                    }
                }
                start.map_or(Next::Fail, |start| Next::To(next, start))
            }
            Step::Done => self.done(),
            Step::DoneBehind => match self.open_look() {
                Some(place) if place == at => self.done(),
                _ => Next::Fail,
            },
            Step::Atomic => {
                self.later(Frame::Atomic);
                Next::To(next, at)
            }
            Step::AtomicEnd => {
                self.cut(|frame| matches!(frame, Frame::Atomic));
                Next::To(next, at)
            }
            Step::Hit
            | Step::Octet(_)
            | Step::Set(_)
            | Step::Text { .. }
            | Step::Folded { .. }
            | Step::Run(_)
            | Step::Fork { .. }
            | Step::Late { .. }
            | Step::Guard { .. }
            | Step::Choose { .. }
            | Step::Jump(_)
            | Step::Assert(_)
            | Step::Save(_)
            | Step::Moved { .. } => Next::Found(at),
        }
    }

    fn save(&mut self, slot: u16, at: usize) {
        if let Some(kept) = self.slots.get_mut(usize::from(slot)) {
            let value = std::mem::replace(kept, at);
            self.later(Frame::Restore { slot, value });
        }
    }

    fn choose(
        &mut self,
        program: &Program,
        text: &[u8],
        (table, memo): (u32, u32),
        step: u32,
        at: usize,
    ) -> Next {
        let Some(table) = program.tables.get(table as usize) else { return Next::Fail };
        let Some((first, others)) = table.branches(text.get(at).copied()).split_first() else {
            return Next::Fail;
        };
        if !others.is_empty() {
            if self.met(memo, text, at) {
                return Next::Fail;
            }
            for other in others.iter().rev() {
                self.later(Frame::Retry { step: step + other, at });
            }
        }
        Next::To(step + first, at)
    }

    fn run(
        &mut self,
        program: &Program,
        text: &[u8],
        (number, run): (u32, &Run),
        next: u32,
        at: usize,
    ) -> Next {
        if self.met(run.memo, text, at) {
            return Next::Fail;
        }
        let set = program.set(run.set);
        let rest = text.get(at..).unwrap_or_default();
        let most = rest.get(..run.max).unwrap_or(rest);
        let length = most.iter().position(|octet| !set.has(*octet)).unwrap_or(most.len());
        self.left = self.left.saturating_sub(length as u64 / 8);
        if length < run.min {
            return Next::Fail;
        }
        let (low, high) = (at + run.min, at + length);
        match run.greed {
            Greed::Possessive => Next::To(next, high),
            Greed::Most => self.shorter(program, text, (next, low, high, number)),
            Greed::Least => self.longer(program, text, (next, low, high, number)),
        }
    }

    /// Whether what must follow a run can follow here.
    #[inline]
    fn may_follow(program: &Program, text: &[u8], run: u32, at: usize) -> bool {
        let after = program.runs.get(run as usize).and_then(|run| run.after);
        after.is_none_or(|set| text.get(at).is_some_and(|octet| program.set(set).has(*octet)))
    }

    /// Goes on behind the longest run that is left.
    fn shorter(
        &mut self,
        program: &Program,
        text: &[u8],
        (step, low, high, run): (u32, usize, usize, u32),
    ) -> Next {
        let mut at = high;
        while !Self::may_follow(program, text, run, at) {
            if at <= low {
                return Next::Fail;
            }
            at -= 1;
        }
        self.left = self.left.saturating_sub((high - at) as u64 / 8);
        if at > low {
            self.later(Frame::Shorter { step, low, high: at - 1, run });
        }
        Next::To(step, at)
    }

    fn longer(
        &mut self,
        program: &Program,
        text: &[u8],
        (step, low, high, run): (u32, usize, usize, u32),
    ) -> Next {
        let mut at = low;
        while !Self::may_follow(program, text, run, at) {
            if at >= high {
                return Next::Fail;
            }
            at += 1;
        }
        self.left = self.left.saturating_sub((at - low) as u64 / 8);
        if at < high {
            self.later(Frame::Longer { step, at: at + 1, high, run });
        }
        Next::To(step, at)
    }

    /// Takes up the last way that was left.
    fn back(&mut self, program: &Program, text: &[u8]) -> Next {
        while let Some(frame) = self.frames.pop() {
            let next = match frame {
                Frame::Retry { step, at } => return Next::To(step, at),
                Frame::Shorter { step, low, high, run } => {
                    self.shorter(program, text, (step, low, high, run))
                }
                Frame::Longer { step, at, high, run } => {
                    self.longer(program, text, (step, at, high, run))
                }
                Frame::Restore { slot, value } => {
                    if let Some(kept) = self.slots.get_mut(usize::from(slot)) {
                        *kept = value;
                    }
                    continue;
                }
                Frame::Look { end, at, negative: true } => return Next::To(end, at),
                Frame::Look { negative: false, .. } | Frame::Atomic => continue,
            };
            if !matches!(next, Next::Fail) {
                return next;
            }
        }
        Next::Fail
    }

    /// Where the look that is open began.
    fn open_look(&self) -> Option<usize> {
        self.frames.iter().rev().find_map(|frame| match frame {
            Frame::Look { at, .. } => Some(*at),
            Frame::Retry { .. }
            | Frame::Shorter { .. }
            | Frame::Longer { .. }
            | Frame::Restore { .. }
            | Frame::Atomic => None,
        })
    }

    /// A look has found what it looked for.
    fn done(&mut self) -> Next {
        match self.cut(|frame| matches!(frame, Frame::Look { .. })) {
            Some(Frame::Look { end, at, negative: false }) => Next::To(end, at),
            _ => Next::Fail,
        }
    }

    /// Drops all ways that were left since that frame, which is given back. Notes stay, and can still be undone.
    fn cut(&mut self, is: impl Fn(&Frame) -> bool) -> Option<Frame> {
        let place = self.frames.iter().rposition(is)?;
        self.left = self.left.saturating_sub((self.frames.len() - place) as u64 / 8);
        let found = self.frames.get(place).copied();
        let mut kept = place;
        for index in place + 1..self.frames.len() {
            if let Some(frame @ Frame::Restore { .. }) = self.frames.get(index).copied() {
                if let Some(slot) = self.frames.get_mut(kept) {
                    *slot = frame;
                }
                kept += 1;
            }
        }
        self.frames.truncate(kept);
        found
    }
}

/// The same but for the case of ASCII letters; `want` is in lower case.
#[inline]
fn alike(have: &[u8], want: &[u8]) -> bool {
    have.eq_ignore_ascii_case(want)
        || (want.iter().any(|octet| !octet.is_ascii()) && folds(have, want))
}

/// The same but for the case of letters, those of Latin-1 among them.
fn folds(have: &[u8], want: &[u8]) -> bool {
    let same = |(have, want): (&u8, &u8)| have == want || super::set::other_case(*have) == *want;
    have.len() == want.len() && have.iter().zip(want).all(same)
}

fn holds(assertion: Assertion, text: &[u8], at: usize) -> bool {
    let word = |octet: Option<&u8>| {
        octet.is_some_and(|octet| octet.is_ascii_alphanumeric() || *octet == b'_')
    };
    let before = || at.checked_sub(1).and_then(|before| text.get(before));
    match assertion {
        Assertion::TextStart => at == 0,
        Assertion::LineStart => at == 0 || before() == Some(&b'\n') && at < text.len(),
        Assertion::TextEnd => at == text.len(),
        Assertion::LastLineEnd => {
            at == text.len() || at + 1 == text.len() && text.last() == Some(&b'\n')
        }
        Assertion::LineEnd => at == text.len() || text.get(at) == Some(&b'\n'),
        Assertion::WordBorder => word(before()) != word(text.get(at)),
        Assertion::NoWordBorder => word(before()) == word(text.get(at)),
    }
}
