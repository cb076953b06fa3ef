use proptest::prelude::{ProptestConfig, proptest};
use serde_json::json;

use super::*;
use crate::carbon::providers::replay::{Asked, Replay, Reply};
use crate::carbon::providers::{harness, time};
use crate::carbon::series::Slot;

const GOOD: &str = r#"{"total":2,"limit":200,"dataset":"CO2Emis","records":[
    {"Minutes5UTC":"2026-10-01T07:05:00","Minutes5DK":"2026-10-01T09:05:00","PriceArea":"DK1","CO2Emission":87.0},
    {"Minutes5UTC":"2026-10-01T07:00:00","Minutes5DK":"2026-10-01T09:00:00","PriceArea":"DK1","CO2Emission":91.5}]}"#;

fn at(text: &str) -> UnixTime {
    time(text).unwrap()
}

fn source(url: &str, zone: &str) -> Source {
    let (zone, url) = (Some(zone.to_owned()), Some(url.to_owned()));
    Source { zone, url, ..Source::new(ProviderKind::Energinet) }
}

fn energinet(server: &Replay) -> Energinet {
    Energinet::new(&source(&server.url(), "DK1"), Surroundings::default()).unwrap()
}

fn fetch(server: &Replay) -> Result<Fetched, FetchError> {
    energinet(server).fetch(&HttpClient::new(None)?, at("2026-10-01T07:12Z"))
}

fn set_of(asked: &Asked) -> &'static str {
    if asked.target.starts_with("/dataset/CO2EmisProg?") { FORECAST.name } else { MEASURED.name }
}

/// Records of (time, zone, value).
fn body(set: &str, records: &[(&str, &str, serde_json::Value)]) -> String {
    let record = |(time, area, grams): &(&str, &str, serde_json::Value)| json!({ "Minutes5UTC": time, "PriceArea": area, "CO2Emission": grams });
    json!({ "dataset": set, "records": records.iter().map(record).collect::<Vec<_>>() }).to_string()
}

/// A server whose data sets both have these records.
fn both(records: &[(&str, &str, serde_json::Value)]) -> Replay {
    let (measured, forecast) = (body(MEASURED.name, records), body(FORECAST.name, records));
    Replay::new(move |asked| {
        Some(Reply::ok(if set_of(asked) == MEASURED.name { measured.clone() } else { forecast.clone() }))
    })
}

fn slots(fetched: &Fetched) -> &[Slot] {
    fetched.series[0].slots.slots()
}

#[test]
fn measured_values_and_their_forecast_are_one_series() {
    let forecast = body(
        FORECAST.name,
        &[("2026-10-01T07:05:00", "DK1", json!(60)), ("2026-10-01T07:10:00", "DK1", json!(61))],
    );
    let server = Replay::in_turn([Reply::ok(GOOD), Reply::ok(forecast)]);
    let fetched = fetch(&server).unwrap();
    assert_eq!(fetched.warnings, Vec::<String>::new());
    let series = &fetched.series[0];
    assert_eq!(
        (&*series.provider, &*series.zone, &*series.accounting),
        ("energinet", "DK-DK1", "consumption")
    );
    assert_eq!(series.signal, Signal::AverageDirect);
    let found: Vec<_> = series
        .slots
        .slots()
        .iter()
        .map(|slot| (slot.start, slot.end, slot.intensity.0, slot.quality))
        .collect();
    let (measured, said) = (SlotQuality::Measured, SlotQuality::Forecast);
    let expected = [
        (at("2026-10-01T07:00Z"), at("2026-10-01T07:05Z"), 91.5, measured),
        (at("2026-10-01T07:05Z"), at("2026-10-01T07:10Z"), 87.0, measured),
        (at("2026-10-01T07:10Z"), at("2026-10-01T07:15Z"), 61.0, said),
    ];
    assert_eq!(found, expected);

    let asked = server.asked();
    assert_eq!(asked.len(), 2);
    for (asked, name) in asked.iter().zip(["CO2Emis", "CO2EmisProg"]) {
        assert!(asked.target.starts_with(&format!("/dataset/{name}?start=now-PT")), "{}", asked.target);
        assert!(asked.target.contains("&timezone=UTC&"), "{}", asked.target);
        assert!(asked.target.contains("&filter=%7B%22PriceArea%22%3A%5B%22DK1%22%5D%7D"), "{}", asked.target);
    }
}

#[test]
fn times_are_utc_on_the_days_when_the_clocks_change_and_over_the_year() {
    // At 01:00 UTC Danish clocks go from 02:00 to 03:00 in March, and from 03:00 to 02:00 in October.
    for (first, second) in [
        ("2026-03-29T00:55:00", "2026-03-29T01:00:00"),
        ("2026-10-25T00:55:00", "2026-10-25T01:00:00"),
        ("2026-12-31T23:55:00", "2027-01-01T00:00:00"),
    ] {
        let server = both(&[(first, "DK1", json!(100)), (second, "DK1", json!(200))]);
        let border = at(&format!("{second}Z"));
        let fetched = energinet(&server).fetch(&HttpClient::new(None).unwrap(), border).unwrap();
        let found: Vec<_> = slots(&fetched).iter().map(|slot| (slot.start, slot.length())).collect();
        assert_eq!(found, [(border.before(SLOT), SLOT), (border, SLOT)], "{second}");
    }
}

#[test]
fn the_order_repetitions_and_the_nodes_own_clock_do_not_matter() {
    let record = |time, grams| (time, "DK1", json!(grams));
    let records = [
        record("2026-10-01T07:10:00", 3),
        record("2026-10-01T07:00:00", 9),
        record("2026-10-01T07:05:00", 2),
        record("2026-10-01T07:00:00", 1),
        // Overlaps two of the others.
        record("2026-10-01T07:12:30", 4),
    ];
    for now in ["2026-10-01T04:00Z", "2026-10-01T07:12Z", "2026-10-01T11:00Z"] {
        let server = both(&records);
        let fetched = energinet(&server).fetch(&HttpClient::new(None).unwrap(), at(now)).unwrap();
        let found: Vec<_> = slots(&fetched).iter().map(|slot| (slot.start, slot.intensity.0)).collect();
        let expected = [("07:00:00", 1.0), ("07:05:00", 2.0), ("07:10:00", 3.0), ("07:12:30", 4.0)]
            .map(|(time, grams)| (at(&format!("2026-10-01T{time}Z")), grams));
        assert_eq!(found, expected, "{now}");
    }
}

#[test]
fn values_that_cannot_be_used_are_left_out_and_counted() {
    let server = both(&[
        ("2026-10-01T07:00:00", "DK1", json!(0)),
        ("2026-10-01T07:05:00", "DK1", json!(null)),
        ("2026-10-01T07:10:00", "DK1", json!(-1)),
        ("2026-10-01T07:15:00", "DK1", json!(1e6)),
        ("2026-10-01T07:20:00", "DK1", json!("87")),
        ("2026-10-01T07:25:00+02:00", "DK1", json!(5)),
        ("2026-10-01", "DK1", json!(5)),
    ]);
    let fetched = fetch(&server).unwrap();
    assert_eq!(slots(&fetched).len(), 1, "a direct figure of 0 is what a windy night has");
    assert_eq!(fetched.warnings.len(), 2);
    for (warning, name) in fetched.warnings.iter().zip(["CO2Emis:", "CO2EmisProg:"]) {
        assert!(warning.starts_with(name) && warning.contains("5 of 7"), "{warning}");
    }
}

#[test]
fn an_answer_without_values_is_empty_and_one_of_rubbish_is_not_understood() {
    for (records, result) in [
        (vec![], FetchResult::Empty),
        (vec![("2026-10-01T07:00:00", "DK1", json!(null))], FetchResult::Empty),
        (vec![("2026-10-01T07:00:00", "DK1", json!(-5))], FetchResult::Decode),
        (vec![("soon", "DK1", json!(5))], FetchResult::Decode),
        (vec![("2026-10-01T07:00:00", "DK2", json!(50))], FetchResult::ZoneMismatch),
    ] {
        let server = both(&records);
        let error = fetch(&server).unwrap_err();
        assert_eq!(error.result, result, "{error}");
        assert!(error.text.contains("/dataset/CO2Emis:"), "{error}");
    }
    let swapped = Replay::new(|_| Some(Reply::ok(body("AuctionResults", &[]))));
    assert_eq!(fetch(&swapped).unwrap_err().result, FetchResult::Decode);
}

#[test]
fn failures_are_told_apart() {
    harness::check_statuses(fetch, &harness::STATUSES, None);
    harness::check_not_data(fetch, &harness::NOT_DATA);
    harness::check_not_data(fetch, &["null", "[]", "{}"]);
}

#[test]
fn one_data_set_is_of_use_without_the_other() {
    for (bad, quality) in [(FORECAST.name, SlotQuality::Measured), (MEASURED.name, SlotQuality::Forecast)] {
        let server = Replay::new(move |asked| match set_of(asked) {
            set if set == bad => Some(Reply::status(500, "no")),
            set => Some(Reply::ok(body(set, &[("2026-10-01T07:00:00", "DK1", json!(100))]))),
        });
        let fetched = fetch(&server).unwrap();
        assert_eq!(slots(&fetched)[0].quality, quality);
        assert!(fetched.warnings.len() == 1 && fetched.warnings[0].contains(bad), "{:?}", fetched.warnings);
    }
}

#[test]
fn a_limit_on_one_data_set_is_heeded() {
    let first = Replay::in_turn([Reply::status(429, "").header("retry-after", "70")]);
    let error = fetch(&first).unwrap_err();
    assert_eq!((error.result, error.retry_after), (FetchResult::RateLimited, Some(Duration::from_secs(70))));
    assert_eq!(first.asked().len(), 1, "the other data set isn't asked then");

    let server = Replay::new(|asked| match set_of(asked) {
        "CO2Emis" => Some(Reply::ok(GOOD)),
        _ => Some(Reply::status(429, "").header("retry-after", "999999999")),
    });
    let mut source = energinet(&server);
    let http = HttpClient::new(None).unwrap();
    let now = at("2026-10-01T07:12Z");
    for (minutes, requests) in [(0, 2), (5, 3), (59, 4), (60, 6)] {
        source.fetch(&http, now.after(Duration::from_secs(minutes * 60))).unwrap();
        assert_eq!(server.asked().len(), requests, "after {minutes} minutes");
    }
}

#[test]
fn the_zone_is_one_of_denmarks_two() {
    let url = "http://127.0.0.1:1";
    for (zone, label, area) in [("DK1", "DK-DK1", "DK1"), ("dk-dk2", "DK-DK2", "DK2")] {
        let made = Energinet::new(&source(url, zone), Surroundings::default()).unwrap();
        assert_eq!((&*made.zone(), made.area), (label, area));
        assert_eq!(made.pace().period, PERIOD);
        assert_eq!(made.signal(), Signal::AverageDirect);
    }
    for zone in ["DK", "DE", "DK3"] {
        let error = Energinet::new(&source(url, zone), Surroundings::default()).unwrap_err();
        assert!(error.key == "zone" && error.problem.contains("DK-DK1"), "{error}");
    }
    let around = Surroundings { zone: Some("DK-DK1"), ..Surroundings::default() };
    assert!(Energinet::new(&Source::new(ProviderKind::Energinet), around).is_ok());
    let lifecycle = Source { basis: Some(Basis::Lifecycle), ..source(url, "DK1") };
    assert_eq!(Energinet::new(&lifecycle, around).unwrap_err().key, "basis");
    let token = Source { token_file: Some("token".into()), ..source(url, "DK1") };
    assert_eq!(Energinet::new(&token, around).unwrap_err().key, "token_file");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn no_answer_brings_the_parser_down(bytes in harness::mutated(GOOD)) {
        if let Ok(body) = serde_json::from_slice::<Body>(&bytes) {
            let _ = read(&body, &MEASURED, "DK1", UnixTime::default());
        }
    }
}
