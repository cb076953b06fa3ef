use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

use super::*;

const RANGE: u64 = 262_143_328_850;

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn delta(joules: u64, since: u64) -> Outcome {
    Outcome::Delta { energy: Microjoules::new(joules * 1_000_000), since: at(since) }
}

/// Readings in joules at whole seconds from 0.
fn run(range: Option<u64>, joules: &[u64]) -> (CounterTracker, Vec<Outcome>) {
    let mut tracker = CounterTracker::default();
    let outcomes = (0..).zip(joules).map(|(s, j)| tracker.observe(j * 1_000_000, range, at(s))).collect();
    (tracker, outcomes)
}

#[test]
fn a_counter_moves_and_stands() {
    let (tracker, outcomes) = run(Some(RANGE), &[100, 250, 250, 550]);
    assert_eq!(outcomes, [Outcome::First, delta(150, 0), Outcome::Standing, delta(300, 1)]);
    assert_eq!(tracker.total(), Some(Microjoules::new(450_000_000)));
    assert_eq!((tracker.wraps(), tracker.resets()), (0, 0));
}

#[test]
fn a_wrap_is_unwrapped_by_the_range() {
    let mut tracker = CounterTracker::default();
    tracker.observe(RANGE - 400_000_000, Some(RANGE), at(0));
    tracker.observe(RANGE - 100_000_000, Some(RANGE), at(1));
    assert_eq!(tracker.observe(200_000_000, Some(RANGE), at(2)), delta(300, 1));
    assert_eq!((tracker.wraps(), tracker.resets()), (1, 0));
}

#[test]
fn a_glitch_costs_nothing() {
    for glitch in [0, 130_000, 262_143] {
        let (tracker, outcomes) = run(Some(RANGE), &[1_000, 1_100, glitch, 1_300, 1_400]);
        assert_eq!(outcomes[2], Outcome::Unknown(Doubt::Implausible), "{glitch}");
        assert_eq!(outcomes[3..], [delta(200, 1), delta(100, 3)]);
        assert_eq!((tracker.wraps(), tracker.resets()), (0, 0));
    }
}

#[test]
fn a_reset_is_believed_at_the_second_look() {
    for range in [None, Some(RANGE)] {
        let (tracker, outcomes) = run(range, &[50_000, 50_100, 0, 120, 240]);
        assert!(matches!(outcomes[2], Outcome::Unknown(_)));
        assert_eq!(outcomes[3..], [delta(120, 2), delta(120, 3)]);
        assert_eq!(tracker.resets(), 1);
        assert_eq!(tracker.total(), Some(Microjoules::new(340_000_000)));
    }
}

#[test]
fn what_a_counter_shows_after_a_reset_counts_if_it_starts_at_zero() {
    let run = |stated: Option<Watts>, joules: &[u64]| {
        let mut tracker = CounterTracker::new(stated).counting_from_zero();
        let outcomes: Vec<Outcome> =
            (0..).zip(joules).map(|(s, j)| tracker.observe(j * 1_000_000, None, at(s))).collect();
        (tracker.resets(), outcomes.last().copied())
    };
    let limit = Some(Watts(300.0));
    assert_eq!(run(limit, &[50_000, 50_100, 120, 240]), (1, Some(delta(240, 1))));
    assert_eq!(run(limit, &[50_000, 50_100, 120, 120]), (1, Some(delta(120, 1))), "standing confirms it too");
    assert_eq!(run(limit, &[50_000, 50_100, 301, 401]), (1, Some(delta(100, 2))), "too much for a second");
    assert_eq!(
        run(None, &[50_000, 50_100, 99, 199]),
        (1, Some(delta(199, 1))),
        "the power believed is a limit"
    );
    assert_eq!(run(None, &[50_000, 50_100, 101, 201]), (1, Some(delta(100, 2))));
    assert_eq!(run(limit, &[100, 200, 150, 160]), (1, Some(delta(10, 2))), "a step back is no new beginning");
    let jump = [150, 250, 900_000, 900_000, 260, 270];
    assert_eq!(run(limit, &jump), (2, Some(delta(10, 4))), "nor is a fall from a jump");
}

#[test]
fn a_value_above_the_range_is_ignored() {
    let mut tracker = CounterTracker::default();
    tracker.observe(0, Some(RANGE), at(0));
    for value in [RANGE + 1, u64::MAX] {
        assert_eq!(tracker.observe(value, Some(RANGE), at(1)), Outcome::Unknown(Doubt::OutOfRange));
    }
    assert_eq!(tracker.observe(200_000_000, Some(RANGE), at(2)), delta(200, 0));
}

#[test]
fn a_gap_longer_than_the_wrap_period_is_unknown() {
    let mut tracker = CounterTracker::default();
    tracker.observe(0, Some(RANGE), at(0));
    tracker.observe(150_000_000, Some(RANGE), at(1));
    // A stopped minute is booked whole; ten minutes might hide a wrap.
    assert_eq!(tracker.observe(9_150_000_000, Some(RANGE), at(61)), delta(9_000, 1));
    let late = tracker.observe(99_150_000_000, Some(RANGE), at(661));
    assert_eq!(late, Outcome::Unknown(Doubt::Ambiguous));
    assert_eq!(tracker.observe(99_300_000_000, Some(RANGE), at(662)), delta(150, 661));
    assert_eq!(tracker.resets(), 1);
}

#[test]
fn the_ceiling_follows_the_stated_and_the_believed_power() {
    let jump = |stated: Option<Watts>, before: u64, after: u64| {
        let mut tracker = CounterTracker::new(stated);
        tracker.observe(0, Some(RANGE), at(0));
        tracker.observe(before * 1_000_000, Some(RANGE), at(1));
        tracker.observe((before + after) * 1_000_000, Some(RANGE), at(2))
    };
    assert_eq!(jump(None, 200, 1_000), delta(1_000, 1));
    assert_eq!(jump(None, 200, 1_001), Outcome::Unknown(Doubt::Implausible));
    assert_eq!(jump(Some(Watts(500.0)), 200, 1_500), delta(1_500, 1));
    assert_eq!(jump(Some(Watts(500.0)), 200, 1_501), Outcome::Unknown(Doubt::Implausible));
    assert_eq!(jump(None, 900, 1_800), delta(1_800, 1));
}

#[test]
fn a_large_first_interval_is_believed_at_the_second_look() {
    // A meter of 2 kW: what it drew before it was believed is unknown.
    let (tracker, outcomes) = run(Some(RANGE), &[0, 2_000, 4_000, 6_000]);
    assert_eq!(outcomes[1], Outcome::Unknown(Doubt::Implausible));
    assert_eq!(outcomes[2..], [delta(2_000, 1), delta(2_000, 2)]);
    assert_eq!(tracker.resets(), 1);
    let (_, outcomes) = run(Some(RANGE), &[0, 51_000, 102_000]);
    assert_eq!(outcomes[2], Outcome::Unknown(Doubt::Implausible), "more than a rack");
    let (_, outcomes) = run(Some(RANGE), &[0, 51_000, 300]);
    assert_eq!(outcomes[2], delta(300, 0), "a glitch costs nothing here either");
    let (_, outcomes) = run(Some(1_000_000_000), &[400, 100]);
    assert_eq!(outcomes[1], Outcome::Unknown(Doubt::Implausible), "more than half a range backwards");
}

#[test]
fn ten_seconds_without_movement_are_a_stall() {
    let mut tracker = CounterTracker::default();
    for second in 0..=9 {
        tracker.observe(7, Some(RANGE), at(second));
        assert!(!tracker.is_stalled(at(second)));
    }
    assert!(tracker.is_stalled(at(10)));
    tracker.observe(8, Some(RANGE), at(11));
    assert!(!tracker.is_stalled(at(11)));
}

proptest! {
    #[test]
    fn sums_are_exact_over_any_number_of_wraps(
        start in 0u64..RANGE,
        steps in prop::collection::vec((100u64..2_000, 0u64..900), 1..400),
    ) {
        let mut tracker = CounterTracker::default();
        let mut truth = u128::from(start);
        let mut now = Duration::ZERO;
        tracker.observe(start, Some(RANGE), now);
        for (millis, watts) in steps {
            now += Duration::from_millis(millis);
            truth += u128::from(watts * millis * 1_000);
            let shown = u64::try_from(truth % u128::from(RANGE)).unwrap();
            let outcome = tracker.observe(shown, Some(RANGE), now);
            prop_assert!(!matches!(outcome, Outcome::Unknown(_)), "{outcome:?}");
        }
        let counted = tracker.total().unwrap_or_default().get();
        prop_assert_eq!(u128::from(counted), truth - u128::from(start));
        prop_assert_eq!(u128::from(tracker.wraps()), truth / u128::from(RANGE));
        prop_assert_eq!(tracker.resets(), 0);
    }

    #[test]
    fn any_readings_leave_a_total_that_never_falls(
        readings in prop::collection::vec((any::<u64>(), any::<Option<u64>>(), any::<u32>()), 0..60),
    ) {
        let mut tracker = CounterTracker::default();
        let mut total = Microjoules::ZERO;
        for (value, range, seconds) in readings {
            // Times in any order: a clock that goes backwards must do no harm either.
            tracker.observe(value, range, at(u64::from(seconds)));
            let next = tracker.total().unwrap_or_default();
            prop_assert!(next >= total);
            total = next;
        }
    }
}
