//! CPU time and memory of the cgroups of one hierarchy.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::statfs::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, statfs};

use crate::units::{Bytes, CpuTime};
use crate::workloads::counter_file::{CounterFile, ReadError};
use crate::workloads::hierarchy::{Hierarchy, Version};
use crate::workloads::owners::OwnerTable;
use crate::workloads::tree::{CgroupTree, Node, NodeId};

/// Ticks between two full listings of the tree, which find what link counts can't show.
const FULL_LISTING_TICKS: u64 = 30;
/// Ticks between two readings of one cgroup's memory: it moves slowly.
const MEMORY_TICKS: u64 = 30;

/// The evidence of one cgroup.
#[derive(Debug)]
struct Evidence {
    id: NodeId,
    /// Tells a directory from another one that was made in its place.
    inode: u64,
    file: CounterFile,
    last: Option<CpuTime>,
    delta: Option<CpuTime>,
    /// Whether the last reading failed where one before didn't.
    is_missed: bool,
    /// The delta of the last tick in which the cgroup could be read.
    rate: CpuTime,
    memory: Option<Bytes>,
    /// Whether memory was looked for; what isn't there is looked for again only when it is due.
    has_looked: bool,
}

/// Reads one hierarchy.
#[derive(Debug)]
pub(crate) struct CgroupReader {
    hierarchy: Hierarchy,
    /// Where the memory of the same groups is found; none without a memory controller.
    memory: Option<Hierarchy>,
    tree: CgroupTree,
    evidence: Vec<Option<Evidence>>,
    keep_open: bool,
    budget: usize,
    kept: usize,
    tick: u64,
    failed: Option<String>,
}

impl CgroupReader {
    /// A reader of `hierarchy` that keeps at most `budget` files open and looks at up to `cap` cgroups.
    /// `births` is how many nodes other trees have named before.
    pub(crate) fn new(
        hierarchy: Hierarchy,
        memory: Option<Hierarchy>,
        budget: usize,
        cap: usize,
        births: u64,
    ) -> Self {
        // A descriptor of a real cgroup fails once the cgroup is gone. One of a file in a fixture tree would go
        // on giving the old content, so those are opened each time.
        let keep_open = statfs(&hierarchy.mount)
            .is_ok_and(|info| [CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC].contains(&info.filesystem_type()));
        let tree = CgroupTree::new(hierarchy.mount.clone(), &hierarchy.root, cap, births);
        Self {
            hierarchy,
            memory,
            tree,
            evidence: Vec::new(),
            keep_open,
            budget,
            kept: 0,
            tick: 0,
            failed: None,
        }
    }

    /// Brings the tree up to date and reads every cgroup that matters. `possible` bounds what a new cgroup can
    /// have used since the last tick.
    ///
    /// # Errors
    /// The root of the hierarchy can't be listed.
    pub(crate) fn tick(&mut self, owners: &mut OwnerTable, possible: CpuTime) -> io::Result<()> {
        self.failed = None;
        self.tick = self.tick.saturating_add(1);
        let full = self.tick.is_multiple_of(FULL_LISTING_TICKS);
        if let Err(error) = self.tree.sync(owners, full) {
            self.close(owners);
            return Err(error);
        }
        self.let_go();
        let measured: Vec<usize> = self.measured().collect();
        let mut gone = self.read_all(&measured, possible);
        // What came in place of the gone is read in the same tick, as its parent's count holds it already.
        for _ in 0..2 {
            if gone.is_empty() {
                break;
            }
            let added = self.tree.replace_gone(&gone, owners);
            let measured: Vec<usize> = added
                .into_iter()
                .filter(|&index| self.tree.node(index).is_some_and(|n| n.is_measured))
                .collect();
            gone = self.read_all(&measured, possible);
        }
        Ok(())
    }

    /// Takes all cgroups off their owners, for a hierarchy that is gone.
    pub(crate) fn close(&mut self, owners: &mut OwnerTable) {
        self.tree.clear(owners);
        self.evidence.clear();
        self.kept = 0;
    }

    /// The tree, for finding the cgroup of a process.
    pub(crate) fn tree(&self) -> &CgroupTree {
        &self.tree
    }

    /// Looks for memory in another hierarchy from now on.
    pub(crate) fn set_memory(&mut self, memory: Option<Hierarchy>) {
        self.memory = memory;
    }

    /// The hierarchy that is read.
    pub(crate) fn hierarchy(&self) -> &Hierarchy {
        &self.hierarchy
    }

    /// CPU time that a cgroup used since the last tick, with all below it; none where it couldn't be read.
    pub(crate) fn delta(&self, node: &Node) -> Option<CpuTime> {
        self.entry(node)?.delta
    }

    /// Whether a cgroup couldn't be read in this tick, though it was before.
    pub(crate) fn is_missed(&self, node: &Node) -> bool {
        self.entry(node).is_some_and(|entry| entry.delta.is_none() && entry.is_missed)
    }

    /// What a cgroup used in the last tick in which it could be read: all that is known of one that vanished.
    pub(crate) fn rate(&self, node: &Node) -> CpuTime {
        self.entry(node).map_or(CpuTime::ZERO, |entry| entry.rate)
    }

    /// Memory charged to a cgroup, with all below it, as of the last time it was looked at.
    pub(crate) fn memory(&self, node: &Node) -> Option<Bytes> {
        self.entry(node)?.memory
    }

    /// One of the files that couldn't be read in the last tick, and why.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failed.as_deref().or(self.tree.failure())
    }

    fn measured(&self) -> impl Iterator<Item = usize> {
        self.tree.iter().filter(|node| node.is_measured && !node.vanished).map(|node| node.id.index())
    }

    /// Closes the files of groups that are gone, and forgets those that lead to no owner any more: when one does
    /// again, its old count says nothing of the last tick.
    fn let_go(&mut self) {
        for node in self.tree.iter().filter(|node| node.vanished || !node.is_measured) {
            let Some(slot) = self.evidence.get_mut(node.id.index()) else { continue };
            if slot.as_mut().is_some_and(|entry| entry.file.close()) {
                self.kept = self.kept.saturating_sub(1);
            }
            if !node.vanished {
                *slot = None;
            }
        }
    }

    fn entry(&self, node: &Node) -> Option<&Evidence> {
        self.evidence.get(node.id.index())?.as_ref().filter(|entry| entry.id == node.id)
    }

    /// Reads the given cgroups and returns those that are gone.
    fn read_all(&mut self, indices: &[usize], possible: CpuTime) -> Vec<usize> {
        if self.evidence.len() < self.tree.bound() {
            self.evidence.resize_with(self.tree.bound(), || None);
        }
        let mut gone = Vec::new();
        for &index in indices {
            let Some(node) = self.tree.node(index) else {
                continue;
            };
            let (id, fresh, is_root, is_border) =
                (node.id, node.fresh, node.parent.is_none(), node.is_border);
            let Some(slot) = self.evidence.get_mut(index) else {
                continue;
            };
            if slot.as_ref().is_none_or(|entry| entry.id != id) {
                if slot.take().is_some_and(|entry| entry.file.is_kept()) {
                    self.kept = self.kept.saturating_sub(1);
                }
                let (name, key) = cpu_file(self.hierarchy.version);
                let file = CounterFile::new(node.directory.join(name), key);
                // A cgroup that is new since the last tick began at zero; one that was there before did not.
                let last = fresh.then_some(CpuTime::ZERO);
                let inode = inode(&node.directory);
                *slot = Some(Evidence {
                    id,
                    inode,
                    file,
                    last,
                    delta: None,
                    is_missed: false,
                    rate: CpuTime::ZERO,
                    memory: None,
                    has_looked: false,
                });
            }
            let Some(entry) = slot else { continue };
            let was_kept = entry.file.is_kept();
            let keep = self.keep_open && self.kept < self.budget;
            let reading = if is_root && self.hierarchy.version == Version::V2 {
                root_cpu_time(entry.file.path())
            } else {
                entry.file.read(keep).map(|value| cpu_time(self.hierarchy.version, value))
            };
            if entry.file.is_kept() && !was_kept {
                self.kept = self.kept.saturating_add(1);
            }
            match reading {
                // A count that falls where the file isn't kept open: another group has taken the name.
                Ok(total) if entry.has_fallen(total) && entry.inode != inode(&node.directory) => {
                    entry.delta = None;
                    gone.push(index);
                    continue;
                }
                Ok(total) => entry.advance(total, fresh, possible),
                // The file isn't there, but its group is: nothing that a kernel does, and no reason to drop it.
                Err(ReadError::Gone) if is_root || (!was_kept && node.directory.exists()) => {
                    entry.miss();
                    self.failed = Some(format!("{}: not there", entry.file.path().display()));
                }
                Err(ReadError::Gone) => {
                    entry.delta = None;
                    if entry.file.close() {
                        self.kept = self.kept.saturating_sub(1);
                    }
                    gone.push(index);
                    continue;
                }
                Err(ReadError::Unreadable(error)) => {
                    entry.miss();
                    self.failed = Some(format!("{}: {error}", entry.file.path().display()));
                }
            }
            let is_due = (self.tick.wrapping_add(index as u64)).is_multiple_of(MEMORY_TICKS);
            if is_border
                && (!entry.has_looked || is_due)
                && let Some(memory) = &self.memory
            {
                let group = memory.mount.join(self.tree.relative_path(node));
                entry.memory = read_memory(&group, memory.version);
                entry.has_looked = true;
            }
        }
        gone
    }
}

impl Evidence {
    fn miss(&mut self) {
        self.delta = None;
        self.is_missed = self.last.is_some();
    }

    fn has_fallen(&self, total: CpuTime) -> bool {
        self.last.is_some_and(|last| total < last)
    }

    fn advance(&mut self, total: CpuTime, fresh: bool, possible: CpuTime) {
        // A group that seems new but used more than the machine could give was renamed, not made. What it used
        // isn't known then, nor is it at the first look at a group that was there before: zero would say that all
        // its children used is still to be given away at its parent.
        let believable = |delta: &CpuTime| !fresh || self.last != Some(CpuTime::ZERO) || *delta <= possible;
        self.delta = self.last.map(|last| total.saturating_sub(last)).filter(believable);
        self.is_missed = false;
        self.rate = self.delta.unwrap_or_default();
        self.last = Some(self.last.map_or(total, |last| last.max(total)));
    }
}

fn inode(directory: &Path) -> u64 {
    fs::metadata(directory).map_or(0, |metadata| metadata.ino())
}

/// The file of a cgroup that counts CPU time, and the word before the number.
fn cpu_file(version: Version) -> (&'static str, &'static str) {
    match version {
        Version::V1 => ("cpuacct.usage", ""),
        Version::V2 => ("cpu.stat", "usage_usec"),
    }
}

/// cpuacct.usage is in nanoseconds, cpu.stat in microseconds.
fn cpu_time(version: Version, value: u64) -> CpuTime {
    match version {
        Version::V1 => CpuTime::from_nanos(value),
        Version::V2 => CpuTime::from_micros(value),
    }
}

/// CPU time of the v2 root: user and system time. Its `usage_usec` isn't used, since it holds time stolen by the
/// hypervisor on some kernels.
fn root_cpu_time(path: &Path) -> Result<CpuTime, ReadError> {
    let text = fs::read(path)?;
    let text = String::from_utf8_lossy(&text);
    let value = |key: &str| {
        text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse::<u64>().ok())
    };
    match (value("user_usec"), value("system_usec")) {
        (Some(user), Some(system)) => Ok(CpuTime::from_micros(user.saturating_add(system))),
        _ => {
            let message = "no user_usec and system_usec";
            Err(ReadError::Unreadable(io::Error::new(io::ErrorKind::InvalidData, message)))
        }
    }
}

fn read_memory(group: &Path, version: Version) -> Option<Bytes> {
    let name = match version {
        Version::V1 => "memory.usage_in_bytes",
        Version::V2 => "memory.current",
    };
    CounterFile::new(PathBuf::from(group).join(name), "").read(false).ok().map(Bytes)
}

/// What `cpus` CPUs can give in `elapsed`, with a quarter on top for readings that aren't simultaneous.
pub(crate) fn possible_cpu_time(elapsed: Duration, cpus: u64) -> CpuTime {
    let nanos = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX).saturating_mul(cpus);
    CpuTime::from_nanos(nanos.saturating_add(nanos / 4).saturating_add(100_000_000))
}

#[cfg(test)]
mod tests;
