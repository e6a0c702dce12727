//! What became of a text part: what it says, what of that is seen, and what its tags tell.

use std::ops::Range;

use super::html::Html;
use super::perl::Text;

/// A text part as text.
#[derive(Debug, Default)]
pub(in crate::filters::spam) struct Rendered {
    /// What it says, hidden text of HTML included.
    pub(in crate::filters::spam) text: Text,
    /// Without what is hidden; `None`: the same.
    pub(super) visible: Option<Text>,
    /// What is hidden.
    pub(in crate::filters::spam) invisible: Text,
    /// Where that stands in the whole, in octets of UTF-8.
    pub(super) hidden: Vec<Range<usize>>,
    /// What its tags tell, if it is HTML that is not empty.
    pub(in crate::filters::spam) html: Option<Html>,
    /// It is a page that a browser may cut elsewhere.
    pub(in crate::filters::spam) odd: bool,
}

impl Rendered {
    /// What a reader sees.
    pub(in crate::filters::spam) fn visible(&self) -> &Text {
        self.visible.as_ref().unwrap_or(&self.text)
    }

    /// What a reader sees, before and behind a place in the whole text, which is given in octets of UTF-8.
    pub(in crate::filters::spam) fn visible_around(&self, place: usize) -> (&str, &str) {
        let before = self
            .hidden
            .iter()
            .map(|range| range.end.min(place).saturating_sub(range.start.min(place)));
        let visible = self.visible().text.as_str();
        let place = place.saturating_sub(before.sum());
        visible.split_at_checked(place).unwrap_or((visible, ""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_is_told_from_what_is_hidden_on_both_sides_of_a_place() {
        let text = |text: &str| Text::wide(text.to_owned());
        let rendered = Rendered {
            text: text("aéXXbYc"),
            visible: Some(text("aébc")),
            invisible: text("XXY"),
            hidden: vec![3..5, 6..7],
            html: None,
            odd: false,
        };
        for (place, want) in [
            (0, ("", "aébc")),
            (3, ("aé", "bc")),
            (4, ("aé", "bc")),
            (5, ("aé", "bc")),
            (6, ("aéb", "c")),
            (8, ("aébc", "")),
            (99, ("aébc", "")),
        ] {
            assert_eq!(rendered.visible_around(place), want, "{place}");
        }
    }
}
