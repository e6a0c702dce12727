//! Leaves and packed content: decoded, typed, looked into.

use std::borrow::Cow;
use std::collections::hash_map::Entry;

use bytes::Bytes;
use memchr::memmem;
use sha2::{Digest as _, Sha256};

use super::{Entity, Packed, Place, Walk, Work};
use crate::mail::{DefectCode, Link, Part, PartFlag, PartKind};
use crate::mime::container::{self, Ask, Container};
use crate::mime::header::LineEnds;
use crate::mime::transfer::{self, Encoding};
use crate::mime::{charset, header, html, kind, links};

/// Files in uuencode that are taken out of one text.
const BLOCKS_MAX: usize = 100;

/// Messages pasted into messages pasted into messages: deeper nobody reads.
const TEXTS_MAX: usize = 3;

/// True for the short text that stands before the first delimiter in ordinary mail.
pub(super) fn is_prose(octets: &[u8]) -> bool {
    const PROSE_BYTES_MAX: usize = 2_000;
    const WORD_BYTES_MAX: usize = 60;
    let is_text = |octet: &u8| octet.is_ascii_whitespace() || !octet.is_ascii_control();
    octets.len() <= PROSE_BYTES_MAX
        && octets.iter().all(is_text)
        && octets.split(u8::is_ascii_whitespace).all(|word| word.len() <= WORD_BYTES_MAX)
        && memmem::find(octets, b"begin ").is_none()
        && find_mime_field(octets).is_none()
}

/// Where a line begins with a MIME field.
fn find_mime_field(octets: &[u8]) -> Option<usize> {
    find_line(octets, &[b"content-type:", b"content-transfer-encoding:"])
}

/// The first line that begins with one of the words, which are in lower case.
fn find_line(octets: &[u8], words: &[&[u8]]) -> Option<usize> {
    let begins = |at: usize| {
        let line = octets.get(at..).unwrap_or_default();
        words
            .iter()
            .any(|word| line.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word)))
    };
    let behind_ends = memchr::memchr2_iter(b'\n', b'\r', octets).map(|at| at + 1);
    [0].into_iter().chain(behind_ends).find(|at| begins(*at))
}

impl Walk {
    /// Fills in data, digest and types.
    pub(super) fn set_data(&mut self, index: usize, data: Bytes) {
        let digest = Sha256::digest(&data).into();
        self.seen.insert(digest);
        if let Some(part) = self.message.parts.get_mut(index) {
            part.types = kind::detect(&data);
            part.sha256 = digest;
            part.data = data;
        }
    }

    /// True if nothing of the same content and the same names was opened yet. The names count, for they decide how a
    /// part is opened, and what is in it is called.
    ///
    /// So does what it is taken for: a text or none, and the page as its charset makes it.
    pub(super) fn opens_first(&mut self, index: usize, page: Option<&Bytes>) -> bool {
        let Some(part) = self.message.parts.get(index) else { return false };
        let mut digest = Sha256::new();
        digest.update(part.sha256);
        digest.update([u8::from(part.declared_type.starts_with("text")), u8::from(page.is_some())]);
        if let Some(page) = page.filter(|page| **page != part.data) {
            digest.update(Sha256::digest(page));
        }
        for name in &part.names {
            digest.update(name);
            digest.update(b"\0");
        }
        let known = match self.opened.entry(digest.finalize().into()) {
            Entry::Vacant(place) => {
                place.insert(index);
                return true;
            }
            Entry::Occupied(place) => *place.get(),
        };
        // It is what the first one is.
        let flags = self.message.parts.get(known).map(|part| part.flags.clone());
        self.add_flags(index, &flags.unwrap_or_default());
        false
    }

    /// Flags a part; of a document in a document the other one has what it does, too.
    fn add_flags(&mut self, mut index: usize, flags: &[PartFlag]) {
        let mut flags: Vec<PartFlag> =
            flags.iter().copied().filter(|flag| *flag != PartFlag::Embedded).collect();
        while let Some(part) = self.message.parts.get_mut(index) {
            let fresh = flags.iter().filter(|flag| !part.flags.contains(flag)).copied();
            let fresh: Vec<PartFlag> = fresh.collect();
            part.flags.extend(fresh);
            let Some(parent) = part.parent.filter(|_| part.kind == PartKind::Member) else {
                return;
            };
            let is_document = |part: &Part| part.types.iter().any(|kind| kind.class == "document");
            if !self.message.parts.get(parent).is_some_and(is_document) {
                return;
            }
            flags.retain(|flag| {
                use PartFlag as F;
                matches!(flag, F::Macro | F::AutoRun | F::Remote | F::Launch | F::Script)
            });
            index = parent;
        }
    }

    /// A multipart in which no delimiter stands: readers take it for a file or a text.
    pub(super) fn unsplit(&mut self, index: usize, body: &Bytes) {
        self.set_data(index, body.clone());
        if body.trim_ascii().is_empty() || is_prose(body) {
            return;
        }
        let page = self.collect_links(index);
        self.look_into_text(index, body, true);
        let names =
            self.message.parts.get(index).map(|part| part.names.clone()).unwrap_or_default();
        if self.opens_first(index, page.as_ref()) {
            // Not the prefix of its parts: those of the root have none, and a message found here is no part of it.
            let prefix = format!("{}.", self.path_of(index));
            self.look_inside(index, page, &names, &prefix, 0);
        }
    }

    pub(super) fn leaf(
        &mut self,
        index: usize,
        body: &Bytes,
        encoding: Encoding,
        prefix: &str,
        typed: bool,
    ) {
        let path = self.path_of(index);
        let decoded = transfer::decode(body, encoding);
        for code in &decoded.odd {
            self.note(*code, &path, encoding.as_str());
        }
        self.set_data(index, decoded.data.clone());
        if let (Some(name), Some(part)) = (decoded.name, self.message.parts.get_mut(index)) {
            let name = charset::guess(&name).into_owned();
            if !part.names.contains(&name) {
                part.names.push(name);
            }
        }
        self.look_for_pgp(index);
        let textual = self.read_text(index);
        let page = self.collect_links(index);
        let names = self.message.parts.get(index).map(|p| p.names.clone()).unwrap_or_default();
        for (number, other) in decoded.others.into_iter().enumerate() {
            self.push_packed(index, names.clone(), other, &format!("reading{}", number + 2), true);
        }
        self.sniff(index, body, encoding, &names, textual);
        if textual || matches!(encoding, Encoding::Identity | Encoding::BinHex) {
            self.look_into_text(index, &decoded.data, typed);
        } else if matches!(encoding, Encoding::Uuencode | Encoding::YEnc) {
            // The part is the first file; unpackers write the others, too.
            self.find_files(index, body, 1);
        } else {
            self.find_files_in_file(index);
        }
        if self.opens_first(index, page.as_ref()) {
            self.look_inside(index, page, &names, prefix, 0);
        }
    }

    /// Readings of a body that is not in the encoding that was declared.
    fn sniff(
        &mut self,
        index: usize,
        body: &Bytes,
        encoding: Encoding,
        names: &[String],
        textual: bool,
    ) {
        let sniffed = match encoding {
            Encoding::Identity if transfer::looks_like_base64(body) => Encoding::Base64,
            Encoding::Base64 if !textual && memmem::find(body, b"=").is_some_and(|at| at < 200) => {
                Encoding::QuotedPrintable
            }
            Encoding::Identity
            | Encoding::Base64
            | Encoding::QuotedPrintable
            | Encoding::Uuencode
            | Encoding::YEnc
            | Encoding::BinHex => return,
        };
        let data = transfer::decode(body, sniffed).data;
        self.push_packed(index, names.to_vec(), data, sniffed.as_str(), true);
    }

    /// Text parts to Unicode. True if it is one.
    fn read_text(&mut self, index: usize) -> bool {
        let Some(part) = self.message.parts.get_mut(index) else { return false };
        if !part.declared_type.starts_with("text") {
            return false;
        }
        let (text, odd) = charset::decode(&part.data, part.charset.as_deref());
        part.wide = part.charset.as_deref().is_some_and(charset::is_wide);
        part.text = Some(text.into_owned());
        let label = part.charset.clone().unwrap_or_default();
        let path = part.path.clone();
        if let Some(code) = odd {
            self.note(code, &path, &label);
        }
        true
    }

    /// Collects the links of a text or a page. Gives what of a page does more than show itself.
    pub(super) fn collect_links(&mut self, index: usize) -> Option<Bytes> {
        let part = self.message.parts.get(index)?;
        let mut page = None;
        let found = match (&part.text, is_page(part)) {
            (text, true) => {
                let text = match text {
                    // NULs in a text that is none of its charset: what stands there is UTF-16.
                    Some(text) if !text.contains('\0') => Cow::Borrowed(text.as_str()),
                    Some(_) | None => charset::of_page(&part.data),
                };
                let (found, active) = html_links(&text);
                page = (!active.is_empty()).then(|| Bytes::from(active));
                found
            }
            (Some(text), false) => {
                links::in_text(text).into_iter().map(|url| (url, None)).collect()
            }
            (None, false) => return None,
        };
        let path = part.path.clone();
        self.add_links(&path, found);
        page
    }

    fn add_links(&mut self, path: &str, found: Vec<(String, Option<String>)>) {
        if found.len() >= links::LINKS_MAX {
            self.note(DefectCode::TooManyLinks, path, "");
        }
        for (url, text) in found {
            let known = self.seen_links.contains(&url);
            if !known && self.message.links.len() >= self.budget.limits.links_max {
                self.note(DefectCode::TooManyLinks, "", "");
                return;
            }
            if self.seen_links.insert(url.clone()) {
                self.message.links.push(Link { url, part: path.to_owned(), text });
            }
        }
    }

    /// Files and messages that stand in a text.
    fn look_into_text(&mut self, index: usize, data: &Bytes, typed: bool) {
        self.find_files(index, data, 0);
        let Some(at) = find_mime_field(data) else { return };
        let start = section_start(data, at);
        let octets = match crate::mime::multipart::guess_boundary(data) {
            // A multipart without its header: one is made up for it.
            Some(boundary) => {
                let quoted: Vec<u8> = boundary
                    .iter()
                    .flat_map(
                        |o| if matches!(o, b'"' | b'\\') { vec![b'\\', *o] } else { vec![*o] },
                    )
                    .collect();
                [b"Content-Type: multipart/mixed; boundary=\"", &quoted[..], b"\"\r\n\r\n", data]
                    .concat()
                    .into()
            }
            None => data.slice(start..),
        };
        self.push_text(index, octets, typed);
    }

    /// A message that stands in another content.
    fn push_text(&mut self, index: usize, octets: Bytes, embedded: bool) {
        let path = self.path_of(index);
        let depth = self.depth_of(index) + 1;
        let nested = path.matches("/text").count() >= TEXTS_MAX;
        if !nested && depth > self.budget.limits.depth_max {
            self.note(DefectCode::TooDeep, &path, "");
            return;
        }
        if nested || !self.may_read_again(octets.len()) {
            return;
        }
        self.work.push(Work::Entity(Entity {
            octets,
            parent: Some(index),
            depth,
            place: Place::At(format!("{path}/text")),
            default_type: "text/plain",
            reading: None,
            embedded,
        }));
    }

    /// Unpackers open files of uuencode as archives: a file that is a text may be one.
    fn find_files_in_file(&mut self, index: usize) {
        let part = self.message.parts.get(index);
        let text = part.filter(|part| part.types.iter().any(|kind| kind.short == "txt"));
        if let Some(text) = text.map(|part| part.data.clone()) {
            self.find_files(index, &text, 0);
        }
    }

    /// A message by PGP needs a key, whether it is a part of its own or stands in a text.
    fn look_for_pgp(&mut self, index: usize) {
        let Some(part) = self.message.parts.get_mut(index) else { return };
        if is_pgp_message(&part.data, &part.names) && !part.is(PartFlag::Encrypted) {
            part.flags.push(PartFlag::Encrypted);
            let path = part.path.clone();
            self.note(DefectCode::Encrypted, &path, "PGP");
        } else if is_pgp_packed(&part.data, &part.names) && !part.is(PartFlag::Unscannable) {
            part.flags.push(PartFlag::Unscannable);
        }
    }

    /// Takes the files in uuencode, yEnc and BinHex out of a text, but for the first `skip`.
    fn find_files(&mut self, index: usize, text: &[u8], skip: usize) {
        let path = self.path_of(index);
        let (mut blocks, mut more) = transfer::find_uuencode(text, BLOCKS_MAX);
        // What begins so is opened as a container.
        let part = self.message.parts.get(index);
        let whole = |part: &Part| part.types.iter().any(|k| matches!(k.short, "hqx" | "yenc"));
        if !part.is_some_and(whole) {
            let (found, many) = transfer::find_yenc(text, BLOCKS_MAX);
            blocks.extend(found);
            more |= many;
            let (found, odd) = transfer::find_binhex(text, BLOCKS_MAX, &mut self.budget);
            blocks.extend(found);
            if let Some(code) = odd {
                self.note(code, &path, "BinHex");
            }
        }
        if more {
            self.note(DefectCode::TooManyFiles, &path, "uuencode");
        }
        for (number, block) in blocks.into_iter().enumerate().skip(skip) {
            let name = charset::guess(&block.name).into_owned();
            if !block.complete {
                self.note(DefectCode::BadUuencode, &path, &name);
            }
            let label = clean_name(&name, number);
            self.push_packed(index, vec![name], block.data.into(), &label, false);
        }
    }

    pub(super) fn packed(&mut self, packed: Packed) {
        let digest: [u8; 32] = Sha256::digest(&packed.data).into();
        let known = self.seen.contains(&digest);
        if packed.reading && (known || packed.data.is_empty()) {
            return;
        }
        // Members of archives were asked for when they were unpacked.
        if packed.archive_depth == 0
            && let Err(code) = self.budget.part()
        {
            self.note(code, "", "");
            return;
        }
        self.seen.insert(digest);
        for code in &packed.odd {
            self.note(*code, &packed.path, "");
        }
        let index = self.message.parts.len();
        let types = kind::detect(&packed.data);
        self.message.parts.push(Part {
            path: packed.path.clone(),
            parent: Some(packed.parent),
            depth: packed.depth,
            kind: PartKind::Member,
            header_octets: Bytes::new(),
            headers: Vec::new(),
            declared_type: String::new(),
            charset: None,
            disposition: None,
            names: packed.names.clone(),
            data: packed.data.clone(),
            text: None,
            wide: false,
            types,
            flags: packed.flags,
            sha256: digest,
        });
        let first_child = self.work.len();
        self.look_for_pgp(index);
        let page = self.collect_links(index);
        if packed.reading {
            self.look_into_text(index, &packed.data, true);
        } else {
            self.find_files_in_file(index);
        }
        self.look_into_member(index, page, &packed.names, packed.archive_depth);
        self.in_order(first_child);
    }

    /// Opens a member, if it can be opened. The same a second time holds nothing new; a bomb of copies ends here.
    pub(super) fn look_into_member(
        &mut self,
        index: usize,
        page: Option<Bytes>,
        names: &[String],
        archive_depth: usize,
    ) {
        if self.opens_first(index, page.as_ref()) {
            let prefix = format!("{}/", self.path_of(index));
            self.look_inside(index, page, names, &prefix, archive_depth);
        }
    }

    /// Opens what is a container or a message by content or name. `page`: what of a page is worth it.
    fn look_inside(
        &mut self,
        index: usize,
        page: Option<Bytes>,
        names: &[String],
        prefix: &str,
        archive_depth: usize,
    ) {
        let Some(part) = self.message.parts.get_mut(index) else { return };
        let data = part.data.clone();
        if data.is_empty() {
            return;
        }
        let types = part.types.clone();
        let is_member = part.kind == PartKind::Member;
        let parent = part.parent;
        let by_name = names.iter().any(|name| {
            let name = name.trim_end_matches(['.', ' ']).to_ascii_lowercase();
            [".eml", ".mht", ".mhtml"].iter().any(|ending| name.ends_with(ending))
        });
        let by_type = types.first().is_some_and(|kind| kind.short == "mail")
            && (is_member || !part.declared_type.starts_with("text"));
        if by_name || by_type {
            self.push_message(index, data.clone(), prefix.to_owned());
        } else if (is_member || !part.declared_type.starts_with("text"))
            && let Some(at) = find_line(&data, self.signs_of_message(is_member, parent))
        {
            // Word processors open that, whatever stands before it: another document, most of all.
            self.push_text(index, data.slice(section_start(&data, at)..), false);
        }
        let mut containers = Container::among(&types);
        containers.retain(|container| *container != Container::Page);
        containers.extend(page.as_ref().map(|_| Container::Page));
        if containers.is_empty() {
            return;
        }
        if archive_depth >= self.budget.limits.archive_depth_max {
            let path = self.path_of(index);
            self.note(DefectCode::TooDeep, &path, "");
            return;
        }
        for container in containers {
            let name = names.first().map(String::as_str);
            let budget = &mut self.budget;
            let data = page.as_ref().filter(|_| container == Container::Page).unwrap_or(&data);
            let ask = Ask { data, name, passwords: &[], budget };
            let opened = container::open(container, ask);
            self.remember_locked(index, container, &opened, archive_depth + 1);
            self.take_members(index, opened, archive_depth + 1);
        }
    }

    /// What lines of a message begin with, in content that does not begin like one. What is signed as a block is a
    /// message whatever field comes first (RFC 8551 section 3.1); elsewhere only one field tells.
    fn signs_of_message(&self, is_member: bool, parent: Option<usize>) -> &'static [&'static [u8]] {
        let parent = parent.and_then(|parent| self.message.parts.get(parent));
        let is_block = |part: &Part| part.types.iter().any(|kind| kind.short == "p7m");
        if is_member && parent.is_some_and(is_block) {
            &[b"mime-version:", b"content-type", b"content-transfer-encoding"]
        } else {
            &[b"mime-version:"]
        }
    }

    pub(super) fn take_members(
        &mut self,
        index: usize,
        opened: container::Opened,
        archive_depth: usize,
    ) {
        let path = self.path_of(index);
        let depth = self.depth_of(index) + 1;
        for code in opened.odd {
            self.note(code, &path, "");
        }
        self.add_links(&path, opened.links);
        self.add_flags(index, &opened.flags);
        if depth > self.budget.limits.depth_max {
            self.note(DefectCode::TooDeep, &path, "");
            return;
        }
        for (number, member) in opened.members.into_iter().enumerate() {
            let label = member.names.first().map_or("", String::as_str);
            let path = format!("{path}/{}", clean_name(label, number));
            self.work.push(Work::Packed(Packed {
                names: member.names,
                data: member.data,
                parent: index,
                depth,
                path,
                flags: member.flags,
                odd: member.odd,
                archive_depth,
                reading: false,
            }));
        }
    }
}

/// True if a block by PGP begins a line and its coded lines follow; or for a file of packets, by name and first octet.
fn is_pgp_message(data: &[u8], names: &[String]) -> bool {
    const LINES_MAX: usize = 10;
    const MARK: &[u8] = b"-----BEGIN PGP MESSAGE-----";
    const CODED_BYTES_MIN: usize = 40;
    let is_coded = |line: &[u8]| {
        line.len() >= CODED_BYTES_MIN
            && line.iter().all(|o| o.is_ascii_alphanumeric() || matches!(o, b'+' | b'/' | b'='))
    };
    let armoured = memmem::find_iter(data, MARK).any(|at| {
        let starts = at == 0 || matches!(data.get(at - 1), Some(b'\n' | b'\r'));
        let rest = data.get(at + MARK.len()..).unwrap_or_default();
        let rest = rest.get(..rest.len().min(2_000)).unwrap_or_default();
        starts
            && rest.split(|o| *o == b'\n').take(LINES_MAX).any(|line| is_coded(line.trim_ascii()))
    });
    // Session keys and encrypted data, in either form of a packet's head.
    let packets =
        matches!(data.first(), Some(0x84..=0x86 | 0x8c..=0x8e | 0xc1 | 0xc3 | 0xd2 | 0xd4));
    armoured || (packets && is_named_pgp(names))
}

/// True for a file of packets that are only signed, packed or stored: no key is needed, but they are not opened here.
fn is_pgp_packed(data: &[u8], names: &[String]) -> bool {
    let packets =
        matches!(data.first(), Some(0x90..=0x93 | 0xa0..=0xa3 | 0xac..=0xaf | 0xc4 | 0xc8 | 0xcb));
    packets && is_named_pgp(names)
}

fn is_named_pgp(names: &[String]) -> bool {
    names.iter().any(|name| {
        let name = name.trim_end_matches(['.', ' ']).to_ascii_lowercase();
        name.ends_with(".pgp") || name.ends_with(".gpg")
    })
}

/// True for HTML and SVG, by declaration, content or name.
fn is_page(part: &Part) -> bool {
    const ENDINGS: [&str; 7] = [".htm", ".html", ".xhtml", ".shtml", ".xht", ".svg", ".hta"];
    matches!(part.declared_type.as_str(), "text/html" | "application/xhtml+xml" | "image/svg+xml")
        || part.types.iter().any(|kind| matches!(kind.short, "html" | "svg" | "hta"))
        || (part.types.first().is_none_or(|kind| kind.class == "text")
            && part.names.iter().any(|name| {
                let name = name.trim_end_matches(['.', ' ']).to_ascii_lowercase();
                ENDINGS.iter().any(|ending| name.ends_with(ending))
            }))
}

/// Addresses in attributes, and those that only stand in the text; and what of the page is worth a closer look.
fn html_links(text: &str) -> (Vec<(String, Option<String>)>, String) {
    let page = html::render(text);
    let mut found = page.links;
    found.extend(links::in_text(&page.text).into_iter().map(|url| (url, None)));
    (found, page.active)
}

/// A name for a path: no control characters, not too long; a number if there is none.
fn clean_name(name: &str, number: usize) -> String {
    const NAME_CHARS_MAX: usize = 200;
    if name.is_empty() {
        return format!("#{}", number + 1);
    }
    name.chars().take(NAME_CHARS_MAX).map(|s| if s.is_control() { '?' } else { s }).collect()
}

/// Where the run of lines begins that looks like the header section around `at`.
fn section_start(data: &[u8], at: usize) -> usize {
    const LINES_MAX: usize = 50;
    let mut start = at;
    for _ in 0..LINES_MAX {
        let before = data.get(..start).unwrap_or_default();
        let before = before.strip_suffix(b"\n").unwrap_or(before);
        let before = before.strip_suffix(b"\r").unwrap_or(before);
        let line_at = memchr::memrchr(b'\n', before).map_or(0, |lf| lf + 1);
        let line = before.get(line_at..).unwrap_or_default();
        let section = header::parse(line, LineEnds::Lf, &crate::mime::Limits::default());
        if start == 0 || line.is_empty() || section.fields.is_empty() {
            break;
        }
        start = line_at;
    }
    start
}
