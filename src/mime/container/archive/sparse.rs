//! Sparse files in tar: the map of GNU's old headers, and the maps of pax in its versions 0.0, 0.1 and 1.0.

use bytes::Bytes;

use super::tar::{decimal, number};

const BLOCK_BYTES: usize = 512;

/// Pieces of one file.
const PIECES_MAX: usize = 10_000;

/// Where the pieces of a file lie in it, and how large it is.
#[derive(Debug, Default)]
pub(super) struct Map {
    /// Offset and length.
    pieces: Vec<(usize, usize)>,
    size: usize,
}

impl Map {
    /// Octets of the whole file.
    pub(super) fn bytes(&self) -> usize {
        let end = |(offset, length): &(usize, usize)| offset.saturating_add(*length);
        self.pieces.iter().map(end).max().unwrap_or(0).max(self.size)
    }

    /// The whole file. `None` if the map does not fit what is packed. The caller has asked for the octets.
    pub(super) fn expand(&self, packed: &Bytes) -> Option<Bytes> {
        if let [(0, length)] = self.pieces.as_slice()
            && self.bytes() == *length
        {
            return Some(packed.clone());
        }
        let mut whole = vec![0; self.bytes()];
        let mut from = 0_usize;
        for (offset, length) in &self.pieces {
            let to = from.checked_add(*length)?;
            let piece = packed.get(from..to)?;
            whole.get_mut(*offset..offset.checked_add(*length)?)?.copy_from_slice(piece);
            from = to;
        }
        Some(whole.into())
    }

    fn push(&mut self, offset: Option<usize>, length: Option<usize>) -> bool {
        match (offset, length) {
            (Some(offset), Some(length)) if self.pieces.len() < PIECES_MAX => {
                if length > 0 {
                    self.pieces.push((offset, length));
                }
                true
            }
            _ => false,
        }
    }
}

/// Octets of the blocks of an old map that stand between header and content.
pub(super) fn map_bytes(header: &[u8], data: &[u8], start: usize) -> usize {
    let mut more = header.get(482).is_some_and(|octet| *octet != 0);
    let mut blocks = 0_usize;
    while more && blocks < PIECES_MAX / 21 {
        let at = start.saturating_add(blocks.saturating_mul(BLOCK_BYTES));
        let Some(flag) = data.get(at.saturating_add(504)) else { break };
        more = *flag != 0;
        blocks += 1;
    }
    blocks.saturating_mul(BLOCK_BYTES)
}

/// The old map: four pieces in the header, 21 in each block behind it.
pub(super) fn old_map(header: &[u8], data: &[u8], start: usize) -> Map {
    let mut map =
        Map { size: header.get(483..495).and_then(number).unwrap_or(0), ..Map::default() };
    let end = start.saturating_add(map_bytes(header, data, start));
    let own = header.get(386..482).unwrap_or_default();
    let blocks = data.get(start..end).unwrap_or_default().chunks(BLOCK_BYTES);
    let more = blocks.map(|block| block.get(..504).unwrap_or_default());
    for piece in std::iter::once(own).chain(more).flat_map(|area| area.chunks_exact(24)) {
        let field =
            |at: usize| piece.get(at..at + 12).filter(|f| f.first() != Some(&0)).and_then(number);
        map.push(field(0), field(12));
    }
    map
}

/// What pax records say of a sparse file.
#[derive(Debug, Default)]
pub(super) struct Pax {
    map: Map,
    offset: Option<usize>,
    /// The map stands at the start of the content (version 1.0).
    in_content: bool,
    seen: bool,
}

impl Pax {
    pub(super) fn take(&mut self, key: &[u8], value: &[u8]) {
        match key {
            b"GNU.sparse.major" => {
                self.in_content = decimal(value) == Some(1);
                self.seen = true;
            }
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => {
                self.map.size = decimal(value).unwrap_or(0);
            }
            b"GNU.sparse.offset" => self.offset = decimal(value),
            b"GNU.sparse.numbytes" => {
                self.seen |= self.map.push(self.offset.take(), decimal(value));
            }
            b"GNU.sparse.map" => {
                let mut numbers = value.split(|octet| *octet == b',').map(decimal);
                while let (Some(offset), Some(length)) = (numbers.next(), numbers.next()) {
                    self.seen |= self.map.push(offset, length);
                }
            }
            _ => {}
        }
    }

    /// The map, if there is one, and the content that it is of.
    pub(super) fn map(self, content: &Bytes) -> Option<(Map, Bytes)> {
        if !self.seen {
            return None;
        }
        let mut map = self.map;
        if !self.in_content {
            return Some((map, content.clone()));
        }
        // Lines with numbers: how many pieces, then offset and length of each; filled up to a block.
        let mut at = 0_usize;
        let mut line = || {
            let rest = content.get(at..)?;
            let end = memchr::memchr(b'\n', rest.get(..rest.len().min(32))?)?;
            at += end + 1;
            decimal(rest.get(..end)?)
        };
        let count = line()?;
        for _ in 0..count.min(PIECES_MAX) {
            if !map.push(line(), line()) {
                return None;
            }
        }
        let start = at.checked_next_multiple_of(BLOCK_BYTES)?.min(content.len());
        Some((map, content.slice(start..)))
    }
}
