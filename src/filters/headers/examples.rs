//! A table's own tests: comment lines `#= input => ACTION`.

use super::Table;
use crate::filters::{Mistake, Severity};

/// One example; it holds for the whole table, not for the rule it stands beside.
pub(super) struct Example {
    line: u32,
    input: Vec<u8>,
    want: String,
}

impl Example {
    /// The examples in a table. `\n` and `\t` in the input stand for a line end and a tab, `\\` for a backslash.
    pub fn all(text: &[u8]) -> Vec<Self> {
        (1u32..)
            .zip(text.split(|octet| *octet == b'\n'))
            .filter_map(|(line, octets)| {
                let octets = octets.trim_ascii().strip_prefix(b"#=")?;
                let text = String::from_utf8_lossy(octets);
                let (input, want) = text.rsplit_once("=>").or_else(|| text.rsplit_once('⇒'))?;
                Some(Self { line, input: unescaped(input.trim()), want: want.trim().to_owned() })
            })
            .collect()
    }
}

impl Table {
    /// Runs the examples. A want of one word is compared with the action's name, a longer one with the whole result;
    /// `DUNNO` means that nothing is done.
    #[must_use]
    pub fn run_examples(&self) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        for example in &self.examples {
            let got = self
                .query_text(&example.input)
                .map_or_else(|| "DUNNO".to_owned(), |(text, _)| text);
            let first = got.split_ascii_whitespace().next().unwrap_or_default();
            let first = if first.eq_ignore_ascii_case("OK") { "DUNNO" } else { first };
            let fits = got == example.want || first.eq_ignore_ascii_case(&example.want);
            if !fits {
                mistakes.push(Mistake {
                    file: self.file.clone(),
                    line: example.line,
                    column: 0,
                    what: format!(
                        "this example gives '{}', not '{}'",
                        got.escape_debug(),
                        example.want
                    ),
                    hint: String::new(),
                    severity: Severity::Error,
                });
            }
        }
        mistakes
    }
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        let meant = match (c, characters.peek()) {
            ('\\', Some('n')) => '\n',
            ('\\', Some('t')) => '\t',
            ('\\', Some('\\')) => '\\',
            _ => {
                out.push(c);
                continue;
            }
        };
        out.push(meant);
        characters.next();
    }
    out.into_bytes()
}
