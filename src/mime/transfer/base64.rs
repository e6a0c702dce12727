//! base64 as mail readers take it: rubbish skipped, padding inside survived (RFC 2045 section 6.8).

use bytes::Bytes;

use super::Decoded;
use crate::mail::DefectCode;

/// In [`TABLE`]: no character of the alphabet.
const JUNK: u8 = 0x80;
/// In [`TABLE`]: a blank or a line end.
const BLANK: u8 = 0x81;
/// In [`TABLE`]: the padding character.
const PAD: u8 = 0x82;

/// What each octet stands for.
static TABLE: [u8; 256] = table();

const fn table() -> [u8; 256] {
    let mut table = [JUNK; 256];
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut value = 0_u8;
    while value < 64 {
        #[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
        {
            table[alphabet[value as usize] as usize] = value;
        }
        value += 1;
    }
    #[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
    {
        table[b' ' as usize] = BLANK;
        table[b'\t' as usize] = BLANK;
        table[b'\r' as usize] = BLANK;
        table[b'\n' as usize] = BLANK;
        table[b'=' as usize] = PAD;
    }
    table
}

fn value(octet: u8) -> u8 {
    TABLE.get(usize::from(octet)).copied().unwrap_or(JUNK)
}

/// One reading of base64.
#[derive(Debug, Default)]
pub(super) struct One {
    pub(super) data: Vec<u8>,
    pub(super) junk: usize,
    pub(super) inner_padding: bool,
    pub(super) odd_length: bool,
    /// Length of `data` at the first padding.
    padded_at: Option<usize>,
}

/// Skips what is no character of the alphabet, goes on after padding with a fresh group of four.
pub(super) fn decode(octets: &[u8]) -> One {
    let mut one = One { data: Vec::with_capacity(octets.len() / 4 * 3 + 3), ..One::default() };
    let (mut group, mut held) = (0_u32, 0_u32);
    let mut rest = octets;
    let mut line_begins = true;
    while let Some((&octet, behind)) = rest.split_first() {
        // Nearly every line of nearly every body is in order.
        if line_begins && held == 0 {
            line_begins = false;
            if let Some(behind) = whole_line(rest, &mut one.data) {
                rest = behind;
                one.inner_padding |= one.padded_at.is_some();
                continue;
            }
        }
        line_begins |= octet == b'\n';
        if held == 0
            && let Some((four, behind)) = rest.split_first_chunk::<4>()
        {
            let [a, b, c, d] = four.map(value);
            if (a | b | c | d) & JUNK == 0 {
                one.data.extend_from_slice(&[a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d]);
                rest = behind;
                one.inner_padding |= one.padded_at.is_some();
                continue;
            }
        }
        rest = behind;
        match value(octet) {
            BLANK => {}
            PAD => {
                flush(&mut one, &mut group, &mut held, true);
                one.padded_at = one.padded_at.or(Some(one.data.len()));
            }
            JUNK => one.junk += 1,
            six => {
                one.inner_padding |= one.padded_at.is_some();
                group = group << 6 | u32::from(six);
                held += 1;
                if held == 4 {
                    let [_, x, y, z] = group.to_be_bytes();
                    one.data.extend_from_slice(&[x, y, z]);
                    (group, held) = (0, 0);
                }
            }
        }
    }
    flush(&mut one, &mut group, &mut held, false);
    one
}

/// Decodes the line at the start, if it holds whole groups of the alphabet and nothing else, and gives what stands
/// behind it, from its line end on.
fn whole_line<'a>(octets: &'a [u8], data: &mut Vec<u8>) -> Option<&'a [u8]> {
    let end = memchr::memchr2(b'\r', b'\n', octets).unwrap_or(octets.len());
    let (line, behind) = octets.split_at_checked(end)?;
    if line.is_empty() || line.len() % 4 != 0 {
        return None;
    }
    base64_simd::STANDARD_NO_PAD.decode_append(line, data).ok().map(|_| behind)
}

/// Puts out what an unfinished group of four holds.
fn flush(one: &mut One, group: &mut u32, held: &mut u32, padded: bool) {
    if *held > 0 {
        let [_, x, y, _] = (*group << (6 * (4 - *held))).to_be_bytes();
        one.odd_length |= !padded || *held == 1;
        match *held {
            2 => one.data.push(x),
            3 => one.data.extend_from_slice(&[x, y]),
            _ => {}
        }
    }
    (*group, *held) = (0, 0);
}

/// Every reading of a body in base64.
///
/// Readers differ on rubbish (skip the characters, the rest of the line, or the line), on padding inside (stop, go on,
/// skip it, or count it as one of four), on lines that end within a group, and on the alphabet of RFC 4648 section 5;
/// where one of these shows, the other readings are given too.
pub(super) fn decode_all(octets: &Bytes) -> Decoded {
    let one = decode(octets);
    let mut all = Decoded::default();
    if one.junk > 0 {
        all.odd.push(DefectCode::Base64Junk);
        all.others.push(decode(&clean_lines(octets)).data.into());
        all.others.push(decode(&heads_of_lines(octets)).data.into());
        if octets.iter().any(|octet| matches!(octet, b'-' | b'_')) {
            all.others.push(decode(&url_alphabet(octets)).data.into());
        }
    }
    if one.odd_length {
        all.odd.push(DefectCode::Base64Length);
        all.others.push(decode(&whole_fours_of_lines(octets)).data.into());
    }
    if one.inner_padding {
        all.odd.push(DefectCode::Base64InnerPadding);
        if let Some(head) = one.padded_at.and_then(|at| one.data.get(..at)) {
            all.others.push(Bytes::copy_from_slice(head));
        }
        // A stray padding character is skipped by readers that only stop at the end.
        let skipped: Vec<u8> = octets.iter().copied().filter(|octet| *octet != b'=').collect();
        all.others.push(decode(&skipped).data.into());
        all.others.push(by_fours(octets).into());
    }
    all.data = one.data.into();
    all.others.retain(|other| *other != all.data);
    all
}

/// Only the lines that hold nothing but base64.
fn clean_lines(octets: &[u8]) -> Vec<u8> {
    let mut clean = Vec::with_capacity(octets.len());
    for line in octets.split_inclusive(|octet| *octet == b'\n') {
        if line.iter().all(|octet| value(*octet) != JUNK) {
            clean.extend_from_slice(line);
        }
    }
    clean
}

/// Each line up to the first octet that is no base64.
fn heads_of_lines(octets: &[u8]) -> Vec<u8> {
    let mut clean = Vec::with_capacity(octets.len());
    for line in octets.split_inclusive(|octet| *octet == b'\n') {
        clean.extend(line.iter().copied().take_while(|octet| value(*octet) != JUNK));
    }
    clean
}

/// Of each line the groups of four that are whole.
fn whole_fours_of_lines(octets: &[u8]) -> Vec<u8> {
    let mut clean = Vec::with_capacity(octets.len());
    for line in octets.split(|octet| *octet == b'\n') {
        let start = clean.len();
        clean.extend(line.iter().copied().filter(|octet| !matches!(value(*octet), BLANK | JUNK)));
        let rest = (clean.len() - start) % 4;
        clean.truncate(clean.len() - rest);
    }
    clean
}

/// Groups of four in which padding counts wherever it stands: `Q=UI` is two octets.
fn by_fours(octets: &[u8]) -> Vec<u8> {
    let mut one = One { data: Vec::with_capacity(octets.len() / 4 * 3 + 3), ..One::default() };
    let (mut group, mut held, mut count) = (0_u32, 0_u32, 0_u32);
    for six in octets.iter().map(|octet| value(*octet)).filter(|v| !matches!(*v, BLANK | JUNK)) {
        if six != PAD {
            group = group << 6 | u32::from(six);
            held += 1;
        }
        count += 1;
        if count == 4 {
            if held == 4 {
                let [_, x, y, z] = group.to_be_bytes();
                one.data.extend_from_slice(&[x, y, z]);
                (group, held) = (0, 0);
            } else {
                flush(&mut one, &mut group, &mut held, true);
            }
            count = 0;
        }
    }
    flush(&mut one, &mut group, &mut held, true);
    one.data
}

fn url_alphabet(octets: &[u8]) -> Vec<u8> {
    let plain = |octet: &u8| match octet {
        b'-' => b'+',
        b'_' => b'/',
        other => *other,
    };
    octets.iter().map(plain).collect()
}

/// True if the octets are base64 and nothing else, and enough of it to be no chance.
pub(in crate::mime) fn looks_like_base64(octets: &[u8]) -> bool {
    let mut count = 0_usize;
    let mut padded = 0_usize;
    for octet in octets {
        match value(*octet) {
            JUNK => return false,
            BLANK => {}
            PAD => padded += 1,
            _ if padded > 0 => return false,
            _ => count += 1,
        }
    }
    count >= 64 && padded <= 2 && (count + padded).is_multiple_of(4)
}

#[cfg(test)]
mod tests {
    use ::base64::Engine as _;
    use ::base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    fn check(octets: &str, want: &str, odd: &[DefectCode]) {
        let got = decode_all(&Bytes::copy_from_slice(octets.as_bytes()));
        assert_eq!(String::from_utf8_lossy(&got.data), want, "{octets:?}");
        assert_eq!(got.odd, odd, "{octets:?}");
    }

    #[test]
    fn odd_base64_is_decoded_all_the_same() {
        use DefectCode::{Base64InnerPadding, Base64Junk, Base64Length};
        check("TWFu", "Man", &[]);
        check("TW\r\nFu\r\n", "Man", &[]);
        check("T W F u", "Man", &[]);
        check("TWE=", "Ma", &[]);
        check("TWE", "Ma", &[Base64Length]);
        check("TWFu====", "Man", &[]);
        check("T!W!F!u", "Man", &[Base64Junk]);
        check("TWE=TWFu", "MaMan", &[Base64InnerPadding]);
        check("TWE=\r\nTWE=", "MaMa", &[Base64InnerPadding]);
        check("", "", &[]);
    }

    #[test]
    fn other_readings_are_given_where_readers_differ() {
        let others = |octets: &str| {
            let all = decode_all(&Bytes::copy_from_slice(octets.as_bytes()));
            all.others.iter().map(|o| String::from_utf8_lossy(o).into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(others("text: abc\nTWFu\n")[0], "Man");
        assert_eq!(others("TWE=TWFu")[0], "Ma", "stop at the padding");
        assert_eq!(others("TWFu=TWFu")[0], "Man", "skipping the padding gives what we have");
        assert!(others("Q=UIQ=0Q").contains(&"ABCD".to_owned()), "padding is one of four");
        assert!(others("AB\n\nTWFu\n").contains(&"Man".to_owned()), "whole groups of lines");
        assert!(others("TWFuXXX\nTWFuXXX\n").contains(&"ManMan".to_owned()));
        assert!(others("TWFu#XYZ\nTWFu\n").contains(&"ManMan".to_owned()), "junk ends a line");
        let named = others("PDw_Pz8-");
        assert!(named.contains(&"<<???>".to_owned()), "the alphabet for file names");
    }

    proptest! {
        #[test]
        fn what_was_encoded_comes_back(data: Vec<u8>, width in 1_usize..100) {
            let text = STANDARD.encode(&data);
            let lines: Vec<&str> = text.as_bytes().chunks(width).map(|c| std::str::from_utf8(c).unwrap()).collect();
            let all = decode_all(&lines.join("\r\n").into());
            prop_assert_eq!(&all.data[..], &data[..]);
            prop_assert!(all.odd.is_empty());
        }

        #[test]
        fn no_octets_make_it_fail(data: Vec<u8>) {
            let all = decode_all(&data.clone().into());
            prop_assert!(all.data.len() <= data.len());
        }
    }
}
