//! Filters of rar: what came out of the decoder is changed in place, range by range.
//!
//! RAR 2.9 to 4 write them as programs for a small machine, of which only the stock ones are known here, by checksum.

/// One range and what is done to it.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    /// In octets of the file.
    pub(super) start: usize,
    pub(super) length: usize,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Differences, channel by channel.
    Delta(usize),
    /// Addresses of calls, and of jumps, too.
    X86 {
        jumps: bool,
    },
    Arm,
    /// Rows of pixels: octets of a row, and where the reds begin.
    Rgb(usize, usize),
    Audio(usize),
    Unknown,
}

/// How many times its own size of work a file is worth: filters of a hostile one all lie on each other.
const PASSES_MAX: usize = 8;

/// Applies the filters in their order. False if not all could be.
pub(super) fn apply(data: &mut [u8], filters: &[Filter]) -> bool {
    let mut work = data.len().saturating_mul(PASSES_MAX);
    let mut whole = true;
    for filter in filters {
        let end = filter.start.saturating_add(filter.length);
        let range = data.get_mut(filter.start..end);
        let (Some(range), Some(left)) = (range, work.checked_sub(filter.length)) else {
            whole = false;
            continue;
        };
        work = left;
        match filter.kind {
            Kind::Delta(channels) => delta(range, channels),
            Kind::X86 { jumps } => x86(range, filter.start, jumps),
            Kind::Arm => arm(range, filter.start),
            Kind::Rgb(row, reds) => rgb(range, row, reds),
            Kind::Audio(channels) => audio(range, channels),
            Kind::Unknown => whole = false,
        }
    }
    whole
}

fn delta(range: &mut [u8], channels: usize) {
    let source = range.to_vec();
    let mut source = source.into_iter();
    for channel in 0..channels.min(range.len()) {
        let mut previous = 0_u8;
        for (to, from) in range.iter_mut().skip(channel).step_by(channels).zip(&mut source) {
            previous = previous.wrapping_sub(from);
            *to = previous;
        }
    }
}

/// Calls were made absolute; they are made relative again.
fn x86(range: &mut [u8], start: usize, jumps: bool) {
    const SPACE: u32 = 0x0100_0000;
    let mut at = 0;
    while at + 4 < range.len() {
        let is_call = matches!(range.get(at), Some(0xe8)) || jumps && range.get(at) == Some(&0xe9);
        at += 1;
        if !is_call {
            continue;
        }
        let Some(place) = range.get_mut(at..at + 4) else { return };
        let address = place.iter().rev().fold(0_u32, |all, octet| all << 8 | u32::from(*octet));
        let offset = u32::try_from((start + at) % 0x0100_0000).unwrap_or(0);
        let negative = |value: u32| value & 0x8000_0000 != 0;
        let changed = if negative(address) {
            (!negative(address.wrapping_add(offset))).then(|| address.wrapping_add(SPACE))
        } else {
            negative(address.wrapping_sub(SPACE)).then(|| address.wrapping_sub(offset))
        };
        if let Some(changed) = changed {
            place.copy_from_slice(&changed.to_le_bytes());
        }
        at += 4;
    }
}

fn arm(range: &mut [u8], start: usize) {
    for (index, word) in range.chunks_exact_mut(4).enumerate() {
        if let [low, middle, high, 0xeb] = word {
            let address = u32::from(*low) | u32::from(*middle) << 8 | u32::from(*high) << 16;
            let place = u32::try_from((start / 4 + index) & 0xff_ffff).unwrap_or(0);
            let [new_low, new_middle, new_high, _] = address.wrapping_sub(place).to_le_bytes();
            (*low, *middle, *high) = (new_low, new_middle, new_high);
        }
    }
}

/// Pixels are differences to what their neighbours promise.
fn rgb(range: &mut [u8], row: usize, reds: usize) {
    let source = range.to_vec();
    let mut source = source.into_iter();
    for channel in 0..3 {
        let mut previous = 0_u8;
        for at in (channel..range.len()).step_by(3) {
            let above = at.checked_sub(row).filter(|_| row >= 3);
            let neighbours =
                above.and_then(|corner| Some((*range.get(corner)?, *range.get(corner + 3)?)));
            let predicted = match neighbours {
                Some((corner, above)) => paeth(previous, above, corner),
                None => previous,
            };
            previous = predicted.wrapping_sub(source.next().unwrap_or(0));
            if let Some(to) = range.get_mut(at) {
                *to = previous;
            }
        }
    }
    let mut at = reds;
    while let Some([red, green, blue]) = at.checked_add(3).and_then(|end| range.get_mut(at..end)) {
        *red = red.wrapping_add(*green);
        *blue = blue.wrapping_add(*green);
        at += 3;
    }
}

/// The neighbour that is nearest to left + above - corner.
fn paeth(left: u8, above: u8, corner: u8) -> u8 {
    let number = i32::from;
    let promise = number(left) + number(above) - number(corner);
    let far = |octet: u8| (promise - number(octet)).abs();
    if far(left) <= far(above) && far(left) <= far(corner) {
        left
    } else if far(above) <= far(corner) {
        above
    } else {
        corner
    }
}

/// Samples are differences to what a predictor promises that learns.
fn audio(range: &mut [u8], channels: usize) {
    let source = range.to_vec();
    let mut source = source.into_iter();
    for channel in 0..channels.min(range.len()) {
        let mut predictor = Predictor::default();
        for (to, from) in range.iter_mut().skip(channel).step_by(channels).zip(&mut source) {
            *to = predictor.next(from);
        }
    }
}

#[derive(Debug, Default)]
struct Predictor {
    previous: u8,
    slope: i32,
    slopes: [i32; 3],
    weights: [i32; 3],
    errors: [u32; 7],
    count: u32,
}

impl Predictor {
    fn next(&mut self, octet: u8) -> u8 {
        let [first, second, _] = self.slopes;
        self.slopes = [self.slope, self.slope - first, second];
        let promise = self.slopes.iter().zip(self.weights).map(|(slope, weight)| slope * weight);
        let promise = 8 * i32::from(self.previous) + promise.sum::<i32>();
        let promise = u8::try_from(promise >> 3 & 0xff).unwrap_or(0);
        let value = promise.wrapping_sub(octet);
        self.slope = i32::from(value.wrapping_sub(self.previous).cast_signed());
        self.previous = value;
        let error = i32::from(octet.cast_signed()) << 3;
        let [first, second, third] = self.slopes;
        let others = [0, -first, first, -second, second, -third, third];
        for (sum, other) in self.errors.iter_mut().zip(others) {
            *sum = sum.saturating_add((error + other).unsigned_abs());
        }
        if self.count.is_multiple_of(32) {
            self.learn();
        }
        self.count = self.count.wrapping_add(1);
        value
    }

    /// The weight by which the error would have been smallest is moved.
    fn learn(&mut self) {
        let mut best = 0;
        for (index, error) in self.errors.iter().enumerate() {
            if Some(error) < self.errors.get(best) {
                best = index;
            }
        }
        self.errors = [0; 7];
        let weight = best.checked_sub(1).and_then(|index| self.weights.get_mut(index / 2));
        if let Some(weight) = weight {
            if best % 2 == 1 && *weight >= -16 {
                *weight -= 1;
            } else if best % 2 == 0 && *weight < 16 {
                *weight += 1;
            }
        }
    }
}
