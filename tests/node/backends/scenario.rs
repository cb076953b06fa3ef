//! Two nodes: one of Kubernetes with eight GPUs, meters and a grid that moves, and one of Slurm that has a model for its CPUs.

use std::f64::consts::TAU;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use nvidia_ml::scenario::{Device, Fault, Scenario};
use nvidia_ml::{code, monotonic_ns};
use tempfile::TempDir;

use super::batch_node::batch_jobs;
use super::gpu_node::{Pods, Work, config, gpu_cards, kubelet};
use super::view::View;
use crate::cgroup::Sandbox;
use crate::daemon::{Daemon, free_port};
use crate::gpu::Stage;
use crate::kubelet::fake::Kubelet;
use crate::kubernetes::server::ApiServer;
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
        // One reading of one card fails now and then.
        let fault =
            Fault::of("nvmlDeviceGetUtilizationRates", code::UNKNOWN).on(&Device::uuid_of(6)).every(4);
        let stage = Stage::new(scenario.fault(fault));
        let grid = path("grid");
        fs::write(&grid, "380\n").expect("write the grid's factor");
        let config = config(files.path(), &api, &grid);
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

/// Power that goes up and down around a mean, from now on; before that, nothing.
pub(super) fn swinging(mut device: Device, mean: f64, swing: f64, steps_a_period: f64) -> Device {
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
