//! A header section to its fields: tolerant, linear, and without a copy.

use std::ops::Range;

use memchr::{memchr, memchr2};

use super::Limits;
use crate::mail::{DefectCode, HeaderField};

/// Which octets end a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineEnds {
    /// LF, with or without CR before it.
    Lf,
    /// CR alone: old Macintosh files.
    Cr,
}

impl LineEnds {
    /// CR alone only counts where the octets hold CR, but no LF except perhaps as the very last octet.
    pub(super) fn of(octets: &[u8]) -> Self {
        match memchr2(b'\r', b'\n', octets) {
            Some(at) if octets.get(at) == Some(&b'\r') => match memchr(b'\n', octets) {
                Some(lf) if lf + 1 < octets.len() => Self::Lf,
                _ => Self::Cr,
            },
            _ => Self::Lf,
        }
    }

    /// Where the line that begins at `from` ends, and where the next one begins.
    pub(super) fn line(self, octets: &[u8], from: usize) -> (usize, usize) {
        let rest = octets.get(from..).unwrap_or_default();
        match self {
            Self::Lf => match memchr(b'\n', rest) {
                Some(lf) => {
                    let cr = lf.checked_sub(1).and_then(|at| rest.get(at)) == Some(&b'\r');
                    (from + lf - usize::from(cr), from + lf + 1)
                }
                None => (octets.len(), octets.len()),
            },
            Self::Cr => match memchr(b'\r', rest) {
                Some(cr) => {
                    let lf = rest.get(cr + 1) == Some(&b'\n');
                    (from + cr, from + cr + 1 + usize::from(lf))
                }
                None => (octets.len(), octets.len()),
            },
        }
    }
}

/// A header section, read.
#[derive(Debug, Default)]
pub(super) struct Section {
    /// The fields, ranges from the start of the octets given.
    pub(super) fields: Vec<HeaderField>,
    /// Lines that belong to no field: without a colon, or before the first field.
    pub(super) strays: Vec<Range<usize>>,
    /// Where the body begins.
    pub(super) body_start: usize,
    /// What is odd, one entry a code.
    pub(super) odd: Vec<(DefectCode, String)>,
}

impl Section {
    fn note(&mut self, code: DefectCode, detail: &[u8]) {
        if !self.odd.iter().any(|(known, _)| *known == code) {
            let head = detail.get(..200).unwrap_or(detail);
            self.odd.push((code, String::from_utf8_lossy(head).into_owned()));
        }
    }
}

/// What one line of a header section is.
enum Line {
    Empty,
    Continuation,
    Field { name: usize, colon: usize },
    Mbox,
    Delimiter,
    Stray,
}

/// Reads the header section at the start of `octets`, up to the first empty line.
///
/// A line without a colon ends nothing by itself; but if no empty line follows at all, the body begins there.
pub(super) fn parse(octets: &[u8], ends: LineEnds, limits: &Limits) -> Section {
    let mut section = Section { body_start: octets.len(), ..Section::default() };
    let (mut at, mut separated, mut open) = (0, false, false);
    let mut first_stray = None;
    while at < octets.len() {
        let (end, next) = ends.line(octets, at);
        let line = octets.get(at..end).unwrap_or_default();
        match classify(line, at == 0) {
            Line::Empty => {
                section.body_start = next;
                separated = true;
                break;
            }
            Line::Continuation => {
                continuation(&mut section, line, at..end, next, open.then_some(limits));
            }
            Line::Mbox => open = false,
            Line::Field { name, colon } => {
                open = field(&mut section, line, at, next, (name, colon), limits);
            }
            // A delimiter right behind the fields: the body has begun without an empty line.
            Line::Delimiter => {
                first_stray = first_stray.or(Some(at));
                break;
            }
            Line::Stray => {
                first_stray = first_stray.or(Some(at));
                section.note(DefectCode::HeaderLineWithoutColon, line);
                if section.strays.len() < limits.headers_max {
                    section.strays.push(at..end);
                }
                open = false;
            }
        }
        at = next;
    }
    if !separated && !octets.is_empty() {
        section.note(DefectCode::NoSeparator, b"");
        if let Some(start) = first_stray {
            section.body_start = start;
            section.fields.retain(|field| field.field.end <= start);
            section.strays.retain(|stray| stray.end <= start);
            section.odd.retain(|(code, _)| *code != DefectCode::HeaderLineWithoutColon);
        }
    }
    finish(&mut section, octets, ends);
    section
}

fn classify(line: &[u8], first: bool) -> Line {
    match line.first() {
        None => return Line::Empty,
        Some(b' ' | b'\t') => return Line::Continuation,
        // CR CR LF: what is left of the line is CR alone.
        Some(b'\r') if line.iter().all(|octet| *octet == b'\r') => return Line::Empty,
        Some(_) => {}
    }
    if first && (line.starts_with(b"From ") || line.starts_with(b">From ")) {
        return Line::Mbox;
    }
    if line.starts_with(b"--") {
        return Line::Delimiter;
    }
    let Some(colon) = memchr(b':', line) else { return Line::Stray };
    let before = line.get(..colon).unwrap_or_default();
    let name = before.trim_ascii_end();
    if name.is_empty() || name.iter().any(|octet| matches!(octet, b' ' | b'\t')) {
        return Line::Stray;
    }
    Line::Field { name: name.len(), colon }
}

/// `open`: the limits for the field that the line continues, if that one was kept.
fn continuation(
    section: &mut Section,
    line: &[u8],
    range: Range<usize>,
    next: usize,
    open: Option<&Limits>,
) {
    if line.iter().all(|octet| matches!(octet, b' ' | b'\t' | b'\r')) {
        section.note(DefectCode::BlankContinuation, b"");
    }
    match section.fields.last_mut() {
        Some(field) => {
            // Too many fields: else the line belongs to one that was not kept.
            let Some(limits) = open else { return };
            let before = field.value.end - field.field.start;
            field.field.end = next;
            field.value.end = range.end;
            let now = field.value.end - field.field.start;
            if before <= limits.header_bytes_max && now > limits.header_bytes_max {
                section.note(DefectCode::TooManyHeaders, b"a field is too long");
            }
        }
        None => {
            section.note(DefectCode::LeadingContinuation, line);
            if section.strays.is_empty() {
                section.strays.push(range);
            }
        }
    }
}

/// Keeps the field, unless there are too many. True if it was kept.
fn field(
    section: &mut Section,
    line: &[u8],
    at: usize,
    next: usize,
    (name, colon): (usize, usize),
    limits: &Limits,
) -> bool {
    if section.fields.len() >= limits.headers_max {
        section.note(DefectCode::TooManyHeaders, b"fields");
        return false;
    }
    if name != colon {
        section.note(DefectCode::BlankBeforeColon, line.get(..name).unwrap_or_default());
    }
    section.fields.push(HeaderField {
        field: at..next,
        name: at..at + name,
        value: at + colon + 1..at + line.len(),
    });
    if line.len() > limits.header_bytes_max {
        section.note(DefectCode::TooManyHeaders, b"a field is too long");
    }
    true
}

fn finish(section: &mut Section, octets: &[u8], ends: LineEnds) {
    let header = octets.get(..section.body_start).unwrap_or_default();
    if !header.is_ascii() {
        section.note(DefectCode::EightBitHeader, b"");
    }
    if ends == LineEnds::Lf && hidden_start(header).is_some() {
        section.note(DefectCode::BareCr, b"in a header");
    }
}

/// Where, in a field or header, a CR stands that no LF follows.
pub(super) fn hidden_start(octets: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'\r', octets)
        .find(|at| !matches!(octets.get(at + 1), Some(b'\n' | b'\r') | None))
}

/// True if the name of the field is `want` once comments, NUL and octets over 127 are taken out of it.
pub(super) fn is_named(name: &[u8], want: &str) -> bool {
    if name.len() == want.len() {
        return name.eq_ignore_ascii_case(want.as_bytes());
    }
    if name.len() < want.len() {
        return false;
    }
    let mut depth = 0_usize;
    let clean = name.iter().filter(|octet| match octet {
        b'(' => {
            depth += 1;
            false
        }
        b')' => {
            depth = depth.saturating_sub(1);
            false
        }
        _ => depth == 0 && octet.is_ascii_graphic(),
    });
    let mut want = want.bytes();
    for octet in clean {
        if want.next() != Some(octet.to_ascii_lowercase()) {
            return false;
        }
    }
    want.next().is_none()
}

#[cfg(test)]
#[expect(clippy::string_slice, reason = "tests may stop")]
mod tests {
    use super::*;

    fn check(octets: &str, want: &[(&str, &str)], body: &str, odd: &[DefectCode]) {
        let section = parse(octets.as_bytes(), LineEnds::of(octets.as_bytes()), &Limits::default());
        let got: Vec<_> = section
            .fields
            .iter()
            .map(|field| (&octets[field.name.clone()], &octets[field.value.clone()]))
            .collect();
        assert_eq!(got, want, "{octets:?}");
        assert_eq!(&octets[section.body_start..], body, "{octets:?}");
        let codes: Vec<_> = section.odd.iter().map(|(code, _)| *code).collect();
        assert_eq!(codes, odd, "{octets:?}");
    }

    #[test]
    fn fields_and_folds_are_found_whatever_ends_the_lines() {
        let want = [("A", " b"), ("C", "d\r\n e")];
        check("A: b\r\nC:d\r\n e\r\n\r\nbody", &want, "body", &[]);
        check("A: b\nC:d\n e\n\nbody", &[("A", " b"), ("C", "d\n e")], "body", &[]);
        check("A: b\rC:d\r e\r\rbody", &[("A", " b"), ("C", "d\r e")], "body", &[]);
    }

    #[test]
    fn odd_lines_are_noted_and_end_nothing() {
        use DefectCode as D;
        check("From x Mon 1:2\nA: b\n\n", &[("A", " b")], "", &[]);
        check(" x\nA: b\n\n", &[("A", " b")], "", &[D::LeadingContinuation]);
        check(
            "A: b\nrubbish\nC: d\n\nx",
            &[("A", " b"), ("C", " d")],
            "x",
            &[D::HeaderLineWithoutColon],
        );
        check("A : b\n\n", &[("A", " b")], "", &[D::BlankBeforeColon]);
        check("A: b\n \n c\n\n", &[("A", " b\n \n c")], "", &[D::BlankContinuation]);
        check("A: b\r\n\r\r\nx", &[("A", " b")], "x", &[]);
        check("A: é\n\n", &[("A", " é")], "", &[D::EightBitHeader]);
        check("A: b\rB: c\r\nD: e\r\n\r\n", &[("A", " b\rB: c"), ("D", " e")], "", &[D::BareCr]);
    }

    #[test]
    fn without_an_empty_line_the_body_begins_where_fields_end() {
        use DefectCode as D;
        check("A: b\nTWFu\nTWFu\n", &[("A", " b")], "TWFu\nTWFu\n", &[D::NoSeparator]);
        check("A: b\n--x\nC: d\n\n", &[("A", " b")], "--x\nC: d\n\n", &[D::NoSeparator]);
        check("A: b", &[("A", " b")], "", &[D::NoSeparator]);
        check("", &[], "", &[]);
        check("\nbody", &[], "body", &[]);
    }

    #[test]
    fn too_many_fields_are_left_out_and_said() {
        let limits = Limits { headers_max: 2, header_bytes_max: 5, ..Limits::default() };
        let codes = |octets: &[u8]| {
            let section = parse(octets, LineEnds::Lf, &limits);
            (section.fields.len(), section.odd.iter().map(|(code, _)| *code).collect::<Vec<_>>())
        };
        assert_eq!(codes(b"A: b\nB: c\n\n"), (2, vec![]));
        assert_eq!(codes(b"A: b\nB: c\nC: d\n e\n\n"), (2, vec![DefectCode::TooManyHeaders]));
        assert_eq!(codes(b"A: bcd\n\n"), (1, vec![DefectCode::TooManyHeaders]));
    }

    #[test]
    fn a_name_is_known_behind_comments_and_rubbish() {
        for name in ["Content-Type", "CONTENT-TYPE", "Content-Type(x)", "Content\0-Type"] {
            assert!(is_named(name.as_bytes(), "content-type"), "{name:?}");
        }
        for name in ["Content-Typ", "Content-Types", "X-Content-Type", "Content-Type(x"] {
            assert_eq!(is_named(name.as_bytes(), "content-type"), name.ends_with("(x"), "{name}");
        }
    }
}
