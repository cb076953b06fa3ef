//! What outlives the daemon: an SQLite database in the state directory, written by one daemon at a time.
//!
//! The database has a write-ahead log and is synced at checkpoints only: a crash of the machine may lose the last writes but
//! not more, and what is here can be had again. A database that can't be used is set aside, never deleted.

mod aside;
mod error;
mod kept;
mod key;
mod schema;
mod writer;

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

pub use aside::SetAside;
pub use error::JournalError;
pub use kept::KeptSeries;
pub use key::SourceKey;
pub use writer::JournalWriter;

/// The database's name in the state directory.
pub const FILE_NAME: &str = "wattprint.sqlite";

/// The file whose lock says that a daemon uses the directory. The database's own file won't do: closing it anywhere in the
/// process would drop SQLite's locks.
const LOCK_NAME: &str = "wattprint.lock";

/// How long a program that looks into the database may keep a write waiting.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

/// An open journal. Threads may share it; one at a time writes.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    connection: Mutex<Connection>,
    /// Given back when the journal goes.
    _lock: Flock<File>,
}

impl Journal {
    /// Opens the journal in a state directory, or begins one. The directory is made if need be, for this user only. Where
    /// there is a file that can't be used as a journal, it is set aside and a new one begun.
    ///
    /// # Errors
    /// The directory or the file can't be written, another process uses it, the disk is full, or a newer wattprint wrote it.
    pub fn open(dir: &Path) -> Result<(Self, Option<SetAside>), JournalError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|error| JournalError::directory(dir, error))?;
        let lock = lock(dir)?;
        let path = dir.join(FILE_NAME);
        let (connection, set_aside) = match connect(&path) {
            Err(JournalError::Corrupt { reason, .. }) => {
                let set_aside = aside::set_aside(&path, reason)?;
                (connect(&path)?, Some(set_aside))
            }
            other => (other?, None),
        };
        Ok((Self { path, connection: Mutex::new(connection), _lock: lock }, set_aside))
    }

    /// Where the database is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // A thread that panicked in a transaction has rolled it back.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names the database in an error of SQLite.
    fn failed(&self) -> impl Fn(rusqlite::Error) -> JournalError {
        |error| JournalError::database(&self.path, error)
    }
}

fn lock(dir: &Path) -> Result<Flock<File>, JournalError> {
    let path = dir.join(LOCK_NAME);
    let file = create(&path)?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        Errno::EWOULDBLOCK => JournalError::InUse { dir: dir.to_owned() },
        other => JournalError::directory(&path, other.into()),
    })
}

/// Opens a file, or makes it, for this user only.
fn create(path: &Path) -> Result<File, JournalError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(path).map_err(|error| JournalError::directory(path, error))
}

/// A connection to a database that is sound and has the current schema.
fn connect(path: &Path) -> Result<Connection, JournalError> {
    if path.symlink_metadata().is_ok_and(|metadata| !metadata.is_file()) {
        return Err(JournalError::NotAFile { path: path.to_owned() });
    }
    // SQLite gives its other files the mode of this one.
    drop(create(path)?);
    if is_empty(path) && !is_empty(&aside::companion(path, "-wal")) {
        // SQLite would delete the log.
        return Err(JournalError::corrupt(path, "it is empty, but its write-ahead log isn't"));
    }
    let failed = |error| JournalError::database(path, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    // The files of a database that turns out to be unsound are left as they are.
    let keep_log = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
    connection.set_db_config(keep_log, true).map_err(failed)?;
    schema::check(path, &connection)?;
    schema::migrate(path, &mut connection)?;
    // Without it, SQLite keeps a rollback journal, which does as well.
    connection.pragma_update(None, "journal_mode", "wal").map_err(failed)?;
    connection.pragma_update(None, "synchronous", "normal").map_err(failed)?;
    connection.pragma_update(None, "foreign_keys", true).map_err(failed)?;
    connection.set_db_config(keep_log, false).map_err(failed)?;
    Ok(connection)
}

/// Whether there is nothing in a file, or no file.
fn is_empty(path: &Path) -> bool {
    path.metadata().map_or(true, |metadata| metadata.len() == 0)
}

#[cfg(test)]
mod tests;
