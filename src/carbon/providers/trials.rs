//! What any provider has to get over: answers that are no answers, and such as are almost right.

use std::time::Duration;

use proptest::prelude::{Just, Strategy, any, prop, prop_oneof};

use super::Fetched;
use super::replay::{Replay, Reply};
use crate::carbon::grid::{FetchError, FetchResult};

/// Statuses that mean the same to every provider.
const FAILURES: [(u16, FetchResult); 8] = [
    (204, FetchResult::Empty),
    (301, FetchResult::Redirect),
    (400, FetchResult::Rejected),
    (404, FetchResult::NotFound),
    (422, FetchResult::Rejected),
    (429, FetchResult::RateLimited),
    (500, FetchResult::Server),
    (503, FetchResult::Server),
];

/// Bodies that are no data, with a status of 200.
const NOT_DATA: [&str; 7] =
    ["", "null", "[]", "{}", "<!DOCTYPE html><html><body>Maintenance</body></html>", "<html/>", "\u{feff}"];

/// Sees that failures are told apart. `fetch` asks a server that gives this answer to everything; `usual_wait` is what
/// the provider asks for where it doesn't say.
pub(super) fn failures(fetch: impl Fn(&Replay) -> Result<Fetched, FetchError>, usual_wait: Option<Duration>) {
    let result = |reply: Reply| fetch(&Replay::new(move |_| Some(reply.clone()))).unwrap_err();
    for (status, expected) in FAILURES {
        let error = result(Reply::status(status, "not today"));
        assert_eq!(error.result, expected, "{status}: {error}");
        assert!(error.text.contains("127.0.0.1"), "{error}");
    }
    for body in NOT_DATA {
        let error = result(Reply::ok(body));
        assert_eq!(error.result, FetchResult::Decode, "{body}: {error}");
    }
    assert_eq!(result(Reply::status(429, "")).retry_after, usual_wait);
    let told = result(Reply::status(429, "").header("retry-after", "1800"));
    assert_eq!(told.retry_after, Some(Duration::from_secs(1_800)));
}

/// What takes the place of a piece of an answer.
const ODD: [&str; 16] = [
    "",
    "null",
    "0",
    "-1",
    "1e999",
    "99999999999999999999",
    "\"\"",
    "[]",
    "{}",
    "<a>",
    "</a>",
    "<",
    "&#0;",
    "\u{0}",
    "\u{fffd}",
    "9999-12-31T23:59:60Z",
];

/// The answer with some of its pieces cut out, doubled or replaced, or bytes that have nothing to do with it.
pub(super) fn mutated(good: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let edit = (any::<prop::sample::Index>(), 0..24_usize, any::<prop::sample::Index>(), any::<bool>());
    let edits = prop::collection::vec(edit, 0..6).prop_map(move |edits| {
        let mut bytes = good.as_bytes().to_vec();
        for (place, length, odd, double) in edits {
            if bytes.is_empty() {
                break;
            }
            let start = place.index(bytes.len());
            let end = (start + length).min(bytes.len());
            let piece = if double { bytes[start..end].repeat(2) } else { odd.get(&ODD).as_bytes().to_vec() };
            bytes.splice(start..end, piece);
        }
        bytes
    });
    prop_oneof![6 => edits, 1 => prop::collection::vec(any::<u8>(), 0..200), 1 => Just(good.as_bytes().to_vec())]
}
