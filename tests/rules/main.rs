//! The recording rules and the example of Prometheus, by the checks of Prometheus itself, and by what can be read off them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can't go on has failed"
)]
#![allow(clippy::disallowed_methods, reason = "what is waited for has a deadline, and that needs a clock")]

mod alertmanager;
mod alerts;
mod files;
mod levels;
mod names;
mod promql;
mod promtool;
mod reference;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};

/// A path in the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Runs a program of Debian's packages to its end, in the root of the repository.
pub(crate) fn tool(program: &str, arguments: &[&str]) -> Output {
    Command::new(program)
        .args(arguments)
        .current_dir(repository("."))
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error} (make tools installs it)"))
}

/// The same, and panics with all that it said unless it went well. Returns what it said.
pub(crate) fn tool_ok(program: &str, arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = tool(program, arguments);
    let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(ExitStatus::success(&status), "{program} {}: {status}\n{said}", arguments.join(" "));
    said
}
