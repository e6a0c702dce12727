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

/// All forms of links as rules see them, then links of parts that are no text. Domains of signatures are none.
fn links(view: &View<'_>) -> Vec<String> {
    let cut =
        |url: &[u8]| String::from_utf8_lossy(url.get(..LINK_BYTES_MAX).unwrap_or(url)).into_owned();
    let seen = view.links().segments();
    let elsewhere = view.links().all().iter().filter(|link| link.elsewhere);
    let all = (0..seen.len()).map(|place| cut(seen.get(place).0));
    all.chain(elsewhere.map(|link| cut(&link.raw))).take(LINKS_MAX).collect()
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::filters::spam::Engine;
    use crate::filters::{Mail, RuleFile};
    use crate::mail::Envelope;

    fn inputs(raw: &str, sender: &str) -> Inputs {
        let file = RuleFile::built_in("t.cf", b"util_rb_tld test\n");
        let (engine, mistakes) = Engine::load(&[file], &BTreeMap::new());
        assert_eq!(mistakes, []);
        let raw = bytes::Bytes::from(raw.replace('\n', "\r\n"));
        let message = crate::mime::decode(raw, &crate::mime::Limits::default());
        let mut envelope = Envelope::default();
        envelope.sender.address = sender.into();
        let mail = Mail::alone(&envelope, &message);
        Inputs::of(&View::new(&engine, &mail))
    }

    #[test]
    fn words_come_from_what_is_seen_what_is_hidden_and_where_links_lead() {
        let inputs = inputs(
            "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\nReturn-Path: <p@a.test>\n\
             DKIM-Signature: v=1; d=signer.test; s=x\nContent-Type: text/html\n\n\
             <p>shown <a href=\"http://go.test/%61?x\">here</a><div style=\"display:none\">ham words</div>\n",
            "",
        );
        assert_eq!(inputs.visible.first().map(|text| text.trim_end()), Some("Grüße"), "{inputs:?}");
        let visible = inputs.visible.join(" ");
        assert!(visible.contains("shown") && visible.contains("here"), "{inputs:?}");
        assert!(!visible.contains("ham words"), "{inputs:?}");
        assert!(inputs.invisible.join(" ").contains("ham words"), "{inputs:?}");
        // As it stands, and as readers take it; the signer is no link.
        assert!(inputs.links.contains(&"http://go.test/%61?x".to_owned()), "{inputs:?}");
        assert!(inputs.links.contains(&"http://go.test/a?x".to_owned()), "{inputs:?}");
        assert!(!inputs.links.iter().any(|link| link.contains("signer")), "{inputs:?}");
        assert!(inputs.sender.contains("p@a.test"), "{inputs:?}");
        assert!(inputs.headers.iter().any(|(name, value)| name == "Subject" && value == "Grüße"));
    }

    #[test]
    fn a_flood_of_links_and_parts_is_bounded() {
        let links: String = (0..3_000).map(|n| format!("http://h{n}.test/\n")).collect();
        let inputs = inputs(&format!("Subject: x\n\n{links}"), "a@a.test");
        assert_eq!(inputs.links.len(), LINKS_MAX);
        assert_eq!(inputs.sender, "a@a.test");
        assert!(inputs.parts.len() <= PARTS_MAX);
    }
}
