//! Hosts that are written as numbers.

use super::domain::text;

/// The address in four plain numbers that a number, or four of them, stand for: hexadecimal with `0x`, octal with a
/// `0` before. `None`: the host is no number.
///
/// As SpamAssassin does it, a lone zero of four numbers is written as nothing: `127...1`.
pub(super) fn address_of_number(host: &[u8]) -> Option<Vec<u8>> {
    let last = host.rsplit(|octet| *octet == b'.').next()?;
    if !last.first().is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let pieces: Vec<&[u8]> = host.split(|octet| *octet == b'.').collect();
    match pieces.as_slice() {
        [one] => {
            let number = match hexadecimal(one) {
                // The last eight digits count.
                Some(digits) => u64::from_str_radix(
                    &text(digits.get(digits.len().saturating_sub(8)..).unwrap_or_default()),
                    16,
                )
                .ok()?,
                None if is_decimal(one) => text(one).parse().unwrap_or(u64::MAX),
                None => return None,
            };
            Some(quad(number))
        }
        [_, _, _, _] => {
            let good = |piece: &&[u8]| is_decimal(piece) || hexadecimal(piece).is_some();
            if !pieces.iter().all(good) {
                return None;
            }
            let octets: Vec<Vec<u8>> = pieces.iter().map(|piece| octet(piece)).collect();
            Some(octets.join(&b'.'))
        }
        _ => None,
    }
}

fn is_decimal(piece: &[u8]) -> bool {
    !piece.is_empty() && piece.iter().all(u8::is_ascii_digit)
}

/// The digits behind `0x`.
fn hexadecimal(piece: &[u8]) -> Option<&[u8]> {
    let digits = piece.strip_prefix(b"0x").or_else(|| piece.strip_prefix(b"0X"))?;
    (!digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit)).then_some(digits)
}

/// One of four numbers in decimal.
fn octet(piece: &[u8]) -> Vec<u8> {
    let mut digits = piece.to_vec();
    if let Some(hexadecimal) = hexadecimal(piece) {
        let zeros = hexadecimal.iter().take_while(|digit| **digit == b'0').count();
        let significant = hexadecimal.get(zeros..).unwrap_or_default();
        digits = match u64::from_str_radix(&text(significant), 16) {
            _ if significant.is_empty() => b"0".to_vec(),
            Ok(value) => value.cast_signed().to_string().into_bytes(),
            Err(_) => b"-1".to_vec(),
        };
    }
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    let behind = digits.get(zeros..).unwrap_or_default().to_vec();
    let octal = |digit: &u8| matches!(digit, b'0'..=b'7');
    let short = match behind.first() {
        Some(b'1'..=b'3') => behind.len() <= 3,
        Some(b'4'..=b'7') => behind.len() <= 2,
        _ => false,
    };
    if zeros > 0
        && short
        && behind.iter().all(octal)
        && let Ok(value) = u16::from_str_radix(&text(&behind), 8)
    {
        return value.to_string().into_bytes();
    }
    behind
}

/// The number in hexadecimal, its first eight digits two by two.
fn quad(number: u64) -> Vec<u8> {
    let digits = format!("{number:08x}");
    let pairs = digits.as_bytes().chunks(2).take(4);
    let octets = pairs.map(|pair| u8::from_str_radix(&text(pair), 16).unwrap_or(0).to_string());
    octets.collect::<Vec<String>>().join(".").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_addresses() {
        for (host, want) in [
            ("1113343453", Some("66.92.69.221")),
            ("0x7f000001", Some("127.0.0.1")),
            ("0xffff7f000001", Some("127.0.0.1")),
            ("99999999999999999999", Some("255.255.255.255")),
            ("0x7f.1.02.010", Some("127.1.2.8")),
            ("89.0x0000000000000000068.0x00a0.0x0011", Some("89.104.160.17")),
            ("127.0.0.1", Some("127...1")),
            ("0377.08.009.0400", Some("255.8.9.400")),
            ("1.2.3", None),
            ("a.b.c.d", None),
            ("", None),
            ("0x", None),
        ] {
            let got = address_of_number(host.as_bytes());
            assert_eq!(got.as_deref().map(String::from_utf8_lossy).as_deref(), want, "{host}");
        }
    }
}
