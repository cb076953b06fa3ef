//! Watches a daemon while something goes wrong: every snapshot and every scrape on the way must be sound.
//!
//! Energy is told by pulses: a device draws nothing but what a test lets it draw, in spans that begin and end
//! between two looks. Its counter shows that to the millijoule, however busy the machine is.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use nvidia_ml::monotonic_ns;
use nvidia_ml::scenario::Device;
use serde_json::Value;

use crate::daemon::{Daemon, PATIENCE};
use crate::exposition::Exposition;
use crate::gpu::{Stage, assert_sound};
use crate::snapshot::Snapshot;

/// The scenario's counters have millijoules.
const COUNTER: f64 = 0.002;
/// When a pulse begins, so that the library knows of it before.
const SOON: u64 = 50_000_000;

/// A device that has counted 5 kJ and draws nothing.
pub(crate) fn resting(number: u8) -> Device {
    Device { energy_base_mj: 5_000_000, ..Device::hopper(number) }
}

impl Stage {
    /// Lets a device draw `watts` for `millis`, soon or after its last pulse.
    pub(crate) fn pulse(&mut self, uuid: &str, watts: u32, millis: u64) {
        self.change(|scenario| {
            let device = scenario.device_mut(uuid).expect(uuid);
            let last = device.power.last().map_or(0, |segment| segment.from_ns);
            let from = last.max(monotonic_ns()) + SOON;
            *device = device.clone().power(from, watts.into()).power(from + millis * 1_000_000, 0.0);
        });
    }

    /// All that the pulses of a device are worth, in joules.
    pub(crate) fn pulses(&self, uuid: &str) -> f64 {
        let device = self.scenario.device(uuid).expect(uuid);
        // A test's energies are far below 2^53 mJ.
        (device.energy_mj_at(u64::MAX) - device.energy_mj_at(0)) as f64 / 1000.0
    }
}

/// Looks at a daemon.
#[derive(Debug)]
pub(crate) struct Witness<'a> {
    daemon: &'a Daemon,
    last: RefCell<Option<(Snapshot, Exposition)>>,
}

impl<'a> Witness<'a> {
    pub(crate) const fn of(daemon: &'a Daemon) -> Self {
        Self { daemon, last: RefCell::new(None) }
    }

    /// Looks once. All sums are right, and nothing fell since the last look.
    pub(crate) fn look(&self) -> Snapshot {
        let snapshot = self.daemon.snapshot();
        let mut last = self.last.borrow_mut();
        if last.as_ref().is_none_or(|(before, _)| before.sequence() < snapshot.sequence()) {
            let scrape = self.daemon.scrape();
            let (before, earlier) = last.get_or_insert_with(|| (snapshot.clone(), scrape.clone()));
            assert_sound(earlier, &scrape);
            for gpu in before.gpus() {
                let uuid = gpu["uuid"].as_str().expect("uuid");
                let (then, now) = (before.gpu_joules(uuid), snapshot.gpu_joules(uuid));
                assert!(now >= then, "{uuid} fell from {then} to {now}");
            }
            *last = Some((snapshot.clone(), scrape));
        }
        snapshot
    }

    /// The first snapshot that fits.
    pub(crate) fn until(&self, what: &str, mut fits: impl FnMut(&Snapshot) -> bool) -> Snapshot {
        let begun = Instant::now();
        loop {
            let snapshot = self.look();
            if fits(&snapshot) {
                return snapshot;
            }
            let (gpus, collectors) = (&snapshot.0["gpus"], &snapshot.0["collectors"]);
            assert!(begun.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}: {gpus:#} {collectors:#}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The snapshot after `count` whole ticks from now.
    pub(crate) fn ticks(&self, count: u64) -> Snapshot {
        let target = self.look().sequence() + count + 1;
        self.until("a tick", |snapshot| snapshot.sequence() >= target)
    }

    /// The first snapshot in which all of these devices answer.
    pub(crate) fn until_up(&self, uuids: &[&str]) -> Snapshot {
        self.until("all devices", |snapshot| uuids.iter().all(|uuid| snapshot.is_up(uuid)))
    }

    /// The first snapshot in which this device is down, for this reason.
    pub(crate) fn until_down(&self, uuid: &str, reason: &str) -> Snapshot {
        self.until(reason, |snapshot| {
            let gpu = snapshot.gpu(uuid);
            gpu["up"] == false && gpu["reason"] == reason
        })
    }

    /// Waits until all that a device's pulses are worth is booked; then no more is.
    pub(crate) fn until_booked(&self, stage: &Stage, uuid: &str) {
        self.until_all_booked(stage, &[uuid]);
    }

    /// The same for several.
    pub(crate) fn until_all_booked(&self, stage: &Stage, uuids: &[&str]) {
        let off = |snapshot: &Snapshot, uuid: &str| (snapshot.gpu_joules(uuid) - stage.pulses(uuid)).abs();
        let what = format!("the pulses of {uuids:?}");
        self.until(&what, |snapshot| uuids.iter().all(|uuid| off(snapshot, uuid) < COUNTER));
        let later = self.ticks(2);
        for uuid in uuids {
            assert!(off(&later, uuid) < COUNTER, "{} of {} J", later.gpu(uuid), stage.pulses(uuid));
        }
    }

    /// The first snapshot in which nothing is wrong with the collector.
    pub(crate) fn until_well(&self) -> Snapshot {
        self.until("no error", |snapshot| snapshot.collector("nvml")["success"] == true)
    }

    /// Asserts that the CPU's energy goes on being booked.
    pub(crate) fn assert_cpu_goes_on(&self) {
        let before = self.look().energy_uj("cpu");
        self.until("energy of the CPU", |snapshot| snapshot.energy_uj("cpu") > before);
    }
}

impl Snapshot {
    /// All GPUs' rows.
    pub(crate) fn gpus(&self) -> &[Value] {
        self.0["gpus"].as_array().map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether a GPU is there and answers.
    pub(crate) fn is_up(&self, uuid: &str) -> bool {
        self.gpus().iter().any(|gpu| gpu["uuid"] == uuid && gpu["up"] == true)
    }

    /// A collector's row.
    pub(crate) fn collector(&self, name: &str) -> &Value {
        let mut rows = self.0["collectors"].as_array().into_iter().flatten();
        rows.find(|row| row["collector"] == name).unwrap_or_else(|| panic!("no collector {name}"))
    }

    /// What is wrong with a collector.
    pub(crate) fn error(&self, name: &str) -> Option<&str> {
        self.collector(name)["last_error"].as_str()
    }

    /// Why a GPU can't do better in this.
    pub(crate) fn limitation(&self, uuid: &str, what: &str) -> Option<&str> {
        let mut rows = self.gpu(uuid)["limitations"].as_array().into_iter().flatten();
        rows.find(|row| row["what"] == what)?["reason"].as_str()
    }
}
