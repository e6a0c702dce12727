//! LZ4: frames as its frame format (1.6) describes them, and the older ones of `lz4 -l`. Checksums are not asked.

use super::run::{Decoder, End, Ending, Sink, Step, run};
use super::{Format, u32_at, zstd};

pub(super) const FORMAT: Format = Format { begins, first: b"\x04\x02", unpack, guessed: false };

const MARK: &[u8] = b"\x04\x22\x4d\x18";
const LEGACY_MARK: &[u8] = b"\x02\x21\x4c\x18";

/// What one block of the older frames unpacks to at most; of the newer ones it is 4 MiB.
const BLOCK_BYTES_MAX: usize = 8 << 20;

/// What a block of that size is packed to at most.
const PACKED_BYTES_MAX: usize = BLOCK_BYTES_MAX + BLOCK_BYTES_MAX / 255 + 16;

/// The bit in the size of a block that says that it is not packed.
const STORED_BIT: u32 = 1 << 31;

fn begins(data: &[u8]) -> bool {
    let frame = data.starts_with(MARK) && data.get(4).is_some_and(|flags| flags >> 6 == 1);
    frame || data.starts_with(LEGACY_MARK) || zstd::skipped(data).is_some()
}

struct Frame {
    legacy: bool,
    /// Blocks refer to those before.
    linked: bool,
    block_checksum: bool,
    content_checksum: bool,
    /// It was packed with a dictionary that is elsewhere.
    dictionary: bool,
    /// Where in the output the frame begins.
    base: Option<usize>,
}

fn unpack(packed: &[u8], sink: &mut Sink<'_>) -> Ending {
    if let Some(length) = zstd::skipped(packed) {
        let end = if length > packed.len() { End::Broken } else { End::Whole };
        return Ending::new(length.min(packed.len()), end);
    }
    let flags = packed.get(4).copied().unwrap_or(0);
    let has = |bit: u8| flags & bit != 0;
    let legacy = packed.starts_with(LEGACY_MARK);
    let mut frame = Frame {
        legacy,
        linked: !legacy && !has(0x20),
        block_checksum: !legacy && has(0x10),
        content_checksum: !legacy && has(0x04),
        dictionary: !legacy && has(0x01),
        base: None,
    };
    let header = match legacy {
        true => 4,
        // Mark, flags, block size, header checksum; size of the content; number of the dictionary.
        false => 7 + if has(0x08) { 8 } else { 0 } + if has(0x01) { 4 } else { 0 },
    };
    let mut ending = run(&mut frame, packed.get(header..).unwrap_or_default(), sink);
    ending.read = ending.read.saturating_add(header).min(packed.len());
    if ending.end == End::Broken && frame.dictionary {
        ending.end = End::Refused;
    }
    ending
}

impl Decoder for Frame {
    fn step(&mut self, input: &mut &[u8], output: &mut Vec<u8>) -> Step {
        let base = *self.base.get_or_insert(output.len());
        let Some(field) = u32_at(input, 0) else {
            let ends = self.legacy && input.is_empty();
            return if ends { Step::End } else { Step::Broken };
        };
        let size = usize::try_from(field & !STORED_BIT).unwrap_or(usize::MAX);
        let stored = !self.legacy && field & STORED_BIT != 0;
        if self.legacy && (field & STORED_BIT != 0 || size > PACKED_BYTES_MAX || size == 0) {
            return Step::End;
        }
        *input = input.get(4..).unwrap_or_default();
        if size == 0 && !stored {
            let trailer = if self.content_checksum { 4 } else { 0 };
            let whole = input.len() >= trailer;
            *input = input.get(trailer..).unwrap_or_default();
            return if whole { Step::End } else { Step::Broken };
        }
        let block = input.get(..size.min(input.len())).unwrap_or_default();
        let mut good = block.len() == size;
        if stored {
            output.extend_from_slice(block.get(..BLOCK_BYTES_MAX).unwrap_or(block));
            good &= size <= BLOCK_BYTES_MAX;
        } else {
            let floor = if self.linked { base } else { output.len() };
            good &= unpack_block(block, output, floor).is_some();
        }
        let checksum = if self.block_checksum { 4 } else { 0 };
        *input = input.get(size.saturating_add(checksum)..).unwrap_or_default();
        if good { Step::Going } else { Step::Broken }
    }
}

/// Unpacks one block: literals, and copies of what stands in the output from `floor` on. `None` if it is damaged.
fn unpack_block(mut block: &[u8], output: &mut Vec<u8>, floor: usize) -> Option<()> {
    let end_max = output.len().checked_add(BLOCK_BYTES_MAX)?;
    loop {
        let token = take(&mut block)?;
        let literals = length(token >> 4, &mut block)?;
        let there = block.get(..literals.min(block.len()))?;
        if output.len().checked_add(there.len())? > end_max {
            return None;
        }
        output.extend_from_slice(there);
        block = block.get(literals..)?;
        if block.is_empty() {
            return Some(());
        }
        let back = usize::from(take(&mut block)?) | usize::from(take(&mut block)?) << 8;
        let count = length(token & 15, &mut block)?.checked_add(4)?;
        if output.len().checked_add(count)? > end_max {
            return None;
        }
        copy_back(output, floor, back, count)?;
    }
}

fn take(block: &mut &[u8]) -> Option<u8> {
    let (first, rest) = block.split_first()?;
    *block = rest;
    Some(*first)
}

/// Half an octet; if all its bits are set, octets follow that are added, up to one that is not 255.
fn length(half: u8, block: &mut &[u8]) -> Option<usize> {
    let mut sum = usize::from(half);
    if half == 15 {
        loop {
            let more = take(block)?;
            sum = sum.checked_add(usize::from(more))?;
            if more != 255 {
                break;
            }
        }
    }
    Some(sum)
}

/// Appends `count` octets that stand `back` octets before the end; they may be among those appended.
pub(super) fn copy_back(
    output: &mut Vec<u8>,
    floor: usize,
    back: usize,
    count: usize,
) -> Option<()> {
    let start = output.len().checked_sub(back).filter(|start| *start >= floor && back > 0)?;
    let mut left = count;
    while left > 0 {
        // What was appended is there to be copied: the run doubles.
        let run = left.min(output.len() - start);
        output.extend_from_within(start..start + run);
        left -= run;
    }
    Some(())
}
