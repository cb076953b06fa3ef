//! containerd: the bundles of running containers, `<state>/io.containerd.runtime.v2.task/<namespace>/<id>/config.json`.
//!
//! The plugin for Kubernetes says in annotations what the kubelet told it (containerd's cri/annotations: type and sandbox
//! since 1.0, the names since 1.5), and nerdctl what it was told by its user (nerdctl's labels.go).

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::identity::ContainerFacts;
use crate::identity::containers::reading::{MOST_CONFIG, Reading};
use crate::identity::containers::tags::{Tags, Wish, get, tags, word};
use crate::identity::containers::{Known, gpus, is_whole_id, kubernetes};
use crate::workloads::owner::Runtime;

/// Where containerd keeps its state: on its own, in k3s and RKE2, k0s, MicroK8s, and below Docker.
const STATES: [&str; 5] = [
    "/run/containerd",
    "/run/k3s/containerd",
    "/run/k0s/containerd",
    "/var/snap/microk8s/common/run/containerd",
    "/run/docker/containerd/daemon",
];
/// The directories of the shims; the second is that before containerd 1.4, on request until 1.7.
const SHIMS: [&str; 2] = ["io.containerd.runtime.v2.task", "io.containerd.runtime.v1.linux"];
/// containerd's settings.
const SETTINGS: &str = "/etc/containerd/config.toml";
/// Docker's own namespace: Docker says itself what is in it.
const DOCKER: &str = "moby";
/// What stands before the keys of the annotations of the plugin for Kubernetes.
const CRI: &str = "io.kubernetes.cri.";

/// The directories that hold the bundles of one namespace.
pub(super) fn namespaces(reading: &mut Reading<'_>) -> Vec<PathBuf> {
    let mut states: Vec<PathBuf> = STATES.iter().map(PathBuf::from).collect();
    let settings = reading.text(Path::new(SETTINGS), MOST_CONFIG).unwrap_or_default();
    let settings: toml::Table = toml::from_str(&settings).unwrap_or_default();
    if let Some(state) = settings.get("state").and_then(toml::Value::as_str).map(PathBuf::from)
        && state.is_absolute()
        && !states.contains(&state)
    {
        states.push(state);
    }
    let shims = states.iter().flat_map(|state| SHIMS.map(|shim| state.join(shim)));
    let namespaces = shims.flat_map(|shim| reading.directories(&shim));
    namespaces.filter(|path| path.file_name().is_some_and(|name| name != DOCKER)).collect()
}

/// What containerd says of a container.
pub(super) fn find(
    reading: &mut Reading<'_>,
    namespaces: &[PathBuf],
    id: &str,
    wish: &Wish,
) -> Option<Known> {
    namespaces.iter().find_map(|namespace| {
        let config = reading.json(&namespace.join(id).join("config.json"), MOST_CONFIG)?;
        let annotations = tags(config.pointer("/annotations"));
        if get(&annotations, &format!("{CRI}container-type")).is_some() {
            return Some(of_kubernetes(reading, namespace, &annotations, wish));
        }
        of_nerdctl(reading, id, &config, &annotations, wish)
    })
}

fn of_kubernetes(reading: &mut Reading<'_>, namespace: &Path, annotations: &Tags, wish: &Wish) -> Known {
    let cri = |key: &str| get(annotations, &format!("{CRI}{key}")).unwrap_or_default();
    let is_sandbox = cri("container-type") == "sandbox";
    let image = if is_sandbox { "podsandbox.image-name" } else { "image-name" };
    let mut told = kubernetes::Told {
        namespace: cri("sandbox-namespace"),
        pod: cri("sandbox-name"),
        container: cri("container-name"),
        is_sandbox,
        image: cri(image),
    };
    let directory = if told.pod.is_empty() { log_directory(reading, namespace, annotations) } else { None };
    if let Some((namespace, pod)) = directory.as_deref().and_then(names_of_logs) {
        (told.namespace, told.pod) = (namespace, pod);
    }
    kubernetes::known(Runtime::Containerd, told, &Tags::new(), annotations, wish)
}

/// The directory of a pod's logs, which its sandbox knows.
fn log_directory(reading: &mut Reading<'_>, namespace: &Path, annotations: &Tags) -> Option<String> {
    let key = format!("{CRI}sandbox-log-directory");
    if let Some(directory) = get(annotations, &key) {
        return Some(directory.to_owned());
    }
    let sandbox = get(annotations, &format!("{CRI}sandbox-id")).filter(|id| is_whole_id(id))?;
    let config = reading.json(&namespace.join(sandbox).join("config.json"), MOST_CONFIG)?;
    get(&tags(config.pointer("/annotations")), &key).map(str::to_owned)
}

/// Namespace and pod of `/var/log/pods/<namespace>_<pod>_<uid>`; none of the three holds an underscore.
fn names_of_logs(directory: &str) -> Option<(&str, &str)> {
    let mut parts = directory.trim_end_matches('/').rsplit('/').next()?.split('_');
    let names = (parts.next()?, parts.next()?);
    (parts.next().is_some() && parts.next().is_none()).then_some(names)
}

fn of_nerdctl(
    reading: &mut Reading<'_>,
    id: &str,
    config: &Value,
    annotations: &Tags,
    wish: &Wish,
) -> Option<Known> {
    let given = get(annotations, "nerdctl/name")?;
    let renamed = get(annotations, "nerdctl/state-dir")
        .and_then(|state| name_in_store(reading, Path::new(state), id, given));
    let facts = ContainerFacts {
        container: word(renamed.as_deref().unwrap_or(given)),
        runtime: Some(Runtime::Containerd),
        // Before 2.0 all labels of a container were handed on as annotations.
        details: wish.details("", annotations, annotations),
        ..ContainerFacts::default()
    };
    Some(Known { facts, pod: None, gpus: gpus::of_bundle(config) })
}

/// The container's name in nerdctl's store of names, `<data>/names/<namespace>/<name>`, each of which holds an id: the
/// annotation stays what it was when somebody renames the container. `state` is `<data>/containers/<namespace>/<id>`.
fn name_in_store(reading: &mut Reading<'_>, state: &Path, id: &str, given: &str) -> Option<String> {
    let namespace = state.parent()?;
    let names = namespace.parent()?.parent()?.join("names").join(namespace.file_name()?);
    let mut is_its = |name: &str| {
        !name.contains('/')
            && reading.text(&names.join(name), MOST_CONFIG).is_some_and(|holder| holder.trim() == id)
    };
    if is_its(given) {
        return Some(given.to_owned());
    }
    let entries = reading.list(&names);
    entries.iter().filter_map(|entry| entry.name.to_str()).find_map(|name| {
        let holder = reading.text(&names.join(name), MOST_CONFIG)?;
        (holder.trim() == id).then(|| name.to_owned())
    })
}
