//! What searches bring: devices that are new, back, gone, or need a new reader.

use std::sync::Arc;
use std::time::Duration;

use crate::gpu::Found;
use crate::gpu::bank::GpuBank;
use crate::gpu::bank::device::Device;
use crate::gpu::bank::finder::{Step, Users, Verdict};
use crate::gpu::worker::{Searched, Worker};

/// Devices that the bank has at most; the series of each are many.
const MAX_DEVICES: usize = 64;
/// A device that is there no longer leaves the bank after this time.
const FORGET_AFTER: Duration = Duration::from_secs(600);
/// Threads that may hang for one device, beside the one in use, and for all.
const MAX_ABANDONED: (usize, usize) = (4, 32);

const GONE: &str = "no longer there";
const TOO_MANY_HUNG: &str = "too many hung calls";
const NO_THREAD: &str = "no thread could be started";

/// A thread that was left and hasn't ended.
#[derive(Debug)]
pub(super) struct Abandoned {
    pub(super) generation: u64,
    /// The UUID of its device, which may have left the bank.
    pub(super) uuid: Arc<str>,
    /// The place of its backend.
    backend: usize,
    /// From when on it is taken to hang; it may be about to end.
    pub(super) hangs_at: Duration,
}

impl GpuBank {
    /// Starts what is due in one backend.
    pub(super) fn poll(&mut self, backend: usize, now: Duration) {
        let users = self.users(backend, now);
        let Some(finder) = self.finders.get_mut(backend) else { return };
        let mut step = finder.poll(now, users, &mut self.numbers, &self.sender);
        if step == Step::Clear {
            self.clear(backend, now);
            let users = self.users(backend, now);
            let Some(finder) = self.finders.get_mut(backend) else { return };
            step = finder.poll(now, users, &mut self.numbers, &self.sender);
        }
        if step == Step::Search {
            let mine = self.devices.iter_mut().filter(|device| device.backend == backend);
            mine.for_each(|device| device.begin_search(now));
        }
    }

    fn users(&self, backend: usize, now: Duration) -> Users {
        let devices = || self.devices.iter().filter(|device| device.backend == backend);
        let left = || self.abandoned.iter().filter(|abandoned| abandoned.backend == backend);
        Users {
            wanted: devices().any(|device| device.is_search_due(now)),
            ending: left().any(|abandoned| abandoned.hangs_at > now),
            hanging: left().any(|abandoned| abandoned.hangs_at <= now) || devices().any(Device::is_stuck),
            answering: devices().any(|device| device.is_up() && device.is_served()),
        }
    }

    /// Lets all workers of a backend go. Those that wait for a request end at once.
    fn clear(&mut self, backend: usize, now: Duration) {
        for place in 0..self.devices.len() {
            let is_mine = |device: &&Device| device.backend == backend && device.worker.is_some();
            if self.devices.get(place).filter(is_mine).is_none() {
                continue;
            }
            self.retire(place, now);
            if let Some(device) = self.devices.get_mut(place) {
                device.renew(now);
            }
        }
    }

    pub(super) fn take_search(&mut self, generation: u64, outcome: Searched) {
        let now = self.now.get().monotonic;
        let Some(backend) = self.finders.iter().position(|finder| finder.owns(generation)) else { return };
        let Some(finder) = self.finders.get_mut(backend) else { return };
        match finder.take(generation, outcome, now) {
            Verdict::None => {}
            Verdict::Failed(reason) => self.fail(backend, &reason, now),
            Verdict::Devices { found, anew, complete } => {
                if complete {
                    self.forget_gone(backend, &found, now);
                }
                let seen = self.take_found(backend, found, anew, now);
                self.miss(backend, &seen, complete, now);
            }
        }
    }

    /// A failed search says nothing of devices that answer. The readers of the others are dropped: they would keep
    /// a library mapped that may be out of date.
    fn fail(&mut self, backend: usize, reason: &str, now: Duration) {
        for place in 0..self.devices.len() {
            let Some(device) = self.devices.get_mut(place) else { continue };
            if device.backend != backend || (device.is_up() && !device.is_renewed()) {
                continue;
            }
            device.blame(reason);
            if device.is_served() {
                self.retire(place, now);
            }
        }
    }

    /// Lets devices go that searches haven't found for long: somebody pulled them or gave them to a guest, and
    /// they would keep others out and the collector failing for ever. If one comes back, it is a new entry.
    fn forget_gone(&mut self, backend: usize, found: &[Found], now: Duration) {
        self.devices.retain(|device| {
            let is_found = || found.iter().any(|found| found.identity.uuid == device.identity.uuid);
            device.backend != backend || !device.is_gone_for(FORGET_AFTER, now) || is_found()
        });
    }

    /// Takes in what a search found, and asks it at once. Says which places it was.
    fn take_found(&mut self, backend: usize, found: Vec<Found>, anew: bool, now: Duration) -> Vec<usize> {
        let mut seen = Vec::with_capacity(found.len());
        let mut unwanted = Vec::new();
        for Found { identity, reader } in found {
            let is_same =
                |device: &Device| device.backend == backend && device.identity.uuid == identity.uuid;
            let known = self.devices.iter().position(is_same);
            let known = known.or_else(|| (self.devices.len() < MAX_DEVICES).then_some(self.devices.len()));
            let Some(place) = known.filter(|place| !seen.contains(place)) else {
                if let Some(finder) = self.finders.get_mut(backend).filter(|_| known.is_none()) {
                    finder.overfull = true;
                }
                unwanted.push(Found { identity, reader });
                continue;
            };
            seen.push(place);
            match self.devices.get_mut(place) {
                Some(device) => device.identify(identity.clone()),
                None => {
                    let name = self.finders.get(backend).map_or("", |finder| finder.name);
                    self.devices.push(Device::new(backend, name, identity.clone()));
                }
            }
            if let Some(found) = self.take_in(place, Found { identity, reader }, anew, now) {
                unwanted.push(found);
            }
        }
        if let Some(finder) = self.finders.get(backend) {
            finder.discard(unwanted);
        }
        seen
    }

    /// Gives a device its new reader, if it needs one; else the reader comes back.
    fn take_in(&mut self, place: usize, found: Found, anew: bool, now: Duration) -> Option<Found> {
        let device = self.devices.get_mut(place)?;
        if device.is_served() && !anew {
            return Some(found);
        }
        let hanging = || self.abandoned.iter().filter(|abandoned| abandoned.hangs_at <= now);
        let of_device = hanging().filter(|abandoned| abandoned.uuid == device.identity.uuid).count();
        // The worker that hangs now would become one of them.
        let one = usize::from(device.is_stuck());
        if of_device + one > MAX_ABANDONED.0 || hanging().count() + one > MAX_ABANDONED.1 {
            if !device.is_served() {
                device.blame(TOO_MANY_HUNG);
                device.schedule(now);
            }
            return Some(found);
        }
        self.retire(place, now);
        self.numbers += 1;
        let name = format!("gpu-{place}");
        let worker = Worker::start(name, self.numbers, found.reader, self.now.clone(), self.sender.clone());
        let device = self.devices.get_mut(place)?;
        match worker {
            Ok(worker) => device.install(worker),
            Err(_) => {
                device.fall(NO_THREAD);
                device.schedule(now);
            }
        }
        self.ask_device(place, now);
        None
    }

    /// Marks the devices down that a search didn't find. Where it saw some that can't be named (it isn't
    /// complete), they may be among those.
    fn miss(&mut self, backend: usize, seen: &[usize], complete: bool, now: Duration) {
        let unnamed = self.finders.get(backend).and_then(|finder| finder.unnamed.clone());
        for place in 0..self.devices.len() {
            let Some(device) = self.devices.get_mut(place) else { continue };
            if device.backend != backend || seen.contains(&place) || (device.is_served() && !complete) {
                continue;
            }
            device.schedule(now);
            if let Some(reason) = unnamed.as_ref().filter(|_| device.is_renewed()) {
                device.blame(reason);
            }
            if complete && !device.is_stuck() {
                device.note_gone(now);
                if device.is_served() {
                    device.lose(GONE);
                } else {
                    device.fall(GONE);
                }
                self.retire(place, now);
            }
        }
    }

    /// Lets a device's worker go.
    pub(super) fn retire(&mut self, place: usize, now: Duration) {
        let Some(device) = self.devices.get_mut(place) else { return };
        let hangs_at = if device.is_stuck() { now } else { now + self.deadline };
        if let Some(worker) = device.take_worker() {
            let uuid = Arc::clone(&device.identity.uuid);
            self.abandoned.push(Abandoned {
                generation: worker.generation(),
                uuid,
                backend: device.backend,
                hangs_at,
            });
        }
    }
}
