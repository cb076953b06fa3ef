use super::*;
use crate::carbon::providers::harness::{Rig, lines};
use crate::carbon::providers::replay::{Replay, Reply};
use crate::config::ProviderKind;

/// From 2026-10-01T07:00Z on.
const GOOD: &str = r#"{"unix_seconds":[1790838000,1790838900,1790839800,1790840700],
    "co2eq":[301.2,304,null,null],"co2eq_forecast":[null,299.5,310.0,null],"deprecated":false}"#;

fn rig() -> Rig {
    Rig::new(ProviderKind::EnergyCharts, "DE", "2026-10-01T07:20Z")
}

fn body(seconds: &str, measured: &str, forecast: &str) -> String {
    format!(r#"{{"unix_seconds":[{seconds}],"co2eq":[{measured}],"co2eq_forecast":[{forecast}]}}"#)
}

fn refusal(change: impl Fn(&mut Source)) -> &'static str {
    let mut source = rig().source;
    change(&mut source);
    EnergyCharts::new(&source, Surroundings::default()).unwrap_err().key
}

#[test]
fn what_was_measured_comes_before_what_was_forecast() {
    let server = Replay::in_turn([Reply::ok(GOOD)]);
    let rig = rig();
    let fetched = rig.provider(&server).fetch(&HttpClient::new(None).unwrap(), rig.now).unwrap();
    assert_eq!(
        lines(&fetched),
        [
            "2026-10-01T07:00 15 301.2 measured",
            "2026-10-01T07:15 15 304 measured",
            "2026-10-01T07:30 15 310 forecast"
        ]
    );
    assert_eq!(fetched.warnings, [""; 0]);
    let series = &fetched.series[0];
    assert_eq!((&*series.provider, &*series.zone, &*series.accounting), ("energy_charts", "DE", ""));
    assert_eq!((series.signal, series.fetched_at), (Signal::AverageLifecycle, rig.now));
    let targets: Vec<_> = server.asked().into_iter().map(|asked| asked.target).collect();
    assert_eq!(targets, ["/base/co2eq?country=de"]);
}

#[test]
fn the_entry_says_what_the_factors_count() {
    let mut rig = rig();
    rig.source.basis = Some(Basis::Direct);
    assert_eq!(rig.fetch([Reply::ok(GOOD)]).unwrap().series[0].signal, Signal::AverageDirect);
}

#[test]
fn lists_that_do_not_match_are_a_broken_answer() {
    let rig = rig();
    for broken in [
        body("1790838000,1790838900", "1", "null,null"),
        body("1790838000", "1,2", "null"),
        body("1790838000", "1", ""),
        body("\"2026-10-01T07:00Z\"", "1", "null"),
        body("-5", "1", "null"),
        body("1790838000", "\"301\"", "null"),
        body("1790838000", "0", "null"),
        body("1790838000", "-3", "null"),
        body("18446744073709551615", "301", "null"),
        "[]".to_owned(),
        "{}".to_owned(),
        r#"{"unix_seconds":1,"co2eq":1}"#.to_owned(),
    ] {
        assert_eq!(rig.failure(&broken), FetchResult::Decode, "{broken}");
    }
}

#[test]
fn no_value_is_empty() {
    let rig = rig();
    assert_eq!(rig.failure(&body("", "", "")), FetchResult::Empty);
    assert_eq!(rig.failure(&body("1790838000", "null", "null")), FetchResult::Empty);
    assert_eq!(rig.failure(r#"{"unix_seconds":[1790838000],"co2eq":null}"#), FetchResult::Empty);
}

#[test]
fn a_bad_value_spoils_only_itself() {
    let mixed = body("1790838000,1790838900,1790839800", "300,1e6,\"x\"", "null,null,5");
    let fetched = rig().fetch([Reply::ok(mixed)]).unwrap();
    assert_eq!(lines(&fetched), ["2026-10-01T07:00 15 300 measured"]);
    let warning = "2 of 3 values are left out: 1000000 g/kWh isn't believable";
    assert_eq!(fetched.warnings, [warning]);
}

#[test]
fn order_repetitions_and_gaps_are_borne() {
    // 07:30, 07:00, 07:15, 07:00 again, and 09:00 after a gap.
    let seconds = "1790839800,1790838000,1790838900,1790838000,1790845200";
    let expected = [
        "2026-10-01T07:00 15 4 measured",
        "2026-10-01T07:15 15 3 measured",
        "2026-10-01T07:30 15 1 measured",
        "2026-10-01T09:00 15 5 measured",
    ];
    assert_eq!(rig().slots(&body(seconds, "1,2,3,4,5", "null,null,null,null,null")), expected);
    let hours = body("1790838000,1790841600", "1,2", "null,null");
    let expected = ["2026-10-01T07:00 60 1 measured", "2026-10-01T08:00 60 2 measured"];
    assert_eq!(rig().slots(&hours), expected);
}

#[test]
fn days_of_23_and_25_hours_and_a_new_year_have_all_their_quarters() {
    rig().check_quarters(|starts| {
        let seconds: Vec<u64> = starts.iter().map(|start| start.as_millis() / 1_000).collect();
        serde_json::json!({"unix_seconds": seconds, "co2eq": vec![300; starts.len()]}).to_string()
    });
}

#[test]
fn statuses_are_told_apart() {
    rig().check_statuses();
    let text = "'xx' is not the code for an available country. Available countries: ['de', 'fr']";
    let error = rig().fetch([Reply::status(400, text)]).unwrap_err();
    assert_eq!(error.result, FetchResult::Rejected);
    assert!(error.text.contains("'xx' is not the code"), "{error}");
}

#[test]
fn entries_that_do_not_fit_are_refused() {
    assert_eq!(refusal(|source| source.zone = Some("DK-DK1".into())), "zone");
    assert_eq!(refusal(|source| source.zone = Some("d3".into())), "zone");
    assert_eq!(refusal(|source| source.zone = None), "zone");
    assert_eq!(refusal(|source| source.token_file = Some("key".into())), "token_file");
    assert_eq!(refusal(|source| source.interval = Some(Duration::from_secs(60))), "interval");
    let entry = Source::new(ProviderKind::EnergyCharts);
    let at = |zone| EnergyCharts::new(&entry, Surroundings { zone: Some(zone), ..Surroundings::default() });
    assert_eq!(at("world").unwrap_err().key, "zone");
    assert_eq!(at("US-CA").unwrap_err().key, "zone");
    let source = at("FR").unwrap();
    assert_eq!((source.country.as_str(), &*source.zone()), ("fr", "FR"));
    assert_eq!(source.address, "https://api.energy-charts.info");
    assert_eq!(source.pace().period, PERIOD);
}

#[test]
fn any_body_is_borne() {
    rig().check_any_body(&[GOOD]);
}
