//! Deflate64, method 9: deflate with a window of 64 KiB, two more distances, and one length of 16 more bits
//! (APPNOTE.TXT 4.4.5, RFC 1951).

use crate::mail::DefectCode;
use crate::mime::budget::{Budget, STEP_BYTES};
use crate::mime::container::stream::inflate::Inflated;

/// Octets kept of a member that went over a limit.
const KEPT_BYTES: usize = 64 << 10;

/// The longest code.
const BITS_MAX: usize = 15;

const END_OF_BLOCK: u16 = 256;

/// The order in which a block gives the lengths of the code for lengths.
const LENGTHS_ORDER: [usize; 19] =
    [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// Unpacks the stream at the start of `packed`.
pub(super) fn inflate64(packed: &[u8], budget: &mut Budget) -> Inflated {
    let bits = Bits { data: packed, at: 0, held: 0, count: 0 };
    let mut stream = Stream { bits, data: Vec::new(), counted: 0, budget };
    let mut odd = stream.run().and_then(|()| stream.account()).err();
    if odd.is_some_and(|code| code != DefectCode::BadArchive) {
        stream.data.truncate(KEPT_BYTES);
        stream.data.shrink_to_fit();
    } else if odd.is_some() {
        odd = stream.account().err().or(odd);
    }
    let consumed = stream.bits.at.saturating_sub(usize::from(stream.bits.count / 8));
    Inflated { data: stream.data, consumed, odd }
}

/// The packed octets, read bit by bit from the lowest on.
struct Bits<'a> {
    data: &'a [u8],
    at: usize,
    held: u32,
    count: u8,
}

impl Bits<'_> {
    /// The next bits, at most 16.
    fn take(&mut self, count: u8) -> Result<u16, DefectCode> {
        while self.count < count {
            let octet = self.data.get(self.at).ok_or(DefectCode::BadArchive)?;
            self.held |= u32::from(*octet) << self.count;
            self.at += 1;
            self.count += 8;
        }
        let taken = self.held & ((1_u32 << count) - 1);
        self.held >>= count;
        self.count -= count;
        u16::try_from(taken).map_err(|_| DefectCode::BadArchive)
    }

    /// Drops what is left of an octet.
    fn align(&mut self) {
        self.held >>= self.count % 8;
        self.count -= self.count % 8;
    }
}

/// A prefix code: how many symbols have each length, and the symbols in the order of their codes.
struct Code {
    counts: [u16; BITS_MAX + 1],
    symbols: Vec<u16>,
}

impl Code {
    /// `None` if there are more codes than fit.
    fn of(lengths: &[u8]) -> Option<Self> {
        let mut counts = [0_u16; BITS_MAX + 1];
        let mut symbols = Vec::with_capacity(lengths.len());
        for length in 1..=BITS_MAX {
            let with = lengths.iter().zip(0_u16..).filter(|(of, _)| usize::from(**of) == length);
            let before = symbols.len();
            symbols.extend(with.map(|(_, symbol)| symbol));
            *counts.get_mut(length)? = u16::try_from(symbols.len() - before).ok()?;
        }
        let mut free = 1_i32;
        for count in counts.iter().skip(1) {
            free = free * 2 - i32::from(*count);
            if free < 0 {
                return None;
            }
        }
        Some(Self { counts, symbols })
    }

    fn next(&self, bits: &mut Bits<'_>) -> Result<u16, DefectCode> {
        let (mut code, mut first, mut index) = (0_i32, 0_i32, 0_i32);
        for count in self.counts.iter().skip(1) {
            code |= i32::from(bits.take(1)?);
            let count = i32::from(*count);
            if code - first < count {
                let place = usize::try_from(index + code - first).unwrap_or(usize::MAX);
                return self.symbols.get(place).copied().ok_or(DefectCode::BadArchive);
            }
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        Err(DefectCode::BadArchive)
    }
}

struct Stream<'a, 'b> {
    bits: Bits<'a>,
    data: Vec<u8>,
    /// Octets of `data` that the budget knows of.
    counted: usize,
    budget: &'b mut Budget,
}

impl Stream<'_, '_> {
    fn run(&mut self) -> Result<(), DefectCode> {
        loop {
            let last = self.bits.take(1)? == 1;
            match self.bits.take(2)? {
                0 => self.stored()?,
                1 => {
                    let lengths = [[8; 144].as_slice(), &[9; 112], &[7; 24], &[8; 8]].concat();
                    self.block(&lengths, &[5; 32])?;
                }
                2 => {
                    let (literals, lengths) = self.code_lengths()?;
                    let (one, other) =
                        lengths.split_at_checked(literals).ok_or(DefectCode::BadArchive)?;
                    self.block(one, other)?;
                }
                _ => return Err(DefectCode::BadArchive),
            }
            if last {
                return Ok(());
            }
            // Empty blocks cost time too.
            self.account()?;
        }
    }

    /// Tells the budget of what came since it was told last.
    fn account(&mut self) -> Result<(), DefectCode> {
        let fresh = self.data.len() - self.counted;
        self.budget.expand(fresh, self.counted, self.bits.at)?;
        self.counted = self.data.len();
        Ok(())
    }

    fn account_now_and_then(&mut self) -> Result<(), DefectCode> {
        if self.data.len() - self.counted >= STEP_BYTES { self.account() } else { Ok(()) }
    }

    fn stored(&mut self) -> Result<(), DefectCode> {
        self.bits.align();
        let length = self.bits.take(16)?;
        if self.bits.take(16)? != !length {
            return Err(DefectCode::BadArchive);
        }
        for _ in 0..length {
            let octet = self.bits.take(8)?;
            self.data.push(u8::try_from(octet).unwrap_or_default());
        }
        self.account_now_and_then()
    }

    /// Reads the lengths of both codes of a block, and how many belong to the first.
    fn code_lengths(&mut self) -> Result<(usize, Vec<u8>), DefectCode> {
        let literals = usize::from(self.bits.take(5)?) + 257;
        let distances = usize::from(self.bits.take(5)?) + 1;
        let count = usize::from(self.bits.take(4)?) + 4;
        let mut lengths = [0; 19];
        for place in LENGTHS_ORDER.iter().take(count) {
            let length = u8::try_from(self.bits.take(3)?).unwrap_or_default();
            if let Some(slot) = lengths.get_mut(*place) {
                *slot = length;
            }
        }
        let code = Code::of(&lengths).ok_or(DefectCode::BadArchive)?;
        let mut lengths: Vec<u8> = Vec::with_capacity(literals + distances);
        while lengths.len() < literals + distances {
            let (length, times) = match code.next(&mut self.bits)? {
                16 => {
                    let last = *lengths.last().ok_or(DefectCode::BadArchive)?;
                    (last, self.bits.take(2)? + 3)
                }
                17 => (0, self.bits.take(3)? + 3),
                18 => (0, self.bits.take(7)? + 11),
                length => (u8::try_from(length).unwrap_or_default(), 1),
            };
            lengths.extend(std::iter::repeat_n(length, usize::from(times)));
        }
        if lengths.len() > literals + distances {
            return Err(DefectCode::BadArchive);
        }
        Ok((literals, lengths))
    }

    fn block(&mut self, literals: &[u8], distances: &[u8]) -> Result<(), DefectCode> {
        let literals = Code::of(literals).ok_or(DefectCode::BadArchive)?;
        let distances = Code::of(distances).ok_or(DefectCode::BadArchive)?;
        loop {
            match literals.next(&mut self.bits)? {
                END_OF_BLOCK => return Ok(()),
                symbol if symbol < END_OF_BLOCK => {
                    self.data.push(u8::try_from(symbol).unwrap_or_default());
                }
                symbol => {
                    let length = self.length(symbol - END_OF_BLOCK - 1)?;
                    let distance = distances.next(&mut self.bits)?;
                    let distance = self.distance(distance)?;
                    self.copy(length, distance)?;
                }
            }
            self.account_now_and_then()?;
        }
    }

    /// Lengths 3 to 10 have no more bits, then each four have one more; the last one has 16, and begins at 3.
    fn length(&mut self, symbol: u16) -> Result<usize, DefectCode> {
        match symbol {
            0..8 => Ok(usize::from(symbol) + 3),
            8..28 => {
                let more = u8::try_from(symbol / 4 - 1).map_err(|_| DefectCode::BadArchive)?;
                let base = (usize::from(symbol % 4) + 4) << more;
                Ok(base + 3 + usize::from(self.bits.take(more)?))
            }
            28 => Ok(3 + usize::from(self.bits.take(16)?)),
            _ => Err(DefectCode::BadArchive),
        }
    }

    fn distance(&mut self, symbol: u16) -> Result<usize, DefectCode> {
        match symbol {
            0..4 => Ok(usize::from(symbol) + 1),
            4..32 => {
                let more = u8::try_from(symbol / 2 - 1).map_err(|_| DefectCode::BadArchive)?;
                let base = (usize::from(symbol % 2) + 2) << more;
                Ok(base + 1 + usize::from(self.bits.take(more)?))
            }
            _ => Err(DefectCode::BadArchive),
        }
    }

    fn copy(&mut self, length: usize, distance: usize) -> Result<(), DefectCode> {
        let start = self.data.len().checked_sub(distance).ok_or(DefectCode::BadArchive)?;
        for at in start..start + length {
            let octet = *self.data.get(at).ok_or(DefectCode::BadArchive)?;
            self.data.push(octet);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::DeflateEncoder;
    use proptest::prelude::*;

    use super::*;
    use crate::mime::Limits;

    fn deflated(data: &[u8], level: u32) -> Vec<u8> {
        let mut writer = DeflateEncoder::new(Vec::new(), Compression::new(level));
        writer.write_all(data).unwrap();
        writer.finish().unwrap()
    }

    fn unpacked(packed: &[u8]) -> Inflated {
        inflate64(packed, &mut Budget::new(&Limits::default()))
    }

    #[test]
    fn what_deflate_writes_without_its_longest_length_is_read() {
        let text: Vec<u8> =
            (0..20_000_u32).flat_map(|n| (n * n).to_string().into_bytes()).collect();
        for level in [0, 1, 9] {
            let packed = deflated(&text, level);
            let got = unpacked(&[&packed[..], b"tail"].concat());
            assert_eq!((got.odd, got.consumed), (None, packed.len()));
            assert_eq!(got.data, text);
        }
    }

    #[test]
    fn the_longest_length_has_sixteen_more_bits() {
        // One literal `a`, then a copy of 3 + 5000 octets from one back, by the fixed codes.
        let mut bits: Vec<u8> = vec![1, 1, 0];
        let code = |value: u32, count: u32| (0..count).rev().map(move |n| (value >> n & 1) as u8);
        bits.extend(code(0x30 + 97, 8));
        bits.extend(code(0xc0 + 285 - 280, 8));
        bits.extend((0..16).map(|n| (5000_u32 >> n & 1) as u8));
        bits.extend(code(0, 5));
        bits.extend(code(0, 7));
        let octet = |bits: &[u8]| bits.iter().rev().fold(0, |octet, bit| octet << 1 | bit);
        let packed: Vec<u8> = bits.chunks(8).map(octet).collect();
        let got = unpacked(&packed);
        assert_eq!((got.odd, got.data.len()), (None, 5004));
        assert!(got.data.iter().all(|octet| *octet == b'a'));
        let limits = Limits { archive_expanded_bytes_max: 5003, ..Limits::default() };
        let over = inflate64(&packed, &mut Budget::new(&limits));
        assert_eq!(over.odd, Some(DefectCode::TooManyOctets));
    }

    #[test]
    fn a_cut_stream_gives_what_came_before() {
        let packed = deflated(b"hello hello hello hello", 0);
        let got = unpacked(&packed[..12]);
        assert_eq!((got.odd, &got.data[..]), (Some(DefectCode::BadArchive), &b"hello h"[..]));
    }

    proptest! {
        #[test]
        fn no_octets_make_it_fail(octets: Vec<u8>, at in 0_usize..60, octet: u8) {
            unpacked(&octets);
            let mut packed = deflated(&[&octets[..], b"hello hello hello"].concat(), 9);
            let at = at % packed.len();
            packed[at] = octet;
            unpacked(&packed);
        }
    }
}
