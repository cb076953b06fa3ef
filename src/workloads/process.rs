//! Live processes: who they are, and how much CPU time they used since the last tick.
//!
//! A process is (pid, start time). Once it is known, a tick costs one entry of the /proc listing and one read of
//! its CPU clock. That the pid still means the same process is told by the inode number in the listing: procfs
//! gives each new process a new one.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::dir::Dir;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::sys::statfs::{PROC_SUPER_MAGIC, statfs};
use nix::time::ClockId;

use crate::units::{Bytes, CpuTime};
use crate::workloads::procfile::{Stat, from_ticks, parse_resident, parse_stat};

/// The ticks after which a process's cgroup and name are looked at again, as a process is often seen between
/// its fork and the moment when it enters its container or calls exec. After the last one: every so many.
const RECHECK_TICKS: [u64; 5] = [1, 2, 4, 8, 30];
/// A process that has settled is looked at again after this many ticks and up to as many more, by its pid, so
/// that those which came together aren't all looked at together.
const SETTLED_RECHECK_TICKS: u64 = 600;

/// The kernel's limit for a pid on 64-bit machines (`PID_MAX_LIMIT`); larger names aren't processes.
const PID_MAX: u32 = 4 << 20;

/// What may be asked of a process when it is looked at closely.
#[derive(Debug)]
pub(crate) struct Sighting<'a> {
    /// The text of /proc/PID/cgroup.
    pub(crate) cgroups: &'a str,
}

/// One process.
#[derive(Debug)]
pub struct Process<Place> {
    /// Its pid.
    pub pid: u32,
    /// Start time in clock ticks since boot.
    pub start_time: u64,
    /// The command name.
    pub comm: Arc<str>,
    /// CPU time used since the last tick.
    pub delta: CpuTime,
    /// Where it runs, as resolved from its cgroups; none for kernel threads.
    pub place: Option<Place>,
    /// Resident memory, where it is sampled.
    pub resident: Option<Bytes>,
    inode: u64,
    total: CpuTime,
    seen_at: u64,
    next_check: u64,
}

/// Where CPU time comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockSource {
    /// The process's own CPU clock (clock_getcpuclockid(3)): nanoseconds, no permission needed.
    CpuClock,
    /// Fields 14 and 15 of /proc/PID/stat: clock ticks. For a procfs that isn't this process's own, such as one
    /// of another pid namespace.
    Stat,
}

/// All processes of a procfs.
#[derive(Debug)]
pub struct ProcessTable<Place> {
    root: PathBuf,
    directory: Option<Dir>,
    source: ClockSource,
    /// In order of their pids, as procfs lists them.
    processes: Vec<Process<Place>>,
    listed: Vec<(u32, u64)>,
    buffer: Vec<u8>,
    tick: u64,
    page_size: u64,
    ticks_per_second: u64,
    cap: usize,
}

/// What changed in one tick.
#[derive(Debug, Default)]
pub struct ProcessChanges {
    /// Processes (pid, start time) that were there in the last tick and are gone.
    pub ended: Vec<(u32, u64)>,
    /// Processes that were seen for the first time but left out because there are too many.
    pub dropped: u64,
}

impl<Place: Clone> ProcessTable<Place> {
    /// A table of the processes below `root` (`/proc`), of which it holds up to `cap`.
    pub fn new(root: &Path, cap: usize) -> Self {
        Self {
            root: root.to_owned(),
            directory: None,
            source: clock_source(root),
            processes: Vec::new(),
            listed: Vec::new(),
            buffer: Vec::new(),
            tick: 0,
            page_size: procfs::page_size(),
            ticks_per_second: procfs::ticks_per_second(),
            cap,
        }
    }

    /// Where CPU time comes from on this machine.
    pub fn source(&self) -> ClockSource {
        self.source
    }

    /// Lists the processes and reads their CPU time. `resolve` is asked for the place of processes that are new,
    /// young, or due for another look; `is_valid` says whether a place is still there, `wants_memory` whether
    /// the resident memory of a process there is asked for.
    ///
    /// # Errors
    /// /proc can't be listed; everything is kept as it was.
    pub(crate) fn tick(
        &mut self,
        is_valid: impl Fn(&Place) -> bool,
        wants_memory: impl Fn(&Place) -> bool,
        mut resolve: impl FnMut(&Sighting<'_>) -> Option<Place>,
    ) -> io::Result<ProcessChanges> {
        self.list()?;
        self.tick = self.tick.saturating_add(1);
        let first = self.tick == 1;
        let mut changes = ProcessChanges::default();
        let mut old = std::mem::take(&mut self.processes).into_iter().peekable();
        let listed = std::mem::take(&mut self.listed);
        let mut processes = Vec::with_capacity(listed.len());
        for &(pid, inode) in &listed {
            while let Some(gone) = old.next_if(|process| process.pid < pid) {
                self.end(&mut changes, &gone);
            }
            let known = old.next_if(|process| process.pid == pid);
            let seen = match known {
                Some(process) if process.inode == inode => {
                    self.update(process, &is_valid, &wants_memory, &mut resolve)
                }
                Some(process) => self.reidentify(process, inode, &mut changes, &mut resolve),
                None if processes.len() >= self.cap => {
                    changes.dropped = changes.dropped.saturating_add(1);
                    None
                }
                None => self.discover(pid, inode, first, &mut resolve),
            };
            match seen {
                Some(Ok(process)) => processes.push(process),
                Some(Err(gone)) => self.end(&mut changes, &gone),
                None => {}
            }
        }
        for gone in old {
            self.end(&mut changes, &gone);
        }
        self.listed = listed;
        self.processes = processes;
        Ok(changes)
    }

    /// The processes, kernel threads left out.
    pub fn iter(&self) -> impl Iterator<Item = &Process<Place>> {
        self.processes.iter().filter(|process| process.place.is_some())
    }

    fn end(&self, changes: &mut ProcessChanges, gone: &Process<Place>) {
        if gone.place.is_some() {
            changes.ended.push((gone.pid, gone.start_time));
        }
    }

    /// Reads what a known process used. `Err` gives it back if it is gone.
    fn update(
        &mut self,
        mut process: Process<Place>,
        is_valid: &impl Fn(&Place) -> bool,
        wants_memory: &impl Fn(&Place) -> bool,
        resolve: &mut impl FnMut(&Sighting<'_>) -> Option<Place>,
    ) -> Option<Result<Process<Place>, Process<Place>>> {
        let Some(place) = &process.place else {
            return Some(Ok(process));
        };
        let is_due = process.next_check <= self.tick || !is_valid(place);
        let Some(total) = self.cpu_time(process.pid) else {
            return Some(Err(process));
        };
        if total < process.total {
            // A clock that falls is another process behind the same pid.
            let inode = process.inode;
            let mut changes = ProcessChanges::default();
            return match self.reidentify(process, inode, &mut changes, resolve) {
                Some(Ok(process)) => Some(Ok(process)),
                _ => None,
            };
        }
        process.delta = total.saturating_sub(process.total);
        process.total = total;
        if is_due && let Some(stat) = self.stat(process.pid) {
            if stat.start_time != process.start_time {
                return Some(Err(process));
            }
            if *process.comm != *stat.comm {
                process.comm = stat.comm.into();
            }
            if let Some(place) = self.place(process.pid, resolve) {
                process.place = Some(place);
            }
            process.next_check = next_check(process.pid, process.seen_at, self.tick);
        }
        // One process in 32 a tick: memory moves slowly, and each reading costs a file.
        if process.resident.is_none() || u64::from(process.pid % 32) == self.tick % 32 {
            let wanted = process.place.as_ref().is_some_and(wants_memory);
            process.resident = if wanted { self.resident(process.pid) } else { None };
        }
        Some(Ok(process))
    }

    /// Finds out whether a pid with a new inode number is the process that it was (its inode was dropped from
    /// the kernel's cache) or another one.
    fn reidentify(
        &mut self,
        mut process: Process<Place>,
        inode: u64,
        changes: &mut ProcessChanges,
        resolve: &mut impl FnMut(&Sighting<'_>) -> Option<Place>,
    ) -> Option<Result<Process<Place>, Process<Place>>> {
        let Some(stat) = self.stat(process.pid) else {
            return Some(Err(process));
        };
        if stat.start_time == process.start_time && stat.is_kernel_thread == process.place.is_none() {
            process.inode = inode;
            if process.place.is_some() {
                let total = self.cpu_time(process.pid).unwrap_or(process.total);
                process.delta = total.saturating_sub(process.total);
                process.total = process.total.max(total);
            }
            return Some(Ok(process));
        }
        self.end(changes, &process);
        self.discover(process.pid, inode, false, resolve)
    }

    /// Makes an entry for a process that is new. What it used so far counts, unless this is the first tick.
    fn discover(
        &mut self,
        pid: u32,
        inode: u64,
        first: bool,
        resolve: &mut impl FnMut(&Sighting<'_>) -> Option<Place>,
    ) -> Option<Result<Process<Place>, Process<Place>>> {
        let stat = self.stat(pid)?;
        let mut process = Process {
            pid,
            start_time: stat.start_time,
            comm: stat.comm.into(),
            delta: CpuTime::ZERO,
            place: None,
            resident: None,
            inode,
            total: CpuTime::ZERO,
            seen_at: self.tick,
            // What ran before the daemon has settled already.
            next_check: if first {
                settled_check(pid, self.tick)
            } else {
                next_check(pid, self.tick, self.tick)
            },
        };
        if stat.is_kernel_thread {
            return Some(Ok(process));
        }
        process.place = self.place(pid, resolve);
        process.total = self.cpu_time(pid)?;
        if !first {
            process.delta = process.total;
        }
        process.place.is_some().then_some(Ok(process))
    }

    fn place(&mut self, pid: u32, resolve: &mut impl FnMut(&Sighting<'_>) -> Option<Place>) -> Option<Place> {
        self.read(pid, "cgroup").ok()?;
        let cgroups = String::from_utf8_lossy(&self.buffer);
        resolve(&Sighting { cgroups: &cgroups })
    }

    fn stat(&mut self, pid: u32) -> Option<Stat> {
        self.read(pid, "stat").ok()?;
        parse_stat(&self.buffer)
    }

    fn resident(&mut self, pid: u32) -> Option<Bytes> {
        self.read(pid, "statm").ok()?;
        parse_resident(std::str::from_utf8(&self.buffer).ok()?, self.page_size)
    }

    fn cpu_time(&mut self, pid: u32) -> Option<CpuTime> {
        match self.source {
            ClockSource::CpuClock => cpu_clock(pid),
            ClockSource::Stat => self.stat(pid).map(|stat| from_ticks(stat.cpu_ticks, self.ticks_per_second)),
        }
    }

    /// Reads a file of a process into the buffer, up to 64 KiB.
    fn read(&mut self, pid: u32, name: &str) -> io::Result<()> {
        let mut path = self.root.clone();
        path.push(pid.to_string());
        path.push(name);
        self.buffer.clear();
        File::open(path)?.take(64 * 1024).read_to_end(&mut self.buffer)?;
        Ok(())
    }

    /// Fills `listed` with (pid, inode number), in order of pids.
    fn list(&mut self) -> io::Result<()> {
        self.listed.clear();
        if self.directory.is_none() {
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
            self.directory = Some(Dir::open(&self.root, flags, Mode::empty())?);
        }
        let Some(directory) = &mut self.directory else {
            return Ok(());
        };
        // Dropping the iterator rewinds the directory for the next tick.
        for entry in directory.iter() {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else {
                continue;
            };
            if let Some(pid) = name.parse().ok().filter(|pid| (1..=PID_MAX).contains(pid)) {
                self.listed.push((pid, entry.ino()));
            }
        }
        if !self.listed.is_sorted_by_key(|(pid, _)| *pid) {
            self.listed.sort_unstable();
        }
        self.listed.dedup_by_key(|(pid, _)| *pid);
        Ok(())
    }
}

/// When a process is looked at again that was first seen at tick `seen_at`.
fn next_check(pid: u32, seen_at: u64, tick: u64) -> u64 {
    let age = tick.saturating_sub(seen_at);
    let next = RECHECK_TICKS.iter().find(|&&at| at > age);
    next.map_or_else(|| settled_check(pid, tick), |at| seen_at.saturating_add(*at))
}

/// When a process is looked at again that has settled.
fn settled_check(pid: u32, tick: u64) -> u64 {
    tick.saturating_add(SETTLED_RECHECK_TICKS).saturating_add(u64::from(pid) % SETTLED_RECHECK_TICKS)
}

/// The CPU time of a process by its CPU clock. The clock's id is made as in the kernel's
/// `include/linux/posix-timers_types.h` (`MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED)`), which saves the system
/// call of clock_getcpuclockid(3).
fn cpu_clock(pid: u32) -> Option<CpuTime> {
    const CPUCLOCK_SCHED: i32 = 2;
    let pid = i32::try_from(pid).ok()?;
    let time = ClockId::from_raw((!pid << 3) | CPUCLOCK_SCHED).now().ok()?;
    let seconds = u64::try_from(time.tv_sec()).ok()?;
    let nanos = u64::try_from(time.tv_nsec()).ok()?;
    Some(CpuTime::from_nanos(seconds.saturating_mul(1_000_000_000).saturating_add(nanos)))
}

/// CPU clocks are of use only where the pids of the listing are those of this process's own pid namespace.
fn clock_source(root: &Path) -> ClockSource {
    let is_procfs = statfs(root).is_ok_and(|info| info.filesystem_type() == PROC_SUPER_MAGIC);
    let own = fs::read_link(root.join("self")).ok();
    let own = own.as_deref().and_then(Path::to_str).and_then(|pid| pid.parse::<u32>().ok());
    if is_procfs && own == Some(std::process::id()) { ClockSource::CpuClock } else { ClockSource::Stat }
}

#[cfg(test)]
mod tests;
