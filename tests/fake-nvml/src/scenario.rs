//! What the library pretends: devices, who uses them, and what goes wrong.
//!
//! Every field has a default, so that a file names only what it cares about; an unknown field makes the file
//! invalid. Times that end in `_ns` are nanoseconds of `CLOCK_MONOTONIC` (see [`crate::monotonic_ns`]).

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

mod mig;
mod trouble;

pub use mig::{Gpm, Instance, Mig, ParentLists};
pub use trouble::{Fault, Hang};

/// All that the library knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// What `nvmlSystemGetDriverVersion` says.
    pub driver_version: String,
    /// What `nvmlSystemGetNVMLVersion` says.
    pub nvml_version: String,
    /// Changes with a driver reload: from then on every call gives `UNINITIALIZED` until the next init.
    pub driver_generation: u64,
    /// The devices; their order is NVML's index, which only those that are present have.
    pub devices: Vec<Device>,
    /// Calls that fail.
    pub faults: Vec<Fault>,
    /// Calls that don't return.
    pub hangs: Vec<Hang>,
    /// Symbols that answer `FUNCTION_NOT_FOUND`. [`crate::patch`] takes them out of the library for good.
    pub missing_symbols: Vec<String>,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            driver_version: "570.124.06".to_owned(),
            nvml_version: "12.570.124.06".to_owned(),
            driver_generation: 0,
            devices: Vec::new(),
            faults: Vec::new(),
            hangs: Vec::new(),
            missing_symbols: Vec::new(),
        }
    }
}

impl Scenario {
    /// A scenario of these devices, in which nothing goes wrong.
    pub fn of(devices: impl IntoIterator<Item = Device>) -> Self {
        Self { devices: devices.into_iter().collect(), ..Self::default() }
    }

    /// Reads a scenario.
    ///
    /// # Errors
    /// The file can't be read or isn't a scenario.
    pub fn load(path: &Path) -> io::Result<Self> {
        serde_json::from_slice(&fs::read(path)?).map_err(io::Error::other)
    }

    /// Writes the scenario so that the library sees either the old file or the new one.
    ///
    /// # Errors
    /// The directory can't be written to.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(self).map_err(io::Error::other)?;
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".new");
        fs::write(&temporary, text)?;
        fs::rename(&temporary, path)
    }

    /// The device of this UUID.
    pub fn device(&self, uuid: &str) -> Option<&Device> {
        self.devices.iter().find(|device| device.uuid == uuid)
    }

    /// The device of this UUID, to be changed.
    pub fn device_mut(&mut self, uuid: &str) -> Option<&mut Device> {
        self.devices.iter_mut().find(|device| device.uuid == uuid)
    }
}

/// One GPU. The default is a Hopper card with an energy counter and without MIG, GPM or accounting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Device {
    /// `GPU-...`.
    pub uuid: String,
    /// The product's name.
    pub name: String,
    /// `00000000:3B:00.0`, as NVML writes it.
    pub pci_bus_id: String,
    /// NVML's architecture: 5 Volta, 6 Turing, 7 Ampere, 8 Ada, 9 Hopper, 10 Blackwell. It decides what the device
    /// can do: energy from 5 on, field 185 from 7 on, GPM from 9 on.
    pub architecture: u32,
    /// Whether it is on the bus: one that isn't has no index, and its handles give `GPU_IS_LOST`.
    pub present: bool,
    /// It stays in the list, but every call on it gives `GPU_IS_LOST`.
    pub lost: bool,
    /// Persistence mode.
    pub persistence: bool,
    /// The power limit in watts; none: not supported.
    pub power_limit_watts: Option<f64>,
    /// Memory in bytes.
    pub memory_total: u64,
    /// Memory in use, without the driver's reserve.
    pub memory_used: u64,
    /// The driver's reserve, which the first version of the memory call counts as used.
    pub memory_reserved: u64,
    /// Percent of time that it worked. Not supported while MIG is on.
    pub gpu_utilization: u32,
    /// Percent of time that its memory was read or written.
    pub memory_utilization: u32,
    /// Streaming multiprocessors, if `nvmlDeviceGetAttributes_v2` answers for the whole device.
    pub multiprocessors: Option<u32>,
    /// The power it draws, in the order of time.
    pub power: Vec<Segment>,
    /// Whether it has an energy counter.
    pub energy_counter: bool,
    /// What the counter showed at the system's start, in mJ.
    pub energy_base_mj: u64,
    /// How often the counter moves.
    pub counter_period_ns: u64,
    /// When the counter began anew at 0 (a driver reload, say).
    pub counter_resets_ns: Vec<u64>,
    /// Whether `nvmlDeviceGetPowerUsage` gives the mean of a second (Ampere and newer, except GA100), or the power
    /// of the moment.
    pub averaged_power: bool,
    /// Whether field values of scope 0 (GPU) exist; on Grace Hopper they may not.
    pub gpu_scope: bool,
    /// The whole module of a Grace Hopper: scope 1 of the field values, type 7 of the samples.
    pub module: Option<Module>,
    /// Who uses it.
    pub processes: Vec<Process>,
    /// How often the driver samples the use of the processes, in µs.
    pub sample_period_us: u64,
    /// Whether process utilisation holds unused slots, which have pid 0.
    pub pid_zero: bool,
    /// Whether clients of MPS are in the compute list as well as in the MPS list.
    pub mps_clients_in_compute: bool,
    /// How many calls in a row find that a process list grew since its size was asked for. Then one is answered.
    pub churn: u32,
    /// MIG; none where the device can't do it.
    pub mig: Option<Mig>,
    /// Handles of MIG devices that were given out under another generation are stale.
    pub mig_generation: u64,
    /// GPM; none: not supported. Older architectures than Hopper never have it.
    pub gpm: Option<Gpm>,
    /// Accounting; none: not supported. MIG switches it off.
    pub accounting: Option<Accounting>,
}

impl Default for Device {
    fn default() -> Self {
        Self {
            uuid: "GPU-00000000-0000-4000-8000-000000000000".to_owned(),
            name: "NVIDIA H100 80GB HBM3".to_owned(),
            pci_bus_id: "00000000:01:00.0".to_owned(),
            architecture: 9,
            present: true,
            lost: false,
            persistence: true,
            power_limit_watts: Some(700.0),
            memory_total: 80 << 30,
            memory_used: 0,
            memory_reserved: 512 << 20,
            gpu_utilization: 0,
            memory_utilization: 0,
            multiprocessors: None,
            power: Vec::new(),
            energy_counter: true,
            energy_base_mj: 0,
            counter_period_ns: 20_000_000,
            counter_resets_ns: Vec::new(),
            averaged_power: true,
            gpu_scope: true,
            module: None,
            processes: Vec::new(),
            sample_period_us: 100_000,
            pid_zero: false,
            mps_clients_in_compute: true,
            churn: 0,
            mig: None,
            mig_generation: 0,
            gpm: None,
            accounting: None,
        }
    }
}

/// Power from a moment on, until the next segment begins. Before the first one it is 0.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// When it begins.
    pub from_ns: u64,
    /// The power; it is rounded to milliwatts.
    pub watts: f64,
}

/// The module that a GPU sits on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Module {
    /// The power it draws.
    pub power: Vec<Segment>,
    /// What its counter showed at the system's start, in mJ.
    pub energy_base_mj: u64,
}

/// How a process shows up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// In the compute list.
    #[default]
    Compute,
    /// In the graphics list.
    Graphics,
    /// In both.
    ComputeGraphics,
    /// In the MPS list, and in the compute list where [`Device::mps_clients_in_compute`] says so.
    MpsClient,
    /// `nvidia-cuda-mps-server`: in the compute list only.
    MpsServer,
}

/// A process on a device. A pid may be there several times, with other windows or instances.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Process {
    /// Its pid.
    pub pid: u32,
    /// What process utilisation calls it, where a driver turns only the lists' pids into those of the caller's
    /// namespace; none: the same.
    pub host_pid: Option<u32>,
    /// The lists that it is in.
    pub kind: Kind,
    /// Bytes of device memory; none: not available.
    pub memory: Option<u64>,
    /// Its GPU instance.
    pub gpu_instance: Option<u32>,
    /// Its compute instance.
    pub compute_instance: Option<u32>,
    /// Percent of time that its kernels run; over 100 for what dead contexts leave behind.
    pub sm_utilization: u32,
    /// Percent of time that it uses memory.
    pub memory_utilization: u32,
    /// When it begins.
    pub from_ns: u64,
    /// When it ends, if it does.
    pub until_ns: Option<u64>,
    /// Whether the process lists show it; its utilisation is there all the same.
    pub in_lists: bool,
}

impl Default for Process {
    fn default() -> Self {
        Self {
            pid: 0,
            host_pid: None,
            kind: Kind::Compute,
            memory: None,
            gpu_instance: None,
            compute_instance: None,
            sm_utilization: 0,
            memory_utilization: 0,
            from_ns: 0,
            until_ns: None,
            in_lists: true,
        }
    }
}

/// What the driver remembers of processes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Accounting {
    /// Whether it is on.
    pub enabled: bool,
    /// How many it can remember; it forgets the oldest.
    pub buffer_size: u32,
    /// The processes, oldest first.
    pub processes: Vec<Accounted>,
}

impl Default for Accounting {
    fn default() -> Self {
        Self { enabled: true, buffer_size: 4000, processes: Vec::new() }
    }
}

/// What the driver remembers of one process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Accounted {
    /// Its pid.
    pub pid: u32,
    /// Percent of its lifetime.
    pub gpu_utilization: u32,
    /// Percent of its lifetime.
    pub memory_utilization: u32,
    /// Bytes.
    pub max_memory: u64,
    /// Its lifetime in ms. The library says 0 while it runs.
    pub time_ms: u64,
    /// When it began, in µs since 1970.
    pub start_us: u64,
    /// Whether it runs.
    pub running: bool,
}
