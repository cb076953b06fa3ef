//! Rules for what panels ask.

use super::panel::name;
use super::{Rule, template};
use crate::board::{Board, Fleet, kind, list, text};
use crate::promql::{self, Query, Selector};

pub(crate) const RULES: &[Rule] = &[
    Rule { name: "target-promql-rule", check: parses },
    Rule { name: "target-rate-interval-rule", check: rate_interval },
    Rule { name: "target-counter-agg-rule", check: counter_aggregation },
    // In place of the linter's target-job-rule and target-instance-rule, for the reason that template-cluster-rule has.
    Rule { name: "target-variables-rule", check: variables },
    Rule { name: "target-metrics-rule", check: metrics },
    Rule { name: "target-instant-rule", check: instant },
];

/// A variable, its label, and which series have that label.
type Narrowed = (&'static str, &'static str, fn(&str) -> bool);

const NARROWED: &[Narrowed] = &[
    // Constants of zones are the same everywhere, and a budget may be one for all clusters.
    ("cluster", "cluster", |metric| !metric.ends_with(":reference") && !INPUTS.contains(&metric)),
    ("node", "instance", |metric| {
        level(metric).is_none_or(|level| matches!(level, "node" | "gpu" | "instance"))
    }),
    ("namespace", "namespace", |metric| {
        matches!(level(metric), Some("namespace" | "workload" | "pod"))
            || metric.starts_with("wattprint_container_")
    }),
    ("model", "model", |metric| level(metric) == Some("model")),
];

/// Series that don't come from wattprint or its rules. What begins like this is made by Prometheus itself, or by the client
/// library of every process.
const FOREIGN: &[&str] = &["up", "scrape_", "ALERTS", "process_"];

/// What operators record themselves, if they want budgets.
const INPUTS: &[&str] =
    &["namespace:wattprint_carbon_budget_grams:30d", "node:wattprint_carbon_budget_grams:30d"];

/// `node` in `node:wattprint_energy_joules:increase1m`; nothing for a series as it was scraped.
fn level(metric: &str) -> Option<&str> {
    metric.split_once(':').map(|(level, _)| level)
}

fn is_foreign(metric: &str) -> bool {
    FOREIGN.iter().any(|name| metric == *name || name.ends_with('_') && metric.starts_with(name))
}

fn parses(board: &Board, _: &Fleet, found: &mut Vec<String>) {
    for (panel, query) in board.queries() {
        if let Err(why) = query {
            found.push(format!("{}: {why}", name(panel)));
        }
    }
    for annotation in board.annotations() {
        if let Err(why) = promql::parse(text(&annotation["expr"]), &board.values()) {
            found.push(format!("annotation {:?}: {why}", text(&annotation["name"])));
        }
    }
}

/// Selectors of all panels whose expressions parse; those that don't are target-promql-rule's.
fn selectors(board: &Board) -> Vec<(String, Selector)> {
    let named = |place: String| move |selector| (place.clone(), selector);
    board
        .queries()
        .into_iter()
        .filter_map(|(panel, query)| Some((name(panel), query.ok()?)))
        .flat_map(|(place, query)| query.selectors.into_iter().map(named(place)))
        .collect()
}

fn rate_interval(board: &Board, _: &Fleet, found: &mut Vec<String>) {
    for (place, selector) in selectors(board) {
        if selector.is_rate() && !selector.has_rate_interval() {
            found.push(format!("{place}: the range of {} isn't $__rate_interval", selector.metric));
        }
    }
}

fn counter_aggregation(board: &Board, _: &Fleet, found: &mut Vec<String>) {
    for (place, selector) in selectors(board) {
        if selector.metric.ends_with("_total") && !selector.is_rate() {
            found.push(format!("{place}: counter {} without rate, irate or increase", selector.metric));
        }
    }
}

/// Where a dashboard has a variable, every series that has its label is narrowed by it: a panel that isn't would show figures
/// of others beside those that were chosen.
fn variables(board: &Board, _: &Fleet, found: &mut Vec<String>) {
    for annotation in board.annotations() {
        let Ok(query) = promql::parse(text(&annotation["expr"]), &board.values()) else { continue };
        if query.selectors.iter().any(|selector| !selector.matches_by("cluster", "$cluster")) {
            found
                .push(format!("annotation {:?}: not only of the clusters chosen", text(&annotation["name"])));
        }
    }
    let all = selectors(board);
    for (place, selector) in &all {
        if is_foreign(&selector.metric) && !selector.metric.starts_with("process_") {
            continue;
        }
        for (variable, label, has) in NARROWED {
            let asked = board.variable(variable).is_some() && has(&selector.metric);
            let narrowed = selector.matches_by(label, &format!("${variable}"))
                || *variable == "namespace" && is_named_late(selector, &all, place);
            if asked && !narrowed {
                found.push(format!("{place}: {} has no matcher {label}=~\"${variable}\"", selector.metric));
            }
        }
    }
}

/// Counters of containers whose namespace was learned late have none: they are let in beside those of the chosen namespaces, where
/// the same panel asks the containers' info, which is narrowed, whose they are.
fn is_named_late(selector: &Selector, all: &[(String, Selector)], place: &str) -> bool {
    selector.matches_by("namespace", "$namespace|")
        && selector.matchers.iter().any(|(name, _)| name == "container_id")
        && all.iter().any(|(other, info)| {
            other == place
                && info.metric == "wattprint_container_info"
                && info.matches_by("namespace", "$namespace")
        })
}

fn metrics(board: &Board, fleet: &Fleet, found: &mut Vec<String>) {
    let values = board.values();
    let panels = board.queries().into_iter().filter_map(|(panel, query)| Some((name(panel), query.ok()?)));
    let annotations = board.annotations().iter().filter_map(|annotation| {
        let query: Query = promql::parse(text(&annotation["expr"]), &values).ok()?;
        Some((format!("annotation {:?}", text(&annotation["name"])), query))
    });
    for (place, query) in panels.chain(annotations).chain(template::queries(board)) {
        for selector in query.selectors {
            let metric = selector.metric.as_str();
            if !fleet.metrics.contains(metric) && !INPUTS.contains(&metric) && !is_foreign(metric) {
                found.push(format!("{place}: nobody exports or records {:?}", selector.metric));
            }
        }
    }
}

/// Tables show one moment: a range would give a row for each step of time.
fn instant(board: &Board, _: &Fleet, found: &mut Vec<String>) {
    for panel in board.panels().into_iter().filter(|panel| kind(panel) == "table") {
        for target in list(&panel["targets"]) {
            if target["instant"] != true || text(&target["format"]) != "table" {
                found.push(format!(
                    "{}: a query that isn't instant, or not in the format of tables",
                    name(panel)
                ));
            }
        }
    }
}
