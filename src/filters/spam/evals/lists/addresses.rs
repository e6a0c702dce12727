//! Senders and recipients on lists.

use std::net::IpAddr;

use crate::filters::auth::Auth;
use crate::filters::spam::relays::{self, Relay};
use crate::filters::spam::view::View;

use super::{Answer, Arguments, Call, Entry, Function, domain, fields, lists};

pub(super) const FUNCTIONS: &[Function] = &[
    ("check_from_in_welcomelist", |_| Ok(Call::new(|view| welcome(view) == Listed::Yes))),
    ("check_from_in_whitelist", |_| Ok(Call::new(|view| welcome(view) == Listed::Yes))),
    ("check_forged_in_welcomelist", |_| Ok(Call::new(forged))),
    ("check_forged_in_whitelist", |_| Ok(Call::new(forged))),
    ("check_from_in_default_welcomelist", |_| Ok(Call::new(|v| default_welcome(v) == Listed::Yes))),
    ("check_from_in_default_whitelist", |_| Ok(Call::new(|v| default_welcome(v) == Listed::Yes))),
    ("check_forged_in_default_welcomelist", |_| Ok(Call::new(forged_default))),
    ("check_forged_in_default_whitelist", |_| Ok(Call::new(forged_default))),
    ("check_from_in_blocklist", |_| Ok(Call::new(|view| from(view, "blocklist_from")))),
    ("check_from_in_blacklist", |_| Ok(Call::new(|view| from(view, "blocklist_from")))),
    ("check_to_in_blocklist", |_| Ok(Call::new(|view| to(view, "blocklist_to")))),
    ("check_to_in_blacklist", |_| Ok(Call::new(|view| to(view, "blocklist_to")))),
    ("check_to_in_welcomelist", |_| Ok(Call::new(|view| to(view, "welcomelist_to")))),
    ("check_to_in_whitelist", |_| Ok(Call::new(|view| to(view, "welcomelist_to")))),
    ("check_to_in_more_spam", |_| Ok(Call::new(|view| to(view, "more_spam_to")))),
    ("check_to_in_all_spam", |_| Ok(Call::new(|view| to(view, "all_spam_to")))),
    ("check_from_in_list", from_in_list),
    ("check_to_in_list", to_in_list),
    ("check_replyto_in_list", reply_to_in_list),
    ("check_mailfrom_matches_rcvd", |_| Ok(Call::new(sender_fits_way))),
    ("check_for_spf_welcomelist_from", |_| Ok(Call::new(|view| spf_welcome(view, "")))),
    ("check_for_spf_whitelist_from", |_| Ok(Call::new(|view| spf_welcome(view, "")))),
    ("check_for_def_spf_welcomelist_from", |_| Ok(Call::new(|view| spf_welcome(view, "def_")))),
    ("check_for_def_spf_whitelist_from", |_| Ok(Call::new(|view| spf_welcome(view, "def_")))),
    ("check_for_dkim_welcomelist_from", |_| Ok(Call::new(|view| dkim_welcome(view, "")))),
    ("check_for_dkim_whitelist_from", |_| Ok(Call::new(|view| dkim_welcome(view, "")))),
    ("check_for_def_dkim_welcomelist_from", |_| Ok(Call::new(|view| dkim_welcome(view, "def_")))),
    ("check_for_def_dkim_whitelist_from", |_| Ok(Call::new(|view| dkim_welcome(view, "def_")))),
];

/// Received fields, newest first, that may name the recipient.
const RECEIVED_MAX: usize = 3;

/// The addresses a mail says it comes from: `Resent-From` if there is one, else of all fields that name a sender, and
/// the envelope's.
pub(in crate::filters::spam) fn senders(view: &View<'_>) -> Vec<Vec<u8>> {
    view.cells.senders.get_or_init(|| senders_of(view)).clone()
}

fn senders_of(view: &View<'_>) -> Vec<Vec<u8>> {
    let resent = fields::addresses(view, "Resent-From:first");
    if !resent.is_empty() {
        return distinct(resent);
    }
    let names = ["From", "Envelope-Sender", "Resent-Sender", "X-Envelope-From", "EnvelopeFrom"];
    let mut all: Vec<Vec<u8>> =
        names.iter().flat_map(|name| fields::addresses(view, name)).collect();
    for address in &mut all {
        address.dedup_by(|next, kept| *next == b'.' && *kept == b'.');
    }
    distinct(all)
}

/// The addresses a mail says it goes to: `Resent-To` and `Resent-Cc` if there are any, else of all fields that name a
/// recipient, and what the newest Received fields say; and the envelope's recipient, if it is one alone.
pub(in crate::filters::spam) fn recipients(view: &View<'_>) -> Vec<Vec<u8>> {
    const NAMES: [&str; 12] = [
        "To",
        "Apparently-To",
        "Delivered-To",
        "Envelope-Recipients",
        "Apparently-Resent-To",
        "X-Envelope-To",
        "Envelope-To",
        "X-Delivered-To",
        "X-Original-To",
        "X-Rcpt-To",
        "X-Real-To",
        "Cc",
    ];
    let mut all: Vec<Vec<u8>> = Vec::new();
    if let [only] = view.mail.envelope.recipients.as_slice() {
        all.push(only.address().as_bytes().to_vec());
    }
    let mut resent = fields::addresses(view, "Resent-To:first");
    resent.extend(fields::addresses(view, "Resent-Cc:first"));
    if !resent.is_empty() {
        all.extend(resent);
        return distinct(all);
    }
    let received = fields::value(view, "Received");
    let lines = received.split(|octet| *octet == b'\n').take(RECEIVED_MAX);
    all.extend(lines.filter_map(received_for));
    all.extend(NAMES.iter().flat_map(|name| fields::addresses(view, name)));
    distinct(all)
}

/// `for <a@b>;`
fn received_for(line: &[u8]) -> Option<Vec<u8>> {
    let mut places = memchr::memmem::find_iter(line, b" for ");
    places.find_map(|place| {
        let rest = line.get(place + 5..)?;
        let rest = rest.strip_prefix(b"<").unwrap_or(rest);
        let end = rest.iter().position(|octet| fields::is_blank(*octet)).unwrap_or(rest.len());
        let word = rest.get(..end)?.strip_suffix(b";")?;
        let word = word.strip_suffix(b">").unwrap_or(word);
        let at = memchr::memchr(b'@', word).filter(|at| *at > 0)?;
        let host = std::str::from_utf8(word.get(at + 1..)?).ok()?;
        is_host(host).then(|| word.to_vec())
    })
}

/// Two labels at least, of letters, digits and hyphens.
fn is_host(host: &str) -> bool {
    let host = host.trim_end_matches('.');
    let good = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(&octet))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.contains('.') && host.len() <= 253 && host.split('.').all(good)
}

fn distinct(mut all: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let mut seen = std::collections::HashSet::new();
    all.retain(|address| seen.insert(address.clone()));
    all
}

fn of_list(view: &View<'_>, list: &str, all: Vec<Vec<u8>>) -> Option<String> {
    let found = all.into_iter().find(|address| lists(view).holds(list, address))?;
    Some(fields::shown(&found))
}

fn from(view: &View<'_>, list: &str) -> Option<String> {
    // Most sites have most lists empty.
    if lists(view).entries(list).is_empty() {
        return None;
    }
    of_list(view, list, senders(view))
}

fn to(view: &View<'_>, list: &str) -> Option<String> {
    if lists(view).entries(list).is_empty() {
        return None;
    }
    of_list(view, list, recipients(view))
}

fn list_name(arguments: &Arguments) -> Result<String, String> {
    match arguments.text(0) {
        "" => Err("the name of a list is missing".to_owned()),
        name => Ok(name.replace("whitelist", "welcomelist").replace("blacklist", "blocklist")),
    }
}

fn from_in_list(arguments: &Arguments) -> Result<Call, String> {
    let list = list_name(arguments)?;
    Ok(Call::new(move |view| from(view, &list)))
}

fn to_in_list(arguments: &Arguments) -> Result<Call, String> {
    let list = list_name(arguments)?;
    Ok(Call::new(move |view| to(view, &list)))
}

fn reply_to_in_list(arguments: &Arguments) -> Result<Call, String> {
    let list = list_name(arguments)?;
    Ok(Call::new(move |view| {
        let first = fields::addresses(view, "Reply-To").into_iter().take(1).collect();
        of_list(view, &list, first)
    }))
}

/// What a list says of the senders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listed {
    Yes,
    No,
    /// The address is listed, but comes from another host.
    Elsewhere,
}

fn welcome(view: &View<'_>) -> Listed {
    let mut found = Listed::No;
    for sender in senders(view) {
        if lists(view).holds("welcomelist_from", &sender) {
            return Listed::Yes;
        }
        match brought(view, "welcomelist_from_rcvd", &sender) {
            Listed::Yes => return Listed::Yes,
            Listed::Elsewhere => found = Listed::Elsewhere,
            Listed::No => {}
        }
    }
    found
}

fn default_welcome(view: &View<'_>) -> Listed {
    let mut found = Listed::No;
    for sender in senders(view) {
        match brought(view, "def_welcomelist_from_rcvd", &sender) {
            Listed::Yes => return Listed::Yes,
            Listed::Elsewhere => found = Listed::Elsewhere,
            Listed::No => {}
        }
    }
    found
}

fn forged(view: &View<'_>) -> bool {
    welcome(view) == Listed::Elsewhere && default_welcome(view) == Listed::No
}

fn forged_default(view: &View<'_>) -> bool {
    default_welcome(view) == Listed::Elsewhere && welcome(view) == Listed::No
}

/// The hosts whose names and addresses we believe: the first stranger, or without strangers all.
fn believed<'v>(view: &'v View<'_>) -> &'v [Relay] {
    let relays = view.relays();
    match relays.untrusted.get(..1) {
        Some(first) => first,
        None => &relays.trusted,
    }
}

/// Is the address on the list with a host that brought the mail?
fn brought(view: &View<'_>, list: &str, address: &[u8]) -> Listed {
    let hosts = believed(view);
    if hosts.is_empty() {
        return Listed::No;
    }
    let text = String::from_utf8_lossy(address);
    let mut found = Listed::No;
    let fitting = |entry: &&Entry| entry.glob.fits(&text);
    for entry in lists(view).entries(list).iter().filter(fitting) {
        for wanted in &entry.also {
            if hosts.iter().any(|host| is_host_of(host, wanted)) {
                return Listed::Yes;
            }
            found = Listed::Elsewhere;
        }
    }
    if found == Listed::Elsewhere && lists(view).holds("welcomelist_allows_relays", address) {
        return Listed::No;
    }
    found
}

/// `example.org` (a name, or the end of one), `[192.0.2.1]`, `[192.0.2]`, `[192.0.2.0/24]`, `[2001:db8::]/32`.
fn is_host_of(host: &Relay, wanted: &str) -> bool {
    let Some((inside, behind)) = wanted.strip_prefix('[').and_then(|rest| rest.split_once(']'))
    else {
        let name = String::from_utf8_lossy(&host.rdns).to_ascii_lowercase();
        let before = name.strip_suffix(wanted);
        return before.is_some_and(|before| before.is_empty() || before.ends_with('.'));
    };
    let Some(address) = host.address else { return false };
    let network = format!("{inside}{behind}");
    if network.bytes().all(|octet| octet.is_ascii_digit() || octet == b'.')
        && network.parse::<IpAddr>().is_err()
    {
        // The start of an IPv4 address.
        let start = format!("{}.", network.trim_end_matches('.'));
        return address.to_string().starts_with(&start);
    }
    relays::network_holds(&network, address)
}

/// The domain of the envelope's sender is that of the host that brought the mail.
fn sender_fits_way(view: &View<'_>) -> bool {
    let sender = fields::address(view, "EnvelopeFrom");
    let Some(at) = memchr::memrchr(b'@', &sender).filter(|at| *at > 0) else { return false };
    let host =
        String::from_utf8_lossy(sender.get(at + 1..).unwrap_or_default()).to_ascii_lowercase();
    // A dot with something on each side.
    if !host.get(1..host.len().saturating_sub(1)).is_some_and(|inside| inside.contains('.')) {
        return false;
    }
    let wanted = domain::owned(view, &host);
    believed(view).iter().filter(|relay| !relay.rdns.is_empty()).any(|relay| {
        let name = String::from_utf8_lossy(&relay.rdns).to_ascii_lowercase();
        domain::owned(view, &name) == wanted
    })
}

/// The envelope's sender is on a list that wants SPF to pass.
fn spf_welcome(view: &View<'_>, default: &str) -> Answer {
    let sender = fields::address(view, "EnvelopeFrom");
    if sender.is_empty() {
        return Answer::No;
    }
    let lists = lists(view);
    let names = ["welcomelist_from_spf", "welcomelist_auth"];
    if !names.iter().any(|name| lists.holds(&format!("{default}{name}"), &sender)) {
        return Answer::No;
    }
    match spf_passed(view) {
        Some(passed) => Answer::from(passed.then(|| fields::shown(&sender))),
        None => Answer::NotRun("SPF was not asked".to_owned()),
    }
}

/// True if SPF passed for the envelope's sender; `None`: not known.
fn spf_passed(view: &View<'_>) -> Option<bool> {
    view.mail.known.auth.as_deref().map(Auth::is_spf_pass)
}

/// An author is on a list that wants a signature of his domain, or of the one named there.
fn dkim_welcome(view: &View<'_>, default: &str) -> Answer {
    let mut wanted = false;
    for author in fields::addresses(view, "From") {
        let text = String::from_utf8_lossy(&author).to_ascii_lowercase();
        let own = text.rsplit_once('@').map_or("", |(_, host)| host).to_owned();
        // What a stranger wrote is a name, never a pattern.
        if own.starts_with(['.', '*']) {
            continue;
        }
        let listed = |list: &str| lists(view).entries(&format!("{default}{list}"));
        let signers = listed("welcomelist_from_dkim").iter().filter(|entry| entry.glob.fits(&text));
        let mut domains: Vec<String> = signers
            .flat_map(|entry| &entry.also)
            .map(|domain| if domain.is_empty() { own.clone() } else { domain.clone() })
            .collect();
        if listed("welcomelist_auth").iter().any(|entry| entry.glob.fits(&text)) {
            domains.push(own);
        }
        for domain in domains {
            match signed_by(view, &domain) {
                Some(true) => return Answer::Hit(text),
                Some(false) => {}
                None => wanted = true,
            }
        }
    }
    if wanted { Answer::NotRun("DKIM was not asked".to_owned()) } else { Answer::No }
}

/// True if the mail has a valid signature of that domain; `None`: not known.
fn signed_by(view: &View<'_>, domain: &str) -> Option<bool> {
    // Of an address only the domain counts.
    let domain = domain.rsplit_once('@').map_or(domain, |(_, domain)| domain);
    view.mail.known.auth.as_deref().map(|auth| auth.is_signed_by(domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_fit_by_name_or_address() {
        let host = Relay {
            ip: b"192.0.2.7".to_vec(),
            address: "192.0.2.7".parse().ok(),
            rdns: b"MX.example.org".to_vec(),
            ..Relay::default()
        };
        for (wanted, want) in [
            ("example.org", true),
            ("mx.example.org", true),
            ("ample.org", false),
            ("[192.0.2.7]", true),
            ("[192.0.2]", true),
            ("[192.0.2.]", true),
            ("[192.0.20]", false),
            ("[192.0.2.0/24]", true),
            ("[192.0.2.0]/28", true),
            ("[2001:db8::]/32", false),
        ] {
            assert_eq!(is_host_of(&host, wanted), want, "{wanted}");
        }
    }

    #[test]
    fn received_fields_name_a_recipient() {
        for (line, want) in [
            ("from a by b for <x@example.org>; Mon", Some("x@example.org")),
            ("from a by b for x@example.org; Mon", Some("x@example.org")),
            ("from a by b for <x@localhost>; Mon", None),
            ("from a by b for <x@example.org> id 12; Mon", None),
        ] {
            let got = received_for(line.as_bytes()).map(|text| String::from_utf8(text).unwrap());
            assert_eq!(got.as_deref(), want, "{line}");
        }
    }

    /// What a rule with this function says of a mail from `a@listed.test`; `auth`: domains that SPF passed for, that
    /// signed.
    fn welcomed(list: &str, function: &str, auth: Option<(&str, &str)>) -> (usize, usize) {
        use crate::filters::auth::{AuthResult, Dkim, Spf};
        use crate::filters::{Known, Mail, RuleFile};
        let rules = format!("{list}\nheader A eval:{function}()\nscore A -100\n");
        let file = RuleFile::built_in("t.cf", rules.as_bytes());
        let (engine, mistakes) = crate::filters::spam::Engine::load(&[file], &Default::default());
        assert_eq!(mistakes, []);
        let raw = b"From: A <a@listed.test>\r\nSubject: x\r\n\r\nx\r\n";
        let limits = crate::mime::Limits::default();
        let message = crate::mime::decode(bytes::Bytes::from_static(raw), &limits);
        let mut envelope = crate::mail::Envelope::default();
        envelope.sender.address = "a@listed.test".into();
        let made = |(sender, signer): (&str, &str)| Auth {
            spf: Some(Spf {
                result: if sender == "listed.test" { AuthResult::Pass } else { AuthResult::Fail },
                ..Spf::default()
            }),
            dkim: vec![Dkim { result: AuthResult::Pass, domain: signer.into(), ..Dkim::default() }],
            ..Auth::default()
        };
        let auth = auth.map(|auth| std::sync::Arc::new(made(auth)));
        let known = Known { auth, ..Known::default() };
        let mail = Mail { known: &known, ..Mail::alone(&envelope, &message) };
        let outcome = engine.inspect(&mail, None);
        (outcome.hits.len(), outcome.not_run.len())
    }

    #[test]
    fn a_listed_sender_is_welcome_only_with_proof() {
        let (hit, nothing, not_run) = ((1, 0), (0, 0), (0, 1));
        let spf = ["check_for_spf_welcomelist_from", "check_for_def_spf_welcomelist_from"];
        let dkim = ["check_for_dkim_whitelist_from", "check_for_def_dkim_whitelist_from"];
        for (prefix, place) in [("", 0), ("def_", 1)] {
            for (list, by_spf, by_dkim) in [
                ("welcomelist_auth *@listed.test", true, true),
                ("welcomelist_from_spf *@listed.test", true, false),
                ("whitelist_from_dkim *@listed.test", false, true),
            ] {
                let list = format!("{prefix}{list}");
                let want = |listed: bool, want| if listed { want } else { nothing };
                for (auth, spf_says, dkim_says) in [
                    // Nobody asked: the bonus is not given, and that is told.
                    (None, not_run, not_run),
                    (Some(("listed.test", "listed.test")), hit, hit),
                    // Somebody else writes under that name.
                    (Some(("other.test", "other.test")), nothing, nothing),
                    (Some(("listed.test", "not-listed.test")), hit, nothing),
                    (Some(("other.test", "listed.test.evil.test")), nothing, nothing),
                ] {
                    let got = welcomed(&list, spf[place], auth);
                    assert_eq!(got, want(by_spf, spf_says), "{list} {auth:?}");
                    let got = welcomed(&list, dkim[place], auth);
                    assert_eq!(got, want(by_dkim, dkim_says), "{list} {auth:?}");
                }
                // The other list says nothing.
                let proof = Some(("listed.test", "listed.test"));
                assert_eq!(welcomed(&list, spf[1 - place], proof), nothing, "{list}");
                assert_eq!(welcomed(&list, dkim[1 - place], proof), nothing, "{list}");
            }
        }
        let other = "welcomelist_from_dkim *@listed.test signer.test";
        let by = |signer| welcomed(other, dkim[0], Some(("other.test", signer)));
        assert_eq!((by("signer.test"), by("listed.test")), (hit, nothing));
        assert_eq!(welcomed("welcomelist_auth *@x.test", spf[0], None), nothing);
    }
}
