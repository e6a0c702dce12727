//! One row for each mail that came through, kept or not: the facts record that `explain` and `report` read.

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};
use serde::Serialize;

use super::Trouble;
use super::entry::{as_points, as_text};
use super::rows::{to_i64, to_time};
use crate::filters::Score;

/// A facts record.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HistoryRow {
    /// Our id of the mail.
    pub id: String,
    /// When the verdict was given.
    #[serde(serialize_with = "as_text")]
    pub time: Timestamp,
    /// Postfix' queue id.
    pub queue_id: Option<String>,
    /// With angle brackets.
    pub message_id: String,
    /// The envelope's sender.
    pub sender: String,
    /// The envelope's recipients.
    pub recipients: Vec<String>,
    /// The worst verdict's name.
    pub verdict: String,
    /// The action's name.
    pub action: String,
    /// Points.
    #[serde(serialize_with = "as_points")]
    pub score: Option<Score>,
    /// Version of the layout of `facts`.
    pub layout: u32,
    /// What was found.
    pub facts: serde_json::Value,
}

/// The newest of these rows are given.
const ROWS_MAX: u32 = 1000;

pub(super) fn insert(connection: &Connection, row: &HistoryRow) -> Result<(), Trouble> {
    let recipients = serde_json::Value::from(row.recipients.clone()).to_string();
    connection
        .prepare_cached(
            "INSERT INTO history (id, time, queue_id, message_id, sender, recipients, verdict,
             action, score, layout, facts) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            row.id,
            row.time.as_millisecond(),
            row.queue_id,
            row.message_id,
            row.sender,
            recipients,
            row.verdict,
            row.action,
            row.score.map(|score| score.0),
            row.layout,
            row.facts.to_string(),
        ])?;
    Ok(())
}

/// The rows whose id, queue id or Message-ID is this text, newest first.
pub(super) fn find(connection: &Connection, text: &str) -> Result<Vec<HistoryRow>, Trouble> {
    let bare = text.trim_matches(['<', '>']);
    let mut statement = connection.prepare_cached(
        "SELECT id, time, queue_id, message_id, sender, recipients, verdict, action, score, layout,
         facts FROM history
         WHERE id = ?1 OR queue_id = ?1 OR message_id IN (?1, '<' || ?1 || '>')
         ORDER BY time DESC, row DESC LIMIT ?2",
    )?;
    let rows = statement.query_map(params![bare, ROWS_MAX], from_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Erases rows older than this; a thousand at most, so that mail does not wait for it. Gives their number.
pub(super) fn prune(connection: &Connection, before: Timestamp) -> Result<u64, Trouble> {
    let count = connection
        .prepare_cached(
            "DELETE FROM history WHERE row IN
             (SELECT row FROM history WHERE time < ? ORDER BY time LIMIT 1000)",
        )?
        .execute([before.as_millisecond()])?;
    Ok(u64::try_from(to_i64(count)).unwrap_or(0))
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<HistoryRow> {
    let recipients: String = row.get(5)?;
    let facts: String = row.get(10)?;
    Ok(HistoryRow {
        id: row.get(0)?,
        time: to_time(row.get(1)?),
        queue_id: row.get(2)?,
        message_id: row.get(3)?,
        sender: row.get(4)?,
        recipients: serde_json::from_str(&recipients).unwrap_or_default(),
        verdict: row.get(6)?,
        action: row.get(7)?,
        score: row.get::<_, Option<i32>>(8)?.map(Score),
        layout: row.get(9)?,
        facts: serde_json::from_str(&facts).unwrap_or_default(),
    })
}
