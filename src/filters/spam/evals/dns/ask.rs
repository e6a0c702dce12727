//! `askdns`: questions whose names are made of facts of the mail.

use std::collections::BTreeSet;

use crate::filters::auth::AuthResult;
use crate::filters::dns::{Answer, Question, RecordKind, reversed};
use crate::filters::dnsbl::is_host;
use crate::filters::spam::view::View;

use super::inputs;
use super::links::Links;
use super::test::Test;

/// Questions of one rule about one mail.
const NAMES_MAX: usize = 20;

/// A rule: a name with facts in it, and a test of the answer.
#[derive(Debug)]
pub(super) struct AskRule {
    template: String,
    kind: RecordKind,
    test: Test,
}

impl AskRule {
    /// Reads `RULE template [type [test]]`.
    pub(super) fn read(text: &str) -> Result<(String, Self), String> {
        let mut rest = text.trim();
        let mut word = || {
            let end = rest.find([' ', '\t']).unwrap_or(rest.len());
            let (word, behind) = rest.split_at_checked(end).unwrap_or((rest, ""));
            rest = behind.trim_start();
            word
        };
        let (name, template) = (word(), word());
        let kind = match word().to_ascii_uppercase().as_str() {
            "" | "A" => RecordKind::A,
            "AAAA" => RecordKind::Aaaa,
            "TXT" => RecordKind::Txt,
            "MX" => RecordKind::Mx,
            "NS" => RecordKind::Ns,
            "PTR" => RecordKind::Ptr,
            other => return Err(format!("`askdns` cannot ask for {other} here")),
        };
        if name.is_empty() || template.is_empty() {
            return Err("`askdns` needs a rule and a name to ask for".to_owned());
        }
        if rest.starts_with('[') {
            return Err("`askdns` cannot test for a code of the answer here".to_owned());
        }
        let test = Test::read_sub(rest)?;
        Ok((name.to_owned(), Self { template: template.to_owned(), kind, test }))
    }

    pub(super) fn takes(&self, answer: &Answer) -> Option<String> {
        self.test.takes(answer)
    }

    /// What it asks about a mail; nothing if one of the facts is missing.
    pub(super) fn questions(&self, view: &View<'_>, links: &Links) -> Vec<Question> {
        let mut names = BTreeSet::from([self.template.clone()]);
        for tag in TAGS {
            let place = format!("_{tag}_");
            if !self.template.contains(&place) {
                continue;
            }
            let values = values(tag, view, links).unwrap_or_default();
            let filled = |name: &String| {
                values.iter().map(|value| name.replace(&place, value)).collect::<Vec<_>>()
            };
            names = names.iter().flat_map(filled).take(NAMES_MAX).collect();
        }
        // A place that is still open has no value here.
        let whole = |name: &String| !name.contains("_.") && !name.ends_with('_');
        let plain = |name: String| name.trim_matches('.').to_lowercase();
        let names = names.into_iter().filter(whole).map(plain).filter(|name| is_host(name));
        names.map(|name| Question::new(&name, self.kind)).collect()
    }
}

const TAGS: [&str; 9] = [
    "AUTHORDOMAIN",
    "SENDERDOMAIN",
    "DKIMDOMAIN",
    "LASTEXTERNALHELO",
    "LASTEXTERNALIP",
    "LASTEXTERNALRDNS",
    "LASTEXTERNALREVIP",
    "URIDOMAINS",
    "URIHOSTS",
];

/// The values of a fact; `None`: there is no such fact.
pub(super) fn values(tag: &str, view: &View<'_>, links: &Links) -> Option<BTreeSet<String>> {
    let last = || inputs::last_external(view);
    let address = || last().and_then(|relay| relay.address);
    Some(match tag {
        "AUTHORDOMAIN" => inputs::names_in(view, "From").into_iter().collect(),
        "SENDERDOMAIN" => inputs::names_in(view, "EnvelopeFrom").into_iter().take(1).collect(),
        "DKIMDOMAIN" => {
            let auth = view.mail.known.auth.as_deref();
            let passing = auth.into_iter().flat_map(|auth| &auth.dkim);
            passing
                .filter(|one| one.result == AuthResult::Pass)
                .map(|one| one.domain.clone())
                .collect()
        }
        "LASTEXTERNALHELO" => {
            last().and_then(|relay| inputs::name_of(&relay.helo)).into_iter().collect()
        }
        "LASTEXTERNALRDNS" => {
            last().and_then(|relay| inputs::name_of(&relay.rdns)).into_iter().collect()
        }
        "LASTEXTERNALIP" => address().map(|address| address.to_string()).into_iter().collect(),
        "LASTEXTERNALREVIP" => address().map(reversed).into_iter().collect(),
        "URIDOMAINS" => links.hosts(view).iter().map(|(_, domain)| domain.clone()).collect(),
        "URIHOSTS" => links.hosts(view).iter().map(|(host, _)| host.clone()).collect(),
        _ => return None,
    })
}
