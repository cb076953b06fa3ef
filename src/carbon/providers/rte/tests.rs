use super::*;
use crate::carbon::providers::harness::{KEY, Rig, lines};
use crate::carbon::providers::replay::{Replay, Reply};
use crate::carbon::providers::utc;
use crate::config::{Basis, ProviderKind};

const GOOD: &str = r#"{"total_count":4,"results":[
    {"taux_co2":23,"date_heure":"2026-10-01T06:45:00+00:00"},
    {"taux_co2":22.5,"date_heure":"2026-10-01T06:30:00+00:00"},
    {"taux_co2":"21","date_heure":"2026-10-01T06:15:00+00:00"},
    {"taux_co2":20,"date_heure":"2026-10-01T06:00:00+00:00"}]}"#;

fn rig() -> Rig {
    Rig::new(ProviderKind::Rte, "FR", "2026-10-01T07:02Z")
}

fn body(rows: &[(&str, &str)]) -> String {
    let rows: Vec<_> =
        rows.iter().map(|(time, rate)| format!(r#"{{"date_heure":"{time}","taux_co2":{rate}}}"#)).collect();
    format!(r#"{{"results":[{}]}}"#, rows.join(","))
}

fn refusal(change: impl Fn(&mut Source)) -> &'static str {
    let mut source = rig().source;
    change(&mut source);
    Rte::new(&source, Surroundings::default()).unwrap_err().key
}

#[test]
fn quarters_are_read_in_any_order() {
    let fetched = rig().fetch([Reply::ok(GOOD)]).unwrap();
    assert_eq!(
        lines(&fetched),
        [
            "2026-10-01T06:00 15 20 measured",
            "2026-10-01T06:15 15 21 measured",
            "2026-10-01T06:30 15 22.5 measured",
            "2026-10-01T06:45 15 23 measured"
        ]
    );
    assert_eq!(fetched.warnings, [""; 0]);
    let series = &fetched.series[0];
    assert_eq!((&*series.provider, &*series.zone, &*series.accounting), ("rte", "FR", "production"));
    assert_eq!((series.signal, series.fetched_at), (Signal::AverageDirect, rig().now));
}

#[test]
fn the_last_day_is_asked_for_in_utc_with_a_key_only_if_there_is_one() {
    let http = HttpClient::new(None).unwrap();
    let target = "/base/catalog/datasets/eco2mix-national-tr/records?select=taux_co2%2Cdate_heure\
        &where=date_heure+%3C%3D+now%28%29&order_by=date_heure+desc&limit=100&timezone=UTC";
    for (rig, expected) in [(rig(), None), (rig().with_key(), Some(format!("Apikey {KEY}")))] {
        let server = Replay::in_turn([Reply::ok(GOOD)]);
        rig.provider(&server).fetch(&http, rig.now).unwrap();
        let asked = server.asked();
        assert_eq!(asked.len(), 1);
        assert_eq!(asked[0].target, target);
        assert_eq!(asked[0].header("authorization"), expected.as_deref());
    }
}

#[test]
fn rows_without_a_value_are_left_out_and_wrong_ones_counted() {
    let rows = [
        ("2026-10-01T07:00:00+00:00", "null"),
        ("2026-10-01T06:45:00+00:00", "\"ND\""),
        ("2026-10-01T06:30:00+00:00", "-5"),
        ("2026-10-01T06:15:00+00:00", "[1]"),
        ("2026-10-01T06:00:00+00:00", "\"many\""),
        ("2026-10-01T05:45:00", "9"),
        ("2026-10-01T05:30:00+00:00", "7"),
    ];
    let fetched = rig().fetch([Reply::ok(body(&rows))]).unwrap();
    assert_eq!(lines(&fetched), ["2026-10-01T05:30 15 7 measured"]);
    let warning = "4 of 7 values are left out: \"2026-10-01T05:45:00\" isn't a time with an offset";
    assert_eq!(fetched.warnings, [warning]);
}

#[test]
fn nothing_at_all_is_empty_and_nothing_usable_is_a_broken_answer() {
    let rig = rig();
    assert_eq!(rig.failure(r#"{"total_count":0,"results":[]}"#), FetchResult::Empty);
    assert_eq!(rig.failure(&body(&[("2026-10-01T07:00:00+00:00", "null")])), FetchResult::Empty);
    assert_eq!(rig.failure(&body(&[("2026-10-01T07:00:00", "20")])), FetchResult::Decode);
    assert_eq!(rig.failure(r#"{"results":[7]}"#), FetchResult::Decode);
    assert_eq!(rig.failure(r#"{"results":{}}"#), FetchResult::Decode);
    assert_eq!(rig.failure("{}"), FetchResult::Decode);
}

#[test]
fn repetitions_give_one_slot_and_half_hours_are_half_hours() {
    let rows = [
        ("2026-10-01T06:00:00+00:00", "20"),
        ("2026-10-01T06:30:00+00:00", "21"),
        ("2026-10-01T06:00:00+00:00", "22"),
        ("2026-10-01T07:00:00+00:00", "23"),
    ];
    let expected = [
        "2026-10-01T06:00 30 22 measured",
        "2026-10-01T06:30 30 21 measured",
        "2026-10-01T07:00 30 23 measured",
    ];
    assert_eq!(rig().slots(&body(&rows)), expected);
}

#[test]
fn days_of_23_and_25_hours_and_a_new_year_have_all_their_quarters() {
    rig().check_quarters(|starts| {
        let times: Vec<_> = starts.iter().map(|start| utc(*start, "%Y-%m-%dT%H:%M:%S+00:00")).collect();
        body(&times.iter().map(|time| (time.as_str(), "30")).collect::<Vec<_>>())
    });
    // The hour that is there twice, in local time with its offset.
    let rows = [("2026-10-25T02:45:00+02:00", "30"), ("2026-10-25T02:00:00+01:00", "31")];
    let expected = ["2026-10-25T00:45 15 30 measured", "2026-10-25T01:00 15 31 measured"];
    assert_eq!(rig().slots(&body(&rows)), expected);
}

#[test]
fn statuses_are_told_apart() {
    rig().with_key().check_statuses();
    let refused = r#"{"error_code":"ODSQLError","message":"Unknown field: taux"}"#;
    let error = rig().fetch([Reply::status(400, refused)]).unwrap_err();
    assert_eq!(error.result, FetchResult::Rejected);
    assert!(error.text.contains("Unknown field: taux"), "{error}");
}

#[test]
fn a_quota_says_when_it_ends() {
    let wait = |reset: &str, header: Option<&str>| {
        let body = format!(r#"{{"errorcode":10002,"reset_time":"{reset}","call_limit":500}}"#);
        let reply = Reply::status(429, body);
        let reply = header.into_iter().fold(reply, |reply, value| reply.header("retry-after", value));
        let error = rig().fetch([reply]).unwrap_err();
        assert_eq!(error.result, FetchResult::RateLimited);
        error.retry_after.map(|wait| wait.as_secs())
    };
    assert_eq!(wait("2026-10-01T07:30:00Z", None), Some(28 * 60));
    assert_eq!(wait("2026-10-01T09:30:00+02:00", None), Some(28 * 60));
    assert_eq!(wait("2026-10-01T07:30:00Z", Some("5")), Some(5));
    assert_eq!(wait("2026-10-02T00:00:00Z", None), None);
    assert_eq!(wait("2026-10-01T07:00:00Z", None), None);
    assert_eq!(wait("soon", None), None);
}

#[test]
fn entries_that_do_not_fit_are_refused() {
    assert_eq!(refusal(|source| source.zone = Some("DE".into())), "zone");
    assert_eq!(refusal(|source| source.basis = Some(Basis::Direct)), "basis");
    assert_eq!(refusal(|source| source.interval = Some(Duration::from_secs(60))), "interval");
    assert_eq!(refusal(|source| source.url = Some("odre".into())), "url");
    let around = Surroundings { zone: Some("fr"), ..Surroundings::default() };
    let source = Rte::new(&Source::new(ProviderKind::Rte), around).unwrap();
    assert_eq!(source.pace().period, PERIOD);
    assert!(source.records.starts_with("https://odre.opendatasoft.com/"), "{source:?}");
    assert_eq!(&*source.zone(), "FR");
}

#[test]
fn a_key_that_cannot_be_read_is_said() {
    let mut rig = rig();
    rig.source.token_file = Some("/nowhere/key".into());
    assert_eq!(rig.failure(GOOD), FetchResult::File);
}

#[test]
fn any_body_is_borne() {
    rig().check_any_body(&[GOOD]);
}
