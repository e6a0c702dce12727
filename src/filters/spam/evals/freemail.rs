//! Addresses at services where anybody gets one for nothing, in places where a business would have its own.

use std::collections::HashSet;
use std::sync::LazyLock;

use regex::bytes::Regex;

use crate::filters::spam::pattern::{Pattern, Refusal};
use crate::filters::spam::rules::Settings;
use crate::filters::spam::text::Glob;
use crate::filters::spam::view::View;
use crate::filters::{Mistake, Severity};

use super::{Arguments, Call, Function, domain, fields, lists};

pub(super) const KEYS: &[&str] = &[
    "freemail_domains",
    "freemail_whitelist",
    "freemail_welcomelist",
    "freemail_max_body_emails",
    "freemail_max_body_freemails",
    "freemail_skip_when_over_max",
    "freemail_skip_bulk_envfrom",
    "freemail_add_describe_email",
    "freemail_import_whitelist_auth",
    "freemail_import_welcomelist_auth",
    "freemail_import_def_whitelist_auth",
    "freemail_import_def_welcomelist_auth",
];

pub(super) const FUNCTIONS: &[Function] = &[
    ("check_freemail_from", in_senders),
    ("check_freemail_header", in_header),
    ("check_freemail_body", in_body),
    ("check_freemail_replyto", reply_to),
];

/// Addresses that are read out of links.
const LINKED_MAX: usize = 20;
/// Addresses that are read out of a body.
const WRITTEN_MAX: usize = 40;

/// What rule files say.
#[derive(Debug)]
pub(in crate::filters::spam) struct Freemail {
    domains: HashSet<Box<str>>,
    /// With `*` (all but a dot) and `?`.
    patterns: Vec<Box<str>>,
    /// Addresses and domains that do not count.
    welcome: HashSet<Box<str>>,
    addresses_max: usize,
    free_max: usize,
    skip_over_max: bool,
    skip_bulk: bool,
    /// Lists of senders that do not count.
    imported: Vec<&'static str>,
}

impl Default for Freemail {
    fn default() -> Self {
        Self {
            domains: HashSet::new(),
            patterns: Vec::new(),
            welcome: HashSet::new(),
            addresses_max: 5,
            free_max: 3,
            skip_over_max: true,
            skip_bulk: true,
            imported: Vec::new(),
        }
    }
}

impl Freemail {
    pub(super) fn read(settings: &Settings, mistakes: &mut Vec<Mistake>) -> Self {
        let mut out = Self::default();
        for line in settings.of(KEYS) {
            let on = line.text.trim() != "0";
            let wrong = match line.key.as_str() {
                "freemail_domains" => out.add_domains(&line.text),
                "freemail_whitelist" | "freemail_welcomelist" => out.add_welcome(&line.text),
                "freemail_max_body_emails" => number(&line.text, &mut out.addresses_max),
                "freemail_max_body_freemails" => number(&line.text, &mut out.free_max),
                "freemail_skip_when_over_max" => {
                    out.skip_over_max = on;
                    None
                }
                "freemail_skip_bulk_envfrom" => {
                    out.skip_bulk = on;
                    None
                }
                // Evidence is always shown; SpamAssassin's default is the same.
                "freemail_add_describe_email" => (!on).then(|| {
                    "0 has no effect here: the address is always shown as evidence".to_owned()
                }),
                key => {
                    let list = match key.contains("_def_") {
                        true => "def_welcomelist_auth",
                        false => "welcomelist_auth",
                    };
                    out.imported.retain(|other| *other != list);
                    if on {
                        out.imported.push(list);
                    }
                    None
                }
            };
            if let Some(what) = wrong {
                mistakes.push(Mistake {
                    file: line.source.file.clone(),
                    line: line.source.line,
                    column: 0,
                    what: format!("{}: {what}", line.key),
                    hint: String::new(),
                    severity: Severity::Warning,
                });
            }
        }
        out
    }

    fn add_domains(&mut self, text: &str) -> Option<String> {
        let mut wrong = None;
        for word in text.split_ascii_whitespace() {
            let word: Box<str> = word.to_ascii_lowercase().into();
            if !word.bytes().all(|octet| octet.is_ascii_alphanumeric() || b".*?-".contains(&octet))
            {
                wrong = Some(format!("`{word}` is no domain"));
            } else if word.contains(['*', '?']) {
                self.patterns.push(word);
            } else {
                self.domains.insert(word);
            }
        }
        wrong
    }

    fn add_welcome(&mut self, text: &str) -> Option<String> {
        let mut wrong = None;
        for word in text.split_ascii_whitespace() {
            if word.contains(['.', '@']) {
                self.welcome.insert(word.to_ascii_lowercase().into());
            } else {
                wrong = Some(format!("`{word}` is neither an address nor a domain"));
            }
        }
        wrong
    }

    /// Without domains nobody asked for this.
    fn is_used(&self) -> bool {
        !self.domains.is_empty() || !self.patterns.is_empty()
    }

    /// `address` is in lower case.
    fn is_free(&self, view: &View<'_>, address: &str) -> bool {
        let domain = address.rsplit_once('@').map_or(address, |(_, domain)| domain);
        if address.is_empty()
            || self.welcome.contains(address)
            || self.welcome.contains(domain)
            || PATTERNS.roles.is_match(address.as_bytes())
        {
            return false;
        }
        let lists = &view.engine.tables.lists;
        if self.imported.iter().any(|list| lists.holds(list, address.as_bytes())) {
            return false;
        }
        self.domains.contains(domain) || self.patterns.iter().any(|pattern| fits(pattern, domain))
    }
}

fn number(text: &str, slot: &mut usize) -> Option<String> {
    match text.trim().parse() {
        Ok(number) => {
            *slot = number;
            None
        }
        Err(_) => Some(format!("`{}` is no number", text.trim())),
    }
}

/// A `*` stands for anything within a label.
fn fits(pattern: &str, domain: &str) -> bool {
    pattern.split('.').count() == domain.split('.').count()
        && pattern.split('.').zip(domain.split('.')).all(|(one, label)| Glob::new(one).fits(label))
}

struct Patterns {
    /// Addresses of services and machines, which are nobody's own.
    roles: Regex,
    /// Senders of lists, bounces and machines.
    bulk: Regex,
    /// Links with an address inside.
    link: Regex,
    /// What looks like an address; its end is looked at apart.
    address: Regex,
    /// What comes behind an address that is quoted: `wrote:`.
    quoted: Regex,
}

static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| {
    let make = fields::constant;
    Patterns {
        roles: make(
            r"(?i)^(?:abuse|support|sales|info|helpdesk|contact|kontakt|(?:post|host|domain)master|undisclosed.*|request-[a-f0-9]{16}|bounced?-|[a-f0-9]{8}(?:\.[a-f0-9]{8}|-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12})|.+=.+=.+)@",
        ),
        // The set `[._-t]` is a range from `_` to `t`, and a dot: so it was written, and so its points were fitted.
        bulk: make(
            r"(?i)(?:^(?:post|host|domain)master|^double-bounce|^(?:sentto|owner|return|(?:gr)?bounced?)-.+|-(?:request|bounces?|admin|owner)|\b(?:do[._-t]?)?no[._-t]?repl(?:y|ies)|.+=.+)@",
        ),
        link: make(r"(?i)<?https?://\S{0,255}(?:@|%40)\S{0,255}"),
        address: make(
            r"(?i)[a-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*@(?:[a-z0-9](?:[a-z0-9-]{0,59}[a-z0-9])?\.)+[a-z0-9-]+",
        ),
        quoted: make(r"^(?:>|\s{1,10}([A-Za-z]+):)"),
    }
});

/// Reads a pattern that a rule gives.
fn pattern(arguments: &Arguments, place: usize) -> Result<Option<Pattern>, String> {
    let text = arguments.text(place);
    if text.is_empty() {
        return Ok(None);
    }
    match Pattern::compile(text.as_bytes(), "") {
        Ok(pattern) => Ok(Some(pattern)),
        Err(Refusal::Wrong(why)) => Err(format!("`{text}` is no pattern: {why}")),
        Err(Refusal::NotBuilt(why)) => Err(format!("`{text}` {why}")),
    }
}

fn matches(pattern: Option<&Pattern>, address: &str) -> bool {
    pattern.is_none_or(|pattern| pattern.is_match(address.as_bytes()))
}

fn lower(all: Vec<Vec<u8>>) -> Vec<String> {
    all.iter().map(|address| String::from_utf8_lossy(address).to_ascii_lowercase()).collect()
}

fn table<'v>(view: &'v View<'_>) -> &'v Freemail {
    &view.engine.tables.freemail
}

fn first_free(view: &View<'_>, all: Vec<String>, pattern: Option<&Pattern>) -> Option<String> {
    let table = table(view);
    all.into_iter().find(|address| matches(pattern, address) && table.is_free(view, address))
}

fn in_senders(arguments: &Arguments) -> Result<Call, String> {
    let pattern = pattern(arguments, 0)?;
    Ok(Call::new(move |view| {
        if !table(view).is_used() {
            return None;
        }
        first_free(view, lower(lists::senders(view)), pattern.as_ref())
    }))
}

fn in_header(arguments: &Arguments) -> Result<Call, String> {
    let name = arguments.text(0).to_owned();
    if name.is_empty() {
        return Err("the name of a field is missing".to_owned());
    }
    let pattern = pattern(arguments, 1)?;
    Ok(Call::new(move |view| {
        if !table(view).is_used() {
            return None;
        }
        first_free(view, lower(fields::addresses(view, &name)), pattern.as_ref())
    }))
}

fn in_body(arguments: &Arguments) -> Result<Call, String> {
    let pattern = pattern(arguments, 0)?;
    Ok(Call::new(move |view| {
        if !table(view).is_used() {
            return None;
        }
        let all = body(view)?;
        all.into_iter().find(|address| matches(pattern.as_ref(), address))
    }))
}

/// `('replyto')`: replies go to a free address, but the sender or the text has another one. `('reply')`: the same, and
/// a sender with a free address and no Reply-To counts too.
fn reply_to(arguments: &Arguments) -> Result<Call, String> {
    let sender_counts = match arguments.text(0) {
        "" | "replyto" => false,
        "reply" => true,
        other => return Err(format!("`{other}` is neither `replyto` nor `reply`")),
    };
    Ok(Call::new(move |view| different_reply(view, sender_counts)))
}

fn different_reply(view: &View<'_>, sender_counts: bool) -> Option<String> {
    let table = table(view);
    if !table.is_used() {
        return None;
    }
    let bulk = |sender: &Vec<u8>| PATTERNS.bulk.is_match(sender);
    if table.skip_bulk && view.relays().sender.as_ref().is_some_and(bulk) {
        return None;
    }
    let from = lower(fields::addresses(view, "From"));
    let reply = lower(fields::addresses(view, "Reply-To"));
    let free = |all: &[String]| all.iter().any(|address| table.is_free(view, address));
    let (from_is_free, reply_is_free) = (free(&from), free(&reply));
    if from_is_free && reply_is_free && !from.iter().any(|address| reply.contains(address)) {
        return Some(format!("{} -> {}", from.join(","), reply.join(",")));
    }
    if sender_counts {
        // The sender is asked even if there is a free Reply-To, as in SpamAssassin.
        if (!reply.is_empty() && !reply_is_free) || !from_is_free {
            return None;
        }
    } else if !reply_is_free {
        return None;
    }
    let compared = if reply_is_free || !sender_counts { &reply } else { &from };
    for written in body(view)? {
        if let Some(other) = compared.iter().find(|address| **address != written) {
            return Some(format!("{other}, {written}"));
        }
    }
    None
}

/// The free addresses in the body; `None` if it holds so many addresses that they tell nothing.
fn body(view: &View<'_>) -> Option<Vec<String>> {
    let table = table(view);
    let mut seen = HashSet::new();
    let mut all = linked(view);
    all.retain(|address| seen.insert(address.clone()));
    all.truncate(LINKED_MAX);
    let body = view.body();
    for place in 0..body.len() {
        written(view, body.get(place).0, &mut |address| {
            if all.len() < WRITTEN_MAX && seen.insert(address.clone()) {
                all.push(address);
            }
        });
        if all.len() >= WRITTEN_MAX {
            break;
        }
    }
    if table.skip_over_max && table.addresses_max > 0 && all.len() >= table.addresses_max {
        return None;
    }
    all.retain(|address| table.is_free(view, address));
    (!table.skip_over_max || table.free_max == 0 || all.len() < table.free_max).then_some(all)
}

/// Addresses in links of pages.
fn linked(view: &View<'_>) -> Vec<String> {
    let anchors = view.links().all().iter();
    let anchors =
        anchors.filter(|link| link.types.contains(&"a") && !link.types.contains(&"parsed"));
    let addresses = anchors.filter_map(|link| {
        let (head, text) = link.raw.split_at_checked(7)?;
        let (range, _) = next_address(view, text, 0)?;
        let starts = head.eq_ignore_ascii_case(b"mailto:") && range.start == 0;
        starts.then(|| text.get(range)).flatten().map(<[u8]>::to_vec)
    });
    lower(addresses.take(LINKED_MAX).collect())
}

/// Addresses in a paragraph, but not those of links, those in angle brackets, and those of quoted authors.
fn written(view: &View<'_>, paragraph: &[u8], take: &mut dyn FnMut(String)) {
    if !paragraph.contains(&b'@') {
        return;
    }
    let text = PATTERNS.link.replace_all(paragraph, b" ".as_slice());
    let mut from = 0;
    while let Some((range, next)) = next_address(view, &text, from) {
        from = next;
        let before = text.get(..range.start).unwrap_or_default();
        let link = before.len() >= 7
            && before
                .get(before.len() - 7..)
                .is_some_and(|word| word.eq_ignore_ascii_case(b"mailto:"));
        let behind = text.get(range.end..).unwrap_or_default();
        if !link && is_quoted(behind) {
            continue;
        }
        take(String::from_utf8_lossy(text.get(range).unwrap_or_default()).to_ascii_lowercase());
    }
}

/// `>`, or a word like `wrote:` that is not that of another way to be reached.
fn is_quoted(behind: &[u8]) -> bool {
    const OTHER_WAYS: [&[u8]; 9] =
        [b"fax", b"facsi", b"tel", b"phone", b"email", b"e-mail", b"mail", b"emai", b"e-mai"];
    let Some(found) = PATTERNS.quoted.captures(behind) else { return false };
    let Some(word) = found.get(1).map(|word| word.as_bytes().to_ascii_lowercase()) else {
        return true;
    };
    (2..=11).contains(&word.len()) && !OTHER_WAYS.iter().any(|way| word.starts_with(way))
}

/// The next address whose domain ends in one of the root, and where to look further.
fn next_address(
    view: &View<'_>,
    text: &[u8],
    from: usize,
) -> Option<(std::ops::Range<usize>, usize)> {
    let mut from = from;
    while let Some(found) = PATTERNS.address.find_at(text, from) {
        from = found.end();
        let Some(at) = memchr::memrchr(b'@', found.as_bytes()) else { continue };
        let host = found.as_bytes().get(at + 1..).unwrap_or_default();
        // The longest end that is a domain; five labels and 64 octets of a user are enough.
        let host_text = std::str::from_utf8(host).unwrap_or_default();
        let labels = host_text.split('.').count();
        let dot = text.get(found.end()..).and_then(|rest| rest.first()) == Some(&b'.')
            && text.get(found.end() + 1).is_some_and(u8::is_ascii_alphanumeric);
        if at <= 64 && labels <= 5 && !dot && domain::ends_well(view, host_text) {
            return Some((found.range(), found.end()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_fit_label_by_label() {
        for (pattern, domain, want) in [
            ("yahoo.*", "yahoo.fr", true),
            ("yahoo.*", "yahoo.co.uk", false),
            ("yahoo.co.*", "yahoo.co.uk", true),
            ("mail?.example", "mail1.example", true),
            ("*.example", "a.b.example", false),
        ] {
            assert_eq!(fits(pattern, domain), want, "{pattern} {domain}");
        }
    }

    #[test]
    fn quoted_authors_do_not_count() {
        for (behind, want) in [
            ("> wrote", true),
            (" wrote: x", true),
            (" tel: 12", false),
            (" e: x", false),
            (" and more", false),
        ] {
            assert_eq!(is_quoted(behind.as_bytes()), want, "{behind}");
        }
        assert!(PATTERNS.bulk.is_match(b"list-bounces@example.org"));
        assert!(PATTERNS.roles.is_match(b"info@example.org"));
    }
}
