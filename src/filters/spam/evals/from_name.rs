//! Display names of senders that are addresses themselves, of somebody else.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::bytes::Regex;

use crate::filters::auth::AuthResult;
use crate::filters::spam::rules::Settings;
use crate::filters::spam::text::Glob;
use crate::filters::spam::view::View;
use crate::filters::{Mistake, Severity};

use super::{Arguments, Call, Function, domain, fields, lists};

pub(super) const KEYS: &[&str] = &[
    "fns_add_addrlist",
    "fns_remove_addrlist",
    "fns_extrachars",
    "fns_ignore_dkim",
    "fns_ignore_headers",
    "fns_check",
];

pub(super) const FUNCTIONS: &[Function] = &[
    ("check_fromname_spoof", spoof),
    ("check_fromname_different", |_| Ok(Call::new(|view| hit(view, |name| name.other_address)))),
    ("check_fromname_domain_differ", |_| Ok(Call::new(|view| hit(view, |name| name.other_domain)))),
    ("check_fromname_owners_differ", |_| Ok(Call::new(|view| hit(view, |name| name.other_owner)))),
    ("check_fromname_contains_email", |_| {
        Ok(Call::new(|view| hit(view, |name| !name.address.is_empty())))
    }),
    ("check_fromname_equals_to", |_| Ok(Call::new(|view| hit(view, |name| name.is_recipient)))),
    ("check_fromname_equals_replyto", |_| Ok(Call::new(|view| hit(view, |name| name.is_reply_to)))),
];

/// What rule files say.
#[derive(Debug)]
pub(in crate::filters::spam) struct Names {
    /// Owners, with the addresses that are theirs.
    owners: BTreeMap<String, Vec<(String, Glob)>>,
    /// Characters that a name may have besides its address.
    extra_max: usize,
    ignored_fields: Vec<String>,
    /// Domains whose signature excuses a name, in lower case.
    ignored_signers: Vec<String>,
    /// What makes a spoof: 0 another address, 1 of another owner, 2 of another domain.
    level: u8,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            owners: BTreeMap::new(),
            extra_max: 50,
            ignored_fields: Vec::new(),
            ignored_signers: Vec::new(),
            level: 1,
        }
    }
}

impl Names {
    pub(super) fn read(settings: &Settings, mistakes: &mut Vec<Mistake>) -> Self {
        let mut out = Self::default();
        for line in settings.of(KEYS) {
            let text = line.text.trim();
            let good = match line.key.as_str() {
                "fns_add_addrlist" => out.owner(text, true),
                "fns_remove_addrlist" => out.owner(text, false),
                "fns_extrachars" => text.parse().map(|number| out.extra_max = number).is_ok(),
                "fns_check" => {
                    let level = text.parse().ok().filter(|level| *level <= 2);
                    level.map(|level| out.level = level).is_some()
                }
                "fns_ignore_headers" => {
                    out.ignored_fields.extend(text.split_ascii_whitespace().map(str::to_owned));
                    true
                }
                _ => {
                    let signers = text.split_ascii_whitespace().map(str::to_ascii_lowercase);
                    out.ignored_signers.extend(signers);
                    !text.is_empty()
                }
            };
            if !good {
                mistakes.push(Mistake {
                    file: line.source.file.clone(),
                    line: line.source.line,
                    column: 0,
                    what: format!("{}: `{text}` cannot be used", line.key),
                    hint: "lists are written `(owner) *@example.org …`, the rest are numbers"
                        .to_owned(),
                    severity: Severity::Warning,
                });
            }
        }
        out
    }

    fn owner(&mut self, text: &str, add: bool) -> bool {
        let Some((name, words)) = text.strip_prefix('(').and_then(|rest| rest.split_once(')'))
        else {
            return false;
        };
        let addresses = self.owners.entry(name.to_ascii_lowercase()).or_default();
        for word in words.split_ascii_whitespace() {
            let word = word.to_ascii_lowercase();
            addresses.retain(|(written, _)| *written != word);
            if add {
                let glob = Glob::new(&word);
                addresses.push((word, glob));
            }
        }
        !words.trim().is_empty()
    }

    /// Whose the address is: by the lists, else the first label of its domain.
    fn owner_of(&self, address: &str, domain: &str) -> String {
        let user = address.split_once('@').map_or("", |(user, _)| user);
        for address in [address, &format!("{user}@{domain}")] {
            let mine = |all: &[(String, Glob)]| all.iter().any(|(_, glob)| glob.fits(address));
            if let Some((owner, _)) = self.owners.iter().find(|(_, all)| mine(all)) {
                return owner.clone();
            }
        }
        domain.split_once('.').map_or(domain, |(first, _)| first).to_owned()
    }
}

/// What the display name says.
#[derive(Debug, Default)]
struct Name {
    /// The address in it; empty: there is none.
    address: String,
    other_address: bool,
    other_domain: bool,
    other_owner: bool,
    is_recipient: bool,
    is_reply_to: bool,
}

static ADDRESS: LazyLock<Regex> =
    LazyLock::new(|| fields::constant(r"(?i)\b([\w.!#$%&'*+/=?^`{|}~-]+@\w[\w-]*\.\w[\w.-]*\b)"));

fn read(view: &View<'_>) -> Option<Name> {
    let names = &view.engine.tables.names;
    let auth = view.mail.known.auth.as_deref();
    let mut signatures = auth.into_iter().flat_map(|auth| &auth.dkim);
    if signatures
        .any(|one| one.result == AuthResult::Pass && names.ignored_signers.contains(&one.domain))
    {
        return None;
    }
    if names.ignored_fields.iter().any(|field| fields::present(view, field).is_some()) {
        return None;
    }
    let from = String::from_utf8_lossy(&fields::address(view, "From")).to_ascii_lowercase();
    let from_domain = domain_of(view, &from)?;
    let display = fields::value(view, "From:name");
    let display = display.split(|octet| *octet == b'\n').next().unwrap_or_default();
    let display = display.to_ascii_lowercase();
    let found = ADDRESS.captures(&display)?.get(1)?;
    let address = String::from_utf8_lossy(found.as_bytes()).into_owned();
    let domain = domain_of(view, &address)?;
    let mut name = Name { address, ..Name::default() };
    // Signs other than letters and digits count twice.
    let signs = |text: &[u8]| text.iter().filter(|octet| !octet.is_ascii_alphanumeric()).count();
    let extra = display.len() - found.len() + signs(&display) - signs(found.as_bytes());
    if extra > names.extra_max {
        return Some(name);
    }
    name.other_address = name.address != from;
    name.other_domain = domain != from_domain;
    name.other_owner =
        names.owner_of(&name.address, &domain) != names.owner_of(&from, &from_domain);
    let same = |address: &[u8]| address == name.address.as_bytes();
    let reply = fields::address(view, "Reply-To").to_ascii_lowercase();
    let is_reply_to = same(&reply);
    let is_recipient = lists::recipients(view).iter().any(|address| same(address));
    Some(Name { is_reply_to, is_recipient, ..name })
}

fn domain_of(view: &View<'_>, address: &str) -> Option<String> {
    let (_, host) = address.split_once('@').filter(|(_, host)| !host.contains('@'))?;
    String::from_utf8(domain::registered(view, host.as_bytes())?).ok()
}

fn hit(view: &View<'_>, asked: impl Fn(&Name) -> bool) -> Option<String> {
    read(view).filter(asked).map(|name| name.address)
}

/// `(level)`: see `fns_check`.
fn spoof(arguments: &Arguments) -> Result<Call, String> {
    let level = match arguments.text(0) {
        "" => None,
        "0" => Some(0),
        "1" => Some(1),
        "2" => Some(2),
        other => return Err(format!("`{other}` is not 0, 1 or 2")),
    };
    Ok(Call::new(move |view| {
        hit(view, |name| {
            name.other_address
                && match level.unwrap_or(view.engine.tables.names.level) {
                    0 => true,
                    1 => name.other_owner,
                    _ => name.other_domain,
                }
        })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_owners() {
        let mut settings = Settings::default();
        let source = crate::filters::Source { file: "a.cf".into(), line: 1 };
        settings.add(
            "fns_add_addrlist",
            "(Big) *@big.example *@other.example".into(),
            source.clone(),
        );
        settings.add("fns_remove_addrlist", "(Big) *@other.example".into(), source);
        let mut mistakes = Vec::new();
        let names = Names::read(&settings, &mut mistakes);
        assert_eq!(mistakes, []);
        assert_eq!(names.owner_of("a@big.example", "big.example"), "big");
        assert_eq!(names.owner_of("a@mail.big.example", "big.example"), "big");
        assert_eq!(names.owner_of("a@other.example", "other.example"), "other");
        assert!(ADDRESS.is_match(b"\"ceo@bank.example\""));
    }

    #[test]
    fn a_signature_of_a_list_of_mail_excuses_its_names() {
        use crate::filters::auth::{Auth, Dkim};
        use crate::filters::{Known, Mail, RuleFile};
        let rules =
            b"util_rb_tld test\nfns_ignore_dkim Lists.test\nheader A eval:check_fromname_spoof()\n";
        let file = RuleFile::built_in("t.cf", rules);
        let (engine, mistakes) = crate::filters::spam::Engine::load(&[file], &BTreeMap::new());
        assert_eq!(mistakes, []);
        let raw = b"From: \"ceo@bank.test\" <x@lists.test>\r\nSubject: x\r\n\r\nx\r\n";
        let limits = crate::mime::Limits::default();
        let message = crate::mime::decode(bytes::Bytes::from_static(raw), &limits);
        for (domain, result, hits) in [
            ("lists.test", AuthResult::Pass, 0),
            ("lists.test", AuthResult::Fail, 1),
            ("other.test", AuthResult::Pass, 1),
        ] {
            let dkim = vec![Dkim { result, domain: domain.into(), ..Dkim::default() }];
            let auth = Some(std::sync::Arc::new(Auth { dkim, ..Auth::default() }));
            let known = Known { auth, ..Known::default() };
            let envelope = crate::mail::Envelope::default();
            let mail = Mail { known: &known, ..Mail::alone(&envelope, &message) };
            assert_eq!(engine.inspect(&mail, None).hits.len(), hits, "{domain} {result}");
        }
    }
}
