//! Packages of the Windows Installer: the cabinets and programs in them, under their names.

use bytes::Bytes;

use super::compound::Compound;
use crate::mime::budget::Budget;
use crate::mime::container::{Member, Opened};

/// The middle of the class of packages, patches and transforms; the first octets tell which.
const CLASS_TAIL: [u8; 12] = [0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0x46];

/// Marks the name of a table.
const TABLE: char = '\u{4840}';

pub(in crate::mime::container) fn is_one(file: &Compound<'_>) -> bool {
    let root = file.entries.first().map(|root| root.class_id).unwrap_or_default();
    let by_class = matches!(root, [0x82 | 0x84 | 0x86, 0x10, 0x0c, 0, ..])
        && root.get(4..) == Some(&CLASS_TAIL);
    by_class || file.entries.iter().any(|entry| entry.name.starts_with(TABLE))
}

/// Gives a stream that is no table, and of the tables the one with all texts.
pub(super) fn take(name: &str, stream: Bytes, budget: &mut Budget, opened: &mut Opened) {
    let name = plain_name(name);
    if name.starts_with('\u{5}') || (name.starts_with('!') && name != "!_StringData") {
        return;
    }
    let names = vec![name.trim_start_matches('!').to_owned()];
    opened.stored(Member { names, data: stream, ..Member::default() }, budget);
}

/// Two characters of a name stand in one sign.
fn plain_name(name: &str) -> String {
    const SIGNS: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz._";
    let sign = |number: u32| {
        let index = usize::try_from(number & 63).unwrap_or(0);
        SIGNS.get(index).map_or('_', |octet| char::from(*octet))
    };
    let mut out = String::new();
    for packed in name.chars() {
        match u32::from(packed) {
            number @ 0x3800..=0x47ff => {
                let number = number - 0x3800;
                out.extend([sign(number), sign(number >> 6)]);
            }
            number @ 0x4800..=0x483f => out.push(sign(number - 0x4800)),
            0x4840 => out.push('!'),
            _ => out.push(packed),
        }
    }
    out
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// As the Installer writes names.
    pub(in crate::mime::container) fn packed_name(name: &str) -> String {
        const SIGNS: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz._";
        let number = |sign: char| u32::try_from(SIGNS.find(sign).unwrap()).unwrap();
        let signs: Vec<char> = name.chars().collect();
        signs
            .chunks(2)
            .map(|two| match two {
                [one, other] => 0x3800 + number(*one) + (number(*other) << 6),
                [one] => 0x4800 + number(*one),
                _ => unreachable!(),
            })
            .map(|code| char::from_u32(code).unwrap())
            .collect()
    }

    #[test]
    fn names_are_unpacked() {
        for name in ["disk1.cab", "Binary.setup.exe", "a"] {
            assert_eq!(plain_name(&packed_name(name)), name);
        }
        assert_eq!(plain_name("\u{4840}x"), "!x");
        assert_eq!(plain_name("plain"), "plain");
    }
}
