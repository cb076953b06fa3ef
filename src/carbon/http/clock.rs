//! Times in the headers of answers.

use std::time::Duration;

use jiff::fmt::rfc2822::DateTimeParser;

use crate::carbon::schedule::LONGEST_RETRY_AFTER;
use crate::units::UnixTime;

/// Clocks that agree may seem this far apart: a round of requests takes time, and so do caches.
const TOLERANCE: Duration = Duration::from_secs(300);

/// How far the clock of an answer's maker is off `now`, if by more than 5 min.
pub(super) fn clock_skew(answer_date: UnixTime, now: UnixTime) -> Option<Duration> {
    let skew = answer_date.since(now).max(now.since(answer_date));
    (skew > TOLERANCE).then_some(skew)
}

/// What the clock of an answer's maker says now: the `Date` header, with the time that a cache kept the answer (RFC 9111,
/// 5.1) on top.
pub(super) fn answer_date(date: &str, age: Option<&str>) -> Option<UnixTime> {
    let age = age.and_then(|age| age.trim().parse().ok()).map_or(Duration::ZERO, Duration::from_secs);
    Some(http_date(date)?.after(age))
}

/// What a `Retry-After` header (RFC 9110, 10.2.3) asks for: seconds, or a date, which `now` is compared with. Never more
/// than an hour.
pub(super) fn retry_after(value: &str, now: Option<UnixTime>) -> Option<Duration> {
    let value = value.trim();
    let asked_for = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More seconds than a number can hold are very many.
        value.parse().map_or(Duration::MAX, Duration::from_secs)
    } else {
        http_date(value)?.since(now?)
    };
    Some(asked_for.min(LONGEST_RETRY_AFTER))
}

/// A date as HTTP has them (RFC 9110, 5.6.7); that form is one of RFC 2822's.
fn http_date(text: &str) -> Option<UnixTime> {
    let date = DateTimeParser::new().relaxed_weekday(true).parse_timestamp(text.trim()).ok()?;
    u64::try_from(date.as_millisecond()).ok().map(UnixTime::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The RFC's own example.
    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const NOW: UnixTime = UnixTime::from_seconds(784_111_777);

    #[test]
    fn dates_are_those_of_http() {
        assert_eq!(http_date(DATE), Some(NOW));
        assert_eq!(http_date("Mon, 06 Nov 1994 08:49:37 GMT"), Some(NOW));
        for bad in ["", "now", "Sun, 06 Nov 1894 08:49:37 GMT", "1994-11-06T08:49:37Z", "784111777"] {
            assert_eq!(http_date(bad), None, "{bad}");
        }
        assert_eq!(answer_date(DATE, None), Some(NOW));
        assert_eq!(answer_date(DATE, Some(" 600 ")), Some(NOW.after(Duration::from_secs(600))));
        assert_eq!(answer_date(DATE, Some("old")), Some(NOW));
        assert_eq!(answer_date(DATE, Some("18446744073709551615")), Some(UnixTime::MAX));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_an_hour_at_most() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (value, asked_for) in [
            ("0", seconds(0)),
            (" 120 ", seconds(120)),
            ("3601", seconds(3600)),
            ("18446744073709551615", seconds(3600)),
            ("99999999999999999999999", seconds(3600)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", seconds(60)),
            ("Sun, 06 Nov 1994 07:00:00 GMT", seconds(0)),
            ("Mon, 07 Nov 1994 08:49:37 GMT", seconds(3600)),
            ("", None),
            ("-1", None),
            ("+5", None),
            ("1.5", None),
            ("soon", None),
        ] {
            assert_eq!(retry_after(value, Some(NOW)), asked_for, "{value:?}");
        }
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:50:37 GMT", None), None);
    }

    #[test]
    fn skew_beyond_five_minutes_is_told_either_way() {
        let off = Duration::from_secs(301);
        assert_eq!(clock_skew(NOW.after(off), NOW), Some(off));
        assert_eq!(clock_skew(NOW.before(off), NOW), Some(off));
        assert_eq!(clock_skew(NOW.after(TOLERANCE), NOW), None);
        assert_eq!(clock_skew(NOW.before(TOLERANCE), NOW), None);
    }
}
