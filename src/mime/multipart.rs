//! A multipart body to its parts (RFC 2046 section 5.1), by one pass for one boundary.

use std::iter::Peekable;
use std::ops::Range;

use memchr::memmem;

use super::delimiters::{Delimiters, LEAD_MAX};

/// How exactly a line must be the delimiter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// As RFC 2046 has it; any line end will do.
    Strict,
    /// Blanks or more dashes before it, text behind it: what sloppy readers accept.
    Loose,
}

/// A body, split.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Split {
    /// What stands before the first delimiter.
    pub(super) preamble: Range<usize>,
    /// The parts, headers and all, without the line end that belongs to the delimiter.
    pub(super) parts: Vec<Range<usize>>,
    /// What stands behind the first closing delimiter, be it parts for others or not.
    pub(super) epilogue: Range<usize>,
    /// True if the closing delimiter is there.
    pub(super) closed: bool,
    /// True if a delimiter follows the closing one.
    pub(super) reopened: bool,
    /// True if lines were passed over that a sloppy reader takes for delimiters.
    pub(super) alike: bool,
    /// True if there are more parts than were asked for.
    pub(super) too_many: bool,
}

/// A delimiter line.
struct Delimiter {
    /// Where the line end before it begins.
    start: usize,
    /// Where the next line begins.
    end: usize,
    closing: bool,
    strict: bool,
}

/// Where a delimiter stands in a body, one place after the other.
struct Search<'a, I: Iterator<Item = usize>> {
    body: &'a [u8],
    finder: memmem::Finder<'a>,
    /// Places that are known, behind the first octets.
    known: Option<Peekable<I>>,
}

impl<I: Iterator<Item = usize>> Search<'_, I> {
    /// The first place at or behind `from` that can be one of a delimiter line.
    fn next(&mut self, from: usize) -> Option<usize> {
        let length = self.finder.needle().len();
        let find = |to: usize| {
            let octets = self.body.get(from..to.min(self.body.len()))?;
            self.finder.find(octets).map(|hit| from + hit)
        };
        let Some(known) = &mut self.known else { return find(self.body.len()) };
        // What begins here may have its line begin with the body.
        let first = find(LEAD_MAX + length);
        if first.is_some() {
            return first;
        }
        while known.next_if(|at| *at < from).is_some() {}
        known.peek().copied()
    }
}

/// Splits `body`, giving no more than `parts_max` parts. `known`: places of delimiters, if somebody has looked for them.
pub(super) fn split(
    body: &[u8],
    boundary: &[u8],
    manner: Manner,
    parts_max: usize,
    known: Option<&Delimiters>,
) -> Split {
    let mut split = Split { preamble: 0..body.len(), ..Split::default() };
    let mut delimiter = Vec::with_capacity(boundary.len() + 2);
    delimiter.extend_from_slice(b"--");
    delimiter.extend_from_slice(boundary.trim_ascii_end());
    let known = known.and_then(|known| known.places(body, &delimiter)).map(Iterator::peekable);
    let mut search = Search { body, finder: memmem::Finder::new(&delimiter), known };
    let (mut from, mut open, mut seen) = (0, None::<usize>, false);
    while let Some(at) = search.next(from) {
        let Some(found) = delimiter_at(body, at, delimiter.len()) else {
            from = at + delimiter.len();
            continue;
        };
        from = found.end.max(at + delimiter.len());
        if !found.strict && manner == Manner::Strict {
            split.alike = true;
            // The line may yet hold the delimiter further on: `---x`.
            from = at + delimiter.len();
            continue;
        }
        if !seen {
            split.preamble.end = found.start;
            seen = true;
        }
        if let Some(start) = open.take() {
            split.parts.push(start..found.start.max(start));
        }
        if !found.closing && split.parts.len() >= parts_max {
            split.too_many = true;
            return split;
        }
        if found.closing {
            if !split.closed {
                split.epilogue = found.end..body.len();
            }
            split.closed = true;
        } else {
            split.reopened |= split.closed;
            open = Some(found.end);
        }
    }
    if let Some(start) = open {
        split.parts.push(start..body.len());
        if !split.closed {
            split.epilogue = body.len()..body.len();
        }
        split.closed = split.closed && !split.reopened;
    }
    split
}

/// What the line around the hit at `at` is; `None` if it is no delimiter for anybody.
fn delimiter_at(body: &[u8], at: usize, length: usize) -> Option<Delimiter> {
    let before = body.get(..at)?;
    let lead = before
        .iter()
        .rev()
        .take_while(|octet| matches!(octet, b' ' | b'\t' | b'-'))
        .take(LEAD_MAX)
        .count();
    let line_start = at - lead;
    let strict_start = lead == 0;
    let start = match before.get(..line_start)? {
        [] => 0,
        [.., b'\r', b'\n'] => line_start - 2,
        [.., b'\n' | b'\r'] => line_start - 1,
        _ => return None,
    };
    let behind = body.get(at + length..)?;
    let (closing, tail) = match behind.strip_prefix(b"--") {
        Some(tail) => (true, tail),
        None => (false, behind),
    };
    let blanks = tail.iter().take_while(|octet| matches!(octet, b' ' | b'\t')).count();
    let tail_at = at + length + behind.len() - tail.len() + blanks;
    let rest = body.get(tail_at..)?;
    let (end, strict_end) = match rest {
        [] => (tail_at, true),
        [b'\r', b'\n', ..] => (tail_at + 2, true),
        [b'\r' | b'\n', ..] => (tail_at + 1, true),
        // Behind the closing dashes anything may stand; behind the name only what a blank sets apart, or an octet
        // that is in no boundary, which some readers take for a blank.
        [behind, ..] if blanks > 0 || closing || !(b'!'..=b'~').contains(behind) => {
            // A bare CR ends the line as it began it, else lines of it would be read to the end again and again.
            let end = match memchr::memchr2(b'\r', b'\n', rest) {
                None => body.len(),
                Some(at) => {
                    let crlf = rest.get(at..at + 2) == Some(b"\r\n");
                    tail_at + at + 1 + usize::from(crlf)
                }
            };
            (end, false)
        }
        _ => return None,
    };
    Some(Delimiter { start, end, closing, strict: strict_start && strict_end })
}

/// A boundary that the body itself suggests: of the first line of dashes that a MIME field follows.
pub(super) fn guess_boundary(body: &[u8]) -> Option<&[u8]> {
    const BOUNDARY_MAX: usize = 4096;
    const TRIES_MAX: usize = 100;
    let finder = memmem::Finder::new(b"--");
    let mut from = 0;
    for _ in 0..TRIES_MAX {
        let at = from + finder.find(body.get(from..)?)?;
        let line = body.get(at..)?;
        let end = memchr::memchr2(b'\r', b'\n', line)?;
        from = at + end.max(2);
        let starts = at == 0 || matches!(body.get(at - 1), Some(b'\n' | b'\r'));
        let name = line.get(2..end).unwrap_or_default().trim_ascii_end();
        if !starts || name.is_empty() || name.len() > BOUNDARY_MAX {
            continue;
        }
        let next = line.get(end..)?;
        let next = next.strip_prefix(b"\r").unwrap_or(next);
        let next = next.strip_prefix(b"\n").unwrap_or(next);
        if next.get(..8).is_some_and(|head| head.eq_ignore_ascii_case(b"content-")) {
            return Some(name);
        }
    }
    None
}

#[cfg(test)]
#[expect(clippy::string_slice, reason = "tests may stop")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(body: &str, manner: Manner, preamble: &str, parts: &[&str], epilogue: &str) -> Split {
        let split = split(body.as_bytes(), b"x", manner, 99, None);
        assert_eq!(&body[split.preamble.clone()], preamble, "{body:?}");
        let got: Vec<_> = split.parts.iter().map(|part| &body[part.clone()]).collect();
        assert_eq!(got, parts, "{body:?}");
        assert_eq!(&body[split.epilogue.clone()], epilogue, "{body:?}");
        split
    }

    #[test]
    fn a_body_is_split_at_its_delimiters() {
        use Manner::Strict;
        let split =
            check("p\r\n--x\r\na\r\n--x \t\r\nb\r\n--x--\r\ne", Strict, "p", &["a", "b"], "e");
        assert!(split.closed && !split.alike && !split.reopened);
        check("--x\na\n--x--", Strict, "", &["a"], "");
        check("--x\ra\r--x--\r", Strict, "", &["a"], "");
        assert!(!check("--x\na\n", Strict, "", &["a\n"], "").closed);
        assert!(check("--x--\n--x\na", Strict, "", &["a"], "--x\na").reopened);
        check("--x\na\n--x--\nb\n--x--\n", Strict, "", &["a"], "b\n--x--\n");
        check("--x\n--x\n--x--", Strict, "", &["", ""], "");
        check("nothing", Strict, "nothing", &[], "");
    }

    #[test]
    fn lines_that_only_look_alike_are_for_sloppy_readers() {
        let body = "--x\na\n --x\nb\n--x foo\nc\n--x--";
        assert!(check(body, Manner::Strict, "", &["a\n --x\nb\n--x foo\nc"], "").alike);
        check(body, Manner::Loose, "", &["a", "b", "c"], "");
        assert!(!check("--x\n--xy\n--x--", Manner::Strict, "", &["--xy"], "").alike);
        check("---x\na\n---x--", Manner::Loose, "", &["a"], "");
        check("--x\x0c\na\n--x--", Manner::Loose, "", &["a"], "");
        assert!(check("--x\n--x\x7f\n--x--", Manner::Strict, "", &["--x\x7f"], "").alike);
    }

    #[test]
    fn no_more_parts_are_given_than_asked_for() {
        let one = split(b"--x\na\n--x\nb\n--x--", b"x", Manner::Strict, 1, None);
        assert_eq!((one.parts.len(), one.too_many), (1, true));
        let two = split(b"--x\na\n--x\nb\n--x--", b"x", Manner::Strict, 2, None);
        assert_eq!((two.parts.len(), two.too_many), (2, false));
    }

    #[test]
    fn a_boundary_is_guessed_from_the_line_before_a_mime_field() {
        assert_eq!(guess_boundary(b"hi\r\n--abc\r\nContent-Type: x\r\n"), Some(&b"abc"[..]));
        assert_eq!(guess_boundary(b"--\n--b \ncontent-type: x"), Some(&b"b"[..]));
        assert_eq!(guess_boundary(b"-- \nsignature\n"), None);
    }

    proptest! {
        #[test]
        fn known_places_change_nothing(
            body in "(--abc|--abcd|--|-|\r\n|\n|\r| |\t|a long tail of a line){0,60}",
            boundary in "abc|abcd|ab|---|----|abc-",
            cut in (0_usize..99, 0_usize..99),
            loose: bool,
            parts_max in 0_usize..9,
        ) {
            let body = bytes::Bytes::from(body);
            let manner = if loose { Manner::Loose } else { Manner::Strict };
            let from = cut.0.min(body.len());
            let part = body.slice(from..body.len().saturating_sub(cut.1).max(from));
            let known = Delimiters::of(&body);
            let without = split(&part, boundary.as_bytes(), manner, parts_max, None);
            let with = split(&part, boundary.as_bytes(), manner, parts_max, known.as_ref());
            prop_assert_eq!(with, without);
        }

        #[test]
        fn parts_lie_in_the_body_in_order(
            body in "(--x|--|\r\n|\n| |a|x){0,60}", loose: bool, parts_max in 0_usize..9
        ) {
            let manner = if loose { Manner::Loose } else { Manner::Strict };
            let split = split(body.as_bytes(), b"x", manner, parts_max, None);
            let mut at = split.preamble.end;
            for part in &split.parts {
                prop_assert!(at <= part.start && part.start <= part.end && part.end <= body.len());
                at = part.end;
            }
            guess_boundary(body.as_bytes());
        }
    }
}
