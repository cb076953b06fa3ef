//! Settings: typed, with working defaults. A file is overridden by the environment, and that by flags; a key
//! that isn't known is an error.

pub mod describe;
mod keys;
mod load;
mod names;
mod source;
mod types;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(crate) use keys::keys;
pub use load::{ConfigError, DEFAULT_FILE, Flag, Loaded, Origins, load};
pub use names::{Jobs, Kubernetes, Names, PodSource};
pub use source::{IntensityUnit, ProviderKind, Source};
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
    /// Market-based emissions.
    pub market: Market,
    /// Embodied emissions.
    pub embodied: Embodied,
    /// What people call the owners of energy.
    pub names: Names,
    /// Where names and GPU allocations of Kubernetes come from.
    pub kubernetes: Kubernetes,
    /// Batch jobs.
    pub jobs: Jobs,
    /// What survives a restart.
    pub state: State,
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
    /// Whether to refuse to start where systemd hands over no sockets. Those that it does hand over are served on in any
    /// case, instead of those addresses.
    pub systemd_socket: bool,
    /// The path of the metrics.
    pub telemetry_path: String,
    /// Requests that are served at once, at most; 1 to 10,000.
    pub max_requests: usize,
}

impl Default for Web {
    fn default() -> Self {
        Self {
            listen_address: vec![":10125".to_owned()],
            systemd_socket: false,
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
    /// The host's root, below which the files of container runtimes, batch systems and the kubelet are.
    pub rootfs: PathBuf,
}

impl Default for Paths {
    fn default() -> Self {
        Self { procfs: "/proc".into(), sysfs: "/sys".into(), rootfs: "/".into() }
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
    /// Names of pods.
    pub kubernetes: bool,
    /// GPUs that the kubelet gave to containers.
    pub podresources: bool,
    /// Names of containers from their runtimes' files.
    pub containers: bool,
    /// Names of batch jobs.
    pub jobs: bool,
    /// UUIDs and owners of VMs.
    pub vms: bool,
}

impl Collectors {
    /// None is on.
    pub const NONE: Self = Self {
        rapl: false,
        hwmon: false,
        estimate: false,
        nvml: false,
        drm: false,
        cgroup: false,
        process: false,
        kubernetes: false,
        podresources: false,
        containers: false,
        jobs: false,
        vms: false,
    };
}

impl Default for Collectors {
    fn default() -> Self {
        Self {
            rapl: true,
            hwmon: true,
            estimate: true,
            nvml: true,
            drm: true,
            cgroup: true,
            process: true,
            kubernetes: true,
            podresources: true,
            containers: true,
            jobs: true,
            vms: true,
        }
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Carbon {
    /// A constant in g/kWh; where there are live sources, what holds while none of them knows.
    pub intensity: Option<f64>,
    /// A grid zone such as `FR`, `US-CA` or `SE-SE3`.
    pub zone: Option<String>,
    /// A cloud region such as `aws:eu-west-3`.
    pub cloud: Option<String>,
    /// Which emissions the factor should count; otherwise what the first source counts.
    pub basis: Option<Basis>,
    /// Live sources, the preferred one first.
    pub source: Vec<Source>,
    /// How long a source's last value is used after its time, before the next source's is; up to 6 h.
    #[serde(with = "types::duration")]
    pub max_age: Duration,
    /// The first requests after a start without kept data are spread over this time, by node; up to 1 h.
    #[serde(with = "types::duration")]
    pub startup_spread: Duration,
    /// Power usage effectiveness of the facility; 1 to 10. Where it is read from elsewhere, what holds while that
    /// isn't known.
    pub pue: Option<f64>,
    /// A file with the power usage effectiveness, as one number.
    pub pue_file: Option<PathBuf>,
    /// A Prometheus server that knows the power usage effectiveness.
    pub pue_url: Option<String>,
    /// The query to it.
    pub pue_query: Option<String>,
    /// Water usage effectiveness of the site, in litres per kWh of IT energy; 0 to 100.
    pub wue: Option<f64>,
}

impl Default for Carbon {
    fn default() -> Self {
        Self {
            intensity: None,
            zone: None,
            cloud: None,
            basis: None,
            source: Vec::new(),
            max_age: Duration::from_secs(2 * 3600),
            startup_spread: Duration::from_secs(60),
            pue: None,
            pue_file: None,
            pue_url: None,
            pue_query: None,
            wue: None,
        }
    }
}

/// Market-based emissions (GHG Protocol Scope 2): what the operator's contracts say. Off unless one of the first three is
/// given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Market {
    /// The share of the electricity that is covered by certificates or contracts, 0 to 1; 1 where only `intensity` is given.
    pub share: Option<f64>,
    /// The intensity of the covered part in g/kWh; otherwise 0, as for certified renewable energy.
    pub intensity: Option<f64>,
    /// A CSV file with time windows for hourly matching: `start,end,share,intensity`.
    pub windows_file: Option<PathBuf>,
    /// The residual mix in g/kWh, for the part that isn't covered; otherwise the location-based factor.
    pub residual: Option<f64>,
}

/// Embodied emissions (GHG Protocol Scope 3): making the hardware, spread over its life.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Embodied {
    /// Whether they are counted.
    pub enabled: bool,
    /// The server without its GPUs, in kg; otherwise a rack server of the embedded table.
    pub server_kg: Option<f64>,
    /// The low end of what it may be.
    pub server_low_kg: Option<f64>,
    /// The high end.
    pub server_high_kg: Option<f64>,
    /// One GPU, in kg; otherwise that of its model in the embedded table.
    pub gpu_kg: Option<f64>,
    /// The low end of what it may be.
    pub gpu_low_kg: Option<f64>,
    /// The high end.
    pub gpu_high_kg: Option<f64>,
    /// Where the operator's own figures come from.
    pub source: Option<String>,
    /// For how many years the hardware is used; 1 to 20.
    pub lifespan_years: f64,
}

impl Default for Embodied {
    fn default() -> Self {
        Self {
            enabled: false,
            server_kg: None,
            server_low_kg: None,
            server_high_kg: None,
            gpu_kg: None,
            gpu_low_kg: None,
            gpu_high_kg: None,
            source: None,
            lifespan_years: 4.0,
        }
    }
}

/// What survives a restart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct State {
    /// The directory; otherwise the one that systemd gives (`StateDirectory=`), else nothing is kept.
    pub dir: Option<PathBuf>,
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
