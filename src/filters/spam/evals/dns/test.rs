//! Which replies of a list a rule means.

use regex::bytes::Regex;

use crate::filters::dns::{Answer, Mask, Record, is_refusal};

/// A rule's test of replies.
#[derive(Debug, Clone)]
pub(super) enum Test {
    /// Any entry.
    Any,
    Mask(Mask),
    /// The reply in its text form.
    Pattern(Regex),
    Text(String),
}

impl Test {
    /// Reads `127.0.0.2`, `4` or a pattern, as `check_rbl` has them; empty: any reply.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::Any);
        }
        if text.bytes().all(|octet| octet.is_ascii_digit() || octet == b'.')
            && let Some(mask) = Mask::parse(text)
        {
            return Ok(Self::Mask(mask));
        }
        Self::pattern(text, "")
    }

    /// Reads `127.0.0.2`, `4`, `1-5`, `1/5`, `/pattern/` or text, as `urirhssub` and `askdns` have them.
    pub(super) fn read_sub(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::Any);
        }
        let delimited = text.strip_prefix('/').or_else(|| text.strip_prefix("m/"));
        if let Some((pattern, flags)) = delimited.and_then(|rest| rest.rsplit_once('/')) {
            return Self::pattern(pattern, flags);
        }
        // A network of bits is no form of these rules: behind the slash stands a mask.
        match Mask::parse(text) {
            Some(mask) => Ok(Self::Mask(mask)),
            None => Ok(Self::Text(text.trim_matches(['"', '\'']).to_owned())),
        }
    }

    fn pattern(text: &str, flags: &str) -> Result<Self, String> {
        regex::bytes::RegexBuilder::new(text)
            .unicode(false)
            .case_insensitive(flags.contains('i'))
            .size_limit(1 << 20)
            .build()
            .map(Self::Pattern)
            .map_err(|error| format!("the test `{text}` cannot be read: {error}"))
    }

    /// The reply of a list that it takes: only of 127.0.0.0/8, and no refusal; or a text.
    pub(super) fn takes_of_list(&self, answer: &Answer) -> Option<String> {
        let listed = |record: &&Record| match record {
            Record::A(address) => address.is_loopback() && !is_refusal(*address),
            Record::Txt(_) => true,
            Record::Aaaa(_) | Record::Name(_) => false,
        };
        self.first(answer.records().iter().filter(listed))
    }

    /// Any record that it takes, but for refusals.
    pub(super) fn takes(&self, answer: &Answer) -> Option<String> {
        let meant = |record: &&Record| match record {
            Record::A(address) => !is_refusal(*address),
            Record::Txt(_) | Record::Aaaa(_) | Record::Name(_) => true,
        };
        self.first(answer.records().iter().filter(meant))
    }

    fn first<'r>(&self, mut records: impl Iterator<Item = &'r Record>) -> Option<String> {
        records.find_map(|record| {
            let text = match record {
                Record::A(address) => address.to_string(),
                Record::Aaaa(address) => address.to_string(),
                Record::Txt(text) => String::from_utf8_lossy(text).into_owned(),
                Record::Name(name) => name.clone(),
            };
            let takes = match (self, record) {
                (Self::Any, _) => true,
                (Self::Mask(mask), Record::A(address)) => mask.fits(*address),
                (Self::Mask(_), _) => false,
                (Self::Pattern(pattern), Record::Txt(octets)) => pattern.is_match(octets),
                (Self::Pattern(pattern), _) => pattern.is_match(text.as_bytes()),
                (Self::Text(wanted), _) => *wanted == text,
            };
            takes.then_some(text)
        })
    }
}
