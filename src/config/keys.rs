//! The one table of all keys: kind, default and reason. Checks, `explain`, `show` and `conf/tamis.toml` follow it.

use std::time::Duration;

use super::engines::ENGINE;
use super::schema::{Key, Kind, joined};

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const HOUR: Duration = Duration::from_secs(3_600);
const TEN_YEARS: Duration = Duration::from_secs(3_650 * 86_400);
const KEPT: Kind = Kind::Time(Duration::from_secs(60), TEN_YEARS);
pub(super) const OCTETS: Kind = Kind::Size(1_000, 1 << 50);

pub(super) const fn key(
    path: &'static str,
    kind: Kind,
    default: &'static str,
    about: &'static str,
) -> Key {
    Key { path, kind, default, about }
}

/// Every key, in the order of `conf/tamis.toml`; keys of one table stand together.
pub(super) const KEYS: &[Key] =
    &joined::<{ FIRST.len() + ENGINE.len() + LAST.len() }>([FIRST, ENGINE, LAST]);

const FIRST: &[Key] = &[
    key(
        "mode",
        Kind::Word(&["enforce", "observe"], &[]),
        r#""enforce""#,
        "\"observe\" only says in log and history what would be done, and every mail goes on as it came; for the first days.",
    ),
    key(
        "hostname",
        Kind::Line,
        r#""auto""#,
        "Our name in Received, replies and ids; auto = the name of this machine. Set it if that name is not the one to be seen in mail.",
    ),
    key(
        "state_dir",
        Kind::Path,
        r#""/var/lib/tamis""#,
        "Folder of quarantine and database; change it to move both to a larger disk.",
    ),
    key(
        "local_domains",
        Kind::Domains,
        "[]",
        "Domains whose recipients are ours (\".example.org\": with all below it); only their mail gets X-Spam headers and Subject tags. Empty: every recipient, with a warning.",
    ),
    key(
        "internal_networks",
        Kind::Networks,
        r#"["127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "::1", "fc00::/7", "fe80::/10"]"#,
        "Clients of our own; add your public networks, remove private ones that strangers use.",
    ),
    key(
        "limits.concurrency",
        Kind::Count(1, 10_000),
        "20",
        "Mails inspected at once; keep it equal to maxproc of the Postfix transport, and raise it with cores and scanners.",
    ),
    key(
        "limits.connections",
        Kind::Count(1, 100_000),
        "1000",
        "Sessions at once; more are answered 421. Raise it if Postfix' smtpd processes exceed it.",
    ),
    key(
        "limits.deadline",
        Kind::Time(SECOND, HOUR),
        r#""90s""#,
        "From the end of data to our reply, at most; stay below smtpd_proxy_timeout (100s) before the queue, and smtp_data_done_timeout (600s) after it.",
    ),
    key(
        "limits.idle",
        Kind::Time(SECOND, HOUR),
        r#""300s""#,
        "A client that says nothing for so long is answered 421; lower it if idle sessions use up connections.",
    ),
    key(
        "limits.message_size",
        OCTETS,
        r#""50MB""#,
        "Larger messages are refused with 552; not below Postfix' message_size_limit, or its mail bounces here.",
    ),
    key(
        "limits.recipients",
        Kind::Count(1, 1_000_000),
        "1100",
        "Recipients of one mail; more are answered 452. Not below Postfix' smtpd_recipient_limit (1000).",
    ),
    key(
        "limits.archive.depth",
        Kind::Count(1, 100),
        "12",
        "Archives within archives; deeper is over-limits, never clean.",
    ),
    key(
        "limits.archive.files",
        Kind::Count(1, 10_000_000),
        "5000",
        "Members of all archives of a mail; more is over-limits. Raise it if source trees are mailed.",
    ),
    key(
        "limits.archive.expanded",
        OCTETS,
        r#""500MB""#,
        "What all archives of a mail may unpack to; lower it on small machines.",
    ),
    key(
        "limits.archive.ratio",
        Kind::Count(1, 1_000_000),
        "200",
        "How many times its packed size a member over 1 MiB may unpack to: the mark of an archive bomb.",
    ),
    key(
        "decode.passwords",
        Kind::Lines,
        "[]",
        "Tried on what is encrypted, after the words that stand in the mail, for example [\"1234\", \"password\"]. People who exchange samples of viruses use \"infected\", so that filters let them pass.",
    ),
    key(
        "listener.*.listen",
        Kind::Listen,
        "",
        "Address and port (no names), \"unix:/path\", or \"off\".",
    ),
    key(
        "listener.*.mode",
        Kind::Word(&["after-queue", "pre-queue"], &[]),
        "",
        "\"after-queue\" for content_filter (accept, decide, send on), \"pre-queue\" for smtpd_proxy_filter (answer while the sender waits).",
    ),
    key(
        "listener.*.protocol",
        Kind::Word(&["smtp", "lmtp"], &["milter", "policy"]),
        r#""smtp""#,
        "\"lmtp\" gives a reply for each recipient, for Postfix' lmtp transport.",
    ),
    key(
        "listener.*.policy",
        Kind::Line,
        r#""inbound""#,
        "The policy of recipients that no policy claims by its recipients; give outgoing mail another.",
    ),
    key(
        "listener.*.trust_xforward",
        Kind::Networks,
        r#"["127.0.0.0/8", "::1"]"#,
        "Peers that may name the original client by XFORWARD; add Postfix' address if it runs elsewhere.",
    ),
    key(
        "listener.*.allow",
        Kind::Networks,
        r#"["127.0.0.0/8", "::1"]"#,
        "Peers that may connect, others get 554; add Postfix' address if it runs elsewhere.",
    ),
    key(
        "listener.*.next_hop",
        Kind::NextHop,
        r#""smtp://127.0.0.1:10026""#,
        "Where mail goes on to; 250 is said only after it said 250. Also lmtp://host:port, smtp:unix:/path, lmtp:unix:/path.",
    ),
    key(
        "listener.*.hide",
        Kind::Keywords,
        "[]",
        "Keywords left out of the EHLO reply, for example [\"SMTPUTF8\", \"VRFY\"]; what is not offered is not taken. Without 8BITMIME there is no SMTPUTF8.",
    ),
    key(
        "listener.*.strict_addresses",
        Kind::Boolean,
        "false",
        "Refuse addresses without angle brackets, as Postfix' strict_rfc821_envelopes does; old scripts send such.",
    ),
    key(
        "listener.*.terminate_success",
        Kind::Boolean,
        "false",
        "Take SUCCESS out of NOTIFY, so that no server behind sends reports of success with the names of inner hosts to strangers.",
    ),
    key(
        "listener.*.received",
        Kind::Boolean,
        "true",
        "Add a Received field; without it an X-Tamis-Passed field, which names no host, tells mail that runs in circles.",
    ),
    key(
        "scanner.*.type",
        Kind::Word(&["clamd", "builtin"], &["command", "icap"]),
        "",
        "\"clamd\" speaks to ClamAV's daemon; \"builtin\" is the signatures in filters/virus/.",
    ),
    key(
        "scanner.*.address",
        Kind::ScannerAddress,
        r#""auto""#,
        "\"unix:/run/clamav/clamd.ctl\", \"tcp://10.0.0.5:3310\", \"off\"; auto = look for it, and handle mail without it, marked as not scanned, until it was seen.",
    ),
    key(
        "scanner.*.timeout",
        Kind::Time(Duration::from_millis(100), HOUR),
        r#""30s""#,
        "For one request; keep it below limits.deadline.",
    ),
    key(
        "scanner.*.max_size",
        OCTETS,
        r#""25MB""#,
        "Larger streams are not sent and count as not scanned; raise it together with StreamMaxLength in clamd.conf.",
    ),
    key(
        "scanner.*.on_error",
        Kind::Word(&["tempfail", "pass"], &[]),
        r#""tempfail""#,
        "When it gives no answer: the mail waits (451), or goes on marked as not scanned (\"pass\").",
    ),
];

const LAST: &[Key] = &[
    key(
        "policy.*.extends",
        Kind::Line,
        r#""""#,
        "Another policy; everything not said here comes from there, but for recipients.",
    ),
    key(
        "policy.*.recipients",
        Kind::Recipients,
        "[]",
        "\"user@example.org\", \"user@\", \"example.org\" or \".example.org\"; the most specific pattern of all policies wins. Empty: only where a listener names it.",
    ),
    key(
        "policy.*.virus",
        Kind::Action,
        r#""quarantine""#,
        "pass, tag, quarantine, reject, discard or defer. Before the queue a quarantine of it is a refusal with a copy.",
    ),
    key(
        "policy.*.banned",
        Kind::Action,
        r#""quarantine""#,
        "Attachments, headers and body lines that a rule refuses.",
    ),
    key(
        "policy.*.ambiguous",
        Kind::Action,
        r#""quarantine""#,
        "Two mail readers could see two different messages; the classic way past filters.",
    ),
    key(
        "policy.*.incomplete",
        Kind::Action,
        r#""quarantine""#,
        "A required check gave no answer, time after time.",
    ),
    key(
        "policy.*.encrypted",
        Kind::Action,
        r#""tag""#,
        "Something in it needs a password, so nobody could look; \"quarantine\" where nobody sends such.",
    ),
    key(
        "policy.*.over_limits",
        Kind::Action,
        r#""quarantine""#,
        "Larger, deeper or more than the limits allow to look at.",
    ),
    key(
        "policy.*.malformed",
        Kind::Action,
        r#""tag""#,
        "Broken, but readable in one way only; old programs send such.",
    ),
    key("policy.*.denied", Kind::Action, r#""quarantine""#, "The sender is on a deny list."),
    key(
        "policy.*.dmarc",
        Kind::Word(&["ignore", "tag", "quarantine", "reject"], &[]),
        r#""ignore""#,
        "What is done at most with mail that fails DMARC where its domain asks for quarantine or reject; \"ignore\" leaves it to points, which spares mailing lists.",
    ),
    key(
        "policy.*.subject_prefix",
        Kind::Line,
        r#""""#,
        "Put before the Subject of tagged mail, for example \"[SPAM] \"; empty never touches it and keeps signatures valid.",
    ),
    key(
        "policy.*.message_size",
        OCTETS,
        r#""1TB""#,
        "Larger mail is refused for these recipients (552); limits.message_size holds for all.",
    ),
    key(
        "policy.*.spam.tag_at",
        Kind::Threshold(true),
        "5.0",
        "From so many points on, X-Spam headers say so; or \"never\".",
    ),
    key(
        "policy.*.spam.quarantine_at",
        Kind::Threshold(false),
        "8.0",
        "From so many points on, the mail is kept; or \"never\". Raise it if good mail is held.",
    ),
    key(
        "policy.*.spam.reject_at",
        Kind::Threshold(false),
        "20.0",
        "From so many points on, the mail is refused; or \"never\". Before the queue only: nobody is ever bounced.",
    ),
    key(
        "policy.*.attachments.rules",
        Kind::Rules,
        r#"["default"]"#,
        "Names of rule sets, and rules { match = \"name:*.iso\", action = \"quarantine\", reply = \"…\" }; the first that fits wins. Short: attachments = [\"default\"].",
    ),
    key(
        "spam.shipped",
        Kind::Boolean,
        "true",
        "The rules that come with the program; false: only those named in rules, and the site's own.",
    ),
    key(
        "spam.rules",
        Kind::Paths,
        "[]",
        "Files and folders of SpamAssassin rules, beside the shipped ones.",
    ),
    key(
        "spam.captures",
        Kind::Boolean,
        "false",
        "Patterns of rule files that hold what another rule caught, %{NAME}; SpamAssassin's daemon as good as never hits them.",
    ),
    key(
        "spam.bayes",
        Kind::Word(&["on", "off"], &[]),
        r#""on""#,
        "Whether learned mail is asked; it says nothing before 200 spam and 200 ham were learned (tamis learn).",
    ),
    key(
        "spam.bayes_per_user",
        Kind::Boolean,
        "false",
        "Recipients may have learned mail of their own (tamis learn --user ADDRESS); whoever has not enough of it has the site's.",
    ),
    key(
        "spam.bayes_words",
        Kind::Count(10_000, 1_000_000_000),
        "1000000",
        "Words that are kept, some 25 octets each; beyond it those go that were of no use for the longest time.",
    ),
    key(
        "spam.autolearn",
        Kind::Boolean,
        "false",
        "Verdicts far from the border teach; only where somebody corrects what was learned wrongly.",
    ),
    key(
        "spam.autolearn_ham_below",
        Kind::Points,
        "0.1",
        "Mail with fewer points is learned as ham; rules of learned mail, lists and reputation do not count.",
    ),
    key(
        "spam.autolearn_spam_from",
        Kind::Points,
        "12.0",
        "Mail with so many points is learned as spam, if header and body each have 3 of them.",
    ),
    key(
        "spam.correspondents",
        Kind::Boolean,
        "true",
        "Remember whom our users write to, for their answers; only mail of internal_networks from local_domains counts.",
    ),
    key(
        "spam.reputation",
        Kind::Boolean,
        "false",
        "Networks, signing domains and proved senders that sent spam or ham before have a reputation; it halves in 7 days.",
    ),
    key(
        "spam.learned",
        Kind::Path,
        r#""STATE/learned.db""#,
        "File of all that is learned; moves with state_dir unless set.",
    ),
    key(
        "spam.points.*",
        Kind::Points,
        "",
        "Points of a single rule in place of its own, for example SUBJECT_SHOUTS = 0.5; 0 switches it off.",
    ),
    key(
        "dns.resolvers",
        Kind::Resolvers,
        r#""system""#,
        "Or a list, [\"127.0.0.1:53\"]; blocklists refuse large public resolvers, so that one of your own is best.",
    ),
    key(
        "dns.timeout",
        Kind::Time(Duration::from_millis(100), Duration::from_secs(60)),
        r#""2s""#,
        "For one question; an answer that comes later counts as not run.",
    ),
    key(
        "dns.blocklists",
        Kind::Blocklists,
        "[]",
        "DNS lists to ask: \"bl.example.org\" about clients, or { zone = \"bl.example.org\", what = \"link-domain\", points = 2.0 }, what = client, sender-domain, link-domain or hash; replies = { \"127.0.0.2\" = 3.0 } tells replies apart. Read the list's terms first.",
    ),
    key(
        "dns.rule_lists",
        Kind::Boolean,
        "false",
        "Also ask the lists that SpamAssassin rule files name (check_rbl, urirhssub, askdns …): dozens of questions a mail, to zones with terms of their own.",
    ),
    key(
        "auth.check",
        Kind::Word(&["auto", "on", "off"], &[]),
        r#""auto""#,
        "SPF, DKIM, ARC and DMARC; auto = if dns.resolvers names resolvers, so that nothing is asked of the system's unless you say \"on\".",
    ),
    key(
        "auth.results",
        Kind::Boolean,
        "true",
        "Write an Authentication-Results field in the name of hostname, and remove those that claim to be ours; off where another program does.",
    ),
    key(
        "auth.trusted_sealers",
        Kind::Domains,
        "[]",
        "Mailing lists and forwarders whose ARC seal is believed (\".example.org\": with all below it): mail that fails DMARC here and passed it there does not count as failed.",
    ),
    key(
        "tables.header_checks",
        Kind::Paths,
        "[]",
        "Postfix header_checks(5) tables for the top header, read as they are.",
    ),
    key(
        "tables.mime_header_checks",
        Kind::PathsOrSame,
        r#""$header_checks""#,
        "For MIME headers; as header_checks unless said otherwise, as in Postfix.",
    ),
    key(
        "tables.nested_header_checks",
        Kind::PathsOrSame,
        r#""$header_checks""#,
        "For headers of attached messages; as header_checks unless said otherwise, as in Postfix.",
    ),
    key("tables.body_checks", Kind::Paths, "[]", "For body lines."),
    key(
        "tables.date_max_age",
        Kind::Time(Duration::ZERO, TEN_YEARS),
        r#""0s""#,
        "How long ago mail may say that it was written, for example \"400d\"; 0s: as long as it likes.",
    ),
    key(
        "tables.date_max_ahead",
        Kind::Time(Duration::ZERO, TEN_YEARS),
        r#""0s""#,
        "From how far in the future mail may say that it is, for example \"3d\"; 0s: as far as it likes.",
    ),
    key(
        "tables.date_action",
        Kind::Line,
        r#""DISCARD date""#,
        "What is done with mail beyond these two, as in header_checks(5): \"REJECT 5.7.1 too old\", \"WARN\"; what is discarded is kept as a copy.",
    ),
    key(
        "tables.allow",
        Kind::Paths,
        "[]",
        "Lists of senders whose mail gets no spam verdict; lines: pattern [scope=…] [until=2027-01-31] [# note].",
    ),
    key(
        "tables.deny",
        Kind::Paths,
        "[]",
        "Lists of senders whose mail is denied; lines as in allow.",
    ),
    key(
        "tables.site_filters",
        Kind::Path,
        r#""/etc/tamis/filters""#,
        "Folder of this site's own filters, read if it exists: same file name adds, same rule name replaces.",
    ),
    key(
        "quarantine.store",
        Kind::Store,
        r#""STATE/quarantine""#,
        "Folder of kept mails; moves with state_dir unless set.",
    ),
    key(
        "quarantine.max_size",
        OCTETS,
        r#""2GB""#,
        "All kept messages together; beyond it the oldest go first.",
    ),
    key(
        "quarantine.min_free",
        Kind::Size(0, 1 << 50),
        r#""100MB""#,
        "With less space on the disk nothing is stored, and mail that needs it waits (452).",
    ),
    key(
        "quarantine.release_to",
        Kind::NextHop,
        r#""smtp://127.0.0.1:10026""#,
        "Where released mail goes; never a listener of ours, or it is filtered again.",
    ),
    key(
        "quarantine.keep.spam",
        KEPT,
        r#""14d""#,
        "How long spam is kept; long enough for holidays.",
    ),
    key("quarantine.keep.virus", KEPT, r#""30d""#, "How long mail with viruses is kept."),
    key("quarantine.keep.banned", KEPT, r#""30d""#, "How long mail with banned parts is kept."),
    key("quarantine.keep.other", KEPT, r#""30d""#, "How long everything else is kept."),
    key(
        "quarantine.keep.deleted",
        KEPT,
        r#""24h""#,
        "How long a deleted mail can be brought back.",
    ),
    key(
        "quarantine.keep.metadata",
        KEPT,
        r#""90d""#,
        "How long history without bodies is kept, for reports and explanations.",
    ),
    key(
        "database.url",
        Kind::Database,
        r#""sqlite:STATE/tamis.db""#,
        "The index; moves with state_dir unless set. PostgreSQL is not built in this version.",
    ),
    key(
        "web.listen",
        Kind::Socket,
        r#""127.0.0.1:8025""#,
        "The review page, or \"off\". Not built yet.",
    ),
    key(
        "web.public_url",
        Kind::PublicUrl,
        r#""""#,
        "Address of the page in mails, for example \"https://mail.example.org/quarantine\"; empty: no links.",
    ),
    key(
        "metrics.listen",
        Kind::Socket,
        r#""127.0.0.1:9825""#,
        "Where /metrics, /livez and /readyz answer, or \"off\".",
    ),
    key(
        "log.target",
        Kind::LogTarget,
        r#""stderr""#,
        "\"journal\" (the same under systemd), \"syslog\" (facility mail), or \"file:/var/log/tamis/tamis.log\".",
    ),
    key(
        "log.format",
        Kind::Word(&["text", "json", "amavis"], &[]),
        r#""text""#,
        "\"json\" for log collectors, \"amavis\" for programs that read amavis' lines.",
    ),
    key(
        "log.level",
        Kind::Word(&["error", "warn", "info", "debug", "trace"], &[]),
        r#""info""#,
        "\"debug\" while looking for a fault.",
    ),
    key(
        "log.addresses",
        Kind::Word(&["full", "domain", "hash"], &[]),
        r#""full""#,
        "\"domain\" or \"hash\" where privacy asks for it.",
    ),
    key("log.subject", Kind::Boolean, "false", "Whether subjects are logged; they are content."),
];
