//! Two made-up devices, for demos: every figure of them is labelled `simulated`.
//!
//! The tests have a made-up NVIDIA library, which exercises the real backend. A demo is another matter: it runs from the
//! released binary alone, on a machine without any accelerator and without a further shared library, and it shows owners,
//! so its clients are processes that really run.

use std::cmp::Reverse;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::gpu::{
    BackendFailure, Client, DeviceFailure, DeviceReading, Found, GpuBackend, GpuEnergy, GpuIdentity,
    GpuSettings, Now, Search, Vendor,
};
use crate::meters::{Domain, Quality};
use crate::units::{Bytes, Microjoules, Watts};
use crate::workloads::owner::{OwnerKind, classify};

/// Idle power in milliwatts.
const IDLE_MW: u64 = 70_000;
/// The power limit in milliwatts, at which a device is fully used.
const LIMIT_MW: u64 = 700_000;
/// Power over one period: seconds from its start, and milliwatts, in straight lines.
const CURVE: [(u64, u64); 8] = [
    (0, IDLE_MW),
    (15, IDLE_MW),
    (20, 620_000),
    (60, 650_000),
    (65, 340_000),
    (90, 360_000),
    (95, IDLE_MW),
    (120, IDLE_MW),
];
const MICROS: u64 = 1_000_000;
const PERIOD: u64 = 120 * MICROS;
/// How long a choice of clients holds.
const CHOICE: u64 = 30;
const GIB: u64 = 1 << 30;
/// What a driver keeps for itself.
const RESERVED: u64 = 600 << 20;

/// A part that a process plays on a device.
#[derive(Clone, Copy, Debug)]
struct Part {
    /// Its place among the chosen processes, the largest first.
    place: usize,
    /// Its share of the work in percent. The parts needn't add up to a hundred.
    percent: u64,
    memory: u64,
}

/// One device's script.
#[derive(Clone, Copy, Debug)]
struct Script {
    /// How far it is ahead in its period.
    ahead: u64,
    /// Who uses it. One without work only holds its memory.
    parts: &'static [Part],
}

const SCRIPTS: [Script; 2] = [
    Script {
        ahead: 0,
        parts: &[
            Part { place: 0, percent: 60, memory: 24 * GIB },
            Part { place: 1, percent: 30, memory: 8 * GIB },
            Part { place: 2, percent: 0, memory: 2 * GIB },
        ],
    },
    Script { ahead: 50 * MICROS, parts: &[Part { place: 3, percent: 95, memory: 40 * GIB }] },
];
/// How many processes the scripts need.
const PLACES: usize = 4;

/// The backend of made-up devices.
#[derive(Debug)]
pub struct SimulatedBackend {
    cast: Arc<Cast>,
}

impl SimulatedBackend {
    /// A backend whose clients are processes of the settings' procfs.
    pub fn new(settings: &GpuSettings) -> Self {
        let cast =
            Cast { procfs: settings.procfs.clone(), own: std::process::id(), choice: Mutex::default() };
        Self { cast: Arc::new(cast) }
    }
}

impl GpuBackend for SimulatedBackend {
    fn name(&self) -> &'static str {
        "simulated"
    }

    fn absent(&self) -> Option<BackendFailure> {
        None
    }

    fn find(&mut self) -> Result<Search, BackendFailure> {
        let found = SCRIPTS
            .iter()
            .enumerate()
            .map(|(index, &script)| {
                let identity = GpuIdentity {
                    uuid: Arc::from(format!("SIM-GPU-{index}")),
                    gpu: Arc::from(index.to_string()),
                    model: Arc::from("Simulated GPU 700 W"),
                    vendor: Vendor::Simulated,
                    pci_bus_id: Arc::from(format!("0000:{index:02x}:00.0")),
                    driver: Arc::from("simulated"),
                };
                let mut device = Device { script, cast: Arc::clone(&self.cast), last: None };
                Found { identity, reader: Box::new(move |now| device.read(now)) }
            })
            .collect();
        Ok(Search { found, failed: Vec::new() })
    }

    fn forget(&mut self) {}
}

#[derive(Debug)]
struct Device {
    script: Script,
    cast: Arc<Cast>,
    /// Energy and time of the last reading in microjoules and microseconds.
    last: Option<(u64, u64)>,
}

impl Device {
    fn read(&mut self, now: &Now) -> Result<DeviceReading, DeviceFailure> {
        let at = now.get();
        let micros =
            u64::try_from(at.monotonic.as_micros()).unwrap_or(u64::MAX).saturating_add(self.script.ahead);
        let (power, total) = (power_mw(micros), energy_uj(micros));
        let processes = self.cast.processes(at.monotonic);
        let cast: Vec<(u32, Part)> =
            self.script.parts.iter().filter_map(|part| Some((*processes.get(part.place)?, *part))).collect();
        let work = self.last.replace((total, micros)).map(|(total_before, micros_before)| {
            let idle = IDLE_MW.saturating_mul(micros.saturating_sub(micros_before)) / 1_000;
            let active = total.saturating_sub(total_before).saturating_sub(idle);
            let done = cast.iter().map(|(pid, part)| (*pid, active.saturating_mul(part.percent) / 100));
            done.filter(|(_, work)| *work > 0).collect()
        });
        let memory: u64 = cast.iter().map(|(_, part)| part.memory).sum();
        let client = |(pid, part): &(u32, Part)| Client {
            pid: *pid,
            memory: Some(Bytes(part.memory)),
            instance: None,
        };
        Ok(DeviceReading {
            energy: Some(GpuEnergy {
                total: Microjoules::new(total),
                range: None,
                quality: Quality::Simulated,
                domain: Domain::Gpu,
            }),
            utilization: Some(ratio(power.saturating_sub(IDLE_MW), LIMIT_MW - IDLE_MW)),
            memory_used: Some(Bytes(memory + RESERVED)),
            power_limit: Some(Watts(ratio(LIMIT_MW, 1_000))),
            clients: Some(cast.iter().map(client).collect()),
            work,
            ..DeviceReading::blank(at)
        })
    }
}

#[allow(clippy::cast_precision_loss)]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

/// The lines of the curve: start and end in microseconds, and the milliwatts there.
fn lines() -> impl Iterator<Item = ((u64, u64), (u64, u64))> {
    let at = |(seconds, power): (u64, u64)| (seconds * MICROS, power);
    CURVE.into_iter().map(at).zip(CURVE.into_iter().skip(1).map(at))
}

/// The power at a time, in milliwatts.
fn power_mw(micros: u64) -> u64 {
    let time = micros % PERIOD;
    let line = lines().find(|((start, _), (end, _))| (*start..*end).contains(&time));
    line.map_or(IDLE_MW, |((start, from), (end, to))| {
        (from * (end - time) + to * (time - start)) / (end - start)
    })
}

/// The energy since time zero in microjoules: the area under the curve, without rounding but for the last step.
fn energy_uj(micros: u64) -> u64 {
    // Milliwatts times microseconds are nanojoules; both sides of a line are summed, so these are halves.
    let mut halves: u128 = 0;
    let (periods, time) = (micros / PERIOD, micros % PERIOD);
    for ((start, from), (end, to)) in lines() {
        let whole = u128::from(from + to) * u128::from(end - start);
        halves += whole * u128::from(periods);
        let length = end - start;
        let passed = time.saturating_sub(start).min(length);
        // The power at `passed`, times the length of the line.
        let reached = u128::from(from) * u128::from(length - passed) + u128::from(to) * u128::from(passed);
        halves += (u128::from(from) * u128::from(length) + reached) * u128::from(passed) / u128::from(length);
    }
    u64::try_from(halves / 2_000).unwrap_or(u64::MAX)
}

/// The processes that play clients.
#[derive(Debug)]
struct Cast {
    procfs: PathBuf,
    own: u32,
    /// The number of the choice, and who was chosen.
    choice: Mutex<Option<(u64, Vec<u32>)>>,
}

impl Cast {
    /// Up to [`PLACES`] processes that live, those in containers first, and among them the one with the most resident
    /// memory. A choice holds for
    /// [`CHOICE`] seconds; one that ended since leaves its place to the next.
    fn processes(&self, now: Duration) -> Vec<u32> {
        let number = now.as_secs() / CHOICE;
        let mut choice = self.choice.lock().unwrap_or_else(PoisonError::into_inner);
        if choice.as_ref().is_none_or(|(chosen_at, _)| *chosen_at != number) {
            *choice = Some((number, self.choose()));
        }
        let chosen = choice.as_ref().map(|(_, pids)| pids.as_slice()).unwrap_or_default();
        chosen.iter().copied().filter(|pid| self.procfs.join(pid.to_string()).exists()).collect()
    }

    fn choose(&self) -> Vec<u32> {
        let entries = fs::read_dir(&self.procfs).into_iter().flatten().flatten();
        let mut sizes: Vec<(u8, u64, u32)> = entries
            .filter_map(|entry| {
                let pid = entry.file_name().to_str()?.parse::<u32>().ok().filter(|pid| *pid != self.own)?;
                // Kernel threads have no memory of their own.
                let pages = resident_pages(&entry.path()).filter(|pages| *pages > 0)?;
                Some((interest(&entry.path()), pages, pid))
            })
            .collect();
        sizes.sort_unstable_by_key(|&(interest, pages, pid)| (Reverse((interest, pages)), pid));
        sizes.into_iter().take(PLACES).map(|(_, _, pid)| pid).collect()
    }
}

/// How much the owner of a process shows in a demo: a container, a job or a VM more than a unit, and that more than
/// the system.
fn interest(process: &Path) -> u8 {
    let cgroups = fs::read_to_string(process.join("cgroup")).unwrap_or_default();
    let paths = cgroups.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    let rank = |path: &str| match classify(path).kind() {
        OwnerKind::Container | OwnerKind::Job | OwnerKind::Vm => 2,
        OwnerKind::Unit => 1,
        OwnerKind::System => 0,
    };
    paths.map(rank).max().unwrap_or(0)
}

/// The second number of `statm`.
fn resident_pages(process: &Path) -> Option<u64> {
    fs::read_to_string(process.join("statm")).ok()?.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, proptest};

    use super::*;
    use crate::meters::Tick;

    fn settings(procfs: &Path) -> GpuSettings {
        GpuSettings {
            procfs: procfs.to_path_buf(),
            sysfs: PathBuf::new(),
            nvml: false,
            drm: false,
            simulate: true,
            library: None,
            deadline: Duration::from_secs(1),
            interval: Duration::from_secs(1),
            retry: Duration::from_secs(10),
            release: Duration::from_secs(60),
        }
    }

    fn at(seconds: u64) -> Now {
        let time = Duration::from_secs(seconds);
        Now::new(move || Tick { monotonic: time, boottime: time })
    }

    fn process(procfs: &Path, pid: u32, pages: u64) {
        let directory = procfs.join(pid.to_string());
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("statm"), format!("9999 {pages} 1 1 0 1 0\n")).unwrap();
    }

    fn pids(reading: &DeviceReading) -> Vec<u32> {
        reading.clients.as_ref().unwrap().iter().map(|client| client.pid).collect()
    }

    #[test]
    fn the_largest_processes_play_the_clients() {
        let dir = tempfile::tempdir().unwrap();
        for (pid, pages) in [(10, 500), (11, 900), (12, 100), (13, 0), (14, 700), (15, 50)] {
            process(dir.path(), pid, pages);
        }
        process(dir.path(), std::process::id(), 1 << 30);
        let mut backend = SimulatedBackend::new(&settings(dir.path()));
        assert_eq!((backend.name(), backend.absent()), ("simulated", None));
        let mut found = backend.find().unwrap().found;
        assert_eq!(found.len(), 2);
        assert_eq!(&*found[1].identity.uuid, "SIM-GPU-1");
        let first = (found[0].reader)(&at(30)).unwrap();
        assert_eq!(first.work, None, "nothing is known before the first reading");
        assert_eq!(pids(&first), [11, 14, 10]);
        let memory: u64 = first.clients.unwrap().iter().map(|client| client.memory.unwrap().0).sum();
        assert_eq!(first.memory_used, Some(Bytes(memory + RESERVED)));
        let second = (found[0].reader)(&at(40)).unwrap();
        let work = second.work.unwrap();
        assert_eq!(work.iter().map(|(pid, _)| *pid).collect::<Vec<_>>(), [11, 14], "the third is parked");
        assert_eq!(work[0].1, 2 * work[1].1);
        assert_eq!(pids(&(found[1].reader)(&at(40)).unwrap()), [12]);
        // One that ended leaves; who is larger now comes with the next choice.
        fs::remove_dir_all(dir.path().join("14")).unwrap();
        process(dir.path(), 15, 9_000);
        assert_eq!(pids(&(found[0].reader)(&at(59)).unwrap()), [11, 10, 12]);
        assert_eq!(pids(&(found[0].reader)(&at(60)).unwrap()), [15, 11, 10]);
    }

    #[test]
    fn without_processes_it_only_burns() {
        let dir = tempfile::tempdir().unwrap();
        let mut found = SimulatedBackend::new(&settings(&dir.path().join("none"))).find().unwrap().found;
        (found[0].reader)(&at(0)).unwrap();
        let reading = (found[0].reader)(&at(40)).unwrap();
        assert_eq!((pids(&reading).len(), reading.work), (0, Some(Vec::new())));
        let energy = reading.energy.unwrap();
        assert_eq!((energy.quality, energy.domain), (Quality::Simulated, Domain::Gpu));
        assert!(reading.utilization.unwrap() > 0.8);
    }

    #[test]
    fn an_idle_device_has_no_work() {
        let dir = tempfile::tempdir().unwrap();
        process(dir.path(), 10, 5);
        let mut found = SimulatedBackend::new(&settings(dir.path())).find().unwrap().found;
        (found[0].reader)(&at(1)).unwrap();
        let reading = (found[0].reader)(&at(11)).unwrap();
        assert_eq!(pids(&reading), [10]);
        assert_eq!((reading.work, reading.utilization), (Some(Vec::new()), Some(0.0)));
    }

    #[test]
    fn energy_is_the_area_under_the_curve() {
        assert_eq!(energy_uj(15 * MICROS), 15 * 70 * MICROS);
        assert_eq!(energy_uj(20 * MICROS) - energy_uj(15 * MICROS), 5 * (70 + 620) / 2 * MICROS);
        let period = energy_uj(PERIOD);
        assert_eq!(energy_uj(7 * PERIOD + 33 * MICROS), 7 * period + energy_uj(33 * MICROS));
        let (least, most) = (0..120)
            .map(|second| power_mw(second * MICROS))
            .fold((u64::MAX, 0), |(low, high), power| (low.min(power), high.max(power)));
        assert_eq!(least, IDLE_MW);
        assert!((600_000..=LIMIT_MW).contains(&most));
    }

    proptest! {
        #[test]
        fn energy_never_falls_and_agrees_with_power(start in 0..u64::MAX / (1 << 20), step in 0..10_000_000u64) {
            let (from, to) = (energy_uj(start), energy_uj(start + step));
            prop_assert!(from <= to);
            // Between the least and the most that the step can draw, in microjoules.
            prop_assert!(to - from + 1 >= IDLE_MW * step / 1_000);
            prop_assert!(to - from <= LIMIT_MW * step / 1_000 + 1);
            prop_assert!((IDLE_MW..=LIMIT_MW).contains(&power_mw(start)));
        }
    }
}
