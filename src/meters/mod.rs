//! What the hardware counted.

pub mod cpu_table;

use serde::Serialize;

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
            Self::Node => "node",
            Self::Unknown => "unknown",
        }
    }
}

/// Names one meter for as long as the daemon runs: the values of the `meter`, `domain` and `device` labels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct MeterId {
    /// The reader: `rapl`, `hwmon`, `estimate`, `simulated`.
    pub meter: &'static str,
    /// What it covers.
    pub domain: Domain,
    /// The device's name in the kernel (`intel-rapl:0:1`), unique within the reader and domain.
    pub device: std::sync::Arc<str>,
}
