//! The database's schema: whether a file has it, and how it comes from an older one.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::{JournalError, kept};

/// Says that a database is wattprint's: `watt` in ASCII.
const APPLICATION_ID: i64 = 0x7761_7474;

/// What makes each schema from the one before; the first makes schema 1 from an empty database. Released ones never change.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE grid_series (
        id INTEGER PRIMARY KEY,
        source TEXT NOT NULL,
        provider TEXT NOT NULL,
        zone TEXT NOT NULL,
        signal TEXT NOT NULL,
        accounting TEXT NOT NULL,
        fetched_unix_ms INTEGER NOT NULL,
        UNIQUE (source, provider, zone, signal)
    ) STRICT;
    CREATE TABLE grid_slot (
        series INTEGER NOT NULL REFERENCES grid_series (id) ON DELETE CASCADE,
        start_unix_ms INTEGER NOT NULL,
        end_unix_ms INTEGER NOT NULL,
        grams_per_kwh REAL NOT NULL,
        quality TEXT NOT NULL,
        PRIMARY KEY (series, start_unix_ms)
    ) STRICT, WITHOUT ROWID;
"];

/// The newest schema that is known.
fn known() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// Whether the file is a journal, or empty, and sound. It is only read.
pub(super) fn check(path: &Path, connection: &Connection) -> Result<(), JournalError> {
    let failed = |error| JournalError::database(path, error);
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let version = number("user_version").map_err(failed)?;
    let is_ours = number("application_id").map_err(failed)? == APPLICATION_ID;
    // Before anything that depends on the schema: a newer SQLite may have written what this one can't read.
    if is_ours && version > known() {
        return Err(JournalError::Newer { path: path.to_owned(), found: version, known: known() });
    }
    let verdict: String =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(failed)?;
    if verdict != "ok" {
        return Err(JournalError::corrupt(path, verdict));
    }
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(failed)?;
    if (is_ours && version > 0) || (version == 0 && tables == 0) {
        return Ok(());
    }
    Err(JournalError::corrupt(path, "it is the database of another program"))
}

/// Brings the schema up to date, all or nothing, and makes sure that it is what the version says.
pub(super) fn migrate(path: &Path, connection: &mut Connection) -> Result<(), JournalError> {
    let unfit = |error| match JournalError::database(path, error) {
        JournalError::Database { error, .. } => {
            JournalError::corrupt(path, format!("its schema isn't what its version says: {error}"))
        }
        other => other,
    };
    let failed = |error| JournalError::database(path, error);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let version: i64 =
        transaction.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
    let done = usize::try_from(version).unwrap_or(0);
    if done < MIGRATIONS.len() {
        for migration in MIGRATIONS.iter().skip(done) {
            transaction.execute_batch(migration).map_err(unfit)?;
        }
        transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed)?;
        transaction.pragma_update(None, "user_version", known()).map_err(failed)?;
    }
    for statement in kept::STATEMENTS {
        transaction.prepare(statement).map_err(unfit)?;
    }
    transaction.commit().map_err(failed)
}
