//! Words that are cut by a tag.

use crate::filters::spam::text::perl::Text;

/// The letters next to a tag, the nearest one first: no more are looked at.
pub(super) struct Near {
    letters: [char; 8],
    count: usize,
    wide: bool,
}

impl Near {
    pub(super) fn of(letters: impl Iterator<Item = char>, wide: bool) -> Self {
        let mut near = Self { letters: ['\0'; 8], count: 0, wide };
        for (slot, letter) in near.letters.iter_mut().zip(letters) {
            *slot = letter;
            near.count += 1;
        }
        near
    }

    fn letters(&self) -> &[char] {
        self.letters.get(..self.count).unwrap_or_default()
    }

    /// Letters of a word that is cut.
    fn run(&self) -> usize {
        let text = Text { text: String::new(), wide: self.wide };
        let in_word = |letter: &&char| !text.is_space(**letter) && !letter.is_ascii_punctuation();
        self.letters().iter().take(7).take_while(in_word).count()
    }

    fn is_word(&self, at: usize) -> bool {
        self.letters().get(at).is_some_and(|letter| {
            *letter == '_'
                || if self.wide { letter.is_alphanumeric() } else { letter.is_ascii_alphanumeric() }
        })
    }

    /// The last border between letters and others in so many letters, counted from the tag.
    fn border(&self, run: usize) -> Option<usize> {
        let is_border =
            |length: &usize| self.is_word(length.saturating_sub(1)) != self.is_word(*length);
        (1..=run).rev().find(is_border)
    }
}

/// Whether a word is cut by the tag between these letters, and how far its borders lie from the tag.
pub(super) fn cut_by_a_tag(before: &Near, behind: &Near) -> (bool, Option<(usize, usize)>) {
    let (start, end) = (before.run(), behind.run());
    (start > 0 && end > 0, before.border(start).zip(behind.border(end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_cuts_words_and_shows_their_borders() {
        let cut = |before: &str, behind: &str| {
            cut_by_a_tag(&Near::of(before.chars().rev(), false), &Near::of(behind.chars(), false))
        };
        assert_eq!(cut("vi", "agra"), (true, Some((2, 4))));
        assert_eq!(cut("vi ", "agra"), (false, None));
        assert_eq!(cut("vi", "-agra"), (false, None));
        assert_eq!(cut("", "agra"), (false, None));
        // No more than seven letters are looked at.
        assert_eq!(cut("abcdefgh", "abcdefghi jk"), (true, None));
    }
}
