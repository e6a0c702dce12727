//! Reads a decoder to its end, step by step under the budget; declared sizes are never believed.

use std::io::{ErrorKind, Read};

use crate::mail::DefectCode;
use crate::mime::budget::{Budget, STEP_BYTES};

/// Octets kept of a member that went over a limit: what a bomb unpacks to is not worth its memory.
const KEPT_BYTES: usize = 64 << 10;

/// What came out of a decoder.
#[derive(Debug, Default)]
pub(in crate::mime::container) struct Unpacked {
    pub(in crate::mime::container) data: Vec<u8>,
    /// `BadArchive` if it broke off, or the limit that stopped it. What came before is kept.
    pub(in crate::mime::container) odd: Option<DefectCode>,
}

/// Reads `decoder` to its end. `packed`: the octets it was given, for the ratio.
pub(in crate::mime::container) fn drain(
    decoder: &mut dyn Read,
    packed: usize,
    budget: &mut Budget,
) -> Unpacked {
    let mut out = Unpacked::default();
    let mut step = vec![0; STEP_BYTES.min(packed.saturating_mul(8).max(1024))];
    loop {
        let fresh = match decoder.read(&mut step) {
            Ok(0) => return out,
            Ok(fresh) => fresh,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => {
                out.odd = Some(DefectCode::BadArchive);
                return out;
            }
        };
        if let Err(code) = budget.expand(fresh, out.data.len(), packed) {
            out.data.truncate(KEPT_BYTES);
            out.data.shrink_to_fit();
            out.odd = Some(code);
            return out;
        }
        out.data.extend_from_slice(step.get(..fresh).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mime::Limits;

    fn drained(mut data: &[u8], packed: usize, limits: &Limits) -> Unpacked {
        drain(&mut data, packed, &mut Budget::new(limits))
    }

    #[test]
    fn a_decoder_is_read_to_its_end_or_to_a_limit() {
        let whole = drained(&[7; 200_000], 100_000, &Limits::default());
        assert_eq!((whole.data.len(), whole.odd), (200_000, None));
        let exact = Limits { archive_expanded_bytes_max: 200_000, ..Limits::default() };
        assert_eq!(drained(&[7; 200_000], 100_000, &exact).odd, None);
        let below = Limits { archive_expanded_bytes_max: 199_999, ..Limits::default() };
        let cut = drained(&[7; 200_000], 100_000, &below);
        assert_eq!((cut.data.len(), cut.odd), (KEPT_BYTES, Some(DefectCode::TooManyOctets)));
        let flat = drained(&vec![7; 4 << 20], 1_000, &Limits::default());
        assert_eq!(flat.odd, Some(DefectCode::TooHighRatio));
    }
}
