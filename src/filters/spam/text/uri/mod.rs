//! Links as SpamAssassin's rules see them: those of the text a reader sees and those of HTML tags, each as it was
//! written and in the forms that readers and browsers make of it.

mod canonical;
mod domain;
mod host;
mod page;
mod redirect;
mod search;
mod target;

use std::collections::{HashMap, HashSet};

use super::Segments;
use canonical::Reader;
use redirect::{Effort, Redirectors};
use search::{Found, Kind, Search, starts_with};

pub(in crate::filters::spam) use domain::{Boundaries, is_address, is_name, to_ascii};
pub(in crate::filters::spam) use page::{PageLink, PageLinks, ROOM};
pub(in crate::filters::spam) use redirect::delimited;

/// Links of a mail that are looked at.
const LINKS_MAX: usize = 4_000;
/// Octets of all forms of all links.
const FORMS_MAX: usize = 1 << 20;
/// Octets of forms that are made, those that are known already with them: one link in every part costs no more. Far
/// beyond what a mail has whose links differ.
const MADE_MAX: usize = 16 << 20;

/// What rule files say about links.
#[derive(Debug, Default)]
pub(in crate::filters::spam) struct LinkTables {
    pub(in crate::filters::spam) boundaries: Boundaries,
    pub(in crate::filters::spam) redirectors: Redirectors,
    /// Domains that no list is asked about.
    pub(in crate::filters::spam) skip: HashSet<String>,
    /// Domains of signatures do not count as links.
    pub(in crate::filters::spam) no_signatures: bool,
}

/// What is known of a link.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::filters::spam) struct Link {
    /// As it stands in the mail; in text without a scheme, the one that is meant comes before it.
    pub(in crate::filters::spam) raw: Vec<u8>,
    /// All its forms, the raw one too.
    pub(in crate::filters::spam) forms: Vec<Vec<u8>>,
    /// The tags it stands in; `parsed` for text, `schemeless` and `unlinked` for what readers make no link of; for
    /// links of other parts than text, what the part is.
    pub(in crate::filters::spam) types: Vec<&'static str>,
    /// The texts of its anchors.
    pub(in crate::filters::spam) texts: Vec<Vec<u8>>,
    /// The hosts of its forms, each with the domain that somebody registered.
    pub(in crate::filters::spam) hosts: Vec<(String, String)>,
    /// It stands in a part that is no text, where SpamAssassin does not look: rules see it only if they ask for such
    /// a type.
    pub(in crate::filters::spam) elsewhere: bool,
}

impl Link {
    fn add_types(&mut self, types: &[&'static str]) {
        for kind in types {
            if !self.types.contains(kind) {
                self.types.push(kind);
            }
        }
    }

    fn rank(&self) -> u8 {
        let has = |kind: &str| self.types.contains(&kind);
        match () {
            () if has("a") && self.texts.iter().any(|text| !text.is_empty()) => 0,
            () if has("a") => 5,
            () if has("form") => 1,
            () if has("img") => 2,
            () if self.types == ["parsed"] => 4,
            () => 3,
        }
    }
}

/// The links of a mail.
#[derive(Debug, Clone, Default)]
pub(in crate::filters::spam) struct Links {
    all: Vec<Link>,
    by_raw: HashMap<Vec<u8>, usize>,
    seen: HashSet<Vec<u8>>,
    forms_size: usize,
    /// Octets of all forms that were made.
    made: usize,
    /// A link was too long to be looked at whole.
    pub(in crate::filters::spam) truncated: bool,
    /// So many were left out, because there are too many: one that stands there several times counts each time.
    pub(in crate::filters::spam) left_out: usize,
    effort: Effort,
}

impl Links {
    /// Links of which nobody knows where they lead, because that would take too long.
    pub(in crate::filters::spam) fn unfinished(&self) -> usize {
        self.effort.unfinished.get()
    }

    pub(in crate::filters::spam) fn all(&self) -> &[Link] {
        &self.all
    }

    /// All forms of all links of text, each once: what `uri` rules look at.
    pub(in crate::filters::spam) fn segments(&self) -> Segments {
        let mut out = Segments::default();
        let mut seen: HashSet<&[u8]> = HashSet::new();
        let listed = self.all.iter().filter(|link| !link.elsewhere);
        for form in listed.flat_map(|link| &link.forms) {
            if seen.insert(form) {
                out.push(form);
            }
        }
        out
    }

    /// The hosts, each with its registered domain, that lists are worth being asked about, the most telling first:
    /// links with a text, forms, images, other tags, plain text, links without a text. Mail addresses do not count.
    pub(in crate::filters::spam) fn hosts(
        &self,
        tables: &LinkTables,
        limit: usize,
    ) -> Vec<(&str, &str)> {
        let mut links: Vec<(u8, &Link)> = self
            .all
            .iter()
            .filter(|link| !link.elsewhere && !starts_with(&link.raw, b"mailto:"))
            .map(|link| (link.rank(), link))
            .collect();
        links.sort_by_key(|(rank, _)| *rank);
        let mut out: Vec<(&str, &str)> = Vec::new();
        for (host, domain) in links.iter().flat_map(|(_, link)| &link.hosts) {
            let skipped = tables.skip.contains(domain) || tables.skip.contains(host);
            if out.len() < limit && !skipped && !out.iter().any(|(known, _)| known == host) {
                out.push((host, domain));
            }
        }
        out
    }

    /// Adds the links of a text.
    pub(in crate::filters::spam) fn add_text(&mut self, text: &[u8], tables: &LinkTables) {
        for found in Search::new(text, &tables.boundaries) {
            let raw = without_tail(found.text);
            if self.seen.contains(raw) {
                continue;
            }
            if self.seen.len() >= LINKS_MAX {
                self.left_out += 1;
                continue;
            }
            self.seen.insert(raw.to_vec());
            if let Some((link, types)) = meant(raw, &found, &tables.boundaries) {
                self.add(&link, &types, How { must_exist: true, ..How::default() }, tables);
            }
        }
    }

    /// Adds the domains that signatures of the header name: `d=` of `DKIM-Signature` (RFC 6376 section 3.5).
    pub(in crate::filters::spam) fn add_signatures(&mut self, fields: &[u8], tables: &LinkTables) {
        if tables.no_signatures {
            return;
        }
        let types = ["domainkeys", "nocanon", "noclean"];
        let how = How { must_exist: true, only_host: true, ..How::default() };
        let mut rest = fields;
        let mut before = None;
        while let Some((octet, behind)) = rest.split_first() {
            let begins = *octet == b'd'
                && !before.is_some_and(|octet: u8| octet.is_ascii_alphanumeric() || octet == b'_');
            before = Some(*octet);
            rest = behind;
            if !begins {
                continue;
            }
            if let Some(value) = trim_start(behind).strip_prefix(b"=") {
                let value = domain::before(trim_start(value), |octet| octet == b';');
                let name: Vec<u8> =
                    value.iter().copied().filter(|one| !domain::is_space(*one)).collect();
                if !name.is_empty() {
                    self.add(&[b"domainkeys:".as_slice(), &name].concat(), &types, how, tables);
                }
            }
        }
    }

    /// Adds the links of an HTML page.
    pub(in crate::filters::spam) fn add_page(&mut self, page: &PageLinks, tables: &LinkTables) {
        self.truncated |= page.truncated;
        self.left_out += page.left_out;
        for link in page.links() {
            let types: &[&'static str] =
                if link.types.is_empty() { &["parsed"] } else { &link.types };
            let how = How { wide: page.wide, ..How::default() };
            let Some(place) = self.add(&link.address, types, how, tables) else { continue };
            let Some(known) = self.all.get_mut(place) else { continue };
            let mut seen: HashSet<&[u8]> = HashSet::new();
            known.texts.extend(link.texts.iter().filter(|text| seen.insert(text)).cloned());
        }
    }

    /// Adds a link of a part that is no text. `kind` says what the part is.
    pub(in crate::filters::spam) fn add_elsewhere(
        &mut self,
        link: &str,
        text: Option<&str>,
        kind: &'static str,
        tables: &LinkTables,
    ) {
        let known = self.by_raw.contains_key(link.as_bytes());
        let Some(place) = self.add(link.as_bytes(), &[kind], How::default(), tables) else {
            return;
        };
        let Some(link) = self.all.get_mut(place) else { return };
        link.elsewhere = link.elsewhere || !known;
        link.texts.extend(text.map(|text| text.as_bytes().to_vec()));
    }

    /// Adds a link, or what is new about it.
    fn add(
        &mut self,
        raw: &[u8],
        types: &[&'static str],
        how: How,
        tables: &LinkTables,
    ) -> Option<usize> {
        let place = self.by_raw.get(raw).copied();
        let tired = self.made > MADE_MAX;
        if place.is_none() && (self.all.len() >= LINKS_MAX || self.forms_size > FORMS_MAX || tired)
        {
            self.left_out += 1;
            return None;
        }
        let LinkTables { boundaries, redirectors, .. } = tables;
        let reader = Reader { boundaries, redirectors, effort: &self.effort, wide: how.wide };
        let mut forms = match how.only_host {
            _ if tired => Vec::new(),
            true => vec![raw.to_vec()],
            false => reader.forms(raw),
        };
        self.made += forms.iter().map(Vec::len).sum::<usize>();
        if forms.iter().any(|form| form.len() > canonical::LINK_MAX) {
            self.truncated = true;
            forms.iter_mut().for_each(|form| form.truncate(canonical::LINK_MAX));
            let mut seen = HashSet::new();
            forms.retain(|form| seen.insert(form.clone()));
        }
        let mut hosts: Vec<(String, String)> = Vec::new();
        for form in &forms {
            if let Some(host) = boundaries.of_link(form)
                && !hosts.contains(&host)
            {
                hosts.push(host);
            }
        }
        if how.must_exist && hosts.is_empty() {
            return None;
        }
        let Some(place) = place else {
            let place = self.all.len();
            let forms = if how.only_host { Vec::new() } else { forms };
            self.forms_size += forms.iter().map(Vec::len).sum::<usize>();
            let mut link = Link { raw: raw.to_vec(), forms, hosts, ..Link::default() };
            link.add_types(types);
            self.by_raw.insert(raw.to_vec(), place);
            self.all.push(link);
            return Some(place);
        };
        let link = self.all.get_mut(place)?;
        for form in forms.into_iter().filter(|_| !how.only_host) {
            if !link.forms.contains(&form) {
                self.forms_size += form.len();
                link.forms.push(form);
            }
        }
        for host in hosts {
            if !link.hosts.contains(&host) {
                link.hosts.push(host);
            }
        }
        link.add_types(types);
        Some(place)
    }
}

fn trim_start(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|octet| !domain::is_space(*octet)).unwrap_or(text.len());
    text.get(start..).unwrap_or_default()
}

/// How a link is added.
#[derive(Clone, Copy, Default)]
struct How {
    /// Only with a host that could exist.
    must_exist: bool,
    /// It is characters, not octets.
    wide: bool,
    /// It is no link but the name of a host: rules do not see it, lists may be asked about it.
    only_host: bool,
}

/// Without what readers take for the sentence around a link: a `)` that nothing opened, and signs at the end.
fn without_tail(link: &[u8]) -> &[u8] {
    let head = domain::before(link, |octet| octet == b'(');
    let link = match memchr::memrchr(b')', head) {
        Some(end) => link.get(..end).unwrap_or_default(),
        None => link,
    };
    let end = link.iter().rposition(|octet| !b"-~!@#^&*()_+=:;'?,.".contains(octet));
    link.get(..end.map_or(0, |end| end + 1)).unwrap_or_default()
}

/// The link that a piece of text means, with its types; `None`: it only looks like one.
fn meant(
    raw: &[u8],
    found: &Found<'_>,
    boundaries: &Boundaries,
) -> Option<(Vec<u8>, Vec<&'static str>)> {
    if found.kind == Kind::Mail && !raw.contains(&b'@') {
        return None;
    }
    if found.host.is_some_and(|host| !domain::is_name(&host.to_ascii_lowercase())) {
        return None;
    }
    // Names of parts (`cid:…@…`) look like mail addresses.
    if starts_with(raw, b"cid:") || starts_with(raw, b"mid:") || is_empty(raw) {
        return None;
    }
    let mut types = vec!["parsed"];
    let with_scheme = ["https:", "http:", "ftp:", "mailto:"];
    let mut link = raw.to_vec();
    if !with_scheme.iter().any(|scheme| starts_with(raw, scheme.as_bytes())) {
        link = with_meant_scheme(raw, &mut types)?;
        types.push("schemeless");
    }
    if starts_with(&link, b"mailto:") {
        if canonical::has_escape(&link) {
            link = canonical::decode(&link, false);
        }
        let at = memchr::memchr(b'@', &link)?;
        let behind = link.get(at + 1..)?;
        let mut host = domain::before(behind, |octet| matches!(octet, b'?' | b'&' | b'>'));
        while let Some(shorter) = host.strip_suffix(b"%20") {
            host = shorter;
        }
        if !boundaries.ends_well(&to_ascii(host)) {
            return None;
        }
    }
    Some((link, types))
}

/// A scheme and nothing behind it.
fn is_empty(link: &[u8]) -> bool {
    let name = domain::before(link, |octet| !(octet.is_ascii_alphanumeric() || octet == b'_'));
    let behind = link.get(name.len()..).unwrap_or_default();
    !name.is_empty() && matches!(behind, b":" | b":/" | b"://")
}

fn with_meant_scheme(raw: &[u8], types: &mut Vec<&'static str>) -> Option<Vec<u8>> {
    let digits = raw.iter().skip(3).take(2).take_while(|octet| octet.is_ascii_digit()).count();
    let at = memchr::memchr(b'@', raw);
    let last_at = memchr::memrchr(b'@', raw);
    let slash = memchr::memchr(b'/', raw);
    let scheme: &[u8] = if starts_with(raw, b"ftp.") {
        b"ftp://"
    } else if starts_with(raw, b"www") && raw.get(3 + digits) == Some(&b'.') {
        b"http://"
    } else if matches!((slash, last_at), (Some(slash), Some(at)) if slash + 1 < at) {
        // No mail address has a slash before its host.
        b"http://"
    } else if let Some(at) = at {
        let host = raw.get(at + 2..).unwrap_or_default();
        if !host.contains(&b'.') || memchr::memmem::find(raw, b"&nbsp;").is_some() {
            return None;
        }
        return Some([b"mailto:", without_label(raw)].concat());
    } else if raw.contains(&b'.') {
        types.push("unlinked");
        b"http://"
    } else {
        return None;
    };
    Some([scheme, raw].concat())
}

/// Without `E-mail:` before an address.
fn without_label(raw: &[u8]) -> &[u8] {
    let labels = [b"skype".as_slice(), b"e-mail", b"email", b"-mail", b"mail", b""];
    for label in labels.into_iter().filter(|label| starts_with(raw, label)) {
        let behind = raw.get(label.len()..).unwrap_or_default();
        let colons = behind.iter().take_while(|octet| **octet == b':').count();
        if colons > 0 {
            return behind.get(colons..).unwrap_or_default();
        }
    }
    raw
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::filters::spam::text::html::{Anchor, Html, HtmlUri};

    fn tables() -> LinkTables {
        let mut tables = LinkTables::default();
        for top in ["com", "org", "uk"] {
            assert!(tables.boundaries.add(1, top));
        }
        assert!(tables.boundaries.add(2, "co.uk"));
        tables
    }

    fn found(text: &str) -> Vec<(String, String)> {
        let mut links = Links::default();
        links.add_text(text.as_bytes(), &tables());
        let text = |link: &Link| String::from_utf8_lossy(&link.raw).into_owned();
        links.all().iter().map(|link| (text(link), link.types.join(" "))).collect()
    }

    #[test]
    fn text_gives_the_links_it_means() {
        const HOST: &str = "parsed unlinked schemeless";
        let cases: [(&str, &[(&str, &str)]); 17] = [
            ("(see http://a.org/x).", &[("http://a.org/x", "parsed")]),
            ("http://a.org/x_(y)", &[("http://a.org/x_(y", "parsed")]),
            ("www.a.org!", &[("http://www.a.org", "parsed schemeless")]),
            ("ftp.a.org", &[("ftp://ftp.a.org", "parsed schemeless")]),
            ("me@a.org?", &[("mailto:me@a.org", "parsed schemeless")]),
            ("E-Mail:me@a.org", &[("mailto:me@a.org", "parsed schemeless")]),
            ("me@a.org/x/me@b.org", &[("http://me@a.org/x/me@b.org", "parsed schemeless")]),
            ("mailto:me%2e@a%2eorg mailto:me%40a.org", &[("mailto:me.@a.org", "parsed")]),
            ("Vi@gra V@a.nowhere", &[]),
            ("cid:image@a.org http:// mailto:", &[]),
            ("a.org a.org a.b.co.uk", &[("http://a.org", HOST), ("http://a.b.co.uk", HOST)]),
            ("a_b.org", &[]),
            ("http://a.nowhere/", &[]),
            ("http://192.0.2.1/", &[("http://192.0.2.1/", "parsed")]),
            ("x&nbsp;me@a.org", &[]),
            ("me@a", &[]),
            ("", &[]),
        ];
        for (text, want) in cases {
            let want: Vec<(String, String)> =
                want.iter().map(|(link, types)| ((*link).into(), (*types).into())).collect();
            assert_eq!(found(text), want, "{text}");
        }
    }

    #[test]
    fn one_link_in_every_part_is_taken_apart_a_few_times() {
        let tables = tables();
        let address = "http://a.org/".repeat(600);
        let page = Html {
            uris: vec![HtmlUri { tag: "a".to_owned(), value: address, base: None }],
            ..Html::default()
        };
        let mut links = Links::default();
        for _ in 0..200 {
            links.add_page(&PageLinks::read(&page, false, &mut ROOM.clone()), &tables);
        }
        assert!(links.made <= MADE_MAX + (1 << 20), "{}", links.made);
        assert_eq!(links.all().len(), 1);
        assert!(links.all().iter().all(|link| link.types == ["a"]));
    }

    #[test]
    fn a_page_adds_types_and_texts() {
        let tables = tables();
        let mut links = Links::default();
        links.add_text(b"http://a.org/", &tables);
        let uri = |tag: &str, value: &str| HtmlUri {
            tag: tag.to_owned(),
            value: value.to_owned(),
            base: None,
        };
        let here = Anchor { href: "http://a.org/".to_owned(), text: "here".to_owned() };
        let page = Html {
            uris: vec![uri("a", "http://a.org/"), uri("img", "x/y.gif")],
            anchors: vec![here.clone(), here],
            ..Html::default()
        };
        let page = PageLinks::read(&page, false, &mut page::ROOM.clone());
        links.add_page(&page, &tables);
        let [first, second] = links.all() else { panic!("{links:?}") };
        assert_eq!(first.types, ["parsed", "a"]);
        assert_eq!(first.texts, [b"here"]);
        assert_eq!(first.hosts, [("a.org".to_owned(), "a.org".to_owned())]);
        assert_eq!(
            second.forms,
            [b"x/y.gif".to_vec(), b"http://x/y.gif".to_vec(), b"http://www.x.com/y.gif".to_vec()]
        );
    }

    #[test]
    fn signatures_name_domains_that_lists_are_asked_about() {
        let tables = tables();
        let mut links = Links::default();
        let fields = b"v=1; d = mail.a.org; bd=b.org\n; s=x; d=c.nowhere; d=d.\n org";
        links.add_signatures(fields, &tables);
        let raw: Vec<&[u8]> = links.all().iter().map(|link| link.raw.as_slice()).collect();
        assert_eq!(raw, [b"domainkeys:mail.a.org".as_slice(), b"domainkeys:d.org"]);
        assert_eq!(links.segments().len(), 0);
        assert_eq!(links.hosts(&tables, 5), [("mail.a.org", "a.org"), ("d.org", "d.org")]);
        assert_eq!(links.hosts(&tables, 1).len(), 1);
    }

    #[test]
    fn links_of_other_parts_are_kept_apart() {
        let tables = tables();
        let mut links = Links::default();
        links.add_text(b"http://a.org/", &tables);
        links.add_elsewhere("http://a.org/", None, "pdf", &tables);
        links.add_elsewhere("http://b.org/", Some("pay"), "pdf", &tables);
        assert_eq!(links.segments().len(), 1);
        let kinds: Vec<(bool, String)> =
            links.all().iter().map(|link| (link.elsewhere, link.types.join(" "))).collect();
        assert_eq!(kinds, [(false, "parsed pdf".to_owned()), (true, "pdf".to_owned())]);
    }

    #[test]
    fn a_flood_of_links_is_bounded() {
        let tables = tables();
        let mut links = Links::default();
        let text: String = (0..20_000).map(|at| format!("http://a{at}.org/ ")).collect();
        links.add_text(text.as_bytes(), &tables);
        assert_eq!(links.all().len(), LINKS_MAX);
    }

    proptest! {
        #[test]
        fn no_octets_make_it_fail(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut links = Links::default();
            links.add_text(&text, &tables());
        }
    }
}
