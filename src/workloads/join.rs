//! Joins the hierarchies of a machine into the one tree that CPU energy is split over.
//!
//! Most machines have one. On hybrid ones the v1 hierarchy `cpuacct` comes first, and the v2 tree beside it may
//! know owners that the first doesn't: systemd keeps its units there.

use std::collections::HashMap;

use crate::units::CpuTime;
use crate::workloads::cgroup::CgroupReader;
use crate::workloads::hierarchy::Version;
use crate::workloads::owner::OwnerKind;
use crate::workloads::owners::{OwnerId, OwnerTable};
use crate::workloads::procfile::cgroup_lines;
use crate::workloads::tree::{CgroupTree, Node, NodeId};
use crate::workloads::usage::UsageNode;

/// Where a process runs: its cgroup in the first and in the second hierarchy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    first: Option<NodeId>,
    second: Option<NodeId>,
}

/// The hierarchies that account CPU time.
#[derive(Debug, Default)]
pub(crate) struct Hierarchies {
    first: Option<CgroupReader>,
    second: Option<CgroupReader>,
    /// For nodes of the second tree, a node of the first in which their processes are.
    anchors: HashMap<NodeId, NodeId>,
    /// For nodes of the first tree, a node of the second in which their processes are.
    counterparts: HashMap<NodeId, NodeId>,
}

/// The joined tree, and where in it the cgroups stand.
pub(crate) struct JoinedTree {
    /// Parents before children.
    pub(crate) nodes: Vec<UsageNode>,
    first: Option<Places>,
    second: Option<Places>,
}

impl Hierarchies {
    /// How many nodes were named so far in any tree.
    pub(crate) fn births(&self) -> u64 {
        self.readers().map(|reader| reader.tree().births()).max().unwrap_or(0)
    }

    /// Reads these hierarchies from now on; the old ones are taken off their owners.
    pub(crate) fn replace(
        &mut self,
        first: Option<CgroupReader>,
        second: Option<CgroupReader>,
        owners: &mut OwnerTable,
    ) {
        for reader in self.readers_mut() {
            reader.close(owners);
        }
        *self = Self { first, second, ..Self::default() };
    }

    /// The readers, the first hierarchy's first.
    pub(crate) fn readers(&self) -> impl Iterator<Item = &CgroupReader> {
        [&self.first, &self.second].into_iter().flatten()
    }

    /// The readers, to read with them.
    pub(crate) fn readers_mut(&mut self) -> impl Iterator<Item = &mut CgroupReader> {
        [&mut self.first, &mut self.second].into_iter().flatten()
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Where a process is whose /proc/PID/cgroup has this text, as far as its cgroups are known.
    pub(crate) fn place(&self, cgroups: &str) -> Place {
        let node = |reader: &Option<CgroupReader>| node_of(reader.as_ref()?, cgroups).map(|node| node.id);
        Place { first: node(&self.first), second: node(&self.second) }
    }

    /// Learns from the place of a process where the two trees meet.
    pub(crate) fn learn(&mut self, place: Place) {
        let (Some(first), Some(second)) = (&self.first, &self.second) else { return };
        let (Some(own), Some(other)) = (place.first, place.second) else { return };
        // Where a node's processes are in several places, it is what these have in common.
        for node in second.tree().ancestry(other) {
            let known = self.anchors.get(&node.id).and_then(|known| first.tree().common(*known, own));
            self.anchors.insert(node.id, known.unwrap_or(own));
        }
        for node in first.tree().ancestry(own).filter(|node| node.parent.is_some()) {
            let known = self.counterparts.get(&node.id).and_then(|known| second.tree().common(*known, other));
            self.counterparts.insert(node.id, known.unwrap_or(other));
        }
    }

    /// Forgets what was learned of cgroups that are gone.
    pub(crate) fn forget_gone(&mut self) {
        let holds = |reader: &Option<CgroupReader>, id: &NodeId| {
            reader.as_ref().is_some_and(|reader| reader.tree().get(*id).is_some())
        };
        self.anchors.retain(|id, _| holds(&self.second, id));
        self.counterparts.retain(|id, _| holds(&self.first, id));
    }

    /// Whether the cgroups of a place are still there.
    pub(crate) fn is_valid(&self, place: &Place) -> bool {
        let holds = |reader: &Option<CgroupReader>, id: Option<NodeId>| match (reader, id) {
            (Some(reader), Some(id)) => reader.tree().get(id).is_some(),
            (None, None) => true,
            _ => false,
        };
        holds(&self.first, place.first) && holds(&self.second, place.second)
    }

    /// Whose a process is: the container, job or VM that either hierarchy shows, the first before the second;
    /// else the unit.
    pub(crate) fn owner_of(&self, owners: &OwnerTable, place: &Place) -> OwnerId {
        let owner = |reader: &Option<CgroupReader>, id: Option<NodeId>| {
            let node = reader.as_ref().and_then(|reader| reader.tree().get(id?));
            node.map_or(OwnerId::SYSTEM, |node| node.owner)
        };
        let own = owner(&self.first, place.first);
        if is_final(owners, own) {
            return own;
        }
        let other = owner(&self.second, place.second);
        if own == OwnerId::SYSTEM || is_final(owners, other) { other } else { own }
    }

    /// Joins the trees as they were read last.
    pub(crate) fn join(&self, owners: &OwnerTable) -> JoinedTree {
        let mut nodes = Vec::new();
        let first = self.first.as_ref().map(|first| add_first(first, &mut nodes));
        let second = self.add_second(owners, &mut nodes, first.as_ref());
        JoinedTree { nodes, first, second }
    }

    /// Notes what a living process used at its place in the tree.
    pub(crate) fn credit(&self, tree: &mut JoinedTree, place: &Place, owner: OwnerId, time: CpuTime) {
        let at = |reader: &Option<CgroupReader>, places: &Option<Places>, id: Option<NodeId>| {
            let cgroups = reader.as_ref()?.tree();
            places.as_ref()?.at_or_above(cgroups, cgroups.get(id?))
        };
        let is_owners = |at: &usize| tree.nodes.get(*at).is_some_and(|node| node.owner == owner);
        let place = at(&self.second, &tree.second, place.second)
            .filter(is_owners)
            .or_else(|| at(&self.first, &tree.first, place.first));
        if let Some(node) = place.and_then(|at| tree.nodes.get_mut(at)) {
            node.direct += time;
        }
    }

    /// Hangs the owners that only the second hierarchy knows into the tree of the first: below the cgroup in
    /// which their processes are. What the first shows under a finer owner is taken off them.
    fn add_second(
        &self,
        owners: &OwnerTable,
        nodes: &mut Vec<UsageNode>,
        first_places: Option<&Places>,
    ) -> Option<Places> {
        let (first, second, first_places) = (self.first.as_ref()?, self.second.as_ref()?, first_places?);
        let mut places = Places::new(second.tree());
        let mut stands_in_first = vec![false; owners.bound()];
        for node in nodes.iter() {
            if let Some(flag) = stands_in_first.get_mut(node.owner.index()) {
                *flag = true;
            }
        }
        let mut shown_by_first = vec![false; second.tree().bound()];
        for node in second.tree().iter().filter(|node| node.is_measured && node.parent.is_some()) {
            let anchor = self.anchors.get(&node.id).and_then(|id| first.tree().get(*id));
            let below_first = first_places.at_or_above(first.tree(), anchor).filter(|place| *place > 0);
            let above = node.parent.and_then(|parent| second.tree().node(parent));
            let below_second = places.at_or_above(second.tree(), above);
            let delta = second.delta(node).unwrap_or_default();
            let is_inner = node.owner == OwnerId::SYSTEM;
            if is_inner && below_first.is_some() {
                continue;
            }
            // Many owners share an account beyond the cap, so there the path must tell.
            let is_known = if node.owner.is_shared() {
                first.tree().holds(second.tree().relative_path(node))
            } else {
                stands_in_first.get(node.owner.index()).copied().unwrap_or(false)
            };
            if !is_inner && (is_known || anchor.is_some_and(|anchor| is_final(owners, anchor.owner))) {
                take_off(nodes, below_second, delta);
                if let Some(flag) = shown_by_first.get_mut(node.id.index()) {
                    *flag = true;
                }
                continue;
            }
            let is_below_inner = below_second
                .and_then(|place| nodes.get(place))
                .is_none_or(|parent| parent.owner == OwnerId::SYSTEM);
            let parent = match (below_second, below_first) {
                (_, Some(place)) if is_below_inner => {
                    take_off(nodes, below_second, delta);
                    Some(place)
                }
                (Some(place), _) => Some(place),
                (None, _) => (!nodes.is_empty()).then_some(0),
            };
            places.set(node, nodes.len());
            nodes.push(usage_node(second, node, parent, SECOND));
        }
        let is_outermost = |node: &&Node| {
            let above = node.parent.and_then(|parent| first.tree().node(parent));
            node.is_border && !node.vanished && above.is_none_or(|above| above.owner == OwnerId::SYSTEM)
        };
        for node in first.tree().iter().filter(is_outermost) {
            let counterpart = self.counterparts.get(&node.id).and_then(|id| second.tree().get(*id));
            let (Some(delta), Some(at)) = (first.delta(node), places.at_or_above(second.tree(), counterpart))
            else {
                continue;
            };
            let own = first_places.at_or_above(first.tree(), Some(node));
            let is_taken_off = counterpart.is_some_and(|counterpart| {
                let mut chain = second.tree().ancestry(counterpart.id);
                chain.any(|node| shown_by_first.get(node.id.index()).copied().unwrap_or(false))
            });
            if !is_taken_off && own.is_none_or(|own| !is_below(nodes, at, own)) {
                take_off(nodes, Some(at), delta);
            }
        }
        Some(places)
    }
}

/// Set in the keys of nodes of the second tree.
const SECOND: u64 = 1 << 63;

/// The node that a process's cgroup file names in one hierarchy.
fn node_of<'a>(reader: &'a CgroupReader, cgroups: &str) -> Option<&'a Node> {
    let hierarchy = reader.hierarchy();
    let (_, _, path) =
        cgroup_lines(cgroups).find(|(id, controllers, _)| hierarchy.matches(id, controllers))?;
    reader.tree().find(hierarchy.relative(path))
}

/// Whether what runs nested in an owner belongs to it.
fn is_final(owners: &OwnerTable, id: OwnerId) -> bool {
    match owners.get(id) {
        Some(owner) => owner.is_terminal(),
        None => !matches!(owners.kind(id), OwnerKind::System | OwnerKind::Unit),
    }
}

fn usage_node(reader: &CgroupReader, node: &Node, parent: Option<usize>, mark: u64) -> UsageNode {
    UsageNode {
        key: node.id.birth() | mark,
        parent,
        owner: node.owner,
        delta: if node.vanished { None } else { reader.delta(node) },
        is_missed: !node.vanished && reader.is_missed(node),
        vanished: node.vanished,
        rate: reader.rate(node),
        direct: CpuTime::ZERO,
        // The root of v2 shows the CPUs' own statistics (the kernel's `kernel/cgroup/rstat.c`).
        is_coarse: node.parent.is_none() && reader.hierarchy().version == Version::V2,
        elsewhere: CpuTime::ZERO,
    }
}

/// Lists the measured nodes of the first tree, parents first.
fn add_first(reader: &CgroupReader, nodes: &mut Vec<UsageNode>) -> Places {
    let mut places = Places::new(reader.tree());
    for node in reader.tree().iter().filter(|node| node.is_measured) {
        let above = node.parent.and_then(|parent| reader.tree().node(parent));
        let parent = places.at_or_above(reader.tree(), above);
        places.set(node, nodes.len());
        nodes.push(usage_node(reader, node, parent, 0));
    }
    places
}

/// For each node of a tree, its place in the list of usage nodes.
struct Places(Vec<Option<usize>>);

impl Places {
    fn new(tree: &CgroupTree) -> Self {
        Self(vec![None; tree.bound()])
    }

    fn set(&mut self, node: &Node, place: usize) {
        if let Some(slot) = self.0.get_mut(node.id.index()) {
            *slot = Some(place);
        }
    }

    /// The place of the nearest listed node at or above a node.
    fn at_or_above(&self, tree: &CgroupTree, node: Option<&Node>) -> Option<usize> {
        let mut at = node;
        while let Some(node) = at {
            if let Some(place) = self.0.get(node.id.index()).copied().flatten() {
                return Some(place);
            }
            at = node.parent.and_then(|parent| tree.node(parent));
        }
        None
    }
}

/// Notes at a node of the second tree, and at those of it above, that a part of what they count stands elsewhere.
fn take_off(nodes: &mut [UsageNode], place: Option<usize>, time: CpuTime) {
    let mut at = place;
    while let Some(node) = at.and_then(|at| nodes.get_mut(at)).filter(|node| node.key & SECOND != 0) {
        node.elsewhere += time;
        at = node.parent;
    }
}

/// Whether the node at `place` stands below the one at `ancestor`.
fn is_below(nodes: &[UsageNode], place: usize, ancestor: usize) -> bool {
    let mut at = nodes.get(place).and_then(|node| node.parent);
    while let Some(place) = at {
        if place == ancestor {
            return true;
        }
        at = nodes.get(place).and_then(|node| node.parent);
    }
    false
}
