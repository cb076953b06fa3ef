//! Expressions name only series that there are.

use std::collections::BTreeSet;
use std::fs;

use crate::files::rules;
use crate::promql::metric_names;
use crate::repository;

/// Series of others, and those that operators record.
const OTHERS: &[&str] = &[
    // Prometheus, of its scrapes and of itself.
    "up",
    "scrape_samples_scraped",
    "ALERTS",
    "prometheus_rule_group_last_evaluation_timestamp_seconds",
    "prometheus_rule_group_iterations_missed_total",
    "prometheus_rule_evaluation_failures_total",
    // Operators record their budgets.
    "namespace:wattprint_carbon_budget_grams:30d",
    "node:wattprint_carbon_budget_grams:30d",
    // A training job's own.
    "wattprint_work_total",
    "wattprint_work_planned",
];

/// Beginnings of the names of inference servers' metrics.
const SERVERS: &[&str] = &["vllm:", "vllm_", "tgi_", "nv_inference_", "sglang:", "sglang_"];

#[test]
fn every_series_in_an_expression_is_somebodys() {
    let page = fs::read_to_string(repository("docs/metrics.md")).unwrap();
    let families: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`')).collect();
    assert!(families.contains("wattprint_node_energy_joules_total"));
    let rules = rules();
    let recorded: BTreeSet<&str> = rules.iter().map(|rule| &*rule.record).collect();
    for rule in &rules {
        for name in metric_names(&rule.expr) {
            let known = families.contains(&*name)
                || recorded.contains(&*name)
                || OTHERS.contains(&&*name)
                || SERVERS.iter().any(|beginning| name.starts_with(beginning));
            assert!(known, "{}: {}{} uses {name}, which nobody has", rule.file, rule.record, rule.alert);
        }
    }
}

#[test]
fn recorded_series_are_named_by_level_metric_and_operation() {
    for rule in rules().into_iter().filter(|rule| rule.alert.is_empty()) {
        let parts: Vec<&str> = rule.record.split(':').collect();
        assert_eq!(parts.len(), 3, "{}", rule.record);
        assert!(parts[1].starts_with("wattprint_"), "{}", rule.record);
    }
}
