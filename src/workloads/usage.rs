//! What one look at the machine brings: the evidence that energy is split by.

use std::sync::Arc;

use crate::units::{Bytes, CpuTime};
use crate::workloads::owners::OwnerId;

/// One node of the tree that CPU energy is split over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageNode {
    /// Tells the node from all others, for as long as the daemon runs.
    pub key: u64,
    /// The place of its parent in the list; parents come first.
    pub parent: Option<usize>,
    /// Who gets what can't be charged to a child.
    pub owner: OwnerId,
    /// CPU time since the last tick with all below it; none where it couldn't be read.
    pub delta: Option<CpuTime>,
    /// Whether it is there but couldn't be read, so that its next count holds this tick's part, too.
    pub is_missed: bool,
    /// Whether it was removed since the last tick.
    pub vanished: bool,
    /// What it used in the last tick in which it could be read.
    pub rate: CpuTime,
    /// What living processes used that are in this very node.
    pub direct: CpuTime,
    /// Whether `delta` is counted in clock ticks, so that in a quiet second it may show nothing at all.
    pub is_coarse: bool,
    /// The part of `delta` that stands in the list a second time, under a finer owner of another hierarchy.
    pub elsewhere: CpuTime,
}

/// What one process used.
#[derive(Clone, Debug)]
pub struct ProcessUsage {
    /// Its pid.
    pub pid: u32,
    /// Start time in clock ticks since boot.
    pub start_time: u64,
    /// The command name.
    pub comm: Arc<str>,
    /// Whose it is.
    pub owner: OwnerId,
    /// CPU time since the last tick; not zero.
    pub cpu_time: CpuTime,
}

/// Who a pid is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessIdentity {
    /// Its pid.
    pub pid: u32,
    /// Start time in clock ticks since boot.
    pub start_time: u64,
    /// The command name.
    pub comm: Arc<str>,
    /// Whose it is.
    pub owner: OwnerId,
}

/// What kept a reader from all that it looked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}: {reason}")]
pub struct ReadFailure {
    /// What is wrong; one of a few texts without paths.
    pub reason: &'static str,
    /// Where, and what the system says.
    pub detail: String,
}

/// Everything that ran since the last tick.
#[derive(Clone, Debug, Default)]
pub struct WorkloadTick {
    /// The tree; empty without cgroups.
    pub nodes: Vec<UsageNode>,
    /// CPU time of the whole machine; none where it couldn't be read.
    pub busy: Option<CpuTime>,
    /// The processes that used CPU time.
    pub processes: Vec<ProcessUsage>,
    /// Processes that ended.
    pub ended: Vec<ProcessIdentity>,
    /// Memory that owners hold.
    pub memory: Vec<(OwnerId, Bytes)>,
    /// The machine's memory, and how much of it is in use; none where it couldn't be read.
    pub machine_memory: Option<(Bytes, Bytes)>,
    /// CPUs that are online.
    pub cpus: u32,
    /// Processes left out because there are too many: the most there were in one tick.
    pub left_out_processes: u64,
}
