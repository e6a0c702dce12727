//! What LHA, ARJ and zoo pack: prefix codes in blocks over a small window, and LHA's first way, whose code learns.

use super::bits::{Bits, Code, History};
use crate::mail::DefectCode;
use crate::mime::budget::{Budget, STEP_BYTES};
use crate::mime::container::unpack::Unpacked;

/// How it is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// Codes in blocks: how many for distances, and the bits of that number.
    Blocks { distances: usize, bits: u32 },
    /// LHA's first: a code that learns.
    Learning,
    /// ARJ's fastest: fixed codes.
    Fixed,
}

const LITERALS: usize = 510;
const LENGTHS: usize = 19;

/// Unpacks `size` octets.
pub(super) fn unpack(
    packed: &[u8],
    size: usize,
    method: Method,
    before: u8,
    budget: &mut Budget,
) -> Unpacked {
    let mut history = History { before, ..History::default() };
    let mut bits = Bits::new(packed);
    let mut step: Box<Step<'_>> = match method {
        Method::Blocks { distances, bits } => {
            let mut blocks = Blocks { distances, bits, ..Blocks::default() };
            Box::new(move |bits, history| blocks.step(bits, history))
        }
        Method::Learning => {
            let mut learning = Learning::new();
            Box::new(move |bits, history| learning.step(bits, history))
        }
        Method::Fixed => Box::new(fixed),
    };
    let mut paid = 0;
    let mut odd = None;
    while history.data.len() < size {
        if bits.is_over() || step(&mut bits, &mut history).is_none() {
            odd = Some(DefectCode::BadArchive);
            break;
        }
        let fresh = history.data.len() - paid;
        if fresh >= STEP_BYTES || history.data.len() >= size {
            if let Err(code) = budget.expand(fresh, paid, packed.len()) {
                history.data.truncate(STEP_BYTES);
                odd = Some(code);
                break;
            }
            paid = history.data.len();
        }
    }
    history.data.truncate(size);
    Unpacked { data: history.data, odd }
}

type Step<'a> = dyn FnMut(&mut Bits<'_>, &mut History) -> Option<()> + 'a;

fn small(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// A code, or the one symbol that takes no bits.
#[derive(Debug, Default)]
struct Tree {
    code: Code,
    only: Option<usize>,
}

impl Tree {
    fn read(&self, bits: &mut Bits<'_>) -> Option<usize> {
        match self.only {
            Some(symbol) => Some(symbol),
            None => self.code.read(bits),
        }
    }

    /// A code of `count` symbols at most, of which short lengths are written. After the third symbol of some, a run of
    /// zeros may be told.
    fn read_short(bits: &mut Bits<'_>, count: usize, width: u32, runs: bool) -> Option<Self> {
        let total = small(bits.read(width));
        if total == 0 {
            return Some(Self { only: Some(small(bits.read(width))), ..Self::default() });
        }
        let mut lengths: Vec<u8> = Vec::new();
        while lengths.len() < total.min(count) {
            let mut length = bits.read(3);
            if length == 7 {
                while bits.read(1) == 1 {
                    length += 1;
                }
            }
            lengths.push(u8::try_from(length).ok().filter(|length| *length <= 16)?);
            if runs && lengths.len() == 3 {
                lengths.extend((0..bits.read(2)).map(|_| 0));
            }
        }
        Some(Self { code: Code::new(&lengths), only: None })
    }

    /// The code of literals and lengths, whose lengths are packed by another code.
    fn read_literals(bits: &mut Bits<'_>, by: &Self) -> Option<Self> {
        const WIDTH: u32 = 9;
        let total = small(bits.read(WIDTH));
        if total == 0 {
            return Some(Self { only: Some(small(bits.read(WIDTH))), ..Self::default() });
        }
        let mut lengths: Vec<u8> = Vec::new();
        while lengths.len() < total.min(LITERALS) {
            if bits.is_over() {
                return None;
            }
            let zeros = match by.read(bits)? {
                0 => 1,
                1 => bits.read(4) + 3,
                2 => bits.read(9) + 20,
                length => {
                    lengths.push(u8::try_from(length - 2).ok()?);
                    0
                }
            };
            lengths.extend((0..zeros).map(|_| 0));
        }
        Some(Self { code: Code::new(&lengths), only: None })
    }
}

#[derive(Debug, Default)]
struct Blocks {
    distances: usize,
    bits: u32,
    left: u32,
    literal: Tree,
    distance: Tree,
}

impl Blocks {
    fn step(&mut self, bits: &mut Bits<'_>, history: &mut History) -> Option<()> {
        if self.left == 0 {
            self.left = bits.read(16);
            if self.left == 0 {
                return None;
            }
            let lengths = Tree::read_short(bits, LENGTHS, 5, true)?;
            self.literal = Tree::read_literals(bits, &lengths)?;
            self.distance = Tree::read_short(bits, self.distances, self.bits, false)?;
        }
        self.left -= 1;
        let symbol = self.literal.read(bits)?;
        if let Ok(literal) = u8::try_from(symbol) {
            history.data.push(literal);
            return Some(());
        }
        let distance = match self.distance.read(bits)? {
            0 => 0,
            slot @ 1..=17 => {
                let extra = u32::try_from(slot - 1).ok()?;
                (1 << extra) + small(bits.read(extra))
            }
            _ => return None,
        };
        history.copy(distance + 1, symbol - 253)
    }
}

/// A number written as how many bits it has, one bit for each, and then these.
fn unary(bits: &mut Bits<'_>, first: u32, last: u32) -> usize {
    let (mut width, mut base) = (first, 0);
    while width < last && bits.read(1) == 1 {
        base += 1 << width;
        width += 1;
    }
    base + small(bits.read(width))
}

fn fixed(bits: &mut Bits<'_>, history: &mut History) -> Option<()> {
    match unary(bits, 0, 7) {
        0 => history.data.push(u8::try_from(bits.read(8)).ok()?),
        length => {
            let distance = unary(bits, 9, 13) + 1;
            history.copy(distance, length + 2)?;
        }
    }
    Some(())
}

const SYMBOLS: usize = 314;
const NODES: usize = SYMBOLS * 2 - 1;
const ROOT: usize = NODES - 1;
const COUNT_MAX: u32 = 0x8000;

/// A code whose tree is kept in the order of how often its nodes were used.
#[derive(Debug)]
struct Learning {
    counts: Vec<u32>,
    /// First child of a node, or `NODES` and the symbol.
    children: Vec<usize>,
    /// Parent of a node, and behind these the leaf of each symbol.
    parents: Vec<usize>,
    distance: Code,
}

impl Learning {
    fn new() -> Self {
        let lengths: Vec<u8> = [(3, 1), (4, 3), (5, 8), (6, 12), (7, 24), (8, 16)]
            .into_iter()
            .flat_map(|(length, count)| std::iter::repeat_n(length, count))
            .collect();
        let mut new = Self {
            counts: vec![1; NODES],
            children: (0..NODES).map(|node| node + NODES).collect(),
            parents: (0..NODES + SYMBOLS).map(|node| node.saturating_sub(NODES)).collect(),
            distance: Code::new(&lengths),
        };
        for (pair, node) in (SYMBOLS..NODES).enumerate() {
            new.join(node, pair * 2);
        }
        new
    }

    /// Makes `node` the parent of two neighbours.
    fn join(&mut self, node: usize, first: usize) {
        let count = self.count(first) + self.count(first + 1);
        set(&mut self.counts, node, count);
        set(&mut self.children, node, first);
        set(&mut self.parents, first, node);
        set(&mut self.parents, first + 1, node);
    }

    fn count(&self, node: usize) -> u32 {
        self.counts.get(node).copied().unwrap_or(u32::MAX)
    }

    fn child(&self, node: usize) -> usize {
        self.children.get(node).copied().unwrap_or(NODES)
    }

    fn parent(&self, node: usize) -> usize {
        self.parents.get(node).copied().unwrap_or(ROOT)
    }

    fn step(&mut self, bits: &mut Bits<'_>, history: &mut History) -> Option<()> {
        let mut node = self.child(ROOT);
        while node < NODES {
            node = self.child(node + small(bits.read(1)));
        }
        let symbol = node - NODES;
        self.learn(symbol);
        if let Ok(literal) = u8::try_from(symbol) {
            history.data.push(literal);
            return Some(());
        }
        let high = self.distance.read(bits)?;
        let distance = high << 6 | small(bits.read(6));
        history.copy(distance + 1, symbol - 253)
    }

    /// Counts a symbol, and moves its nodes up to where they belong.
    fn learn(&mut self, symbol: usize) {
        if self.count(ROOT) >= COUNT_MAX {
            self.rebuild();
        }
        let mut node = self.parent(symbol + NODES);
        loop {
            let count = self.count(node) + 1;
            set(&mut self.counts, node, count);
            if node == ROOT {
                return;
            }
            let mut place = node;
            while place + 1 < ROOT && self.count(place + 1) < count {
                place += 1;
            }
            if place > node {
                self.swap(node, place);
                node = place;
            }
            node = self.parent(node);
        }
    }

    fn swap(&mut self, one: usize, other: usize) {
        self.counts.swap(one, other);
        self.children.swap(one, other);
        for node in [one, other] {
            let child = self.child(node);
            set(&mut self.parents, child, node);
            if child < NODES {
                set(&mut self.parents, child + 1, node);
            }
        }
    }

    /// Halves the counts, and makes the tree anew.
    fn rebuild(&mut self) {
        let leaves: Vec<(u32, usize)> = self
            .counts
            .iter()
            .zip(&self.children)
            .filter(|(_, child)| **child >= NODES)
            .map(|(count, child)| (count.div_ceil(2), *child))
            .collect();
        // Leaves keep their order; each pair makes a node that goes behind those of no larger count.
        let mut order: Vec<(u32, usize)> = leaves;
        let mut first = 0;
        while order.len() < NODES {
            let (Some(one), Some(other)) = (order.get(first), order.get(first + 1)) else { return };
            let count = one.0 + other.0;
            let mut place = order.len();
            while place > 0 && order.get(place - 1).is_some_and(|(is, _)| *is > count) {
                place -= 1;
            }
            order.insert(place, (count, first));
            first += 2;
        }
        for (node, (count, child)) in order.into_iter().enumerate() {
            set(&mut self.counts, node, count);
            set(&mut self.children, node, child);
            set(&mut self.parents, child, node);
            if child < NODES {
                set(&mut self.parents, child + 1, node);
            }
        }
    }
}

fn set<T>(list: &mut [T], at: usize, value: T) {
    if let Some(place) = list.get_mut(at) {
        *place = value;
    }
}
