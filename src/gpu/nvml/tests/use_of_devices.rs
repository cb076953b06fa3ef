//! Who uses a device that isn't cut, and what looking costs.

use std::collections::BTreeMap;

use nvidia_ml::scenario::{Accounted, Accounting, Device, Fault, Kind, Mig, Process};
use nvidia_ml::{code, monotonic_ns};

use super::rig::{Rig, limitation_of};
use crate::gpu::{Client, Consequence, DeviceReading};
use crate::units::{Bytes, Watts};

fn pids(reading: &DeviceReading) -> Vec<u32> {
    reading.clients.iter().flatten().map(|client| client.pid).collect()
}

fn work_of(reading: &DeviceReading, pid: u32) -> Option<u64> {
    reading.work.iter().flatten().find(|(worker, _)| *worker == pid).map(|(_, work)| *work)
}

fn total(calls: &BTreeMap<String, u64>) -> u64 {
    calls.values().sum()
}

/// A device whose counter moves between any two readings.
fn moving() -> Device {
    Device { counter_period_ns: 1, ..Device::hopper(1).power(0, 1e6) }
}

#[test]
fn an_idle_device_costs_four_calls() {
    let mig = Some(Mig::default());
    let accounting = Some(Accounting { enabled: false, ..Accounting::default() });
    let mut rig = Rig::of([Device { mig, accounting, ..moving() }]);
    rig.read();
    let costs: Vec<_> = (0..9).map(|_| total(&rig.calls(|rig| drop(rig.read())))).collect();
    // Graphics and MPS lists are looked at in the first and each fifth tick.
    assert_eq!(costs, [4, 4, 4, 4, 6, 4, 4, 4, 4]);
    // The power limit comes after ten seconds, the modes after a minute.
    let calls = rig.calls(|rig| (0..60).for_each(|_| drop(rig.read())));
    assert_eq!(calls["nvmlDeviceGetEnforcedPowerLimit"], 6);
    assert_eq!((calls["nvmlDeviceGetMigMode"], calls["nvmlDeviceGetAccountingMode"]), (1, 1));
    assert!(!calls.contains_key("nvmlDeviceGetProcessUtilization"));
}

#[test]
fn a_busy_device_costs_six_calls() {
    let mut rig = Rig::of([Device { gpu_utilization: 80, ..moving() }.process(Process::compute(7).sm(80))]);
    rig.read();
    assert_eq!(total(&rig.calls(|rig| drop(rig.read()))), 6);
}

#[test]
fn all_that_a_device_says_of_itself_is_told() {
    let device = Device { gpu_utilization: 80, memory_used: 3 << 30, ..Device::ampere(1) };
    let reading = Rig::of([device]).read();
    assert_eq!(reading.utilization, Some(0.8));
    assert_eq!(reading.memory_used, Some(Bytes(3 << 30)));
    assert_eq!(reading.power_limit, Some(Watts(400.0)));
    assert!(!reading.mig && reading.instances.is_empty());
}

#[test]
fn optional_calls_that_fail_leave_out_what_they_tell() {
    let mut rig = Rig::of([Device::hopper(1).process(Process::compute(7))]);
    for symbol in
        ["nvmlDeviceGetUtilizationRates", "nvmlDeviceGetMemoryInfo*", "nvmlDeviceGetProcessUtilization"]
    {
        rig.scenario.faults = vec![Fault::of(symbol, code::UNKNOWN)];
        rig.save();
        let reading = rig.read();
        assert_eq!(reading.utilization.is_none(), symbol.contains("Rates"));
        assert_eq!(reading.memory_used.is_none(), symbol.contains("Memory"));
        assert_eq!(reading.work.is_none(), symbol.contains("Process"));
        assert_eq!(pids(&reading), [7]);
    }
}

#[test]
fn optional_calls_that_keep_failing_are_limitations_and_rest() {
    for (symbol, what) in [
        ("nvmlDeviceGetUtilizationRates", "utilization"),
        ("nvmlDeviceGetMemoryInfo*", "memory_used"),
        ("nvmlDeviceGetProcessUtilization", "sm_util"),
    ] {
        for code in [code::TIMEOUT, code::NOT_READY, code::UNKNOWN] {
            let mut rig = Rig::of([Device::hopper(1).process(Process::compute(7))]);
            rig.scenario.faults = vec![Fault::of(symbol, code)];
            rig.save();
            let told: Vec<_> = (0..4).map(|_| limitation_of(&rig.read(), what)).collect();
            let failing = Some("keeps failing".to_owned());
            assert_eq!(told, [None, None, failing.clone(), failing], "{symbol} {code}");
            let name = symbol.trim_end_matches('*');
            let calls = rig.calls(|rig| (0..20).for_each(|_| drop(rig.read())));
            assert!(!calls.keys().any(|call| call.starts_with(name)), "{calls:?}");
            rig.scenario.faults.clear();
            rig.save();
            assert_eq!(limitation_of(&rig.try_read(0, 600_000).unwrap(), what), None);
        }
    }
}

#[test]
fn clients_of_all_lists_are_told_once() {
    let mut rig = Rig::of([Device::hopper(1)
        .process(Process::compute(7).memory(5))
        .process(Process::compute(8).kind(Kind::ComputeGraphics))
        .process(Process::compute(9).kind(Kind::Graphics).memory(1))
        .process(Process::compute(10).kind(Kind::MpsClient))
        .process(Process::compute(11).kind(Kind::MpsServer))]);
    let reading = rig.read();
    assert_eq!(pids(&reading), [7, 8, 9, 10, 11]);
    let first = Client { pid: 7, memory: Some(Bytes(5)), instance: None };
    assert_eq!(reading.clients.as_ref().unwrap()[0], first);
    assert!(limitation_of(&reading, "memory").is_some());
}

#[test]
fn lists_that_grow_are_asked_for_again() {
    let mut rig = Rig::of([Device { churn: 3, ..Device::hopper(1).process(Process::compute(7)) }]);
    assert_eq!(pids(&rig.read()), [7]);
    rig.change(|device| device.churn = 1_000);
    assert_eq!(rig.consequence(), Consequence::Transient);
}

#[test]
fn lists_that_may_not_be_read_leave_clients_unknown() {
    let mut rig = Rig::of([Device::hopper(1).process(Process::compute(7).sm(50))]);
    rig.scenario.faults = vec![Fault::of("nvmlDeviceGetComputeRunning*", code::NO_PERMISSION)];
    rig.save();
    let reading = rig.read();
    assert_eq!(reading.clients, None);
    assert_eq!(limitation_of(&reading, "clients").unwrap(), "no permission");
    assert!(reading.energy.is_some());
}

#[test]
fn a_list_beside_the_main_one_that_fails_takes_only_its_own_clients_away() {
    for (symbol, reason, left) in [
        ("nvmlDeviceGetGraphicsRunning*", "the list of graphics contexts fails", [7, 9]),
        ("nvmlDeviceGetMPSComputeRunning*", "the list of MPS clients fails", [7, 8]),
    ] {
        for code in [code::UNKNOWN, code::NO_PERMISSION] {
            let device = Device { mps_clients_in_compute: false, ..Device::hopper(1) };
            let mut rig = Rig::of([device
                .process(Process::compute(7))
                .process(Process::compute(8).kind(Kind::Graphics))
                .process(Process::compute(9).kind(Kind::MpsClient))]);
            assert_eq!(pids(&rig.read()), [7, 8, 9]);
            rig.scenario.faults = vec![Fault::of(symbol, code)];
            rig.save();
            for _ in 0..20 {
                let reading = rig.read();
                assert_eq!(
                    (pids(&reading), limitation_of(&reading, "clients")),
                    (left.into(), Some(reason.into()))
                );
            }
            // Without the main list, too, nobody knows who is there.
            rig.scenario.faults.push(Fault::of("nvmlDeviceGetComputeRunning*", code::NOT_SUPPORTED));
            rig.save();
            assert_eq!(rig.read().clients, None);
            rig.scenario.faults.clear();
            rig.save();
            rig.try_read(0, 600_000).unwrap();
            let reading = (0..5).map(|_| rig.read()).last().unwrap();
            assert_eq!((pids(&reading), limitation_of(&reading, "clients")), (vec![7, 8, 9], None));
        }
    }
}

#[test]
fn a_context_of_another_namespace_is_a_client_without_a_name() {
    let device = Device { pid_zero: true, gpu_utilization: 80, ..Device::hopper(1) };
    let nameless = || Process::compute(0).memory(2).sm(50);
    let mut rig =
        Rig::of([device.process(nameless()).process(nameless()).process(Process::compute(7).sm(20))]);
    let reading = rig.read_until(|reading| work_of(reading, 7).is_some());
    assert_eq!(pids(&reading), [0, 7]);
    assert_eq!(reading.clients.as_ref().unwrap()[0].memory, Some(Bytes(4)));
    assert_eq!(work_of(&reading, 0), None);
}

#[test]
fn work_is_shared_as_the_processes_worked() {
    let mut rig = Rig::of([Device { gpu_utilization: 80, pid_zero: true, ..Device::hopper(1) }
        .process(Process::compute(7).sm(60))
        .process(Process::compute(8).sm(20))
        .process(Process::compute(9))
        .process(Process::compute(10).sm(250))]);
    let mut sums = (0, 0, 0);
    let began = monotonic_ns();
    let reading = rig.read_until(|reading| {
        sums.0 += work_of(reading, 7).unwrap_or(0);
        sums.1 += work_of(reading, 8).unwrap_or(0);
        sums.2 += 1;
        assert!(work_of(reading, 0).is_none() && work_of(reading, 10).is_none());
        monotonic_ns() - began > 1_500_000_000
    });
    assert_eq!(pids(&reading), [7, 8, 9, 10]);
    assert!(sums.2 > 10);
    assert!(sums.0.abs_diff(3 * sums.1) * 50 <= sums.0, "{sums:?}");
    // The first sample stands for a second; the rest is the time that passed.
    let most = 60 * (1_000_000 + (monotonic_ns() - began) / 1_000 + 200_000);
    assert!(sums.0 >= 60 * 2_000_000 && sums.0 <= most, "{sums:?} {most}");
}

#[test]
fn a_worker_in_no_list_has_all_lists_looked_at() {
    let mut rig = Rig::of([Device { gpu_utilization: 80, ..Device::hopper(1) }]);
    // The lists were empty, so the next look is some ticks away.
    rig.read_until(|_| true);
    rig.change(|device| device.processes.push(Process::compute(9).kind(Kind::Graphics).sm(50)));
    let reading = rig.read_until(|reading| work_of(reading, 9).is_some());
    assert_eq!(pids(&reading), [9]);
    // One that isn't even there worked all the same.
    rig.change(|device| device.processes = vec![Process::compute(12).sm(50).unlisted()]);
    let reading = rig.read_until(|reading| work_of(reading, 12).is_some());
    assert!(pids(&reading).is_empty());
}

#[test]
fn utilisation_that_is_not_supported_is_a_limitation() {
    let mut rig = Rig::of([Device::hopper(1).process(Process::compute(7))]);
    rig.scenario.faults = vec![Fault::of("nvmlDeviceGetProcessUtilization", code::NOT_SUPPORTED)];
    rig.save();
    for _ in 0..2 {
        let reading = rig.read();
        assert_eq!(reading.work, None);
        assert_eq!(limitation_of(&reading, "sm_util").unwrap(), "not supported by the device");
    }
    rig.change(|device| device.processes.clear());
    assert_eq!(rig.try_read(0, 10_000).unwrap().work, None);
}

#[test]
fn accounts_tell_of_a_process_between_two_ticks() {
    let old = Accounted { pid: 5, gpu_utilization: 90, time_ms: 500, ..Accounted::default() };
    let accounting = Accounting { processes: vec![old], ..Accounting::default() };
    let mut rig = Rig::of([Device::hopper(1).accounting(accounting)]);
    assert_eq!(rig.read().work, Some(Vec::new()));
    rig.change(|device| {
        let accounts = &mut device.accounting.as_mut().unwrap().processes;
        accounts.push(Accounted { pid: 6, gpu_utilization: 50, time_ms: 400, ..Accounted::default() });
        accounts.push(Accounted {
            pid: 7,
            gpu_utilization: 50,
            time_ms: 400,
            running: true,
            ..Accounted::default()
        });
    });
    assert_eq!(rig.read().work, Some(vec![(6, 50 * 400_000)]));
    rig.change(|device| device.accounting.as_mut().unwrap().processes[2].running = false);
    assert_eq!(rig.read().work, Some(vec![(7, 50 * 400_000)]));
    assert_eq!(rig.read().work, Some(Vec::new()));
}
