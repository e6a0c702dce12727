//! Links that lead on to another one: the patterns of rule files that know where it stands.

use fancy_regex::{BytesMode, Regex, RegexBuilder};
use regex::bytes::{RegexSet, RegexSetBuilder};

/// Steps back of one pattern on one link.
const STEPS_MAX: usize = 20_000;
/// Octets of a compiled pattern.
const COMPILED_MAX: usize = 1 << 20;

/// Patterns whose first group is the link that another one leads to.
#[derive(Debug, Default)]
pub(in crate::filters::spam) struct Redirectors {
    patterns: Vec<Regex>,
    /// The same without look-around, so that they match more: nearly all links fit none, which one pass tells.
    loose: Vec<String>,
    gate: Option<RegexSet>,
}

impl Redirectors {
    /// Adds `/pattern/i`.
    ///
    /// # Errors
    /// Why it is no pattern, for people.
    pub(in crate::filters::spam) fn add(&mut self, text: &str) -> Result<(), String> {
        let (pattern, flags) = delimited(text)?;
        let mut builder = RegexBuilder::new(pattern);
        builder
            .bytes_mode(BytesMode::Ascii)
            .case_insensitive(flags.contains('i'))
            .multi_line(flags.contains('m'))
            .dot_matches_new_line(flags.contains('s'))
            .ignore_whitespace(flags.contains('x'))
            .backtrack_limit(STEPS_MAX)
            .delegate_size_limit(COMPILED_MAX);
        let regex = builder.build().map_err(|error| error.to_string())?;
        if regex.captures_len() < 2 {
            return Err("it has no group (…) for the link".to_owned());
        }
        self.patterns.push(regex);
        let flags: String = flags.chars().filter(|flag| "imsx".contains(*flag)).collect();
        let flags = if flags.is_empty() { flags } else { format!("(?{flags})") };
        self.loose.push(flags + &without_look_around(pattern));
        Ok(())
    }

    /// To be called when all patterns are in.
    pub(in crate::filters::spam) fn finish(&mut self) {
        self.gate = RegexSetBuilder::new(&self.loose).unicode(false).build().ok();
    }

    /// The link to which this one leads on. A pattern that costs too many steps does not match.
    pub(super) fn target<'l>(&self, link: &'l [u8]) -> Option<&'l [u8]> {
        if self.gate.as_ref().is_some_and(|gate| !gate.is_match(link)) {
            return None;
        }
        let fits = self.gate.as_ref().map(|gate| gate.matches(link));
        self.patterns.iter().enumerate().find_map(|(place, regex)| {
            if fits.as_ref().is_some_and(|fits| !fits.matched(place)) {
                return None;
            }
            let captures = regex.captures(link).ok()??;
            let target = link.get(captures.get(1)?.range())?;
            target.contains(&b'.').then_some(target)
        })
    }
}

/// The pattern with an empty group in place of each `(?=…)`, `(?!…)`, `(?<=…)` and `(?<!…)`.
fn without_look_around(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    // Groups that are open inside a look-around; 0: we are in none.
    let mut inside = 0_usize;
    let mut class = false;
    while let Some(letter) = rest.chars().next() {
        let escape = letter == '\\';
        let mut length = letter.len_utf8();
        if escape {
            length += rest.get(1..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
        }
        let looks = ["(?=", "(?!", "(?<=", "(?<!"].iter().any(|start| rest.starts_with(start));
        let begins = !class && inside == 0 && looks;
        match letter {
            _ if escape => {}
            '[' => class = true,
            ']' => class = false,
            '(' if !class && (begins || inside > 0) => inside += 1,
            ')' if !class && inside > 0 => {
                inside -= 1;
                if inside == 0 {
                    out.push_str("(?:)");
                    length = 0;
                    rest = rest.get(1..).unwrap_or_default();
                }
            }
            _ => {}
        }
        let (piece, behind) = rest.split_at_checked(length).unwrap_or((rest, ""));
        if inside == 0 {
            out.push_str(piece);
        }
        rest = behind;
    }
    out
}

/// `/…/flags` and `m'…'flags`: what stands between the signs, and the flags.
///
/// # Errors
/// What is missing, for people.
pub(in crate::filters::spam) fn delimited(text: &str) -> Result<(&str, &str), String> {
    let missing = || "a pattern like /…/i is missing".to_owned();
    let text = text.trim();
    let body = match text.strip_prefix('m') {
        Some(body) if body.starts_with(|sign: char| sign.is_ascii_punctuation()) => body,
        _ if text.starts_with('/') => text,
        _ => return Err(missing()),
    };
    let (opening, body) = body.split_at_checked(1).ok_or_else(missing)?;
    let closing = match opening {
        "{" => "}",
        "(" => ")",
        "[" => "]",
        "<" => ">",
        other => other,
    };
    let (pattern, flags) = body.rsplit_once(closing).ok_or("the pattern is not closed")?;
    if let Some(flag) = flags.chars().find(|flag| !"imsxoglua".contains(*flag)) {
        return Err(format!("`{flag}` behind the pattern is no flag"));
    }
    Ok((pattern, flags))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_pattern_with_a_link_in_it_counts() {
        let mut all = Redirectors::default();
        all.add(r"m'^http://go\.example/\?.*(?<=[?&])to=(.*?)(?:$|[&\#])'i").unwrap();
        all.add(r"/^https?:\/\/go\.example\/(.*)$/").unwrap();
        all.finish();
        assert!(all.gate.is_some());
        for (link, want) in [
            ("http://go.example/?a=b&to=a.org&c", Some("a.org")),
            ("HTTP://go.example/?to=a.org", Some("a.org")),
            ("https://go.example/b.org/x", Some("b.org/x")),
            ("https://go.example/none", None),
            ("http://a.org/", None),
        ] {
            assert_eq!(all.target(link.as_bytes()), want.map(str::as_bytes), "{link}");
        }
    }

    #[test]
    fn look_around_is_dropped_whole() {
        for (pattern, want) in [
            (r"a(?<=[?&)])b", "a(?:)b"),
            (r"(?!x(y|\))z)(c)", "(?:)(c)"),
            (r"(?:a)[(?=]\(?=", r"(?:a)[(?=]\(?="),
        ] {
            assert_eq!(without_look_around(pattern), want, "{pattern}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_told() {
        let mut all = Redirectors::default();
        for text in ["", "x", "/x/", "/(x/", "/(x", "/(x)/q", "m", "m/"] {
            assert!(all.add(text).is_err(), "{text}");
        }
    }
}
