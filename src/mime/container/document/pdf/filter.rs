//! Filters of PDF streams (ISO 32000-1 section 7.4), in chains, under the budget.

use bytes::Bytes;

use super::object::{Object, is_blank};
use crate::mail::DefectCode;
use crate::mime::budget::{Budget, STEP_BYTES};
use crate::mime::container::stream::inflate::inflate;

/// Filters in a chain.
const FILTERS_MAX: usize = 8;

/// Content of a stream as far as it could be decoded.
#[derive(Debug, Default)]
pub(super) struct Decoded {
    pub(super) data: Bytes,
    /// A limit, damage, or a filter that is not known here.
    pub(super) odd: Option<DefectCode>,
}

/// Undoes the filters that the dictionary of the stream names.
pub(super) fn decode(dict: &Object, raw: &Bytes, budget: &mut Budget) -> Decoded {
    let mut decoded = Decoded { data: raw.clone(), odd: None };
    let filters = list(dict.get("Filter").or_else(|| dict.get("F")));
    let parameters = list(dict.get("DecodeParms").or_else(|| dict.get("DP")));
    if filters.len() > FILTERS_MAX {
        decoded.odd = Some(DefectCode::UnscannableMember);
        return decoded;
    }
    for (index, filter) in filters.iter().enumerate() {
        let Object::Name(name) = filter else { continue };
        let data = &decoded.data;
        let (out, odd) = match name.as_slice() {
            b"FlateDecode" | b"Fl" => flate(data, budget),
            b"LZWDecode" | b"LZW" => {
                let early = parameters.get(index).and_then(|p| p.get("EarlyChange")?.number());
                lzw(data, early != Some(0), budget)
            }
            b"ASCIIHexDecode" | b"AHx" => (ascii_hex(data), None),
            b"ASCII85Decode" | b"A85" => (ascii85(data), None),
            b"RunLengthDecode" | b"RL" => run_length(data, budget),
            b"Crypt" => continue,
            _ => {
                decoded.odd = Some(DefectCode::UnscannableMember);
                return decoded;
            }
        };
        let out = match parameters.get(index) {
            Some(parameters) => predicted(out, parameters),
            None => out,
        };
        decoded.data = out.into();
        decoded.odd = decoded.odd.or(odd);
        if odd.is_some_and(|odd| odd != DefectCode::BadArchive) {
            return decoded;
        }
    }
    decoded
}

/// One or many.
fn list(object: Option<&Object>) -> &[Object] {
    match object {
        Some(Object::List(list)) => list,
        Some(one) => std::slice::from_ref(one),
        None => &[],
    }
}

fn flate(data: &[u8], budget: &mut Budget) -> (Vec<u8>, Option<DefectCode>) {
    // Line ends before the stream are left over from its keyword.
    let start = data.iter().take_while(|octet| is_blank(**octet)).count();
    let has_header = |data: &[u8]| {
        matches!(data, [first, second, ..] if first & 0x0f == 8
            && (u16::from(*first) << 8 | u16::from(*second)).is_multiple_of(31))
    };
    let trimmed = data.get(start..).unwrap_or_default();
    let packed = match (has_header(data), has_header(trimmed)) {
        (true, _) => data.get(2..),
        (false, true) => trimmed.get(2..),
        (false, false) => Some(data),
    };
    let inflated = inflate(packed.unwrap_or_default(), budget);
    if inflated.data.is_empty() && inflated.odd == Some(DefectCode::BadArchive) && !has_header(data)
    {
        // A header that does not add up is skipped, too.
        let again = inflate(data.get(2..).unwrap_or_default(), budget);
        return (again.data, again.odd);
    }
    (inflated.data, inflated.odd)
}

/// Output that asks the budget as it grows.
struct Out<'a> {
    data: Vec<u8>,
    asked: usize,
    packed: usize,
    budget: &'a mut Budget,
}

impl<'a> Out<'a> {
    fn new(packed: usize, budget: &'a mut Budget) -> Self {
        Self { data: Vec::new(), asked: 0, packed, budget }
    }

    fn ask(&mut self, step: usize) -> Result<(), DefectCode> {
        let fresh = self.data.len() - self.asked;
        if fresh >= step {
            self.budget.expand(fresh, self.asked, self.packed)?;
            self.asked = self.data.len();
        }
        Ok(())
    }

    fn end(mut self, odd: Option<DefectCode>) -> (Vec<u8>, Option<DefectCode>) {
        const KEPT_BYTES: usize = 64 << 10;
        let odd = self.ask(1).err().or(odd);
        if odd.is_some_and(|odd| odd != DefectCode::BadArchive) {
            self.data.truncate(KEPT_BYTES);
            self.data.shrink_to_fit();
        }
        (self.data, odd)
    }
}

fn run_length(data: &[u8], budget: &mut Budget) -> (Vec<u8>, Option<DefectCode>) {
    let mut out = Out::new(data.len(), budget);
    let mut at = 0_usize;
    while let Some(length) = data.get(at).copied().filter(|length| *length != 128) {
        let length = usize::from(length);
        if length < 128 {
            let end = (at + 2 + length).min(data.len());
            out.data.extend_from_slice(data.get(at + 1..end).unwrap_or_default());
            at += 2 + length;
        } else {
            let octet = data.get(at + 1).copied().unwrap_or(0);
            out.data.resize(out.data.len() + 257 - length, octet);
            at += 2;
        }
        if let Err(code) = out.ask(STEP_BYTES) {
            return out.end(Some(code));
        }
    }
    out.end(None)
}

/// LZW as in TIFF: codes of 9 to 12 bits, the highest first.
fn lzw(data: &[u8], early: bool, budget: &mut Budget) -> (Vec<u8>, Option<DefectCode>) {
    const CLEAR: usize = 256;
    const END: usize = 257;
    const CODES_MAX: usize = 4096;
    let mut out = Out::new(data.len(), budget);
    // Where in the output each code above END stands, and how long it is.
    let mut table: Vec<(usize, usize)> = Vec::new();
    let mut last: Option<(usize, usize)> = None;
    let (mut bits, mut held, mut width) = (0_u32, 0_u32, 9_u32);
    for octet in data {
        bits = bits << 8 | u32::from(*octet);
        held += 8;
        if held < width {
            continue;
        }
        held -= width;
        let code = usize::try_from(bits >> held).unwrap_or(END);
        bits &= (1 << held) - 1;
        if code == END {
            return out.end(None);
        }
        if code == CLEAR {
            table.clear();
            (last, width) = (None, 9);
            continue;
        }
        let start = out.data.len();
        if code < CLEAR {
            out.data.push(u8::try_from(code).unwrap_or(0));
        } else if let Some((from, length)) = table.get(code - END - 1).copied() {
            out.data.extend_from_within(from..from + length);
        } else if let Some((from, length)) = last.filter(|_| code == END + 1 + table.len()) {
            out.data.extend_from_within(from..from + length);
            out.data.extend_from_within(from..from + 1);
        } else {
            return out.end(Some(DefectCode::BadArchive));
        }
        // The last string and the first octet of this one stand side by side in the output.
        if let Some((from, length)) = last
            && END + 1 + table.len() < CODES_MAX
        {
            table.push((from, length + 1));
        }
        last = Some((start, out.data.len() - start));
        width = match END + 1 + table.len() + usize::from(early) {
            0..512 => 9,
            512..1024 => 10,
            1024..2048 => 11,
            _ => 12,
        };
        if let Err(code) = out.ask(STEP_BYTES) {
            return out.end(Some(code));
        }
    }
    out.end(None)
}

fn ascii_hex(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() / 2);
    let mut high = None;
    for octet in data.iter().take_while(|octet| **octet != b'>') {
        let Some(digit) = char::from(*octet).to_digit(16).and_then(|d| u8::try_from(d).ok()) else {
            continue;
        };
        match high.take() {
            None => high = Some(digit),
            Some(first) => out.push(first << 4 | digit),
        }
    }
    out.extend(high.map(|digit| digit << 4));
    out
}

fn ascii85(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() / 5 * 4);
    let data = data.trim_ascii_start();
    let data = data.strip_prefix(b"<~").unwrap_or(data);
    let (mut group, mut held) = (0_u32, 0_u8);
    for octet in data {
        match octet {
            b'~' => break,
            b'z' if held == 0 => out.extend_from_slice(&[0; 4]),
            b'!'..=b'u' => {
                group = group.wrapping_mul(85).wrapping_add(u32::from(octet - b'!'));
                held += 1;
                if held == 5 {
                    out.extend_from_slice(&group.to_be_bytes());
                    (group, held) = (0, 0);
                }
            }
            _ => {}
        }
    }
    if held > 1 {
        for _ in held..5 {
            group = group.wrapping_mul(85).wrapping_add(84);
        }
        out.extend(group.to_be_bytes().into_iter().take(usize::from(held) - 1));
    }
    out
}

/// Undoes the predictors of PNG; that of TIFF for samples of eight bits.
fn predicted(data: Vec<u8>, parameters: &Object) -> Vec<u8> {
    const ROW_BYTES_MAX: usize = 1 << 20;
    let number = |key: &str, default: usize| {
        parameters
            .get(key)
            .and_then(Object::number)
            .and_then(|number| usize::try_from(number).ok())
            .unwrap_or(default)
    };
    let predictor = number("Predictor", 1);
    let (colors, bits) = (number("Colors", 1), number("BitsPerComponent", 8));
    let row = colors.saturating_mul(bits).saturating_mul(number("Columns", 1)).div_ceil(8);
    let pixel = colors.saturating_mul(bits).div_ceil(8).max(1);
    if predictor < 2 || row == 0 || row > ROW_BYTES_MAX || pixel > row {
        return data;
    }
    if predictor == 2 {
        return if bits == 8 { tiff(data, row, pixel) } else { data };
    }
    let mut out: Vec<u8> = Vec::with_capacity(data.len());
    let mut before = vec![0; row];
    for line in data.chunks(row + 1) {
        let Some((kind, line)) = line.split_first() else { break };
        let mut current: Vec<u8> = Vec::with_capacity(row);
        for (index, octet) in line.iter().enumerate() {
            let at = |line: &[u8], back: usize| {
                index.checked_sub(back).and_then(|at| line.get(at)).copied().unwrap_or(0)
            };
            let (left, up, corner) = (at(&current, pixel), at(&before, 0), at(&before, pixel));
            let guess = match kind {
                1 => left,
                2 => up,
                3 => u8::midpoint(left, up),
                4 => paeth(left, up, corner),
                _ => 0,
            };
            current.push(octet.wrapping_add(guess));
        }
        out.extend_from_slice(&current);
        current.resize(row, 0);
        before = current;
    }
    out
}

fn tiff(mut data: Vec<u8>, row: usize, pixel: usize) -> Vec<u8> {
    for line in data.chunks_mut(row) {
        for index in pixel..line.len() {
            let left = line.get(index - pixel).copied().unwrap_or(0);
            if let Some(octet) = line.get_mut(index) {
                *octet = octet.wrapping_add(left);
            }
        }
    }
    data
}

fn paeth(left: u8, up: u8, corner: u8) -> u8 {
    let guess = i16::from(left) + i16::from(up) - i16::from(corner);
    let far = |octet: u8| (guess - i16::from(octet)).abs();
    if far(left) <= far(up) && far(left) <= far(corner) {
        left
    } else if far(up) <= far(corner) {
        up
    } else {
        corner
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::super::object::Reader;
    use super::*;
    use crate::mime::Limits;

    fn run(dict: &str, raw: &[u8]) -> Decoded {
        let dict = Reader::new(dict.as_bytes(), 0).object().unwrap();
        decode(&dict, &Bytes::copy_from_slice(raw), &mut Budget::new(&Limits::default()))
    }

    fn zlib(data: &[u8]) -> Vec<u8> {
        let mut writer =
            flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        writer.write_all(data).unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn filters_are_undone_in_chains() {
        let hex: String = zlib(b"hello").iter().map(|octet| format!("{octet:02X} ")).collect();
        for (dict, raw) in [
            ("<</Filter/FlateDecode>>", zlib(b"hello")),
            ("<</Filter/Fl>>", [&b"\r\n"[..], &zlib(b"hello")].concat()),
            ("<</Filter[/ASCIIHexDecode/FlateDecode]>>", format!("{hex}>").into_bytes()),
            ("<</Filter/ASCII85Decode>>", b"BOu!rDZ~>".to_vec()),
            ("<</Filter/RL>>", b"\x01he\xffl\x00o\x80".to_vec()),
            // 9 bits each: clear, h, e, l, l, o, end.
            ("<</Filter/LZWDecode>>", vec![0x80, 0x1a, 0x0c, 0xa6, 0xc3, 0x61, 0xbe, 0x02]),
            ("<<>>", b"hello".to_vec()),
        ] {
            let got = run(dict, &raw);
            assert_eq!((&got.data[..], got.odd), (&b"hello"[..], None), "{dict}");
        }
        assert_eq!(run("<</Filter/JBIG2Decode>>", b"x").odd, Some(DefectCode::UnscannableMember));
        assert_eq!(
            run("<</Filter/Fl>>", &zlib(b"a stream that is cut short")[..9]).odd,
            Some(DefectCode::BadArchive)
        );
    }

    #[test]
    fn predictors_are_undone() {
        let parameters = "/DecodeParms<</Predictor 12/Columns 3>>";
        let rows = [2, 1, 2, 3, 2, 1, 1, 1, 1, 5, 1, 1];
        let got = run(&format!("<</Filter/Fl{parameters}>>"), &zlib(&rows));
        assert_eq!(&got.data[..], [1, 2, 3, 2, 3, 4, 5, 6, 7]);
        let tiff = "<</Filter[/Fl]/DecodeParms[<</Predictor 2/Columns 3>>]>>";
        assert_eq!(&run(tiff, &zlib(&[1, 1, 1, 5, 1, 1])).data[..], [1, 2, 3, 5, 6, 7]);
    }

    #[test]
    fn bombs_are_stopped() {
        let run_length = [129, 0].repeat(100_000);
        let limits = Limits { archive_expanded_bytes_max: 1 << 20, ..Limits::default() };
        let dict = Reader::new(b"<</Filter/RL>>", 0).object().unwrap();
        let got = decode(&dict, &run_length.into(), &mut Budget::new(&limits));
        assert_eq!(got.odd, Some(DefectCode::TooManyOctets));
        assert!(got.data.len() <= 64 << 10);
    }

    proptest! {
        #[test]
        fn no_octets_make_it_fail(
            raw in proptest::collection::vec(any::<u8>(), 0..300),
            filter in 0_usize..5,
            numbers in proptest::array::uniform4(0_u32..40),
        ) {
            let filter = ["Fl", "LZW", "AHx", "A85", "RL"][filter];
            let [predictor, columns, colors, bits] = numbers;
            run(&format!("<</Filter/{filter}/DP<</Predictor {predictor}/Columns {columns}/Colors {colors}/BitsPerComponent {bits}>>>>"), &raw);
        }
    }
}
