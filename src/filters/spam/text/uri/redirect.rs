//! Links that lead on to another one: the patterns of rule files that know where it stands.

use std::cell::Cell;

use aho_corasick::AhoCorasick;

use crate::filters::spam::pattern::{Machine, Pattern, Refusal};

/// Steps of all patterns on all links of a mail, some hundred milliseconds: enough for a link of any length that is
/// looked at.
const MAIL_STEPS: u64 = 12_000_000;
/// Steps on a link once the mail's are used up: enough for nearly all.
const LAST_STEPS: u64 = 20_000;

/// What was spent on the links of one mail.
#[derive(Debug, Clone, Default)]
pub(super) struct Effort {
    steps: Cell<u64>,
    /// Links of which nobody knows where they lead, because that would take more.
    pub(super) unfinished: Cell<usize>,
}

/// Patterns whose first group is the link that another one leads to.
#[derive(Debug, Default)]
pub(in crate::filters::spam) struct Redirectors {
    patterns: Vec<Pattern>,
    /// For each pattern a text that it cannot do without.
    needed: Vec<Vec<u8>>,
    /// Which of these a link holds, nearly always none; `None`: there is a pattern that can do without any.
    gate: Option<AhoCorasick>,
}

impl Redirectors {
    /// Adds `/pattern/i`.
    ///
    /// # Errors
    /// Why it is no pattern, or none that we can use.
    pub(in crate::filters::spam) fn add(&mut self, text: &str) -> Result<(), Refusal> {
        let (pattern, flags) = delimited(text).map_err(Refusal::Wrong)?;
        let (pattern, needed) = Pattern::with_group(pattern.as_bytes(), flags)?;
        self.patterns.push(pattern);
        self.needed.push(needed);
        Ok(())
    }

    /// To be called when all patterns are in.
    pub(in crate::filters::spam) fn finish(&mut self) {
        let builder = AhoCorasick::builder().ascii_case_insensitive(true).build(&self.needed);
        self.gate = builder.ok().filter(|_| self.needed.iter().all(|text| !text.is_empty()));
    }

    /// The link to which this one leads on. A pattern that costs too many steps does not match, which is noted.
    pub(super) fn target<'l>(&self, link: &'l [u8], effort: &Effort) -> Option<&'l [u8]> {
        let patterns = self.worth_trying(link);
        let mut machine = Machine::default();
        patterns.into_iter().find_map(|pattern| {
            let spent = effort.steps.get();
            let given = MAIL_STEPS.saturating_sub(spent).max(LAST_STEPS);
            machine.left = given;
            let group = pattern.first_group(link, &mut machine);
            effort.steps.set(spent.saturating_add(given - machine.left));
            if group.is_none() && machine.left == 0 {
                effort.unfinished.set(effort.unfinished.get().saturating_add(1));
            }
            let target = link.get(group?)?;
            target.contains(&b'.').then_some(target)
        })
    }

    /// The patterns of which the link holds the text they need, in their order.
    fn worth_trying(&self, link: &[u8]) -> Vec<&Pattern> {
        let Some(gate) = &self.gate else { return self.patterns.iter().collect() };
        if !gate.is_match(link) {
            return Vec::new();
        }
        let mut found = vec![false; self.patterns.len()];
        for place in gate.find_overlapping_iter(link) {
            if let Some(slot) = found.get_mut(place.pattern().as_usize()) {
                *slot = true;
            }
        }
        self.patterns.iter().zip(found).filter(|(_, found)| *found).map(|(own, _)| own).collect()
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
            assert_eq!(
                all.target(link.as_bytes(), &Effort::default()),
                want.map(str::as_bytes),
                "{link}"
            );
        }
    }

    #[test]
    fn a_link_hides_nothing_by_its_length_and_what_takes_too_long_is_noted() {
        let mut all = Redirectors::default();
        all.add(r"/^http:\/\/.+\.gov\/(?:.*\/)?go\.jhtml\?.*url=(.*?)(?:&.*)?$/i").unwrap();
        all.finish();
        for count in [1, 10, 200, 1_300] {
            let link = format!("http://x.gov/go.jhtml?url=a.org/&{}", "a.gov/".repeat(count));
            let effort = Effort::default();
            assert_eq!(all.target(link.as_bytes(), &effort), Some(&b"a.org/"[..]), "{count}");
            assert_eq!(effort.unfinished.get(), 0);
        }
        let long = format!("http://x.gov/go.jhtml?url=a.org/&{}", "a.gov/".repeat(200));
        let effort = Effort::default();
        effort.steps.set(MAIL_STEPS);
        assert_eq!(all.target(long.as_bytes(), &effort), None);
        assert_eq!(effort.unfinished.get(), 1);
    }

    #[test]
    fn nearly_all_links_are_told_by_what_they_do_not_hold() {
        let mut all = Redirectors::default();
        all.add(r"m'^https?:/*(?:[^/]+\.)?emf\d\.com/R\.cfm.*?&r=(.*)'i").unwrap();
        all.add(r"/^http:\/\/(?:a|b)\.nate\.com\/[Rr](?=x)\/(.*)$/").unwrap();
        all.finish();
        assert_eq!(all.needed, [b".com/r.cfm".as_slice(), b".nate.com/r/"]);
        assert_eq!(
            all.target(b"http://x.emf1.COM/r.cfm?&r=a.org", &Effort::default()),
            Some(&b"a.org"[..])
        );
        assert_eq!(all.target(b"http://x.emf1.com/?&r=a.org", &Effort::default()), None);
        all.add(r"m'([^/]*)$'").unwrap();
        all.finish();
        assert!(all.gate.is_none());
        assert_eq!(all.target(b"http://x/a.org", &Effort::default()), Some(&b"a.org"[..]));
    }

    #[test]
    fn what_is_no_pattern_is_told() {
        let mut all = Redirectors::default();
        for text in ["", "x", "/x/", "/(x/", "/(x", "/(x)/q", "m", "m/"] {
            assert!(all.add(text).is_err(), "{text}");
        }
    }
}
