//! Builds machines with DRM cards in a temporary directory: sysfs, and procfs beside it under `proc`.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::DrmBackend;
use crate::gpu::{Client, DeviceFailure, DeviceReading, Found, GpuBackend, GpuSettings, Now};
use crate::meters::Tick;
use crate::units::Bytes;

pub(super) const PCI: &str = "0000:03:00.0";

pub(super) struct Machine {
    dir: tempfile::TempDir,
    clock: Arc<Mutex<Duration>>,
}

impl Machine {
    pub(super) fn new() -> Self {
        let machine = Self { dir: tempfile::tempdir().unwrap(), clock: Arc::default() };
        std::fs::create_dir_all(machine.path("proc")).unwrap();
        machine
    }

    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    pub(super) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub(super) fn remove(&self, path: &str) {
        let path = self.path(path);
        if path.symlink_metadata().unwrap().is_dir() {
            std::fs::remove_dir_all(path).unwrap();
        } else {
            std::fs::remove_file(path).unwrap();
        }
    }

    fn link(&self, path: &str, target: impl AsRef<Path>) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    }

    /// A card as sysfs shows it; returns its device directory.
    pub(super) fn card(&self, number: u32, driver: &str, pci: &str) -> String {
        let device = format!("devices/pci0000:00/{pci}");
        self.write(&format!("{device}/uevent"), format!("DRIVER={driver}\nPCI_SLOT_NAME={pci}\n"));
        self.write(&format!("{device}/device"), "0x744c\n");
        self.write(&format!("{device}/power/runtime_status"), "active\n");
        self.write(&format!("{device}/hwmon/hwmon{number}/name"), format!("{driver}\n"));
        self.link(&format!("{device}/driver"), format!("../../../bus/pci/drivers/{driver}"));
        self.write(&format!("{device}/drm/card{number}/dev"), "226:0\n");
        self.link(&format!("{device}/drm/card{number}/device"), "../..");
        self.link(&format!("class/drm/card{number}"), format!("../../{device}/drm/card{number}"));
        self.write(&format!("class/drm/card{number}-DP-1/status"), "connected\n");
        device
    }

    /// An open DRM file of a process.
    pub(super) fn open(&self, pid: u32, file: u32, fdinfo: &str) {
        let fd = format!("proc/{pid}/fd/{file}");
        if self.path(&fd).symlink_metadata().is_err() {
            self.link(&fd, "/dev/dri/renderD128");
        }
        self.write(&format!("proc/{pid}/fdinfo/{file}"), fdinfo);
    }

    /// An open file of a process that is no DRM file.
    pub(super) fn open_other(&self, pid: u32, file: u32) {
        self.link(&format!("proc/{pid}/fd/{file}"), "socket:[123]");
        self.write(&format!("proc/{pid}/fdinfo/{file}"), "pos:\t0\nflags:\t02\n");
    }

    /// A process without open files.
    pub(super) fn process(&self, pid: u32) {
        std::fs::create_dir_all(self.path(&format!("proc/{pid}/fd"))).unwrap();
    }

    pub(super) fn kfd_node(&self, node: u32, id: u64, location: u64, cores: u32) {
        let node = format!("class/kfd/kfd/topology/nodes/{node}");
        self.write(&format!("{node}/gpu_id"), format!("{id}\n"));
        let text = format!("cpu_cores_count {cores}\nsimd_count 240\nlocation_id {location}\ndomain 0\n");
        self.write(&format!("{node}/properties"), text);
    }

    pub(super) fn settings(&self) -> GpuSettings {
        GpuSettings {
            procfs: self.path("proc"),
            sysfs: self.path(""),
            nvml: false,
            drm: true,
            simulate: false,
            library: None,
            deadline: Duration::from_secs(1),
            interval: Duration::from_secs(1),
            retry: Duration::from_secs(10),
            release: Duration::from_secs(60),
        }
    }

    pub(super) fn find(&self) -> Vec<Found> {
        let search = DrmBackend::new(&self.settings()).find().unwrap();
        assert_eq!(search.failed, []);
        search.found
    }

    pub(super) fn only(&self) -> Found {
        let mut found = self.find();
        assert_eq!(found.len(), 1);
        found.pop().unwrap()
    }

    pub(super) fn now(&self) -> Now {
        let clock = Arc::clone(&self.clock);
        Now::new(move || {
            let time = *clock.lock().unwrap();
            Tick { monotonic: time, boottime: time }
        })
    }

    pub(super) fn wait(&self, millis: u64) {
        *self.clock.lock().unwrap() += Duration::from_millis(millis);
    }

    pub(super) fn try_read(&self, found: &mut Found) -> Result<DeviceReading, DeviceFailure> {
        (found.reader)(&self.now())
    }

    pub(super) fn read(&self, found: &mut Found) -> DeviceReading {
        self.try_read(found).unwrap()
    }

    /// A second later.
    pub(super) fn tick(&self, found: &mut Found) -> DeviceReading {
        self.wait(1_000);
        self.read(found)
    }
}

/// An AMD card that draws 100 W.
pub(super) fn amd() -> (Machine, String) {
    let machine = Machine::new();
    let device = machine.card(1, "amdgpu", PCI);
    machine.write(&format!("{device}/hwmon/hwmon1/power1_average"), "100000000\n");
    (machine, device)
}

/// The fdinfo of a client of amdgpu.
pub(super) fn amdgpu(pci: &str, client: u64, vram_kib: u64, engines: &[(&str, u64)]) -> String {
    let mut text = format!("pos:\t0\ndrm-driver:\tamdgpu\ndrm-client-id:\t{client}\ndrm-pdev:\t{pci}\n");
    text += &format!("drm-memory-vram:\t{vram_kib} KiB\n");
    for (engine, busy) in engines {
        text += &format!("drm-engine-{engine}:\t{busy} ns\n");
    }
    text
}

pub(super) fn client(pid: u32, memory: Option<u64>) -> Client {
    Client { pid, memory: memory.map(Bytes), instance: None }
}

/// What is off, and why.
pub(super) fn limits(reading: &DeviceReading) -> Vec<(&'static str, &str)> {
    reading.limitations.iter().map(|limitation| (limitation.what, &*limitation.reason)).collect()
}
