use proptest::prelude::{Just, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::*;

fn reading(joules: u64) -> GpuEnergy {
    GpuEnergy {
        total: Microjoules::new(joules * 1_000_000),
        range: None,
        quality: Quality::Measured,
        domain: Domain::Gpu,
    }
}

/// What is booked for readings in joules at whole seconds, with a limit of 700 W.
fn run(readings: &[u64]) -> Vec<Option<u64>> {
    let mut energy = Energy::default();
    let mut second = 0;
    readings
        .iter()
        .map(|joules| {
            second += 1;
            let delta = energy.take(Some(&reading(*joules)), Some(Watts(700.0)), Duration::from_secs(second));
            delta.map(|delta| delta.energy.get() / 1_000_000)
        })
        .collect()
}

#[test]
fn what_is_booked_of_strange_counters() {
    type Case = (&'static str, &'static [u64], &'static [Option<u64>]);
    let cases: [Case; 7] = [
        ("plain", &[900, 1_000, 1_100], &[None, Some(100), Some(100)]),
        ("reset", &[9_000, 9_100, 50, 150], &[None, Some(100), None, Some(150)]),
        ("reset to nothing", &[9_000, 9_100, 0, 150, 250], &[None, Some(100), None, None, Some(250)]),
        ("too much for the time", &[9_000, 9_100, 800, 900], &[None, Some(100), None, Some(100)]),
        ("glitch", &[9_000, 9_100, 50, 9_300], &[None, Some(100), None, Some(200)]),
        ("jump", &[9_000, 9_100, 900_000, 9_300], &[None, Some(100), None, Some(200)]),
        ("a step back", &[1_000, 1_300, 1_299, 1_299], &[None, Some(300), None, None]),
    ];
    for (name, readings, booked) in cases {
        assert_eq!(run(readings), booked, "{name}");
    }
}

#[test]
fn a_gap_marks_what_comes_next_once() {
    let mut energy = Energy::default();
    let take = |joules, second, energy: &mut Energy| {
        energy.take(Some(&reading(joules)), Some(Watts(700.0)), Duration::from_secs(second))
    };
    let marked = |delta: Option<GpuDelta>| delta.map(|delta| delta.after_gap);
    take(1_000, 1, &mut energy);
    assert_eq!(marked(take(1_100, 6, &mut energy)), Some(false));
    assert_eq!(marked(take(1_200, 12, &mut energy)), Some(true));
    energy.interrupt();
    assert_eq!(marked(take(1_300, 13, &mut energy)), Some(true));
    assert_eq!(marked(take(1_400, 14, &mut energy)), Some(false));
}

#[test]
fn a_new_reader_that_integrates_begins_anew() {
    for (quality, booked) in [(Quality::Integrated, None), (Quality::Measured, Some(40))] {
        let mut energy = Energy::default();
        let take = |joules, second, energy: &mut Energy| {
            let reading = GpuEnergy { quality, ..reading(joules) };
            let delta = energy.take(Some(&reading), None, Duration::from_secs(second));
            delta.map(|delta| delta.energy.get() / 1_000_000)
        };
        take(10, 1, &mut energy);
        take(20, 2, &mut energy);
        energy.change_reader();
        assert_eq!(take(60, 3, &mut energy), booked);
        assert_eq!(take(90, 4, &mut energy), Some(30));
    }
}

/// Takes readings with a quality; what is booked, with its quality.
fn take_all(energy: &mut Energy, readings: &[(u64, Quality)], from: u64) -> Vec<Option<(u64, Quality)>> {
    let mut second = from;
    let take = |(joules, quality): &(u64, Quality)| {
        second += 1;
        let reading = GpuEnergy { quality: *quality, ..reading(*joules) };
        let delta = energy.take(Some(&reading), Some(Watts(700.0)), Duration::from_secs(second));
        let device = Arc::from("GPU-1");
        assert_eq!(energy.report("nvml", &device, None).quality, *quality, "that of the last reading");
        delta.map(|delta| (delta.energy.get() / 1_000_000, delta.quality))
    };
    readings.iter().map(take).collect()
}

#[test]
fn a_reader_that_goes_from_counter_to_power_and_back_loses_no_interval() {
    use Quality::{Integrated, Measured};
    let mut energy = Energy::default();
    let spliced = [
        (9_000, Measured),
        (9_100, Measured),
        (9_130, Integrated),
        (9_190, Integrated),
        (9_190, Measured),
        (9_290, Measured),
    ];
    let booked = [
        None,
        Some((100, Measured)),
        Some((30, Integrated)),
        Some((60, Integrated)),
        None,
        Some((100, Measured)),
    ];
    assert_eq!(take_all(&mut energy, &spliced, 0), booked);
    // The next reader knows the counter only, which says something else.
    energy.change_reader();
    let counted = [(9_250, Measured), (9_300, Measured)];
    assert_eq!(take_all(&mut energy, &counted, 6), [None, Some((50, Measured))]);
    energy.change_reader();
    assert_eq!(take_all(&mut energy, &[(9_310, Measured)], 8), [Some((10, Measured))]);
}

#[test]
fn another_domain_begins_anew() {
    let mut energy = Energy::default();
    let mut take = |joules, domain, second| {
        let reading = GpuEnergy { domain, ..reading(joules) };
        let delta = energy.take(Some(&reading), None, Duration::from_secs(second));
        delta.map(|delta| (delta.energy.get() / 1_000_000, delta.domain))
    };
    assert_eq!(take(100, Domain::Gpu, 1), None);
    assert_eq!(take(140, Domain::Module, 2), None);
    assert_eq!(take(160, Domain::Module, 3), Some((20, Domain::Module)));
}

proptest! {
    #[test]
    fn no_readings_make_a_total_fall_or_differ_from_what_was_booked(
        readings in prop::collection::vec((
            prop_oneof![Just(0u64), Just(u64::MAX), any::<u64>(), 0..5_000_000_000u64],
            any::<bool>(), any::<bool>(), any::<Option<u64>>(),
            prop_oneof![Just(700.0f64), any::<f64>()], 0u64..100_000, any::<bool>(),
        ), 1..100),
    ) {
        let mut energy = Energy::default();
        let device = Arc::from("GPU-1");
        let (mut sum, mut now) = (0, Duration::ZERO);
        for (total, measured, module, range, limit, millis, renewed) in readings {
            now += Duration::from_millis(millis);
            if renewed {
                energy.change_reader();
            }
            let reading = GpuEnergy {
                total: Microjoules::new(total),
                range,
                quality: if measured { Quality::Measured } else { Quality::Integrated },
                domain: if module { Domain::Module } else { Domain::Gpu },
            };
            let delta = energy.take(Some(&reading), Some(Watts(limit)), now);
            sum += delta.map_or(0, |delta| delta.energy.get());
            let report = energy.report("nvml", &device, None);
            prop_assert_eq!(report.energy.unwrap_or_default().get(), sum);
            prop_assert!(delta.is_none() || report.up);
        }
    }
}
