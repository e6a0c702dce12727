//! One pattern over the pieces of one text.

use std::ops::Range;

use super::pattern::{Lengths, Machine, Pattern, Places};
use super::text::Segments;

/// What a pattern is looked for in, and how.
pub(super) struct Hunt<'h> {
    pub(super) pattern: &'h Pattern,
    pub(super) text: &'h Segments,
    /// What stands in for pieces that are not there.
    pub(super) unset: Option<&'h [u8]>,
    /// Where it may match; `None`: anywhere.
    pub(super) places: Option<Places<'h>>,
    /// Pieces that are passed over.
    pub(super) skip: usize,
}

/// What is done after a piece.
enum Go {
    On,
    Stop,
}

impl Hunt<'_> {
    /// The first match: its piece, and its place in it.
    pub(super) fn first(&self, machine: &mut Machine) -> Option<(usize, Range<usize>)> {
        let mut found = None;
        self.walk(machine, |index, piece, starts, machine| {
            found = self.find(piece, 0, starts, machine).map(|range| (index, range));
            if found.is_some() { Go::Stop } else { Go::On }
        });
        found
    }

    /// How often it matches, at most so often. `told` gets each match. With `one_piece`, the first piece with a match is
    /// the last one looked at.
    pub(super) fn count(
        &self,
        max: usize,
        one_piece: bool,
        machine: &mut Machine,
        mut told: impl FnMut(&[u8], &Machine),
    ) -> usize {
        let mut count = 0;
        self.walk(machine, |_, piece, starts, machine| {
            let before = count;
            let mut from = 0;
            while count < max {
                let Some(range) = self.find(piece, from, starts, machine) else { break };
                count += 1;
                told(piece, machine);
                from = range.end.max(range.start + 1);
            }
            if count >= max || (one_piece && count > before) { Go::Stop } else { Go::On }
        });
        count
    }

    /// The piece as the pattern sees it.
    pub(super) fn piece(&self, index: usize) -> &[u8] {
        match (self.text.get(index), self.unset) {
            ((_, true), Some(unset)) => unset,
            ((piece, _), _) => piece,
        }
    }

    fn find(
        &self,
        piece: &[u8],
        from: usize,
        starts: Option<Starts<'_>>,
        machine: &mut Machine,
    ) -> Option<Range<usize>> {
        match starts {
            Some(Starts { places, base, distance }) => {
                // Matches behind one another do not go through all places again.
                let first = base.saturating_add(from).saturating_add(distance.min);
                let passed = places.partition_point(|place| (*place as usize) < first);
                let places = places.get(passed..).unwrap_or_default();
                let places = places.iter().filter_map(|place| (*place as usize).checked_sub(base));
                self.pattern.find_among(piece, from, places, distance, machine)
            }
            None => self.pattern.find(piece, from, machine),
        }
    }

    fn walk(
        &self,
        machine: &mut Machine,
        mut each: impl FnMut(usize, &[u8], Option<Starts<'_>>, &mut Machine) -> Go,
    ) {
        let Some(mut places) = self.places.and_then(Places::known) else {
            for index in self.skip..self.text.len() {
                if machine.left == 0
                    || matches!(each(index, self.piece(index), None, machine), Go::Stop)
                {
                    return;
                }
            }
            return;
        };
        let buffer = self.text.buffer().as_ptr().addr();
        let distance = self.pattern.distance();
        // Where the start is known to the octet, the piece is that of the start.
        let back = distance.filter(|before| before.is_fixed()).map_or(0, |before| before.min);
        let mut index = 0;
        while let Some(first) = places.first() {
            index = self.text.at((*first as usize).saturating_sub(back), index);
            let piece = self.piece(index);
            let start = piece.as_ptr().addr().saturating_sub(buffer);
            let end = start + piece.len() + back;
            let here = places.partition_point(|place| *place as usize <= end).max(1);
            let (own, rest) = places.split_at_checked(here).unwrap_or((places, &[]));
            places = rest;
            if index < self.skip {
                continue;
            }
            let starts = distance.map(|distance| Starts { places: own, base: start, distance });
            if machine.left == 0 || matches!(each(index, piece, starts, machine), Go::Stop) {
                return;
            }
        }
    }
}

/// Places of the text with which a match may go, as they were found: `base` more than in the piece.
#[derive(Clone, Copy)]
struct Starts<'s> {
    places: &'s [u32],
    base: usize,
    /// Octets between the start of a match and its place.
    distance: Lengths,
}
