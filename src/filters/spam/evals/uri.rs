//! Functions over links, and the lines of rule files that say how links are read.

use std::sync::LazyLock;

use regex::bytes::Regex;

use crate::filters::spam::pattern::Refusal;
use crate::filters::spam::rules::Settings;
use crate::filters::spam::text::{LinkTables, PageLink, is_address, to_ascii};
use crate::filters::spam::view::View;
use crate::filters::{Mistake, Severity, Source};

use super::{Arguments, Call, Function};

/// Links within one link that are followed.
const REDIRECTS_MAX: usize = 32;

pub(super) const KEYS: &[&str] = &[
    "util_rb_tld",
    "util_rb_2tld",
    "util_rb_3tld",
    "clear_util_rb",
    "redirector_pattern",
    "uridnsbl_skip_domain",
    "clear_uridnsbl_skip_domain",
    "parse_dkim_uris",
];

pub(super) const FUNCTIONS: &[Function] = &[
    ("check_https_http_mismatch", https_http_mismatch),
    ("check_https_ip_mismatch", https_ip_mismatch),
    ("check_uri_truncated", uri_truncated),
    ("check_for_http_redirector", http_redirector),
];

/// Reads the lines about links.
pub(super) fn read(settings: &Settings, mistakes: &mut Vec<Mistake>) -> LinkTables {
    let mut tables = LinkTables::default();
    for line in settings.of(KEYS) {
        let wrong = match line.key.as_str() {
            "util_rb_tld" => suffixes(&mut tables, 1, &line.text),
            "util_rb_2tld" => suffixes(&mut tables, 2, &line.text),
            "util_rb_3tld" => suffixes(&mut tables, 3, &line.text),
            "clear_util_rb" => {
                tables.boundaries.clear();
                Ok(())
            }
            "redirector_pattern" => match tables.redirectors.add(&line.text) {
                Err(Refusal::NotBuilt(why)) => {
                    let what = format!("{} {why}; not built yet, so it does nothing", line.key);
                    let warning = mistake(&line.source, what);
                    mistakes.push(Mistake { severity: Severity::Warning, ..warning });
                    Ok(())
                }
                Err(Refusal::Wrong(why)) => Err(why),
                Ok(()) => Ok(()),
            },
            "uridnsbl_skip_domain" => {
                tables.skip.extend(words(&line.text));
                Ok(())
            }
            "parse_dkim_uris" => {
                tables.no_signatures = matches!(line.text.as_str(), "0" | "no");
                Ok(())
            }
            _ => {
                if line.text.is_empty() {
                    tables.skip.clear();
                }
                for domain in words(&line.text) {
                    tables.skip.remove(&domain);
                }
                Ok(())
            }
        };
        if let Err(why) = wrong {
            mistakes.push(mistake(&line.source, format!("{}: {why}", line.key)));
        }
    }
    tables.redirectors.finish();
    tables
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.split_ascii_whitespace().map(str::to_ascii_lowercase)
}

fn suffixes(tables: &mut LinkTables, labels: usize, text: &str) -> Result<(), String> {
    for suffix in text.split_ascii_whitespace() {
        if !tables.boundaries.add(labels, suffix) {
            return Err(format!("`{suffix}` has not {labels} labels"));
        }
    }
    Ok(())
}

fn mistake(source: &Source, what: String) -> Mistake {
    Mistake {
        file: source.file.clone(),
        line: source.line,
        column: 0,
        what,
        hint: String::new(),
        severity: Severity::Error,
    }
}

fn pattern(text: &str) -> Option<Regex> {
    regex::bytes::RegexBuilder::new(text).unicode(false).case_insensitive(true).build().ok()
}

/// A web link with a number for its host.
static NUMBER: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"^https?:/*(?:[^@/]+@)?[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+"));
/// The same in the text of a link, secure only.
static SECURE_NUMBER: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"^https:/*(?:[^@/]+@)?[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+"));
static SECURE: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"https://([^\s/:?#]+)"));
static HOST: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"^https?://([^/:?#]+)"));
/// A link with another one in it: its host, the other link, and that one's host.
static REDIRECT: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"^https?://([^/:?]+).+?(https?:/{0,2}?([^/:?]+).*)\z"));

fn fits(pattern: &LazyLock<Option<Regex>>, text: &[u8]) -> bool {
    pattern.as_ref().is_some_and(|pattern| pattern.is_match(text))
}

/// The group of that number.
fn group<'t>(pattern: &LazyLock<Option<Regex>>, text: &'t [u8], number: usize) -> Option<&'t [u8]> {
    Some(pattern.as_ref()?.captures(text)?.get(number)?.as_bytes())
}

/// A link to a number whose text promises a secure link to a name.
fn https_ip_mismatch(_: &Arguments) -> Result<Call, String> {
    Ok(Call::new(|view| {
        let links = view.pages().iter().flat_map(|page| page.links());
        let mut links = links.filter(|link| fits(&NUMBER, &link.address));
        let promises = |text: &Vec<u8>| {
            !fits(&SECURE_NUMBER, text)
                && text.windows(6).any(|window| window.eq_ignore_ascii_case(b"https:"))
        };
        let link = links.find(|link| link.texts.iter().any(promises));
        link.map(|link| String::from_utf8_lossy(&link.address).into_owned())
    }))
}

/// A link whose text is a secure link to another domain, on a page with so many links that have a text (from the first
/// number to below the second).
fn https_http_mismatch(arguments: &Arguments) -> Result<Call, String> {
    let number = |place: usize| match arguments.text(place) {
        "" => Ok(None),
        text => text.parse::<usize>().map(Some).map_err(|_| format!("`{text}` is no number")),
    };
    let least = number(0)?.unwrap_or(1).max(1);
    let below = number(1)?;
    Ok(Call::new(move |view| {
        view.pages().iter().find_map(|page| {
            let mut anchors = 0;
            let mut hit = None;
            for link in page.links().iter().filter(|link| !link.texts.is_empty()) {
                let Some(domain) = domain_of(view, link) else { continue };
                anchors += 1;
                if below.is_some_and(|below| anchors >= below) {
                    return None;
                }
                hit = hit.or_else(|| other_domain(view, link, &domain));
            }
            hit.filter(|_| anchors >= least)
        })
    }))
}

/// The registered domain of a link that has a name for its host.
fn domain_of(view: &View<'_>, link: &PageLink) -> Option<String> {
    let boundaries = &view.engine.tables.links.boundaries;
    let host = group(&HOST, &link.address, 1)?;
    let host = String::from_utf8_lossy(&to_ascii(host)).into_owned();
    if is_address(&host) {
        return None;
    }
    let domain = boundaries.registered(&host);
    boundaries.of_link(domain.as_bytes())?;
    Some(domain)
}

/// The first secure link in the texts of a link that leads to another domain.
fn other_domain(view: &View<'_>, link: &PageLink, domain: &str) -> Option<String> {
    let boundaries = &view.engine.tables.links.boundaries;
    link.texts.iter().find_map(|text| {
        let host = group(&SECURE, text, 1)?;
        let name = String::from_utf8_lossy(&to_ascii(host)).into_owned();
        let other = if is_address(&name) {
            name
        } else {
            let other = boundaries.registered(&name);
            if !boundaries.ends_well(other.as_bytes()) {
                return None;
            }
            other
        };
        (other != domain).then(|| format!("{other} leads to {domain}"))
    })
}

fn uri_truncated(_: &Arguments) -> Result<Call, String> {
    Ok(Call::new(|view| view.links().truncated))
}

/// A link that leads on to another domain.
fn http_redirector(_: &Arguments) -> Result<Call, String> {
    Ok(Call::new(|view| {
        let links = view.links().segments();
        (0..links.len()).find_map(|index| leads_on(view, links.get(index).0))
    }))
}

fn leads_on(view: &View<'_>, link: &[u8]) -> Option<String> {
    let boundaries = &view.engine.tables.links.boundaries;
    let domain = |host: &[u8]| {
        let known = boundaries.of_link(host).map(|(_, domain)| domain);
        known.unwrap_or_else(|| String::from_utf8_lossy(host).into_owned())
    };
    let mut rest = link;
    for _ in 0..REDIRECTS_MAX {
        let captures = REDIRECT.as_ref()?.captures(rest)?;
        let from = domain(captures.get(1)?.as_bytes());
        let to = domain(captures.get(3)?.as_bytes());
        if from != to {
            return Some(format!("{from} leads to {to}"));
        }
        rest = captures.get(2)?.as_bytes();
    }
    None
}
