//! One device: its worker, what it said last, and when it is looked for.

use std::sync::Arc;
use std::time::Duration;

use crate::gpu::bank::energy::{Energy, join};
use crate::gpu::worker::Worker;
use crate::gpu::{Consequence, DeviceFailure, DeviceReading, DeviceTick, GpuDelta, GpuIdentity, Tick};
use crate::meters::GRACE;

/// A device that is down is looked for after this time, then after twice as long each time.
const SEARCH_FIRST: Duration = Duration::from_secs(10);
/// But at least as often as this.
const SEARCH_LAST: Duration = Duration::from_secs(60);
/// So many failures in a row that may pass are taken for the driver's.
const TRANSIENTS: u8 = 3;

/// Why a device is down whose worker hasn't returned from a call.
const HANGS: &str = "call hangs";
/// After so many readings a meter that works has shown energy.
const ENOUGH: u8 = 3;
/// Why a device is down that waits for its library.
const RENEWED: &str = "driver is initialised anew";
/// Why a device is down that has a new worker.
const STARTING: &str = "waiting for a first reading";

/// What an answer means for the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing.
    None,
    /// It must be initialised anew.
    Anew,
}

#[derive(Debug)]
pub(super) struct Device {
    /// The place of its backend.
    pub(super) backend: usize,
    name: &'static str,
    pub(super) identity: Arc<GpuIdentity>,
    pub(super) worker: Option<Worker>,
    /// When the request was sent that is unanswered.
    asked: Option<Duration>,
    /// Whether that was in this tick.
    fresh: bool,
    /// Whether the request has been unanswered for the deadline.
    stuck: bool,
    /// Readings that failed.
    errors: u64,
    /// Readings so far, as far as that matters.
    readings: u8,
    /// Why it is down.
    down: Option<Arc<str>>,
    transients: u8,
    /// When it is looked for, if it is.
    search_at: Option<Duration>,
    search_wait: Duration,
    /// Since when it waits for a reader from a library that is initialised anew.
    renewed_since: Option<Duration>,
    /// When a search first told that it isn't there.
    gone_since: Option<Duration>,
    energy: Energy,
    delta: Option<GpuDelta>,
    reading: Option<DeviceReading>,
    empty: Arc<str>,
}

impl Device {
    pub(super) fn new(backend: usize, name: &'static str, identity: GpuIdentity) -> Self {
        Self {
            backend,
            name,
            identity: Arc::new(identity),
            worker: None,
            asked: None,
            fresh: false,
            stuck: false,
            down: Some(Arc::from(STARTING)),
            errors: 0,
            readings: 0,
            transients: 0,
            search_at: None,
            search_wait: SEARCH_FIRST,
            renewed_since: None,
            gone_since: None,
            energy: Energy::default(),
            delta: None,
            reading: None,
            empty: Arc::from(""),
        }
    }

    /// Whether a worker answers for it, or may yet in time.
    pub(super) const fn is_served(&self) -> bool {
        self.worker.is_some() && !self.stuck
    }

    /// Whether its worker hasn't answered for the deadline.
    pub(super) const fn is_stuck(&self) -> bool {
        self.stuck
    }

    /// Whether its last answer was a reading.
    pub(super) const fn is_up(&self) -> bool {
        self.down.is_none()
    }

    pub(super) const fn down(&self) -> Option<&Arc<str>> {
        self.down.as_ref()
    }

    /// Takes its names from a search that found it.
    pub(super) fn identify(&mut self, identity: GpuIdentity) {
        self.gone_since = None;
        if *self.identity != identity {
            self.identity = Arc::new(identity);
        }
    }

    /// Notes that a search told that it isn't there.
    pub(super) fn note_gone(&mut self, now: Duration) {
        self.gone_since.get_or_insert(now);
    }

    /// Whether searches haven't found it for so long, and nothing of it is left to tell.
    pub(super) fn is_gone_for(&self, time: Duration, now: Duration) -> bool {
        let is_gone = self.gone_since.is_some_and(|since| now.saturating_sub(since) >= time);
        is_gone && self.worker.is_none() && self.delta.is_none()
    }

    /// Puts a new worker to work; the one before must have been taken.
    pub(super) fn install(&mut self, worker: Worker) {
        self.worker = Some(worker);
        self.renewed_since = None;
        self.transients = 0;
        self.energy.change_reader();
    }

    /// Notes that its worker was taken, so that the library can be initialised anew. Until the deadline it is no
    /// worse than a device that is late.
    pub(super) fn renew(&mut self, now: Duration) {
        self.renewed_since = Some(now);
    }

    /// Whether its worker was taken to initialise the library anew.
    pub(super) const fn is_renewed(&self) -> bool {
        self.renewed_since.is_some() && self.worker.is_none()
    }

    /// Takes its worker away.
    pub(super) fn take_worker(&mut self) -> Option<Worker> {
        self.renewed_since = None;
        self.asked = None;
        self.fresh = false;
        self.stuck = false;
        self.worker.take()
    }

    /// Marks it down. The time until it is up again is a gap.
    pub(super) fn fall(&mut self, reason: &str) {
        self.energy.interrupt();
        self.blame(reason);
    }

    /// Marks it down as its worker can't read it any more, which is an error.
    pub(super) fn lose(&mut self, reason: &str) {
        self.count_error();
        self.fall(reason);
    }

    const fn count_error(&mut self) {
        self.errors = self.errors.saturating_add(1);
    }

    /// Replaces the reason why it is down.
    pub(super) fn blame(&mut self, reason: &str) {
        if self.down.as_deref() != Some(reason) {
            self.down = Some(Arc::from(reason));
        }
    }

    /// Has it looked for, if it isn't already.
    pub(super) fn schedule(&mut self, now: Duration) {
        if self.search_at.is_none() {
            self.search_at = Some(now + self.search_wait);
            self.search_wait = (self.search_wait * 2).min(SEARCH_LAST);
        }
    }

    /// Forgets what was planned for when it is down.
    pub(super) fn unschedule(&mut self) {
        self.search_at = None;
        self.search_wait = SEARCH_FIRST;
    }

    pub(super) fn is_search_due(&self, now: Duration) -> bool {
        self.search_at.is_some_and(|at| at <= now)
    }

    /// Whether it had time to show its energy, or can't for now.
    pub(super) fn is_settled(&self) -> bool {
        self.readings >= ENOUGH || self.down.as_ref().is_some_and(|why| **why != *STARTING)
    }

    /// Notes that a search begins.
    pub(super) fn begin_search(&mut self, now: Duration) {
        if self.is_search_due(now) {
            self.search_at = None;
            self.schedule(now);
        }
    }

    /// Asks its worker for a reading, if that has none to give already. False if the thread is gone.
    pub(super) fn ask(&mut self, now: Duration) -> bool {
        let Some(worker) = self.worker.as_ref().filter(|_| self.asked.is_none()) else {
            return true;
        };
        let sent = worker.ask();
        if sent {
            self.asked = Some(now);
            self.fresh = true;
        }
        sent
    }

    /// Whether it was asked in this tick, hasn't answered, and has no earlier answer for this tick either.
    pub(super) const fn is_awaited(&self) -> bool {
        self.fresh && self.asked.is_some() && self.reading.is_none()
    }

    /// Whether a request is unanswered.
    #[cfg(test)]
    pub(super) const fn is_asked(&self) -> bool {
        self.asked.is_some()
    }

    /// Marks it down if it has been silent for the deadline. One that is slow, but has an answer for this tick, isn't
    /// silent.
    pub(super) fn judge(&mut self, now: Duration, deadline: Duration) {
        if self.is_up() && self.renewed_since.is_some_and(|since| now.saturating_sub(since) >= deadline) {
            self.blame(RENEWED);
        }
        let Some(asked) = self.asked.filter(|_| !self.stuck && self.reading.is_none()) else {
            return;
        };
        if now.saturating_sub(asked) >= deadline {
            self.stuck = true;
            self.count_error();
            // If it answers soon, nothing is missing: how long it was away is told by its energy.
            self.blame(HANGS);
            self.schedule(now);
        }
    }

    /// Takes its worker's answer. A slow one counts like any other; one that comes after [`GRACE`] tells the energy, but
    /// no longer who uses the device.
    pub(super) fn take(&mut self, returned: Tick, result: Result<DeviceReading, DeviceFailure>) -> Effect {
        let asked = self.asked.take().unwrap_or(returned.monotonic);
        let was_stuck = std::mem::take(&mut self.stuck);
        let late = returned.monotonic.saturating_sub(asked) >= GRACE;
        if late {
            self.fall(HANGS);
        }
        // A hang that was noticed is counted already.
        if !was_stuck && (late || result.is_err()) {
            self.count_error();
        }
        match result {
            Ok(reading) => {
                self.book(&reading);
                self.transients = 0;
                self.readings = self.readings.saturating_add(1);
                if !late {
                    self.rise(reading);
                }
                Effect::None
            }
            Err(failure) => self.fail(&failure, returned.monotonic),
        }
    }

    fn book(&mut self, reading: &DeviceReading) {
        let at = reading.at.boottime;
        let delta = self.energy.take(reading.energy.as_ref(), reading.power_limit, at);
        self.delta = join(self.delta.take(), delta);
    }

    fn rise(&mut self, mut reading: DeviceReading) {
        if let Some(before) = self.reading.take() {
            reading.work = add_work(before.work, reading.work);
        }
        self.reading = Some(reading);
        self.down = None;
        self.unschedule();
    }

    fn fail(&mut self, failure: &DeviceFailure, now: Duration) -> Effect {
        self.blame(&failure.reason);
        match failure.consequence {
            Consequence::Lost => {
                self.energy.interrupt();
                self.schedule(now);
                Effect::None
            }
            Consequence::Transient => {
                self.transients += 1;
                if self.transients < TRANSIENTS {
                    return Effect::None;
                }
                self.transients = 0;
                Effect::Anew
            }
            Consequence::Reinitialise => {
                self.energy.interrupt();
                Effect::Anew
            }
        }
    }

    /// What this tick brought.
    pub(super) fn tick(&mut self, now: Duration) -> DeviceTick {
        self.fresh = false;
        let stuck = self.asked.filter(|_| self.stuck);
        DeviceTick {
            identity: Arc::clone(&self.identity),
            backend: self.name,
            up: self.is_up(),
            reason: Arc::clone(self.down.as_ref().unwrap_or(&self.empty)),
            stuck: stuck.map_or(Duration::ZERO, |asked| now.saturating_sub(asked)),
            errors: self.errors,
            delta: self.delta.take(),
            reading: self.reading.take().filter(|_| self.down.is_none()),
            report: self.energy.report(self.name, &self.identity.uuid, self.down.as_ref()),
        }
    }
}

/// The work of two readings. Where one of them couldn't tell, nobody can.
fn add_work(earlier: Option<Vec<(u32, u64)>>, later: Option<Vec<(u32, u64)>>) -> Option<Vec<(u32, u64)>> {
    let (earlier, mut later) = (earlier?, later?);
    for (pid, work) in earlier {
        match later.iter_mut().find(|(known, _)| *known == pid) {
            Some((_, sum)) => *sum = sum.saturating_add(work),
            None => later.push((pid, work)),
        }
    }
    Some(later)
}
