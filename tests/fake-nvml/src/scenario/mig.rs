//! Devices that can be cut into instances, and how busy these are.

use serde::{Deserialize, Serialize};

/// A device that can be cut into instances.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mig {
    /// Whether MIG is on. The greatest number of instances is 7 either way.
    pub enabled: bool,
    /// The instances; used only while it is on.
    pub instances: Vec<Instance>,
    /// What the whole device's process lists say while it is on.
    pub parent_lists: ParentLists,
}

/// What the process lists of a device in MIG mode say, by the caller's rights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParentLists {
    /// The processes of all instances, with their instances' ids: the caller has the right to see them.
    #[default]
    Aggregate,
    /// Nothing.
    Empty,
    /// `NO_PERMISSION`.
    NoPermission,
}

/// A MIG device: one compute instance in a GPU instance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Instance {
    /// Its place in the list, 0 to 6; places may be left out.
    pub index: u32,
    /// Its GPU instance.
    pub gpu_instance: u32,
    /// Its compute instance.
    pub compute_instance: u32,
    /// `MIG-...`.
    pub uuid: String,
    /// The profile, as the name ends: `1g.10gb`.
    pub profile: String,
    /// Its streaming multiprocessors.
    pub multiprocessors: u32,
    /// Slices of the GPU instance.
    pub slices: u32,
    /// Slices of the compute instance.
    pub compute_slices: u32,
    /// Memory in bytes.
    pub memory_total: u64,
    /// Memory in use.
    pub memory_used: u64,
    /// Percent of its multiprocessors that are busy (GPM's metric 2 of its GPU instance).
    pub sm_utilization: f64,
}

/// GPU performance monitoring.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gpm {
    /// Whether the caller may profile; else taking a sample gives `NO_PERMISSION`.
    pub permitted: bool,
    /// Metric 1 in percent.
    pub graphics_utilization: f64,
    /// Metric 2 in percent, of the whole device.
    pub sm_utilization: f64,
}

impl Default for Gpm {
    fn default() -> Self {
        Self { permitted: true, graphics_utilization: 0.0, sm_utilization: 0.0 }
    }
}
