//! uuencode: the files that stand in a text between `begin` and `end`.

use memchr::memmem;

/// A file found in a text.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::mime) struct Block {
    /// The name as written.
    pub(in crate::mime) name: Vec<u8>,
    /// The content.
    pub(in crate::mime) data: Vec<u8>,
    /// False if it breaks off before `end`.
    pub(in crate::mime) complete: bool,
}

/// Finds the files in a text, and whether there are more than `blocks_max`, which is all that are given. Linear: what
/// was taken for a file is not looked at again.
pub(in crate::mime) fn find(text: &[u8], blocks_max: usize) -> (Vec<Block>, bool) {
    let mut blocks = Vec::new();
    let mut from = 0;
    let finder = memmem::Finder::new(b"begin");
    while let Some(hit) = finder.find(text.get(from..).unwrap_or_default()) {
        let at = from + hit;
        let starts_line = at == 0 || matches!(text.get(at.wrapping_sub(1)), Some(b'\n' | b'\r'));
        from = at + 5;
        if !starts_line {
            continue;
        }
        let Some((kind, name, start)) = begin_line(text, at) else { continue };
        let (block, end) = match kind {
            Kind::Classic => classic(text, start, name),
            Kind::Base64 => base64(text, start, name),
        };
        if block.data.is_empty() {
            continue;
        }
        if blocks.len() >= blocks_max {
            return (blocks, true);
        }
        blocks.push(block);
        from = end.max(from);
    }
    (blocks, false)
}

/// Lines of uuencode without `begin`, if there are any.
pub(super) fn headless(text: &[u8]) -> Option<Vec<u8>> {
    let start = text.iter().take_while(|octet| matches!(octet, b'\r' | b'\n')).count();
    let (block, _) = classic(text, start, Vec::new());
    (!block.data.is_empty()).then_some(block.data)
}

enum Kind {
    Classic,
    Base64,
}

/// The line at `at` without its end, and where the next one begins.
fn line(text: &[u8], at: usize) -> (&[u8], usize) {
    let rest = text.get(at..).unwrap_or_default();
    let end = memchr::memchr(b'\n', rest);
    let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
    (line.strip_suffix(b"\r").unwrap_or(line), end.map_or(text.len(), |end| at + end + 1))
}

/// `begin 644 name` or `begin-base64 644 name`.
fn begin_line(text: &[u8], at: usize) -> Option<(Kind, Vec<u8>, usize)> {
    let (line, next) = line(text, at);
    let rest = line.strip_prefix(b"begin")?;
    let (kind, rest) = match rest.strip_prefix(b"-base64") {
        Some(rest) => (Kind::Base64, rest),
        None => (Kind::Classic, rest),
    };
    if !matches!(rest.first(), Some(b' ' | b'\t')) {
        return None;
    }
    let rest = rest.trim_ascii();
    let mode = rest.iter().take_while(|octet| octet.is_ascii_digit()).count();
    let name = rest.get(mode..).unwrap_or_default();
    if !(3..=6).contains(&mode) || !matches!(name.first(), Some(b' ' | b'\t')) {
        return None;
    }
    Some((kind, name.trim_ascii().to_vec(), next))
}

fn classic(text: &[u8], start: usize, name: Vec<u8>) -> (Block, usize) {
    let mut block = Block { name, data: Vec::new(), complete: false };
    let mut at = start;
    while at < text.len() {
        let (row, next) = line(text, at);
        if row == b"end" {
            block.complete = true;
            return (block, next);
        }
        match row.split_first() {
            // A length of nothing ends the data; `end` follows.
            None | Some((b'`' | b' ', _)) => {}
            Some((length @ 0x21..=0x60, coded)) => {
                let length = usize::from(length - 0x20) & 0x3f;
                if !row_fits(coded, length) {
                    return (block, at);
                }
                decode_row(coded, length, &mut block.data);
            }
            Some(_) => return (block, at),
        }
        at = next;
    }
    (block, at)
}

/// A line that says `length` octets and holds neither far less nor far more is one of ours; prose is not.
fn row_fits(coded: &[u8], length: usize) -> bool {
    let want = length.div_ceil(3) * 4;
    // Trailing blanks may have been lost on the way, and some encoders add a checksum character.
    coded.len() <= want + 2
        && coded.len() + 8 >= want
        && coded.iter().all(|octet| (0x20..=0x60).contains(octet))
}

fn decode_row(coded: &[u8], length: usize, data: &mut Vec<u8>) {
    let end = data.len() + length;
    for four in coded.chunks(4) {
        let six = |index: usize| four.get(index).map_or(0, |octet| octet.wrapping_sub(0x20) & 0x3f);
        let (a, b, c, d) = (six(0), six(1), six(2), six(3));
        data.extend_from_slice(&[a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d]);
    }
    data.resize(end, 0);
}

fn base64(text: &[u8], start: usize, name: Vec<u8>) -> (Block, usize) {
    let rest = text.get(start..).unwrap_or_default();
    let (end, next, complete) = match memmem::find(rest, b"\n====") {
        Some(at) => (at, start + at + 5, true),
        None => (rest.len(), text.len(), false),
    };
    let data = super::base64::decode(rest.get(..end).unwrap_or_default()).data;
    (Block { name, data, complete }, next)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(data: &[u8], name: &str) -> String {
        let sign = |six: u8| char::from(if six == 0 { b'`' } else { six + 0x20 });
        let mut text = format!("begin 644 {name}\r\n");
        for row in data.chunks(45) {
            text.push(sign(u8::try_from(row.len()).unwrap()));
            for three in row.chunks(3) {
                let at = |index: usize| three.get(index).copied().unwrap_or(0);
                let (a, b, c) = (at(0), at(1), at(2));
                for six in [a >> 2, (a << 4 | b >> 4) & 0x3f, (b << 2 | c >> 6) & 0x3f, c & 0x3f] {
                    text.push(sign(six));
                }
            }
            text.push_str("\r\n");
        }
        text + "`\r\nend\r\n"
    }

    #[test]
    fn files_are_found_in_text() {
        let text = format!("Hello\r\n{}x\r\n{}", encode(b"one", "a b.txt"), encode(b"two", "c"));
        let (blocks, more) = find(text.as_bytes(), 9);
        assert!(!more);
        assert_eq!(blocks.len(), 2);
        assert_eq!((&blocks[0].name[..], &blocks[0].data[..]), (&b"a b.txt"[..], &b"one"[..]));
        assert_eq!((&blocks[1].name[..], &blocks[1].data[..]), (&b"c"[..], &b"two"[..]));
        let (first, more) = find(text.as_bytes(), 1);
        assert_eq!((first.len(), more), (1, true));
        let cut = text.replace("end\r\n", "");
        assert!(!find(cut.as_bytes(), 9).0[0].complete);
        assert_eq!(find(b"begin-base64 644 x\r\nTWFu\r\n====\r\n", 9).0[0].data, b"Man");
    }

    #[test]
    fn prose_is_no_file() {
        for text in [
            "begin 644 is how the line starts\r\nand this is plain prose\r\n",
            "begin 644 of the story\r\n",
            "begin at once\r\nM0\r\n",
            "we begin 644 x\r\n#86)C\r\nend\r\n",
        ] {
            assert_eq!(find(text.as_bytes(), 9), (vec![], false), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_was_encoded_comes_back(data in proptest::collection::vec(any::<u8>(), 1..500)) {
            let (blocks, _) = find(encode(&data, "x").as_bytes(), 9);
            prop_assert_eq!(blocks.len(), 1);
            prop_assert_eq!(&blocks[0].data, &data);
            prop_assert!(blocks[0].complete);
        }

        #[test]
        fn no_octets_make_it_fail(text in "(begin 644 x\n|begin-base64 600 y\n|M[ -`]{0,61}\n|end\n|====\n|.{0,9}\n){0,20}") {
            find(text.as_bytes(), 99);
        }
    }
}
