//! Docker Engine: `<data root>/containers/<id>/config.v2.json`, and `hostconfig.json` beside it.
//!
//! The two files have been the same in what matters here since Docker 1.10 (moby's container/container.go).

use std::path::{Path, PathBuf};

use crate::identity::ContainerFacts;
use crate::identity::containers::reading::{MOST_CONFIG, Reading};
use crate::identity::containers::tags::{Tags, Wish, get, tags, text_at, word};
use crate::identity::containers::{Known, gpus, kubernetes};
use crate::workloads::owner::Runtime;

/// Where Docker keeps its data, if nobody told it otherwise; the second is that of the snap.
const ROOTS: [&str; 2] = ["/var/lib/docker", "/var/snap/docker/common/var-lib-docker"];
/// Where Docker is told otherwise.
const SETTINGS: [&str; 2] = ["/etc/docker/daemon.json", "/var/snap/docker/current/config/daemon.json"];
/// cri-dockerd keeps a container's annotations as labels with this before their keys.
const ANNOTATION: &str = "annotation.";

/// The data roots: of each also those below it that belong to user namespaces (`<uid>.<gid>`).
pub(super) fn roots(reading: &mut Reading<'_>) -> Vec<PathBuf> {
    let mut roots: Vec<PathBuf> = ROOTS.iter().map(PathBuf::from).collect();
    for settings in SETTINGS {
        let Some(settings) = reading.json(Path::new(settings), MOST_CONFIG) else { continue };
        // `graph` was its name before Docker 17.05.
        for key in ["/data-root", "/graph"] {
            let root = PathBuf::from(text_at(&settings, key));
            if root.is_absolute() && !roots.contains(&root) {
                roots.push(root);
            }
        }
    }
    let mapped: Vec<PathBuf> = roots.iter().flat_map(|root| reading.directories(root)).collect();
    roots.extend(mapped.into_iter().filter(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        name.split_once('.').is_some_and(|(uid, gid)| is_number(uid) && is_number(gid))
    }));
    roots
}

/// What Docker says of a container.
pub(super) fn find(reading: &mut Reading<'_>, roots: &[PathBuf], id: &str, wish: &Wish) -> Option<Known> {
    roots.iter().find_map(|root| {
        let directory = root.join("containers").join(id);
        let config = reading.json(&directory.join("config.v2.json"), MOST_CONFIG)?;
        if text_at(&config, "/ID") != id {
            return None;
        }
        let mut labels = tags(config.pointer("/Config/Labels"));
        let annotations = take_annotations(&mut labels);
        let image = text_at(&config, "/Config/Image");
        let is_sandbox = get(&labels, "io.kubernetes.docker.type") == Some("podsandbox");
        if let Some(told) = kubernetes::from_labels(&labels, is_sandbox, image) {
            return Some(kubernetes::known(Runtime::Docker, told, &labels, &annotations, wish));
        }
        let name = text_at(&config, "/Name");
        let host = reading.json(&directory.join("hostconfig.json"), MOST_CONFIG).unwrap_or_default();
        let facts = ContainerFacts {
            container: word(name.strip_prefix('/').unwrap_or(name)),
            runtime: Some(Runtime::Docker),
            details: wish.details(image, &labels, &annotations),
            ..ContainerFacts::default()
        };
        Some(Known { facts, pod: None, gpus: gpus::of_docker(&config, &host) })
    })
}

fn take_annotations(labels: &mut Tags) -> Tags {
    let annotations = labels
        .iter()
        .filter_map(|(key, value)| Some((key.strip_prefix(ANNOTATION)?.to_owned(), value.clone())))
        .collect();
    labels.retain(|key, _| !key.starts_with(ANNOTATION));
    annotations
}
