//! What the answers must be: the library and its tests reckon with the same functions.

use crate::scenario::{Device, Module, Process, Segment};

impl Device {
    /// Energy in mJ that it has drawn by this moment, with what it began with, whatever its counter shows.
    pub fn energy_mj_at(&self, ns: u64) -> u64 {
        self.energy_base_mj.saturating_add(millijoules(charge(&self.power, 0, ns)))
    }

    /// What its counter shows at this moment: the energy as of its last step, since its last reset.
    pub fn counter_mj_at(&self, ns: u64) -> u64 {
        let stepped = step(ns, self.counter_period_ns);
        match self.counter_resets_ns.iter().copied().filter(|&reset| reset <= ns).max() {
            None => self.energy_mj_at(stepped),
            Some(reset) => millijoules(charge(&self.power, reset, stepped)),
        }
    }

    /// Its power in mW at this moment.
    pub fn milliwatts_at(&self, ns: u64) -> u64 {
        milliwatts_at(&self.power, ns)
    }

    /// Its mean power in mW over a span.
    pub fn mean_milliwatts(&self, from_ns: u64, to_ns: u64) -> u64 {
        mean(&self.power, from_ns, to_ns)
    }
}

impl Module {
    /// What its counter shows; it moves with the device's.
    pub fn counter_mj_at(&self, ns: u64, period_ns: u64) -> u64 {
        self.energy_base_mj.saturating_add(millijoules(charge(&self.power, 0, step(ns, period_ns))))
    }

    /// Its power in mW at this moment.
    pub fn milliwatts_at(&self, ns: u64) -> u64 {
        milliwatts_at(&self.power, ns)
    }

    /// Its mean power in mW over a span.
    pub fn mean_milliwatts(&self, from_ns: u64, to_ns: u64) -> u64 {
        mean(&self.power, from_ns, to_ns)
    }
}

impl Process {
    /// Whether it is there at this moment.
    pub fn alive_at(&self, ns: u64) -> bool {
        self.from_ns <= ns && self.until_ns.is_none_or(|until| ns < until)
    }

    /// Nanoseconds of a span in which it was there.
    pub fn presence(&self, from_ns: u64, to_ns: u64) -> u64 {
        let end = self.until_ns.map_or(to_ns, |until| until.min(to_ns));
        end.saturating_sub(self.from_ns.max(from_ns))
    }
}

/// The last step of a counter that moves every `period_ns`.
fn step(ns: u64, period_ns: u64) -> u64 {
    ns - ns.checked_rem(period_ns).unwrap_or(0)
}

fn milliwatts_at(power: &[Segment], ns: u64) -> u64 {
    power.iter().rev().find(|segment| segment.from_ns <= ns).map_or(0, |segment| milliwatts(segment.watts))
}

fn mean(power: &[Segment], from_ns: u64, to_ns: u64) -> u64 {
    let span = u128::from(to_ns.saturating_sub(from_ns));
    match charge(power, from_ns, to_ns).checked_div(span) {
        Some(mean) => u64::try_from(mean).unwrap_or(u64::MAX),
        None => milliwatts_at(power, to_ns),
    }
}

/// Milliwatts times nanoseconds in a span.
fn charge(power: &[Segment], from_ns: u64, to_ns: u64) -> u128 {
    let ends = power.iter().skip(1).map(|segment| segment.from_ns).chain([u64::MAX]);
    power
        .iter()
        .zip(ends)
        .map(|(segment, end)| {
            let span = end.min(to_ns).saturating_sub(segment.from_ns.max(from_ns));
            u128::from(milliwatts(segment.watts)) * u128::from(span)
        })
        .sum()
}

fn millijoules(charge: u128) -> u64 {
    u64::try_from(charge / 1_000_000_000).unwrap_or(u64::MAX)
}

/// Whole milliwatts; negative and absurd values become the nearest that there is.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, which is what is wanted"
)]
pub(crate) fn milliwatts(watts: f64) -> u64 {
    (watts * 1000.0).round() as u64
}
