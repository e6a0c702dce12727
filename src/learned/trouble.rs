//! What can go wrong with what was learned. No mail fails for it: the check counts as not run.

use std::path::Path;

/// Why there is no answer, or nothing was learned.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// Another process holds the database; a later try may succeed.
    #[error("the database of learned mail is locked by another process")]
    Locked,
    /// It is damaged, or no database: move it away and learn again.
    #[error("the database of learned mail is damaged: {0}; move it away and learn again")]
    Damaged(String),
    /// Anything else the database says.
    #[error("the database of learned mail: {0}")]
    Database(String),
    /// A file or folder cannot be opened.
    #[error("{0}")]
    File(String),
}

impl Trouble {
    pub(super) fn file(path: &Path, error: &std::io::Error) -> Self {
        Self::File(format!("{}: {error}", path.display()))
    }
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{DatabaseBusy, DatabaseCorrupt, DatabaseLocked, NotADatabase};
        let code = error.sqlite_error_code();
        if matches!(code, Some(DatabaseBusy | DatabaseLocked)) {
            Self::Locked
        } else if matches!(code, Some(DatabaseCorrupt | NotADatabase)) {
            Self::Damaged(error.to_string())
        } else {
            Self::Database(error.to_string())
        }
    }
}
