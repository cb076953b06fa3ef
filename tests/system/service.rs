//! The service runs, comes back, and stops.

use std::fs;
use std::time::{Duration, Instant};

use crate::exposition::Exposition;
use crate::machine::{Cgroups, Machine, PATIENCE};
use crate::{skip, wait_for};

/// A watchdog and a restart that a test can wait for.
const HASTY: &str = "[Service]\nWatchdogSec=3s\nRestartSec=100ms\nTimeoutStopSec=2s\n";

/// The first scrape in which a unit has energy; everything before it works then.
fn until_units_are_billed(machine: &Machine) -> Exposition {
    let unit = [("unit", "wattprint.service"), ("component", "cpu")];
    wait_for("energy of the own unit", PATIENCE, || {
        let scrape = machine.scrape();
        let found = scrape.select("wattprint_unit_energy_joules_total", &unit);
        found.iter().any(|sample| sample.value > 0.0).then_some(scrape)
    })
}

fn assert_it_serves(machine: &Machine) {
    assert_eq!(machine.property("ActiveState"), "active");
    let scrape = until_units_are_billed(machine);
    for collector in ["cgroup", "process"] {
        let collector = [("collector", collector)];
        assert_eq!(scrape.value("wattprint_collector_success", &collector), 1.0, "{}", machine.journal());
    }
    assert_eq!(machine.get("/-/ready").as_deref().map(str::is_empty), Some(false));
    assert!(!machine.property("StatusText").is_empty(), "systemctl status has nothing to say");
}

#[test]
#[ignore = "boots a machine: make test-system"]
fn it_is_started_and_scraped_with_cgroups_of_version_2() {
    let machine = Machine::serving("");
    assert_it_serves(&machine);
}

#[test]
#[ignore = "boots a machine: make test-system"]
fn it_is_started_and_scraped_with_hybrid_cgroups() {
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    if !mounts.lines().any(|line| line.split(' ').nth(2) == Some("cgroup")) {
        return skip("hybrid cgroups", "this machine has cgroups of version 2 alone");
    }
    let machine = Machine::boot(Cgroups::Hybrid);
    machine.install();
    machine.run(&["systemctl", "restart", "wattprint"]);
    assert_it_serves(&machine);
}

#[test]
#[ignore = "boots a machine: make test-system"]
fn it_comes_back_when_it_is_killed_and_when_it_hangs() {
    let machine = Machine::serving("");
    machine.drop_in("hasty", HASTY);
    machine.run(&["systemctl", "restart", "wattprint"]);
    for (restarts, signal, complaint) in
        [("1", "KILL", "status=9/KILL"), ("2", "STOP", "Watchdog timeout (limit 3s)!")]
    {
        let pid = machine.property("MainPID");
        machine.run(&["kill", &format!("-{signal}"), &pid]);
        machine.wait_until("NRestarts", restarts);
        machine.wait_until("ActiveState", "active");
        assert_ne!(machine.property("MainPID"), pid);
        until_units_are_billed(&machine);
        assert!(machine.journal().contains(complaint), "{complaint}: {}", machine.journal());
    }
    // One that makes progress isn't killed.
    let begun = Instant::now();
    wait_for("two watchdogs to pass", PATIENCE, || (begun.elapsed() > Duration::from_secs(6)).then_some(()));
    assert_eq!(machine.property("NRestarts"), "2", "{}", machine.journal());
}

#[test]
#[ignore = "boots a machine: make test-system"]
fn a_wrong_setting_ends_it_for_good_and_says_so() {
    let machine = Machine::serving("");
    machine.configure("[web]\nlisten_address = [\"nowhere\"]\n");
    assert!(!machine.output(&["systemctl", "restart", "wattprint"]).status.success());
    assert_eq!(machine.property("ActiveState"), "failed");
    assert_eq!(machine.property("ExecMainStatus"), "2");
    assert_eq!(machine.property("NRestarts"), "0");
    assert!(machine.journal().contains("web.listen_address"), "{}", machine.journal());
}

#[test]
#[ignore = "boots a machine: make test-system"]
fn it_stops_within_two_seconds_and_leaves_nothing_unwritten() {
    let machine = Machine::serving("");
    until_units_are_billed(&machine);
    let begun = Instant::now();
    machine.run(&["systemctl", "stop", "wattprint"]);
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}\n{}", machine.journal());
    assert_eq!(
        (machine.property("ExecMainStatus"), machine.property("Result")),
        ("0".into(), "success".into())
    );
    // A log of writes that is left says that the database wasn't closed.
    let files = machine.run(&["ls", "-A", "/var/lib/wattprint/"]);
    assert!(files.contains("wattprint.sqlite") && !files.contains("-wal"), "{files}");
}

#[test]
#[ignore = "boots a machine: make test-system"]
fn it_is_started_by_the_first_scrape_and_no_scrape_is_refused_while_it_restarts() {
    let machine = Machine::serving("");
    machine.enable_drop_in("socket");
    machine.run(&["systemctl", "disable", "--now", "wattprint"]);
    assert_eq!(machine.get("/-/healthy"), None);
    machine.run(&["systemctl", "enable", "--now", "wattprint.socket"]);
    assert_eq!(machine.property("ActiveState"), "inactive");
    machine.get("/-/healthy").expect("the scrape waits for the start");
    machine.wait_until("ActiveState", "active");
    until_units_are_billed(&machine);
    let counts = machine.shell(
        "systemctl restart wattprint & restart=$!; asked=0; refused=0
         while kill -0 $restart 2>/dev/null; do
           asked=$((asked + 1))
           curl -sf --max-time 10 http://127.0.0.1:10125/-/healthy >/dev/null || refused=$((refused + 1))
         done
         wait $restart && echo $asked $refused",
    );
    let (asked, refused) = counts.split_once(' ').unwrap();
    assert_ne!(asked, "0");
    assert_eq!(refused, "0", "of {asked}: {}", machine.journal());
}
