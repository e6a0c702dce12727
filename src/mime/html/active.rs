//! What in a page does more than show itself.

use super::{Element, entities};

/// True if the element runs a script, holds a file in an address, or a page in a value.
pub(super) fn is_active(element: &Element<'_>) -> bool {
    match &*element.name {
        "script" | "foreignobject" | "hta:application" => return true,
        "style" => {
            return element.raw.is_some_and(|raw| contains(raw.as_bytes(), b"data:"));
        }
        _ => {}
    }
    element.attributes.iter().any(|(name, value)| {
        is_handler(name)
            || matches!(&**name, "srcdoc" | "download" | "implementation")
            || (name == "style" && contains(value.as_bytes(), b"data:"))
            || (name == "content" && contains(value.as_bytes(), b"data:"))
            || (name == "srcset" && contains(value.as_bytes(), b"data:"))
            || holds_code(value)
            || is_coded(value)
    })
}

/// True for long text that holds nothing but the letters of base64, hex or percent escapes.
pub(in crate::mime) fn is_coded(text: &str) -> bool {
    const CODED_BYTES_MIN: usize = 256;
    const SAMPLE_BYTES: usize = 200;
    if text.len() < CODED_BYTES_MIN {
        return false;
    }
    let text = text.trim();
    text.len() >= CODED_BYTES_MIN
        && text.bytes().take(SAMPLE_BYTES).all(|octet| {
            octet.is_ascii_alphanumeric()
                || matches!(octet, b'+' | b'/' | b'=' | b'-' | b'_' | b'%' | b'\r' | b'\n')
        })
}

/// True for the name of an attribute whose value is a script.
pub(in crate::mime) fn is_handler(name: &str) -> bool {
    name.len() > 4 && name.starts_with("on") && name.bytes().all(|octet| octet.is_ascii_lowercase())
}

/// True for an address that is a script or a file itself.
fn holds_code(value: &str) -> bool {
    // Nearly all values begin like none of the schemes.
    let first = value.trim_start_matches(|s: char| s <= ' ').bytes().next().unwrap_or(0);
    matches!(first, b'&' | b'd' | b'D' | b'j' | b'J' | b'v' | b'V') && scheme(value).is_some()
}

/// The scheme of an address, if what follows it is content: `data`, `javascript`, `vbscript`.
pub(in crate::mime) fn scheme(value: &str) -> Option<&'static str> {
    // Blanks may stand in the middle, and each sign may be a long reference.
    const HEAD_CHARS_MAX: usize = 600;
    let end = value.char_indices().nth(HEAD_CHARS_MAX).map_or(value.len(), |(at, _)| at);
    let head = entities(value.get(..end).unwrap_or_default());
    let signs = head.chars().filter(|sign| *sign > ' ');
    let head: String = signs.take(11).flat_map(char::to_lowercase).collect();
    ["data", "javascript", "vbscript"]
        .into_iter()
        .find(|name| head.strip_prefix(name).is_some_and(|rest| rest.starts_with(':')))
}

/// True for a comment that some readers take for markup with a script, or with a file in an address.
pub(super) fn hides_script(comment: &str) -> bool {
    comment.starts_with("[if")
        && [&b"<script"[..], b"data:"].iter().any(|mark| contains(comment.as_bytes(), mark))
}

/// Case does not matter; `mark` is in lower case and begins with a sign that has no other case, or is rare.
fn contains(text: &[u8], mark: &[u8]) -> bool {
    let Some(first) = mark.first() else { return true };
    memchr::memchr2_iter(*first, first.to_ascii_uppercase(), text).any(|at| {
        text.get(at..at + mark.len()).is_some_and(|found| found.eq_ignore_ascii_case(mark))
    })
}

#[cfg(test)]
mod tests {
    use crate::mime::html::render;

    #[test]
    fn what_does_more_than_show_itself_is_known() {
        for (html, want) in [
            ("<p><a href='http://a.b/data:x'>c</a><img src=x.png>", false),
            ("<td style='background:url(http://a.b/c)' one=1 on=2>", false),
            ("<!--[if mso]><v:rect></v:rect><![endif]--><style>p{}</style>", false),
            ("<!--[if ie]><SCRIPT>x</script><![endif]-->", true),
            ("<svg/onload=alert(1)>", true),
            ("<a href='  java\nscript:x'>", true),
            ("<a href='&#106;&#x00000000000061;vascript&colon;x'>", true),
            ("<img src=\"DATA:image/png;base64,aaaa\">", true),
            ("<p style='background:url( data:image/png,x )'>", true),
            ("<iframe srcdoc='x'>", true),
            ("<iframe src='http://a.b/c'></iframe>", false),
            ("<style>a{background:url(data:x,y)}</style>", true),
            ("<meta http-equiv=refresh content='0;url=data:x,y'>", true),
        ] {
            assert_eq!(!render(html).active.is_empty(), want, "{html:?}");
        }
    }
}
