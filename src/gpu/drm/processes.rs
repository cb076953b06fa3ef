//! Keeps track of the processes of one procfs and of their DRM files.
//!
//! Looking through a process's files costs a system call for each file, so it is done when the process is new, some
//! times while it is young, and then every ten seconds; a process that has as many open files as before is passed
//! over, for up to a minute. So a file that is opened in between is seen up to ten seconds late.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, readlinkat};
use nix::sys::stat::Mode;
use nix::sys::statfs::{PROC_SUPER_MAGIC, statfs};

/// How often a process that has settled is looked through.
const SETTLED: u64 = 10;
/// The first wait of a new process; it doubles up to [`SETTLED`].
const YOUNG: Duration = Duration::from_secs(1);
/// How long a process is passed over while the number of its open files stays the same.
const UNCHANGED: Duration = Duration::from_secs(60);
/// How many open files of a process are looked at. DRM files are opened early and have low numbers.
const MAX_FILES: usize = 4096;
/// A client: device and number.
pub(super) type Key = (Arc<str>, u64);

/// One process.
#[derive(Debug)]
pub(super) struct Tracked {
    inode: u64,
    due: Duration,
    wait: Duration,
    /// When its files were looked through, and how many were open.
    looked: Option<(Duration, u64)>,
    /// Whether its files may not be looked at.
    pub(super) is_denied: bool,
    /// Its DRM files, by number.
    pub(super) files: Vec<DrmFile>,
}

/// A DRM file that a process has open.
#[derive(Debug)]
pub(super) struct DrmFile {
    /// Its number.
    pub(super) number: u32,
    /// Its client, once it was read.
    pub(super) key: Option<Key>,
    /// Whether it is of a driver that isn't read here.
    pub(super) is_foreign: bool,
}

/// The processes of one procfs.
#[derive(Debug)]
pub(super) struct Processes {
    procfs: PathBuf,
    /// Whether the size of a directory of open files is their number.
    is_procfs: bool,
    /// By pid.
    pub(super) found: BTreeMap<u32, Tracked>,
    newest_pid: Option<String>,
    has_looked: bool,
    /// Whether procfs couldn't be listed.
    pub(super) is_blind: bool,
}

impl Processes {
    pub(super) fn new(procfs: &Path) -> Self {
        Self {
            procfs: procfs.to_path_buf(),
            is_procfs: statfs(procfs).is_ok_and(|stat| stat.filesystem_type() == PROC_SUPER_MAGIC),
            found: BTreeMap::new(),
            newest_pid: None,
            has_looked: false,
            is_blind: false,
        }
    }

    /// Takes in new processes, and looks through the files of those that are due.
    pub(super) fn update(&mut self, now: Duration) {
        self.list(now);
        self.look(now);
        self.has_looked = true;
    }

    /// The directory with what the kernel tells of the files of a process.
    pub(super) fn fdinfo(&self, pid: u32) -> PathBuf {
        self.procfs.join(pid.to_string()).join("fdinfo")
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
        let is_first = !self.has_looked;
        let mut before = std::mem::take(&mut self.found);
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
            self.found.insert(pid, tracked);
        }
    }

    /// Looks through the files of the processes that are due.
    fn look(&mut self, now: Duration) {
        let (is_first, procfs, is_procfs) = (!self.has_looked, &self.procfs, self.is_procfs);
        self.found.retain(|&pid, tracked| {
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

/// Whether a process can be passed over, by when it was `looked` through with how many files, and how many are
/// `open`.
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

#[cfg(test)]
mod tests {
    use std::fs::File;

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
