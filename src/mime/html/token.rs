//! HTML and XML cut into tags, comments and what stands between them.

use std::borrow::Cow;

/// What begins with a `<`.
pub(in crate::mime) enum Token<'a> {
    /// Nothing: the sign itself.
    Sign,
    Comment(&'a str),
    Open(Element<'a>),
    /// The end of the element of that name.
    Close(Cow<'a, str>),
    /// A declaration or a processing instruction.
    Other,
}

/// The start of an element.
pub(in crate::mime) struct Element<'a> {
    /// In lower case.
    pub(in crate::mime) name: Cow<'a, str>,
    /// Names in lower case; values as written.
    pub(in crate::mime) attributes: Vec<(Cow<'a, str>, &'a str)>,
    /// The content of those whose content is no HTML.
    pub(in crate::mime) raw: Option<&'a str>,
}

impl<'a> Element<'a> {
    /// The value as written of the first attribute of that name.
    pub(in crate::mime) fn get(&self, want: &str) -> Option<&'a str> {
        self.attributes.iter().find(|(name, _)| name == want).map(|(_, value)| *value)
    }
}

/// Cuts one page.
#[derive(Default)]
pub(in crate::mime) struct Cutter {
    /// In XML an element may end where it begins (`<a/>`); HTML does not know that.
    pub(in crate::mime) xml: bool,
    /// Octets that were looked at in vain for the end of a quoted value.
    pub(in crate::mime) vain: usize,
}

impl Cutter {
    /// For a page that begins so.
    pub(in crate::mime) fn of(text: &str) -> Self {
        let start = text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n', '\0']);
        let head = start.get(..4).unwrap_or_default().to_ascii_lowercase();
        Self { xml: matches!(head.as_str(), "<?xm" | "<svg"), vain: 0 }
    }

    /// Takes the markup at the start, a `<`, and gives what follows it.
    pub(in crate::mime) fn next<'a>(&mut self, at: &'a str) -> (Token<'a>, &'a str) {
        if let Some(comment) = at.strip_prefix("<!--") {
            let comment = comment.trim_start_matches('-');
            let (inner, rest) = comment.split_once("-->").unwrap_or((comment, ""));
            return (Token::Comment(inner), rest);
        }
        let inner = at.get(1..).unwrap_or("");
        let sign = inner.chars().next().unwrap_or(' ');
        if !(sign.is_ascii_alphabetic() || matches!(sign, '/' | '!' | '?')) {
            return (Token::Sign, inner);
        }
        let end = self.tag_end(inner);
        let tag = inner.get(..end).unwrap_or(inner);
        let rest = inner.get(end + 1..).unwrap_or("");
        if let Some(name) = tag.strip_prefix('/') {
            return (Token::Close(element_name(name)), rest);
        }
        if matches!(sign, '!' | '?') {
            return (Token::Other, rest);
        }
        let name = element_name(tag);
        let attributes = attributes(tag.get(name.len()..).unwrap_or(""));
        let ended = self.xml && tag.ends_with('/');
        let is_raw = matches!(&*name, "script" | "style" | "template" | "noembed");
        if !is_raw || ended {
            return (Token::Open(Element { name, attributes, raw: None }), rest);
        }
        let behind = raw_end(rest, &name);
        let raw = rest.get(..rest.len() - behind.len());
        (Token::Open(Element { name, attributes, raw }), behind)
    }

    /// Where the `>` stands that ends the tag. A quote that stays open is searched again from the next tag on, so
    /// that a page of nothing else gets less and less patience: work stays linear.
    fn tag_end(&mut self, inner: &str) -> usize {
        const TAG_BYTES_MAX: usize = 64 << 10;
        const TAG_BYTES_MIN: usize = 1 << 10;
        const VAIN_BYTES_MAX: usize = 1 << 20;
        let patient = self.vain < VAIN_BYTES_MAX;
        let window = if patient { TAG_BYTES_MAX } else { TAG_BYTES_MIN };
        quoted_tag_end(inner.as_bytes(), window, patient).unwrap_or_else(|seen| {
            self.vain = self.vain.saturating_add(seen);
            // The quote is open to the end: readers then take the first `>`.
            memchr::memchr(b'>', inner.as_bytes()).unwrap_or(inner.len())
        })
    }
}

/// Where in the first `window` octets the `>` stands that ends the tag; those in quoted values do not count, and an
/// address with a whole file in it may be as long as it is. Else, how many octets were looked at.
fn quoted_tag_end(inner: &[u8], window: usize, patient: bool) -> Result<usize, usize> {
    let mut at = 0;
    let mut window = window;
    let mut after_equals = false;
    while at < window {
        let Some(octet) = inner.get(at) else { break };
        match octet {
            b'>' => return Ok(at),
            quote @ (b'"' | b'\'') if after_equals => {
                let value = inner.get(at + 1..).unwrap_or_default();
                let is_data = value.get(..5).is_some_and(|v| v.eq_ignore_ascii_case(b"data:"));
                let end = if patient && is_data { value.len() } else { window.saturating_sub(at) };
                let value = value.get(..end.min(value.len())).unwrap_or_default();
                let Some(close) = memchr::memchr(*quote, value) else {
                    return Err(at + value.len());
                };
                at += close + 1;
                window = window.saturating_add(if is_data { close } else { 0 });
                after_equals = false;
            }
            _ => after_equals = *octet == b'=' || (after_equals && octet.is_ascii_whitespace()),
        }
        at += 1;
    }
    Err(at)
}

fn element_name(tag: &str) -> Cow<'_, str> {
    let end = tag.find(|sign: char| sign.is_whitespace() || matches!(sign, '/' | '>'));
    let name = tag.get(..end.unwrap_or(tag.len()).min(64)).unwrap_or("");
    lower(name)
}

/// The text in lower case; nearly all names are.
pub(crate) fn lower(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|octet| octet.is_ascii_uppercase()) {
        text.to_ascii_lowercase().into()
    } else {
        text.into()
    }
}

fn attributes(mut rest: &str) -> Vec<(Cow<'_, str>, &str)> {
    const ATTRIBUTES_MAX: usize = 500;
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
        let name = lower(name);
        let Some(value) = tail.trim_start().strip_prefix('=') else {
            found.push((name, ""));
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
        found.push((name, value));
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
