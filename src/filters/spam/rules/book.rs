//! Rules as they are being read: what the lines of all files say of each name.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use crate::filters::{Mistake, Score, Severity, Source};

use crate::filters::spam::bayes::autolearn::Area;
use crate::filters::spam::text::Target;

use super::replace::Tags;
use super::settings::Settings;

/// What a rule asks.
#[derive(Debug, Clone)]
pub(in crate::filters::spam) enum Question {
    /// Does the pattern match?
    Pattern {
        target: Target,
        /// The target as the rule names it.
        place: String,
        negated: bool,
        /// What stands in for a field that is not there.
        unset: Option<Vec<u8>>,
        pattern: Vec<u8>,
        flags: String,
    },
    /// Is there such a field? The target, and as the rule names it.
    Exists(Target, String),
    /// An expression over other rules.
    Meta(String),
    /// A function with its arguments; `raw:` before it if the rule is of the kind `rawbody`.
    Function(String),
    /// It is only a name.
    Nothing,
    /// What must hold of one link.
    Link(String),
    /// It cannot be answered, and this is why.
    NotBuilt(String),
}

/// Where and how a rule was defined.
#[derive(Debug, Clone)]
pub(in crate::filters::spam) struct Definition {
    pub(in crate::filters::spam) question: Question,
    pub(in crate::filters::spam) source: Source,
    pub(in crate::filters::spam) column: u32,
    /// Where it looks, for learning from verdicts.
    pub(in crate::filters::spam) area: Area,
}

/// A line of a rule's own tests.
#[derive(Debug, Clone)]
pub(in crate::filters::spam) struct Example {
    pub(in crate::filters::spam) hits: bool,
    pub(in crate::filters::spam) text: String,
    pub(in crate::filters::spam) source: Source,
}

/// What is known of one name. What was said in an earlier group than the definition's is dropped with it.
#[derive(Debug, Clone, Default)]
pub(in crate::filters::spam) struct Draft {
    /// The group of the definition, or of the first line if there is none yet.
    group: u32,
    /// What a later group says of the rule, kept apart from the moment of its first line: should that group define the
    /// rule as well, this is all that counts.
    later: Option<Box<Self>>,
    pub(in crate::filters::spam) definition: Option<Definition>,
    /// For each of the four ways of running; see [`Options`](crate::filters::spam::Options).
    pub(in crate::filters::spam) score: Option<[Score; 4]>,
    pub(in crate::filters::spam) score_source: Option<Source>,
    pub(in crate::filters::spam) describe: Option<Arc<str>>,
    pub(in crate::filters::spam) flags: Vec<String>,
    pub(in crate::filters::spam) priority: i32,
    pub(in crate::filters::spam) examples: Vec<Example>,
}

/// All drafts, and all that is not about one rule.
#[derive(Debug, Default)]
pub(in crate::filters::spam) struct Book {
    /// In the order of their definition; a name that was never defined comes where it was first named.
    pub(in crate::filters::spam) drafts: BTreeMap<String, Draft>,
    pub(in crate::filters::spam) order: Vec<String>,
    /// What is about no single rule.
    pub(in crate::filters::spam) settings: Settings,
    pub(in crate::filters::spam) tags: Tags,
    pub(in crate::filters::spam) mistakes: Vec<Mistake>,
    /// Things said often, told once: what, where first, hint, names or count.
    repeated: BTreeMap<String, Repeated>,
}

#[derive(Debug)]
struct Repeated {
    source: Source,
    hint: &'static str,
    count: usize,
    names: Vec<String>,
}

impl Book {
    /// The draft of that name for a line of this group. Files of a folder are one group, in which lines of one rule may
    /// stand apart; a definition in a later group replaces all that earlier groups said.
    pub(in crate::filters::spam) fn draft(
        &mut self,
        name: &str,
        group: u32,
        defines: bool,
    ) -> &mut Draft {
        let draft = match self.drafts.entry(name.to_owned()) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                self.order.push(name.to_owned());
                entry.insert(Self::blank(group))
            }
        };
        if draft.group == group {
            return draft;
        }
        if defines {
            let later = draft.later.take().filter(|later| later.group == group);
            *draft = later.map_or_else(|| Self::blank(group), |later| *later);
            return draft;
        }
        draft
    }

    fn blank(group: u32) -> Draft {
        Draft { group, ..Draft::default() }
    }

    /// Applies what a line says of a rule without defining it.
    pub(in crate::filters::spam) fn annotate(
        &mut self,
        name: &str,
        group: u32,
        say: impl Fn(&mut Draft),
    ) {
        let draft = self.draft(name, group, false);
        if draft.group != group {
            let later = draft.later.take().filter(|later| later.group == group);
            let mut later = later.unwrap_or_else(|| Box::new(Self::blank(group)));
            say(&mut later);
            draft.later = Some(later);
        }
        say(draft);
    }

    pub(in crate::filters::spam) fn error(
        &mut self,
        source: &Source,
        column: u32,
        what: String,
        hint: &str,
    ) {
        self.mistake(source, column, what, hint, Severity::Error);
    }

    pub(in crate::filters::spam) fn warning(
        &mut self,
        source: &Source,
        column: u32,
        what: String,
        hint: &str,
    ) {
        self.mistake(source, column, what, hint, Severity::Warning);
    }

    fn mistake(
        &mut self,
        source: &Source,
        column: u32,
        what: String,
        hint: &str,
        severity: Severity,
    ) {
        let file = Arc::clone(&source.file);
        self.mistakes.push(Mistake {
            file,
            line: source.line,
            column,
            what,
            hint: hint.to_owned(),
            severity,
        });
    }

    /// A warning that many lines would repeat: it is told once, with the number of lines and the first names.
    pub(in crate::filters::spam) fn once(
        &mut self,
        source: &Source,
        what: String,
        hint: &'static str,
        name: &str,
    ) {
        let known = self.repeated.entry(what).or_insert_with(|| Repeated {
            source: source.clone(),
            hint,
            count: 0,
            names: Vec::new(),
        });
        known.count += 1;
        if !name.is_empty() && known.names.len() < 5 {
            known.names.push(name.to_owned());
        }
    }

    /// Turns what was collected by [`Book::once`] into warnings.
    pub(in crate::filters::spam) fn tell_repeated(&mut self) {
        for (what, known) in std::mem::take(&mut self.repeated) {
            let mut text = what;
            if !known.names.is_empty() {
                text = format!("{text}: {}", known.names.join(", "));
            }
            let untold = known.count.saturating_sub(known.names.len().max(1));
            if untold > 0 {
                text = format!("{text} and {untold} more");
            }
            self.warning(&known.source, 0, text, known.hint);
        }
    }
}
