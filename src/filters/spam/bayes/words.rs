//! The words of a mail that is learned or judged, each once, as 63 bits of a digest and as text.

use std::collections::HashSet;
use std::ops::Range;

use sha1::{Digest as _, Sha1};

/// A word as the store knows it: the first 63 bits of its SHA-1. Of a million words two are alike once in ten million
/// stores, and nobody can read a store back into mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub i64);

impl Token {
    /// The token of a word with its prefix.
    #[must_use]
    pub fn of(prefix: &str, word: &str) -> Self {
        let mut hash = Sha1::new();
        hash.update(prefix.as_bytes());
        hash.update(word.as_bytes());
        let digest = hash.finalize();
        let mut octets = [0; 8];
        for (octet, from) in octets.iter_mut().zip(digest.iter()) {
            *octet = *from;
        }
        Self(i64::from_be_bytes(octets) & i64::MAX)
    }
}

/// Octets of a word that count; what follows is the same word.
const WORD_BYTES_MAX: usize = 128;

/// The words of one mail.
#[derive(Debug, Clone, Default)]
pub struct Words {
    text: String,
    all: Vec<(Token, Range<usize>)>,
    seen: HashSet<Token>,
    /// How many there may be for now.
    room: usize,
}

impl Words {
    /// Lets so many more words in.
    pub(super) fn allow(&mut self, more: usize) {
        self.room = self.all.len().saturating_add(more);
    }

    pub(super) fn is_full(&self) -> bool {
        self.all.len() >= self.room
    }

    /// Adds a word, unless it is there already.
    pub(super) fn put(&mut self, prefix: &str, word: &str) {
        if word.is_empty() || self.is_full() {
            return;
        }
        let word = word.get(..word.floor_char_boundary(WORD_BYTES_MAX)).unwrap_or(word);
        let token = Token::of(prefix, word);
        if self.seen.insert(token) {
            let start = self.text.len();
            self.text.push_str(prefix);
            self.text.push_str(word);
            self.all.push((token, start..self.text.len()));
        }
    }

    /// All of them, in the order in which they were found.
    #[must_use]
    pub fn tokens(&self) -> Vec<Token> {
        self.all.iter().map(|(token, _)| *token).collect()
    }

    /// The word at that place, for people.
    #[must_use]
    pub fn text(&self, place: usize) -> &str {
        self.all.get(place).and_then(|(_, range)| self.text.get(range.clone())).unwrap_or_default()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// True if there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_counts_once_and_no_more_than_are_allowed_are_kept() {
        let mut words = Words::default();
        words.allow(2);
        for word in ["a", "b", "a", "c"] {
            words.put("H:", word);
        }
        assert_eq!(
            (words.len(), words.text(0), words.text(1), words.text(2)),
            (2, "H:a", "H:b", "")
        );
        assert_eq!(words.tokens(), [Token::of("H:", "a"), Token::of("", "H:b")]);
        assert!(words.tokens().iter().all(|token| token.0 >= 0));
    }
}
