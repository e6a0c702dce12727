//! Mails as rows of the index.

use std::collections::HashSet;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::Trouble;
use super::entry::{
    AuditRow, Class, CopyState, Item, ItemDetail, ItemRecipient, ItemState, NewEntry,
};
use super::search::Search;
use crate::filters::Score;
use crate::mail::Path;

/// More are never listed at once.
const LIST_MAX: usize = 10_000;
const ITEM_COLUMNS: &str = "mails.row, id, time, class, verdict, mails.state, hold, sender, \
                            from_header, subject, client_address, size, score, file";

pub(super) fn to_time(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(milliseconds).unwrap_or_default()
}

pub(super) fn to_i64(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

/// Where a row's file is.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub file: String,
    pub file_octets: u64,
}

/// Puts a mail into the index. `adopted`: a row that is there already stays as it is.
pub(super) fn insert(
    connection: &Connection,
    entry: &NewEntry,
    place: &Place,
    time: i64,
    adopted: bool,
) -> Result<bool, Trouble> {
    // A row may stand there already only if another process adopted our file in the moment before; ours knows more.
    let known = connection
        .prepare_cached("SELECT row, file FROM mails WHERE id = ?")?
        .query_row([entry.id.as_str()], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))
        .optional()?;
    if let Some((row, file)) = known {
        if adopted {
            return Ok(false);
        }
        if file != place.file {
            return Err(Trouble::Taken(entry.id.to_string()));
        }
        erase_row(connection, row)?;
    }
    let secret = Some(entry.id.secret()).filter(|secret| !secret.is_empty());
    connection
        .prepare_cached(
            "INSERT INTO mails (id, secret, file, file_octets, class, verdict, time, state_time,
             sender, sender_argument, from_header, subject, message_id, queue_id, client_address,
             client_name, helo, size, score)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16,
             ?17, ?18)",
        )?
        .execute(params![
            entry.id.as_str(),
            secret,
            place.file,
            to_i64(place.file_octets),
            entry.class.prefix(),
            entry.verdict,
            time,
            entry.sender.address,
            entry.sender.argument,
            entry.from_header,
            entry.subject,
            entry.message_id,
            entry.ident,
            entry.client_address.map(|address| address.to_string()),
            entry.client_name,
            entry.helo,
            to_i64(entry.raw.len()),
            entry.score.map(|score| score.0),
        ])?;
    let row = connection.last_insert_rowid();
    connection
        .prepare_cached("INSERT INTO mail_facts (mail, facts) VALUES (?, ?)")?
        .execute(params![row, entry.facts.to_string()])?;
    insert_recipients(connection, row, entry)?;
    Ok(true)
}

fn insert_recipients(connection: &Connection, row: i64, entry: &NewEntry) -> Result<(), Trouble> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO recipients (mail, n, address, argument, state) VALUES (?, ?, ?, ?, ?)",
    )?;
    let held = entry.recipients.iter().map(|path| (path, CopyState::Held));
    let delivered = entry.delivered_recipients.iter().map(|path| (path, CopyState::Delivered));
    let rest = entry.all_recipients.iter().map(|path| (path, CopyState::Refused));
    // One row an address, even if a client named it twice: a release must not send twice.
    let mut seen = HashSet::new();
    let once = held.chain(delivered).chain(rest).filter(|(path, _)| seen.insert(&path.address));
    for (n, (path, state)) in once.enumerate() {
        insert.execute(params![row, to_i64(n), path.address, path.argument, state.as_str()])?;
    }
    Ok(())
}

/// Takes a mail out of the index; its audit rows stay.
pub(super) fn erase_row(connection: &Connection, row: i64) -> Result<(), Trouble> {
    for sql in [
        "DELETE FROM recipients WHERE mail = ?",
        "DELETE FROM mail_facts WHERE mail = ?",
        "DELETE FROM mails WHERE row = ?",
    ] {
        connection.prepare_cached(sql)?.execute([row])?;
    }
    Ok(())
}

/// Writes down what somebody did.
pub(super) fn audit(
    connection: &Connection,
    id: &str,
    by: &str,
    act: &str,
    recipient: &str,
    result: &str,
) -> Result<(), Trouble> {
    connection
        .prepare_cached(
            "INSERT INTO audit (time, id, by, act, recipient, result) VALUES (?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![Timestamp::now().as_millisecond(), id, by, act, recipient, result])?;
    Ok(())
}

/// The mails that match, newest first.
pub(super) fn list(
    connection: &Connection,
    search: &Search,
    limit: usize,
) -> Result<Vec<Item>, Trouble> {
    let (condition, mut values) = search.to_sql(Timestamp::now());
    values.push(rusqlite::types::Value::Integer(to_i64(limit.min(LIST_MAX))));
    let sql = format!(
        "SELECT {ITEM_COLUMNS} FROM mails WHERE {condition} ORDER BY time DESC, row DESC LIMIT ?"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(rusqlite::params_from_iter(values), item)?;
    let mut items = Vec::new();
    for found in rows {
        let (row, mut found) = found?;
        found.recipients = recipients(connection, row)?;
        items.push(found);
    }
    Ok(items)
}

/// All that is known of one mail.
pub(super) fn show(connection: &Connection, id: &str) -> Result<Option<ItemDetail>, Trouble> {
    let sql = format!(
        "SELECT {ITEM_COLUMNS}, message_id, queue_id, client_name, helo, sender_argument, facts
         FROM mails LEFT JOIN mail_facts ON mail = mails.row
         WHERE id = ? AND mails.state <> 'erasing'"
    );
    let found = connection
        .prepare_cached(&sql)?
        .query_row([id], |row| {
            let (key, item) = item(row)?;
            let facts: Option<String> = row.get("facts")?;
            let argument: Vec<u8> = row.get("sender_argument")?;
            let detail = ItemDetail {
                item,
                file: row.get("file")?,
                message_id: row.get("message_id")?,
                queue_id: row.get("queue_id")?,
                client_name: row.get("client_name")?,
                helo: row.get("helo")?,
                mail_from: String::from_utf8_lossy(&argument).into_owned(),
                facts: facts.and_then(|f| serde_json::from_str(&f).ok()).unwrap_or_default(),
                audit: Vec::new(),
            };
            Ok((key, detail))
        })
        .optional()?;
    let Some((row, mut detail)) = found else { return Ok(None) };
    detail.item.recipients = recipients(connection, row)?;
    detail.audit = audit_of(connection, id)?;
    Ok(Some(detail))
}

fn item(row: &Row<'_>) -> rusqlite::Result<(i64, Item)> {
    let class: String = row.get("class")?;
    let state: String = row.get("state")?;
    let item = Item {
        id: row.get("id")?,
        time: to_time(row.get("time")?),
        class: Class::from_prefix(&class).unwrap_or(Class::Other),
        verdict: row.get("verdict")?,
        state: match state.as_str() {
            "stored" => ItemState::Stored,
            "missing" => ItemState::Missing,
            _ => ItemState::Deleted,
        },
        hold: row.get("hold")?,
        sender: row.get("sender")?,
        from: row.get("from_header")?,
        subject: row.get("subject")?,
        client: row.get("client_address")?,
        size: row.get::<_, i64>("size")?.try_into().unwrap_or(0),
        score: row.get::<_, Option<i32>>("score")?.map(Score),
        recipients: Vec::new(),
    };
    Ok((row.get("row")?, item))
}

fn recipients(connection: &Connection, row: i64) -> Result<Vec<ItemRecipient>, Trouble> {
    let mut statement = connection
        .prepare_cached("SELECT address, state, reply FROM recipients WHERE mail = ? ORDER BY n")?;
    let rows = statement.query_map([row], |row| {
        let state: String = row.get(1)?;
        let state = CopyState::from_name(&state).unwrap_or(CopyState::Unknown);
        Ok(ItemRecipient { address: row.get(0)?, state, reply: row.get(2)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn audit_of(connection: &Connection, id: &str) -> Result<Vec<AuditRow>, Trouble> {
    let mut statement = connection.prepare_cached(
        "SELECT time, by, act, recipient, result FROM audit WHERE id = ? ORDER BY row LIMIT 1000",
    )?;
    let rows = statement.query_map([id], |row| {
        Ok(AuditRow {
            time: to_time(row.get(0)?),
            by: row.get(1)?,
            act: row.get(2)?,
            recipient: row.get(3)?,
            result: row.get(4)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What is needed to give a mail back.
#[derive(Debug)]
pub(super) struct Kept {
    pub row: i64,
    pub file: String,
    pub state: String,
    pub class: Class,
    pub verdict: String,
    pub sender: Path,
}

pub(super) fn kept(connection: &Connection, id: &str) -> Result<Kept, Trouble> {
    connection
        .prepare_cached(
            "SELECT row, file, state, class, verdict, sender, sender_argument FROM mails
             WHERE id = ? AND state <> 'erasing'",
        )?
        .query_row([id], |row| {
            let class: String = row.get(3)?;
            Ok(Kept {
                row: row.get(0)?,
                file: row.get(1)?,
                state: row.get(2)?,
                class: Class::from_prefix(&class).unwrap_or(Class::Other),
                verdict: row.get(4)?,
                sender: Path { address: row.get(5)?, argument: row.get(6)? },
            })
        })
        .optional()?
        .ok_or_else(|| Trouble::NotFound(id.to_owned()))
}

/// Moves a mail from one of the states to another; writes it down.
pub(super) fn change_state(
    connection: &Connection,
    id: &str,
    from: &[&str],
    to: &str,
    act: &str,
    by: &str,
) -> Result<bool, Trouble> {
    let kept = kept(connection, id)?;
    if !from.contains(&kept.state.as_str()) {
        return Ok(false);
    }
    connection
        .prepare_cached("UPDATE mails SET state = ?, state_time = ? WHERE row = ?")?
        .execute(params![to, Timestamp::now().as_millisecond(), kept.row])?;
    audit(connection, id, by, act, "", "done")?;
    Ok(true)
}
