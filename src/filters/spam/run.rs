//! Asking the rules about one mail.

use std::ops::Range;
use std::time::Instant;

use crate::filters::{Mail, NotRun, RuleHit, Score, Weight};

use super::evals::Answer;
use super::pattern::Candidates;
use super::rules::{Check, PatternCheck, Rule};
use super::text::Segments;
use super::view::View;
use super::{Engine, Outcome};

/// Characters of evidence.
const EVIDENCE_MAX: usize = 200;
/// Rules that are named one by one when time is up.
const NAMED_MAX: usize = 10;

pub(super) fn inspect(engine: &Engine, mail: &Mail<'_>, deadline: Option<Instant>) -> Outcome {
    let mut run = Run::new(engine, mail);
    let mut outcome = Outcome::default();
    let mut hits = Vec::new();
    let mut scoring = engine.scoring.iter();
    while let Some(place) = scoring.next() {
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            let left = std::iter::once(place).chain(scoring);
            outcome.not_run = not_run(engine, &left.copied().collect::<Vec<_>>());
            break;
        }
        if run.settle(*place) != 0.0 {
            hits.push(*place);
        }
    }
    for (place, why) in std::mem::take(&mut run.not_run) {
        let Some(rule) = engine.rules.get(place) else { continue };
        let check = format!("spam:{}", rule.name);
        outcome.not_run.push(NotRun { check, why, weight: Weight::Wanted });
    }
    if let Some(why) = run.view.learned_is_silent() {
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
        outcome.score += rule.score;
        outcome.learning.add(rule.share, rule.score, engine.areas_below(rule));
        if rule.score > Score(0) {
            outcome.positive += rule.score;
        } else {
            outcome.negative += rule.score;
        }
        outcome.hits.push(RuleHit {
            name: rule.name.clone(),
            score: rule.score,
            describe: rule.describe.clone(),
            evidence: clean(&run.evidence(rule)),
            source: rule.source.clone(),
        });
    }
    outcome
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
struct Run<'r> {
    engine: &'r Engine,
    view: View<'r>,
    /// Hits of each rule; `None`: not asked.
    values: Vec<Option<f64>>,
    /// Rules whose function could not tell, with the reason.
    not_run: Vec<(usize, String)>,
    texts: Vec<Option<(Segments, Candidates)>>,
}

impl<'r> Run<'r> {
    fn new(engine: &'r Engine, mail: &'r Mail<'r>) -> Self {
        let texts = std::iter::repeat_with(|| None).take(engine.texts.len()).collect();
        let values = vec![None; engine.rules.len()];
        Self { engine, view: View::new(engine, mail), values, not_run: Vec::new(), texts }
    }

    /// The value of a rule. Expressions that need others wait on a stack: no recursion, however long the chain.
    fn settle(&mut self, wanted: usize) -> f64 {
        let mut waiting = vec![wanted];
        while let Some(place) = waiting.last().copied() {
            match self.ask(place) {
                Ok(value) => {
                    if let Some(slot) = self.values.get_mut(place) {
                        *slot = Some(value);
                    }
                    waiting.pop();
                }
                Err(first) => waiting.push(first),
            }
        }
        self.values.get(wanted).copied().flatten().unwrap_or(0.0)
    }

    /// The value of a rule, or the expression that must be settled before.
    fn ask(&mut self, place: usize) -> Result<f64, usize> {
        let engine = self.engine;
        let Some(rule) = engine.rules.get(place) else { return Ok(0.0) };
        if let Some(Some(value)) = self.values.get(place) {
            return Ok(*value);
        }
        let value = match &rule.check {
            // A rule of no points counts nowhere, not even in expressions; rules that serve others have none anyway.
            _ if rule.score == Score(0) && !rule.name.starts_with("__") => 0.0,
            Check::Meta(program, links) => {
                return program.run(|name| match links.get(name).copied().flatten() {
                    Some(link) => self.operand(link),
                    None => Ok(0.0),
                });
            }
            Check::Pattern(check) => self.pattern(rule, check),
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
            Check::Unavailable(_) => 0.0,
        };
        if let Some(slot) = self.values.get_mut(place) {
            *slot = Some(value);
        }
        Ok(value)
    }

    fn operand(&mut self, place: usize) -> Result<f64, usize> {
        if let Some(Some(value)) = self.values.get(place) {
            return Ok(*value);
        }
        match self.engine.rules.get(place).map(|rule| &rule.check) {
            Some(Check::Meta(..)) => Err(place),
            Some(_) => self.ask(place),
            None => Ok(0.0),
        }
    }

    fn text(&mut self, place: usize) -> &(Segments, Candidates) {
        static NOTHING: std::sync::LazyLock<(Segments, Candidates)> =
            std::sync::LazyLock::new(Default::default);
        let (Some(slot), Some(rules)) = (self.texts.get_mut(place), self.engine.texts.get(place))
        else {
            return &NOTHING;
        };
        slot.get_or_insert_with(|| {
            let text = rules.target.text(self.view.mail);
            let candidates = rules.candidates(&text);
            (text, candidates)
        })
    }

    fn pattern(&mut self, rule: &Rule, check: &PatternCheck) -> f64 {
        let (text, candidates) = self.text(check.text);
        let sifted = check.slot.and_then(|slot| candidates.get(slot as usize));
        let count = match sifted {
            Some(pieces) => count(rule, check, text, pieces.iter().map(|piece| *piece as usize)),
            None => count(rule, check, text, 0..text.len()),
        };
        f64::from(u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// What a rule hit.
    fn evidence(&mut self, rule: &Rule) -> Vec<u8> {
        match &rule.check {
            Check::Pattern(check) => {
                let (text, _) = self.text(check.text);
                for index in 0..text.len() {
                    if let Some((piece, range)) = found(rule, check, text, index) {
                        return piece.get(range).unwrap_or_default().to_vec();
                    }
                }
                Vec::new()
            }
            Check::Exists(text) => {
                let (text, _) = self.text(*text);
                let present = (0..text.len()).map(|index| text.get(index)).find(|piece| !piece.1);
                present.map(|piece| piece.0.to_vec()).unwrap_or_default()
            }
            Check::Meta(_, links) => {
                let hit = |place: &usize| {
                    self.values.get(*place).copied().flatten().unwrap_or(0.0) != 0.0
                };
                let places = links.iter().flatten().copied().filter(hit);
                let rules = places.filter_map(|place| self.engine.rules.get(place));
                let names: Vec<&str> = rules.map(|rule| &*rule.name).collect();
                names.join(" ").into_bytes()
            }
            Check::Function(call) => match call.ask(&self.view) {
                Answer::Hit(evidence) => evidence.into_bytes(),
                Answer::No | Answer::NotRun(_) => Vec::new(),
            },
            Check::Unavailable(_) => Vec::new(),
        }
    }
}

/// Hits in these pieces, as many as the rule counts.
pub(super) fn count(
    rule: &Rule,
    check: &PatternCheck,
    text: &Segments,
    pieces: impl Iterator<Item = usize>,
) -> usize {
    let mut count = 0;
    for index in pieces {
        if rule.hits_max > 1 && !check.negated {
            if let Some(piece) = piece_for(rule, check, text, index) {
                count += check.pattern.regex.find_iter(piece).take(rule.hits_max - count).count();
            }
        } else if let Some(piece) = piece_for(rule, check, text, index) {
            count += usize::from(check.pattern.regex.is_match(piece) != check.negated);
        }
        if count >= rule.hits_max {
            break;
        }
    }
    count
}

/// The text that a rule sees of a piece; `None` if it does not look at it.
fn piece_for<'t>(
    rule: &Rule,
    check: &'t PatternCheck,
    text: &'t Segments,
    index: usize,
) -> Option<&'t [u8]> {
    if rule.no_subject && index == 0 {
        return None;
    }
    match (text.get(index), &check.unset) {
        ((_, true), Some(unset)) => Some(unset),
        ((piece, _), _) => Some(piece),
    }
}

fn found<'t>(
    rule: &Rule,
    check: &'t PatternCheck,
    text: &'t Segments,
    index: usize,
) -> Option<(&'t [u8], Range<usize>)> {
    let piece = piece_for(rule, check, text, index)?;
    match (check.pattern.regex.find(piece), check.negated) {
        (Some(hit), false) => Some((piece, hit.range())),
        (None, true) => Some((piece, 0..piece.len())),
        _ => None,
    }
}
