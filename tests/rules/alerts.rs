//! Every alert says what it means, how bad it is and what to do, and has unit tests for when it fires and for when it doesn't.

use std::collections::BTreeSet;
use std::fs;

use crate::files::{files, rules};
use crate::repository;

const SEVERITIES: [&str; 3] = ["critical", "warning", "info"];
const RUNBOOKS: &str = "https://github.com/wattprint/wattprint/blob/main/docs/runbooks/";

/// An alert's annotations, which the reader of rules leaves out.
#[derive(Debug, Default)]
struct Texts {
    alert: String,
    summary: String,
    description: String,
    runbook: String,
}

/// The texts of all alerts, in the order of the file, by indentation.
fn texts() -> Vec<Texts> {
    let text = fs::read_to_string(repository("deploy/prometheus/rules/alerts.yml")).unwrap();
    let mut all: Vec<Texts> = Vec::new();
    let mut in_description = false;
    for line in text.lines() {
        let bare = line.trim();
        if let Some(name) = line.strip_prefix("      - alert: ") {
            all.push(Texts { alert: name.to_owned(), ..Texts::default() });
        }
        in_description &= line.starts_with("            ");
        let Some(last) = all.last_mut() else { continue };
        if in_description {
            last.description.push_str(bare);
            last.description.push('\n');
        } else if let Some(summary) = line.strip_prefix("          summary: ") {
            last.summary = summary.to_owned();
        } else if let Some(url) = line.strip_prefix("          runbook_url: ") {
            last.runbook = url.to_owned();
        }
        in_description |= line == "          description: >-";
    }
    all
}

/// What a unit test says of an alert at some time: its name, and the severities of those that fire.
fn tested() -> Vec<(String, BTreeSet<String>)> {
    let mut all = Vec::new();
    for path in files("tests/rules", "_test.yml") {
        let text = fs::read_to_string(path).unwrap();
        for part in text.split("alertname: ").skip(1) {
            // The next entry, list or test ends this one.
            let mut lines = part.lines();
            let name = lines.next().unwrap().trim().to_owned();
            let mine = lines.take_while(|line| {
                !(line.starts_with("      - ") || line.starts_with("  - ") || line.starts_with("    promql"))
            });
            let severities =
                mine.filter_map(|line| line.trim().strip_prefix("severity: ")).map(str::to_owned).collect();
            all.push((name, severities));
        }
    }
    all
}

#[test]
fn every_alert_has_a_severity_texts_and_a_runbook() {
    let texts = texts();
    let alerts: Vec<_> = rules().into_iter().filter(|rule| !rule.alert.is_empty()).collect();
    assert!(!alerts.is_empty());
    assert_eq!(texts.len(), alerts.len());
    for (alert, texts) in alerts.iter().zip(&texts) {
        let name = &alert.alert;
        assert_eq!(*name, texts.alert);
        assert!(name.starts_with("Wattprint"), "{name}");
        let severity = alert.label("severity").unwrap_or_default();
        assert!(SEVERITIES.contains(&severity), "{name}: {severity}");
        assert!(!texts.summary.is_empty(), "{name} has no summary");
        assert!(
            texts.description.contains("{{ $value") || texts.description.contains("query"),
            "{name}: no figure"
        );
        assert_eq!(texts.runbook, format!("{RUNBOOKS}{name}.md"));
        let runbook = fs::read_to_string(repository(&format!("docs/runbooks/{name}.md")))
            .unwrap_or_else(|error| panic!("docs/runbooks/{name}.md: {error}"));
        for heading in
            ["## Meaning", "## Impact", "## First look", "## Causes", "## What to do", "## When to silence"]
        {
            assert!(runbook.lines().any(|line| line == heading), "{name}: no {heading}");
        }
    }
}

#[test]
fn thresholds_are_marked() {
    let text = fs::read_to_string(repository("deploy/prometheus/rules/alerts.yml")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    for pair in lines.windows(2) {
        if let [alert, comment] = pair
            && alert.trim_start().starts_with("- alert: ")
        {
            assert!(comment.trim_start().starts_with("# Threshold"), "{alert}: {comment}");
        }
    }
}

#[test]
fn every_alert_is_tested_for_firing_and_for_not_firing() {
    let tested = tested();
    for rule in rules().iter().filter(|rule| !rule.alert.is_empty()) {
        let mine = || tested.iter().filter(|(name, _)| *name == rule.alert).map(|(_, severities)| severities);
        let severity = rule.label("severity").unwrap_or_default();
        assert!(
            mine().any(|found| found.contains(severity)),
            "{} ({severity}) fires in no unit test",
            rule.alert
        );
        assert!(mine().any(BTreeSet::is_empty), "no unit test has {} not firing", rule.alert);
    }
}

#[test]
fn runbooks_docs_and_unit_tests_are_of_alerts_that_there_are() {
    let alerts: BTreeSet<String> =
        rules().into_iter().map(|rule| rule.alert).filter(|alert| !alert.is_empty()).collect();
    let index = fs::read_to_string(repository("docs/runbooks/README.md")).unwrap();
    let page = fs::read_to_string(repository("docs/alerts.md")).unwrap();
    for alert in &alerts {
        assert!(index.contains(&format!("({alert}.md)")), "docs/runbooks/README.md doesn't lead to {alert}");
        assert!(page.contains(&format!("(runbooks/{alert}.md)")), "docs/alerts.md doesn't lead to {alert}");
    }
    for path in files("docs/runbooks", ".md") {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(name == "README" || alerts.contains(&name), "a runbook without an alert: {name}");
    }
    for (name, _) in tested() {
        assert!(alerts.contains(&name), "a unit test of an alert that isn't there: {name}");
    }
}
