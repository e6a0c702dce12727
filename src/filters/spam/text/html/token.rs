//! Cuts a page into texts, tags and comments, at the very places where the parser that SpamAssassin uses cuts it.
//! Rules count pieces and tags, so that a better reading of HTML would be a worse one here.
//!
//! All searches that find nothing are remembered: what opens and never closes is looked for once.

use std::borrow::Cow;

use super::entities::decode;
use super::event::{Attributes, Event};
use crate::filters::spam::text::perl::Piece;
use crate::mime::lower;

/// Elements whose content is text up to their own closing tag; in the first group no references are read.
const RAW: [&str; 5] = ["script", "style", "xmp", "iframe", "plaintext"];
const REFERENCES_ONLY: [&str; 2] = ["title", "textarea"];

/// The attribute of links in SVG, which SpamAssassin passes by.
pub(super) const PICTURE_LINK: &str = "xlink:href";

/// Marked sections in one another that are followed.
const SECTIONS_MAX: usize = 50;

/// A marked section, `<![…[ … ]]>`; of those that are open the highest one rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Section {
    None,
    Include,
    ReferencesOnly,
    Raw,
    Ignore,
}

/// How a piece of markup went.
enum Step {
    /// It ends here.
    To(usize),
    /// More octets are needed.
    Unfinished,
    /// It is no markup.
    Not,
}

/// The cutter. Give it the page, ask whether `style` or `script` is open, and finish.
pub(super) struct Tokens<'p> {
    page: &'p [u8],
    text: &'p str,
    wide: bool,
    /// What comes out.
    events: Vec<Event<'p>>,
    at: usize,
    literal: Option<&'static str>,
    /// No closing tag of that element stands behind this place.
    unclosed: Vec<(&'static str, usize)>,
    raw: bool,
    sections: Vec<Section>,
    pending_end: Option<&'static str>,
    any_end_of_comment: bool,
    /// SVG or MathML was met, where other elements have content that is no markup.
    foreign: bool,
    /// A browser may go on elsewhere than this cutter does.
    odd: bool,
}

impl<'p> Tokens<'p> {
    pub(super) fn new(text: &'p str, wide: bool) -> Self {
        Self {
            page: text.as_bytes(),
            text,
            wide,
            events: Vec::new(),
            at: 0,
            literal: None,
            unclosed: Vec::new(),
            raw: false,
            sections: Vec::new(),
            pending_end: None,
            any_end_of_comment: false,
            foreign: false,
            // To browsers, a vertical tab is no blank.
            odd: memchr::memchr(0x0b, text.as_bytes()).is_some(),
        }
    }

    /// All events of the page, and whether a browser may cut it elsewhere.
    pub(super) fn read(mut self) -> (Vec<Event<'p>>, bool) {
        self.run();
        // What is open at the end of the page is closed, so that the rest is not shown as text.
        if let Some(name @ ("style" | "script")) = self.literal {
            let rest = self.slice(self.at, self.page.len());
            if !rest.is_empty() {
                self.text_event(self.at, self.page.len());
            }
            self.end_event(name.into());
            self.at = self.page.len();
            self.literal = None;
        }
        self.finish();
        (self.events, self.odd)
    }

    fn slice(&self, start: usize, end: usize) -> &'p str {
        self.text.get(start..end).unwrap_or_default()
    }

    fn octet(&self, at: usize) -> u8 {
        self.page.get(at).copied().unwrap_or(0)
    }

    fn find(&self, octet: u8, from: usize) -> Option<usize> {
        memchr::memchr(octet, self.page.get(from..).unwrap_or_default()).map(|at| from + at)
    }

    fn skip_spaces(&self, from: usize) -> usize {
        self.skip(from, is_space)
    }

    fn skip(&self, from: usize, belongs: impl Fn(u8) -> bool) -> usize {
        let rest = self.page.get(from..).unwrap_or_default();
        from + rest.iter().position(|octet| !belongs(*octet)).unwrap_or(rest.len())
    }

    fn section(&self) -> Section {
        self.sections.iter().copied().max().unwrap_or(Section::None)
    }

    fn report(&mut self, event: Event<'p>) {
        if !matches!(event, Event::Text(_) | Event::Comment(_))
            && let Some(name) = self.pending_end.take()
        {
            self.report(Event::End(name.into()));
        }
        if self.section() != Section::Ignore {
            self.events.push(event);
        }
    }

    fn text_event(&mut self, start: usize, end: usize) {
        let piece = self.slice(start, end);
        let text = if self.raw {
            Piece { text: piece.into(), wide: self.wide }
        } else {
            decode(piece, self.wide, true)
        };
        self.report(Event::Text(text));
    }

    fn end_event(&mut self, name: Cow<'p, str>) {
        self.report(Event::End(name));
    }

    fn comment_event(&mut self, start: usize, end: usize) {
        self.report(Event::Comment(self.slice(start, end).to_owned()));
    }

    /// Reads on until the page ends or what stands there is not finished.
    fn run(&mut self) {
        let end = self.page.len();
        loop {
            if self.literal.is_some() && !self.run_literal() {
                return;
            }
            if matches!(self.section(), Section::Raw | Section::ReferencesOnly) {
                if !self.run_section() {
                    return;
                }
                continue;
            }
            let mut from = self.at;
            if self.octet(from) != b'<' {
                from = self.text_end(from);
                if self.octet(from) != b'<' {
                    self.tail();
                    return;
                }
                if from > self.at {
                    self.text_event(self.at, from);
                }
                self.at = from;
            }
            if end - from < 3 {
                return;
            }
            match self.markup(self.at) {
                Step::To(behind) => self.at = behind,
                Step::Unfinished => return,
                // A `<` that begins no tag belongs to the text behind it.
                Step::Not => {
                    let from = self.text_end(self.at + 1);
                    if self.octet(from) != b'<' {
                        self.tail();
                        return;
                    }
                    self.text_event(self.at, from);
                    self.at = from;
                }
            }
        }
    }

    /// Where a text ends: at a `<` or at the end of the page. Ends of marked sections are taken out on the way.
    fn text_end(&mut self, from: usize) -> usize {
        let next = self.find(b'<', from).unwrap_or(self.page.len());
        let mut from = from;
        while !self.sections.is_empty() {
            let window = self.page.get(from..next).unwrap_or_default();
            let Some(place) = memchr::memmem::find(window, b"]]>") else { break };
            self.text_event(self.at, from + place);
            self.close_section();
            from += place + 3;
            self.at = from;
        }
        next
    }

    fn close_section(&mut self) {
        self.sections.pop();
        self.raw = self.section() == Section::Raw;
    }

    /// Text at the end of the page: its last word may not be complete, and comes as a text of its own.
    fn tail(&mut self) {
        let start = self.at;
        let rest = self.page.get(start..).unwrap_or_default();
        let mut length = rest.len();
        if !rest.last().is_some_and(|octet| is_space(*octet)) {
            length = rest.iter().rposition(|octet| is_space(*octet)).map_or(0, |at| at + 1);
        }
        let rest = rest.get(..length).unwrap_or_default();
        let length = rest.iter().rposition(|octet| !is_space(*octet)).map_or(0, |at| at + 1);
        if length > 0 {
            self.text_event(start, start + length);
        }
        self.at = start + length;
    }

    /// The content of a script and its like; false if it is not closed.
    fn run_literal(&mut self) -> bool {
        let Some(name) = self.literal else { return true };
        let known = self.unclosed.iter().any(|(other, from)| *other == name && *from <= self.at);
        let mut from = self.at;
        while !known && let Some(open) = self.find(b'<', from) {
            from = open + 1;
            let tag = self.page.get(open + 2..open + 2 + name.len()).unwrap_or_default();
            if self.octet(open + 1) != b'/'
                || !tag.eq_ignore_ascii_case(name.as_bytes())
                || name == "plaintext"
            {
                continue;
            }
            let close = self.skip_spaces(open + 2 + name.len());
            if self.octet(close) == b'>' {
                if open > self.at {
                    self.text_event(self.at, open);
                }
                self.end_event(name.into());
                self.literal = None;
                self.raw = false;
                self.at = close + 1;
                return true;
            }
            // Browsers take that for its end as well.
            self.odd |= close > open + 2 + name.len() || self.octet(close) == b'/';
        }
        if !known {
            self.unclosed.push((name, self.at));
        }
        false
    }

    /// The content of a marked section that holds no tags; false if it is not closed.
    fn run_section(&mut self) -> bool {
        let rest = self.page.get(self.at..).unwrap_or_default();
        let Some(place) = memchr::memmem::find(rest, b"]]>") else { return false };
        if place > 0 {
            self.text_event(self.at, self.at + place);
        }
        self.close_section();
        self.at += place + 3;
        true
    }

    fn markup(&mut self, at: usize) -> Step {
        match self.octet(at + 1) {
            b'/' => self.end_tag(at),
            b'!' => self.declaration(at),
            b'?' => self.find(b'>', at + 2).map_or(Step::Unfinished, |close| Step::To(close + 1)),
            octet if is_name_first(octet) => self.start_tag(at),
            _ => Step::Not,
        }
    }

    fn start_tag(&mut self, at: usize) -> Step {
        let end = self.page.len();
        let name_end = self.skip(at + 2, |octet| !is_space(octet) && octet != b'>');
        let name = lower(self.slice(at + 1, name_end));
        self.look_at_name(&name);
        let mut place = self.skip_spaces(name_end);
        let mut attributes = Attributes::default();
        while place < end && self.octet(place) != b'>' {
            let start = place;
            place = self.skip(place + 1, |o| !is_space(o) && o != b'=' && o != b'>');
            let attribute = self.slice(start, place);
            place = self.skip_spaces(place);
            let mut value = None;
            if place < end && self.octet(place) == b'=' {
                place = self.skip_spaces(place + 1);
                let (from, to) = match self.octet(place) {
                    _ if place >= end => return Step::Unfinished,
                    quote @ (b'"' | b'\'') => {
                        let Some(close) = self.find(quote, place + 1) else {
                            return Step::Unfinished;
                        };
                        let inside = (place + 1, close);
                        place = close + 1;
                        inside
                    }
                    _ => {
                        let from = place;
                        place = self.skip(place, |octet| !is_space(octet) && octet != b'>');
                        (from, place)
                    }
                };
                value = Some(self.slice(from, to));
                place = self.skip_spaces(place);
            }
            let name = lower(attribute);
            self.odd |= name == PICTURE_LINK;
            // One without value has its name as its value.
            attributes.add(name, || match value {
                Some(value) => decode(value, self.wide, false),
                None => Piece { text: attribute.into(), wide: self.wide },
            });
        }
        if place >= end {
            return Step::Unfinished;
        }
        self.report(Event::Start(name.clone(), attributes.into_list()));
        let same = |known: &&&'static str| **known == name;
        if let Some(known) = RAW.iter().find(same) {
            self.literal = Some(known);
            self.raw = true;
        } else if let Some(known) = REFERENCES_ONLY.iter().find(same) {
            self.literal = Some(known);
            self.raw = false;
        }
        Step::To(place + 1)
    }

    /// Browsers end a name at a slash, read some other elements as text, and fewer ones in SVG and MathML.
    fn look_at_name(&mut self, name: &str) {
        let slash = name.strip_suffix('/').unwrap_or(name).contains(['/', '"', '\'']);
        let no_letter = name.starts_with(['_', ':']);
        let literal = self.foreign && (RAW.contains(&name) || REFERENCES_ONLY.contains(&name));
        self.odd |= slash || no_letter || literal || matches!(name, "noframes" | "noembed");
        self.foreign |= matches!(name.trim_end_matches('/'), "svg" | "math");
    }

    fn end_tag(&mut self, at: usize) -> Step {
        let start = at + 2;
        let name_end = self.skip(start, |octet| !is_space(octet) && octet != b'>');
        let Some(close) = self.skip_quotes(name_end) else { return Step::Unfinished };
        if name_end > start {
            self.end_event(lower(self.slice(start, name_end)));
        } else {
            self.comment_event(at, close + 1);
        }
        Step::To(close + 1)
    }

    /// The next `>` outside of quotes that begin behind a blank or a `=`.
    fn skip_quotes(&mut self, from: usize) -> Option<usize> {
        let mut quote = None;
        let mut before = b' ';
        for (place, octet) in self.page.get(from..)?.iter().enumerate() {
            match octet {
                b'>' if quote.is_none() => return Some(from + place),
                b'"' | b'\'' if quote == Some(*octet) => quote = None,
                b'"' | b'\'' if quote.is_none() && matches!(before, b' ' | b'=') => {
                    quote = Some(*octet);
                    self.odd = true;
                }
                _ => {}
            }
            before = *octet;
        }
        None
    }

    fn declaration(&mut self, at: usize) -> Step {
        let end = self.page.len();
        match self.octet(at + 2) {
            b'-' if at + 3 >= end => return Step::Unfinished,
            b'-' if self.octet(at + 3) == b'-' => return self.comment(at),
            b'-' => {}
            b'[' => match self.marked_section(at) {
                Step::Not => {}
                step @ (Step::To(_) | Step::Unfinished) => {
                    self.odd = true;
                    return step;
                }
            },
            b'>' => {
                self.comment_event(at, at + 3);
                return Step::To(at + 3);
            }
            octet if octet.is_ascii_alphabetic() => match self.doctype(at) {
                Step::Not => {}
                step @ (Step::To(_) | Step::Unfinished) => {
                    let behind = if let Step::To(behind) = step { behind } else { 0 };
                    self.odd |= self.find(b'>', at) != behind.checked_sub(1);
                    return step;
                }
            },
            _ => {}
        }
        // Whatever else it is, it is read as a comment.
        let Some(close) = self.find(b'>', at + 2) else { return Step::Unfinished };
        self.comment_event(at, close + 1);
        Step::To(close + 1)
    }

    fn comment(&mut self, at: usize) -> Step {
        let mut from = at + 4;
        self.odd |= matches!((self.octet(from), self.octet(from + 1)), (b'>', _) | (b'-', b'>'));
        if self.any_end_of_comment {
            let Some(close) = self.find(b'>', from) else { return Step::Unfinished };
            self.comment_event(at, close + 1);
            return Step::To(close + 1);
        }
        while let Some(dash) = self.find(b'-', from) {
            from = dash + 1;
            if self.octet(from) == b'-' {
                let close = self.skip_spaces(from + 1);
                self.odd |= self.octet(close) == b'!' && self.octet(close + 1) == b'>';
                if self.octet(close) == b'>' {
                    self.odd |= close > from + 1;
                    self.comment_event(at, close + 1);
                    return Step::To(close + 1);
                }
            }
        }
        Step::Unfinished
    }

    fn marked_section(&mut self, at: usize) -> Step {
        let end = self.page.len();
        let mut kind = None;
        let mut place = self.skip_spaces(at + 3);
        loop {
            if is_name_first(self.octet(place)) {
                let name_end = self.skip(place + 1, is_name_char);
                let name = self.slice(place, name_end).to_ascii_lowercase();
                let section = match name.as_str() {
                    "include" => Section::Include,
                    "rcdata" => Section::ReferencesOnly,
                    "cdata" => Section::Raw,
                    "ignore" => Section::Ignore,
                    _ => Section::None,
                };
                kind = kind.max(Some(section));
                place = self.skip_spaces(name_end);
                if place >= end {
                    return Step::Unfinished;
                }
                continue;
            }
            if self.octet(place) != b'-' {
                break;
            }
            if self.octet(place + 1) != b'-' {
                return Step::Not;
            }
            let rest = self.page.get(place + 2..).unwrap_or_default();
            let Some(close) = memchr::memmem::find(rest, b"--") else { return Step::Unfinished };
            place = self.skip_spaces(place + 2 + close + 2);
        }
        if self.octet(place) != b'[' {
            return Step::Not;
        }
        if self.sections.len() < SECTIONS_MAX {
            self.sections.push(kind.unwrap_or(Section::Include));
        }
        self.raw = self.section() == Section::Raw;
        Step::To(place + 1)
    }

    fn doctype(&mut self, at: usize) -> Step {
        let end = self.page.len();
        let name_end = self.skip(at + 3, is_name_char);
        if name_end >= end {
            return Step::Unfinished;
        }
        let name = self.slice(at + 2, name_end);
        if !name.eq_ignore_ascii_case("doctype") && !name.eq_ignore_ascii_case("entity") {
            return Step::Not;
        }
        let mut place = name_end;
        loop {
            place = self.skip_spaces(place);
            if place >= end {
                return Step::Unfinished;
            }
            match self.octet(place) {
                b'>' => break,
                quote @ (b'"' | b'\'') => {
                    let Some(close) = self.find(quote, place + 1) else { return Step::Unfinished };
                    place = close + 1;
                }
                b'-' if place + 1 >= end => return Step::Unfinished,
                b'-' if self.octet(place + 1) != b'-' => return Step::Not,
                b'-' => {
                    let rest = self.page.get(place + 2..).unwrap_or_default();
                    let Some(close) = memchr::memmem::find(rest, b"--") else {
                        return Step::Unfinished;
                    };
                    place = place + 2 + close + 2;
                }
                _ => place = self.skip(place + 1, |octet| !is_space(octet) && octet != b'>'),
            }
        }
        self.report(Event::Declaration(self.slice(at, place + 1).to_owned()));
        Step::To(place + 1)
    }

    /// The end of the page has come: what was not finished is read as well as can be.
    fn finish(&mut self) {
        let end = self.page.len();
        while self.at < end {
            if let Some(name) = self.literal {
                match name {
                    "plaintext" | "xmp" | "iframe" | "textarea" => break,
                    "script" | "style" => self.end_event(name.into()),
                    _ => self.pending_end = Some(name),
                }
                self.literal = None;
                self.run();
                continue;
            }
            if self.octet(self.at) == b'<' && !self.any_end_of_comment {
                self.any_end_of_comment = true;
                self.run();
                continue;
            }
            let next = self.octet(self.at + 1);
            if self.octet(self.at) == b'<'
                && (self.at + 1 == end || is_name_first(next) || matches!(next, b'/' | b'!' | b'?'))
            {
                self.comment_event(self.at, end);
                self.at = end;
            }
            break;
        }
        if self.at < end {
            self.text_event(self.at, end);
            self.at = end;
        }
        if let Some(name) = self.pending_end.take() {
            self.end_event(name.into());
        }
    }
}

fn is_space(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | b'\n' | b'\r' | b'\x0c' | b'\x0b')
}

fn is_name_first(octet: u8) -> bool {
    octet.is_ascii_alphabetic() || matches!(octet, b'_' | b':')
}

fn is_name_char(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'_' | b':' | b'.' | b'-')
}

#[cfg(test)]
mod tests;
