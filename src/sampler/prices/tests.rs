//! Grams by hand: a node that draws 60 W, so 1 Wh a minute, which at 100 g/kWh is 0.1 g.

use std::fs;

use super::*;
use crate::carbon::factors::{FactorSettings, resolve};
use crate::carbon::grid::{GridSeries, Signal, SourceState};
use crate::carbon::market::{Cover, Market, Window};
use crate::carbon::series::SlotQuality::{Estimated, Forecast, Measured};
use crate::carbon::series::{Series, Slot, SlotQuality};
use crate::config::Basis;
use crate::ledger::Beneficiary;
use crate::meters::{Component, Domain};
use crate::sampler::gpu::tests::{Card, reading};
use crate::sampler::tests::{CONTAINER, Node, component};
use crate::snapshot::{ComponentTotals, Snapshot};
use crate::units::Pue;
use crate::workloads::owner::OwnerKind;

/// 2027-01-15, 08:00 UTC.
const START: u64 = 1_800_000_000;
/// What holds where no slot is known.
const STATIC: f64 = 500.0;
const MAX_AGE: Duration = Duration::from_secs(600);
const MICROJOULES_PER_SECOND: u64 = 60_000_000;

/// A node on a clock that begins at [`START`], with one source.
struct Priced {
    node: Node,
    board: Arc<GridBoard>,
    /// Since [`START`].
    seconds: u64,
    cpu: u64,
    last: Snapshot,
}

fn at(seconds: u64) -> UnixTime {
    UnixTime::from_seconds(START + seconds)
}

fn minute(minutes: u64) -> UnixTime {
    at(minutes * 60)
}

impl Priced {
    fn new(market: Market, wue: Option<f64>) -> Self {
        let factors = resolve(&FactorSettings { intensity: Some(STATIC), ..FactorSettings::default() });
        let wue = wue.map(LitresPerKwh);
        let pricer = Pricer::new(factors.unwrap(), Some(Basis::Lifecycle), MAX_AGE, market, wue);
        let board = Arc::new(GridBoard::new(vec![SourceState::new("test", "FR".into())]));
        let mut node = Node::new(|_| {});
        node.sampler.prices = Prices::new(pricer, Arc::clone(&board));
        let last = node.tick_at(1, Duration::from_secs(START));
        Self { node, board, seconds: 0, cpu: 0, last }
    }

    /// One answer of the source: slots from minute to minute.
    fn say(&self, quality: SlotQuality, slots: &[(u64, u64, f64)]) {
        let slot = |&(start, end, intensity): &(u64, u64, f64)| Slot {
            start: minute(start),
            end: minute(end),
            intensity: GramsPerKwh(intensity),
            quality,
        };
        self.take(Series::new(slots.iter().map(slot)));
    }

    fn take(&self, slots: Series) {
        let fetched = GridSeries {
            provider: "test".into(),
            zone: "FR".into(),
            signal: Signal::AverageLifecycle,
            accounting: "".into(),
            fetched_at: at(self.seconds),
            slots,
        };
        self.board.update(|state| state.sources[0].take(fetched, UnixTime::default()));
    }

    /// Ticks of this length, each with the energy of its time, half of which goes to a container. Whoever gets it pays the
    /// same price.
    fn run(&mut self, seconds: u64, ticks: u64) {
        for _ in 0..ticks {
            self.seconds += seconds;
            self.cpu += 100_000 * seconds;
            self.node.cpu("", self.cpu);
            self.node.cpu(CONTAINER, self.cpu / 2);
            self.node.energy(MICROJOULES_PER_SECOND * seconds, 0);
            let snapshot = self.node.tick_at(seconds, Duration::from_secs(START + self.seconds));
            let before = std::mem::replace(&mut self.last, snapshot);
            assert_one_price(&before, &self.last);
        }
    }

    fn run_minutes(&mut self, minutes: u64) {
        self.run(60, minutes);
    }

    fn cpu(&self) -> &ComponentTotals {
        component(&self.last, Component::Cpu)
    }
}

/// What a component had: energy, and what it caused.
fn row(totals: Option<&ComponentTotals>) -> (f64, [f64; 3]) {
    let Some(totals) = totals else { return (0.0, [0.0; 3]) };
    let market = totals.market_emissions.map_or(0.0, |grams| grams.0);
    (totals.energy.as_joules(), [totals.emissions.0, market, totals.water.map_or(0.0, |water| water.0)])
}

/// What the container had of the CPU.
fn container(snapshot: &Snapshot) -> (f64, [f64; 3]) {
    let row = snapshot.workloads.iter().find(|row| row.owner.kind() == OwnerKind::Container).unwrap();
    let energy = row.energy.iter().filter(|cell| cell.component == Component::Cpu).map(|cell| cell.energy);
    let cell = row.components.iter().find(|cell| cell.component == Component::Cpu);
    let values = cell.map(|cell| {
        let market = cell.market_emissions.map_or(0.0, |grams| grams.0);
        [cell.emissions.0, market, cell.water.map_or(0.0, |water| water.0)]
    });
    (energy.sum::<Microjoules>().as_joules(), values.unwrap_or_default())
}

/// The node's grams are its energy times a price; the container's are its energy times that price; and since every joule
/// is somebody's, idle or unattributed, the grams of all of them add up.
fn assert_one_price(before: &Snapshot, now: &Snapshot) {
    let node = |snapshot: &Snapshot| {
        row(snapshot.components.iter().find(|totals| totals.component == Component::Cpu))
    };
    let (node, was) = (node(now), node(before));
    let (owner, owner_was) = (container(now), container(before));
    for kind in 0..3 {
        let price = (node.1[kind] - was.1[kind]) / (node.0 - was.0);
        let grams = owner.1[kind] - owner_was.1[kind];
        assert!((grams - price * (owner.0 - owner_was.0)).abs() < 1e-9, "kind {kind}: {grams} at {price}");
    }
    let totals = component(now, Component::Cpu);
    assert_eq!(totals.by_beneficiary.iter().copied().sum::<Microjoules>(), totals.energy);
    assert!(totals.by_beneficiary[Beneficiary::Owner(OwnerKind::Container).index()] > Microjoules::ZERO);
}

fn assert_close(got: f64, want: f64) {
    assert!((got - want).abs() < 1e-9, "{got} isn't {want}");
}

#[test]
fn grams_follow_the_slots_of_their_time() {
    let case = |name: &str, want: f64, story: fn(&mut Priced)| {
        let mut priced = Priced::new(Market::default(), None);
        story(&mut priced);
        let got = priced.cpu().emissions.0;
        assert!((got - want).abs() < 1e-9, "{name}: {got} g instead of {want} g");
    };
    case("constant power over three slots: 5 Wh each at 100, 200 and 400", 3.5, |priced| {
        priced.say(Measured, &[(0, 5, 100.0), (5, 10, 200.0), (10, 15, 400.0)]);
        priced.run_minutes(15);
    });
    case("a tick over a border: 2 Wh at 100 and 1 Wh at 400", 0.6, |priced| {
        priced.say(Measured, &[(0, 2, 100.0), (2, 9, 400.0)]);
        priced.run(180, 1);
    });
    case("a gap: 5 min measured and 10 stale at 100, then 5 at 500", 4.0, |priced| {
        priced.say(Measured, &[(0, 5, 100.0)]);
        priced.run_minutes(20);
    });
    case("a gap that ends in a tick: 15 Wh at 100, 1 at 500, 1 at 200", 2.2, |priced| {
        priced.say(Measured, &[(0, 5, 100.0)]);
        priced.run_minutes(13);
        priced.say(Measured, &[(16, 25, 200.0)]);
        priced.run(240, 1);
    });
    case("a revision changes nothing that is booked: 5 Wh at 100, 5 at 300", 2.0, |priced| {
        priced.say(Estimated, &[(0, 10, 100.0)]);
        priced.run_minutes(5);
        priced.say(Estimated, &[(0, 10, 300.0)]);
        priced.run_minutes(5);
    });
    case("a forecast holds until something is measured: 4 Wh at 100, 6 at 250", 1.9, |priced| {
        priced.say(Forecast, &[(0, 10, 100.0)]);
        priced.run_minutes(4);
        priced.say(Measured, &[(0, 10, 250.0)]);
        priced.say(Forecast, &[(0, 10, 90.0)]);
        priced.run_minutes(6);
    });
    case("nothing live at all: 10 Wh at 500", 5.0, |priced| priced.run_minutes(10));
}

#[test]
fn an_overhead_that_changes_in_a_tick_counts_from_then_on() {
    let mut priced = Priced::new(Market::default(), None);
    priced.say(Measured, &[(0, 60, 100.0)]);
    priced.run_minutes(5);
    priced.board.update(|state| crate::carbon::pue::note(state, at(330), Pue(1.5)));
    priced.run_minutes(5);
    // 5.5 Wh at 100, 4.5 Wh at 150.
    assert_close(priced.cpu().emissions.0, 1.225);
    assert_eq!((priced.last.pue, priced.last.pue_configured), (Pue(1.5), true));
}

#[test]
fn what_was_drawn_before_a_reload_costs_what_it_cost_then() {
    let mut priced = Priced::new(Market::default(), None);
    priced.run_minutes(5);
    let cheap = FactorSettings { intensity: Some(100.0), ..FactorSettings::default() };
    let pricer = Pricer::new(resolve(&cheap).unwrap(), None, MAX_AGE, Market::default(), None);
    let board = Arc::new(GridBoard::default());
    // Half a minute after the last tick.
    priced.node.sampler.prices.replace(pricer, Arc::clone(&board), at(330));
    priced.run_minutes(5);
    // 5.5 Wh at 500, 4.5 Wh at 100.
    assert_close(priced.cpu().emissions.0, 3.2);
}

#[test]
fn contracts_count_in_their_windows_only() {
    let cover = |share, intensity| Cover { share, intensity: GramsPerKwh(intensity) };
    let windows = vec![
        Window { start: minute(0), end: minute(4), cover: cover(1.0, 0.0) },
        Window { start: minute(4), end: minute(6), cover: cover(0.5, 20.0) },
    ];
    let mut priced = Priced::new(Market::matched(windows, None), Some(1.8));
    priced.say(Measured, &[(0, 60, 100.0)]);
    priced.run(120, 5);
    // 4 Wh at 0, 2 Wh at (20 + 100) / 2, 4 Wh at the grid's 100.
    let totals = priced.cpu();
    assert_close(totals.market_emissions.unwrap().0, 0.52);
    assert_close(totals.emissions.0, 1.0);
    assert_close(totals.water.unwrap().0, 0.018);
    assert_eq!(priced.last.market.unwrap().residual, "location");
}

#[test]
fn what_is_not_counted_is_absent() {
    let mut priced = Priced::new(Market::default(), None);
    priced.run_minutes(1);
    let cell = &priced.last.workloads[0].components[0];
    assert!(cell.market_emissions.is_none() && cell.water.is_none());
    assert!(priced.cpu().market_emissions.is_none() && priced.cpu().water.is_none());
    assert!(priced.last.market.is_none() && priced.last.wue.is_none() && priced.last.grid_age.is_none());
    assert!(priced.last.embodied.is_empty() && priced.last.workloads[0].embodied.is_empty());
    assert!(!priced.last.pue_configured);
}

#[test]
fn energy_of_an_outage_is_priced_over_its_own_time() {
    let mut priced = Priced::new(Market::default(), None);
    priced.say(Measured, &[(0, 1, 100.0), (1, 9, 400.0)]);
    priced.run(58, 1);
    let counter = priced.node.dir.path().join("sys/class/powercap/intel-rapl:0/energy_uj");
    for _ in 0..3 {
        fs::remove_file(&counter).unwrap();
        priced.seconds += 1;
        let wall = Duration::from_secs(START + priced.seconds);
        priced.node.tick_at(1, wall);
        priced.node.energy(MICROJOULES_PER_SECOND, 0);
    }
    priced.run(1, 1);
    // 58 s at 100, then 4 s in one: 2 at 100 and 2 at 400.
    let watt_hours = |seconds: f64| seconds / 60.0 / 1_000.0;
    assert_close(priced.cpu().emissions.0, watt_hours(60.0) * 100.0 + watt_hours(2.0) * 400.0);
}

#[test]
fn energy_of_a_gpu_is_priced_over_its_own_time() {
    let mut card = Card::new(|_| {});
    let priced = Priced::new(Market::default(), None);
    // The card's next tick ends here.
    let end = card.node.wall().as_secs() + 1 - START;
    let border = at(end - 5);
    let slot =
        |start, end, intensity| Slot { start, end, intensity: GramsPerKwh(intensity), quality: Measured };
    priced.take(Series::new([slot(at(0), border, 100.0), slot(border, at(3_600), 400.0)]));
    card.node.sampler.prices = priced.node.sampler.prices;
    // 36 kJ in 20 s after a gap: 10 Wh, three quarters of them at 100.
    card.tick_of(Some(reading(&[10], Some(&[(10, 50)]))), 36_000, true, Domain::Gpu, Microjoules::ZERO);
    let book = card.node.sampler.ledger.component(Component::Gpu).unwrap();
    assert_close(book.footprint.location.0, 1.75);
}

#[test]
fn a_clock_that_is_set_moves_only_what_comes_after() {
    let mut priced = Priced::new(Market::default(), None);
    priced.say(Measured, &[(0, 60, 100.0), (60, 120, 400.0)]);
    priced.run_minutes(5);
    priced.seconds += 3_600;
    priced.run_minutes(5);
    priced.seconds -= 3_600;
    priced.run_minutes(5);
    assert_close(priced.cpu().emissions.0, 0.5 + 2.0 + 0.5);
}

#[test]
fn a_sum_costs_what_its_parts_cost() {
    let mut priced = Priced::new(Market::default(), None);
    priced.say(Measured, &[(0, 1, 100.0), (1, 9, 400.0)]);
    priced.run(60, 2);
    let prices = &mut priced.node.sampler.prices;
    let (kwh, minutes) = (Microjoules::new(3_600_000_000_000), |count: u64| Duration::from_secs(60 * count));
    let mean = |prices: &mut Prices, parts: &[(Microjoules, Duration)]| {
        prices.mean(parts.iter().copied()).location.0
    };
    assert_close(mean(prices, &[(kwh, minutes(1)), (kwh, minutes(2))]), (400.0 + 250.0) / 2.0);
    let parts = [(Microjoules::ZERO, minutes(2)), (kwh, minutes(1)), (kwh + kwh, minutes(2))];
    assert_close(mean(prices, &parts), (400.0 + 2.0 * 250.0) / 3.0);
    assert_close(mean(prices, &[]), 250.0);
}

#[test]
fn the_outlook_is_that_of_the_first_source_that_looks_ahead() {
    let mut priced = Priced::new(Market::default(), None);
    priced.say(Measured, &[(0, 10, 100.0)]);
    priced.run_minutes(1);
    assert!(priced.last.grid_outlook.is_none(), "nothing is known of a later slot");
    assert_eq!(priced.last.grid.quality, "measured");
    assert_eq!(priced.last.grid_age, Some(Duration::from_secs(60)));
    priced.say(Forecast, &[(10, 70, 300.0), (70, 190, 50.0)]);
    priced.run_minutes(1);
    let outlook = priced.last.grid_outlook.clone().unwrap();
    let best = outlook.windows.iter().find(|window| window.hours == 1).unwrap();
    assert_eq!((best.start, best.mean), (minute(70), GramsPerKwh(50.0)));
    priced.run(1, 1);
    assert!(Arc::ptr_eq(&outlook, priced.last.grid_outlook.as_ref().unwrap()), "made once a minute");
}
