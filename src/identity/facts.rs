//! What is known of an owner, by family, and the labels that its series are born with.

use std::sync::Arc;

use serde::Serialize;

use crate::workloads::owner::{Owner, Runtime};

/// What only the `_info` families show. It may change while the owner lives.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Details {
    /// The image, as it was asked for.
    pub image: Box<str>,
    /// What made the owner, at the top: `Deployment`, `CronJob`, `StatefulSet`, `Compose`, ...
    pub owner_kind: Box<str>,
    /// Its name.
    pub owner_name: Box<str>,
    /// The node, as the orchestrator calls it.
    pub node: Box<str>,
    /// `wattprint.io/phase`: training, inference, evaluation, ...
    pub phase: Box<str>,
    /// `wattprint.io/model`.
    pub model: Box<str>,
    /// `wattprint.io/variant`.
    pub variant: Box<str>,
    /// More labels and their values, each name once and fit for Prometheus (see [`label_name`]).
    pub extra: Vec<(Box<str>, Box<str>)>,
}

/// What is known of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ContainerFacts {
    /// The namespace in Kubernetes.
    pub namespace: Box<str>,
    /// The pod's name, in Kubernetes or podman.
    pub pod: Box<str>,
    /// The container's name.
    pub container: Box<str>,
    /// What runs it, where that is known better than from its cgroup.
    pub runtime: Option<Runtime>,
    /// Whether it only holds a pod's namespaces (the pause container): what it uses is the pod's own.
    pub is_sandbox: bool,
    /// The rest.
    #[serde(flatten)]
    pub details: Details,
}

/// What is known of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct PodFacts {
    /// The namespace.
    pub namespace: Box<str>,
    /// The pod's name.
    pub pod: Box<str>,
    /// The rest.
    #[serde(flatten)]
    pub details: Details,
}

/// What is known of a batch job.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct JobFacts {
    /// The name that its user gave it.
    pub job_name: Box<str>,
    /// The user's name, or the uid in digits where the name isn't known.
    pub user: Box<str>,
    /// The rest; account and partition are among `extra`.
    #[serde(flatten)]
    pub details: Details,
}

/// What is known of a virtual machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct VmFacts {
    /// The rest; the UUID is among `extra`.
    #[serde(flatten)]
    pub details: Details,
}

/// What is known of one owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Facts {
    /// A container.
    Container(Arc<ContainerFacts>),
    /// A pod.
    Pod(Arc<PodFacts>),
    /// A batch job.
    Job(Arc<JobFacts>),
    /// A virtual machine.
    Vm(Arc<VmFacts>),
}

impl Facts {
    /// What only the `_info` families show.
    pub fn details(&self) -> &Details {
        match self {
            Self::Container(facts) => &facts.details,
            Self::Pod(facts) => &facts.details,
            Self::Job(facts) => &facts.details,
            Self::Vm(facts) => &facts.details,
        }
    }

    /// Whether nothing is missing that the labels of the owner's series should hold.
    pub fn names(&self, owner: &Owner) -> bool {
        match (self, owner) {
            (Self::Container(facts), Owner::Container { pod_uid, .. }) => {
                facts.is_sandbox
                    || !facts.container.is_empty() && (pod_uid.is_empty() || !facts.pod.is_empty())
            }
            (Self::Pod(facts), _) => !facts.pod.is_empty(),
            (Self::Job(facts), _) => !facts.job_name.is_empty() && !facts.user.is_empty(),
            (Self::Container(_) | Self::Vm(_), _) => true,
        }
    }

    /// Whether this is a container that only holds its pod's namespaces.
    pub fn is_sandbox(&self) -> bool {
        matches!(self, Self::Container(facts) if facts.is_sandbox)
    }
}

/// The labels that name an owner in its families. Those of its series are fixed when these begin; what is learned later
/// stands on the `_info` families only.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Title {
    /// `namespace`.
    pub namespace: Box<str>,
    /// `pod`: its name; its UID where the name isn't known.
    pub pod: Box<str>,
    /// `container`; empty for a pod's own share.
    pub container: Box<str>,
    /// `container_id`: the first 12 digits of the id, or all of it where those are another container's, too.
    pub container_id: Box<str>,
    /// `runtime`.
    pub runtime: Box<str>,
    /// `job_name`.
    pub job_name: Box<str>,
    /// `user`.
    pub user: Box<str>,
}

impl Title {
    /// The labels of an owner of which so much is known. `container_id` is the form of its id that is in use.
    pub fn of(owner: &Owner, facts: Option<&Facts>, container_id: &str) -> Self {
        let mut title = Self { container_id: container_id.into(), ..Self::default() };
        match owner {
            Owner::Container { runtime, name, pod_uid, .. } => {
                title.runtime = runtime.as_str().into();
                title.pod = pod_uid.clone();
                title.container = name.clone();
            }
            Owner::Pod { pod_uid } => title.pod = pod_uid.clone(),
            Owner::Job { uid, .. } => title.user = uid.map(|uid| uid.to_string()).unwrap_or_default().into(),
            Owner::Unit { .. } | Owner::Vm { .. } | Owner::System => {}
        }
        match facts {
            Some(Facts::Container(facts)) => {
                overlay(&mut title.namespace, &facts.namespace);
                overlay(&mut title.pod, &facts.pod);
                overlay(&mut title.container, &facts.container);
                if let (Some(runtime), true) = (facts.runtime, title.runtime.is_empty()) {
                    title.runtime = runtime.as_str().into();
                }
            }
            Some(Facts::Pod(facts)) => {
                overlay(&mut title.namespace, &facts.namespace);
                overlay(&mut title.pod, &facts.pod);
            }
            Some(Facts::Job(facts)) => {
                overlay(&mut title.job_name, &facts.job_name);
                overlay(&mut title.user, &facts.user);
            }
            Some(Facts::Vm(_)) | None => {}
        }
        title
    }
}

/// Takes what is known over what was taken for want of better.
fn overlay(known: &mut Box<str>, better: &str) {
    if !better.is_empty() {
        *known = better.into();
    }
}

impl ContainerFacts {
    /// These facts, and where they are silent those of another source of the same container.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        Self {
            namespace: first(&self.namespace, &other.namespace),
            pod: first(&self.pod, &other.pod),
            container: first(&self.container, &other.container),
            runtime: self.runtime.or(other.runtime),
            // Whoever has a name as a container is one.
            is_sandbox: self.container.is_empty() && (self.is_sandbox || other.is_sandbox),
            details: self.details.or(&other.details),
        }
    }
}

impl Details {
    /// These, and where they are silent those of another source.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        let mut extra = self.extra.clone();
        for (name, value) in &other.extra {
            if !extra.iter().any(|(known, _)| known == name) {
                extra.push((name.clone(), value.clone()));
            }
        }
        // What made the owner is one thing with two words: never the kind of one source and the name of another.
        let owner = if self.owner_name.is_empty() { other } else { self };
        Self {
            image: first(&self.image, &other.image),
            owner_kind: owner.owner_kind.clone(),
            owner_name: owner.owner_name.clone(),
            node: first(&self.node, &other.node),
            phase: first(&self.phase, &other.phase),
            model: first(&self.model, &other.model),
            variant: first(&self.variant, &other.variant),
            extra,
        }
    }
}

fn first(one: &str, other: &str) -> Box<str> {
    if one.is_empty() { other.into() } else { one.into() }
}

/// A label name for Prometheus made of a prefix and a key that may hold anything, as kube-state-metrics does it:
/// `label_name("label", "app.kubernetes.io/name")` is `label_app_kubernetes_io_name`.
pub fn label_name(prefix: &str, key: &str) -> Box<str> {
    let key = key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' });
    prefix.chars().chain(['_']).chain(key).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(pod_uid: &str) -> Owner {
        Owner::Container {
            runtime: Runtime::Unknown,
            id: "ab".repeat(32).into(),
            name: "".into(),
            pod_uid: pod_uid.into(),
        }
    }

    #[test]
    fn without_facts_the_ids_stand_for_the_names() {
        let title = Title::of(&container("u-1"), None, "abababababab");
        assert_eq!((&*title.pod, &*title.container, &*title.container_id), ("u-1", "", "abababababab"));
        let job = Owner::Job {
            manager: crate::workloads::owner::JobManager::Slurm,
            id: "7".into(),
            uid: Some(1000),
        };
        assert_eq!(&*Title::of(&job, None, "").user, "1000");
    }

    #[test]
    fn of_two_sources_the_first_wins_where_it_knows() {
        let details = |kind: &str, name: &str, image: &str| Details {
            image: image.into(),
            owner_kind: kind.into(),
            owner_name: name.into(),
            extra: vec![("a".into(), kind.into())],
            ..Details::default()
        };
        let one = details("Deployment", "web", "").or(&details("Compose", "", "nginx"));
        assert_eq!((&*one.owner_kind, &*one.owner_name, &*one.image), ("Deployment", "web", "nginx"));
        assert_eq!(one.extra, [("a".into(), "Deployment".into())]);
        let other = details("Deployment", "", "").or(&details("Compose", "stack", "nginx"));
        assert_eq!((&*other.owner_kind, &*other.owner_name), ("Compose", "stack"));
    }

    #[test]
    fn a_container_of_a_pod_isnt_named_before_its_pod_is() {
        let facts = ContainerFacts { container: "web".into(), ..ContainerFacts::default() };
        let named = Facts::Container(Arc::new(facts.clone()));
        assert!(named.names(&container("")));
        assert!(!named.names(&container("u-1")));
        let whole = Facts::Container(Arc::new(ContainerFacts { pod: "web-0".into(), ..facts }));
        assert!(whole.names(&container("u-1")));
        let sandbox = ContainerFacts { is_sandbox: true, ..ContainerFacts::default() };
        assert!(Facts::Container(Arc::new(sandbox)).names(&container("u-1")));
    }

    #[test]
    fn any_key_makes_a_label_name() {
        assert_eq!(&*label_name("label", "app.kubernetes.io/name"), "label_app_kubernetes_io_name");
        assert_eq!(&*label_name("annotation", "ä-1"), "annotation___1");
    }
}
