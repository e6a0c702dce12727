//! Functions that rules call by name (`eval:check_from_in_whitelist()`), a family in each file.
//!
//! A family has its functions in a table `FUNCTIONS`, and the keys of rule files that it reads in a table `KEYS`. What
//! it makes of these lines stands in [`Tables`].

mod arguments;
mod auth;
mod bayes;
mod body;
mod bounce;
mod date;
pub(in crate::filters::spam) mod dns;
mod domain;
mod fields;
mod forged;
mod freemail;
mod from_name;
mod header;
mod html;
mod image;
mod lists;
mod locale;
mod lures;
pub(in crate::filters::spam) mod mime;
mod relay;
mod standing;
mod uri;
mod uri_detail;

use std::fmt;

use crate::filters::Mistake;

use super::relays;
use super::rules::Settings;
use super::text::LinkTables;
use super::view::View;

pub(in crate::filters::spam) use arguments::Arguments;
pub(in crate::filters::spam) use fields::Cells;
pub(in crate::filters::spam) use image::Images;
pub(in crate::filters::spam) use lures::Facts as LureFacts;
pub(in crate::filters::spam) use uri_detail::call as uri_detail;

/// What a function says of a mail.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::filters::spam) enum Answer {
    No,
    /// It hits, and this is what it saw.
    Hit(String),
    /// It cannot be told, and this is why.
    NotRun(String),
}

impl From<bool> for Answer {
    fn from(hits: bool) -> Self {
        if hits { Self::Hit(String::new()) } else { Self::No }
    }
}

impl From<Option<String>> for Answer {
    fn from(evidence: Option<String>) -> Self {
        evidence.map_or(Self::No, Self::Hit)
    }
}

/// A function with its arguments, ready to be asked.
pub(in crate::filters::spam) struct Call(Box<Ask>);

type Ask = dyn Fn(&View<'_>) -> Answer + Send + Sync;

impl Call {
    pub(in crate::filters::spam) fn new<A: Into<Answer>>(
        ask: impl Fn(&View<'_>) -> A + Send + Sync + 'static,
    ) -> Self {
        Self(Box::new(move |view| ask(view).into()))
    }

    pub(in crate::filters::spam) fn ask(&self, view: &View<'_>) -> Answer {
        (self.0)(view)
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Call")
    }
}

/// Makes a call of the arguments that a rule gives; an error is for people.
type Maker = fn(&Arguments) -> Result<Call, String>;

/// A function by its name in rule files.
type Function = (&'static str, Maker);

const FAMILIES: &[&[&[Function]]] = &[
    lists::FUNCTIONS,
    &[
        auth::FUNCTIONS,
        bayes::FUNCTIONS,
        body::FUNCTIONS,
        bounce::FUNCTIONS,
        date::FUNCTIONS,
        dns::FUNCTIONS,
        forged::FUNCTIONS,
        freemail::FUNCTIONS,
        from_name::FUNCTIONS,
        html::FUNCTIONS,
        mime::FUNCTIONS,
        header::FUNCTIONS,
        locale::FUNCTIONS,
        image::FUNCTIONS,
        lures::FUNCTIONS,
        relay::FUNCTIONS,
        standing::FUNCTIONS,
        uri::FUNCTIONS,
    ],
];

/// The names of all functions.
pub(in crate::filters::spam) fn names() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().copied().flatten().copied().flatten().map(|(name, _)| *name)
}

/// The keys of rule files that a family reads.
const KEYS: &[&[&str]] = &[
    auth::KEYS,
    bayes::KEYS,
    bounce::KEYS,
    dns::KEYS,
    freemail::KEYS,
    from_name::KEYS,
    lists::KEYS,
    locale::KEYS,
    relays::KEYS,
    uri::KEYS,
];

/// What families made of the lines of rule files.
#[derive(Debug, Default)]
pub(in crate::filters::spam) struct Tables {
    pub(in crate::filters::spam) freemail: freemail::Freemail,
    pub(in crate::filters::spam) lists: lists::Lists,
    pub(in crate::filters::spam) locales: locale::Locales,
    pub(in crate::filters::spam) names: from_name::Names,
    pub(in crate::filters::spam) networks: relays::Networks,
    pub(in crate::filters::spam) links: LinkTables,
    pub(in crate::filters::spam) learning: bayes::Learning,
    pub(in crate::filters::spam) practices: auth::Practices,
    pub(in crate::filters::spam) dns: dns::DnsRules,
    pub(in crate::filters::spam) relays_of_bounces: bounce::Relays,
}

impl Tables {
    pub(in crate::filters::spam) fn read(settings: &Settings, mistakes: &mut Vec<Mistake>) -> Self {
        Self {
            freemail: freemail::Freemail::read(settings, mistakes),
            links: uri::read(settings, mistakes),
            lists: lists::Lists::read(settings, mistakes),
            locales: locale::Locales::read(settings, mistakes),
            names: from_name::Names::read(settings, mistakes),
            networks: relays::Networks::read(settings, mistakes),
            learning: bayes::Learning::read(settings, mistakes),
            practices: auth::Practices::read(settings, mistakes),
            dns: dns::DnsRules::read(settings, mistakes),
            relays_of_bounces: bounce::Relays::read(settings),
        }
    }
}

/// True if a family reads the lines of that key.
pub(in crate::filters::spam) fn reads(key: &str) -> bool {
    KEYS.iter().any(|keys| keys.contains(&key))
}

/// Why a call cannot be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::filters::spam) enum Uncallable {
    /// There is no such function here.
    Unknown(String),
    /// Its arguments are wrong.
    Wrong(String),
}

/// Reads `name(arguments)`. With `raw:` before it, functions that count text count it with its markup.
///
/// # Errors
/// See [`Uncallable`].
pub(in crate::filters::spam) fn call(text: &str) -> Result<Call, Uncallable> {
    let raw = text.strip_prefix("raw:");
    let (name, mut arguments) = Arguments::read(raw.unwrap_or(text)).map_err(Uncallable::Wrong)?;
    let known =
        FAMILIES.iter().copied().flatten().copied().flatten().find(|(known, _)| *known == name);
    let Some((_, make)) = known else { return Err(Uncallable::Unknown(name.to_owned())) };
    arguments.raw = raw.is_some();
    make(&arguments).map_err(|why| Uncallable::Wrong(format!("{name}: {why}")))
}
