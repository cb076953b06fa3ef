//! Install, upgrade, remove and purge.

use crate::exposition::Exposition;
use crate::machine::{Cgroups, Machine, PATIENCE};
use crate::package::Packages;
use crate::wait_for;

/// A source that needs no network: a figure that another process writes.
const GRID: &str = "[carbon]\nzone = \"DE\"\nstartup_spread = \"0s\"\n[[carbon.source]]\nprovider = \"file\"\n\
                    path = \"/srv/grid/intensity\"\nbasis = \"lifecycle\"\ninterval = \"1s\"\n";
const INTENSITY: &str = "wattprint_grid_carbon_intensity_grams_per_kwh";

fn exists(machine: &Machine, path: &str) -> bool {
    machine.output(&["test", "-e", path]).status.success()
}

fn until_intensity(machine: &Machine, grams: f64) -> Exposition {
    wait_for(&format!("{grams} g/kWh"), PATIENCE, || {
        let scrape = Exposition::parse(&machine.get("/metrics")?);
        let from_source = scrape.select(INTENSITY, &[("provider", "file"), ("quality", "measured")]);
        from_source.iter().any(|sample| sample.value == grams).then_some(scrape)
    })
}

#[test]
#[ignore = "boots a machine: make test-system"]
fn an_installed_package_runs_and_starts_with_the_machine() {
    let machine = Machine::boot(Cgroups::Unified);
    machine.install();
    assert_eq!(machine.run(&["systemctl", "is-enabled", "wattprint.service"]), "enabled");
    machine.wait_until("ActiveState", "active");
    assert!(machine.get("/metrics").is_some(), "{}", machine.journal());
    // What it installs is as it was packed, and nobody but root may change it.
    assert_eq!(machine.run(&["dpkg", "--verify", "wattprint"]), "");
    let foreign = machine.shell(
        "dpkg -L wattprint | while read -r path; do find \"$path\" -prune ! -type l '(' ! -user root -o -perm /022 ')'; done",
    );
    assert_eq!(foreign, "");
    for path in
        ["/etc/wattprint/config.toml", "/etc/default/wattprint", "/usr/share/wattprint/dropins/ptrace.conf"]
    {
        assert!(exists(&machine, path), "{path}");
    }
}

#[test]
#[ignore = "boots a machine: make test-system"]
fn state_and_configuration_outlive_a_restart_and_an_upgrade() {
    let machine = Machine::boot(Cgroups::Unified);
    machine.write("/srv/grid/intensity", "123\n");
    machine.install();
    machine.configure(GRID);
    machine.run(&["systemctl", "restart", "wattprint"]);
    until_intensity(&machine, 123.0);
    // Sources are kept now and then only, but at the end in any case.
    machine.write("/srv/grid/intensity", "456\n");
    until_intensity(&machine, 456.0);
    // From here on the figure is in the state directory alone.
    machine.run(&["rm", "/srv/grid/intensity"]);
    machine.run(&["systemctl", "restart", "wattprint"]);
    until_intensity(&machine, 456.0);
    let pid = machine.property("MainPID");
    machine.upgrade();
    let version = machine.run(&["dpkg-query", "--show", "--showformat", "${Version}", "wattprint"]);
    assert_eq!(version, Packages::NEXT_VERSION);
    machine.wait_until("ActiveState", "active");
    assert_ne!(machine.property("MainPID"), pid, "the old binary still runs");
    until_intensity(&machine, 456.0);
    assert_eq!(machine.run(&["cat", "/etc/wattprint/config.toml"]), GRID.trim());
}

#[test]
#[ignore = "boots a machine: make test-system"]
fn an_upgrade_leaves_a_stopped_service_stopped() {
    let machine = Machine::serving("");
    machine.run(&["systemctl", "disable", "--now", "wattprint"]);
    machine.upgrade();
    assert_eq!(machine.property("ActiveState"), "inactive");
    let enabled = machine.output(&["systemctl", "is-enabled", "wattprint.service"]);
    assert_eq!(String::from_utf8_lossy(&enabled.stdout).trim(), "disabled");
}

#[test]
#[ignore = "boots a machine: make test-system"]
fn removal_keeps_what_the_user_wrote_and_a_purge_keeps_nothing() {
    let machine = Machine::serving("# mine\n");
    let before = machine.run(&["dpkg", "-L", "wattprint"]);
    machine.run(&["systemctl", "enable", "wattprint.socket"]);
    machine.dpkg(&["--remove", "wattprint"]);
    machine.run(&["systemctl", "daemon-reload"]);
    assert_eq!(machine.output(&["pidof", "wattprint"]).status.code(), Some(1));
    assert_eq!(machine.property("LoadState"), "not-found");
    assert_eq!(machine.run(&["cat", "/etc/wattprint/config.toml"]), "# mine");
    assert!(exists(&machine, "/var/lib/wattprint/wattprint.sqlite"));
    assert!(!exists(&machine, "/usr/bin/wattprint"));
    machine.dpkg(&["--purge", "wattprint"]);
    let shared = |path: &&str| path.contains("wattprint");
    for path in before.lines().filter(shared).chain(["/var/lib/wattprint", "/var/lib/private/wattprint"]) {
        assert!(!exists(&machine, path), "{path}");
    }
    let links = machine.run(&["find", "/etc/systemd", "/var/lib/systemd", "-name", "wattprint*"]);
    assert_eq!(links, "");
    assert_eq!(
        machine.run(&["systemctl", "list-units", "--failed", "--plain", "--no-legend", "wattprint*"]),
        ""
    );
    // It can come back, and after a removal that left its configuration, too.
    machine.install();
    machine.wait_until("ActiveState", "active");
    machine.dpkg(&["--remove", "wattprint"]);
    machine.install();
    machine.wait_until("ActiveState", "active");
}
