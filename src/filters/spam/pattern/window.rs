//! What the octets at one place of every match look like: enough to pass by nearly all places of a text at a glance.

use std::collections::HashMap;

use super::program::{Point, Program, Step};
use super::set::OctetSet;
use super::tree::{Assertion, Lengths};
use super::usual::Usual;

/// Octets of a window.
pub(super) const DEPTH: usize = 8;
/// With more places between the first and the last start that a window leaves open, these are not tried one by one.
pub(super) const NEAR_MAX: usize = 32;
/// States that are looked at to make one window.
const STATES_MAX: usize = 3_000;
/// Rows of one window.
const ROWS_MAX: usize = 400;
/// States that are looked at to make the rows of one window.
const ROW_STATES_MAX: usize = 600_000;
/// The same where rows are only worth it if they are few.
const ROW_STATES_FEW: usize = 20_000;
/// Of so many points rows are made, at most.
const ROWS_POINTS: usize = 4;
/// A place that shows more octets than this first is not worth rows of its own, unless its distance is fixed.
const NARROW: u32 = 24;
/// Windows that fewer places fit are good enough as one row.
const SHARE_GOOD: f64 = 1.0 / 1_000.0;
/// A window of which more places than this share would be fits is not worth the name.
const SHARE_MAX: f64 = 1.0 / 16.0;
/// A window that is needed besides is worth it if no more places than this share fit.
const NEEDED_MAX: f64 = 1.0 / 300.0;
/// Its rows.
const NEEDED_ROWS_MAX: usize = 30;
/// What it costs to look at the third octet, in tries of a place.
const NEAR_COST: f64 = 0.05;
/// Rows are made of a point only if its distance from the start of the match varies by no more octets: else they cost more
/// than they save.
const ROWS_NEAR: usize = 2;
/// What it costs to see that no match begins at a place, in tries of a place.
const START_COST: f64 = 0.25;
/// How much more it costs to search a whole piece of text than to try one place of it.
const PIECE_COST: f64 = 30.0;

/// For each place from the window's start on, the octets that may stand there.
pub(super) type Sets = [OctetSet; DEPTH];

/// One way a match can look at one of its places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    /// The octet that may stand before; the start of a text counts as a line feed.
    pub(super) before: OctetSet,
    pub(super) sets: Sets,
}

/// What a match shows at one of its places: one of these rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) rows: Vec<Row>,
    /// Octets between the start of the match and the window.
    pub(super) before: Lengths,
}

/// A step of the program, and how many octets it has taken: of a run at most [`COUNTED`].
pub(super) type State = (u32, u32);

/// As many octets of one step are told apart.
const COUNTED: u32 = 15;

/// What can be taken first, where it leads, and what may stand before it.
struct Taken {
    before: OctetSet,
    set: OctetSet,
    next: State,
}

/// What a match can show from that step on.
pub(super) fn row(program: &Program, step: u32) -> Row {
    let mut row = Row { before: OctetSet::ALL, sets: [OctetSet::ALL; DEPTH] };
    let (mut budget, mut seen) = (STATES_MAX, Vec::new());
    let Some(first) = firsts(program, step, &mut seen, &mut budget) else { return row };
    let [slot, rest @ ..] = &mut row.sets;
    let (none, nothing) = (OctetSet::NONE, OctetSet::NONE);
    let all = first.iter().fold((none, nothing), |(before, set), taken| {
        (before.or(&taken.before), set.or(&taken.set))
    });
    (row.before, *slot) = all;
    let states = first.into_iter().map(|taken| taken.next).collect();
    follow(program, states, rest, &mut seen, &mut budget);
    row
}

/// What can be taken first from that step on; `None` if the match may end there.
fn firsts(
    program: &Program,
    step: u32,
    seen: &mut Vec<u64>,
    budget: &mut usize,
) -> Option<Vec<Taken>> {
    let mut asked = Vec::new();
    let plain = closed(program, vec![(step, 0)], seen, budget, Some(&mut asked))?;
    let free = |(set, next)| Taken { before: OctetSet::ALL, set, next };
    let mut out: Vec<Taken> = plain.into_iter().map(free).collect();
    for (assertion, state) in asked {
        let taking = taking(program, vec![state], seen, budget)?;
        out.extend(taking.into_iter().flat_map(|(set, next)| {
            let parts = before(assertion, &set).into_iter();
            parts.map(move |(before, set)| Taken { before, set, next })
        }));
    }
    out.retain(|taken| taken.set != OctetSet::NONE);
    Some(out)
}

/// What may stand before octets of that set where an assertion holds between them.
fn before(assertion: Assertion, set: &OctetSet) -> Vec<(OctetSet, OctetSet)> {
    let word = OctetSet::of(|octet| octet.is_ascii_alphanumeric() || octet == b'_');
    let (words, others) = (set.and(&word), set.and(&word.not()));
    match assertion {
        Assertion::WordBorder => vec![(word.not(), words), (word, others)],
        Assertion::NoWordBorder => vec![(word, words), (word.not(), others)],
        Assertion::TextStart | Assertion::LineStart => vec![(OctetSet::one(b'\n'), *set)],
        Assertion::LastLineEnd | Assertion::LineEnd | Assertion::TextEnd => {
            vec![(OctetSet::ALL, *set)]
        }
    }
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
pub(super) fn taking(
    program: &Program,
    states: Vec<State>,
    seen: &mut Vec<u64>,
    budget: &mut usize,
) -> Option<Vec<(OctetSet, State)>> {
    closed(program, states, seen, budget, None)
}

/// The same; with `asked`, ways end at an assertion and are given back there.
fn closed(
    program: &Program,
    states: Vec<State>,
    seen: &mut Vec<u64>,
    budget: &mut usize,
    asked: Option<&mut Vec<(Assertion, State)>>,
) -> Option<Vec<(OctetSet, State)>> {
    seen.resize(program.steps.len().div_ceil(4), 0);
    let mut walk = Walk {
        program,
        seen: std::mem::take(seen),
        touched: Vec::new(),
        open: states,
        taking: Vec::new(),
        asked,
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

/// The same as rows: what follows one octet need not follow another.
fn rows(program: &Program, step: u32, budget: usize) -> Vec<Row> {
    let by_two = rows_by(program, step, 2, budget);
    let rows = by_two.or_else(|| rows_by(program, step, 1, budget));
    rows.unwrap_or_else(|| vec![row(program, step)])
}

/// Rows, each for some first octet or some first two; `None` if these are too many.
fn rows_by(program: &Program, step: u32, octets: usize, mut budget: usize) -> Option<Vec<Row>> {
    let mut seen = Vec::new();
    let mut out = Vec::new();
    let mut known: HashMap<Vec<State>, ([OctetSet; DEPTH - 2], usize)> = HashMap::new();
    let mut first = firsts(program, step, &mut seen, &mut budget)?;
    first.sort_by_key(|taken| taken.before);
    for alike in first.chunk_by(|one, other| one.before == other.before) {
        let before = alike.first().map_or(OctetSet::ALL, |taken| taken.before);
        let taking = alike.iter().map(|taken| (taken.set, taken.next)).collect::<Vec<_>>();
        for (set, states) in branches(&taking) {
            let second = match octets {
                1 => None,
                _ => self::taking(program, states.clone(), &mut seen, &mut budget),
            };
            let Some(second) = second else {
                let mut sets = [OctetSet::ALL; DEPTH];
                let [slot, rest @ ..] = &mut sets;
                *slot = set;
                follow(program, states, rest, &mut seen, &mut budget);
                out.push(Row { before, sets });
                if out.len() > ROWS_MAX {
                    return None;
                }
                continue;
            };
            for (next, states) in branches(&second) {
                let mut sets = [OctetSet::ALL; DEPTH];
                let [slot, other, rest @ ..] = &mut sets;
                (*slot, *other) = (set, next);
                // Different octets often lead to the same.
                match known.get(&states) {
                    Some((sets, took)) if *took <= budget => {
                        *rest = *sets;
                        budget -= took;
                    }
                    _ => {
                        let before = budget;
                        follow(program, states.clone(), rest, &mut seen, &mut budget);
                        known.insert(states, (*rest, before - budget));
                    }
                }
                out.push(Row { before, sets });
                if out.len() > ROWS_MAX {
                    return None;
                }
            }
        }
    }
    Some(out)
}

/// The octets that can be taken, with what each leads to; those that lead to the same are together.
fn branches(taking: &[(OctetSet, State)]) -> Vec<(OctetSet, Vec<State>)> {
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
    out
}

struct Walk<'p, 'a> {
    program: &'p Program,
    /// Where ways end at an assertion; `None`: they pass it.
    asked: Option<&'a mut Vec<(Assertion, State)>>,
    /// Sixteen bits for each step: one for each count of octets that may have been taken there.
    seen: Vec<u64>,
    /// Words of `seen` that were changed.
    touched: Vec<usize>,
    open: Vec<(u32, u32)>,
    /// What can be taken, and where it leads.
    taking: Vec<(OctetSet, (u32, u32))>,
}

impl Walk<'_, '_> {
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
        let mask = 1 << (step % 4 * 16 + done.min(COUNTED));
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
            Step::Text { .. } | Step::Folded { .. } if done >= COUNTED => return false,
            Step::Text { at, length } => self.text(at, length, (step, done), false),
            Step::Folded { at, length } => self.text(at, length, (step, done), true),
            Step::Run(number) => {
                let Some(run) = program.runs.get(number as usize) else { return false };
                let done_now = done as usize;
                if done_now >= run.min || done >= COUNTED {
                    self.open.push(next);
                }
                if done_now < run.max {
                    // Without an upper limit, what is beyond the lower one makes no difference.
                    let endless = run.max == usize::MAX && done_now >= run.min;
                    let more = if endless || done >= COUNTED { done } else { done + 1 };
                    self.taking.push((*program.set(run.set), (step, more)));
                }
            }
            Step::Fork { other, .. }
            | Step::Late { other, .. }
            | Step::Guard { other, .. }
            | Step::Moved { other, .. } => self.open.extend([next, (other, 0)]),
            Step::Choose { table, .. } => {
                let Some(table) = program.tables.get(table as usize) else { return false };
                self.open.extend(table.starts.iter().map(|offset| (step + offset, 0)));
            }
            Step::Jump(other) => self.open.push((other, 0)),
            Step::Assert(assertion) => match &mut self.asked {
                Some(asked) => asked.push((assertion, next)),
                None => self.open.push(next),
            },
            Step::Save(_) | Step::Atomic | Step::AtomicEnd => self.open.push(next),
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

/// The window that the fewest places of a text will fit, and, where that says little, one that must fit besides;
/// `None` if all are too common.
pub(super) fn best(
    program: &Program,
    points: &[Point],
    usual: Usual,
) -> (Option<Window>, Option<Window>) {
    let start = Point { step: 0, before: Lengths::exactly(0) };
    let mut points: Vec<&Point> = std::iter::once(&start).chain(points).collect();
    // The start is often a point as well.
    points.dedup_by_key(|point| (point.step, point.before.min, point.before.max));
    let (mut best, mut narrow) = (None, Vec::new());
    for point in &points {
        let row = row(program, point.step);
        if !is_fixed(point) && row.sets.first().is_some_and(|set| set.len() <= NARROW) {
            narrow.push(*point);
        }
        consider(&mut best, usual, point, vec![row]);
    }
    let good =
        |best: &Option<(f64, Window)>| best.as_ref().is_some_and(|(cost, _)| *cost <= SHARE_GOOD);
    if good(&best) {
        return (best.map(|(_, window)| window), None);
    }
    // Where all is too common, rows tell more; of the points those are worth it whose distance is nearly fixed.
    for point in points.iter().filter(|point| is_near(point, ROWS_NEAR)).take(ROWS_POINTS) {
        consider(&mut best, usual, point, rows(program, point.step, ROW_STATES_MAX));
    }
    if good(&best) {
        return (best.map(|(_, window)| window), None);
    }
    let mut needed: Option<(f64, Window)> = None;
    for point in narrow {
        let rows = rows(program, point.step, ROW_STATES_FEW);
        let share = rows.iter().map(|row| usual.shares(row).0).sum::<f64>();
        let rare = share <= NEEDED_MAX && rows.len() <= NEEDED_ROWS_MAX;
        if rare && needed.as_ref().is_none_or(|(other, _)| share < *other) {
            needed = Some((share, Window { rows, before: point.before }));
        }
    }
    let needed = needed.map(|(_, window)| window);
    match best {
        Some((_, window)) => (Some(window), needed),
        None => (needed, None),
    }
}

/// Whether all matches have so many octets before it.
fn is_fixed(point: &Point) -> bool {
    point.before.max == Some(point.before.min)
}

/// Whether so few places come into question for the start of a match that each of them is tried.
fn is_near(point: &Point, more: usize) -> bool {
    let Lengths { min, max } = point.before;
    max.and_then(|max| max.checked_sub(min)).is_some_and(|distance| distance <= more)
}

/// What it costs to look for a match around a place.
fn tries(point: &Point) -> f64 {
    match point.before.max.map(|max| max.saturating_sub(point.before.min)) {
        Some(more) if more <= NEAR_MAX => {
            1.0 + u32::try_from(more).map_or(0.0, f64::from) * START_COST
        }
        _ => PIECE_COST,
    }
}

/// Keeps a window if it is better than what was found before.
fn consider(best: &mut Option<(f64, Window)>, usual: Usual, point: &Point, rows: Vec<Row>) {
    let shares = rows.iter().map(|row| usual.shares(row));
    // What fits in its first two octets is looked at more closely.
    let (share, near) = shares.fold((0.0, 0.0), |sum, own| (sum.0 + own.0, sum.1 + own.1));
    let cost = share * tries(point) + near * NEAR_COST;
    // A row more costs a little as well.
    let worth = |other: f64| cost < other / if rows.len() > 1 { 4.0 } else { 1.0 };
    if share <= SHARE_MAX && best.as_ref().is_none_or(|(other, _)| worth(*other)) {
        *best = Some((cost, Window { rows, before: point.before }));
    }
}

impl Row {
    /// Whether that many of its octets can stand at that place of a text, and what is before them before it. The start
    /// of a text counts as a line feed; what is beyond its end can be anything only where anything may stand.
    pub(super) fn fits(&self, text: &[u8], at: usize, depth: usize) -> bool {
        let octet = |at: usize| text.get(at).copied();
        let before = at.checked_sub(1).map_or(Some(b'\n'), octet);
        let allows = |(octet, set): (Option<u8>, &OctetSet)| match octet {
            Some(octet) => set.has(octet),
            None => *set == OctetSet::ALL,
        };
        before.is_some_and(|before| self.before.has(before))
            && (at..).map(octet).zip(self.sets.iter().take(depth)).all(allows)
    }
}
