use proptest::prelude::{Strategy, prop, proptest};

use super::*;

fn slot(start: u64, end: u64, grams: f64, quality: SlotQuality) -> Slot {
    Slot {
        start: UnixTime::from_seconds(start),
        end: UnixTime::from_seconds(end),
        intensity: GramsPerKwh(grams),
        quality,
    }
}

fn measured(start: u64, end: u64, grams: f64) -> Slot {
    slot(start, end, grams, SlotQuality::Measured)
}

fn at(series: &Series, second: u64) -> Option<f64> {
    series.at(UnixTime::from_seconds(second)).map(|slot| slot.intensity.0)
}

#[test]
fn a_slot_holds_from_its_start_up_to_its_end() {
    let series = Series::new([measured(20, 30, 2.0), measured(10, 20, 1.0), measured(40, 50, 4.0)]);
    let seen: Vec<_> =
        [9, 10, 19, 20, 29, 30, 39, 40, 50].iter().map(|second| at(&series, *second)).collect();
    let expected = [None, Some(1.0), Some(1.0), Some(2.0), Some(2.0), None, None, Some(4.0), None].to_vec();
    assert_eq!(seen, expected);
}

#[test]
fn gaps_know_the_last_value_and_the_next_border() {
    let series = Series::new([measured(10, 20, 1.0), measured(40, 50, 4.0)]);
    let time = UnixTime::from_seconds;
    assert_eq!(series.last_before(time(10)), None);
    assert_eq!(series.last_before(time(20)).unwrap().intensity.0, 1.0);
    assert_eq!(series.last_before(time(45)).unwrap().intensity.0, 1.0);
    assert_eq!(series.last_before(time(99)).unwrap().intensity.0, 4.0);
    let borders: Vec<_> = [5, 10, 20, 39, 40, 50].map(|second| series.next_border(time(second))).into();
    let expected = [Some(10), Some(20), Some(40), Some(40), Some(50), None].map(|s| s.map(time));
    assert_eq!(borders, expected);
}

#[test]
fn better_quality_stays_and_fills_what_worse_leaves() {
    let mut series = Series::new([measured(10, 20, 1.0)]);
    series.insert([slot(0, 30, 9.0, SlotQuality::Forecast)]);
    assert_eq!([at(&series, 5), at(&series, 15), at(&series, 25)], [Some(9.0), Some(1.0), Some(9.0)]);
    series.insert([slot(0, 12, 5.0, SlotQuality::Estimated)]);
    assert_eq!([at(&series, 5), at(&series, 11), at(&series, 25)], [Some(5.0), Some(1.0), Some(9.0)]);
}

#[test]
fn a_later_answer_revises_the_same_quality() {
    let mut series = Series::new([measured(10, 20, 1.0)]);
    series.insert([measured(10, 20, 3.0)]);
    assert_eq!(series.slots(), [measured(10, 20, 3.0)]);
    series.insert([measured(12, 14, 7.0)]);
    assert_eq!(series.slots(), [measured(10, 12, 3.0), measured(12, 14, 7.0), measured(14, 20, 3.0)]);
}

#[test]
fn within_one_answer_the_shorter_slot_and_then_the_last_one_win() {
    let series = Series::new([measured(15, 20, 2.0), measured(10, 40, 1.0), measured(15, 20, 3.0)]);
    assert_eq!([at(&series, 12), at(&series, 17), at(&series, 30)], [Some(1.0), Some(3.0), Some(1.0)]);
}

#[test]
fn slots_that_are_empty_or_turned_around_are_nothing() {
    assert_eq!(Series::new([measured(10, 10, 1.0), measured(20, 10, 1.0)]), Series::default());
}

#[test]
fn pruning_forgets_the_past_first_and_never_the_present() {
    let now = KEPT.as_secs() + 100;
    let time = UnixTime::from_seconds;
    // A value a second, all different, from long ago to far ahead.
    let different = |n: u64| measured(n, n + 1, f64::from(u32::try_from(n).unwrap()));
    let mut series = Series::new((0..now + 1_000).map(different));
    series.prune(time(now));
    assert_eq!(series.slots().len(), MAX_SLOTS);
    assert_eq!(at(&series, now), Some(172_900.0));
    assert_eq!(series.slots().last().unwrap().end, time(now + 1_000));
    // More is ahead than fits: the far future goes.
    let mut series = Series::new((now..now + 10_000).map(different));
    series.prune(time(now));
    assert_eq!(series.slots().len(), MAX_SLOTS);
    assert_eq!(at(&series, now), Some(172_900.0));
}

#[test]
fn what_has_passed_alike_becomes_one_slot() {
    let all = [measured(0, 10, 1.0), measured(10, 20, 1.0), measured(20, 30, 2.0), measured(30, 40, 2.0)];
    let mut series = Series::new(all);
    series.prune(UnixTime::from_seconds(35));
    // The last one hasn't passed yet: a window of the forecast may begin with it.
    assert_eq!(series.slots(), [measured(0, 20, 1.0), measured(20, 30, 2.0), measured(30, 40, 2.0)]);
}

#[test]
fn what_is_known_reaches_to_the_first_gap() {
    let series = Series::new([measured(10, 20, 1.0), measured(20, 30, 2.0), measured(40, 50, 4.0)]);
    let reach = |second| series.reaches(UnixTime::from_seconds(second)).map(|end| end.as_millis() / 1_000);
    assert_eq!([5, 10, 25, 35, 45].map(reach), [None, Some(30), Some(30), None, Some(50)]);
}

#[test]
fn an_earlier_answer_that_comes_late_fills_gaps_only() {
    let mut series = Series::new([measured(10, 20, 1.0), slot(20, 30, 5.0, SlotQuality::Forecast)]);
    series.insert_earlier(Series::new([measured(0, 25, 9.0)]));
    assert_eq!(
        [5, 15, 22, 27].map(|second| at(&series, second)),
        [Some(9.0), Some(1.0), Some(9.0), Some(5.0)]
    );
}

#[test]
fn a_slot_costs_no_more_where_many_are_known() {
    // If each slot moved all others, this would take minutes.
    let mut series = Series::new((0..50_000).map(|n| measured(n, n + 1, 1.0)));
    series.insert((0..50_000).map(|n| measured(n, n + 1, 2.0)));
    assert_eq!(series.slots().len(), 50_000);
    assert_eq!([at(&series, 0), at(&series, 49_999)], [Some(2.0), Some(2.0)]);
}

fn any_slot() -> impl Strategy<Value = Slot> {
    (0..50_u64, 0..20_u64, 0..1000_u32, 0..3_u8).prop_map(|(start, length, grams, quality)| {
        let quality = match quality {
            0 => SlotQuality::Forecast,
            1 => SlotQuality::Estimated,
            _ => SlotQuality::Measured,
        };
        slot(start, start + length, f64::from(grams), quality)
    })
}

proptest! {
    /// Whatever comes: sorted, disjoint, and at each moment exactly the slot that the rule names.
    #[test]
    fn each_moment_has_the_best_slot_that_covers_it(batches in prop::collection::vec(prop::collection::vec(any_slot(), 0..8), 0..4)) {
        let mut series = Series::default();
        for batch in &batches {
            series.insert(batch.iter().copied());
        }
        for pair in series.slots().windows(2) {
            assert!(pair[0].end <= pair[1].start);
        }
        for second in 0..80 {
            let time = UnixTime::from_seconds(second);
            let covering = batches.iter().enumerate().flat_map(|(batch, slots)| {
                slots.iter().enumerate().filter(|(_, slot)| slot.covers(time)).map(move |(place, slot)| {
                    ((slot.quality, batch, std::cmp::Reverse(slot.length()), place), slot.intensity)
                })
            });
            let best = covering.max_by_key(|(rank, _)| *rank).map(|(_, intensity)| intensity);
            assert_eq!(series.at(time).map(|slot| slot.intensity), best, "at {second}");
        }
    }
}
