//! Reads the DRM files of all processes and adds up what their clients did.
//!
//! In each scan one file of each client that is known is read. The work of a client that is found late is counted
//! then, up to what its engines can have done since the scan before.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::card::Driver;
use super::fdinfo::{self, Engine, Fdinfo};
use super::kfd::{KfdReader, KfdUses};
use super::processes::{Key, Processes};
use crate::meters::Tick;

/// How many fdinfo files one scan reads: a user who opens more can't make it slow.
const MAX_READS: usize = 4096;
/// How much of one fdinfo is read; drivers write about 2 KB.
const MAX_TEXT: u64 = 16 << 10;
/// How long the work of a process that has no client any more is kept, so that a reader that was away gets it.
const KEPT: Duration = Duration::from_secs(60);

/// What one scan found.
#[derive(Clone, Debug, Default)]
pub(super) struct Sample {
    /// The scan's number.
    pub(super) number: u64,
    /// When it was made.
    pub(super) at: Tick,
    /// By PCI address.
    pub(super) devices: BTreeMap<Arc<str>, DeviceUse>,
    /// Holds of compute processes.
    pub(super) kfd: KfdUses,
    /// Whether files of some processes couldn't be looked at.
    pub(super) is_partial: bool,
    /// Whether procfs couldn't be listed.
    pub(super) is_blind: bool,
    /// Whether there are more DRM files than are read.
    pub(super) is_capped: bool,
}

/// The use of one device.
#[derive(Clone, Debug, Default)]
pub(super) struct DeviceUse {
    /// By pid: those that hold a context.
    pub(super) clients: BTreeMap<u32, ClientUse>,
    /// Busy nanoseconds by pid, added up since the scanner began; of ended processes, too.
    pub(super) work: BTreeMap<u32, u64>,
}

/// What one process holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ClientUse {
    /// Device memory in bytes.
    pub(super) memory: Option<u64>,
    /// Whether a compute engine shows time of it.
    pub(super) has_computed: bool,
}

#[derive(Debug)]
struct Client {
    pid: u32,
    engines: BTreeMap<String, Engine>,
    memory: Option<u64>,
    scan: u64,
}

#[derive(Clone, Copy, Debug)]
struct Work {
    total: u64,
    seen: Duration,
}

/// Scans one procfs for the clients of all devices.
#[derive(Debug)]
pub(super) struct Scanner {
    processes: Processes,
    kfd: KfdReader,
    clients: BTreeMap<Key, Client>,
    work: BTreeMap<(Arc<str>, u32), Work>,
    last: Option<Tick>,
    scan: u64,
    is_capped: bool,
    buffer: Vec<u8>,
}

impl Scanner {
    pub(super) fn new(procfs: &Path, sysfs: &Path) -> Self {
        Self {
            processes: Processes::new(procfs),
            kfd: KfdReader::new(sysfs),
            clients: BTreeMap::new(),
            work: BTreeMap::new(),
            last: None,
            scan: 0,
            is_capped: false,
            buffer: Vec::new(),
        }
    }

    /// Makes a scan.
    pub(super) fn scan(&mut self, now: Tick) -> Sample {
        self.scan = self.scan.saturating_add(1);
        self.processes.update(now.monotonic);
        let elapsed = self.last.map(|last| now.monotonic.saturating_sub(last.monotonic));
        self.read(now.monotonic, elapsed);
        self.last = Some(now);
        let kfd = self.kfd.read(now.monotonic);
        self.sample(now, kfd)
    }

    /// Reads the files that are known, one for each client. In order of pids, so a shared client is the lowest's.
    fn read(&mut self, now: Duration, elapsed: Option<Duration>) {
        let mut processes = std::mem::take(&mut self.processes.found);
        let mut reads = 0;
        for (&pid, tracked) in &mut processes {
            if tracked.files.is_empty() {
                continue;
            }
            let directory = self.processes.fdinfo(pid);
            let mut is_denied = false;
            tracked.files.retain_mut(|file| {
                let is_read =
                    |key: &Key| self.clients.get(key).is_some_and(|client| client.scan == self.scan);
                if file.is_foreign || file.key.as_ref().is_some_and(is_read) {
                    return true;
                }
                reads += 1;
                if reads > MAX_READS {
                    return true;
                }
                match read_text(&directory.join(file.number.to_string()), &mut self.buffer) {
                    Ok(text) => match fdinfo::parse(&text) {
                        Some(fdinfo) if Driver::named(&fdinfo.driver).is_some() => {
                            file.key = Some(self.take(pid, fdinfo, now, elapsed));
                        }
                        _ => (file.key, file.is_foreign) = (None, true),
                    },
                    Err(error) if error.kind() == io::ErrorKind::PermissionDenied => is_denied = true,
                    // It was closed, or its process ended.
                    Err(_) => return false,
                }
                true
            });
            tracked.is_denied |= is_denied;
        }
        self.processes.found = processes;
        self.is_capped = reads > MAX_READS;
        self.clients.retain(|_, client| client.scan == self.scan);
    }

    /// Counts what a client did since the scan before.
    fn take(&mut self, pid: u32, fdinfo: Fdinfo, now: Duration, elapsed: Option<Duration>) -> Key {
        let key: Key = (Arc::from(fdinfo.device), fdinfo.client);
        let before = self.clients.remove(&key);
        let mut engines = match before {
            Some(client) if client.scan == self.scan => {
                // Two files of it, neither known before: the first has counted.
                self.clients.insert(key.clone(), client);
                return key;
            }
            Some(client) => client.engines,
            None => BTreeMap::new(),
        };
        let mut done: u64 = 0;
        for (name, engine) in fdinfo.engines {
            let known = engines.get(&name).copied();
            if let Some(elapsed) = elapsed {
                done = done.saturating_add(worked(known, engine, elapsed));
            }
            engines.insert(name, larger(known, engine));
        }
        let total = self.work.entry((Arc::clone(&key.0), pid)).or_insert(Work { total: 0, seen: now });
        total.total = total.total.saturating_add(done);
        let client = Client { pid, engines, memory: fdinfo.memory, scan: self.scan };
        self.clients.insert(key.clone(), client);
        key
    }

    fn sample(&mut self, now: Tick, kfd: KfdUses) -> Sample {
        let mut devices: BTreeMap<Arc<str>, DeviceUse> = BTreeMap::new();
        for ((device, _), client) in &self.clients {
            if let Some(work) = self.work.get_mut(&(Arc::clone(device), client.pid)) {
                work.seen = now.monotonic;
            }
            let busy = |engine: &Engine| engine.busy.unwrap_or(0) > 0 || engine.cycles.unwrap_or(0) > 0;
            let has_computed = client
                .engines
                .iter()
                .any(|(name, engine)| matches!(name.as_str(), "compute" | "ccs") && busy(engine));
            // A file that was only opened (by a login manager, by a monitor) is no context.
            if client.memory.unwrap_or(0) == 0 && !client.engines.values().any(busy) {
                continue;
            }
            let clients = &mut devices.entry(Arc::clone(device)).or_default().clients;
            let held = clients.entry(client.pid).or_default();
            held.has_computed |= has_computed;
            held.memory = match (held.memory, client.memory) {
                (Some(one), Some(other)) => Some(one.saturating_add(other)),
                (one, other) => one.or(other),
            };
        }
        self.work.retain(|_, work| now.monotonic.saturating_sub(work.seen) <= KEPT);
        for ((device, pid), work) in &self.work {
            devices.entry(Arc::clone(device)).or_default().work.insert(*pid, work.total);
        }
        let is_partial = self.processes.found.values().any(|tracked| tracked.is_denied);
        Sample {
            number: self.scan,
            at: now,
            devices,
            kfd,
            is_partial,
            is_blind: self.processes.is_blind,
            is_capped: self.is_capped,
        }
    }
}

/// Busy nanoseconds since the last scan. `since` is none where the client is new, or its use of the class: amdgpu
/// leaves out classes without any time.
fn worked(since: Option<Engine>, now: Engine, elapsed: Duration) -> u64 {
    let elapsed = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
    if let Some(busy) = now.busy {
        let done = match since {
            Some(before) => busy.saturating_sub(before.busy.unwrap_or(0)) / now.capacity,
            None => (busy / now.capacity).min(elapsed),
        };
        return done;
    }
    let (Some(before), Some(cycles), Some(total)) = (since, now.cycles, now.total_cycles) else {
        return 0;
    };
    let (Some(cycles_before), Some(total_before)) = (before.cycles, before.total_cycles) else {
        return 0;
    };
    let (done, passed) = (cycles.saturating_sub(cycles_before), total.saturating_sub(total_before));
    let engines = u128::from(passed) * u128::from(now.capacity);
    let share = (u128::from(done) * u128::from(elapsed)).checked_div(engines).unwrap_or(0);
    u64::try_from(share).unwrap_or(u64::MAX)
}

/// Busy values may fall for a while and must then be taken as before; the cycles that passed may begin anew.
fn larger(before: Option<Engine>, now: Engine) -> Engine {
    let before = before.unwrap_or_default();
    Engine { busy: before.busy.max(now.busy), cycles: before.cycles.max(now.cycles), ..now }
}

fn read_text(path: &Path, buffer: &mut Vec<u8>) -> io::Result<String> {
    buffer.clear();
    File::open(path)?.take(MAX_TEXT).read_to_end(buffer)?;
    Ok(String::from_utf8_lossy(buffer).into_owned())
}
