//! What is kept of series.

use proptest::prelude::{Just, Strategy, prop, prop_oneof, proptest};

use super::*;
use crate::carbon::providers::believable;
use crate::journal::writer::PAUSE;
use crate::logged::logged;

fn now() -> UnixTime {
    UnixTime::from_seconds(NOW)
}

fn kept(journal: &Journal) -> Vec<(SourceKey, Vec<GridSeries>)> {
    let kept = journal.load_series().unwrap();
    assert_eq!(kept.skipped, 0);
    kept.sources
}

#[test]
fn series_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let (germany, france) = (series("DE", &[1.0, 2.5, 300.0]), series("FR", &[30.0]));
    save(&journal, "DE", &[Arc::clone(&germany), Arc::clone(&france)]).unwrap();
    save(&journal, "FR", &[Arc::clone(&france)]).unwrap();
    drop(journal);
    let journal = open(dir.path());
    let expected =
        [(key("DE"), vec![(*germany).clone(), (*france).clone()]), (key("FR"), vec![(*france).clone()])];
    assert_eq!(kept(&journal), expected);
    let mut all = journal.load_series().unwrap();
    assert_eq!(all.take(&key("FR")), [(*france).clone()]);
    assert_eq!(all.take(&key("FR")), [], "it was taken out");
    assert_eq!(all.take(&key("IT")), []);
}

#[test]
fn series_survive_a_kill() {
    let (dir, copied) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let journal = open(dir.path());
    save(&journal, "DE", &[series("DE", &[5.0])]).unwrap();
    for name in [FILE_NAME.to_owned(), format!("{FILE_NAME}-wal")] {
        fs::copy(dir.path().join(&name), copied.path().join(&name)).unwrap();
    }
    assert_eq!(kept(&open(copied.path())), kept(&journal));
}

#[test]
fn a_write_that_was_cut_off_leaves_what_was_before() {
    let (dir, copied) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let journal = open(dir.path());
    save(&journal, "DE", &[series("DE", &[5.0])]).unwrap();
    let log = dir.path().join(format!("{FILE_NAME}-wal"));
    let first = fs::metadata(&log).unwrap().len();
    save(&journal, "DE", &[series("DE", &[6.0; 1_000])]).unwrap();
    let whole = fs::read(&log).unwrap();
    let first = usize::try_from(first).unwrap();
    assert!(whole.len() > first);
    for cut in [first, first + 1, (first + whole.len()) / 2, whole.len() - 1] {
        fs::copy(dir.path().join(FILE_NAME), copied.path().join(FILE_NAME)).unwrap();
        fs::write(copied.path().join(format!("{FILE_NAME}-wal")), &whole[..cut]).unwrap();
        let journal = open(copied.path());
        assert_eq!(kept(&journal)[0].1, [(*series("DE", &[5.0])).clone()], "cut at {cut}");
    }
}

#[test]
fn a_save_replaces_the_same_series_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let marginal = Arc::new(GridSeries { signal: Signal::Marginal, ..(*series("DE", &[700.0])).clone() });
    save(&journal, "DE", &[series("DE", &[1.0, 2.0]), Arc::clone(&marginal)]).unwrap();
    save(&journal, "DE", &[series("DE", &[9.0])]).unwrap();
    assert_eq!(kept(&journal), [(key("DE"), vec![(*series("DE", &[9.0])).clone(), (*marginal).clone()])]);
    let slots: i64 =
        journal.connection().query_row("SELECT count(*) FROM grid_slot", [], |row| row.get(0)).unwrap();
    assert_eq!(slots, 2);
}

#[test]
fn series_that_nobody_fetches_are_dropped_after_a_week() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    save(&journal, "DE", &[series("DE", &[1.0])]).unwrap();
    let week = 7 * 86_400;
    let mut later = (*series("FR", &[1.0])).clone();
    for (after, left) in [(week, 2), (week + 1, 1)] {
        later.fetched_at = UnixTime::from_seconds(NOW + after);
        let fetched = [Arc::new(later.clone())];
        journal.save_series(&key("FR"), &fetched, later.fetched_at).unwrap();
        assert_eq!(kept(&journal).len(), left, "after {after} s");
    }
    let slots: i64 =
        journal.connection().query_row("SELECT count(*) FROM grid_slot", [], |row| row.get(0)).unwrap();
    assert_eq!(slots, 1, "their slots go with them");
    let earlier = [series("DE", &[1.0])];
    journal.save_series(&key("DE"), &earlier, UnixTime::from_seconds(NOW)).unwrap();
    assert_eq!(kept(&journal).len(), 1, "a clock that was ahead leaves nothing for ever");
}

#[test]
fn the_file_does_not_grow_with_every_save() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let pages =
        || journal.connection().pragma_query_value(None, "page_count", |row| row.get::<_, i64>(0)).unwrap();
    let save = || save(&journal, "DE", &[series("DE", &[1.0; 500])]).unwrap();
    (0..3).for_each(|_| save());
    let before = pages();
    (0..50).for_each(|_| save());
    assert_eq!(pages(), before);
}

#[test]
fn rows_that_cannot_be_read_are_left_out_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    save(&journal, "DE", &[series("DE", &[1.0, 2.0, 3.0, 4.0, 5.0]), series("FR", &[6.0])]).unwrap();
    let hour = |hour: u64| 1_000 * (NOW + 3_600 * hour);
    let spoil = format!(
        "UPDATE grid_slot SET quality = 'hearsay' WHERE start_unix_ms = {} AND grams_per_kwh = 1;
         UPDATE grid_slot SET grams_per_kwh = 9e999 WHERE start_unix_ms = {};
         UPDATE grid_slot SET end_unix_ms = -1 WHERE start_unix_ms = {};
         UPDATE grid_slot SET grams_per_kwh = -4 WHERE start_unix_ms = {};
         INSERT INTO grid_series VALUES (77, 'x', 'y', 'z', 'gut_feeling', '', 0);",
        hour(0),
        hour(1),
        hour(2),
        hour(3)
    );
    journal.connection().execute_batch(&spoil).unwrap();
    let kept = journal.load_series().unwrap();
    assert_eq!(kept.skipped, 5);
    let [(_, found)] = &kept.sources[..] else { panic!("{kept:?}") };
    let values: Vec<Vec<f64>> = found
        .iter()
        .map(|series| series.slots.slots().iter().map(|slot| slot.intensity.0).collect())
        .collect();
    assert_eq!(values, [vec![5.0], vec![6.0]]);
}

#[test]
fn values_that_sqlite_has_no_room_for_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    save(&journal, "DE", &[series("DE", &[1.0, f64::NAN, 3.0])]).unwrap();
    assert_eq!(kept(&journal)[0].1[0].slots.slots().len(), 2);
}

#[test]
fn damage_while_running_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let path = journal.path().to_owned();
    drop(journal);
    let bytes = fs::read(&path).unwrap();
    let journal = open(dir.path());
    fs::write(&path, vec![0xff; bytes.len()]).unwrap();
    journal.connection().execute_batch("PRAGMA shrink_memory").unwrap();
    let error = journal.load_series().unwrap_err();
    assert!(matches!(error, JournalError::Corrupt { .. }), "{error}");
    assert!(error.to_string().contains("restart wattprint"), "{error}");
}

#[test]
fn the_writer_tells_the_first_failure_and_the_recovery() {
    let dir = tempfile::tempdir().unwrap();
    let writer = JournalWriter::new(open(dir.path()), vec![key("DE"), key("FR")]);
    let lines = logged(|| {
        let other = Connection::open(dir.path().join(FILE_NAME)).unwrap();
        other
            .execute_batch(
                "CREATE TRIGGER broken BEFORE INSERT ON grid_slot BEGIN SELECT RAISE(ABORT, 'broken'); END",
            )
            .unwrap();
        writer.save(0, &[series("DE", &[1.0])], now());
        writer.save(1, &[series("FR", &[1.0])], now());
        other.execute_batch("DROP TRIGGER broken").unwrap();
        writer.save(0, &[series("DE", &[2.0])], now());
        writer.save(1, &[series("FR", &[2.0])], now());
        writer.save(2, &[series("IT", &[2.0])], now());
    });
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("WARN") && lines[0].contains("grid data can't be kept"), "{lines:?}");
    assert!(lines[0].contains(&format!("{}: broken", dir.path().join(FILE_NAME).display())), "{lines:?}");
    assert!(lines[1].contains("INFO") && lines[1].contains("kept again"), "{lines:?}");
}

#[test]
fn threads_share_the_writer() {
    let dir = tempfile::tempdir().unwrap();
    let zones = ["DE", "FR", "IT", "ES"];
    let save = JournalWriter::new(open(dir.path()), zones.map(key).into()).into_function();
    std::thread::scope(|scope| {
        for (place, zone) in zones.into_iter().enumerate() {
            let save = Arc::clone(&save);
            scope.spawn(move || {
                for turn in 1..20_u32 {
                    save(place, &[series(zone, &[f64::from(turn)])], now().after(PAUSE * turn));
                }
            });
        }
    });
    drop(save);
    let kept = kept(&open(dir.path()));
    assert_eq!(kept.len(), zones.len());
    for zone in zones {
        let expected = (key(zone), vec![(*series(zone, &[19.0])).clone()]);
        assert!(kept.contains(&expected), "{zone}");
    }
}

#[test]
fn a_source_is_saved_now_and_then() {
    let dir = tempfile::tempdir().unwrap();
    let writer = JournalWriter::new(open(dir.path()), vec![key("DE")]);
    let second = Duration::from_secs(1);
    for (grams, time) in [
        (1.0, now()),
        (2.0, now().after(PAUSE - second)),
        (3.0, now().after(PAUSE)),
        (4.0, now().after(PAUSE + second)),
        // Set back.
        (5.0, now()),
    ] {
        writer.save(0, &[series("DE", &[grams])], time);
        let expected = match grams {
            2.0 => 1.0,
            4.0 => 3.0,
            saved => saved,
        };
        let kept = writer.journal().load_series().unwrap().take(&key("DE"));
        assert_eq!(kept, [(*series("DE", &[expected])).clone()], "{grams}");
    }
}

fn any_series() -> impl Strategy<Value = GridSeries> {
    let slot = (0..1_u64 << 45, 1..100_000_000_u64, 0.001..2_000.0_f64, 0..3_usize);
    let text = || prop_oneof![Just(String::new()), "[ -~]{1,20}", "\\PC{1,8}"];
    let signals = [Signal::AverageLifecycle, Signal::AverageDirect, Signal::Marginal];
    let all = (text(), text(), 0..3_usize, text(), 0..1_u64 << 45, prop::collection::vec(slot, 0..12));
    all.prop_map(move |(provider, zone, signal, accounting, fetched, slots)| {
        let qualities = [SlotQuality::Forecast, SlotQuality::Estimated, SlotQuality::Measured];
        let signal = signals[signal];
        let slots = slots.into_iter().filter_map(|(start, length, grams, quality)| {
            let time = UnixTime::from_millis;
            believable(time(start), time(start + length), grams, qualities[quality], signal)
        });
        GridSeries {
            provider: provider.into(),
            zone: zone.into(),
            signal,
            accounting: accounting.into(),
            fetched_at: UnixTime::from_millis(fetched),
            slots: Series::new(slots),
        }
    })
}

proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(64))]

    /// What is loaded is what was saved, to the last bit, before and after the journal is opened anew.
    #[test]
    fn what_is_saved_is_loaded(series in any_series()) {
        let dir = tempfile::tempdir().unwrap();
        let journal = open(dir.path());
        let saved = [Arc::new(series.clone())];
        journal.save_series(&key(&series.zone), &saved, series.fetched_at).unwrap();
        let expected = [(key(&series.zone), vec![series])];
        assert_eq!(kept(&journal), expected);
        drop(journal);
        assert_eq!(kept(&open(dir.path())), expected);
    }
}
