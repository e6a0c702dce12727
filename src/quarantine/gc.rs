//! Erasing what is too old, and the oldest when there is too much.
//!
//! The row is marked `erasing` first, then the file goes, then the row. After a crash anywhere between, the next run
//! or the next start goes on from the mark, so that index and folder agree.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::params;
use serde::Serialize;

use super::entry::Class;
use super::rows::to_i64;
use super::{Inner, Trouble, history, rows};

const BATCH: usize = 200;

/// What a run erased.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct GcSummary {
    /// Mails older than their class is kept.
    pub expired: u64,
    /// Deleted mails whose time to be undeleted is over.
    pub deleted: u64,
    /// The oldest, because all together were more than `max_size`.
    pub over_size: u64,
    /// Mails whose erasing an earlier run had begun.
    pub finished: u64,
    /// Octets of the erased files.
    pub octets_freed: u64,
    /// Octets of the files that are left.
    pub octets_left: u64,
    /// History rows.
    pub history: u64,
}

pub(super) fn run(
    inner: &Inner,
    keep: &BTreeMap<String, Duration>,
    octets_max: u64,
    now: Timestamp,
) -> Result<GcSummary, Trouble> {
    let mut summary = GcSummary { finished: finish_erasing(inner)?, ..GcSummary::default() };
    let before = |key: &str| {
        let age = to_i64(keep.get(key)?.as_millis());
        Some(now.as_millisecond().saturating_sub(age))
    };
    if let Some(before) = before("deleted") {
        let (count, octets) =
            erase_all(inner, "state = 'deleted' AND hold = 0 AND state_time < ?1", "", before)?;
        summary.deleted = count;
        summary.octets_freed += octets;
    }
    for class in Class::ALL {
        if let Some(before) = before(class.keep_key()) {
            let condition = "hold = 0 AND class = ?2 AND time < ?1";
            let (count, octets) = erase_all(inner, condition, class.prefix(), before)?;
            summary.expired += count;
            summary.octets_freed += octets;
        }
    }
    while let Some(before) = border_of_size(inner, octets_max)? {
        let (count, octets) = erase_all(inner, "hold = 0 AND time <= ?1", "", before)?;
        summary.over_size += count;
        summary.octets_freed += octets;
        if count == 0 {
            break;
        }
    }
    if let Some(before) = before("metadata").and_then(|ms| Timestamp::from_millisecond(ms).ok()) {
        summary.history = prune(inner, before)?;
    }
    summary.octets_left = inner.read(octets)?;
    Ok(summary)
}

fn octets(connection: &rusqlite::Connection) -> Result<u64, Trouble> {
    let sum: i64 =
        connection
            .query_row("SELECT coalesce(sum(file_octets), 0) FROM mails", [], |row| row.get(0))?;
    Ok(u64::try_from(sum).unwrap_or(0))
}

/// The time of the newest mail that has to go so that the rest fits; `None` if all fits.
fn border_of_size(inner: &Inner, octets_max: u64) -> Result<Option<i64>, Trouble> {
    inner.read(|connection| {
        let mut excess = to_i64(octets(connection)?).saturating_sub(to_i64(octets_max));
        if excess <= 0 {
            return Ok(None);
        }
        let mut statement = connection
            .prepare("SELECT time, file_octets FROM mails WHERE hold = 0 ORDER BY time, row")?;
        let mut found = statement.query([])?;
        let mut border = None;
        while let (true, Some(row)) = (excess > 0, found.next()?) {
            border = Some(row.get(0)?);
            excess = excess.saturating_sub(row.get(1)?);
        }
        Ok(border)
    })
}

/// Erases all that the condition names, batch after batch. Gives their number and octets.
fn erase_all(
    inner: &Inner,
    condition: &'static str,
    class: &'static str,
    before: i64,
) -> Result<(u64, u64), Trouble> {
    let (mut count, mut octets) = (0, 0);
    loop {
        let marked: Vec<u64> = inner.writer.write_blocking(move |connection| {
            // What is being released is left alone until that is over.
            let sql = format!(
                "UPDATE mails SET state = 'erasing' WHERE row IN (
                   SELECT row FROM mails WHERE {condition} AND state <> 'erasing' AND ?2 = ?2
                   AND NOT EXISTS (SELECT 1 FROM recipients
                                   WHERE mail = mails.row AND recipients.state = 'releasing')
                   ORDER BY time LIMIT ?3)
                 RETURNING file_octets"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map(params![before, class, to_i64(BATCH)], |row| {
                Ok(u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0))
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })?;
        count += marked.len() as u64;
        octets += marked.iter().sum::<u64>();
        finish_erasing(inner)?;
        if marked.len() < BATCH {
            return Ok((count, octets));
        }
    }
}

/// Takes the files and rows of all marked mails away. Gives their number.
pub(super) fn finish_erasing(inner: &Inner) -> Result<u64, Trouble> {
    let marked: Vec<(i64, String)> = inner.read(|connection| {
        let mut statement =
            connection.prepare_cached("SELECT row, file FROM mails WHERE state = 'erasing'")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    })?;
    for (_, file) in &marked {
        inner.files.remove(file)?;
    }
    // The rows go only when the files are gone for good, else they would come back as orphans.
    inner.files.sync_folders_of(marked.iter().map(|(_, file)| file.as_str()))?;
    let count = marked.len() as u64;
    for batch in marked.chunks(BATCH) {
        let batch: Vec<i64> = batch.iter().map(|(row, _)| *row).collect();
        inner.writer.write_blocking(move |connection| {
            batch.iter().try_for_each(|row| rows::erase_row(connection, *row))
        })?;
    }
    Ok(count)
}

fn prune(inner: &Inner, before: Timestamp) -> Result<u64, Trouble> {
    let mut count = 0;
    loop {
        let batch =
            inner.writer.write_blocking(move |connection| history::prune(connection, before))?;
        count += batch;
        if batch == 0 {
            break;
        }
    }
    inner.writer.write_blocking(move |connection| {
        // An act on a mail is of interest as long as the mail is there.
        connection.execute(
            "DELETE FROM audit WHERE time < ? AND id NOT IN (SELECT id FROM mails)",
            [before.as_millisecond()],
        )?;
        Ok(())
    })?;
    Ok(count)
}
