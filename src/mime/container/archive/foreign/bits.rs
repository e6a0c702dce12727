//! Bits, the highest first, and the prefix codes that are made of lengths alone.

/// Reads bits of a stream; behind its end there are zeros, and [`is_over`](Self::is_over) says so.
#[derive(Debug, Clone)]
pub(super) struct Bits<'a> {
    data: &'a [u8],
    /// In bits.
    at: usize,
}

impl<'a> Bits<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0 }
    }

    /// The next 16 bits, not yet passed.
    pub(super) fn peek(&self) -> u32 {
        let from = self.at / 8;
        let octet = |place: usize| u32::from(self.data.get(from + place).copied().unwrap_or(0));
        let three = octet(0) << 16 | octet(1) << 8 | octet(2);
        three >> (8 - self.at % 8) & 0xffff
    }

    pub(super) fn skip(&mut self, count: u32) {
        self.at = self.at.saturating_add(count as usize);
    }

    /// The next bits as a number, at most 32.
    pub(super) fn read(&mut self, count: u32) -> u32 {
        if count > 16 {
            let high = self.read(16);
            let low_bits = count.saturating_sub(16).min(16);
            return high << low_bits | self.read(low_bits);
        }
        let value = self.peek() >> (16 - count);
        self.skip(count);
        value
    }

    /// Passes what is left of an octet that was begun.
    pub(super) fn align(&mut self) {
        self.at = self.at.next_multiple_of(8);
    }

    /// Octets that were begun.
    pub(super) fn octets(&self) -> usize {
        self.at.div_ceil(8)
    }

    /// Goes on at that octet.
    pub(super) fn go_to(&mut self, octet: usize) {
        self.at = octet.saturating_mul(8);
    }

    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// True if more was read than there was.
    pub(super) fn is_over(&self) -> bool {
        self.at > self.data.len().saturating_mul(8)
    }

    pub(super) fn data(&self) -> &'a [u8] {
        self.data
    }
}

/// Longest code.
const LENGTH_MAX: usize = 16;

/// Codes up to this length are found in one step.
const QUICK_BITS: u32 = 9;

/// A canonical prefix code: shorter codes first, and symbols of one length in their order.
#[derive(Debug, Clone, Default)]
pub(super) struct Code {
    /// For each length: the first 16-bit number that is no code of this length, and where its symbols begin.
    rows: Vec<(u32, u32, usize)>,
    symbols: Vec<u16>,
    /// Symbol and length for the first bits; length 0: look it up in the rows.
    quick: Vec<(u16, u8)>,
}

impl Code {
    /// The code of these lengths. Symbols past 65,535 and lengths past 16 have none.
    pub(super) fn new(lengths: &[u8]) -> Self {
        let mut code = Self::default();
        let mut next = 0_u32;
        for length in 1..=LENGTH_MAX {
            let before = code.symbols.len();
            for (symbol, _) in
                lengths.iter().enumerate().filter(|(_, is)| usize::from(**is) == length)
            {
                code.symbols.extend(u16::try_from(symbol));
            }
            let width = 1_u32 << (LENGTH_MAX - length);
            let count = u32::try_from(code.symbols.len() - before).unwrap_or(0);
            let end = next.saturating_add(count.saturating_mul(width)).min(1 << LENGTH_MAX);
            code.rows.push((next, end, before));
            next = end;
        }
        code.quick = (0..1_u32 << QUICK_BITS)
            .map(|start| {
                let found = code.look_up(start << (16 - QUICK_BITS));
                found.filter(|(_, length)| *length <= QUICK_BITS)
            })
            .map(|found| {
                found.map_or((0, 0), |(symbol, length)| (symbol, u8::try_from(length).unwrap_or(0)))
            })
            .collect();
        code
    }

    fn look_up(&self, peeked: u32) -> Option<(u16, u32)> {
        for (length, (first, end, place)) in (1_u32..).zip(&self.rows) {
            if peeked >= *first && peeked < *end {
                let index = (peeked - first) >> (16 - length);
                let symbol = self.symbols.get(place + usize::try_from(index).ok()?)?;
                return Some((*symbol, length));
            }
        }
        None
    }

    /// The symbol that these 16 bits begin with, and its length.
    pub(super) fn find(&self, peeked: u32) -> Option<(u16, u32)> {
        let start = usize::try_from(peeked >> (16 - QUICK_BITS)).ok()?;
        match self.quick.get(start) {
            Some((symbol, length)) if *length > 0 => Some((*symbol, u32::from(*length))),
            _ => self.look_up(peeked),
        }
    }

    /// Reads the next symbol.
    pub(super) fn read(&self, bits: &mut Bits<'_>) -> Option<usize> {
        let (symbol, length) = self.find(bits.peek())?;
        bits.skip(length);
        Some(usize::from(symbol))
    }
}

/// What was unpacked so far, as far back as matches may reach.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) data: Vec<u8>,
    /// What a match finds before the start: unpackers fill their window with it.
    pub(super) before: u8,
}

impl History {
    /// Repeats `length` octets from `distance` back. `None` if that is nowhere.
    pub(super) fn copy(&mut self, distance: usize, mut length: usize) -> Option<()> {
        if distance == 0 {
            return None;
        }
        if let Some(missing) = distance.checked_sub(self.data.len()) {
            let count = missing.min(length);
            self.data.extend(std::iter::repeat_n(self.before, count));
            length -= count;
        }
        if length == 0 {
            return Some(());
        }
        let from = self.data.len().checked_sub(distance)?;
        // It may overlap itself: what was just written is repeated, too.
        while length > 0 {
            let run = (self.data.len() - from).min(length);
            self.data.extend_from_within(from..from + run);
            length -= run;
        }
        Some(())
    }
}
