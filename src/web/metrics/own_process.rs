//! What the daemon itself uses, for the `process_*` families that every exporter has.

use procfs::ProcResult;
use procfs::process::{LimitValue, Process};

/// The daemon's own use of resources, from /proc/self.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OwnProcess {
    /// User and system CPU time in seconds, at the resolution of the kernel's clock tick.
    pub cpu_seconds: f64,
    /// Resident memory in bytes.
    pub resident_bytes: u64,
    /// Virtual memory in bytes.
    pub virtual_bytes: u64,
    /// Start time in seconds since the Unix epoch.
    pub start_time_seconds: f64,
    /// Threads.
    pub threads: i64,
    /// Open file descriptors.
    pub open_fds: usize,
    /// The soft limit of open file descriptors; absent where there is none.
    pub max_fds: Option<u64>,
}

impl OwnProcess {
    /// Reads it.
    ///
    /// # Errors
    /// Where /proc isn't mounted or a file there can't be parsed.
    // CPU time and boot time in seconds lie far below 2^53.
    #[allow(clippy::cast_precision_loss)]
    pub fn read() -> ProcResult<Self> {
        let process = Process::myself()?;
        let stat = process.stat()?;
        let ticks_per_second = procfs::ticks_per_second() as f64;
        Ok(Self {
            cpu_seconds: stat.utime.saturating_add(stat.stime) as f64 / ticks_per_second,
            resident_bytes: stat.rss.saturating_mul(procfs::page_size()),
            virtual_bytes: stat.vsize,
            start_time_seconds: procfs::boot_time_secs()? as f64 + stat.starttime as f64 / ticks_per_second,
            threads: stat.num_threads,
            open_fds: process.fd_count()?,
            max_fds: match process.limits()?.max_open_files.soft_limit {
                LimitValue::Value(limit) => Some(limit),
                LimitValue::Unlimited => None,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_of_this_process() {
        let own = OwnProcess::read().unwrap();
        assert!(own.resident_bytes > 100_000 && own.virtual_bytes >= own.resident_bytes, "{own:?}");
        assert!(own.threads >= 1 && own.open_fds >= 3, "{own:?}");
        // 2020-01-01, well after the epoch and before now.
        assert!(own.start_time_seconds > 1_577_836_800.0, "{own:?}");
    }
}
