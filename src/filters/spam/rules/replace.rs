//! Tags in patterns: `<A>` in a rule that `replace_rules` names becomes what `replace_tag A …` says.

use std::collections::{BTreeMap, BTreeSet};

/// Tags may hold tags, so many times over.
const PASSES_MAX: usize = 6;
/// Octets of a pattern with its tags replaced.
const PATTERN_MAX: usize = 1 << 20;

/// What rule files say of tags.
#[derive(Debug)]
pub(in crate::filters::spam) struct Tags {
    start: String,
    end: String,
    tags: BTreeMap<String, String>,
    before: BTreeMap<String, String>,
    between: BTreeMap<String, String>,
    behind: BTreeMap<String, String>,
    rules: BTreeSet<String>,
}

impl Default for Tags {
    fn default() -> Self {
        Self {
            start: "<".to_owned(),
            end: ">".to_owned(),
            tags: BTreeMap::new(),
            before: BTreeMap::new(),
            between: BTreeMap::new(),
            behind: BTreeMap::new(),
            rules: BTreeSet::new(),
        }
    }
}

impl Tags {
    /// Takes a line in; false if it is about something else. Octets stand as characters of the same number.
    pub(super) fn read(&mut self, key: &str, rest: &[u8]) -> bool {
        let text = latin(rest);
        let (name, value) = text.split_once([' ', '\t']).unwrap_or((&text, ""));
        let (name, value) = (name.to_owned(), value.trim().to_owned());
        match key {
            "replace_start" => self.start = text,
            "replace_end" => self.end = text,
            "replace_tag" => drop(self.tags.insert(name, value)),
            "replace_pre" => drop(self.before.insert(name, value)),
            "replace_inter" => drop(self.between.insert(name, value)),
            "replace_post" => drop(self.behind.insert(name, value)),
            "replace_rules" => self.rules.extend(text.split_ascii_whitespace().map(str::to_owned)),
            _ => return false,
        }
        true
    }

    /// The pattern with its tags replaced, flags before it; `None` if nothing is to be replaced in this rule.
    pub(super) fn applied(&self, rule: &str, pattern: &[u8], flags: &str) -> Option<Vec<u8>> {
        if !self.rules.contains(rule) || self.start.is_empty() || self.end.is_empty() {
            return None;
        }
        let flags = if flags.is_empty() { String::new() } else { format!("(?{flags})") };
        let original = format!("{flags}{}", latin(pattern));
        let mut text = original.clone();
        for _ in 0..PASSES_MAX {
            let (next, again) = self.pass(text);
            text = next;
            if !again || text.len() > PATTERN_MAX {
                break;
            }
        }
        (text != original).then(|| {
            text.chars().filter_map(|letter| u8::try_from(u32::from(letter)).ok()).collect()
        })
    }

    /// Replaces each tag once; true if what came in holds tags again.
    fn pass(&self, mut text: String) -> (String, bool) {
        let before = self.modifier(&mut text, "pre ").and_then(|name| self.before.get(&name));
        let behind = self.modifier(&mut text, "post ").and_then(|name| self.behind.get(&name));
        let between = self.modifier(&mut text, "inter ").and_then(|name| self.between.get(&name));
        let mut again = false;
        let mut out = String::with_capacity(text.len() * 2);
        for piece in split(&text) {
            let mut piece = piece.to_owned();
            if let (Some(before), Some((place, _))) = (before, self.tag(&piece, 0)) {
                piece.insert_str(place, before);
            }
            if let Some(behind) = behind {
                let mut from = 0;
                while let Some((_, end)) = self.tag(&piece, from) {
                    piece.insert_str(end, behind);
                    from = end + behind.len();
                }
            }
            if piece.is_empty()
                && let Some(between) = between
            {
                piece.clone_from(between);
            }
            if let Some((start, end)) = self.tag(&piece, 0)
                && let Some(whole) = piece.get(start..end)
                && let Some(value) = self.tags.get(self.name(whole))
                && !value.is_empty()
            {
                again |= holds_tag(value);
                piece = piece.replace(whole, value);
            }
            out.push_str(&piece);
        }
        (out, again)
    }

    fn name<'t>(&self, whole: &'t str) -> &'t str {
        let inner = whole.strip_prefix(&self.start).and_then(|rest| rest.strip_suffix(&self.end));
        inner.unwrap_or(whole)
    }

    /// The first tag from there on: start and end.
    fn tag(&self, text: &str, from: usize) -> Option<(usize, usize)> {
        let start = from + text.get(from..)?.find(&self.start)?;
        let inner = start + self.start.len();
        // At least one character is between both marks.
        let skip = text.get(inner..)?.chars().next()?.len_utf8();
        let end = inner + skip + text.get(inner + skip..)?.find(&self.end)? + self.end.len();
        Some((start, end))
    }

    /// Takes `<pre NAME>` and its like out of the text and gives the name.
    fn modifier(&self, text: &mut String, kind: &str) -> Option<String> {
        let opening = format!("{}{kind}", self.start);
        let start = text.find(&opening)?;
        let inner = start + opening.len();
        let skip = text.get(inner..)?.chars().next()?.len_utf8();
        let length = skip + text.get(inner + skip..)?.find(&self.end)?;
        let name = text.get(inner..inner + length)?.to_owned();
        text.replace_range(start..inner + length + self.end.len(), "");
        Some(name)
    }
}

/// Cuts at tags, which are pieces of their own: between two neighbours is an empty piece. As Perl does, empty pieces at
/// the end are dropped; and it looks for angle brackets here, whatever the marks are.
fn split(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    let mut from = 0;
    while let Some(start) = rest.get(from..).and_then(|tail| tail.find('<')).map(|at| at + from) {
        let inner = rest.get(start + 1..).unwrap_or_default();
        let end = inner.find(['<', '>']).unwrap_or(0);
        if end == 0 || !inner.get(end..).is_some_and(|tail| tail.starts_with('>')) {
            from = start + 1;
            continue;
        }
        let (plain, tail) = rest.split_at_checked(start).unwrap_or((rest, ""));
        let (tag, tail) = tail.split_at_checked(end + 2).unwrap_or((tail, ""));
        pieces.extend([plain, tag]);
        rest = tail;
        from = 0;
    }
    pieces.push(rest);
    while pieces.last().is_some_and(|piece| piece.is_empty()) {
        pieces.pop();
    }
    pieces
}

fn holds_tag(text: &str) -> bool {
    let Some((_, behind)) = text.split_once('<') else { return false };
    behind.find('>').is_some_and(|end| end > 0)
}

fn latin(octets: &[u8]) -> String {
    octets.iter().map(|octet| char::from(*octet)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags() -> Tags {
        let mut tags = Tags::default();
        for (key, rest) in [
            ("replace_tag", "A [a4]"),
            ("replace_tag", "B (?:b|<A>8)"),
            ("replace_inter", "GAP -?"),
            ("replace_pre", "HEAD ="),
            ("replace_post", "TAIL +"),
            ("replace_rules", "X Y"),
        ] {
            assert!(tags.read(key, rest.as_bytes()));
        }
        assert!(!tags.read("score", b"X 1"));
        tags
    }

    #[test]
    fn tags_become_what_they_stand_for() {
        for (pattern, flags, want) in [
            ("x<A>y", "", Some("x[a4]y")),
            ("<A><A>", "i", Some("(?i)[a4][a4]")),
            ("<inter GAP>x<A><A>", "", Some("x[a4]-?[a4]")),
            ("<B>", "", Some("(?:b|[a4]8)")),
            ("<pre HEAD><post TAIL>x<A>", "", Some("x=[a4]+")),
            ("x<UNKNOWN>", "", None),
            ("plain", "i", None),
            ("(?<!a)<A>", "", Some("(?<!a)[a4]")),
        ] {
            let got = tags().applied("X", pattern.as_bytes(), flags);
            assert_eq!(
                got.map(|text| String::from_utf8(text).unwrap()).as_deref(),
                want,
                "{pattern}"
            );
        }
        assert_eq!(tags().applied("Z", b"<A>", ""), None);
    }

    #[test]
    fn tags_that_hold_themselves_come_to_an_end() {
        let mut tags = tags();
        tags.read("replace_tag", b"C <C><C>");
        assert!(tags.applied("X", b"<C>", "").is_some());
    }
}
