//! Energy from the counter, and from power where there is none.

use nvidia_ml::scenario::{Device, Fault, Module, Segment};
use nvidia_ml::{code, monotonic_ns};

use super::rig::{Rig, limitation_of};
use crate::gpu::{Consequence, GpuEnergy};
use crate::meters::{Domain, Quality};
use crate::units::Microjoules;

fn measured(total: u64) -> Option<GpuEnergy> {
    let total = Microjoules::new(total);
    Some(GpuEnergy { total, range: None, quality: Quality::Measured, domain: Domain::Gpu })
}

fn integrated(total: u64) -> Option<GpuEnergy> {
    Some(GpuEnergy { quality: Quality::Integrated, ..measured(total).unwrap() })
}

/// A device that draws this power since the system's start, with a counter that doesn't move by itself.
fn still(device: Device, watts: f64) -> Device {
    Device { counter_period_ns: u64::MAX, averaged_power: false, ..device.power(0, watts) }
}

#[test]
fn the_counter_counts_millijoules() {
    let mut rig = Rig::of([still(Device::hopper(1), 0.0)]);
    assert_eq!(rig.read().energy, measured(0));
    rig.change(|device| device.energy_base_mj = 700_000);
    let reading = rig.read();
    assert_eq!(reading.energy, measured(700_000_000));
    assert_eq!(limitation_of(&reading, "counter"), None);
}

#[test]
fn what_an_error_of_the_counter_means() {
    let mut rig = Rig::of([Device::hopper(1)]);
    rig.read();
    for (code, consequence) in [
        (code::UNKNOWN, Consequence::Transient),
        (code::TIMEOUT, Consequence::Transient),
        (code::NOT_READY, Consequence::Transient),
        (code::GPU_IS_LOST, Consequence::Lost),
        (code::RESET_REQUIRED, Consequence::Lost),
        (code::IRQ_ISSUE, Consequence::Lost),
        (code::UNINITIALIZED, Consequence::Reinitialise),
    ] {
        rig.scenario.faults = vec![Fault::of("nvmlDeviceGetTotalEnergyConsumption", code)];
        rig.save();
        assert_eq!(rig.consequence(), consequence, "{code}");
        rig.scenario.faults.clear();
        rig.save();
        assert_eq!(rig.read().energy.unwrap().quality, Quality::Measured);
    }
}

#[test]
fn without_a_counter_the_samples_of_the_driver_are_integrated() {
    let mut rig = Rig::of([Device::pascal(1).power(0, 200.0), Device::hopper(2)]);
    let began = monotonic_ns();
    let first = rig.read_until(|_| true);
    assert_eq!(first.energy, integrated(0));
    assert!(limitation_of(&first, "counter").is_some());
    // 200 W make 100 J in half a second.
    let last = rig.read_until(|reading| reading.energy.unwrap().total.get() >= 100_000_000);
    let passed = monotonic_ns() - began;
    let most = 200 * (passed / 1_000 + 40_000);
    assert!(last.energy.unwrap().total.get() <= most, "{last:?} {passed}");
    assert!(passed >= 400_000_000);
    // Nothing was switched off for the other device.
    assert_eq!(rig.try_read(1, 0).unwrap().energy.unwrap().quality, Quality::Measured);
}

#[test]
fn a_counter_that_may_not_be_read_is_told_from_one_that_is_not_there() {
    for (code, reason, has_remedy) in [
        (code::NOT_SUPPORTED, "no energy counter; power is integrated", false),
        (code::FUNCTION_NOT_FOUND, "not known to this driver or its library", true),
        (code::NO_PERMISSION, "no permission", true),
        (code::OPERATING_SYSTEM, "blocked by the operating system", true),
    ] {
        for without_samples in [false, true] {
            let mut rig = Rig::of([Device::hopper(1).power(0, 100.0)]);
            rig.scenario.faults = vec![Fault::of("nvmlDeviceGetTotalEnergyConsumption", code)];
            if without_samples {
                rig.scenario.faults.push(Fault::of("nvmlDeviceGetSamples", code::NOT_SUPPORTED));
            }
            rig.save();
            let reading = rig.read();
            assert_eq!(reading.energy.unwrap().quality, Quality::Integrated);
            assert_eq!(limitation_of(&reading, "counter").unwrap(), reason);
            assert_eq!(reading.limitations[0].remedy.is_some(), has_remedy, "{code}");
        }
    }
}

#[test]
fn without_samples_power_is_integrated_by_the_daemons_clock() {
    for faults in [&["nvmlDeviceGetSamples"][..], &["nvmlDeviceGetSamples", "nvmlDeviceGetFieldValues"]] {
        let mut rig = Rig::of([still(Device::pascal(1), 100.0)]);
        rig.scenario.faults = faults.iter().map(|symbol| Fault::of(symbol, code::NOT_SUPPORTED)).collect();
        rig.save();
        assert_eq!(rig.read().energy, integrated(0));
        assert_eq!(rig.read().energy, integrated(100_000_000));
        // An error that passes isn't taken for no energy.
        rig.scenario.faults.push(Fault::of("nvmlDeviceGetFieldValues", code::UNKNOWN));
        rig.scenario.faults.push(Fault::of("nvmlDeviceGetPowerUsage", code::UNKNOWN));
        rig.scenario.faults.rotate_right(2);
        rig.save();
        assert_eq!(rig.consequence(), Consequence::Transient);
        rig.scenario.faults.drain(..2);
        rig.save();
        assert_eq!(rig.read().energy, integrated(300_000_000));
    }
}

#[test]
fn a_device_that_can_tell_nothing_says_so_and_not_zero() {
    let mut rig = Rig::of([Device::pascal(1)]);
    let calls = ["nvmlDeviceGetSamples", "nvmlDeviceGetFieldValues", "nvmlDeviceGetPowerUsage"];
    rig.scenario.faults = calls.map(|symbol| Fault::of(symbol, code::NOT_SUPPORTED)).to_vec();
    rig.save();
    let reading = rig.read();
    assert_eq!(reading.energy, None);
    assert_eq!(limitation_of(&reading, "counter").unwrap(), "no energy counter and no power reading");
    assert!(reading.memory_used.is_some() && reading.clients.is_some());
    // Ten minutes later all is tried again.
    rig.scenario.faults.clear();
    rig.save();
    assert_eq!(rig.try_read(0, 500_000).unwrap().energy, None);
    assert!(rig.try_read(0, 100_000).unwrap().energy.is_some());
}

#[test]
fn a_counter_that_stands_still_under_power_is_left_for_power() {
    let mut rig = Rig::of([still(Device::hopper(1), 100.0)]);
    rig.change(|device| device.energy_base_mj = 5_000);
    for _ in 0..10 {
        assert_eq!(rig.read().energy, measured(5_000_000));
    }
    let reading = rig.read();
    assert_eq!(reading.energy, integrated(5_000_000 + 900_000_000));
    assert!(limitation_of(&reading, "counter").unwrap().contains("stands still"));
    assert_eq!(rig.read().energy, integrated(5_000_000 + 1_000_000_000));
    // It moves again: its own account of the time is left out, as that was booked already.
    rig.change(|device| device.energy_base_mj = 1_105_000);
    assert_eq!(rig.read().energy, measured(5_000_000 + 1_000_000_000));
    rig.change(|device| device.energy_base_mj = 1_205_000);
    assert_eq!(rig.read().energy, measured(5_000_000 + 1_100_000_000));
}

#[test]
fn a_module_is_told_from_its_gpu() {
    let module = Module { power: vec![Segment { from_ns: 0, watts: 900.0 }], energy_base_mj: 0 };
    let mut rig = Rig::of([Device::grace_hopper(1, module.clone())]);
    let reading = rig.read();
    let energy = reading.energy.unwrap();
    assert_eq!((energy.domain, energy.quality), (Domain::Module, Quality::Measured));
    assert!(limitation_of(&reading, "scope").unwrap().contains("module"));

    let device = Device { gpu_scope: true, ..Device::grace_hopper(1, module) };
    let mut rig = Rig::of([Device { power: vec![Segment { from_ns: 0, watts: 300.0 }], ..device }]);
    rig.read();
    let reading = rig.read();
    let expected = GpuEnergy { domain: Domain::Gpu, ..integrated(300_000_000).unwrap() };
    assert_eq!(reading.energy, Some(expected));
    assert!(limitation_of(&reading, "scope").is_some());
}

/// A module of 900 W whose GPU draws 300 W of them.
fn module() -> Device {
    let module = Module { power: vec![Segment { from_ns: 0, watts: 900.0 }], energy_base_mj: 0 };
    still(Device { power: Vec::new(), ..Device::grace_hopper(1, module) }, 300.0)
}

fn of_module(energy: Option<GpuEnergy>) -> Option<GpuEnergy> {
    energy.map(|energy| GpuEnergy { domain: Domain::Module, ..energy })
}

#[test]
fn a_gpu_scope_that_fails_for_a_moment_is_not_left_for_the_module() {
    let mut rig = Rig::of([Device { gpu_scope: true, ..module() }]);
    let fault = Fault::of("field:186", code::UNKNOWN);
    rig.scenario.faults = vec![fault.clone()];
    rig.save();
    assert_eq!(rig.consequence(), Consequence::Transient);
    assert_eq!(rig.consequence(), Consequence::Transient);
    rig.scenario.faults.clear();
    rig.save();
    assert_eq!((rig.read().energy, rig.read().energy), (integrated(0), integrated(300_000_000)));

    // Three in a row, and it's taken for missing.
    let mut rig = Rig::of([Device { gpu_scope: true, ..module() }]);
    rig.scenario.faults = vec![fault];
    rig.save();
    for _ in 0..2 {
        assert_eq!(rig.consequence(), Consequence::Transient);
    }
    for _ in 0..5 {
        assert_eq!(rig.read().energy.unwrap().domain, Domain::Module);
    }
    rig.scenario.faults.clear();
    rig.save();
    assert_eq!(rig.try_read(0, 600_000).unwrap().energy.unwrap().domain, Domain::Gpu);
}

#[test]
fn a_module_without_a_counter_has_the_power_of_the_module() {
    let mut rig = Rig::of([Device { energy_counter: false, ..module() }]);
    assert_eq!(rig.read().energy, of_module(integrated(0)));
    let reading = rig.read();
    assert_eq!(reading.energy, of_module(integrated(900_000_000)));
    assert!(limitation_of(&reading, "scope").unwrap().contains("module"));
    assert!(limitation_of(&reading, "counter").is_some());
}

#[test]
fn power_of_the_module_that_fails_for_a_moment_is_not_left_for_the_gpus() {
    let mut rig = Rig::of([Device { energy_counter: false, ..module() }]);
    rig.read();
    rig.scenario.faults = vec![Fault::of("field:186", code::UNKNOWN)];
    rig.save();
    assert_eq!((rig.consequence(), rig.consequence()), (Consequence::Transient, Consequence::Transient));
    assert_eq!(rig.read().energy.unwrap().domain, Domain::Gpu);
}

#[test]
fn figures_of_a_gpu_are_never_taken_for_its_modules() {
    let dark = Some(Module { power: Vec::new(), energy_base_mj: 0 });
    let no_samples = vec![Fault::of("nvmlDeviceGetSamples", code::NOT_SUPPORTED)];
    for (faults, module_power) in [(vec![], None), (no_samples.clone(), None), (no_samples, dark)] {
        let is_poll = !faults.is_empty();
        let mut rig = Rig::of([Device { energy_counter: false, module: module_power, ..module() }]);
        rig.scenario.faults = faults;
        rig.save();
        assert_eq!(rig.read().energy, integrated(0));
        let reading = rig.read();
        assert_eq!(reading.energy.unwrap().domain, Domain::Gpu);
        assert_eq!(limitation_of(&reading, "scope"), None);
        if is_poll {
            assert_eq!(reading.energy, integrated(300_000_000));
        }
    }
}

#[test]
fn a_dead_counter_of_a_module_is_left_for_the_power_of_the_module() {
    let mut rig = Rig::of([module()]);
    for _ in 0..10 {
        assert_eq!(rig.read().energy, of_module(measured(0)));
    }
    assert_eq!(rig.read().energy, of_module(integrated(9 * 900_000_000)));
    // Without that nobody knows whether it is dead.
    let mut rig = Rig::of([Device { module: None, ..module() }]);
    for _ in 0..12 {
        assert_eq!(rig.read().energy, of_module(measured(0)));
    }
}
