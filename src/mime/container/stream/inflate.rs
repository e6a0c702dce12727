//! Deflate, unpacked step by step under the budget; declared sizes are never believed.

use flate2::{Decompress, FlushDecompress, Status};

use crate::mail::DefectCode;
use crate::mime::budget::{Budget, STEP_BYTES};

/// Octets kept of a member that went over a limit.
const KEPT_BYTES: usize = 64 << 10;

/// What came out.
#[derive(Debug)]
pub(in crate::mime::container) struct Inflated {
    pub(in crate::mime::container) data: Vec<u8>,
    /// Packed octets that were read.
    pub(in crate::mime::container) consumed: usize,
    /// `BadArchive` if it broke off, or the limit that stopped it.
    pub(in crate::mime::container) odd: Option<DefectCode>,
}

/// Unpacks a raw deflate stream at the start of `packed`.
pub(in crate::mime::container) fn inflate(packed: &[u8], budget: &mut Budget) -> Inflated {
    let mut stream = Decompress::new(false);
    let mut data = Vec::new();
    let mut step = vec![0; STEP_BYTES.min(packed.len().saturating_mul(8).max(1024))];
    let mut odd = None;
    let count = |total: u64| usize::try_from(total).unwrap_or(usize::MAX);
    loop {
        let (read, made) = (count(stream.total_in()), stream.total_out());
        let input = packed.get(read..).unwrap_or_default();
        let status = stream.decompress(input, &mut step, FlushDecompress::None);
        let fresh = count(stream.total_out().saturating_sub(made));
        let before = data.len();
        if let Err(code) = budget.expand(fresh, before, count(stream.total_in())) {
            // What a bomb unpacks to is not worth its memory.
            data.truncate(KEPT_BYTES);
            data.shrink_to_fit();
            odd = Some(code);
            break;
        }
        data.extend_from_slice(step.get(..fresh).unwrap_or_default());
        match status {
            Ok(Status::StreamEnd) => break,
            Ok(Status::Ok | Status::BufError) if fresh > 0 || count(stream.total_in()) > read => {}
            Ok(_) | Err(_) => {
                odd = Some(DefectCode::BadArchive);
                break;
            }
        }
    }
    Inflated { data, consumed: count(stream.total_in()), odd }
}
