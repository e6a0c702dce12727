//! Doors for fuzzing into the texts of rules: octets in, assertions inside. The targets in `fuzz/` are one line each.

use super::content_type::{ContentType, disposition_name};
use super::header::{Header, unfold};
use super::parts::{Parts, lines_ended_by_lf};
use super::perl::Text;
use super::uri::{LinkTables, Links, PageLinks, ROOM};
use super::{Segments, Shown, address, body, charset, html, words};

/// An octet that is no UTF-8 is read as a letter of windows-1252 of up to three octets; in an encoded word that says
/// `us-ascii`, each of them is a sign of three octets for what cannot be read.
const GROWTH_MAX: usize = 9;

/// A page, cut by both cutters: what is shown and what is hidden are the whole of it, nothing grows, and links have a limit.
pub fn spam_page(octets: &[u8]) {
    for text in [charset::decode(octets, "utf-8"), Text::narrow(octets)] {
        for page in [html::render(&text), html::render_as_browsers(&text)] {
            holds(octets, &text, page);
        }
    }
}

fn holds(octets: &[u8], text: &Text, mut page: html::Page) {
    let letters = text.text.chars().count();
    page.facts.measure(&page.text, octets.len());
    let (shown, hidden) = (&page.visible.text, &page.invisible.text);
    assert_eq!(shown.len() + hidden.len(), page.text.text.len(), "a piece is lost");
    let facts = &page.facts;
    assert!(facts.html_length <= letters * 2 + 16, "the text grows: {}", facts.html_length);
    assert!(facts.non_space_length <= facts.html_length);
    let size = |texts: &[String]| texts.iter().map(|text| text.chars().count()).sum::<usize>();
    let anchors: usize = facts.anchors.iter().map(|one| one.text.chars().count()).sum();
    for (what, size) in [
        ("comments", size(&facts.comments)),
        ("scripts", size(&facts.scripts)),
        ("titles", size(&facts.titles)),
        ("anchors", anchors),
        ("addresses", facts.uris.iter().map(|one| one.value.chars().count()).sum()),
    ] {
        assert!(size <= letters * 2, "{what} of {letters} signs have {size}");
    }
    let links = PageLinks::read(facts, text.wide, &mut ROOM.clone());
    let size: usize = links.links().iter().map(|link| link.address.len()).sum();
    assert!(size <= ROOM + octets.len() * 8, "links of {} octets: {size}", octets.len());
    let tables = LinkTables::default();
    let mut all = Links::default();
    all.add_page(&links, &tables);
    all.add_text(&page.text.octets(), &tables);
    bounded(&all);
}

/// Links have limits; [`Links::segments`] has each form once.
fn bounded(links: &Links) {
    assert!(links.all().len() <= 8_000, "{} links", links.all().len());
    let forms = links.segments();
    whole(&forms);
    // The last link may go over the limit.
    assert!(forms.buffer().len() <= 4 << 20, "{} octets of links", forms.buffer().len());
}

/// Pieces are found by their place.
fn whole(segments: &Segments) {
    let mut end = 0;
    for index in 0..segments.len() {
        let (piece, _) = segments.get(index);
        end += piece.len() + usize::from(index > 0);
        assert_eq!(segments.at(end, index), index, "a piece is found elsewhere");
    }
    assert_eq!(end, segments.buffer().len(), "a piece is lost");
}

/// A mail: texts have their limits, and pieces are short.
pub fn spam_texts(octets: &[u8]) {
    let octets = lines_ended_by_lf(octets);
    let (header, body) = Header::read(&octets);
    assert!(header.pristine.len() + body.len() <= octets.len());
    for field in &header.fields {
        let (raw, decoded) = (field.raw.len(), field.decoded.len());
        assert!(decoded <= raw * GROWTH_MAX + 4, "a field of {raw} octets has {decoded}");
    }
    for raw in [true, false] {
        assert!(header.lines(raw).len() <= 70 << 10, "ALL is too long");
    }
    let parts = Parts::read(header, body);
    assert!(parts.all().count() <= 5_001, "{} parts", parts.all().count());
    let size: usize = parts.leaves().map(|part| part.raw.len()).sum();
    assert!(size <= octets.len() * 3 + 16, "{} octets have parts of {size}", octets.len());
    for part in parts.all() {
        assert!(part.leaf || part.raw.is_empty());
        assert!(part.decoded().len() <= part.raw.len() + 3);
        assert!(parts.children(part).count() == part.children.len(), "a part is lost");
        let _ = part.content_type();
    }
    for shown in [Shown::All, Shown::Visible, Shown::Invisible] {
        let text = body::paragraphs(&parts, shown).text;
        whole(&text);
        assert!((0..text.len()).all(|index| text.get(index).0.len() <= 2_049), "{shown:?}");
        assert!(text.buffer().len() <= 5 << 20, "{shown:?}: {} octets", text.buffer().len());
    }
    let raw = body::raw(&parts).text;
    whole(&raw);
    assert!((0..raw.len()).all(|index| raw.get(index).0.len() <= 4_096), "a raw piece");
    assert!(raw.buffer().len() <= 2 << 20, "{} raw octets", raw.buffer().len());
}

/// Values of fields: addresses, encoded words, types.
pub fn spam_fields(octets: &[u8]) {
    let boxes = address::read(octets);
    assert!(boxes.len() <= 1_000, "{} mailboxes", boxes.len());
    let length = |text: &Option<Vec<u8>>| text.as_ref().map_or(0, Vec::len);
    let size: usize = boxes.iter().map(|one| length(&one.phrase) + length(&one.address)).sum();
    assert!(size <= octets.len() * 2, "mailboxes of {} octets have {size}", octets.len());
    for address in boxes.iter().filter_map(|one| one.address.as_ref()) {
        let signs = memchr::memchr_iter(b'@', address).count();
        assert_eq!(signs, 1, "{}", address.escape_ascii());
    }
    let value = unfold(octets);
    for name in [b"subject".as_slice(), b"received"] {
        let text = words::decode(&value, name);
        assert!(
            text.len() <= value.len() * GROWTH_MAX + 4,
            "{} octets became {}",
            value.len(),
            text.len()
        );
        if memchr::memmem::find(&value, b"=?").is_none() || name == b"received" {
            assert!(std::str::from_utf8(&text).is_ok(), "a plain value is no UTF-8");
            assert_eq!(words::decode(&text, b"received"), text, "decoding twice differs");
        }
    }
    let kind = ContentType::read(Some(octets));
    assert!(format!("{kind:?}").len() <= octets.len() * 24 + 500, "{kind:?}");
    let name = disposition_name(octets).unwrap_or_default();
    assert!(name.len() <= octets.len() * 4 + 4, "{name}");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_page_makes_texts_that_do_not_hold(
            octets in proptest::collection::vec(any::<u8>(), 0..300),
            page in "(<a href=|<img src=|<base href=|<font |<td|<p|<div style=|<script|</script|</a|<title|<!--|-->|\
                <!\\[|\\[|\\]\\]>|<style|<meta content=|<table|<br/>|color:|size=1|display:none|'|\"|>|/| |&nbsp;|\
                &#|&lt|;|http://a\\.test/|b|\n|é|%41|\u{feff}){0,80}"
        ) {
            spam_page(&octets);
            spam_page(page.as_bytes());
        }

        #[test]
        fn no_mail_makes_texts_that_do_not_hold(
            octets in proptest::collection::vec(any::<u8>(), 0..300),
            mail in "(Content-Type: |multipart/mixed; boundary=a|text/html|text/plain; charset=|message/rfc822|\
                Content-Transfer-Encoding: |base64|quoted-printable|--a|--a--|\r|\n|\n\n|<p>|=3D|=\n|YWJj|utf-8|\
                utf-16|http://a\\.test| |:|é){0,80}"
        ) {
            spam_texts(&octets);
            spam_texts(mail.as_bytes());
        }

        #[test]
        fn no_value_makes_fields_that_do_not_hold(
            octets in proptest::collection::vec(any::<u8>(), 0..300),
            value in "(a|@|b\\.test|<|>|\"|\\(|\\)|\\\\|,|;|:| |\n|=\\?utf-8\\?q\\?|=\\?utf-16\\?b\\?|\\?=|=C3|/|\
                \\*0\\*|name=|charset=|'|é){0,80}"
        ) {
            spam_fields(&octets);
            spam_fields(value.as_bytes());
        }
    }
}
