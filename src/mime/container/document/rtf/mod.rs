//! RTF, read as Word reads it: almost anything goes. Objects stand in it as hexadecimal digits, between which writers
//! of exploits put blanks, control words and groups of all kinds.

mod object;

use bytes::Bytes;

use super::field;
use crate::mail::PartFlag;
use crate::mime::container::{Ask, Member, Opened};
use crate::mime::links;

/// Groups in groups that are kept apart; deeper ones count as their parent.
const DEPTH_MAX: usize = 10_000;

/// Octets of one text that is wanted: a field, a template.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// Longer control words there are none.
const WORD_BYTES_MAX: usize = 32;

/// What the text of a group is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Destination {
    Text,
    /// Text nobody sees.
    Skipped,
    Field,
    Template,
    /// HTML that Outlook packed into RTF.
    Html,
    Object,
    /// A destination within the digits of an object: Word leaves out what stands there, others do not.
    InObject,
}

#[derive(Debug, Clone, Copy)]
struct Group {
    destination: Destination,
    /// Characters that stand in for one in Unicode.
    skip: usize,
    /// `\*` was just read.
    is_optional: bool,
}

/// Digits of an object, read in two ways.
#[derive(Debug, Default)]
struct Digits {
    octets: Vec<u8>,
    half: Option<u8>,
}

impl Digits {
    fn push(&mut self, digit: u8) {
        match self.half.take() {
            Some(high) => self.octets.push(high << 4 | digit),
            None => self.half = Some(digit),
        }
    }
}

struct Reader<'a, 'b> {
    data: &'a Bytes,
    at: usize,
    groups: Vec<Group>,
    /// Groups beyond the limit.
    uncounted: usize,
    text: String,
    /// As Word reads digits, and as they stand there.
    digits: [Digits; 2],
    /// Characters still to be left out behind `\u`.
    skipped: usize,
    opened: &'b mut Opened,
    found: Vec<Bytes>,
}

pub(in crate::mime::container) fn open(ask: Ask<'_>, opened: &mut Opened) {
    let Ask { data, budget, passwords, .. } = ask;
    if !passwords.is_empty() {
        return;
    }
    let mut reader = Reader {
        data,
        at: 0,
        groups: Vec::new(),
        uncounted: 0,
        text: String::new(),
        digits: Default::default(),
        skipped: 0,
        opened,
        found: Vec::new(),
    };
    let mut tokens = 0_usize;
    while reader.step() {
        tokens += 1;
        if tokens.is_multiple_of(1 << 14)
            && let Some(code) = budget.late()
        {
            reader.opened.note(code);
            break;
        }
    }
    reader.end_of_file();
    let (found, at) = (std::mem::take(&mut reader.found), reader.at);
    for octets in found {
        opened.flag(PartFlag::Object);
        object::open(&octets, budget, opened);
    }
    // What is hung on behind the last group.
    const TAIL_BYTES_MIN: usize = 16;
    let tail = data.slice(at.min(data.len())..);
    if tail.iter().filter(|octet| **octet > b' ').count() >= TAIL_BYTES_MIN {
        opened.stored(Member { data: tail, ..Member::default() }, budget);
    }
}

impl Reader<'_, '_> {
    /// Reads one thing. False at the end.
    fn step(&mut self) -> bool {
        let Some(octet) = self.data.get(self.at).copied() else { return false };
        self.at += 1;
        match octet {
            b'{' => self.begin(),
            b'}' => return self.end(),
            b'\\' => self.control(),
            _ => self.plain(octet),
        }
        true
    }

    fn group(&self) -> Group {
        let outside = Group { destination: Destination::Text, skip: 1, is_optional: false };
        self.groups.last().copied().unwrap_or(outside)
    }

    fn begin(&mut self) {
        self.skipped = 0;
        if self.groups.len() >= DEPTH_MAX {
            self.uncounted += 1;
            return;
        }
        let group = self.group();
        self.groups.push(Group { is_optional: false, ..group });
    }

    /// False when the last group ends: what follows is no RTF.
    fn end(&mut self) -> bool {
        self.skipped = 0;
        if self.uncounted > 0 {
            self.uncounted -= 1;
            return true;
        }
        let ended = self.group().destination;
        self.groups.pop();
        let above = self.group().destination;
        if ended != above && !(ended == Destination::InObject && above == Destination::Object) {
            self.finish(ended);
        }
        !self.groups.is_empty()
    }

    fn end_of_file(&mut self) {
        for destination in [self.group().destination, Destination::Object] {
            self.finish(destination);
        }
    }

    /// Takes what was gathered for a destination.
    fn finish(&mut self, destination: Destination) {
        match destination {
            Destination::Field => {
                let text = std::mem::take(&mut self.text);
                field::look(&text, self.opened);
            }
            Destination::Template => {
                let text = std::mem::take(&mut self.text);
                field::remote(text.trim(), self.opened);
                if field::leads_away(&text) {
                    self.opened.flag(PartFlag::Object);
                }
            }
            Destination::Html => {
                let text = std::mem::take(&mut self.text);
                for link in links::in_text(&text) {
                    field::link(&link, self.opened);
                }
            }
            Destination::Object | Destination::InObject => {
                let [word, plain] = std::mem::take(&mut self.digits);
                let differs = word.octets != plain.octets;
                for octets in [Some(word.octets), differs.then_some(plain.octets)] {
                    self.found.extend(octets.filter(|octets| !octets.is_empty()).map(Bytes::from));
                }
            }
            Destination::Text | Destination::Skipped => {}
        }
    }

    fn plain(&mut self, octet: u8) {
        if self.skipped > 0 {
            self.skipped -= 1;
            return;
        }
        match self.group().destination {
            Destination::Object | Destination::InObject => {
                let Some(digit) = char::from(octet).to_digit(16) else { return };
                let digit = u8::try_from(digit).unwrap_or(0);
                let is_inner = self.group().destination == Destination::InObject;
                let [word, plain] = &mut self.digits;
                plain.push(digit);
                if !is_inner {
                    word.push(digit);
                }
            }
            Destination::Text
            | Destination::Skipped
            | Destination::Field
            | Destination::Template
            | Destination::Html => {
                if !matches!(octet, b'\r' | b'\n') {
                    self.add_text(char::from(octet));
                }
            }
        }
    }

    fn add_text(&mut self, sign: char) {
        let is_wanted = matches!(
            self.group().destination,
            Destination::Field | Destination::Template | Destination::Html
        );
        if is_wanted && self.text.len() < TEXT_BYTES_MAX {
            self.text.push(sign);
        }
    }

    /// A control word or sign, behind its backslash.
    fn control(&mut self) {
        let Some(octet) = self.data.get(self.at).copied() else { return };
        if !octet.is_ascii_alphabetic() {
            self.at += 1;
            self.control_sign(octet);
            return;
        }
        let rest = self.data.get(self.at..).unwrap_or_default();
        let length = rest.iter().take_while(|octet| octet.is_ascii_alphabetic()).count();
        let word: String = rest
            .iter()
            .take(length.min(WORD_BYTES_MAX))
            .map(|octet| char::from(octet.to_ascii_lowercase()))
            .collect();
        self.at += length;
        let number = self.number();
        // One blank belongs to the word.
        if self.data.get(self.at) == Some(&b' ') {
            self.at += 1;
        }
        self.control_word(&word, number);
    }

    fn number(&mut self) -> Option<i64> {
        const DIGITS_MAX: usize = 18;
        let rest = self.data.get(self.at..).unwrap_or_default();
        let sign = usize::from(rest.first() == Some(&b'-'));
        let digits = rest.iter().skip(sign).take_while(|octet| octet.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        let text = rest.get(sign..sign + digits)?;
        self.at += sign + digits;
        // Zeros before a number may be many.
        let zeros = text.iter().take_while(|octet| **octet == b'0').count();
        let value = text.get(zeros..)?.iter().take(DIGITS_MAX).fold(0_i64, |sum, octet| {
            sum.saturating_mul(10).saturating_add(i64::from(octet - b'0'))
        });
        Some(if sign == 1 { -value } else { value })
    }

    fn control_sign(&mut self, octet: u8) {
        match octet {
            b'*' => {
                if let Some(group) = self.groups.last_mut() {
                    group.is_optional = true;
                }
            }
            b'\'' => self.octet_in_hex(),
            b'\\' | b'{' | b'}' => {
                if self.skipped > 0 {
                    self.skipped -= 1;
                } else {
                    self.add_text(char::from(octet));
                }
            }
            b'~' => self.add_text(' '),
            _ => {}
        }
    }

    /// `\'hh`. In an object Word drops these two digits, and the half of an octet before them.
    fn octet_in_hex(&mut self) {
        let digit = |at| self.data.get(at).and_then(|octet| char::from(*octet).to_digit(16));
        let (high, low) = (digit(self.at), digit(self.at + 1));
        let (Some(high), Some(low)) = (high, low) else { return };
        self.at += 2;
        if self.skipped > 0 {
            self.skipped -= 1;
            return;
        }
        if matches!(self.group().destination, Destination::Object | Destination::InObject) {
            let [word, _] = &mut self.digits;
            word.half = None;
            return;
        }
        self.add_text(char::from_u32(high << 4 | low).unwrap_or(' '));
    }

    fn control_word(&mut self, word: &str, number: Option<i64>) {
        let current = self.group().destination;
        let in_object = matches!(current, Destination::Object | Destination::InObject);
        match word {
            "bin" => self.binary(number),
            "objdata" => {
                if in_object {
                    self.finish(Destination::Object);
                }
                self.digits = Default::default();
                self.become_(Destination::Object);
            }
            "fldinst" if !in_object => self.become_(Destination::Field),
            "template" if !in_object => {
                self.text.clear();
                self.become_(Destination::Template);
            }
            "htmltag" if !in_object => self.become_(Destination::Html),
            "object" | "objemb" | "objocx" | "objupdate" => self.opened.flag(PartFlag::Object),
            "objlink" | "objautlink" => self.opened.flag(PartFlag::Object),
            "uc" => {
                let count = usize::try_from(number.unwrap_or(1)).unwrap_or(0);
                if let Some(group) = self.groups.last_mut() {
                    group.skip = count.min(100);
                }
            }
            "u" if !in_object => self.unicode(number),
            "tab" | "par" | "line" | "emspace" | "enspace" => self.add_text(' '),
            "lquote" | "rquote" => self.add_text('\''),
            "ldblquote" | "rdblquote" => self.add_text('"'),
            _ if in_object => {
                let is_optional = self.group().is_optional;
                if current == Destination::Object && (is_optional || is_destination(word)) {
                    self.become_(Destination::InObject);
                }
            }
            // A field may be split over groups of its own; what else is optional is not seen.
            _ if self.group().is_optional && current == Destination::Text => {
                self.become_(Destination::Skipped);
            }
            _ => {}
        }
        if let Some(group) = self.groups.last_mut() {
            group.is_optional = false;
        }
    }

    fn become_(&mut self, destination: Destination) {
        if let Some(group) = self.groups.last_mut() {
            group.destination = destination;
        }
    }

    /// A sign of Unicode, signed or not; what stands in for it is left out.
    fn unicode(&mut self, number: Option<i64>) {
        let code = u32::try_from(number.unwrap_or(0).rem_euclid(0x1_0000)).unwrap_or(0);
        self.add_text(char::from_u32(code).unwrap_or('\u{fffd}'));
        self.skipped = self.group().skip;
    }

    /// Octets that stand there as they are.
    fn binary(&mut self, number: Option<i64>) {
        let count = usize::try_from(number.unwrap_or(0)).unwrap_or(0);
        let end = self.at.saturating_add(count).min(self.data.len());
        let octets = self.data.get(self.at..end).unwrap_or_default();
        match self.group().destination {
            Destination::Object => {
                for digits in &mut self.digits {
                    digits.half = None;
                    digits.octets.extend_from_slice(octets);
                }
            }
            Destination::Text
            | Destination::Skipped
            | Destination::Field
            | Destination::Template
            | Destination::Html
            | Destination::InObject => {}
        }
        self.at = end;
    }
}

/// Words that begin a destination even without `\*`.
fn is_destination(word: &str) -> bool {
    const WORDS: [&str; 22] = [
        "objclass",
        "objname",
        "objalias",
        "objsect",
        "objtime",
        "result",
        "pict",
        "fonttbl",
        "colortbl",
        "stylesheet",
        "info",
        "title",
        "subject",
        "author",
        "comment",
        "footnote",
        "header",
        "footer",
        "field",
        "fldrslt",
        "shp",
        "sp",
    ];
    WORDS.contains(&word)
}

#[cfg(test)]
mod tests;
