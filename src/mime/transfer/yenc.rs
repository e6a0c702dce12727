//! yEnc: files in texts of eight bits between `=ybegin` and `=yend`, whole or in parts (the specification 1.3 of
//! yenc.org).

use memchr::memmem;

use super::Block;

/// Finds the files in a text, and whether there are more than `blocks_max`, which is all that are given. Parts of one
/// file that follow each other are joined. Linear: what was taken for a file is not looked at again.
pub(in crate::mime) fn find(text: &[u8], blocks_max: usize) -> (Vec<Block>, bool) {
    let mut blocks: Vec<Block> = Vec::new();
    let mut from = 0;
    let finder = memmem::Finder::new(b"=ybegin ");
    while let Some(hit) = finder.find(text.get(from..).unwrap_or_default()) {
        let at = from + hit;
        from = at + 8;
        let starts_line = at == 0 || matches!(text.get(at - 1), Some(b'\n' | b'\r'));
        let (line, start) = line(text, at);
        let Some(name) = name_of(line).filter(|_| starts_line) else { continue };
        let (data, ended, end) = content(text, start);
        from = end.max(from);
        if data.is_empty() {
            continue;
        }
        // The end stands behind the last part only; a part of its own is as whole as it can be.
        let whole = number(line, b" size=").is_none_or(|size| size == data.len())
            || number(line, b" part=").is_some();
        let follows = number(line, b" part=").is_some_and(|part| part > 1);
        if let Some(last) = blocks.last_mut().filter(|last| follows && last.name == name) {
            last.data.extend_from_slice(&data);
            last.complete &= ended;
            continue;
        }
        if blocks.len() >= blocks_max {
            return (blocks, true);
        }
        blocks.push(Block { name, data, complete: ended && whole });
    }
    (blocks, false)
}

/// The line at `at` without its end, and where the next one begins.
fn line(text: &[u8], at: usize) -> (&[u8], usize) {
    let rest = text.get(at..).unwrap_or_default();
    let end = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
    (rest.get(..end).unwrap_or_default(), at + end)
}

/// The name stands at the end of the line and may hold anything.
fn name_of(line: &[u8]) -> Option<Vec<u8>> {
    memmem::find(line, b" line=")?;
    let at = memmem::find(line, b" name=")?;
    Some(line.get(at + 6..).unwrap_or_default().trim_ascii().to_vec())
}

fn number(line: &[u8], key: &[u8]) -> Option<usize> {
    let head = line.get(..memmem::find(line, b" name=").unwrap_or(line.len()))?;
    let digits = head.get(memmem::find(head, key)? + key.len()..)?;
    let end = digits.iter().take_while(|octet| octet.is_ascii_digit()).count();
    std::str::from_utf8(digits.get(..end)?).ok()?.parse().ok()
}

/// The octets up to `=yend`, whether it was there, and where the text goes on.
fn content(text: &[u8], start: usize) -> (Vec<u8>, bool, usize) {
    let mut data = Vec::new();
    let mut at = start;
    loop {
        at += text
            .get(at..)
            .unwrap_or_default()
            .iter()
            .take_while(|octet| matches!(octet, b'\r' | b'\n'))
            .count();
        let (row, next) = line(text, at);
        if row.is_empty() || row.starts_with(b"=ybegin ") {
            return (data, false, at);
        }
        if row.starts_with(b"=yend") {
            return (data, true, next);
        }
        if !row.starts_with(b"=ypart ") {
            decode_row(row, &mut data);
        }
        at = next;
    }
}

fn decode_row(row: &[u8], data: &mut Vec<u8>) {
    let mut escaped = false;
    for octet in row {
        if *octet == b'=' && !escaped {
            escaped = true;
            continue;
        }
        data.push(octet.wrapping_sub(if escaped { 42 + 64 } else { 42 }));
        escaped = false;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(data: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        for row in data.chunks(128) {
            for octet in row {
                let coded = octet.wrapping_add(42);
                if matches!(coded, 0 | b'\n' | b'\r' | b'=') {
                    text.extend([b'=', coded.wrapping_add(64)]);
                } else {
                    text.push(coded);
                }
            }
            text.extend(b"\r\n");
        }
        text
    }

    fn file(head: &str, data: &[u8]) -> Vec<u8> {
        let head = format!("=ybegin {head}\r\n");
        [head.as_bytes(), &encode(data), b"=yend size=1 crc32=0\r\n"].concat()
    }

    #[test]
    fn files_are_found_whole_and_in_parts() {
        let text = [
            b"Hello\r\n".to_vec(),
            file("line=128 size=3 name=a b.exe", b"abc"),
            b"and\r\n".to_vec(),
            file("part=1 total=2 line=128 size=6 name=c.zip\r\n=ypart begin=1 end=3", b"abc"),
            file("part=2 total=2 line=128 size=6 name=c.zip\r\n=ypart begin=4 end=6", b"def"),
            file("line=128 size=9 name=cut", b"abc"),
        ]
        .concat();
        let (blocks, more) = find(&text, 9);
        let got: Vec<_> =
            blocks.iter().map(|block| (&block.name[..], &block.data[..], block.complete)).collect();
        assert_eq!(
            got,
            [
                (&b"a b.exe"[..], &b"abc"[..], true),
                (b"c.zip", b"abcdef", true),
                (b"cut", b"abc", false)
            ]
        );
        assert!(!more);
        assert_eq!(find(&text, 1).0.len(), 1);
        assert!(find(&text, 1).1);
        assert_eq!(find(b"it begins with =ybegin line=1 size=1 name=x\r\nabc\r\n", 9).0, []);
    }

    proptest! {
        #[test]
        fn what_was_encoded_comes_back(data in proptest::collection::vec(any::<u8>(), 1..500)) {
            let (blocks, _) = find(&file(&format!("line=128 size={} name=x", data.len()), &data), 9);
            prop_assert_eq!(&blocks[0].data, &data);
            prop_assert!(blocks[0].complete);
        }

        #[test]
        fn no_octets_make_it_fail(text in "(=ybegin |line=1 | name=x|size=99999999999999999999 |=yend|=ypart |=|\r\n|.){0,40}") {
            find(text.as_bytes(), 99);
        }
    }
}
