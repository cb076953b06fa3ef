//! Newtypes for every physical quantity that crosses a room: no bare `f64` joules.
//!
//! Energy is an integer ([`Microjoules`]) because conservation is exact; rates and masses are floats
//! inside their newtype, because nothing is split by them.

use std::iter::Sum;
use std::ops::{Add, AddAssign};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Energy in microjoules, the unit of the kernel's powercap `energy_uj`. Sums saturate instead of wrapping;
/// `u64` holds 18 TJ, five centuries of a 1 kW node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Microjoules(u64);

impl Microjoules {
    /// No energy.
    pub const ZERO: Self = Self(0);
    /// The most that can be counted.
    pub const MAX: Self = Self(u64::MAX);

    /// Wraps a count of microjoules.
    pub const fn new(microjoules: u64) -> Self {
        Self(microjoules)
    }

    /// The count of microjoules.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The same energy in joules, for export only.
    #[allow(clippy::cast_precision_loss)]
    pub fn as_joules(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// Whether this is no energy at all.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The difference, or zero where `other` is larger.
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// The mean power over `elapsed`, or `None` where no time passed.
    pub fn over(self, elapsed: Duration) -> Option<Watts> {
        let seconds = elapsed.as_secs_f64();
        (seconds > 0.0).then(|| Watts(self.as_joules() / seconds))
    }
}

impl Add for Microjoules {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Microjoules {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Microjoules {
    fn sum<I: Iterator<Item = Self>>(items: I) -> Self {
        items.fold(Self::ZERO, Add::add)
    }
}

/// Power in watts; finite, and not negative where it comes from a meter.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Watts(pub f64);

impl Watts {
    /// The energy of this power over `elapsed`, rounded down to a microjoule; zero for a power that is
    /// negative or not finite.
    pub fn times(self, elapsed: Duration) -> Microjoules {
        Microjoules(floor_to_u64(self.0 * elapsed.as_secs_f64() * 1e6))
    }

    /// This power scaled by a ratio.
    pub fn scaled(self, ratio: f64) -> Self {
        Self(self.0 * ratio)
    }
}

impl Add for Watts {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

/// Mass of CO2 equivalent in grams.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Grams(pub f64);

impl AddAssign for Grams {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

/// Mass of CO2 equivalent in kilograms, the unit of figures for making hardware.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Kilograms(pub f64);

impl Kilograms {
    /// The same mass in grams.
    pub fn in_grams(self) -> Grams {
        Grams(self.0 * 1e3)
    }
}

/// Carbon intensity of electricity in grams of CO2 equivalent per kilowatt-hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GramsPerKwh(pub f64);

impl GramsPerKwh {
    /// Microjoules in one kilowatt-hour (3.6 MJ, exact by definition).
    pub const MICROJOULES_PER_KWH: f64 = 3.6e12;

    /// The emissions of `energy` at this intensity, with the facility's overhead `pue` on top.
    #[allow(clippy::cast_precision_loss)]
    pub fn emissions(self, energy: Microjoules, pue: Pue) -> Grams {
        Grams(energy.get() as f64 / Self::MICROJOULES_PER_KWH * self.0 * pue.0)
    }
}

/// Volume of water in litres.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Litres(pub f64);

impl AddAssign for Litres {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

/// Water usage effectiveness (ISO/IEC 30134-9): litres of water that the site uses for each kilowatt-hour of IT
/// energy.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LitresPerKwh(pub f64);

impl LitresPerKwh {
    /// The water for `energy`.
    #[allow(clippy::cast_precision_loss)]
    pub fn water(self, energy: Microjoules) -> Litres {
        Litres(energy.get() as f64 / GramsPerKwh::MICROJOULES_PER_KWH * self.0)
    }
}

/// A moment of wall-clock time, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixTime(u64);

impl UnixTime {
    /// Later than any other.
    pub const MAX: Self = Self(u64::MAX);

    /// Wraps a count of milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Wraps a count of seconds.
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000))
    }

    /// The moment this long after the epoch.
    pub fn since_epoch(time: Duration) -> Self {
        Self(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }

    /// The count of milliseconds.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Seconds since the epoch, for export only.
    #[allow(clippy::cast_precision_loss)]
    pub fn as_seconds(self) -> f64 {
        self.0 as f64 / 1e3
    }

    /// The time since `earlier`, or zero where that is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// This long after.
    pub fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(Self::since_epoch(time).0))
    }

    /// This long before.
    pub fn before(self, time: Duration) -> Self {
        Self(self.0.saturating_sub(Self::since_epoch(time).0))
    }
}

/// Power usage effectiveness (ISO/IEC 30134-2): facility energy over IT energy, 1.0 or more.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pue(pub f64);

/// A memory size in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

/// CPU time in nanoseconds, the resolution of the scheduler's own accounting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CpuTime(u64);

impl CpuTime {
    /// No CPU time.
    pub const ZERO: Self = Self(0);

    /// Wraps a count of nanoseconds.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Converts microseconds, as `cpu.stat` counts them.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros.saturating_mul(1_000))
    }

    /// The count of nanoseconds.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The same time in seconds, for export only.
    #[allow(clippy::cast_precision_loss)]
    pub fn as_seconds(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// The difference, or zero where `other` is larger.
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Add for CpuTime {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for CpuTime {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for CpuTime {
    fn sum<I: Iterator<Item = Self>>(items: I) -> Self {
        items.fold(Self::ZERO, Add::add)
    }
}

/// The floor of `value` as an integer: zero for a negative or NaN, saturating at the top.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub fn floor_to_u64(value: f64) -> u64 {
    // `as` saturates and maps NaN to 0, by the language reference.
    value as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kilowatt_hour_at_475_g_is_475_g() {
        let kwh = Microjoules::new(3_600_000_000_000);
        assert!((GramsPerKwh(475.0).emissions(kwh, Pue(1.0)).0 - 475.0).abs() < 1e-9);
        assert!((GramsPerKwh(475.0).emissions(kwh, Pue(1.5)).0 - 712.5).abs() < 1e-9);
    }

    #[test]
    fn watts_over_time_round_down_and_never_go_negative() {
        assert_eq!(Watts(1.5).times(Duration::from_secs(2)), Microjoules::new(3_000_000));
        assert_eq!(Watts(-4.0).times(Duration::from_secs(2)), Microjoules::ZERO);
        assert_eq!(Watts(f64::NAN).times(Duration::from_secs(2)), Microjoules::ZERO);
    }

    #[test]
    fn sums_saturate() {
        assert_eq!(Microjoules::new(u64::MAX) + Microjoules::new(1), Microjoules::new(u64::MAX));
    }

    #[test]
    fn power_needs_time() {
        assert_eq!(Microjoules::new(5).over(Duration::ZERO), None);
        assert_eq!(Microjoules::new(2_000_000).over(Duration::from_secs(2)), Some(Watts(1.0)));
    }
}
