//! What devices are called by those who give them to the kubelet.

use std::collections::{BTreeMap, BTreeSet};

use crate::identity::podresources::messages::{
    AllocatableResponse, ClaimResource, ContainerResources, ListResponse,
};
use crate::identity::{Allocation, Allocations, Assignee, DeviceName};

/// Longer ids are none of a GPU.
const LONGEST_ID: usize = 96;
/// A namespace or container, in bytes (a DNS label of Kubernetes).
const LONGEST_LABEL: usize = 63;
/// A pod's name, in bytes (a DNS subdomain of Kubernetes).
const LONGEST_POD: usize = 253;
/// Allocations of one node, at most; a node runs some hundred pods on up to 16 cards.
const MOST: usize = 4096;

/// A device, and whether the id means one replica of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Device {
    name: DeviceName,
    is_replica: bool,
}

/// All GPUs that containers hold, and how many replicas there are of shared ones.
pub(super) fn allocations(list: &ListResponse, replicas: Vec<(DeviceName, u32)>) -> Allocations {
    let mut given = BTreeSet::new();
    for pod in &list.pod_resources {
        if !is_name(&pod.namespace, LONGEST_LABEL) || !is_name(&pod.name, LONGEST_POD) {
            continue;
        }
        for container in pod.containers.iter().filter(|container| is_name(&container.name, LONGEST_LABEL)) {
            for (device, ids) in held(container) {
                let to = Assignee::PodContainer {
                    namespace: pod.namespace.as_str().into(),
                    pod: pod.name.as_str().into(),
                    container: container.name.as_str().into(),
                };
                given.insert(Allocation { to, device, replicas: count(&ids) });
                if given.len() >= MOST {
                    return Allocations { given: given.into_iter().collect(), replicas };
                }
            }
        }
    }
    Allocations { given: given.into_iter().collect(), replicas }
}

/// How many replicas there are of each device that is shared.
pub(super) fn replicas(allocatable: &AllocatableResponse) -> Vec<(DeviceName, u32)> {
    let mut shared: BTreeMap<DeviceName, BTreeSet<&str>> = BTreeMap::new();
    for devices in &allocatable.devices {
        for id in &devices.device_ids {
            if let Some(Device { name, is_replica: true }) = by_plugin(&devices.resource_name, id) {
                shared.entry(name).or_default().insert(id);
            }
        }
    }
    shared.into_iter().take(MOST).map(|(device, ids)| (device, count(&ids))).collect()
}

/// The GPUs of a container, each with the ids that stand for it: one, or one for each replica.
fn held(container: &ContainerResources) -> BTreeMap<DeviceName, BTreeSet<&str>> {
    let mut held: BTreeMap<DeviceName, BTreeSet<&str>> = BTreeMap::new();
    for devices in &container.devices {
        for id in &devices.device_ids {
            if let Some(device) = by_plugin(&devices.resource_name, id) {
                held.entry(device.name).or_default().insert(id);
            }
        }
    }
    for claim in container.dynamic_resources.iter().flat_map(|dynamic| &dynamic.claim_resources) {
        if let Some(device) = by_claim(claim) {
            held.entry(device).or_default().insert(claim.share_id.as_deref().unwrap_or(""));
        }
    }
    held
}

/// A device of a plugin by its resource and id.
fn by_plugin(resource: &str, id: &str) -> Option<Device> {
    if id.len() > LONGEST_ID {
        return None;
    }
    let (vendor, kind) = resource.split_once('/')?;
    match vendor {
        "nvidia.com" => nvidia(kind, id),
        // The PCI address, or the DRM card.
        "amd.com" => pci(id).or_else(|| card(id)).map(whole),
        "gpu.intel.com" => intel(id),
        _ => None,
    }
}

/// NVIDIA's plugin (UUIDs, or indices where it is set so; `::n` for a replica) and that of GKE (`nvidia0`,
/// `nvidia0/gi1`, with `/vgpu3` for a replica). Resources may be renamed, so it is the id that tells a GPU.
fn nvidia(kind: &str, id: &str) -> Option<Device> {
    let (id, is_replica) = match id.split_once("::") {
        Some((id, replica)) => (id, number(replica).map(|_| true)?),
        None => (id, false),
    };
    if let Some(name) = uuid(id) {
        return Some(Device { name, is_replica });
    }
    if let Some(rest) = id.strip_prefix("nvidia") {
        let (rest, is_vgpu) = match rest.split_once("/vgpu") {
            Some((rest, replica)) => (rest, number(replica).map(|_| true)?),
            None => (rest, false),
        };
        let name = match rest.split_once("/gi") {
            Some((index, instance)) => {
                DeviceName::Instance { index: number(index)?, instance: number(instance)? }
            }
            None => DeviceName::Index(number(rest)?),
        };
        return Some(Device { name, is_replica: is_replica || is_vgpu });
    }
    // Other plugins under the same name number other things: IOMMU groups, network functions.
    let name = DeviceName::Index(number(id).filter(|_| kind.contains("gpu"))?);
    Some(Device { name, is_replica })
}

/// Intel's plugin: `card0-3` is the fourth replica of `card0`; there is a first one even where nothing is shared. The id
/// of its monitoring resource is `all`, which gives nothing away.
fn intel(id: &str) -> Option<Device> {
    if let Some(name) = pci(id) {
        return Some(whole(name));
    }
    match id.split_once('-') {
        Some((id, replica)) => {
            number(replica)?;
            Some(Device { name: card(id)?, is_replica: true })
        }
        None => card(id).map(whole),
    }
}

/// A device of a claim. NVIDIA's driver calls a whole GPU by its minor number, `gpu-0`. Its names of MIG devices
/// (`gpu-0-mig-9-0-1`: profile and place) tell no instance, so only the runtime's names may help.
fn by_claim(claim: &ClaimResource) -> Option<DeviceName> {
    if claim.driver_name != "gpu.nvidia.com" {
        return None;
    }
    let minor = |name: &str| name.strip_prefix("gpu-").and_then(number).map(DeviceName::Index);
    let by_runtime = || {
        claim.cdi_devices.iter().find_map(|device| {
            let (kind, id) = device.name.split_once('=')?;
            let id = Some(id).filter(|id| id.len() <= LONGEST_ID)?;
            uuid(id).or_else(|| number(id).filter(|_| kind == "nvidia.com/gpu").map(DeviceName::Index))
        })
    };
    minor(&claim.device_name).or_else(by_runtime)
}

/// `GPU-...`, `MIG-...`, and MIG devices before driver 470: `MIG-GPU-.../1/0`.
fn uuid(id: &str) -> Option<DeviceName> {
    let is_uuid =
        |text: &str| text.len() == 36 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    if let Some(rest) = id.strip_prefix("MIG-GPU-") {
        let mut parts = rest.split('/');
        let is_mig = parts.next().is_some_and(is_uuid)
            && parts.next().and_then(number).is_some()
            && parts.next().and_then(number).is_some()
            && parts.next().is_none();
        return is_mig.then(|| DeviceName::Mig(id.into()));
    }
    if let Some(rest) = id.strip_prefix("MIG-") {
        return is_uuid(rest).then(|| DeviceName::Mig(id.into()));
    }
    id.strip_prefix("GPU-").filter(|rest| is_uuid(rest)).map(|_| DeviceName::Gpu(id.into()))
}

/// `0000:c1:00.0`.
fn pci(id: &str) -> Option<DeviceName> {
    let (address, function) = id.split_once('.')?;
    let mut parts = address.split(':');
    let mut is_next = |length: std::ops::RangeInclusive<usize>| {
        parts.next().is_some_and(|part| {
            length.contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
    };
    let is_address = is_next(4..=8) && is_next(2..=2) && is_next(2..=2) && parts.next().is_none();
    let is_function = matches!(function.as_bytes(), [b'0'..=b'7']);
    (is_address && is_function).then(|| DeviceName::Pci(id.to_ascii_lowercase().into()))
}

/// `card0`.
fn card(id: &str) -> Option<DeviceName> {
    id.strip_prefix("card").and_then(number).map(|_| DeviceName::Card(id.into()))
}

fn whole(name: DeviceName) -> Device {
    Device { name, is_replica: false }
}

/// A decimal number without sign.
fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_name(name: &str, longest: usize) -> bool {
    !name.is_empty() && name.len() <= longest
}

fn count(ids: &BTreeSet<&str>) -> u32 {
    u32::try_from(ids.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[path = "devices_tests.rs"]
mod tests;
