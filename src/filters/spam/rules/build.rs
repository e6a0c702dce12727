//! The [`Book`] to the [`Engine`].

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::filters::spam::Engine;
use crate::filters::spam::evals::{self, Call, Tables, Uncallable};
use crate::filters::spam::pattern::{Pattern, Refusal, TextRules};
use crate::filters::spam::text::Target;
use crate::filters::{Mistake, Score, Severity, Source};

use super::book::{Book, Draft, Example, Question};
use super::expression::Program;

/// Hits of a rule that counts them, if its file sets no other limit.
const HITS_MAX: usize = 1_000;

/// A rule, ready to run.
#[derive(Debug)]
pub(in crate::filters::spam) struct Rule {
    pub(in crate::filters::spam) name: Arc<str>,
    pub(in crate::filters::spam) score: Score,
    pub(in crate::filters::spam) describe: Arc<str>,
    pub(in crate::filters::spam) source: Source,
    pub(in crate::filters::spam) check: Check,
    /// Hits that are counted; 1 unless the rule is `multiple`.
    pub(in crate::filters::spam) hits_max: usize,
    /// The subject does not count as body.
    pub(in crate::filters::spam) no_subject: bool,
    pub(in crate::filters::spam) examples: Vec<Example>,
    priority: i32,
}

/// How a rule is asked.
#[derive(Debug)]
pub(in crate::filters::spam) enum Check {
    Pattern(PatternCheck),
    /// Is the field there? The place of its text.
    Exists(usize),
    /// An expression, with the rule that each of its names means.
    Meta(Program, Vec<Option<usize>>),
    /// A function of [`evals`].
    Function(Call),
    /// It is never asked.
    Unavailable(String),
}

/// A pattern over a text.
#[derive(Debug)]
pub(in crate::filters::spam) struct PatternCheck {
    pub(in crate::filters::spam) text: usize,
    pub(in crate::filters::spam) pattern: Pattern,
    pub(in crate::filters::spam) negated: bool,
    pub(in crate::filters::spam) unset: Option<Vec<u8>>,
    /// Its place in the prefilter; `None`: every piece is looked at.
    pub(in crate::filters::spam) slot: Option<u32>,
}

impl Rule {
    /// Why it is never asked.
    pub(in crate::filters::spam) fn unavailable(&self) -> Option<&str> {
        match &self.check {
            Check::Unavailable(why) => Some(why),
            Check::Pattern(_) | Check::Exists(_) | Check::Meta(..) | Check::Function(_) => None,
        }
    }

    /// Rules whose name begins so serve others and have no points of their own.
    fn serves(&self) -> bool {
        self.name.starts_with("__")
    }
}

pub(in crate::filters::spam) fn build(
    mut book: Book,
    points: &BTreeMap<String, Score>,
) -> (Engine, Vec<Mistake>) {
    let mut builder = Builder::default();
    for name in std::mem::take(&mut book.order) {
        let Some(draft) = book.drafts.remove(&name) else { continue };
        builder.add(&name, draft, points, &mut book);
    }
    for name in points.keys().filter(|name| !builder.by_name.contains_key(name.as_str())) {
        book.mistakes.push(Mistake {
            file: "[spam] points".into(),
            line: 0,
            column: 0,
            what: format!("there is no rule `{name}`"),
            hint: String::new(),
            severity: Severity::Warning,
        });
    }
    builder.link(&mut book);
    builder.break_circles(&mut book);
    builder.sift();
    book.tell_repeated();
    let Builder { rules, by_name, texts, .. } = builder;
    let mut scoring: Vec<usize> = (0..rules.len())
        .filter(|place| {
            rules.get(*place).is_some_and(|rule| !rule.serves() && rule.score != Score(0))
        })
        .filter(|place| rules.get(*place).is_some_and(|rule| rule.unavailable().is_none()))
        .collect();
    scoring.sort_by_key(|place| rules.get(*place).map_or(0, |rule| rule.priority));
    let tables = Tables::read(&book.settings, &mut book.mistakes);
    let engine = Engine { rules, by_name, texts, scoring, tables };
    (engine, book.mistakes)
}

/// Why a rule cannot be asked.
enum Trouble {
    /// A piece of the language is not built; many rules may need it, so it is told once.
    Language(String),
    /// It is this rule's own.
    Rule(Refusal),
}

#[derive(Default)]
struct Builder {
    rules: Vec<Rule>,
    by_name: HashMap<Arc<str>, usize>,
    texts: Vec<TextRules>,
    places: HashMap<Target, usize>,
}

impl Builder {
    fn add(&mut self, name: &str, draft: Draft, points: &BTreeMap<String, Score>, book: &mut Book) {
        let Some(definition) = draft.definition else {
            if let Some(source) = &draft.score_source {
                let what = "a score is set for rules that are not there".to_owned();
                book.once(source, what, "", name);
            }
            return;
        };
        let source = definition.source;
        let flag = |wanted: &str| draft.flags.iter().any(|flag| flag == wanted);
        let default = match (name.starts_with("T_"), flag("nice")) {
            (true, false) => Score(10),
            (true, true) => Score(-10),
            (false, false) => Score(1_000),
            (false, true) => Score(-1_000),
        };
        let score = points.get(name).copied().or(draft.score).unwrap_or(default);
        let limit = draft.flags.iter().find_map(|flag| flag.strip_prefix("maxhits=")?.parse().ok());
        let check = match self.check(definition.question) {
            Ok(check) => check,
            Err(Trouble::Language(why)) => {
                book.once(&source, format!("{why}; these rules never hit"), "", name);
                Check::Unavailable(why)
            }
            Err(Trouble::Rule(Refusal::NotBuilt(why))) => {
                let what = format!("{name} {why}; not built yet, so it never hits");
                book.warning(&source, definition.column, what, "");
                Check::Unavailable(why.to_owned())
            }
            Err(Trouble::Rule(Refusal::Wrong(why))) => {
                book.error(&source, definition.column, format!("{name}: {why}"), "");
                Check::Unavailable(why)
            }
        };
        let name: Arc<str> = name.into();
        self.by_name.insert(Arc::clone(&name), self.rules.len());
        self.rules.push(Rule {
            name,
            score,
            describe: draft.describe.unwrap_or_default(),
            source,
            check,
            hits_max: if flag("multiple") { limit.unwrap_or(HITS_MAX).max(1) } else { 1 },
            no_subject: flag("nosubject"),
            examples: draft.examples,
            priority: draft.priority,
        });
    }

    fn check(&mut self, question: Question) -> Result<Check, Trouble> {
        Ok(match question {
            Question::Pattern { target, negated, unset, pattern, flags } => {
                let pattern = Pattern::compile(&pattern, &flags).map_err(Trouble::Rule)?;
                let text = self.text(target);
                Check::Pattern(PatternCheck { text, pattern, negated, unset, slot: None })
            }
            Question::Exists(target) => Check::Exists(self.text(target)),
            Question::Meta(text) => {
                let wrong = |why| Trouble::Rule(Refusal::Wrong(why));
                Check::Meta(Program::parse(&text).map_err(wrong)?, Vec::new())
            }
            Question::Function(call) => {
                Check::Function(evals::call(&call).map_err(|why| match why {
                    Uncallable::Unknown(name) => {
                        Trouble::Language(format!("`eval:{name}` is not built yet"))
                    }
                    Uncallable::Wrong(why) => Trouble::Rule(Refusal::Wrong(why)),
                })?)
            }
            Question::Link(text) => {
                Check::Function(evals::uri_detail(&text).map_err(Trouble::Rule)?)
            }
            Question::NotBuilt(why) => return Err(Trouble::Language(why)),
        })
    }

    fn text(&mut self, target: Target) -> usize {
        let texts = &mut self.texts;
        *self.places.entry(target).or_insert_with_key(|target| {
            texts.push(TextRules::new(target.clone()));
            texts.len() - 1
        })
    }

    /// Finds the rules that expressions name.
    fn link(&mut self, book: &mut Book) {
        for rule in &mut self.rules {
            if let Check::Meta(program, links) = &mut rule.check {
                *links = program
                    .names
                    .iter()
                    .map(|name| self.by_name.get(name.as_str()).copied())
                    .collect();
                for name in
                    program.names.iter().filter(|name| !self.by_name.contains_key(name.as_str()))
                {
                    let what =
                        "expressions name rules that are not there and count as 0".to_owned();
                    book.once(&rule.source, what, "", name);
                }
            }
        }
    }

    /// Expressions that depend on themselves have no value.
    fn break_circles(&mut self, book: &mut Book) {
        let links: Vec<Vec<usize>> = self
            .rules
            .iter()
            .map(|rule| match &rule.check {
                Check::Meta(_, links) => links.iter().flatten().copied().collect(),
                Check::Pattern(_)
                | Check::Exists(_)
                | Check::Function(_)
                | Check::Unavailable(_) => Vec::new(),
            })
            .collect();
        // Rules that wait for nothing are settled first, then those that wait only for settled ones (Kahn).
        let mut waits: Vec<usize> = links.iter().map(Vec::len).collect();
        let mut waiting: Vec<Vec<usize>> = vec![Vec::new(); links.len()];
        for (rule, needs) in links.iter().enumerate() {
            for need in needs {
                if let Some(list) = waiting.get_mut(*need) {
                    list.push(rule);
                }
            }
        }
        let mut settled: Vec<usize> = waits
            .iter()
            .enumerate()
            .filter(|(_, count)| **count == 0)
            .map(|(rule, _)| rule)
            .collect();
        while let Some(done) = settled.pop() {
            for rule in waiting.get(done).into_iter().flatten() {
                if let Some(count) = waits.get_mut(*rule) {
                    *count -= 1;
                    if *count == 0 {
                        settled.push(*rule);
                    }
                }
            }
        }
        for (rule, _) in self.rules.iter_mut().zip(&waits).filter(|(_, count)| **count > 0) {
            let what = format!("{} depends on itself", rule.name);
            book.error(&rule.source, 0, what.clone(), "");
            rule.check = Check::Unavailable(what);
        }
    }

    /// Builds the prefilter of each text.
    fn sift(&mut self) {
        for (place, text) in self.texts.iter_mut().enumerate() {
            let here = |rule: &Rule| match &rule.check {
                Check::Pattern(check) => {
                    check.text == place && !check.negated && check.unset.is_none()
                }
                Check::Exists(_) | Check::Meta(..) | Check::Function(_) | Check::Unavailable(_) => {
                    false
                }
            };
            let patterns: Vec<&Pattern> = self
                .rules
                .iter()
                .filter(|rule| here(rule))
                .filter_map(|rule| match &rule.check {
                    Check::Pattern(check) => Some(&check.pattern),
                    Check::Exists(_)
                    | Check::Meta(..)
                    | Check::Function(_)
                    | Check::Unavailable(_) => None,
                })
                .collect();
            let slots = text.sift(&patterns);
            for (rule, slot) in self.rules.iter_mut().filter(|rule| here(rule)).zip(slots) {
                if let Check::Pattern(check) = &mut rule.check {
                    check.slot = slot;
                }
            }
        }
    }
}
