//! Runs the filters over one mail within its deadline, and gathers what they saw.
//!
//! Decoding and matching need the processor and run in one blocking task, in which a panic stays; scanners are waited
//! for beside it.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;
use tokio::time::timeout_at;

use crate::config::ListenerMode;
use crate::filters::virus::{Outcome as Scanned, ScanResult};
use crate::filters::{Mail, NotRun, Weight};
use crate::mail::{Defect, DefectCode, Envelope, Message};
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

/// Looks at a mail. Never fails: what gave no answer is in the report.
pub async fn inspect(site: &Arc<Site>, job: Job) -> Report {
    let deadline = tokio::time::Instant::from_std(job.deadline);
    let (decoded, message) = oneshot::channel();
    let raw = job.body.octets.clone();
    let task = {
        let site = Arc::clone(site);
        tokio::task::spawn_blocking(move || work(&site, job, decoded))
    };
    let scan = async {
        let message = timeout_at(deadline, message).await.ok()?.ok()?;
        let began = Instant::now();
        let outcome = site.scanners.inspect(&message, deadline).await;
        Some((outcome, began.elapsed()))
    };
    let (scanned, worked) = tokio::join!(scan, timeout_at(deadline, task));
    let mut report = match worked {
        Ok(Ok(report)) => report,
        Ok(Err(error)) => {
            tracing::error!(%error, "a filter panicked; this is a bug of Tamis");
            unfinished(raw, "panic", "a filter failed on this mail")
        }
        Err(_) => unfinished(raw, "deadline", "the time for this mail is over"),
    };
    match scanned {
        Some((outcome, took)) => {
            report.timing.push(("virus", took));
            add(&mut report, outcome);
        }
        None => report.not_run.push(NotRun {
            check: "virus".to_owned(),
            why: "the message could not be decoded".to_owned(),
            weight: Weight::Required,
        }),
    }
    report
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

fn work(site: &Site, job: Job, decoded: oneshot::Sender<Arc<Message>>) -> Report {
    let began = Instant::now();
    let limits = mime::Limits { deadline: Some(job.deadline), ..site.config.limits.mime() };
    let mut message = mime::decode(job.body.octets, &limits);
    for (seen, code) in
        [(job.body.bare_cr, DefectCode::BareCr), (job.body.bare_lf, DefectCode::BareLf)]
    {
        if seen && !message.defects.iter().any(|defect| defect.code == code) {
            message.defects.push(Defect { code, part: String::new(), detail: String::new() });
        }
    }
    let message = Arc::new(message);
    let mut report = Report { message: Arc::clone(&message), ..Report::default() };
    report.timing.push(("decode", began.elapsed()));
    // The receiver is gone only if the mail's session is.
    let _ = decoded.send(Arc::clone(&message));
    let mail = Mail { envelope: &job.envelope, message: &message, internal: job.internal };
    if message.defects.iter().any(|defect| defect.code == DefectCode::DeadlineOver) {
        report.not_run.push(NotRun {
            check: "decode".to_owned(),
            why: "the time for this mail was over before it was decoded".to_owned(),
            weight: Weight::Required,
        });
    }
    let began = Instant::now();
    if let Some(builtin) = site.scanners.builtin() {
        add(&mut report, builtin.inspect(&message));
    }
    report.timing.push(("builtin", began.elapsed()));
    let began = Instant::now();
    report.headers = site.checks.inspect(&mail);
    report.timing.push(("headers", began.elapsed()));
    let began = Instant::now();
    report.banned = site.attachments.inspect(&mail, &job.sets);
    report.timing.push(("attachments", began.elapsed()));
    let began = Instant::now();
    let spam = site.engine.inspect(&mail, Some(job.deadline));
    report.score = Some(spam.score);
    report.rules = spam.hits;
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
