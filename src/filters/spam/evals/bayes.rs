//! What was learned: `check_bayes(min, max)`.

use crate::filters::spam::bayes::Totals;
use crate::filters::spam::rules::Settings;
use crate::filters::spam::view::View;
use crate::filters::{Mistake, Severity};

use super::{Answer, Arguments, Call, Function};

pub(super) const KEYS: &[&str] =
    &["bayes_min_ham_num", "bayes_min_spam_num", "bayes_ignore_header"];

pub(super) const FUNCTIONS: &[Function] = &[("check_bayes", check)];

/// Mails of each class that must be learned before anything is said.
const LEARNED_MIN: u32 = 200;

/// How learned mail is asked.
#[derive(Debug)]
pub(in crate::filters::spam) struct Learning {
    /// So much must be learned before anything is said.
    pub(in crate::filters::spam) minimum: Totals,
    /// Fields of the header that are left out, in lower case.
    pub(in crate::filters::spam) ignored: Vec<String>,
}

impl Default for Learning {
    fn default() -> Self {
        let minimum = Totals { spam: LEARNED_MIN, ham: LEARNED_MIN };
        Self { minimum, ignored: Vec::new() }
    }
}

impl Learning {
    pub(super) fn read(settings: &Settings, mistakes: &mut Vec<Mistake>) -> Self {
        let mut learning = Self::default();
        for line in settings.of(KEYS) {
            if line.key == "bayes_ignore_header" {
                let names = line.text.split_ascii_whitespace();
                learning
                    .ignored
                    .extend(names.map(|name| name.trim_end_matches(':').to_lowercase()));
                continue;
            }
            let Ok(number) = line.text.trim().parse::<u32>() else {
                mistakes.push(Mistake {
                    file: line.source.file.clone(),
                    line: line.source.line,
                    column: 0,
                    what: format!("`{}` is no number of mails", line.text),
                    hint: format!("write for example {} {LEARNED_MIN}", line.key),
                    severity: Severity::Error,
                });
                continue;
            };
            match line.key.as_str() {
                "bayes_min_spam_num" => learning.minimum.spam = number.max(1),
                _ => learning.minimum.ham = number.max(1),
            }
        }
        learning
    }

    /// True if enough was learned.
    pub(in crate::filters::spam) fn is_enough(&self, totals: Totals) -> bool {
        totals.spam >= self.minimum.spam && totals.ham >= self.minimum.ham
    }
}

/// Hits if the chance of spam is over `min` (or `min` is 0) and at most `max`, as SpamAssassin has it.
fn check(arguments: &Arguments) -> Result<Call, String> {
    let min = arguments.number(0).ok_or("the lower border is missing, for example 0.99")?;
    let max = match arguments.text(1) {
        "undef" => None,
        _ => Some(arguments.number(1).ok_or("the upper border is missing, for example 1.00")?),
    };
    Ok(Call::new(move |view| answer(view, min, max)))
}

fn answer(view: &View<'_>, min: f64, max: Option<f64>) -> Answer {
    // That the store gave no answer is told once for the mail, not by each rule.
    let Ok(Some(opinion)) = view.opinion() else { return Answer::No };
    let over = min == 0.0 || opinion.chance > min;
    if !over || max.is_some_and(|max| opinion.chance > max) {
        return Answer::No;
    }
    Answer::Hit(format!("{:.4}: {}", opinion.chance, opinion.telling.join(", ")))
}
