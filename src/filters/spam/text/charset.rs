//! Octets to text, with SpamAssassin's guesses: UTF-8 first whatever was declared, then what was declared, then
//! windows-1252.

use std::borrow::Cow;

use encoding_rs::{BIG5, EUC_KR, Encoding, GBK, UTF_16BE, UTF_16LE, WINDOWS_1252};
use mail_parser::decoders::charsets::map::charset_decoder;

use super::perl::Text;

/// A body part, declared as `charset`.
pub(super) fn decode(octets: &[u8], charset: &str) -> Text {
    if octets.is_ascii() && is_ascii_superset(charset) {
        return Text::narrow(octets);
    }
    if !octets.is_ascii()
        && let Ok(text) = std::str::from_utf8(octets)
    {
        return Text::wide(text.to_owned());
    }
    let declared = if is_utf16(charset) {
        utf16(octets).and_then(|encoding| strict(encoding, octets))
    } else if !octets.is_ascii() && (is_ascii(charset) || is_utf8(charset)) {
        None
    } else {
        declared(octets, charset, false)
    };
    match declared {
        Some(text) => Text::wide(text),
        None if octets.is_ascii() => Text::narrow(octets),
        None => Text::wide(windows_1252(octets)),
    }
}

/// A header value that may hold octets over 127, as UTF-8.
pub(super) fn of_header(octets: &[u8]) -> Cow<'_, [u8]> {
    if std::str::from_utf8(octets).is_ok() {
        return Cow::Borrowed(octets);
    }
    Cow::Owned(windows_1252(octets).into_bytes())
}

/// The octets of an encoded word, as UTF-8: here the declared charset counts, and malformed octets become U+FFFD.
pub(super) fn of_word(octets: Vec<u8>, charset: &str) -> Vec<u8> {
    if octets.is_ascii() && is_ascii_superset(charset) {
        return octets;
    }
    if is_utf16(charset) {
        // Its own octets come back: whoever wrote this asks for the letters, and forgets them.
        if utf16(&octets).is_some_and(|encoding| strict(encoding, &octets).is_some()) {
            return octets;
        }
    } else if let Some(text) = declared(&octets, charset, true) {
        return text.into_bytes();
    }
    if octets.is_ascii() { octets } else { windows_1252(&octets).into_bytes() }
}

/// Labels of charsets whose first half is ASCII, so that nothing need be done for what is all ASCII.
fn is_ascii_superset(label: &str) -> bool {
    let label = label.to_ascii_lowercase();
    let digits = |text: &str, most: usize| {
        (1..=most).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_digit())
    };
    if is_ascii(&label) || ["iso646-us", "utf8", "utf-8", "big5", "gbk"].contains(&label.as_str()) {
        return true;
    }
    if ["ansi_x3.4-1968", "ansi_x3.4-1986", "ansi x3.4-1968", "ansi x3.4-1986"]
        .contains(&label.as_str())
    {
        return true;
    }
    if let Some(rest) = label.strip_prefix("iso") {
        let rest = rest.strip_prefix([' ', '-']).unwrap_or(rest);
        if let Some(rest) = rest.strip_prefix("8859") {
            return rest.is_empty() || rest.strip_prefix('-').is_some_and(|part| digits(part, 2));
        }
    }
    if let Some(page) = label.strip_prefix("windows-") {
        return page.len() == 4 && digits(page, 4);
    }
    if let Some(kind) = label.strip_prefix("koi8-").or_else(|| label.strip_prefix("euc-")) {
        return (1..=2).contains(&kind.len()) && kind.bytes().all(|o| o.is_ascii_lowercase());
    }
    is_gb18030(&label)
}

fn is_gb18030(label: &str) -> bool {
    ["gb18030", "gb-18030", "gb 18030", "gb18030-2000", "gb18030-2005", "gb18030-2022"]
        .iter()
        .any(|known| label.eq_ignore_ascii_case(known))
}

fn is_ascii(label: &str) -> bool {
    label.eq_ignore_ascii_case("us-ascii") || label.eq_ignore_ascii_case("ascii")
}

fn is_utf8(label: &str) -> bool {
    label.eq_ignore_ascii_case("utf-8") || label.eq_ignore_ascii_case("utf8")
}

fn is_utf16(label: &str) -> bool {
    let label = label.to_ascii_lowercase();
    ["utf16", "utf-16", "utf 16"].iter().any(|start| label.starts_with(start))
}

/// The text by the declared charset; `None` if it is unknown, or (unless `lossy`) if the octets do not fit.
fn declared(octets: &[u8], label: &str, lossy: bool) -> Option<String> {
    let label: String = label.chars().filter(|letter| !letter.is_whitespace()).collect();
    let label = label.to_ascii_lowercase();
    if is_ascii(&label) {
        let text = || octets.iter().map(|o| if o.is_ascii() { char::from(*o) } else { '\u{fffd}' });
        return (lossy || octets.is_ascii()).then(|| text().collect());
    }
    if ["iso-8859-1", "iso8859-1", "windows-1252", "cp1252"].contains(&label.as_str()) {
        let fits = !octets.iter().any(|octet| is_hole(*octet));
        return (lossy || fits).then(|| windows_1252(octets));
    }
    if is_utf8(&label) {
        return match std::str::from_utf8(octets) {
            Ok(text) => Some(text.to_owned()),
            Err(_) if lossy => Some(String::from_utf8_lossy(octets).into_owned()),
            Err(_) => None,
        };
    }
    if ["latin1", "latin-1", "iso_8859-1", "l1"].contains(&label.as_str()) {
        return Some(octets.iter().map(|octet| char::from(*octet)).collect());
    }
    if label.starts_with("iso-8859-") && label.ends_with(['i', 'e']) {
        return None;
    }
    let encoding = if is_gb18030(&label) {
        GBK
    } else if label == "cp949" || label.starts_with("ks_c_5601") {
        EUC_KR
    } else if label == "big5-eten" {
        BIG5
    } else {
        match Encoding::for_label_no_replacement(label.as_bytes()) {
            Some(encoding) => encoding,
            None => return by_other_means(octets, &label),
        }
    };
    if label.starts_with("iso-2022-jp") {
        // That decoder stops in front of the first octet that is no ASCII.
        let end = octets.iter().position(|octet| !octet.is_ascii()).unwrap_or(octets.len());
        let octets = octets.get(..end).unwrap_or_default();
        return Some(encoding.decode_without_bom_handling(octets).0.into_owned());
    }
    if !lossy && ["gb2312", "euc-cn", "euc-kr"].contains(&label.as_str()) && !is_euc(octets) {
        return None;
    }
    if lossy {
        return Some(encoding.decode_without_bom_handling(octets).0.into_owned());
    }
    strict(encoding, octets)
}

/// Charsets of old that browsers do not know.
fn by_other_means(octets: &[u8], label: &str) -> Option<String> {
    const KNOWN: [&str; 8] =
        ["utf-7", "utf7", "unicode-1-1-utf-7", "cp437", "cp850", "ibm437", "ibm850", "cp-850"];
    if !KNOWN.contains(&label) {
        return None;
    }
    let label = match label {
        "utf7" | "unicode-1-1-utf-7" => "utf-7",
        "cp-850" => "cp850",
        other => other,
    };
    Some(charset_decoder(label.as_bytes())?(octets))
}

fn strict(encoding: &'static Encoding, octets: &[u8]) -> Option<String> {
    encoding.decode_without_bom_handling_and_without_replacement(octets).map(Cow::into_owned)
}

/// True if all characters of two octets lie in the 94 by 94 square of EUC.
fn is_euc(octets: &[u8]) -> bool {
    let mut rest = octets.iter();
    while let Some(octet) = rest.next() {
        if !octet.is_ascii() {
            let second = rest.next();
            if !(0xa1..=0xfe).contains(octet) || !second.is_some_and(|o| (0xa1..=0xfe).contains(o))
            {
                return false;
            }
        }
    }
    true
}

/// Octets that windows-1252 gives no meaning to.
fn is_hole(octet: u8) -> bool {
    matches!(octet, 0x81 | 0x8d | 0x8f | 0x90 | 0x9d)
}

/// windows-1252, U+FFFD for its holes.
fn windows_1252(octets: &[u8]) -> String {
    let text = WINDOWS_1252.decode_without_bom_handling(octets).0;
    if !octets.iter().any(|octet| is_hole(*octet)) {
        return text.into_owned();
    }
    let hole = |letter: char| u8::try_from(u32::from(letter)).is_ok_and(is_hole);
    text.chars().map(|letter| if hole(letter) { '\u{fffd}' } else { letter }).collect()
}

/// Which UTF-16 it is, by blanks and by where the larger values stand. With a byte order mark nothing is guessed.
fn utf16(octets: &[u8]) -> Option<&'static Encoding> {
    if octets.starts_with(b"\xff\xfe") || octets.starts_with(b"\xfe\xff") {
        return None;
    }
    let (mut little, mut big) = (0_u64, 0_u64);
    let (mut even, mut odd) = (0_u64, 0_u64);
    for pair in octets.chunks(2) {
        let first = pair.first().copied().unwrap_or(0);
        let second = pair.get(1).copied().unwrap_or(0);
        even = even.saturating_add(u64::from(first >> 4) + u64::from(first & 15));
        odd = odd.saturating_add(u64::from(second >> 4) + u64::from(second & 15));
        little += u64::from((first, second) == (0x20, 0));
        big += u64::from((first, second) == (0, 0x20));
    }
    little += u64::from(even > odd.saturating_mul(4));
    big += u64::from(odd.saturating_mul(4) > even);
    match little.cmp(&big) {
        std::cmp::Ordering::Greater => Some(UTF_16LE),
        std::cmp::Ordering::Less => Some(UTF_16BE),
        std::cmp::Ordering::Equal => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_are_read_by_guess_and_by_charset() {
        for (octets, charset, want, wide) in [
            (b"abc".as_slice(), "us-ascii", "abc", false),
            (b"abc", "x-unknown", "abc", false),
            (b"abc", "iso-2022-jp", "abc", true),
            ("é".as_bytes(), "iso-8859-1", "é", true),
            (b"caf\xe9", "utf-8", "café", true),
            (b"caf\xe9", "us-ascii", "café", true),
            (b"\xc1", "koi8-r", "а", true),
            (b"\x81", "windows-1252", "\u{fffd}", true),
            (b"\xc4\xe3", "gb2312", "你", true),
            (b"\x81\x40", "gb2312", "\u{fffd}@", true),
            (b"a\0b\0 \0", "utf-16", "ab ", true),
            (b"\x1b$B$\"\x1b(B", "iso-2022-jp", "あ", true),
            (b"ab\xa4\xa2", "iso-2022-jp", "ab", true),
        ] {
            let text = decode(octets, charset);
            assert_eq!((text.text.as_str(), text.wide), (want, wide), "{octets:?} {charset}");
        }
    }

    #[test]
    fn words_keep_to_what_they_declare() {
        assert_eq!(of_word(b"\xc3\xa9".to_vec(), "iso-8859-1"), "Ã©".as_bytes());
        assert_eq!(of_word(b"a\xe9".to_vec(), "utf-8"), "a\u{fffd}".as_bytes());
        assert_eq!(of_word(b"a\xe9".to_vec(), "x-unknown"), "aé".as_bytes());
        assert_eq!(&*of_header(b"a\xe9"), "aé".as_bytes());
    }

    proptest! {
        #[test]
        fn no_octets_make_it_fail(
            octets in proptest::collection::vec(any::<u8>(), 0..100),
            charset in "(utf-16|gb2312|euc-kr|shift_jis|utf-7|cp850|[ -~]{0,12})",
        ) {
            let text = decode(&octets, &charset);
            prop_assert!(text.wide || octets.is_ascii());
            let _ = of_word(octets, &charset);
        }
    }
}
