use proptest::prelude::{ProptestConfig, Strategy, prop, proptest};

use super::*;

const NUCLEAR: &str = "B14";
const COAL: &str = "B05";
const SOLAR: &str = "B16";
const OTHER: &str = "B20";
const PUMPED: &str = "B10";
const BATTERY: &str = "B25";

fn output(psr_type: &str, start: u64, end: u64, megawatts: f64) -> Output {
    let time = UnixTime::from_seconds(start * 60)..UnixTime::from_seconds(end * 60);
    Output { psr_type: psr_type.to_owned(), time, megawatts }
}

fn mixed(outputs: &[Output]) -> Mix {
    let reported = outputs.iter().map(|output| output.psr_type.clone()).collect();
    intensity(outputs, &reported)
}

/// Minutes and grams, in the order of time.
fn slots(mix: &Mix) -> Vec<(u64, u64, f64)> {
    let minute = |time: UnixTime| time.as_millis() / 60_000;
    let mut slots: Vec<_> =
        mix.slots.iter().map(|slot| (minute(slot.start), minute(slot.end), slot.intensity.0)).collect();
    slots.sort_by_key(|(start, ..)| *start);
    slots
}

#[test]
fn intensity_is_the_mean_weighted_by_power() {
    // (300 x 12 + 100 x 820 + 100 x 48) / 500
    let mix =
        mixed(&[output(NUCLEAR, 0, 15, 300.0), output(COAL, 0, 15, 100.0), output(SOLAR, 0, 15, 100.0)]);
    assert_eq!(slots(&mix), [(0, 15, 180.8)]);
    assert_eq!(mix.slots[0].quality, SlotQuality::Estimated);
    assert_eq!(mix.notes(), Vec::<String>::new());
}

#[test]
fn resolutions_are_mixed_by_splitting_at_all_borders() {
    let mix = mixed(&[
        output(NUCLEAR, 0, 60, 100.0),
        output(COAL, 0, 15, 100.0),
        output(COAL, 15, 30, 300.0),
        output(COAL, 30, 60, 0.0),
    ]);
    assert_eq!(slots(&mix), [(0, 15, 416.0), (15, 30, 618.0), (30, 60, 12.0)]);
}

#[test]
fn a_coal_plant_that_is_late_does_not_make_the_grid_look_clean() {
    let mix = mixed(&[
        output(NUCLEAR, 0, 45, 100.0),
        output(COAL, 0, 15, 100.0),
        output(COAL, 30, 45, 100.0),
        output(NUCLEAR, 45, 60, 100.0),
    ]);
    assert_eq!(slots(&mix), [(0, 15, 416.0), (30, 45, 416.0)]);
    assert_eq!(mix.notes(), ["left out 2 times for which there is no value yet of Fossil Hard coal"]);
    // Nor does one of which there is a series without any value.
    let reported = BTreeSet::from([NUCLEAR.to_owned(), COAL.to_owned()]);
    assert_eq!(intensity(&[output(NUCLEAR, 0, 15, 100.0)], &reported).slots, []);
}

#[test]
fn storage_is_in_neither_sum_and_never_missing() {
    let mix = mixed(&[
        output(COAL, 0, 60, 100.0),
        output(PUMPED, 0, 15, 900.0),
        output(BATTERY, 0, 15, 900.0),
        output("B21", 0, 15, 900.0),
    ]);
    assert_eq!(slots(&mix), [(0, 60, 820.0)]);
    assert_eq!(mix.notes(), Vec::<String>::new());
}

#[test]
fn up_to_a_twentieth_may_come_from_types_without_a_factor() {
    let mix = mixed(&[output(COAL, 0, 15, 95.0), output(OTHER, 0, 15, 4.0), output("B99", 0, 15, 1.0)]);
    assert_eq!(slots(&mix), [(0, 15, 820.0)]);
    assert_eq!(
        mix.notes(),
        ["up to 5.0 % is from types without a factor, taken to be like the rest: B99, Other"]
    );

    let mix = mixed(&[output(COAL, 0, 15, 94.9), output(OTHER, 0, 15, 5.1), output("B07", 0, 15, 0.0)]);
    assert_eq!(slots(&mix), []);
    assert_eq!(mix.notes(), ["left out 1 times with more than 5 % from types without a factor: Other"]);
}

#[test]
fn without_generation_there_is_no_intensity() {
    let mix = mixed(&[output(COAL, 0, 15, 0.0), output(OTHER, 0, 15, 0.0)]);
    assert_eq!((slots(&mix), mix.unbelievable), (vec![], 1));
    assert_eq!(mixed(&[]), Mix::default());
    // Between the two nothing is reported at all.
    let mix = mixed(&[output(COAL, 0, 15, 1.0), output(COAL, 30, 45, 1.0)]);
    assert_eq!(slots(&mix), [(0, 15, 820.0), (30, 45, 820.0)]);
    assert_eq!(mix.notes(), Vec::<String>::new());
}

#[test]
fn repetitions_count_once_and_of_two_that_overlap_the_later_holds() {
    let mix = mixed(&[
        output(NUCLEAR, 0, 60, 100.0),
        output(COAL, 0, 60, 50.0),
        output(COAL, 0, 60, 100.0),
        output(COAL, 30, 45, 300.0),
    ]);
    // After 45 it isn't known which of the two is right.
    assert_eq!(slots(&mix), [(0, 30, 416.0), (30, 45, 618.0)]);
}

#[test]
fn a_flood_of_borders_is_cut() {
    let outputs: Vec<Output> = (0..5_000).map(|n| output(COAL, n, n + 1, 1.0)).collect();
    let mix = mixed(&outputs);
    assert_eq!(mix.slots.len(), MAX_BORDERS);
    assert_eq!(slots(&mix).last(), Some(&(4_999, 5_000, 820.0)));
    assert!(mix.notes().iter().any(|note| note.contains("only the last")), "{:?}", mix.notes());
}

fn any_output() -> impl Strategy<Value = Output> {
    let codes = [NUCLEAR, COAL, SOLAR, OTHER, PUMPED, "B99"];
    (0..codes.len(), 0..40_u64, 1..20_u64, 0..500_u32).prop_map(move |(code, start, length, power)| {
        output(codes[code], start, start + length, f64::from(power))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    /// Slots are apart, and each intensity lies between the lowest and the highest factor in play.
    #[test]
    fn intensities_lie_between_the_factors(outputs in prop::collection::vec(any_output(), 0..30)) {
        let mix = mixed(&outputs);
        let found = slots(&mix);
        for pair in found.windows(2) {
            assert!(pair[0].1 <= pair[1].0, "{found:?}");
        }
        for (start, end, grams) in found {
            assert!(start < end && (12.0 - 1e-9..=820.0 + 1e-9).contains(&grams), "{grams}");
        }
    }
}
