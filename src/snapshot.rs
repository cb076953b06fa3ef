//! One immutable picture of the node per tick: the only thing that readers see.
//!
//! The sampler builds it, the web room and the journal read it. Everything in it is plain data: totals since
//! the daemon started (monotone) and means over the last tick.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

pub use crate::carbon::factors::GridFactor;
pub use crate::ledger::{Beneficiary, State};
use crate::meters::{Component, MeterId, Quality};
use crate::units::{CpuTime, Grams, Microjoules, Pue, Watts};
use crate::workloads::owner::Owner;

/// The node as it was at the end of one tick.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot {
    /// Counts ticks from 1.
    pub sequence: u64,
    /// Wall-clock time at the end of the tick, since the Unix epoch.
    pub unix_time: Duration,
    /// What sampling, attribution and booking took.
    pub sample_duration: Duration,
    /// Time covered by the last tick: the denominator of every power in here.
    pub elapsed: Duration,
    /// One entry for each component that has a meter or a model.
    pub components: Vec<ComponentTotals>,
    /// Containers, units, jobs and VMs, live ones and those retained after their end.
    pub workloads: Vec<WorkloadTotals>,
    /// The processes that used most energy lately, at most as many as configured.
    pub processes: Vec<ProcessTotals>,
    /// Every meter that was ever seen, in use or not.
    pub meters: Vec<MeterStatus>,
    /// The emission factor in force.
    pub grid: GridFactor,
    /// The overhead factor in force.
    pub pue: Pue,
    /// How each collector fared in the last tick.
    pub collectors: Vec<CollectorStatus>,
    /// Energy without an owner, by reason.
    pub unattributed: Vec<Unattributed>,
    /// Series left out because of a cap, by metric family group, since the daemon started.
    pub series_dropped: Vec<DroppedSeries>,
}

/// Totals of one component of the node.
#[derive(Clone, Debug, Serialize)]
pub struct ComponentTotals {
    /// The component.
    pub component: Component,
    /// The worst quality among the meters that fed the last tick.
    pub quality: Quality,
    /// Energy since the daemon started; equals the sum over `by_beneficiary` to the microjoule.
    pub energy: Microjoules,
    /// Mean power over the last tick; absent where the last tick booked nothing for lack of a reading.
    pub power: Option<Watts>,
    /// Location-based emissions, PUE included.
    pub emissions: Grams,
    /// The same energy by who it went to, in the order of [`Beneficiary::ALL`].
    pub by_beneficiary: [Microjoules; Beneficiary::ALL.len()],
}

/// Energy of one owner in one component and state.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct EnergyCell {
    /// The component.
    pub component: Component,
    /// The state.
    pub state: State,
    /// Energy since the owner was first seen.
    pub energy: Microjoules,
}

/// Power and emissions of one owner in one component.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ComponentCell {
    /// The component.
    pub component: Component,
    /// Mean power over the last tick, all states together; zero once the owner has ended.
    pub power: Watts,
    /// Location-based emissions since the owner was first seen, PUE included.
    pub emissions: Grams,
}

/// Totals of one container, pod, unit, job or VM.
#[derive(Clone, Debug, Serialize)]
pub struct WorkloadTotals {
    /// Whose they are.
    pub owner: Arc<Owner>,
    /// CPU time since the owner was first seen: the evidence for its share.
    pub cpu_time: CpuTime,
    /// Energy by component and state; combinations that can't occur are left out.
    pub energy: Vec<EnergyCell>,
    /// Power and emissions by component.
    pub components: Vec<ComponentCell>,
    /// Whether the owner's cgroup is gone; it is shown until its retention ends.
    pub ended: bool,
}

/// Totals of one process.
#[derive(Clone, Debug, Serialize)]
pub struct ProcessTotals {
    /// Its id in the daemon's pid namespace.
    pub pid: u32,
    /// Start time in clock ticks since boot; with the pid it names the process for good.
    pub start_time: u64,
    /// The command name as the kernel has it, at most 15 bytes.
    pub comm: Arc<str>,
    /// The owner that its energy is a part of.
    pub owner: Arc<Owner>,
    /// Energy by component and state since the process was first seen.
    pub energy: Vec<EnergyCell>,
    /// Mean power over the last tick, by component.
    pub power: Vec<(Component, Watts)>,
    /// Whether the process is gone; it is shown until its retention ends.
    pub ended: bool,
}

/// What is known of one meter.
#[derive(Clone, Debug, Serialize)]
pub struct MeterStatus {
    /// Its name.
    pub id: MeterId,
    /// How good its figures are.
    pub quality: Quality,
    /// Whether it answered in the last tick with a believable value.
    pub up: bool,
    /// The component that it feeds, if it was chosen.
    pub feeds: Option<Component>,
    /// Why it was chosen, or why not, or what is wrong; one short sentence from a bounded set.
    pub reason: Arc<str>,
    /// Unwrapped energy since the daemon started; absent until a first interval could be measured.
    pub energy: Option<Microjoules>,
    /// The learned or configured idle power.
    pub baseline: Option<Watts>,
    /// Times the counter passed its end.
    pub wraps: u64,
    /// Times the counter jumped, so that an interval had to be left out.
    pub resets: u64,
}

/// How one collector fared in the last tick.
#[derive(Clone, Debug, Serialize)]
pub struct CollectorStatus {
    /// Its name, as in `--collector.NAME`.
    pub collector: &'static str,
    /// Whether it got all that it looked for.
    pub success: bool,
    /// How long it took.
    pub duration: Duration,
    /// What went wrong, short and from a bounded set; absent on success.
    pub last_error: Option<Arc<str>>,
}

/// Energy that no owner could be found for.
#[derive(Clone, Debug, Serialize)]
pub struct Unattributed {
    /// The component.
    pub component: Component,
    /// Why: `no_evidence`, ...
    pub reason: &'static str,
    /// Energy since the daemon started.
    pub energy: Microjoules,
}

/// Series that a cap kept out.
#[derive(Clone, Debug, Serialize)]
pub struct DroppedSeries {
    /// The family group: `container`, `unit`, `job`, `vm` or `process`.
    pub family: &'static str,
    /// How many, since the daemon started.
    pub dropped: u64,
}
