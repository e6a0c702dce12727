//! Who vouches for a mail: what SPF, DKIM, ARC and DMARC say.

use std::fmt;

/// Words of RFC 8601 section 2.7.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum AuthResult {
    /// It holds.
    Pass,
    /// It does not hold.
    Fail,
    /// The domain thinks that it does not hold (SPF).
    SoftFail,
    /// The domain says nothing, or the signature cannot be used.
    Neutral,
    /// Nothing is published, or nothing was signed.
    #[default]
    None,
    /// The DNS gave no answer; later it may.
    TempError,
    /// What is published or signed cannot be understood.
    PermError,
}

impl AuthResult {
    /// As written in Authentication-Results.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::SoftFail => "softfail",
            Self::Neutral => "neutral",
            Self::None => "none",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        }
    }
}

impl fmt::Display for AuthResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// SPF for one identity (RFC 7208).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spf {
    /// What follows for the client.
    pub result: AuthResult,
    /// The domain that was asked.
    pub domain: String,
    /// What decided, for people: `-all`, `no SPF record`, …
    pub why: String,
    /// The words of the domain's owner for a `fail`, printable ASCII; may be empty.
    pub explanation: String,
}

/// One DKIM signature (RFC 6376).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dkim {
    /// What the check says.
    pub result: AuthResult,
    /// The domain that signs (`d=`), in lower case.
    pub domain: String,
    /// The selector (`s=`).
    pub selector: String,
    /// On whose behalf (`i=`); `@domain` if it is not said.
    pub identity: String,
    /// The first letters of the signature, which tell signatures apart (RFC 6008).
    pub signature: String,
    /// Why it does not pass; empty if it does.
    pub why: String,
}

/// The ARC chain (RFC 8617).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chain {
    /// What the check says.
    pub result: AuthResult,
    /// How many sealed.
    pub length: usize,
    /// The domain of the last seal.
    pub sealer: String,
    /// Why it does not pass; empty if it does.
    pub why: String,
}

/// What a domain wants done with mail that fails DMARC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DmarcPolicy {
    /// Nothing.
    #[default]
    None,
    /// To be looked at with suspicion.
    Quarantine,
    /// To be refused.
    Reject,
}

impl DmarcPolicy {
    /// As published.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Quarantine => "quarantine",
            Self::Reject => "reject",
        }
    }
}

/// DMARC for the author's domain (RFC 9989, before it RFC 7489).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dmarc {
    /// What the check says; `none`: the domain publishes no policy.
    pub result: AuthResult,
    /// The domain of the From field.
    pub domain: String,
    /// What the domain wants for what fails.
    pub policy: DmarcPolicy,
    /// What it rests on, or why it fails.
    pub why: String,
    /// Whom the site trusts saw it pass, as `arc=pass as[1].d=list.test`: the failure does not count. Empty: nobody.
    pub overridden: String,
}

impl Dmarc {
    /// True if it fails, and nobody whom the site trusts saw it pass.
    #[must_use]
    pub fn fails(&self) -> bool {
        self.result == AuthResult::Fail && self.overridden.is_empty()
    }
}

/// What was found out about one mail. What was not checked is missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Auth {
    /// SPF of the envelope sender; missing for the null sender.
    pub spf: Option<Spf>,
    /// SPF of the name in HELO.
    pub helo: Option<Spf>,
    /// Every signature that was looked at.
    pub dkim: Vec<Dkim>,
    /// The ARC chain; missing if there is none.
    pub arc: Option<Chain>,
    /// DMARC; missing if it was not checked.
    pub dmarc: Option<Dmarc>,
    /// Domains of the From field, in lower case.
    pub authors: Vec<String>,
    /// The name in HELO.
    pub helo_name: String,
}

impl Auth {
    /// SPF as a whole: of the sender, or of HELO for the null sender (RFC 7208 section 2.4).
    #[must_use]
    pub fn envelope(&self) -> Option<&Spf> {
        self.spf.as_ref().or(self.helo.as_ref())
    }

    /// DKIM as a whole: the best of all signatures; `none` without one.
    #[must_use]
    pub fn signed(&self) -> AuthResult {
        let rank = |result: AuthResult| match result {
            AuthResult::Pass => 0,
            AuthResult::TempError => 1,
            AuthResult::Fail => 2,
            AuthResult::Neutral | AuthResult::SoftFail => 3,
            AuthResult::PermError => 4,
            AuthResult::None => 5,
        };
        self.dkim.iter().map(|one| one.result).min_by_key(|one| rank(*one)).unwrap_or_default()
    }

    /// True if a signature of that domain passed: `listed.test` itself, `.listed.test` or `*.listed.test` with all below.
    #[must_use]
    pub fn is_signed_by(&self, domain: &str) -> bool {
        self.passing().any(|signer| is_within(signer, domain))
    }

    /// The domains whose signature passed: that of the identity (`i=`), as SpamAssassin counts it.
    pub fn passing(&self) -> impl Iterator<Item = &str> {
        self.dkim.iter().filter(|one| one.result == AuthResult::Pass).map(Dkim::signer)
    }

    /// True if a signature of one of the authors' own domains passed.
    #[must_use]
    pub fn is_signed_by_author(&self) -> bool {
        self.passing().any(|signer| self.authors.iter().any(|author| author == signer))
    }

    /// The domain (`d=`) that answers for the mail by a signature that passed: one that is the author's own, or stands
    /// above or below it; else the first.
    #[must_use]
    pub fn answers(&self) -> Option<&str> {
        let passing = self.dkim.iter().filter(|one| one.result == AuthResult::Pass);
        let mut domains =
            passing.map(|one| one.domain.as_str()).filter(|domain| !domain.is_empty());
        let first = domains.clone().next();
        let kin = |domain: &&str| {
            let of = |author: &String| is_below(domain, author) || is_below(author, domain);
            self.authors.iter().any(of)
        };
        domains.find(kin).or(first)
    }

    /// True if the author is who From says: DMARC passes, or his own domain, or one above it, signed. Never with several.
    #[must_use]
    pub fn proves_author(&self) -> bool {
        let [author] = self.authors.as_slice() else { return false };
        let mut passing = self.dkim.iter().filter(|one| one.result == AuthResult::Pass);
        let dmarc = self.dmarc.as_ref().is_some_and(|dmarc| dmarc.result == AuthResult::Pass);
        dmarc || passing.any(|one| is_below(author, &one.domain))
    }

    /// True if the envelope sender's domain lets this client send.
    #[must_use]
    pub fn is_spf_pass(&self) -> bool {
        self.spf.as_ref().is_some_and(|spf| spf.result == AuthResult::Pass)
    }
}

impl Dkim {
    /// The domain of the identity, in lower case.
    #[must_use]
    pub fn signer(&self) -> &str {
        match self.identity.rsplit_once('@') {
            Some((_, domain)) if !domain.is_empty() => domain,
            _ => &self.domain,
        }
    }
}

/// `*.example.org` and `.example.org` mean the domain with all below it, `example.org` the domain alone.
pub(crate) fn is_within(domain: &str, pattern: &str) -> bool {
    let Some(parent) = pattern.strip_prefix("*.").or_else(|| pattern.strip_prefix('.')) else {
        return domain.eq_ignore_ascii_case(pattern);
    };
    is_below(&domain.to_ascii_lowercase(), &parent.to_ascii_lowercase())
}

/// True for the domain itself and for all below it; both in lower case.
pub(crate) fn is_below(domain: &str, parent: &str) -> bool {
    domain == parent || domain.strip_suffix(parent).is_some_and(|front| front.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_with_a_dot_takes_what_is_below() {
        for (domain, pattern, want) in [
            ("example.org", "Example.ORG", true),
            ("a.example.org", "example.org", false),
            ("a.example.org", ".example.org", true),
            ("example.org", "*.example.org", true),
            ("badexample.org", ".example.org", false),
        ] {
            assert_eq!(is_within(domain, pattern), want, "{domain} {pattern}");
        }
    }

    #[test]
    fn who_answers_for_a_mail_is_the_authors_kin_or_the_first_to_sign() {
        let one = |(result, domain): &(AuthResult, &str)| Dkim {
            result: *result,
            domain: (*domain).to_owned(),
            ..Dkim::default()
        };
        let (pass, fail) = (AuthResult::Pass, AuthResult::Fail);
        for (signed, author, who, proves) in [
            (&[(pass, "esp.test"), (pass, "a.test")][..], "a.test", Some("a.test"), true),
            (&[(pass, "esp.test"), (pass, "a.test")], "news.a.test", Some("a.test"), true),
            (&[(pass, "esp.test"), (pass, "m.a.test")], "a.test", Some("m.a.test"), false),
            (&[(pass, "esp.test"), (fail, "a.test")], "a.test", Some("esp.test"), false),
            (&[(pass, "esp.test"), (pass, "bada.test")], "a.test", Some("esp.test"), false),
            (&[(fail, "a.test")], "a.test", None, false),
            (&[(pass, "")], "a.test", None, false),
            (&[(pass, "x.test"), (pass, "y.test")], "", Some("x.test"), false),
            (&[], "a.test", None, false),
        ] {
            let dkim = signed.iter().map(one).collect();
            let authors = Some(author.to_owned()).filter(|one| !one.is_empty());
            let auth = Auth { dkim, authors: authors.into_iter().collect(), ..Auth::default() };
            assert_eq!(
                (auth.answers(), auth.proves_author()),
                (who, proves),
                "{signed:?} {author}"
            );
        }
        let dmarc = Dmarc { result: pass, ..Dmarc::default() };
        let mut auth = Auth { dmarc: Some(dmarc), ..Auth::default() };
        assert!(!auth.proves_author(), "there is no author");
        auth.authors = vec!["a.test".into()];
        assert!(auth.proves_author());
        auth.authors.push("b.test".into());
        assert!(!auth.proves_author(), "which of the two?");
    }

    #[test]
    fn the_best_signature_counts() {
        let one = |result| Dkim { result, domain: "a.test".into(), ..Dkim::default() };
        let auth = Auth {
            dkim: vec![one(AuthResult::Fail), one(AuthResult::Pass)],
            authors: vec!["a.test".into()],
            ..Auth::default()
        };
        assert_eq!((auth.signed(), auth.is_signed_by_author()), (AuthResult::Pass, true));
        assert_eq!(Auth::default().signed(), AuthResult::None);
    }
}
