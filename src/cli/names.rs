//! Sets to work what looks for the names of owners.

use std::sync::Arc;

use crate::config::Settings;
use crate::identity::containers::{self, Places, Wish};
use crate::identity::{NameBoard, Workers, start};

/// Begins to look for names, each source in a thread of its own.
pub(super) fn begin(settings: &Settings) -> (Arc<NameBoard>, Workers) {
    let board = Arc::new(NameBoard::new());
    let mut jobs = Vec::new();
    if settings.collector.containers {
        let (rootfs, procfs) = (settings.path.rootfs.clone(), settings.path.procfs.clone());
        let wish =
            Wish { labels: settings.names.labels.clone(), annotations: settings.names.annotations.clone() };
        jobs.push(containers::job(Places { rootfs, procfs }, wish));
    }
    let workers = start(jobs, Vec::new(), &board);
    (board, workers)
}
