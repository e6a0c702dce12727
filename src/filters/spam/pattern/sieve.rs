//! One pass over a text for the windows of all its patterns at once.
//!
//! A bit stands for a pattern. For each octet and each place of a window a table tells which patterns allow that octet
//! there; what is left after all eight places of a window have been asked are the patterns worth trying at that place.

use super::set::OctetSet;
use super::window::{DEPTH, Window};

/// Places looked at first: few patterns pass them.
const FIRST: usize = 3;
/// Places that are kept of one pattern; with more it is tried everywhere.
const PLACES_MAX: usize = 1_000;
/// The row of the table for what is beyond the end.
const BEYOND: usize = 256;

/// The windows of many patterns.
#[derive(Debug, Default)]
pub(super) struct Sieve {
    /// Words of bits for all patterns.
    lanes: usize,
    rows: usize,
    /// For each octet and [`BEYOND`], for each place of the window, the lanes.
    masks: Vec<u64>,
}

/// Where a pattern may match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::filters::spam) enum Places {
    /// Where its window fits, in rising order.
    At(Vec<u32>),
    /// There are too many.
    Everywhere,
}

impl Places {
    pub(in crate::filters::spam) fn is_empty(&self) -> bool {
        matches!(self, Self::At(places) if places.is_empty())
    }

    /// The places, as long as they are known.
    pub(in crate::filters::spam) fn known(&self) -> Option<&[u32]> {
        match self {
            Self::At(places) => Some(places),
            Self::Everywhere => None,
        }
    }
}

impl Sieve {
    pub(super) fn new(windows: &[&Window]) -> Self {
        let lanes = windows.len().div_ceil(64);
        let mut sieve =
            Self { lanes, rows: windows.len(), masks: vec![0; (BEYOND + 1) * DEPTH * lanes] };
        for (row, window) in windows.iter().enumerate() {
            for (depth, set) in window.sets.iter().enumerate() {
                for octet in set.iter() {
                    sieve.allow(usize::from(octet), depth, row);
                }
                if *set == OctetSet::ALL {
                    sieve.allow(BEYOND, depth, row);
                }
            }
        }
        sieve
    }

    fn allow(&mut self, octet: usize, depth: usize, row: usize) {
        let place = (octet * DEPTH + depth) * self.lanes + row / 64;
        if let Some(word) = self.masks.get_mut(place) {
            *word |= 1 << (row % 64);
        }
    }

    #[inline]
    fn row(&self, octet: Option<&u8>, depth: usize) -> &[u64] {
        let octet = octet.map_or(BEYOND, |octet| usize::from(*octet));
        let start = (octet * DEPTH + depth) * self.lanes;
        self.masks.get(start..start + self.lanes).unwrap_or_default()
    }

    /// Where each pattern's window fits.
    pub(super) fn scan(&self, text: &[u8]) -> Vec<Places> {
        let mut found = vec![Places::At(Vec::new()); self.rows];
        if self.lanes == 0 {
            return found;
        }
        for at in 0..text.len() {
            let (Ok(place), Some(near)) = (u32::try_from(at), text.get(at..)) else { break };
            let [a, b, c] = [0, 1, 2].map(|depth: usize| self.row(near.get(depth), depth));
            for (lane, ((a, b), c)) in a.iter().zip(b).zip(c).enumerate() {
                let fits = a & b & c;
                if fits != 0 {
                    self.rest(near, lane, fits, place, &mut found);
                }
            }
        }
        found
    }

    /// Asks the other places of a window.
    fn rest(&self, near: &[u8], lane: usize, mut fits: u64, place: u32, found: &mut [Places]) {
        for depth in FIRST..DEPTH {
            fits &= self.row(near.get(depth), depth).get(lane).copied().unwrap_or(0);
            if fits == 0 {
                return;
            }
        }
        while fits != 0 {
            let row = lane * 64 + fits.trailing_zeros() as usize;
            fits &= fits - 1;
            let Some(slot) = found.get_mut(row) else { continue };
            let Places::At(places) = slot else { continue };
            if places.len() < PLACES_MAX {
                places.push(place);
            } else {
                *slot = Places::Everywhere;
            }
        }
    }
}
