//! Runs the filters over one mail within its deadline, and gathers what they saw.
//!
//! Decoding and matching need the processor. For all but small mails they run in one blocking task, and scanners are
//! waited for beside it. A panic stays in the mail that caused it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::timeout_at;

use crate::config::ListenerMode;
use crate::filters::virus::{Outcome as Scanned, ScanResult};
use crate::filters::{Known, Mail, NotRun, Weight};
use crate::learned;
use crate::mail::{Defect, DefectCode, Envelope, Message, Part, PartFlag};
use crate::mime;
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
    let deadline = tokio::time::Instant::from_std(job.deadline);
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

/// The work on a small mail, done at once; `None` if it turns out to be a large one.
fn here(site: &Site, job: &Job) -> Option<Report> {
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
    // A panic stays in this mail, as it would in a task of its own.
    let worked = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let began = Instant::now();
        let message = decode(job, &small);
        // A decoding that met no limit, and nothing that needs work, is that of any higher limits.
        let has_work = |part: &Part| part.is(PartFlag::Encrypted) || part.is(PartFlag::Unscannable);
        let is_small = !message.defects.iter().any(|defect| defect.code.is_limit())
            && !message.parts.iter().any(has_work);
        is_small.then(|| filter(site, job, Arc::new(message), began))
    }));
    worked.unwrap_or_else(|_| {
        tracing::error!("a filter panicked; this is a bug of Tamis");
        let raw = job.body.octets.clone();
        Some(unfinished(raw, "panic", "a filter failed on this mail"))
    })
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
    let limits = mime::Limits {
        deadline: Some(job.deadline),
        room: Some(Arc::clone(&site.room)),
        ..site.config.limits.mime()
    };
    let message = Arc::new(decode(job, &limits));
    if let Some(decoded) = decoded {
        // The receiver is gone only if the mail's session is.
        let _ = decoded.send(Arc::clone(&message));
    }
    filter(site, job, message, began)
}

fn decode(job: &Job, limits: &mime::Limits) -> Message {
    let mut message = mime::decode(job.body.octets.clone(), limits);
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
fn filter(site: &Site, job: &Job, message: Arc<Message>, began: Instant) -> Report {
    let mut report = Report { message: Arc::clone(&message), ..Report::default() };
    report.timing.push(("decode", began.elapsed()));
    let (learned, standing, silent) = learned::known(site, &job.envelope, &message, job.internal);
    report.not_run.extend(silent);
    let known = Known { learned, standing };
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
    let spam = site.engine.inspect(&mail, Some(job.deadline));
    report.score = Some(spam.score);
    report.rules = spam.hits;
    report.learning = spam.learning;
    report.not_run.extend(spam.not_run);
    report.lists = site.lists.find(&mail);
    report.timing.push(("spam", began.elapsed()));
    report
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
