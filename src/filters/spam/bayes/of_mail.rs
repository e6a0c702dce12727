//! [`Inputs`] of a mail as the rules see it.

use super::inputs::{Inputs, PartFacts};
use crate::filters::spam::text::Segments;
use crate::filters::spam::view::View;
use crate::mail::PartKind;

/// Parts looked at.
const PARTS_MAX: usize = 60;
/// Links looked at.
const LINKS_MAX: usize = 1_000;
/// Octets of a link.
const LINK_BYTES_MAX: usize = 500;

impl Inputs {
    /// Gathers them.
    pub(in crate::filters::spam) fn of(view: &View<'_>) -> Self {
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        let fields = view.header().fields.iter();
        let headers: Vec<(String, String)> =
            fields.map(|field| (text(&field.name), text(&field.decoded))).collect();
        let mut sender = view.mail.envelope.sender.address.clone();
        if sender.is_empty() {
            let path = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("return-path"));
            sender = path.map_or(String::new(), |(_, value)| value.clone());
        }
        Self {
            headers,
            sender,
            visible: texts(view.visible()),
            invisible: texts(view.invisible()),
            links: links(view),
            parts: parts(view),
        }
    }
}

fn texts(text: &Segments) -> Vec<String> {
    (0..text.len()).map(|place| String::from_utf8_lossy(text.get(place).0).into_owned()).collect()
}

fn links(view: &View<'_>) -> Vec<String> {
    let cut =
        |url: &[u8]| String::from_utf8_lossy(url.get(..LINK_BYTES_MAX).unwrap_or(url)).into_owned();
    view.links().all().iter().take(LINKS_MAX).map(|link| cut(&link.raw)).collect()
}

fn parts(view: &View<'_>) -> Vec<PartFacts> {
    let all = view.mail.message.parts.iter().take(PARTS_MAX);
    all.map(|part| {
        let is_text = part.declared_type.starts_with("text/");
        let content = matches!(part.kind, PartKind::Leaf | PartKind::Member);
        let digest = if is_text || !content || part.data.is_empty() {
            String::new()
        } else {
            part.sha256.iter().take(8).map(|octet| format!("{octet:02x}")).collect()
        };
        let extension = part.names.first().and_then(|name| name.rsplit_once('.'));
        let extension = extension.map_or("", |(_, end)| end).trim().to_lowercase();
        PartFacts {
            kind: part.declared_type.clone(),
            charset: part.charset.clone().unwrap_or_default(),
            extension,
            digest,
        }
    })
    .collect()
}
