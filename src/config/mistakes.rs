//! All mistakes of a load, and how they are shown.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::filters::{Mistake, Severity};

/// Longer lines are cut around the mistake.
const SHOWN_CHARS_MAX: usize = 160;
/// Mistakes that are shown; of more, the errors come first.
const SHOWN_MAX: usize = 100;

/// Texts of files by name, to show the lines with mistakes.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    texts: BTreeMap<Arc<str>, Text>,
}

/// A text, and where each line of it begins.
#[derive(Debug, Clone)]
struct Text {
    octets: Arc<[u8]>,
    lines: Arc<[usize]>,
}

impl Sources {
    /// Adds a file, configuration or rules.
    pub fn add(&mut self, name: Arc<str>, text: impl Into<Arc<[u8]>>) {
        let octets: Arc<[u8]> = text.into();
        let ends = memchr::memchr_iter(b'\n', &octets).map(|end| end + 1);
        let lines = std::iter::once(0).chain(ends).collect();
        self.texts.insert(name, Text { octets, lines });
    }

    /// True if the text of this file is here.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.texts.contains_key(name)
    }

    /// A line, counted from 1, without its end.
    fn line(&self, file: &str, line: u32) -> Option<String> {
        let index = usize::try_from(line).ok()?.checked_sub(1)?;
        let text = self.texts.get(file)?;
        let start = *text.lines.get(index)?;
        let end = text.lines.get(index + 1).map_or(text.octets.len(), |next| next - 1);
        let line = text.octets.get(start..end)?;
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
        f.write_str(&render_all(&self.list, &self.sources))?;
        let errors = self.list.iter().filter(|mistake| mistake.severity == Severity::Error).count();
        writeln!(f, "{errors} error{}", if errors == 1 { "" } else { "s" })
    }
}

/// As [`render`], the first hundred of them, and how many more there are.
#[must_use]
pub fn render_all(mistakes: &[Mistake], sources: &Sources) -> String {
    let is_error = |mistake: &&Mistake| mistake.severity == Severity::Error;
    let errors = mistakes.iter().filter(is_error).count();
    // No error may be lost behind warnings.
    let mut room = (errors.min(SHOWN_MAX), SHOWN_MAX.saturating_sub(errors));
    let mut text = String::new();
    for mistake in mistakes {
        let room = if is_error(&mistake) { &mut room.0 } else { &mut room.1 };
        if let Some(left) = room.checked_sub(1) {
            *room = left;
            text.push_str(&render(mistake, sources));
        }
    }
    let more = mistakes.len().saturating_sub(SHOWN_MAX);
    if more > 0 {
        text.push_str(&format!("… and {more} more like these, which are not shown\n"));
    }
    text
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
    fn of_many_mistakes_the_first_hundred_are_shown_errors_before_warnings() {
        let sources = sources(&"if (version > 1)\n".repeat(200_000));
        let mut all: Vec<Mistake> = (1..=200_000).map(|line| mistake(line, 1)).collect();
        let shown = render_all(&all, &sources);
        assert_eq!(shown.matches("  -->").count(), 100);
        assert!(
            shown.ends_with("\n… and 199900 more like these, which are not shown\n"),
            "{shown}"
        );
        for mistake in &mut all[..199_999] {
            mistake.severity = Severity::Warning;
        }
        let shown = render_all(&all, &sources);
        assert_eq!(shown.matches("  -->").count(), 100);
        assert!(shown.contains("t.toml:200000:1"));
        assert!(!render_all(&all[..100], &sources).contains("more"));
    }

    #[test]
    fn lines_are_found_by_their_number() {
        let sources = sources("a\r\n\nb");
        let line = |number| sources.line("/etc/t.toml", number);
        assert_eq!(
            [0, 1, 2, 3, 4].map(line),
            [None, Some("a".into()), Some(String::new()), Some("b".into()), None]
        );
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
