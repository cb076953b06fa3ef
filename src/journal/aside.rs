//! Setting aside a database that can't be used, so that a new one can be begun and the old one looked at.

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::JournalError;

/// What SQLite keeps beside a database.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// A database that was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// Where it is now, with its companions beside it, so that SQLite's tools find them.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

/// A file that SQLite keeps beside a database.
pub(super) fn companion(database: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(database);
    name.push(ending);
    name.into()
}

/// Moves a database to the first name of its kind that nothing has yet.
pub(super) fn set_aside(database: &Path, reason: String) -> Result<SetAside, JournalError> {
    let is_free = |path: &Path| {
        let companions = COMPANIONS.iter().map(|ending| companion(path, ending));
        companions.chain([path.to_owned()]).all(|path| fs::symlink_metadata(path).is_err())
    };
    let mut number = 1_u64;
    let path = loop {
        let path = companion(database, &format!(".corrupt-{number}"));
        if is_free(&path) {
            break path;
        }
        number += 1;
    };
    // The database goes last: were it gone alone, SQLite would take its log for that of a new one and delete it.
    for ending in COMPANIONS {
        rename(&companion(database, ending), &companion(&path, ending))?;
    }
    rename(database, &path)?;
    Ok(SetAside { path, reason })
}

fn rename(from: &Path, to: &Path) -> Result<(), JournalError> {
    match fs::rename(from, to) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(JournalError::directory(from, error)),
        _ => Ok(()),
    }
}
