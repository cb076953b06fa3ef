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

    /// Takes other baselines of the operator; what was learned stays.
    pub fn configure(&mut self, configured: HashMap<String, Watts>) {
        self.configured = configured;
    }

    /// The devices and domains for which the operator gave a baseline.
    pub fn configured_keys(&self) -> impl Iterator<Item = &str> {
        self.configured.keys().map(String::as_str)
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
mod tests;
