//! POSIX syntax, extended and basic, as the GNU C library reads it, to that of the regex crate.

use super::class::{OctetSet, is_space, is_word, named};
use super::pcre::{back_reference, no_closing_bracket, posix_name, push_literal};
use super::{Flags, Remark};

/// Rewrites a pattern; [`Flags::extended`] chooses between extended and basic syntax.
pub(super) fn rewrite(text: &[u8], flags: Flags) -> Result<(String, Vec<Remark>), Remark> {
    let mut rewriter = Rewriter {
        text,
        at: 0,
        out: String::with_capacity(text.len() * 2),
        remarks: Vec::new(),
        newline_is_special: flags.multi_line,
        at_start: true,
    };
    while let Some(octet) = rewriter.next() {
        if flags.extended { rewriter.extended(octet)? } else { rewriter.basic(octet)? }
    }
    Ok((rewriter.out, rewriter.remarks))
}

struct Rewriter<'t> {
    text: &'t [u8],
    at: usize,
    out: String,
    remarks: Vec<Remark>,
    newline_is_special: bool,
    /// Basic syntax: nothing stands before, so `*` is a star and `^` an anchor.
    at_start: bool,
}

impl Rewriter<'_> {
    fn next(&mut self) -> Option<u8> {
        let octet = self.text.get(self.at).copied()?;
        self.at += 1;
        Some(octet)
    }

    fn rest(&self) -> &[u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn extended(&mut self, octet: u8) -> Result<(), Remark> {
        match octet {
            b'\\' => {
                let at = self.at - 1;
                let letter = self.escaped()?;
                self.common_escape(at, letter)?;
            }
            b'[' => self.brackets()?,
            // Left alone, `(?` would open a group of the regex crate's own.
            b'(' if self.rest().starts_with(b"?") => {
                return Err(Remark::new(
                    self.at,
                    "'?' has nothing to make optional",
                    "groups such as (?:…) need a pcre: table",
                ));
            }
            b'(' | b')' | b'|' | b'^' | b'$' | b'.' => self.out.push(char::from(octet)),
            b'*' | b'+' | b'?' => self.quantifier(octet, b"*+?"),
            b'{' => self.interval(b"}"),
            other => push_literal(&mut self.out, other),
        }
        Ok(())
    }

    /// A quantifier on a quantifier is allowed: together they say whether the item may be absent, or repeated.
    fn quantifier(&mut self, before: u8, known: &[u8]) {
        let mut optional = before != b'+';
        let mut repeated = before != b'?';
        while let Some(next) = self.rest().first().copied().filter(|next| known.contains(next)) {
            self.at += 1;
            optional |= next != b'+';
            repeated |= next != b'?';
        }
        // Left as they are, `a*?` would be lazy for the regex crate.
        self.out.push(match (optional, repeated) {
            (true, true) => '*',
            (true, false) => '?',
            (false, _) => '+',
        });
    }

    fn basic(&mut self, octet: u8) -> Result<(), Remark> {
        let start = std::mem::replace(&mut self.at_start, false);
        match octet {
            b'\\' => {
                let at = self.at - 1;
                match self.escaped()? {
                    letter @ (b'(' | b'|') => {
                        self.out.push(char::from(letter));
                        self.at_start = true;
                    }
                    b')' => self.out.push(')'),
                    b'{' => self.interval(br"\}"),
                    letter @ (b'+' | b'?') if !start => self.out.push(char::from(letter)),
                    letter => self.common_escape(at, letter)?,
                }
            }
            b'[' => self.brackets()?,
            b'.' => self.out.push('.'),
            b'*' if !start => self.quantifier(octet, b"*"),
            b'^' if start => {
                self.out.push('^');
                self.at_start = true;
            }
            b'$' if self.rest().is_empty()
                || self.rest().starts_with(br"\)")
                || self.rest().starts_with(br"\|") =>
            {
                self.out.push('$');
            }
            other => push_literal(&mut self.out, other),
        }
        Ok(())
    }

    fn escaped(&mut self) -> Result<u8, Remark> {
        let at = self.at - 1;
        self.next().ok_or_else(|| {
            Remark::new(at, "the pattern ends in a backslash", "write \\\\ for a backslash")
        })
    }

    fn common_escape(&mut self, at: usize, letter: u8) -> Result<(), Remark> {
        match letter {
            b'1'..=b'9' => return Err(back_reference(at)),
            b'w' | b'W' | b's' | b'S' => {
                let mut set = OctetSet::new();
                let holds = if letter.eq_ignore_ascii_case(&b'w') { is_word } else { is_space };
                set.add_where(letter.is_ascii_uppercase(), holds);
                set.write(&mut self.out);
            }
            b'b' => self.out.push_str(r"\b"),
            b'B' => self.out.push_str(r"\B"),
            b'<' => self.out.push_str(r"\b{start}"),
            b'>' => self.out.push_str(r"\b{end}"),
            b'`' => self.out.push_str(r"\A"),
            b'\'' => self.out.push_str(r"\z"),
            letter => {
                if letter.is_ascii_alphanumeric() {
                    self.remarks.push(Remark::new(
                        at,
                        format!("\\{0} is the letter {0} in POSIX patterns", char::from(letter)),
                        "use a set such as [0-9], or name the table pcre:",
                    ));
                }
                push_literal(&mut self.out, letter);
            }
        }
        Ok(())
    }

    /// `{2,3}`; anything else is left for the compiler to refuse.
    fn interval(&mut self, end: &[u8]) {
        let inner: Vec<u8> = self
            .rest()
            .iter()
            .take_while(|octet| octet.is_ascii_digit() || **octet == b',')
            .copied()
            .collect();
        self.at += inner.len();
        let inner = String::from_utf8_lossy(&inner).into_owned();
        self.out.push('{');
        if inner.starts_with(',') {
            self.out.push('0');
        }
        self.out.push_str(&inner);
        if self.rest().starts_with(end) {
            self.at += end.len();
            self.out.push('}');
        }
    }

    fn brackets(&mut self) -> Result<(), Remark> {
        let start = self.at - 1;
        if posix_name(self.rest()).is_some_and(|(name, _)| named(name).is_some()) {
            self.remarks.push(Remark::new(
                start,
                "this is a set of single characters, not a class of them",
                "write [[:alpha:]] with two pairs of brackets",
            ));
        }
        let mut set = OctetSet::new();
        if self.rest().starts_with(b"^") {
            self.at += 1;
            set.negated = true;
        }
        let mut first = true;
        loop {
            let at = self.at;
            let Some(octet) = self.next() else { return Err(no_closing_bracket(start)) };
            if octet == b']' && !first {
                break;
            }
            first = false;
            let Some(from) = self.member(octet, &mut set)? else { continue };
            let range = self.rest().first() == Some(&b'-')
                && self.rest().get(1).is_some_and(|octet| *octet != b']');
            if !range {
                set.add(from);
                continue;
            }
            self.at += 1;
            let Some(octet) = self.next() else { return Err(no_closing_bracket(start)) };
            match self.member(octet, &mut set)? {
                Some(to) if to >= from => set.add_range(from, to),
                _ => {
                    return Err(Remark::new(
                        at,
                        "this is no range",
                        "put the smaller character first",
                    ));
                }
            }
        }
        if set.negated && self.newline_is_special {
            set.add(b'\n');
        }
        set.write(&mut self.out);
        Ok(())
    }

    /// One member of a set: the octet, if it may begin a range. A backslash is a plain character here.
    fn member(&mut self, octet: u8, set: &mut OctetSet) -> Result<Option<u8>, Remark> {
        let at = self.at - 1;
        if octet != b'[' {
            return Ok(Some(octet));
        }
        if let Some((name, length)) = posix_name(self.rest()) {
            let Some(holds) = named(name) else {
                return Err(Remark::new(
                    at,
                    "no class has this name",
                    "write [:alpha:], [:digit:], …",
                ));
            };
            set.add_where(false, holds);
            self.at += length;
            return Ok(None);
        }
        match *self.rest() {
            [kind @ (b'.' | b'='), octet, end, b']', ..] if end == kind => {
                self.at += 4;
                Ok(Some(octet))
            }
            [b'.' | b'=', ..] => Err(Remark::new(at, "only single characters are known here", "")),
            _ => Ok(Some(b'[')),
        }
    }
}
