//! The GPUs of one node: found, read and booked once per tick.
//!
//! Each device has a thread of its own and so has each backend ([`worker`](crate::gpu::worker)); they all answer
//! through one channel. A device is known by its UUID: whatever becomes of its reader, its index or its driver,
//! its entry stays and its total goes on, until it has been gone for long. A thread that hangs is left behind, and what it says later is ignored.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use crate::gpu::worker::{Event, Worker};
use crate::gpu::{Consequence, DeviceFailure, DeviceReading, GpuBackend, GpuSettings, GpuTick, Now, Tick};
use crate::meters::CollectorOutcome;

mod backends;
mod device;
mod energy;
mod finder;
mod intake;
mod renewal;

use device::{Device, Effect};
use finder::{Finder, Patience};
use intake::Abandoned;

/// Makes a backend. It is called again when one hangs for ever, and must not load or open anything itself.
pub type BackendFactory = Box<dyn Fn() -> Box<dyn GpuBackend> + Send>;

const RELEASED: &str = "released";
const TOO_MANY_DEVICES: &str = "more than 64 devices";
const ENDED: &str = "reader ended";

/// Owns all backends and workers of a node.
pub struct GpuBank {
    now: Now,
    deadline: Duration,
    /// The longest wait in a tick.
    wait: Duration,
    release: Duration,
    in_pod: bool,
    finders: Vec<Finder>,
    devices: Vec<Device>,
    abandoned: Vec<Abandoned>,
    events: Receiver<Event>,
    sender: Sender<Event>,
    /// The last number given to a thread.
    numbers: u64,
    /// Until when the devices stay released.
    released: Option<Duration>,
}

impl fmt::Debug for GpuBank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("GpuBank");
        debug.field("finders", &self.finders).field("devices", &self.devices).finish_non_exhaustive()
    }
}

impl GpuBank {
    /// Sets up the backends that are switched on. Nothing is loaded or opened before the first tick.
    pub fn new(settings: &GpuSettings, now: Now) -> Self {
        Self::with_backends(backends::factories(settings), settings, backends::in_container(), now)
    }

    /// The same with these backends. `in_pod`: whether this runs in a container that somebody would replace.
    pub fn with_backends(
        factories: Vec<BackendFactory>,
        settings: &GpuSettings,
        in_pod: bool,
        now: Now,
    ) -> Self {
        let patience = Patience { deadline: settings.deadline, retry: settings.retry };
        let (sender, events) = channel();
        Self {
            now,
            deadline: settings.deadline,
            wait: settings.deadline.min(settings.interval / 2),
            release: settings.release,
            in_pod,
            finders: factories.into_iter().map(|factory| Finder::new(factory, patience)).collect(),
            devices: Vec::new(),
            abandoned: Vec::new(),
            events,
            sender,
            numbers: 0,
            released: None,
        }
    }

    /// Takes another time between two ticks.
    pub fn set_interval(&mut self, interval: Duration) {
        self.wait = self.deadline.min(interval / 2);
    }

    /// Asks every device for a reading, and looks for devices where that is due. Doesn't wait.
    pub fn ask(&mut self) {
        self.drain();
        let now = self.now.get().monotonic;
        if self.released.is_some_and(|until| until <= now) {
            self.resume();
        }
        if self.released.is_some() {
            return;
        }
        for backend in 0..self.finders.len() {
            self.poll(backend, now);
        }
        for place in 0..self.devices.len() {
            self.ask_device(place, now);
        }
    }

    /// Gathers the answers, waiting for late ones up to half a tick.
    pub fn collect(&mut self) -> GpuTick {
        let start = self.now.get().monotonic;
        let end = loop {
            self.drain();
            let now = self.now.get().monotonic;
            let left = self.wait.saturating_sub(now.saturating_sub(start));
            if left.is_zero() || !self.is_waiting(now) {
                break now;
            }
            let Ok(event) = self.events.recv_timeout(left) else {
                break self.now.get().monotonic;
            };
            self.handle(event);
        };
        for device in &mut self.devices {
            device.judge(end, self.deadline);
        }
        self.finders.iter_mut().for_each(|finder| finder.renewal.end_tick());
        let devices = self.devices.iter_mut().map(|device| device.tick(end)).collect();
        GpuTick { devices, collectors: self.collectors(end) }
    }

    /// Gives back all handles, so that the driver can be unloaded, and leaves the devices alone until
    /// [`Self::resume`], or for as long as the settings say.
    pub fn release(&mut self) {
        let now = self.now.get().monotonic;
        self.released = Some(now.saturating_add(self.release));
        for place in 0..self.devices.len() {
            self.retire(place, now);
            if let Some(device) = self.devices.get_mut(place) {
                device.fall(RELEASED);
                device.unschedule();
            }
        }
        self.finders.iter_mut().for_each(Finder::release);
    }

    /// Takes the devices in again.
    pub fn resume(&mut self) {
        if self.released.take().is_some() {
            let now = self.now.get().monotonic;
            self.finders.iter_mut().for_each(|finder| finder.resume(now));
        }
    }

    /// Whether every GPU was found and had time to show its energy, or can't for now.
    pub fn is_settled(&self) -> bool {
        let now = self.now.get().monotonic;
        self.finders.iter().all(|finder| finder.is_settled(now))
            && self.devices.iter().all(Device::is_settled)
    }

    /// Why only a new container can make the devices readable again, once that is certain. As long as any device
    /// of the backend answers, it isn't.
    pub fn needs_new_container(&self) -> Option<&str> {
        let answers = |place| self.devices.iter().any(|device| device.backend == place && device.is_up());
        let finders = self.finders.iter().enumerate().filter(|_| self.in_pod);
        finders.filter(|(place, _)| !answers(*place)).find_map(|(_, finder)| finder.needs_new_container())
    }

    fn is_waiting(&self, now: Duration) -> bool {
        self.devices.iter().any(Device::is_awaited)
            || (self.released.is_none() && self.finders.iter().any(|finder| finder.is_awaited(now)))
    }

    fn ask_device(&mut self, place: usize, now: Duration) {
        let Some(device) = self.devices.get_mut(place) else { return };
        device.judge(now, self.deadline);
        if !device.ask(now) {
            self.retire(place, now);
            if let Some(device) = self.devices.get_mut(place) {
                device.lose(ENDED);
                device.schedule(now);
            }
        }
    }

    fn drain(&mut self) {
        while let Ok(event) = self.events.try_recv() {
            self.handle(event);
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Read { generation, returned, result } => {
                self.take_reading(generation, returned, result.map(|reading| *reading));
            }
            Event::Searched { generation, outcome } => self.take_search(generation, outcome),
            Event::Ended { generation } => self.take_end(generation),
        }
    }

    fn place_of(&self, generation: u64) -> Option<usize> {
        let serves = |worker: &Worker| worker.generation() == generation;
        self.devices.iter().position(|device| device.worker.as_ref().is_some_and(serves))
    }

    fn take_reading(
        &mut self,
        generation: u64,
        returned: Tick,
        result: Result<DeviceReading, DeviceFailure>,
    ) {
        let Some(place) = self.place_of(generation) else { return };
        let Some(device) = self.devices.get_mut(place) else { return };
        let consequence = result.as_ref().err().map(|failure| failure.consequence);
        let effect = device.take(returned, result);
        let backend = device.backend;
        if matches!(consequence, Some(Consequence::Lost | Consequence::Reinitialise)) {
            self.retire(place, returned.monotonic);
        }
        if effect == Effect::Anew
            && let Some(finder) = self.finders.get_mut(backend)
        {
            finder.renewal.want(returned.monotonic);
        }
    }

    fn take_end(&mut self, generation: u64) {
        let now = self.now.get().monotonic;
        self.abandoned.retain(|abandoned| abandoned.generation != generation);
        for backend in 0..self.finders.len() {
            if self.finders.get(backend).is_some_and(|finder| finder.renewal.is_clearing()) {
                self.poll(backend, now);
            }
        }
        if self.finders.iter_mut().any(|finder| finder.end(generation, now)) {
            return;
        }
        if let Some(device) = self.place_of(generation).and_then(|place| self.devices.get_mut(place)) {
            device.take_worker();
            device.lose(ENDED);
            device.schedule(now);
        }
    }

    fn collectors(&self, now: Duration) -> Vec<CollectorOutcome> {
        let of = |(place, finder): (usize, &Finder)| {
            let down = || {
                let mut mine = self.devices.iter().filter(|device| device.backend == place);
                mine.find_map(Device::down).cloned()
            };
            let full = || finder.overfull.then(|| Arc::from(TOO_MANY_DEVICES));
            let error = finder.trouble(now).or_else(full).or_else(down);
            let failure = finder.failure().filter(|failure| error.as_ref() == Some(&failure.reason));
            CollectorOutcome {
                name: finder.name,
                success: error.is_none(),
                error,
                detail: failure.map(|failure| Arc::from(failure.detail.as_str())),
                remedy: failure.and_then(|failure| failure.remedy),
            }
        };
        self.finders.iter().enumerate().map(of).collect()
    }
}

#[cfg(test)]
mod tests;
