//! What a person types to find mails: `class:spam from:x to:*@example.org score:>5 age:<3d -newsletter "two words"`.
//!
//! Terms stand side by side and must all hold; `-` before one turns it round. Text is found anywhere, without regard
//! to the case of ASCII letters; with `*` in it, it must fit as a whole. `>n` and `<n` exclude n, `a..b` includes both.
//! An age is counted back from now: `age:<3d` is what came within three days. Days begin at midnight UTC.

use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};
use rusqlite::types::Value;

use super::entry::Class;
use super::id::{id_in, is_id};
use crate::filters::Score;

/// More terms are refused: each costs time on every row.
const TERMS_MAX: usize = 32;
const QUERY_OCTETS_MAX: usize = 4096;

/// A search that is understood. The default finds all that is not deleted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Search {
    terms: Vec<Term>,
    /// Only what is older in the list than this mail: the id of the last one of the page before.
    pub after: Option<String>,
}

/// A search that is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {message}")]
pub struct SearchError {
    /// Where: characters from 1.
    pub column: usize,
    /// What is wrong, and what would be right.
    pub message: String,
}

#[derive(Debug, Clone, PartialEq)]
struct Term {
    negated: bool,
    test: Test,
}

#[derive(Debug, Clone, PartialEq)]
enum Test {
    /// A pattern of LIKE for any of these columns.
    Text(&'static [&'static str], String),
    /// The whole value, which an index finds at once.
    Exact(&'static str, String),
    Recipient(String),
    /// A word in any text that the list shows.
    Word(String),
    /// A word that has the form of an id.
    WordOrId(String, String),
    Class(Class),
    /// Inclusive, in the column's unit.
    Number(&'static str, Option<i64>, Option<i64>),
    /// Inclusive, in milliseconds before now.
    Age(Option<i64>, Option<i64>),
    Deleted,
    Hold,
    /// Some recipient's copy has this state.
    Copy(&'static str),
    State(&'static str),
}

impl Search {
    /// Reads a query.
    ///
    /// # Errors
    /// [`SearchError`] with the place and a hint.
    pub fn parse(query: &str) -> Result<Self, SearchError> {
        if query.len() > QUERY_OCTETS_MAX {
            return Err(SearchError { column: 1, message: "the search is too long".to_owned() });
        }
        let mut terms = Vec::new();
        for word in split(query)? {
            let (negated, field) = match word.field.as_deref().unwrap_or_default() {
                field if field.starts_with('-') => (true, field.trim_start_matches('-')),
                field => (word.negated, field),
            };
            let test = match &word.field {
                Some(_) => test(field, &word.text),
                None if is_id(&word.text) => {
                    Ok(Test::WordOrId(pattern(&word.text), word.text.clone()))
                }
                None => Ok(Test::Word(pattern(&word.text))),
            };
            let test = test.map_err(|message| SearchError { column: word.column, message })?;
            terms.push(Term { negated, test });
            if terms.len() > TERMS_MAX {
                let message = format!("more than {TERMS_MAX} terms");
                return Err(SearchError { column: word.column, message });
            }
        }
        Ok(Self { terms, after: None })
    }

    /// The condition on `mails`, and the values for its question marks.
    pub(super) fn to_sql(&self, now: Timestamp) -> (String, Vec<Value>) {
        let mut sql = String::from("mails.state <> 'erasing'");
        let mut values = Vec::new();
        if !self.terms.iter().any(|term| term.test == Test::Deleted) {
            sql.push_str(" AND mails.state <> 'deleted'");
        }
        for term in &self.terms {
            sql.push_str(if term.negated { " AND NOT (" } else { " AND (" });
            term.test.push_sql(&mut sql, &mut values, now.as_millisecond());
            sql.push(')');
        }
        if let Some(after) = &self.after {
            sql.push_str(" AND (time, row) < (SELECT time, row FROM mails WHERE id = ?)");
            values.push(Value::Text(after.clone()));
        }
        (sql, values)
    }
}

const LIKE_RECIPIENT: &str = "EXISTS (SELECT 1 FROM recipients WHERE mail = mails.row \
                              AND address LIKE ? ESCAPE '\\')";

impl Test {
    fn push_sql(&self, sql: &mut String, values: &mut Vec<Value>, now: i64) {
        match self {
            Self::Text(columns, pattern) => push_like(sql, values, columns, pattern),
            Self::Exact(column, value) => {
                sql.push_str(column);
                sql.push_str(" = ?");
                values.push(Value::Text(value.clone()));
            }
            Self::Recipient(pattern) => {
                sql.push_str(LIKE_RECIPIENT);
                values.push(Value::Text(pattern.clone()));
            }
            Self::WordOrId(pattern, id) => {
                Self::Exact("id", id.clone()).push_sql(sql, values, now);
                sql.push_str(" OR ");
                Self::Word(pattern.clone()).push_sql(sql, values, now);
            }
            Self::Word(pattern) => {
                let columns = ["subject", "from_header", "sender", "message_id"];
                push_like(sql, values, &columns, pattern);
                sql.push_str(" OR ");
                sql.push_str(LIKE_RECIPIENT);
                values.push(Value::Text(pattern.clone()));
            }
            Self::Class(class) => {
                sql.push_str("class = ?");
                values.push(Value::Text(class.prefix().to_owned()));
            }
            Self::Number(column, least, most) => push_range(sql, values, column, *least, *most),
            Self::Age(least, most) => {
                let back = |age: &Option<i64>| age.map(|age| now.saturating_sub(age));
                push_range(sql, values, "time", back(most), back(least));
            }
            Self::Deleted => sql.push_str("mails.state = 'deleted'"),
            Self::Hold => sql.push_str("hold = 1"),
            Self::State(state) => {
                sql.push_str("mails.state = ?");
                values.push(Value::Text((*state).to_owned()));
            }
            Self::Copy(state) => {
                sql.push_str(
                    "EXISTS (SELECT 1 FROM recipients WHERE mail = mails.row AND state = ?)",
                );
                values.push(Value::Text((*state).to_owned()));
            }
        }
    }
}

const NULLABLE: [&str; 4] = ["queue_id", "client_address", "client_name", "helo"];

fn push_like(sql: &mut String, values: &mut Vec<Value>, columns: &[&str], pattern: &str) {
    for (n, column) in columns.iter().enumerate() {
        if n > 0 {
            sql.push_str(" OR ");
        }
        // A column without a value must be no match, and not unknown, or `-` before the term finds nothing.
        if NULLABLE.contains(column) {
            sql.push_str("coalesce(");
            sql.push_str(column);
            sql.push_str(", '')");
        } else {
            sql.push_str(column);
        }
        sql.push_str(" LIKE ? ESCAPE '\\'");
        values.push(Value::Text(pattern.to_owned()));
    }
}

fn push_range(
    sql: &mut String,
    values: &mut Vec<Value>,
    column: &str,
    least: Option<i64>,
    most: Option<i64>,
) {
    sql.push_str(column);
    // What has no score is in no range, and outside of every range.
    sql.push_str(" IS NOT NULL");
    for (bound, sign) in [(least, " >= ?"), (most, " <= ?")] {
        if let Some(bound) = bound {
            sql.push_str(" AND ");
            sql.push_str(column);
            sql.push_str(sign);
            values.push(Value::Integer(bound));
        }
    }
}

struct Word {
    column: usize,
    negated: bool,
    field: Option<String>,
    text: String,
}

/// Splits at blanks outside of quotes. A quote may begin a word or a field's value.
fn split(query: &str) -> Result<Vec<Word>, SearchError> {
    let mut words = Vec::new();
    let mut characters = query.chars().enumerate().peekable();
    while let Some(&(at, first)) = characters.peek() {
        if first.is_whitespace() {
            characters.next();
            continue;
        }
        let mut word = Word { column: at + 1, negated: false, field: None, text: String::new() };
        if characters.next_if(|(_, c)| *c == '-').is_some() {
            word.negated = true;
        }
        let (mut quoted, mut was_quoted) = (false, false);
        while let Some((_, c)) = characters.next_if(|(_, c)| quoted || !c.is_whitespace()) {
            match c {
                '"' => {
                    quoted = !quoted;
                    was_quoted = true;
                }
                ':' if !quoted && !was_quoted && word.field.is_none() => {
                    word.field = Some(std::mem::take(&mut word.text));
                }
                _ => word.text.push(c),
            }
        }
        if quoted {
            let message = "a quote is not closed".to_owned();
            return Err(SearchError { column: word.column, message });
        }
        if word.text.is_empty() {
            let message = "nothing to search for".to_owned();
            return Err(SearchError { column: word.column, message });
        }
        words.push(word);
    }
    Ok(words)
}

const FIELDS: &str = "class verdict from to domain subject id mid qid ip helo score size age \
                      before after on is";

fn test(field: &str, text: &str) -> Result<Test, String> {
    Ok(match field.to_ascii_lowercase().as_str() {
        "class" | "why" => return class(text),
        "verdict" => Test::Text(&["verdict"], pattern(text)),
        "from" => Test::Text(&["sender", "from_header"], pattern(text)),
        "to" => Test::Recipient(pattern(text)),
        "domain" => Test::Recipient(format!("%@{}", escaped(text).replace('*', "%"))),
        "sender-domain" => {
            Test::Text(&["sender"], format!("%@{}", escaped(text).replace('*', "%")))
        }
        "subject" => Test::Text(&["subject"], pattern(text)),
        "id" if is_id(id_in(text)) => Test::Exact("id", id_in(text).to_owned()),
        "id" => Test::Text(&["id"], pattern(text)),
        "mid" if text.starts_with('<') && text.ends_with('>') && !text.contains('*') => {
            Test::Exact("message_id", text.to_owned())
        }
        "mid" => Test::Text(&["message_id"], pattern(text)),
        "qid" => Test::Text(&["queue_id"], pattern(text)),
        "ip" => Test::Text(&["client_address"], pattern(text)),
        "host" => Test::Text(&["client_name"], pattern(text)),
        "helo" => Test::Text(&["helo"], pattern(text)),
        "score" => {
            let (least, most) = range(text, |n| {
                Score::parse(n)
                    .map(|score| i64::from(score.0))
                    .ok_or_else(|| format!("{n:?} is no score: write score:>5 or score:5..8.5"))
            })?;
            Test::Number("score", least, most)
        }
        "size" => {
            let (least, most) = range(text, octets)?;
            Test::Number("size", least, most)
        }
        "age" => {
            let (least, most) = range(text, milliseconds)?;
            Test::Age(least, most)
        }
        "before" => Test::Number("time", None, Some(day(text)?.saturating_sub(1))),
        "after" => Test::Number("time", Some(next_day(text)?), None),
        "on" => Test::Number("time", Some(day(text)?), Some(next_day(text)?.saturating_sub(1))),
        "is" => return state(text),
        _ => return Err(format!("no field {field:?}; there are: {FIELDS}")),
    })
}

fn class(text: &str) -> Result<Test, String> {
    let text = text.to_ascii_lowercase();
    let class = match text.as_str() {
        "badheader" | "bad-header" | "malformed" => Some(Class::BadHeader),
        "other" => Some(Class::Other),
        name => Class::from_prefix(name),
    };
    class.map(Test::Class).ok_or_else(|| {
        let names: Vec<_> = Class::ALL.iter().map(|class| class.prefix()).collect();
        format!("no class {text:?}; there are: {}", names.join(" "))
    })
}

fn state(text: &str) -> Result<Test, String> {
    Ok(match text.to_ascii_lowercase().as_str() {
        "deleted" => Test::Deleted,
        "missing" => Test::State("missing"),
        "hold" => Test::Hold,
        "open" | "held" => Test::Copy("held"),
        "released" => Test::Copy("released"),
        "releasing" => Test::Copy("releasing"),
        "unknown" => Test::Copy("unknown"),
        _ => {
            return Err(format!(
                "is:{text} means nothing; there are: open released unknown hold deleted missing"
            ));
        }
    })
}

/// Without `*` it may stand anywhere.
fn pattern(text: &str) -> String {
    let escaped = escaped(text);
    if text.contains('*') { escaped.replace('*', "%") } else { format!("%{escaped}%") }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}

type Range = (Option<i64>, Option<i64>);

fn range(text: &str, number: impl Fn(&str) -> Result<i64, String>) -> Result<Range, String> {
    if let Some(text) = text.strip_prefix(">=") {
        return Ok((Some(number(text)?), None));
    }
    if let Some(text) = text.strip_prefix("<=") {
        return Ok((None, Some(number(text)?)));
    }
    if let Some(text) = text.strip_prefix('>') {
        return Ok((Some(number(text)?.saturating_add(1)), None));
    }
    if let Some(text) = text.strip_prefix('<') {
        return Ok((None, Some(number(text)?.saturating_sub(1))));
    }
    if let Some((least, most)) = text.split_once("..") {
        return Ok((Some(number(least)?), Some(number(most)?)));
    }
    let exact = number(text)?;
    Ok((Some(exact), Some(exact)))
}

fn octets(text: &str) -> Result<i64, String> {
    let units = [("", 1), ("B", 1), ("KB", 1000), ("MB", 1_000_000), ("GB", 1_000_000_000)];
    let binary = [("K", 1 << 10), ("M", 1 << 20), ("G", 1 << 30)];
    with_unit(text, units.iter().chain(&binary))
        .ok_or_else(|| format!("{text:?} is no size: write size:>10MB"))
}

fn milliseconds(text: &str) -> Result<i64, String> {
    let units = [("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    let weeks = [("w", 7 * 86_400_000)];
    with_unit(text, units.iter().chain(&weeks))
        .ok_or_else(|| format!("{text:?} is no time: write age:<3d, with s, m, h, d or w"))
}

fn with_unit<'a>(text: &str, units: impl Iterator<Item = &'a (&'a str, i64)>) -> Option<i64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    let (_, factor) = { units }.find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    number.parse::<i64>().ok()?.checked_mul(*factor)
}

fn date(text: &str) -> Result<civil::Date, String> {
    text.parse().map_err(|_| format!("{text:?} is no day: write 2026-11-22"))
}

fn day(text: &str) -> Result<i64, String> {
    let midnight = date(text)?.to_zoned(TimeZone::UTC).map_err(|e| e.to_string())?;
    Ok(midnight.timestamp().as_millisecond())
}

fn next_day(text: &str) -> Result<i64, String> {
    Ok(day(text)?.saturating_add(86_400_000))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(query: &str, want: &str, count: usize) {
        let search = Search::parse(query).unwrap();
        let (sql, values) = search.to_sql(Timestamp::from_second(1_000_000).unwrap());
        assert!(sql.contains(want), "{query}: {sql}");
        assert_eq!(values.len(), count, "{query}: {sql}");
        assert_eq!(sql.matches('?').count(), count, "{query}: {sql}");
    }

    #[test]
    fn terms_become_conditions() {
        check("", "mails.state <> 'deleted'", 0);
        check("class:virus", "class = ?", 1);
        check("-class:virus", "NOT (class = ?)", 1);
        check("to:*@example.org", "address LIKE ?", 1);
        check("score:>5 age:<3d", "time >= ?", 2);
        check("size:1KB..10MB", "size >= ? AND size <= ?", 2);
        check("\"two words\" is:open", "state = ?", 6);
        check("VO57UrVC_Rxf", "id = ?", 6);
        check("-helo:x", "NOT (coalesce(helo, '')", 1);
        check("subject:\"a: b\"", "subject", 1);
        check("id:V/virus-VO57UrVC_Rxf", "id = ?", 1);
        check("id:VO57", "id LIKE ?", 1);
        check("mid:<a@b>", "message_id = ?", 1);
        check("is:deleted", "mails.state = 'deleted'", 0);
    }

    #[test]
    fn bounds_are_exact() {
        let range_of = |query: &str| {
            let test = Search::parse(query).unwrap().terms.pop().unwrap().test;
            let (Test::Number(_, least, most) | Test::Age(least, most)) = test else {
                panic!("{test:?}")
            };
            (least, most)
        };
        assert_eq!(range_of("score:>5"), (Some(5001), None));
        assert_eq!(range_of("score:<=-0.5"), (None, Some(-500)));
        assert_eq!(range_of("size:10MB"), (Some(10_000_000), Some(10_000_000)));
        assert_eq!(range_of("age:<3d"), (None, Some(3 * 86_400_000 - 1)));
        assert_eq!(range_of("on:1970-01-02"), (Some(86_400_000), Some(2 * 86_400_000 - 1)));
        assert_eq!(range_of("before:1970-01-02"), (None, Some(86_399_999)));
    }

    #[test]
    fn mistakes_are_named_with_their_column() {
        for (query, column, hint) in [
            ("hello frm:x", 7, "no field \"frm\""),
            ("class:viris", 1, "there are: virus"),
            ("a  score:high", 4, "is no score"),
            ("age:3", 1, "age:<3d"),
            ("x \"open", 3, "not closed"),
            ("from:", 1, "nothing to search"),
            ("on:yesterday", 1, "2026-11-22"),
            ("is:nice", 1, "released"),
            ("size:99999999999999GB", 1, "is no size"),
        ] {
            let error = Search::parse(query).unwrap_err();
            assert_eq!(error.column, column, "{query}: {error}");
            assert!(error.message.contains(hint), "{query}: {error}");
        }
    }

    #[test]
    fn signs_of_like_are_taken_literally() {
        assert_eq!(pattern("50%_\\"), "%50\\%\\_\\\\%");
        assert_eq!(pattern("*@a_b"), "%@a\\_b");
    }

    proptest! {
        #[test]
        fn no_query_breaks_the_sql(query in "([a-z]{2,7}:|-|\"| |[<>=.0-9a-z%_*\\\\']){0,12}") {
            if let Ok(search) = Search::parse(&query) {
                let (sql, values) = search.to_sql(Timestamp::now());
                prop_assert_eq!(sql.matches('?').count(), values.len());
            }
        }
    }
}
