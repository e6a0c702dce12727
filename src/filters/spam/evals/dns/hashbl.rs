//! Lists of digests: `check_hashbl_emails`, `_uris`, `_bodyre`, `_tag` and `_attachments`.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::LazyLock;

use regex::bytes::Regex;

use crate::filters::dns::{Question, RecordKind};
use crate::filters::spam::evals::{Arguments, domain, lists};
use crate::filters::spam::pattern::{Machine, Pattern, Refusal};
use crate::filters::spam::rules::Settings;
use crate::filters::spam::run;
use crate::filters::spam::text::{Segments, is_address};
use crate::filters::spam::view::View;

use super::emails::{self, Without};
use super::options::Options;
use super::test::Test;
use super::{ask, links::Links};

/// Questions of one rule about one mail, if it does not say how many.
const ASKED: usize = 10;
/// At most, whatever it says.
const ASKED_MAX: usize = 50;
/// Values that are gathered before some of them are chosen.
const GATHERED_MAX: usize = 1_000;
/// Steps of a pattern in one mail: some milliseconds.
const STEPS: u64 = 1_000_000;
/// Octets of all parts whose digests are made.
const HASHED_MAX: usize = 64 << 20;
/// The group whose text is asked.
const CAUGHT: &str = "HASHBL";

pub(super) const KEYS: &[&str] = &[
    "hashbl_ignore",
    "hashbl_email_domain_alias",
    "hashbl_email_welcomelist",
    "hashbl_email_whitelist",
];

/// Users' names that belong to no person, and addresses that programs make.
const ROLES: &str = "(?i)^(?:abuse|support|sales|info|helpdesk|contact|kontakt|(?:post|host|domain)master|\
    undisclosed.*|request-[a-f0-9]{16}|bounced?-|\
    [a-f0-9]{8}(?:\\.[a-f0-9]{8}|-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12})|.+=.+=.+)@";

/// What rule files say about all such lists.
#[derive(Debug, Default)]
pub(super) struct Spared {
    /// Values and digests that are never asked about, in lower case.
    ignored: BTreeSet<String>,
    /// Domains that stand for others.
    aliases: BTreeMap<String, String>,
    roles: Option<Regex>,
}

impl Spared {
    pub(super) fn read(
        settings: &Settings,
        mut wrong: impl FnMut(&crate::filters::Source, String),
    ) -> Self {
        let mut spared = Self::default();
        for line in settings.of(KEYS) {
            let text = line.text.to_lowercase();
            let mut words = text.split_ascii_whitespace().map(str::to_owned);
            match line.key.as_str() {
                "hashbl_ignore" => spared.ignored.extend(words),
                "hashbl_email_domain_alias" => match words.next() {
                    Some(domain) if !text.contains('@') => {
                        spared.aliases.extend(words.map(|alias| (alias, domain.clone())));
                    }
                    _ => wrong(
                        &line.source,
                        "write a domain, then those that stand for it".to_owned(),
                    ),
                },
                _ => match regex(&line.text) {
                    Ok(roles) => spared.roles = Some(roles),
                    Err(why) => wrong(&line.source, why),
                },
            }
        }
        spared
    }

    fn is_role(&self, address: &str) -> bool {
        static KNOWN: LazyLock<Option<Regex>> = LazyLock::new(|| regex(ROLES).ok());
        let roles = self.roles.as_ref().or(KNOWN.as_ref());
        roles.is_some_and(|roles| roles.is_match(address.as_bytes()))
    }
}

fn regex(text: &str) -> Result<Regex, String> {
    let text = text.trim();
    let inside = text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')).unwrap_or(text);
    regex::bytes::RegexBuilder::new(inside)
        .unicode(false)
        .size_limit(1 << 20)
        .build()
        .map_err(|error| format!("the pattern cannot be read: {error}"))
}

/// A rule that asks such a list.
#[derive(Debug)]
pub(super) struct HashRule {
    pub(super) zone: String,
    pub(super) test: Test,
    kind: RecordKind,
    options: Options,
    about: About,
}

#[derive(Debug)]
enum About {
    /// Addresses in these fields, or in the `body`.
    Emails(Vec<String>),
    Links,
    /// What the group of a pattern catches.
    Text {
        pattern: Box<Pattern>,
        name: String,
        raw: bool,
    },
    /// A fact of the mail, or what a named group of a rule caught.
    Tag(String),
    Parts,
}

/// The pattern with a name for its first group, and the name; `None`: it has no group.
fn with_name(pattern: &str) -> Option<(String, String)> {
    let (mut escaped, mut in_class, mut at_start) = (false, false, false);
    for (at, letter) in pattern.char_indices() {
        let first_of_class = std::mem::take(&mut at_start);
        match letter {
            _ if std::mem::take(&mut escaped) => {}
            '\\' => escaped = true,
            '^' if in_class && first_of_class => at_start = true,
            ']' if in_class && !first_of_class => in_class = false,
            _ if in_class => {}
            '[' => (in_class, at_start) = (true, true),
            '(' => {
                let (front, behind) = pattern.split_at_checked(at + 1)?;
                let named = ["?<", "?P<", "?'"].iter().find_map(|open| behind.strip_prefix(open));
                if let Some(name) = named.filter(|name| !name.starts_with(['=', '!'])) {
                    let name = name.split(['>', '\'']).next()?;
                    return Some((pattern.to_owned(), name.to_owned()));
                }
                if !behind.starts_with(['?', '*']) {
                    return Some((format!("{front}?<{CAUGHT}>{behind}"), CAUGHT.to_owned()));
                }
            }
            _ => {}
        }
    }
    None
}

/// What is asked, each with what it is about; and whether that is all of it.
pub(super) struct Found {
    pub(super) questions: Vec<(String, Question)>,
    pub(super) whole: bool,
}

impl HashRule {
    /// Reads a call; `None`: it is another function.
    pub(super) fn read(
        function: &str,
        arguments: &Arguments,
        raw: bool,
    ) -> Result<Option<Self>, String> {
        const PLAIN: &str = "sha1/max=10/shuffle";
        let (default, test, about) = match function {
            "check_hashbl_emails" => {
                if !matches!(arguments.text(4), "" | "all") {
                    return Err("lists of domains (`hashbl_acl_…`) are not built".to_owned());
                }
                let fields = match arguments.text(2) {
                    "" => "ALLFROM/Reply-To/body",
                    fields => fields,
                };
                let fields = fields.split('/').map(|one| one.trim().to_owned()).collect();
                ("sha1/notag/noquote/max=10/shuffle", 3, About::Emails(fields))
            }
            "check_hashbl_uris" => (PLAIN, 2, About::Links),
            "check_hashbl_bodyre" => {
                let (pattern, name) = with_name(arguments.text(2))
                    .ok_or("the pattern needs a group ( ) for what is asked")?;
                let compiled = Pattern::compile(pattern.as_bytes(), "");
                let pattern = compiled.map_err(|refusal| match refusal {
                    Refusal::NotBuilt(why) => format!("the pattern cannot be run: {why}"),
                    Refusal::Wrong(why) => format!("the pattern cannot be read: {why}"),
                })?;
                (PLAIN, 3, About::Text { pattern: Box::new(pattern), name, raw })
            }
            "check_hashbl_tag" => {
                let tag = arguments.text(2);
                let inside = tag.strip_prefix('_').and_then(|rest| rest.strip_suffix('_'));
                let tag = inside.unwrap_or(tag).to_uppercase();
                if tag.is_empty() {
                    return Err("the name of a tag is missing".to_owned());
                }
                (PLAIN, 3, About::Tag(tag))
            }
            "check_hashbl_attachments" => (PLAIN, 2, About::Parts),
            _ => return Ok(None),
        };
        let options = Options::read(arguments.text(1), default);
        if options.has("raw") && matches!(about, About::Links | About::Parts) {
            return Err("`raw` has no meaning here: name a digest, for example sha1".to_owned());
        }
        let list = arguments.text(0).to_lowercase();
        let (zone, kind) = match list.rsplit_once('/') {
            Some((zone, "txt")) => (zone, RecordKind::Txt),
            Some((zone, "a")) => (zone, RecordKind::A),
            Some((_, other)) => return Err(format!("such a list cannot be asked for {other}")),
            None => (list.as_str(), RecordKind::A),
        };
        let zone = zone.trim_matches('.').to_owned();
        if zone.is_empty() {
            return Err("the zone is missing".to_owned());
        }
        let test = Test::read(arguments.text(test))?;
        Ok(Some(Self { zone, test, kind, options, about }))
    }

    /// What it asks about a mail.
    pub(super) fn questions(&self, view: &View<'_>) -> Found {
        let rules = &view.engine.tables.dns;
        let spared = &rules.spared;
        let mut whole = true;
        let values: Vec<String> = match &self.about {
            About::Parts => {
                let digests = self.parts(view, spared, &mut whole);
                return Found { questions: self.ask(digests, spared), whole };
            }
            About::Emails(fields) => self.emails(view, fields, spared),
            About::Links => self.links(view),
            About::Text { pattern, name, raw } => {
                let text = if *raw { view.raw_body() } else { view.body() };
                self.caught(text, pattern, name, &mut whole)
            }
            About::Tag(tag) => self.tag(view, tag, &rules.links),
        };
        let mut seen = BTreeSet::new();
        let values = values.into_iter().filter(|value| {
            !value.is_empty()
                && !spared.ignored.contains(&value.to_lowercase())
                && seen.insert(value.clone())
        });
        let digests = self.chosen(values.collect()).into_iter();
        let digests = digests.map(|value| (self.options.digest(value.as_bytes()), value));
        let digests = digests.map(|(digest, value)| (value, digest)).collect();
        Found { questions: self.ask(digests, spared), whole }
    }

    fn ask(&self, digests: Vec<(String, String)>, spared: &Spared) -> Vec<(String, Question)> {
        let fits = |digest: &String| {
            let label = |label: &str| (1..=63).contains(&label.len());
            digest.len() + self.zone.len() < 250
                && digest.bytes().all(|octet| octet.is_ascii_graphic() && octet != b'\\')
                && digest.split('.').all(label)
        };
        let question = |(about, digest): (String, String)| {
            let known = spared.ignored.contains(&digest.to_lowercase());
            let name = format!("{digest}.{}", self.zone);
            (!known && fits(&digest)).then(|| (about, Question::new(&name, self.kind)))
        };
        digests.into_iter().filter_map(question).collect()
    }

    /// As many values as may be asked about. With `shuffle`, nobody who writes a mail can know which.
    fn chosen(&self, mut values: Vec<String>) -> Vec<String> {
        static CHANCE: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        let max = self.options.number("max").filter(|max| *max > 0).unwrap_or(ASKED).min(ASKED_MAX);
        if values.len() > max && self.options.has("shuffle") {
            values.sort_by_cached_key(|value| CHANCE.hash_one(value));
        }
        values.truncate(max);
        values
    }

    fn emails(&self, view: &View<'_>, fields: &[String], spared: &Spared) -> Vec<String> {
        let own: BTreeSet<String> =
            ["X-Original-To", "Apparently-To", "Delivered-To", "Envelope-To"]
                .iter()
                .flat_map(|name| super::fields::addresses(view, name))
                .map(|address| String::from_utf8_lossy(&address).to_lowercase())
                .collect();
        let mut out = Vec::new();
        for address in fields.iter().flat_map(|field| self.addresses(view, field)) {
            let Some((user, domain)) = address.rsplit_once('@') else { continue };
            let lower = domain.to_lowercase();
            let domain = spared.aliases.get(&lower).map_or(domain, String::as_str);
            let address = format!("{user}@{domain}");
            if own.contains(&address.to_lowercase())
                || spared.is_role(&address)
                || is_skipped(view, &domain.to_lowercase())
            {
                continue;
            }
            let mut user = user.to_owned();
            if self.options.has("nodot") {
                user = user.replace('.', "");
            }
            if self.options.has("notag")
                && let Some((front, _)) = user.split_once('+')
            {
                user = front.to_owned();
            }
            out.push(self.options.cased(if self.options.has("domain") {
                domain::owned(view, &domain.to_lowercase())
            } else if self.options.has("host") {
                domain.to_owned()
            } else if self.options.has("user") {
                user
            } else {
                format!("{user}@{domain}")
            }));
            if out.len() >= GATHERED_MAX {
                break;
            }
        }
        out
    }

    fn addresses(&self, view: &View<'_>, field: &str) -> Vec<String> {
        let boundaries = &view.engine.tables.links.boundaries;
        let plain = Without::default();
        match field {
            "ALLFROM" => {
                let text = |one: &Vec<u8>| String::from_utf8_lossy(one).into_owned();
                lists::senders(view).iter().map(text).collect()
            }
            "body" => {
                // Links to addresses are no text that a reader sees.
                let links = view.links().all().iter();
                let links = links.filter(|link| {
                    !link.elsewhere && link.types.contains(&"a") && !link.types.contains(&"parsed")
                });
                let mail = links.filter_map(|link| {
                    let head = link.raw.get(..7)?;
                    head.eq_ignore_ascii_case(b"mailto:").then_some(link.raw.get(7..)?)
                });
                let mail: Vec<&[u8]> = mail.take(GATHERED_MAX).collect();
                let mut found = emails::find(&mail.join(&b'\n'), plain, boundaries);
                let without = Without {
                    links: self.options.has("nouri"),
                    quotes: self.options.has("noquote"),
                };
                found.extend(emails::find(view.body().buffer(), without, boundaries));
                found
            }
            name => emails::find(&super::fields::value(view, name), plain, boundaries),
        }
    }

    /// The forms of links that readers can follow.
    fn links(&self, view: &View<'_>) -> Vec<String> {
        let mut out = Vec::new();
        for link in view.links().all() {
            let seen = link.types.contains(&"a") || link.types.contains(&"parsed");
            let mail = link.raw.get(..7).is_some_and(|head| head.eq_ignore_ascii_case(b"mailto:"));
            let skip = &view.engine.tables.links.skip;
            let skipped = link
                .hosts
                .iter()
                .any(|(host, domain)| skip.contains(host) || skip.contains(domain));
            if link.elsewhere || !seen || mail || skipped || link.hosts.is_empty() {
                continue;
            }
            let text =
                |form: &Vec<u8>| self.options.cased(String::from_utf8_lossy(form).into_owned());
            out.extend(link.forms.iter().map(text));
            if out.len() >= GATHERED_MAX {
                break;
            }
        }
        out
    }

    fn caught(
        &self,
        text: &Segments,
        pattern: &Pattern,
        name: &str,
        whole: &mut bool,
    ) -> Vec<String> {
        let mut machine = Machine::new(STEPS);
        let mut out = Vec::new();
        'pieces: for index in 0..text.len() {
            let (piece, _) = text.get(index);
            let mut from = 0;
            while let Some(range) = pattern.find(piece, from, &mut machine) {
                from = range.end.max(range.start + 1).max(from + 1);
                let group = pattern.named(&machine).find(|(known, _)| *known == name);
                let Some((_, group)) = group else { continue };
                let caught = String::from_utf8_lossy(piece.get(group).unwrap_or_default());
                let mut value = self.options.cased(caught.into_owned());
                if self.options.has("num") {
                    value.retain(|letter| letter.is_ascii_digit());
                }
                out.push(value);
                if out.len() >= GATHERED_MAX {
                    break 'pieces;
                }
            }
            if machine.left == 0 {
                *whole = false;
                break;
            }
        }
        out
    }

    fn tag(&self, view: &View<'_>, tag: &str, links: &Links) -> Vec<String> {
        let values = match ask::values(tag, view, links) {
            Some(values) => values.into_iter().collect(),
            None => run::caught(view.engine, view.mail, tag),
        };
        let has = |word: &str| self.options.has(word);
        let trims = has("trim");
        let mut out = Vec::new();
        for value in values {
            let value = self.options.cased(value);
            if is_address(&value) {
                let is_v4 = !value.contains(':');
                if (has("ipv4") && !is_v4) || (has("ipv6") && is_v4) {
                    continue;
                }
                let reversed = has("revip").then(|| value.parse().ok()).flatten();
                out.push(reversed.map_or(value, crate::filters::dns::reversed));
                continue;
            }
            let is_name = crate::filters::dnsbl::is_host(&value);
            let only_address = ["ip", "ipv4", "ipv6"].iter().any(|word| has(word));
            let unfit = (has("fqdn") || trims) && !is_name
                || (has("tld") || trims) && !domain::ends_well(view, &value.to_lowercase());
            if only_address || unfit || (is_name && is_skipped(view, &value.to_lowercase())) {
                continue;
            }
            out.push(if trims { domain::owned(view, &value.to_lowercase()) } else { value });
        }
        out
    }

    /// Digests of parts, each with the name of its part.
    fn parts(&self, view: &View<'_>, spared: &Spared, whole: &mut bool) -> Vec<(String, String)> {
        let mut room = HASHED_MAX;
        let mut digests: BTreeMap<String, String> = BTreeMap::new();
        for part in view.parts().leaves().take(GATHERED_MAX) {
            let name = part.name.clone().unwrap_or_default();
            let size = part.decoded().len();
            let (min, max) = (self.options.number("minsize"), self.options.number("maxsize"));
            if size == 0
                || spared.ignored.contains(&part.kind.to_lowercase())
                || spared.ignored.contains(&name.to_lowercase())
                || min.is_some_and(|min| size < min)
                || max.is_some_and(|max| size > max)
            {
                continue;
            }
            match room.checked_sub(size) {
                Some(left) => room = left,
                None => {
                    *whole = false;
                    continue;
                }
            }
            let about = if name.is_empty() { part.kind.clone() } else { name };
            digests.entry(self.options.digest(part.decoded())).or_insert(about);
        }
        let chosen = self.chosen(digests.keys().cloned().collect());
        chosen.into_iter().filter_map(|one| Some((digests.get(&one)?.clone(), one))).collect()
    }
}

/// The host is one that no list is asked about.
fn is_skipped(view: &View<'_>, host: &str) -> bool {
    let skip = &view.engine.tables.links.skip;
    skip.contains(host) || skip.contains(&domain::owned(view, host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_group_gets_a_name() {
        for (pattern, want, name) in [
            (r"\b([13]x)\b", Some(r"\b(?<HASHBL>[13]x)\b"), CAUGHT),
            (r"(?i)a(?:b)[(](c)(d)", Some(r"(?i)a(?:b)[(](?<HASHBL>c)(d)"), CAUGHT),
            (r"[](]\((x)", Some(r"[](]\((?<HASHBL>x)"), CAUGHT),
            (r"[^](](x)", Some(r"[^](](?<HASHBL>x)"), CAUGHT),
            (r"(?<=a)(?<ID>x)(y)", Some(r"(?<=a)(?<ID>x)(y)"), "ID"),
            (r"(?:a)\(b", None, ""),
            ("", None, ""),
        ] {
            let got = with_name(pattern);
            assert_eq!(got, want.map(|want| (want.to_owned(), name.to_owned())), "{pattern}");
        }
    }

    #[test]
    fn roles_are_no_persons() {
        let spared = Spared::default();
        for (address, want) in [
            ("Postmaster@a.test", true),
            ("info@a.test", true),
            ("information@a.test", false),
            ("request-0123456789abcdef@a.test", true),
            ("x=y=z@a.test", true),
            ("jo@a.test", false),
        ] {
            assert_eq!(spared.is_role(address), want, "{address}");
        }
    }
}
