use serde_json::json;

use super::*;
use crate::carbon::grid::FetchResult;
use crate::carbon::providers::harness::own::{NOW, check_answers, entry, failure, fetch, problem, slots};
use crate::carbon::providers::replay::{Replay, Reply};
use crate::config::IntensityUnit;

/// A list of items with all that there can be.
fn list(server: &Replay) -> Source {
    let mut source = single(server);
    source.items = Some("/data".to_owned());
    source.value = Some("/intensity/actual".to_owned());
    source.start = Some("/from".to_owned());
    source.end = Some("/to".to_owned());
    source.estimated = Some("/estimated".to_owned());
    source
}

/// One value for now.
fn single(server: &Replay) -> Source {
    let mut source = entry(ProviderKind::Http);
    source.url = Some(server.url());
    source.value = Some("/value".to_owned());
    source
}

fn replies(body: &Value) -> Replay {
    let body = body.to_string();
    Replay::new(move |_| Some(Reply::ok(body.clone())))
}

#[test]
fn a_list_becomes_slots() {
    let server = replies(&json!({ "data": [
        // Out of order; the future is a forecast, whatever it says.
        { "from": "2027-01-15T09:00:00+01:00", "to": "2027-01-15T09:30:00+01:00", "intensity": { "actual": 80 } },
        { "from": "2027-01-15T07:30Z", "to": "2027-01-15T08:00Z", "intensity": { "actual": "70.5" }, "estimated": true },
        { "from": 1_800_001_800, "to": 1_800_003_600_000_u64, "intensity": { "actual": 90 }, "estimated": false },
        // The same again: the last one holds.
        { "from": 1_800_001_800, "to": 1_800_003_600, "intensity": { "actual": 91 } },
    ] }));
    let fetched = fetch(&list(&server)).unwrap();
    let expected =
        [(-1800, 0, 70.5, "estimated"), (0, 1800, 80.0, "measured"), (1800, 3600, 91.0, "forecast")];
    assert_eq!(slots(&fetched), expected);
    assert_eq!(fetched.warnings, [""; 0]);
    let series = &fetched.series[0];
    assert_eq!((&*series.provider, &*series.zone, series.fetched_at), ("http", "FR", NOW));
    assert_eq!(series.signal, Signal::AverageDirect);
}

#[test]
fn overlaps_go_to_the_shorter_slot() {
    let server = replies(&json!({ "data": [
        { "from": 1_799_999_000, "to": 1_799_999_300, "intensity": { "actual": 20 } },
        { "from": 1_799_998_000, "to": 1_800_000_000, "intensity": { "actual": 10 } },
    ] }));
    let expected =
        [(-2000, -1000, 10.0, "measured"), (-1000, -700, 20.0, "measured"), (-700, 0, 10.0, "measured")];
    assert_eq!(slots(&fetch(&list(&server)).unwrap()), expected);
}

#[test]
fn bad_items_are_left_out_with_one_line() {
    let good = json!({ "from": 1_800_000_000, "to": 1_800_000_300, "intensity": { "actual": 50 } });
    for (bad, told) in [
        (json!({ "from": 1, "to": 2 }), "nothing at \"/intensity/actual\" (value)"),
        (json!({ "from": 1, "to": 2, "intensity": { "actual": "low" } }), "\"low\" isn't a number"),
        (json!({ "from": 1, "to": 2, "intensity": { "actual": -5 } }), "-5 g/kWh isn't believable"),
        (json!({ "from": 1, "to": 2, "intensity": { "actual": 99_999 } }), "99999 g/kWh isn't believable"),
        (json!({ "from": 1, "to": 2, "intensity": { "actual": "NaN" } }), "NaN g/kWh isn't believable"),
        (json!({ "from": 2, "to": 1, "intensity": { "actual": 5 } }), "it ends before it starts"),
        (json!({ "from": 2, "intensity": { "actual": 5 } }), "it has no end"),
        (json!({ "to": 2, "intensity": { "actual": 5 } }), "null isn't a time"),
        (json!({ "from": "2027-01-15T08:00:00", "to": 2, "intensity": { "actual": 5 } }), "isn't a time"),
        (json!(7), "nothing at"),
    ] {
        let fetched = fetch(&list(&replies(&json!({ "data": [bad, good] })))).unwrap();
        assert_eq!(slots(&fetched), [(0, 300, 50.0, "measured")], "{bad}");
        let [warning] = &fetched.warnings[..] else { panic!("{:?}", fetched.warnings) };
        assert!(warning.contains(told), "{bad}: {warning}");
    }
    let unknown = json!({ "from": 1, "to": 2, "intensity": { "actual": null } });
    let fetched = fetch(&list(&replies(&json!({ "data": [unknown, good] })))).unwrap();
    assert_eq!(slots(&fetched), [(0, 300, 50.0, "measured")]);
    assert_eq!(fetched.warnings, [""; 0], "not to know is no fault");
}

#[test]
fn answers_without_a_usable_value_are_failures() {
    let none = json!({ "from": 1, "to": 2, "intensity": { "actual": null } });
    let old = json!({ "from": 1, "to": 2, "intensity": { "actual": 5 } });
    for (body, result, told) in [
        (json!({ "data": [] }), FetchResult::Empty, "has no values"),
        (json!({ "data": [none, none] }), FetchResult::Empty, "all 2 values are null"),
        (json!({ "data": [old] }), FetchResult::Empty, "more than two days old"),
        (json!({ "data": [{}, {}] }), FetchResult::Decode, "none of 2 values can be used: nothing at"),
        (json!({ "data": {} }), FetchResult::Decode, "no list at \"/data\" (items)"),
        (json!({}), FetchResult::Decode, "no list"),
        (json!([]), FetchResult::Decode, "no list"),
    ] {
        let (kind, text) = failure(&list(&replies(&body)));
        assert_eq!(kind, result, "{body}");
        assert!(text.starts_with("http://127.0.0.1:") && text.contains(told), "{body}: {text}");
    }
}

#[test]
fn a_value_without_times_holds_a_little_beyond_the_next_request() {
    let server = replies(&json!({ "value": 0.3, "estimated": "by hand" }));
    let mut source = single(&server);
    source.unit = IntensityUnit::KilogramsPerKwh;
    source.estimated = Some("/estimated".to_owned());
    assert_eq!(slots(&fetch(&source).unwrap()), [(0, 960, 300.0, "estimated")]);
    source.interval = Some(Duration::from_secs(120));
    assert_eq!(slots(&fetch(&source).unwrap()), [(0, 180, 300.0, "estimated")]);
    source.step = Some(Duration::from_secs(600));
    assert_eq!(slots(&fetch(&source).unwrap()), [(0, 600, 300.0, "estimated")]);
    // A pound is 453.59237 g.
    (source.unit, source.value) = (IntensityUnit::PoundsPerMwh, Some(String::new()));
    source.url = Some(replies(&json!(1000)).url());
    assert_eq!(slots(&fetch(&source).unwrap()), [(0, 600, 453.592_37, "measured")]);
}

#[test]
fn slots_without_an_end_are_as_long_as_a_step() {
    let server = replies(&json!([{ "t": 1_799_999_700, "v": 40 }, { "t": 1_800_000_000, "v": 50 }]));
    let mut source = single(&server);
    source.items = Some(String::new());
    (source.value, source.start) = (Some("/v".to_owned()), Some("/t".to_owned()));
    source.step = Some(Duration::from_secs(300));
    let expected = [(-300, 0, 40.0, "measured"), (0, 300, 50.0, "measured")];
    assert_eq!(slots(&fetch(&source).unwrap()), expected);
}

#[test]
fn the_zone_and_the_token_are_sent_as_they_must_be() {
    let server = replies(&json!({ "value": 50 }));
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("token"), "hunter2\n").unwrap();
    let mut source = single(&server);
    source.zone = None;
    source.url = Some(format!("{}/v1/{{zone}}/now?zone={{zone}}", server.url()));
    source.token_file = Some("token".into());
    let around = Surroundings { zone: Some("DE/LU&x"), basis: None, credentials: Some(directory.path()) };
    let http = HttpClient::new(None).unwrap();
    let fetched = HttpJson::new(&source, around).unwrap().fetch(&http, NOW).unwrap();
    assert_eq!(&*fetched.series[0].zone, "DE/LU&x");
    source.header = Some("X-Api-Key".to_owned());
    HttpJson::new(&source, around).unwrap().fetch(&http, NOW).unwrap();
    let asked = server.asked();
    assert_eq!(asked[0].target, "/v1/DE%2FLU%26x/now?zone=DE%2FLU%26x");
    assert_eq!(asked[0].header("authorization"), Some("Bearer hunter2"));
    assert_eq!((asked[1].header("x-api-key"), asked[1].header("authorization")), (Some("hunter2"), None));
}

#[test]
fn no_answer_is_taken_for_another() {
    let server = Replay::in_turn([]);
    let item = json!({ "from": 1_800_000_000, "to": "2027-01-15T09:00Z", "intensity": { "actual": 5 }, "estimated": 1 });
    check_answers(&list(&server), &[&json!({ "data": [item, item] }).to_string()]);
    let mut source = single(&server);
    source.header = Some("X-Api-Key".to_owned());
    check_answers(&source, &[r#"{"value":"50"}"#]);
}

#[test]
fn an_entry_is_checked() {
    let server = replies(&json!({}));
    let good = || single(&server);
    let changed = |change: fn(&mut Source)| {
        let mut source = good();
        change(&mut source);
        problem(&source)
    };
    assert!(HttpJson::new(&good(), Surroundings::default()).is_ok());
    let (key, text) = changed(|source| source.basis = None);
    assert!(key == "basis" && text.contains("lifecycle") && text.contains("guess"), "{text}");
    assert_eq!(changed(|source| source.zone = None).0, "zone");
    assert_eq!(changed(|source| source.url = None).0, "url");
    assert_eq!(changed(|source| source.url = Some("{zone}".to_owned())).0, "url");
    assert_eq!(changed(|source| source.value = None).0, "value");
    assert_eq!(changed(|source| source.header = Some("X-Key".to_owned())).0, "header");
    assert_eq!(changed(|source| source.query = Some("up".to_owned())).0, "query");
    assert_eq!(changed(|source| source.interval = Some(Duration::from_secs(59))).0, "interval");
    let (key, text) = changed(|source| source.url = Some("http://me:hunter2@host/".to_owned()));
    assert!(key == "url" && !text.contains("hunter2"), "{text}");
    let bad_header = changed(|source| {
        source.token_file = Some("/token".into());
        source.header = Some("X Key".to_owned());
    });
    assert_eq!(bad_header.0, "header");
}
