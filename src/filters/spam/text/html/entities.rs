//! Character references in pages (HTML 4, section 24), read as SpamAssassin's parser reads them.

use crate::filters::spam::text::perl::{Piece, Text};

/// Octets of a name that are looked at.
const NAME_MAX: usize = 8;

/// The text with its references read; what is none stays. In text a name may stand before other letters
/// (`&nbspfoo`), in attributes (`prefixes` is false) it may not.
pub(super) fn decode(text: &str, wide: bool, prefixes: bool) -> Piece<'_> {
    if memchr::memchr(b'&', text.as_bytes()).is_none() {
        return Piece { text: text.into(), wide };
    }
    let mut out = Text { text: String::with_capacity(text.len()), wide };
    let mut rest = text;
    // The first half of a pair of surrogates that was read right before.
    let mut high: Option<u32> = None;
    while let Some(at) = memchr::memchr(b'&', rest.as_bytes()) {
        let (before, from) = rest.split_at_checked(at).unwrap_or((rest, ""));
        if !before.is_empty() {
            high = None;
        }
        out.text.push_str(before);
        let inner = from.get(1..).unwrap_or_default();
        let found = match inner.strip_prefix('#') {
            Some(number) => numeric(number),
            None => named(inner, prefixes),
        };
        let Some((code, length)) = found else {
            high = None;
            out.text.push('&');
            rest = inner;
            continue;
        };
        let behind = inner.get(length..).unwrap_or_default();
        rest = behind.strip_prefix(';').unwrap_or(behind);
        high = push(&mut out, code, high);
    }
    out.text.push_str(rest);
    Piece { text: out.text.into(), wide: out.wide }
}

/// Adds a character by its number; gives it back if it is half of a pair.
fn push(out: &mut Text, code: u32, high: Option<u32>) -> Option<u32> {
    if code > 255 {
        out.wide = true;
    }
    match (code, high) {
        (0xdc00..=0xdfff, Some(high)) => {
            // What stands for the first half goes.
            out.text.pop();
            let pair = 0x1_0000 + ((high - 0xd800) << 10) + (code - 0xdc00);
            out.text.push(char::from_u32(pair).unwrap_or('\u{fffd}'));
            None
        }
        (0xd800..=0xdbff, _) => {
            out.text.push('\u{fffd}');
            Some(code)
        }
        (0xfdd0..=0xfdef, _) => {
            out.text.push('\u{fffd}');
            None
        }
        (code, _) => {
            let no_character = code & 0xfffe == 0xfffe;
            let letter = char::from_u32(code).filter(|_| !no_character);
            out.text.push(letter.unwrap_or('\u{fffd}'));
            None
        }
    }
}

/// The number behind `&#`, and its length with the `#`.
fn numeric(text: &str) -> Option<(u32, usize)> {
    let (digits, base) = match text.strip_prefix(['x', 'X']) {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    let mut code = 0_u32;
    let mut count = 0;
    for letter in digits.chars() {
        let Some(digit) = letter.to_digit(base) else { break };
        code = code.checked_mul(base)?.checked_add(digit)?;
        if code > 0x10_ffff {
            return None;
        }
        count += 1;
    }
    let valid = count > 0 && code != 0 && code != 0xfffe && code != 0xffff;
    valid.then(|| (code, 1 + text.len() - digits.len() + count))
}

/// The character of a name, and its length.
fn named(text: &str, prefixes: bool) -> Option<(u32, usize)> {
    let end = text.bytes().position(|octet| !octet.is_ascii_alphanumeric());
    let end = end.unwrap_or(text.len());
    let closed = text.as_bytes().get(end) == Some(&b';');
    let known = |length: usize| {
        if length > NAME_MAX {
            return None;
        }
        let name = text.get(..length)?;
        let find = |table: &[(&str, u16)]| {
            let place = table.binary_search_by(|(other, _)| (*other).cmp(name)).ok()?;
            table.get(place).map(|(_, code)| u32::from(*code))
        };
        find(OPEN).or_else(|| if closed && length == end { find(CLOSED) } else { None })
    };
    if let Some(code) = known(end) {
        return Some((code, end));
    }
    let shorter = (1..end.min(NAME_MAX + 1)).rev().filter(|_| prefixes);
    shorter.filter_map(|length| Some((known(length)?, length))).next()
}

/// Names that need no semicolon.
static OPEN: &[(&str, u16)] = &[
    ("AElig", 0xc6),
    ("Aacute", 0xc1),
    ("Acirc", 0xc2),
    ("Agrave", 0xc0),
    ("Aring", 0xc5),
    ("Atilde", 0xc3),
    ("Auml", 0xc4),
    ("Ccedil", 0xc7),
    ("ETH", 0xd0),
    ("Eacute", 0xc9),
    ("Ecirc", 0xca),
    ("Egrave", 0xc8),
    ("Euml", 0xcb),
    ("Iacute", 0xcd),
    ("Icirc", 0xce),
    ("Igrave", 0xcc),
    ("Iuml", 0xcf),
    ("Ntilde", 0xd1),
    ("Oacute", 0xd3),
    ("Ocirc", 0xd4),
    ("Ograve", 0xd2),
    ("Oslash", 0xd8),
    ("Otilde", 0xd5),
    ("Ouml", 0xd6),
    ("THORN", 0xde),
    ("Uacute", 0xda),
    ("Ucirc", 0xdb),
    ("Ugrave", 0xd9),
    ("Uuml", 0xdc),
    ("Yacute", 0xdd),
    ("aacute", 0xe1),
    ("acirc", 0xe2),
    ("acute", 0xb4),
    ("aelig", 0xe6),
    ("agrave", 0xe0),
    ("amp", 0x26),
    ("apos", 0x27),
    ("aring", 0xe5),
    ("atilde", 0xe3),
    ("auml", 0xe4),
    ("brvbar", 0xa6),
    ("ccedil", 0xe7),
    ("cedil", 0xb8),
    ("cent", 0xa2),
    ("copy", 0xa9),
    ("curren", 0xa4),
    ("deg", 0xb0),
    ("divide", 0xf7),
    ("eacute", 0xe9),
    ("ecirc", 0xea),
    ("egrave", 0xe8),
    ("eth", 0xf0),
    ("euml", 0xeb),
    ("frac12", 0xbd),
    ("frac14", 0xbc),
    ("frac34", 0xbe),
    ("gt", 0x3e),
    ("iacute", 0xed),
    ("icirc", 0xee),
    ("iexcl", 0xa1),
    ("igrave", 0xec),
    ("iquest", 0xbf),
    ("iuml", 0xef),
    ("laquo", 0xab),
    ("lt", 0x3c),
    ("macr", 0xaf),
    ("micro", 0xb5),
    ("middot", 0xb7),
    ("nbsp", 0xa0),
    ("not", 0xac),
    ("ntilde", 0xf1),
    ("oacute", 0xf3),
    ("ocirc", 0xf4),
    ("ograve", 0xf2),
    ("ordf", 0xaa),
    ("ordm", 0xba),
    ("oslash", 0xf8),
    ("otilde", 0xf5),
    ("ouml", 0xf6),
    ("para", 0xb6),
    ("plusmn", 0xb1),
    ("pound", 0xa3),
    ("quot", 0x22),
    ("raquo", 0xbb),
    ("reg", 0xae),
    ("sect", 0xa7),
    ("shy", 0xad),
    ("sup1", 0xb9),
    ("sup2", 0xb2),
    ("sup3", 0xb3),
    ("szlig", 0xdf),
    ("thorn", 0xfe),
    ("times", 0xd7),
    ("uacute", 0xfa),
    ("ucirc", 0xfb),
    ("ugrave", 0xf9),
    ("uml", 0xa8),
    ("uuml", 0xfc),
    ("yacute", 0xfd),
    ("yen", 0xa5),
    ("yuml", 0xff),
];

/// Names that need one.
static CLOSED: &[(&str, u16)] = &[
    ("Alpha", 0x391),
    ("Beta", 0x392),
    ("Chi", 0x3a7),
    ("Dagger", 0x2021),
    ("Delta", 0x394),
    ("Epsilon", 0x395),
    ("Eta", 0x397),
    ("Gamma", 0x393),
    ("Iota", 0x399),
    ("Kappa", 0x39a),
    ("Lambda", 0x39b),
    ("Mu", 0x39c),
    ("Nu", 0x39d),
    ("OElig", 0x152),
    ("Omega", 0x3a9),
    ("Omicron", 0x39f),
    ("Phi", 0x3a6),
    ("Pi", 0x3a0),
    ("Prime", 0x2033),
    ("Psi", 0x3a8),
    ("Rho", 0x3a1),
    ("Scaron", 0x160),
    ("Sigma", 0x3a3),
    ("Tau", 0x3a4),
    ("Theta", 0x398),
    ("Upsilon", 0x3a5),
    ("Xi", 0x39e),
    ("Yuml", 0x178),
    ("Zeta", 0x396),
    ("alefsym", 0x2135),
    ("alpha", 0x3b1),
    ("and", 0x2227),
    ("ang", 0x2220),
    ("asymp", 0x2248),
    ("bdquo", 0x201e),
    ("beta", 0x3b2),
    ("bull", 0x2022),
    ("cap", 0x2229),
    ("chi", 0x3c7),
    ("circ", 0x2c6),
    ("clubs", 0x2663),
    ("cong", 0x2245),
    ("crarr", 0x21b5),
    ("cup", 0x222a),
    ("dArr", 0x21d3),
    ("dagger", 0x2020),
    ("darr", 0x2193),
    ("delta", 0x3b4),
    ("diams", 0x2666),
    ("empty", 0x2205),
    ("emsp", 0x2003),
    ("ensp", 0x2002),
    ("epsilon", 0x3b5),
    ("equiv", 0x2261),
    ("eta", 0x3b7),
    ("euro", 0x20ac),
    ("exist", 0x2203),
    ("fnof", 0x192),
    ("forall", 0x2200),
    ("frasl", 0x2044),
    ("gamma", 0x3b3),
    ("ge", 0x2265),
    ("hArr", 0x21d4),
    ("harr", 0x2194),
    ("hearts", 0x2665),
    ("hellip", 0x2026),
    ("image", 0x2111),
    ("infin", 0x221e),
    ("int", 0x222b),
    ("iota", 0x3b9),
    ("isin", 0x2208),
    ("kappa", 0x3ba),
    ("lArr", 0x21d0),
    ("lambda", 0x3bb),
    ("lang", 0x2329),
    ("larr", 0x2190),
    ("lceil", 0x2308),
    ("ldquo", 0x201c),
    ("le", 0x2264),
    ("lfloor", 0x230a),
    ("lowast", 0x2217),
    ("loz", 0x25ca),
    ("lrm", 0x200e),
    ("lsaquo", 0x2039),
    ("lsquo", 0x2018),
    ("mdash", 0x2014),
    ("minus", 0x2212),
    ("mu", 0x3bc),
    ("nabla", 0x2207),
    ("ndash", 0x2013),
    ("ne", 0x2260),
    ("ni", 0x220b),
    ("notin", 0x2209),
    ("nsub", 0x2284),
    ("nu", 0x3bd),
    ("oelig", 0x153),
    ("oline", 0x203e),
    ("omega", 0x3c9),
    ("omicron", 0x3bf),
    ("oplus", 0x2295),
    ("or", 0x2228),
    ("otimes", 0x2297),
    ("part", 0x2202),
    ("permil", 0x2030),
    ("perp", 0x22a5),
    ("phi", 0x3c6),
    ("pi", 0x3c0),
    ("piv", 0x3d6),
    ("prime", 0x2032),
    ("prod", 0x220f),
    ("prop", 0x221d),
    ("psi", 0x3c8),
    ("rArr", 0x21d2),
    ("radic", 0x221a),
    ("rang", 0x232a),
    ("rarr", 0x2192),
    ("rceil", 0x2309),
    ("rdquo", 0x201d),
    ("real", 0x211c),
    ("rfloor", 0x230b),
    ("rho", 0x3c1),
    ("rlm", 0x200f),
    ("rsaquo", 0x203a),
    ("rsquo", 0x2019),
    ("sbquo", 0x201a),
    ("scaron", 0x161),
    ("sdot", 0x22c5),
    ("sigma", 0x3c3),
    ("sigmaf", 0x3c2),
    ("sim", 0x223c),
    ("spades", 0x2660),
    ("sub", 0x2282),
    ("sube", 0x2286),
    ("sum", 0x2211),
    ("sup", 0x2283),
    ("supe", 0x2287),
    ("tau", 0x3c4),
    ("there4", 0x2234),
    ("theta", 0x3b8),
    ("thetasym", 0x3d1),
    ("thinsp", 0x2009),
    ("tilde", 0x2dc),
    ("trade", 0x2122),
    ("uArr", 0x21d1),
    ("uarr", 0x2191),
    ("upsih", 0x3d2),
    ("upsilon", 0x3c5),
    ("weierp", 0x2118),
    ("xi", 0x3be),
    ("zeta", 0x3b6),
    ("zwj", 0x200d),
    ("zwnj", 0x200c),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn references_are_read_in_all_their_forms() {
        for (text, want, wide) in [
            ("a&amp;b&ampc", "a&b&c", false),
            ("&nbspx", "\u{a0}x", false),
            ("&alphax &alpha; &alpha", "&alphax α &alpha", true),
            ("&#8212; &#x41;&#65", "— AA", true),
            ("&bogus; &#0; &#1114112; &#65534;", "&bogus; &#0; &#1114112; &#65534;", false),
            ("&eacute;&#xe9;", "éé", false),
            ("&#xD83D;&#xDE00;", "😀", true),
            ("&#xD83D; &#xDE00;", "\u{fffd} \u{fffd}", true),
            ("&", "&", false),
        ] {
            let got = decode(text, false, true);
            assert_eq!((&*got.text, got.wide), (want, wide), "{text}");
        }
        assert_eq!(decode("?a=1&copyx=2&copy=3", false, false).text, "?a=1&copyx=2©=3");
    }

    #[test]
    fn the_tables_are_sorted() {
        assert!(OPEN.is_sorted() && CLOSED.is_sorted());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fail(text in "(&|#|x|;|amp|nbsp|[0-9a-f]{1,4}|D83D|é){0,40}") {
            prop_assert!(decode(&text, false, true).text.len() <= 2 * text.len());
        }
    }
}
