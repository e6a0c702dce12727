//! Rules of the kind `uri_detail`: what must hold of one link, all of it.
//!
//! `uri_detail NAME type =~ /^a$/ domain =~ /^example\.org$/ text !~ /example/`. What a key names may be several texts
//! (all forms of a link, all its types); one of them is enough, also for `!~`.

use crate::filters::spam::pattern::{Pattern, Refusal};
use crate::filters::spam::text::{Link, delimited};

use super::Call;

/// What of a link is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Raw,
    Type,
    Cleaned,
    Text,
    Domain,
    Host,
}

const KEYS: [(&str, Key); 6] = [
    ("raw", Key::Raw),
    ("type", Key::Type),
    ("cleaned", Key::Cleaned),
    ("text", Key::Text),
    ("domain", Key::Domain),
    ("host", Key::Host),
];

/// One condition.
struct Condition {
    key: Key,
    negated: bool,
    pattern: Pattern,
}

impl Condition {
    fn holds(&self, link: &Link) -> bool {
        let fits = |text: &[u8]| self.pattern.is_match(text) != self.negated;
        match self.key {
            Key::Raw => fits(&link.raw),
            Key::Type => link.types.iter().any(|kind| fits(kind.as_bytes())),
            Key::Cleaned => link.forms.iter().any(|form| fits(form)),
            Key::Text => link.texts.iter().any(|text| fits(text)),
            Key::Domain => link.hosts.iter().any(|(_, domain)| fits(domain.as_bytes())),
            Key::Host => link.hosts.iter().any(|(host, _)| fits(host.as_bytes())),
        }
    }
}

/// Reads the conditions of a rule.
///
/// # Errors
/// What is wrong with them.
pub(in crate::filters::spam) fn call(text: &str) -> Result<Call, Refusal> {
    let mut conditions: Vec<Condition> = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (condition, behind) = condition(rest)?;
        // Of two conditions with one key SpamAssassin takes the last.
        conditions.retain(|other| other.key != condition.key);
        conditions.push(condition);
        rest = behind.trim_start();
    }
    if conditions.is_empty() {
        return Err(Refusal::Wrong("it asks nothing".to_owned()));
    }
    let elsewhere = conditions.iter().any(|condition| condition.key == Key::Type);
    Ok(Call::new(move |view| {
        let links = view.links().all().iter().filter(|link| elsewhere || !link.elsewhere);
        let mut links = links.filter(|link| conditions.iter().all(|one| one.holds(link)));
        links.next().map(|link| String::from_utf8_lossy(&link.raw).into_owned())
    }))
}

fn condition(text: &str) -> Result<(Condition, &str), Refusal> {
    let wrong = |why: String| Refusal::Wrong(why);
    let name_end = text.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let (name, rest) = text.split_at_checked(name_end.unwrap_or(text.len())).unwrap_or((text, ""));
    let known = KEYS.iter().find(|(known, _)| *known == name);
    let Some((_, key)) = known else {
        let all = KEYS.map(|(name, _)| name).join("`, `");
        return Err(wrong(format!("`{name}` is nothing a link has; it has `{all}`")));
    };
    let rest = rest.trim_start();
    let negated = rest.starts_with("!~");
    let Some(rest) = rest.strip_prefix("=~").or_else(|| rest.strip_prefix("!~")) else {
        return Err(wrong(format!("`=~` or `!~` is missing behind `{name}`")));
    };
    let rest = rest.trim_start();
    let end = pattern_end(rest)
        .ok_or_else(|| wrong(format!("a pattern like /…/i is missing behind `{name}`")))?;
    let (pattern, behind) = rest.split_at_checked(end).unwrap_or((rest, ""));
    let (pattern, flags) = delimited(pattern).map_err(wrong)?;
    let pattern = Pattern::compile(pattern.as_bytes(), flags)?;
    Ok((Condition { key: *key, negated, pattern }, behind))
}

/// Where a pattern ends: at the first closing sign with which a word ends.
fn pattern_end(text: &str) -> Option<usize> {
    let from = if text.starts_with('m') { 1 } else { 0 };
    let sign = text.get(from..)?.chars().next().filter(char::is_ascii_punctuation)?;
    let closing = match sign {
        '{' => '}',
        '(' => ')',
        '[' => ']',
        '<' => '>',
        other => other,
    };
    let body = from + 1;
    for (place, _) in text.get(body..)?.match_indices(closing) {
        let behind = text.get(body + place + 1..)?;
        let flags = behind.bytes().take_while(|octet| b"imsx".contains(octet)).count();
        if behind.get(flags..)?.chars().next().is_none_or(char::is_whitespace) {
            return Some(body + place + 1 + flags);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read_one_by_one() {
        let good = [
            r"raw =~ /%2Ebar/  domain =~ /^bar\.com$/  type =~ /^a$/",
            r"text=~/a b/i cleaned !~ m,https://x,",
            r"raw =~ m{/x /y}",
            "host =~ /a/ host =~ /b/",
        ];
        for text in good {
            assert!(call(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "raw",
            "raw =~",
            "raw == /a/",
            "color =~ /a/",
            "raw =~ /a",
            "raw =~ /(/",
            "raw =~ /a/ x",
        ] {
            assert!(call(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_pattern_may_hold_its_own_sign_and_blanks() {
        for (text, end) in
            [("/a/b c/i rest", 8), ("/a/", 3), ("m'x y'i", 7), ("m{a}", 4), ("/a", 0)]
        {
            assert_eq!(pattern_end(text).unwrap_or(0), end, "{text}");
        }
    }

    #[test]
    fn one_text_of_a_key_is_enough() {
        let link = Link {
            raw: b"http://a.org/".to_vec(),
            types: vec!["a", "img"],
            texts: vec![b"https://b.org/".to_vec()],
            hosts: vec![("www.a.org".to_owned(), "a.org".to_owned())],
            ..Link::default()
        };
        for (text, want) in [
            ("type =~ /^img$/", true),
            ("type !~ /^img$/", true),
            ("type =~ /^form$/", false),
            ("text =~ /^https:/", true),
            ("domain =~ /^a/", true),
            ("host =~ /^a/", false),
            ("raw !~ /org/", false),
            ("cleaned !~ /x/", false),
        ] {
            assert_eq!(condition(text).unwrap().0.holds(&link), want, "{text}");
        }
    }
}
