//! Zstandard (RFC 8878): frames one behind the other, and the frames that are skipped.

use ruzstd::decoding::errors::FrameDecoderError;
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::run::{Decoder, End, Ending, Sink, Step, run};
use super::{Format, u32_at};

pub(super) const FORMAT: Format = Format { begins, first: b"\x28", unpack, guessed: false };

const MARK: &[u8] = b"\x28\xb5\x2f\xfd";

/// Blocks, of 128 KiB at most, that a frame may keep as its window before it gives anything: 128 MiB. `zstd` opens no larger
/// window without being told to, but one that is only declared costs nothing.
const HELD_BLOCKS_MAX: usize = 1024;

/// Frames for programs, not for readers, that may stand before the first one that holds something.
const SKIPPED_MAX: usize = 16;

fn begins(data: &[u8]) -> bool {
    data.starts_with(MARK) || skipped(data).is_some()
}

/// The length of the frame at the start that readers pass over.
pub(super) fn skipped(data: &[u8]) -> Option<usize> {
    let [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] = data else { return None };
    usize::try_from(u32_at(data, 4)?).ok()?.checked_add(8)
}

/// What stands behind the frames that readers pass over.
pub(in crate::mime) fn behind_skipped(mut data: &[u8]) -> &[u8] {
    for _ in 0..SKIPPED_MAX {
        match skipped(data) {
            Some(length) => data = data.get(length..).unwrap_or_default(),
            None => break,
        }
    }
    data
}

fn unpack(packed: &[u8], sink: &mut Sink<'_>) -> Ending {
    if let Some(length) = skipped(packed) {
        let end = if length > packed.len() { End::Broken } else { End::Whole };
        return Ending::new(length.min(packed.len()), end);
    }
    let mut decoder = FrameDecoder::new();
    decoder.set_max_window_size(u64::MAX);
    let mut rest = packed;
    if let Err(error) = decoder.reset(&mut rest) {
        let refused = matches!(
            error,
            FrameDecoderError::WindowSizeTooBig { .. } | FrameDecoderError::DictNotProvided { .. }
        );
        return Ending::new(MARK.len(), if refused { End::Refused } else { End::Broken });
    }
    let header = packed.len().saturating_sub(rest.len());
    let mut ending = run(&mut Frame { decoder, held: 0 }, rest, sink);
    ending.read = ending.read.saturating_add(header);
    ending
}

struct Frame {
    decoder: FrameDecoder,
    /// Blocks decoded since the decoder gave something.
    held: usize,
}

impl Decoder for Frame {
    fn step(&mut self, input: &mut &[u8], output: &mut Vec<u8>) -> Step {
        let one = || BlockDecodingStrategy::UptoBlocks(1);
        let mut step = match self.decoder.decode_blocks(&mut *input, one()) {
            Ok(true) => Step::End,
            Ok(false) => Step::Going,
            Err(_) => Step::Broken,
        };
        self.held += 1;
        if self.held >= HELD_BLOCKS_MAX && step == Step::Going {
            step = Step::Refused;
        }
        if matches!(step, Step::Broken | Step::Refused) {
            // The decoder holds a window back until the end: an empty last block, with any checksum, brings it out.
            const LAST: &[u8] = &[1, 0, 0, 0, 0, 0, 0];
            if self.decoder.decode_blocks(LAST, one()).is_err() {
                return step;
            }
        }
        if let Some(fresh) = self.decoder.collect().filter(|fresh| !fresh.is_empty()) {
            output.extend(fresh);
            self.held = 0;
        }
        step
    }
}
