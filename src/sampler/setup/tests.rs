use super::*;
use crate::sampler::tests::Node;
use std::os::unix::fs::symlink;

fn write(root: &Path, name: &str, text: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A node that lacks nothing.
fn whole() -> Node {
    let mut node = Node::new(|settings| {
        settings.path.rootfs = settings.path.procfs.parent().unwrap().to_owned();
        settings.collector.kubernetes = true;
    });
    write(node.dir.path(), "proc/1/stat", "1 (systemd) S 0\n");
    write(node.dir.path(), "proc/2/comm", "kthreadd\n");
    assert_eq!(node.tick(1).setup_problems, []);
    node
}

#[test]
fn what_goes_is_told_and_what_comes_back_is_not() {
    let mut node = whole();
    let (place, away) = (node.dir.path().join("proc/2"), node.dir.path().join("away"));
    fs::rename(&place, &away).unwrap();
    assert_eq!(node.tick(1).setup_problems, [SetupProblem::PidNamespace]);
    fs::rename(&away, &place).unwrap();
    assert_eq!(node.tick(1).setup_problems, []);
}

#[test]
fn files_are_looked_at_now_and_then() {
    let mut node = whole();
    node.tick(SETTLED.as_secs());
    fs::remove_file(node.dir.path().join("proc/1/stat")).unwrap();
    assert_eq!(node.tick(1).setup_problems, []);
    assert_eq!(node.tick(PERIOD.as_secs()).setup_problems, [SetupProblem::HiddenProcesses]);
}

#[test]
fn each_place_that_is_missing_has_its_name() {
    for (place, problem) in [("sys", SetupProblem::Sysfs), ("proc", SetupProblem::Procfs)] {
        let mut node = whole();
        fs::rename(node.dir.path().join(place), node.dir.path().join("away")).unwrap();
        assert_eq!(node.tick(1).setup_problems, [problem]);
    }
    let mut node = Node::new(|settings| settings.path.rootfs = "/nowhere".into());
    assert!(node.tick(1).setup_problems.contains(&SetupProblem::Rootfs));
}

#[test]
fn a_part_of_the_cgroups_is_told() {
    let mut node = whole();
    // The root of a container's own namespace has it, that of the machine doesn't.
    write(node.dir.path(), "sys/fs/cgroup/cgroup.type", "domain\n");
    assert_eq!(node.tick(1).setup_problems, [SetupProblem::CgroupScope]);
}

#[test]
fn a_device_of_nvidias_without_a_driver_is_told() {
    let mut node = whole();
    let device = "sys/bus/pci/devices/0000:41:00.0";
    write(node.dir.path(), &format!("{device}/vendor"), "0x10de\n");
    // A network card of the same vendor needs no driver of GPUs.
    write(node.dir.path(), &format!("{device}/class"), "0x020000\n");
    assert_eq!(node.tick(1).setup_problems, []);
    write(node.dir.path(), &format!("{device}/class"), "0x030200\n");
    assert_eq!(node.tick(1).setup_problems, [SetupProblem::GpuDriver]);
    // What was given back on purpose isn't missing.
    node.sampler.gpus.release();
    assert_eq!(node.tick(1).setup_problems, []);
    node.sampler.gpus.resume();
    // A VM has it.
    symlink("../../../drivers/vfio-pci", node.dir.path().join(device).join("driver")).unwrap();
    assert_eq!(node.tick(1).setup_problems, []);
}

#[test]
fn an_account_that_may_not_ask_is_told() {
    let mut node = whole();
    let status = |reason: &str| CollectorStatus {
        collector: kubernetes::NAME,
        success: false,
        duration: None,
        last_error: Some(reason.into()),
        detail: None,
        remedy: None,
    };
    let mut problems =
        |reason| node.sampler.setup_problems(Duration::ZERO, &[status(reason)], &GpuTick::default());
    assert_eq!(problems("the API server refuses this account"), [SetupProblem::KubernetesAccess]);
    assert_eq!(problems("the API server can't be reached"), []);
}
