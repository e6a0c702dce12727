//! What an oddity of a message makes of it: a table of codes and verdicts, shipped as `filters/defects.list`.
//!
//! A line is `code verdict [action=word] [# note]`. The decoder only says what is odd; what follows from it stands
//! here, for the postmaster to change.

#![warn(missing_docs)]

use std::collections::HashMap;
use std::sync::Arc;

use super::{Mistake, RuleFile, Severity, Source};
use crate::mail::{Defect, DefectCode};
use crate::verdict::{Action, Verdict};

/// The table. Immutable; threads share it.
#[derive(Debug, Default)]
pub struct Defects(HashMap<DefectCode, Row>);

#[derive(Debug)]
struct Row {
    /// `None`: a note.
    verdict: Option<Verdict>,
    action: Option<Action>,
    source: Source,
}

/// A defect from which a verdict follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefectHit {
    /// What is odd.
    pub defect: Defect,
    /// What the mail is by it.
    pub verdict: Verdict,
    /// What the line asks for; `None`: what the policy says for the verdict.
    pub action: Option<Action>,
    /// The line.
    pub source: Source,
}

/// The shipped table, built into the program.
#[must_use]
pub fn shipped() -> RuleFile {
    RuleFile::built_in("filters/defects.list", include_bytes!("../../filters/defects.list"))
}

impl Defects {
    /// Reads the files, the shipped one first; a later line of a code replaces an earlier one.
    #[must_use]
    pub fn load(files: &[RuleFile]) -> (Self, Vec<Mistake>) {
        let mut table = Self::default();
        let mut mistakes = Vec::new();
        for file in files {
            for (index, line) in String::from_utf8_lossy(&file.text).lines().enumerate() {
                let number = u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1);
                let source = Source { file: Arc::clone(&file.name), line: number };
                match table.line(line, &source) {
                    Ok(()) => {}
                    Err(wrong) => mistakes.push(Mistake {
                        file: Arc::clone(&file.name),
                        line: number,
                        column: column(line, wrong.at),
                        what: wrong.what,
                        hint: wrong.hint,
                        severity: Severity::Error,
                    }),
                }
            }
        }
        (table, mistakes)
    }

    /// The defects from which a verdict follows, in order.
    #[must_use]
    pub fn inspect(&self, defects: &[Defect]) -> Vec<DefectHit> {
        let hit = |defect: &Defect| {
            let row = self.0.get(&defect.code)?;
            Some(DefectHit {
                defect: defect.clone(),
                verdict: row.verdict?,
                action: row.action,
                source: row.source.clone(),
            })
        };
        defects.iter().filter_map(hit).collect()
    }

    fn line<'l>(&mut self, line: &'l str, source: &Source) -> Result<(), Wrong<'l>> {
        let line = line.split('#').next().unwrap_or(line);
        let mut words = line.split_whitespace();
        let Some(name) = words.next() else { return Ok(()) };
        let code = DefectCode::from_name(name).ok_or_else(|| unknown_code(name))?;
        let word = words.next().ok_or_else(|| Wrong {
            at: name,
            what: format!("'{name}' has no verdict"),
            hint: format!("write for example: {name} ambiguous"),
        })?;
        let verdict = match word {
            "note" => None,
            _ => Some(verdict(word).ok_or_else(|| Wrong {
                at: word,
                what: format!("'{word}' is no verdict of a defect"),
                hint: "write note, malformed, ambiguous, over-limits or encrypted".to_owned(),
            })?),
        };
        if code.is_limit() && verdict.is_none() {
            return Err(Wrong {
                at: word,
                what: format!("'{name}' is a limit: what lies beyond was not looked at"),
                hint: format!("write {name} over-limits action=tag, or raise the limit"),
            });
        }
        let mut action = None;
        for extra in words {
            let value = extra.strip_prefix("action=").and_then(action_named);
            action = Some(value.filter(|_| verdict.is_some()).ok_or_else(|| {
                Wrong {
                    at: extra,
                    what: format!("'{extra}' does not belong here"),
                    hint: "behind a verdict write action=pass, tag, quarantine, reject or discard"
                        .to_owned(),
                }
            })?);
        }
        self.0.insert(code, Row { verdict, action, source: source.clone() });
        Ok(())
    }
}

/// A mistake, and the word where it stands.
struct Wrong<'l> {
    at: &'l str,
    what: String,
    hint: String,
}

fn unknown_code(name: &str) -> Wrong<'_> {
    let near = |code: &&DefectCode| {
        let known = code.as_str();
        known.contains(name) || name.contains(known) || known.get(..5) == name.get(..5)
    };
    let hint = match DefectCode::ALL.iter().find(near) {
        Some(code) => format!("did you mean {code}? All codes stand in filters/defects.list"),
        None => "all codes stand in filters/defects.list".to_owned(),
    };
    Wrong { at: name, what: format!("no defect has the code '{name}'"), hint }
}

/// The column of a word that is a piece of the line.
fn column(line: &str, word: &str) -> u32 {
    let offset = (word.as_ptr() as usize).saturating_sub(line.as_ptr() as usize);
    let before = line.get(..offset).map_or(0, |before| before.chars().count());
    u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1)
}

fn verdict(word: &str) -> Option<Verdict> {
    [Verdict::Malformed, Verdict::Ambiguous, Verdict::OverLimits, Verdict::Encrypted]
        .into_iter()
        .find(|verdict| verdict.as_str() == word)
}

fn action_named(word: &str) -> Option<Action> {
    [Action::Pass, Action::Tag, Action::Quarantine, Action::Reject, Action::Discard]
        .into_iter()
        .find(|action| action.as_str() == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> (Defects, Vec<Mistake>) {
        Defects::load(&[shipped(), RuleFile::built_in("own", text.as_bytes())])
    }

    fn defect(code: DefectCode) -> Defect {
        Defect { code, part: String::new(), detail: String::new() }
    }

    #[test]
    fn the_shipped_table_names_every_code() {
        let (table, mistakes) = load("");
        assert_eq!(mistakes, []);
        let missing: Vec<_> =
            DefectCode::ALL.iter().filter(|code| !table.0.contains_key(code)).collect();
        assert!(missing.is_empty(), "not in filters/defects.list: {missing:?}");
    }

    #[test]
    fn what_reaches_a_limit_is_over_limits() {
        let (table, _) = load("");
        for code in DefectCode::ALL.iter().filter(|code| code.is_limit()) {
            let hits = table.inspect(&[defect(*code)]);
            assert_eq!(hits.first().map(|hit| hit.verdict), Some(Verdict::OverLimits), "{code}");
        }
    }

    #[test]
    fn a_line_of_the_site_replaces_the_shipped_one() {
        let (table, mistakes) = load("\nlong-line malformed action=reject # ours\nnul note\n");
        assert_eq!(mistakes, []);
        let hits = table.inspect(&[defect(DefectCode::LongLine), defect(DefectCode::Nul)]);
        assert_eq!(hits.len(), 1);
        assert_eq!((hits[0].verdict, hits[0].action), (Verdict::Malformed, Some(Action::Reject)));
        assert_eq!(hits[0].source.to_string(), "own:2");
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        for (text, place, what) in [
            ("\nbad-archiv note", (2, 1), "no defect has the code 'bad-archiv'"),
            ("nul", (1, 1), "'nul' has no verdict"),
            ("nul  virus", (1, 6), "'virus' is no verdict of a defect"),
            ("nul malformed action=bounce", (1, 15), "'action=bounce' does not belong here"),
            ("nul note action=tag", (1, 10), "'action=tag' does not belong here"),
            ("too-deep note", (1, 10), "'too-deep' is a limit: what lies beyond was not looked at"),
        ] {
            let (_, mistakes) = load(text);
            let got: Vec<_> =
                mistakes.iter().map(|m| ((m.line, m.column), m.what.as_str())).collect();
            assert_eq!(got, [(place, what)], "{text:?}");
            assert!(!mistakes[0].hint.is_empty());
        }
    }
}
