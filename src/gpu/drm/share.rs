//! Shares one scanner among the readers of all cards: whoever comes first in a tick makes the scan.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::scan::{Sample, Scanner};
use crate::meters::Tick;

/// How long others wait for a scan that is being made.
const WAIT: Duration = Duration::from_millis(250);
/// A scan that takes longer hangs in a driver; nobody waits for it then.
const PATIENCE: Duration = Duration::from_secs(2);

/// The scanner and what it found last. The lock is never held while anything is read.
#[derive(Debug)]
pub(super) struct SharedScanner {
    state: Mutex<State>,
    done: Condvar,
}

#[derive(Debug)]
struct State {
    /// None while somebody scans.
    scanner: Option<Box<Scanner>>,
    sample: Option<Arc<Sample>>,
    began: Tick,
}

impl SharedScanner {
    pub(super) fn new(procfs: &Path, sysfs: &Path) -> Self {
        let scanner = Some(Box::new(Scanner::new(procfs, sysfs)));
        Self {
            state: Mutex::new(State { scanner, sample: None, began: Tick::default() }),
            done: Condvar::new(),
        }
    }

    /// This tick's scan for a reader whose last tick was `interval` ago: one that is younger than half of that. An older one,
    /// or none, while another reader's scan hangs.
    pub(super) fn sample(&self, now: Tick, interval: Duration) -> Option<Arc<Sample>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_fresh =
            |sample: &Arc<Sample>| now.monotonic.saturating_sub(sample.at.monotonic) < interval / 2;
        if state.sample.as_ref().is_some_and(is_fresh) {
            return state.sample.clone();
        }
        let Some(mut scanner) = state.scanner.take() else {
            if now.monotonic.saturating_sub(state.began.monotonic) > PATIENCE {
                return state.sample.clone();
            }
            let wait = (interval / 4).min(WAIT);
            let waited = self.done.wait_timeout_while(state, wait, |state| state.scanner.is_none());
            return waited.unwrap_or_else(PoisonError::into_inner).0.sample.clone();
        };
        state.began = now;
        drop(state);
        let sample = Arc::new(scanner.scan(now));
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.scanner, state.sample) = (Some(scanner), Some(Arc::clone(&sample)));
        self.done.notify_all();
        Some(sample)
    }
}
