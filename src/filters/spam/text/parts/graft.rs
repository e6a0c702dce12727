//! Parts as mail readers show them, put into the tree that SpamAssassin's reading of a message gives.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};

use super::super::header::{Header, HeaderField};
use super::super::html;
use super::super::rendered::Rendered;
use super::{ContentType, Part, Parts, head_and_tail, lines_ended_by_lf};
use crate::filters::spam::text::perl::Text;

/// Parts that are added. Of more it is told that they were not looked at.
const ADDED_MAX: usize = 1_000;

/// Where a part stands: its number in each multipart on the way down, 0 for the step into an attached message.
pub(in crate::filters::spam) type Place = Vec<u32>;

/// A text as mail readers show it.
#[derive(Debug)]
pub(in crate::filters::spam) struct Shown<'m> {
    /// `None`: another reading of a part, which has no place of its own.
    pub(in crate::filters::spam) place: Option<&'m [u32]>,
    pub(in crate::filters::spam) is_page: bool,
    /// As it was declared.
    pub(in crate::filters::spam) charset: Option<&'m str>,
    /// Its header as it was written.
    pub(in crate::filters::spam) header: &'m [u8],
    /// In UTF-8.
    pub(in crate::filters::spam) content: Vec<u8>,
    /// Else it only belongs to a part that is now taken apart.
    pub(in crate::filters::spam) overlooked: bool,
}

impl Shown<'_> {
    fn kind(&self) -> &'static str {
        if self.is_page { "text/html" } else { "text/plain" }
    }

    /// Makes a part of it, or makes it of a part that is there.
    fn put_into(self, part: &mut Part) {
        self.declare(&mut part.header);
        self.kind().clone_into(&mut part.kind);
        part.charset = Some("utf-8".to_owned());
        part.name = None;
        part.leaf = true;
        part.shown = Some(self.content);
        part.decoded = OnceCell::new();
        part.rendered = OnceCell::new();
    }

    /// Lets the header say what readers took it to say; as it was written it stays.
    fn declare(&self, header: &mut Header) {
        let read = ContentType::read(header.last(b"content-type"));
        let same = read
            .charset
            .as_deref()
            .unwrap_or_default()
            .eq_ignore_ascii_case(self.charset.unwrap_or_default());
        if read.kind == self.kind() && (same || self.charset.is_none()) {
            return;
        }
        let mut value = self.kind().to_owned();
        if let Some(charset) = self.charset {
            value.push_str("; charset=");
            value.push_str(charset);
        }
        match header.last_field(b"content-type") {
            Some(field) => field.decoded = value.into_bytes(),
            None => header.fields.push(HeaderField {
                name: b"Content-Type".to_vec(),
                raw: format!(" {value}\n").into_bytes(),
                decoded: value.into_bytes(),
            }),
        }
    }
}

impl Part {
    /// Its content as text, markup and all; `None` if it is not looked at as text.
    pub(in crate::filters::spam) fn source(&self) -> Option<Text> {
        self.rendered().map(|_| self.text_of(self.decoded()))
    }

    /// True if its encoding is one that is understood here.
    pub(in crate::filters::spam) fn has_known_encoding(&self) -> bool {
        let encoding = self.header.last(b"content-transfer-encoding").unwrap_or(b"7bit");
        let known = [b"7bit".as_slice(), b"8bit", b"binary", b"base64", b"quoted-printable"];
        known.iter().any(|known| encoding.eq_ignore_ascii_case(known))
    }

    /// True if a browser shows text, or has links, that are not among what was made of the page here.
    pub(in crate::filters::spam) fn is_another_page_in_browsers(&self) -> bool {
        let Some(ours) = self.rendered().filter(|ours| ours.odd) else { return false };
        let theirs = html::render_as_browsers(&self.text_of(&head_and_tail(self.decoded())));
        let (seen, shown) = (bare(&ours.visible().text), bare(&theirs.visible.text));
        if memchr::memmem::find(seen.as_bytes(), shown.as_bytes()).is_none() {
            return true;
        }
        let links = ours.html.iter().flat_map(|html| &html.uris);
        let links: HashSet<&str> = links.map(|link| link.value.as_str()).collect();
        theirs.facts.uris.iter().any(|link| !links.contains(link.value.as_str()))
    }
}

/// A text without what leaves no mark, or may be left out in one reading and not in the other.
pub(in crate::filters::spam) fn bare(text: &str) -> String {
    let marks =
        |letter: &char| !letter.is_whitespace() && !matches!(letter, '\u{feff}' | '\u{fffd}');
    text.chars().filter(marks).collect()
}

/// A text with each run of white space as one blank, and without the letters that [`bare`] leaves out.
pub(in crate::filters::spam) fn spaced(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\u{feff}' | '\u{fffd}' => {}
            _ if !letter.is_whitespace() => out.push(letter),
            _ if out.ends_with(' ') => {}
            _ => out.push(' '),
        }
    }
    out.trim().to_owned()
}

/// What is shown of a text.
pub(in crate::filters::spam) struct Sight {
    /// As [`spaced`] gives it.
    pub(in crate::filters::spam) text: String,
    pub(in crate::filters::spam) links: Vec<String>,
}

/// What a mail reader shows of a text, or of a page: of its head and its tail, as of all that is rendered.
pub(in crate::filters::spam) fn sight(text: &str, is_page: bool) -> Sight {
    let octets = head_and_tail(text.as_bytes());
    let text = String::from_utf8_lossy(&octets);
    if !is_page {
        return Sight { text: spaced(&text), links: Vec::new() };
    }
    let page = html::render_as_browsers(&Text::wide(text.into_owned()));
    let links = page.facts.uris.into_iter().map(|link| link.value).collect();
    Sight { text: spaced(&page.visible.text), links }
}

impl Parts {
    /// The parts by their places.
    pub(in crate::filters::spam) fn places(&self) -> HashMap<Place, usize> {
        let mut places = HashMap::with_capacity(self.nodes.len());
        let mut stack = vec![(0, Place::new())];
        while let Some((index, place)) = stack.pop() {
            let Some(part) = self.nodes.get(index) else { continue };
            let message = part.kind.starts_with("message/");
            for (number, child) in (1..).zip(&part.children) {
                let mut below = place.clone();
                below.push(if message { 0 } else { number });
                stack.push((*child, below));
            }
            places.insert(place, index);
        }
        places
    }

    /// The part that has no parts below and stands there.
    pub(in crate::filters::spam) fn leaf_at(
        &self,
        places: &HashMap<Place, usize>,
        place: &[u32],
    ) -> Option<&Part> {
        self.nodes.get(*places.get(place)?).filter(|part| part.leaf)
    }

    /// Puts texts in as mail readers show them, and has odd pages cut as browsers cut them.
    pub(in crate::filters::spam) fn graft(&mut self, shown: Vec<Shown<'_>>) {
        let places = self.places();
        let mut apart = HashSet::new();
        let mut rest = Vec::new();
        for one in shown {
            let own = one.place.and_then(|place| places.get(place)).copied();
            if let Some(part) = own.and_then(|own| self.nodes.get_mut(own)).filter(|part| part.leaf)
            {
                if one.overlooked {
                    one.put_into(part);
                }
                continue;
            }
            let home = home(&places, one.place);
            if one.overlooked && self.nodes.get(home).is_some_and(|part| part.leaf) {
                apart.insert(home);
            }
            rest.push((home, one));
        }
        for part in apart.iter().copied() {
            self.take_apart(part);
        }
        rest.retain(|(home, one)| one.overlooked || apart.contains(home));
        self.cut |= rest.len() > ADDED_MAX;
        for (home, one) in rest.into_iter().take(ADDED_MAX) {
            let mut part = Part::new(Header::read(&lines_ended_by_lf(one.header)).0);
            one.put_into(&mut part);
            let index = self.nodes.len();
            self.nodes.push(part);
            if let Some(home) = self.nodes.get_mut(home) {
                home.children.push(index);
            }
        }
        for part in &mut self.nodes {
            part.for_browsers = true;
            // What else was rendered before stays as it is.
            let odd = |rendered: &Option<Rendered>| rendered.as_ref().is_some_and(|page| page.odd);
            if part.rendered.get().is_some_and(odd) {
                part.rendered = OnceCell::new();
            }
        }
        self.order = self.walk();
    }

    /// Makes a multipart of a leaf: its text is what readers take for parts.
    fn take_apart(&mut self, index: usize) {
        if let Some(part) = self.nodes.get_mut(index) {
            part.leaf = false;
            part.raw = Vec::new();
            part.decoded = OnceCell::new();
            part.rendered = OnceCell::new();
            if !part.kind.starts_with("message/") {
                "multipart/mixed".clone_into(&mut part.kind);
            }
        }
    }
}

/// The part that stands there, or the nearest one above.
fn home(places: &HashMap<Place, usize>, place: Option<&[u32]>) -> usize {
    let mut place = place.unwrap_or_default();
    loop {
        if let Some(home) = places.get(place) {
            return *home;
        }
        let Some((_, above)) = place.split_last() else { return 0 };
        place = above;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_large_text_head_and_tail_are_compared() {
        let text = "<p>word <a href=\"http://a.example/\">x</a></p>\n".repeat(100_000);
        for is_page in [false, true] {
            let sight = sight(&text, is_page);
            assert!(sight.text.len() < 1_200_000, "{}", sight.text.len());
            assert!(sight.links.len() < 30_000, "{}", sight.links.len());
        }
        assert_eq!(sight("<p>a  <b>b</b>\n\u{feff}c</p>", true).text, "a b c");
    }
}
