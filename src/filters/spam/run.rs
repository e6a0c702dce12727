//! Asking the rules about one mail.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use crate::filters::{Mail, NotRun, RuleHit, Score, Source, Weight};

use super::evals::Answer;
use super::hunt::Hunt;
use super::left_out;
use super::overlooked::Overlooked;
use super::pattern::{Candidates, Machine, Passes, Pattern, Places};
use super::rules::{Check, Meta, PatternCheck, Rule, Template};
use super::text::{Segments, Target};
use super::values::Values;
use super::view::View;
use super::{Engine, Outcome, READ_AS_SHOWN};

/// Characters of evidence.
const EVIDENCE_MAX: usize = 200;
/// Rules without an answer that are named one by one.
const NAMED_MAX: usize = 10;
/// Steps that one rule may take for one mail: some ten milliseconds.
const RULE_STEPS: u64 = 4_000_000;
/// The same where nobody waits.
const PATIENT_STEPS: u64 = 50 * RULE_STEPS;
/// Steps that all rules together may take for one mail.
const MAIL_STEPS: u64 = 40_000_000;
/// Steps that a rule may take once the mail's are used up: enough for all but the hardest.
const LAST_STEPS: u64 = 40_000;
/// Texts of one name that are kept, and octets of each, for patterns that hold what others have caught.
const CAUGHT_MAX: usize = 32;
const CAUGHT_OCTETS_MAX: usize = 1_000;

pub(super) fn inspect(engine: &Engine, mail: &Mail<'_>, deadline: Option<Instant>) -> Outcome {
    let mut run = Run::new(View::new(engine, mail));
    let first = run.inspect(deadline);
    let Some(overlooked) = Overlooked::of(&run.view) else { return first };
    let left = run.steps;
    // What was made of the parts is used again; all else of the first reading goes, so that a large mail is not held twice.
    let mut again = Run::new(overlooked.view(engine, mail, run.view));
    again.steps = left;
    worse(first, again.inspect(deadline), &overlooked)
}

/// Only the first reading, for comparison.
pub(super) fn first_reading(engine: &Engine, mail: &Mail<'_>) -> Outcome {
    Run::new(View::new(engine, mail)).inspect(None)
}

/// Of two readings of one mail the one with more points, and what was left out in either.
fn worse(first: Outcome, second: Outcome, overlooked: &Overlooked<'_>) -> Outcome {
    let wins = second.score > first.score;
    let (mut outcome, other) = if wins { (second, first) } else { (first, second) };
    for missing in other.not_run {
        if !outcome.not_run.iter().any(|known| known.check == missing.check) {
            outcome.not_run.push(missing);
        }
    }
    if wins {
        let describe = "Text that mail readers show is no text in SpamAssassin's reading; these are the hits with it";
        let note = RuleHit {
            name: READ_AS_SHOWN.into(),
            score: Score(0),
            describe: describe.into(),
            evidence: clean(overlooked.told().as_bytes()),
            place: String::new(),
            source: Source { file: "filters/spam".into(), line: 0 },
        };
        outcome.hits.insert(0, note);
    }
    outcome
}

impl Run<'_> {
    fn inspect(&mut self, deadline: Option<Instant>) -> Outcome {
        let engine = self.engine;
        let mut outcome = Outcome::default();
        let mut hits = Vec::new();
        let late = || deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if !late() {
            self.open_possible();
        }
        let mut scoring = engine.scoring.iter();
        while let Some(place) = scoring.next() {
            if self.values.get(*place) == Some(0.0) {
                continue;
            }
            if late() {
                let left = std::iter::once(place).chain(scoring).copied();
                let left = left.filter(|place| self.values.get(*place) != Some(0.0));
                outcome.not_run = not_run(engine, &left.collect::<Vec<_>>());
                break;
            }
            if self.settle(*place) != 0.0 {
                hits.push(*place);
            }
        }
        outcome.not_run.extend(without_answer(engine, &std::mem::take(&mut self.not_run)));
        outcome.not_run.extend(left_out::of(&self.view));
        if let Some(why) = self.view.learned_is_silent() {
            let why = why.to_owned();
            outcome.not_run.push(NotRun {
                check: "spam:bayes".to_owned(),
                why,
                weight: Weight::Wanted,
            });
        }
        hits.sort_unstable();
        for place in hits {
            let Some(rule) = engine.rules.get(place) else { continue };
            let score = rule.score(self.learned);
            outcome.score += score;
            outcome.learning.add(rule.share, score, engine.areas_below(rule));
            if score > Score(0) {
                outcome.positive += score;
            } else {
                outcome.negative += score;
            }
            let (place, evidence) = self.evidence(rule);
            outcome.hits.push(RuleHit {
                name: rule.name.clone(),
                score,
                describe: rule.describe.clone(),
                evidence: clean(&evidence),
                place,
                source: rule.source.clone(),
            });
        }
        outcome
    }
}

/// All rules that hit, with the number of their hits, in the order of their definition.
pub(super) fn every_hit(engine: &Engine, mail: &Mail<'_>) -> Vec<(Arc<str>, f64)> {
    let mut run = Run::new(View::new(engine, mail));
    run.open_possible();
    engine.possible.open_idle(run.learned, &mut run.values);
    run.ask_all()
}

/// The same, asking those too that cannot hit.
#[cfg(test)]
pub(super) fn every_hit_of_all(engine: &Engine, mail: &Mail<'_>) -> Vec<(Arc<str>, f64)> {
    Run::new(View::new(engine, mail)).ask_all()
}

/// What a named group of rules catches in a mail, for those who must know before the rules are asked.
pub(super) fn caught(engine: &Engine, mail: &Mail<'_>, name: &str) -> Vec<String> {
    let mut run = Run::new(View::new(engine, mail));
    run.catch();
    let values = run.caught.get(name).into_iter().flatten();
    values.map(|value| String::from_utf8_lossy(value).into_owned()).collect()
}

/// Rules that were asked and gave no answer: the mail is judged without them.
fn without_answer(engine: &Engine, silent: &[(usize, String)]) -> Vec<NotRun> {
    let told = silent.iter().take(NAMED_MAX).filter_map(|(place, why)| {
        let check = format!("spam:{}", engine.rules.get(*place)?.name);
        Some(NotRun { check, why: why.clone(), weight: Weight::Wanted })
    });
    let mut out: Vec<NotRun> = told.collect();
    if let Some((_, why)) = silent.get(NAMED_MAX) {
        let check = format!("spam: {} more rules", silent.len() - NAMED_MAX);
        out.push(NotRun { check, why: why.clone(), weight: Weight::Wanted });
    }
    out
}

fn not_run(engine: &Engine, left: &[usize]) -> Vec<NotRun> {
    let missing = |check: String| NotRun {
        check,
        why: "the time for this mail was up".to_owned(),
        // A rule that was not asked in time is a check without an answer: the mail is not clean for the lack of it.
        weight: Weight::Required,
    };
    let names = left.iter().filter_map(|place| engine.rules.get(*place)).take(NAMED_MAX);
    let mut out: Vec<NotRun> = names.map(|rule| missing(format!("spam:{}", rule.name))).collect();
    if left.len() > NAMED_MAX {
        out.push(missing(format!("spam: {} more rules", left.len() - NAMED_MAX)));
    }
    out
}

/// One line for people: control characters become blanks.
fn clean(octets: &[u8]) -> String {
    let near = octets.get(..EVIDENCE_MAX * 4).unwrap_or(octets);
    let text = String::from_utf8_lossy(near);
    let letters = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
    letters.take(EVIDENCE_MAX).collect::<String>().trim().to_owned()
}

/// What is known so far. Texts are made when the first rule asks for them.
pub(super) struct Run<'r> {
    engine: &'r Engine,
    view: View<'r>,
    /// So much was learned that its points count.
    learned: bool,
    values: Values,
    /// Rules that gave no answer, with the reason.
    not_run: Vec<(usize, String)>,
    texts: Vec<Option<(Segments, Candidates)>>,
    passes: Passes,
    machine: Machine,
    /// Steps that one rule may take.
    share: u64,
    /// Steps that are left for this mail.
    steps: u64,
    /// For expressions, to be used again.
    stack: Vec<f64>,
    /// For rules that wait for others, to be used again.
    waiting: Vec<usize>,
    /// What the named groups of rules caught.
    caught: BTreeMap<String, Vec<Vec<u8>>>,
}

impl<'r> Run<'r> {
    fn new(view: View<'r>) -> Self {
        let (engine, learned) = (view.engine, view.is_learned());
        let texts = std::iter::repeat_with(|| None).take(engine.texts.len()).collect();
        let values = engine.possible.table(learned).all().clone();
        Self {
            engine,
            learned,
            view,
            values,
            not_run: Vec::new(),
            texts,
            passes: Passes::default(),
            machine: Machine::new(0),
            share: RULE_STEPS,
            steps: MAIL_STEPS,
            stack: Vec::new(),
            waiting: Vec::new(),
            caught: BTreeMap::new(),
        }
    }

    fn ask_all(mut self) -> Vec<(Arc<str>, f64)> {
        // Here nobody waits, and every rule is asked: none may run short of steps because others went before, or
        // because no window tells where to look.
        (self.steps, self.share) = (u64::MAX, PATIENT_STEPS);
        let engine = self.engine;
        let hit = |(place, rule): (usize, &Rule)| {
            let value = self.settle(place);
            (value != 0.0).then(|| (rule.name.clone(), value))
        };
        engine.rules.iter().enumerate().filter_map(hit).collect()
    }

    /// Leaves only those rules open that can hit this mail.
    fn open_possible(&mut self) {
        let engine = self.engine;
        let table = engine.possible.table(self.learned);
        let mut values = table.always().clone();
        for place in engine.possible.texts(self.view.header()) {
            if !table.is_idle(place) {
                table.open_text(place, &self.text(place).1, &mut values);
            }
        }
        table.open_expressions(&mut values);
        self.values = values;
    }

    /// The value of a rule. Expressions that need others wait on a stack: no recursion, however long the chain.
    fn settle(&mut self, wanted: usize) -> f64 {
        let first = match self.ask(wanted) {
            Ok(value) => return value,
            Err(first) => first,
        };
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.extend([wanted, first]);
        while let Some(place) = waiting.last().copied() {
            match self.ask(place) {
                Ok(_) => {
                    waiting.pop();
                }
                Err(first) => waiting.push(first),
            }
        }
        self.waiting = waiting;
        self.values.get(wanted).unwrap_or(0.0)
    }

    /// Settles a rule, or gives the expression that must be settled before.
    fn ask(&mut self, place: usize) -> Result<f64, usize> {
        if let Some(value) = self.values.get(place) {
            return Ok(value);
        }
        let value = match self.engine.rules.get(place) {
            Some(rule) => self.value(place, rule)?,
            None => 0.0,
        };
        self.values.set(place, value);
        Ok(value)
    }

    fn value(&mut self, place: usize, rule: &Rule) -> Result<f64, usize> {
        Ok(match &rule.check {
            Check::Meta(meta) => self.expression(meta)?,
            Check::Pattern(check) if self.implied_is_silent(check) => 0.0,
            Check::Pattern(check) => self.pattern(place, rule, check),
            Check::Template(template) => self.template(place, rule, template),
            Check::Exists(text) => {
                let (segments, _) = self.text(*text);
                f64::from(u8::from((0..segments.len()).any(|index| !segments.get(index).1)))
            }
            Check::Function(call) => match call.ask(&self.view) {
                Answer::No => 0.0,
                Answer::Hit(_) => 1.0,
                Answer::NotRun(why) => {
                    self.not_run.push((place, why));
                    0.0
                }
            },
            Check::Unavailable(_) | Check::Off(_) => 0.0,
        })
    }

    fn expression(&mut self, meta: &Meta) -> Result<f64, usize> {
        if meta.needs.iter().any(|need| self.values.get(*need) == Some(0.0)) {
            return Ok(0.0);
        }
        let mut stack = std::mem::take(&mut self.stack);
        let value = meta.program.run_on(&mut stack, |name| {
            if let Some(Some(place)) = meta.one.get(name) {
                return self.operand(*place as usize);
            }
            let links = meta.links.get(name).map_or(&[][..], Vec::as_slice);
            links.iter().try_fold(0.0, |sum, link| self.operand(*link).map(|value| sum + value))
        });
        self.stack = stack;
        // A hit always counts for something, even if the sum is under zero.
        value.map(|value| if value < 0.0 { 1.0 } else { value })
    }

    fn operand(&mut self, place: usize) -> Result<f64, usize> {
        if let Some(value) = self.values.get(place) {
            return Ok(value);
        }
        match self.engine.rules.get(place) {
            Some(rule) if matches!(rule.check, Check::Meta(_)) => Err(place),
            _ => self.ask(place),
        }
    }

    fn text(&mut self, place: usize) -> &(Segments, Candidates) {
        static NOTHING: std::sync::LazyLock<(Segments, Candidates)> =
            std::sync::LazyLock::new(Default::default);
        let (Some(slot), Some(rules)) = (self.texts.get_mut(place), self.engine.texts.get(place))
        else {
            return &NOTHING;
        };
        let (view, passes) = (&self.view, &mut self.passes);
        slot.get_or_insert_with(|| {
            let text = rules.target.text(view);
            let candidates = rules.candidates(&text, passes);
            (text, candidates)
        })
    }

    /// Whether a rule that hits wherever this one does has an answer, and did not hit.
    fn implied_is_silent(&mut self, check: &PatternCheck) -> bool {
        let Some(implied) = check.implies else { return false };
        self.ask(implied) == Ok(0.0) && !self.not_run.iter().any(|(place, _)| *place == implied)
    }

    fn pattern(&mut self, place: usize, rule: &Rule, check: &PatternCheck) -> f64 {
        let mut machine = std::mem::take(&mut self.machine);
        machine.left = self.share.min(self.steps).max(LAST_STEPS);
        let given = machine.left;
        let mut caught = Vec::new();
        let target = self.engine.texts.get(check.text).map(|rules| &rules.target);
        let (text, candidates) = self.text(check.text);
        let places = check.slot.and_then(|slot| candidates.get(slot));
        let count = count(rule, check, (target, text, places), &mut machine, |piece, machine| {
            for (name, range) in check.pattern.named(machine) {
                caught.push((name.to_owned(), piece.get(range).unwrap_or_default().to_vec()));
            }
        });
        self.steps = self.steps.saturating_sub(given - machine.left);
        if machine.left == 0 && count < rule.hits_max {
            self.not_run.push((place, "it took more than its share of time".to_owned()));
        }
        self.machine = machine;
        for (name, value) in caught {
            let values = self.caught.entry(name).or_default();
            let fits = !value.is_empty() && value.len() <= CAUGHT_OCTETS_MAX;
            if fits && values.len() < CAUGHT_MAX && !values.contains(&value) {
                values.push(value);
            }
        }
        f64::from(u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// Asks the rules with named groups.
    fn catch(&mut self) {
        for catcher in &self.engine.catchers {
            if !matches!(self.engine.rules.get(*catcher), Some(rule) if matches!(rule.check, Check::Pattern(_)))
            {
                continue;
            }
            // Patterns wait for nothing.
            let _ = self.ask(*catcher);
        }
    }

    /// A pattern that holds what others have caught: `%{NAME}`. As long as nothing was caught, it is not run.
    fn template(&mut self, place: usize, rule: &Rule, template: &Template) -> f64 {
        self.catch();
        let Some(pattern) = template.filled(&self.caught) else { return 0.0 };
        match Pattern::compile(&pattern, &template.flags) {
            Ok(pattern) => {
                let check = template.check(pattern);
                self.pattern(place, rule, &check)
            }
            Err(_) => {
                self.not_run.push((place, "its pattern became too large".to_owned()));
                0.0
            }
        }
    }

    /// Where a rule hit, and what.
    fn evidence(&mut self, rule: &Rule) -> (String, Vec<u8>) {
        match &rule.check {
            Check::Pattern(check) => self.pattern_evidence(rule, check),
            Check::Template(template) => {
                let filled = template.filled(&self.caught).unwrap_or_default();
                match Pattern::compile(&filled, &template.flags) {
                    Ok(pattern) => self.pattern_evidence(rule, &template.check(pattern)),
                    Err(_) => Default::default(),
                }
            }
            Check::Exists(text) => {
                let name = self.engine.texts.get(*text).map(|rules| rules.name.clone());
                let (text, _) = self.text(*text);
                let present = (0..text.len()).map(|index| text.get(index)).find(|piece| !piece.1);
                let evidence = present.map(|piece| piece.0.to_vec()).unwrap_or_default();
                (name.unwrap_or_default(), evidence)
            }
            Check::Meta(meta) => {
                let hit = |place: &usize| self.values.get(*place).unwrap_or(0.0) != 0.0;
                let places = meta.links.iter().flatten().copied().filter(hit);
                let rules = places.filter_map(|place| self.engine.rules.get(place));
                let names: Vec<&str> = rules.map(|rule| &*rule.name).collect();
                ("rules".to_owned(), names.join(" ").into_bytes())
            }
            Check::Function(call) => match call.ask(&self.view) {
                Answer::Hit(evidence) => (String::new(), evidence.into_bytes()),
                Answer::No | Answer::NotRun(_) => Default::default(),
            },
            Check::Unavailable(_) | Check::Off(_) => Default::default(),
        }
    }

    fn pattern_evidence(&mut self, rule: &Rule, check: &PatternCheck) -> (String, Vec<u8>) {
        let mut machine = Machine::new(RULE_STEPS);
        let Some(rules) = self.engine.texts.get(check.text) else { return Default::default() };
        let (text, candidates) = self.text(check.text);
        let places = check.slot.and_then(|slot| candidates.get(slot));
        let hunt = hunt(rule, check, text, places);
        if check.negated {
            return (rules.name.clone(), text.get(0).0.to_vec());
        }
        let Some((index, range)) = hunt.first(&mut machine) else { return Default::default() };
        let name = &rules.name;
        let place = match index {
            _ if matches!(rules.target, Target::Header(_)) => {
                format!("{name}, octet {}", range.start)
            }
            0 if rules.target == Target::Body => format!("subject, octet {}", range.start),
            _ if rules.target == Target::Body => {
                format!("{name}, paragraph {index}, octet {}", range.start)
            }
            _ => format!("{name}, piece {}, octet {}", index + 1, range.start),
        };
        (place, hunt.piece(index).get(range).unwrap_or_default().to_vec())
    }
}

fn hunt<'h>(
    rule: &Rule,
    check: &'h PatternCheck,
    text: &'h Segments,
    places: Option<Places<'h>>,
) -> Hunt<'h> {
    Hunt {
        pattern: &check.pattern,
        text,
        unset: check.unset.as_deref(),
        places,
        skip: usize::from(rule.no_subject),
    }
}

/// Hits in a text, as many as the rule counts. `told` gets each one with the piece it is in.
pub(super) fn count(
    rule: &Rule,
    check: &PatternCheck,
    (target, text, places): (Option<&Target>, &Segments, Option<Places<'_>>),
    machine: &mut Machine,
    mut told: impl FnMut(&[u8], &Machine),
) -> usize {
    let hunt = hunt(rule, check, text, places);
    if check.negated {
        // Of several pieces none may match.
        return usize::from(hunt.first(machine).is_none() && machine.left > 0);
    }
    let of_parts = matches!(target, Some(Target::MimeHeader(..)));
    if rule.hits_max > 1 || check.pattern.has_names() {
        return hunt.count(rule.hits_max, of_parts, machine, &mut told);
    }
    usize::from(hunt.first(machine).is_some())
}
