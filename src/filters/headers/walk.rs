//! A mail's header fields and body lines, in the order in which Postfix's cleanup(8) would see them.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use bytes::Bytes;

use super::action::{cleaned, has_label, parse_action};
use super::{Checks, Table};
use crate::filters::{HeaderHit, Source, TableAction};
use crate::mail::{HeaderField, Message, Part, PartKind};

/// Postfix's default `header_size_limit`, in octets; what is longer is cut.
const HEADER_BYTES_MAX: usize = 102_400;
/// Postfix's default `line_length_limit`, in octets; longer body lines are looked at in pieces.
const BODY_LINE_BYTES_MAX: usize = 2048;
/// Postfix's default `body_checks_size_limit`, in octets, for each segment between delimiters.
const BODY_SEGMENT_BYTES_MAX: usize = 51_200;
/// Hits kept for one mail; after that, only those that decide about the mail as a whole.
const HITS_MAX: usize = 10_000;
/// Characters of a line shown with a hit.
const TEXT_CHARACTERS_MAX: usize = 200;

/// The fields that mime_header_checks sees wherever they stand: those that Postfix marks as MIME.
const MIME_FIELDS: [&str; 6] = [
    "Content-Description",
    "Content-Disposition",
    "Content-ID",
    "Content-Transfer-Encoding",
    "Content-Type",
    "MIME-Version",
];

const HEADER: &str = "header_checks";
const MIME: &str = "mime_header_checks";
const NESTED: &str = "nested_header_checks";
const BODY: &str = "body_checks";

pub(super) fn inspect(checks: &Checks, message: &Message) -> Vec<HeaderHit> {
    let mut walk = Walk {
        checks,
        raw: &message.raw,
        hits: Vec::new(),
        done: false,
        held: false,
        delimiters: HashSet::new(),
    };
    walk.fields(&message.raw, &message.headers, Some(0), HEADER);
    walk.rest(message);
    if checks.decoded {
        walk.decoded_text(message);
    }
    walk.hits
}

/// The header section of a part.
struct Section<'m> {
    /// Where in the message it comes up.
    at: usize,
    /// Where it stands there octet for octet; `None` if it was decoded out of something.
    range: Option<Range<usize>>,
    part: &'m Part,
    table: &'static str,
}

struct Walk<'m> {
    checks: &'m Checks,
    raw: &'m Bytes,
    hits: Vec<HeaderHit>,
    done: bool,
    held: bool,
    /// Delimiter lines seen so far, without trailing blanks: they tell the closing ones.
    delimiters: HashSet<&'m [u8]>,
}

impl<'m> Walk<'m> {
    /// The body, and the headers of parts inside it.
    fn rest(&mut self, message: &'m Message) {
        let mut sections = sections(message).into_iter().peekable();
        let mut at = message.body_start;
        let mut segment = 0;
        while !self.done {
            if let Some(section) = sections.next_if(|section| section.at <= at) {
                let base = section.range.as_ref().map(|range| range.start);
                self.fields(
                    &section.part.header_octets,
                    &section.part.headers,
                    base,
                    section.table,
                );
                if let Some(range) = section.range {
                    at = at.max(range.end);
                    segment = 0;
                }
                continue;
            }
            let rest = self.raw.get(at..).unwrap_or_default();
            if rest.is_empty() {
                match sections.next() {
                    Some(section) => {
                        self.fields(
                            &section.part.header_octets,
                            &section.part.headers,
                            None,
                            section.table,
                        );
                        continue;
                    }
                    None => break,
                }
            }
            let end = at + memchr::memchr(b'\n', rest).map_or(rest.len(), |found| found + 1);
            let begins_part = sections
                .peek()
                .is_some_and(|next| next.range.as_ref().is_some_and(|range| range.start == end));
            if self.is_delimiter(at..end, begins_part) {
                segment = 0;
            }
            self.body_line(at..end, &mut segment);
            at = end;
        }
    }

    /// The lines of texts that do not stand in the message as they are read.
    fn decoded_text(&mut self, message: &Message) {
        for part in &message.parts {
            let Some(text) =
                part.text.as_deref().filter(|_| place(&message.raw, &part.data).is_none())
            else {
                continue;
            };
            let mut seen = 0;
            for line in text.as_bytes().split_inclusive(|octet| *octet == b'\n') {
                for chunk in without_line_end(line).chunks(BODY_LINE_BYTES_MAX) {
                    if self.done || seen >= BODY_SEGMENT_BYTES_MAX {
                        break;
                    }
                    self.line(BODY, chunk, None);
                    seen += chunk.len();
                }
            }
        }
    }

    /// Whether a line parts segments: one right before a part's header, or one that was such a line elsewhere.
    fn is_delimiter(&mut self, line: Range<usize>, begins_part: bool) -> bool {
        let raw: &'m [u8] = self.raw;
        let line = raw.get(line).unwrap_or_default().trim_ascii_end();
        if !line.starts_with(b"--") {
            return false;
        }
        if begins_part {
            self.delimiters.insert(line);
            return true;
        }
        self.delimiters.contains(line)
            || line.strip_suffix(b"--").is_some_and(|line| self.delimiters.contains(line))
    }

    fn fields(
        &mut self,
        octets: &[u8],
        fields: &[HeaderField],
        base: Option<usize>,
        table: &'static str,
    ) {
        for field in fields {
            if self.done {
                return;
            }
            let name = octets.get(field.name.clone()).unwrap_or_default();
            let is_mime =
                MIME_FIELDS.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()));
            let table = if is_mime { MIME } else { table };
            let line = unfolded(octets.get(field.field.clone()).unwrap_or_default());
            let line = line.get(..HEADER_BYTES_MAX).unwrap_or(&line);
            let range = base.map(|base| base + field.field.start..base + field.field.end);
            self.line(table, line, range);
        }
    }

    fn body_line(&mut self, range: Range<usize>, segment: &mut usize) {
        let checks = self.checks;
        if checks.body.iter().all(Table::is_empty) {
            return;
        }
        let raw: &'m [u8] = self.raw;
        let line = raw.get(range.clone()).unwrap_or_default();
        for chunk in without_line_end(line).chunks(BODY_LINE_BYTES_MAX) {
            if self.done || *segment >= BODY_SEGMENT_BYTES_MAX {
                return;
            }
            self.line(BODY, chunk, Some(range.clone()));
            *segment += chunk.len();
        }
        // The line end counts as one octet.
        *segment += 1;
    }

    fn line(&mut self, table: &'static str, line: &[u8], range: Option<Range<usize>>) {
        let checks = self.checks;
        let tables = match table {
            HEADER => &checks.header,
            MIME => &checks.mime,
            NESTED => &checks.nested,
            _ => &checks.body,
        };
        let found = tables.iter().find_map(|table| table.find(line).map(|found| (table, found)));
        let Some((file, (result, number))) = found else { return };
        let Ok(Some(action)) = parse_action(&result) else { return };
        let mut decides = false;
        match &action {
            TableAction::Prepend(text) | TableAction::Replace(text)
                if table != BODY && !has_label(text) =>
            {
                return;
            }
            TableAction::Reject { .. } | TableAction::Discard(_) | TableAction::Pass => {
                self.done = true;
                decides = true;
            }
            TableAction::Hold(_) => {
                if std::mem::replace(&mut self.held, true) {
                    return;
                }
                decides = true;
            }
            TableAction::Bcc(_)
            | TableAction::Filter(_)
            | TableAction::Ignore
            | TableAction::Strip(_)
            | TableAction::Info(_)
            | TableAction::Warn(_)
            | TableAction::Prepend(_)
            | TableAction::Replace(_)
            | TableAction::Redirect(_) => {}
        }
        if self.hits.len() < HITS_MAX || decides {
            let shown = line.get(..TEXT_CHARACTERS_MAX * 4).unwrap_or(line);
            self.hits.push(HeaderHit {
                table,
                source: Source { file: file.file.clone(), line: number },
                action,
                text: cleaned(shown).chars().take(TEXT_CHARACTERS_MAX).collect(),
                range,
            });
        }
    }
}

/// The header sections of parts, in the order in which they come up.
fn sections(message: &Message) -> Vec<Section<'_>> {
    let mut sections = Vec::new();
    let mut at = message.body_start;
    for part in &message.parts {
        let Some(parent) = part.parent.and_then(|index| message.parts.get(index)) else { continue };
        if part.headers.is_empty() && part.header_octets.is_empty() {
            continue;
        }
        let range = place(&message.raw, &part.header_octets);
        // What was decoded out of a part comes up right behind that part's header.
        at = range.as_ref().map_or(at, |range| range.start);
        let table = if parent.kind == PartKind::Message { NESTED } else { MIME };
        sections.push(Section { at, range, part, table });
    }
    sections.sort_by_key(|section| section.at);
    sections
}

/// Where a section stands in the message, if it is a piece of it and not a copy.
fn place(raw: &Bytes, inner: &Bytes) -> Option<Range<usize>> {
    let start = inner.as_ptr().addr().checked_sub(raw.as_ptr().addr())?;
    let range = start..start.checked_add(inner.len())?;
    (raw.get(range.clone())? == inner.as_ref() && !inner.is_empty()).then_some(range)
}

/// A field as Postfix hands it to tables: folds kept, line ends as LF, none at the end.
fn unfolded(field: &[u8]) -> Cow<'_, [u8]> {
    let field = without_line_end(field);
    if memchr::memchr(b'\n', field).is_none() {
        return Cow::Borrowed(field);
    }
    let mut out = Vec::with_capacity(field.len());
    for line in field.split_inclusive(|octet| *octet == b'\n') {
        out.extend_from_slice(without_line_end(line));
        if line.ends_with(b"\n") {
            out.push(b'\n');
        }
    }
    Cow::Owned(out)
}

/// Without LF and all CR before it, which is what Postfix takes for a line end.
fn without_line_end(line: &[u8]) -> &[u8] {
    let mut line = line.strip_suffix(b"\n").unwrap_or(line);
    while let Some(shorter) = line.strip_suffix(b"\r") {
        line = shorter;
    }
    line
}
