//! Character sets of far-away scripts in the header, where a site says that it reads only some languages.

use std::sync::LazyLock;

use regex::bytes::Regex;

use crate::filters::Mistake;
use crate::filters::spam::rules::Settings;

use super::{Arguments, Call, Function, fields};

pub(super) const KEYS: &[&str] = &["ok_locales"];

pub(super) const FUNCTIONS: &[Function] = &[("check_for_faraway_charset_in_headers", faraway)];

/// The languages a site reads, two letters each; empty: all.
#[derive(Debug, Default)]
pub(in crate::filters::spam) struct Locales(Vec<String>);

impl Locales {
    pub(super) fn read(settings: &Settings, _mistakes: &mut Vec<Mistake>) -> Self {
        let last = settings.of(KEYS).last();
        let words = last.map_or("", |line| line.text.as_str()).split_ascii_whitespace();
        let all: Vec<String> = words.map(str::to_ascii_lowercase).collect();
        Self(if all.iter().any(|word| word == "all") { Vec::new() } else { all })
    }

    /// True if the site reads all languages.
    pub(in crate::filters::spam) fn all(&self) -> bool {
        self.0.is_empty()
    }

    /// True if mail in this character set may be in a language the site reads.
    pub(in crate::filters::spam) fn reads(&self, charset: &[u8]) -> bool {
        let first = charset.split(|octet| *octet == b':').next().unwrap_or_default();
        let letters = first.iter().filter(|octet| octet.is_ascii_alphanumeric());
        let name: String = letters.map(|octet| char::from(octet.to_ascii_uppercase())).collect();
        // What quoted-printable left of an `=`.
        let name = name.strip_prefix("3D").unwrap_or(&name);
        const EVERYWHERE: [&str; 6] =
            ["USASCII", "ASCII", "IBM852", "XUNKNOWN", "ISO", "UNICODE11UTF7"];
        const STARTS: [&str; 7] =
            ["ISO8859", "ISO10646", "UTF", "UCS", "CP125", "WINDOWS", "UNICODE11UTF8"];
        self.all()
            || EVERYWHERE.contains(&name)
            || STARTS.iter().any(|start| name.starts_with(start))
            || self.0.iter().any(|locale| sets_of(locale).contains(&name))
    }
}

/// Character sets of a language, besides those all the world uses.
#[rustfmt::skip]
fn sets_of(locale: &str) -> &'static [&'static str] {
    const CYRILLIC: &[&str] =
        &["KOI8R", "KOI8U", "KOI8T", "ISOIR111", "CP1251", "GEORGIANPS", "PT154", "CP866"];
    match locale.get(..2).unwrap_or(locale) {
        "ja" => &[
            "EUCJP", "JISX020119760", "JISX020819830", "JISX020819900", "JISX020819970", "JISX021219900",
            "JISX021320001", "JISX021320002", "SHIFTJIS", "ISO2022JP", "SJIS", "JIS7", "JISX0201", "JISX0208",
            "JISX0212",
        ],
        "ko" => &["EUCKR", "KSC56011987"],
        "ru" | "ka" | "tg" | "be" | "uk" | "bg" => CYRILLIC,
        "th" => &["TIS620"],
        "zh" => &[
            "GB1988", "GB2312", "GB231219800", "GB18030", "GBK", "BIG5HKSCS", "BIG5", "EUCTW", "ISO2022CN",
        ],
        _ => &[],
    }
}

static WORD: LazyLock<Regex> = LazyLock::new(|| fields::constant(r"=\?([^\n]+?)\?.\?.*?\?="));

fn faraway(_: &Arguments) -> Result<Call, String> {
    Ok(Call::new(|view| {
        let locales = &view.engine.tables.locales;
        if locales.all() {
            return None;
        }
        ["From:raw", "Subject:raw"].into_iter().find_map(|name| {
            let text = fields::value(view, name);
            let mut sets = WORD.captures_iter(&text).filter_map(|found| found.get(1));
            let far = sets.find(|set| !locales.reads(set.as_bytes()))?;
            Some(fields::shown(far.as_bytes()))
        })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn character_sets_belong_to_languages() {
        let read = |text: &str| {
            let mut settings = Settings::default();
            let source = crate::filters::Source { file: "a.cf".into(), line: 1 };
            settings.add("ok_locales", text.to_owned(), source);
            Locales::read(&settings, &mut Vec::new())
        };
        let english = read("en");
        for (charset, want) in [
            ("us-ascii", true),
            ("UTF-8", true),
            ("iso-8859-1", true),
            ("windows-1251", true),
            ("koi8-r", false),
            ("gb2312", false),
            ("3Dutf-8", true),
        ] {
            assert_eq!(english.reads(charset.as_bytes()), want, "{charset}");
        }
        assert!(read("en ja").reads(b"ISO-2022-JP") && read("zh_TW").reads(b"big5"));
        assert!(read("all").all() && read("").all() && !english.all());
        assert!(WORD.is_match(b"=?koi8-r?B?x?="));
    }
}
