//! What a string of a script turns out to be: base64, hex, percent escapes, turned around, packed, and one in another.

use bytes::Bytes;

use super::data_url::{self, DataUrl};
use super::script::unescape;
use crate::mail::FileType;
use crate::mime::budget::Budget;
use crate::mime::container::stream::inflate::inflate;
use crate::mime::{html, kind, transfer};

/// Layers around one content that are taken off.
const LAYERS_MAX: usize = 4;
/// Shorter base64 or hex is a word, a number, an identifier.
const CODED_BYTES_MIN: usize = 64;
/// Markup as short as that says nothing.
const MARKUP_BYTES_MIN: usize = 40;

/// What came out.
#[derive(Debug)]
pub(super) enum Outcome {
    /// A file, a page, a program; `coded`: it was not there in plain.
    File {
        data: Bytes,
        coded: bool,
    },
    /// A script to read.
    Script(String),
    Address(DataUrl),
}

/// Text with the layers that were taken off it.
struct Layer {
    text: String,
    number: usize,
}

/// Takes the layers off.
pub(super) fn look(text: String, budget: &mut Budget) -> Vec<Outcome> {
    let mut found = Vec::new();
    let mut work = vec![Layer { text, number: 0 }];
    while let Some(layer) = work.pop() {
        if layer.number < LAYERS_MAX && !budget.is_late() {
            look_at(layer, &mut work, &mut found, budget);
        }
    }
    found
}

fn look_at(layer: Layer, work: &mut Vec<Layer>, found: &mut Vec<Outcome>, budget: &mut Budget) {
    let Layer { text, number } = layer;
    let trimmed = text.trim();
    let coded = number > 0;
    if html::scheme(trimmed) == Some("data")
        && let Some(url) = data_url::parse(trimmed)
    {
        found.push(Outcome::Address(url));
        return;
    }
    let is_binary = |sign: char| !sign.is_ascii() || (sign.is_control() && !sign.is_whitespace());
    if text.contains(is_binary) && text.chars().all(|sign| u32::from(sign) < 256) {
        let octets: Vec<u8> =
            text.chars().map(|sign| u8::try_from(u32::from(sign)).unwrap_or(0)).collect();
        match std::str::from_utf8(&octets) {
            // Octets one by one of a text in UTF-8.
            Ok(wide) if !wide.is_ascii() => {
                work.push(Layer { text: wide.to_owned(), number: number + 1 });
            }
            _ => octets_found(octets, number + 1, work, found, budget),
        }
        return;
    }
    let types = kind::detect(trimmed.as_bytes());
    if trimmed.len() >= CODED_BYTES_MIN && types.iter().any(|t| is_telling(t, trimmed.as_bytes())) {
        found.push(Outcome::File { data: Bytes::copy_from_slice(trimmed.as_bytes()), coded: true });
        return;
    }
    if is_markup(trimmed, coded) {
        found.push(Outcome::File { data: page_of(trimmed), coded });
        return;
    }
    let is_script = is_script(trimmed, coded);
    let escapes = memchr::memchr_iter(b'%', trimmed.as_bytes()).count();
    if escapes >= 4 {
        let plain = unescape(trimmed);
        if plain.len() < trimmed.len() {
            work.push(Layer { text: plain, number: number + 1 });
        }
    }
    let before = (work.len(), found.len());
    for octets in [base64(trimmed), hex(trimmed)].into_iter().flatten() {
        octets_found(octets, number + 1, work, found, budget);
    }
    if before == (work.len(), found.len()) && trimmed.len() >= CODED_BYTES_MIN && !is_script {
        turned_around(trimmed, number, work, found, budget);
    }
    if is_script {
        found.push(Outcome::Script(text));
    }
}

/// The same from its end to its start.
fn turned_around(
    text: &str,
    number: usize,
    work: &mut Vec<Layer>,
    found: &mut Vec<Outcome>,
    budget: &mut Budget,
) {
    let turned: String = text.chars().rev().collect();
    if is_markup(&turned, true) || html::scheme(&turned) == Some("data") {
        work.push(Layer { text: turned, number: number + 1 });
        return;
    }
    for octets in [base64(&turned), hex(&turned)].into_iter().flatten() {
        octets_found(octets, number + 1, work, found, budget);
    }
}

/// Octets: a file if it is a known one, or text to look at, or packed.
fn octets_found(
    octets: Vec<u8>,
    number: usize,
    work: &mut Vec<Layer>,
    found: &mut Vec<Outcome>,
    budget: &mut Budget,
) {
    let types = kind::detect(&octets);
    if types.iter().any(|kind| is_telling(kind, &octets)) {
        found.push(Outcome::File { data: octets.into(), coded: true });
        return;
    }
    if types.first().is_some_and(|kind| kind.class == "text") {
        if let Ok(text) = String::from_utf8(octets) {
            work.push(Layer { text, number });
        }
        return;
    }
    if !types.is_empty() {
        return;
    }
    if let [0x78, second, packed @ ..] = octets.as_slice()
        && (0x7800 + u16::from(*second)).is_multiple_of(31)
    {
        let data = inflate(packed, budget).data;
        let types = kind::detect(&data);
        if types.iter().any(|kind| is_telling(kind, &data)) {
            found.push(Outcome::File { data: data.into(), coded: true });
        } else if types.first().is_some_and(|kind| kind.class == "text")
            && let Ok(text) = String::from_utf8(data)
        {
            work.push(Layer { text, number });
        }
        return;
    }
    if let Some(plain) = without_key(&octets) {
        found.push(Outcome::File { data: plain.into(), coded: true });
    }
}

/// A type that nobody hides in a script without a reason. Marks of two octets are met by chance.
fn is_telling(kind: &FileType, octets: &[u8]) -> bool {
    const CHANCE_BYTES_MIN: usize = 512;
    let by_chance = matches!(kind.short, "arj" | "Z" | "cpio" | "lha" | "lzma" | "gz" | "bz2");
    (matches!(kind.class, "executable" | "archive" | "script" | "document") || kind.short == "mail")
        && (!by_chance || octets.len() >= CHANCE_BYTES_MIN)
        && (kind.short != "gz" || octets.get(2) == Some(&8))
}

/// Octets that were each mixed with the same octet, if that makes them a known file.
fn without_key(octets: &[u8]) -> Option<Vec<u8>> {
    const MARKS: [&[u8]; 7] = [
        b"PK\x03\x04",
        b"MZ\x90\0\x03",
        b"%PDF-",
        b"Rar!\x1a",
        b"7z\xbc\xaf",
        b"<html",
        b"\xd0\xcf\x11\xe0",
    ];
    let first = octets.first().filter(|_| octets.len() >= CODED_BYTES_MIN)?;
    let key = MARKS.iter().find_map(|mark| {
        let key = mark.first()? ^ first;
        let fits = mark.iter().zip(octets).all(|(want, octet)| *want == octet ^ key);
        (fits && key != 0).then_some(key)
    })?;
    Some(octets.iter().map(|octet| octet ^ key).collect())
}

fn is_markup(text: &str, coded: bool) -> bool {
    if text.len() < MARKUP_BYTES_MIN && !coded {
        return false;
    }
    let Some(at) = memchr::memchr(b'<', text.as_bytes()) else { return false };
    const FREE_BYTES: usize = 200;
    if at > FREE_BYTES || (!coded && at > 0) {
        return false;
    }
    let page = html::render(text);
    !page.active.is_empty() || (coded && !page.links.is_empty()) || asks_or_shows(text)
}

/// True for markup that asks for something, or shows another page.
fn asks_or_shows(text: &str) -> bool {
    memchr::memchr_iter(b'<', text.as_bytes()).any(|at| {
        let tag = text.as_bytes().get(at + 1..).unwrap_or_default();
        [&b"form"[..], b"meta http", b"input", b"iframe", b"frame", b"embed", b"object"]
            .iter()
            .any(|name| tag.get(..name.len()).is_some_and(|t| t.eq_ignore_ascii_case(name)))
    })
}

/// The markup as a file that is known for a page.
fn page_of(text: &str) -> Bytes {
    let known = kind::detect(text.as_bytes());
    if known.iter().any(|kind| matches!(kind.short, "html" | "svg" | "hta")) {
        return Bytes::copy_from_slice(text.as_bytes());
    }
    format!("<html>{text}").into()
}

/// True for text with what a script needs to do harm.
fn is_script(text: &str, coded: bool) -> bool {
    let has = |mark: &str| memchr::memmem::find(text.as_bytes(), mark.as_bytes()).is_some();
    let decodes = ["atob(", "unescape(", "fromCharCode", "decodeURIComponent(", "eval("];
    let acts = ["document.", "location", "window.", "function", "ActiveXObject", "WScript", "=>"];
    decodes.iter().any(|mark| has(mark)) || (coded && acts.iter().any(|mark| has(mark)))
}

/// base64 of either alphabet, and nothing else.
fn base64(text: &str) -> Option<Vec<u8>> {
    let is_coded = |octet: u8| {
        octet.is_ascii_alphanumeric()
            || matches!(octet, b'+' | b'/' | b'=' | b'-' | b'_')
            || octet.is_ascii_whitespace()
    };
    if text.len() < CODED_BYTES_MIN || !text.bytes().all(is_coded) {
        return None;
    }
    // Words and blanks are no base64.
    let blanks = text.bytes().filter(u8::is_ascii_whitespace).count();
    if blanks > text.len() / 16 {
        return None;
    }
    let plain: Vec<u8> = text
        .bytes()
        .map(|octet| match octet {
            b'-' => b'+',
            b'_' => b'/',
            other => other,
        })
        .collect();
    Some(transfer::base64_word(&plain))
}

fn hex(text: &str) -> Option<Vec<u8>> {
    if text.len() < CODED_BYTES_MIN {
        return None;
    }
    let mut octets = Vec::with_capacity(text.len() / 2);
    let mut high = None;
    for octet in text.bytes() {
        let Some(digit) = char::from(octet).to_digit(16).and_then(|d| u8::try_from(d).ok()) else {
            if matches!(octet, b' ' | b',' | b'\n' | b'\r' | b':' | b'-') && high.is_none() {
                continue;
            }
            return None;
        };
        match high.take() {
            None => high = Some(digit),
            Some(first) => octets.push(first << 4 | digit),
        }
    }
    Some(octets)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::mime::Limits;

    fn first(text: &str) -> Option<Outcome> {
        look(text.to_owned(), &mut Budget::new(&Limits::default())).into_iter().next()
    }

    fn file(text: &str) -> Vec<u8> {
        match first(text) {
            Some(Outcome::File { data, .. }) => data.to_vec(),
            Some(Outcome::Address(url)) => url.data,
            other => panic!("{other:?} of {text}"),
        }
    }

    #[test]
    fn layers_are_taken_off() {
        let zip = [&b"PK\x03\x04\x14\0\0\0"[..], &[7; 80]].concat();
        let coded = STANDARD.encode(&zip);
        let turned: String = coded.chars().rev().collect();
        let hex: String = zip.iter().map(|octet| format!("{octet:02x}")).collect();
        let mixed: Vec<u8> = zip.iter().map(|octet| octet ^ 0x5a).collect();
        let binary: String = zip.iter().chain(&[0xff]).map(|octet| char::from(*octet)).collect();
        for text in [
            coded.clone(),
            turned,
            hex,
            STANDARD.encode(&coded),
            STANDARD.encode(mixed),
            format!("data:application/zip;base64,{coded}"),
        ] {
            assert_eq!(file(&text), zip, "{text}");
        }
        assert_eq!(file(&binary).len(), zip.len() + 1);
        let page = "<script>alert('hello')</script>";
        let percent: String = page.bytes().map(|octet| format!("%{octet:02x}")).collect();
        assert_eq!(file(&percent), page.as_bytes());
        assert_eq!(file(&STANDARD.encode(&percent)), page.as_bytes());
        let frame = "<iframe src=http://a.example>";
        assert_eq!(
            file(&STANDARD.encode(frame.repeat(2))),
            format!("<html>{frame}{frame}").as_bytes()
        );
        let script = format!("document.write(atob('{}'))", "x".repeat(40));
        assert!(matches!(first(&STANDARD.encode(&script)), Some(Outcome::Script(_))));
    }

    #[test]
    fn what_is_only_text_or_a_picture_is_nothing() {
        let picture = STANDARD.encode([&b"\x89PNG\r\n\x1a\n"[..], &[0; 80]].concat());
        for text in [
            "The quick brown fox jumps over the lazy dog and over the lazy dog again and again",
            "d41d8cd98f00b204e9800998ecf8427ed41d8cd98f00b204e9800998ecf8427e",
            "<div class='menu'><span>nothing but a small piece of markup</span></div>",
            picture.as_str(),
            "",
        ] {
            assert!(first(text).is_none(), "{text}");
        }
    }
}
