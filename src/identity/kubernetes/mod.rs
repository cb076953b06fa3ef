//! Names of pods and their containers.
//!
//! The API server tells them by a watch that is limited to this node's pods, for which listing and watching pods is
//! all that must be allowed. Without it the kubelet may be asked for its list, or the directories of its logs tell the names
//! and nothing more.

mod api;
mod bounded;
mod client;
mod kubelet;
mod log_directories;
mod owner_chain;
mod pod;
mod poll;
mod roster;
mod sighting;
#[cfg(test)]
mod tests;

use std::env;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::config::{PodSource, Settings};
use crate::identity::files::HostRoot;
use crate::identity::{Job, Service};

/// The collector.
pub const NAME: &str = "kubernetes";
/// The address of the API server, in every pod (kubernetes.io, "Accessing the Kubernetes API from a Pod").
const SERVICE_HOST: &str = "KUBERNETES_SERVICE_HOST";
/// By convention the downward API puts `spec.nodeName` there.
const NODE_NAME: &str = "NODE_NAME";
/// How much longer than its series a name stays.
const GRACE: Duration = Duration::from_secs(60);

/// Whether the reason of a failure is that the daemon's account may not ask.
pub fn is_refusal(reason: &str) -> bool {
    [client::REFUSED, client::UNKNOWN_ACCOUNT, client::NO_CREDENTIALS, kubelet::REFUSED].contains(&reason)
}

/// Who tells the names of pods.
pub enum PodNames {
    /// Somebody who says whenever something changes.
    Watched(Service),
    /// Somebody who must be asked.
    Asked(Job),
}

/// Who tells the names of pods on this node; none where it isn't a node of a cluster, as far as can be seen.
pub fn pod_names(settings: &Settings) -> Option<PodNames> {
    let root = HostRoot::new(&settings.path.rootfs);
    let has_logs = root.stamp(Path::new(log_directories::PODS)).is_ok();
    let has_api = settings.kubernetes.kubeconfig.is_some() || env::var_os(SERVICE_HOST).is_some();
    let source = match settings.kubernetes.source {
        PodSource::Auto if has_api => PodSource::Api,
        PodSource::Auto if has_logs => PodSource::Files,
        PodSource::Auto => return None,
        given => given,
    };
    let grace = settings.limits.retention.saturating_add(GRACE);
    let selection = sighting::Selection::new(&settings.names);
    let node = given_node(settings);
    Some(match source {
        PodSource::Kubelet => {
            let kubelet = kubelet::Kubelet::new(&settings.kubernetes);
            PodNames::Asked(poll::job(move || kubelet.read(&selection), grace))
        }
        PodSource::Files => {
            let node = node.unwrap_or_default();
            PodNames::Asked(poll::job(move || log_directories::read(&root, &node), grace))
        }
        PodSource::Api | PodSource::Auto => {
            // While nothing was heard from the API server yet, what is on disk is better than nothing.
            let stand_in = (settings.kubernetes.source == PodSource::Auto && has_logs).then_some(root);
            let watch = api::Watch {
                node: node.or_else(|| host_name(&settings.path.procfs)),
                kubeconfig: settings.kubernetes.kubeconfig.clone(),
                selection,
                grace,
                stand_in,
            };
            PodNames::Watched(Box::new(move |board, stopped| api::serve(watch, board, stopped)))
        }
    })
}

/// The node's name, where somebody gave it.
fn given_node(settings: &Settings) -> Option<String> {
    let given = settings.kubernetes.node.clone().or_else(|| env::var(NODE_NAME).ok());
    given.filter(|name| !name.is_empty())
}

/// The name by which the kubelet calls its node unless it is told otherwise: the host's, in small letters
/// (kubernetes/kubernetes, pkg/util/node/node.go).
fn host_name(procfs: &Path) -> Option<String> {
    let name = fs::read_to_string(procfs.join("sys/kernel/hostname")).ok()?;
    Some(name.trim().to_lowercase()).filter(|name| !name.is_empty())
}
