//! What the kubelet leaves on disk: the directories and links of its logs, whose names tell pods and containers.
//!
//! `/var/log/pods/<namespace>_<pod>_<uid>/` has the UID of the cgroups, for static pods too, and
//! `/var/log/containers/<pod>_<namespace>_<container>-<id>.log` is a link for each container, restarted ones among them
//! (kubernetes/kubernetes, pkg/kubelet/kuberuntime/helpers.go and legacy.go). Names of Kubernetes have no underscores. Neither
//! images nor owners are told.

use std::collections::HashMap;
use std::path::Path;

use super::sighting::Sighting;
use crate::identity::files::HostRoot;
use crate::identity::{ContainerFacts, Details, IdentityError, PodFacts};

/// One directory for each pod.
pub(super) const PODS: &str = "/var/log/pods";
/// One link for each container.
const CONTAINERS: &str = "/var/log/containers";
/// Entries of one directory.
const MOST_ENTRIES: usize = 50_000;
/// Hexadecimal digits of a container's id.
const ID: usize = 64;

/// The pods that have logs.
///
/// # Errors
/// The directory of pods can't be read. Without that of containers, pods have names and their containers have none.
pub(super) fn read(root: &HostRoot, node: &str) -> Result<Vec<Sighting>, IdentityError> {
    let pods = list(root, PODS)?;
    let mut found: HashMap<(String, String), Sighting> = HashMap::new();
    for name in &pods {
        if let Some((namespace, pod, uid)) = pod_directory(name) {
            sighting(&mut found, namespace, pod, node).uids.push(uid.into());
        }
    }
    for name in list(root, CONTAINERS).unwrap_or_default() {
        if let Some(link) = container_link(&name) {
            let sighting = sighting(&mut found, link.namespace, link.pod, node);
            let facts = ContainerFacts {
                namespace: link.namespace.into(),
                pod: link.pod.into(),
                container: link.container.into(),
                details: sighting.facts.details.clone(),
                ..ContainerFacts::default()
            };
            sighting.containers.push((link.id.into(), facts));
        }
    }
    Ok(found.into_values().collect())
}

fn list(root: &HostRoot, directory: &str) -> Result<Vec<String>, IdentityError> {
    let directory = Path::new(directory);
    let entries = root.list(directory, MOST_ENTRIES).map_err(|error| {
        let detail = format!("{}: {error}", root.shown(directory).display());
        IdentityError::new("the kubelet's logs can't be read", detail)
            .remedy("mount the host's /var/log/pods and /var/log/containers below path.rootfs")
    })?;
    Ok(entries.into_iter().filter_map(|entry| entry.name.into_string().ok()).collect())
}

fn sighting<'a>(
    found: &'a mut HashMap<(String, String), Sighting>,
    namespace: &str,
    pod: &str,
    node: &str,
) -> &'a mut Sighting {
    found.entry((namespace.to_owned(), pod.to_owned())).or_insert_with(|| Sighting {
        key: format!("{namespace}/{pod}").into(),
        facts: PodFacts {
            namespace: namespace.into(),
            pod: pod.into(),
            details: Details { node: node.into(), ..Details::default() },
        },
        ..Sighting::default()
    })
}

/// Namespace, pod and UID.
fn pod_directory(name: &str) -> Option<(&str, &str, &str)> {
    let mut parts = name.split('_');
    let found = (parts.next()?, parts.next()?, parts.next()?);
    let is_whole = parts.next().is_none() && [found.0, found.1, found.2].iter().all(|part| is_name(part));
    is_whole.then_some(found)
}

#[derive(Debug, PartialEq, Eq)]
struct Link<'a> {
    namespace: &'a str,
    pod: &'a str,
    container: &'a str,
    id: &'a str,
}

fn container_link(name: &str) -> Option<Link<'_>> {
    let (name, id) = name.strip_suffix(".log")?.rsplit_once('-')?;
    let mut parts = name.split('_');
    let (pod, namespace, container) = (parts.next()?, parts.next()?, parts.next()?);
    let is_id = id.len() == ID && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_whole =
        parts.next().is_none() && is_id && [pod, namespace, container].iter().all(|part| is_name(part));
    is_whole.then_some(Link { namespace, pod, container, id })
}

/// Whether a text can be a name in Kubernetes (RFC 1123 subdomains).
fn is_name(text: &str) -> bool {
    (1..=253).contains(&text.len())
        && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'-' | b'.'))
}

#[cfg(test)]
mod tests;
