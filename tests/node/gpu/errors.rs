//! What each of the library's errors leads to, and that it ends with its cause.

use std::fs;

use nvidia_ml::scenario::{Device, Fault, Process, Scenario};
use nvidia_ml::{code, library_in, patch};

use crate::assert_close;
use crate::daemon::{Daemon, run};
use crate::gpu::witness::{Witness, resting};
use crate::gpu::{HASTY, Span, Stage, TOLERANCE, at_once};
use crate::snapshot::Snapshot;

/// A pid that nobody has.
const NOBODY: u32 = 4_194_000;

const ENERGY: &str = "nvmlDeviceGetTotalEnergyConsumption";
const SAMPLES: &str = "nvmlDeviceGetProcessUtilization";
const COMPUTE: &str = "nvmlDeviceGetComputeRunning*";

/// The reason stands where people and alerts look for it.
fn assert_told(stage: &Stage, daemon: &Daemon, snapshot: &Snapshot, reason: &str) {
    assert_eq!(snapshot.error("nvml"), Some(reason));
    assert!(snapshot.gpus().is_empty(), "{reason}");
    let scrape = daemon.scrape();
    let labels = [("collector", "nvml"), ("reason", reason)];
    assert_eq!(scrape.value("wattprint_collector_last_error_info", &labels), 1.0);
    assert_eq!(scrape.value("wattprint_collector_success", &labels[..1]), 0.0);
    let environment = stage.environment();
    let environment: Vec<_> = environment.iter().map(|(name, value)| (&**name, &**value)).collect();
    let output = run(&["check", "--no-collector.rapl", "--no-collector.hwmon", &stage.flag()], &environment);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let line = text.lines().find(|line| line.contains("FAIL nvml: ")).unwrap_or_else(|| panic!("{text}"));
    let fix = text.lines().skip_while(|other| *other != line).nth(1).unwrap_or_default();
    assert!(fix.contains("fix: "), "what to do about it: {text}");
}

/// The library can't be used for this reason until `mend`; then its device is measured.
fn fails_until(mut stage: Stage, reason: &str, mend: impl FnOnce(&mut Stage)) {
    let uuid = Device::uuid_of(0);
    let daemon = stage.start(HASTY, &[]);
    let witness = Witness::of(&daemon);
    let snapshot = witness.until(reason, |snapshot| snapshot.error("nvml") == Some(reason));
    witness.assert_cpu_goes_on();
    assert_told(&stage, &daemon, &snapshot, reason);
    mend(&mut stage);
    witness.until_up(&[&uuid]);
    witness.until_well();
    stage.pulse(&uuid, 500, 700);
    witness.until_booked(&stage, &uuid);
    daemon.finish();
}

/// Why the library can't be used.
#[derive(Clone, Copy, Debug)]
enum Cause {
    /// A function gives this code.
    Fails(&'static str, u32),
    /// The file is another one.
    IsText,
    /// There is no file.
    IsAbsent,
    /// The file lacks this function.
    Lacks(&'static str),
}

#[test]
fn a_library_that_cant_be_used_says_why_and_is_used_once_it_can() {
    let cases = [
        (Cause::Fails("nvmlInit*", code::DRIVER_NOT_LOADED), "driver not loaded"),
        (Cause::Fails("nvmlInit*", code::LIBRARY_NOT_FOUND), "library can't be loaded"),
        (Cause::Fails("nvmlInit*", code::LIB_RM_VERSION_MISMATCH), "driver and library differ in version"),
        (Cause::Fails("nvmlInit*", code::NO_PERMISSION), "no permission"),
        (Cause::Fails("nvmlInit*", code::UNKNOWN), "unknown driver error"),
        (Cause::Fails("nvmlInit*", code::TIMEOUT), "driver timed out"),
        (Cause::Fails("nvmlInit*", code::OPERATING_SYSTEM), "blocked by the operating system"),
        (Cause::Fails("nvmlDeviceGetCount*", code::GPU_NOT_FOUND), "no device"),
        (Cause::Fails("nvmlDeviceGetCount*", code::UNKNOWN), "unknown driver error"),
        (Cause::IsText, "library can't be loaded"),
        (Cause::IsAbsent, "library can't be loaded"),
        (Cause::Lacks("nvmlDeviceGetCount_v2"), "library lacks a function"),
    ];
    at_once(cases, |(cause, reason)| {
        let mut scenario = Scenario::of([resting(0)]);
        if let Cause::Fails(symbol, code) = cause {
            scenario.faults.push(Fault::of(symbol, code));
        }
        let stage = Stage::new(scenario);
        let library = &stage.library;
        match cause {
            Cause::Fails(..) => {}
            Cause::IsText => fs::write(library, "no library").unwrap(),
            Cause::IsAbsent => fs::remove_file(library).unwrap(),
            Cause::Lacks(symbol) => patch::remove_symbols(library, &[symbol]).unwrap(),
        }
        fails_until(stage, reason, |stage| {
            stage.change(|scenario| scenario.faults.clear());
            if !matches!(cause, Cause::Fails(..)) {
                // Beside it first: a file that is mapped must not change.
                let beside = tempfile::tempdir_in(stage.library.parent().unwrap()).unwrap();
                fs::rename(library_in(beside.path()).unwrap(), &stage.library).unwrap();
            }
        });
    });
}

#[test]
fn an_error_concerns_the_device_and_the_call_that_it_came_from() {
    let uuids: Vec<String> = (0..12).map(Device::uuid_of).collect();
    let [well, lost, reset, interrupt, counter, missing, denied, blocked, empty, churn, memory, flaps] =
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11].map(|place: usize| uuids[place].as_str());
    let busy = |number: u8| Device { gpu_utilization: 50, ..resting(number) };
    let mut scenario =
        Scenario::of((0..12).map(|n| busy(n).process(Process::compute(NOBODY).sm(50).memory(1 << 30))));
    // The one whose power is integrated draws it all the time.
    *scenario.device_mut(counter).unwrap() = busy(4).power(0, 300.0);
    let mut stage = Stage::new(scenario);
    let daemon = stage.start(HASTY, &[]);
    let witness = Witness::of(&daemon);
    let all: Vec<&str> = uuids.iter().map(String::as_str).collect();
    witness.until_up(&all);
    stage.change(|scenario| {
        let fault = |symbol: &str, code: u32, uuid: &str| Fault::of(symbol, code).on(uuid);
        scenario.faults = vec![
            fault(ENERGY, code::GPU_IS_LOST, lost),
            fault("nvmlDeviceGet*", code::RESET_REQUIRED, reset),
            fault("nvmlDeviceGetUtilizationRates", code::IRQ_ISSUE, interrupt),
            fault(ENERGY, code::NOT_SUPPORTED, counter),
            fault(SAMPLES, code::FUNCTION_NOT_FOUND, missing),
            fault(SAMPLES, code::NO_PERMISSION, denied),
            fault(COMPUTE, code::OPERATING_SYSTEM, blocked),
            fault(COMPUTE, code::NOT_FOUND, empty),
            fault(SAMPLES, code::NOT_FOUND, empty),
            fault("nvmlDeviceGetMemoryInfo*", code::NOT_SUPPORTED, memory),
            fault(ENERGY, code::UNKNOWN, flaps).every(2),
        ];
        scenario.device_mut(churn).unwrap().churn = 3;
    });
    for (uuid, reason) in
        [(lost, "fell off the bus"), (reset, "needs a reset"), (interrupt, "interrupt problem")]
    {
        witness.until_down(uuid, reason);
    }
    for uuid in all.iter().filter(|uuid| **uuid != counter) {
        stage.pulse(uuid, 400, 500);
    }
    let limits = [
        (counter, "counter", "no energy counter; power is integrated"),
        (missing, "sm_util", "not known to this driver or its library"),
        (denied, "sm_util", "no permission"),
        (blocked, "clients", "blocked by the operating system"),
    ];
    let limited = |snapshot: &Snapshot| {
        limits.iter().all(|(uuid, what, why)| snapshot.limitation(uuid, what) == Some(why))
    };
    witness.until("the limitations", limited);
    let span = Span::begin(&daemon);
    let target = witness.look().sequence() + 25;
    let snapshot = witness.until("25 ticks", |snapshot| {
        let is_down = |uuid: &&str| [lost, reset, interrupt].contains(uuid);
        for uuid in all.iter().filter(|uuid| **uuid != flaps) {
            assert_eq!(snapshot.is_up(uuid), !is_down(uuid), "{}", snapshot.gpu(uuid));
        }
        let reason = snapshot.gpu(flaps)["reason"].as_str().unwrap().to_owned();
        assert!(reason.is_empty() || reason == "unknown driver error", "{reason}");
        snapshot.sequence() >= target
    });
    let looks = span.end(&daemon, 5);
    let seen = looks.1.gpu_joules(counter) - looks.0.gpu_joules(counter);
    assert_close("integrated", seen, stage.joules(counter, looks.2, looks.3), TOLERANCE);
    assert_eq!(snapshot.gpu(counter)["quality"], "integrated");
    assert_eq!(snapshot.gpu(blocked)["clients"], serde_json::Value::Null);
    assert_eq!((&snapshot.gpu(empty)["clients"], &snapshot.gpu(churn)["clients"]), (&0.into(), &1.into()));
    assert!(snapshot.gpu(memory)["memory_used_bytes"].is_null());
    assert_eq!(snapshot.gpu(well)["limitations"], serde_json::json!([]), "{}", snapshot.gpu(well));
    assert!(snapshot.error("nvml").is_some(), "the collector doesn't get all");
    assert_eq!(stage.calls()["nvmlInit_v2"], 1, "nothing of this asks for a new start");
    let answering = [well, missing, denied, blocked, empty, churn, memory, flaps];
    witness.until_all_booked(&stage, &answering);
    let scrape = daemon.scrape();
    for uuid in &all {
        let down = [lost, reset, interrupt].contains(uuid);
        if *uuid != flaps {
            assert_eq!(scrape.value("wattprint_gpu_up", &[("uuid", uuid)]), if down { 0.0 } else { 1.0 });
        }
    }
    stage.change(|scenario| {
        scenario.faults.clear();
        scenario.device_mut(churn).unwrap().churn = 0;
    });
    // Those that are down are looked for by and by, with nothing lost.
    witness.until_up(&all);
    witness.until_all_booked(&stage, &[lost, reset, interrupt]);
    // What was off stays off until the driver begins anew.
    let snapshot = witness.look();
    assert!(limited(&snapshot), "{}", snapshot.0["gpus"]);
    stage.change(|scenario| scenario.driver_generation += 1);
    let free = |snapshot: &Snapshot| {
        all.iter()
            .all(|uuid| snapshot.is_up(uuid) && snapshot.gpu(uuid)["limitations"] == serde_json::json!([]))
    };
    witness.until("no limitations", free);
    witness.until_well();
    daemon.finish();
}

#[test]
fn three_failures_in_a_row_make_the_library_begin_anew_and_not_too_often() {
    let cases = [
        (code::TIMEOUT, "driver timed out"),
        (code::NOT_READY, "driver not ready"),
        (code::UNKNOWN, "unknown driver error"),
        (code::UNINITIALIZED, "driver library not initialised"),
    ];
    at_once(cases, |(code, reason)| {
        let (well, ill) = (Device::uuid_of(0), Device::uuid_of(1));
        let mut stage = Stage::new(Scenario::of([resting(0), resting(1)]));
        let daemon = stage.start(HASTY, &[]);
        let witness = Witness::of(&daemon);
        witness.until_up(&[&well, &ill]);
        assert_eq!(stage.calls()["nvmlInit_v2"], 1);
        stage.change(|scenario| scenario.faults.push(Fault::of(ENERGY, code).on(&ill)));
        let mut reasons = std::collections::BTreeSet::new();
        let target = witness.look().sequence() + 25;
        stage.pulse(&well, 300, 2_000);
        stage.pulse(&ill, 300, 1_000);
        let mut well_was_up = true;
        witness.until("25 ticks", |snapshot| {
            let gpu = snapshot.gpu(&ill);
            reasons.extend((gpu["up"] == false).then(|| gpu["reason"].as_str().unwrap().to_owned()));
            well_was_up &= snapshot.is_up(&well);
            snapshot.sequence() >= target
        });
        assert!(reasons.contains(reason), "{reasons:?}");
        assert!(well_was_up, "the other device suffers");
        // At once, and then after 0.2, 0.4, 0.8, 1.6 and 3.2 s or when three more have failed.
        let inits = stage.calls()["nvmlInit_v2"];
        assert!((2..=7).contains(&inits), "{reason}: {inits} in 5 s");
        stage.change(|scenario| scenario.faults.clear());
        witness.until_up(&[&well, &ill]);
        witness.until_well();
        witness.until_all_booked(&stage, &[&well, &ill]);
        daemon.finish();
    });
}

#[test]
fn a_library_without_a_function_goes_on_without_it() {
    let cases: [&[&str]; 5] = [
        &["nvmlShutdown"],
        &["nvmlDeviceGetProcessUtilization"],
        &["nvmlDeviceGetTotalEnergyConsumption"],
        &["nvmlDeviceGetMigMode", "nvmlDeviceGetAccountingMode", "nvmlDeviceGetMemoryInfo_v2"],
        &["nvmlDeviceGetGraphicsRunningProcesses_v3", "nvmlDeviceGetMPSComputeRunningProcesses_v3"],
    ];
    at_once(cases, |symbols| {
        let uuid = Device::uuid_of(0);
        let device = Device { gpu_utilization: 50, ..resting(0) }
            .process(Process::compute(NOBODY).sm(50).memory(1 << 30));
        let is_integrated = symbols.contains(&"nvmlDeviceGetTotalEnergyConsumption");
        let device = if is_integrated { device.power(0, 300.0) } else { device };
        let mut stage = Stage::new(Scenario::of([device]));
        patch::remove_symbols(&stage.library, symbols).unwrap();
        let daemon = stage.start(HASTY, &[]);
        let witness = Witness::of(&daemon);
        witness.until_up(&[&uuid]);
        let snapshot = witness.until_well();
        let gpu = snapshot.gpu(&uuid);
        assert_eq!(gpu["clients"], 1, "{gpu}");
        let has_samples = !symbols.contains(&"nvmlDeviceGetProcessUtilization");
        let why = snapshot.limitation(&uuid, "sm_util");
        assert_eq!(why, (!has_samples).then_some("not known to this driver or its library"));
        if is_integrated {
            let looks = Span::begin(&daemon).end(&daemon, 25);
            let seen = looks.1.gpu_joules(&uuid) - looks.0.gpu_joules(&uuid);
            // A span ends with a tick, which comes late on a busy machine.
            assert_close("integrated", seen, stage.joules(&uuid, looks.2, looks.3), 5.0 * TOLERANCE);
            assert_eq!(looks.1.gpu(&uuid)["quality"], "integrated");
        } else {
            stage.pulse(&uuid, 400, 500);
            witness.until_booked(&stage, &uuid);
        }
        daemon.finish();
    });
}
