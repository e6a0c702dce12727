//! How text looks: colours, sizes and what hides it. Kept for every open tag, as SpamAssassin does it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::color::Color;
use super::event::Attribute;
use crate::mime::lower;

/// Open tags that are remembered; what is deeper looks like its parent.
const DEPTH_MAX: usize = 10_000;

/// Tags that change how text looks.
const TAGS: [&str; 13] = [
    "body", "font", "table", "tr", "th", "td", "big", "small", "basefont", "marquee", "span", "p",
    "div",
];

#[derive(Debug, Clone)]
struct Look {
    tag: &'static str,
    front: Color,
    back: Color,
    size: f64,
    hidden_by_display: bool,
    hidden_by_visibility: bool,
}

/// What is open, the innermost last.
#[derive(Debug)]
pub(super) struct Styles {
    open: Vec<Look>,
    /// How many of each tag are open, so that nobody looks for what is not there.
    counts: BTreeMap<&'static str, usize>,
    /// Tags that were not remembered.
    deeper: usize,
    base_size: f64,
    pub(super) min_size: f64,
    pub(super) max_size: f64,
}

/// Why text is not seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hidden {
    LowContrast,
    InvalidColor,
    Otherwise,
}

impl Styles {
    pub(super) fn new() -> Self {
        let look = Look {
            tag: "default",
            front: Color::BLACK,
            back: Color::WHITE,
            size: 3.0,
            hidden_by_display: false,
            hidden_by_visibility: false,
        };
        Self {
            open: vec![look],
            counts: BTreeMap::new(),
            deeper: 0,
            base_size: 3.0,
            min_size: 3.0,
            max_size: 3.0,
        }
    }

    /// Why text that stands here is not seen; `None` if it is.
    pub(super) fn hidden(&self) -> Option<Hidden> {
        let look = self.open.last()?;
        if look.front.is_like(look.back) {
            return Some(Hidden::LowContrast);
        }
        if look.front == Color::Invalid || look.back == Color::Invalid {
            return Some(Hidden::InvalidColor);
        }
        let hidden = look.size <= 1.0 || look.hidden_by_display || look.hidden_by_visibility;
        hidden.then_some(Hidden::Otherwise)
    }

    pub(super) fn close(&mut self, tag: &str) {
        let Some(tag) = known(tag).filter(|tag| *tag != "body") else { return };
        if self.deeper > 0 {
            self.deeper -= 1;
            return;
        }
        while self.is_open(tag) {
            if self.pop() == Some(tag) {
                return;
            }
        }
    }

    fn is_open(&self, tag: &str) -> bool {
        self.counts.get(tag).is_some_and(|count| *count > 0)
    }

    fn pop(&mut self) -> Option<&'static str> {
        let tag = self.open.pop()?.tag;
        if let Some(count) = self.counts.get_mut(tag) {
            *count = count.saturating_sub(1);
        }
        Some(tag)
    }

    pub(super) fn open(&mut self, tag: &str, attributes: &[Attribute<'_>]) {
        let Some(tag) = known(tag) else { return };
        let size = attributes.iter().find(|(name, _)| name == "size");
        if tag == "basefont"
            && let Some((_, text)) = size
            && let Some(number) = number(text.text.trim_start())
        {
            self.base_size = number;
            return;
        }
        if tag == "td" || tag == "tr" {
            self.close_cells(tag);
        }
        let Some(parent) = self.open.last() else { return };
        let mut look = Look { tag, ..parent.clone() };
        match tag {
            "big" => look.size += 1.0,
            "small" => look.size -= 1.0,
            _ => {
                let parent_back = parent.back;
                for (name, value) in attributes {
                    if takes(tag, name) {
                        self.apply(&mut look, parent_back, name, &value.text);
                    }
                }
            }
        }
        if self.open.len() < DEPTH_MAX {
            *self.counts.entry(look.tag).or_default() += 1;
            self.open.push(look);
        } else {
            self.deeper += 1;
        }
    }

    /// Cells and rows need no closing tag.
    fn close_cells(&mut self, tag: &str) {
        if !self.is_open(tag) {
            return;
        }
        while let Some(top) = self.open.last().map(|look| look.tag) {
            let ends = match tag {
                "td" => matches!(top, "font" | "td"),
                _ => matches!(top, "font" | "td" | "tr"),
            };
            if !ends {
                return;
            }
            self.pop();
        }
    }

    fn apply(&mut self, look: &mut Look, parent_back: Color, name: &str, value: &str) {
        match name {
            "text" | "color" => look.front = Color::read(value),
            "size" => {
                let value = value.trim_start();
                let sign = value.chars().next();
                if let Some(sign @ ('+' | '-')) = sign {
                    let step = number(value.get(1..).unwrap_or_default());
                    if let Some(step) = step {
                        look.size = self.base_size + if sign == '+' { step } else { -step };
                    }
                } else if let Some(size) = number(value) {
                    look.size = size;
                }
            }
            "style" => style(look, parent_back, value),
            // Others, `bgcolor` among them, change nothing.
            _ => {}
        }
        if look.size > self.max_size {
            self.max_size = look.size;
        } else if look.size < self.min_size {
            self.min_size = look.size;
        }
    }
}

/// The tag as it is remembered: `th` is a cell like `td`.
fn known(tag: &str) -> Option<&'static str> {
    match tag {
        "th" => Some("td"),
        "a" => Some("a"),
        _ => TAGS.iter().find(|known| **known == tag).copied(),
    }
}

/// Attributes that are looked at.
fn takes(tag: &str, name: &str) -> bool {
    match tag {
        "basefont" | "font" => matches!(name, "color" | "face" | "size"),
        "body" => matches!(name, "text" | "bgcolor" | "link" | "alink" | "vlink" | "background"),
        "marquee" => matches!(name, "bgcolor" | "background"),
        "table" | "td" | "tr" => matches!(name, "bgcolor" | "style"),
        "span" | "p" | "div" | "a" => name == "style",
        _ => false,
    }
}

/// The number at the start.
fn number(text: &str) -> Option<f64> {
    let end = text.bytes().position(|octet| !octet.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end.min(300)).filter(|digits| !digits.is_empty())?.parse().ok()
}

/// Reads a style attribute.
fn style(look: &mut Look, parent_back: Color, text: &str) {
    // What is transparent is known when all was read.
    let (mut clear_front, mut clear_back) = (false, false);
    for part in text.split(';') {
        let part = part.trim_start();
        let Some((name, value)) = part.split_once(':') else { continue };
        let lower = lower(name);
        // A value of blanks is a colour that nobody knows.
        let blank = !value.is_empty() && value.trim().is_empty();
        let value = if blank { " " } else { value.trim() };
        if value.is_empty() || (blank && !lower.ends_with("color")) {
            continue;
        }
        match &*lower {
            "color" | "background-color" if !value.contains('\n') => {
                let (slot, clear) = if lower == "color" {
                    (&mut look.front, &mut clear_front)
                } else {
                    (&mut look.back, &mut clear_back)
                };
                let value = lower_case(value);
                let value = without_important(&value);
                if value.contains("rgb") {
                    (*slot, *clear) = (Color::of_style(value), false);
                } else if value == "transparent" {
                    *clear = true;
                } else if value != "inherit" {
                    (*slot, *clear) = (Color::read(value), false);
                }
            }
            "background" if name == "background" && !value.contains('\n') => {
                if let Some(color) = background(&value.to_lowercase()) {
                    (look.back, clear_back) = (color, false);
                }
            }
            _ => match name.trim_end() {
                "display" => look.hidden_by_display = value.eq_ignore_ascii_case("none"),
                "visibility" => look.hidden_by_visibility = value.eq_ignore_ascii_case("hidden"),
                _ => {}
            },
        }
    }
    if clear_back {
        look.back = parent_back;
    }
    if clear_front {
        look.front = look.back;
    }
}

/// The value without `!important`.
fn without_important(value: &str) -> &str {
    let shorter = value.strip_suffix("important").map(str::trim_end);
    let shorter = shorter.and_then(|text| text.strip_suffix('!')).map(str::trim_end);
    shorter.unwrap_or(value)
}

/// In lower case, letters of all scripts.
fn lower_case(text: &str) -> Cow<'_, str> {
    if text.is_ascii() { lower(text) } else { text.to_lowercase().into() }
}

/// The colour in the last layer of a CSS background.
fn background(text: &str) -> Option<Color> {
    let mut layer: Vec<String> = Vec::new();
    let mut word = String::new();
    // The last comma may stand at the end: then the layer before it is the last.
    let mut fresh = false;
    let mut in_brackets = false;
    let mut quote: Option<char> = None;
    for letter in text.chars() {
        let outside = !in_brackets && quote.is_none();
        if outside && matches!(letter, ' ' | ',') {
            if !word.is_empty() {
                if std::mem::take(&mut fresh) {
                    layer.clear();
                }
                layer.push(std::mem::take(&mut word));
            } else if letter == ',' && std::mem::take(&mut fresh) {
                layer.clear();
            }
            fresh |= letter == ',';
            continue;
        }
        word.push(letter);
        match (letter, quote) {
            (letter, Some(open)) if letter == open => quote = None,
            (_, Some(_)) => {}
            ('"' | '\'', None) => quote = Some(letter),
            ('(', None) if !in_brackets => in_brackets = true,
            (')', None) if in_brackets => {
                in_brackets = false;
                if std::mem::take(&mut fresh) {
                    layer.clear();
                }
                layer.push(std::mem::take(&mut word));
            }
            _ => {}
        }
    }
    if !word.is_empty() {
        if fresh {
            layer.clear();
        }
        layer.push(word);
    }
    layer.iter().map(|word| Color::read(word)).find(|color| *color != Color::Invalid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::spam::text::perl::Piece;

    fn hidden(tags: &[(&str, &str, &str)]) -> Option<Hidden> {
        let mut styles = Styles::new();
        for (tag, name, value) in tags {
            let value = Piece { text: (*value).into(), wide: false };
            styles.open(tag, &[((*name).into(), value)]);
        }
        styles.hidden()
    }

    #[test]
    fn text_is_hidden_in_many_ways() {
        for (tag, name, value, want) in [
            ("font", "color", "#ffffff", Some(Hidden::LowContrast)),
            ("font", "color", "black", None),
            ("font", "color", "foo", Some(Hidden::InvalidColor)),
            ("font", "size", "1", Some(Hidden::Otherwise)),
            ("font", "size", "-2", Some(Hidden::Otherwise)),
            ("font", "size", "-1", None),
            ("span", "style", "display: NONE", Some(Hidden::Otherwise)),
            ("span", "style", "visibility:hidden;", Some(Hidden::Otherwise)),
            ("span", "style", "color: white !important", Some(Hidden::LowContrast)),
            ("span", "style", "color: rgb(250,250,250)", Some(Hidden::LowContrast)),
            ("span", "style", "background: url(x y) black", Some(Hidden::LowContrast)),
            ("span", "style", "background: black, white", None),
            ("span", "style", "color: transparent", Some(Hidden::LowContrast)),
            ("span", "style", "color: inherit", None),
            ("td", "bgcolor", "black", None),
            ("i", "style", "display:none", None),
        ] {
            assert_eq!(hidden(&[(tag, name, value)]), want, "{tag} {name} {value}");
        }
    }

    #[test]
    fn a_new_cell_ends_the_last_one() {
        let white = ("td", "style", "color:white");
        assert!(hidden(&[white, ("td", "x", "")]).is_none());
        assert!(hidden(&[white, ("p", "x", "")]).is_some());
        let mut styles = Styles::new();
        styles.open("small", &[]);
        styles.open("small", &[]);
        assert_eq!(styles.hidden(), Some(Hidden::Otherwise));
        styles.close("small");
        assert_eq!(styles.hidden(), None);
        styles.close("body");
    }
}
