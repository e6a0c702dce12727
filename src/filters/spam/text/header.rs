//! Header fields as rules name them: `Subject`, `From:addr`, `ALL`, `ToCc`, `Received:raw`.

use crate::filters::spam::relays::Zone;
use crate::filters::spam::view::View as Sight;
use crate::mail::Part;

use super::{address, words};

/// Octets of one header text that are looked at.
const HEADER_MAX: usize = 128 * 1024;

/// What a rule looks at in the header.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::filters::spam) struct Selector {
    pub(in crate::filters::spam) field: Field,
    raw: bool,
    view: View,
    pick: Pick,
}

/// Which fields.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::filters::spam) enum Field {
    /// The whole header.
    All,
    /// `To` and `Cc`.
    ToCc,
    /// All kinds of `Message-Id`.
    MessageId,
    /// The envelope's sender.
    EnvelopeFrom,
    /// The hops of a part of the mail's way.
    Relays(Zone),
    /// The whole header, as far as hosts of a part of the mail's way wrote it.
    AllOf(Zone),
    /// Fields of this name.
    Named(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum View {
    Whole,
    Address,
    Name,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Pick {
    All,
    First,
    Last,
}

impl Selector {
    /// Reads `Name:modifier`.
    ///
    /// # Errors
    /// What is not built yet.
    pub(in crate::filters::spam) fn parse(text: &str) -> Result<Self, String> {
        let mut words = text.trim_end_matches(':').split(':');
        let name = words.next().unwrap_or_default();
        let field = match name {
            "ALL" => Field::All,
            "ToCc" => Field::ToCc,
            "MESSAGEID" => Field::MessageId,
            "EnvelopeFrom" => Field::EnvelopeFrom,
            _ => match zone(name) {
                Some(field) => field,
                None => Field::Named(name.to_ascii_lowercase()),
            },
        };
        let mut selector = Self { field, raw: false, view: View::Whole, pick: Pick::All };
        for word in words {
            match word {
                "raw" => selector.raw = true,
                "addr" => selector.view = View::Address,
                "name" => selector.view = View::Name,
                "first" => selector.pick = Pick::First,
                "last" => selector.pick = Pick::Last,
                _ => return Err(format!("needs the header modifier `:{word}`")),
            }
        }
        Ok(selector)
    }

    /// The text of a mail; `None` if there is no such field.
    pub(in crate::filters::spam) fn text(&self, view: &Sight<'_>) -> Option<Vec<u8>> {
        let message = view.mail.message;
        let mut fields: Vec<(&[u8], &[u8])> = Vec::new();
        for field in &message.headers {
            let name = message.octets(&field.name);
            if self.field.takes(name) {
                fields.push((name, message.octets(&field.value)));
            }
        }
        match self.field {
            Field::EnvelopeFrom => return view.relays().sender.clone(),
            Field::Relays(zone) => return Some(view.relays().text(zone)),
            Field::AllOf(zone) => {
                let names = fields.iter().map(|(name, _)| *name);
                let mut shown = view.relays().fields_of(zone, names).into_iter();
                fields.retain(|_| shown.next().unwrap_or(false));
            }
            Field::All | Field::ToCc | Field::MessageId | Field::Named(_) => {}
        }
        let fields = match self.pick {
            Pick::All => fields.as_slice(),
            Pick::First => fields.get(..1).unwrap_or_default(),
            Pick::Last => fields.get(fields.len().saturating_sub(1)..).unwrap_or_default(),
        };
        if fields.is_empty() {
            return None;
        }
        let mut out = Vec::new();
        for (name, value) in fields {
            self.append(name, value, &mut out);
            if out.len() > HEADER_MAX {
                out.truncate(HEADER_MAX);
                break;
            }
        }
        Some(out)
    }

    /// One field's text, with a line end.
    pub(in crate::filters::spam) fn append(&self, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        let value = value.get(..HEADER_MAX).unwrap_or(value);
        match self.view {
            View::Whole => {
                if matches!(self.field, Field::All | Field::AllOf(_)) {
                    out.extend_from_slice(name);
                    out.extend_from_slice(if self.raw { b":" } else { b": " });
                }
                if self.raw {
                    out.extend(value.iter().filter(|octet| **octet != b'\r'));
                } else if never_encoded(name) {
                    out.extend(unfold(value));
                } else {
                    out.extend(words::decode(&unfold(value)));
                }
                out.push(b'\n');
            }
            View::Address | View::Name => {
                let text = String::from_utf8_lossy(&unfold(value)).into_owned();
                for mailbox in address::mailboxes(&text) {
                    let part =
                        if self.view == View::Address { mailbox.address } else { mailbox.name };
                    if !part.is_empty() {
                        out.extend_from_slice(part.as_bytes());
                        out.push(b'\n');
                    }
                }
            }
        }
    }

    /// The text of each part's own field of that name: `None` where a part has none.
    pub(in crate::filters::spam) fn of_part(&self, part: &Part) -> Option<Vec<u8>> {
        let octets = |range: &std::ops::Range<usize>| {
            part.header_octets.get(range.clone()).unwrap_or_default()
        };
        let mut out = Vec::new();
        let mut seen = false;
        for field in &part.headers {
            if self.field.takes(octets(&field.name)) {
                seen = true;
                self.append(octets(&field.name), octets(&field.value), &mut out);
            }
        }
        out.truncate(HEADER_MAX);
        seen.then_some(out)
    }
}

impl Field {
    fn takes(&self, name: &[u8]) -> bool {
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted.as_bytes());
        match self {
            Self::All | Self::AllOf(_) => true,
            Self::ToCc => is("To") || is("Cc"),
            Self::MessageId => is("Message-Id") || is("X-Message-Id") || is("Resent-Message-Id"),
            Self::EnvelopeFrom | Self::Relays(_) => false,
            Self::Named(wanted) => is(wanted),
        }
    }
}

/// `ALL-Trusted` and its like, `X-Spam-Relays-Trusted` and its like.
fn zone(name: &str) -> Option<Field> {
    if let Some(rest) = name.strip_prefix("ALL-") {
        return Zone::parse(rest).map(Field::AllOf);
    }
    let start = name.get(..14).filter(|start| start.eq_ignore_ascii_case("X-Spam-Relays-"))?;
    name.get(start.len()..).and_then(Zone::parse).map(Field::Relays)
}

/// Fields in which no encoded word may stand, so that what looks like one is meant as it is written.
fn never_encoded(name: &[u8]) -> bool {
    const NAMES: [&str; 8] = [
        "received",
        "message-id",
        "date",
        "resent-message-id",
        "resent-date",
        "mime-version",
        "references",
        "in-reply-to",
    ];
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
        || name.get(..5).is_some_and(|head| head.eq_ignore_ascii_case(b"list-"))
}

/// Folds become one blank, the ends are trimmed (RFC 5322 section 2.2.3).
pub(crate) fn unfold(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    let mut lines = value.split(|octet| *octet == b'\n');
    if let Some(first) = lines.next() {
        out.extend_from_slice(first.strip_suffix(b"\r").unwrap_or(first));
    }
    for line in lines {
        out.push(b' ');
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        out.extend_from_slice(line.trim_ascii_start());
    }
    out.trim_ascii().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(selector: &str, value: &str) -> String {
        let mut out = Vec::new();
        Selector::parse(selector).unwrap().append(b"X", value.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_field_is_seen_as_the_rule_asks() {
        assert_eq!(seen("Subject", " =?utf-8?Q?=C3=A9?=\r\n  b "), "é b\n");
        assert_eq!(seen("Subject:raw", " a\r\n  b"), " a\n  b\n");
        assert_eq!(seen("From:addr", " Ann <a@x>, b@y"), "a@x\nb@y\n");
        assert_eq!(seen("From:name", " \"=?utf-8?Q?A?=\" <a@x>"), "A\n");
        assert_eq!(seen("ALL", " v"), "X: v\n");
    }

    #[test]
    fn what_cannot_be_seen_yet_is_refused() {
        assert!(Selector::parse("Received:host").is_err());
    }
}
