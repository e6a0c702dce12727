//! Patterns that need not be looked for if another one is not there: `(?:…){5}` beside `(?:…){3}`.

use crate::filters::Score;

use super::build::{Check, PatternCheck, Rule};

/// Finds rules whose patterns are another's, more often, and tells them of it.
pub(super) fn find(rules: &mut [Rule]) {
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
