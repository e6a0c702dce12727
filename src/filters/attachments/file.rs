//! `attachments.toml` as it is written.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;

use super::Rule;
use super::matcher::Matcher;
use crate::filters::{Mistake, RuleFile, Severity, Source};
use crate::verdict::Action;

/// One rule as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: Spanned<String>,
    #[serde(rename = "match")]
    matches: Spanned<String>,
    action: Option<Spanned<String>>,
    reason: String,
    reply: Option<String>,
    #[serde(default)]
    ok: Vec<Spanned<String>>,
    #[serde(default)]
    fail: Vec<Spanned<String>>,
}

/// An example: what it says, and where.
#[derive(Debug)]
pub(super) struct Example {
    pub text: String,
    pub fits: bool,
    pub line: u32,
    pub column: u32,
}

/// Reads a file: its sets in any order, the rules of each in the order of the file.
pub(super) fn read(file: &RuleFile) -> (Vec<(String, Vec<Rule>)>, Vec<Mistake>) {
    let place = Place { file: &file.name, text: &file.text };
    let text = match std::str::from_utf8(&file.text) {
        Ok(text) => text,
        Err(error) => {
            let mistake =
                place.mistake(error.valid_up_to(), "the file is not UTF-8", "save it as UTF-8");
            return (Vec::new(), vec![mistake]);
        }
    };
    let written: BTreeMap<String, Vec<Written>> = match toml::from_str(text) {
        Ok(written) => written,
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            let hint = "a rule has name, match, reason and may have action, reply, ok, fail";
            return (Vec::new(), vec![place.mistake(at, error.message(), hint)]);
        }
    };
    let mut mistakes = Vec::new();
    let sets = written
        .into_iter()
        .map(|(set, rules)| {
            (set, rules.into_iter().filter_map(|rule| place.rule(rule, &mut mistakes)).collect())
        })
        .collect();
    (sets, mistakes)
}

struct Place<'f> {
    file: &'f Arc<str>,
    text: &'f [u8],
}

impl Place<'_> {
    fn rule(&self, written: Written, mistakes: &mut Vec<Mistake>) -> Option<Rule> {
        let matches = match Matcher::parse(written.matches.get_ref()) {
            Ok(matches) => matches,
            Err((offset, what, hint)) => {
                // One octet for the quotation mark.
                mistakes.push(self.mistake(
                    written.matches.span().start + 1 + offset,
                    &what,
                    &hint,
                ));
                return None;
            }
        };
        let action = match &written.action {
            None => None,
            Some(name) => match allowed_action(name.get_ref()) {
                Some(action) => Some(action),
                None => {
                    let what = format!("'{}' is no action of an attachment rule", name.get_ref());
                    let hint = "write pass, tag, quarantine, reject or discard, or leave it out";
                    mistakes.push(self.mistake(name.span().start, &what, hint));
                    return None;
                }
            },
        };
        let example = |fits: bool| {
            move |example: Spanned<String>| {
                let (line, column) = self.position(example.span().start);
                Example { text: example.into_inner(), fits, line, column }
            }
        };
        let examples = written
            .ok
            .into_iter()
            .map(example(true))
            .chain(written.fail.into_iter().map(example(false)));
        let (line, _) = self.position(written.name.span().start);
        Some(Rule {
            matches,
            action,
            reason: written.reason,
            reply: written.reply,
            examples: examples.collect(),
            source: Source { file: self.file.clone(), line },
            name: written.name.into_inner().into(),
        })
    }

    fn position(&self, offset: usize) -> (u32, u32) {
        let before = self.text.get(..offset.min(self.text.len())).unwrap_or_default();
        let line = before.iter().filter(|octet| **octet == b'\n').count() + 1;
        let last = before.rsplit(|octet| *octet == b'\n').next().unwrap_or_default();
        let column = String::from_utf8_lossy(last).chars().count() + 1;
        (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
    }

    fn mistake(&self, offset: usize, what: &str, hint: &str) -> Mistake {
        let (line, column) = self.position(offset);
        Mistake {
            file: self.file.clone(),
            line,
            column,
            what: what.to_owned(),
            hint: hint.to_owned(),
            severity: Severity::Error,
        }
    }
}

/// What a rule may ask for: never a delay or a bounce, which would hit a stranger.
fn allowed_action(name: &str) -> Option<Action> {
    Action::from_name(name).filter(|action| !matches!(action, Action::Defer | Action::Bounce))
}
