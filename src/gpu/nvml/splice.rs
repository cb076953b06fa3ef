//! Joins totals from several sources into one, and notices a counter that stands still.

use std::time::Duration;

use crate::meters::Tick;
use crate::meters::power::PowerIntegrator;
use crate::units::{Microjoules, Watts};

/// A counter that stands still for this long under power is taken for dead: drivers refresh it at least every
/// 100 ms.
const STILL_AFTER: Duration = Duration::from_secs(10);

/// Where a total comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The device's counter.
    Counter,
    /// Power integrated while the counter stands still.
    Standstill,
    /// The driver's ring of power samples.
    Ring,
    /// Power read in each tick.
    Poll,
    /// The same of the whole module that the device is a part of.
    ModulePoll,
}

/// Makes one total of several, so that going from one to another neither makes nor loses energy.
#[derive(Debug, Default)]
pub(super) struct Splice {
    source: Option<Source>,
    /// What the source said last, what was told of it, and their difference (which may be below zero: it wraps).
    raw: u64,
    told: u64,
    offset: u64,
}

impl Splice {
    /// The total to tell when `source` says `raw`. A source that wasn't used before goes on where the last one
    /// ended; energy that it counted while the other was used isn't booked again. Only what
    /// [`Source::Standstill`] counted is new from its start. A counter that falls back shows as such.
    pub(super) fn tell(&mut self, source: Source, raw: Microjoules) -> Microjoules {
        let raw = raw.get();
        match self.source {
            None => {}
            Some(before) if before == source => self.offset = if raw < self.raw { 0 } else { self.offset },
            Some(_) if source == Source::Standstill => self.offset = self.told,
            Some(_) => self.offset = self.told.wrapping_sub(raw),
        }
        self.source = Some(source);
        self.raw = raw;
        self.told = raw.wrapping_add(self.offset);
        Microjoules::new(self.told)
    }
}

/// Watches a counter, and integrates power while it stands still.
#[derive(Debug, Default)]
pub(super) struct Standstill {
    since: Option<(Microjoules, Duration)>,
    power: PowerIntegrator,
}

impl Standstill {
    /// Takes what the counter says. Whether it says the same as before, so that power should be looked at.
    pub(super) fn counter(&mut self, value: Microjoules, now: Tick) -> bool {
        let stands = self.since.is_some_and(|(before, _)| before == value);
        if !stands {
            self.since = Some((value, now.monotonic));
            self.power = PowerIntegrator::default();
        }
        stands
    }

    /// Takes the power in a tick in which the counter stands; none where it couldn't be read.
    pub(super) fn power(&mut self, power: Option<Watts>, now: Tick) {
        match power {
            // A reading that nothing can mean is noted by the integrator as failed.
            Some(power) => drop(self.power.observe(power, now)),
            None => self.power.fail(),
        }
    }

    /// The energy since the counter stands, if it stands for so long and under power that it must be dead.
    pub(super) fn energy(&self, now: Tick) -> Option<Microjoules> {
        let (_, since) = self.since?;
        let energy = self.power.total().filter(|energy| !energy.is_zero())?;
        (now.monotonic.saturating_sub(since) >= STILL_AFTER).then_some(energy)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert, proptest};

    use super::*;

    fn uj(value: u64) -> Microjoules {
        Microjoules::new(value)
    }

    fn tick(seconds: u64) -> Tick {
        let time = Duration::from_secs(seconds);
        Tick { monotonic: time, boottime: time }
    }

    #[test]
    fn sources_follow_each_other_without_a_step() {
        let mut splice = Splice::default();
        for (source, raw, told) in [
            (Source::Counter, 1_000, 1_000),
            (Source::Counter, 1_500, 1_500),
            // Lost for good: power takes its place, and begins at zero or where it was left.
            (Source::Poll, 0, 1_500),
            (Source::Poll, 70, 1_570),
            (Source::Counter, 9_000, 1_570),
            (Source::Counter, 9_001, 1_571),
            (Source::Poll, 75, 1_571),
            // A standstill counts from its beginning, which lies before the switch.
            (Source::Standstill, 40, 1_611),
            (Source::Counter, 9_002, 1_611),
        ] {
            assert_eq!(splice.tell(source, uj(raw)), uj(told), "{source:?} {raw}");
        }
    }

    #[test]
    fn a_reset_of_the_counter_is_not_hidden() {
        let mut splice = Splice::default();
        splice.tell(Source::Poll, uj(50));
        splice.tell(Source::Counter, uj(9_000));
        assert_eq!(splice.tell(Source::Counter, uj(9_100)), uj(150));
        assert_eq!(splice.tell(Source::Counter, uj(3)), uj(3));
    }

    #[test]
    fn a_counter_that_stands_under_power_is_dead_after_ten_seconds() {
        let mut still = Standstill::default();
        assert!(!still.counter(uj(5), tick(0)));
        for second in 1..=10 {
            assert!(still.counter(uj(5), tick(second)));
            still.power(Some(Watts(100.0)), tick(second));
            assert_eq!(still.energy(tick(second)).is_some(), second >= 10, "{second}");
        }
        assert_eq!(still.energy(tick(10)), Some(uj(900_000_000)));
        assert!(!still.counter(uj(6), tick(11)));
        assert_eq!(still.energy(tick(60)), None);
    }

    #[test]
    fn a_device_that_draws_nothing_has_a_counter_that_stands_rightly() {
        let mut still = Standstill::default();
        for second in 0..100 {
            still.counter(uj(5), tick(second));
            still.power((second % 2 == 0).then_some(Watts(0.0)), tick(second));
            assert_eq!(still.energy(tick(second)), None);
        }
    }

    proptest! {
        #[test]
        fn rising_sources_make_a_rising_total(
            steps in prop::collection::vec((any::<bool>(), any::<u32>()), 1..60),
        ) {
            let mut splice = Splice::default();
            let (mut counter, mut poll, mut told) = (0u64, 0u64, None);
            let mut booked = 0u64;
            for (by_counter, step) in steps {
                let (source, raw) = if by_counter { (Source::Counter, &mut counter) } else { (Source::Poll, &mut poll) };
                *raw += u64::from(step);
                booked += u64::from(step);
                let next = splice.tell(source, uj(*raw));
                if let Some(before) = told {
                    prop_assert!(next >= before);
                }
                prop_assert!(next <= uj(booked));
                told = Some(next);
            }
        }
    }
}
