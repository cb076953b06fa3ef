use super::*;
use crate::carbon::http::HttpClient;
use crate::carbon::providers::build;
use crate::carbon::providers::replay::{Replay, Reply};
use crate::config::Basis;

/// 2027-01-15T08:00:00Z: the moment of most tests.
pub(in crate::carbon::providers) const NOW: UnixTime = UnixTime::from_seconds(1_800_000_000);

/// The token that no message may tell.
const TOKEN: &str = "hunter2hunter2";

/// A source with a zone and what its values count.
pub(in crate::carbon::providers) fn entry(provider: ProviderKind) -> Source {
    let mut source = Source::new(provider);
    source.zone = Some("FR".to_owned());
    source.basis = Some(Basis::Direct);
    source
}

/// What an entry brings, as its first request goes.
pub(in crate::carbon::providers) fn fetch(source: &Source) -> Result<Fetched, FetchError> {
    let mut provider = build(source, Surroundings::default()).unwrap();
    provider.fetch(&HttpClient::new(None).unwrap(), NOW)
}

/// The kind and the text of the failure that an entry has.
pub(in crate::carbon::providers) fn failure(source: &Source) -> (FetchResult, String) {
    let error = fetch(source).unwrap_err();
    (error.result, error.text)
}

/// The slots of the only series, as (start, end) in seconds after [`NOW`], grams and quality.
pub(in crate::carbon::providers) fn slots(fetched: &Fetched) -> Vec<(i64, i64, f64, &'static str)> {
    let [GridSeries { slots, .. }] = &fetched.series[..] else { panic!("not one series: {fetched:?}") };
    let after = |time: UnixTime| {
        let seconds = |time: UnixTime| i64::try_from(time.as_millis() / 1000).unwrap();
        seconds(time) - seconds(NOW)
    };
    let slots = slots.slots().iter();
    slots.map(|slot| (after(slot.start), after(slot.end), slot.intensity.0, slot.quality.as_str())).collect()
}

/// The key and the text of what is wrong with an entry.
pub(in crate::carbon::providers) fn problem(source: &Source) -> (&'static str, String) {
    let error = build(source, Surroundings::default()).unwrap_err();
    (error.key, error.problem)
}

/// What every source that asks over HTTP owes: failures are told apart, and none tells the token.
pub(in crate::carbon::providers) fn tells_failures_apart(mut source: Source) {
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    std::fs::write(&token, TOKEN).unwrap();
    source.token_file = Some(token.clone());
    let base = source.url.take().unwrap_or_default();
    let html = "<html><body>Sign in</body></html>";
    for (status, body, result) in [
        (200, "", FetchResult::Decode),
        (200, html, FetchResult::Decode),
        (200, "{", FetchResult::Decode),
        (200, "[[[[", FetchResult::Decode),
        (200, "null", FetchResult::Decode),
        (204, "", FetchResult::Empty),
        (301, "", FetchResult::Redirect),
        (400, html, FetchResult::Rejected),
        (401, html, FetchResult::Auth),
        (403, html, FetchResult::Forbidden),
        (404, html, FetchResult::NotFound),
        (422, html, FetchResult::Rejected),
        (429, "", FetchResult::RateLimited),
        (500, html, FetchResult::Server),
        (503, "", FetchResult::Server),
    ] {
        let server = Replay::new(move |_| Some(Reply::status(status, body).header("retry-after", "90")));
        source.url = Some(format!("{}{base}", server.url()));
        let mut provider = build(&source, Surroundings::default()).unwrap();
        assert!(!format!("{provider:?}").contains(TOKEN));
        let error = provider.fetch(&HttpClient::new(None).unwrap(), NOW).unwrap_err();
        assert_eq!(error.result, result, "{status} {body}: {error}");
        assert!(error.text.contains(&server.url()) && !error.text.contains(TOKEN), "{error}");
        let asked = server.asked();
        assert!(asked.iter().all(|asked| asked.headers.iter().any(|(_, value)| value.contains(TOKEN))));
        if status == 429 {
            assert_eq!(error.retry_after, Some(std::time::Duration::from_secs(90)));
        }
    }
    std::fs::remove_file(&token).unwrap();
    assert_eq!(failure(&source).0, FetchResult::File);
}

fn any_slot(start: u64, grams: f64) -> Result<Option<Slot>, String> {
    let span = (UnixTime::from_seconds(start), UnixTime::from_seconds(start + 300));
    slot(span, grams, SlotQuality::Measured, Signal::AverageLifecycle, NOW).map(Some)
}

#[test]
fn what_is_left_out_is_told_in_one_line() {
    let now = NOW.as_millis() / 1000;
    let finish = |values: Vec<Result<Option<Slot>, String>>| {
        let mut gathered = Gathered::default();
        values.into_iter().for_each(|value| gathered.take(value));
        gathered.finish(NOW).map(|(slots, warning)| (slots.len(), warning.unwrap_or_default()))
    };
    let good = || any_slot(now, 50.0);
    assert_eq!(finish(vec![good()]), Ok((1, String::new())));
    assert_eq!(finish(vec![good(), Ok(None)]), Ok((1, "1 of 2 values are null and left out".to_owned())));
    let bad = || any_slot(now, -1.0);
    let left_out = "1 of 2 values are left out: -1 g/kWh isn't believable";
    assert_eq!(finish(vec![good(), bad()]), Ok((1, left_out.to_owned())));
    let both = "3 of 4 values are left out, 1 as null: -1 g/kWh isn't believable";
    assert_eq!(finish(vec![bad(), good(), Ok(None), any_slot(now, 0.0)]), Ok((1, both.to_owned())));
    assert_eq!(finish(vec![]), Err((FetchResult::Empty, "has no values".to_owned())));
    assert_eq!(finish(vec![Ok(None)]), Err((FetchResult::Empty, "all 1 values are null".to_owned())));
    assert_eq!(finish(vec![Ok(None), bad()]).unwrap_err().0, FetchResult::Decode);
    let old = "all values are more than two days old".to_owned();
    assert_eq!(finish(vec![any_slot(now - 48 * 3600 - 300, 50.0)]), Err((FetchResult::Empty, old)));
    assert_eq!(finish(vec![any_slot(now - 48 * 3600 - 299, 50.0)]), Ok((1, String::new())));
    let year = (0..105_120).map(|n| any_slot(now + 300 * n, 50.0)).collect();
    assert_eq!(finish(year), Ok((MAX_VALUES, String::new())));
}

#[test]
fn a_value_of_the_future_is_a_forecast() {
    let second = std::time::Duration::from_secs(1);
    for (start, quality) in [(NOW, SlotQuality::Measured), (NOW.after(second), SlotQuality::Forecast)] {
        let span = (start, start.after(second));
        let slot = slot(span, 50.0, SlotQuality::Measured, Signal::AverageDirect, NOW).unwrap();
        assert_eq!(slot.quality, quality);
    }
}

#[test]
fn what_others_say_is_one_short_line() {
    assert_eq!(brief(" a\r\nb\u{1b}[31m "), "a  b [31m");
    assert_eq!(brief(&"x".repeat(1000)).len(), SHOWN);
}
