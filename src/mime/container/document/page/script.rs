//! What strings a script puts together, without running it: pieces that are joined, lists of numbers, what is assigned
//! to a variable and used later. Not a language, only its constants; one pass, and as many octets as the script has.

use std::collections::HashMap;

use super::lexer::{Lexer, Token};
use crate::mime::{field, transfer};

/// What a script holds.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Strings as they are put together; octets as signs up to U+00FF.
    pub(super) values: Vec<String>,
    /// Names under which it saves files.
    pub(super) names: Vec<String>,
}

/// Variables that are remembered.
const KNOWN_MAX: usize = 10_000;
/// Strings that are given.
const VALUES_MAX: usize = 20_000;
/// A list of fewer numbers is no content.
const NUMBERS_MIN: usize = 8;
/// Tokens after a call that saves a file, among which its name stands.
const NAMING_TOKENS: usize = 24;

struct Value {
    text: String,
    used: bool,
}

struct Reader<'a> {
    lexer: Lexer<'a>,
    basic: bool,
    known: HashMap<&'a str, Value>,
    found: Found,
    /// Octets that may still be made by joining and copying.
    left: usize,
    /// Tokens in which a string that looks like a file name is one.
    naming: usize,
}

/// Reads a script. `basic`: VBScript.
pub(super) fn read(script: &str, basic: bool) -> Found {
    let mut reader = Reader {
        lexer: Lexer::new(script, basic),
        basic,
        known: HashMap::new(),
        found: Found::default(),
        left: script.len().saturating_mul(4).saturating_add(1 << 20),
        naming: 0,
    };
    reader.run();
    let mut rest: Vec<(&str, Value)> = reader.known.drain().collect();
    rest.sort_by_key(|(name, _)| *name);
    for (_, value) in rest {
        if !value.used || reader.left == 0 {
            reader.found.values.push(value.text);
        }
    }
    reader.found
}

impl<'a> Reader<'a> {
    fn run(&mut self) {
        let (mut last, mut before) = (None, None);
        let mut target: Option<(&'a str, bool)> = None;
        while let Some(token) = self.lexer.next() {
            self.naming = self.naming.saturating_sub(1);
            if let Some(value) = self.expression(&token, target.is_some()) {
                self.take(value, target.take());
                (before, last) = (None, None);
                continue;
            }
            target = match (&token, &last, &before) {
                (Token::Sign(b'=' | b':'), Some(Token::Word(name)), _) => Some((*name, false)),
                (Token::Sign(b'='), Some(Token::Sign(b'+')), Some(Token::Word(name))) => {
                    Some((*name, true))
                }
                _ => None,
            };
            if let Token::Word(
                "saveAs" | "msSaveOrOpenBlob" | "msSaveBlob" | "File" | "SaveToFile" | "navigator",
            ) = token
            {
                self.naming = NAMING_TOKENS;
            }
            before = last.take();
            last = Some(token);
        }
    }

    /// Keeps a value: under its name if it is assigned to one.
    fn take(&mut self, value: String, target: Option<(&'a str, bool)>) {
        if value == "download" {
            self.naming = 4;
            return;
        }
        let saves = target.is_some_and(|(name, _)| name == "download");
        if (saves && value.len() <= 255) || (self.naming > 0 && is_file_name(&value)) {
            self.add_name(&value);
        }
        match target {
            Some((name, append)) if self.known.len() < KNOWN_MAX => {
                if append && let Some(known) = self.known.get_mut(name) {
                    known.text.push_str(&value);
                } else if let Some(old) =
                    self.known.insert(name, Value { text: value, used: false })
                    && !old.used
                {
                    self.give(old.text);
                }
            }
            _ => self.give(value),
        }
    }

    fn add_name(&mut self, name: &str) {
        const NAMES_MAX: usize = 16;
        let name = name.trim();
        let names = &mut self.found.names;
        if !name.is_empty() && names.len() < NAMES_MAX && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }

    fn give(&mut self, value: String) {
        const VALUE_BYTES_MIN: usize = 10;
        if value.len() >= VALUE_BYTES_MIN && self.found.values.len() < VALUES_MAX {
            self.found.values.push(value);
        }
    }

    /// Strings that are joined, beginning with the token.
    fn expression(&mut self, first: &Token<'a>, assigned: bool) -> Option<String> {
        if let Token::Word(name) = first {
            // What is only named, and neither joined, assigned nor a file name, was looked at as it is.
            let mut ahead = self.lexer;
            let joined = match ahead.next() {
                Some(Token::Sign(b'+')) => ahead.next() != Some(Token::Sign(b'=')),
                Some(Token::Sign(b'.')) => true,
                Some(Token::Sign(b'&')) => self.basic,
                _ => false,
            };
            let is_made = matches!(*name, "String" | "atob" | "unescape" | "decodeURIComponent");
            if !(joined || assigned || self.naming > 0 || is_made) {
                return None;
            }
        }
        let mut value = self.primary(first)?;
        loop {
            let place = self.lexer;
            let joins = match self.lexer.next() {
                Some(Token::Sign(b'+')) => true,
                Some(Token::Sign(b'&')) => self.basic,
                _ => false,
            };
            let next = if joins { self.lexer.next() } else { None };
            match next.and_then(|token| self.primary(&token)) {
                Some(piece) if self.afford(piece.len()) => value.push_str(&piece),
                _ => {
                    self.lexer = place;
                    return Some(value);
                }
            }
        }
    }

    fn afford(&mut self, octets: usize) -> bool {
        match self.left.checked_sub(octets) {
            Some(left) => self.left = left,
            None => self.left = 0,
        }
        self.left > 0
    }

    /// A string, a known variable, a list or a call that makes one; with what is done to it behind its dots.
    fn primary(&mut self, first: &Token<'a>) -> Option<String> {
        let start = self.lexer;
        let value = match first {
            Token::Text(text) => Some(vec![text.clone()]),
            Token::Sign(open @ (b'[' | b'(')) => self.list(*open),
            Token::Word("String") => self.char_codes(),
            Token::Word(name @ ("atob" | "unescape" | "decodeURIComponent")) => {
                self.call(name).map(|text| vec![text])
            }
            Token::Word(name) => self.variable(name).map(|text| vec![text]),
            Token::Number(_) | Token::Pattern(_) | Token::Sign(_) => None,
        };
        match value {
            Some(list) => Some(self.methods(list)),
            None => {
                self.lexer = start;
                None
            }
        }
    }

    fn variable(&mut self, name: &str) -> Option<String> {
        let size = self.known.get(name)?.text.len();
        if !self.afford(size) {
            return None;
        }
        let value = self.known.get_mut(name)?;
        value.used = true;
        Some(value.text.clone())
    }

    fn sign(&mut self, want: u8) -> Option<()> {
        (self.lexer.next()? == Token::Sign(want)).then_some(())
    }

    /// `String.fromCharCode(…)`, behind its first word.
    fn char_codes(&mut self) -> Option<Vec<String>> {
        self.sign(b'.')?;
        let Token::Word("fromCharCode" | "fromCodePoint") = self.lexer.next()? else {
            return None;
        };
        self.sign(b'(')?;
        let first = self.lexer.next()?;
        self.numbers(&first, 1).map(|text| vec![text])
    }

    /// A function that decodes, with a string or a variable between its brackets.
    fn call(&mut self, name: &str) -> Option<String> {
        self.sign(b'(')?;
        let text = match self.lexer.next()? {
            Token::Text(text) => text,
            Token::Word(name) => self.variable(name)?,
            Token::Number(_) | Token::Pattern(_) | Token::Sign(_) => return None,
        };
        self.sign(b')')?;
        Some(match name {
            "atob" => {
                transfer::base64_word(text.as_bytes()).iter().map(|o| char::from(*o)).collect()
            }
            _ => unescape(&text),
        })
    }

    /// The elements of a list behind its bracket: strings, or numbers as one string. In round brackets only one of
    /// them: more are what a function is given.
    fn list(&mut self, open: u8) -> Option<Vec<String>> {
        let first = self.lexer.next()?;
        if let Token::Number(_) = first {
            return self.numbers(&first, NUMBERS_MIN).map(|text| vec![text]);
        }
        let mut list = Vec::new();
        let mut token = first;
        loop {
            match token {
                Token::Text(text) => list.push(text),
                Token::Word(name) => list.push(self.variable(name)?),
                Token::Number(_) | Token::Pattern(_) | Token::Sign(_) => return None,
            }
            let place = self.lexer;
            match self.lexer.next() {
                Some(Token::Sign(b',')) if open == b'[' => {}
                Some(Token::Sign(b']' | b')')) => return Some(list),
                // What was read is not read again: a list that breaks off ends here.
                _ if list.len() > 1 => {
                    self.lexer = place;
                    return Some(list);
                }
                _ => return None,
            }
            token = self.lexer.next()?;
            if token == Token::Sign(b']') {
                return Some(list);
            }
        }
    }

    /// Numbers with commas between them to signs.
    fn numbers(&mut self, first: &Token<'a>, least: usize) -> Option<String> {
        let Token::Number(first) = first else { return None };
        let mut number = *first;
        let mut text = String::new();
        let mut count = 0_usize;
        loop {
            text.push(char::from_u32(number).unwrap_or('\u{fffd}'));
            count += 1;
            let mut place = self.lexer;
            let comma = self.lexer.next() == Some(Token::Sign(b','));
            match if comma { self.lexer.next() } else { None } {
                Some(Token::Number(next)) => number = next,
                _ => {
                    // Over the closing bracket.
                    let closed = matches!(place.next(), Some(Token::Sign(b']' | b')')));
                    if closed {
                        self.lexer = place;
                    }
                    return (count >= least).then_some(text);
                }
            }
        }
    }

    /// What is done to a list or a string by methods with constants, as far as it is known here.
    fn methods(&mut self, mut list: Vec<String>) -> String {
        const METHODS_MAX: usize = 8;
        let mut signs = false;
        for _ in 0..METHODS_MAX {
            let place = self.lexer;
            if self.method(&mut list, &mut signs).is_none() {
                self.lexer = place;
                break;
            }
        }
        if list.len() == 1 { list.pop().unwrap_or_default() } else { list.concat() }
    }

    /// `signs`: the list stands for the single signs of its only string.
    fn method(&mut self, list: &mut Vec<String>, signs: &mut bool) -> Option<()> {
        /// What a piece of a string costs in memory.
        const PIECE_BYTES: usize = 32;
        self.sign(b'.')?;
        let Token::Word(name) = self.lexer.next()? else { return None };
        self.sign(b'(')?;
        let mut arguments = Vec::new();
        loop {
            match self.lexer.next()? {
                Token::Sign(b')') => break,
                Token::Sign(b',') => {}
                Token::Text(text) if text.len() <= 100 => arguments.push(text),
                Token::Pattern(pattern) => arguments.push(plain_pattern(pattern)?),
                Token::Word(_) | Token::Number(_) | Token::Text(_) | Token::Sign(_) => return None,
            }
            if arguments.len() > 2 {
                return None;
            }
        }
        let mut arguments = arguments.into_iter();
        let (one, two) = (arguments.next(), arguments.next());
        match (name, one, two) {
            ("reverse", None, None) if *signs => {
                *list = vec![list.concat().chars().rev().collect()];
            }
            ("reverse", None, None) => list.reverse(),
            ("join", Some(_), None) if *signs => *signs = false,
            ("join", separator, None) => {
                let separator = separator.unwrap_or_else(|| ",".to_owned());
                if !self.afford(separator.len().saturating_mul(list.len())) {
                    return None;
                }
                *list = vec![list.join(&separator)];
            }
            ("split", Some(separator), None) => {
                let text = list.concat();
                *signs = separator.is_empty();
                let count =
                    memchr::memmem::find_iter(text.as_bytes(), separator.as_bytes()).count();
                *list = if *signs {
                    vec![text]
                } else if self.afford(count.saturating_mul(PIECE_BYTES)) {
                    text.split(&separator).map(str::to_owned).collect()
                } else {
                    return None;
                };
            }
            ("replace" | "replaceAll", Some(from), Some(to)) if !from.is_empty() => {
                let text = list.concat();
                let count = memchr::memmem::find_iter(text.as_bytes(), from.as_bytes()).count();
                if !self.afford(count.saturating_mul(to.len())) {
                    return None;
                }
                *list = vec![text.replace(&from, &to)];
            }
            ("concat", Some(piece), other) => {
                list.push(piece);
                list.extend(other);
            }
            ("toString" | "trim" | "slice", None, None) => {}
            _ => return None,
        }
        Some(())
    }
}

/// A pattern that stands for itself, or a class of one sign.
fn plain_pattern(pattern: &str) -> Option<String> {
    const PATTERN_BYTES_MAX: usize = 20;
    let class = pattern.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
    let plain = class.unwrap_or(pattern).replace('\\', "");
    let is_meta = |sign: char| "[](){}*+?|^$.".contains(sign);
    let is_plain = plain.len() == pattern.len() && !plain.contains(is_meta);
    let is_one_sign = plain.chars().count() == 1 && pattern != "." && pattern.len() <= 4;
    (plain.len() <= PATTERN_BYTES_MAX && (is_plain || is_one_sign)).then_some(plain)
}

/// `%41` and `%u0041`.
pub(super) fn unescape(text: &str) -> String {
    if memchr::memmem::find(text.as_bytes(), b"%u").is_none() {
        let mut octets = Vec::with_capacity(text.len());
        field::percent_decode(text.as_bytes(), &mut octets);
        return match String::from_utf8(octets) {
            Ok(text) => text,
            Err(octets) => octets.as_bytes().iter().map(|octet| char::from(*octet)).collect(),
        };
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'%', rest.as_bytes()) {
        let (before, tail) = rest.split_at(at);
        out.push_str(before);
        let code = |start: usize, end: usize| {
            tail.get(start..end).and_then(|digits| u32::from_str_radix(digits, 16).ok())
        };
        let wide = tail.get(1..2) == Some("u");
        let (value, length) = if wide { (code(2, 6), 6) } else { (code(1, 3), 3) };
        match value.and_then(char::from_u32) {
            Some(sign) => {
                out.push(sign);
                rest = tail.get(length..).unwrap_or_default();
            }
            None => {
                out.push('%');
                rest = tail.get(1..).unwrap_or_default();
            }
        }
    }
    out.push_str(rest);
    out
}

/// True for what looks like the name of a file.
pub(super) fn is_file_name(text: &str) -> bool {
    let text = text.trim();
    let Some((stem, ending)) = text.rsplit_once('.') else { return false };
    !stem.is_empty()
        && text.len() <= 200
        && (1..=10).contains(&ending.len())
        && ending.bytes().all(|octet| octet.is_ascii_alphanumeric())
        && !text.contains(|sign: char| sign.is_control() || matches!(sign, '/' | '<' | '>' | '"'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn constants_are_put_together() {
        for (script, want) in [
            ("x('abcdefghij' + \"klm\")", "abcdefghijklm"),
            ("var a='abcdefgh'; var b = \"ijkl\"; f(a+b)", "abcdefghijkl"),
            ("a='abcdefgh'; a += 'ijkl';\na+='mn'", "abcdefghijklmn"),
            ("f(['abcdef','ghij','kl'].join(''))", "abcdefghijkl"),
            ("var p=['abcdef','ghij','kl',]; f(p)", "abcdefghijkl"),
            ("f('lkjihgfedcba'.split('').reverse().join(''))", "abcdefghijkl"),
            ("f(['ijkl','abcdefgh'].reverse().join(''))", "abcdefghijkl"),
            ("f('abc@def@ghijkl'.replace(/@/g,''))", "abcdefghijkl"),
            ("f('abc--def--ghijkl'.split('--').join(''))", "abcdefghijkl"),
            ("String.fromCharCode(97,98,99,100,101,102,0x67,104,105,106)", "abcdefghij"),
            ("new Uint8Array([97,98,99,100,101,102,103,104,105,106])", "abcdefghij"),
            ("eval(atob('YWJjZGVmZ2hpamts'))", "abcdefghijkl"),
            ("a='YWJjZGVmZ2hpamts';eval(atob(a))", "abcdefghijkl"),
            ("document.write(unescape('%61bcdefg%u0068ijkl'))", "abcdefghijkl"),
            ("f(('abcdefgh') + `ijkl`)", "abcdefghijkl"),
        ] {
            let found = read(script, false);
            assert!(found.values.iter().any(|value| value == want), "{script}: {found:?}");
        }
        let basic = read("x = \"abcdefgh\" & \"ijkl\" ' comment \"", true);
        assert_eq!(basic.values, ["abcdefghijkl"]);
    }

    #[test]
    fn names_of_saved_files_are_known() {
        for script in [
            "a.download = \"in voice.zip\"",
            "var n='in voice.zip'; a.download=n;",
            "a.setAttribute('download', 'in voice.zip')",
            "window.navigator.msSaveOrOpenBlob(blob, 'in voice.zip')",
            "saveAs(new Blob([x], {type: 'octet/stream'}), 'in voice.zip')",
            "var f = new File([b], 'in voice.zip', {type:'a/b'})",
            "x={download:'in voice.zip'}",
        ] {
            assert_eq!(read(script, false).names, ["in voice.zip"], "{script}");
        }
        assert!(read("a='x.zip'; b(a)", false).names.is_empty());
    }

    #[test]
    fn variables_that_double_end() {
        let script = format!("a='{}';{}", "x".repeat(1000), "a=a+a;".repeat(60));
        let made: usize = read(&script, false).values.iter().map(String::len).sum();
        assert!(made < 10 << 20, "{made}");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fail(
            script in "(a|b|=|\\+=|\\+|'x'|'%u0041'|\\[|\\]|\\(|\\)|,|\\.join|\\.split|\\.reverse\\(\\)|String|\\.fromCharCode|atob|7|'|\n){0,60}",
        ) {
            read(&script, false);
            read(&script, true);
        }
    }
}
