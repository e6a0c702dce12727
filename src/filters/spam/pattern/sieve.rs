//! One pass over a text for the windows of all its patterns at once.
//!
//! A bit stands for a row of a window. Octets that no row tells apart are one class. For each class and each place of a
//! window a table tells which rows allow it there; what is left after all eight places have been asked are the patterns
//! worth trying at that place. What stands before and two octets together already rule out nearly all, so that they have
//! a table of their own: with coarser [sorts] of octets, which keep it small enough for the processor's nearest memory.

use super::set::OctetSet;
use super::window::{DEPTH, Row, Window};

/// Places that are kept of one pattern; with more it is tried everywhere.
const PLACES_MAX: usize = 2_500;
/// Sets of more octets than this say little.
const WIDE: u32 = 32;
/// The number that stands for what is beyond the end, where octets have their own.
const BEYOND: usize = 256;

/// Sorts of octets: as many as a word has bits.
const SORTS: usize = 64;
/// The sort of what is beyond the end, which it shares with control characters.
const SORT_BEYOND: u8 = 58;
/// What a place is preceded by, as far as windows tell it apart: line feeds, words, and all else; each with a capital
/// at the place, which its sort does not tell, and without.
const KINDS: usize = 6;

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
    /// For each octet and [`BEYOND`] its sort.
    sorts: Vec<u8>,
    /// For each lane, for each place of the window, for each class, the rows.
    masks: Vec<u64>,
    /// For each kind and each two sorts, where in `pairs` their lanes begin; the next entry tells the end.
    starts: Vec<u32>,
    pairs: Vec<Pair>,
}

/// A lane with rows left after what stands before and the first two places.
#[derive(Debug, Clone, Copy)]
struct Pair {
    lane: u32,
    rows: u64,
    /// The sorts that may stand at the next two places.
    third: u64,
    fourth: u64,
}

/// Where a pattern may match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::filters::spam) enum Places {
    /// Where its window fits, in rising order.
    At(Vec<u32>),
    /// There are too many.
    Everywhere,
}

impl Default for Places {
    fn default() -> Self {
        Self::At(Vec::new())
    }
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
        let mut rows: Vec<(&Row, usize)> = Vec::new();
        for (owner, window) in windows.iter().enumerate() {
            rows.extend(window.rows.iter().map(|row| (row, owner)));
        }
        // Rows that begin alike share a word of bits, so that few words have any left after two octets.
        rows.sort_by_cached_key(|(row, _)| {
            let wide = |set: &OctetSet| (set.len() > WIDE, set.folded().last());
            let mut depths = row.sets.iter();
            (row.before, depths.next().map(wide), depths.next().map(wide))
        });
        let owners = rows.iter().map(|(_, owner)| u32::try_from(*owner).unwrap_or(u32::MAX));
        let owners: Vec<u32> = owners.collect();
        let lanes = owners.len().div_ceil(64);
        let mut sieve = Self { lanes, owners, patterns: windows.len(), ..Self::default() };
        let width = DEPTH * lanes;
        let allowed = allowed(&rows, lanes);
        let (by_octet, known) = classes(allowed.chunks(width.max(1)));
        sieve.classes = by_octet;
        sieve.class_count = known.len();
        for word in 0..width {
            // Words of a place stand by depth, then by lane; here they are wanted by lane.
            let (lane, depth) = (word / DEPTH, word % DEPTH);
            let word = |own: &&[u64]| own.get(depth * lanes + lane).copied().unwrap_or(0);
            sieve.masks.extend(known.iter().map(word));
        }
        sieve.sorts = (0..=u8::MAX).map(sort).chain(std::iter::once(SORT_BEYOND)).collect();
        sieve.pair_up(&allowed, &rows);
        sieve
    }

    fn pair_up(&mut self, allowed: &[u64], rows: &[(&Row, usize)]) {
        let lanes = self.lanes;
        // For each sort, what any of its octets allows at the first four places.
        let mut by_sort = vec![vec![0_u64; 4 * lanes]; SORTS];
        for (own, sort) in allowed.chunks((DEPTH * lanes).max(1)).zip(&self.sorts) {
            let words = by_sort.get_mut(usize::from(*sort)).into_iter().flatten();
            words.zip(own).for_each(|(word, own)| *word |= own);
        }
        let bits = |sort: &[u64], depth: usize, lane: usize| {
            sort.get(depth * lanes + lane).copied().unwrap_or(0)
        };
        let sorts_at = |depth: usize, lane: usize, rows: u64| {
            let fits = by_sort.iter().map(|sort| u64::from(bits(sort, depth, lane) & rows != 0));
            fits.rev().fold(0, |all, fits| all << 1 | fits)
        };
        for kind in 0..KINDS {
            let mut may = vec![0_u64; lanes];
            for (place, _) in rows.iter().enumerate().filter(|(_, (row, _))| follows(row, kind)) {
                if let Some(word) = may.get_mut(place / 64) {
                    *word |= 1 << (place % 64);
                }
            }
            for (first, second) in
                by_sort.iter().flat_map(|one| by_sort.iter().map(move |two| (one, two)))
            {
                self.starts.push(u32::try_from(self.pairs.len()).unwrap_or(u32::MAX));
                for (lane, may) in may.iter().enumerate() {
                    let rows = may & bits(first, 0, lane) & bits(second, 1, lane);
                    if rows != 0 {
                        let (third, fourth) = (sorts_at(2, lane, rows), sorts_at(3, lane, rows));
                        let lane = u32::try_from(lane).unwrap_or(0);
                        self.pairs.push(Pair { lane, rows, third, fourth });
                    }
                }
            }
        }
        self.starts.push(u32::try_from(self.pairs.len()).unwrap_or(u32::MAX));
    }

    #[inline]
    fn bits(&self, class: usize, depth: usize, lane: usize) -> u64 {
        self.masks.get((lane * DEPTH + depth) * self.class_count + class).copied().unwrap_or(0)
    }

    #[inline]
    fn class(classes: &[u8], octet: Option<&u8>) -> u8 {
        let octet = octet.map_or(BEYOND, |octet| usize::from(*octet));
        classes.get(octet).copied().unwrap_or(0)
    }

    /// Where each pattern's window fits.
    pub(super) fn scan(&self, text: &[u8]) -> Vec<Places> {
        let mut found = vec![Places::At(Vec::new()); self.patterns];
        if self.lanes == 0 {
            return found;
        }
        let sort = |at: usize| usize::from(Self::class(&self.sorts, text.get(at)));
        let [mut second, mut third, mut fourth] = [sort(0), sort(1), sort(2)];
        let mut before = b'\n';
        for (at, octet) in text.iter().enumerate() {
            let Ok(place) = u32::try_from(at) else { break };
            let first = std::mem::replace(&mut second, third);
            third = std::mem::replace(&mut fourth, sort(at + 3));
            let kind = kind(std::mem::replace(&mut before, *octet), *octet);
            let pair = (kind * SORTS + first) * SORTS + second;
            let Some([start, end]) = self.starts.get(pair..pair + 2) else { continue };
            let pairs = self.pairs.get(*start as usize..*end as usize).unwrap_or_default();
            for pair in pairs {
                if pair.third >> third & pair.fourth >> fourth & 1 == 1 {
                    let near = text.get(at..).unwrap_or_default();
                    self.rest(near, pair.lane as usize, pair.rows, place, &mut found);
                }
            }
        }
        found
    }

    /// Asks the other places of a window.
    #[inline]
    fn rest(&self, near: &[u8], lane: usize, mut fits: u64, place: u32, found: &mut [Places]) {
        for depth in [2, 3, 4, 5, 6, 7, 0, 1] {
            fits &= self.bits(Self::class(&self.classes, near.get(depth)).into(), depth, lane);
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

/// For each octet and [`BEYOND`]: for each place of the window, which rows allow it there.
fn allowed(rows: &[(&Row, usize)], lanes: usize) -> Vec<u64> {
    let width = DEPTH * lanes;
    let mut out = vec![0_u64; (BEYOND + 1) * width];
    let mut allow = |octet: usize, depth: usize, row: usize| {
        if let Some(word) = out.get_mut(octet * width + depth * lanes + row / 64) {
            *word |= 1 << (row % 64);
        }
    };
    for (place, (row, _)) in rows.iter().enumerate() {
        for (depth, set) in row.sets.iter().enumerate() {
            set.iter().for_each(|octet| allow(usize::from(octet), depth, place));
            if *set == OctetSet::ALL {
                allow(BEYOND, depth, place);
            }
        }
    }
    out
}

/// A number for each octet; those with the same words have the same one. Gives the words of each number too.
fn classes<'w>(words: impl Iterator<Item = &'w [u64]>) -> (Vec<u8>, Vec<&'w [u64]>) {
    let mut known: Vec<&[u64]> = Vec::new();
    let mut out = Vec::with_capacity(BEYOND + 1);
    for own in words {
        let class = known.iter().position(|other| *other == own).unwrap_or_else(|| {
            known.push(own);
            known.len() - 1
        });
        // There are at most 257 classes; should all differ, the last two octets of 257 share one.
        out.push(u8::try_from(class).unwrap_or(u8::MAX));
    }
    (out, known)
}

/// Which of the [`SORTS`] an octet is of: letters whatever their case, digits, signs that are common in text.
fn sort(octet: u8) -> u8 {
    const SIGNS: &[u8] = b" .,-_=/<>&\"'():;!?@#$%*+[]";
    let letter = octet.to_ascii_lowercase();
    let sign = SIGNS.iter().position(|sign| *sign == octet).and_then(|at| u8::try_from(at).ok());
    match (letter, sign) {
        (b'a'..=b'z', _) => letter - b'a',
        (b'0'..=b'9', _) => 26 + (octet - b'0') / 2,
        (_, Some(sign)) => 31 + sign,
        (b'\t' | b'\n' | b'\r', _) => 57,
        (0..=31 | 127, _) => SORT_BEYOND,
        (128..=191, _) => 59,
        (192..=223, _) => 60,
        (224..=255, _) => 61,
        _ => 62,
    }
}

fn is_word(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || octet == b'_'
}

#[inline]
fn kind(before: u8, octet: u8) -> usize {
    let before = if before == b'\n' { 0 } else { 1 + usize::from(is_word(before)) };
    2 * before + usize::from(octet.is_ascii_uppercase())
}

/// Whether a row may begin at a place of that kind.
fn follows(row: &Row, wanted: usize) -> bool {
    let [first, ..] = &row.sets;
    let capitals = first.iter().filter(u8::is_ascii_uppercase).count();
    let fits = if wanted % 2 == 1 { capitals > 0 } else { capitals < first.iter().count() };
    fits && row.before.iter().any(|octet| kind(octet, 0) / 2 == wanted / 2)
}

#[cfg(test)]
mod tests {
    use super::super::tree::Lengths;
    use super::*;

    fn window(words: &[&str]) -> Window {
        let row = |word: &&str| {
            let mut row = Row { before: OctetSet::ALL, sets: [OctetSet::ALL; DEPTH] };
            for (set, octet) in row.sets.iter_mut().zip(word.bytes()) {
                *set = OctetSet::one(octet);
            }
            row
        };
        Window { rows: words.iter().map(row).collect(), before: Lengths::exactly(0) }
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
