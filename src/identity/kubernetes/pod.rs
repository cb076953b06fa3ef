//! As much of a pod as names need. Everything else of the JSON is passed over while it is read, so that what stays in memory
//! is bounded by what is used.
//!
//! Fields are named as in the API reference of Pod v1. A field that is missing, null or of another kind is as good as empty,
//! so that one odd pod costs its own name and no other's.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

/// A pod.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Pod {
    #[serde(default, deserialize_with = "object")]
    pub(super) metadata: Metadata,
    #[serde(default, deserialize_with = "object")]
    pub(super) spec: Spec,
    #[serde(default, deserialize_with = "object")]
    pub(super) status: Status,
}

/// An answer to a list.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct PodList {
    #[serde(default, deserialize_with = "object")]
    pub(super) metadata: ListMetadata,
    #[serde(default, deserialize_with = "object")]
    pub(super) items: Vec<Pod>,
}

/// What a list says of itself.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ListMetadata {
    #[serde(deserialize_with = "lenient")]
    pub(super) resource_version: String,
    /// Where the next page begins; empty on the last one.
    #[serde(rename = "continue", deserialize_with = "lenient")]
    pub(super) next: String,
}

/// `metadata`, without `managedFields` and such.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Metadata {
    #[serde(deserialize_with = "lenient")]
    pub(super) namespace: String,
    #[serde(deserialize_with = "lenient")]
    pub(super) name: String,
    #[serde(deserialize_with = "lenient")]
    pub(super) uid: String,
    #[serde(deserialize_with = "lenient")]
    pub(super) resource_version: String,
    #[serde(deserialize_with = "lenient")]
    pub(super) creation_timestamp: String,
    #[serde(deserialize_with = "lenient")]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "lenient")]
    pub(super) annotations: BTreeMap<String, String>,
    #[serde(deserialize_with = "list")]
    pub(super) owner_references: Vec<OwnerReference>,
}

/// What made the pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct OwnerReference {
    #[serde(deserialize_with = "lenient")]
    pub(super) kind: String,
    #[serde(deserialize_with = "lenient")]
    pub(super) name: String,
    #[serde(deserialize_with = "lenient")]
    pub(super) controller: bool,
}

/// `spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Spec {
    #[serde(deserialize_with = "lenient")]
    pub(super) node_name: String,
    #[serde(deserialize_with = "list")]
    pub(super) containers: Vec<Container>,
    /// Sidecars among them: these are init containers that restart always.
    #[serde(deserialize_with = "list")]
    pub(super) init_containers: Vec<Container>,
    #[serde(deserialize_with = "list")]
    pub(super) ephemeral_containers: Vec<Container>,
}

/// A container, as it was asked for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Container {
    #[serde(deserialize_with = "lenient")]
    pub(super) name: String,
    #[serde(deserialize_with = "lenient")]
    pub(super) image: String,
}

/// `status`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Status {
    #[serde(deserialize_with = "list")]
    pub(super) container_statuses: Vec<ContainerStatus>,
    #[serde(deserialize_with = "list")]
    pub(super) init_container_statuses: Vec<ContainerStatus>,
    #[serde(deserialize_with = "list")]
    pub(super) ephemeral_container_statuses: Vec<ContainerStatus>,
}

/// A container, as it runs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ContainerStatus {
    #[serde(deserialize_with = "lenient")]
    pub(super) name: String,
    #[serde(deserialize_with = "lenient")]
    pub(super) image: String,
    #[serde(rename = "containerID", deserialize_with = "lenient")]
    pub(super) container_id: String,
    #[serde(deserialize_with = "lenient")]
    pub(super) state: State,
    /// How it ended before it was restarted.
    #[serde(deserialize_with = "lenient")]
    pub(super) last_state: State,
}

/// `state` or `lastState` of a container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct State {
    #[serde(deserialize_with = "lenient")]
    pub(super) terminated: Terminated,
}

/// How a container ended.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Terminated {
    #[serde(rename = "containerID", deserialize_with = "lenient")]
    pub(super) container_id: String,
}

impl Status {
    /// Containers of all kinds.
    pub(super) fn containers(&self) -> impl Iterator<Item = &ContainerStatus> {
        self.container_statuses
            .iter()
            .chain(&self.init_container_statuses)
            .chain(&self.ephemeral_container_statuses)
    }
}

impl Spec {
    /// The image that was asked for under a container's name.
    pub(super) fn image(&self, name: &str) -> Option<&str> {
        let mut containers =
            self.containers.iter().chain(&self.init_containers).chain(&self.ephemeral_containers);
        let found = containers.find(|container| container.name == name)?;
        Some(&found.image).filter(|image| !image.is_empty()).map(String::as_str)
    }
}

/// What it should be, or anything else.
#[derive(Deserialize)]
#[serde(untagged)]
enum Lenient<T> {
    Is(T),
    Else(IgnoredAny),
}

impl<T> Lenient<T> {
    fn found(self) -> Option<T> {
        match self {
            Self::Is(value) => Some(value),
            Self::Else(_) => None,
        }
    }
}

/// A value that is empty where it isn't what it should be. This keeps all of it for a moment, so it is for small ones.
fn lenient<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Lenient::deserialize(from)?.found().unwrap_or_default())
}

/// A list without those entries that aren't what they should be.
fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    let entries: Vec<Lenient<T>> = lenient(from)?;
    Ok(entries.into_iter().filter_map(Lenient::found).collect())
}

/// A large value, which is read piece by piece; null stands for none.
fn object<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}
