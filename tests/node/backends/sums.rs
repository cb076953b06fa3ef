//! What is recorded at each level against the daemons' own counters.

use std::collections::BTreeMap;

use super::rig::{Prometheus, Series};
use super::scenario::{BRIEF, GPU_NODE, Nodes, PACKAGE_WATTS};
use crate::assert_close;

/// Sums of floats in another order.
const EXACT: f64 = 1e-6;

/// A level's series and the counters that they are made of: their names, and the labels by which both are summed.
const LEVELS: &[(&str, &str, &str)] = &[
    ("namespace:wattprint_energy_joules:increase1m", "wattprint_container_energy_joules_total", "namespace"),
    ("workload:wattprint_energy_joules:increase1m", "wattprint_container_energy_joules_total", "namespace"),
    (
        "namespace:wattprint_emissions_grams:increase1m",
        "wattprint_container_emissions_grams_total",
        "namespace",
    ),
    (
        "namespace:wattprint_market_emissions_grams:increase1m",
        "wattprint_container_market_emissions_grams_total",
        "namespace",
    ),
    (
        "namespace:wattprint_embodied_emissions_grams:increase1m",
        "wattprint_container_embodied_emissions_grams_total",
        "namespace",
    ),
    ("job:wattprint_energy_joules:increase1m", "wattprint_job_energy_joules_total", "job_id"),
    ("job:wattprint_emissions_grams:increase1m", "wattprint_job_emissions_grams_total", "job_id"),
    ("node:wattprint_energy_joules:increase1m", "wattprint_node_energy_joules_total", "instance, component"),
    (
        "node:wattprint_emissions_grams:increase1m",
        "wattprint_node_emissions_grams_total",
        "instance, component",
    ),
    ("gpu:wattprint_energy_joules:increase1m", "wattprint_gpu_energy_joules_total", "uuid"),
    ("cluster:wattprint_energy_joules:increase1m", "wattprint_node_energy_joules_total", "component"),
    ("cluster:wattprint_owner_energy_joules:increase1m", "wattprint_node_owner_energy_joules_total", "kind"),
    ("cluster:wattprint_emissions_grams:increase1m", "wattprint_node_emissions_grams_total", "component"),
];

/// A sample that is on its way when a rule runs comes too late for that minute, and the next one begins behind it. That happens now and
/// then on a busy machine, and takes at most a few scrapes' part of a minute.
const LATE: f64 = 0.15;

/// In each minute that was recorded, each level has what the counters counted, to the last digit; but for one minute of a level
/// at most, in which samples came late.
pub(super) fn assert_conserved(prometheus: &Prometheus, nodes: &Nodes) {
    for (level, counter, labels) in LEVELS {
        // All rules of the group have the same instants.
        let minutes = minutes(prometheus, level);
        for pair in minutes.windows(2) {
            assert!((pair[1] - pair[0] - 60.0).abs() < 0.1, "{level} missed a minute: {minutes:?}");
        }
        let counted = |time: f64| {
            by_labels(
                &prometheus.query_at(&format!("sum by ({labels}) (last_over_time({counter}[1h]))"), time),
            )
        };
        let mut late = BTreeMap::new();
        for &minute in &minutes {
            let recorded = by_labels(&prometheus.query_at(&format!("sum by ({labels}) ({level})"), minute));
            let (before, after) = (counted(minute - 60.0), counted(minute));
            assert!(!after.is_empty(), "{counter}");
            for (owner, joules) in &after {
                let expected = joules - before.get(owner).unwrap_or(&0.0);
                let seen = recorded.get(owner).copied().unwrap_or(0.0);
                let off = expected - seen;
                if off.abs() > joules.abs() * EXACT + 1e-9 {
                    let what = format!("{level} {owner}: {seen}, not {expected}");
                    assert!(off > 0.0 && off < expected * LATE, "{what}");
                    late.insert(minute.to_bits(), what);
                }
            }
        }
        assert!(late.len() <= 1, "{late:?}");
    }
    assert_levels_agree(prometheus);
    assert_brief_pod_counts(prometheus);
    assert_watts(prometheus);
    // What Prometheus has is what the daemon says: it only rose since.
    let own = nodes.gpu().scrape().value("wattprint_node_energy_joules_total", &[("component", "cpu")]);
    let held = prometheus
        .query(&format!("wattprint_node_energy_joules_total{{instance=\"{GPU_NODE}\", component=\"cpu\"}}"));
    let held = held[0].value();
    assert!(held > 0.0 && own >= held && own - held < PACKAGE_WATTS * 30.0, "{held} of {own}");
}

/// The instants at which a level was recorded.
fn minutes(prometheus: &Prometheus, level: &str) -> Vec<f64> {
    let rows = prometheus.query(&format!("{level}[20m]"));
    let mut times: Vec<f64> = rows.iter().flat_map(|row| row.points.iter().map(|(time, _)| *time)).collect();
    times.sort_by(f64::total_cmp);
    times.dedup();
    assert!(times.len() >= 2, "{level}: {times:?}");
    times
}

fn by_labels(rows: &[Series]) -> BTreeMap<String, f64> {
    rows.iter().map(|row| (row.labels.to_string(), row.value())).collect()
}

/// The value of the only series.
fn one(prometheus: &Prometheus, expr: &str) -> f64 {
    let rows = prometheus.query(expr);
    assert_eq!(rows.len(), 1, "{expr}: {rows:?}");
    rows[0].value()
}

/// At one instant, sums over one level are those over another.
fn assert_levels_agree(prometheus: &Prometheus) {
    for (level, other) in [
        ("cluster:wattprint_energy_joules:increase1m", "node:wattprint_energy_joules:increase1m"),
        ("cluster:wattprint_owner_energy_joules:increase1m", "node:wattprint_energy_joules:increase1m"),
        ("cluster:wattprint_emissions_grams:increase1m", "node:wattprint_emissions_grams:increase1m"),
        (
            "gpu:wattprint_energy_joules:increase1m",
            "node:wattprint_energy_joules:increase1m{component=\"gpu\"}",
        ),
        (
            "gpu:wattprint_emissions_grams:increase1m",
            "node:wattprint_emissions_grams:increase1m{component=\"gpu\"}",
        ),
        ("workload:wattprint_energy_joules:increase1m", "namespace:wattprint_energy_joules:increase1m"),
        ("workload:wattprint_emissions_grams:increase1m", "namespace:wattprint_emissions_grams:increase1m"),
    ] {
        let (seen, expected) = wait(prometheus, level, other);
        assert!(expected > 0.0, "{other}");
        assert_close(level, seen, expected, EXACT);
    }
}

/// Both sums from one request, so that no new minute comes in between.
fn wait(prometheus: &Prometheus, level: &str, other: &str) -> (f64, f64) {
    let rows = prometheus.query(&format!(
        "label_replace(sum({level}), \"side\", \"a\", \"\", \"\") or label_replace(sum({other}), \"side\", \"b\", \"\", \"\")"
    ));
    let side = |name: &str| rows.iter().find(|row| row.label("side") == name).map_or(f64::NAN, Series::value);
    (side("a"), side("b"))
}

/// A pod that was there for a second has all of its energy in the namespace's hour, though each of its series was first seen with
/// its last value.
fn assert_brief_pod_counts(prometheus: &Prometheus) {
    let of = format!("{{namespace=\"{BRIEF}\"}}");
    let counted =
        one(prometheus, &format!("sum(last_over_time(wattprint_container_energy_joules_total{of}[1h]))"));
    let hour = one(prometheus, &format!("sum(namespace:wattprint_energy_kwh:increase1h{of})")) * 3.6e6;
    assert!(counted > 0.0);
    assert_close("the brief pod", hour, counted, EXACT);
    let naive = one(prometheus, &format!("sum(increase(wattprint_container_energy_joules_total{of}[1h]))"));
    assert!(naive < counted * 0.9, "increase() would do: {naive} of {counted}, so this shows nothing");
}

/// Watts of a level are what the meters draw, and what the daemon says of its last ticks.
fn assert_watts(prometheus: &Prometheus) {
    let node = format!("{{instance=\"{GPU_NODE}\", component=\"cpu\"}}");
    let recorded = one(prometheus, &format!("node:wattprint_energy_joules:increase1m{node} / 60"));
    assert_close("watts of the last minute", recorded, PACKAGE_WATTS, 0.05);
    let gauge = one(prometheus, &format!("avg_over_time(wattprint_node_power_watts{node}[2m])"));
    assert_close("watts that the daemon says", recorded, gauge, 0.05);
    // Five minutes of which some are before the start: what there is, over all five.
    let five = one(prometheus, &format!("node:wattprint_power_watts:avg5m{node}"));
    assert!(five > 0.0 && five <= PACKAGE_WATTS * 1.05, "{five}");
}
