//! Builds sysfs and procfs trees in a temporary directory for this room's tests.

use std::path::{Path, PathBuf};

pub(crate) const RANGE: u64 = 262_143_328_850;

/// A machine's /sys, with /proc beside it under `proc`.
pub(crate) struct Node {
    dir: tempfile::TempDir,
}

impl Node {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn sysfs(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn procfs(&self) -> PathBuf {
        self.dir.path().join("proc")
    }

    pub(crate) fn write(&self, path: &str, content: &[u8]) {
        let path = self.dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        if path.is_dir() {
            std::fs::remove_dir(&path).unwrap();
        }
        std::fs::write(path, content).unwrap();
    }

    pub(crate) fn link(&self, path: &str, target: &str) {
        let path = self.dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, path).unwrap();
    }

    pub(crate) fn remove(&self, path: &str) {
        let path = self.dir.path().join(path);
        if path.is_dir() {
            std::fs::remove_dir_all(path).unwrap();
        } else {
            std::fs::remove_file(path).unwrap();
        }
    }

    /// A directory in a file's place: every read fails with EISDIR, even for root.
    pub(crate) fn make_unreadable(&self, path: &str) {
        let path = self.dir.path().join(path);
        if path.is_file() {
            std::fs::remove_file(&path).unwrap();
        }
        std::fs::create_dir_all(path).unwrap();
    }

    /// A zone as a plain directory; `path` is relative to the powercap class.
    pub(crate) fn zone(&self, path: &str, name: &str, energy_uj: u64) {
        self.zone_in("class/powercap", path, name, energy_uj);
    }

    /// A zone in the nested device tree, with a flat link in the class directory, as the kernel shows it.
    pub(crate) fn linked_zone(&self, path: &[&str], name: &str, energy_uj: u64) {
        let nested = path.join("/");
        self.zone_in("devices/virtual/powercap/intel-rapl", &nested, name, energy_uj);
        let target = format!("../../devices/virtual/powercap/intel-rapl/{nested}");
        self.link(&format!("class/powercap/{}", path.last().unwrap()), &target);
    }

    fn zone_in(&self, root: &str, path: &str, name: &str, energy_uj: u64) {
        let zone = format!("{root}/{path}");
        self.write(&format!("{zone}/name"), format!("{name}\n").as_bytes());
        self.write(&format!("{zone}/max_energy_range_uj"), format!("{RANGE}\n").as_bytes());
        self.write(&format!("{zone}/energy_uj"), format!("{energy_uj}\n").as_bytes());
    }

    pub(crate) fn set(&self, zone: &str, energy_uj: u64) {
        self.write(&format!("class/powercap/{zone}/energy_uj"), format!("{energy_uj}\n").as_bytes());
    }

    pub(crate) fn power_meter(&self, chip: &str, oem_info: Option<&str>, microwatts: u64) {
        let chip = format!("class/hwmon/{chip}");
        self.write(&format!("{chip}/name"), b"power_meter\n");
        self.write(&format!("{chip}/power1_average"), format!("{microwatts}\n").as_bytes());
        if let Some(text) = oem_info {
            self.write(&format!("{chip}/device/power1_oem_info"), format!("{text}\n").as_bytes());
        }
    }

    pub(crate) fn amd_energy(&self, chip: &str, labels: &[&str]) {
        let chip = format!("class/hwmon/{chip}");
        self.write(&format!("{chip}/name"), b"amd_energy\n");
        for (number, label) in (1..).zip(labels) {
            self.write(&format!("{chip}/energy{number}_label"), format!("{label}\n").as_bytes());
            self.write(&format!("{chip}/energy{number}_input"), b"0\n");
        }
    }

    /// /proc and the CPU list of an x86 machine with 10 GB of memory.
    pub(crate) fn cpus(&self, model: &str, sockets: u32, threads: u32, flags: &str) {
        let mut cpuinfo = String::new();
        for cpu in 0..threads {
            let socket = cpu * sockets / threads;
            cpuinfo += &format!(
                "processor\t: {cpu}\nmodel name\t: {model}\nphysical id\t: {socket}\nflags\t\t: fpu {flags}\n\n"
            );
        }
        self.write("proc/cpuinfo", cpuinfo.as_bytes());
        self.write("proc/meminfo", b"MemTotal:        9765625 kB\nMemFree:  1 kB\n");
        self.write("devices/system/cpu/online", format!("0-{}\n", threads - 1).as_bytes());
    }
}
