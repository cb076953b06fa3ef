//! Devices, their names, energy and power.

use std::time::Duration;

use nvidia_ml::scenario::{Device, Module, Scenario, Segment};
use nvidia_ml::{code, monotonic_ns};
use nvml_wrapper::Nvml;
use nvml_wrapper::enum_wrappers::device::Sampling;
use nvml_wrapper::enums::device::{DeviceArchitecture, SampleValue};
use nvml_wrapper::structs::device::FieldId;
use nvml_wrapper::sys_exports::field_id::{
    NVML_FI_DEV_ENERGY, NVML_FI_DEV_POWER_AVERAGE, NVML_FI_DEV_POWER_INSTANT,
    NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION,
};
use nvml_wrapper_sys::bindings::{nvmlFieldValue_t, nvmlReturn_t, nvmlSample_t};

use crate::{Fixture, GIB, kind, ns, wait_until};

#[test]
fn devices_have_names_and_places() {
    let mut scenario = Scenario::of([Device::hopper(0), Device::ampere(1)]);
    let fixture = Fixture::new(&scenario);
    let nvml = fixture.nvml();
    assert_eq!(nvml.device_count().unwrap(), 2);
    assert_eq!(nvml.sys_driver_version().unwrap(), scenario.driver_version);
    assert_eq!(nvml.sys_nvml_version().unwrap(), scenario.nvml_version);
    let device = nvml.device_by_index(1).unwrap();
    assert_eq!(device.uuid().unwrap(), Device::uuid_of(1));
    assert_eq!(device.name().unwrap(), "NVIDIA A100-SXM4-40GB");
    assert_eq!(device.architecture().unwrap(), DeviceArchitecture::Ampere);
    assert_eq!(device.pci_info().unwrap().bus_id, "00000000:02:00.0");
    assert_eq!(device.pci_info().unwrap().bus, 2);
    assert_eq!(device.enforced_power_limit().unwrap(), 400_000);
    assert!(device.is_in_persistent_mode().unwrap());

    scenario.devices.swap(0, 1);
    scenario.devices.get_mut(0).unwrap().memory_used = GIB;
    fixture.set(&scenario);
    assert_eq!(device.index().unwrap(), 0, "the same device under another index");
    let memory = device.memory_info().unwrap();
    assert_eq!((memory.used, memory.total), (GIB, 40 * GIB));

    scenario.devices.get_mut(0).unwrap().present = false;
    fixture.set(&scenario);
    assert_eq!(nvml.device_count().unwrap(), 1);
    assert_eq!(kind(device.uuid()), "GpuLost");
    assert_eq!(kind(nvml.device_by_uuid(Device::uuid_of(1))), "NotFound");
    assert_eq!(kind(nvml.device_by_index(1)), "InvalidArg");

    scenario.devices.get_mut(0).unwrap().present = true;
    scenario.devices.get_mut(0).unwrap().lost = true;
    fixture.set(&scenario);
    assert_eq!(nvml.device_count().unwrap(), 2);
    assert_eq!(kind(nvml.device_by_uuid(Device::uuid_of(1))), "GpuLost");
    assert_eq!(kind(device.total_energy_consumption()), "GpuLost");
    assert_eq!(nvml.device_by_index(1).unwrap().uuid().unwrap(), Device::uuid_of(0));
}

#[test]
fn the_counter_shows_the_energy_of_the_scenario() {
    let start = monotonic_ns();
    let device = Device { energy_base_mj: 5_000_000, ..Device::hopper(0) }
        .power(start, 100.0)
        .power(start + ns(Duration::from_millis(60)), 500.0);
    let fixture = Fixture::of([device.clone()]);
    let nvml = fixture.nvml();
    let handle = nvml.device_by_index(0).unwrap();
    for step in 0..20 {
        wait_until(start + step * 10_000_000);
        let before = device.counter_mj_at(monotonic_ns());
        let shown = handle.total_energy_consumption().unwrap();
        let after = device.counter_mj_at(monotonic_ns());
        assert!((before..=after).contains(&shown), "{before} {shown} {after}");
    }
    // 60 ms at 100 W, and at least 110 at 500, as the counter is up to 20 ms late.
    assert!(handle.total_energy_consumption().unwrap() >= 5_000_000 + 6_000 + 55_000);
}

#[test]
fn truth_is_what_the_segments_say() {
    let device = Device { energy_base_mj: 7, counter_resets_ns: vec![3_000_000_000], ..Device::hopper(0) }
        .power(1_000_000_000, 100.0)
        .power(2_000_000_000, 50.5);
    assert_eq!(device.energy_mj_at(0), 7);
    assert_eq!(device.energy_mj_at(1_500_000_000), 7 + 50_000);
    assert_eq!(device.energy_mj_at(4_000_000_000), 7 + 100_000 + 101_000);
    assert_eq!(device.counter_mj_at(2_019_999_999), 7 + 100_000, "between two steps");
    assert_eq!(device.counter_mj_at(2_020_000_000), 7 + 100_000 + 1_010);
    assert_eq!(device.counter_mj_at(3_000_000_000), 0, "reset");
    assert_eq!(device.counter_mj_at(4_000_000_000), 50_500);
    assert_eq!(device.mean_milliwatts(1_500_000_000, 2_500_000_000), 75_250);
    assert_eq!(device.milliwatts_at(999_999_999), 0);
}

#[test]
fn power_is_of_the_moment_or_averaged() {
    let change = monotonic_ns();
    let fixture = Fixture::of([
        Device::hopper(0).power(0, 100.0).power(change, 600.0),
        Device::ampere(1).power(0, 100.0).power(change, 300.0),
        Device::pascal(2).power(0, 80.0),
    ]);
    let nvml = fixture.nvml();
    let averaged = nvml.device_by_index(0).unwrap().power_usage().unwrap();
    assert!((100_000..600_000).contains(&averaged) || monotonic_ns() > change + 1_000_000_000, "{averaged}");
    assert_eq!(nvml.device_by_index(1).unwrap().power_usage().unwrap(), 300_000);

    let fields = [
        NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION,
        NVML_FI_DEV_POWER_AVERAGE,
        NVML_FI_DEV_POWER_INSTANT,
        NVML_FI_DEV_ENERGY,
    ]
    .map(FieldId);
    let pascal = nvml.device_by_index(2).unwrap();
    assert_eq!(kind(pascal.total_energy_consumption()), "NotSupported");
    let values = pascal.field_values_for(&fields).unwrap();
    let outcomes = values.into_iter().map(|value| kind(value.unwrap().value));
    assert_eq!(outcomes.collect::<Vec<_>>(), ["NotSupported", "NotSupported", "Ok", "NotSupported"]);
    assert_eq!(kind(pascal.field_values_for(&[FieldId(1)])), "NotSupported");
}

#[test]
fn a_module_has_a_scope_of_its_own() {
    let module = Module { power: vec![Segment { from_ns: 0, watts: 900.0 }], energy_base_mj: 0 };
    let device = Device::grace_hopper(0, module.clone());
    let fixture = Fixture::of([device.clone()]);
    let nvml = fixture.nvml();
    let handle = nvml.device_by_index(0).unwrap();
    let read = |scope| -> (nvmlReturn_t, u64) {
        // SAFETY: all-zero is a valid field value, and the count is that of the buffer.
        #[allow(unsafe_code, reason = "the wrapper can't ask for scopes")]
        unsafe {
            let mut value: nvmlFieldValue_t = std::mem::zeroed();
            (value.fieldId, value.scopeId) = (NVML_FI_DEV_POWER_INSTANT, scope);
            nvml.lib().nvmlDeviceGetFieldValues(handle.handle(), 1, &raw mut value);
            (value.nvmlReturn, value.value.ullVal)
        }
    };
    assert_eq!(read(0), (3, 0));
    assert_eq!(read(1), (0, 900_000));
    assert!(handle.total_energy_consumption().unwrap() >= 1, "its own counter is the module's");
    assert_eq!(module_samples(&nvml, &handle), code::SUCCESS);
}

/// What the sampling of module power, which the wrapper doesn't know, returns.
fn module_samples(nvml: &Nvml, device: &nvml_wrapper::Device<'_>) -> u32 {
    let (mut value_type, mut count) = (0, 120);
    // SAFETY: all-zero is a valid sample, and the count is that of the buffer.
    #[allow(unsafe_code, reason = "the wrapper can't ask for this type")]
    unsafe {
        let mut samples: [nvmlSample_t; 120] = std::mem::zeroed();
        let (count, first) = (&raw mut count, samples.as_mut_ptr());
        nvml.lib().nvmlDeviceGetSamples(device.handle(), 7, 0, &raw mut value_type, count, first)
    }
}

#[test]
fn samples_come_from_a_ring() {
    let fixture = Fixture::of([Device::hopper(0).power(0, 250.0)]);
    let nvml = fixture.nvml();
    let device = nvml.device_by_index(0).unwrap();
    let samples = device.samples(Sampling::Power, None).unwrap();
    assert_eq!(samples.len(), 120);
    assert!(samples.windows(2).all(|pair| pair[1].timestamp - pair[0].timestamp == 20_000));
    assert!(samples.iter().all(|sample| sample.value == SampleValue::U32(250_000)));
    let newest = samples.last().unwrap().timestamp;
    let newer = device.samples(Sampling::Power, newest).unwrap_or_default();
    assert!(newer.len() < 120 && newer.iter().all(|sample| sample.timestamp > newest));
    assert_eq!(kind(device.samples(Sampling::Power, newest + 10_000_000_000)), "NotFound");
    assert_eq!(module_samples(&nvml, &device), code::NOT_SUPPORTED);
}
