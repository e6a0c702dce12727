//! Who vouches for a mail: SPF, DKIM, ARC and DMARC over the octets as they came.
//!
//! Signatures and policies are checked by `mail-auth`, with records that `keys` fetched before through our own
//! resolver; SPF is our own (`spf`). What the DNS does not say in time is a `temperror` and told in `not_run`: it
//! never counts for or against a mail.

#[doc(hidden)]
pub mod fuzzing;
mod keys;
mod sealed;
pub(crate) mod spf;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use mail_auth::arc::ArcError;
use mail_auth::dkim::DkimError;
use mail_auth::dmarc::Policy;
use mail_auth::dmarc::verify::DmarcParameters;
use mail_auth::{
    AuthenticatedMessage, DkimOutput, DkimResult, DmarcOutput, DmarcResult, DnsError, Error,
    MessageAuthenticator, SpfOutput, SpfResult,
};

use self::keys::Keys;
use crate::dns::Dns;
use crate::filters::auth::{Auth, AuthResult, Chain, Dkim, Dmarc, DmarcPolicy, Spf};
use crate::filters::{NotRun, Weight};

/// Signatures of one mail that are checked, from the top.
const SIGNATURES_MAX: usize = 10;
/// Seals of one chain (RFC 8617 section 5.2 allows 50).
const SEALS_MAX: usize = 50;
/// Fields that a signature may name, and fields of the header: their product is what a signature costs.
const SIGNED_FIELDS_MAX: usize = 200;
const HEADER_FIELDS_MAX: usize = 2_000;
const TOO_MANY_FIELDS: &str = "the header has more than 2,000 fields";
/// Larger mails are hashed where that holds nobody up.
const HERE_BYTES_MAX: usize = 64 << 10;
/// Letters of what a signature says of itself.
const NAME_MAX: usize = 253;

/// Checks mails.
pub struct Authenticator {
    dns: Arc<Dns>,
    library: MessageAuthenticator,
    hostname: String,
    /// Domains of sealers whose word counts.
    trusted: Arc<[String]>,
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticator").finish_non_exhaustive()
    }
}

/// What is known of the sender of a mail.
#[derive(Debug, Clone)]
pub struct Sender {
    /// The original client; `None`: nobody told.
    pub client: Option<IpAddr>,
    /// It is one of ours: who may send in whose name is no question for the DNS.
    pub internal: bool,
    /// What the original client said in HELO.
    pub helo: String,
    /// The envelope sender; empty for the null sender.
    pub address: String,
}

impl Authenticator {
    /// Asks by `dns`; `hostname` is ours.
    #[must_use]
    pub fn new(dns: Arc<Dns>, hostname: &str) -> Self {
        let library = MessageAuthenticator(dns.resolver());
        Self { dns, library, hostname: hostname.to_owned(), trusted: [].into() }
    }

    /// Believes these sealers of ARC chains what they saw: `list.test`, `.list.test` with all below it.
    #[must_use]
    pub fn trusting(self, sealers: &[String]) -> Self {
        let trusted = sealers.iter().map(|one| one.to_lowercase()).collect();
        Self { trusted, ..self }
    }

    /// Checks a mail; what has no answer when `until` comes is told.
    pub async fn check(
        &self,
        raw: &Bytes,
        body_start: usize,
        sender: &Sender,
        until: Instant,
    ) -> (Auth, Vec<NotRun>) {
        let mut not_run = Vec::new();
        let client = sender.client.filter(|_| !sender.internal);
        if client.is_none() {
            let why = if sender.internal {
                "the client is one of ours"
            } else {
                "the client is not known"
            };
            for check in ["spf", "dmarc"] {
                not_run.push(missing(check, why, Weight::Off));
            }
        }
        let header = raw.slice(..body_start.min(raw.len()));
        let sender_domain =
            sender.address.rsplit_once('@').map_or(sender.helo.as_str(), |(_, d)| d);
        let keys = async {
            // The body is hashed later: to know which keys are needed, the header will do.
            let message = parse(&header)?;
            let keys = Keys::fetch(&self.dns, &message, &[sender_domain], until).await;
            Some((keys, has_too_many_fields(&message)))
        };
        let (keys, (spf, helo)) = tokio::join!(keys, self.spf(client, sender, until));
        let mut auth = Auth { spf, helo, helo_name: sender.helo.clone(), ..Auth::default() };
        let envelope = auth.envelope().cloned();
        if let Some((keys, too_many_fields)) = keys {
            if too_many_fields {
                for check in ["dkim", "arc"] {
                    not_run.push(missing(check, TOO_MANY_FIELDS, Weight::Wanted));
                }
            }
            let check = Check {
                library: self.library.clone(),
                raw: raw.clone(),
                header: header.clone(),
                keys,
                spf: envelope.filter(|_| client.is_some()),
                trusted: Arc::clone(&self.trusted),
                until,
            };
            if let Some(signed) = signed(check).await {
                auth.dkim = signed.dkim;
                auth.arc = signed.arc;
                auth.dmarc = signed.dmarc;
                auth.authors = signed.authors;
            } else {
                for check in ["dkim", "arc", "dmarc"] {
                    not_run.push(missing(check, "the time for this mail is over", Weight::Wanted));
                }
            }
        } else {
            for check in ["dkim", "arc", "dmarc"] {
                not_run.push(missing(check, "the header cannot be read", Weight::Wanted));
            }
        }
        not_run.extend(undecided(&auth));
        (auth, not_run)
    }

    async fn spf(
        &self,
        client: Option<IpAddr>,
        sender: &Sender,
        until: Instant,
    ) -> (Option<Spf>, Option<Spf>) {
        let Some(client) = client else { return (None, None) };
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let query = |address| spf::Query {
            client,
            helo: &sender.helo,
            sender: address,
            receiver: &self.hostname,
            now: now.as_ref().map_or(0, std::time::Duration::as_secs),
            until,
        };
        let helo = query(None);
        if sender.address.is_empty() {
            return (None, Some(spf::check(&self.dns, &helo).await));
        }
        let from = query(Some(sender.address.as_str()));
        let (from, helo) = tokio::join!(spf::check(&self.dns, &from), spf::check(&self.dns, &helo));
        (Some(from), Some(helo))
    }
}

fn missing(check: &str, why: &str, weight: Weight) -> NotRun {
    NotRun { check: check.to_owned(), why: why.to_owned(), weight }
}

/// What the DNS left open.
fn undecided(auth: &Auth) -> Vec<NotRun> {
    let open = |result: AuthResult| result == AuthResult::TempError;
    let mut out = Vec::new();
    let mut add = |check, why: &str| out.push(missing(check, why, Weight::Wanted));
    if let Some(spf) = auth.envelope().filter(|spf| open(spf.result)) {
        add("spf", &spf.why);
    }
    if let Some(dkim) = auth.dkim.iter().find(|dkim| open(dkim.result)) {
        add("dkim", &dkim.why);
    }
    if let Some(arc) = auth.arc.as_ref().filter(|arc| open(arc.result)) {
        add("arc", &arc.why);
    }
    if let Some(dmarc) = auth.dmarc.as_ref().filter(|dmarc| open(dmarc.result)) {
        add("dmarc", &dmarc.why);
    }
    if auth.authors.len() > keys::AUTHORS_MAX && auth.dmarc.is_some() {
        add("dmarc", "more author domains than are asked for: it counts as failed");
    }
    out
}

/// The message as the library sees it, cut to what a mail may cost.
fn parse(raw: &[u8]) -> Option<AuthenticatedMessage<'_>> {
    let mut message = AuthenticatedMessage::parse(raw)?;
    if has_too_many_fields(&message) {
        // What signed them is not looked at; who claims to have written the mail is.
        message.dkim_headers.clear();
        message.as_headers.clear();
        message.ams_headers.clear();
        message.aar_headers.clear();
    }
    message.dkim_headers.retain(|header| header.header.h.len() <= SIGNED_FIELDS_MAX);
    message.dkim_headers.truncate(SIGNATURES_MAX);
    for header in &mut message.dkim_headers {
        // RFC 6541 and RFC 6651 are experiments that ask more questions.
        header.header.atps = None;
        header.header.r = false;
    }
    let too_long = message.as_headers.len() > SEALS_MAX
        || message.ams_headers.iter().any(|header| header.header.h.len() > SIGNED_FIELDS_MAX);
    if too_long {
        message.as_headers.clear();
        message.ams_headers.clear();
        message.aar_headers.clear();
    }
    message.errors.truncate(SIGNATURES_MAX);
    Some(message)
}

fn has_too_many_fields(message: &AuthenticatedMessage<'_>) -> bool {
    message.headers.len() > HEADER_FIELDS_MAX
}

/// What is needed to check the signatures of one mail.
struct Check {
    library: MessageAuthenticator,
    raw: Bytes,
    header: Bytes,
    keys: Keys,
    /// SPF of the envelope; without it there is no DMARC.
    spf: Option<Spf>,
    trusted: Arc<[String]>,
    until: Instant,
}

struct Signed {
    dkim: Vec<Dkim>,
    arc: Option<Chain>,
    dmarc: Option<Dmarc>,
    authors: Vec<String>,
}

/// Checks the signatures; large mails are hashed in a task of their own. A panic stays in this mail.
async fn signed(check: Check) -> Option<Signed> {
    let until = check.until;
    let handle = tokio::runtime::Handle::current();
    let large = check.raw.len() > HERE_BYTES_MAX;
    let task = if large {
        tokio::task::spawn_blocking(move || handle.block_on(check.run()))
    } else {
        tokio::spawn(check.run())
    };
    match tokio::time::timeout_at(until.into(), task).await {
        Ok(Ok(signed)) => signed,
        Ok(Err(error)) => {
            tracing::error!(%error, "a check of signatures failed; this is a bug");
            None
        }
        Err(_) => None,
    }
}

impl Check {
    async fn run(self) -> Option<Signed> {
        let Self { library, raw, header, keys, spf, trusted, .. } = self;
        let Some(message) = parse(&raw) else {
            return Some(Signed { dkim: Vec::new(), arc: None, dmarc: None, authors: Vec::new() });
        };
        let outputs = library.verify_dkim(keys.with(&message)).await;
        let chain = library.verify_arc(keys.with(&message)).await;
        let arc = (!matches!(chain.result(), DkimResult::None)).then(|| Chain {
            result: dkim_result(chain.result()),
            length: chain.sets().len(),
            sealer: chain.sets().last().map(|set| clean(&set.seal.header.d)).unwrap_or_default(),
            why: dkim_why(chain.result()),
        });
        let authors = keys::authors(&message);
        let mut dmarc = match &spf {
            Some(spf) => {
                let output = SpfOutput::new(spf.domain.clone()).with_result(spf_result(spf.result));
                let mut worst: Option<Dmarc> = None;
                // The library answers for one author; of several, the one whose policy is hurt most counts.
                for author in keys::one_of_each_author(&message) {
                    let Some(mut one) = parse(&header) else { continue };
                    one.from = author;
                    let question =
                        DmarcParameters::new(&one, &outputs, spf.domain.as_str(), &output);
                    let seen = dmarc(&library.verify_dmarc(keys.with(question)).await);
                    if worst.as_ref().is_none_or(|worst| weight(&seen) > weight(worst)) {
                        worst = Some(seen);
                    }
                }
                let unasked = authors.get(keys::AUTHORS_MAX).map(|one| too_many_authors(one));
                unasked.or(worst)
            }
            None => None,
        };
        if let (Some(dmarc), [author]) = (&mut dmarc, authors.as_slice())
            && dmarc.result == AuthResult::Fail
            && matches!(chain.result(), DkimResult::Pass)
        {
            dmarc.overridden = sealed::vouched(chain.sets(), author, &trusted).unwrap_or_default();
        }
        let dkim = outputs.iter().map(dkim).collect();
        Some(Signed { dkim, arc, dmarc, authors })
    }
}

/// How much a result of DMARC says against a mail that names several authors.
fn weight(dmarc: &Dmarc) -> u8 {
    match (dmarc.result, dmarc.policy) {
        (AuthResult::Fail, DmarcPolicy::Reject) => 6,
        (AuthResult::Fail, DmarcPolicy::Quarantine) => 5,
        (AuthResult::Fail, DmarcPolicy::None) => 3,
        (AuthResult::TempError, _) => 4,
        (AuthResult::PermError, _) => 2,
        (AuthResult::None | AuthResult::Neutral | AuthResult::SoftFail, _) => 1,
        (AuthResult::Pass, _) => 0,
    }
}

/// Nobody writes a mail for more than eight domains, and one of those that were not asked may be the one that does not
/// want it: it is what RFC 7489 section 6.6.1 allows to be refused.
fn too_many_authors(domain: &str) -> Dmarc {
    Dmarc {
        result: AuthResult::Fail,
        domain: clean(domain),
        policy: DmarcPolicy::Reject,
        overridden: String::new(),
        why: format!("the From field names more than {} domains", keys::AUTHORS_MAX),
    }
}

fn spf_result(result: AuthResult) -> SpfResult {
    match result {
        AuthResult::Pass => SpfResult::Pass,
        AuthResult::Fail => SpfResult::Fail,
        AuthResult::SoftFail => SpfResult::SoftFail,
        AuthResult::Neutral => SpfResult::Neutral,
        AuthResult::None => SpfResult::None,
        AuthResult::TempError => SpfResult::TempError,
        AuthResult::PermError => SpfResult::PermError,
    }
}

fn dkim_result(result: &DkimResult) -> AuthResult {
    match result {
        DkimResult::Pass => AuthResult::Pass,
        // A body that differs from what was signed is what "fail" is for (RFC 8601 section 2.7.1).
        DkimResult::Fail(_)
        | DkimResult::Neutral(
            Error::Dkim(DkimError::FailedBodyHashMatch) | Error::Arc(ArcError::FailedBodyHashMatch),
        ) => AuthResult::Fail,
        DkimResult::Neutral(_) => AuthResult::Neutral,
        DkimResult::PermError(_) => AuthResult::PermError,
        DkimResult::TempError(_) => AuthResult::TempError,
        DkimResult::None => AuthResult::None,
    }
}

fn dkim_why(result: &DkimResult) -> String {
    match result {
        DkimResult::Pass | DkimResult::None => String::new(),
        DkimResult::Fail(error)
        | DkimResult::Neutral(error)
        | DkimResult::PermError(error)
        | DkimResult::TempError(error) => why(error),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "all others say it themselves")]
fn why(error: &Error) -> String {
    match error {
        Error::Dns(DnsError::RecordNotFound(_)) => "no record is published".to_owned(),
        Error::Dns(DnsError::InvalidRecordType) => "what is published is no such record".to_owned(),
        Error::Dns(DnsError::Resolver(why)) if why.is_empty() => {
            "the DNS gave no answer".to_owned()
        }
        Error::Dns(DnsError::Resolver(why)) | Error::Io(why) => clean(why),
        other => clean(&other.to_string()),
    }
}

/// One line of printable ASCII: it may come from a stranger.
fn clean(text: &str) -> String {
    let plain = |letter: char| if (' '..='~').contains(&letter) { letter } else { '?' };
    text.chars().map(plain).take(NAME_MAX).collect()
}

fn dkim(output: &DkimOutput<'_>) -> Dkim {
    use base64::Engine as _;
    let Some(signature) = output.signature() else {
        let (result, why) = (dkim_result(output.result()), dkim_why(output.result()));
        return Dkim { result, why, ..Dkim::default() };
    };
    let domain = clean(&signature.d).to_lowercase();
    let identity = match signature.i.is_empty() {
        true => format!("@{domain}"),
        false => clean(&signature.i).to_lowercase(),
    };
    let octets = signature.b.get(..6).unwrap_or_default();
    Dkim {
        result: dkim_result(output.result()),
        domain,
        selector: clean(&signature.s),
        identity,
        signature: base64::engine::general_purpose::STANDARD.encode(octets),
        why: dkim_why(output.result()),
    }
}

fn dmarc(output: &DmarcOutput) -> Dmarc {
    let by =
        |result: &DmarcResult, what: &str| (*result == DmarcResult::Pass).then(|| what.to_owned());
    let passes = [by(output.spf_result(), "SPF"), by(output.dkim_result(), "DKIM")];
    let (result, why) = match output.result() {
        DmarcResult::Pass => {
            let passes: Vec<String> = passes.into_iter().flatten().collect();
            (AuthResult::Pass, format!("aligned {}", passes.join(" and ")))
        }
        DmarcResult::Fail(_) => {
            (AuthResult::Fail, "neither SPF nor DKIM passes for this domain".to_owned())
        }
        DmarcResult::TempError(error) => (AuthResult::TempError, why(&error)),
        DmarcResult::PermError(error) => (AuthResult::PermError, why(&error)),
        DmarcResult::None => (AuthResult::None, "the domain publishes no policy".to_owned()),
    };
    let policy = match output.policy() {
        Policy::Reject => DmarcPolicy::Reject,
        Policy::Quarantine => DmarcPolicy::Quarantine,
        Policy::None | Policy::Unspecified => DmarcPolicy::None,
    };
    Dmarc { result, domain: clean(output.domain()), policy, why, overridden: String::new() }
}
