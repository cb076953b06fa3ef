//! A backend on the imitated library, and a clock that the test moves.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nvidia_ml::scenario::{Device, Scenario};
use nvidia_ml::{SCENARIO_FILE, calls, library_in, monotonic_ns};
use tempfile::TempDir;

use super::super::NvmlBackend;
use super::settings;
use crate::gpu::{Consequence, DeviceFailure, DeviceReading, Found, GpuBackend, Now, Search};
use crate::meters::Tick;

/// Longer than anything that a test waits for takes.
const DEADLINE: Duration = Duration::from_secs(20);

pub(super) struct Rig {
    dir: TempDir,
    pub(super) library: PathBuf,
    pub(super) scenario: Scenario,
    pub(super) backend: NvmlBackend,
    pub(super) found: Vec<Found>,
    time: Arc<Mutex<Duration>>,
}

impl Rig {
    /// A backend that hasn't looked for devices yet.
    pub(super) fn idle(scenario: Scenario) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let library = library_in(dir.path()).unwrap();
        let backend = NvmlBackend::new(&settings(dir.path(), library.to_str()));
        let time = Arc::new(Mutex::new(Duration::from_secs(1_000)));
        let rig = Self { dir, library, scenario, backend, found: Vec::new(), time };
        rig.save();
        calls::count_in(rig.dir.path()).unwrap();
        rig
    }

    /// The devices of a scenario, found.
    pub(super) fn new(scenario: Scenario) -> Self {
        let mut rig = Self::idle(scenario);
        rig.find();
        rig
    }

    pub(super) fn of(devices: impl IntoIterator<Item = Device>) -> Self {
        Self::new(Scenario::of(devices))
    }

    pub(super) fn find(&mut self) -> Search {
        let mut search = self.backend.find().unwrap();
        self.found = std::mem::take(&mut search.found);
        search
    }

    pub(super) fn save(&self) {
        self.scenario.save(&self.dir.path().join(SCENARIO_FILE)).unwrap();
    }

    /// Changes the first device.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Device)) {
        change(self.scenario.devices.first_mut().unwrap());
        self.save();
    }

    /// Reads a device after so many milliseconds on the test's clock.
    pub(super) fn try_read(&mut self, device: usize, millis: u64) -> Result<DeviceReading, DeviceFailure> {
        *self.time.lock().unwrap() += Duration::from_millis(millis);
        let time = Arc::clone(&self.time);
        let now = Now::new(move || {
            let time = *time.lock().unwrap();
            Tick { monotonic: time, boottime: time }
        });
        (self.found[device].reader)(&now)
    }

    /// Reads the first device after a second on the test's clock.
    pub(super) fn read(&mut self) -> DeviceReading {
        self.try_read(0, 1_000).unwrap()
    }

    pub(super) fn consequence(&mut self) -> Consequence {
        self.try_read(0, 1_000).unwrap_err().consequence
    }

    /// Reads the first device on the system's clock, on which the library's samples are made, until it says what it
    /// should.
    pub(super) fn read_until(&mut self, mut done: impl FnMut(&DeviceReading) -> bool) -> DeviceReading {
        let end = monotonic_ns() + u64::try_from(DEADLINE.as_nanos()).unwrap();
        let now = Now::new(|| {
            let time = Duration::from_nanos(monotonic_ns());
            Tick { monotonic: time, boottime: time }
        });
        loop {
            let reading = (self.found[0].reader)(&now).unwrap();
            if done(&reading) {
                return reading;
            }
            assert!(monotonic_ns() < end, "{reading:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The calls that `action` makes.
    pub(super) fn calls(&mut self, action: impl FnOnce(&mut Self)) -> BTreeMap<String, u64> {
        let file = self.dir.path().join(calls::FILE);
        let before = calls::read(&file);
        action(self);
        let mut after = calls::read(&file);
        after.retain(|symbol, count| {
            *count -= before.get(symbol).unwrap_or(&0);
            *count > 0
        });
        after
    }
}

pub(super) fn limitation_of(reading: &DeviceReading, what: &str) -> Option<String> {
    reading.limitations.iter().find(|one| one.what == what).map(|one| one.reason.to_string())
}
