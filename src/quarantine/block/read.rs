//! Tells the block from the message.

use std::borrow::Cow;

use super::write::LineEnds;
use super::{MAIL, RCPT, STORED, decode};
use crate::mail::Path;

/// A block is never longer: some ten thousand recipients with all their parameters.
const BLOCK_OCTETS_MAX: usize = 16 << 20;

/// A file, taken apart.
#[derive(Debug)]
pub(in crate::quarantine) struct Parts<'a> {
    /// What the block says.
    pub fields: Fields,
    /// The lines on top.
    pub block: &'a [u8],
    /// The message as it came.
    pub raw: Cow<'a, [u8]>,
}

/// What a block says. Files of others leave most of it empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::quarantine) struct Fields {
    pub id: Option<String>,
    pub sender: Path,
    pub all_recipients: Vec<Path>,
    pub held: Vec<Path>,
    /// Points in amavis' writing: from `X-Tamis-Stored`, else from `X-Spam-Score`.
    pub score: Option<String>,
    /// The words of `X-Tamis-Stored`; `None` in files of others.
    pub stored: Option<Vec<(String, String)>>,
}

impl Fields {
    /// A word of the line `X-Tamis-Stored`.
    pub fn word(&self, name: &str) -> Option<&str> {
        let words = self.stored.as_ref()?;
        words.iter().find(|(word, _)| word == name).map(|(_, value)| value.as_str())
    }

    /// Octets of the original as they were counted when it was stored.
    pub fn octets(&self) -> Option<usize> {
        self.word("octets")?.parse().ok()
    }
}

/// Takes a file apart. Any octets can be read; at worst all of them are the message.
pub(in crate::quarantine) fn read(file: &[u8]) -> Parts<'_> {
    let ends = line_ends(file);
    let (end, fields) = match find_stored(file) {
        Some(end) => (end, fields_of(head(file, end), true)),
        None => {
            let end = end_of_known(file);
            (end, fields_of(head(file, end), false))
        }
    };
    let (block, message) = file.split_at_checked(end).unwrap_or((file, &[]));
    let raw = match ends {
        LineEnds::AsIs => Cow::Borrowed(message),
        LineEnds::Lf => with_crlf(message),
    };
    Parts { fields, block, raw }
}

fn head(file: &[u8], end: usize) -> &[u8] {
    file.get(..end).unwrap_or(file)
}

fn line_ends(file: &[u8]) -> LineEnds {
    match memchr::memchr(b'\n', file) {
        Some(at) if at > 0 && file.get(at - 1) == Some(&b'\r') => LineEnds::AsIs,
        _ => LineEnds::Lf,
    }
}

/// Every LF that has no CR yet gets one. Files of ours have none; in others a CRLF stays one line end.
fn with_crlf(message: &[u8]) -> Cow<'_, [u8]> {
    let count = memchr::memchr_iter(b'\n', message).count();
    if count == 0 {
        return Cow::Borrowed(message);
    }
    let mut raw = Vec::with_capacity(message.len() + count);
    let mut from = 0;
    for at in memchr::memchr_iter(b'\n', message) {
        let line = message.get(from..at).unwrap_or_default();
        raw.extend_from_slice(line);
        raw.extend_from_slice(if line.ends_with(b"\r") { b"\n" } else { b"\r\n" });
        from = at + 1;
    }
    raw.extend_from_slice(message.get(from..).unwrap_or_default());
    Cow::Owned(raw)
}

/// The lines of a header: each with its end's place in the file, up to the first empty line.
fn header_lines(file: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let file = head(file, BLOCK_OCTETS_MAX);
    let mut from = 0;
    std::iter::from_fn(move || {
        let rest = file.get(from..)?;
        let end = from + memchr::memchr(b'\n', rest)? + 1;
        let line = file.get(from..end)?.trim_ascii_end();
        from = end;
        (!line.is_empty()).then_some((end, line))
    })
}

fn field_name(line: &[u8]) -> Option<&str> {
    let colon = memchr::memchr(b':', line)?;
    let name = std::str::from_utf8(line.get(..colon)?).ok()?;
    name.bytes().all(|b| b.is_ascii_graphic()).then_some(name)
}

/// The end of the block of a file of ours: behind the `X-Tamis-Stored` that names the id of the first X-Quarantine-ID.
fn find_stored(file: &[u8]) -> Option<usize> {
    let mut id: Option<&str> = None;
    for (end, line) in header_lines(file) {
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            continue;
        }
        let name = field_name(line)?;
        let value = value_of(line, name);
        if id.is_none() && name.eq_ignore_ascii_case("X-Quarantine-ID") {
            id = Some(std::str::from_utf8(value).ok()?.trim_matches(['<', '>']));
        } else if name == STORED {
            let text = std::str::from_utf8(value).ok()?;
            // A file of somebody else's whose message brings such a line along is not ours: its id does not fit.
            return (text.split(' ').next() == id).then_some(end);
        }
    }
    None
}

fn value_of<'a>(line: &'a [u8], name: &str) -> &'a [u8] {
    line.get(name.len() + 1..).unwrap_or_default().trim_ascii()
}

/// The end of a block of amavis: before the first field that it does not put on top.
fn end_of_known(file: &[u8]) -> usize {
    let mut block_end = 0;
    for (end, line) in header_lines(file) {
        let folded = line.starts_with(b" ") || line.starts_with(b"\t");
        if !(folded && block_end > 0 || field_name(line).is_some_and(is_known)) {
            break;
        }
        block_end = end;
    }
    block_end
}

fn is_known(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let known = ["return-path", "delivered-to", "x-quarantine-id"];
    known.contains(&name.as_str())
        || ["x-envelope-", "x-amavis-", "x-spam-"].iter().any(|start| name.starts_with(start))
}

fn fields_of(block: &[u8], ours: bool) -> Fields {
    let mut fields = Fields::default();
    let mut arguments: Vec<(String, Vec<u8>)> = Vec::new();
    for (name, value) in unfolded(block) {
        match name.to_ascii_lowercase().as_str() {
            "x-quarantine-id" if fields.id.is_none() => {
                fields.id = Some(value.trim_matches(['<', '>']).to_owned());
            }
            "x-envelope-from" => fields.sender = paths(&value).pop().unwrap_or_default(),
            "return-path" if fields.sender.argument.is_empty() => {
                fields.sender = paths(&value).pop().unwrap_or_default();
            }
            "x-envelope-to" => fields.all_recipients.append(&mut paths(&value)),
            "x-envelope-to-blocked" => fields.held.append(&mut paths(&value)),
            "x-spam-score" if fields.score.is_none() => fields.score = Some(value),
            _ if ours && name == MAIL => fields.sender.argument = decode(&value),
            _ if ours && name == RCPT => {
                let (address, argument) = value.split_once(' ').unwrap_or((&value, ""));
                let address = String::from_utf8_lossy(&decode(address)).into_owned();
                arguments.push((address, decode(argument)));
            }
            _ if ours && name == STORED => fields.stored = Some(words(&value)),
            _ => {}
        }
    }
    restore_arguments(&mut fields, arguments);
    if let Some(score) = fields.word("score").map(str::to_owned) {
        fields.score = Some(score);
    }
    fields
}

/// Each `X-Tamis-Rcpt` belongs to the next held recipient whose address was written down so.
fn restore_arguments(fields: &mut Fields, arguments: Vec<(String, Vec<u8>)>) {
    let mut rest = arguments.into_iter().peekable();
    for path in &mut fields.held {
        let same = |given: &(String, Vec<u8>)| {
            let safe: String =
                given.0.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
            safe == path.address
        };
        if let Some((address, argument)) = rest.next_if(same) {
            *path = Path { argument, address };
        }
    }
}

fn words(value: &str) -> Vec<(String, String)> {
    let pairs = value.split(' ').filter_map(|word| word.split_once('='));
    pairs
        .map(|(name, value)| {
            (name.to_owned(), String::from_utf8_lossy(&decode(value)).into_owned())
        })
        .collect()
}

/// Field after field, folds undone.
fn unfolded(block: &[u8]) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for (_, line) in header_lines(block) {
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            if let Some((_, value)) = fields.last_mut() {
                value.push(' ');
                value.push_str(&String::from_utf8_lossy(line.trim_ascii()));
            }
        } else if let Some(name) = field_name(line) {
            let value = String::from_utf8_lossy(value_of(line, name)).into_owned();
            fields.push((name.to_owned(), value));
        }
    }
    fields
}

/// Addresses in angle brackets, apart from quoted `>`.
fn paths(list: &str) -> Vec<Path> {
    let mut found = Vec::new();
    let mut current: Option<String> = None;
    let (mut quoted, mut escaped) = (false, false);
    for c in list.chars() {
        let Some(address) = &mut current else {
            if c == '<' {
                current = Some(String::new());
            }
            continue;
        };
        if c == '>' && !quoted {
            let argument = format!("<{address}>").into_bytes();
            found.push(Path { argument, address: std::mem::take(address) });
            current = None;
            continue;
        }
        address.push(c);
        if c == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = c == '\\' && !escaped && quoted;
    }
    found
}
