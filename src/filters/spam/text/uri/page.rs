//! Links of an HTML page: of which tags, under which address, with which text.

use std::borrow::Cow;
use std::collections::HashMap;

use super::LINKS_MAX;
use super::search::starts_with;
use super::target::resolve;
use crate::filters::spam::text::html::Html;
use crate::filters::spam::text::perl::Text;

/// Octets that the links of all pages of a mail may have, the base of each counted with it: a long base would otherwise
/// be there once for each link. SpamAssassin has no such limit.
pub(in crate::filters::spam) const ROOM: usize = 4 << 20;

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

/// The links of a page.
///
/// As SpamAssassin has it, the text of an anchor stands under the address as it is written, its type under the address
/// it means: for relative addresses these are two entries, and an anchor without `href` has its text under the empty
/// address.
#[derive(Debug, Clone, Default)]
pub(in crate::filters::spam) struct PageLinks {
    links: Vec<PageLink>,
    by_address: HashMap<Vec<u8>, usize>,
    /// A link was cut.
    pub(in crate::filters::spam) truncated: bool,
    /// Links for which there was no room.
    pub(super) left_out: usize,
    /// Its addresses are characters, not octets.
    pub(in crate::filters::spam) wide: bool,
}

impl PageLinks {
    /// `wide`: see [`Text`]; it is that of the page. `room`: octets that are left, at first [`ROOM`].
    pub(in crate::filters::spam) fn read(page: &Html, wide: bool, room: &mut usize) -> Self {
        let mut all = Self { truncated: page.uri_truncated, wide, ..Self::default() };
        for uri in &page.uris {
            let length = uri.value.len() + uri.base.as_ref().map_or(0, |base| base.len());
            match room.checked_sub(length) {
                Some(left) => *room = left,
                None => {
                    all.left_out += 1;
                    continue;
                }
            }
            let base = octets(uri.base.as_deref().unwrap_or_default(), wide);
            all.push(&uri.tag, &octets(&uri.value, wide), &base);
        }
        for anchor in &page.anchors {
            if let Some(link) = all.entry(&octets(&anchor.href, wide)) {
                link.texts.push(octets(&anchor.text, wide).into_owned());
            }
        }
        all
    }

    pub(in crate::filters::spam) fn links(&self) -> &[PageLink] {
        &self.links
    }

    fn push(&mut self, tag: &str, link: &[u8], base: &[u8]) {
        let whole = [b"data:".as_slice(), b"mailto:", b"file:", b"cid:", b"tel:"];
        let address = if whole.iter().any(|scheme| starts_with(link, scheme)) {
            link.into()
        } else {
            Cow::Owned(resolve(base, link))
        };
        if address.is_empty() {
            return;
        }
        let tag = tag_name(tag);
        if let Some(link) = self.entry(&address)
            && !link.types.contains(&tag)
        {
            link.types.push(tag);
        }
    }

    fn entry(&mut self, address: &[u8]) -> Option<&mut PageLink> {
        let place = match self.by_address.get(address) {
            Some(place) => *place,
            None if self.links.len() >= LINKS_MAX => return None,
            None => {
                let place = self.links.len();
                self.links.push(PageLink { address: address.to_vec(), ..PageLink::default() });
                self.by_address.insert(address.to_vec(), place);
                place
            }
        };
        self.links.get_mut(place)
    }
}

/// See [`Text::octets`].
fn octets(text: &str, wide: bool) -> Cow<'_, [u8]> {
    if wide || text.is_ascii() {
        return text.as_bytes().into();
    }
    Text { text: text.to_owned(), wide }.octets().into()
}

fn tag_name(tag: &str) -> &'static str {
    const NAMES: [&str; 16] = [
        "a", "area", "link", "img", "frame", "iframe", "embed", "script", "bgsound", "body",
        "table", "tr", "td", "form", "base", "meta",
    ];
    NAMES.into_iter().find(|name| *name == tag).unwrap_or("html")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::spam::text::html::{Anchor, HtmlUri};

    fn uri(tag: &str, value: &str, base: Option<&str>) -> HtmlUri {
        HtmlUri { tag: tag.to_owned(), value: value.to_owned(), base: base.map(Into::into) }
    }

    #[test]
    fn texts_and_types_meet_where_the_address_is_written_whole() {
        let anchor = |href: &str, text: &str| Anchor { href: href.into(), text: text.into() };
        let page = Html {
            uris: vec![
                uri("a", "http://a.org/", None),
                uri("img", "http://a.org/", None),
                uri("a", "x", Some("http://b.org/")),
                uri("a", "mailto:me@a.org", Some("http://b.org/")),
                uri("a", "", None),
            ],
            anchors: vec![anchor("http://a.org/", "here"), anchor("x", "é"), anchor("", "")],
            ..Html::default()
        };
        let links = PageLinks::read(&page, true, &mut ROOM.clone());
        let seen: Vec<(String, String, usize)> = links
            .links()
            .iter()
            .map(|link| {
                let address = String::from_utf8_lossy(&link.address).into_owned();
                (address, link.types.join(" "), link.texts.len())
            })
            .collect();
        let want = [
            ("http://a.org/", "a img", 1),
            ("http://b.org/x", "a", 0),
            ("mailto:me@a.org", "a", 0),
            ("x", "", 1),
            ("", "", 1),
        ];
        assert_eq!(seen, want.map(|(link, tags, texts)| (link.to_owned(), tags.to_owned(), texts)));
    }

    #[test]
    fn a_long_base_is_not_there_once_for_each_link_of_every_page() {
        let base = format!("http://a.test/{}/", "x".repeat(8_000));
        let uris = (0..4_000).map(|number| uri("a", &number.to_string(), Some(&base))).collect();
        let page = Html { uris, ..Html::default() };
        let mut room = ROOM;
        let mut size = 0;
        for _ in 0..20 {
            let links = PageLinks::read(&page, false, &mut room);
            assert!(links.left_out > 0 && !links.truncated);
            size += links.links().iter().map(|link| link.address.len()).sum::<usize>();
        }
        assert!((ROOM / 2..=ROOM).contains(&size), "{size}");
    }
}
