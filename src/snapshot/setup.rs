//! What the daemon's surroundings lack.

use serde::{Serialize, Serializer};

/// Something of the machine that the daemon can't see or may not use, as in a container that lacks a mount or a right.
/// Everything else goes on without it; `wattprint check` says what would mend it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetupProblem {
    /// `path.sysfs` is no directory: no meters and no cgroups.
    Sysfs,
    /// `path.procfs` is no procfs: no CPU time and no processes.
    Procfs,
    /// `path.rootfs` is no directory: no names from files.
    Rootfs,
    /// Only a part of the machine's cgroups can be seen.
    CgroupScope,
    /// The daemon isn't in the machine's initial pid namespace, or its procfs shows another one: the processes of GPU
    /// drivers aren't found.
    PidNamespace,
    /// procfs hides the processes of other users (`hidepid`).
    HiddenProcesses,
    /// Files with energy are there, but may not be read.
    ReadPermission,
    /// There are NVIDIA devices on the PCI bus, but NVML can't be used.
    GpuDriver,
    /// The daemon has no account for the API server or the kubelet, or one that they refuse.
    KubernetesAccess,
    /// There are pods and GPUs, but no socket that tells which pod was given which GPU.
    PodResources,
}

impl SetupProblem {
    /// The value of the label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sysfs => "sysfs",
            Self::Procfs => "procfs",
            Self::Rootfs => "rootfs",
            Self::CgroupScope => "cgroup_scope",
            Self::PidNamespace => "pid_namespace",
            Self::HiddenProcesses => "hidden_processes",
            Self::ReadPermission => "read_permission",
            Self::GpuDriver => "gpu_driver",
            Self::KubernetesAccess => "kubernetes_access",
            Self::PodResources => "pod_resources",
        }
    }
}

impl Serialize for SetupProblem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
