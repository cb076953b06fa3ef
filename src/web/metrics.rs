//! The table of metric families and its encoding in the text format of Prometheus.
//!
//! [`families()`] is the only place where a family is declared: HELP and TYPE, the samples and the reference
//! page `docs/metrics.md` all come from it. Nothing is kept between two encodings.

mod container_ids;
mod families;
mod gpus;
mod own_process;
mod samples;
mod workloads;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{MetricFamily, MetricType};

use crate::snapshot::Snapshot;

pub use container_ids::ContainerIds;
pub use families::families;
pub use own_process::OwnProcess;
pub use samples::Samples;

/// The media type of [`encode`]'s text. Prometheus 3 fails a scrape that comes without one.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a family's figures mean over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only rises while its series lives.
    Counter,
    /// Goes up and down.
    Gauge,
}

impl Kind {
    /// The word behind `# TYPE`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

/// What samples are made of: the node, and the daemon itself.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The node at the end of a tick.
    pub snapshot: &'a Snapshot,
    /// The daemon's own use of resources; absent where /proc/self can't be read.
    pub own: Option<&'a OwnProcess>,
    /// How its containers are told apart.
    pub ids: &'a ContainerIds<'a>,
}

/// One metric family: its declaration and where its samples come from.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// The full name.
    pub name: &'static str,
    /// One sentence for `# HELP`.
    pub help: &'static str,
    /// The type.
    pub kind: Kind,
    /// The names of the labels, in the order in which `samples` gives their values.
    pub labels: &'static [&'static str],
    /// Hands over every sample that the source has for this family.
    pub samples: fn(Source<'_>, &mut Samples),
}

/// One family over one source, as a collector of the `prometheus` crate.
#[derive(Debug)]
pub struct FamilyCollector<'a> {
    family: &'static Family,
    source: Source<'a>,
    desc: Desc,
}

impl<'a> FamilyCollector<'a> {
    /// Binds a family to a source.
    ///
    /// # Errors
    /// Where the name, help or labels of the family aren't valid for Prometheus.
    pub fn new(family: &'static Family, source: Source<'a>) -> prometheus::Result<Self> {
        let labels = family.labels.iter().map(|label| (*label).to_owned()).collect();
        let desc = Desc::new(
            family.name.to_owned(),
            family.help.to_owned(),
            labels,
            std::collections::HashMap::new(),
        )?;
        Ok(Self { family, source, desc })
    }
}

impl Collector for FamilyCollector<'_> {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut samples = Samples::new(self.family);
        (self.family.samples)(self.source, &mut samples);
        let metrics = samples.into_metrics();
        if metrics.is_empty() {
            return Vec::new();
        }
        let mut family = MetricFamily::default();
        family.set_name(self.family.name.to_owned());
        family.set_help(self.family.help.to_owned());
        family.set_field_type(match self.family.kind {
            Kind::Counter => MetricType::COUNTER,
            Kind::Gauge => MetricType::GAUGE,
        });
        family.set_metric(metrics);
        vec![family]
    }
}

/// The text of all families that have samples. One family is held as objects at a time, which keeps the
/// peak of memory near the size of the text.
///
/// # Errors
/// Where the table itself is wrong; no snapshot can cause one.
pub fn encode(snapshot: &Snapshot, own: Option<&OwnProcess>) -> prometheus::Result<String> {
    let ids = ContainerIds::of(snapshot);
    let source = Source { snapshot, own, ids: &ids };
    let encoder = prometheus::TextEncoder::new();
    let mut text = String::new();
    for family in families() {
        let collected = FamilyCollector::new(family, source)?.collect();
        encoder.encode_utf8(&collected, &mut text)?;
    }
    Ok(text)
}

/// The reference page, `docs/metrics.md`.
pub fn reference_markdown() -> String {
    let mut page = String::from(REFERENCE_HEAD);
    for family in families() {
        let labels = match family.labels {
            [] => "none".to_owned(),
            labels => labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", "),
        };
        page.push_str(&format!(
            "\n### `{}`\n\n{}\n\nType: {}. Labels: {labels}.\n",
            family.name,
            family.help,
            family.kind.as_str(),
        ));
    }
    page
}

const REFERENCE_HEAD: &str = "\
# Metrics

Generated from the table of metric families in `src/web/metrics/families/`; rewrite it with
`WATTPRINT_BLESS=1 cargo test`.

- Energy is in joules of IT energy, emissions are in grams of CO2 equivalent with the facility's overhead
  (PUE) included, time is in seconds.
- Counters start at zero with the daemon (or when their workload is first seen) and only rise. A workload that ended
  keeps its last values for the retention time and then leaves.
- Power is the mean over the last tick.
- What isn't known is absent, never zero. A family without samples has no HELP and TYPE lines either.
- `container_id` is the first 12 digits of a container's id; the whole id where two containers would share them.
- A label whose value isn't known is empty, which Prometheus treats like a label that isn't there.

## Families
";

#[cfg(test)]
mod tests;
