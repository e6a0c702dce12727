//! gzip (RFC 1952): all members, and their names.

use flate2::{Decompress, FlushDecompress, Status};

use super::run::{Decoder, End, Ending, Sink, Step, append, run, since};
use super::{Format, name_text, u16_at, u32_at};

pub(super) const FORMAT: Format = Format { begins, first: b"\x1f", unpack, guessed: false };

/// CRC and length, behind the compressed data.
const TRAILER_BYTES: usize = 8;

fn begins(data: &[u8]) -> bool {
    matches!(data, [0x1f, 0x8b, 8, flags, ..] if flags & 0xe0 == 0)
}

fn unpack(packed: &[u8], sink: &mut Sink<'_>) -> Ending {
    let Some((start, name)) = header(packed) else { return Ending::new(0, End::Broken) };
    let base = sink.data.len();
    let rest = packed.get(start..).unwrap_or_default();
    let mut ending = run(&mut Decompress::new(false), rest, sink);
    ending.name = name;
    ending.read = ending.read.saturating_add(start);
    if ending.end == End::Whole {
        let length = u32_at(packed, ending.read.saturating_add(4)).map(u64::from);
        let made = u64::try_from(sink.data.len().saturating_sub(base)).unwrap_or(0);
        ending.read = ending.read.saturating_add(TRAILER_BYTES);
        // A member that was cut runs on into the next one.
        if length != Some(made & u64::from(u32::MAX)) {
            ending.end = End::Broken;
        }
    }
    ending
}

/// The length of the header at the start, and the name it holds.
fn header(data: &[u8]) -> Option<(usize, Option<String>)> {
    let [0x1f, 0x8b, 8, flags, ..] = data else { return None };
    let mut at = 10;
    if flags & 4 != 0 {
        at += 2 + usize::from(u16_at(data, at)?);
    }
    let mut name = None;
    if flags & 8 != 0 {
        let end = at + memchr::memchr(0, data.get(at..)?)?;
        name = Some(name_text(data.get(at..end)?)).filter(|name| !name.is_empty());
        at = end + 1;
    }
    if flags & 16 != 0 {
        at += memchr::memchr(0, data.get(at..)?)? + 1;
    }
    if flags & 2 != 0 {
        at += 2;
    }
    (at <= data.len()).then_some((at, name))
}

impl Decoder for Decompress {
    fn step(&mut self, input: &mut &[u8], output: &mut Vec<u8>) -> Step {
        let (read, made) = (self.total_in(), self.total_out());
        let mut status = Ok(Status::Ok);
        append(output, made, |room| {
            status = self.decompress(input, room, FlushDecompress::None);
            since(made, self.total_out())
        });
        *input = input.get(since(read, self.total_in())..).unwrap_or_default();
        match status {
            Ok(Status::StreamEnd) => Step::End,
            Ok(Status::Ok | Status::BufError) => Step::Going,
            Err(_) => Step::Broken,
        }
    }
}
