//! The header section of a message or of a part, as SpamAssassin parses it.

use std::borrow::Cow;

use super::{perl, words};

/// Octets of a field's name that are kept.
const NAME_MAX: usize = 256;
/// Octets of a field's raw value that are kept.
const VALUE_MAX: usize = 8_192;
/// Octets of all fields together that `ALL` shows.
const ALL_MAX: usize = 65_536;
/// Fields that are kept. SpamAssassin keeps all; they must end somewhere.
const FIELDS_MAX: usize = 20_000;
/// Lines that are no field and are passed over; the next one ends the header.
const INVALID_LINES_MAX: usize = 3;

/// One field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::filters::spam) struct HeaderField {
    /// As it was written.
    pub(in crate::filters::spam) name: Vec<u8>,
    /// What stands behind the colon, folds and the last LF included; line ends are LF.
    pub(in crate::filters::spam) raw: Vec<u8>,
    /// Unfolded, trimmed, encoded words decoded; no line end. UTF-8 if any of it is decodable at all.
    pub(in crate::filters::spam) decoded: Vec<u8>,
}

/// A header section.
#[derive(Debug, Clone, Default)]
pub(in crate::filters::spam) struct Header {
    /// In the order in which they stand.
    pub(in crate::filters::spam) fields: Vec<HeaderField>,
    /// The section as it was written, with the empty line behind it, without an mbox `From ` line; line ends are LF.
    pub(in crate::filters::spam) pristine: Vec<u8>,
    /// No empty line stands between header and body.
    pub(in crate::filters::spam) no_separator: bool,
    /// A name or a value was longer than what is kept.
    pub(in crate::filters::spam) truncated: bool,
}

impl Header {
    /// Reads the header at the start of a message whose line ends are LF; gives the body, too.
    pub(in crate::filters::spam) fn read(message: &[u8]) -> (Self, &[u8]) {
        let mut header = Self::default();
        let mut rest = without_mbox_line(message);
        let start = rest;
        let mut field: Vec<u8> = Vec::new();
        let mut in_field = false;
        let mut invalid = 0;
        loop {
            let (line, behind) = first_line(rest);
            if line.is_empty() {
                header.no_separator = true;
                break;
            }
            if matches!(line.first(), Some(b' ' | b'\t')) {
                in_field = true;
                field.extend_from_slice(line);
                rest = behind;
                continue;
            }
            if std::mem::take(&mut in_field) {
                header.add_line(&field);
            }
            if line == b"\n" {
                rest = behind;
                break;
            }
            let is_field = starts_field(line, true);
            invalid += usize::from(!is_field && !line.starts_with(b"--"));
            if line.starts_with(b"--") || invalid > INVALID_LINES_MAX {
                header.no_separator = true;
                break;
            }
            in_field = true;
            field.clear();
            field.extend_from_slice(line);
            rest = behind;
        }
        if in_field {
            header.add_line(&field);
        }
        let length = start.len().saturating_sub(rest.len());
        header.pristine = start.get(..length).unwrap_or_default().to_vec();
        (header, rest)
    }

    /// A whole field of the top header, or what stands in its place.
    fn add_line(&mut self, line: &[u8]) {
        let Some(colon) = memchr::memchr(b':', line) else { return };
        let (name, value) = line.split_at_checked(colon).unwrap_or((line, &[]));
        let kept = name.iter().rposition(|octet| !matches!(octet, b' ' | b'\t'));
        let name = name.get(..kept.map_or(0, |at| at + 1)).unwrap_or_default();
        let value = value.get(1..).unwrap_or_default();
        self.truncated |= name.len() > NAME_MAX || value.len() > VALUE_MAX;
        self.add(name.get(..NAME_MAX).unwrap_or(name), value.get(..VALUE_MAX).unwrap_or(value));
    }

    /// A whole field of a part's header. The blanks behind the colon are not kept.
    pub(super) fn add_part_line(&mut self, line: &[u8]) {
        let Some(colon) = memchr::memchr(b':', line) else { return };
        let (name, value) = line.split_at_checked(colon).unwrap_or((line, &[]));
        let value = value.get(1..).unwrap_or_default();
        let start = value.iter().position(|octet| !perl::is_space(*octet)).unwrap_or(value.len());
        self.add(name, value.get(start..).unwrap_or_default());
    }

    fn add(&mut self, name: &[u8], raw: &[u8]) {
        if self.fields.len() >= FIELDS_MAX {
            self.truncated = true;
            return;
        }
        let decoded = words::decode(&unfold(raw), name);
        self.fields.push(HeaderField { name: name.to_vec(), raw: raw.to_vec(), decoded });
    }

    /// Drops what other spam filters wrote, as SpamAssassin does before it asks its rules. The octets as they were
    /// written keep it.
    pub(in crate::filters::spam) fn forget_marks(&mut self) {
        self.fields.retain(|field| {
            !field.name.get(..7).is_some_and(|start| start.eq_ignore_ascii_case(b"x-spam-"))
        });
    }

    /// True if `ALL` shows only a part of it.
    pub(in crate::filters::spam) fn is_too_long(&self) -> bool {
        let lengths = self.fields.iter().map(|field| field.name.len() + field.decoded.len() + 3);
        lengths.fold(0, usize::saturating_add) > ALL_MAX
    }

    /// The fields of that name; case does not matter.
    pub(in crate::filters::spam) fn all<'h>(
        &'h self,
        name: &'h [u8],
    ) -> impl DoubleEndedIterator<Item = &'h HeaderField> {
        self.fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name))
    }

    /// The decoded value of the last field of that name, without line end.
    pub(in crate::filters::spam) fn last(&self, name: &[u8]) -> Option<&[u8]> {
        let mut fields = self.fields.iter().rev();
        let field = fields.find(|field| field.name.eq_ignore_ascii_case(name))?;
        Some(&field.decoded)
    }

    /// The last field of that name.
    pub(in crate::filters::spam) fn last_field(&mut self, name: &[u8]) -> Option<&mut HeaderField> {
        self.fields.iter_mut().rev().find(|field| field.name.eq_ignore_ascii_case(name))
    }

    /// All fields with their names, decoded or with folds made to blanks, up to the limit of [`ALL_MAX`] octets.
    pub(in crate::filters::spam) fn lines(&self, raw: bool) -> Vec<u8> {
        let length = |field: &HeaderField| {
            field.name.len() + if raw { field.raw.len() } else { field.decoded.len() } + 3
        };
        let size = self.fields.iter().map(length).fold(0_usize, usize::saturating_add);
        if size <= ALL_MAX {
            let mut out = Vec::with_capacity(size);
            for field in &self.fields {
                out.extend_from_slice(&field.name);
                out.extend_from_slice(b": ");
                if raw {
                    out.extend_from_slice(&unfold_raw(&field.raw));
                } else {
                    out.extend_from_slice(&field.decoded);
                    out.push(b'\n');
                }
            }
            return out;
        }
        self.some_lines(raw)
    }

    /// The same where there are more.
    fn some_lines(&self, raw: bool) -> Vec<u8> {
        // What is over the limit is counted name by name, in the order of their first appearance.
        let mut order: Vec<usize> = (0..self.fields.len()).collect();
        let mut firsts: std::collections::HashMap<Vec<u8>, usize> =
            std::collections::HashMap::new();
        let mut first_of = Vec::with_capacity(self.fields.len());
        for (place, field) in self.fields.iter().enumerate() {
            first_of.push(*firsts.entry(field.name.to_ascii_lowercase()).or_insert(place));
        }
        order.sort_by_key(|place| first_of.get(*place).copied().unwrap_or(0));
        let mut size = 0_usize;
        let mut shown: Vec<Option<Cow<'_, [u8]>>> = vec![None; self.fields.len()];
        for place in order {
            let Some(field) = self.fields.get(place) else { continue };
            let text: Cow<'_, [u8]> = if raw {
                Cow::Owned(unfold_raw(&field.raw))
            } else {
                Cow::Owned([field.decoded.as_slice(), b"\n"].concat())
            };
            size = size.saturating_add(field.name.len() + text.len() + 2);
            if size > ALL_MAX {
                break;
            }
            if let Some(slot) = shown.get_mut(place) {
                *slot = Some(text);
            }
        }
        let mut out = Vec::new();
        for (field, text) in self.fields.iter().zip(shown) {
            if let Some(text) = text {
                out.extend_from_slice(&field.name);
                out.extend_from_slice(b": ");
                out.extend_from_slice(&text);
            }
        }
        out
    }
}

/// The first line with its LF, and what stands behind it.
pub(super) fn first_line(text: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memchr(b'\n', text).map_or(text.len(), |at| at + 1);
    text.split_at_checked(end).unwrap_or((text, &[]))
}

/// True if a field's name and its colon stand at the start of the line.
pub(super) fn starts_field(line: &[u8], blanks: bool) -> bool {
    let is_name = |octet: &u8| matches!(octet, b'!'..=b'9' | b';'..=b'~');
    let name = line.iter().position(|octet| !is_name(octet)).unwrap_or(line.len());
    let behind = line.get(name..).unwrap_or_default();
    let behind = if blanks {
        let end = behind.iter().position(|octet| !matches!(octet, b' ' | b'\t'));
        behind.get(end.unwrap_or(behind.len())..).unwrap_or_default()
    } else {
        behind
    };
    name > 0 && behind.first() == Some(&b':')
}

/// The message without a separator line of an mbox; `From :` is a field of old.
fn without_mbox_line(message: &[u8]) -> &[u8] {
    let Some(after) = message.strip_prefix(b"From") else { return message };
    let blanks = after.iter().position(|octet| !perl::is_space(*octet)).unwrap_or(after.len());
    if blanks == 0 || (blanks == 1 && after.get(1) == Some(&b':')) {
        return message;
    }
    first_line(message).1
}

/// Folds become one blank, the ends are trimmed.
pub(crate) fn unfold(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some(place) = memchr::memchr(b'\n', rest) {
        let (before, from) = rest.split_at_checked(place).unwrap_or((rest, &[]));
        out.extend_from_slice(before);
        let after = from.get(1..).unwrap_or_default();
        let blanks = after.iter().position(|octet| !matches!(octet, b' ' | b'\t'));
        let blanks = blanks.unwrap_or(after.len());
        out.push(if blanks > 0 { b' ' } else { b'\n' });
        rest = after.get(blanks..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    perl::trim(&out).to_vec()
}

/// Folds become one blank, everything else stays.
pub(super) fn unfold_raw(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some(place) = memchr::memchr(b'\n', rest) {
        let (before, from) = rest.split_at_checked(place).unwrap_or((rest, &[]));
        let after = from.get(1..).unwrap_or_default();
        let blanks = after.iter().position(|octet| !perl::is_space(*octet)).unwrap_or(after.len());
        if blanks > 0 {
            out.extend_from_slice(before.strip_suffix(b"\r").unwrap_or(before));
            out.push(b' ');
        } else {
            out.extend_from_slice(before);
            out.push(b'\n');
        }
        rest = after.get(blanks..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(header: &Header) -> Vec<String> {
        header.fields.iter().map(|f| String::from_utf8_lossy(&f.name).into_owned()).collect()
    }

    #[test]
    fn a_header_ends_where_spamassassin_sees_its_end() {
        for (message, want, body, no_separator) in [
            ("A: b\nC : d\n\nbody", vec!["A", "C"], "body", false),
            ("From x@y Mon\nA: b\n\nbody", vec!["A"], "body", false),
            ("From : b\n\nbody", vec!["From"], "body", false),
            ("A: b\n--x\n", vec!["A"], "--x\n", true),
            ("A: b\njunk one\nB: c\n\nbody", vec!["A", "B"], "body", false),
            ("a b: c\n1\n2\n3\nB: c\n", vec!["a b"], "3\nB: c\n", true),
            ("A: b", vec!["A"], "", true),
            ("\nbody", vec![], "body", false),
            ("", vec![], "", true),
        ] {
            let (header, rest) = Header::read(message.as_bytes());
            assert_eq!(names(&header), want, "{message:?}");
            assert_eq!(rest, body.as_bytes(), "{message:?}");
            assert_eq!(header.no_separator, no_separator, "{message:?}");
        }
    }

    #[test]
    fn values_are_unfolded_trimmed_and_decoded() {
        let (header, _) = Header::read(b"Subject:  =?utf-8?Q?=C3=A9?=\n\t b \nX: 1\nX: 2\n\n");
        assert_eq!(header.last(b"subject"), Some("é b".as_bytes()));
        assert_eq!(header.last(b"x"), Some(b"2".as_slice()));
        assert_eq!(header.last(b"y"), None);
        assert_eq!(header.lines(false), "Subject: é b\nX: 1\nX: 2\n".as_bytes());
        assert_eq!(header.all(b"x").next().unwrap().raw, b" 1\n");
    }

    proptest! {
        #[test]
        fn all_lines_are_those_that_are_counted(text in "((A|b|B-c|X): [ab\\n \\t\r]{0,9}\n){0,9}") {
            let (header, _) = Header::read(text.as_bytes());
            for raw in [false, true] {
                prop_assert_eq!(header.lines(raw), header.some_lines(raw));
            }
        }

        #[test]
        fn no_octets_make_it_fail(
            message in "([a-z]{1,3}|:|\n|\r| |\t|From |--|é|=\\?utf-8\\?q\\?|\\?=){0,40}"
        ) {
            let (header, rest) = Header::read(message.as_bytes());
            prop_assert!(header.pristine.len() + rest.len() <= message.len());
            let _ = (header.lines(true), header.lines(false));
        }
    }
}
