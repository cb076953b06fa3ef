//! Sets to work what looks for the names of owners.

use std::sync::Arc;

use crate::config::Settings;
use crate::identity::files::HostRoot;
use crate::identity::{NameBoard, Service, Workers, podresources, start};

/// Begins to look for names, each source in a thread of its own.
pub(super) fn begin(settings: &Settings) -> (Arc<NameBoard>, Workers) {
    let board = Arc::new(NameBoard::new());
    let root = HostRoot::new(&settings.path.rootfs);
    let mut services: Vec<(&'static str, Service)> = Vec::new();
    if settings.collector.podresources {
        let socket = settings.kubernetes.pod_resources.clone();
        services.push(("podresources", podresources::service(root, socket)));
    }
    let workers = start(Vec::new(), services, &board);
    (board, workers)
}
