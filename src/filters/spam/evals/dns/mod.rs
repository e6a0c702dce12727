//! Rules over DNS lists: `check_rbl`, `urirhssub`, `askdns`, `check_hashbl_emails` and their kin.
//!
//! Nothing is asked here. From a mail follow [`questions`]; who may ask puts their answers into the mail's `Known`, and
//! the functions read them there, by the same names. Where nobody asked, they do not hit.

mod ask;
mod emails;
mod hashbl;
mod inputs;
mod links;
mod options;
mod relays;
mod test;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::filters::dns::{Answers, ListKind, Question, Wanted};
use crate::filters::spam::rules::Settings;
use crate::filters::spam::view::View;
use crate::filters::{Mistake, Severity, Source};

use super::{Answer, Arguments, Call, Function, fields};
use ask::AskRule;
use hashbl::HashRule;
use links::{Flags, Links};
use relays::RelayRule;
use test::Test;

/// Lines that a rule with a function leaves behind, so that its questions are known.
const NOTE: &str = "rule over the DNS";

pub(super) const KEYS: &[&str] = &[
    "uridnsbl",
    "uridnssub",
    "urirhsbl",
    "urirhssub",
    "urinsrhsbl",
    "urinsrhssub",
    "urifullnsrhsbl",
    "urifullnsrhssub",
    "uridnsbl_max_domains",
    "askdns",
    "hashbl_ignore",
    "hashbl_email_domain_alias",
    "hashbl_email_welcomelist",
    "hashbl_email_whitelist",
    NOTE,
];

pub(super) const FUNCTIONS: &[Function] = &[
    ("check_rbl", |arguments| relay("check_rbl", arguments)),
    ("check_rbl_txt", |arguments| relay("check_rbl_txt", arguments)),
    ("check_rbl_envfrom", |arguments| relay("check_rbl_envfrom", arguments)),
    ("check_rbl_from_host", |arguments| relay("check_rbl_from_host", arguments)),
    ("check_rbl_from_domain", |arguments| relay("check_rbl_from_domain", arguments)),
    ("check_rbl_headers", |arguments| relay("check_rbl_headers", arguments)),
    ("check_rbl_rcvd", |arguments| relay("check_rbl_rcvd", arguments)),
    ("check_rbl_ns_from", |arguments| relay("check_rbl_ns_from", arguments)),
    ("check_rbl_accreditor", |arguments| relay("check_rbl_accreditor", arguments)),
    ("check_rbl_sub", part_of_set),
    ("check_hashbl_emails", |arguments| digest("check_hashbl_emails", arguments)),
    ("check_hashbl_uris", |arguments| digest("check_hashbl_uris", arguments)),
    ("check_hashbl_bodyre", |arguments| digest("check_hashbl_bodyre", arguments)),
    ("check_hashbl_tag", |arguments| digest("check_hashbl_tag", arguments)),
    ("check_hashbl_attachments", |arguments| digest("check_hashbl_attachments", arguments)),
    // SpamAssassin looks for "no such name" in the records of an answer, where it cannot be: it never hits.
    ("check_dns_sender", |_| Ok(Call::new(|_| false))),
    ("check_uridnsbl", link),
    ("check_askdns", asked),
];

/// True if lists were asked about links, and these lead to more hosts than that.
pub(in crate::filters::spam) fn leaves_hosts_out(view: &View<'_>) -> bool {
    let asked = view.cells.linked_hosts.get().map_or(0, Vec::len);
    asked > 0 && view.hosts(asked + 1).len() > asked
}

/// What rule files say about lists.
#[derive(Debug, Default)]
pub(in crate::filters::spam) struct DnsRules {
    /// By function and arguments, as rules call them.
    relays: BTreeMap<(String, Vec<String>), RelayRule>,
    links: Links,
    asks: BTreeMap<String, AskRule>,
    /// The same with whether the rule looks at text with its markup.
    hashes: BTreeMap<HashKey, HashRule>,
    spared: hashbl::Spared,
}

type HashKey = (String, Vec<String>, bool);

/// Notes a rule whose function asks lists: which questions follow is known only with its flags.
pub(in crate::filters::spam) fn note(
    settings: &mut Settings,
    flags: &[String],
    call: &str,
    source: &Source,
) {
    let name = call.strip_prefix("raw:").unwrap_or(call);
    if ["check_rbl", "check_hashbl", "check_uridnsbl"].iter().any(|call| name.starts_with(call)) {
        settings.add(NOTE, format!("{}\t{call}", flags.join(" ")), source.clone());
    }
}

impl DnsRules {
    pub(super) fn read(settings: &Settings, mistakes: &mut Vec<Mistake>) -> Self {
        let mut wrongs: Vec<(Source, String)> = Vec::new();
        let spared =
            hashbl::Spared::read(settings, |source, why| wrongs.push((source.clone(), why)));
        let mut rules = Self { spared, ..Self::default() };
        let own = |key: &str| !hashbl::KEYS.contains(&key);
        for line in settings.of(KEYS).filter(|line| own(&line.key)) {
            let wrong = match line.key.as_str() {
                NOTE => rules.note(&line.text),
                "askdns" => AskRule::read(&line.text).map(|(name, rule)| {
                    rules.asks.insert(name, rule);
                }),
                key => rules.links.read(key, &line.text),
            };
            if let Err(what) = wrong {
                wrongs.push((line.source.clone(), what));
            }
        }
        mistakes.extend(wrongs.into_iter().map(|(source, what)| Mistake {
            file: source.file,
            line: source.line,
            column: 0,
            what,
            hint: "it is never asked".to_owned(),
            severity: Severity::Warning,
        }));
        rules
    }

    fn note(&mut self, text: &str) -> Result<(), String> {
        let Some((flags, call)) = text.split_once('\t') else { return Ok(()) };
        let raw = call.strip_prefix("raw:");
        let (name, arguments) = Arguments::read(raw.unwrap_or(call))?;
        if name == "check_uridnsbl" {
            self.links.asked.insert(arguments.text(0).to_owned(), Flags::read(flags));
        }
        if let Some(rule) = RelayRule::read(name, &arguments, flags)? {
            self.relays.insert((name.to_owned(), arguments.all().to_vec()), rule);
        }
        if let Some(rule) = HashRule::read(name, &arguments, raw.is_some())? {
            let key = (name.to_owned(), arguments.all().to_vec(), raw.is_some());
            self.hashes.insert(key, rule);
        }
        Ok(())
    }
}

/// What must be asked so that the rules can be answered; some of it follows from answers.
pub(in crate::filters::spam) fn questions(view: &View<'_>, answers: &Answers) -> Vec<Wanted> {
    let rules = &view.engine.tables.dns;
    let mut wanted = Vec::new();
    for rule in rules.relays.values() {
        let zone: Arc<str> = rule.zone.as_str().into();
        let list =
            |(_, question)| Wanted { question, list: Some((Arc::clone(&zone), rule.list_kind())) };
        let mut before = Vec::new();
        wanted.extend(rule.questions(view, answers, &mut before).into_iter().map(list));
        wanted.extend(before.into_iter().map(|question| Wanted { question, list: None }));
    }
    for rule in rules.hashes.values() {
        let zone: Arc<str> = rule.zone.as_str().into();
        let list =
            |(_, question)| Wanted { question, list: Some((Arc::clone(&zone), ListKind::Hash)) };
        wanted.extend(rule.questions(view).questions.into_iter().map(list));
    }
    for (name, rule) in &rules.links.rules {
        let zone: Arc<str> = rule.zone.as_str().into();
        let mut before = Vec::new();
        let found = rules.links.questions(name, view, answers, &mut before);
        let list =
            |(_, question)| Wanted { question, list: Some((Arc::clone(&zone), rule.list_kind())) };
        wanted.extend(found.into_iter().map(list));
        wanted.extend(before.into_iter().map(|question| Wanted { question, list: None }));
    }
    for rule in rules.asks.values() {
        let plain = |question| Wanted { question, list: None };
        wanted.extend(rule.questions(view, &rules.links).into_iter().map(plain));
    }
    wanted
}

/// The answers of a mail; `None`: nobody asked.
fn answers<'v>(view: &View<'v>) -> Option<&'v Answers> {
    view.mail.known.dns.as_deref()
}

/// The first question whose answer the test takes, for people.
fn hit(
    questions: impl IntoIterator<Item = (String, Question)>,
    answers: &Answers,
    takes: impl Fn(&Question, &Answers) -> Option<String>,
) -> Option<String> {
    questions.into_iter().find_map(|(about, question)| {
        takes(&question, answers).map(|reply| format!("{about}: {reply}"))
    })
}

fn relay(function: &'static str, arguments: &Arguments) -> Result<Call, String> {
    // Said at load what is wrong with the rule, not at the first mail.
    RelayRule::read(function, arguments, "")?;
    let key = (function.to_owned(), arguments.all().to_vec());
    Ok(Call::new(move |view| {
        let answers = answers(view)?;
        let rule = view.engine.tables.dns.relays.get(&key)?;
        hit(rule.questions(view, answers, &mut Vec::new()), answers, |question, answers| {
            rule.test.takes_of_list(answers.get(question)?)
        })
    }))
}

/// A list of digests.
fn digest(function: &'static str, arguments: &Arguments) -> Result<Call, String> {
    HashRule::read(function, arguments, arguments.raw)?;
    let key = (function.to_owned(), arguments.all().to_vec(), arguments.raw);
    Ok(Call::new(move |view| {
        let (Some(answers), Some(rule)) = (answers(view), view.engine.tables.dns.hashes.get(&key))
        else {
            return Answer::No;
        };
        let found = rule.questions(view);
        let takes = |question: &Question, answers: &Answers| {
            rule.test.takes_of_list(answers.get(question)?)
        };
        match hit(found.questions, answers, takes) {
            Some(evidence) => Answer::Hit(evidence),
            None if found.whole => Answer::No,
            None => Answer::NotRun("not all of the mail was looked at".to_owned()),
        }
    }))
}

/// A reply that other rules of the same set asked for.
fn part_of_set(arguments: &Arguments) -> Result<Call, String> {
    let set = arguments.text(0).to_owned();
    let test = Test::read(arguments.text(1))?;
    Ok(Call::new(move |view| {
        let answers = answers(view)?;
        let rules = view.engine.tables.dns.relays.values().filter(|rule| rule.set == set);
        rules.into_iter().find_map(|rule| {
            hit(rule.questions(view, answers, &mut Vec::new()), answers, |question, answers| {
                test.takes_of_list(answers.get(question)?)
            })
        })
    }))
}

fn link(arguments: &Arguments) -> Result<Call, String> {
    let name = arguments.text(0).to_owned();
    Ok(Call::new(move |view| {
        let answers = answers(view)?;
        let rules = &view.engine.tables.dns;
        let rule = rules.links.rules.get(&name)?;
        let questions = rules.links.questions(&name, view, answers, &mut Vec::new());
        hit(questions, answers, |question, answers| rule.test.takes_of_list(answers.get(question)?))
    }))
}

fn asked(arguments: &Arguments) -> Result<Call, String> {
    let name = arguments.text(0).to_owned();
    Ok(Call::new(move |view| {
        let answers = answers(view)?;
        let rules = &view.engine.tables.dns;
        let rule = rules.asks.get(&name)?;
        let questions = rule.questions(view, &rules.links).into_iter();
        let questions = questions.map(|question| (question.name.clone(), question));
        hit(questions, answers, |question, answers| rule.takes(answers.get(question)?))
    }))
}

/// What a list holds decides how it is tried.
fn kind_of(by_address: bool) -> ListKind {
    if by_address { ListKind::Address } else { ListKind::Name }
}

#[cfg(test)]
mod tests;
