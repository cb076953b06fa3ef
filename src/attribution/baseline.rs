//! The idle power of a domain: configured, given by the model, or learned while nothing ran.
//!
//! Idle power never is "energy x idle CPU share": that makes it vanish under load.

use std::collections::HashMap;
use std::time::Duration;

use crate::meters::MeterId;
use crate::units::{Microjoules, Watts};

/// A window that tells the idle power is at least this long.
const WINDOW: Duration = Duration::from_secs(30);
/// The machine is as good as unused below this share of its CPU time.
const UNUSED: f64 = 0.02;

/// Energy of one domain in one tick, in two parts that add up to it exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// What the baseline explains.
    pub idle: Microjoules,
    /// The rest.
    pub active: Microjoules,
}

/// Divides a domain's energy: idle is the baseline's share but never more than there is. Without a baseline all
/// of it is active.
pub fn split(energy: Microjoules, baseline: Option<Watts>, elapsed: Duration) -> Split {
    let idle = baseline.map_or(Microjoules::ZERO, |watts| watts.times(elapsed)).min(energy);
    Split { idle, active: energy.saturating_sub(idle) }
}

/// The baselines of all domains.
#[derive(Debug, Default)]
pub struct Baselines {
    /// By device name, or by domain name for all devices of it.
    configured: HashMap<String, Watts>,
    learned: HashMap<MeterId, Learner>,
    modelled: HashMap<MeterId, Watts>,
}

#[derive(Debug, Default)]
struct Learner {
    energy: Microjoules,
    time: Duration,
    lowest: Option<Watts>,
}

impl Baselines {
    /// Baselines that the operator knows: watts by device (`intel-rapl:0`) or by domain (`package`).
    pub fn new(configured: HashMap<String, Watts>) -> Self {
        Self { configured, ..Self::default() }
    }

    /// Takes in one tick of a domain: its energy, the time it covers and how busy the machine was (0 to 1; none
    /// if it isn't known). A window counts once it has lasted long enough without work.
    pub fn observe(
        &mut self,
        id: &MeterId,
        energy: Microjoules,
        elapsed: Duration,
        utilisation: Option<f64>,
    ) {
        let learner = match self.learned.get_mut(id) {
            Some(learner) => learner,
            None => self.learned.entry(id.clone()).or_default(),
        };
        if utilisation.is_none_or(|busy| busy >= UNUSED) {
            learner.energy = Microjoules::ZERO;
            learner.time = Duration::ZERO;
            return;
        }
        learner.energy += energy;
        learner.time = learner.time.saturating_add(elapsed);
        if learner.time < WINDOW {
            return;
        }
        let mean = learner.energy.over(learner.time);
        learner.lowest = match (learner.lowest, mean) {
            (Some(lowest), Some(mean)) if lowest <= mean => Some(lowest),
            (_, Some(mean)) => Some(mean),
            (lowest, None) => lowest,
        };
        learner.energy = Microjoules::ZERO;
        learner.time = Duration::ZERO;
    }

    /// Takes the idle power that a model is made with.
    pub fn set_modelled(&mut self, id: &MeterId, idle: Watts) {
        if self.modelled.get(id) != Some(&idle) {
            self.modelled.insert(id.clone(), idle);
        }
    }

    /// The baseline of a domain: configured for the device, configured for the domain, the model's own, else
    /// learned.
    pub fn get(&self, id: &MeterId) -> Option<Watts> {
        self.configured
            .get(&*id.device)
            .or_else(|| self.configured.get(id.domain.as_str()))
            .or_else(|| self.modelled.get(id))
            .copied()
            .or_else(|| self.learned.get(id).and_then(|learner| learner.lowest))
    }
}

#[cfg(test)]
mod tests {
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
        assert_eq!(
            split(joules(20), baseline, SECOND),
            Split { idle: joules(20), active: Microjoules::ZERO }
        );
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
}
