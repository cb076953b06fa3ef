//! Sets to work what looks for the names of owners.

use std::sync::Arc;

use crate::config::Settings;
use crate::identity::{NameBoard, Workers, start};

/// Begins to look for names, each source in a thread of its own.
pub(super) fn begin(_settings: &Settings) -> (Arc<NameBoard>, Workers) {
    let board = Arc::new(NameBoard::new());
    let workers = start(Vec::new(), Vec::new(), &board);
    (board, workers)
}
