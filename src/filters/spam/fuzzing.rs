//! Doors for fuzzing into the spam engine: octets in, assertions inside. The targets in `fuzz/` are one line each.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, LazyLock};

pub use super::bayes::fuzzing::learned_words;
use super::relays::Relay;
use super::run::first_reading;
pub use super::text::fuzzing::{spam_fields, spam_page, spam_texts};
use super::view::View;
use super::{Engine, Options, READ_AS_SHOWN, evals, shipped};
use crate::filters::auth::{Auth, AuthResult, Spf};
use crate::filters::dns::{Answer, Answers, Record, RecordKind};
use crate::filters::{Known, Mail, RuleFile, Score};
use crate::mail::{Client, Envelope, Message};

/// Networks of a site, for each value of the first three bits.
static SITES: LazyLock<Vec<Engine>> = LazyLock::new(|| {
    let rules = [
        "",
        "trusted_networks 192.0.2/24\n",
        "internal_networks 192.0.2/24 !192.0.2.1\n",
        "trusted_networks 0/0\ninternal_networks 10/8 2001:db8::/32\n",
        "msa_networks 192.0.2/24\ntrusted_networks 192.0.2/24\n",
        "originating_ip_headers X-Originating-IP X-Y\nenvelope_sender_header X-Y\n",
        "trusted_networks 0/0 ::/0\ninternal_networks 0/0 ::/0\n",
        "trusted_networks !0/0\n",
    ];
    let engine =
        |text: &str| Engine::load(&[RuleFile::built_in("a.cf", text.as_bytes())], &BTreeMap::new());
    rules.into_iter().map(|text| engine(text).0).collect()
});

fn message(octets: &[u8]) -> Message {
    crate::mime::decode(
        bytes::Bytes::copy_from_slice(octets),
        &crate::mime::fuzzing::small_limits(),
    )
}

/// A first octet that chooses the site and the client, then a header: every hop stands on one side of each border, and
/// nothing that a stranger says looks like a word of ours.
pub fn relays(octets: &[u8]) {
    let Some((first, header)) = octets.split_first() else { return };
    let Some(engine) = SITES.get(usize::from(first & 7)) else { return };
    let message = message(header);
    let mut envelope = Envelope::default();
    if first & 8 != 0 {
        let line = header.split(|octet| *octet == b'\n').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line).into_owned();
        envelope.sender.address.clone_from(&line);
        envelope.client = Client {
            address: if first & 16 != 0 { "192.0.2.7" } else { "203.0.113.7" }.parse().ok(),
            name: (first & 32 != 0).then(|| line.clone()),
            helo: Some(line),
            ..Client::default()
        };
    }
    let mail = Mail {
        envelope: &envelope,
        message: &message,
        internal: first & 64 != 0,
        received: jiff::Timestamp::UNIX_EPOCH,
        known: Known::NOTHING,
    };
    let view = View::new(engine, &mail);
    let relays = view.relays();
    let all = relays.trusted.len() + relays.untrusted.len();
    assert_eq!(all, relays.internal.len() + relays.external.len(), "a hop is lost");
    assert!(all <= 201, "{all} hops");
    assert!(relays.internal.iter().all(|relay| relay.internal));
    assert!(relays.external.iter().all(|relay| !relay.internal));
    relays.trusted.iter().chain(&relays.untrusted).for_each(harmless);
    let mut sizes = BTreeMap::new();
    for name in ["Trusted", "Untrusted", "Internal", "External"] {
        for name in [format!("X-Spam-Relays-{name}"), format!("ALL-{}", name.to_uppercase())] {
            let selector = super::text::Selector::parse(&name);
            let text = selector.ok().and_then(|selector| selector.text(&view)).unwrap_or_default();
            sizes.insert(name, text.len());
        }
    }
    // The border's own field belongs to both sides.
    let header = view.header().lines(false).len();
    let size = |name: &str| sizes.get(name).copied().unwrap_or_default();
    for (within, outside) in [("ALL-TRUSTED", "ALL-UNTRUSTED"), ("ALL-INTERNAL", "ALL-EXTERNAL")] {
        assert!(size(within) <= header + 1 && size(outside) <= header + 1, "lines were added");
    }
}

fn harmless(relay: &Relay) {
    let breaks = |octet: &u8| octet.is_ascii_whitespace() || b"\0#[]()<>|\x0b".contains(octet);
    let sender = relay.sender.as_deref().unwrap_or_default();
    for text in [&relay.ip[..], &relay.rdns, &relay.helo, &relay.by, &relay.ident, sender] {
        assert!(!text.iter().any(breaks), "{}", text.escape_ascii());
        assert!(text.len() <= 70 << 10, "{} octets", text.len());
    }
    assert!(!relay.id.iter().any(u8::is_ascii_whitespace), "{}", relay.id.escape_ascii());
    assert!(relay.ip.is_empty() || relay.address.is_some(), "{}", relay.ip.escape_ascii());
}

/// The shipped rules, and one rule for each function that rules can call.
static RULES: LazyLock<Engine> = LazyLock::new(|| {
    let mut text = String::from("trusted_networks 192.0.2/24\nutil_rb_tld com org net test\n");
    for (place, name) in evals::names().enumerate() {
        for (way, arguments) in ["", "'1','2'", "'a.test','b'", "'From','/./'"].iter().enumerate() {
            let rule = format!("T_{place}_{way}");
            text.push_str(&format!("body {rule} eval:{name}({arguments})\nscore {rule} 0.1\n"));
        }
    }
    let mut files = shipped();
    files.push(RuleFile::built_in("z.cf", text.as_bytes()));
    let options = Options { network: true, learned: true, captures: true };
    Engine::load_for(&files, &BTreeMap::new(), options).0
});

/// What the DNS says of a question: the digest of its name decides.
fn answer(name: &str, kind: RecordKind, turn: u8) -> Answer {
    let sum = name.bytes().fold(turn, u8::wrapping_add);
    let record = match kind {
        RecordKind::A => Record::A([127, 0, 0, sum & 15].into()),
        RecordKind::Aaaa => Record::Aaaa(std::net::Ipv6Addr::LOCALHOST),
        RecordKind::Txt => Record::Txt(format!("v=spf1 {name}").into_bytes()),
        RecordKind::Mx | RecordKind::Ns | RecordKind::Ptr => Record::Name(format!("a.{name}")),
    };
    match sum >> 5 {
        0 | 1 => Answer::NoName,
        2 => Answer::NoData,
        3 => Answer::Failed("silence".into()),
        _ => Answer::Records([record].into()),
    }
}

/// A first octet that chooses what the world says, then a mail: questions come to an end, points add up, and what counts
/// is among what hits.
pub fn rated(octets: &[u8]) {
    let Some((first, octets)) = octets.split_first() else { return };
    let message = message(octets);
    let mut envelope = Envelope::default();
    let path = message.value("Return-Path").unwrap_or_default();
    envelope.sender.address = String::from_utf8_lossy(path).trim().to_owned();
    envelope.client.address = if first & 1 != 0 { "203.0.113.7".parse().ok() } else { None };
    let mut known = Known::default();
    if first & 2 != 0 {
        let (domain, why) = ("a.test".to_owned(), String::new());
        let result = if first & 4 != 0 { AuthResult::Pass } else { AuthResult::Fail };
        let spf = Some(Spf { result, domain, why, ..Spf::default() });
        known.auth = Some(Arc::new(Auth { spf, ..Auth::default() }));
    }
    let received = jiff::Timestamp::UNIX_EPOCH;
    let asked = |known: &Known, ask: &mut dyn FnMut(&Mail<'_>)| {
        let (envelope, message) = (&envelope, &message);
        ask(&Mail { envelope, message, internal: first & 8 != 0, received, known });
    };
    let mut answers = Answers::default();
    for round in 0.. {
        let mut wanted = Vec::new();
        asked(&known, &mut |mail| wanted = RULES.questions(mail, &answers));
        if wanted.is_empty() {
            break;
        }
        assert!(round < 8, "questions come to no end");
        assert!(wanted.len() + answers.len() <= 5_000, "{} questions", wanted.len());
        for one in wanted {
            let answer = answer(&one.question.name, one.question.kind, *first);
            answers.insert(one.question, answer);
        }
    }
    known.dns = Some(Arc::new(answers));
    asked(&known, &mut |mail| {
        let outcome = RULES.inspect(mail, None);
        let sum: Score = outcome.hits.iter().map(|hit| hit.score).sum();
        assert_eq!(sum, outcome.score, "points do not add up");
        assert_eq!(outcome.positive + outcome.negative, outcome.score, "two sides differ");
        assert_eq!(RULES.inspect(mail, None), outcome, "two verdicts differ");
        assert!(
            outcome.score >= first_reading(&RULES, mail).score,
            "a second reading lowers the score"
        );
        let every: HashSet<Arc<str>> =
            RULES.every_hit(mail).into_iter().map(|(name, _)| name).collect();
        // What mail readers show besides is not among the texts of the comparison.
        let again = outcome.hits.first().is_some_and(|hit| &*hit.name == READ_AS_SHOWN);
        for hit in outcome.hits.iter().filter(|_| !again) {
            assert!(every.contains(&hit.name), "{} hits only alone", hit.name);
        }
        assert!(RULES.words(mail).len() <= 13_000);
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_octets_make_a_way_that_does_not_hold(
            octets in proptest::collection::vec(any::<u8>(), 0..300),
            site: u8,
            header in "(Received: |\n| |\t|from |by |with |id |;|\\[|\\]|\\(|\\)|<|>|192\\.0\\.2\\.1|10\\.1\\.1\\.1|\
                ::1|helo=|HELO |ident=|IDENT:|a\\.test|x@b\\.test|unknown|envelope-from |Authenticated sender: |\
                ESMTPSA|HTTP|Exim|qmail|local|fetchmail|SquirrelMail|X-Originating-IP: |Return-Path: ){0,80}"
        ) {
            relays(&octets);
            relays(&[&[site], header.as_bytes()].concat());
            relays(&[&[site], b"Received: from ".as_slice(), header.as_bytes()].concat());
        }
    }
}
