//! Attachments: names, declared types, types by content, in archives too.
//!
//! Rules stand in named sets; policies name the sets they use. In a set the first rule that fits a part wins, so a
//! rule with `action = "pass"` in front makes an exception.

mod facts;
mod file;
mod glob;
mod matcher;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::facts::{Facts, Type, candidates, example};
use self::file::Example;
use self::matcher::Matcher;
use super::{BannedHit, Mail, Mistake, RuleFile, Severity, Source};
use crate::config::Policy;
use crate::mail::{Message, Part, PartFlag, PartKind};
use crate::verdict::Action;

/// Characters of a name shown in reasons and replies.
const NAME_CHARACTERS_MAX: usize = 150;

/// The rule sets.
#[derive(Debug)]
pub struct Attachments {
    sets: BTreeMap<Arc<str>, Vec<Rule>>,
}

#[derive(Debug)]
struct Rule {
    name: Arc<str>,
    matches: Matcher,
    /// `None`: the policy's action for `banned`.
    action: Option<Action>,
    reason: String,
    reply: Option<String>,
    examples: Vec<Example>,
    source: Source,
}

impl Attachments {
    /// Loads the files, the shipped one first, and the rules written into policies.
    ///
    /// In a set of the same name, a later file's rule of the same name replaces the earlier one where it stands;
    /// its other rules go before those of earlier files, so that a site can make exceptions.
    #[must_use]
    pub fn load(files: &[RuleFile], policies: &[Arc<Policy>]) -> (Self, Vec<Mistake>) {
        let mut attachments = Self { sets: BTreeMap::new() };
        let mut mistakes = Vec::new();
        for file in files {
            let (sets, found) = file::read(file);
            mistakes.extend(found);
            for (name, rules) in sets {
                merge(attachments.sets.entry(name.into()).or_default(), rules, &mut mistakes);
            }
        }
        for policy in policies {
            let rules: Vec<Rule> = policy
                .attachment_rules
                .iter()
                .filter_map(|rule| policy_rule(rule, &mut mistakes))
                .collect();
            if !rules.is_empty() {
                attachments.sets.insert(policy_set(&policy.name), rules);
            }
        }
        for policy in policies {
            for set in policy.attachments.iter().filter(|set| !set.starts_with("policy.")) {
                if !attachments.has_set(set) {
                    mistakes.push(attachments.unknown_set(policy, set));
                }
            }
        }
        (attachments, mistakes)
    }

    /// The parts that a rule of the named sets refuses; a rule that passes a part gives no hit.
    #[must_use]
    pub fn inspect(&self, mail: &Mail<'_>, sets: &[Arc<str>]) -> Vec<BannedHit> {
        let mut hits = Vec::new();
        let sets: Vec<_> = sets.iter().filter_map(|set| self.sets.get_key_value(&**set)).collect();
        if sets.is_empty() {
            return hits;
        }
        for part in &mail.message.parts {
            let facts = facts(mail.message, part);
            for (set, rules) in &sets {
                let fits =
                    |rule: &Rule| rule.matches.fits(&facts).map(|evidence| (rule.action, evidence));
                let first = rules.iter().find_map(|rule| fits(rule).map(|fit| (rule, fit)));
                if let Some((rule, (action, evidence))) = first
                    && action != Some(Action::Pass)
                {
                    hits.push(rule.hit(set, part, &evidence));
                }
            }
        }
        hits
    }

    /// Runs the `ok` and `fail` examples of every rule.
    #[must_use]
    pub fn run_examples(&self) -> Vec<Mistake> {
        let rules = self.sets.values().flatten();
        let examples =
            rules.flat_map(|rule| rule.examples.iter().map(move |example| (rule, example)));
        examples
            .filter(|(rule, wanted)| {
                rule.matches.fits(&example(&wanted.text)).is_some() != wanted.fits
            })
            .map(|(rule, wanted)| Mistake {
                file: rule.source.file.clone(),
                line: wanted.line,
                column: wanted.column,
                what: format!(
                    "the rule '{}' {} this example",
                    rule.name,
                    if wanted.fits { "does not fit" } else { "fits" }
                ),
                hint: String::new(),
                severity: Severity::Error,
            })
            .collect()
    }

    /// True if there is a set of that name.
    #[must_use]
    pub fn has_set(&self, name: &str) -> bool {
        self.sets.contains_key(name)
    }

    fn unknown_set(&self, policy: &Policy, set: &str) -> Mistake {
        let known: Vec<&str> = self.sets.keys().map(|name| &**name).collect();
        Mistake {
            file: format!("policy.{}", policy.name).into(),
            line: 0,
            column: 0,
            what: format!("no file has attachment rules named '{set}'"),
            hint: format!("there are: {}", known.join(", ")),
            severity: Severity::Error,
        }
    }
}

/// The shipped rules, built into the program.
#[must_use]
pub fn shipped() -> RuleFile {
    RuleFile::built_in(
        "filters/attachments.toml",
        include_bytes!("../../../filters/attachments.toml"),
    )
}

/// The name of the set that a policy's own rules make.
#[must_use]
pub fn policy_set(policy: &str) -> Arc<str> {
    format!("policy.{policy}").into()
}

fn merge(set: &mut Vec<Rule>, rules: Vec<Rule>, mistakes: &mut Vec<Mistake>) {
    let mut new: Vec<Rule> = Vec::new();
    for rule in rules {
        if let Some(twin) = new.iter().find(|other| other.name == rule.name) {
            mistakes.push(Mistake {
                file: rule.source.file.clone(),
                line: rule.source.line,
                column: 0,
                what: format!(
                    "the name '{}' is already used in line {}",
                    rule.name, twin.source.line
                ),
                hint: "give it a name of its own".to_owned(),
                severity: Severity::Error,
            });
        }
        let same =
            set.iter_mut().find(|old| old.name == rule.name && old.source.file != rule.source.file);
        match same {
            Some(old) => *old = rule,
            None => new.push(rule),
        }
    }
    set.splice(..0, new);
}

fn policy_rule(
    written: &crate::config::AttachmentRule,
    mistakes: &mut Vec<Mistake>,
) -> Option<Rule> {
    match Matcher::parse(&written.matches) {
        Ok(matches) => Some(Rule {
            name: written.matches.as_str().into(),
            matches,
            action: written.action.or(Some(Action::Pass)),
            reason: format!("the policy refuses {}", written.matches),
            reply: written.reply.clone(),
            examples: Vec::new(),
            source: Source { file: written.file.clone(), line: written.line },
        }),
        Err((_, what, hint)) => {
            mistakes.push(Mistake {
                file: written.file.clone(),
                line: written.line,
                column: 0,
                what: format!("match = \"{}\": {what}", written.matches),
                hint,
                severity: Severity::Error,
            });
            None
        }
    }
}

impl Rule {
    fn hit(&self, set: &Arc<str>, part: &Part, evidence: &str) -> BannedHit {
        let shown = shown_name(part);
        let name = if evidence.is_empty() { shown.clone() } else { printable(evidence) };
        BannedHit {
            set: Arc::clone(set),
            part: part.path.clone(),
            reason: format!("{}: {shown}", self.reason),
            reply: self.reply.as_ref().map(|reply| reply.replace("{name}", &shown)),
            name,
            rule: Arc::clone(&self.name),
            action: self.action,
            source: self.source.clone(),
        }
    }
}

/// How a part is named to people: the whole way through its archives, else its name, else its type.
fn shown_name(part: &Part) -> String {
    let inside = part
        .path
        .split_once('/')
        .map(|(_, inside)| inside)
        .filter(|_| part.kind == PartKind::Member);
    let name = inside.or(part.names.first().map(String::as_str)).filter(|name| !name.is_empty());
    let kind = part.types.first().map_or(part.declared_type.as_str(), |kind| kind.mime);
    printable(name.unwrap_or(kind))
}

/// One line of printable text: names are a stranger's words, and go into replies and logs. Invisible marks that turn
/// the direction of writing would make the name look like another one.
fn printable(text: &str) -> String {
    let odd = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    let mut out: String =
        text.chars().take(NAME_CHARACTERS_MAX).map(|c| if odd(c) { '?' } else { c }).collect();
    if text.chars().nth(NAME_CHARACTERS_MAX).is_some() {
        out.push('…');
        // The end of a name tells its kind.
        let tail: Vec<char> = text.chars().rev().take(12).collect();
        out.extend(tail.into_iter().rev().map(|c| if odd(c) { '?' } else { c }));
    }
    out
}

fn facts(message: &Message, part: &Part) -> Facts {
    let types = part.types.iter().map(|kind| Type {
        short: kind.short.to_owned(),
        class: kind.class.to_owned(),
        mime: kind.mime.to_owned(),
    });
    let parent = part.parent.and_then(|index| message.parts.get(index));
    // A document in a zip's clothes is one thing to its reader, not an archive.
    let in_document =
        parent.and_then(|parent| parent.types.first()).is_some_and(|kind| kind.class == "document");
    Facts {
        names: candidates(part.names.iter().map(String::as_str)),
        declared: part.declared_type.clone(),
        types: types.collect(),
        flags: part.flags.clone(),
        in_archive: part.kind == PartKind::Member && !part.is(PartFlag::Embedded) && !in_document,
    }
}

#[cfg(test)]
mod tests;
