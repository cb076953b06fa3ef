//! Remembers for one device which calls are of no use, so that they aren't made in every tick.

use std::time::Duration;

use nvml_wrapper::error::NvmlError;

use crate::gpu::DeviceFailure;
use crate::gpu::nvml::errors::{Fault, Why};

/// When a call that is off is tried again: rights and modes change while the driver runs.
const TRY_AGAIN: Duration = Duration::from_secs(600);
/// In so many ticks in a row a call must fail before it is left alone for a while.
const FAILURES: u32 = 3;
/// How often a list is asked for anew that outgrew its buffer.
const RETRIES: usize = 3;

/// One call on one device: on until an error says that it is of no use.
#[derive(Debug, Default)]
pub(super) struct Latch {
    off: Option<(Why, Duration)>,
    /// In how many ticks in a row it failed, and in which last.
    failures: u32,
    failed: Option<Duration>,
}

impl Latch {
    /// Why the call is off.
    pub(super) fn why(&self) -> Option<Why> {
        self.off.map(|(why, _)| why)
    }

    /// Switches the call off at `at`.
    pub(super) fn turn_off(&mut self, why: Why, at: Duration) {
        self.off = Some((why, at));
        (self.failures, self.failed) = (0, None);
    }

    /// Counts a fault that may pass; several in one tick count once. Says whether the call is off by now: after
    /// three ticks in a row, or at once where it was off and was only tried again.
    pub(super) fn count_failure(&mut self, at: Duration) -> bool {
        if self.failed != Some(at) {
            self.failed = Some(at);
            self.failures = self.failures.saturating_add(1);
        }
        if self.off.is_some() || self.failures >= FAILURES {
            self.turn_off(Why::Failing, at);
        }
        self.off.is_some()
    }

    fn is_due(&self, at: Duration) -> bool {
        self.off.is_none_or(|(_, since)| at.saturating_sub(since) >= TRY_AGAIN)
    }

    /// Makes the call. None where it is off, or was switched off by its answer; else its fault.
    pub(super) fn attempt<T>(
        &mut self,
        at: Duration,
        call: impl FnOnce() -> Result<T, NvmlError>,
    ) -> Result<Option<T>, Fault> {
        if !self.is_due(at) {
            return Ok(None);
        }
        match call().map_err(|error| Fault::of(&error)) {
            Ok(value) => {
                *self = Self::default();
                Ok(Some(value))
            }
            Err(Fault::Off(why)) => {
                self.turn_off(why, at);
                Ok(None)
            }
            Err(fault) => Err(fault),
        }
    }

    /// Makes a call that a reading can do without: none where it gives nothing in this tick. One that fails in three
    /// ticks in a row is switched off.
    pub(super) fn ask<T>(
        &mut self,
        at: Duration,
        call: impl FnOnce() -> Result<T, NvmlError>,
    ) -> Result<Option<T>, DeviceFailure> {
        match self.attempt(at, call) {
            Err(fault) if fault.is_fatal() => Err(fault.failure()),
            Err(_) => {
                self.count_failure(at);
                Ok(None)
            }
            Ok(answer) => Ok(answer),
        }
    }

    /// Makes a call in whose place another may come for good, but not for a tick: a fault that may pass fails the
    /// reading, until three ticks in a row switch the call off.
    pub(super) fn prefer<T>(
        &mut self,
        at: Duration,
        call: impl FnOnce() -> Result<T, NvmlError>,
    ) -> Result<Option<T>, DeviceFailure> {
        match self.attempt(at, call) {
            Err(fault) if !fault.is_fatal() && self.count_failure(at) => Ok(None),
            answer => answer.map_err(Fault::failure),
        }
    }

    /// Makes a call that a reading can't do without: none only where it is off.
    pub(super) fn need<T>(
        &mut self,
        at: Duration,
        call: impl FnOnce() -> Result<T, NvmlError>,
    ) -> Result<Option<T>, DeviceFailure> {
        self.attempt(at, call).map_err(Fault::failure)
    }
}

/// Asks for a list, again where it grew between the question for its size and the answer.
pub(super) fn again<T>(mut call: impl FnMut() -> Result<Vec<T>, NvmlError>) -> Result<Vec<T>, NvmlError> {
    for _ in 0..RETRIES {
        match call() {
            Err(NvmlError::InsufficientSize(_)) => {}
            answer => return answer,
        }
    }
    call()
}

/// The same for lists of which "not found" means that they are empty.
pub(super) fn list<T>(call: impl FnMut() -> Result<Vec<T>, NvmlError>) -> Result<Vec<T>, NvmlError> {
    match again(call) {
        Err(NvmlError::NotFound | NvmlError::NoData) => Ok(Vec::new()),
        answer => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::Consequence;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_unsupported_call_rests_for_ten_minutes() {
        let mut latch = Latch::default();
        let mut calls = 0;
        for second in 0..=1_200 {
            let answer = latch.ask(seconds(second), || {
                calls += 1;
                if second < 1_200 { Err(NvmlError::NotSupported) } else { Ok(7) }
            });
            assert_eq!(answer, Ok((second == 1_200).then_some(7)));
        }
        assert_eq!(calls, 3);
        assert_eq!(latch.why(), None);
    }

    #[test]
    fn an_optional_call_that_fails_in_three_ticks_in_a_row_rests_for_ten_minutes() {
        for error in [|| NvmlError::Timeout, || NvmlError::UnexpectedVariant(27), || NvmlError::Unknown] {
            let mut latch = Latch::default();
            let mut calls = 0;
            for second in 0..=1_204 {
                let is_well = second == 2;
                let answer = latch.ask(seconds(second), || {
                    calls += 1;
                    if is_well { Ok(7) } else { Err(error()) }
                });
                assert_eq!(answer, Ok(is_well.then_some(7)));
                let expected = (second >= 5).then_some(Why::Failing);
                assert_eq!(latch.why(), expected, "{second}");
            }
            // Six calls, and one after ten minutes: one failure is enough then.
            assert_eq!(calls, 7);
            assert_eq!(latch.ask(seconds(1_205), || Ok(7)), Ok(Some(7)));
            assert_eq!(latch.why(), None);
        }
    }

    #[test]
    fn failures_in_one_tick_count_once() {
        let mut latch = Latch::default();
        for _ in 0..9 {
            assert_eq!(latch.ask::<u32>(seconds(1), || Err(NvmlError::Unknown)), Ok(None));
        }
        assert_eq!(latch.why(), None);
    }

    #[test]
    fn a_passing_error_switches_nothing_off() {
        let mut latch = Latch::default();
        assert_eq!(latch.ask::<u32>(seconds(0), || Err(NvmlError::Unknown)), Ok(None));
        let failure = latch.need::<u32>(seconds(0), || Err(NvmlError::Timeout)).unwrap_err();
        assert_eq!(failure.consequence, Consequence::Transient);
        assert_eq!(latch.need(seconds(0), || Ok(1)), Ok(Some(1)));
    }

    #[test]
    fn what_ends_the_device_ends_every_call() {
        let mut latch = Latch::default();
        for (code, consequence) in [(15, Consequence::Lost), (1, Consequence::Reinitialise)] {
            let failure = latch.ask::<u32>(seconds(0), || Err(NvmlError::from(code))).unwrap_err();
            assert_eq!(failure.consequence, consequence);
        }
    }

    #[test]
    fn a_list_that_grows_is_asked_for_four_times() {
        for (growing, calls_expected) in [(0, 1), (3, 4), (9, 4)] {
            let mut calls = 0;
            let answer = list(|| {
                calls += 1;
                if calls <= growing { Err(NvmlError::InsufficientSize(None)) } else { Ok(vec![1]) }
            });
            assert_eq!((answer.is_ok(), calls), (growing <= 3, calls_expected));
        }
        assert_eq!(list::<u32>(|| Err(NvmlError::NotFound)).ok(), Some(Vec::new()));
    }
}
