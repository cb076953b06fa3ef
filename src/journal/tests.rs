use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;
use crate::carbon::grid::{GridSeries, Signal};
use crate::carbon::series::{Series, Slot, SlotQuality};
use crate::config::{ProviderKind, Source};
use crate::units::{GramsPerKwh, UnixTime};
use std::sync::Arc;

mod kept;
mod unsound;

/// When the tests' series were fetched, in seconds.
const NOW: u64 = 1_800_000_000;

fn key(zone: &str) -> SourceKey {
    SourceKey::new(&Source::new(ProviderKind::EnergyCharts), zone)
}

/// A series of hourly slots.
fn series(zone: &str, grams: &[f64]) -> Arc<GridSeries> {
    let slot = |(hour, grams): (u64, &f64)| Slot {
        start: UnixTime::from_seconds(NOW + 3_600 * hour),
        end: UnixTime::from_seconds(NOW + 3_600 * (hour + 1)),
        intensity: GramsPerKwh(*grams),
        quality: SlotQuality::Measured,
    };
    Arc::new(GridSeries {
        provider: "energy_charts".into(),
        zone: zone.into(),
        signal: Signal::AverageLifecycle,
        accounting: "production".into(),
        fetched_at: UnixTime::from_seconds(NOW),
        slots: Series::new((0..).zip(grams).map(slot)),
    })
}

fn save(journal: &Journal, zone: &str, series: &[Arc<GridSeries>]) -> Result<(), JournalError> {
    journal.save_series(&key(zone), series, UnixTime::from_seconds(NOW))
}

/// Opens a journal that needs nothing set aside.
fn open(dir: &Path) -> Journal {
    let (journal, set_aside) = Journal::open(dir).unwrap();
    assert_eq!(set_aside, None);
    journal
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_journal_is_for_its_user_only() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("lib/wattprint");
    let journal = open(&state);
    save(&journal, "DE", &[series("DE", &[1.0])]).unwrap();
    assert_eq!(mode(&state), 0o700);
    let files: Vec<_> = fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 4, "database, log, index and lock: {files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    assert_eq!(journal.path(), state.join(FILE_NAME));
}

#[test]
fn a_second_daemon_is_refused_until_the_first_ends() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path());
    let error = Journal::open(dir.path()).unwrap_err();
    assert!(matches!(error, JournalError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("another wattprint uses this state directory"), "{error}");
    save(&first, "DE", &[series("DE", &[1.0])]).unwrap();
    drop(first);
    assert_eq!(open(dir.path()).load_series().unwrap().sources.len(), 1);
}

#[test]
fn a_program_that_writes_to_the_database_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let other = Connection::open(journal.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = save(&journal, "DE", &[series("DE", &[1.0])]).unwrap_err();
    assert!(matches!(error, JournalError::Locked { .. }), "{error}");
    other.execute_batch("COMMIT").unwrap();
    save(&journal, "DE", &[series("DE", &[1.0])]).unwrap();
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Journal::open(&file.join("state")).unwrap_err();
    assert!(matches!(error, JournalError::Directory { .. }), "{error}");
    let text = error.to_string();
    assert!(text.starts_with(&file.join("state").display().to_string()), "{text}");
    assert!(text.contains("state.dir"), "{text}");
    let proc = Journal::open(Path::new("/proc/wattprint")).unwrap_err();
    assert!(matches!(proc, JournalError::Directory { .. }), "{proc}");
}

#[test]
fn what_is_no_file_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE_NAME);
    fs::create_dir(&path).unwrap();
    let error = Journal::open(dir.path()).unwrap_err();
    assert!(matches!(error, JournalError::NotAFile { .. }), "{error}");
    fs::remove_dir(&path).unwrap();
    symlink("elsewhere", &path).unwrap();
    let error = Journal::open(dir.path()).unwrap_err();
    assert!(matches!(error, JournalError::NotAFile { .. }), "{error}");
    assert!(!dir.path().join("elsewhere").exists());
}

#[test]
fn a_full_disk_fails_a_save_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    save(&journal, "DE", &[series("DE", &[1.0])]).unwrap();
    let pages: i64 = journal.connection().pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    let limit = |pages: i64| journal.connection().pragma_update(None, "max_page_count", pages).unwrap();
    limit(pages);
    let error = save(&journal, "DE", &[series("DE", &[2.0; 2_000])]).unwrap_err();
    assert!(matches!(error, JournalError::Full { .. }), "{error}");
    let kept = journal.load_series().unwrap().sources;
    assert_eq!(kept[0].1, [(*series("DE", &[1.0])).clone()], "a failed save changes nothing");
    limit(1_000_000);
    save(&journal, "DE", &[series("DE", &[2.0; 2_000])]).unwrap();
}

#[test]
fn a_disk_that_is_full_from_the_start_is_told() {
    let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
    let error = JournalError::directory(Path::new("/state"), full);
    assert_eq!(error.to_string(), "/state: the disk is full; make room, or set state.dir to another disk");
}

#[test]
fn a_newer_schema_is_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    journal.connection().pragma_update(None, "user_version", 99).unwrap();
    let path = journal.path().to_owned();
    drop(journal);
    let before = fs::read(&path).unwrap();
    let error = Journal::open(dir.path()).unwrap_err();
    assert!(matches!(error, JournalError::Newer { found: 99, .. }), "{error}");
    assert!(error.to_string().contains("written by a newer wattprint (schema 99"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);
}
