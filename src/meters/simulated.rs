//! A made-up node of two sockets, for demos and tests: every figure of it is labelled `simulated`.

use std::f64::consts::TAU;
use std::sync::Arc;

use crate::meters::{Domain, MeterId};
use crate::units::Watts;

/// One made-up meter.
#[derive(Clone, Debug, PartialEq)]
pub struct SimulatedMeter {
    /// What it covers: package or dram.
    pub domain: Domain,
    /// Its socket.
    pub slot: Arc<str>,
    phase: f64,
}

impl SimulatedMeter {
    /// Package and memory meters of both sockets.
    pub fn node() -> Vec<Self> {
        [("0", 0.0), ("1", 0.25)]
            .into_iter()
            .flat_map(|(slot, phase)| {
                [Domain::Package, Domain::Dram].map(|domain| Self { domain, slot: Arc::from(slot), phase })
            })
            .collect()
    }

    /// Its name.
    pub fn id(&self) -> MeterId {
        let device = format!("{}-{}", self.domain.as_str(), self.slot);
        MeterId { meter: "simulated", domain: self.domain, device: Arc::from(device) }
    }

    /// Its power at a time (seconds from any origin) and a utilisation from 0 to 1: a floor, a wave of one
    /// minute, and what the load adds.
    pub fn power(&self, seconds: f64, utilisation: f64) -> Watts {
        let (floor, wave, load) = match self.domain {
            Domain::Dram => (8.0, 1.0, 12.0),
            _ => (60.0, 5.0, 160.0),
        };
        let swing = (TAU * (seconds / 60.0 + self.phase)).sin();
        Watts(floor + wave * swing + load * utilisation.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wave_is_the_same_each_time_and_follows_the_load() {
        let meters = SimulatedMeter::node();
        assert_eq!(meters.len(), 4);
        for meter in &meters {
            assert_eq!(meter.id().meter, "simulated");
            for seconds in 0..120 {
                let at = |utilisation| meter.power(f64::from(seconds), utilisation);
                assert_eq!(at(0.5), at(0.5));
                assert!(at(0.0).0 > 0.0 && at(1.0).0 > at(0.0).0 + 10.0);
            }
        }
        assert_ne!(meters[0].power(0.0, 0.0), meters[2].power(0.0, 0.0), "the sockets are out of step");
    }
}
