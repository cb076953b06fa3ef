//! Integrates the driver's own ring of power samples by trapezoid.

use std::time::Duration;

use crate::meters::Tick;
use crate::meters::power::Trapezoid;
use crate::units::Microjoules;

/// A megawatt: no device draws it.
const MAX_MILLIWATTS: u64 = 1_000_000_000;
/// Two milliwatt sums times microseconds, per microjoule of their mean.
const SCALE: u128 = 2_000;
/// How much more time than passed the samples of a reading may span: they come in steps.
const SLACK: Duration = Duration::from_secs(1);
/// A ring without a new sample for this long is of no use: drivers take one every 20 to 100 ms.
const SILENT_AFTER: Duration = Duration::from_secs(10);

/// One power sample of the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PowerSample {
    /// Microseconds on the driver's clock.
    pub(super) at: u64,
    /// Milliwatts.
    pub(super) milliwatts: u64,
}

/// Turns power samples into a total that never falls.
#[derive(Debug, Default)]
pub(super) struct RingIntegrator {
    last: Option<PowerSample>,
    /// When samples were last looked at, and when one was new.
    looked: Option<Duration>,
    fresh: Option<Duration>,
    trapezoid: Trapezoid<SCALE>,
    total: Microjoules,
}

impl RingIntegrator {
    /// The time to ask for samples from; 0 while none is known.
    pub(super) fn last_seen(&self) -> u64 {
        self.last.map_or(0, |sample| sample.at)
    }

    /// Takes the samples since [`Self::last_seen`], in any order. The first look only gives the point to start
    /// from: what the ring holds is older than the reading. Samples that span more time than passed (a clock that
    /// was set) count for the time that passed.
    pub(super) fn observe(&mut self, mut samples: Vec<PowerSample>, now: Tick) {
        let passed = self.looked.map_or(Duration::ZERO, |looked| now.monotonic.saturating_sub(looked));
        self.looked = Some(now.monotonic);
        samples.retain(|sample| sample.at > self.last_seen() && sample.milliwatts <= MAX_MILLIWATTS);
        samples.sort_unstable();
        let Some(newest) = samples.last().copied() else {
            self.fresh.get_or_insert(now.monotonic);
            return;
        };
        self.fresh = Some(now.monotonic);
        let mut allowed = (passed + SLACK).as_micros();
        if let Some(mut before) = self.last {
            for sample in samples {
                let span = u128::from(sample.at.saturating_sub(before.at)).min(allowed);
                allowed = allowed.saturating_sub(span);
                let sum = u128::from(before.milliwatts) + u128::from(sample.milliwatts);
                self.total += self.trapezoid.add(sum, span);
                before = sample;
            }
        }
        self.last = Some(newest);
    }

    /// Whether no new sample came for so long that power must be read in another way. The driver's clock may
    /// have been set back, too: a new integrator starts with what the ring holds then.
    pub(super) fn is_silent(&self, now: Tick) -> bool {
        self.fresh.is_some_and(|fresh| now.monotonic.saturating_sub(fresh) >= SILENT_AFTER)
    }

    /// All energy integrated since the first look.
    pub(super) fn total(&self) -> Microjoules {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn tick(millis: u64) -> Tick {
        let time = Duration::from_millis(millis);
        Tick { monotonic: time, boottime: time }
    }

    fn samples(from: u64, count: u64, step: u64, milliwatts: u64) -> Vec<PowerSample> {
        (0..count).map(|i| PowerSample { at: from + i * step, milliwatts }).collect()
    }

    #[test]
    fn the_first_look_counts_nothing_and_later_ones_count_from_its_newest_sample() {
        let mut ring = RingIntegrator::default();
        assert_eq!(ring.last_seen(), 0);
        ring.observe(samples(1_000_000, 11, 100_000, 100_000), tick(0));
        assert_eq!((ring.total(), ring.last_seen()), (Microjoules::ZERO, 2_000_000));
        // A second at 100 W rising to 200 W in one step of 0.1 s.
        let mut later = samples(2_100_000, 9, 100_000, 100_000);
        later.push(PowerSample { at: 3_000_000, milliwatts: 200_000 });
        ring.observe(later, tick(1_000));
        assert_eq!(ring.total(), Microjoules::new(105_000_000));
    }

    #[test]
    fn samples_that_were_seen_and_garbage_are_left_out() {
        let mut ring = RingIntegrator::default();
        ring.observe(samples(1_000_000, 1, 1, 100_000), tick(0));
        let mut later = samples(0, 11, 100_000, 100_000);
        later.push(PowerSample { at: 1_500_000, milliwatts: u64::MAX });
        later.push(PowerSample { at: 2_000_000, milliwatts: 100_000 });
        ring.observe(later, tick(1_000));
        assert_eq!(ring.total(), Microjoules::new(100_000_000));
    }

    #[test]
    fn a_clock_that_jumps_makes_no_energy() {
        let mut ring = RingIntegrator::default();
        ring.observe(samples(1_000_000, 1, 1, 100_000), tick(0));
        ring.observe(samples(3_600_000_000, 2, 100_000, 100_000), tick(1_000));
        assert_eq!(ring.total(), Microjoules::new(200_000_000));
    }

    #[test]
    fn a_ring_that_stays_empty_is_silent_after_ten_seconds() {
        let mut ring = RingIntegrator::default();
        for second in 0..10 {
            ring.observe(Vec::new(), tick(second * 1_000));
            assert!(!ring.is_silent(tick(second * 1_000)));
        }
        assert!(ring.is_silent(tick(10_000)));
        ring.observe(samples(1, 1, 1, 1), tick(10_000));
        assert!(!ring.is_silent(tick(10_000)));
    }

    proptest! {
        #[test]
        fn how_samples_are_cut_into_looks_makes_no_difference(
            steps in prop::collection::vec((1_000u64..200_000, 0u64..2_000_000), 2..60),
            cuts in prop::collection::vec(any::<bool>(), 60),
        ) {
            let mut at = 1_000_000;
            let all: Vec<PowerSample> = steps
                .iter()
                .map(|&(step, milliwatts)| { at += step; PowerSample { at, milliwatts } })
                .collect();
            let origin = all[0].at;
            let time = |sample: PowerSample| Tick {
                monotonic: Duration::from_micros(sample.at - origin),
                boottime: Duration::ZERO,
            };
            let (mut whole, mut parts) = (RingIntegrator::default(), RingIntegrator::default());
            for ring in [&mut whole, &mut parts] {
                ring.observe(vec![all[0]], time(all[0]));
            }
            whole.observe(all.clone(), time(*all.last().unwrap()));
            let mut pending = Vec::new();
            for (index, sample) in all.iter().enumerate().skip(1) {
                pending.push(*sample);
                if cuts[index] || index + 1 == all.len() {
                    parts.observe(std::mem::take(&mut pending), time(*sample));
                }
            }
            prop_assert_eq!(whole.total(), parts.total());
            let span = all.last().unwrap().at - origin;
            prop_assert!(u128::from(whole.total().get()) <= u128::from(span) * 2_000_000 / 1_000);
        }

        #[test]
        fn any_samples_leave_a_total_that_never_falls(
            looks in prop::collection::vec(
                (prop::collection::vec((any::<u64>(), any::<u64>()), 0..8), 0u64..100_000), 0..20,
            ),
        ) {
            let mut ring = RingIntegrator::default();
            let (mut total, mut now) = (Microjoules::ZERO, 0);
            for (samples, passed) in looks {
                now += passed;
                ring.observe(
                    samples.into_iter().map(|(at, milliwatts)| PowerSample { at, milliwatts }).collect(),
                    tick(now),
                );
                prop_assert!(ring.total() >= total);
                total = ring.total();
            }
            // At most a megawatt for the time that passed, and a second for each look.
            prop_assert!(u128::from(total.get()) <= (u128::from(now) + 20_000) * 1_000_000_000);
        }
    }
}
