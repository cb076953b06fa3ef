//! Drivers that come, go, and come back, and what a person does about them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nvidia_ml::scenario::{Device, Fault, Scenario};
use nvidia_ml::{code, monotonic_ns};

use crate::daemon::{Daemon, PATIENCE, binary, run, signal};
use crate::gpu::witness::{Witness, resting};
use crate::gpu::{HASTY, Stage, at_once};
use crate::{assert_close, wait_for};

/// Whether the library is in the daemon's memory.
fn is_mapped(daemon: &Daemon) -> bool {
    fs::read_to_string(format!("/proc/{}/maps", daemon.pid())).unwrap().contains("libnvidia-ml")
}

#[test]
fn a_device_that_comes_back_at_another_place_goes_on_where_it_was() {
    let uuids: Vec<String> = (0..3).map(Device::uuid_of).collect();
    let [first, second, third] = [0, 1, 2].map(|place: usize| uuids[place].as_str());
    let mut stage = Stage::new(Scenario::of((0..3).map(resting)));
    let daemon = stage.start(HASTY, &[]);
    let witness = Witness::of(&daemon);
    witness.until_up(&[first, second, third]);
    stage.pulse(first, 500, 400);
    witness.until_booked(&stage, first);

    stage.change(|scenario| scenario.device_mut(first).unwrap().present = false);
    witness.until_down(first, "fell off the bus");
    for uuid in [first, second] {
        stage.pulse(uuid, 500, 400);
    }
    witness.until_booked(&stage, second);
    stage.change(|scenario| {
        scenario.devices.rotate_left(1);
        scenario.device_mut(first).unwrap().present = true;
    });
    let snapshot = witness.until_up(&[first, second, third]);
    let places = |uuid| snapshot.gpu(uuid)["gpu"].as_str().unwrap().to_owned();
    assert_eq!([first, second, third].map(places), ["2", "0", "1"]);
    witness.until_booked(&stage, first);
    let labels = [("gpu", "2"), ("uuid", first)];
    let scraped = daemon.scrape().value("wattprint_gpu_energy_joules_total", &labels);
    assert_close("scraped", scraped, 400.0, 1e-6);
    let snapshot = witness.until_well();
    assert_eq!(snapshot.gpus().len(), 3, "a device has one row");
    daemon.finish();
}

#[test]
fn a_driver_that_is_loaded_anew_loses_no_energy_but_what_nobody_counted() {
    let uuids: Vec<String> = (0..3).map(Device::uuid_of).collect();
    let mut stage = Stage::new(Scenario::of((0..3).map(resting)));
    let daemon = stage.start(HASTY, &[]);
    let witness = Witness::of(&daemon);
    let all: Vec<&str> = uuids.iter().map(String::as_str).collect();
    witness.until_up(&all);
    for round in 0..2 {
        for uuid in &all {
            stage.pulse(uuid, 500, 400);
        }
        witness.until_all_booked(&stage, &all);
        let inits = stage.calls()["nvmlInit_v2"];
        stage.change(|scenario| {
            scenario.driver_generation += 1;
            let now = monotonic_ns();
            scenario.devices.iter_mut().for_each(|device| device.counter_resets_ns.push(now));
        });
        witness.until("a new start", |_| stage.calls()["nvmlInit_v2"] > inits);
        witness.until_up(&all);
        assert!(
            stage.calls()["nvmlInit_v2"] <= inits + 3,
            "round {round}: one start, or one for each device"
        );
    }
    for uuid in &all {
        stage.pulse(uuid, 500, 400);
    }
    witness.until_all_booked(&stage, &all);
    daemon.finish();
}

#[test]
fn a_driver_without_devices_and_no_driver_at_all_leave_the_rest_alone() {
    at_once([true, false], |has_driver| {
        let mut stage = Stage::new(Scenario::default());
        if !has_driver {
            stage.change(|scenario| scenario.faults.push(Fault::of("nvmlInit*", code::DRIVER_NOT_LOADED)));
        }
        let daemon = stage.start(HASTY, &[]);
        let witness = Witness::of(&daemon);
        let expected = if has_driver { None } else { Some("driver not loaded") };
        let snapshot = witness.until("a look", |snapshot| snapshot.error("nvml") == expected);
        assert!(snapshot.gpus().is_empty() && snapshot.component("gpu").is_none());
        assert!(daemon.scrape().select("wattprint_gpu_energy_joules_total", &[]).is_empty());
        witness.assert_cpu_goes_on();
        daemon.finish();
    });
}

/// All of this machine's sysfs but the modules.
fn sysfs_without_modules(at: &Path) {
    for entry in fs::read_dir("/sys").unwrap().flatten().filter(|entry| entry.file_name() != "module") {
        symlink(entry.path(), at.join(entry.file_name())).unwrap();
    }
    fs::create_dir(at.join("module")).unwrap();
}

#[test]
fn nothing_is_loaded_before_the_driver_is_there() {
    let uuid = Device::uuid_of(0);
    let mut stage = Stage::new(Scenario::of([resting(0)]));
    let sysfs = tempfile::tempdir().unwrap();
    sysfs_without_modules(sysfs.path());
    let mut environment = stage.environment();
    let directory = stage.library.parent().unwrap().display().to_string();
    environment.push(("LD_LIBRARY_PATH".to_owned(), directory));
    let path = format!("--path.sysfs={}", sysfs.path().display());
    let daemon =
        Daemon::in_environment(&environment, HASTY, &["--no-collector.rapl", "--no-collector.hwmon", &path]);
    let witness = Witness::of(&daemon);
    witness.until("no driver", |snapshot| snapshot.error("nvml") == Some("driver not loaded"));
    // Long enough for some retries.
    witness.ticks(10);
    assert!(stage.calls().is_empty() && !is_mapped(&daemon), "the library was loaded");
    fs::create_dir(sysfs.path().join("module/nvidia")).unwrap();
    witness.until_up(&[&uuid]);
    witness.until_well();
    assert_eq!(stage.calls()["nvmlInit_v2"], 1);
    stage.pulse(&uuid, 500, 400);
    witness.until_booked(&stage, &uuid);
    daemon.finish();
}

#[test]
fn in_a_pod_a_stale_library_ends_the_daemon_after_some_tries() {
    let cases = [
        (code::LIB_RM_VERSION_MISMATCH, "driver and library differ in version"),
        (code::UNKNOWN, "unknown driver error"),
    ];
    at_once(cases, |(code, reason)| {
        let stage = Stage::new(Scenario::of([resting(0)]).fault(Fault::of("nvmlInit*", code)));
        let config = stage.library.with_file_name("config.toml");
        fs::write(&config, "[gpu]\nretry = \"100ms\"\n[sample]\ninterval = \"200ms\"\n").unwrap();
        let log = stage.library.with_file_name("log");
        let mut child = binary()
            .arg("--config.file")
            .arg(&config)
            .args(["--web.listen-address=127.0.0.1:0", "--no-collector.rapl", &stage.flag()])
            .envs(stage.environment())
            .env("KUBERNETES_SERVICE_HOST", "10.96.0.1")
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let status = wait_for("the daemon to give up", PATIENCE, || child.try_wait().unwrap());
        let log = fs::read_to_string(log).unwrap();
        assert!(!status.success() && status.code().is_some(), "{status}: {log}");
        assert!(!log.contains("panicked"), "{log}");
        let last = log.lines().last().unwrap_or_default();
        assert!(last.contains(reason) && last.contains("container"), "{log}");
        assert!(stage.calls()["nvmlInit_v2"] >= 3, "it tried again");
    });
}

#[test]
fn released_devices_are_let_go_of_and_lose_no_energy() {
    let uuid = Device::uuid_of(0);
    let mut stage = Stage::new(Scenario::of([resting(0)]));
    // With this NVML shows MPS domains in place of devices; the daemon doesn't let it.
    let mut environment = stage.environment();
    environment.push(("NVML_MPS_DEVICE_ENUMERATION".to_owned(), "1".to_owned()));
    let daemon = Daemon::in_environment(
        &environment,
        HASTY,
        &["--no-collector.rapl", "--no-collector.hwmon", &stage.flag()],
    );
    let witness = Witness::of(&daemon);
    witness.until_up(&[&uuid]);
    assert!(is_mapped(&daemon));
    let pid = daemon.pid().to_string();
    for by_command in [false, true] {
        stage.pulse(&uuid, 500, 400);
        witness.until_booked(&stage, &uuid);
        if by_command {
            let output = run(&["release-gpus", "--pid", &pid], &[]);
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success() && said.contains("released"), "{said}");
            assert!(!is_mapped(&daemon), "the command waits for it");
        } else {
            signal(daemon.pid(), "USR1");
        }
        let snapshot = witness.until_down(&uuid, "released");
        assert_eq!(snapshot.error("nvml"), Some("released"));
        wait_for("the library to be let go", PATIENCE, || (!is_mapped(&daemon)).then_some(()));
        let calls = stage.calls();
        // The device goes on; nobody looks.
        stage.pulse(&uuid, 500, 400);
        witness.ticks(8);
        assert_eq!(stage.calls(), calls);
        if by_command {
            signal(daemon.pid(), "USR2");
        } else {
            let output = run(&["release-gpus", "--resume", "--pid", &pid], &[]);
            assert!(output.status.success());
        }
        witness.until_up(&[&uuid]);
        witness.until_well();
        witness.until_booked(&stage, &uuid);
    }
    daemon.finish();
}

#[test]
fn a_release_ends_by_itself() {
    let uuid = Device::uuid_of(0);
    let mut stage = Stage::new(Scenario::of([resting(0)]));
    let config = HASTY.replace("[gpu]\n", "[gpu]\nrelease = \"1s\"\n");
    let daemon = stage.start(&config, &[]);
    let witness = Witness::of(&daemon);
    witness.until_up(&[&uuid]);
    signal(daemon.pid(), "USR1");
    let released = witness.until_down(&uuid, "released");
    stage.pulse(&uuid, 500, 400);
    let back = witness.until_up(&[&uuid]);
    let away = Duration::from_secs_f64(back.unix_time() - released.unix_time());
    assert!(away >= Duration::from_millis(500), "{away:?}");
    witness.until_booked(&stage, &uuid);
    daemon.finish();
}
