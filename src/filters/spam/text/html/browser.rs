//! Cuts a page at the places where browsers cut it (the WHATWG's HTML standard, sections 13.2.5 and 13.2.6.5), into the
//! same events as the cutter that goes by SpamAssassin's parser.
//!
//! It is asked only for pages of which that one noted that a browser may go on elsewhere. Of how browsers make a tree it
//! knows what decides where text begins: SVG and MathML, and what ends them.

use std::borrow::Cow;

use super::entities::decode;
use super::event::{Attribute, Attributes, Event};
use crate::filters::spam::text::perl::Piece;
use crate::mime::lower;

/// Elements of SVG and MathML in one another that are followed.
const DEPTH_MAX: usize = 100;

/// How the content of an element is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    /// As text; in the second kind references are read, the third is not shown.
    Raw,
    References,
    Unseen,
    /// As text up to the end of the page.
    Rest,
}

/// A tag.
struct Tag<'p> {
    name: Cow<'p, str>,
    attributes: Vec<Attribute<'p>>,
    closes_itself: bool,
    end: usize,
}

/// The cutter.
pub(super) struct Browser<'p> {
    page: &'p [u8],
    text: &'p str,
    wide: bool,
    events: Vec<Event<'p>>,
    at: usize,
    /// Where text begins that was not reported yet.
    from: usize,
    /// What is open of SVG and MathML, outside of which nothing is kept.
    foreign: Vec<&'static str>,
}

impl<'p> Browser<'p> {
    pub(super) fn new(text: &'p str, wide: bool) -> Self {
        let page = text.as_bytes();
        Self { page, text, wide, events: Vec::new(), at: 0, from: 0, foreign: Vec::new() }
    }

    /// All events of the page.
    pub(super) fn read(mut self) -> Vec<Event<'p>> {
        while let Some(open) = self.find(b'<', self.at) {
            let next = self.octet(open + 1);
            if !next.is_ascii_alphabetic() && !matches!(next, b'!' | b'/' | b'?') {
                // It belongs to the text.
                self.at = open + 1;
                continue;
            }
            self.report_text(open);
            self.at = open;
            self.markup(next);
            self.from = self.at;
        }
        self.report_text(self.page.len());
        self.events
    }

    fn octet(&self, at: usize) -> u8 {
        self.page.get(at).copied().unwrap_or(0)
    }

    fn slice(&self, start: usize, end: usize) -> &'p str {
        self.text.get(start..end).unwrap_or_default()
    }

    fn find(&self, octet: u8, from: usize) -> Option<usize> {
        memchr::memchr(octet, self.page.get(from..).unwrap_or_default()).map(|at| from + at)
    }

    fn skip(&self, from: usize, belongs: impl Fn(u8) -> bool) -> usize {
        let rest = self.page.get(from..).unwrap_or_default();
        from + rest.iter().position(|octet| !belongs(*octet)).unwrap_or(rest.len())
    }

    /// Reports the text up to here.
    fn report_text(&mut self, end: usize) {
        let piece = self.slice(self.from, end);
        if !piece.is_empty() {
            self.events.push(Event::Text(decode(piece, self.wide, true)));
        }
    }

    fn markup(&mut self, next: u8) {
        let open = self.at;
        match next {
            b'!' if self.page.get(open + 2..open + 4) == Some(b"--") => self.comment(),
            b'!' if self.is_foreign() && self.slice(open, open + 9) == "<![CDATA[" => {
                let rest = self.page.get(open + 9..).unwrap_or_default();
                let length = memchr::memmem::find(rest, b"]]>");
                let end = open + 9 + length.unwrap_or(rest.len());
                let text = self.slice(open + 9, end).into();
                self.events.push(Event::Text(Piece { text, wide: self.wide }));
                self.at = (end + 3).min(self.page.len());
            }
            b'!' | b'?' => self.bogus(next == b'!'),
            b'/' => match self.octet(open + 2) {
                letter if letter.is_ascii_alphabetic() => {
                    let tag = self.tag(open + 2);
                    if let Some(tag) = self.whole(tag) {
                        self.end(tag.name);
                    }
                }
                b'>' => self.at = open + 3,
                0 if open + 2 >= self.page.len() => self.at = self.page.len(),
                _ => self.bogus(true),
            },
            _ => {
                let tag = self.tag(open + 1);
                if let Some(tag) = self.whole(tag) {
                    self.start(tag);
                }
            }
        }
    }

    /// Goes behind a tag. What the end of the page cuts is no tag and is not shown.
    fn whole(&mut self, tag: Option<Tag<'p>>) -> Option<Tag<'p>> {
        self.at = tag.as_ref().map_or(self.page.len(), |tag| tag.end);
        tag
    }

    /// `<!doctype …>`, and what is read as a comment: all up to the next `>`.
    fn bogus(&mut self, told: bool) {
        let open = self.at;
        self.at = self.find(b'>', open + 2).map_or(self.page.len(), |close| close + 1);
        let text = self.slice(open, self.at).to_owned();
        let declares = text.get(..9).is_some_and(|head| head.eq_ignore_ascii_case("<!doctype"));
        match told {
            true if declares => self.events.push(Event::Declaration(text)),
            true => self.events.push(Event::Comment(text)),
            false => {}
        }
    }

    fn comment(&mut self) {
        let open = self.at;
        let start = open + 4;
        self.at = match (self.octet(start), self.octet(start + 1)) {
            (b'>', _) => start + 1,
            (b'-', b'>') => start + 2,
            _ => self.comment_end(start),
        };
        self.events.push(Event::Comment(self.slice(open, self.at).to_owned()));
    }

    /// Behind the `-->` or `--!>`.
    fn comment_end(&self, start: usize) -> usize {
        let mut from = start;
        while let Some(dash) = self.find(b'-', from) {
            from = dash + 1;
            match (self.octet(from), self.octet(from + 1), self.octet(from + 2)) {
                (b'-', b'>', _) => return from + 2,
                (b'-', b'!', b'>') => return from + 3,
                _ => {}
            }
        }
        self.page.len()
    }

    /// A tag whose name begins here; `None`: the page ends in it.
    fn tag(&self, start: usize) -> Option<Tag<'p>> {
        let ends = |octet: u8| is_space(octet) || matches!(octet, b'/' | b'>');
        let name_end = self.skip(start, |octet| !ends(octet));
        let name = lower(self.slice(start, name_end));
        let mut attributes = Attributes::default();
        let mut place = name_end;
        loop {
            place = self.skip(place, |octet| is_space(octet) || octet == b'/');
            if place >= self.page.len() {
                return None;
            }
            if self.octet(place) == b'>' {
                let closes_itself = self.octet(place - 1) == b'/';
                let attributes = attributes.into_list();
                return Some(Tag { name, attributes, closes_itself, end: place + 1 });
            }
            place = self.attribute(place, &mut attributes)?;
        }
    }

    /// Adds an attribute; gives where it ends. As in the other cutter, one without value has its name as its value.
    fn attribute(&self, start: usize, attributes: &mut Attributes<'p>) -> Option<usize> {
        let ends = |octet: u8| is_space(octet) || matches!(octet, b'/' | b'>' | b'=');
        let name_end = self.skip(start + 1, |octet| !ends(octet));
        let name = self.slice(start, name_end);
        let equals = self.skip(name_end, is_space);
        if self.octet(equals) != b'=' {
            attributes.add(lower(name), || Piece { text: name.into(), wide: self.wide });
            return Some(name_end);
        }
        let place = self.skip(equals + 1, is_space);
        let (from, to, behind) = match self.octet(place) {
            quote @ (b'"' | b'\'') => {
                let close = self.find(quote, place + 1)?;
                (place + 1, close, close + 1)
            }
            _ => {
                let end = self.skip(place, |octet| !is_space(octet) && octet != b'>');
                (place, end, end)
            }
        };
        attributes.add(lower(name), || decode(self.slice(from, to), self.wide, false));
        Some(behind)
    }

    /// True where the content of an element is read by the rules of SVG and MathML.
    fn is_foreign(&self) -> bool {
        self.foreign.last().is_some_and(|name| !holds_html(name))
    }

    fn start(&mut self, tag: Tag<'p>) {
        let name = tag.name.clone();
        if self.is_foreign() && ends_foreign(&name, &tag.attributes) {
            while self.is_foreign() {
                self.pop();
            }
        }
        let foreign = self.is_foreign();
        self.events.push(Event::Start(tag.name, tag.attributes));
        let known = KEPT.iter().find(|known| **known == name);
        let opens = matches!(&*name, "svg" | "math");
        match known {
            Some(_) if (foreign || opens) && tag.closes_itself => self.end_event(name),
            Some(known) if foreign || opens => {
                if self.foreign.len() < DEPTH_MAX {
                    self.foreign.push(known);
                }
            }
            _ if foreign => {}
            _ => self.literal(&name),
        }
    }

    fn end(&mut self, name: Cow<'p, str>) {
        if self.is_foreign() && matches!(&*name, "p" | "br") {
            while self.is_foreign() {
                self.pop();
            }
        }
        if self.foreign.iter().any(|open| **open == *name) {
            while self.foreign.last().is_some_and(|open| **open != *name) {
                self.pop();
            }
            self.foreign.pop();
        }
        self.events.push(Event::End(name));
    }

    /// Closes what is open.
    fn pop(&mut self) {
        if let Some(name) = self.foreign.pop() {
            self.end_event(name.into());
        }
    }

    fn end_event(&mut self, name: Cow<'p, str>) {
        self.events.push(Event::End(name));
    }

    /// The content of an element that has no tags in it, up to its own end tag or that of the page.
    fn literal(&mut self, name: &str) {
        let Some(content) = content(name) else { return };
        let start = self.at;
        let open = match content {
            Content::Rest => None,
            Content::Raw | Content::References | Content::Unseen => self.literal_end(name),
        };
        let end = open.unwrap_or(self.page.len());
        let text = self.slice(start, end);
        if !text.is_empty() && content != Content::Unseen {
            let text = match content {
                Content::References => decode(text, self.wide, true),
                Content::Raw | Content::Unseen | Content::Rest => {
                    Piece { text: text.into(), wide: self.wide }
                }
            };
            self.events.push(Event::Text(text));
        }
        self.at = end;
        if let Some(open) = open {
            let tag = self.tag(open + 2);
            self.whole(tag);
        }
        self.end_event(name.to_owned().into());
    }

    /// Where the end tag of that element begins.
    fn literal_end(&self, name: &str) -> Option<usize> {
        let mut from = self.at;
        while let Some(open) = self.find(b'<', from) {
            from = open + 1;
            let end = open + 2 + name.len();
            let found = self.page.get(open + 2..end).unwrap_or_default();
            let behind = self.octet(end);
            if self.octet(open + 1) == b'/'
                && found.eq_ignore_ascii_case(name.as_bytes())
                && (is_space(behind) || matches!(behind, b'/' | b'>'))
            {
                return Some(open);
            }
        }
        None
    }
}

fn is_space(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | b'\n' | b'\r' | b'\x0c')
}

/// How the content of an HTML element is read that holds no tags. Mail readers run no scripts: `<noscript>` does.
fn content(name: &str) -> Option<Content> {
    Some(match name {
        "script" | "style" | "xmp" => Content::Raw,
        "title" | "textarea" => Content::References,
        "iframe" | "noembed" | "noframes" => Content::Unseen,
        "plaintext" => Content::Rest,
        _ => return None,
    })
}

/// Elements in SVG and MathML that are kept in mind.
const KEPT: [&str; 13] = [
    "svg",
    "math",
    "foreignobject",
    "desc",
    "title",
    "style",
    "script",
    "mi",
    "mo",
    "mn",
    "ms",
    "mtext",
    "annotation-xml",
];

/// True for those of them whose content is HTML again.
fn holds_html(name: &str) -> bool {
    !matches!(name, "svg" | "math" | "style" | "script")
}

/// Tags that end SVG and MathML.
fn ends_foreign(name: &str, attributes: &[Attribute<'_>]) -> bool {
    const NAMES: [&str; 44] = [
        "b",
        "big",
        "blockquote",
        "body",
        "br",
        "center",
        "code",
        "dd",
        "div",
        "dl",
        "dt",
        "em",
        "embed",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "head",
        "hr",
        "i",
        "img",
        "li",
        "listing",
        "menu",
        "meta",
        "nobr",
        "ol",
        "p",
        "pre",
        "ruby",
        "s",
        "small",
        "span",
        "strike",
        "strong",
        "sub",
        "sup",
        "table",
        "tt",
        "u",
        "ul",
        "var",
    ];
    let dressed =
        || attributes.iter().any(|(name, _)| matches!(&**name, "color" | "face" | "size"));
    NAMES.contains(&name) || (name == "font" && dressed())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Text that is shown, and the tags around it.
    fn cut(page: &str) -> String {
        let mut out = String::new();
        for event in Browser::new(page, false).read() {
            match event {
                Event::Text(text) => out.push_str(&text.text),
                Event::Start(tag, attributes) => {
                    out.push_str(&format!("<{tag}"));
                    for (name, value) in attributes {
                        out.push_str(&format!(" {name}={}", value.text));
                    }
                    out.push('>');
                }
                Event::End(tag) => out.push_str(&format!("</{tag}>")),
                Event::Comment(_) => out.push('#'),
                Event::Declaration(_) => out.push('!'),
            }
        }
        out
    }

    #[test]
    fn pages_are_cut_where_browsers_cut_them() {
        for (page, want) in [
            ("a<style>x</style y>b", "a<style>x</style>b"),
            ("a<style>x</style/>b", "a<style>x</style>b"),
            ("a<style>x</styles>b", "a<style>x</styles>b</style>"),
            ("a<style/>b</style>c", "a<style>b</style>c"),
            ("<svg><style/></svg>b", "<svg><style></style></svg>b"),
            ("<svg><style>x<p>b", "<svg><style>x</style></svg><p>b"),
            ("<svg><title><style>x</style>b", "<svg><title><style>x</style>b"),
            ("<svg><![CDATA[a<b>]]>c", "<svg>a<b>c"),
            ("<math><mi><style>x</style x>b", "<math><mi><style>x</style>b"),
            ("<svg><style></p>b", "<svg><style></style></svg></p>b"),
            ("<!-->a-->b", "#a-->b"),
            ("<!--->a-->b", "#a-->b"),
            ("<!-- x --!>a", "#a"),
            ("<!-- x -- >a--><b>", "#<b>"),
            ("<!--a--->b<!-- c", "#b#"),
            ("<![ignore[ <p>a]]>b", "#a]]>b"),
            ("<!doctype html \"a>b\">c", "!b\">c"),
            ("<?php a > b", " b"),
            ("</ x>a</>b</", "#ab"),
            ("a</p \">b", "a</p>b"),
            ("a < b <1> <_c \"> d <", "a < b <1> <_c \"> d <"),
            ("<a/href=x/b>y", "<a href=x/b>y"),
            ("<a b='>' c = d =e f>y", "<a b=> c=d =e==e f=f>y"),
            ("<a href=x", ""),
            ("a<b c=\"d>e", "a"),
            ("<noframes><style></noframes>b", "<noframes></noframes>b"),
            ("<title>&amp;<b></title>c", "<title>&<b></title>c"),
            ("<plaintext><b></plaintext>", "<plaintext><b></plaintext></plaintext>"),
            ("<BR/>a", "<br>a"),
            ("", ""),
        ] {
            assert_eq!(cut(page), want, "{page}");
        }
    }

    #[test]
    fn towers_end() {
        let tower = "<svg><style>".repeat(2_000);
        assert!(Browser::new(&tower, false).read().len() <= 10_000);
        assert!(cut(&format!("{tower}<p>seen")).contains("<p>seen"));
    }

    proptest! {
        #[test]
        fn no_octets_make_it_fail(
            text in ".{0,200}",
            page in "(<|>|/|!|-|--|\\?|\"|'|=| |a|é|&lt;|<svg>|<style>|</style|<title>|</svg>|<p>|<!--|-->|<!\\[CDATA\\[){0,60}",
        ) {
            for page in [text, page] {
                let _ = Browser::new(&page, true).read();
            }
        }
    }
}
