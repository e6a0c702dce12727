//! A few windows over a text: each is looked for by its rarest octets, which is faster than a sieve.

use super::places::{Finds, PLACES_MAX};
use super::set::OctetSet;
use super::tree::Lengths;
use super::usual::common;
use super::window::{Row, Window};

/// With more rows than that, a sieve is faster.
const ROWS_MAX: usize = 8;
/// The same if more of an ordinary text must be looked at, for all rows together.
const COMMON_MAX: f64 = 0.1;
/// Places of any text that all scouts together look at, and for how many octets one more.
const LOOKS_MIN: usize = 1_024;
const OCTETS_A_LOOK: usize = 4;

/// A row, and the octets by which it is found.
#[derive(Debug)]
pub(super) struct Scout {
    /// One to three.
    octets: Vec<u8>,
    /// They stand so many octets behind the place; `None`: before it.
    depth: Option<usize>,
    row: Row,
    owner: u32,
}

impl Scout {
    /// `None`: nothing of the row is rare enough.
    fn of(row: &Row, owner: u32) -> Option<Self> {
        let depths = std::iter::once((None, &row.before));
        let depths = depths.chain(row.sets.iter().enumerate().map(|(at, set)| (Some(at), set)));
        let few = depths.filter(|(_, set)| (1..=3).contains(&set.len()));
        let (depth, set) =
            few.min_by(|(_, one), (_, other)| common(one).total_cmp(&common(other)))?;
        Some(Self { octets: set.iter().collect(), depth, row: *row, owner })
    }

    /// Adds the places that fit, in rising order; one more than are kept of a pattern is enough. False if more had to be
    /// looked at than are `left`.
    fn places(&self, text: &[u8], left: &mut usize, places: &mut Vec<(u32, u32)>) -> bool {
        let place = |at: usize| match self.depth {
            Some(depth) => at.checked_sub(depth),
            None => at.checked_add(1),
        };
        // The start of a text counts as the end of a line.
        let start = (self.depth.is_none() && self.octets.contains(&b'\n')).then_some(0);
        let fits = |at: &usize| *at < text.len() && self.row.fits(text, *at, self.row.sets.len());
        let found: Box<dyn Iterator<Item = usize>> = match *self.octets.as_slice() {
            [one] => Box::new(memchr::memchr_iter(one, text)),
            [one, two] => Box::new(memchr::memchr2_iter(one, two, text)),
            [one, two, three] => Box::new(memchr::memchr3_iter(one, two, three, text)),
            _ => return true,
        };
        let mut room = PLACES_MAX as usize + 1;
        for at in start.into_iter().chain(found.filter_map(place)) {
            let Some(less) = left.checked_sub(1) else { return false };
            *left = less;
            let Ok(place) = u32::try_from(at) else { break };
            if fits(&at) {
                places.push((place, self.owner));
                room -= 1;
                if room == 0 {
                    break;
                }
            }
        }
        true
    }
}

/// The scouts of a few windows; `None`: a sieve does better.
pub(super) fn scouts(windows: &[&Window]) -> Option<Vec<Scout>> {
    let mut scouts = Vec::new();
    for (window, owner) in windows.iter().zip(0..) {
        for row in &window.rows {
            scouts.push(Scout::of(row, owner)?);
            if scouts.len() > ROWS_MAX {
                return None;
            }
        }
    }
    let set = |scout: &Scout| OctetSet::of(|octet| scout.octets.contains(&octet));
    let share: f64 = scouts.iter().map(|scout| common(&set(scout))).sum();
    (share <= COMMON_MAX).then_some(scouts)
}

/// Where each window fits. False if the text is full of what is rare elsewhere: then a sieve is faster.
pub(super) fn scan(scouts: &[Scout], text: &[u8], finds: &mut Finds) -> bool {
    let mut found = Vec::new();
    let mut left = LOOKS_MIN + text.len() / OCTETS_A_LOOK;
    if !scouts.iter().all(|scout| scout.places(text, &mut left, &mut found)) {
        return false;
    }
    found.sort_unstable();
    found.into_iter().for_each(|(place, owner)| finds.add(owner, place));
    true
}

/// The windows again, of so many patterns.
pub(super) fn windows(scouts: &[Scout], patterns: usize) -> Vec<Window> {
    let mut windows = vec![Window { rows: Vec::new(), before: Lengths::exactly(0) }; patterns];
    for scout in scouts {
        if let Some(window) = windows.get_mut(scout.owner as usize) {
            window.rows.push(scout.row);
        }
    }
    windows
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::places::Places;
    use super::super::window::DEPTH;
    use super::*;

    fn places(windows: &[Window], text: &[u8]) -> Option<Vec<Option<Vec<u32>>>> {
        let scouts = scouts(&windows.iter().collect::<Vec<_>>())?;
        let mut finds = Finds::default();
        finds.begin(windows.len());
        if !scan(&scouts, text, &mut finds) {
            return Some(Vec::new());
        }
        let found = finds.sorted();
        let known = |slot| found.get(slot).and_then(Places::known).map(<[u32]>::to_vec);
        Some((0..).zip(windows).map(|(slot, _)| known(slot)).collect())
    }

    fn row(before: &[u8], octets: &[u8]) -> Row {
        let set = |octets: &[u8]| OctetSet::of(|octet| octets.contains(&octet));
        let before = if before.is_empty() { OctetSet::ALL } else { set(before) };
        let mut row = Row { before, sets: [OctetSet::ALL; DEPTH] };
        for (own, octet) in row.sets.iter_mut().zip(octets) {
            *own = match octet {
                b'*' => OctetSet::ALL,
                b'^' => set(b"XZ\n").not(),
                octet => OctetSet::one(*octet),
            };
        }
        row
    }

    fn window(rows: &[(&[u8], &[u8])]) -> Window {
        let rows = rows.iter().map(|(before, octets)| row(before, octets)).collect();
        Window { rows, before: Lengths::exactly(0) }
    }

    #[test]
    fn what_is_common_or_many_is_left_to_the_sieve() {
        let text = b"aX";
        assert!(places(&[window(&[(b"", b" ")])], text).is_none());
        assert!(places(&[window(&[(b"", b"**")])], text).is_none());
        assert!(places(&vec![window(&[(b"", b"X")]); 9], text).is_none());
        assert_eq!(places(&[], text), Some(Vec::new()));
        let many = b"X".repeat(3_000);
        assert_eq!(places(&[window(&[(b"", b"X")])], &many), Some(Vec::new()), "too dense");
        let spread = b"Xaaaaaaa".repeat(3_000);
        assert_eq!(places(&[window(&[(b"", b"X")])], &spread), Some(vec![None]), "too many");
        assert_eq!(places(&[window(&[(b"", b"Xb")])], &spread), Some(vec![Some(Vec::new())]));
    }

    proptest! {
        #[test]
        fn scouts_find_what_rows_ask_for(
            rows in proptest::collection::vec(("[XZ\n]{0,2}", "[XZa*^\n\x00]{1,8}"), 1..8),
            text in "[XZa\n\x00]{0,300}",
        ) {
            let row = |(before, octets): &(String, String)| row(before.as_bytes(), octets.as_bytes());
            let windows: Vec<Window> = rows
                .chunks(2)
                .map(|rows| Window { rows: rows.iter().map(row).collect(), before: Lengths::exactly(0) })
                .collect();
            let text = text.as_bytes();
            if let Some(found) = places(&windows, text) {
                for (places, window) in found.into_iter().zip(&windows) {
                    let fits = |at: &usize| window.rows.iter().any(|row| row.fits(text, *at, DEPTH));
                    let want: Vec<u32> =
                        (0..text.len()).filter(fits).filter_map(|at| u32::try_from(at).ok()).collect();
                    prop_assert_eq!(places, Some(want));
                }
            }
        }
    }
}
