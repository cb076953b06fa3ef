//! Reads the system's clocks.

use std::time::Duration;

use nix::time::ClockId;

use crate::meters::Tick;

/// A clock that the system doesn't have.
#[derive(Debug, thiserror::Error)]
#[error("clock {name}: {source}")]
pub struct ClockError {
    name: &'static str,
    source: nix::Error,
}

/// The system's clocks (clock_gettime(2)).
#[derive(Clone, Copy, Debug)]
pub struct Clock(());

impl Clock {
    /// The clocks, after a look that they work.
    ///
    /// # Errors
    /// One of them can't be read; no Linux that this runs on is known to lack them.
    pub fn new() -> Result<Self, ClockError> {
        for (name, id) in [
            ("CLOCK_MONOTONIC", ClockId::CLOCK_MONOTONIC),
            ("CLOCK_BOOTTIME", ClockId::CLOCK_BOOTTIME),
            ("CLOCK_REALTIME", ClockId::CLOCK_REALTIME),
        ] {
            id.now().map_err(|source| ClockError { name, source })?;
        }
        Ok(Self(()))
    }

    /// Now, without and with the time that the machine was suspended.
    pub fn now(self) -> Tick {
        Tick { monotonic: read(ClockId::CLOCK_MONOTONIC), boottime: read(ClockId::CLOCK_BOOTTIME) }
    }

    /// Time since the Unix epoch.
    pub fn unix(self) -> Duration {
        read(ClockId::CLOCK_REALTIME)
    }
}

fn read(id: ClockId) -> Duration {
    // That the clocks work was seen in `Clock::new`.
    id.now().map_or(Duration::ZERO, Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_run_forward() {
        let clock = Clock::new().unwrap();
        let (first, second) = (clock.now(), clock.now());
        assert!(second.monotonic >= first.monotonic);
        assert!(second.boottime >= second.monotonic.saturating_sub(Duration::from_secs(1)));
        assert!(clock.unix() > Duration::from_secs(1_700_000_000));
    }
}
