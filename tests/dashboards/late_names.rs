//! Containers whose names are learned after their counters began: what promtool makes of the panels' expressions.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::board::{Fleet, list, text};

const BOARD: &str = "wattprint-workloads";

/// A container's id, its namespace and pod when its counter began, those of now, and its power in watts. Without an id it is a pod's
/// own share.
const CONTAINERS: &[(&str, &str, &str, &str, &str, u32)] = &[
    ("late", "", "5e0c", "shop", "web-1", 1),
    ("early", "shop", "db-0", "shop", "db-0", 2),
    ("", "shop", "db-0", "shop", "db-0", 4),
    ("elsewhere", "", "77ab", "other", "api-1", 8),
    ("docker", "", "", "", "", 16),
];

/// A minute between two samples.
fn series() -> Vec<Value> {
    let mut found = Vec::new();
    for (id, was_in, was_pod, namespace, pod, watts) in CONTAINERS {
        let energy = format!(
            r#"wattprint_container_energy_joules_total{{instance="n", namespace="{was_in}", pod="{was_pod}", container="", container_id="{id}", component="cpu", state="active"}}"#
        );
        let info = format!(
            r#"wattprint_container_info{{instance="n", namespace="{namespace}", pod="{pod}", container="c", container_id="{id}", owner_name="w"}}"#
        );
        found.push(json!({"series": energy, "values": format!("0+{}x10", watts * 60)}));
        found.push(json!({"series": info, "values": "1x10"}));
    }
    found
}

/// The first query of a panel, with a namespace chosen.
fn asked(panel: &str, namespace: &str) -> String {
    let fleet = Fleet::committed();
    let panels = fleet.by_uid(BOARD).unwrap().panels();
    let panel = panels.into_iter().find(|each| text(&each["title"]) == panel).unwrap();
    let expr = text(&list(&panel["targets"])[0]["expr"]);
    let filled = expr.replace("$__rate_interval", "5m").replace("$namespace", namespace);
    ["$cluster", "$node", "$pod", "$workload"].into_iter().fold(filled, |expr, each| expr.replace(each, ".*"))
}

/// Whether an expression gives these samples, after eight minutes.
fn gives(expr: &str, samples: &[(&str, u32)]) {
    let samples: Vec<Value> =
        samples.iter().map(|(labels, value)| json!({"labels": labels, "value": value})).collect();
    let test = json!({"tests": [{
        "interval": "1m", "input_series": series(),
        "promql_expr_test": [{"expr": expr, "eval_time": "8m", "exp_samples": samples}],
    }]});
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.yml");
    fs::write(&path, test.to_string()).unwrap();
    let ran = Command::new("promtool").args(["test", "rules"]).arg(&path).output().unwrap();
    assert!(
        ran.status.success(),
        "{}{}",
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr)
    );
}

#[test]
fn they_are_shown_by_the_name_of_now() {
    gives(
        &asked("Power by pod, highest ten", "shop"),
        &[(r#"{namespace="shop", pod="web-1"}"#, 1), (r#"{namespace="shop", pod="db-0"}"#, 6)],
    );
    gives(&asked("Power by state", "shop"), &[(r#"{state="active"}"#, 7)]);
    gives(&asked("Power by state", ".*"), &[(r#"{state="active"}"#, 31)]);
}

#[test]
fn they_have_a_namespace() {
    let outside = asked("Containers without a namespace", ".*");
    gives(&outside, &[(r#"{instance="n", container_id="docker"}"#, 16)]);
    gives(&asked("Containers without a namespace", "shop"), &[]);
}
