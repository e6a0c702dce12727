//! Functions that rules call by name (`eval:check_from_in_whitelist()`), a family in each file.
//!
//! A family has its functions in a table `FUNCTIONS`, and the keys of rule files that it reads in a table `KEYS`. What
//! it makes of these lines stands in [`Tables`].

mod arguments;
mod body;
mod bounce;
mod html;
pub(in crate::filters::spam) mod image;
mod lists;
pub(in crate::filters::spam) mod mime;
mod uri;
mod uri_detail;

use std::fmt;

use crate::filters::Mistake;

use super::rules::Settings;
use super::text::LinkTables;
use super::view::View;

pub(in crate::filters::spam) use arguments::Arguments;
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

const FAMILIES: [&[Function]; 7] = [
    body::FUNCTIONS,
    bounce::FUNCTIONS,
    html::FUNCTIONS,
    image::FUNCTIONS,
    lists::FUNCTIONS,
    mime::FUNCTIONS,
    uri::FUNCTIONS,
];

/// The keys of rule files that a family reads.
const KEYS: [&[&str]; 3] = [lists::KEYS, uri::KEYS, bounce::KEYS];

/// What families made of the lines of rule files.
#[derive(Debug, Default)]
pub(in crate::filters::spam) struct Tables {
    pub(in crate::filters::spam) lists: lists::Lists,
    pub(in crate::filters::spam) links: LinkTables,
    pub(in crate::filters::spam) relays_of_bounces: bounce::Relays,
}

impl Tables {
    pub(in crate::filters::spam) fn read(settings: &Settings, mistakes: &mut Vec<Mistake>) -> Self {
        Self {
            lists: lists::Lists::read(settings, mistakes),
            links: uri::read(settings, mistakes),
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
    let known = FAMILIES.iter().copied().flatten().find(|(known, _)| *known == name);
    let Some((_, make)) = known else { return Err(Uncallable::Unknown(name.to_owned())) };
    arguments.raw = raw.is_some();
    make(&arguments).map_err(|why| Uncallable::Wrong(format!("{name}: {why}")))
}
