//! The meter of one device: turns the totals that its driver shows into energy per tick.

use std::sync::Arc;
use std::time::Duration;

use crate::gpu::{GpuDelta, GpuEnergy};
use crate::meters::counter::{CounterTracker, Doubt, Outcome};
use crate::meters::{Component, Domain, GRACE, MeterId, MeterReport, Quality};
use crate::units::{Microjoules, Watts};

/// No device has counted more than this (36 years at 1 kW): all-ones and its like mean "not available".
const LARGEST: u64 = 1 << 60;

/// What the last reading said of the meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// It counts.
    Counts,
    /// There was one reading only, or none.
    SecondReading,
    /// It answers, but never moved.
    NotMoving,
    /// It hasn't moved for [`crate::meters::counter::STALL_AFTER`].
    Still,
    /// The device has neither a counter nor a power reading.
    NoEnergy,
    /// The value can't be.
    Doubtful(Doubt),
}

impl Why {
    const fn is_up(self) -> bool {
        matches!(self, Self::Counts | Self::SecondReading | Self::NotMoving)
    }

    const fn text(self, quality: Quality) -> &'static str {
        match self {
            Self::Counts => match quality {
                Quality::Measured => "chosen: hardware counter",
                Quality::Integrated => "chosen: power reading, integrated",
                Quality::Modelled => "chosen: nothing better can be read",
                Quality::Simulated => "chosen: simulated node",
            },
            Self::SecondReading => "waiting for a second reading",
            Self::NotMoving => "waiting for the counter to move",
            Self::Still => "counter stands still",
            Self::NoEnergy => "no energy counter and no power reading",
            Self::Doubtful(Doubt::Reset) => "counter went backwards",
            Self::Doubtful(Doubt::Ambiguous) => "gap longer than the counter's wrap period",
            Self::Doubtful(Doubt::Implausible) => "counter jumped beyond belief",
            Self::Doubtful(Doubt::OutOfRange) => "counter above its own range",
        }
    }
}

/// The energy of one device: a total that never falls, whatever the driver shows.
#[derive(Debug)]
pub(super) struct Energy {
    tracker: CounterTracker,
    /// What the meter covers; none before the first reading.
    domain: Option<Domain>,
    /// The quality of the last reading.
    quality: Quality,
    /// Whether any of this reader's totals was integrated.
    is_integrated: bool,
    /// What the trackers before this one counted.
    before: Option<Microjoules>,
    wraps: u64,
    resets: u64,
    /// Whether the counter ever showed more than nothing.
    nonzero: bool,
    why: Why,
    gap: bool,
    reason: Arc<str>,
}

impl Default for Energy {
    fn default() -> Self {
        Self {
            tracker: CounterTracker::default().counting_from_zero(),
            domain: None,
            quality: Quality::Measured,
            is_integrated: false,
            before: None,
            wraps: 0,
            resets: 0,
            nonzero: false,
            why: Why::SecondReading,
            gap: false,
            reason: Arc::from(""),
        }
    }
}

impl Energy {
    /// Notes that the device was away: whatever comes next was drawn in a gap, however short.
    pub(super) const fn interrupt(&mut self) {
        self.gap = true;
    }

    /// Notes that another reader takes over. One that integrates has a total of its own, so that those of two
    /// readers have nothing to do with each other; nor has a counter's that went on where power was integrated.
    pub(super) fn change_reader(&mut self) {
        if std::mem::take(&mut self.is_integrated) {
            self.restart();
        }
    }

    fn restart(&mut self) {
        self.before = self.total();
        self.wraps = self.wraps();
        self.resets = self.resets();
        self.tracker = CounterTracker::default().counting_from_zero();
        self.nonzero = false;
        self.why = Why::SecondReading;
    }

    /// Takes what was read at `at` (with suspend), under a power limit. Says what to book. A reader that goes from
    /// a counter to power and back makes one total of both.
    pub(super) fn take(
        &mut self,
        energy: Option<&GpuEnergy>,
        limit: Option<Watts>,
        at: Duration,
    ) -> Option<GpuDelta> {
        let Some(energy) = energy else {
            self.why = Why::NoEnergy;
            return None;
        };
        let GpuEnergy { quality, domain, .. } = *energy;
        if self.domain.is_some_and(|known| known != domain) {
            self.restart();
        }
        self.domain = Some(domain);
        self.quality = quality;
        self.is_integrated |= quality == Quality::Integrated;
        let value = energy.total.get();
        if value > LARGEST {
            self.why = Why::Doubtful(Doubt::Implausible);
            return None;
        }
        if value == 0 && self.nonzero {
            // Nothing is lost by leaving it out: after a reset the next values tell the same.
            self.why = Why::Doubtful(Doubt::Reset);
            return None;
        }
        self.nonzero |= value > 0;
        if let Some(limit) = limit.filter(|limit| limit.0.is_finite() && limit.0 > 0.0) {
            self.tracker.set_stated_max(Some(limit));
        }
        let outcome = self.tracker.observe(value, energy.range, at);
        let moved = self.tracker.total().is_some();
        self.why = match outcome {
            Outcome::First => Why::SecondReading,
            Outcome::Delta { .. } => Why::Counts,
            Outcome::Standing if self.tracker.is_stalled(at) => Why::Still,
            Outcome::Standing if moved => Why::Counts,
            Outcome::Standing => Why::NotMoving,
            Outcome::Unknown(doubt) => Why::Doubtful(doubt),
        };
        let Outcome::Delta { energy, since } = outcome else {
            return None;
        };
        let elapsed = at.saturating_sub(since);
        let after_gap = std::mem::take(&mut self.gap) || elapsed > GRACE;
        Some(GpuDelta { energy, elapsed, quality, domain, after_gap })
    }

    /// All energy that was ever booked.
    pub(super) fn total(&self) -> Option<Microjoules> {
        match (self.before, self.tracker.total()) {
            (Some(before), Some(counted)) => Some(before + counted),
            (before, counted) => before.or(counted),
        }
    }

    fn wraps(&self) -> u64 {
        self.wraps.saturating_add(self.tracker.wraps())
    }

    fn resets(&self) -> u64 {
        self.resets.saturating_add(self.tracker.resets())
    }

    /// Reports the meter of `device`; `down` is what is wrong with the device itself.
    pub(super) fn report(
        &mut self,
        meter: &'static str,
        device: &Arc<str>,
        down: Option<&Arc<str>>,
    ) -> MeterReport {
        let (quality, domain) = (self.quality, self.domain.unwrap_or(Domain::Gpu));
        let reason = match down {
            Some(reason) => Arc::clone(reason),
            None => {
                let text = self.why.text(quality);
                if *self.reason != *text {
                    self.reason = Arc::from(text);
                }
                Arc::clone(&self.reason)
            }
        };
        let up = down.is_none() && self.why.is_up();
        let energy = self.total();
        MeterReport {
            id: MeterId { meter, domain, device: Arc::clone(device) },
            quality,
            up,
            feeds: (up && energy.is_some()).then_some(Component::Gpu),
            reason,
            energy,
            wraps: self.wraps(),
            resets: self.resets(),
        }
    }
}

/// Joins two deltas of one tick, the earlier one first.
pub(super) fn join(earlier: Option<GpuDelta>, later: Option<GpuDelta>) -> Option<GpuDelta> {
    match (earlier, later) {
        (Some(earlier), Some(later)) => Some(GpuDelta {
            energy: earlier.energy + later.energy,
            elapsed: earlier.elapsed + later.elapsed,
            after_gap: earlier.after_gap || later.after_gap,
            ..later
        }),
        (earlier, later) => earlier.or(later),
    }
}

#[cfg(test)]
mod tests;
