//! What RAR 5 and later pack: blocks of prefix codes, matches in a window, and filters over what came out.

use super::super::bits::{Bits, Code, History};
use super::filters::{Filter, Kind, apply};
use crate::mail::DefectCode;
use crate::mime::budget::{Budget, STEP_BYTES};
use crate::mime::container::unpack::Unpacked;

const LITERALS: usize = 306;
const DISTANCES: usize = 64;
const DISTANCES_LONG: usize = 80;
const LOW_DISTANCES: usize = 16;
const REPEATS: usize = 44;
const LENGTHS: usize = 20;

/// Octets that a filter may cover.
const FILTER_BYTES_MAX: usize = 4 << 20;

#[derive(Debug, Default)]
struct Tables {
    literals: Code,
    distances: Code,
    low: Code,
    repeats: Code,
}

/// The state that a solid file takes over from the one before it.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    history: History,
    tables: Option<Tables>,
    old: [usize; 4],
    last_length: usize,
}

/// Why unpacking stopped.
enum Stop {
    Damaged,
    Limit(DefectCode),
}

impl Decoder {
    /// Unpacks one file of `size` octets.
    pub(super) fn unpack(
        &mut self,
        packed: &[u8],
        size: usize,
        (solid, keep): (bool, bool),
        long: bool,
        budget: &mut Budget,
    ) -> Unpacked {
        if !solid {
            *self = Self::default();
        }
        let start = self.history.data.len();
        let mut filters = Vec::new();
        let run = self.run(packed, start, size, long, &mut filters, budget);
        let mut data = if keep {
            self.history.data.get(start..).unwrap_or_default().to_vec()
        } else {
            // Nothing solid follows: it need not be there twice.
            std::mem::take(&mut self.history.data)
        };
        data.truncate(size);
        let mut odd = match run {
            Ok(()) => None,
            Err(Stop::Damaged) => Some(DefectCode::BadArchive),
            Err(Stop::Limit(code)) => {
                data.truncate(STEP_BYTES);
                Some(code)
            }
        };
        if !apply(&mut data, &filters) {
            odd = odd.or(Some(DefectCode::BadArchive));
        }
        if odd.is_some() {
            *self = Self::default();
        }
        Unpacked { data, odd }
    }

    fn run(
        &mut self,
        packed: &[u8],
        start: usize,
        size: usize,
        long: bool,
        filters: &mut Vec<Filter>,
        budget: &mut Budget,
    ) -> Result<(), Stop> {
        let mut bits = Bits::new(packed);
        let mut paid = 0;
        let mut last = false;
        while self.history.data.len() - start < size {
            if last {
                return if size == usize::MAX { Ok(()) } else { Err(Stop::Damaged) };
            }
            let block = read_block(&mut bits).ok_or(Stop::Damaged)?;
            last = block.last;
            if block.has_tables {
                self.tables = Some(read_tables(&mut bits, long).ok_or(Stop::Damaged)?);
            }
            let tables = self.tables.take().ok_or(Stop::Damaged)?;
            while bits.position() < block.end && self.history.data.len() - start < size {
                let made = self.history.data.len() - start;
                if made - paid >= STEP_BYTES {
                    budget.expand(made - paid, paid, packed.len()).map_err(Stop::Limit)?;
                    paid = made;
                }
                self.symbol(&tables, &mut bits, start, filters).ok_or(Stop::Damaged)?;
            }
            self.tables = Some(tables);
        }
        let made = self.history.data.len() - start;
        budget.expand(made - paid, paid, packed.len()).map_err(Stop::Limit)
    }

    /// Unpacks what one symbol stands for.
    fn symbol(
        &mut self,
        tables: &Tables,
        bits: &mut Bits<'_>,
        start: usize,
        filters: &mut Vec<Filter>,
    ) -> Option<()> {
        if bits.is_over() {
            return None;
        }
        match tables.literals.read(bits)? {
            literal @ 0..256 => self.history.data.push(u8::try_from(literal).ok()?),
            256 => filters.push(read_filter(bits, self.history.data.len() - start)?),
            257 => {
                if self.last_length > 0 {
                    self.copy(self.last_length)?;
                }
            }
            symbol @ 258..262 => {
                let rank = symbol - 258;
                self.old.get_mut(..=rank)?.rotate_right(1);
                let slot = tables.repeats.read(bits)?;
                self.last_length = length(slot, bits)?;
                self.copy(self.last_length)?;
            }
            symbol => {
                let mut length = length(symbol - 262, bits)?;
                let distance = read_distance(tables, bits)?;
                length += [0x100, 0x2000, 0x4_0000].iter().filter(|far| distance > **far).count();
                self.old.rotate_right(1);
                *self.old.first_mut()? = distance;
                self.last_length = length;
                self.copy(length)?;
            }
        }
        Some(())
    }

    fn copy(&mut self, length: usize) -> Option<()> {
        self.history.copy(*self.old.first()?, length)
    }
}

struct Block {
    /// In bits.
    end: usize,
    last: bool,
    has_tables: bool,
}

fn read_block(bits: &mut Bits<'_>) -> Option<Block> {
    bits.align();
    let octet = |bits: &mut Bits<'_>| bits.read(8);
    let (flags, sum) = (octet(bits), octet(bits));
    let count = flags >> 3 & 3;
    if count == 3 || bits.is_over() {
        return None;
    }
    let (mut size, mut want) = (0, 0x5a ^ flags);
    for place in 0..=count {
        let octet = octet(bits);
        size |= octet << (8 * place);
        want ^= octet;
    }
    if want != sum || size == 0 {
        return None;
    }
    let bits_of_last = usize::try_from((flags & 7) + 1).ok()?;
    let octets = usize::try_from(size).ok()? - 1;
    let end = bits.position().checked_add(octets.checked_mul(8)?)?.checked_add(bits_of_last)?;
    Some(Block { end, last: flags & 0x40 != 0, has_tables: flags & 0x80 != 0 })
}

fn read_tables(bits: &mut Bits<'_>, long: bool) -> Option<Tables> {
    let distances = if long { DISTANCES_LONG } else { DISTANCES };
    let code = Code::new(&read_short_lengths(bits, LENGTHS));
    let total = LITERALS + distances + LOW_DISTANCES + REPEATS;
    let mut lengths: Vec<u8> = Vec::with_capacity(total);
    while lengths.len() < total {
        if bits.is_over() {
            return None;
        }
        let (value, count) = match code.read(bits)? {
            length @ 0..16 => (u8::try_from(length).ok()?, 1),
            16 => (*lengths.last()?, bits.read(3) + 3),
            17 => (*lengths.last()?, bits.read(7) + 11),
            18 => (0, bits.read(3) + 3),
            _ => (0, bits.read(7) + 11),
        };
        lengths.extend(std::iter::repeat_n(value, usize::try_from(count).ok()?));
    }
    let mut from = 0;
    let mut next = |count: usize| {
        let code = lengths.get(from..from + count).map(Code::new);
        from += count;
        code
    };
    Some(Tables {
        literals: next(LITERALS)?,
        distances: next(distances)?,
        low: next(LOW_DISTANCES)?,
        repeats: next(REPEATS)?,
    })
}

/// Lengths of four bits; fifteen begins a run of zeros, unless a zero follows.
pub(super) fn read_short_lengths(bits: &mut Bits<'_>, total: usize) -> Vec<u8> {
    let mut lengths: Vec<u8> = Vec::with_capacity(total + 16);
    while lengths.len() < total {
        let length = u8::try_from(bits.read(4)).unwrap_or(0);
        match length {
            15 => match bits.read(4) {
                0 => lengths.push(15),
                zeros => lengths.extend((0..zeros + 2).map(|_| 0)),
            },
            _ => lengths.push(length),
        }
    }
    lengths.truncate(total);
    lengths
}

fn length(slot: usize, bits: &mut Bits<'_>) -> Option<usize> {
    if slot < 8 {
        return Some(2 + slot);
    }
    let extra = u32::try_from(slot / 4 - 1).ok()?;
    let more = usize::try_from(bits.read(extra)).ok()?;
    Some(2 + ((4 | slot & 3) << extra) + more)
}

fn read_distance(tables: &Tables, bits: &mut Bits<'_>) -> Option<usize> {
    /// More than that no mail holds.
    const EXTRA_BITS_MAX: usize = 30;
    let slot = tables.distances.read(bits)?;
    if slot < 4 {
        return Some(1 + slot);
    }
    let count = slot / 2 - 1;
    if count > EXTRA_BITS_MAX {
        return None;
    }
    let extra = u32::try_from(count).ok()?;
    let mut distance = 1 + ((2 | slot & 1) << count);
    if extra < 4 {
        return Some(distance + usize::try_from(bits.read(extra)).ok()?);
    }
    if extra > 4 {
        distance += usize::try_from(bits.read(extra - 4)).ok()? << 4;
    }
    Some(distance + tables.low.read(bits)?)
}

/// A filter over octets that come.
fn read_filter(bits: &mut Bits<'_>, made: usize) -> Option<Filter> {
    let number = |bits: &mut Bits<'_>| {
        let count = bits.read(2) + 1;
        let value = (0..count).fold(0, |value, place| value | bits.read(8) << (8 * place));
        usize::try_from(value).ok()
    };
    let start = made.checked_add(number(bits)?)?;
    let length = number(bits)?;
    let kind = match bits.read(3) {
        0 => Kind::Delta(usize::try_from(bits.read(5)).ok()? + 1),
        1 => Kind::X86 { jumps: false },
        2 => Kind::X86 { jumps: true },
        3 => Kind::Arm,
        _ => Kind::Unknown,
    };
    (length <= FILTER_BYTES_MAX).then_some(Filter { start, length, kind })
}
