//! Every level has every window, under the names that dashboards and alerts use, and with the labels of its level.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::files::rules;
use crate::repository;

/// Levels and their labels.
const LEVELS: [(&str, &[&str]); 7] = [
    ("node", &["cluster", "instance"]),
    ("gpu", &["cluster", "instance", "gpu", "uuid"]),
    ("namespace", &["cluster", "namespace"]),
    ("workload", &["cluster", "namespace", "owner_kind", "owner_name", "phase", "model", "variant"]),
    (
        "job",
        &[
            "cluster",
            "manager",
            "job_id",
            "job_name",
            "user",
            "account",
            "partition",
            "phase",
            "model",
            "variant",
        ],
    ),
    ("model", &["cluster", "model", "variant", "phase"]),
    ("cluster", &["cluster"]),
];

/// Series, their windows, and whether energy is split by component at some levels.
const SERIES: [(&str, &str); 11] = [
    ("wattprint_energy_joules", "increase1m"),
    ("wattprint_emissions_grams", "increase1m"),
    ("wattprint_power_watts", "avg5m"),
    ("wattprint_energy_kwh", "increase1h"),
    ("wattprint_emissions_grams", "increase1h"),
    ("wattprint_energy_kwh", "increase1d"),
    ("wattprint_emissions_grams", "increase1d"),
    ("wattprint_energy_joules", "increase10m"),
    ("wattprint_emissions_grams", "increase10m"),
    ("wattprint_energy_kwh", "increase30d"),
    ("wattprint_emissions_grams", "increase30d"),
];

/// The labels of `sum by (...)` at an expression's start.
fn summed_by(expr: &str) -> Option<BTreeSet<&str>> {
    let (labels, _) = expr.trim_start().strip_prefix("sum by (")?.split_once(')')?;
    Some(labels.split(',').map(str::trim).collect())
}

#[test]
fn every_level_has_every_window() {
    let rules = rules();
    let by_name: BTreeMap<&str, &str> =
        rules.iter().filter(|rule| rule.alert.is_empty()).map(|rule| (&*rule.record, &*rule.expr)).collect();
    for (level, labels) in LEVELS {
        for (series, operation) in SERIES {
            let name = format!("{level}:{series}:{operation}");
            let expr = by_name.get(&*name).unwrap_or_else(|| panic!("no rule records {name}"));
            // A card's grams are worked out of its joules, whose labels they have.
            if name == "gpu:wattprint_emissions_grams:increase1m" {
                continue;
            }
            let mut seen = summed_by(expr).unwrap_or_else(|| panic!("{name} is no sum: {expr}"));
            if matches!(operation, "increase1m" | "avg5m") {
                seen.remove("component");
            }
            assert_eq!(seen, labels.iter().copied().collect(), "{name}");
        }
    }
}

#[test]
fn windows_of_a_kind_are_the_same_at_all_levels() {
    let rules = rules();
    for (series, operation) in SERIES.iter().filter(|(_, operation)| *operation != "increase1m") {
        let shapes: BTreeSet<String> = LEVELS
            .iter()
            .map(|(level, _)| {
                let name = format!("{level}:{series}:{operation}");
                let rule = rules.iter().find(|rule| rule.record == name).unwrap();
                rule.expr.split_once(") (").unwrap().1.replace(&format!("{level}:"), "LEVEL:")
            })
            .collect();
        assert_eq!(shapes.len(), 1, "{series}:{operation} differs: {shapes:?}");
    }
}

#[test]
fn every_minute_looks_as_far_back_as_every_other() {
    // One that looked less far would take for new what the node's flag knows of.
    let all = rules();
    let own = |rule: &&crate::files::Rule| rule.file.ends_with("increases.yml");
    let minutes: Vec<_> =
        all.iter().filter(own).filter(|rule| rule.expr.contains("last_over_time(wattprint_")).collect();
    assert!(minutes.len() > 10);
    for rule in minutes {
        let expr = &rule.expr;
        if expr.contains("offset") {
            assert_eq!(
                expr.matches("offset").count(),
                expr.matches("[1h] offset 1m").count(),
                "{}",
                rule.record
            );
            assert_eq!(
                expr.matches("[1h] offset 1m").count(),
                expr.matches("counted_from_zero:group1h").count(),
                "{}",
                rule.record
            );
        }
    }
    let flags: Vec<_> =
        all.iter().filter(|rule| rule.record.ends_with("counted_from_zero:group1h")).collect();
    assert_eq!(flags.len(), 3);
    for flag in flags {
        assert!(flag.expr.contains("[1h] offset 1m") && flag.expr.contains("< 3600"), "{}", flag.record);
        // Groups run at seconds of their own, so each must have written the flag that it reads.
        for rule in all.iter().filter(own).filter(|rule| rule.expr.contains(&flag.record)) {
            assert_eq!(rule.group, flag.group, "{} reads another group's flag", rule.record);
        }
    }
}

#[test]
fn nothing_is_recorded_twice() {
    let mut seen = BTreeSet::new();
    for rule in rules().into_iter().filter(|rule| rule.alert.is_empty()) {
        let mut labels = rule.labels.clone();
        labels.sort();
        assert!(seen.insert((rule.record.clone(), labels)), "{} is recorded twice", rule.record);
    }
}

#[test]
fn the_page_names_all_levels_and_windows() {
    let page = fs::read_to_string(repository("docs/rules.md")).unwrap();
    for (level, _) in LEVELS {
        assert!(page.contains(&format!("| `{level}` |")), "docs/rules.md has no level {level}");
    }
    for (series, operation) in SERIES {
        assert!(page.contains(&format!("{series}:{operation}")), "docs/rules.md lacks {series}:{operation}");
    }
}
