//! The texts that rules look at, as SpamAssassin makes them from the octets of the message.
//!
//! [`header`] and [`parts`] take the message apart, [`html`] renders pages, [`body`] makes texts of all of it. What is
//! cut is cut where SpamAssassin cuts; where it has no limit, one of ours stands, far behind what it ever looks at.

mod address;
mod body;
mod charset;
pub(in crate::filters::spam) mod content_type;
pub(in crate::filters::spam) mod fuzzing;
pub(in crate::filters::spam) mod header;
mod hosts;
pub(in crate::filters::spam) mod html;
pub(in crate::filters::spam) mod parts;
pub(in crate::filters::spam) mod perl;
mod rendered;
mod segments;
mod selector;
mod transfer;
mod uri;
mod words;

pub(crate) use address::{Glob, senders};
pub(in crate::filters::spam) use body::{Cut, LeftOut, Shown, paragraphs, raw as raw_body};
pub(in crate::filters::spam) use segments::Segments;
pub(in crate::filters::spam) use selector::Selector;
pub(in crate::filters::spam) use uri::{
    Boundaries, Link, LinkTables, Links, PageLink, PageLinks, ROOM as LINKS_ROOM, delimited,
    is_address, to_ascii,
};

use super::view::View;

/// Octets looked at from the start of the whole message.
const HEAD_MAX: usize = 1024 * 1024;
/// Octets looked at before its end.
const TAIL_MAX: usize = 64 * 1024;

/// Octets of the fields of all parts as one text.
const JOINED_MAX: usize = 256 * 1024;

/// What a rule looks at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::filters::spam) enum Target {
    /// Fields of the top header.
    Header(Selector),
    /// The same field of every part.
    MimeHeader(Selector, Scope),
    /// The subject and the paragraphs a reader sees.
    Body,
    /// Decoded text parts with their markup.
    RawBody,
    /// The message as it came, lines ended by LF.
    Full,
    /// Links, and addresses as `mailto:`.
    Uri,
}

impl Target {
    /// The text of a mail.
    pub(in crate::filters::spam) fn text(&self, view: &View<'_>) -> Segments {
        match self {
            Self::Header(selector) => Segments::one(selector.text(view)),
            Self::MimeHeader(selector, scope) => {
                let texts = scope.of(view.parts().all()).map(|part| selector.of_part(part));
                scope.segments(texts)
            }
            Self::Body => view.body().clone(),
            Self::RawBody => view.raw_body().clone(),
            Self::Full => full(view.octets()),
            Self::Uri => view.links().segments(),
        }
    }

    /// The text that an example stands for; see [`crate::filters::spam::Engine::run_examples`].
    pub(in crate::filters::spam) fn example(&self, text: &str) -> Segments {
        let mut out = Segments::default();
        match self {
            Self::Header(selector) | Self::MimeHeader(selector, _) => {
                out.push(&selector.of_example(unescape(text).as_bytes()));
            }
            Self::Body => {
                out.push(b"\n");
                body::example(text, &mut out);
            }
            Self::RawBody | Self::Full => out.push(unescape(text).as_bytes()),
            Self::Uri => out.push(text.as_bytes()),
        }
        out
    }
}

/// Of which parts a rule sees the fields, and how.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::filters::spam) struct Scope {
    /// The first and the last part, from 1, which is the message itself.
    pub(in crate::filters::spam) first: usize,
    pub(in crate::filters::spam) last: usize,
    /// All as one text; this stands for fields that are not there.
    pub(in crate::filters::spam) joined: Option<Vec<u8>>,
}

impl Default for Scope {
    fn default() -> Self {
        Self { first: 1, last: usize::MAX, joined: None }
    }
}

impl Scope {
    /// Reads `2`, `2-`, `-3`, `2-3`.
    pub(in crate::filters::spam) fn range(text: &str) -> Option<(usize, usize)> {
        let number = |text: &str| text.parse::<usize>().ok();
        match text.split_once('-') {
            Some(("", last)) => Some((1, number(last)?)),
            Some((first, "")) => Some((number(first)?, usize::MAX)),
            Some((first, last)) => Some((number(first)?, number(last)?)),
            None => number(text).map(|only| (only, only)),
        }
    }

    fn of<'p>(
        &self,
        parts: impl Iterator<Item = &'p parts::Part>,
    ) -> impl Iterator<Item = &'p parts::Part> {
        let first = self.first.max(1);
        parts.take(self.last).skip(first - 1)
    }

    fn segments(&self, texts: impl Iterator<Item = Option<Vec<u8>>>) -> Segments {
        let mut out = Segments::default();
        let Some(unset) = &self.joined else {
            for text in texts {
                match text {
                    Some(text) => out.push(&text),
                    None => out.push_absent(),
                }
            }
            return out;
        };
        let mut all = Vec::new();
        for text in texts {
            all.extend_from_slice(text.as_ref().unwrap_or(unset));
            if !all.ends_with(b"\n") || text.as_ref().unwrap_or(unset).is_empty() {
                all.push(b'\n');
            }
            all.truncate(JOINED_MAX);
        }
        out.push(&all);
        out
    }
}

/// `\n`, `\t` and `\\` in examples.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            out.push(letter);
            continue;
        }
        match letters.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('\\') => out.push('\\'),
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    out
}

/// Octets in the middle of a long message that rules over the whole message do not see.
pub(in crate::filters::spam) fn not_in_full(message: &[u8]) -> usize {
    message.len().saturating_sub(HEAD_MAX + TAIL_MAX)
}

/// The message with line ends as LF. Of what is very long, head and tail.
fn full(message: &[u8]) -> Segments {
    let mut out = Segments::default();
    if message.len() <= HEAD_MAX + TAIL_MAX {
        out.push(message);
        return out;
    }
    out.push(message.get(..HEAD_MAX).unwrap_or_default());
    out.push(message.get(message.len() - TAIL_MAX..).unwrap_or_default());
    out
}
