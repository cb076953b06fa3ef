//! Owners: what a cgroup path stands for.

use serde::Serialize;

mod names;
mod patterns;
#[cfg(test)]
mod tests;

pub use patterns::classify;

/// Hexadecimal digits of a container id in labels, as `docker ps` and `crictl ps` print it.
const SHORT_ID_CHARS: usize = 12;

/// The families of owners; each has metric families of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OwnerKind {
    /// A container of any runtime, or the pod around it.
    Container,
    /// A systemd service or scope, user sessions among them.
    Unit,
    /// A batch job.
    Job,
    /// A virtual machine.
    Vm,
    /// Everything that no recognised owner has: kernel threads, interrupts, the root cgroup.
    System,
}

impl OwnerKind {
    /// The value of the `kind` label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Unit => "unit",
            Self::Job => "job",
            Self::Vm => "vm",
            Self::System => "system",
        }
    }
}

/// What runs containers; the `runtime` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Runtime {
    /// Docker Engine, or cri-dockerd below Kubernetes.
    Docker,
    /// Podman, root or rootless.
    Podman,
    /// containerd, through CRI or nerdctl.
    Containerd,
    /// CRI-O.
    Crio,
    /// LXC or Incus/LXD.
    Lxc,
    /// systemd-nspawn.
    Nspawn,
    /// The path names a container but not what runs it (kubelet's cgroupfs driver, a custom cgroup parent).
    Unknown,
}

impl Runtime {
    /// The value of the `runtime` label; empty where it isn't known.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Containerd => "containerd",
            Self::Crio => "crio",
            Self::Lxc => "lxc",
            Self::Nspawn => "nspawn",
            Self::Unknown => "",
        }
    }
}

/// Batch systems; the `manager` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum JobManager {
    /// Slurm.
    Slurm,
    /// PBS Professional, OpenPBS, Torque.
    Pbs,
    /// IBM Spectrum LSF.
    Lsf,
}

impl JobManager {
    /// The value of the `manager` label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Slurm => "slurm",
            Self::Pbs => "pbs",
            Self::Lsf => "lsf",
        }
    }
}

/// Whose energy it is. Equal owners are one owner for the whole run of the daemon.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Owner {
    /// A container.
    Container {
        /// What runs it, as far as the path tells.
        runtime: Runtime,
        /// The full id (64 hex digits for OCI runtimes); empty for runtimes that only have names.
        id: Box<str>,
        /// The name, for runtimes whose path holds one (LXC, nspawn); else empty.
        name: Box<str>,
        /// The pod's UID with dashes; empty outside Kubernetes.
        pod_uid: Box<str>,
    },
    /// A pod's own cgroup: what its containers can't be charged with one by one.
    Pod {
        /// The pod's UID with dashes.
        pod_uid: Box<str>,
    },
    /// A systemd unit.
    Unit {
        /// The unit's name with its suffix, systemd escapes kept (`ssh.service`, `session-3.scope`).
        unit: Box<str>,
    },
    /// A batch job; its steps and tasks are inside.
    Job {
        /// The batch system.
        manager: JobManager,
        /// The job's id as the batch system prints it.
        id: Box<str>,
        /// The numeric uid where the path holds it (Slurm on cgroup v1).
        uid: Option<u32>,
    },
    /// A virtual machine.
    Vm {
        /// The decoded name.
        name: Box<str>,
    },
    /// Nobody that is recognised.
    System,
}

impl Owner {
    /// The family that the owner is exported in. A pod's own share stands in the container family, with an
    /// empty container.
    pub const fn kind(&self) -> OwnerKind {
        match self {
            Self::Container { .. } | Self::Pod { .. } => OwnerKind::Container,
            Self::Unit { .. } => OwnerKind::Unit,
            Self::Job { .. } => OwnerKind::Job,
            Self::Vm { .. } => OwnerKind::Vm,
            Self::System => OwnerKind::System,
        }
    }

    /// Whether the same owner may come back after its end: a name that lasts, not an id made once.
    pub fn has_lasting_name(&self) -> bool {
        match self {
            // Outside Kubernetes a container can be stopped and started again.
            Self::Container { pod_uid, .. } => pod_uid.is_empty(),
            Self::Unit { .. } | Self::Vm { .. } => true,
            Self::Job { .. } | Self::Pod { .. } | Self::System => false,
        }
    }

    /// The labels that a process of this owner gets beside its own: `container_id` and `unit`, empty where the
    /// owner has none.
    pub fn process_labels(&self) -> [&str; 2] {
        match self {
            Self::Unit { unit } => ["", unit],
            _ => [self.container_id_short(), ""],
        }
    }

    /// Whether both are the container with the same id.
    pub fn is_same_container(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Container { id, .. }, Self::Container { id: other, .. }) => !id.is_empty() && id == other,
            _ => false,
        }
    }

    /// Whether nothing below this owner's cgroup can have another owner: what runs nested in a container, a
    /// job or a VM belongs to it.
    pub const fn is_terminal(&self) -> bool {
        matches!(self, Self::Container { .. } | Self::Job { .. } | Self::Vm { .. })
    }

    /// The container's id as the `container_id` label holds it: its first 12 characters, all of it where it
    /// is shorter, empty where there is none (pods, and containers that only have names).
    pub fn container_id_short(&self) -> &str {
        let Self::Container { id, .. } = self else {
            return "";
        };
        let end = id.char_indices().nth(SHORT_ID_CHARS).map_or(id.len(), |(at, _)| at);
        id.get(..end).unwrap_or_default()
    }
}
