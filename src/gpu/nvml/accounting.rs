//! Finds processes that lived and died between two ticks, where the driver keeps accounts of them.
//!
//! Accounting mode is never switched on here: that takes root and changes the node. Where an administrator has
//! it on, the driver keeps a ring of processes with their utilisation and, once they ended, the time in which their
//! context was active. The ring keeps only the last of processes with the same pid.

use std::collections::BTreeSet;
use std::time::Duration;

use nvml_wrapper::Device;
use nvml_wrapper::struct_wrappers::device::AccountingStats;

use crate::gpu::DeviceFailure;
use crate::gpu::nvml::latch::{self, Latch};
use crate::meters::Tick;

/// So many processes are looked up in a tick at most.
const MOST: usize = 64;
/// How much longer than the time since the last look a process may have lived: it may have begun while it was on.
const SLACK: Duration = Duration::from_secs(1);

/// The accounts of one device.
#[derive(Debug, Default)]
pub(super) struct Accounting {
    mode: Latch,
    pids: Latch,
    stats: Latch,
    is_on: bool,
    book: Book,
}

impl Accounting {
    /// Looks whether accounting is on.
    pub(super) fn look(&mut self, device: &Device<'_>, at: Duration) -> Result<(), DeviceFailure> {
        let is_on = self.mode.ask(at, || device.is_accounting_enabled())?.unwrap_or(false);
        if is_on != self.is_on {
            self.is_on = is_on;
            self.book = Book::default();
        }
        Ok(())
    }

    /// Work of processes that began and ended since the last look. `present`: those that are known otherwise, as
    /// they hold contexts or have samples.
    pub(super) fn recover(
        &mut self,
        device: &Device<'_>,
        present: &BTreeSet<u32>,
        now: Tick,
    ) -> Result<Vec<(u32, u64)>, DeviceFailure> {
        if !self.is_on {
            return Ok(Vec::new());
        }
        let at = now.boottime;
        let Some(pids) = self.pids.ask(at, || latch::list(|| device.accounting_pids()))? else {
            return Ok(Vec::new());
        };
        let longest = self.book.passed(at) + SLACK;
        let mut found = Vec::new();
        for pid in self.book.news(&pids, present, at).into_iter().take(MOST) {
            let call = || latch::list(|| device.accounting_stats_for(pid).map(|stats| vec![stats]));
            // None: it may be asked for again.
            let Some(stats) = self.stats.ask(at, call)? else {
                continue;
            };
            let ended = stats.first().is_none_or(|stats| !stats.is_running);
            if ended {
                self.book.close(pid);
                found.extend(stats.first().and_then(|stats| work(stats, longest)).map(|work| (pid, work)));
            }
        }
        Ok(found)
    }
}

/// The work of a process over its life, in percent times microseconds. A life that began before the last look
/// counts for the time since.
fn work(stats: &AccountingStats, longest: Duration) -> Option<u64> {
    let percent = stats.gpu_utilization.filter(|percent| *percent <= 100)?;
    let longest = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
    let work = u64::from(percent).saturating_mul(stats.time.saturating_mul(1_000).min(longest));
    (work > 0).then_some(work)
}

/// Which pids of the accounts are settled.
#[derive(Debug, Default)]
struct Book {
    settled: BTreeSet<u32>,
    looked: Option<Duration>,
}

impl Book {
    fn passed(&self, at: Duration) -> Duration {
        self.looked.map_or(Duration::ZERO, |looked| at.saturating_sub(looked))
    }

    /// Pids in the accounts that weren't there before and aren't known otherwise. At the first look all are old.
    fn news(&mut self, pids: &[u32], present: &BTreeSet<u32>, at: Duration) -> Vec<u32> {
        let listed: BTreeSet<u32> = pids.iter().copied().filter(|pid| *pid != 0).collect();
        if self.looked.replace(at).is_none() {
            self.settled = &listed | present;
            return Vec::new();
        }
        // What left the accounts may come back as another process; who is here now has samples of its own.
        self.settled.retain(|pid| listed.contains(pid));
        self.settled.extend(present);
        listed.difference(&self.settled).copied().collect()
    }

    fn close(&mut self, pid: u32) {
        self.settled.insert(pid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn present(pids: &[u32]) -> BTreeSet<u32> {
        pids.iter().copied().collect()
    }

    fn stats(gpu_utilization: Option<u32>, time: u64) -> AccountingStats {
        AccountingStats {
            gpu_utilization,
            is_running: false,
            max_memory_usage: None,
            memory_utilization: None,
            start_time: 0,
            time,
        }
    }

    #[test]
    fn only_pids_that_nobody_knew_are_news() {
        let mut book = Book::default();
        let look = |book: &mut Book, second, pids: &[u32], here: &[u32]| {
            book.news(pids, &present(here), Duration::from_secs(second))
        };
        assert!(look(&mut book, 0, &[1, 2], &[3]).is_empty());
        assert!(look(&mut book, 1, &[1, 2, 3, 0], &[]).is_empty());
        assert_eq!(look(&mut book, 2, &[2, 4, 5], &[5]), [4]);
        // It is news until it ended.
        assert_eq!(look(&mut book, 3, &[2, 4, 5], &[]), [4]);
        book.close(4);
        assert!(look(&mut book, 4, &[4, 5], &[]).is_empty());
        // The pid was thrown out of the ring, and came back.
        assert_eq!(look(&mut book, 5, &[4, 2], &[]), [2]);
    }

    #[test]
    fn work_of_a_life_is_bounded_by_the_time_since_the_last_look() {
        let longest = Duration::from_secs(2);
        for (utilization, time, expected) in [
            (Some(50), 400, Some(20_000_000)),
            (Some(50), 60_000, Some(100_000_000)),
            (Some(0), 400, None),
            (Some(50), 0, None),
            (Some(101), 400, None),
            (None, 400, None),
        ] {
            assert_eq!(work(&stats(utilization, time), longest), expected, "{utilization:?} {time}");
        }
    }
}
