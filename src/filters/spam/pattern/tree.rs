//! A pattern as a tree.

use super::set::OctetSet;

/// A piece of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    /// Matches the empty text.
    Empty,
    /// One octet of a set; of the empty set: never.
    Set(OctetSet),
    /// One after the other.
    Row(Vec<Self>),
    /// The first that leads to a match.
    Choice(Vec<Self>),
    Repeat {
        node: Box<Self>,
        min: u32,
        /// `None`: without end.
        max: Option<u32>,
        greed: Greed,
    },
    /// A group that is remembered, with its number from 1.
    Group(u32, Box<Self>),
    Assertion(Assertion),
    Look {
        behind: bool,
        negative: bool,
        node: Box<Self>,
    },
    /// Once matched, it gives nothing back.
    Atomic(Box<Self>),
    /// The text of a group once more.
    Same {
        group: u32,
        fold: bool,
    },
}

/// How much a repetition takes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Greed {
    Most,
    Least,
    /// As much as it can, for good.
    Possessive,
}

/// What must hold between two octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Assertion {
    /// `\A`, and `^` without /m.
    TextStart,
    /// `^` with /m.
    LineStart,
    /// `$` and `\Z`: the end, or before a line feed that is the last octet.
    LastLineEnd,
    /// `$` with /m.
    LineEnd,
    /// `\z`.
    TextEnd,
    WordBorder,
    NoWordBorder,
}

/// Lengths of the texts that a piece can match.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::filters::spam) struct Lengths {
    pub(in crate::filters::spam) min: usize,
    /// `None`: without limit.
    pub(in crate::filters::spam) max: Option<usize>,
}

impl Lengths {
    pub(super) fn exactly(length: usize) -> Self {
        Self { min: length, max: Some(length) }
    }

    pub(in crate::filters::spam) fn is_fixed(self) -> bool {
        self.max == Some(self.min)
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            min: self.min.saturating_add(other.min),
            max: self.max.zip(other.max).map(|(a, b)| a.saturating_add(b)),
        }
    }

    fn or(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.zip(other.max).map(|(a, b)| a.max(b)) }
    }

    fn times(self, min: u32, max: Option<u32>) -> Self {
        let times = |length: usize, count: u32| length.saturating_mul(count as usize);
        Self {
            min: times(self.min, min),
            max: match (self.max, max) {
                (Some(0), _) => Some(0),
                (Some(length), Some(max)) => Some(times(length, max)),
                _ => None,
            },
        }
    }
}

impl Node {
    pub(super) fn row(mut nodes: Vec<Self>) -> Self {
        nodes.retain(|node| *node != Self::Empty);
        if nodes.len() > 1 {
            return Self::Row(nodes);
        }
        nodes.pop().unwrap_or(Self::Empty)
    }

    /// The longest text that every match holds, in lower case: matches may write it in any. It may be empty.
    pub(super) fn literal(&self) -> Vec<u8> {
        let mut runs = vec![Vec::new()];
        self.collect_literals(&mut runs);
        runs.into_iter().max_by_key(Vec::len).unwrap_or_default()
    }

    /// Adds to the last run of octets, or begins new ones.
    fn collect_literals(&self, runs: &mut Vec<Vec<u8>>) {
        let letter = |set: &OctetSet| {
            let lower = set.first()?.to_ascii_lowercase();
            let both = OctetSet::one(lower).with(lower.to_ascii_uppercase());
            (set.or(&both) == both).then_some(lower)
        };
        match self {
            Self::Set(set) => match (letter(set), runs.last_mut()) {
                (Some(letter), Some(run)) => run.push(letter),
                _ => runs.push(Vec::new()),
            },
            Self::Row(nodes) => nodes.iter().for_each(|node| node.collect_literals(runs)),
            Self::Group(_, node) => node.collect_literals(runs),
            // They take no octet.
            Self::Empty | Self::Assertion(_) | Self::Look { .. } => {}
            Self::Choice(_) | Self::Repeat { .. } | Self::Atomic(_) | Self::Same { .. } => {
                runs.push(Vec::new());
            }
        }
    }

    /// Of branches; octets that stand alone become one set, which is the same.
    pub(super) fn choice(mut branches: Vec<Self>) -> Self {
        let sets = branches.iter().map(|branch| {
            let Self::Set(set) = branch else { return None };
            Some(set)
        });
        if let Some(sets) = sets.collect::<Option<Vec<_>>>()
            && sets.len() > 1
        {
            return Self::Set(sets.into_iter().fold(OctetSet::NONE, |all, set| all.or(set)));
        }
        if branches.len() > 1 {
            return Self::Choice(branches);
        }
        branches.pop().unwrap_or(Self::Empty)
    }

    /// The depth of the tree is limited by the parser.
    pub(super) fn lengths(&self) -> Lengths {
        match self {
            Self::Empty | Self::Assertion(_) | Self::Look { .. } => Lengths::exactly(0),
            Self::Set(_) => Lengths::exactly(1),
            Self::Row(nodes) => {
                nodes.iter().fold(Lengths::exactly(0), |sum, node| sum.plus(node.lengths()))
            }
            Self::Choice(branches) => {
                let lengths = branches.iter().map(Self::lengths);
                lengths.reduce(Lengths::or).unwrap_or_default()
            }
            Self::Repeat { node, min, max, .. } => node.lengths().times(*min, *max),
            Self::Group(_, node) | Self::Atomic(node) => node.lengths(),
            Self::Same { .. } => Lengths { min: 0, max: None },
        }
    }
}
