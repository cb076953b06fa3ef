//! Settings: typed, with working defaults. A file is overridden by the environment, and that by flags; a key
//! that isn't known is an error.

mod keys;
mod load;
mod types;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use load::{ConfigError, DEFAULT_FILE, Flag, Loaded, Origins, load};
pub use types::{Basis, LogFormat, LogLevel, human_duration};

/// Everything that can be configured. The field names are the keys of the TOML file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The HTTP server.
    pub web: Web,
    /// Where the kernel's file systems are.
    pub path: Paths,
    /// The tick.
    pub sample: Sample,
    /// Which readers are on.
    pub collector: Collectors,
    /// NVIDIA's management library.
    pub nvml: Nvml,
    /// How GPUs are read.
    pub gpu: Gpu,
    /// Caps and retention.
    pub limits: Limits,
    /// The model for machines without meters.
    pub model: Model,
    /// Idle power in watts, by device (`"intel-rapl:0"`, a GPU's UUID) or by domain (`package`, `dram`, `gpu`).
    pub baseline: BTreeMap<String, f64>,
    /// Emission factors.
    pub carbon: Carbon,
    /// The log.
    pub log: Log,
    /// Whether meters are made up, for demos.
    pub simulate: bool,
}

/// The HTTP server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Web {
    /// Addresses to listen on, as `host:port`; an empty host is every address of the machine.
    pub listen_address: Vec<String>,
    /// The path of the metrics.
    pub telemetry_path: String,
    /// Requests that are served at once, at most; 1 to 10,000.
    pub max_requests: usize,
}

impl Default for Web {
    fn default() -> Self {
        Self {
            listen_address: vec![":10125".to_owned()],
            telemetry_path: "/metrics".to_owned(),
            max_requests: 40,
        }
    }
}

/// Where the kernel's file systems are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Paths {
    /// procfs.
    pub procfs: PathBuf,
    /// sysfs.
    pub sysfs: PathBuf,
}

impl Default for Paths {
    fn default() -> Self {
        Self { procfs: "/proc".into(), sysfs: "/sys".into() }
    }
}

/// The tick.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sample {
    /// Time between two ticks; 100 ms to 60 s. A number is in seconds, a text has a unit (`"500ms"`).
    #[serde(with = "types::duration")]
    pub interval: Duration,
}

impl Default for Sample {
    fn default() -> Self {
        Self { interval: Duration::from_secs(1) }
    }
}

/// Which readers are on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Collectors {
    /// Energy counters of /sys/class/powercap.
    pub rapl: bool,
    /// Energy and power inputs of /sys/class/hwmon.
    pub hwmon: bool,
    /// The model, for components that nothing measures.
    pub estimate: bool,
    /// NVIDIA GPUs.
    pub nvml: bool,
    /// AMD and Intel GPUs.
    pub drm: bool,
    /// Cgroups.
    pub cgroup: bool,
    /// Processes.
    pub process: bool,
}

impl Default for Collectors {
    fn default() -> Self {
        Self { rapl: true, hwmon: true, estimate: true, nvml: true, drm: true, cgroup: true, process: true }
    }
}

/// NVIDIA's management library.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Nvml {
    /// The library to load. Where it is given, it is tried even if no driver module is seen in sysfs; otherwise
    /// `libnvidia-ml.so.1` is, once the module is there.
    pub library: Option<PathBuf>,
}

/// How GPUs are read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gpu {
    /// How long a GPU may take to answer before it is marked down and left behind; 10 ms to 60 s.
    #[serde(with = "types::duration")]
    pub deadline: Duration,
    /// The first wait before a driver that failed is tried again, which doubles up to 5 minutes; 100 ms to 5 min.
    #[serde(with = "types::duration")]
    pub retry: Duration,
    /// How long GPUs stay released on SIGUSR1 if no SIGUSR2 comes; 1 s to 24 h.
    #[serde(with = "types::duration")]
    pub release: Duration,
}

impl Default for Gpu {
    fn default() -> Self {
        Self {
            deadline: Duration::from_millis(500),
            retry: Duration::from_secs(10),
            release: Duration::from_secs(600),
        }
    }
}

/// Caps and retention.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Containers, units, jobs and VMs with series of their own; 1 to 1,000,000.
    pub workloads: usize,
    /// Living processes with series of their own, and as many that ended; 0 to 100,000.
    pub processes: usize,
    /// GPU processes with series of their own, beside those; 0 to 100,000.
    pub gpu_processes: usize,
    /// Processes that are looked at; 1 to 4,194,304.
    pub scanned_processes: usize,
    /// Cgroups that are looked at; 1 to 1,000,000.
    pub cgroups: usize,
    /// Files of cgroups that are kept open; 0 to 1,000,000. The operating system's own limit may be lower.
    pub open_files: usize,
    /// How long a workload that ended is shown; up to 24 h.
    #[serde(with = "types::duration")]
    pub retention: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            workloads: 2_000,
            processes: 50,
            gpu_processes: 512,
            scanned_processes: 100_000,
            cgroups: 20_000,
            open_files: 16_384,
            retention: Duration::from_secs(300),
        }
    }
}

/// The model for machines without meters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Model {
    /// Power of all CPUs at full load, in watts; otherwise from the embedded table.
    pub cpu_tdp_watts: Option<f64>,
    /// Power of all CPUs when idle, in watts; otherwise a share of the full load.
    pub cpu_idle_watts: Option<f64>,
    /// Power of memory in watts per GB, 0 to 10; otherwise 0.3725 (Green Algorithms).
    pub memory_watts_per_gb: Option<f64>,
}

/// Emission factors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Carbon {
    /// A constant in g/kWh.
    pub intensity: Option<f64>,
    /// A grid zone such as `FR`, `US-CA` or `SE-SE3`.
    pub zone: Option<String>,
    /// A cloud region such as `aws:eu-west-3`.
    pub cloud: Option<String>,
    /// Which emissions the factor should count.
    pub basis: Option<Basis>,
    /// Power usage effectiveness of the facility; 1 to 10.
    pub pue: Option<f64>,
}

/// The log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// The least level that is written.
    pub level: LogLevel,
    /// Text or JSON.
    pub format: LogFormat,
}
