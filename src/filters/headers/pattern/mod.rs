//! Patterns of Postfix tables, compiled to automata that run in linear time.
//!
//! PCRE and POSIX syntax are rewritten octet by octet into the syntax of the regex crate: literals and sets are
//! written as escapes, so that nothing in a pattern can mean something else there. What needs backtracking
//! (look-around, back-references) is refused with a hint what to write instead.

mod brackets;
mod class;
mod pcre;
mod posix;

use regex::bytes::{Captures, Regex, RegexBuilder};

/// Octets of one compiled pattern; an admin's pattern that needs more is a mistake.
const COMPILED_BYTES_MAX: usize = 4 << 20;
/// Octets of the lazily built automaton of one pattern, for each thread that uses it.
const AUTOMATON_BYTES_MAX: usize = 256 << 10;

/// Whose rules a table follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Syntax {
    /// pcre_table(5).
    Pcre,
    /// regexp_table(5).
    Regexp,
}

/// The flags behind a pattern, already toggled against their defaults.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flags {
    pub ignore_case: bool,
    pub multi_line: bool,
    pub dot_all: bool,
    /// PCRE: blanks are ignored. POSIX: extended syntax.
    pub extended: bool,
    pub anchored: bool,
    pub ungreedy: bool,
}

impl Flags {
    /// What holds if no flag is written.
    pub fn new(syntax: Syntax) -> Self {
        Self {
            ignore_case: true,
            multi_line: false,
            dot_all: true,
            extended: syntax == Syntax::Regexp,
            anchored: false,
            ungreedy: false,
        }
    }

    /// Toggles the flag of that letter; `false` if the syntax has no such flag.
    pub fn toggle(&mut self, syntax: Syntax, letter: u8) -> bool {
        let pcre = syntax == Syntax::Pcre;
        let flag = match letter {
            b'i' => &mut self.ignore_case,
            b'm' => &mut self.multi_line,
            b'x' => &mut self.extended,
            b's' if pcre => &mut self.dot_all,
            b'A' if pcre => &mut self.anchored,
            b'U' if pcre => &mut self.ungreedy,
            // DOLLAR_ENDONLY: what is looked at never ends in a newline. EXTRA: PCRE2 has it no more.
            b'E' | b'X' if pcre => return true,
            _ => return false,
        };
        *flag = !*flag;
        true
    }
}

/// What is wrong with, or odd about, a pattern.
#[derive(Debug)]
pub(super) struct Remark {
    /// Offset in the pattern.
    pub at: usize,
    pub what: String,
    pub hint: &'static str,
}

impl Remark {
    fn new(at: usize, what: impl Into<String>, hint: &'static str) -> Self {
        Self { at, what: what.into(), hint }
    }
}

/// A compiled pattern.
pub(super) struct Pattern {
    regex: Regex,
    negated: bool,
    /// What every match begins with, for a first glance that costs nothing.
    prefix: Vec<u8>,
    ignore_case: bool,
}

impl Pattern {
    /// Compiles; the second value holds what is odd but can be used.
    pub fn compile(
        text: &[u8],
        syntax: Syntax,
        flags: Flags,
        negated: bool,
    ) -> Result<(Self, Vec<Remark>), Remark> {
        let (mut regex, remarks) = match syntax {
            Syntax::Pcre => pcre::rewrite(text, flags.extended)?,
            Syntax::Regexp => posix::rewrite(text, flags)?,
        };
        if flags.anchored {
            regex = format!(r"\A(?:{regex})");
        }
        let regex = RegexBuilder::new(&regex)
            .unicode(false)
            .case_insensitive(flags.ignore_case)
            .multi_line(flags.multi_line)
            .dot_matches_new_line(flags.dot_all && !(syntax == Syntax::Regexp && flags.multi_line))
            .swap_greed(flags.ungreedy)
            .size_limit(COMPILED_BYTES_MAX)
            .dfa_size_limit(AUTOMATON_BYTES_MAX)
            .build()
            .map_err(|error| refused(&error))?;
        let prefix = if flags.multi_line || flags.extended && syntax == Syntax::Pcre {
            Vec::new()
        } else {
            literal_prefix(text)
        };
        Ok((Self { regex, negated, prefix, ignore_case: flags.ignore_case }, remarks))
    }

    /// The number of groups.
    pub fn groups(&self) -> usize {
        self.regex.captures_len().saturating_sub(1)
    }

    /// True for `!/…/`.
    pub fn negated(&self) -> bool {
        self.negated
    }

    /// Whether a line fits, `!` considered.
    pub fn fits(&self, line: &[u8]) -> bool {
        (self.may_match(line) && self.regex.is_match(line)) != self.negated
    }

    /// The groups, if the pattern itself matches.
    pub fn captures<'l>(&self, line: &'l [u8]) -> Option<Captures<'l>> {
        if self.may_match(line) { self.regex.captures(line) } else { None }
    }

    fn may_match(&self, line: &[u8]) -> bool {
        match line.get(..self.prefix.len()) {
            Some(head) if self.ignore_case => head.eq_ignore_ascii_case(&self.prefix),
            Some(head) => head == self.prefix,
            None => false,
        }
    }
}

/// The error of the regex crate in one line.
fn refused(error: &regex::Error) -> Remark {
    if let regex::Error::CompiledTooBig(_) = error {
        return Remark::new(0, "the pattern is too large", "use smaller repetition counts");
    }
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default().trim();
    let last = last.strip_prefix("error: ").unwrap_or(last);
    Remark::new(0, format!("the pattern cannot be read: {last}"), "")
}

/// The plain characters behind a leading `^`, as far as every match must begin with them.
fn literal_prefix(pattern: &[u8]) -> Vec<u8> {
    let Some(rest) = pattern.strip_prefix(b"^") else { return Vec::new() };
    // With alternatives anywhere the prefix might belong to one of them only: a close look is not worth it.
    let plain = |octet: &&u8| octet.is_ascii_alphanumeric() || b"-: ,@".contains(octet);
    let mut prefix: Vec<u8> = rest.iter().take_while(plain).copied().collect();
    let mut depth = 0usize;
    for octet in rest {
        match octet {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            b'|' if depth == 0 => return Vec::new(),
            b'\\' | b'[' => depth = usize::MAX / 2,
            _ => {}
        }
    }
    if depth >= usize::MAX / 4 && rest.contains(&b'|') {
        return Vec::new();
    }
    // A quantifier makes the last character optional or repeats it.
    if matches!(rest.get(prefix.len()), Some(b'*' | b'?' | b'+' | b'{' | b'\\')) {
        prefix.pop();
    }
    prefix
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn matches(syntax: Syntax, pattern: &str, letters: &str, line: &str) -> bool {
        let mut flags = Flags::new(syntax);
        for letter in letters.bytes() {
            assert!(flags.toggle(syntax, letter));
        }
        let (pattern, _) = Pattern::compile(pattern.as_bytes(), syntax, flags, false)
            .unwrap_or_else(|remark| panic!("{pattern}: {remark:?}"));
        pattern.fits(line.as_bytes())
    }

    #[test]
    fn the_prefix_is_what_every_match_begins_with() {
        for (pattern, want) in [
            ("^Subject: x", "Subject: x"),
            ("^Subject: x*", "Subject: "),
            ("^Date|^From", ""),
            ("^Da(te|y)", "Da"),
            (r"^Date:\s", "Date"),
            (r"^Date\(|x", ""),
            ("Subject", ""),
        ] {
            assert_eq!(literal_prefix(pattern.as_bytes()), want.as_bytes(), "{pattern}");
        }
    }

    #[test]
    fn flags_toggle_against_their_defaults() {
        use Syntax::{Pcre, Regexp};
        assert!(matches(Pcre, "^abc", "", "ABC"));
        assert!(!matches(Pcre, "^abc", "i", "ABC"));
        assert!(matches(Pcre, "a.b", "", "a\nb"));
        assert!(!matches(Pcre, "a.b", "s", "a\nb"));
        assert!(matches(Pcre, "^b", "m", "a\nb"));
        assert!(!matches(Pcre, "b", "A", "ab"));
        assert!(matches(Pcre, "a b # c", "x", "ab"));
        assert!(matches(Regexp, "(a|b)+", "", "b"));
        assert!(!matches(Regexp, "(a|b)+", "x", "b"));
        assert!(!matches(Regexp, "a.b", "m", "a\nb"));
        assert!(!matches(Regexp, "a[^x]b", "m", "a\nb"));
    }
}
