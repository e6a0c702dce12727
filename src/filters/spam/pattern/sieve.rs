//! One pass over a text for the windows of all its patterns at once.
//!
//! A bit stands for a row of a window. Octets that no row tells apart are one class. For each class and each place of a
//! window a table tells which rows allow it there; what is left after all eight places have been asked are the patterns
//! worth trying at that place. Two octets together already rule out nearly all, so that they have a table of their own.

use super::set::OctetSet;
use super::window::{DEPTH, Sets, Window};

/// Places that are kept of one pattern; with more it is tried everywhere.
const PLACES_MAX: usize = 1_000;
/// Sets of more octets than this say little.
const WIDE: u32 = 32;
/// The number that stands for what is beyond the end, where octets have their own.
const BEYOND: usize = 256;

/// The windows of many patterns.
#[derive(Debug, Default)]
pub(super) struct Sieve {
    /// Words of bits for all rows.
    lanes: usize,
    /// For each row its pattern.
    owners: Vec<u32>,
    patterns: usize,
    /// For each octet and [`BEYOND`] its class.
    classes: Vec<u8>,
    class_count: usize,
    /// For each class, for each place of the window, the lanes.
    masks: Vec<u64>,
    /// For each two classes, where in `pairs` their lanes begin; the next entry tells where they end.
    starts: Vec<u32>,
    /// Lanes with bits left after the first two places.
    pairs: Vec<(u32, u64)>,
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
        let mut rows: Vec<(&Sets, usize)> = Vec::new();
        for (owner, window) in windows.iter().enumerate() {
            rows.extend(window.rows.iter().map(|row| (row, owner)));
        }
        // Rows that begin alike share a word of bits, so that few words have any left after two octets.
        rows.sort_by_cached_key(|(sets, _)| {
            let wide = |set: &OctetSet| (set.len() > WIDE, set.folded().last());
            let mut depths = sets.iter();
            (depths.next().map(wide), depths.next().map(wide))
        });
        let owners: Vec<u32> =
            rows.iter().map(|(_, owner)| u32::try_from(*owner).unwrap_or(u32::MAX)).collect();
        let lanes = owners.len().div_ceil(64);
        let width = DEPTH * lanes;
        let mut by_octet = vec![0_u64; (BEYOND + 1) * width];
        let mut allow = |octet: usize, depth: usize, row: usize| {
            if let Some(word) = by_octet.get_mut(octet * width + depth * lanes + row / 64) {
                *word |= 1 << (row % 64);
            }
        };
        for (row, (sets, _)) in rows.iter().enumerate() {
            for (depth, set) in sets.iter().enumerate() {
                set.iter().for_each(|octet| allow(usize::from(octet), depth, row));
                if *set == OctetSet::ALL {
                    allow(BEYOND, depth, row);
                }
            }
        }
        let mut sieve = Self { lanes, owners, patterns: windows.len(), ..Self::default() };
        let mut known: Vec<&[u64]> = Vec::new();
        for own in by_octet.chunks(width.max(1)) {
            let class = known.iter().position(|other| *other == own).unwrap_or(known.len());
            if class == known.len() {
                known.push(own);
                sieve.masks.extend_from_slice(own);
            }
            // There are at most 257 classes; should all differ, the last two octets of 257 share one.
            sieve.classes.push(u8::try_from(class).unwrap_or(u8::MAX));
        }
        sieve.class_count = known.len().min(256);
        sieve.pair_up();
        sieve
    }

    fn pair_up(&mut self) {
        for first in 0..self.class_count {
            for second in 0..self.class_count {
                self.starts.push(u32::try_from(self.pairs.len()).unwrap_or(u32::MAX));
                for lane in 0..self.lanes {
                    let bits = self.bits(first, 0, lane) & self.bits(second, 1, lane);
                    if bits != 0 {
                        self.pairs.push((u32::try_from(lane).unwrap_or(0), bits));
                    }
                }
            }
        }
        self.starts.push(u32::try_from(self.pairs.len()).unwrap_or(u32::MAX));
    }

    #[inline]
    fn bits(&self, class: usize, depth: usize, lane: usize) -> u64 {
        self.masks.get((class * DEPTH + depth) * self.lanes + lane).copied().unwrap_or(0)
    }

    #[inline]
    fn class(&self, octet: Option<&u8>) -> usize {
        let octet = octet.map_or(BEYOND, |octet| usize::from(*octet));
        self.classes.get(octet).copied().map_or(0, usize::from)
    }

    /// Where each pattern's window fits.
    pub(super) fn scan(&self, text: &[u8]) -> Vec<Places> {
        let mut found = vec![Places::At(Vec::new()); self.patterns];
        if self.lanes == 0 {
            return found;
        }
        let mut next = self.class(text.first());
        for at in 0..text.len() {
            let Ok(place) = u32::try_from(at) else { break };
            let first = std::mem::replace(&mut next, self.class(text.get(at + 1)));
            let pair = first * self.class_count + next;
            let Some([start, end]) = self.starts.get(pair..pair + 2) else { continue };
            if start == end {
                continue;
            }
            let near = text.get(at..).unwrap_or_default();
            let pairs = self.pairs.get(*start as usize..*end as usize).unwrap_or_default();
            for (lane, bits) in pairs {
                self.rest(near, *lane as usize, *bits, place, &mut found);
            }
        }
        found
    }

    /// Asks the other places of a window.
    #[inline]
    fn rest(&self, near: &[u8], lane: usize, mut fits: u64, place: u32, found: &mut [Places]) {
        for depth in 2..DEPTH {
            fits &= self.bits(self.class(near.get(depth)), depth, lane);
            if fits == 0 {
                return;
            }
        }
        while fits != 0 {
            let row = lane * 64 + fits.trailing_zeros() as usize;
            fits &= fits - 1;
            let owner = self.owners.get(row).copied().unwrap_or(u32::MAX);
            let Some(slot) = found.get_mut(owner as usize) else { continue };
            let Places::At(places) = slot else { continue };
            if places.len() >= PLACES_MAX {
                *slot = Places::Everywhere;
            } else if places.last() != Some(&place) {
                places.push(place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(words: &[&str]) -> Window {
        let row = |word: &&str| {
            let mut sets = [OctetSet::ALL; DEPTH];
            for (set, octet) in sets.iter_mut().zip(word.bytes()) {
                *set = OctetSet::one(octet);
            }
            sets
        };
        Window { rows: words.iter().map(row).collect(), offset: Some(0) }
    }

    #[test]
    fn every_place_that_fits_is_found() {
        let windows =
            [window(&["an"]), window(&["b", "na"]), window(&["bananas!"]), window(&["s"])];
        let sieve = Sieve::new(&windows.iter().collect::<Vec<_>>());
        let at = |places: &[u32]| Places::At(places.to_vec());
        assert_eq!(sieve.scan(b"bananas"), [at(&[1, 3]), at(&[0, 2, 4]), at(&[]), at(&[6])]);
        assert_eq!(sieve.scan(b""), vec![at(&[]); 4]);
        let many = b"an".repeat(PLACES_MAX + 1);
        assert_eq!(sieve.scan(&many).first(), Some(&Places::Everywhere));
    }

    #[test]
    fn many_patterns_need_many_words_of_bits() {
        let words: Vec<String> = (0..200).map(|number| format!("<{number}>")).collect();
        let windows: Vec<Window> = words.iter().map(|word| window(&[word])).collect();
        let sieve = Sieve::new(&windows.iter().collect::<Vec<_>>());
        let found = sieve.scan(words.concat().as_bytes());
        assert!(found.iter().all(|places| places.known().is_some_and(|places| places.len() == 1)));
    }
}
