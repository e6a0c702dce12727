//! Functions over what SPF, DKIM, ARC and DMARC said: `check_for_spf_pass`, `check_dkim_valid`, `check_dmarc_reject`, …
//!
//! Where nobody asked, or the DNS gave no answer, none of them hits: silence counts for nothing.

use crate::filters::Mistake;
use crate::filters::auth::{Auth, AuthResult, Dkim, DmarcPolicy};
use crate::filters::spam::rules::Settings;
use crate::filters::spam::view::View;

use super::{Arguments, Call, Function};

pub(super) const KEYS: &[&str] = &["adsp_override"];

pub(super) const FUNCTIONS: &[Function] = &[
    ("check_for_spf_pass", |_| sender(AuthResult::Pass)),
    ("check_for_spf_neutral", |_| sender(AuthResult::Neutral)),
    ("check_for_spf_none", |_| sender(AuthResult::None)),
    ("check_for_spf_fail", |_| sender(AuthResult::Fail)),
    ("check_for_spf_softfail", |_| sender(AuthResult::SoftFail)),
    ("check_for_spf_permerror", |_| sender(AuthResult::PermError)),
    ("check_for_spf_temperror", |_| never()),
    ("check_for_spf_helo_pass", |_| helo(AuthResult::Pass)),
    ("check_for_spf_helo_neutral", |_| helo(AuthResult::Neutral)),
    ("check_for_spf_helo_none", |_| helo(AuthResult::None)),
    ("check_for_spf_helo_fail", |_| helo(AuthResult::Fail)),
    ("check_for_spf_helo_softfail", |_| helo(AuthResult::SoftFail)),
    ("check_for_spf_helo_permerror", |_| helo(AuthResult::PermError)),
    ("check_for_spf_helo_temperror", |_| never()),
    ("check_spf_skipped_noenvfrom", |_| with(|auth| auth.spf.is_none())),
    ("check_dkim_signed", |domains| signed(domains, false)),
    ("check_dkim_valid", |domains| signed(domains, true)),
    ("check_dkim_verified", |domains| signed(domains, true)),
    ("check_dkim_valid_author_sig", author),
    ("check_dkim_valid_envelopefrom", |_| envelope()),
    ("check_dkim_dependable", |_| with(dependable)),
    ("check_dkim_testing", |_| never()),
    ("check_dkim_signsome", |_| never()),
    ("check_dkim_signall", |_| practice("A", &[])),
    ("check_dkim_adsp", |arguments| {
        let domains = arguments.all().get(1..).unwrap_or_default();
        practice(arguments.text(0), domains)
    }),
    ("check_arc_signed", |_| with(|auth| chain(auth, false))),
    ("check_arc_valid", |_| with(|auth| chain(auth, true))),
    ("check_dmarc_pass", |_| dmarc(AuthResult::Pass, None)),
    ("check_dmarc_reject", |_| dmarc(AuthResult::Fail, Some(DmarcPolicy::Reject))),
    ("check_dmarc_quarantine", |_| dmarc(AuthResult::Fail, Some(DmarcPolicy::Quarantine))),
    ("check_dmarc_none", |_| dmarc(AuthResult::Fail, Some(DmarcPolicy::None))),
    ("check_dmarc_missing", |_| dmarc(AuthResult::None, None)),
];

/// What is said of domains that should sign: `adsp_override domain practice`.
#[derive(Debug, Default)]
pub(in crate::filters::spam) struct Practices(Vec<(String, char)>);

impl Practices {
    pub(super) fn read(settings: &Settings, mistakes: &mut Vec<Mistake>) -> Self {
        const WORDS: [(&str, char); 7] = [
            ("unknown", 'U'),
            ("all", 'A'),
            ("discardable", 'D'),
            ("nxdomain", 'N'),
            ("custom_low", '1'),
            ("custom_med", '2'),
            ("custom_high", '3'),
        ];
        let mut practices = Vec::new();
        for line in settings.of(&["adsp_override"]) {
            let mut words = line.text.split_ascii_whitespace();
            let Some(domain) = words.next() else { continue };
            let word = words.next().unwrap_or("discardable").to_ascii_lowercase();
            match WORDS.iter().find(|(known, _)| *known == word) {
                Some((_, letter)) => practices.push((domain.to_lowercase(), *letter)),
                None => mistakes.push(Mistake {
                    file: line.source.file.clone(),
                    line: line.source.line,
                    column: 0,
                    what: format!("`{word}` is no practice of signing"),
                    hint: "write discardable, all, nxdomain, custom_low, custom_med or custom_high"
                        .to_owned(),
                    severity: crate::filters::Severity::Warning,
                }),
            }
        }
        Self(practices)
    }

    /// The practice of a domain: what is said of it, else of the nearest `*.` above it.
    fn of(&self, domain: &str) -> Option<char> {
        let said = |wanted: &str| self.0.iter().rev().find(|(name, _)| name == wanted);
        let mut above = domain;
        if let Some((_, letter)) = said(domain) {
            return Some(*letter);
        }
        // A name has at most 127 labels.
        for _ in 0..127 {
            let (_, parent) = above.split_once('.')?;
            if let Some((_, letter)) = said(&format!("*.{parent}")) {
                return Some(*letter);
            }
            above = parent;
        }
        None
    }
}

fn auth<'v>(view: &View<'v>) -> Option<&'v Auth> {
    view.mail.known.auth.as_deref()
}

fn with(ask: impl Fn(&Auth) -> bool + Send + Sync + 'static) -> Result<Call, String> {
    Ok(Call::new(move |view| auth(view).is_some_and(&ask)))
}

fn never() -> Result<Call, String> {
    Ok(Call::new(|_| false))
}

fn sender(result: AuthResult) -> Result<Call, String> {
    Ok(Call::new(move |view| {
        let spf = auth(view)?.spf.as_ref()?;
        (spf.result == result).then(|| format!("{}: {}", spf.domain, spf.why))
    }))
}

/// HELO is not checked if it is an address or a single word.
fn helo(result: AuthResult) -> Result<Call, String> {
    Ok(Call::new(move |view| {
        let auth = auth(view)?;
        let spf = auth.helo.as_ref()?;
        let name = auth.helo_name.trim_matches(['[', ']', '!']);
        let checked = name.contains('.') && name.parse::<std::net::Ipv4Addr>().is_err();
        (checked && spf.result == result).then(|| format!("{}: {}", spf.domain, spf.why))
    }))
}

/// True if a pattern of the rule is the signer's; without patterns any signer's is.
fn fits(signer: &Dkim, domains: &[String]) -> bool {
    let one =
        Auth { dkim: vec![Dkim { result: AuthResult::Pass, ..signer.clone() }], ..Auth::default() };
    domains.is_empty() || domains.iter().any(|domain| one.is_signed_by(domain))
}

fn signed(domains: &Arguments, valid: bool) -> Result<Call, String> {
    let domains = domains.all().to_vec();
    Ok(Call::new(move |view| {
        // A signature whose key the DNS did not give is no fact about the mail.
        let counts = |one: &&Dkim| match valid {
            true => one.result == AuthResult::Pass,
            false => one.result != AuthResult::TempError,
        };
        let found = auth(view)?.dkim.iter().filter(counts).find(|one| fits(one, &domains));
        found.map(|one| one.domain.clone())
    }))
}

fn author(domains: &Arguments) -> Result<Call, String> {
    let domains = domains.all().to_vec();
    Ok(Call::new(move |view| {
        let auth = auth(view)?;
        let own = |one: &&Dkim| {
            one.result == AuthResult::Pass
                && auth.authors.iter().any(|author| author == one.signer())
                && fits(one, &domains)
        };
        auth.dkim.iter().find(own).map(|one| one.signer().to_owned())
    }))
}

fn envelope() -> Result<Call, String> {
    Ok(Call::new(|view| {
        let (_, domain) = view.mail.envelope.sender.address.rsplit_once('@')?;
        auth(view)?.is_signed_by(domain).then(|| domain.to_lowercase())
    }))
}

/// The signatures can be relied on: none is left open.
fn dependable(auth: &Auth) -> bool {
    auth.dkim.iter().all(|one| one.result != AuthResult::TempError)
}

fn chain(auth: &Auth, valid: bool) -> bool {
    auth.arc.as_ref().is_some_and(|arc| match valid {
        true => arc.result == AuthResult::Pass,
        false => arc.result != AuthResult::TempError,
    })
}

fn dmarc(result: AuthResult, policy: Option<DmarcPolicy>) -> Result<Call, String> {
    Ok(Call::new(move |view| {
        let dmarc = auth(view)?.dmarc.as_ref()?;
        let fits = dmarc.result == result
            && dmarc.overridden.is_empty()
            && !dmarc.domain.is_empty()
            && policy.is_none_or(|policy| dmarc.policy == policy);
        fits.then(|| format!("{}: {}", dmarc.domain, dmarc.why))
    }))
}

/// An author's domain that is said to sign, and has not signed. What domains published of this in the DNS was given up
/// (RFC 5617 is historic): only what rule files say counts.
fn practice(letters: &str, domains: &[String]) -> Result<Call, String> {
    let letters = if letters == "*" { "NAD123".to_owned() } else { letters.to_owned() };
    let domains = domains.to_vec();
    Ok(Call::new(move |view| {
        let auth = auth(view)?;
        if !dependable(auth) {
            return None;
        }
        let signed = |author: &String| auth.passing().any(|signer| signer == author);
        let wanted = |author: &&String| {
            let one = Dkim { domain: (*author).clone(), ..Dkim::default() };
            let practice = view.engine.tables.practices.of(author);
            !signed(author)
                && practice.is_some_and(|letter| letters.contains(letter))
                && fits(&one, &domains)
        };
        auth.authors.iter().find(wanted).cloned()
    }))
}
