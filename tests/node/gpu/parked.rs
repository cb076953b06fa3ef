//! Contexts that do nothing, and cards that nobody uses.

use nvidia_ml::scenario::{Device, Scenario};

use crate::assert_close;
use crate::cgroups::sandbox;
use crate::gpu::burst::{Burst, QUICK, User, at_rest};
use crate::gpu::{Stage, TOLERANCE};

#[test]
fn contexts_that_do_nothing_share_what_a_card_draws_equally() {
    let Some(sandbox) = sandbox("contexts_that_do_nothing_share_what_a_card_draws_equally") else { return };
    let (a, b) = (User::start(&sandbox), User::start(&sandbox));
    let devices = [
        Device::hopper(0).process(a.on_gpu(0, 1)).process(b.on_gpu(0, 9)),
        Device::hopper(1).process(a.on_gpu(0, 1)),
        Device::hopper(2),
    ];
    let mut stage = Stage::new(Scenario::of(devices.map(at_rest)));
    let daemon = stage.start("", &[QUICK]);
    let burst = Burst::play(&mut stage, &daemon);
    let uuids = [0, 1, 2].map(Device::uuid_of);
    burst.assert_shares(&uuids[0], "equal", &[(&a, 0.5), (&b, 0.5)]);
    burst.assert_shares(&uuids[1], "exclusive", &[(&a, 1.0), (&b, 0.0)]);
    burst.assert_shares(&uuids[2], "none", &[(&a, 0.0), (&b, 0.0)]);
    let expected = 0.5 * burst.truth(&uuids[0]);
    assert_close("a", burst.state(&a, "parked"), expected + burst.truth(&uuids[1]), TOLERANCE);
    assert_close("b", burst.state(&b, "parked"), expected, TOLERANCE);
    for user in [&a, &b] {
        for state in ["active", "idle"] {
            assert!(burst.state(user, state).abs() < 1e-9, "{state}");
        }
    }
    assert_close("process", burst.process(b.pid()), expected, TOLERANCE);
    assert_close("unused", burst.kind(&uuids[2], "idle"), burst.truth(&uuids[2]), TOLERANCE);
    daemon.finish();
}

#[test]
fn idle_power_that_is_configured_is_nobodys() {
    let Some(sandbox) = sandbox("idle_power_that_is_configured_is_nobodys") else { return };
    let (a, b) = (User::start(&sandbox), User::start(&sandbox));
    // The counter moves so often that energy and time agree.
    let device = |number| Device { counter_period_ns: 100_000, ..Device::hopper(number) }.power(0, 100.0);
    let devices = [
        device(0).process(a.on_gpu(0, 1)).process(b.on_gpu(0, 9)),
        Device { gpu_utilization: 80, ..device(1) }.process(a.on_gpu(60, 1)).process(b.on_gpu(20, 1)),
        device(2),
    ];
    let uuids = [0, 1, 2].map(Device::uuid_of);
    let config = format!("[baseline]\ngpu = 60\n\"{}\" = 20\n", uuids[1]);
    let mut stage = Stage::new(Scenario::of(devices));
    let daemon = stage.start(&config, &[QUICK]);
    let burst = Burst::none(&mut stage, &daemon);
    let all = uuids.each_ref().map(|uuid| burst.gpu(uuid));
    for (place, idle) in [0.6, 0.2, 1.0].into_iter().enumerate() {
        let uuid = uuids[place].as_str();
        assert_close(uuid, all[place], burst.truth(uuid), 0.05);
        assert_close("idle", burst.kind(uuid, "idle"), idle * all[place], TOLERANCE);
        let watts = if place == 1 { 20.0 } else { 60.0 };
        let baseline = burst.after.value("wattprint_meter_baseline_watts", &[("device", uuid)]);
        assert!((baseline - watts).abs() < 1e-9, "{baseline}");
    }
    for (user, share) in [(&a, 0.75), (&b, 0.25)] {
        assert_close("parked", burst.state(user, "parked"), 0.2 * all[0], TOLERANCE);
        assert_close("active", burst.state(user, "active"), share * 0.8 * all[1], TOLERANCE);
        let labels = [("container_id", user.label()), ("component", "gpu")];
        let power = burst.after.value("wattprint_container_power_watts", &labels);
        assert_close("watts", power, 20.0 + 80.0 * share, 2.0 * TOLERANCE);
        let joules = burst.after.select("wattprint_container_energy_joules_total", &labels);
        let joules: f64 = joules.iter().map(|sample| sample.value).sum();
        let intensity = burst.after.select("wattprint_grid_carbon_intensity_grams_per_kwh", &[])[0].value;
        let grams = burst.after.value("wattprint_container_emissions_grams_total", &labels);
        let pue = burst.after.value("wattprint_pue_ratio", &[]);
        assert_close("grams", grams, joules / 3.6e6 * intensity * pue, 1e-3);
    }
    let power = burst.after.value("wattprint_node_power_watts", &[("component", "gpu")]);
    assert_close("node", power, 300.0, 2.0 * TOLERANCE);
    assert!(!daemon.log().contains("a baseline is configured for what no meter has"), "{}", daemon.log());
    daemon.finish();
}
