//! Changes to a message: a short list of edits over the original octets, never a tree written anew.

use std::ops::Range;

use bytes::Bytes;

/// One change. Ranges and places point into the original octets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edit {
    /// What goes; empty for an insertion.
    pub range: (usize, usize),
    /// What comes in its place.
    pub with: Vec<u8>,
}

impl Edit {
    /// Deletes a range.
    #[must_use]
    pub fn delete(range: &Range<usize>) -> Self {
        Self { range: (range.start, range.end), with: Vec::new() }
    }

    /// Puts other octets in place of a range.
    #[must_use]
    pub fn replace(range: &Range<usize>, with: Vec<u8>) -> Self {
        Self { range: (range.start, range.end), with }
    }

    /// Puts octets before `at`.
    #[must_use]
    pub fn insert(at: usize, with: Vec<u8>) -> Self {
        Self { range: (at, at), with }
    }
}

/// The message as it leaves: `block` on top, then the original with its edits. Edits must be sorted; one that overlaps
/// an earlier one is left out.
#[must_use]
pub fn apply(original: &Bytes, block: &[u8], edits: &[Edit]) -> Vec<Bytes> {
    let mut pieces = vec![Bytes::copy_from_slice(block)];
    let mut from = 0;
    for edit in edits {
        let (start, end) = edit.range;
        if start < from || end < start || end > original.len() {
            continue;
        }
        pieces.push(original.slice(from..start));
        pieces.push(Bytes::copy_from_slice(&edit.with));
        from = end;
    }
    pieces.push(original.slice(from..));
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_edited_stays() {
        let original = Bytes::from_static(b"A: 1\r\nB: 2\r\nC: 3\r\n\r\nbody");
        let edits = [
            Edit::delete(&(0..6)),
            Edit::insert(12, b"X: y\r\n".to_vec()),
            Edit::replace(&(12..18), b"C: 4\r\n".to_vec()),
        ];
        assert_eq!(
            apply(&original, b"T: 0\r\n", &edits).concat(),
            b"T: 0\r\nB: 2\r\nX: y\r\nC: 4\r\n\r\nbody"
        );
        assert_eq!(apply(&original, b"", &[]).concat(), original);
    }

    #[test]
    fn edits_that_do_not_fit_are_left_out() {
        let original = Bytes::from_static(b"abcdef");
        let edits = [Edit::delete(&(1..4)), Edit::delete(&(2..5)), Edit::delete(&(5..99))];
        assert_eq!(apply(&original, b"", &edits).concat(), b"aef");
    }
}
