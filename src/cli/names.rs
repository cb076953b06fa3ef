//! Sets to work what looks for the names of owners.

use std::sync::Arc;

use crate::config::Settings;
use crate::identity::{NameBoard, Workers, jobs, start};

/// Begins to look for names, each source in a thread of its own.
pub(super) fn begin(settings: &Settings) -> (Arc<NameBoard>, Workers) {
    let board = Arc::new(NameBoard::new());
    let mut sources = Vec::new();
    if settings.collector.jobs {
        sources.push(jobs::job(settings));
    }
    let workers = start(sources, Vec::new(), &board);
    (board, workers)
}
