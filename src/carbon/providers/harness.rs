//! What the tests of all providers have in common: an entry that points at a local server, and what must hold for
//! every status and every body, be it no answer at all or almost right.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::{Strategy, any, prop, prop_oneof};
use proptest::test_runner::TestRunner;
use serde_json::Value;
use tempfile::TempDir;

use super::replay::{Replay, Reply};
use super::{Fetched, GridProvider, Surroundings, build, time, utc};
use crate::carbon::factors::MAX_INTENSITY;
use crate::carbon::grid::{FetchError, FetchResult};
use crate::carbon::http::HttpClient;
use crate::config::{ProviderKind, Source};
use crate::units::UnixTime;

mod odd;
pub(super) mod own;

pub(super) use odd::mutated;

use self::odd::{count, odd_value, replace};

/// The key in a rig's file.
pub(super) const KEY: &str = "hunter2";

/// What statuses mean to every provider; a few have more to say about the first two.
pub(super) const STATUSES: [(u16, FetchResult); 10] = [
    (401, FetchResult::Auth),
    (403, FetchResult::Forbidden),
    (204, FetchResult::Empty),
    (301, FetchResult::Redirect),
    (400, FetchResult::Rejected),
    (404, FetchResult::NotFound),
    (422, FetchResult::Rejected),
    (429, FetchResult::RateLimited),
    (500, FetchResult::Server),
    (503, FetchResult::Server),
];

/// Bodies that are no data to any provider, with a status of 200.
pub(super) const NOT_DATA: [&str; 4] =
    ["", "<!DOCTYPE html><html><body>Maintenance</body></html>", "<html/>", "\u{feff}"];

/// Checks that statuses are told apart, and that `Retry-After` is passed on. `fetch` asks a server that gives the same
/// answer to everything; `usual_wait` is what the provider asks for where it doesn't say.
pub(super) fn check_statuses(
    fetch: impl Fn(&Replay) -> Result<Fetched, FetchError>,
    statuses: &[(u16, FetchResult)],
    usual_wait: Option<Duration>,
) {
    let failure = |reply: Reply| fetch(&Replay::new(move |_| Some(reply.clone()))).unwrap_err();
    for (status, result) in statuses {
        for body in ["", "<html><body>Sorry</body></html>", r#"{"error":{"code":1,"message":"no"}}"#] {
            let reply = Reply::status(*status, body);
            let error = failure(reply.clone());
            let wait = usual_wait.filter(|_| *result == FetchResult::RateLimited);
            assert_eq!((error.result, error.retry_after), (*result, wait), "{status} {body}: {error}");
            assert!(error.text.contains("127.0.0.1"), "{error}");
            let told = failure(reply.header("retry-after", "1800")).retry_after;
            assert_eq!(told, Some(Duration::from_secs(1_800)), "{status} {body}");
        }
    }
}

/// Checks that bodies that are something else than data aren't understood.
pub(super) fn check_not_data(
    fetch: impl Fn(&Replay) -> Result<Fetched, FetchError>,
    bodies: &[&'static str],
) {
    for &body in bodies {
        let error = fetch(&Replay::new(move |_| Some(Reply::ok(body)))).unwrap_err();
        assert_eq!(error.result, FetchResult::Decode, "{body}: {error}");
    }
}

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

    /// Checks [`STATUSES`] and [`NOT_DATA`], and that no message has the key.
    pub(super) fn check_statuses(&self) {
        let fetch = |server: &Replay| {
            let fetched = self.provider(server).fetch(&HttpClient::new(None).unwrap(), self.now);
            fetched.inspect_err(|error| assert!(!format!("{error} {error:?}").contains(KEY), "{error:?}"))
        };
        check_statuses(fetch, &STATUSES, None);
        check_not_data(fetch, &NOT_DATA);
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
            let server = Replay::in_turn([Reply::ok(body(&borders[..borders.len() - 1]))]);
            let fetched = self.provider(&server).fetch(&HttpClient::new(None).unwrap(), start).unwrap();
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
