//! One immutable picture of the node per tick: the only thing that readers see.
//!
//! The sampler builds it, the web room and the journal read it. Everything in it is plain data: totals since
//! the daemon started (monotone) and means over the last tick. Serialised, it is the body of
//! `/api/v1/snapshot`: the names of fields with a quantity end in its unit there.

mod emissions;
mod setup;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use serde::{Serialize, Serializer};

pub use crate::carbon::embodied::EmbodiedPart;
pub use crate::carbon::factors::GridFactor;
pub use crate::carbon::forecast::Outlook;
pub use crate::carbon::grid::GridState;
use crate::gpu::{GpuIdentity, Limitation};
pub use crate::identity::{Details, Facts, Title};
pub use crate::ledger::{Beneficiary, Holder, State};
use crate::meters::{Component, Domain, MeterId, Quality};
use crate::units::{Bytes, CpuTime, Grams, Litres, LitresPerKwh, Microjoules, Pue, UnixTime, Watts};
use crate::workloads::owner::Owner;
pub use emissions::{EmbodiedCell, EmbodiedTotals, HardwarePart, MarketFactor};
pub use setup::SetupProblem;

/// The node as it was at the end of one tick.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot {
    /// Counts ticks from 1.
    pub sequence: u64,
    /// Wall-clock time at the end of the tick, since the Unix epoch.
    #[serde(rename = "unix_time_seconds", serialize_with = "seconds")]
    pub unix_time: Duration,
    /// The end of the tick on the monotonic clock that the web room's `now` reads too, so that the age of
    /// a snapshot can be told whatever happens to the wall clock. Means nothing outside the process.
    #[serde(skip)]
    pub monotonic: Duration,
    /// The configured time between two ticks.
    #[serde(rename = "interval_seconds", serialize_with = "seconds")]
    pub interval: Duration,
    /// How reading the configuration went.
    pub config: ConfigStatus,
    /// What sampling, attribution and booking took.
    #[serde(rename = "sample_duration_seconds", serialize_with = "seconds")]
    pub sample_duration: Duration,
    /// Time covered by the last tick: the denominator of every power in here.
    #[serde(rename = "elapsed_seconds", serialize_with = "seconds")]
    pub elapsed: Duration,
    /// One entry for each component that has a meter or a model.
    pub components: Vec<ComponentTotals>,
    /// Containers, units, jobs and VMs, live ones and those retained after their end.
    pub workloads: Vec<WorkloadTotals>,
    /// Every GPU that was ever seen.
    pub gpus: Vec<GpuTotals>,
    /// Whether the pids that GPU drivers give are those of the daemon's procfs; absent while no GPU has a process.
    pub gpu_pid_namespace_ok: Option<bool>,
    /// The processes that used most energy lately, at most as many as configured, and those that hold GPU contexts.
    pub processes: Vec<ProcessTotals>,
    /// Every meter that was ever seen, in use or not.
    pub meters: Vec<MeterStatus>,
    /// The emission factor in force.
    pub grid: GridFactor,
    /// How long ago its source was last heard; absent for a figure that isn't live.
    #[serde(rename = "grid_age_seconds", serialize_with = "emissions::optional_seconds")]
    pub grid_age: Option<Duration>,
    /// The live sources and what they said.
    #[serde(rename = "grid_sources", serialize_with = "emissions::sources")]
    pub grid_state: Arc<GridState>,
    /// What is ahead on the grid; absent without a forecast.
    pub grid_outlook: Option<Arc<Outlook>>,
    /// The market-based factor in force; absent where nothing is known of contracts.
    pub market: Option<MarketFactor>,
    /// The overhead factor in force.
    #[serde(rename = "pue_ratio")]
    pub pue: Pue,
    /// Whether that is the operator's word, or else 1 for want of any.
    pub pue_configured: bool,
    /// The site's use of water; absent where it isn't configured.
    #[serde(rename = "wue_liters_per_kwh")]
    pub wue: Option<LitresPerKwh>,
    /// Emissions of making the hardware, by component; empty where they aren't counted or nothing is known of it.
    pub embodied: Vec<EmbodiedTotals>,
    /// The parts that those come from.
    pub embodied_parts: Vec<HardwarePart>,
    /// How each collector fared in the last tick.
    pub collectors: Vec<CollectorStatus>,
    /// What the daemon lacks of its surroundings.
    pub setup_problems: Vec<SetupProblem>,
    /// Energy without an owner, by reason.
    pub unattributed: Vec<Unattributed>,
    /// Series left out because of a cap, by metric family group, since the daemon started.
    pub series_dropped: Vec<DroppedSeries>,
}

/// How reading the configuration went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfigStatus {
    /// Whether the last one that was read is in use.
    pub is_accepted: bool,
    /// When the one in use was taken.
    #[serde(rename = "accepted_unix_ms")]
    pub accepted_at: UnixTime,
    /// Keys that were changed since the start and are heeded at the next one only, in the order of the manual.
    pub awaiting_restart: Arc<[String]>,
}

/// Totals of one component of the node.
#[derive(Clone, Debug, Serialize)]
pub struct ComponentTotals {
    /// The component.
    pub component: Component,
    /// The worst quality among the meters that fed the last tick.
    pub quality: Quality,
    /// Energy since the daemon started; equals the sum over `by_beneficiary` to the microjoule.
    #[serde(rename = "energy_uj")]
    pub energy: Microjoules,
    /// Mean power over the last tick; absent where the last tick booked nothing for lack of a reading.
    #[serde(rename = "power_watts")]
    pub power: Option<Watts>,
    /// Location-based emissions, PUE included.
    #[serde(rename = "emissions_grams")]
    pub emissions: Grams,
    /// Market-based emissions of the same energy, PUE included; absent where nothing is known of contracts.
    #[serde(rename = "market_emissions_grams")]
    pub market_emissions: Option<Grams>,
    /// Water that the site used for it; absent where its use isn't configured.
    #[serde(rename = "water_liters")]
    pub water: Option<Litres>,
    /// The same energy by who it went to, in the order of [`Beneficiary::ALL`].
    #[serde(rename = "energy_by_beneficiary_uj", serialize_with = "by_beneficiary")]
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
    #[serde(rename = "energy_uj")]
    pub energy: Microjoules,
}

/// Power and emissions of one owner in one component.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ComponentCell {
    /// The component.
    pub component: Component,
    /// Mean power over the last tick, all states together; absent where the component's isn't known.
    #[serde(rename = "power_watts")]
    pub power: Option<Watts>,
    /// Location-based emissions since the owner was first seen, PUE included.
    #[serde(rename = "emissions_grams")]
    pub emissions: Grams,
    /// Market-based emissions of the same energy, PUE included; absent where nothing is known of contracts.
    #[serde(rename = "market_emissions_grams")]
    pub market_emissions: Option<Grams>,
    /// Water that the site used for it; absent where its use isn't configured.
    #[serde(rename = "water_liters")]
    pub water: Option<Litres>,
}

/// Totals of one container, pod, unit, job or VM.
#[derive(Clone, Debug, Serialize)]
pub struct WorkloadTotals {
    /// Whose they are.
    pub owner: Arc<Owner>,
    /// The labels of its series.
    #[serde(rename = "labels")]
    pub title: Arc<Title>,
    /// What is known of it now.
    pub facts: Option<Facts>,
    /// Whether its series are held back, as its name isn't known yet.
    pub held: bool,
    /// CPU time since the owner was first seen: the evidence for its share.
    #[serde(rename = "cpu_time_ns")]
    pub cpu_time: CpuTime,
    /// Energy by component and state; combinations that can't occur are left out.
    pub energy: Vec<EnergyCell>,
    /// Power and emissions by component.
    pub components: Vec<ComponentCell>,
    /// Emissions of making the hardware that it had, by component; empty where they aren't counted.
    pub embodied: Vec<EmbodiedCell>,
    /// The part of its GPU energy of each card that it ever used.
    pub gpus: Vec<GpuCell>,
    /// The cards that it was given, or a part of them.
    pub allocated: Vec<GpuRef>,
    /// Whether the owner's cgroup is gone; it is shown until its retention ends.
    pub ended: bool,
}

/// One GPU, named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GpuRef {
    /// The value of the `gpu` label.
    pub gpu: Arc<str>,
    /// The GPU's UUID.
    pub uuid: Arc<str>,
}

/// Energy that one owner used of one GPU, all states together.
#[derive(Clone, Debug, Serialize)]
pub struct GpuCell {
    /// The value of the `gpu` label.
    pub gpu: Arc<str>,
    /// The GPU's UUID.
    pub uuid: Arc<str>,
    /// Energy since the owner was first seen.
    #[serde(rename = "energy_uj")]
    pub energy: Microjoules,
}

/// One GPU.
#[derive(Clone, Debug, Serialize)]
pub struct GpuTotals {
    /// Its names.
    #[serde(flatten)]
    pub identity: Arc<GpuIdentity>,
    /// The reader: `nvml`, `drm` or `simulated`.
    pub backend: &'static str,
    /// Whether MIG is on.
    pub mig: bool,
    /// Whether it answered in the last tick.
    pub up: bool,
    /// Why it is down; empty where it is up.
    pub reason: Arc<str>,
    /// For how long a call to its driver hasn't returned; 0 where none is under way.
    #[serde(rename = "stuck_seconds", serialize_with = "seconds")]
    pub stuck: Duration,
    /// Readings that failed since the daemon started.
    pub errors: u64,
    /// Energy booked since the daemon started; absent until a first interval could be measured. Equals the sum over
    /// `by_beneficiary` to the microjoule.
    #[serde(rename = "energy_uj")]
    pub energy: Option<Microjoules>,
    /// How good its figures are, and what they cover.
    pub quality: Quality,
    /// `gpu`, or `module` where CPU and memory are in its meter, whose part is taken off.
    pub domain: Domain,
    /// Mean power over the last tick; absent where it isn't known.
    #[serde(rename = "power_watts")]
    pub power: Option<Watts>,
    /// The share of time that it worked lately.
    #[serde(rename = "utilization_ratio")]
    pub utilization: Option<f64>,
    /// Device memory in use.
    #[serde(rename = "memory_used_bytes")]
    pub memory_used: Option<Bytes>,
    /// The power limit in force.
    #[serde(rename = "power_limit_watts")]
    pub power_limit: Option<Watts>,
    /// Processes that hold a context; absent where it can't be told.
    pub clients: Option<u64>,
    /// The rung of evidence that the last tick's split stands on; absent while it is down.
    pub method: Option<&'static str>,
    /// What keeps it from better evidence.
    pub limitations: Vec<Limitation>,
    /// Its energy by who it went to, in the order of [`Beneficiary::ALL`].
    #[serde(rename = "energy_by_beneficiary_uj", serialize_with = "by_beneficiary")]
    pub by_beneficiary: [Microjoules; Beneficiary::ALL.len()],
}

/// Totals of one process.
#[derive(Clone, Debug, Serialize)]
pub struct ProcessTotals {
    /// Its id in the daemon's pid namespace.
    pub pid: u32,
    /// Start time in clock ticks since boot; with the pid it names the process for good.
    #[serde(rename = "start_time_ticks")]
    pub start_time: u64,
    /// The command name as the kernel has it, at most 15 bytes.
    pub comm: Arc<str>,
    /// The owner that its energy is a part of.
    pub owner: Arc<Owner>,
    /// Energy by component and state since the process was first seen.
    pub energy: Vec<EnergyCell>,
    /// Mean power over the last tick, by component; those whose power isn't known are left out.
    #[serde(rename = "power_watts", serialize_with = "by_component")]
    pub power: Vec<(Component, Watts)>,
    /// Whether the process is gone; it is shown until its retention ends.
    pub ended: bool,
}

/// What is known of one meter.
#[derive(Clone, Debug, Serialize)]
pub struct MeterStatus {
    /// Its name.
    #[serde(flatten)]
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
    #[serde(rename = "energy_uj")]
    pub energy: Option<Microjoules>,
    /// The learned or configured idle power.
    #[serde(rename = "baseline_watts")]
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
    /// How long it took in the tick; absent for one that works beside the ticks.
    #[serde(rename = "duration_seconds", serialize_with = "emissions::optional_seconds")]
    pub duration: Option<Duration>,
    /// What went wrong, short and from a bounded set; absent on success.
    pub last_error: Option<Arc<str>>,
    /// The same with the path and what the system says; for people, not for labels.
    pub detail: Option<Arc<str>>,
    /// What would mend it, where that is known.
    pub remedy: Option<&'static str>,
}

/// Energy that no owner could be found for.
#[derive(Clone, Debug, Serialize)]
pub struct Unattributed {
    /// The component.
    pub component: Component,
    /// Why: `no_evidence`, ...
    pub reason: &'static str,
    /// Energy since the daemon started.
    #[serde(rename = "energy_uj")]
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

/// Where the sampler puts each snapshot and every reader finds the latest one. Neither ever waits for the
/// other.
#[derive(Debug, Default)]
pub struct SnapshotCell {
    latest: ArcSwapOption<Snapshot>,
}

impl SnapshotCell {
    /// A cell without a snapshot, as before the first tick.
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces the snapshot that readers get from now on; those who hold an older one keep it.
    pub fn publish(&self, snapshot: Arc<Snapshot>) {
        self.latest.store(Some(snapshot));
    }

    /// The latest snapshot, or `None` before the first tick.
    pub fn latest(&self) -> Option<Arc<Snapshot>> {
        self.latest.load_full()
    }
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

fn by_component<S: Serializer>(power: &[(Component, Watts)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(power.iter().map(|(component, watts)| (component.as_str(), watts)))
}

fn by_beneficiary<S: Serializer>(
    energy: &[Microjoules; Beneficiary::ALL.len()],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(Beneficiary::ALL.iter().map(|to| to.as_str()).zip(energy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_what_serde_says() {
        for state in [State::Active, State::Idle, State::Parked] {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        let by_beneficiary =
            by_beneficiary(&[1, 2, 3, 4, 5, 6, 7].map(Microjoules::new), serde_json::value::Serializer);
        let expected = serde_json::json!({
            "container": 1, "unit": 2, "job": 3, "vm": 4, "system": 5, "idle": 6, "unattributed": 7,
        });
        assert_eq!(by_beneficiary.unwrap(), expected);
    }

    #[test]
    fn the_cell_is_empty_before_the_first_snapshot() {
        assert!(SnapshotCell::new().latest().is_none());
    }
}
