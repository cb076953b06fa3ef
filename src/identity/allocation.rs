//! Who was given which GPU, whether it uses it or not.

use crate::workloads::owner::JobManager;

/// To whom a device was given.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Assignee {
    /// A container of a pod, as the kubelet calls it.
    PodContainer {
        /// The namespace.
        namespace: Box<str>,
        /// The pod's name.
        pod: Box<str>,
        /// The container's name within the pod.
        container: Box<str>,
    },
    /// A container by its full id.
    Container(Box<str>),
    /// A batch job.
    Job(JobManager, Box<str>),
}

/// How a device is called by whoever gave it away.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeviceName {
    /// A whole GPU by its UUID, `GPU-...`.
    Gpu(Box<str>),
    /// A MIG device by its UUID, `MIG-...`.
    Mig(Box<str>),
    /// A whole GPU by the driver's index (or minor number).
    Index(u32),
    /// A GPU instance by the GPU's index and the instance's id.
    Instance {
        /// The driver's index of the GPU.
        index: u32,
        /// The GPU instance's id.
        instance: u32,
    },
    /// A whole GPU by its PCI address, in the form of [`crate::gpu::GpuIdentity::pci_bus_id`].
    Pci(Box<str>),
    /// A whole GPU by its DRM card (`card0`), as [`crate::gpu::GpuIdentity::gpu`] has it.
    Card(Box<str>),
    /// Every NVIDIA GPU of the node.
    All,
}

/// One device, or some replicas of it, given to one assignee.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Allocation {
    /// To whom.
    pub to: Assignee,
    /// What.
    pub device: DeviceName,
    /// How many replicas of it (time-slicing, MPS); 1 for a device that isn't shared.
    pub replicas: u32,
}

/// All that was given away, as one source says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allocations {
    /// Device by device.
    pub given: Vec<Allocation>,
    /// For devices that are shared: how many replicas there are in all, given away or not.
    pub replicas: Vec<(DeviceName, u32)>,
}

impl Allocations {
    /// How many replicas of a device there are; none where that isn't known.
    pub fn replicas_of(&self, device: &DeviceName) -> Option<u32> {
        self.replicas.iter().find(|(known, _)| known == device).map(|(_, count)| *count)
    }
}
