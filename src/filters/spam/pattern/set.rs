//! Sets of octets.

/// A set of octets: one bit for each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct OctetSet([u64; 4]);

impl OctetSet {
    pub(super) const NONE: Self = Self([0; 4]);
    pub(super) const ALL: Self = Self([u64::MAX; 4]);

    pub(super) fn one(octet: u8) -> Self {
        Self::NONE.with(octet)
    }

    /// The octets for which the question is answered by yes.
    pub(super) fn of(wanted: impl Fn(u8) -> bool) -> Self {
        (0..=255).filter(|octet| wanted(*octet)).fold(Self::NONE, Self::with)
    }

    pub(super) fn range(low: u8, high: u8) -> Self {
        (low..=high).fold(Self::NONE, Self::with)
    }

    pub(super) fn with(mut self, octet: u8) -> Self {
        if let Some(word) = self.0.get_mut(usize::from(octet >> 6)) {
            *word |= 1 << (octet & 63);
        }
        self
    }

    #[inline]
    pub(super) fn has(&self, octet: u8) -> bool {
        let word = self.0.get(usize::from(octet >> 6)).copied().unwrap_or(0);
        word >> (octet & 63) & 1 == 1
    }

    pub(super) fn or(&self, other: &Self) -> Self {
        let [a, b, c, d] = self.0;
        let [e, f, g, h] = other.0;
        Self([a | e, b | f, c | g, d | h])
    }

    pub(super) fn and(&self, other: &Self) -> Self {
        let [a, b, c, d] = self.0;
        let [e, f, g, h] = other.0;
        Self([a & e, b & f, c & g, d & h])
    }

    pub(super) fn not(&self) -> Self {
        let [a, b, c, d] = self.0;
        Self([!a, !b, !c, !d])
    }

    pub(super) fn meets(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0).any(|(mine, its)| mine & its != 0)
    }

    pub(super) fn len(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// The least one.
    pub(super) fn first(&self) -> Option<u8> {
        self.iter().next()
    }

    /// The greatest one.
    pub(super) fn last(&self) -> Option<u8> {
        self.iter().last()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u8> {
        let starts = [0_u8, 64, 128, 192];
        self.0.into_iter().zip(starts).flat_map(|(word, start)| {
            let mut left = word;
            std::iter::from_fn(move || {
                let bit = u8::try_from(left.trailing_zeros()).ok().filter(|bit| *bit < 64)?;
                left &= left - 1;
                Some(start + bit)
            })
        })
    }

    /// With every letter in both cases. Perl folds octets above 127 as Latin-1 does, even where its classes are those of
    /// ASCII, so that a pattern which spells a UTF-8 text octet by octet also fits some others; so do we.
    pub(super) fn folded(&self) -> Self {
        // In both words the two cases lie 32 bits apart.
        const ASCII: u64 = 0x07FF_FFFE;
        const LATIN: u64 = 0x7F7F_FFFF;
        let both =
            |word: u64, letters: u64| word | (word & letters) << 32 | (word & letters << 32) >> 32;
        let [low, ascii, middle, latin] = self.0;
        Self([low, both(ascii, ASCII), middle, both(latin, LATIN)])
    }
}

/// The same letter in the other case; what is no letter stays.
pub(super) fn other_case(octet: u8) -> u8 {
    match octet {
        b'a'..=b'z' | b'A'..=b'Z' => octet ^ 32,
        // ÷ and × stand where a letter would; ß and ÿ have no partner in an octet.
        0xD7 | 0xF7 | 0xDF | 0xFF => octet,
        0xC0..=0xFE => octet ^ 32,
        _ => octet,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_have_two_cases_in_latin_1() {
        for (octet, other) in
            [(b'a', b'A'), (0xC9, 0xE9), (0xFE, 0xDE), (0xD7, 0xD7), (0xDF, 0xDF), (b'1', b'1')]
        {
            assert_eq!(other_case(octet), other);
            assert_eq!(other_case(other), octet);
        }
    }

    #[test]
    fn a_set_holds_what_was_put_in() {
        let set = OctetSet::range(b'a', b'c').with(0).with(255);
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, b'a', b'b', b'c', 255]);
        assert_eq!(set.len() + set.not().len(), 256);
        assert!(!set.meets(&set.not()));
        assert!(set.folded().has(b'B'));
        for octet in 0..=255 {
            let both = OctetSet::one(octet).with(other_case(octet));
            assert_eq!(OctetSet::one(octet).folded(), both, "{octet}");
        }
    }
}
