//! What is done to a page before SpamAssassin's parser gets it.

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
pub(super) fn prepared(page: &str) -> String {
    let page = page.replace("&nbsp;", " ").replace(['\u{201c}', '\u{201d}'], "\"");
    let mut out = String::with_capacity(page.len());
    let mut rest = page.as_str();
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
    out
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
    fn tags_that_close_themselves_and_quotes_are_made_plain() {
        assert_eq!(prepared("<br />a&nbsp;“b”<a href=x/>"), "<br>a \"b\"<a href=x/>");
    }
}
