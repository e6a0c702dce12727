//! Texts in pieces.

/// A text cut into pieces that are matched one by one. They lie in one buffer, so that one pass can look at all.
#[derive(Debug, Clone, Default)]
pub(in crate::filters::spam) struct Segments {
    buffer: Vec<u8>,
    /// Where each piece ends; between two pieces is one separator.
    ends: Vec<usize>,
    /// Pieces that stand for something that is not there.
    absent: Vec<bool>,
}

impl Segments {
    pub(super) fn one(text: Option<Vec<u8>>) -> Self {
        let absent = vec![text.is_none()];
        let buffer = text.unwrap_or_default();
        Self { ends: vec![buffer.len()], buffer, absent }
    }

    /// Adds a piece.
    pub(in crate::filters::spam) fn push(&mut self, piece: &[u8]) {
        if !self.ends.is_empty() {
            self.buffer.push(b'\n');
        }
        self.buffer.extend_from_slice(piece);
        self.ends.push(self.buffer.len());
        self.absent.push(false);
    }

    /// Adds a piece that stands for something that is not there.
    pub(super) fn push_absent(&mut self) {
        self.push(b"");
        if let Some(last) = self.absent.last_mut() {
            *last = true;
        }
    }

    pub(in crate::filters::spam) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(in crate::filters::spam) fn buffer(&self) -> &[u8] {
        &self.buffer
    }

    /// A piece, and whether it stands for something absent.
    pub(in crate::filters::spam) fn get(&self, index: usize) -> (&[u8], bool) {
        let start = match index.checked_sub(1) {
            Some(before) => self.ends.get(before).map_or(0, |end| end + 1),
            None => 0,
        };
        let end = self.ends.get(index).copied().unwrap_or(start);
        let piece = self.buffer.get(start..end).unwrap_or_default();
        (piece, self.absent.get(index).copied().unwrap_or(false))
    }

    /// The piece in which this place of the buffer lies, looking no further back than `from`.
    pub(in crate::filters::spam) fn at(&self, place: usize, from: usize) -> usize {
        let mut index = from;
        while self.ends.get(index).is_some_and(|end| *end < place) {
            index += 1;
        }
        index
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pieces_are_found_again_by_place(pieces in proptest::collection::vec("[a-z]{0,5}", 1..20)) {
            let mut segments = Segments::default();
            pieces.iter().for_each(|piece| segments.push(piece.as_bytes()));
            for (index, piece) in pieces.iter().enumerate() {
                prop_assert_eq!(segments.get(index).0, piece.as_bytes());
                let end = segments.ends[index];
                prop_assert_eq!(segments.at(end, 0), index);
            }
        }
    }
}
