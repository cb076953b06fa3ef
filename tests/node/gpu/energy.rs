//! Where a card's energy comes from: its counter, samples of power, power, or nothing.

use nvidia_ml::code;
use nvidia_ml::scenario::{Device, Fault, Module, Scenario, Segment};

use crate::assert_close;
use crate::cgroups::sandbox;
use crate::gpu::burst::{Burst, QUICK, User, at_rest};
use crate::gpu::{Stage, TOLERANCE};

/// The `quality` and `reason` of a card's meter.
fn meter(burst: &Burst, domain: &str, uuid: &str) -> (String, String) {
    let labels = [("meter", "nvml"), ("domain", domain), ("device", uuid)];
    let rows = burst.after.select("wattprint_meter_info", &labels);
    assert_eq!(rows.len(), 1, "{uuid}: {rows:?}");
    (rows[0].labels["quality"].clone(), rows[0].labels["reason"].clone())
}

fn unsupported(symbol: &str, uuid: &str) -> Fault {
    Fault::of(symbol, code::NOT_SUPPORTED).on(uuid)
}

#[test]
fn the_counter_is_taken_as_it_is() {
    let uuids = [0, 1].map(Device::uuid_of);
    // One counts since years, one began just now.
    let old = Device { energy_base_mj: 40_000_000_000_000, ..Device::ampere(1) };
    let mut stage = Stage::new(Scenario::of([at_rest(Device::hopper(0)), at_rest(old)]));
    let daemon = stage.start("", &[QUICK]);
    let burst = Burst::play(&mut stage, &daemon);
    for uuid in &uuids {
        burst.assert_shares(uuid, "none", &[]);
        let expected = ("measured".to_owned(), "chosen: hardware counter".to_owned());
        assert_eq!(meter(&burst, "gpu", uuid), expected);
        let raw = burst.rise("wattprint_meter_energy_joules_total", &[("device", uuid)]);
        assert_close("meter", raw, burst.gpu(uuid), 1e-6);
        assert_eq!(burst.last.limitations(uuid), []);
    }
    daemon.finish();
}

#[test]
fn a_counter_that_moves_as_often_as_the_daemon_looks_loses_nothing() {
    let uuid = Device::uuid_of(0);
    let device = Device { counter_period_ns: 100_000_000, ..Device::hopper(0) };
    let mut stage = Stage::new(Scenario::of([at_rest(device)]));
    let daemon = stage.start("", &["--sample.interval=100ms"]);
    // That takes five seconds and more.
    for _ in 0..3 {
        let burst = Burst::play(&mut stage, &daemon);
        burst.assert_shares(&uuid, "none", &[]);
        assert!(burst.rise("wattprint_meter_resets_total", &[("device", &uuid)]).abs() < 1e-9);
    }
    daemon.finish();
}

#[test]
fn without_a_counter_power_is_integrated() {
    let Some(sandbox) = sandbox("without_a_counter_power_is_integrated") else { return };
    let (a, b) = (User::start(&sandbox), User::start(&sandbox));
    let used = |device: Device| {
        at_rest(Device { gpu_utilization: 80, ..device }).process(a.on_gpu(60, 1)).process(b.on_gpu(20, 1))
    };
    let uuids = [0, 1, 2, 3, 4].map(Device::uuid_of);
    let guest = Device { energy_counter: false, ..Device::hopper(3) };
    // The power of the GPU alone is better than a counter that has the CPU in it.
    let module = Module { power: vec![Segment { from_ns: 0, watts: 300.0 }], energy_base_mj: 0 };
    let joined = Device { gpu_scope: true, power: Vec::new(), ..Device::grace_hopper(4, module) };
    let devices = [Device::pascal(0), Device::pascal(1), Device::pascal(2), guest, joined].map(used);
    let mut scenario = Scenario::of(devices);
    for uuid in &uuids[1..4] {
        scenario = scenario.fault(unsupported("nvmlDeviceGetSamples", uuid));
    }
    for uuid in &uuids[2..4] {
        scenario = scenario.fault(unsupported("field:186", uuid));
    }
    let mut stage = Stage::new(scenario);
    let daemon = stage.start("", &["--sample.interval=100ms"]);
    let burst = Burst::slowly(&mut stage, &daemon);
    let integrated = ("integrated".to_owned(), "chosen: power reading, integrated".to_owned());
    for (uuid, why) in uuids.iter().zip(["counter", "counter", "counter", "counter", "scope"]) {
        burst.assert_shares(uuid, "sm_util", &[(&a, 0.75), (&b, 0.25)]);
        assert_eq!(meter(&burst, "gpu", uuid), integrated);
        let limits = burst.last.limitations(uuid);
        assert!(limits.iter().any(|(what, _)| what == why), "{limits:?}");
    }
    daemon.finish();
}

#[test]
fn samples_between_the_ticks_show_a_sudden_burst() {
    let uuid = Device::uuid_of(0);
    let mut stage = Stage::new(Scenario::of([at_rest(Device::pascal(0))]));
    let daemon = stage.start("", &[]);
    let burst = Burst::play(&mut stage, &daemon);
    burst.assert_shares(&uuid, "none", &[]);
    daemon.finish();
}

#[test]
fn a_card_without_any_reading_has_no_figure_and_says_why() {
    let uuids = [0, 1].map(Device::uuid_of);
    let mut scenario = Scenario::of([Device::pascal(0), Device::hopper(1)].map(at_rest));
    for symbol in ["nvmlDeviceGetSamples", "field:186", "nvmlDeviceGetPowerUsage"] {
        scenario = scenario.fault(unsupported(symbol, &uuids[0]));
    }
    let mut stage = Stage::new(scenario);
    let daemon = stage.start("", &[QUICK]);
    let burst = Burst::play(&mut stage, &daemon);
    let of = |name: &str| burst.after.select(name, &[("uuid", &uuids[0])]).len();
    for name in [
        "wattprint_gpu_energy_joules_total",
        "wattprint_gpu_owner_energy_joules_total",
        "wattprint_gpu_power_watts",
    ] {
        assert_eq!(of(name), 0, "{name}");
    }
    assert_eq!((of("wattprint_gpu_up"), of("wattprint_gpu_info")), (1, 1));
    assert!(burst.last.gpu(&uuids[0])["energy_uj"].is_null());
    let why = "no energy counter and no power reading";
    assert_eq!(meter(&burst, "gpu", &uuids[0]).1, why);
    assert_eq!(burst.last.limitations(&uuids[0]), [("counter".to_owned(), why.to_owned())]);
    let labels = [("device", uuids[0].as_str())];
    assert!(burst.after.value("wattprint_meter_up", &labels).abs() < 1e-9);
    assert!(burst.after.select("wattprint_meter_energy_joules_total", &labels).is_empty());
    // The other one isn't held up.
    burst.assert_shares(&uuids[1], "none", &[]);
    daemon.finish();
}

#[test]
fn a_module_is_never_counted_twice() {
    let Some(sandbox) = sandbox("a_module_is_never_counted_twice") else { return };
    let a = User::start(&sandbox);
    let uuid = Device::uuid_of(0);
    // What the model makes of CPU and memory is in the module's energy.
    let module = Module { power: vec![Segment { from_ns: 0, watts: 300.0 }], energy_base_mj: 5_000 };
    let device = Device { gpu_utilization: 80, ..Device::grace_hopper(0, module) };
    let mut stage = Stage::new(Scenario::of([device.process(a.on_gpu(60, 1))]));
    let config = "[model]\ncpu_tdp_watts = 150\ncpu_idle_watts = 100\nmemory_watts_per_gb = 0.1\n";
    let daemon = stage.start(config, &[QUICK]);
    let burst = Burst::play(&mut stage, &daemon);
    assert_eq!(
        meter(&burst, "module", &uuid),
        ("measured".to_owned(), "chosen: hardware counter".to_owned())
    );
    assert_eq!(burst.last.gpu(&uuid)["domain"], "module");
    let limits = burst.last.limitations(&uuid);
    assert!(limits.iter().any(|(what, _)| what == "scope"), "{limits:?}");
    let raw = burst.rise("wattprint_meter_energy_joules_total", &[("device", &uuid)]);
    assert_close("module", raw, burst.truth(&uuid), TOLERANCE);
    let node = |component| burst.rise("wattprint_node_energy_joules_total", &[("component", component)]);
    let others = node("cpu") + node("dram");
    assert!(others > 100.0, "{others}");
    assert_close("node", others + node("gpu"), raw, 2e-3);
    assert_close("gpu", burst.gpu(&uuid), node("gpu"), 1e-6);
    assert_close("owner", burst.state(&a, "active"), node("gpu"), TOLERANCE);
    assert_eq!(burst.method(&uuid), "exclusive");
    daemon.finish();
}
