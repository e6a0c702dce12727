//! The [`Book`] to the [`Engine`].

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::filters::spam::bayes::autolearn::{Area, Share};
use crate::filters::spam::evals::{self, Call, Tables, Uncallable};
use crate::filters::spam::pattern::{Pattern, Refusal, TextRules};
use crate::filters::spam::text::{Scope, Target};
use crate::filters::spam::{Engine, Options};
use crate::filters::{Mistake, Score, Severity, Source};

use super::book::{Book, Draft, Example, Question};
use super::expression::Program;
use super::implied;
use super::possible::{self, Possible};
use super::replace::Tags;
use super::template::{self, Template};

/// Hits of a rule that counts them, if its file sets no other limit.
const HITS_MAX: usize = 1_000;

/// A rule, ready to run.
#[derive(Debug)]
pub(in crate::filters::spam) struct Rule {
    pub(in crate::filters::spam) name: Arc<str>,
    /// Its points without and with learned mail.
    pub(super) scores: [Score; 2],
    pub(in crate::filters::spam) describe: Arc<str>,
    pub(in crate::filters::spam) source: Source,
    pub(in crate::filters::spam) check: Check,
    /// Hits that are counted; 1 unless the rule is `multiple`.
    pub(in crate::filters::spam) hits_max: usize,
    /// The subject does not count as body.
    pub(in crate::filters::spam) no_subject: bool,
    pub(in crate::filters::spam) examples: Vec<Example>,
    priority: i32,
    /// What its points count for when verdicts teach.
    pub(in crate::filters::spam) share: Share,
}

/// How a rule is asked.
#[derive(Debug)]
pub(in crate::filters::spam) enum Check {
    Pattern(Box<PatternCheck>),
    /// Is the field there? The place of its text.
    Exists(usize),
    /// An expression over other rules.
    Meta(Meta),
    /// A pattern that holds what other rules catch.
    Template(Template),
    /// A function of [`evals`].
    Function(Call),
    /// It is never asked: it cannot be.
    Unavailable(String),
    /// It is never asked, as the site wants it.
    Off(&'static str),
}

/// An expression, with the rules that each of its names means.
#[derive(Debug)]
pub(in crate::filters::spam) struct Meta {
    pub(in crate::filters::spam) program: Program,
    /// For each name the rules whose values are added; none: there is no such rule.
    pub(in crate::filters::spam) links: Vec<Vec<usize>>,
    /// For each name its rule, if it is one alone.
    pub(in crate::filters::spam) one: Vec<Option<u32>>,
    /// Rules without which it cannot hit.
    pub(in crate::filters::spam) needs: Vec<usize>,
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
    /// A rule that hits wherever this one does, and costs less.
    pub(in crate::filters::spam) implies: Option<usize>,
}

impl Rule {
    /// Why it is never asked.
    pub(in crate::filters::spam) fn unavailable(&self) -> Option<&str> {
        match &self.check {
            Check::Unavailable(why) => Some(why),
            Check::Off(why) => Some(why),
            Check::Pattern(_)
            | Check::Template(_)
            | Check::Exists(_)
            | Check::Meta(_)
            | Check::Function(_) => None,
        }
    }

    /// Its points; more may be known of a mail if others like it were learned.
    pub(in crate::filters::spam) fn score(&self, learned: bool) -> Score {
        let [alone, with_learned] = self.scores;
        if learned { with_learned } else { alone }
    }

    /// It may have points.
    fn counts(&self) -> bool {
        self.scores != [Score(0); 2]
    }

    /// Rules whose name begins so serve others and have no points of their own.
    fn serves(&self) -> bool {
        self.name.starts_with("__")
    }
}

impl Engine {
    /// Where the rules look that an expression is made of.
    pub(in crate::filters::spam) fn areas_below<'e>(
        &'e self,
        rule: &'e Rule,
    ) -> impl Iterator<Item = Area> + 'e {
        let links = match &rule.check {
            Check::Meta(meta) => meta.links.as_slice(),
            Check::Pattern(_)
            | Check::Template(_)
            | Check::Exists(_)
            | Check::Function(_)
            | Check::Unavailable(_)
            | Check::Off(_) => &[],
        };
        links.iter().flatten().filter_map(|place| Some(self.rules.get(*place)?.share.area))
    }
}

pub(in crate::filters::spam) fn build(
    mut book: Book,
    points: &BTreeMap<String, Score>,
    options: Options,
) -> (Engine, Vec<Mistake>) {
    let mut builder =
        Builder { options, tags: std::mem::take(&mut book.tags), ..Builder::default() };
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
    let order = builder.break_circles(&mut book);
    builder.drop_unanswered();
    implied::find(&mut builder.rules);
    book.tell_repeated();
    let rules = &builder.rules;
    let mut scoring: Vec<usize> = (0..rules.len())
        .filter(|place| rules.get(*place).is_some_and(|rule| !rule.serves() && rule.counts()))
        .filter(|place| rules.get(*place).is_some_and(|rule| rule.unavailable().is_none()))
        .collect();
    scoring.sort_by_key(|place| rules.get(*place).map_or(0, |rule| rule.priority));
    let in_use = possible::in_use(rules, &scoring);
    builder.sift(&in_use);
    let Builder { rules, by_name, texts, .. } = builder;
    let catchers =
        (0..rules.len()).filter(|place| rules.get(*place).is_some_and(possible::catches)).collect();
    let tables = Tables::read(&book.settings, &mut book.mistakes);
    let possible = Possible::new(&rules, &texts, &order, &in_use);
    let engine = Engine { rules, possible, by_name, texts, scoring, catchers, tables };
    (engine, book.mistakes)
}

/// Why a rule cannot be asked.
enum Trouble {
    /// A piece of the language is not built; many rules may need it, so it is told once.
    Language(String),
    /// It is this rule's own.
    Rule(Refusal),
}

/// The question of a rule about parts with what its flags say of them: `range=2-3`, `concat`. False if they mean nothing.
fn scoped(question: Question, flags: &[String]) -> (Question, bool) {
    let range = flags.iter().find_map(|flag| Scope::range(flag.strip_prefix("range=")?));
    let concat = flags.iter().any(|flag| flag == "concat");
    match question {
        Question::Pattern {
            target: Target::MimeHeader(selector, _),
            mut place,
            negated,
            unset,
            pattern,
            flags,
        } => {
            let (first, last) = range.unwrap_or((1, usize::MAX));
            match (first, last) {
                (..=1, usize::MAX) => {}
                (first, usize::MAX) => place.push_str(&format!(" from part {first} on")),
                (first, last) => place.push_str(&format!(" of parts {first} to {last}")),
            }
            let joined = concat.then(|| unset.clone().unwrap_or_default());
            let target = Target::MimeHeader(selector, Scope { first, last, joined });
            (Question::Pattern { target, place, negated, unset, pattern, flags }, true)
        }
        other @ (Question::Pattern { .. }
        | Question::Exists(..)
        | Question::Meta(_)
        | Question::Function(_)
        | Question::Nothing
        | Question::Link(_)
        | Question::NotBuilt(_)) => (other, range.is_none() && !concat),
    }
}

#[derive(Default)]
struct Builder {
    options: Options,
    tags: Tags,
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
        let said =
            |learned| draft.score.and_then(|scores| scores.get(self.options.set(learned)).copied());
        let own = points.get(name).copied();
        let scores = [false, true].map(|learned| own.or(said(learned)).unwrap_or(default));
        if let Question::Function(call) = &definition.question
            && (scores != [Score(0); 2] || name.starts_with("__"))
        {
            evals::dns::note(&mut book.settings, &draft.flags, call, &source);
        }
        let limit = draft.flags.iter().find_map(|flag| flag.strip_prefix("maxhits=")?.parse().ok());
        let asks = matches!(definition.question, Question::Function(..));
        let (question, scoped) = scoped(definition.question, &draft.flags);
        if !scoped {
            let what =
                format!("{name}: `range` and `concat` mean something for mimeheader rules only");
            book.warning(&source, definition.column, what, "take them out of its tflags");
        }
        let check = match self.check(name, question) {
            _ if asks && flag("net") && !self.options.network => {
                Check::Off("the network is not asked")
            }
            _ if asks && flag("learn") && !self.options.learned => Check::Off("nothing is learned"),
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
            scores,
            describe: draft.describe.unwrap_or_default(),
            source,
            check,
            hits_max: if flag("multiple") { limit.unwrap_or(HITS_MAX).max(1) } else { 1 },
            no_subject: flag("nosubject"),
            examples: draft.examples,
            priority: draft.priority,
            share: Share::new(definition.area, &draft.flags),
        });
    }

    fn check(&mut self, name: &str, question: Question) -> Result<Check, Trouble> {
        Ok(match question {
            Question::Pattern { target, place, negated, unset, mut pattern, mut flags } => {
                let of_mail = !matches!(target, Target::MimeHeader(..));
                if of_mail && let Some(replaced) = self.tags.applied(name, &pattern, &flags) {
                    pattern = replaced;
                    flags.clear();
                }
                let text = self.text(target, place);
                if of_mail && template::is_template(&pattern) {
                    if !self.options.captures {
                        return Ok(Check::Off("it holds what other rules caught (spam.captures)"));
                    }
                    return Ok(Check::Template(Template { text, negated, pattern, flags }));
                }
                let pattern = Pattern::compile(&pattern, &flags).map_err(Trouble::Rule)?;
                let implies = None;
                let check = PatternCheck { text, pattern, negated, unset, slot: None, implies };
                Check::Pattern(Box::new(check))
            }
            Question::Exists(target, place) => Check::Exists(self.text(target, place)),
            Question::Meta(text) => {
                let wrong = |why| Trouble::Rule(Refusal::Wrong(why));
                let program = Program::parse(&text).map_err(wrong)?;
                Check::Meta(Meta { program, links: Vec::new(), one: Vec::new(), needs: Vec::new() })
            }
            Question::Function(call) => {
                Check::Function(evals::call(&call).map_err(|why| match why {
                    Uncallable::Unknown(name) => {
                        Trouble::Language(format!("`eval:{name}` is not built yet"))
                    }
                    Uncallable::Wrong(why) => Trouble::Rule(Refusal::Wrong(why)),
                })?)
            }
            Question::Nothing => Check::Off("it is only a name"),
            Question::Link(text) => {
                Check::Function(evals::uri_detail(&text).map_err(Trouble::Rule)?)
            }
            Question::NotBuilt(why) => return Err(Trouble::Language(why)),
        })
    }

    fn text(&mut self, target: Target, name: String) -> usize {
        let texts = &mut self.texts;
        *self.places.entry(target).or_insert_with_key(|target| {
            texts.push(TextRules::new(target.clone(), name));
            texts.len() - 1
        })
    }

    /// Finds the rules that expressions name.
    fn link(&mut self, book: &mut Book) {
        let names: Vec<Arc<str>> = self.rules.iter().map(|rule| Arc::clone(&rule.name)).collect();
        for rule in &mut self.rules {
            let Check::Meta(meta) = &mut rule.check else { continue };
            for name in &meta.program.names {
                if let Some(glob) = matching(name) {
                    let fits = |place: &usize| {
                        names
                            .get(*place)
                            .is_some_and(|other| *other != rule.name && fits(glob, other))
                    };
                    meta.links.push((0..names.len()).filter(fits).collect());
                    continue;
                }
                let link = self.by_name.get(name.as_str()).copied();
                if link.is_none() {
                    let what =
                        "expressions name rules that are not there and count as 0".to_owned();
                    book.once(&rule.source, what, "", name);
                }
                meta.links.push(link.into_iter().collect());
            }
            let one = |links: &Vec<usize>| match links.as_slice() {
                [place] => u32::try_from(*place).ok(),
                _ => None,
            };
            meta.one = meta.links.iter().map(one).collect();
            let needs = meta.program.needs.iter().filter_map(|name| meta.links.get(*name));
            meta.needs = needs
                .filter_map(|links| links.first().filter(|_| links.len() == 1))
                .copied()
                .collect();
        }
    }

    /// An expression that names another one of no points never gets its value in SpamAssassin, whatever else it says:
    /// it waits for that value, which never comes. Nor do those that name it. Rule files are written with this, so it
    /// is the same here.
    fn drop_unanswered(&mut self) {
        let mut silent: HashSet<usize> = HashSet::new();
        let mut open: Vec<usize> = Vec::new();
        let mut named_by: HashMap<usize, Vec<usize>> = HashMap::new();
        for (place, rule) in self.rules.iter().enumerate() {
            let Check::Meta(meta) = &rule.check else { continue };
            if !rule.counts() {
                open.push(place);
            }
            for link in meta.links.iter().flatten() {
                named_by.entry(*link).or_default().push(place);
            }
        }
        while let Some(place) = open.pop() {
            for name in named_by.get(&place).into_iter().flatten() {
                if silent.insert(*name) {
                    open.push(*name);
                }
            }
        }
        for (_, rule) in
            self.rules.iter_mut().enumerate().filter(|(place, _)| silent.contains(place))
        {
            rule.check = Check::Off("it names an expression of no points");
        }
    }

    /// Expressions that depend on themselves have no value. Gives the others in an order in which each stands behind
    /// what it names.
    fn break_circles(&mut self, book: &mut Book) -> Vec<usize> {
        let links: Vec<Vec<usize>> = self
            .rules
            .iter()
            .map(|rule| match &rule.check {
                Check::Meta(meta) => meta.links.iter().flatten().copied().collect(),
                Check::Pattern(_)
                | Check::Template(_)
                | Check::Exists(_)
                | Check::Function(_)
                | Check::Unavailable(_)
                | Check::Off(_) => Vec::new(),
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
        let mut order = Vec::with_capacity(links.len());
        while let Some(done) = settled.pop() {
            order.push(done);
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
        order
    }

    /// Builds the prefilter of each text.
    fn sift(&mut self, in_use: &[bool]) {
        for (place, text) in self.texts.iter_mut().enumerate() {
            // "Nothing found, no match" says nothing where something else stands in for what is not there.
            let here = |check: &PatternCheck| check.text == place && check.unset.is_none();
            let checks = self.rules.iter_mut().zip(in_use).filter_map(|(rule, in_use)| {
                match &mut rule.check {
                    Check::Pattern(check) => Some((check.as_mut(), *in_use)),
                    Check::Template(_)
                    | Check::Exists(_)
                    | Check::Meta(_)
                    | Check::Function(_)
                    | Check::Unavailable(_)
                    | Check::Off(_) => None,
                }
            });
            let checks: Vec<(&mut PatternCheck, bool)> =
                checks.filter(|(check, _)| here(check)).collect();
            let in_all = checks.len();
            let used = checks.into_iter().filter(|(_, in_use)| *in_use);
            let mut checks: Vec<&mut PatternCheck> = used.map(|(check, _)| check).collect();
            let usual = text.usual();
            checks.iter_mut().for_each(|check| check.pattern.make_windows(usual));
            let patterns: Vec<&Pattern> = checks.iter().map(|check| &check.pattern).collect();
            let slots = text.sift(&patterns, in_all);
            for (check, slot) in checks.iter_mut().zip(slots) {
                check.slot = slot;
            }
        }
    }
}

/// The names that `rules_matching(…)` means.
fn matching(name: &str) -> Option<&str> {
    name.strip_prefix("rules_matching(")?.strip_suffix(')')
}

/// Whether a name fits: `*` stands for any characters, `?` for one.
fn fits(glob: &str, name: &str) -> bool {
    let (glob, name) = (glob.as_bytes(), name.as_bytes());
    let (mut at, mut in_name) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(octet) = name.get(in_name) {
        match glob.get(at) {
            Some(b'*') => {
                star = Some((at, in_name));
                at += 1;
            }
            Some(wanted) if *wanted == b'?' || wanted == octet => {
                at += 1;
                in_name += 1;
            }
            _ => match &mut star {
                Some((place, taken)) => {
                    *taken += 1;
                    (at, in_name) = (*place + 1, *taken);
                }
                None => return false,
            },
        }
    }
    glob.get(at..).is_some_and(|rest| rest.iter().all(|octet| *octet == b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_stand_for_names() {
        for (glob, name, want) in [
            ("A_*", "A_B", true),
            ("A_*", "A_", true),
            ("*_B", "A_A_B", true),
            ("A?C", "ABC", true),
            ("A?C", "AC", false),
            ("A", "AB", false),
            ("*A*B*", "xAyBz", true),
            ("*A*B*", "xByAz", false),
        ] {
            assert_eq!(fits(glob, name), want, "{glob} {name}");
        }
    }
}
