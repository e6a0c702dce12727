//! The texts that rules look at.
//!
//! Work is bounded by looking at the head and the tail of what is large: [`HEAD_MAX`] and [`TAIL_MAX`] octets for each
//! kind of text. Text parts share them evenly, so that no part, however long, hides another one; of many parts the
//! first and the last are looked at.

mod address;
mod header;
mod segments;
mod words;

use crate::filters::Mail;
use crate::mail::{Part, PartKind};

pub(crate) use address::{Glob, senders};
pub(in crate::filters::spam) use header::Selector;
pub(in crate::filters::spam) use segments::Segments;

use header::{Field, unfold};

/// Octets looked at from the start of a text.
pub(in crate::filters::spam) const HEAD_MAX: usize = 256 * 1024;
/// Octets looked at before its end.
pub(in crate::filters::spam) const TAIL_MAX: usize = 64 * 1024;
/// A paragraph is cut at a blank before this.
const PARAGRAPH_MAX: usize = 2_048;
/// Raw text is looked at in pieces of at least half of this.
const PIECE_MAX: usize = 4_096;
/// Text parts looked at from the first on.
const FIRST_PARTS_MAX: usize = 48;
/// Text parts looked at before the last.
const LAST_PARTS_MAX: usize = 16;
/// Links looked at.
const LINKS_MAX: usize = 2_000;

/// What a rule looks at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::filters::spam) enum Target {
    /// Fields of the top header.
    Header(Selector),
    /// The same field of every part.
    MimeHeader(Selector),
    /// The subject and the paragraphs a reader sees.
    Body,
    /// Decoded text parts with their markup.
    RawBody,
    /// The message as it came, lines ended by LF.
    Full,
    /// Links, and addresses as `mailto:`.
    Uri,
}

impl Target {
    /// The text of a mail.
    pub(in crate::filters::spam) fn text(&self, mail: &Mail<'_>) -> Segments {
        match self {
            Self::Header(selector) => Segments::one(selector.text(mail)),
            Self::MimeHeader(selector) => {
                let mut out = Segments::default();
                for part in mail.message.parts.iter().filter(|part| part.kind != PartKind::Member) {
                    match selector.of_part(part) {
                        Some(text) => out.push(&text),
                        None => out.push_absent(),
                    }
                }
                out
            }
            Self::Body => body(mail),
            Self::RawBody => raw_body(mail),
            Self::Full => full(mail),
            Self::Uri => uris(mail),
        }
    }

    /// The text that an example stands for; see [`crate::filters::spam::Engine::run_examples`].
    pub(in crate::filters::spam) fn example(&self, text: &str) -> Segments {
        let mut out = Segments::default();
        match self {
            Self::Header(selector) | Self::MimeHeader(selector) => {
                let mut value = Vec::new();
                let text = unescape(text);
                if selector.field == Field::All {
                    value.extend_from_slice(text.as_bytes());
                } else {
                    selector.append(b"", text.as_bytes(), &mut value);
                }
                out.push(&value);
            }
            Self::Body => {
                out.push(b"");
                paragraphs(text, &mut out);
            }
            Self::RawBody | Self::Full => out.push(unescape(text).as_bytes()),
            Self::Uri => out.push(text.as_bytes()),
        }
        out
    }
}

/// The value of a field as a reader sees it.
pub(in crate::filters::spam) fn decoded_value(name: &str, value: &[u8]) -> String {
    let mut out = Vec::new();
    if let Ok(selector) = Selector::parse(name) {
        selector.append(name.as_bytes(), value, &mut out);
    }
    String::from_utf8_lossy(&out).trim_end().to_owned()
}

/// `\n`, `\t` and `\\` in examples.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            out.push(letter);
            continue;
        }
        match letters.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('\\') => out.push('\\'),
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    out
}

/// Parts that are text for a reader, with the octets of head and tail that each may have.
fn text_parts<'m>(mail: &Mail<'m>) -> (Vec<&'m Part>, Share) {
    const NOT_FOR_READERS: [&str; 3] = ["text/calendar", "text/vcard", "text/x-vcard"];
    let text = |part: &&Part| {
        part.kind == PartKind::Leaf
            && part.declared_type.starts_with("text/")
            && !NOT_FOR_READERS.contains(&part.declared_type.as_str())
            && !part.data.is_empty()
    };
    let mut parts: Vec<&Part> = mail.message.parts.iter().filter(text).collect();
    if parts.len() > FIRST_PARTS_MAX + LAST_PARTS_MAX {
        parts.drain(FIRST_PARTS_MAX..parts.len() - LAST_PARTS_MAX);
    }
    let count = parts.len().max(1);
    (parts, Share { head: HEAD_MAX / count, tail: TAIL_MAX / count })
}

/// How much of a text is looked at, in octets.
#[derive(Clone, Copy)]
struct Share {
    head: usize,
    tail: usize,
}

const WHOLE: Share = Share { head: HEAD_MAX, tail: TAIL_MAX };

fn is_html(part: &Part) -> bool {
    let html_name = |name: &String| {
        let name = name.to_ascii_lowercase();
        [".htm", ".html", ".shtml"].iter().any(|end| name.ends_with(end))
    };
    part.declared_type == "text/html" || part.names.iter().any(html_name)
}

fn body(mail: &Mail<'_>) -> Segments {
    let mut out = Segments::default();
    let subject = mail.message.value("Subject").unwrap_or_default();
    let subject = subject.get(..HEAD_MAX).unwrap_or(subject);
    out.push(&words::decode(&unfold(subject)));
    let (parts, share) = text_parts(mail);
    for part in parts {
        let lossy;
        let text = match &part.text {
            Some(text) => text.as_str(),
            None => {
                let (head, tail) = cut(&part.data, share);
                lossy = String::from_utf8_lossy(&[head, tail].concat()).into_owned();
                &lossy
            }
        };
        let (head, tail) = cut_text(text, share);
        for piece in [head, tail].into_iter().filter(|piece| !piece.is_empty()) {
            if is_html(part) {
                paragraphs(&html_text(piece), &mut out);
            } else {
                paragraphs(piece, &mut out);
            }
        }
    }
    out
}

/// The text a reader sees of HTML.
fn html_text(html: &str) -> String {
    crate::mime::html::render(html).text
}

/// Cuts a text into paragraphs: an empty line ends one, any other white space is one blank.
fn paragraphs(text: &str, out: &mut Segments) {
    let mut paragraph = Vec::with_capacity(512);
    let mut rest = text;
    loop {
        let behind = rest.trim_start();
        let blank = rest.get(..rest.len() - behind.len()).unwrap_or_default();
        if behind.is_empty() {
            break;
        }
        if !blank.is_empty() {
            let line_ends = memchr::memchr_iter(b'\n', blank.as_bytes()).take(2).count();
            if line_ends >= 2 || paragraph.len() >= PARAGRAPH_MAX {
                finish(&mut paragraph, out);
            } else if !paragraph.is_empty() {
                paragraph.push(b' ');
            }
        }
        let end = behind.find(char::is_whitespace).unwrap_or(behind.len());
        let (word, tail) = behind.split_at_checked(end).unwrap_or((behind, ""));
        paragraph.extend_from_slice(word.as_bytes());
        rest = tail;
    }
    finish(&mut paragraph, out);
}

fn finish(paragraph: &mut Vec<u8>, out: &mut Segments) {
    if !paragraph.is_empty() {
        out.push(paragraph);
        paragraph.clear();
    }
}

fn raw_body(mail: &Mail<'_>) -> Segments {
    let mut out = Segments::default();
    let (parts, share) = text_parts(mail);
    for part in parts {
        let (head, tail) = cut(&part.data, share);
        for piece in [head, tail] {
            pieces(piece, &mut out);
        }
    }
    out
}

/// Cuts raw text into pieces at line ends, or at a fixed length where lines are too long for that.
fn pieces(text: &[u8], out: &mut Segments) {
    let text = without_cr(text);
    let mut rest = text.as_slice();
    while !rest.is_empty() {
        let window = rest.get(..PIECE_MAX).unwrap_or(rest);
        let half = window.len() / 2;
        let cut = match memchr::memrchr(b'\n', window) {
            _ if window.len() == rest.len() => rest.len(),
            Some(end) if end >= half => end + 1,
            _ => window.len(),
        };
        let (piece, behind) = rest.split_at_checked(cut).unwrap_or((rest, &[]));
        out.push(piece);
        rest = behind;
    }
}

fn full(mail: &Mail<'_>) -> Segments {
    let (head, tail) = cut(&mail.message.raw, WHOLE);
    let mut out = Segments::default();
    for piece in [head, tail].into_iter().filter(|piece| !piece.is_empty()) {
        out.push(&without_cr(piece));
    }
    out
}

fn uris(mail: &Mail<'_>) -> Segments {
    let mut out = Segments::default();
    for link in mail.message.links.iter().take(LINKS_MAX) {
        if link.url.contains('@') && !link.url.contains(':') {
            out.push(format!("mailto:{}", link.url).as_bytes());
        } else {
            let url = link.url.as_bytes();
            out.push(url.get(..PIECE_MAX).unwrap_or(url));
        }
        if out.buffer().len() > HEAD_MAX {
            break;
        }
    }
    out
}

/// Rules count on LF alone; CR before it goes.
fn without_cr(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(place) = memchr::memchr(b'\r', rest) {
        let (before, behind) = rest.split_at_checked(place).unwrap_or((rest, &[]));
        out.extend_from_slice(before);
        if behind.get(1) != Some(&b'\n') {
            out.push(b'\r');
        }
        rest = behind.get(1..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out
}

/// Head and tail of what is large.
fn cut(octets: &[u8], share: Share) -> (&[u8], &[u8]) {
    let Some((head, rest)) = octets.split_at_checked(share.head) else { return (octets, &[]) };
    (head, rest.get(rest.len().saturating_sub(share.tail)..).unwrap_or_default())
}

fn cut_text(text: &str, share: Share) -> (&str, &str) {
    if text.len() <= share.head {
        return (text, "");
    }
    let head = text.floor_char_boundary(share.head);
    let tail = text.ceil_char_boundary(text.len().saturating_sub(share.tail).max(head));
    (text.get(..head).unwrap_or_default(), text.get(tail..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut_up(text: &str) -> Vec<String> {
        let mut out = Segments::default();
        paragraphs(text, &mut out);
        let piece = |index| String::from_utf8(out.get(index).0.to_vec()).unwrap();
        (0..out.len()).map(piece).collect()
    }

    #[test]
    fn paragraphs_end_at_empty_lines() {
        assert_eq!(cut_up("a\r\nb\r\n\r\n \r\nc  d\n"), ["a b", "c d"]);
        assert_eq!(cut_up("  \n\n"), Vec::<String>::new());
        assert!(
            cut_up(&"word ".repeat(2_000)).iter().all(|piece| piece.len() <= PARAGRAPH_MAX + 5)
        );
    }

    #[test]
    fn head_and_tail_of_a_large_text_are_kept() {
        let text = format!("start{}end", "é".repeat(400_000));
        let (head, tail) = cut_text(&text, WHOLE);
        assert!(head.starts_with("start") && tail.ends_with("end"));
        assert!(head.len() <= HEAD_MAX && tail.len() <= TAIL_MAX);
    }

    #[test]
    fn pieces_hold_every_octet_once() {
        let text = b"line\r\n".repeat(3_000);
        let mut out = Segments::default();
        pieces(&text, &mut out);
        let all: Vec<u8> = (0..out.len()).flat_map(|index| out.get(index).0.to_vec()).collect();
        assert_eq!(all, b"line\n".repeat(3_000));
        assert!((0..out.len()).all(|index| out.get(index).0.len() <= PIECE_MAX));
    }
}
