//! xz, lzip, and the old format of LZMA that has neither mark nor checksum.
//!
//! A header may ask for a dictionary of 4 GiB. The decoders grow it with what they decode. Where the ratio does not stop
//! them before, no more than [`DICTIONARY_BYTES_MAX`] is granted, and what then cannot be decoded is unscannable.

use std::io::{ErrorKind, Read as _};

use lzma_rust2::{Action, LzmaReader, Status, StreamResult, XzStream};

use super::run::{Decoder, End, Ending, Sink, Step, append, run, since};
use super::{Format, u32_at};

/// The largest dictionary: `xz -9` asks for 64 MiB.
const DICTIONARY_BYTES_MAX: u32 = 64 << 20;

/// Packed octets that a pass over an xz file is given.
const AHEAD_BYTES: usize = 64 << 10;

pub(super) const XZ: Format =
    Format { begins: begins_xz, first: b"\xfd", unpack: unpack_xz, guessed: false };
pub(super) const LZIP: Format =
    Format { begins: begins_lzip, first: b"L", unpack: unpack_lzip, guessed: false };
pub(super) const LZMA: Format =
    Format { begins: is_lzma, first: b"", unpack: unpack_lzma, guessed: true };

fn begins_xz(data: &[u8]) -> bool {
    data.starts_with(b"\xfd7zXZ\0")
}

fn begins_lzip(data: &[u8]) -> bool {
    data.starts_with(b"LZIP\x01")
}

/// True if the octets can be the start of an LZMA file: properties, size of dictionary, size of content or −1, and the
/// first octet of the range coder, which is 0. Dictionaries have a size of 2ⁿ or 3·2ⁿ; decoders ask for that, too.
pub(in crate::mime) fn is_lzma(data: &[u8]) -> bool {
    const HEADER_BYTES: usize = 13;
    const SIZE_BITS: u32 = 40;
    let Some((properties, dictionary, size)) = lzma_header(data) else { return false };
    let shape = dictionary.checked_shr(dictionary.trailing_zeros()).unwrap_or(0);
    properties < 225
        && (matches!(shape, 1 | 3) || dictionary == u32::MAX)
        && (size == u64::MAX || (size > 0 && size >> SIZE_BITS == 0))
        && data.get(HEADER_BYTES) == Some(&0)
}

fn lzma_header(data: &[u8]) -> Option<(u8, u32, u64)> {
    let size = u64::from_le_bytes(data.get(5..13)?.try_into().ok()?);
    Some((*data.first()?, u32_at(data, 1)?, size))
}

/// What is granted at most: any dictionary, if so little is packed that the ratio ends it before it grows.
fn dictionary_max(sink: &Sink<'_>) -> u32 {
    let packed = u64::try_from(sink.packed).unwrap_or(u64::MAX);
    let unpacked_max = packed.saturating_mul(sink.budget.limits.archive_ratio_max);
    if unpacked_max <= u64::from(DICTIONARY_BYTES_MAX) { u32::MAX } else { DICTIONARY_BYTES_MAX }
}

fn unpack_xz(packed: &[u8], sink: &mut Sink<'_>) -> Ending {
    // The limit is in KiB, and counts the decoder's own tables.
    let limit = (dictionary_max(sink) >> 10).saturating_add(1 << 10);
    let base = sink.data.len();
    let xz =
        |careful_from| Xz { stream: XzStream::new_mem_limit(false, limit), careful_from, added: 0 };
    let ending = run(&mut xz(u64::MAX), packed, sink);
    if ending.end != End::Broken {
        return ending;
    }
    // What a pass decoded before an error is lost with it: near that place a pass must be short.
    let good = u64::try_from(sink.data.len().saturating_sub(base)).unwrap_or(u64::MAX);
    sink.data.truncate(base);
    let again = run(&mut xz(good), packed, sink);
    Ending { end: if again.end == End::Whole { End::Broken } else { again.end }, ..again }
}

fn unpack_lzma(packed: &[u8], sink: &mut Sink<'_>) -> Ending {
    const HEADER_BYTES: usize = 13;
    let Some((properties, dictionary, size)) = lzma_header(packed) else {
        return Ending::new(0, End::Broken);
    };
    /// The mark of the end may follow a content of known size.
    const END_BYTES_MAX: usize = 16;
    let mut ending = raw(packed, HEADER_BYTES, size, properties, dictionary, sink);
    if packed.len().saturating_sub(ending.read) <= END_BYTES_MAX {
        ending.read = packed.len();
    }
    ending
}

fn unpack_lzip(packed: &[u8], sink: &mut Sink<'_>) -> Ending {
    const HEADER_BYTES: usize = 6;
    /// Checksum, size of the content, size of the member.
    const TRAILER_BYTES: usize = 20;
    /// lc 3, lp 0, pb 2: lzip knows no other.
    const PROPERTIES: u8 = 93;
    let Some(coded) = packed.get(5) else { return Ending::new(0, End::Broken) };
    // A power of two, of which so many sixteenths are taken away.
    let base = 1_u32.checked_shl(u32::from(coded & 0x1f)).unwrap_or(0);
    let dictionary = base.saturating_sub((base / 16).saturating_mul(u32::from(coded >> 5)));
    let mut ending = raw(packed, HEADER_BYTES, u64::MAX, PROPERTIES, dictionary, sink);
    if ending.end == End::Whole {
        ending.read = ending.read.saturating_add(TRAILER_BYTES);
        // A member that was cut runs on into the next one: the size in the trailer is not its own.
        let size = packed.get(ending.read.saturating_sub(8)..ending.read);
        let size = size.and_then(|octets| octets.try_into().ok()).map(u64::from_le_bytes);
        if size != u64::try_from(ending.read).ok() {
            ending.end = End::Broken;
        }
    }
    ending
}

/// Unpacks LZMA without a header of its own, that begins at `start`.
fn raw(
    packed: &[u8],
    start: usize,
    size: u64,
    properties: u8,
    dictionary: u32,
    sink: &mut Sink<'_>,
) -> Ending {
    let granted = dictionary.min(dictionary_max(sink)).min(lzma_rust2::DICT_SIZE_MAX);
    let rest = packed.get(start..).unwrap_or_default();
    let Ok(mut reader) = LzmaReader::new_with_props(rest, size, properties, granted, None) else {
        return Ending::new(start, End::Broken);
    };
    // What was decoded before an error is given before it is told.
    reader.set_defer_errors(true);
    let mut ending = run(&mut reader, rest, sink);
    // It reads ahead.
    let (_, ahead) = reader.into_parts();
    ending.read = ending.read.saturating_sub(ahead.len());
    ending.read = ending.read.saturating_add(start);
    if ending.end == End::Broken && granted < dictionary {
        ending.end = End::Refused;
    }
    ending
}

fn step_of(result: Result<StreamResult, std::io::Error>) -> Step {
    match result.map(|result| result.status) {
        Ok(Status::StreamEnd) => Step::End,
        Ok(Status::Ok) => Step::Going,
        Err(error) => {
            let refused = matches!(
                error.kind(),
                ErrorKind::OutOfMemory | ErrorKind::Unsupported | ErrorKind::InvalidInput
            );
            if refused { Step::Refused } else { Step::Broken }
        }
    }
}

/// xz, decoded in passes.
struct Xz {
    stream: XzStream,
    /// From so many octets of output on it gets its input in small pieces.
    careful_from: u64,
    /// Octets that were added at the end: no symbol is begun unless all that it may need is there.
    added: usize,
}

impl Decoder for Xz {
    fn step(&mut self, input: &mut &[u8], output: &mut Vec<u8>) -> Step {
        const ADDED: &[u8] = &[0; 8];
        const ADDED_MAX: usize = 24;
        let (read, made) = (self.stream.total_in(), self.stream.total_out());
        let careful = made >= self.careful_from;
        let ahead = if careful { ADDED.len() } else { AHEAD_BYTES };
        let mut now = input.get(..ahead).unwrap_or(input);
        if now.is_empty() && careful && self.added < ADDED_MAX {
            now = ADDED;
            self.added += ADDED.len();
        }
        let mut step = Step::Going;
        append(output, if careful { 0 } else { made }, |room| {
            step = step_of(self.stream.process(now, room, Action::Run));
            since(made, self.stream.total_out())
        });
        *input = input.get(since(read, self.stream.total_in())..).unwrap_or_default();
        step
    }
}

impl Decoder for LzmaReader<&[u8]> {
    fn step(&mut self, input: &mut &[u8], output: &mut Vec<u8>) -> Step {
        let mut step = Step::Going;
        append(output, u64::MAX, |room| match self.read(room) {
            Ok(0) => {
                step = Step::End;
                0
            }
            Ok(fresh) => fresh,
            Err(_) => {
                step = Step::Broken;
                0
            }
        });
        let read = input.len().saturating_sub(self.inner().len());
        *input = input.get(read..).unwrap_or_default();
        step
    }
}
