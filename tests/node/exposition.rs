//! Reads the Prometheus text format.

use std::collections::{BTreeMap, BTreeSet};

/// One sample.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

/// One scrape.
#[derive(Clone, Debug)]
pub(crate) struct Exposition {
    pub(crate) samples: Vec<Sample>,
    /// Type by family.
    pub(crate) types: BTreeMap<String, String>,
}

impl Exposition {
    /// Panics where the text breaks the format: no type, no help, twice the same series.
    pub(crate) fn parse(text: &str) -> Self {
        let (mut samples, mut types, mut helps) = (Vec::new(), BTreeMap::new(), BTreeSet::new());
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect(line);
                assert!(types.insert(name.to_owned(), kind.to_owned()).is_none(), "second type: {line}");
            } else if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, _) = rest.split_once(' ').expect(line);
                assert!(helps.insert(name.to_owned()), "second help: {line}");
            } else {
                let sample = parse_sample(line).unwrap_or_else(|| panic!("not a sample: {line}"));
                assert!(types.contains_key(&sample.name), "no type before {line}");
                assert!(helps.contains(&sample.name), "no help before {line}");
                samples.push(sample);
            }
        }
        let mut seen = BTreeSet::new();
        for sample in &samples {
            assert!(seen.insert((&sample.name, &sample.labels)), "twice the same series: {sample:?}");
        }
        Self { samples, types }
    }

    /// The samples of a family that have all of these labels.
    pub(crate) fn select(&self, name: &str, labels: &[(&str, &str)]) -> Vec<&Sample> {
        let matches = |sample: &&Sample| {
            let has = |(name, value): &(&str, &str)| {
                sample.labels.get(*name).map(String::as_str).unwrap_or_default() == *value
            };
            sample.name == name && labels.iter().all(has)
        };
        self.samples.iter().filter(matches).collect()
    }

    /// The value of the only sample that fits.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let found = self.select(name, labels);
        assert_eq!(found.len(), 1, "{name} {labels:?}: {found:?}");
        found.first().map_or(f64::NAN, |sample| sample.value)
    }

    /// For each component, what the owners got is what the node used, as exactly as the text tells it.
    pub(crate) fn assert_conserved(&self) {
        let nodes = self.select("wattprint_node_energy_joules_total", &[]);
        assert!(!nodes.is_empty());
        for node in nodes {
            let component = node.labels.get("component").map(String::as_str).unwrap_or_default();
            let owners = self.select("wattprint_node_owner_energy_joules_total", &[("component", component)]);
            let sum: f64 = owners.iter().map(|sample| sample.value).sum();
            assert!((sum - node.value).abs() < 1e-6, "{component}: {sum} of {}", node.value);
        }
    }

    /// No counter that stands in both scrapes is lower in the later one. The counters of processes are left out
    /// where they name a pid that may have passed to another process in between.
    pub(crate) fn assert_never_falls(&self, later: &Self) {
        let key = |sample: &Sample| (sample.name.clone(), sample.labels.clone());
        let after: BTreeMap<_, f64> =
            later.samples.iter().map(|sample| (key(sample), sample.value)).collect();
        for sample in &self.samples {
            let is_counter = self.types.get(&sample.name).is_some_and(|kind| kind == "counter");
            if is_counter
                && !sample.name.starts_with("wattprint_process_")
                && let Some(now) = after.get(&key(sample))
            {
                assert!(*now >= sample.value, "{sample:?} fell to {now}");
            }
        }
    }
}

fn parse_sample(line: &str) -> Option<Sample> {
    let (series, value) = line.rsplit_once(' ')?;
    let value = value.parse().ok()?;
    let Some((name, rest)) = series.split_once('{') else {
        return Some(Sample { name: series.to_owned(), labels: BTreeMap::new(), value });
    };
    let mut labels = BTreeMap::new();
    let mut rest = rest.strip_suffix('}')?;
    while !rest.is_empty() {
        let (label, quoted) = rest.split_once("=\"")?;
        let (text, length) = unquote(quoted)?;
        labels.insert(label.to_owned(), text);
        rest = quoted.get(length..)?;
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    Some(Sample { name: name.to_owned(), labels, value })
}

/// The text up to the closing quote, and where what follows begins.
fn unquote(quoted: &str) -> Option<(String, usize)> {
    let mut text = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((text, at + 1)),
            '\\' => text.push(match characters.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => text.push(other),
        }
    }
    None
}

#[test]
fn the_format_is_read_with_escapes() {
    let text = "# HELP a b\n# TYPE a counter\na{x=\"1,}\\\"\\\\\\n\",y=\"\"} 2.5\n# HELP c d\n# TYPE c gauge\nc 1e-7\n";
    let read = Exposition::parse(text);
    assert_eq!(read.value("a", &[("x", "1,}\"\\\n"), ("y", ""), ("z", "")]), 2.5);
    assert_eq!(read.value("c", &[]), 1e-7);
}
