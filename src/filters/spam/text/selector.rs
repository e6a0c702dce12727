//! Header fields as rules name them: `Subject`, `From:addr`, `ALL`, `ToCc`, `Received:raw`.

use std::net::IpAddr;
use std::sync::LazyLock;

use regex::bytes::Regex;

use crate::filters::spam::relays::Way;
use crate::filters::spam::view::View;

use super::header::{Header, unfold_raw};
use super::parts::Part;
use super::uri::Boundaries;
use super::{address, hosts, perl, words};

/// Octets of one header text that are looked at.
const TEXT_MAX: usize = 256 * 1024;

/// What a rule looks at in the header.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::filters::spam) struct Selector {
    pub(in crate::filters::spam) field: Field,
    raw: bool,
    form: Form,
    pick: Pick,
    host: Host,
    ip: Ip,
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
    /// The mail's way from host to host, or the header as far as hosts of a part of it wrote it.
    Way(Way),
    /// Fields of this name, in lower case.
    Named(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Form {
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Host {
    No,
    /// The first name of a host in it.
    Whole,
    /// Of that, what its owner registered.
    Domain,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Ip {
    No,
    /// The first address in it.
    Yes,
    /// The same, its parts in reverse.
    Reverse,
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
            "MESSAGEID" => Field::MessageId,
            _ if name.eq_ignore_ascii_case("ToCc") => Field::ToCc,
            _ if name.eq_ignore_ascii_case("EnvelopeFrom") => Field::EnvelopeFrom,
            _ => match Way::parse(name) {
                Some(way) => Field::Way(way),
                None => Field::Named(name.to_ascii_lowercase()),
            },
        };
        let mut selector = Self {
            field,
            raw: false,
            form: Form::Whole,
            pick: Pick::All,
            host: Host::No,
            ip: Ip::No,
        };
        for word in words {
            match word {
                "raw" => selector.raw = true,
                "addr" => selector.form = Form::Address,
                "name" => selector.form = Form::Name,
                "first" => selector.pick = Pick::First,
                "last" => selector.pick = Pick::Last,
                "host" if selector.host == Host::No => selector.host = Host::Whole,
                "host" => {}
                "domain" => selector.host = Host::Domain,
                "ip" => selector.ip = Ip::Yes,
                "revip" => selector.ip = Ip::Reverse,
                _ => return Err(format!("needs the header modifier `:{word}`")),
            }
        }
        Ok(selector)
    }

    /// True if it has another modifier than `:raw`.
    pub(in crate::filters::spam) fn has_form(&self) -> bool {
        let Self { field: _, raw: _, form, pick, host, ip } = self;
        (*form, *pick, *host, *ip) != (Form::Whole, Pick::All, Host::No, Ip::No)
    }

    /// The name in lower case, if it is the text of fields of one name.
    pub(in crate::filters::spam) fn only_field(&self) -> Option<&str> {
        match &self.field {
            Field::Named(name) => Some(name),
            Field::All | Field::ToCc | Field::MessageId | Field::EnvelopeFrom | Field::Way(_) => {
                None
            }
        }
    }

    /// The text of a mail; `None` if there is no such field.
    pub(in crate::filters::spam) fn text(&self, view: &View<'_>) -> Option<Vec<u8>> {
        let header = view.header();
        let values = match &self.field {
            Field::All => return self.all(header),
            Field::EnvelopeFrom => view.relays().sender.clone().into_iter().collect(),
            Field::Way(way) => vec![way.text(view, self.raw)?],
            Field::ToCc => self.values(header, &[b"to", b"cc"]),
            Field::MessageId => {
                const NAMES: [&[u8]; 4] = [
                    b"x-message-id",
                    b"resent-message-id",
                    b"x-original-message-id",
                    b"message-id",
                ];
                let mut values = self.values(header, &NAMES);
                values.retain(|value| !value.is_empty());
                values
            }
            Field::Named(name) => self.values(header, &[name.as_bytes()]),
        };
        self.refine(values, &view.engine.tables.links.boundaries)
    }

    /// The whole header. Of `:first` and its like SpamAssassin takes no notice here.
    fn all(&self, header: &Header) -> Option<Vec<u8>> {
        if !self.raw {
            let lines = header.lines(false);
            return (!lines.is_empty()).then_some(lines);
        }
        // The empty line behind the header does not belong to it, nor does what stands before the first field.
        let text = header.pristine.strip_suffix(b"\n").filter(|text| text.ends_with(b"\n"));
        let mut text = text.unwrap_or(&header.pristine);
        while matches!(text.first(), Some(b' ' | b'\t')) {
            text = super::header::first_line(text).1;
        }
        (!text.is_empty() && text != b"\n").then(|| text.to_vec())
    }

    fn values(&self, header: &Header, names: &[&[u8]]) -> Vec<Vec<u8>> {
        // Addresses are read from what was written; for the fields that stand for several others, they are not.
        let several = !matches!(self.field, Field::Named(_));
        let mut out = Vec::new();
        for field in names.iter().flat_map(|name| header.all(name)) {
            out.push(if self.raw && several {
                unfold_raw(&field.raw)
            } else if self.raw || (self.form != Form::Whole && !several) {
                field.raw.clone()
            } else {
                [field.decoded.as_slice(), b"\n"].concat()
            });
        }
        out
    }

    /// What the modifiers make of the values, joined.
    fn refine(&self, mut values: Vec<Vec<u8>>, boundaries: &Boundaries) -> Option<Vec<u8>> {
        match self.pick {
            Pick::All => {}
            Pick::First => values.truncate(1),
            Pick::Last => {
                let last = values.pop();
                values.clear();
                values.extend(last);
            }
        }
        match self.form {
            Form::Whole => {}
            Form::Address => {
                let boxes = values.iter().flat_map(|value| address::read(value));
                values = boxes.filter_map(|one| one.address).collect();
            }
            Form::Name => {
                let boxes = values.iter().flat_map(|value| address::read(value));
                let names = boxes.filter_map(|one| one.phrase);
                values = if self.raw {
                    names.collect()
                } else {
                    names.map(|name| clean_name(&words::decode(&name, b""))).collect()
                };
            }
        }
        if self.host != Host::No {
            values = values.iter().filter_map(|value| self.host_of(value, boundaries)).collect();
        } else if self.ip != Ip::No {
            let reverse = self.ip == Ip::Reverse;
            values = values.iter().filter_map(|value| first_ip(value, reverse)).collect();
        }
        let first = values.first()?;
        let between: &[u8] = if first.ends_with(b"\n") { b"" } else { b"\n" };
        let mut text = values.join(between);
        text.truncate(TEXT_MAX);
        Some(text)
    }

    fn host_of(&self, value: &[u8], boundaries: &Boundaries) -> Option<Vec<u8>> {
        let host = match self.form {
            Form::Address => hosts::of_address(value),
            Form::Whole | Form::Name => hosts::in_text(value, boundaries),
        }?;
        if self.host == Host::Whole {
            return Some(host);
        }
        let host = String::from_utf8_lossy(&host).to_ascii_lowercase();
        Some(boundaries.registered(&host).into_bytes())
    }

    /// The text of a part's own field of that name, of the last one if there are more; `None` if it has none.
    pub(in crate::filters::spam) fn of_part(&self, part: &Part) -> Option<Vec<u8>> {
        match &self.field {
            Field::All => Some(part.header.lines(self.raw)),
            Field::Named(name) => {
                let field = part.header.all(name.as_bytes()).next_back()?;
                Some(if self.raw {
                    field.raw.clone()
                } else {
                    [field.decoded.as_slice(), b"\n"].concat()
                })
            }
            // Names that stand for several fields mean nothing in parts.
            Field::ToCc | Field::MessageId | Field::EnvelopeFrom | Field::Way(_) => None,
        }
    }

    /// The text if this were the field's value.
    pub(in crate::filters::spam) fn of_example(&self, value: &[u8]) -> Vec<u8> {
        if matches!(self.field, Field::All | Field::Way(_)) {
            return value.to_vec();
        }
        let line = [b"X:", value, b"\n\n"].concat();
        let (mut header, _) = Header::read(&line);
        let name: &[u8] = match &self.field {
            Field::Named(name) => name.as_bytes(),
            Field::MessageId => b"message-id",
            Field::All | Field::Way(_) | Field::ToCc | Field::EnvelopeFrom => b"to",
        };
        for field in &mut header.fields {
            field.name = name.to_vec();
        }
        // Without any list, every word may be a domain of the root.
        self.refine(self.values(&header, &[name]), &Boundaries::default()).unwrap_or_default()
    }
}

/// White space becomes single blanks, outer ones and one pair of single quotes fall away.
fn clean_name(name: &[u8]) -> Vec<u8> {
    let words = name.split(|octet| perl::is_space(*octet)).filter(|word| !word.is_empty());
    let clean = words.collect::<Vec<_>>().join(&b' ');
    if clean.is_empty() {
        return name.to_vec();
    }
    let inside = clean.strip_prefix(b"'").and_then(|rest| rest.strip_suffix(b"'"));
    inside.map_or_else(|| clean.clone(), <[u8]>::to_vec)
}

/// The first IP address in a text.
fn first_ip(text: &[u8], reverse: bool) -> Option<Vec<u8>> {
    static WORD: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"[0-9a-fA-F:.]{2,45}").ok());
    let words = WORD.as_ref()?.find_iter(text);
    let mut addresses = words.filter_map(|word| {
        let word = std::str::from_utf8(word.as_bytes()).ok()?;
        word.trim_end_matches('.').parse::<IpAddr>().ok()
    });
    let address = addresses.next()?;
    Some(match (address, reverse) {
        (address, false) => address.to_string().into_bytes(),
        (IpAddr::V4(address), true) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}").into_bytes()
        }
        (IpAddr::V6(address), true) => {
            let digits = address.octets().into_iter().rev();
            let digits = digits.flat_map(|octet| [octet & 15, octet >> 4]);
            let digits: Vec<String> = digits.map(|digit| format!("{digit:x}")).collect();
            digits.join(".").into_bytes()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(selector: &str, value: &str) -> String {
        let selector = Selector::parse(selector).unwrap();
        String::from_utf8(selector.of_example(value.as_bytes())).unwrap()
    }

    #[test]
    fn a_field_is_seen_as_the_rule_asks() {
        assert_eq!(seen("Subject", " =?utf-8?Q?=C3=A9?=\n  b "), "é b\n");
        assert_eq!(seen("Subject:raw", " a\n  b"), " a\n  b\n");
        assert_eq!(seen("From:addr", " Ann <a@x>, b@y"), "a@x\nb@y");
        assert_eq!(seen("From:name", " \"=?utf-8?Q?A?=\" <a@x>"), "A");
        assert_eq!(seen("From:name", " \"'A  B'\" <a@x>"), "A B");
        assert_eq!(seen("ALL", "X: v\n"), "X: v\n");
        assert_eq!(seen("X-Originating-IP:ip", " [192.0.2.1] x"), "192.0.2.1");
        assert_eq!(seen("X-Originating-IP:revip", " [192.0.2.1]"), "1.2.0.192");
        assert_eq!(
            seen("From:addr:host", " Ann <a@Mail.Example.org>, b@y.test"),
            "Mail.Example.org\ny.test"
        );
        assert_eq!(seen("From:addr:domain", " Ann <a@Mail.Example.org>"), "example.org");
        assert_eq!(seen("From:host", " x.org <a@mail.example.org>"), "mail.example.org");
        assert_eq!(seen("Received:domain", " from mx.example.org by x"), "example.org");
        assert_eq!(seen("Subject:host", " nothing"), "");
    }

    #[test]
    fn what_cannot_be_seen_yet_is_refused() {
        assert!(Selector::parse("Received:sideways").is_err());
    }
}
