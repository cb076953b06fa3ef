//! A full node: 250 pods of 10 containers, of which 50 change each second. The cgroups are made up, as real ones would crowd out
//! those of the tests beside this one.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::rig::{Pod, Rig};
use super::server::ApiServer;
use crate::cgroup::{Hierarchy, container_id};
use crate::daemon::PATIENCE;
use crate::{skip, wait_for};

const PODS: usize = 250;
const CONTAINERS: usize = 10;
/// How long things change, in seconds, and how often in each.
const SECONDS: u64 = 6;
const CHANGES: u64 = 50;

#[test]
fn a_full_node_with_churn_is_named_and_ticks_stay_on_time() {
    let Some(tree) = Tree::new() else {
        return skip("a_full_node_with_churn_is_named_and_ticks_stay_on_time", "this machine has no cgroups");
    };
    let server = ApiServer::new();
    let mut pods: Vec<Pod> =
        (0..PODS).map(|number| Pod::new(&format!("web-6f7d8c9b5-{number:05}"))).collect();
    let mut cgroups = Vec::new();
    for pod in &mut pods {
        let ids: Vec<String> = (0..CONTAINERS).map(|number| pod.container(&format!("c{number}"))).collect();
        cgroups.push(ids.iter().map(|id| tree.cgroup(&pod.path(id))).collect::<Vec<_>>());
        server.put(pod.json());
    }
    let config = format!(
        "[names]\nlabels = [\"step\"]\n[limits]\nworkloads = 6000\n[path]\nsysfs = \"{}\"\n",
        tree.sysfs.path().display()
    );
    let rig = Rig::start(server, "30s", &config);
    let named = |what: &str, least: usize| {
        wait_for(what, PATIENCE, || {
            let scrape = rig.daemon.scrape();
            let rows =
                scrape.select("wattprint_container_info", &[("namespace", "shop"), ("owner_name", "web")]);
            let named =
                rows.iter().filter(|row| row.labels.get("container").is_some_and(|name| !name.is_empty()));
            (named.count() >= least).then_some(())
        });
    };
    named("all names", PODS * CONTAINERS);
    let resident_before = resident_mib(rig.daemon.pid());

    let (begun, first) = (Instant::now(), rig.daemon.snapshot().sequence());
    let server = rig.server.clone();
    let (mut ticks, mut churned) = (BTreeMap::new(), Duration::ZERO);
    thread::scope(|scope| {
        let churn = scope.spawn(|| {
            for change in 0..SECONDS * CHANGES {
                let number = usize::try_from(change).unwrap();
                let pod = &mut pods[number % PODS];
                if change % 2 == 0 {
                    pod.label("step", &format!("s{change}"));
                } else {
                    // A restart.
                    let id = container_id();
                    let slot = number / PODS % CONTAINERS;
                    let fresh = tree.cgroup(&pod.path(&id));
                    pod.restart(&format!("c{slot}"), &id);
                    let old = std::mem::replace(&mut cgroups[number % PODS][slot], fresh);
                    fs::remove_dir_all(old).unwrap();
                }
                server.put(pod.json());
                let due = Duration::from_millis((change + 1) * 1_000 / CHANGES);
                thread::sleep(due.saturating_sub(begun.elapsed()));
            }
            churned = begun.elapsed();
        });
        while !churn.is_finished() {
            let snapshot = rig.daemon.snapshot();
            ticks.insert(snapshot.sequence(), snapshot.sample_seconds());
        }
        churn.join().unwrap();
    });
    let (took, last) = (begun.elapsed(), rig.daemon.snapshot().sequence());
    assert!((last - first) as f64 >= 0.8 * took.as_secs_f64() - 1.0, "{} ticks in {took:?}", last - first);
    let mean = ticks.values().sum::<f64>() / ticks.len() as f64;
    let slowest = ticks.values().copied().fold(0.0, f64::max);
    assert!(mean < 0.5, "ticks take {mean:.3} s on average");
    let restarts = usize::try_from(SECONDS * CHANGES / 2).unwrap();
    named("the names of restarted ones", PODS * CONTAINERS + restarts);
    let resident = resident_mib(rig.daemon.pid());
    assert!(resident < 250.0, "{resident} MiB");
    report(&format!(
        "{PODS} pods of {CONTAINERS}: resident {resident_before:.1} MiB, {resident:.1} MiB after {restarts} restarts; {} changes \
         in {churned:.1?}; {} ticks in {took:.1?}, of {:.1} ms on average and {:.1} ms at most",
        SECONDS * CHANGES,
        last - first,
        mean * 1e3,
        slowest * 1e3
    ));
    assert_eq!(rig.server.asked(&["watch=true"]), 1, "one watch for all of it");
    rig.daemon.finish();
}

/// A made-up /sys with cgroups in which nothing ever ran.
struct Tree {
    sysfs: TempDir,
    hierarchy: Hierarchy,
}

impl Tree {
    fn new() -> Option<Self> {
        let tree = Self { sysfs: tempfile::tempdir().unwrap(), hierarchy: Hierarchy::primary()? };
        tree.cgroup("");
        Some(tree)
    }

    /// Makes a cgroup and those above it.
    fn cgroup(&self, path: &str) -> PathBuf {
        let mount = self.hierarchy.mount().strip_prefix("/sys").expect("cgroups are below /sys");
        let top = self.sysfs.path().join(mount);
        let directory = if path.is_empty() { top } else { top.join(path) };
        fs::create_dir_all(&directory).unwrap();
        let (file, text) = self.hierarchy.unused();
        for directory in
            directory.ancestors().take(4).filter(|directory| directory.starts_with(self.sysfs.path()))
        {
            if !directory.join(file).exists() {
                fs::write(directory.join(file), text).unwrap();
            }
        }
        directory
    }
}

/// Memory of a process, from proc_pid_status(5).
fn resident_mib(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<f64>().unwrap() / 1024.0
}

#[allow(clippy::print_stderr, reason = "whoever looks for the cost finds it there")]
fn report(text: &str) {
    eprintln!("{text}");
}
