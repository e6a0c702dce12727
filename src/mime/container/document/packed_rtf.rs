//! Packed RTF ([MS-OXRTFCP]), as Outlook keeps the text of messages.

use bytes::Bytes;

use crate::mail::DefectCode;
use crate::mime::budget::Budget;
use crate::mime::container::{Member, Opened, u32_at};

/// The window, and where in it writing begins.
const WINDOW_BYTES: usize = 4096;
const PACKED: u32 = 0x7546_5a4c;
const PLAIN: u32 = 0x414c_454d;

/// What stands in the window from the start ([MS-OXRTFCP] 2.1.3.1.4).
const FIRST: &[u8] = b"{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \\fmodern \\fscript \\fdecor MS Sans SerifSymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n\\par \\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx";

/// Gives the text as a member.
pub(in crate::mime::container) fn give(packed: &[u8], budget: &mut Budget, opened: &mut Opened) {
    if packed.is_empty() {
        return;
    }
    let unpacked = budget.file().and_then(|()| unpack(packed, budget));
    match unpacked {
        Ok(Some(text)) => opened.members.push(Member {
            names: vec!["body.rtf".to_owned()],
            data: Bytes::from(text),
            ..Member::default()
        }),
        Ok(None) => opened.note(DefectCode::BadArchive),
        Err(code) => opened.note(code),
    }
}

fn unpack(packed: &[u8], budget: &mut Budget) -> Result<Option<Vec<u8>>, DefectCode> {
    let Some(body) = packed.get(16..) else { return Ok(None) };
    match u32_at(packed, 8) {
        Some(PLAIN) => {
            budget.expand(body.len(), 0, packed.len())?;
            return Ok(Some(body.to_vec()));
        }
        Some(PACKED) => {}
        _ => return Ok(None),
    }
    let mut window = FIRST.to_vec();
    let mut place = window.len();
    window.resize(WINDOW_BYTES, 0);
    let mut out = Vec::new();
    let mut put = |octet: u8, place: &mut usize, window: &mut Vec<u8>| {
        out.push(octet);
        if let Some(cell) = window.get_mut(*place) {
            *cell = octet;
        }
        *place = (*place + 1) % WINDOW_BYTES;
    };
    let mut octets = body.iter().copied();
    // A pair of octets makes at most 17: the size is asked for once.
    budget.expand(body.len().saturating_mul(9), 0, packed.len())?;
    while let Some(kinds) = octets.next() {
        for bit in 0..8 {
            if kinds >> bit & 1 == 0 {
                let Some(octet) = octets.next() else { return Ok(Some(out)) };
                put(octet, &mut place, &mut window);
                continue;
            }
            let (Some(high), Some(low)) = (octets.next(), octets.next()) else {
                return Ok(Some(out));
            };
            let mut from = usize::from(high) << 4 | usize::from(low >> 4);
            // Where the next octet would be written, there the text ends.
            if from == place {
                return Ok(Some(out));
            }
            for _ in 0..usize::from(low & 15) + 2 {
                let octet = window.get(from).copied().unwrap_or(0);
                put(octet, &mut place, &mut window);
                from = (from + 1) % WINDOW_BYTES;
            }
        }
    }
    Ok(Some(out))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mime::Limits;

    fn unpacked(packed: &[u8]) -> Option<Vec<u8>> {
        unpack(packed, &mut Budget::new(&Limits::default())).unwrap()
    }

    #[test]
    fn both_forms_are_unpacked() {
        // The example of [MS-OXRTFCP] 4.1.1.
        let packed = b"\x2d\0\0\0\x2b\0\0\0LZFu\xf1\xc5\xc7\xa7\x03\0\x0a\0rcpg125\x42\x32\x0a\xf3 hel\x09\0\x20bw\x05\xb0ld}\x0a\x80\x0f\xa0";
        let want = "{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n";
        assert_eq!(String::from_utf8(unpacked(packed).unwrap()).unwrap(), want);
        let plain = b"\0\0\0\0\0\0\0\0MELA\0\0\0\0{\\rtf1}";
        assert_eq!(unpacked(plain), Some(b"{\\rtf1}".to_vec()));
        assert_eq!(unpacked(b"x"), None);
    }

    proptest! {
        #[test]
        fn no_octets_make_it_fail(tail: Vec<u8>) {
            unpacked(&[b"\0\0\0\0\0\0\0\0LZFu\0\0\0\0", &tail[..]].concat());
        }
    }
}
