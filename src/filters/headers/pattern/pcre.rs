//! PCRE syntax to that of the regex crate.

use std::fmt::Write as _;

use super::Remark;
use super::class::{OctetSet, shorthand};

/// Rewrites a pattern. `extended`: blanks and comments are ignored from the start (flag `x`).
pub(super) fn rewrite(text: &[u8], extended: bool) -> Result<(String, Vec<Remark>), Remark> {
    let mut rewriter = Rewriter {
        text,
        at: 0,
        out: String::with_capacity(text.len() * 2),
        remarks: Vec::new(),
        extended: vec![extended],
        after_quantifier: false,
    };
    while let Some(octet) = rewriter.next() {
        rewriter.item(octet)?;
    }
    Ok((rewriter.out, rewriter.remarks))
}

pub(super) struct Rewriter<'t> {
    pub(super) text: &'t [u8],
    pub(super) at: usize,
    pub(super) out: String,
    pub(super) remarks: Vec<Remark>,
    /// Whether blanks are ignored, for each open group; the last is the current one.
    extended: Vec<bool>,
    after_quantifier: bool,
}

impl<'t> Rewriter<'t> {
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    pub(super) fn next(&mut self) -> Option<u8> {
        let octet = self.peek()?;
        self.at += 1;
        Some(octet)
    }

    pub(super) fn rest(&self) -> &'t [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub(super) fn take(&mut self, head: &[u8]) -> bool {
        let found = self.rest().starts_with(head);
        if found {
            self.at += head.len();
        }
        found
    }

    fn literal(&mut self, octet: u8) {
        push_literal(&mut self.out, octet);
    }

    fn item(&mut self, octet: u8) -> Result<(), Remark> {
        let after_quantifier = std::mem::take(&mut self.after_quantifier);
        match octet {
            b'\\' => self.escape()?,
            b'[' => self.brackets()?,
            b'(' => self.open()?,
            b')' => {
                if self.extended.len() > 1 {
                    self.extended.pop();
                }
                self.out.push(')');
            }
            b'*' | b'?' | b'+' if !after_quantifier => {
                self.out.push(char::from(octet));
                self.after_quantifier = true;
            }
            b'?' => self.out.push('?'),
            b'+' if after_quantifier => self.remarks.push(Remark::new(
                self.at - 1,
                "a possessive quantifier is read as a plain one",
                "leave out the second '+'",
            )),
            b'{' => self.brace(),
            b'^' | b'$' | b'.' | b'|' | b'*' | b'+' => self.out.push(char::from(octet)),
            b'#' if self.is_extended() => while self.next().is_some_and(|octet| octet != b'\n') {},
            blank if self.is_extended() && (blank == b' ' || blank.is_ascii_control()) => {
                self.after_quantifier = after_quantifier;
            }
            other => self.literal(other),
        }
        Ok(())
    }

    fn is_extended(&self) -> bool {
        self.extended.last().copied().unwrap_or(false)
    }

    /// `{2,3}`, or a brace that stands for itself.
    fn brace(&mut self) {
        let length = self.rest().iter().position(|octet| *octet == b'}');
        let inner = length.and_then(|length| self.rest().get(..length)).unwrap_or_default();
        let mut numbers = inner.splitn(2, |octet| *octet == b',');
        let low = numbers.next().unwrap_or_default();
        let high = numbers.next().unwrap_or_default();
        let digits = |text: &[u8]| text.iter().all(u8::is_ascii_digit);
        if low.is_empty() || !digits(low) || !digits(high) {
            self.literal(b'{');
            return;
        }
        let _ = write!(self.out, "{{{}}}", String::from_utf8_lossy(inner));
        self.at += inner.len() + 1;
        self.after_quantifier = true;
    }

    /// Behind `(`.
    fn open(&mut self) -> Result<(), Remark> {
        let at = self.at - 1;
        let extended = self.is_extended();
        if self.peek() == Some(b'*')
            && self.text.get(self.at + 1).is_some_and(u8::is_ascii_alphabetic)
        {
            return Err(Remark::new(at, "verbs such as (*SKIP) need backtracking", "leave it out"));
        }
        if !self.take(b"?") {
            self.out.push('(');
            self.extended.push(extended);
            return Ok(());
        }
        if self.take(b"#") {
            while self.next().is_some_and(|octet| octet != b')') {}
            return Ok(());
        }
        if let Some(remark) = unsupported(at, self.rest()) {
            return Err(remark);
        }
        if self.take(b">") {
            self.remarks.push(Remark::new(
                at,
                "an atomic group is read as a plain one",
                "write (?:…) instead of (?>…)",
            ));
            self.out.push_str("(?:");
        } else if self.take(b"P<") || self.take(b"<") || self.take(b"'") {
            // Postfix knows groups by number only.
            while self.next().is_some_and(|octet| octet != b'>' && octet != b'\'') {}
            self.out.push('(');
        } else {
            return self.inline_flags(at);
        }
        self.extended.push(extended);
        Ok(())
    }

    /// `(?i)`, `(?i-s:`, `(?:`; the position is behind `(?`.
    fn inline_flags(&mut self, at: usize) -> Result<(), Remark> {
        let mut extended = self.is_extended();
        let mut on = String::new();
        let mut off = String::new();
        let mut negative = false;
        loop {
            match self.next() {
                Some(b'-') => negative = true,
                Some(b'x') => extended = !negative,
                Some(b'J') => {}
                Some(flag @ (b'i' | b'm' | b's' | b'U')) => {
                    if negative { &mut off } else { &mut on }.push(char::from(flag));
                }
                Some(end @ (b':' | b')')) => {
                    let dash = if off.is_empty() { "" } else { "-" };
                    if end == b':' {
                        let _ = write!(self.out, "(?{on}{dash}{off}:");
                        self.extended.push(extended);
                    } else {
                        if !(on.is_empty() && off.is_empty()) {
                            let _ = write!(self.out, "(?{on}{dash}{off})");
                        }
                        if let Some(current) = self.extended.last_mut() {
                            *current = extended;
                        }
                    }
                    return Ok(());
                }
                _ => return Err(Remark::new(at, "this kind of group is not known", "")),
            }
        }
    }

    /// Behind a backslash outside of brackets.
    fn escape(&mut self) -> Result<(), Remark> {
        let at = self.at - 1;
        let Some(octet) = self.next() else {
            return Err(Remark::new(
                at,
                "the pattern ends in a backslash",
                "write \\\\ for a backslash",
            ));
        };
        match octet {
            b'b' | b'B' | b'A' | b'z' => {
                self.out.push('\\');
                self.out.push(char::from(octet));
            }
            b'Z' => self.out.push_str(r"\z"),
            // It moves the start of $0 only, which tables cannot name.
            b'K' => {}
            b'R' => self.out.push_str(r"(?:\r\n|[\n-\r\x85])"),
            b'N' => self.out.push_str(r"[^\n]"),
            b'C' => self.out.push_str(r"(?s:.)"),
            b'Q' => {
                while !self.take(br"\E") {
                    let Some(quoted) = self.next() else { break };
                    self.literal(quoted);
                }
            }
            b'E' => {}
            b'1'..=b'9' if !self.is_octal(octet) => return Err(back_reference(at)),
            b'g' | b'k'
                if matches!(self.peek(), Some(b'{' | b'<' | b'\'' | b'-' | b'0'..=b'9')) =>
            {
                return Err(back_reference(at));
            }
            b'G' | b'X' | b'p' | b'P' => {
                return Err(Remark::new(
                    at,
                    format!("\\{} is not known here", char::from(octet)),
                    "patterns match octets: use brackets such as [[:alpha:]]",
                ));
            }
            letter => {
                if let Some((holds, negated)) = shorthand(letter) {
                    let mut set = OctetSet::new();
                    set.add_where(negated, holds);
                    set.write(&mut self.out);
                } else {
                    let octet = self.escaped_octet(letter)?;
                    self.literal(octet);
                }
            }
        }
        Ok(())
    }

    /// `\10` and above are octal numbers where the digits allow it and there are not so many groups.
    fn is_octal(&self, first: u8) -> bool {
        first <= b'7'
            && self.rest().iter().take(2).all(|octet| (b'0'..=b'7').contains(octet))
            && self.rest().len() >= 2
    }

    /// The octet that an escape stands for, inside or outside of brackets; the letter is already taken.
    pub(super) fn escaped_octet(&mut self, letter: u8) -> Result<u8, Remark> {
        let at = self.at - 2;
        Ok(match letter {
            b'a' => 0x07,
            b'e' => 0x1b,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'0'..=b'7' => self.number(at, &[letter], 8, 3)?,
            b'x' if self.take(b"{") => {
                let octet = self.number(at, b"", 16, 8)?;
                if !self.take(b"}") {
                    return Err(Remark::new(at, "the closing brace is missing", "write \\x{41}"));
                }
                octet
            }
            b'x' => self.number(at, b"", 16, 2)?,
            b'c' => match self.next() {
                Some(octet) => octet.to_ascii_uppercase() ^ 0x40,
                None => return Err(Remark::new(at, "\\c needs a character", "")),
            },
            letter if letter.is_ascii_alphanumeric() => {
                self.remarks.push(Remark::new(
                    at,
                    format!("\\{0} is read as the letter {0}", char::from(letter)),
                    "leave out the backslash; newer Postfix refuses it",
                ));
                letter
            }
            other => other,
        })
    }

    /// A number of at most `digits_max` digits, some of which may be known already.
    fn number(
        &mut self,
        at: usize,
        known: &[u8],
        radix: u32,
        digits_max: usize,
    ) -> Result<u8, Remark> {
        let mut value = 0u32;
        for digit in known {
            value = value * radix + char::from(*digit).to_digit(radix).unwrap_or(0);
        }
        for _ in known.len()..digits_max {
            let Some(digit) = self.peek().and_then(|octet| char::from(octet).to_digit(radix))
            else {
                break;
            };
            self.at += 1;
            value = value.saturating_mul(radix).saturating_add(digit);
        }
        u8::try_from(value).map_err(|_| {
            Remark::new(
                at,
                "patterns match octets: the number is over 255",
                "write the octets of UTF-8",
            )
        })
    }
}

pub(super) fn push_literal(out: &mut String, octet: u8) {
    if octet.is_ascii_alphanumeric() {
        out.push(char::from(octet));
    } else {
        let _ = write!(out, r"\x{octet:02X}");
    }
}

pub(super) fn no_closing_bracket(at: usize) -> Remark {
    Remark::new(at, "the closing ']' is missing", "write \\[ for a bracket that stands for itself")
}

pub(super) fn back_reference(at: usize) -> Remark {
    Remark::new(at, "back-references need backtracking", "write out what the group may be")
}

/// The name in `:name:]` and the octets up to its end.
pub(super) fn posix_name(rest: &[u8]) -> Option<(&[u8], usize)> {
    let inner = rest.strip_prefix(b":")?;
    let length =
        inner.iter().take_while(|octet| octet.is_ascii_alphabetic() || **octet == b'^').count();
    inner.get(length..)?.starts_with(b":]").then_some((inner.get(..length)?, length + 3))
}

/// Groups that only a backtracking matcher can do; `rest` stands behind `(?`.
fn unsupported(at: usize, rest: &[u8]) -> Option<Remark> {
    let nested = "put the rule between 'if /…/' and 'endif', with what must also be there";
    let negative = "put the rule between 'if !/…/' and 'endif', with what must not be there";
    let (what, hint) = match rest {
        [b'=', ..] => ("look-ahead needs backtracking", nested),
        [b'!', ..] => ("look-ahead needs backtracking", negative),
        [b'<', b'=', ..] => ("look-behind needs backtracking", nested),
        [b'<', b'!', ..] => ("look-behind needs backtracking", negative),
        [b'|', ..] => ("branch reset is not known", "use plain groups"),
        [b'R' | b'&' | b'+' | b'0'..=b'9', ..] | [b'-', b'0'..=b'9', ..] => {
            ("recursion needs backtracking", "write the pattern out")
        }
        [b'P', b'=' | b'>', ..] => {
            ("back-references need backtracking", "write out what the group may be")
        }
        [b'(', ..] => ("conditions need backtracking", "write two rules"),
        _ => return None,
    };
    Some(Remark::new(at, what, hint))
}

#[cfg(test)]
mod tests {
    use super::super::tests::matches;
    use super::super::{Flags, Pattern, Syntax};

    fn check(pattern: &str, line: &str, want: bool) {
        assert_eq!(matches(Syntax::Pcre, pattern, "", line), want, "{pattern} on {line:?}");
    }

    #[test]
    fn escapes_mean_what_they_mean_in_perl() {
        for (pattern, line) in [
            (r"^\Qa.b\E$", "a.b"),
            (r"^\x41\x{42}\103$", "ABC"),
            (r"^\h\H$", "\tx"),
            (r"^a\Rb$", "a\nb"),
            (r"^\w\W\d\D\s\S$", "a-1x y"),
            (r"\Aa\Z", "a"),
            (r"^a\/b\<c\_$", "a/b<c_"),
            (r"^\cA$", "\x01"),
        ] {
            check(pattern, line, true);
        }
        check(r"^\Qa.b\E$", "axb", false);
        check(r"^\N$", "\n", false);
    }

    #[test]
    fn sets_hold_single_octets_and_classes() {
        for set in [r"[]a]", r"[a\]]", r"[[:punct:]]", r"[^a]", r"[!-~]", r"[\W]", r"[\x5d]"] {
            check(&format!("^{set}$"), "]", true);
        }
        check("^[[a]$", "[", true);
        check("^[a&&b]$", "&", true);
        check("^[a~~b]$", "~", true);
        check(r"^[\w.-]+$", "a.b-c", true);
        check("^[[:^digit:]]$", "1", false);
        check("^[é]+$", "é", true);
        check("[[:<:]]b", "a b", true);
    }

    #[test]
    fn groups_flags_and_braces_are_read() {
        check("^(?i-s:a.)(?#note)b$", "AxB", true);
        check("^(?x) a b (?-x) c$", "ab c", true);
        check("^((?x) a ) b$", "a b", true);
        check("^(?<n>a)(?P<m>b)(?:c)$", "abc", true);
        check("^a{,2}$", "a{,2}", true);
        check("^a{2}b{1,}{$", "aab{", true);
        check("^(?>a+)b++$", "aabb", true);
    }

    #[test]
    fn mistakes_in_patterns_are_refused() {
        for pattern in [
            r"a\",
            "[a",
            "[b-a]",
            "[[:alhpa:]]",
            r"\x{100}",
            r"\p{L}",
            r"\k{a}",
            "(?|a)",
            "(*SKIP)",
            "(",
            "a)",
            "*",
        ] {
            let flags = Flags::new(Syntax::Pcre);
            assert!(
                Pattern::compile(pattern.as_bytes(), Syntax::Pcre, flags, false).is_err(),
                "{pattern}"
            );
        }
    }
}
