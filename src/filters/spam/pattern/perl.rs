//! Perl's pattern syntax, read into a tree.
//!
//! Patterns are matched on octets, as SpamAssassin does it (Perl's `/aa`): classes mean ASCII, `\h` and `\v` know the
//! Latin-1 blanks as well, letters above 127 have the cases of Latin-1, and characters beyond an octet never match.

mod class;
mod escape;
mod group;

use super::set::OctetSet;
use super::tree::{Assertion, Greed, Node};

/// Groups within groups.
const NESTING_MAX: usize = 100;
/// The largest count of a repetition, as in Perl.
const COUNT_MAX: u32 = 65_534;

/// Why a pattern cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::filters::spam) enum Refusal {
    /// Perl can do it; we cannot, or not yet.
    NotBuilt(&'static str),
    /// It is no pattern at all.
    Wrong(String),
}

/// A pattern that was read.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) node: Node,
    /// Groups with names.
    pub(super) names: Vec<(String, u32)>,
    /// How many groups there are.
    pub(super) groups: u32,
}

/// Reads a pattern with the flags that stood behind it.
///
/// # Errors
/// See [`Refusal`].
pub(super) fn parse(pattern: &[u8], flags: &str) -> Result<Parsed, Refusal> {
    let mut modes = Modes::default();
    for flag in flags.chars() {
        match flag {
            'i' => modes.fold = true,
            'm' => modes.lines = true,
            's' => modes.dot_all = true,
            'x' => modes.extended = true,
            // They change nothing for octets, or only how Perl works inside.
            'a' | 'd' | 'g' | 'l' | 'n' | 'o' | 'p' | 'u' => {}
            other => {
                return Err(Refusal::Wrong(format!("`{other}` behind the pattern is no flag")));
            }
        }
    }
    let mut parser = Parser { pattern, at: 0, modes, groups: 0, names: Vec::new() };
    let node = parser.choice(0)?;
    if parser.peek().is_some() {
        return Err(wrong("a ) closes nothing"));
    }
    Ok(Parsed { node, names: parser.names, groups: parser.groups })
}

#[derive(Debug, Clone, Copy, Default)]
struct Modes {
    fold: bool,
    lines: bool,
    dot_all: bool,
    extended: bool,
}

struct Parser<'p> {
    pattern: &'p [u8],
    at: usize,
    modes: Modes,
    groups: u32,
    names: Vec<(String, u32)>,
}

impl Parser<'_> {
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

    /// Branches up to the end of the group that is open.
    fn choice(&mut self, depth: usize) -> Result<Node, Refusal> {
        if depth > NESTING_MAX {
            return Err(Refusal::NotBuilt("is nested too deep"));
        }
        let outer = self.modes;
        let mut branches = vec![self.row(depth)?];
        while self.peek() == Some(b'|') {
            self.at += 1;
            branches.push(self.row(depth)?);
        }
        self.modes = outer;
        Ok(Node::choice(branches))
    }

    fn row(&mut self, depth: usize) -> Result<Node, Refusal> {
        let mut nodes = Vec::new();
        loop {
            self.skip_blanks();
            match self.peek() {
                None | Some(b'|' | b')') => return Ok(Node::row(nodes)),
                Some(_) => {}
            }
            let in_group = self.peek() == Some(b'(');
            let Some(node) = self.item(depth, &mut nodes)? else { continue };
            self.skip_blanks();
            nodes.push(self.quantified(node, in_group)?);
        }
    }

    /// With /x, blanks and comments mean nothing.
    fn skip_blanks(&mut self) {
        while self.modes.extended {
            match self.peek() {
                Some(octet) if octet.is_ascii_whitespace() || octet == 0x0B => self.at += 1,
                Some(b'#') => while self.next().is_some_and(|octet| octet != b'\n') {},
                _ => return,
            }
        }
    }

    /// One item; `None` if it was a comment, a mode, or more than one item, which then stand in `nodes`.
    fn item(&mut self, depth: usize, nodes: &mut Vec<Node>) -> Result<Option<Node>, Refusal> {
        let Some(octet) = self.next() else { return Ok(None) };
        Ok(Some(match octet {
            b'\\' if self.peek() == Some(b'Q') => {
                self.at += 1;
                self.quoted(nodes);
                return Ok(None);
            }
            b'\\' if self.peek() == Some(b'E') => {
                self.at += 1;
                return Ok(None);
            }
            b'\\' => self.escape()?,
            b'[' => self.class()?,
            b'(' => return self.group(depth),
            b'^' if self.modes.lines => Node::Assertion(Assertion::LineStart),
            b'^' => Node::Assertion(Assertion::TextStart),
            b'$' if self.modes.lines => Node::Assertion(Assertion::LineEnd),
            b'$' => Node::Assertion(Assertion::LastLineEnd),
            b'.' if self.modes.dot_all => Node::Set(OctetSet::ALL),
            b'.' => Node::Set(OctetSet::one(b'\n').not()),
            b'*' | b'+' | b'?' => return Err(wrong("a quantifier follows nothing")),
            _ => self.octet(u32::from(octet)),
        }))
    }

    /// One character as itself; code points beyond an octet never match.
    fn octet(&self, value: u32) -> Node {
        let set = u8::try_from(value).map_or(OctetSet::NONE, OctetSet::one);
        Node::Set(if self.modes.fold { set.folded() } else { set })
    }

    /// `\Q…\E`: everything in it is plain.
    fn quoted(&mut self, nodes: &mut Vec<Node>) {
        while !self.rest().starts_with(b"\\E") {
            let Some(octet) = self.next() else { return };
            nodes.push(self.octet(u32::from(octet)));
        }
        self.at += 2;
    }

    fn quantified(&mut self, node: Node, in_group: bool) -> Result<Node, Refusal> {
        let Some((min, max)) = self.count()? else { return Ok(node) };
        let greed = match self.peek() {
            Some(b'?') => Greed::Least,
            Some(b'+') => Greed::Possessive,
            _ => Greed::Most,
        };
        if greed != Greed::Most {
            self.at += 1;
        }
        self.skip_blanks();
        let is_place = matches!(node, Node::Assertion(_));
        if is_place && !in_group && max != Some(1) {
            return Err(wrong("a quantifier follows what has no length"));
        }
        if self.count()?.is_some() {
            return Err(wrong("a quantifier follows a quantifier"));
        }
        if is_place {
            // Once more at the same place it says nothing new.
            return Ok(if min == 0 { Node::Row(Vec::new()) } else { node });
        }
        Ok(Node::Repeat { node: Box::new(node), min, max, greed })
    }

    /// A quantifier, if one comes next.
    fn count(&mut self) -> Result<Option<(u32, Option<u32>)>, Refusal> {
        let found = match self.peek() {
            Some(b'*') => (0, None),
            Some(b'+') => (1, None),
            Some(b'?') => (0, Some(1)),
            Some(b'{') => return self.braces(),
            _ => return Ok(None),
        };
        self.at += 1;
        Ok(Some(found))
    }

    /// `{3}`, `{3,}`, `{,3}`; any other `{` is plain.
    fn braces(&mut self) -> Result<Option<(u32, Option<u32>)>, Refusal> {
        let rest = self.rest();
        let end = memchr::memchr(b'}', rest).unwrap_or(0);
        let body: String =
            rest.get(1..end).unwrap_or_default().iter().map(|octet| char::from(*octet)).collect();
        let (low, high) = body.split_once(',').unwrap_or((&body, &body));
        let (low, high) = (low.trim(), high.trim());
        let digits = |text: &str| text.bytes().all(|octet| octet.is_ascii_digit());
        if !digits(low) || !digits(high) || (low.is_empty() && high.is_empty()) {
            return Ok(None);
        }
        let number = |text: &str| {
            text.parse()
                .ok()
                .filter(|count| *count <= COUNT_MAX)
                .ok_or_else(|| wrong("a count is too large"))
        };
        let min = if low.is_empty() { 0 } else { number(low)? };
        let max = if high.is_empty() { None } else { Some(number(high)?) };
        if max.is_some_and(|max| max < min) {
            return Err(wrong("a count runs backwards"));
        }
        self.at += end + 1;
        Ok(Some((min, max)))
    }
}

fn wrong(what: &str) -> Refusal {
    Refusal::Wrong(what.to_owned())
}
