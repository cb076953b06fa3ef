//! Hardware counters: what is added up, what isn't, and what happens when they misbehave.

use serde_json::Value;

use crate::daemon::{Daemon, PATIENCE, run};
use crate::rapl_tree::{Pump, RANGE, Tree};
use crate::snapshot::{Snapshot, integer};
use crate::{assert_close, wait_for};

/// The model draws as much as the counters show, so that the node's energy is known whichever is in use.
const SAME_AS_COUNTER: &str = "[model]\ncpu_tdp_watts = 95\ncpu_idle_watts = 95\n";
const WATTS: f64 = 95.0;

fn meter<'a>(snapshot: &'a Snapshot, device: &str) -> &'a Value {
    snapshot.meter(device).unwrap_or_else(|| panic!("no meter {device}"))
}

fn is_up(snapshot: &Snapshot, device: &str) -> bool {
    meter(snapshot, device)["up"].as_bool().expect("up")
}

fn reason(snapshot: &Snapshot, device: &str) -> String {
    meter(snapshot, device)["reason"].as_str().expect("reason").to_owned()
}

/// Looks at each snapshot on the way: sums hold, nothing falls, no power is beyond belief.
struct Watch<'a> {
    daemon: &'a Daemon,
    first: Snapshot,
    last: Snapshot,
}

impl<'a> Watch<'a> {
    fn new(daemon: &'a Daemon) -> Self {
        let first = daemon.until("a measured tick", |snapshot| {
            snapshot.quality("cpu") == "measured" && snapshot.energy_uj("cpu") > 0
        });
        Self { daemon, last: first.clone(), first }
    }

    fn until(&mut self, what: &str, fits: impl Fn(&Snapshot) -> bool) {
        wait_for(what, PATIENCE, || {
            let now = self.daemon.snapshot();
            assert!(now.energy_uj("cpu") >= self.last.energy_uj("cpu"), "{what}: energy falls");
            let power = now.component("cpu").and_then(|row| row["power_watts"].as_f64());
            assert!(power.is_none_or(|watts| watts < WATTS * 2.0), "{what}: {power:?} W");
            self.last = now;
            fits(&self.last).then_some(())
        });
    }

    /// The energy of all that time is that of the constant power.
    fn assert_complete(&self, tolerance: f64) {
        let joules = (self.last.energy_uj("cpu") - self.first.energy_uj("cpu")) as f64 / 1e6;
        let seconds = self.last.unix_time() - self.first.unix_time();
        assert_close("joules", joules, WATTS * seconds, tolerance);
    }
}

#[test]
fn packages_and_memory_are_added_up_and_nothing_else() {
    let mut tree = Tree::new();
    let zones: [(&str, &str, f64); 10] = [
        ("intel-rapl:0", "package-0", 95.0),
        ("intel-rapl:0/intel-rapl:0:0", "core", 70.0),
        ("intel-rapl:0/intel-rapl:0:1", "uncore", 3.0),
        ("intel-rapl:0/intel-rapl:0:2", "dram", 11.0),
        ("intel-rapl:1", "package-1", 60.0),
        ("intel-rapl:1/intel-rapl:1:0", "core", 50.0),
        ("intel-rapl:1/intel-rapl:1:1", "dram", 7.0),
        ("intel-rapl:2", "psys", 250.0),
        ("intel-rapl-mmio:0", "package-0", 95.0),
        ("intel-rapl-mmio:1", "package-1", 60.0),
    ];
    let device = |path: &'static str| path.rsplit('/').next().unwrap_or(path);
    for (path, name, _) in zones {
        tree.zone(path, name, 100_000_000_000, RANGE);
    }
    let flag = tree.flag();
    let pump = Pump::start(tree, &zones.map(|(path, _, watts)| (device(path), watts)));
    let daemon = Daemon::start(&[&flag, "--sample.interval=500ms"]);
    let first = daemon.until("measured energy", |now| now.energy_uj("cpu") > 0 && now.energy_uj("dram") > 0);
    let last = daemon.ticks(8);
    let seconds = last.unix_time() - first.unix_time();
    for snapshot in [&first, &last] {
        let sum = |devices: [&str; 2]| -> u64 {
            devices.iter().map(|device| integer(&meter(snapshot, device)["energy_uj"])).sum()
        };
        assert_eq!(snapshot.energy_uj("cpu"), sum(["intel-rapl:0", "intel-rapl:1"]));
        assert_eq!(snapshot.energy_uj("dram"), sum(["intel-rapl:0:2", "intel-rapl:1:1"]));
        assert!(snapshot.component("other").is_none(), "psys doesn't count for the node");
        for component in ["cpu", "dram"] {
            assert_eq!(snapshot.quality(component), "measured");
        }
    }
    for (path, name, watts) in zones {
        let row = meter(&last, device(path));
        let feeds = match name {
            "dram" => Value::from("dram"),
            "package-0" | "package-1" if !path.contains("mmio") => Value::from("cpu"),
            _ => Value::Null,
        };
        assert_eq!(row["feeds"], feeds, "{row}");
        assert!(!reason(&last, device(path)).is_empty());
        let energy = |snapshot| integer(&meter(snapshot, device(path))["energy_uj"]);
        assert_close(path, (energy(&last) - energy(&first)) as f64 / 1e6, watts * seconds, 0.05);
    }
    let scrape = daemon.scrape();
    let rate = scrape.value("wattprint_node_power_watts", &[("component", "cpu")]);
    assert_close("power", rate, 155.0, 0.25);
    let info = scrape.select("wattprint_meter_info", &[("device", "intel-rapl:0"), ("quality", "measured")]);
    assert_eq!(info.len(), 1);
    drop(pump);
    daemon.finish();
}

#[test]
fn counters_that_wrap_go_on() {
    let mut tree = Tree::new();
    // The one has the range of a real machine, the other one that it passes in less than two minutes.
    tree.zone("intel-rapl:0", "package-0", RANGE - 250_000_000, RANGE);
    tree.zone("intel-rapl:1", "package-1", 1_875_000_000, 2_000_000_000);
    tree.state_max("intel-rapl:1", 50);
    let flag = tree.flag();
    let pump = Pump::start(tree, &[("intel-rapl:0", 50.0), ("intel-rapl:1", 25.0)]);
    let daemon = Daemon::start(&[&flag, "--sample.interval=300ms"]);
    let devices = ["intel-rapl:0", "intel-rapl:1"];
    let count = |snapshot: &Snapshot, device: &str, what: &str| integer(&meter(snapshot, device)[what]);
    let first = daemon.until("measured energy", |snapshot| snapshot.energy_uj("cpu") > 0);
    let mut scrape = daemon.scrape();
    daemon.until("both to wrap", |snapshot| {
        let next = daemon.scrape();
        scrape.assert_never_falls(&next);
        scrape = next;
        devices.iter().all(|device| count(snapshot, device, "wraps") == 1)
    });
    let last = daemon.ticks(3);
    for device in devices {
        assert_eq!((count(&last, device, "wraps"), count(&last, device, "resets")), (1, 0));
        let wraps = daemon.scrape().value("wattprint_meter_wraps_total", &[("device", device)]);
        assert!((wraps - 1.0).abs() < 1e-9);
    }
    let sum: u64 = devices.iter().map(|device| count(&last, device, "energy_uj")).sum();
    assert_eq!(last.energy_uj("cpu"), sum);
    let joules = (last.energy_uj("cpu") - first.energy_uj("cpu")) as f64 / 1e6;
    assert_close("joules", joules, 75.0 * (last.unix_time() - first.unix_time()), 0.05);
    drop(pump);
    daemon.finish();
}

#[test]
fn a_zone_that_vanishes_is_replaced_by_the_model_until_it_comes_back() {
    let mut tree = Tree::new();
    tree.zone("intel-rapl:0", "package-0", 100_000_000_000, RANGE);
    let flag = tree.flag();
    let pump = Pump::start(tree, &[("intel-rapl:0", WATTS)]);
    let daemon = Daemon::configured(SAME_AS_COUNTER, &[&flag, "--sample.interval=250ms"]);
    let mut watch = Watch::new(&daemon);

    pump.tree().hide("intel-rapl:0");
    watch.until("the zone to be missed", |now| !is_up(now, "intel-rapl:0"));
    assert!(!reason(&watch.last, "intel-rapl:0").is_empty());
    watch.until("the model", |now| now.quality("cpu") == "modelled");
    assert_eq!(meter(&watch.last, "cpu")["feeds"], "cpu");
    let replaced = watch.last.energy_uj("cpu");
    watch.until("energy by the model", |now| now.energy_uj("cpu") > replaced + 95_000_000);
    assert_eq!(meter(&watch.last, "intel-rapl:0")["feeds"], Value::Null);

    pump.tree().show("intel-rapl:0");
    watch.until("the zone again", |now| {
        now.quality("cpu") == "measured" && meter(now, "intel-rapl:0")["feeds"] == "cpu"
    });
    let back = watch.last.sequence();
    watch.until("some more ticks", |now| now.sequence() > back + 8);
    // What was counted while the model stood in isn't booked again.
    watch.assert_complete(0.05);
    daemon.finish();
}

#[test]
fn garbage_from_a_counter_is_no_energy() {
    let mut tree = Tree::new();
    tree.zone("intel-rapl:0", "package-0", 100_000_000_000, RANGE);
    let flag = tree.flag();
    let pump = Pump::start(tree, &[("intel-rapl:0", WATTS)]);
    let daemon = Daemon::configured(SAME_AS_COUNTER, &[&flag, "--sample.interval=250ms"]);
    let mut watch = Watch::new(&daemon);
    let beyond = (RANGE + 1).to_string();
    let contents: [(&[u8], &str); 9] = [
        (b"", "empty"),
        (b"garbage\n", "number"),
        (b"\xff\xfe\xfd\n", "text"),
        (b"-5\n", "number"),
        (b"1.5e9\n", "number"),
        (b"99999999999999999999999999\n", "number"),
        (&[b'7'; 5000], "long"),
        (beyond.as_bytes(), "range"),
        // Believable as a number, but nothing that 250 ms could have counted.
        (b"250000000000\n", "jumped"),
    ];
    for (content, said) in contents {
        let what = String::from_utf8_lossy(&content[..content.len().min(30)]).into_owned();
        pump.tree().spoil("intel-rapl:0", content);
        watch.until(&what, |now| !is_up(now, "intel-rapl:0"));
        let reason = reason(&watch.last, "intel-rapl:0");
        assert!(reason.contains(said), "{what:?}: {reason:?} doesn't say {said:?}");
        pump.tree().mend("intel-rapl:0");
        watch.until("the counter again", |now| is_up(now, "intel-rapl:0"));
    }
    let after = watch.last.sequence();
    watch.until("some more ticks", |now| now.sequence() > after + 4);
    watch.assert_complete(0.05);
    assert_eq!(watch.last.quality("cpu"), "measured");
    daemon.finish();
}

#[test]
fn check_tells_by_its_exit_code_what_is_in_use() {
    let mut tree = Tree::new();
    let none = "--config.file=/dev/null";
    let verdict = |arguments: &[&str], flag: &str| {
        let text = run(&[&["check", none, flag], arguments].concat(), &[]);
        let json = run(&[&["check", none, flag, "--json"], arguments].concat(), &[]);
        assert_eq!(text.status.code(), json.status.code());
        let report: Value = serde_json::from_slice(&json.stdout).expect("JSON");
        let word = report["verdict"].as_str().expect("a verdict").to_owned();
        let shown = String::from_utf8(text.stdout).expect("text");
        assert!(shown.contains(&word), "{shown}");
        (text.status.code(), word, shown, report)
    };
    let (code, word, shown, report) = verdict(&[], &tree.flag());
    assert_eq!((code, &*word), (Some(1), "modelled"));
    assert!(shown.contains("modprobe") && shown.contains("cpu_tdp_watts"), "{shown}");
    assert!(!report["model"].as_array().expect("the model's numbers").is_empty());

    let off = ["--no-collector.rapl", "--no-collector.hwmon", "--no-collector.estimate"];
    let (code, word, shown, report) = verdict(&off, &tree.flag());
    assert_eq!((code, &*word), (Some(2), "nothing"));
    assert!(shown.contains("fix: switch on what is switched off: --collector.rapl"), "{shown}");
    assert!(report["advice"].as_str().expect("advice").contains("--collector.estimate"));
    assert!(shown.contains("rapl: switched off (collector.rapl)"), "{shown}");

    let (_, _, shown, report) = verdict(&["--no-collector.cgroup", "--no-collector.process"], &tree.flag());
    for collector in ["cgroup", "process"] {
        assert!(shown.contains(&format!("{collector}: switched off (collector.{collector})")), "{shown}");
    }
    assert!(!shown.contains("memory controller") && !shown.contains("CPU time"), "{shown}");
    assert!(report["advice"].is_null());

    let (code, _, shown, _) = verdict(&["--path.procfs=/nonexistent"], &tree.flag());
    assert!(code == Some(1) || code == Some(2), "{code:?}");
    assert!(!shown.contains("hidepid") && shown.contains("/nonexistent doesn't exist"), "{shown}");
    assert!(shown.contains("correct path.procfs"), "{shown}");

    tree.zone("intel-rapl:0", "package-0", 100_000_000_000, RANGE);
    let flag = tree.flag();
    let pump = Pump::start(tree, &[("intel-rapl:0", WATTS)]);
    let (code, word, _, report) = verdict(&[], &flag);
    assert_eq!((code, &*word), (Some(0), "measured"));
    let meters = report["meters"].as_array().expect("meters");
    let row = meters.iter().find(|row| row["device"] == "intel-rapl:0").expect("the package");
    assert_eq!((&row["feeds"], &row["up"]), (&Value::from("cpu"), &Value::from(true)));
    drop(pump);
}
