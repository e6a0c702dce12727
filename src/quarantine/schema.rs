//! The tables of the index, version after version.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};

use super::{Trouble, rows};
use crate::plain_file;

/// Step n brings the database from version n to n + 1. A step that was released is never changed.
const STEPS: [&str; 1] = ["
CREATE TABLE mails (
  row INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  secret TEXT,
  file TEXT NOT NULL,
  file_octets INTEGER NOT NULL,
  class TEXT NOT NULL,
  verdict TEXT NOT NULL,
  time INTEGER NOT NULL,            -- milliseconds since 1970
  state TEXT NOT NULL DEFAULT 'stored',  -- stored deleted missing erasing
  state_time INTEGER NOT NULL,
  hold INTEGER NOT NULL DEFAULT 0,
  sender TEXT NOT NULL,
  sender_argument BLOB NOT NULL,
  from_header TEXT NOT NULL,
  subject TEXT NOT NULL,
  message_id TEXT NOT NULL,
  queue_id TEXT,
  client_address TEXT,
  client_name TEXT,
  helo TEXT,
  size INTEGER NOT NULL,
  score INTEGER                     -- thousandths of a point
) STRICT;
CREATE INDEX mails_time ON mails (time, row);
CREATE INDEX mails_class ON mails (class, time, row);
CREATE INDEX mails_state ON mails (state, state_time);
CREATE INDEX mails_message_id ON mails (message_id);
CREATE TABLE mail_facts (mail INTEGER PRIMARY KEY, facts TEXT NOT NULL) STRICT;
CREATE TABLE recipients (
  mail INTEGER NOT NULL,
  n INTEGER NOT NULL,
  address TEXT NOT NULL,
  argument BLOB NOT NULL,
  state TEXT NOT NULL,              -- held releasing released unknown delivered refused
  reply TEXT,
  token TEXT,                       -- of the claim, while releasing
  owner TEXT,                       -- the process that claimed it
  claimed INTEGER,                  -- milliseconds since 1970
  PRIMARY KEY (mail, n)
) STRICT, WITHOUT ROWID;
CREATE INDEX recipients_claimed ON recipients (claimed) WHERE state = 'releasing';
CREATE TABLE audit (
  row INTEGER PRIMARY KEY,
  time INTEGER NOT NULL,
  id TEXT NOT NULL,
  by TEXT NOT NULL,
  act TEXT NOT NULL,
  recipient TEXT NOT NULL,
  result TEXT NOT NULL
) STRICT;
CREATE INDEX audit_id ON audit (id, row);
CREATE TABLE history (
  row INTEGER PRIMARY KEY,
  id TEXT NOT NULL,
  time INTEGER NOT NULL,
  queue_id TEXT,
  message_id TEXT NOT NULL,
  sender TEXT NOT NULL,
  recipients TEXT NOT NULL,         -- a JSON array
  verdict TEXT NOT NULL,
  action TEXT NOT NULL,
  score INTEGER,
  layout INTEGER NOT NULL,
  facts TEXT NOT NULL
) STRICT;
CREATE INDEX history_id ON history (id);
CREATE INDEX history_time ON history (time);
CREATE INDEX history_queue_id ON history (queue_id);
CREATE INDEX history_message_id ON history (message_id);
"];

/// Another process may hold the write lock for one group commit; a longer wait means that something is wrong.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection that may write.
pub(super) fn connect(path: &Path) -> Result<Connection, Trouble> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|e| Trouble::io("create the folder", folder, e))?;
    }
    // SQLite would wait for ever at a pipe.
    plain_file::check(path).map_err(|error| {
        let what = format!("{error}; move it away, or name another file in database.url");
        Trouble::io("open the database", path, std::io::Error::new(error.kind(), what))
    })?;
    // Subjects and addresses are in there: SQLite would let everybody read. Its other files get the mode of this one.
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)
        .map_err(|e| Trouble::io("open the database", path, e))?;
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// A connection that only reads.
pub(super) fn connect_reader(path: &Path) -> Result<Connection, Trouble> {
    let connection = connect(path)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// Brings the tables to the version of this program.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), Trouble> {
    // Immediate: of several processes that start at once one migrates, and the others find it done.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: usize = transaction
        .pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0))
        .map(|version| version as usize)?;
    if version > STEPS.len() {
        return Err(Trouble::Index(format!(
            "the database has version {version}, and this program knows {}: use the newer program",
            STEPS.len()
        )));
    }
    for step in STEPS.iter().skip(version) {
        transaction.execute_batch(step)?;
    }
    if version < STEPS.len() {
        transaction.pragma_update(None, "user_version", rows::to_i64(STEPS.len()))?;
    }
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        plain_file::make_pipe(&path);
        let text = connect(&path).unwrap_err().to_string();
        assert!(text.contains("it is a named pipe, not a file; move it away"), "{text}");
    }

    #[test]
    fn a_database_of_a_newer_program_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mut connection = connect(&folder.path().join("db")).unwrap();
        migrate(&mut connection).unwrap();
        migrate(&mut connection).unwrap();
        connection.pragma_update(None, "user_version", 99).unwrap();
        assert!(migrate(&mut connection).unwrap_err().to_string().contains("version 99"));
    }
}
