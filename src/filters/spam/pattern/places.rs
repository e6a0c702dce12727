//! Where in a text each of many patterns may match.

use crate::filters::spam::text::Segments;

/// Places that are kept of one pattern; with more it is tried everywhere.
pub(super) const PLACES_MAX: u32 = 2_500;

/// Where a pattern may match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::filters::spam) enum Places<'p> {
    /// Where its window fits, in rising order.
    At(&'p [u32]),
    /// There are too many.
    Everywhere,
}

impl<'p> Places<'p> {
    pub(in crate::filters::spam) fn is_empty(self) -> bool {
        matches!(self, Self::At(places) if places.is_empty())
    }

    /// The places, as long as they are known.
    pub(in crate::filters::spam) fn known(self) -> Option<&'p [u32]> {
        match self {
            Self::At(places) => Some(places),
            Self::Everywhere => None,
        }
    }
}

/// For each slot, the places of the text in which its pattern may match.
#[derive(Debug, Default)]
pub(in crate::filters::spam) struct Candidates {
    slots: Vec<Slot>,
    /// Those of all slots, one slot behind the other.
    places: Vec<u32>,
}

/// Where the places of a slot stand: so many from that one on; more than [`PLACES_MAX`]: there are too many.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    start: u32,
    count: u32,
}

impl Slot {
    /// `None`: there are too many.
    fn range(self) -> Option<std::ops::Range<usize>> {
        let start = self.start as usize;
        (self.count <= PLACES_MAX).then(|| start..start + self.count as usize)
    }
}

impl Candidates {
    pub(in crate::filters::spam) fn get(&self, slot: u32) -> Option<Places<'_>> {
        Some(match self.slots.get(slot as usize)?.range() {
            Some(range) => Places::At(self.places.get(range).unwrap_or_default()),
            None => Places::Everywhere,
        })
    }

    /// Keeps of a slot the places that lie in a piece of the text with one of the other slot.
    pub(super) fn keep_beside(&mut self, own: u32, other: u32, text: &Segments) {
        let slot = |number: u32| self.slots.get(number as usize).map(|slot| slot.range());
        let (Some(mine), Some(Some(others))) = (slot(own), slot(other)) else { return };
        let kept = match mine {
            _ if others.is_empty() => 0,
            Some(mine) => self.move_up(mine, others, text),
            None => return,
        };
        if let Some(slot) = self.slots.get_mut(own as usize) {
            slot.count = u32::try_from(kept).unwrap_or(u32::MAX);
        }
    }

    /// Moves the places to keep to the front of their range and gives their number.
    fn move_up(
        &mut self,
        own: std::ops::Range<usize>,
        others: std::ops::Range<usize>,
        text: &Segments,
    ) -> usize {
        let (mut kept, mut piece, mut next, mut beside) = (own.start, 0, others, None);
        for index in own.clone() {
            let Some(place) = self.places.get(index).copied() else { break };
            piece = text.at(place as usize, piece);
            while beside.is_none_or(|beside| beside < piece) {
                let other = next.next().and_then(|index| self.places.get(index));
                let Some(other) = other else { return kept - own.start };
                beside = Some(text.at(*other as usize, beside.unwrap_or(0)));
            }
            if beside == Some(piece)
                && let Some(slot) = self.places.get_mut(kept)
            {
                *slot = place;
                kept += 1;
            }
        }
        kept - own.start
    }
}

/// Places as they are found, in the order of the text.
#[derive(Default)]
pub(super) struct Finds {
    /// Slots and places.
    finds: Vec<(u32, u32)>,
    counts: Vec<Count>,
}

/// How many places of a slot were found.
#[derive(Debug, Clone, Copy)]
struct Count {
    count: u32,
    last: u32,
}

impl Finds {
    /// Begins with another text.
    pub(super) fn begin(&mut self, slots: usize) {
        self.finds.clear();
        self.counts.clear();
        self.counts.resize(slots, Count { count: 0, last: u32::MAX });
    }

    /// Adds a place, which must not lie before the one added last. The same one again changes nothing.
    #[inline]
    pub(super) fn add(&mut self, slot: u32, place: u32) {
        let Some(own) = self.counts.get_mut(slot as usize) else { return };
        if own.last != place && own.count <= PLACES_MAX {
            *own = Count { count: own.count + 1, last: place };
            self.finds.push((slot, place));
        }
    }

    pub(super) fn sorted(&self) -> Candidates {
        let mut start = 0;
        let mut slots = Vec::with_capacity(self.counts.len());
        for own in &self.counts {
            slots.push(Slot { start, count: if own.count <= PLACES_MAX { 0 } else { own.count } });
            start += if own.count <= PLACES_MAX { own.count } else { 0 };
        }
        let mut places = vec![0; start as usize];
        for (slot, place) in &self.finds {
            if let Some(slot) =
                slots.get_mut(*slot as usize).filter(|slot| slot.count <= PLACES_MAX)
                && let Some(free) = places.get_mut((slot.start + slot.count) as usize)
            {
                *free = *place;
                slot.count += 1;
            }
        }
        Candidates { slots, places }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(finds: &[(u32, u32)], slots: usize) -> Candidates {
        let mut all = Finds::default();
        all.begin(slots);
        finds.iter().for_each(|(slot, place)| all.add(*slot, *place));
        all.sorted()
    }

    #[test]
    fn places_are_given_by_slot() {
        let all = candidates(&[(2, 1), (0, 1), (2, 1), (2, 5), (9, 5)], 3);
        assert_eq!(all.get(0), Some(Places::At(&[1])));
        assert_eq!(all.get(1), Some(Places::At(&[])));
        assert_eq!(all.get(2), Some(Places::At(&[1, 5])));
        assert_eq!(all.get(3), None);
    }

    #[test]
    fn of_too_many_places_none_is_kept() {
        let many: Vec<(u32, u32)> = (0..PLACES_MAX).map(|place| (1, place)).collect();
        let all = candidates(&many, 2);
        assert_eq!(all.get(1).and_then(Places::known).map(<[u32]>::len), Some(2_500));
        let more = [&[(0, 0)], &many[..], &[(1, PLACES_MAX), (0, PLACES_MAX)]].concat();
        let all = candidates(&more, 2);
        assert_eq!(all.get(1), Some(Places::Everywhere));
        assert_eq!(all.get(0), Some(Places::At(&[0, PLACES_MAX])));
    }

    #[test]
    fn places_without_the_other_in_their_piece_are_dropped() {
        let mut text = Segments::default();
        ["abcd", "efgh", "", "ijkl"].iter().for_each(|piece| text.push(piece.as_bytes()));
        let beside = |own: &[u32], others: &[u32]| {
            let slots = [own, others].into_iter().zip(0..);
            let mut finds: Vec<(u32, u32)> =
                slots.flat_map(|(places, slot)| places.iter().map(move |at| (slot, *at))).collect();
            finds.sort_by_key(|(_, place)| *place);
            let mut all = candidates(&finds, 2);
            all.keep_beside(0, 1, &text);
            all.get(0).and_then(Places::known).unwrap().to_vec()
        };
        assert_eq!(beside(&[0, 3, 6, 11, 13], &[2, 12]), [0, 3, 11, 13]);
        assert_eq!(beside(&[0, 3, 6], &[5]), [6]);
        assert_eq!(beside(&[0, 3, 6], &[]), [0_u32; 0]);
        assert_eq!(beside(&[], &[1]), [0_u32; 0]);
        let many: Vec<(u32, u32)> = (0..=PLACES_MAX).map(|place| (0, place)).collect();
        let mut all = candidates(&many, 2);
        all.keep_beside(0, 1, &text);
        assert_eq!(all.get(0), Some(Places::At(&[])), "what must be beside is nowhere");
    }
}
