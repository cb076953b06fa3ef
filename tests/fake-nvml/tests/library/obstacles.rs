//! What goes wrong: failed and hanging calls, reloads, libraries that lack symbols; and the counting of calls.

use std::fs;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nvidia_ml::scenario::{Device, Fault, Hang, Scenario};
use nvidia_ml::{SCENARIO_FILE, calls, code, monotonic_ns, patch};
use nvml_wrapper::Nvml;
use nvml_wrapper::structs::device::FieldId;
use nvml_wrapper::sys_exports::field_id::{NVML_FI_DEV_ENERGY, NVML_FI_DEV_POWER_INSTANT};

use crate::{Fixture, kind, ns, wait_until};

/// How long a test waits for what must come at once.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn init_fails_as_the_scenario_wants() {
    let fixture = Fixture::of([Device::hopper(0)]);
    for (code, name) in [
        (code::DRIVER_NOT_LOADED, "DriverNotLoaded"),
        (code::LIB_RM_VERSION_MISMATCH, "LibRmVersionMismatch"),
        (code::UNKNOWN, "Unknown"),
    ] {
        fixture.set(&Scenario::of([]).fault(Fault::of("nvmlInit*", code)));
        assert_eq!(kind(fixture.init()), name);
    }
    fixture.set(&Scenario::of([Device::hopper(0)]));
    assert_eq!(fixture.nvml().device_count().unwrap(), 1);
    fs::remove_file(fixture.dir.path().join(SCENARIO_FILE)).unwrap();
    assert_eq!(kind(fixture.init()), "DriverNotLoaded", "no scenario, no driver");
}

#[test]
fn garbage_leaves_the_old_scenario_in_force() {
    let fixture = Fixture::of([Device::hopper(0)]);
    let nvml = fixture.nvml();
    assert_eq!(nvml.device_count().unwrap(), 1);
    fs::write(fixture.dir.path().join(SCENARIO_FILE), "{\"devices\": [{\"uid\"").unwrap();
    assert_eq!(nvml.device_count().unwrap(), 1);
    fs::remove_file(fixture.dir.path().join(SCENARIO_FILE)).unwrap();
    assert_eq!(nvml.device_count().unwrap(), 1);
    fixture.set(&Scenario::of([]));
    assert_eq!(nvml.device_count().unwrap(), 0);
}

#[test]
fn a_reload_ends_all_that_was_begun() {
    let mut scenario = Scenario::of([Device::hopper(0)]);
    let fixture = Fixture::new(&scenario);
    let nvml = fixture.nvml();
    let device = nvml.device_by_index(0).unwrap();
    scenario.driver_generation += 1;
    fixture.set(&scenario);
    assert_eq!(kind(nvml.device_count()), "Uninitialized");
    assert_eq!(kind(device.uuid()), "Uninitialized");
    // Somebody still has the old one.
    let second = fixture.nvml();
    assert_eq!(kind(second.device_count()), "Uninitialized");
    drop(nvml);
    assert_eq!(kind(second.device_count()), "Uninitialized");
    drop(second);
    assert_eq!(fixture.nvml().device_count().unwrap(), 1);
}

#[test]
fn users_are_counted_and_handles_end_with_the_last() {
    let fixture = Fixture::of([Device::hopper(0)]);
    let (first, second) = (fixture.nvml(), fixture.nvml());
    let device = first.device_by_index(0).unwrap();
    drop(second);
    assert_eq!(kind(device.uuid()), "Ok");
    #[allow(unsafe_code, reason = "the wrapper doesn't let handles outlive it")]
    // SAFETY: the library takes any number for a handle and says which it doesn't know.
    unsafe {
        let handle = device.handle();
        let mut index = 0;
        assert_eq!(first.lib().nvmlShutdown(), code::SUCCESS);
        assert_eq!(first.lib().nvmlDeviceGetIndex(handle, &raw mut index), code::UNINITIALIZED);
        assert_eq!(first.lib().nvmlShutdown(), code::UNINITIALIZED);
        assert_eq!(first.lib().nvmlInit_v2(), code::SUCCESS);
        assert_eq!(first.lib().nvmlDeviceGetIndex(handle, &raw mut index), code::INVALID_ARGUMENT);
    }
}

#[test]
fn faults_hit_what_they_name() {
    let past = monotonic_ns();
    let energy = "nvmlDeviceGetTotalEnergyConsumption";
    let fixture = Fixture::new(
        &Scenario::of([Device::hopper(0), Device::hopper(1)])
            .fault(Fault::of(energy, code::TIMEOUT).on(&Device::uuid_of(1)))
            .fault(
                Fault::of("nvmlDeviceGetHandleBy*", code::OPERATING_SYSTEM).on(&Device::uuid_of(0)).every(2),
            )
            .fault(Fault::of("nvmlDeviceGetName", code::UNKNOWN).within(0, past))
            .fault(Fault::of("nvmlDeviceGetUUID", code::UNKNOWN).every(3))
            .fault(Fault::of("field:186", code::NO_PERMISSION)),
    );
    let nvml = fixture.nvml();
    let (first, second) = (nvml.device_by_index(0).unwrap(), nvml.device_by_index(1).unwrap());
    assert_eq!(kind(nvml.device_by_index(0)), "OperatingSystem");
    assert_eq!(kind(nvml.device_by_index(0)), "Ok");
    assert_eq!(kind(first.total_energy_consumption()), "Ok");
    assert_eq!(kind(second.total_energy_consumption()), "Timeout");
    assert_eq!(kind(first.name()), "Ok");
    let fields = first.field_values_for(&[FieldId(NVML_FI_DEV_POWER_INSTANT), FieldId(NVML_FI_DEV_ENERGY)]);
    let fields = fields.unwrap().into_iter().map(|field| kind(field.unwrap().value));
    assert_eq!(fields.collect::<Vec<_>>(), ["NoPermission", "Ok"]);
    let every: Vec<String> = (0..6).map(|_| kind(first.uuid())).collect();
    assert_eq!(every, ["Ok", "Ok", "Unknown", "Ok", "Ok", "Unknown"]);
}

#[test]
fn a_hang_holds_up_one_device_until_it_is_released() {
    let calm = Scenario::of([Device::hopper(0), Device::hopper(1)]);
    let hang = Hang::of("nvmlDeviceGetPowerUsage").on(&Device::uuid_of(0));
    let fixture = Fixture::new(&calm.clone().hang(hang));
    let nvml = fixture.nvml();
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        let nvml = &nvml;
        scope.spawn(move || sender.send(kind(nvml.device_by_index(0).unwrap().power_usage())));
        assert!(receiver.recv_timeout(Duration::from_millis(100)).is_err(), "it hangs");
        assert_eq!(kind(nvml.device_by_index(1).unwrap().power_usage()), "Ok");
        assert_eq!(kind(nvml.device_by_index(0).unwrap().name()), "Ok");
        fixture.set(&calm);
        assert_eq!(receiver.recv_timeout(PATIENCE).unwrap(), "Ok");
    });
}

#[test]
fn a_hang_may_end_by_itself() {
    let hang = Hang::of("nvmlDeviceGetName").seconds(0.05).for_ever();
    let fixture = Fixture::new(&Scenario::of([Device::hopper(0)]).hang(hang));
    let nvml = fixture.nvml();
    let before = monotonic_ns();
    assert_eq!(kind(nvml.device_by_index(0).unwrap().name()), "Ok");
    assert!(monotonic_ns() - before >= ns(Duration::from_millis(50)));
}

#[test]
fn symbols_can_be_missing_in_two_ways() {
    let utilization = "nvmlDeviceGetProcessUtilization";
    let mut scenario = Scenario::of([Device::hopper(0)]);
    scenario.missing_symbols.push(utilization.to_owned());
    let fixture = Fixture::new(&scenario);
    let nvml = fixture.nvml();
    assert_eq!(kind(nvml.device_by_index(0).unwrap().process_utilization_stats(None)), "FunctionNotFound");
    drop(nvml);

    let has = |symbol: &str| {
        #[allow(unsafe_code, reason = "loading a library runs its code")]
        // SAFETY: the library is this crate's own, and the symbol isn't called.
        unsafe {
            let library = libloading::Library::new(&fixture.library).unwrap();
            library.get::<unsafe extern "C" fn() -> u32>(symbol.as_bytes()).is_ok()
        }
    };
    assert!(has(utilization));
    assert!(patch::remove_symbols(&fixture.library, &["nvmlDeviceGetNothing"]).is_err());
    patch::remove_symbols(&fixture.library, &[utilization, "nvmlDeviceGetMemoryInfo"]).unwrap();
    assert!(!has(utilization) && !has("nvmlDeviceGetMemoryInfo"));
    assert!(has("nvmlDeviceGetMemoryInfo_v2") && has("nvmlDeviceGetProcessesUtilizationInfo"));
    let nvml = fixture.nvml();
    let device = nvml.device_by_index(0).unwrap();
    assert_eq!(kind(device.process_utilization_stats(None)), "FailedToLoadSymbol");
    assert_eq!(kind(device.memory_info()), "Ok");
}

#[test]
fn calls_are_counted_over_reloads_and_threads() {
    let fixture = Fixture::of([Device::hopper(0)]);
    let file = calls::count_in(fixture.dir.path()).unwrap();
    for round in 1..=2 {
        let nvml = fixture.nvml();
        let device = nvml.device_by_index(0).unwrap();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..250).for_each(|_| drop(device.uuid())));
            }
        });
        let counts = calls::read(&file);
        assert_eq!(counts.get("nvmlDeviceGetUUID"), Some(&(round * 1000)));
        assert_eq!(counts.get("nvmlInit_v2"), Some(&round));
        assert_eq!(counts.get("nvmlDeviceGetName"), None);
    }
}

/// The environment is a process's own, so this test runs itself once more in another one.
#[test]
fn the_environment_is_obeyed() {
    const CHILD: &str = "FAKE_NVML_TEST_CHILD";
    if let Some(library) = std::env::var_os(CHILD) {
        let nvml = Nvml::builder().lib_path(&library).init().unwrap();
        assert_eq!(nvml.device_count().unwrap(), 2);
        let device = nvml.device_by_index(0).unwrap();
        assert_eq!(kind(device.uuid()), "Ok");
        assert_eq!(kind(device.total_energy_consumption()), "NotSupported");
        return;
    }
    let fixture = Fixture::of([Device::hopper(0)]);
    let (other, counts) = (fixture.dir.path().join("other"), fixture.dir.path().join("counts"));
    Scenario::of([Device::hopper(0), Device::hopper(1)]).save(&other).unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "obstacles::the_environment_is_obeyed"])
        .env(CHILD, &fixture.library)
        .env("FAKE_NVML_SCENARIO", &other)
        .env("FAKE_NVML_CALLS", &counts)
        .env("NVML_MPS_DEVICE_ENUMERATION", "1")
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    assert_eq!(calls::read(&counts).get("nvmlDeviceGetTotalEnergyConsumption"), Some(&1));
}

#[test]
fn loading_again_and_again_leaks_no_files() {
    let fixture = Fixture::of([Device::hopper(0)]);
    calls::count_in(fixture.dir.path()).unwrap();
    let open = || {
        let files = fs::read_dir("/proc/self/fd").unwrap();
        let counts = fixture.dir.path().join(calls::FILE);
        files
            .filter(|entry| fs::read_link(entry.as_ref().unwrap().path()).is_ok_and(|to| to == counts))
            .count()
    };
    for _ in 0..50 {
        drop(fixture.nvml());
        fixture.set(&Scenario::of([]).fault(Fault::of("nvmlInit_v2", code::UNKNOWN)));
        assert!(fixture.init().is_err());
        fixture.set(&Scenario::of([Device::hopper(0)]));
    }
    assert!(open() <= 1, "{} files", open());
}

#[test]
fn the_example_is_a_scenario() {
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let scenario = Scenario::load(&std::path::Path::new(examples).join("two-gpus.json")).unwrap();
    let fixture = Fixture::new(&scenario);
    let nvml = fixture.nvml();
    assert_eq!(nvml.device_count().unwrap(), 2);
    wait_until(monotonic_ns());
    assert!(nvml.device_by_index(0).unwrap().total_energy_consumption().unwrap() > 0);
}
