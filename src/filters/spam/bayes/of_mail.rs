//! [`Inputs`] of a mail as the rules see it.

use super::inputs::{Inputs, PartFacts};
use crate::filters::spam::text::{Target, decoded_value};
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
        let message = view.mail.message;
        let headers: Vec<(String, String)> = message
            .headers
            .iter()
            .map(|field| {
                let name = String::from_utf8_lossy(message.octets(&field.name)).into_owned();
                let value = decoded_value(&name, message.octets(&field.value));
                (name, value)
            })
            .collect();
        let mut sender = view.mail.envelope.sender.address.clone();
        if sender.is_empty() {
            let path = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("return-path"));
            sender = path.map_or(String::new(), |(_, value)| value.clone());
        }
        Self {
            headers,
            sender,
            visible: visible(view),
            invisible: Vec::new(),
            links: links(view),
            parts: parts(view),
        }
    }
}

fn visible(view: &View<'_>) -> Vec<String> {
    let text = Target::Body.text(view.mail);
    (0..text.len()).map(|place| String::from_utf8_lossy(text.get(place).0).into_owned()).collect()
}

fn links(view: &View<'_>) -> Vec<String> {
    let cut = |url: &str| url.get(..url.floor_char_boundary(LINK_BYTES_MAX)).map(str::to_owned);
    view.mail.message.links.iter().take(LINKS_MAX).filter_map(|link| cut(&link.url)).collect()
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
