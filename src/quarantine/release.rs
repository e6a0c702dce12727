//! Giving a mail back: per recipient, and exactly once.
//!
//! A copy is claimed by compare-and-set in the index before anything is sent, so that of many tries at once, in any
//! number of processes, one sends. It is `released` only after the next hop's 250. If nobody can know whether the next
//! hop has it (its answer was lost, or the process died between), it is `unknown`, and only `force` sends it again.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use rusqlite::{Connection, params};
use serde::Serialize;

use super::entry::{Class, CopyState};
use super::{Inner, Trouble, rows};
use crate::mail::Path;

/// No send takes so long; an older claim is looked at.
const CLAIM_AGE: Duration = Duration::from_mins(10);
/// Not even for a process that still lives.
const CLAIM_AGE_MAX: Duration = Duration::from_hours(1);

/// One mail for one recipient.
#[derive(Debug, Clone)]
pub struct ReleaseMail {
    /// Its id.
    pub id: String,
    /// As it was in MAIL FROM, parameters included.
    pub sender: Path,
    /// As it was in RCPT TO, parameters included.
    pub recipient: Path,
    /// The original message, octet for octet.
    pub raw: Bytes,
}

/// Why a mail could not be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseError {
    /// The next hop did not take it now; it stays held.
    #[error("{0}")]
    Temporary(String),
    /// The next hop refused it; it stays held.
    #[error("{0}")]
    Permanent(String),
    /// The message was sent whole, and the answer to its last dot was lost.
    #[error("{0}")]
    Unknown(String),
}

/// What came of a release for one recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReleaseResult {
    /// The address.
    pub recipient: String,
    /// What happened.
    #[serde(flatten)]
    pub outcome: ReleaseOutcome,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", content = "text", rename_all = "kebab-case")]
pub enum ReleaseOutcome {
    /// The next hop took it, with this reply.
    Released(String),
    /// It was released before, with this reply; nothing was sent.
    AlreadyReleased(String),
    /// Somebody is releasing it at this moment; nothing was sent.
    Busy,
    /// It may or may not have arrived; nothing more is sent without `force`.
    Unknown(String),
    /// The next hop did not take it now; it is still held.
    Temporary(String),
    /// The next hop refused it; it is still held.
    Permanent(String),
    /// No copy for this address is held.
    NotHeld,
}

impl ReleaseOutcome {
    /// True if the next hop has it.
    #[must_use]
    pub fn is_released(&self) -> bool {
        matches!(self, Self::Released(_))
    }

    fn as_text(&self) -> String {
        match self {
            Self::Released(text) => format!("released: {text}"),
            Self::AlreadyReleased(text) => format!("not sent, was released: {text}"),
            Self::Busy => "not sent, is being released".to_owned(),
            Self::Unknown(text) => format!("unknown: {text}"),
            Self::Temporary(text) => format!("not taken: {text}"),
            Self::Permanent(text) => format!("refused: {text}"),
            Self::NotHeld => "not sent, not held".to_owned(),
        }
    }
}

struct Copy {
    n: i64,
    path: Path,
}

pub(super) async fn release<F, Fut>(
    inner: &Arc<Inner>,
    id: &str,
    recipients: Option<&[String]>,
    by: &str,
    force: bool,
    send: F,
) -> Result<Vec<ReleaseResult>, Trouble>
where
    F: Fn(ReleaseMail) -> Fut,
    Fut: Future<Output = Result<String, ReleaseError>>,
{
    let (kept, copies, raw) = {
        let (inner, id) = (Arc::clone(inner), id.to_owned());
        super::blocking(move || prepare(&inner, &id, force)).await?
    };
    let mut results = Vec::new();
    for (address, copy) in chosen(copies, recipients) {
        let Some(copy) = copy else {
            results.push(ReleaseResult { recipient: address, outcome: ReleaseOutcome::NotHeld });
            continue;
        };
        let mail = ReleaseMail {
            id: id.to_owned(),
            sender: kept.sender.clone(),
            recipient: copy.path.clone(),
            raw: raw.clone(),
        };
        let key = Key { row: kept.row, n: copy.n, id: id.to_owned(), by: by.to_owned(), address };
        let outcome = release_one(inner, &key, force, send(mail)).await?;
        results.push(ReleaseResult { recipient: key.address, outcome });
    }
    Ok(results)
}

fn prepare(
    inner: &Inner,
    id: &str,
    force: bool,
) -> Result<(rows::Kept, Vec<Copy>, Bytes), Trouble> {
    let (kept, copies) = inner.read(|connection| {
        let kept = rows::kept(connection, id)?;
        let copies = copies(connection, kept.row)?;
        Ok((kept, copies))
    })?;
    if kept.state == "deleted" {
        return Err(Trouble::Deleted(id.to_owned()));
    }
    if !force && (kept.class == Class::Virus || kept.verdict == "virus") {
        return Err(Trouble::NeedsForce(format!("mail {id} holds a virus")));
    }
    let mail = inner.stored_mail(id, &kept.file)?;
    Ok((kept, copies, mail.raw))
}

fn copies(connection: &Connection, row: i64) -> Result<Vec<Copy>, Trouble> {
    let mut statement = connection.prepare_cached(
        "SELECT n, address, argument FROM recipients
         WHERE mail = ? AND state NOT IN ('delivered', 'refused') ORDER BY n",
    )?;
    let rows = statement.query_map([row], |row| {
        Ok(Copy { n: row.get(0)?, path: Path { address: row.get(1)?, argument: row.get(2)? } })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The copies asked for, each once; an address for which there is none comes without.
fn chosen(copies: Vec<Copy>, recipients: Option<&[String]>) -> Vec<(String, Option<Copy>)> {
    let Some(wanted) = recipients else {
        return copies.into_iter().map(|c| (c.path.address.clone(), Some(c))).collect();
    };
    let mut rest: Vec<Copy> = copies;
    let mut asked: Vec<&String> = Vec::new();
    let mut found = Vec::new();
    for address in wanted {
        if asked.contains(&address) {
            continue;
        }
        asked.push(address);
        let exact = rest.iter().position(|copy| copy.path.address == *address);
        let at = exact
            .or_else(|| rest.iter().position(|c| c.path.address.eq_ignore_ascii_case(address)));
        found.push((address.clone(), at.map(|at| rest.remove(at))));
    }
    found
}

#[derive(Debug, Clone)]
struct Key {
    row: i64,
    n: i64,
    id: String,
    by: String,
    address: String,
}

async fn release_one(
    inner: &Arc<Inner>,
    key: &Key,
    force: bool,
    sending: impl Future<Output = Result<String, ReleaseError>>,
) -> Result<ReleaseOutcome, Trouble> {
    let token = new_token();
    let claimed = {
        let (key, token) = (key.clone(), token.clone());
        inner.writer.write(move |connection| claim(connection, &key, &token, force)).await?
    };
    if let Some(outcome) = claimed {
        return Ok(outcome);
    }
    let mut claim = Claim { inner: Arc::clone(inner), key: key.clone(), token, settled: false };
    let outcome = match sending.await {
        Ok(reply) => ReleaseOutcome::Released(reply),
        Err(ReleaseError::Temporary(text)) => ReleaseOutcome::Temporary(text),
        Err(ReleaseError::Permanent(text)) => ReleaseOutcome::Permanent(text),
        Err(ReleaseError::Unknown(text)) => ReleaseOutcome::Unknown(text),
    };
    claim.settle(&outcome).await;
    Ok(outcome)
}

/// Claims a copy; gives the outcome if it cannot be had.
fn claim(
    connection: &Connection,
    key: &Key,
    token: &str,
    force: bool,
) -> Result<Option<ReleaseOutcome>, Trouble> {
    take_back_claims(connection, Timestamp::now())?;
    let claimed = connection
        .prepare_cached(
            "UPDATE recipients SET state = 'releasing', token = ?1, owner = ?2, claimed = ?3
             WHERE mail = ?4 AND n = ?5
             AND (state = 'held' OR (?6 AND state IN ('released', 'unknown')))
             AND (SELECT state FROM mails WHERE row = ?4) IN ('stored', 'missing')",
        )?
        .execute(params![
            token,
            this_process(),
            Timestamp::now().as_millisecond(),
            key.row,
            key.n,
            force
        ])?;
    if claimed == 1 {
        return Ok(None);
    }
    let (state, reply): (String, Option<String>) = connection
        .prepare_cached("SELECT state, reply FROM recipients WHERE mail = ? AND n = ?")?
        .query_row(params![key.row, key.n], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let reply = reply.unwrap_or_default();
    let outcome = match CopyState::from_name(&state) {
        Some(CopyState::Released) => ReleaseOutcome::AlreadyReleased(reply),
        Some(CopyState::Unknown) => ReleaseOutcome::Unknown(reply),
        Some(CopyState::Releasing) => ReleaseOutcome::Busy,
        // The mail was deleted meanwhile.
        Some(CopyState::Held | CopyState::Delivered | CopyState::Refused) | None => {
            ReleaseOutcome::NotHeld
        }
    };
    rows::audit(connection, &key.id, &key.by, "release", &key.address, &outcome.as_text())?;
    Ok(Some(outcome))
}

/// A claim that was made. If it is dropped before it is settled, nobody knows whether the mail went out.
struct Claim {
    inner: Arc<Inner>,
    key: Key,
    token: String,
    settled: bool,
}

impl Claim {
    /// Writes the outcome down. If that fails the copy stays claimed, and becomes `unknown` in time: never sent twice.
    async fn settle(&mut self, outcome: &ReleaseOutcome) {
        for _ in 0..3 {
            let (key, token, outcome) = (self.key.clone(), self.token.clone(), outcome.clone());
            let written = self
                .inner
                .writer
                .write(move |connection| settle(connection, &key, &token, &outcome))
                .await;
            self.settled = true;
            match written {
                Ok(()) => return,
                Err(error) => tracing::error!(id = self.key.id, %error, "release not noted"),
            }
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.settled {
            let (key, token) = (self.key.clone(), self.token.clone());
            let outcome = ReleaseOutcome::Unknown("the release was broken off".to_owned());
            // Nobody waits for the answer; the writer does it all the same.
            self.inner
                .writer
                .submit(move |connection| settle(connection, &key, &token, &outcome), drop);
        }
    }
}

fn settle(
    connection: &Connection,
    key: &Key,
    token: &str,
    outcome: &ReleaseOutcome,
) -> Result<(), Trouble> {
    let (state, reply) = match outcome {
        ReleaseOutcome::Released(reply) => (CopyState::Released, reply.as_str()),
        ReleaseOutcome::Unknown(text) => (CopyState::Unknown, text.as_str()),
        ReleaseOutcome::Temporary(text) | ReleaseOutcome::Permanent(text) => {
            (CopyState::Held, text.as_str())
        }
        ReleaseOutcome::AlreadyReleased(_) | ReleaseOutcome::Busy | ReleaseOutcome::NotHeld => {
            (CopyState::Held, "")
        }
    };
    // A claim that was taken back as too old meanwhile is `unknown`; what we know now is better.
    connection
        .prepare_cached(
            "UPDATE recipients SET state = ?1, reply = ?2, token = NULL, owner = NULL, claimed = NULL
             WHERE mail = ?3 AND n = ?4 AND token = ?5",
        )?
        .execute(params![state.as_str(), reply, key.row, key.n, token])?;
    rows::audit(connection, &key.id, &key.by, "release", &key.address, &outcome.as_text())
}

/// Claims whose process died in the middle become `unknown`: it may have died just after the next hop's 250.
pub(super) fn take_back_claims(connection: &Connection, now: Timestamp) -> Result<usize, Trouble> {
    let now = now.as_millisecond();
    let old = now - rows::to_i64(CLAIM_AGE.as_millis());
    let too_old = now - rows::to_i64(CLAIM_AGE_MAX.as_millis());
    let mut statement = connection.prepare_cached(
        "SELECT mail, n, owner, claimed FROM recipients WHERE state = 'releasing' AND claimed < ?",
    )?;
    let claims: Vec<(i64, i64, Option<String>, i64)> = statement
        .query_map([old], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
        .collect::<Result<_, _>>()?;
    let mut count = 0;
    for (mail, n, owner, claimed) in claims {
        if claimed < too_old || !owner.is_some_and(|owner| is_alive(&owner)) {
            count += connection
                .prepare_cached(
                    "UPDATE recipients SET state = 'unknown',
                     reply = 'the program ended while it was being released'
                     WHERE mail = ? AND n = ? AND state = 'releasing'",
                )?
                .execute(params![mail, n])?;
        }
    }
    Ok(count)
}

fn new_token() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{}/{}/{n}", this_process(), Timestamp::now().as_nanosecond())
}

/// This process: its number and when it started, because numbers come again.
fn this_process() -> String {
    let number = std::process::id();
    format!("{number}:{}", start_of(number).unwrap_or_default())
}

fn is_alive(owner: &str) -> bool {
    let Some((number, start)) = owner.split_once(':') else { return false };
    let Ok(number) = number.parse() else { return false };
    start_of(number).is_some_and(|now| now == start)
}

/// Field 22 of /proc/PID/stat. The second field is a name in brackets that may hold anything.
fn start_of(number: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
    let (_, behind_name) = stat.rsplit_once(')')?;
    behind_name.split_whitespace().nth(19).map(str::to_owned)
}

#[cfg(test)]
mod tests;
