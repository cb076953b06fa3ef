//! The last good series of each source.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, Row, Transaction, TransactionBehavior, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Journal, JournalError, SourceKey};
use crate::carbon::grid::GridSeries;
use crate::carbon::providers::believable;
use crate::carbon::series::{Series, Slot};
use crate::units::UnixTime;

/// A series that wasn't fetched for so long is dropped: its source isn't configured any more, or what it forecast is past.
const KEEP: Duration = Duration::from_secs(7 * 86_400);

const SERIES: &str = "
    SELECT id, source, provider, zone, signal, accounting, fetched_unix_ms FROM grid_series ORDER BY id";
const SLOTS: &str = "
    SELECT start_unix_ms, end_unix_ms, grams_per_kwh, quality FROM grid_slot WHERE series = ? ORDER BY start_unix_ms";
const PUT_SERIES: &str = "
    INSERT INTO grid_series (source, provider, zone, signal, accounting, fetched_unix_ms) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (source, provider, zone, signal) DO UPDATE
    SET accounting = excluded.accounting, fetched_unix_ms = excluded.fetched_unix_ms
    RETURNING id";
const CLEAR_SLOTS: &str = "DELETE FROM grid_slot WHERE series = ?";
const PUT_SLOT: &str = "
    INSERT INTO grid_slot (series, start_unix_ms, end_unix_ms, grams_per_kwh, quality) VALUES (?, ?, ?, ?, ?)";
const DROP_OLD: &str = "DELETE FROM grid_series WHERE abs(fetched_unix_ms - ?) > ?";

/// All that is asked of the database; a schema in which these can't be prepared isn't the one that they were written for.
pub(super) const STATEMENTS: [&str; 6] = [SERIES, SLOTS, PUT_SERIES, CLEAR_SLOTS, PUT_SLOT, DROP_OLD];

/// What was kept of all sources.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeptSeries {
    /// The series of each source, in the order in which they were first saved.
    pub sources: Vec<(SourceKey, Vec<GridSeries>)>,
    /// Series and slots that were left out because they can't be read or aren't believable.
    pub skipped: usize,
}

impl KeptSeries {
    /// Takes out the series of a source; empty where nothing of it was kept.
    pub fn take(&mut self, source: &SourceKey) -> Vec<GridSeries> {
        let place = self.sources.iter().position(|(known, _)| known == source);
        place.map(|place| self.sources.swap_remove(place).1).unwrap_or_default()
    }
}

impl Journal {
    /// Keeps these series of a source in place of what was kept of them, all or nothing. `now` is the time of day: series
    /// of any source that were last fetched more than 7 days from it are dropped.
    ///
    /// # Errors
    /// The disk is full or broken, or another program has the database locked. What was kept is then as it was.
    pub fn save_series(
        &self,
        source: &SourceKey,
        series: &[Arc<GridSeries>],
        now: UnixTime,
    ) -> Result<(), JournalError> {
        save(&mut self.connection(), source, series, now).map_err(self.failed())
    }

    /// Everything that was kept. A row that can't be read is left out and counted.
    ///
    /// # Errors
    /// The disk or the database is broken, or another program has it locked.
    pub fn load_series(&self) -> Result<KeptSeries, JournalError> {
        load(&self.connection()).map_err(self.failed())
    }
}

fn save(
    connection: &mut Connection,
    source: &SourceKey,
    series: &[Arc<GridSeries>],
    now: UnixTime,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for series in series {
        put(&transaction, source, series)?;
    }
    let keep = i64::try_from(KEEP.as_millis()).unwrap_or(i64::MAX);
    transaction.execute(DROP_OLD, params![stored(now), keep])?;
    transaction.commit()
}

fn load(connection: &Connection) -> rusqlite::Result<KeptSeries> {
    let mut kept = KeptSeries::default();
    let (mut series, mut slots) = (connection.prepare(SERIES)?, connection.prepare(SLOTS)?);
    let mut rows = series.query([])?;
    while let Some(row) = rows.next()? {
        let Some((id, source, mut series)) = read_series(row) else {
            kept.skipped += 1;
            continue;
        };
        let mut rows = slots.query([id])?;
        let mut read = Vec::new();
        while let Some(row) = rows.next()? {
            match read_slot(row, &series) {
                Some(slot) => read.push(slot),
                None => kept.skipped += 1,
            }
        }
        series.slots = Series::new(read);
        match kept.sources.iter_mut().find(|(known, _)| *known == source) {
            Some((_, known)) => known.push(series),
            None => kept.sources.push((source, vec![series])),
        }
    }
    Ok(kept)
}

fn put(transaction: &Transaction<'_>, source: &SourceKey, series: &GridSeries) -> rusqlite::Result<()> {
    let GridSeries { provider, zone, signal, accounting, fetched_at, slots } = series;
    let mut statement = transaction.prepare(PUT_SERIES)?;
    let values = params![source.as_str(), provider, zone, name(signal), accounting, stored(*fetched_at)];
    let id: i64 = statement.query_row(values, |row| row.get(0))?;
    transaction.execute(CLEAR_SLOTS, [id])?;
    let mut statement = transaction.prepare(PUT_SLOT)?;
    // SQLite has no NaN.
    for slot in slots.slots().iter().filter(|slot| slot.intensity.0.is_finite()) {
        let values =
            params![id, stored(slot.start), stored(slot.end), slot.intensity.0, slot.quality.as_str()];
        statement.execute(values)?;
    }
    Ok(())
}

fn read_series(row: &Row<'_>) -> Option<(i64, SourceKey, GridSeries)> {
    let series = GridSeries {
        provider: row.get(2).ok()?,
        zone: row.get(3).ok()?,
        signal: named(row.get(4).ok()?)?,
        accounting: row.get(5).ok()?,
        fetched_at: read_time(row, 6)?,
        slots: Series::default(),
    };
    Some((row.get(0).ok()?, SourceKey::kept(row.get(1).ok()?), series))
}

fn read_slot(row: &Row<'_>, series: &GridSeries) -> Option<Slot> {
    let (start, end) = (read_time(row, 0)?, read_time(row, 1)?);
    believable(start, end, row.get(2).ok()?, named(row.get(3).ok()?)?, series.signal)
}

fn read_time(row: &Row<'_>, column: usize) -> Option<UnixTime> {
    let millis = row.get::<_, i64>(column).ok()?;
    u64::try_from(millis).ok().map(UnixTime::from_millis)
}

/// A moment as it is stored; SQLite's integers end long after any.
fn stored(time: UnixTime) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// The name of a variant, as it stands in JSON.
fn name(variant: impl Serialize) -> Option<String> {
    serde_json::to_value(variant).ok()?.as_str().map(str::to_owned)
}

/// The variant with a name.
fn named<T: DeserializeOwned>(name: String) -> Option<T> {
    serde_json::from_value(Value::String(name)).ok()
}
