//! What the tests of the operator's own sources have in common.

use super::{KEY, Rig};
use crate::carbon::grid::{FetchError, FetchResult, GridSeries};
use crate::carbon::http::HttpClient;
use crate::carbon::providers::replay::Replay;
use crate::carbon::providers::{Fetched, Surroundings, build};
use crate::config::{Basis, ProviderKind, Source};
use crate::units::UnixTime;

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
