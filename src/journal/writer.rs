//! Saving from the threads that fetch: it may fail, which they need not care about.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tracing::{info, warn};

use super::{Journal, SourceKey};
use crate::carbon::fetch::Store;
use crate::carbon::grid::GridSeries;
use crate::units::UnixTime;

/// A source is saved once in this time at most: each save writes all of it, and disks wear out.
pub(super) const PAUSE: Duration = Duration::from_secs(600);

/// Saves series of the configured sources. Of failures in a row only the first is logged, and then the recovery.
#[derive(Debug)]
pub struct JournalWriter {
    journal: Arc<Journal>,
    sources: Vec<SourceKey>,
    /// When each was last saved.
    saved: Mutex<Vec<Option<UnixTime>>>,
    failing: AtomicBool,
}

impl JournalWriter {
    /// A writer for these sources, in the order of the configuration.
    pub fn new(journal: impl Into<Arc<Journal>>, sources: Vec<SourceKey>) -> Self {
        let saved = Mutex::new(vec![None; sources.len()]);
        Self { journal: journal.into(), sources, saved, failing: AtomicBool::new(false) }
    }

    /// Keeps series of a source, which is named by its place, unless that was done a short while ago. `now` is the time of
    /// day.
    pub fn save(&self, source: usize, series: &[Arc<GridSeries>], now: UnixTime) {
        let Some(key) = self.sources.get(source).filter(|_| self.is_due(source, now)) else { return };
        match self.journal.save_series(key, series, now) {
            Ok(()) => {
                self.note(source, now);
                if self.failing.swap(false, Ordering::Relaxed) {
                    info!(path = %self.journal.path().display(), "grid data is kept again");
                }
            }
            Err(error) => {
                if !self.failing.swap(true, Ordering::Relaxed) {
                    warn!(%error, "grid data can't be kept; it is used all the same, but a restart will forget it");
                }
            }
        }
    }

    /// The same as a function that the fetching threads share.
    pub fn into_function(self) -> Store {
        Arc::new(move |source, series, now| self.save(source, series, now))
    }

    #[cfg(test)]
    pub(super) fn journal(&self) -> &Journal {
        &self.journal
    }

    fn is_due(&self, source: usize, now: UnixTime) -> bool {
        let saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        let last = saved.get(source).copied().flatten();
        // A clock that was set back must not keep it from being saved.
        last.is_none_or(|last| now < last || now >= last.after(PAUSE))
    }

    fn note(&self, source: usize, now: UnixTime) {
        let mut saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(saved) = saved.get_mut(source) {
            *saved = Some(now);
        }
    }
}
