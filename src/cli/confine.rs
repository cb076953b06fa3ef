//! What the daemon gives up for good at its start: system calls that only a thief of its privileges would make.
//!
//! The systemd unit has a filter of its own. A container runtime's default profile is wider: with CAP_DAC_READ_SEARCH it
//! lets `open_by_handle_at` pass, which reaches every file of a disk that any mount is from.

use std::collections::BTreeMap;
use std::process;

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};
use tracing::{debug, warn};

/// Calls that are refused with EPERM. NVIDIA's library may start nvidia-modprobe, which loads modules and makes device
/// nodes: these stay allowed to whoever has the right.
const REFUSED: &[libc::c_long] = &[
    // Files outside the mounts, by handle.
    libc::SYS_open_by_handle_at,
    // Mounts and namespaces other than those that it was given.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_mount_setattr,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_setns,
    libc::SYS_unshare,
    // Memory, registers and descriptors of other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    // Signals to other processes: in the host's PID namespace uid 0 could end the kubelet.
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_pidfd_send_signal,
    // Code in the kernel.
    libc::SYS_bpf,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
];

/// The second set of numbers that the same kernel may answer to (x32 of amd64): that of the first with a bit, but for some.
#[cfg(target_arch = "x86_64")]
mod x32 {
    use nix::libc::c_long;

    pub(super) const BIT: c_long = 0x4000_0000;
    /// rt_sigqueueinfo, kexec_load, rt_tgsigqueueinfo, ptrace, process_vm_readv, process_vm_writev
    /// (arch/x86/entry/syscalls/syscall_64.tbl).
    pub(super) const OWN: [c_long; 6] = [524, 528, 536, 521, 539, 540];
}

/// Why the kernel doesn't refuse anything on the daemon's behalf.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConfineError {
    #[error("no filter for this processor: {0}")]
    Processor(#[from] seccompiler::BackendError),
    #[error("the kernel takes no filter: {0}")]
    Kernel(#[from] seccompiler::Error),
}

/// Gives up [`REFUSED`] in all threads and in everything that they start, where there are capabilities to steal. Without
/// any it does nothing: the filter would also keep a setuid nvidia-modprobe from its rights. Where the kernel has no
/// seccomp, the log says so.
pub(super) fn confine() {
    if !has_capabilities() {
        debug!("no capability is held, so no system calls are given up");
        return;
    }
    let confined = filter().and_then(|filter| Ok(seccompiler::apply_filter_all_threads(&filter)?));
    match confined {
        Ok(()) => debug!("system calls that a meter doesn't need are given up"),
        Err(error) => {
            warn!(%error, "system calls that a meter doesn't need stay open: see docs/security.md");
        }
    }
}

/// Whether this process has any capability; yes, if that can't be told.
fn has_capabilities() -> bool {
    let status = procfs::process::Process::myself().and_then(|myself| myself.status());
    status.map_or(true, |status| status.capprm != 0)
}

fn filter() -> Result<BpfProgram, ConfineError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for &call in REFUSED {
        rules.insert(call, Vec::new());
        #[cfg(target_arch = "x86_64")]
        rules.insert(call | x32::BIT, Vec::new());
    }
    #[cfg(target_arch = "x86_64")]
    rules.extend(x32::OWN.map(|call| (call | x32::BIT, Vec::new())));
    // abort() signals its own process.
    let other = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, process::id().into())?;
    let to_others = SeccompRule::new(vec![other])?;
    rules.insert(libc::SYS_tgkill, vec![to_others.clone()]);
    #[cfg(target_arch = "x86_64")]
    rules.insert(libc::SYS_tgkill | x32::BIT, vec![to_others]);
    let refuse = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, std::env::consts::ARCH.try_into()?)?;
    Ok(filter.try_into()?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::process::Command;
    use std::thread;

    use nix::errno::Errno;
    use nix::sys::signal::{Signal, kill, raise};
    use nix::unistd::Pid;

    use super::*;

    /// Makes system calls with arguments that can do no harm, and prints each one's number with its error.
    const CALLS: &str = "
import ctypes, sys
call = ctypes.CDLL(None, use_errno=True).syscall
for number in map(int, sys.argv[1:]):
    ctypes.set_errno(0)
    call(ctypes.c_long(number), *[ctypes.c_long(-1)] * 6)
    print(number, ctypes.get_errno())
";

    /// What the kernel says to a child of the calling thread.
    fn errors(calls: &[libc::c_long]) -> BTreeMap<libc::c_long, i32> {
        let numbers = calls.iter().map(ToString::to_string);
        let output = Command::new("python3").args(["-c", CALLS]).args(numbers).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let lines = text.lines().map(|line| line.split_once(' ').unwrap());
        lines.map(|(number, error)| (number.parse().unwrap(), error.parse().unwrap())).collect()
    }

    #[test]
    fn what_a_meter_does_not_need_is_refused_to_it_and_its_children() {
        // tgkill() to process -1 has arguments that are wrong.
        let mut refused = REFUSED.to_vec();
        refused.push(libc::SYS_tgkill);
        // In a thread of its own, as it can't be undone.
        let after = thread::spawn(move || {
            seccompiler::apply_filter(&filter().unwrap()).unwrap();
            errors(&refused)
        });
        for (call, error) in after.join().unwrap() {
            assert_eq!(error, libc::EPERM, "system call {call}");
        }
    }

    #[test]
    fn without_the_filter_the_kernel_looks_at_what_is_asked() {
        // None of them needs a right before it finds its arguments wrong.
        let calls = [libc::SYS_unshare, libc::SYS_pidfd_getfd, libc::SYS_tgkill, libc::SYS_process_vm_readv];
        for (call, error) in errors(&calls) {
            assert!(error != 0 && error != libc::EPERM, "system call {call}: error {error}");
        }
    }

    #[test]
    fn a_process_may_signal_itself_alone() {
        let answers = thread::spawn(|| {
            seccompiler::apply_filter(&filter().unwrap()).unwrap();
            // It is what abort() does; going on is what a running process does anyway.
            (raise(Signal::SIGCONT), kill(Pid::parent(), None))
        });
        assert_eq!(answers.join().unwrap(), (Ok(()), Err(Errno::EPERM)));
    }
}
