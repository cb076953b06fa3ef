use proptest::prelude::{Strategy, prop, proptest};

use super::*;
use crate::carbon::series::SlotQuality;

const MINUTE: u64 = 60;
const HOUR: u64 = 3_600;

fn at(second: u64) -> UnixTime {
    UnixTime::from_seconds(second)
}

fn slot(start: u64, end: u64, grams: f64) -> Slot {
    Slot { start: at(start), end: at(end), intensity: GramsPerKwh(grams), quality: SlotQuality::Forecast }
}

/// Slots of the same length from a moment on.
fn even(from: u64, step: u64, values: &[f64]) -> Series {
    let starts = (from..).step_by(usize::try_from(step).unwrap());
    Series::new(starts.zip(values).map(|(start, grams)| slot(start, start + step, *grams)))
}

fn means(series: &Series, from: u64, to: u64, length: u64) -> Vec<f64> {
    let windows = windows(series, at(from), at(to), Duration::from_secs(length));
    windows.iter().map(|window| window.mean.0).collect()
}

/// Start, in seconds, and mean of each of the best.
fn best(series: &Series, from: u64, to: u64, length: u64) -> Vec<(u64, f64)> {
    let windows = best_windows(series, at(from), at(to), Duration::from_secs(length));
    windows.iter().map(|window| (window.start.as_millis() / 1_000, window.mean.0)).collect()
}

#[test]
fn means_are_those_of_the_carbon_aware_sdk() {
    let check = |values: &[f64], expected: &[f64], least: &[(u64, f64)]| {
        let series = even(0, 5 * MINUTE, values);
        assert_eq!(means(&series, 0, 25 * MINUTE, 10 * MINUTE), expected);
        assert_eq!(best(&series, 0, 25 * MINUTE, 10 * MINUTE), least);
    };
    check(&[10.0, 20.0, 30.0, 40.0, 5.0], &[15.0, 25.0, 35.0, 22.5], &[(0, 15.0)]);
    check(&[5.0, 55.0, 10.0, 10.0, 10.0], &[30.0, 32.5, 10.0, 10.0], &[(600, 10.0), (900, 10.0)]);
    check(&[12.0, 11.0, 10.0, 12.0, 13.0], &[11.5, 10.5, 11.0, 12.5], &[(300, 10.5)]);
    let hourly = even(HOUR, HOUR, &[30.0, 100.0, 50.0]);
    let (from, to) = (HOUR + 30 * MINUTE, 3 * HOUR + 30 * MINUTE);
    assert_eq!(best(&hourly, from, to, 2 * HOUR), [(from, 70.0)], "half a slot counts half");
}

#[test]
fn ends_of_a_window_may_lie_within_slots() {
    let series = even(0, HOUR, &[10.0, 20.0, 40.0]);
    // From 00:45: 15 minutes of 10, 60 of 20 and 15 of 40; from 01:00: 60 of 20 and 30 of 40.
    let expected = [(2.5 + 20.0 + 10.0) / 1.5, (20.0 + 20.0) / 1.5];
    assert_eq!(means(&series, 45 * MINUTE, 3 * HOUR, 90 * MINUTE), expected);
    assert_eq!(
        means(&series, 45 * MINUTE, 150 * MINUTE, 90 * MINUTE),
        expected,
        "ending with the time is enough"
    );
    assert_eq!(means(&series, 45 * MINUTE, 149 * MINUTE, 90 * MINUTE), expected[..1]);
}

#[test]
fn windows_need_every_moment() {
    let mut slots = even(0, HOUR, &[9.0, 9.0, 1.0, 1.0, 8.0, 8.0]).slots().to_vec();
    slots.remove(3);
    let series = Series::new(slots);
    assert_eq!(best(&series, 0, 6 * HOUR, 2 * HOUR), [(HOUR, 5.0)], "03:00 isn't known");
    assert_eq!(best(&series, 0, 6 * HOUR, HOUR), [(2 * HOUR, 1.0)]);
    assert_eq!(best(&series, 0, 6 * HOUR, 4 * HOUR), []);
    assert_eq!(best(&series, 0, 2 * HOUR, 2 * HOUR), [(0, 9.0)]);
    assert_eq!(best(&Series::default(), 0, HOUR, HOUR), []);
    assert_eq!(best(&series, 2 * HOUR, HOUR, HOUR), [], "time turned around");
}

#[test]
fn sums_that_differ_in_the_last_bits_are_a_tie() {
    let series = even(0, HOUR, &[0.1, 0.2, 0.3, 0.3, 0.2, 0.1]);
    let starts: Vec<u64> = best(&series, 0, 6 * HOUR, 3 * HOUR).iter().map(|(start, _)| *start).collect();
    assert_eq!(starts, [0, 3 * HOUR]);
    let apart = even(0, HOUR, &[1.0, 1.0 - 1e-6]);
    assert_eq!(best(&apart, 0, 2 * HOUR, HOUR), [(HOUR, 1.0 - 1e-6)]);
}

#[test]
fn windows_without_a_length_are_single_moments() {
    let series = even(0, HOUR, &[3.0, 1.0, 2.0]);
    assert_eq!(means(&series, 30 * MINUTE, 3 * HOUR, 0), [3.0, 1.0, 2.0]);
    assert_eq!(best(&series, 30 * MINUTE, 3 * HOUR, 0), [(HOUR, 1.0)]);
}

#[test]
fn an_outlook_starts_within_the_slot_of_now() {
    let series = even(0, HOUR, &[90.0, 80.0, 30.0, 40.0, 70.0, 60.0]);
    let now = 30 * MINUTE;
    let outlook = outlook(&series, at(now)).unwrap();
    let hourly: Vec<_> = outlook.hourly.iter().map(|(hour, intensity)| (*hour, intensity.0)).collect();
    assert_eq!(hourly, [(0, 90.0), (1, 80.0), (2, 30.0), (3, 40.0), (4, 70.0), (5, 60.0)]);
    let windows: Vec<_> = outlook.windows.iter().map(|best| (best.hours, best.start, best.mean.0)).collect();
    // The forecast goes on for five and a half hours.
    assert_eq!(windows, [(1, at(2 * HOUR), 30.0), (2, at(2 * HOUR), 35.0), (4, at(2 * HOUR), 50.0)]);
    for best in &outlook.windows {
        assert!(best.starting_now.is_some_and(|now| now.0 > best.mean.0), "{best:?}");
    }
}

#[test]
fn an_outlook_tells_the_first_of_equal_windows_and_leaves_out_gaps() {
    let series = Series::new([slot(0, HOUR, 5.0), slot(HOUR, 2 * HOUR, 5.0), slot(4 * HOUR, 5 * HOUR, 5.0)]);
    let outlook = outlook(&series, at(0)).unwrap();
    assert_eq!(outlook.hourly.iter().map(|(hour, _)| *hour).collect::<Vec<_>>(), [0, 1, 4]);
    let windows: Vec<_> = outlook.windows.iter().map(|best| (best.hours, best.start)).collect();
    assert_eq!(windows, [(1, at(0)), (2, at(0))]);
}

#[test]
fn an_outlook_ends_after_three_days() {
    let outlook = outlook(&even(0, HOUR, &[1.0; 100]), at(0)).unwrap();
    assert_eq!(outlook.hourly.len(), 73);
    assert_eq!(outlook.windows.len(), WINDOW_HOURS.len());
}

#[test]
fn the_past_gives_no_outlook() {
    let series = even(0, HOUR, &[1.0, 2.0]);
    assert_eq!(outlook(&series, at(2 * HOUR)), None);
    assert_eq!(outlook(&Series::default(), at(0)), None);
    let last = outlook(&series, at(2 * HOUR - 1)).unwrap();
    assert_eq!((last.hourly, last.windows), (vec![(0, GramsPerKwh(2.0))], vec![]));
    let later = outlook(&even(HOUR, HOUR, &[7.0]), at(1)).unwrap();
    assert_eq!(later.hourly, [(1, GramsPerKwh(7.0))], "now isn't known, but the next hour is");
    assert_eq!(later.windows[0].start, at(HOUR));
}

#[test]
fn units_are_in_the_names_of_the_json() {
    let json = serde_json::to_value(outlook(&even(0, HOUR, &[1.5]), at(0))).unwrap();
    let expected = serde_json::json!({
        "hourly_grams_per_kwh": [[0, 1.5]],
        "windows": [{"hours": 1, "start_unix_ms": 0, "mean_grams_per_kwh": 1.5, "starting_now_grams_per_kwh": 1.5}],
    });
    assert_eq!(json, expected);
}

/// The same by looking at every second.
fn by_seconds(series: &Series, from: u64, to: u64, length: u64) -> Vec<(u64, f64)> {
    let value = |second: u64| series.at(at(second)).map(|slot| slot.intensity.0);
    let begins = |second: u64| {
        let slot = series.at(at(second));
        slot.is_some_and(|slot| second == from || slot.start == at(second))
    };
    let starts = (from..to).filter(|start| begins(*start) && start + length <= to);
    let mean = |start: u64| {
        let values: Option<Vec<f64>> = (start..start + length).map(value).collect();
        Some((start, values?.iter().sum::<f64>() / f64::from(u32::try_from(length).ok()?)))
    };
    starts.filter_map(mean).collect()
}

fn any_series() -> impl Strategy<Value = Series> {
    let slots = prop::collection::vec((0..4_u64, 1..12_u64, 0..5_u32), 0..12);
    slots.prop_map(|slots| {
        let mut start = 0;
        Series::new(slots.into_iter().map(|(gap, length, grams)| {
            // Half of the slots follow the one before at once.
            start += gap.saturating_sub(2);
            let slot = slot(start, start + length, f64::from(grams));
            start += length;
            slot
        }))
    })
}

proptest! {
    #[test]
    fn windows_are_what_looking_at_every_second_finds(series in any_series(), from in 0..20_u64, span in 0..60_u64, length in 1..30_u64) {
        let to = from + span;
        let expected = by_seconds(&series, from, to, length);
        let found = windows(&series, at(from), at(to), Duration::from_secs(length));
        assert_eq!(found.len(), expected.len(), "{found:?} {expected:?}");
        for (window, (start, mean)) in found.iter().zip(&expected) {
            assert_eq!(window.start, at(*start));
            assert!((window.mean.0 - mean).abs() < 1e-9, "{window:?} {mean}");
        }
        let least = expected.iter().map(|(_, mean)| *mean).fold(f64::INFINITY, f64::min);
        let starts: Vec<u64> = expected.iter().filter(|(_, mean)| mean - least < 1e-6).map(|(start, _)| *start).collect();
        let best: Vec<u64> = best(&series, from, to, length).iter().map(|(start, _)| *start).collect();
        assert_eq!(best, starts);
    }
}
