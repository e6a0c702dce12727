//! LZX as cabinets have it: blocks of prefix codes over a window, in words of 16 bits, little end first.
//!
//! As [MS-PATCH] describes it, but for what only patches have.

use super::bits::{Bits, Code, History};

const MATCH_MIN: usize = 2;
const LENGTHS: usize = 249;

/// Octets after which the stream is aligned and calls are translated anew.
const FRAME_BYTES: usize = 32 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Verbatim,
    Aligned,
    Plain,
}

pub(super) struct Lzx {
    slots: usize,
    main_lengths: Vec<u8>,
    length_lengths: Vec<u8>,
    main: Code,
    length: Code,
    aligned: Code,
    recent: [usize; 3],
    kind: Kind,
    left: usize,
    /// Octets of the last block without codes were odd in number: one more follows.
    pad: bool,
    /// The size up to which calls are translated, once it was read.
    calls: Option<u32>,
}

impl Lzx {
    /// A decoder for a window of two to `window`.
    pub(super) fn new(window: u32) -> Self {
        let slots = match window {
            0..=19 => usize::try_from(window).unwrap_or(15) * 2,
            20 => 42,
            _ => 50,
        };
        Self {
            slots,
            main_lengths: vec![0; 256 + 8 * slots],
            length_lengths: vec![0; LENGTHS],
            main: Code::default(),
            length: Code::default(),
            aligned: Code::default(),
            recent: [1; 3],
            kind: Kind::Plain,
            left: 0,
            pad: false,
            calls: None,
        }
    }

    /// Unpacks one frame behind what was unpacked before.
    pub(super) fn unpack(&mut self, packed: &[u8], size: usize, made: &mut Vec<u8>) -> Option<()> {
        // With the octets of each word changed, bits come the highest first.
        let mut words = packed.to_vec();
        words.resize(packed.len().next_multiple_of(2), 0);
        words.chunks_exact_mut(2).for_each(<[u8]>::reverse);
        let mut bits = Bits::new(&words);
        let mut history = History { data: std::mem::take(made), before: 0 };
        let end = history.data.len() + size;
        let run = self.run(packed, &mut bits, end, &mut history);
        *made = history.data;
        run
    }

    fn run(
        &mut self,
        packed: &[u8],
        bits: &mut Bits<'_>,
        end: usize,
        history: &mut History,
    ) -> Option<()> {
        if self.calls.is_none() {
            let translated = bits.read(1) == 1;
            self.calls = Some(if translated { bits.read(32) } else { 0 });
        }
        while history.data.len() < end {
            if self.left == 0 {
                self.read_block(packed, bits)?;
            }
            let before = history.data.len();
            if self.kind == Kind::Plain {
                let count = self.left.min(end - before);
                let from = bits.octets();
                history.data.extend_from_slice(packed.get(from..from.checked_add(count)?)?);
                bits.go_to(from + count);
            } else {
                self.symbol(bits, history)?;
            }
            if bits.is_over() {
                return None;
            }
            self.left = self.left.checked_sub(history.data.len() - before)?;
        }
        (history.data.len() == end).then_some(())
    }

    fn read_block(&mut self, packed: &[u8], bits: &mut Bits<'_>) -> Option<()> {
        if std::mem::take(&mut self.pad) {
            bits.skip(8);
        }
        let kind = bits.read(3);
        self.left = usize::try_from(bits.read(24)).ok().filter(|left| *left > 0)?;
        self.kind = match kind {
            1 => Kind::Verbatim,
            2 => Kind::Aligned,
            3 => Kind::Plain,
            _ => return None,
        };
        if self.kind == Kind::Plain {
            // Up to the next word; a whole one if it stands at its start.
            let place = u32::try_from(bits.position() % 16).ok()?;
            bits.skip(16 - place);
            let at = bits.octets();
            for (index, recent) in self.recent.iter_mut().enumerate() {
                let from = at + 4 * index;
                let octets = packed.get(from..from + 4)?.try_into().ok()?;
                *recent = usize::try_from(u32::from_le_bytes(octets)).ok()?;
            }
            bits.go_to(at + 12);
            self.pad = !self.left.is_multiple_of(2);
            return Some(());
        }
        if self.kind == Kind::Aligned {
            let lengths: Vec<u8> =
                (0..8).map(|_| u8::try_from(bits.read(3)).unwrap_or(0)).collect();
            self.aligned = Code::new(&lengths);
        }
        let (literals, matches) = self.main_lengths.split_at_mut_checked(256)?;
        read_lengths(bits, literals)?;
        read_lengths(bits, matches)?;
        self.main = Code::new(&self.main_lengths);
        read_lengths(bits, &mut self.length_lengths)?;
        self.length = Code::new(&self.length_lengths);
        Some(())
    }

    fn symbol(&mut self, bits: &mut Bits<'_>, history: &mut History) -> Option<()> {
        let symbol = self.main.read(bits)?;
        if let Ok(literal) = u8::try_from(symbol) {
            history.data.push(literal);
            return Some(());
        }
        let (slot, short) = ((symbol - 256) / 8, (symbol - 256) % 8);
        let length = if short == 7 { 7 + self.length.read(bits)? } else { short } + MATCH_MIN;
        match slot {
            0..3 => self.recent.swap(0, slot),
            _ if slot >= self.slots => return None,
            _ => {
                let distance = self.distance(slot, bits)?;
                self.recent.rotate_right(1);
                *self.recent.first_mut()? = distance;
            }
        }
        history.copy(*self.recent.first()?, length)
    }

    fn distance(&self, slot: usize, bits: &mut Bits<'_>) -> Option<usize> {
        let (base, extra) = match slot {
            3 => (3, 0),
            4..36 => {
                let extra = slot / 2 - 1;
                ((2 | slot & 1) << extra, u32::try_from(extra).ok()?)
            }
            _ => ((slot - 34) << 17, 17),
        };
        let more = if self.kind == Kind::Aligned && extra >= 3 {
            let high = usize::try_from(bits.read(extra - 3)).ok()? << 3;
            high + self.aligned.read(bits)?
        } else {
            usize::try_from(bits.read(extra)).ok()?
        };
        (base + more).checked_sub(2)
    }

    /// Makes the addresses of calls relative again, frame by frame.
    pub(super) fn translate(&self, data: &mut [u8]) {
        const FRAMES_MAX: usize = 1 << 15;
        const TAIL_BYTES: usize = 10;
        let size = self.calls.unwrap_or(0).cast_signed();
        if size == 0 {
            return;
        }
        for (index, frame) in data.chunks_mut(FRAME_BYTES).take(FRAMES_MAX).enumerate() {
            let end = frame.len().saturating_sub(TAIL_BYTES);
            let mut at = 0;
            while at < end {
                let rest = frame.get(at..end).unwrap_or_default();
                let Some(hit) = memchr::memchr(0xe8, rest) else { break };
                at += hit;
                let here = i32::try_from(index * FRAME_BYTES + at).unwrap_or(i32::MAX);
                if let Some(place) = frame.get_mut(at + 1..at + 5)
                    && let Ok(octets) = <[u8; 4]>::try_from(&*place)
                {
                    let address = i32::from_le_bytes(octets);
                    if address >= -here && address < size {
                        let changed = if address >= 0 {
                            address.wrapping_sub(here)
                        } else {
                            address.wrapping_add(size)
                        };
                        place.copy_from_slice(&changed.to_le_bytes());
                    }
                }
                at += 5;
            }
        }
    }
}

/// Lengths told as differences to those before, packed by a code of their own.
fn read_lengths(bits: &mut Bits<'_>, lengths: &mut [u8]) -> Option<()> {
    const CODES: usize = 20;
    let short: Vec<u8> = (0..CODES).map(|_| u8::try_from(bits.read(4)).unwrap_or(0)).collect();
    let code = Code::new(&short);
    let changed = |old: u8, by: usize| u8::try_from((usize::from(old) + 17 - by) % 17).ok();
    let mut at = 0;
    while at < lengths.len() {
        if bits.is_over() {
            return None;
        }
        let (value, count) = match code.read(bits)? {
            by @ 0..17 => (changed(*lengths.get(at)?, by)?, 1),
            17 => (0, bits.read(4) + 4),
            18 => (0, bits.read(5) + 20),
            _ => {
                let count = bits.read(1) + 4;
                let by = code.read(bits).filter(|by| *by < 17)?;
                (changed(*lengths.get(at)?, by)?, count)
            }
        };
        for _ in 0..count {
            if let Some(place) = lengths.get_mut(at) {
                *place = value;
            }
            at += 1;
        }
    }
    Some(())
}
