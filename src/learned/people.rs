//! People we wrote to, mails we sent, and reputations, as rows.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Trouble, digest};
use crate::filters::spam::bayes::Class;
use crate::filters::standing::{Bounce, Reputation, Standing, Whose};

/// A reputation halves in this time, in seconds: seven days.
const HALF_LIFE: f64 = 7.0 * 86_400.0;
/// How far one mail moves a reputation towards what it was.
const STEP: f64 = 0.1;
/// A reputation that rests on fewer mails is not told.
const MAILS_MIN: f64 = 3.0;
/// Reputations that are kept, some 100 octets each.
pub(super) const REPUTATIONS_MAX: u32 = 200_000;
/// That we sent a mail is remembered so many days.
const SENT_DAYS: i64 = 120;
/// That we wrote to somebody is remembered so many days.
const CORRESPONDENT_DAYS: i64 = 730;
/// Only if the memory of sent mail reaches back so many days, a report about an unknown mail means something.
const SENT_DAYS_MIN: i64 = 7;

/// Sent by us.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sent {
    /// Who of us wrote it.
    pub from: String,
    /// To whom.
    pub to: Vec<String>,
    /// Its Message-ID, with or without angle brackets; may be empty.
    pub message_id: String,
    /// When, in days since 1970.
    pub day: i64,
}

/// What is asked about one mail.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Question {
    /// Who it says it is from.
    pub from: String,
    /// The recipients.
    pub to: Vec<String>,
    /// Message-IDs it answers.
    pub references: Vec<String>,
    /// The Message-ID of the mail that it reports about, if it is such a report, and whether that has a domain of ours.
    pub bounced: Option<(String, bool)>,
    /// Whose reputation counts.
    pub reputations: Vec<Whose>,
}

fn pair(us: &str, them: &str) -> Vec<u8> {
    digest(&[us.to_lowercase().as_bytes(), them.to_lowercase().as_bytes()])
}

fn message(id: &str) -> Vec<u8> {
    digest(&[id.trim().trim_matches(['<', '>']).as_bytes()])
}

/// Under what a reputation is kept: people as digests, networks and domains as they are.
fn key(whose: &Whose) -> String {
    match whose {
        Whose::Network(network) => format!("ip:{network}"),
        Whose::Signer(domain) => format!("dkim:{}", domain.to_lowercase()),
        Whose::Sender(address) => {
            let digest = digest(&[address.to_lowercase().as_bytes()]);
            digest.iter().fold("from:".to_owned(), |key, octet| key + &format!("{octet:02x}"))
        }
    }
}

/// Remembers a mail of ours. The caller holds a transaction.
pub(super) fn sent(connection: &Connection, mail: &Sent) -> Result<(), Trouble> {
    let mut change = connection.prepare_cached(
        "INSERT INTO correspondents (pair, day) VALUES (?, ?)
         ON CONFLICT DO UPDATE SET day = max(day, excluded.day)",
    )?;
    for them in &mail.to {
        change.execute(params![pair(&mail.from, them), mail.day])?;
    }
    if !mail.message_id.trim().is_empty() {
        connection
            .prepare_cached("INSERT OR REPLACE INTO sent (message, day) VALUES (?, ?)")?
            .execute(params![message(&mail.message_id), mail.day])?;
    }
    Ok(())
}

/// Moves reputations after a verdict. The caller holds a transaction.
pub(super) fn judged(
    connection: &Connection,
    whose: &[Whose],
    class: Class,
    now: i64,
) -> Result<(), Trouble> {
    let target = match class {
        Class::Spam => 1.0,
        Class::Ham => -1.0,
    };
    for whose in whose.iter().map(key) {
        let (value, mails) = reputation(connection, &whose, now)?.unwrap_or((0.0, 0.0));
        let value = value + STEP * (target - value);
        connection
            .prepare_cached(
                "INSERT OR REPLACE INTO reputations (whose, value, mails, time)
                 VALUES (?, ?, ?, ?)",
            )?
            .execute(params![whose, value, mails + 1.0, now])?;
    }
    Ok(())
}

/// The value as of now, and the mails it rests on.
fn reputation(
    connection: &Connection,
    whose: &str,
    now: i64,
) -> Result<Option<(f64, f64)>, Trouble> {
    let row: Option<(f64, f64, i64)> = connection
        .prepare_cached("SELECT value, mails, time FROM reputations WHERE whose = ?")?
        .query_row([whose], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    Ok(row.map(|(value, mails, time)| {
        // A clock that was set back makes nothing younger. A century is as good as for ever.
        let age = u32::try_from(now.saturating_sub(time).max(0)).unwrap_or(u32::MAX);
        let left = 0.5_f64.powf(f64::from(age) / HALF_LIFE);
        (value.clamp(-1.0, 1.0) * left, mails.max(0.0) * left)
    }))
}

/// Everything about one mail.
pub(super) fn standing(
    connection: &Connection,
    question: &Question,
    now: i64,
) -> Result<Standing, Trouble> {
    let connection = &*connection.unchecked_transaction()?;
    let today = now.div_euclid(86_400);
    let mut standing = Standing {
        correspondent_days: correspondent(connection, question, today)?,
        ..Standing::default()
    };
    for id in &question.references {
        if was_sent(connection, id)? {
            standing.reply_to = Some(id.clone());
            break;
        }
    }
    if let Some((id, has_our_domain)) = &question.bounced {
        standing.bounce = bounce(connection, id, *has_our_domain, today)?;
    }
    for whose in &question.reputations {
        if let Some((value, mails)) = reputation(connection, &key(whose), now)?
            && mails >= MAILS_MIN
        {
            standing.reputations.push(Reputation { whose: whose.clone(), value });
        }
    }
    Ok(standing)
}

/// Days since the recipients last wrote to the sender: the longest time; `None` if one of them never did.
fn correspondent(
    connection: &Connection,
    question: &Question,
    today: i64,
) -> Result<Option<u32>, Trouble> {
    if question.from.is_empty() || question.to.is_empty() {
        return Ok(None);
    }
    let mut asked = connection.prepare_cached("SELECT day FROM correspondents WHERE pair = ?")?;
    let mut longest = 0;
    for us in &question.to {
        let day: Option<i64> =
            asked.query_row([pair(us, &question.from)], |row| row.get(0)).optional()?;
        let Some(day) = day.filter(|day| today.saturating_sub(*day) <= CORRESPONDENT_DAYS) else {
            return Ok(None);
        };
        longest = longest.max(u32::try_from(today.saturating_sub(day).max(0)).unwrap_or(0));
    }
    Ok(Some(longest))
}

fn was_sent(connection: &Connection, id: &str) -> Result<bool, Trouble> {
    let mut asked = connection.prepare_cached("SELECT 1 FROM sent WHERE message = ?")?;
    Ok(asked.exists([message(id)])?)
}

fn bounce(
    connection: &Connection,
    id: &str,
    has_our_domain: bool,
    today: i64,
) -> Result<Option<Bounce>, Trouble> {
    if was_sent(connection, id)? {
        return Ok(Some(Bounce::Ours));
    }
    let oldest: Option<i64> =
        connection.query_row("SELECT min(day) FROM sent", [], |row| row.get(0))?;
    let remembers = oldest.is_some_and(|day| today.saturating_sub(day) >= SENT_DAYS_MIN);
    Ok((has_our_domain && remembers).then_some(Bounce::Others))
}

/// Drops what is too old to matter. The caller holds a transaction.
pub(super) fn expire(
    connection: &Connection,
    now: i64,
    reputations_max: u32,
) -> Result<(), Trouble> {
    let today = now.div_euclid(86_400);
    for (statement, before) in [
        ("DELETE FROM sent WHERE day < ?", today - SENT_DAYS),
        ("DELETE FROM correspondents WHERE day < ?", today - CORRESPONDENT_DAYS),
        ("DELETE FROM seen WHERE day < ?", today - CORRESPONDENT_DAYS),
        // Eight half-lives: nothing is left of it.
        ("DELETE FROM reputations WHERE time < ?", now - 56 * 86_400),
    ] {
        connection.execute(statement, [before])?;
    }
    // Anybody can sign with any number of domains: those that were not seen for the longest time go.
    connection.execute(
        "DELETE FROM reputations WHERE (SELECT count(*) FROM reputations) > ?1 AND whose NOT IN
         (SELECT whose FROM reputations ORDER BY time DESC, mails DESC LIMIT ?1)",
        [reputations_max],
    )?;
    Ok(())
}
