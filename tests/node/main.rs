//! The real binary, on the machine that the tests run on and on made-up ones.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can't go on has failed"
)]
#![allow(clippy::disallowed_methods, reason = "what is waited for has a deadline, and that needs a clock")]

mod backends;
mod cgroup;
mod cgroups;
mod daemon;
mod exposition;
mod gpu;
mod grid;
mod hostile;
mod http;
mod kubelet;
mod kubernetes;
mod lifecycle;
mod load;
mod pids;
mod podman;
mod rapl;
mod rapl_tree;
mod reload;
mod slurm;
mod snapshot;
mod systemd;

use std::thread;
use std::time::{Duration, Instant};

/// Asks again and again until there is an answer; panics once `limit` is over.
pub(crate) fn wait_for<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < limit, "waited {limit:?} for {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Says that a test can't be done here, and why.
#[allow(clippy::print_stderr, reason = "whoever runs the tests must see what was left out")]
pub(crate) fn skip(test: &str, why: &str) {
    eprintln!("SKIPPED {test}: {why}");
}

/// Panics unless `seen` is within `tolerance` (a ratio) of `expected`.
pub(crate) fn assert_close(what: &str, seen: f64, expected: f64, tolerance: f64) {
    let off = (seen - expected).abs();
    assert!(
        off <= expected.abs() * tolerance,
        "{what}: {seen}, but expected is {expected} within {tolerance}"
    );
}
