//! Bounces of mail that we sent: they quote a `Received` field of one of our own relays.

use std::sync::LazyLock;

use regex::bytes::{Regex, RegexBuilder};

use crate::filters::spam::rules::Settings;
use crate::filters::spam::text::Glob;
use crate::filters::spam::view::View;

use super::{Arguments, Call, Function};

/// Octets of one field in the body that are looked at.
const FIELD_MAX: usize = 8_192;

pub(super) const KEYS: &[&str] = &["whitelist_bounce_relays", "welcomelist_bounce_relays"];

pub(super) const FUNCTIONS: &[Function] = &[
    ("have_any_bounce_relays", have_any),
    ("check_whitelist_bounce_relays", quoted),
    ("check_welcomelist_bounce_relays", quoted),
];

/// Hosts through which our mail goes out.
#[derive(Debug, Default)]
pub(in crate::filters::spam) struct Relays(Vec<Glob>);

impl Relays {
    pub(super) fn read(settings: &Settings) -> Self {
        let words = settings.of(KEYS).flat_map(|line| line.text.split_ascii_whitespace());
        Self(words.map(Glob::new).collect())
    }

    fn has(&self, host: &[u8]) -> bool {
        let host = String::from_utf8_lossy(host);
        self.0.iter().any(|glob| glob.fits(&host))
    }
}

fn pattern(text: &str) -> Option<Regex> {
    RegexBuilder::new(text).unicode(false).case_insensitive(true).build().ok()
}

static RECEIVED: LazyLock<Option<Regex>> = LazyLock::new(|| pattern("^[> ]*Received:"));
/// A host between blanks. Each blank counts for one host only.
static HOST: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"\s(\S+\.\S+)\s"));
/// The same in a paragraph, where white space is one blank.
static HOST_IN_TEXT: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r" (\S+\.\S+) "));

fn is_received(text: &[u8]) -> bool {
    RECEIVED.as_ref().is_some_and(|pattern| pattern.is_match(text))
}

fn have_any(_: &Arguments) -> Result<Call, String> {
    Ok(Call::new(|view| !view.engine.tables.relays_of_bounces.0.is_empty()))
}

fn quoted(_: &Arguments) -> Result<Call, String> {
    Ok(Call::new(|view| {
        let relays = &view.engine.tables.relays_of_bounces;
        if relays.0.is_empty() {
            return None;
        }
        in_text(view, relays).or_else(|| in_fields(view.octets_of_body(), relays))
    }))
}

fn in_text(view: &View<'_>, relays: &Relays) -> Option<String> {
    let body = view.body();
    let pieces = (0..body.len()).map(|index| body.get(index).0);
    pieces.filter(|piece| is_received(piece)).find_map(|piece| listed(piece, &HOST_IN_TEXT, relays))
}

fn listed(text: &[u8], pattern: &LazyLock<Option<Regex>>, relays: &Relays) -> Option<String> {
    let hosts = pattern.as_ref()?.captures_iter(text);
    let mut hosts = hosts.filter_map(|captures| Some(captures.get(1)?.as_bytes()));
    hosts.find(|host| relays.has(host)).map(|host| String::from_utf8_lossy(host).into_owned())
}

/// Looks at what may be fields anywhere in the body, their further lines too.
fn in_fields(body: &[u8], relays: &Relays) -> Option<String> {
    let mut field: Vec<u8> = Vec::new();
    let mut begun = false;
    for line in body.split(|octet| *octet == b'\n') {
        begun = begun || is_received(line);
        if !begun {
            continue;
        }
        if !line.first().is_some_and(u8::is_ascii_whitespace) {
            if let Some(host) = in_field(&field, relays) {
                return Some(host);
            }
            field.clear();
        }
        let room = FIELD_MAX.saturating_sub(field.len());
        field.extend_from_slice(line.get(..room).unwrap_or(line));
    }
    in_field(&field, relays)
}

fn in_field(field: &[u8], relays: &Relays) -> Option<String> {
    if is_received(field) { listed(field, &HOST, relays) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_field_tells_that_the_mail_was_ours() {
        let relays = Relays(vec![Glob::new("mx*.example.org")]);
        for (body, want) in [
            ("x\n> Received: from a.b by mx1.example.org with\n", true),
            ("Received: from a (b)\n\tby MX2.example.org for\n", true),
            ("From: a\n by mx1.example.org with\n", false),
            ("Received: by mx1.example.net with\n", false),
            ("Received: by mx1.example.org", false),
            ("x\n  Received: by mx1.example.org with\n", true),
            ("", false),
        ] {
            assert_eq!(in_fields(body.as_bytes(), &relays).is_some(), want, "{body:?}");
        }
    }

    #[test]
    fn a_field_without_end_takes_no_long_time() {
        let relays = Relays(vec![Glob::new("mx.example.org")]);
        let body = format!("Received: x\n{}", " a.b\n".repeat(200_000));
        assert_eq!(in_fields(body.as_bytes(), &relays), None);
    }
}
