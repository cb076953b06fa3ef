//! The keys of live sources.

use std::time::Duration;

use super::Kind;
use crate::config::source::ProviderKind;

/// The keys of each entry of `carbon.source`.
pub(in crate::config) const SOURCE_KEYS: &[(&str, Kind)] = &[
    ("provider", Kind::OneOf(&PROVIDERS)),
    ("zone", Kind::Text("DE")),
    ("basis", Kind::OneOf(&["lifecycle", "direct"])),
    ("url", Kind::Text("https://api.example.org/{zone}")),
    ("token_file", Kind::Text("/etc/wattprint/token")),
    ("user", Kind::Text("name")),
    ("password_file", Kind::Text("/etc/wattprint/password")),
    ("ca_file", Kind::Text("/etc/ssl/certs/internal.pem")),
    ("interval", Kind::Span(Duration::from_secs(1), Duration::from_secs(86_400))),
    ("header", Kind::Text("X-Api-Key")),
    ("query", Kind::Text("grid_intensity")),
    ("path", Kind::Text("/run/grid/intensity.json")),
    ("items", Kind::Text("/data")),
    ("value", Kind::Text("/intensity/actual")),
    ("start", Kind::Text("/from")),
    ("end", Kind::Text("/to")),
    ("estimated", Kind::Text("/isEstimated")),
    ("step", Kind::Span(Duration::from_secs(60), Duration::from_secs(86_400))),
    ("unit", Kind::OneOf(&["g/kWh", "kg/MWh", "kg/kWh", "t/MWh", "lb/MWh"])),
];

/// The names of providers.
pub(super) const PROVIDERS: [&str; ProviderKind::ALL.len()] = {
    let mut names = [""; ProviderKind::ALL.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = ProviderKind::ALL[at].as_str();
        at += 1;
    }
    names
};

/// What a key of an entry of `carbon.source` may be; absent for one that isn't known.
pub(in crate::config) fn source_kind(key: &str) -> Option<Kind> {
    SOURCE_KEYS.iter().find(|(known, _)| *known == key).map(|(_, kind)| *kind)
}

/// The keys of an entry of `carbon.source`, sorted.
pub(in crate::config) fn source_keys() -> String {
    let mut names: Vec<&str> = SOURCE_KEYS.iter().map(|(key, _)| *key).collect();
    names.sort_unstable();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::config::Source;

    #[test]
    fn the_table_and_a_source_have_the_same_keys() {
        let source = serde_json::to_value(Source::new(ProviderKind::Neso)).unwrap();
        let fields: BTreeSet<&str> = source.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(fields, SOURCE_KEYS.iter().map(|(key, _)| *key).collect());
        for (key, kind) in SOURCE_KEYS {
            if let Kind::OneOf(words) = kind {
                for word in *words {
                    let mut entry = serde_json::json!({ "provider": "neso" });
                    entry[key] = Value::from(*word);
                    assert!(serde_json::from_value::<Source>(entry).is_ok(), "{key} = {word}");
                }
            }
        }
    }
}
