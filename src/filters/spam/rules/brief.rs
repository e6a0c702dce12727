//! What can be told of a rule at a glance. The rules themselves lie far apart in memory, and most of them are asked about
//! most mails only to find that they cannot hit.

use crate::filters::Score;

use super::build::{Check, Rule};

/// A rule in brief.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::filters::spam) enum Brief {
    /// It never hits: it cannot be asked, or has no points, with which it does not count in expressions either.
    Never,
    /// A pattern of which the prefilter of that text tells where it may match, by that slot.
    Sifted { text: u32, slot: u32 },
    /// An expression.
    Meta,
    /// It must be asked.
    Other,
}

/// The same without and with learned mail.
#[derive(Debug, Clone, Copy)]
pub(in crate::filters::spam) struct Briefs([Brief; 2]);

impl Briefs {
    pub(super) fn new(rule: &Rule) -> Self {
        Self(rule.scores.map(|score| if score == Score(0) { Brief::Never } else { brief(rule) }))
    }

    #[inline]
    pub(in crate::filters::spam) fn of(self, learned: bool) -> Brief {
        let [alone, with_learned] = self.0;
        if learned { with_learned } else { alone }
    }
}

fn brief(rule: &Rule) -> Brief {
    match &rule.check {
        Check::Pattern(check) => match (check.slot, u32::try_from(check.text)) {
            (Some(slot), Ok(text)) if !check.negated => Brief::Sifted { text, slot },
            _ => Brief::Other,
        },
        Check::Meta(_) => Brief::Meta,
        Check::Unavailable(_) | Check::Off(_) => Brief::Never,
        Check::Exists(_) | Check::Function(_) | Check::Template(_) => Brief::Other,
    }
}
