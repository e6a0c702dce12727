//! The configuration as it is meant: checked, with types. `file` is the configuration as it is written.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::filters::Score;
use crate::filters::dnsbl::Blocklists;
use crate::mime;
use crate::verdict::Action;

mod address;
mod blocklists;
mod build;
mod check;
mod cross;
mod engines;
mod file;
mod keys;
mod load;
mod mistakes;
mod policies;
mod read;
mod rules;
mod schema;
mod show;
mod suggest;
#[cfg(test)]
mod tests;
pub mod units;

pub use engines::{Engine, EngineKind};
pub use file::Origin;
pub use load::{DEFAULT_FILE, DEFAULT_TEXT, Loaded, Origins, Request, load, load_texts};
pub use mistakes::{Mistakes, Sources, render, render_all};
pub use show::{explain, show, show_json};

/// Everything this host was told. One mail sees one value from start to end.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Act, or only say what would be done.
    pub mode: Mode,
    /// Our name in Received, replies and ids.
    pub hostname: String,
    /// Where quarantine and database live unless said otherwise.
    pub state_dir: PathBuf,
    /// Domains of our own recipients: `example.org`, `.example.org` (with all below it). Empty: every recipient is ours.
    pub local_domains: Vec<String>,
    /// Clients of our own.
    pub internal_networks: Vec<IpNet>,
    /// See [`Limits`].
    pub limits: Limits,
    /// The listeners that are on, by name.
    pub listeners: Vec<Listener>,
    /// The scanners that are on, by name; the built-in one included unless it was switched off.
    pub scanners: Vec<Scanner>,
    /// Other spam engines that are on, by name.
    pub engines: Vec<Engine>,
    /// Policies with `extends` worked in.
    pub policies: BTreeMap<String, Arc<Policy>>,
    /// See [`Spam`].
    pub spam: Spam,
    /// See [`Dns`].
    pub dns: Dns,
    /// See [`Auth`].
    pub auth: Auth,
    /// See [`Tables`].
    pub tables: Tables,
    /// See [`Quarantine`].
    pub quarantine: Quarantine,
    /// The database file (SQLite).
    pub database: PathBuf,
    /// Where the review page listens; `None`: off. (The page itself is not built yet.)
    pub web: Web,
    /// Where `/metrics`, `/livez` and `/readyz` listen; `None`: off.
    pub metrics: Option<SocketAddr>,
    /// See [`Log`].
    pub log: Log,
}

/// What an empty file means.
impl Default for Config {
    #[expect(clippy::expect_used, reason = "the built-in defaults are loaded by the tests")]
    fn default() -> Self {
        load_texts(Vec::new(), &[], &[]).expect("the built-in defaults are right").config
    }
}

/// The name of this machine, as the kernel has it or `/etc/hostname` says; `localhost` if neither can be used.
fn system_hostname() -> String {
    let kernel = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let file = || std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let usable = |name: &str| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        !name.is_empty() && name != "(none)" && name.len() <= 253 && name.chars().all(allowed)
    };
    std::iter::once(kernel)
        .chain(std::iter::once_with(file))
        .map(|name| name.trim().to_owned())
        .find(|name| usable(name))
        .unwrap_or_else(|| "localhost".to_owned())
}

/// Act, or only say what would be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Verdicts are carried out.
    Enforce,
    /// Every mail goes on as it came; log and history say what would have been done.
    Observe,
}

/// Limits of the program.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Mails inspected at once.
    pub concurrency: usize,
    /// Sessions at once; more are answered 421.
    pub connections: usize,
    /// From the end of data to our reply.
    pub deadline: Duration,
    /// A client that says nothing for so long is answered 421.
    pub idle: Duration,
    /// Octets of a message.
    pub message_bytes_max: u64,
    /// Recipients of a mail.
    pub recipients_max: usize,
    /// Nesting of archives.
    pub archive_depth_max: usize,
    /// Archive members.
    pub archive_files_max: usize,
    /// Octets all archives of a mail may unpack to.
    pub archive_expanded_bytes_max: u64,
    /// How many times its packed size a member may unpack to.
    pub archive_ratio_max: u64,
    /// Passwords to try on what is encrypted (`decode.passwords`).
    pub passwords: Arc<[String]>,
}

impl Limits {
    /// The decoder's share of the limits.
    #[must_use]
    pub fn mime(&self) -> mime::Limits {
        mime::Limits {
            archive_depth_max: self.archive_depth_max,
            archive_files_max: self.archive_files_max,
            archive_expanded_bytes_max: self.archive_expanded_bytes_max,
            archive_ratio_max: self.archive_ratio_max,
            passwords: Arc::clone(&self.passwords),
            ..mime::Limits::default()
        }
    }
}

/// A TCP address or the path of a Unix socket.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// `host:port`; the host may be a name.
    Tcp(String),
    /// A path.
    Unix(PathBuf),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// One listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// The name in logs and metrics.
    pub name: Arc<str>,
    /// Where it listens. TCP is an IP address and a port here, never a name.
    pub listen: Address,
    /// Which engine serves it.
    pub mode: ListenerMode,
    /// What is spoken on it.
    pub protocol: ListenerProtocol,
    /// The policy of recipients that no policy claims.
    pub policy: Arc<str>,
    /// Peers that may tell us of another client by XFORWARD.
    pub trust_xforward: Vec<IpNet>,
    /// Peers that may connect; peers on a Unix socket always may.
    pub allow: Vec<IpNet>,
    /// Where mail goes on to.
    pub next_hop: NextHop,
    /// Keywords left out of the EHLO reply, in upper case.
    pub hide: Vec<String>,
    /// Addresses must stand in angle brackets.
    pub strict_addresses: bool,
    /// SUCCESS is taken out of NOTIFY.
    pub terminate_success: bool,
    /// A Received field is added; if not, a field of our own tells loops.
    pub received: bool,
}

/// Which engine serves a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenerMode {
    /// Store and forward: Postfix has the mail in its queue (`content_filter`).
    AfterQueue,
    /// Pass-through: the sender is still there (`smtpd_proxy_filter`).
    PreQueue,
}

/// What is spoken on a listener. `milter` and `policy` are names kept for later and refused for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenerProtocol {
    /// SMTP: one reply at the end of data.
    Smtp,
    /// LMTP: a reply for each recipient.
    Lmtp,
}

/// Where mail goes on to: `smtp://127.0.0.1:10026`, `lmtp://…`, `lmtp:unix:/path`, `smtp:unix:/path`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NextHop {
    /// True for LMTP.
    pub lmtp: bool,
    /// Where it listens.
    pub address: Address,
}

/// A virus scanner.
#[derive(Debug, Clone, PartialEq)]
pub struct Scanner {
    /// The name in logs, findings and metrics.
    pub name: Arc<str>,
    /// What it is and where.
    pub kind: ScannerKind,
    /// For one request.
    pub timeout: Duration,
    /// Larger streams are not sent: the part counts as not scanned.
    pub max_size_bytes: u64,
    /// What to do when it gives no answer.
    pub on_error: OnError,
}

/// What kind of scanner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScannerKind {
    /// clamd; `None` means `auto`: look for it, and mail is handled without it until it was seen.
    Clamd(Option<Address>),
    /// The signatures in `filters/virus/`.
    Builtin,
}

/// What a scanner's silence means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// The mail must wait (451).
    TempFail,
    /// The mail goes on, marked as not scanned.
    Pass,
}

/// What is done about which verdict, for some recipients.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Its name.
    pub name: Arc<str>,
    /// The recipients it holds for: `user@example.org`, `user@`, `example.org`, `.example.org`; the most specific
    /// pattern of all policies wins. Empty: only where a listener names it.
    pub recipients: Vec<String>,
    /// For the verdict of that name, as are the next ones.
    pub virus: Action,
    /// Octets of a message.
    pub message_bytes_max: u64,
    /// See [`Policy::virus`].
    pub banned: Action,
    /// See [`Policy::virus`].
    pub ambiguous: Action,
    /// See [`Policy::virus`].
    pub incomplete: Action,
    /// See [`Policy::virus`].
    pub encrypted: Action,
    /// See [`Policy::virus`].
    pub over_limits: Action,
    /// See [`Policy::virus`].
    pub malformed: Action,
    /// See [`Policy::virus`].
    pub denied: Action,
    /// What is done at most with mail that fails DMARC where its domain asks for more than nothing; `Pass`: nothing.
    pub dmarc: Action,
    /// Thresholds of the spam score.
    pub spam: Thresholds,
    /// Put before the Subject of tagged mail; empty: never touch it.
    pub subject_prefix: String,
    /// Rule sets for attachments, in order; the first rule that fits a part wins.
    pub attachments: Vec<Arc<str>>,
    /// Rules written into the policy itself: the set named `policy.NAME`.
    pub attachment_rules: Vec<AttachmentRule>,
}

/// An attachment rule written into a policy; [`crate::filters::attachments`] says how `matches` is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachmentRule {
    /// `type:executable,script`, `name:*.{lnk,iso}`, `is:encrypted type:archive`.
    pub matches: String,
    /// What is done; `None` stands for `pass`: the part is fine.
    pub action: Option<Action>,
    /// The text of the SMTP reply.
    pub reply: Option<String>,
    /// File of the configuration it stands in.
    pub file: Arc<str>,
    /// Line in it.
    pub line: u32,
}

/// Thresholds of the spam score; `None` is "never". A threshold is reached at its own value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// Tag at.
    pub tag_at: Option<Score>,
    /// Quarantine at.
    pub quarantine_at: Option<Score>,
    /// Reject at: before the queue only.
    pub reject_at: Option<Score>,
}

/// The spam engine.
#[derive(Debug, Clone, PartialEq)]
pub struct Spam {
    /// The rules that come with the program are used.
    pub shipped: bool,
    /// Patterns that hold what other rules caught are asked.
    pub captures: bool,
    /// Files and folders of rules, beside the shipped ones.
    pub rules: Vec<PathBuf>,
    /// Points that replace those of single rules.
    pub points: BTreeMap<String, Score>,
    /// What was learned is asked.
    pub bayes: bool,
    /// Recipients may have learned mail of their own.
    pub bayes_per_user: bool,
    /// Words that are kept.
    pub bayes_words_max: u64,
    /// Verdicts teach.
    pub autolearn: bool,
    /// Ham is learned below so many points.
    pub autolearn_ham_below: Score,
    /// Spam is learned from so many points on.
    pub autolearn_spam_from: Score,
    /// Outgoing mail is remembered, and answers to it are known.
    pub correspondents: bool,
    /// Networks of clients, signing domains and proved senders have a reputation.
    pub reputation: bool,
    /// The file of all this.
    pub learned: PathBuf,
}

/// SPF, DKIM, ARC and DMARC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// Whether they are checked.
    pub check: AuthCheck,
    /// An Authentication-Results field is written.
    pub results: bool,
    /// Domains whose ARC seals are believed: `list.example.org`, `.example.org` (with all below it).
    pub trusted_sealers: Vec<String>,
}

/// Whether authentication is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthCheck {
    /// If resolvers are named.
    Auto,
    /// By whatever resolvers there are.
    On,
    /// Never.
    Off,
}

/// DNS. Nothing is asked unless a list or authentication is switched on.
#[derive(Debug, Clone, PartialEq)]
pub struct Dns {
    /// Addresses of resolvers; empty: those of the system.
    pub resolvers: Vec<SocketAddr>,
    /// For one question.
    pub timeout: Duration,
    /// The site's own lists; empty: none is asked.
    pub blocklists: Blocklists,
    /// The lists that rule files name are asked, too.
    pub rule_lists: bool,
}

/// Files in formats of others.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tables {
    /// header_checks(5) tables for the top header.
    pub header_checks: Vec<PathBuf>,
    /// For MIME headers; `None`: as `header_checks`, which is Postfix's default.
    pub mime_header_checks: Option<Vec<PathBuf>>,
    /// For headers of attached messages; `None`: as `header_checks`.
    pub nested_header_checks: Option<Vec<PathBuf>>,
    /// For body lines.
    pub body_checks: Vec<PathBuf>,
    /// Mail may say that it is this old; zero: as old as it likes.
    pub date_age_max: Duration,
    /// Mail may say that it is from so far ahead; zero: as far as it likes.
    pub date_ahead_max: Duration,
    /// What is done with other mail, as in header_checks(5).
    pub date_action: String,
    /// Senders whose mail gets no spam verdict.
    pub allow: Vec<PathBuf>,
    /// Senders whose mail is denied.
    pub deny: Vec<PathBuf>,
    /// Folder of the site's own filters (`/etc/tamis/filters`); read if it exists.
    pub site_filters: PathBuf,
}

/// The quarantine.
#[derive(Debug, Clone, PartialEq)]
pub struct Quarantine {
    /// Its folder.
    pub store: PathBuf,
    /// How long each class is kept: `spam`, `virus`, `banned`, `other`, `deleted`, `metadata`.
    pub keep: BTreeMap<String, Duration>,
    /// Octets of all messages together; the oldest go first.
    pub max_bytes: u64,
    /// With less space than this, nothing is stored, and mail that needs it must wait (452).
    pub min_free_bytes: u64,
    /// Where released mail goes.
    pub release_to: NextHop,
}

/// The review page.
#[derive(Debug, Clone, PartialEq)]
pub struct Web {
    /// Where it listens; `None`: off.
    pub listen: Option<SocketAddr>,
    /// Its address in mails; empty: none.
    pub public_url: String,
}

/// The log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Where to.
    pub target: LogTarget,
    /// In what form.
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug`, `trace`.
    pub level: String,
    /// How much of addresses is shown.
    pub addresses: LogAddresses,
    /// Whether subjects are logged.
    pub subject: bool,
}

/// Where the log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTarget {
    /// Standard error, which systemd hands to the journal.
    Stderr,
    /// syslog, facility mail, by /dev/log.
    Syslog,
    /// A file, appended to.
    File(PathBuf),
}

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// key=value.
    Text,
    /// One JSON object a line.
    Json,
    /// The main line in amavis' form.
    Amavis,
}

/// How much of addresses is shown in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogAddresses {
    /// As they are.
    Full,
    /// The domain only.
    Domain,
    /// A short digest in place of the local part.
    Hash,
}
