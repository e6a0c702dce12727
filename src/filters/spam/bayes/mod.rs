//! Learned mail: which words were seen in spam and which in ham, and what that says of a new mail.
//!
//! This room cuts mails into words and weighs them. Who keeps the counts stands behind [`Tokens`].

pub mod autolearn;
mod combine;
pub(in crate::filters::spam) mod fuzzing;
mod headers;
mod inputs;
mod of_mail;
mod split;
mod words;

use std::fmt;

pub use inputs::{Inputs, PartFacts};
pub use words::{Token, Words};

use split::{Region, split};

/// Words of the body that count.
const BODY_WORDS_MAX: usize = 8_000;
/// Words of links.
const LINK_WORDS_MAX: usize = 1_000;
/// Words of text that is not shown.
const INVISIBLE_WORDS_MAX: usize = 2_000;
/// Words of header and parts.
const HEADER_WORDS_MAX: usize = 2_000;

/// Words that are shown to people.
const SHOWN_MAX: usize = 8;

/// What a mail was learned as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Nobody wanted it.
    Spam,
    /// Somebody did.
    Ham,
}

impl Class {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Spam => "spam",
            Self::Ham => "ham",
        }
    }
}

/// How often a word was seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Spam mails it was seen in.
    pub spam: u32,
    /// Ham mails it was seen in.
    pub ham: u32,
    /// That it was of use is not noted yet, or was long ago: [`Tokens::touch`] is worth while.
    pub stale: bool,
}

/// How many mails were learned.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// As spam.
    pub spam: u32,
    /// As ham.
    pub ham: u32,
}

/// Whose learned mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner<'o> {
    /// Everybody's.
    Site,
    /// A recipient's own, by address.
    User(&'o str),
}

/// What became of a mail that was to be learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Learnt {
    /// It is learned.
    New,
    /// It was learned as this before; nothing changed.
    Known,
    /// It was learned as the other before; that was undone first.
    Changed,
    /// There is not a word in it.
    Empty,
}

/// Who keeps what was learned. An error is for people; whoever asks goes on without an answer.
pub trait Tokens: fmt::Debug + Send + Sync {
    /// How many mails were learned.
    ///
    /// # Errors
    /// If the store does not answer at once.
    fn totals(&self, owner: Owner<'_>) -> Result<Totals, String>;

    /// How often each of these words was seen, in their order.
    ///
    /// # Errors
    /// As [`Tokens::totals`].
    fn look_up(&self, owner: Owner<'_>, tokens: &[Token]) -> Result<Vec<Counts>, String>;

    /// These words were of use in a verdict: they are kept longer. Never waits; it may be forgotten.
    fn touch(&self, owner: Owner<'_>, tokens: &[Token]);

    /// Learns a mail: all of it or nothing, and once, however often it is called.
    ///
    /// # Errors
    /// If the store cannot be written.
    fn learn(
        &self,
        owner: Owner<'_>,
        message: &str,
        class: Class,
        tokens: &[Token],
    ) -> Result<Learnt, String>;

    /// Undoes that. False if the mail was never learned.
    ///
    /// # Errors
    /// If the store cannot be written.
    fn forget(&self, owner: Owner<'_>, message: &str, tokens: &[Token]) -> Result<bool, String>;
}

/// The words of a mail. `ignored`: fields of the header that the site leaves out, in lower case.
#[must_use]
pub fn words(inputs: &Inputs, ignored: &[String]) -> Words {
    let mut words = Words::default();
    words.allow(HEADER_WORDS_MAX);
    headers::header(inputs, ignored, &mut words);
    parts(inputs, &mut words);
    words.allow(BODY_WORDS_MAX);
    for text in &inputs.visible {
        split(text, "", Region::Body, &mut words);
    }
    if let Some(subject) = inputs.visible.first() {
        split(subject, "S:", Region::Header, &mut words);
    }
    words.allow(LINK_WORDS_MAX);
    for link in &inputs.links {
        split(link, "", Region::Link, &mut words);
    }
    words.allow(INVISIBLE_WORDS_MAX);
    for text in &inputs.invisible {
        split(text, "I:", Region::Body, &mut words);
    }
    words
}

/// What the mail is made of.
fn parts(inputs: &Inputs, words: &mut Words) {
    let kinds: Vec<&str> = inputs.parts.iter().take(12).map(|part| part.kind.as_str()).collect();
    words.put("P:", &kinds.join(" "));
    for part in &inputs.parts {
        for (prefix, fact) in [
            ("PT:", &part.kind),
            ("PC:", &part.charset),
            ("PE:", &part.extension),
            ("PD:", &part.digest),
        ] {
            words.put(prefix, fact);
        }
    }
}

/// What was learned, asked about one mail.
#[derive(Debug, Clone, PartialEq)]
pub struct Opinion {
    /// The probability that it is spam, 0 to 1.
    pub chance: f64,
    /// The most telling words for that, for people.
    pub telling: Vec<String>,
}

/// Asks. `None`: nothing can be said, because no word of the mail tells anything.
///
/// # Errors
/// If the store does not answer.
pub fn ask(
    tokens: &dyn Tokens,
    owner: Owner<'_>,
    words: &Words,
) -> Result<Option<Opinion>, String> {
    let totals = tokens.totals(owner)?;
    let all = words.tokens();
    let counts = tokens.look_up(owner, &all)?;
    let telling = combine::telling(&counts, totals);
    let Some(chance) = combine::combine(&telling, totals) else { return Ok(None) };
    let stale = |place: &usize| counts.get(*place).is_some_and(|counts| counts.stale);
    let useful = telling.iter().map(|(place, _)| *place).filter(stale);
    let useful: Vec<Token> = useful.filter_map(|place| all.get(place).copied()).collect();
    if !useful.is_empty() {
        tokens.touch(owner, &useful);
    }
    let agrees = |word: f64| (word > 0.5) == (chance > 0.5);
    let shown = telling.iter().filter(|(_, word)| agrees(*word)).take(SHOWN_MAX);
    let shown = shown.map(|(place, _)| words.text(*place).to_owned()).collect();
    Ok(Some(Opinion { chance, telling: shown }))
}

#[cfg(test)]
mod tests;
