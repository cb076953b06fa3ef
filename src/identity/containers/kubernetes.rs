//! What the kubelet tells every runtime about a container.

use crate::identity::containers::Known;
use crate::identity::containers::tags::{Tags, Wish, get, word};
use crate::identity::{ContainerFacts, Details, PodFacts};
use crate::workloads::owner::Runtime;

/// How a runtime says what the kubelet told it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told<'a> {
    /// The pod's namespace.
    pub(super) namespace: &'a str,
    /// The pod's name.
    pub(super) pod: &'a str,
    /// The container's name; a sandbox's doesn't matter.
    pub(super) container: &'a str,
    /// Whether it is the pod's sandbox.
    pub(super) is_sandbox: bool,
    /// The image.
    pub(super) image: &'a str,
}

/// From the labels that the kubelet gives to containers and sandboxes (kubelet's types/labels.go, unchanged since 1.6).
pub(super) fn from_labels<'a>(labels: &'a Tags, is_sandbox: bool, image: &'a str) -> Option<Told<'a>> {
    Some(Told {
        namespace: get(labels, "io.kubernetes.pod.namespace").unwrap_or_default(),
        pod: get(labels, "io.kubernetes.pod.name")?,
        container: get(labels, "io.kubernetes.container.name").unwrap_or_default(),
        is_sandbox,
        image,
    })
}

/// All that is known of such a container.
pub(super) fn known(
    runtime: Runtime,
    told: Told<'_>,
    labels: &Tags,
    annotations: &Tags,
    wish: &Wish,
) -> Known {
    let details = wish.details(told.image, labels, annotations);
    let container = if told.is_sandbox { "" } else { told.container };
    // Only a sandbox has the labels of its pod.
    let of_pod =
        if told.is_sandbox { Details { image: "".into(), ..details.clone() } } else { Details::default() };
    let pod = PodFacts { namespace: word(told.namespace), pod: word(told.pod), details: of_pod };
    let facts = ContainerFacts {
        namespace: pod.namespace.clone(),
        pod: pod.pod.clone(),
        container: word(container),
        runtime: Some(runtime),
        is_sandbox: told.is_sandbox,
        details,
    };
    Known { facts, pod: (!told.pod.is_empty()).then_some(pod), gpus: Vec::new() }
}
