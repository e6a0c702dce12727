//! Perl's pattern syntax to that of the `regex` crate.
//!
//! The result is meant for octets with Unicode switched off, as SpamAssassin matches. Where both dialects accept the
//! same text but mean different things, it is rewritten: `$` also matches before a last line end, `\<` is a plain `<`,
//! `[` and `&&` inside a class are plain, `\v` and `\h` are classes, a `{` that counts nothing is plain.

mod class;
mod group;

/// Why a pattern cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::filters::spam) enum Refusal {
    /// Perl can do it; a matcher of linear time cannot, or not yet.
    NotBuilt(&'static str),
    /// It is no pattern at all.
    Wrong(String),
}

const LOOK_AROUND: Refusal = Refusal::NotBuilt("needs look-around");
const BACK_REFERENCE: Refusal = Refusal::NotBuilt("needs back-references");

/// Translates a pattern with the flags that stood behind it.
///
/// # Errors
/// See [`Refusal`].
pub(in crate::filters::spam) fn translate(pattern: &[u8], flags: &str) -> Result<String, Refusal> {
    let mut out = String::with_capacity(pattern.len() + 16);
    let kept: String = flags.chars().filter(|flag| "ims".contains(*flag)).collect();
    if !kept.is_empty() {
        out.push_str("(?");
        out.push_str(&kept);
        out.push(')');
    }
    let modes = Modes { extended: flags.contains('x'), multiline: flags.contains('m') };
    let mut translator =
        Translator { pattern, at: 0, out, modes: vec![modes], countable: false, possessive: false };
    translator.run()?;
    Ok(translator.out)
}

/// The modes that change how the pattern is read; those that only change how it matches are handed on.
#[derive(Clone, Copy)]
struct Modes {
    extended: bool,
    multiline: bool,
}

struct Translator<'p> {
    pattern: &'p [u8],
    at: usize,
    out: String,
    /// One entry a group that is open, the whole pattern first.
    modes: Vec<Modes>,
    /// True if a quantifier may follow.
    countable: bool,
    /// True once a possessive quantifier was seen. It never gives back what it took, so it equals a greedy one only if
    /// nothing follows that could want it back.
    possessive: bool,
}

impl Translator<'_> {
    fn peek(&self) -> Option<u8> {
        self.pattern.get(self.at).copied()
    }

    fn ahead(&self, by: usize) -> Option<u8> {
        self.pattern.get(self.at.saturating_add(by)).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let octet = self.peek()?;
        self.at += 1;
        Some(octet)
    }

    fn rest(&self) -> &[u8] {
        self.pattern.get(self.at..).unwrap_or_default()
    }

    fn current(&self) -> Modes {
        self.modes.last().copied().unwrap_or(Modes { extended: false, multiline: false })
    }

    fn run(&mut self) -> Result<(), Refusal> {
        while let Some(octet) = self.next() {
            let modes = self.current();
            if modes.extended {
                if octet.is_ascii_whitespace() {
                    continue;
                }
                if octet == b'#' {
                    while self.next().is_some_and(|octet| octet != b'\n') {}
                    continue;
                }
            }
            if self.possessive && !matches!(octet, b')' | b'|') {
                return Err(Refusal::NotBuilt("needs a possessive quantifier"));
            }
            match octet {
                b'\\' => self.escape()?,
                b'[' => self.class()?,
                b'(' => self.open_group()?,
                b')' => self.close_group()?,
                b'|' | b'^' => {
                    self.out.push(char::from(octet));
                    self.countable = false;
                }
                b'$' => {
                    self.out.push_str(if modes.multiline { "$" } else { r"(?:\n?\z)" });
                    self.countable = false;
                }
                b'.' => {
                    self.out.push('.');
                    self.countable = true;
                }
                b'*' | b'+' | b'?' => self.quantifier(char::from(octet).to_string())?,
                b'{' => self.brace()?,
                _ => self.octet(u32::from(octet)),
            }
        }
        if self.modes.len() == 1 { Ok(()) } else { Err(wrong("a group is not closed")) }
    }

    /// Writes one octet as itself; code points beyond an octet never match.
    fn octet(&mut self, value: u32) {
        push_octet(&mut self.out, value);
        self.countable = true;
    }

    fn set(&mut self, set: &str) {
        self.out.push_str(set);
        self.countable = true;
    }

    fn escape(&mut self) -> Result<(), Refusal> {
        let Some(letter) = self.next() else { return Err(wrong("it ends in a backslash")) };
        if let Some(value) = self.escaped_octet(letter)? {
            self.octet(value);
            return Ok(());
        }
        match letter {
            b'd' | b'D' | b'w' | b'W' | b's' | b'S' => {
                self.set(&format!("\\{}", char::from(letter)))
            }
            b'A' | b'z' | b'b' | b'B' => {
                self.out.push('\\');
                self.out.push(char::from(letter));
                self.countable = false;
            }
            b'Z' => self.set(r"(?:\n?\z)"),
            b'h' => self.set(r"[ \t]"),
            b'H' => self.set(r"[^ \t]"),
            b'v' => self.set(r"[\n\x0B\x0C\r]"),
            b'V' => self.set(r"[^\n\x0B\x0C\r]"),
            b'N' => self.set(r"[^\n]"),
            b'R' => self.set(r"(?:\r\n|[\n\x0B\x0C\r])"),
            b'1'..=b'3' if self.octal_digits_follow() => {
                let value = self.octal(u32::from(letter - b'0'), 2);
                self.octet(value);
            }
            b'1'..=b'9' | b'g' | b'k' => return Err(BACK_REFERENCE),
            b'G' | b'K' => return Err(Refusal::NotBuilt(r"needs \G or \K")),
            b'p' | b'P' | b'X' => return Err(Refusal::NotBuilt("needs Unicode properties")),
            b'Q' => self.quoted(),
            b'E' => {}
            _ => self.octet(u32::from(letter)),
        }
        Ok(())
    }

    /// `\Q…\E`: everything in it is plain.
    fn quoted(&mut self) {
        while !self.rest().starts_with(b"\\E") {
            let Some(octet) = self.next() else { return };
            self.octet(u32::from(octet));
        }
        self.at += 2;
    }

    /// Escapes that mean one character, inside and outside of classes alike.
    fn escaped_octet(&mut self, letter: u8) -> Result<Option<u32>, Refusal> {
        Ok(Some(match letter {
            b'n' => 10,
            b'r' => 13,
            b't' => 9,
            b'f' => 12,
            b'a' => 7,
            b'e' => 27,
            b'x' => self.hexadecimal()?,
            b'0' => self.octal(0, 2),
            b'c' => u32::from(self.next().unwrap_or(b'@').to_ascii_uppercase() ^ 64),
            _ => return Ok(None),
        }))
    }

    fn hexadecimal(&mut self) -> Result<u32, Refusal> {
        if self.peek() == Some(b'{') {
            let rest = self.rest();
            let Some(end) = memchr::memchr(b'}', rest) else {
                return Err(wrong(r"\x{ is not closed"));
            };
            let digits = String::from_utf8_lossy(rest.get(1..end).unwrap_or_default()).into_owned();
            self.at += end + 1;
            return u32::from_str_radix(digits.trim(), 16)
                .map_err(|_| wrong(r"\x{} holds no number"));
        }
        let mut value = 0;
        for _ in 0..2 {
            let Some(digit) = self.peek().and_then(|octet| char::from(octet).to_digit(16)) else {
                break;
            };
            value = value * 16 + digit;
            self.at += 1;
        }
        Ok(value)
    }

    /// Three octal digits are a character, fewer ones a group.
    fn octal_digits_follow(&self) -> bool {
        let digit = |octet: Option<u8>| octet.is_some_and(|octet| (b'0'..=b'7').contains(&octet));
        digit(self.peek()) && digit(self.ahead(1))
    }

    fn octal(&mut self, first: u32, more: usize) -> u32 {
        let mut value = first;
        for _ in 0..more {
            let Some(digit) = self.peek().and_then(|octet| char::from(octet).to_digit(8)) else {
                break;
            };
            value = value * 8 + digit;
            self.at += 1;
        }
        value
    }

    /// `{3}`, `{3,}`, `{,3}`; any other `{` is plain.
    fn brace(&mut self) -> Result<(), Refusal> {
        let rest = self.rest();
        let end = memchr::memchr(b'}', rest).unwrap_or(0);
        let body: String =
            rest.get(..end).unwrap_or_default().iter().map(|octet| char::from(*octet)).collect();
        let body = body.replace(' ', "");
        let (low, high) = body.split_once(',').unwrap_or((&body, &body));
        let digits = |text: &str| text.bytes().all(|octet| octet.is_ascii_digit());
        if !self.countable || !digits(low) || !digits(high) || (low.is_empty() && high.is_empty()) {
            self.octet(u32::from(b'{'));
            return Ok(());
        }
        self.at += end + 1;
        let zero = if low.is_empty() { "0" } else { "" };
        self.quantifier(format!("{{{zero}{body}}}"))
    }

    fn quantifier(&mut self, text: String) -> Result<(), Refusal> {
        if !self.countable {
            return Err(wrong("a quantifier follows nothing"));
        }
        self.out.push_str(&text);
        match self.peek() {
            Some(b'?') => {
                self.at += 1;
                self.out.push('?');
            }
            Some(b'+') => {
                self.at += 1;
                self.possessive = true;
            }
            _ => {}
        }
        self.countable = false;
        Ok(())
    }
}

fn wrong(what: &str) -> Refusal {
    Refusal::Wrong(what.to_owned())
}

fn push_octet(out: &mut String, value: u32) {
    match u8::try_from(value) {
        Ok(octet) if octet.is_ascii_alphanumeric() || octet == b'_' => out.push(char::from(octet)),
        Ok(octet) => out.push_str(&format!("\\x{octet:02X}")),
        Err(_) => out.push_str(r"[^\x00-\xFF]"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, flags: &str, text: &[u8]) -> bool {
        let translated = translate(pattern.as_bytes(), flags).unwrap();
        let regex = regex::bytes::RegexBuilder::new(&translated).unicode(false).build();
        regex.unwrap().is_match(text)
    }

    #[test]
    fn perl_patterns_keep_their_meaning() {
        let cases: &[(&str, &str, &[u8], bool)] = &[
            ("^abc$", "", b"abc\n", true),
            ("^abc$", "", b"abc\nd", false),
            ("^abc$", "m", b"x\nabc\nd", true),
            (r"abc\z", "", b"abc\n", false),
            (r"abc\Z", "", b"abc\n", true),
            (r"\<b\>", "", b"a<b>c", true),
            ("[[]x[&&]", "", b"[x&", true),
            (r"^\x{41}\x42\103$", "", b"ABC", true),
            (r"[\101]", "", b"A", true),
            (r"\x{20ac}", "", "€".as_bytes(), false),
            (r"[\x{20ac}]", "", "€".as_bytes(), false),
            (r"a\vb", "", b"a\nb", true),
            ("a{,2}b{x", "", b"aab{x", true),
            ("a b # c", "x", b"ab", true),
            ("[a b]c", "x", b" c", true),
            (r"\Qa.b\E.", "", b"a.bc", true),
            (r"\Qa.b\E.", "", b"axbc", false),
            ("(?i:FREE) money", "", b"free money", true),
            ("(?i)FREE money", "", b"free MONEY", true),
            (r"[\w.-]+@", "", b"a-b.c@", true),
            ("a++", "", b"aa", true),
            ("(?<name>a)b", "", b"ab", true),
            ("\u{e9}", "i", "é".as_bytes(), true),
            ("a(?#note)b", "", b"ab", true),
            (r"\/x\/", "", b"/x/", true),
        ];
        for (pattern, flags, text, want) in cases {
            let got = matches(pattern, flags, text);
            assert_eq!(got, *want, "{pattern}");
        }
    }

    #[test]
    fn what_is_not_linear_is_refused_by_name() {
        for (pattern, why) in [
            ("a(?=b)", "needs look-around"),
            ("(?<!a)b", "needs look-around"),
            (r"(a)\1", "needs back-references"),
            ("a++b", "needs a possessive quantifier"),
            ("(?>a)b", "needs an atomic group"),
        ] {
            let got = translate(pattern.as_bytes(), "");
            assert!(
                matches!(got, Err(Refusal::NotBuilt(text)) if text == why),
                "{pattern}: {got:?}"
            );
        }
    }

    #[test]
    fn broken_patterns_are_wrong() {
        for pattern in ["(a", "a)", "[a", "*a", r"a\", "(?y)", "[z-a]"] {
            let got = translate(pattern.as_bytes(), "");
            assert!(matches!(got, Err(Refusal::Wrong(_))), "{pattern}: {got:?}");
        }
    }

    proptest! {
        #[test]
        fn any_octets_are_translated_or_refused(
            pattern in proptest::collection::vec(any::<u8>(), 0..60), flags in "[imsx]{0,2}"
        ) {
            let _ = translate(&pattern, &flags);
        }

        #[test]
        fn quoted_text_matches_itself(text in "[ -~]{1,30}") {
            prop_assume!(!text.contains("\\E"));
            let pattern = format!("^\\Q{text}\\E$");
            prop_assert!(matches(&pattern, "", text.as_bytes()));
        }
    }
}
