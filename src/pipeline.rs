//! Runs the filters over one mail within its deadline, and gathers what they saw.
//!
//! Decoding and matching need the processor. For all but small mails they run in one blocking task, and scanners are
//! waited for beside it. A panic stays in the mail that caused it. Where the site asks the DNS, that is done between
//! decoding and matching, because the rules look at the answers.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::timeout_at;

use crate::config::ListenerMode;
use crate::filters::virus::{Outcome as Scanned, ScanResult};
use crate::filters::{Known, Mail, NotRun, Score, Weight};
use crate::learned;
use crate::mail::{Defect, DefectCode, Envelope, Message, Part, PartFlag};
use crate::mime;
use crate::outside;
use crate::report::{Report, Scan};
use crate::site::Site;
use crate::smtp::body::Body;

/// What the pipeline is given.
#[derive(Debug, Clone)]
pub struct Job {
    /// Who and to whom.
    pub envelope: Arc<Envelope>,
    /// The message.
    pub body: Body,
    /// Rule sets for attachments that the recipients' policies use.
    pub sets: Vec<Arc<str>>,
    /// The original client is one of ours.
    pub internal: bool,
    /// Which engine asks.
    pub mode: ListenerMode,
    /// When every answer must be there.
    pub deadline: Instant,
}

/// A mail of so few octets is looked at where it was received: to hand it to another thread and to be woken by that one
/// costs more than the work itself.
const HERE_BYTES_MAX: usize = 16 << 10;
/// So far it may unpack there. What goes beyond, or over any other limit, is decoded anew in a blocking task: a bomb
/// must not hold up the sessions of others.
const HERE_EXPANDED_BYTES_MAX: u64 = 64 << 10;

/// Looks at a mail. Never fails: what gave no answer is in the report.
pub async fn inspect(site: &Arc<Site>, job: Job) -> Report {
    let outside = !job.internal;
    let mut report = all_engines(site, job).await;
    report.outside = outside;
    report
}

/// Looks at a mail with our own filters, and asks other engines beside them.
async fn all_engines(site: &Arc<Site>, job: Job) -> Report {
    let deadline = tokio::time::Instant::from_std(job.deadline);
    if site.engines.is_empty() {
        return look(site, job, deadline).await;
    }
    // Other engines get the mail as it came, so that they are asked before anything is decoded.
    let (envelope, octets) = (Arc::clone(&job.envelope), job.body.octets.clone());
    let asked = site.engines.ask(&envelope, &octets, deadline);
    let (asked, mut report) = tokio::join!(asked, look(site, job, deadline));
    asked.add_to(&mut report);
    report
}

/// Looks at a mail with all that is our own, scanners and the DNS.
async fn look(site: &Arc<Site>, job: Job, deadline: tokio::time::Instant) -> Report {
    if site.outside.asks() {
        return inspect_and_ask(site, job, deadline).await;
    }
    if let Some(mut report) = here(site, &job) {
        let message = Arc::clone(&report.message);
        let scanned = match is_finished(&report) {
            true => Some(scan(site, &message, deadline).await),
            false => None,
        };
        add_scan(&mut report, scanned);
        return report;
    }
    let (decoded, message) = oneshot::channel();
    let raw = job.body.octets.clone();
    // Scanners that must be waited for begin as soon as the message is decoded; without them, to be woken for it is
    // in vain.
    let waits = site.scanners.has_outside();
    let task = {
        let site = Arc::clone(site);
        tokio::task::spawn_blocking(move || work(&site, &job, waits.then_some(decoded)))
    };
    let beside = async {
        match timeout_at(deadline, message).await {
            Ok(Ok(message)) => Some(scan(site, &message, deadline).await),
            Ok(Err(_)) | Err(_) => None,
        }
    };
    let (mut scanned, worked) = tokio::join!(beside, timeout_at(deadline, task));
    let mut report = match worked {
        Ok(Ok(report)) => report,
        Ok(Err(error)) => {
            tracing::error!(%error, "a filter panicked; this is a bug of Tamis");
            unfinished(raw, "panic", "a filter failed on this mail")
        }
        Err(_) => unfinished(raw, "deadline", "the time for this mail is over"),
    };
    if !waits && is_finished(&report) {
        let message = Arc::clone(&report.message);
        scanned = Some(scan(site, &message, deadline).await);
    }
    add_scan(&mut report, scanned);
    report
}

/// Decodes; then scanners look at the message, and the DNS is asked and the rules after it, side by side.
async fn inspect_and_ask(site: &Arc<Site>, job: Job, deadline: tokio::time::Instant) -> Report {
    let began = Instant::now();
    let raw = job.body.octets.clone();
    let job = Arc::new(job);
    let (message, small) = match caught(|| decode_here(site, &job)) {
        Some(Some(message)) => (message, true),
        None => return unfinished(raw, "panic", "a filter failed on this mail"),
        Some(None) => {
            let (site, job) = (Arc::clone(site), Arc::clone(&job));
            let task = tokio::task::spawn_blocking(move || decode_all(&site, &job));
            match in_time(deadline, task).await {
                Ok(message) => (message, false),
                Err((check, why)) => return unfinished(raw, check, why),
            }
        }
    };
    let message = Arc::new(message);
    let judged = async {
        let question = outside::Question {
            config: &site.config,
            engine: &site.engine,
            envelope: &job.envelope,
            message: &message,
            internal: job.internal,
        };
        let asked = site.outside.ask(&question, job.deadline).await;
        let known = Arc::new(asked.known);
        let filtered = if small {
            caught(|| filter(site, &job, Arc::clone(&message), began, &known))
                .ok_or(("panic", "a filter failed on this mail"))
        } else {
            let (site, job) = (Arc::clone(site), Arc::clone(&job));
            let (message, known) = (Arc::clone(&message), Arc::clone(&known));
            let work = move || filter(&site, &job, message, began, &known);
            in_time(deadline, tokio::task::spawn_blocking(work)).await
        };
        let mut report = match filtered {
            Ok(report) => report,
            Err((check, why)) => unfinished(raw, check, why),
        };
        report.timing.push(("dns", asked.took));
        report.auth.clone_from(&known.auth);
        report.writes_results = site.outside.writes_results() && !job.internal;
        report.not_run.extend(asked.not_run);
        report.off = site.outside.off();
        report
    };
    let (scanned, mut report) = tokio::join!(scan(site, &message, deadline), judged);
    add_scan(&mut report, Some(scanned));
    report
}

/// The result of a task; else the check that failed, and why.
async fn in_time<T>(
    deadline: tokio::time::Instant,
    task: tokio::task::JoinHandle<T>,
) -> Result<T, (&'static str, &'static str)> {
    match timeout_at(deadline, task).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => {
            tracing::error!(%error, "a filter panicked; this is a bug of Tamis");
            Err(("panic", "a filter failed on this mail"))
        }
        Err(_) => Err(("deadline", "the time for this mail is over")),
    }
}

/// Does work on this thread; a panic stays in this mail, as it would in a task of its own.
fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    let done = std::panic::catch_unwind(AssertUnwindSafe(work));
    if done.is_err() {
        tracing::error!("a filter panicked; this is a bug of Tamis");
    }
    done.ok()
}

/// The work on a small mail, done at once; `None` if it turns out to be a large one.
fn here(site: &Site, job: &Job) -> Option<Report> {
    let worked = caught(|| {
        let began = Instant::now();
        let message = decode_here(site, job)?;
        Some(filter(site, job, Arc::new(message), began, Known::NOTHING))
    });
    worked.unwrap_or_else(|| {
        let raw = job.body.octets.clone();
        Some(unfinished(raw, "panic", "a filter failed on this mail"))
    })
}

/// Decodes a small mail; `None` if it turns out to be a large one.
fn decode_here(site: &Site, job: &Job) -> Option<Message> {
    if job.body.octets.len() > HERE_BYTES_MAX {
        return None;
    }
    let limits = site.config.limits.mime();
    let small = mime::Limits {
        archive_expanded_bytes_max: limits.archive_expanded_bytes_max.min(HERE_EXPANDED_BYTES_MAX),
        // Passwords take time to try.
        work_max: 0,
        ..limits
    };
    let message = decode(job, &small);
    // A decoding that met no limit, and nothing that needs work, is that of any higher limits.
    let has_work = |part: &Part| part.is(PartFlag::Encrypted) || part.is(PartFlag::Unscannable);
    let is_small = !message.defects.iter().any(|defect| defect.code.is_limit())
        && !message.parts.iter().any(has_work);
    is_small.then_some(message)
}

/// False if the filters were broken off: what is known of the message then is not what scanners should be told.
fn is_finished(report: &Report) -> bool {
    !report.not_run.iter().any(|missing| matches!(&*missing.check, "panic" | "deadline"))
}

/// Asks the scanners outside this program.
async fn scan(
    site: &Site,
    message: &Arc<Message>,
    deadline: tokio::time::Instant,
) -> (Scanned, Duration) {
    let began = Instant::now();
    let outcome = site.scanners.inspect(message, deadline).await;
    (outcome, began.elapsed())
}

fn add_scan(report: &mut Report, scanned: Option<(Scanned, Duration)>) {
    match scanned {
        Some((outcome, took)) => {
            report.timing.push(("virus", took));
            add(report, outcome);
        }
        None => report.not_run.push(NotRun {
            check: "virus".to_owned(),
            why: "the message could not be decoded".to_owned(),
            weight: Weight::Required,
        }),
    }
}

fn unfinished(raw: bytes::Bytes, check: &str, why: &str) -> Report {
    let body_start = memchr::memmem::find(&raw, b"\r\n\r\n").map_or(raw.len(), |at| at + 4);
    let message = Message { raw, body_start, ..Message::default() };
    Report {
        message: Arc::new(message),
        not_run: vec![NotRun {
            check: check.to_owned(),
            why: why.to_owned(),
            weight: Weight::Required,
        }],
        ..Report::default()
    }
}

fn work(site: &Site, job: &Job, decoded: Option<oneshot::Sender<Arc<Message>>>) -> Report {
    let began = Instant::now();
    let message = Arc::new(decode_all(site, job));
    if let Some(decoded) = decoded {
        // The receiver is gone only if the mail's session is.
        let _ = decoded.send(Arc::clone(&message));
    }
    filter(site, job, message, began, Known::NOTHING)
}

fn decode_all(site: &Site, job: &Job) -> Message {
    let limits = mime::Limits {
        deadline: Some(job.deadline),
        room: Some(Arc::clone(&site.room)),
        ..site.config.limits.mime()
    };
    decode(job, &limits)
}

fn decode(job: &Job, limits: &mime::Limits) -> Message {
    let mut message = mime::decode(job.body.octets.clone(), limits);
    message.lone_cr.clone_from(&job.body.lone_cr);
    for (seen, code) in
        [(job.body.bare_cr, DefectCode::BareCr), (job.body.bare_lf, DefectCode::BareLf)]
    {
        if seen && !message.defects.iter().any(|defect| defect.code == code) {
            message.defects.push(Defect { code, part: String::new(), detail: String::new() });
        }
    }
    message
}

/// Runs the filters that need only the processor. `began`: when decoding did.
fn filter(site: &Site, job: &Job, message: Arc<Message>, began: Instant, known: &Known) -> Report {
    let mut report = Report { message: Arc::clone(&message), ..Report::default() };
    report.off = site.outside.off();
    report.timing.push(("decode", began.elapsed()));
    let (learned, standing, silent) =
        learned::known(site, &job.envelope, &message, known.auth.as_deref(), job.internal);
    report.correspondent_days = standing.correspondent_days;
    report.not_run.extend(silent);
    let known = Known { learned, standing, ..known.clone() };
    let mail = Mail {
        envelope: &job.envelope,
        message: &message,
        internal: job.internal,
        received: jiff::Timestamp::now(),
        known: &known,
    };
    for (code, why) in [
        (DefectCode::DeadlineOver, "the time for this mail was over before it was decoded"),
        (DefectCode::NoRoom, "other mails hold the memory for what is unpacked"),
    ] {
        if message.defects.iter().any(|defect| defect.code == code) {
            report.not_run.push(NotRun {
                check: "decode".to_owned(),
                why: why.to_owned(),
                weight: Weight::Required,
            });
        }
    }
    let began = Instant::now();
    if let Some(builtin) = site.scanners.builtin() {
        add(&mut report, builtin.inspect(&message));
    }
    report.timing.push(("builtin", began.elapsed()));
    let began = Instant::now();
    report.headers = site.checks.inspect(&mail);
    report.timing.push(("headers", began.elapsed()));
    report.defects = site.defects.inspect(&message.defects);
    let began = Instant::now();
    report.banned = site.attachments.inspect(&mail, &job.sets);
    report.timing.push(("attachments", began.elapsed()));
    let began = Instant::now();
    spam(site, job, &mail, &mut report);
    report.timing.push(("spam", began.elapsed()));
    report
}

/// Asks the rules, and reads what the site's own DNS lists said.
fn spam(site: &Site, job: &Job, mail: &Mail<'_>, report: &mut Report) {
    let spam = site.engine.inspect(mail, Some(job.deadline));
    report.score = Some(spam.score);
    report.rules = spam.hits;
    if let Some(answers) = &mail.known.dns {
        let listed = site.config.dns.blocklists.inspect(mail, answers);
        let points: Score = listed.iter().map(|hit| hit.score).sum();
        report.score = Some(spam.score + points);
        report.rules.extend(listed);
        report.not_run.extend(site.config.dns.blocklists.left_out(mail));
    }
    report.learning = spam.learning;
    report.not_run.extend(spam.not_run);
    report.lists = site.lists.find(mail);
}

fn add(report: &mut Report, outcome: Scanned) {
    report.viruses.extend(outcome.hits);
    report.suspicious.extend(outcome.suspicious);
    report.not_run.extend(outcome.not_run);
    let took = |name: &str| {
        outcome.scanned_by.iter().find(|(known, _)| known == name).map(|(_, took)| *took)
    };
    for status in &outcome.status {
        let answer = match &status.result {
            ScanResult::Clean => "clean".to_owned(),
            ScanResult::Infected => "infected".to_owned(),
            ScanResult::NotScanned(why) => format!("not scanned: {why}"),
        };
        report.scans.push(Scan {
            scanner: status.name.clone(),
            answer,
            took: took(&status.name).unwrap_or_default(),
        });
    }
}
