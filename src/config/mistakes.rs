//! All mistakes of a load, and how they are shown.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::filters::{Mistake, Severity};

/// Longer lines are cut around the mistake.
const SHOWN_CHARS_MAX: usize = 160;

/// Texts of files by name, to show the lines with mistakes.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    texts: BTreeMap<Arc<str>, Arc<[u8]>>,
}

impl Sources {
    /// Adds a file, configuration or rules.
    pub fn add(&mut self, name: Arc<str>, text: impl Into<Arc<[u8]>>) {
        self.texts.insert(name, text.into());
    }

    /// A line, counted from 1, without its end.
    fn line(&self, file: &str, line: u32) -> Option<String> {
        let index = usize::try_from(line).ok()?.checked_sub(1)?;
        let line = self.texts.get(file)?.split(|byte| *byte == b'\n').nth(index)?;
        Some(String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned())
    }
}

/// Every mistake of a load; at least one of them is an error.
#[derive(Debug, Clone)]
pub struct Mistakes {
    /// Ordered by place.
    pub list: Vec<Mistake>,
    /// The files they stand in.
    pub sources: Sources,
}

impl Mistakes {
    pub(super) fn new(mut list: Vec<Mistake>, sources: Sources) -> Self {
        list.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        list.dedup();
        Self { list, sources }
    }
}

impl std::error::Error for Mistakes {}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for mistake in &self.list {
            f.write_str(&render(mistake, &self.sources))?;
        }
        let errors = self.list.iter().filter(|mistake| mistake.severity == Severity::Error).count();
        writeln!(f, "{errors} error{}", if errors == 1 { "" } else { "s" })
    }
}

/// A mistake with its place as `file:line:column`, its line, a caret and the hint; ends with a line end.
#[must_use]
pub fn render(mistake: &Mistake, sources: &Sources) -> String {
    let word = match mistake.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let mut text = format!("{word}: {}\n  --> {}", mistake.what, mistake.file);
    if mistake.line > 0 {
        text.push_str(&format!(":{}", mistake.line));
        if mistake.column > 0 {
            text.push_str(&format!(":{}", mistake.column));
        }
    }
    text.push('\n');
    let Some(line) = sources.line(&mistake.file, mistake.line) else {
        if !mistake.hint.is_empty() {
            text.push_str(&format!("   = {}\n", mistake.hint));
        }
        return text;
    };
    let number = mistake.line.to_string();
    let blank = " ".repeat(number.len());
    let (shown, indent, width) = window(&line, mistake.column);
    text.push_str(&format!("{blank} |\n{number} | {shown}\n{blank} |"));
    if mistake.column > 0 {
        text.push_str(&format!(" {}{}", " ".repeat(indent), "^".repeat(width)));
    }
    if !mistake.hint.is_empty() {
        text.push_str(&format!(" {}", mistake.hint));
    }
    text.push('\n');
    text
}

/// The part of the line to show, where the caret stands in it, and how wide it is.
fn window(line: &str, column: u32) -> (String, usize, usize) {
    let at = usize::try_from(column).unwrap_or(usize::MAX).saturating_sub(1);
    let skip = if at < SHOWN_CHARS_MAX - 40 { 0 } else { at - 40 };
    // A control character would move what stands behind it, and could steer the terminal.
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let shown: Vec<char> = line.chars().skip(skip).take(SHOWN_CHARS_MAX).map(plain).collect();
    let indent = (at - skip).min(shown.len());
    let width = token(shown.get(indent..).unwrap_or_default());
    (shown.into_iter().collect(), indent, width)
}

/// How many characters belong to the word or the quoted text that begins here; at least one.
fn token(text: &[char]) -> usize {
    let length = match text.first() {
        Some(quote @ ('"' | '\'')) => {
            let inner = text.iter().skip(1).take_while(|c| *c != quote).count();
            (inner + 2).min(text.len())
        }
        _ => text.iter().take_while(|c| !c.is_whitespace() && !"=,]}#".contains(**c)).count(),
    };
    length.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake(line: u32, column: u32) -> Mistake {
        Mistake {
            file: "/etc/t.toml".into(),
            line,
            column,
            what: "unknown key `treshold`".into(),
            hint: "did you mean `x`?".into(),
            severity: Severity::Error,
        }
    }

    fn sources(text: &str) -> Sources {
        let mut sources = Sources::default();
        sources.add("/etc/t.toml".into(), text.as_bytes());
        sources
    }

    #[test]
    fn the_caret_stands_under_the_word() {
        let want = "error: unknown key `treshold`\n  --> /etc/t.toml:12:3\n   |\n12 |   treshold = 8.0\n   |   ^^^^^^^^ did you mean `x`?\n";
        let text = format!("{}  treshold = 8.0\r\n", "\n".repeat(11));
        assert_eq!(render(&mistake(12, 3), &sources(&text)), want);
    }

    #[test]
    fn a_file_as_a_whole_has_no_caret() {
        let want = "error: unknown key `treshold`\n  --> /etc/t.toml\n   = did you mean `x`?\n";
        assert_eq!(render(&mistake(0, 0), &sources("")), want);
    }

    #[test]
    fn long_lines_are_cut_and_control_characters_are_not_shown() {
        let text = format!("{}\x1b\"b\"", "a".repeat(100_000));
        let shown = render(&mistake(1, 100_002), &sources(&text));
        assert!(
            shown.len() < 400 && shown.contains("^^^ did") && !shown.contains('\x1b'),
            "{shown}"
        );
    }
}
