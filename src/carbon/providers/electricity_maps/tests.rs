use super::*;
use crate::carbon::providers::harness::{KEY, Rig, lines};
use crate::carbon::providers::replay::{Asked, Replay, Reply};
use crate::carbon::providers::time;

const HISTORY: &str = r#"{"zone":"DE","temporalGranularity":"hourly","history":[
    {"zone":"DE","carbonIntensity":290,"datetime":"2026-10-01T05:00:00.000Z","updatedAt":"2026-10-01T06:52:03.415Z",
     "emissionFactorType":"lifecycle","isEstimated":false,"estimationMethod":null},
    {"zone":"DE","carbonIntensity":300.5,"datetime":"2026-10-01T06:00:00.000Z","updatedAt":"2026-10-01T06:52:03.415Z",
     "emissionFactorType":"lifecycle","isEstimated":true,"estimationMethod":"TIME_SLICER_AVERAGE"},
    {"zone":"DE","carbonIntensity":310,"datetime":"2026-10-01T07:00:00.000Z","updatedAt":"2026-10-01T06:52:03.415Z",
     "emissionFactorType":"lifecycle","isEstimated":true,"estimationMethod":"FORECASTS_HIERARCHY"}]}"#;
const FORECAST: &str = r#"{"zone":"DE","forecast":[
    {"carbonIntensity":311,"datetime":"2026-10-01T07:00:00.000Z"},
    {"carbonIntensity":320,"datetime":"2026-10-01T08:00:00.000Z"},
    {"carbonIntensity":330,"datetime":"2026-10-01T09:00:00.000Z"}],"updatedAt":"2026-10-01T07:00:00.000Z"}"#;
const LATEST: &str = r#"{"zone":"DE","carbonIntensity":310,"datetime":"2026-10-01T07:00:00.000Z",
    "updatedAt":"2026-10-01T06:52:03.415Z","createdAt":"2026-09-28T07:50:50.836Z","emissionFactorType":"lifecycle",
    "isEstimated":true,"estimationMethod":"FORECASTS_HIERARCHY","temporalGranularity":"hourly"}"#;
const NO_PLAN: &str = r#"{"error":"Request unauthorized for zoneKey=DE"}"#;

fn rig() -> Rig {
    Rig::new(ProviderKind::ElectricityMaps, "DE", "2026-10-01T07:02Z").with_key()
}

/// A history with these items.
fn history(items: &str) -> String {
    format!(r#"{{"zone":"DE","history":[{items}]}}"#)
}

/// The slots of a history alone, on a plan without forecast.
fn slots(items: &str) -> Vec<String> {
    lines(&rig().fetch([Reply::ok(history(items)), Reply::status(404, ""), Reply::status(404, "")]).unwrap())
}

/// Answers by path.
fn server(history: Reply, latest: Reply, forecast: Reply) -> Replay {
    Replay::new(move |asked: &Asked| {
        let path = asked.target.split('?').next().unwrap_or_default();
        let reply = match path.rsplit('/').next() {
            Some("history") => &history,
            Some("latest") => &latest,
            Some("forecast") => &forecast,
            _ => return None,
        };
        Some(reply.clone())
    })
}

fn paths(server: &Replay) -> Vec<String> {
    let path = |asked: Asked| asked.target.split('?').next().unwrap_or_default().to_owned();
    server.asked().into_iter().map(path).collect()
}

#[test]
fn the_past_the_present_and_the_forecast_are_one_series() {
    let fetched = rig().fetch([Reply::ok(HISTORY), Reply::ok(FORECAST)]).unwrap();
    assert_eq!(
        lines(&fetched),
        [
            "2026-10-01T05:00 60 290 measured",
            "2026-10-01T06:00 60 300.5 estimated",
            "2026-10-01T07:00 60 310 estimated",
            "2026-10-01T08:00 60 320 forecast",
            "2026-10-01T09:00 60 330 forecast"
        ]
    );
    assert_eq!(fetched.warnings, [""; 0]);
    let series = &fetched.series[0];
    assert_eq!((&*series.provider, &*series.zone), ("electricity_maps", "DE"));
    assert_eq!((series.signal, &*series.accounting), (Signal::AverageLifecycle, "consumption"));
    assert_eq!(series.fetched_at, rig().now);
}

#[test]
fn requests_name_zone_and_factors_and_carry_the_key() {
    let server = server(Reply::ok(HISTORY), Reply::ok(LATEST), Reply::ok(FORECAST));
    rig().provider(&server).fetch(&HttpClient::new(None).unwrap(), rig().now).unwrap();
    let asked = server.asked();
    let query = "?zone=DE&emissionFactorType=lifecycle&disableCallerLookup=true";
    let targets: Vec<_> = asked.iter().map(|asked| asked.target.clone()).collect();
    let expected = ["history", "forecast"].map(|path| format!("/base/carbon-intensity/{path}{query}"));
    assert_eq!(targets, expected);
    assert!(asked.iter().all(|asked| asked.header("auth-token") == Some(KEY)));
}

#[test]
fn direct_figures_are_asked_for_and_checked() {
    let mut rig = rig();
    rig.source.basis = Some(Basis::Direct);
    let answer = |body: &str| Reply::ok(body.replace("lifecycle", "direct"));
    let fetched = rig.fetch([answer(HISTORY), answer(FORECAST)]).unwrap();
    assert_eq!(fetched.series[0].signal, Signal::AverageDirect);
    assert_eq!(rig.failure(HISTORY), FetchResult::Decode);
}

#[test]
fn the_basis_is_the_entrys_or_the_nodes() {
    let mut source = rig().source;
    let around = Surroundings { basis: Some(Basis::Direct), ..Surroundings::default() };
    let signal = |source: &Source, around| ElectricityMaps::new(source, around).unwrap().signal();
    assert_eq!(signal(&source, Surroundings::default()), Signal::AverageLifecycle);
    assert_eq!(signal(&source, around), Signal::AverageDirect);
    source.basis = Some(Basis::Lifecycle);
    assert_eq!(signal(&source, around), Signal::AverageLifecycle);
}

#[test]
fn a_history_without_the_present_is_completed() {
    let old = r#"{"datetime":"2026-10-01T05:00:00Z","carbonIntensity":290,"isEstimated":false}"#;
    let server = server(Reply::ok(history(old)), Reply::ok(LATEST), Reply::status(403, NO_PLAN));
    let fetched = rig().provider(&server).fetch(&HttpClient::new(None).unwrap(), rig().now).unwrap();
    let expected = ["2026-10-01T05:00 60 290 measured", "2026-10-01T07:00 60 310 estimated"];
    assert_eq!(lines(&fetched), expected);
    let expected = ["history", "latest", "forecast"].map(|path| format!("/base/carbon-intensity/{path}"));
    assert_eq!(paths(&server), expected);
}

#[test]
fn a_plan_without_forecast_is_asked_for_one_every_six_hours() {
    for status in [403, 404] {
        let server = server(Reply::ok(HISTORY), Reply::ok(LATEST), Reply::status(status, NO_PLAN));
        let rig = rig();
        let mut provider = rig.provider(&server);
        let http = HttpClient::new(None).unwrap();
        let mut forecasts = Vec::new();
        let mut warnings = 0;
        for quarter in 0..26 {
            let now = rig.now.after(Duration::from_secs(900 * quarter));
            let before = server.asked().len();
            warnings += provider.fetch(&http, now).unwrap().warnings.len();
            if paths(&server).split_off(before).iter().any(|path| path.ends_with("forecast")) {
                forecasts.push(quarter);
            }
        }
        assert_eq!((forecasts, warnings), (vec![0, 24], 2), "{status}");
    }
}

#[test]
fn a_forecast_that_fails_leaves_the_past_and_is_asked_for_again() {
    for (reply, quarters) in [
        (Reply::status(500, ""), vec![0, 1, 2, 3]),
        (Reply::ok("<html>"), vec![0, 1, 2, 3]),
        (Reply::ok(FORECAST.replace("DE", "FR")), vec![0, 1, 2, 3]),
        (Reply::status(429, "").header("retry-after", "1800"), vec![0, 2]),
        (Reply::status(401, ""), vec![0, 2]),
    ] {
        let server = server(Reply::ok(HISTORY), Reply::ok(LATEST), reply);
        let rig = rig();
        let mut provider = rig.provider(&server);
        let http = HttpClient::new(None).unwrap();
        let warned = (0..4).filter(|quarter| {
            let now = rig.now.after(Duration::from_secs(900 * quarter));
            let fetched = provider.fetch(&http, now).unwrap();
            assert_eq!(lines(&fetched).len(), 3);
            !fetched.warnings.is_empty()
        });
        assert_eq!(warned.collect::<Vec<_>>(), quarters);
    }
}

#[test]
fn another_zone_than_the_one_asked_for_is_refused() {
    let rig = rig();
    assert_eq!(rig.failure(&HISTORY.replace("\"DE\"", "\"FR\"")), FetchResult::ZoneMismatch);
    // In one item only.
    assert_eq!(
        rig.failure(&HISTORY.replacen("{\"zone\":\"DE\",\"carb", "{\"zone\":\"FR\",\"carb", 1)),
        FetchResult::ZoneMismatch
    );
    assert_eq!(rig.failure(r#"{"history":[]}"#), FetchResult::Decode);
    assert_eq!(rig.failure(r#"{"zone":7,"history":[]}"#), FetchResult::Decode);
    // An item that can't be understood may be about anything.
    let odd = r#"{"zone":"FR","emissionFactorType":7,"datetime":"2026-10-01T07:00Z","carbonIntensity":5}"#;
    assert_eq!(rig.failure(&history(odd)), FetchResult::Decode);
}

#[test]
fn version_3_and_lists_by_another_name_are_read() {
    let item = r#"{"datetime":"2026-10-01T07:00:00.000Z","carbonIntensity":310}"#;
    for key in ["history", "data"] {
        let body = format!(r#"{{"zone":"DE","{key}":[{item}]}}"#);
        let fetched = rig().fetch([Reply::ok(body), Reply::status(403, NO_PLAN)]).unwrap();
        assert_eq!(lines(&fetched), ["2026-10-01T07:00 60 310 measured"], "{key}");
    }
}

#[test]
fn slots_are_as_long_as_their_granularity_says() {
    for (name, minutes) in [
        ("hourly", 60),
        ("15_minutes", 15),
        ("5_minutes", 5),
        ("daily", 1440),
        ("monthly", 60),
        ("0_minutes", 60),
    ] {
        let item = format!(
            r#"{{"datetime":"2026-10-01T07:00Z","carbonIntensity":310,"temporalGranularity":"{name}"}}"#
        );
        assert_eq!(slots(&item), [format!("2026-10-01T07:00 {minutes} 310 measured")], "{name}");
    }
    let quarters = r#"{"datetime":"2026-10-01T07:00Z","carbonIntensity":1},
        {"datetime":"2026-10-01T06:45Z","carbonIntensity":2}"#;
    let expected = ["2026-10-01T06:45 15 2 measured", "2026-10-01T07:00 15 1 measured"];
    assert_eq!(slots(quarters), expected);
}

#[test]
fn bad_items_spoil_only_themselves() {
    let items = r#"{"datetime":"2027-01-01T00:00Z","carbonIntensity":4},
        {"datetime":"2026-12-31T23:00Z","carbonIntensity":3},
        {"datetime":"2026-12-31T23:00Z","carbonIntensity":5},
        {"datetime":"2026-12-31T22:00Z","carbonIntensity":null},
        {"datetime":"2026-12-31T21:00Z","carbonIntensity":"310"},
        {"datetime":"2026-12-31T20:00Z","carbonIntensity":0},
        {"datetime":"2026-12-31T19:00","carbonIntensity":310},
        {"datetime":1790838000,"carbonIntensity":310},
        {"carbonIntensity":310}, 7"#;
    let mut rig = rig();
    rig.now = time("2027-01-01T00:10Z").unwrap();
    let fetched = rig.fetch([Reply::ok(history(items)), Reply::status(403, NO_PLAN)]).unwrap();
    assert_eq!(lines(&fetched), ["2026-12-31T23:00 60 5 measured", "2027-01-01T00:00 60 4 measured"]);
    let warning = "6 of 10 values are left out: \"2026-12-31T19:00\" isn't a time with an offset";
    assert_eq!(fetched.warnings[0], warning);
}

#[test]
fn a_value_of_the_future_is_a_forecast_whatever_it_is_called() {
    let item = r#"{"datetime":"2026-10-01T08:00Z","carbonIntensity":5,"isEstimated":true}"#;
    assert_eq!(slots(item), ["2026-10-01T08:00 60 5 forecast"]);
}

#[test]
fn no_value_is_empty_and_no_list_is_broken() {
    let rig = rig();
    assert_eq!(rig.failure(&history("")), FetchResult::Empty);
    let unknown = r#"{"datetime":"2026-10-01T07:00Z","carbonIntensity":null}"#;
    assert_eq!(rig.failure(&history(unknown)), FetchResult::Empty);
    assert_eq!(rig.failure(&history("7")), FetchResult::Decode);
    assert_eq!(rig.failure(r#"{"zone":"DE","history":{}}"#), FetchResult::Decode);
    assert_eq!(rig.failure("[]"), FetchResult::Decode);
}

#[test]
fn statuses_are_told_apart() {
    rig().check_statuses();
    let error = rig().fetch([Reply::status(401, r#"{"error":"Invalid auth-token"}"#)]).unwrap_err();
    assert_eq!(error.result, FetchResult::Auth);
    assert!(error.text.contains("Invalid auth-token"), "{error}");
    let mut rig = rig();
    rig.source.token_file = Some("/nowhere/key".into());
    assert_eq!(rig.failure(HISTORY), FetchResult::File);
}

#[test]
fn zones_that_are_divided_differently_need_the_providers_own_code() {
    let mut source = rig().source;
    source.zone = None;
    let at = |source: &Source, zone| {
        let around = Surroundings { zone: Some(zone), ..Surroundings::default() };
        ElectricityMaps::new(source, around).map(|provider| provider.zone().to_string())
    };
    for zone in ["DE", "GB", "DK-DK1", "SE-SE3", "NO-NO5"] {
        assert_eq!(at(&source, zone).as_deref(), Ok(zone));
    }
    for zone in ["US-CA", "world", "CN-BJ", "DK-SE3", "DK-DK"] {
        let error = at(&source, zone).unwrap_err();
        assert_eq!(error.key, "zone", "{zone}");
        assert!(error.problem.contains("US-CAL-CISO"), "{error}");
    }
    source.zone = Some("us-cal-ciso".into());
    assert_eq!(at(&source, "US-CA").as_deref(), Ok("US-CAL-CISO"));
}

#[test]
fn entries_that_do_not_fit_are_refused() {
    let refusal = |change: &dyn Fn(&mut Source)| {
        let mut source = rig().source;
        change(&mut source);
        ElectricityMaps::new(&source, Surroundings::default()).unwrap_err().key
    };
    assert_eq!(refusal(&|source| source.token_file = None), "token_file");
    assert_eq!(refusal(&|source| source.zone = None), "zone");
    assert_eq!(refusal(&|source| source.user = Some("me".into())), "user");
    assert_eq!(refusal(&|source| source.interval = Some(Duration::from_secs(299))), "interval");
    assert_eq!(refusal(&|source| source.url = Some("https://me@example.org".into())), "url");
    let source = ElectricityMaps::new(&rig().source, Surroundings::default()).unwrap();
    assert_eq!(source.pace().period, PERIOD);
    assert_eq!(source.address, "https://api.electricitymaps.com/v4");
}

#[test]
fn any_body_is_borne() {
    rig().check_any_body(&[HISTORY, FORECAST, LATEST]);
}
