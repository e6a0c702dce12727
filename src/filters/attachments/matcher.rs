//! The grammar of `match`: conditions parted by blanks, all of which must hold.
//!
//! `name:GLOB,GLOB` · `name:/REGEX/` · `ext:exe,scr` · `type:…` `real:…` `declared:…` · `is:encrypted` · `in:archive`;
//! a `-` before a condition turns it around. A value with blanks stands in double quotes.

use regex::Regex;

use super::facts::Facts;
use super::glob::{compile, glob_regex, list};
use crate::mail::PartFlag;

/// The classes that [`FileType::class`](crate::mail::FileType) knows.
const CLASSES: [&str; 9] =
    ["executable", "script", "archive", "document", "image", "text", "audio", "video", "data"];

/// A `match`, compiled.
#[derive(Debug)]
pub(super) struct Matcher(Vec<Condition>);

#[derive(Debug)]
struct Condition {
    negated: bool,
    test: Test,
}

#[derive(Debug)]
enum Test {
    Name(Vec<Regex>),
    Extension(Vec<String>),
    Type { values: Vec<Regex>, real: bool, declared: bool },
    Flag(Vec<PartFlag>),
    InArchive,
}

/// What is wrong with a `match`: offset in it, what, and a hint.
pub(super) type Wrong = (usize, String, String);

impl Matcher {
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        let mut conditions = Vec::new();
        for (at, word) in words(text) {
            let wrong = |what: String, hint: &str| (at, what, hint.to_owned());
            let (negated, plain) = match word.strip_prefix('-') {
                Some(rest) => (true, rest),
                None => (false, word.as_str()),
            };
            let Some((key, value)) = plain.split_once(':').filter(|(_, value)| !value.is_empty())
            else {
                return Err(wrong(
                    format!("'{word}' is no condition"),
                    "write name:*.exe, ext:exe, type:executable, is:encrypted or in:archive",
                ));
            };
            let test = Test::parse(key, value).map_err(|(what, hint)| wrong(what, &hint))?;
            conditions.push(Condition { negated, test });
        }
        if conditions.is_empty() {
            return Err((
                0,
                "a rule without a condition would fit everything".to_owned(),
                "write name:* if that is meant".to_owned(),
            ));
        }
        Ok(Self(conditions))
    }

    /// The name or type that made it fit; `Some("")` if only flags did.
    pub fn fits(&self, facts: &Facts) -> Option<String> {
        let mut evidence = String::new();
        for condition in &self.0 {
            match (condition.test.holds(facts), condition.negated) {
                (None, true) => {}
                (Some(what), false) => {
                    if evidence.is_empty() {
                        evidence = what.to_owned();
                    }
                }
                (Some(_), true) | (None, false) => return None,
            }
        }
        Some(evidence)
    }
}

impl Test {
    fn parse(key: &str, value: &str) -> Result<Self, (String, String)> {
        let none = String::new;
        Ok(match key {
            "name" => {
                Self::Name(match value.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) {
                    Some(regex) => vec![compile(regex)?],
                    None => list(value)
                        .iter()
                        .map(|glob| compile(&glob_regex(glob)))
                        .collect::<Result<_, _>>()?,
                })
            }
            "ext" => Self::Extension(
                list(value)
                    .iter()
                    .map(|ext| ext.trim_start_matches("*.").trim_start_matches('.').to_lowercase())
                    .collect(),
            ),
            "type" | "real" | "declared" => {
                let values = list(value);
                if key != "declared" {
                    values.iter().try_for_each(|value| known_class(value))?;
                }
                Self::Type {
                    values: values
                        .iter()
                        .map(|glob| compile(&glob_regex(glob)))
                        .collect::<Result<_, _>>()?,
                    real: key != "declared",
                    declared: key != "real",
                }
            }
            "is" => {
                Self::Flag(list(value).iter().map(|name| flag(name)).collect::<Result<_, _>>()?)
            }
            "in" if value == "archive" => Self::InArchive,
            "in" => {
                return Err((format!("'in:{value}' is not known"), "write in:archive".to_owned()));
            }
            _ => {
                return Err((
                    format!("'{key}:' is not known"),
                    none() + "write name, ext, type, real, declared, is or in",
                ));
            }
        })
    }

    /// What made it hold; empty where there is nothing to name.
    fn holds<'f>(&self, facts: &'f Facts) -> Option<&'f str> {
        match self {
            Self::Name(globs) => facts
                .names
                .iter()
                .find(|name| globs.iter().any(|glob| glob.is_match(name)))
                .map(String::as_str),
            Self::Extension(wanted) => facts
                .names
                .iter()
                .find(|name| extension(name).is_some_and(|ext| wanted.contains(&ext)))
                .map(String::as_str),
            Self::Type { values, real, declared } => {
                let fits = |text: &str| values.iter().any(|value| value.is_match(text));
                let found = facts.types.iter().filter(|_| *real).find_map(|kind| {
                    (fits(&kind.short) || fits(&kind.class) || fits(&kind.mime))
                        .then_some(kind.short.as_str())
                });
                let stated = (*declared && !facts.declared.is_empty() && fits(&facts.declared))
                    .then_some(facts.declared.as_str());
                found.or(stated)
            }
            Self::Flag(flags) => facts.flags.iter().any(|flag| flags.contains(flag)).then_some(""),
            Self::InArchive => facts.in_archive.then_some(""),
        }
    }
}

/// What follows the last dot, in lower case; dots and blanks at the end do not count, as Windows drops them.
fn extension(name: &str) -> Option<String> {
    let name = name.trim_end_matches(|c: char| c == '.' || c.is_whitespace() || c.is_control());
    name.rsplit_once('.').map(|(_, ext)| ext.trim().to_lowercase())
}

pub(super) fn flag(name: &str) -> Result<PartFlag, (String, String)> {
    PartFlag::ASKABLE.into_iter().find(|flag| flag.as_str() == name).ok_or_else(|| {
        let known = PartFlag::ASKABLE.map(PartFlag::as_str).join(", ");
        (format!("'is:{name}' is not known"), format!("write one of {known}"))
    })
}

/// A type that is nearly a class is a slip of the pen; other unknown types cannot be told from rare ones.
fn known_class(value: &str) -> Result<(), (String, String)> {
    match CLASSES.iter().find(|class| {
        value != **class
            && value.len().abs_diff(class.len()) <= 1
            && value.len() > 4
            && letters_apart(value, class) <= 2
    }) {
        Some(class) => Err((format!("no type is named '{value}'"), format!("write {class}"))),
        None => Ok(()),
    }
}

/// How many letters one word has that the other has not; a rough distance that needs no table.
fn letters_apart(one: &str, other: &str) -> usize {
    let count = |word: &str, letter: char| word.chars().filter(|c| *c == letter).count();
    ('a'..='z').map(|letter| count(one, letter).abs_diff(count(other, letter))).sum()
}

/// Words with their offsets; double quotes keep blanks inside.
fn words(text: &str) -> Vec<(usize, String)> {
    let mut words: Vec<(usize, String)> = Vec::new();
    let mut quoted = false;
    let mut open = false;
    for (at, c) in text.char_indices() {
        if c == ' ' && !quoted {
            open = false;
            continue;
        }
        if !open {
            words.push((at, String::new()));
            open = true;
        }
        if c == '"' {
            quoted = !quoted;
        } else if let Some((_, word)) = words.last_mut() {
            word.push(c);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::super::facts::example;
    use super::*;

    fn check(rule: &str, part: &str, want: bool) {
        let matcher = Matcher::parse(rule).unwrap_or_else(|wrong| panic!("{rule}: {wrong:?}"));
        assert_eq!(matcher.fits(&example(part)).is_some(), want, "{rule} on {part}");
    }

    #[test]
    fn names_are_matched_as_a_whole_and_without_case() {
        check("name:*.{lnk,iso}", "a.ISO", true);
        check("name:*.{lnk,iso}", "a.iso.txt", false);
        check("name:a?.[xy],b*", "a1.y", true);
        check("name:a?.[!xy],b*", "a1.y", false);
        check("name:a?.[xy],b*", "bbb", true);
        check("name:\"my file*\"", "my file.txt", true);
        check("name:/^x+$/", "xxx", true);
        check("name:setup*", "dir\\setup.bin", true);
    }

    #[test]
    fn extensions_are_what_windows_takes_for_one() {
        for name in ["a.exe", "A.EXE", "a.exe.", "a.exe . .", "a.jpg      .exe", ".exe"] {
            check("ext:exe,scr", name, true);
        }
        for name in ["exe", "a.exe.txt", "post.exe_kopija.zip"] {
            check("ext:exe,scr", name, false);
        }
    }

    #[test]
    fn types_are_short_names_classes_and_mime_types() {
        check("type:executable,script", "a type:executable", true);
        check("type:image/*", "a declared:image/png", true);
        check("real:image/*", "a declared:image/png", false);
        check("declared:image/*", "a type:image/png", false);
    }

    #[test]
    fn all_conditions_must_hold() {
        check("is:encrypted type:archive", "a.zip type:archive is:encrypted", true);
        check("is:encrypted type:archive", "a.zip type:archive", false);
        check("is:macro -ext:docm", "a.docm is:macro", false);
        check("is:macro -ext:docm", "a.doc is:macro", true);
        check("ext:js in:archive", "a.js in:archive", true);
        check("ext:js in:archive", "a.js", false);
    }

    #[test]
    fn mistakes_are_told() {
        for rule in [
            "",
            "exe",
            "nam:x",
            "is:big",
            "in:box",
            "type:exectuable",
            "name:{a",
            "name:/(/",
            "ext:",
        ] {
            assert!(Matcher::parse(rule).is_err(), "{rule}");
        }
        assert_eq!(Matcher::parse("ext:exe is:big").unwrap_err().0, 8);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(rule: String, part: String) {
            if let Ok(matcher) = Matcher::parse(&rule) {
                let _ = matcher.fits(&example(&part));
            }
        }
    }
}
