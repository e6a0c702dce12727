//! What is done to a page before SpamAssassin's parser gets it.

use std::borrow::Cow;

/// True if curved quotes stand in a tag: for SpamAssassin's parser they are made straight, and then hold values together.
pub(super) fn has_quotes_in_tags(page: &str) -> bool {
    if page.is_ascii() {
        return false;
    }
    let mut in_tag = false;
    let mut octets = page.as_bytes();
    while let Some(place) = memchr::memchr3(b'<', b'>', 0xe2, octets) {
        let (sign, behind) = octets
            .split_at_checked(place)
            .unwrap_or((octets, &[]))
            .1
            .split_first()
            .unwrap_or((&0, &[]));
        match sign {
            b'<' => {
                in_tag |= behind
                    .first()
                    .is_some_and(|o| o.is_ascii_alphabetic() || *o == b'/' || *o == b'!')
            }
            b'>' => in_tag = false,
            _ if in_tag && (behind.starts_with(b"\x80\x9c") || behind.starts_with(b"\x80\x9d")) => {
                return true;
            }
            _ => {}
        }
        octets = behind;
    }
    false
}

/// The page as it is given to the parser: no-break spaces are blanks, `<br/>` is `<br>`, quotes are straight.
pub(super) fn prepared(page: &str) -> Cow<'_, str> {
    let has = |text: &str| memchr::memmem::find(page.as_bytes(), text.as_bytes()).is_some();
    let mut page: Cow<'_, str> = page.into();
    for (written, read) in [("&nbsp;", " "), ("\u{201c}", "\""), ("\u{201d}", "\"")] {
        if has(written) {
            page = page.replace(written, read).into();
        }
    }
    if !has("/>") {
        return page;
    }
    let mut out = String::with_capacity(page.len());
    let mut rest = &*page;
    while let Some(place) = memchr::memmem::find(rest.as_bytes(), b"/>") {
        let (before, behind) = rest.split_at_checked(place).unwrap_or((rest, ""));
        let trimmed = before.trim_end();
        let word =
            trimmed.trim_end_matches(|letter: char| letter.is_alphanumeric() || letter == '_');
        let is_tag = word.ends_with('<') && word.len() < trimmed.len();
        out.push_str(if is_tag { trimmed } else { before });
        out.push_str(if is_tag { ">" } else { "/>" });
        rest = behind.get(2..).unwrap_or_default();
    }
    out.push_str(rest);
    out.into()
}

/// Names of characters that browsers know and SpamAssassin's parser does not: those that write words and addresses,
/// and those without width.
const LATE: [(&str, &str); 43] = [
    ("DiacriticalGrave", "&#96;"),
    ("Hat", "&#94;"),
    ("MediumSpace", "&#8287;"),
    ("NegativeMediumSpace", "&#8203;"),
    ("NegativeThickSpace", "&#8203;"),
    ("NegativeThinSpace", "&#8203;"),
    ("NegativeVeryThinSpace", "&#8203;"),
    ("NewLine", "&#10;"),
    ("NoBreak", "&#8288;"),
    ("NonBreakingSpace", " "),
    ("Tab", "&#9;"),
    ("ThinSpace", "&#8201;"),
    ("UnderBar", "&#95;"),
    ("VerticalLine", "&#124;"),
    ("ZeroWidthSpace", "&#8203;"),
    ("af", "&#8289;"),
    ("ast", "&#42;"),
    ("bsol", "&#92;"),
    ("colon", "&#58;"),
    ("comma", "&#44;"),
    ("commat", "&#64;"),
    ("dollar", "&#36;"),
    ("equals", "&#61;"),
    ("excl", "&#33;"),
    ("grave", "&#96;"),
    ("hairsp", "&#8202;"),
    ("hyphen", "&#8208;"),
    ("ic", "&#8291;"),
    ("it", "&#8290;"),
    ("lowbar", "&#95;"),
    ("lpar", "&#40;"),
    ("lsqb", "&#91;"),
    ("num", "&#35;"),
    ("numsp", "&#8199;"),
    ("percnt", "&#37;"),
    ("period", "&#46;"),
    ("plus", "&#43;"),
    ("quest", "&#63;"),
    ("rpar", "&#41;"),
    ("rsqb", "&#93;"),
    ("semi", "&#59;"),
    ("sol", "&#47;"),
    ("vert", "&#124;"),
];

/// The page with such names written as numbers; `None` if there are none.
pub(super) fn with_late_names(page: &str) -> Option<String> {
    let mut out: Option<String> = None;
    let mut from = 0;
    for place in memchr::memchr_iter(b'&', page.as_bytes()) {
        let behind = page.as_bytes().get(place + 1..).unwrap_or_default();
        let length = behind.iter().take(24).position(|octet| !octet.is_ascii_alphabetic());
        let Some(length) = length.filter(|length| behind.get(*length) == Some(&b';')) else {
            continue;
        };
        let name = page.get(place + 1..place + 1 + length).unwrap_or_default();
        let Ok(known) = LATE.binary_search_by(|(known, _)| (*known).cmp(name)) else { continue };
        let number = LATE.get(known).map_or("", |(_, number)| number);
        let out = out.get_or_insert_default();
        out.push_str(page.get(from..place).unwrap_or_default());
        out.push_str(number);
        from = place + length + 2;
    }
    let mut out = out?;
    out.push_str(page.get(from..).unwrap_or_default());
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curved_quotes_count_in_tags_only() {
        for (page, want) in [
            ("“a” <b>“c”</b> 1 < 2 “d”", false),
            ("<img alt=“a>", true),
            ("é</a ”>", true),
            ("é<a b=c>“", false),
            ("<a>", false),
        ] {
            assert_eq!(has_quotes_in_tags(page), want, "{page}");
        }
    }

    #[test]
    fn late_names_become_numbers() {
        assert_eq!(with_late_names("a &amp; b &nbsp; &colon &x; &colons;&"), None);
        assert_eq!(
            with_late_names("é&colon;&sol;&sol;b&amp;&Tab;").as_deref(),
            Some("é&#58;&#47;&#47;b&amp;&#9;")
        );
        assert!(LATE.is_sorted());
    }

    #[test]
    fn tags_that_close_themselves_and_quotes_are_made_plain() {
        assert_eq!(prepared("<br />a&nbsp;“b”<a href=x/>"), "<br>a \"b\"<a href=x/>");
    }
}
