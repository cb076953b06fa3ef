//! Reads one card: its energy, its state, and its share of the scan.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::attribute::{AttributeFailure, lost, read_number, transient};
use super::card::{Card, Driver};
use super::kfd::{has_cpu_cores, slot_of};
use super::scan::{ClientUse, DeviceUse, Sample};
use super::share::SharedScanner;
use crate::gpu::{Client, DeviceFailure, DeviceReading, GpuEnergy, Limitation, Now};
use crate::meters::files::{list_names, read_text};
use crate::meters::power::PowerIntegrator;
use crate::meters::{Domain, GRACE, Quality, Tick};
use crate::units::{Bytes, Microjoules, Watts, floor_to_u64};

/// The MI300A. It has none of the other signs of a device that shares its package with the CPU.
const MI300A: &str = "74a0";

/// The pid for work of processes that can't be seen. Nobody has it.
const NOBODY: u32 = 0;
/// Utilisation and engine time are measured apart: this percentage in sight is as good as all.
const COVERED: u128 = 80;
/// The time between two readings while only one is known, and the least that it may be.
const USUAL: Duration = Duration::from_secs(1);
const SHORTEST: Duration = Duration::from_millis(100);
/// What lets the daemon see all processes.
const RIGHTS: &str = "grant CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH: /proc/PID/fd of other users needs both";

/// Where energy comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// A counter of microjoules.
    Counter(&'static str),
    /// Microwatts.
    Power(&'static str),
}

/// Reads one card.
#[derive(Debug)]
pub(super) struct CardReader {
    card: Card,
    sysfs: PathBuf,
    scanner: Arc<SharedScanner>,
    /// When it was read last, on the monotonic clock.
    last: Option<Duration>,
    hwmon: Option<PathBuf>,
    source: Option<Source>,
    integrator: PowerIntegrator,
    /// Where the CPU is in the figure.
    domain: Domain,
    energy: Option<GpuEnergy>,
    /// The last scan: its number, when it was made, and the work in it.
    seen: Option<(u64, Tick, BTreeMap<u32, u64>)>,
}

impl CardReader {
    pub(super) fn new(card: Card, sysfs: &Path, scanner: Arc<SharedScanner>) -> Self {
        Self {
            card,
            sysfs: sysfs.to_path_buf(),
            scanner,
            last: None,
            hwmon: None,
            source: None,
            integrator: PowerIntegrator::default(),
            domain: Domain::Gpu,
            energy: None,
            seen: None,
        }
    }

    /// Reads the card.
    pub(super) fn read(&mut self, now: &Now) -> Result<DeviceReading, DeviceFailure> {
        // The number may be another card's by now.
        if std::fs::canonicalize(&self.card.link).ok().as_ref() != Some(&self.card.device) {
            return Err(lost());
        }
        let mut limitations = Vec::new();
        let is_asleep = self.is_asleep();
        let at = now.get();
        if is_asleep {
            // Its draw isn't known, so no line is drawn across.
            self.integrator.fail();
            limitations.push(limitation("counter", "suspended, not woken", None));
        } else {
            self.energy = self.read_energy(at, &mut limitations)?;
        }
        if self.domain == Domain::Module && self.energy.is_some() {
            limitations.push(limitation("scope", "power of the whole package, CPU included", None));
        }
        let mut reading = DeviceReading { energy: self.energy, limitations, ..DeviceReading::blank(at) };
        if !is_asleep {
            self.read_state(&mut reading);
        }
        let last = self.last.replace(at.monotonic);
        let interval = last.map_or(USUAL, |last| at.monotonic.saturating_sub(last).max(SHORTEST));
        let sample = self.scanner.sample(at, interval);
        self.read_use(sample.as_deref(), &mut reading);
        Ok(reading)
    }

    /// Whether reading it would wake it up.
    fn is_asleep(&self) -> bool {
        let status = read_text(&self.card.device.join("power/runtime_status"));
        matches!(status.as_deref(), Ok("suspended" | "suspending"))
    }

    fn read_energy(
        &mut self,
        now: Tick,
        limitations: &mut Vec<Limitation>,
    ) -> Result<Option<GpuEnergy>, DeviceFailure> {
        if self.hwmon.is_none() {
            self.find_hwmon();
        }
        let Some(hwmon) = self.hwmon.clone() else {
            limitations.push(self.no_counter());
            return Ok(None);
        };
        let sources: &[Source] = match (&self.source, self.card.driver) {
            // Two counters of one card have nothing to do with each other: it stays with the first that answered.
            (Some(source), _) => &[*source],
            (None, Driver::Amdgpu) => &[Source::Power("power1_average"), Source::Power("power1_input")],
            (None, Driver::I915) => &[Source::Counter("energy1_input")],
            // The card, or the package on it.
            (None, Driver::Xe) => &[Source::Counter("energy1_input"), Source::Counter("energy2_input")],
        };
        for &source in sources {
            let (Source::Counter(file) | Source::Power(file)) = source;
            match read_number(&hwmon.join(file)) {
                Ok(value) => {
                    self.source = Some(source);
                    return self.count(source, value, now).map(Some);
                }
                Err(AttributeFailure::Absent | AttributeFailure::Unsupported) => {}
                Err(AttributeFailure::Denied) => {
                    self.integrator.fail();
                    let remedy =
                        Some("grant CAP_DAC_READ_SEARCH by the command that stands under Permissions");
                    limitations.push(limitation("counter", "permission denied", remedy));
                    return Ok(None);
                }
                Err(AttributeFailure::Gone) => return Err(lost()),
                Err(failure) => {
                    self.integrator.fail();
                    let is_garbage = failure == AttributeFailure::Garbage;
                    return Err(transient(if is_garbage { "garbage: not a number" } else { "read error" }));
                }
            }
        }
        // A driver that was loaded again has a chip of another number.
        (self.hwmon, self.source) = (None, None);
        self.integrator.fail();
        limitations.push(self.no_counter());
        Ok(None)
    }

    fn count(&mut self, source: Source, value: u64, now: Tick) -> Result<GpuEnergy, DeviceFailure> {
        let (total, quality) = match source {
            Source::Counter(_) => (Microjoules::new(value), Quality::Measured),
            Source::Power(_) => {
                let watts = microwatts(value);
                self.integrator.observe(watts, now).map_err(|_| transient("garbage: no believable value"))?;
                // A total of no known origin, so it may begin at zero.
                (self.integrator.total().unwrap_or(Microjoules::ZERO), Quality::Integrated)
            }
        };
        // The driver extends the 32-bit register behind a counter, so its range is that of the file.
        Ok(GpuEnergy { total, range: None, quality, domain: self.domain })
    }

    /// The device's chip: i915 has further ones for parts of it (`i915_gt0`).
    fn find_hwmon(&mut self) {
        let directory = self.card.device.join("hwmon");
        let chips = list_names(&directory).unwrap_or_default();
        self.hwmon = chips
            .iter()
            .map(|chip| directory.join(chip))
            .find(|chip| read_text(&chip.join("name")).as_deref() == Ok(self.card.driver.as_str()));
        let Some(hwmon) = self.hwmon.as_ref().filter(|_| self.card.driver == Driver::Amdgpu) else {
            return;
        };
        // amdgpu shows the voltage of the north bridge for devices that share their package with the CPU, and only
        // for those; their power is the package's.
        let has_north_bridge = read_text(&hwmon.join("in1_label")).as_deref() == Ok("vddnb");
        let is_package = has_north_bridge
            || self.card.device_id == MI300A
            || has_cpu_cores(&self.sysfs, slot_of(&self.card.identity.pci_bus_id));
        self.domain = if is_package { Domain::Module } else { Domain::Gpu };
    }

    fn no_counter(&self) -> Limitation {
        let remedy = match self.card.driver {
            Driver::Amdgpu => None,
            Driver::I915 => {
                Some("discrete cards have a counter from Linux 6.2 on; others are in the CPU package's")
            }
            Driver::Xe => {
                Some("discrete cards have a counter from Linux 6.8 on; others are in the CPU package's")
            }
        };
        limitation("counter", "no energy or power input", remedy)
    }

    /// What is good to know, but nothing hangs on it.
    fn read_state(&self, reading: &mut DeviceReading) {
        let device = &self.card.device;
        if self.card.driver == Driver::Amdgpu {
            let percent = read_number(&device.join("gpu_busy_percent")).ok();
            reading.utilization = percent
                .and_then(|percent| u32::try_from(percent.min(100)).ok())
                .map(|percent| f64::from(percent) / 100.0);
            reading.memory_used = read_number(&device.join("mem_info_vram_used")).ok().map(Bytes);
        }
        let limits: &[&str] = match self.card.driver {
            Driver::Amdgpu => &["power1_cap"],
            Driver::I915 => &["power1_max"],
            Driver::Xe => &["power1_max", "power2_max"],
        };
        let limit = |file: &&str| read_number(&self.hwmon.as_ref()?.join(file)).ok();
        // Zero means that the limit is off.
        reading.power_limit = limits.iter().find_map(limit).filter(|limit| *limit > 0).map(microwatts);
    }

    /// Clients and work.
    fn read_use(&mut self, sample: Option<&Sample>, reading: &mut DeviceReading) {
        let is_late = |sample: &Sample| reading.at.monotonic.saturating_sub(sample.at.monotonic) > GRACE;
        let Some(sample) = sample.filter(|sample| !is_late(sample)) else {
            reading.limitations.push(limitation("clients", "reading fdinfo hangs", None));
            return;
        };
        if sample.is_blind {
            let remedy = Some("mount procfs where --path.procfs says");
            reading.limitations.push(limitation("clients", "procfs can't be listed", remedy));
            return;
        }
        if sample.is_capped {
            reading.limitations.push(limitation("clients", "too many DRM files to read", None));
        }
        let none = DeviceUse::default();
        let used = sample.devices.get(&self.card.identity.pci_bus_id).unwrap_or(&none);
        let (clients, is_hidden) = self.clients(sample, used);
        let blind_spot = sample.is_partial.then(|| BlindSpot::of(&clients, is_hidden, reading.utilization));
        if let Some(blind_spot) = blind_spot {
            reading.limitations.push(limitation("clients", blind_spot.reason(), Some(RIGHTS)));
            if blind_spot == BlindSpot::Everything {
                self.seen = None;
                return;
            }
        }
        reading.clients = Some(clients);
        let before = self.seen.replace((sample.number, sample.at, used.work.clone()));
        if is_hidden {
            let reason = "compute queues of ROCm show no engine time";
            reading.limitations.push(limitation("sm_util", reason, None));
            return;
        }
        let Some((_, then, before)) = before.filter(|(number, ..)| *number < sample.number) else {
            return;
        };
        let since = |pid: &u32| before.get(pid).copied().unwrap_or(0);
        let done = used.work.iter().map(|(pid, work)| (*pid, work.saturating_sub(since(pid))));
        let mut work: Vec<(u32, u64)> = done.filter(|(_, work)| *work > 0).collect();
        if blind_spot == Some(BlindSpot::Rest)
            && let Some(utilization) = reading.utilization
        {
            let elapsed = sample.at.monotonic.saturating_sub(then.monotonic);
            work.extend(missing_work(&work, utilization, elapsed).map(|missing| (NOBODY, missing)));
        }
        reading.work = Some(work);
    }

    /// Who holds contexts, and whether some work where it can't be seen.
    fn clients(&self, sample: &Sample, used: &DeviceUse) -> (Vec<Client>, bool) {
        let mut held: BTreeMap<u32, ClientUse> = used.clients.clone();
        let mut is_hidden = false;
        let slot = slot_of(&self.card.identity.pci_bus_id);
        for (&pid, hold) in sample.kfd.get(slot).into_iter().flatten() {
            let client = held.entry(pid).or_default();
            is_hidden |= hold.has_queue != Some(false) && !client.has_computed;
            // Compute memory stands in fdinfo, too, where the process shares its address space with a DRM file.
            client.memory = client.memory.max(hold.memory);
        }
        let client =
            |(pid, held): (u32, ClientUse)| Client { pid, memory: held.memory.map(Bytes), instance: None };
        (held.into_iter().map(client).collect(), is_hidden)
    }
}

/// What a scan that may not look at all processes leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BlindSpot {
    /// With nobody in sight nothing is known.
    Everything,
    /// The device says how much it works, so what nobody in sight did is somebody else's.
    Rest,
    /// How much others work isn't known.
    Others,
}

impl BlindSpot {
    fn of(clients: &[Client], is_work_hidden: bool, utilization: Option<f64>) -> Self {
        match utilization {
            _ if clients.is_empty() => Self::Everything,
            Some(_) if !is_work_hidden => Self::Rest,
            _ => Self::Others,
        }
    }

    const fn reason(self) -> &'static str {
        match self {
            Self::Everything => "no right to see all processes: nobody is known",
            Self::Rest => "no right to see all processes: work of others is nobody's",
            Self::Others => "no right to see all processes: those in sight get the energy of others, too",
        }
    }
}

/// What the device did beyond the work in sight, in nanoseconds; none where that is most of what it did.
fn missing_work(seen: &[(u32, u64)], utilization: f64, elapsed: Duration) -> Option<u64> {
    let busy = floor_to_u64(elapsed.as_secs_f64() * utilization * 1e9);
    let seen = seen.iter().fold(0_u64, |sum, (_, work)| sum.saturating_add(*work));
    let is_covered = u128::from(seen) * 100 >= u128::from(busy) * COVERED;
    (!is_covered).then(|| busy.saturating_sub(seen))
}

fn limitation(what: &'static str, reason: &str, remedy: Option<&'static str>) -> Limitation {
    Limitation { what, reason: Arc::from(reason), remedy }
}

#[allow(clippy::cast_precision_loss)]
fn microwatts(value: u64) -> Watts {
    Watts(value as f64 / 1e6)
}

#[cfg(test)]
mod tests;
