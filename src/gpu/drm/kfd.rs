//! Compute processes of AMD's ROCm, from `/sys/class/kfd/kfd`.
//!
//! Compute queues go past the DRM scheduler, so their time isn't in fdinfo. The compute driver lists its processes with
//! their memory and queues by device; how long a queue was busy stands nowhere.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::attribute::read_number;
use crate::meters::files::{list_names, read_listing};

/// Devices come and go with the driver or a change of partitions.
const TOPOLOGY_AGE: Duration = Duration::from_secs(10);

/// A process's hold on one device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct KfdUse {
    /// Its device memory in bytes.
    pub(super) memory: Option<u64>,
    /// Whether it has a queue there; none where that can't be told.
    pub(super) has_queue: Option<bool>,
}

/// By device ([`slot_of`]) and pid.
pub(super) type KfdUses = BTreeMap<String, BTreeMap<u32, KfdUse>>;

/// A node of the compute driver's topology that is a device, or a partition of one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    id: u64,
    slot: String,
}

/// Reads the compute driver's list.
#[derive(Debug)]
pub(super) struct KfdReader {
    root: PathBuf,
    nodes: Vec<Node>,
    looked: Option<Duration>,
    /// The device of a queue never changes, so it is read once.
    queues: BTreeMap<(u32, String), u64>,
}

impl KfdReader {
    pub(super) fn new(sysfs: &Path) -> Self {
        Self { root: sysfs.join("class/kfd/kfd"), nodes: Vec::new(), looked: None, queues: BTreeMap::new() }
    }

    /// All holds on all devices now. Empty where there is no compute driver.
    pub(super) fn read(&mut self, now: Duration) -> KfdUses {
        if self.looked.is_none_or(|then| now.saturating_sub(then) >= TOPOLOGY_AGE) {
            self.nodes = nodes(&self.root).into_iter().map(|(node, _)| node).collect();
            self.looked = Some(now);
        }
        let mut uses = KfdUses::new();
        if self.nodes.is_empty() {
            return uses;
        }
        let mut queues = BTreeMap::new();
        for name in list_names(&self.root.join("proc")).unwrap_or_default() {
            let Ok(pid) = name.parse::<u32>() else {
                continue;
            };
            let process = self.root.join("proc").join(&name);
            let devices = self.queue_devices(&process, pid, &mut queues);
            for node in &self.nodes {
                let memory = read_number(&process.join(format!("vram_{}", node.id))).ok();
                let has_queue = devices.as_ref().map(|devices| devices.contains(&node.id));
                // A process gets an entry for each device of the machine when it opens the compute driver.
                if memory.unwrap_or(0) == 0 && has_queue != Some(true) {
                    continue;
                }
                let entry = uses.entry(node.slot.clone()).or_default().entry(pid);
                let entry = entry.or_insert(KfdUse { memory: None, has_queue: Some(false) });
                entry.memory = match (entry.memory, memory) {
                    (Some(one), Some(other)) => Some(one.saturating_add(other)),
                    (one, other) => one.or(other),
                };
                entry.has_queue = match (entry.has_queue, has_queue) {
                    (Some(true), _) | (_, Some(true)) => Some(true),
                    (Some(false), Some(false)) => Some(false),
                    _ => None,
                };
            }
        }
        self.queues = queues;
        uses
    }

    /// The devices that a process has queues on; none where its queues aren't listed.
    fn queue_devices(
        &self,
        process: &Path,
        pid: u32,
        seen: &mut BTreeMap<(u32, String), u64>,
    ) -> Option<Vec<u64>> {
        let directory = process.join("queues");
        let names = list_names(&directory).ok()?;
        let mut devices = Vec::new();
        for name in names {
            let key = (pid, name);
            let known = self.queues.get(&key).copied();
            let Some(device) = known.or_else(|| read_number(&directory.join(&key.1).join("gpuid")).ok())
            else {
                continue;
            };
            devices.push(device);
            seen.insert(key, device);
        }
        Some(devices)
    }
}

/// Whether a device shares its package with the CPU, as far as the topology says so: up to Linux 6.5 such a device and
/// its CPU were one node.
pub(super) fn has_cpu_cores(sysfs: &Path, slot: &str) -> bool {
    nodes(&sysfs.join("class/kfd/kfd")).iter().any(|(node, cores)| *cores && node.slot == slot)
}

/// The devices of the topology, and whether CPU cores are in their node.
fn nodes(root: &Path) -> Vec<(Node, bool)> {
    let directory = root.join("topology/nodes");
    let names = list_names(&directory).unwrap_or_default();
    names
        .iter()
        .filter_map(|name| {
            let node = directory.join(name);
            let id = read_number(&node.join("gpu_id")).ok().filter(|id| *id != 0)?;
            let text = read_listing(&node.join("properties")).ok()?;
            let property = |key: &str| {
                let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))?;
                value.trim().parse::<u64>().ok()
            };
            let location = property("location_id")?;
            let domain = property("domain").unwrap_or(0);
            let slot = format!("{domain:04x}:{:02x}:{:02x}", (location >> 8) & 0xff, (location >> 3) & 0x1f);
            Some((Node { id, slot }, property("cpu_cores_count").unwrap_or(0) > 0))
        })
        .collect()
}

/// A PCI address without its function, which the topology uses for the number of a partition.
pub(super) fn slot_of(address: &str) -> &str {
    address.rsplit_once('.').map_or(address, |(slot, _)| slot)
}
