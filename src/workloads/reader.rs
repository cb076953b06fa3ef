//! One look at everything that ran: cgroups, then processes, joined into the tree that energy is split over.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::units::{Bytes, CpuTime};
use crate::workloads::cgroup::{CgroupReader, possible_cpu_time};
use crate::workloads::hierarchy::{Hierarchy, Layout, discover};
use crate::workloads::join::{Hierarchies, Place};
use crate::workloads::owners::{OwnerId, OwnerTable};
use crate::workloads::process::{ClockSource, Judgement, Process, ProcessTable, Round};
use crate::workloads::procfile::{parse_busy, parse_meminfo};
use crate::workloads::usage::{ProcessIdentity, ProcessUsage, ReadFailure, UsageNode, WorkloadTick};

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

/// Reads cgroups and processes.
#[derive(Debug)]
pub struct WorkloadReader {
    settings: ReaderSettings,
    layout: Layout,
    owners: OwnerTable,
    hierarchies: Hierarchies,
    processes: ProcessTable<Place>,
    /// By owner: whether its memory can only be told from its processes.
    by_process: Vec<bool>,
    ended: Vec<Process<Place>>,
    left_out: u64,
    elapsed: Duration,
    now: Duration,
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
            hierarchies: Hierarchies::default(),
            processes,
            by_process: Vec::new(),
            ended: Vec::new(),
            left_out: 0,
            elapsed: Duration::ZERO,
            now: Duration::ZERO,
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

    /// Reads the cgroups; `now` is on a clock that doesn't stop, `elapsed` the time since the last call.
    ///
    /// # Errors
    /// No hierarchy that accounts CPU time is mounted, or something in one can't be read.
    pub fn read_cgroups(&mut self, now: Duration, elapsed: Duration) -> Result<(), ReadFailure> {
        self.tick = self.tick.saturating_add(1);
        self.now = now;
        self.elapsed = elapsed;
        if self.tick.is_multiple_of(SURVEY_TICKS) {
            self.survey();
        }
        if !self.settings.cgroups {
            return Ok(());
        }
        let possible = possible_cpu_time(elapsed, self.cpus.into());
        let mut failure = None;
        for reader in self.hierarchies.readers_mut() {
            let outcome = reader.tick(&mut self.owners, possible);
            let mount = reader.hierarchy().mount.display();
            let found = match outcome {
                Err(error) => Some(("the hierarchy can't be listed", format!("{mount}: {error}"))),
                Ok(()) if reader.tree().is_capped() => Some(("too many cgroups", mount.to_string())),
                Ok(()) => reader.failure().map(|detail| ("a cgroup can't be read", detail.to_owned())),
            };
            failure = failure.or(found);
        }
        if self.hierarchies.is_empty() {
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
        let (hierarchies, owners, by_process) = (&self.hierarchies, &self.owners, &self.by_process);
        let mut places = Vec::new();
        let judge = |place: &Place| {
            let owner = hierarchies.owner_of(owners, place);
            Judgement {
                is_valid: hierarchies.is_valid(place),
                is_unowned: owner == OwnerId::SYSTEM,
                wants_memory: by_process.get(owner.index()).copied().unwrap_or(false),
            }
        };
        let mut resolve = |cgroups: &str| {
            let place = hierarchies.place(cgroups);
            places.push(place);
            Some(place)
        };
        let changes = self.processes.tick(Round {
            now: self.now,
            possible: possible_cpu_time(self.elapsed, self.cpus.into()),
            judge: &judge,
            resolve: &mut resolve,
        });
        for place in places {
            self.hierarchies.learn(place);
        }
        let changes = changes.map_err(|error| ReadFailure {
            reason: "processes can't be listed",
            detail: format!("{}: {error}", self.settings.procfs.display()),
        })?;
        self.ended = changes.ended;
        self.left_out = self.left_out.max(changes.left_out);
        if self.tick.is_multiple_of(SURVEY_TICKS) {
            self.hierarchies.forget_gone();
        }
        Ok(())
    }

    /// Who a pid is, if it is among the processes that are read.
    pub fn process(&self, pid: u32) -> Option<ProcessIdentity> {
        self.identify(self.processes.get(pid)?)
    }

    /// Some pids of those owners that are marked, lowest first, at most `most` of one; both lists are by owner.
    pub fn some_pids(&self, most: usize, marked: &[bool]) -> Vec<Vec<u32>> {
        let mut pids = vec![Vec::new(); marked.len()];
        if !marked.contains(&true) {
            return pids;
        }
        for process in self.processes.iter() {
            let Some(place) = &process.place else { continue };
            let owner = self.hierarchies.owner_of(&self.owners, place).index();
            if let (Some(true), Some(pids)) = (marked.get(owner), pids.get_mut(owner))
                && pids.len() < most
            {
                pids.push(process.pid);
            }
        }
        pids
    }

    /// Has the owner of a process looked up anew in the next tick.
    pub fn look_soon(&mut self, pid: u32) {
        self.processes.look_soon(pid);
    }

    fn identify(&self, process: &Process<Place>) -> Option<ProcessIdentity> {
        Some(ProcessIdentity {
            pid: process.pid,
            start_time: process.start_time,
            comm: Arc::clone(&process.comm),
            owner: self.hierarchies.owner_of(&self.owners, process.place.as_ref()?),
        })
    }

    /// Joins what was read.
    pub fn collect(&mut self) -> WorkloadTick {
        let mut tree = self.hierarchies.join(&self.owners);
        let mut processes = Vec::new();
        let mut resident: HashMap<OwnerId, u64> = HashMap::new();
        for process in self.processes.iter() {
            let Some(place) = process.place else { continue };
            let has_used = process.delta > CpuTime::ZERO;
            if !has_used && process.resident.is_none() {
                continue;
            }
            let owner = self.hierarchies.owner_of(&self.owners, &place);
            if let Some(bytes) = process.resident {
                let sum = resident.entry(owner).or_default();
                *sum = sum.saturating_add(bytes.0);
            }
            if !has_used {
                continue;
            }
            self.hierarchies.credit(&mut tree, &place, owner, process.delta);
            processes.push(ProcessUsage {
                pid: process.pid,
                start_time: process.start_time,
                comm: Arc::clone(&process.comm),
                owner,
                cpu_time: process.delta,
            });
        }
        let memory = self.memory(&resident);
        // Where neither the root nor /proc/stat tells, what living processes used is the least that it can be.
        let seen = || processes.iter().map(|process| process.cpu_time).sum();
        WorkloadTick {
            busy: self.busy_delta(&tree.nodes).or_else(|| (self.tick > 1).then(seen)),
            nodes: tree.nodes,
            processes,
            ended: std::mem::take(&mut self.ended).iter().filter_map(|gone| self.identify(gone)).collect(),
            memory,
            machine_memory: self.machine_memory,
            cpus: self.cpus,
            left_out_processes: self.left_out,
        }
    }

    /// Memory by owner: what is charged to its cgroups less what is charged to other owners inside, or else what
    /// its processes have resident.
    fn memory(&mut self, resident: &HashMap<OwnerId, u64>) -> Vec<(OwnerId, Bytes)> {
        // By owner: which hierarchy's groups were added up, and their sum.
        let mut sums: Vec<Option<(usize, i128)>> = vec![None; self.owners.bound()];
        self.by_process.clear();
        self.by_process.resize(self.owners.bound(), false);
        for (which, reader) in self.hierarchies.readers().enumerate() {
            for node in reader.tree().iter().filter(|node| node.is_border && !node.vanished) {
                let Some(bytes) = reader.memory(node) else {
                    if let Some(flag) = self.by_process.get_mut(node.owner.index()) {
                        *flag = !node.owner.is_shared();
                    }
                    continue;
                };
                // Both trees may show the same group, which has its memory once.
                let mut add = |owner: OwnerId, bytes: i128, begins: bool| match sums.get_mut(owner.index()) {
                    Some(Some((by, sum))) if *by == which => *sum += bytes,
                    Some(slot @ None) if begins => *slot = Some((which, bytes)),
                    _ => {}
                };
                add(node.owner, i128::from(bytes.0), true);
                let above = node.parent.and_then(|parent| reader.tree().node(parent));
                if let Some(above) = above.filter(|above| !above.owner.is_shared()) {
                    add(above.owner, -i128::from(bytes.0), false);
                }
            }
        }
        let mut memory = Vec::new();
        for (index, sum) in sums.into_iter().enumerate() {
            let Some(id) = OwnerId::from_index(index) else { continue };
            let charged = sum.map(|(_, bytes)| u64::try_from(bytes).unwrap_or(0));
            if let Some(bytes) = charged.or_else(|| resident.get(&id).copied()).filter(|bytes| *bytes > 0) {
                memory.push((id, Bytes(bytes)));
            }
        }
        memory
    }

    /// CPU time of the whole machine: what the root cgroup counts, else /proc/stat.
    fn busy_delta(&mut self, nodes: &[UsageNode]) -> Option<CpuTime> {
        let is_whole = self.layout.cpu.as_ref().is_some_and(Hierarchy::is_whole);
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
        let is_same = layout.cpu == self.layout.cpu && layout.second_cpu == self.layout.second_cpu;
        self.layout = layout;
        let Layout { cpu, second_cpu, memory } = self.layout.clone();
        if is_same {
            for reader in self.hierarchies.readers_mut() {
                reader.set_memory(memory.clone());
            }
            return;
        }
        let share = if second_cpu.is_some() { 2 } else { 1 };
        let births = self.hierarchies.births();
        let open = |hierarchy: Hierarchy| {
            let budget = self.settings.open_files / share;
            let cap = self.settings.max_cgroups.div_ceil(share);
            CgroupReader::new(hierarchy, memory.clone(), budget, cap, births)
        };
        let (first, second) = (cpu.map(open), second_cpu.map(open));
        self.hierarchies.replace(first, second, &mut self.owners);
    }
}

#[cfg(test)]
mod tests;
