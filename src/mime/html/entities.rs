//! Character references.

use std::borrow::Cow;

/// Character references decoded; what is none stays.
pub(in crate::mime) fn entities(text: &str) -> Cow<'_, str> {
    // A number may begin with any number of zeros.
    const NAME_BYTES_MAX: usize = 64;
    let mut rest = text;
    if memchr::memchr(b'&', rest.as_bytes()).is_none() {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    while let Some(at) = memchr::memchr(b'&', rest.as_bytes()) {
        let (before, tail) = rest.split_at(at);
        out.push_str(before);
        let inner = tail.get(1..).unwrap_or("");
        let end = inner
            .bytes()
            .take(NAME_BYTES_MAX)
            .take_while(|octet| octet.is_ascii_alphanumeric() || *octet == b'#')
            .count();
        let sign = inner.get(..end).and_then(entity);
        match sign {
            Some(sign) => {
                out.push(sign);
                let behind = inner.get(end..).unwrap_or("");
                rest = behind.strip_prefix(';').unwrap_or(behind);
            }
            None => {
                out.push('&');
                rest = inner;
            }
        }
    }
    out.push_str(rest);
    out.into()
}

fn entity(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(digits) => u32::from_str_radix(digits, 16).ok()?,
            None => number.parse().ok()?,
        };
        return char::from_u32(code).filter(|sign| *sign != '\0');
    }
    ENTITIES.iter().find(|(known, _)| *known == name).map(|(_, sign)| *sign)
}

/// The references by name that mail is known to hold.
static ENTITIES: &[(&str, char)] = &[
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("nbsp", ' '),
    ("copy", '©'),
    ("reg", '®'),
    ("trade", '™'),
    ("euro", '€'),
    ("pound", '£'),
    ("yen", '¥'),
    ("cent", '¢'),
    ("sect", '§'),
    ("deg", '°'),
    ("middot", '·'),
    ("bull", '•'),
    ("hellip", '…'),
    ("ndash", '–'),
    ("mdash", '—'),
    ("lsquo", '‘'),
    ("rsquo", '’'),
    ("ldquo", '“'),
    ("rdquo", '”'),
    ("laquo", '«'),
    ("raquo", '»'),
    ("auml", 'ä'),
    ("ouml", 'ö'),
    ("uuml", 'ü'),
    ("Auml", 'Ä'),
    ("Ouml", 'Ö'),
    ("Uuml", 'Ü'),
    ("szlig", 'ß'),
    ("eacute", 'é'),
    ("egrave", 'è'),
    ("ecirc", 'ê'),
    ("agrave", 'à'),
    ("aacute", 'á'),
    ("acirc", 'â'),
    ("ccedil", 'ç'),
    ("oacute", 'ó'),
    ("ocirc", 'ô'),
    ("uacute", 'ú'),
    ("iacute", 'í'),
    ("ntilde", 'ñ'),
    ("aring", 'å'),
    ("oslash", 'ø'),
    ("aelig", 'æ'),
    ("Eacute", 'É'),
    ("times", '×'),
    ("shy", '\u{ad}'),
    ("zwnj", '\u{200c}'),
    ("zwj", '\u{200d}'),
    ("ensp", ' '),
    ("emsp", ' '),
    ("thinsp", ' '),
    ("colon", ':'),
    ("sol", '/'),
    ("period", '.'),
    ("Tab", '\t'),
    ("NewLine", '\n'),
    ("lpar", '('),
    ("rpar", ')'),
    ("quest", '?'),
    ("equals", '='),
    ("num", '#'),
    ("percnt", '%'),
    ("plus", '+'),
    ("comma", ','),
    ("semi", ';'),
    ("bsol", '\\'),
    ("lowbar", '_'),
    ("lsqb", '['),
    ("rsqb", ']'),
    ("commat", '@'),
];
