//! MIG and GPM.

use std::time::Duration;

use nvidia_ml::scenario::{Device, Instance, ParentLists, Process, Scenario};
use nvidia_ml::{code, monotonic_ns};
use nvml_wrapper::enums::gpm::GpmMetricId;
use nvml_wrapper::gpm::gpm_metrics_get;

use crate::{Fixture, kind, ns, wait_until};

fn cut() -> Device {
    let busy = Instance { sm_utilization: 75.0, ..Instance::slice(0, 2) };
    Device::hopper(0)
        .gpm(50.0, 40.0)
        .mig([Instance::slice(0, 0), busy])
        .process(Process::compute(40).instance(7, 0))
        .process(Process::compute(41).instance(9, 0).sm(50))
}

#[test]
fn instances_are_found_with_holes() {
    let mut scenario = Scenario::of([cut()]);
    let fixture = Fixture::new(&scenario);
    let nvml = fixture.nvml();
    let device = nvml.device_by_index(0).unwrap();
    assert_eq!(device.mig_mode().unwrap().current, 1);
    assert_eq!(device.mig_device_count().unwrap(), 7, "the greatest number, not that of the instances");
    let outcomes: Vec<String> = (0..7).map(|index| kind(device.mig_device_by_index(index))).collect();
    assert_eq!(outcomes, ["Ok", "NotFound", "Ok", "NotFound", "NotFound", "NotFound", "NotFound"]);

    let instance = device.mig_device_by_index(2).unwrap();
    assert!(instance.mig_is_mig_device_handle().unwrap());
    assert_eq!(instance.uuid().unwrap(), Instance::slice(0, 2).uuid);
    assert_eq!(instance.name().unwrap(), "NVIDIA H100 80GB HBM3 MIG 1g.10gb");
    assert_eq!(instance.attributes().unwrap().multiprocessor_count, 16);
    assert_eq!(instance.mig_parent_device().unwrap().uuid().unwrap(), Device::uuid_of(0));
    assert_eq!(instance.running_compute_processes().unwrap()[0].pid, 41);
    assert_eq!(nvml.device_by_uuid(Instance::slice(0, 2).uuid).unwrap().index().unwrap(), 2);
    let mut id = 0;
    // SAFETY: a handle of this library and a place for the id.
    #[allow(unsafe_code, reason = "the wrapper lacks this function")]
    let outcome = unsafe { nvml.lib().nvmlDeviceGetGpuInstanceId(instance.handle(), &raw mut id) };
    assert_eq!((outcome, id), (code::SUCCESS, 9));

    assert_eq!(kind(instance.total_energy_consumption()), "NotSupported");
    assert_eq!(kind(device.total_energy_consumption()), "Ok");
    assert_eq!(kind(device.process_utilization_stats(None)), "NotSupported");
    assert_eq!(kind(device.utilization_rates()), "NotSupported");

    let all = device.running_compute_processes().unwrap();
    assert_eq!(all.iter().map(|process| process.gpu_instance_id).collect::<Vec<_>>(), [Some(7), Some(9)]);
    scenario.devices[0].mig.as_mut().unwrap().parent_lists = ParentLists::NoPermission;
    fixture.set(&scenario);
    assert_eq!(kind(device.running_compute_processes()), "NoPermission");
    scenario.devices[0].mig.as_mut().unwrap().parent_lists = ParentLists::Empty;
    fixture.set(&scenario);
    assert!(device.running_compute_processes().unwrap().is_empty());

    scenario.devices[0].mig_generation += 1;
    fixture.set(&scenario);
    assert_eq!(kind(instance.running_compute_processes()), "InvalidArg", "a stale handle");
    assert_eq!(kind(device.mig_device_by_index(2).unwrap().uuid()), "Ok");
}

#[test]
fn a_device_without_mig_says_so() {
    let mut off = cut();
    off.mig.as_mut().unwrap().enabled = false;
    let fixture = Fixture::of([off, Device::hopper(1)]);
    let nvml = fixture.nvml();
    let off = nvml.device_by_index(0).unwrap();
    assert_eq!((off.mig_mode().unwrap().current, off.mig_device_count().unwrap()), (0, 7));
    assert_eq!(kind(off.mig_device_by_index(0)), "NotFound");
    let never = nvml.device_by_index(1).unwrap();
    assert_eq!(kind(never.mig_mode()), "NotSupported");
    assert_eq!(never.mig_device_count().unwrap(), 0);
}

#[test]
fn gpm_wants_two_samples_that_are_apart() {
    let fixture = Fixture::of([cut(), Device::hopper(1), Device::ampere(2)]);
    let nvml = fixture.nvml();
    let device = nvml.device_by_index(0).unwrap();
    assert!(device.gpm_support().unwrap());
    let (first, soon) = loop {
        let before = monotonic_ns();
        let pair = (device.gpm_mig_sample(9).unwrap(), device.gpm_mig_sample(9).unwrap());
        if monotonic_ns() - before < ns(Duration::from_millis(100)) {
            break pair;
        }
    };
    let elsewhere = device.gpm_sample().unwrap();
    wait_until(monotonic_ns() + ns(Duration::from_millis(101)));
    let second = device.gpm_mig_sample(9).unwrap();

    let metrics = [GpmMetricId::SmUtil, GpmMetricId::GraphicsUtil];
    let values = gpm_metrics_get(&nvml, &first, &second, &metrics).unwrap();
    assert!((values[0].as_ref().unwrap().value - 75.0).abs() < 1e-9);
    assert!(values[1].is_err(), "an instance has metric 2 only");
    assert_eq!(kind(gpm_metrics_get(&nvml, &first, &soon, &metrics)), "InvalidArg");
    assert_eq!(kind(gpm_metrics_get(&nvml, &elsewhere, &second, &metrics)), "InvalidArg");
    let later = device.gpm_sample().unwrap();
    let values = gpm_metrics_get(&nvml, &elsewhere, &later, &metrics).unwrap();
    assert!((values[0].as_ref().unwrap().value - 40.0).abs() < 1e-9);
    assert!((values[1].as_ref().unwrap().value - 50.0).abs() < 1e-9);
    assert_eq!(kind(device.gpm_mig_sample(3)), "InvalidArg");

    let forbidden = nvml.device_by_index(1).unwrap();
    assert!(forbidden.gpm_support().unwrap());
    assert_eq!(kind(forbidden.gpm_sample()), "NoPermission");
    let old = nvml.device_by_index(2).unwrap();
    assert!(!old.gpm_support().unwrap());
    assert_eq!(kind(old.gpm_sample()), "NotSupported");
}
