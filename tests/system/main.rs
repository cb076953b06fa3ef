//! The package on machines with a real systemd. Needs root, nspawn and a package: `make test-system` sees to the last two.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can't go on has failed"
)]
#![allow(clippy::disallowed_methods, reason = "what is waited for has a deadline, and that needs a clock")]

#[path = "../node/exposition.rs"]
mod exposition;
mod install;
mod machine;
mod package;
mod privileges;
mod reload;
mod service;

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
        thread::sleep(Duration::from_millis(20));
    }
}

/// Says that a test can't be done here, and why.
#[allow(clippy::print_stderr, reason = "whoever runs the tests must see what was left out")]
pub(crate) fn skip(test: &str, why: &str) {
    eprintln!("SKIPPED {test}: {why}");
}
