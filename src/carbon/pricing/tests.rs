use proptest::prelude::{prop, proptest};

use super::*;
use crate::carbon::factors::{FactorSettings, resolve};
use crate::carbon::grid::{SourceState, Step};
use crate::carbon::market::{Cover, Window};
use crate::carbon::series::{Series, SlotQuality};
use crate::units::Microjoules;

const HOUR: u64 = 3_600;
/// 1 kWh, so that grams are what the rate says.
const KWH: Microjoules = Microjoules::new(3_600_000_000_000);

fn at(hours: f64) -> UnixTime {
    let noon = UnixTime::from_seconds(1_767_268_800);
    noon.after(Duration::from_secs_f64(hours * 3_600.0))
}

fn slot(start: f64, end: f64, grams: f64, quality: SlotQuality) -> Slot {
    Slot { start: at(start), end: at(end), intensity: GramsPerKwh(grams), quality }
}

fn measured(start: f64, end: f64, grams: f64) -> Slot {
    slot(start, end, grams, SlotQuality::Measured)
}

fn series(provider: &str, signal: Signal, slots: impl IntoIterator<Item = Slot>) -> Arc<GridSeries> {
    Arc::new(GridSeries {
        provider: provider.into(),
        zone: "DE".into(),
        signal,
        accounting: "".into(),
        fetched_at: at(0.0),
        slots: Series::new(slots),
    })
}

fn state(sources: impl IntoIterator<Item = Arc<GridSeries>>) -> GridState {
    let source = |series| SourceState { series: vec![series], ..SourceState::new("file", "DE".into()) };
    GridState { sources: sources.into_iter().map(source).collect(), ..GridState::default() }
}

/// Prices by what was fetched; where that doesn't know, 500 g/kWh and a PUE of 1.
fn pricer_with(market: Market, state: GridState) -> Pricer {
    let settings = FactorSettings { intensity: Some(500.0), ..FactorSettings::default() };
    let fallback = resolve(&settings).unwrap();
    let max_age = Duration::from_secs(2 * HOUR);
    let mut pricer = Pricer::new(fallback, Some(Basis::Lifecycle), max_age, market, Some(LitresPerKwh(1.8)));
    pricer.take(Arc::new(state));
    pricer
}

fn pricer(slots: impl IntoIterator<Item = Slot>) -> Pricer {
    pricer_with(Market::default(), state([series("a", Signal::AverageLifecycle, slots)]))
}

/// Grams of 1 kWh that flew evenly in this time.
fn grams(pricer: &Pricer, start: f64, end: f64) -> f64 {
    pricer.rates(at(start), at(end)).location.emissions(KWH, Pue(1.0)).0
}

#[track_caller]
fn assert_close(got: f64, expected: f64) {
    assert!((got - expected).abs() < 1e-9 * expected.abs().max(1.0), "{got} isn't {expected}");
}

#[test]
fn constant_power_across_slots_costs_their_mean_by_time() {
    let pricer = pricer([measured(0.0, 1.0, 100.0), measured(1.0, 2.0, 200.0), measured(2.0, 3.0, 600.0)]);
    for (start, end, expected) in [
        (0.0, 1.0, 100.0),
        (0.0, 3.0, 300.0),
        // Half of it in each.
        (0.5, 1.5, 150.0),
        // A quarter at 100, a half at 200, a quarter at 600.
        (0.5, 2.5, 275.0),
        // Up to a border, and on from it.
        (1.0, 2.0, 200.0),
        (2.0, 2.000_1, 600.0),
        // A moment costs what it costs.
        (1.0, 1.0, 200.0),
    ] {
        assert_close(grams(&pricer, start, end), expected);
    }
}

#[test]
fn a_gap_holds_the_last_value_for_a_while_and_then_falls_back() {
    let pricer = pricer([measured(0.0, 1.0, 100.0), measured(5.0, 6.0, 300.0)]);
    let qualities: Vec<_> = [0.5, 1.0, 2.9, 3.0, 4.9, 5.0, 7.9, 8.0]
        .iter()
        .map(|hours| pricer.factor_at(at(*hours)))
        .map(|factor| (factor.intensity.0, factor.quality))
        .collect();
    let (fallback, known) = ((500.0, "static"), (100.0, "stale"));
    let expected = [
        (100.0, "measured"),
        known,
        known,
        fallback,
        fallback,
        (300.0, "measured"),
        (300.0, "stale"),
        fallback,
    ];
    assert_eq!(qualities, expected);
    // One hour measured, two held, two without any knowledge, one measured.
    assert_close(grams(&pricer, 0.0, 6.0), (100.0 + 2.0 * 100.0 + 2.0 * 500.0 + 300.0) / 6.0);
}

#[test]
fn before_the_first_slot_nothing_is_known() {
    let pricer = pricer([measured(2.0, 3.0, 100.0)]);
    assert_eq!(pricer.factor_at(at(1.9)).quality, "static");
    assert_close(grams(&pricer, 1.0, 3.0), 300.0);
}

#[test]
fn the_next_source_is_asked_only_when_the_first_one_knows_nothing() {
    let first = series("a", Signal::AverageLifecycle, [measured(0.0, 1.0, 100.0)]);
    let second = series("b", Signal::AverageLifecycle, [measured(0.0, 9.0, 200.0)]);
    let pricer = pricer_with(Market::default(), state([first, second]));
    let who: Vec<_> = [0.5, 2.5, 3.5, 9.5, 11.5]
        .map(|hours| pricer.factor_at(at(hours)))
        .map(|factor| (factor.provider.to_string(), factor.quality))
        .into();
    let expected =
        [("a", "measured"), ("a", "stale"), ("b", "measured"), ("b", "stale"), ("config", "static")];
    assert_eq!(who, expected.map(|(provider, quality)| (provider.to_owned(), quality)));
    assert_close(grams(&pricer, 2.0, 4.0), 150.0);
}

#[test]
fn other_kinds_of_figures_never_count() {
    let direct = series("a", Signal::AverageDirect, [measured(0.0, 9.0, 1.0)]);
    let marginal = series("b", Signal::Marginal, [measured(0.0, 9.0, 2.0)]);
    let pricer = pricer_with(Market::default(), state([direct, marginal]));
    assert_eq!(&*pricer.factor_at(at(1.0)).provider, "config");
    assert_close(grams(&pricer, 0.0, 1.0), 500.0);
}

#[test]
fn a_revision_counts_from_now_on_and_a_measurement_beats_a_forecast() {
    let forecast = slot(0.0, 2.0, 400.0, SlotQuality::Forecast);
    let mut source = SourceState::new("file", "DE".into());
    let answer = |slots: Vec<Slot>| GridSeries::clone(&series("a", Signal::AverageLifecycle, slots));
    source.take(answer(vec![forecast]), UnixTime::default());
    let mut pricer = pricer([]);
    let mut booked = 0.0;
    let mut book = |pricer: &mut Pricer, source: &SourceState, start, end| {
        pricer.take(Arc::new(GridState { sources: vec![source.clone()], ..GridState::default() }));
        booked += grams(pricer, start, end);
        booked
    };
    assert_close(book(&mut pricer, &source, 0.0, 0.5), 400.0);
    // Measured by now, a little later revised; what is booked stays.
    source.take(answer(vec![measured(0.0, 1.0, 300.0)]), UnixTime::default());
    assert_close(book(&mut pricer, &source, 0.5, 0.75), 700.0);
    source.take(answer(vec![measured(0.0, 1.0, 320.0), forecast]), UnixTime::default());
    assert_close(book(&mut pricer, &source, 0.75, 1.0), 1_020.0);
    assert_eq!(pricer.factor_at(at(1.0)).quality, "forecast");
    assert_close(book(&mut pricer, &source, 1.0, 1.5), 1_420.0);
}

#[test]
fn overhead_holds_from_the_moment_it_was_learned() {
    let mut state = state([series("a", Signal::AverageLifecycle, [measured(0.0, 2.0, 100.0)])]);
    state.pue = vec![Step { from: at(0.5), value: Pue(1.2) }, Step { from: at(1.5), value: Pue(1.6) }];
    state.pue_read = Some(at(1.5));
    let pricer = pricer_with(Market::default(), state);
    let known: Vec<_> = [0.0, 0.5, 1.4, 1.5, 9.0, 25.4, 25.5].map(|hours| pricer.pue_at(at(hours)).0).into();
    // A day after it was last read it isn't known any more.
    assert_eq!(known, [1.0, 1.2, 1.2, 1.6, 1.6, 1.6, 1.0]);
    // In mid-hour: half an hour without overhead, half with it.
    assert_close(grams(&pricer, 0.0, 1.0), 110.0);
    assert_close(grams(&pricer, 0.0, 2.0), 100.0 * (0.5 + 1.2 + 0.5 * 1.6) / 2.0);
}

#[test]
fn contracts_are_priced_beside_the_grid_with_the_same_overhead() {
    let cover = Cover { share: 0.8, intensity: GramsPerKwh(10.0) };
    let slots = [measured(0.0, 1.0, 100.0), measured(1.0, 2.0, 200.0)];
    let state = || {
        let mut state = state([series("a", Signal::AverageLifecycle, slots)]);
        state.pue = vec![Step { from: at(0.0), value: Pue(1.5) }];
        state.pue_read = Some(at(0.0));
        state
    };
    let market = |market: Market, start, end| {
        let rates = pricer_with(market, state()).rates(at(start), at(end));
        assert_eq!(rates.water, Some(LitresPerKwh(1.8)));
        rates.market.map(|rate| rate.0)
    };
    assert_eq!(market(Market::default(), 0.0, 2.0), None);
    let residual = Market::constant(cover, Some(GramsPerKwh(400.0)));
    assert_close(market(residual, 0.0, 2.0).unwrap(), 1.5 * (0.8 * 10.0 + 0.2 * 400.0));
    // Without a residual mix the rest is what the grid is.
    let located = Market::constant(cover, None);
    assert_close(market(located, 0.5, 1.5).unwrap(), 1.5 * (0.8 * 10.0 + 0.2 * 150.0));
    let green = Cover { share: 1.0, intensity: GramsPerKwh(0.0) };
    let matched = Market::matched([Window { start: at(0.5), end: at(1.0), cover: green }], None);
    assert_close(market(matched, 0.0, 2.0).unwrap(), 1.5 * (0.5 * 100.0 + 0.5 * 0.0 + 1.0 * 200.0) / 2.0);
}

#[test]
fn a_clock_that_stepped_back_costs_the_moment() {
    let pricer = pricer([measured(0.0, 1.0, 100.0), measured(1.0, 2.0, 200.0)]);
    assert_close(grams(&pricer, 1.5, 0.5), 100.0);
}

proptest! {
    /// The rate over an interval is the mean of the prices of its seconds, wherever borders lie.
    #[test]
    fn an_interval_costs_what_its_seconds_cost(
        slots in prop::collection::vec((0..200_u32, 1..60_u32, 0..1000_u32), 0..8),
        steps in prop::collection::vec((0..300_u32, 100..200_u32), 0..3),
        start in 0..300_u32,
        length in 1..120_u32,
    ) {
        let second = |second: u32| at(0.0).after(Duration::from_secs(second.into()));
        let slots = slots.iter().map(|(start, length, grams)| Slot {
            start: second(*start),
            end: second(start + length),
            intensity: GramsPerKwh(f64::from(*grams)),
            quality: SlotQuality::Measured,
        });
        let mut state = state([series("a", Signal::AverageLifecycle, slots.collect::<Vec<_>>())]);
        let mut pue: Vec<_> = steps
            .iter()
            .map(|(from, pue)| Step { from: second(*from), value: Pue(f64::from(*pue) / 100.0) })
            .collect();
        pue.sort_by_key(|step| step.from);
        state.pue = pue;
        state.pue_read = Some(at(0.0));
        let mut pricer = pricer_with(Market::default(), state);
        pricer.max_age = Duration::from_secs(30);
        let price = |time: UnixTime| pricer.factor_at(time).intensity.0 * pricer.pue_at(time).0;
        let sum: f64 = (start..start + length).map(|at| price(second(at))).sum();
        let rates = pricer.rates(second(start), second(start + length));
        assert_close(rates.location.0, sum / f64::from(length));
    }
}
