//! The keys of the configuration: what each may be, and whether a given value is that.
//!
//! The three layers are checked one by one against this table before they are merged, so that an error can name
//! the layer.

use std::time::Duration;

use serde_json::Value;

mod sources;

use super::types::{human_duration, parse_duration};
use sources::PROVIDERS;
pub(super) use sources::{SOURCE_KEYS, source_keys, source_kind};

/// Longer values are cut in messages.
const SHOWN: usize = 60;

/// A value as a layer gives it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Given {
    /// A word of the environment or of a flag; it has the type that its key wants.
    Word(String),
    /// `true` or `false` in a file.
    Switch(bool),
    /// An integer in a file: as it is written, and its value where it fits.
    Integer(String, Option<i64>),
    /// A float in a file.
    Float(f64),
    /// A string in a file.
    Text(String),
    /// An array.
    List(Vec<Self>),
    /// A table.
    Table,
    /// A date or a time.
    Date(String),
}

impl Given {
    /// The value as a message shows it.
    pub(super) fn shown(&self) -> String {
        let text = match self {
            Self::Word(word) if word.parse().is_ok_and(f64::is_finite) => word.clone(),
            Self::Word(text) | Self::Text(text) => format!("{text:?}"),
            Self::Switch(on) => on.to_string(),
            Self::Integer(text, _) | Self::Date(text) => text.clone(),
            Self::Float(number) => number.to_string(),
            Self::List(items) => {
                format!("[{}]", items.iter().map(Self::shown).collect::<Vec<_>>().join(", "))
            }
            Self::Table => "a table".to_owned(),
        };
        if text.chars().count() > SHOWN {
            text.chars().take(SHOWN).chain("...".chars()).collect()
        } else {
            text
        }
    }

    fn text(&self) -> Option<&str> {
        match self {
            Self::Word(text) | Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// What the value of a key may be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// On or off.
    Switch,
    /// A whole number from the first to the second.
    Count(u64, u64),
    /// A number from the first to the second, with its unit.
    Number(f64, f64, &'static str),
    /// A number above zero, at most this, with its unit.
    Positive(f64, &'static str),
    /// A duration from the first to the second.
    Span(Duration, Duration),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Any text; here is an example.
    Text(&'static str),
    /// A list of texts; one text is a list of one.
    Addresses,
    /// A list of texts that may be empty; here is an example of one.
    Texts(&'static str),
    /// A list of tables with the keys of sources, or the names of sources that need no more than that.
    Sources,
}

/// Idle power, of a device, a domain or all CPUs.
pub(super) const WATTS: Kind = Kind::Number(0.0, 100_000.0, " (watts)");

/// Emissions of making something.
const KILOGRAMS: Kind = Kind::Number(0.0, 1_000_000.0, " (kg)");

/// The table whose keys are the operator's own.
pub(super) const BASELINE: &str = "baseline";

/// Every key but those of [`BASELINE`].
pub(super) const KEYS: &[(&str, Kind)] = &[
    ("web.listen_address", Kind::Addresses),
    ("web.systemd_socket", Kind::Switch),
    ("web.telemetry_path", Kind::Text("/metrics")),
    ("web.max_requests", Kind::Count(1, 10_000)),
    ("path.procfs", Kind::Text("/proc")),
    ("path.sysfs", Kind::Text("/sys")),
    ("path.rootfs", Kind::Text("/host")),
    ("sample.interval", Kind::Span(Duration::from_millis(100), Duration::from_secs(60))),
    ("collector.rapl", Kind::Switch),
    ("collector.hwmon", Kind::Switch),
    ("collector.estimate", Kind::Switch),
    ("collector.nvml", Kind::Switch),
    ("collector.drm", Kind::Switch),
    ("collector.cgroup", Kind::Switch),
    ("collector.process", Kind::Switch),
    ("collector.kubernetes", Kind::Switch),
    ("collector.podresources", Kind::Switch),
    ("collector.containers", Kind::Switch),
    ("collector.jobs", Kind::Switch),
    ("collector.vms", Kind::Switch),
    ("nvml.library", Kind::Text("/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1")),
    ("gpu.deadline", Kind::Span(Duration::from_millis(10), Duration::from_secs(60))),
    ("gpu.retry", Kind::Span(Duration::from_millis(100), Duration::from_secs(300))),
    ("gpu.release", Kind::Span(Duration::from_secs(1), Duration::from_secs(86_400))),
    ("limits.workloads", Kind::Count(1, 1_000_000)),
    ("limits.processes", Kind::Count(0, 100_000)),
    ("limits.gpu_processes", Kind::Count(0, 100_000)),
    ("limits.scanned_processes", Kind::Count(1, 4_194_304)),
    ("limits.cgroups", Kind::Count(1, 1_000_000)),
    ("limits.open_files", Kind::Count(0, 1_000_000)),
    ("limits.retention", Kind::Span(Duration::ZERO, Duration::from_secs(86_400))),
    ("model.cpu_tdp_watts", Kind::Positive(100_000.0, " (watts)")),
    ("model.cpu_idle_watts", WATTS),
    ("model.memory_watts_per_gb", Kind::Number(0.0, 10.0, " (watts per GB)")),
    ("carbon.intensity", Kind::Positive(2000.0, " (g/kWh)")),
    ("carbon.zone", Kind::Text("FR")),
    ("carbon.cloud", Kind::Text("aws:eu-west-3")),
    ("carbon.basis", Kind::OneOf(&["lifecycle", "direct"])),
    ("carbon.source", Kind::Sources),
    ("carbon.max_age", Kind::Span(Duration::ZERO, Duration::from_secs(6 * 3600))),
    ("carbon.startup_spread", Kind::Span(Duration::ZERO, Duration::from_secs(3600))),
    ("carbon.pue", Kind::Number(1.0, 10.0, "")),
    ("carbon.pue_file", Kind::Text("/run/facility/pue")),
    ("carbon.pue_url", Kind::Text("http://prometheus:9090")),
    ("carbon.pue_query", Kind::Text("avg(datacenter_pue)")),
    ("carbon.wue", Kind::Number(0.0, 100.0, " (litres per kWh)")),
    ("market.share", Kind::Number(0.0, 1.0, "")),
    ("market.intensity", Kind::Number(0.0, 2000.0, " (g/kWh)")),
    ("market.windows_file", Kind::Text("/etc/wattprint/certificates.csv")),
    ("market.residual", Kind::Number(0.0, 2000.0, " (g/kWh)")),
    ("embodied.enabled", Kind::Switch),
    ("embodied.server_kg", KILOGRAMS),
    ("embodied.server_low_kg", KILOGRAMS),
    ("embodied.server_high_kg", KILOGRAMS),
    ("embodied.gpu_kg", KILOGRAMS),
    ("embodied.gpu_low_kg", KILOGRAMS),
    ("embodied.gpu_high_kg", KILOGRAMS),
    ("embodied.source", Kind::Text("vendor's product carbon footprint of 2025")),
    ("embodied.lifespan_years", Kind::Number(1.0, 20.0, " (years)")),
    ("names.wait", Kind::Span(Duration::ZERO, Duration::from_secs(60))),
    ("names.labels", Kind::Texts("app.kubernetes.io/name")),
    ("names.annotations", Kind::Texts("example.com/team")),
    ("kubernetes.source", Kind::OneOf(&["auto", "api", "kubelet", "files"])),
    ("kubernetes.node", Kind::Text("gpu-node-1")),
    ("kubernetes.kubeconfig", Kind::Text("/etc/wattprint/kubeconfig")),
    ("kubernetes.kubelet_url", Kind::Text("https://127.0.0.1:10250")),
    ("kubernetes.kubelet_ca_file", Kind::Text("/etc/kubernetes/pki/ca.crt")),
    ("kubernetes.kubelet_token_file", Kind::Text("/etc/wattprint/kubelet-token")),
    ("kubernetes.pod_resources", Kind::Text("/var/lib/kubelet/pod-resources/kubelet.sock")),
    ("jobs.dir", Kind::Text("/run/wattprint/jobs")),
    ("state.dir", Kind::Text("/var/lib/wattprint")),
    ("log.level", Kind::OneOf(&["error", "warn", "info", "debug", "trace"])),
    ("log.format", Kind::OneOf(&["text", "json"])),
    ("simulate", Kind::Switch),
];

/// The keys of settings, but those of the operator's own table of idle power.
pub(crate) fn keys() -> impl Iterator<Item = &'static str> {
    KEYS.iter().map(|(key, _)| *key)
}

/// What the value of this key may be; absent for a key that isn't known.
pub(super) fn kind(key: &str) -> Option<Kind> {
    match key.split_once('.') {
        Some((BASELINE, device)) => (!device.is_empty()).then_some(WATTS),
        _ => KEYS.iter().find(|(known, _)| *known == key).map(|(_, kind)| *kind),
    }
}

/// Whether a key is that of a table.
pub(super) fn is_table(key: &str) -> bool {
    key == BASELINE
        || KEYS.iter().any(|(known, _)| known.split_once('.').is_some_and(|(table, _)| table == key))
}

/// The keys of a table, or those of the file's top where there is no such table, sorted.
pub(super) fn keys_of(table: Option<&str>) -> String {
    if table == Some(BASELINE) {
        return "devices (\"intel-rapl:0\") and domains (package, dram, gpu), each with its idle power in watts"
            .to_owned();
    }
    let mut names: Vec<&str> = match table.filter(|table| is_table(table)) {
        Some(table) => KEYS
            .iter()
            .filter_map(|(key, _)| key.split_once('.'))
            .filter(|(of, _)| *of == table)
            .map(|(_, name)| name)
            .collect(),
        None => KEYS
            .iter()
            .map(|(key, _)| key.split_once('.').map_or(*key, |(table, _)| table))
            .chain([BASELINE])
            .collect(),
    };
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}

impl Kind {
    /// The value in the form that the settings are made of; absent where it isn't allowed.
    pub(super) fn read(self, given: &Given) -> Option<Value> {
        match self {
            Self::Switch => switch(given).map(Value::from),
            Self::Count(low, high) => whole(given).filter(|n| (low..=high).contains(n)).map(Value::from),
            Self::Number(low, high, _) => number(given).filter(|n| (low..=high).contains(n)).map(Value::from),
            Self::Positive(high, _) => number(given).filter(|n| *n > 0.0 && *n <= high).map(Value::from),
            Self::Span(low, high) => {
                let span = match given {
                    Given::Word(text) | Given::Text(text) => parse_duration(text)?,
                    _ => Duration::try_from_secs_f64(number(given)?).ok()?,
                };
                (low..=high).contains(&span).then(|| Value::from(human_duration(span)))
            }
            Self::OneOf(words) => given.text().filter(|text| words.contains(text)).map(Value::from),
            Self::Text(_) => given.text().map(Value::from),
            Self::Addresses => texts(given).filter(|texts| !texts.is_empty()).map(Value::from),
            Self::Texts(_) => {
                let given = texts(given)?;
                Some(Value::from(given.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>()))
            }
            // Those of a file are read entry by entry, so that an error can name the line.
            Self::Sources => {
                let names = given.text()?.split(',').map(str::trim).filter(|name| !name.is_empty());
                let entries = names
                    .map(|name| PROVIDERS.contains(&name).then(|| serde_json::json!({ "provider": name })));
                entries.collect::<Option<Vec<Value>>>().map(Value::from)
            }
        }
    }

    /// What is allowed, for someone who gave this instead.
    pub(super) fn allowed(self, instead: &Given) -> String {
        let bare = if matches!(instead, Given::Text(_)) { ", without quotes" } else { "" };
        match self {
            Self::Switch => format!("true or false{bare}"),
            Self::Count(low, high) => {
                let whole = if matches!(instead, Given::Float(_)) { ", a whole number" } else { "" };
                format!("{low} to {high}{whole}{bare}")
            }
            Self::Number(low, high, unit) => format!("{low} to {high}{unit}{bare}"),
            Self::Positive(high, unit) => format!("a number above 0, at most {high}{unit}{bare}"),
            Self::Span(low, high) => format!(
                "{} to {}, as a text with a unit (\"30s\") or a number of seconds",
                human_duration(low),
                human_duration(high)
            ),
            Self::OneOf(words) => words.join(", "),
            Self::Text(example) => format!("a text, such as \"{example}\""),
            Self::Texts(example) => format!("a list of texts, such as [\"{example}\"]"),
            Self::Sources => format!(
                "names with commas between ({}), or tables, [[carbon.source]], with the keys {}",
                PROVIDERS.join(", "),
                source_keys(),
            ),
            Self::Addresses => "at least one address, such as \":10125\" or [\"127.0.0.1:10125\"]".to_owned(),
        }
    }
}

/// A list; a word of the environment or of a flag has commas between.
fn texts(given: &Given) -> Option<Vec<&str>> {
    match given {
        Given::Word(text) => Some(text.split(',').map(str::trim).collect()),
        Given::Text(text) => Some(vec![text]),
        Given::List(items) => items.iter().map(Given::text).collect(),
        _ => None,
    }
}

fn switch(given: &Given) -> Option<bool> {
    match given {
        Given::Switch(on) => Some(*on),
        Given::Word(word) => match word.trim().to_lowercase().as_str() {
            "true" | "on" | "yes" | "1" => Some(true),
            "false" | "off" | "no" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

fn whole(given: &Given) -> Option<u64> {
    match given {
        Given::Integer(_, number) => u64::try_from((*number)?).ok(),
        Given::Word(word) => word.trim().parse().ok(),
        _ => None,
    }
}

fn number(given: &Given) -> Option<f64> {
    match given {
        Given::Float(number) => Some(*number),
        Given::Integer(text, Some(_)) => text.parse().ok(),
        Given::Word(word) => word.trim().parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::Settings;

    #[test]
    fn the_table_and_the_settings_have_the_same_keys() {
        let defaults = serde_json::to_value(Settings::default()).unwrap();
        let mut fields = BTreeSet::new();
        for (name, value) in defaults.as_object().unwrap() {
            match value.as_object() {
                Some(_) if name == BASELINE => {}
                Some(table) => fields.extend(table.keys().map(|field| format!("{name}.{field}"))),
                None => {
                    fields.insert(name.clone());
                }
            }
        }
        assert_eq!(fields, KEYS.iter().map(|(key, _)| (*key).to_owned()).collect());
    }

    #[test]
    fn every_default_is_allowed_and_every_word_is_known() {
        let defaults = serde_json::to_value(Settings::default()).unwrap();
        for (key, kind) in KEYS {
            let pointer = format!("/{}", key.replace('.', "/"));
            let given = match defaults.pointer(&pointer).unwrap() {
                Value::Null => continue,
                Value::String(text) => Given::Text(text.clone()),
                Value::Array(items) if items.is_empty() => Given::Word(String::new()),
                Value::Array(_) => Given::List(vec![Given::Text(":10125".to_owned())]),
                other => Given::Word(other.to_string()),
            };
            assert!(kind.read(&given).is_some(), "{key} = {given:?}");
        }
        for (key, kind) in KEYS {
            if let (Kind::OneOf(words), Some((table, name))) = (kind, key.split_once('.')) {
                for word in *words {
                    let settings = serde_json::json!({ table: { name: word } });
                    assert!(serde_json::from_value::<Settings>(settings).is_ok(), "{key} = {word}");
                }
            }
        }
    }

    #[test]
    fn a_file_is_taken_by_its_types_and_a_word_by_its_meaning() {
        let word = |text: &str| Given::Word(text.to_owned());
        let text = |text: &str| Given::Text(text.to_owned());
        assert_eq!(Kind::Switch.read(&word("yes")), Some(Value::from(true)));
        assert_eq!(Kind::Switch.read(&text("yes")), None);
        assert_eq!(Kind::Count(1, 10).read(&word("5")), Some(Value::from(5)));
        assert_eq!(Kind::Count(1, 10).read(&text("5")), None);
        assert_eq!(Kind::Number(0.0, 10.0, "").read(&word("nan")), None);
        assert_eq!(Kind::Text("FR").read(&word("12")), Some(Value::from("12")));
    }
}
