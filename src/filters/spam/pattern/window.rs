//! What the octets at one place of every match look like: enough to pass by nearly all places of a text at a glance.

use super::program::{Point, Program, Step};
use super::set::OctetSet;
use super::tree::Lengths;

/// Octets of a window.
pub(super) const DEPTH: usize = 8;
/// States that are looked at to make one window.
const STATES_MAX: usize = 3_000;
/// Rows of one window.
const ROWS_MAX: usize = 400;
/// States that are looked at to make the rows of one window.
const ROW_STATES_MAX: usize = 60_000;
/// Windows that fewer places fit are good enough as one row.
const SHARE_GOOD: f64 = 1.0 / 1_000.0;
/// A window of which more places than this share would be fits is not worth the name.
const SHARE_MAX: f64 = 1.0 / 16.0;
/// What it costs to look at the third octet, in tries of a place.
const NEAR_COST: f64 = 0.05;
/// How much more it costs to search a whole piece of text than to try one place of it.
const PIECE_COST: f64 = 30.0;

/// For each place from the window's start on, the octets that may stand there.
pub(super) type Sets = [OctetSet; DEPTH];

/// What a match shows at one of its places: one of these rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) rows: Vec<Sets>,
    /// Octets between the start of the match and the window; `None` if that varies.
    pub(super) offset: Option<usize>,
}

type State = (u32, u32);

/// The sets that a match can show from that step on.
pub(super) fn sets(program: &Program, step: u32) -> Sets {
    let mut out = [OctetSet::ALL; DEPTH];
    follow(program, vec![(step, 0)], &mut out, &mut Vec::new(), &mut { STATES_MAX });
    out
}

/// Fills in the sets from these states on; what cannot be known stays as it is.
fn follow(
    program: &Program,
    mut states: Vec<State>,
    out: &mut [OctetSet],
    seen: &mut Vec<u64>,
    budget: &mut usize,
) {
    for slot in out {
        let Some(taking) = taking(program, states, seen, budget) else { return };
        let mut set = OctetSet::NONE;
        states = Vec::with_capacity(taking.len());
        for (own, next) in taking {
            set = set.or(&own);
            states.push(next);
        }
        *slot = set;
    }
}

/// What can be taken in these states, and where it leads; `None` if the match may end there.
fn taking(
    program: &Program,
    states: Vec<State>,
    seen: &mut Vec<u64>,
    budget: &mut usize,
) -> Option<Vec<(OctetSet, State)>> {
    seen.resize(program.steps.len().div_ceil(4), 0);
    let mut walk = Walk {
        program,
        seen: std::mem::take(seen),
        touched: Vec::new(),
        open: states,
        taking: Vec::new(),
    };
    let known = walk.close(budget);
    *seen = walk.seen;
    for word in walk.touched {
        if let Some(word) = seen.get_mut(word) {
            *word = 0;
        }
    }
    known.then_some(walk.taking)
}

/// The same as rows, each for some first two octets: what follows one of them need not follow another.
fn rows(program: &Program, step: u32) -> Vec<Sets> {
    let whole = || vec![sets(program, step)];
    let mut budget = ROW_STATES_MAX;
    let mut seen = Vec::new();
    let Some(first) = branches(program, vec![(step, 0)], &mut seen, &mut budget) else {
        return whole();
    };
    let mut out = Vec::new();
    for (set, states) in first {
        let second = branches(program, states, &mut seen, &mut budget).unwrap_or_default();
        if second.is_empty() {
            let mut row = [OctetSet::ALL; DEPTH];
            if let Some(slot) = row.first_mut() {
                *slot = set;
            }
            out.push(row);
        }
        for (next, states) in second {
            let mut row = [OctetSet::ALL; DEPTH];
            let [slot, other, rest @ ..] = &mut row;
            (*slot, *other) = (set, next);
            follow(program, states, rest, &mut seen, &mut budget);
            out.push(row);
        }
        if out.len() > ROWS_MAX {
            return whole();
        }
    }
    out
}

/// The octets that can be taken, with what each leads to; those that lead to the same are together.
fn branches(
    program: &Program,
    states: Vec<State>,
    seen: &mut Vec<u64>,
    budget: &mut usize,
) -> Option<Vec<(OctetSet, Vec<State>)>> {
    let taking = taking(program, states, seen, budget)?;
    let mut out: Vec<(OctetSet, Vec<State>)> = Vec::new();
    let all = taking.iter().fold(OctetSet::NONE, |all, (set, _)| all.or(set));
    for octet in all.iter() {
        let next: Vec<State> =
            taking.iter().filter(|(set, _)| set.has(octet)).map(|(_, next)| *next).collect();
        match out.iter_mut().find(|(_, known)| *known == next) {
            Some((set, _)) => *set = set.with(octet),
            None => out.push((OctetSet::one(octet), next)),
        }
    }
    Some(out)
}

struct Walk<'p> {
    program: &'p Program,
    /// Sixteen bits for each step: one for each count of octets that may have been taken there.
    seen: Vec<u64>,
    /// Words of `seen` that were changed.
    touched: Vec<usize>,
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
        if !seen {
            self.touched.push(step as usize / 4);
        }
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
    let points = || std::iter::once(&start).chain(points);
    let mut best = None;
    for point in points() {
        consider(&mut best, point, vec![sets(program, point.step)]);
    }
    if best.as_ref().is_none_or(|(cost, _)| *cost > SHARE_GOOD) {
        // Where all is too common, rows tell more; of the places those with a fixed distance are worth it.
        for point in points().filter(|point| point.before.max == Some(point.before.min)).take(2) {
            consider(&mut best, point, rows(program, point.step));
        }
    }
    best.map(|(_, window)| window)
}

/// Keeps a window if it is better than what was found before.
fn consider(best: &mut Option<(f64, Window)>, point: &Point, rows: Vec<Sets>) {
    let share: f64 = rows.iter().map(|sets| common(sets)).sum();
    let fixed = point.before.max == Some(point.before.min);
    // What fits in its first two octets is looked at more closely.
    let near: f64 = rows.iter().map(|sets| common(sets.get(..2).unwrap_or(sets))).sum();
    let cost = if fixed { share } else { share * PIECE_COST } + near * NEAR_COST;
    // A row more costs a little as well.
    let worth = |other: f64| cost < other / if rows.len() > 1 { 4.0 } else { 1.0 };
    if share <= SHARE_MAX && best.as_ref().is_none_or(|(other, _)| worth(*other)) {
        *best = Some((cost, Window { rows, offset: fixed.then_some(point.before.min) }));
    }
}

/// The share of places of an ordinary text that fit.
fn common(sets: &[OctetSet]) -> f64 {
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
