//! PDF objects (ISO 32000-1 section 7.3), read from any place, as lenient as readers are.

/// One object. Numbers in lists are left out: nothing that is looked for here is one.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Object {
    /// A truth value, nothing, or a word that is none.
    Other,
    Number(i64),
    /// With its escapes undone.
    Name(Vec<u8>),
    Text(Vec<u8>),
    List(Vec<Object>),
    Dict(Vec<(Vec<u8>, Object)>),
    /// Another object, by its number.
    Ref(u32),
}

impl Object {
    /// The value of that key; the last one, if there are several.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        let Self::Dict(entries) = self else { return None };
        entries.iter().rev().find(|(name, _)| name == key.as_bytes()).map(|(_, value)| value)
    }

    pub(super) fn is_name(&self, want: &str) -> bool {
        matches!(self, Self::Name(name) if name == want.as_bytes())
    }

    pub(super) fn number(&self) -> Option<i64> {
        if let Self::Number(number) = self { Some(*number) } else { None }
    }

    pub(super) fn text(&self) -> Option<&[u8]> {
        if let Self::Text(octets) = self { Some(octets) } else { None }
    }

    pub(super) fn reference(&self) -> Option<u32> {
        if let Self::Ref(number) = self { Some(*number) } else { None }
    }

    /// What a list holds; of anything else nothing.
    pub(super) fn list(&self) -> &[Self] {
        if let Self::List(list) = self { list } else { &[] }
    }
}

/// Lists and dictionaries in each other; deeper ones are left out.
const DEPTH_MAX: usize = 60;

/// Objects of all kinds in one; further ones are left out.
const NODES_MAX: usize = 200_000;

/// A list or dictionary that is open.
enum Open {
    List(Vec<Object>),
    Dict(Vec<(Vec<u8>, Object)>, Option<Vec<u8>>),
}

enum Token {
    Object(Object),
    Word(Vec<u8>),
    OpenList,
    CloseList,
    OpenDict,
    CloseDict,
    End,
}

/// Reads objects from octets.
pub(super) struct Reader<'a> {
    data: &'a [u8],
    pub(super) at: usize,
    nodes: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(data: &'a [u8], at: usize) -> Self {
        Self { data, at, nodes: 0 }
    }

    fn rest(&self) -> &'a [u8] {
        self.data.get(self.at..).unwrap_or_default()
    }

    pub(super) fn skip_blanks(&mut self) {
        loop {
            let rest = self.rest();
            self.at += rest.iter().take_while(|octet| is_blank(**octet)).count();
            let rest = self.rest();
            if rest.first() != Some(&b'%') {
                return;
            }
            self.at += memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
        }
    }

    /// The object at the place, if there is one. What is open at the end is closed there.
    pub(super) fn object(&mut self) -> Option<Object> {
        let mut open: Vec<Open> = Vec::new();
        let mut skipped = 0_usize;
        // The last numbers, which an `R` makes a reference.
        let mut numbers: [Option<i64>; 2] = [None, None];
        loop {
            let start = self.at;
            let object = match self.token() {
                Token::Object(object) => object,
                Token::OpenList | Token::OpenDict if open.len() >= DEPTH_MAX => {
                    skipped += 1;
                    continue;
                }
                Token::OpenList => {
                    open.push(Open::List(Vec::new()));
                    continue;
                }
                Token::OpenDict => {
                    open.push(Open::Dict(Vec::new(), None));
                    continue;
                }
                Token::CloseList | Token::CloseDict if skipped > 0 => {
                    skipped -= 1;
                    continue;
                }
                Token::CloseList | Token::CloseDict => close(&mut open)?,
                Token::Word(word) if word == b"R" => match number_of(&numbers) {
                    Some(number) => {
                        unsay(&mut open);
                        Object::Ref(number)
                    }
                    None => Object::Other,
                },
                Token::Word(word) if matches!(word.as_slice(), b"endobj" | b"obj" | b"stream") => {
                    self.at = start;
                    return self.finish(open);
                }
                Token::Word(_) => Object::Other,
                Token::End => return self.finish(open),
            };
            numbers = [numbers[1].take(), object.number()];
            if open.is_empty() {
                return Some(object);
            }
            self.nodes += 1;
            if self.nodes <= NODES_MAX {
                put(&mut open, object);
            }
        }
    }

    fn finish(&mut self, mut open: Vec<Open>) -> Option<Object> {
        let mut object = close(&mut open)?;
        while !open.is_empty() {
            put(&mut open, object);
            object = close(&mut open)?;
        }
        Some(object)
    }

    fn token(&mut self) -> Token {
        self.skip_blanks();
        let rest = self.rest();
        let Some(first) = rest.first() else { return Token::End };
        match first {
            b'/' => {
                self.at += 1;
                Token::Object(Object::Name(self.name()))
            }
            b'(' => Token::Object(Object::Text(self.text())),
            b'<' if rest.get(1) == Some(&b'<') => self.sign(2, Token::OpenDict),
            b'<' => Token::Object(Object::Text(self.hex())),
            b'>' if rest.get(1) == Some(&b'>') => self.sign(2, Token::CloseDict),
            b'[' => self.sign(1, Token::OpenList),
            b']' => self.sign(1, Token::CloseList),
            b')' | b'>' | b'{' | b'}' => self.sign(1, Token::Object(Object::Other)),
            _ => self.word(),
        }
    }

    fn sign(&mut self, length: usize, token: Token) -> Token {
        self.at += length;
        token
    }

    fn word(&mut self) -> Token {
        let rest = self.rest();
        let length = rest.iter().take_while(|octet| is_regular(**octet)).count().max(1);
        self.at += length;
        let word = rest.get(..length).unwrap_or_default();
        let first = word.first().copied().unwrap_or(0);
        if first.is_ascii_digit() || matches!(first, b'+' | b'-' | b'.') {
            let text = std::str::from_utf8(word).unwrap_or("0");
            let whole = text.split('.').next().unwrap_or("0");
            return Token::Object(Object::Number(whole.parse().unwrap_or(0)));
        }
        Token::Word(word.get(..word.len().min(16)).unwrap_or_default().to_vec())
    }

    fn name(&mut self) -> Vec<u8> {
        let rest = self.rest();
        let length = rest.iter().take_while(|octet| is_regular(**octet)).count();
        self.at += length;
        let mut coded = rest.get(..length).unwrap_or_default();
        let mut name = Vec::new();
        while let Some((octet, behind)) = coded.split_first() {
            let value = (*octet == b'#').then(|| hex_pair(behind)).flatten();
            name.push(value.unwrap_or(*octet));
            coded = if value.is_some() { behind.get(2..).unwrap_or_default() } else { behind };
        }
        name
    }

    fn hex(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut high = None;
        self.at += 1;
        for octet in self.rest() {
            self.at += 1;
            if *octet == b'>' {
                break;
            }
            let Some(digit) = digit(*octet) else {
                if is_blank(*octet) {
                    continue;
                }
                self.at -= 1;
                break;
            };
            match high.take() {
                None => high = Some(digit),
                Some(first) => out.push(first << 4 | digit),
            }
        }
        out.extend(high.map(|digit| digit << 4));
        out
    }

    /// A string in brackets, which may stand in each other.
    fn text(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut depth = 0_usize;
        while let Some(octet) = self.rest().first() {
            self.at += 1;
            match octet {
                b'(' => {
                    depth += 1;
                    if depth == 1 {
                        continue;
                    }
                    out.push(b'(');
                }
                b')' => {
                    depth -= 1;
                    if depth == 0 {
                        return out;
                    }
                    out.push(b')');
                }
                b'\\' => self.escape(&mut out),
                b'\r' => {
                    self.at += usize::from(self.rest().first() == Some(&b'\n'));
                    out.push(b'\n');
                }
                other => out.push(*other),
            }
        }
        out
    }

    fn escape(&mut self, out: &mut Vec<u8>) {
        let rest = self.rest();
        let Some(octet) = rest.first() else { return };
        self.at += 1;
        match octet {
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'0'..=b'7' => {
                let digits = rest.iter().take(3).take_while(|o| matches!(o, b'0'..=b'7')).count();
                self.at += digits - 1;
                let code = rest
                    .iter()
                    .take(digits)
                    .fold(0_u32, |code, o| code.wrapping_mul(8).wrapping_add(u32::from(o - b'0')));
                let [.., low] = code.to_be_bytes();
                out.push(low);
            }
            b'\r' => self.at += usize::from(self.rest().first() == Some(&b'\n')),
            b'\n' => {}
            other => out.push(*other),
        }
    }
}

fn number_of(numbers: &[Option<i64>; 2]) -> Option<u32> {
    numbers[1]?;
    numbers[0].and_then(|number| u32::try_from(number).ok())
}

/// Takes back the two numbers of a reference.
fn unsay(open: &mut [Open]) {
    match open.last_mut() {
        Some(Open::Dict(entries, key)) => {
            // The first number was taken for the value, the second for nothing.
            if key.is_none()
                && let Some((name, Object::Number(_))) = entries.last()
            {
                *key = Some(name.clone());
                entries.pop();
            }
        }
        Some(Open::List(_)) | None => {}
    }
}

fn put(open: &mut [Open], object: Object) {
    match open.last_mut() {
        Some(Open::List(list)) if object.number().is_none() => list.push(object),
        Some(Open::List(_)) => {}
        Some(Open::Dict(entries, key)) => match (key.take(), object) {
            (Some(name), object) => entries.push((name, object)),
            (None, Object::Name(name)) => *key = Some(name),
            // What has no key is nothing.
            (None, _) => {}
        },
        None => {}
    }
}

fn close(open: &mut Vec<Open>) -> Option<Object> {
    Some(match open.pop()? {
        Open::List(list) => Object::List(list),
        Open::Dict(mut entries, key) => {
            entries.extend(key.map(|name| (name, Object::Other)));
            Object::Dict(entries)
        }
    })
}

pub(super) fn is_blank(octet: u8) -> bool {
    matches!(octet, 0 | 9 | 10 | 12 | 13 | 32)
}

fn is_regular(octet: u8) -> bool {
    !is_blank(octet)
        && !matches!(octet, b'(' | b')' | b'<' | b'>' | b'[' | b']' | b'{' | b'}' | b'/' | b'%')
}

fn digit(octet: u8) -> Option<u8> {
    char::from(octet).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

fn hex_pair(octets: &[u8]) -> Option<u8> {
    let [high, low, ..] = octets else { return None };
    Some(digit(*high)? << 4 | digit(*low)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Option<Object> {
        Reader::new(text.as_bytes(), 0).object()
    }

    #[test]
    fn objects_are_read() {
        let name = |name: &str| Object::Name(name.into());
        let text = |text: &str| Object::Text(text.into());
        let dict = |entries: Vec<(&str, Object)>| {
            Object::Dict(entries.into_iter().map(|(key, value)| (key.into(), value)).collect())
        };
        for (source, want) in [
            ("/J#61vaScript ", name("JavaScript")),
            ("(a(b)\\)\\101\\\nc)", text("a(b))Ac")),
            ("<4 1 4>", text("A@")),
            ("% x\n[1 2 (a) /B true]", Object::List(vec![text("a"), name("B"), Object::Other])),
            (
                "<</A 1/B 2 0 R/C[3 0 R 4]/D<</E()>> >>",
                dict(vec![
                    ("A", Object::Number(1)),
                    ("B", Object::Ref(2)),
                    ("C", Object::List(vec![Object::Ref(3)])),
                    ("D", dict(vec![("E", text(""))])),
                ]),
            ),
            ("<</A 5 /B/C", dict(vec![("A", Object::Number(5)), ("B", name("C"))])),
            ("<</A (x) endobj", dict(vec![("A", text("x"))])),
            ("7", Object::Number(7)),
        ] {
            assert_eq!(read(source), Some(want), "{source}");
        }
        assert_eq!(read(""), None);
        assert_eq!(read("endobj"), None);
    }

    #[test]
    fn deep_and_long_objects_are_read_as_far_as_they_matter() {
        let deep = format!("{}(x){}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(read(&deep).is_some());
        let long = format!("[{}]", "(x)".repeat(NODES_MAX + 5));
        assert!(matches!(read(&long), Some(Object::List(list)) if list.len() == NODES_MAX));
    }

    proptest! {
        #[test]
        fn no_octets_make_it_fail(text in "(<<|>>|\\[|\\]|\\(|\\)|/A|#4|<|>| 1| 0| R| |\\\\|stream|é|%|\n){0,60}") {
            read(&text);
        }
    }
}
