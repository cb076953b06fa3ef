//! A made-up /sys with a powercap tree that moves.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tempfile::TempDir;

/// `max_energy_range_uj` of common Intel packages.
pub(crate) const RANGE: u64 = 262_143_328_850;

const STEP: Duration = Duration::from_millis(20);

#[derive(Debug)]
struct Zone {
    directory: PathBuf,
    value: u64,
    range: u64,
    watts: f64,
    /// Whether something else stands in its file.
    broken: bool,
}

/// The tree.
#[derive(Debug)]
pub(crate) struct Tree {
    dir: TempDir,
    zones: BTreeMap<String, Zone>,
}

impl Tree {
    /// A /sys without meters; cgroups and CPUs are those of the machine.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for (link, target) in [("fs/cgroup", "/sys/fs/cgroup"), ("devices/system", "/sys/devices/system")] {
            let link = dir.path().join(link);
            fs::create_dir_all(link.parent().expect("a parent")).expect("make a directory");
            symlink(target, link).expect("make a link");
        }
        Self { dir, zones: BTreeMap::new() }
    }

    /// Where it is, as the daemon's flag.
    pub(crate) fn flag(&self) -> String {
        format!("--path.sysfs={}", self.dir.path().display())
    }

    /// Adds a zone; its device is the last part of `path`, which is relative to the powercap class.
    pub(crate) fn zone(&mut self, path: &str, name: &str, start: u64, range: u64) {
        let directory = self.dir.path().join("class/powercap").join(path);
        fs::create_dir_all(&directory).expect("make a zone");
        fs::write(directory.join("name"), format!("{name}\n")).expect("name it");
        fs::write(directory.join("max_energy_range_uj"), format!("{range}\n")).expect("give it a range");
        let device = path.rsplit('/').next().unwrap_or(path).to_owned();
        let zone = Zone { directory, value: start, range, watts: 0.0, broken: false };
        zone.write();
        self.zones.insert(device, zone);
    }

    /// States the greatest power of a zone.
    pub(crate) fn state_max(&self, device: &str, watts: u64) {
        let path = self.zones[device].directory.join("constraint_0_max_power_uw");
        fs::write(path, format!("{}\n", watts * 1_000_000)).expect("state the maximum");
    }

    /// Puts something else in the place of a zone's counter, which goes on unseen.
    pub(crate) fn spoil(&mut self, device: &str, content: &[u8]) {
        let zone = self.zones.get_mut(device).expect(device);
        zone.broken = true;
        zone.replace(content);
    }

    /// Shows a zone's counter again.
    pub(crate) fn mend(&mut self, device: &str) {
        let zone = self.zones.get_mut(device).expect(device);
        zone.broken = false;
        zone.write();
    }

    /// Makes every read of a zone's counter hang, until the pipe lets go.
    pub(crate) fn hang(&mut self, device: &str) -> Pipe {
        let zone = self.zones.get_mut(device).expect(device);
        zone.broken = true;
        let (path, new) = (self.dir.path().join(format!("pipe-{device}")), zone.directory.join("new"));
        mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).expect("make a pipe");
        fs::hard_link(&path, &new).expect("name it twice");
        fs::rename(new, zone.directory.join("energy_uj")).expect("show it");
        Pipe { path }
    }

    /// Takes a zone away, as when its driver is unloaded; the hardware goes on counting.
    pub(crate) fn hide(&mut self, device: &str) {
        let away = self.dir.path().join(format!("away-{device}"));
        let zone = self.zones.get_mut(device).expect(device);
        zone.broken = true;
        fs::rename(&zone.directory, away).expect("take the zone away");
    }

    /// Brings it back.
    pub(crate) fn show(&mut self, device: &str) {
        let away = self.dir.path().join(format!("away-{device}"));
        fs::rename(away, &self.zones[device].directory).expect("bring the zone back");
        self.mend(device);
    }
}

/// A pipe without a writer. Opening it waits for one, as reading a file waits whose driver hangs.
#[derive(Debug)]
pub(crate) struct Pipe {
    path: PathBuf,
}

impl Pipe {
    /// Lets go of whoever hangs on it, whose read finds nothing; false where nobody does.
    pub(crate) fn lets_go(&self) -> bool {
        let mut options = OpenOptions::new();
        options.write(true).custom_flags(OFlag::O_NONBLOCK.bits());
        match options.open(&self.path) {
            Ok(_) => true,
            Err(error) if error.raw_os_error() == Some(Errno::ENXIO as i32) => false,
            Err(error) => panic!("{}: {error}", self.path.display()),
        }
    }
}

impl Zone {
    fn add(&mut self, energy_uj: u64) {
        self.value = (self.value + energy_uj) % self.range;
        if !self.broken {
            self.write();
        }
    }

    fn write(&self) {
        self.replace(format!("{}\n", self.value).as_bytes());
    }

    /// At once, as sysfs does it: nobody reads half of it.
    fn replace(&self, content: &[u8]) {
        let (new, file) = (self.directory.join("new"), self.directory.join("energy_uj"));
        fs::write(&new, content).expect("write a counter");
        fs::rename(new, file).expect("show a counter");
    }
}

/// Moves the counters of a tree in real time until it is dropped.
#[derive(Debug)]
pub(crate) struct Pump {
    tree: Arc<Mutex<Tree>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Pump {
    pub(crate) fn start(mut tree: Tree, watts: &[(&str, f64)]) -> Self {
        for (device, watts) in watts {
            tree.zones.get_mut(*device).expect(device).watts = *watts;
        }
        let (tree, stop) = (Arc::new(Mutex::new(tree)), Arc::new(AtomicBool::new(false)));
        let (its_tree, its_stop) = (Arc::clone(&tree), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let mut last = Instant::now();
            while !its_stop.load(Ordering::Relaxed) {
                thread::sleep(STEP);
                let now = Instant::now();
                let seconds = (now - last).as_secs_f64();
                last = now;
                let Ok(mut tree) = its_tree.lock() else { return };
                for zone in tree.zones.values_mut().filter(|zone| zone.watts > 0.0) {
                    // Duration is the one conversion of floats to integers at hand that can't overflow silently.
                    let microjoules = Duration::from_secs_f64(zone.watts * seconds).as_micros();
                    zone.add(u64::try_from(microjoules).expect("a small number"));
                }
            }
        });
        Self { tree, stop, thread: Some(thread) }
    }

    pub(crate) fn tree(&self) -> MutexGuard<'_, Tree> {
        self.tree.lock().expect("the pump failed")
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its panic shows in the log, and the test fails on what it didn't do.
            let _ = thread.join();
        }
    }
}
