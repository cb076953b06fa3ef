//! The two clocks: one to reckon by, one that the driver stamps its samples with.

use nix::time::{ClockId, clock_gettime};

/// Nanoseconds of `CLOCK_MONOTONIC`, which all processes of a system share: what every `_ns` of a scenario means.
pub fn monotonic_ns() -> u64 {
    nanoseconds(ClockId::CLOCK_MONOTONIC)
}

/// One moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// `CLOCK_MONOTONIC`.
    pub(crate) ns: u64,
    /// Microseconds since 1970, as NVML's timestamps are.
    pub(crate) wall_us: u64,
}

impl Moment {
    pub(crate) fn now() -> Self {
        Self { ns: monotonic_ns(), wall_us: nanoseconds(ClockId::CLOCK_REALTIME) / 1000 }
    }

    /// The monotonic time of a wall-clock time; 0 where it lies before the machine's start.
    pub(crate) fn ns_of_wall(self, wall_us: u64) -> u64 {
        if wall_us > self.wall_us {
            self.ns.saturating_add((wall_us - self.wall_us).saturating_mul(1000))
        } else {
            self.ns.saturating_sub((self.wall_us - wall_us).saturating_mul(1000))
        }
    }
}

fn nanoseconds(clock: ClockId) -> u64 {
    let time = clock_gettime(clock).map_or(std::time::Duration::ZERO, std::time::Duration::from);
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
