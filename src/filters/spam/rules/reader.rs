//! Rule files to the [`Book`]: lines, comments, conditions, includes.

use std::collections::HashSet;
use std::iter::Enumerate;

use crate::filters::{RuleFile, Source};

use super::abilities;
use super::book::Book;
use super::directive;
use super::expression::Program;

/// Files within files.
const INCLUDE_DEPTH_MAX: usize = 16;

/// One line, where it stands, and to which group of files it belongs.
pub(in crate::filters::spam) struct Line<'l> {
    pub(in crate::filters::spam) text: &'l [u8],
    pub(in crate::filters::spam) source: Source,
    pub(in crate::filters::spam) group: u32,
}

impl Line<'_> {
    /// Column of a piece of the line, in characters from 1.
    pub(in crate::filters::spam) fn column(&self, piece: &[u8]) -> u32 {
        let offset = piece.as_ptr().addr().saturating_sub(self.text.as_ptr().addr());
        let before = String::from_utf8_lossy(self.text.get(..offset).unwrap_or_default());
        u32::try_from(before.chars().count()).unwrap_or(0).saturating_add(1)
    }
}

type Lines<'f> = std::slice::Split<'f, u8, fn(&u8) -> bool>;

/// Where reading stands in one file.
struct Place<'f> {
    file: &'f RuleFile,
    lines: Enumerate<Lines<'f>>,
    conditions: Vec<Condition>,
    group: u32,
    /// The rest is for another version.
    foreign: bool,
}

/// An open `if`: whether it stands in a part that is read, and whether its own lines are.
struct Condition {
    outer: bool,
    holds: bool,
    line: u32,
}

/// Reads all files in order. Files that another one includes are read where it says so.
pub(in crate::filters::spam) fn read(files: &[RuleFile], network: bool) -> Book {
    let mut book = Book::default();
    let included = included(files);
    let mut group = 0;
    let mut folder: Option<&str> = None;
    for file in files.iter().filter(|file| !included.contains(&*file.name)) {
        let own = folder_of(&file.name);
        if folder != Some(own) {
            group += 1;
            folder = Some(own);
        }
        read_file(file, group, files, &mut book, network);
    }
    book
}

fn folder_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Names of files that others include.
fn included(files: &[RuleFile]) -> HashSet<String> {
    files.iter().flat_map(includes).collect()
}

/// The files that a file of rules includes, as they are looked for: beside it, unless their names are absolute.
#[must_use]
pub fn includes(file: &RuleFile) -> Vec<String> {
    let mut names = Vec::new();
    for line in file.text.split(|octet| *octet == b'\n') {
        if let Some((key, rest)) = word(strip_comment(line).trim_ascii())
            && key.eq_ignore_ascii_case(b"include")
        {
            let name = join(&file.name, &String::from_utf8_lossy(rest));
            if name != *file.name {
                names.push(name);
            }
        }
    }
    names
}

/// The name that an include line means: beside the file it stands in, unless it is absolute.
fn join(file: &str, name: &str) -> String {
    match folder_of(file) {
        _ if name.starts_with('/') => name.to_owned(),
        "" => name.to_owned(),
        folder => format!("{folder}/{name}"),
    }
}

fn is_line_end(octet: &u8) -> bool {
    *octet == b'\n'
}

fn open(file: &RuleFile, group: u32) -> Place<'_> {
    let lines = file.text.split(is_line_end as fn(&u8) -> bool).enumerate();
    Place { file, lines, conditions: Vec::new(), group, foreign: false }
}

fn read_file(file: &RuleFile, group: u32, files: &[RuleFile], book: &mut Book, network: bool) {
    let mut places = vec![open(file, group)];
    while let Some(place) = places.last_mut() {
        let Some((index, text)) = place.lines.next() else {
            for condition in &place.conditions {
                let source = Source { file: place.file.name.clone(), line: condition.line };
                book.error(&source, 0, "this `if` has no `endif`".to_owned(), "");
            }
            places.pop();
            continue;
        };
        let line = u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1);
        let source = Source { file: place.file.name.clone(), line };
        let unescaped = strip_comment(text);
        let trimmed = unescaped.trim_ascii();
        let Some((key, rest)) = word(trimmed).and_then(in_our_language) else { continue };
        let key = String::from_utf8_lossy(key).to_ascii_lowercase().replace('-', "_");
        if condition(place, &key, rest, &source, book, network) || !reading(place) {
            continue;
        }
        if key == "require_version" {
            place.foreign = foreign(rest, &source, book);
            continue;
        }
        let name = join(&place.file.name, &String::from_utf8_lossy(rest));
        if key == "include" {
            let known = files.iter().find(|file| *file.name == name);
            let depth = places.len();
            match known {
                Some(_)
                    if depth >= INCLUDE_DEPTH_MAX
                        || places.iter().any(|at| *at.file.name == name) =>
                {
                    book.error(&source, 0, format!("`{name}` includes itself, or is too deep"), "");
                }
                Some(file) => places.push(open(file, group)),
                None => book.error(
                    &source,
                    0,
                    format!("`{name}` cannot be read"),
                    "check its name and rights",
                ),
            }
            continue;
        }
        let line = Line { text: trimmed, source, group: place.group };
        directive::read(&line, &key, rest, book);
    }
}

/// What stands behind `lang en`; lines for other languages are passed over.
fn in_our_language<'l>((key, rest): (&'l [u8], &'l [u8])) -> Option<(&'l [u8], &'l [u8])> {
    if !key.eq_ignore_ascii_case(b"lang") {
        return Some((key, rest));
    }
    let (language, rest) = word(rest)?;
    b"en_us".starts_with(&language.to_ascii_lowercase()).then(|| word(rest)).flatten()
}

/// True if the file is for another version than that whose language we speak.
fn foreign(rest: &[u8], source: &Source, book: &mut Book) -> bool {
    let wanted = String::from_utf8_lossy(rest);
    if wanted == abilities::VERSION_TEXT || wanted == "@@VERSION@@" {
        return false;
    }
    let what = format!("the rest of this file is not read: it is for version {wanted}");
    book.warning(source, 0, what, &format!("we read rules for {}", abilities::VERSION_TEXT));
    true
}

fn reading(place: &Place<'_>) -> bool {
    !place.foreign
        && place.conditions.last().is_none_or(|condition| condition.outer && condition.holds)
}

/// Handles the lines that open, turn and close conditions; true if it was one.
fn condition(
    place: &mut Place<'_>,
    key: &str,
    rest: &[u8],
    source: &Source,
    book: &mut Book,
    network: bool,
) -> bool {
    let outer = reading(place);
    let rest = String::from_utf8_lossy(rest);
    let holds = match key {
        "if" if outer => match Program::parse(&rest) {
            Ok(program) => {
                let value =
                    program.run(|name| fact(program.names.get(name), source, book, network));
                value.is_ok_and(|value| value != 0.0)
            }
            Err(why) => {
                book.error(source, 0, format!("this condition cannot be read: {why}"), "");
                false
            }
        },
        "ifplugin" if outer => plugin(rest.trim(), source, book),
        "if" | "ifplugin" => false,
        "else" => {
            match place.conditions.last_mut() {
                Some(condition) => condition.holds = !condition.holds,
                None => book.error(source, 0, "this `else` has no `if`".to_owned(), ""),
            }
            return true;
        }
        "endif" => {
            if place.conditions.pop().is_none() {
                book.error(source, 0, "this `endif` has no `if`".to_owned(), "");
            }
            return true;
        }
        _ => return false,
    };
    place.conditions.push(Condition { outer, holds, line: source.line });
    true
}

/// The value of a name in a condition.
fn fact(name: Option<&String>, source: &Source, book: &mut Book, network: bool) -> Result<f64, ()> {
    let name = name.map_or("", String::as_str);
    let asked = |function: &str| {
        let inner = name.strip_prefix(function)?.strip_prefix('(')?;
        inner.strip_suffix(')')
    };
    let truth = |is: bool| f64::from(u8::from(is));
    Ok(match name {
        "version" => abilities::VERSION,
        "perl_version" => 5.036,
        "local_tests_only" => truth(!network),
        _ => match (asked("plugin"), asked("can").or_else(|| asked("has"))) {
            (Some(name), _) => truth(plugin(name, source, book)),
            (_, Some(name)) => truth(abilities::able(name)),
            (None, None) => 0.0,
        },
    })
}

fn plugin(name: &str, source: &Source, book: &mut Book) -> bool {
    let loaded = abilities::plugin(name);
    if !loaded {
        let short = name.rsplit("::").next().unwrap_or(name);
        let what = format!("lines for the plug-in {short} are not read");
        book.once(source, what, "it is off in SpamAssassin as it comes, and not built here", "");
    }
    loaded
}

/// Drops a comment: `#` to the end of the line, unless a backslash stands before it, which then goes.
fn strip_comment(line: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    let Some(mut place) = memchr::memchr(b'#', line) else { return line.into() };
    if place == 0 || line.get(place - 1) != Some(&b'\\') {
        return line.get(..place).unwrap_or_default().into();
    }
    let mut out = Vec::with_capacity(line.len());
    let mut rest = line;
    loop {
        let (before, from) = rest.split_at_checked(place).unwrap_or((rest, &[]));
        out.extend_from_slice(before);
        if from.is_empty() || out.last() != Some(&b'\\') {
            return out.into();
        }
        out.pop();
        out.push(b'#');
        rest = from.get(1..).unwrap_or_default();
        place = memchr::memchr(b'#', rest).unwrap_or(rest.len());
    }
}

/// The first word, and what follows it.
pub(in crate::filters::spam) fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.trim_ascii_start();
    if text.is_empty() {
        return None;
    }
    let end = text.iter().position(u8::is_ascii_whitespace).unwrap_or(text.len());
    let (word, rest) = text.split_at_checked(end)?;
    Some((word, rest.trim_ascii()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(text: &str) -> Book {
        read(&[RuleFile::built_in("a/b.cf", text.as_bytes())], false)
    }

    #[test]
    fn comments_end_at_the_line_and_can_be_escaped() {
        for (line, want) in [("a # b", "a "), ("a \\# b # c", "a # b "), ("# a", ""), ("a", "a")] {
            assert_eq!(String::from_utf8_lossy(&strip_comment(line.as_bytes())), want);
        }
    }

    #[test]
    fn only_lines_whose_condition_holds_are_read() {
        let text = "if (version >= 3.004000)\nbody A /a/\nelse\nbody B /b/\nendif\n\
            ifplugin Mail::SpamAssassin::Plugin::TextCat\nif (version > 1)\nbody C /c/\nelse\nbody D /d/\nendif\n\
            endif\nbody E /e/\n";
        let mut book = book(text);
        book.tell_repeated();
        assert_eq!(book.order, ["A", "E"]);
        assert!(book.mistakes[0].what.contains("TextCat"), "{:?}", book.mistakes);
    }

    #[test]
    fn unbalanced_conditions_are_told() {
        assert_eq!(book("if (1)\n").mistakes.len(), 1);
        assert_eq!(book("endif\n").mistakes.len(), 1);
        assert_eq!(book("else\n").mistakes.len(), 1);
        assert_eq!(book("if (1 &&)\nendif\n").mistakes.len(), 1);
    }

    #[test]
    fn included_files_are_read_in_their_place() {
        let files = [
            RuleFile::built_in("x/local.cf", b"body A /a/\ninclude lists\nbody C /c/\n"),
            RuleFile::built_in("x/lists", b"body B /b/\n"),
        ];
        assert_eq!(read(&files, false).order, ["A", "B", "C"]);
        let missing = read(&files[..1], false);
        assert!(missing.mistakes[0].to_string().starts_with("x/local.cf:2: error: `x/lists`"));
        let circle =
            [RuleFile::built_in("x/0", b"include a\n"), RuleFile::built_in("x/a", b"include a\n")];
        assert_eq!(read(&circle, false).mistakes.len(), 1);
    }
}
