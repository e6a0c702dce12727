//! What the header section of a part says about its content, in every reading.

use std::ops::Range;

use super::field::{Field, odd_parameter};
use super::header::{self, Section};
use super::transfer::{self, Encoding};
use super::{Limits, charset, words};
use crate::mail::DefectCode;

/// How the content is put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Structure {
    Multipart(Vec<u8>),
    Message,
    Leaf,
}

/// One reading of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) structure: Structure,
    pub(super) encoding: Encoding,
}

/// What a header section says.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) declared_type: String,
    pub(super) charset: Option<String>,
    pub(super) disposition: Option<String>,
    pub(super) names: Vec<String>,
    /// Never empty; the first is the likeliest.
    pub(super) readings: Vec<Reading>,
    pub(super) odd: Vec<(DefectCode, String)>,
    /// True if a `Content-Type` was there.
    pub(super) typed: bool,
}

/// The values of the MIME fields, fields behind a bare CR included.
#[derive(Default)]
struct Values<'a> {
    types: Vec<&'a [u8]>,
    encodings: Vec<&'a [u8]>,
    dispositions: Vec<&'a [u8]>,
    versions: Vec<&'a [u8]>,
    descriptions: Vec<&'a [u8]>,
    locations: Vec<&'a [u8]>,
    /// More fields of one name than are looked at.
    too_many: bool,
    same_max: usize,
    bytes_max: usize,
}

impl<'a> Values<'a> {
    fn of(octets: &'a [u8], section: &Section, limits: &Limits) -> Self {
        let mut values = Self {
            same_max: limits.same_fields_max,
            bytes_max: limits.header_bytes_max,
            ..Self::default()
        };
        let get = |range: &Range<usize>| octets.get(range.clone()).unwrap_or_default();
        for field in &section.fields {
            let value = get(&field.value);
            values.sort(get(&field.name), value);
            // A bare CR may end the line for a reader, and another field begin there.
            let mut rest = value;
            while let Some(cr) = header::hidden_start(rest) {
                rest = rest.get(cr + 1..).unwrap_or_default();
                // The name ends in the line that begins here.
                if let Some(colon) = memchr::memchr2(b':', b'\r', rest)
                    && rest.get(colon) == Some(&b':')
                {
                    let (name, value) = rest.split_at(colon);
                    values.sort(name.trim_ascii(), value.get(1..).unwrap_or_default());
                }
            }
        }
        values
    }

    fn sort(&mut self, name: &[u8], value: &'a [u8]) {
        let list = match name.first() {
            Some(b'c' | b'C') if header::is_named(name, "content-type") => &mut self.types,
            Some(b'c' | b'C') if header::is_named(name, "content-transfer-encoding") => {
                &mut self.encodings
            }
            Some(b'c' | b'C') if header::is_named(name, "content-disposition") => {
                &mut self.dispositions
            }
            Some(b'c' | b'C') if header::is_named(name, "content-description") => {
                &mut self.descriptions
            }
            Some(b'c' | b'C') if header::is_named(name, "content-location") => &mut self.locations,
            Some(b'm' | b'M') if header::is_named(name, "mime-version") => &mut self.versions,
            _ => return,
        };
        // What is longer was said to be over the limit.
        let value = value.get(..self.bytes_max).unwrap_or(value);
        if list.len() < self.same_max {
            list.push(value);
            return;
        }
        // Readers take the first one or the last one.
        self.too_many = true;
        if let Some(last) = list.last_mut() {
            *last = value;
        }
    }
}

fn differ(values: &[&[u8]]) -> bool {
    let mut trimmed = values.iter().map(|value| value.trim_ascii());
    let first = trimmed.next();
    trimmed.any(|value| Some(value) != first)
}

impl Facts {
    /// Reads the section; `default_type` holds where no type is declared.
    pub(super) fn read(
        octets: &[u8],
        section: &Section,
        default_type: &str,
        limits: &Limits,
    ) -> Self {
        let values = Values::of(octets, section, limits);
        let mut facts = Self::default();
        if values.too_many {
            facts.note(DefectCode::TooManyHeaders, "of one name");
        }
        for (list, code) in [
            (&values.types, DefectCode::DuplicateContentType),
            (&values.encodings, DefectCode::DuplicateTransferEncoding),
            (&values.dispositions, DefectCode::DuplicateDisposition),
            (&values.versions, DefectCode::DuplicateMimeVersion),
        ] {
            if differ(list) {
                facts.note(code, "");
            }
        }
        let types: Vec<Field> = values.types.iter().map(|v| Field::parse(v, limits)).collect();
        let dispositions: Vec<Field> =
            values.dispositions.iter().map(|v| Field::parse(v, limits)).collect();
        let strays: Vec<Field> = section
            .strays
            .iter()
            .take(8)
            .map(|range| {
                let mut line = b";".to_vec();
                line.extend_from_slice(octets.get(range.clone()).unwrap_or_default());
                Field::parse(&line, limits)
            })
            .collect();
        if types.iter().chain(&dispositions).chain(&strays).any(|field| field.too_many) {
            facts.note(DefectCode::TooManyParameters, "");
        }
        facts.typed = !types.is_empty();
        facts.declare(types.first(), default_type);
        facts.disposition =
            dispositions.first().map(|field| field.main.clone()).filter(|text| !text.is_empty());
        facts.read_names(&types, &dispositions, &strays, limits);
        if facts.names.is_empty() {
            facts.names_of_last_resort(&values, limits);
        }
        let structures = facts.structures(&types, &strays, limits);
        let encodings = facts.encodings(&values.encodings);
        facts.combine(structures, &encodings, limits);
        facts
    }

    fn note(&mut self, code: DefectCode, detail: &str) {
        self.odd.push((code, detail.to_owned()));
    }

    fn declare(&mut self, field: Option<&Field>, default_type: &str) {
        let Some(field) = field else {
            default_type.clone_into(&mut self.declared_type);
            return;
        };
        let well_formed = field
            .main
            .split_once('/')
            .is_some_and(|(kind, rest)| !kind.is_empty() && !rest.is_empty());
        if !well_formed {
            self.note(DefectCode::BadContentType, &field.main);
        }
        self.declared_type =
            if field.main.is_empty() { default_type.to_owned() } else { field.main.clone() };
        self.charset = field.text("charset").filter(|text| !text.is_empty());
    }

    fn read_names(
        &mut self,
        types: &[Field],
        dispositions: &[Field],
        strays: &[Field],
        limits: &Limits,
    ) {
        let charset = self.charset.clone();
        let named = dispositions.iter().map(|field| (field, "filename"));
        let named = named.chain(dispositions.iter().map(|field| (field, "name")));
        let named = named.chain(types.iter().map(|field| (field, "name")));
        let named = named.chain(types.iter().map(|field| (field, "filename")));
        let named = named.chain(strays.iter().map(|field| (field, "name")));
        let named = named.chain(strays.iter().map(|field| (field, "filename")));
        for (field, parameter) in named.collect::<Vec<_>>() {
            let readings = field.values(parameter);
            if let Some(code) = odd_parameter(&readings, false) {
                self.note(code, parameter);
            }
            if readings.too_many {
                self.note(DefectCode::TooManyParameters, parameter);
            }
            if self.names.len() > limits.names_max {
                break;
            }
            for (octets, label) in &readings.all {
                let name = match label {
                    Some(label) => charset::decode(octets, Some(label)).0,
                    None => charset::guess(octets),
                };
                self.add_name(name.into_owned(), limits);
                if memchr::memmem::find(octets, b"=?").is_some() {
                    self.add_name(words::decode(octets), limits);
                }
                if label.is_none() && std::str::from_utf8(octets).is_err() {
                    for label in [charset.as_deref().unwrap_or("koi8-r"), "koi8-r", "gb18030"] {
                        self.add_name(charset::decode(octets, Some(label)).0.into_owned(), limits);
                    }
                }
            }
        }
    }

    fn add_name(&mut self, name: String, limits: &Limits) {
        if name.is_empty() || self.names.contains(&name) {
            return;
        }
        if self.names.len() < limits.names_max {
            self.names.push(name);
        } else {
            self.note(DefectCode::TooManyParameters, "names");
        }
    }

    /// A description or location counts as a name only if it looks like one and there is no other.
    fn names_of_last_resort(&mut self, values: &Values<'_>, limits: &Limits) {
        for (value, is_location) in values
            .descriptions
            .iter()
            .map(|value| (value, false))
            .chain(values.locations.iter().map(|value| (value, true)))
        {
            let text = words::decode(value);
            let text = text.trim_matches('"');
            let (path, host) = match text.split_once("://") {
                Some((_, rest)) => (rest, true),
                None => (text, false),
            };
            if is_location && host && !path.contains('/') {
                continue;
            }
            let path = path.split(['?', '#']).next().unwrap_or(path);
            let name = path.rsplit('/').next().unwrap_or(path);
            let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
            let plausible = (1..=5).contains(&extension.len())
                && extension.chars().all(|sign| sign.is_ascii_alphanumeric())
                && !name.contains([' ', '@']);
            if plausible {
                self.add_name(name.to_owned(), limits);
            }
        }
    }

    fn structures(&mut self, types: &[Field], strays: &[Field], limits: &Limits) -> Vec<Structure> {
        let mut all = Vec::new();
        let mut add = |structure: Structure| {
            // One more than are decoded, so that it is known that there are too many.
            if all.len() <= limits.readings_max && !all.contains(&structure) {
                all.push(structure);
            }
        };
        let mut odd = Vec::new();
        for field in types {
            if field.main.starts_with("multipart") {
                let readings = field.values("boundary");
                odd.extend(odd_parameter(&readings, true));
                let strays = strays.iter().map(|field| field.values("boundary"));
                let too_many = readings.too_many;
                let mut boundaries: Vec<_> =
                    readings.all.into_iter().chain(strays.flat_map(|r| r.all)).collect();
                let long = |(text, _): &(Vec<u8>, _)| text.len() > limits.boundary_bytes_max;
                if too_many || boundaries.iter().any(long) {
                    odd.push(DefectCode::TooManyParameters);
                }
                if boundaries.is_empty() {
                    odd.push(DefectCode::NoBoundary);
                    boundaries.push((Vec::new(), None));
                }
                for (boundary, _) in boundaries {
                    add(Structure::Multipart(boundary));
                }
            } else if is_message(&field.main) {
                add(Structure::Message);
            } else {
                add(Structure::Leaf);
            }
        }
        if types.is_empty() {
            let message = is_message(&self.declared_type);
            add(if message { Structure::Message } else { Structure::Leaf });
        }
        for code in odd {
            self.note(code, "");
        }
        all
    }

    fn encodings(&mut self, values: &[&[u8]]) -> Vec<Encoding> {
        let mut all = Vec::new();
        for value in values {
            let (found, known) = transfer::encodings(value);
            if !known {
                self.note(DefectCode::UnknownTransferEncoding, &words::decode(value));
            }
            for encoding in found {
                if !all.contains(&encoding) {
                    all.push(encoding);
                }
            }
        }
        if all.is_empty() {
            all.push(Encoding::Identity);
        }
        all
    }

    fn combine(&mut self, structures: Vec<Structure>, encodings: &[Encoding], limits: &Limits) {
        for structure in structures {
            let container = matches!(structure, Structure::Multipart(_));
            let coded = encodings.iter().any(|encoding| *encoding != Encoding::Identity);
            if coded && structure != Structure::Leaf {
                self.note(DefectCode::EncodedContainer, "");
            }
            // A multipart is never encoded, say the standards, so its plain reading comes first.
            let plain = (container && coded).then_some(&Encoding::Identity);
            let others = encodings.iter().filter(|encoding| Some(*encoding) != plain);
            for encoding in plain.into_iter().chain(others) {
                if self.readings.len() < limits.readings_max {
                    self.readings
                        .push(Reading { structure: structure.clone(), encoding: *encoding });
                } else {
                    self.note(DefectCode::TooManyParts, "too many readings");
                    return;
                }
            }
        }
    }
}

/// Types whose content is a message.
fn is_message(declared: &str) -> bool {
    matches!(declared, "message/rfc822" | "message/global" | "message/partial")
        || declared == "message/external-body"
        || declared == "message/news"
}
