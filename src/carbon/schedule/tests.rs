use super::*;

const NOW: UnixTime = UnixTime::from_seconds(1_767_225_600);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

fn pace(period: u64, floor: u64) -> Pace {
    Pace { period: Duration::from_secs(period), floor: Duration::from_secs(floor) }
}

fn schedule(pace: Pace, node: &str) -> Schedule {
    let identity = identity(&[node, "neso", "GB"]);
    Schedule::new(pace, identity, Rng::with_seed(identity ^ 1))
}

fn failed(result: FetchResult) -> FetchError {
    FetchError::new(result, "no")
}

fn nodes() -> impl Iterator<Item = String> {
    (0..200).map(|number| format!("node{number:05}"))
}

/// The shortest and the longest wait that the nodes have after these failures in a row.
fn waits(pace: Pace, succeeded: bool, error: &FetchError, times: u32) -> (Duration, Duration) {
    let waits = nodes().map(|node| {
        let mut schedule = schedule(pace, &node);
        if succeeded {
            schedule.next(NOW, NOW, None);
        }
        (0..times).map(|_| schedule.next(NOW, NOW, Some(error))).last().unwrap()
    });
    waits.fold((Duration::MAX, Duration::ZERO), |(low, high), wait| (low.min(wait), high.max(wait)))
}

#[test]
fn the_identity_is_fnv_1a() {
    // The offset basis, and the algorithm by hand for a letter and the zero byte that ends each part.
    assert_eq!(identity(&[]), 0xcbf2_9ce4_8422_2325);
    assert_eq!(identity(&["a"]), 0x089b_e207_b544_f1e4);
    assert_ne!(identity(&["ab", "c"]), identity(&["a", "bc"]));
}

#[test]
fn the_steady_turn_is_the_same_moment_of_every_period() {
    for (period, floor) in [(300, 60), (300, 300), (1800, 1800), (60, 1), (1, 1), (300, 0)] {
        for node in nodes() {
            let mut schedule = schedule(pace(period, floor), &node);
            let mut at = NOW;
            let mut begun = Vec::new();
            for _ in 0..20 {
                let done = at.after(Duration::from_millis(40));
                begun.push(at);
                at = done.after(schedule.next(at, done, None)).after(Duration::from_millis(2));
            }
            let spacings: Vec<Duration> = begun.windows(2).map(|pair| pair[1].since(pair[0])).collect();
            assert!(spacings.iter().all(|gap| *gap >= Duration::from_secs(floor)), "{spacings:?}");
            // Where the floor leaves no room, a turn may be left out once in a long while, but not each second one.
            let odd =
                spacings[2..].iter().filter(|gap| gap.as_millis().abs_diff(u128::from(period) * 1000) > 2);
            assert!(odd.count() <= usize::from(period == floor), "{spacings:?}");
            let phase = begun[19].as_millis() % (period * 1000);
            let late = (phase + period * 1000 - millis(schedule.phase)) % (period * 1000);
            assert!(late <= 40 || period == floor, "{late} ms after the turn");
        }
    }
}

#[test]
fn the_floor_holds_after_anything_that_was_asked() {
    let all = [
        FetchResult::Empty,
        FetchResult::Auth,
        FetchResult::RateLimited,
        FetchResult::Server,
        FetchResult::Timeout,
        FetchResult::Decode,
        FetchResult::NotFound,
    ];
    for result in all {
        for succeeded in [true, false] {
            let (low, _) = waits(pace(300, 200), succeeded, &failed(result), 1);
            assert!(low >= Duration::from_secs(200), "{result:?}: {low:?}");
        }
    }
}

#[test]
fn a_start_is_spread_by_node() {
    let first = |has_data, spread| {
        let firsts: Vec<Duration> =
            nodes().map(|node| schedule(pace(1800, 60), &node).first(has_data, spread)).collect();
        (*firsts.iter().min().unwrap(), *firsts.iter().max().unwrap())
    };
    let (low, high) = first(false, MINUTE);
    assert!(low < MINUTE / 10 && high > MINUTE * 9 / 10 && high < MINUTE);
    let (low, high) = first(true, MINUTE);
    assert!(low < KEPT_SPREAD / 10 && high > KEPT_SPREAD * 9 / 10 && high < KEPT_SPREAD);
    assert_eq!(first(false, Duration::ZERO), (Duration::ZERO, Duration::ZERO));
    let short = schedule(pace(60, 1), "a").first(true, HOUR);
    assert!(short < MINUTE);
    assert_eq!(short, schedule(pace(60, 1), "a").first(true, HOUR));
}

#[test]
fn back_off_doubles_up_to_a_quarter_of_an_hour_and_starts_anew_after_success() {
    let error = failed(FetchResult::Server);
    for (times, longest) in [(1, 5), (2, 10), (3, 20), (4, 40), (8, 640), (9, 900), (40, 900), (100, 900)] {
        let (low, high) = waits(pace(300, 1), true, &error, times);
        let longest = Duration::from_secs(longest);
        assert!(low < Duration::from_secs(1) + longest / 10, "{times}: {low:?}");
        assert!(high > longest * 9 / 10 && high <= longest + Duration::from_secs(1), "{times}: {high:?}");
    }
    let mut schedule = schedule(pace(300, 1), "a");
    for _ in 0..20 {
        schedule.next(NOW, NOW, Some(&error));
    }
    schedule.next(NOW, NOW, None);
    assert!(schedule.next(NOW, NOW, Some(&error)) <= Duration::from_secs(6));
}

#[test]
fn what_the_provider_asks_for_is_obeyed_up_to_an_hour_and_jittered() {
    for result in [FetchResult::RateLimited, FetchResult::Server] {
        for (asked_for, least) in
            [(0, 60), (30, 60), (600, 600), (3600, 3600), (86_400, 3600), (u64::MAX, 3600)]
        {
            let asked_for = Some(Duration::from_secs(asked_for));
            let error = FetchError { retry_after: asked_for, ..failed(result) };
            let (low, high) = waits(pace(300, 60), true, &error, 1);
            let least = Duration::from_secs(least);
            assert!(low >= least && low < least + KEPT_SPREAD / 10, "{low:?}");
            assert!(high > least + KEPT_SPREAD * 9 / 10 && high <= least + KEPT_SPREAD, "{high:?}");
        }
    }
}

#[test]
fn what_somebody_must_mend_is_asked_once_an_hour() {
    for result in [
        FetchResult::Auth,
        FetchResult::Forbidden,
        FetchResult::NotFound,
        FetchResult::Rejected,
        FetchResult::ZoneMismatch,
        FetchResult::Redirect,
    ] {
        let (low, high) = waits(pace(300, 60), false, &failed(result), 1);
        assert!(low >= HOUR * 3 / 4 && low < HOUR * 4 / 5, "{result:?}: {low:?}");
        assert!(high > HOUR * 6 / 5 && high <= HOUR * 5 / 4, "{result:?}: {high:?}");
    }
    // A source that is asked less often anyway isn't asked more often now.
    let (low, _) = waits(pace(6 * 3600, 6 * 3600), false, &failed(FetchResult::NotFound), 1);
    assert!(low >= 6 * HOUR);
}

#[test]
fn a_missing_file_is_looked_for_within_a_minute() {
    for times in [1, 30] {
        let (low, high) = waits(pace(300, 300), true, &failed(FetchResult::File), times);
        assert!(low >= Duration::from_secs(45) && high <= MINUTE && high > low);
    }
    let (_, high) = waits(pace(10, 1), true, &failed(FetchResult::File), 1);
    assert!(high <= Duration::from_secs(10));
}

#[test]
fn a_credential_that_was_good_is_tried_again_soon_but_not_for_ever() {
    let error = failed(FetchResult::Auth);
    let (_, high) = waits(pace(300, 1), true, &error, 1);
    assert!(high > Duration::from_secs(270) && high <= Duration::from_secs(301));
    let (_, high) = waits(pace(300, 1), true, &error, 7);
    assert!(high <= Duration::from_secs(321));
    let (_, high) = waits(pace(300, 1), true, &failed(FetchResult::RateLimited), 1);
    assert!(high > Duration::from_secs(270) && high <= Duration::from_secs(301));
    let (low, _) = waits(pace(300, 1), true, &error, 8);
    assert!(low >= HOUR * 3 / 4);
    // An answer without a value shows nothing of the credential.
    let mut schedule = schedule(pace(300, 1), "a");
    schedule.next(NOW, NOW, Some(&failed(FetchResult::Empty)));
    assert!(schedule.next(NOW, NOW, Some(&error)) >= HOUR * 3 / 4);
}

#[test]
fn an_answer_without_a_value_waits_for_the_next_turn() {
    let (mut one, mut other) = (schedule(pace(300, 60), "a"), schedule(pace(300, 60), "a"));
    let empty = failed(FetchResult::Empty);
    assert_eq!(one.next(NOW, NOW, Some(&empty)), other.next(NOW, NOW, None));
}

#[test]
fn a_wall_clock_that_steps_neither_silences_nor_hurries() {
    let day = Duration::from_secs(86_400);
    let clocks = [
        (NOW, NOW.after(day)),
        (NOW, NOW.before(day)),
        (NOW, NOW.after(LONGEST_ROUND)),
        (NOW, UnixTime::default()),
        (UnixTime::default(), NOW),
        (UnixTime::default(), UnixTime::default()),
        (NOW, UnixTime::MAX),
        (UnixTime::MAX, UnixTime::MAX),
        (UnixTime::MAX, NOW),
    ];
    for (asked, now) in clocks {
        let mut schedule = schedule(pace(300, 60), "a");
        let wait = schedule.next(asked, now, None);
        assert!(wait <= Duration::from_secs(360), "{asked:?} {now:?}: {wait:?}");
        let longer_than_the_floor = asked < now && now.since(asked) <= LONGEST_ROUND;
        assert!(longer_than_the_floor || wait >= MINUTE, "{asked:?} {now:?}: {wait:?}");
        let wait = schedule.next(asked, now, Some(&failed(FetchResult::Server)));
        assert!(wait >= MINUTE && wait <= Duration::from_secs(65));
    }
}
