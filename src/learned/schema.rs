//! The tables, version after version.

use std::fs::OpenOptions;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::Trouble;
use crate::plain_file;

/// Step n brings the database from version n to n + 1. A step that was released is never changed. Days are counted from
/// 1970; addresses and Message-IDs are digests, so that the file gives nobody's mail away.
const STEPS: [&str; 1] = ["
CREATE TABLE owners (
  owner INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,        -- an address in lower case; empty: the site
  spam INTEGER NOT NULL DEFAULT 0,  -- mails learned
  ham INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE tokens (
  owner INTEGER NOT NULL,
  token INTEGER NOT NULL,
  spam INTEGER NOT NULL,
  ham INTEGER NOT NULL,
  used INTEGER NOT NULL,            -- the day it was last learned, or of use in a verdict
  PRIMARY KEY (owner, token)
) STRICT, WITHOUT ROWID;
CREATE TABLE seen (
  owner INTEGER NOT NULL,
  message BLOB NOT NULL,
  spam INTEGER NOT NULL,            -- 1: learned as spam, 0: as ham
  day INTEGER NOT NULL,
  PRIMARY KEY (owner, message)
) STRICT, WITHOUT ROWID;
CREATE TABLE correspondents (
  pair BLOB PRIMARY KEY,            -- of us and them
  day INTEGER NOT NULL              -- the last day on which we wrote to them
) STRICT, WITHOUT ROWID;
CREATE TABLE sent (
  message BLOB PRIMARY KEY,         -- of its Message-ID
  day INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sent_day ON sent (day);
CREATE TABLE reputations (
  whose TEXT PRIMARY KEY,
  value REAL NOT NULL,              -- -1 (ham) to 1 (spam), as of `time`
  mails REAL NOT NULL,              -- how many it rests on, as of `time`
  time INTEGER NOT NULL             -- seconds since 1970
) STRICT, WITHOUT ROWID;
"];

/// What a mail waits for a lock. Readers of a WAL wait for nobody but one who mends it after a crash.
const READER_WAITS: Duration = Duration::from_millis(50);

/// A connection that may write; creates the file.
pub(super) fn connect(path: &Path, waits: Duration) -> Result<Connection, Trouble> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder {
        std::fs::create_dir_all(folder).map_err(|error| Trouble::file(folder, &error))?;
    }
    let is_new = !path.exists();
    check(path)?;
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)
        .map_err(|error| Trouble::file(path, &error))?;
    if is_new && let Some(folder) = folder {
        belongs_to_owner_of(path, folder);
    }
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(waits)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // After a power cut the last lessons may be gone, but never half of one.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "cache_size", -16_384)?;
    migrate(&mut connection)?;
    Ok(connection)
}

/// What root creates with `tamis learn` the service must be able to write.
fn belongs_to_owner_of(path: &Path, folder: &Path) {
    if rustix::process::geteuid().is_root()
        && let Ok(owner) = std::fs::metadata(folder)
        && let Err(error) = std::os::unix::fs::chown(path, Some(owner.uid()), Some(owner.gid()))
    {
        tracing::warn!(%error, file = %path.display(), "cannot be given to the owner of its folder");
    }
}

/// A connection that only reads; `None` if nothing was ever learned.
pub(super) fn connect_reader(path: &Path) -> Result<Option<Connection>, Trouble> {
    if !path.exists() {
        return Ok(None);
    }
    check(path)?;
    // WAL needs write access to a file beside it even for readers.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(READER_WAITS)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "cache_size", -4_096)?;
    match version(&connection)? {
        // Somebody is about to make the tables.
        0 => Ok(None),
        version if version == STEPS.len() => Ok(Some(connection)),
        version => Err(other_version(version)),
    }
}

/// SQLite would wait for ever at a pipe.
fn check(path: &Path) -> Result<(), Trouble> {
    plain_file::check(path).map_err(|error| {
        let what = format!("{error}; move it away, or name another file as spam.learned");
        Trouble::file(path, &std::io::Error::new(error.kind(), what))
    })
}

fn version(connection: &Connection) -> Result<usize, Trouble> {
    let version =
        connection.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0))?;
    Ok(version as usize)
}

fn other_version(version: usize) -> Trouble {
    Trouble::Database(format!(
        "it has version {version}, and this program knows {}: use the program that made it",
        STEPS.len()
    ))
}

/// Brings the tables to the version of this program.
fn migrate(connection: &mut Connection) -> Result<(), Trouble> {
    if version(connection)? == STEPS.len() {
        return Ok(());
    }
    // Immediate: of several processes that start at once one migrates, and the others find it done.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version = version(&transaction)?;
    if version > STEPS.len() {
        return Err(other_version(version));
    }
    for step in STEPS.iter().skip(version) {
        transaction.execute_batch(step)?;
    }
    let last = u32::try_from(STEPS.len()).unwrap_or(u32::MAX);
    transaction.pragma_update(None, "user_version", last)?;
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("learned.db");
        plain_file::make_pipe(&path);
        for error in [connect(&path, READER_WAITS).unwrap_err(), connect_reader(&path).unwrap_err()]
        {
            let text = error.to_string();
            assert!(text.contains("learned.db") && text.contains("it is a named pipe"), "{text}");
        }
    }

    #[test]
    fn a_database_of_a_newer_program_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("learned.db");
        assert!(connect_reader(&path).unwrap().is_none());
        let connection = connect(&path, READER_WAITS).unwrap();
        assert!(connect_reader(&path).unwrap().is_some());
        connection.pragma_update(None, "user_version", 99).unwrap();
        assert!(connect_reader(&path).unwrap_err().to_string().contains("version 99"));
        assert!(connect(&path, READER_WAITS).unwrap_err().to_string().contains("version 99"));
    }
}
