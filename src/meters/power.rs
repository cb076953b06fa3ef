//! Integrates power readings into energy by trapezoid.

use std::time::Duration;

use crate::meters::{GRACE, Tick};
use crate::units::{Microjoules, Watts, floor_to_u64};

/// No node draws a megawatt; `acpi_power_meter` shows 4.3 MW for the firmware's "unknown" (0xFFFFFFFF mW).
const MAX_WATTS: f64 = 1e6;

/// Two microwatt sums times nanoseconds, per microjoule of their mean.
const SCALE: u128 = 2_000_000_000;

/// A power that no meter can mean: negative, not a number, or above a megawatt.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("{} W is no power that a node can draw", .0.0)]
pub struct Unbelievable(pub Watts);

/// What one reading of a power meter tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerOutcome {
    /// The first reading, or the first after an outage: power, but no energy yet.
    First,
    /// Energy since the reading before.
    Delta {
        /// How much.
        energy: Microjoules,
        /// When the interval began ([`Tick::boottime`]).
        since: Duration,
    },
}

/// Adds up energy below a line of power; fractions of a microjoule are carried, not lost. `SCALE` is how many sums of
/// two powers times time make a microjoule of their mean.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trapezoid<const SCALE: u128> {
    remainder: u128,
}

impl<const SCALE: u128> Trapezoid<SCALE> {
    /// The energy of a span: the sum of the powers at its two ends, times its length.
    pub(crate) fn add(&mut self, sum: u128, length: u128) -> Microjoules {
        let area = sum.saturating_mul(length).saturating_add(self.remainder);
        self.remainder = area % SCALE;
        Microjoules::new(u64::try_from(area / SCALE).unwrap_or(u64::MAX))
    }
}

/// Turns readings of one power meter into energy; fractions of a microjoule are carried, not lost.
#[derive(Clone, Debug, Default)]
pub struct PowerIntegrator {
    last: Option<(u64, Tick)>,
    failed: bool,
    trapezoid: Trapezoid<SCALE>,
    total: Option<Microjoules>,
}

impl PowerIntegrator {
    /// Takes one reading. A gap without failed reads (the process was stopped) is integrated whole; time in
    /// suspend, when the meter's draw isn't known, counts nothing.
    pub fn observe(&mut self, power: Watts, now: Tick) -> Result<PowerOutcome, Unbelievable> {
        if !(0.0..=MAX_WATTS).contains(&power.0) {
            self.failed = true;
            return Err(Unbelievable(power));
        }
        let power_uw = floor_to_u64((power.0 * 1e6).round());
        let before = self.last.replace((power_uw, now));
        let hole = std::mem::take(&mut self.failed);
        let Some((before_uw, then)) = before else {
            return Ok(PowerOutcome::First);
        };
        if hole && now.boottime.saturating_sub(then.boottime) > GRACE {
            // A straight line across a hole would be invented.
            self.trapezoid = Trapezoid::default();
            return Ok(PowerOutcome::First);
        }
        let elapsed = now.monotonic.saturating_sub(then.monotonic).as_nanos();
        let energy = self.trapezoid.add(u128::from(before_uw) + u128::from(power_uw), elapsed);
        *self.total.get_or_insert(Microjoules::ZERO) += energy;
        Ok(PowerOutcome::Delta { energy, since: then.boottime })
    }

    /// Notes that the meter could not be read.
    pub fn fail(&mut self) {
        self.failed = true;
    }

    /// All energy integrated; absent until a first interval was.
    pub fn total(&self) -> Option<Microjoules> {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert, proptest};

    use super::*;

    fn tick(millis: u64) -> Tick {
        let time = Duration::from_millis(millis);
        Tick { monotonic: time, boottime: time }
    }

    fn energy(outcome: PowerOutcome) -> u64 {
        match outcome {
            PowerOutcome::Delta { energy, .. } => energy.get(),
            PowerOutcome::First => panic!("no energy"),
        }
    }

    #[test]
    fn a_ramp_is_integrated_by_its_mean() {
        let mut meter = PowerIntegrator::default();
        assert_eq!(meter.observe(Watts(100.0), tick(0)), Ok(PowerOutcome::First));
        assert_eq!(energy(meter.observe(Watts(200.0), tick(2_000)).unwrap()), 300_000_000);
        assert_eq!(meter.total(), Some(Microjoules::new(300_000_000)));
    }

    #[test]
    fn fractions_are_carried() {
        let mut meter = PowerIntegrator::default();
        // A microwatt over a millisecond is a thousandth of a microjoule: 3,000 steps make 3 uJ.
        for step in 0..=3_000u64 {
            let time = Duration::from_millis(step);
            meter.observe(Watts(1e-6), Tick { monotonic: time, boottime: time }).unwrap();
        }
        assert_eq!(meter.total(), Some(Microjoules::new(3)));
    }

    #[test]
    fn short_failures_are_bridged_and_long_ones_leave_a_hole() {
        let mut meter = PowerIntegrator::default();
        meter.observe(Watts(100.0), tick(0)).unwrap();
        meter.fail();
        assert_eq!(energy(meter.observe(Watts(100.0), tick(5_000)).unwrap()), 500_000_000);
        meter.fail();
        assert_eq!(meter.observe(Watts(100.0), tick(10_001)), Ok(PowerOutcome::First));
        // Stopped for a minute: nothing failed, nothing is lost.
        assert_eq!(energy(meter.observe(Watts(100.0), tick(70_001)).unwrap()), 6_000_000_000);
    }

    #[test]
    fn suspend_counts_nothing() {
        let mut meter = PowerIntegrator::default();
        meter.observe(Watts(100.0), tick(0)).unwrap();
        let woken = Tick { monotonic: Duration::from_secs(1), boottime: Duration::from_secs(3_600) };
        assert_eq!(energy(meter.observe(Watts(100.0), woken).unwrap()), 100_000_000);
    }

    #[test]
    fn garbage_is_an_error_and_counts_as_a_failed_read() {
        let mut meter = PowerIntegrator::default();
        meter.observe(Watts(100.0), tick(0)).unwrap();
        for garbage in [-1.0, f64::NAN, f64::INFINITY, 4_294_967.295] {
            assert!(meter.observe(Watts(garbage), tick(1_000)).is_err(), "{garbage}");
        }
        assert_eq!(meter.observe(Watts(100.0), tick(6_000)), Ok(PowerOutcome::First));
    }

    proptest! {
        #[test]
        fn any_readings_leave_a_total_that_never_falls(
            readings in prop::collection::vec((any::<f64>(), any::<u32>()), 0..60),
        ) {
            let mut meter = PowerIntegrator::default();
            let mut total = Microjoules::ZERO;
            for (watts, millis) in readings {
                let _ = meter.observe(Watts(watts), tick(u64::from(millis)));
                let next = meter.total().unwrap_or_default();
                prop_assert!(next >= total);
                total = next;
            }
        }
    }
}
