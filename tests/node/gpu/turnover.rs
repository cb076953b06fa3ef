//! Processes that come and go, die and are named again, and what drivers say that can't be.

use std::fs;

use nvidia_ml::monotonic_ns;
use nvidia_ml::scenario::{Accounted, Accounting, Device, Process, Scenario};

use crate::cgroups::sandbox;
use crate::gpu::burst::{Burst, QUICK, User, arrive, at_rest};
use crate::gpu::{Stage, TOLERANCE};
use crate::load::Load;
use crate::pids::LAST_PID;
use crate::snapshot::Snapshot;
use crate::{assert_close, skip};

fn busy(number: u8) -> Device {
    at_rest(Device { gpu_utilization: 80, ..Device::hopper(number) })
}

#[test]
fn processes_that_only_their_work_tells_of_get_their_share() {
    let Some(sandbox) = sandbox("processes_that_only_their_work_tells_of_get_their_share") else { return };
    let (steady, first) = (User::start(&sandbox), User::start(&sandbox));
    let uuid = Device::uuid_of(0);
    let device = busy(0).process(steady.on_gpu(20, 1)).process(first.on_gpu(60, 1).unlisted());
    let mut stage = Stage::new(Scenario::of([device]));
    let daemon = stage.start("", &[QUICK]);
    let burst = Burst::play(&mut stage, &daemon);
    burst.assert_shares(&uuid, "sm_util", &[(&steady, 0.25), (&first, 0.75)]);
    assert_close("process", burst.process(first.pid()), 0.75 * burst.truth(&uuid), TOLERANCE);

    // It ends, and another one takes its place.
    let end = monotonic_ns();
    let User { load, id, cgroup } = first;
    drop(load);
    let second = User::start(&sandbox);
    stage.change(|scenario| {
        let device = &mut scenario.devices[0];
        device.processes[1].until_ns = Some(end);
        device.processes.push(Process { from_ns: end, ..second.on_gpu(80, 1).unlisted() });
    });
    let burst = Burst::play(&mut stage, &daemon);
    burst.assert_shares(&uuid, "sm_util", &[(&steady, 0.2), (&second, 0.8)]);
    let labels = [("container_id", &id[..12])];
    let late = burst.rise("wattprint_gpu_container_energy_joules_total", &labels);
    assert!(late.abs() < 1e-9, "{late} J went to one that ended");
    drop(cgroup);
    daemon.finish();
}

#[test]
fn accounts_bring_back_what_lived_between_two_ticks() {
    let Some(sandbox) = sandbox("accounts_bring_back_what_lived_between_two_ticks") else { return };
    let (steady, short) = (User::start(&sandbox), User::start(&sandbox));
    let device = busy(0).process(steady.on_gpu(50, 1)).accounting(Accounting::default()).power(0, 400.0);
    let mut stage = Stage::new(Scenario::of([device]));
    let daemon = stage.start("", &["--sample.interval=500ms"]);
    daemon.ticks(1);
    let account = Accounted { pid: short.pid(), gpu_utilization: 100, time_ms: 500, ..Accounted::default() };
    stage.change(|scenario| {
        scenario.devices[0].accounting.as_mut().unwrap().processes.push(account);
    });
    let got = |snapshot: &Snapshot| snapshot.container(&short.id).map_or(0.0, |row| row.joules("gpu"));
    let found = daemon.until("its account", |snapshot| got(snapshot) > 0.0);
    // In one tick of 200 J it did two thirds of the work; ticks and the driver's samples aren't in step.
    assert!((90.0..180.0).contains(&got(&found)), "{} J", got(&found));
    let all = found.energy_uj("gpu") as f64 / 1e6;
    let other = found.container(&steady.id).unwrap().joules("gpu");
    assert_close("all", got(&found) + other, all, 1e-6);
    // It is counted once.
    let later = Burst::none(&mut stage, &daemon);
    assert!(later.state(&short, "active").abs() < 1e-9);
    daemon.finish();
}

#[test]
fn one_that_died_while_the_driver_names_it_is_still_its_last_owners() {
    let test = "one_that_died_while_the_driver_names_it_is_still_its_last_owners";
    let Some(sandbox) = sandbox(test) else { return };
    let (living, dying) = (User::start(&sandbox), User::start(&sandbox));
    let uuid = Device::uuid_of(0);
    let device = busy(0).process(living.on_gpu(20, 1)).process(dying.on_gpu(60, 1));
    let mut stage = Stage::new(Scenario::of([device]));
    let daemon = stage.start("", &[QUICK]);
    daemon.until("both clients", |snapshot| {
        snapshot.container(&dying.id).is_some_and(|row| row.joules("gpu") > 0.0)
    });
    let pid = dying.pid();
    let User { load, id, cgroup } = dying;
    drop(load);
    daemon.until("its end", |snapshot| snapshot.processes(pid).iter().all(|row| row["ended"] == true));
    let burst = Burst::play(&mut stage, &daemon);
    burst.assert_shares(&uuid, "sm_util", &[(&living, 0.25)]);
    let labels = [("uuid", uuid.as_str()), ("container_id", &id[..12])];
    let got = burst.rise("wattprint_gpu_container_energy_joules_total", &labels);
    assert_close("the dead one's", got, 0.75 * burst.truth(&uuid), TOLERANCE);
    // Its container ends, too.
    cgroup.remove();
    daemon
        .until("the container's end", |snapshot| snapshot.container(&id).is_some_and(|row| row.has_ended()));
    let burst = Burst::play(&mut stage, &daemon);
    burst.assert_shares(&uuid, "sm_util", &[(&living, 0.25)]);
    let got = burst.rise("wattprint_gpu_container_energy_joules_total", &labels);
    assert_close("the ended one's", got, 0.75 * burst.truth(&uuid), TOLERANCE);
    daemon.finish();
}

#[test]
fn a_pid_that_is_used_again_is_its_new_owners() {
    let test = "a_pid_that_is_used_again_is_its_new_owners";
    let Some(sandbox) = sandbox(test) else { return };
    let own = fs::read_to_string(LAST_PID).unwrap_or_default();
    if let Err(error) = fs::write(LAST_PID, own.trim()) {
        return skip(test, &format!("{LAST_PID}: {error}; needs root and CONFIG_CHECKPOINT_RESTORE"));
    }
    let uuid = Device::uuid_of(0);
    let mut stage = Stage::new(Scenario::of([busy(0)]));
    let daemon = stage.start("", &[QUICK]);
    // Other processes start meanwhile, so it may take some tries.
    for _ in 0..20 {
        let old = User::start(&sandbox);
        stage.change(|scenario| scenario.devices[0].processes = vec![old.on_gpu(50, 1)]);
        daemon.until("the first process", |snapshot| {
            snapshot.container(&old.id).is_some_and(|row| row.joules("gpu") > 0.0)
        });
        let pid = old.pid();
        let User { load, id, cgroup } = old;
        drop(load);
        let (new_cgroup, new_id) = sandbox.container();
        fs::write(LAST_PID, (pid - 1).to_string()).unwrap();
        let load = Load::start(&[&new_cgroup], &["hold", "0"]);
        if load.pid() != pid {
            continue;
        }
        arrive(&new_cgroup, &load);
        let new = User { load, id: new_id, cgroup: new_cgroup };
        daemon.ticks(1);
        let burst = Burst::play(&mut stage, &daemon);
        burst.assert_shares(&uuid, "exclusive", &[(&new, 1.0)]);
        let late = burst.rise("wattprint_container_energy_joules_total", &[("container_id", &id[..12])]);
        assert!(late.abs() < 1e-9, "{late} J went to the old one");
        drop(cgroup);
        return daemon.finish();
    }
    panic!("pid was never given again");
}

#[test]
fn what_cant_be_is_left_out() {
    let Some(sandbox) = sandbox("what_cant_be_is_left_out") else { return };
    let (a, b) = (User::start(&sandbox), User::start(&sandbox));
    // A dead context's 150 %, a slot of nobody, and memory that isn't available.
    let device = Device { pid_zero: true, ..busy(0) };
    let device = device.process(a.on_gpu(150, 1)).process(Process::compute(b.pid()).sm(20));
    let nobody = Device { pid_zero: true, ..busy(1) }.process(a.on_gpu(60, 1)).process(b.on_gpu(20, 1));
    let listed = busy(2).process(Process::compute(0).memory(1 << 40)).process(a.on_gpu(60, 1));
    let mut stage = Stage::new(Scenario::of([device, nobody, listed]));
    let daemon = stage.start("", &[QUICK]);
    let burst = Burst::play(&mut stage, &daemon);
    let uuids = [0, 1, 2].map(Device::uuid_of);
    burst.assert_shares(&uuids[0], "sm_util", &[(&a, 0.0), (&b, 1.0)]);
    burst.assert_shares(&uuids[1], "sm_util", &[(&a, 0.75), (&b, 0.25)]);
    // Someone whom the driver can't name holds a context, too, but doesn't work.
    burst.assert_shares(&uuids[2], "sm_util", &[(&a, 1.0)]);
    let limits = burst.last.limitations(&uuids[0]);
    assert!(limits.iter().any(|(what, _)| what == "memory"), "{limits:?}");
    daemon.finish();
}
