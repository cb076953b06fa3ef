//! The sink for the samples of one family.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use prometheus::proto::{Counter, Gauge, LabelPair, Metric};

use super::{Family, Kind};

/// Takes the samples of one family. It leaves out what a scrape must not hold: a second sample with the
/// same labels (Prometheus would refuse the whole scrape) and a value that isn't a finite number.
#[derive(Debug)]
pub struct Samples {
    labels: &'static [&'static str],
    kind: Kind,
    metrics: Vec<Metric>,
    seen: HashSet<u64>,
    hasher: RandomState,
}

impl Samples {
    pub(super) fn new(family: &Family) -> Self {
        Self {
            labels: family.labels,
            kind: family.kind,
            metrics: Vec::new(),
            seen: HashSet::new(),
            hasher: RandomState::new(),
        }
    }

    /// Adds a sample whose label values are `first` and then `rest`, in the order of the family's label
    /// names. Of two with the same values the first one stays.
    pub fn push(&mut self, first: &[&str], rest: &[&str], value: f64) {
        self.push_more(first, rest, &[], value);
    }

    /// Adds a sample that has labels of its own beside those of its family. Of two that differ in those only the first one
    /// stays.
    pub fn push_more(&mut self, first: &[&str], rest: &[&str], more: &[(Box<str>, Box<str>)], value: f64) {
        debug_assert_eq!(first.len() + rest.len(), self.labels.len(), "{:?}", self.labels);
        if !value.is_finite() || !self.seen.insert(self.hasher.hash_one((first, rest))) {
            return;
        }
        let mut pairs = Vec::with_capacity(self.labels.len().saturating_add(more.len()));
        let mut label = |name: &str, value: &str| {
            let mut pair = LabelPair::default();
            pair.set_name(name.to_owned());
            pair.set_value(value.to_owned());
            pairs.push(pair);
        };
        for (name, value) in self.labels.iter().zip(first.iter().chain(rest)) {
            label(name, value);
        }
        for (name, value) in more.iter().filter(|(name, _)| !self.labels.contains(&&**name)) {
            label(name, value);
        }
        let mut metric = Metric::from_label(pairs);
        match self.kind {
            Kind::Counter => {
                let mut counter = Counter::default();
                counter.set_value(value);
                metric.set_counter(counter);
            }
            Kind::Gauge => {
                let mut gauge = Gauge::default();
                gauge.set_value(value);
                metric.set_gauge(gauge);
            }
        }
        self.metrics.push(metric);
    }

    pub(super) fn into_metrics(self) -> Vec<Metric> {
        self.metrics
    }
}
