//! Processes: a pid that is used again, and many that live for a moment.

use std::fs;
use std::path::PathBuf;

use crate::cgroups::{MODEL, joules_per_cpu_second, sandbox};
use crate::daemon::Daemon;
use crate::load::Load;
use crate::snapshot::{energy_of, integer};
use crate::{assert_close, skip};

/// The pid that the next process of this pid namespace gets is one above this (proc_sys_kernel(5)).
pub(crate) const LAST_PID: &str = "/proc/sys/kernel/ns_last_pid";

#[test]
fn a_pid_that_is_used_again_starts_from_its_own_time() {
    let test = "a_pid_that_is_used_again_starts_from_its_own_time";
    let Some(sandbox) = sandbox(test) else { return };
    let own = fs::read_to_string(LAST_PID).unwrap_or_default();
    if let Err(error) = fs::write(LAST_PID, own.trim()) {
        return skip(test, &format!("{LAST_PID}: {error}; needs root and CONFIG_CHECKPOINT_RESTORE"));
    }
    let daemon = Daemon::modelled(MODEL, &[]);
    // Other processes start meanwhile, so it may take some tries.
    for _ in 0..20 {
        let ((first, first_id), (second, second_id)) = (sandbox.container(), sandbox.container());
        let old = Load::start(&[&first], &["hold", "600"]);
        let pid = old.pid();
        let has = |joules: f64| {
            move |rows: Vec<serde_json::Value>| {
                rows.iter().any(|row| energy_of(row, "cpu") as f64 / 1e6 > joules)
            }
        };
        let enough = 0.55 * joules_per_cpu_second();
        daemon.until("the first process", |snapshot| has(enough)(snapshot.processes(pid)));
        drop(old);
        fs::write(LAST_PID, (pid - 1).to_string()).unwrap();
        let new = Load::start(&[&second], &["hold", "200"]);
        if new.pid() != pid {
            continue;
        }
        let enough = 0.18 * joules_per_cpu_second();
        let snapshot = daemon.until("the second process", |snapshot| {
            snapshot.container(&second_id).is_some_and(|row| row.joules("cpu") > enough)
        });
        let snapshot = if snapshot.processes(pid).len() == 2 { snapshot } else { daemon.ticks(0) };
        let rows = snapshot.processes(pid);
        assert_eq!(rows.len(), 2, "{rows:?}");
        for (cgroup, id, has_ended) in [(&first, &first_id, true), (&second, &second_id, false)] {
            let row = rows.iter().find(|row| row["owner"]["id"] == **id);
            let row = row.unwrap_or_else(|| panic!("no process of {id} in {rows:?}"));
            assert_eq!(row["ended"], has_ended, "{row}");
            let joules = energy_of(row, "cpu") as f64 / 1e6;
            assert_close("joules", joules, cgroup.cpu_seconds() * joules_per_cpu_second(), 0.1);
            let labels = [("pid", &*pid.to_string()), ("container_id", &id[..12]), ("component", "cpu")];
            let scraped = daemon.scrape().value("wattprint_process_energy_joules_total", &labels);
            assert_close("scraped", scraped, joules, 0.1);
        }
        let begun = |row: &serde_json::Value| integer(&row["start_time_ticks"]);
        assert_ne!(begun(&rows[0]), begun(&rows[1]));
        drop(new);
        return daemon.finish();
    }
    panic!("pid was never given again");
}

#[test]
fn thousands_of_short_processes_are_counted_and_none_stays() {
    let Some(sandbox) = sandbox("thousands_of_short_processes_are_counted_and_none_stays") else { return };
    let daemon = Daemon::modelled(MODEL, &["--sample.interval=500ms"]);
    let ((storm, storm_id), (other, other_id)) = (sandbox.container(), sandbox.container());
    let loads = [&storm, &other].map(|cgroup| Load::start(&[cgroup], &["storm", "1000", "1"]));
    let mut last = daemon.scrape();
    for _ in 0..4 {
        daemon.ticks(0);
        let next = daemon.scrape();
        last.assert_never_falls(&next);
        last = next;
    }
    for load in loads {
        load.join();
    }
    let snapshot = daemon.ticks(1);
    for (cgroup, id) in [(&storm, &storm_id), (&other, &other_id)] {
        let row = snapshot.container(id).unwrap();
        assert_close("joules", row.joules("cpu"), cgroup.cpu_seconds() * joules_per_cpu_second(), 0.05);
    }
    let open = fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap();
    let targets = open.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    let of_process = |target: &PathBuf| {
        let pid = target.strip_prefix("/proc").ok().and_then(|rest| rest.iter().next()?.to_str());
        pid.is_some_and(|pid| pid.parse::<u32>().is_ok_and(|pid| pid != daemon.pid()))
    };
    let left: Vec<PathBuf> = targets.filter(of_process).collect();
    assert!(left.is_empty(), "files of processes stay open: {left:?}");
    daemon.finish();
}
