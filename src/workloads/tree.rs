//! The shape of one cgroup hierarchy, kept up to date without walking it every tick.
//!
//! A directory of cgroupfs shows in its link count how many children it has, so one `stat` tells whether a
//! listing is due. Below a container, job or VM nothing is looked at: the kernel's accounting is hierarchical,
//! so the owner's own file holds the CPU time of all that is nested in it.

mod shape;

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::workloads::owner::{Owner, classify};
use crate::workloads::owners::{OwnerId, OwnerTable};

/// Deeper trees than this aren't followed; the kernel's own limit is far above what any runtime makes.
const MAX_DEPTH: usize = 32;

/// Names a cgroup for as long as it exists; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct NodeId {
    index: usize,
    birth: u64,
}

impl NodeId {
    /// The place of the node in its tree, for arrays that live for one tick.
    pub(crate) const fn index(self) -> usize {
        self.index
    }

    /// Counts the nodes of a tree in the order in which they were found; never reused.
    pub(crate) const fn birth(self) -> u64 {
        self.birth
    }
}

/// One cgroup that is looked at.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) directory: PathBuf,
    pub(crate) parent: Option<usize>,
    /// Who gets what can't be charged to a child.
    pub(crate) owner: OwnerId,
    /// Whether the owner is another one than the parent's; such a node counts as one of the owner's cgroups.
    pub(crate) is_border: bool,
    /// Whether its CPU time is evidence: it is the root, a border, or has one below it.
    pub(crate) is_measured: bool,
    /// Whether it was removed since the last tick.
    pub(crate) vanished: bool,
    /// Whether it was made since the last tick (not so for what was there at the start).
    pub(crate) fresh: bool,
    /// Its key among the parent's children.
    name: OsString,
    children: HashMap<OsString, usize>,
    kind: Owner,
    depth: usize,
    dirty: bool,
    /// The file system's link counts say nothing (btrfs, overlayfs), so the directory is listed every tick.
    list_always: bool,
}

impl Node {
    fn is_open(&self) -> bool {
        !self.kind.is_terminal() && !self.vanished && self.depth < MAX_DEPTH
    }
}

/// The part of a hierarchy that matters.
#[derive(Debug)]
pub(crate) struct CgroupTree {
    mount: PathBuf,
    prefix: String,
    nodes: Vec<Option<Node>>,
    free: Vec<usize>,
    /// Parents before children.
    order: Vec<usize>,
    births: u64,
    cap: usize,
    /// Whether the last look left cgroups out because of the cap.
    capped: bool,
    started: bool,
    reshaped: bool,
    overflowed: bool,
    /// A directory that is there but couldn't be looked at, and why.
    failed: Option<String>,
}

impl CgroupTree {
    /// The tree below `mount`, which shows the cgroup `root`; at most `cap` cgroups are looked at. `births` is how
    /// many nodes other trees have named before.
    pub(crate) fn new(mount: PathBuf, root: &str, cap: usize, births: u64) -> Self {
        // A root outside the reader's cgroup namespace ("/../..") is the real root.
        let prefix = if root.starts_with("/..") { "" } else { root.trim_end_matches('/') }.to_owned();
        Self {
            mount,
            prefix,
            nodes: Vec::new(),
            free: Vec::new(),
            order: Vec::new(),
            births,
            cap,
            capped: false,
            started: false,
            reshaped: false,
            overflowed: false,
            failed: None,
        }
    }

    /// Brings the shape up to date: finds new cgroups and marks removed ones as vanished. Those that vanished
    /// before are dropped.
    ///
    /// # Errors
    /// The root can't be listed.
    pub(crate) fn sync(&mut self, owners: &mut OwnerTable, list_all: bool) -> io::Result<()> {
        self.failed = None;
        self.drop_vanished();
        if self.nodes.is_empty() {
            fs::metadata(&self.mount)?;
            self.add(self.mount.clone(), OsString::new(), None, Owner::System, owners);
        }
        if list_all {
            self.capped = false;
        }
        // Nodes found on the way are appended, so that they are listed in the same go.
        let mut queue: Vec<usize> = if self.order.is_empty() { vec![0] } else { self.order.clone() };
        let mut next = 0;
        let mut gone = Vec::new();
        while let Some(&index) = queue.get(next) {
            next += 1;
            match self.look(index, list_all, owners) {
                Ok(added) => queue.extend(added),
                Err(error) if index == 0 => return Err(error),
                Err(error) if is_gone(&error) => gone.push(index),
                Err(error) => self.lose(index, &error, owners),
            }
        }
        // Where one came for each that went, the number of links tells nothing.
        self.replace_gone(&gone, owners);
        self.started = true;
        if self.reshaped {
            self.reshape();
        }
        if list_all && self.overflowed && owners.has_room() {
            self.retry_overflowed(owners);
        }
        Ok(())
    }

    /// Lists the parents of the nodes that turned out to be gone, and returns the nodes that came in their
    /// place.
    pub(crate) fn replace_gone(&mut self, gone: &[usize], owners: &mut OwnerTable) -> Vec<usize> {
        let mut parents: Vec<usize> = Vec::new();
        for &index in gone {
            let parent = self.node(index).and_then(|node| node.parent);
            self.vanish(index, owners);
            parents.extend(parent.filter(|parent| self.node(*parent).is_some_and(|node| !node.vanished)));
        }
        parents.sort_unstable();
        parents.dedup();
        let mut added = Vec::new();
        let mut next = 0;
        while let Some(&index) = parents.get(next) {
            next += 1;
            match self.list(index, owners) {
                Ok(new) => {
                    added.extend_from_slice(&new);
                    parents.extend(new);
                }
                Err(error) => {
                    // The next one above may still be there.
                    let above = self.node(index).and_then(|node| node.parent).filter(|_| is_gone(&error));
                    self.lose(index, &error, owners);
                    parents.extend(above.filter(|above| !parents.contains(above)));
                }
            }
        }
        if self.reshaped {
            self.reshape();
        }
        added
    }

    /// The nodes, parents before children; vanished ones included until the next [`Self::sync`].
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Node> {
        self.order.iter().filter_map(|&index| self.node(index))
    }

    /// A node by its place.
    pub(crate) fn node(&self, index: usize) -> Option<&Node> {
        self.nodes.get(index).and_then(Option::as_ref)
    }

    /// The node that a name stands for, unless it is gone.
    pub(crate) fn get(&self, id: NodeId) -> Option<&Node> {
        self.node(id.index).filter(|node| node.id == id && !node.vanished)
    }

    /// A node and all above it, upwards; nothing if it is gone.
    pub(crate) fn ancestry(&self, id: NodeId) -> impl Iterator<Item = &Node> {
        std::iter::successors(self.get(id), |node| self.node(node.parent?))
    }

    /// The deepest node that two have above them or are themselves; none if one of them is gone.
    pub(crate) fn common(&self, one: NodeId, other: NodeId) -> Option<NodeId> {
        self.ancestry(one)
            .find(|node| self.ancestry(other).any(|above| above.id == node.id))
            .map(|node| node.id)
    }

    /// The deepest known node on a path relative to the mount.
    pub(crate) fn find(&self, relative: &str) -> Option<&Node> {
        let mut index = 0;
        for name in relative.split('/').filter(|name| !name.is_empty()) {
            match self.node(index)?.children.get(OsStr::new(name)) {
                Some(&child) => index = child,
                None => break,
            }
        }
        self.node(index).filter(|node| !node.vanished)
    }

    /// Whether there is a node for this very path relative to the mount.
    pub(crate) fn holds(&self, relative: &Path) -> bool {
        let node = relative.to_str().and_then(|path| self.find(path));
        node.is_some_and(|node| self.relative_path(node) == relative)
    }

    /// One more than the largest place of a node.
    pub(crate) fn bound(&self) -> usize {
        self.nodes.len()
    }

    /// Whether cgroups were left out because there are too many.
    pub(crate) fn is_capped(&self) -> bool {
        self.capped
    }

    /// The path of a node below the mount, to find the same cgroup in another hierarchy.
    pub(crate) fn relative_path<'a>(&self, node: &'a Node) -> &'a Path {
        node.directory.strip_prefix(&self.mount).unwrap_or(Path::new(""))
    }

    /// A cgroup that is there but couldn't be looked at, and why.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failed.as_deref()
    }

    /// How many nodes were named so far, in this tree and those before it.
    pub(crate) fn births(&self) -> u64 {
        self.births
    }

    /// Gives up every node, for a hierarchy that can't be read any more.
    pub(crate) fn clear(&mut self, owners: &mut OwnerTable) {
        for node in self.nodes.drain(..).flatten().filter(|node| node.is_border && !node.vanished) {
            owners.leave(node.owner);
        }
        self.free.clear();
        self.order.clear();
        self.started = false;
    }

    /// Lists a directory if it is due; returns the new nodes.
    fn look(&mut self, index: usize, list_all: bool, owners: &mut OwnerTable) -> io::Result<Vec<usize>> {
        let Some(node) = self.node(index).filter(|node| node.is_open()) else { return Ok(Vec::new()) };
        let is_due = node.dirty || node.list_always || list_all || {
            let links = usize::try_from(fs::metadata(&node.directory)?.nlink()).unwrap_or(usize::MAX);
            links != node.children.len().saturating_add(2)
        };
        if is_due { self.list(index, owners) } else { Ok(Vec::new()) }
    }

    /// Takes a node for removed if its directory is; any other error leaves it as it is.
    fn lose(&mut self, index: usize, error: &io::Error, owners: &mut OwnerTable) {
        if is_gone(error) {
            self.vanish(index, owners);
        } else if let Some(node) = self.node(index) {
            self.failed = Some(format!("{}: {error}", node.directory.display()));
        }
    }

    /// Compares a directory with the known children; returns the new ones.
    fn list(&mut self, index: usize, owners: &mut OwnerTable) -> io::Result<Vec<usize>> {
        let Some(node) = self.node(index).filter(|node| node.is_open()) else {
            return Ok(Vec::new());
        };
        let directory = node.directory.clone();
        let mut gone = node.children.clone();
        let mut new = Vec::new();
        let mut count = 0_usize;
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            count = count.saturating_add(1);
            if gone.remove(&entry.file_name()).is_none() {
                new.push(entry.file_name());
            }
        }
        let links = usize::try_from(fs::metadata(&directory)?.nlink()).unwrap_or(usize::MAX);
        if let Some(node) = self.nodes.get_mut(index).and_then(Option::as_mut) {
            node.dirty = false;
            node.list_always = links < 2;
        }
        for child in gone.into_values() {
            self.vanish(child, owners);
        }
        let mut added = Vec::new();
        for name in new {
            if self.nodes.len().saturating_sub(self.free.len()) >= self.cap {
                self.capped = true;
                break;
            }
            let path = directory.join(&name);
            let owner = classify(&self.cgroup_path(&path));
            let child = self.add(path, name.clone(), Some(index), owner, owners);
            if let Some(node) = self.nodes.get_mut(index).and_then(Option::as_mut) {
                node.children.insert(name, child);
            }
            added.push(child);
        }
        Ok(added)
    }

    fn cgroup_path(&self, directory: &Path) -> String {
        let relative = directory.strip_prefix(&self.mount).unwrap_or(directory);
        format!("{}/{}", self.prefix, relative.to_string_lossy())
    }

    fn add(
        &mut self,
        directory: PathBuf,
        name: OsString,
        parent: Option<usize>,
        kind: Owner,
        owners: &mut OwnerTable,
    ) -> usize {
        let above = parent.and_then(|parent| self.node(parent));
        let depth = above.map_or(0, |node| node.depth.saturating_add(1));
        let is_border = above.is_some_and(|node| node.kind != kind);
        let owner = match above {
            Some(node) if !is_border => node.owner,
            Some(_) => owners.acquire(kind.clone()),
            None => OwnerId::SYSTEM,
        };
        self.overflowed |= is_border && owner.is_shared() && kind != Owner::System;
        let index = self.free.pop().unwrap_or(self.nodes.len());
        self.births = self.births.saturating_add(1);
        let node = Node {
            id: NodeId { index, birth: self.births },
            directory,
            parent,
            owner,
            is_border,
            is_measured: is_border || parent.is_none(),
            vanished: false,
            fresh: self.started,
            name,
            children: HashMap::new(),
            kind,
            depth,
            dirty: true,
            list_always: false,
        };
        match self.nodes.get_mut(index) {
            Some(slot) => *slot = Some(node),
            None => self.nodes.push(Some(node)),
        }
        self.reshaped = true;
        index
    }

    /// Marks a node and all below it as removed, and takes them off their owners.
    fn vanish(&mut self, index: usize, owners: &mut OwnerTable) {
        let mut stack = vec![index];
        while let Some(index) = stack.pop() {
            let Some(node) = self.nodes.get_mut(index).and_then(Option::as_mut) else {
                continue;
            };
            if node.vanished {
                continue;
            }
            node.vanished = true;
            if node.is_border {
                owners.leave(node.owner);
            }
            stack.extend(node.children.values().copied());
        }
        // Its name is free for a new cgroup at once, even before the node is dropped.
        let Some((name, Some(parent))) = self.node(index).map(|node| (node.name.clone(), node.parent)) else {
            return;
        };
        if let Some(parent) = self.nodes.get_mut(parent).and_then(Option::as_mut)
            && parent.children.get(&name) == Some(&index)
        {
            parent.children.remove(&name);
        }
    }

    fn drop_vanished(&mut self) {
        for index in 0..self.nodes.len() {
            let Some(slot) = self.nodes.get_mut(index) else {
                continue;
            };
            match slot {
                Some(node) if node.vanished => {
                    *slot = None;
                    self.free.push(index);
                    self.reshaped = true;
                }
                Some(node) => node.fresh = false,
                None => {}
            }
        }
        if self.reshaped {
            self.reshape();
        }
    }

    /// Gives owners that came when the cap was full an account of their own, now that there is room.
    fn retry_overflowed(&mut self, owners: &mut OwnerTable) {
        self.overflowed = false;
        for index in self.order.clone() {
            let parent_owner = self
                .node(index)
                .and_then(|node| node.parent)
                .and_then(|parent| self.node(parent))
                .map(|p| p.owner);
            let Some(node) = self.nodes.get_mut(index).and_then(Option::as_mut) else {
                continue;
            };
            if node.vanished || node.kind == Owner::System {
                continue;
            }
            if !node.is_border {
                node.owner = parent_owner.unwrap_or(node.owner);
            } else if node.owner.is_shared() && owners.has_room() {
                node.owner = owners.acquire(node.kind.clone());
            }
            self.overflowed |= node.owner.is_shared();
        }
    }
}

/// Whether an error says that a cgroup was removed.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    use nix::errno::Errno;
    let code = error.raw_os_error();
    [Errno::ENOENT, Errno::ENODEV, Errno::ENOTDIR].into_iter().any(|gone| code == Some(gone as i32))
}

#[cfg(test)]
mod tests;
