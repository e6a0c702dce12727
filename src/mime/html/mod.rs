//! HTML to the text a reader sees, and its links. A tokenizer, no tree: one pass, whatever the tags do.

mod active;
mod entities;
mod token;

pub(super) use active::{is_coded, is_handler, scheme};
pub(super) use entities::entities;
pub(crate) use token::lower;
pub(super) use token::{Cutter, Element, Token};

use std::borrow::Cow;

use super::links::{Base, LINKS_MAX, clean};

/// What a reader sees.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The visible text; blocks begin on lines of their own.
    pub text: String,
    /// Addresses, each with the text that is shown for it.
    pub links: Vec<(String, Option<String>)>,
    /// Characters of text that are written but not shown (`display:none`, size 0, …), but for those that are never
    /// seen: newsletters fill their previews with these.
    pub hidden: usize,
    /// What in it is worth a closer look, as it is written, with NUL between: scripts, addresses that hold a file,
    /// text that only a script can read.
    pub active: String,
}

/// Open elements that are remembered for their being hidden; deeper ones are shown.
const OPEN_MAX: usize = 256;

/// Characters of a link's text that are kept.
const SHOWN_CHARS_MAX: usize = 500;

/// Renders HTML.
#[must_use]
pub fn render(html: &str) -> Rendered {
    let mut page = Page { cutter: Cutter::of(html), ..Page::default() };
    let mut rest = html;
    while let Some(at) = memchr::memchr(b'<', rest.as_bytes()) {
        let (text, tag) = rest.split_at(at);
        page.text(text);
        page.coded(text);
        rest = page.markup(tag);
    }
    page.text(rest);
    page.coded(rest);
    page.end_link();
    page.out.text.truncate(page.out.text.trim_end().len());
    page.out
}

#[derive(Default)]
struct Page<'p> {
    out: Rendered,
    /// A blank waits to be written before the next text.
    blank: bool,
    /// Names of open elements, and whether each hides what is in it.
    open: Vec<(Cow<'p, str>, bool)>,
    /// How many of them hide.
    hiding: usize,
    /// The link that is open: its place in the list, and where its text begins.
    link: Option<(usize, usize)>,
    preformatted: bool,
    cutter: Cutter,
    /// What relative addresses are relative to.
    base: Option<Base>,
    /// It was told; only the first counts.
    has_base: bool,
}

impl<'p> Page<'p> {
    fn text(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        let text = entities(text);
        if self.hiding > 0 {
            self.out.hidden += text.chars().filter(|sign| !is_unseen(*sign)).count();
            return;
        }
        if self.preformatted {
            self.out.text.push_str(&text);
            return;
        }
        for (index, word) in text.split(char::is_whitespace).enumerate() {
            self.blank |= index > 0;
            if word.is_empty() {
                continue;
            }
            if self.blank && !self.out.text.is_empty() && !self.out.text.ends_with('\n') {
                self.out.text.push(' ');
            }
            self.blank = false;
            self.out.text.push_str(word);
        }
    }

    fn line(&mut self) {
        self.blank = false;
        if !self.out.text.is_empty() && !self.out.text.ends_with('\n') {
            self.out.text.push('\n');
        }
    }

    /// Takes the markup at the start, a `<`, and gives what follows it.
    fn markup(&mut self, at: &'p str) -> &'p str {
        let (token, rest) = self.cutter.next(at);
        match token {
            Token::Sign => self.text("&lt;"),
            Token::Comment(comment) if active::hides_script(comment) => {
                self.keep(at, rest);
            }
            Token::Comment(comment) => self.coded(comment),
            Token::Open(element) => {
                if active::is_active(&element) {
                    self.keep(at, rest);
                }
                self.element(&element);
            }
            Token::Close(name) => self.close(&name),
            Token::Other => {}
        }
        rest
    }

    /// Keeps what stands between `at` and `rest` for a closer look.
    fn keep(&mut self, at: &str, rest: &str) {
        let active = &mut self.out.active;
        if active.is_empty() && self.cutter.xml {
            active.push_str("<?xml?>\0");
        }
        active.push_str(at.get(..at.len() - rest.len()).unwrap_or_default());
        active.push('\0');
    }

    /// Keeps text that nobody can read but a script.
    fn coded(&mut self, text: &str) {
        if is_coded(text) {
            self.out.active.push_str(text);
            self.out.active.push('\0');
        }
    }

    fn element(&mut self, element: &Element<'p>) {
        let name = &*element.name;
        let get = |want: &str| element.get(want);
        match name {
            "br" | "hr" => self.line(),
            "td" | "th" => self.blank = true,
            _ if is_block(name) => self.line(),
            _ => {}
        }
        match name {
            "pre" | "textarea" => self.preformatted = true,
            "meta" => {
                let content = get("content").unwrap_or("");
                if let Some((_, url)) = split_ignore_case(content, "url=") {
                    self.add_link(url.trim_matches(['"', '\'', ' ']));
                }
            }
            _ => {}
        }
        if let Some(base) = get("href").filter(|_| name == "base" && !self.has_base) {
            self.base = Base::read(&clean(&entities(base)));
            self.has_base = true;
        }
        // The first of a name counts, as for readers.
        let mut link = None;
        for (at, (attribute, url)) in element.attributes.iter().enumerate() {
            let before = element.attributes.get(..at).unwrap_or_default();
            if ADDRESSES.contains(&&**attribute)
                && !before.iter().any(|(known, _)| known == attribute)
            {
                let added = self.add_link(url);
                link = if attribute == "href" { added } else { link };
            } else if attribute == "style" {
                self.style_links(url);
            }
        }
        if let (Some(style), "style") = (element.raw, name) {
            self.style_links(style);
        }
        if name == "a" || name == "area" {
            self.end_link();
            self.link = link.map(|link| (link, self.out.text.len()));
        }
        if !is_void(name) && self.open.len() < OPEN_MAX {
            let hides = matches!(name, "title" | "head" | "noscript") && name == "title"
                || get("hidden").is_some()
                || get("style").is_some_and(style_hides);
            self.hiding += usize::from(hides);
            self.open.push((element.name.clone(), hides));
        }
    }

    fn close(&mut self, name: &str) {
        match name {
            "a" => self.end_link(),
            "pre" | "textarea" => self.preformatted = false,
            _ => {}
        }
        if is_block(name) {
            self.line();
        }
        // Badly nested ends close what is open above them, as readers do.
        const LOOK_BACK: usize = 16;
        let place = self.open.iter().rev().take(LOOK_BACK).position(|(open, _)| open == name);
        for _ in 0..place.map_or(0, |place| place + 1) {
            if let Some((_, hides)) = self.open.pop() {
                self.hiding -= usize::from(hides);
            }
        }
    }

    /// Addresses of style rules.
    fn style_links(&mut self, style: &str) {
        if self.out.links.len() >= LINKS_MAX {
            return;
        }
        for url in style_addresses(&entities(style)) {
            if !url.trim_start().starts_with("data:") {
                self.add_link(url);
            }
        }
    }

    /// The place of the link in the list, if it is one.
    fn add_link(&mut self, url: &str) -> Option<usize> {
        if self.out.links.len() >= LINKS_MAX {
            return None;
        }
        let mut url = clean(&entities(url));
        if let Some(base) = &mut self.base {
            url = base.resolve(url);
        }
        if url.is_empty() || url.starts_with('#') {
            return None;
        }
        self.out.links.push((url, None));
        Some(self.out.links.len() - 1)
    }

    fn end_link(&mut self) {
        let Some((index, start)) = self.link.take() else { return };
        let shown = self.out.text.get(start..).unwrap_or("").trim();
        let shown: String = shown.chars().take(SHOWN_CHARS_MAX).collect();
        if let Some((url, text)) = self.out.links.get_mut(index)
            && !shown.is_empty()
            && shown != *url
        {
            *text = Some(shown);
        }
    }
}

/// Attributes that hold an address.
const ADDRESSES: [&str; 12] = [
    "href",
    "src",
    "action",
    "formaction",
    "background",
    "data",
    "xlink:href",
    "poster",
    "ping",
    "codebase",
    "lowsrc",
    "dynsrc",
];

/// What stands in `url(…)`.
pub(super) fn style_addresses(style: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut from = 0;
    for at in memchr::memmem::find_iter(style.as_bytes(), b"(") {
        let before = style.get(at.saturating_sub(3)..at).unwrap_or_default();
        if at < from || !before.eq_ignore_ascii_case("url") {
            continue;
        }
        let inner = style.get(at + 1..).unwrap_or_default();
        let trimmed = inner.trim_start();
        let quote = trimmed.chars().next().filter(|sign| matches!(sign, '"' | '\''));
        let url = match quote {
            Some(quote) => trimmed.get(1..).and_then(|tail| tail.split(quote).next()),
            None => trimmed.split(')').next().map(str::trim),
        };
        let url = url.unwrap_or_default();
        from = at + 1 + (inner.len() - trimmed.len()) + url.len();
        if !url.is_empty() && found.len() < LINKS_MAX {
            found.push(url);
        }
    }
    found
}

fn split_ignore_case<'a>(text: &'a str, mark: &str) -> Option<(&'a str, &'a str)> {
    let at = text.to_ascii_lowercase().find(mark)?;
    Some((text.get(..at)?, text.get(at + mark.len()..)?))
}

fn style_hides(style: &str) -> bool {
    let style: String =
        style.chars().filter(|s| !s.is_whitespace()).collect::<String>().to_lowercase();
    style.split(';').any(|rule| {
        let zero = |value: &str| {
            let number =
                value.trim_end_matches(|s: char| s.is_alphabetic() || s == '%' || s == '!');
            number.parse::<f32>().is_ok_and(|size| size < 1.5) && !value.ends_with("em")
                || number.parse::<f32>() == Ok(0.0)
        };
        match rule.split_once(':') {
            Some(("display", value)) => value.starts_with("none"),
            Some(("visibility", value)) => value.starts_with("hidden"),
            Some(("opacity", value)) => value == "0",
            Some(("font-size", value)) => zero(value),
            _ => false,
        }
    })
}

/// True for blanks, and for signs without a width.
fn is_unseen(sign: char) -> bool {
    sign.is_whitespace()
        || matches!(sign, '\u{ad}' | '\u{34f}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{2800}' | '\u{feff}')
}

fn is_block(name: &str) -> bool {
    matches!(
        name,
        "p" | "div"
            | "tr"
            | "table"
            | "li"
            | "ul"
            | "ol"
            | "dl"
            | "dt"
            | "dd"
            | "h1"
            | "h2"
            | "h3"
            | "h4"
            | "h5"
            | "h6"
            | "blockquote"
            | "pre"
            | "form"
            | "section"
            | "article"
            | "center"
            | "header"
            | "footer"
            | "body"
            | "title"
            | "address"
            | "fieldset"
            | "option"
    )
}

fn is_void(name: &str) -> bool {
    matches!(
        name,
        "area"
            | "base"
            | "br"
            | "col"
            | "embed"
            | "hr"
            | "img"
            | "input"
            | "link"
            | "meta"
            | "param"
            | "source"
            | "track"
            | "wbr"
            | "p"
            | "li"
            | "td"
            | "tr"
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_text_is_what_a_reader_sees() {
        for (html, want) in [
            ("<p>Hello <b>big</b>  world</p><p>Two</p>", "Hello big world\nTwo"),
            ("a<br>b<div>c</div>d", "a\nb\nc\nd"),
            ("<script>var a='<p>x</p>';</script>y", "y"),
            ("<style>p{}</style>a<!-- b -->c", "ac"),
            ("&lt;a&gt; &amp; &#65;&#x42; &nbsp;&eacute;&unknown;", "<a> & AB é&unknown;"),
            ("a < b", "a < b"),
            ("<pre>a\n  b</pre>c", "a\n  b\nc"),
            ("V<span>i</span>agra", "Viagra"),
            ("<img alt='>'>x", "x"),
            ("<b", ""),
            ("<title>t</title><p>x", "x"),
        ] {
            assert_eq!(render(html).text, want, "{html:?}");
        }
    }

    #[test]
    fn quotes_that_stay_open_cost_linear_time() {
        let mut page = Page::default();
        let tag = "<a b=\"\" c=\">";
        let html = tag.repeat(100_000);
        let mut rest = html.as_str();
        while !rest.is_empty() {
            rest = page.markup(rest);
        }
        assert!(page.cutter.vain < html.len() * 100 + (2 << 20), "{}", page.cutter.vain);
        let quoted = format!("<a title=\"{}>\" href=\"http://a.example/\">", "x".repeat(60_000));
        assert_eq!(render(&quoted).links.len(), 1, "a patient reader finds the end");
    }

    #[test]
    fn hidden_text_is_counted_and_not_shown() {
        for html in [
            "<div style='display: none'>secret<b> x</b></div>a",
            "<span style=\"FONT-SIZE:0px\">secretx</span>a",
            "<p><font hidden>secretx</font>a",
            "<span hidden>secretx &zwnj; &#847;&shy;</span>a",
        ] {
            let page = render(html);
            assert_eq!((page.text.as_str(), page.hidden), ("a", 7), "{html:?}");
        }
    }

    #[test]
    fn links_come_with_what_is_shown_for_them() {
        let page =
            render("<a href='http://a.b/?c&amp;d'>click <b>me</b></a><img src=http://e.f/g>");
        assert_eq!(
            page.links,
            [
                ("http://a.b/?c&d".to_owned(), Some("click me".to_owned())),
                ("http://e.f/g".to_owned(), None),
            ]
        );
        assert_eq!(render("<a href=x>x</a>").links, [("x".to_owned(), None)]);
        let page = render("<meta http-equiv=refresh content='0; URL=http://a.b'>");
        assert_eq!(page.links[0].0, "http://a.b");
        assert_eq!(render("<a href='java\nscript:x'>").links[0].0, "javascript:x");
        let based = render("<base href=nonsense><base href='http://a.b/'><a href=c>");
        assert_eq!(based.links.last().unwrap().0, "c", "the first base counts");
    }

    #[test]
    fn a_long_base_and_many_links_stay_small_and_all_are_seen() {
        let long = "c".repeat(3_900);
        let links: String = (0..100_000).map(|number| format!("<a href={number}>")).collect();
        let page = render(&format!("<base href=http://a.example/{long}/>{links}"));
        assert_eq!(page.links.len(), LINKS_MAX);
        assert!(page.links.iter().all(|(url, _)| url.starts_with("http://a.example/")));
        let octets: usize = page.links.iter().map(|(url, _)| url.len()).sum();
        assert!(octets < 2 << 20, "{octets}");
        let few = render(&format!("<base href=http://a.example/{long}/><a href=d>"));
        assert_eq!(few.links[1].0, format!("http://a.example/{long}/d"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fail(html in "(<|>|/|a|href|style|=|'|\"| |&|#|;|!--|-->|script|é){0,60}") {
            let page = render(&html);
            prop_assert!(page.text.len() <= html.len());
        }
    }
}
