//! Which octets of a mail a scanner is asked about: as few as possible, but both views, raw and decoded.

use std::collections::HashSet;

use bytes::Bytes;

use super::session::Job;
use crate::mail::{Message, Part, PartFlag, PartKind};

/// The whole message first, then each decoded part whose octets the scanner would not see in it as they are; equal
/// octets once.
pub(super) fn choose(message: &Message) -> Vec<Job> {
    let raw = Job { part: String::new(), data: message.raw.clone(), digest: None, answer: None };
    let mut seen = HashSet::new();
    let parts = message
        .parts
        .iter()
        .filter(|part| is_asked_about(part, &message.raw) && seen.insert(part.sha256))
        .map(|part| Job {
            part: part.path.clone(),
            data: part.data.clone(),
            digest: Some(part.sha256),
            answer: None,
        });
    let texts = message.parts.iter().filter_map(|part| {
        let data = Bytes::copy_from_slice(wide_text(part)?);
        Some(Job { part: part.path.clone(), data, digest: None, answer: None })
    });
    std::iter::once(raw).chain(parts).chain(texts).collect()
}

/// Text that stands in the raw message as it is was seen there. Anything else that stands there is asked about all
/// the same: a scanner that cuts the message at other places would take a program for a piece of text.
fn is_asked_about(part: &Part, raw: &Bytes) -> bool {
    if part.data.is_empty() || part.kind == PartKind::Multipart {
        return false;
    }
    let is_packed = part.kind == PartKind::Member || part.is(PartFlag::Embedded);
    let is_plain = part.kind == PartKind::Message || part.types.iter().all(|t| t.class == "text");
    is_packed || !is_plain || place_in(raw, &part.data).is_none()
}

/// The text of a part in whose octets no signature of a text could be found.
pub(super) fn wide_text(part: &Part) -> Option<&[u8]> {
    part.text.as_deref().filter(|_| part.wide).map(str::as_bytes)
}

/// Where `data` begins in `raw`, if it is a piece of it and no copy.
pub(super) fn place_in(raw: &Bytes, data: &Bytes) -> Option<usize> {
    let (raw, data) = (raw.as_ptr_range(), data.as_ptr_range());
    (raw.start <= data.start && data.end <= raw.end)
        .then(|| (data.start as usize).saturating_sub(raw.start as usize))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::mail::FileType;

    pub(in super::super) fn part(path: &str, kind: PartKind, data: Bytes) -> Part {
        use sha2::{Digest, Sha256};
        Part {
            path: path.to_owned(),
            parent: None,
            depth: 0,
            kind,
            header_octets: Bytes::new(),
            headers: Vec::new(),
            declared_type: String::new(),
            charset: None,
            disposition: None,
            names: Vec::new(),
            sha256: Sha256::digest(&data).into(),
            data,
            text: None,
            wide: false,
            types: Vec::new(),
            flags: Vec::new(),
        }
    }

    #[test]
    fn a_text_in_utf_16_is_asked_about_in_its_letters_too() {
        let raw =
            Bytes::from_static(b"Content-Type: text/plain; charset=utf-16le\r\n\r\nE\0I\0C\0");
        let mut text = part("1", PartKind::Leaf, raw.slice(raw.len() - 6..));
        text.text = Some("EIC".to_owned());
        text.wide = true;
        let message = Message { raw, parts: vec![text], ..Message::default() };
        let asked = choose(&message);
        assert_eq!(&asked.last().unwrap().data[..], b"EIC");
    }

    #[test]
    fn equal_octets_and_text_seen_in_the_raw_message_are_not_sent_again() {
        let raw = Bytes::from_static(b"Subject: x\r\n\r\nhello, MZ and the rest");
        let exe = FileType { short: "exe-ms", class: "executable", mime: "application/x-dosexec" };
        let text = FileType { short: "txt", class: "text", mime: "text/plain" };
        let mut parts = vec![
            part("0", PartKind::Multipart, Bytes::new()),
            part("1", PartKind::Leaf, raw.slice(14..19)),
            part("2", PartKind::Leaf, Bytes::from_static(b"decoded")),
            part("3", PartKind::Leaf, Bytes::from_static(b"decoded")),
            part("4", PartKind::Leaf, raw.slice(21..23)),
            part("4/a", PartKind::Member, raw.slice(28..)),
            part("5", PartKind::Leaf, Bytes::new()),
            part("6", PartKind::Message, raw.slice(14..30)),
            part("7", PartKind::Message, Bytes::from_static(b"Subject: decoded\r\n\r\n")),
        ];
        parts[1].types.push(text);
        parts[4].types.push(exe);
        let message = Message { raw, parts, ..Message::default() };
        let paths: Vec<_> = choose(&message).into_iter().map(|job| job.part).collect();
        assert_eq!(paths, ["", "2", "4", "4/a", "7"]);
    }
}
