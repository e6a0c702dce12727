//! The walk through a message: an explicit stack of what is still to be decoded, and the parts as they are met.

mod leaf;
mod locked;
mod whole;

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::Limits;
use super::budget::Budget;
use super::delimiters::Delimiters;
use super::facts::{Facts, Reading, Structure};
use super::header::{self, LineEnds, Section};
use super::multipart::{self, Manner, Split};
use super::transfer::{self, Encoding};
use crate::mail::{Defect, DefectCode, Message, Part, PartFlag, PartKind};
use locked::Locked;

/// So much any mail may unpack to, and so many times its own size on top.
const EXPANDED_FREE_BYTES: u64 = 64 << 20;
const EXPANDED_TIMES: u64 = 20;

/// Different defects that are kept of one message.
const DEFECTS_MAX: usize = 1_000;

/// What is still to be decoded.
enum Work {
    Entity(Entity),
    Packed(Packed),
}

/// Octets with a header section of their own.
struct Entity {
    octets: Bytes,
    parent: Option<usize>,
    depth: usize,
    place: Place,
    default_type: &'static str,
    /// The one reading to decode; `None`: all that the header section allows.
    reading: Option<(Reading, Manner)>,
    /// Taken out of a text, where names mean nothing to a reader.
    embedded: bool,
}

/// Where an entity stands, which gives its path.
enum Place {
    /// The root of a message, behind this prefix: empty, or `2.`.
    Root(String),
    /// Elsewhere: the whole path.
    At(String),
}

/// Content that was packed in another part.
struct Packed {
    names: Vec<String>,
    data: Bytes,
    parent: usize,
    depth: usize,
    path: String,
    flags: Vec<PartFlag>,
    odd: Vec<DefectCode>,
    /// Containers around it.
    archive_depth: usize,
    /// Another reading of its parent: dropped if the same content was seen.
    reading: bool,
}

/// One decoding.
pub(super) struct Walk {
    message: Message,
    budget: Budget,
    work: Vec<Work>,
    /// Digests of the content of all parts.
    seen: HashSet<[u8; 32]>,
    /// Digests of what was opened (content and names), and the part it was.
    opened: HashMap<[u8; 32], usize>,
    seen_defects: HashSet<(DefectCode, String)>,
    seen_codes: HashSet<DefectCode>,
    seen_links: HashSet<String>,
    /// Octets that may still be read another way.
    again_bytes: usize,
    /// Octets that were searched for delimiters since places of them were noted.
    searched_bytes: usize,
    delimiters: Option<Delimiters>,
    /// A body had too many of them: no other is indexed.
    too_many_delimiters: bool,
    /// Containers in which something needs a password.
    locked: Vec<Locked>,
    /// How many readings of a part are among them.
    closed: HashMap<usize, usize>,
}

impl Walk {
    pub(super) fn new(raw: Bytes, limits: &Limits) -> Self {
        const AGAIN_TIMES: usize = 16;
        let again = raw.len().saturating_mul(AGAIN_TIMES);
        let again = again.min(raw.len().saturating_add(limits.again_more_bytes_max));
        // What a small mail unpacks to is bounded by its size too, or a hundred of them would fill the memory.
        let octets = u64::try_from(raw.len()).unwrap_or(u64::MAX);
        let expanded = EXPANDED_FREE_BYTES.saturating_add(octets.saturating_mul(EXPANDED_TIMES));
        let limits = &Limits {
            archive_expanded_bytes_max: limits.archive_expanded_bytes_max.min(expanded),
            ..limits.clone()
        };
        Self {
            again_bytes: again.max(limits.again_bytes_min),
            message: Message { raw, ..Message::default() },
            budget: Budget::new(limits),
            searched_bytes: 0,
            delimiters: None,
            too_many_delimiters: false,
            work: Vec::new(),
            seen: HashSet::new(),
            opened: HashMap::new(),
            seen_defects: HashSet::new(),
            seen_codes: HashSet::new(),
            seen_links: HashSet::new(),
            locked: Vec::new(),
            closed: HashMap::new(),
        }
    }

    pub(super) fn run(mut self) -> Message {
        let raw = self.message.raw.clone();
        for code in whole::oddities(&raw) {
            self.note(code, "", "");
        }
        self.work.push(Work::Entity(Entity {
            octets: raw.clone(),
            parent: None,
            depth: 0,
            place: Place::Root(String::new()),
            default_type: "text/plain",
            reading: None,
            embedded: false,
        }));
        self.go_through();
        let count = self.message.parts.len();
        self.unlock();
        if self.message.parts.len() > count {
            self.sort_parts();
        }
        if let Some(root) = self.message.parts.first() {
            self.message.headers = root.headers.clone();
            self.message.body_start = root.header_octets.len();
        }
        self.message.share = self.budget.share();
        self.message
    }

    /// Decodes what is still to be decoded.
    fn go_through(&mut self) {
        while let Some(work) = self.work.pop() {
            if let Some(code) = self.budget.late().filter(|_| !self.message.parts.is_empty()) {
                self.note(code, "", "");
                break;
            }
            match work {
                Work::Entity(entity) => self.entity(entity),
                Work::Packed(packed) => self.packed(packed),
            }
        }
    }

    fn note(&mut self, code: DefectCode, part: &str, detail: &str) {
        // No kind is ever crowded out by others: a verdict may hang on it. What is full only takes the first of each.
        let full = self.message.defects.len() >= DEFECTS_MAX;
        let known = self.seen_codes.contains(&code);
        if (full && known) || !self.seen_defects.insert((code, part.to_owned())) {
            return;
        }
        self.seen_codes.insert(code);
        let detail = detail.chars().map(|s| if s.is_control() { '?' } else { s });
        let mut text = String::new();
        for sign in detail {
            if text.len() + sign.len_utf8() > 200 {
                break;
            }
            text.push(sign);
        }
        self.message.defects.push(Defect { code, part: part.to_owned(), detail: text });
    }

    fn entity(&mut self, entity: Entity) {
        if let Err(code) = self.budget.part() {
            self.note(code, "", "");
            return;
        }
        let ends = LineEnds::of(&entity.octets);
        let section = header::parse(&entity.octets, ends, &self.budget.limits);
        let mut facts =
            Facts::read(&entity.octets, &section, entity.default_type, &self.budget.limits);
        if entity.embedded {
            facts.names.clear();
        }
        let mut readings = std::mem::take(&mut facts.readings).into_iter();
        let likeliest = readings.next().map(|reading| (reading, Manner::Strict));
        let (reading, manner) = match entity.reading.clone().or(likeliest) {
            Some(chosen) => chosen,
            None => return,
        };
        let (path, prefix) = entity.place.paths(&reading.structure);
        // Another reading has the same header, whose oddities are noted already.
        let fresh = entity.reading.is_none();
        // A text in which something like a header stands need not be one: prose is no broken header.
        let guessed = matches!(&entity.place, Place::At(path) if path.ends_with("/text"));
        let prose = |code: DefectCode| {
            guessed
                && matches!(
                    code,
                    DefectCode::HeaderLineWithoutColon | DefectCode::LeadingContinuation
                )
        };
        let odd = section.odd.iter().chain(&facts.odd);
        for (code, detail) in odd.filter(|(code, _)| fresh && !prose(*code)) {
            self.odd_header(*code, &path, detail, entity.parent.is_some());
        }
        let index = self.message.parts.len();
        let (typed, body_start) = (facts.typed, section.body_start);
        self.message.parts.push(new_part(&entity, path, &reading.structure, section, facts));
        let body = entity.octets.slice(body_start..);
        let first_child = self.work.len();
        match &reading.structure {
            Structure::Multipart(boundary) => {
                let decoded = transfer::decode(&body, reading.encoding);
                self.multipart(
                    index,
                    &decoded.data,
                    boundary,
                    manner,
                    &prefix,
                    entity.reading.is_none(),
                );
            }
            Structure::Message => self.attached(index, &body, reading.encoding, &prefix),
            Structure::Leaf => self.leaf(index, &body, reading.encoding, &prefix, typed),
        }
        if entity.reading.is_none() {
            for (number, reading) in readings.enumerate() {
                self.push_reading(
                    index,
                    entity.octets.clone(),
                    (reading, Manner::Strict),
                    number + 2,
                );
            }
        }
        self.in_order(first_child);
    }

    /// What was pushed first must be popped first.
    fn in_order(&mut self, first_child: usize) {
        if let Some(children) = self.work.get_mut(first_child..) {
            children.reverse();
        }
    }

    /// Header oddities that only count for the top header stay there.
    fn odd_header(&mut self, code: DefectCode, path: &str, detail: &str, nested: bool) {
        // A part without body or header needs no empty line.
        if !(nested && code == DefectCode::NoSeparator) {
            self.note(code, if nested { path } else { "" }, detail);
        }
    }

    fn push_reading(
        &mut self,
        index: usize,
        octets: Bytes,
        reading: (Reading, Manner),
        number: usize,
    ) {
        let (depth, path) = (self.depth_of(index) + 1, self.path_of(index));
        if depth > self.budget.limits.depth_max {
            self.note(DefectCode::TooDeep, &path, "");
            return;
        }
        if !self.may_read_again(octets.len()) {
            return;
        }
        self.work.push(Work::Entity(Entity {
            octets,
            parent: Some(index),
            depth,
            place: Place::At(format!("{path}/reading{number}")),
            default_type: "text/plain",
            reading: Some(reading),
            embedded: false,
        }));
    }

    /// Asks for one more reading of so many octets. Readings in readings would else take exponential time.
    fn may_read_again(&mut self, octets: usize) -> bool {
        let left = self.again_bytes.checked_sub(octets);
        match left {
            Some(left) => self.again_bytes = left,
            None => self.note(DefectCode::TooManyParts, "", "too many readings"),
        }
        left.is_some()
    }

    fn depth_of(&self, index: usize) -> usize {
        self.message.parts.get(index).map_or(0, |part| part.depth)
    }

    fn path_of(&self, index: usize) -> String {
        self.message.parts.get(index).map_or_else(String::new, |part| part.path.clone())
    }

    fn multipart(
        &mut self,
        index: usize,
        body: &Bytes,
        boundary: &[u8],
        manner: Manner,
        prefix: &str,
        all_readings: bool,
    ) {
        let path = self.path_of(index);
        let depth = self.depth_of(index) + 1;
        if depth > self.budget.limits.depth_max {
            self.note(DefectCode::TooDeep, &path, "");
            self.set_data(index, body.clone());
            return;
        }
        let parts_max = self.budget.parts_left();
        let mut split = self.split(body, boundary, manner, parts_max);
        if split.parts.is_empty() && all_readings {
            if !split.closed {
                self.note(DefectCode::BoundaryNeverAppears, &path, "");
            }
            let alike = split.alike;
            if let Some(guess) = multipart::guess_boundary(body) {
                split = self.split(body, guess, Manner::Strict, parts_max);
            }
            if split.parts.is_empty() && alike {
                split = self.split(body, boundary, Manner::Loose, parts_max);
            }
        } else if split.alike && all_readings {
            let reading = Reading {
                structure: Structure::Multipart(boundary.to_vec()),
                encoding: Encoding::Identity,
            };
            if let Some(part) = self.message.parts.get(index) {
                let octets = [&part.header_octets[..], body].concat();
                self.push_reading(index, octets.into(), (reading, Manner::Loose), 9);
            }
        }
        if split.parts.is_empty() {
            // Nothing to split: what stands there is looked at as it stands.
            self.unsplit(index, body);
            return;
        }
        if split.too_many {
            self.note(DefectCode::TooManyParts, "", "");
        }
        if !split.closed {
            self.note(DefectCode::NoClosingBoundary, &path, "");
        }
        if split.reopened {
            self.note(DefectCode::ContentOutsideParts, &path, "behind the closing delimiter");
        }
        let digest = self
            .message
            .parts
            .get(index)
            .is_some_and(|part| part.declared_type == "multipart/digest");
        self.outside(index, &body.slice(split.preamble.clone()), "preamble");
        for (number, range) in split.parts.iter().enumerate() {
            self.work.push(Work::Entity(Entity {
                octets: body.slice(range.clone()),
                parent: Some(index),
                depth,
                place: Place::At(format!("{prefix}{}", number + 1)),
                default_type: if digest { "message/rfc822" } else { "text/plain" },
                reading: None,
                embedded: false,
            }));
        }
        self.outside(index, &body.slice(split.epilogue), "epilogue");
    }

    /// Splits a body. A large one that was searched for many boundaries is indexed first.
    fn split(&mut self, body: &Bytes, boundary: &[u8], manner: Manner, parts_max: usize) -> Split {
        const LARGE_BYTES: usize = 256 << 10;
        const SEARCHES: usize = 4;
        if !self.delimiters.as_ref().is_some_and(|known| known.cover(body)) {
            self.searched_bytes = self.searched_bytes.saturating_add(body.len());
            let often = self.searched_bytes / SEARCHES > body.len();
            if often && body.len() >= LARGE_BYTES && !self.too_many_delimiters {
                self.searched_bytes = 0;
                match Delimiters::of(body) {
                    Some(known) => self.delimiters = Some(known),
                    // Once is enough: for the next body it would be made in vain as well.
                    None => self.too_many_delimiters = true,
                }
            }
        }
        multipart::split(body, boundary, manner, parts_max, self.delimiters.as_ref())
    }

    /// Looks at what stands outside of the parts of a multipart, if it is more than a line for old readers.
    fn outside(&mut self, index: usize, octets: &Bytes, what: &str) {
        if octets.trim_ascii().is_empty() {
            return;
        }
        let path = self.path_of(index);
        if leaf::is_prose(octets) {
            return;
        }
        self.note(DefectCode::ContentOutsideParts, &path, what);
        self.push_packed(index, Vec::new(), octets.clone(), what, true);
    }

    fn push_packed(
        &mut self,
        parent: usize,
        names: Vec<String>,
        data: Bytes,
        label: &str,
        reading: bool,
    ) {
        let depth = self.depth_of(parent) + 1;
        let path = format!("{}/{label}", self.path_of(parent));
        if depth > self.budget.limits.depth_max {
            self.note(DefectCode::TooDeep, &path, "");
            return;
        }
        if reading && !self.may_read_again(data.len()) {
            return;
        }
        self.work.push(Work::Packed(Packed {
            names,
            data,
            parent,
            depth,
            path,
            flags: vec![PartFlag::Embedded],
            odd: Vec::new(),
            archive_depth: 0,
            reading,
        }));
    }

    /// An attached message: decoded, then a message of its own.
    fn attached(&mut self, index: usize, body: &Bytes, encoding: Encoding, prefix: &str) {
        let path = self.path_of(index);
        let declared = self
            .message
            .parts
            .get(index)
            .map(|part| part.declared_type.clone())
            .unwrap_or_default();
        match declared.as_str() {
            "message/partial" => self.note(DefectCode::MessagePartial, &path, ""),
            "message/external-body" => self.note(DefectCode::MessageExternalBody, &path, ""),
            _ => {}
        }
        let decoded = transfer::decode(body, encoding);
        for code in decoded.odd {
            self.note(code, &path, "");
        }
        self.set_data(index, decoded.data.clone());
        self.push_message(index, decoded.data, prefix.to_owned());
    }

    fn push_message(&mut self, index: usize, octets: Bytes, prefix: String) {
        let depth = self.depth_of(index) + 1;
        if depth > self.budget.limits.depth_max {
            let path = self.path_of(index);
            self.note(DefectCode::TooDeep, &path, "");
            return;
        }
        self.work.push(Work::Entity(Entity {
            octets,
            parent: Some(index),
            depth,
            place: Place::Root(prefix),
            default_type: "text/plain",
            reading: None,
            embedded: false,
        }));
    }
}

impl Place {
    /// The path, and what the paths of children begin with.
    fn paths(&self, structure: &Structure) -> (String, String) {
        match (self, structure) {
            (Self::Root(prefix), Structure::Multipart(_)) => (format!("{prefix}0"), prefix.clone()),
            (Self::Root(prefix), _) => (format!("{prefix}1"), format!("{prefix}1.")),
            (Self::At(path), _) => {
                let prefix = format!("{path}.");
                (path.clone(), prefix)
            }
        }
    }
}

/// The part that the header section describes, still without content.
fn new_part(
    entity: &Entity,
    path: String,
    structure: &Structure,
    section: Section,
    facts: Facts,
) -> Part {
    Part {
        path,
        parent: entity.parent,
        depth: entity.depth,
        kind: match structure {
            Structure::Multipart(_) => PartKind::Multipart,
            Structure::Message => PartKind::Message,
            Structure::Leaf => PartKind::Leaf,
        },
        header_octets: entity.octets.slice(..section.body_start),
        headers: section.fields,
        declared_type: facts.declared_type,
        charset: facts.charset,
        disposition: facts.disposition,
        names: facts.names,
        data: Bytes::new(),
        text: None,
        wide: false,
        types: Vec::new(),
        flags: if entity.embedded { vec![PartFlag::Embedded] } else { Vec::new() },
        sha256: Sha256::digest(b"").into(),
    }
}

#[cfg(test)]
mod tests;
