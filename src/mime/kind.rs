//! Types by content: amavis' short names, by magic alone.

use memchr::memmem;

use super::container;
use crate::mail::FileType;

const fn of(short: &'static str, class: &'static str, mime: &'static str) -> FileType {
    FileType { short, class, mime }
}

const EXE_MS: FileType = of("exe-ms", "executable", "application/x-msdownload");
const ZIP: FileType = of("zip", "archive", "application/zip");
const TXT: FileType = of("txt", "text", "text/plain");
const HTML: FileType = of("html", "text", "text/html");
const MAIL: FileType = of("mail", "text", "message/rfc822");
const TAR: FileType = of("tar", "archive", "application/x-tar");
const SCRIPT: FileType = of("script", "script", "text/x-shellscript");
const URL: FileType = of("url", "text", "application/x-url");
const CMS: FileType = of("p7m", "data", "application/pkcs7-mime");
const MAC_BINARY: FileType = of("macbin", "archive", "application/x-macbinary");
const RTF: FileType = of("rtf", "document", "application/rtf");
const SVG: FileType = of("svg", "image", "image/svg+xml");

/// Offset, magic, type. The first that fits is the most telling.
static MAGIC: &[(usize, &[u8], FileType)] = &[
    (0, b"\x7fELF", of("exe-unix", "executable", "application/x-executable")),
    (0, b"\xfe\xed\xfa\xce", of("exe-mach", "executable", "application/x-mach-binary")),
    (0, b"\xfe\xed\xfa\xcf", of("exe-mach", "executable", "application/x-mach-binary")),
    (0, b"\xce\xfa\xed\xfe", of("exe-mach", "executable", "application/x-mach-binary")),
    (0, b"\xcf\xfa\xed\xfe", of("exe-mach", "executable", "application/x-mach-binary")),
    (0, b"\xca\xfe\xba\xbe", of("class", "executable", "application/java-vm")),
    (0, b"dex\n03", of("dex", "executable", "application/vnd.android.dex")),
    (0, b"\0asm", of("wasm", "executable", "application/wasm")),
    (0, b"PK\x03\x04", ZIP),
    (0, b"PK\x05\x06", ZIP),
    (0, b"PK\x07\x08PK", ZIP),
    (0, b"PK00PK", ZIP),
    (0, b"\x1f\x8b", of("gz", "archive", "application/gzip")),
    (0, b"\xfd7zXZ\0", of("xz", "archive", "application/x-xz")),
    (
        0,
        b"(This file must be converted with BinHex",
        of("hqx", "archive", "application/mac-binhex40"),
    ),
    (0, b"=ybegin line=", of("yenc", "archive", "application/x-yencode")),
    (0, b"=ybegin part=", of("yenc", "archive", "application/x-yencode")),
    (0, b"\0\x05\x16\0", of("applefile", "archive", "application/applefile")),
    (0, b"\0\x05\x16\x07", of("applefile", "archive", "application/applefile")),
    (0, b"LZIP", of("lz", "archive", "application/x-lzip")),
    (0, b"\x89LZO\0\r\n\x1a\n", of("lzo", "archive", "application/x-lzop")),
    (0, b"\x1f\xa0", of("Z", "archive", "application/x-compress")),
    (0, b"7z\xbc\xaf\x27\x1c", of("7z", "archive", "application/x-7z-compressed")),
    (0, b"Rar!\x1a\x07", of("rar", "archive", "application/vnd.rar")),
    (0, b"RE\x7e\x5e", of("rar", "archive", "application/vnd.rar")),
    (0, b"MSCF\0\0\0\0", of("cab", "archive", "application/vnd.ms-cab-compressed")),
    (0, b"ISc(", of("cab", "archive", "application/x-installshield")),
    (7, b"**ACE**", of("ace", "archive", "application/x-ace-compressed")),
    (0, b"ZOO ", of("zoo", "archive", "application/x-zoo")),
    (0, b"MSWIM\0", of("wim", "archive", "application/x-ms-wim")),
    (0, b"xar!", of("xar", "archive", "application/x-xar")),
    (0, b"EGGA", of("egg", "archive", "application/x-egg")),
    (0, b"ALZ\x01", of("alz", "archive", "application/x-alz")),
    (0, b"SIT!", of("sit", "archive", "application/x-stuffit")),
    (0, b"StuffIt (c)1997-", of("sit", "archive", "application/x-stuffit")),
    (0, b"StuffIt!", of("sitx", "archive", "application/x-stuffitx")),
    (0, b"hsqs", of("squashfs", "archive", "application/x-squashfs")),
    (0, b"sqsh", of("squashfs", "archive", "application/x-squashfs")),
    (0, b"LRZI", of("lrz", "archive", "application/x-lrzip")),
    (0, b"7kSt", of("zpaq", "archive", "application/x-zpaq")),
    (0, b"zPQ\x01", of("zpaq", "archive", "application/x-zpaq")),
    (0, b"KWAJ\x88\xf0\x27\xd1", of("kwaj", "archive", "application/x-ms-compress")),
    (0, b"SZDD\x88\xf0\x27\x33", of("szdd", "archive", "application/x-ms-compress")),
    (0, b"KDMV", of("vmdk", "archive", "application/x-vmdk")),
    (0, b"QFI\xfb", of("qcow", "archive", "application/x-qcow")),
    (0, b"\xff\x06\0\0sNaPpY", of("sz", "archive", "application/x-snappy-framed")),
    (3, b"NTFS    ", of("img", "archive", "application/x-raw-disk-image")),
    (3, b"EXFAT   ", of("img", "archive", "application/x-raw-disk-image")),
    (54, b"FAT1", of("img", "archive", "application/x-raw-disk-image")),
    (32, b"NXSB", of("img", "archive", "application/x-raw-disk-image")),
    (512, b"EFI PART", of("img", "archive", "application/x-raw-disk-image")),
    (1024, b"H+\0\x04", of("img", "archive", "application/x-raw-disk-image")),
    (1024, b"HX\0\x05", of("img", "archive", "application/x-raw-disk-image")),
    (82, b"FAT32   ", of("img", "archive", "application/x-raw-disk-image")),
    (0, b"!<arch>\n", of("ar", "archive", "application/x-archive")),
    (0, b"\xed\xab\xee\xdb", of("rpm", "archive", "application/x-rpm")),
    (0, b"\x78\x9f\x3e\x22", of("tnef", "archive", "application/ms-tnef")),
    (0, b"vhdxfile", of("vhd", "archive", "application/x-vhdx")),
    (0, b"conectix", of("vhd", "archive", "application/x-vhd")),
    (0, b"ITSF\x03\0\0\0", of("chm", "executable", "application/vnd.ms-htmlhelp")),
    (0, b"L\0\0\0\x01\x14\x02\0", of("lnk", "executable", "application/x-ms-shortcut")),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", of("doc", "document", "application/x-ole-storage")),
    (0, b"\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d", of("one", "document", "application/onenote")),
    (0, b"ActiveMime", of("mso", "document", "application/x-mso")),
    (0, b"{\\rt", RTF),
    (0, b"%!PS", of("ps", "document", "application/postscript")),
    (0, b"\x89PNG\r\n\x1a\n", of("png", "image", "image/png")),
    (0, b"GIF8", of("gif", "image", "image/gif")),
    (0, b"\xff\xd8\xff", of("jpg", "image", "image/jpeg")),
    (0, b"II*\0", of("tif", "image", "image/tiff")),
    (0, b"MM\0*", of("tif", "image", "image/tiff")),
    (0, b"\0\0\x01\0", of("ico", "image", "image/vnd.microsoft.icon")),
    (0, b"8BPS", of("psd", "image", "image/vnd.adobe.photoshop")),
    (8, b"WEBP", of("webp", "image", "image/webp")),
    (0, b"\xd7\xcd\xc6\x9a", of("wmf", "image", "image/wmf")),
    (0, b"ID3", of("mp3", "audio", "audio/mpeg")),
    (0, b"OggS", of("ogg", "audio", "audio/ogg")),
    (0, b"fLaC", of("flac", "audio", "audio/flac")),
    (8, b"WAVE", of("wav", "audio", "audio/wav")),
    (0, b"MThd", of("mid", "audio", "audio/midi")),
    (8, b"AVI ", of("avi", "video", "video/x-msvideo")),
    (4, b"ftyp", of("mp4", "video", "video/mp4")),
    (0, b"\0\0\x01\xba", of("mpg", "video", "video/mpeg")),
    (0, b"\x1a\x45\xdf\xa3", of("mkv", "video", "video/x-matroska")),
    (0, b"FWS", of("swf", "executable", "application/x-shockwave-flash")),
    (0, b"CWS", of("swf", "executable", "application/x-shockwave-flash")),
    (0, b"ZWS", of("swf", "executable", "application/x-shockwave-flash")),
    (0, b"SQLite format 3\0", of("sqlite", "data", "application/vnd.sqlite3")),
    (0, b"-----BEGIN PGP", of("pgp.asc", "data", "application/pgp-encrypted")),
    (0, b"!BDN", of("pst", "data", "application/vnd.ms-outlook-pst")),
];

/// Archives that are no matter of a few octets at a fixed place.
static SEARCHED: &[FileType] = &[
    of("7z", "archive", "application/x-7z-compressed"),
    of("rar", "archive", "application/vnd.rar"),
    of("cab", "archive", "application/vnd.ms-cab-compressed"),
    of("arj", "archive", "application/x-arj"),
    of("lha", "archive", "application/x-lha"),
    of("ace", "archive", "application/x-ace-compressed"),
    of("zoo", "archive", "application/x-zoo"),
    of("arc", "archive", "application/x-arc"),
];

/// Types of `data`, the most telling first; several for polyglots; empty if nothing is known.
#[must_use]
pub fn detect(data: &[u8]) -> Vec<FileType> {
    let mut found: Vec<FileType> = Vec::new();
    if is_exe_ms(data) {
        found.push(EXE_MS);
    }
    found.extend(container::document_kind(data));
    let text = is_text(data);
    by_magic(data, text, &mut found);
    found.extend(packed_stream(data));
    found.extend(disk_image(data));
    for (fits, kind) in [
        (container::is_cpio(data), of("cpio", "archive", "application/x-cpio")),
        (is_tar(data) || is_tar_behind(data, &found), TAR),
        (container::is_mac_binary(data), MAC_BINARY),
        (container::is_cms(data), CMS),
    ] {
        found.extend(fits.then_some(kind));
    }
    // A text at both ends may have anything in its middle.
    if !(text && data.iter().all(|octet| !is_control(octet))) {
        let is_program = is_exe_ms(data) || data.starts_with(b"\x7fELF");
        let embedded = container::embedded(data, is_program);
        for short in container::short_signature(data).into_iter().chain(embedded) {
            found.extend(SEARCHED.iter().filter(|kind| kind.short == short));
        }
        found.extend(has_zip_end(data).then_some(ZIP));
    }
    by_start(data, text, &mut found);
    let mut types: Vec<FileType> = Vec::with_capacity(found.len());
    for kind in found {
        if !types.iter().any(|known| known.short == kind.short) {
            types.push(kind);
        }
    }
    types
}

fn by_magic(data: &[u8], text: bool, found: &mut Vec<FileType>) {
    let first = data.first().copied().unwrap_or(0);
    for (offset, magic, kind) in MAGIC {
        // "CWS is the name of our shop" is a letter: these formats are never text from end to end.
        let printable = magic.iter().all(|octet| matches!(octet, b' '..=b'~'));
        let is_word = printable && magic.len() <= 8;
        if text && is_word && matches!(kind.class, "executable" | "archive") {
            continue;
        }
        let fits = match offset {
            0 => magic.first() == Some(&first) && data.starts_with(magic),
            _ => data.get(*offset..).is_some_and(|rest| rest.starts_with(magic)),
        };
        found.extend(fits.then_some(*kind));
    }
}

/// What is told by words near the start, wherever exactly they stand.
fn by_start(data: &[u8], text: bool, found: &mut Vec<FileType>) {
    // Readers of PDF look for the mark in the first 1024 octets.
    let head = data.get(..data.len().min(1024)).unwrap_or_default();
    if memmem::find(head, b"%PDF-").is_some() || is_headless_pdf(data, head) {
        found.push(of("pdf", "document", "application/pdf"));
    }
    let start = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    found.extend(markup(start).or_else(|| wide_markup(data)));
    for (fits, kind) in [
        (start.starts_with(b"{\\rt"), RTF),
        (start.starts_with(b"#!"), SCRIPT),
        (text && is_url(start), URL),
        (is_mail(start), MAIL),
        (text && !data.is_empty(), TXT),
    ] {
        found.extend(fits.then_some(kind));
    }
}

/// A PDF without its mark, which readers open all the same: by its end they find the rest. Forms (FDF) may hold files, too.
fn is_headless_pdf(data: &[u8], head: &[u8]) -> bool {
    const TAIL_BYTES: usize = 2048;
    let tail = data.get(data.len().saturating_sub(TAIL_BYTES)..).unwrap_or_default();
    let ends = memmem::find(tail, b"startxref").is_some();
    (ends && memmem::find(data, b" obj").is_some()) || memmem::find(head, b"%FDF-").is_some()
}

/// A DOS or Windows program: `MZ` alone is not enough, a text may begin so.
fn is_exe_ms(data: &[u8]) -> bool {
    if !(data.starts_with(b"MZ") || data.starts_with(b"ZM")) {
        return false;
    }
    let word = |at: usize| match data.get(at..at + 2) {
        Some([low, high]) => Some(u16::from_le_bytes([*low, *high])),
        _ => None,
    };
    let (Some(low), Some(high)) = (word(0x3c), word(0x3e)) else {
        return word(2).is_some_and(|last| last < 512) && data.len() >= 28;
    };
    let new_header = usize::from(low) | usize::from(high) << 16;
    if let Some(rest) = data.get(new_header..)
        && new_header >= 4
        && [&b"PE\0\0"[..], b"NE", b"LE", b"LX"].iter().any(|mark| rest.starts_with(mark))
    {
        return true;
    }
    let (last_page, pages, header) = (word(2), word(4), word(8));
    last_page.is_some_and(|octets| octets <= 512)
        && pages.is_some_and(|pages| pages > 0)
        && header.is_some_and(|paragraphs| (1..0x1000).contains(&paragraphs))
}

/// Streams whose mark alone would say too little, or does not stand at the start.
fn packed_stream(data: &[u8]) -> Option<FileType> {
    let frame = container::behind_skipped(data);
    if container::is_bzip2(data) {
        Some(of("bz2", "archive", "application/x-bzip2"))
    } else if container::is_compress(data) {
        Some(of("Z", "archive", "application/x-compress"))
    } else if let [0x1e..=0x28, 0xb5, 0x2f, 0xfd, ..] = frame {
        // Below 0x28 are the formats before 0.8, which zstd still opens.
        Some(of("zst", "archive", "application/zstd"))
    } else if frame.starts_with(b"\x04\x22\x4d\x18") || frame.starts_with(b"\x02\x21\x4c\x18") {
        Some(of("lz4", "archive", "application/x-lz4"))
    } else if container::is_lzma(data) {
        Some(of("lzma", "archive", "application/x-lzma"))
    } else {
        None
    }
}

/// Images of disks, by what stands in their first descriptors or in their last 512 octets.
fn disk_image(data: &[u8]) -> Option<FileType> {
    const FOOTER_BYTES: usize = 512;
    let footer = data.get(data.len().saturating_sub(FOOTER_BYTES)..).unwrap_or_default();
    if footer.starts_with(b"conectix") {
        Some(of("vhd", "archive", "application/x-vhd"))
    } else if footer.starts_with(b"koly") && footer.len() == FOOTER_BYTES {
        Some(of("dmg", "archive", "application/x-apple-diskimage"))
    } else if container::is_iso(data) {
        Some(of("iso", "archive", "application/x-iso9660-image"))
    } else {
        None
    }
}

/// The header of a tar member adds up to the sum that it holds.
fn is_tar(data: &[u8]) -> bool {
    let Some(header) = data.get(..512) else { return false };
    if header.first() == Some(&0) {
        return false;
    }
    container::tar_checksum_fits(header)
}

/// Junk of whole blocks, and then a tar: its reader passes over what is no header.
fn is_tar_behind(data: &[u8], found: &[FileType]) -> bool {
    const USTAR_AT: usize = 257;
    // What is an archive already is opened as that; what it holds may well begin at a whole block.
    if found.iter().any(|kind| kind.class == "archive") || data.first() == Some(&0) {
        return false;
    }
    data.chunks_exact(512).skip(1).any(|block| {
        block.get(USTAR_AT..).is_some_and(|rest| rest.starts_with(b"ustar"))
            && container::tar_checksum_fits(block)
    })
}

/// The end record of a zip near the end, whatever stands before the zip.
fn has_zip_end(data: &[u8]) -> bool {
    const TAIL_BYTES: usize = 66_000;
    let tail = data.get(data.len().saturating_sub(TAIL_BYTES)..).unwrap_or_default();
    memmem::rfind(tail, b"PK\x05\x06").is_some() && memmem::find(data, b"PK\x03\x04").is_some()
}

/// Text: no octet that text does not hold, in the first 8 KiB.
fn is_text(data: &[u8]) -> bool {
    let tail = data.get(data.len().saturating_sub(8192)..).unwrap_or_default();
    let head = data.get(..data.len().min(8192)).unwrap_or_default();
    !head.iter().chain(tail).any(is_control)
}

/// Octets that no text holds.
fn is_control(octet: &u8) -> bool {
    matches!(octet, 0..=6 | 14..=26 | 28..=31 | 127)
}

/// The small text files that lead somewhere when they are opened: `.url`, `.website`, `.scf`, `.desktop`, and the XML of
/// libraries and saved searches.
fn is_url(start: &[u8]) -> bool {
    let head = start.get(..start.len().min(1024)).unwrap_or_default().to_ascii_lowercase();
    let has = |mark: &[u8]| memmem::find(&head, mark).is_some();
    match head.first() {
        Some(b'[' | b'#' | b';') => {
            has(b"[internetshortcut") || has(b"[desktop entry]") || has(b"[shell]")
        }
        Some(b'<') => {
            has(b"<librarydescription")
                || has(b"<searchconnectordescription")
                || has(b"<persistedquery")
        }
        _ => false,
    }
}

/// Markup in UTF-16, or with NULs between its letters, which readers leave out.
fn wide_markup(data: &[u8]) -> Option<FileType> {
    let start = data.strip_prefix(b"\xff\xfe").or_else(|| data.strip_prefix(b"\xfe\xff"));
    let start = start.unwrap_or(data);
    let start = start.get(..start.len().min(2048)).unwrap_or_default();
    let first = start.iter().find(|octet| **octet != 0 && !octet.is_ascii_whitespace());
    if first != Some(&b'<') || memchr::memchr(0, start).is_none() {
        return None;
    }
    let letters: Vec<u8> = start.iter().copied().filter(|octet| *octet != 0).collect();
    markup(letters.trim_ascii_start())
}

fn markup(start: &[u8]) -> Option<FileType> {
    if start.first() != Some(&b'<') {
        return None;
    }
    let lower = start.to_ascii_lowercase();
    let has = |mark: &[u8]| memmem::find(&lower, mark).is_some();
    // The whole name: `<HeadingPairs>` stands in the XML of documents.
    let has_tag = |mark: &[u8]| {
        memmem::find_iter(&lower, mark)
            .any(|at| lower.get(at + mark.len()).is_none_or(|next| !next.is_ascii_alphanumeric()))
    };
    if has(b"<svg") && !has(b"<html") {
        Some(SVG)
    } else if has(b"<job") || has(b"<package><job") {
        Some(of("wsf", "script", "application/x-wsf"))
    } else if has(b"<html") || has(b"<!doctype html") || has(b"<body") || has_tag(b"<head") {
        let hta = has(b"<hta:application");
        Some(if hta { of("hta", "script", "application/hta") } else { HTML })
    } else if has(b"<script") {
        Some(HTML)
    } else if lower.starts_with(b"<?xml")
        && (has(b"<pkg:package") || has(b"<w:worddocument") || has(b"<office:document"))
    {
        Some(of("flatxml", "document", "application/xml"))
    } else if lower.starts_with(b"<?xml") {
        Some(of("xml", "text", "text/xml"))
    } else if lower.starts_with(b"<?php") {
        Some(of("php", "script", "application/x-php"))
    } else {
        None
    }
}

/// A message in a file begins with one of the fields that messages begin with.
fn is_mail(start: &[u8]) -> bool {
    let first = start.split(|octet| *octet == b'\n').next().unwrap_or_default();
    let fields: &[&[u8]] = &[
        b"received:",
        b"return-path:",
        b"delivered-to:",
        b"message-id:",
        b"mime-version:",
        b"x-envelope-from:",
        b"dkim-signature:",
        b"from:",
        b"date:",
        b"to:",
        b"subject:",
    ];
    let begins =
        |field: &[u8]| first.get(..field.len()).is_some_and(|f| f.eq_ignore_ascii_case(field));
    // What is signed is a part, whose only field may be its type.
    let is_part = [&b"content-type:"[..], b"content-transfer-encoding:", b"content-disposition:"]
        .iter()
        .any(|field| begins(field));
    let named = is_part || fields.iter().any(|field| begins(field));
    // One field alone could be prose; a message has a second line that is a field or a fold.
    named && {
        let second = start.get(first.len() + 1..).unwrap_or_default();
        let colon = memchr::memchr(b':', second.get(..second.len().min(78)).unwrap_or_default());
        matches!(second.first(), Some(b' ' | b'\t'))
            || (is_part && matches!(second, [b'\n', ..] | [b'\r', b'\n', ..]))
            || colon.and_then(|at| second.get(..at)).is_some_and(|name| {
                !name.is_empty() && name.iter().all(|o| o.is_ascii_alphanumeric() || *o == b'-')
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(data: &[u8], want: &[&str]) {
        let got: Vec<_> = detect(data).iter().map(|kind| kind.short).collect();
        assert_eq!(got, want, "{:?}", String::from_utf8_lossy(data));
    }

    #[test]
    fn content_tells_its_type() {
        check(b"", &[]);
        check(b"hello", &["txt"]);
        check(b"\x7fELF\x02\x01", &["exe-unix"]);
        check(b"#!/bin/sh\n", &["script", "txt"]);
        check(b"%PDF-1.4\n", &["pdf", "txt"]);
        check(b"1 0 obj <<>> endobj\nstartxref\n0\n%%EOF\n", &["pdf", "txt"]);
        check(b"startxref is a word\n", &["txt"]);
        check(b" \r\n{\\rtf1 x}", &["rtf", "txt"]);
        check(b"%FDF-1.2\n1 0 obj", &["pdf", "txt"]);
        check(b"StuffIt! is a program", &["txt"]);
        check(b"hsqs\x01\0\0\0", &["squashfs"]);
        check(b"\xeb\x52\x90NTFS    \0", &["img"]);
        check(b"GIF89a\x01\0", &["gif"]);
        check(b"<!DOCTYPE html><p>", &["html", "txt"]);
        check(b"<?xml version='1.0'?><svg/>", &["svg", "txt"]);
        check(b"\xff\xfe<\0h\0t\0m\0l\0>\0", &["html"]);
        check(b"\0<\0s\0v\0g\0>", &["svg"]);
        check(b"From: a@b\nTo: c@d\n\nx", &["mail", "txt"]);
        check(b"Content-Type: text/plain\r\n\r\nx", &["mail", "txt"]);
        check(b"Content-Type: is a field\r\nof mail", &["txt"]);
        check(b"PK\x03\x04\x14\0", &["zip"]);
        check(b"[InternetShortcut]\r\nURL=http://a.b/\r\n", &["url", "txt"]);
        check(b"GIF89a\0PK\x03\x04\0PK\x05\x06", &["gif", "zip"]);
        check(b"GIF89a\0Rar!\x1a\x07\0\xcf\x90\x73\0", &["gif", "rar"]);
        check(b"GIF89a\0Rar!\x1a\x07\x01\0....\x0a\x01", &["gif", "rar"]);
        check(b"\x01\x02Rar!\x1a\x07 is the signature", &[]);
        check(b"\x1c\x59-lh5-.............\x01....", &["lha"]);
        check(b"\x60\xea\x28\0\x22\x0b", &["arj"]);
        check(b"\x60\xea\xff\xff\x22\x01", &[]);
        check(b"\x1a\x08README.TXT\0\0\0......", &["arc"]);
    }

    #[test]
    fn a_letter_that_begins_like_a_container_is_a_letter() {
        for start in ["FWS", "CWS", "ZOO ", "BZh", "MSCF", "EGGA", "070701", "x -lh"] {
            check(format!("{start} is how this letter begins.\r\n").as_bytes(), &["txt"]);
        }
        check(b"FWS\x05\0\0\x01\0", &["swf"]);
        check(b"BZh91AY&SY\x01\x02", &["bz2"]);
        check(b"BZh91AY&SY all signs of this are of text", &["bz2", "txt"]);
        check(b"\x1f\x9d\xff\x01\0", &[]);
        let footer = |mark: &[u8]| [&[1; 600], mark, &[0; 512][..512 - mark.len()]].concat();
        check(&footer(b"conectix"), &["vhd"]);
        check(&footer(b"koly"), &["dmg"]);
    }

    #[test]
    fn a_tar_is_found_behind_whole_blocks_of_junk() {
        let mut header = vec![0; 512];
        header[..5].copy_from_slice(b"a.txt");
        header[124..135].copy_from_slice(b"00000000000");
        header[257..263].copy_from_slice(b"ustar\0");
        let sum = header.iter().map(|octet| u32::from(*octet)).sum::<u32>() + 8 * 32;
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        header[155] = b' ';
        let junk = [b'x'; 512];
        let has_tar = |data: &[u8]| detect(data).iter().any(|kind| kind.short == "tar");
        assert!(has_tar(&header));
        assert!(has_tar(&[&junk[..], &header].concat()));
        assert!(has_tar(&[&junk[..], &junk, &header].concat()));
        assert!(!has_tar(&[&junk[..500], &header].concat()), "no reader looks there");
        header[0] = b'b';
        assert!(!has_tar(&[&junk[..], &header].concat()), "the sum is wrong");
    }

    #[test]
    fn an_archive_between_long_texts_is_found() {
        let text = "Nothing but words.\n".repeat(1000);
        for (archive, want) in
            [(&b"PK\x03\x04....PK\x05\x06"[..], "zip"), (b"Rar!\x1a\x07\0\0\0\x73", "rar")]
        {
            let data = [text.as_bytes(), archive, text.as_bytes()].concat();
            let short: Vec<_> = detect(&data).iter().map(|kind| kind.short).collect();
            assert!(short.contains(&want), "{want}: {short:?}");
        }
    }

    #[test]
    fn a_text_that_begins_with_mz_is_no_program() {
        check(
            b"MZ is the magic of DOS programs. And this is a sentence that is long.\r\n",
            &["txt"],
        );
        let mut exe = b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0".to_vec();
        exe.resize(100, 0);
        check(&exe, &["exe-ms"]);
    }

    #[test]
    fn every_type_has_a_known_class() {
        let classes = [
            "executable",
            "script",
            "archive",
            "document",
            "image",
            "text",
            "audio",
            "video",
            "data",
        ];
        for (_, magic, kind) in MAGIC {
            assert!(classes.contains(&kind.class) && magic.len() >= 2, "{}", kind.short);
        }
    }
}
