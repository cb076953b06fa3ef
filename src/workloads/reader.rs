//! One look at everything that ran: cgroups, then processes, joined into the tree that energy is split over.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::units::{Bytes, CpuTime};
use crate::workloads::cgroup::{CgroupReader, possible_cpu_time};
use crate::workloads::hierarchy::{Hierarchy, Layout, discover};
use crate::workloads::owner::OwnerKind;
use crate::workloads::owners::{OwnerId, OwnerTable};
use crate::workloads::process::{ClockSource, ProcessTable};
use crate::workloads::procfile::{cgroup_lines, parse_busy, parse_meminfo};
use crate::workloads::tree::{CgroupTree, Node, NodeId};

/// Ticks between two looks at what changes rarely: the mounts, memory in use, the number of CPUs.
const SURVEY_TICKS: u64 = 10;

/// What a [`WorkloadReader`] needs to know.
#[derive(Clone, Debug)]
pub struct ReaderSettings {
    /// `/proc`, or where the host's is mounted.
    pub procfs: PathBuf,
    /// `/sys`, or where the host's is mounted.
    pub sysfs: PathBuf,
    /// Whether processes are listed.
    pub processes: bool,
    /// Whether cgroups are read.
    pub cgroups: bool,
    /// Files that may be kept open.
    pub open_files: usize,
    /// Cgroups that are looked at, at most.
    pub max_cgroups: usize,
    /// Processes that are looked at, at most.
    pub max_processes: usize,
}

/// One node of the tree that CPU energy is split over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageNode {
    /// Tells the node from all others, for as long as the daemon runs.
    pub key: u64,
    /// The place of its parent in the list; parents come first.
    pub parent: Option<usize>,
    /// Who gets what can't be charged to a child.
    pub owner: OwnerId,
    /// CPU time since the last tick with all below it; none where it couldn't be read.
    pub delta: Option<CpuTime>,
    /// Whether it was removed since the last tick.
    pub vanished: bool,
    /// What it used in the last tick in which it could be read.
    pub rate: CpuTime,
    /// What living processes used that are in this very node.
    pub direct: CpuTime,
    /// The part of `delta` that stands in the list a second time, under a finer owner of another hierarchy.
    pub elsewhere: CpuTime,
}

/// What one process used.
#[derive(Clone, Debug)]
pub struct ProcessUsage {
    /// Its pid.
    pub pid: u32,
    /// Start time in clock ticks since boot.
    pub start_time: u64,
    /// The command name.
    pub comm: Arc<str>,
    /// Whose it is.
    pub owner: OwnerId,
    /// CPU time since the last tick; not zero.
    pub cpu_time: CpuTime,
}

/// What kept a reader from all that it looked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}: {reason}")]
pub struct ReadFailure {
    /// What is wrong; one of a few texts without paths.
    pub reason: &'static str,
    /// Where, and what the system says.
    pub detail: String,
}

/// Everything that ran since the last tick.
#[derive(Clone, Debug, Default)]
pub struct WorkloadTick {
    /// The tree; empty without cgroups.
    pub nodes: Vec<UsageNode>,
    /// CPU time of the whole machine; none where it couldn't be read.
    pub busy: Option<CpuTime>,
    /// The processes that used CPU time.
    pub processes: Vec<ProcessUsage>,
    /// Processes (pid, start time) that ended.
    pub ended: Vec<(u32, u64)>,
    /// Memory that owners hold.
    pub memory: Vec<(OwnerId, Bytes)>,
    /// The machine's memory, and how much of it is in use; none where it couldn't be read.
    pub machine_memory: Option<(Bytes, Bytes)>,
    /// CPUs that are online.
    pub cpus: u32,
    /// Processes left out because there are too many, since the start.
    pub dropped_processes: u64,
}

/// Where a process runs: its cgroup in the first and in the second hierarchy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    first: Option<NodeId>,
    second: Option<NodeId>,
}

/// Reads cgroups and processes.
#[derive(Debug)]
pub struct WorkloadReader {
    settings: ReaderSettings,
    layout: Layout,
    owners: OwnerTable,
    first: Option<CgroupReader>,
    second: Option<CgroupReader>,
    processes: ProcessTable<Place>,
    /// For nodes of the second tree, a node of the first in which their processes are.
    anchors: HashMap<NodeId, NodeId>,
    /// For nodes of the first tree, a node of the second in which their processes are.
    counterparts: HashMap<NodeId, NodeId>,
    /// By owner: whether its memory can only be told from its processes.
    by_process: Vec<bool>,
    ended: Vec<(u32, u64)>,
    dropped_processes: u64,
    machine_memory: Option<(Bytes, Bytes)>,
    cpus: u32,
    busy: Option<CpuTime>,
    tick: u64,
}

impl WorkloadReader {
    /// Finds the hierarchies and prepares to read them; up to `max_owners` owners get accounts of their own.
    pub fn new(settings: ReaderSettings, max_owners: usize) -> Self {
        let processes = ProcessTable::new(&settings.procfs, settings.max_processes);
        let mut reader = Self {
            settings,
            layout: Layout::default(),
            owners: OwnerTable::new(max_owners),
            first: None,
            second: None,
            processes,
            anchors: HashMap::new(),
            counterparts: HashMap::new(),
            by_process: Vec::new(),
            ended: Vec::new(),
            dropped_processes: 0,
            machine_memory: None,
            cpus: 1,
            busy: None,
            tick: 0,
        };
        reader.survey();
        reader
    }

    /// The owners by number.
    pub fn owners(&self) -> &OwnerTable {
        &self.owners
    }

    /// The owners by number, to release those that are done with.
    pub fn owners_mut(&mut self) -> &mut OwnerTable {
        &mut self.owners
    }

    /// The hierarchies in use.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// How the CPU time of processes is read.
    pub fn clock_source(&self) -> ClockSource {
        self.processes.source()
    }

    /// Reads the cgroups; `elapsed` is the time since the last call.
    ///
    /// # Errors
    /// No hierarchy that accounts CPU time is mounted, or something in one can't be read.
    pub fn read_cgroups(&mut self, elapsed: Duration) -> Result<(), ReadFailure> {
        self.tick = self.tick.saturating_add(1);
        if self.tick.is_multiple_of(SURVEY_TICKS) {
            self.survey();
        }
        if !self.settings.cgroups {
            return Ok(());
        }
        let possible = possible_cpu_time(elapsed, self.cpus.into());
        let mut failure = None;
        for reader in [&mut self.first, &mut self.second].into_iter().flatten() {
            let outcome = reader.tick(&mut self.owners, possible);
            let mount = reader.hierarchy().mount.display();
            let found = match outcome {
                Err(error) => Some(("the hierarchy can't be listed", format!("{mount}: {error}"))),
                Ok(()) if reader.tree().is_capped() => Some(("too many cgroups", mount.to_string())),
                Ok(()) => reader.failure().map(|detail| ("a cgroup can't be read", detail.to_owned())),
            };
            failure = failure.or(found);
        }
        if self.first.is_none() {
            let detail = self.settings.procfs.join("self/mountinfo").display().to_string();
            failure = Some(("no cgroup hierarchy that accounts CPU time is mounted", detail));
        }
        failure.map_or(Ok(()), |(reason, detail)| Err(ReadFailure { reason, detail }))
    }

    /// Reads the processes.
    ///
    /// # Errors
    /// /proc can't be listed.
    pub fn read_processes(&mut self) -> Result<(), ReadFailure> {
        self.ended.clear();
        if !self.settings.processes {
            return Ok(());
        }
        let (first, second) = (self.first.as_ref(), self.second.as_ref());
        let (anchors, counterparts) = (&mut self.anchors, &mut self.counterparts);
        let is_valid = |place: &Place| {
            let holds = |reader: Option<&CgroupReader>, id: Option<NodeId>| match (reader, id) {
                (Some(reader), Some(id)) => reader.tree().get(id).is_some(),
                (None, None) => true,
                _ => false,
            };
            holds(first, place.first) && holds(second, place.second)
        };
        let (owners, by_process) = (&self.owners, &self.by_process);
        let wants_memory = |place: &Place| {
            let owner = owner_of(owners, first, second, place);
            by_process.get(owner.index()).copied().unwrap_or(false)
        };
        let changes = self.processes.tick(is_valid, wants_memory, |sighting| {
            let own = first.and_then(|reader| node_of(reader, sighting.cgroups));
            let other = second.and_then(|reader| node_of(reader, sighting.cgroups));
            if let (Some(own), Some(other)) = (own, other) {
                let mut above = Some(other);
                while let Some(node) = above {
                    anchors.insert(node.id, own.id);
                    above = node.parent.and_then(|parent| second?.tree().node(parent));
                }
                let mut above = Some(own);
                while let Some(node) = above {
                    counterparts.insert(node.id, other.id);
                    above = node
                        .parent
                        .and_then(|parent| first?.tree().node(parent))
                        .filter(|n| n.parent.is_some());
                }
            }
            Some(Place { first: own.map(|node| node.id), second: other.map(|node| node.id) })
        });
        let changes = changes.map_err(|error| ReadFailure {
            reason: "processes can't be listed",
            detail: format!("{}: {error}", self.settings.procfs.display()),
        })?;
        self.ended = changes.ended;
        self.dropped_processes = self.dropped_processes.saturating_add(changes.dropped);
        if self.tick.is_multiple_of(SURVEY_TICKS) {
            self.anchors.retain(|id, _| second.is_some_and(|reader| reader.tree().get(*id).is_some()));
            self.counterparts.retain(|id, _| first.is_some_and(|reader| reader.tree().get(*id).is_some()));
        }
        Ok(())
    }

    /// Joins what was read.
    pub fn collect(&mut self) -> WorkloadTick {
        let mut nodes = Vec::new();
        let first_places = self.first.as_ref().map(|first| add_first(first, &mut nodes));
        let second_places = self.add_second(&mut nodes, first_places.as_ref());
        let place_in = |reader: Option<&CgroupReader>, places: Option<&Places>, id: Option<NodeId>| {
            let tree = reader?.tree();
            places?.at_or_above(tree, tree.get(id?))
        };
        let mut processes = Vec::new();
        let mut resident: HashMap<OwnerId, u64> = HashMap::new();
        for process in self.processes.iter() {
            let Some(place) = process.place else { continue };
            let has_used = process.delta > CpuTime::ZERO;
            if !has_used && process.resident.is_none() {
                continue;
            }
            let owner = owner_of(&self.owners, self.first.as_ref(), self.second.as_ref(), &place);
            if let Some(bytes) = process.resident {
                let sum = resident.entry(owner).or_default();
                *sum = sum.saturating_add(bytes.0);
            }
            if !has_used {
                continue;
            }
            let at = place_in(self.second.as_ref(), second_places.as_ref(), place.second)
                .or_else(|| place_in(self.first.as_ref(), first_places.as_ref(), place.first));
            if let Some(node) = at.and_then(|at| nodes.get_mut(at)) {
                node.direct += process.delta;
            }
            processes.push(ProcessUsage {
                pid: process.pid,
                start_time: process.start_time,
                comm: Arc::clone(&process.comm),
                owner,
                cpu_time: process.delta,
            });
        }
        let memory = self.memory(resident);
        WorkloadTick {
            busy: self.busy_delta(&nodes),
            nodes,
            processes,
            ended: std::mem::take(&mut self.ended),
            memory,
            machine_memory: self.machine_memory,
            cpus: self.cpus,
            dropped_processes: self.dropped_processes,
        }
    }

    /// Hangs the owners that only the second hierarchy knows into the tree of the first: below the cgroup in
    /// which their processes are. What the first shows under a finer owner is taken off them.
    fn add_second(&self, nodes: &mut Vec<UsageNode>, first_places: Option<&Places>) -> Option<Places> {
        let (first, second, first_places) = (self.first.as_ref()?, self.second.as_ref()?, first_places?);
        let mut places = Places::new(second.tree());
        let mut stands_in_first = vec![false; self.owners.len()];
        for node in nodes.iter() {
            if let Some(flag) = stands_in_first.get_mut(node.owner.index()) {
                *flag = true;
            }
        }
        for node in second.tree().iter().filter(|node| node.is_border && !node.owner.is_shared()) {
            let anchor = self.anchors.get(&node.id).and_then(|id| first.tree().get(*id));
            let is_known = stands_in_first.get(node.owner.index()).copied().unwrap_or(false);
            if is_known || anchor.is_some_and(|anchor| is_final(&self.owners, anchor.owner)) {
                continue;
            }
            let above = node.parent.and_then(|parent| second.tree().node(parent));
            let parent = places
                .at_or_above(second.tree(), above)
                .or_else(|| first_places.at_or_above(first.tree(), anchor))
                .or((!nodes.is_empty()).then_some(0));
            places.set(node, nodes.len());
            nodes.push(usage_node(second, node, parent, SECOND));
        }
        let is_outermost = |node: &&Node| {
            let above = node.parent.and_then(|parent| first.tree().node(parent));
            node.is_border && above.is_none_or(|above| above.owner == OwnerId::SYSTEM)
        };
        for node in first.tree().iter().filter(is_outermost) {
            let counterpart = self.counterparts.get(&node.id).and_then(|id| second.tree().get(*id));
            let (Some(delta), Some(at)) = (first.delta(node), places.at_or_above(second.tree(), counterpart))
            else {
                continue;
            };
            let own = first_places.at_or_above(first.tree(), Some(node));
            if own.is_none_or(|own| !is_below(nodes, at, own))
                && let Some(usage) = nodes.get_mut(at)
            {
                usage.elsewhere += delta;
            }
        }
        Some(places)
    }

    /// Memory by owner: what is charged to its cgroups less what is charged to other owners inside, or else what
    /// its processes have resident.
    fn memory(&mut self, resident: HashMap<OwnerId, u64>) -> Vec<(OwnerId, Bytes)> {
        let mut sums: HashMap<OwnerId, i128> = HashMap::new();
        self.by_process.clear();
        self.by_process.resize(self.owners.len(), false);
        for reader in [&self.first, &self.second].into_iter().flatten() {
            for node in reader.tree().iter().filter(|node| node.is_border && !node.vanished) {
                let Some(bytes) = reader.memory(node) else {
                    if let Some(flag) = self.by_process.get_mut(node.owner.index()) {
                        *flag = !node.owner.is_shared();
                    }
                    continue;
                };
                *sums.entry(node.owner).or_default() += i128::from(bytes.0);
                let above =
                    node.parent.and_then(|parent| reader.tree().node(parent)).map(|parent| parent.owner);
                if let Some(outer) = above.filter(|outer| !outer.is_shared()) {
                    *sums.entry(outer).or_default() -= i128::from(bytes.0);
                }
            }
        }
        for (owner, bytes) in resident {
            if self.by_process.get(owner.index()).copied().unwrap_or(false) {
                sums.entry(owner).or_insert(i128::from(bytes));
            }
        }
        let mut memory: Vec<_> = sums
            .into_iter()
            .filter_map(|(owner, bytes)| u64::try_from(bytes).ok().map(|bytes| (owner, Bytes(bytes))))
            .filter(|(_, bytes)| bytes.0 > 0)
            .collect();
        memory.sort_unstable();
        memory
    }

    /// CPU time of the whole machine: what the root cgroup counts, else /proc/stat.
    fn busy_delta(&mut self, nodes: &[UsageNode]) -> Option<CpuTime> {
        let is_whole = self.layout.cpu.as_ref().is_some_and(|hierarchy| hierarchy.root == "/");
        if is_whole && let Some(delta) = nodes.first().and_then(|root| root.delta) {
            self.busy = None;
            return Some(delta);
        }
        let text = fs::read_to_string(self.settings.procfs.join("stat")).ok()?;
        let total = parse_busy(&text, procfs::ticks_per_second())?;
        let delta = self.busy.map(|last| total.saturating_sub(last));
        self.busy = Some(total);
        delta
    }

    /// Looks at what changes rarely.
    fn survey(&mut self) {
        let read = |name: &str| fs::read_to_string(self.settings.procfs.join(name)).unwrap_or_default();
        let cpus = read("stat").lines().skip(1).take_while(|line| line.starts_with("cpu")).count();
        self.cpus = u32::try_from(cpus).unwrap_or(1).max(1);
        self.machine_memory = parse_meminfo(&read("meminfo"))
            .map(|(total, available)| (total, Bytes(total.0.saturating_sub(available.0))));
        let layout = discover(&self.settings.procfs, &self.settings.sysfs);
        if !self.settings.cgroups || layout == self.layout {
            return;
        }
        self.layout = layout;
        let Layout { cpu, second_cpu, memory } = self.layout.clone();
        let open = |hierarchy: Hierarchy, share: usize| {
            let budget = self.settings.open_files / share;
            CgroupReader::new(hierarchy, memory.clone(), budget, self.settings.max_cgroups)
        };
        let opened =
            [cpu.map(|hierarchy| open(hierarchy, 2)), second_cpu.map(|hierarchy| open(hierarchy, 2))];
        for reader in [&mut self.first, &mut self.second].into_iter().flatten() {
            reader.close(&mut self.owners);
        }
        [self.first, self.second] = opened;
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

/// Whose a process is: the container, job or VM that either hierarchy shows, the first before the second; else
/// the unit.
fn owner_of(
    owners: &OwnerTable,
    first: Option<&CgroupReader>,
    second: Option<&CgroupReader>,
    place: &Place,
) -> OwnerId {
    let owner = |reader: Option<&CgroupReader>, id: Option<NodeId>| {
        reader.and_then(|reader| reader.tree().get(id?)).map_or(OwnerId::SYSTEM, |node| node.owner)
    };
    let own = owner(first, place.first);
    if is_final(owners, own) {
        return own;
    }
    let other = owner(second, place.second);
    if own == OwnerId::SYSTEM || is_final(owners, other) { other } else { own }
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
        vanished: node.vanished,
        rate: reader.rate(node),
        direct: CpuTime::ZERO,
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
        Self(vec![None; tree.len()])
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
