//! From tags and texts to a page as text, and to what its tags tell.

use std::sync::{Arc, LazyLock};

use regex::Regex;

use super::browser::Browser;
use super::event::{Attribute, Event};
use super::near::{Near, cut_by_a_tag};
use super::prepared::{has_quotes_in_tags, prepared, with_late_names};
use super::style::{Hidden, Styles};
use super::token::{PICTURE_LINK, Tokens};
use super::{Anchor, Html, HtmlUri, Page};
use crate::filters::spam::text::perl::{self, Text, uneven_space};

/// Characters of one address.
const URI_MAX: usize = 8_192;

/// Tags that HTML 4 and XHTML 1 know, and some that mail has.
const ELEMENTS: [&str; 94] = [
    "a",
    "abbr",
    "acronym",
    "address",
    "applet",
    "area",
    "b",
    "base",
    "basefont",
    "bdo",
    "big",
    "blockquote",
    "body",
    "br",
    "button",
    "caption",
    "center",
    "cite",
    "code",
    "col",
    "colgroup",
    "dd",
    "del",
    "dfn",
    "dir",
    "div",
    "dl",
    "dt",
    "em",
    "fieldset",
    "font",
    "form",
    "frame",
    "frameset",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "head",
    "hr",
    "html",
    "i",
    "iframe",
    "img",
    "input",
    "ins",
    "isindex",
    "kbd",
    "label",
    "legend",
    "li",
    "link",
    "map",
    "menu",
    "meta",
    "nobr",
    "noframes",
    "noscript",
    "object",
    "ol",
    "optgroup",
    "option",
    "p",
    "param",
    "pre",
    "q",
    "s",
    "samp",
    "script",
    "select",
    "small",
    "span",
    "strike",
    "strong",
    "style",
    "sub",
    "sup",
    "table",
    "tbody",
    "td",
    "textarea",
    "tfoot",
    "th",
    "thead",
    "title",
    "tr",
    "tt",
    "u",
    "ul",
    "var",
    "x-sigsep",
    "x-tab",
];
/// Tags that are looked at and not counted as known.
const TRICKS: [&str; 5] = ["bgsound", "embed", "listing", "plaintext", "xmp"];

static FACE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let name = r#"["']?[a-z][a-z -]*[a-z]\d?["']?"#;
    Regex::new(&format!(r#"(?i)^\s*["'.]?[a-z ][a-z -]*[a-z]\d?["']?(?:,\s*{name})*;?\n?$"#)).ok()
});
static NAMESPACE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^(?:o|st[0-9]):[\w-]+/?\n?$").ok());
static CHARSET: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"(?i)\bcharset\s*=\s*["']?([^"']+)"#).ok());
static REFRESH: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?i)^.*\burl\s*=\s*").ok());
static REFRESH_ANY: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?i)\burl\s*=").ok());
static REFRESH_END: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\s*;.*").ok());

fn fits(regex: &LazyLock<Option<Regex>>, text: &str) -> bool {
    regex.as_ref().is_some_and(|regex| regex.is_match(text))
}

/// Renders a page.
pub(in crate::filters::spam::text) fn render(page: &Text) -> Page {
    let text = prepared(&page.text);
    let (events, odd) = Tokens::new(&text, page.wide).read();
    let mut page = rendered(page, events);
    page.odd = odd || page.odd;
    page
}

/// Renders a page as it is cut by browsers.
pub(in crate::filters::spam::text) fn render_as_browsers(page: &Text) -> Page {
    let text = page.text.replace("&nbsp;", " ");
    let text = with_late_names(&text).unwrap_or(text);
    let mut events = Browser::new(&text, page.wide).read();
    for event in &mut events {
        match event {
            // Rules are written for texts with straight quotes.
            Event::Text(text) if !text.text.is_ascii() => {
                text.text = text.text.replace(['\u{201c}', '\u{201d}'], "\"").into();
            }
            Event::Start(tag, attributes) if tag == "a" => link_of_picture(attributes),
            Event::Text(_)
            | Event::Start(..)
            | Event::End(_)
            | Event::Declaration(_)
            | Event::Comment(_) => {}
        }
    }
    rendered(page, events)
}

fn rendered(page: &Text, events: Vec<Event<'_>>) -> Page {
    let mut state = State::new();
    state.facts.length = page.text.chars().count();
    for event in events {
        match event {
            Event::Text(text) => state.text(text),
            Event::Start(tag, attributes) => state.tag(&tag, Some(attributes)),
            Event::End(tag) => state.tag(&tag, None),
            Event::Comment(text) => state.facts.comments.push(text),
            Event::Declaration(text) => state.declaration(&text),
        }
    }
    let odd = has_quotes_in_tags(&page.text) || with_late_names(&page.text).is_some();
    Page { odd, ..state.finish() }
}

#[derive(Debug, Clone, Copy)]
struct Piece {
    /// Where it ends in the text.
    end: usize,
    whitespace: bool,
    invisible: bool,
    wide: bool,
}

struct State {
    facts: Html,
    styles: Styles,
    text: String,
    pieces: Vec<Piece>,
    base: Option<Arc<str>>,
    backhair: std::collections::BTreeSet<(usize, usize)>,
    /// Whether one of these is open, which texts ask for.
    open: [(&'static str, bool); 4],
}

impl State {
    fn new() -> Self {
        Self {
            facts: Html::default(),
            styles: Styles::new(),
            text: String::new(),
            pieces: Vec::new(),
            base: None,
            backhair: std::collections::BTreeSet::new(),
            open: ["script", "style", "a", "title"].map(|tag| (tag, false)),
        }
    }

    fn is_inside(&self, tag: &str) -> bool {
        self.open.iter().any(|(name, is_open)| *name == tag && *is_open)
    }

    fn tag(&mut self, tag: &str, attributes: Option<Vec<Attribute<'_>>>) {
        let namespace = tag.contains(':') && fits(&NAMESPACE, tag);
        let known = ELEMENTS.binary_search(&tag).is_ok();
        let change = if attributes.is_some() { 1 } else { -1 };
        let inside = self.facts.inside.get_mut(tag);
        let new = inside.is_none();
        let count = inside.as_deref().copied().unwrap_or(0) + change;
        self.facts.closed_extra += u32::from(count < 0);
        if let Some((_, is_open)) = self.open.iter_mut().find(|(name, _)| *name == tag) {
            *is_open = count > 0;
        }
        match inside {
            Some(inside) => *inside = count.max(0),
            None => {
                self.facts.inside.insert(tag.to_owned(), count.max(0));
            }
        }
        if known || namespace {
            self.facts.elements += 1;
            self.facts.elements_seen += u32::from(new);
        }
        self.facts.tags += 1;
        self.facts.tags_seen += u32::from(new);
        if namespace || !(known || TRICKS.contains(&tag)) {
            return;
        }
        match &attributes {
            Some(attributes) => self.styles.open(tag, attributes),
            None => self.styles.close(tag),
        }
        self.white_space(tag);
        if let Some(mut attributes) = attributes {
            self.uris(tag, &mut attributes);
            self.tests(tag, &attributes);
        }
    }

    fn white_space(&mut self, tag: &str) {
        let space = match tag {
            "br" | "div" => "\n",
            "li" | "td" | "th" | "dd" | "dt" | "embed" | "h1" | "h2" | "h3" | "h4" | "h5"
            | "h6" => " ",
            "p" | "hr" | "blockquote" | "pre" | "listing" | "plaintext" | "xmp" | "title" => "\n\n",
            _ => return,
        };
        if let Some(last) = self.pieces.last_mut()
            && !last.whitespace
            && !last.invisible
            && self.text.ends_with(' ')
            && self.text.len() == last.end
            && !is_empty(&self.pieces)
        {
            self.text.pop();
            if let Some(last) = self.pieces.last_mut() {
                last.end = self.text.len();
            }
        }
        self.push(space, true, false, false);
    }

    fn push(&mut self, text: &str, whitespace: bool, invisible: bool, wide: bool) {
        self.text.push_str(text);
        self.pieces.push(Piece { end: self.text.len(), whitespace, invisible, wide });
    }

    /// The end of the last piece.
    fn last_piece(&self) -> Option<Near> {
        let last = self.pieces.last()?;
        let before = self.pieces.len().checked_sub(2).and_then(|place| self.pieces.get(place));
        let start = before.map_or(0, |piece| piece.end);
        let text = self.text.get(start..last.end).unwrap_or_default();
        Some(Near::of(text.chars().rev(), last.wide))
    }

    fn text(&mut self, text: perl::Piece<'_>) {
        if self.is_inside("script") {
            self.facts.scripts.push(text.text.into_owned());
            return;
        }
        if self.is_inside("style") {
            return;
        }
        if self.is_inside("a")
            && let Some(anchor) = self.facts.anchors.last_mut()
        {
            anchor.text.push_str(&text.text);
        }
        if self.is_inside("title")
            && let Some(title) = self.facts.titles.last_mut()
        {
            title.push_str(&text.text);
        }
        let mut invisible = false;
        if !is_blank(&text.text)
            && let Some(why) = self.styles.hidden()
        {
            invisible = true;
            self.facts.font_low_contrast |= why == Hidden::LowContrast;
            self.facts.font_invalid_color |= why == Hidden::InvalidColor;
        }
        if let Some(tail) = self.last_piece() {
            let (cut, borders) = cut_by_a_tag(&tail, &Near::of(text.text.chars(), text.wide));
            self.facts.obfuscation += u32::from(cut);
            self.backhair.extend(borders);
        }
        let blank = !invisible && self.pieces.last().is_some_and(|last| last.whitespace);
        push_with_one_blank(&mut self.text, &text.text, blank);
        self.push("", false, invisible, text.wide);
    }

    fn declaration(&mut self, text: &str) {
        let doctype = text.get(..9).is_some_and(|head| head.eq_ignore_ascii_case("<!doctype"));
        if doctype {
            self.facts.elements += 1;
            self.facts.tags += 1;
            self.facts.inside.insert("!doctype".to_owned(), 0);
        }
    }

    fn push_uri(&mut self, tag: &str, value: &str) {
        let value = self.clean_uri(value);
        if !value.is_empty() {
            let base = self.base.clone();
            self.facts.uris.push(HtmlUri { tag: tag.to_owned(), value, base });
        }
    }

    fn clean_uri(&mut self, value: &str) -> String {
        let value = value.trim_matches(|letter: char| letter.is_whitespace());
        match value.char_indices().nth(URI_MAX) {
            Some((end, _)) => {
                self.facts.uri_truncated = true;
                value.get(..end).unwrap_or_default().to_owned()
            }
            None => value.to_owned(),
        }
    }

    fn uris(&mut self, tag: &str, attributes: &mut Vec<Attribute<'_>>) {
        match tag {
            "body" | "table" | "tr" | "td" => self.uri_in(tag, attributes, "background"),
            "a" | "area" | "link" => {
                mend(attributes, "href");
                if let Some((_, href)) = attributes.iter_mut().find(|(name, _)| name == "href")
                    && href.text.contains('\u{feff}')
                {
                    href.text = href.text.replace('\u{feff}', "").into();
                }
                self.uri_in(tag, attributes, "href");
                self.uri_in(tag, attributes, "data-saferedirecturl");
            }
            "img" | "frame" | "iframe" | "embed" | "script" | "bgsound" => {
                mend(attributes, "src");
                self.uri_in(tag, attributes, "src");
            }
            "form" => self.uri_in(tag, attributes, "action"),
            "base" => self.base_uri(attributes),
            "meta" => {
                let equivalent = value_of(attributes, "http-equiv").unwrap_or_default();
                let content = value_of(attributes, "content").unwrap_or_default();
                if equivalent.to_ascii_lowercase().contains("refresh")
                    && fits(&REFRESH_ANY, content)
                {
                    let replace = |regex: &LazyLock<Option<Regex>>, text: &str| match &**regex {
                        Some(regex) => regex.replace(text, "").into_owned(),
                        None => text.to_owned(),
                    };
                    let uri = replace(&REFRESH_END, &replace(&REFRESH, content));
                    self.push_uri(tag, &uri);
                }
            }
            _ => {}
        }
    }

    fn uri_in(&mut self, tag: &str, attributes: &[Attribute<'_>], name: &str) {
        if let Some(value) = value_of(attributes, name) {
            self.push_uri(tag, value);
        }
    }

    fn base_uri(&mut self, attributes: &[Attribute<'_>]) {
        let href = value_of(attributes, "href").filter(|href| !href.is_empty() && *href != "0");
        let Some(href) = href else { return };
        let uri = self.clean_uri(href);
        self.push_uri("base", &uri);
        let lower = uri.to_ascii_lowercase();
        if !["http:", "https:", "ftp:"].iter().any(|scheme| lower.starts_with(scheme)) {
            return;
        }
        let mut uri = without_file(&uri);
        if !uri.ends_with('/') {
            uri.push('/');
        }
        self.base = Some(uri.into());
    }

    fn tests(&mut self, tag: &str, attributes: &[Attribute<'_>]) {
        let value = |name: &str| value_of(attributes, name);
        match tag {
            "font" => {
                self.facts.font_face_bad |= value("face").is_some_and(|face| !fits(&FACE, face));
            }
            "img" => {
                if self.is_inside("a")
                    && let Some(anchor) = self.facts.anchors.last_mut()
                {
                    anchor.text.push_str("<img>\n");
                }
                if let (Some(width), Some(height)) = (value("width"), value("height")) {
                    self.facts.image_area += pixels(width, 8.0) * pixels(height, 6.0);
                }
            }
            "form" => {
                let mailto = |action: &str| action.to_ascii_lowercase().contains("mailto:");
                self.facts.form_action_mailto |= value("action").is_some_and(mailto);
            }
            "object" | "embed" => self.facts.embeds = true,
            "a" => {
                let href = self.clean_uri(value("href").unwrap_or_default());
                self.facts.anchors.push(Anchor { href, text: String::new() });
            }
            "title" => self.facts.titles.push(String::new()),
            "meta" => {
                let equivalent = value("http-equiv").unwrap_or_default().to_ascii_lowercase();
                let content = value("content").unwrap_or_default();
                let found = CHARSET.as_ref().and_then(|regex| regex.captures(content));
                let name = found.and_then(|found| found.get(1)).map(|name| name.as_str());
                if let Some(name) = name.filter(|_| equivalent.contains("content-type")) {
                    match &mut self.facts.charsets {
                        Some(charsets) => {
                            charsets.push(' ');
                            charsets.push_str(name);
                        }
                        None => self.facts.charsets = Some(name.to_owned()),
                    }
                }
            }
            _ => {}
        }
    }

    fn finish(mut self) -> Page {
        self.facts.min_size = self.styles.min_size;
        self.facts.max_size = self.styles.max_size;
        self.facts.backhair = u32::try_from(self.backhair.len()).unwrap_or(u32::MAX);
        let mut page = Page { facts: self.facts, ..Page::default() };
        let mut start = 0;
        for piece in &self.pieces {
            let text = self.text.get(start..piece.end).unwrap_or_default();
            let shown = if piece.invisible { &mut page.invisible } else { &mut page.visible };
            shown.text.push_str(text);
            shown.wide |= piece.wide;
            page.text.wide |= piece.wide;
            if piece.invisible {
                match page.hidden.last_mut().filter(|last| last.end == start) {
                    Some(last) => last.end = piece.end,
                    None => page.hidden.push(start..piece.end),
                }
            }
            start = piece.end;
        }
        page.text.text = self.text;
        page
    }
}

/// True if the last piece holds nothing.
fn is_empty(pieces: &[Piece]) -> bool {
    let before = pieces.len().checked_sub(2).and_then(|place| pieces.get(place));
    pieces.last().is_none_or(|last| last.end == before.map_or(0, |piece| piece.end))
}

fn value_of<'a>(attributes: &'a [Attribute<'_>], name: &str) -> Option<&'a str> {
    attributes.iter().find(|(other, _)| other == name).map(|(_, value)| &*value.text)
}

/// Links of SVG have their address in an attribute of another name (SVG 1.1 section 17.1), unless they have it in `href`.
fn link_of_picture(attributes: &mut [Attribute<'_>]) {
    if value_of(attributes, "href").is_none()
        && let Some((name, _)) = attributes.iter_mut().find(|(name, _)| name == PICTURE_LINK)
    {
        *name = "href".into();
    }
}

/// Takes `foo/href` for `href`.
fn mend(attributes: &mut Vec<Attribute<'_>>, name: &str) {
    let word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let bad = |other: &str| {
        other.match_indices('/').any(|(at, _)| {
            let before = other.get(..at).unwrap_or_default();
            let behind = other.get(at + 1..).unwrap_or_default();
            before.chars().next_back().is_some_and(word) && behind.starts_with(name)
        })
    };
    if let Some(place) = attributes.iter().position(|(other, _)| bad(other)) {
        let (_, value) = attributes.remove(place);
        attributes.retain(|(other, _)| other != name);
        attributes.push((name.to_owned().into(), value));
    }
}

/// Blanks, and no-break spaces in UTF-8 that was not decoded.
fn is_blank(text: &str) -> bool {
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        let space = letter.is_ascii() && letter.is_whitespace();
        if space || (letter == '\u{c2}' && letters.next() == Some('\u{a0}')) {
            continue;
        }
        return false;
    }
    true
}

/// Adds a text, its runs of white space of ASCII as one blank; not the first one behind a blank.
fn push_with_one_blank(out: &mut String, text: &str, behind_blank: bool) {
    out.reserve(text.len());
    if text.is_ascii() {
        let trim = |text| str::trim_start_matches(text, |letter: char| letter.is_whitespace());
        let mut rest = if behind_blank { trim(text) } else { text };
        while let Some((words, space)) = rest.split_at_checked(uneven_space(rest.as_bytes())) {
            out.push_str(words);
            if space.is_empty() {
                return;
            }
            out.push(' ');
            rest = trim(space);
        }
    }
    let start = out.len();
    let mut letters = text.chars().peekable();
    let (mut blank, mut dropped) = (false, false);
    while let Some(letter) = letters.next() {
        let is_blank = letter.is_ascii() && letter.is_whitespace();
        if is_blank && blank {
            continue;
        }
        blank = is_blank;
        let letter = if letter == '\u{c2}' && letters.peek() == Some(&'\u{a0}') {
            letters.next();
            ' '
        } else if is_blank {
            ' '
        } else {
            letter
        };
        if letter == ' ' && behind_blank && out.len() == start && !dropped {
            dropped = true;
        } else {
            out.push(letter);
        }
    }
}

/// A base without the file at its end: `http://host/dir/index.html`.
fn without_file(uri: &str) -> String {
    static FILE: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"(?i)^([a-z]+:/{0,2}[^/]+/.*?)[^/.]+\.[^/.]{2,4}\n?$").ok());
    match &*FILE {
        Some(regex) => regex.replace(uri, "$1").into_owned(),
        None => uri.to_owned(),
    }
}

/// A length in pixels; percents of a screen of old, 200 for what is none.
fn pixels(text: &str, percent: f64) -> f64 {
    let (digits, factor) = match text.strip_suffix('%') {
        Some(digits) => (digits, percent),
        None => (text, 1.0),
    };
    let valid = !digits.is_empty() && digits.bytes().all(|octet| octet.is_ascii_digit());
    let number: f64 = if valid { digits.parse().unwrap_or(0.0) } else { 0.0 };
    if number > 0.0 { number * factor } else { 200.0 }
}

#[cfg(test)]
mod tests;
