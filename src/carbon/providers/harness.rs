//! What the tests of all providers have in common: an entry that points at a local server, and what must hold for
//! every status and every body.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::{Just, Strategy, any, prop, prop_oneof};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::replay::{Replay, Reply};
use super::{Fetched, GridProvider, Surroundings, build, time, utc};
use crate::carbon::factors::MAX_INTENSITY;
use crate::carbon::grid::{FetchError, FetchResult};
use crate::carbon::http::HttpClient;
use crate::config::{ProviderKind, Source};
use crate::units::UnixTime;

/// The key in a rig's file.
pub(super) const KEY: &str = "hunter2";

/// An entry of the configuration at a moment.
#[derive(Debug)]
pub(super) struct Rig {
    pub(super) source: Source,
    pub(super) now: UnixTime,
    credentials: TempDir,
}

impl Rig {
    pub(super) fn new(provider: ProviderKind, zone: &str, now: &str) -> Self {
        let mut source = Source::new(provider);
        source.zone = Some(zone.into());
        let credentials = tempfile::tempdir().unwrap();
        Self { source, now: time(now).unwrap(), credentials }
    }

    /// With [`KEY`] in its `token_file`.
    pub(super) fn with_key(mut self) -> Self {
        std::fs::write(self.credentials.path().join("key"), KEY).unwrap();
        self.source.token_file = Some("key".into());
        self
    }

    pub(super) fn provider(&self, server: &Replay) -> Box<dyn GridProvider> {
        let mut source = self.source.clone();
        source.url = Some(server.url() + "/base/");
        let around = Surroundings { credentials: Some(self.credentials.path()), ..Surroundings::default() };
        build(&source, around).unwrap()
    }

    /// One round with these answers, one after the other.
    pub(super) fn fetch(&self, replies: impl IntoIterator<Item = Reply>) -> Result<Fetched, FetchError> {
        let server = Replay::in_turn(replies);
        self.provider(&server).fetch(&HttpClient::new(None).unwrap(), self.now)
    }

    /// The slots of the only series that one round with one answer of this body brings, in lines.
    pub(super) fn slots(&self, body: &str) -> Vec<String> {
        lines(&self.fetch([Reply::ok(body)]).unwrap())
    }

    /// How a round with one answer of this body fails.
    pub(super) fn failure(&self, body: &str) -> FetchResult {
        self.fetch([Reply::ok(body)]).unwrap_err().result
    }

    /// Checks that statuses are told apart, that `Retry-After` is passed on, and that no message has the key.
    pub(super) fn check_statuses(&self) {
        let refused =
            [(400, FetchResult::Rejected), (422, FetchResult::Rejected), (404, FetchResult::NotFound)];
        let barred = [(401, FetchResult::Auth), (403, FetchResult::Forbidden), (301, FetchResult::Redirect)];
        let busy = [(429, FetchResult::RateLimited), (500, FetchResult::Server), (204, FetchResult::Empty)];
        for (status, result) in [refused, barred, busy].into_iter().flatten() {
            for body in ["", "<html><body>Sorry</body></html>", r#"{"error":{"code":1,"message":"no"}}"#] {
                let error = self.fetch([Reply::status(status, body)]).unwrap_err();
                assert_eq!((error.result, error.retry_after), (result, None), "{status} {body}");
                assert!(!format!("{error} {error:?}").contains(KEY), "{error:?}");
                let reply = Reply::status(status, body).header("retry-after", "90");
                let waited = self.fetch([reply]).unwrap_err().retry_after;
                assert_eq!(waited.map(|wait| wait.as_secs()), Some(90), "{status} {body}");
            }
        }
        let html = "<!DOCTYPE html><html><title>Maintenance</title></html>";
        assert_eq!(self.failure(html), FetchResult::Decode);
        assert_eq!(self.failure(""), FetchResult::Decode);
        let server = Replay::in_turn([]);
        assert!(!format!("{:?}", self.provider(&server)).contains(KEY));
    }

    /// Checks that a local day of 23 hours, one of 25 and the turn of a year have all their quarters, where `body`
    /// writes an answer with slots from these moments on.
    pub(super) fn check_quarters(&self, body: impl Fn(&[UnixTime]) -> String) {
        // The days begin at midnight in Paris and Berlin.
        for (start, quarters) in
            [("2026-03-28T23:00Z", 92), ("2026-10-24T22:00Z", 100), ("2026-12-31T12:00Z", 96)]
        {
            let start = time(start).unwrap();
            let border = |quarter: u64| start.after(Duration::from_secs(900 * quarter));
            let borders: Vec<UnixTime> = (0..=quarters).map(border).collect();
            let fetched = self.fetch([Reply::ok(body(&borders[..borders.len() - 1]))]).unwrap();
            let slots = fetched.series[0].slots.slots();
            let found: Vec<_> = slots.iter().map(|slot| [slot.start, slot.end]).collect();
            assert_eq!(found, borders.windows(2).map(|pair| [pair[0], pair[1]]).collect::<Vec<_>>());
        }
    }

    /// Checks that no body makes it panic or gives a value that nobody believes: arbitrary bytes, and `good` ones with
    /// something in them replaced.
    pub(super) fn check_any_body(&self, good: &[&str]) {
        let good: Vec<Value> = good.iter().map(|body| serde_json::from_str(body).unwrap()).collect();
        let changed = (0..good.len(), any::<usize>(), odd_value()).prop_map(move |(body, place, odd)| {
            let mut body = good[body].clone();
            let mut place = place % count(&body);
            replace(&mut body, &mut place, &odd);
            body.to_string().into_bytes()
        });
        let bodies = prop_oneof![1 => prop::collection::vec(any::<u8>(), 0..64), 4 => changed];
        let body = Arc::new(Mutex::new(Vec::new()));
        let given = Arc::clone(&body);
        let server = Replay::new(move |_| Some(Reply::ok(given.lock().unwrap().clone())));
        let http = HttpClient::new(None).unwrap();
        let mut runner = TestRunner::default();
        let checked = runner.run(&bodies, |bytes| {
            *body.lock().unwrap() = bytes;
            match self.provider(&server).fetch(&http, self.now) {
                Ok(fetched) => {
                    for series in &fetched.series {
                        assert!(!series.slots.slots().is_empty());
                        let grams = series.slots.slots().iter().map(|slot| slot.intensity.0);
                        assert!(grams.into_iter().all(|grams| (0.0..=MAX_INTENSITY).contains(&grams)));
                    }
                }
                Err(FetchError { result, text, .. }) => assert!(
                    matches!(result, FetchResult::Decode | FetchResult::Empty | FetchResult::ZoneMismatch),
                    "{result:?} {text}"
                ),
            }
            Ok(())
        });
        checked.unwrap();
    }
}

/// The slots of the only series, each as its start in UTC, its length in minutes, its value and its quality.
pub(super) fn lines(fetched: &Fetched) -> Vec<String> {
    let [series] = fetched.series.as_slice() else { panic!("not one series: {fetched:?}") };
    let line = |slot: &crate::carbon::series::Slot| {
        let minutes = slot.length().as_secs() / 60;
        let start = utc(slot.start, "%Y-%m-%dT%H:%M");
        format!("{start} {minutes} {} {}", slot.intensity.0, slot.quality.as_str())
    };
    series.slots.slots().iter().map(line).collect()
}

fn odd_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(json!([])),
        Just(json!({})),
        Just(json!("")),
        Just(json!(true)),
        Just(json!(u64::MAX)),
        Just(json!(i64::MIN)),
        Just(json!(f64::MAX)),
        Just(json!("9999-12-31T23:59:59Z")),
        Just(json!("-009999-01-01T00:00Z")),
        any::<i32>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ]
}

/// The values in a value, itself included.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum(),
        _ => 0,
    }
}

/// Puts `new` in the place of the value at this place, counted from the outside.
fn replace(value: &mut Value, place: &mut usize, new: &Value) {
    if *place == 0 {
        *value = new.clone();
    }
    *place = place.wrapping_sub(1);
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, place, new)),
        Value::Object(fields) => fields.values_mut().for_each(|field| replace(field, place, new)),
        _ => {}
    }
}
