//! Parsers for the files of /proc/PID, for any bytes. Source: proc(5), `Documentation/filesystems/proc.rst`.

use crate::units::{Bytes, CpuTime};

/// `PF_KTHREAD` of the kernel's `include/linux/sched.h`: the process is a kernel thread.
const PF_KTHREAD: u64 = 0x0020_0000;

/// What /proc/PID/stat tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    /// The command name, at most 15 bytes in the kernel; bytes that aren't UTF-8 are replaced.
    pub(crate) comm: String,
    /// Whether it is a kernel thread.
    pub(crate) is_kernel_thread: bool,
    /// User and system time in clock ticks.
    pub(crate) cpu_ticks: u64,
    /// Start time in clock ticks since boot: with the pid it names a process for good.
    pub(crate) start_time: u64,
}

/// Parses /proc/PID/stat. The command name may hold anything, closing parentheses and newlines included, so it
/// ends at the last one.
pub(crate) fn parse_stat(bytes: &[u8]) -> Option<Stat> {
    let open = bytes.iter().position(|&byte| byte == b'(')?;
    let close = bytes.iter().rposition(|&byte| byte == b')')?;
    let comm = String::from_utf8_lossy(bytes.get(open.checked_add(1)?..close)?).into_owned();
    let rest = std::str::from_utf8(bytes.get(close.checked_add(1)?..)?).ok()?;
    // The fields after the name: state is number 3 in proc(5), so number N stands at N - 3 here.
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number.checked_sub(3)?)?.parse::<u64>().ok();
    Some(Stat {
        comm,
        is_kernel_thread: field(9)? & PF_KTHREAD != 0,
        cpu_ticks: field(14)?.saturating_add(field(15)?),
        start_time: field(22)?,
    })
}

/// The lines of /proc/PID/cgroup as (hierarchy id, controllers, path). A path may hold colons.
pub(crate) fn cgroup_lines(text: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    text.lines().filter_map(|line| {
        let (id, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        // A cgroup that was removed under its last dying process.
        Some((id, controllers, path.strip_suffix(" (deleted)").unwrap_or(path)))
    })
}

/// Resident memory from /proc/PID/statm: its second field, in pages.
pub(crate) fn parse_resident(text: &str, page_size: u64) -> Option<Bytes> {
    let pages: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(Bytes(pages.saturating_mul(page_size)))
}

/// Busy time of all CPUs from the first line of /proc/stat: user, nice, system, irq and softirq. Guest time is
/// inside user; idle, iowait and steal aren't ours.
pub(crate) fn parse_busy(text: &str, ticks_per_second: u64) -> Option<CpuTime> {
    let line = text.lines().next()?.strip_prefix("cpu ")?;
    let fields: Vec<u64> = line.split_ascii_whitespace().map_while(|field| field.parse().ok()).collect();
    let ticks = [0, 1, 2, 5, 6]
        .iter()
        .filter_map(|&index| fields.get(index))
        .try_fold(0_u64, |sum, &field| sum.checked_add(field))?;
    (fields.len() >= 4).then(|| from_ticks(ticks, ticks_per_second))
}

/// Clock ticks as CPU time.
pub(crate) fn from_ticks(ticks: u64, ticks_per_second: u64) -> CpuTime {
    let nanos = u128::from(ticks) * 1_000_000_000 / u128::from(ticks_per_second.max(1));
    CpuTime::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// Total and free-for-use memory from /proc/meminfo: `MemTotal` and `MemAvailable`.
pub(crate) fn parse_meminfo(text: &str) -> Option<(Bytes, Bytes)> {
    let value = |key: &str| {
        let line = text.lines().find(|line| line.starts_with(key))?;
        let kibibytes: u64 = line.get(key.len()..)?.split_ascii_whitespace().next()?.parse().ok()?;
        Some(Bytes(kibibytes.saturating_mul(1024)))
    };
    Some((value("MemTotal:")?, value("MemAvailable:").or_else(|| value("MemFree:"))?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stat_of_a_process_with_a_hostile_name() {
        let line = b"42 (a) b (\xff) S 1 42 42 0 -1 4194304 100 0 0 0 7 5 0 0 20 0 1 0 12345 1000 100";
        let stat = parse_stat(line).unwrap();
        assert_eq!(stat.comm, "a) b (\u{fffd}");
        assert_eq!((stat.cpu_ticks, stat.start_time, stat.is_kernel_thread), (12, 12345, false));
    }

    #[test]
    fn kthreadd_is_a_kernel_thread() {
        let line =
            b"2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 23 0 0 18446744073709551615 0";
        assert!(parse_stat(line).unwrap().is_kernel_thread);
    }

    #[test]
    fn a_truncated_stat_is_no_stat() {
        for line in [&b""[..], b"42", b"42 (x", b"42 (x)", b")(", b"42 (x) S 1 2 3"] {
            assert_eq!(parse_stat(line), None);
        }
    }

    #[test]
    fn cgroup_lines_keep_colons_in_paths() {
        let text =
            "3:cpu,cpuacct:/a:b\n1:name=systemd:/x\n0::/kubepods.slice:cri-containerd:ff (deleted)\nbad\n";
        let lines: Vec<_> = cgroup_lines(text).collect();
        assert_eq!(
            lines,
            [
                ("3", "cpu,cpuacct", "/a:b"),
                ("1", "name=systemd", "/x"),
                ("0", "", "/kubepods.slice:cri-containerd:ff")
            ]
        );
    }

    #[test]
    fn busy_time_leaves_out_idle_iowait_and_steal() {
        let text = "cpu  100 10 50 9000 800 3 2 700 40 0\ncpu0 1 1 1 1\n";
        assert_eq!(parse_busy(text, 100), Some(CpuTime::from_nanos(1_650_000_000)));
        assert_eq!(parse_busy("cpu", 100), None);
        assert_eq!(parse_busy("", 100), None);
    }

    #[test]
    fn memory_sizes() {
        let text = "MemTotal:       24620000 kB\nMemFree: 1 kB\nMemAvailable:   20000000 kB\n";
        let (total, available) = parse_meminfo(text).unwrap();
        assert_eq!((total.0, available.0), (24_620_000 * 1024, 20_000_000 * 1024));
        assert_eq!(parse_resident("1000 20 3 4 0 5 0\n", 4096), Some(Bytes(81_920)));
        assert_eq!(parse_resident("", 4096), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse_stat(&bytes);
            let text = String::from_utf8_lossy(&bytes);
            let _ = cgroup_lines(&text).count();
            let _ = parse_resident(&text, 4096);
            let _ = parse_busy(&format!("cpu  {text}"), 100);
            let _ = parse_meminfo(&format!("MemTotal: {text}"));
        }
    }
}
