//! Links that lead on to another one: the patterns of rule files that know where it stands.

use fancy_regex::{BytesMode, Regex, RegexBuilder};

/// Steps back of one pattern on one link.
const STEPS_MAX: usize = 20_000;
/// Octets of a compiled pattern.
const COMPILED_MAX: usize = 1 << 20;

/// Patterns whose first group is the link that another one leads to.
#[derive(Debug, Default)]
pub(in crate::filters::spam) struct Redirectors(Vec<Regex>);

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
        self.0.push(regex);
        Ok(())
    }

    /// The link to which this one leads on. A pattern that costs too many steps does not match.
    pub(super) fn target<'l>(&self, link: &'l [u8]) -> Option<&'l [u8]> {
        self.0.iter().find_map(|regex| {
            let captures = regex.captures(link).ok()??;
            let target = link.get(captures.get(1)?.range())?;
            target.contains(&b'.').then_some(target)
        })
    }
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
    fn what_is_no_pattern_is_told() {
        let mut all = Redirectors::default();
        for text in ["", "x", "/x/", "/(x/", "/(x", "/(x)/q", "m", "m/"] {
            assert!(all.add(text).is_err(), "{text}");
        }
    }
}
