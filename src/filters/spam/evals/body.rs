//! Functions over the text of a mail: its length, its blank lines, the words of its alternatives.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use regex::bytes::{Regex, RegexBuilder};

use crate::filters::spam::text::parts::{Part, Parts};
use crate::filters::spam::text::perl::is_space;
use crate::filters::spam::view::View;

use super::{Arguments, Call, Function};

pub(super) const FUNCTIONS: &[Function] = &[
    ("multipart_alternative_difference", alternative_difference),
    ("multipart_alternative_difference_count", alternative_count),
    ("check_blank_line_ratio", blank_line_ratio),
    ("tvd_vertical_words", vertical_words),
    ("check_stock_info", stock_info),
    ("check_body_length", body_length),
    ("plaintext_body_length", plain_body_length),
    ("plaintext_sig_length", plain_signature_length),
    ("plaintext_body_sig_ratio", plain_ratio),
];

/// How the alternatives of a mail differ.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Difference {
    /// The largest share of words of the HTML that the text has not, in percent.
    percent: f64,
    /// Different words of the HTML and of the text, of the last alternative with HTML.
    html: f64,
    text: f64,
}

impl Difference {
    fn of(view: &View<'_>) -> Self {
        *view.cells.difference.get_or_init(|| Self::read(view.parts()))
    }

    fn read(parts: &Parts) -> Self {
        let mut all = Self::default();
        if is_invitation(parts) {
            return all;
        }
        for part in parts.all().filter(|part| is_kind(&part.kind, "multipart/alternative")) {
            let words = words_below(parts, part);
            let html = words.values().filter(|counts| counts.html > 0).count();
            if html == 0 {
                continue;
            }
            all.html = number(html);
            all.text = number(words.values().filter(|counts| counts.text > 0).count());
            let left = words.values().filter(|counts| counts.text < counts.html).count();
            all.percent = all.percent.max(number(left) / all.html * 100.0);
        }
        all
    }
}

/// True for an alternative of HTML and a calendar, as meetings are proposed.
fn is_invitation(parts: &Parts) -> bool {
    let Some(root) = parts.root().filter(|root| root.kind == "multipart/alternative") else {
        return false;
    };
    let children: Vec<&Part> = parts.children(root).collect();
    let [html, calendar] = children.as_slice() else { return false };
    let leaf = |part: &Part, kind: &str| part.kind == kind && part.children.is_empty();
    leaf(html, "text/html") && leaf(calendar, "text/calendar")
}

/// True if the type begins so, and no letter follows.
fn is_kind(kind: &str, wanted: &str) -> bool {
    let behind = kind.strip_prefix(wanted).map(|behind| behind.bytes().next());
    behind
        .is_some_and(|next| !next.is_some_and(|next| next.is_ascii_alphanumeric() || next == b'_'))
}

/// How often a word stands in the HTML and in the plain text.
#[derive(Default)]
struct Counts {
    html: u32,
    text: u32,
}

/// Strangers choose the words: a hash that they cannot foresee.
type Words<'p> = HashMap<&'p [u8], Counts, foldhash::quality::RandomState>;

/// Words for which there is room from the start, at most.
const ROOM_MAX: usize = 4_096;

/// Words of the HTML and of the plain text below a part.
fn words_below<'p>(parts: &'p Parts, part: &'p Part) -> Words<'p> {
    let mut words = Words::default();
    let mut any_html = false;
    let mut waiting: Vec<&Part> = vec![part];
    while let Some(part) = waiting.pop() {
        let mut below: Vec<&Part> = parts.children(part).collect();
        below.reverse();
        waiting.extend(below);
        let Some(rendered) = part.rendered().filter(|_| is_kind(&part.kind, "text")) else {
            continue;
        };
        let page = part.effective_kind() == "text/html";
        let shown = &rendered.text;
        words.reserve(ROOM_MAX.min(shown.text.len() / 32));
        let mut count = |word: &'p [u8]| {
            if has_letter(word, shown.wide) {
                let counts = words.entry(word).or_default();
                if page {
                    counts.html += 1;
                    any_html = true;
                } else {
                    counts.text += 1;
                }
            }
        };
        if shown.has_plain_space() {
            shown.text.as_bytes().split(|octet| is_space(*octet)).for_each(&mut count);
        } else {
            let pieces = shown.text.split(|letter| shown.is_space(letter));
            pieces.for_each(|word| count(word.as_bytes()));
        }
        // An image alone is a word that no text has.
        let images = rendered.html.as_ref().is_some_and(|html| html.inside.contains_key("img"));
        if page && !any_html && images {
            words.entry(b"\n").or_default().html = 1;
            any_html = true;
        }
    }
    words
}

/// Whether a word has anything that belongs to words; in wide texts, letters and digits of all scripts do.
fn has_letter(word: &[u8], wide: bool) -> bool {
    let plain = |octet: &u8| octet.is_ascii_alphanumeric() || *octet == b'_';
    word.iter().any(plain)
        || wide
            && !word.is_ascii()
            && std::str::from_utf8(word).is_ok_and(|word| word.contains(char::is_alphanumeric))
}

fn number(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}

fn wanted(arguments: &Arguments, place: usize) -> Result<f64, String> {
    arguments.wanted_number(place)?.ok_or_else(|| format!("argument {} is missing", place + 1))
}

fn alternative_difference(arguments: &Arguments) -> Result<Call, String> {
    let above = wanted(arguments, 0)?;
    let most = arguments.wanted_number(1)?;
    Ok(Call::new(move |view| {
        let percent = Difference::of(view).percent;
        (above == 0.0 || percent > above) && most.is_none_or(|most| percent <= most)
    }))
}

fn alternative_count(arguments: &Arguments) -> Result<Call, String> {
    let (ratio, words) = (wanted(arguments, 0)?, wanted(arguments, 1)?);
    Ok(Call::new(move |view| {
        let all = Difference::of(view);
        all.html > words.max(0.0) && all.text / all.html > ratio
    }))
}

/// Blank lines of the raw text in percent, if it has so many lines.
fn blank_line_ratio(arguments: &Arguments) -> Result<Call, String> {
    let (above, most) = (wanted(arguments, 0)?, wanted(arguments, 1)?);
    let lines = arguments.wanted_number(2)?.unwrap_or(1.0).max(1.0);
    Ok(Call::new(move |view| {
        let text = view.raw_body();
        let pieces = (0..text.len()).map(|index| text.get(index).0);
        let percent = blank_lines(pieces, lines);
        (above == 0.0 || percent > above) && percent <= most
    }))
}

fn blank_lines<'t>(pieces: impl Iterator<Item = &'t [u8]>, least: f64) -> f64 {
    let (mut blank, mut all) = (0, 0);
    for line in pieces.flat_map(|piece| piece.split_inclusive(|octet| *octet == b'\n')) {
        all += 1;
        let is_blank = |octet: &u8| matches!(octet, b'\t'..=b'\r' | b' ');
        blank += usize::from(line.iter().all(is_blank));
    }
    if number(all) < least { -1.0 } else { 100.0 * number(blank) / number(all) }
}

/// The paragraph with the most blanks: blanks in percent of what is none.
fn vertical_words(arguments: &Arguments) -> Result<Call, String> {
    let (least, below) = (wanted(arguments, 0)?, wanted(arguments, 1)?);
    let below = if below >= 100.0 { 101.0 } else { below };
    Ok(Call::new(move |view| {
        let text = view.body();
        let most = (0..text.len()).filter_map(|index| blanks(text.get(index).0)).max();
        let most = most.map_or(-1.0, f64::from);
        most >= least && most < below
    }))
}

fn blanks(paragraph: &[u8]) -> Option<u8> {
    let blanks = paragraph.iter().filter(|octet| **octet == b' ').count();
    let others = paragraph.len() - blanks;
    let percent = blanks.saturating_mul(100).checked_div(others).unwrap_or(100).min(100);
    (paragraph.len() > 5).then(|| u8::try_from(percent).unwrap_or(100))
}

fn pattern(text: &str) -> Option<Regex> {
    RegexBuilder::new(text).unicode(false).build().ok()
}

/// `Name: value` lines.
static ENTRY: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"(?m)^\s*([^:\s][^:\n]{2,29})\s*:\s*\S"));
/// Names that offers of shares use, without blanks and signs.
static SHARE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(concat!(
        r"(^trad(?:e|ing)date|company(?:name)?|s\w?(?:t\w?o\w?c\w?k|y\w?m(?:\w?b\w?o\w?l)?)|",
        r"t(?:arget|icker)|(?:opening|current)p(?:rice)?|p(?:rojected|osition)|expectations|",
        r"weeks?high|marketperformance|(?:year|week|month|day|price)(?:target|estimates?)|sector|",
        r"r(?:ecommendation|ating))$"
    ))
});

/// Different names of what is told about a share in the first plain text.
fn stock_info(arguments: &Arguments) -> Result<Call, String> {
    let least = wanted(arguments, 0)?;
    Ok(Call::new(move |view| least == 0.0 || number(share_names(view)) >= least))
}

fn share_names(view: &View<'_>) -> usize {
    let part = view.parts().all().find(|part| part.kind == "text/plain");
    let Some(text) = part.and_then(Part::rendered) else { return 0 };
    share_names_in(&text.text.octets())
}

fn share_names_in(text: &[u8]) -> usize {
    let (Some(entry), Some(share)) = (ENTRY.as_ref(), SHARE.as_ref()) else { return 0 };
    let names = entry.captures_iter(text).filter_map(|captures| {
        let name = captures.get(1)?.as_bytes().to_ascii_lowercase();
        let letters: Vec<u8> = name.into_iter().filter(u8::is_ascii_lowercase).collect();
        Some(share.captures(&letters)?.get(1)?.as_bytes().to_vec())
    });
    names.collect::<HashSet<Vec<u8>>>().len()
}

/// Octets of the body as it came, at most so many.
fn body_length(arguments: &Arguments) -> Result<Call, String> {
    let most = wanted(arguments, 0)?;
    Ok(Call::new(move |view| number(view.octets_of_body().len()) <= most))
}

/// Octets of the first plain text before and in its signature; `None`: there is no such text.
fn signature(view: &View<'_>) -> Option<(f64, f64)> {
    let mut parts = view.parts().all();
    let text = parts.find(|part| part.kind.starts_with("text/plain"))?.decoded();
    let (body, signature) = cut_signature(text);
    Some((number(body), number(signature)))
}

/// A signature begins behind the last line `-- ` that does not end the text.
fn cut_signature(text: &[u8]) -> (usize, usize) {
    let mut lengths = (text.len(), 0);
    let mut start = 0;
    for line in text.split_inclusive(|octet| *octet == b'\n') {
        let mark = line.strip_suffix(b"\n").unwrap_or(line);
        let left = text.len() - start - mark.len();
        if matches!(mark, b"--" | b"-- " | b"--\r" | b"-- \r") && left > 4 {
            lengths = (start, left);
        }
        start += line.len();
    }
    lengths
}

fn plain_length(
    arguments: &Arguments,
    most_default: f64,
    value: impl Fn(f64, f64) -> f64 + Send + Sync + 'static,
) -> Result<Call, String> {
    let least = wanted(arguments, 0)?;
    let most = arguments.wanted_number(1)?.unwrap_or(most_default);
    Ok(Call::new(move |view| {
        signature(view).is_some_and(|(body, signature)| {
            let value = value(body, signature);
            value >= least && value <= most
        })
    }))
}

fn plain_body_length(arguments: &Arguments) -> Result<Call, String> {
    plain_length(arguments, f64::MAX, |body, _| body)
}

fn plain_signature_length(arguments: &Arguments) -> Result<Call, String> {
    plain_length(arguments, f64::MAX, |_, signature| signature)
}

/// How many times longer than its signature the text is; a million if there is none.
fn plain_ratio(arguments: &Arguments) -> Result<Call, String> {
    plain_length(
        arguments,
        1e6,
        |body, signature| {
            if signature > 0.0 { body / signature } else { 1e6 }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::spam::text::header::Header;

    fn difference(html: &str, text: &str) -> Difference {
        let message = format!(
            "Content-Type: multipart/alternative; boundary=x\n\n--x\nContent-Type: text/plain\n\n\
             {text}\n--x\nContent-Type: text/html\n\n{html}\n--x--\n"
        );
        let (header, body) = Header::read(message.as_bytes());
        Difference::read(&Parts::read(header, body))
    }

    #[test]
    fn alternatives_differ_by_the_words_that_the_text_lacks() {
        for (html, text, percent) in [
            ("<p>one two</p>", "one two three", 0.0),
            ("<p>one two one</p>", "one two", 50.0),
            ("<p>one - two</p>", "three", 100.0),
            ("<img src=x>", "three", 100.0),
            ("<p></p>", "three", 0.0),
        ] {
            let got = difference(html, text).percent;
            assert!((got - percent).abs() < 0.01, "{html} {text}: {got}");
        }
        let all = difference("<p>a1</p>", "a b c d");
        assert!(all.text > 3.0 && all.html < 2.0);
    }

    #[test]
    fn blank_lines_and_blanks_are_counted() {
        let share = |text: &str, least: f64| blank_lines([text.as_bytes()].into_iter(), least);
        assert!((share("a\n\n \nb\n", 1.0) - 50.0).abs() < 0.1);
        assert!(share("a\n", 2.0) < 0.0);
        for (text, want) in
            [("a b c", None), ("a b c\n", Some(50)), ("      ", Some(100)), ("abcdef", Some(0))]
        {
            assert_eq!(blanks(text.as_bytes()), want, "{text:?}");
        }
    }

    #[test]
    fn names_of_shares_are_counted_once() {
        let text = b"Company Name: x\nSymbol : y\nsymbol: z\nOther: x\nTrade Date: 1\n";
        assert_eq!(share_names_in(text), 3);
        assert_eq!(share_names_in(b""), 0);
    }

    #[test]
    fn a_signature_begins_behind_its_mark() {
        for (text, want) in [
            ("body\n-- \nme and you\n", (5, 12)),
            ("body\n--\r\nme and you\n", (5, 12)),
            ("body\n-- \nme\n", (5, 4)),
            ("body\n-- \n", (9, 0)),
            ("body", (4, 0)),
        ] {
            let want = if want.1 <= 4 { (text.len(), 0) } else { want };
            assert_eq!(cut_signature(text.as_bytes()), want, "{text:?}");
        }
    }
}
