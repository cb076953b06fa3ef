//! A reload takes a good file and refuses a bad one.

use crate::exposition::Exposition;
use crate::machine::{Machine, PATIENCE};
use crate::wait_for;

const INTENSITY: &str = "wattprint_grid_carbon_intensity_grams_per_kwh";
const SUCCESSFUL: &str = "wattprint_config_last_reload_successful";

fn grams(intensity: &str) -> String {
    format!("[carbon]\nintensity = {intensity}\nbasis = \"lifecycle\"\n")
}

/// The first scrape after a reload that shows this success and this intensity.
fn reload(machine: &Machine, successful: f64, intensity: f64) -> Exposition {
    machine.run(&["systemctl", "reload", "wattprint"]);
    let what = format!("{SUCCESSFUL} {successful} with {intensity} g/kWh");
    wait_for(&what, PATIENCE, || {
        let scrape = machine.scrape();
        let shows =
            |name: &str, value: f64| scrape.select(name, &[]).iter().any(|sample| sample.value == value);
        (shows(SUCCESSFUL, successful) && shows(INTENSITY, intensity)).then_some(scrape)
    })
}

#[test]
#[ignore = "boots a machine: make test-system"]
fn a_reload_takes_a_good_file_keeps_counters_and_refuses_a_bad_file() {
    let machine = Machine::serving(&grams("100.0"));
    let pid = machine.property("MainPID");
    let first = machine.scrape();
    machine.configure(&grams("200.0"));
    let second = reload(&machine, 1.0, 200.0);
    first.assert_never_falls(&second);
    for (bad, complaint) in [(grams("\"much\""), "carbon.intensity"), ("[carbon\n".to_owned(), "config.toml")]
    {
        machine.configure(&bad);
        let third = reload(&machine, 0.0, 200.0);
        second.assert_never_falls(&third);
        assert_eq!(machine.property("ActiveState"), "active");
        assert!(machine.journal().contains(complaint), "{complaint}: {}", machine.journal());
    }
    machine.configure(&grams("300.0"));
    second.assert_never_falls(&reload(&machine, 1.0, 300.0));
    assert_eq!((machine.property("MainPID"), machine.property("NRestarts")), (pid, "0".into()));
}
