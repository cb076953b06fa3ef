//! What can go wrong with the journal, and what to do about it.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// Why nothing can be kept or read. The daemon does without.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The directory or a file in it can't be made or written.
    #[error(
        "{}: {error}; make the state directory writable for this user, or set state.dir to one that is",
        path.display()
    )]
    Directory {
        /// The directory or the file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Another wattprint uses the directory.
    #[error(
        "{}: another wattprint uses this state directory; end it, or set state.dir to a directory of its own",
        dir.display()
    )]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// There is a directory, a link or the like where the database belongs.
    #[error("{}: not a regular file; move it away, so that the journal can be there", path.display())]
    NotAFile {
        /// Where the database belongs.
        path: PathBuf,
    },
    /// A newer wattprint wrote it.
    #[error(
        "{}: written by a newer wattprint (schema {found}, this one knows {known}) and left as it is; run that one, or set \
         state.dir to another directory",
        path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest schema that is known here.
        known: i64,
    },
    /// Another program writes to the database.
    #[error("{}: another program has it locked; close that one", path.display())]
    Locked {
        /// The database.
        path: PathBuf,
    },
    /// No space is left.
    #[error("{}: the disk is full; make room, or set state.dir to another disk", path.display())]
    Full {
        /// The database.
        path: PathBuf,
    },
    /// The database is damaged, or isn't a journal at all. When the journal is opened it is set aside for this.
    #[error("{}: {reason}; restart wattprint to have it set aside and a new one begun", path.display())]
    Corrupt {
        /// The database.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Anything else that SQLite reports.
    #[error("{}: {error}; see whether the state directory's disk is sound and writable", path.display())]
    Database {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        error: rusqlite::Error,
    },
}

impl JournalError {
    pub(super) fn directory(path: &Path, error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::StorageFull {
            return Self::Full { path: path.to_owned() };
        }
        Self::Directory { path: path.to_owned(), error }
    }

    pub(super) fn corrupt(path: &Path, reason: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_owned(), reason: reason.into() }
    }

    /// What an error of SQLite means for the journal.
    pub(super) fn database(path: &Path, error: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                Self::Corrupt { path, reason: error.to_string() }
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked { path },
            Some(ErrorCode::DiskFull) => Self::Full { path },
            _ => Self::Database { path, error },
        }
    }
}
