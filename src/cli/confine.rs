//! What the daemon gives up for good at its start: system calls that only a thief of its privileges would make.
//!
//! The systemd unit has a filter of its own. A container runtime's default profile is wider: with CAP_DAC_READ_SEARCH it
//! lets `open_by_handle_at` pass, which reaches every file of a disk that any mount is from.

use std::collections::BTreeMap;
use std::process;

use nix::libc;
use nix::unistd::geteuid;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};
use tracing::{debug, warn};

/// open_tree_attr(2) of Linux 6.15, on all processors.
const OPEN_TREE_ATTR: libc::c_long = 467;
/// Owners of descriptors, who get signals from them: fcntl(2), and ioctl(2) on sockets (asm-generic/sockios.h).
const SIGNALLING_FCNTLS: [libc::c_int; 3] = [libc::F_SETOWN, F_SETOWN_EX, F_SETSIG];
const F_SETSIG: libc::c_int = 10;
const F_SETOWN_EX: libc::c_int = 15;
const SIGNALLING_IOCTLS: [libc::c_int; 2] = [0x8901, 0x8902];
/// Namespaces of a child, as clone(2) has them.
const NAMESPACES: [libc::c_int; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

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
    OPEN_TREE_ATTR,
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

/// Why the kernel doesn't refuse anything on the daemon's behalf.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConfineError {
    #[error("no filter for this processor: {0}")]
    Processor(#[from] seccompiler::BackendError),
    #[error("the kernel takes no filter: {0}")]
    Kernel(#[from] seccompiler::Error),
}

/// Gives up [`REFUSED`] and its like in all threads and in everything that they start, where there are rights to steal:
/// capabilities, or what root may do without any. Elsewhere it does nothing: the filter would also keep a setuid nvidia-modprobe
/// from its rights. Where the kernel has no seccomp, the log says so.
pub(super) fn confine() {
    if !has_capabilities() && !geteuid().is_root() {
        debug!("no rights are held, so no system calls are given up");
        return;
    }
    let confined = filters().and_then(|filters| {
        filters.iter().try_for_each(|filter| Ok(seccompiler::apply_filter_all_threads(filter)?))
    });
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

/// One filter for each error.
fn filters() -> Result<[BpfProgram; 2], ConfineError> {
    let mut refused: BTreeMap<i64, Vec<SeccompRule>> =
        REFUSED.iter().map(|&call| (call, Vec::new())).collect();
    refused.insert(libc::SYS_fcntl, any(1, &SIGNALLING_FCNTLS)?);
    refused.insert(libc::SYS_ioctl, any(1, &SIGNALLING_IOCTLS)?);
    let myself = u64::from(process::id());
    // abort() signals its own process, and limits are its own, too: 0 stands for it.
    refused.insert(libc::SYS_tgkill, vec![none_of(0, &[myself])?]);
    refused.insert(libc::SYS_prlimit64, vec![none_of(0, &[0, myself])?]);
    let namespaces = NAMESPACES.iter().map(|namespace| {
        let bit = u64::from(namespace.cast_unsigned());
        SeccompRule::new(vec![condition(0, SeccompCmpOp::MaskedEq(bit), bit)?])
    });
    refused.insert(libc::SYS_clone, namespaces.collect::<Result<_, _>>()?);
    // Its flags lie in memory, where no filter looks. Libraries go on with clone() where a kernel doesn't know it.
    let unknown = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    Ok([without_x32(program(unknown, libc::ENOSYS)?), program(refused, libc::EPERM)?])
}

/// Answers calls that have a rule with an error.
fn program(rules: BTreeMap<i64, Vec<SeccompRule>>, error: libc::c_int) -> Result<BpfProgram, ConfineError> {
    let refuse = SeccompAction::Errno(error.cast_unsigned());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, std::env::consts::ARCH.try_into()?)?;
    Ok(filter.try_into()?)
}

type Condition = Result<SeccompCondition, seccompiler::BackendError>;

fn condition(argument: u8, operator: SeccompCmpOp, value: u64) -> Condition {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
}

/// Where an argument is one of these.
fn any(argument: u8, values: &[libc::c_int]) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let rule = |value: &libc::c_int| {
        SeccompRule::new(vec![condition(argument, SeccompCmpOp::Eq, value.cast_unsigned().into())?])
    };
    values.iter().map(rule).collect()
}

/// Where an argument is none of these.
fn none_of(argument: u8, values: &[u64]) -> Result<SeccompRule, seccompiler::BackendError> {
    let differs = values.iter().map(|&value| condition(argument, SeccompCmpOp::Ne, value));
    SeccompRule::new(differs.collect::<Result<_, _>>()?)
}

/// Before a program: the second set of numbers that the same kernel may answer to (x32 of amd64) is unknown. They have
/// bit 30, and 512 to 547 are its own (arch/x86/entry/syscalls/syscall_64.tbl); kernels before 5.4 take those without the bit.
#[cfg(target_arch = "x86_64")]
fn without_x32(program: BpfProgram) -> BpfProgram {
    use seccompiler::sock_filter;
    /// Classic BPF (linux/filter.h): load a word, jump if at least, jump if more, return.
    const LOAD: u16 = 0x20;
    const AT_LEAST: u16 = 0x35;
    const MORE: u16 = 0x25;
    const RETURN: u16 = 0x06;
    /// Where a filter finds the number (struct seccomp_data).
    const NUMBER: u32 = 0;
    let unknown = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned();
    let mut whole = vec![
        sock_filter { code: LOAD, jt: 0, jf: 0, k: NUMBER },
        sock_filter { code: AT_LEAST, jt: 0, jf: 3, k: 512 },
        sock_filter { code: MORE, jt: 0, jf: 1, k: 547 },
        sock_filter { code: AT_LEAST, jt: 0, jf: 1, k: 1 << 30 },
        sock_filter { code: RETURN, jt: 0, jf: 0, k: unknown },
    ];
    whole.extend(program);
    whole
}

#[cfg(not(target_arch = "x86_64"))]
fn without_x32(program: BpfProgram) -> BpfProgram {
    program
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::thread;

    use nix::errno::Errno;
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    use nix::sys::signal::{Signal, kill, raise};
    use nix::unistd::Pid;

    use super::*;

    /// Makes system calls and prints the error of each. An argument `pipe` is a descriptor, -1 is always wrong.
    const CALLS: &str = "
import ctypes, os, sys
call = ctypes.CDLL(None, use_errno=True).syscall
pipe = os.pipe()[0]
for text in sys.argv[1:]:
    number, *given = [pipe if each == 'pipe' else int(each) for each in text.split()]
    ctypes.set_errno(0)
    call(ctypes.c_long(number), *map(ctypes.c_long, given + [-1] * (6 - len(given))))
    print(ctypes.get_errno())
";

    /// What the kernel says to a child of the calling thread.
    fn errors(calls: &[(libc::c_long, &str)]) -> Vec<i32> {
        let given = calls.iter().map(|(number, arguments)| format!("{number} {arguments}"));
        let output = Command::new("python3").args(["-c", CALLS]).args(given).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| line.parse().unwrap()).collect()
    }

    /// In a thread of its own, as it can't be undone.
    fn confined<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        let thread = thread::spawn(|| {
            for filter in filters().unwrap() {
                seccompiler::apply_filter(&filter).unwrap();
            }
            work()
        });
        thread.join().unwrap()
    }

    #[test]
    fn what_a_meter_does_not_need_is_refused_to_it_and_its_children() {
        let mut calls: Vec<(libc::c_long, &str)> = REFUSED.iter().map(|&call| (call, "")).collect();
        calls.extend([
            (libc::SYS_tgkill, "1 1 0"),
            (libc::SYS_prlimit64, "1 0 0 0"),
            (libc::SYS_fcntl, "pipe 8 1"),
            (libc::SYS_fcntl, "pipe 10 9"),
            (libc::SYS_fcntl, "pipe 15 0"),
            (libc::SYS_ioctl, "pipe 35073 0"),
            (libc::SYS_ioctl, "pipe 35074 0"),
            // Each with SIGCHLD as the child's signal.
            (libc::SYS_clone, "268435473 0 0 0 0"),
            (libc::SYS_clone, "131089 0 0 0 0"),
        ]);
        let seen = confined({
            let calls = calls.clone();
            move || errors(&calls)
        });
        assert_eq!(seen.len(), calls.len());
        for (call, error) in calls.iter().zip(seen) {
            assert_eq!(error, libc::EPERM, "{call:?}");
        }
        let unknown = |call| (call, "");
        let mut calls = vec![unknown(libc::SYS_clone3)];
        if cfg!(target_arch = "x86_64") {
            let x32 = 1 << 30;
            calls.extend([x32 | libc::SYS_open_by_handle_at, x32 | 521, 521, 512, 547].map(unknown));
        }
        for error in confined(move || errors(&calls)) {
            assert_eq!(error, libc::ENOSYS);
        }
    }

    #[test]
    fn without_the_filter_the_kernel_looks_at_what_is_asked() {
        let calls = [
            (libc::SYS_unshare, ""),
            (libc::SYS_pidfd_getfd, ""),
            (libc::SYS_tgkill, ""),
            (libc::SYS_process_vm_readv, ""),
            (libc::SYS_fcntl, "-1 8 1"),
        ];
        for (call, error) in calls.iter().zip(errors(&calls)) {
            assert!(![0, libc::EPERM, libc::ENOSYS].contains(&error), "{call:?}: error {error}");
        }
    }

    #[test]
    fn a_process_may_signal_and_limit_itself_alone_and_start_threads_and_programs() {
        let done = confined(|| {
            // It is what abort() does; going on is what a running process does anyway.
            let signals = (raise(Signal::SIGCONT), kill(Pid::parent(), None));
            let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
            let limit = setrlimit(Resource::RLIMIT_NOFILE, soft, hard);
            let thread = thread::spawn(|| 7).join().unwrap();
            (signals, limit, thread, Command::new("true").status().unwrap().success())
        });
        assert_eq!(done, ((Ok(()), Err(Errno::EPERM)), Ok(()), 7, true));
    }
}
