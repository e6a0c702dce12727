//! What is odd about the octets of a message as a whole.

use crate::mail::DefectCode;

/// Octets of a line without its end (RFC 5322 section 2.1.1).
const LINE_BYTES_MAX: usize = 998;

/// Octets that are looked at together: they stay in the processor's nearest memory.
const BLOCK_BYTES: usize = 16 << 10;

/// Looks at all octets once.
///
/// A file whose lines all end in LF is an ordinary file; LF is odd only beside CRLF.
pub(super) fn oddities(raw: &[u8]) -> Vec<DefectCode> {
    let (mut nul, mut cr, mut long, mut line_start) = (false, 0_usize, false, 0);
    let (mut with_cr, mut without_cr) = (0_usize, 0_usize);
    for (number, block) in raw.chunks(BLOCK_BYTES).enumerate() {
        let block_start = number * BLOCK_BYTES;
        nul = nul || memchr::memchr(0, block).is_some();
        cr += memchr::memchr_iter(b'\r', block).count();
        for lf in memchr::memchr_iter(b'\n', block).map(|at| block_start + at) {
            let crlf = lf.checked_sub(1).and_then(|at| raw.get(at)) == Some(&b'\r');
            if crlf {
                with_cr += 1
            } else {
                without_cr += 1
            }
            long |= lf - line_start > LINE_BYTES_MAX + usize::from(crlf);
            line_start = lf + 1;
        }
    }
    long |= raw.len() - line_start > LINE_BYTES_MAX;
    let odd = [
        (nul, DefectCode::Nul),
        (cr > with_cr, DefectCode::BareCr),
        (with_cr > 0 && without_cr > 0, DefectCode::BareLf),
        (long, DefectCode::LongLine),
    ];
    odd.into_iter().filter(|(is, _)| *is).map(|(_, code)| code).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_and_lengths_are_looked_at() {
        use DefectCode as D;
        let x = |count| "x".repeat(count);
        for (raw, want) in [
            ("a\r\nb\r\n".to_owned(), vec![]),
            ("a\nb\n".to_owned(), vec![]),
            ("a\r\nb\n".to_owned(), vec![D::BareLf]),
            ("a\rb\r\n".to_owned(), vec![D::BareCr]),
            ("a\0".to_owned(), vec![D::Nul]),
            (format!("{}\r\n", x(998)), vec![]),
            (format!("{}\n", x(999)), vec![D::LongLine]),
            (x(999), vec![D::LongLine]),
            (format!("{}\r\n\0", "x\r\n".repeat(BLOCK_BYTES)), vec![D::Nul]),
            (format!("{}x\ny", "x\r\n".repeat(BLOCK_BYTES)), vec![D::BareLf]),
            (format!("{}x\ry\r\n", "x\r\n".repeat(BLOCK_BYTES)), vec![D::BareCr]),
        ] {
            assert_eq!(oddities(raw.as_bytes()), want, "{raw:.20?}");
        }
    }
}
