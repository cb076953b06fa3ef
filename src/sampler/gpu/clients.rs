//! Who the pids are that GPU drivers give.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::attribution::gpu::{Contender, Whom};
use crate::gpu::DeviceReading;
use crate::ledger::Ledger;
use crate::units::Bytes;
use crate::workloads::owner::Owner;
use crate::workloads::{ProcessIdentity, WorkloadReader, WorkloadTick, pid_namespace};

/// A pid that drivers don't name any more is remembered for so long.
const MEMORY: Duration = Duration::from_secs(300);
/// How often the owner of a GPU client is looked up anew.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Work that was seen so long ago still tells who works, where a driver's samples lag behind.
const RECENT: Duration = Duration::from_secs(5);
/// The MPS control daemon and its server, as the kernel cuts their names. What they do, they do for their clients.
const MPS: &str = "nvidia-cuda-mps";

/// Everybody that GPU drivers named lately.
#[derive(Debug)]
pub(super) struct Pids {
    /// Whether procfs shows the pid namespace that drivers count in.
    is_initial: bool,
    known: HashMap<u32, Known>,
    /// Pids that were never found in procfs, and in how many readings in a row.
    strangers: HashMap<u32, u32>,
    /// Those that ended in the tick before: a driver may name them a tick later.
    ended: Vec<ProcessIdentity>,
    agree: Option<bool>,
}

#[derive(Debug)]
struct Known {
    identity: ProcessIdentity,
    /// The owner behind the number, which may name another one later.
    owner: Option<Arc<Owner>>,
    is_alive: bool,
    is_owner_current: bool,
    named_at: Duration,
    /// When its owner was last looked up anew.
    looked_at: Duration,
}

impl Pids {
    pub(super) fn new(procfs: &Path) -> Self {
        Self {
            is_initial: pid_namespace::is_initial(procfs),
            known: HashMap::new(),
            strangers: HashMap::new(),
            ended: Vec::new(),
            agree: None,
        }
    }

    /// Whether drivers and procfs agree on pids; none while no GPU has a process.
    pub(super) fn agree(&self) -> Option<bool> {
        self.agree
    }

    /// Looks up every pid of this tick's readings.
    pub(super) fn update<'a>(
        &mut self,
        readings: impl Iterator<Item = &'a DeviceReading>,
        usage: &WorkloadTick,
        workloads: &mut WorkloadReader,
        ledger: &Ledger,
        now: Duration,
    ) {
        let mut named: Vec<u32> = Vec::new();
        let mut has_reading = false;
        for reading in readings {
            has_reading = true;
            named.extend(reading.clients.iter().flatten().map(|client| client.pid));
            named.extend(reading.work.iter().flatten().map(|(pid, _)| *pid));
        }
        named.sort_unstable();
        named.dedup();
        for &pid in &named {
            let living = workloads.process(pid);
            let ended = || usage.ended.iter().chain(&self.ended).find(|gone| gone.pid == pid).cloned();
            let is_alive = living.is_some();
            let found = living.or_else(|| if self.known.contains_key(&pid) { None } else { ended() });
            if let Some(identity) = found {
                // A process that waits for its GPU may be moved into its container without using any CPU time.
                let before =
                    self.known.get(&pid).filter(|known| known.identity.start_time == identity.start_time);
                let mut looked_at = before.map_or(Duration::ZERO, |known| known.looked_at);
                if is_alive && now.saturating_sub(looked_at) >= LOOK_EVERY {
                    workloads.look_soon(pid);
                    looked_at = now;
                }
                let owner = ledger.owner(identity.owner).cloned();
                let known =
                    Known { identity, owner, is_alive, is_owner_current: true, named_at: now, looked_at };
                self.known.insert(pid, known);
            } else if let Some(known) = self.known.get_mut(&pid) {
                known.is_alive = false;
                known.named_at = now;
                // Its owner's number may have been given to another one since.
                known.is_owner_current = ledger.owner(known.identity.owner) == known.owner.as_ref();
            }
        }
        self.known.retain(|_, known| now.saturating_sub(known.named_at) < MEMORY);
        self.ended.clone_from(&usage.ended);
        if has_reading {
            self.compare(&named);
        }
    }

    /// Tells whether the pids are procfs's own. In another pid namespace drivers give either the pids of that
    /// (newer open ones do) or those of the initial one: then most are never found.
    fn compare(&mut self, named: &[u32]) {
        let before = std::mem::take(&mut self.strangers);
        if self.is_initial {
            self.agree = if named.is_empty() { self.agree } else { Some(true) };
            return;
        }
        for pid in named.iter().filter(|pid| !self.known.contains_key(pid)) {
            let seen = before.get(pid).copied().unwrap_or(0);
            self.strangers.insert(*pid, seen.saturating_add(1));
        }
        // A process may end before it is found: only one that stays unknown is a stranger. Drivers also go on naming
        // some that died long ago, so a few strangers prove nothing.
        let strangers = self.strangers.values().filter(|readings| **readings > 1).count();
        let strange = strangers > named.len().saturating_sub(self.strangers.len());
        // Somebody who isn't known yet proves nothing either way.
        let is_one_known = named.iter().any(|pid| self.known.contains_key(pid));
        self.agree = match (is_one_known, strange) {
            (_, true) => Some(false),
            (true, false) if !named.is_empty() => Some(true),
            (_, false) => self.agree,
        };
    }

    fn whom(&self, pid: u32) -> Whom {
        match self.known.get(&pid) {
            Some(known) if known.is_owner_current && self.agree != Some(false) => {
                Whom::Owner(known.identity.owner)
            }
            _ => Whom::Unknown,
        }
    }

    fn process(&self, pid: u32) -> Option<&ProcessIdentity> {
        if self.agree == Some(false) {
            return None;
        }
        self.known.get(&pid).filter(|known| known.is_alive).map(|known| &known.identity)
    }

    fn is_mps(&self, pid: u32) -> bool {
        self.known.get(&pid).is_some_and(|known| known.identity.comm.starts_with(MPS))
    }
}

/// The clients of one device in one reading, as far as they are to be billed.
#[derive(Debug, Default)]
pub(super) struct Clients {
    contenders: Vec<Contender>,
    /// By contender: its pid, and who that is if it lives.
    pids: Vec<(u32, Option<ProcessIdentity>)>,
    /// Whether any context is held, by whomever; none where it can't be told.
    are_there: Option<bool>,
    contexts: Option<u64>,
    work_is_known: bool,
    /// How many of them hold a context: the first ones.
    holders: usize,
    /// The last work that was seen, and when.
    recent: Option<(Duration, Vec<(u32, u64)>)>,
}

impl Clients {
    pub(super) fn new(reading: &DeviceReading, pids: &Pids, before: &Self, now: Duration) -> Self {
        let mut clients = Self { work_is_known: reading.work.is_some(), ..Self::default() };
        for client in reading.clients.iter().flatten().filter(|client| !pids.is_mps(client.pid)) {
            clients.add(client.pid, client.instance, client.memory, pids);
        }
        clients.holders = clients.contenders.len();
        let mut served = 0_u64;
        for &(pid, work) in reading.work.iter().flatten() {
            if pids.is_mps(pid) {
                served = served.saturating_add(work);
            } else {
                clients.add_work(pid, work, pids);
            }
        }
        let worked = clients.contenders.iter().any(|contender| contender.work > 0);
        // The server's own work is that of its clients, and nothing tells whose.
        clients.work_is_known &= worked || served == 0;
        let mut holding: Vec<u32> = clients.holding().map(|(pid, _)| *pid).collect();
        holding.sort_unstable();
        holding.dedup();
        clients.contexts = reading.clients.as_ref().and_then(|_| u64::try_from(holding.len()).ok());
        clients.are_there = match &reading.clients {
            Some(listed) => Some(!listed.is_empty() || !clients.contenders.is_empty() || served > 0),
            None => (!clients.contenders.is_empty()).then_some(true),
        };
        if worked {
            let work = reading.work.iter().flatten().filter(|(pid, _)| !pids.is_mps(*pid)).copied();
            clients.recent = Some((now, work.collect()));
        } else if let Some((at, work)) = &before.recent
            && now.saturating_sub(*at) <= RECENT
        {
            let device_works = reading.utilization.is_some_and(|share| share > 0.0);
            if clients.work_is_known && device_works {
                clients.repeat(work);
            }
            clients.recent = before.recent.clone();
        }
        clients
    }

    /// Takes what those worked lately that are still here: the driver's samples are late.
    fn repeat(&mut self, work: &[(u32, u64)]) {
        for (contender, (pid, _)) in self.contenders.iter_mut().zip(&self.pids) {
            contender.work = work.iter().find(|(worker, _)| worker == pid).map_or(0, |(_, work)| *work);
        }
    }

    fn add(&mut self, pid: u32, instance: Option<u32>, memory: Option<Bytes>, pids: &Pids) {
        self.contenders.push(Contender { whom: pids.whom(pid), instance, memory, work: 0 });
        self.pids.push((pid, pids.process(pid).cloned()));
    }

    /// One that worked but holds no context any more holds no memory either.
    fn add_work(&mut self, pid: u32, work: u64, pids: &Pids) {
        let at = self.pids.iter().position(|(known, _)| *known == pid).unwrap_or_else(|| {
            self.add(pid, None, Some(Bytes(0)), pids);
            self.pids.len().saturating_sub(1)
        });
        if let Some(contender) = self.contenders.get_mut(at) {
            contender.work = contender.work.saturating_add(work);
        }
    }

    pub(super) fn contenders(&self) -> &[Contender] {
        &self.contenders
    }

    /// By contender: who it is, if it lives.
    pub(super) fn processes(&self) -> impl Iterator<Item = Option<&ProcessIdentity>> {
        self.pids.iter().map(|(_, process)| process.as_ref())
    }

    fn holding(&self) -> impl Iterator<Item = &(u32, Option<ProcessIdentity>)> {
        self.pids.iter().take(self.holders)
    }

    /// Pid and start time of each that holds a context, sorted: what two readings are compared by.
    pub(super) fn keys(&self) -> Vec<(u32, u64)> {
        let start = |process: &Option<ProcessIdentity>| process.as_ref().map_or(0, |known| known.start_time);
        let mut keys: Vec<_> = self.holding().map(|(pid, process)| (*pid, start(process))).collect();
        keys.sort_unstable();
        keys
    }

    pub(super) fn are_there(&self) -> Option<bool> {
        self.are_there
    }

    pub(super) fn contexts(&self) -> Option<u64> {
        self.contexts
    }

    pub(super) fn work_is_known(&self) -> bool {
        self.work_is_known
    }
}
