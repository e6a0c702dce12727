//! `tamis quarantine`: review on the command line.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use clap::Subcommand;
use tokio::time::Instant;

use super::{Answer, Failure, Options, exit, load, print, runtime, shown};
use crate::config::NextHop;
use crate::filters::spam::bayes::Class;
use crate::quarantine::{Quarantine, ReleaseError, ReleaseMail, ReleaseOutcome, Search, Trouble};
use crate::smtp::outbound::{Pool, Stage, Transaction, deliver};

/// How long one copy may take to be released.
const RELEASE_TIME: Duration = Duration::from_secs(90);

/// What is done.
#[derive(Debug, Subcommand)]
pub enum What {
    /// Lists kept mail, newest first; words and class:virus from:x to:y score:>5 age:<3d narrow it
    List {
        /// What to look for
        search: Vec<String>,
        /// How many
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Shows one mail: why, recipients, state
    Show {
        /// The mail
        id: String,
        /// Prints the message as it came
        #[arg(long)]
        raw: bool,
    },
    /// Sends held copies on to their recipients, each once
    Release {
        /// The mails
        #[arg(required = true)]
        id: Vec<String>,
        /// Only to this recipient; may be given several times
        #[arg(long, value_name = "ADDRESS")]
        rcpt: Vec<String>,
        /// Also what was released before, and viruses
        #[arg(long)]
        force: bool,
    },
    /// Hides mails; they are erased later
    Delete {
        /// The mails
        #[arg(required = true)]
        id: Vec<String>,
    },
    /// Brings deleted mails back
    Undelete {
        /// The mails
        #[arg(required = true)]
        id: Vec<String>,
    },
    /// Learns mails as spam or ham; nothing is released or deleted by it
    Learn {
        /// As what
        #[arg(value_parser = ["spam", "ham"])]
        class: String,
        /// The mails
        #[arg(required = true)]
        id: Vec<String>,
    },
    /// Erases what is older than quarantine.keep says
    Gc,
}

/// Does it.
pub fn run(options: &Options, what: &What) -> Answer {
    let site = load::site_in_brief(options)?;
    let quarantine = load::quarantine(&site.config)?;
    let runtime = runtime()?;
    match what {
        What::List { search, limit } => list(options, &quarantine, &search.join(" "), *limit),
        What::Show { id, raw } => show(options, &quarantine, id, *raw),
        What::Release { id, rcpt, force } => {
            let next_hop = &site.config.quarantine.release_to;
            runtime.block_on(release(options, &quarantine, next_hop, id, rcpt, *force))
        }
        What::Delete { id } => each(id, |id| runtime.block_on(quarantine.delete(id, &who()))),
        What::Undelete { id } => each(id, |id| runtime.block_on(quarantine.undelete(id, &who()))),
        What::Learn { class, id } => {
            let class = if class == "spam" { Class::Spam } else { Class::Ham };
            let mails = id.iter().map(|id| match quarantine.octets(id) {
                Ok(stored) => Ok(stored.raw.to_vec()),
                Err(error) => Err(trouble(error)),
            });
            super::learn::learn_mails(options, &site, class, mails)
        }
        What::Gc => {
            let config = &site.config.quarantine;
            let now = jiff::Timestamp::now();
            let summary = runtime
                .block_on(quarantine.gc(&config.keep, config.max_bytes, now))
                .map_err(trouble)?;
            let text = serde_json::to_string(&summary).unwrap_or_default();
            print(&format!("{text}\n"))
        }
    }
}

/// Who acts, for the audit.
fn who() -> String {
    let user = std::env::var("SUDO_USER").or_else(|_| std::env::var("USER"));
    format!("cli:{}", user.unwrap_or_else(|_| rustix::process::getuid().as_raw().to_string()))
}

fn trouble(trouble: Trouble) -> Failure {
    let status = match &trouble {
        Trouble::NotFound(_) | Trouble::FileMissing(_) => exit::NOT_FOUND,
        Trouble::NeedsForce(_) | Trouble::Deleted(_) => exit::NOT_PERMITTED,
        Trouble::NoSpace(_) => exit::CANNOT_CREATE,
        Trouble::Damaged { .. } => exit::DATA,
        Trouble::TooBig { .. }
        | Trouble::Taken(_)
        | Trouble::Io { .. }
        | Trouble::Index(_)
        | Trouble::NoRandom(_) => exit::IO,
    };
    Failure::new(status, trouble.to_string())
}

fn each(ids: &[String], act: impl Fn(&str) -> Result<bool, Trouble>) -> Answer {
    let mut failed = None;
    for id in ids {
        if let Err(error) = act(id) {
            failed = Some(trouble(error));
        }
    }
    failed.map_or(Ok(()), Err)
}

fn list(options: &Options, quarantine: &Quarantine, search: &str, limit: usize) -> Answer {
    let search =
        Search::parse(search).map_err(|error| Failure::new(exit::USAGE, error.to_string()))?;
    let items = quarantine.list(&search, limit).map_err(trouble)?;
    let mut out = String::new();
    for item in items {
        if options.json {
            out.push_str(&serde_json::to_string(&item).unwrap_or_default());
            out.push('\n');
            continue;
        }
        let to: Vec<String> = item.recipients.iter().map(|copy| shown(&copy.address)).collect();
        let _ = writeln!(
            out,
            "{}  {}  {:<10} {:>8} {}  <{}> -> {}  {}",
            item.id,
            item.time.round(jiff::Unit::Second).unwrap_or_default(),
            item.verdict,
            item.size,
            item.score.map_or_else(|| "-".to_owned(), |score| score.to_string()),
            shown(&item.sender),
            to.join(","),
            shown(&item.subject)
        );
    }
    print(&out)
}

fn show(options: &Options, quarantine: &Quarantine, id: &str, raw: bool) -> Answer {
    if raw {
        let stored = quarantine.octets(id).map_err(trouble)?;
        let mut out = std::io::stdout().lock();
        return std::io::Write::write_all(&mut out, &stored.raw)
            .map_err(|error| Failure::new(exit::IO, error.to_string()));
    }
    let detail = quarantine.show(id).map_err(trouble)?;
    let Some(detail) = detail else {
        return Err(Failure::new(exit::NOT_FOUND, format!("no mail {id}: tamis quarantine list")));
    };
    let value = serde_json::to_value(&detail).unwrap_or_default();
    if options.json {
        return print(&format!("{}\n", merged(value)));
    }
    let mut out = String::new();
    for (key, value) in value.as_object().into_iter().flatten().filter(|(key, _)| *key != "facts") {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let _ = writeln!(out, "{key}: {}", shown(&text));
    }
    if let Some(facts) = value.get("facts") {
        out.push_str(&super::scan::text(facts, id));
    }
    print(&out)
}

/// The explanation's object, with what the quarantine knows beside it under `quarantine`.
fn merged(mut detail: serde_json::Value) -> serde_json::Value {
    let facts = detail.as_object_mut().and_then(|object| object.remove("facts"));
    match facts {
        Some(serde_json::Value::Object(mut object)) => {
            object.insert("file".to_owned(), detail.get("file").cloned().unwrap_or_default());
            object.insert("quarantine".to_owned(), detail);
            serde_json::Value::Object(object)
        }
        _ => detail,
    }
}

async fn release(
    options: &Options,
    quarantine: &Quarantine,
    next_hop: &NextHop,
    ids: &[String],
    recipients: &[String],
    force: bool,
) -> Answer {
    let pool = Pool::default();
    let wanted = (!recipients.is_empty()).then_some(recipients);
    let mut failed = None;
    for id in ids {
        let send = |mail: ReleaseMail| send(&pool, next_hop, mail);
        match quarantine.release(id, wanted, &who(), force, send).await {
            Err(error) => failed = Some(trouble(error)),
            Ok(results) => {
                for result in results {
                    let line = serde_json::to_value(&result).unwrap_or_default();
                    if options.json {
                        print(&format!("{line}\n"))?;
                    } else {
                        let word = |key: &str| {
                            shown(
                                line.get(key)
                                    .and_then(serde_json::Value::as_str)
                                    .unwrap_or_default(),
                            )
                        };
                        print(&format!(
                            "{id} <{}> {} {}\n",
                            word("recipient"),
                            word("outcome"),
                            word("text")
                        ))?;
                    }
                    failed = status_of(&result.outcome)
                        .map(|status| Failure::new(status, ""))
                        .or(failed);
                }
            }
        }
    }
    pool.drain().await;
    failed.map_or(Ok(()), Err)
}

fn status_of(outcome: &ReleaseOutcome) -> Option<u8> {
    match outcome {
        ReleaseOutcome::Released(_) => None,
        ReleaseOutcome::AlreadyReleased(_) | ReleaseOutcome::Unknown(_) => {
            Some(exit::NOT_PERMITTED)
        }
        ReleaseOutcome::Busy | ReleaseOutcome::Temporary(_) => Some(exit::TEMPORARY),
        ReleaseOutcome::Permanent(_) => Some(exit::UNAVAILABLE),
        ReleaseOutcome::NotHeld => Some(exit::NOT_FOUND),
    }
}

/// One copy to the next hop, as it came but for one line on top that says who let it go.
async fn send(pool: &Pool, next_hop: &NextHop, mail: ReleaseMail) -> Result<String, ReleaseError> {
    let line = format!("X-Quarantine-ID: <{}>\r\n", mail.id);
    let pieces = [Bytes::from(line), mail.raw];
    let transaction = Transaction {
        client: None,
        sender: &mail.sender,
        recipients: vec![&mail.recipient],
        pieces: &pieces,
    };
    match deliver(pool, next_hop, &transaction, Instant::now() + RELEASE_TIME).await {
        Ok(replies) => match replies.into_iter().next() {
            Some(reply) if reply.is_positive() => Ok(reply.to_string()),
            Some(reply) if reply.is_permanent() => Err(ReleaseError::Permanent(reply.to_string())),
            Some(reply) => Err(ReleaseError::Temporary(reply.to_string())),
            None => Err(ReleaseError::Temporary("no reply".to_owned())),
        },
        Err(error) if error.stage == Stage::AfterDot => {
            Err(ReleaseError::Unknown(error.to_string()))
        }
        Err(error) => Err(ReleaseError::Temporary(format!("{next_hop}: {error}"))),
    }
}
