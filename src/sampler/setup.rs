//! Looks whether what the daemon needs of the machine is there: mounts, namespaces, rights.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::{info, warn};

use crate::config::Settings;
use crate::gpu::GpuTick;
use crate::identity::kubernetes;
use crate::sampler::Sampler;
use crate::snapshot::{CollectorStatus, SetupProblem};
use crate::workloads::owner::Owner;
use crate::workloads::pid_namespace;

/// How often files are looked at.
const PERIOD: Duration = Duration::from_secs(30);
/// For so long after the start they are looked at in every tick, as not everything is found in the first; then the log is told.
const SETTLED: Duration = Duration::from_secs(10);
/// The kubelet is asked at the start; whoever has it answers within this time.
const ANSWERED: Duration = Duration::from_secs(1);
/// PCI vendor of NVIDIA, and the class of display controllers, as sysfs has them (PCI Code and ID Assignment).
const NVIDIA: &str = "0x10de";
const DISPLAY_CLASS: &str = "0x03";

/// Where it is looked, and what was seen last.
#[derive(Debug)]
pub(super) struct Setup {
    sysfs: PathBuf,
    procfs: PathBuf,
    rootfs: PathBuf,
    looks_for_gpus: bool,
    looks_for_pod_resources: bool,
    has_nvidia_device: bool,
    begun: Option<Duration>,
    looked_at: Option<Duration>,
    in_files: Vec<SetupProblem>,
    told: Vec<SetupProblem>,
}

impl Setup {
    pub(super) fn new(settings: &Settings) -> Self {
        let path = &settings.path;
        Self {
            sysfs: path.sysfs.clone(),
            procfs: path.procfs.clone(),
            rootfs: path.rootfs.clone(),
            looks_for_gpus: settings.collector.nvml && !settings.simulate,
            looks_for_pod_resources: settings.collector.podresources && !settings.simulate,
            has_nvidia_device: false,
            begun: None,
            looked_at: None,
            in_files: Vec::new(),
            told: Vec::new(),
        }
    }

    fn is_due(&self, now: Duration, age: Duration) -> bool {
        age < SETTLED || self.looked_at.is_none_or(|at| now.saturating_sub(at) >= PERIOD)
    }

    /// Tells the log what is new.
    fn tell(&mut self, problems: &[SetupProblem]) {
        for problem in problems.iter().filter(|problem| !self.told.contains(problem)) {
            let problem = problem.as_str();
            warn!(
                problem,
                "something that wattprint needs of this machine isn't there: see `wattprint check`"
            );
        }
        for problem in self.told.iter().filter(|problem| !problems.contains(problem)) {
            info!(problem = problem.as_str(), "what wattprint needs of this machine is there again");
        }
        problems.clone_into(&mut self.told);
    }
}

impl Sampler {
    /// What is missing now.
    pub(super) fn setup_problems(
        &mut self,
        now: Duration,
        collectors: &[CollectorStatus],
        gpus: &GpuTick,
    ) -> Vec<SetupProblem> {
        let age = now.saturating_sub(*self.setup.begun.get_or_insert(now));
        if self.setup.is_due(now, age) {
            self.setup.looked_at = Some(now);
            self.setup.in_files = self.problems_in_files();
            self.setup.has_nvidia_device =
                self.setup.looks_for_gpus && has_nvidia_device(&self.setup.sysfs.join("bus/pci/devices"));
        }
        let mut problems = self.setup.in_files.clone();
        let of = |name: &str| collectors.iter().find(|status| status.collector == name);
        // It knows a remedy where driver or library fail; not while it is released, begins, or has lost a card.
        let fails = |status: &CollectorStatus| !status.success && status.remedy.is_some();
        if self.setup.has_nvidia_device && of("nvml").is_some_and(fails) {
            problems.push(SetupProblem::GpuDriver);
        }
        let reason = of(kubernetes::NAME).and_then(|status| status.last_error.as_deref());
        if reason.is_some_and(kubernetes::is_refusal) {
            problems.push(SetupProblem::KubernetesAccess);
        }
        let has_pods = || self.names.live().any(|(_, owner, ..)| is_of_a_pod(owner));
        if self.setup.looks_for_pod_resources
            && age >= ANSWERED
            && of("podresources").is_none()
            && !gpus.devices.is_empty()
            && has_pods()
        {
            problems.push(SetupProblem::PodResources);
        }
        if age >= SETTLED {
            self.setup.tell(&problems);
        }
        problems
    }

    fn problems_in_files(&self) -> Vec<SetupProblem> {
        use SetupProblem as Problem;
        let (setup, mut problems) = (&self.setup, Vec::new());
        let has_sysfs = setup.sysfs.is_dir();
        let has_procfs = setup.procfs.join("stat").exists();
        let survey = self.meters.survey();
        let denied = survey.meters.iter().any(|meter| meter.denied)
            || survey.readers.iter().any(|reader| reader.denied);
        let cpu = self.workloads.layout().cpu.as_ref();
        for (is_missing, problem) in [
            (!has_sysfs, Problem::Sysfs),
            (!has_procfs, Problem::Procfs),
            (!setup.rootfs.is_dir(), Problem::Rootfs),
            (cpu.is_some_and(|hierarchy| !hierarchy.is_whole()), Problem::CgroupScope),
            (has_procfs && !pid_namespace::is_initial(&setup.procfs), Problem::PidNamespace),
            (has_procfs && !setup.procfs.join("1/stat").exists(), Problem::HiddenProcesses),
            (denied, Problem::ReadPermission),
        ] {
            if is_missing {
                problems.push(problem);
            }
        }
        problems
    }
}

/// Whether the bus has a display controller of NVIDIA's that isn't handed to a VM.
fn has_nvidia_device(devices: &Path) -> bool {
    let Ok(devices) = fs::read_dir(devices) else { return false };
    devices.flatten().any(|device| {
        let device = device.path();
        let begins = |name: &str, with: &str| {
            fs::read_to_string(device.join(name)).is_ok_and(|text| text.starts_with(with))
        };
        let is_passed_through = || {
            let driver = fs::read_link(device.join("driver"));
            driver.is_ok_and(|driver| driver.file_name().is_some_and(|name| name == "vfio-pci"))
        };
        begins("vendor", NVIDIA) && begins("class", DISPLAY_CLASS) && !is_passed_through()
    })
}

fn is_of_a_pod(owner: &Owner) -> bool {
    match owner {
        Owner::Pod { .. } => true,
        Owner::Container { pod_uid, .. } => !pod_uid.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
