//! The node of Kubernetes: its cards, the pods that use them, and who tells of both.

use std::fs;
use std::path::{Path, PathBuf};

use nvidia_ml::scenario::{Device, Instance, Process};
use serde_json::{Value, json};

use super::scenario::{LOST, swinging};
use crate::cgroup::{Sandbox, container_id};
use crate::gpu::burst::arrive;
use crate::grid::provider::{Mood, Provider, chart};
use crate::kubelet::fake::{Kubelet, devices, pod};
use crate::kubernetes::server::{ApiServer, NODE};
use crate::load::Load;

/// A container of a pod, and what it is for.
pub(super) struct Work<'a> {
    pub(super) namespace: &'a str,
    /// `Deployment/llama`, say.
    pub(super) owner: (&'a str, &'a str),
    pub(super) pod: &'a str,
    /// Model, variant and phase; empty where nobody said.
    pub(super) tags: [&'a str; 3],
    /// Thousandths of a CPU.
    pub(super) permille: u32,
}

/// What makes pods.
pub(super) struct Pods<'a> {
    pub(super) api: ApiServer,
    pub(super) sandbox: &'a Sandbox,
    pub(super) loads: Vec<Load>,
    pub(super) pids: Vec<u32>,
}

impl Pods<'_> {
    /// The API server knows the pod, and then it runs; where its cgroup is.
    pub(super) fn add(&mut self, work: &Work<'_>, mode: &[&str]) -> PathBuf {
        let id = container_id();
        let uid = format!("{}-0000-4000-8000-{}", &id[..8], &id[..12]);
        self.api.put(pod_json(work, &uid, &id));
        let cgroup = self.sandbox.cgroup(&format!("gpu/kubepods/burstable/pod{uid}/{id}"));
        let load = Load::start(&[&cgroup], mode);
        if mode[0] != "once" {
            arrive(&cgroup, &load);
        }
        self.pids.push(load.pid());
        self.loads.push(load);
        cgroup.directory().to_owned()
    }

    /// A pod that works for as long as the test does; its process's id.
    fn steady(&mut self, work: &Work<'_>) -> u32 {
        self.add(work, &["steady", &work.permille.to_string(), "100000000"]);
        *self.pids.last().expect("it was just made")
    }
}

/// A pod as the API server tells it.
fn pod_json(work: &Work<'_>, uid: &str, id: &str) -> Value {
    let Work { namespace, owner: (kind, owner), pod, tags, .. } = work;
    let mut labels = json!({"app": owner});
    let reference = if *kind == "Deployment" {
        labels["pod-template-hash"] = json!("5d9c7f6b8");
        json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("{owner}-5d9c7f6b8")})
    } else {
        json!({"apiVersion": "batch/v1", "kind": kind, "name": owner})
    };
    let mut reference = reference;
    (reference["uid"], reference["controller"]) = (json!("b1"), json!(true));
    let mut annotations = json!({});
    for (name, value) in ["model", "variant", "phase"].iter().zip(tags).filter(|(_, value)| !value.is_empty())
    {
        annotations[format!("wattprint.io/{name}")] = json!(value);
    }
    json!({
        "metadata": {
            "name": pod, "namespace": namespace, "uid": uid, "creationTimestamp": "2026-03-01T10:00:03Z",
            "labels": labels, "annotations": annotations, "ownerReferences": [reference]
        },
        "spec": {"nodeName": NODE, "containers": [{"name": "main", "image": "example.org/main:1"}]},
        "status": {"phase": "Running", "containerStatuses": [
            {"name": "main", "image": "example.org/main:1", "containerID": format!("containerd://{id}"), "lastState": {}}
        ]}
    })
}

/// A pid that nobody has: what it uses is unattributed.
const NOBODY: u32 = 4_194_000;

/// The cards of the first node, and the pods that use them.
pub(super) fn gpu_cards(pods: &mut Pods<'_>) -> Vec<Device> {
    let work = |namespace, owner, pod, tags, permille| Work { namespace, owner, pod, tags, permille };
    let llama = |variant| ["llama-3-8b", variant, "inference"];
    let full = pods.steady(&work("serving", ("Deployment", "llama"), BASELINE, llama("baseline"), 20));
    let small =
        pods.steady(&work("serving", ("Deployment", "llama-int8"), QUANTIZED, llama("quantized"), 15));
    pods.steady(&work("lab", ("Deployment", "notebook"), "notebook-5d9c7f6b8-idle0", ["", "", ""], 5));
    let parked = pods.steady(&work("lab", ("Deployment", "demo"), "demo-5d9c7f6b8-park0", ["", "", ""], 5));
    let slices = [SLICE, "mig-b"].map(|name| {
        pods.steady(&work("research", ("StatefulSet", name), name, ["bert", "", "inference"], 10))
    });
    let train = ["baseline", "distilled"].map(|variant| {
        let owner = if variant == "baseline" { "train-resnet" } else { "train-distilled" };
        let pod = if variant == "baseline" { TRAINING } else { "train-distilled-p9q8r" };
        pods.steady(&work("training", ("Job", owner), pod, ["resnet50", variant, "training"], 20))
    });
    pods.steady(&work("shop", ("Deployment", "web"), "web-5d9c7f6b8-aaaaa", ["", "", ""], 20));
    let on = |pid: u32, sm: u32, gib: u64| Process::compute(pid).sm(sm).memory(gib << 30);
    let busy = |number: u8, percent: u32| Device {
        gpu_utilization: percent,
        memory_used: 40 << 30,
        ..Device::hopper(number)
    };
    let mut cut = [0, 1].map(|number| Instance { multiprocessors: 48, ..Instance::slice(3, number) });
    for instance in &mut cut {
        instance.memory_used = 6 << 30;
    }
    let in_slice = |pid: u32, number: u32| Process::compute(pid).memory(4 << 30).instance(number + 7, 0);
    let mig = Device::ampere(3).mig(cut).process(in_slice(slices[0], 0)).process(in_slice(slices[1], 1));
    let shared = busy(0, 90).process(on(full, 55, 30)).process(on(small, 30, 12));
    let mut cards = vec![
        swinging(shared, 560.0, 110.0, 9.0),
        swinging(Device::hopper(1), 72.0, 2.0, 7.0),
        swinging(Device::hopper(2).process(on(parked, 0, 20)), 118.0, 3.0, 11.0),
        swinging(mig, 260.0, 60.0, 13.0),
    ];
    for number in 4..=LOST {
        let pid = if number == 6 { train[1] } else { train[0] };
        let mean = if number == 5 { 692.0 } else { 610.0 };
        let swing = if number == 5 { 3.0 } else { 60.0 };
        cards.push(swinging(
            busy(number, 98).process(on(pid, 96, 60)).process(on(NOBODY, 1, 1)),
            mean,
            swing,
            10.0 + f64::from(number),
        ));
    }
    cards
}

/// The pods whose work is counted.
pub(super) const BASELINE: &str = "llama-5d9c7f6b8-base0";
pub(super) const QUANTIZED: &str = "llama-int8-5d9c7f6b8-int80";
pub(super) const SLICE: &str = "mig-a";
pub(super) const TRAINING: &str = "train-resnet-a1b2c";

/// A kubelet that gave the cards away.
pub(super) fn kubelet(directory: &Path) -> Kubelet {
    let uuid = Device::uuid_of;
    let replicas = [0, 1].map(|number| format!("{}::{number}", uuid(0)));
    let slices = [0, 1].map(|number| Instance::slice(3, number).uuid);
    let whole: Vec<String> = (1..=LOST).filter(|number| *number != 3).map(uuid).collect();
    let (shared, mig) = ("nvidia.com/gpu.shared", "nvidia.com/mig-1g.10gb");
    let kubelet = Kubelet::start(directory);
    kubelet.set_allocatable(vec![
        devices("nvidia.com/gpu", &as_texts(&whole)),
        devices(shared, &as_texts(&replicas)),
        devices(mig, &as_texts(&slices)),
    ]);
    let gpu = "nvidia.com/gpu";
    kubelet.set(vec![
        pod("serving", BASELINE, "main", shared, &[&replicas[0]]),
        pod("serving", QUANTIZED, "main", shared, &[&replicas[1]]),
        pod("lab", "notebook-5d9c7f6b8-idle0", "main", gpu, &[&uuid(1)]),
        pod("lab", "demo-5d9c7f6b8-park0", "main", gpu, &[&uuid(2)]),
        pod("research", SLICE, "main", mig, &[&slices[0]]),
        pod("research", "mig-b", "main", mig, &[&slices[1]]),
        pod("training", TRAINING, "main", gpu, &[&uuid(4), &uuid(5), &uuid(LOST)]),
        pod("training", "train-distilled-p9q8r", "main", gpu, &[&uuid(6)]),
    ]);
    kubelet
}

fn as_texts(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

/// The settings of the first node: every source of names, figures and forecasts that there is.
pub(super) fn config(files: &Path, api: &ApiServer, grid: &Path) -> String {
    let kubeconfig = files.join("kubeconfig");
    // JSON is YAML.
    let text = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": api.url()}}],
        "users": [{"name": "test", "user": {"token": "none"}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}]
    });
    fs::write(&kubeconfig, text.to_string()).expect("write the kubeconfig");
    let (pue, password) = (files.join("pue"), files.join("password"));
    fs::write(&pue, "1.25\n").expect("write the PUE");
    fs::write(&password, "none\n").expect("write the password");
    let forecast: Vec<f64> = (0..48).map(|hour| if (6..11).contains(&hour) { 90.0 } else { 360.0 }).collect();
    let ahead = Provider::new(Mood::Says(200, chart(&[380.0; 3], &forecast)));
    let marginal = Provider::new(Mood::Says(200, marginal_json()));
    format!(
        "[path]\nrootfs = \"{root}\"\n[kubernetes]\nkubeconfig = \"{kubeconfig}\"\nnode = \"{NODE}\"\n\
         [limits]\nretention = \"1h\"\n[gpu]\nretry = \"1s\"\ndeadline = \"5s\"\n\
         [market]\nshare = 0.6\nresidual = 420\n[embodied]\nenabled = true\n\
         [carbon]\nzone = \"DE\"\nstartup_spread = \"0s\"\nwue = 1.8\npue_file = \"{pue}\"\n\
         [[carbon.source]]\nprovider = \"file\"\npath = \"{grid}\"\nbasis = \"lifecycle\"\ninterval = \"1s\"\n\
         [[carbon.source]]\nprovider = \"energy_charts\"\nurl = \"{ahead}\"\n\
         [[carbon.source]]\nprovider = \"watttime\"\nurl = \"{marginal}\"\nzone = \"DE\"\nuser = \"none\"\n\
         password_file = \"{password}\"\n",
        root = files.join("gpu").display(),
        kubeconfig = kubeconfig.display(),
        pue = pue.display(),
        grid = grid.display(),
        ahead = ahead.url(),
        marginal = marginal.url(),
        password = password.display(),
    )
}

/// What WattTime says to a login and to a request alike: both only look for what they need.
fn marginal_json() -> String {
    let begin = jiff::Timestamp::now().as_second() / 300 * 300;
    let point = |number: i64| {
        let time = jiff::Timestamp::from_second(begin + number * 300).expect("a time").to_string();
        json!({"point_time": time, "value": 1100 + number})
    };
    let data: Vec<Value> = (0..288).map(point).collect();
    let meta = json!({"region": "DE", "signal_type": "co2_moer", "units": "lbs_co2_per_mwh",
        "data_point_period_seconds": 300, "warnings": []});
    json!({"token": "none", "data": data, "meta": meta}).to_string()
}
