//! Turns utilisation samples of processes into work, and keeps the time that samples are asked for from.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::meters::Tick;

/// Without samples for this long, the time to ask from is moved on: the first sample of a new process would else
/// be its mean over all the time since.
const IDLE_AFTER: Duration = Duration::from_secs(5);
/// How far behind the present it is kept then.
const BEHIND: Duration = Duration::from_secs(2);
/// A device that works this long without any sample has a clock that went back: samples are asked for anew.
const LOST_AFTER: Duration = Duration::from_secs(30);
/// How much longer than the time since the last reading a sample may cover: samples come in steps.
const SLACK: Duration = Duration::from_secs(1);
/// So many steps between samples tell their usual length.
const ENOUGH_STEPS: usize = 3;
/// What the first sample after the start stands for.
const FIRST: Duration = Duration::from_secs(1);

/// One sample of `nvmlDeviceGetProcessUtilization`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct UtilSample {
    /// The process.
    pub(super) pid: u32,
    /// Microseconds on the driver's clock.
    pub(super) at: u64,
    /// The share of the time since the sample before in which a kernel ran, in percent.
    pub(super) sm: u32,
}

impl UtilSample {
    /// Contexts of dead processes show values above 100, and pid 0 is nobody.
    fn is_believable(&self) -> bool {
        self.pid != 0 && self.sm <= 100
    }
}

/// The work of processes since `last_seen`, in percent times microseconds; only pids that worked, by pid. A pid's
/// first sample counts from `last_seen`, or for `unseen` microseconds where that is 0; no sample counts for more
/// than `longest` microseconds.
pub(super) fn work(
    mut samples: Vec<UtilSample>,
    last_seen: u64,
    unseen: u64,
    longest: u64,
) -> Vec<(u32, u64)> {
    samples.retain(UtilSample::is_believable);
    samples.sort_unstable();
    let longest = step(&samples).map_or(longest, |step| longest.min(step.saturating_add(step / 2)));
    let mut sums: BTreeMap<u32, u64> = BTreeMap::new();
    let mut before: Option<UtilSample> = None;
    for sample in samples {
        let span = match before.filter(|before| before.pid == sample.pid) {
            Some(before) => sample.at.saturating_sub(before.at),
            None if last_seen == 0 => unseen,
            None => sample.at.saturating_sub(last_seen),
        };
        let done = u64::from(sample.sm).saturating_mul(span.min(longest));
        if done > 0 {
            let sum = sums.entry(sample.pid).or_default();
            *sum = sum.saturating_add(done);
        }
        before = Some(sample);
    }
    sums.into_iter().collect()
}

/// The usual time between two samples of a process, where some have several: then one that follows a pause stands
/// for no more than that. `samples` are in order.
fn step(samples: &[UtilSample]) -> Option<u64> {
    let pairs = samples.iter().zip(samples.iter().skip(1));
    let mut steps: Vec<u64> = pairs
        .filter(|(before, after)| before.pid == after.pid && before.at < after.at)
        .map(|(before, after)| after.at - before.at)
        .collect();
    steps.sort_unstable();
    // Two samples of a pid may be close by chance.
    (steps.len() >= ENOUGH_STEPS).then(|| steps.get(steps.len() / 2).copied()).flatten()
}

/// Follows the samples of one device.
#[derive(Debug, Default)]
pub(super) struct WorkMeter {
    /// The newest sample's time on the driver's clock, and when it came.
    newest: Option<(u64, Duration)>,
    looked: Option<Duration>,
    dry_since: Option<Duration>,
}

impl WorkMeter {
    /// The time to ask for samples from, on the driver's clock; 0 while none is known.
    pub(super) fn last_seen(&self, now: Tick) -> u64 {
        let Some((newest, came)) = self.newest else {
            return 0;
        };
        let idle = now.boottime.saturating_sub(came);
        if idle < IDLE_AFTER {
            return newest;
        }
        newest.saturating_add(micros(idle.saturating_sub(BEHIND)))
    }

    /// Notes a tick in which nobody was asked for samples, as nobody worked.
    pub(super) fn rest(&mut self, now: Tick) {
        self.looked = Some(now.boottime);
        self.dry_since = None;
    }

    /// Takes the samples that were asked for from `last_seen` on in the reading of `now`, and gives the work in
    /// them. `device_works`: whether the device itself says that it works; `came`: when the answer was there.
    pub(super) fn take(
        &mut self,
        samples: Vec<UtilSample>,
        last_seen: u64,
        device_works: bool,
        now: Tick,
        came: Tick,
    ) -> Vec<(u32, u64)> {
        let passed = self.looked.map_or(FIRST, |looked| now.boottime.saturating_sub(looked));
        self.looked = Some(now.boottime);
        let newest = samples.iter().filter(|sample| sample.is_believable()).map(|sample| sample.at).max();
        match newest {
            Some(newest) => {
                self.newest = Some((newest, came.boottime));
                self.dry_since = None;
            }
            None if device_works => {
                let since = *self.dry_since.get_or_insert(now.boottime);
                if now.boottime.saturating_sub(since) >= LOST_AFTER {
                    self.newest = None;
                    self.dry_since = None;
                }
            }
            None => self.dry_since = None,
        }
        work(samples, last_seen, micros(passed), micros(passed + SLACK))
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    use super::*;

    const SECOND: u64 = 1_000_000;

    fn sample(pid: u32, at: u64, sm: u32) -> UtilSample {
        UtilSample { pid, at, sm }
    }

    fn tick(millis: u64) -> Tick {
        let time = Duration::from_millis(millis);
        Tick { monotonic: time, boottime: time }
    }

    fn take(meter: &mut WorkMeter, samples: Vec<UtilSample>, works: bool, now: Tick) -> Vec<(u32, u64)> {
        let last_seen = meter.last_seen(now);
        meter.take(samples, last_seen, works, now, now)
    }

    #[test]
    fn a_slow_answer_is_as_young_as_its_end() {
        let mut meter = WorkMeter::default();
        take(&mut meter, vec![sample(7, 900 * SECOND, 50)], true, tick(0));
        let last_seen = meter.last_seen(tick(1_000));
        meter.take(vec![sample(7, 946 * SECOND, 50)], last_seen, true, tick(1_000), tick(46_000));
        assert_eq!(meter.last_seen(tick(47_000)), 946 * SECOND);
        for millis in (47_000..60_000).step_by(1_000) {
            let driver = 900 * SECOND + millis * 1_000;
            assert!(meter.last_seen(tick(millis)) < driver, "a time to come");
        }
    }

    #[test]
    fn a_sample_after_a_pause_stands_for_a_step() {
        let steady = (1..=6).map(|n| sample(7, 5 * SECOND + n * 150_000, 30));
        let burst = [sample(8, 5 * SECOND + 750_000, 60), sample(8, 5 * SECOND + 900_000, 60)];
        let work = work(steady.chain(burst).collect(), 5 * SECOND, SECOND, 2 * SECOND);
        // 6 x 150 ms at 30 %, and at 60 % a step and a half, then a step.
        assert_eq!(work, [(7, 30 * 900_000), (8, 60 * (225_000 + 150_000))]);
    }

    #[test]
    fn work_is_utilisation_times_time() {
        let long = 10 * SECOND;
        for (name, samples, last_seen, longest, expected) in [
            ("nothing", vec![], 5 * SECOND, long, vec![]),
            ("one", vec![sample(7, 6 * SECOND, 50)], 5 * SECOND, long, vec![(7, 50 * SECOND)]),
            (
                "several of a pid, in any order",
                vec![
                    sample(7, 6 * SECOND, 10),
                    sample(8, 6 * SECOND, 1),
                    sample(7, 5 * SECOND + 500_000, 90),
                ],
                5 * SECOND,
                long,
                vec![(7, 45 * SECOND + 5 * SECOND), (8, SECOND)],
            ),
            ("nothing seen before", vec![sample(7, 9_999 * SECOND, 50)], 0, long, vec![(7, 100 * SECOND)]),
            ("clamped", vec![sample(7, 9_999 * SECOND, 50)], SECOND, 3 * SECOND, vec![(7, 150 * SECOND)]),
            (
                "dead contexts and nobody",
                vec![sample(7, 6 * SECOND, 101), sample(0, 6 * SECOND, 50)],
                5,
                long,
                vec![],
            ),
            ("no work", vec![sample(7, 6 * SECOND, 0)], 5 * SECOND, long, vec![]),
            ("older than asked for", vec![sample(7, 4 * SECOND, 50)], 5 * SECOND, long, vec![]),
        ] {
            assert_eq!(work(samples, last_seen, 2 * SECOND, longest), expected, "{name}");
        }
    }

    #[test]
    fn samples_are_asked_for_from_the_newest_one() {
        let mut meter = WorkMeter::default();
        assert_eq!(meter.last_seen(tick(0)), 0);
        // The mean of a long time that the driver gives first stands for one second.
        assert_eq!(take(&mut meter, vec![sample(7, 900 * SECOND, 50)], true, tick(0)), [(7, 50 * SECOND)]);
        assert_eq!(meter.last_seen(tick(1_000)), 900 * SECOND);
        assert_eq!(
            take(&mut meter, vec![sample(7, 901 * SECOND, 20)], true, tick(1_000)),
            [(7, 20 * SECOND)]
        );
        assert_eq!(meter.last_seen(tick(2_000)), 901 * SECOND);
    }

    #[test]
    fn after_five_seconds_without_samples_only_the_last_two_are_asked_for() {
        let mut meter = WorkMeter::default();
        take(&mut meter, vec![sample(7, 900 * SECOND, 50)], true, tick(0));
        for (millis, expected) in [(4_999, 900 * SECOND), (5_000, 903 * SECOND), (60_000, 958 * SECOND)] {
            assert_eq!(meter.last_seen(tick(millis)), expected);
        }
        // A process that began half a second ago gets no more than that and the two seconds.
        let work = take(&mut meter, vec![sample(8, 960 * SECOND, 25)], true, tick(60_000));
        assert_eq!(work, [(8, 50 * SECOND)]);
    }

    #[test]
    fn a_clock_that_went_back_is_found_out_while_the_device_works() {
        let mut meter = WorkMeter::default();
        take(&mut meter, vec![sample(7, 9_000 * SECOND, 50)], true, tick(0));
        for second in 1..=60 {
            take(&mut meter, Vec::new(), false, tick(second * 1_000));
        }
        assert!(meter.last_seen(tick(60_000)) > 9_000 * SECOND);
        for second in 61..=91 {
            take(&mut meter, Vec::new(), true, tick(second * 1_000));
        }
        assert_eq!(meter.last_seen(tick(91_000)), 0);
    }

    proptest! {
        #[test]
        fn nobody_works_more_than_all_of_the_time(
            samples in prop::collection::vec((0u32..5, any::<u64>(), 0u32..200), 0..40),
            last_seen in any::<u64>(), unseen in 0u64..SECOND, longest in SECOND..10 * SECOND,
        ) {
            let samples: Vec<_> = samples.into_iter().map(|(pid, at, sm)| sample(pid, at, sm)).collect();
            let mut reversed = samples.clone();
            reversed.reverse();
            let done = work(samples.clone(), last_seen, unseen, longest);
            for &(pid, work) in &done {
                let count = samples.iter().filter(|sample| sample.pid == pid).count() as u64;
                prop_assert!(pid != 0 && work > 0 && work <= count * 100 * longest);
            }
            prop_assert!(done.is_sorted_by(|a, b| a.0 < b.0));
            prop_assert_eq!(done, work(reversed, last_seen, unseen, longest));
        }

        #[test]
        fn the_time_to_ask_from_stays_near_the_present(
            ticks in prop::collection::vec((any::<bool>(), 1u64..20_000), 1..60),
        ) {
            // The driver's clock is the daemon's plus a day; a sample comes at the time of the tick.
            let day = 86_400 * SECOND;
            let (mut meter, mut now, mut seen) = (WorkMeter::default(), 0, false);
            for (works, passed) in ticks {
                now += passed;
                let present = day + now * 1_000;
                let last_seen = meter.last_seen(tick(now));
                prop_assert_eq!(last_seen == 0, !seen);
                prop_assert!(last_seen <= present);
                prop_assert!(!seen || present - last_seen <= 5 * SECOND);
                let samples = if works { vec![sample(7, present, 100)] } else { Vec::new() };
                let done = take(&mut meter, samples, false, tick(now));
                prop_assert!(done.iter().all(|&(_, work)| work <= 100 * 5 * SECOND || !seen));
                seen |= works;
            }
        }
    }
}
