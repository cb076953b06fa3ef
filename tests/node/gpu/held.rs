//! Cards that the kubelet gave to containers, used or not.

use std::fs;
use std::path::Path;

use nvidia_ml::scenario::{Device, Scenario};

use crate::cgroup::{Cgroup, Sandbox, container_id};
use crate::cgroups::sandbox;
use crate::daemon::Daemon;
use crate::gpu::burst::{Running, at_rest, one_more};
use crate::gpu::{Stage, TOLERANCE};
use crate::kubelet::fake::{Kubelet, devices, pod};
use crate::load::Load;
use crate::{assert_close, snapshot::Snapshot};

const NAMESPACE: &str = "lab";
const CONTAINER: &str = "main";

/// A container of a pod, with a process that waits and never touches a GPU.
struct Holder {
    name: String,
    id: String,
    _load: Load,
}

impl Holder {
    /// What the kubelet leaves in the directories of its logs tells its name.
    fn start(sandbox: &Sandbox, root: &Path, name: &str, number: u32) -> Self {
        let (id, uid) = (container_id(), format!("00000000-0000-4000-8000-{number:012x}"));
        let cgroup: Cgroup = sandbox.cgroup(&format!("kubepods/burstable/pod{uid}/{id}"));
        let log = |directory: &str| root.join("var/log").join(directory);
        fs::create_dir_all(log("pods").join(format!("{NAMESPACE}_{name}_{uid}"))).expect("a directory");
        fs::create_dir_all(log("containers")).expect("a directory");
        fs::write(log("containers").join(format!("{name}_{NAMESPACE}_{CONTAINER}-{id}.log")), "")
            .expect("a log");
        Self { name: name.to_owned(), id, _load: one_more(&cgroup) }
    }

    fn labels(&self) -> [(&str, &str); 3] {
        [("namespace", NAMESPACE), ("pod", &self.name), ("container", CONTAINER)]
    }

    fn is_named(&self, snapshot: &Snapshot) -> bool {
        let workloads = snapshot.0["workloads"].as_array().into_iter().flatten();
        workloads
            .filter(|workload| workload["owner"]["id"] == *self.id)
            .any(|workload| workload["labels"]["pod"] == *self.name)
    }
}

fn settings(root: &Path) -> String {
    // Nothing else of this machine is looked for.
    format!(
        "[path]\nrootfs = \"{}\"\n[kubernetes]\nsource = \"files\"\n\
         [collector]\ncontainers = false\njobs = false\nvms = false\n[sample]\ninterval = \"250ms\"\n",
        root.display()
    )
}

fn start(stage: &Stage, root: &Path, holders: &[&Holder], cards: u64) -> Daemon {
    let daemon = stage.start(&settings(root), &["--names.wait=30s"]);
    daemon.until("names and cards", |snapshot| {
        let held = snapshot.0["workloads"].as_array().into_iter().flatten();
        let held: usize = held.filter_map(|workload| workload["allocated"].as_array()).map(Vec::len).sum();
        holders.iter().all(|holder| holder.is_named(snapshot)) && u64::try_from(held) == Ok(cards)
    });
    daemon
}

#[test]
fn the_idle_energy_of_a_card_goes_to_those_who_hold_it() {
    let Some(sandbox) = sandbox("the_idle_energy_of_a_card_goes_to_those_who_hold_it") else { return };
    let root = tempfile::tempdir().expect("a temporary directory");
    let (lazy, half) =
        (Holder::start(&sandbox, root.path(), "lazy", 1), Holder::start(&sandbox, root.path(), "half", 2));
    let uuids = [0, 1, 2].map(Device::uuid_of);
    let replica = |number: u32| format!("{}::{number}", uuids[1]);
    let replicas = [0, 1, 2, 3].map(replica);
    let replicas = replicas.each_ref().map(String::as_str);
    let mut kubelet = Kubelet::start(&root.path().join("var/lib/kubelet/pod-resources"));
    kubelet.set_allocatable(vec![
        devices("nvidia.com/gpu", &[&uuids[0], &uuids[2]]),
        devices("nvidia.com/gpu.shared", &replicas),
    ]);
    kubelet.set(vec![
        pod(NAMESPACE, "lazy", CONTAINER, "nvidia.com/gpu", &[&uuids[0]]),
        pod(NAMESPACE, "half", CONTAINER, "nvidia.com/gpu.shared", &replicas[1..3]),
        pod(NAMESPACE, "elsewhere", CONTAINER, "nvidia.com/gpu", &[&uuids[2]]),
    ]);
    let mut stage = Stage::new(Scenario::of([0, 1, 2].map(|number| at_rest(Device::hopper(number)))));
    let daemon = start(&stage, root.path(), &[&lazy, &half], 2);
    let burst = Running::begin(&mut stage, &daemon).end(&stage, &daemon);
    let truth = uuids.each_ref().map(|uuid| burst.truth(uuid));
    let grown = |family: &str, labels: &[(&str, &str)]| {
        let sum = |scrape: &crate::exposition::Exposition| -> f64 {
            scrape.select(family, labels).iter().map(|sample| sample.value).sum()
        };
        sum(&burst.after) - sum(&burst.before)
    };
    for (holder, uuid, joules) in [(&lazy, &uuids[0], truth[0]), (&half, &uuids[1], truth[1] / 2.0)] {
        let labels = holder.labels();
        let of_card: Vec<_> = labels.into_iter().chain([("uuid", uuid.as_str())]).collect();
        let allocated = burst.after.value("wattprint_gpu_allocated", &of_card);
        assert!((allocated - 1.0).abs() < 1e-9, "{allocated}");
        assert_close(
            "card",
            grown("wattprint_gpu_container_energy_joules_total", &of_card),
            joules,
            TOLERANCE,
        );
        let idle: Vec<_> = labels.into_iter().chain([("component", "gpu"), ("state", "idle")]).collect();
        assert_close("idle", grown("wattprint_container_energy_joules_total", &idle), joules, TOLERANCE);
    }
    let nobodys =
        |uuid: &str| grown("wattprint_gpu_owner_energy_joules_total", &[("uuid", uuid), ("kind", "idle")]);
    assert_close("two replicas are free", nobodys(&uuids[1]), truth[1] / 2.0, TOLERANCE);
    assert_close("its holder isn't here", nobodys(&uuids[2]), truth[2], TOLERANCE);
    // While the kubelet is away, what it said holds.
    kubelet.stop();
    let burst = Running::begin(&mut stage, &daemon).end(&stage, &daemon);
    let idle = [("pod", "lazy"), ("component", "gpu"), ("state", "idle")];
    let sum = |scrape: &crate::exposition::Exposition| {
        scrape.value("wattprint_container_energy_joules_total", &idle)
    };
    assert_close("lazy", sum(&burst.after) - sum(&burst.before), burst.truth(&uuids[0]), TOLERANCE);
    daemon.finish();
}
