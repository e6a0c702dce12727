//! Pages: HTML, SVG and HTA. The files that stand in their addresses, those that their scripts put together, and
//! whether they carry scripts.

mod data_url;
mod decode;
mod lexer;
mod script;

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use bytes::Bytes;

use self::data_url::DataUrl;
use self::decode::Outcome;
use super::{Ask, Member, Opened};
use crate::mail::{DefectCode, PartFlag};
use crate::mime::budget::Budget;
use crate::mime::html::{self, Cutter, Element, Token, entities};
use crate::mime::links;

/// Files that are taken out of one page.
const FILES_MAX: usize = 500;
/// Scripts in scripts.
const SCRIPTS_MAX: usize = 3;
/// Links that are taken out of scripts.
const LINKS_MAX: usize = 1_000;

/// Opens what [`html::render`] found to be worth it, or a page as a whole; as UTF-8.
pub(in crate::mime::container) fn open(ask: Ask<'_>, opened: &mut Opened) {
    let Ask { data, budget, .. } = ask;
    let text = String::from_utf8_lossy(data);
    let mut page = Page {
        budget,
        opened,
        names: Vec::new(),
        found: Vec::new(),
        seen: HashSet::new(),
        scripts: Vec::new(),
        coded: Vec::new(),
    };
    page.markup(&text);
    page.run_scripts();
    page.finish();
}

/// A script to read, and in how many others it was.
struct Script {
    text: String,
    basic: bool,
    depth: usize,
}

struct Page<'a> {
    budget: &'a mut Budget,
    opened: &'a mut Opened,
    /// Names under which scripts save files.
    names: Vec<String>,
    found: Vec<Member>,
    /// Digests of the strings and files that were looked at.
    seen: HashSet<u64>,
    scripts: Vec<Script>,
    /// Text in which nothing but coded octets stand, for a script to decode.
    coded: Vec<String>,
}

impl Page<'_> {
    /// `text`: a page, or pieces of one with NUL between.
    fn markup(&mut self, text: &str) {
        let xml = Cutter::of(text).xml;
        for piece in text.split('\0') {
            let mut cutter = Cutter { xml, ..Cutter::default() };
            // Some readers take what stands in conditional comments for markup; comments do not nest.
            let mut work = vec![(piece, true)];
            while let Some((mut rest, outer)) = work.pop() {
                while let Some(at) = memchr::memchr(b'<', rest.as_bytes()) {
                    let (shown, tag) = rest.split_at(at);
                    self.coded_text(shown);
                    let (token, behind) = cutter.next(tag);
                    match token {
                        Token::Open(element) => self.element(&element, xml),
                        Token::Comment(comment) if outer && comment.starts_with("[if") => {
                            work.push((comment, false));
                        }
                        Token::Comment(comment) => self.coded_text(comment),
                        Token::Sign | Token::Close(_) | Token::Other => {}
                    }
                    rest = behind;
                    if let Some(code) = self.budget.late() {
                        self.opened.note(code);
                        return;
                    }
                }
                self.coded_text(rest);
            }
        }
    }

    fn coded_text(&mut self, text: &str) {
        if html::is_coded(text) {
            self.coded.push(text.trim().to_owned());
        }
    }

    fn element(&mut self, element: &Element<'_>, xml: bool) {
        let name = &*element.name;
        let kind = element.get("type").or_else(|| element.get("language")).unwrap_or("");
        let kind = kind.to_ascii_lowercase();
        match name {
            "script" => self.script(element, &kind, xml),
            "foreignobject" | "hta:application" => self.opened.flag(PartFlag::Script),
            "style" => {
                for url in html::style_addresses(element.raw.unwrap_or_default()) {
                    self.address(url, &[]);
                }
            }
            _ => {}
        }
        let saved_as = element.get("download").map(|name| entities(name).into_owned());
        let saved_as: Vec<String> = saved_as.into_iter().collect();
        self.names.extend(saved_as.iter().filter(|name| !name.is_empty()).cloned());
        for (attribute, value) in &element.attributes {
            if value.is_empty() {
                continue;
            }
            if html::is_handler(attribute) {
                self.opened.flag(PartFlag::Script);
                self.push_script(entities(value).into_owned(), false, 0);
            } else if attribute == "srcdoc" {
                self.file(Member { data: page_of(&entities(value)), ..Member::default() });
            } else if attribute == "style" {
                for url in html::style_addresses(&entities(value)) {
                    self.address(url, &[]);
                }
            } else if attribute == "content" && name == "meta" {
                let content = entities(value);
                if let Some(at) = find_data(&content) {
                    self.address(content.get(at..).unwrap_or_default(), &[]);
                }
            } else if attribute == "srcset" {
                for url in value.split_ascii_whitespace() {
                    self.address(url, &[]);
                }
            } else {
                self.value(value, &saved_as);
            }
        }
    }

    /// A value that may be an address, or text for a script to decode.
    fn value(&mut self, value: &str, names: &[String]) {
        match html::scheme(value) {
            Some("data") => self.address(&entities(value), names),
            Some(language) => {
                self.opened.flag(PartFlag::Script);
                let text = script::unescape(&entities(value));
                let text = text.split_once(':').map(|(_, text)| text.to_owned());
                self.push_script(text.unwrap_or_default(), language == "vbscript", 0);
            }
            None => self.coded_text(value),
        }
    }

    fn script(&mut self, element: &Element<'_>, kind: &str, xml: bool) {
        let raw = element.raw.unwrap_or_default();
        let runs = ["json", "template", "html", "x-", "text/plain", "importmap", "speculation"]
            .iter()
            .all(|other| !kind.contains(other))
            || kind.contains("javascript");
        if !runs {
            self.coded_text(raw);
            // What stands in strings there is read by scripts.
            if kind.contains("json") {
                self.push_script(raw.to_owned(), false, SCRIPTS_MAX);
            }
            return;
        }
        let linked = ["src", "href", "xlink:href"].iter().any(|name| element.get(name).is_some());
        if !raw.trim().is_empty() || linked {
            self.opened.flag(PartFlag::Script);
        }
        let basic = kind.contains("vb");
        if xml && memchr::memchr(b'&', raw.as_bytes()).is_some() {
            self.push_script(entities(raw).into_owned(), basic, 0);
        }
        self.push_script(raw.to_owned(), basic, 0);
    }

    fn push_script(&mut self, text: String, basic: bool, depth: usize) {
        if depth <= SCRIPTS_MAX && !text.trim().is_empty() && self.is_new("script", &text) {
            self.scripts.push(Script { text, basic, depth });
        }
    }

    fn is_new(&mut self, what: &str, text: &str) -> bool {
        let mut hasher = DefaultHasher::new();
        what.hash(&mut hasher);
        text.hash(&mut hasher);
        self.seen.insert(hasher.finish())
    }

    /// An address that may hold a file; character references are undone.
    fn address(&mut self, url: &str, names: &[String]) {
        if html::scheme(url) == Some("data")
            && let Some(url) = data_url::parse(url)
        {
            self.data_url(url, names);
        }
    }

    fn data_url(&mut self, url: DataUrl, names: &[String]) {
        if url.is_ordinary() {
            return;
        }
        if url.is_script() {
            self.opened.flag(PartFlag::Script);
            let text = String::from_utf8_lossy(&url.data).into_owned();
            self.push_script(text, url.media.contains("vb"), 1);
        }
        let flags = if url.is_still_drawing() { vec![] } else { vec![PartFlag::Smuggled] };
        let names = names.iter().filter(|name| !name.is_empty()).cloned().collect();
        self.file(Member { names, data: url.data.into(), flags, ..Member::default() });
    }

    fn file(&mut self, member: Member) {
        if self.found.iter().any(|known| known.data == member.data && known.names == member.names) {
            return;
        }
        if self.found.len() < FILES_MAX {
            self.found.push(member);
        } else if member.flags.contains(&PartFlag::Smuggled) {
            // Further drawings are nothing but drawings.
            self.opened.note(DefectCode::TooManyFiles);
        }
    }

    fn run_scripts(&mut self) {
        let has_script = self.opened.flags.contains(&PartFlag::Script);
        if has_script {
            for text in std::mem::take(&mut self.coded) {
                self.string(text, 0);
            }
        }
        // In the order of the page; scripts in scripts come after it.
        self.scripts.reverse();
        while let Some(Script { text, basic, depth }) = self.scripts.pop() {
            if let Some(code) = self.budget.late() {
                self.opened.note(code);
                return;
            }
            let found = script::read(&text, basic);
            self.names.extend(found.names);
            for value in found.values {
                self.string(value, depth);
            }
        }
    }

    /// A string of a script, to what it turns out to be.
    fn string(&mut self, text: String, depth: usize) {
        if !self.is_new("string", &text) {
            return;
        }
        if text.starts_with("http") && self.opened.links.len() < LINKS_MAX {
            let found = links::in_text(&text).into_iter().filter(|url| !is_namespace(url));
            self.opened.links.extend(found.map(|url| (url, None)));
        }
        for outcome in decode::look(text, self.budget) {
            match outcome {
                Outcome::File { data, coded } => {
                    let flags = if coded { vec![PartFlag::Smuggled] } else { vec![] };
                    self.file(Member { data, flags, ..Member::default() });
                }
                Outcome::Script(text) => self.push_script(text, false, depth + 1),
                Outcome::Address(url) => self.data_url(url, &[]),
            }
        }
    }

    /// Gives the files; those that scripts made have the names under which they are saved.
    fn finish(self) {
        const NAMES_MAX: usize = 8;
        let mut names: Vec<String> = Vec::new();
        for name in self.names {
            if names.len() < NAMES_MAX && !names.contains(&name) {
                names.push(name);
            }
        }
        for mut member in self.found {
            if member.names.is_empty() && member.flags.contains(&PartFlag::Smuggled) {
                member.names.clone_from(&names);
            }
            self.opened.stored(member, self.budget);
        }
    }
}

fn page_of(text: &str) -> Bytes {
    format!("<html>{text}").into()
}

/// Where an address with a file in it begins.
fn find_data(text: &str) -> Option<usize> {
    memchr::memmem::find_iter(text.as_bytes(), b":")
        .filter_map(|at| at.checked_sub(4))
        .find(|at| text.get(*at..*at + 4).is_some_and(|word| word.eq_ignore_ascii_case("data")))
}

/// Addresses that only name a language of markup.
fn is_namespace(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    ["www.w3.org/", "ns.adobe.com/", "purl.org/"].iter().any(|known| host.starts_with(known))
}

#[cfg(test)]
mod tests;
