//! The daemon in a pid namespace of its own, where drivers may give pids of the machine's.

use nvidia_ml::monotonic_ns;
use nvidia_ml::scenario::{Device, Process, Scenario};
use serde_json::Value;

use crate::cgroup::Sandbox;
use crate::cgroups::sandbox;
use crate::daemon::{Daemon, binary_under};
use crate::gpu::burst::{Burst, QUICK, User, at_rest};
use crate::gpu::{Stage, TOLERANCE};
use crate::{assert_close, skip};

/// The first process of a new pid namespace becomes what follows; beside it a process sleeps, whose pid there is 2.
fn unshared(directory: &str) -> Vec<String> {
    let script = format!("sleep 600 & echo $! > {directory}/cgroup.procs; exec \"$@\"");
    let flags = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", &script, "sh"];
    flags.map(str::to_owned).to_vec()
}

/// The sandbox, unless the machine gives no pid namespaces.
fn prepare(test: &str) -> Option<Sandbox> {
    let sandbox = sandbox(test)?;
    let mut command = std::process::Command::new("unshare");
    let output = command.args(["--pid", "--fork", "--mount-proc", "--kill-child", "true"]).output();
    let why = match output {
        Ok(output) if output.status.success() => return Some(sandbox),
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    skip(test, &format!("unshare: {why}"));
    None
}

fn start(stage: &Stage, wrapper: &[String]) -> Daemon {
    let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
    let flag = stage.flag();
    let arguments = ["--no-collector.rapl", "--no-collector.hwmon", &flag, QUICK];
    Daemon::wrapped(&wrapper, &stage.environment(), "", &arguments)
}

/// What `check` says of pids.
fn check(stage: &Stage, wrapper: &[String]) -> Value {
    let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
    let mut command = binary_under(&wrapper);
    let arguments = ["check", "--json", "--config.file=/dev/null", &stage.flag()];
    let output = command.envs(stage.environment()).args(arguments).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = report["gpus"]["findings"].as_array().unwrap();
    findings.iter().find(|finding| finding["what"] == "process ids").expect("pids").clone()
}

#[test]
fn pids_of_another_namespace_name_nobody() {
    let Some(sandbox) = prepare("pids_of_another_namespace_name_nobody") else { return };
    let user = User::start(&sandbox);
    let uuid = Device::uuid_of(0);
    let device = at_rest(Device { gpu_utilization: 80, ..Device::hopper(0) }).process(user.on_gpu(60, 1));
    let mut stage = Stage::new(Scenario::of([device]));
    let wrapper = unshared(&sandbox.container().0.directory().display().to_string());
    let daemon = start(&stage, &wrapper);
    daemon.until("the pids to be strange", |snapshot| snapshot.0["gpu_pid_namespace_ok"] == false);
    let burst = Burst::play(&mut stage, &daemon);
    burst.assert_shares(&uuid, "none", &[(&user, 0.0)]);
    assert!(burst.after.value("wattprint_gpu_pid_namespace_ok", &[]).abs() < 1e-9);
    assert_close("nobody's", burst.unattributed("pid_namespace"), burst.truth(&uuid), TOLERANCE);
    assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
    drop(daemon);
    let finding = check(&stage, &wrapper);
    assert_eq!(finding["ok"], false, "{finding}");
    assert!(finding["text"].as_str().unwrap().contains("can't be attributed"), "{finding}");
    assert!(finding["remedy"].as_str().unwrap().contains("hostPID"), "{finding}");
}

#[test]
fn pids_that_the_driver_translates_name_everybody() {
    let Some(sandbox) = prepare("pids_that_the_driver_translates_name_everybody") else { return };
    let (cgroup, id) = sandbox.container();
    let uuid = Device::uuid_of(0);
    let device = Device { gpu_utilization: 80, ..Device::hopper(0) };
    let device = at_rest(device).process(Process::compute(2).sm(60).memory(1 << 30));
    let mut stage = Stage::new(Scenario::of([device]));
    let wrapper = unshared(&cgroup.directory().display().to_string());
    let daemon = start(&stage, &wrapper);
    let burst = Burst::play(&mut stage, &daemon);
    burst.assert_shares(&uuid, "exclusive", &[]);
    assert!((burst.after.value("wattprint_gpu_pid_namespace_ok", &[]) - 1.0).abs() < 1e-9);
    let labels = [("uuid", uuid.as_str()), ("container_id", &id[..12])];
    let got = burst.rise("wattprint_gpu_container_energy_joules_total", &labels);
    assert_close("the container's", got, burst.truth(&uuid), TOLERANCE);
    assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
    drop(daemon);
    let finding = check(&stage, &wrapper);
    assert_eq!(finding["ok"], true, "{finding}");
}

#[test]
fn strangers_that_come_and_go_prove_nothing() {
    let Some(sandbox) = prepare("strangers_that_come_and_go_prove_nothing") else { return };
    let uuid = Device::uuid_of(0);
    let device = at_rest(Device { gpu_utilization: 80, ..Device::hopper(0) });
    // Each is there for less than a tick.
    let begin = monotonic_ns();
    let device = (0..200).fold(device, |device, number| {
        let from = begin + u64::from(number) * 200_000_000;
        let process = Process::compute((u32::MAX >> 1) - number).sm(60).memory(1 << 30);
        device.process(process.within(from, from + 60_000_000))
    });
    let mut stage = Stage::new(Scenario::of([device]));
    let wrapper = unshared(&sandbox.container().0.directory().display().to_string());
    let daemon = start(&stage, &wrapper);
    let burst = Burst::play(&mut stage, &daemon);
    assert!(burst.last.0["gpu_pid_namespace_ok"] != true, "nobody that it names is there");
    burst.assert_shares(&uuid, "none", &[]);
    assert_close("nobody's", burst.kind(&uuid, "unattributed"), burst.truth(&uuid), TOLERANCE);
    assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
}
