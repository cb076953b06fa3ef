//! Sets to work what looks for the names of owners.

use std::sync::Arc;

use crate::config::Settings;
use crate::identity::containers::{self, Places, Wish};
use crate::identity::files::HostRoot;
use crate::identity::kubernetes::{self, PodNames};
use crate::identity::{Job, NameBoard, Service, Workers, jobs, podresources, start, vm};

/// Begins to look for names, each source in a thread of its own, and puts them on the board.
pub(super) fn begin(settings: &Settings, board: &Arc<NameBoard>) -> Workers {
    let root = || HostRoot::new(&settings.path.rootfs);
    let collectors = &settings.collector;
    let mut asked: Vec<Job> = Vec::new();
    let mut services: Vec<(&'static str, Service)> = Vec::new();
    if collectors.kubernetes {
        match kubernetes::pod_names(settings) {
            Some(PodNames::Watched(service)) => services.push((kubernetes::NAME, service)),
            Some(PodNames::Asked(job)) => asked.push(job),
            None => {}
        }
    }
    if collectors.podresources {
        let socket = settings.kubernetes.pod_resources.clone();
        services.push(("podresources", podresources::service(root(), socket)));
    }
    if collectors.containers {
        let (rootfs, procfs) = (settings.path.rootfs.clone(), settings.path.procfs.clone());
        let wish =
            Wish { labels: settings.names.labels.clone(), annotations: settings.names.annotations.clone() };
        asked.push(containers::job(Places { rootfs, procfs }, wish));
    }
    if collectors.jobs {
        asked.push(jobs::job(settings));
    }
    if collectors.vms {
        asked.push(vm::job(root(), settings.path.procfs.clone()));
    }
    start(asked, services, board)
}
