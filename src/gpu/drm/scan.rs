//! Finds the DRM files of all processes and adds up what their clients did.
//!
//! Looking through a process's files costs a system call for each file, so it is done when the process is new, some
//! times while it is young, and then every ten seconds; a process that has as many open files as before is passed over,
//! for up to a minute. In between only the DRM files that are known are read, one for each client. A file that is opened in between is seen up to ten seconds late, and its work until then is counted
//! then, up to what its engines can have done since the scan before.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, readlinkat};
use nix::sys::stat::Mode;
use nix::sys::statfs::{PROC_SUPER_MAGIC, statfs};

use super::card::Driver;
use super::fdinfo::{self, Engine, Fdinfo};
use super::kfd::{KfdReader, KfdUses};
use crate::meters::Tick;

/// How often a process that has settled is looked through.
const SETTLED: u64 = 10;
/// The first wait of a new process; it doubles up to [`SETTLED`].
const YOUNG: Duration = Duration::from_secs(1);
/// How long a process is passed over while the number of its open files stays the same.
const UNCHANGED: Duration = Duration::from_secs(60);
/// How many open files of a process are looked at. DRM files are opened early and have low numbers.
const MAX_FILES: usize = 4096;
/// How many fdinfo files one scan reads: a user who opens more can't make it slow.
const MAX_READS: usize = 4096;
/// How much of one fdinfo is read; drivers write about 2 KB.
const MAX_TEXT: u64 = 16 << 10;
/// How long the work of a process that has no client any more is kept, so that a reader that was away gets it.
const KEPT: Duration = Duration::from_secs(60);

/// A client: device and number.
type Key = (Arc<str>, u64);

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
struct Tracked {
    inode: u64,
    due: Duration,
    wait: Duration,
    /// When its files were looked through, and how many were open.
    looked: Option<(Duration, u64)>,
    is_denied: bool,
    files: Vec<DrmFile>,
}

#[derive(Debug)]
struct DrmFile {
    number: u32,
    key: Option<Key>,
    /// Of a driver that isn't read here.
    is_foreign: bool,
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
    procfs: PathBuf,
    /// Whether the size of a directory of open files is their number.
    is_procfs: bool,
    kfd: KfdReader,
    processes: BTreeMap<u32, Tracked>,
    clients: BTreeMap<Key, Client>,
    work: BTreeMap<(Arc<str>, u32), Work>,
    newest_pid: Option<String>,
    last: Option<Tick>,
    scan: u64,
    is_blind: bool,
    is_capped: bool,
    buffer: Vec<u8>,
}

impl Scanner {
    pub(super) fn new(procfs: &Path, sysfs: &Path) -> Self {
        Self {
            procfs: procfs.to_path_buf(),
            is_procfs: statfs(procfs).is_ok_and(|stat| stat.filesystem_type() == PROC_SUPER_MAGIC),
            kfd: KfdReader::new(sysfs),
            processes: BTreeMap::new(),
            clients: BTreeMap::new(),
            work: BTreeMap::new(),
            newest_pid: None,
            last: None,
            scan: 0,
            is_blind: false,
            is_capped: false,
            buffer: Vec::new(),
        }
    }

    /// Makes a scan.
    pub(super) fn scan(&mut self, now: Tick) -> Sample {
        self.scan = self.scan.saturating_add(1);
        self.list(now.monotonic);
        self.look(now.monotonic);
        let elapsed = self.last.map(|last| now.monotonic.saturating_sub(last.monotonic));
        self.read(now.monotonic, elapsed);
        self.last = Some(now);
        let kfd = self.kfd.read(now.monotonic);
        self.sample(now, kfd)
    }

    /// Takes in new processes. Without a new pid since the last scan there is nothing to list.
    fn list(&mut self, now: Duration) {
        let newest = newest_pid(&self.procfs);
        if newest.is_some() && newest == self.newest_pid {
            return;
        }
        let Ok(entries) = fs::read_dir(&self.procfs) else {
            self.is_blind = true;
            return;
        };
        (self.is_blind, self.newest_pid) = (false, newest);
        let is_first = self.scan == 1;
        let mut before = std::mem::take(&mut self.processes);
        for entry in entries.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            // Another inode number: most likely another process.
            let inode = entry.ino();
            let tracked = before.remove(&pid).filter(|tracked| tracked.inode == inode).unwrap_or_else(|| {
                // Those that were there before the scanner are as good as settled.
                let wait = if is_first { Duration::from_secs(SETTLED) } else { YOUNG };
                Tracked { inode, due: now, wait, looked: None, is_denied: false, files: Vec::new() }
            });
            self.processes.insert(pid, tracked);
        }
    }

    /// Looks through the files of the processes that are due.
    fn look(&mut self, now: Duration) {
        let (is_first, procfs, is_procfs) = (self.scan == 1, &self.procfs, self.is_procfs);
        self.processes.retain(|&pid, tracked| {
            if tracked.due > now {
                return true;
            }
            // Those that came together aren't all looked at together for ever.
            let wait =
                if is_first { Duration::from_secs(u64::from(pid) % SETTLED + 1) } else { tracked.wait };
            tracked.due = now.saturating_add(wait);
            tracked.wait = tracked.wait.saturating_mul(2).min(Duration::from_secs(SETTLED));
            let directory = procfs.join(pid.to_string()).join("fd");
            let open = if is_procfs { open_files(&directory) } else { None };
            if tracked.looked.is_some_and(|looked| is_unchanged(looked, open, now)) {
                return true;
            }
            let turn = if is_first { u64::from(pid) / SETTLED % 6 * SETTLED } else { 0 };
            tracked.looked = open.map(|open| (now.saturating_sub(Duration::from_secs(turn)), open));
            match drm_files(&directory) {
                Ok(numbers) => {
                    tracked.is_denied = false;
                    // A number may mean another file by now, so what was known of it isn't.
                    let file = |number| DrmFile { number, key: None, is_foreign: false };
                    tracked.files = numbers.into_iter().map(file).collect();
                    true
                }
                Err(Errno::EACCES | Errno::EPERM) => {
                    tracked.is_denied = true;
                    tracked.files.clear();
                    true
                }
                Err(Errno::ENOENT | Errno::ESRCH) => false,
                Err(_) => true,
            }
        });
    }

    /// Reads the files that are known, one for each client. In order of pids, so a shared client is the lowest's.
    fn read(&mut self, now: Duration, elapsed: Option<Duration>) {
        let mut processes = std::mem::take(&mut self.processes);
        let mut reads = 0;
        for (&pid, tracked) in &mut processes {
            if tracked.files.is_empty() {
                continue;
            }
            let directory = self.procfs.join(pid.to_string()).join("fdinfo");
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
        self.processes = processes;
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
        let is_partial = self.processes.values().any(|tracked| tracked.is_denied);
        Sample {
            number: self.scan,
            at: now,
            devices,
            kfd,
            is_partial,
            is_blind: self.is_blind,
            is_capped: self.is_capped,
        }
    }
}

/// Busy nanoseconds since the last scan. `since` is none where the client is new, or its use of the class: amdgpu leaves
/// out classes without any time.
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

/// The pid that was given out last: the last word of `loadavg`. None where it can't be read.
fn newest_pid(procfs: &Path) -> Option<String> {
    let text = fs::read_to_string(procfs.join("loadavg")).ok()?;
    text.split_ascii_whitespace().next_back().map(str::to_owned)
}

/// How many files are open, which is the size of `/proc/PID/fd` from Linux 6.2 on; none before.
fn open_files(directory: &Path) -> Option<u64> {
    fs::metadata(directory).ok().map(|metadata| metadata.len()).filter(|open| *open > 0)
}

/// Whether a process can be passed over, by when it was `looked` through with how many files, and how many are `open`.
fn is_unchanged(looked: (Duration, u64), open: Option<u64>, now: Duration) -> bool {
    open == Some(looked.1) && now.saturating_sub(looked.0) < UNCHANGED
}

/// The numbers of the files below `directory` (`/proc/PID/fd`) that are of DRM, in order.
fn drm_files(directory: &Path) -> Result<Vec<u32>, Errno> {
    let mut directory =
        Dir::open(directory, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    let names: Vec<_> = directory
        .iter()
        .flatten()
        .map(|entry| entry.file_name().to_owned())
        .filter(|name| !matches!(name.to_bytes(), b"." | b".."))
        .take(MAX_FILES)
        .collect();
    let mut numbers = Vec::new();
    for name in names {
        let target = match readlinkat(&directory, name.as_c_str()) {
            Ok(target) => target,
            Err(errno @ (Errno::EACCES | Errno::EPERM)) => return Err(errno),
            Err(_) => continue,
        };
        let is_drm = target.to_str().is_some_and(|target| target.contains("/dri/"));
        numbers.extend(name.to_str().ok().filter(|_| is_drm).and_then(|name| name.parse::<u32>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn read_text(path: &Path, buffer: &mut Vec<u8>) -> io::Result<String> {
    buffer.clear();
    File::open(path)?.take(MAX_TEXT).read_to_end(buffer)?;
    Ok(String::from_utf8_lossy(buffer).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_as_many_files_is_passed_over_for_a_while() {
        let now = Duration::from_secs(100);
        let looked = |seconds| (Duration::from_secs(seconds), 8);
        assert!(is_unchanged(looked(90), Some(8), now));
        assert!(!is_unchanged(looked(90), Some(9), now));
        assert!(!is_unchanged(looked(90), None, now), "an older kernel doesn't say");
        assert!(!is_unchanged(looked(40), Some(8), now));
    }

    #[test]
    fn the_kernel_counts_open_files_if_at_all() {
        let directory = Path::new("/proc/thread-self/fd");
        let Some(before) = open_files(directory) else {
            return;
        };
        let dir = tempfile::tempdir().unwrap();
        let held: Vec<File> =
            (0..300).map(|name: u32| File::create(dir.path().join(name.to_string())).unwrap()).collect();
        // Other tests open and close files, too, but not that many.
        assert!(open_files(directory).unwrap() > before + 100, "{}", held.len());
    }
}
