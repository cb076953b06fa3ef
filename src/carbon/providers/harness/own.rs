use super::*;
use crate::carbon::http::HttpClient;
use crate::carbon::providers::build;
use crate::carbon::providers::harness::{KEY, Rig};
use crate::carbon::providers::replay::Replay;
use crate::config::Basis;

/// 2027-01-15T08:00:00Z: the moment of most tests.
pub(in crate::carbon::providers) const NOW: UnixTime = UnixTime::from_seconds(1_800_000_000);

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

/// What every source that asks over HTTP owes, whatever it is answered; `good` are answers to it that are right. The token
/// is sent, and no message has it.
pub(in crate::carbon::providers) fn check_answers(source: &Source, good: &[&str]) {
    let mut rig = Rig::new(source.provider, "FR", "2027-01-15T08:00Z").with_key();
    rig.source = Source { token_file: rig.source.token_file, ..source.clone() };
    rig.check_statuses();
    rig.check_any_body(good);
    let server = Replay::in_turn([]);
    let http = HttpClient::new(None).unwrap();
    assert_eq!(rig.provider(&server).fetch(&http, NOW).unwrap_err().result, FetchResult::Server);
    assert!(server.asked()[0].headers.iter().any(|(_, value)| value.contains(KEY)));
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
