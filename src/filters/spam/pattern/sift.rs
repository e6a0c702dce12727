//! The passes of a text through a [sieve](super::sieve).
//!
//! A block of the text goes through one pass after the other, each finer than the one before. What a place leads to is
//! hardly ever foreseen by a processor: so nearly nothing is asked by a branch. What is left is written each time, and
//! counts only if it holds.

use super::places::{Candidates, Finds};
use super::scouts;
use super::sieve::{Pair, Sieve};
use super::window::DEPTH;

/// Octets that go through all passes together: so many as an octet can count.
const BLOCK: usize = 256;
/// Pairs of a place that are written whether they are there or not; few places have more.
const FEW: usize = 8;

/// What the passes of one text need, to be used again for the next one.
#[derive(Default)]
pub(in crate::filters::spam) struct Passes {
    block: Block,
    finds: Finds,
}

/// A block of a text, and what is left of it.
struct Block {
    /// Octets of the text.
    count: usize,
    /// The sorts of the octets, and of those behind the block that windows reach.
    sorts: [u8; BLOCK + DEPTH],
    classes: [u8; BLOCK + DEPTH],
    /// What stands before each octet and its own part of the number of a start.
    heads: [u16; BLOCK],
    /// The numbers of the pairs that are left, with their places. Only the first ones count.
    pairs: Vec<u32>,
    places: Vec<u8>,
    left: usize,
    /// What is left of their rows after the nearest octets, with lane and place.
    near: Vec<(u64, u32, u8)>,
    near_left: usize,
}

impl Default for Block {
    fn default() -> Self {
        Self {
            count: 0,
            sorts: [0; BLOCK + DEPTH],
            classes: [0; BLOCK + DEPTH],
            heads: [0; BLOCK],
            pairs: Vec::new(),
            places: Vec::new(),
            left: 0,
            near: Vec::new(),
            near_left: 0,
        }
    }
}

impl Sieve {
    /// Where each pattern's window fits. A text of more than 4 GiB is looked at up to there.
    pub(super) fn scan(&self, text: &[u8], passes: &mut Passes) -> Candidates {
        let Passes { block, finds } = passes;
        finds.begin(self.patterns);
        if self.owners.is_empty() {
            if !scouts::scan(&self.scouts, text, finds) {
                return self.instead().scan(text, passes);
            }
            return finds.sorted();
        }
        let mut before = b'\n';
        for (number, octets) in text.chunks(BLOCK).enumerate() {
            let start = number * BLOCK;
            let Ok(place) = u32::try_from(start) else { break };
            self.read(block, before, octets, text.get(start + octets.len()..));
            before = octets.last().copied().unwrap_or(b'\n');
            self.pass_starts(block);
            self.pass_pairs(block);
            self.pass_near(block);
            self.pass_rest(block, place, finds);
        }
        finds.sorted()
    }

    fn read(&self, block: &mut Block, before: u8, octets: &[u8], ahead: Option<&[u8]>) {
        block.count = octets.len();
        let mut before = before;
        let slots = block.sorts.iter_mut().zip(&mut block.classes).zip(&mut block.heads);
        for (octet, ((sort, class), head)) in octets.iter().zip(slots) {
            let own = self.octets.of(*octet);
            (*sort, *class) = (own.sort, own.class);
            *head = self.octets.of(before).behind.wrapping_add(own.head);
            before = *octet;
        }
        let slots = block.sorts.iter_mut().zip(&mut block.classes).skip(octets.len());
        for ((sort, class), more) in slots.zip(0..DEPTH) {
            let octet = ahead.and_then(|ahead| ahead.get(more));
            let own = octet.map_or(self.octets.beyond, |octet| self.octets.of(*octet));
            (*sort, *class) = (own.sort, own.class);
        }
    }

    /// The lanes that have rows left after what stands before and the first two octets.
    fn pass_starts(&self, block: &mut Block) {
        let (mut left, mut place) = (0, u8::MAX);
        let seconds = block.sorts.get(1..).unwrap_or_default();
        for (head, second) in block.heads.iter().zip(seconds).take(block.count) {
            place = place.wrapping_add(1);
            let number = usize::from(head.wrapping_add(u16::from(*second)));
            let starts = self.starts.get(number..).and_then(<[u32]>::first_chunk);
            let Some(&[start, end]) = starts else { continue };
            let count = end.saturating_sub(start) as usize;
            if self.sparse && count == 0 {
                continue;
            }
            let room = count.max(FEW).saturating_add(left);
            if block.pairs.len() < room {
                block.pairs.resize(room + BLOCK, 0);
                block.places.resize(room + BLOCK, 0);
            }
            let pairs = block.pairs.get_mut(left..).unwrap_or_default();
            let places = block.places.get_mut(left..).unwrap_or_default();
            if let Some(pairs) = pairs.first_chunk_mut::<FEW>()
                && let Some(places) = places.first_chunk_mut::<FEW>()
            {
                *pairs = [0, 1, 2, 3, 4, 5, 6, 7].map(|more| start.wrapping_add(more));
                *places = [place; FEW];
            }
            if count > FEW {
                let more = pairs.iter_mut().zip(start..end).skip(FEW);
                more.for_each(|(slot, pair)| *slot = pair);
                places.get_mut(FEW..count).unwrap_or_default().fill(place);
            }
            left = left.wrapping_add(count);
        }
        block.left = left;
    }

    /// The pairs that the sorts of the next two octets leave.
    fn pass_pairs(&self, block: &mut Block) {
        let mut left = 0;
        for index in 0..block.left {
            let (Some(number), Some(place)) = (block.pairs.get(index), block.places.get(index))
            else {
                break;
            };
            let (number, place) = (*number, *place);
            let next = usize::from(place) + 2;
            let Some(Pair { third, fourth, .. }) = self.pairs.get(number as usize) else {
                continue;
            };
            let Some([three, four]) = block.sorts.get(next..next + 2) else { continue };
            let fits = third >> (three % 64) & fourth >> (four % 64) & 1;
            if let Some(slot) = block.pairs.get_mut(left)
                && let Some(at) = block.places.get_mut(left)
            {
                (*slot, *at) = (number, place);
            }
            left = left.wrapping_add(usize::from(fits == 1));
        }
        block.left = left;
    }

    /// The rows that the octets behind the first two leave.
    fn pass_near(&self, block: &mut Block) {
        if block.near.len() < block.left {
            block.near.resize(block.left, (0, 0, 0));
        }
        let mut left = 0;
        for (number, place) in block.pairs.iter().zip(&block.places).take(block.left) {
            let Some(Pair { lane, rows, .. }) = self.pairs.get(*number as usize) else { continue };
            let classes = block.classes.get(usize::from(*place)..).unwrap_or_default();
            let [_, _, third, fourth, fifth, sixth, ..] = classes else { continue };
            let masks = self.lane(*lane);
            let bits = |depth, class: &u8| self.bits(masks, depth, *class);
            let near = bits(2, third) & bits(3, fourth) & bits(4, fifth) & bits(5, sixth);
            if let Some(slot) = block.near.get_mut(left) {
                *slot = (rows & near, *lane, *place);
            }
            left = left.wrapping_add(usize::from(rows & near != 0));
        }
        block.near_left = left;
    }

    /// The rows that fit, which go to their patterns.
    fn pass_rest(&self, block: &Block, start: u32, finds: &mut Finds) {
        for (rows, lane, place) in block.near.iter().take(block.near_left) {
            let classes = block.classes.get(usize::from(*place)..).unwrap_or_default();
            let Some([first, second, .., seventh, eighth]) = classes.first_chunk::<DEPTH>() else {
                continue;
            };
            let masks = self.lane(*lane);
            let bits = |depth, class: &u8| self.bits(masks, depth, *class);
            let mut fits =
                rows & bits(6, seventh) & bits(7, eighth) & bits(0, first) & bits(1, second);
            while fits != 0 {
                let row = *lane as usize * 64 + fits.trailing_zeros() as usize;
                fits &= fits - 1;
                let owner = self.owners.get(row).copied().unwrap_or(u32::MAX);
                finds.add(owner, start + u32::from(*place));
            }
        }
    }

    /// For each place of a window, for each class, the rows of a lane.
    #[inline]
    fn lane(&self, lane: u32) -> &[u64] {
        self.masks.get(lane as usize * DEPTH * self.class_count..).unwrap_or_default()
    }

    #[inline]
    fn bits(&self, lane: &[u64], depth: usize, class: u8) -> u64 {
        let place = depth.wrapping_mul(self.class_count).wrapping_add(usize::from(class));
        lane.get(place).copied().unwrap_or(0)
    }
}
