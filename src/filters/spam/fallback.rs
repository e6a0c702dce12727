//! HTML to text in the simplest way: markup goes, blocks are paragraphs.

/// The text of HTML, without what stands in `script` and `style`.
pub(super) fn html_text(html: &str) -> String {
    let mut out = String::with_capacity(html.len() / 2);
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        let (text, from) = rest.split_at_checked(start).unwrap_or((rest, ""));
        push_text(text, &mut out);
        let comment = from.starts_with("<!--");
        let end = if comment {
            from.find("-->").map(|at| at + 3)
        } else {
            from.find('>').map(|at| at + 1)
        };
        let (tag, behind) = from.split_at_checked(end.unwrap_or(from.len())).unwrap_or((from, ""));
        rest = behind;
        let name: String = tag
            .trim_start_matches(['<', '/'])
            .chars()
            .take_while(char::is_ascii_alphanumeric)
            .take(12)
            .collect::<String>()
            .to_ascii_lowercase();
        match name.as_str() {
            "script" | "style" if !tag.starts_with("</") => {
                rest = after_raw_text(rest, &name);
            }
            "br" | "div" | "tr" | "li" => out.push('\n'),
            "p" | "table" | "hr" | "blockquote" | "h1" | "h2" | "h3" => out.push_str("\n\n"),
            "td" | "th" => out.push(' '),
            _ => {}
        }
    }
    push_text(rest, &mut out);
    out
}

/// What follows the content of an element whose content is no text.
fn after_raw_text<'h>(html: &'h str, name: &str) -> &'h str {
    for (place, _) in html.match_indices("</") {
        let inside = html.as_bytes().get(place + 2..place + 2 + name.len());
        if inside.is_some_and(|inside| inside.eq_ignore_ascii_case(name.as_bytes())) {
            return html.get(place..).unwrap_or_default();
        }
    }
    ""
}

fn push_text(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some(start) = rest.find('&') {
        let (plain, from) = rest.split_at_checked(start).unwrap_or((rest, ""));
        out.push_str(plain);
        let near = from.get(1..from.floor_char_boundary(12)).unwrap_or_default();
        let entity = near.split(';').next().unwrap_or_default();
        let letter = match entity {
            "amp" => Some('&'),
            "lt" => Some('<'),
            "gt" => Some('>'),
            "quot" => Some('"'),
            "nbsp" => Some(' '),
            _ => numeric(entity),
        };
        let length = if let Some(letter) = letter {
            out.push(letter);
            (entity.len() + 2).min(from.len())
        } else {
            out.push('&');
            1
        };
        rest = from.get(length..).unwrap_or_default();
    }
    out.push_str(rest);
}

fn numeric(entity: &str) -> Option<char> {
    let digits = entity.strip_prefix('#')?;
    let value = match digits.strip_prefix(['x', 'X']) {
        Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16).ok()?,
        None => digits.parse().ok()?,
    };
    char::from_u32(value)
}

#[cfg(test)]
mod tests {
    use super::html_text;

    #[test]
    fn markup_goes_and_text_stays() {
        let check = |html: &str, want: &str| assert_eq!(html_text(html).trim(), want);
        check("<p>a<b>b</b>&amp;&#99;</p>", "ab&c");
        check("x<style>p{}</style>y<!-- > z -->w", "xyw");
        check("a<br>b", "a\nb");
        check("a < b & c", "a");
        check("&unknown; &", "&unknown; &");
    }
}
