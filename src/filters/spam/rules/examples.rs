//! Rules prove themselves: their own `test` lines.

use std::collections::HashMap;

use crate::filters::spam::Engine;
use crate::filters::spam::pattern::Machine;
use crate::filters::spam::run::count;
use crate::filters::{Mistake, Severity};

use super::book::Example;
use super::build::{Check, Meta, Rule};

/// Steps for one example.
const EXAMPLE_STEPS: u64 = 4_000_000;

pub(in crate::filters::spam) fn run(engine: &Engine) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    for rule in &engine.rules {
        for example in &rule.examples {
            let what = match answer(engine, rule, example) {
                None => format!("{} cannot be tried with a text", rule.name),
                Some(hits) if hits == example.hits => continue,
                Some(true) => format!("{} hits `{}`, but must not", rule.name, example.text),
                Some(false) => format!("{} does not hit `{}`, but must", rule.name, example.text),
            };
            mistakes.push(Mistake {
                file: example.source.file.clone(),
                line: example.source.line,
                column: 0,
                what,
                hint: String::new(),
                severity: Severity::Error,
            });
        }
    }
    mistakes
}

/// Whether the rule hits the example; `None` if it has no text to look at.
fn answer(engine: &Engine, rule: &Rule, example: &Example) -> Option<bool> {
    match &rule.check {
        Check::Pattern(check) => {
            let text = engine.texts.get(check.text)?.target.example(&example.text);
            let mut machine = Machine::new(EXAMPLE_STEPS);
            let hits = count(rule, check, (None, &text, None), &mut machine, |_, _| {});
            Some(hits > 0)
        }
        Check::Exists(_) => Some(!example.text.is_empty()),
        Check::Meta(Meta { program, .. }) => {
            let mut named = HashMap::new();
            for word in example.text.split_ascii_whitespace() {
                let (name, hits) = word.split_once('=').unwrap_or((word, "1"));
                named.insert(name, hits.parse().unwrap_or(1.0));
            }
            let value = |place: usize| {
                let name = program.names.get(place).map_or("", String::as_str);
                Ok::<f64, ()>(named.get(name).copied().unwrap_or(0.0))
            };
            Some(program.run(value) != Ok(0.0))
        }
        Check::Template(_) | Check::Function(_) | Check::Unavailable(_) | Check::Off(_) => None,
    }
}
