//! Data addresses (RFC 2397): a file that stands in an address, read as lenient as browsers do.

use crate::mail::FileType;
use crate::mime::{field, html, kind, transfer};

/// A file that stood in an address.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DataUrl {
    /// The declared type in lower case, without parameters.
    pub(super) media: String,
    pub(super) data: Vec<u8>,
}

/// Reads the address; character references are undone already.
pub(super) fn parse(url: &str) -> Option<DataUrl> {
    let start = url.trim_start_matches(|sign: char| sign <= ' ');
    // Tabs and line ends count nowhere in an address.
    let comma = memchr::memchr(b',', start.as_bytes())?;
    let (head, coded) = start.split_at(comma);
    if head.len() > HEAD_BYTES_MAX {
        return None;
    }
    let head: String = head
        .chars()
        .filter(|sign| !matches!(sign, '\t' | '\r' | '\n'))
        .flat_map(char::to_lowercase)
        .collect();
    let mut pieces = head.strip_prefix("data:")?.split(';').map(str::trim);
    let media = pieces.next().filter(|media| !media.is_empty()).unwrap_or("text/plain").to_owned();
    let is_base64 = pieces.any(|piece| piece == "base64") || media == "base64";
    let coded: Vec<u8> =
        coded.bytes().skip(1).filter(|octet| !matches!(octet, b'\t' | b'\r' | b'\n')).collect();
    let mut data = Vec::with_capacity(coded.len());
    field::percent_decode(&coded, &mut data);
    if is_base64 {
        data = transfer::base64_word(&data);
    }
    Some(DataUrl { media, data })
}

/// A longer head before the comma is none.
const HEAD_BYTES_MAX: usize = 4096;

impl DataUrl {
    /// True for a picture, a font, a style or a plain text that is what it says: pages are full of them.
    pub(super) fn is_ordinary(&self) -> bool {
        let types = kind::detect(&self.data);
        let class = |wanted: &str| types.iter().all(|kind| kind.class == wanted);
        let (top, _) = self.media.split_once('/').unwrap_or((&self.media, ""));
        self.data.is_empty()
            || match top {
                "image" => class("image") && !types.iter().any(is_svg),
                "audio" | "video" => types.iter().all(|t| matches!(t.class, "audio" | "video")),
                "font" => types.is_empty(),
                _ if self.media.contains("font") => types.is_empty(),
                _ => {
                    matches!(
                        self.media.as_str(),
                        "text/plain" | "text/css" | "text/csv" | "application/json"
                    ) && class("text")
                        && types.iter().all(|kind| kind.short == "txt")
                }
            }
    }

    /// True for a drawing that only draws.
    pub(super) fn is_still_drawing(&self) -> bool {
        self.media == "image/svg+xml"
            && kind::detect(&self.data).first().is_some_and(is_svg)
            && html::render(&String::from_utf8_lossy(&self.data)).active.is_empty()
    }

    pub(super) fn is_script(&self) -> bool {
        ["javascript", "ecmascript", "jscript", "vbscript"]
            .iter()
            .any(|language| self.media.contains(language))
    }
}

fn is_svg(kind: &FileType) -> bool {
    kind.short == "svg"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_browsers_read_them() {
        for (url, media, data) in [
            ("data:,a%20b", "text/plain", "a b"),
            ("DATA:text/HTML;charset=utf-8;base64,aGk=", "text/html", "hi"),
            (" da\nta:;base 64,aGk", "text/plain", "aGk"),
            ("data:a/b; BASE64 ,a G\nk%3D", "a/b", "hi"),
            ("data:image/svg+xml,<svg onload='x,y'>", "image/svg+xml", "<svg onload='x,y'>"),
        ] {
            let got = parse(url).unwrap();
            assert_eq!((got.media.as_str(), &got.data[..]), (media, data.as_bytes()), "{url:?}");
        }
        assert_eq!(parse("data:nothing"), None);
        assert_eq!(parse("http://a,b"), None);
    }

    #[test]
    fn what_is_what_it_says_is_ordinary() {
        let url = |media: &str, data: &[u8]| DataUrl { media: media.into(), data: data.into() };
        for (media, data, want) in [
            ("image/png", &b"\x89PNG\r\n\x1a\n\0"[..], true),
            ("image/png", b"GIF89a\0", true),
            ("image/bmp", b"BM\0\0", true),
            ("image/png", b"<svg xmlns='x'/>", false),
            ("image/svg+xml", b"<svg xmlns='x'/>", false),
            ("image/png", b"MZ is a text", false),
            ("image/gif", b"GIF89a\0PK\x03\x04\0PK\x05\x06", false),
            ("application/x-font-woff", b"wOFF\0\x01", true),
            ("font/woff2", b"PK\x03\x04\x14\0", false),
            ("text/plain", b"hello", true),
            ("text/plain", b"<html>", false),
            ("text/javascript", b"x()", false),
            ("application/octet-stream", b"\x01\x02", false),
            ("text/html", b"", true),
        ] {
            assert_eq!(url(media, data).is_ordinary(), want, "{media}");
        }
        assert!(url("image/svg+xml", b"<svg><path d='x'/></svg>").is_still_drawing());
        assert!(!url("image/svg+xml", b"<svg onload='x'/>").is_still_drawing());
    }
}
