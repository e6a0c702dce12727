//! HTML to the text a reader sees, and its links. A tokenizer, no tree: one pass, whatever the tags do.

use super::links::{LINKS_MAX, clean};

/// What a reader sees.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The visible text; blocks begin on lines of their own.
    pub text: String,
    /// Addresses, each with the text that is shown for it.
    pub links: Vec<(String, Option<String>)>,
    /// Characters of text that are written but not shown (`display:none`, size 0, …).
    pub hidden: usize,
}

/// Open elements that are remembered for their being hidden; deeper ones are shown.
const OPEN_MAX: usize = 256;

/// Characters of a link's text that are kept.
const SHOWN_CHARS_MAX: usize = 500;

/// Renders HTML.
#[must_use]
pub fn render(html: &str) -> Rendered {
    let mut page = Page::default();
    let mut rest = html;
    while let Some(at) = memchr::memchr(b'<', rest.as_bytes()) {
        let (text, tag) = rest.split_at(at);
        page.text(text);
        rest = page.markup(tag);
    }
    page.text(rest);
    page.end_link();
    page.out.text.truncate(page.out.text.trim_end().len());
    page.out
}

#[derive(Default)]
struct Page {
    out: Rendered,
    /// A blank waits to be written before the next text.
    blank: bool,
    /// Names of open elements, and whether each hides what is in it.
    open: Vec<(String, bool)>,
    /// How many of them hide.
    hiding: usize,
    /// The link that is open: its place in the list, and where its text begins.
    link: Option<(usize, usize)>,
    preformatted: bool,
    /// Octets that were looked at in vain for the end of a quoted value.
    vain: usize,
}

impl Page {
    /// Where the `>` stands that ends the tag. A quote that stays open is searched again from the next tag on, so
    /// that a page of nothing else gets less and less patience: work stays linear.
    fn tag_end(&mut self, inner: &str) -> usize {
        const TAG_BYTES_MAX: usize = 64 << 10;
        const TAG_BYTES_MIN: usize = 1 << 10;
        const VAIN_BYTES_MAX: usize = 1 << 20;
        let window = if self.vain < VAIN_BYTES_MAX { TAG_BYTES_MAX } else { TAG_BYTES_MIN };
        quoted_tag_end(inner, window).unwrap_or_else(|| {
            self.vain = self.vain.saturating_add(window.min(inner.len()));
            // The quote is open to the end: readers then take the first `>`.
            memchr::memchr(b'>', inner.as_bytes()).unwrap_or(inner.len())
        })
    }

    fn text(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        let text = entities(text);
        if self.hiding > 0 {
            self.out.hidden += text.chars().filter(|sign| !sign.is_whitespace()).count();
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
    fn markup<'a>(&mut self, at: &'a str) -> &'a str {
        if let Some(comment) = at.strip_prefix("<!--") {
            let comment = comment.trim_start_matches('-');
            return comment.find("-->").and_then(|end| comment.get(end + 3..)).unwrap_or("");
        }
        let inner = at.get(1..).unwrap_or("");
        let sign = inner.chars().next().unwrap_or(' ');
        if !(sign.is_ascii_alphabetic() || matches!(sign, '/' | '!' | '?')) {
            self.text("&lt;");
            return inner;
        }
        let end = self.tag_end(inner);
        let tag = inner.get(..end).unwrap_or(inner);
        let rest = inner.get(end + 1..).unwrap_or("");
        if let Some(name) = tag.strip_prefix('/') {
            self.close(&element_name(name));
            return rest;
        }
        if matches!(sign, '!' | '?') {
            return rest;
        }
        let name = element_name(tag);
        let attributes = attributes(tag.get(name.len()..).unwrap_or(""));
        self.element(&name, &attributes);
        match name.as_str() {
            "script" | "style" | "template" | "noembed" => raw_end(rest, &name),
            _ => rest,
        }
    }

    fn element(&mut self, name: &str, attributes: &[(String, String)]) {
        let get = |want: &str| {
            attributes.iter().find(|(name, _)| name == want).map(|(_, value)| value.as_str())
        };
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
        for name in ["href", "src", "action", "formaction", "background", "data", "xlink:href"] {
            if let Some(url) = get(name) {
                self.add_link(url);
            }
        }
        if name == "a" || name == "area" {
            self.end_link();
            if get("href").is_some() && !self.out.links.is_empty() {
                self.link = Some((self.out.links.len() - 1, self.out.text.len()));
            }
        }
        if !is_void(name) && self.open.len() < OPEN_MAX {
            let hides = matches!(name, "title" | "head" | "noscript") && name == "title"
                || get("hidden").is_some()
                || get("style").is_some_and(style_hides);
            self.hiding += usize::from(hides);
            self.open.push((name.to_owned(), hides));
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

    fn add_link(&mut self, url: &str) {
        let url = clean(&entities(url));
        if !url.is_empty() && !url.starts_with('#') && self.out.links.len() < LINKS_MAX {
            self.out.links.push((url, None));
        }
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

/// Where in the first `window` octets the `>` stands that ends the tag; those in quoted values do not count.
fn quoted_tag_end(inner: &str, window: usize) -> Option<usize> {
    let mut quote = None;
    let mut after_equals = false;
    for (index, octet) in inner.as_bytes().iter().take(window).enumerate() {
        match (quote, octet) {
            (None, b'>') => return Some(index),
            (None, b'"' | b'\'') if after_equals => quote = Some(*octet),
            (Some(open), octet) if open == *octet => quote = None,
            _ => {}
        }
        after_equals = *octet == b'=' || (after_equals && octet.is_ascii_whitespace());
    }
    None
}

fn element_name(tag: &str) -> String {
    let end = tag.find(|sign: char| sign.is_whitespace() || matches!(sign, '/' | '>'));
    let name = tag.get(..end.unwrap_or(tag.len()).min(64)).unwrap_or("");
    name.to_ascii_lowercase()
}

fn attributes(mut rest: &str) -> Vec<(String, String)> {
    const ATTRIBUTES_MAX: usize = 64;
    let mut found = Vec::new();
    while found.len() < ATTRIBUTES_MAX {
        rest = rest.trim_start_matches(|sign: char| sign.is_whitespace() || sign == '/');
        if rest.is_empty() {
            break;
        }
        let skip = rest.chars().next().map_or(0, char::len_utf8);
        let ends = |sign: char| sign.is_whitespace() || matches!(sign, '=' | '/');
        let end =
            rest.get(skip..).and_then(|tail| tail.find(ends)).map_or(rest.len(), |at| at + skip);
        let (name, tail) = rest.split_at(end);
        let name = name.to_ascii_lowercase();
        let Some(value) = tail.trim_start().strip_prefix('=') else {
            found.push((name, String::new()));
            rest = tail;
            continue;
        };
        let value = value.trim_start();
        let (value, tail) = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => {
                let inner = value.get(1..).unwrap_or("");
                inner.split_once(quote).unwrap_or((inner, ""))
            }
            _ => value.split_at(value.find(char::is_whitespace).unwrap_or(value.len())),
        };
        found.push((name, value.to_owned()));
        rest = tail;
    }
    found
}

/// What follows the end tag of an element whose content is no HTML.
fn raw_end<'a>(rest: &'a str, name: &str) -> &'a str {
    for at in memchr::memmem::find_iter(rest.as_bytes(), b"</") {
        let tail = rest.get(at + 2..).unwrap_or("");
        if tail.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name)) {
            return rest.get(at..).unwrap_or("");
        }
    }
    ""
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

/// Character references decoded; what is none stays.
fn entities(text: &str) -> String {
    const NAME_BYTES_MAX: usize = 12;
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'&', rest.as_bytes()) {
        let (before, tail) = rest.split_at(at);
        out.push_str(before);
        let inner = tail.get(1..).unwrap_or("");
        let end = inner
            .bytes()
            .take(NAME_BYTES_MAX)
            .take_while(|octet| octet.is_ascii_alphanumeric() || *octet == b'#')
            .count();
        let sign = inner.get(..end).and_then(entity);
        match sign {
            Some(sign) => {
                out.push(sign);
                let behind = inner.get(end..).unwrap_or("");
                rest = behind.strip_prefix(';').unwrap_or(behind);
            }
            None => {
                out.push('&');
                rest = inner;
            }
        }
    }
    out.push_str(rest);
    out
}

fn entity(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(digits) => u32::from_str_radix(digits, 16).ok()?,
            None => number.parse().ok()?,
        };
        return char::from_u32(code).filter(|sign| *sign != '\0');
    }
    ENTITIES.iter().find(|(known, _)| *known == name).map(|(_, sign)| *sign)
}

/// The references by name that mail is known to hold.
static ENTITIES: &[(&str, char)] = &[
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("nbsp", ' '),
    ("copy", '©'),
    ("reg", '®'),
    ("trade", '™'),
    ("euro", '€'),
    ("pound", '£'),
    ("yen", '¥'),
    ("cent", '¢'),
    ("sect", '§'),
    ("deg", '°'),
    ("middot", '·'),
    ("bull", '•'),
    ("hellip", '…'),
    ("ndash", '–'),
    ("mdash", '—'),
    ("lsquo", '‘'),
    ("rsquo", '’'),
    ("ldquo", '“'),
    ("rdquo", '”'),
    ("laquo", '«'),
    ("raquo", '»'),
    ("auml", 'ä'),
    ("ouml", 'ö'),
    ("uuml", 'ü'),
    ("Auml", 'Ä'),
    ("Ouml", 'Ö'),
    ("Uuml", 'Ü'),
    ("szlig", 'ß'),
    ("eacute", 'é'),
    ("egrave", 'è'),
    ("ecirc", 'ê'),
    ("agrave", 'à'),
    ("aacute", 'á'),
    ("acirc", 'â'),
    ("ccedil", 'ç'),
    ("oacute", 'ó'),
    ("ocirc", 'ô'),
    ("uacute", 'ú'),
    ("iacute", 'í'),
    ("ntilde", 'ñ'),
    ("aring", 'å'),
    ("oslash", 'ø'),
    ("aelig", 'æ'),
    ("Eacute", 'É'),
    ("times", '×'),
    ("shy", '\u{ad}'),
    ("zwnj", '\u{200c}'),
    ("zwj", '\u{200d}'),
    ("ensp", ' '),
    ("emsp", ' '),
    ("thinsp", ' '),
    ("colon", ':'),
    ("sol", '/'),
    ("period", '.'),
    ("Tab", '\t'),
    ("NewLine", '\n'),
    ("commat", '@'),
];

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
        assert!(page.vain < html.len() * 100 + (2 << 20), "{}", page.vain);
        let quoted = format!("<a title=\"{}>\" href=\"http://a.example/\">", "x".repeat(60_000));
        assert_eq!(render(&quoted).links.len(), 1, "a patient reader finds the end");
    }

    #[test]
    fn hidden_text_is_counted_and_not_shown() {
        for html in [
            "<div style='display: none'>secret<b> x</b></div>a",
            "<span style=\"FONT-SIZE:0px\">secretx</span>a",
            "<p><font hidden>secretx</font>a",
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
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fail(html in "(<|>|/|a|href|style|=|'|\"| |&|#|;|!--|-->|script|é){0,60}") {
            let page = render(&html);
            prop_assert!(page.text.len() <= html.len());
        }
    }
}
