//! The Helm chart and the plain manifests render, fit the schemas of all versions of Kubernetes, agree with one another and
//! with the repository's rules and dashboards, and hold no finding of a policy scan that isn't explained. The tests are in
//! Python, beside this file, as what they ask is; `make tools` gives them what they need, and nothing is installed here.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on has failed")]

use std::path::Path;
use std::process::Command;

/// The files of tests. Each is a test here, so that they run side by side.
const FILES: [&str; 5] =
    ["test_contents.py", "test_kustomize.py", "test_policy.py", "test_schemas.py", "test_values.py"];
/// What the environment is made of, in the order in which it notes that.
const REQUIREMENTS: [&str; 5] =
    ["requirements.txt", "constraints.txt", "requirements-programs.txt", "package-lock.json", "programs.py"];

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a file of tests, and shows what it says where one fails.
fn run(file: &str) {
    let environment = repository().join("target/charts-venv");
    let done = Command::new(environment.join("bin/python"))
        .current_dir(repository().join("tests/charts"))
        .args(["-m", "pytest", "-q", "-p", "no:cacheprovider", file])
        .env_remove("PYTHONPATH")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("WATTPRINT_BINARY", env!("CARGO_BIN_EXE_wattprint"))
        .output()
        .unwrap_or_else(|why| panic!("no Python in {}, `make tools` makes it: {why}", environment.display()));
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
    assert!(said.contains(" passed"), "{file} has no tests: {said}");
}

#[test]
fn the_environment_is_of_these_requirements() {
    let wanted: Vec<u8> = REQUIREMENTS
        .iter()
        .flat_map(|file| std::fs::read(repository().join("tests/charts").join(file)).unwrap())
        .collect();
    let installed = std::fs::read(repository().join("target/charts-venv/installed")).unwrap_or_default();
    assert!(
        installed == wanted,
        "target/charts-venv isn't what tests/charts asks for: `make tools` makes it"
    );
}

#[test]
fn all_files_are_run() {
    let mut found: Vec<String> = std::fs::read_dir(repository().join("tests/charts"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("test_"))
        .collect();
    found.sort();
    assert_eq!(found, FILES);
}

#[test]
fn rules_and_dashboards_are_those_of_the_repository() {
    run("test_contents.py");
}

#[test]
fn the_manifests_agree_with_the_chart() {
    run("test_kustomize.py");
}

#[test]
fn findings_of_a_policy_scan_are_explained() {
    run("test_policy.py");
}

#[test]
fn what_is_rendered_fits_the_schemas() {
    run("test_schemas.py");
}

#[test]
fn wrong_values_are_refused() {
    run("test_values.py");
}
