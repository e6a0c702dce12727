//! Globs and regular expressions for names and types.

use regex::{Regex, RegexBuilder};

/// Octets of one compiled pattern.
const COMPILED_BYTES_MAX: usize = 1 << 20;
pub(super) fn compile(regex: &str) -> Result<Regex, (String, String)> {
    RegexBuilder::new(regex)
        .case_insensitive(true)
        .dot_matches_new_line(true)
        .size_limit(COMPILED_BYTES_MAX)
        .build()
        .map_err(|error| {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default();
            (
                format!("the pattern cannot be read: {}", last.trim_start_matches("error: ")),
                String::new(),
            )
        })
}

/// `*.{lnk,iso}` as a regular expression over the whole name: `*`, `?`, `[…]` and braces are special.
pub(super) fn glob_regex(glob: &str) -> String {
    let mut out = String::from(r"\A(?:");
    let mut braces = 0usize;
    let mut characters = glob.chars();
    while let Some(c) = characters.next() {
        match c {
            '*' => out.push_str(".*"),
            '?' => out.push('.'),
            '{' => {
                braces += 1;
                out.push_str("(?:");
            }
            '}' if braces > 0 => {
                braces -= 1;
                out.push(')');
            }
            ',' if braces > 0 => out.push('|'),
            '[' => match characters.as_str().split_once(']') {
                Some((set, rest)) if !set.is_empty() => {
                    let (caret, set) = match set.strip_prefix(['!', '^']) {
                        Some(set) => ("^", set),
                        None => ("", set),
                    };
                    out.push('[');
                    out.push_str(caret);
                    for member in set.chars() {
                        if matches!(member, '[' | '\\' | '&' | '~' | '^') {
                            out.push('\\');
                        }
                        out.push(member);
                    }
                    out.push(']');
                    characters = rest.chars();
                }
                _ => out.push_str(r"\["),
            },
            other => out.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    // An open brace is left for the compiler to refuse.
    out.push_str(r")\z");
    out
}

/// Splits at commas outside of braces.
pub(super) fn list(value: &str) -> Vec<String> {
    let mut items = vec![String::new()];
    let mut depth = 0usize;
    for c in value.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                items.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(item) = items.last_mut() {
            item.push(c);
        }
    }
    items.retain(|item| !item.is_empty());
    items
}
