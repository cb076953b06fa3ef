//! What accelerators counted, and who used them: devices, their energy, and their clients.
//!
//! A [`GpuBackend`] finds devices and gives a [`DeviceReader`] for each. [`GpuBank`] runs every reader in a thread
//! of its own, so that a call that hangs holds up nobody else, and turns what they read into energy per tick. It is
//! all that the sampler needs.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::meters::{CollectorOutcome, Domain, MeterReport, Quality, Tick};
use crate::units::{Bytes, Microjoules, Watts};

mod bank;
pub mod drm;
pub mod nvml;
pub mod simulated;
mod worker;

pub use bank::{BackendFactory, GpuBank};

/// Tells the time; the sampler hands it down, as no other room has a clock.
#[derive(Clone)]
pub struct Now(Arc<dyn Fn() -> Tick + Send + Sync>);

impl Now {
    /// A clock that asks `now`.
    pub fn new(now: impl Fn() -> Tick + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The time now.
    pub fn get(&self) -> Tick {
        (self.0)()
    }
}

impl fmt::Debug for Now {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Now")
    }
}

/// What to read and where.
#[derive(Clone, Debug)]
pub struct GpuSettings {
    /// Where procfs is mounted.
    pub procfs: PathBuf,
    /// Where sysfs is mounted.
    pub sysfs: PathBuf,
    /// Read NVIDIA devices.
    pub nvml: bool,
    /// Read AMD and Intel devices.
    pub drm: bool,
    /// Make devices up, and read nothing else.
    pub simulate: bool,
    /// The NVML library to load; it is tried even where no driver module is seen. None: the usual name, once
    /// `/sys/module/nvidia` is there.
    pub library: Option<PathBuf>,
    /// How long a device may take to answer before it is marked down.
    pub deadline: Duration,
    /// The time between two ticks: no tick waits for longer than half of it.
    pub interval: Duration,
    /// The first wait before a driver that failed is tried again; it doubles up to five minutes.
    pub retry: Duration,
    /// How long devices that were released stay so, if nobody asks for them before.
    pub release: Duration,
}

/// Who made a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Vendor {
    /// NVIDIA.
    Nvidia,
    /// AMD.
    Amd,
    /// Intel.
    Intel,
    /// Nobody: it is made up.
    Simulated,
}

impl Vendor {
    /// The value of the `vendor` label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nvidia => "nvidia",
            Self::Amd => "amd",
            Self::Intel => "intel",
            Self::Simulated => "simulated",
        }
    }
}

/// What names a device. The UUID is what it is known by; everything else may change when it comes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GpuIdentity {
    /// Unique in the world for NVIDIA (`GPU-...`); elsewhere made of the vendor's unique id or the PCI address.
    pub uuid: Arc<str>,
    /// The value of the `gpu` label: NVML's index, or the DRM card (`card1`).
    pub gpu: Arc<str>,
    /// The product's name.
    pub model: Arc<str>,
    /// Who made it.
    pub vendor: Vendor,
    /// `domain:bus:device.function`, in lower case and with four digits of domain where it fits.
    pub pci_bus_id: Arc<str>,
    /// The driver's name and version.
    pub driver: Arc<str>,
}

/// What a device's energy reading says. It is a total since any time before, which may fall back (a driver
/// reload); only differences are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpuEnergy {
    /// The total.
    pub total: Microjoules,
    /// The total at which the hardware's counter begins anew, if it isn't 64 bits wide.
    pub range: Option<u64>,
    /// Whether it is a counter of the hardware or integrated power.
    pub quality: Quality,
    /// [`Domain::Gpu`], or [`Domain::Module`] where CPU and memory are in it (Grace Hopper).
    pub domain: Domain,
}

/// A process that holds a context on a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its pid, as the driver gives it.
    pub pid: u32,
    /// Device memory that it holds; none where the driver doesn't say.
    pub memory: Option<Bytes>,
    /// The GPU instance that it runs in, with MIG.
    pub instance: Option<u32>,
}

/// A GPU instance (MIG): a slice of a device with processors and memory of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// Its number within the device.
    pub id: u32,
    /// `MIG-...`, of its first compute instance.
    pub uuid: Arc<str>,
    /// Streaming multiprocessors of all its compute instances; none where the driver doesn't say.
    pub multiprocessors: Option<u32>,
    /// The share of them that was busy since the last reading, 0 to 1 (GPM); none where it can't be read.
    pub sm_utilization: Option<f64>,
}

/// Why a better rung of evidence can't be had on a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Limitation {
    /// The part that is off: `sm_util`, `gpm`, `memory`, `clients`, `counter`, `utilization`, `memory_used`, `scope`
    /// (the meter covers more than the device).
    pub what: &'static str,
    /// Why, short and from a bounded set.
    pub reason: Arc<str>,
    /// What would mend it, if anything would.
    pub remedy: Option<&'static str>,
}

/// One reading of a device.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceReading {
    /// When its energy was read.
    pub at: Tick,
    /// Its energy; none where it has no counter and no power reading (which is a [`Limitation`]).
    pub energy: Option<GpuEnergy>,
    /// The share of time that it worked lately, 0 to 1.
    pub utilization: Option<f64>,
    /// Device memory in use.
    pub memory_used: Option<Bytes>,
    /// The power limit in force.
    pub power_limit: Option<Watts>,
    /// Who holds contexts, each pid and instance once; none where it can't be told.
    pub clients: Option<Vec<Client>>,
    /// Work of pids since the last reading, in any unit that adds up (utilisation x time); only pids that worked.
    /// None where it can't be told (MIG). Holds pids that are no clients any more, too.
    pub work: Option<Vec<(u32, u64)>>,
    /// Whether MIG is on.
    pub mig: bool,
    /// The GPU instances, with MIG.
    pub instances: Vec<Instance>,
    /// What keeps it from better evidence.
    pub limitations: Vec<Limitation>,
}

impl DeviceReading {
    /// A reading that tells nothing yet.
    pub fn blank(at: Tick) -> Self {
        Self {
            at,
            energy: None,
            utilization: None,
            memory_used: None,
            power_limit: None,
            clients: None,
            work: None,
            mig: false,
            instances: Vec::new(),
            limitations: Vec::new(),
        }
    }
}

/// What the failure of a reading means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// This device is gone or needs a reset: it is looked for again by its UUID.
    Lost,
    /// It may pass; three in a row, and the driver is initialised anew.
    Transient,
    /// The library must be initialised anew at once.
    Reinitialise,
}

/// Why a device couldn't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct DeviceFailure {
    /// What follows.
    pub consequence: Consequence,
    /// Short and from a bounded set.
    pub reason: Arc<str>,
}

/// Why a backend can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct BackendFailure {
    /// Short and from a bounded set; a metric's label.
    pub reason: Arc<str>,
    /// The same with what the system says.
    pub detail: String,
    /// What to do about it.
    pub remedy: Option<&'static str>,
    /// Whether only a new container can mend it (a stale library or device cgroup inside it).
    pub needs_new_container: bool,
}

/// Reads one device. It is called from one thread, once a tick, and may block or hang.
pub type DeviceReader = Box<dyn FnMut(&Now) -> Result<DeviceReading, DeviceFailure> + Send>;

/// A device that was found.
pub struct Found {
    /// Its names.
    pub identity: GpuIdentity,
    /// Its reader.
    pub reader: DeviceReader,
}

impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Found").field("identity", &self.identity).finish_non_exhaustive()
    }
}

/// What a search brought.
#[derive(Debug, Default)]
pub struct Search {
    /// Devices that answer.
    pub found: Vec<Found>,
    /// Devices that are there but don't answer: their place and what is wrong.
    pub failed: Vec<(Arc<str>, Arc<str>)>,
}

/// A family of devices behind one driver.
pub trait GpuBackend: Send {
    /// The reader's name: `nvml`, `drm` or `simulated`.
    fn name(&self) -> &'static str;

    /// A cheap look whether a driver is there at all, made before each search and between the retries: none if
    /// a search is worth its cost.
    fn absent(&self) -> Option<BackendFailure>;

    /// Finds all devices, initialising the driver's library first if that isn't done. May block or hang.
    ///
    /// # Errors
    /// The library can't be loaded or initialised.
    fn find(&mut self) -> Result<Search, BackendFailure>;

    /// Forgets the library and all handles, so that the next search begins anew. Readers that are about keep
    /// theirs until they are dropped.
    fn forget(&mut self);
}

/// Energy that a device used up to its last reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpuDelta {
    /// How much.
    pub energy: Microjoules,
    /// The time that it was drawn in.
    pub elapsed: Duration,
    /// How good the figure is.
    pub quality: Quality,
    /// [`Domain::Gpu`] or [`Domain::Module`].
    pub domain: Domain,
    /// Whether the device was away in this time for longer than [`crate::meters::GRACE`]: what is known of its
    /// clients then is only who they were before and after.
    pub after_gap: bool,
}

/// One device in one tick.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceTick {
    /// Its names, as last seen.
    pub identity: Arc<GpuIdentity>,
    /// The reader's name.
    pub backend: &'static str,
    /// Whether it answers. A device that is late stays up until it has been silent for the deadline; where it
    /// answers in every second tick only, there is no reading between.
    pub up: bool,
    /// Why it is down; empty where it is up.
    pub reason: Arc<str>,
    /// For how long its reader hasn't returned from a call; zero where it isn't stuck.
    pub stuck: Duration,
    /// Readings that failed since the device was found first: with an error, by a hang (one, however long it
    /// lasts), or as the device or its reader was lost.
    pub errors: u64,
    /// The energy to book; none where nothing new is known.
    pub delta: Option<GpuDelta>,
    /// What was read in this tick; none where it didn't answer.
    pub reading: Option<DeviceReading>,
    /// Its meter.
    pub report: MeterReport,
}

/// All that one tick brought.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GpuTick {
    /// Every device that was seen, in the order in which they were found. One that is gone leaves after ten
    /// minutes; if it comes back later it is as new, with counts from nothing.
    pub devices: Vec<DeviceTick>,
    /// Every backend that is switched on.
    pub collectors: Vec<CollectorOutcome>,
}
