//! Links of an HTML page: of which tags, under which address, with which text.

use std::collections::HashMap;

use super::LINKS_MAX;
use super::canonical::LINK_MAX;
use super::domain::is_space;
use super::search::starts_with;
use super::target::resolve;

/// Octets of all anchors' texts of a page.
const TEXT_MAX: usize = 256 * 1024;

/// A link of a page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::filters::spam) struct PageLink {
    /// The address, as far as it is known from the page.
    pub(in crate::filters::spam) address: Vec<u8>,
    /// Tags that lead there. None: only the text of an anchor whose address is written another way.
    pub(in crate::filters::spam) types: Vec<&'static str>,
    /// What stands between `<a>` and `</a>`; an image is `<img>` and a line end.
    pub(in crate::filters::spam) texts: Vec<Vec<u8>>,
}

/// Gathers the links while a page is read tag by tag.
///
/// As SpamAssassin has it, the text of an anchor stands under the address as it is written, its type under the address
/// it means: for relative addresses these are two entries, and an anchor without `href` has its text under the empty
/// address.
#[derive(Debug, Clone, Default)]
pub(in crate::filters::spam) struct PageLinks {
    links: Vec<PageLink>,
    by_address: HashMap<Vec<u8>, usize>,
    base: Vec<u8>,
    /// Anchors that are open.
    open: usize,
    /// The link of the anchor that was opened last.
    anchor: Option<usize>,
    texts_size: usize,
    /// A link was longer than [`LINK_MAX`].
    pub(in crate::filters::spam) truncated: bool,
}

impl PageLinks {
    pub(in crate::filters::spam) fn links(&self) -> &[PageLink] {
        &self.links
    }

    /// A tag opens. Its name is in lower case, and so are those of its attributes; of attributes with the same name the
    /// last one counts.
    pub(in crate::filters::spam) fn open<'a>(
        &mut self,
        tag: &str,
        attributes: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
    ) {
        let get = |want: &str| {
            let named = attributes.clone().filter(|(name, _)| *name == want.as_bytes());
            named.last().map(|(_, value)| value)
        };
        // `<a title="x"/href="y">`: what follows a slash is the name.
        let get_loose = |want: &str| {
            let loose = attributes.clone().filter(|(name, _)| is_behind_slash(name, want));
            loose.last().map(|(_, value)| value).or_else(|| get(want))
        };
        match tag {
            "a" | "area" | "link" => {
                let href = get_loose("href").map(without_marks);
                if let Some(href) = &href {
                    self.push(tag_name(tag), href);
                }
                if let Some(link) = get("data-saferedirecturl") {
                    self.push(tag_name(tag), link);
                }
                if tag == "a" {
                    self.open_anchor(href.as_deref().unwrap_or_default());
                }
            }
            "img" | "frame" | "iframe" | "embed" | "script" | "bgsound" => {
                if let Some(source) = get_loose("src") {
                    self.push(tag_name(tag), source);
                }
                if tag == "img" && self.open > 0 {
                    self.append(b"<img>\n");
                }
            }
            "body" | "table" | "tr" | "td" => {
                if let Some(link) = get("background") {
                    self.push(tag_name(tag), link);
                }
            }
            "form" => {
                if let Some(link) = get("action") {
                    self.push("form", link);
                }
            }
            "base" => {
                if let Some(link) = get("href").filter(|link| !link.is_empty() && *link != b"0") {
                    self.base(link);
                }
            }
            "meta" => {
                if let (Some(event), Some(content)) = (get("http-equiv"), get("content"))
                    && find(event, b"refresh").is_some()
                    && let Some(link) = refresh_target(content)
                {
                    self.push("meta", link);
                }
            }
            _ => {}
        }
    }

    /// A tag closes.
    pub(in crate::filters::spam) fn close(&mut self, tag: &str) {
        if tag == "a" {
            self.open = self.open.saturating_sub(1);
        }
    }

    /// Text between tags, but for that of scripts and styles.
    pub(in crate::filters::spam) fn text(&mut self, text: &[u8]) {
        if self.open > 0 {
            self.append(text);
        }
    }

    fn open_anchor(&mut self, href: &[u8]) {
        self.open += 1;
        let address = self.trim(href).to_vec();
        self.anchor = self.entry(address);
        if let Some(link) = self.anchor.and_then(|place| self.links.get_mut(place)) {
            link.texts.push(Vec::new());
        }
    }

    fn append(&mut self, text: &[u8]) {
        let room = TEXT_MAX.saturating_sub(self.texts_size);
        let text = text.get(..room).unwrap_or(text);
        let link = self.anchor.and_then(|place| self.links.get_mut(place));
        if let Some(last) = link.and_then(|link| link.texts.last_mut()) {
            last.extend_from_slice(text);
            self.texts_size += text.len();
        }
    }

    fn push(&mut self, tag: &'static str, link: &[u8]) {
        let link = self.trim(link);
        if link.is_empty() {
            return;
        }
        let whole = [b"data:".as_slice(), b"mailto:", b"file:", b"cid:", b"tel:"];
        let address = if whole.iter().any(|scheme| starts_with(link, scheme)) {
            link.to_vec()
        } else {
            resolve(&self.base, link)
        };
        if address.is_empty() {
            return;
        }
        if let Some(link) = self.entry(address).and_then(|place| self.links.get_mut(place))
            && !link.types.contains(&tag)
        {
            link.types.push(tag);
        }
    }

    /// `<base href>`: relative links begin there from now on. Only whole web addresses count.
    fn base(&mut self, link: &[u8]) {
        self.push("base", link);
        let link = self.trim(link);
        if !["https:", "http:", "ftp:"].iter().any(|scheme| starts_with(link, scheme.as_bytes())) {
            return;
        }
        let mut base = without_file(link).to_vec();
        if base.last() != Some(&b'/') {
            base.push(b'/');
        }
        self.base = base;
    }

    fn trim<'l>(&mut self, link: &'l [u8]) -> &'l [u8] {
        let link = trimmed(link);
        if link.len() > LINK_MAX {
            self.truncated = true;
        }
        link.get(..LINK_MAX).unwrap_or(link)
    }

    fn entry(&mut self, address: Vec<u8>) -> Option<usize> {
        if let Some(place) = self.by_address.get(&address) {
            return Some(*place);
        }
        if self.links.len() >= LINKS_MAX {
            return None;
        }
        let place = self.links.len();
        self.links.push(PageLink { address: address.clone(), ..PageLink::default() });
        self.by_address.insert(address, place);
        Some(place)
    }
}

fn tag_name(tag: &str) -> &'static str {
    const NAMES: [&str; 13] = [
        "a", "area", "link", "img", "frame", "iframe", "embed", "script", "bgsound", "body",
        "table", "tr", "td",
    ];
    NAMES.into_iter().find(|name| *name == tag).unwrap_or_default()
}

/// True for `x/href`.
fn is_behind_slash(name: &[u8], want: &str) -> bool {
    let slashed = [b"/", want.as_bytes()].concat();
    memchr::memmem::find(name, &slashed)
        .and_then(|at| name.get(at.checked_sub(1)?))
        .is_some_and(|before| before.is_ascii_alphanumeric() || *before == b'_')
}

/// Without byte order marks, which are not seen.
fn without_marks(link: &[u8]) -> Vec<u8> {
    const MARK: &[u8] = "\u{feff}".as_bytes();
    let mut out = Vec::with_capacity(link.len());
    let mut rest = link;
    while let Some(place) = memchr::memmem::find(rest, MARK) {
        out.extend_from_slice(rest.get(..place).unwrap_or_default());
        rest = rest.get(place + MARK.len()..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out
}

fn trimmed(link: &[u8]) -> &[u8] {
    if let Ok(text) = std::str::from_utf8(link) {
        return text.trim().as_bytes();
    }
    let blank = |octet: &u8| is_space(*octet) || *octet == 0xa0;
    let start = link.iter().position(|octet| !blank(octet)).unwrap_or(link.len());
    let end = link.iter().rposition(|octet| !blank(octet)).map_or(start, |at| at + 1);
    link.get(start..end).unwrap_or_default()
}

/// The place of a word, whatever its case.
fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len()).position(|window| window.eq_ignore_ascii_case(word))
}

/// The address of `<meta http-equiv=refresh content="5; url=…">`.
fn refresh_target(content: &[u8]) -> Option<&[u8]> {
    let blanks = |text: &[u8]| text.iter().take_while(|octet| is_space(**octet)).count();
    let mut rest = content;
    let mut target = None;
    while let Some(place) = find(rest, b"url") {
        let before = rest.get(..place).and_then(|before| before.last());
        let begins = !before.is_some_and(|octet| octet.is_ascii_alphanumeric() || *octet == b'_');
        rest = rest.get(place + 3..)?;
        let behind = rest.get(blanks(rest)..)?;
        if let Some(link) = behind.strip_prefix(b"=").filter(|_| begins) {
            target = Some(link.get(blanks(link)..)?);
        }
    }
    let target = target?;
    let end = memchr::memchr(b';', target).unwrap_or(target.len());
    Some(target.get(..end)?.trim_ascii_end())
}

/// Without the name of a file at the end: `http://example.org/a/index.html`.
fn without_file(link: &[u8]) -> &[u8] {
    let scheme = link.iter().position(|octet| *octet == b':').map_or(0, |at| at + 1);
    let behind = link.get(scheme..).unwrap_or_default();
    let slashes = behind.iter().take(2).take_while(|octet| **octet == b'/').count();
    let host = behind.get(slashes..).unwrap_or_default();
    let Some(path) = memchr::memchr(b'/', host).filter(|at| *at > 0) else { return link };
    let path = scheme + slashes + path + 1;
    let file = memchr::memrchr(b'/', link).map_or(path, |at| at + 1).max(path);
    let name = link.get(file..).unwrap_or_default();
    let Some(dot) = memchr::memrchr(b'.', name).filter(|dot| *dot > 0) else { return link };
    let extension = name.len() - dot - 1;
    let from = name.get(..dot).and_then(|stem| memchr::memrchr(b'.', stem)).map_or(0, |at| at + 1);
    if !(2..=4).contains(&extension) || from == dot {
        return link;
    }
    link.get(..file + from).unwrap_or(link)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn open(page: &mut PageLinks, tag: &str, attributes: &[(&str, &str)]) {
        let pairs = attributes.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        page.open(tag, pairs);
    }

    fn of(tag: &str, attributes: &[(&str, &str)]) -> Vec<String> {
        let mut page = PageLinks::default();
        open(&mut page, tag, attributes);
        let text = |link: &PageLink| String::from_utf8_lossy(&link.address).into_owned();
        page.links().iter().filter(|link| !link.types.is_empty()).map(text).collect()
    }

    #[test]
    fn each_tag_has_its_attribute() {
        for (tag, name) in [
            ("a", "href"),
            ("area", "href"),
            ("a", "data-saferedirecturl"),
            ("img", "src"),
            ("iframe", "src"),
            ("td", "background"),
            ("form", "action"),
            ("base", "href"),
            ("a", "title/href"),
            ("img", "x/src"),
        ] {
            assert_eq!(of(tag, &[(name, " http://a.org/\n")]), ["http://a.org/"], "{tag} {name}");
        }
        assert!(of("p", &[("href", "http://a.org/")]).is_empty());
        assert!(of("a", &[("href", " ")]).is_empty());
        let refresh = [("http-equiv", "Refresh"), ("content", "0; URL = http://a.org/ ; x")];
        assert_eq!(of("meta", &refresh), ["http://a.org/"]);
    }

    #[test]
    fn the_text_of_an_anchor_is_kept() {
        let mut page = PageLinks::default();
        page.text(b"before");
        open(&mut page, "a", &[("href", "http://a.org/")]);
        page.text(b"click ");
        open(&mut page, "img", &[]);
        page.close("a");
        page.text(b"behind");
        open(&mut page, "a", &[("href", "http://a.org/")]);
        page.text(b"again");
        let [link] = page.links() else { panic!("{page:?}") };
        assert_eq!(link.types, ["a"]);
        assert_eq!(link.texts, [b"click <img>\n".to_vec(), b"again".to_vec()]);
    }

    #[test]
    fn relative_links_begin_at_the_base() {
        let mut page = PageLinks::default();
        open(&mut page, "base", &[("href", "http://a.org/b/index.html")]);
        open(&mut page, "a", &[("href", "c.html")]);
        let addresses: Vec<&[u8]> =
            page.links().iter().map(|link| link.address.as_slice()).collect();
        let want: [&[u8]; 3] = [b"http://a.org/b/index.html", b"http://a.org/b/c.html", b"c.html"];
        assert_eq!(addresses, want);
        for (link, want) in [
            ("http://a.org/x.html", "http://a.org/"),
            ("http://a.org/x.y.htm", "http://a.org/x."),
            ("http://a.org", "http://a.org"),
            ("http://a.org/b/c", "http://a.org/b/c"),
            ("http://a.org/.html", "http://a.org/.html"),
        ] {
            assert_eq!(without_file(link.as_bytes()), want.as_bytes(), "{link}");
        }
    }

    proptest! {
        #[test]
        fn no_attribute_makes_it_fail(
            base in "[a-c:/.?#]{0,20}",
            link in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let mut page = PageLinks::default();
            open(&mut page, "base", &[("href", &base)]);
            for tag in ["a", "img", "meta"] {
                page.open(tag, [b"href".as_slice(), b"src", b"content", b"http-equiv"]
                    .into_iter().map(|name| (name, link.as_slice())));
            }
        }
    }
}
