//! What was found of GPUs: each one's source of energy, its evidence, and why there is none better.

use serde::Serialize;

use crate::cli::check::Finding;
use crate::config::Settings;
use crate::meters::{Domain, Quality};
use crate::snapshot::{CollectorStatus, GpuTotals, Snapshot};
use crate::workloads::pid_namespace;

/// One GPU.
#[derive(Debug, Serialize)]
pub(super) struct GpuReport {
    pub(super) gpu: String,
    pub(super) uuid: String,
    pub(super) model: String,
    pub(super) vendor: &'static str,
    pub(super) pci_bus_id: String,
    pub(super) driver: String,
    pub(super) mig: bool,
    pub(super) up: bool,
    /// What is wrong where it is down.
    pub(super) error: Option<String>,
    /// What would mend that.
    pub(super) remedy: Option<&'static str>,
    /// Where its energy comes from.
    pub(super) energy: String,
    /// Absent where it has no figure.
    pub(super) quality: Option<Quality>,
    pub(super) domain: Domain,
    pub(super) power_watts: Option<f64>,
    pub(super) clients: Option<u64>,
    /// The rung of evidence in use, and what that means.
    pub(super) method: Option<&'static str>,
    pub(super) evidence: String,
    /// Why there is no better one.
    pub(super) limitations: Vec<Finding>,
}

/// Everything about GPUs.
#[derive(Debug, Serialize)]
pub(super) struct GpusReport {
    pub(super) devices: Vec<GpuReport>,
    pub(super) findings: Vec<Finding>,
}

/// Reports the GPUs of a snapshot.
pub(super) fn gpus(settings: &Settings, snapshot: &Snapshot) -> GpusReport {
    let meter = |gpu: &GpuTotals| {
        let mut meters = snapshot.meters.iter();
        let found =
            meters.find(|meter| meter.id.device == gpu.identity.uuid && meter.id.meter == gpu.backend);
        found.map_or(String::new(), |meter| meter.reason.to_string())
    };
    let devices = snapshot.gpus.iter().map(|gpu| device(gpu, meter(gpu))).collect();
    let mut findings = Vec::new();
    if settings.simulate {
        findings.push(Finding::good("simulated", "GPUs are made up (--simulate); no real one is looked at"));
        return GpusReport { devices, findings };
    }
    for (name, on) in [("nvml", settings.collector.nvml), ("drm", settings.collector.drm)] {
        let status = snapshot.collectors.iter().find(|status| status.collector == name);
        findings.push(match status {
            _ if !on => Finding::good(name, format!("switched off (collector.{name})")),
            Some(status) => collector(status, snapshot),
            None => continue,
        });
    }
    findings.push(pids(settings, snapshot));
    GpusReport { devices, findings }
}

fn collector(status: &CollectorStatus, snapshot: &Snapshot) -> Finding {
    let count = snapshot.gpus.iter().filter(|gpu| gpu.backend == status.collector).count();
    if status.success {
        return Finding::good(status.collector, format!("{count} found"));
    }
    let said = status.detail.as_deref().or(status.last_error.as_deref()).unwrap_or("it failed");
    Finding {
        what: status.collector.to_owned(),
        ok: false,
        text: said.to_owned(),
        remedy: status.remedy.map(str::to_owned),
    }
}

fn pids(settings: &Settings, snapshot: &Snapshot) -> Finding {
    const WHAT: &str = "process ids";
    let procfs = settings.path.procfs.display();
    let is_initial = pid_namespace::is_initial(&settings.path.procfs);
    match (is_initial, snapshot.gpu_pid_namespace_ok) {
        (true, _) => {
            Finding::good(WHAT, format!("{procfs} shows the pid namespace that GPU drivers count in"))
        }
        (false, Some(true)) => Finding::good(
            WHAT,
            format!("{procfs} is of another pid namespace, but the driver gives its pids"),
        ),
        (false, seen) => Finding::bad(
            WHAT,
            match seen {
                Some(_) => {
                    format!("the driver's pids aren't those of {procfs}: GPU energy can't be attributed")
                }
                None => {
                    format!("{procfs} isn't of the initial pid namespace: most drivers give pids of that one")
                }
            },
            "run in the host's pid namespace (`hostPID: true`, `--pid=host`)",
        ),
    }
}

fn device(gpu: &GpuTotals, energy: String) -> GpuReport {
    let identity = &gpu.identity;
    GpuReport {
        gpu: identity.gpu.to_string(),
        uuid: identity.uuid.to_string(),
        model: identity.model.to_string(),
        vendor: identity.vendor.as_str(),
        pci_bus_id: identity.pci_bus_id.to_string(),
        driver: identity.driver.to_string(),
        mig: gpu.mig,
        up: gpu.up,
        error: (!gpu.up).then(|| gpu.reason.to_string()),
        remedy: (!gpu.up).then(|| remedy(&gpu.reason)),
        energy,
        quality: gpu.energy.map(|_| gpu.quality),
        domain: gpu.domain,
        power_watts: gpu.power.map(|power| power.0),
        clients: gpu.clients,
        method: gpu.method,
        evidence: evidence(gpu),
        limitations: gpu
            .limitations
            .iter()
            .map(|limit| Finding {
                what: limit.what.to_owned(),
                ok: false,
                text: limit.reason.to_string(),
                remedy: limit.remedy.map(str::to_owned),
            })
            .collect(),
    }
}

/// What to do about a GPU that is down.
fn remedy(reason: &str) -> &'static str {
    if reason.contains("released") {
        return "`wattprint release-gpus --resume` takes it in again";
    }
    "look for the driver's messages (`dmesg | grep -iE 'xid|nvrm|amdgpu|i915|xe'`); a GPU that hangs or fell off the bus \
     needs a reset (`nvidia-smi --gpu-reset`) or a restart of the machine; wattprint takes it in again by itself"
}

/// The rung in use in plain words.
fn evidence(gpu: &GpuTotals) -> String {
    let meaning = match gpu.method {
        Some("exclusive") => "one owner holds all contexts",
        Some("sm_util") => "by the time that each process kept it working",
        Some("gpm") => "by SM utilisation x SM count of each GPU instance",
        Some("mig_slice") => "by SM count of the GPU instances that hold a process",
        Some("memory") => "by the memory that each process holds",
        Some("equal") => "in equal parts: nothing tells more",
        Some(_) if gpu.clients == Some(0) => "nobody uses it now",
        Some(_) => "nothing tells who uses it",
        None => "no figure yet",
    };
    let name = gpu.method.map_or(String::new(), |method| format!("{method}: "));
    let clients = match gpu.clients {
        Some(0) | None => String::new(),
        Some(1) => "; 1 process".to_owned(),
        Some(count) => format!("; {count} processes"),
    };
    format!("{name}{meaning}{clients}")
}
