//! A machine whose kernel files are broken, vanish under the reader, and are far too many.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tempfile::TempDir;

use crate::cgroup::container_id;
use crate::daemon::{Daemon, PATIENCE};
use crate::exposition::Exposition;
use crate::wait_for;

const GROUPS: u64 = 1_000;
const PIDS: u64 = 300;

/// A made-up /proc and /sys; a thread keeps changing them until it is dropped.
struct Machine {
    root: Arc<TempDir>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Machine {
    fn new() -> Self {
        let root = Arc::new(tempfile::tempdir().unwrap());
        frame(root.path());
        let deep = ["deep"; 100].join("/");
        fs::create_dir_all(root.path().join("sys/fs/cgroup").join(deep)).unwrap();
        let names: Vec<PathBuf> = (0..GROUPS).map(group).collect();
        for round in 0..2 {
            change(root.path(), &names, round);
        }
        let (stop, its_root) = (Arc::new(AtomicBool::new(false)), Arc::clone(&root));
        let its_stop = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            for round in 2.. {
                if its_stop.load(Ordering::Relaxed) {
                    return;
                }
                change(its_root.path(), &names, round);
                thread::sleep(Duration::from_millis(20));
            }
        });
        Self { root, stop, thread: Some(thread) }
    }
}

/// The files of the machine that this page leaves alone.
fn frame(root: &Path) {
    let mounts = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n";
    write(&root.join("proc/self/mountinfo"), mounts.as_bytes());
    write(&root.join("proc/cpuinfo"), b"processor\t: 0\n\nprocessor\t: 1\n");
    write(&root.join("proc/meminfo"), b"MemTotal: 9765625 kB\nMemAvailable: 5000000 kB\n");
    write(&root.join("sys/fs/cgroup/cgroup.controllers"), b"cpu memory\n");
}

fn flags(root: &Path) -> [String; 2] {
    let flag = |name, part| format!("--path.{name}={}", root.join(part).display());
    [flag("procfs", "proc"), flag("sysfs", "sys")]
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A failure of its own has failed the test already.
            let _ = thread.join();
        }
    }
}

/// The path of a group: of all kinds, some with names that no label should have to bear.
fn group(number: u64) -> PathBuf {
    match number % 7 {
        0 => format!("system.slice/s{number}.service").into(),
        1 => Path::new("system.slice").join(OsStr::from_bytes(b"\xff\xfe\x80.service")),
        2 => format!("system.slice/a\"b\\c\n{{x=1}}{number}.service").into(),
        3 => format!("slurm/uid_0/job_{number}").into(),
        4 => format!("machine.slice/machine-qemu\\x2d{number}\\x2dguest\\x22{number}.scope").into(),
        _ => format!("docker/{}", container_id()).into(),
    }
}

/// Changes a part of everything: a file advances, breaks, vanishes or comes back.
fn change(root: &Path, groups: &[PathBuf], round: u64) {
    let cgroups = root.join("sys/fs/cgroup");
    let time = round * 20_000;
    let usage = |share: u64| format!("usage_usec {share}\nuser_usec {share}\nsystem_usec 0\n");
    write(&cgroups.join("cpu.stat"), usage(time * 2).as_bytes());
    write(
        &root.join("proc/stat"),
        format!("cpu  {} 0 0 {time} 0 0 0 0 0 0\ncpu0 1\ncpu1 1\n", time / 5_000).as_bytes(),
    );
    for (number, name) in (0..).zip(groups) {
        let is_first = round < 2;
        if !is_first && !(number + round).is_multiple_of(19) {
            continue;
        }
        let (directory, file) = (cgroups.join(name), cgroups.join(name).join("cpu.stat"));
        match (number * 31 + round * 7) % 13 {
            0 if !is_first => drop(fs::remove_dir_all(&directory)),
            1 => write(&file, b""),
            2 => write(&file, b"\xff\xfe\xfd"),
            3 => write(&file, b"usage_usec -5\n"),
            4 => write(&file, b"usage_usec 99999999999999999999999\n"),
            5 => write(&file, &[b'u'; 300_000]),
            6 => write(&file, b"usage_usec"),
            7 => drop(fs::remove_file(&file)),
            _ => write(&file, usage(time / (number + 1)).as_bytes()),
        }
        // What a v2 group shows of memory.
        write(&directory.join("memory.current"), if number % 5 == 0 { b"\xff" } else { b"4096\n" });
    }
    for pid in (2..PIDS).filter(|pid| round < 2 || (pid + round).is_multiple_of(11)) {
        change_process(&root.join("proc").join(pid.to_string()), groups, pid, round);
    }
}

fn change_process(directory: &Path, groups: &[PathBuf], pid: u64, round: u64) {
    let start = 1_000 + round / 100;
    let tail = format!("S 1 1 1 0 -1 4194304 0 0 0 0 {} {} 0 0 20 0 1 0 {start} 1000 100\n", round, pid % 3);
    let stat = |name: &[u8]| [format!("{pid} (").as_bytes(), name, b") ", tail.as_bytes()].concat();
    let stat = match (pid * 17 + round) % 12 {
        0 if round > 1 => return drop(fs::remove_dir_all(directory)),
        1 => Vec::new(),
        2 => stat(b"cut")[..20].to_vec(),
        3 => stat(b"\xff\xfe) S ((\n\"\\"),
        4 => stat(&[b'n'; 200_000]),
        5 => b"not a stat at all".to_vec(),
        6 => format!("{pid} (big) S 1 1 1 0 -1 0 0 0 0 0 {m} {m} 0 0 20 0 1 0 {start} 1 1\n", m = u64::MAX)
            .into(),
        _ => stat(b"worker"),
    };
    write(&directory.join("stat"), &stat);
    let place = groups.get(usize::try_from(pid * 3).unwrap_or(0) % groups.len()).map(PathBuf::as_path);
    let place = place.unwrap_or(Path::new("")).as_os_str().as_bytes();
    let cgroup = match pid % 9 {
        0 => Vec::new(),
        1 => b"\xff\xff\xff".to_vec(),
        2 => b"0::".to_vec(),
        3 => [b"0::/../../..".to_vec(), vec![b'/'; 100_000]].concat(),
        4 => return drop(fs::remove_file(directory.join("cgroup"))),
        _ => [b"0::/", place, b"\n"].concat(),
    };
    write(&directory.join("cgroup"), &cgroup);
}

/// Whoever writes here races with itself removing directories; what fails now comes in another round.
fn write(path: &Path, content: &[u8]) {
    let parent = path.parent().unwrap();
    fs::create_dir_all(parent).unwrap();
    fs::write(path, content).unwrap();
}

#[test]
fn broken_vanishing_and_too_many_files_do_no_harm_and_caps_hold() {
    let machine = Machine::new();
    let config =
        "[limits]\nworkloads = 10\nprocesses = 5\nretention = \"1s\"\n[model]\ncpu_tdp_watts = 100\n";
    let [procfs, sysfs] = flags(machine.root.path());
    let daemon = Daemon::configured(config, &[&procfs, &sysfs, "--sample.interval=300ms"]);
    let mut last = daemon.scrape();
    for _ in 0..15 {
        let snapshot = daemon.ticks(0);
        let rows = |name: &str| snapshot.0[name].as_array().map_or(0, Vec::len);
        assert!(rows("workloads") <= 10, "{} workloads", rows("workloads"));
        let ended = |row: &&serde_json::Value| row["ended"] == true;
        let processes = snapshot.0["processes"].as_array().cloned().unwrap_or_default();
        let dead = processes.iter().filter(ended).count();
        assert!(dead <= 5 && processes.len() - dead <= 5, "{dead} of {} processes ended", processes.len());
        let next = daemon.scrape();
        for family in ["container", "unit", "job", "vm"] {
            let name = format!("wattprint_{family}_energy_joules_total");
            let before = last.select(&name, &[]);
            let owners: BTreeSet<_> = next.select(&name, &[]).iter().map(|sample| &sample.labels).collect();
            // Three cells each: CPU, and active and idle memory.
            assert!(owners.len() <= 30 && before.len() <= 30, "{family}");
        }
        // Only sums are compared: a group whose name is used again after its retention is another one.
        for (component, kind) in [("cpu", "container"), ("cpu", "unit"), ("cpu", "system"), ("dram", "idle")]
        {
            let labels = [("component", component), ("kind", kind)];
            let value =
                |scrape: &Exposition| scrape.value("wattprint_node_owner_energy_joules_total", &labels);
            assert!(value(&next) >= value(&last), "{component} {kind} falls");
        }
        last = next;
        assert_eq!(daemon.get("/-/healthy").status, 200);
    }
    let snapshot = daemon.snapshot();
    for family in ["container", "unit", "job", "vm", "process"] {
        assert!(snapshot.dropped(family) > 0, "{family}: nothing was dropped");
        let dropped = last.value("wattprint_series_dropped_total", &[("family", family)]);
        assert!(dropped > 0.0, "{family}");
    }
    // Those beyond the cap have no series, but their energy is counted as that of their kind.
    // How much of the chaos a tick sees depends on the machine, so this may take a few more.
    for kind in ["container", "unit", "job", "vm"] {
        daemon.until(&format!("energy of a {kind}"), |snapshot| {
            let kinds = &snapshot.component("cpu").unwrap()["energy_by_beneficiary_uj"];
            kinds[kind].as_u64().unwrap() > 0
        });
    }
    daemon.finish();
}

#[test]
fn a_cgroup_tree_that_vanishes_is_told_and_found_again() {
    let root = tempfile::tempdir().unwrap();
    frame(root.path());
    let tree = root.path().join("sys/fs/cgroup");
    for group in ["", "system.slice", "system.slice/a.service"] {
        write(&tree.join(group).join("cpu.stat"), b"usage_usec 5\nuser_usec 5\nsystem_usec 0\n");
        write(&tree.join(group).join("memory.current"), b"4096\n");
    }
    write(&root.path().join("proc/stat"), b"cpu  5 0 0 5 0 0 0 0 0 0\ncpu0 1\ncpu1 1\n");
    let [procfs, sysfs] = flags(root.path());
    let model = "[model]\ncpu_tdp_watts = 100\ncpu_idle_watts = 10\n";
    let daemon = Daemon::configured(model, &[&procfs, &sysfs, "--sample.interval=200ms"]);
    let reasons = || {
        let scrape = daemon.scrape();
        let success = scrape.value("wattprint_collector_success", &[("collector", "cgroup")]);
        let reasons = scrape.select("wattprint_collector_last_error_info", &[("collector", "cgroup")]).len();
        assert_eq!(reasons, usize::from(success < 0.5), "a reason stands where there is no success");
        reasons
    };
    assert_eq!(reasons(), 0);
    let unit = [("kind", "unit"), ("unit", "a.service")];
    let before =
        daemon.until("the unit", |snapshot| snapshot.workload(&unit).is_some_and(|row| !row.has_ended()));
    let away = root.path().join("away");
    fs::rename(&tree, &away).unwrap();
    wait_for("the failure", PATIENCE, || (reasons() == 1).then_some(()));
    let missed =
        daemon.until("its end", |snapshot| snapshot.workload(&unit).is_some_and(|row| row.has_ended()));
    let later = daemon.ticks(2);
    let joules = (later.energy_uj("cpu") - before.energy_uj("cpu")) as f64 / 1e6;
    // Nothing runs there, so the model's idle power is all. In the tick in which /proc/stat takes over, nobody knows
    // how busy the CPUs were.
    let seconds = later.unix_time() - before.unix_time();
    let known = (10.0 * (seconds - 0.25) * 0.95)..(10.0 * seconds * 1.05);
    assert!(known.contains(&joules), "{joules} J in {seconds} s");
    assert!(later.energy_uj("cpu") > missed.energy_uj("cpu"), "the node goes on");
    assert_eq!(daemon.get("/-/healthy").status, 200);
    fs::rename(&away, &tree).unwrap();
    wait_for("the tree again", PATIENCE, || (reasons() == 0).then_some(()));
    daemon.until("the unit again", |snapshot| snapshot.workload(&unit).is_some_and(|row| !row.has_ended()));
    daemon.finish();
}
