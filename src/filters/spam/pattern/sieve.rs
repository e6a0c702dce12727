//! The tables by which a text is looked through for the windows of all its patterns at once ([sift](super::sift)).
//!
//! A bit stands for a row of a window. Octets that no row tells apart are one class. For each class and each place of a
//! window a table tells which rows allow it there; what is left after all eight places have been asked are the patterns
//! worth trying at that place. What stands before and two octets together already rule out nearly all, so that they have
//! a table of their own: with coarser [sorts] of octets, which keep it small enough for the processor's nearest memory.

use std::sync::OnceLock;

use super::scouts::{self, Scout};
use super::set::OctetSet;
use super::window::{DEPTH, Row, Window};

/// Sets of more octets than this say little.
const WIDE: u32 = 32;
/// The number that stands for what is beyond the end, where octets have their own.
pub(super) const BEYOND: usize = 256;

/// Sorts of octets: as many as a word has bits.
pub(super) const SORTS: usize = 64;
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
    pub(super) owners: Vec<u32>,
    pub(super) patterns: usize,
    pub(super) octets: Octets,
    pub(super) class_count: usize,
    /// For each lane, for each place of the window, for each class, the rows.
    pub(super) masks: Vec<u64>,
    /// For each kind and each two sorts, where in `pairs` their lanes begin; the next entry tells the end.
    pub(super) starts: Vec<u32>,
    pub(super) pairs: Vec<Pair>,
    /// Most starts lead nowhere.
    pub(super) sparse: bool,
    /// What does the work instead of all these where there are only a few rows.
    pub(super) scouts: Vec<Scout>,
    /// What does it after all, in texts that are made to keep scouts busy.
    instead: OnceLock<Box<Self>>,
}

/// What is known of an octet.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Octet {
    pub(super) sort: u8,
    pub(super) class: u8,
    /// The number of a start is the sum of three: what stands before, the first octet, the sort of the second. This is
    /// the octet's own part as the first one,
    pub(super) head: u16,
    /// and as the one before.
    pub(super) behind: u16,
}

/// What is known of all octets, and of what is beyond the end.
#[derive(Debug)]
pub(super) struct Octets {
    all: Box<[Octet; BEYOND]>,
    pub(super) beyond: Octet,
}

impl Default for Octets {
    fn default() -> Self {
        Self { all: Box::new([Octet::default(); BEYOND]), beyond: Octet::default() }
    }
}

impl Octets {
    fn new(classes: &[u8]) -> Self {
        let class = |place: usize| classes.get(place).copied().unwrap_or(0);
        let beyond = Octet { sort: SORT_BEYOND, class: class(BEYOND), ..Octet::default() };
        let mut octets = Self { beyond, ..Self::default() };
        for (octet, own) in (0..=u8::MAX).zip(octets.all.iter_mut()) {
            let sort = sort(octet);
            let head = usize::from(octet.is_ascii_uppercase()) * SORTS + usize::from(sort);
            let part = |number: usize| u16::try_from(number).unwrap_or(0);
            *own = Octet {
                sort,
                class: class(usize::from(octet)),
                head: part(head * SORTS),
                behind: part(kind(octet, 0) * SORTS * SORTS),
            };
        }
        octets
    }

    #[inline]
    pub(super) fn of(&self, octet: u8) -> Octet {
        self.all.get(usize::from(octet)).copied().unwrap_or_default()
    }
}

/// A lane with rows left after what stands before and the first two places.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair {
    pub(super) lane: u32,
    pub(super) rows: u64,
    /// The sorts that may stand at the next two places.
    pub(super) third: u64,
    pub(super) fourth: u64,
}

impl Sieve {
    pub(super) fn new(windows: &[&Window]) -> Self {
        if let Some(scouts) = scouts::scouts(windows) {
            return Self { scouts, patterns: windows.len(), ..Self::default() };
        }
        Self::of_many(windows)
    }

    /// The same windows as a sieve, where there are scouts.
    pub(super) fn instead(&self) -> &Self {
        self.instead.get_or_init(|| {
            let windows = scouts::windows(&self.scouts, self.patterns);
            Box::new(Self::of_many(&windows.iter().collect::<Vec<_>>()))
        })
    }

    fn of_many(windows: &[&Window]) -> Self {
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
        sieve.octets = Octets::new(&by_octet);
        sieve.class_count = known.len();
        for word in 0..width {
            // Words of a place stand by depth, then by lane; here they are wanted by lane.
            let (lane, depth) = (word / DEPTH, word % DEPTH);
            let word = |own: &&[u64]| own.get(depth * lanes + lane).copied().unwrap_or(0);
            sieve.masks.extend(known.iter().map(word));
        }
        sieve.pair_up(&allowed, &rows);
        sieve.sparse = sieve.pairs.len() < sieve.starts.len() / 2;
        sieve
    }

    fn pair_up(&mut self, allowed: &[u64], rows: &[(&Row, usize)]) {
        let lanes = self.lanes;
        // For each sort, what any of its octets allows at the first four places.
        let mut by_sort = vec![vec![0_u64; 4 * lanes]; SORTS];
        let sorts = (0..=u8::MAX).map(sort).chain(std::iter::once(SORT_BEYOND));
        for (own, sort) in allowed.chunks((DEPTH * lanes).max(1)).zip(sorts) {
            let words = by_sort.get_mut(usize::from(sort)).into_iter().flatten();
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
    use proptest::prelude::*;

    use super::super::places::Places;
    use super::super::sift::Passes;
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
        let sieve = Sieve::of_many(&windows.iter().collect::<Vec<_>>());
        let places = |text: &[u8]| {
            let found = sieve.scan(text, &mut Passes::default());
            let known = |slot| found.get(slot).and_then(Places::known).map(<[u32]>::to_vec);
            (0..4).map(known).collect::<Option<Vec<_>>>()
        };
        let want = vec![vec![1, 3], vec![0, 2, 4], vec![], vec![6]];
        assert_eq!(places(b"bananas"), Some(want));
        assert_eq!(places(b""), Some(vec![Vec::new(); 4]));
        assert_eq!(places(&b"an".repeat(3_000)), None, "too many");
    }

    #[test]
    fn what_keeps_scouts_busy_goes_through_the_sieve() {
        let windows = [window(&["XXXXXXXb"]), window(&["Z"])];
        let sieve = Sieve::new(&windows.iter().collect::<Vec<_>>());
        let text = [b"X".repeat(5_000).as_slice(), b"bZ"].concat();
        for (text, sieved) in [(b"aaZXXXXXXXbX".as_slice(), false), (&text, true)] {
            let found = sieve.scan(text, &mut Passes::default());
            let places = |slot| found.get(slot).and_then(Places::known).map(<[u32]>::to_vec);
            let want = if sieved { (4_993, 5_001) } else { (3, 2) };
            assert_eq!((places(0), places(1)), (Some(vec![want.0]), Some(vec![want.1])));
            assert_eq!(sieve.instead.get().is_some(), sieved);
        }
    }

    #[test]
    fn many_patterns_need_many_words_of_bits() {
        let words: Vec<String> = (0..200).map(|number| format!("<{number}>")).collect();
        let windows: Vec<Window> = words.iter().map(|word| window(&[word])).collect();
        let sieve = Sieve::of_many(&windows.iter().collect::<Vec<_>>());
        let found = sieve.scan(words.concat().as_bytes(), &mut Passes::default());
        let known = |slot| found.get(slot).and_then(Places::known);
        assert!((0..200).all(|slot| known(slot).is_some_and(|places| places.len() == 1)));
    }

    /// What the passes find, asked row by row.
    fn one_by_one(window: &Window, text: &[u8]) -> Vec<u32> {
        let fits = |at: &usize| window.rows.iter().any(|row| row.fits(text, *at, DEPTH));
        (0..text.len()).filter(fits).filter_map(|at| u32::try_from(at).ok()).collect()
    }

    proptest! {
        #[test]
        fn the_passes_find_what_rows_ask_for(
            rows in proptest::collection::vec(("[ab\n]{0,3}", "[aAbB1 \n\\x80*]{1,8}", 0_usize..4), 1..150),
            text in "[aAbB1 \n]{0,900}",
        ) {
            let set = |octets: &[u8]| OctetSet::of(|octet| octets.contains(&octet));
            let row = |(before, octets, wide): &(String, String, usize)| {
                let before = if before.is_empty() { OctetSet::ALL } else { set(before.as_bytes()) };
                let mut row = Row { before, sets: [OctetSet::ALL; DEPTH] };
                for (depth, (own, octet)) in row.sets.iter_mut().zip(octets.bytes()).enumerate() {
                    *own = match octet {
                        b'*' => OctetSet::ALL,
                        _ if depth < *wide => set(&[octet, b'a', b'b', b'1']),
                        _ => OctetSet::one(octet),
                    };
                }
                row
            };
            let windows: Vec<Window> = rows
                .chunks(2)
                .map(|rows| Window { rows: rows.iter().map(row).collect(), before: Lengths::exactly(0) })
                .collect();
            let sieve = Sieve::of_many(&windows.iter().collect::<Vec<_>>());
            let found = sieve.scan(text.as_bytes(), &mut Passes::default());
            for (slot, window) in (0..).zip(&windows) {
                let want = one_by_one(window, text.as_bytes());
                // What stands before is only told apart by kind.
                let places = found.get(slot).and_then(Places::known).unwrap();
                prop_assert!(want.iter().all(|place| places.contains(place)), "{slot} {want:?} {places:?}");
                let by_kind = |row: &Row| {
                    let alike = |octet: &u8| row.before.iter().any(|own| kind(own, 0) == kind(*octet, 0));
                    let before: Vec<u8> = (0..=u8::MAX).filter(alike).collect();
                    Row { before: set(&before), sets: row.sets }
                };
                let looser = Window { rows: window.rows.iter().map(by_kind).collect(), before: window.before };
                prop_assert_eq!(places, one_by_one(&looser, text.as_bytes()));
            }
        }
    }
}
