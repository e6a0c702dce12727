//! The configuration as it is written: values, each with the place it came from.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use crate::filters::{Mistake, Severity};

/// Tables nested deeper are no configuration of ours; deeper levels are not kept, so that walks stay shallow.
const DEPTH_MAX: usize = 8;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said it: the built-in default.
    Default,
    /// A file.
    File {
        /// Its name as it was opened.
        file: Arc<str>,
        /// Line, from 1.
        line: u32,
        /// Column in characters, from 1.
        column: u32,
    },
    /// A variable of the environment, by name.
    Environment(Arc<str>),
    /// An option of the command line, by key.
    Flag(Arc<str>),
}

impl Origin {
    /// A mistake at this place.
    pub(super) fn mistake(&self, severity: Severity, what: String, hint: String) -> Mistake {
        let (file, line, column) = match self {
            Self::Default => ("built-in defaults".into(), 0, 0),
            Self::File { file, line, column } => (Arc::clone(file), *line, *column),
            Self::Environment(name) => (format!("environment:{name}").into(), 0, 0),
            Self::Flag(key) => (format!("command line:{key}").into(), 0, 0),
        };
        Mistake { file, line, column, what, hint, severity }
    }

    pub(super) fn error(&self, what: impl Into<String>, hint: impl Into<String>) -> Mistake {
        self.mistake(Severity::Error, what.into(), hint.into())
    }

    pub(super) fn warning(&self, what: impl Into<String>, hint: impl Into<String>) -> Mistake {
        self.mistake(Severity::Warning, what.into(), hint.into())
    }

    /// The folder that relative paths of this place are taken from; `None`: the working directory.
    pub(super) fn folder(&self) -> Option<&Path> {
        match self {
            Self::File { file, .. } => Path::new(file.as_ref()).parent(),
            Self::Default | Self::Environment(_) | Self::Flag(_) => None,
        }
    }
}

/// As `config show --origin` writes it.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { file, line, .. } => write!(f, "{file}:{line}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(_) => f.write_str("command line"),
        }
    }
}

/// A value and where it came from.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub value: Value,
    pub origin: Origin,
}

/// What TOML can say, as far as we need it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    List(Vec<Node>),
    Table(Table),
    /// What no key of ours takes: a date, a number beyond 64 bits, a table too deep.
    Other(&'static str),
}

/// Keys, each with its own place and its value.
pub(super) type Table = BTreeMap<String, Entry>;

/// A value in a table, and where its key stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub key: Origin,
    pub node: Node,
}

impl Node {
    /// The value in the words of a mistake: `` `10` ``, `a list`.
    pub fn describe(&self) -> String {
        match &self.value {
            Value::Text(text) => {
                let short: String = text.chars().take(60).collect();
                let dots = if short.len() < text.len() { "…" } else { "" };
                format!("`{}{dots}`", short.escape_debug())
            }
            Value::Integer(number) => format!("`{number}`"),
            Value::Float(number) => format!("`{number:?}`"),
            Value::Boolean(value) => format!("`{value}`"),
            Value::List(_) => "a list".to_owned(),
            Value::Table(_) => "a table".to_owned(),
            Value::Other(what) => (*what).to_owned(),
        }
    }

    /// For printing.
    pub fn to_toml(&self) -> toml::Value {
        match &self.value {
            Value::Text(text) => toml::Value::String(text.clone()),
            Value::Integer(number) => toml::Value::Integer(*number),
            Value::Float(number) => toml::Value::Float(*number),
            Value::Boolean(value) => toml::Value::Boolean(*value),
            Value::List(items) => toml::Value::Array(items.iter().map(Self::to_toml).collect()),
            Value::Table(table) => toml::Value::Table(
                table.iter().map(|(key, entry)| (key.clone(), entry.node.to_toml())).collect(),
            ),
            Value::Other(what) => toml::Value::String((*what).to_owned()),
        }
    }
}

/// Reads one file. What can be read is returned even if something cannot; every syntax error is a mistake.
pub(super) fn parse_file(file: &Arc<str>, bytes: &[u8], mistakes: &mut Vec<Mistake>) -> Table {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let places = Places::new(file, std::str::from_utf8(valid).unwrap_or_default());
            mistakes.push(
                places
                    .at(valid.len())
                    .error("the file is not UTF-8", "save it as UTF-8, which TOML demands"),
            );
            return Table::new();
        }
    };
    let places = Places::new(file, text);
    let (table, mut errors) = DeTable::parse_recoverable(text);
    errors.sort_by_key(|error| error.span().map_or(text.len(), |span| span.start));
    let mut broken_lines = Vec::new();
    for error in errors {
        let place = places.at(error.span().map_or(text.len(), |span| span.start));
        if let Origin::File { line, .. } = place {
            // The parser's follow-ups on the same line say nothing new.
            if broken_lines.contains(&line) {
                continue;
            }
            broken_lines.push(line);
        }
        let hint = "text values stand in quotes: key = \"value\"";
        mistakes.push(place.error(format!("this is not TOML: {}", error.message()), hint));
    }
    convert_table(table.into_inner(), &|span: Range<usize>| places.at(span.start), 0)
}

/// Reads one TOML value, for the environment and the command line; `None` if it is none.
pub(super) fn parse_value(text: &str, origin: &Origin) -> Option<Node> {
    let value = DeValue::parse(text).ok()?.into_inner();
    Some(Node { value: convert(value, &|_| origin.clone(), 0), origin: origin.clone() })
}

fn convert_table(
    table: DeTable<'_>,
    origin: &dyn Fn(Range<usize>) -> Origin,
    depth: usize,
) -> Table {
    let mut converted = Table::new();
    for (key, value) in table {
        let span = value.span();
        let place = origin(key.span());
        let value = convert(value.into_inner(), origin, depth + 1);
        // The span of a `[table]` is its header, where the key stands as well.
        let node_origin =
            if matches!(value, Value::Table(_)) { place.clone() } else { origin(span) };
        let node = Node { value, origin: node_origin };
        converted.insert(key.into_inner().into_owned(), Entry { key: place, node });
    }
    converted
}

fn convert(value: DeValue<'_>, origin: &dyn Fn(Range<usize>) -> Origin, depth: usize) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Value::Other("a number beyond 64 bits"), Value::Integer),
        DeValue::Float(number) => number
            .as_str()
            .parse()
            .map_or(Value::Other("a number that cannot be read"), Value::Float),
        DeValue::Boolean(value) => Value::Boolean(value),
        DeValue::Datetime(_) => Value::Other("a date"),
        DeValue::Array(_) | DeValue::Table(_) if depth >= DEPTH_MAX => {
            Value::Other("a table nested too deep")
        }
        DeValue::Array(items) => Value::List(
            items
                .into_iter()
                .map(|item| {
                    let place = origin(item.span());
                    Node { value: convert(item.into_inner(), origin, depth + 1), origin: place }
                })
                .collect(),
        ),
        DeValue::Table(table) => Value::Table(convert_table(table, origin, depth)),
    }
}

/// Puts `upper` over `lower`, key by key; lists and single values replace.
pub(super) fn merge(lower: &mut Table, upper: Table) {
    for (key, entry) in upper {
        match (lower.get_mut(&key).map(|below| &mut below.node.value), entry) {
            (
                Some(Value::Table(below)),
                Entry { node: Node { value: Value::Table(above), .. }, .. },
            ) => {
                merge(below, above);
            }
            (_, entry) => {
                lower.insert(key, entry);
            }
        }
    }
}

/// The value at a path of keys.
pub(super) fn find<'a>(table: &'a Table, path: &str) -> Option<&'a Node> {
    let mut segments = path.split('.');
    let mut node = &table.get(segments.next()?)?.node;
    for segment in segments {
        let Value::Table(inner) = &node.value else { return None };
        node = &inner.get(segment)?.node;
    }
    Some(node)
}

/// Puts a value at a path, making the tables on the way. A value in the way is replaced by a table.
pub(super) fn set(table: &mut Table, path: &[&str], node: Node) {
    let Some((first, rest)) = path.split_first() else { return };
    let key = node.origin.clone();
    if rest.is_empty() {
        table.insert((*first).to_owned(), Entry { key, node });
        return;
    }
    let empty = || Value::Table(Table::new());
    let entry = table.entry((*first).to_owned()).or_insert_with(|| Entry {
        key: key.clone(),
        node: Node { value: empty(), origin: key.clone() },
    });
    if !matches!(entry.node.value, Value::Table(_)) {
        entry.node.value = empty();
    }
    if let Value::Table(inner) = &mut entry.node.value {
        set(inner, rest, node);
    }
}

/// Finds line and column of an offset without reading the text again each time.
struct Places<'a> {
    file: Arc<str>,
    text: &'a [u8],
    line_starts: Vec<usize>,
    /// Characters before each multiple of [`STRIDE`].
    characters: Vec<usize>,
}

const STRIDE: usize = 256;

impl<'a> Places<'a> {
    fn new(file: &Arc<str>, text: &'a str) -> Self {
        let text = text.as_bytes();
        let ends = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        let line_starts = std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect();
        let mut characters = vec![0];
        let mut sum = 0;
        for chunk in text.chunks(STRIDE) {
            sum += count(chunk);
            characters.push(sum);
        }
        Self { file: Arc::clone(file), text, line_starts, characters }
    }

    fn at(&self, offset: usize) -> Origin {
        let offset = offset.min(self.text.len());
        let line = self.line_starts.partition_point(|start| *start <= offset).max(1);
        let start = self.line_starts.get(line - 1).copied().unwrap_or(0);
        let column = self.before(offset).saturating_sub(self.before(start)) + 1;
        Origin::File {
            file: Arc::clone(&self.file),
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: u32::try_from(column).unwrap_or(u32::MAX),
        }
    }

    fn before(&self, offset: usize) -> usize {
        let block = offset / STRIDE;
        let counted = self.characters.get(block).copied().unwrap_or(0);
        counted + count(self.text.get(block * STRIDE..offset).unwrap_or_default())
    }
}

/// Characters, counted by the octets that begin one.
fn count(text: &[u8]) -> usize {
    text.iter().filter(|byte| **byte & 0xC0 != 0x80).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(line: u32, column: u32) -> Origin {
        Origin::File { file: "t".into(), line, column }
    }

    #[test]
    fn a_place_counts_characters_not_octets() {
        let text = format!("é = 1\n{}x", "ü".repeat(700));
        let places = Places::new(&"t".into(), &text);
        for (offset, want) in [
            (0, place(1, 1)),
            (2, place(1, 2)),
            (7, place(2, 1)),
            (1407, place(2, 701)),
            (9999, place(2, 702)),
        ] {
            assert_eq!(places.at(offset), want, "{offset}");
        }
    }

    #[test]
    fn every_syntax_error_is_reported_and_the_rest_is_read() {
        let mut mistakes = Vec::new();
        let table = parse_file(&"t".into(), b"a = \nb = 1\nc = [\nd = yes", &mut mistakes);
        assert!(mistakes.len() >= 2, "{mistakes:?}");
        assert_eq!(mistakes.last().map(|mistake| mistake.line), Some(4));
        assert_eq!(find(&table, "b").map(|node| &node.value), Some(&Value::Integer(1)));
    }

    #[test]
    fn what_is_not_utf8_is_named_with_its_place() {
        let mut mistakes = Vec::new();
        parse_file(&"t".into(), b"a = 1\nb = \"\xff\"", &mut mistakes);
        assert_eq!((mistakes[0].line, mistakes[0].column), (2, 6));
    }

    #[test]
    fn keys_without_end_do_not_nest_without_end() {
        let mut mistakes = Vec::new();
        parse_file(&"t".into(), "a.".repeat(100_000).as_bytes(), &mut mistakes);
        assert!(!mistakes.is_empty());
        let table = parse_file(&"t".into(), b"a.a.a.a.a.a.a.a.a.a.a.a=1", &mut mistakes);
        assert!(find(&table, "a.a.a").is_some());
        assert!(find(&table, "a.a.a.a.a.a.a.a.a.a.a.a").is_none());
    }

    #[test]
    fn layers_merge_key_by_key_and_lists_replace() {
        let parse = |text: &str| parse_file(&"t".into(), text.as_bytes(), &mut Vec::new());
        let mut lower = parse("a = {x = 1, y = 2}\nl = [1, 2]");
        merge(&mut lower, parse("a.y = 3\nl = [4]"));
        let text = |path| find(&lower, path).map(|node| node.to_toml().to_string());
        assert_eq!(text("a.x").as_deref(), Some("1"));
        assert_eq!(text("a.y").as_deref(), Some("3"));
        assert_eq!(text("l").as_deref(), Some("[4]"));
    }
}
