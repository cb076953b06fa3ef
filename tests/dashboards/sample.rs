//! A small dashboard that keeps every rule, to be broken.

use serde_json::{Value, json};

use crate::board::{Board, Fleet};
use crate::rules;

fn source() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

fn variable(name: &str, label: &str, query: &str) -> Value {
    json!({
        "type": "query", "name": name, "label": label, "description": "what it is", "datasource": source(),
        "query": {"query": query, "refId": name}, "refresh": 2, "multi": true, "includeAll": true, "allValue": ".*",
    })
}

fn panel(kind: &str, id: u64, x: u64, y: u64, targets: Value) -> Value {
    json!({
        "type": kind, "id": id, "title": "a title", "description": "what it means", "datasource": source(),
        "fieldConfig": {"defaults": {"unit": "watt", "noValue": "nothing is measured"}, "overrides": [{
            "matcher": {"id": "byName", "options": "cpu"},
            "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": "#0072B2"}}],
        }]},
        "gridPos": {"x": x, "y": y, "w": 12, "h": 8}, "targets": targets,
    })
}

fn target(letter: &str, expr: &str) -> Value {
    json!({"refId": letter, "expr": expr, "datasource": source(), "range": true, "instant": false})
}

/// Panels: 0 is a row, 1 a time series with two queries, 2 a table, 3 a text.
pub(crate) fn json() -> Value {
    let narrowed = r#"{cluster=~"$cluster", instance=~"$node"}"#;
    let mut single = target("A", &format!("sum by (instance) (node:w:avg5m{narrowed})"));
    single["instant"] = json!(true);
    single["format"] = json!("table");
    json!({
        "uid": "wattprint-node", "title": "a title", "description": "what it answers", "tags": ["wattprint"],
        "editable": false,
        "links": [{"type": "dashboards", "tags": ["wattprint"], "includeVars": true, "keepTime": true}],
        "annotations": {"list": [
            {"name": "alerts", "expr": "ALERTS{cluster=~\"$cluster\", alertstate=\"firing\"}", "enable": true, "datasource": source(),
             "iconColor": "#D55E00"},
            {"name": "intensity", "enable": true, "datasource": source(),
             "expr": "changes(zone:wattprint_grid_carbon_intensity_grams_per_kwh:avg{cluster=~\"$cluster\"}[15m]) > 0"},
        ]},
        "templating": {"list": [
            {"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus"},
            variable("cluster", "Cluster", "label_values(node:w:avg5m, cluster)"),
            variable("node", "Node", "label_values(node:w:avg5m{cluster=~\"$cluster\"}, instance)"),
        ]},
        "panels": [
            {"type": "row", "id": 1, "title": "a row", "gridPos": {"x": 0, "y": 0, "w": 24, "h": 1}, "panels": []},
            panel("timeseries", 2, 0, 1, json!([
                target("A", &format!("rate(joules_total{narrowed}[$__rate_interval])")),
                target("B", &format!("node:w:avg5m{narrowed} and on () up")),
            ])),
            panel("table", 3, 12, 1, json!([single])),
            {"type": "text", "id": 4, "title": "a text", "description": "what it means",
             "options": {"content": "[a node](/d/wattprint-node?${datasource:queryparam}&var-node=a)"},
             "gridPos": {"x": 0, "y": 9, "w": 24, "h": 2}},
        ],
    })
}

/// What the rules say of this dashboard.
pub(crate) fn findings(json: Value) -> Vec<rules::Finding> {
    let metrics = ["node:w:avg5m", "joules_total", "zone:wattprint_grid_carbon_intensity_grams_per_kwh:avg"];
    let boards = vec![Board { file: "sample.json".to_owned(), json }];
    rules::findings(&Fleet { boards, metrics: metrics.map(str::to_owned).into() })
}

#[test]
fn the_sample_keeps_every_rule() {
    let found: Vec<String> = findings(json()).iter().map(ToString::to_string).collect();
    assert!(found.is_empty(), "{found:#?}");
}
