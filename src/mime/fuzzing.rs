//! Doors for fuzzing into the decoder: octets in, assertions inside. The targets in `fuzz/` are one line each.

use std::collections::HashSet;

use bytes::Bytes;

use super::budget::Budget;
use super::container::{self, Ask, Container, Password};
use super::delimiters::Delimiters;
use super::field::{Field, percent_decode};
use super::header::{self, LineEnds};
use super::transfer::{self, Encoding};
use super::{Limits, charset, decode, html, kind, links, multipart, names, words};
use crate::mail::{DefectCode, Message, Part, PartKind, PasswordSource};

/// Limits that inputs of a few kilobytes can reach.
#[must_use]
pub fn small_limits() -> Limits {
    Limits {
        depth_max: 12,
        parts_max: 300,
        headers_max: 200,
        header_bytes_max: 4 << 10,
        parameters_max: 20,
        archive_depth_max: 4,
        archive_files_max: 200,
        archive_expanded_bytes_max: 8 << 20,
        archive_ratio_max: 100,
        ..Limits::default()
    }
}

/// A whole message: what comes out keeps within the limits, fits together, and is the same each time.
pub fn message(octets: &[u8]) {
    let limits = small_limits();
    let raw = Bytes::copy_from_slice(octets);
    let once = decode(raw.clone(), &limits);
    holds_together(&once, &limits);
    let again = decode(raw, &limits);
    assert_eq!(once.defects, again.defects, "decoding is not deterministic");
    assert_eq!(once.links, again.links, "decoding is not deterministic");
    let face = |part: &Part| (part.path.clone(), part.sha256, part.names.clone(), part.kind);
    let faces = |message: &Message| message.parts.iter().map(face).collect::<Vec<_>>();
    assert_eq!(faces(&once), faces(&again), "decoding is not deterministic");
}

/// What holds for every decoded message.
pub fn holds_together(message: &Message, limits: &Limits) {
    assert!(!message.parts.is_empty(), "a message has a root");
    let count_max = limits.parts_max + limits.archive_files_max;
    assert!(message.parts.len() <= count_max, "{} parts", message.parts.len());
    assert!(message.body_start <= message.raw.len());
    let mut paths = HashSet::new();
    let mut unpacked = 0_u64;
    for (index, part) in message.parts.iter().enumerate() {
        let parent = part.parent.and_then(|parent| message.parts.get(parent));
        assert_eq!(parent.is_none(), index == 0, "{} has no parent", part.path);
        assert!(part.parent.is_none_or(|parent| parent < index), "{}", part.path);
        assert_eq!(part.depth, parent.map_or(0, |parent| parent.depth + 1), "{}", part.path);
        assert!(part.depth <= limits.depth_max, "{} is too deep", part.path);
        let size = part.data.len() as u64;
        if part.kind == PartKind::Member {
            unpacked = unpacked.saturating_add(size);
            // A member that goes over the limit keeps its first octets.
            let kept = 64 << 10;
            let unpacked_max = limits.archive_expanded_bytes_max + kept;
            assert!(
                size <= unpacked_max.max(message.raw.len() as u64 + 1024),
                "{} is too large",
                part.path
            );
        } else {
            // Several messages of one archive may bear one name, and texts of one part one label.
            let clear = !part.path.contains('/');
            assert!(!clear || paths.insert(&part.path), "{} is there twice", part.path);
        }
        assert!(part.headers.iter().all(|field| field.field.end <= part.header_octets.len()));
        assert!(part.headers.len() <= limits.headers_max);
    }
    let again = (message.raw.len() as u64).saturating_mul(64).max(64 << 20);
    assert!(unpacked <= limits.archive_expanded_bytes_max.saturating_add(again), "{unpacked}");
}

/// The transfer decoders, each on the same octets.
pub fn transfer(octets: &[u8]) {
    let all = Bytes::copy_from_slice(octets);
    for encoding in
        [Encoding::Identity, Encoding::Base64, Encoding::QuotedPrintable, Encoding::Uuencode]
    {
        let decoded = transfer::decode(&all, encoding);
        // A row of uuencode may have lost eight blanks at its end, which stand for six octets.
        let most = if encoding == Encoding::Uuencode { 3 * octets.len() + 6 } else { octets.len() };
        assert!(decoded.data.len() <= most, "{encoding:?} grows");
        assert!(decoded.others.iter().all(|other| other.len() <= most), "{encoding:?}");
    }
    let (blocks, _) = transfer::find_uuencode(octets, 100);
    let size: usize = blocks.iter().map(|block| block.data.len()).sum();
    assert!(size <= 3 * octets.len() + 6, "uuencode grows");
    transfer::looks_like_base64(octets);
    transfer::encodings(octets);
    transfer::base64_word(octets);
    let _ = kind::detect(octets);
}

/// File names.
pub fn name(octets: &[u8]) {
    let name = charset::guess(octets);
    let forms = names::normalised(&name);
    assert!(!forms.is_empty() && forms.len() <= 16, "{} forms", forms.len());
    let distinct: HashSet<&String> = forms.iter().collect();
    assert_eq!(distinct.len(), forms.len(), "a form stands twice");
    let mut plain = Vec::new();
    percent_decode(octets, &mut plain);
    assert!(plain.len() <= octets.len());
}

/// Header sections, fields with parameters, encoded words, charsets.
pub fn header(octets: &[u8]) {
    let limits = small_limits();
    for ends in [LineEnds::Lf, LineEnds::Cr] {
        let section = header::parse(octets, ends, &limits);
        assert!(section.body_start <= octets.len());
        let mut at = 0;
        for field in &section.fields {
            assert!(at <= field.field.start && field.field.end <= section.body_start);
            assert!(field.name.end <= field.value.start && field.value.end <= field.field.end);
            at = field.field.end;
        }
    }
    let field = Field::parse(octets, &limits);
    for parameter in ["name", "filename", "boundary", "charset"] {
        let readings = field.values(parameter);
        let size: usize = readings.all.iter().map(|(value, _)| value.len()).sum();
        assert!(size <= octets.len().saturating_mul(8), "{parameter}: {size}");
    }
    let text = words::decode(octets);
    assert!(text.len() <= octets.len().saturating_mul(4), "{}", text.len());
    let (label, rest) = octets.split_at(octets.len().min(16));
    charset::decode(rest, std::str::from_utf8(label).ok());
}

/// A multipart body: the first line is the boundary.
pub fn multipart(octets: &[u8]) {
    let (boundary, body) =
        octets.split_at(memchr::memchr(b'\n', octets).unwrap_or(octets.len()).min(70));
    let body = &bytes::Bytes::copy_from_slice(body);
    let known = Delimiters::of(body);
    for manner in [multipart::Manner::Strict, multipart::Manner::Loose] {
        let split = multipart::split(body, boundary, manner, 50, None);
        assert_eq!(split, multipart::split(body, boundary, manner, 50, known.as_ref()));
        let mut at = split.preamble.end;
        for part in &split.parts {
            assert!(at <= part.start && part.start <= part.end && part.end <= body.len());
            at = part.end;
        }
    }
    multipart::guess_boundary(body);
}

/// HTML and links.
pub fn page(octets: &[u8]) {
    let text = charset::guess(octets);
    let page = html::render(&text);
    assert!(page.text.len() <= text.len().saturating_mul(4) + 16, "the text grows");
    assert!(page.links.len() <= links::LINKS_MAX);
    assert!(links::in_text(&text).len() <= links::LINKS_MAX);
}

/// Every container that has a reader, in the order of the first octet that chooses it.
const CONTAINERS: [Container; 28] = [
    Container::Zip,
    Container::Gzip,
    Container::Bzip2,
    Container::Xz,
    Container::Lzma,
    Container::Lzip,
    Container::Zstd,
    Container::Lz4,
    Container::Compress,
    Container::Tar,
    Container::Cpio,
    Container::Ar,
    Container::Rpm,
    Container::Iso,
    Container::SevenZip,
    Container::Rar,
    Container::Cab,
    Container::Arj,
    Container::Lha,
    Container::Ace,
    Container::Zoo,
    Container::Tnef,
    Container::Ole,
    Container::Rtf,
    Container::Pdf,
    Container::OneNote,
    Container::Shortcut,
    Container::Page,
];

/// A container: the first octet chooses the reader.
pub fn container(octets: &[u8]) {
    let Some((first, data)) = octets.split_first() else { return };
    let chosen = usize::from(*first) % CONTAINERS.len();
    if let Some(container) = CONTAINERS.get(chosen) {
        open(*container, data);
    }
}

/// A zip.
pub fn zip(octets: &[u8]) {
    open(Container::Zip, octets);
}

/// Opens it without and with passwords; both keep within the limits.
fn open(container: Container, data: &[u8]) {
    let data = Bytes::copy_from_slice(data);
    let source = PasswordSource::Body;
    let passwords =
        ["infected", "1234"].map(|word| Password { octets: word.as_bytes().to_vec(), source });
    for passwords in [&[][..], &passwords[..]] {
        let limits = small_limits();
        let mut budget = Budget::new(&limits);
        let ask = Ask { data: &data, name: Some("a.bin"), passwords, budget: &mut budget };
        let opened = container::open(container, ask);
        let size: u64 = opened.members.iter().map(|member| member.data.len() as u64).sum();
        let members = opened.members.len();
        assert!(members <= limits.archive_files_max, "{container:?}: {members} members");
        assert!(size <= limits.archive_expanded_bytes_max, "{container:?}: {size} octets");
        let limit = |code: &DefectCode| *code == DefectCode::DeadlineOver;
        assert!(!opened.odd.iter().any(limit), "there is no deadline");
    }
}
