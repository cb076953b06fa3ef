//! Saving from the threads that fetch: it may fail, which they need not care about.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::{info, warn};

use super::{Journal, SourceKey};
use crate::carbon::fetch::Store;
use crate::carbon::grid::GridSeries;

/// Saves series of the configured sources. Of failures in a row only the first is logged, and then the recovery.
#[derive(Debug)]
pub struct JournalWriter {
    journal: Journal,
    sources: Vec<SourceKey>,
    failing: AtomicBool,
}

impl JournalWriter {
    /// A writer for these sources, in the order of the configuration.
    pub fn new(journal: Journal, sources: Vec<SourceKey>) -> Self {
        Self { journal, sources, failing: AtomicBool::new(false) }
    }

    /// Keeps series of a source, which is named by its place. The latest time at which any of them was fetched is taken as
    /// the time of day.
    pub fn save(&self, source: usize, series: &[Arc<GridSeries>]) {
        let (Some(source), Some(now)) =
            (self.sources.get(source), series.iter().map(|series| series.fetched_at).max())
        else {
            return;
        };
        match self.journal.save_series(source, series, now) {
            Ok(()) => {
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
        Arc::new(move |source, series| self.save(source, series))
    }
}
