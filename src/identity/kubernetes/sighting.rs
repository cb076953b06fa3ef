//! What one look at a pod tells of it and of its containers.

use std::collections::BTreeMap;

use super::owner_chain::top_owner;
use super::pod::{ContainerStatus, Pod};
use crate::config::Names;
use crate::identity::{ContainerFacts, Details, PodFacts, label_name};
use crate::workloads::owner::Runtime;

/// The hash of a static pod's manifest, by which the kubelet calls the pod on its node. The pod that stands for it in the API
/// has another UID (kubernetes/kubernetes, pkg/kubelet/types/pod_update.go).
const CONFIG_HASH: &str = "kubernetes.io/config.hash";
const PHASE: &str = "wattprint.io/phase";
const MODEL: &str = "wattprint.io/model";
const VARIANT: &str = "wattprint.io/variant";

/// Containers of one pod that are kept, restarted ones among them.
const MOST_CONTAINERS: usize = 1_000;
/// Bytes of a name; what Kubernetes allows.
const LONGEST_NAME: usize = 253;
/// Bytes of an image's name and of the value of a label or an annotation: an annotation may hold 256 KiB.
const LONGEST_VALUE: usize = 512;

/// What is taken from pods beside their names.
#[derive(Clone, Debug, Default)]
pub(super) struct Selection {
    /// Keys of labels, and the names under which they are shown.
    labels: Vec<(String, Box<str>)>,
    /// The same of annotations.
    annotations: Vec<(String, Box<str>)>,
}

/// A pod that was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sighting {
    /// What tells it from all others.
    pub(super) key: Box<str>,
    /// Its UIDs in the names of cgroups.
    pub(super) uids: Vec<Box<str>>,
    /// What is known of it.
    pub(super) facts: PodFacts,
    /// Its containers by id.
    pub(super) containers: Vec<(Box<str>, ContainerFacts)>,
}

impl Selection {
    /// What the settings ask for.
    pub(super) fn new(names: &Names) -> Self {
        let shown = |prefix: &str, keys: &[String]| {
            keys.iter().map(|key| (key.clone(), label_name(prefix, key))).collect()
        };
        Self { labels: shown("label", &names.labels), annotations: shown("annotation", &names.annotations) }
    }

    fn extra(&self, pod: &Pod) -> Vec<(Box<str>, Box<str>)> {
        let mut extra: Vec<(Box<str>, Box<str>)> = Vec::new();
        let sources = [(&self.labels, &pod.metadata.labels), (&self.annotations, &pod.metadata.annotations)];
        for (keys, values) in sources {
            for (key, name) in keys {
                let is_taken = extra.iter().any(|(taken, _)| taken == name);
                if let Some(value) = values.get(key).filter(|_| !is_taken) {
                    extra.push((name.clone(), clip(value, LONGEST_VALUE)));
                }
            }
        }
        extra
    }
}

impl Sighting {
    /// What a pod tells; none where it hasn't even a name.
    pub(super) fn of(pod: &Pod, selection: &Selection) -> Option<Self> {
        let metadata = &pod.metadata;
        if metadata.uid.is_empty() || metadata.name.is_empty() {
            return None;
        }
        let key = clip(&metadata.uid, LONGEST_NAME);
        let mut uids = vec![key.clone()];
        if let Some(hash) = metadata.annotations.get(CONFIG_HASH).map(|hash| clip(hash, LONGEST_NAME))
            && hash != key
            && !hash.is_empty()
        {
            uids.push(hash);
        }
        let (owner_kind, owner_name) = top_owner(metadata);
        let own = |key| marked(&metadata.annotations, key).or_else(|| marked(&metadata.labels, key));
        let details = Details {
            image: "".into(),
            owner_kind: clip(owner_kind, LONGEST_NAME),
            owner_name: clip(owner_name, LONGEST_NAME),
            node: clip(&pod.spec.node_name, LONGEST_NAME),
            phase: own(PHASE).unwrap_or_default(),
            model: own(MODEL).unwrap_or_default(),
            variant: own(VARIANT).unwrap_or_default(),
            extra: selection.extra(pod),
        };
        let facts = PodFacts {
            namespace: clip(&metadata.namespace, LONGEST_NAME),
            pod: clip(&metadata.name, LONGEST_NAME),
            details,
        };
        let mut containers: Vec<(Box<str>, ContainerFacts)> = Vec::new();
        for status in pod.status.containers() {
            for (runtime, id) in ids(status) {
                if containers.len() < MOST_CONTAINERS && !containers.iter().any(|(known, _)| **known == *id) {
                    containers.push((id.into(), container(pod, &facts, status, runtime)));
                }
            }
        }
        Some(Self { key, uids, facts, containers })
    }
}

fn container(
    pod: &Pod,
    facts: &PodFacts,
    status: &ContainerStatus,
    runtime: Option<Runtime>,
) -> ContainerFacts {
    let image = pod.spec.image(&status.name).unwrap_or(&status.image);
    ContainerFacts {
        namespace: facts.namespace.clone(),
        pod: facts.pod.clone(),
        container: clip(&status.name, LONGEST_NAME),
        runtime,
        is_sandbox: false,
        details: Details { image: clip(image, LONGEST_VALUE), ..facts.details.clone() },
    }
}

/// The ids that a container has or had, the present one first.
fn ids(status: &ContainerStatus) -> impl Iterator<Item = (Option<Runtime>, &str)> {
    let ids = [
        &status.container_id,
        &status.state.terminated.container_id,
        &status.last_state.terminated.container_id,
    ];
    ids.into_iter().filter(|_| !status.name.is_empty()).filter_map(|id| parse_id(id))
}

/// `containerd://<id>`.
fn parse_id(text: &str) -> Option<(Option<Runtime>, &str)> {
    let (scheme, id) = text.split_once("://")?;
    let is_id = (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let runtime = match scheme {
        "containerd" => Some(Runtime::Containerd),
        "docker" => Some(Runtime::Docker),
        "cri-o" => Some(Runtime::Crio),
        _ => None,
    };
    is_id.then_some((runtime, id))
}

fn marked(values: &BTreeMap<String, String>, key: &str) -> Option<Box<str>> {
    values.get(key).filter(|value| !value.is_empty()).map(|value| clip(value, LONGEST_VALUE))
}

/// A text, cut off after so many bytes.
fn clip(text: &str, most: usize) -> Box<str> {
    let end = (0..=most.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    text.get(..end.unwrap_or(0)).unwrap_or_default().into()
}
