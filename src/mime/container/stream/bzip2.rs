//! bzip2: streams one behind the other.

use bzip2::{Decompress, Status};

use super::Format;
use super::run::{Decoder, Ending, Sink, Step, append, run, since};

pub(super) const FORMAT: Format = Format { begins, first: b"B", unpack, guessed: false };

/// What stands behind the mark and the level: the sign of a block, or of the end.
const NEXT: [&[u8]; 2] = [b"\x31\x41\x59\x26\x53\x59", b"\x17\x72\x45\x38\x50\x90"];

/// True if a bzip2 stream begins there.
pub(in crate::mime) fn begins(data: &[u8]) -> bool {
    let [b'B', b'Z', b'h', b'1'..=b'9', next @ ..] = data else { return false };
    NEXT.iter().any(|sign| next.starts_with(sign))
}

fn unpack(packed: &[u8], sink: &mut Sink<'_>) -> Ending {
    run(&mut Decompress::new(false), packed, sink)
}

impl Decoder for Decompress {
    fn step(&mut self, input: &mut &[u8], output: &mut Vec<u8>) -> Step {
        let (read, made) = (self.total_in(), self.total_out());
        let mut status = Ok(Status::Ok);
        append(output, made, |room| {
            status = self.decompress(input, room);
            since(made, self.total_out())
        });
        *input = input.get(since(read, self.total_in())..).unwrap_or_default();
        match status {
            Ok(Status::StreamEnd) => Step::End,
            Ok(_) => Step::Going,
            Err(_) => Step::Broken,
        }
    }
}
