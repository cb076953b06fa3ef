//! Who is on a device, and who worked.

use std::time::Duration;

use nvidia_ml::scenario::{Accounted, Accounting, Device, Kind, Process, Scenario};
use nvidia_ml::{code, monotonic_ns};
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::struct_wrappers::device::ProcessInfo;
use nvml_wrapper_sys::bindings::{
    nvmlDevice_t, nvmlProcessInfo_v1_t, nvmlProcessUtilizationInfo_v1_t, nvmlProcessesUtilizationInfo_t,
};

use crate::{Fixture, GIB, kind, ns, wait_until};

fn pids(processes: &[ProcessInfo]) -> Vec<u32> {
    processes.iter().map(|process| process.pid).collect()
}

#[test]
fn each_kind_is_in_its_lists() {
    let device = Device::hopper(0)
        .process(Process::compute(10).memory(GIB))
        .process(Process::compute(11).kind(Kind::Graphics))
        .process(Process::compute(12).kind(Kind::ComputeGraphics))
        .process(Process::compute(13).kind(Kind::MpsServer))
        .process(Process::compute(14).kind(Kind::MpsClient))
        .process(Process::compute(15).unlisted())
        .process(Process::compute(16).within(0, 1))
        .process(Process::compute(17).within(u64::MAX, u64::MAX));
    let mut scenario = Scenario::of([device]);
    let fixture = Fixture::new(&scenario);
    let nvml = fixture.nvml();
    let handle = nvml.device_by_index(0).unwrap();
    let compute = handle.running_compute_processes().unwrap();
    assert_eq!(pids(&compute), [10, 12, 13, 14]);
    assert_eq!(compute[0].used_gpu_memory, UsedGpuMemory::Used(GIB));
    assert_eq!(compute[1].used_gpu_memory, UsedGpuMemory::Unavailable);
    assert_eq!(compute[0].gpu_instance_id, None);
    assert_eq!(pids(&handle.running_graphics_processes().unwrap()), [11, 12]);
    assert_eq!(pids(&handle.mps_running_compute_processes().unwrap()), [14]);
    assert_eq!(handle.running_compute_processes_count().unwrap(), 4);

    scenario.devices[0].mps_clients_in_compute = false;
    fixture.set(&scenario);
    assert_eq!(pids(&handle.running_compute_processes().unwrap()), [10, 12, 13]);

    scenario.devices[0].processes.clear();
    fixture.set(&scenario);
    assert_eq!(pids(&handle.running_compute_processes().unwrap()), [0; 0]);
}

#[test]
fn lists_grow_under_churn() {
    let device = Device { churn: 2, ..Device::hopper(0) }.process(Process::compute(10));
    let fixture = Fixture::of([device]);
    let nvml = fixture.nvml();
    let handle = nvml.device_by_index(0).unwrap();
    let outcomes: Vec<String> = (0..6).map(|_| kind(handle.running_compute_processes())).collect();
    assert_eq!(
        outcomes,
        ["InsufficientSize", "InsufficientSize", "Ok", "InsufficientSize", "InsufficientSize", "Ok"]
    );
}

#[test]
fn utilisation_is_the_mean_since_the_time_that_was_seen() {
    let start = monotonic_ns();
    let device = Device { pid_zero: true, ..Device::hopper(0) }
        .process(Process::compute(20).sm(60))
        .process(Process::compute(21).sm(30).within(start, u64::MAX))
        .process(
            Process::compute(22).sm(150).within(start, start + ns(Duration::from_millis(100))).unlisted(),
        )
        .process(Process::compute(23));
    let fixture = Fixture::of([device]);
    let nvml = fixture.nvml();
    let handle = nvml.device_by_index(0).unwrap();
    wait_until(start + ns(Duration::from_millis(250)));

    let lagging = handle.process_utilization_stats(None).unwrap();
    let of = |pid| lagging.iter().find(|sample| sample.pid == pid).map(|sample| sample.sm_util);
    assert_eq!(of(20), Some(60));
    assert!(of(21).is_none_or(|sm| sm < 10), "a mean over 20 s lags behind");
    assert_eq!(of(23), None);
    assert_eq!(lagging[0].pid, 0, "an unused slot");

    let newest = lagging.iter().map(|sample| sample.timestamp).max().unwrap();
    assert_eq!(newest % 100_000, 0);
    let recent = handle.process_utilization_stats(newest - 100_000).unwrap();
    let of = |pid| recent.iter().find(|sample| sample.pid == pid).map(|sample| sample.sm_util);
    assert_eq!((of(20), of(21)), (Some(60), Some(30)));
    let since = newest - (monotonic_ns() - start) / 1000 - 200_000;
    let wider = handle.process_utilization_stats(since).unwrap();
    let dead = wider.iter().find(|sample| sample.pid == 22).unwrap();
    let expected = 150 * 100_000 / (dead.timestamp - since);
    assert!(u64::from(dead.sm_util).abs_diff(expected) <= 1, "{} is not {expected}", dead.sm_util);

    assert_eq!(kind(handle.process_utilization_stats(newest + 3_600_000_000)), "NotFound", "nothing new");
}

#[test]
fn values_over_a_hundred_and_other_pids_come_through() {
    let process = Process { host_pid: Some(120), ..Process::compute(20) };
    let fixture = Fixture::of([Device::hopper(0).process(process.sm(4_000_000))]);
    let nvml = fixture.nvml();
    let samples = nvml.device_by_index(0).unwrap().process_utilization_stats(None).unwrap();
    assert_eq!(
        samples.iter().map(|sample| (sample.pid, sample.sm_util)).collect::<Vec<_>>(),
        [(120, 4_000_000)]
    );
}

#[test]
fn an_idle_device_has_no_samples() {
    let fixture = Fixture::of([Device::hopper(0).process(Process::compute(20))]);
    let nvml = fixture.nvml();
    assert_eq!(kind(nvml.device_by_index(0).unwrap().process_utilization_stats(None)), "NotFound");
}

#[test]
fn accounting_remembers_the_last_of_a_pid() {
    let ended = Accounted { pid: 30, time_ms: 1500, gpu_utilization: 40, ..Accounted::default() };
    let running = Accounted { pid: 30, time_ms: 99, running: true, ..Accounted::default() };
    let forgotten = Accounted { pid: 29, ..Accounted::default() };
    let processes = vec![forgotten, ended, running];
    let fixture = Fixture::of([
        Device::hopper(0).accounting(Accounting { buffer_size: 2, processes, ..Accounting::default() }),
        Device::hopper(1),
    ]);
    let nvml = fixture.nvml();
    let device = nvml.device_by_index(0).unwrap();
    assert!(device.is_accounting_enabled().unwrap());
    assert_eq!(device.accounting_pids().unwrap(), [30]);
    let stats = device.accounting_stats_for(30).unwrap();
    assert!(stats.is_running && stats.time == 0);
    assert_eq!(kind(device.accounting_stats_for(29)), "NotFound");
    assert_eq!(kind(nvml.device_by_index(1).unwrap().accounting_pids()), "NotSupported");
}

#[test]
fn the_newer_utilisation_call_says_the_same() {
    let fixture = Fixture::of([Device::hopper(0).process(Process::compute(20).sm(60))]);
    let nvml = fixture.nvml();
    let device = nvml.device_by_index(0).unwrap();
    #[allow(
        unsafe_code,
        reason = "the wrapper lacks this function, and doesn't use the old versions of lists"
    )]
    // SAFETY: all-zero is a valid value of these structs, and the counts are those of the buffers.
    unsafe {
        let mut samples: [nvmlProcessUtilizationInfo_v1_t; 100] = std::mem::zeroed();
        let mut info: nvmlProcessesUtilizationInfo_t = std::mem::zeroed();
        let ask = |info: &mut nvmlProcessesUtilizationInfo_t| {
            nvml.lib().nvmlDeviceGetProcessesUtilizationInfo(device.handle(), info)
        };
        assert_eq!(ask(&mut info), code::ARGUMENT_VERSION_MISMATCH);
        info.version = 0x0100_0018;
        assert_eq!((ask(&mut info), info.processSamplesCount), (code::INSUFFICIENT_SIZE, 100));
        info.procUtilArray = samples.as_mut_ptr();
        assert_eq!((ask(&mut info), info.processSamplesCount), (code::SUCCESS, 1));
        assert_eq!((samples[0].pid, samples[0].smUtil), (20, 60));

        let library = libloading::Library::new(&fixture.library).unwrap();
        type List = unsafe extern "C" fn(nvmlDevice_t, *mut u32, *mut nvmlProcessInfo_v1_t) -> u32;
        let list = library.get::<List>(b"nvmlDeviceGetComputeRunningProcesses").unwrap();
        let mut infos: [nvmlProcessInfo_v1_t; 2] = std::mem::zeroed();
        let mut count = 2;
        assert_eq!(list(device.handle(), &raw mut count, infos.as_mut_ptr()), code::SUCCESS);
        assert_eq!((count, infos[0].pid, infos[0].usedGpuMemory), (1, 20, u64::MAX));
    }
}
