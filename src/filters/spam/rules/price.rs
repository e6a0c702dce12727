//! What it costs to ask rules, and which need not be asked when another one was.

use crate::filters::Score;
use crate::filters::spam::pattern::TextRules;
use crate::filters::spam::text::Target;

use super::build::{Check, PatternCheck, Rule};

/// What can be told of a rule at a glance: the rules themselves lie far apart in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::filters::spam) enum Brief {
    /// It never hits.
    Never,
    /// A pattern of which the prefilter tells where it may match; and how often it counts.
    Sifted { text: u32, slot: u32, most: u32 },
    /// It counts so often at most.
    AtMost(u32),
    /// Of it nothing can be told.
    Unknown,
    /// An expression.
    Meta,
}

/// The same without and with learned mail.
#[derive(Debug, Clone, Copy)]
pub(in crate::filters::spam) struct Briefs([Brief; 2]);

impl Briefs {
    pub(in crate::filters::spam) fn of(self, learned: bool) -> Brief {
        let [alone, with_learned] = self.0;
        if learned { with_learned } else { alone }
    }

    pub(super) fn new(rule: &Rule) -> Self {
        // What has no points is not asked, and does not count in expressions.
        Self(rule.scores.map(|score| if score == Score(0) { Brief::Never } else { brief(rule) }))
    }
}

fn brief(rule: &Rule) -> Brief {
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    match &rule.check {
        Check::Pattern(check) => match check.slot.filter(|_| !check.negated) {
            Some(slot) => {
                Brief::Sifted { text: number(check.text), slot, most: number(rule.hits_max) }
            }
            None => Brief::AtMost(number(rule.hits_max)),
        },
        Check::Exists(_) | Check::Function(_) => Brief::AtMost(1),
        Check::Template(_) => Brief::Unknown,
        Check::Meta(_) => Brief::Meta,
        Check::Unavailable(_) | Check::Off(_) => Brief::Never,
    }
}

/// Microseconds, about, that a function takes, or a pattern made of what others caught.
const FUNCTION: u32 = 10;

/// Puts the operands of each expression in the order of their price. `order`: each rule behind those it is made of.
pub(super) fn set(rules: &mut [Rule], texts: &[TextRules], order: &[usize]) {
    let mut prices = vec![0_u32; rules.len()];
    for place in order {
        let Some(rule) = rules.get_mut(*place) else { continue };
        let price = match &mut rule.check {
            Check::Meta(meta) => {
                let price = |place: &usize| prices.get(*place).copied().unwrap_or(0);
                meta.by_price = meta.links.iter().flatten().copied().collect();
                meta.by_price.sort_unstable_by_key(|place| (price(place), *place));
                meta.by_price.dedup();
                meta.by_price.iter().fold(1, |sum: u32, place| sum.saturating_add(price(place)))
            }
            Check::Pattern(check) => {
                of_pattern(texts.get(check.text).map(|rules| &rules.target), check.slot.is_some())
            }
            Check::Function(_) | Check::Template(_) => FUNCTION,
            Check::Exists(_) => 1,
            Check::Unavailable(_) | Check::Off(_) => 0,
        };
        if let Some(slot) = prices.get_mut(*place) {
            *slot = price;
        }
    }
}

/// The same for a pattern; `sifted`: where it may match is known before.
fn of_pattern(target: Option<&Target>, sifted: bool) -> u32 {
    match target {
        Some(Target::Header(_) | Target::MimeHeader(..)) | None => 1,
        Some(Target::Uri) => 8,
        Some(Target::Body | Target::RawBody | Target::Full) if sifted => 20,
        Some(Target::Body | Target::RawBody | Target::Full) => 60,
    }
}

/// Finds rules whose patterns are another's, more often: `(?:…){5}` beside `(?:…){3}`.
pub(super) fn find_implied(rules: &mut [Rule]) {
    let repeated = rules.iter().enumerate().filter_map(|(place, rule)| {
        let check = plain(rule).filter(|check| check.pattern.repeats())?;
        Some((place, rule.no_subject, check))
    });
    let repeated: Vec<_> = repeated.collect();
    let mut found = Vec::new();
    for (place, no_subject, check) in &repeated {
        let implied = repeated.iter().filter(|(_, other_no_subject, other)| {
            other.text == check.text
                && other_no_subject == no_subject
                && check.pattern.holds(&other.pattern)
        });
        // The least of them is implied by all others.
        let least = implied
            .reduce(|one, other| if one.2.pattern.holds(&other.2.pattern) { other } else { one });
        found.extend(least.map(|(least, ..)| (*place, *least)));
    }
    for (place, least) in found {
        if let Some(Check::Pattern(check)) = rules.get_mut(place).map(|rule| &mut rule.check) {
            check.implies = Some(least);
        }
    }
}

/// A pattern that hits where it matches, and that is asked whatever was learned.
fn plain(rule: &Rule) -> Option<&PatternCheck> {
    match &rule.check {
        Check::Pattern(check) => {
            let plain = !check.negated && check.unset.is_none() && !rule.scores.contains(&Score(0));
            plain.then_some(check.as_ref())
        }
        Check::Template(_)
        | Check::Exists(_)
        | Check::Meta(_)
        | Check::Function(_)
        | Check::Unavailable(_)
        | Check::Off(_) => None,
    }
}
