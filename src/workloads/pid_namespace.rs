//! Which pid namespace a procfs shows: drivers count processes in the initial one.

use std::fs;
use std::path::Path;

/// The inode number of the initial pid namespace (`PROC_PID_INIT_INO` in include/linux/proc_ns.h).
const INITIAL: &str = "pid:[4026531836]";

/// Whether `procfs` shows the machine's initial pid namespace: pid 1 is in it, or pid 2 is kthreadd, which exists
/// there only. The second needs no permission.
pub fn is_initial(procfs: &Path) -> bool {
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
    }
}
