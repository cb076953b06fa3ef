//! The image: built from the repository's own Dockerfile, and run as the chart's DaemonSet runs it, beside other containers.
//!
//! `make test-image` lays out what these tests need and runs them; they need root.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can't go on has failed"
)]
#![allow(clippy::disallowed_methods, reason = "what is waited for has a deadline, and that needs a clock")]

mod built;
mod container;
mod contents;
mod daemonset;
mod driver;
mod engine;
#[allow(dead_code, reason = "it is shared with the tests of nodes")]
#[path = "../node/exposition.rs"]
mod exposition;
mod lacking;
mod neighbours;
mod yaml;

use std::thread;
use std::time::{Duration, Instant};

/// A loaded machine may take its time; what is promised to be fast is measured, not waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Asks again and again until there is an answer; panics once there was none for too long.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
