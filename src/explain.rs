//! Why: the same explanation for `scan`, `explain`, the quarantine and the facts record.

use serde_json::{Value, json};

use crate::config::Listener;
use crate::filters::auth::{Auth, Spf};
use crate::filters::{Score, TableAction};
use crate::mail::{Envelope, Message, Part};
use crate::policy::{Decision, reply_for};
use crate::report::{Opinion, Report};
use crate::smtp::Reply;

/// Version of the layout of the facts record.
pub const FACTS_LAYOUT: u32 = 1;
/// Parts and links listed in one record.
const LISTED_MAX: usize = 200;

/// The object that `scan --json` prints, with what the facts record adds: `layout`, `listener`, `envelope`.
#[must_use]
pub fn facts(
    id: &str,
    listener: &Listener,
    envelope: &Envelope,
    report: &Report,
    decisions: &[Decision],
    refusal: Option<&Reply>,
) -> Value {
    // The worst recipient stands for the mail.
    let order = |decision: &&Decision| (decision.action.delivers(), decision.verdict);
    let worst = decisions.iter().min_by_key(order);
    let reply = match (refusal, worst) {
        (Some(reply), _) => reply.to_string(),
        (None, Some(decision)) if decision.action.delivers() => "250 2.0.0 Ok".to_owned(),
        (None, Some(decision)) => reply_for(report, decision, id).to_string(),
        (None, None) => String::new(),
    };
    json!({
        "layout": FACTS_LAYOUT,
        "file": Value::Null,
        "id": id,
        "listener": &*listener.name,
        "envelope": {
            "sender": envelope.sender.address,
            "helo": envelope.helo,
            "client": {
                "address": envelope.client.address,
                "name": envelope.client.name,
                "helo": envelope.client.helo,
                "ident": envelope.client.ident,
            },
        },
        "subject": header_text(&report.message, "Subject"),
        "size": report.message.raw.len(),
        "verdict": worst.map_or("clean", |decision| decision.verdict.as_str()),
        "action": worst.map_or("pass", |decision| decision.action.as_str()),
        "reply": reply,
        "score": report.score.map(Score::as_f64),
        "thresholds": thresholds(worst),
        "reasons": worst.map_or(Vec::new(), reasons),
        "rules": each(&report.rules, |hit| json!({
            "name": &*hit.name, "score": hit.score.as_f64(), "describe": &*hit.describe,
            "evidence": hit.evidence, "place": hit.place, "source": hit.source.to_string(),
        })),
        "viruses": each(&report.viruses, virus),
        "suspicious": each(&report.suspicious, virus),
        "scanners": each(&report.scans, |scan| json!({ "scanner": scan.scanner, "answer": scan.answer })),
        "engines": each(&report.opinions, opinion),
        "banned": each(&report.banned, |hit| json!({
            "part": hit.part, "name": hit.name, "rule": &*hit.rule, "reason": hit.reason,
            "set": &*hit.set, "source": hit.source.to_string(),
        })),
        "headers": each(&report.headers, |hit| json!({
            "table": hit.table, "line": hit.source.to_string(), "action": action(&hit.action), "text": hit.text,
        })),
        "lists": each(&report.lists, |hit| json!({
            "list": if hit.deny { "deny" } else { "allow" }, "pattern": &*hit.pattern, "address": hit.address,
            "source": hit.source.to_string(),
        })),
        "auth": auth(report.auth.as_deref()),
        "parts": each(&report.message.parts, part),
        "links": each(&report.message.links, |link| link.url.as_str().into()),
        "defects": each(&report.message.defects, |defect| defect.to_string().into()),
        "not_run": not_run(report),
        "recipients": envelope.recipients.iter().zip(decisions).map(|(recipient, decision)| json!({
            "address": recipient.address(), "verdict": decision.verdict.as_str(),
            "action": decision.action.as_str(), "policy": &*decision.policy.name,
            "reasons": reasons(decision),
        })).collect::<Vec<_>>(),
        "left_off": left_off(report),
        "timing_ms": report.timing.iter().map(|(stage, took)| {
            ((*stage).to_owned(), json!(milliseconds(*took)))
        }).collect::<serde_json::Map<_, _>>(),
    })
}

/// How many entries the lists leave off, for those that do.
fn left_off(report: &Report) -> serde_json::Map<String, Value> {
    let message = &report.message;
    [
        ("rules", report.rules.len()),
        ("viruses", report.viruses.len()),
        ("banned", report.banned.len()),
        ("headers", report.headers.len()),
        ("parts", message.parts.len()),
        ("links", message.links.len()),
        ("defects", message.defects.len()),
    ]
    .into_iter()
    .filter(|(_, count)| *count > LISTED_MAX)
    .map(|(list, count)| (list.to_owned(), (count - LISTED_MAX).into()))
    .collect()
}

fn thresholds(decision: Option<&Decision>) -> Value {
    let at = |pick: fn(&crate::config::Thresholds) -> Option<Score>| {
        decision.and_then(|decision| pick(&decision.policy.spam)).map(Score::as_f64)
    };
    json!({
        "tag_at": at(|t| t.tag_at),
        "quarantine_at": at(|t| t.quarantine_at),
        "reject_at": at(|t| t.reject_at),
    })
}

/// At most [`LISTED_MAX`] of them, each as a value.
fn each<T>(items: &[T], value: impl Fn(&T) -> Value) -> Vec<Value> {
    items.iter().take(LISTED_MAX).map(value).collect()
}

fn virus(hit: &crate::filters::VirusHit) -> Value {
    json!({ "scanner": hit.scanner, "name": hit.name, "part": hit.part })
}

/// What another engine said, in its own points.
fn opinion(opinion: &Opinion) -> Value {
    json!({
        "name": opinion.engine,
        "score": opinion.score.as_f64(),
        "required": opinion.required.map(Score::as_f64),
        "verdict": opinion.verdict,
        "took_ms": milliseconds(opinion.took),
        "symbols": each(&opinion.symbols, |symbol| json!({
            "name": symbol.name, "score": symbol.score.as_f64(), "describe": symbol.describe,
            "options": symbol.options,
        })),
    })
}

fn milliseconds(took: std::time::Duration) -> f64 {
    (took.as_secs_f64() * 1e6).round() / 1000.0
}

fn reasons(decision: &Decision) -> Vec<String> {
    decision
        .reasons
        .iter()
        .take(LISTED_MAX)
        .map(|reason| format!("{} ({}): {}", reason.verdict, reason.action, reason.text))
        .collect()
}

/// Who vouches for the mail, a word for each method, and `detail`; `null` for what was not checked.
fn auth(auth: Option<&Auth>) -> Value {
    let Some(auth) = auth else {
        return json!({ "spf": null, "dkim": null, "dmarc": null, "arc": null });
    };
    json!({
        "spf": auth.envelope().map(|spf| spf.result.as_str()),
        "dkim": auth.signed().as_str(),
        "dmarc": auth.dmarc.as_ref().map(|one| one.result.as_str()),
        "arc": auth.arc.as_ref().map_or("none", |one| one.result.as_str()),
        "detail": {
            "spf": auth.spf.as_ref().map(spf),
            "helo": auth.helo.as_ref().map(spf),
            "dkim": each(&auth.dkim, |one| json!({
                "result": one.result.as_str(), "domain": one.domain, "selector": one.selector,
                "identity": one.identity, "why": one.why,
            })),
            "dmarc": auth.dmarc.as_ref().map(|one| json!({
                "result": one.result.as_str(), "domain": one.domain, "policy": one.policy.as_str(),
                "why": one.why, "override": Some(&one.overridden).filter(|by| !by.is_empty()),
            })),
            "arc": auth.arc.as_ref().map(|one| json!({
                "result": one.result.as_str(), "length": one.length, "sealer": one.sealer, "why": one.why,
            })),
        },
    })
}

fn spf(spf: &Spf) -> Value {
    json!({
        "result": spf.result.as_str(), "domain": spf.domain, "why": spf.why,
        "explanation": spf.explanation,
    })
}

/// What gave no answer, and what is switched off: both are named.
fn not_run(report: &Report) -> Vec<Value> {
    let missing =
        |missing: &crate::filters::NotRun| json!({ "check": missing.check, "why": missing.why });
    report.not_run.iter().chain(&*report.off).map(missing).collect()
}

fn part(part: &Part) -> Value {
    json!({
        "path": part.path,
        "depth": part.depth,
        "name": part.names.first(),
        "names": part.names,
        "declared_type": part.declared_type,
        "type": part.types.first().map(|kind| kind.short),
        "types": part.types.iter().map(|kind| kind.short).collect::<Vec<_>>(),
        "size": part.data.len(),
        "sha256": hex(&part.sha256),
        "flags": part.flags.iter().map(|flag| flag.as_str()).collect::<Vec<_>>(),
    })
}

fn hex(octets: &[u8]) -> String {
    use std::fmt::Write as _;
    octets.iter().fold(String::with_capacity(octets.len() * 2), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    })
}

/// The action's name as tables write it.
#[must_use]
pub fn action(action: &TableAction) -> &'static str {
    match action {
        TableAction::Bcc(_) => "BCC",
        TableAction::Discard(_) => "DISCARD",
        TableAction::Filter(_) => "FILTER",
        TableAction::Hold(_) => "HOLD",
        TableAction::Ignore => "IGNORE",
        TableAction::Strip(_) => "STRIP",
        TableAction::Info(_) => "INFO",
        TableAction::Warn(_) => "WARN",
        TableAction::Pass => "PASS",
        TableAction::Prepend(_) => "PREPEND",
        TableAction::Replace(_) => "REPLACE",
        TableAction::Redirect(_) => "REDIRECT",
        TableAction::Reject { .. } => "REJECT",
    }
}

/// A header field's value for people: unfolded, decoded, control characters replaced, at most 500 characters.
#[must_use]
pub fn header_text(message: &Message, name: &str) -> String {
    let Some(value) = message.value(name) else { return String::new() };
    let value = value.get(..value.len().min(4000)).unwrap_or_default();
    let text = crate::mime::words::decode(value);
    text.trim().chars().take(500).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
