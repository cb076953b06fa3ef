use super::*;
use crate::meters::Domain;
use proptest::prelude::*;
use std::sync::Arc;

fn package(device: &str) -> MeterId {
    MeterId { meter: "rapl", domain: Domain::Package, device: Arc::from(device) }
}

fn joules(joules: u64) -> Microjoules {
    Microjoules::new(joules * 1_000_000)
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn idle_power_does_not_vanish_under_load() {
    let baseline = Some(Watts(30.0));
    assert_eq!(split(joules(100), baseline, SECOND), Split { idle: joules(30), active: joules(70) });
    assert_eq!(split(joules(20), baseline, SECOND), Split { idle: joules(20), active: Microjoules::ZERO });
    assert_eq!(split(joules(20), None, SECOND), Split { idle: Microjoules::ZERO, active: joules(20) });
}

#[test]
fn a_quiet_window_of_thirty_seconds_is_needed() {
    let mut baselines = Baselines::default();
    let id = package("intel-rapl:0");
    for _ in 0..29 {
        baselines.observe(&id, joules(25), SECOND, Some(0.01));
    }
    assert_eq!(baselines.get(&id), None);
    baselines.observe(&id, joules(25), SECOND, Some(0.5));
    for _ in 0..29 {
        baselines.observe(&id, joules(25), SECOND, Some(0.01));
    }
    assert_eq!(baselines.get(&id), None, "work began the window anew");
    baselines.observe(&id, joules(25), SECOND, Some(0.01));
    assert_eq!(baselines.get(&id), Some(Watts(25.0)));
}

#[test]
fn the_lowest_window_stays() {
    let mut baselines = Baselines::default();
    let id = package("intel-rapl:0");
    for watts in [25, 20, 40] {
        baselines.observe(&id, joules(watts * 30), WINDOW, Some(0.0));
    }
    assert_eq!(baselines.get(&id), Some(Watts(20.0)));
    baselines.observe(&id, joules(1), WINDOW, None);
    assert_eq!(baselines.get(&id), Some(Watts(20.0)), "how busy it was must be known");
}

#[test]
fn the_operator_knows_better() {
    let configured = [("package".to_owned(), Watts(10.0)), ("intel-rapl:1".to_owned(), Watts(12.0))];
    let mut baselines = Baselines::new(configured.into_iter().collect());
    baselines.observe(&package("intel-rapl:0"), joules(900), WINDOW, Some(0.0));
    assert_eq!(baselines.get(&package("intel-rapl:0")), Some(Watts(10.0)));
    assert_eq!(baselines.get(&package("intel-rapl:1")), Some(Watts(12.0)));
    baselines.set_modelled(&package("intel-rapl:1"), Watts(3.0));
    assert_eq!(baselines.get(&package("intel-rapl:1")), Some(Watts(12.0)), "better than the model, too");
}

proptest! {
    #[test]
    fn the_parts_add_up(energy: u64, watts in -10.0..1e6_f64, millis in 0_u64..10_000_000) {
        let energy = Microjoules::new(energy);
        let parts = split(energy, Some(Watts(watts)), Duration::from_millis(millis));
        prop_assert_eq!(parts.idle.get() + parts.active.get(), energy.get());
    }
}
