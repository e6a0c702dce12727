//! Runs a decoder step by step under the budget; declared sizes are never believed.

use crate::mail::DefectCode;
use crate::mime::budget::{Budget, STEP_BYTES};

/// Octets kept of a stream that went over a limit: what a bomb unpacks to is not worth its memory.
const KEPT_BYTES: usize = 64 << 10;

/// Steps in a row that may neither read nor write.
const IDLE_STEPS_MAX: usize = 3;

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Going,
    /// The stream is at its end.
    End,
    /// The stream is damaged or cut short.
    Broken,
    /// The stream asks for what this decoder does not do.
    Refused,
}

/// A decoder of one stream.
pub(super) trait Decoder {
    /// Takes octets from the front of `input` and appends what they mean to `output`: a few MiB at most. What was
    /// decoded before an error is appended, too.
    fn step(&mut self, input: &mut &[u8], output: &mut Vec<u8>) -> Step;
}

/// Where unpacked octets go.
pub(super) struct Sink<'a> {
    pub(super) data: Vec<u8>,
    /// Octets of the whole container, for the ratio.
    pub(super) packed: usize,
    pub(super) budget: &'a mut Budget,
}

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Whole,
    Broken,
    Refused,
    Limit(DefectCode),
}

/// One stream that was unpacked into a sink.
#[derive(Debug)]
pub(super) struct Ending {
    /// Packed octets that belong to it.
    pub(super) read: usize,
    pub(super) end: End,
    /// The name that stands in it.
    pub(super) name: Option<String>,
}

impl Ending {
    pub(super) fn new(read: usize, end: End) -> Self {
        Self { read, end, name: None }
    }
}

/// Unpacks the stream at the start of `packed`.
pub(super) fn run(decoder: &mut dyn Decoder, packed: &[u8], sink: &mut Sink<'_>) -> Ending {
    let (mut rest, mut idle) = (packed, 0);
    let base = sink.data.len();
    let end = loop {
        let (left, before) = (rest.len(), sink.data.len());
        let step = decoder.step(&mut rest, &mut sink.data);
        let fresh = sink.data.len().saturating_sub(before);
        if let Err(code) = sink.budget.expand(fresh, before, sink.packed) {
            sink.data.truncate(base.saturating_add(KEPT_BYTES).min(before.max(KEPT_BYTES)));
            sink.data.shrink_to_fit();
            break End::Limit(code);
        }
        idle = if rest.len() == left && fresh == 0 { idle + 1 } else { 0 };
        match step {
            Step::Going if idle <= IDLE_STEPS_MAX => {}
            Step::End => break End::Whole,
            Step::Going | Step::Broken => break End::Broken,
            Step::Refused => break End::Refused,
        }
    };
    let read = packed.len().saturating_sub(rest.len());
    Ending::new(read, end)
}

/// Appends to `output` what `write` puts into the octets it is given; it says how many. The room grows with `made`, what
/// the stream gave before: many small streams must not cost many large rooms.
pub(super) fn append(output: &mut Vec<u8>, made: u64, write: impl FnOnce(&mut [u8]) -> usize) {
    const ROOM_BYTES_MIN: usize = 4 << 10;
    let room = since(0, made).clamp(ROOM_BYTES_MIN, STEP_BYTES);
    let before = output.len();
    output.resize(before.saturating_add(room), 0);
    let made = write(output.get_mut(before..).unwrap_or_default());
    output.truncate(before.saturating_add(made.min(room)));
}

/// The octets from `before` on to `now`, as a decoder counts them.
pub(super) fn since(before: u64, now: u64) -> usize {
    usize::try_from(now.saturating_sub(before)).unwrap_or(usize::MAX)
}
