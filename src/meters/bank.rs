//! The meters of one node: found, read, chosen and booked once per tick.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::meters::estimate::{CpuFacts, Estimator, Modelled};
use crate::meters::files::ReadError;
use crate::meters::hwmon::HwmonReader;
use crate::meters::power::PowerIntegrator;
use crate::meters::rapl::RaplReader;
use crate::meters::select::{Booking, Offer, Slot, Status};
use crate::meters::simulated::SimulatedMeter;
use crate::meters::source::{Gauge, Source};
use crate::meters::{
    Component, ComponentDelta, DomainDelta, MeterId, MeterSettings, MeterTick, Quality, Tick,
};
use crate::units::{Microjoules, Watts};

mod discovery;
mod report;

/// Zones appear when a driver is loaded; that may be noticed a little later.
const SCAN_EVERY: Duration = Duration::from_secs(10);
/// Devices that come back under ever new names must not fill the memory.
const MAX_SOURCES: usize = 1024;
/// The components that this room books.
const COMPONENTS: [Component; 2] = [Component::Cpu, Component::Dram];

/// Owns all readers and trackers of a node; [`MeterBank::tick`] is called once per tick.
#[derive(Debug)]
pub struct MeterBank {
    pub(super) rapl: Option<RaplReader>,
    pub(super) hwmon: Option<HwmonReader>,
    pub(super) rapl_error: Option<ReadError>,
    pub(super) hwmon_error: Option<ReadError>,
    pub(super) estimator: Option<Estimator>,
    simulated: Option<(Vec<SimulatedMeter>, Option<u32>)>,
    pub(super) sources: BTreeMap<MeterId, Source>,
    /// Candidates of all slots: by component and slot, best first.
    candidates: Vec<(Component, Arc<str>, MeterId)>,
    slots: BTreeMap<(Component, Arc<str>), Slot>,
    node: Option<MeterId>,
    scanned: Option<Duration>,
    scan_wanted: bool,
    last: Option<Tick>,
    reasons: BTreeMap<String, Arc<str>>,
}

impl MeterBank {
    /// Sets up the readers that are switched on. The simulated node excludes all others.
    pub fn new(settings: &MeterSettings) -> Self {
        let real = !settings.simulate;
        let (procfs, sysfs) = (&settings.procfs, &settings.sysfs);
        let mut bank = Self {
            rapl: (real && settings.rapl).then(|| RaplReader::new(sysfs)),
            hwmon: (real && settings.hwmon).then(|| HwmonReader::new(sysfs)),
            rapl_error: None,
            hwmon_error: None,
            estimator: (real && settings.estimate).then(|| Estimator::new(procfs, sysfs, settings.model)),
            simulated: settings
                .simulate
                .then(|| (SimulatedMeter::node(), CpuFacts::read(procfs, sysfs).online)),
            sources: BTreeMap::new(),
            candidates: Vec::new(),
            slots: BTreeMap::new(),
            node: None,
            scanned: None,
            scan_wanted: true,
            last: None,
            reasons: BTreeMap::new(),
        };
        for meter in bank.simulated.iter().flat_map(|(meters, _)| meters) {
            let gauge = Gauge::Power(PowerIntegrator::default());
            let (id, slot) = (meter.id(), Arc::clone(&meter.slot));
            let source = Source::new(id.clone(), Quality::Simulated, 0, slot, "".into(), gauge);
            bank.sources.insert(id, source);
        }
        bank
    }

    /// Reads everything and says what to book. `busy_cpu` is the CPU time that all processors together spent
    /// working since the last tick, if it is known: the models need it.
    pub fn tick(&mut self, now: Tick, busy_cpu: Option<Duration>) -> MeterTick {
        let due = self.scanned.is_none_or(|at| now.boottime.saturating_sub(at) >= SCAN_EVERY);
        if due || self.scan_wanted {
            self.scan();
            self.scanned = Some(now.boottime);
            self.assign(now);
        }
        self.read(now, busy_cpu);
        let models = self.estimator.as_mut().map_or([None, None], |model| model.tick(now, busy_cpu));
        let mut tick = MeterTick::default();
        for (component, model) in COMPONENTS.into_iter().zip(models) {
            if self.slots.keys().any(|(of, _)| *of == component) {
                let domains = self.book(component, model, now);
                tick.components.push(ComponentDelta { component, domains });
            }
        }
        tick.node = self.node.as_ref().and_then(|id| node_delta(self.sources.get(id)?, now));
        tick.collectors = self.collectors();
        tick.reports = self.reports();
        self.last = Some(now);
        tick
    }

    fn read(&mut self, now: Tick, busy: Option<Duration>) {
        if let Some((meters, online)) = &self.simulated {
            let elapsed = self.last.map(|last| now.monotonic.saturating_sub(last.monotonic));
            let capacity = elapsed.unwrap_or_default().as_secs_f64() * f64::from(online.unwrap_or(1));
            let busy = busy.unwrap_or_default().as_secs_f64();
            let utilisation = if capacity > 0.0 { busy / capacity } else { 0.0 };
            for meter in meters {
                if let Some(source) = self.sources.get_mut(&meter.id()) {
                    source.take_power(meter.power(now.monotonic.as_secs_f64(), utilisation), now);
                }
            }
            return;
        }
        for source in self.sources.values_mut() {
            self.scan_wanted |= source.read(now);
        }
    }

    fn book(&mut self, component: Component, model: Option<Modelled>, now: Tick) -> Vec<DomainDelta> {
        let of_component = |key: &(Component, Arc<str>)| key.0 == component;
        let count =
            u64::try_from(self.slots.keys().filter(|key| of_component(key)).count()).unwrap_or(1).max(1);
        let slots = self.slots.iter_mut().filter(|(key, _)| of_component(key));
        let mut domains: Vec<DomainDelta> = Vec::new();
        for (index, ((_, name), slot)) in (0..).zip(slots) {
            let offers: Vec<Offer> = self
                .candidates
                .iter()
                .filter(|(of, slot, _)| *of == component && slot == name)
                .map(|(_, _, id)| Offer {
                    id: id.clone(),
                    status: self.sources.get(id).map_or(Status::Silent, Source::status),
                })
                .collect();
            let share = model.map(|model| share(&model, index, count));
            for booking in slot.tick(&offers, share.as_ref(), now.boottime) {
                let quality = booking
                    .meter
                    .as_ref()
                    .map_or(Some(Quality::Modelled), |id| self.sources.get(id).map(|source| source.quality));
                let delta = DomainDelta {
                    id: booking.meter.unwrap_or_else(|| Estimator::id(component)),
                    energy: booking.energy,
                    elapsed: booking.elapsed,
                    quality: quality.unwrap_or(Quality::Modelled),
                    modelled_idle: booking.idle,
                    is_late: booking.is_late,
                };
                add(&mut domains, delta);
            }
        }
        domains
    }
}

/// One of `count` equal parts of the model; all parts together are the whole to the microjoule.
fn share(model: &Modelled, index: u64, count: u64) -> Booking {
    let upto = |parts: u64| {
        let part = u128::from(model.energy.get()) * u128::from(parts) / u128::from(count);
        u64::try_from(part).unwrap_or(u64::MAX)
    };
    let energy = Microjoules::new(upto(index + 1).saturating_sub(upto(index)));
    #[allow(clippy::cast_precision_loss, reason = "slots are few")]
    let idle = Watts(model.idle.0 / count as f64);
    Booking { meter: None, energy, elapsed: model.elapsed, idle: Some(idle), is_late: false }
}

fn add(domains: &mut Vec<DomainDelta>, delta: DomainDelta) {
    let is_same = |known: &&mut DomainDelta| {
        known.id == delta.id && known.elapsed == delta.elapsed && known.is_late == delta.is_late
    };
    let same = domains.iter_mut().find(is_same);
    match same {
        Some(known) => {
            known.energy += delta.energy;
            known.modelled_idle = match (known.modelled_idle, delta.modelled_idle) {
                (Some(one), Some(other)) => Some(one + other),
                (one, other) => one.or(other),
            };
        }
        None => domains.push(delta),
    }
}

fn node_delta(source: &Source, now: Tick) -> Option<DomainDelta> {
    let Status::Moved { energy, since } = source.status() else {
        return None;
    };
    Some(DomainDelta {
        id: source.id.clone(),
        energy,
        elapsed: now.boottime.saturating_sub(since),
        quality: source.quality,
        modelled_idle: None,
        is_late: false,
    })
}

#[cfg(test)]
mod tests;
