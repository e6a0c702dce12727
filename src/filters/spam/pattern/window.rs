//! What the octets at one place of every match look like: enough to pass by nearly all places of a text at a glance.

use super::program::{Point, Program, Step};
use super::set::OctetSet;
use super::tree::Lengths;

/// Octets of a window.
pub(super) const DEPTH: usize = 8;
/// States that are looked at to make one window.
const STATES_MAX: usize = 3_000;
/// A window of which more places than this share would be fits is not worth the name.
const SHARE_MAX: f64 = 1.0 / 16.0;
/// How much more it costs to search a whole piece of text than to try one place of it.
const PIECE_COST: f64 = 30.0;

/// For each place from the window's start on, the octets that may stand there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) sets: [OctetSet; DEPTH],
    /// Octets between the start of the match and the window; `None` if that varies.
    pub(super) offset: Option<usize>,
}

/// The sets that a match can show from that step on.
pub(super) fn sets(program: &Program, step: u32) -> [OctetSet; DEPTH] {
    let mut out = [OctetSet::ALL; DEPTH];
    let mut states: Vec<(u32, u32)> = vec![(step, 0)];
    let mut budget = STATES_MAX;
    let mut seen = Vec::new();
    for slot in &mut out {
        seen.clear();
        seen.resize(program.steps.len().div_ceil(4), 0);
        let mut walk = Walk { program, seen, open: states, taking: Vec::new() };
        if !walk.close(&mut budget) {
            break;
        }
        let mut set = OctetSet::NONE;
        seen = walk.seen;
        states = Vec::with_capacity(walk.taking.len());
        for (own, next) in walk.taking {
            set = set.or(&own);
            states.push(next);
        }
        *slot = set;
    }
    out
}

struct Walk<'p> {
    program: &'p Program,
    /// Sixteen bits for each step: one for each count of octets that may have been taken there.
    seen: Vec<u64>,
    open: Vec<(u32, u32)>,
    /// What can be taken, and where it leads.
    taking: Vec<(OctetSet, (u32, u32))>,
}

impl Walk<'_> {
    /// Follows all that takes no octet; false if the match may end here, or nobody knows.
    fn close(&mut self, budget: &mut usize) -> bool {
        while let Some(state) = self.open.pop() {
            if self.was_seen(state) {
                continue;
            }
            if *budget == 0 {
                return false;
            }
            *budget -= 1;
            if !self.state(state) {
                return false;
            }
        }
        true
    }

    fn was_seen(&mut self, (step, done): (u32, u32)) -> bool {
        let Some(word) = self.seen.get_mut(step as usize / 4) else { return true };
        let mask = 1 << (step % 4 * 16 + done.min(15));
        let seen = *word & mask != 0;
        *word |= mask;
        seen
    }

    fn state(&mut self, (step, done): (u32, u32)) -> bool {
        let next = (step + 1, 0);
        let program = self.program;
        match program.step(step) {
            Step::Octet(octet) => self.taking.push((OctetSet::one(octet), next)),
            Step::Set(set) => self.taking.push((*program.set(set), next)),
            Step::Text { at, length } => self.text(at, length, (step, done), false),
            Step::Folded { at, length } => self.text(at, length, (step, done), true),
            Step::Run(number) => {
                let Some(run) = program.runs.get(number as usize) else { return false };
                let done_now = done as usize;
                if done_now >= run.min {
                    self.open.push(next);
                }
                if done_now < run.max {
                    // Without an upper limit, what is beyond the lower one makes no difference.
                    let endless = run.max == usize::MAX && done_now >= run.min;
                    let more = if endless { done } else { done + 1 };
                    self.taking.push((*program.set(run.set), (step, more)));
                }
            }
            Step::Fork { other, .. }
            | Step::Late { other, .. }
            | Step::Guard { other, .. }
            | Step::Moved { other, .. } => self.open.extend([next, (other, 0)]),
            Step::Choose { table, .. } => {
                let Some(table) = program.tables.get(table as usize) else { return false };
                self.open.extend(table.starts().map(|offset| (step + offset, 0)));
            }
            Step::Jump(other) => self.open.push((other, 0)),
            Step::Assert(_) | Step::Save(_) | Step::Atomic | Step::AtomicEnd => {
                self.open.push(next);
            }
            Step::Look { end, .. } | Step::Behind { end, .. } => self.open.push((end, 0)),
            Step::Same { .. } | Step::Done | Step::DoneBehind | Step::Hit => return false,
        }
        true
    }

    fn text(&mut self, at: u32, length: u32, (step, done): (u32, u32), fold: bool) {
        let Some(octet) = self.program.text(at, length).get(done as usize) else { return };
        let set = OctetSet::one(*octet);
        let more = if done + 1 < length { (step, done + 1) } else { (step + 1, 0) };
        self.taking.push((if fold { set.folded() } else { set }, more));
    }
}

/// The window that the fewest places of a text will fit; `None` if all are too common.
pub(super) fn best(program: &Program, points: &[Point]) -> Option<Window> {
    let start = Point { step: 0, before: Lengths::exactly(0) };
    let mut best: Option<(f64, Window)> = None;
    for point in std::iter::once(&start).chain(points) {
        let sets = sets(program, point.step);
        let share = share(&sets);
        let fixed = point.before.max == Some(point.before.min);
        let offset = fixed.then_some(point.before.min);
        let cost = if fixed { share } else { share * PIECE_COST };
        if share <= SHARE_MAX && best.as_ref().is_none_or(|(other, _)| cost < *other) {
            best = Some((cost, Window { sets, offset }));
        }
    }
    best.map(|(_, window)| window)
}

/// The share of places of an ordinary text that fit.
fn share(sets: &[OctetSet; DEPTH]) -> f64 {
    let one = |set: &OctetSet| -> f64 {
        if *set == OctetSet::ALL {
            return 1.0;
        }
        set.iter().map(commonness).sum::<f64>().min(1.0)
    };
    sets.iter().map(one).product()
}

/// How common an octet is in text, roughly: most mail is in languages of Latin letters.
fn commonness(octet: u8) -> f64 {
    let thousandths = match octet {
        b' ' => 140.0,
        b'e' => 80.0,
        b't' | b'a' | b'o' => 55.0,
        b'n' | b'i' | b's' | b'r' => 45.0,
        b'h' | b'l' | b'd' | b'c' => 26.0,
        b'u' | b'm' | b'p' | b'\n' => 17.0,
        b'f' | b'g' | b'w' | b'y' | b'b' | b'.' | b'=' => 12.0,
        b'v' | b'k' | b',' | b'-' | b'/' | b'<' | b'>' | b'"' | b':' => 8.0,
        b'0'..=b'9' => 6.0,
        b'A'..=b'Z' => 4.0,
        b'x' | b'j' | b'q' | b'z' => 3.0,
        b'!'..=b'~' => 2.0,
        128..=255 => 0.6,
        _ => 0.1,
    };
    thousandths / 1_000.0
}
