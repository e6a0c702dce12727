//! Which rules a mail can hit at all. Nearly all rules look for what nearly all mails do not have: what the prefilters
//! of its texts found, and which fields it has, leaves some hundred of thousands, and only those are asked.

use std::collections::HashMap;

use crate::filters::Score;
use crate::filters::spam::pattern::{Candidates, Places, TextRules};
use crate::filters::spam::text::{Target, header::Header};
use crate::filters::spam::values::Values;

use super::build::{Check, Meta, PatternCheck, Rule};

/// What is known of all rules before any mail is.
#[derive(Debug, Default)]
pub(in crate::filters::spam) struct Possible {
    /// Without and with learned mail: rules without points are not asked, and these differ.
    tables: [Table; 2],
    /// Texts of fields, by the field's name in lower case: without the field, they are empty.
    fields: HashMap<Vec<u8>, Vec<usize>>,
    /// All other texts.
    others: Vec<usize>,
    /// How many texts there are.
    texts: usize,
    /// Rules on which no points depend.
    idle: Vec<usize>,
}

#[derive(Debug, Default)]
pub(in crate::filters::spam) struct Table {
    /// All that can be asked.
    all: Values,
    /// All that can hit whatever the texts hold, as long as no expression was looked at.
    always: Values,
    /// For each text the rules over it.
    texts: Vec<OfText>,
    /// Each behind all that it names.
    expressions: Vec<Expression>,
    /// The rules that these name.
    named: Vec<u32>,
}

/// Rules that can hit if a text is there.
#[derive(Debug, Default)]
struct OfText {
    /// For each slot of the prefilter the rule, which can hit if it has places.
    by_slot: Vec<Option<u32>>,
    /// Those that can hit anyway.
    whole: Vec<u32>,
}

/// An expression. It can hit if all that it needs can, and any of what it names.
#[derive(Debug)]
struct Expression {
    rule: u32,
    /// Where in [`Table::named`] stands what it needs, and behind it what it names.
    needs: (u32, u32),
    names: (u32, u32),
}

impl Possible {
    /// `order`: all rules, expressions behind what they name; `in_use`: see [`in_use`].
    pub(super) fn new(
        rules: &[Rule],
        texts: &[TextRules],
        order: &[usize],
        in_use: &[bool],
    ) -> Self {
        let used = |place: &usize| in_use.get(*place).is_some_and(|used| *used);
        let idle = (0..rules.len()).filter(|place| !used(place)).collect();
        let order: Vec<usize> = order.iter().copied().filter(used).collect();
        let mut possible = Self { texts: texts.len(), idle, ..Self::default() };
        for (place, text) in texts.iter().enumerate() {
            match field(&text.target) {
                Some(name) => possible.fields.entry(name).or_default().push(place),
                None => possible.others.push(place),
            }
        }
        possible.tables = [0, 1].map(|set| Table::new(rules, texts, &order, set));
        possible
    }

    pub(in crate::filters::spam) fn table(&self, learned: bool) -> &Table {
        let [alone, with_learned] = &self.tables;
        if learned { with_learned } else { alone }
    }

    /// Opens the rules on which no points depend, as far as they can be asked.
    pub(in crate::filters::spam) fn open_idle(&self, learned: bool, values: &mut Values) {
        let all = &self.table(learned).all;
        self.idle.iter().filter(|rule| all.is_open(**rule)).for_each(|rule| values.open(*rule));
    }

    /// The texts that may not be empty, each once, in rising order.
    pub(in crate::filters::spam) fn texts(&self, header: &Header) -> Vec<usize> {
        let mut wanted = vec![false; self.texts];
        let mut want = |texts: &[usize]| {
            for text in texts {
                wanted.get_mut(*text).into_iter().for_each(|wanted| *wanted = true);
            }
        };
        want(&self.others);
        let mut name = Vec::new();
        for field in &header.fields {
            name.clear();
            name.extend(field.name.iter().map(u8::to_ascii_lowercase));
            want(self.fields.get(&name).map_or(&[], Vec::as_slice));
        }
        wanted.iter().enumerate().filter(|(_, wanted)| **wanted).map(|(text, _)| text).collect()
    }
}

/// The name of the field without which a text is empty.
fn field(target: &Target) -> Option<Vec<u8>> {
    match target {
        Target::Header(selector) => selector.only_field().map(|name| name.as_bytes().to_vec()),
        Target::MimeHeader(..) | Target::Body | Target::RawBody | Target::Full | Target::Uri => {
            None
        }
    }
}

impl Table {
    fn new(rules: &[Rule], texts: &[TextRules], order: &[usize], set: usize) -> Self {
        let mut table = Self {
            all: Values::none(rules.len()),
            always: Values::none(rules.len()),
            texts: texts.iter().map(|_| OfText::default()).collect(),
            ..Self::default()
        };
        // A rule without points does not count in expressions either.
        let counts = |rule: &Rule| rule.scores.get(set).is_some_and(|score| *score != Score(0));
        let asked = |rule: &&Rule| counts(rule) && rule.unavailable().is_none();
        for (place, _) in rules.iter().enumerate().filter(|(_, rule)| asked(rule)) {
            table.all.open(place);
        }
        for place in order {
            if let Some(rule) = rules.get(*place).filter(asked) {
                table.add(*place, rule, texts);
            }
        }
        table
    }

    fn add(&mut self, place: usize, rule: &Rule, texts: &[TextRules]) {
        let Ok(number) = u32::try_from(place) else { return self.always.open(place) };
        match &rule.check {
            Check::Pattern(check) if hits_nothing(check) => self.always.open(place),
            Check::Pattern(check) => {
                let Some(text) = self.texts.get_mut(check.text) else { return };
                match check.slot {
                    Some(slot) => {
                        let slot = slot as usize;
                        text.by_slot.resize(text.by_slot.len().max(slot + 1), None);
                        text.by_slot.get_mut(slot).into_iter().for_each(|one| *one = Some(number));
                    }
                    None => text.whole.push(number),
                }
            }
            Check::Exists(text) => {
                // Where the text is that of one field, it is there with the field.
                match (
                    self.texts.get_mut(*text),
                    texts.get(*text).and_then(|own| field(&own.target)),
                ) {
                    (Some(own), Some(_)) => own.whole.push(number),
                    _ => self.always.open(place),
                }
            }
            Check::Meta(meta) => self.add_expression(place, number, meta),
            Check::Function(_) | Check::Template(_) => self.always.open(place),
            Check::Unavailable(_) | Check::Off(_) => {}
        }
    }

    fn add_expression(&mut self, place: usize, number: u32, meta: &Meta) {
        let hits = meta.program.run(|_| Ok::<f64, ()>(0.0)) != Ok(0.0);
        if hits {
            return self.always.open(place);
        }
        let mut list = |places: &mut dyn Iterator<Item = &usize>| {
            let start = self.named.len();
            self.named.extend(places.filter_map(|place| u32::try_from(*place).ok()));
            let place = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
            (place(start), place(self.named.len()))
        };
        let needs = list(&mut meta.needs.iter());
        let names = list(&mut meta.links.iter().flatten());
        self.expressions.push(Expression { rule: number, needs, names });
    }

    /// Everything that can be asked, for those who look at one rule alone.
    pub(in crate::filters::spam) fn all(&self) -> &Values {
        &self.all
    }

    /// What can hit whatever the texts hold.
    pub(in crate::filters::spam) fn always(&self) -> &Values {
        &self.always
    }

    /// True if no rule needs that text.
    pub(in crate::filters::spam) fn is_idle(&self, text: usize) -> bool {
        self.texts.get(text).is_none_or(|text| text.by_slot.is_empty() && text.whole.is_empty())
    }

    /// Opens the rules that can hit with what the prefilter found in that text.
    pub(in crate::filters::spam) fn open_text(
        &self,
        text: usize,
        candidates: &Candidates,
        values: &mut Values,
    ) {
        let Some(text) = self.texts.get(text) else { return };
        for (rule, slot) in text.by_slot.iter().zip(0..) {
            if let Some(rule) = rule
                && !candidates.get(slot).is_some_and(Places::is_empty)
            {
                values.open(*rule as usize);
            }
        }
        text.whole.iter().for_each(|rule| values.open(*rule as usize));
    }

    /// Opens the expressions that can hit with what is open.
    pub(in crate::filters::spam) fn open_expressions(&self, values: &mut Values) {
        let list = |(start, end): (u32, u32)| {
            self.named.get(start as usize..end as usize).unwrap_or_default()
        };
        for one in &self.expressions {
            let open = |place: &u32| values.is_open(*place as usize);
            if list(one.needs).iter().all(open) && list(one.names).iter().any(open) {
                values.open(one.rule as usize);
            }
        }
    }
}

/// Which rules points depend on: those that have some, and what these name. Others are only asked by those who want to
/// know of every rule, and cost nothing else.
pub(super) fn in_use(rules: &[Rule], scoring: &[usize]) -> Vec<bool> {
    let mut used = vec![false; rules.len()];
    let mut open = scoring.to_vec();
    // What is caught may be wanted by a pattern that is made when a mail is there, or by a list.
    open.extend(rules.iter().enumerate().filter(|(_, rule)| catches(rule)).map(|(rule, _)| rule));
    while let Some(place) = open.pop() {
        let (Some(slot), Some(rule)) = (used.get_mut(place), rules.get(place)) else { continue };
        if std::mem::replace(slot, true) {
            continue;
        }
        match &rule.check {
            Check::Meta(meta) => open.extend(meta.links.iter().flatten()),
            Check::Pattern(check) => open.extend(check.implies),
            Check::Exists(_)
            | Check::Template(_)
            | Check::Function(_)
            | Check::Unavailable(_)
            | Check::Off(_) => {}
        }
    }
    used
}

/// Whether a rule catches what others look for.
pub(super) fn catches(rule: &Rule) -> bool {
    matches!(&rule.check, Check::Pattern(check) if check.pattern.has_names())
}

/// Whether a pattern may hit where its text is empty, or is not there.
fn hits_nothing(check: &PatternCheck) -> bool {
    check.negated || check.unset.is_some() || (check.slot.is_none() && check.pattern.is_match(b""))
}
