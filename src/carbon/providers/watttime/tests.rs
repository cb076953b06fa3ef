use proptest::prelude::{ProptestConfig, proptest};
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::carbon::providers::replay::{Asked, Replay, Reply};
use crate::carbon::providers::{harness, time};
use crate::carbon::series::Slot;
use crate::config::ProviderKind;

const PASSWORD: &str = "correct horse";
/// `name:correct horse`, by hand.
const BASIC: &str = "Basic bmFtZTpjb3JyZWN0IGhvcnNl";
const GOOD: &str = r#"{"data":[{"point_time":"2026-10-01T07:05:00+00:00","value":1204.5},
    {"point_time":"2026-10-01T07:10:00+00:00","value":1000}],
    "meta":{"data_point_period_seconds":300,"region":"PSCO","warnings":[],"signal_type":"co2_moer",
    "model":{"date":"2026-01-01"},"units":"lbs_co2_per_mwh","generated_at_period_seconds":300,
    "generated_at":"2026-10-01T07:05:00+00:00"}}"#;

fn at(text: &str) -> UnixTime {
    time(text).unwrap()
}

/// A source and the folder of its password.
struct Made {
    source: WattTime,
    http: HttpClient,
    _folder: TempDir,
}

impl Made {
    fn new(server: &Replay) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, format!("{PASSWORD}\n")).unwrap();
        let source = Source { password_file: Some(path), ..source(&server.url()) };
        let source = WattTime::new(&source, Surroundings::default()).unwrap();
        Self { source, http: HttpClient::new(None).unwrap(), _folder: folder }
    }

    fn fetch(&mut self, now: &str) -> Result<Fetched, FetchError> {
        self.source.fetch(&self.http, at(now))
    }
}

fn source(url: &str) -> Source {
    Source {
        zone: Some("PSCO".to_owned()),
        url: Some(url.to_owned()),
        user: Some("name".to_owned()),
        password_file: Some("password".into()),
        ..Source::new(ProviderKind::Watttime)
    }
}

fn fetch(server: &Replay) -> Result<Fetched, FetchError> {
    Made::new(server).fetch("2026-10-01T07:06Z")
}

fn is_login(asked: &Asked) -> bool {
    asked.target == "/login"
}

fn logins(server: &Replay) -> usize {
    server.asked().iter().filter(|asked| is_login(asked)).count()
}

/// A server that lets everybody in and answers all else so.
fn open(reply: impl Fn(&Asked) -> Reply + Send + 'static) -> Replay {
    Replay::new(move |asked| {
        Some(if is_login(asked) { Reply::ok(r#"{"token":"t0ken"}"#) } else { reply(asked) })
    })
}

/// [`GOOD`] with this at a place of it.
fn with(pointer: &str, value: serde_json::Value) -> String {
    let mut body: Value = serde_json::from_str(GOOD).unwrap();
    *body.pointer_mut(pointer).unwrap() = value;
    body.to_string()
}

fn slots(fetched: &Fetched) -> &[Slot] {
    fetched.series[0].slots.slots()
}

#[test]
fn the_forecast_comes_in_grams_and_as_marginal() {
    let server = open(|_| Reply::ok(GOOD));
    let fetched = fetch(&server).unwrap();
    let series = &fetched.series[0];
    assert_eq!((&*series.provider, &*series.zone, &*series.accounting), ("watttime", "PSCO", ""));
    assert_eq!((series.signal, series.signal.basis()), (Signal::Marginal, None));
    let [first, second] = slots(&fetched) else { panic!("{fetched:?}") };
    assert_eq!((first.start, first.end), (at("2026-10-01T07:05Z"), at("2026-10-01T07:10Z")));
    assert!((first.intensity.0 - 546.352_009_665).abs() < 1e-9, "{first:?}");
    assert!((second.intensity.0 - 453.592_37).abs() < 1e-9, "{second:?}");
    assert!([first, second].iter().all(|slot| slot.quality == SlotQuality::Forecast));
    assert_eq!(fetched.warnings, Vec::<String>::new());

    let [login, forecast] = &server.asked()[..] else { panic!("{:?}", server.asked()) };
    assert_eq!((login.target.as_str(), login.header("authorization")), ("/login", Some(BASIC)));
    let target = "/v3/forecast?region=PSCO&signal_type=co2_moer&horizon_hours=24";
    assert_eq!((forecast.target.as_str(), forecast.header("authorization")), (target, Some("Bearer t0ken")));
}

#[test]
fn a_token_is_used_while_it_is_good() {
    let server = open(|_| Reply::ok(GOOD));
    let mut made = Made::new(&server);
    for (now, expected) in [
        ("2026-10-01T07:00Z", 1),
        ("2026-10-01T07:05Z", 1),
        ("2026-10-01T07:27Z", 1),
        ("2026-10-01T07:28Z", 2),
        // The clock was set back: nobody knows how old the token is.
        ("2026-10-01T06:00Z", 3),
    ] {
        made.fetch(now).unwrap();
        assert_eq!(logins(&server), expected, "{now}");
    }
}

#[test]
fn a_token_that_expires_early_is_replaced_once() {
    let expired = Reply::status(401, r#"{"error":"Token expired"}"#);
    let token = |text: &str| Reply::ok(json!({ "token": text }).to_string());
    let server = Replay::in_turn([
        token("first"),
        Reply::ok(GOOD),
        expired,
        token("second"),
        Reply::ok(GOOD),
        Reply::ok(GOOD),
    ]);
    let mut made = Made::new(&server);
    for now in ["2026-10-01T07:00Z", "2026-10-01T07:05Z", "2026-10-01T07:10Z"] {
        made.fetch(now).unwrap();
    }
    let bearers: Vec<_> =
        server.asked().iter().filter_map(|asked| asked.header("authorization").map(str::to_owned)).collect();
    let expected = [BASIC, "Bearer first", "Bearer first", BASIC, "Bearer second", "Bearer second"];
    assert_eq!(bearers, expected);
}

#[test]
fn tokens_that_are_never_good_cost_one_login_each_time() {
    let server = open(|_| Reply::status(401, r#"{"error":"Invalid token t0ken"}"#));
    let mut made = Made::new(&server);
    for round in 1..=3 {
        let error = made.fetch("2026-10-01T07:00Z").unwrap_err();
        assert_eq!((error.result, logins(&server)), (FetchResult::Auth, round), "{error}");
        assert!(!error.text.contains("t0ken"), "{error}");
    }

    let once = Replay::new({
        let answered = std::sync::atomic::AtomicBool::new(false);
        move |asked| {
            let first = !is_login(asked) && !answered.swap(true, std::sync::atomic::Ordering::SeqCst);
            Some(match (is_login(asked), first) {
                (true, _) => Reply::ok(r#"{"token":"t0ken"}"#),
                (false, true) => Reply::ok(GOOD),
                (false, false) => Reply::status(401, ""),
            })
        }
    });
    let mut made = Made::new(&once);
    made.fetch("2026-10-01T07:00Z").unwrap();
    assert_eq!(made.fetch("2026-10-01T07:05Z").unwrap_err().result, FetchResult::Auth);
    assert_eq!((logins(&once), once.asked().len()), (2, 5), "one new login after the first good answer");
}

#[test]
fn a_login_that_fails_is_told_and_no_credential_with_it() {
    for (reply, result) in [
        (Reply::status(401, "wrong: correct horse"), FetchResult::Auth),
        (Reply::status(403, "<html>Forbidden correct horse</html>"), FetchResult::Auth),
        (Reply::status(429, "").header("retry-after", "300"), FetchResult::RateLimited),
        (Reply::status(500, ""), FetchResult::Server),
        (Reply::ok("<html>t0ken</html>"), FetchResult::Decode),
        (Reply::ok(r#"{"access_token":"t0ken"}"#), FetchResult::Decode),
        (Reply::ok(r#"{"token":["t0ken"]}"#), FetchResult::Decode),
        (Reply::ok(r#"{"token":"t0ken\r\nx: y"}"#), FetchResult::Decode),
        (Reply::ok(r#"{"token":""}"#), FetchResult::Decode),
    ] {
        let server = Replay::in_turn([reply.clone()]);
        let mut made = Made::new(&server);
        let error = made.fetch("2026-10-01T07:00Z").unwrap_err();
        assert_eq!((error.result, server.asked().len()), (result, 1), "{reply:?}");
        let shown = format!("{error} {error:?} {made:?}", made = made.source);
        assert!(["correct", "t0ken", "bmFt"].iter().all(|secret| !shown.contains(secret)), "{shown}");
    }
    let server = open(|_| Reply::ok(GOOD));
    let mut made = Made::new(&server);
    made.fetch("2026-10-01T07:00Z").unwrap();
    assert!(!format!("{:?}", made.source).contains("t0ken"));
    std::fs::remove_file(made._folder.path().join("password")).unwrap();
    made.fetch("2026-10-01T07:05Z").unwrap();
    assert_eq!(made.fetch("2026-10-01T07:40Z").unwrap_err().result, FetchResult::File);
}

#[test]
fn an_answer_about_something_else_is_refused() {
    for (pointer, value, result) in [
        ("/meta/region", json!("CAISO_NORTH"), FetchResult::ZoneMismatch),
        ("/meta/region", json!(null), FetchResult::Decode),
        ("/meta/signal_type", json!("co2_aoer"), FetchResult::Decode),
        ("/meta/units", json!("percentile"), FetchResult::Decode),
        ("/meta/units", json!(null), FetchResult::Decode),
        ("/meta/data_point_period_seconds", json!(0), FetchResult::Decode),
        ("/meta/data_point_period_seconds", json!(1_000_000), FetchResult::Decode),
        ("/data", json!([]), FetchResult::Empty),
        ("/data", json!([{ "point_time": "2026-10-01T07:05:00+00:00", "value": null }]), FetchResult::Empty),
        ("/data", json!([{ "point_time": "2026-10-01T07:05:00", "value": 5 }]), FetchResult::Decode),
        ("/data", json!([{ "point_time": "2026-10-01T07:05:00Z", "value": -5 }]), FetchResult::Decode),
        (
            "/data",
            json!([{ "point_time": "2026-10-01T07:05:00Z", "value": "5" }, 7, "x"]),
            FetchResult::Decode,
        ),
        ("/data", json!({}), FetchResult::Decode),
    ] {
        let body = with(pointer, value.clone());
        let error = fetch(&open(move |_| Reply::ok(body.clone()))).unwrap_err();
        assert_eq!(error.result, result, "{pointer} {value}: {error}");
    }
}

#[test]
fn order_repetitions_offsets_and_odd_values_do_no_harm() {
    let point = |time: &str, value: Value| json!({ "point_time": time, "value": value });
    let data = json!([
        point("2026-11-01T01:10:00-07:00", json!(30)),
        point("2026-11-01T01:05:00-07:00", json!(99)),
        // An hour later in time, though not on the wall: clocks go back in between.
        point("2026-11-01T01:05:00-08:00", json!(40)),
        point("2026-11-01T01:05:00-07:00", json!(20)),
        point("2026-11-01T08:07:30+00:00", json!(25)),
        point("2027-01-01T00:00:00+00:00", json!(50)),
        point("2027-01-01T00:05:00+00:00", json!(null)),
        point("2027-01-01T00:10:00+00:00", json!(1e9)),
    ]);
    let body = with("/data", data);
    let server = open(move |_| Reply::ok(body.clone()));
    for now in ["2026-11-01T06:00Z", "2026-11-01T12:00Z"] {
        let fetched = Made::new(&server).fetch(now).unwrap();
        let found: Vec<_> = slots(&fetched)
            .iter()
            .map(|slot| (slot.start, (slot.intensity.0 / 0.453_592_37).round()))
            .collect();
        let expected = [
            ("2026-11-01T08:05:00Z", 20.0),
            ("2026-11-01T08:07:30Z", 25.0),
            ("2026-11-01T08:12:30Z", 30.0),
            ("2026-11-01T09:05:00Z", 40.0),
            ("2027-01-01T00:00:00Z", 50.0),
        ]
        .map(|(time, pounds)| (at(time), pounds));
        // Of the two that overlap in the middle, the one that comes last in the answer holds where both are.
        assert_eq!(found, expected, "{now}");
        assert!(
            fetched.warnings.len() == 1 && fetched.warnings[0].contains("1 of 8"),
            "{:?}",
            fetched.warnings
        );
    }
}

#[test]
fn the_providers_own_warnings_are_passed_on() {
    let long = "x".repeat(1_000);
    let warnings =
        json!([{ "type": "MISSING", "message": "a day\nis missing" }, "old model", { "a": 1 }, long, 5, 6]);
    let body = with("/meta/warnings", warnings);
    let warnings = fetch(&open(move |_| Reply::ok(body.clone()))).unwrap().warnings;
    let expected =
        ["WattTime warns: a day is missing", "WattTime warns: old model", "WattTime warns: {\"a\":1}"];
    assert_eq!(warnings[..3], expected);
    assert!(warnings.len() == WARNINGS && warnings.iter().all(|warning| warning.len() < 250), "{warnings:?}");
    for none in [json!(null), json!("x"), json!({})] {
        let body = with("/meta/warnings", none);
        assert_eq!(fetch(&open(move |_| Reply::ok(body.clone()))).unwrap().warnings, Vec::<String>::new());
    }
}

#[test]
fn failures_are_told_apart() {
    // What the login means by 401 and 403 is another test's.
    harness::check_statuses(fetch, &harness::STATUSES[2..], None);
    harness::check_not_data(fetch, &harness::NOT_DATA);
    harness::check_not_data(fetch, &["null", "[]", "{}"]);
    for (status, body, result, part) in [
        (
            403,
            r#"{"error":"Invalid scope","message":"no"}"#,
            FetchResult::Forbidden,
            "plan must include PSCO",
        ),
        (403, "<html>Blocked</html>", FetchResult::Forbidden, "firewall"),
        (404, r#"{"error":"No coverage available"}"#, FetchResult::NotFound, "No coverage"),
        (400, r#"{"error":"bad","msg":"region","docs":"x"}"#, FetchResult::Rejected, "region"),
        (
            422,
            r#"{"detail":[{"loc":["query","region"],"msg":"field required"}]}"#,
            FetchResult::Rejected,
            "query",
        ),
        (429, "", FetchResult::RateLimited, "429"),
        (500, "", FetchResult::Server, "500"),
    ] {
        let server = open(move |_| Reply::status(status, body));
        let error = fetch(&server).unwrap_err();
        assert_eq!((error.result, server.asked().len()), (result, 2), "{error}");
        assert!(error.text.contains(part) && error.text.contains("/v3/forecast"), "{error}");
    }
    for body in ["", "<html>Maintenance</html>", "{}"] {
        assert_eq!(fetch(&open(move |_| Reply::ok(body))).unwrap_err().result, FetchResult::Decode, "{body}");
    }
    let busy = open(|_| Reply::status(429, "").header("retry-after", "60"));
    assert_eq!(fetch(&busy).unwrap_err().retry_after, Some(Duration::from_secs(60)));
}

#[test]
fn what_it_needs_must_be_there() {
    let url = "http://127.0.0.1:1";
    let around = Surroundings { zone: Some("US-CO"), ..Surroundings::default() };
    let made = WattTime::new(&source(url), around).unwrap();
    assert_eq!((&*made.zone(), made.signal()), ("PSCO", Signal::Marginal));
    assert_eq!(made.pace().period, PERIOD);
    for (source, key) in [
        (Source { zone: None, ..source(url) }, "zone"),
        (Source { user: None, ..source(url) }, "user"),
        (Source { user: Some("a:b".into()), ..source(url) }, "user"),
        (Source { password_file: None, ..source(url) }, "password_file"),
        (Source { token_file: Some("x".into()), ..source(url) }, "token_file"),
        (Source { basis: Some(crate::config::Basis::Direct), ..source(url) }, "basis"),
        (Source { interval: Some(Duration::from_secs(60)), ..source(url) }, "interval"),
    ] {
        assert_eq!(WattTime::new(&source, around).unwrap_err().key, key);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn no_answer_brings_the_parser_down(bytes in harness::mutated(GOOD)) {
        if let Ok(body) = serde_json::from_slice::<Body>(&bytes) {
            let _ = (read(&body, "PSCO", UnixTime::default()), told(&body.meta.warnings));
        }
    }
}
