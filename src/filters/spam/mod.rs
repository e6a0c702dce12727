//! The spam score: SpamAssassin's rule language.
//!
//! Rules are read once ([`Engine::load`]) and never change after. A mail is rendered into a few texts; one pass over
//! each text for the literals that rules cannot do without tells which patterns are worth running, and only what the
//! score depends on is asked at all.
//!
//! What the language has and we do not is told at load, by name; nothing is dropped in silence.

pub mod bayes;
mod evals;
#[doc(hidden)]
pub mod fuzzing;
mod hunt;
mod left_out;
mod overlooked;
mod pattern;
mod relays;
mod rules;
mod run;
mod text;
mod values;
mod view;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use super::dns::{Answers, Wanted};
use super::{Mail, Mistake, NotRun, RuleFile, RuleHit, Score, Source};

pub use rules::{includes, shipped};
pub(crate) use text::{Glob, senders};

use bayes::Words;
use bayes::autolearn::Points;
use evals::Tables;
use overlooked::Overlooked;
use pattern::TextRules;
use rules::{Possible, Rule};

/// The name of the hit without points that tells that a mail was read as mail readers show it.
pub const READ_AS_SHOWN: &str = "READ_AS_SHOWN";

/// All rules, ready to run. Immutable; threads share it.
#[derive(Debug)]
pub struct Engine {
    /// In the order of their definition.
    rules: Vec<Rule>,
    /// Which of them a mail can hit.
    possible: Possible,
    by_name: HashMap<Arc<str>, usize>,
    /// The texts that rules look at, with the rules of each.
    texts: Vec<TextRules>,
    /// Rules that can change the score, in the order in which they are asked.
    scoring: Vec<usize>,
    /// Rules whose patterns catch what others look for.
    catchers: Vec<usize>,
    /// What other lines than those of rules became.
    tables: Tables,
}

/// What the rules say of a mail.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Rules that hit and have points, in the order of their definition; before them [`READ_AS_SHOWN`].
    pub hits: Vec<RuleHit>,
    /// Rules that could not be asked in time.
    pub not_run: Vec<NotRun>,
    /// The sum of all points.
    pub score: Score,
    /// The sum of the points over zero.
    pub positive: Score,
    /// The sum of the points under zero.
    pub negative: Score,
    /// The points as far as they may teach.
    pub learning: Points,
}

/// What the site lets rules ask. Points are fitted to it: `score NAME a b c d` gives those for the local rules alone
/// (`a`), with the network (`b`), with learned mail (`c`), and with both (`d`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Rules marked `net` are asked.
    pub network: bool,
    /// Rules marked `learn` are asked. Points for learned mail count once so much was learned that it is asked.
    pub learned: bool,
    /// Patterns that hold what other rules caught (`%{NAME}`) are asked. SpamAssassin's daemon keeps such a pattern as
    /// the first mail made it, so that it hits next to nothing there, and nobody's points were ever set for it.
    pub captures: bool,
}

impl Options {
    /// Which of the four points counts, from 0.
    fn set(self, learned: bool) -> usize {
        usize::from(self.network) + 2 * usize::from(learned && self.learned)
    }
}

/// A rule, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleInfo<'e> {
    /// Its name.
    pub name: &'e str,
    /// Its points.
    pub score: Score,
    /// What it means; empty if nobody said.
    pub describe: &'e str,
    /// Where it stands.
    pub source: &'e Source,
    /// Why it is never asked; `None`: it is.
    pub unavailable: Option<&'e str>,
}

impl Engine {
    /// Reads rule files in order and makes them ready; every mistake is collected. A mistake in one rule never stops
    /// the others: the engine holds whatever could be read.
    ///
    /// Files of one folder are one group (a file that another includes belongs to that one's). In a group,
    /// SpamAssassin's own ways hold: the lines of one rule may stand apart, the last one counts. A rule defined in a
    /// later group replaces that of an earlier one whole. `points` replace the score of single rules.
    #[must_use]
    pub fn load(files: &[RuleFile], points: &BTreeMap<String, Score>) -> (Self, Vec<Mistake>) {
        Self::load_for(files, points, Options::default())
    }

    /// The same with rules that ask the network, or what was learned.
    #[must_use]
    pub fn load_for(
        files: &[RuleFile],
        points: &BTreeMap<String, Score>,
        options: Options,
    ) -> (Self, Vec<Mistake>) {
        rules::build(rules::read(files, options.network), points, options)
    }

    /// Asks the rules about a mail, over its texts as SpamAssassin reads them. If that reading overlooks what mail readers
    /// show, they are asked again over what these show, and the reading with more points counts as a whole: then the
    /// first hit is [`READ_AS_SHOWN`], which has no points and says what was overlooked. When `deadline` has come, what was
    /// not asked is told in [`Outcome::not_run`].
    #[must_use]
    pub fn inspect(&self, mail: &Mail<'_>, deadline: Option<Instant>) -> Outcome {
        run::inspect(self, mail, deadline)
    }

    /// The words of a mail, to be learned: of the reading that shows most.
    #[must_use]
    pub fn words(&self, mail: &Mail<'_>) -> Words {
        let view = view::View::new(self, mail);
        let words = view.words();
        match Overlooked::of(&view) {
            Some(overlooked) => overlooked.view(self, mail, view).words(),
            None => words,
        }
    }

    /// True if so much was learned that it is asked.
    #[must_use]
    pub fn is_enough_learned(&self, totals: bayes::Totals) -> bool {
        self.tables.learning.is_enough(totals)
    }

    /// Asks every rule, those that only serve others too: all that hit, with the number of their hits. For comparisons
    /// with SpamAssassin: over the texts as it reads them; slower than [`Engine::inspect`], and without deadline.
    #[must_use]
    pub fn every_hit(&self, mail: &Mail<'_>) -> Vec<(Arc<str>, f64)> {
        run::every_hit(self, mail)
    }

    /// What must be asked of the DNS so that rules over lists can be answered, and is not among these answers. Some of it
    /// follows from answers: ask again with them, until nothing is left.
    #[must_use]
    pub fn questions(&self, mail: &Mail<'_>, answers: &Answers) -> Vec<Wanted> {
        let view = view::View::new(self, mail);
        let mut wanted = evals::dns::questions(&view, answers);
        if let Some(overlooked) = Overlooked::of(&view) {
            // There may be links that nobody has seen yet.
            let known: HashSet<Wanted> = wanted.iter().cloned().collect();
            let more = evals::dns::questions(&overlooked.view(self, mail, view), answers);
            wanted.extend(more.into_iter().filter(|one| !known.contains(one)));
        }
        wanted.retain(|one| answers.get(&one.question).is_none());
        wanted
    }

    /// Runs every rule's own examples: `test NAME ok TEXT` must hit, `test NAME fail TEXT` must not.
    ///
    /// What TEXT is depends on the rule: for `header` and `mimeheader` the field's value (for several fields, that of
    /// one), for `body` one or more words of a paragraph, for `uri` a link, for `rawbody` and `full` raw text. For a
    /// header rule on `ALL` it is whole fields with their names, for `exists:` a value, or nothing for "not there". For a
    /// `meta` it is the names of the rules that hit, with blanks between them; `NAME=2` for more than one hit. In
    /// values and raw text `\n`, `\t` and `\\` stand for a line end, a tab and a backslash.
    #[must_use]
    pub fn run_examples(&self) -> Vec<Mistake> {
        rules::run_examples(self)
    }

    /// The names of all rules, in the order of their definition.
    pub fn rule_names(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| &*rule.name)
    }

    /// How many rules there are.
    #[must_use]
    pub fn rule_count(&self) -> usize {
        self.rules.len()
    }

    /// What is known of the rule of that name.
    #[must_use]
    pub fn describe(&self, name: &str) -> Option<RuleInfo<'_>> {
        let rule = self.rules.get(*self.by_name.get(name)?)?;
        Some(RuleInfo {
            name: &rule.name,
            score: rule.score(false),
            describe: &rule.describe,
            source: &rule.source,
            unavailable: rule.unavailable(),
        })
    }
}

#[cfg(test)]
mod tests;
