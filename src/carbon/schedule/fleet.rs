//! What a fleet of 10,000 nodes does to a provider, or to a relay, in virtual time: the figures of the documentation.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::*;

const NODES: usize = 10_000;
const PACE: Pace = Pace { period: Duration::from_secs(300), floor: Duration::from_secs(60) };
const SPREAD: Duration = Duration::from_secs(60);
const MINUTE: Duration = Duration::from_secs(60);
const START: UnixTime = UnixTime::from_seconds(1_767_225_600);
/// When the provider fails, and when it is back.
const DOWN: UnixTime = UnixTime::from_seconds(1_767_225_600 + 7_200);
const UP: UnixTime = UnixTime::from_seconds(1_767_225_600 + 9_000);
const END: UnixTime = UnixTime::from_seconds(1_767_225_600 + 4 * 3_600);

type Outcome = Result<(), FetchError>;
/// What a failing provider asks for at a moment.
type RetryAfter = fn(UnixTime) -> Option<Duration>;

/// When a provider was asked by nodes that all start at the same moment and get these answers.
fn asked_by(nodes: usize, kept: bool, answer: impl Fn(UnixTime) -> Outcome) -> Vec<UnixTime> {
    let mut schedules: Vec<Schedule> = (0..nodes)
        .map(|number| {
            let identity = identity(&[&format!("rack{}-node{number}.example", number / 40), "neso", "GB"]);
            Schedule::new(PACE, identity, Rng::with_seed(identity.rotate_left(32)))
        })
        .collect();
    let firsts = schedules.iter().map(|schedule| START.after(schedule.first(kept, SPREAD)));
    let mut queue: BinaryHeap<_> = firsts.enumerate().map(|(node, at)| Reverse((at, node))).collect();
    let mut latency = Rng::with_seed(7);
    let mut asked = Vec::new();
    while let Some(Reverse((at, node))) = queue.pop().filter(|Reverse((at, _))| *at < END) {
        asked.push(at);
        let done = at.after(Duration::from_millis(latency.u64(20..800)));
        let wait = schedules[node].next(at, done, answer(at).as_ref().err());
        queue.push(Reverse((done.after(wait), node)));
    }
    asked
}

/// Requests per second in some stretch of time.
#[derive(Debug)]
struct Load {
    peak_second: f64,
    peak_minute: f64,
    mean: f64,
}

impl Load {
    fn of(asked: &[UnixTime], from: UnixTime, to: UnixTime) -> Self {
        let asked: Vec<UnixTime> = asked.iter().copied().filter(|at| (from..to).contains(at)).collect();
        let most_within = |window: Duration| {
            let mut first = 0;
            let counts = asked.iter().enumerate().map(|(last, at)| {
                while at.since(asked[first]) >= window {
                    first += 1;
                }
                last - first + 1
            });
            counts.max().unwrap_or(0) as f64 / window.as_secs_f64()
        };
        Self {
            peak_second: most_within(Duration::from_secs(1)),
            peak_minute: most_within(MINUTE),
            mean: asked.len() as f64 / to.since(from).as_secs_f64(),
        }
    }

    fn print(&self, what: &str) {
        println!("| {what} | {:.0} | {:.1} | {:.2} |", self.peak_second, self.peak_minute, self.mean);
    }

    fn is_within(&self, other: &Self) -> bool {
        self.peak_second <= other.peak_second && self.peak_minute <= other.peak_minute
    }
}

fn while_down(at: UnixTime, result: FetchResult, retry_after: Option<Duration>) -> Outcome {
    let error = FetchError { retry_after, ..FetchError::new(result, "") };
    if (DOWN..UP).contains(&at) { Err(error) } else { Ok(()) }
}

#[test]
fn a_fleet_is_bearable() {
    println!("| | peak of 1 s, requests/s | peak of 60 s, requests/s | mean, requests/s |");
    let mean = NODES as f64 / PACE.period.as_secs_f64();
    let direct = asked_by(NODES, false, |_| Ok(()));

    let cold = Load::of(&direct, START, START.after(SPREAD));
    cold.print("10,000 nodes start at once, the first 60 s");
    assert!(cold.peak_second <= 2.0 * NODES as f64 / SPREAD.as_secs_f64());
    assert!(cold.peak_minute <= NODES as f64 / SPREAD.as_secs_f64());
    let settling = Load::of(&direct, START.after(SPREAD), START.after(PACE.period));
    settling.print("the rest of the first period");
    assert!(settling.peak_second <= 2.0 * mean && settling.peak_minute <= 1.2 * mean);
    let steady = Load::of(&direct, START.after(PACE.period), END);
    steady.print("then, for hours");
    assert!((steady.mean - mean).abs() < 0.02 * mean, "{steady:?}");
    assert!(steady.peak_second <= 2.0 * mean && steady.peak_minute <= 1.2 * mean, "{steady:?}");

    let kept = asked_by(NODES, true, |_| Ok(()));
    let restart = Load::of(&kept, START, START.after(PACE.period * 2));
    restart.print("all restart at once with kept data, the first 10 min");
    assert!(restart.peak_second <= 3.0 * mean && restart.peak_minute <= 2.2 * mean, "{restart:?}");

    let outages: [(&str, FetchResult, RetryAfter); 4] = [
        ("HTTP 500", FetchResult::Server, |_| None),
        ("HTTP 429", FetchResult::RateLimited, |_| None),
        ("HTTP 429 with Retry-After: 120", FetchResult::RateLimited, |_| Some(Duration::from_secs(120))),
        ("HTTP 429 with Retry-After: the same moment for all", FetchResult::RateLimited, |at| {
            Some(UP.since(at))
        }),
    ];
    for (what, result, retry_after) in outages {
        let asked = asked_by(NODES, false, |at| while_down(at, result, retry_after(at)));
        let during = Load::of(&asked, DOWN, UP);
        during.print(&format!("30 min of {what}: during"));
        let after = Load::of(&asked, UP, UP.after(PACE.period * 3));
        after.print(&format!("30 min of {what}: the 15 min after"));
        assert!(during.is_within(&cold), "{what}: {during:?}");
        assert!(after.is_within(&cold), "{what}: {after:?}");
        // After the longest back-off everybody has found out.
        let later = Load::of(&asked, UP.after(LONGEST_BACK_OFF + PACE.floor + PACE.period), END);
        assert!((later.mean - mean).abs() < 0.02 * mean, "{what}: {later:?}");
    }

    let down_at_start = asked_by(NODES, false, |at| {
        if at < DOWN { Err(FetchError::new(FetchResult::Server, "")) } else { Ok(()) }
    });
    let load = Load::of(&down_at_start, START, START.after(PACE.period));
    load.print("10,000 nodes start at once while it fails, the first 5 min");
    assert!(load.is_within(&cold), "{load:?}");

    for result in [FetchResult::Auth, FetchResult::NotFound] {
        let wrong = asked_by(NODES, false, |_| Err(FetchError::new(result, "")));
        let load = Load::of(&wrong, START.after(MINUTE * 30), END);
        load.print(&format!("10,000 nodes with `{}`, for hours", result.as_str()));
        assert!(load.mean < NODES as f64 / 3_300.0, "{load:?}");
    }
}

#[test]
fn behind_a_relay_a_provider_sees_one_client() {
    // The nodes ask the relay just as they would ask a provider, so what the relay sees is above.
    for (what, result) in [("HTTP 500", FetchResult::Server), ("HTTP 429", FetchResult::RateLimited)] {
        let asked = asked_by(1, false, |at| while_down(at, result, None));
        let count = |from: UnixTime, to: UnixTime| asked.iter().filter(|at| (from..to).contains(*at)).count();
        let (steady, down) = (count(START, DOWN), count(DOWN, UP));
        println!("the relay's provider: {steady} requests in 2 h, then {down} in 30 min of {what}");
        assert!(steady <= 1 + 7_200 / 300);
        // The floor alone would let 30 through.
        assert!((3..20).contains(&down), "{down}");
        let spacings = asked.windows(2).map(|pair| pair[1].since(pair[0]));
        assert!(spacings.min().unwrap() >= PACE.floor);
    }
}
