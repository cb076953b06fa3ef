//! What the hardware counted: which meters a node has, which of them stands for which component, and the energy
//! that each tick adds.
//!
//! [`MeterBank`] owns the readers and is all that the sampler needs. Several meters may cover the same component;
//! in each slot (a socket or a die) the best one that lives is booked and the others stay raw. No energy is
//! booked twice, and none is invented: see [`select`].

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub mod cpu_table;

use serde::Serialize;

use crate::units::{Microjoules, Watts};

mod bank;
pub mod counter;
pub mod estimate;
pub mod files;
#[cfg(test)]
mod fixture;
pub mod hwmon;
pub mod power;
pub mod rapl;
pub mod select;
pub mod simulated;
mod source;
pub mod survey;

pub use bank::MeterBank;
pub use estimate::ModelSettings;
pub use survey::{MeterSurvey, Survey};

/// How long a meter may fail before something else takes its place, or before its hole is left open.
pub const GRACE: Duration = Duration::from_secs(5);

/// The parts of a node that energy is accounted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Component {
    /// CPU packages.
    Cpu,
    /// Memory.
    Dram,
    /// Accelerators.
    Gpu,
    /// What a whole-node meter shows beyond the others: fans, disks, power supplies.
    Other,
}

impl Component {
    /// All components, in the order of their index.
    pub const ALL: [Self; 4] = [Self::Cpu, Self::Dram, Self::Gpu, Self::Other];

    /// A dense index for arrays.
    pub const fn index(self) -> usize {
        match self {
            Self::Cpu => 0,
            Self::Dram => 1,
            Self::Gpu => 2,
            Self::Other => 3,
        }
    }

    /// The value of the `component` label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Dram => "dram",
            Self::Gpu => "gpu",
            Self::Other => "other",
        }
    }
}

/// Where an energy figure comes from, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Quality {
    /// The hardware's own energy counter.
    Measured,
    /// A power reading integrated over time by trapezoid.
    Integrated,
    /// A model of utilisation and nominal power.
    Modelled,
    /// Made up, for demos.
    Simulated,
}

impl Quality {
    /// The value of the `quality` label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Integrated => "integrated",
            Self::Modelled => "modelled",
            Self::Simulated => "simulated",
        }
    }
}

/// What a meter covers; the `domain` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Domain {
    /// A CPU package (socket or die).
    Package,
    /// Memory attached to a package.
    Dram,
    /// The cores inside a package.
    Core,
    /// The uncore or integrated graphics inside a package.
    Uncore,
    /// The platform as the SoC sees it; overlaps everything.
    Psys,
    /// The CPU's interfaces (SysIO rail on Grace), inside the socket.
    Sysio,
    /// A Grace socket with its memory and interfaces.
    Grace,
    /// A module of CPU and GPU (Grace Hopper).
    Module,
    /// A GPU with its memory.
    Gpu,
    /// The whole node.
    Node,
    /// A powercap zone of a name that isn't known.
    Unknown,
}

impl Domain {
    /// The value of the `domain` label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Package => "package",
            Self::Dram => "dram",
            Self::Core => "core",
            Self::Uncore => "uncore",
            Self::Psys => "psys",
            Self::Sysio => "sysio",
            Self::Grace => "grace",
            Self::Module => "module",
            Self::Gpu => "gpu",
            Self::Node => "node",
            Self::Unknown => "unknown",
        }
    }
}

/// Names one meter for as long as the daemon runs: the values of the `meter`, `domain` and `device` labels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct MeterId {
    /// The reader: `rapl`, `hwmon`, `estimate`, `nvml`, `drm`, `simulated`.
    pub meter: &'static str,
    /// What it covers.
    pub domain: Domain,
    /// The device's name in the kernel (`intel-rapl:0:1`), unique within the reader and domain.
    pub device: Arc<str>,
}

/// The time of one tick. Both clocks count from any origin; only differences are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tick {
    /// Time without suspend (`CLOCK_MONOTONIC`): what models are multiplied by.
    pub monotonic: Duration,
    /// Time with suspend (`CLOCK_BOOTTIME`): what counters are judged by.
    pub boottime: Duration,
}

/// What to read and where.
#[derive(Clone, Debug)]
pub struct MeterSettings {
    /// Where sysfs is mounted.
    pub sysfs: PathBuf,
    /// Where procfs is mounted.
    pub procfs: PathBuf,
    /// Read powercap zones.
    pub rapl: bool,
    /// Read hwmon energy and power inputs.
    pub hwmon: bool,
    /// Model CPU and memory where nothing can be read.
    pub estimate: bool,
    /// Make a node up, and read nothing else.
    pub simulate: bool,
    /// Numbers of the model.
    pub model: ModelSettings,
}

impl Default for MeterSettings {
    fn default() -> Self {
        Self {
            sysfs: PathBuf::from("/sys"),
            procfs: PathBuf::from("/proc"),
            rapl: true,
            hwmon: true,
            estimate: true,
            simulate: false,
            model: ModelSettings::default(),
        }
    }
}

/// Energy of one meter or model to book in this tick.
#[derive(Clone, Debug, PartialEq)]
pub struct DomainDelta {
    /// Who says so. The model appears once for all slots that it stands in for and have the same `elapsed`.
    pub id: MeterId,
    /// How much.
    pub energy: Microjoules,
    /// The time that it was drawn in: more than one tick after an outage or a stop.
    pub elapsed: Duration,
    /// How good it is.
    pub quality: Quality,
    /// For a model: its idle power, which takes the place of a learned baseline.
    pub modelled_idle: Option<Watts>,
    /// Whether this is energy of an outage before: a meter that came back proves it, beyond what was booked in its
    /// place. Nobody can tell who used it.
    pub is_late: bool,
}

/// Energy of one component to book in this tick.
#[derive(Clone, Debug, PartialEq)]
pub struct ComponentDelta {
    /// The component.
    pub component: Component,
    /// By meter; empty where nothing can be said of this tick (yet).
    pub domains: Vec<DomainDelta>,
}

/// What is known of one meter.
#[derive(Clone, Debug, PartialEq)]
pub struct MeterReport {
    /// Its name.
    pub id: MeterId,
    /// How good its figures are.
    pub quality: Quality,
    /// Whether it gave a believable value in this tick.
    pub up: bool,
    /// The component that it feeds, if it was chosen.
    pub feeds: Option<Component>,
    /// Why it was chosen, or why not, or what is wrong; one short sentence from a bounded set.
    pub reason: Arc<str>,
    /// Unwrapped energy since the start; absent until a first interval could be measured.
    pub energy: Option<Microjoules>,
    /// Times the counter passed its end.
    pub wraps: u64,
    /// Times an interval had to be left out.
    pub resets: u64,
}

/// How one reader fared in this tick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectorOutcome {
    /// `rapl`, `hwmon`, `estimate` or `simulated`.
    pub name: &'static str,
    /// Whether it got all that it looked for. Finding no powercap zone is a failure of `rapl`; finding no input
    /// is none of `hwmon`, as most machines have none.
    pub success: bool,
    /// What went wrong, short and from a bounded set.
    pub error: Option<Arc<str>>,
    /// The same with what the system says, where that is more.
    pub detail: Option<Arc<str>>,
    /// What would mend it, where that is known.
    pub remedy: Option<&'static str>,
}

/// All that one tick brought.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MeterTick {
    /// Energy to book, for each component that has a meter or a model.
    pub components: Vec<ComponentDelta>,
    /// What the whole-node meter counted, if there is one that answered. After an outage it covers more than
    /// this tick: what it is compared with must cover the same time.
    pub node: Option<DomainDelta>,
    /// Every meter that was ever seen, in the order of their names.
    pub reports: Vec<MeterReport>,
    /// Every reader that is switched on.
    pub collectors: Vec<CollectorOutcome>,
}
