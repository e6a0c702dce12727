//! From counts to a probability: Robinson's estimate for each word, Fisher's method over the most telling ones.
//!
//! Gary Robinson, "A Statistical Approach to the Spam Problem", Linux Journal 107, 2003.

use super::{Counts, Totals};

/// How much a word that was hardly seen counts for [`UNKNOWN`]. SpamAssassin takes 0.03: a word seen once then counts
/// nearly as much as one seen a hundred times, and what is new in a mail outweighs what is known. With 0.8 and
/// a distance of 0.1 instead of 0.03 and 0.346, twelve in a hundred more of the spam are beyond 0.99, and fewer of the
/// ham (ten random halves of 2,758 mails).
const STRENGTH: f64 = 0.8;
/// What is assumed of a word that was never seen.
const UNKNOWN: f64 = 0.45;
/// Words nearer to one half than this do not count.
const DISTANCE_MIN: f64 = 0.1;
/// Words that count.
const TELLING_MAX: usize = 150;

/// The probability that a mail with this word is spam; `None` if the word was never seen.
pub(super) fn word(counts: Counts, totals: Totals) -> Option<f64> {
    if counts.spam == 0 && counts.ham == 0 {
        return None;
    }
    let spam = f64::from(counts.spam) * f64::from(totals.ham);
    let ham = f64::from(counts.ham) * f64::from(totals.spam);
    if spam + ham <= 0.0 {
        return None;
    }
    let seen = f64::from(counts.spam) + f64::from(counts.ham);
    Some((STRENGTH * UNKNOWN + seen * (spam / (spam + ham))) / (STRENGTH + seen))
}

/// The most telling words, the most telling first: their place and probability.
pub(super) fn telling(counts: &[Counts], totals: Totals) -> Vec<(usize, f64)> {
    let mut all: Vec<(usize, f64)> = counts
        .iter()
        .enumerate()
        .filter_map(|(place, counts)| Some((place, word(*counts, totals)?)))
        .filter(|(_, chance)| (chance - 0.5).abs() >= DISTANCE_MIN)
        .collect();
    // The place decides between equals, so that one mail has one answer.
    all.sort_by(|a, b| (b.1 - 0.5).abs().total_cmp(&(a.1 - 0.5).abs()).then(a.0.cmp(&b.0)));
    all.truncate(TELLING_MAX);
    all
}

/// The probability that the mail is spam; `None` if no word tells anything.
pub(super) fn combine(telling: &[(usize, f64)], totals: Totals) -> Option<f64> {
    if telling.is_empty() || totals.spam == 0 || totals.ham == 0 {
        return None;
    }
    let all = f64::from(totals.spam) + f64::from(totals.ham);
    let mut spam = (f64::from(totals.spam) / all).ln();
    let mut ham = (f64::from(totals.ham) / all).ln();
    for (_, chance) in telling {
        spam += (1.0 - chance).ln();
        ham += chance.ln();
    }
    let spam = 1.0 - chi_squared(-spam, telling.len());
    let ham = 1.0 - chi_squared(-ham, telling.len());
    Some(((spam - ham) + 1.0) / 2.0)
}

/// The probability that a chi-squared value with twice `half` degrees of freedom is larger than twice `value`: the sum
/// of the terms value^i / i! · e^-value for i below `half`. Beyond 745 the first term is no number any more; so all
/// are taken as logarithms, relative to the largest.
fn chi_squared(value: f64, half: usize) -> f64 {
    let terms = || {
        let mut step = 0.0;
        let mut term = -value;
        (0..half.max(1)).map(move |index| {
            if index > 0 {
                step += 1.0;
                term += (value / step).ln();
            }
            term
        })
    };
    let largest = terms().fold(f64::NEG_INFINITY, f64::max);
    if !largest.is_finite() {
        return 1.0;
    }
    let sum: f64 = terms().map(|term| (term - largest).exp()).sum();
    (sum.ln() + largest).exp().min(1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TOTALS: Totals = Totals { spam: 1_000, ham: 1_000 };

    #[test]
    fn a_word_seen_in_spam_only_is_a_sign_of_spam() {
        for (spam, ham, low, high) in [
            (1, 0, 0.7, 0.8),
            (0, 1, 0.15, 0.25),
            (5, 5, 0.49, 0.51),
            (100, 0, 0.99, 1.0),
            (900, 100, 0.89, 0.91),
        ] {
            let chance = word(Counts { spam, ham, stale: false }, TOTALS).unwrap();
            assert!(low < chance && chance < high, "{spam}/{ham}: {chance}");
        }
        assert_eq!(word(Counts::default(), TOTALS), None);
        let odd = Totals { spam: 1_000, ham: 10 };
        assert!(
            word(Counts { spam: 10, ham: 1, stale: false }, odd).unwrap() < 0.2,
            "classes are weighed"
        );
    }

    #[test]
    fn many_signs_make_a_verdict_and_opposite_ones_none() {
        let of = |signs: &[(u32, u32)]| {
            let counts: Vec<Counts> = signs
                .iter()
                .map(|(spam, ham)| Counts { spam: *spam, ham: *ham, stale: false })
                .collect();
            combine(&telling(&counts, TOTALS), TOTALS)
        };
        assert!(of(&[(50, 0); 40]).unwrap() > 0.999);
        assert!(of(&[(0, 50); 40]).unwrap() < 0.001);
        let mixed = [[(50, 0); 40], [(0, 50); 40]].concat();
        assert!((of(&mixed).unwrap() - 0.5).abs() < 0.01);
        assert_eq!(of(&[(5, 5)]), None);
        assert!(of(&[(1_000_000, 0); 500]).unwrap() > 0.999);
    }

    proptest! {
        #[test]
        fn every_answer_is_a_probability(
            counts in proptest::collection::vec((0_u32..2_000, 0_u32..2_000), 0..300),
            spam in 1_u32..5_000, ham in 1_u32..5_000,
        ) {
            let counts: Vec<Counts> = counts.into_iter().map(|(spam, ham)| Counts { spam, ham, stale: false }).collect();
            let totals = Totals { spam, ham };
            if let Some(chance) = combine(&telling(&counts, totals), totals) {
                prop_assert!((0.0..=1.0).contains(&chance), "{}", chance);
            }
        }
    }
}
