//! Live processes: who they are, and how much CPU time they used since the last tick.
//!
//! A process is (pid, start time). Once it is known, a tick costs one entry of the /proc listing and one read of
//! its CPU clock. That the pid still means the same process is told by the inode number in the listing: procfs
//! gives each new process a new one.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::dir::Dir;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::sys::statfs::{PROC_SUPER_MAGIC, statfs};
use nix::time::ClockId;

use crate::units::{Bytes, CpuTime};
use crate::workloads::procfile::{Stat, from_ticks, parse_resident, parse_stat};

/// The ages in seconds at which a process's cgroup and name are looked at again, as a process is often seen
/// between its fork and the moment when it enters its container or calls exec.
const RECHECK_AGES: [u64; 5] = [1, 2, 4, 8, 30];
/// A process that has settled is looked at again after this many seconds and up to as many more, by its pid, so
/// that those which came together aren't all looked at together.
const SETTLED_RECHECK: u64 = 600;
/// A process without an owner that uses this much in a tick is looked at again soon: it may have been moved.
const BUSY: CpuTime = CpuTime::from_nanos(10_000_000);
/// What "soon" is.
const BUSY_RECHECK: Duration = Duration::from_secs(5);

/// The kernel's limit for a pid on 64-bit machines (`PID_MAX_LIMIT`); larger names aren't processes.
const PID_MAX: u32 = 4 << 20;

/// What the table's user says of a place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judgement {
    /// It is still there.
    pub(crate) is_valid: bool,
    /// Nobody owns it.
    pub(crate) is_unowned: bool,
    /// The resident memory of processes there is asked for.
    pub(crate) wants_memory: bool,
}

/// One tick of the table.
pub(crate) struct Round<'a, Place> {
    /// Now, on a clock that doesn't stop.
    pub(crate) now: Duration,
    /// What a process can have used at most since the last tick.
    pub(crate) possible: CpuTime,
    /// Judges the place of a known process.
    pub(crate) judge: &'a dyn Fn(&Place) -> Judgement,
    /// Finds the place of a process from the text of its /proc/PID/cgroup.
    pub(crate) resolve: &'a mut dyn FnMut(&str) -> Option<Place>,
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
    seen_at: Duration,
    next_check: Duration,
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
#[derive(Debug)]
pub struct ProcessChanges<Place> {
    /// Processes that were there in the last tick and are gone, kernel threads left out.
    pub ended: Vec<Process<Place>>,
    /// Processes left out because there are too many.
    pub left_out: u64,
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

    /// Lists the processes and reads their CPU time. Processes that are new, young or due for another look are
    /// looked at closely.
    ///
    /// # Errors
    /// /proc can't be listed; everything is kept as it was.
    pub(crate) fn tick(&mut self, mut round: Round<'_, Place>) -> io::Result<ProcessChanges<Place>> {
        self.list()?;
        self.tick = self.tick.saturating_add(1);
        let mut changes = ProcessChanges { ended: Vec::new(), left_out: 0 };
        let mut old = std::mem::take(&mut self.processes).into_iter().peekable();
        let listed = std::mem::take(&mut self.listed);
        let mut processes = Vec::with_capacity(listed.len());
        for &(pid, inode) in &listed {
            while let Some(gone) = old.next_if(|process| process.pid < pid) {
                changes.end(gone);
            }
            let seen = match old.next_if(|process| process.pid == pid) {
                Some(process) => self.update(process, inode, &mut round, &mut changes),
                None if processes.len() >= self.cap => {
                    changes.left_out = changes.left_out.saturating_add(1);
                    None
                }
                None => self.discover(pid, inode, &mut round),
            };
            processes.extend(seen);
        }
        for gone in old {
            changes.end(gone);
        }
        self.listed = listed;
        self.processes = processes;
        Ok(changes)
    }

    /// Has the name and the place of a process looked at again in the next tick, whether it uses CPU time or not.
    pub(crate) fn look_soon(&mut self, pid: u32) {
        if let Ok(at) = self.processes.binary_search_by_key(&pid, |process| process.pid)
            && let Some(process) = self.processes.get_mut(at)
        {
            process.next_check = Duration::ZERO;
        }
    }

    /// One process, unless it is a kernel thread.
    pub fn get(&self, pid: u32) -> Option<&Process<Place>> {
        let at = self.processes.binary_search_by_key(&pid, |process| process.pid).ok()?;
        self.processes.get(at).filter(|process| process.place.is_some())
    }

    /// The processes, kernel threads left out.
    pub fn iter(&self) -> impl Iterator<Item = &Process<Place>> {
        self.processes.iter().filter(|process| process.place.is_some())
    }

    /// Reads what a known process used. None if it is gone.
    fn update(
        &mut self,
        mut process: Process<Place>,
        inode: u64,
        round: &mut Round<'_, Place>,
        changes: &mut ProcessChanges<Place>,
    ) -> Option<Process<Place>> {
        let judgement = process.place.as_ref().map(|place| (round.judge)(place));
        let total = match judgement {
            Some(_) => self.cpu_time(process.pid),
            // Kernel threads aren't read.
            None => Some(CpuTime::ZERO),
        };
        let Some(total) = total else {
            changes.end(process);
            return None;
        };
        // Another inode number: another process, or the kernel dropped the old inode from its cache. A clock that
        // falls is another process in any case.
        let is_doubtful = process.inode != inode || total < process.total;
        let is_due = judgement.is_some_and(|place| process.next_check <= round.now || !place.is_valid);
        if is_doubtful || is_due {
            let Some(stat) = self.stat(process.pid) else {
                changes.end(process);
                return None;
            };
            let is_same = stat.start_time == process.start_time
                && stat.is_kernel_thread == judgement.is_none()
                && total >= process.total;
            if !is_same {
                let pid = process.pid;
                changes.end(process);
                return self.discover(pid, inode, round);
            }
            process.inode = inode;
            if judgement.is_some() {
                self.look_again(&mut process, stat, round);
            }
        }
        // Garbage in a stat file must not outweigh everybody else.
        process.delta = total.saturating_sub(process.total).min(round.possible);
        process.total = total;
        if let Some(place) = judgement {
            if place.is_unowned && process.delta >= BUSY {
                process.next_check = process.next_check.min(round.now.saturating_add(BUSY_RECHECK));
            }
            // One process in 32 a tick: memory moves slowly, and each reading costs a file.
            if process.resident.is_none() || u64::from(process.pid % 32) == self.tick % 32 {
                process.resident = if place.wants_memory { self.resident(process.pid) } else { None };
            }
        }
        Some(process)
    }

    /// Brings the name and the place of a known process up to date.
    fn look_again(&mut self, process: &mut Process<Place>, stat: Stat, round: &mut Round<'_, Place>) {
        if *process.comm != *stat.comm {
            process.comm = stat.comm.into();
        }
        if let Some(place) = self.place(process.pid, round) {
            process.place = Some(place);
        }
        process.next_check = next_check(process.pid, process.seen_at, round.now);
    }

    /// Makes an entry for a process that is new. What it used so far counts, unless this is the first tick or it
    /// is more than it can have used since the last one: then it was there before, unseen.
    fn discover(&mut self, pid: u32, inode: u64, round: &mut Round<'_, Place>) -> Option<Process<Place>> {
        let stat = self.stat(pid)?;
        let is_first = self.tick == 1;
        let mut process = Process {
            pid,
            start_time: stat.start_time,
            comm: stat.comm.into(),
            delta: CpuTime::ZERO,
            place: None,
            resident: None,
            inode,
            total: CpuTime::ZERO,
            seen_at: round.now,
            // What ran before the daemon has settled already.
            next_check: if is_first {
                settled_check(pid, round.now)
            } else {
                next_check(pid, round.now, round.now)
            },
        };
        if stat.is_kernel_thread {
            return Some(process);
        }
        process.place = Some(self.place(pid, round)?);
        process.total = self.cpu_time(pid)?;
        if !is_first && process.total <= round.possible {
            process.delta = process.total;
        }
        Some(process)
    }

    fn place(&mut self, pid: u32, round: &mut Round<'_, Place>) -> Option<Place> {
        self.read(pid, "cgroup").ok()?;
        (round.resolve)(&String::from_utf8_lossy(&self.buffer))
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

impl<Place> ProcessChanges<Place> {
    fn end(&mut self, gone: Process<Place>) {
        if gone.place.is_some() {
            self.ended.push(gone);
        }
    }
}

/// When a process is looked at again that was first seen at `seen_at`.
fn next_check(pid: u32, seen_at: Duration, now: Duration) -> Duration {
    let ages = RECHECK_AGES.iter().map(|&age| seen_at.saturating_add(Duration::from_secs(age)));
    ages.into_iter().find(|at| *at > now).unwrap_or_else(|| settled_check(pid, now))
}

/// When a process is looked at again that has settled.
fn settled_check(pid: u32, now: Duration) -> Duration {
    now.saturating_add(Duration::from_secs(SETTLED_RECHECK + u64::from(pid) % SETTLED_RECHECK))
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
