//! Real cgroups, on whichever hierarchy accounts CPU time here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// One mounted hierarchy.
#[derive(Clone, Debug)]
pub(crate) struct Hierarchy {
    mount: PathBuf,
    is_v1: bool,
}

impl Hierarchy {
    /// v1 `cpuacct` where it is mounted, else v2: what `/proc/self/mountinfo` says (proc_pid_mountinfo(5)).
    pub(crate) fn primary() -> Option<Self> {
        mounted("cpuacct").or_else(|| mounted(""))
    }

    /// Where it is mounted.
    pub(crate) fn mount(&self) -> &Path {
        &self.mount
    }

    /// The v2 tree beside a v1 `cpuacct`.
    pub(crate) fn beside() -> Option<Self> {
        mounted("cpuacct").and_then(|_| mounted(""))
    }
}

/// The hierarchy of a v1 controller, or v2 for an empty name.
fn mounted(controller: &str) -> Option<Hierarchy> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    mounts.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let mut kind = kind.split(' ');
        let is_v1 = match kind.next()? {
            "cgroup" => true,
            "cgroup2" => false,
            _ => return None,
        };
        let fits = if is_v1 {
            !controller.is_empty() && kind.nth(1)?.split(',').any(|option| option == controller)
        } else {
            controller.is_empty()
        };
        fits.then_some(())?;
        Some(Hierarchy { mount: place.split(' ').nth(4)?.into(), is_v1 })
    })
}

/// A part of a hierarchy that belongs to one test; all of it is removed when dropped.
#[derive(Debug)]
pub(crate) struct Sandbox {
    hierarchy: Hierarchy,
    directory: PathBuf,
}

impl Sandbox {
    /// The reason if this machine or user can't have one.
    pub(crate) fn new(hierarchy: Option<Hierarchy>) -> Result<Self, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let hierarchy = hierarchy.ok_or("this machine has no such cgroup hierarchy")?;
        let name = format!("wattprint-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let directory = hierarchy.mount.join(name);
        let why = |error| format!("{}: {error}; making cgroups needs root", directory.display());
        fs::create_dir(&directory).map_err(why)?;
        Ok(Self { hierarchy, directory })
    }

    /// Makes a cgroup and those above it; `path` is relative.
    pub(crate) fn cgroup(&self, path: &str) -> Cgroup {
        let directory = self.directory.join(path);
        fs::create_dir_all(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
        Cgroup { directory, is_v1: self.hierarchy.is_v1 }
    }

    /// Makes the cgroup of a docker container, and gives its id too.
    pub(crate) fn container(&self) -> (Cgroup, String) {
        let id = container_id();
        (self.cgroup(&format!("docker/{id}")), id)
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        remove_tree(&self.directory);
    }
}

/// An id as Docker makes them, another one each time.
pub(crate) fn container_id() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    // The first 12 digits must tell them apart: that is what labels show.
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{:08x}{count:04x}{:052x}", std::process::id(), 0xabc)
}

/// One cgroup.
#[derive(Debug)]
pub(crate) struct Cgroup {
    directory: PathBuf,
    is_v1: bool,
}

impl Cgroup {
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// CPU time of all that ever ran in it or below it, by the kernel's account.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let (name, key, per_second) =
            if self.is_v1 { ("cpuacct.usage", "", 1e9) } else { ("cpu.stat", "usage_usec ", 1e6) };
        let text = fs::read_to_string(self.directory.join(name)).expect(name);
        let value = text.lines().find_map(|line| line.strip_prefix(key)).expect(name);
        value.trim().parse::<f64>().expect(name) / per_second
    }

    /// Removes it and all below.
    pub(crate) fn remove(self) {
        remove_tree(&self.directory);
        assert!(!self.directory.exists(), "{} stays", self.directory.display());
    }
}

/// Removes cgroups from the leaves up, after ending what a failed test left in them.
fn remove_tree(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    let begun = Instant::now();
    // The kernel lets go of a cgroup a moment after its last process.
    while fs::remove_dir(directory).is_err() && directory.exists() && begun.elapsed() < Duration::from_secs(5)
    {
        let procs = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
        for pid in procs.lines().filter_map(|line| line.parse::<u32>().ok()) {
            // It may end by itself just now.
            let _ = Command::new("sh").args(["-c", &format!("kill -KILL {pid} 2>/dev/null")]).status();
        }
        thread::sleep(Duration::from_millis(5));
    }
}
