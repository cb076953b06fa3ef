//! Models CPU and memory power where no meter can be read, and keeps the numbers that it used.
//!
//! CPU: idle + (max - idle) x utilisation. Memory: a constant for what is installed, so that all of it is
//! baseline. Both are crude (a factor of two is no surprise), which is why their quality is `modelled`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::meters::files;
use crate::meters::{Component, Domain, MeterId, Tick};
use crate::units::{Bytes, Microjoules, Watts, floor_to_u64};

/// CodeCarbon's constant for CPUs of unknown model, per hardware thread.
const UNKNOWN_WATTS_PER_THREAD: f64 = 4.0;
/// Idle over maximum power: Cloud Carbon Footprint's averages of SPECpower results, 0.74 W and 3.5 W per vCPU
/// (methodology, appendix I, AWS), rounded.
const IDLE_RATIO: f64 = 0.2;
/// Green Algorithms' memory power per GB (Lannelongue et al. 2021, doi:10.1002/advs.202100707); its GB are taken
/// as 10^9 bytes.
const DRAM_WATTS_PER_GB: f64 = 0.3725;
/// CPUs and memory are plugged so seldom that this is soon enough.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// A CPU model's nominal figures, from a table.
#[derive(Clone, Debug, PartialEq)]
pub struct TabulatedCpu {
    /// The table's name for it.
    pub name: String,
    /// Thermal design power of one socket.
    pub tdp: Watts,
    /// Hardware threads of one socket.
    pub threads: Option<u32>,
}

/// Finds a CPU model by the name that the kernel gives it.
pub type CpuLookup = fn(&str) -> Option<TabulatedCpu>;

/// Numbers of the model that an operator may know better.
#[derive(Clone, Copy, Debug)]
pub struct ModelSettings {
    /// Power of all CPUs of the node at full load.
    pub cpu_max: Option<Watts>,
    /// Power of all CPUs of the node at no load.
    pub cpu_idle: Option<Watts>,
    /// Memory power per 10^9 bytes installed.
    pub dram_per_gb: Option<Watts>,
    /// The table of CPU models.
    pub lookup: CpuLookup,
}

impl Default for ModelSettings {
    fn default() -> Self {
        Self { cpu_max: None, cpu_idle: None, dram_per_gb: None, lookup: |_| None }
    }
}

/// What the kernel tells of the machine. Absent is what can't be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuFacts {
    /// `model name` of the first processor; arm64 has none.
    pub model: Option<String>,
    /// Distinct `physical id`s, 1 where the kernel lists none.
    pub sockets: u32,
    /// Hardware threads that are online.
    pub online: Option<u32>,
    /// Whether a hypervisor says that it is there.
    pub virtual_machine: bool,
    /// Installed memory as the kernel counts it (`MemTotal`).
    pub memory: Option<Bytes>,
}

impl CpuFacts {
    /// Reads the facts from procfs and sysfs; what is missing there is missing here.
    pub fn read(procfs: &Path, sysfs: &Path) -> Self {
        let cpuinfo = files::read_listing(&procfs.join("cpuinfo")).unwrap_or_default();
        let mut facts = parse_cpuinfo(&cpuinfo);
        facts.refresh(procfs, sysfs);
        facts
    }

    /// Reads again what may change while the machine runs; true if processors came or went.
    fn refresh(&mut self, procfs: &Path, sysfs: &Path) -> bool {
        let before = self.online;
        let list = files::read_listing(&sysfs.join("devices/system/cpu/online")).ok();
        self.online = list.as_deref().and_then(parse_cpu_list).or(self.online);
        let meminfo = files::read_listing(&procfs.join("meminfo")).ok();
        self.memory = meminfo.as_deref().and_then(parse_memory).or(self.memory);
        self.online != before
    }
}

fn parse_cpuinfo(text: &str) -> CpuFacts {
    let mut facts = CpuFacts::default();
    let mut sockets = std::collections::BTreeSet::new();
    let mut processors = 0u32;
    for line in text.lines() {
        let Some((key, value)) = line.split_once(':') else {
            continue;
        };
        let value = value.trim();
        match key.trim() {
            "processor" => processors = processors.saturating_add(1),
            "model name" if facts.model.is_none() && !value.is_empty() => {
                facts.model = Some(value.to_owned());
            }
            "physical id" => {
                sockets.insert(value.to_owned());
            }
            "flags" if !facts.virtual_machine => {
                facts.virtual_machine = value.split_ascii_whitespace().any(|flag| flag == "hypervisor");
            }
            _ => {}
        }
    }
    facts.sockets = u32::try_from(sockets.len()).unwrap_or(u32::MAX).max(1);
    facts.online = (processors > 0).then_some(processors);
    facts
}

/// `0-3,8,10-11` names 7 processors.
fn parse_cpu_list(text: &str) -> Option<u32> {
    let mut count = 0u32;
    for part in text.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.parse::<u32>().ok()?, last.parse::<u32>().ok()?);
        count = count.checked_add(last.checked_sub(first)?.checked_add(1)?)?;
    }
    Some(count)
}

/// meminfo says kB and means 1,024 bytes.
fn parse_memory(text: &str) -> Option<Bytes> {
    let rest = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = rest.split_ascii_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024).filter(|bytes| *bytes > 0).map(Bytes)
}

/// The numbers that the model uses, each with where it is from.
#[derive(Clone, Debug, PartialEq)]
pub struct EstimateBasis {
    /// What the kernel told.
    pub facts: CpuFacts,
    /// Power of all CPUs at full load; absent without a count of CPUs.
    pub cpu_max: Option<Watts>,
    /// How it was found.
    pub cpu_max_from: String,
    /// Power of all CPUs at no load.
    pub cpu_idle: Option<Watts>,
    /// How it was found.
    pub cpu_idle_from: String,
    /// Power of the memory; absent if its size is unknown.
    pub dram: Option<Watts>,
    /// How it was found.
    pub dram_from: String,
}

impl EstimateBasis {
    /// Applies the settings and the table to the facts.
    pub fn new(facts: CpuFacts, settings: &ModelSettings) -> Self {
        let (cpu_max, cpu_max_from) = cpu_max(&facts, settings);
        let (cpu_idle, cpu_idle_from) = match (settings.cpu_idle, cpu_max) {
            (Some(idle), Some(max)) if idle.0 > max.0 => {
                (Some(max), format!("configured {} W, above the maximum", idle.0))
            }
            (Some(idle), Some(_)) => (Some(idle), "configured".to_owned()),
            (None, Some(max)) => (
                Some(max.scaled(IDLE_RATIO)),
                format!("{IDLE_RATIO} x maximum (Cloud Carbon Footprint: 0.74 W of 3.5 W per vCPU)"),
            ),
            (_, None) => (None, "maximum unknown".to_owned()),
        };
        let per_gb = settings.dram_per_gb.map_or(DRAM_WATTS_PER_GB, |watts| watts.0);
        let gigabytes = facts.memory.map(gigabytes);
        let source = if settings.dram_per_gb.is_some() { "configured" } else { "Green Algorithms" };
        let dram_from = match gigabytes {
            Some(size) => format!("{per_gb} W per GB ({source}) x {size:.1} GB"),
            None => "MemTotal can't be read".to_owned(),
        };
        let dram = gigabytes.map(|size| Watts(per_gb * size));
        Self { facts, cpu_max, cpu_max_from, cpu_idle, cpu_idle_from, dram, dram_from }
    }

    /// One line for each number, for a person.
    pub fn explain(&self) -> Vec<String> {
        let number = |watts: Option<Watts>| watts.map_or("unknown".to_owned(), |w| format!("{:.1} W", w.0));
        vec![
            format!("CPU maximum {}: {}", number(self.cpu_max), self.cpu_max_from),
            format!("CPU idle {}: {}", number(self.cpu_idle), self.cpu_idle_from),
            format!("memory {}: {}", number(self.dram), self.dram_from),
        ]
    }
}

fn cpu_max(facts: &CpuFacts, settings: &ModelSettings) -> (Option<Watts>, String) {
    if let Some(max) = settings.cpu_max {
        return (Some(max), "configured".to_owned());
    }
    let model = facts.model.as_deref();
    if let Some(cpu) = model.and_then(settings.lookup) {
        let (name, tdp) = (&cpu.name, cpu.tdp);
        match (facts.virtual_machine, cpu.threads.filter(|threads| *threads > 0), facts.online) {
            (false, ..) => {
                let sockets = facts.sockets;
                return (
                    Some(tdp.scaled(f64::from(sockets))),
                    format!("TDP {} W of {name} x {sockets} sockets", tdp.0),
                );
            }
            (true, Some(threads), Some(online)) => {
                return (
                    Some(tdp.scaled(f64::from(online) / f64::from(threads))),
                    format!("TDP {} W of {name} x {online} of {threads} threads (virtual machine)", tdp.0),
                );
            }
            _ => {}
        }
    }
    let model = model.unwrap_or("not named by the kernel");
    match facts.online {
        Some(online) => (
            Some(Watts(UNKNOWN_WATTS_PER_THREAD * f64::from(online))),
            format!(
                "{UNKNOWN_WATTS_PER_THREAD} W per thread (CodeCarbon, for unknown CPUs) x {online} threads; \
                 CPU: {model}"
            ),
        ),
        None => (None, "the number of CPUs can't be read".to_owned()),
    }
}

#[allow(clippy::cast_precision_loss, reason = "a memory size needs no more than 53 bits")]
fn gigabytes(memory: Bytes) -> f64 {
    memory.0 as f64 / 1e9
}

/// What the model says of one tick and one component.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Modelled {
    /// Energy of the whole component.
    pub energy: Microjoules,
    /// Time without suspend.
    pub elapsed: Duration,
    /// The part of the power that no load causes.
    pub idle: Watts,
}

/// Models the node's CPU and memory power, tick by tick.
#[derive(Debug)]
pub struct Estimator {
    procfs: PathBuf,
    sysfs: PathBuf,
    settings: ModelSettings,
    basis: EstimateBasis,
    looked: Option<Duration>,
    last: Option<Duration>,
    cpu: Accumulated,
    dram: Accumulated,
}

/// A model's own total, with the fraction of a microjoule that is still owed.
#[derive(Debug, Default)]
struct Accumulated {
    owed_uj: f64,
    total: Option<Microjoules>,
}

impl Accumulated {
    #[allow(clippy::cast_precision_loss, reason = "one tick's energy is far below 2^53 microjoules")]
    fn add(&mut self, power: Watts, elapsed: Duration) -> Microjoules {
        let exact = power.0 * elapsed.as_secs_f64() * 1e6 + self.owed_uj;
        let whole = floor_to_u64(exact);
        self.owed_uj = (exact - whole as f64).clamp(0.0, 1.0);
        let energy = Microjoules::new(whole);
        *self.total.get_or_insert(Microjoules::ZERO) += energy;
        energy
    }
}

impl Estimator {
    /// Reads the facts and settles the numbers.
    pub fn new(procfs: &Path, sysfs: &Path, settings: ModelSettings) -> Self {
        Self {
            procfs: procfs.to_path_buf(),
            sysfs: sysfs.to_path_buf(),
            settings,
            basis: EstimateBasis::new(CpuFacts::read(procfs, sysfs), &settings),
            looked: None,
            last: None,
            cpu: Accumulated::default(),
            dram: Accumulated::default(),
        }
    }

    /// The numbers in use.
    pub fn basis(&self) -> &EstimateBasis {
        &self.basis
    }

    /// The energy of the time since the last call, CPU first, then memory. `busy` is the CPU time that all
    /// processors together spent working in it; without it nothing can be said of the CPU.
    pub fn tick(&mut self, now: Tick, busy: Option<Duration>) -> [Option<Modelled>; 2] {
        let looked = *self.looked.get_or_insert(now.monotonic);
        if now.monotonic.saturating_sub(looked) >= LOOK_AGAIN {
            self.looked = Some(now.monotonic);
            self.look_again();
        }
        let Some(last) = self.last.replace(now.monotonic) else {
            return [None, None];
        };
        let elapsed = now.monotonic.saturating_sub(last);
        if elapsed.is_zero() {
            return [None, None];
        }
        let cpu = self.cpu_power(elapsed, busy).map(|(power, idle)| Modelled {
            energy: self.cpu.add(power, elapsed),
            elapsed,
            idle,
        });
        let dram = self.basis.dram.map(|power| Modelled {
            energy: self.dram.add(power, elapsed),
            elapsed,
            idle: power,
        });
        [cpu, dram]
    }

    fn cpu_power(&self, elapsed: Duration, busy: Option<Duration>) -> Option<(Watts, Watts)> {
        let (max, idle) = (self.basis.cpu_max?, self.basis.cpu_idle?);
        let capacity = elapsed.as_secs_f64() * f64::from(self.basis.facts.online?);
        let utilisation = (busy?.as_secs_f64() / capacity).clamp(0.0, 1.0);
        Some((Watts(idle.0 + (max.0 - idle.0) * utilisation), idle))
    }

    /// cpuinfo is long and dear to make: it is read again only if processors came or went.
    fn look_again(&mut self) {
        let mut facts = self.basis.facts.clone();
        if facts.refresh(&self.procfs, &self.sysfs) {
            facts = CpuFacts::read(&self.procfs, &self.sysfs);
        }
        if facts != self.basis.facts {
            self.basis = EstimateBasis::new(facts, &self.settings);
        }
    }

    /// Whether enough is known to model this component.
    pub fn covers(&self, component: Component) -> bool {
        match component {
            Component::Cpu => self.basis.cpu_max.is_some() && self.basis.facts.online.is_some(),
            Component::Dram => self.basis.dram.is_some(),
            Component::Gpu | Component::Other => false,
        }
    }

    /// The model's own total for a component, whether it was booked or not.
    pub fn total(&self, component: Component) -> Option<Microjoules> {
        match component {
            Component::Cpu => self.cpu.total,
            Component::Dram => self.dram.total,
            Component::Gpu | Component::Other => None,
        }
    }

    /// The name under which a component is modelled.
    pub fn id(component: Component) -> MeterId {
        let domain = if component == Component::Dram { Domain::Dram } else { Domain::Package };
        MeterId { meter: "estimate", domain, device: Arc::from(component.as_str()) }
    }
}

#[cfg(test)]
mod tests;
