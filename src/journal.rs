//! One line a mail, and the only place that knows its shape.

mod amavis;
mod writer;

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::config::{ListenerMode, Log, LogAddresses, LogFormat, Mode};
use crate::delivery::Outcome;
use crate::examine::Examined;
use crate::explain;
use crate::filters::TableAction;
use crate::mail::Envelope;
use crate::smtp::Reply;

pub use writer::Target;

/// Everything that is known at the end of a mail.
#[derive(Debug)]
pub struct Entry<'a> {
    /// The listener.
    pub listener: &'a str,
    /// Its engine.
    pub listener_mode: ListenerMode,
    /// Enforce or observe.
    pub mode: Mode,
    /// Who handed it to us.
    pub peer: IpAddr,
    /// Who and to whom.
    pub envelope: &'a Envelope,
    /// What was seen and judged.
    pub examined: &'a Examined,
    /// What became of it.
    pub outcome: &'a Outcome,
    /// From the end of data to our reply.
    pub took: Duration,
    /// For the direction of each recipient.
    pub local: Vec<bool>,
    /// The client is one of ours.
    pub internal: bool,
}

/// Writes the journal.
#[derive(Debug, Clone)]
pub struct Journal {
    format: LogFormat,
    addresses: LogAddresses,
    subject: bool,
    target: Target,
}

impl Journal {
    /// As configured, to the same place as the log.
    #[must_use]
    pub fn new(log: &Log, target: Target) -> Self {
        Self { format: log.format, addresses: log.addresses, subject: log.subject, target }
    }

    /// Writes the line of one mail, and a line for each table entry that asks for one.
    pub fn mail(&self, entry: &Entry<'_>) {
        for hit in &entry.examined.report.headers {
            self.table(entry, hit);
        }
        match self.format {
            LogFormat::Text => self.target.line(&self.text(entry)),
            LogFormat::Json => self.target.object(self.fields(entry)),
            LogFormat::Amavis => {
                for line in amavis::lines(entry, |address| self.address(address)) {
                    self.target.line(&line);
                }
            }
        }
    }

    /// As cleanup(8) logs it: `warning: header Subject: … from host[ip]; from=<> to=<> proto=ESMTP helo=<>: text`.
    fn table(&self, entry: &Entry<'_>, hit: &crate::filters::HeaderHit) {
        let (word, text) = match &hit.action {
            TableAction::Reject { enhanced, text, .. } => ("reject", format!("{enhanced} {text}")),
            TableAction::Warn(text) => ("warning", text.clone()),
            TableAction::Info(text) => ("info", text.clone()),
            TableAction::Hold(text) => ("hold", text.clone()),
            TableAction::Discard(text) => ("discard", text.clone()),
            TableAction::Strip(text) => ("strip", text.clone()),
            TableAction::Prepend(text) => ("prepend", text.clone()),
            TableAction::Replace(text) => ("replace", text.clone()),
            TableAction::Redirect(text) => ("redirect", text.clone()),
            TableAction::Bcc(text) => ("bcc", text.clone()),
            TableAction::Filter(text) => ("filter", text.clone()),
            TableAction::Ignore | TableAction::Pass => return,
        };
        let what = if hit.table == "body_checks" { "body" } else { "header" };
        let client = &entry.envelope.client;
        let address =
            client.address.map_or_else(|| "unknown".to_owned(), |address| address.to_string());
        let to = entry.envelope.recipients.first().map_or("", |recipient| recipient.address());
        let mut line = format!(
            "{}: {word}: {what} {} from {}[{address}]; from=<{}> to=<{}> proto={} helo=<{}>",
            entry.examined.id.as_str(),
            hit.text,
            client.name.as_deref().unwrap_or("unknown"),
            self.address(&entry.envelope.sender.address),
            self.address(to),
            client.proto.as_deref().unwrap_or(entry.envelope.protocol.as_str()),
            client.helo.as_deref().unwrap_or_default(),
        );
        if !text.is_empty() {
            let _ = write!(line, ": {text}");
        }
        self.target.line(&clean(&line));
    }

    fn text(&self, entry: &Entry<'_>) -> String {
        let mut line = String::with_capacity(512);
        for (key, value) in self.fields(entry) {
            let value = match value {
                Value::Null => continue,
                Value::String(text) if text.is_empty() => continue,
                Value::String(text) => text,
                Value::Array(items) if items.is_empty() => continue,
                Value::Array(items) => items
                    .iter()
                    .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned))
                    .collect::<Vec<_>>()
                    .join(","),
                other @ (Value::Bool(_) | Value::Number(_) | Value::Object(_)) => other.to_string(),
            };
            if !line.is_empty() {
                line.push(' ');
            }
            let value = clean(&value);
            if value.contains([' ', '"']) {
                let _ =
                    write!(line, "{key}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""));
            } else {
                let _ = write!(line, "{key}={value}");
            }
        }
        line
    }

    fn fields(&self, entry: &Entry<'_>) -> Map<String, Value> {
        let (examined, envelope) = (entry.examined, entry.envelope);
        let report = &examined.report;
        let facts = &examined.facts;
        let get = |key: &str| facts.get(key).cloned().unwrap_or(Value::Null);
        let to: Vec<Value> = envelope
            .recipients
            .iter()
            .take(10)
            .map(|recipient| Value::from(format!("<{}>", self.address(recipient.address()))))
            .collect();
        let mut top: Vec<_> = report.rules.iter().collect();
        top.sort_by_key(|hit| std::cmp::Reverse(hit.score.0.abs()));
        let sum = |keep: fn(i32) -> bool| {
            let sum: crate::filters::Score =
                report.rules.iter().map(|hit| hit.score).filter(|score| keep(score.0)).sum();
            sum.to_string()
        };
        let scans: Vec<Value> = report
            .scans
            .iter()
            .map(|scan| {
                format!("{}:{}:{}ms", scan.answer, scan.scanner, scan.took.as_millis()).into()
            })
            .collect();
        let auth = |method| result_of(facts, method);
        let reply = entry.outcome.reply.as_ref().map(ToString::to_string);
        let observed = entry.mode == Mode::Observe;
        let value = json!({
            "id": examined.id.as_str(),
            "in": envelope.client.ident,
            "out": entry.outcome.accepted.iter().filter_map(|text| queued_as(text)).collect::<Vec<_>>(),
            "listener": entry.listener,
            "policy": examined.decisions.first().map(|decision| decision.policy.name.to_string()),
            "mode": observed.then_some("observe"),
            "client": envelope.client.address.unwrap_or(entry.peer),
            "client_name": envelope.client.name,
            "helo": envelope.client.helo.clone().unwrap_or_else(|| envelope.helo.clone()),
            "from": format!("<{}>", self.address(&envelope.sender.address)),
            "rcpts": envelope.recipients.len(),
            "to": to,
            "size": report.message.raw.len(),
            "mid": explain::header_text(&report.message, "Message-ID"),
            "subject": self.subject.then(|| explain::header_text(&report.message, "Subject")),
            "verdict": get("verdict"),
            "action": get("action"),
            "score": report.score.map(|score| score.to_string()),
            "pos": sum(|points| points > 0),
            "neg": sum(|points| points < 0),
            "top": top.iter().take(5).map(|hit| format!("{}:{}", hit.name, hit.score)).collect::<Vec<_>>(),
            "virus": scans,
            "spf": auth("spf"),
            "dkim": auth("dkim"),
            "dmarc": auth("dmarc"),
            "arc": auth("arc"),
            "names": report.viruses.iter().map(|hit| hit.name.as_str()).collect::<Vec<_>>(),
            "banned": report.banned.iter().take(3).map(|hit| hit.name.as_str()).collect::<Vec<_>>(),
            "defects": report.message.defects.iter().take(5).map(|defect| defect.code.as_str()).collect::<Vec<_>>(),
            "skipped": report.not_run.iter().map(|missing| missing.check.as_str()).collect::<Vec<_>>(),
            "q": entry.outcome.quarantined.as_ref().map(|stored| stored.file.as_str()),
            "reply": reply,
            "took": format!("{:.3}", entry.took.as_secs_f64()),
        });
        match value {
            Value::Object(fields) => fields,
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => Map::new(),
        }
    }

    /// An address as the configuration lets it be logged.
    fn address(&self, address: &str) -> String {
        let Some((local, domain)) = address.rsplit_once('@') else { return address.to_owned() };
        match self.addresses {
            LogAddresses::Full => address.to_owned(),
            LogAddresses::Domain => format!("@{domain}"),
            LogAddresses::Hash => {
                use sha2::Digest as _;
                let digest = sha2::Sha256::digest(local.to_lowercase().as_bytes());
                let short: String =
                    digest.iter().take(5).map(|octet| format!("{octet:02x}")).collect();
                format!("{short}@{domain}")
            }
        }
    }

    /// A session that was refused or broke off before there was a mail.
    pub fn session(&self, listener: &str, peer: IpAddr, what: &Reply) {
        tracing::info!(listener, %peer, reply = %what, "session ended by us");
    }
}

/// A stranger's words in a log line: no control characters, no escape sequences.
#[must_use]
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// What stands behind the last `queued as` of a reply.
#[must_use]
pub fn queued_as(text: &str) -> Option<&str> {
    let (_, rest) = text.rsplit_once("queued as ")?;
    rest.split([' ', ')', ';']).next().filter(|id| !id.is_empty())
}

/// What SPF, DKIM, DMARC or ARC said; null if it was not checked.
fn result_of(facts: &Value, method: &str) -> Value {
    facts.pointer(&format!("/auth/{method}")).cloned().unwrap_or(Value::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_id_is_the_last_one_named() {
        assert_eq!(queued_as("2.0.0 from MTA: 250 queued as A1 then queued as B2)"), Some("B2"));
        assert_eq!(queued_as("2.0.0 Ok"), None);
    }

    #[test]
    fn control_characters_do_not_reach_the_log() {
        assert_eq!(clean("a\r\nb\x1b[31m\0"), "a??b?[31m?");
    }
}
