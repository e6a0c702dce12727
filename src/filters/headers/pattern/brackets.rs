//! PCRE sets: `[a-z]`, `[^\w.-]`, `[[:alpha:]]`.

use super::Remark;
use super::class::{OctetSet, named, shorthand};
use super::pcre::{Rewriter, no_closing_bracket, posix_name};

impl Rewriter<'_> {
    /// Behind `[`.
    pub(super) fn brackets(&mut self) -> Result<(), Remark> {
        let start = self.at - 1;
        if self.rest().starts_with(b":")
            && posix_name(self.rest()).is_some_and(|(name, _)| named(name).is_some())
        {
            self.remarks.push(Remark::new(
                start,
                "this is a set of single characters, not a class of them",
                "write [[:alpha:]] with two pairs of brackets",
            ));
        }
        if self.take(b"[:<:]]") || self.take(b"[:>:]]") {
            self.out.push_str(r"\b");
            return Ok(());
        }
        let mut set = OctetSet::new();
        set.negated = self.take(b"^");
        let mut first = true;
        loop {
            let at = self.at;
            let Some(octet) = self.next() else { return Err(no_closing_bracket(start)) };
            if octet == b']' && !first {
                break;
            }
            first = false;
            let Some(from) = self.member(octet, &mut set)? else { continue };
            let range = self.peek() == Some(b'-')
                && self.text.get(self.at + 1).is_some_and(|octet| *octet != b']');
            if !range {
                set.add(from);
                continue;
            }
            self.at += 1;
            let Some(octet) = self.next() else { return Err(no_closing_bracket(start)) };
            match self.member(octet, &mut set)? {
                Some(to) if to < from => {
                    return Err(Remark::new(
                        at,
                        "the range runs backwards",
                        "put the smaller character first",
                    ));
                }
                Some(to) => set.add_range(from, to),
                None => {
                    set.add(from);
                    set.add(b'-');
                }
            }
        }
        set.write(&mut self.out);
        Ok(())
    }

    /// One member of a set: the octet, if it may begin a range; classes are added at once.
    fn member(&mut self, octet: u8, set: &mut OctetSet) -> Result<Option<u8>, Remark> {
        let at = self.at - 1;
        if octet == b'[' {
            let Some((name, length)) = posix_name(self.rest()) else { return Ok(Some(octet)) };
            let (name, negated) = match name.strip_prefix(b"^") {
                Some(name) => (name, true),
                None => (name, false),
            };
            let Some(holds) = named(name) else {
                return Err(Remark::new(
                    at,
                    "no class has this name",
                    "write [:alpha:], [:digit:], …",
                ));
            };
            set.add_where(negated, holds);
            self.at += length;
            return Ok(None);
        }
        if octet != b'\\' {
            return Ok(Some(octet));
        }
        match self.next() {
            None => Err(no_closing_bracket(at)),
            Some(b'b') => Ok(Some(0x08)),
            Some(b'Q' | b'E') => Ok(None),
            Some(letter) => match shorthand(letter) {
                Some((holds, negated)) => {
                    set.add_where(negated, holds);
                    Ok(None)
                }
                None => self.escaped_octet(letter).map(Some),
            },
        }
    }
}
