//! A door for fuzzing into the words of learned mail.

use std::collections::HashSet;

use super::{Class, Counts, Inputs, Learnt, Owner, PartFacts, Token, Tokens, Totals, ask, words};

/// A store that knows each word by the word's own digest.
#[derive(Debug)]
struct Digests(Totals);

impl Tokens for Digests {
    fn totals(&self, _: Owner<'_>) -> Result<Totals, String> {
        Ok(self.0)
    }

    fn look_up(&self, _: Owner<'_>, tokens: &[Token]) -> Result<Vec<Counts>, String> {
        let of = |shift: u32, token: &Token| {
            let bits = u32::try_from(token.0 >> shift & 0xff).unwrap_or_default();
            if bits < 128 { bits & 7 } else { u32::MAX >> (bits & 31) }
        };
        let counts = |token: &Token| Counts {
            spam: of(0, token),
            ham: of(8, token),
            stale: of(16, token) % 2 == 0,
        };
        Ok(tokens.iter().map(counts).collect())
    }

    fn touch(&self, _: Owner<'_>, tokens: &[Token]) {
        assert!(!tokens.is_empty(), "nothing is touched");
    }

    fn learn(&self, _: Owner<'_>, _: &str, _: Class, _: &[Token]) -> Result<Learnt, String> {
        Ok(Learnt::Known)
    }

    fn forget(&self, _: Owner<'_>, _: &str, _: &[Token]) -> Result<bool, String> {
        Ok(false)
    }
}

/// Fields, text, hidden text, links and parts, NUL between: words are distinct, few and short, and what is made of them
/// is a probability.
pub fn learned_words(octets: &[u8]) {
    let text = String::from_utf8_lossy(octets);
    let mut pieces = text.split('\0');
    let mut next = || -> Vec<&str> { pieces.next().unwrap_or_default().split('\n').collect() };
    let owned = |lines: Vec<&str>| lines.into_iter().map(str::to_owned).collect::<Vec<String>>();
    let fields = next();
    let sender = fields.first().copied().unwrap_or_default().to_owned();
    let field = |line: &&str| {
        let (name, value) = line.split_once(':')?;
        (name.len() <= 256).then(|| (name.to_owned(), value.to_owned()))
    };
    let part = |line: &str| {
        let mut facts = line.split('/').map(str::to_owned);
        let mut fact = || facts.next().unwrap_or_default();
        PartFacts { kind: fact(), charset: fact(), extension: fact(), digest: fact() }
    };
    let inputs = Inputs {
        headers: fields.iter().filter_map(field).collect(),
        sender,
        visible: owned(next()),
        invisible: owned(next()),
        links: owned(next()),
        parts: next().into_iter().map(part).collect(),
    };
    let found = words(&inputs, &[]);
    assert!(found.len() <= 13_000, "{} words", found.len());
    let tokens = found.tokens();
    assert_eq!(tokens.iter().collect::<HashSet<_>>().len(), tokens.len(), "a word stands twice");
    for (place, token) in tokens.iter().enumerate() {
        let word = found.text(place);
        assert_eq!(Token::of("", word), *token, "{word:?} is another word");
        assert!(token.0 >= 0 && !word.is_empty());
        assert!(word.len() <= 256 + 128 + 8, "a word of {} octets", word.len());
    }
    let first = u32::from(octets.first().copied().unwrap_or_default());
    for (spam, ham) in [(200, 200), (first, u32::MAX), (u32::MAX, first), (u32::MAX, u32::MAX)] {
        let opinion = ask(&Digests(Totals { spam, ham }), Owner::Site, &found);
        let Ok(Some(opinion)) = opinion else { continue };
        assert!((0.0..=1.0).contains(&opinion.chance), "{}", opinion.chance);
        assert!(opinion.telling.len() <= 8);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_octets_make_words_that_do_not_hold(
            octets in proptest::collection::vec(any::<u8>(), 0..300),
            text in "(From: |Received: |Message-Id: |Content-Type: |\n|\0| |@|\\.|,|;|<|>|=|\"|/|[a-zA-Z]{1,20}|\\$1|é|費){0,80}"
        ) {
            learned_words(&octets);
            learned_words(text.as_bytes());
        }
    }
}
