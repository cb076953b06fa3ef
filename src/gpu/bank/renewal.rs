//! When a backend's library is initialised anew, and how often that may be.

use std::sync::Arc;
use std::time::Duration;

use crate::gpu::BackendFailure;

/// The longest wait between two times; after as long without any wish the waits begin anew.
const LAST: Duration = Duration::from_secs(300);
/// So many searches in a row that only a new container can mend make it certain.
const STALE: u32 = 6;

/// Plans to initialise a library anew: at once, but the more seldom the more often it is wanted.
#[derive(Debug)]
pub(super) struct Renewal {
    first: Duration,
    at: Option<Duration>,
    last: Option<Duration>,
    wait: Duration,
    /// Whether the readers are being dropped.
    clearing: bool,
    /// Whether that began in this tick.
    fresh: bool,
}

impl Renewal {
    /// `first`: the first wait between two times.
    pub(super) const fn new(first: Duration) -> Self {
        Self { first, at: None, last: None, wait: first, clearing: false, fresh: false }
    }

    /// Plans it, if it isn't planned already.
    pub(super) fn want(&mut self, now: Duration) {
        if self.at.is_some() {
            return;
        }
        self.at = Some(match self.last {
            Some(last) if now.saturating_sub(last) < LAST => {
                let at = now.max(last + self.wait);
                self.wait = (self.wait * 2).min(LAST);
                at
            }
            _ => {
                self.wait = self.first;
                now
            }
        });
    }

    pub(super) fn is_due(&self, now: Duration) -> bool {
        self.at.is_some_and(|at| at <= now)
    }

    /// Notes that the readers are being dropped. False if they are already.
    pub(super) const fn clear(&mut self) -> bool {
        if self.clearing {
            return false;
        }
        (self.clearing, self.fresh) = (true, true);
        true
    }

    /// Notes that nobody is waited for any more.
    pub(super) const fn end_clearing(&mut self) {
        self.clearing = false;
    }

    pub(super) const fn is_clearing(&self) -> bool {
        self.clearing
    }

    /// Whether it began in this tick.
    pub(super) const fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// Notes that a tick is over.
    pub(super) const fn end_tick(&mut self) {
        self.fresh = false;
    }

    /// Notes that the library was told to begin anew.
    pub(super) const fn begun(&mut self, now: Duration) {
        if self.at.take().is_some() {
            self.last = Some(now);
        }
    }

    /// Forgets what was planned.
    pub(super) const fn cancel(&mut self) {
        (self.at, self.clearing) = (None, false);
    }
}

/// Counts searches that only a new container can mend.
#[derive(Debug, Default)]
pub(super) struct Staleness {
    count: u32,
    reason: Option<Arc<str>>,
}

impl Staleness {
    /// Takes a failure. One of another kind begins the count anew.
    pub(super) fn count(&mut self, failure: &BackendFailure) {
        if failure.needs_new_container {
            self.count = self.count.saturating_add(1);
            self.reason = Some(Arc::clone(&failure.reason));
        } else {
            *self = Self::default();
        }
    }

    /// Why only a new container helps, once that is certain.
    pub(super) fn reason(&self) -> Option<&str> {
        self.reason.as_deref().filter(|_| self.count >= STALE)
    }
}
