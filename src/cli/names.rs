//! Sets to work what looks for the names of owners.

use std::sync::Arc;

use crate::config::Settings;
use crate::identity::kubernetes::{self, PodNames};
use crate::identity::{NameBoard, Workers, start};

/// Begins to look for names, each source in a thread of its own.
pub(super) fn begin(settings: &Settings) -> (Arc<NameBoard>, Workers) {
    let board = Arc::new(NameBoard::new());
    let (mut jobs, mut services) = (Vec::new(), Vec::new());
    if settings.collector.kubernetes {
        match kubernetes::pod_names(settings) {
            Some(PodNames::Watched(service)) => services.push((kubernetes::NAME, service)),
            Some(PodNames::Asked(job)) => jobs.push(job),
            None => {}
        }
    }
    let workers = start(jobs, services, &board);
    (board, workers)
}
