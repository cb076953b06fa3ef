//! Rules for variables.

use serde_json::Value;

use super::Rule;
use crate::board::{Board, Fleet, text};
use crate::promql;

pub(crate) const RULES: &[Rule] = &[
    Rule { name: "template-datasource-rule", check: datasource },
    // The linter wants variables for the labels job and instance on every dashboard. wattprint has no use for job, as all its
    // targets are alike; what parts a fleet is the cluster, which every level of the recorded series keeps. The node (label
    // instance) is there for the levels that have it: no namespace and no model belongs to one node.
    Rule { name: "template-cluster-rule", check: cluster },
    Rule { name: "template-all-rule", check: all },
    Rule { name: "template-label-promql-rule", check: label_promql },
    Rule { name: "template-on-time-change-reload-rule", check: reload },
];

/// What the SDK writes for "when the time range changes".
const ON_TIME_RANGE_CHANGED: i64 = 2;

fn queried(board: &Board) -> impl Iterator<Item = &Value> {
    board.variables().iter().filter(|variable| text(&variable["type"]) == "query")
}

/// Both forms: a string, and an object with the string.
fn query_of(variable: &Value) -> &str {
    variable["query"].as_str().unwrap_or_else(|| text(&variable["query"]["query"]))
}

fn datasource(board: &Board, _: &Fleet, found: &mut Vec<String>) {
    let sources: Vec<_> =
        board.variables().iter().filter(|variable| text(&variable["type"]) == "datasource").collect();
    let [source] = sources[..] else {
        return found.push(format!("has {} datasource variables instead of one", sources.len()));
    };
    if text(&source["name"]) != "datasource" || text(&source["label"]) != "Data source" {
        found.push("the datasource variable isn't called datasource, with the label Data source".to_owned());
    }
    if text(&source["query"]) != "prometheus" {
        found.push("the datasource variable isn't for Prometheus".to_owned());
    }
}

fn cluster(board: &Board, _: &Fleet, found: &mut Vec<String>) {
    for (name, label, required) in [("cluster", "Cluster", true), ("node", "Node", false)] {
        match board.variable(name) {
            None if required => found.push(format!("has no variable {name}")),
            Some(variable) if text(&variable["label"]) != label => {
                found.push(format!("the label of variable {name} isn't {label}"));
            }
            Some(variable) if text(&variable["type"]) != "query" => {
                found.push(format!("variable {name} isn't filled by a query"));
            }
            _ => {}
        }
    }
}

/// The linter wants the value `.+` for "all". Ours is `.*`: a scrape without a cluster label, a container without a namespace
/// and a workload without a model belong to "all". And "all" need not be offered, as the dashboard of a node isn't one of all nodes.
fn all(board: &Board, _: &Fleet, found: &mut Vec<String>) {
    for variable in queried(board) {
        let name = text(&variable["name"]);
        if variable["multi"] != true {
            found.push(format!("variable {name} doesn't take several values"));
        } else if variable["includeAll"] == true && text(&variable["allValue"]) != ".*" {
            found.push(format!("the value of variable {name} for all isn't .*"));
        }
        if text(&variable["label"]).is_empty() || text(&variable["description"]).is_empty() {
            found.push(format!("variable {name} has no label or no description"));
        }
    }
}

fn label_promql(board: &Board, _: &Fleet, found: &mut Vec<String>) {
    let values = board.values();
    for variable in queried(board) {
        let name = text(&variable["name"]);
        match promql::of_variable(query_of(variable)) {
            None => found.push(format!("variable {name} asks for no selector: {}", query_of(variable))),
            Some(expr) => {
                if let Err(why) = promql::parse(expr, &values) {
                    found.push(format!("variable {name}: {expr}: {why}"));
                }
            }
        }
    }
}

fn reload(board: &Board, _: &Fleet, found: &mut Vec<String>) {
    for variable in queried(board) {
        if variable["refresh"] != ON_TIME_RANGE_CHANGED {
            found.push(format!(
                "variable {} isn't asked for again on time range change",
                text(&variable["name"])
            ));
        }
    }
}

/// The expressions in queries of variables, where they parse.
pub(super) fn queries(board: &Board) -> Vec<(String, promql::Query)> {
    let values = board.values();
    queried(board)
        .filter_map(|variable| {
            let query = promql::parse(promql::of_variable(query_of(variable))?, &values).ok()?;
            Some((format!("variable {}", text(&variable["name"])), query))
        })
        .collect()
}
