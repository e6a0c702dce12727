//! Texts of all parts: the paragraphs a reader sees, and raw text in pieces.
//!
//! SpamAssassin cuts the text of a part, hidden text included, and looks at no more. What is hidden, or blank, would so
//! push aside what is read: where most of the first characters are of that kind, what a reader sees behind them follows
//! as paragraphs of its own, until he has had as many. What is still left out is told ([`LeftOut`]).

use super::header::first_line;
use super::parts::{Part, Parts};
use super::perl::{Text, is_space, uneven_space};
use super::segments::Segments;

/// Characters of a part's text that are looked at.
const PART_MAX: usize = 50_000;
/// Octets of a part's raw text that are looked at.
const RAW_PART_MAX: usize = 500_000;
/// How far behind these limits a better place to cut is looked for.
const CUT_WINDOW: usize = 1_024;
/// Octets of a paragraph, and half of what a piece of raw text has at most.
const LINE_MAX: usize = 2_048;
/// Octets of the texts of all parts together; with more, each has an even share. SpamAssassin has no such limit.
const ALL_MAX: usize = 1024 * 1024;
/// Text parts looked at from the first on, and before the last, if there are many. SpamAssassin looks at all.
const FIRST_PARTS_MAX: usize = 3_000;
const LAST_PARTS_MAX: usize = 500;
/// Cut parts whose place is told.
const PATHS_MAX: usize = 10;

/// Which text of HTML parts is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::filters::spam) enum Shown {
    /// Everything, hidden text included.
    All,
    Visible,
    Invisible,
}

/// A text of all parts, cut where it is too long.
#[derive(Debug, Default)]
pub(in crate::filters::spam) struct Cut {
    pub(in crate::filters::spam) text: Segments,
    /// What stands behind the cuts.
    pub(in crate::filters::spam) left_out: Vec<LeftOut>,
    /// Parts that were passed over.
    pub(in crate::filters::spam) parts: usize,
}

/// What was left out of a part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::filters::spam) struct LeftOut {
    /// `1.2`; empty where it would take too long to tell.
    pub(in crate::filters::spam) path: String,
    /// Characters that a reader sees.
    pub(in crate::filters::spam) seen: usize,
    /// Characters of hidden text.
    pub(in crate::filters::spam) hidden: usize,
    /// Octets that were not even rendered, or of raw text.
    pub(in crate::filters::spam) octets: usize,
}

impl Cut {
    fn note(&mut self, parts: &Parts, part: &Part, mut left: LeftOut) {
        if left == LeftOut::default() {
            return;
        }
        if self.left_out.len() < PATHS_MAX {
            left.path = parts.path_of(part);
        }
        self.left_out.push(left);
    }
}

/// The subject and the paragraphs of all text parts. Each piece but the last ends with LF.
pub(in crate::filters::spam) fn paragraphs(parts: &Parts, shown: Shown) -> Cut {
    let mut cut = Cut::default();
    let leaves = cut.some_of(parts.leaves().collect());
    if leaves.is_empty() {
        return cut;
    }
    if shown != Shown::Invisible {
        let subject = parts.root().and_then(|root| root.header.last(b"subject"));
        let subject = [subject.unwrap_or_default(), b"\n"].concat();
        short_lines(&subject, &mut cut.text);
    }
    let length = |part: &&Part| part.rendered().map_or(0, |rendered| rendered.text.text.len());
    let share = share(leaves.iter().map(length), PART_MAX);
    let (mut text, mut more) = (Text::default(), Text::default());
    for part in leaves {
        if !text.text.is_empty() {
            text.text.push('\n');
        }
        let Some(rendered) = part.rendered() else { continue };
        let piece = match shown {
            Shown::All => &rendered.text,
            Shown::Visible => rendered.visible(),
            Shown::Invisible => &rendered.invisible,
        };
        let head = cut_text(&piece.text, share);
        text.text.push_str(head);
        text.wide |= piece.wide;
        let (extra, mut left) = match shown {
            Shown::Invisible => ("", LeftOut::default()),
            Shown::All => behind(rendered.visible_around(head.len()), piece, head, share),
            Shown::Visible => {
                let around = piece.text.split_at_checked(head.len()).unwrap_or_default();
                behind(around, piece, head, share)
            }
        };
        if !extra.is_empty() {
            more.text.push_str("\n\n");
            more.text.push_str(extra);
            more.wide |= piece.wide;
        }
        left.octets = part.not_rendered();
        cut.note(parts, part, left);
    }
    short_lines(&flow(&text).octets(), &mut cut.text);
    if !more.text.is_empty() {
        short_lines(flow(&more).octets().trim_ascii_start(), &mut cut.text);
    }
    cut
}

/// Of the visible text behind a cut, what is shown all the same: so much that a reader's share is used up, if the head
/// used up less than three quarters of it. And what is left out then.
fn behind<'t>(
    (before, behind): (&'t str, &'t str),
    whole: &Text,
    head: &str,
    share: usize,
) -> (&'t str, LeftOut) {
    let rest = whole.text.get(head.len()..).unwrap_or_default();
    if rest.is_empty() {
        return ("", LeftOut::default());
    }
    let (used, _) = seen(before, share);
    let owed = if used < share / 4 * 3 { share - used } else { 0 };
    let (_, end) = seen(behind, owed);
    let (extra, left) = behind.split_at_checked(end).unwrap_or((behind, ""));
    let blank = |text: &str| seen(text, 2).0 < 2;
    let count = |text: &str| if blank(text) { 0 } else { text.chars().count() };
    let hidden = rest.chars().count().saturating_sub(behind.chars().count());
    let extra = if blank(extra) { "" } else { extra };
    (extra, LeftOut { seen: count(left), hidden, ..LeftOut::default() })
}

/// Characters that a reader sees, runs of white space as one, up to a limit; and where the one over the limit begins.
fn seen(text: &str, limit: usize) -> (usize, usize) {
    // At first a mark has no letter to stand on, as behind a blank; of marks on one letter the first is seen.
    let (mut count, mut blank, mut bare) = (0, false, true);
    for (place, letter) in text.char_indices() {
        let is_blank = letter.is_whitespace() || letter.is_control();
        let is_mark = is_mark(letter);
        if (is_blank && blank) || is_unseen(letter) || (is_mark && bare) {
            continue;
        }
        bare = is_blank || is_mark;
        if count == limit {
            return (count, place);
        }
        blank = is_blank;
        count += 1;
    }
    (count, text.len())
}

/// Marks that stand on the letter before them, but for those of scripts that cannot do without.
fn is_mark(letter: char) -> bool {
    matches!(
        letter,
        '\u{300}'..='\u{34e}' | '\u{350}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{1ab0}'..='\u{1aff}'
            | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}'
    )
}

/// Letters without width, and one without ink.
fn is_unseen(letter: char) -> bool {
    matches!(
        letter,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180e}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}'
    )
}

/// White space becomes one blank; where it holds two line ends, one line end.
fn flow(text: &Text) -> Text {
    let mut out = String::with_capacity(text.text.len());
    let mut rest = text.text.as_str();
    let plain = text.has_plain_space();
    let any_zero = memchr::memchr(0, rest.as_bytes()).is_some();
    while !rest.is_empty() {
        let end = match plain {
            true => uneven_space(rest.as_bytes()),
            false => rest.find(|letter| text.is_space(letter)).unwrap_or(rest.len()),
        };
        let (words, behind) = rest.split_at_checked(end).unwrap_or((rest, ""));
        if any_zero {
            out.extend(words.chars().map(|letter| if letter == '\0' { '\n' } else { letter }));
        } else {
            out.push_str(words);
        }
        let end = match plain {
            true => behind.bytes().position(|octet| !is_space(octet)),
            false => behind.find(|letter| !text.is_space(letter)),
        };
        let end = end.unwrap_or(behind.len());
        let (blank, behind) = behind.split_at_checked(end).unwrap_or((behind, ""));
        rest = behind;
        let (first, last) = (blank.find('\n'), blank.rfind('\n'));
        match (first, last) {
            // Blanks before the first line end, and behind the last one, stay as a blank.
            (Some(first), Some(last)) if first < last => {
                out.push_str(if first > 0 { " \n" } else { "\n" });
                if last + 1 < blank.len() {
                    out.push(' ');
                }
            }
            _ if !blank.is_empty() => out.push(' '),
            _ => {}
        }
    }
    Text { text: out, wide: text.wide }
}

/// Lines, cut at a blank if they are too long.
fn short_lines(text: &[u8], out: &mut Segments) {
    let mut rest = text;
    while !rest.is_empty() {
        let (mut line, behind) = first_line(rest);
        while line.len() > LINE_MAX {
            let blank = line.get(..=LINE_MAX).and_then(|head| memchr::memrchr(b' ', head));
            let length = blank.map_or(LINE_MAX, |at| at + 1);
            let (piece, left) = line.split_at_checked(length).unwrap_or((line, &[]));
            out.push(piece);
            line = left;
        }
        out.push(line);
        rest = behind;
    }
}

/// The paragraphs of an example.
pub(super) fn example(text: &str, out: &mut Segments) {
    short_lines(&flow(&Text::wide(text.to_owned())).octets(), out);
}

/// The decoded text parts with their markup, in pieces.
pub(in crate::filters::spam) fn raw(parts: &Parts) -> Cut {
    let mut out = Cut::default();
    let text = |part: &&Part| {
        let kind = part.effective_kind();
        let word = kind.strip_prefix("text").or_else(|| kind.strip_prefix("message"));
        let is_text = word.is_some_and(|behind| {
            !behind.bytes().next().is_some_and(|o| o.is_ascii_alphanumeric() || o == b'_')
        });
        is_text && part.kind != "text/calendar"
    };
    let leaves = out.some_of(parts.leaves().filter(text).collect());
    let share = share(leaves.iter().map(|part| part.decoded().len()), RAW_PART_MAX);
    for part in leaves {
        let text = part.decoded();
        let head = cut(text, share, b"\n> ");
        pieces(head, &mut out.text);
        let octets = text.len() - head.len();
        out.note(parts, part, LeftOut { octets, ..LeftOut::default() });
    }
    out
}

/// What each part may have.
fn share(lengths: impl ExactSizeIterator<Item = usize>, limit: usize) -> usize {
    let count = lengths.len().max(1);
    let all = lengths.fold(0_usize, |sum, length| sum.saturating_add(length.min(limit)));
    if all <= ALL_MAX { limit } else { limit.min(ALL_MAX / count) }
}

impl Cut {
    fn some_of<'p>(&mut self, mut leaves: Vec<&'p Part>) -> Vec<&'p Part> {
        if leaves.len() > FIRST_PARTS_MAX + LAST_PARTS_MAX {
            self.parts = leaves.len() - FIRST_PARTS_MAX - LAST_PARTS_MAX;
            leaves.drain(FIRST_PARTS_MAX..leaves.len() - LAST_PARTS_MAX);
        }
        leaves
    }
}

/// The head, cut behind the first of these octets that stands near, else hard.
fn cut<'t>(text: &'t [u8], limit: usize, places: &[u8]) -> &'t [u8] {
    if text.len() <= limit {
        return text;
    }
    let window = text.get(limit..).unwrap_or_default();
    let window = window.get(..=CUT_WINDOW).unwrap_or(window);
    let found = places.iter().find_map(|place| memchr::memchr(*place, window));
    text.get(..found.map_or(limit, |at| limit + at + 1)).unwrap_or(text)
}

/// The same for text, counted in characters.
fn cut_text(text: &str, limit: usize) -> &str {
    let Some((start, _)) = text.char_indices().nth(limit) else { return text };
    let window = text.get(start..).unwrap_or_default();
    let find = |place: char| {
        let mut near = window.char_indices().take(CUT_WINDOW + 1);
        near.find(|(_, letter)| *letter == place).map(|(at, _)| at)
    };
    let end = find('\n').or_else(|| find(' ')).map_or(start, |at| start + at + 1);
    text.get(..end).unwrap_or(text)
}

/// Pieces of 2 to 4 kilobytes, cut behind a line end, a `>` or a blank if one stands there.
fn pieces(text: &[u8], out: &mut Segments) {
    let mut rest = text;
    if rest.len() > LINE_MAX {
        while rest.len() > 2 * LINE_MAX {
            let window = rest.get(LINE_MAX..2 * LINE_MAX).unwrap_or_default();
            let found = b"\n> ".iter().find_map(|place| memchr::memchr(*place, window));
            let length = LINE_MAX + found.unwrap_or(0) + 1;
            let (piece, behind) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            out.push(piece);
            rest = behind;
        }
        if rest.is_empty() {
            return;
        }
    }
    out.push(rest);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn flowed(text: &str) -> String {
        flow(&Text::wide(text.to_owned())).text
    }

    #[test]
    fn paragraphs_end_at_empty_lines() {
        assert_eq!(flowed("a\nb\n\n \nc  d\n"), "a b\nc d ");
        assert_eq!(flowed("a \n\n b"), "a \n b");
        assert_eq!(flowed("a\u{a0}\u{a0}b"), "a b");
        assert_eq!(flow(&Text::narrow(b"a\xa0 b")).text, "a\u{a0} b");
    }

    #[test]
    fn lines_are_cut_at_blanks() {
        let mut out = Segments::default();
        short_lines("word ".repeat(2_000).as_bytes(), &mut out);
        assert!((0..out.len()).all(|index| out.get(index).0.len() <= LINE_MAX + 1));
        let mut out = Segments::default();
        short_lines(&[b'x'; 5_000], &mut out);
        assert_eq!(out.len(), 3);
    }

    #[test]
    fn pieces_hold_every_octet_once() {
        let text = b"line\n".repeat(3_000);
        let mut out = Segments::default();
        pieces(&text, &mut out);
        let all: Vec<u8> = (0..out.len()).flat_map(|index| out.get(index).0.to_vec()).collect();
        assert_eq!(all, text);
        assert!((0..out.len()).all(|index| out.get(index).0.len() <= 2 * LINE_MAX));
    }

    #[test]
    fn fillers_are_not_seen() {
        for (text, want) in [
            ("ab  c\n\nd", 6),
            ("a\u{2800}\u{2800}b", 2),
            ("\u{301}\u{302}a \u{301}\u{302} b", 3),
            ("a\u{301}\u{302}\u{303}b\u{301}", 4),
            ("\u{200b}\u{ad}", 0),
        ] {
            assert_eq!(seen(text, 99), (want, text.len()), "{text:?}");
        }
    }

    #[test]
    fn long_texts_are_cut_near_their_limit() {
        assert_eq!(cut(b"abc def", 2, b" "), b"abc ");
        assert_eq!(cut(b"abcdef", 2, b" "), b"ab");
        assert_eq!(cut_text("éé é", 1), "éé ");
    }

    proptest! {
        /// With a letter over ASCII at its end, a text is gone through letter by letter.
        #[test]
        fn octets_flow_as_letters_do(text in "[a \t\n\x0b\x0c\0]{0,30}") {
            prop_assert_eq!(format!("{}é", flowed(&text)), flowed(&format!("{text}é")));
        }
    }
}
