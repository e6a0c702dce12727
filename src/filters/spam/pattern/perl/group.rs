//! Groups: `(…)` and all that begins with `(?`.

use crate::filters::spam::pattern::tree::Node;

use super::{Modes, Parser, Refusal, wrong};

impl Parser<'_> {
    /// Reads what follows a `(`; `None` if it was a comment or only changed the modes.
    pub(super) fn group(&mut self, depth: usize) -> Result<Option<Node>, Refusal> {
        if self.peek() == Some(b'*') {
            return Err(Refusal::NotBuilt("needs a backtracking verb"));
        }
        if self.peek() != Some(b'?') {
            return self.remembered(depth).map(Some);
        }
        match (self.ahead(1), self.ahead(2)) {
            (Some(b'#'), _) => {
                while self.next().is_some_and(|octet| octet != b')') {}
                Ok(None)
            }
            (Some(b'='), _) => self.look(2, false, false, depth).map(Some),
            (Some(b'!'), _) => self.look(2, false, true, depth).map(Some),
            (Some(b'<'), Some(b'=')) => self.look(3, true, false, depth).map(Some),
            (Some(b'<'), Some(b'!')) => self.look(3, true, true, depth).map(Some),
            (Some(b'>'), _) => {
                self.at += 2;
                Ok(Some(Node::Atomic(Box::new(self.inside(depth)?))))
            }
            (Some(b'|'), _) => Err(Refusal::NotBuilt("needs a branch reset")),
            (Some(b'('), _) => Err(Refusal::NotBuilt("needs a conditional")),
            (Some(b'R' | b'&' | b'+' | b'0'..=b'9'), _) => {
                Err(Refusal::NotBuilt("needs recursion"))
            }
            (Some(b'{' | b'?'), _) => {
                Err(Refusal::Wrong("code in a pattern is not run".to_owned()))
            }
            (Some(b'P'), Some(b'>')) => Err(Refusal::NotBuilt("needs recursion")),
            (Some(b'P'), Some(b'=')) => self.same_in_parentheses().map(Some),
            (Some(b'P' | b'<' | b'\''), _) => self.named(depth).map(Some),
            _ => self.modes(depth),
        }
    }

    fn inside(&mut self, depth: usize) -> Result<Node, Refusal> {
        let node = self.choice(depth + 1)?;
        if self.next() != Some(b')') {
            return Err(wrong("a group is not closed"));
        }
        Ok(node)
    }

    fn remembered(&mut self, depth: usize) -> Result<Node, Refusal> {
        self.groups += 1;
        let group = self.groups;
        Ok(Node::Group(group, Box::new(self.inside(depth)?)))
    }

    fn look(
        &mut self,
        skip: usize,
        behind: bool,
        negative: bool,
        depth: usize,
    ) -> Result<Node, Refusal> {
        self.at += skip;
        let node = Box::new(self.inside(depth)?);
        Ok(Node::Look { behind, negative, node })
    }

    /// `(?<name>…)`, `(?P<name>…)`, `(?'name'…)`.
    fn named(&mut self, depth: usize) -> Result<Node, Refusal> {
        self.at += if self.ahead(1) == Some(b'P') { 3 } else { 2 };
        let rest = self.rest();
        let Some(end) = rest.iter().position(|octet| matches!(octet, b'>' | b'\'')) else {
            return Err(wrong("a group's name is not closed"));
        };
        let name = String::from_utf8_lossy(rest.get(..end).unwrap_or_default()).into_owned();
        self.at += end + 1;
        self.names.push((name, self.groups + 1));
        self.remembered(depth)
    }

    /// `(?P=name)`.
    fn same_in_parentheses(&mut self) -> Result<Node, Refusal> {
        self.at += 3;
        let rest = self.rest();
        let Some(end) = memchr::memchr(b')', rest) else {
            return Err(wrong("a group's name is not closed"));
        };
        let name = String::from_utf8_lossy(rest.get(..end).unwrap_or_default()).into_owned();
        self.at += end + 1;
        self.same_named(&name)
    }

    /// `(?i-s:…)`, `(?i)`, `(?^:…)`, `(?:…)`.
    fn modes(&mut self, depth: usize) -> Result<Option<Node>, Refusal> {
        self.at += 1;
        let mut modes = self.modes;
        let mut on = true;
        loop {
            let Some(flag) = self.next() else { return Err(wrong("a group is not closed")) };
            match flag {
                b'^' => modes = Modes::default(),
                b'-' => on = false,
                b'i' => modes.fold = on,
                b's' => modes.dot_all = on,
                b'm' => modes.lines = on,
                b'x' => modes.extended = on,
                b'a' | b'u' | b'l' | b'd' | b'n' | b'p' => {}
                b':' => break,
                b')' => {
                    self.modes = modes;
                    return Ok(None);
                }
                _ => return Err(wrong("a group begins with (? and an unknown letter")),
            }
        }
        let outer = std::mem::replace(&mut self.modes, modes);
        let node = self.inside(depth);
        self.modes = outer;
        node.map(Some)
    }
}
