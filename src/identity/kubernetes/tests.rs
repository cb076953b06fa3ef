//! What pods in the form of the API make of names.

use serde_json::{Value, json};

use super::pod::{Pod, PodList};
use super::sighting::{Selection, Sighting};
use crate::config::Names;
use crate::identity::ContainerFacts;
use crate::workloads::owner::Runtime;

mod roster;

fn selection() -> Selection {
    Selection::new(&Names {
        labels: vec!["app.kubernetes.io/name".into(), "app/kubernetes/io/name".into(), "tier".into()],
        annotations: vec!["team".into()],
        ..Names::default()
    })
}

fn sighting(pod: &Value) -> Option<Sighting> {
    Sighting::of(&serde_json::from_str(&pod.to_string()).unwrap(), &selection())
}

/// Name, runtime and image of a container.
fn told<'a>(sighting: &'a Sighting, id: &str) -> (&'a str, Option<Runtime>, &'a str) {
    let found = sighting.containers.iter().find(|(known, _)| **known == *id);
    let facts: &ContainerFacts = &found.unwrap_or_else(|| panic!("{id} isn't there")).1;
    assert_eq!((&*facts.namespace, &*facts.pod), ("shop", "web-6f7d8c9b5-x2x2x"));
    (&facts.container, facts.runtime, &facts.details.image)
}

/// A pod as the API server shows it, with containers of all kinds.
fn pod() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "web-6f7d8c9b5-x2x2x", "namespace": "shop", "generateName": "web-6f7d8c9b5-",
            "uid": "8f1b6d1e-50a7-4a7d-9c0e-3b1f0a2c4d5e", "resourceVersion": "812",
            "creationTimestamp": "2026-03-01T10:00:03Z",
            "labels": {
                "app.kubernetes.io/name": "web", "app/kubernetes/io/name": "second", "tier": "front",
                "pod-template-hash": "6f7d8c9b5", "wattprint.io/phase": "inference", "wattprint.io/model": "small"
            },
            "annotations": {"team": "blue", "wattprint.io/model": "llama-3-8b", "other": "x".repeat(100_000)},
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-6f7d8c9b5",
                "uid": "b1", "controller": true, "blockOwnerDeletion": true
            }],
            "managedFields": [{"manager": "kubelet", "operation": "Update", "fieldsV1": {"f:status": {}}}]
        },
        "spec": {
            "nodeName": "n1",
            "containers": [{"name": "web", "image": "nginx:1.27", "env": [{"name": "A", "value": "b"}]}],
            "initContainers": [
                {"name": "migrate", "image": "migrate:2"},
                {"name": "proxy", "image": "envoy:1", "restartPolicy": "Always"}
            ],
            "ephemeralContainers": [{"name": "debugger", "image": "busybox", "targetContainerName": "web"}]
        },
        "status": {
            "phase": "Running",
            "containerStatuses": [{
                "name": "web", "image": "docker.io/library/nginx:1.27", "imageID": "sha256:1", "restartCount": 1,
                "containerID": "containerd://c2", "state": {"running": {"startedAt": "2026-03-01T10:05:00Z"}},
                "lastState": {"terminated": {"exitCode": 137, "containerID": "containerd://c1"}}
            }],
            "initContainerStatuses": [
                {"name": "migrate", "image": "migrate:2", "containerID": "docker://i1",
                 "state": {"terminated": {"exitCode": 0, "containerID": "docker://i1"}}, "lastState": {}},
                {"name": "proxy", "image": "envoy:1", "containerID": "cri-o://p1", "lastState": {}}
            ],
            "ephemeralContainerStatuses": [{"name": "debugger", "image": "busybox", "containerID": "other://e1"}]
        }
    })
}

#[test]
fn containers_of_all_kinds_have_names() {
    let seen = sighting(&pod()).unwrap();
    assert_eq!(seen.containers.len(), 5);
    assert_eq!(told(&seen, "c2"), ("web", Some(Runtime::Containerd), "nginx:1.27"));
    assert_eq!(told(&seen, "c1"), ("web", Some(Runtime::Containerd), "nginx:1.27"), "before its restart");
    assert_eq!(told(&seen, "i1"), ("migrate", Some(Runtime::Docker), "migrate:2"));
    assert_eq!(told(&seen, "p1"), ("proxy", Some(Runtime::Crio), "envoy:1"), "a sidecar");
    assert_eq!(told(&seen, "e1"), ("debugger", None, "busybox"), "a runtime that nobody knows");
}

#[test]
fn details_come_from_owner_references_labels_and_annotations() {
    let seen = sighting(&pod()).unwrap();
    let details = &seen.facts.details;
    assert_eq!((&*details.owner_kind, &*details.owner_name), ("Deployment", "web"));
    assert_eq!((&*details.node, &*details.phase, &*details.variant), ("n1", "inference", ""));
    assert_eq!(&*details.model, "llama-3-8b", "an annotation goes before a label");
    let extra: Vec<(&str, &str)> = details.extra.iter().map(|(name, value)| (&**name, &**value)).collect();
    let expected =
        [("label_app_kubernetes_io_name", "web"), ("label_tier", "front"), ("annotation_team", "blue")];
    assert_eq!(extra, expected, "each name once");
    let (_, container) = &seen.containers[0];
    assert_eq!((&container.details.extra, &*container.details.owner_name), (&details.extra, "web"));
    assert_eq!(&*details.image, "", "a pod has no image of its own");
}

#[test]
fn a_static_pod_has_the_uid_of_its_cgroup_too() {
    let mut pod = pod();
    pod["metadata"]["annotations"] = json!({
        "kubernetes.io/config.hash": "c0ffee00c0ffee00c0ffee00c0ffee00",
        "kubernetes.io/config.mirror": "c0ffee00c0ffee00c0ffee00c0ffee00",
        "kubernetes.io/config.source": "file"
    });
    pod["metadata"]["ownerReferences"] = json!([{"kind": "Node", "name": "n1", "controller": true}]);
    let seen = sighting(&pod).unwrap();
    let uids: Vec<&str> = seen.uids.iter().map(|uid| &**uid).collect();
    assert_eq!(uids, ["8f1b6d1e-50a7-4a7d-9c0e-3b1f0a2c4d5e", "c0ffee00c0ffee00c0ffee00c0ffee00"]);
    assert_eq!((&*seen.facts.details.owner_kind, &*seen.facts.details.owner_name), ("Node", "n1"));
}

#[test]
fn what_is_missing_or_odd_costs_only_itself() {
    let cases: [(&str, Value); 9] = [
        ("/spec", Value::Null),
        ("/status/initContainerStatuses", json!({"a": 1})),
        ("/status/containerStatuses/0/lastState", json!([7])),
        ("/status/containerStatuses/0/image", Value::Null),
        ("/metadata/labels", json!([1, 2])),
        ("/metadata/annotations", Value::Null),
        ("/metadata/ownerReferences", json!([7, {"kind": 8, "controller": "yes"}])),
        ("/metadata/creationTimestamp", json!(12)),
        ("/spec/containers", json!([null, {"name": 7}])),
    ];
    for (path, value) in cases {
        let mut pod = pod();
        *pod.pointer_mut(path).unwrap() = value;
        let seen = sighting(&pod).unwrap_or_else(|| panic!("{path}"));
        assert_eq!(told(&seen, "c2").0, "web", "{path}");
    }
    let mut odd = pod();
    odd["spec"] = Value::Null;
    let seen = sighting(&odd).unwrap();
    assert_eq!(
        told(&seen, "c2").2,
        "docker.io/library/nginx:1.27",
        "for want of the image that was asked for"
    );
    for id in [
        "",
        "containerd://",
        "c9",
        "containerd://a/b",
        "containerd://a\"b",
        &format!("x://{}", "a".repeat(129)),
    ] {
        let mut pod = pod();
        pod["status"]["containerStatuses"][0]["containerID"] = json!(id);
        assert_eq!(sighting(&pod).unwrap().containers.len(), 4, "{id}");
    }
    for path in ["/metadata/uid", "/metadata/name", "/metadata"] {
        let mut pod = pod();
        *pod.pointer_mut(path).unwrap() = Value::Null;
        assert_eq!(sighting(&pod), None, "{path}");
    }
}

#[test]
fn long_values_are_cut_between_characters() {
    let mut pod = pod();
    pod["metadata"]["annotations"]["team"] = json!("ä".repeat(1000));
    let seen = sighting(&pod).unwrap();
    assert_eq!(&*seen.facts.details.extra[2].1, "ä".repeat(256).as_str());
}

#[test]
fn a_list_without_entries_is_a_list() {
    for text in
        ["{}", r#"{"items":null,"metadata":null}"#, r#"{"items":[],"metadata":{"resourceVersion":"7"}}"#]
    {
        let list: PodList = serde_json::from_str(text).unwrap();
        assert!(list.items.is_empty() && list.metadata.next.is_empty());
    }
}

/// Any JSON with keys that mean something.
fn anything() -> impl proptest::strategy::Strategy<Value = Value> {
    use proptest::prelude::*;
    let keys = prop::sample::select(vec![
        "metadata",
        "spec",
        "status",
        "name",
        "uid",
        "labels",
        "annotations",
        "ownerReferences",
        "kind",
        "controller",
        "containers",
        "containerStatuses",
        "containerID",
        "lastState",
        "terminated",
        "image",
        "kubernetes.io/config.hash",
        "wattprint.io/phase",
        "creationTimestamp",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        "containerd://[0-9a-f]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 100, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(keys.clone(), inner, 0..8)
                .prop_map(|map| map.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        ]
    })
}

proptest::proptest! {
    #[test]
    fn no_json_is_too_odd(value in anything(), uid in "[a-z]{0,3}") {
        let mut value = value;
        if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("uid".into(), uid.into());
            metadata.insert("name".into(), "a".into());
        }
        if let Ok(pod) = serde_json::from_value::<Pod>(value) {
            let _ = Sighting::of(&pod, &selection());
        }
    }
}
