//! Who used a GPU: the ladder of evidence.

use crate::gpu::Instance;
use crate::units::{Bytes, Microjoules};
use crate::workloads::owners::OwnerId;

/// Whose a context is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Whom {
    /// An owner's.
    Owner(OwnerId),
    /// A process's that isn't known.
    Unknown,
}

/// One process in one GPU instance (or on the whole device without MIG).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contender {
    /// Whose it is.
    pub whom: Whom,
    /// The GPU instance that it runs in, with MIG.
    pub instance: Option<u32>,
    /// Device memory that it holds, if it is known.
    pub memory: Option<Bytes>,
    /// What it worked (utilisation x time, in any unit); 0 where it did nothing or it isn't known.
    pub work: u64,
}

/// All that is known of who used a device in one tick.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// Who holds a context or worked.
    pub contenders: &'a [Contender],
    /// Whether [`Contender::work`] means anything on this device.
    pub work_is_known: bool,
    /// Whether MIG is on.
    pub mig: bool,
    /// The GPU instances, with MIG.
    pub instances: &'a [Instance],
    /// The share of time that the device worked, 0 to 1.
    pub utilization: Option<f64>,
}

/// The rung of evidence that a split stands on, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// One owner alone.
    Exclusive,
    /// SM utilisation x time by process.
    SmUtil,
    /// SM utilisation x SM count by GPU instance.
    Gpm,
    /// SM count of the GPU instances that hold a process.
    MigSlice,
    /// Device memory.
    Memory,
    /// Equal shares.
    Equal,
    /// Nothing tells.
    None,
}

/// What the split energy was used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Work.
    Active,
    /// Contexts that did nothing.
    Parked,
}

/// A split of energy; the shares of `owners` add up to the energy exactly, and so do those of `contenders`
/// of one owner to the owner's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Division {
    /// The evidence.
    pub method: Method,
    /// What for.
    pub usage: Use,
    /// By owner, each once, in order.
    pub owners: Vec<(Whom, Microjoules)>,
    /// By contender, in the order of [`Evidence::contenders`].
    pub contenders: Vec<Microjoules>,
}
