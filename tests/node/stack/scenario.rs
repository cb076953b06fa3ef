//! Two nodes: one of Kubernetes with eight GPUs, meters and a grid that moves, and one of Slurm that has a model for its CPUs.

use std::f64::consts::TAU;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nvidia_ml::monotonic_ns;
use nvidia_ml::scenario::{Device, Instance, Process, Scenario};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::view::View;
use crate::cgroup::{Sandbox, container_id};
use crate::daemon::{Daemon, free_port};
use crate::gpu::Stage;
use crate::grid::provider::{Mood, Provider, chart};
use crate::kubelet::fake::{Kubelet, devices, pod};
use crate::kubernetes::server::{ApiServer, NODE};
use crate::load::Load;
use crate::rapl_tree::{Pump, RANGE, Tree};

/// The `instance` labels.
pub(super) const GPU_NODE: &str = "gpu-node-1";
pub(super) const BATCH_NODE: &str = "batch-node-1";
/// The card that is lost in the middle.
pub(super) const LOST: u8 = 7;
/// The namespace of the pod that lives shorter than a scrape interval.
pub(super) const BRIEF: &str = "brief";

/// Watts of the meters of the first node.
pub(super) const PACKAGE_WATTS: f64 = 180.0;
const DRAM_WATTS: f64 = 24.0;

/// For how long power is planned ahead.
const PLANNED: Duration = Duration::from_secs(4 * 3600);
/// How long a step of it is.
const STEP: Duration = Duration::from_secs(20);

/// A container of a pod, and what it is for.
struct Work<'a> {
    namespace: &'a str,
    /// `Deployment/llama`, say.
    owner: (&'a str, &'a str),
    pod: &'a str,
    /// Model, variant and phase; empty where nobody said.
    tags: [&'a str; 3],
    /// Thousandths of a CPU.
    permille: u32,
}

/// All of it; it ends when dropped.
#[derive(Debug)]
pub(super) struct Nodes {
    gpu: Option<Daemon>,
    batch: Option<Daemon>,
    /// Where they are scraped, whichever daemon runs.
    pub(super) gpu_port: u16,
    pub(super) batch_port: u16,
    pub(super) stage: Stage,
    batch_stage: Stage,
    api: ApiServer,
    grid: PathBuf,
    loads: Vec<Load>,
    _gpu_view: View,
    batch_view: View,
    sandbox: Sandbox,
    _kubelet: Kubelet,
    _pump: Pump,
    files: TempDir,
}

impl Nodes {
    pub(super) fn start(sandbox: Sandbox) -> Self {
        let files = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| files.path().join(name);
        let mut pods = Pods { api: ApiServer::new(), sandbox: &sandbox, loads: Vec::new(), pids: Vec::new() };
        let scenario = Scenario::of(gpu_cards(&mut pods));
        let kubelet = kubelet(&path("gpu/var/lib/kubelet/pod-resources"));
        let Pods { api, mut loads, .. } = pods;
        let mut tree = Tree::new();
        tree.zone("intel-rapl:0", "package-0", RANGE - 1_000_000, RANGE);
        tree.zone("intel-rapl:0/intel-rapl:0:0", "dram", 1_000_000, RANGE);
        let watts = [("intel-rapl:0", PACKAGE_WATTS), ("intel-rapl:0:0", DRAM_WATTS)];
        let sysfs = tree.flag();
        let pump = Pump::start(tree, &watts);
        let stage = Stage::new(scenario);
        let grid = path("grid");
        fs::write(&grid, "380\n").expect("write the grid's factor");
        let config = gpu_config(files.path(), &api, &grid);
        let gpu_view = View::of(&sandbox, "gpu");
        let (gpu_port, batch_port) = (free_port(), free_port());
        let listen = |port: u16| format!("--web.listen-address=127.0.0.1:{port}");
        let gpu = gpu_view.start(&stage, &config, &[&listen(gpu_port), &sysfs, "--names.wait=20s"]);

        let batch_root = path("batch");
        let (batch_loads, cards) = batch_jobs(&sandbox, &batch_root.join("run/wattprint/jobs"));
        loads.extend(batch_loads);
        let batch_stage = Stage::new(Scenario::of(cards));
        let batch_view = View::of(&sandbox, "batch");
        let mut nodes = Self {
            gpu: Some(gpu),
            batch: None,
            gpu_port,
            batch_port,
            stage,
            batch_stage,
            api,
            grid,
            loads,
            _gpu_view: gpu_view,
            batch_view,
            sandbox,
            _kubelet: kubelet,
            _pump: pump,
            files,
        };
        nodes.start_batch();
        nodes
    }

    pub(super) fn gpu(&self) -> &Daemon {
        self.gpu.as_ref().expect("it runs")
    }

    pub(super) fn start_batch(&mut self) {
        let root = self.files.path().join("batch");
        let config = format!(
            "[path]\nrootfs = \"{}\"\n[carbon]\nzone = \"FR\"\n[embodied]\nenabled = true\n\
             [model]\ncpu_tdp_watts = 280\ncpu_idle_watts = 80\nmemory_watts_per_gb = 0.4\n\
             [limits]\nretention = \"1h\"\n",
            root.display()
        );
        let listen = format!("--web.listen-address=127.0.0.1:{}", self.batch_port);
        let arguments = ["--no-collector.rapl", &listen, "--names.wait=20s"];
        self.batch = Some(self.batch_view.start(&self.batch_stage, &config, &arguments));
    }

    pub(super) fn end_batch(&mut self) {
        self.batch = None;
    }

    /// The grid moves to this many grams.
    pub(super) fn grid(&self, grams: f64) {
        // Written beside and moved into place, as such a process should.
        let new = self.files.path().join("grid.new");
        fs::write(&new, format!("{grams}\n")).expect("write the grid's factor");
        fs::rename(new, &self.grid).expect("show the grid's factor");
    }

    pub(super) fn lose_card(&mut self, is_lost: bool) {
        let uuid = Device::uuid_of(LOST);
        self.stage.change(|scenario| scenario.device_mut(&uuid).expect("the card").lost = is_lost);
    }

    /// A pod that works for about a second and is gone.
    pub(super) fn brief(&self) {
        let sandbox = &self.sandbox;
        let mut pods = Pods { api: self.api.clone(), sandbox, loads: Vec::new(), pids: Vec::new() };
        let work = Work {
            namespace: BRIEF,
            owner: ("Job", "hello"),
            pod: "hello-x7k2p",
            tags: ["", "", ""],
            permille: 0,
        };
        let cgroup = pods.add(&work, &["once", "600"]);
        for load in pods.loads {
            load.join();
        }
        crate::cgroup::remove_tree(&cgroup);
    }

    /// Everything that must still run does.
    pub(super) fn assert_alive(&mut self) {
        for load in &mut self.loads {
            assert!(!load.has_ended(), "a load ended");
        }
    }
}

/// What makes pods.
struct Pods<'a> {
    api: ApiServer,
    sandbox: &'a Sandbox,
    loads: Vec<Load>,
    pids: Vec<u32>,
}

impl Pods<'_> {
    /// The API server knows the pod, and then it runs; where its cgroup is.
    fn add(&mut self, work: &Work<'_>, mode: &[&str]) -> PathBuf {
        let id = container_id();
        let uid = format!("{}-0000-4000-8000-{}", &id[..8], &id[..12]);
        self.api.put(pod_json(work, &uid, &id));
        let cgroup = self.sandbox.cgroup(&format!("gpu/kubepods/burstable/pod{uid}/{id}"));
        let load = Load::start(&[&cgroup], mode);
        if mode[0] != "once" {
            crate::gpu::burst::arrive(&cgroup, &load);
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

/// Power that goes up and down around a mean, from now on; before that, nothing.
fn swinging(mut device: Device, mean: f64, swing: f64, steps_a_period: f64) -> Device {
    let mut at = Duration::from_nanos(monotonic_ns());
    let end = at + PLANNED;
    let mut phase = 0.0_f64;
    while at < end {
        let from = u64::try_from(at.as_nanos()).expect("a time of this machine");
        device = device.power(from, mean + swing * phase.sin());
        (at, phase) = (at + STEP, phase + TAU / steps_a_period);
    }
    device
}

/// The cards of the first node, and the pods that use them.
fn gpu_cards(pods: &mut Pods<'_>) -> Vec<Device> {
    let work = |namespace, owner, pod, tags, permille| Work { namespace, owner, pod, tags, permille };
    let llama = |variant| ["llama-3-8b", variant, "inference"];
    let full = pods.steady(&work("serving", ("Deployment", "llama"), BASELINE, llama("baseline"), 40));
    let small =
        pods.steady(&work("serving", ("Deployment", "llama-int8"), QUANTIZED, llama("quantized"), 30));
    pods.steady(&work("lab", ("Deployment", "notebook"), "notebook-5d9c7f6b8-idle0", ["", "", ""], 5));
    let parked = pods.steady(&work("lab", ("Deployment", "demo"), "demo-5d9c7f6b8-park0", ["", "", ""], 5));
    let slices = [SLICE, "mig-b"].map(|name| {
        pods.steady(&work("research", ("StatefulSet", name), name, ["bert", "", "inference"], 20))
    });
    let train = ["baseline", "distilled"].map(|variant| {
        let owner = if variant == "baseline" { "train-resnet" } else { "train-distilled" };
        let pod = if variant == "baseline" { TRAINING } else { "train-distilled-p9q8r" };
        pods.steady(&work("training", ("Job", owner), pod, ["resnet50", variant, "training"], 60))
    });
    pods.steady(&work("shop", ("Deployment", "web"), "web-5d9c7f6b8-aaaaa", ["", "", ""], 80));
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
            busy(number, 98).process(on(pid, 97, 60)),
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
fn kubelet(directory: &Path) -> Kubelet {
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
fn gpu_config(files: &Path, api: &ApiServer, grid: &Path) -> String {
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

/// The jobs of the second node with their files, and its cards: one works for a job, one is held and idle.
fn batch_jobs(sandbox: &Sandbox, directory: &Path) -> (Vec<Load>, Vec<Device>) {
    fs::create_dir_all(directory).expect("make the directory of jobs");
    let jobs = [
        (
            "42",
            "1000",
            "name=train-vit\nuser=ada\naccount=physics\npartition=gpu\ngpus=0\nphase=training\nmodel=vit-b\nvariant=baseline\n",
            150,
        ),
        (
            "43",
            "1001",
            "name=sweep\nuser=bob\naccount=chemistry\npartition=cpu\narray_job_id=40\narray_task_id=3\n",
            100,
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
    loads.push(steady(sandbox, "batch/system.slice/nginx.service", 20));
    loads.push(steady(
        sandbox,
        r"batch/machine.slice/machine-qemu\x2d3\x2dweb\x2d1.scope/libvirt/emulator",
        30,
    ));
    (loads, vec![swinging(busy, 300.0, 40.0, 8.0), swinging(Device::ampere(21), 55.0, 1.0, 5.0)])
}

fn steady(sandbox: &Sandbox, path: &str, permille: u32) -> Load {
    let cgroup = sandbox.cgroup(path);
    let load = Load::start(&[&cgroup], &["steady", &permille.to_string(), "100000000"]);
    crate::gpu::burst::arrive(&cgroup, &load);
    load
}
