//! podman: what its storage, its database and a container's bundle say together.

use serde_json::Value;

use crate::identity::ContainerFacts;
use crate::identity::containers::podman_db::Record;
use crate::identity::containers::storage::Row;
use crate::identity::containers::tags::{Tags, Wish, word};
use crate::identity::containers::{Known, gpus};
use crate::workloads::owner::Runtime;

/// What they say. The name in the storage is the one that a rename changes, too.
pub(super) fn known(row: &Row, record: Record, bundle: &Value, annotations: &Tags, wish: &Wish) -> Known {
    let name = if row.name.is_empty() { &record.name } else { &row.name };
    let image = if row.image.is_empty() { &record.image } else { &row.image };
    let facts = ContainerFacts {
        pod: word(&record.pod),
        container: word(name),
        runtime: Some(Runtime::Podman),
        is_sandbox: record.is_infra,
        details: wish.details(image, &record.labels, annotations),
        ..ContainerFacts::default()
    };
    Known { facts, pod: None, gpus: gpus::of_bundle(bundle) }
}
