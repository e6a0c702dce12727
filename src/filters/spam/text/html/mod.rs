//! HTML as SpamAssassin renders it: a text, hidden words marked, and what its tags tell.

mod browser;
mod color;
mod entities;
mod event;
mod near;
mod prepared;
mod render;
mod style;
mod token;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::perl::Text;

pub(super) use render::{render, render_as_browsers};

/// A place where a page names an address, as it was written (outer blanks cut off).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::filters::spam) struct HtmlUri {
    /// The tag, in lower case: `a`, `img`, …
    pub(in crate::filters::spam) tag: String,
    /// The value of the attribute; relative addresses are not made absolute.
    pub(in crate::filters::spam) value: String,
    /// What `<base href>` said before, if it can be a base; ends with a slash.
    pub(in crate::filters::spam) base: Option<Arc<str>>,
}

/// A link's text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::filters::spam) struct Anchor {
    /// The address as it was written; empty if there was none.
    pub(in crate::filters::spam) href: String,
    pub(in crate::filters::spam) text: String,
}

/// What the tags of one page tell.
#[derive(Debug, Clone, Default)]
pub(in crate::filters::spam) struct Html {
    /// For each tag that was seen how often it is open at the end.
    pub(in crate::filters::spam) inside: BTreeMap<String, i64>,
    /// All addresses, in the order in which they stand.
    pub(in crate::filters::spam) uris: Vec<HtmlUri>,
    /// An address was cut.
    pub(in crate::filters::spam) uri_truncated: bool,
    /// The texts of links, one for each `<a>`.
    pub(in crate::filters::spam) anchors: Vec<Anchor>,
    /// Comments, with their `<!--` and `-->`.
    pub(in crate::filters::spam) comments: Vec<String>,
    /// Text inside `<script>`.
    pub(in crate::filters::spam) scripts: Vec<String>,
    /// Texts of `<title>`.
    pub(in crate::filters::spam) titles: Vec<String>,
    /// Charsets that `<meta>` names, blanks between; `None` if none does.
    pub(in crate::filters::spam) charsets: Option<String>,
    /// Pixels that images say they cover.
    pub(in crate::filters::spam) image_area: f64,
    /// Characters of the page.
    pub(in crate::filters::spam) length: usize,
    /// Characters of the text.
    pub(in crate::filters::spam) html_length: usize,
    /// Those that are no white space.
    pub(in crate::filters::spam) non_space_length: usize,
    /// The share of the page that is not text.
    pub(in crate::filters::spam) ratio: Option<f64>,
    /// Sizes of fonts.
    pub(in crate::filters::spam) min_size: f64,
    pub(in crate::filters::spam) max_size: f64,
    /// Tags, those that HTML knows, and both again without those inside tags of the same name.
    pub(in crate::filters::spam) tags: u32,
    pub(in crate::filters::spam) elements: u32,
    pub(in crate::filters::spam) tags_seen: u32,
    pub(in crate::filters::spam) elements_seen: u32,
    /// Closing tags of what was not open.
    pub(in crate::filters::spam) closed_extra: u32,
    /// Words cut by tags.
    pub(in crate::filters::spam) obfuscation: u32,
    /// Pairs of lengths of short pieces of words on both sides of a tag.
    pub(in crate::filters::spam) backhair: u32,
    pub(in crate::filters::spam) font_low_contrast: bool,
    pub(in crate::filters::spam) font_invalid_color: bool,
    pub(in crate::filters::spam) font_face_bad: bool,
    pub(in crate::filters::spam) form_action_mailto: bool,
    pub(in crate::filters::spam) embeds: bool,
}

/// A page as text.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) text: Text,
    pub(super) visible: Text,
    pub(super) invisible: Text,
    /// Where hidden text stands in the whole, in octets of UTF-8.
    pub(super) hidden: Vec<Range<usize>>,
    pub(super) facts: Html,
    /// A browser may cut the page elsewhere.
    pub(super) odd: bool,
}

impl Html {
    /// Puts in what can be told when the text is known. `octets`: length of the page as it came.
    pub(super) fn measure(&mut self, text: &Text, octets: usize) {
        self.html_length = text.text.chars().count();
        let is_space = |letter: char| text.is_space(letter) && (text.wide || letter != '\u{c}');
        let spaces = match text.has_plain_space() {
            true => text.text.bytes().filter(|octet| is_space(char::from(*octet))).count(),
            false => text.text.chars().filter(|letter| is_space(*letter)).count(),
        };
        self.non_space_length = self.html_length - spaces;
        if octets > 0 {
            let length = u32::try_from(self.html_length).map_or(f64::MAX, f64::from);
            let octets = u32::try_from(octets).map_or(f64::MAX, f64::from);
            self.ratio = Some((octets - length) / octets);
        }
    }
}
