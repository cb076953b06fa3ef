//! Which pid namespace a procfs shows, and the daemon is in: drivers count processes in the initial one.

use std::fs;
use std::path::Path;

/// The inode number of the initial pid namespace (`PROC_PID_INIT_INO` in include/linux/proc_ns.h).
const INITIAL: &str = "pid:[4026531836]";

/// Whether `procfs` shows the machine's initial pid namespace, and this process is in that: newer drivers translate
/// pids for the process that asks. Pid 1 is in it, or pid 2 is kthreadd, which exists there only; that needs no
/// permission. A process that is further down has more than one number (`NSpid` in proc_pid_status(5)).
pub fn is_initial(procfs: &Path) -> bool {
    let own = fs::read_to_string(procfs.join("self/status")).unwrap_or_default();
    let numbers = own.lines().find_map(|line| line.strip_prefix("NSpid:"));
    if numbers.is_some_and(|numbers| numbers.split_whitespace().count() > 1) {
        return false;
    }
    let link = fs::read_link(procfs.join("1/ns/pid"));
    link.is_ok_and(|link| link.as_os_str() == INITIAL)
        || fs::read_to_string(procfs.join("2/comm")).is_ok_and(|comm| comm.trim_end() == "kthreadd")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn either_sign_of_the_initial_namespace_is_enough() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        assert!(!is_initial(root));
        fs::create_dir_all(root.join("1/ns")).unwrap();
        fs::create_dir_all(root.join("2")).unwrap();
        symlink("pid:[4026532001]", root.join("1/ns/pid")).unwrap();
        fs::write(root.join("2/comm"), "bash\n").unwrap();
        assert!(!is_initial(root));
        fs::write(root.join("2/comm"), "kthreadd\n").unwrap();
        assert!(is_initial(root));
        fs::write(root.join("2/comm"), "bash\n").unwrap();
        fs::remove_file(root.join("1/ns/pid")).unwrap();
        symlink(INITIAL, root.join("1/ns/pid")).unwrap();
        assert!(is_initial(root));
        fs::create_dir_all(root.join("self")).unwrap();
        fs::write(root.join("self/status"), "Name:\twattprint\nNSpid:\t4711\n").unwrap();
        assert!(is_initial(root));
        fs::write(root.join("self/status"), "Name:\twattprint\nNSpid:\t4711\t7\n").unwrap();
        assert!(!is_initial(root), "the daemon itself is in another one");
    }
}
