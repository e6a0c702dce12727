//! Single lines of rule files.

use std::sync::Arc;

use crate::filters::Score;
use crate::filters::spam::bayes::autolearn::Area;
use crate::filters::spam::evals;
use crate::filters::spam::text::{Scope, Selector, Target};

use super::book::{Book, Definition, Example, Question};
use super::elsewhere;
use super::reader::{Line, word};

/// Lines about rules of the network that define no rule by themselves: the tables of lists.
const LISTS: [&str; 6] =
    ["uridnsbl", "urirhsbl", "urirhssub", "uridnssub", "urinsrhsbl", "urinsrhssub"];

/// Reads one line; `key` is its first word in lower case with `_` for `-`.
pub(in crate::filters::spam) fn read(line: &Line<'_>, key: &str, rest: &[u8], book: &mut Book) {
    match key {
        "header" | "body" | "rawbody" | "full" | "uri" | "mimeheader" | "meta" | "uri_detail"
        | "askdns" => define(line, key, rest, book),
        "score" | "describe" | "tflags" | "priority" | "test" => annotate(line, key, rest, book),
        "reuse" => reuse(line, rest, book),
        _ if book.tags.read(key, rest) => {}
        _ if evals::reads(key) || LISTS.contains(&key) => {
            let text = String::from_utf8_lossy(rest).into_owned();
            book.settings.add(key, text, line.source.clone());
        }
        _ if elsewhere::silent(key) => {}
        _ => {
            let what = format!("`{}` is not used here", elsewhere::told(key));
            book.once(&line.source, what, elsewhere::hint(key), "");
        }
    }
}

/// Words of `tflags`; some of them are for who makes rule files, or for what is not here (`publish`, `noawl`).
const FLAGS: [&str; 19] = [
    "a",
    "autolearn_body",
    "autolearn_force",
    "autolearn_header",
    "concat",
    "domains_only",
    "ips_only",
    "learn",
    "multiple",
    "net",
    "nice",
    "noautolearn",
    "noawl",
    "nopublish",
    "nosubject",
    "notrim",
    "ns",
    "publish",
    "userconf",
];

fn rule_name<'l>(line: &Line<'_>, rest: &'l [u8], book: &mut Book) -> Option<(&'l str, &'l [u8])> {
    let Some((name, rest)) = word(rest) else {
        book.error(&line.source, 0, "the name of a rule is missing".to_owned(), "");
        return None;
    };
    let good = |(place, octet): (usize, &u8)| {
        octet.is_ascii_alphabetic() || *octet == b'_' || (place > 0 && octet.is_ascii_digit())
    };
    match std::str::from_utf8(name) {
        Ok(text) if name.iter().enumerate().all(good) => Some((text, rest)),
        _ => {
            let what = format!("`{}` is no name for a rule", String::from_utf8_lossy(name));
            book.error(&line.source, line.column(name), what, "use letters, digits and `_`");
            None
        }
    }
}

fn define(line: &Line<'_>, kind: &str, rest: &[u8], book: &mut Book) {
    let Some((name, rest)) = rule_name(line, rest, book) else { return };
    let column = line.column(rest);
    let question = match kind {
        "askdns" => {
            let text = format!("{name} {}", String::from_utf8_lossy(rest));
            book.settings.add(kind, text, line.source.clone());
            Ok(Question::Function(format!("check_askdns('{name}')")))
        }
        _ => question(kind, rest),
    };
    let question = match question {
        Ok(question) => question,
        Err(why) => {
            book.error(&line.source, column, format!("{name}: {why}"), "");
            return;
        }
    };
    let draft = book.draft(name, line.group, true);
    let area = Area::of(kind);
    draft.definition = Some(Definition { question, source: line.source.clone(), column, area });
}

/// `reuse NAME`: for who makes rule files, and at the same time a rule of that name that never hits by itself.
fn reuse(line: &Line<'_>, rest: &[u8], book: &mut Book) {
    let Some((name, _)) = rule_name(line, rest, book) else { return };
    let source = line.source.clone();
    book.annotate(name, line.group, |draft| {
        let nothing = || Definition {
            question: Question::Nothing,
            source: source.clone(),
            column: 0,
            area: Area::of("meta"),
        };
        draft.definition.get_or_insert_with(nothing);
    });
}

fn question(kind: &str, rest: &[u8]) -> Result<Question, String> {
    if rest.is_empty() {
        return Err("it asks nothing".to_owned());
    }
    for prefix in [b"eval:".as_slice(), b"rbleval:"] {
        if let Some(call) = rest.strip_prefix(prefix) {
            let raw = if kind == "rawbody" { "raw:" } else { "" };
            return Ok(Question::Function(format!(
                "{raw}{}",
                String::from_utf8_lossy(call).trim()
            )));
        }
    }
    let target = match kind {
        "body" => Target::Body,
        "rawbody" => Target::RawBody,
        "full" => Target::Full,
        "uri" => Target::Uri,
        "meta" => return Ok(Question::Meta(String::from_utf8_lossy(rest).into_owned())),
        "header" | "mimeheader" => return header(kind, rest),
        "uri_detail" => return Ok(Question::Link(String::from_utf8_lossy(rest).into_owned())),
        _ => return Ok(Question::NotBuilt(format!("`{kind}` is not built yet"))),
    };
    let (pattern, flags) = pattern(rest)?;
    let place = kind.to_owned();
    Ok(Question::Pattern { target, place, negated: false, unset: None, pattern, flags })
}

/// Why a field cannot be looked at.
enum Trouble {
    NotBuilt(String),
    Wrong(String),
}

fn header(kind: &str, rest: &[u8]) -> Result<Question, String> {
    let selector = |text: &[u8]| Selector::parse(String::from_utf8_lossy(text).trim());
    let target = |selector| match kind {
        "header" => Target::Header(selector),
        _ => Target::MimeHeader(selector, Scope::default()),
    };
    let selector = |text: &[u8]| {
        let name = text.trim_ascii();
        if matches!(name.first(), None | Some(b':')) {
            return Err(Trouble::Wrong(format!(
                "`{kind}` has no name of a field, as in `{kind} NAME X-Field =~ /…/`"
            )));
        }
        match selector(name) {
            Ok(selector) if kind == "mimeheader" && selector.has_form() => Err(Trouble::Wrong(
                "fields of parts can only have `:raw` behind their names".to_owned(),
            )),
            Ok(selector) => Ok(selector),
            Err(why) => Err(Trouble::NotBuilt(why)),
        }
    };
    if let Some(name) = rest.strip_prefix(b"exists:") {
        return match selector(name) {
            Ok(selector) => Ok(Question::Exists(target(selector), spelled(kind, name))),
            Err(Trouble::NotBuilt(why)) => Ok(Question::NotBuilt(why)),
            Err(Trouble::Wrong(why)) => Err(why),
        };
    }
    let equal = memchr::memmem::find(rest, b"=~");
    let unequal = memchr::memmem::find(rest, b"!~");
    let (place, negated) = match (equal, unequal) {
        (Some(equal), Some(unequal)) => (equal.min(unequal), unequal < equal),
        (Some(equal), None) => (equal, false),
        (None, Some(unequal)) => (unequal, true),
        (None, None) => return Err("`=~`, `!~` or `exists:` is missing".to_owned()),
    };
    let field = spelled(kind, rest.get(..place).unwrap_or_default());
    let selector = match selector(rest.get(..place).unwrap_or_default()) {
        Ok(selector) => selector,
        Err(Trouble::NotBuilt(why)) => return Ok(Question::NotBuilt(why)),
        Err(Trouble::Wrong(why)) => return Err(why),
    };
    let mut right = rest.get(place + 2..).unwrap_or_default().trim_ascii();
    let mut unset = None;
    if let Some(start) = memchr::memmem::rfind(right, b"[if-unset:")
        && let Some(inside) = right.get(start + 10..).and_then(|inside| inside.strip_suffix(b"]"))
    {
        unset = Some(inside.trim_ascii().to_vec());
        right = right.get(..start).unwrap_or_default().trim_ascii();
    }
    let (pattern, flags) = pattern(right)?;
    Ok(Question::Pattern { target: target(selector), place: field, negated, unset, pattern, flags })
}

/// How explanations name a field.
fn spelled(kind: &str, field: &[u8]) -> String {
    format!("{kind} {}", String::from_utf8_lossy(field).trim().trim_end_matches(':'))
}

/// `/…/flags`, `m{…}flags`.
fn pattern(text: &[u8]) -> Result<(Vec<u8>, String), String> {
    let missing = || "a pattern like /…/i is missing".to_owned();
    let (opening, body) = match text {
        [b'/', body @ ..] => (b'/', body),
        [b'm', opening, body @ ..] | [b'q', b'r', opening, body @ ..]
            if opening.is_ascii_punctuation() =>
        {
            (*opening, body)
        }
        _ => return Err(missing()),
    };
    let closing = match opening {
        b'{' => b'}',
        b'(' => b')',
        b'[' => b']',
        b'<' => b'>',
        other => other,
    };
    let end = memchr::memrchr(closing, body).ok_or("the pattern is not closed")?;
    let (pattern, flags) = body.split_at_checked(end).ok_or_else(missing)?;
    let flags = flags.get(1..).unwrap_or_default();
    let holds_delimiter = || {
        let mut escaped = false;
        pattern.iter().any(|octet| {
            let plain = *octet == closing && !escaped;
            escaped = *octet == b'\\' && !escaped;
            plain
        })
    };
    // Where both delimiters differ, Perl counts them.
    if opening == closing && holds_delimiter() {
        let closing = char::from(closing);
        return Err(format!("the pattern holds a `{closing}`, which ends it; write `\\{closing}`"));
    }
    if !flags.iter().all(u8::is_ascii_lowercase) {
        return Err(format!("`{}` behind the pattern is no flag", String::from_utf8_lossy(flags)));
    }
    Ok((pattern.to_vec(), flags.iter().map(|flag| char::from(*flag)).collect()))
}

fn annotate(line: &Line<'_>, key: &str, rest: &[u8], book: &mut Book) {
    let Some((name, rest)) = rule_name(line, rest, book) else { return };
    let column = line.column(rest);
    let text = String::from_utf8_lossy(rest);
    let source = line.source.clone();
    let wrong = match key {
        "score" => score(line, name, &text, book).err(),
        "describe" => {
            book.annotate(name, line.group, |draft| draft.describe = Some(Arc::from(&*text)));
            None
        }
        "tflags" => {
            let flags = flags(line, name, rest, book);
            book.annotate(name, line.group, |draft| draft.flags.clone_from(&flags));
            None
        }
        "priority" => match text.parse() {
            Ok(priority) => {
                book.annotate(name, line.group, |draft| draft.priority = priority);
                None
            }
            Err(_) => Some(format!("`{text}` is no priority; it is a whole number")),
        },
        _ => {
            let (word, text) = text.split_once([' ', '\t']).unwrap_or((&text, ""));
            let hits = match word {
                "ok" => true,
                "fail" => false,
                _ => {
                    let what = format!("{name}: a test says `ok` or `fail`, not `{word}`");
                    return book.error(&source, column, what, "write: test NAME ok TEXT");
                }
            };
            let example = Example { hits, text: text.trim().to_owned(), source: source.clone() };
            book.annotate(name, line.group, |draft| draft.examples.push(example.clone()));
            None
        }
    };
    if let Some(what) = wrong {
        book.error(&source, column, format!("{name}: {what}"), "");
    }
}

/// The words of `tflags`. SpamAssassin looks for each as a word, so that commas between them do no harm; what it does not
/// know it passes over in silence.
fn flags(line: &Line<'_>, name: &str, rest: &[u8], book: &mut Book) -> Vec<String> {
    let between = |octet: &u8| octet.is_ascii_whitespace() || *octet == b',';
    let mut flags = Vec::new();
    for word in rest.split(between).filter(|word| !word.is_empty()) {
        let text = String::from_utf8_lossy(word).into_owned();
        let known = match text.split_once('=') {
            Some(("maxhits", value)) => value.parse::<u32>().is_ok(),
            Some(("range", value)) => match Scope::range(value) {
                Some((first, last)) if first.max(1) > last => {
                    let what = format!("{name}: `{text}` holds no part, so that it sees none");
                    let hint = "the lower number stands first; the message itself is part 1";
                    book.warning(&line.source, line.column(word), what, hint);
                    true
                }
                range => range.is_some(),
            },
            Some(_) => false,
            None => FLAGS.contains(&&*text),
        };
        if !known {
            let hint = format!("flags are {}, maxhits=NUMBER, range=FROM-TO", FLAGS.join(", "));
            let built = text != "nolog";
            let why = if built {
                "is no flag, and does nothing"
            } else {
                "is not built, and does nothing"
            };
            let what = format!("{name}: `{text}` {why}");
            book.warning(&line.source, line.column(word), what, &hint);
        }
        flags.push(text);
    }
    flags
}

/// One value, or four for the four ways of running (see [`Options`](crate::filters::spam::Options)); in parentheses they
/// are added to what was said before.
fn score(line: &Line<'_>, name: &str, text: &str, book: &mut Book) -> Result<(), String> {
    let relative = text.starts_with('(');
    let mut values = Vec::new();
    for word in text.split_ascii_whitespace() {
        let inside = word.trim_matches(['(', ')']);
        let value = Score::parse(inside).ok_or_else(|| format!("`{word}` is no score"))?;
        values.push(value);
    }
    let said = match values.as_slice() {
        [one] => [*one; 4],
        [first, second, third, fourth] => [*first, *second, *third, *fourth],
        _ => return Err(format!("a score has one value or four, not {}", values.len())),
    };
    book.annotate(name, line.group, |draft| {
        let before = draft.score.filter(|_| relative).unwrap_or_default();
        let mut score = said;
        score.iter_mut().zip(before).for_each(|(score, before)| *score += before);
        draft.score = Some(score);
        draft.score_source = Some(line.source.clone());
    });
    Ok(())
}
