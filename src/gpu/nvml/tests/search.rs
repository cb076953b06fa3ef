//! Loading, initialising, enumerating.

use nvidia_ml::code;
use nvidia_ml::patch::remove_symbols;
use nvidia_ml::scenario::{Device, Fault, Instance, Process, Scenario};

use super::rig::{Rig, limitation_of};
use crate::gpu::{Client, GpuBackend, Vendor};
use crate::units::Bytes;

#[test]
fn devices_are_found_with_their_names() {
    let rig = Rig::of([Device::hopper(1), Device::ampere(2)]);
    let identities: Vec<_> = rig.found.iter().map(|found| &found.identity).collect();
    assert_eq!(identities.len(), 2);
    assert_eq!(*identities[0].uuid, *Device::uuid_of(1));
    assert_eq!((&*identities[1].gpu, &*identities[1].model), ("1", "NVIDIA A100-SXM4-40GB"));
    assert_eq!((&*identities[1].pci_bus_id, identities[1].vendor), ("0000:03:00.0", Vendor::Nvidia));
    assert_eq!(&*identities[1].driver, "nvidia 570.124.06");
}

#[test]
fn a_node_without_devices_is_no_failure() {
    let mut rig = Rig::idle(Scenario::default());
    let search = rig.find();
    assert!(rig.found.is_empty() && search.failed.is_empty());
}

#[test]
fn a_device_that_does_not_answer_keeps_no_other_from_being_found() {
    let scenario = Scenario::of([Device::hopper(1), Device::hopper(2)])
        .fault(Fault::of("nvmlDeviceGetUUID", code::NO_PERMISSION).on(&Device::uuid_of(1)));
    let mut rig = Rig::idle(scenario);
    let search = rig.find();
    assert_eq!(rig.found.len(), 1);
    let failed: Vec<_> = search.failed.iter().map(|(place, reason)| (&**place, &**reason)).collect();
    assert_eq!(failed, [("0", "no permission")]);
}

#[test]
fn errors_of_the_first_call_have_a_reason_and_a_remedy() {
    for (code, reason, needs_new_container) in [
        (code::DRIVER_NOT_LOADED, "driver not loaded", false),
        (code::LIBRARY_NOT_FOUND, "library can't be loaded", false),
        (code::LIB_RM_VERSION_MISMATCH, "driver and library differ in version", true),
        (code::NO_PERMISSION, "no permission", false),
        (code::OPERATING_SYSTEM, "blocked by the operating system", false),
        (code::UNKNOWN, "unknown driver error", true),
        (code::TIMEOUT, "driver timed out", false),
        (code::NOT_READY, "driver not ready", false),
        (28, "no device", false),
    ] {
        let mut rig = Rig::idle(Scenario::of([Device::hopper(1)]).fault(Fault::of("nvmlInit*", code)));
        let failure = rig.backend.find().unwrap_err();
        assert_eq!((&*failure.reason, failure.needs_new_container), (reason, needs_new_container));
        assert!(failure.remedy.is_some());
        // And when it has passed, the next search goes well.
        rig.scenario.faults.clear();
        rig.save();
        rig.find();
        assert_eq!(rig.found.len(), 1, "{reason}");
    }
}

#[test]
fn devices_that_cant_be_counted_dont_ask_for_a_new_container() {
    for code in [code::LIB_RM_VERSION_MISMATCH, code::UNKNOWN] {
        let fault = Fault::of("nvmlDeviceGetCount*", code);
        let mut rig = Rig::idle(Scenario::of([Device::hopper(1)]).fault(fault));
        assert!(!rig.backend.find().unwrap_err().needs_new_container, "{code}");
    }
}

#[test]
fn a_library_without_shutdown_does_no_harm_when_it_is_dropped() {
    let mut rig = Rig::idle(Scenario::of([Device::hopper(1)]));
    remove_symbols(&rig.library, &["nvmlShutdown"]).unwrap();
    rig.find();
    rig.read();
    rig.found.clear();
    rig.backend.forget();
    rig.find();
    assert_eq!(rig.found.len(), 1);
}

#[test]
fn a_driver_that_was_loaded_anew_is_initialised_once_more() {
    let mut rig = Rig::of([Device::hopper(1)]);
    rig.scenario.driver_generation += 1;
    rig.save();
    assert_eq!(rig.consequence(), crate::gpu::Consequence::Reinitialise);
    rig.found.clear();
    rig.find();
    rig.read();
}

#[test]
fn an_old_library_that_lacks_nearly_all_still_shows_the_device() {
    let mut rig = Rig::idle(Scenario::of([Device::hopper(1).process(Process::compute(7).sm(50))]));
    let missing = [
        "nvmlDeviceGetTotalEnergyConsumption",
        "nvmlDeviceGetSamples",
        "nvmlDeviceGetFieldValues",
        "nvmlDeviceGetPowerUsage",
        "nvmlDeviceGetEnforcedPowerLimit",
        "nvmlDeviceGetUtilizationRates",
        "nvmlDeviceGetMemoryInfo_v2",
        "nvmlDeviceGetComputeRunningProcesses_v3",
        "nvmlDeviceGetComputeRunningProcesses_v2",
        "nvmlDeviceGetGraphicsRunningProcesses_v3",
        "nvmlDeviceGetGraphicsRunningProcesses_v2",
        "nvmlDeviceGetMPSComputeRunningProcesses_v3",
        "nvmlDeviceGetProcessUtilization",
        "nvmlDeviceGetMigMode",
        "nvmlDeviceGetAccountingMode",
    ];
    remove_symbols(&rig.library, &missing).unwrap();
    rig.find();
    let reading = rig.read();
    assert_eq!((reading.energy, reading.utilization, reading.memory_used), (None, None, None));
    assert_eq!((reading.power_limit, &reading.clients, &reading.work), (None, &None, &None));
    for what in ["clients", "sm_util"] {
        assert_eq!(limitation_of(&reading, what).unwrap(), "not known to this driver or its library");
    }
}

#[test]
fn a_library_that_has_older_lists_only_tells_clients_by_them() {
    let mut rig = Rig::of([Device::hopper(1).process(Process::compute(7).sm(50).memory(1 << 30))]);
    let missing = [
        "nvmlDeviceGetComputeRunningProcesses_v3",
        "nvmlDeviceGetGraphicsRunningProcesses_v3",
        "nvmlDeviceGetMPSComputeRunningProcesses_v3",
    ];
    rig.found.clear();
    rig.backend.forget();
    remove_symbols(&rig.library, &missing).unwrap();
    rig.find();
    let reading = rig.read();
    let clients = reading.clients.unwrap();
    assert_eq!(clients, [Client { pid: 7, memory: Some(Bytes(1 << 30)), instance: None }]);
}

#[test]
fn an_old_library_without_calls_for_instances_leaves_them_out() {
    let device = Device::hopper(1)
        .gpm(0.0, 50.0)
        .mig([Instance::slice(1, 0)])
        .process(Process::compute(7).instance(7, 0));
    for missing in [
        "nvmlGpmSampleFree",
        "nvmlGpmSampleAlloc",
        "nvmlGpmMetricsGet",
        "nvmlGpmMigSampleGet",
        "nvmlDeviceGetGpuInstanceId",
        "nvmlDeviceGetComputeInstanceId",
        "nvmlDeviceGetMaxMigDeviceCount",
    ] {
        let mut rig = Rig::idle(Scenario::of([device.clone()]));
        remove_symbols(&rig.library, &[missing]).unwrap();
        rig.find();
        let first = rig.read();
        assert!(first.mig && first.clients.unwrap().len() == 1, "{missing}");
        rig.try_read(0, 1_000).unwrap();
    }
}

#[test]
fn errors_now_and_then_neither_stop_the_reader_nor_turn_its_energy_back() {
    // No tick has that many calls, so it isn't always the same one that fails.
    let scenario = Scenario::of([Device::hopper(1).power(0, 300.0).process(Process::compute(7).sm(50))])
        .fault(Fault::of("nvmlDeviceGet*", code::UNKNOWN).every(11));
    let mut rig = Rig::idle(scenario.clone());
    rig.scenario.faults.clear();
    rig.save();
    rig.find();
    rig.scenario = scenario;
    rig.save();
    let (mut good, mut total) = (0, 0);
    for _ in 0..100 {
        if let Ok(reading) = rig.try_read(0, 1_000) {
            let now = reading.energy.unwrap().total.get();
            assert!(now >= total);
            (good, total) = (good + 1, now);
        }
    }
    assert!((20..100).contains(&good), "{good}");
}
