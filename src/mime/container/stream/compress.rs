//! `.Z`: LZW as compress(1) writes it, 9 to 16 bits a code.

use super::Format;
use super::run::{Decoder, End, Ending, Sink, Step, run};

pub(super) const FORMAT: Format = Format { begins, first: b"", unpack, guessed: false };

/// Octets decoded between two looks at the budget.
const STEP_BYTES: usize = 64 << 10;

const BITS_MIN: u32 = 9;
const BITS_MAX: u32 = 16;

/// In block mode this code empties the table.
const CLEAR: usize = 256;

pub(in crate::mime) fn begins(data: &[u8]) -> bool {
    matches!(data, [0x1f, 0x9d, mode, ..]
        if mode & 0x60 == 0 && (BITS_MIN..=BITS_MAX).contains(&u32::from(mode & 0x1f)))
}

fn unpack(packed: &[u8], sink: &mut Sink<'_>) -> Ending {
    const HEADER_BYTES: usize = 3;
    let Some(mode) = packed.get(2) else { return Ending::new(0, End::Broken) };
    let mut table = Table::new(u32::from(mode & 0x1f), mode & 0x80 != 0);
    let mut ending = run(&mut table, packed.get(HEADER_BYTES..).unwrap_or_default(), sink);
    if table.bits_max == BITS_MIN && ending.end == End::Whole {
        // Readers disagree: some go on with ten bits when the table is full.
        ending.end = End::Refused;
    }
    ending.read = ending.read.saturating_add(HEADER_BYTES);
    ending
}

struct Table {
    /// For each code from 256 on: the code that it continues, and the octet that it adds.
    entries: Vec<(u16, u8)>,
    bits_max: u32,
    block_mode: bool,
    bits: u32,
    /// The code before.
    previous: Option<usize>,
    /// The first octet of what the code before stood for.
    first: u8,
    /// Codes come in groups of eight; when their width changes, the rest of a group is filler.
    in_group: u32,
    /// Bits taken from the input that were not used yet.
    held: u32,
    held_bits: u32,
    text: Vec<u8>,
}

impl Table {
    fn new(bits_max: u32, block_mode: bool) -> Self {
        Self {
            entries: Vec::new(),
            bits_max,
            block_mode,
            bits: BITS_MIN,
            previous: None,
            first: 0,
            in_group: 0,
            held: 0,
            held_bits: 0,
            text: Vec::new(),
        }
    }

    /// The number that the next entry gets.
    fn next(&self) -> usize {
        self.entries.len().saturating_add(if self.block_mode { CLEAR + 1 } else { CLEAR })
    }

    fn entry(&self, code: usize) -> Option<(u16, u8)> {
        let first = if self.block_mode { CLEAR + 1 } else { CLEAR };
        self.entries.get(code.checked_sub(first)?).copied()
    }

    fn code(&mut self, input: &mut &[u8]) -> Option<usize> {
        while self.held_bits < self.bits {
            let (first, rest) = input.split_first()?;
            self.held |= u32::from(*first) << self.held_bits;
            self.held_bits += 8;
            *input = rest;
        }
        let code = self.held & ((1 << self.bits) - 1);
        self.held >>= self.bits;
        self.held_bits -= self.bits;
        self.in_group = (self.in_group + 1) % 8;
        usize::try_from(code).ok()
    }

    /// Goes on with codes of that many bits, behind the group.
    fn change_width(&mut self, bits: u32, input: &mut &[u8]) {
        if self.in_group > 0 {
            let filler = (8 - self.in_group) * self.bits;
            let octets = filler.saturating_sub(self.held_bits).div_ceil(8);
            let octets = usize::try_from(octets).unwrap_or(0);
            *input = input.get(octets..).unwrap_or_default();
        }
        (self.in_group, self.held, self.held_bits) = (0, 0, 0);
        self.bits = bits;
    }

    /// Appends what the code stands for. `None` if it stands for nothing.
    fn put(&mut self, code: usize, output: &mut Vec<u8>) -> Option<()> {
        let next = self.next();
        self.text.clear();
        let mut at = code;
        if code >= next {
            // Only the entry that this very code makes may be unknown yet.
            at = self.previous.filter(|_| code == next)?;
            self.text.push(self.first);
        }
        while at >= CLEAR {
            let (before, octet) = self.entry(at)?;
            self.text.push(octet);
            at = usize::from(before);
        }
        self.first = u8::try_from(at).ok()?;
        output.push(self.first);
        output.extend(self.text.iter().rev());
        if let Some(previous) = self.previous
            && next < 1 << self.bits_max
        {
            self.entries.push((u16::try_from(previous).ok()?, self.first));
        }
        self.previous = Some(code);
        Some(())
    }
}

impl Decoder for Table {
    fn step(&mut self, input: &mut &[u8], output: &mut Vec<u8>) -> Step {
        let enough = output.len().saturating_add(STEP_BYTES);
        while output.len() < enough {
            if self.next() >= 1 << self.bits && self.bits < self.bits_max {
                self.change_width(self.bits + 1, input);
            }
            // Nothing tells the end but the end; less than a code is filler.
            let Some(code) = self.code(input) else { return Step::End };
            if code == CLEAR && self.block_mode {
                self.entries.clear();
                self.previous = None;
                self.change_width(BITS_MIN, input);
            } else if self.put(code, output).is_none() {
                return Step::Broken;
            }
        }
        Step::Going
    }
}
