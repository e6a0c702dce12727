//! Scripts cut into words, numbers, strings and signs. JavaScript, and VBScript as far as it differs.

/// What a script is made of.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token<'a> {
    Word(&'a str),
    /// A whole number; `u32::MAX` for all that is larger or no whole number.
    Number(u32),
    /// A string, its escapes undone.
    Text(String),
    /// A pattern between slashes, as written.
    Pattern(&'a str),
    Sign(u8),
}

/// Cuts one script. A copy remembers a place to come back to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    basic: bool,
    /// A value ended just before, so that a slash divides.
    value_before: bool,
}

impl<'a> Lexer<'a> {
    /// `basic`: VBScript.
    pub(super) fn new(text: &'a str, basic: bool) -> Self {
        Self { text, at: 0, basic, value_before: false }
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn skip_blanks(&mut self) {
        loop {
            let rest = self.rest();
            let blanks =
                rest.iter().take_while(|octet| **octet <= b' ' || !octet.is_ascii()).count();
            self.at += blanks;
            let rest = self.rest();
            if rest.starts_with(b"/*") {
                let end = memchr::memmem::find(rest, b"*/").map_or(rest.len(), |end| end + 2);
                self.at += end.max(2);
            } else if rest.starts_with(b"//") || (self.basic && rest.first() == Some(&b'\'')) {
                self.at += memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
            } else {
                return;
            }
        }
    }

    pub(super) fn next(&mut self) -> Option<Token<'a>> {
        self.skip_blanks();
        let first = *self.rest().first()?;
        let token = match first {
            b'"' | b'\'' | b'`' => Token::Text(self.string(first)),
            b'0'..=b'9' => self.number(),
            _ if is_word(first) => self.word(),
            b'/' if !self.value_before => match self.pattern() {
                Some(pattern) => Token::Pattern(pattern),
                None => self.sign(first),
            },
            _ => self.sign(first),
        };
        self.value_before = match &token {
            Token::Word(word) => !matches!(*word, "return" | "typeof" | "case" | "in" | "of"),
            Token::Number(_) | Token::Text(_) | Token::Pattern(_) => true,
            Token::Sign(sign) => matches!(sign, b')' | b']' | b'}'),
        };
        Some(token)
    }

    fn sign(&mut self, sign: u8) -> Token<'a> {
        self.at += 1;
        Token::Sign(sign)
    }

    fn word(&mut self) -> Token<'a> {
        let length = self.rest().iter().take_while(|octet| is_word(**octet)).count();
        let word = self.text.get(self.at..self.at + length).unwrap_or_default();
        self.at += length;
        Token::Word(word)
    }

    fn number(&mut self) -> Token<'a> {
        let rest = self.rest();
        let is_part = |octet: &&u8| octet.is_ascii_alphanumeric() || **octet == b'.';
        let length = rest.iter().take_while(is_part).count();
        let digits = self.text.get(self.at..self.at + length).unwrap_or_default();
        self.at += length;
        let value = match digits.get(..2) {
            Some("0x" | "0X") => u32::from_str_radix(digits.get(2..).unwrap_or_default(), 16).ok(),
            _ => digits.parse().ok(),
        };
        Token::Number(value.unwrap_or(u32::MAX))
    }

    fn pattern(&mut self) -> Option<&'a str> {
        const PATTERN_BYTES_MAX: usize = 1_000;
        let (mut escaped, mut class) = (false, false);
        for (index, octet) in self.rest().iter().enumerate().skip(1).take(PATTERN_BYTES_MAX) {
            match octet {
                b'\n' | b'\r' => return None,
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'[' => class = true,
                b']' => class = false,
                b'/' if !class => {
                    let pattern = self.text.get(self.at + 1..self.at + index);
                    self.at += index + 1;
                    // Flags.
                    let flags = self.rest().iter().take_while(|o| is_word(**o)).count();
                    self.at += flags;
                    return pattern;
                }
                _ => {}
            }
        }
        None
    }

    /// The string at the place. One that is not closed ends with its line.
    fn string(&mut self, quote: u8) -> String {
        let mut out = String::new();
        self.at += 1;
        loop {
            let rest = self.rest();
            let next = if quote == b'`' {
                memchr::memchr2(quote, b'\\', rest)
            } else {
                memchr::memchr3(quote, b'\\', b'\n', rest)
            };
            let plain = next.unwrap_or(rest.len());
            out.push_str(self.text.get(self.at..self.at + plain).unwrap_or_default());
            self.at += plain;
            match self.rest().first() {
                Some(b'\\') if !self.basic => {
                    self.at += 1;
                    self.escape(&mut out);
                }
                Some(b'\\') => {
                    out.push('\\');
                    self.at += 1;
                }
                Some(b'\n') | None => return out,
                Some(_) => {
                    self.at += 1;
                    if !(self.basic && self.rest().first() == Some(&quote)) {
                        return out;
                    }
                    // Two quotes in a row stand for one.
                    out.push(char::from(quote));
                    self.at += 1;
                }
            }
        }
    }

    /// What follows a backslash.
    fn escape(&mut self, out: &mut String) {
        let tail = self.text.get(self.at..).unwrap_or_default();
        let Some(sign) = tail.chars().next() else { return };
        self.at += sign.len_utf8();
        let digits = |start: usize, count: usize| {
            let digits = tail.get(start..start + count)?;
            let code = u32::from_str_radix(digits, 16).ok()?;
            Some((char::from_u32(code).unwrap_or('\u{fffd}'), start + count - 1))
        };
        let coded = match sign {
            'x' => digits(1, 2),
            'u' if tail.get(1..2) == Some("{") => tail
                .get(2..tail.len().min(10))
                .and_then(|inner| inner.find('}'))
                .and_then(|length| digits(2, length).map(|(sign, end)| (sign, end + 1))),
            'u' => digits(1, 4),
            '0'..='7' => {
                let octal = tail.bytes().take(3).take_while(|o| matches!(o, b'0'..=b'7')).count();
                let code = tail.get(..octal).and_then(|t| u32::from_str_radix(t, 8).ok());
                code.and_then(char::from_u32).map(|sign| (sign, octal - 1))
            }
            _ => None,
        };
        if let Some((sign, length)) = coded {
            out.push(sign);
            self.at += length;
            return;
        }
        match sign {
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            'v' => out.push('\u{b}'),
            // The line goes on.
            '\r' => self.at += usize::from(self.rest().first() == Some(&b'\n')),
            '\n' => {}
            other => out.push(other),
        }
    }
}

fn is_word(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'_' | b'$')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tokens(text: &str, basic: bool) -> Vec<Token<'_>> {
        let mut lexer = Lexer::new(text, basic);
        std::iter::from_fn(|| lexer.next()).collect()
    }

    #[test]
    fn scripts_are_cut() {
        use Token::{Number, Pattern, Sign, Text, Word};
        let text = |text: &str| Text(text.to_owned());
        for (script, want) in [
            ("a=\"b\\x41\\u0042\\u{43}\\101\\n\"", vec![Word("a"), Sign(b'='), text("bABCA\n")]),
            ("'a\\\nb' // 'c'\n/* 'd' */ `e\nf`", vec![text("ab"), text("e\nf")]),
            ("x(/['\"]/g)", vec![Word("x"), Sign(b'('), Pattern("['\"]"), Sign(b')')]),
            ("1/2", vec![Number(1), Sign(b'/'), Number(2)]),
            ("0x4d,1.5", vec![Number(77), Sign(b','), Number(u32::MAX)]),
            ("'open\n\"b\"", vec![text("open"), text("b")]),
            ("'\\", vec![text("")]),
        ] {
            assert_eq!(tokens(script, false), want, "{script:?}");
        }
        assert_eq!(tokens("a=\"b\"\"c\\\" 'x", true), [Word("a"), Sign(b'='), text("b\"c\\")]);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fail(
            script in "(['\"`/\\\\\n*\\[\\]{}()=+.,]|0x|u\\{|x4|é|a|1){0,60}",
            basic: bool,
        ) {
            prop_assert!(tokens(&script, basic).len() <= script.len());
        }
    }
}
