//! Real processes in real cgroups: energy goes where the kernel saw the CPU time.

use crate::cgroup::{Cgroup, Hierarchy, Sandbox, container_id};
use crate::daemon::Daemon;
use crate::load::Load;
use crate::snapshot::{Snapshot, Workload};
use crate::{assert_close, skip};

/// How far joules may be from the share that the kernel's accounting gives.
const TOLERANCE: f64 = 0.05;

/// A model with round numbers, so that the joules of a CPU second are known.
pub(crate) const MODEL: &str = "[model]\ncpu_tdp_watts = 1000\ncpu_idle_watts = 200\n";

/// Joules of active energy for each second of CPU time, by [`MODEL`].
pub(crate) fn joules_per_cpu_second() -> f64 {
    let stat = std::fs::read_to_string("/proc/stat").unwrap();
    let cpus = stat.lines().skip(1).take_while(|line| line.starts_with("cpu")).count();
    800.0 / cpus as f64
}

/// A sandbox in the primary hierarchy; says so if there can't be one.
pub(crate) fn sandbox(test: &str) -> Option<Sandbox> {
    sandbox_in(test, Hierarchy::primary())
}

fn sandbox_in(test: &str, hierarchy: Option<Hierarchy>) -> Option<Sandbox> {
    Sandbox::new(hierarchy).map_err(|why| skip(test, &why)).ok()
}

/// The workload's CPU time and active energy are what the kernel counted.
fn assert_agrees(what: &str, workload: Option<Workload>, kernel_seconds: f64) {
    let workload = workload.unwrap_or_else(|| panic!("{what} isn't there"));
    assert!(kernel_seconds > 0.0);
    assert_close(&format!("{what}, CPU seconds"), workload.cpu_seconds(), kernel_seconds, TOLERANCE);
    let expected = kernel_seconds * joules_per_cpu_second();
    assert_close(&format!("{what}, joules"), workload.joules("cpu"), expected, TOLERANCE);
}

/// What it is, its path, and fields of the owner that it names.
type Place<'a> = (&'a str, String, Vec<(&'a str, &'a str)>);

/// Starts a load in a cgroup and waits for its end.
fn burn(cgroup: &Cgroup, mode: &[&str]) {
    Load::start(&[cgroup], mode).join();
}

#[test]
fn steady_loads_and_a_storm_share_as_the_kernel_counts() {
    let Some(sandbox) = sandbox("steady_loads_and_a_storm_share_as_the_kernel_counts") else { return };
    let daemon = Daemon::modelled(MODEL, &[]);
    let ((twenty, twenty_id), (forty, forty_id)) = (sandbox.container(), sandbox.container());
    let (storm, storm_id) = sandbox.container();
    let loads = [
        Load::start(&[&twenty], &["steady", "200", "2000"]),
        Load::start(&[&forty], &["steady", "400", "4000"]),
        Load::start(&[&storm], &["storm", "1000", "5"]),
    ];
    let before = daemon.scrape();
    for load in loads {
        load.join();
    }
    let snapshot = daemon.ticks(1);
    let scrape = daemon.scrape();
    before.assert_never_falls(&scrape);
    for (what, cgroup, id) in
        [("20 %", &twenty, &twenty_id), ("40 %", &forty, &forty_id), ("storm", &storm, &storm_id)]
    {
        assert_agrees(what, snapshot.container(id), cgroup.cpu_seconds());
        let labels =
            [("container_id", &id[..12]), ("runtime", "docker"), ("component", "cpu"), ("state", "active")];
        let joules = scrape.value("wattprint_container_energy_joules_total", &labels);
        assert_close(what, joules, cgroup.cpu_seconds() * joules_per_cpu_second(), TOLERANCE);
        let grams = scrape.value("wattprint_container_emissions_grams_total", &labels[..3]);
        let intensity = scrape.select("wattprint_grid_carbon_intensity_grams_per_kwh", &[])[0].value;
        assert_close("grams", grams, joules / 3.6e6 * intensity, 1e-3);
    }
    let joules = |id: &str| snapshot.container(id).unwrap().joules("cpu");
    let by_kernel = forty.cpu_seconds() / twenty.cpu_seconds();
    assert_close("ratio", joules(&forty_id) / joules(&twenty_id), by_kernel, TOLERANCE);
    daemon.finish();
}

#[test]
fn a_container_that_ends_keeps_its_values_with_the_last_partial_interval() {
    let test = "a_container_that_ends_keeps_its_values_with_the_last_partial_interval";
    let Some(sandbox) = sandbox(test) else { return };
    let daemon = Daemon::modelled(MODEL, &[]);
    let ((ending, id), (other, other_id)) = (sandbox.container(), sandbox.container());
    let neighbour = Load::start(&[&other], &["steady", "300", "3000"]);
    // It is seen alive, then ends between two ticks.
    burn(&ending, &["once", "1700"]);
    let kernel = ending.cpu_seconds();
    ending.remove();
    let ended =
        daemon.until("its end", |snapshot| snapshot.container(&id).is_some_and(|row| row.has_ended()));
    assert_agrees("ended", ended.container(&id), kernel);
    neighbour.join();
    let later = daemon.ticks(1);
    assert_agrees("neighbour", later.container(&other_id), other.cpu_seconds());
    let values = |snapshot: &Snapshot| {
        let row = snapshot.container(&id).unwrap();
        (row.joules("cpu"), row.cpu_seconds())
    };
    assert_eq!(values(&later), values(&ended), "an ended container's values change");
    let labels = [("container_id", &id[..12]), ("component", "cpu")];
    assert!(daemon.scrape().value("wattprint_container_power_watts", &labels).abs() < 1e-9);
    daemon.finish();
}

#[test]
fn what_comes_and_goes_between_two_ticks_is_not_lost() {
    let Some(sandbox) = sandbox("what_comes_and_goes_between_two_ticks_is_not_lost") else { return };
    let around = sandbox.cgroup("system.slice/around.service");
    let daemon = Daemon::modelled(MODEL, &["--sample.interval=2s"]);
    let unit = [("kind", "unit"), ("unit", "around.service")];
    let got = |snapshot: &Snapshot, id: &str| {
        let unit = snapshot.workload(&unit).unwrap().joules("cpu");
        unit + snapshot.container(id).map_or(0.0, |row| row.joules("cpu"))
    };
    for _ in 0..5 {
        let id = container_id();
        let before = daemon.ticks(0);
        let kernel_before = around.cpu_seconds();
        let short = sandbox.cgroup(&format!("system.slice/around.service/docker/{id}"));
        burn(&short, &["once", "300"]);
        short.remove();
        let in_time = daemon.snapshot().sequence() == before.sequence();
        let after = daemon.ticks(1);
        let used = around.cpu_seconds() - kernel_before;
        let joules = got(&after, &id) - got(&before, &id);
        assert!(used > 0.25);
        assert_close("joules", joules, used * joules_per_cpu_second(), TOLERANCE);
        if in_time {
            return daemon.finish();
        }
    }
    panic!("300 ms of CPU time never fit between two ticks");
}

#[test]
fn owners_of_all_kinds_are_found_and_what_is_nested_belongs_to_the_outermost() {
    let test = "owners_of_all_kinds_are_found_and_what_is_nested_belongs_to_the_outermost";
    let Some(sandbox) = sandbox(test) else { return };
    let daemon = Daemon::modelled(MODEL, &[]);
    let (outer, inner) = (container_id(), container_id());
    let owners: [Place<'_>; 5] = [
        ("nested", format!("docker/{outer}/docker/{inner}"), vec![("kind", "container"), ("id", &outer)]),
        ("unit", "system.slice/wpt.service".into(), vec![("kind", "unit"), ("unit", "wpt.service")]),
        (
            "job",
            "slurm/uid_1000/job_4242/step_0/task_0".into(),
            vec![("kind", "job"), ("manager", "slurm"), ("id", "4242")],
        ),
        (
            "vm",
            r"machine.slice/machine-qemu\x2d3\x2dweb\x2d1.scope/libvirt/emulator".into(),
            vec![("kind", "vm"), ("name", "web-1")],
        ),
        (
            "pod's container",
            format!("kubepods/burstable/podc2b7e2a5-0b6c-4c6e-9d0e-0123456789ab/{}", container_id()),
            vec![("kind", "container"), ("pod_uid", "c2b7e2a5-0b6c-4c6e-9d0e-0123456789ab")],
        ),
    ];
    let cgroups: Vec<Cgroup> = owners.iter().map(|(_, path, _)| sandbox.cgroup(path)).collect();
    let loads: Vec<Load> = (0..)
        .zip(&cgroups)
        .map(|(at, cgroup)| Load::start(&[cgroup], &["steady", "200", &(400 + 100 * at).to_string()]))
        .collect();
    for load in loads {
        load.join();
    }
    let snapshot = daemon.ticks(1);
    for ((what, _, fields), cgroup) in owners.iter().zip(&cgroups) {
        assert_agrees(what, snapshot.workload(fields), cgroup.cpu_seconds());
    }
    assert!(snapshot.container(&inner).is_none(), "a nested container has an account of its own");
    let scrape = daemon.scrape();
    let job = [
        ("manager", "slurm"),
        ("job_id", "4242"),
        ("user", "1000"),
        ("component", "cpu"),
        ("state", "active"),
    ];
    assert!(scrape.value("wattprint_job_energy_joules_total", &job) > 0.0);
    let vm = [("vm", "web-1"), ("component", "cpu"), ("state", "active")];
    assert!(scrape.value("wattprint_vm_energy_joules_total", &vm) > 0.0);
    daemon.finish();
}

#[test]
fn on_a_hybrid_machine_groups_of_the_second_tree_are_owners_too() {
    let test = "on_a_hybrid_machine_groups_of_the_second_tree_are_owners_too";
    let Some(second) = sandbox_in(test, Hierarchy::beside()) else { return };
    let Some(first) = sandbox(test) else { return };
    let daemon = Daemon::modelled(MODEL, &[]);
    // One is known to the second tree only, one to both, as under a hybrid systemd.
    let (alone, alone_id) = second.container();
    let service = second.cgroup("system.slice/wpt-hybrid.service");
    let (both, both_id) = first.container();
    let both_second = second.cgroup(&format!("docker/{both_id}"));
    let loads = [
        Load::start(&[&alone], &["steady", "300", "1500"]),
        Load::start(&[&service], &["steady", "200", "1000"]),
        Load::start(&[&both, &both_second], &["steady", "200", "1000"]),
    ];
    for load in loads {
        load.join();
    }
    let snapshot = daemon.ticks(1);
    assert_agrees("alone", snapshot.container(&alone_id), alone.cpu_seconds());
    let unit = snapshot.workload(&[("kind", "unit"), ("unit", "wpt-hybrid.service")]);
    assert_agrees("service", unit, service.cpu_seconds());
    assert_agrees("both", snapshot.container(&both_id), both.cpu_seconds());
    daemon.finish();
}
