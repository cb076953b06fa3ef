//! The manual's pages and the completions, as the programs that read them see them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on has failed")]

use std::path::Path;
use std::process::Command;

fn wattprint(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_wattprint"))
        .args(arguments)
        .env("SOURCE_DATE_EPOCH", "1700000000")
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What a program says; it must end well and complain about nothing.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; `make tools` installs it"));
    let err = String::from_utf8_lossy(&output.stderr);
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && err.is_empty(), "{program}: {err}{out}");
    out
}

fn completions(dir: &Path, shell: &str, file: &str) -> String {
    let path = dir.join(file);
    std::fs::write(&path, wattprint(&["completions", shell])).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn mandoc_finds_nothing_to_warn_of() {
    let dir = tempfile::tempdir().unwrap();
    wattprint(&["man", dir.path().to_str().unwrap()]);
    let mut pages: Vec<String> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().path().to_str().unwrap().to_owned())
        .collect();
    pages.sort();
    for page in ["wattprint.1", "wattprint-check.1", "wattprint.toml.5"] {
        assert!(pages.iter().any(|path| path.ends_with(page)), "{page} is missing");
    }
    for page in &pages {
        said("mandoc", &["-T", "lint", "-W", "warning", page]);
        let text = std::fs::read_to_string(page).unwrap();
        assert!(
            text.contains("\"2023\\-11\\-14\"") || text.contains("\"2023-11-14\""),
            "{page}: {text:.200}"
        );
        for section in
            ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "FILES", "ENVIRONMENT", "SEE ALSO"]
        {
            assert!(text.contains(&format!(".SH {section}\n")), "{page} has no {section}");
        }
    }
}

#[test]
fn bash_completes_flags_and_commands() {
    let dir = tempfile::tempdir().unwrap();
    let file = completions(dir.path(), "bash", "wattprint");
    let script = "source \"$1\"; for word in --carbon.z che; do COMP_WORDS=(wattprint $word); COMP_CWORD=1; \
                  _wattprint wattprint $word wattprint; echo \"${COMPREPLY[@]}\"; done";
    assert_eq!(said("bash", &["-c", script, "bash", &file]), "--carbon.zone\ncheck\n");
}

#[test]
fn zsh_loads_its_completions() {
    let dir = tempfile::tempdir().unwrap();
    let file = completions(dir.path(), "zsh", "_wattprint");
    said("zsh", &["-n", &file]);
    let script = "fpath=($1 $fpath); autoload -Uz compinit; compinit -u -D; print ${_comps[wattprint]}; \
                  autoload +X _wattprint; whence -w _wattprint";
    let dir = dir.path().to_str().unwrap();
    assert_eq!(said("zsh", &["-f", "-c", script, "zsh", dir]), "_wattprint\n_wattprint: function\n");
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.contains("--carbon.zone=") && text.contains("check:"));
}

#[test]
fn fish_completes_flags_and_commands() {
    let dir = tempfile::tempdir().unwrap();
    let file = completions(dir.path(), "fish", "wattprint.fish");
    let script =
        "source $argv[1]; for word in --carbon.z che 'check --js'; complete -C \"wattprint $word\"; end";
    let out = said("fish", &["--no-config", "-c", script, &file]);
    let first = |line: &str| line.split('\t').next().unwrap_or_default().to_owned();
    let words: Vec<String> = out.lines().map(first).collect();
    assert_eq!(words, ["--carbon.zone", "check", "--json"], "{out}");
}
