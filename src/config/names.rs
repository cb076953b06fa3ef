//! Settings of names: who tells them, and how long they are waited for.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::types;

/// What people call the owners of energy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Names {
    /// How long the series of a new container, pod or job are held back for want of its name; up to 60 s. Its energy is kept
    /// meanwhile.
    #[serde(with = "types::duration")]
    pub wait: Duration,
    /// Labels of pods and containers that stand on `wattprint_container_info`, too.
    pub labels: Vec<String>,
    /// Annotations of pods and containers that stand there, too.
    pub annotations: Vec<String>,
}

impl Default for Names {
    fn default() -> Self {
        Self { wait: Duration::from_secs(10), labels: Vec::new(), annotations: Vec::new() }
    }
}

/// Who tells the names of pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PodSource {
    /// The API server inside a cluster or where a kubeconfig is given; else what the kubelet leaves on disk, if there is any.
    #[default]
    Auto,
    /// The API server.
    Api,
    /// The kubelet's own list of pods.
    Kubelet,
    /// The directories of the kubelet's logs.
    Files,
}

/// Where names and GPU allocations of Kubernetes come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Kubernetes {
    /// Who tells the names of pods.
    pub source: PodSource,
    /// The node's name in Kubernetes; otherwise that of the variable NODE_NAME, else the host name.
    pub node: Option<String>,
    /// Credentials for the API server; otherwise those of the pod that the daemon runs in.
    pub kubeconfig: Option<PathBuf>,
    /// The kubelet.
    pub kubelet_url: String,
    /// The authority of the kubelet's certificate; otherwise that of the cluster.
    pub kubelet_ca_file: Option<PathBuf>,
    /// The token for the kubelet; otherwise that of the pod that the daemon runs in.
    pub kubelet_token_file: Option<PathBuf>,
    /// The kubelet's pod-resources socket, below the host's root.
    pub pod_resources: PathBuf,
}

impl Default for Kubernetes {
    fn default() -> Self {
        Self {
            source: PodSource::Auto,
            node: None,
            kubeconfig: None,
            kubelet_url: "https://127.0.0.1:10250".to_owned(),
            kubelet_ca_file: None,
            kubelet_token_file: None,
            pod_resources: "/var/lib/kubelet/pod-resources/kubelet.sock".into(),
        }
    }
}

/// Batch jobs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Jobs {
    /// The directory into which a prolog script may write a file for each job, below the host's root.
    pub dir: PathBuf,
}

impl Default for Jobs {
    fn default() -> Self {
        Self { dir: "/run/wattprint/jobs".into() }
    }
}
