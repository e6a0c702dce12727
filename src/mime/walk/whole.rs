//! What is odd about the octets of a message as a whole.

use crate::mail::DefectCode;

/// Octets of a line without its end (RFC 5322 section 2.1.1).
const LINE_BYTES_MAX: usize = 998;

/// Looks at all octets once.
///
/// A file whose lines all end in LF is an ordinary file; LF is odd only beside CRLF.
pub(super) fn oddities(raw: &[u8]) -> Vec<DefectCode> {
    let mut odd = Vec::new();
    if memchr::memchr(0, raw).is_some() {
        odd.push(DefectCode::Nul);
    }
    let (mut with_cr, mut without_cr, mut line_start, mut long) = (0_usize, 0_usize, 0, false);
    for lf in memchr::memchr_iter(b'\n', raw) {
        let cr = lf.checked_sub(1).and_then(|at| raw.get(at)) == Some(&b'\r');
        if cr {
            with_cr += 1
        } else {
            without_cr += 1
        }
        long |= lf - line_start > LINE_BYTES_MAX + usize::from(cr);
        line_start = lf + 1;
    }
    long |= raw.len() - line_start > LINE_BYTES_MAX;
    if memchr::memchr_iter(b'\r', raw).count() > with_cr {
        odd.push(DefectCode::BareCr);
    }
    if with_cr > 0 && without_cr > 0 {
        odd.push(DefectCode::BareLf);
    }
    if long {
        odd.push(DefectCode::LongLine);
    }
    odd
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
        ] {
            assert_eq!(oddities(raw.as_bytes()), want, "{raw:.20?}");
        }
    }
}
