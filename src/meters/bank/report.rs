//! Says what each meter and reader did in a tick.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{COMPONENTS, MeterBank};
use crate::meters::estimate::Estimator;
use crate::meters::select::Slot;
use crate::meters::source::{Role, Source, Why};
use crate::meters::{CollectorOutcome, Component, MeterReport, Quality};

impl MeterBank {
    pub(super) fn reports(&mut self) -> Vec<MeterReport> {
        let (slots, node) = (&self.slots, &self.node);
        // A meter that has had one reading is about to be chosen: the model isn't needed there.
        let starting: BTreeSet<(Component, Arc<str>)> = self
            .candidates
            .iter()
            .filter(|(.., id)| self.sources.get(id).is_some_and(Source::is_new))
            .map(|(component, slot, _)| (*component, Arc::clone(slot)))
            .collect();
        let mut reports: Vec<MeterReport> = Vec::with_capacity(self.sources.len() + COMPONENTS.len());
        for source in self.sources.values_mut() {
            let chosen = match source.role {
                Role::Feeds(component) => {
                    slots.get(&(component, Arc::clone(&source.slot))).and_then(Slot::chosen)
                }
                Role::Node => node.as_ref(),
                Role::Raw(_) => None,
            };
            reports.push(source.report(chosen));
        }
        for component in COMPONENTS {
            let Some(model) = &self.estimator else { continue };
            let up = model.covers(component);
            let used = slots
                .iter()
                .any(|(key, slot)| key.0 == component && slot.chosen().is_none() && !starting.contains(key));
            let why = match (up, used) {
                (false, _) => Why::NoFacts,
                (true, true) => Why::Modelled,
                (true, false) => Why::BetterMeter,
            };
            let energy = model.total(component);
            reports.push(MeterReport {
                id: Estimator::id(component),
                quality: Quality::Modelled,
                up,
                feeds: (up && used).then_some(component),
                reason: intern(&mut self.reasons, why.to_string()),
                energy,
                wraps: 0,
                resets: 0,
            });
        }
        reports.sort_by(|a, b| a.id.cmp(&b.id));
        reports
    }

    pub(super) fn collectors(&mut self) -> Vec<CollectorOutcome> {
        let failed = |meter: &str| {
            let mut sources =
                self.sources.values().filter(|source| source.id.meter == meter && source.present);
            sources.find_map(Source::failure).map(|failure| failure.to_string())
        };
        let mut found = Vec::new();
        if self.rapl.is_some() {
            let zones = self.sources.values().any(|source| source.id.meter == "rapl" && source.present);
            let error = match &self.rapl_error {
                Some(error) => Some(format!("no powercap zones: {}", error.failure)),
                None if !zones => Some("no powercap zones".to_owned()),
                None => failed("rapl"),
            };
            found.push(("rapl", error));
        }
        if self.hwmon.is_some() {
            let error = self.hwmon_error.as_ref().map(|error| error.failure.to_string());
            found.push(("hwmon", error.or_else(|| failed("hwmon"))));
        }
        if let Some(model) = &self.estimator {
            let complete = COMPONENTS.iter().all(|component| model.covers(*component));
            found.push(("estimate", (!complete).then(|| Why::NoFacts.to_string())));
        }
        if self.simulated.is_some() {
            found.push(("simulated", None));
        }
        found
            .into_iter()
            .map(|(name, error)| CollectorOutcome {
                name,
                success: error.is_none(),
                error: error.map(|text| intern(&mut self.reasons, text)),
                detail: None,
                remedy: None,
            })
            .collect()
    }
}

/// The reasons are few: each is kept once.
fn intern(reasons: &mut BTreeMap<String, Arc<str>>, text: String) -> Arc<str> {
    if let Some(known) = reasons.get(&text) {
        return Arc::clone(known);
    }
    let shared: Arc<str> = Arc::from(text.as_str());
    reasons.insert(text, Arc::clone(&shared));
    shared
}
