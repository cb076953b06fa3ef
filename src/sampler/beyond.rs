//! What a meter shows beyond the parts that have meters of their own.

use std::time::Duration;

use crate::attribution::apportion::fraction;
use crate::units::Microjoules;

/// Two meters that are read in the same ticks may still differ by this much in the time that they speak of.
const SLACK: Duration = Duration::from_millis(500);

/// The parts of one meter since it last spoke.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Beyond {
    /// Energy of the parts, and the time that it was drawn in.
    parts: (Microjoules, Duration),
    /// By how much the parts have been above the meter, which readings of different instants can make happen.
    above: Microjoules,
}

impl Beyond {
    /// Takes in what the parts used in a tick.
    pub(super) fn add(&mut self, energy: Microjoules, elapsed: Duration) {
        self.parts.0 += energy;
        self.parts.1 = self.parts.1.saturating_add(elapsed);
    }

    /// Of what the meter shows for the time up to now, what isn't the parts'. Where they are above it, that much is
    /// taken off later, but at most `most` of it, given what they used.
    pub(super) fn rest(
        &mut self,
        energy: Microjoules,
        elapsed: Duration,
        most: impl FnOnce(Microjoules) -> Microjoules,
    ) -> Microjoules {
        let (used, time) = std::mem::take(&mut self.parts);
        let mut parts = used;
        // A meter that was away speaks of less time than the parts: only that much of theirs counts.
        if elapsed.saturating_add(SLACK) < time {
            let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            parts = fraction(parts, millis(elapsed), millis(time));
            self.above = Microjoules::ZERO;
        }
        parts += self.above;
        self.above = parts.saturating_sub(energy).min(most(used));
        energy.saturating_sub(parts)
    }
}
