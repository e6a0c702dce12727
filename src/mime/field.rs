//! Fields with parameters: `Content-Type`, `Content-Disposition` (RFC 2045 section 5, RFC 2183, RFC 2231).

use super::words::{decode_with_defect, hex_pair, unfold};
use super::{Limits, charset};
use crate::mail::DefectCode;

/// A parameter as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parameter {
    /// Lower case, stars included: `filename*0*`.
    name: Vec<u8>,
    /// Every reading of the value, the likeliest first; never empty.
    values: Vec<Vec<u8>>,
}

/// A value with parameters, read.
#[derive(Debug, Default)]
pub(super) struct Field {
    /// What stands before the parameters: lower case, without blanks and comments.
    pub(super) main: String,
    /// The parameters in order.
    parameters: Vec<Parameter>,
    /// True if there are more parameters than the limit.
    pub(super) too_many: bool,
    /// Readings kept of one parameter.
    values_max: usize,
}

/// The octets with comments in parentheses taken out, nested ones too; quoted strings are left alone.
pub(super) fn without_comments(octets: &[u8]) -> Vec<u8> {
    if memchr::memchr(b'(', octets).is_none() {
        return octets.to_vec();
    }
    let mut out = Vec::with_capacity(octets.len());
    let mut rest = octets;
    while let Some((octet, behind)) = rest.split_first() {
        match octet {
            b'(' => rest = skip_comment(rest),
            b'"' => {
                let (_, after) = quoted(behind);
                out.extend_from_slice(rest.get(..rest.len() - after.len()).unwrap_or_default());
                rest = after;
            }
            other => {
                out.push(*other);
                rest = behind;
            }
        }
    }
    out
}

/// What follows the comment at the start. An open comment swallows the rest, as it does for readers.
fn skip_comment(at: &[u8]) -> &[u8] {
    let mut depth = 0_usize;
    let mut octets = at.iter().enumerate();
    while let Some((index, octet)) = octets.next() {
        match octet {
            b'(' => depth += 1,
            b'\\' => {
                octets.next();
            }
            b')' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at.get(index + 1..).unwrap_or_default();
                }
            }
            _ => {}
        }
    }
    &[]
}

/// The content of a quoted string whose opening quote is gone, as written, and what follows the closing quote.
fn quoted(at: &[u8]) -> (&[u8], &[u8]) {
    let mut octets = at.iter().enumerate();
    while let Some((index, octet)) = octets.next() {
        match octet {
            b'\\' => {
                octets.next();
            }
            b'"' => {
                let after = at.get(index + 1..).unwrap_or_default();
                return (at.get(..index).unwrap_or_default(), after);
            }
            _ => {}
        }
    }
    (at, &[])
}

fn skip_blanks_and_comments(mut at: &[u8]) -> &[u8] {
    loop {
        at = at.trim_ascii_start();
        if at.first() != Some(&b'(') {
            return at;
        }
        at = skip_comment(at);
    }
}

impl Field {
    /// Reads the raw value of a field.
    pub(super) fn parse(value: &[u8], limits: &Limits) -> Self {
        let flat = unfold(value);
        let mut field = Self { values_max: limits.values_max, ..Self::default() };
        let rest = field.read_main(&flat);
        field.read_parameters(rest, limits);
        field
    }

    /// Takes what stands before the first parameter. A separator may be a comma or missing.
    fn read_main<'a>(&mut self, flat: &'a [u8]) -> &'a [u8] {
        let mut main = Vec::new();
        let mut rest = skip_blanks_and_comments(flat);
        let mut word_start = rest;
        let mut word_at = 0;
        while let Some((octet, behind)) = rest.split_first() {
            match octet {
                b';' | b',' => {
                    rest = behind;
                    break;
                }
                b'(' => rest = skip_comment(rest),
                b'=' if main.get(word_at..) != Some(b"") && !main.starts_with(b"=?") => {
                    // No separator: this word is the name of the first parameter.
                    main.truncate(word_at);
                    rest = word_start;
                    break;
                }
                blank if blank.is_ascii_whitespace() => {
                    rest = behind;
                    word_start = rest;
                    word_at = main.len();
                }
                other => {
                    main.push(*other);
                    rest = behind;
                }
            }
        }
        let text = if main.starts_with(b"=?") {
            decode_with_defect(&main).0
        } else {
            String::from_utf8_lossy(&main).into_owned()
        };
        let visible = |sign: &char| !sign.is_control() && !matches!(sign, '"' | '\u{fffd}');
        self.main = text.chars().filter(visible).take(200).collect::<String>().to_lowercase();
        rest
    }

    fn read_parameters(&mut self, mut rest: &[u8], limits: &Limits) {
        loop {
            rest = skip_separators(rest);
            if rest.is_empty() {
                return;
            }
            if self.parameters.len() >= limits.parameters_max {
                self.too_many = true;
                return;
            }
            let name_end = memchr::memchr3(b'=', b';', b'"', rest).unwrap_or(rest.len());
            let name = without_comments(rest.get(..name_end).unwrap_or_default());
            let behind = rest.get(name_end..).unwrap_or_default();
            match behind.first() {
                Some(b'=') => {
                    // Words before the name, as in `junk name=value`, are no part of it.
                    let name = name.trim_ascii();
                    let last = name.rsplit(u8::is_ascii_whitespace).next().unwrap_or(name);
                    let (values, after) = read_value(behind.get(1..).unwrap_or_default());
                    self.parameters.push(Parameter { name: last.to_ascii_lowercase(), values });
                    rest = after;
                }
                Some(_) => rest = behind.get(1..).unwrap_or_default(),
                None => return,
            }
        }
    }

    /// Every reading of the parameter `want`, the likeliest first, duplicates dropped.
    pub(super) fn values(&self, want: &str) -> Readings {
        let mut readings = Readings { max: self.values_max, ..Readings::default() };
        let mut segments: Vec<Segment<'_>> = Vec::new();
        let mut writings = 0_usize;
        for parameter in &self.parameters {
            let Some(stars) = parameter.name.strip_prefix(want.as_bytes()) else { continue };
            if stars.is_empty() {
                writings += 1;
                let differs = writings > 1 && !parameter.values.iter().any(|v| readings.has(v));
                readings.duplicate |= differs;
                for value in &parameter.values {
                    readings.push(value.clone(), None);
                }
            } else if let Some((index, extended)) = read_stars(stars)
                && let Some(octets) = parameter.values.first()
            {
                segments.push(Segment { index, extended, octets });
            }
        }
        join_segments(segments, &mut readings);
        readings
    }

    /// The first reading of the parameter as text in lower case.
    pub(super) fn text(&self, want: &str) -> Option<String> {
        let (octets, charset) = self.values(want).all.into_iter().next()?;
        Some(charset::decode(&octets, charset.as_deref()).0.trim().to_lowercase())
    }
}

fn skip_separators(mut at: &[u8]) -> &[u8] {
    loop {
        at = skip_blanks_and_comments(at);
        match at.split_first() {
            Some((b';' | b',', behind)) => at = behind,
            _ => return at,
        }
    }
}

/// Reads the value at the start, and gives what follows its separator.
fn read_value(at: &[u8]) -> (Vec<Vec<u8>>, &[u8]) {
    let at = skip_blanks_and_comments(at);
    let mut values: Vec<Vec<u8>> = Vec::new();
    let mut add = |value: &[u8]| {
        if !values.iter().any(|known| known == value) {
            values.push(value.to_vec());
        }
    };
    let rest = if let Some(inner) = at.strip_prefix(b"\"") {
        let (content, after) = quoted(inner);
        let plain = unescape(content);
        add(&plain);
        add(plain.trim_ascii());
        if plain != content {
            add(content);
        }
        if content.len() == inner.len() {
            // The closing quote is missing: some stop at the separator.
            add(inner.split(|octet| *octet == b';').next().unwrap_or(inner).trim_ascii());
        }
        // What stands behind the closing quote is a part of the value for some: `"x".exe`.
        let ends = |octet: &u8| octet.is_ascii_whitespace() || matches!(octet, b';' | b'=' | b'(');
        let end = after.iter().position(ends).unwrap_or(after.len());
        let word = after.iter().take(end).copied().filter(|octet| *octet != b'"');
        let word: Vec<u8> = word.collect();
        if !word.is_empty() && after.get(end) != Some(&b'=') {
            add(&[&plain[..], &word].concat());
        }
        let end = memchr::memchr(b';', after).map_or(after.len(), |end| end + 1);
        // Without a separator the next parameter begins right behind the quote.
        if memchr::memchr(b'=', after.get(..end).unwrap_or_default()).is_some() {
            after
        } else {
            after.get(end..).unwrap_or_default()
        }
    } else {
        let end = memchr::memchr(b';', at).unwrap_or(at.len());
        let written = at.get(..end).unwrap_or_default().trim_ascii();
        let plain = without_comments(written);
        let plain = plain.trim_ascii();
        add(plain);
        add(written);
        let first = plain.split(u8::is_ascii_whitespace).next().unwrap_or(plain);
        add(first);
        if let Some(bare) = plain.strip_prefix(b"'").and_then(|bare| bare.strip_suffix(b"'")) {
            add(bare);
        }
        if memchr::memchr(b'\\', written).is_some() {
            // A backslash may take the meaning from the separator behind it.
            add(unescape(escaped_word(at)).trim_ascii());
        }
        at.get(end..).unwrap_or_default()
    };
    for index in 0..values.len() {
        let cut = values.get(index).and_then(|value| {
            memchr::memchr(0, value).and_then(|nul| value.get(..nul)).map(<[u8]>::to_vec)
        });
        if let Some(cut) = cut.filter(|cut| !values.contains(cut)) {
            values.push(cut);
        }
    }
    (values, rest)
}

/// What stands before the first `;` without a backslash before it.
fn escaped_word(at: &[u8]) -> &[u8] {
    let mut octets = at.iter().enumerate();
    while let Some((index, octet)) = octets.next() {
        match octet {
            b'\\' => {
                octets.next();
            }
            b';' => return at.get(..index).unwrap_or_default(),
            _ => {}
        }
    }
    at
}

fn unescape(content: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(content.len());
    let mut octets = content.iter();
    while let Some(octet) = octets.next() {
        match octet {
            b'\\' => plain.extend(octets.next()),
            other => plain.push(*other),
        }
    }
    plain
}

/// Readings of one parameter.
#[derive(Debug, Default)]
pub(super) struct Readings {
    /// Octets, and the charset where the writing names one.
    pub(super) all: Vec<(Vec<u8>, Option<String>)>,
    /// True if the parameter is there twice with different values.
    pub(super) duplicate: bool,
    /// True if a writing of RFC 2231 is broken, or says other than the plain one.
    pub(super) bad: bool,
    /// True if there are more than the limit.
    pub(super) too_many: bool,
    max: usize,
}

impl Readings {
    fn has(&self, value: &[u8]) -> bool {
        self.all.iter().any(|(known, _)| known == value)
    }

    fn push(&mut self, value: Vec<u8>, charset: Option<String>) {
        let known = |(known, label): &(Vec<u8>, _)| *known == value && *label == charset;
        if self.all.len() > self.max || self.all.iter().any(known) {
            return;
        }
        if self.all.len() == self.max {
            self.too_many = true;
            return;
        }
        self.all.push((value, charset));
    }
}

/// One piece of a parameter in RFC 2231 writing.
struct Segment<'a> {
    /// `None` for `name*=`.
    index: Option<u32>,
    extended: bool,
    octets: &'a [u8],
}

/// `*`, `*0`, `*0*`.
fn read_stars(stars: &[u8]) -> Option<(Option<u32>, bool)> {
    let digits = stars.strip_prefix(b"*")?;
    if digits.is_empty() {
        return Some((None, true));
    }
    let (digits, extended) = match digits.strip_suffix(b"*") {
        Some(digits) => (digits, true),
        None => (digits, false),
    };
    let index = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some((Some(index), extended))
}

/// Joins the pieces by index, and as they came if that differs.
fn join_segments(segments: Vec<Segment<'_>>, readings: &mut Readings) {
    if segments.is_empty() {
        return;
    }
    let plain_given = !readings.all.is_empty();
    let (whole, mut pieces): (Vec<_>, Vec<_>) =
        segments.into_iter().partition(|segment| segment.index.is_none());
    let mut add = |octets: Vec<u8>, charset: Option<String>| {
        readings.bad |= plain_given && !readings.has(&octets);
        readings.push(octets, charset);
    };
    for segment in &whole {
        let (octets, charset) = join(std::iter::once(segment));
        add(octets, charset);
    }
    if pieces.is_empty() {
        return;
    }
    let sorted = pieces.windows(2).all(|pair| match pair {
        [a, b] => a.index < b.index,
        _ => true,
    });
    let as_they_came = (!sorted).then(|| join(pieces.iter()));
    pieces.sort_by_key(|segment| segment.index);
    let (octets, charset) = join(pieces.iter());
    add(octets, charset);
    if let Some((octets, charset)) = as_they_came {
        readings.push(octets, charset);
    }
    let gaps = pieces.iter().zip(0..).any(|(segment, want)| segment.index != Some(want));
    readings.bad |= gaps;
}

fn join<'a>(segments: impl Iterator<Item = &'a Segment<'a>>) -> (Vec<u8>, Option<String>) {
    let mut out = Vec::new();
    let mut charset = None;
    for (position, segment) in segments.enumerate() {
        if !segment.extended {
            out.extend_from_slice(segment.octets);
            continue;
        }
        let mut coded = segment.octets;
        if position == 0 {
            let mut thirds = coded.splitn(3, |octet| *octet == b'\'');
            if let (Some(label), Some(_), Some(rest)) =
                (thirds.next(), thirds.next(), thirds.next())
            {
                charset = Some(String::from_utf8_lossy(label).to_lowercase());
                coded = rest;
            }
        }
        percent_decode(coded, &mut out);
    }
    (out, charset.filter(|label| !label.is_empty()))
}

/// Undoes `%41`; what is no such escape stays.
pub(super) fn percent_decode(coded: &[u8], out: &mut Vec<u8>) {
    let mut rest = coded;
    while let Some((octet, behind)) = rest.split_first() {
        rest = behind;
        match hex_pair(behind).filter(|_| *octet == b'%') {
            Some(value) => {
                out.push(value);
                rest = behind.get(2..).unwrap_or_default();
            }
            None => out.push(*octet),
        }
    }
}

/// Notes what the readings of a parameter tell.
pub(super) fn odd_parameter(readings: &Readings, boundary: bool) -> Option<DefectCode> {
    match (readings.duplicate, readings.bad) {
        (true, _) if boundary => Some(DefectCode::DuplicateBoundary),
        (true, _) => Some(DefectCode::DuplicateParameter),
        (false, true) => Some(DefectCode::BadParameter),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(value: &str, main: &str, want: &[&str]) {
        let field = Field::parse(value.as_bytes(), &Limits::default());
        assert_eq!(field.main, main, "{value:?}");
        let got: Vec<_> = field
            .values("p")
            .all
            .iter()
            .map(|(octets, _)| String::from_utf8_lossy(octets).into_owned())
            .collect();
        assert_eq!(got, want, "{value:?}");
    }

    #[test]
    fn the_value_before_the_parameters_is_read_whatever_separates() {
        check(" Multipart/Mixed; p=x", "multipart/mixed", &["x"]);
        check("multipart/mixed p=x", "multipart/mixed", &["x"]);
        check("multipart/mixed, p=x", "multipart/mixed", &["x"]);
        check("multipart/mixed;; ; p=x", "multipart/mixed", &["x"]);
        check("(c) multipart(c)/(d)mixed; p=x", "multipart/mixed", &["x"]);
        check("multipart / mixed ; p=x", "multipart/mixed", &["x"]);
        check("\r\n multipart/mixed;\r\n\tp=x", "multipart/mixed", &["x"]);
        check("p=x", "", &["x"]);
        check("=?us-ascii?Q?a/b?=; p=x", "a/b", &["x"]);
        check("", "", &[]);
    }

    #[test]
    fn every_reading_of_a_parameter_is_given() {
        check("a; p=\"x\"", "a", &["x"]);
        check("a; p=(c)\"x\"(d)", "a", &["x"]);
        check("a; p = \"x\"", "a", &["x"]);
        check("a; P=\"a\\\\b\"", "a", &["a\\b", "a\\\\b"]);
        check("a; p=one two; q=1", "a", &["one two", "one"]);
        check("a; p=\"x", "a", &["x"]);
        check("a; p=\"x ; q=1", "a", &["x ; q=1", "x"]);
        check("a; p='x'", "a", &["'x'", "x"]);
        check("a; p=\" x\"", "a", &[" x", "x"]);
        check("a; p=\"x\\0.y\"", "a", &["x0.y", "x\\0.y"]);
        check("a; p=\"x\0y\"", "a", &["x\0y", "x"]);
        check("a; p=1; p=2", "a", &["1", "2"]);
        check("a; p=\"x\" q=1; p=2", "a", &["x", "2"]);
        check("a; p=a=b?c", "a", &["a=b?c"]);
    }

    #[test]
    fn parameters_in_pieces_are_joined_by_index() {
        check("a; p*0=x; p*1=y", "a", &["xy"]);
        check("a; p*1=y; p*0=x", "a", &["xy", "yx"]);
        check("a; p*=utf-8''%41b", "a", &["Ab"]);
        check("a; p*0*=utf-8'en'%41; p*1=%41; p*2*=%42", "a", &["A%41B"]);
        check("a; p=1; p*=utf-8''2", "a", &["1", "2"]);
    }

    #[test]
    fn duplicates_and_contradictions_are_known() {
        let odd = |value: &str| {
            odd_parameter(&Field::parse(value.as_bytes(), &Limits::default()).values("p"), false)
        };
        assert_eq!(odd("a; p=1; p=2"), Some(DefectCode::DuplicateParameter));
        assert_eq!(odd("a; p=1; p=1"), None);
        assert_eq!(odd("a; p=1; p*=utf-8''2"), Some(DefectCode::BadParameter));
        assert_eq!(odd("a; p=1; p*=utf-8''1"), None);
        assert_eq!(odd("a; p*0=1; p*2=1"), Some(DefectCode::BadParameter));
    }

    #[test]
    fn more_parameters_than_the_limit_are_left_out_and_said() {
        let limits = Limits { parameters_max: 2, ..Limits::default() };
        assert!(!Field::parse(b"a; b=1; c=2", &limits).too_many);
        assert!(Field::parse(b"a; b=1; c=2; d=3", &limits).too_many);
    }

    proptest! {
        #[test]
        fn no_octets_make_it_fail(value in "(p|=|\"|\\\\|\\(|\\)|;|,| |\\*|0|'|%4|\0|x){0,60}") {
            Field::parse(value.as_bytes(), &Limits::default()).values("p");
        }
    }
}
