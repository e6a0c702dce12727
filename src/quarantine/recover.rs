//! After a crash: folder and index are brought to agree again.
//!
//! A file without a row is adopted by what its block says; a row without a file is marked missing; temporary files of
//! dead writers go; erasing that was begun is finished. It may run while others write: what is locked is left alone.

use std::collections::HashMap;

use bytes::Bytes;
use jiff::Timestamp;
use mail_parser::{HeaderValue, MessageParser};
use rusqlite::params;

use super::entry::{Class, NewEntry};
use super::rows::{self, Place};
use super::store::class_and_id;
use super::{Inner, MailId, Trouble, block, gc, release};
use crate::filters::Score;

/// What was mended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Files that got a row.
    pub adopted: u64,
    /// Rows whose file is gone.
    pub missing: u64,
    /// Rows whose file came back.
    pub found_again: u64,
    /// Temporary files removed.
    pub stale: u64,
    /// Mails whose erasing was finished.
    pub erased: u64,
    /// Files that could not be read.
    pub unreadable: u64,
    /// Releases that were broken off; they are `unknown` now.
    pub releases: u64,
}

pub(super) fn recover(inner: &Inner) -> Result<Recovery, Trouble> {
    let claims = inner
        .writer
        .write_blocking(|connection| release::take_back_claims(connection, Timestamp::now()))?;
    let erased = gc::finish_erasing(inner)?;
    let mut recovery = Recovery { erased, releases: claims as u64, ..Recovery::default() };
    mark_lost_folders(inner, &mut recovery)?;
    for folder in inner.files.folders()? {
        recover_folder(inner, &folder, &mut recovery)?;
    }
    Ok(recovery)
}

/// Folder by folder, so that only a part of all names is in memory.
fn recover_folder(inner: &Inner, folder: &str, recovery: &mut Recovery) -> Result<(), Trouble> {
    let mut rows = rows_by_file(inner, folder)?;
    for name in inner.files.entries(folder)? {
        let name = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        if inner.files.remove_stale(&name) {
            recovery.stale += 1;
            continue;
        }
        let last = name.rsplit('/').next().unwrap_or(&name);
        let Some((class, id)) = class_and_id(last) else { continue };
        match rows.remove(&name) {
            Some(state) if state == "missing" => {
                mark(inner, &name, "missing", "stored")?;
                recovery.found_again += 1;
            }
            Some(_) => {}
            None => match adopt(inner, &name, class, id) {
                Ok(true) => recovery.adopted += 1,
                Ok(false) => {}
                Err(error) => {
                    recovery.unreadable += 1;
                    tracing::warn!(file = name, %error, "a quarantine file cannot be adopted");
                }
            },
        }
    }
    for (name, state) in rows {
        recovery.missing += mark_if_lost(inner, &name, &state)?;
    }
    Ok(())
}

/// File names and states of a folder's mails; of the top folder, when it is `""`.
fn rows_by_file(inner: &Inner, folder: &str) -> Result<HashMap<String, String>, Trouble> {
    // A folder is named after the first character of the id, by which the rows are found quickly.
    let (condition, first) = match folder {
        "" => ("instr(file, '/') = 0 AND ?1 = ?1", ""),
        first => ("id >= ?1 AND id < ?1 || char(127) AND instr(file, ?1 || '/') = 1", first),
    };
    inner.read(|connection| {
        let mut statement =
            connection.prepare(&format!("SELECT file, state FROM mails WHERE {condition}"))?;
        let rows = statement.query_map([first], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    })
}

/// Rows whose whole folder is gone are in no folder that is gone through.
fn mark_lost_folders(inner: &Inner, recovery: &mut Recovery) -> Result<(), Trouble> {
    let there = inner.files.folders()?;
    let known: Vec<String> = inner.read(|connection| {
        let mut statement = connection.prepare(
            "SELECT DISTINCT substr(file, 1, instr(file, '/') - 1) FROM mails
             WHERE instr(file, '/') > 1 AND state = 'stored'",
        )?;
        let rows = statement.query_map([], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    })?;
    for folder in known.iter().filter(|folder| !there.contains(folder)) {
        for (name, state) in rows_by_file(inner, folder)? {
            recovery.missing += mark_if_lost(inner, &name, &state)?;
        }
    }
    Ok(())
}

/// A mail may have been stored after its folder was read.
fn mark_if_lost(inner: &Inner, name: &str, state: &str) -> Result<u64, Trouble> {
    if state != "stored" || inner.files.path(name).exists() {
        return Ok(0);
    }
    mark(inner, name, "stored", "missing")?;
    Ok(1)
}

fn mark(inner: &Inner, name: &str, from: &'static str, to: &'static str) -> Result<(), Trouble> {
    let name = name.to_owned();
    inner.writer.write_blocking(move |connection| {
        connection.execute(
            "UPDATE mails SET state = ?, state_time = ? WHERE file = ? AND state = ?",
            params![to, Timestamp::now().as_millisecond(), name, from],
        )?;
        Ok(())
    })
}

/// Gives a file its row; false if somebody is still writing it, or its row came meanwhile.
fn adopt(inner: &Inner, name: &str, class: Class, id: &str) -> Result<bool, Trouble> {
    let Some(lock) = inner.files.lock_left_over(name) else { return Ok(false) };
    let octets = inner.files.read(name)?;
    let data = lock.metadata().map_err(|e| Trouble::io("look at", &inner.files.path(name), e))?;
    let changed = data.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
    let parts = block::read(&octets);
    let time = parts.fields.word("time").and_then(|time| time.parse().ok());
    let time = time.unwrap_or_else(|| changed.unwrap_or_default().as_millisecond());
    let entry = entry_of(class, id, &parts.fields, Bytes::copy_from_slice(&parts.raw));
    let place = Place { file: name.to_owned(), file_octets: data.len() };
    inner
        .writer
        .write_blocking(move |connection| rows::insert(connection, &entry, &place, time, true))
}

fn entry_of(class: Class, id: &str, fields: &block::Fields, raw: Bytes) -> NewEntry {
    let word = |name: &str| fields.word(name).map(str::to_owned);
    let header = MessageParser::default().parse_headers(raw.as_ref());
    let text = |name: &str| match header.as_ref().and_then(|message| message.header(name)) {
        Some(HeaderValue::Text(text)) => text.to_string(),
        _ => String::new(),
    };
    let from = header.as_ref().and_then(|message| message.from()?.first().cloned());
    let from_header = from.map(|from| match (from.name(), from.address()) {
        (Some(name), Some(address)) => format!("{name} <{address}>"),
        (name, address) => address.or(name).unwrap_or_default().to_owned(),
    });
    let message_id = Some(text("Message-ID")).filter(|text| !text.is_empty());
    // A file of amavis lists those whose copy was not delivered; with no such list it was held for all.
    let held = if fields.held.is_empty() && fields.stored.is_none() {
        fields.all_recipients.clone()
    } else {
        fields.held.clone()
    };
    let delivered =
        fields.all_recipients.iter().filter(|all| !held.iter().any(|h| h.address == all.address));
    NewEntry {
        id: MailId::known(id),
        class,
        verdict: word("verdict").unwrap_or_else(|| class.likely_verdict().to_owned()),
        sender: fields.sender.clone(),
        delivered_recipients: delivered.cloned().collect(),
        all_recipients: Vec::new(),
        recipients: held,
        client_address: fields.word("client").and_then(|address| address.parse().ok()),
        client_name: word("name"),
        helo: word("helo"),
        ident: word("ident"),
        subject: text("Subject"),
        from_header: from_header.unwrap_or_default(),
        message_id: message_id.map(|id| format!("<{id}>")).unwrap_or_default(),
        score: fields.score.as_deref().and_then(Score::parse),
        header_lines: Vec::new(),
        raw,
        facts: serde_json::Value::Null,
    }
}
