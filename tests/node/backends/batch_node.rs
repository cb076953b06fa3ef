//! The node of Slurm: its jobs with their files, its cards, and what else runs there.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nvidia_ml::scenario::{Device, Process};

use super::scenario::swinging;
use crate::cgroup::{Sandbox, container_id};
use crate::gpu::burst::arrive;
use crate::load::Load;

/// The jobs of the second node with their files, and its cards: one works for a job, one is held and idle, one is nobody's.
pub(super) fn batch_jobs(sandbox: &Sandbox, directory: &Path) -> (Vec<Load>, Vec<Device>) {
    fs::create_dir_all(directory).expect("make the directory of jobs");
    let jobs = [
        (
            "42",
            "1000",
            "name=train-vit\nuser=ada\naccount=physics\npartition=gpu\ngpus=0\nphase=training\nmodel=vit-b\nvariant=baseline\n",
            40,
        ),
        (
            "43",
            "1001",
            "name=sweep\nuser=bob\naccount=chemistry\npartition=cpu\narray_job_id=40\narray_task_id=3\n",
            25,
        ),
        ("44", "1000", "name=interactive\nuser=ada\naccount=physics\npartition=gpu\ngpus=1\n", 5),
    ];
    let mut loads: Vec<Load> = Vec::new();
    for (id, uid, text, permille) in jobs {
        let file = directory.join(format!("slurm-{id}"));
        fs::write(&file, text).expect("write the job's file");
        fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("let only root write");
        loads.push(steady(sandbox, &format!("batch/slurm/uid_{uid}/job_{id}/step_0/task_0"), permille));
    }
    let training = Process::compute(loads[0].pid()).sm(80).memory(20 << 30);
    let busy = Device { gpu_utilization: 85, memory_used: 20 << 30, ..Device::ampere(20) }.process(training);
    loads.push(steady(sandbox, "batch/system.slice/nginx.service", 10));
    loads.push(steady(sandbox, &format!("batch/docker/{}", container_id()), 10));
    loads.push(steady(
        sandbox,
        r"batch/machine.slice/machine-qemu\x2d7\x2dmail\x2d7.scope/libvirt/emulator",
        10,
    ));
    (
        loads,
        vec![
            swinging(busy, 300.0, 40.0, 8.0),
            swinging(Device::ampere(21), 55.0, 1.0, 5.0),
            swinging(Device::ampere(22), 48.0, 1.0, 6.0),
        ],
    )
}

fn steady(sandbox: &Sandbox, path: &str, permille: u32) -> Load {
    let cgroup = sandbox.cgroup(path);
    let load = Load::start(&[&cgroup], &["steady", &permille.to_string(), "100000000"]);
    arrive(&cgroup, &load);
    load
}
