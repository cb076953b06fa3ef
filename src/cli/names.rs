//! Sets to work what looks for the names of owners.

use std::sync::Arc;

use crate::config::Settings;
use crate::identity::files::HostRoot;
use crate::identity::{NameBoard, Workers, start, vm};

/// Begins to look for names, each source in a thread of its own.
pub(super) fn begin(settings: &Settings) -> (Arc<NameBoard>, Workers) {
    let board = Arc::new(NameBoard::new());
    let mut jobs = Vec::new();
    if settings.collector.vms {
        jobs.push(vm::job(HostRoot::new(&settings.path.rootfs), settings.path.procfs.clone()));
    }
    let workers = start(jobs, Vec::new(), &board);
    (board, workers)
}
