//! What promtool says of the rules, of their unit tests, and of the example of a configuration.

use std::fs;
use std::path::PathBuf;

use crate::files::files;
use crate::{repository, tool_ok};

fn texts(paths: &[PathBuf]) -> Vec<&str> {
    paths.iter().map(|path| path.to_str().unwrap()).collect()
}

/// Checks all rule files, with the linters that there are.
pub(crate) fn check_rules() -> String {
    let paths = files("deploy/prometheus/rules", ".yml");
    tool_ok("promtool", &[&["check", "rules", "--lint=all", "--lint-fatal"], &*texts(&paths)].concat())
}

#[test]
fn rules_are_valid() {
    check_rules();
}

#[test]
fn unit_tests_of_rules_pass() {
    let paths = files("tests/rules", "_test.yml");
    let said = tool_ok("promtool", &[&["test", "rules"], &*texts(&paths)].concat());
    assert_eq!(said.matches("SUCCESS").count(), paths.len(), "{said}");
}

#[test]
fn every_file_of_rules_has_a_unit_test() {
    let tests: String =
        files("tests/rules", "_test.yml").iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    for path in files("deploy/prometheus/rules", ".yml") {
        let name = path.file_name().unwrap().to_str().unwrap();
        // Constants have nothing to work out; a test compares them with their table.
        if name != "reference.yml" {
            assert!(tests.contains(&format!("/{name}\n")), "no unit test loads {name}");
        }
    }
}

#[test]
fn the_example_of_a_configuration_is_valid_and_keeps_the_labels_of_workloads() {
    let said = tool_ok("promtool", &["check", "config", "deploy/prometheus/prometheus.yml"]);
    let count = files("deploy/prometheus/rules", ".yml").len();
    assert!(said.contains(&format!("{count} rule files found")), "{said}");
    let text = fs::read_to_string(repository("deploy/prometheus/prometheus.yml")).unwrap();
    let scrapes = text.matches("job_name: wattprint").count();
    assert!(scrapes > 0);
    assert_eq!(text.matches("honor_labels: true").count(), scrapes);
}
