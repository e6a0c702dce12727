//! What can go wrong here, a case for each thing that a caller does differently.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// Trouble of the quarantine. While a mail is being stored every case means 4xx: the client still has it.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// Disk or quota is full, or fewer octets are free than `quarantine.min_free` asks for: 452.
    #[error("the quarantine has no space: {0}")]
    NoSpace(String),
    /// The message is larger than the quarantine can give back in one piece.
    #[error("{octets} octets are more than the {octets_max} that the quarantine keeps of one mail")]
    TooBig {
        /// Its size.
        octets: u64,
        /// The limit.
        octets_max: u64,
    },
    /// A file of that id exists already; nothing was overwritten. Choose a new id.
    #[error("quarantine id {0} is taken")]
    Taken(String),
    /// The file system answered with an error.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// The answer.
        source: io::Error,
    },
    /// The index answered with an error.
    #[error("quarantine index: {0}")]
    Index(String),
    /// There is no such mail.
    #[error("no mail {0} in the quarantine")]
    NotFound(String),
    /// The mail was deleted; it can be undeleted until the next `gc` erases it.
    #[error("mail {0} is deleted: undelete it first")]
    Deleted(String),
    /// The index knows the mail, but its file is gone.
    #[error("the file of mail {0} is missing")]
    FileMissing(String),
    /// The file does not hold what was stored.
    #[error("the file of mail {id} is damaged: {why}")]
    Damaged {
        /// Which mail.
        id: String,
        /// What does not fit.
        why: String,
    },
    /// This is done only when it is asked for twice (`force`).
    #[error("{0}: this needs force")]
    NeedsForce(String),
    /// No randomness for an id.
    #[error("the system gives no random octets: {0}")]
    NoRandom(String),
}

impl Trouble {
    /// An error of the file system; a full disk becomes [`Trouble::NoSpace`].
    pub(super) fn io(what: &'static str, path: &Path, source: io::Error) -> Self {
        // FileTooLarge is what RLIMIT_FSIZE gives: to the mail that is the same as a full disk.
        let no_space = matches!(
            source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        );
        if no_space {
            Self::NoSpace(format!("cannot {what} {}: {source}", path.display()))
        } else {
            Self::Io { what, path: path.to_path_buf(), source }
        }
    }

    /// An error of the index; a full disk becomes [`Trouble::NoSpace`].
    pub(super) fn index(error: &rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::NoSpace(format!("index: {error}")),
            _ => Self::Index(error.to_string()),
        }
    }

    /// True if there is no space, so that the reply is 452 and not 451.
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::NoSpace(_))
    }
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        Self::index(&error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_a_quota_and_a_file_size_limit_are_no_space() {
        for (number, want) in [(28, true), (122, true), (27, true), (5, false), (13, false)] {
            let trouble =
                Trouble::io("write", Path::new("/x"), io::Error::from_raw_os_error(number));
            assert_eq!(trouble.is_no_space(), want, "errno {number}: {trouble}");
        }
    }
}
