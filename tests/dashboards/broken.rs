//! Each rule finds what it is there for: one or more ways to break the sample, by rule.

use serde_json::{Value, json};

use crate::{rules, sample};

type Break = fn(&mut Value);

/// Replaces the value at a path of the sample.
fn put(board: &mut Value, path: &str, value: Value) {
    *board.pointer_mut(path).unwrap_or_else(|| panic!("the sample has no {path}")) = value;
}

/// Takes a key away from the object at a path of the sample.
fn take(board: &mut Value, path: &str, key: &str) {
    board.pointer_mut(path).unwrap().as_object_mut().unwrap().remove(key).unwrap();
}

const FIRST: &str = "/panels/1/targets/0/expr";
const SECOND: &str = "/panels/1/targets/1/expr";
const DEFAULTS: &str = "/panels/1/fieldConfig/defaults";
const TEXT: &str = "/panels/3/options/content";

const TEMPLATE: &[(&str, Break)] = &[
    ("template-datasource-rule", |b| put(b, "/templating/list/0/name", json!("source"))),
    ("template-datasource-rule", |b| put(b, "/templating/list/0/query", json!("loki"))),
    ("template-datasource-rule", |b| put(b, "/templating/list/1/type", json!("datasource"))),
    ("template-cluster-rule", |b| put(b, "/templating/list/1/name", json!("job"))),
    ("template-cluster-rule", |b| put(b, "/templating/list/2/label", json!("Instance"))),
    ("template-all-rule", |b| put(b, "/templating/list/2/multi", json!(false))),
    ("template-all-rule", |b| put(b, "/templating/list/2/allValue", json!(".+"))),
    ("template-all-rule", |b| take(b, "/templating/list/2", "description")),
    ("template-label-promql-rule", |b| {
        put(b, "/templating/list/2/query/query", json!("label_values(a{, b)"))
    }),
    ("template-label-promql-rule", |b| {
        put(b, "/templating/list/2/query/query", json!("label_values(instance)"))
    }),
    ("template-on-time-change-reload-rule", |b| put(b, "/templating/list/2/refresh", json!(1))),
];

const PANEL: &[(&str, Break)] = &[
    ("panel-datasource-rule", |b| put(b, "/panels/1/datasource/uid", json!("P1809F7CD0C75ACF3"))),
    ("panel-datasource-rule", |b| put(b, "/panels/1/targets/1/datasource/type", json!("loki"))),
    ("panel-datasource-rule", |b| take(b, "/panels/1/targets/1", "datasource")),
    ("panel-datasource-rule", |b| put(b, "/annotations/list/0/datasource/uid", json!("-- Grafana --"))),
    ("panel-title-description-rule", |b| put(b, "/panels/1/title", json!(""))),
    ("panel-title-description-rule", |b| take(b, "/panels/3", "description")),
    ("panel-units-rule", |b| take(b, DEFAULTS, "unit")),
    ("panel-units-rule", |b| put(b, "/panels/1/fieldConfig/defaults/unit", json!("watts"))),
    ("panel-units-rule", |b| {
        put(b, "/panels/2/fieldConfig/overrides/0/properties/0", json!({"id": "unit", "value": "gram"}));
    }),
    ("panel-no-targets-rule", |b| put(b, "/panels/1/targets", json!([]))),
    ("panel-no-targets-rule", |b| put(b, FIRST, json!(" "))),
    ("panel-empty-rule", |b| take(b, DEFAULTS, "noValue")),
    ("panel-empty-rule", |b| put(b, "/panels/1/fieldConfig/defaults/noValue", json!("No data"))),
    ("panel-empty-rule", |b| put(b, TEXT, json!(""))),
    ("panel-core-rule", |b| put(b, "/panels/1/type", json!("grafana-worldmap-panel"))),
    ("panel-colours-rule", |b| put(b, "/annotations/list/0/iconColor", json!("red"))),
    ("panel-colours-rule", |b| {
        put(b, "/panels/1/fieldConfig/overrides/0/properties/0/value/fixedColor", json!("#00FF00"));
    }),
    ("panel-colours-rule", |b| {
        put(b, "/panels/1/fieldConfig/overrides/0/properties/0/value/mode", json!("continuous-GrYlRd"));
    }),
];

const TARGET: &[(&str, Break)] = &[
    ("target-promql-rule", |b| put(b, SECOND, json!("sum by (cluster (up)"))),
    ("target-promql-rule", |b| put(b, SECOND, json!("sum(up"))),
    ("target-promql-rule", |b| put(b, "/annotations/list/0/expr", json!("ALERTS{"))),
    ("target-rate-interval-rule", |b| put(b, FIRST, json!("rate(joules_total[5m])"))),
    ("target-rate-interval-rule", |b| put(b, FIRST, json!("increase(joules_total[$__range])"))),
    ("target-counter-agg-rule", |b| put(b, FIRST, json!("sum(joules_total)"))),
    ("target-counter-agg-rule", |b| put(b, FIRST, json!("avg_over_time(joules_total[$__rate_interval])"))),
    ("target-variables-rule", |b| put(b, SECOND, json!("node:w:avg5m{cluster=~\"$cluster\"}"))),
    ("target-variables-rule", |b| put(b, SECOND, json!("node:w:avg5m{instance=~\"$node\"}"))),
    ("target-variables-rule", |b| {
        // Narrowed by namespace, but with nothing that says whose those without one are.
        let mut variable = b["templating"]["list"][2].clone();
        variable["name"] = json!("namespace");
        b["templating"]["list"].as_array_mut().unwrap().push(variable);
        let matchers =
            r#"cluster=~"$cluster", instance=~"$node", namespace=~"$namespace|", container_id!="""#;
        put(b, SECOND, json!(format!("wattprint_container_power_watts{{{matchers}}}")));
    }),
    ("target-variables-rule", |b| {
        put(b, "/annotations/list/0/expr", json!("ALERTS{alertstate=\"firing\"}"));
    }),
    ("target-metrics-rule", |b| put(b, SECOND, json!("wattprint_bananas"))),
    ("target-metrics-rule", |b| put(b, "/annotations/list/0/expr", json!("ALERTS_OF_MINE{}"))),
    ("target-metrics-rule", |b| {
        put(b, "/templating/list/2/query/query", json!("label_values(bananas, instance)"))
    }),
    ("target-instant-rule", |b| put(b, "/panels/2/targets/0/instant", json!(false))),
];

const LAYOUT: &[(&str, Break)] = &[
    ("layout-ids-rule", |b| put(b, "/panels/2/id", json!(2))),
    ("layout-ids-rule", |b| take(b, "/panels/2", "id")),
    ("layout-ref-ids-rule", |b| put(b, "/panels/1/targets/1/refId", json!("A"))),
    ("layout-ref-ids-rule", |b| take(b, "/panels/1/targets/1", "refId")),
    ("layout-grid-rule", |b| put(b, "/panels/2/gridPos/x", json!(11))),
    ("layout-grid-rule", |b| put(b, "/panels/2/gridPos/x", json!(13))),
    ("layout-grid-rule", |b| put(b, "/panels/3/gridPos/y", json!(8))),
    ("layout-grid-rule", |b| take(b, "/panels/2", "gridPos")),
    ("layout-rows-rule", |b| put(b, "/panels/0/title", json!(""))),
    ("layout-rows-rule", |b| put(b, "/panels/1/type", json!("row"))),
];

const LINKS: &[(&str, Break)] = &[
    ("links-others-rule", |b| put(b, "/links", json!([]))),
    ("links-others-rule", |b| put(b, "/links/0/keepTime", json!(false))),
    ("links-targets-rule", |b| put(b, TEXT, json!("/d/wattprint-nodes?var-node=a"))),
    ("links-targets-rule", |b| put(b, TEXT, json!("[x](/d/wattprint-node?var-namespace=a)"))),
    ("links-targets-rule", |b| put(b, TEXT, json!("[x](/d/wattprint-node?${pod:queryparam})"))),
    ("names-defined-rule", |b| put(b, SECOND, json!("up{namespace=~\"$namespace\"}"))),
    ("names-defined-rule", |b| put(b, TEXT, json!("[[pod]]"))),
    ("names-used-rule", |b| {
        let mut other = b["templating"]["list"][2].clone();
        other["name"] = json!("pod");
        b["templating"]["list"].as_array_mut().unwrap().push(other);
    }),
    ("names-unique-rule", |b| {
        let other = b["templating"]["list"][2].clone();
        b["templating"]["list"].as_array_mut().unwrap().push(other);
    }),
];

const IDENTITY: &[(&str, Break)] = &[
    ("uneditable-dashboard-rule", |b| put(b, "/editable", json!(true))),
    ("uneditable-dashboard-rule", |b| take(b, "", "editable")),
    ("identity-uid-rule", |b| put(b, "/uid", json!("wattprint-bananas"))),
    ("identity-uid-rule", |b| take(b, "", "uid")),
    ("identity-uid-rule", |b| b["id"] = json!(7)),
    ("identity-tags-rule", |b| put(b, "/tags", json!([]))),
    ("identity-tags-rule", |b| take(b, "", "description")),
    ("identity-annotations-rule", |b| put(b, "/annotations/list", json!([]))),
    ("identity-annotations-rule", |b| put(b, "/annotations/list/1/enable", json!(false))),
];

fn cases() -> impl Iterator<Item = &'static (&'static str, Break)> {
    [TEMPLATE, PANEL, TARGET, LAYOUT, LINKS, IDENTITY].into_iter().flatten()
}

#[test]
fn every_rule_finds_what_is_broken() {
    for (number, (rule, break_it)) in cases().enumerate() {
        let mut board = sample::json();
        break_it(&mut board);
        let found = sample::findings(board);
        let said: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert!(
            found.iter().any(|finding| finding.rule == *rule),
            "case {number}: {rule} misses it: {said:#?}"
        );
    }
}

#[test]
fn every_rule_has_a_broken_sample() {
    for rule in rules::all() {
        assert!(cases().any(|(broken, _)| *broken == rule.name), "nothing shows that {} can fail", rule.name);
    }
}

/// A uid that two dashboards have can't be shown with one of them.
#[test]
fn a_uid_twice_is_found() {
    use crate::board::{Board, Fleet};
    let twice = ["a.json", "b.json"].map(|file| Board { file: file.to_owned(), json: sample::json() });
    let found = rules::findings(&Fleet { boards: twice.into(), metrics: Default::default() });
    assert_eq!(found.iter().filter(|finding| finding.rule == "identity-uid-rule").count(), 2);
}
