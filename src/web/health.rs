//! Whether the daemon is alive (the sampler makes progress) and ready (there is something to show).

use std::time::Duration;

use crate::snapshot::Snapshot;

/// How long the first snapshot may take.
const START_UP: Duration = Duration::from_secs(10);

/// The least age at which a snapshot counts as stale.
const STALE_AT_LEAST: Duration = Duration::from_secs(5);

/// Whether a snapshot is new enough to say that the sampler makes progress: not older than three intervals, or 5 s.
pub fn is_fresh(now: Duration, snapshot: &Snapshot) -> bool {
    healthy(now, now, Some(snapshot)).is_ok()
}

/// Judges the progress of the sampler: `now` and `started` (when serving began) are on the snapshot's own
/// monotonic clock. The error says what is wrong.
pub(super) fn healthy(now: Duration, started: Duration, latest: Option<&Snapshot>) -> Result<String, String> {
    let (age, limit, what) = match latest {
        Some(snapshot) => {
            let limit = snapshot.interval.saturating_mul(3).max(STALE_AT_LEAST);
            (now.saturating_sub(snapshot.monotonic), limit, "last snapshot is")
        }
        None => (now.saturating_sub(started), START_UP, "no snapshot yet, started"),
    };
    let said = format!("{what} {:.1} s ago\n", age.as_secs_f64());
    if age <= limit { Ok(said) } else { Err(said) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::fixture;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_stalled_sampler_is_unhealthy() {
        // (interval, age, healthy)
        for (interval, age, expected) in [
            (s(1), s(0), true),
            (s(1), s(5), true),
            (s(1), s(6), false),
            (Duration::from_millis(100), s(5), true),
            (Duration::from_millis(100), s(6), false),
            (s(60), s(180), true),
            (s(60), s(181), false),
        ] {
            let mut snapshot = fixture::snapshot();
            snapshot.interval = interval;
            snapshot.monotonic = s(100);
            let answer = healthy(s(100) + age, s(0), Some(&snapshot));
            assert_eq!(answer.is_ok(), expected, "{interval:?} {age:?} {answer:?}");
        }
    }

    #[test]
    fn a_snapshot_from_after_now_is_fresh() {
        let mut snapshot = fixture::snapshot();
        snapshot.monotonic = s(101);
        assert!(healthy(s(100), s(0), Some(&snapshot)).is_ok());
    }

    #[test]
    fn the_first_snapshot_has_ten_seconds() {
        assert!(healthy(s(20), s(10), None).is_ok());
        assert_eq!(healthy(s(21), s(10), None).unwrap_err(), "no snapshot yet, started 11.0 s ago\n");
    }
}
