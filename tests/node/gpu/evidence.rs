//! One test for each rung of evidence.

use nvidia_ml::code;
use nvidia_ml::scenario::{Device, Fault, Instance, Kind, Process, Scenario};

use crate::assert_close;
use crate::cgroups::sandbox;
use crate::gpu::burst::{Burst, QUICK, User, at_rest, one_more};
use crate::gpu::{Span, Stage, TOLERANCE, assert_sound, assert_true};
use crate::load::Load;

#[test]
fn one_owner_takes_all_of_a_gpu() {
    let Some(sandbox) = sandbox("one_owner_takes_all_of_a_gpu") else { return };
    let (cgroup, id) = sandbox.container();
    let load = Load::start(&[&cgroup], &["steady", "50", "60000"]);
    let uuid = Device::uuid_of(0);
    let device = Device { gpu_utilization: 80, ..Device::hopper(0) };
    let device = device.power(0, 400.0).process(Process::compute(load.pid()).sm(80).memory(1 << 30));
    let stage = Stage::new(Scenario::of([device]));
    let daemon = stage.start("", &[]);
    let span = Span::begin(&daemon);
    let before = daemon.scrape();
    let looks = span.end(&daemon, 5);
    assert_true(&stage, &uuid, &looks);
    let (first, last, from, to) = &looks;
    let joules =
        |snapshot: &crate::snapshot::Snapshot| snapshot.container(&id).map_or(0.0, |row| row.joules("gpu"));
    assert_close("container", joules(last) - joules(first), stage.joules(&uuid, *from, *to), TOLERANCE);
    assert_eq!(last.gpu(&uuid)["method"], "exclusive");
    let after = daemon.scrape();
    assert_sound(&before, &after);
    let labels = [("gpu", "0"), ("uuid", uuid.as_str()), ("container_id", &id[..12])];
    let card = after.value("wattprint_gpu_container_energy_joules_total", &labels);
    assert!(card >= joules(last), "{card}");
    let process = after.select(
        "wattprint_process_energy_joules_total",
        &[("pid", &load.pid().to_string()), ("component", "gpu"), ("state", "active")],
    );
    assert_close("process", process[0].value, card, TOLERANCE);
    daemon.finish();
}

#[test]
fn work_splits_by_time_on_the_processors_and_inside_an_owner_too() {
    let Some(sandbox) = sandbox("work_splits_by_time_on_the_processors_and_inside_an_owner_too") else {
        return;
    };
    let (a, b) = (User::start(&sandbox), User::start(&sandbox));
    let second = one_more(&a.cgroup);
    let (uuid, late) = (Device::uuid_of(0), Device::uuid_of(1));
    let device = Device { gpu_utilization: 80, memory_used: 45 << 30, ..Device::hopper(0) };
    // A driver that samples more rarely than the daemon asks.
    let rare = Device { sample_period_us: 1_000_000, gpu_utilization: 80, ..Device::ampere(1) };
    let rare = rare.process(a.on_gpu(60, 1)).process(b.on_gpu(20, 4));
    let device = device
        .process(a.on_gpu(45, 1))
        .process(Process::compute(second.pid()).sm(15).memory(40 << 30))
        .process(b.on_gpu(20, 4));
    let mut stage = Stage::new(Scenario::of([at_rest(device), at_rest(rare)]));
    let daemon = stage.start("", &[QUICK]);
    let burst = Burst::play(&mut stage, &daemon);
    for uuid in [&uuid, &late] {
        burst.assert_shares(uuid, "sm_util", &[(&a, 0.75), (&b, 0.25)]);
    }
    let truth = burst.truth(&uuid);
    let both = burst.truth(&late) + truth;
    let shares = [
        (a.pid(), 0.5625 * truth + 0.75 * burst.truth(&late)),
        (second.pid(), 0.1875 * truth),
        (b.pid(), 0.25 * both),
    ];
    for (pid, joules) in shares {
        assert_close("process", burst.process(pid), joules, TOLERANCE);
    }
    assert_close("active", burst.state(&a, "active"), 0.75 * both, TOLERANCE);
    for (gauge, expected) in [
        ("wattprint_gpu_clients", 3.0),
        ("wattprint_gpu_utilization_ratio", 0.8),
        ("wattprint_gpu_memory_used_bytes", 45.0 * 1024.0 * 1024.0 * 1024.0),
        ("wattprint_gpu_power_limit_watts", 700.0),
        ("wattprint_gpu_up", 1.0),
    ] {
        assert_close(gauge, burst.after.value(gauge, &[("uuid", &uuid)]), expected, 1e-9);
    }
    assert_eq!(burst.last.limitations(&uuid), []);
    daemon.finish();
}

#[test]
fn graphics_count_once_and_what_is_in_no_container_counts_too() {
    let test = "graphics_count_once_and_what_is_in_no_container_counts_too";
    let Some(sandbox) = sandbox(test) else { return };
    let (a, b) = (User::start(&sandbox), User::start(&sandbox));
    let outside = sandbox.cgroup("system.slice/display.service");
    let unit = one_more(&outside);
    let busy = |number| at_rest(Device { gpu_utilization: 80, ..Device::hopper(number) });
    let shown = busy(0)
        .process(a.on_gpu(60, 1).kind(Kind::Graphics))
        .process(b.on_gpu(20, 1).kind(Kind::ComputeGraphics));
    let mixed = busy(1).process(a.on_gpu(20, 1)).process(Process::compute(unit.pid()).sm(60));
    let mut stage = Stage::new(Scenario::of([shown, mixed]));
    let daemon = stage.start("", &[QUICK]);
    let burst = Burst::play(&mut stage, &daemon);
    let uuids = [0, 1].map(Device::uuid_of);
    burst.assert_shares(&uuids[0], "sm_util", &[(&a, 0.75), (&b, 0.25)]);
    assert_eq!(burst.last.gpu(&uuids[0])["clients"], 2);
    burst.assert_shares(&uuids[1], "sm_util", &[(&a, 0.25), (&b, 0.0)]);
    let expected = 0.75 * burst.truth(&uuids[1]);
    assert_close("units", burst.kind(&uuids[1], "unit"), expected, TOLERANCE);
    let labels = [("unit", "display.service"), ("component", "gpu"), ("state", "active")];
    let got = burst.rise("wattprint_unit_energy_joules_total", &labels);
    assert_close("the unit", got, expected, TOLERANCE);
    daemon.finish();
}

#[test]
fn instances_split_by_how_busy_they_are_or_else_by_size() {
    let Some(sandbox) = sandbox("instances_split_by_how_busy_they_are_or_else_by_size") else { return };
    let (a, b) = (User::start(&sandbox), User::start(&sandbox));
    let cut = |device: Device, number: u8| {
        // 16 SMs x 90 % against 48 SMs x 10 %.
        let instances = [
            Instance { sm_utilization: 90.0, ..Instance::slice(number, 0) },
            Instance { multiprocessors: 48, sm_utilization: 10.0, ..Instance::slice(number, 1) },
        ];
        let users = [a.on_gpu(0, 9).instance(7, 0), b.on_gpu(0, 1).instance(8, 0)];
        let device = at_rest(device.mig(instances));
        users.into_iter().fold(device, Device::process)
    };
    let devices =
        [cut(Device::hopper(0).gpm(30.0, 30.0), 0), cut(Device::hopper(1), 1), cut(Device::ampere(2), 2)];
    let mut stage = Stage::new(Scenario::of(devices));
    let daemon = stage.start("", &[QUICK]);
    let burst = Burst::play(&mut stage, &daemon);
    let uuids = [0, 1, 2].map(Device::uuid_of);
    burst.assert_shares(&uuids[0], "gpm", &[(&a, 0.75), (&b, 0.25)]);
    burst.assert_shares(&uuids[1], "mig_slice", &[(&a, 0.25), (&b, 0.75)]);
    burst.assert_shares(&uuids[2], "mig_slice", &[(&a, 0.25), (&b, 0.75)]);
    for (uuid, why) in [(&uuids[1], "no permission"), (&uuids[2], "needs Hopper or newer")] {
        let limits = burst.last.limitations(uuid);
        assert!(limits.contains(&("gpm".to_owned(), why.to_owned())), "{limits:?}");
    }
    daemon.finish();
}

#[test]
fn without_work_by_process_memory_tells_and_without_that_all_are_equal() {
    let test = "without_work_by_process_memory_tells_and_without_that_all_are_equal";
    let Some(sandbox) = sandbox(test) else { return };
    let (a, b) = (User::start(&sandbox), User::start(&sandbox));
    let device = |number| at_rest(Device { gpu_utilization: 80, ..Device::hopper(number) });
    let devices = [
        device(0).process(a.on_gpu(60, 1)).process(b.on_gpu(20, 3)),
        device(1).process(a.on_gpu(60, 1)).process(Process::compute(b.pid()).sm(20)),
    ];
    let fault = Fault::of("nvmlDeviceGetProcess*", code::NOT_SUPPORTED);
    let mut stage = Stage::new(Scenario::of(devices).fault(fault));
    let daemon = stage.start("", &[QUICK]);
    let burst = Burst::play(&mut stage, &daemon);
    let uuids = [0, 1].map(Device::uuid_of);
    burst.assert_shares(&uuids[0], "memory", &[(&a, 0.25), (&b, 0.75)]);
    burst.assert_shares(&uuids[1], "equal", &[(&a, 0.5), (&b, 0.5)]);
    for (uuid, expected) in uuids.iter().zip([vec!["sm_util"], vec!["sm_util", "memory"]]) {
        let limits = burst.last.limitations(uuid);
        let what: Vec<&str> = limits.iter().map(|(what, _)| what.as_str()).collect();
        assert_eq!(what, expected, "{limits:?}");
    }
    daemon.finish();
}

#[test]
fn what_nobody_can_be_found_for_is_unattributed() {
    let Some(sandbox) = sandbox("what_nobody_can_be_found_for_is_unattributed") else { return };
    let a = User::start(&sandbox);
    let device = |number| at_rest(Device { gpu_utilization: 80, ..Device::hopper(number) });
    // No machine gives such a pid (proc_sys_kernel(5), pid_max).
    let stranger = || Process::compute(u32::MAX >> 1).memory(1 << 30);
    let devices =
        [device(0).process(stranger().sm(60)), device(1).process(stranger().sm(20)).process(a.on_gpu(60, 1))];
    let mut stage = Stage::new(Scenario::of(devices));
    let daemon = stage.start("", &[QUICK]);
    let burst = Burst::play(&mut stage, &daemon);
    let uuids = [0, 1].map(Device::uuid_of);
    burst.assert_shares(&uuids[0], "none", &[(&a, 0.0)]);
    burst.assert_shares(&uuids[1], "sm_util", &[(&a, 0.75)]);
    let expected = burst.truth(&uuids[0]) + 0.25 * burst.truth(&uuids[1]);
    assert_close("unknown", burst.unattributed("unknown_process"), expected, TOLERANCE);
    assert_close("nobody's", burst.kind(&uuids[0], "unattributed"), burst.truth(&uuids[0]), TOLERANCE);
    daemon.finish();
}

#[test]
fn lists_that_may_not_be_read_leave_the_work_as_evidence() {
    let Some(sandbox) = sandbox("lists_that_may_not_be_read_leave_the_work_as_evidence") else { return };
    let (a, b) = (User::start(&sandbox), User::start(&sandbox));
    let device = |number| {
        let device = at_rest(Device { gpu_utilization: 80, ..Device::hopper(number) });
        device.process(a.on_gpu(60, 1)).process(b.on_gpu(20, 1))
    };
    let uuids = [0, 1].map(Device::uuid_of);
    let mut scenario = Scenario::of([device(0), device(1)])
        .fault(Fault::of("nvmlDeviceGetProcess*", code::NOT_SUPPORTED).on(&uuids[1]));
    for list in ["Compute", "Graphics", "MPSCompute"] {
        scenario =
            scenario.fault(Fault::of(&format!("nvmlDeviceGet{list}RunningProcesses*"), code::NO_PERMISSION));
    }
    let mut stage = Stage::new(scenario);
    let daemon = stage.start("", &[QUICK]);
    let burst = Burst::play(&mut stage, &daemon);
    burst.assert_shares(&uuids[0], "sm_util", &[(&a, 0.75), (&b, 0.25)]);
    burst.assert_shares(&uuids[1], "none", &[(&a, 0.0), (&b, 0.0)]);
    assert_close("no evidence", burst.unattributed("no_evidence"), burst.truth(&uuids[1]), TOLERANCE);
    for uuid in &uuids {
        let limits = burst.last.limitations(uuid);
        assert!(limits.contains(&("clients".to_owned(), "no permission".to_owned())), "{limits:?}");
        assert!(burst.after.select("wattprint_gpu_clients", &[("uuid", uuid)]).is_empty());
    }
    daemon.finish();
}
