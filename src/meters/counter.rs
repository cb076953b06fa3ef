//! Unwraps one hardware energy counter: wrap, reset, glitch, standstill, first reading.
//!
//! A counter shows its energy modulo a range and says nothing of how often it passed the end. What happened
//! between two readings is therefore judged by the mean power that each explanation would need: only an
//! interval with exactly one believable explanation is counted, everything else is unknown.

use std::time::Duration;

use crate::units::{Microjoules, Watts};

/// A counter that has not moved for this long is taken for dead: RAPL refreshes about every millisecond, and
/// no package or memory draws nothing.
pub const STALL_AFTER: Duration = Duration::from_secs(10);

/// No socket draws more than this unless it says so (`constraint_0_max_power_uw`) or was seen to.
const CEILING_UW: u64 = 1_000_000_000;
/// Bound while nothing is known of the meter, for an interval after a value that was doubted once already: a
/// meter of more than a socket may well draw more than a socket does, but less than a rack.
const FIRST_CEILING_UW: u64 = 50_000_000_000;
/// A zone may exceed its stated maximum for short times (turbo windows).
const STATED_FACTOR: u64 = 3;
/// Room above the highest mean power believed so far.
const BELIEVED_FACTOR: u64 = 2;
/// Readings closer together than this are judged as if they were this far apart: counters move in steps.
const SHORTEST: Duration = Duration::from_millis(1);

/// Why an interval can't be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Doubt {
    /// A counter without an end went backwards.
    Reset,
    /// So much time passed that the counter may have passed its end once more, or once less.
    Ambiguous,
    /// Every explanation needs more power than is believable.
    Implausible,
    /// The value is above the counter's own range.
    OutOfRange,
}

/// What one reading of a counter tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The first reading: a base for later ones.
    First,
    /// Energy since an earlier reading.
    Delta {
        /// How much.
        energy: Microjoules,
        /// When the interval began, on the clock given to [`CounterTracker::observe`].
        since: Duration,
    },
    /// The same value as before.
    Standing,
    /// Nothing can be said of this interval.
    Unknown(Doubt),
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    value: u64,
    at: Duration,
}

enum Judgement {
    Believed { energy: u64, wrapped: bool },
    Ambiguous,
    Implausible(Doubt),
}

/// Turns the readings of one counter into a total that never falls.
#[derive(Clone, Debug, Default)]
pub struct CounterTracker {
    stated_max_uw: Option<u64>,
    base: Option<Mark>,
    suspect: Option<Mark>,
    still_since: Option<Mark>,
    believed_uw: Option<u64>,
    from_zero: bool,
    /// Whether the base was reached by a jump that nobody could believe, so that a fall from it is no reset.
    jumped: bool,
    total: Option<Microjoules>,
    wraps: u64,
    resets: u64,
}

impl CounterTracker {
    /// A tracker for a counter whose driver states this maximum power, if any (`constraint_0_max_power_uw`).
    pub fn new(stated_max: Option<Watts>) -> Self {
        let mut tracker = Self::default();
        tracker.set_stated_max(stated_max);
        tracker
    }

    /// The same for a counter that starts at zero when its driver does (NVML's, the kernel's software counters):
    /// what it shows after a reset was drawn since the last reading before, and is counted once the next reading
    /// confirms the reset, if the stated or believed power allows as much in that time.
    #[must_use]
    pub fn counting_from_zero(mut self) -> Self {
        self.from_zero = true;
        self
    }

    /// Replaces the stated maximum power.
    pub fn set_stated_max(&mut self, stated_max: Option<Watts>) {
        self.stated_max_uw = stated_max.map(|watts| crate::units::floor_to_u64(watts.0 * 1e6));
    }

    /// Takes one reading. `range` is `max_energy_range_uj`, the modulus of a wrap by the kernel's powercap
    /// documentation; `None` for a counter of 64 bits. `now` counts from any origin and includes suspend.
    pub fn observe(&mut self, value: u64, range: Option<u64>, now: Duration) -> Outcome {
        let range = range.filter(|range| *range > 0);
        if range.is_some_and(|range| value > range) {
            return Outcome::Unknown(Doubt::OutOfRange);
        }
        let mark = Mark { value, at: now };
        if self.still_since.is_none_or(|still| still.value != value) {
            self.still_since = Some(mark);
        }
        let Some(base) = self.base else {
            self.base = Some(mark);
            return Outcome::First;
        };
        let doubt = match self.judge(base, mark, range, false) {
            Judgement::Believed { energy, wrapped } => return self.believe(base, mark, energy, wrapped),
            Judgement::Ambiguous => {
                self.rebase(mark);
                return Outcome::Unknown(Doubt::Ambiguous);
            }
            Judgement::Implausible(doubt) => doubt,
        };
        // Either this value or the base is wrong; the next reading shows which.
        if let Some(suspect) = self.suspect
            && let Judgement::Believed { energy, wrapped } = self.judge(suspect, mark, range, true)
        {
            let start = self.new_zero(base, suspect).filter(|_| !wrapped).unwrap_or(suspect);
            let more = suspect.value.saturating_sub(start.value);
            self.jumped = suspect.value > base.value;
            self.rebase(suspect);
            return self.believe(start, mark, energy.saturating_add(more), wrapped);
        }
        self.suspect = Some(mark);
        Outcome::Unknown(doubt)
    }

    /// Where the counter must have begun anew between two readings, if it starts at zero and can have come this
    /// far since. A small step back is no new beginning: it may be noise.
    fn new_zero(&self, base: Mark, after: Mark) -> Option<Mark> {
        let power = self.stated_max_uw.or(self.believed_uw)?;
        let fits = u128::from(after.value) <= energy_uj(power, elapsed(base, after));
        let fell = after.value < base.value / 2 && !self.jumped;
        (self.from_zero && fell && fits).then_some(Mark { value: 0, at: base.at })
    }

    fn rebase(&mut self, mark: Mark) {
        self.base = Some(mark);
        self.suspect = None;
        self.resets = self.resets.saturating_add(1);
    }

    fn believe(&mut self, from: Mark, to: Mark, energy: u64, wrapped: bool) -> Outcome {
        self.suspect = None;
        self.wraps = self.wraps.saturating_add(u64::from(wrapped));
        if energy == 0 {
            // The base keeps its time: what the counter shows later was drawn since it last moved. (Its value
            // may differ: the end of the range and 0 are the same point.)
            self.base = Some(Mark { value: to.value, at: from.at });
            return Outcome::Standing;
        }
        *self.total.get_or_insert(Microjoules::ZERO) += Microjoules::new(energy);
        let mean = mean_uw(energy, elapsed(from, to));
        self.believed_uw = Some(self.believed_uw.map_or(mean, |highest| highest.max(mean)));
        self.base = Some(to);
        Outcome::Delta { energy: Microjoules::new(energy), since: from.at }
    }

    fn judge(&self, from: Mark, to: Mark, range: Option<u64>, confirmed: bool) -> Judgement {
        let elapsed = elapsed(from, to);
        let usual = energy_uj(self.ceiling_uw(), elapsed);
        let limit = match self.believed_uw {
            None if confirmed => energy_uj(FIRST_CEILING_UW, elapsed).max(usual),
            _ => usual,
        };
        let (energy, wrapped) = match (to.value.checked_sub(from.value), range) {
            (Some(forward), _) => (forward, false),
            // Both values are within the range, so this neither overflows nor goes below zero.
            (None, Some(range)) => (range.saturating_sub(from.value).saturating_add(to.value), true),
            (None, None) => return Judgement::Implausible(Doubt::Reset),
        };
        if u128::from(energy) > limit {
            return Judgement::Implausible(Doubt::Implausible);
        }
        if let Some(range) = range {
            if wrapped && self.believed_uw.is_none() && energy > range / 2 {
                return Judgement::Implausible(Doubt::Implausible);
            }
            if u128::from(energy) + u128::from(range) <= usual {
                return Judgement::Ambiguous;
            }
        }
        Judgement::Believed { energy, wrapped }
    }

    fn ceiling_uw(&self) -> u64 {
        let stated = self.stated_max_uw.unwrap_or(0).saturating_mul(STATED_FACTOR);
        let believed = self.believed_uw.unwrap_or(0).saturating_mul(BELIEVED_FACTOR);
        CEILING_UW.max(stated).max(believed)
    }

    /// Whether the value has not changed for [`STALL_AFTER`] or longer.
    pub fn is_stalled(&self, now: Duration) -> bool {
        self.still_since.is_some_and(|still| now.saturating_sub(still.at) >= STALL_AFTER)
    }

    /// All energy counted; absent until the counter first moved.
    pub fn total(&self) -> Option<Microjoules> {
        self.total
    }

    /// How often the counter passed its end.
    pub fn wraps(&self) -> u64 {
        self.wraps
    }

    /// How often an interval had to be left out: resets, and gaps longer than the wrap period.
    pub fn resets(&self) -> u64 {
        self.resets
    }
}

fn elapsed(from: Mark, to: Mark) -> Duration {
    to.at.saturating_sub(from.at).max(SHORTEST)
}

fn energy_uj(power_uw: u64, elapsed: Duration) -> u128 {
    u128::from(power_uw).saturating_mul(elapsed.as_nanos()) / 1_000_000_000
}

fn mean_uw(energy_uj: u64, elapsed: Duration) -> u64 {
    let mean = u128::from(energy_uj) * 1_000_000_000 / elapsed.as_nanos().max(1);
    u64::try_from(mean).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
