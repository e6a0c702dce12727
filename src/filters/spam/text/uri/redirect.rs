//! Links that lead on to another one: the patterns of rule files that know where it stands.

use aho_corasick::AhoCorasick;

use crate::filters::spam::pattern::{Machine, Pattern, Refusal};

/// Steps of one pattern on one link.
const STEPS_MAX: u64 = 20_000;

/// Patterns whose first group is the link that another one leads to.
#[derive(Debug, Default)]
pub(in crate::filters::spam) struct Redirectors {
    patterns: Vec<Pattern>,
    /// For each pattern a text that it cannot do without.
    needed: Vec<Vec<u8>>,
    /// Nearly all links hold none of these; `None`: there is a pattern that can do without any.
    gate: Option<AhoCorasick>,
}

impl Redirectors {
    /// Adds `/pattern/i`.
    ///
    /// # Errors
    /// Why it is no pattern, for people.
    pub(in crate::filters::spam) fn add(&mut self, text: &str) -> Result<(), String> {
        let (pattern, flags) = delimited(text)?;
        let (pattern, needed) =
            Pattern::with_group(pattern.as_bytes(), flags).map_err(|why| match why {
                Refusal::NotBuilt(why) => format!("it {why}; not built yet"),
                Refusal::Wrong(why) => why,
            })?;
        self.patterns.push(pattern);
        self.needed.push(needed);
        Ok(())
    }

    /// To be called when all patterns are in.
    pub(in crate::filters::spam) fn finish(&mut self) {
        let builder = AhoCorasick::builder().ascii_case_insensitive(true).build(&self.needed);
        self.gate = builder.ok().filter(|_| self.needed.iter().all(|text| !text.is_empty()));
    }

    /// The link to which this one leads on. A pattern that costs too many steps does not match.
    pub(super) fn target<'l>(&self, link: &'l [u8]) -> Option<&'l [u8]> {
        if self.gate.as_ref().is_some_and(|gate| !gate.is_match(link)) {
            return None;
        }
        let mut machine = Machine::default();
        self.patterns.iter().find_map(|pattern| {
            machine.left = STEPS_MAX;
            let target = link.get(pattern.first_group(link, &mut machine)?)?;
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
        all.finish();
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
    fn nearly_all_links_are_told_by_what_they_do_not_hold() {
        let mut all = Redirectors::default();
        all.add(r"m'^https?:/*(?:[^/]+\.)?emf\d\.com/R\.cfm.*?&r=(.*)'i").unwrap();
        all.add(r"/^http:\/\/(?:a|b)\.nate\.com\/[Rr](?=x)\/(.*)$/").unwrap();
        all.finish();
        assert_eq!(all.needed, [b".com/r.cfm".as_slice(), b".nate.com/r/"]);
        assert_eq!(all.target(b"http://x.emf1.COM/r.cfm?&r=a.org"), Some(&b"a.org"[..]));
        assert_eq!(all.target(b"http://x.emf1.com/?&r=a.org"), None);
        all.add(r"m'([^/]*)$'").unwrap();
        all.finish();
        assert!(all.gate.is_none());
        assert_eq!(all.target(b"http://x/a.org"), Some(&b"a.org"[..]));
    }

    #[test]
    fn what_is_no_pattern_is_told() {
        let mut all = Redirectors::default();
        for text in ["", "x", "/x/", "/(x/", "/(x", "/(x)/q", "m", "m/"] {
            assert!(all.add(text).is_err(), "{text}");
        }
    }
}
