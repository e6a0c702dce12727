//! The built-in scanner: digests and patterns of octets. Pure, and linear in the size of the mail.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use aho_corasick::{AhoCorasick, MatchKind};

use super::outcome::{Outcome, ScanResult, ScanStatus, ScannerState, ScannerStatus};
use super::requests::{place_in, wide_text};
use super::signatures::{self, Pattern};
use crate::filters::{Mistake, NotRun, RuleFile, Severity, VirusHit, Weight};
use crate::mail::{Message, Part};

/// The built-in scanner with its signatures.
#[derive(Debug)]
pub struct Builtin {
    name: Arc<str>,
    digests: HashMap<[u8; 32], Arc<str>>,
    /// Patterns for any place, all in one automaton, and their names in the same order.
    anywhere: Option<AhoCorasick>,
    anywhere_names: Vec<Arc<str>>,
    /// Patterns for one place.
    placed: Vec<(usize, Vec<u8>, Arc<str>)>,
}

impl Builtin {
    /// Reads signature files. What could not be read is left out and told.
    #[must_use]
    pub fn build(name: &str, files: &[RuleFile]) -> (Self, Vec<Mistake>) {
        let mut mistakes = Vec::new();
        let mut builtin = Self {
            name: name.into(),
            digests: HashMap::new(),
            anywhere: None,
            anywhere_names: Vec::new(),
            placed: Vec::new(),
        };
        let mut patterns = Vec::new();
        for signature in files.iter().flat_map(|file| signatures::parse(file, &mut mistakes)) {
            match signature.pattern {
                Pattern::Digest(digest) => {
                    builtin.digests.insert(digest, signature.name);
                }
                Pattern::At(offset, octets) => {
                    builtin.placed.push((offset, octets, signature.name))
                }
                Pattern::Anywhere(octets) => {
                    patterns.push(octets);
                    builtin.anywhere_names.push(signature.name);
                }
            }
        }
        if !patterns.is_empty() {
            // One hit is enough, so the first match in any order will do; leftmost-first has the fastest searchers.
            match AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(&patterns) {
                Ok(automaton) => builtin.anywhere = Some(automaton),
                Err(error) => mistakes.push(Mistake {
                    file: "filters/virus".into(),
                    line: 0,
                    column: 0,
                    what: format!("the patterns cannot be built: {error}"),
                    hint: "use fewer or shorter ones".to_owned(),
                    severity: Severity::Error,
                }),
            }
        }
        (builtin, mistakes)
    }

    /// Number of signatures.
    #[must_use]
    pub fn signature_count(&self) -> usize {
        self.digests.len() + self.anywhere_names.len() + self.placed.len()
    }

    /// Looks at the message as a whole and at every decoded part; at most one hit for each.
    ///
    /// Uses the processor for as long as it takes to read every octet once: not for an async task.
    #[must_use]
    pub fn scan(&self, message: &Message) -> Vec<VirusHit> {
        let mut hits = Vec::new();
        let mut seen = HashSet::new();
        for part in &message.parts {
            if part.data.is_empty() || !seen.insert(part.sha256) {
                continue;
            }
            // What stands in the raw message as it is, is searched there; only its digest and its beginning count here.
            let is_in_raw = place_in(&message.raw, &part.data).is_some();
            let name =
                self.digests.get(&part.sha256).or_else(|| self.at_its_place(&part.data)).or_else(
                    || if is_in_raw { None } else { self.find(&part.data).map(|(_, name)| name) },
                );
            let in_text = || self.find(wide_text(part)?).map(|(_, name)| name);
            if let Some(name) = name.or_else(in_text) {
                hits.push(self.hit(name, &part.path));
            }
        }
        if let Some((at, name)) = self.find(&message.raw) {
            let part = deepest_at(message, at).map_or("", |part| part.path.as_str());
            if !hits.iter().any(|hit| hit.part == part && hit.name == **name) {
                hits.push(self.hit(name, part));
            }
        } else if let Some(name) = self.at_its_place(&message.raw) {
            hits.push(self.hit(name, ""));
        }
        hits
    }

    /// As [`Builtin::scan`], in the form of the other scanners' answers.
    #[must_use]
    pub fn inspect(&self, message: &Message) -> Outcome {
        let name = self.name.to_string();
        if self.signature_count() == 0 {
            let why = "no signatures".to_owned();
            let check = format!("virus:{name}");
            return Outcome {
                not_run: vec![NotRun { check, why: why.clone(), weight: Weight::Off }],
                status: vec![ScanStatus { name, result: ScanResult::NotScanned(why) }],
                ..Outcome::default()
            };
        }
        let began = Instant::now();
        let hits = self.scan(message);
        let result = if hits.is_empty() { ScanResult::Clean } else { ScanResult::Infected };
        Outcome {
            hits,
            scanned_by: vec![(name.clone(), began.elapsed())],
            status: vec![ScanStatus { name, result }],
            ..Outcome::default()
        }
    }

    pub(super) fn status(&self) -> ScannerStatus {
        let count = self.signature_count();
        ScannerStatus {
            name: self.name.to_string(),
            place: "built in".to_owned(),
            state: if count == 0 { ScannerState::Off } else { ScannerState::Up },
            version: Some(format!("{count} signatures")),
            last_error: None,
            last_ok: (count > 0).then(SystemTime::now),
        }
    }

    fn find(&self, octets: &[u8]) -> Option<(usize, &Arc<str>)> {
        let found = self.anywhere.as_ref()?.find(octets)?;
        Some((found.start(), self.anywhere_names.get(found.pattern().as_usize())?))
    }

    fn at_its_place(&self, octets: &[u8]) -> Option<&Arc<str>> {
        let is_there = |offset: usize, pattern: &[u8]| {
            octets.get(offset..).is_some_and(|rest| rest.starts_with(pattern))
        };
        self.placed
            .iter()
            .find(|(offset, pattern, _)| is_there(*offset, pattern))
            .map(|(_, _, name)| name)
    }

    fn hit(&self, name: &str, part: &str) -> VirusHit {
        VirusHit { scanner: self.name.to_string(), name: name.to_owned(), part: part.to_owned() }
    }
}

/// The innermost part whose octets stand around that place of the raw message.
fn deepest_at(message: &Message, at: usize) -> Option<&Part> {
    let covers = |part: &&Part| {
        place_in(&message.raw, &part.data)
            .is_some_and(|begin| begin <= at && at - begin < part.data.len())
    };
    message.parts.iter().filter(covers).max_by_key(|part| part.depth)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::requests::tests::part;
    use super::*;
    use crate::mail::PartKind;

    /// In two pieces, so that this file is none.
    fn eicar() -> Vec<u8> {
        [&br"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD"[..], b"-ANTIVIRUS-TEST-FILE!$H+H*"]
            .concat()
    }

    fn shipped() -> Builtin {
        let text = include_bytes!("../../../filters/virus/eicar.sig");
        let (builtin, mistakes) =
            Builtin::build("builtin", &[RuleFile::built_in("filters/virus/eicar.sig", text)]);
        assert_eq!(mistakes, []);
        builtin
    }

    #[test]
    fn the_shipped_file_is_not_a_virus_itself() {
        let text = include_bytes!("../../../filters/virus/eicar.sig");
        assert!(memchr::memmem::find(text, &eicar()).is_none());
    }

    #[test]
    fn eicar_is_found_raw_decoded_and_in_a_member() {
        let wrapped = [b"some text\r\n", eicar().as_slice(), b"\r\n"].concat();
        let raw = Bytes::from([b"Subject: x\r\n\r\n", wrapped.as_slice()].concat());
        let name = "Eicar-Test-Signature";
        let check = |message: Message, want: &[&str]| {
            let hits = shipped().scan(&message);
            let got: Vec<_> = hits.iter().map(|hit| hit.part.as_str()).collect();
            assert_eq!(got, want);
            assert!(hits.iter().all(|hit| hit.name == name && hit.scanner == "builtin"));
        };
        let body = part("1", PartKind::Leaf, raw.slice(14..));
        check(Message { raw: raw.clone(), parts: vec![body], ..Message::default() }, &["1"]);
        check(Message { raw, ..Message::default() }, &[""]);

        let parts = vec![
            part("1", PartKind::Leaf, Bytes::from_static(b"harmless")),
            part("2", PartKind::Leaf, Bytes::from(wrapped)),
            part("3/eicar.com", PartKind::Member, Bytes::from(eicar())),
        ];
        let raw = Bytes::from_static(b"Subject: x\r\n\r\ncoded");
        check(Message { raw, parts, ..Message::default() }, &["2", "3/eicar.com"]);
    }

    #[test]
    fn digests_offsets_and_texts_hit_where_they_should() {
        use sha2::{Digest, Sha256};
        let digest = Sha256::digest(b"bad part").iter().fold(String::new(), |mut text, octet| {
            text.push_str(&format!("{octet:02x}"));
            text
        });
        let text = format!(
            "sha256 {digest} Digest\nbytes offset=2 41424344 At.Two\ntext \"evil words\" Words\n\
             text \"evil\" Evil"
        );
        let (builtin, mistakes) =
            Builtin::build("own", &[RuleFile::built_in("x", text.as_bytes())]);
        assert_eq!(mistakes, []);
        assert_eq!(builtin.signature_count(), 4);
        for (data, want) in [
            (&b"bad part"[..], Some("Digest")),
            (b"bad part ", None),
            (b"__ABCD", Some("At.Two")),
            (b"_ABCD_", None),
            (b"__ABC", None),
            (b"some evil words", Some("Words")),
            (b"EVIL WORDS", None),
            (b"", None),
        ] {
            let parts = vec![part("1", PartKind::Leaf, Bytes::copy_from_slice(data))];
            let hits = builtin.scan(&Message { parts, ..Message::default() });
            let names: Vec<_> = hits.iter().map(|hit| hit.name.as_str()).collect();
            assert_eq!(names, want.into_iter().collect::<Vec<_>>(), "{data:?}");
        }
    }

    #[test]
    fn without_signatures_it_is_off_and_says_so() {
        let (builtin, _) = Builtin::build("builtin", &[]);
        let outcome = builtin.inspect(&Message::default());
        assert_eq!(outcome.not_run[0].weight, Weight::Off);
        assert_eq!(builtin.status().state, ScannerState::Off);
    }
}
