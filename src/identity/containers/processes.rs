//! What the processes of a container tell.

use std::path::{Path, PathBuf};

use crate::identity::files::HostRoot;

/// Bytes of the small files below `/proc/PID`.
const MOST: usize = 16 * 1024;

/// Reads procfs.
#[derive(Debug)]
pub(super) struct Processes {
    procfs: HostRoot,
}

impl Processes {
    pub(super) fn new(procfs: PathBuf) -> Self {
        Self { procfs: HostRoot::new(procfs) }
    }

    /// Whether nothing but `pause` runs there, the program that holds the namespaces of a Kubernetes pod. An ordinary
    /// container may run it as well, but then it uses nothing, so it matters little whose nothing that is.
    pub(super) fn only_pause(&self, pids: &[u32]) -> bool {
        let is_pause = |pid: &u32| self.read(*pid, "comm").is_some_and(|comm| comm.trim_end() == "pause");
        !pids.is_empty() && pids.iter().all(is_pause)
    }

    /// The real uids of processes (proc_pid_status(5)), each once; none of root's.
    pub(super) fn uids(&self, pids: &[u32]) -> Vec<u32> {
        let uid = |pid: &u32| {
            let status = self.read(*pid, "status")?;
            let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
            line.split_whitespace().next()?.parse::<u32>().ok()
        };
        let mut uids: Vec<u32> = pids.iter().filter_map(uid).filter(|uid| *uid != 0).collect();
        uids.sort_unstable();
        uids.dedup();
        uids
    }

    fn read(&self, pid: u32, file: &str) -> Option<String> {
        let path = Path::new("/").join(pid.to_string()).join(file);
        let (bytes, _) = self.procfs.read(&path, MOST).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}
