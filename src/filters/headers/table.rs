//! One table: its rules in order, and the search through them.

use std::sync::Arc;

use super::action::{Template, has_label, parse_action};
use super::examples::Example;
use super::lines::{LogicalLine, logical_lines};
use super::pattern::{Flags, Pattern, Remark, Syntax};
use crate::filters::{Mistake, RuleFile, Severity, TableAction};

/// Types of Postfix tables that hold no patterns.
const OTHER_TYPES: [&str; 10] =
    ["btree", "cdb", "cidr", "dbm", "hash", "inline", "lmdb", "static", "texthash", "unionmap"];

/// A Postfix `pcre:` or `regexp:` table.
///
/// Which of the two is told by the file's name: `regexp:` before it or `.regexp` behind it; else it is `pcre`.
pub struct Table {
    pub(super) file: Arc<str>,
    steps: Vec<Step>,
    pub(super) examples: Vec<Example>,
}

enum Step {
    Rule {
        pattern: Pattern,
        template: Template,
        line: u32,
    },
    /// Where the pattern does not fit, the search goes on at `end`.
    If {
        pattern: Pattern,
        end: usize,
    },
}

/// Whether a table is for header fields or for body lines: PREPEND and REPLACE need a label in headers only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableKind {
    /// header_checks, mime_header_checks, nested_header_checks.
    Header,
    /// body_checks.
    Body,
}

impl Table {
    /// Reads a table. What Postfix would skip with a warning is skipped with a [`Severity::Warning`]; what Postfix
    /// would do and we cannot is a [`Severity::Error`].
    #[must_use]
    pub fn load(file: &RuleFile, kind: TableKind) -> (Self, Vec<Mistake>) {
        let (name, syntax) = match file.name.split_once(':') {
            Some(("regexp", name)) => (name, Syntax::Regexp),
            Some(("pcre", name)) => (name, Syntax::Pcre),
            _ if file.name.ends_with(".regexp") => (&*file.name, Syntax::Regexp),
            _ => (&*file.name, Syntax::Pcre),
        };
        let mut reader = Reader {
            file: name.into(),
            syntax,
            kind,
            steps: Vec::new(),
            open: Vec::new(),
            mistakes: Vec::new(),
        };
        if let Some((kind, _)) =
            file.name.split_once(':').filter(|(kind, _)| OTHER_TYPES.contains(kind))
        {
            reader.mistakes.push(Mistake {
                file: reader.file.clone(),
                line: 0,
                column: 0,
                what: format!("a table of type {kind} cannot be read"),
                hint: "write the rules as a pcre: or regexp: table".to_owned(),
                severity: Severity::Error,
            });
            let table = Self { file: reader.file, steps: Vec::new(), examples: Vec::new() };
            return (table, reader.mistakes);
        }
        let (lines, strays) = logical_lines(&file.text);
        for stray in strays {
            reader.mistakes.push(Mistake {
                file: reader.file.clone(),
                line: stray.line,
                column: 1,
                what: "an indented line continues the line before, and there is none".to_owned(),
                hint: "begin the rule in column 1".to_owned(),
                severity: Severity::Warning,
            });
        }
        for line in &lines {
            reader.logical_line(line);
        }
        reader.close_all();
        let examples = Example::all(&file.text);
        let table = Self { file: reader.file, steps: reader.steps, examples };
        (table, reader.mistakes)
    }

    /// The action of the first rule that fits, and the rule's line. DUNNO and OK give `None`, as no rule does.
    #[must_use]
    pub fn query(&self, line: &[u8]) -> Option<(TableAction, u32)> {
        let (result, number) = self.find(line)?;
        parse_action(&result).ok().flatten().map(|action| (action, number))
    }

    /// What `postmap -q` prints, and the rule's line.
    #[must_use]
    pub fn query_text(&self, line: &[u8]) -> Option<(String, u32)> {
        let (result, number) = self.find(line)?;
        Some((String::from_utf8_lossy(&result).into_owned(), number))
    }

    /// The right side of the first rule that fits, filled in. Empty lines never match.
    pub(super) fn find(&self, line: &[u8]) -> Option<(Vec<u8>, u32)> {
        if line.is_empty() {
            return None;
        }
        let mut at = 0;
        while let Some(step) = self.steps.get(at) {
            at += 1;
            match step {
                Step::If { pattern, end } => {
                    if !pattern.fits(line) {
                        at = *end;
                    }
                }
                Step::Rule { pattern, template, line: number } if template.group_max == 0 => {
                    if pattern.fits(line) {
                        return Some((template.expand(|_| b"".as_slice()), *number));
                    }
                }
                Step::Rule { pattern, template, line: number } => {
                    if let Some(groups) = pattern.captures(line) {
                        let group =
                            |n| groups.get(n).map_or(b"".as_slice(), |group| group.as_bytes());
                        return Some((template.expand(group), *number));
                    }
                }
            }
        }
        None
    }

    /// True if nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

struct Reader {
    file: Arc<str>,
    syntax: Syntax,
    kind: TableKind,
    steps: Vec<Step>,
    /// Indices of the `if`s that are open, with their lines.
    open: Vec<(usize, u32)>,
    mistakes: Vec<Mistake>,
}

/// A pattern as written, with its place in the logical line.
struct Written<'l> {
    pattern: &'l [u8],
    at: usize,
    flags: Flags,
    negated: bool,
    /// Offset behind the flags.
    end: usize,
}

impl Reader {
    fn say(
        &mut self,
        severity: Severity,
        line: &LogicalLine,
        at: usize,
        what: impl Into<String>,
        hint: &str,
    ) {
        let (number, column) = line.position(at);
        self.mistakes.push(Mistake {
            file: self.file.clone(),
            line: number,
            column,
            what: what.into(),
            hint: hint.to_owned(),
            severity,
        });
    }

    fn warn(&mut self, line: &LogicalLine, at: usize, what: impl Into<String>, hint: &str) {
        self.say(Severity::Warning, line, at, what, hint);
    }

    fn logical_line(&mut self, line: &LogicalLine) {
        let text = line.text.trim_ascii_end();
        let word = text.iter().take_while(|octet| octet.is_ascii_alphanumeric()).count();
        let (head, rest) = text.split_at_checked(word).unwrap_or((text, b""));
        if head.is_empty() {
            self.rule(line, text);
        } else if head.eq_ignore_ascii_case(b"if") {
            let blanks = rest.len() - rest.trim_ascii_start().len();
            self.open_if(line, text, word + blanks);
        } else if head.eq_ignore_ascii_case(b"endif") {
            self.close_if(line, rest, word);
        } else {
            self.warn(
                line,
                0,
                "this line is no rule and is ignored",
                "write /pattern/ ACTION, if /pattern/ or endif",
            );
        }
    }

    fn rule(&mut self, line: &LogicalLine, text: &[u8]) {
        let Some(written) = self.written(line, text, 0) else { return };
        let rest = text.get(written.end..).unwrap_or_default();
        let result = rest.trim_ascii_start();
        let at = text.len() - result.len();
        if result.is_empty() {
            self.warn(
                line,
                written.end,
                "the rule has no action",
                "write DUNNO if it is meant to do nothing",
            );
        }
        let template = match Template::parse(result) {
            Ok(template) => template,
            Err((offset, what)) => {
                return self.warn(line, at + offset, format!("{what}; the rule is ignored"), "");
            }
        };
        let Some(pattern) = self.compile(line, &written) else { return };
        if template.group_max > 0 && pattern.negated() {
            return self.warn(
                line,
                at,
                "a pattern with '!' has no groups; the rule is ignored",
                "leave out $1",
            );
        }
        if template.group_max > pattern.groups() {
            let what =
                format!("the pattern has no group {}; the rule is ignored", template.group_max);
            return self.warn(line, at, what, "count the opening round brackets");
        }
        let mistake = template.mistake().or_else(|| self.label_mistake(&template, result));
        if let Some(what) = mistake.filter(|_| !result.is_empty()) {
            self.warn(line, at, format!("{what}; the rule does nothing"), action_hint(&what));
        }
        if matches!(parse_action(result), Ok(Some(TableAction::Filter(_)))) {
            let hint = "leave FILTER in the tables of Postfix itself";
            self.warn(
                line,
                at,
                "FILTER does nothing here: the mail is in a content filter already",
                hint,
            );
        }
        self.steps.push(Step::Rule { pattern, template, line: line.line });
    }

    /// PREPEND and REPLACE put header fields into headers only if they look like one.
    fn label_mistake(&self, template: &Template, result: &[u8]) -> Option<String> {
        if self.kind == TableKind::Body {
            return None;
        }
        let text = match parse_action(result) {
            Ok(Some(TableAction::Prepend(text) | TableAction::Replace(text))) => text,
            _ => return None,
        };
        // Where the label comes out of the mail, it is looked at then.
        if template.group_max > 0 && text.find('$') < text.find(':') && text.contains('$') {
            return None;
        }
        (!has_label(&text))
            .then(|| "the text does not begin with the name of a header field".to_owned())
    }

    fn open_if(&mut self, line: &LogicalLine, text: &[u8], from: usize) {
        let Some(written) = self.written(line, text, from) else { return };
        let Some(pattern) = self.compile(line, &written) else { return };
        if !text.get(written.end..).unwrap_or_default().trim_ascii().is_empty() {
            self.warn(
                line,
                written.end,
                "the text behind the pattern of 'if' is ignored",
                "do not indent lines between if and endif",
            );
        }
        self.open.push((self.steps.len(), line.line));
        self.steps.push(Step::If { pattern, end: usize::MAX });
    }

    fn close_if(&mut self, line: &LogicalLine, rest: &[u8], word: usize) {
        if !rest.trim_ascii().is_empty() {
            self.warn(line, word, "the text behind 'endif' is ignored", "");
        }
        let here = self.steps.len();
        match self.open.pop().and_then(|(index, _)| self.steps.get_mut(index)) {
            Some(Step::If { end, .. }) => *end = here,
            _ => self.warn(line, 0, "'endif' without 'if' is ignored", ""),
        }
    }

    /// An `if` that is never closed holds to the end of the table.
    fn close_all(&mut self) {
        for (_, line) in std::mem::take(&mut self.open) {
            self.mistakes.push(Mistake {
                file: self.file.clone(),
                line,
                column: 1,
                what: "'if' without 'endif' holds to the end of the table".to_owned(),
                hint: "write endif where it ends".to_owned(),
                severity: Severity::Warning,
            });
        }
    }

    /// Cuts `!/pattern/flags` out of a line.
    fn written<'l>(
        &mut self,
        line: &LogicalLine,
        text: &'l [u8],
        from: usize,
    ) -> Option<Written<'l>> {
        let mut at = from;
        let mut negated = false;
        while let Some(octet) =
            text.get(at).filter(|octet| **octet == b'!' || octet.is_ascii_whitespace())
        {
            negated ^= *octet == b'!';
            at += 1;
        }
        let Some(delimiter) = text.get(at).copied() else {
            self.warn(line, from, "there is no pattern; the rule is ignored", "write /pattern/");
            return None;
        };
        let start = at + 1;
        let mut end = start;
        loop {
            match text.get(end).copied() {
                Some(b'\\') => end += 2,
                Some(octet) if octet == delimiter => break,
                Some(_) => end += 1,
                None => {
                    let what = format!(
                        "the closing '{}' is missing; the rule is ignored",
                        char::from(delimiter)
                    );
                    self.warn(line, at, what, "");
                    return None;
                }
            }
        }
        let mut flags = Flags::new(self.syntax);
        let mut behind = end + 1;
        while let Some(letter) =
            text.get(behind).copied().filter(|octet| !octet.is_ascii_whitespace())
        {
            if letter == b'X' && self.syntax == Syntax::Pcre {
                self.warn(line, behind, "the flag X does nothing", "leave it out");
            }
            if !flags.toggle(self.syntax, letter) {
                let what = format!(
                    "'{}' is no flag; the rule is ignored",
                    char::from(letter).escape_default()
                );
                self.warn(line, behind, what, "write a blank between the pattern and the action");
                return None;
            }
            behind += 1;
        }
        Some(Written { pattern: text.get(start..end)?, at: start, flags, negated, end: behind })
    }

    fn compile(&mut self, line: &LogicalLine, written: &Written<'_>) -> Option<Pattern> {
        match Pattern::compile(written.pattern, self.syntax, written.flags, written.negated) {
            Ok((pattern, remarks)) => {
                for remark in remarks {
                    self.warn(line, written.at + remark.at, remark.what, remark.hint);
                }
                Some(pattern)
            }
            Err(Remark { at, what, hint }) => {
                self.say(Severity::Error, line, written.at + at, what, hint);
                None
            }
        }
    }
}

fn action_hint(what: &str) -> &'static str {
    if what.starts_with("no action") {
        "write one of BCC DISCARD DUNNO FILTER HOLD IGNORE INFO PASS PREPEND REDIRECT REJECT REPLACE STRIP WARN"
    } else if what.contains("header field") {
        "write Name: value"
    } else {
        ""
    }
}
