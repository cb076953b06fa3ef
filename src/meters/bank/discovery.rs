//! Finds the meters of a node and puts them into slots.

use std::collections::BTreeSet;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use super::{COMPONENTS, MAX_SOURCES, MeterBank};
use crate::meters::counter::CounterTracker;
use crate::meters::files::ReadFailure;
use crate::meters::hwmon::InputKind;
use crate::meters::power::PowerIntegrator;
use crate::meters::select::Slot;
use crate::meters::source::{Gauge, Role, Source, Why};
use crate::meters::{Component, MeterId, Quality, Tick};

/// Order among measured counters of one slot; the same registers may be shown by all three.
const RANK_MSR: u8 = 0;
const RANK_MMIO: u8 = 1;
const RANK_AMD_ENERGY: u8 = 2;
const RANK_POWER: u8 = 3;

impl MeterBank {
    pub(super) fn scan(&mut self) {
        if let Some(reader) = &self.rapl {
            match reader.scan() {
                Ok(zones) => {
                    self.rapl_error = None;
                    self.forget("rapl");
                    for zone in zones {
                        let id = MeterId { meter: "rapl", domain: zone.domain, device: zone.device };
                        let rank = if zone.mmio { RANK_MMIO } else { RANK_MSR };
                        let tracker = CounterTracker::new(zone.max_power);
                        let gauge = Gauge::Counter { tracker, range: zone.range };
                        let (quality, slot) = (Quality::Measured, zone.slot);
                        let found = Source::new(id, quality, rank, slot, zone.energy_path, gauge);
                        if let Some(Gauge::Counter { tracker, range }) = self.found(found) {
                            tracker.set_stated_max(zone.max_power);
                            *range = zone.range;
                        }
                    }
                }
                Err(error) => {
                    if error.failure == ReadFailure::NotFound {
                        self.forget("rapl");
                    }
                    self.rapl_error = Some(error);
                }
            }
        }
        if let Some(reader) = &self.hwmon {
            match reader.scan() {
                Ok(inputs) => {
                    self.hwmon_error = None;
                    self.forget("hwmon");
                    for input in inputs {
                        let id = MeterId { meter: "hwmon", domain: input.domain, device: input.device };
                        let (quality, rank, gauge) = match input.kind {
                            InputKind::Energy => (
                                Quality::Measured,
                                RANK_AMD_ENERGY,
                                Gauge::Counter { tracker: CounterTracker::default(), range: None },
                            ),
                            InputKind::Power => {
                                (Quality::Integrated, RANK_POWER, Gauge::Power(PowerIntegrator::default()))
                            }
                        };
                        self.found(Source::new(id, quality, rank, input.slot, input.path, gauge));
                    }
                }
                Err(error) if error.failure == ReadFailure::NotFound => {
                    self.hwmon_error = None;
                    self.forget("hwmon");
                }
                Err(error) => self.hwmon_error = Some(error),
            }
        }
    }

    fn forget(&mut self, meter: &str) {
        for source in self.sources.values_mut().filter(|source| source.id.meter == meter) {
            source.present = false;
        }
    }

    /// Takes a source in, or refreshes it if it is known: then its gauge is handed out.
    fn found(&mut self, source: Source) -> Option<&mut Gauge> {
        let full = self.sources.len() >= MAX_SOURCES;
        match self.sources.entry(source.id.clone()) {
            Entry::Occupied(known) => {
                let known = known.into_mut();
                known.present = true;
                known.slot = source.slot;
                known.path = source.path;
                Some(&mut known.gauge)
            }
            Entry::Vacant(place) => {
                if !full {
                    place.insert(source);
                }
                None
            }
        }
    }

    /// Puts the sources into slots after a scan.
    pub(super) fn assign(&mut self, now: Tick) {
        self.scan_wanted = false;
        // Where the dies of a socket are metered, a meter of the whole socket counts them again.
        let split: BTreeSet<(Component, String)> = self
            .sources
            .values()
            .filter_map(|source| match Role::of(source.id.domain) {
                Role::Feeds(component) => {
                    let (socket, _) = source.slot.split_once("-die-")?;
                    Some((component, socket.to_owned()))
                }
                _ => None,
            })
            .collect();
        let mut candidates = Vec::new();
        for source in self.sources.values_mut() {
            source.role = Role::of(source.id.domain);
            if let Role::Feeds(component) = source.role {
                if split.contains(&(component, source.slot.to_string())) {
                    source.role = Role::Raw(Why::DiesInstead);
                    continue;
                }
                let order =
                    (component, Arc::clone(&source.slot), source.quality, source.rank, source.id.clone());
                candidates.push(order);
            }
        }
        candidates.sort_unstable();
        self.candidates =
            candidates.into_iter().map(|(component, slot, .., id)| (component, slot, id)).collect();
        for component in COMPONENTS {
            self.assign_slots(component, now);
        }
        let mut nodes = self.sources.values().filter(|source| source.role == Role::Node);
        let first = nodes.clone().next().map(|source| source.id.clone());
        self.node = nodes.find(|source| source.present).map(|source| source.id.clone()).or(first);
    }

    fn assign_slots(&mut self, component: Component, now: Tick) {
        let whole: Arc<str> = Arc::from("");
        let mut wanted: BTreeSet<Arc<str>> = self
            .candidates
            .iter()
            .filter(|(of, ..)| *of == component)
            .map(|(_, slot, _)| Arc::clone(slot))
            .collect();
        if wanted.is_empty() && self.estimator.as_ref().is_some_and(|model| model.covers(component)) {
            // The model stands in for the whole component until a first slot is seen.
            wanted.insert(Arc::clone(&whole));
        }
        let modelled_until = self.slots.get(&(component, whole)).map(Slot::booked_until);
        self.slots.retain(|(of, slot), _| *of != component || wanted.contains(slot));
        for slot in wanted {
            let until = modelled_until.unwrap_or(now.boottime);
            self.slots.entry((component, slot)).or_insert_with(|| Slot::new(until));
        }
    }
}
